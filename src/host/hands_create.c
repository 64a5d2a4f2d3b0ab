#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mount.h>
#include "host/bundle.h"
#include "host/cgroup.h"
#include "host/fabric.h"
#include "host/hands_private.h"
#include "host/idmap.h"
#include "host/space.h"
#include "host/volume.h"
#include "os/file.h"
#include "wire/json.h"

#define INTERFACE_PATIENCE (10 * USEC_PER_SEC)

struct creation {
	struct hands *hands;
	struct lane *lane;
	const struct acs_task *task;
	struct places at;
	struct arena *arena;
	int64_t map_base;
	struct apart { bool started, ok; pthread_t thread; struct error err; } interface, logs;
	struct container *logging;                       /* whose logs are shipped */
	size_t logging_count;
};

struct creation_step {
	const char *error_name;                          /* what its reasons begin with; NULL: they say */
	bool (*make)(struct creation *creation, struct error *err);
};

static bool make_folders(struct creation *creation, struct error *err)
{
	const struct places *at = &creation->at;
	int64_t gib = creation->task->ephemeral_storage.value;

	return places_make(at->run, 0711, err) && places_make(at->logs, 0750, err) &&
	       (gib == 0 || space_create(at->data, gib, err)) && places_make(at->volumes, 0711, err);
}

/* The largest that any of its containers asks for. */
static int64_t shared_memory(const struct creation *creation)
{
	int64_t bytes = 0;
	struct error ignored;

	for (size_t i = 0; i < creation->task->containers.count; i++) {
		struct container container;

		if (container_decode(creation->task, &creation->task->containers.items[i], creation->arena, &container,
				     &ignored))
			bytes = MAX(bytes, container_memory_file_bytes(container.host));
	}
	return bytes;
}

static bool mount_memory(struct creation *creation, struct error *err)
{
	char options[64];
	const char *path = arena_cstr(creation->arena, creation->at.memory);

	if (!folder_make(path, 0755, err) || folder_is_mount(path))
		return folder_is_mount(path);
	snprintf(options, sizeof(options), "mode=1777,size=%lld", (long long)shared_memory(creation));
	return mount("shm", path, "tmpfs", MS_NOSUID | MS_NODEV | MS_NOEXEC, options) == 0 ||
	       fail_os(err, errno, "mount the task's /dev/shm");
}

bool chore_release_memory(const struct places *at, struct error *err)
{
	auto_arena arena = {0};
	const char *path = arena_cstr(&arena, at->memory);

	return !folder_is_mount(path) || umount2(path, MNT_DETACH) == 0 ||
	       fail_os(err, errno, "unmount the task's /dev/shm");
}

static bool write_sharing(struct creation *creation, struct error *err)
{
	const struct acs_task *task = creation->task;
	struct keeper_sharing sharing = {
		.pid = str_equal(task->pid_mode, S("task")),
		.ipc = str_equal(task->ipc_mode, S("task")),
	};

	if (container_is_fargate(task)) {
		if (!idmap_take(creation->hands->options.run, creation->lane->task_id, &creation->map_base, err))
			return false;
		sharing.map_base = creation->map_base;
		sharing.map_count = IDMAP_COUNT;
	}
	if (sharing.ipc && !mount_memory(creation, err))
		return false;
	if (sharing.map_count == 0 && !sharing.pid && !sharing.ipc)
		return true;
	return keeper_write_sharing(creation->at.run, &sharing, err);
}

static struct cgroup_limits task_limits(const struct acs_task *task)
{
	struct cgroup_limits limits = {0};

	if (task->cpu.has && task->cpu.value > 0)
		limits.cpu_units = (int64_t)(task->cpu.value * 1024);
	for (size_t i = 0; i < task->containers.count && limits.cpu_units == 0; i++)
		limits.cpu_shares += MAX(task->containers.items[i].cpu.value, 2);
	if (task->memory.has && task->memory.value > 0)
		limits.memory_bytes = (int64_t)task->memory.value << 20;
	return limits;
}

static bool make_cgroup(struct creation *creation, struct error *err)
{
	struct cgroup_limits limits = task_limits(creation->task);

	return cgroup_create(creation->lane->task_id, &limits, err);
}

static bool make_volumes(struct creation *creation, struct error *err)
{
	const struct volumes volumes = {creation->hands->options.data, creation->lane->task_id, creation->task,
					creation->map_base};

	return volumes_create(&volumes, err);
}

/* Before anything runs, so that a task whose environment is out of reach does not start at all. */
static bool fetch_environment(struct creation *creation, struct error *err)
{
	for (size_t i = 0; i < creation->task->containers.count; i++) {
		const struct acs_container *container = &creation->task->containers.items[i];
		struct places at;
		struct str text;

		if (container->environment_files.count == 0)
			continue;
		if (!places_check(creation->lane->task_id, container->name, err))
			return false;
		at = places_of(creation->hands, creation->lane->task_id, container->name, creation->arena);
		if (!environment_files_fetch(&creation->hands->options.environment_store, &container->environment_files,
					     creation->arena, &text, err))
			return fail_context(err, "failed to download env files");
		if (!file_write(AT_FDCWD, arena_cstr(creation->arena, at.environment), text, 0600, err))
			return false;
	}
	return true;
}

static bool start_keeper(struct creation *creation, struct error *err)
{
	return ensure_keeper(creation->hands, creation->lane, creation->task, &creation->at, err);
}

