/* The agent dies and comes back, in every state; nothing is lost, nothing is done twice that must not be. */
#include <stdio.h>
#include "test.h"
#include "world.h"

#define APP "{\"name\":\"app\",\"image\":\"web:1\",\"essential\":true,\"cpu\":256,\"memory\":256}"
#define SIDE "{\"name\":\"side\",\"image\":\"log:1\",\"essential\":false,\"memory\":64}"

static struct world *accepted(void)
{
	struct world *world = world_connected();

	world_payload(world, "t1", "RUNNING", APP);
	return world;
}

static void runs_in_the_end(struct world *world)
{
	world_settle(world);
	assert_int_equal(world_task(world, "t1")->known, AGENT_STATUS_RUNNING);
	assert_int_equal(world_task(world, "t1")->reported, AGENT_STATUS_RUNNING);
	assert_int_equal(world->held.count, 1);
	world_free(world);
}

TEST(a_restart_during_the_pull_pulls_again)
{
	struct world *world = accepted();

	world_crash(world);
	world_take_job(world, JOB_PULL, "app");
	world_crash(world);
	runs_in_the_end(world);
}

TEST(a_restart_after_the_create_creates_again)
{
	struct world *world = accepted();

	world_succeed(world, JOB_PULL, "app");
	world_succeed(world, JOB_CREATE, NULL);
	world_crash(world);
	runs_in_the_end(world);
}

TEST(a_restart_between_start_and_its_answer_finds_the_container)
{
	struct world *world = accepted();

	world_succeed(world, JOB_PULL, "app");
	world_succeed(world, JOB_CREATE, NULL);
	list_add(&world->held, ((struct world_container){S("t1"), S("app"), true, 0}));
	world_crash(world);
	assert_int_equal(world_count_jobs(world, JOB_START), 0);
	assert_int_equal(world_count_jobs(world, JOB_PULL), 0);
	runs_in_the_end(world);
}

TEST(a_restart_with_the_container_running_touches_nothing)
{
	struct world *world = accepted();

	world_settle(world);
	world_return(world);
	assert_int_equal(world->jobs.count, 0);
	assert_int_equal(world->calls.count, 0);
	runs_in_the_end(world);
}

TEST(an_exit_while_the_agent_was_away_keeps_its_code)
{
	struct world *world = accepted();

	world_settle(world);
	world->held.items[0].running = false;
	world->held.items[0].exit_code = 42;
	world_return(world);
	assert_int_equal(world_peek_report(world)->containers.items[0].exit_code.value, 42);
	world_expect_report(world, "t1", "STOPPED");
	world_free(world);
}

TEST(a_container_that_nobody_holds_has_vanished)
{
	struct world *world = accepted();

	world_settle(world);
	world->held.count = 0;
	world_return(world);
	EXPECT_STR(world_peek_report(world)->containers.items[0].reason,
		   S("ContainerVanishedError: No container matching saved ID found"));
	world_expect_report(world, "t1", "STOPPED");
	world_free(world);
}

TEST(a_container_whose_keeper_died_has_a_reason_and_no_exit_code)
{
	struct world *world = accepted();
	struct fact fact = {.kind = FACT_EXIT, .task_id = S("t1"), .container = S("app"),
			    .reason = S("ContainerVanishedError: No container matching saved ID found")};

	world_settle(world);
	world_step(world, (struct agent_event){.type = AGENT_EVENT_FACT, .fact = &fact});
	EXPECT_STR(world_peek_report(world)->containers.items[0].reason, fact.reason);
	assert_false(world_peek_report(world)->containers.items[0].exit_code.has);
	world_expect_report(world, "t1", "STOPPED");
	world_free(world);
}

TEST(a_container_that_shows_up_after_its_start_failed_is_killed)
{
	struct world *world = accepted();
	struct fact late = {.kind = FACT_FOUND, .task_id = S("t1"), .container = S("app"), .ok = true, .running = true};

	world_succeed(world, JOB_PULL, "app");
	world_succeed(world, JOB_CREATE, NULL);
	world_fail(world, JOB_START, "app", "DockerTimeoutError: too slow");
	world_step(world, (struct agent_event){.type = AGENT_EVENT_FACT, .fact = &late});
	assert_int_equal(world_take_job(world, JOB_SIGNAL, "app").signal, 9);
	world_free(world);
}

