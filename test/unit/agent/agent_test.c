#include <stdio.h>
#include "test.h"
#include "world.h"

#define APP "{\"name\":\"app\",\"image\":\"web:1\",\"essential\":true,\"cpu\":256,\"memory\":256}"
#define SIDE "{\"name\":\"side\",\"image\":\"log:1\",\"essential\":false,\"cpu\":0,\"memory\":64}"

TEST(it_registers_then_connects)
{
	struct world *world = world_new();

	world_start(world);
	assert_int_equal(world->connects, 0);
	world_answer_registration(world);
	assert_int_equal(world->connects, 1);
	assert_true(str_has(agent_instance_arn(world->agent)));
	world_free(world);
}

TEST(gpus_are_told_at_registration)
{
	struct world *world = world_new();
	struct str gpus[] = {S("GPU-1"), S("GPU-2")};
	const struct ecs_register_container_instance_request *input;

	world->options.gpus = (struct ecs_string_list){gpus, COUNT(gpus)};
	agent_free(world->agent);
	world->agent = agent_new(&world->options);
	world_start(world);
	input = world_take_call(world, CALL_REGISTER).input;
	assert_int_equal(input->total_resources.count, 5);
	EXPECT_STR(input->total_resources.items[4].name, S("GPU"));
	EXPECT_STR(input->total_resources.items[4].type, S("STRINGSET"));
	EXPECT_STR(input->total_resources.items[4].string_set_value.items[1], S("GPU-2"));
	assert_int_equal(input->platform_devices.count, 2);
	world_free(world);
}

TEST(registration_is_retried_until_the_server_answers)
{
	struct world *world = world_new();

	world_start(world);
	for (int i = 0; i < 20; i++) {
		world_answer(world, world_take_call(world, CALL_REGISTER), ERROR_NETWORK, "connection refused");
		assert_int_equal(world->calls.count, 0);
		world_pass(world, 90 * USEC_PER_SEC);
	}
	world_answer_registration(world);
	assert_int_equal(world->connects, 1);
	world_free(world);
}

TEST(a_refused_registration_is_terminal)
{
	struct world *world = world_new();

	world_start(world);
	world_answer(world, world_take_call(world, CALL_REGISTER), ERROR_CLIENT, "Container instance type changes "
		     "are not supported.");
	assert_true(world->terminal);
	world_free(world);
}

TEST(an_attribute_that_does_not_come_back_is_terminal)
{
	struct world *world = world_new();
	struct ecs_container_instance instance = {.container_instance_arn = S("arn:x/y")};
	struct ecs_register_container_instance_response output = {.container_instance = &instance};

	world_start(world);
	world_step(world, (struct agent_event){.type = AGENT_EVENT_ANSWER, .output = &output,
					       .ticket = world_take_call(world, CALL_REGISTER).ticket});
	assert_true(world->terminal);
	world_free(world);
}

TEST(without_a_configured_cluster_a_missing_default_is_made)
{
	struct world *world = world_new();
	struct world_call call;

	agent_free(world->agent);
	world->options.cluster = STR_NONE;
	world->agent = agent_new(&world->options);
	world_start(world);
	world_answer(world, world_take_call(world, CALL_REGISTER), ERROR_CLUSTER_NOT_FOUND, "Cluster not found.");
	call = world_take_call(world, CALL_CREATE_CLUSTER);
	EXPECT_STR(((const struct ecs_create_cluster_request *)call.input)->cluster_name, S("default"));
	world_answer(world, call, ERROR_NONE, NULL);
	world_answer_registration(world);
	assert_int_equal(world->connects, 1);
	world_free(world);
}

TEST(data_of_another_cluster_are_refused)
{
	struct world *world = world_connected();

	world->options.cluster = S("other");
	world_crash(world);
	assert_true(world->terminal);
	assert_int_equal(world->calls.count, 0);
	world_free(world);
}

TEST(the_channel_is_opened_again_at_once_after_a_good_end_and_later_after_bad_ones)
{
	struct world *world = world_connected();
	unsigned before = world->connects;

	world->now += 10 * USEC_PER_SEC;
	world_step(world, (struct agent_event){.type = AGENT_EVENT_CHANNEL_CLOSED});
	assert_int_equal(world->connects, before + 1);
	world_step(world, (struct agent_event){.type = AGENT_EVENT_CHANNEL_CLOSED, .error = ERROR_NETWORK});
	assert_int_equal(world->connects, before + 1);
	world_pass(world, USEC_PER_SEC);
	assert_int_equal(world->connects, before + 2);
	world_step(world, (struct agent_event){.type = AGENT_EVENT_CHANNEL_CLOSED, .error = ERROR_REFUSED,
		.error_text = S("{\"InactiveInstanceException\":\"gone\"}")});
	world_pass(world, 3500 * USEC_PER_SEC);
	assert_int_equal(world->connects, before + 2);
	world_pass(world, 200 * USEC_PER_SEC);
	assert_int_equal(world->connects, before + 3);
	world_free(world);
}

