#include "base/buffer.h"
#include "sim/sim.h"
#include "test/test.h"

#define WEB "{\"family\":\"web\",\"containerDefinitions\":[{\"name\":\"app\",\"image\":\"web:1\",\"cpu\":256,\"memory\":256}]}"
#define BIG "{\"family\":\"big\",\"containerDefinitions\":[{\"name\":\"app\",\"image\":\"web:1\",\"cpu\":1024,\"memory\":256}]}"
#define SERVICE "{\"serviceName\":\"web\",\"taskDefinition\":\"web:1\",\"desiredCount\":1}"

static struct sim *world_with(unsigned instances)
{
	struct sim *sim = sim_new(&(struct sim_options){.seed = 7, .instances = instances});

	sim_call(sim, "RegisterTaskDefinition", WEB);
	sim_call(sim, "RegisterTaskDefinition", BIG);
	sim_take_facts(sim);
	return sim;
}

static void end(struct sim *sim)
{
	if (sim_failure(sim)) {
		sim_print_tail(sim, stderr);
		fail_msg("%s", sim_failure(sim));
	}
	sim_free(sim);
}

TEST(a_task_is_placed_runs_and_stops)
{
	struct sim *sim = world_with(1);

	sim_call(sim, "RunTask", "{\"taskDefinition\":\"web\",\"startedBy\":\"me\"}");
	sim_run_until_steady(sim);
	assert_int_equal(sim_count_running(sim, "app"), 1);
	sim_exit_container(sim, "app", 3);
	sim_run_until_steady(sim);
	EXPECT_TRACE(sim,
		"[  2.0] task 1       placed on instance 1\n"
		"[  2.1] task 1       PENDING -> RUNNING\n"
		"[  2.5] task 1       RUNNING -> STOPPED (Essential container in task exited)\n");
	end(sim);
}

TEST(a_service_replaces_a_container_that_ends)
{
	struct sim *sim = world_with(1);

	sim_call(sim, "CreateService", SERVICE);
	sim_run_until_steady(sim);
	sim_take_facts(sim);
	sim_exit_container(sim, "app", 1);
	sim_run_until_steady(sim);
	assert_int_equal(sim_count_running(sim, "app"), 1);
	EXPECT_TRACE(sim,
		"[  5.5] task 1       RUNNING -> STOPPED (Essential container in task exited)\n"
		"[  5.8] task 2       placed on instance 1 for service web\n"
		"[  5.8] task 2       PENDING -> RUNNING\n");
	end(sim);
}

TEST(a_lost_instance_is_replaced_elsewhere)
{
	struct sim *sim = world_with(2);

	sim_call(sim, "CreateService", SERVICE);
	sim_run_until_steady(sim);
	sim_take_facts(sim);
	sim_crash_instance(sim, 2);
	sim_run_for(sim, 20 * USEC_PER_SEC);
	EXPECT_TRACE(sim,
		"[ 12.0] task 2       placed on instance 1 for service web\n"
		"[ 12.1] task 2       PENDING -> RUNNING\n");
	end(sim);
}

TEST(a_restarted_server_changes_nothing)
{
	struct sim *sim = world_with(2);

	sim_call(sim, "CreateService", SERVICE);
	sim_run_until_steady(sim);
	sim_take_facts(sim);
	sim_crash_server(sim);
	sim_run_for(sim, 30 * USEC_PER_SEC);
	sim_run_until_steady(sim);
	assert_int_equal(sim_count_running(sim, "app"), 1);
	EXPECT_TRACE(sim, "");
	end(sim);
}

TEST(a_restarted_agent_keeps_its_containers)
{
	struct sim *sim = world_with(1);

	sim_call(sim, "CreateService", SERVICE);
	sim_run_until_steady(sim);
	sim_take_facts(sim);
	sim_crash_agent(sim, 1);
	sim_run_for(sim, 30 * USEC_PER_SEC);
	sim_run_until_steady(sim);
	assert_int_equal(sim_count_running(sim, "app"), 1);
	EXPECT_TRACE(sim, "");
	end(sim);
}

TEST(what_ended_while_its_agent_was_away_is_told)
{
	struct sim *sim = world_with(1);

	sim_call(sim, "RunTask", "{\"taskDefinition\":\"web\"}");
	sim_run_until_steady(sim);
	sim_take_facts(sim);
	sim_crash_agent(sim, 1);
	sim_exit_container(sim, "app", 5);
	sim_run_until_steady(sim);
	EXPECT_TRACE(sim, "[  2.7] task 1       RUNNING -> STOPPED (Essential container in task exited)\n");
	end(sim);
}

