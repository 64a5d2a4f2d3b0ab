/* message.c - what the server says on the channel (agent-protocol 2.4). */
#include "agent/held.h"

static void say(struct step *step, struct str type, const struct shape *shape, const void *value)
{
	*list_push(&step->out->messages) = (struct agent_message){.type = type, .shape = shape, .value = value};
}

static void acknowledge(struct step *step, struct str cluster, struct str instance, struct str message_id)
{
	struct acs_ack_request *ack = arena_new(step->arena, struct acs_ack_request);

	*ack = (struct acs_ack_request){.cluster = cluster, .container_instance = instance, .message_id = message_id};
	say(step, S("AckRequest"), &shape_acs_ack_request, ack);
}

/* ---- Credentials: kept in memory, never stored; the record keeps only their id and role. */

static void take_credentials(struct step *step, struct acs_iam_role_credentials **slot,
			     const struct acs_iam_role_credentials *credentials, struct str message_id)
{
	struct acs_iam_role_credentials_ack_request *ack;

	if (!credentials)
		return;
	free(*slot);
	*slot = shape_clone(&shape_acs_iam_role_credentials, credentials);
	ack = arena_new(step->arena, struct acs_iam_role_credentials_ack_request);
	*ack = (struct acs_iam_role_credentials_ack_request){.message_id = message_id,
		.expiration = credentials->expiration, .credentials_id = credentials->credentials_id};
	say(step, S("IAMRoleCredentialsAckRequest"), &shape_acs_iam_role_credentials_ack_request, ack);
}

static struct acs_iam_role_credentials *without_secrets(struct arena *arena,
							const struct acs_iam_role_credentials *credentials)
{
	struct acs_iam_role_credentials *shown;

	if (!credentials)
		return NULL;
	shown = arena_new(arena, struct acs_iam_role_credentials);
	shown->credentials_id = credentials->credentials_id;
	shown->role_arn = credentials->role_arn;
	return shown;
}

static struct held *find_task(struct agent *agent, struct str arn)
{
	struct held *work;
	struct str id;

	if (!accept_task_id(arn, &id))
		return NULL;
	work = map_get(&agent->by_id, id);
	return work && str_equal(work->record->task->arn, arn) ? work : NULL;
}

static void credentials_message(struct step *step, const void *value)
{
	const struct acs_iam_role_credentials_message *message = value;
	struct held *work = find_task(step->agent, message->task_arn);

	if (!work || !message->role_credentials)
		return;
	take_credentials(step, str_equal(message->role_type, S("TaskExecution")) ? &work->execution
										: &work->application,
			 message->role_credentials, message->message_id);
}

/* ---- Payload */

static struct agent_containers describe_containers(struct arena *arena, const struct acs_task *task,
						   enum agent_status desired, enum agent_status known)
{
	struct agent_containers containers = {arena_array(arena, struct agent_container, task->containers.count),
					      task->containers.count};

	for (size_t i = 0; i < containers.count; i++)
		containers.items[i] = (struct agent_container){.name = task->containers.items[i].name,
			.desired = desired, .known = known, .reported = AGENT_STATUS_NONE};
	return containers;
}

static struct held *add(struct step *step, struct str id, const struct acs_task *task, enum agent_status status)
{
	bool ended = status == AGENT_STATUS_STOPPED;
	struct acs_task kept = *task;
	struct agent_task record = {.task = &kept, .desired = ended ? status : AGENT_STATUS_RUNNING,
				    .known = status, .reported = AGENT_STATUS_NONE};
	struct held *work;

	kept.role_credentials = without_secrets(step->arena, task->role_credentials);
	kept.execution_role_credentials = without_secrets(step->arena, task->execution_role_credentials);
	record.containers = describe_containers(step->arena, task, record.desired, status);
	if (ended)
		record.stopped_at = record.remove_at = (struct maybe_time){step->now, true};
	work = held_add(step->agent, id, &record);
	work->touched = work->durable = true;
	held_look(step->agent, work);
	return work;
}

/* A task that is only there to be reported STOPPED, without containers: it was never run here. */
static void add_refused(struct step *step, struct str id, const struct acs_task *task, struct str reason)
{
	struct acs_task bare = {.arn = task->arn, .task_cluster_arn = task->task_cluster_arn,
				.desired_status = task->desired_status, .family = task->family,
				.version = task->version};

	bare.containers.items = arena_array(step->arena, struct acs_container, 0);
	add(step, id, &bare, AGENT_STATUS_STOPPED)->record->reason = reason;
}