TEST(a_channel_that_closes_at_once_is_not_reopened_in_a_spin)
{
	struct world *world = world_connected();
	unsigned before = world->connects;

	for (int i = 0; i < 100; i++) {
		world_step(world, (struct agent_event){.type = AGENT_EVENT_CHANNEL_OPEN});
		world_step(world, (struct agent_event){.type = AGENT_EVENT_CHANNEL_CLOSED});
	}
	assert_int_equal(world->connects, before);
	world_free(world);
}

TEST(a_task_goes_through_its_steps_and_is_reported)
{
	struct world *world = world_connected();

	world_payload(world, "t1", "RUNNING", APP);
	assert_true(world_heard(world, "AckRequest"));
	assert_int_equal(world->jobs.count, 2);
	world_succeed(world, JOB_PULL, "app");
	assert_int_equal(world_count_jobs(world, JOB_START), 0);
	world_succeed(world, JOB_CREATE, NULL);
	world_succeed(world, JOB_START, "app");
	EXPECT_STR(world_peek_report(world)->containers.items[0].runtime_id, S("run-1"));
	EXPECT_STR(world_peek_report(world)->containers.items[0].image_digest, S("sha256:aa"));
	assert_true(world_peek_report(world)->pull_stopped_at.has);
	world_expect_report(world, "t1", "RUNNING");
	assert_int_equal(world->calls.count, 0);

	world_exit(world, "t1", "app", 3);
	assert_int_equal(world_peek_report(world)->containers.items[0].exit_code.value, 3);
	assert_true(world_peek_report(world)->execution_stopped_at.has);
	world_succeed(world, JOB_DESTROY, NULL);
	world_expect_report(world, "t1", "STOPPED");
	assert_int_equal(world->jobs.count, 0);
	world_pass(world, 3599 * USEC_PER_SEC);
	assert_non_null(world_task(world, "t1"));
	world_pass(world, 2 * USEC_PER_SEC);
	assert_int_equal(world->jobs.count, 0);
	assert_true(agent_is_idle(world->agent));
	assert_null(map_get(&world->disk, S("t1")));
	world_free(world);
}

TEST(a_payload_twice_starts_one_task_and_is_acknowledged_twice)
{
	struct world *world = world_connected();

	world_payload(world, "t1", "RUNNING", APP);
	world_payload(world, "t1", "RUNNING", APP);
	assert_true(world_heard(world, "AckRequest"));
	assert_true(world_heard(world, "AckRequest"));
	assert_int_equal(world_count_jobs(world, JOB_PULL), 1);
	assert_int_equal(world_count_jobs(world, JOB_CREATE), 1);
	world_free(world);
}

TEST(a_payload_without_ids_is_dropped)
{
	struct world *world = world_connected();

	world_message(world, "PayloadMessage", "{\"messageId\":\"m\",\"tasks\":[{\"arn\":\"a/t1\"}]}");
	world_message(world, "NoSuchMessage", "");
	assert_int_equal(world->said.count, 0);
	assert_int_equal(agent_task_count(world->agent), 0);
	world_free(world);
}

TEST(stopping_sends_sigterm_then_sigkill)
{
	struct world *world = world_running(APP);

	world_payload(world, "t1", "STOPPED", APP);
	assert_int_equal(world_take_job(world, JOB_SIGNAL, "app").signal, 15);
	world_pass(world, 29 * USEC_PER_SEC);
	assert_int_equal(world->jobs.count, 0);
	world_pass(world, 2 * USEC_PER_SEC);
	assert_int_equal(world_take_job(world, JOB_SIGNAL, "app").signal, 9);
	world_exit(world, "t1", "app", 137);
	assert_int_equal(world_peek_report(world)->containers.items[0].exit_code.value, 137);
	world_expect_report(world, "t1", "STOPPED");
	world_free(world);
}

TEST(the_containers_own_stop_timeout_counts)
{
	struct world *world = world_running("{\"name\":\"app\",\"image\":\"i\",\"essential\":true,\"stopTimeout\":2}");

	world_payload(world, "t1", "STOPPED", APP);
	world_take_job(world, JOB_SIGNAL, "app");
	world_pass(world, 3 * USEC_PER_SEC);
	assert_int_equal(world_take_job(world, JOB_SIGNAL, "app").signal, 9);
	world_free(world);
}