TEST(an_instance_cut_off_for_long_stops_what_was_replaced)
{
	struct sim *sim = world_with(2);

	sim_call(sim, "CreateService", SERVICE);
	sim_run_until_steady(sim);
	sim_take_facts(sim);
	sim_cut_instance(sim, 2);
	sim_run_for(sim, 100 * USEC_PER_SEC);
	assert_int_equal(sim_count_running(sim, "app"), 2);
	sim_join_instance(sim, 2);
	sim_run_for(sim, 100 * USEC_PER_SEC);
	sim_run_until_steady(sim);
	assert_int_equal(sim_count_running(sim, "app"), 1);
	end(sim);
}

TEST(a_task_without_room_waits_until_there_is_some)
{
	struct sim *sim = world_with(1);

	sim_call(sim, "CreateService", "{\"serviceName\":\"first\",\"taskDefinition\":\"big\",\"desiredCount\":1}");
	sim_run_until_steady(sim);
	sim_call(sim, "CreateService", "{\"serviceName\":\"second\",\"taskDefinition\":\"web\",\"desiredCount\":1}");
	sim_run_for(sim, 30 * USEC_PER_SEC);
	EXPECT_TRACE(sim,
		"[  2.0] service first ACTIVE, wants 1\n"
		"[  2.0] task 1       placed on instance 1 for service first\n"
		"[  2.1] task 1       PENDING -> RUNNING\n"
		"[  2.5] service second ACTIVE, wants 1\n");
	sim_call(sim, "DeleteService", "{\"service\":\"first\",\"force\":true}");
	sim_run_until_steady(sim);
	assert_true(str_contains(sim_take_facts(sim), S("task 2       placed on instance 1 for service second\n")));
	end(sim);
}

#define CHECKED "\"healthCheck\":{\"command\":[\"CMD\",\"ok\"],\"interval\":5,\"retries\":1}"

TEST(what_waits_for_health_starts_after_the_first_passed_probe)
{
	struct sim *sim = world_with(1);

	sim_call(sim, "RegisterTaskDefinition", "{\"family\":\"pair\",\"containerDefinitions\":[{\"name\":\"db\",\"image\":"
		 "\"web:1\",\"memory\":64," CHECKED "},{\"name\":\"app\",\"image\":\"web:2\",\"memory\":64,\"dependsOn\":"
		 "[{\"containerName\":\"db\",\"condition\":\"HEALTHY\"}]}]}");
	sim_call(sim, "RunTask", "{\"taskDefinition\":\"pair\"}");
	sim_run_for(sim, 4 * USEC_PER_SEC);
	assert_int_equal(sim_count_running(sim, "db"), 1);
	assert_int_equal(sim_count_running(sim, "app"), 0);
	sim_run_until_steady(sim);
	EXPECT_TRACE(sim,
		"[  2.0] task 1       placed on instance 1\n"
		"[  7.1] task 1       PENDING -> RUNNING\n");
	end(sim);
}

TEST(a_container_with_a_restart_policy_starts_again_and_nobody_hears_of_it)
{
	struct sim *sim = world_with(1);

	sim_call(sim, "RegisterTaskDefinition", "{\"family\":\"phoenix\",\"containerDefinitions\":[{\"name\":\"app\",\"image\":"
		 "\"web:1\",\"memory\":64,\"restartPolicy\":{\"enabled\":true,\"restartAttemptPeriod\":60}}]}");
	sim_call(sim, "RunTask", "{\"taskDefinition\":\"phoenix\"}");
	sim_run_until_steady(sim);
	sim_take_facts(sim);
	for (int i = 0; i < 3; i++) {
		sim_run_for(sim, 61 * USEC_PER_SEC);
		sim_exit_container(sim, "app", 1);
		sim_run_for(sim, USEC_PER_SEC);
		assert_int_equal(sim_count_running(sim, "app"), 1);
	}
	EXPECT_TRACE(sim, "");
	sim_exit_container(sim, "app", 1);
	sim_run_until_steady(sim);
	assert_true(str_contains(sim_take_facts(sim), S("RUNNING -> STOPPED (Essential container in task exited)")));
	end(sim);
}

static struct str first_subnet(struct sim *sim)
{
	struct str rest = sim_call(sim, "DescribeSubnets", "{}");

	while (rest.len && !str_starts(rest, S("subnet-")))
		rest = str_slice(rest, 1, rest.len);
	return str_slice(rest, 0, str_find(rest, '"'));
}

