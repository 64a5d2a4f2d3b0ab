/* What agents say of container health checks (ecs-behaviour 5.6, agent-protocol 6). */
#include "api/tcs.h"
#include "control/call.h"
#include "control/ecs/instances.h"
#include "control/ecs/services.h"
#include "control/ecs/sessions.h"
#include "control/ecs/tasks.h"
#include "control/internal.h"

static struct instance_entry *reporter_of(struct plane *plane, const struct session_event *event,
					  const struct tcs_metadata *metadata)
{
	struct call call = {.plane = plane, .realm = plane_realm(plane, event->caller.account, event->region),
			    .caller = &event->caller, .arena = plane_arena(plane)};
	struct cluster_entry *cluster;

	if (!metadata || str_empty(metadata->container_instance) ||
	    !find_agent_cluster(&call, metadata->cluster, false, &cluster))
		return NULL;
	return find_instance(&call, cluster, metadata->container_instance);
}

static bool take_container(struct task_container *container, enum ecs_health_status status)
{
	if (!status || container->health_status == status)
		return false;
	container->health_status = status;
	return true;
}

/* Essential containers with a check decide. */
static enum ecs_health_status overall(const struct task_entry *entry, const struct task_containers *containers)
{
	bool any = false, unknown = false;

	for (size_t i = 0; i < containers->count; i++) {
		const struct task_container *container = &containers->items[i];

		if (!task_container_is_checked(entry, container->name))
			continue;
		if (container->health_status == ECS_HEALTH_STATUS_UNHEALTHY)
			return ECS_HEALTH_STATUS_UNHEALTHY;
		unknown |= container->health_status != ECS_HEALTH_STATUS_HEALTHY;
		any = true;
	}
	return any && !unknown ? ECS_HEALTH_STATUS_HEALTHY : ECS_HEALTH_STATUS_UNKNOWN;
}

static void take_task(struct plane *plane, struct task_entry *entry, const struct tcs_container_healths *healths)
{
	struct task next = *entry->record;
	bool changed = false;

	next.containers = copy_containers(plane, &next.containers);
	for (size_t i = 0; i < healths->count; i++)
		for (size_t c = 0; c < next.containers.count; c++)
			if (str_equal(next.containers.items[c].name, healths->items[i].container_name))
				changed |= take_container(&next.containers.items[c],
							  (enum ecs_health_status)shape_word(&shape_ecs_health_status,
											     healths->items[i].health_status));
	if (!changed)
		return;
	next.health_status = overall(entry, &next.containers);
	task_emit(plane, entry, &next);
	if (entry->service)
		service_touch(plane, entry->service);
}

void session_take_health(struct plane *plane, const struct session_event *event)
{
	const struct tcs_publish_health_request *request = event->message;
	struct instance_entry *instance = reporter_of(plane, event, request->metadata);

	for (size_t i = 0; instance && i < request->tasks.count; i++) {
		struct task_entry *task = find_task_by_arn(plane, instance->realm, request->tasks.items[i].task_arn);

		if (task && task->instance == instance)
			take_task(plane, task, &request->tasks.items[i].containers);
	}
}
