/* A plane of a few clusters, so that the server can be tested without the real one:
 *   CreateCluster keeps a record, ListClusters reads them, RunTask is a conflict with resource ids,
 * everything else is not supported. A session of an instance named "refused" is refused; any other
 * gets a HeartbeatMessage, and one more for each HeartbeatAckRequest, but "bye" as its messageId
 * makes the plane hang up. */
#include <stdlib.h>
#include "api/acs.h"
#include "api/ecs.h"
#include "control/plane.h"

struct plane {
	struct plane_options options;
	struct arena arena;
	LIST_OF(struct str) names;
	uint64_t sessions;
};

struct plane *plane_new(const struct plane_options *options)
{
	struct plane *plane = calloc(1, sizeof(*plane));

	if (!plane)
		abort();
	plane->options = *options;
	return plane;
}

void plane_free(struct plane *plane)
{
	if (!plane)
		return;
	arena_fini(&plane->arena);
	list_fini(&plane->names);
	free(plane);
}

bool plane_restore(struct plane *plane, uint32_t kind, struct str key, const void *value,
		   struct error *err)
{
	const struct cluster *cluster = value;

	(void)key;
	if (kind != RECORD_CLUSTER || !cluster)
		return fail(err, ERROR_CORRUPT, "not a cluster");
	for (size_t i = 0; i < plane->names.count; i++)
		if (str_equal(plane->names.items[i], cluster->name))
			return true;
	list_add(&plane->names, arena_copy(&plane->arena, cluster->name));
	return true;
}

static void create_cluster(struct plane *plane, const struct event *event, struct effects *out,
			   struct reply *reply)
{
	const struct ecs_create_cluster_request *in = event->call.input;
	struct cluster *record = arena_new(event->arena, struct cluster);
	struct ecs_create_cluster_response *answer =
		arena_new(event->arena, struct ecs_create_cluster_response);
	struct str name = str_has(in->cluster_name) ? in->cluster_name : S("default");

	record->name = arena_copy(&plane->arena, name);
	record->status = CLUSTER_STATUS_ACTIVE;
	list_add(&plane->names, record->name);
	list_add(&out->records, ((struct record){RECORD_CLUSTER,
						 arena_printf(event->arena, "%.*s/%.*s/%.*s",
							      STR(event->call.caller.account),
							      STR(event->call.region), STR(name)),
						 record}));
	answer->cluster = arena_new(event->arena, struct ecs_cluster);
	answer->cluster->cluster_name = record->name;
	answer->cluster->status = S("ACTIVE");
	reply->output = answer;
}

static void list_clusters(struct plane *plane, const struct event *event, struct reply *reply)
{
	struct ecs_list_clusters_response *answer =
		arena_new(event->arena, struct ecs_list_clusters_response);

	answer->cluster_arns.items = arena_array(event->arena, struct str, plane->names.count);
	answer->cluster_arns.count = plane->names.count;
	for (size_t i = 0; i < plane->names.count; i++)
		answer->cluster_arns.items[i] = plane->names.items[i];
	reply->output = answer;
}

static void run_task(const struct event *event, struct reply *reply)
{
	fail(&reply->error, ERROR_CONFLICT, "The provided clientToken is already in use.");
	reply->resource_ids.items = arena_array(event->arena, struct str, 1);
	reply->resource_ids.items[0] = S("arn:task");
	reply->resource_ids.count = 1;
}

static void call(struct plane *plane, const struct event *event, struct effects *out)
{
	struct reply *reply = list_push(&out->replies);

	reply->ticket = event->call.ticket;
	reply->operation = event->call.operation;
	if (str_equal(reply->operation->name, S("CreateCluster")))
		create_cluster(plane, event, out, reply);
	else if (str_equal(reply->operation->name, S("ListClusters")))
		list_clusters(plane, event, reply);
	else if (str_equal(reply->operation->name, S("RunTask")))
		run_task(event, reply);
	else
		fail(&reply->error, ERROR_UNSUPPORTED_FEATURE, "%.*s is not built yet.",
		     STR(reply->operation->name));
}

static void say_heartbeat(const struct event *event, struct effects *out)
{
	struct acs_heartbeat_message *message =
		arena_new(event->arena, struct acs_heartbeat_message);

	message->healthy = (struct maybe_boolean){true, true};
	message->message_id = arena_printf(event->arena, "%llx", (unsigned long long)event->seed);
	list_add(&out->messages, ((struct message){event->session.session, S("HeartbeatMessage"),
						   &shape_acs_heartbeat_message, message}));
}

static void session_opened(struct plane *plane, const struct event *event, struct effects *out)
{
	if (str_ends(event->session.container_instance, S("refused"))) {
		list_add(&out->hangups,
			 ((struct hangup){event->session.session, S("InactiveInstanceException")}));
		return;
	}
	plane->sessions++;
	say_heartbeat(event, out);
}

static void session_message(const struct event *event, struct effects *out)
{
	const struct acs_heartbeat_ack_request *ack = event->session.message;

	if (!str_equal(event->session.type, S("HeartbeatAckRequest")))
		return;
	if (str_equal(ack->message_id, S("bye")))
		list_add(&out->hangups, ((struct hangup){event->session.session, STR_NONE}));
	else
		say_heartbeat(event, out);
}

void plane_step(struct plane *plane, const struct event *event, struct effects *out)
{
	out->wake_at = event->now + USEC_PER_SEC;
	if (event->type == EVENT_CALL)
		call(plane, event, out);
	else if (event->type == EVENT_SESSION_OPENED)
		session_opened(plane, event, out);
	else if (event->type == EVENT_SESSION_MESSAGE)
		session_message(event, out);
	else if (event->type == EVENT_SESSION_CLOSED)
		plane->sessions--;
}

void effects_clear(struct effects *effects)
{
	effects->records.count = effects->messages.count = effects->hangups.count =
		effects->replies.count = 0;
	effects->wake_at = USEC_NEVER;
}

void effects_fini(struct effects *effects)
{
	list_fini(&effects->records);
	list_fini(&effects->messages);
	list_fini(&effects->hangups);
	list_fini(&effects->replies);
}

void plane_statistics(const struct plane *plane, struct plane_statistics *ret_statistics)
{
	*ret_statistics = (struct plane_statistics){.clusters = plane->names.count,
						    .connected = plane->sessions};
}

const struct shape *record_shape(uint32_t kind)
{
	return kind == RECORD_CLUSTER ? &shape_cluster : NULL;
}
