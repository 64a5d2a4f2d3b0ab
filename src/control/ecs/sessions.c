/* Agents that are connected (agent-protocol 2). What an agent must hear is derived from the tasks, never queued: a
 * new session is told everything, and one that does not answer is dropped and told again when it returns. */
#include "control/ecs/sessions.h"
#include <assert.h>
#include <stdio.h>
#include "control/ecs/instances.h"
#include "control/ecs/payload.h"
#include "control/ecs/services.h"
#include "control/ecs/tasks.h"
#include "control/internal.h"

enum {
	TASKS_PER_PAYLOAD = 20,
	ATTACH_TIMEOUT_MSEC = 300000,
	SEQUENCES_RESERVED = 1000,                       /* numbers a record's write makes good for */
	SILENT_HEARTBEATS = 2,                           /* unanswered ones after which a session is dropped */
};

struct session {
	uint64_t number;
	char key[24];
	struct instance_entry *instance;
	struct wake wake;
	usec last_heard;
	int64_t sequence, sequence_limit;                /* agent-protocol 2.4: one counter for payloads and manifests */
};

struct ecs {
	struct map sessions;                             /* by number as text */
	LIST_OF(struct task_entry *) to_send;
};

struct ecs *ecs_new(void)
{
	struct ecs *ecs = calloc(1, sizeof(*ecs));

	if (!ecs)
		abort();
	return ecs;
}

void ecs_free(struct ecs *ecs)
{
	struct session *session;

	for (size_t cursor = 0; (session = map_next(&ecs->sessions, &cursor));)
		free(session);
	map_fini(&ecs->sessions);
	list_fini(&ecs->to_send);
	free(ecs);
}

static struct session *session_find(struct plane *plane, uint64_t number)
{
	char key[24];
	int length = snprintf(key, sizeof(key), "%llu", (unsigned long long)number);

	return map_get(&plane_ecs(plane)->sessions, (struct str){key, (size_t)length});
}

static void send(struct plane *plane, const struct session *session, struct str type, const struct shape *shape,
		 const void *value)
{
	list_add(&plane_effects(plane)->messages, ((struct message){session->number, type, shape, value}));
}

static void hang_up(struct plane *plane, uint64_t number, struct str refusal)
{
	list_add(&plane_effects(plane)->hangups, ((struct hangup){number, refusal}));
}

static int64_t next_sequence(struct plane *plane, struct session *session)
{
	if (session->sequence == session->sequence_limit) {
		struct container_instance next = *session->instance->record;

		next.sequence.value += SEQUENCES_RESERVED;
		next.sequence.has = true;
		session->sequence = next.sequence.value - SEQUENCES_RESERVED;
		session->sequence_limit = next.sequence.value;
		emit(plane, session->instance->realm, RECORD_CONTAINER_INSTANCE, entry_id(&session->instance->entry), &next);
	}
	return ++session->sequence;
}

/* ---- what agents are told */
static void send_heartbeat(struct plane *plane, struct session *session)
{
	struct acs_heartbeat_message *message = arena_new(plane_arena(plane), struct acs_heartbeat_message);

	message->healthy = (struct maybe_boolean){true, true};
	message->message_id = random_uuid(plane_random(plane), plane_arena(plane));
	send(plane, session, S("HeartbeatMessage"), &shape_acs_heartbeat_message, message);
}

