/* What agents report (agent-protocol 5): the only way a task's observed state moves. Repeats are answered as
 * successes and change nothing; what comes after STOPPED is ignored. */
#include "api/ecs_handlers.h"
#include "control/call.h"
#include "control/ecs/services.h"
#include "control/ecs/tasks.h"

enum {
	REASON_LIMIT = 1024, RUNTIME_ID_LIMIT = 255,
	CONTAINER_BINDINGS_LIMIT = 256,                  /* more are cut off: the task is not worse for it */
	BINDING_TEXT_LIMIT = 64,
};

static struct str cut_off(struct str text, size_t limit)
{
	size_t end = MIN(text.len, limit);

	while (end < text.len && end > 0 && ((unsigned char)text.ptr[end] & 0xc0) == 0x80)
		end--;                           /* not inside a UTF-8 sequence */
	return str_slice(text, 0, end);
}

static enum task_status status_of(struct str word)
{
	if (str_equal(word, S("RUNNING")))
		return TASK_STATUS_RUNNING;
	return str_equal(word, S("STOPPED")) ? TASK_STATUS_STOPPED : TASK_STATUS_PENDING;
}

static void take_bindings(struct plane *plane, struct ecs_network_bindings *to, const struct ecs_network_bindings *from)
{
	if (from->count == 0)
		return;
	to->count = MIN(from->count, (size_t)CONTAINER_BINDINGS_LIMIT);
	to->items = arena_array(plane_arena(plane), struct ecs_network_binding, to->count);
	for (size_t i = 0; i < to->count; i++) {
		to->items[i] = from->items[i];
		to->items[i].bind_ip = cut_off(from->items[i].bind_ip, BINDING_TEXT_LIMIT);
		to->items[i].container_port_range = cut_off(from->items[i].container_port_range, BINDING_TEXT_LIMIT);
		to->items[i].host_port_range = cut_off(from->items[i].host_port_range, BINDING_TEXT_LIMIT);
	}
}

static bool take_container(struct plane *plane, struct task_container *to, const struct ecs_container_state_change *from)
{
	struct task_container before = *to;
	enum task_status status = status_of(from->status);

	if (status > to->status)
		to->status = status;
	if (from->exit_code.has)
		to->exit_code = from->exit_code;
	if (!str_empty(from->reason))
		to->reason = cut_off(from->reason, REASON_LIMIT);
	if (!str_empty(from->runtime_id))
		to->runtime_id = cut_off(from->runtime_id, RUNTIME_ID_LIMIT);
	if (!str_empty(from->image_digest))
		to->image_digest = cut_off(from->image_digest, RUNTIME_ID_LIMIT);
	take_bindings(plane, &to->network_bindings, &from->network_bindings);
	return !shape_equal(&shape_task_container, &before, to);
}

static bool take_containers(struct plane *plane, struct task *task, const struct ecs_container_state_changes *changes)
{
	bool changed = false;

	task->containers = copy_containers(plane, &task->containers);
	for (size_t i = 0; i < changes->count; i++)
		for (size_t c = 0; c < task->containers.count; c++)
			if (str_equal(task->containers.items[c].name, changes->items[i].container_name))
				changed |= take_container(plane, &task->containers.items[c], &changes->items[i]);
	return changed;
}

static bool take_time(struct maybe_time *to, struct maybe_time from)
{
	if (!from.has || to->has)
		return false;
	*to = from;
	return true;
}

/* Why a task stopped that nobody had asked to: ecs-behaviour 5.3. */
static void explain_stop(struct task *task, struct str said, enum ecs_task_stop_code *ret_code, struct str *ret_reason)
{
	if (task->started_at.has) {
		*ret_code = ECS_TASK_STOP_CODE_ESSENTIAL_CONTAINER_EXITED;
		*ret_reason = S("Essential container in task exited");
		return;
	}
	*ret_code = ECS_TASK_STOP_CODE_TASK_FAILED_TO_START;
	*ret_reason = str_empty(said) ? S("Task failed to start") : said;
	for (size_t i = 0; str_empty(said) && i < task->containers.count; i++)
		if (!str_empty(task->containers.items[i].reason)) {
			*ret_reason = task->containers.items[i].reason;
			return;
		}
	/* It ran and ended before anybody could say RUNNING. */
	for (size_t i = 0; str_empty(said) && i < task->containers.count; i++)
		if (task->containers.items[i].exit_code.has) {
			*ret_code = ECS_TASK_STOP_CODE_ESSENTIAL_CONTAINER_EXITED;
			*ret_reason = S("Essential container in task exited");
		}
}

static void stopped(struct plane *plane, struct task_entry *entry, struct task *next, struct str said)
{
	enum ecs_task_stop_code code;
	struct str reason;

	explain_stop(next, cut_off(said, REASON_LIMIT), &code, &reason);
	task_deprovision(next);
	task_emit(plane, entry, next);
	task_end(plane, entry, code, reason);
}

/* The agent has the task, and its interface if there is one. */
static bool take_arrival(struct plane *plane, struct task *task)
{
	if (task->last_status != TASK_STATUS_PROVISIONING)
		return false;
	task->attachment = copy_attachment(plane, task);
	task->attachment->status = ATTACHMENT_STATUS_ATTACHED;
	task_move(task, TASK_STATUS_PENDING);
	return true;
}

