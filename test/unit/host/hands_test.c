#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>
#include "host/cgroup.h"
#include "host/hands_private.h"
#include "host/image.h"
#include "os/clock.h"
#include "test/unit/host/world.h"

static const char none[] = "{\\\"NetworkMode\\\":\\\"none\\\"}";

/* One container "app": `script` is its command, `members` more of the container, `host` its hostConfig. */
static struct agent_task *make_task(struct world *world, const char *script, const char *members,
				    const char *host)
{
	return world_task(world, arena_printf(&world->arena,
		"{\"arn\":\"arn:x/" WORLD_ID "\",\"volumes\":[{\"name\":\"own\",\"type\":\"host\",\"host\":{}},"
		"{\"name\":\"hosts\",\"host\":{\"sourcePath\":\"%s/shared\"}}],"
		"\"containers\":[{\"name\":\"app\",\"image\":\"test/busybox:1\","
		"\"command\":[\"/bin/sh\",\"-c\",\"%s\"]%s,"
		"\"dockerConfig\":{\"config\":\"{}\",\"hostConfig\":\"%s\"}}]}%c",
		world->folder, script, members, host, '\0').ptr);
}

static void destroy(struct world *world, struct agent_task *task)
{
	world_submit(world, JOB_DESTROY, S(WORLD_ID), task, 0, 0);
	world_expect_ok(world, FACT_DESTROY);
}

static struct fact run_to_end(struct world *world, struct agent_task *task)
{
	world_run(world, S(WORLD_ID), task);
	return world_expect_ok(world, FACT_EXIT);
}

/* What the script wrote, without the log's own words. */
static struct str output_of(struct world *world, struct agent_task *task)
{
	struct fact fact = run_to_end(world, task);
	struct str output = world_shell(world, "cut -d' ' -f4- %s/data/logs/" WORLD_ID "/app.log",
					world->folder);

	if (fact.exit_code != 0)
		fail_msg("exit code %d: %.*s", fact.exit_code, STR(output));
	destroy(world, task);
	world_shell(world, "rm -rf %s/data/logs/" WORLD_ID, world->folder);
	return output;
}

static struct str start_failure(struct world *world, struct agent_task *task)
{
	struct fact fact;

	world_submit(world, JOB_PULL, S(WORLD_ID), task, 0, 0);
	world_expect(world, FACT_PULL);
	world_submit(world, JOB_CREATE, S(WORLD_ID), task, 0, 0);
	world_expect_ok(world, FACT_CREATE);
	world_submit(world, JOB_START, S(WORLD_ID), task, 0, 0);
	fact = world_expect(world, FACT_START);
	assert_false(fact.ok);
	destroy(world, task);
	return fact.reason;
}

TEST(a_task_whose_user_namespace_is_not_there_does_not_start_and_says_so)
{
	struct world *world = world_new();
	struct agent_task *task = world_task(world,
		"{\"arn\":\"arn:x/" WORLD_ID "\",\"launchType\":\"FARGATE\",\"containers\":[{\"name\":\"app\","
		"\"image\":\"test/busybox:1\",\"dockerConfig\":{\"config\":\"{}\",\"hostConfig\":"
		"\"{\\\"NetworkMode\\\":\\\"none\\\"}\"}}]}");
	struct fact fact;

	world_submit(world, JOB_PULL, S(WORLD_ID), task, 0, 0);
	world_expect_ok(world, FACT_PULL);
	world_submit(world, JOB_CREATE, S(WORLD_ID), task, 0, 0);
	world_expect_ok(world, FACT_CREATE);
	/* As on a machine that allows none, or whose keeper has just died. */
	world_shell(world, "rm %s/run/tasks/" WORLD_ID "/.user", world->folder);
	world_submit(world, JOB_START, S(WORLD_ID), task, 0, 0);
	fact = world_expect(world, FACT_START);
	assert_false(fact.ok);
	assert_true(str_starts(fact.reason, S("CannotStartContainerError: mount the root file system")));
	destroy(world, task);
	world_free(world);
}

TEST(a_container_ends_with_the_code_of_its_process)
{
	static const struct { const char *script; int code; } rows[] = {
		{"exit 0", 0}, {"exit 7", 7}, {"exit 137", 137},
	};
	struct world *world = world_new();

	for (size_t i = 0; i < COUNT(rows); i++) {
		struct agent_task *task = make_task(world, rows[i].script, "", none);
		struct fact fact = run_to_end(world, task);

		assert_int_equal(fact.exit_code, rows[i].code);
		EXPECT_STR(fact.container, S("app"));
		assert_false(fact.out_of_memory);
		destroy(world, task);
	}
	world_free(world);
}