static void send_manifest(struct plane *plane, struct session *session)
{
	struct arena *arena = plane_arena(plane);
	struct acs_task_manifest_message *message = arena_new(arena, struct acs_task_manifest_message);
	struct instance_entry *instance = session->instance;

	*message = (struct acs_task_manifest_message){
		.cluster_arn = cluster_arn(plane, instance->cluster), .container_instance_arn = instance_arn(plane, instance),
		.message_id = random_uuid(plane_random(plane), arena),
		.generated_at = {plane_now(plane) / USEC_PER_MSEC, true},
		.timeline = {next_sequence(plane, session), true},
		.tasks = {arena_array(arena, struct acs_task_identifier, (size_t)instance->counts.live), 0},
	};
	CHAIN_EACH(&instance->tasks, struct task_entry, on_instance, task)
		message->tasks.items[message->tasks.count++] = (struct acs_task_identifier){
			.task_arn = task_arn(plane, task), .task_cluster_arn = cluster_arn(plane, task->cluster),
			.desired_status = task_is_wanted(task->record) ? S("RUNNING") : S("STOPPED")};
	send(plane, session, S("TaskManifestMessage"), &shape_acs_task_manifest_message, message);
}

/* The payload follows at once: the agent's word that it sees the interface is not waited for. */
static void send_interface(struct plane *plane, const struct session *session, const struct task_entry *task)
{
	struct arena *arena = plane_arena(plane);
	struct acs_elastic_network_interface *interface;
	struct acs_attach_task_network_interfaces_message *message;

	if (!task->record->attachment || task->record->attachment->status != ATTACHMENT_STATUS_ATTACHING ||
	    !task_is_wanted(task->record))
		return;
	interface = arena_new(arena, struct acs_elastic_network_interface);
	if (!payload_interface(plane, task, interface))
		return;
	message = arena_new(arena, struct acs_attach_task_network_interfaces_message);
	*message = (struct acs_attach_task_network_interfaces_message){
		.cluster_arn = cluster_arn(plane, session->instance->cluster),
		.container_instance_arn = instance_arn(plane, session->instance),
		.message_id = random_uuid(plane_random(plane), arena),
		.task_arn = task_arn(plane, task), .task_cluster_arn = cluster_arn(plane, task->cluster),
		.generated_at = {plane_now(plane) / USEC_PER_MSEC, true},
		.wait_timeout_ms = {ATTACH_TIMEOUT_MSEC, true},
		.elastic_network_interfaces = {interface, 1},
	};
	send(plane, session, S("AttachTaskNetworkInterfacesMessage"), &shape_acs_attach_task_network_interfaces_message, message);
}

static void send_payload(struct plane *plane, struct session *session, struct task_entry *const *tasks, size_t count)
{
	struct arena *arena = plane_arena(plane);
	struct acs_payload_message *message = arena_new(arena, struct acs_payload_message);

	*message = (struct acs_payload_message){
		.cluster_arn = cluster_arn(plane, session->instance->cluster),
		.container_instance_arn = instance_arn(plane, session->instance),
		.message_id = random_uuid(plane_random(plane), arena),
		.seq_num = {next_sequence(plane, session), true},
		.generated_at = {plane_now(plane) / USEC_PER_MSEC, true},
		.tasks = {arena_array(arena, struct acs_task, count), count},
	};
	for (size_t i = 0; i < count; i++) {
		send_interface(plane, session, tasks[i]);
		payload_task(plane, tasks[i], &message->tasks.items[i]);
	}
	send(plane, session, S("PayloadMessage"), &shape_acs_payload_message, message);
}

static bool goes_before(const struct task_entry *a, const struct task_entry *b)
{
	if (a->instance->session->number != b->instance->session->number)
		return a->instance->session->number < b->instance->session->number;
	return str_compare(a->key, b->key) < 0;
}

static int by_session(const void *left, const void *right)
{
	const struct task_entry *a = *(struct task_entry *const *)left, *b = *(struct task_entry *const *)right;

	return goes_before(a, b) ? -1 : goes_before(b, a);
}

/* Tasks that ended in this very step, or whose agent is away, need no message: the next session tells all. */
static void drop_unsendable(struct ecs *ecs)
{
	size_t kept = 0;

	for (size_t i = 0; i < ecs->to_send.count; i++) {
		struct task_entry *task = ecs->to_send.items[i];

		task->to_send = false;
		if (task->instance && task->instance->session)
			ecs->to_send.items[kept++] = task;
	}
	ecs->to_send.count = kept;
}

