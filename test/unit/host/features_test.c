/* What a task definition can ask for, one row each, on real containers. */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>
#include "host/environment_file.h"
#include "host/gpu.h"
#include "host/idmap.h"
#include "host/bundle.h"
#include "host/link.h"
#include "os/file.h"
#include "test/unit/host/world.h"

/* ' for ", and ` for \" in docker's own JSON; $F is the world's folder. */
static struct agent_task *make_task(struct world *world, const char *text)
{
	auto_buffer json = {0};

	buffer_printf(&json, "{\"arn\":\"arn:x/" WORLD_ID "\",");
	for (const char *c = text; *c; c++) {
		if (c[0] == '$' && c[1] == 'F') {
			buffer_add(&json, str_of(world->folder));
			c++;
		} else if (*c == '`') {
			buffer_add(&json, S("\\\""));
		} else {
			buffer_add_char(&json, *c == '\'' ? '"' : *c);
		}
	}
	buffer_add(&json, S("}"));
	return world_task(world, arena_cstr(&world->arena, buffer_str(&json)));
}

#define APP "'name':'app','image':'test/busybox:1'"
#define HELPER "'name':'helper','image':'test/busybox:1'"
#define RUN(script) ",'command':['/bin/sh','-c','" script "']"
#define DOCKER(config, host) ",'dockerConfig':{'config':'" config "','hostConfig':'" host "'}"
#define NO_NETWORK DOCKER("{}", "{`NetworkMode`:`none`}")

static void destroy(struct world *world, struct agent_task *task)
{
	struct fact fact;

	world_submit(world, JOB_DESTROY, S(WORLD_ID), task, 0, 0);
	for (;;) {
		fact = world_expect_any(world);
		if (fact.kind == FACT_DESTROY)
			break;
	}
	if (!fact.ok)
		fail_msg("%.*s", STR(fact.reason));
}

/* The last container is the one that counts; what it prints. */
static struct str output_of(struct world *world, struct agent_task *task)
{
	struct fact fact;
	struct str output;

	world_run(world, S(WORLD_ID), task);
	do
		fact = world_expect_any(world);
	while (fact.kind != FACT_EXIT || !str_equal(fact.container, S("app")));
	output = world_shell(world, "cut -d' ' -f4- %s/data/logs/" WORLD_ID "/app.log | tr -d '\\r'", world->folder);
	if (fact.exit_code != 0)
		print_message("exit code %d\n", fact.exit_code);
	destroy(world, task);
	world_shell(world, "rm -rf %s/data/logs/" WORLD_ID, world->folder);
	return output;
}