TEST(a_container_that_honours_sigterm_ends_with_its_own_code_and_one_that_does_not_is_killed)
{
	struct world *world = world_new();
	struct agent_task *task;
	struct fact fact;

	task = make_task(world, "trap 'exit 143' TERM; echo up; while true; do sleep 0.05; done", "", none);
	world_run(world, S(WORLD_ID), task);
	world_wait_log(world, "app", "up");
	world_submit(world, JOB_SIGNAL, S(WORLD_ID), task, 0, SIGTERM);
	world_expect_ok(world, FACT_SIGNAL);
	assert_int_equal(world_expect_ok(world, FACT_EXIT).exit_code, 143);
	destroy(world, task);

	task = make_task(world, "trap 'echo heard' TERM; echo ready; while true; do sleep 0.05; done", "", none);
	world_run(world, S(WORLD_ID), task);
	world_wait_log(world, "app", "ready");           /* "up" is in the log since the first one */
	world_submit(world, JOB_SIGNAL, S(WORLD_ID), task, 0, SIGTERM);
	world_expect_ok(world, FACT_SIGNAL);
	world_wait_log(world, "app", "heard");
	assert_false(hands_next(world->hands, &world->arena, &fact));
	world_submit(world, JOB_SIGNAL, S(WORLD_ID), task, 0, SIGKILL);
	world_expect_ok(world, FACT_SIGNAL);
	fact = world_expect_ok(world, FACT_EXIT);
	assert_int_equal(fact.exit_code, 137);
	assert_false(fact.out_of_memory);
	destroy(world, task);
	world_free(world);
}

TEST(every_line_of_both_streams_is_in_the_log)
{
	struct world *world = world_new();
	struct agent_task *task;

	task = make_task(world, "seq 1 100000 & seq 200001 300000 >&2; wait; printf tail", "", none);
	assert_int_equal(run_to_end(world, task).exit_code, 0);
	EXPECT_STR(world_shell(world, "cd %s/data/logs/" WORLD_ID "; grep -c ' stdout F [0-9]*$' app.log;"
			       "grep -c ' stderr F [0-9]*$' app.log; grep -v tail app.log | awk '{s+=$4} END "
			       "{printf \"%%.0f\\n\", s}'; tail -n 1 app.log | cut -d' ' -f2-", world->folder),
		   S("100000\n100000\n30000100000\nstdout F tail\n"));
	destroy(world, task);
	world_free(world);
}

TEST(a_container_over_its_memory_limit_is_said_to_be_out_of_memory)
{
	struct world *world = world_new();
	struct agent_task *task;
	struct fact fact;

	task = make_task(world, "exec dd if=/dev/zero of=/dev/null bs=64M count=4", ",\"memory\":16", none);
	fact = run_to_end(world, task);
	assert_true(fact.out_of_memory);
	assert_int_equal(fact.exit_code, 137);
	destroy(world, task);
	world_free(world);
}

