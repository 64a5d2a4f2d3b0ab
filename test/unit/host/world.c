#include "test/unit/host/world.h"
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <unistd.h>
#include "host/image.h"
#include "host/network.h"
#include "os/clock.h"
#include "wire/json.h"

enum { FACT_PATIENCE_SEC = 90, LOG_LIMIT = 256 << 20 };

struct str world_shell(struct world *world, const char *format, ...)
{
	char command[8192], *output = NULL;
	size_t len = 0;
	va_list args;
	FILE *pipe, *memory = open_memstream(&output, &len);
	int c;

	va_start(args, format);
	vsnprintf(command, sizeof(command), format, args);
	va_end(args);
	pipe = popen(command, "re");
	assert_non_null(pipe);
	while ((c = fgetc(pipe)) != EOF)
		fputc(c, memory);
	pclose(pipe);
	fclose(memory);
	struct str text = arena_copy(&world->arena, (struct str){output, len});
	free(output);
	return text;
}

/* A docker archive of busybox, loaded as an agent would. */
static const char archive_script[] =
	"set -e; cd %s; mkdir -p root/bin root/etc root/data root/proc root/sys root/dev root/tmp archive;"
	"cp $(command -v busybox) root/bin/busybox;"
	"for a in tr cut grep sh sleep echo cat id ls seq head dd true false env pwd kill touch mount hostname wc stat tail; do "
	"ln -sf busybox root/bin/$a; done;"
	"printf 'root:x:0:0:root:/root:/bin/sh\\napp:x:1000:1001::/home/app:/bin/sh\\n' > root/etc/passwd;"
	"printf 'root:x:0:\\napp:x:1001:\\nstaff:x:50:app\\n' > root/etc/group;"
	"echo from-image > root/data/file;"
	"tar -C root -cf archive/layer.tar .;"
	"s=$(sha256sum archive/layer.tar | cut -d' ' -f1);"
	"printf '{\"architecture\":\"amd64\",\"os\":\"linux\",\"config\":{\"Env\":[\"FROM_IMAGE=1\",\"BOTH=image\"],"
	"\"Cmd\":[\"/bin/sh\",\"-c\",\"echo image command\"]},\"rootfs\":{\"type\":\"layers\",\"diff_ids\":"
	"[\"sha256:%%s\"]}}' $s > archive/config.json;"
	"printf '[{\"Config\":\"config.json\",\"RepoTags\":[\"test/busybox:1\"],\"Layers\":[\"layer.tar\"]}]' "
	"> archive/manifest.json;"
	"tar -C archive -cf image.tar manifest.json config.json layer.tar; rm -rf root archive; echo fine";

/* The one that a failed test did not end. */
static struct world *unfinished;

static void clean_up(void)
{
	struct world *world = unfinished;

	unfinished = NULL;
	if (!world)
		return;
	if (!world->hands)
		world_open(world);
	hands_sweep(world->hands, NULL);
	network_down(world->network, NULL);
	world_close(world);
	world_shell(world, "rm -rf %s", world->folder);
	arena_fini(&world->arena);
	free(world);
}

static const char *lacking(struct world *world)
{
	static bool has_network;

	if (geteuid() != 0)
		return "needs root";
	if (access("/usr/bin/crun", X_OK) < 0 || !str_starts(world_shell(world, "command -v busybox"), S("/")))
		return "needs crun and busybox";
	/* Before any thread: all inherit it. */
	if (!has_network && unshare(CLONE_NEWNET) < 0)
		return "needs a network namespace of its own";
	has_network = true;
	return NULL;
}

