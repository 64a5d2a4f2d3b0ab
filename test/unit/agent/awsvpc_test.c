/* Tasks with an interface of their own, and the order in which the server hears of it (agent-protocol 2.4, 5.1). */
#include <stdio.h>
#include "test.h"
#include "world.h"

#define ARN "arn:aws:ecs:us-east-1:000000000000:"
#define APP "{\"name\":\"app\",\"image\":\"web:1\",\"essential\":true}"
#define ENI "{\"attachmentArn\":\"" ARN "attachment/a1\",\"ec2Id\":\"eni-1\",\"macAddress\":\"02:00:00:00:00:01\"," \
	"\"ipv4Addresses\":[{\"privateAddress\":\"10.0.1.9\",\"primary\":true}]," \
	"\"subnetGatewayIpv4Address\":\"10.0.1.1/24\"}"
#define WITH_ENI ",\"elasticNetworkInterfaces\":[" ENI "]"

static struct world *connected(const char *tail)
{
	struct world *world = world_connected();

	world->awsvpc = true;
	world->task_tail = tail;
	return world;
}

/* A task with an interface runs. */
static struct world *running(void)
{
	struct world *world = connected(WITH_ENI);

	world_payload(world, "t1", "RUNNING", APP);
	world_settle(world);
	return world;
}

static void announce(struct world *world, const char *task, int timeout_msec)
{
	struct str json = arena_printf(&world->arena,
		"{\"clusterArn\":\"" ARN "cluster/prod\",\"containerInstanceArn\":\"" ARN "container-instance/prod/i\","
		"\"messageId\":\"m\",\"taskArn\":\"" ARN "task/prod/%s\",\"taskClusterArn\":\"" ARN "cluster/prod\","
		"\"waitTimeoutMs\":%d,\"elasticNetworkInterfaces\":[" ENI "]}%c", task, timeout_msec, 0);

	world_message(world, "AttachTaskNetworkInterfacesMessage", json.ptr);
}

static void expect_attached(struct world *world)
{
	const struct ecs_submit_task_state_change_request *report = world_peek_report(world);

	assert_false(str_has(report->status));
	assert_int_equal(report->containers.count, 0);
	assert_int_equal(report->attachments.count, 1);
	EXPECT_STR(report->attachments.items[0].attachment_arn, S(ARN "attachment/a1"));
	EXPECT_STR(report->attachments.items[0].status, S("ATTACHED"));
	world_answer(world, world_take_call(world, CALL_SUBMIT_TASK), ERROR_NONE, NULL);
}

TEST(attached_is_told_first_and_does_not_delay_the_start)
{
	struct world *world = connected(WITH_ENI);

	world_payload(world, "t1", "RUNNING", APP);
	assert_true(world_heard(world, "AckRequest"));
	world_succeed(world, JOB_CREATE, NULL);
	world_succeed(world, JOB_PULL, "app");
	world_succeed(world, JOB_START, "app");
	assert_int_equal(world->calls.count, 1);
	expect_attached(world);
	world_expect_report(world, "t1", "RUNNING");
	assert_int_equal(world->calls.count, 0);
	world_free(world);
}

/* To make a task anew would take the interface from what runs in it. */
TEST(a_task_that_is_found_running_is_not_made_again)
{
	struct world *world = connected(WITH_ENI);

	world_payload(world, "t1", "RUNNING", APP ",{\"name\":\"b\",\"image\":\"i\",\"dependsOn\":"
		      "[{\"containerName\":\"app\",\"condition\":\"START\"}]}");
	world_succeed(world, JOB_CREATE, NULL);
	world_succeed(world, JOB_PULL, "app");
	world_succeed(world, JOB_PULL, "b");
	world_succeed(world, JOB_START, "app");
	world_crash(world);
	assert_int_equal(world_count_jobs(world, JOB_CREATE), 0);
	world_succeed(world, JOB_START, "b");
	assert_int_equal(world_container(world, "t1", "b")->known, AGENT_STATUS_RUNNING);
	world_free(world);
}

TEST(the_interface_is_gone_before_stopped_is_told)
{
	struct world *world = running();

	world_exit(world, "t1", "app", 0);
	assert_int_equal(world->calls.count, 0);
	world_fail(world, JOB_RELEASE, NULL, "busy");
	world_pass(world, 10 * USEC_PER_SEC);
	world_succeed(world, JOB_RELEASE, NULL);
	world_expect_report(world, "t1", "STOPPED");
	world_succeed(world, JOB_DESTROY, NULL);
	assert_int_equal(world->jobs.count, 0);
	world_free(world);
}

