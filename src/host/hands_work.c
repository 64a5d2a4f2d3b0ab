#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include "host/bundle.h"
#include "host/cgroup.h"
#include "host/hands_private.h"
#include "host/image.h"
#include "host/network.h"
#include "os/clock.h"
#include "os/fd.h"
#include "os/file.h"
#include "os/overlay.h"
#include "wire/json.h"

enum {
	TASKS_LIMIT = 100000,
	LOG_FOLDERS_KEPT = 200,                          /* of tasks, also destroyed ones; the oldest go */
	ID_DIGITS = 64,
};

#define LIST_PATIENCE (5 * USEC_PER_SEC)

/* ---- Names ---- */

struct places {
	struct str run, data, logs;                      /* the task's folders */
	struct str folder, bundle, rootfs, netns;        /* the container's, under run */
	struct str own, volumes;                         /* under data: the container's layer; the task's volumes */
	struct str cgroup, owner;                        /* the container's */
};

/* Names become folders and cgroups. */
static bool name_is_good(struct str name)
{
	if (name.len == 0 || name.len > KEEPER_NAME_LIMIT)
		return false;
	for (size_t i = 0; i < name.len; i++) {
		char c = name.ptr[i];

		if (!((c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' ||
		      c == '-'))
			return false;
	}
	return true;
}

static bool check_names(struct str task_id, struct str container, struct error *err)
{
	if (!name_is_good(task_id))
		return fail(err, ERROR_REFUSED, "bad task id '%.*s'", STR(task_id));
	if (!name_is_good(container))
		return fail(err, ERROR_REFUSED, "bad container name '%.*s'", STR(container));
	return true;
}

static struct places places_of(const struct hands *hands, struct str task_id, struct str container,
			       struct arena *arena)
{
	const struct hands_options *options = &hands->options;
	struct places at = {0};

	at.run = arena_printf(arena, "%.*s/tasks/%.*s", STR(options->run), STR(task_id));
	at.data = arena_printf(arena, "%.*s/tasks/%.*s", STR(options->data), STR(task_id));
	at.logs = arena_printf(arena, "%.*s/logs/%.*s", STR(options->data), STR(task_id));
	at.folder = arena_printf(arena, "%.*s/%.*s", STR(at.run), STR(container));
	at.bundle = arena_printf(arena, "%.*s/bundle", STR(at.folder));
	at.rootfs = arena_printf(arena, "%.*s/rootfs", STR(at.bundle));
	at.netns = arena_printf(arena, "%.*s/netns", STR(at.folder));
	at.own = arena_printf(arena, "%.*s/containers/%.*s", STR(at.data), STR(container));
	at.volumes = arena_printf(arena, "%.*s/volumes", STR(at.data));
	at.cgroup = at.owner = arena_printf(arena, "%.*s/%.*s", STR(task_id), STR(container));
	return at;
}

/* The same for a container for ever, without having to be kept. */
static struct str runtime_id_of(struct str owner, struct arena *arena)
{
	return arena_printf(arena, "%016llx%016llx%016llx%016llx", (unsigned long long)str_hash(owner, 1),
			    (unsigned long long)str_hash(owner, 2), (unsigned long long)str_hash(owner, 3),
			    (unsigned long long)str_hash(owner, 4));
}

static bool make_folder(struct str path, mode_t mode, struct error *err)
{
	auto_arena arena = {0};

	return folder_make(arena_cstr(&arena, path), mode, err);
}

static struct fact fact_of(enum fact_kind kind, struct str task_id, struct str container)
{
	return (struct fact){.kind = kind, .task_id = task_id, .container = container, .at = clock_now()};
}

static void tell_result(struct hands *hands, struct fact *fact, bool ok, const struct error *err)
{
	fact->ok = ok;
	fact->reason = ok ? STR_NONE : str_of(err->text);
	hands_tell(hands, fact);
}

/* ---- Ports ---- */

struct ports {
	struct network_port items[NETWORK_PORTS_LIMIT];
	size_t count;
};

static bool port_is_good(struct maybe_integer port, int least) { return port.value >= least && port.value <= 65535; }

static bool read_ports(const struct acs_container *container, struct ports *ports, struct error *err)
{
	ports->count = 0;
	if (container->port_mappings.count > NETWORK_PORTS_LIMIT)
		return fail(err, ERROR_REFUSED, "CannotCreateContainerError: more than %d port mappings",
			    NETWORK_PORTS_LIMIT);
	for (size_t i = 0; i < container->port_mappings.count; i++) {
		const struct acs_port_mapping *mapping = &container->port_mappings.items[i];

		if (!str_empty(mapping->container_port_range))
			return fail(err, ERROR_REFUSED, "CannotCreateContainerError: containerPortRange is not "
				    "supported by this agent");
		if (!port_is_good(mapping->container_port, 1) || !port_is_good(mapping->host_port, 0))
			return fail(err, ERROR_REFUSED, "UnparsablePort: %d:%d", mapping->host_port.value,
				    mapping->container_port.value);
		ports->items[ports->count++] = (struct network_port){
			.container_port = (uint16_t)mapping->container_port.value,
			.host_port = (uint16_t)mapping->host_port.value,
			.udp = str_equal_ignoring_case(mapping->protocol, S("udp")),
		};
	}
	return true;
}

static struct ecs_network_binding make_binding(int container_port, int host_port, bool udp)
{
	return (struct ecs_network_binding){
		.bind_ip = S("0.0.0.0"),
		.container_port = {container_port, true},
		.host_port = {host_port, true},
		.protocol = udp ? ECS_TRANSPORT_PROTOCOL_UDP : ECS_TRANSPORT_PROTOCOL_TCP,
	};
}

/* From the launch file: "8080 32768 tcp". */
static struct ecs_network_bindings read_bindings(const struct keeper_launch *launch, struct arena *arena)
{
	struct ecs_network_bindings bindings = {
		arena_array(arena, struct ecs_network_binding, launch->port_count), 0};

	for (size_t i = 0; i < launch->port_count; i++) {
		struct str rest = launch->ports[i], inside, outside;
		int64_t container_port, host_port;

		if (str_cut(&rest, ' ', &inside) && str_cut(&rest, ' ', &outside) &&
		    str_to_long(inside, &container_port) && str_to_long(outside, &host_port))
			bindings.items[bindings.count++] = make_binding((int)container_port, (int)host_port,
									str_equal(rest, S("udp")));
	}
	return bindings;
}

/* ---- JOB_PULL ---- */

static bool find_local(struct hands *hands, struct str name, struct arena *arena, struct image *image)
{
	return images_find(hands->options.images, name, arena, image, NULL);
}

/* agent-protocol 4.5. Which images this agent pulled itself is not kept: `once` takes any local copy. What was
 * imported is nobody else's: a registry that is asked for it knows another image or none, or is out of reach. */
static bool get_image(struct hands *hands, struct str name, struct arena *arena, struct image *image,
		      struct error *err)
{
	const struct hands_options *options = &hands->options;
	bool local_first = str_equal(options->pull_behavior, S("prefer-cached")) ||
			   str_equal(options->pull_behavior, S("once"));
	bool local_counts = !str_equal(options->pull_behavior, S("always"));
	const struct image_login *login = options->logins ? image_login_find(options->logins, name, arena) : NULL;

	if (local_counts && find_local(hands, name, arena, image) && (local_first || image->imported))
		return true;
	if (images_pull(options->images, name, login, arena, image, err))
		return true;
	if (local_counts && find_local(hands, name, arena, image))
		return true;
	return fail_context(err, "CannotPullContainerError");
}

static bool pull(struct hands *hands, struct str task_id, const struct acs_container *container,
		 struct arena *arena, struct fact *fact, struct error *err)
{
	const struct acs_registry_authentication *login = container->registry_authentication;
	struct places at = places_of(hands, task_id, container->name, arena);
	struct image image;

	if (!check_names(task_id, container->name, err))
		return fail_context(err, "CannotPullContainerError");
	if (login && !str_empty(login->type))
		return fail(err, ERROR_REFUSED, "%s: registry authentication by %.*s is not supported by this "
			    "agent", str_equal(login->type, S("ecr")) ? "CannotPullECRContainerError"
							    : "CannotPullContainerAuthError", STR(login->type));
	if (!get_image(hands, container->image, arena, &image, err))
		return false;
	fact->image_digest = image.digest;
	return images_hold(hands->options.images, at.owner, &image, err) ||
	       fail_context(err, "CannotPullContainerError");
}

static void do_pull(struct hands *hands, struct lane *lane, struct chore *chore)
{
	struct fact fact = fact_of(FACT_PULL, lane->task_id, chore->name);
	struct error err = {0};
	bool ok = pull(hands, lane->task_id, chore->container, &chore->arena, &fact, &err);

	fact.at = clock_now();
	tell_result(hands, &fact, ok, &err);
}

/* ---- JOB_CREATE ---- */

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

static bool ensure_keeper(struct hands *hands, struct lane *lane, const struct places *at, struct error *err)
{
	struct keeper_options options = {
		.program = hands->options.keeper,
		.runtime = hands->options.runtime,
		.run_folder = at->run,
		.log_folder = at->logs,
		.cgroup = lane->task_id,
	};

	return lane_connect(hands, lane, NULL) ||
	       (keeper_spawn(&options, err) && lane_connect(hands, lane, err));
}

static bool create(struct hands *hands, struct lane *lane, const struct acs_task *task, struct arena *arena,
		   struct error *err)
{
	struct places at = places_of(hands, lane->task_id, S("x"), arena);
	struct cgroup_limits limits = task_limits(task);

	if (!check_names(lane->task_id, S("x"), err))
		return false;
	if (task->containers.count > KEEPER_CONTAINERS_LIMIT)
		return fail(err, ERROR_REFUSED, "more than %d containers in one task", KEEPER_CONTAINERS_LIMIT);
	return make_folder(at.run, 0711, err) && make_folder(at.logs, 0750, err) &&
	       make_folder(at.volumes, 0711, err) && cgroup_create(lane->task_id, &limits, err) &&
	       ensure_keeper(hands, lane, &at, err);
}

static void do_create(struct hands *hands, struct lane *lane, struct chore *chore)
{
	struct fact fact = fact_of(FACT_CREATE, lane->task_id, STR_NONE);
	struct error err = {0};
	bool ok = create(hands, lane, chore->task, &chore->arena, &err) ||
		  fail_context(&err, "ResourceInitializationError");

	tell_result(hands, &fact, ok, &err);
}

/* ---- JOB_START: steps with undo ---- */

struct start {
	struct hands *hands;
	struct lane *lane;
	struct arena *arena;
	struct container container;
	struct places at;
	struct str runtime_id, address;
	struct image image;
	struct user user;
	struct ports ports;
	struct keeper_launch launch;
	struct keeper_event answer;
};

struct step {
	bool (*make)(struct start *start, struct error *err);
	void (*undo)(struct start *start);
};

static bool step_image(struct start *start, struct error *err)
{
	return images_find(start->hands->options.images, start->container.acs->image, start->arena,
			   &start->image, err) ||
	       fail_context(err, "CannotCreateContainerError");
}

static bool step_folders(struct start *start, struct error *err)
{
	struct keeper_launch *launch = &start->launch;
	size_t count = start->image.layer_count;

	launch->id = start->runtime_id;
	launch->log = start->container.log_file ? S("file") : S("none");
	launch->input = start->container.config->open_stdin.value ? S("open") : S("closed");
	launch->upper = arena_printf(start->arena, "%.*s/upper", STR(start->at.own));
	launch->work = arena_printf(start->arena, "%.*s/work", STR(start->at.own));
	launch->lowers = arena_array(start->arena, struct str, count + 1);
	for (size_t i = 0; i < count; i++)
		launch->lowers[i] = start->image.layers[count - 1 - i];
	launch->lower_count = count;
	return (make_folder(start->at.rootfs, 0755, err) && make_folder(launch->upper, 0755, err) &&
		make_folder(launch->work, 0711, err)) || fail_context(err, "CannotCreateContainerError");
}

/* What lies in the image where an anonymous volume is mounted first is copied into it, as docker does. */
static bool fill_volume(int root, struct str inside, const char *volume, struct error *err)
{
	auto_arena arena = {0};
	auto_fd from = file_open_inside(root, arena_cstr(&arena, inside), O_RDONLY | O_DIRECTORY);
	auto_fd to = -1;
	struct stat status;

	if (mkdir(volume, 0755) < 0)
		return errno == EEXIST || fail_os(err, errno, "make volume '%s'", volume);
	if (from < 0)
		return true;
	to = open(volume, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (to < 0 || fstat(from, &status) < 0 || fchown(to, status.st_uid, status.st_gid) < 0 ||
	    fchmod(to, status.st_mode & 07777) < 0)
		return fail_os(err, errno, "fill volume '%s'", volume);
	return tree_copy(from, to, err);
}

static bool make_volumes(struct start *start, int root, struct error *err)
{
	const struct acs_container *acs = start->container.acs;

	for (size_t i = 0; i < acs->mount_points.count; i++) {
		const struct acs_mount_point *point = &acs->mount_points.items[i];
		const struct acs_volume *volume =
			container_find_volume(start->container.task, point->source_volume);
		const char *path;

		if (volume->host && !str_empty(volume->host->source_path)) {
			path = arena_cstr(start->arena, volume->host->source_path);
			if (access(path, F_OK) < 0 && !folder_make(path, 0755, err))
				return fail_context(err, "CannotCreateVolumeError");
			continue;
		}
		path = arena_printf(start->arena, "%.*s/%.*s%c", STR(start->at.volumes), STR(volume->name),
				    '\0').ptr;
		if (!fill_volume(root, point->container_path, path, err))
			return fail_context(err, "CannotCreateVolumeError");
	}
	return true;
}

static bool prepare_root(struct start *start, int root, struct error *err)
{
	const struct oci_image_config *image = start->image.config ? start->image.config->config : NULL;
	struct str folder = bundle_folder(&start->container, image, start->arena);
	auto_fd made = -1;

	if (!user_find(root, bundle_user(&start->container, image), start->arena, &start->user, err))
		return fail_context(err, "CannotStartContainerError");
	if (!folder_make_inside(root, folder, 0755, &made, err))
		return fail_context(err, "CannotStartContainerError: working directory");
	return make_volumes(start, root, err);
}

static int mount_root(struct start *start, const char *rootfs)
{
	const char **lowers = arena_array(start->arena, const char *, start->launch.lower_count + 1);

	for (size_t i = 0; i < start->launch.lower_count; i++)
		lowers[i] = arena_cstr(start->arena, start->launch.lowers[i]);
	if (unshare(CLONE_NEWNS) < 0 || mount(NULL, "/", NULL, MS_REC | MS_SLAVE, NULL) < 0)
		return errno;
	return overlay_mount(arena_cstr(start->arena, start->launch.upper),
			     arena_cstr(start->arena, start->launch.work), lowers, start->launch.lower_count,
			     rootfs);
}

/* Looks into the root file system in a mount namespace of this thread alone, so that no mount can be left
 * behind and none of the host's is copied into other containers' namespaces. */
static bool step_root(struct start *start, struct error *err)
{
	const char *rootfs = arena_cstr(start->arena, start->at.rootfs);
	int failed = mount_root(start, rootfs);
	bool ok = false;

	if (failed) {
		fail_os(err, failed, "CannotStartContainerError: mount the root file system");
	} else {
		auto_fd root = open(rootfs, O_PATH | O_DIRECTORY | O_CLOEXEC);

		ok = root >= 0 ? prepare_root(start, root, err)
			       : fail_os(err, errno, "CannotStartContainerError: open the root file system");
	}
	if (!failed)
		umount2(rootfs, MNT_DETACH);
	if (setns(start->hands->host_mounts_fd, CLONE_NEWNS) < 0)
		abort();                         /* this thread would do everything else in the wrong place */
	return ok;
}

static bool bring_network_up(struct hands *hands, struct error *err)
{
	bool ok = true;

	pthread_mutex_lock(&hands->network_lock);
	if (!hands->network_is_up)
		ok = hands->network_is_up = network_up(hands->options.network, err);
	pthread_mutex_unlock(&hands->network_lock);
	return ok;
}

/* Somebody may have taken the bridge or the table away since: then they are made again, once. */
static bool attach_bridge(struct start *start, struct error *err)
{
	struct hands *hands = start->hands;

	for (int attempt = 0;; attempt++) {
		if (bring_network_up(hands, err) &&
		    network_attach_bridge(hands->options.network, start->at.owner, start->at.netns, start->ports.items,
					  start->ports.count, start->arena, &start->address, err))
			return true;
		if (attempt > 0 || (err->code != ERROR_NOT_FOUND && err->os != ENOENT))
			return false;
		pthread_mutex_lock(&hands->network_lock);
		hands->network_is_up = false;
		pthread_mutex_unlock(&hands->network_lock);
	}
}

static bool step_network(struct start *start, struct error *err)
{
	struct network *network = start->hands->options.network;
	bool ok = true;

	if (!read_ports(start->container.acs, &start->ports, err))
		return false;
	switch (start->container.network) {
	case NETWORK_HOST:
		for (size_t i = 0; i < start->ports.count; i++)
			start->ports.items[i].host_port = start->ports.items[i].container_port;
		break;
	case NETWORK_NONE:
		start->ports.count = 0;
		ok = network_attach_none(network, start->at.netns, err);
		break;
	case NETWORK_BRIDGE:
		ok = attach_bridge(start, err);
		break;
	}
	return ok || fail_context(err, "CannotStartContainerError: network");
}

static void detach(struct hands *hands, const struct places *at)
{
	struct error ignored;

	if (hands->options.network)
		network_detach(hands->options.network, at->owner, at->netns, &ignored);
}

static void undo_network(struct start *start) { detach(start->hands, &start->at); }

static bool write_config(struct start *start, const struct oci_spec *spec, struct error *err)
{
	auto_buffer text = {0};

	json_encode(&shape_oci_spec, spec, &text);
	return file_write(AT_FDCWD, arena_printf(start->arena, "%.*s/config.json%c", STR(start->at.bundle),
						 '\0').ptr, buffer_str(&text), 0600, err);
}

static void list_ports(struct start *start)
{
	struct keeper_launch *launch = &start->launch;

	launch->ports = arena_array(start->arena, struct str, start->ports.count);
	for (size_t i = 0; i < start->ports.count; i++)
		launch->ports[launch->port_count++] = arena_printf(
			start->arena, "%u %u %s", start->ports.items[i].container_port,
			start->ports.items[i].host_port, start->ports.items[i].udp ? "udp" : "tcp");
}

static bool step_bundle(struct start *start, struct error *err)
{
	struct bundle bundle = {
		.container = &start->container,
		.image = start->image.config ? start->image.config->config : NULL,
		.user = &start->user,
		.runtime_id = start->runtime_id,
		.cgroup = start->at.cgroup,
		.netns = start->container.network == NETWORK_HOST ? STR_NONE : start->at.netns,
		.files = start->at.folder,
		.volumes = start->at.volumes,
		.rootfs = start->at.rootfs,
		.syscalls = start->hands->syscalls,
		.runtime_takes_bpf = start->hands->runtime_takes_bpf,
	};
	struct oci_spec *spec;

	list_ports(start);
	if (!bundle_make(&bundle, start->arena, &spec, err))
		return false;
	return (bundle_write_files(&bundle, start->address, err) && write_config(start, spec, err) &&
		keeper_write_launch(start->at.folder, &start->launch, err)) ||
	       fail_context(err, "CannotStartContainerError");
}

static bool step_process(struct start *start, struct error *err)
{
	if (!ensure_keeper(start->hands, start->lane, &start->at, err) ||
	    !lane_start(start->hands, start->lane, start->container.acs->name, &start->answer, err))
		return fail_context(err, "CannotStartContainerError");
	if (start->answer.kind == KEEPER_START_FAILED)
		return fail(err, ERROR_REFUSED, "CannotStartContainerError: %s", start->answer.text);
	return true;
}

static const struct step steps[] = {
	{step_image, NULL},
	{step_folders, NULL},
	{step_root, NULL},
	{step_network, undo_network},
	{step_bundle, NULL},
	{step_process, NULL},
};

static bool run_steps(struct start *start, struct error *err)
{
	for (size_t i = 0; i < COUNT(steps); i++) {
		if (steps[i].make(start, err))
			continue;
		while (i-- > 0)
			if (steps[i].undo)
				steps[i].undo(start);
		return false;
	}
	return true;
}

/* A job that was handed out twice: the container runs already. */
static bool runs_already(struct start *start, struct fact *fact)
{
	struct keeper_launch launch;
	struct keeper_event state;

	if (!lane_connect(start->hands, start->lane, NULL) ||
	    !keeper_read_state(start->at.folder, &state, NULL) || state.kind != KEEPER_IS_RUNNING ||
	    !keeper_read_launch(start->at.folder, start->arena, &launch, NULL))
		return false;
	fact->bindings = read_bindings(&launch, start->arena);
	fact->at = state.started_at;
	return true;
}

static bool start_container(struct start *start, const struct chore *chore, struct fact *fact, struct error *err)
{
	if (!check_names(start->lane->task_id, chore->name, err))
		return fail_context(err, "CannotCreateContainerError");
	if (runs_already(start, fact))
		return true;
	if (!container_decode(chore->task, chore->container, start->arena, &start->container, err) ||
	    !run_steps(start, err))
		return false;
	fact->bindings = read_bindings(&start->launch, start->arena);
	fact->at = start->answer.started_at;
	return true;
}

/* Containers' folders, which are all but hidden ones and the keeper's files. */
static void list_containers(const struct places *at, struct arena *arena, struct str **ret_names, size_t *ret_count)
{
	struct str *names;
	size_t count, kept = 0;

	*ret_count = 0;
	if (!folder_list(AT_FDCWD, arena_cstr(arena, at->run), TASKS_LIMIT, arena, &names, &count, NULL))
		return;
	for (size_t i = 0; i < count; i++)
		if (name_is_good(names[i]))
			names[kept++] = names[i];
	*ret_names = names;
	*ret_count = kept;
}

/* A keeper that keeps nothing is let go: finished tasks stay for hours and are many, which must cost neither
 * a process nor a descriptor each. What it knew lies in the state files; the next start makes another. */
static void let_go(struct hands *hands, struct lane *lane, struct arena *arena)
{
	struct places at = places_of(hands, lane->task_id, S("x"), arena);
	struct keeper_event state;
	struct str *names;
	size_t count;

	list_containers(&at, arena, &names, &count);
	for (size_t i = 0; i < count; i++) {
		at = places_of(hands, lane->task_id, names[i], arena);
		if (keeper_read_state(at.folder, &state, NULL) && state.kind == KEEPER_IS_RUNNING)
			return;
	}
	lane_quit(hands, lane);
}

static void do_start(struct hands *hands, struct lane *lane, struct chore *chore)
{
	struct start start = {.hands = hands, .lane = lane, .arena = &chore->arena};
	struct fact fact = fact_of(FACT_START, lane->task_id, chore->name);
	struct error err = {0};
	bool ok;

	start.at = places_of(hands, lane->task_id, chore->name, &chore->arena);
	start.runtime_id = fact.runtime_id = runtime_id_of(start.at.owner, &chore->arena);
	ok = start_container(&start, chore, &fact, &err);
	tell_result(hands, &fact, ok, &err);
	if (!ok)
		let_go(hands, lane, &chore->arena);
}

/* ---- JOB_SIGNAL ---- */

static void do_signal(struct hands *hands, struct lane *lane, struct chore *chore)
{
	struct fact fact = fact_of(FACT_SIGNAL, lane->task_id, chore->name);
	struct error err = {0};
	bool ok = (lane_connect(hands, lane, &err) &&
		   lane_send(hands, lane, KEEPER_SIGNAL, chore->name, chore->signal, &err)) ||
		  fail_context(&err, "CannotStopContainerError");

	tell_result(hands, &fact, ok, &err);
}

/* ---- JOB_PROBE ---- */

static void do_probe(struct hands *hands, struct lane *lane, struct chore *chore)
{
	struct fact fact = fact_of(FACT_PROBE, lane->task_id, chore->name);
	struct error err = {0};

	fail(&err, ERROR_UNSUPPORTED_FEATURE, "this agent does not run health checks");
	tell_result(hands, &fact, false, &err);
}

/* ---- JOB_DESTROY ---- */

static void forget_container(struct hands *hands, struct str task_id, struct str name)
{
	auto_arena arena = {0};
	struct places at = places_of(hands, task_id, name, &arena);
	struct error ignored;

	detach(hands, &at);
	images_release(hands->options.images, at.owner, &ignored);
}

static void kill_containers(struct hands *hands, struct lane *lane, const struct str *names, size_t count)
{
	if (!lane_connect(hands, lane, NULL))
		return;
	for (size_t i = 0; i < count; i++)
		lane_send(hands, lane, KEEPER_SIGNAL, names[i], SIGKILL, NULL);
	lane_quit(hands, lane);
}

static usec modified_at(int folder, struct str name, struct arena *arena)
{
	struct stat status;

	if (fstatat(folder, arena_cstr(arena, name), &status, AT_SYMLINK_NOFOLLOW) < 0)
		return 0;
	return status.st_mtim.tv_sec * USEC_PER_SEC + status.st_mtim.tv_nsec / 1000;
}

/* Logs outlive their task for those who ask what happened, but not without bound. */
static void prune_logs(struct hands *hands)
{
	auto_arena arena = {0};
	const char *path = arena_printf(&arena, "%.*s/logs%c", STR(hands->options.data), '\0').ptr;
	auto_fd folder = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	struct str *names;
	size_t count;

	if (folder < 0 || !folder_list(folder, ".", TASKS_LIMIT, &arena, &names, &count, NULL))
		return;
	while (count > LOG_FOLDERS_KEPT) {
		size_t oldest = 0;

		for (size_t i = 1; i < count; i++)
			if (modified_at(folder, names[i], &arena) < modified_at(folder, names[oldest], &arena))
				oldest = i;
		tree_remove(folder, arena_cstr(&arena, names[oldest]), NULL);
		names[oldest] = names[--count];
	}
}

static bool remove_folder(struct str path, struct error *err)
{
	auto_arena arena = {0};

	return tree_remove(AT_FDCWD, arena_cstr(&arena, path), err);
}

bool chore_destroy_task(struct hands *hands, struct lane *lane, struct str task_id, const struct acs_task *task,
		       struct error *err)
{
	auto_arena arena = {0};
	struct places at = places_of(hands, task_id, S("x"), &arena);
	struct str *names;
	size_t count;
	bool ok;

	if (!check_names(task_id, S("x"), err))
		return false;
	list_containers(&at, &arena, &names, &count);
	kill_containers(hands, lane, names, count);
	ok = cgroup_kill(task_id, err);
	for (size_t i = 0; i < count; i++)
		forget_container(hands, task_id, names[i]);
	for (size_t i = 0; task && i < task->containers.count; i++)
		if (name_is_good(task->containers.items[i].name))
			forget_container(hands, task_id, task->containers.items[i].name);
	ok = cgroup_remove(task_id, ok ? err : NULL) && ok;
	ok = remove_folder(at.run, ok ? err : NULL) && ok;
	ok = remove_folder(at.data, ok ? err : NULL) && ok;
	prune_logs(hands);
	return ok;
}

static void tell_exit(struct hands *hands, struct str task_id, const struct keeper_event *event)
{
	struct fact fact = fact_of(FACT_EXIT, task_id, str_of(event->container));

	fact.ok = true;
	fact.exit_code = event->exit_code;
	fact.out_of_memory = event->out_of_memory;
	fact.at = event->finished_at;
	hands_tell(hands, &fact);
}

static void do_destroy(struct hands *hands, struct lane *lane, struct chore *chore)
{
	struct fact fact = fact_of(FACT_DESTROY, lane->task_id, STR_NONE);
	struct error err = {0};
	bool ok = chore_destroy_task(hands, lane, lane->task_id, chore->task, &err);
	struct chore *ended;

	/* Exits that destroying brought about are told before its end. */
	while ((ended = lane_take(hands, lane, WORK_EXITED))) {
		tell_exit(hands, lane->task_id, &ended->event);
		chore_free(ended);
	}
	while ((ended = lane_take(hands, lane, WORK_LOST)))
		chore_free(ended);
	tell_result(hands, &fact, ok, &err);
}

/* ---- What keepers report by themselves ---- */

/* Ports are free again before the brain hears of the end: a successor may want the same. */
static void do_exited(struct hands *hands, struct lane *lane, struct chore *chore)
{
	struct places at = places_of(hands, lane->task_id, chore->name, &chore->arena);

	detach(hands, &at);
	tell_exit(hands, lane->task_id, &chore->event);
	let_go(hands, lane, &chore->arena);
}

static void tell_found(struct hands *hands, struct str task_id, const struct keeper_event *event,
		       struct arena *arena)
{
	struct str name = str_of(event->container);
	struct places at = places_of(hands, task_id, name, arena);
	struct fact fact = fact_of(FACT_FOUND, task_id, name);
	struct keeper_launch launch;

	fact.ok = true;
	fact.running = event->kind == KEEPER_IS_RUNNING || event->kind == KEEPER_STARTED;
	fact.runtime_id = runtime_id_of(at.owner, arena);
	fact.exit_code = event->exit_code;
	fact.out_of_memory = event->out_of_memory;
	fact.at = fact.running ? event->started_at : event->finished_at;
	if (keeper_read_launch(at.folder, arena, &launch, NULL))
		fact.bindings = read_bindings(&launch, arena);
	if (!fact.running)
		detach(hands, &at);
	hands_tell(hands, &fact);
}

static const struct str vanished = STR_INIT("ContainerVanishedError: No container matching saved ID found");

static void tell_vanished(struct hands *hands, enum fact_kind kind, struct str task_id, struct str name,
			  struct arena *arena)
{
	struct places at = places_of(hands, task_id, name, arena);
	struct fact fact = fact_of(kind, task_id, name);

	detach(hands, &at);
	fact.reason = vanished;
	fact.runtime_id = runtime_id_of(at.owner, arena);
	hands_tell(hands, &fact);
}

/* The keeper is gone: without it nobody will know how its containers end, so they end now. `told`: the
 * brain has heard of those that exited before. */
static void mourn(struct hands *hands, struct str task_id, bool told, struct arena *arena)
{
	struct places at = places_of(hands, task_id, S("x"), arena);
	struct error ignored;
	struct str *names;
	size_t count;

	cgroup_kill(task_id, &ignored);
	list_containers(&at, arena, &names, &count);
	for (size_t i = 0; i < count; i++) {
		struct keeper_event state;

		at = places_of(hands, task_id, names[i], arena);
		if (!keeper_read_state(at.folder, &state, NULL))
			continue;
		if (state.kind == KEEPER_IS_RUNNING)
			tell_vanished(hands, told ? FACT_EXIT : FACT_FOUND, task_id, names[i], arena);
		else if (!told)
			tell_found(hands, task_id, &state, arena);
	}
}

/* The state files of the dead are not to be believed a second time. */
static void mark_ended(struct hands *hands, struct str task_id, struct arena *arena)
{
	struct places at = places_of(hands, task_id, S("x"), arena);
	struct str *names;
	size_t count;

	list_containers(&at, arena, &names, &count);
	for (size_t i = 0; i < count; i++) {
		struct keeper_event state;

		at = places_of(hands, task_id, names[i], arena);
		if (keeper_read_state(at.folder, &state, NULL) && state.kind == KEEPER_IS_RUNNING)
			unlink(arena_printf(arena, "%.*s/state%c", STR(at.folder), '\0').ptr);
	}
}

static void do_lost(struct hands *hands, struct lane *lane, struct chore *chore)
{
	if (lane_connect(hands, lane, NULL)) {
		lane_send(hands, lane, KEEPER_LIST, STR_NONE, 0, NULL);
		return;
	}
	mourn(hands, lane->task_id, true, &chore->arena);
	mark_ended(hands, lane->task_id, &chore->arena);
}

static void do_started(struct hands *hands, struct lane *lane, struct chore *chore)
{
	tell_found(hands, lane->task_id, &chore->event, &chore->arena);
}

/* ---- Reconciling ---- */

/* False when the line broke. A keeper that is only slow is not gone: its answers come to its lane later. */
static bool ask_keeper(struct hands *hands, struct str task_id, int fd, struct arena *arena)
{
	struct keeper_event event;
	struct error err = {0};

	if (!keeper_send(fd, KEEPER_LIST, STR_NONE, 0, NULL))
		return false;
	while (keeper_receive(fd, LIST_PATIENCE, &event, &err)) {
		if (event.kind == KEEPER_LISTED)
			return true;
		if (event.kind == KEEPER_EXITED)
			tell_exit(hands, task_id, &event);
		else if (event.kind == KEEPER_IS_RUNNING || event.kind == KEEPER_HAS_EXITED ||
			 event.kind == KEEPER_STARTED)
			tell_found(hands, task_id, &event, arena);
	}
	return err.code == ERROR_REFUSED;
}

static void reconcile_task(struct hands *hands, struct str task_id)
{
	auto_arena arena = {0};
	struct places at = places_of(hands, task_id, S("x"), &arena);
	auto_fd fd = -1;

	if (keeper_connect(at.run, &fd, NULL) && ask_keeper(hands, task_id, fd, &arena)) {
		lane_adopt(hands, task_id, take_fd(&fd));
		return;
	}
	mourn(hands, task_id, false, &arena);
	mark_ended(hands, task_id, &arena);
}

static void do_reconcile(struct hands *hands, struct lane *lane, struct chore *chore)
{
	const char *path = arena_printf(&chore->arena, "%.*s/tasks%c", STR(hands->options.run), '\0').ptr;
	struct fact fact = fact_of(FACT_RECONCILED, STR_NONE, STR_NONE);
	struct error err = {0};
	struct str *names;
	size_t count;
	bool ok = folder_list(AT_FDCWD, path, TASKS_LIMIT, &chore->arena, &names, &count, &err);

	for (size_t i = 0; ok && i < count; i++)
		if (name_is_good(names[i]))
			reconcile_task(hands, names[i]);
	tell_result(hands, &fact, ok, &err);
}

/* ---- Sweeping ---- */

static bool sweep_tasks(struct hands *hands, const struct str *names, size_t count, struct error *err)
{
	bool ok = true;

	for (size_t i = 0; i < count; i++) {
		struct lane *lane;

		if (!name_is_good(names[i]))
			continue;
		lane = lane_hold(hands, names[i]);
		ok = chore_destroy_task(hands, lane, names[i], NULL, ok ? err : NULL) && ok;
		lane_release(hands, lane);
	}
	return ok;
}

static bool sweep_folder(struct hands *hands, struct str parent, struct error *err)
{
	auto_arena arena = {0};
	const char *path = arena_printf(&arena, "%.*s/tasks%c", STR(parent), '\0').ptr;
	struct str *names;
	size_t count;

	return folder_list(AT_FDCWD, path, TASKS_LIMIT, &arena, &names, &count, err) &&
	       sweep_tasks(hands, names, count, err);
}

/* A task's folders are made before anything else of it, so they name all that there can be. */
bool hands_sweep(struct hands *hands, struct error *err)
{
	struct error second = {0};
	bool ok = sweep_folder(hands, hands->options.run, err);

	ok = sweep_folder(hands, hands->options.data, ok ? err : &second) && ok;
	cgroup_tidy();
	return ok;
}

static void (*const works[])(struct hands *hands, struct lane *lane, struct chore *chore) = {
	[WORK_PULL] = do_pull,
	[WORK_CREATE] = do_create,
	[WORK_START] = do_start,
	[WORK_SIGNAL] = do_signal,
	[WORK_PROBE] = do_probe,
	[WORK_DESTROY] = do_destroy,
	[WORK_STARTED] = do_started,
	[WORK_EXITED] = do_exited,
	[WORK_LOST] = do_lost,
	[WORK_RECONCILE] = do_reconcile,
};
static_assert(COUNT(works) == WORK_KIND_COUNT, "a row for every kind of work");

void chore_do(struct hands *hands, struct lane *lane, struct chore *chore)
{
	works[chore->kind](hands, lane, chore);
}