/* A script, what the task says beside it, and what the container prints. */
static const struct { const char *script, *members, *host, *output; } sights[] = {
	{"echo $FROM_IMAGE $BOTH $HOME $PATH", ",\"environment\":{\"BOTH\":\"task\"}", "{}",
	 "1 task /root /usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin\n"},
	{"id; grep Cap[EB] /proc/self/status; grep -e Seccomp: -e NoNewPrivs /proc/self/status", "", "{}",
	 "uid=0(root) gid=0(root) groups=0(root)\nCapEff:\t00000000a80425fb\nCapBnd:\t00000000a80425fb\n"
	 "NoNewPrivs:\t1\nSeccomp:\t2\n"},
	{"grep -e CapEff -e NoNewPrivs /proc/self/status", "",
	 "{\\\"CapDrop\\\":[\\\"ALL\\\"],\\\"CapAdd\\\":[\\\"NET_ADMIN\\\"],"
	 "\\\"SecurityOpt\\\":[\\\"no-new-privileges:false\\\"]}",
	 "CapEff:\t0000000000001000\nNoNewPrivs:\t0\n"},
	{"grep Seccomp: /proc/self/status; mount -t tmpfs x /tmp && echo mounted; cat /proc/self/oom_score_adj", "",
	 "{\\\"Privileged\\\":true}", "Seccomp:\t0\nmounted\n0\n"},
	{"mount -t tmpfs x /tmp 2>/dev/null || echo refused; touch /x 2>/dev/null || echo read-only", "",
	 "{\\\"ReadonlyRootfs\\\":true,\\\"CapAdd\\\":[]}", "refused\nread-only\n"},
	{"ulimit -n; ulimit -Hn; cat /proc/sys/net/ipv4/ip_unprivileged_port_start", "",
	 "{\\\"Ulimits\\\":[{\\\"Name\\\":\\\"nofile\\\",\\\"Soft\\\":100,\\\"Hard\\\":200}],"
	 "\\\"Sysctls\\\":{\\\"net.ipv4.ip_unprivileged_port_start\\\":\\\"77\\\"}}", "100\n200\n77\n"},
	{"grep -o 'tmpfs /work.*size=4096k' /proc/mounts | cut -d' ' -f2; grep -o '/dev/shm.*size=2048k' "
	 "/proc/mounts | cut -d' ' -f1", "",
	 "{\\\"Tmpfs\\\":{\\\"/work\\\":\\\"size=4096k\\\"},\\\"ShmSize\\\":2097152}", "/work\n/dev/shm\n"},
	{"grep other /etc/hosts; cat /etc/resolv.conf; cat /etc/hostname", "",
	 "{\\\"ExtraHosts\\\":[\\\"other:10.1.2.3\\\"],\\\"Dns\\\":[\\\"10.9.9.9\\\"],"
	 "\\\"DnsSearch\\\":[\\\"a.test\\\"],\\\"NetworkMode\\\":\\\"none\\\"}",
	 "10.1.2.3\tother\nnameserver 10.9.9.9\nsearch a.test\n"},
	{"cat /data/file; echo x > /data/new; echo y > /shared/z; cat /shared/z; touch /ro/x 2>/dev/null || echo no",
	 ",\"mountPoints\":[{\"sourceVolume\":\"own\",\"containerPath\":\"/data\"},"
	 "{\"sourceVolume\":\"hosts\",\"containerPath\":\"/shared\"},"
	 "{\"sourceVolume\":\"hosts\",\"containerPath\":\"/ro\",\"readOnly\":true}]", "{}",
	 "from-image\ny\nno\n"},
	{"test -c /dev/inside && echo there", "",
	 "{\\\"Devices\\\":[{\\\"PathOnHost\\\":\\\"/dev/null\\\",\\\"PathInContainer\\\":\\\"/dev/inside\\\"}]}",
	 "there\n"},
	{"cat /sys/fs/cgroup/memory/memory.limit_in_bytes /sys/fs/cgroup/memory.max 2>/dev/null; true",
	 ",\"memory\":32,\"cpu\":512", "{}", "33554432\n"},
};

TEST(what_the_task_asks_for_is_what_the_container_sees)
{
	struct world *world = world_new();

	for (size_t i = 0; i < COUNT(sights); i++) {
		struct str seen = output_of(world, make_task(world, sights[i].script, sights[i].members,
							     sights[i].host));

		if (!str_starts(seen, str_of(sights[i].output)))
			fail_msg("%s: '%.*s' is not '%s'", sights[i].script, STR(seen), sights[i].output);
	}
	world_free(world);
}

static struct agent_task *user_task(struct world *world, const char *config, const char *rest)
{
	return world_task(world, arena_printf(&world->arena,
		"{\"arn\":\"arn:x/" WORLD_ID "\",\"containers\":[{\"name\":\"app\",\"image\":\"test/busybox:1\"%s,"
		"\"dockerConfig\":{\"config\":\"%s\",\"hostConfig\":\"%s\"}}]}%c", rest, config, none,
		'\0').ptr);
}

