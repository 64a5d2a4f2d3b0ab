#include "world.h"
#include <stdio.h>
#include "test.h"
#include "wire/json.h"

#define CLUSTER_ARN "arn:aws:ecs:us-east-1:000000000000:cluster/prod"
#define INSTANCE_ARN "arn:aws:ecs:us-east-1:000000000000:container-instance/prod/0123456789abcdef0123456789abcdef"
#define TASK_ARN "arn:aws:ecs:us-east-1:000000000000:task/prod/%s"

static struct ecs_attribute attribute_items[] = {
	{ .name = STR_INIT("ecs.os-type"), .value = STR_INIT("linux") },
	{ .name = STR_INIT("ecs.capability.full-sync") },
};
static const struct ecs_attributes attributes = { attribute_items, COUNT(attribute_items) };

struct world *world_new(void)
{
	struct world *world = calloc(1, sizeof(*world));

	world->options = (struct agent_options){
		.cluster = S("prod"), .version = S("1"), .attributes = &attributes, .cpu_units = 2048,
		.memory_mib = 2000, .stop_timeout = 30 * USEC_PER_SEC, .cleanup_wait = 3600 * USEC_PER_SEC};
	world->now = 1000 * USEC_PER_SEC;
	world->agent = agent_new(&world->options);
	return world;
}

void world_free(struct world *world)
{
	agent_free(world->agent);
	agent_effects_fini(&world->effects);
	map_fini(&world->disk);
	list_fini(&world->keys);
	list_fini(&world->jobs);
	list_fini(&world->calls);
	list_fini(&world->said);
	list_fini(&world->held);
	arena_fini(&world->arena);
	free(world);
}

static void write_disk(struct world *world, const struct agent_record *record)
{
	struct str key = arena_copy(&world->arena, record->key);

	if (!record->value) {
		map_remove(&world->disk, key);
		return;
	}
	if (!map_put(&world->disk, key, shape_copy(record->shape, record->value, &world->arena)))
		list_add(&world->keys, key);
}

static struct world_job copy_job(struct world *world, const struct job *job)
{
	struct world_job copy = {.kind = job->kind, .signal = job->signal,
				 .task = arena_copy(&world->arena, job->task_id)};

	assert_non_null(job->task);
	if (job->kind != JOB_CREATE && job->kind != JOB_DESTROY && job->kind != JOB_RELEASE)
		copy.container = arena_copy(&world->arena, job->task->containers.items[job->container].name);
	return copy;
}

static void absorb(struct world *world)
{
	struct agent_effects *out = &world->effects;

	for (size_t i = 0; i < out->records.count; i++)
		write_disk(world, &out->records.items[i]);
	for (size_t i = 0; i < out->jobs.count; i++)
		list_add(&world->jobs, copy_job(world, &out->jobs.items[i]));
	for (size_t i = 0; i < out->calls.count; i++) {
		struct agent_call *call = &out->calls.items[i];

		list_add(&world->calls, ((struct world_call){call->kind, call->ticket, call->operation,
				shape_copy(call->operation->input, call->input, &world->arena)}));
	}
	for (size_t i = 0; i < out->messages.count; i++) {
		struct agent_message *message = &out->messages.items[i];

		list_add(&world->said, ((struct world_said){message->type,
				shape_copy(message->shape, message->value, &world->arena)}));
	}
	world->commits += out->records.count > 0;
	world->connects += out->connect;
	world->terminal |= out->terminal;
	world->health_changed |= out->health_changed;
	world->error = out->error;
	world->wake_at = out->wake_at;
}

void world_step(struct world *world, struct agent_event event)
{
	auto_arena arena = {0};

	event.now = world->now;
	event.seed = ++world->seed;
	event.arena = &arena;
	agent_effects_clear(&world->effects);
	agent_step(world->agent, &event, &world->effects);
	agent_check(world->agent);
	absorb(world);
}