static const struct { const char *what, *task, *output; } rows[] = {
	{"initProcessEnabled",
	 "'containers':[{" APP RUN("cat /proc/1/cmdline | head -c 17; echo; echo $$ | grep -v -x 1 >/dev/null && echo second; "
				   "(sleep 0.1 &) ; exit 0")
	 DOCKER("{}", "{`Init`:true,`NetworkMode`:`none`}") "}]",
	 "/sbin/docker-init\nsecond\n"},
	{"pseudoTerminal",
	 "'containers':[{" APP RUN("test -t 0 && test -t 1 && echo terminal; echo $TERM")
	 DOCKER("{`Tty`:true}", "{`NetworkMode`:`none`}") "}]",
	 "terminal\nxterm\n"},
	{"interactive: standard input stays open",
	 "'containers':[{" APP RUN("exec 3<&0; (cat <&3; echo ended) & sleep 0.3; kill $! && echo open") DOCKER("{`OpenStdin`:true}",
	 "{`NetworkMode`:`none`}") "}]",
	 "open\n"},
	{"not interactive: it is at its end",
	 "'containers':[{" APP RUN("cat && echo ended") NO_NETWORK "}]", "ended\n"},
	{"hostname", "'containers':[{" APP RUN("hostname; cat /etc/hostname") DOCKER("{`Hostname`:`box`}",
	 "{`NetworkMode`:`none`}") "}]", "box\nbox\n"},
	{"pidMode task",
	 "'pidMode':'task','containers':[{" HELPER RUN("sleep 1234") NO_NETWORK "},"
	 "{" APP RUN("cat /proc/[0-9]*/cmdline | tr -d \\\\0 | grep -c sleep.1234 || cat /proc/[0-9]*/cmdline | tr -d \\\\0 | "
		     "grep -o sleep1234 | head -n 1; test $$ -gt 1 && echo shared") NO_NETWORK "}]",
	 "1\nshared\n"},
	{"ipcMode task: /dev/shm is one",
	 "'ipcMode':'task','containers':[{" HELPER RUN("echo here > /dev/shm/note; sleep 1234") NO_NETWORK "},"
	 "{" APP RUN("until [ -e /dev/shm/note ]; do sleep 0.02; done; cat /dev/shm/note; stat -c %a /dev/shm") NO_NETWORK "}]",
	 "here\n1777\n"},
	{"ipcMode none", "'ipcMode':'none','containers':[{" APP RUN("grep -c /dev/shm /proc/mounts; true") NO_NETWORK "}]",
	 "0\n"},
	{"links and their variables",
	 "'containers':[{" HELPER ",'environment':{'SECRET':'x'},'portMappings':[{'containerPort':7000}]"
	 RUN("sleep 1234") "},"
	 "{" APP ",'links':['helper:db']" RUN("grep -c db.helper /etc/hosts; echo $DB_PORT | cut -d: -f1,3; echo $DB_NAME "
					      "$DB_ENV_SECRET $DB_PORT_7000_TCP_PROTO") "}]",
	 "1\ntcp:7000\n/app/db x tcp\n"},
	{"volumesFrom, read-only",
	 "'volumes':[{'name':'v','host':{}}],'containers':[{" HELPER
	 ",'mountPoints':[{'sourceVolume':'v','containerPath':'/data'}]" RUN("echo mine > /data/x; sleep 1234") NO_NETWORK "},"
	 "{" APP ",'volumesFrom':[{'sourceContainer':'helper','readOnly':true}]"
	 RUN("until [ -e /data/x ]; do sleep 0.02; done; cat /data/x; touch /data/y 2>/dev/null || echo read-only") NO_NETWORK
	 "}]", "mine\nread-only\n"},
	{"a tmpfs from which programs run",
	 "'containers':[{" APP RUN("cp /bin/busybox /work/echo && /work/echo runs; cp /bin/busybox /rest/echo && /rest/echo runs "
				   "2>/dev/null || echo not here") DOCKER("{}", "{`NetworkMode`:`none`,"
	 "`Tmpfs`:{`/work`:`size=8m,exec`,`/rest`:`size=8m`}}") "}]", "runs\nnot here\n"},
	{"a volume in another and over /etc, the inner one first",
	 "'volumes':[{'name':'v','host':{}},{'name':'w','host':{}},{'name':'e','host':{}}],'containers':[{" APP
	 ",'mountPoints':[{'sourceVolume':'v','containerPath':'/out/in'},{'sourceVolume':'w','containerPath':'/out'},"
	 "{'sourceVolume':'e','containerPath':'/etc'}]"
	 RUN("echo x > /out/in/f && ls /out/in; ls /out; grep -c localhost$ /etc/hosts") NO_NETWORK "}]",
	 "f\nin\n1\n"},
	{"docker volume of a task, tmpfs, filled from the image",
	 "'volumes':[{'name':'v','type':'docker','dockerVolumeConfiguration':{'scope':'task','driver':'local','driverOpts':"
	 "{'type':'tmpfs','device':'tmpfs','o':'size=1m'}}}],'containers':[{" APP
	 ",'mountPoints':[{'sourceVolume':'v','containerPath':'/data'}]"
	 RUN("cat /data/file; grep -o tmpfs./data.*size=1024k /proc/mounts | cut -c1-11") NO_NETWORK "}]",
	 "from-image\ntmpfs /data\n"},
	{"docker volume that is shared: first task",
	 "'volumes':[{'name':'shared-one','type':'docker','dockerVolumeConfiguration':{'scope':'shared','autoprovision':true,"
	 "'labels':{'a':'b'}}}],'containers':[{" APP ",'mountPoints':[{'sourceVolume':'shared-one','containerPath':'/v'}]"
	 RUN("echo kept > /v/x") NO_NETWORK "}]", ""},
	{"docker volume that is shared: second task",
	 "'volumes':[{'name':'shared-one','type':'docker','dockerVolumeConfiguration':{'scope':'shared'}}],"
	 "'containers':[{" APP ",'mountPoints':[{'sourceVolume':'shared-one','containerPath':'/v'}]"
	 RUN("cat /v/x") NO_NETWORK "}]", "kept\n"},
	{"docker volume that binds a folder",
	 "'volumes':[{'name':'b','type':'docker','dockerVolumeConfiguration':{'scope':'task','driverOpts':"
	 "{'type':'none','device':'$F/data','o':'bind,ro'}}}],"
	 "'containers':[{" APP ",'mountPoints':[{'sourceVolume':'b','containerPath':'/v'}]"
	 RUN("ls -d /v/images; touch /v/x 2>/dev/null || echo read-only") NO_NETWORK "}]", "/v/images\nread-only\n"},
	{"EFS: one task writes",
	 "'volumes':[{'name':'e','type':'efs','efsVolumeConfiguration':{'fileSystemId':'fs-12345678'}}],"
	 "'containers':[{" APP ",'mountPoints':[{'sourceVolume':'e','containerPath':'/e'}]"
	 RUN("mkdir /e/sub; echo far > /e/sub/f") NO_NETWORK "}]", ""},
	{"EFS: another reads below a root directory",
	 "'volumes':[{'name':'e','type':'efs','efsVolumeConfiguration':{'fileSystemId':'fs-12345678','rootDirectory':'/sub'}}],"
	 "'containers':[{" APP ",'mountPoints':[{'sourceVolume':'e','containerPath':'/e'}]" RUN("cat /e/f") NO_NETWORK "}]",
	 "far\n"},
	{"EFS access point: folder made, identity enforced",
	 "'volumes':[{'name':'e','type':'efs','efsVolumeConfiguration':{'fileSystemId':'fs-12345678','accessPoint':{"
	 "'path':'/point','uid':5001,'gid':5002,'ownerUid':5001,'ownerGid':5002,'permissions':'0750'}}}],"
	 "'containers':[{" APP ",'mountPoints':[{'sourceVolume':'e','containerPath':'/e'}]"
	 RUN("echo mine > /e/f; stat -c %u:%g:%a /e /e/f; stat -c %U /e/f") NO_NETWORK "}]", "0:0:750\n0:0:644\nroot\n"},
	{"EFS access point: on the disk it is its own",
	 "'volumes':[{'name':'e','type':'efs','efsVolumeConfiguration':{'fileSystemId':'fs-12345678'}}],"
	 "'containers':[{" APP ",'mountPoints':[{'sourceVolume':'e','containerPath':'/e'}]"
	 RUN("stat -c %u:%g:%a /e/point /e/point/f") NO_NETWORK "}]", "5001:5002:750\n5001:5002:644\n"},
	{"EFS access point for a user who is not root",
	 "'volumes':[{'name':'e','type':'efs','efsVolumeConfiguration':{'fileSystemId':'fs-12345678','accessPoint':{"
	 "'path':'/point','uid':5001,'gid':5002}}}],"
	 "'containers':[{" APP ",'mountPoints':[{'sourceVolume':'e','containerPath':'/e'}]"
	 RUN("cat /e/f; stat -c %u:%g /e/f; touch /e/g && echo wrote")
	 DOCKER("{`User`:`app`}", "{`NetworkMode`:`none`}") "}]", "mine\n1000:1001\nwrote\n"},
	{"EFS access point: files of its secondary groups, on EC2",
	 "'volumes':[{'name':'p','type':'efs','efsVolumeConfiguration':{'fileSystemId':'fs-12345678'}},"
	 "{'name':'e','type':'efs','efsVolumeConfiguration':{'fileSystemId':'fs-12345678','accessPoint':{"
	 "'path':'/point','uid':5001,'gid':5002,'secondaryGids':[5002,5003,5004,5003]}}}],"
	 "'containers':[{" HELPER ",'mountPoints':[{'sourceVolume':'p','containerPath':'/p'}]"
	 RUN("echo group > /p/point/s; chown 7:5004 /p/point/s; chmod 060 /p/point/s; echo no > /p/point/n; "
	     "chown 7:5005 /p/point/n; chmod 060 /p/point/n; touch /p/point/ready; sleep 1234") NO_NETWORK "},"
	 "{" APP ",'mountPoints':[{'sourceVolume':'e','containerPath':'/e'}]"
	 RUN("until [ -e /e/ready ]; do sleep 0.02; done; cat /e/s; cat /e/n 2>/dev/null || echo closed; id -G")
	 DOCKER("{`User`:`app`}", "{`NetworkMode`:`none`}") "}]", "group\nclosed\n1001 50 65000 65001\n"},
	{"FARGATE: a user namespace, files owned by its root",
	 "'launchType':'FARGATE','volumes':[{'name':'v','host':{}}],"
	 "'containers':[{" APP ",'mountPoints':[{'sourceVolume':'v','containerPath':'/data'}]"
	 RUN("id -u; test $(cat /proc/self/uid_map | tr -s \\\" \\\" | cut -d\\\" \\\" -f3) -gt 1000000 && echo mapped; "
	     "stat -c %u:%g / /bin/busybox /data /data/file /etc/hosts; echo x > /new; stat -c %u /new; cat /data/file; "
	     "echo y > /data/new && echo more >> /bin/../data/file && cat /data/file; grep -e NoNew /proc/self/status")
	 DOCKER("{`WorkingDir`:`/made/here`}", "{`NetworkMode`:`none`,`Init`:true}") "}]",
	 "0\nmapped\n0:0\n0:0\n0:0\n0:0\n0:0\n0\nfrom-image\nfrom-image\nmore\nNoNewPrivs:\t1\n"},
	{"FARGATE with pidMode task",
	 "'launchType':'FARGATE','pidMode':'task','containers':[{" HELPER RUN("sleep 1234") NO_NETWORK "},"
	 "{" APP RUN("test $$ -gt 1 && echo shared; test -d /proc/self && echo proc; kill -0 2 && echo reach") NO_NETWORK "}]",
	 "shared\nproc\nreach\n"},
	{"FARGATE on EFS with an access point",
	 "'launchType':'FARGATE','volumes':[{'name':'e','type':'efs','efsVolumeConfiguration':{'fileSystemId':'fs-12345678',"
	 "'accessPoint':{'path':'/point','uid':5001,'gid':5002}}},"
	 "{'name':'p','type':'efs','efsVolumeConfiguration':{'fileSystemId':'fs-12345678'}}],"
	 "'containers':[{" APP ",'mountPoints':[{'sourceVolume':'e','containerPath':'/e'},{'sourceVolume':'p','containerPath':'/p'}]"
	 RUN("cat /e/f; stat -c %u:%g /e/f; echo z > /e/h; stat -c %u:%g /p/point/h; echo q > /p/q; stat -c %u /p/q") NO_NETWORK "}]",
	 "mine\n0:0\n5001:5002\n0\n"},
	{"ephemeralStorage",
	 "'ephemeralStorage':21,'containers':[{" APP RUN("b=$(stat -f -c %b /); [ $b -gt 5242880 ] && [ $b -le 5505024 ] && echo 21 GiB of 4096; "
							"dd if=/dev/zero of=/big bs=1M count=8 2>/dev/null; stat -c %s /big")
	 NO_NETWORK "}]", "21 GiB of 4096\n8388608\n"},
	{"systemControls of the network on FARGATE",
	 "'launchType':'FARGATE','containers':[{" APP RUN("cat /proc/sys/net/ipv4/tcp_syncookies /proc/sys/net/core/somaxconn")
	 DOCKER("{}", "{`NetworkMode`:`none`,`Sysctls`:{`net.core.somaxconn`:`77`,`net.ipv4.tcp_syncookies`:`0`}}") "}]",
	 "0\n77\n"},
	{"memory, soft limit and swap, as far as the kernel counts it",
	 "'containers':[{" APP ",'memory':64"
	 RUN("cd /sys/fs/cgroup; if [ -e memory ]; then cd memory; cat memory.limit_in_bytes memory.soft_limit_in_bytes "
	     "memory.swappiness; else cat memory.max memory.low; echo 7; fi; "
	     "s=$(cat memory.memsw.limit_in_bytes memory.swap.max 2>/dev/null); "
	     "[ x$s = x -o x$s = x100663296 -o x$s = x33554432 ] && echo swap")
	 DOCKER("{}", "{`NetworkMode`:`none`,`MemoryReservation`:33554432,`MemorySwap`:100663296,`MemorySwappiness`:7}") "}]",
	 "67108864\n33554432\n7\nswap\n"},
};

