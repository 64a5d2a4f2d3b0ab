/* report.c - what the server is told by API calls, and what its answers mean (agent-protocol 1.4, 5.1).
 *
 * A task is reported level by level: RUNNING once it ran, even when it has ended since, then STOPPED. Between,
 * the end of a container that is not essential is reported with the task RUNNING. PENDING is sent only when
 * a container has to wait for more than the start of another, so that its digests are known meanwhile. Before all
 * of it, the server hears that the task's interface is there. */
#include "agent/held.h"

enum {
	RETRY_FIRST_MSEC = 1000, RETRY_LIMIT_SECONDS = 30,
	REGISTER_FIRST_MSEC = 250, REGISTER_LIMIT_SECONDS = 60,
	LATE_PAYLOAD_SECONDS = 120,                      /* longer than a frame can be under way on a channel that lives */
};

static struct agent_call *call(struct step *step, enum call_kind kind, enum ecs_operation operation, const void *input)
{
	struct agent_call *made = list_push(&step->out->calls);

	*made = (struct agent_call){.kind = kind, .ticket = ++step->agent->next_ticket, .input = input,
				    .operation = &api_ecs.operations[operation]};
	return made;
}

/* ---- Registration */

static struct ecs_resource *integer_resource(struct ecs_resource *resource, struct str name, int64_t value)
{
	*resource = (struct ecs_resource){.name = name, .type = S("INTEGER"),
					  .integer_value = {(int32_t)MIN(value, INT32_MAX), true}};
	return resource + 1;
}

static struct ecs_resource *set_resource(struct ecs_resource *resource, struct str name,
					 struct ecs_string_list set, struct arena *arena)
{
	if (!set.items)
		set.items = arena_array(arena, struct str, 0);
	*resource = (struct ecs_resource){.name = name, .type = S("STRINGSET"), .string_set_value = set};
	return resource + 1;
}

static struct ecs_resources resources(struct step *step)
{
	const struct agent_options *options = &step->agent->options;
	struct ecs_resource *items = arena_array(step->arena, struct ecs_resource, 5), *next = items;

	next = integer_resource(next, S("CPU"), options->cpu_units);
	next = integer_resource(next, S("MEMORY"), options->memory_mib);
	next = set_resource(next, S("PORTS"), options->reserved_tcp, step->arena);
	next = set_resource(next, S("PORTS_UDP"), options->reserved_udp, step->arena);
	if (options->gpus.count)
		next = set_resource(next, S("GPU"), options->gpus, step->arena);
	return (struct ecs_resources){items, (size_t)(next - items)};
}

static struct ecs_platform_devices platform_devices(struct step *step)
{
	const struct ecs_string_list *gpus = &step->agent->options.gpus;
	struct ecs_platform_devices list = {arena_array(step->arena, struct ecs_platform_device, gpus->count), gpus->count};

	for (size_t i = 0; i < gpus->count; i++)
		list.items[i] = (struct ecs_platform_device){.id = gpus->items[i], .type = ECS_PLATFORM_DEVICE_TYPE_GPU};
	return list;
}

/* The user's attributes go first, and only at the first registration: later they are the server's. */
static struct ecs_attributes attributes(struct step *step, bool first)
{
	const struct ecs_attributes *own = step->agent->options.attributes;
	const struct ecs_attributes *user = first ? step->agent->options.user_attributes : NULL;
	size_t own_count = own ? own->count : 0, user_count = user ? user->count : 0;
	struct ecs_attribute *items = arena_array(step->arena, struct ecs_attribute, own_count + user_count);

	if (user_count)
		memcpy(items, user->items, user_count * sizeof(*items));
	if (own_count)
		memcpy(items + user_count, own->items, own_count * sizeof(*items));
	return (struct ecs_attributes){items, own_count + user_count};
}

static void create_cluster(struct step *step)
{
	struct ecs_create_cluster_request *input = arena_new(step->arena, struct ecs_create_cluster_request);

	input->cluster_name = agent_cluster(step->agent);
	step->agent->creating_cluster = true;
	step->agent->register_ticket =
		call(step, CALL_CREATE_CLUSTER, ECS_OPERATION_CREATE_CLUSTER, input)->ticket;
}