TEST(the_image_and_the_task_definition_are_merged_as_docker_does)
{
	static const struct { const char *config, *rest, *output; } rows[] = {
		{"{}", "", "image command\n"},
		{"{}", ",\"command\":[\"/bin/echo\",\"mine\"]", "mine\n"},
		{"{}", ",\"entryPoint\":[\"/bin/echo\",\"entry\"]", "entry\n"},
		{"{}", ",\"entryPoint\":[\"/bin/echo\"],\"command\":[\"a\"],"
		       "\"overrides\":\"{\\\"command\\\":[\\\"b\\\"]}\"", "b\n"},
		{"{\\\"User\\\":\\\"app\\\",\\\"WorkingDir\\\":\\\"/made/here\\\"}",
		 ",\"command\":[\"/bin/sh\",\"-c\",\"id; pwd; grep CapEff /proc/self/status\"]",
		 "uid=1000(app) gid=1001(app) groups=50(staff),1001(app)\n/made/here\n"
		 "CapEff:\t0000000000000000\n"},
		{"{\\\"User\\\":\\\"1234:staff\\\"}", ",\"command\":[\"/bin/id\"]",
		 "uid=1234 gid=50(staff) groups=50(staff)\n"},
	};
	struct world *world = world_new();

	for (size_t i = 0; i < COUNT(rows); i++) {
		struct str seen = output_of(world, user_task(world, rows[i].config, rows[i].rest));

		if (!str_equal(seen, str_of(rows[i].output)))
			fail_msg("row %zu: '%.*s' is not '%s'", i, STR(seen), rows[i].output);
	}
	world_free(world);
}

TEST(what_cannot_be_done_is_refused_with_its_reason)
{
	static const struct { const char *members, *host, *reason; } rows[] = {
		{"", "{\\\"NetworkMode\\\":\\\"awsvpc\\\"}", "CannotCreateContainerError: network mode awsvpc"},
		{"", "{\\\"LogConfig\\\":{\\\"Type\\\":\\\"syslog\\\"}}",
		 "CannotCreateContainerError: logger: no log driver named 'syslog'"},
		{"", "{\\\"CapAdd\\\":[\\\"FLY\\\"]}", "CannotCreateContainerError: unknown capability \"FLY\""},
		{"", "{\\\"Memory\\\":\\\"much\\\"}", "HostConfigError: "},
		{"", "{\\\"Devices\\\":[{\\\"PathOnHost\\\":\\\"/dev/nothing-here\\\"}]}",
		 "CannotCreateContainerError: device"},
		{",\"volumesFrom\":[{\"sourceContainer\":\"x\"}]", "{}",
		 "CannotCreateContainerError: volumesFrom: there is no container 'x'"},
		{",\"volumesFrom\":[{\"sourceContainer\":\"app\"}]", "{}",
		 "CannotCreateContainerError: volumesFrom goes round in a circle"},
		{",\"links\":[\"nobody\"]", "{}", "CannotCreateContainerError: could not get container for nobody"},
		{",\"secrets\":[{\"name\":\"S\"}]", "{}", "CannotCreateContainerError: secrets"},
		{",\"mountPoints\":[{\"sourceVolume\":\"nowhere\",\"containerPath\":\"/x\"}]", "{}",
		 "InvalidVolumeError: there is no volume 'nowhere'"},
		{",\"mountPoints\":[{\"sourceVolume\":\"own\",\"containerPath\":\"/x/../../y\"}]", "{}",
		 "InvalidVolumeError: containerPath"},
		{",\"entryPoint\":[\"/bin/no-such-program\"]", "{}", "CannotStartContainerError: "},
	};
	struct world *world = world_new();

	for (size_t i = 0; i < COUNT(rows); i++) {
		struct str reason = start_failure(world, make_task(world, "true", rows[i].members,
								   rows[i].host));

		if (!str_starts(reason, str_of(rows[i].reason)))
			fail_msg("'%.*s' is not '%s'", STR(reason), rows[i].reason);
	}
	EXPECT_STR(start_failure(world, user_task(world, "{\\\"User\\\":\\\"nobody-here\\\"}", "")),
		   S("CannotStartContainerError: unable to find user nobody-here: no matching entries in passwd "
		     "file"));
	world_free(world);
}

/* An agent of its own runs the task and is killed while it does. */
static void run_in_an_agent_that_is_killed(struct world *world, struct agent_task *task)
{
	int ends[2], status;
	pid_t agent;
	char done;

	world_close(world);
	assert_int_equal(pipe(ends), 0);
	agent = fork();
	if (agent == 0) {
		world_open(world);
		world_run(world, S(WORLD_ID), task);
		if (write(ends[1], "x", 1) == 1)
			pause();
		_exit(1);
	}
	close(ends[1]);
	assert_int_equal(read(ends[0], &done, 1), 1);
	close(ends[0]);
	kill(agent, SIGKILL);
	waitpid(agent, &status, 0);
}