TEST(nothing_is_done_before_the_hands_have_spoken)
{
	struct world *world = accepted();
	struct agent *fresh;

	world_settle(world);
	fresh = agent_new(&world->options);
	for (size_t i = 0; i < world->keys.count; i++)
		agent_restore(fresh, world->keys.items[i], map_get(&world->disk, world->keys.items[i]));
	agent_free(world->agent);
	world->agent = fresh;
	world_start(world);
	world_answer_registration(world);
	world_payload(world, "t1", "STOPPED", APP);
	world_payload(world, "t2", "RUNNING", APP);
	assert_int_equal(world->jobs.count, 0);
	assert_true(world_heard(world, "AckRequest"));
	world_free(world);
}

TEST(sigterm_is_sent_again_and_the_old_deadline_holds)
{
	struct world *world = accepted();

	world_settle(world);
	world_payload(world, "t1", "STOPPED", APP);
	world_pass(world, 20 * USEC_PER_SEC);
	world_crash(world);
	assert_int_equal(world_take_job(world, JOB_SIGNAL, "app").signal, 15);
	world_pass(world, 11 * USEC_PER_SEC);
	assert_int_equal(world_take_job(world, JOB_SIGNAL, "app").signal, 9);
	world_free(world);
}

TEST(a_lost_answer_is_reported_again)
{
	struct world *world = accepted();

	world_settle(world);
	world_exit(world, "t1", "app", 0);
	world_take_call(world, CALL_SUBMIT_TASK);
	world_return(world);
	world_expect_report(world, "t1", "STOPPED");
	world_free(world);
}

TEST(a_short_task_is_still_told_running_after_a_restart)
{
	struct world *world = accepted();

	world_succeed(world, JOB_PULL, "app");
	world_succeed(world, JOB_CREATE, NULL);
	world_succeed(world, JOB_START, "app");
	world_exit(world, "t1", "app", 0);
	world_crash(world);
	world_answer_registration(world);
	world_expect_report(world, "t1", "RUNNING");
	world_expect_report(world, "t1", "STOPPED");
	world_free(world);
}

TEST(a_restart_during_the_destroy_destroys_again)
{
	struct world *world = accepted();

	world_settle(world);
	world_exit(world, "t1", "app", 0);
	world_take_job(world, JOB_DESTROY, NULL);
	world_return(world);
	world_succeed(world, JOB_DESTROY, NULL);
	world_expect_report(world, "t1", "STOPPED");
	world_pass(world, 3601 * USEC_PER_SEC);
	assert_true(agent_is_idle(world->agent));
	world_free(world);
}

TEST(what_was_given_up_and_still_runs_is_killed)
{
	struct world *world = accepted();

	world_settle(world);
	world_payload(world, "t1", "STOPPED", APP);
	world_pass(world, 120 * USEC_PER_SEC);
	assert_int_equal(world_task(world, "t1")->known, AGENT_STATUS_STOPPED);
	world_crash(world);
	assert_int_equal(world_take_job(world, JOB_SIGNAL, "app").signal, 9);
	world_free(world);
}

TEST(held_resources_are_held_after_a_restart)
{
	struct world *world = world_connected();

	world_payload(world, "t1", "RUNNING", "{\"name\":\"a\",\"image\":\"i\",\"essential\":true,\"cpu\":1500}");
	world_settle(world);
	world_crash(world);
	world_settle(world);
	world_payload(world, "t2", "RUNNING", "{\"name\":\"a\",\"image\":\"i\",\"essential\":true,\"cpu\":1500}");
	assert_int_equal(world->jobs.count, 0);
	world_free(world);
}

#define CHECK "\"healthCheckType\":\"docker\",\"dockerConfig\":{\"config\":\"{\\\"Healthcheck\\\":{\\\"Test\\\":[" \
	"\\\"CMD\\\",\\\"ok\\\"],\\\"Interval\\\":10000000000,\\\"Retries\\\":2}}\"}"

/* Whatever happens in whatever order, a quiet end comes: every task runs or is reported and gone. */

