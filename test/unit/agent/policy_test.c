/* Restart policies: in place, and never against what is wanted (agent-protocol 4.4). */
#include "test.h"
#include "world.h"

#define APP "{\"name\":\"app\",\"image\":\"i\",\"essential\":true,\"restartPolicy\":{\"enabled\":true," \
	"\"ignoredExitCodes\":[0,7],\"restartAttemptPeriod\":60}}"
#define CHECKED "{\"name\":\"app\",\"image\":\"i\",\"essential\":true,\"restartPolicy\":{\"enabled\":true," \
	"\"restartAttemptPeriod\":60},\"healthCheckType\":\"docker\",\"dockerConfig\":{\"config\":\"{\\\"Healthcheck\\\":{" \
	"\\\"Test\\\":[\\\"CMD\\\",\\\"ok\\\"],\\\"Interval\\\":10000000000,\\\"Retries\\\":1}}\"}}"

static void pass(struct world *world, int seconds) { world_pass(world, seconds * USEC_PER_SEC); }

/* It ran so long, ended with this code and was started again. */
static void starts_again(struct world *world, int seconds, int code)
{
	pass(world, seconds);
	world_exit(world, "t1", "app", code);
	world_succeed(world, JOB_START, "app");
}

/* It ran so long, and its end with this code is that of the task. */
static void ends(struct world *world, int seconds, int code)
{
	pass(world, seconds);
	world_exit(world, "t1", "app", code);
	assert_int_equal(world_count_jobs(world, JOB_START), 0);
	assert_int_equal(world_peek_report(world)->containers.items[0].exit_code.value, code);
	world_expect_report(world, "t1", "STOPPED");
}

static int32_t count(struct world *world)
{
	int32_t count;

	assert_true(agent_restart_count(world_task(world, "t1"), 0, &count));
	return count;
}

TEST(an_essential_container_is_started_again_and_the_server_hears_nothing)
{
	struct world *world = world_running(APP);

	for (int i = 1; i <= 3; i++) {
		starts_again(world, 60, 1);
		assert_int_equal(count(world), i);
	}
	assert_int_equal(world->calls.count, 0);
	assert_int_equal(world->jobs.count, 0);
	assert_int_equal(world_container(world, "t1", "app")->known, AGENT_STATUS_RUNNING);
	assert_false(world_container(world, "t1", "app")->exit_code.has);
	world_free(world);
}

TEST(a_run_shorter_than_the_period_is_not_started_again)
{
	struct world *world = world_running(APP);

	starts_again(world, 60, 1);
	ends(world, 59, 2);
	world_free(world);
}

TEST(an_ignored_exit_code_is_the_end)
{
	struct world *world = world_running(APP);

	ends(world, 100, 7);
	world_free(world);
}

TEST(without_a_period_it_is_five_minutes)
{
	struct world *world = world_running("{\"name\":\"app\",\"image\":\"i\",\"essential\":true,\"restartPolicy\":"
				      "{\"enabled\":true}}");

	starts_again(world, 300, 0);
	ends(world, 299, 0);
	world_free(world);
}

TEST(a_policy_that_is_not_enabled_is_none)
{
	struct world *world = world_running("{\"name\":\"app\",\"image\":\"i\",\"essential\":true,\"restartPolicy\":"
				      "{\"enabled\":false}}");
	int32_t ignored;

	pass(world, 1000);
	world_exit(world, "t1", "app", 1);
	assert_false(agent_restart_count(world_task(world, "t1"), 0, &ignored));
	world_expect_report(world, "t1", "STOPPED");
	world_free(world);
}

TEST(who_is_to_stop_is_not_started_again)
{
	struct world *world = world_running(APP);

	pass(world, 100);
	world_payload(world, "t1", "STOPPED", APP);
	world_take_job(world, JOB_SIGNAL, "app");
	ends(world, 0, 143);
	world_free(world);
}

TEST(a_stop_during_a_restart_wins)
{
	struct world *world = world_running(APP);

	pass(world, 100);
	world_exit(world, "t1", "app", 1);
	world_payload(world, "t1", "STOPPED", APP);
	assert_int_equal(world_count_jobs(world, JOB_SIGNAL), 0);
	world_succeed(world, JOB_START, "app");
	assert_int_equal(world_take_job(world, JOB_SIGNAL, "app").signal, 15);
	ends(world, 0, 143);
	world_free(world);
}

