/* What people look at: `wherry ps` (Overview) and `wherry why` (Why). Reads the ECS room, changes nothing. */
#include "api/wherry_handlers.h"
#include "control/call.h"
#include "control/ecs/instances.h"
#include "control/ecs/services.h"
#include "control/ecs/tasks.h"

enum { OVERVIEW_TASKS_LIMIT = 1000 };                    /* of each cluster */

/* ---- Overview */
/* What stands behind the last slash: all of a name, the id of an ARN. */
static struct str last_part(struct str text)
{
	size_t slash = str_find_last(text, '/');

	return slash < text.len ? str_slice(text, slash + 1, text.len) : text;
}

static void instance_row(const struct instance_entry *instance, struct wherry_instance_row *row)
{
	*row = (struct wherry_instance_row){
		.id = instance->by_id.key,
		.status = shape_word_text(&shape_instance_status, (int32_t)instance->record->status),
		.connected = {instance->session != NULL, true},
		.cpu = instance->node->record->cpu, .cpu_free = {instance->node->cpu_free, true},
		.memory = instance->node->record->memory, .memory_free = {instance->node->memory_free, true},
		.tasks = {instance->counts.live, true}};
}

static void service_row(struct call *call, const struct service_entry *service, struct wherry_service_row *row)
{
	struct service_census count = service_count(call->plane, service, STR_NONE);
	const struct service *record = service->record;

	*row = (struct wherry_service_row){
		.name = record->name,
		.status = shape_word_text(&shape_service_status, (int32_t)record->status),
		.desired = record->desired_count,
		.running = {count.running, true}, .pending = {count.pending, true},
		.waiting = service_why(call->plane, service)};
	if (record->deployments.count) {
		row->definition = record->deployments.items[0].definition;
		row->rollout = shape_word_text(&shape_ecs_deployment_rollout_state,
					       (int32_t)record->deployments.items[0].rollout_state);
	}
}

static struct str ports_of(struct call *call, const struct task *task)
{
	struct str text = STR_NONE;

	for (size_t i = 0; i < task->containers.count; i++)
		for (size_t p = 0; p < task->containers.items[i].network_bindings.count; p++) {
			const struct ecs_network_binding *binding = &task->containers.items[i].network_bindings.items[p];

			text = arena_printf(call->arena, "%.*s%s%d->%d", STR(text), str_has(text) ? "," : "",
					    binding->host_port.value, binding->container_port.value);
		}
	return text;
}

static void task_row(struct call *call, const struct task_entry *entry, struct wherry_task_row *row)
{
	const struct task *task = entry->record;
	struct maybe_time since = task->stopped_at.has ? task->stopped_at : task->started_at.has ? task->started_at
											      : task->created_at;

	*row = (struct wherry_task_row){
		.id = entry->by_id.key, .service = task->service, .definition = task->definition,
		.status = shape_word_text(&shape_task_status, (int32_t)task->last_status),
		.desired = shape_word_text(&shape_ecs_desired_status, (int32_t)task->desired_status),
		.instance = task->instance, .since = since, .ports = ports_of(call, task), .reason = task->stopped_reason};
}

static void task_rows(struct call *call, const struct cluster_entry *cluster, struct wherry_task_rows *rows)
{
	size_t wanted = MIN((size_t)cluster->counts.live + cluster->stopped_count, (size_t)OVERVIEW_TASKS_LIMIT);

	rows->items = arena_array(call->arena, struct wherry_task_row, wanted);
	/* What lives first, then the latest of what stopped. */
	SORTED_EACH(&cluster->tasks, struct task_entry, by_id, task)
		if (rows->count < wanted && task_is_live(task->record))
			task_row(call, task, &rows->items[rows->count++]);
	for (struct link *link = cluster->stopped.prev; link != &cluster->stopped && rows->count < wanted; link = link->prev)
		task_row(call, CONTAINER_OF(link, struct task_entry, in_stopped), &rows->items[rows->count++]);
}

static void cluster_row(struct call *call, const struct cluster_entry *cluster, struct wherry_cluster_row *row)
{
	row->name = cluster->record->name;
	row->instances.items = arena_array(call->arena, struct wherry_instance_row, cluster->instances.count);
	row->services.items = arena_array(call->arena, struct wherry_service_row, cluster->services.count);
	SORTED_EACH(&cluster->instances, struct instance_entry, by_id, instance)
		if (instance->record->status != INSTANCE_STATUS_INACTIVE)
			instance_row(instance, &row->instances.items[row->instances.count++]);
	SORTED_EACH(&cluster->services, struct service_entry, by_name, service)
		if (service->record->status != SERVICE_STATUS_INACTIVE)
			service_row(call, service, &row->services.items[row->services.count++]);
	task_rows(call, cluster, &row->tasks);
}