TEST(an_interface_that_does_not_go_is_given_up)
{
	struct world *world = running();

	world_exit(world, "t1", "app", 0);
	for (int i = 0; i < AGENT_RELEASE_ATTEMPTS; i++) {
		world_pass(world, 80 * USEC_PER_SEC);
		world_fail(world, JOB_RELEASE, NULL, "busy");
	}
	world_expect_report(world, "t1", "STOPPED");
	world_free(world);
}

TEST(at_the_end_of_all_tasks_nobody_waits_for_an_interface_that_does_not_go)
{
	struct world *world = running();

	world_step(world, (struct agent_event){.type = AGENT_EVENT_STOP_ALL});
	world_take_job(world, JOB_SIGNAL, "app");
	world_exit(world, "t1", "app", 143);
	world_fail(world, JOB_RELEASE, NULL, "busy");
	world_expect_report(world, "t1", "STOPPED");
	world_succeed(world, JOB_DESTROY, NULL);
	assert_true(agent_is_idle(world->agent));
	world_free(world);
}

TEST(a_stop_before_the_interface_is_there_releases_it_all_the_same)
{
	struct world *world = connected(WITH_ENI);

	world_payload(world, "t1", "RUNNING", APP);
	world_payload(world, "t1", "STOPPED", APP);
	assert_int_equal(world->calls.count, 0);
	world_fail(world, JOB_CREATE, NULL, "too late");
	world_succeed(world, JOB_RELEASE, NULL);
	world_expect_report(world, "t1", "STOPPED");
	world_free(world);
}

TEST(a_restart_of_the_agent_still_releases_and_does_not_attach_twice)
{
	struct world *world = running();

	world_crash(world);
	world_settle(world);
	assert_int_equal(world->jobs.count, 0);
	world_payload(world, "t1", "STOPPED", APP);
	world_take_job(world, JOB_SIGNAL, "app");
	world_exit(world, "t1", "app", 143);
	world_succeed(world, JOB_RELEASE, NULL);
	world_expect_report(world, "t1", "STOPPED");
	world_free(world);
}

TEST(an_announced_interface_is_acknowledged_and_waits_for_its_task)
{
	struct world *world = connected(NULL);

	announce(world, "t1", 60000);
	assert_true(world_heard(world, "AckRequest"));
	announce(world, "t1", 60000);
	assert_true(world_heard(world, "AckRequest"));
	world_pass(world, 59 * USEC_PER_SEC);
	world_payload(world, "t1", "RUNNING", APP);
	world_succeed(world, JOB_CREATE, NULL);
	expect_attached(world);
	EXPECT_STR(world_task(world, "t1")->task->elastic_network_interfaces.items[0].ec2_id, S("eni-1"));
	announce(world, "t1", 60000);
	assert_true(world_heard(world, "AckRequest"));
	world_free(world);
}

TEST(an_announced_interface_is_forgotten_when_its_time_is_over)
{
	struct world *world = connected(NULL);

	announce(world, "t1", 60000);
	world_pass(world, 61 * USEC_PER_SEC);
	world_payload(world, "t1", "RUNNING", APP);
	assert_true(str_ends(world_peek_report(world)->reason, S("an awsvpc task has one network interface, not 0")));
	world_expect_report(world, "t1", "STOPPED");
	world_free(world);
}

TEST(announcements_past_the_limit_are_not_acknowledged)
{
	struct world *world = connected(NULL);
	char id[16];

	for (int i = 0; i < AGENT_ATTACHMENTS_LIMIT; i++) {
		snprintf(id, sizeof(id), "t%d", i);
		announce(world, id, 60000);
		assert_true(world_heard(world, "AckRequest"));
	}
	announce(world, "one-more", 60000);
	assert_false(world_heard(world, "AckRequest"));
	announce(world, "t0", 0);
	assert_false(world_heard(world, "AckRequest"));
	world_pass(world, 61 * USEC_PER_SEC);
	announce(world, "one-more", 60000);
	assert_true(world_heard(world, "AckRequest"));
	world_free(world);
}