TEST(what_survives_sigkill_is_given_up_with_a_reason)
{
	struct world *world = world_running(APP);

	world_payload(world, "t1", "STOPPED", APP);
	world_pass(world, 120 * USEC_PER_SEC);
	assert_int_equal(world_count_jobs(world, JOB_SIGNAL), 1 + AGENT_KILL_ATTEMPTS);
	assert_true(str_starts(world_peek_report(world)->containers.items[0].reason, S("CannotStopContainerError: ")));
	world_expect_report(world, "t1", "STOPPED");
	world_free(world);
}

TEST(a_stopped_task_never_starts_again)
{
	struct world *world = world_running(APP);

	world_exit(world, "t1", "app", 0);
	world_settle(world);
	world_payload(world, "t1", "RUNNING", APP);
	assert_true(world_heard(world, "AckRequest"));
	assert_int_equal(world->jobs.count, 0);
	assert_int_equal(world_task(world, "t1")->desired, AGENT_STATUS_STOPPED);
	world_free(world);
}

TEST(an_unknown_task_to_be_stopped_is_reported_stopped)
{
	struct world *world = world_connected();

	world_payload(world, "t9", "STOPPED", APP);
	assert_true(world_heard(world, "AckRequest"));
	assert_int_equal(world->jobs.count, 0);
	world_expect_report(world, "t9", "STOPPED");
	world_pass(world, 150 * USEC_PER_SEC);
	world_settle(world);
	assert_true(agent_is_idle(world->agent));
	world_free(world);
}

TEST(a_task_that_does_not_parse_is_refused_without_an_ack)
{
	static const struct { const char *containers, *cause; } bad[] = {
		{ "", "the task has no containers" },
		{ "{\"name\":\"a/b\",\"image\":\"i\"}", "cannot be the name" },
		{ "{\"name\":\"..\",\"image\":\"i\"}", "cannot be the name" },
		{ APP "," APP, "two containers are named 'app'" },
		{ "{\"name\":\"a\"}", "has no image" },
		{ "{\"name\":\"a\",\"image\":\"i\",\"dependsOn\":[{\"containerName\":\"b\",\"condition\":\"START\"}]}",
		  "'b', which is not in the task" },
		{ APP ",{\"name\":\"a\",\"image\":\"i\",\"dependsOn\":[{\"containerName\":\"app\","
		  "\"condition\":\"HEALTHY\"}]}", "which has no health check" },
		{ "{\"name\":\"a\",\"image\":\"i\",\"portMappings\":[{\"containerPort\":80,\"hostPort\":65536}]}",
		  "maps port 80 to 65536" },
		{ "{\"name\":\"a\",\"image\":\"i\",\"secrets\":[{\"name\":\"x\"}]}", "asks for secrets" },
		{ "{\"name\":\"a\",\"image\":\"i\",\"dockerConfig\":{\"hostConfig\":\"{\"}}",
		  "bad dockerConfig.hostConfig" },
	};

	for (size_t i = 0; i < COUNT(bad); i++) {
		struct world *world = world_connected();

		world_payload(world, "t1", "RUNNING", bad[i].containers);
		assert_false(world_heard(world, "AckRequest"));
		assert_int_equal(world->jobs.count, 0);
		assert_true(str_starts(world_peek_report(world)->reason,
				       S("UnrecogniedTaskError: Error loading task - ")));
		if (!str_contains(world_peek_report(world)->reason, str_of(bad[i].cause)))
			fail_msg("'%.*s' does not say '%s'", STR(world_peek_report(world)->reason), bad[i].cause);
		world_expect_report(world, "t1", "STOPPED");
		world_free(world);
	}
}

TEST(a_pending_desired_status_is_refused)
{
	struct world *world = world_connected();

	world_payload(world, "t1", "PENDING", APP);
	assert_false(world_heard(world, "AckRequest"));
	world_expect_report(world, "t1", "STOPPED");
	world_free(world);
}

TEST(a_task_id_that_could_leave_its_folder_is_ignored)
{
	struct world *world = world_connected();

	world_payload(world, "..", "RUNNING", APP);
	world_payload(world, "", "RUNNING", APP);
	world_payload(world, "0123456789012345678901234567890123456", "RUNNING", APP);
	assert_int_equal(agent_task_count(world->agent), 0);
	world_payload(world, "012345678901234567890123456789012345", "RUNNING", APP);
	assert_int_equal(agent_task_count(world->agent), 1);
	world_free(world);
}

