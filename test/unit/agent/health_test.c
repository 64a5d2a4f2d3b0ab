/* Container health checks by docker's rules, and what waits for them (ecs-behaviour 5.6, agent-protocol 4.3). */
#include <stdio.h>
#include "test.h"
#include "world.h"

#define CHECK(times) "\"healthCheckType\":\"docker\",\"dockerConfig\":{\"config\":\"{\\\"Healthcheck\\\":{" \
	"\\\"Test\\\":[\\\"CMD-SHELL\\\",\\\"ok\\\"]" times "}}\"}"
#define EVERY_TEN ",\\\"Interval\\\":10000000000,\\\"Timeout\\\":2000000000,\\\"Retries\\\":2"
#define DB "{\"name\":\"db\",\"image\":\"i\",\"essential\":true,\"startTimeout\":60," CHECK(EVERY_TEN) "}"
#define APP "{\"name\":\"app\",\"image\":\"i\",\"essential\":true,\"dependsOn\":[{\"containerName\":\"db\"," \
	"\"condition\":\"HEALTHY\"}]}"

static struct world *db_runs(const char *containers)
{
	struct world *world = world_connected();

	world_payload(world, "t1", "RUNNING", containers);
	world_succeed(world, JOB_CREATE, NULL);
	while (world_count_jobs(world, JOB_PULL))
		world_succeed(world, JOB_PULL, NULL);
	world_succeed(world, JOB_START, "db");
	while (world->calls.count)
		world_answer(world, world_take_call(world, CALL_SUBMIT_TASK), ERROR_NONE, NULL);
	assert_int_equal(world->jobs.count, 0);
	return world;
}

static enum agent_health health(struct world *world) { return world_container(world, "t1", "db")->health; }

static void pass(struct world *world, int seconds) { world_pass(world, seconds * USEC_PER_SEC); }

TEST(the_first_probe_comes_after_the_interval_and_makes_it_healthy)
{
	struct world *world = db_runs(DB);

	assert_int_equal(health(world), AGENT_HEALTH_UNKNOWN);
	pass(world, 9);
	assert_int_equal(world->jobs.count, 0);
	pass(world, 1);
	assert_false(world->health_changed);
	world_succeed(world, JOB_PROBE, "db");
	assert_int_equal(health(world), AGENT_HEALTH_HEALTHY);
	assert_true(world->health_changed);
	world_free(world);
}

TEST(the_next_probe_comes_an_interval_after_the_end_of_the_last)
{
	struct world *world = db_runs(DB);

	pass(world, 10);
	pass(world, 5);
	world_succeed(world, JOB_PROBE, "db");
	pass(world, 9);
	assert_int_equal(world->jobs.count, 0);
	pass(world, 1);
	world_take_job(world, JOB_PROBE, "db");
	world_free(world);
}

TEST(only_retries_failures_in_a_row_make_it_unhealthy_and_one_success_healthy_again)
{
	struct world *world = db_runs(DB);

	for (int i = 0; i < 3; i++) {
		pass(world, 10);
		world_fail(world, JOB_PROBE, "db", "connection refused");
		assert_int_equal(health(world), i ? AGENT_HEALTH_HEALTHY : AGENT_HEALTH_UNKNOWN);
		pass(world, 10);
		world_succeed(world, JOB_PROBE, "db");
		assert_int_equal(health(world), AGENT_HEALTH_HEALTHY);
	}
	pass(world, 10);
	world_fail(world, JOB_PROBE, "db", "connection refused");
	world->health_changed = false;
	pass(world, 10);
	world_fail(world, JOB_PROBE, "db", "connection refused");
	assert_int_equal(health(world), AGENT_HEALTH_UNHEALTHY);
	assert_true(world->health_changed);
	EXPECT_STR(world_container(world, "t1", "db")->health_message, S("connection refused"));
	pass(world, 10);
	world_succeed(world, JOB_PROBE, "db");
	assert_int_equal(health(world), AGENT_HEALTH_HEALTHY);
	world_free(world);
}

#define SLOW "{\"name\":\"db\",\"image\":\"i\",\"essential\":true," CHECK(EVERY_TEN ",\\\"StartPeriod\\\":35000000000") "}"