void world_pass(struct world *world, usec span)
{
	usec end = world->now + span;

	while (world->wake_at <= end) {
		world->now = MAX(world->now, world->wake_at);
		world_step(world, (struct agent_event){.type = AGENT_EVENT_TICK});
	}
	world->now = end;
	world_step(world, (struct agent_event){.type = AGENT_EVENT_TICK});
}

void world_start(struct world *world)
{
	world_step(world, (struct agent_event){.type = AGENT_EVENT_START});
}

static void fact_at(struct world *world, usec at, struct fact fact)
{
	fact.at = at;
	world_step(world, (struct agent_event){.type = AGENT_EVENT_FACT, .fact = &fact});
}

static void fact(struct world *world, struct fact done) { fact_at(world, world->now, done); }

void world_crash(struct world *world)
{
	agent_free(world->agent);
	world->agent = agent_new(&world->options);
	world->jobs.count = world->calls.count = world->said.count = 0;
	world->wake_at = USEC_NEVER;
	for (size_t i = 0; i < world->keys.count; i++) {
		const void *value = map_get(&world->disk, world->keys.items[i]);

		if (value)
			agent_restore(world->agent, world->keys.items[i], value);
	}
	/* A key may be listed twice after it was deleted and made again: keep one. */
	world->keys.count = 0;
	for (size_t i = 0, n = agent_task_count(world->agent); i < n; i++) {
		struct str id;

		agent_task_at(world->agent, i, &id);
		list_add(&world->keys, arena_copy(&world->arena, id));
	}
	if (map_get(&world->disk, S("instance")))
		list_add(&world->keys, S("instance"));
	world_start(world);
	for (size_t i = 0; i < world->held.count; i++) {
		struct world_container *held = &world->held.items[i];

		fact_at(world, held->running ? held->started_at : held->ended_at,
			(struct fact){.kind = FACT_FOUND, .task_id = held->task, .container = held->name,
				      .running = held->running, .exit_code = held->exit_code,
				      .started_at = held->started_at, .runtime_id = S("run-1"), .ok = true});
	}
	fact(world, (struct fact){.kind = FACT_RECONCILED, .ok = true});
}

struct world *world_connected(void)
{
	struct world *world = world_new();

	world_start(world);
	world_answer_registration(world);
	world_step(world, (struct agent_event){.type = AGENT_EVENT_CHANNEL_OPEN});
	return world;
}

void world_message(struct world *world, const char *type, const char *json)
{
	static const struct { const char *type; const struct shape *shape; } shapes[] = {
		{ "PayloadMessage", &shape_acs_payload_message },
		{ "HeartbeatMessage", &shape_acs_heartbeat_message },
		{ "AttachTaskNetworkInterfacesMessage", &shape_acs_attach_task_network_interfaces_message },
		{ "TaskManifestMessage", &shape_acs_task_manifest_message },
		{ "TaskStopVerificationAck", &shape_acs_task_stop_verification_ack },
		{ "IAMRoleCredentialsMessage", &shape_acs_iam_role_credentials_message },
	};
	struct json_fault fault;

	for (size_t i = 0; i < COUNT(shapes); i++) {
		void *value;

		if (strcmp(shapes[i].type, type) != 0)
			continue;
		if (!json_decode(shapes[i].shape, str_of(json), &world->arena, &value, &fault))
			fail_msg("%s in %s", fault.error.text, json);
		world_step(world, (struct agent_event){.type = AGENT_EVENT_MESSAGE, .message_type = str_of(type),
						       .message = value});
		return;
	}
	world_step(world, (struct agent_event){.type = AGENT_EVENT_MESSAGE, .message_type = str_of(type)});
}

void world_payload(struct world *world, const char *task, const char *status, const char *containers)
{
	struct str json = arena_printf(&world->arena,
		"{\"clusterArn\":\"" CLUSTER_ARN "\",\"containerInstanceArn\":\"" INSTANCE_ARN "\","
		"\"messageId\":\"m-%s\",\"seqNum\":1,\"tasks\":[{\"arn\":\"" TASK_ARN "\","
		"\"taskClusterArn\":\"" CLUSTER_ARN "\",\"desiredStatus\":\"%s\",\"family\":\"web\",\"version\":\"1\","
		"\"networkMode\":\"%s\",\"containers\":[%s]%s}]}%c", task, task, status,
		world->awsvpc ? "awsvpc" : "bridge", containers, world->task_tail ? world->task_tail : "", 0);

	world_message(world, "PayloadMessage", json.ptr);
}