void report_register(struct step *step)
{
	struct agent *agent = step->agent;
	struct ecs_register_container_instance_request *input =
		arena_new(step->arena, struct ecs_register_container_instance_request);

	input->cluster = agent_cluster(agent);
	input->container_instance_arn = agent->instance->container_instance_arn;
	input->instance_identity_document = input->instance_identity_document_signature = S("");
	input->total_resources = resources(step);
	input->platform_devices = platform_devices(step);
	input->attributes = attributes(step, !str_has(agent->instance->container_instance_arn));
	if (!str_empty(agent->options.version)) {
		input->version_info = arena_new(step->arena, struct ecs_version_info);
		input->version_info->agent_version = agent->options.version;
	}
	if (agent->options.tags)
		input->tags = *agent->options.tags;
	agent->register_at = USEC_NEVER;
	agent->register_ticket =
		call(step, CALL_REGISTER, ECS_OPERATION_REGISTER_CONTAINER_INSTANCE, input)->ticket;
}

static bool terminal(struct step *step, const char *why, struct str text)
{
	step->agent->terminal = true;
	step->out->terminal = true;
	return fail(&step->out->error, ERROR_REFUSED, "%s: %.*s", why, STR(text));
}

/* Every attribute that was sent must come back with the same value (agent-protocol 1.4). */
static bool attributes_came_back(struct step *step, const struct ecs_attributes *got)
{
	const struct ecs_attributes *sent = step->agent->options.attributes;

	for (size_t i = 0; sent && i < sent->count; i++) {
		bool same = false;

		for (size_t j = 0; j < got->count && !same; j++)
			same = str_equal(got->items[j].name, sent->items[i].name) &&
			       str_equal(got->items[j].value, sent->items[i].value);
		if (!same)
			return terminal(step, "the server did not take an attribute", sent->items[i].name);
	}
	return true;
}

static void register_later(struct step *step)
{
	step->agent->register_at = step->now + backoff(step, REGISTER_FIRST_MSEC * USEC_PER_MSEC, 2,
						       step->agent->register_attempts++,
						       REGISTER_LIMIT_SECONDS * USEC_PER_SEC);
}

static void registered(struct step *step, const struct ecs_register_container_instance_response *output)
{
	struct agent *agent = step->agent;
	const struct ecs_container_instance *instance = output->container_instance;
	struct agent_instance next = *agent->instance;
	struct agent_instance *old = agent->instance;

	if (!instance || str_empty(instance->container_instance_arn)) {
		register_later(step);
		return;
	}
	if (!attributes_came_back(step, &instance->attributes))
		return;
	next.cluster = agent_cluster(agent);
	next.container_instance_arn = instance->container_instance_arn;
	agent->instance = shape_clone(&shape_agent_instance, &next);
	free(old);
	agent->instance_changed = true;
	agent->registered = true;
	agent->register_attempts = 0;
	agent->connect_at = step->now;
	for (size_t i = 0; i < agent->tasks.count; i++)
		held_look(agent, agent->tasks.items[i]);
}

static bool cluster_is_missing(const struct agent_event *event)
{
	return event->error == ERROR_CLUSTER_NOT_FOUND || str_contains(event->error_text, S("Cluster not found."));
}

static void register_answer(struct step *step, const struct agent_event *event)
{
	struct agent *agent = step->agent;
	bool created = agent->creating_cluster;

	agent->register_ticket = 0;
	agent->creating_cluster = false;
	if (event->output && created)
		report_register(step);
	else if (event->output)
		registered(step, event->output);
	else if (!created && cluster_is_missing(event) && str_empty(agent->options.cluster))
		create_cluster(step);
	else if (event->error == ERROR_INVALID_PARAMETER || event->error == ERROR_CLIENT)
		terminal(step, "registration was refused", event->error_text);
	else
		register_later(step);
}