TEST(a_dependency_cycle_stops_the_task)
{
	struct world *world = world_connected();

	world_payload(world, "t1", "RUNNING",
		"{\"name\":\"a\",\"image\":\"i\",\"essential\":true,\"dependsOn\":[{\"containerName\":\"b\","
		"\"condition\":\"START\"}]},{\"name\":\"b\",\"image\":\"i\",\"links\":[\"a:x\"]}");
	assert_true(str_starts(world_peek_report(world)->reason, S("TaskDependencyError: ")));
	world_expect_report(world, "t1", "STOPPED");
	world_free(world);
}

#define AFTER(condition) "{\"name\":\"init\",\"image\":\"i\",\"essential\":false,\"startTimeout\":60}," \
	"{\"name\":\"app\",\"image\":\"i\",\"essential\":true,\"dependsOn\":[{\"containerName\":\"init\"," \
	"\"condition\":\"" condition "\"}]}"

static struct world *init_runs(const char *containers)
{
	struct world *world = world_connected();

	world_payload(world, "t1", "RUNNING", containers);
	world_succeed(world, JOB_PULL, "init");
	world_succeed(world, JOB_PULL, "app");
	world_succeed(world, JOB_CREATE, NULL);
	world_succeed(world, JOB_START, "init");
	if (world->calls.count)
		world_expect_report(world, "t1", "PENDING");
	return world;
}

TEST(start_waits_for_the_start_of_another)
{
	struct world *world = init_runs(AFTER("START"));

	world_succeed(world, JOB_START, "app");
	world_expect_report(world, "t1", "RUNNING");
	world_free(world);
}

TEST(success_waits_for_a_good_end_and_digests_are_told_meanwhile)
{
	struct world *world = init_runs(AFTER("SUCCESS"));

	assert_int_equal(world->jobs.count, 0);
	world_exit(world, "t1", "init", 0);
	world_succeed(world, JOB_START, "app");
	world_expect_report(world, "t1", "RUNNING");
	world_free(world);
}

TEST(a_broken_success_takes_the_task_down)
{
	struct world *world = init_runs(AFTER("SUCCESS"));
	const struct ecs_submit_task_state_change_request *report;

	world_exit(world, "t1", "init", 1);
	assert_int_equal(world_count_jobs(world, JOB_START), 0);
	report = world_peek_report(world);
	assert_int_equal(report->containers.items[0].exit_code.value, 1);
	assert_int_equal(report->containers.items[1].exit_code.value, 143);
	assert_true(str_starts(report->containers.items[1].reason,
			       S("CannotStartContainerError: dependency graph: ")));
	world_expect_report(world, "t1", "STOPPED");
	world_free(world);
}

TEST(complete_takes_any_end)
{
	struct world *world = init_runs(AFTER("COMPLETE"));

	world_exit(world, "t1", "init", 7);
	world_succeed(world, JOB_START, "app");
	world_free(world);
}

TEST(a_dependency_that_takes_too_long_breaks)
{
	struct world *world = init_runs(AFTER("COMPLETE"));

	world_pass(world, 61 * USEC_PER_SEC);
	assert_int_equal(world_container(world, "t1", "app")->known, AGENT_STATUS_STOPPED);
	assert_int_equal(world_take_job(world, JOB_SIGNAL, "init").signal, 15);
	world_free(world);
}

TEST(containers_stop_in_the_reverse_order)
{
	struct world *world = world_running(AFTER("START"));

	world_payload(world, "t1", "STOPPED", APP);
	world_take_job(world, JOB_SIGNAL, "app");
	assert_int_equal(world->jobs.count, 0);
	world_exit(world, "t1", "app", 143);
	world_take_job(world, JOB_SIGNAL, "init");
	world_free(world);
}

TEST(the_end_of_an_essential_container_stops_the_others)
{
	struct world *world = world_running(APP "," SIDE);

	world_exit(world, "t1", "app", 0);
	assert_int_equal(world->calls.count, 0);
	world_take_job(world, JOB_SIGNAL, "side");
	world_exit(world, "t1", "side", 143);
	world_expect_report(world, "t1", "STOPPED");
	world_free(world);
}

TEST(the_end_of_another_container_is_told_with_the_task_running)
{
	struct world *world = world_running(APP "," SIDE);

	world_exit(world, "t1", "side", 5);
	EXPECT_STR(world_peek_report(world)->containers.items[1].status, S("STOPPED"));
	assert_int_equal(world_peek_report(world)->containers.items[1].exit_code.value, 5);
	world_expect_report(world, "t1", "RUNNING");
	assert_int_equal(world->jobs.count, 0);
	world_free(world);
}