TEST(a_killed_agent_loses_no_container_no_exit_code_and_no_line)
{
	struct world *world = world_new();
	struct agent_task *task;
	struct fact fact;

	task = world_task(world,
		"{\"arn\":\"arn:x/" WORLD_ID "\",\"containers\":["
		"{\"name\":\"short\",\"image\":\"test/busybox:1\",\"command\":[\"/bin/sh\",\"-c\","
		"\"sleep 0.3; echo gone; exit 9\"]},"
		"{\"name\":\"web\",\"image\":\"test/busybox:1\",\"portMappings\":[{\"containerPort\":8080,"
		"\"hostPort\":0,\"protocol\":\"tcp\"}],\"command\":[\"/bin/sh\",\"-c\","
		"\"trap 'exit 5' TERM; seq 1 1000; while true; do sleep 0.05; done\"]}]}");
	run_in_an_agent_that_is_killed(world, task);
	world_wait_end(world, "short");
	world_wait_log(world, "web", "F 1000\n");
	world_open(world);
	hands_reconcile(world->hands);

	fact = world_expect_ok(world, FACT_FOUND);
	EXPECT_STR(fact.container, S("short"));
	EXPECT_STR(fact.task_id, S(WORLD_ID));
	assert_false(fact.running);
	assert_int_equal(fact.exit_code, 9);
	fact = world_expect_ok(world, FACT_FOUND);
	EXPECT_STR(fact.container, S("web"));
	assert_true(fact.running);
	assert_int_equal(fact.bindings.count, 1);
	assert_int_equal(fact.bindings.items[0].container_port.value, 8080);
	assert_in_range(fact.bindings.items[0].host_port.value, 40000, 40999);
	assert_int_equal(fact.runtime_id.len, 64);
	world_expect_ok(world, FACT_RECONCILED);

	/* Handed out again: it runs already, and nothing changes. */
	world_submit(world, JOB_START, S(WORLD_ID), task, 1, 0);
	EXPECT_STR(world_expect_ok(world, FACT_START).runtime_id, fact.runtime_id);
	world_submit(world, JOB_SIGNAL, S(WORLD_ID), task, 1, SIGTERM);
	world_expect_ok(world, FACT_SIGNAL);
	assert_int_equal(world_expect_ok(world, FACT_EXIT).exit_code, 5);
	EXPECT_STR(world_shell(world, "cd %s/data/logs/" WORLD_ID "; grep -c . web.log; cut -d' ' -f2- short.log",
			       world->folder), S("1000\nstdout F gone\n"));
	destroy(world, task);
	world_free(world);
}

static void kill_keeper(struct world *world)
{
	int64_t pid = 0;

	assert_true(str_to_long(str_trim(world_shell(world, "cat %s/run/tasks/" WORLD_ID "/keeper.pid",
						     world->folder)), &pid));
	assert_in_range(pid, 2, INT32_MAX);
	kill((pid_t)pid, SIGKILL);
}

TEST(a_container_whose_keeper_is_killed_has_vanished)
{
	struct world *world = world_new();
	struct agent_task *task;
	struct fact fact;

	task = make_task(world, "while true; do sleep 1; done", "", none);
	world_run(world, S(WORLD_ID), task);
	kill_keeper(world);
	fact = world_expect(world, FACT_EXIT);
	assert_false(fact.ok);
	EXPECT_STR(fact.reason, S("ContainerVanishedError: No container matching saved ID found"));
	destroy(world, task);

	run_in_an_agent_that_is_killed(world, task);
	kill_keeper(world);
	world_open(world);
	hands_reconcile(world->hands);
	fact = world_expect(world, FACT_FOUND);
	assert_false(fact.ok);
	assert_false(fact.running);
	EXPECT_STR(fact.reason, S("ContainerVanishedError: No container matching saved ID found"));
	world_expect_ok(world, FACT_RECONCILED);
	destroy(world, task);
	world_free(world);
}

/* By its number: a connection would take the line away from the hands. */
static bool has_keeper(struct world *world)
{
	struct str answer = world_shell(world, "pid=$(cat %s/run/tasks/" WORLD_ID "/keeper.pid 2>/dev/null) && "
					"kill -0 $pid 2>/dev/null && echo yes", world->folder);

	return str_equal(str_trim(answer), S("yes"));
}