TEST(every_field_of_a_task_does_what_it_says)
{
	struct world *world = world_new();
	size_t wrong = 0;

	for (size_t i = 0; i < COUNT(rows); i++) {
		struct str seen;

		if (getenv("WHERRY_ROW") && !strstr(rows[i].what, getenv("WHERRY_ROW")))
			continue;
		print_message("%s\n", rows[i].what);     /* which one, should it fail or hang */
		seen = output_of(world, make_task(world, rows[i].task));
		if (!str_equal(seen, str_of(rows[i].output))) {
			print_message("%s: '%.*s' is not '%s'\n", rows[i].what, STR(seen), rows[i].output);
			wrong++;
		}
	}
	assert_int_equal(wrong, 0);
	world_free(world);
}

TEST(environment_files_are_read_line_by_line_and_the_first_counts)
{
	struct str variables[8];
	struct error err = {0};
	size_t count = 0;

	assert_true(environment_file_read(S("# note\nA=1\r\n\nB= two words \nno value\n=x\nA=2\nC=\"q\""), variables, &count,
					  COUNT(variables), &err));
	assert_int_equal(count, 3);
	EXPECT_STR(variables[0], S("A=1"));
	EXPECT_STR(variables[1], S("B= two words "));
	EXPECT_STR(variables[2], S("C=\"q\""));
	assert_true(environment_file_read(S("D=1\nE=1\nF=1\nG=1\nH=1"), variables, &count, COUNT(variables), &err));
	assert_int_equal(count, COUNT(variables));
	assert_false(environment_file_read(S("I=1"), variables, &count, COUNT(variables), &err));
}