/* ---- Tasks */

static struct str status_word(enum agent_status status)
{
	if (status < AGENT_STATUS_RUNNING)
		return S("PENDING");
	return status == AGENT_STATUS_RUNNING ? S("RUNNING") : S("STOPPED");
}

static bool waits_for_more_than_a_start(const struct held *work)
{
	for (size_t i = 0; i < work->record->containers.count; i++) {
		const struct acs_dependencies *depends_on = &held_definition(work, i)->depends_on;

		if (work->record->containers.items[i].known >= AGENT_STATUS_RUNNING)
			continue;
		for (size_t j = 0; j < depends_on->count; j++)
			if (!str_equal(depends_on->items[j].condition, S("START")))
				return true;
	}
	return false;
}

/* A task said to run has its essential containers running, whatever became of them since. */
static enum agent_status container_status(const struct held *work, size_t index, enum agent_status task)
{
	enum agent_status known = work->record->containers.items[index].known;

	if (task == AGENT_STATUS_RUNNING && held_definition(work, index)->essential.value)
		return MIN(known, AGENT_STATUS_RUNNING);
	return known;
}

/* Only those that are not essential can, while the task is said to run. */
static bool a_container_moved(const struct held *work)
{
	const struct agent_containers *containers = &work->record->containers;

	for (size_t i = 0; i < containers->count; i++)
		if (containers->items[i].reported < container_status(work, i, AGENT_STATUS_RUNNING))
			return true;
	return false;
}

/* What to tell next; ABSENT: nothing. */
static enum agent_status due(const struct held *work)
{
	const struct agent_task *record = work->record;

	if (record->started_at.has && record->reported < AGENT_STATUS_RUNNING)
		return AGENT_STATUS_RUNNING;
	if (record->known == AGENT_STATUS_STOPPED)
		return record->reported < AGENT_STATUS_STOPPED ? AGENT_STATUS_STOPPED : AGENT_STATUS_ABSENT;
	if (record->reported == AGENT_STATUS_RUNNING)
		return record->desired == AGENT_STATUS_RUNNING && a_container_moved(work) ? AGENT_STATUS_RUNNING
											 : AGENT_STATUS_ABSENT;
	if (record->reported < AGENT_STATUS_PULLED && record->known == AGENT_STATUS_CREATED &&
	    waits_for_more_than_a_start(work))
		return AGENT_STATUS_PULLED;
	return AGENT_STATUS_ABSENT;
}

static void describe_container(struct step *step, struct held *work, size_t index,
			       struct ecs_container_state_change *out)
{
	const struct agent_container *container = &work->record->containers.items[index];
	enum agent_status status = container_status(work, index, work->sent);

	work->containers[index].sent = status;
	out->container_name = container->name;
	out->image_digest = container->image_digest;
	out->runtime_id = container->runtime_id;
	out->status = status_word(status);
	out->network_bindings = container->network_bindings;
	if (!out->network_bindings.items)
		out->network_bindings.items = arena_array(step->arena, struct ecs_network_binding, 0);
	if (status != AGENT_STATUS_STOPPED)
		return;
	out->exit_code = container->exit_code;
	out->reason = str_slice(container->reason, 0, 1024);
}

static bool attachment_is_due(const struct held *work)
{
	return work->record->attached_at.has && !work->record->attached_told.value && !work->released;
}

static void make_call(struct step *step, struct held *work,
		      const struct ecs_submit_task_state_change_request *input)
{
	/* The record is replaced at the end of this step: the call has its own. */
	work->ticket = call(step, CALL_SUBMIT_TASK, ECS_OPERATION_SUBMIT_TASK_STATE_CHANGE,
			    shape_copy(&shape_ecs_submit_task_state_change_request, input, step->arena))->ticket;
	map_put(&step->agent->by_ticket, (struct str){(char *)&work->ticket, sizeof(work->ticket)}, work);
}