static void register_net(struct sim *sim, struct arena *arena, const char *cpu, const char *memory)
{
	sim_call(sim, "RegisterTaskDefinition", arena_printf(arena, "{\"family\":\"net\",\"networkMode\":\"awsvpc\","
		 "\"cpu\":\"%s\",\"memory\":\"%s\",\"requiresCompatibilities\":[\"FARGATE\"],"
		 "\"containerDefinitions\":[{\"name\":\"app\",\"image\":\"web:1\"}]}%c", cpu, memory, 0).ptr);
}

TEST(a_fargate_task_has_an_interface_for_as_long_as_it_lives)
{
	struct sim *sim = world_with(1);
	auto_arena arena = {0};

	register_net(sim, &arena, "256", "512");
	sim_call(sim, "RunTask", arena_printf(&arena, "{\"taskDefinition\":\"net\",\"launchType\":\"FARGATE\","
		 "\"networkConfiguration\":{\"awsvpcConfiguration\":{\"subnets\":[\"%.*s\"]}}}%c", STR(first_subnet(sim)), 0).ptr);
	sim_run_until_steady(sim);
	assert_int_equal(sim_count_running(sim, "app"), 1);
	assert_true(str_contains(sim_call(sim, "DescribeNetworkInterfaces", "{}"), S("eni-")));
	sim_exit_container(sim, "app", 0);
	sim_run_until_steady(sim);
	assert_false(str_contains(sim_call(sim, "DescribeNetworkInterfaces", "{}"), S("eni-")));
	end(sim);
}

/* Its room is booked anew as soon as its machine is back, where it runs still. */
TEST(a_fargate_task_that_was_given_up_has_its_room_until_it_ends)
{
	struct sim *sim = world_with(1);
	auto_arena arena = {0};

	register_net(sim, &arena, "512", "1024");
	sim_call(sim, "CreateService", arena_printf(&arena, "{\"serviceName\":\"net\",\"taskDefinition\":\"net\",\"desiredCount\":1,"
		 "\"launchType\":\"FARGATE\",\"networkConfiguration\":{\"awsvpcConfiguration\":{\"subnets\":[\"%.*s\"]}}}%c",
		 STR(first_subnet(sim)), 0).ptr);
	sim_run_until_steady(sim);
	sim_cut_instance(sim, 1);
	sim_run_for(sim, 90 * USEC_PER_SEC);
	sim_join_instance(sim, 1);
	sim_run_until_steady(sim);
	assert_int_equal(sim_count_running(sim, "app"), 1);
	end(sim);
}

static size_t count_healthy(struct str text)
{
	size_t count = 0;

	for (; text.len; text = str_slice(text, 1, text.len))
		count += str_starts(text, S("\"healthStatus\":\"HEALTHY\""));
	return count;
}

TEST(what_a_machine_tells_of_health_comes_in_order)
{
	struct sim *sim = world_with(3);
	size_t count, last = 0;
	auto_buffer body = {0};
	struct str list;

	buffer_add(&body, S("{\"family\":\"ward\",\"containerDefinitions\":["));
	for (int i = 0; i < 10; i++)
		buffer_printf(&body, "%s{\"name\":\"c%d\",\"image\":\"web:1\",\"memory\":32,\"healthCheck\":{\"command\":"
			      "[\"CMD-SHELL\",\"ok\"],\"interval\":5}}", i ? "," : "", i);
	buffer_printf(&body, "]}%c", 0);
	sim_call(sim, "RegisterTaskDefinition", body.bytes);
	sim_call(sim, "CreateService", "{\"serviceName\":\"ward\",\"taskDefinition\":\"ward\",\"desiredCount\":9}");
	list = sim_call(sim, "ListTasks", "{}");
	body.len = 0;
	buffer_printf(&body, "{\"tasks\":%.*s%c", STR(str_slice(list, str_find(list, '['), list.len)), 0);
	for (int i = 0; i < 800; i++, last = count) {
		count = count_healthy(sim_call(sim, "DescribeTasks", body.bytes));
		assert_true(count >= last);
	}
	assert_int_equal(last, 9 * (10 + 1));            /* containers, and their task */
	end(sim);
}

TEST(the_same_seed_gives_the_same_run)
{
	struct sim *one = sim_new(&(struct sim_options){.seed = 3}), *two = sim_new(&(struct sim_options){.seed = 3});

	assert_true(sim_run(one));
	assert_true(sim_run(two));
	EXPECT_STR(sim_take_facts(one), sim_take_facts(two));
	sim_free(one);
	sim_free(two);
}