TEST(environment_files_need_an_endpoint_and_an_arn)
{
	auto_arena arena = {0};
	struct environment_store store = {.region = S("us-east-1")};
	struct error err = {0};
	struct str text;

	assert_false(environment_file_fetch(&store, S("arn:aws:s3:::bucket/a.env"), &arena, &text, &err));
	assert_true(str_contains(str_of(err.text), S("no S3 endpoint")));
	assert_false(environment_file_fetch(&store, S("arn:aws:s3:::bucket"), &arena, &text, &err));
	assert_true(str_contains(str_of(err.text), S("not the ARN of an S3 object")));
}

static void fake_gpu(const char *root, const char *slot, const char *id, int number, bool with_device)
{
	char path[256], text[128];
	struct error err;

	snprintf(path, sizeof(path), "%s/proc/driver/nvidia/gpus/%s", root, slot);
	assert_true(folder_make(path, 0755, &err));
	snprintf(path + strlen(path), sizeof(path) - strlen(path), "/information");
	snprintf(text, sizeof(text), "Model: \t X\nGPU UUID: \t %s\nDevice Minor: \t %d\n", id, number);
	assert_true(file_write(AT_FDCWD, path, str_of(text), 0600, &err));
	snprintf(path, sizeof(path), "%s/dev", root);
	assert_true(folder_make(path, 0755, &err));
	snprintf(path, sizeof(path), "%s/dev/nvidia%d", root, number);
	if (with_device)
		assert_true(file_write(AT_FDCWD, path, S(""), 0600, &err));
}