static bool sees_interface(struct plane *plane, const struct task_entry *entry, const struct ecs_attachment_state_changes *changes)
{
	for (size_t i = 0; entry->record->attachment && i < changes->count; i++)
		if (str_equal(changes->items[i].status, S("ATTACHED")) &&
		    str_equal(changes->items[i].attachment_arn, attachment_arn(plane, entry)))
			return true;
	return false;
}

static void take_attachments(struct plane *plane, struct task_entry *entry, const struct ecs_attachment_state_changes *changes)
{
	struct task next = *entry->record;

	if (sees_interface(plane, entry, changes) && take_arrival(plane, &next))
		task_emit(plane, entry, &next);
}

static void take_state(struct plane *plane, struct task_entry *entry, enum task_status status, struct str said,
		       const struct ecs_container_state_changes *containers, const struct maybe_time times[3])
{
	struct task next = *entry->record;
	bool changed = take_containers(plane, &next, containers);

	changed |= take_time(&next.pull_started_at, times[0]);
	changed |= take_time(&next.pull_stopped_at, times[1]);
	changed |= take_time(&next.execution_stopped_at, times[2]);
	if (status == TASK_STATUS_STOPPED) {
		stopped(plane, entry, &next, said);
		return;
	}
	changed |= take_arrival(plane, &next);
	if (status == TASK_STATUS_RUNNING && next.last_status == TASK_STATUS_PENDING) {
		task_move(&next, TASK_STATUS_RUNNING);
		next.started_at = (struct maybe_time){plane_now(plane), true};
		changed = true;
		if (entry->service)
			service_task_started(plane, entry->service, entry->record);
	}
	if (!changed)
		return;
	task_emit(plane, entry, &next);
	if (entry->service)
		service_touch(plane, entry->service);
}

/* A report names the reporter's cluster, and the task may be another's (Fargate): the instance it is on must belong to
 * the reporter's. NULL for a task that history has forgotten: the agent is told that all is well, or it would repeat
 * this for ever. */
static bool find_reported(struct call *call, struct str cluster_name, struct str task, struct task_entry **ret_entry)
{
	struct task_entry *entry = find_task_by_arn(call->plane, call->realm, task);
	struct cluster_entry *cluster;
	struct sorted_node *node;
	struct str id;

	if (!find_agent_cluster(call, cluster_name, false, &cluster))
		return false;
	if (!entry) {
		id = identifier_in_cluster(call, cluster, S("task"), task);
		node = str_has(id) ? sorted_get(&cluster->tasks, id) : NULL;
		entry = node ? CONTAINER_OF(node, struct task_entry, by_id) : NULL;
	}
	if (entry && entry->instance && entry->instance->cluster != cluster)
		return fail(&call->error, ERROR_INVALID_PARAMETER, "The task is not on a container instance of the cluster %.*s.",
			    STR(cluster->record->name));
	*ret_entry = entry;
	return true;
}

bool ecs_submit_task_state_change(struct call *call, const struct ecs_submit_task_state_change_request *in,
				  struct ecs_submit_task_state_change_response *out)
{
	struct maybe_time times[3] = {in->pull_started_at, in->pull_stopped_at, in->execution_stopped_at};
	struct task_entry *entry;

	if (!find_reported(call, in->cluster, in->task, &entry))
		return false;
	if (entry && task_is_live(entry->record))
		take_attachments(call->plane, entry, &in->attachments);
	if (entry && task_is_live(entry->record) && (str_has(in->status) || in->containers.count))
		take_state(call->plane, entry, status_of(in->status), in->reason, &in->containers, times);
	out->acknowledgment = S("ACCEPT");
	return true;
}

/* Old agents' way: one container. The task itself follows by SubmitTaskStateChange. */
bool ecs_submit_container_state_change(struct call *call, const struct ecs_submit_container_state_change_request *in,
				       struct ecs_submit_container_state_change_response *out)
{
	struct ecs_container_state_change change = {
		.container_name = in->container_name, .runtime_id = in->runtime_id, .exit_code = in->exit_code,
		.network_bindings = in->network_bindings, .reason = in->reason, .status = in->status};
	struct ecs_container_state_changes changes = {&change, 1};
	struct maybe_time times[3] = {0};
	struct task_entry *entry;

	if (!find_reported(call, in->cluster, in->task, &entry))
		return false;
	if (entry && task_is_live(entry->record))
		take_state(call->plane, entry, TASK_STATUS_PENDING, STR_NONE, &changes, times);
	out->acknowledgment = S("ACCEPT");
	return true;
}

/* Attachments of instances are trunk interfaces and volumes, which Wherry does not hand out: there is nothing to keep. */
bool ecs_submit_attachment_state_changes(struct call *call, const struct ecs_submit_attachment_state_changes_request *in,
					 struct ecs_submit_attachment_state_changes_response *out)
{
	struct cluster_entry *cluster;

	if (!find_agent_cluster(call, in->cluster, false, &cluster))
		return false;
	out->acknowledgment = S("ACCEPT");
	return true;
}