TEST(a_task_that_ends_at_once_was_running_all_the_same)
{
	struct world *world = world_connected();

	world_payload(world, "t1", "RUNNING", APP);
	world_succeed(world, JOB_PULL, "app");
	world_succeed(world, JOB_CREATE, NULL);
	world_exit(world, "t1", "app", 0);               /* before the answer of the start */
	world_succeed(world, JOB_START, "app");
	EXPECT_STR(world_peek_report(world)->containers.items[0].status, S("RUNNING"));
	world_expect_report(world, "t1", "RUNNING");
	assert_int_equal(world_peek_report(world)->containers.items[0].exit_code.value, 0);
	world_expect_report(world, "t1", "STOPPED");
	world_free(world);
}

TEST(a_pull_is_tried_again_and_then_fails_the_task)
{
	struct world *world = world_connected();

	world_payload(world, "t1", "RUNNING", APP);
	for (int i = 0; i < AGENT_PULL_ATTEMPTS; i++) {
		world_pass(world, 10 * USEC_PER_SEC);
		world_fail(world, JOB_PULL, "app", "CannotPullContainerError: no such image");
	}
	assert_int_equal(world_count_jobs(world, JOB_PULL), 0);
	EXPECT_STR(world_peek_report(world)->containers.items[0].reason,
		   S("CannotPullContainerError: no such image"));
	assert_false(world_peek_report(world)->containers.items[0].exit_code.has);
	world_expect_report(world, "t1", "STOPPED");
	world_free(world);
}

TEST(a_failed_start_has_a_reason_and_no_exit_code)
{
	struct world *world = world_connected();

	world_payload(world, "t1", "RUNNING", APP);
	world_succeed(world, JOB_PULL, "app");
	world_succeed(world, JOB_CREATE, NULL);
	world_fail(world, JOB_START, "app", "CannotStartContainerError: exec: not found");
	assert_false(world_peek_report(world)->containers.items[0].exit_code.has);
	world_expect_report(world, "t1", "STOPPED");
	world_free(world);
}

TEST(a_failed_create_is_the_tasks_reason)
{
	struct world *world = world_connected();

	world_payload(world, "t1", "RUNNING", APP);
	world_succeed(world, JOB_PULL, "app");
	world_fail(world, JOB_CREATE, NULL, "ResourceInitializationError: no cgroup");
	EXPECT_STR(world_peek_report(world)->reason, S("ResourceInitializationError: no cgroup"));
	world_expect_report(world, "t1", "STOPPED");
	world_free(world);
}

TEST(a_stop_during_the_start_waits_for_it_and_then_signals)
{
	struct world *world = world_connected();

	world_payload(world, "t1", "RUNNING", APP);
	world_succeed(world, JOB_PULL, "app");
	world_succeed(world, JOB_CREATE, NULL);
	world_payload(world, "t1", "STOPPED", APP);
	assert_int_equal(world_count_jobs(world, JOB_SIGNAL), 0);
	world_succeed(world, JOB_START, "app");
	assert_int_equal(world_take_job(world, JOB_SIGNAL, "app").signal, 15);
	world_exit(world, "t1", "app", 143);
	world_expect_report(world, "t1", "RUNNING");
	world_expect_report(world, "t1", "STOPPED");
	world_free(world);
}

TEST(a_stop_during_the_pull_ends_it_at_once)
{
	struct world *world = world_connected();

	world_payload(world, "t1", "RUNNING", APP);
	world_payload(world, "t1", "STOPPED", APP);
	world_expect_report(world, "t1", "STOPPED");
	world_succeed(world, JOB_CREATE, NULL);
	assert_int_equal(world->jobs.count, 1);          /* what is pulled belongs to the task: it is not destroyed before */
	world_succeed(world, JOB_PULL, "app");
	world_succeed(world, JOB_DESTROY, NULL);
	assert_int_equal(world->jobs.count, 0);
	world_free(world);
}

TEST(an_out_of_memory_kill_has_its_reason)
{
	struct world *world = world_running(APP);
	struct fact fact = {.kind = FACT_EXIT, .task_id = S("t1"), .container = S("app"), .ok = true,
			    .exit_code = 137, .out_of_memory = true, .at = world->now};

	world_step(world, (struct agent_event){.type = AGENT_EVENT_FACT, .fact = &fact});
	EXPECT_STR(world_peek_report(world)->containers.items[0].reason,
		   S("OutOfMemoryError: Container killed due to memory usage"));
	world_free(world);
}

#define BIG "{\"name\":\"app\",\"image\":\"i\",\"essential\":true,\"cpu\":1500,\"memory\":100}"
#define PORT "{\"name\":\"app\",\"image\":\"i\",\"essential\":true,\"memory\":10,\"portMappings\":" \
	"[{\"containerPort\":80,\"hostPort\":8080}]}"