bool wherry_overview(struct call *call, const struct wherry_overview_request *in, struct wherry_overview_response *out)
{
	out->clusters.items = arena_array(call->arena, struct wherry_cluster_row, call->realm->clusters.count);
	SORTED_EACH(&call->realm->clusters, struct cluster_entry, by_name, cluster)
		if (cluster->record->status == CLUSTER_STATUS_ACTIVE &&
		    (str_empty(in->cluster) || str_equal(in->cluster, cluster->record->name)))
			cluster_row(call, cluster, &out->clusters.items[out->clusters.count++]);
	return true;
}

/* ---- Why */
static void why_placement(struct call *call, const struct placement_class *class, struct wherry_why_response *out)
{
	struct placement_why why;

	placement_why(class, &why);
	out->reasons.items = arena_array(call->arena, struct wherry_reason, REFUSAL_COUNT);
	for (int refusal = REFUSAL_NONE + 1; refusal < REFUSAL_COUNT; refusal++)
		if (why.counts[refusal])
			out->reasons.items[out->reasons.count++] = (struct wherry_reason){
				.reason = refusal_failure(refusal), .count = {(int32_t)why.counts[refusal], true}};
	if (!why.nearest)
		return;
	out->nearest = why.nearest->by_id.key;
	out->nearest_reason = arena_printf(call->arena, "(container-instance %.*s) %.*s", STR(why.nearest->by_id.key),
					   STR(refusal_sentence(why.nearest_refusal)));
}

static void why_service(struct call *call, const struct service_entry *service, struct wherry_why_response *out)
{
	out->sentence = service_why(call->plane, service);
	out->waiting = (struct maybe_boolean){str_has(out->sentence), true};
	if (!str_has(out->sentence))
		out->sentence = arena_printf(call->arena, "service %.*s has all of its %d tasks", STR(service->record->name),
					     service->record->desired_count.value);
	if (service->waiting)
		why_placement(call, service->waiting, out);
}

static struct str why_task_sentence(struct call *call, const struct task_entry *entry)
{
	const struct task *task = entry->record;
	const struct instance_entry *instance = entry->instance;

	if (!task_is_live(task))
		return arena_printf(call->arena, "STOPPED: %.*s", STR(task->stopped_reason));
	if (instance && !instance->session)
		return arena_printf(call->arena, "the agent of its container instance %.*s is not connected (silent for %lld s)",
				    STR(task->instance), (long long)((plane_now(call->plane) - instance->silent_since) / USEC_PER_SEC));
	if (task->desired_status == ECS_DESIRED_STATUS_STOPPED)
		return arena_printf(call->arena, "stopping since %lld s: %.*s",
				    (long long)((plane_now(call->plane) - task->stopping_at.value) / USEC_PER_SEC),
				    STR(task->stopped_reason));
	if (task->last_status == TASK_STATUS_PROVISIONING || task->last_status == TASK_STATUS_PENDING)
		return arena_printf(call->arena, "handed to the agent of container instance %.*s %lld s ago; it pulls images and "
				    "creates containers", STR(task->instance),
				    (long long)((plane_now(call->plane) - task->created_at.value) / USEC_PER_SEC));
	return STR_NONE;
}

static void why_task(struct call *call, const struct task_entry *task, struct wherry_why_response *out)
{
	out->sentence = why_task_sentence(call, task);
	out->waiting = (struct maybe_boolean){str_has(out->sentence) && task_is_live(task->record), true};
	if (!str_has(out->sentence))
		out->sentence = S("RUNNING, as wanted");
}

/* `subject`: the name of a service or (the beginning of) the id of a task, or their ARNs. */
bool wherry_why(struct call *call, const struct wherry_why_request *in, struct wherry_why_response *out)
{
	struct str subject = last_part(in->subject);
	struct cluster_entry *cluster;
	struct sorted_node *node;

	if (!find_cluster(call, in->cluster, false, &cluster))
		return false;
	out->subject = subject;
	node = sorted_get(&cluster->services, subject);
	if (node) {
		why_service(call, CONTAINER_OF(node, struct service_entry, by_name), out);
		return true;
	}
	node = str_empty(subject) ? NULL : sorted_at_or_after(&cluster->tasks, subject);
	if (!node || !str_starts(node->key, subject))
		return fail(&call->error, ERROR_CLIENT, "There is no service and no task '%.*s' in cluster %.*s.", STR(in->subject),
			    STR(cluster->record->name));
	why_task(call, CONTAINER_OF(node, struct task_entry, by_id), out);
	return true;
}