TEST(of_an_ended_task_only_its_logs_stay)
{
	struct world *world = world_new();
	struct agent_task *task;

	if (!world)
		skip();
	task = make_task(world, "echo done", "", none);
	run_to_end(world, task);
	destroy(world, task);
	assert_false(has_keeper(world));
	EXPECT_STR(world_shell(world, "find %s/run/tasks %s/data/tasks /sys/fs/cgroup -name '*" WORLD_ID "*'", world->folder,
			       world->folder), S(""));
	assert_true(str_contains(world_shell(world, "cat %s/data/logs/" WORLD_ID "/app.log", world->folder), S("done")));
	destroy(world, task);                            /* once more, as after a restart */
	assert_true(str_contains(world_shell(world, "cat %s/data/logs/" WORLD_ID "/app.log", world->folder), S("done")));
	world_free(world);
}

/* Listens on a port of this machine's own, and never answers. */
static int listen_mute(int *ret_port)
{
	struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t length = sizeof(address);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof(address)), 0);
	assert_int_equal(listen(fd, 1), 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)&address, &length), 0);
	*ret_port = ntohs(address.sin_port);
	return fd;
}

TEST(no_registry_is_asked_for_an_imported_image)
{
	struct world *world = world_new();
	struct agent_task *task;
	struct error error;
	size_t count;
	int fd, port;

	world_shell(world, "ip link set lo up");
	fd = listen_mute(&port);
	if (!images_load(world->images, arena_printf(&world->arena, "%s/image.tar", world->folder),
			 arena_printf(&world->arena, "127.0.0.1:%d/own/app:1", port), &world->arena, &count, &error))
		fail_msg("%s", error.text);
	task = world_task(world, arena_printf(&world->arena, "{\"arn\":\"arn:x/" WORLD_ID "\",\"containers\":["
		"{\"name\":\"app\",\"image\":\"127.0.0.1:%d/own/app:1\"}]}%c", port, '\0').ptr);
	world_submit(world, JOB_PULL, S(WORLD_ID), task, 0, 0);
	world_expect_ok(world, FACT_PULL);
	assert_true(accept4(fd, NULL, NULL, SOCK_CLOEXEC) < 0 && errno == EAGAIN);
	close(fd);
	destroy(world, task);
	world_free(world);
}

TEST(a_pull_does_not_wait_for_the_other_jobs_of_its_task)
{
	struct world *world = world_new();
	struct agent_task *task;
	struct lane *lane;

	if (!world)
		skip();
	task = make_task(world, "exit 0", "", none);
	lane = lane_hold(world->hands, S(WORLD_ID));
	world_submit(world, JOB_CREATE, S(WORLD_ID), task, 0, 0);
	world_submit(world, JOB_PULL, S(WORLD_ID), task, 0, 0);
	world_expect_ok(world, FACT_PULL);
	lane_release(world->hands, lane);
	world_expect_ok(world, FACT_CREATE);
	destroy(world, task);
	world_free(world);
}

TEST(a_container_that_ended_starts_again_with_what_it_had_written)
{
	struct world *world = world_new();
	struct agent_task *task;

	task = make_task(world, "test -e /been-here && exit 4; touch /been-here", "", none);
	assert_int_equal(run_to_end(world, task).exit_code, 0);
	world_submit(world, JOB_START, S(WORLD_ID), task, 0, 0);
	world_expect_ok(world, FACT_START);
	assert_int_equal(world_expect_ok(world, FACT_EXIT).exit_code, 4);
	destroy(world, task);
	world_free(world);
}