TEST(what_cannot_be_attached_is_refused_by_name)
{
	static const struct { const char *tail, *cause; } bad[] = {
		{ "", "has one network interface, not 0" },
		{ ",\"elasticNetworkInterfaces\":[" ENI "," ENI "]", "has one network interface, not 2" },
		{ ",\"elasticNetworkInterfaces\":[{\"ec2Id\":\"eni-1\"}]", "no attachment, id or mac address" },
		{ ",\"elasticNetworkInterfaces\":[{\"attachmentArn\":\"a\",\"ec2Id\":\"eni-1\",\"macAddress\":\"m\"}]",
		  "'eni-1' has no IPv4 address" },
		{ ",\"elasticNetworkInterfaces\":[{\"attachmentArn\":\"a\",\"ec2Id\":\"eni-1\",\"macAddress\":\"m\","
		  "\"ipv4Addresses\":[{}],\"subnetGatewayIpv4Address\":\"10.0.0.1\"}]", "bad gateway '10.0.0.1'" },
		{ ",\"elasticNetworkInterfaces\":[{\"attachmentArn\":\"a\",\"ec2Id\":\"eni-1\",\"macAddress\":\"m\","
		  "\"ipv4Addresses\":[{}],\"subnetGatewayIpv4Address\":\"10.0.0.1/24\","
		  "\"interfaceAssociationProtocol\":\"vlan\"}]", "of kind 'vlan'" },
		{ WITH_ENI ",\"pidMode\":\"other\"", "unknown pidMode 'other'" },
		{ WITH_ENI ",\"ipcMode\":\"other\"", "unknown ipcMode 'other'" },
		{ WITH_ENI ",\"volumes\":[{\"name\":\"v\",\"type\":\"s3\"}]", "volume 'v' is of type 's3'" },
	};

	for (size_t i = 0; i < COUNT(bad); i++) {
		struct world *world = connected(bad[i].tail);

		world_payload(world, "t1", "RUNNING", APP);
		assert_int_equal(world->jobs.count, 0);
		if (!str_contains(world_peek_report(world)->reason, str_of(bad[i].cause)))
			fail_msg("'%.*s' does not say '%s'", STR(world_peek_report(world)->reason), bad[i].cause);
		world_expect_report(world, "t1", "STOPPED");
		world_free(world);
	}
}

TEST(what_others_do_is_taken)
{
	struct world *world = connected(WITH_ENI ",\"pidMode\":\"task\",\"ipcMode\":\"none\",\"volumes\":[{\"name\":\"e\","
		"\"type\":\"efs\",\"efsVolumeConfiguration\":{\"fileSystemId\":\"fs-1\"}},{\"name\":\"d\",\"type\":\"docker\","
		"\"dockerVolumeConfiguration\":{\"scope\":\"task\"}}]");

	world_payload(world, "t1", "RUNNING", "{\"name\":\"app\",\"image\":\"i\",\"essential\":true,\"environmentFiles\":"
		      "[{\"value\":\"arn:aws:s3:::b/x.env\",\"type\":\"s3\"}]}");
	assert_true(world_heard(world, "AckRequest"));
	world_free(world);
}

TEST(links_are_for_bridge_mode)
{
	struct world *world = connected(WITH_ENI);

	world_payload(world, "t1", "RUNNING", APP ",{\"name\":\"b\",\"image\":\"i\",\"links\":[\"app\"]}");
	assert_true(str_contains(world_peek_report(world)->reason, S("has links, which network mode 'awsvpc'")));
	world->awsvpc = false;
	world->task_tail = NULL;
	world_expect_report(world, "t1", "STOPPED");
	world_payload(world, "t2", "RUNNING", APP ",{\"name\":\"b\",\"image\":\"i\",\"links\":[\"app\"]}");
	world_succeed(world, JOB_CREATE, NULL);
	world_succeed(world, JOB_PULL, "app");
	world_succeed(world, JOB_PULL, "b");
	world_succeed(world, JOB_START, "app");
	world_take_job(world, JOB_START, "b");
	world_free(world);
}

/* The server may have given up the first, and booked its room anew. */
TEST(fargate_tasks_wait_for_room_like_others)
{
	struct world *world = connected(WITH_ENI ",\"launchType\":\"FARGATE\",\"cpu\":1,\"memory\":1024");

	world_payload(world, "t1", "RUNNING", APP);
	world_settle(world);
	world_expect_turns(world, APP);
	world_free(world);
}