TEST(failures_in_the_start_period_do_not_count)
{
	struct world *world = db_runs(SLOW);

	for (int i = 0; i < 4; i++) {                    /* at 10, 20, 30 and 40 s: only the last counts */
		pass(world, 10);
		world_fail(world, JOB_PROBE, "db", "no");
		assert_int_equal(health(world), AGENT_HEALTH_UNKNOWN);
	}
	pass(world, 10);
	world_fail(world, JOB_PROBE, "db", "no");
	assert_int_equal(health(world), AGENT_HEALTH_UNHEALTHY);
	world_free(world);
}

TEST(a_success_ends_the_start_period)
{
	struct world *world = db_runs(SLOW);

	pass(world, 10);
	world_succeed(world, JOB_PROBE, "db");
	for (int i = 0; i < 2; i++) {
		pass(world, 10);
		world_fail(world, JOB_PROBE, "db", "no");
	}
	assert_int_equal(health(world), AGENT_HEALTH_UNHEALTHY);
	world_free(world);
}

TEST(dockers_defaults_stand_in_for_what_is_not_given)
{
	struct world *world = db_runs("{\"name\":\"db\",\"image\":\"i\",\"essential\":true," CHECK("") "}");

	for (int i = 0; i < 3; i++) {
		pass(world, 29);
		assert_int_equal(world->jobs.count, 0);
		pass(world, 1);
		assert_int_equal(health(world), AGENT_HEALTH_UNKNOWN);
		world_fail(world, JOB_PROBE, "db", "no");
	}
	assert_int_equal(health(world), AGENT_HEALTH_UNHEALTHY);
	world_free(world);
}

TEST(a_health_check_without_a_command_is_refused_and_none_is_none)
{
	struct world *world = world_connected();

	world_payload(world, "t1", "RUNNING", "{\"name\":\"a\",\"image\":\"i\",\"healthCheckType\":\"docker\"}");
	assert_true(str_contains(world_peek_report(world)->reason, S("DockerClientConfigError: ")));
	world_expect_report(world, "t1", "STOPPED");
	world_payload(world, "t2", "RUNNING", "{\"name\":\"a\",\"image\":\"i\",\"healthCheckType\":\"http\"}");
	assert_true(str_contains(world_peek_report(world)->reason, S("unknown type 'http'")));
	world_expect_report(world, "t2", "STOPPED");
	world_payload(world, "t3", "RUNNING", "{\"name\":\"a\",\"image\":\"i\",\"essential\":true,\"healthCheckType\":"
		      "\"docker\",\"dockerConfig\":{\"config\":\"{\\\"Healthcheck\\\":{\\\"Test\\\":[\\\"NONE\\\"]}}\"}}");
	world_settle(world);
	pass(world, 100);
	assert_int_equal(world->jobs.count, 0);
	assert_int_equal(world_container(world, "t3", "a")->health, AGENT_HEALTH_ABSENT);
	world_free(world);
}

TEST(who_is_to_stop_is_not_probed_and_a_late_result_says_nothing)
{
	struct world *world = db_runs(DB);

	pass(world, 10);
	world_payload(world, "t1", "STOPPED", DB);
	world_take_job(world, JOB_SIGNAL, "db");
	world_exit(world, "t1", "db", 0);
	world_succeed(world, JOB_PROBE, "db");
	assert_int_equal(health(world), AGENT_HEALTH_UNKNOWN);
	pass(world, 25);
	assert_int_equal(world_count_jobs(world, JOB_PROBE), 0);
	world_free(world);
}

TEST(health_is_kept_over_a_restart_of_the_agent_and_probing_goes_on)
{
	struct world *world = db_runs(DB);

	pass(world, 10);
	world_succeed(world, JOB_PROBE, "db");
	pass(world, 7);
	world_return(world);
	assert_int_equal(health(world), AGENT_HEALTH_HEALTHY);
	assert_int_equal(world->jobs.count, 0);
	pass(world, 10);
	world_fail(world, JOB_PROBE, "db", "no");
	assert_int_equal(health(world), AGENT_HEALTH_HEALTHY);
	pass(world, 10);
	world_fail(world, JOB_PROBE, "db", "no");
	assert_int_equal(health(world), AGENT_HEALTH_UNHEALTHY);
	world_free(world);
}

