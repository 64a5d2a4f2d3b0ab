/* WatchNetwork: finds who asks; what is told is the EC2 room's (control/ec2/watch.c). */
#include "api/wherry_handlers.h"
#include "control/call.h"
#include "control/ec2/ec2.h"
#include "control/ecs/instances.h"

/* The cluster of an ARN "…:container-instance/CLUSTER/ID" when none is named. */
static struct str named_cluster(const struct wherry_watch_network_request *in)
{
	struct str rest = in->container_instance, type, cluster;

	if (!str_empty(in->cluster) || !str_starts(rest, S("arn:")))
		return in->cluster;
	return str_cut(&rest, '/', &type) && str_cut(&rest, '/', &cluster) && str_has(rest) ? cluster : STR_NONE;
}

bool wherry_watch_network(struct call *call, const struct wherry_watch_network_request *in,
			  struct wherry_watch_network_response *out)
{
	struct cluster_entry *cluster;
	struct instance_entry *instance;

	if (!find_agent_cluster(call, named_cluster(in), false, &cluster))
		return false;
	instance = find_instance(call, cluster, in->container_instance);
	if (!instance)
		return fail(&call->error, ERROR_INVALID_PARAMETER, "Referenced container instance %.*s not found.",
			    STR(in->container_instance));
	ec2_watch(call, cluster->record->name, instance->by_id.key, in, out);
	return true;
}