TEST(a_task_waits_for_room_and_a_smaller_one_does_not_wait_behind_it)
{
	struct world *world = world_running(BIG);

	world_payload(world, "t2", "RUNNING", BIG);
	assert_true(world_heard(world, "AckRequest"));
	assert_int_equal(world->jobs.count, 0);
	world_payload(world, "t3", "RUNNING", APP);
	world_settle(world);
	assert_int_equal(world_task(world, "t3")->known, AGENT_STATUS_RUNNING);
	assert_int_equal(world_task(world, "t2")->known, AGENT_STATUS_NONE);
	world_exit(world, "t1", "app", 0);
	world_settle(world);
	assert_int_equal(world_task(world, "t2")->known, AGENT_STATUS_RUNNING);
	world_free(world);
}

TEST(a_host_port_is_given_to_one_task_at_a_time)
{
	struct world *world = world_running(PORT);

	world_expect_turns(world, PORT);
	world_free(world);
}

TEST(a_gpu_is_given_to_one_task_at_a_time)
{
	struct world *world = world_connected();
	struct str devices[] = {S("GPU-1"), S("GPU-2")};

	world->options.gpus = (struct ecs_string_list){devices, COUNT(devices)};
	world_return(world);
	world->task_tail = ",\"associations\":[{\"type\":\"gpu\",\"name\":\"GPU-2\",\"containers\":[\"app\"]}]";
	world_payload(world, "t1", "RUNNING", APP);
	world_settle(world);
	world_expect_turns(world, APP);
	world_free(world);
}

TEST(the_soft_memory_limit_is_what_counts)
{
	struct world *world = world_connected();

	world_payload(world, "t1", "RUNNING", "{\"name\":\"app\",\"image\":\"i\",\"essential\":true,\"memory\":4000,"
		"\"dockerConfig\":{\"hostConfig\":\"{\\\"MemoryReservation\\\":134217728}\"}}");
	assert_int_equal(world_count_jobs(world, JOB_PULL), 1);
	world_free(world);
}

TEST(a_task_larger_than_the_host_is_stopped_with_a_reason)
{
	struct world *world = world_connected();

	world_payload(world, "t1", "RUNNING", "{\"name\":\"app\",\"image\":\"i\",\"essential\":true,\"cpu\":4096}");
	assert_true(str_starts(world_peek_report(world)->reason, S("ResourceInitializationError: the task needs")));
	world_expect_report(world, "t1", "STOPPED");
	world_free(world);
}

TEST(a_report_is_repeated_until_it_is_taken_and_dropped_when_it_is_invalid)
{
	struct world *world = world_running(APP);

	world_exit(world, "t1", "app", 0);
	for (int i = 0; i < 20; i++) {
		world_answer(world, world_take_call(world, CALL_SUBMIT_TASK), ERROR_SERVER, "later");
		assert_int_equal(world->calls.count, 0);
		world_pass(world, 40 * USEC_PER_SEC);
	}
	world_answer(world, world_take_call(world, CALL_SUBMIT_TASK), ERROR_INVALID_PARAMETER, "no such task");
	world_pass(world, 100 * USEC_PER_SEC);
	assert_int_equal(world->calls.count, 0);
	world_free(world);
}

TEST(one_call_a_task_is_under_way)
{
	struct world *world = world_running(APP "," SIDE);

	world_exit(world, "t1", "side", 0);
	world_exit(world, "t1", "app", 0);
	assert_int_equal(world->calls.count, 1);
	world_expect_report(world, "t1", "RUNNING");
	world_expect_report(world, "t1", "STOPPED");
	assert_int_equal(world->calls.count, 0);
	world_free(world);
}

TEST(a_task_is_not_forgotten_before_the_server_knows)
{
	struct world *world = world_running(APP);

	world_exit(world, "t1", "app", 0);
	world_succeed(world, JOB_DESTROY, NULL);
	world_pass(world, 4000 * USEC_PER_SEC);
	assert_false(agent_is_idle(world->agent));
	world_expect_report(world, "t1", "STOPPED");
	world_pass(world, 150 * USEC_PER_SEC);
	assert_true(agent_is_idle(world->agent));
	world_free(world);
}

TEST(a_task_is_not_forgotten_before_its_things_are_gone)
{
	struct world *world = world_running(APP);

	world_exit(world, "t1", "app", 0);
	world_expect_report(world, "t1", "STOPPED");
	for (int i = 0; i < 4; i++) {
		world_fail(world, JOB_DESTROY, NULL, "busy");
		world_pass(world, 2000 * USEC_PER_SEC);
	}
	assert_false(agent_is_idle(world->agent));
	world_succeed(world, JOB_DESTROY, NULL);
	assert_true(agent_is_idle(world->agent));
	world_free(world);
}