/* ---- dependsOn HEALTHY */

TEST(healthy_waits_for_a_passed_probe_and_digests_are_told_meanwhile)
{
	struct world *world = db_runs(DB "," APP);

	assert_int_equal(world_count_jobs(world, JOB_START), 0);
	pass(world, 10);
	world_fail(world, JOB_PROBE, "db", "no");
	assert_int_equal(world_count_jobs(world, JOB_START), 0);
	pass(world, 10);
	world_succeed(world, JOB_PROBE, "db");
	world_succeed(world, JOB_START, "app");
	world_expect_report(world, "t1", "RUNNING");
	world_free(world);
}

TEST(an_unhealthy_dependency_may_still_become_healthy)
{
	struct world *world = db_runs(DB "," APP);

	for (int i = 0; i < 3; i++) {
		pass(world, 10);
		world_fail(world, JOB_PROBE, "db", "no");
	}
	assert_int_equal(health(world), AGENT_HEALTH_UNHEALTHY);
	pass(world, 10);
	world_succeed(world, JOB_PROBE, "db");
	world_take_job(world, JOB_START, "app");
	world_free(world);
}

TEST(a_dependency_that_does_not_become_healthy_in_time_breaks)
{
	struct world *world = db_runs(DB "," APP);

	pass(world, 61);
	world_take_job(world, JOB_PROBE, "db");
	world_take_job(world, JOB_SIGNAL, "db");
	world_exit(world, "t1", "db", 143);
	EXPECT_STR(world_peek_report(world)->containers.items[1].reason,
		   S("CannotStartContainerError: dependency graph: container 'app' depends on 'db', which did not "
		     "become healthy within its startTimeout"));
	assert_int_equal(world_peek_report(world)->containers.items[1].exit_code.value, 143);
	world_expect_report(world, "t1", "STOPPED");
	world_free(world);
}

TEST(a_dependency_that_ends_before_it_is_healthy_breaks)
{
	struct world *world = db_runs("{\"name\":\"db\",\"image\":\"i\",\"essential\":false," CHECK(EVERY_TEN) "}," APP);

	world_exit(world, "t1", "db", 0);
	assert_true(str_ends(world_peek_report(world)->containers.items[1].reason, S("ended before it was healthy")));
	world_expect_report(world, "t1", "STOPPED");
	world_free(world);
}

/* ---- What TCS is told */

TEST(tcs_is_told_of_tasks_with_health_checks_ten_at_a_time)
{
	struct world *world = world_connected();
	struct tcs_publish_health_request request;
	size_t cursor = 0;
	char id[8];

	assert_false(agent_health(world->agent, &cursor, &world->arena, &request));
	for (int i = 0; i < AGENT_HEALTH_TASKS + 1; i++) {
		snprintf(id, sizeof(id), "t%d", i);
		world_payload(world, id, "RUNNING", DB ",{\"name\":\"side\",\"image\":\"i\"}");
	}
	world_payload(world, "plain", "RUNNING", "{\"name\":\"a\",\"image\":\"i\",\"essential\":true}");
	world_settle(world);
	cursor = 0;
	assert_true(agent_health(world->agent, &cursor, &world->arena, &request));
	assert_int_equal(request.tasks.count, AGENT_HEALTH_TASKS);
	assert_false(request.metadata->fin.value);
	EXPECT_STR(request.metadata->cluster, S("prod"));
	assert_int_equal(request.tasks.items[0].containers.count, 1);
	EXPECT_STR(request.tasks.items[0].containers.items[0].container_name, S("db"));
	EXPECT_STR(request.tasks.items[0].containers.items[0].health_status, S("UNKNOWN"));
	assert_true(request.tasks.items[0].containers.items[0].status_since.has);
	assert_true(agent_health(world->agent, &cursor, &world->arena, &request));
	assert_int_equal(request.tasks.count, 1);
	assert_true(request.metadata->fin.value);
	assert_false(agent_health(world->agent, &cursor, &world->arena, &request));
	world_free(world);
}