static const char *const job_names[] = {
	[JOB_PULL] = "PULL", [JOB_CREATE] = "CREATE", [JOB_START] = "START", [JOB_SIGNAL] = "SIGNAL",
	[JOB_PROBE] = "PROBE", [JOB_DESTROY] = "DESTROY", [JOB_RELEASE] = "RELEASE",
};

struct world_job world_take_job(struct world *world, enum job_kind kind, const char *container)
{
	for (size_t i = 0; i < world->jobs.count; i++) {
		struct world_job job = world->jobs.items[i];

		if (job.kind != kind || (container && !str_equal(job.container, str_of(container))))
			continue;
		list_remove_at(&world->jobs, i);
		return job;
	}
	fail_msg("no job %s %s", job_names[kind], container ? container : "");
	abort();
}

size_t world_count_jobs(const struct world *world, enum job_kind kind)
{
	size_t count = 0;

	for (size_t i = 0; i < world->jobs.count; i++)
		count += world->jobs.items[i].kind == kind;
	return count;
}

static struct world_container *held(struct world *world, struct str task, struct str name)
{
	for (size_t i = 0; i < world->held.count; i++)
		if (str_equal(world->held.items[i].task, task) && str_equal(world->held.items[i].name, name))
			return &world->held.items[i];
	return NULL;
}

static void do_job(struct world *world, struct world_job job)
{
	struct fact done = {.kind = (enum fact_kind)job.kind, .task_id = job.task, .container = job.container,
			    .ok = true};

	if (job.kind == JOB_PULL)
		done.image_digest = S("sha256:aa");
	if (job.kind == JOB_START) {
		struct world_container *container = held(world, job.task, job.container);

		done.runtime_id = S("run-1");
		if (!container)
			container = list_push(&world->held);
		if (!container->running)
			*container = (struct world_container){job.task, job.container, true, 0, world->now, 0};
	}
	for (size_t i = world->held.count; job.kind == JOB_DESTROY && i-- > 0;)
		if (str_equal(world->held.items[i].task, job.task))
			list_remove_at(&world->held, i);
	fact(world, done);
}

void world_succeed(struct world *world, enum job_kind kind, const char *container)
{
	do_job(world, world_take_job(world, kind, container));
}

void world_fail(struct world *world, enum job_kind kind, const char *container, const char *reason)
{
	struct world_job job = world_take_job(world, kind, container);

	fact(world, (struct fact){.kind = (enum fact_kind)kind, .task_id = job.task, .container = job.container,
				  .reason = str_of(reason)});
}

void world_exit(struct world *world, const char *task, const char *container, int code)
{
	struct world_container *known = held(world, str_of(task), str_of(container));

	if (known) {
		known->running = false;
		known->exit_code = code;
		known->ended_at = world->now;
	}
	fact(world, (struct fact){.kind = FACT_EXIT, .task_id = str_of(task), .container = str_of(container),
				  .ok = true, .exit_code = code, .started_at = known ? known->started_at : 0});
}

struct world_call world_take_call(struct world *world, enum call_kind kind)
{
	struct world_call call;

	if (world->calls.count == 0)
		fail_msg("no call");
	call = world->calls.items[0];
	assert_int_equal(call.kind, kind);
	list_remove_at(&world->calls, 0);
	return call;
}

void world_answer(struct world *world, struct world_call call, enum error_code error, const char *text)
{
	struct ecs_submit_task_state_change_response done = {.acknowledgment = S("ok")};

	world_step(world, (struct agent_event){.type = AGENT_EVENT_ANSWER, .ticket = call.ticket, .error = error,
					       .error_text = str_of(text), .output = error ? NULL : &done});
}