static bool parse_status(struct str word, enum agent_status *ret_status)
{
	static const struct { struct str word; enum agent_status status; } words[] = {
		{ STR_INIT("RUNNING"), AGENT_STATUS_RUNNING }, { STR_INIT("STOPPED"), AGENT_STATUS_STOPPED },
		{ STR_INIT("NONE"), AGENT_STATUS_NONE },       { STR_INIT("CREATED"), AGENT_STATUS_CREATED },
		{ STR_INIT("MANIFEST_PULLED"), AGENT_STATUS_PULLED },
		{ STR_INIT("UNKNOWN"), AGENT_STATUS_NONE },    { STR_INIT("DEAD"), AGENT_STATUS_STOPPED },
	};

	for (size_t i = 0; i < COUNT(words); i++) {
		if (!str_equal(words[i].word, word))
			continue;
		*ret_status = words[i].status;
		return true;
	}
	return false;
}

static void known_task(struct step *step, struct held *work, enum agent_status desired)
{
	if (desired != AGENT_STATUS_STOPPED || work->record->desired == AGENT_STATUS_STOPPED)
		return;
	held_stop(work);
	held_look(step->agent, work);
}

/* Without interfaces of its own, a task gets those that were announced for it. */
static struct acs_task *complete(struct step *step, const struct acs_task *task)
{
	struct acs_elastic_network_interfaces announced = attachment_claim(step, task->arn);
	struct acs_task *completed = arena_new(step->arena, struct acs_task);

	*completed = *task;
	if (completed->elastic_network_interfaces.count == 0)
		completed->elastic_network_interfaces = announced;
	return completed;
}

static bool new_task(struct step *step, struct str id, const struct acs_task *sent, enum agent_status desired)
{
	const struct acs_task *task = complete(step, sent);
	struct error error;
	struct held *work;

	if (step->agent->tasks.count >= AGENT_TASKS_LIMIT)
		return false;
	if (!accept_check(task, step->arena, &error)) {
		add_refused(step, id, task, arena_printf(step->arena,
			"UnrecogniedTaskError: Error loading task - %s", error.text));
		return false;
	}
	if (desired == AGENT_STATUS_STOPPED) {
		add(step, id, task, AGENT_STATUS_STOPPED);
		return true;
	}
	if (step->agent->stop_all)
		return false;
	if (dependency_has_cycle(task)) {
		add_refused(step, id, task, arena_printf(step->arena,
			"TaskDependencyError: Task dependencies cannot be resolved, taskArn: %.*s", STR(task->arn)));
		return true;
	}
	work = add(step, id, task, AGENT_STATUS_NONE);
	work->demand = accept_demand(task, step->arena);
	return true;
}

static bool refuse_status(struct step *step, struct str id, const struct acs_task *task)
{
	if (!map_get(&step->agent->by_id, id) && step->agent->tasks.count < AGENT_TASKS_LIMIT)
		add_refused(step, id, task, arena_printf(step->arena,
			"UnrecogniedTaskError: Error loading task - Unrecognized task status: '%.*s'",
			STR(task->desired_status)));
	return false;
}

/* True when the task was taken. */
static bool take_task(struct step *step, const struct acs_task *task, struct str message_id)
{
	enum agent_status desired;
	struct held *work;
	struct str id;
	bool taken = true;

	if (!accept_task_id(task->arn, &id))
		return false;
	if (!parse_status(task->desired_status, &desired))
		return refuse_status(step, id, task);
	work = map_get(&step->agent->by_id, id);
	if (work && !str_equal(work->record->task->arn, task->arn))
		return false;
	if (work)
		known_task(step, work, desired);
	else
		taken = new_task(step, id, task, desired);
	work = taken ? map_get(&step->agent->by_id, id) : NULL;
	if (work) {
		take_credentials(step, &work->application, task->role_credentials, message_id);
		take_credentials(step, &work->execution, task->execution_role_credentials, message_id);
	}
	return taken;
}

static bool is_stop(const struct acs_task *task) { return str_equal(task->desired_status, S("STOPPED")); }

static void raise_sequence(struct agent *agent, int64_t sequence)
{
	struct maybe_long *latest = &agent->instance->manifest_sequence;

	if (latest->has && sequence <= latest->value)
		return;
	*latest = (struct maybe_long){sequence, true};
	agent->instance_changed = true;
}

static void payload_message(struct step *step, const void *value)
{
	const struct acs_payload_message *message = value;
	bool all = true;

	if (str_empty(message->cluster_arn) || str_empty(message->container_instance_arn) ||
	    str_empty(message->message_id))
		return;
	if (message->seq_num.has)
		raise_sequence(step->agent, message->seq_num.value);
	for (int stops = 1; stops >= 0; stops--)
		for (size_t i = 0; i < message->tasks.count; i++)
			if (is_stop(&message->tasks.items[i]) == (stops == 1))
				all &= take_task(step, &message->tasks.items[i], message->message_id);
	if (all)
		acknowledge(step, message->cluster_arn, message->container_instance_arn, message->message_id);
}