TEST(a_gpu_is_found_by_number_and_by_name_and_missed_clearly)
{
	auto_arena arena = {0};
	char root[] = "/tmp/wherry-gpu-XXXXXX";
	struct error err = {0};
	struct str device;

	assert_non_null(mkdtemp(root));
	fake_gpu(root, "0000:01:00.0", "GPU-77", 3, true);
	assert_true(gpu_find(root, S("GPU-77"), &arena, &device, &err));
	EXPECT_STR(device, S("/dev/nvidia3"));
	assert_true(gpu_find(root, S("3"), &arena, &device, &err));
	assert_false(gpu_find(root, S("4"), &arena, &device, &err));
	EXPECT_STR(str_of(err.text), S("GPU '4' has no device /dev/nvidia4 on this machine"));
	assert_false(gpu_find(root, S("GPU-78"), &arena, &device, &err));
	EXPECT_STR(str_of(err.text), S("this machine has no GPU 'GPU-78'"));
	assert_true(tree_remove(AT_FDCWD, root, &err));
}

TEST(the_gpus_of_a_machine_are_those_whose_device_is_there)
{
	auto_arena arena = {0};
	char root[] = "/tmp/wherry-gpus-XXXXXX", path[256];
	struct str ids[GPU_DEVICES_LIMIT];
	struct error err = {0};
	size_t count = 7;

	assert_non_null(mkdtemp(root));
	gpu_list(root, &arena, ids, &count);
	assert_int_equal(count, 0);
	assert_false(str_has(gpu_driver_version(root, &arena)));
	fake_gpu(root, "0000:01:00.0", "GPU-b", 1, true);
	fake_gpu(root, "0000:02:00.0", "GPU-a", 0, true);
	fake_gpu(root, "0000:03:00.0", "GPU-c", 2, false);
	snprintf(path, sizeof(path), "%s/proc/driver/nvidia/version", root);
	assert_true(file_write(AT_FDCWD, path, S("NVRM version: NVIDIA UNIX x86_64 Kernel Module  550.54.15  Tue Mar  5\n"), 0600,
			       &err));
	gpu_list(root, &arena, ids, &count);
	assert_int_equal(count, 2);
	EXPECT_STR(ids[0], S("GPU-a"));
	EXPECT_STR(ids[1], S("GPU-b"));
	EXPECT_STR(gpu_driver_version(root, &arena), S("550.54.15"));
	assert_true(tree_remove(AT_FDCWD, root, &err));
}