TEST(what_shows_up_after_all_is_gone_is_destroyed_too)
{
	struct world *world = world_running(APP);

	world_exit(world, "t1", "app", 0);
	world_succeed(world, JOB_DESTROY, NULL);
	world_step(world, (struct agent_event){.type = AGENT_EVENT_FACT, .fact = &(struct fact){
		.kind = FACT_FOUND, .task_id = S("t1"), .container = S("app"), .ok = true, .running = true}});
	world_succeed(world, JOB_DESTROY, NULL);
	world_free(world);
}

TEST(a_task_costs_two_commits_to_its_start_and_one_at_its_end)
{
	struct world *world = world_connected();
	unsigned before = world->commits;

	world_payload(world, "t1", "RUNNING", APP);
	world_settle(world);
	assert_int_equal(world->commits - before, 2);    /* taken; started */
	world_exit(world, "t1", "app", 0);
	world_settle(world);
	world_pass(world, 4000 * USEC_PER_SEC);
	assert_int_equal(world->commits - before, 4);    /* ended; forgotten, for it is the last one */
	world_free(world);
}

TEST(what_need_not_be_durable_is_stored_with_what_must_be)
{
	struct world *world = world_running(APP);

	assert_int_equal(((const struct agent_task *)map_get(&world->disk, S("t1")))->reported, AGENT_STATUS_NONE);
	world_payload(world, "t2", "RUNNING", APP);
	assert_int_equal(((const struct agent_task *)map_get(&world->disk, S("t1")))->reported, AGENT_STATUS_RUNNING);
	world_exit(world, "t1", "app", 0);
	world_settle(world);
	world_pass(world, 4000 * USEC_PER_SEC);
	assert_null(world_task(world, "t1"));
	assert_non_null(map_get(&world->disk, S("t1")));
	world_payload(world, "t1", "RUNNING", APP);      /* the same again, whatever it means: it is not erased */
	assert_non_null(map_get(&world->disk, S("t1")));
	world_free(world);
}

/* The server sent it before the report came; both were under way at once. */
TEST(a_late_payload_does_not_run_a_task_again)
{
	struct world *world = world_running(APP);

	world_exit(world, "t1", "app", 0);
	world_pass(world, 4000 * USEC_PER_SEC);
	world_expect_report(world, "t1", "STOPPED");
	world_pass(world, 5 * USEC_PER_SEC);
	world_payload(world, "t1", "RUNNING", APP);
	world_settle(world);
	assert_int_equal(world_task(world, "t1")->known, AGENT_STATUS_STOPPED);
	world_free(world);
}

TEST(heartbeats_are_acknowledged)
{
	struct world *world = world_connected();

	world_message(world, "HeartbeatMessage", "{\"healthy\":true,\"messageId\":\"h1\"}");
	assert_true(world_heard(world, "HeartbeatAckRequest"));
	world_free(world);
}

#define MANIFEST(timeline, tasks) "{\"clusterArn\":\"c\",\"containerInstanceArn\":\"i\",\"messageId\":\"f1\"," \
	"\"timeline\":" timeline ",\"tasks\":[" tasks "]}"
#define T1 "arn:aws:ecs:us-east-1:000000000000:task/prod/t1"

TEST(a_manifest_without_a_task_stops_it_once_the_server_confirms)
{
	struct world *world = world_running(APP);

	world_message(world, "TaskManifestMessage", MANIFEST("7", ""));
	assert_true(world_heard(world, "AckRequest"));
	assert_true(world_heard(world, "TaskStopVerificationMessage"));
	assert_int_equal(world->jobs.count, 0);
	world_message(world, "TaskStopVerificationAck",
		      "{\"messageId\":\"other\",\"stopTasks\":[{\"taskArn\":\"" T1 "\"}]}");
	assert_int_equal(world->jobs.count, 0);
	world_message(world, "TaskStopVerificationAck",
		      "{\"messageId\":\"f1\",\"stopTasks\":[{\"taskArn\":\"" T1 "\"}]}");
	assert_int_equal(world_take_job(world, JOB_SIGNAL, "app").signal, 15);
	world_free(world);
}

TEST(a_manifest_that_names_all_tasks_is_only_acknowledged)
{
	struct world *world = world_running(APP);

	world_message(world, "TaskManifestMessage",
		      MANIFEST("7", "{\"taskArn\":\"" T1 "\",\"desiredStatus\":\"RUNNING\"}"));
	assert_true(world_heard(world, "AckRequest"));
	assert_int_equal(world->said.count, 0);
	world_free(world);
}