/* ---- Full sync */

/* The tasks that should run, by ARN. */
static struct map wanted_tasks(const struct acs_task_manifest_message *manifest, uint64_t seed)
{
	struct map wanted = {.seed = seed};

	for (size_t i = 0; i < manifest->tasks.count; i++)
		if (str_equal(manifest->tasks.items[i].desired_status, S("RUNNING")))
			map_put(&wanted, manifest->tasks.items[i].task_arn, &manifest->tasks.items[i]);
	return wanted;
}

static struct acs_task_identifiers stop_candidates(struct step *step, const struct acs_task_manifest_message *manifest)
{
	const struct agent *agent = step->agent;
	struct map wanted = wanted_tasks(manifest, random_next(&step->random));
	struct acs_task_identifiers candidates = {
		arena_array(step->arena, struct acs_task_identifier, agent->tasks.count), 0};

	for (size_t i = 0; i < agent->tasks.count; i++) {
		const struct agent_task *record = agent->tasks.items[i]->record;

		if (record->desired != AGENT_STATUS_RUNNING || map_get(&wanted, record->task->arn))
			continue;
		candidates.items[candidates.count++] = (struct acs_task_identifier){
			.task_arn = arena_copy(step->arena, record->task->arn),
			.task_cluster_arn = arena_copy(step->arena, record->task->task_cluster_arn),
			.desired_status = S("STOPPED")};
	}
	map_fini(&wanted);
	return candidates;
}

static void remember_verification(struct agent *agent, struct str message_id)
{
	char *copy = NULL;

	if (message_id.len) {
		copy = malloc(message_id.len);
		if (!copy)
			abort();
		memcpy(copy, message_id.ptr, message_id.len);
	}
	free((char *)agent->verification.ptr);
	agent->verification = (struct str){copy, message_id.len};
}

static void manifest_message(struct step *step, const void *value)
{
	const struct acs_task_manifest_message *message = value;
	const struct maybe_long *latest = &step->agent->instance->manifest_sequence;
	struct acs_task_stop_verification_message *verification;
	struct acs_task_identifiers candidates;

	if (!message->timeline.has || (latest->has && message->timeline.value <= latest->value))
		return;
	raise_sequence(step->agent, message->timeline.value);
	acknowledge(step, message->cluster_arn, message->container_instance_arn, message->message_id);
	candidates = stop_candidates(step, message);
	if (candidates.count == 0)
		return;
	remember_verification(step->agent, message->message_id);
	verification = arena_new(step->arena, struct acs_task_stop_verification_message);
	verification->message_id = message->message_id;
	verification->stop_candidates = candidates;
	say(step, S("TaskStopVerificationMessage"), &shape_acs_task_stop_verification_message, verification);
}

static void verification_ack(struct step *step, const void *value)
{
	const struct acs_task_stop_verification_ack *message = value;

	if (str_empty(message->message_id) || !str_equal(message->message_id, step->agent->verification))
		return;
	for (size_t i = 0; i < message->stop_tasks.count; i++) {
		struct held *work = find_task(step->agent, message->stop_tasks.items[i].task_arn);

		if (work)
			known_task(step, work, AGENT_STATUS_STOPPED);
	}
	remember_verification(step->agent, STR_NONE);
}

static void attach_message(struct step *step, const void *value)
{
	const struct acs_attach_task_network_interfaces_message *message = value;

	if (str_empty(message->cluster_arn) || str_empty(message->container_instance_arn) ||
	    str_empty(message->message_id))
		return;
	if (attachment_take(step, message))
		acknowledge(step, message->cluster_arn, message->container_instance_arn, message->message_id);
}

static void heartbeat_message(struct step *step, const void *value)
{
	const struct acs_heartbeat_message *message = value;
	struct acs_heartbeat_ack_request *ack = arena_new(step->arena, struct acs_heartbeat_ack_request);

	ack->message_id = message->message_id;
	say(step, S("HeartbeatAckRequest"), &shape_acs_heartbeat_ack_request, ack);
}

static const struct {
	struct str type;
	void (*handle)(struct step *step, const void *value);
} handlers[] = {
	{ STR_INIT("PayloadMessage"), payload_message },
	{ STR_INIT("HeartbeatMessage"), heartbeat_message },
	{ STR_INIT("AttachTaskNetworkInterfacesMessage"), attach_message },
	{ STR_INIT("TaskManifestMessage"), manifest_message },
	{ STR_INIT("TaskStopVerificationAck"), verification_ack },
	{ STR_INIT("IAMRoleCredentialsMessage"), credentials_message },
};

void message_handle(struct step *step, struct str type, const void *message)
{
	for (size_t i = 0; message && i < COUNT(handlers); i++)
		if (str_equal(handlers[i].type, type))
			handlers[i].handle(step, message);
}