static bool attach_interface(struct creation *creation, struct error *err)
{
	const struct acs_task *task = creation->task;

	if (!container_has_interface(task))
		return true;
	if (!creation->hands->options.fabric)
		return fail(err, ERROR_UNSUPPORTED_FEATURE, "this agent has no VPCs");
	if (task->elastic_network_interfaces.count == 0)
		return fail(err, ERROR_REFUSED, "an awsvpc task without a network interface");
	return fabric_attach(creation->hands->options.fabric, creation->lane->task_id, creation->at.task_netns,
			     &task->elastic_network_interfaces.items[0], INTERFACE_PATIENCE, err);
}

static void *attach_apart(void *arg)
{
	struct creation *creation = arg;

	creation->interface.ok = attach_interface(creation, &creation->interface.err);
	return NULL;
}

static bool begin(struct creation *creation, struct apart *apart, void *(*run)(void *), struct error *err)
{
	int failed = pthread_create(&apart->thread, NULL, run, creation);

	apart->started = failed == 0;
	return failed == 0 || fail_os(err, failed, "start a thread");
}

static void finish(struct apart *apart)
{
	if (apart->started)
		pthread_join(apart->thread, NULL);
	apart->started = false;
}

/* It waits for the kernel most of its time, as does a keeper that starts: both at once. */
static bool begin_attaching(struct creation *creation, struct error *err)
{
	creation->interface.ok = true;
	return !container_has_interface(creation->task) || begin(creation, &creation->interface, attach_apart, err);
}

static bool finish_attaching(struct creation *creation, struct error *err)
{
	finish(&creation->interface);
	if (!creation->interface.ok)
		*err = creation->interface.err;
	return creation->interface.ok;
}

/* Streams are made meanwhile. What fails here is tried again by the start of its container, which then has the reason: the
 * others may do without it. */
static void *open_logs_apart(void *arg)
{
	const struct creation *creation = arg;
	struct error ignored;

	for (size_t i = 0; i < creation->logging_count; i++)
		chore_open_log(creation->hands, creation->lane->task_id, &creation->logging[i], &ignored);
	return NULL;
}

static bool begin_opening_logs(struct creation *creation, struct error *err)
{
	const struct acs_containers *containers = &creation->task->containers;
	struct error ignored;

	creation->logging = arena_array(creation->arena, struct container, containers->count);
	for (size_t i = 0; i < containers->count; i++) {
		struct container *container = &creation->logging[creation->logging_count];

		if (places_check(creation->lane->task_id, containers->items[i].name, &ignored) &&
		    container_decode(creation->task, &containers->items[i], creation->arena, container, &ignored) &&
		    container->log.driver == LOG_AWSLOGS)
			creation->logging_count++;
	}
	return creation->logging_count == 0 || begin(creation, &creation->logs, open_logs_apart, err);
}

static bool finish_opening_logs(struct creation *creation, struct error *err)
{
	finish(&creation->logs);
	return true;
}

static const struct creation_step creation_steps[] = {
	{"ResourceInitializationError", make_folders},
	{"ResourceInitializationError", begin_attaching},
	{"ResourceInitializationError", begin_opening_logs},
	{"ResourceInitializationError", write_sharing},
	{"ResourceInitializationError: cgroup", make_cgroup},
	{NULL, make_volumes},
	{"ResourceInitializationError", fetch_environment},
	{"ResourceInitializationError", start_keeper},
	{"ContainerNetworkingError", finish_attaching},
	{NULL, finish_opening_logs},
};

static bool check(struct creation *creation, struct error *err)
{
	if (!places_check(creation->lane->task_id, S("x"), err))
		return fail_context(err, "ResourceInitializationError");
	if (creation->task->containers.count > KEEPER_CONTAINERS_LIMIT)
		return fail(err, ERROR_REFUSED, "ResourceInitializationError: more than %d containers in one task",
			    KEEPER_CONTAINERS_LIMIT);
	return true;
}

bool chore_create_task(struct hands *hands, struct lane *lane, const struct acs_task *task, struct arena *arena,
		       struct error *err)
{
	struct creation creation = {.hands = hands, .lane = lane, .task = task, .arena = arena,
				    .at = places_of(hands, lane->task_id, S("x"), arena)};
	struct error ignored;

	if (!check(&creation, err))
		return false;
	for (size_t i = 0; i < COUNT(creation_steps); i++) {
		if (creation_steps[i].make(&creation, err))
			continue;
		/* What others wait for; the rest goes with JOB_DESTROY. */
		finish(&creation.interface);
		finish(&creation.logs);
		chore_release_network(hands, lane->task_id, &ignored);
		volumes_release(hands->options.data, lane->task_id, &ignored);
		return creation_steps[i].error_name ? fail_context(err, "%s", creation_steps[i].error_name) : false;
	}
	return true;
}

bool ensure_keeper(struct hands *hands, struct lane *lane, const struct acs_task *task, const struct places *at,
		   struct error *err)
{
	const struct hands_options *all = &hands->options;
	struct keeper_options options = {
		.program = all->keeper,
		.runtime = container_is_fargate(task) ? all->fargate_runtime : all->runtime,
		.run_folder = at->run,
		.log_folder = at->logs,
		.cgroup = lane->task_id,
	};

	return lane_connect(hands, lane, NULL) ||
	       (keeper_spawn(&options, err) && lane_connect(hands, lane, err));
}

bool chore_release_network(struct hands *hands, struct str task_id, struct error *err)
{
	auto_arena arena = {0};
	struct places at = places_of(hands, task_id, S("x"), &arena);

	return !hands->options.fabric || fabric_detach(hands->options.fabric, task_id, at.task_netns, err);
}