TEST(a_bridge_that_somebody_took_away_is_made_again)
{
	struct world *world = world_new();
	struct agent_task *task;

	task = world_task(world, "{\"arn\":\"arn:x/" WORLD_ID "\",\"containers\":["
		"{\"name\":\"a\",\"image\":\"test/busybox:1\",\"command\":[\"/bin/sh\",\"-c\",\"exit 0\"]},"
		"{\"name\":\"b\",\"image\":\"test/busybox:1\",\"command\":[\"/bin/sh\",\"-c\",\"exit 0\"]}]}");
	world_submit(world, JOB_PULL, S(WORLD_ID), task, 0, 0);
	world_expect_ok(world, FACT_PULL);
	world_submit(world, JOB_CREATE, S(WORLD_ID), task, 0, 0);
	world_expect_ok(world, FACT_CREATE);
	world_submit(world, JOB_START, S(WORLD_ID), task, 0, 0);
	world_expect_ok(world, FACT_START);
	world_expect_ok(world, FACT_EXIT);
	world_shell(world, "ip link delete wtest0; nft delete table ip wtest");
	world_submit(world, JOB_START, S(WORLD_ID), task, 1, 0);
	world_expect_ok(world, FACT_START);
	world_expect_ok(world, FACT_EXIT);
	world_submit(world, JOB_DESTROY, S(WORLD_ID), task, 0, 0);
	world_expect_ok(world, FACT_DESTROY);
	world_free(world);
}

TEST(a_sweep_removes_what_no_brain_knows)
{
	struct world *world = world_new();

	world_run(world, S(WORLD_ID), make_task(world, "while true; do sleep 1; done", "", "{}"));
	world_free(world);
}

/* Not a figure to pass or fail by: shown for those who look. */
TEST(a_start_takes_milliseconds)
{
	struct world *world = world_new();
	struct agent_task *task;
	usec least = USEC_NEVER, begun;

	task = make_task(world, "true", "", "{}");
	for (int i = 0; i < 10; i++) {
		world_submit(world, JOB_PULL, S(WORLD_ID), task, 0, 0);
		world_expect_ok(world, FACT_PULL);
		begun = clock_monotonic();
		world_submit(world, JOB_CREATE, S(WORLD_ID), task, 0, 0);
		world_expect_ok(world, FACT_CREATE);
		world_submit(world, JOB_START, S(WORLD_ID), task, 0, 0);
		world_expect_ok(world, FACT_START);
		least = MIN(least, clock_monotonic() - begun);
		world_expect_ok(world, FACT_EXIT);
		destroy(world, task);
	}
	print_message("create and start: %lld us at best\n", (long long)least);
	world_free(world);
}

TEST(a_log_turns_at_its_limit_and_long_lines_are_split)
{
	struct world *world = world_new();
	struct agent_task *task;

	/* 70 MiB in lines of 70,000 bytes: four parts and a rest each. */
	task = make_task(world, "head -c 70000 /dev/zero >/tmp/z; i=0; while [ $i -lt 1048 ]; do cat /tmp/z; echo; "
			 "i=$((i+1)); done", "", none);
	assert_int_equal(run_to_end(world, task).exit_code, 0);
	EXPECT_STR(world_shell(world, "cd %s/data/logs/" WORLD_ID "; ls; cat app.log.1 app.log | "
			       "LC_ALL=C grep -a -o '^[^ ]* stdout [PF] ' | cut -d' ' -f3 | sort | uniq -c | tr -s ' '; "
			       "stat -c %%s app.log.1 | awk '{print ($1 <= 67108864 && $1 > 66000000)}'",
			       world->folder), S("app.log\napp.log.1\n 1048 F\n 4192 P\n1\n"));
	destroy(world, task);
	world_free(world);
}

TEST(old_logs_go_but_not_those_that_are_still_to_be_shipped)
{
	struct world *world = world_new();
	struct agent_task *task;
	struct str left;

	world_shell(world, "for i in $(seq 1 300); do mkdir -p %s/data/logs/old$i; done; touch -d '10 days ago' %s/data/logs/old7; "
		    "touch %s/data/logs/old7/app.ship; touch -d '9 days ago' %s/data/logs/old7 %s/data/logs/old8; "
		    "mkdir -p %s/run/tasks/old9; touch -d '8 days ago' %s/data/logs/old9", world->folder, world->folder, world->folder,
		    world->folder, world->folder, world->folder, world->folder);
	task = make_task(world, "true", "", none);
	run_to_end(world, task);
	destroy(world, task);
	left = world_shell(world, "ls %s/data/logs | wc -l; ls -d %s/data/logs/old[789]", world->folder, world->folder);
	assert_true(str_starts(left, S("202\n")));               /* 200, one to be shipped, one of a task that is there */
	assert_true(str_contains(left, S("/old7\n")));
	assert_false(str_contains(left, S("/old8\n")));
	assert_true(str_contains(left, S("/old9\n")));
	world_shell(world, "rmdir %s/run/tasks/old9", world->folder);
	world_free(world);
}