static void random_job(struct world *world, struct random *random)
{
	struct world_job job;
	const char *container;

	if (world->jobs.count == 0)
		return;
	job = world->jobs.items[0];
	container = job.container.ptr ? arena_cstr(&world->arena, job.container) : NULL;
	if (random_below(random, 5) == 0 && job.kind != JOB_SIGNAL)
		world_fail(world, job.kind, container, "SomeError: by chance");
	else
		world_succeed(world, job.kind, container);
}

static void random_exit(struct world *world, struct random *random)
{
	struct world_container *held;

	if (world->held.count == 0)
		return;
	held = &world->held.items[random_below(random, world->held.count)];
	if (held->running)
		world_exit(world, arena_cstr(&world->arena, held->task), arena_cstr(&world->arena, held->name),
			   (int)random_below(random, 3));
}

static void random_answer(struct world *world, struct random *random)
{
	if (world->calls.count == 0)
		return;
	if (world->calls.items[0].kind == CALL_REGISTER) {
		world_answer_registration(world);
		return;
	}
	world_answer(world, world_take_call(world, CALL_SUBMIT_TASK),
		     random_below(random, 4) == 0 ? ERROR_SERVER : ERROR_NONE, "by chance");
}

static void random_payload(struct world *world, struct random *random)
{
	static const char *const shapes[] = {
		APP, APP "," SIDE,
		SIDE ",{\"name\":\"app\",\"image\":\"i\",\"essential\":true,\"cpu\":900,\"dependsOn\":[{"
		"\"containerName\":\"side\",\"condition\":\"SUCCESS\"}]}",
		"{\"name\":\"db\",\"image\":\"i\",\"essential\":true,\"startTimeout\":100,\"restartPolicy\":{\"enabled\":true,"
		"\"ignoredExitCodes\":[2],\"restartAttemptPeriod\":60}," CHECK "},{\"name\":\"app\",\"image\":\"i\","
		"\"essential\":true,\"dependsOn\":[{\"containerName\":\"db\",\"condition\":\"HEALTHY\"}]}",
	};
	static const char eni[] = ",\"elasticNetworkInterfaces\":[{\"attachmentArn\":\"a\",\"ec2Id\":\"eni-1\","
		"\"macAddress\":\"m\",\"ipv4Addresses\":[{\"privateAddress\":\"10.0.0.9\"}],"
		"\"subnetGatewayIpv4Address\":\"10.0.0.1/24\"}]";
	char id[8];
	unsigned number = (unsigned)random_below(random, 8);

	world->awsvpc = number >= 4;
	world->task_tail = world->awsvpc ? eni : NULL;
	snprintf(id, sizeof(id), "t%u", number);
	world_payload(world, id, random_below(random, 3) ? "RUNNING" : "STOPPED", shapes[number % COUNT(shapes)]);
}

static void random_deed(struct world *world, struct random *random)
{
	switch (random_below(random, 8)) {
	case 0:
		random_payload(world, random);
		break;
	case 1:
		random_exit(world, random);
		break;
	case 2:
		world_pass(world, (usec)random_below(random, 40) * USEC_PER_SEC);
		break;
	case 3:
		if (random_below(random, 4) == 0)
			world_crash(world);
		break;
	case 4:
	case 5:
		random_answer(world, random);
		break;
	default:
		random_job(world, random);
	}
}

static void quiet_end(struct world *world)
{
	for (int i = 0; i < 400; i++) {
		world_settle(world);
		world_pass(world, 30 * USEC_PER_SEC);
	}
	for (size_t i = 0; i < agent_task_count(world->agent); i++) {
		struct str id;
		const struct agent_task *task = agent_task_at(world->agent, i, &id);

		assert_int_equal(task->desired, AGENT_STATUS_RUNNING);
	}
}

TEST(any_order_of_events_comes_to_a_quiet_end)
{
	for (uint64_t seed = 1; seed <= 300; seed++) {
		struct world *world = world_connected();
		struct random random;

		random_init(&random, seed, 0);
		world->seed = seed << 32;
		for (int i = 0; i < 200; i++)
			random_deed(world, &random);
		quiet_end(world);
		world_step(world, (struct agent_event){.type = AGENT_EVENT_STOP_ALL});
		world_settle(world);
		for (int i = 0; i < 20; i++) {
			world_pass(world, 10 * USEC_PER_SEC);
			world_settle(world);
		}
		assert_true(agent_is_idle(world->agent));
		assert_int_equal(world->held.count, 0);
		world_free(world);
	}
}