void world_answer_registration(struct world *world)
{
	struct world_call call = world_take_call(world, CALL_REGISTER);
	const struct ecs_register_container_instance_request *input = call.input;
	struct ecs_container_instance instance = {.container_instance_arn = S(INSTANCE_ARN),
						  .attributes = input->attributes};
	struct ecs_register_container_instance_response output = {.container_instance = &instance};

	world_step(world, (struct agent_event){.type = AGENT_EVENT_ANSWER, .ticket = call.ticket, .output = &output});
}

void world_return(struct world *world)
{
	world_crash(world);
	world_answer_registration(world);
	/* That the server has heard of RUNNING is stored with the next commit. */
	if (world->calls.count > 0 && str_equal(world_peek_report(world)->status, S("RUNNING")))
		world_expect_report(world, "t1", "RUNNING");
}

const struct ecs_submit_task_state_change_request *world_peek_report(struct world *world)
{
	if (world->calls.count == 0)
		fail_msg("no call");
	assert_int_equal(world->calls.items[0].kind, CALL_SUBMIT_TASK);
	return world->calls.items[0].input;
}

void world_expect_report(struct world *world, const char *task, const char *status)
{
	const struct ecs_submit_task_state_change_request *report = world_peek_report(world);

	EXPECT_STR(report->status, str_of(status));
	assert_true(str_ends(report->task, str_of(task)));
	world_answer(world, world_take_call(world, CALL_SUBMIT_TASK), ERROR_NONE, NULL);
}

bool world_heard(struct world *world, const char *type)
{
	for (size_t i = 0; i < world->said.count; i++) {
		if (!str_equal(world->said.items[i].type, str_of(type)))
			continue;
		list_remove_at(&world->said, i);
		return true;
	}
	return false;
}

void world_settle(struct world *world)
{
	while (world->jobs.count || world->calls.count) {
		while (world->jobs.count) {
			struct world_job job = world->jobs.items[0];
			struct world_container *container = held(world, job.task, job.container);

			world_succeed(world, job.kind, job.container.ptr ? arena_cstr(&world->arena, job.container)
									 : NULL);
			if (job.kind == JOB_SIGNAL && container && container->running)
				world_exit(world, arena_cstr(&world->arena, job.task),
					   arena_cstr(&world->arena, job.container), 128 + job.signal);
		}
		if (world->calls.count && world->calls.items[0].kind == CALL_REGISTER)
			world_answer_registration(world);
		else if (world->calls.count)
			world_answer(world, world_take_call(world, CALL_SUBMIT_TASK), ERROR_NONE, NULL);
	}
}

struct world *world_running(const char *containers)
{
	struct world *world = world_connected();

	world_payload(world, "t1", "RUNNING", containers);
	world_settle(world);
	assert_int_equal(world_task(world, "t1")->known, AGENT_STATUS_RUNNING);
	world->said.count = 0;
	return world;
}

void world_expect_turns(struct world *world, const char *containers)
{
	world_payload(world, "t2", "RUNNING", containers);
	assert_int_equal(world->jobs.count, 0);
	world_payload(world, "t1", "STOPPED", containers);
	world_settle(world);
	assert_int_equal(world_task(world, "t2")->known, AGENT_STATUS_RUNNING);
}

const struct agent_task *world_task(const struct world *world, const char *task)
{
	for (size_t i = 0; i < agent_task_count(world->agent); i++) {
		struct str id;
		const struct agent_task *found = agent_task_at(world->agent, i, &id);

		if (str_equal(id, str_of(task)))
			return found;
	}
	return NULL;
}

const struct agent_container *world_container(const struct world *world, const char *task, const char *name)
{
	const struct agent_task *found = world_task(world, task);

	for (size_t i = 0; found && i < found->containers.count; i++)
		if (str_equal(found->containers.items[i].name, str_of(name)))
			return &found->containers.items[i];
	return NULL;
}