/* Its names are fixed: one process of a machine at a time. Let go by the end of the process. */
static void wait_for_our_turn(void)
{
	static int lock = -1;

	if (lock >= 0)
		return;
	lock = open("/tmp/wherry-hands-test.lock", O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	assert_true(lock >= 0);
	assert_int_equal(flock(lock, LOCK_EX), 0);
}

struct world *world_new(void)
{
	static bool registered;
	struct world *world = calloc(1, sizeof(*world));
	const char *why = lacking(world);

	wait_for_our_turn();
	clean_up();
	if (!registered)
		atexit(clean_up);
	registered = true;
	if (why) {
		print_message("%s\n", why);
		arena_fini(&world->arena);
		free(world);
		skip();
	}
	strcpy(world->folder, "/tmp/wherry-hands-XXXXXX");
	assert_non_null(mkdtemp(world->folder));
	EXPECT_STR(str_trim(world_shell(world, archive_script, world->folder)), S("fine"));
	world_open(world);
	unfinished = world;
	return world;
}

static struct str find_keeper(struct arena *arena)
{
	static const char *const places[] = {"wherry-keeper", "../wherry-keeper"};
	char self[4096] = "";
	ssize_t len = readlink("/proc/self/exe", self, sizeof(self) - 1);
	struct str here = {self, len > 0 ? (size_t)len : 0};

	here = str_slice(here, 0, str_find_last(here, '/'));
	for (size_t i = 0; i < COUNT(places); i++) {
		struct str path = arena_printf(arena, "%.*s/%s", STR(here), places[i]);

		if (access(arena_cstr(arena, path), X_OK) == 0)
			return path;
	}
	fail_msg("build wherry-keeper first");
	return STR_NONE;
}

void world_open(struct world *world)
{
	struct arena *arena = &world->arena;
	struct error err = {0};
	size_t count;
	struct images_options images = {.folder = arena_printf(arena, "%s/data/images", world->folder)};
	struct network_options network = {
		.bridge = S("wtest0"), .bridge_cidr = S("10.213.0.1/24"), .table = S("wtest"),
		.state_folder = arena_printf(arena, "%s/run/network", world->folder),
		.port_low = 40000, .port_high = 40999,
	};
	if (!images_open(&images, &world->images, &err) || !network_new(&network, &world->network, &err))
		fail_msg("%s", err.text);
	if (!images_load(world->images, arena_printf(arena, "%s/image.tar", world->folder), STR_NONE, arena,
			 &count, &err))
		fail_msg("%s", err.text);
	struct hands_options options = {
		.data = arena_printf(arena, "%s/data", world->folder),
		.run = arena_printf(arena, "%s/run", world->folder),
		.runtime = S("/usr/bin/crun"),
		.keeper = find_keeper(arena),
		.images = world->images,
		.network = world->network,
		.pull_behavior = S("default"),
	};
	if (!hands_new(&options, &world->hands, &err))
		fail_msg("%s", err.text);
}

void world_close(struct world *world)
{
	hands_free(world->hands);
	network_free(world->network);
	images_close(world->images);
	world->hands = NULL;
}

/* Processes, mounts, cgroups, namespaces and files of the tasks. */
static struct str leftovers(struct world *world)
{
	return world_shell(world, "cd %s; ls -A run/tasks data/tasks | grep -v : | grep .; "
			   "grep %s /proc/self/mounts; ls -d /sys/fs/cgroup/*/wherry/%s* /sys/fs/cgroup/wherry/%s* "
			   "2>/dev/null; grep -l -a '%s/r''un' /proc/[0-9]*/cmdline 2>/dev/null; true",
			   world->folder, world->folder, WORLD_ID, WORLD_ID, world->folder);
}

void world_free(struct world *world)
{
	struct error err = {0};
	struct str left;

	if (!hands_sweep(world->hands, &err) || !network_down(world->network, &err))
		fail_msg("%s", err.text);
	left = leftovers(world);
	world_close(world);
	world_shell(world, "rm -rf %s", world->folder);
	unfinished = NULL;
	EXPECT_STR(left, S(""));
	arena_fini(&world->arena);
	free(world);
}

struct agent_task *world_task(struct world *world, const char *json)
{
	struct agent_task *task = arena_new(&world->arena, struct agent_task);
	struct json_fault fault = {0};
	void *decoded;

	if (!json_decode(&shape_acs_task, str_of(json), &world->arena, &decoded, &fault))
		fail_msg("%s", fault.error.text);
	task->task = decoded;
	return task;
}

void world_submit(struct world *world, enum job_kind kind, struct str id, struct agent_task *task,
		  uint32_t container, int signal)
{
	hands_submit(world->hands, &(struct job){.kind = kind, .task_id = id, .task = task,
						 .container = container, .signal = signal});
}

struct fact world_expect_any(struct world *world)
{
	usec give_up = clock_monotonic() + FACT_PATIENCE_SEC * USEC_PER_SEC;
	struct pollfd poller = {.fd = hands_fd(world->hands), .events = POLLIN};
	struct fact fact;

	while (!hands_next(world->hands, &world->arena, &fact)) {
		if (clock_monotonic() > give_up)
			fail_msg("no fact came");
		poll(&poller, 1, 1000);
	}
	return fact;
}

struct fact world_expect(struct world *world, enum fact_kind kind)
{
	usec give_up = clock_monotonic() + FACT_PATIENCE_SEC * USEC_PER_SEC;
	struct pollfd poller = {.fd = hands_fd(world->hands), .events = POLLIN};
	struct fact fact;

	while (!hands_next(world->hands, &world->arena, &fact)) {
		if (clock_monotonic() > give_up)
			fail_msg("no fact of kind %d came", kind);
		poll(&poller, 1, 1000);
	}
	if (fact.kind != kind)
		fail_msg("a fact of kind %d came, not %d: %.*s", fact.kind, kind, STR(fact.reason));
	return fact;
}

struct fact world_expect_ok(struct world *world, enum fact_kind kind)
{
	struct fact fact = world_expect(world, kind);

	if (!fact.ok)
		fail_msg("%.*s", STR(fact.reason));
	return fact;
}

void world_run(struct world *world, struct str id, struct agent_task *task)
{
	for (uint32_t i = 0; i < task->task->containers.count; i++) {
		world_submit(world, JOB_PULL, id, task, i, 0);
		world_expect_ok(world, FACT_PULL);
	}
	world_submit(world, JOB_CREATE, id, task, 0, 0);
	world_expect_ok(world, FACT_CREATE);
	for (uint32_t i = 0; i < task->task->containers.count; i++) {
		world_submit(world, JOB_START, id, task, i, 0);
		world_expect_ok(world, FACT_START);
	}
}

static void wait_for_file(struct world *world, struct str path, struct str text)
{
	usec give_up = clock_monotonic() + FACT_PATIENCE_SEC * USEC_PER_SEC;

	while (!str_contains(world_shell(world, "cat %.*s", STR(path)), text)) {
		if (clock_monotonic() > give_up)
			fail_msg("%.*s does not say '%.*s'", STR(path), STR(text));
		clock_sleep(10 * USEC_PER_MSEC);
	}
}

void world_wait_log(struct world *world, const char *container, const char *text)
{
	wait_for_file(world, arena_printf(&world->arena, "%s/data/logs/" WORLD_ID "/%s.log", world->folder, container),
		      str_of(text));
}

void world_wait_end(struct world *world, const char *container)
{
	wait_for_file(world, arena_printf(&world->arena, "%s/run/tasks/" WORLD_ID "/%s/state", world->folder, container),
		      S("exited"));
}