TEST(a_restart_that_fails_is_the_end_and_says_why)
{
	struct world *world = world_running(APP);

	pass(world, 100);
	world_exit(world, "t1", "app", 9);
	world_fail(world, JOB_START, "app", "CannotStartContainerError: no");
	assert_int_equal(world_peek_report(world)->containers.items[0].exit_code.value, 9);
	EXPECT_STR(world_peek_report(world)->containers.items[0].reason, S("CannotStartContainerError: no"));
	world_expect_report(world, "t1", "STOPPED");
	world_free(world);
}

TEST(an_end_that_is_told_twice_restarts_once)
{
	struct world *world = world_running(APP);
	usec ended;

	pass(world, 100);
	ended = world->now;
	world_exit(world, "t1", "app", 1);
	world_exit(world, "t1", "app", 1);
	world_succeed(world, JOB_START, "app");
	assert_int_equal(world->jobs.count, 0);
	world_step(world, (struct agent_event){.type = AGENT_EVENT_FACT, .fact = &(struct fact){
		.kind = FACT_EXIT, .task_id = S("t1"), .container = S("app"), .ok = true, .exit_code = 1, .at = ended}});
	assert_int_equal(world->jobs.count, 0);
	assert_int_equal(world_container(world, "t1", "app")->known, AGENT_STATUS_RUNNING);
	world_free(world);
}

TEST(a_keeper_that_died_is_no_reason_to_restart)
{
	struct world *world = world_running(APP);

	pass(world, 100);
	world_step(world, (struct agent_event){.type = AGENT_EVENT_FACT, .fact = &(struct fact){
		.kind = FACT_EXIT, .task_id = S("t1"), .container = S("app"), .at = world->now,
		.reason = S("ContainerVanishedError: No container matching saved ID found")}});
	assert_int_equal(world_count_jobs(world, JOB_START), 0);
	world_expect_report(world, "t1", "STOPPED");
	world_free(world);
}

TEST(a_restart_begins_a_new_health)
{
	struct world *world = world_running(CHECKED);

	pass(world, 10);
	world_succeed(world, JOB_PROBE, "app");
	pass(world, 50);
	world->health_changed = false;
	starts_again(world, 0, 1);
	assert_int_equal(world_container(world, "t1", "app")->health, AGENT_HEALTH_UNKNOWN);
	assert_true(world->health_changed);
	world_succeed(world, JOB_PROBE, "app");          /* of the run before */
	assert_int_equal(world_container(world, "t1", "app")->health, AGENT_HEALTH_UNKNOWN);
	pass(world, 9);
	assert_int_equal(world->jobs.count, 0);
	pass(world, 1);
	world_succeed(world, JOB_PROBE, "app");
	assert_int_equal(world_container(world, "t1", "app")->health, AGENT_HEALTH_HEALTHY);
	world_free(world);
}

/* ---- The agent restarts, too */

TEST(an_end_while_the_agent_was_away_is_judged_when_it_is_back)
{
	struct world *world = world_running(APP);

	pass(world, 100);
	world->held.items[0].running = false;
	world->held.items[0].exit_code = 1;
	world->held.items[0].ended_at = world->now;
	pass(world, 100);
	world_return(world);
	world_succeed(world, JOB_START, "app");
	assert_int_equal(count(world), 1);
	assert_int_equal(world->calls.count, 0);
	world_free(world);
}

TEST(a_crash_between_the_end_and_the_restart_restarts)
{
	struct world *world = world_running(APP);

	pass(world, 100);
	world_exit(world, "t1", "app", 1);
	world_return(world);
	world_succeed(world, JOB_START, "app");
	assert_int_equal(count(world), 1);
	world_free(world);
}

TEST(a_restart_that_nobody_told_is_counted_when_it_is_found)
{
	struct world *world = world_running(APP);

	pass(world, 100);
	world_exit(world, "t1", "app", 1);
	world->held.items[0].running = true;
	world->held.items[0].started_at = world->now + USEC_PER_SEC;
	pass(world, 30);
	world_return(world);
	assert_int_equal(world->jobs.count, 0);
	assert_int_equal(count(world), 1);
	ends(world, 0, 1);                               /* 29 s are too short */
	world_free(world);
}

TEST(the_count_is_kept_over_a_restart_of_the_agent)
{
	struct world *world = world_running(APP);

	starts_again(world, 100, 1);
	world_return(world);
	assert_int_equal(count(world), 1);
	world_free(world);
}