TEST(no_two_tasks_have_the_same_users)
{
	auto_arena arena = {0};
	char root[] = "/tmp/wherry-map-XXXXXX";
	struct error err = {0};
	int64_t first, second, again;
	struct str run;

	assert_non_null(mkdtemp(root));
	run = str_of(root);
	assert_true(folder_make(arena_printf(&arena, "%s/tasks/a%c", root, '\0').ptr, 0755, &err));
	assert_true(folder_make(arena_printf(&arena, "%s/tasks/b%c", root, '\0').ptr, 0755, &err));
	assert_true(idmap_take(run, S("a"), &first, &err));
	assert_true(idmap_take(run, S("b"), &second, &err));
	assert_true(idmap_take(run, S("a"), &again, &err));
	assert_int_equal(first, again);
	assert_int_not_equal(first, second);
	assert_true(first >= IDMAP_FIRST);
	assert_int_equal(idmap_find(run, S("b")), second);
	/* A crash came between both files: the range is still the task's, and no other one is lost for it. */
	unlink(arena_printf(&arena, "%s/tasks/a/.idmap%c", root, '\0').ptr);
	assert_true(idmap_take(run, S("a"), &again, &err));
	assert_int_equal(first, again);
	idmap_release(run, S("a"));
	assert_true(tree_remove(AT_FDCWD, root, &err));
}

TEST(signals_have_names_and_numbers)
{
	static const struct { const char *name; int number; } signals[] = {
		{"SIGQUIT", SIGQUIT}, {"QUIT", SIGQUIT}, {"9", 9}, {"SIGTERM", SIGTERM}, {"", 0}, {"SIGNONE", 0}, {"0", 0},
		{"1000", 0},
	};

	for (size_t i = 0; i < COUNT(signals); i++)
		assert_int_equal(bundle_signal(str_of(signals[i].name)), signals[i].number);
	assert_int_equal(bundle_signal(S("SIGRTMIN+3")), SIGRTMIN + 3);
}