TEST(a_stale_manifest_is_dropped_also_after_a_restart)
{
	struct world *world = world_running(APP);

	world_message(world, "TaskManifestMessage", MANIFEST("7", ""));
	world->said.count = 0;
	world_message(world, "TaskManifestMessage", MANIFEST("7", ""));
	world_message(world, "TaskManifestMessage", "{\"messageId\":\"x\"}");
	world_crash(world);
	world_message(world, "TaskManifestMessage", MANIFEST("6", ""));
	assert_int_equal(world->said.count, 0);
	world_free(world);
}

TEST(credentials_are_kept_in_memory_and_acknowledged_but_never_stored)
{
	struct world *world = world_running(APP);
	const struct agent_task *stored;

	world_message(world, "IAMRoleCredentialsMessage", "{\"messageId\":\"k\",\"taskArn\":\"" T1 "\","
		"\"roleType\":\"TaskApplication\",\"roleCredentials\":{\"credentialsId\":\"id1\","
		"\"secretAccessKey\":\"hush\",\"expiration\":\"e\"}}");
	assert_true(world_heard(world, "IAMRoleCredentialsAckRequest"));
	EXPECT_STR(agent_credentials(world->agent, S("id1"))->secret_access_key, S("hush"));
	stored = map_get(&world->disk, S("t1"));
	assert_null(stored->task->role_credentials);
	world_message(world, "IAMRoleCredentialsMessage", "{\"messageId\":\"k\",\"taskArn\":\"x/none\","
		"\"roleCredentials\":{\"credentialsId\":\"id2\"}}");
	assert_int_equal(world->said.count, 0);
	world_free(world);
}

TEST(stop_all_ends_and_destroys_everything_and_takes_nothing_new)
{
	struct world *world = world_running(APP "," SIDE);

	world_step(world, (struct agent_event){.type = AGENT_EVENT_STOP_ALL});
	world_payload(world, "t2", "RUNNING", APP);
	assert_false(world_heard(world, "AckRequest"));
	world_settle(world);
	assert_true(agent_is_idle(world->agent));
	assert_int_equal(world->disk.count, 1);          /* the instance */
	world_free(world);
}

TEST(stop_all_does_not_wait_long_for_a_server_that_is_gone)
{
	struct world *world = world_running(APP);

	world_step(world, (struct agent_event){.type = AGENT_EVENT_STOP_ALL});
	world_take_job(world, JOB_SIGNAL, "app");
	world_exit(world, "t1", "app", 143);
	world_succeed(world, JOB_DESTROY, NULL);
	for (int i = 0; i < 15 && !agent_is_idle(world->agent); i++) {
		if (world->calls.count)
			world_answer(world, world_take_call(world, CALL_SUBMIT_TASK), ERROR_NETWORK, "gone");
		world_pass(world, USEC_PER_SEC);
	}
	assert_true(agent_is_idle(world->agent));
	world_free(world);
}

TEST(tasks_past_the_limit_are_not_acknowledged)
{
	struct world *world = world_connected();
	char id[16];

	for (int i = 0; i < AGENT_TASKS_LIMIT; i++) {
		snprintf(id, sizeof(id), "n%d", i);
		world_payload(world, id, "STOPPED", APP);
		world->said.count = world->calls.count = 0;
	}
	world_payload(world, "last", "RUNNING", APP);
	assert_false(world_heard(world, "AckRequest"));
	assert_int_equal(agent_task_count(world->agent), AGENT_TASKS_LIMIT);
	world_free(world);
}

static void run_and_end(struct world *world, const char *task)
{
	world_payload(world, task, "RUNNING", APP);
	world_settle(world);
	world_exit(world, task, "app", 0);
	world_settle(world);
	world->said.count = 0;
}

TEST(of_ended_tasks_past_their_limit_the_oldest_goes_before_its_time)
{
	struct world *world = world_connected();
	char id[16];

	run_and_end(world, "oldest");
	for (int i = 1; i < AGENT_ENDED_LIMIT; i++) {
		snprintf(id, sizeof(id), "n%d", i);
		run_and_end(world, id);
	}
	world_pass(world, 300 * USEC_PER_SEC);
	assert_int_equal(world->jobs.count, 0);
	run_and_end(world, "newest");
	assert_null(world_task(world, "oldest"));
	assert_non_null(world_task(world, "n1"));
	assert_int_equal(agent_task_count(world->agent), AGENT_ENDED_LIMIT);
	world_free(world);
}

TEST(a_task_that_never_ran_is_not_kept)
{
	struct world *world = world_connected();

	world_payload(world, "t1", "RUNNING", APP);
	world_succeed(world, JOB_CREATE, NULL);
	world_payload(world, "t1", "STOPPED", APP);
	world_settle(world);
	world_pass(world, 300 * USEC_PER_SEC);
	world_settle(world);
	assert_null(world_task(world, "t1"));
	world_free(world);
}