void ecs_step_end(struct plane *plane)
{
	struct ecs *ecs = plane_ecs(plane);
	struct task_entry **tasks = ecs->to_send.items;
	size_t count, run;

	if (ecs->to_send.count == 0)
		return;
	drop_unsendable(ecs);
	count = ecs->to_send.count;
	ecs->to_send.count = 0;
	qsort(tasks, count, sizeof(*tasks), by_session);
	for (size_t from = 0; from < count; from += run) {
		struct session *session = tasks[from]->instance->session;

		for (run = 1; from + run < count && run < TASKS_PER_PAYLOAD; run++)
			if (tasks[from + run]->instance->session != session)
				break;
		send_payload(plane, session, tasks + from, run);
	}
}

void session_send_task(struct plane *plane, struct task_entry *task)
{
	if (task->to_send || !task->instance || !task->instance->session)
		return;
	task->to_send = true;
	list_add(&plane_ecs(plane)->to_send, task);
}

/* ---- coming and going */
static void session_free(struct plane *plane, struct session *session)
{
	wake_clear(plane, &session->wake);
	map_remove(&plane_ecs(plane)->sessions, str_of(session->key));
	free(session);
}

static void touch_services(struct plane *plane, struct instance_entry *instance)
{
	CHAIN_EACH(&instance->tasks, struct task_entry, on_instance, task)
		if (task->service)
			service_touch(plane, task->service);
}

void instance_lost_session(struct plane *plane, struct instance_entry *instance)
{
	struct session *session = instance->session;

	if (!session)
		return;
	instance->session = NULL;
	instance->silent_since = session->last_heard;
	session_free(plane, session);
	placement_instance_changed(plane, instance);
	wake_set(plane, &instance->wake, instance->silent_since + plane_options(plane)->lost_after);
}

void session_end(struct plane *plane, struct instance_entry *instance)
{
	if (!instance->session)
		return;
	hang_up(plane, instance->session->number, STR_NONE);
	instance_lost_session(plane, instance);
}

static void session_wake(struct plane *plane, struct wake *wake)
{
	struct session *session = CONTAINER_OF(wake, struct session, wake);
	usec heartbeat = plane_options(plane)->heartbeat;

	if (plane_now(plane) - session->last_heard > SILENT_HEARTBEATS * heartbeat + heartbeat / 2) {
		session_end(plane, session->instance);
		return;
	}
	send_heartbeat(plane, session);
	wake_set(plane, wake, plane_now(plane) + heartbeat);
}

static void take_version(struct plane *plane, struct instance_entry *instance, const struct session_event *event)
{
	struct ecs_version_info info = {.agent_version = event->agent_version, .agent_hash = event->agent_hash,
					.docker_version = event->docker_version};
	struct container_instance next = *instance->record;

	if (next.version_info && shape_equal(&shape_ecs_version_info, next.version_info, &info))
		return;
	next.version_info = &info;
	instance_emit(plane, instance, &next);
}

static struct instance_entry *instance_named(struct plane *plane, const struct session_event *event)
{
	struct call call = {.plane = plane, .realm = plane_realm(plane, event->caller.account, event->region),
			    .caller = &event->caller, .arena = plane_arena(plane)};
	struct cluster_entry *cluster;
	struct instance_entry *instance;

	if (!find_agent_cluster(&call, event->cluster, false, &cluster))
		return NULL;
	instance = find_instance(&call, cluster, event->container_instance);
	return instance && instance->record->status != INSTANCE_STATUS_INACTIVE ? instance : NULL;
}

static struct session *session_new(struct plane *plane, struct instance_entry *instance, uint64_t number)
{
	struct session *session = calloc(1, sizeof(*session));