/* In this form the request carries only cluster, task and attachments (agent-protocol 5.1). */
static void submit_attachment(struct step *step, struct held *work)
{
	const struct acs_task *task = work->record->task;
	size_t count = task->elastic_network_interfaces.count;
	struct ecs_submit_task_state_change_request input = {.cluster = agent_cluster(step->agent), .task = task->arn};

	input.attachments.items = arena_array(step->arena, struct ecs_attachment_state_change, count);
	input.attachments.count = count;
	for (size_t i = 0; i < count; i++)
		input.attachments.items[i] = (struct ecs_attachment_state_change){
			.attachment_arn = task->elastic_network_interfaces.items[i].attachment_arn,
			.status = S("ATTACHED")};
	make_call(step, work, &input);
}

static void submit(struct step *step, struct held *work)
{
	const struct agent_task *record = work->record;
	size_t count = record->containers.count;
	struct ecs_submit_task_state_change_request *input =
		arena_new(step->arena, struct ecs_submit_task_state_change_request);

	input->cluster = agent_cluster(step->agent);
	input->task = arena_copy(step->arena, record->task->arn);
	input->status = status_word(work->sent);
	input->reason = str_has(record->reason) ? str_slice(record->reason, 0, 1024) : S("");
	input->pull_started_at = record->pull_started_at;
	input->pull_stopped_at = record->pull_stopped_at;
	if (work->sent == AGENT_STATUS_STOPPED)
		input->execution_stopped_at = record->execution_stopped_at;
	input->containers.items = arena_array(step->arena, struct ecs_container_state_change, count);
	input->containers.count = count;
	for (size_t i = 0; i < count; i++)
		describe_container(step, work, i, &input->containers.items[i]);
	make_call(step, work, input);
}

void report_task(struct step *step, struct held *work)
{
	enum agent_status status = due(work);
	bool attachment = attachment_is_due(work);

	if (work->ticket || (!status && !attachment) || !step->agent->registered)
		return;
	if (step->now < work->report_at) {
		work->wake_at = MIN(work->wake_at, work->report_at);
		return;
	}
	work->attachment_sent = attachment;
	if (attachment) {
		submit_attachment(step, work);
		return;
	}
	work->sent = status;
	submit(step, work);
}

static void told(struct step *step, struct held *work)
{
	struct agent_containers *containers = &work->record->containers;

	work->report_attempts = 0;
	if (work->attachment_sent) {
		work->record->attached_told = (struct maybe_boolean){true, true};
		work->touched = work->dated = true;
		return;
	}
	work->record->reported = MAX(work->record->reported, work->sent);
	for (size_t i = 0; i < containers->count; i++)
		containers->items[i].reported = MAX(containers->items[i].reported, work->containers[i].sent);
	work->touched = work->dated = true;              /* saying it twice does no harm */
	/* A payload that left the server before this report came must still find the task known: it would run again. */
	if (work->sent == AGENT_STATUS_STOPPED)
		work->known_until = step->now + LATE_PAYLOAD_SECONDS * USEC_PER_SEC;
}

static void submit_answer(struct step *step, struct held *work, const struct agent_event *event)
{
	map_remove(&step->agent->by_ticket, (struct str){(char *)&work->ticket, sizeof(work->ticket)});
	work->ticket = 0;
	held_look(step->agent, work);
	if (event->output || event->error == ERROR_INVALID_PARAMETER || event->error == ERROR_CLIENT)
		told(step, work);                              /* or refused for good: not said again */
	else
		work->report_at = step->now + backoff(step, RETRY_FIRST_MSEC * USEC_PER_MSEC, 1.3,
						      work->report_attempts++, RETRY_LIMIT_SECONDS * USEC_PER_SEC);
}

void report_answer(struct step *step, const struct agent_event *event)
{
	struct held *work;

	if (event->ticket && event->ticket == step->agent->register_ticket) {
		register_answer(step, event);
		return;
	}
	work = map_get(&step->agent->by_ticket, (struct str){(const char *)&event->ticket, sizeof(event->ticket)});
	if (work)
		submit_answer(step, work, event);
}