/* A health check runs beside everything else, and its own time counts. */
TEST(a_health_check_says_how_it_went)
{
	static const struct { const char *test; bool ok; const char *reason; } checks[] = {
		{"`CMD-SHELL`,`echo $FROM_IMAGE; test -e /tmp`", true, ""},
		{"`CMD-SHELL`,`echo bad; exit 3`", false, "bad"},
		{"`CMD`,`/bin/no-such`", false, NULL},
		{"`CMD-SHELL`,`sleep 100`", false, "Health check exceeded timeout (1s)"},
	};
	struct world *world = world_new();
	struct agent_task *task;
	struct fact fact;

	for (size_t i = 0; i < COUNT(checks); i++) {
		task = make_task(world, arena_printf(&world->arena, "'containers':[{" APP RUN("sleep 1234")
						     ",'dockerConfig':{'config':'{`Healthcheck`:{`Test`:[%s],`Timeout`:1000000000}}',"
						     "'hostConfig':'{`NetworkMode`:`none`}'}}]%c", checks[i].test, '\0').ptr);
		world_run(world, S(WORLD_ID), task);
		world_submit(world, JOB_PROBE, S(WORLD_ID), task, 0, 0);
		fact = world_expect(world, FACT_PROBE);
		if (fact.ok != checks[i].ok || (!fact.ok && str_empty(fact.reason)) ||
		    (checks[i].reason && !fact.ok && !str_equal(fact.reason, str_of(checks[i].reason))))
			fail_msg("%s: %d '%.*s'", checks[i].test, fact.ok, STR(fact.reason));
		destroy(world, task);
	}
	world_free(world);
}

TEST(a_container_is_asked_to_end_by_its_own_stop_signal)
{
	struct world *world = world_new();
	struct agent_task *task;

	task = make_task(world, "'containers':[{" APP RUN("trap \\\"exit 33\\\" QUIT; echo up; while true; do sleep 0.05; done")
			 DOCKER("{`StopSignal`:`SIGQUIT`}", "{`NetworkMode`:`none`}") "}]");
	world_run(world, S(WORLD_ID), task);
	world_wait_log(world, "app", "up");
	world_submit(world, JOB_SIGNAL, S(WORLD_ID), task, 0, SIGTERM);
	world_expect_ok(world, FACT_SIGNAL);
	assert_int_equal(world_expect_ok(world, FACT_EXIT).exit_code, 33);
	destroy(world, task);
	world_free(world);
}

TEST(a_task_that_cannot_be_made_says_why)
{
	static const struct { const char *task, *reason; } refused[] = {
		{"'volumes':[{'name':'v','type':'docker','dockerVolumeConfiguration':{'driver':'rexray'}}],'containers':[]",
		 "CannotCreateVolumeError: volume 'v': this machine has no volume driver 'rexray'"},
		{"'volumes':[{'name':'not-here','type':'docker','dockerVolumeConfiguration':{'scope':'shared'}}],'containers':[]",
		 "CannotCreateVolumeError: get not-here: no such volume"},
		{"'volumes':[{'name':'e','type':'efs','efsVolumeConfiguration':{'fileSystemId':'fs-1','rootDirectory':'/no'}}],"
		 "'containers':[]", "ResourceInitializationError: failed to invoke EFS utils commands to set up EFS volumes: e: mounting '/no' failed"},
		{"'volumes':[{'name':'e','type':'efs','efsVolumeConfiguration':{'fileSystemId':'fs-1','refusal':'no mount target'}}],"
		 "'containers':[]", "ResourceInitializationError: failed to invoke EFS utils commands to set up EFS volumes: e: no mount target"},
		{"'containers':[{" APP ",'environmentFiles':[{'value':'arn:aws:s3:::b/k.env','type':'s3'}]}]",
		 "ResourceInitializationError: failed to download env files: this agent has no S3 endpoint"},
		{"'networkMode':'awsvpc','containers':[{" APP "}]", "ContainerNetworkingError: this agent has no VPCs"},
	};
	struct world *world = world_new();
	struct fact fact;

	for (size_t i = 0; i < COUNT(refused); i++) {
		struct agent_task *task = make_task(world, refused[i].task);

		world_submit(world, JOB_CREATE, S(WORLD_ID), task, 0, 0);
		fact = world_expect(world, FACT_CREATE);
		if (fact.ok || !str_starts(fact.reason, str_of(refused[i].reason)))
			fail_msg("'%.*s' is not '%s'", STR(fact.reason), refused[i].reason);
		destroy(world, task);
	}
	world_free(world);
}