	if (!session)
		abort();
	session->number = number;
	snprintf(session->key, sizeof(session->key), "%llu", (unsigned long long)number);
	session->instance = instance;
	session->last_heard = plane_now(plane);
	session->wake.run = session_wake;
	map_put(&plane_ecs(plane)->sessions, str_of(session->key), session);
	instance->session = session;
	return session;
}

void ecs_session_opened(struct plane *plane, const struct session_event *event)
{
	struct instance_entry *instance = instance_named(plane, event);
	struct session *session;
	bool was_lost;

	if (!instance) {
		hang_up(plane, event->session, S("InactiveInstanceException"));
		return;
	}
	was_lost = instance_is_lost(plane, instance);
	session_end(plane, instance);                    /* the newest channel wins */
	wake_clear(plane, &instance->wake);
	session = session_new(plane, instance, event->session);
	take_version(plane, instance, event);
	placement_instance_changed(plane, instance);
	if (was_lost)
		touch_services(plane, instance);
	send_manifest(plane, session);
	CHAIN_EACH(&instance->tasks, struct task_entry, on_instance, task)
		session_send_task(plane, task);
	send_heartbeat(plane, session);
	wake_set(plane, &session->wake, plane_now(plane) + plane_options(plane)->heartbeat);
}

void ecs_session_closed(struct plane *plane, const struct session_event *event)
{
	struct session *session = session_find(plane, event->session);

	if (!session)
		return;
	session->last_heard = plane_now(plane);
	instance_lost_session(plane, session->instance);
}

/* ---- what agents say */
static bool still_wanted(struct plane *plane, struct instance_entry *instance, struct str arn)
{
	struct task_entry *task = find_task_by_arn(plane, instance->realm, arn);

	return task && task->instance == instance && task_is_wanted(task->record);
}

/* The agent asks before it stops what the manifest did not list; the world may have moved on since. */
static void answer_verification(struct plane *plane, struct session *session,
				const struct acs_task_stop_verification_message *question)
{
	struct arena *arena = plane_arena(plane);
	struct acs_task_stop_verification_ack *answer = arena_new(arena, struct acs_task_stop_verification_ack);

	answer->message_id = question->message_id;
	answer->generated_at = (struct maybe_long){plane_now(plane) / USEC_PER_MSEC, true};
	answer->stop_tasks.items = arena_array(arena, struct acs_task_identifier, question->stop_candidates.count);
	for (size_t i = 0; i < question->stop_candidates.count; i++)
		if (!still_wanted(plane, session->instance, question->stop_candidates.items[i].task_arn))
			answer->stop_tasks.items[answer->stop_tasks.count++] = question->stop_candidates.items[i];
	send(plane, session, S("TaskStopVerificationAck"), &shape_acs_task_stop_verification_ack, answer);
}

void ecs_session_message(struct plane *plane, const struct session_event *event)
{
	struct session *session;

	if (str_equal(event->type, S("PublishHealthRequest"))) {
		session_take_health(plane, event);
		return;
	}
	session = session_find(plane, event->session);
	if (!session)
		return;
	session->last_heard = plane_now(plane);
	if (str_equal(event->type, S("TaskStopVerificationMessage")) && event->message)
		answer_verification(plane, session, event->message);
}

/* After a restart nobody is connected: every instance has lost_after to come back. */
void ecs_start(struct plane *plane)
{
	struct realm *realm;

	for (size_t cursor = 0; (realm = plane_next_realm(plane, &cursor));)
		SORTED_EACH(&realm->clusters, struct cluster_entry, by_name, cluster) {
			SORTED_EACH(&cluster->instances, struct instance_entry, by_id, instance)
				wake_set(plane, &instance->wake, instance->record->status == INSTANCE_STATUS_INACTIVE
					 ? instance->record->inactive_at.value + INSTANCE_INACTIVE_USEC
					 : plane_now(plane) + plane_options(plane)->lost_after);
			SORTED_EACH(&cluster->services, struct service_entry, by_name, service)
				service_touch(plane, service);
		}
}
