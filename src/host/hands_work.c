#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include "host/bundle.h"
#include "host/cgroup.h"
#include "host/gpu.h"
#include "host/hands_private.h"
#include "host/idmap.h"
#include "host/image.h"
#include "host/link.h"
#include "host/log_reader.h"
#include "host/network.h"
#include "host/space.h"
#include "host/volume.h"
#include "os/clock.h"
#include "os/fd.h"
#include "os/file.h"
#include "os/netns.h"
#include "os/overlay.h"
#include "wire/json.h"

enum {
	TASKS_LIMIT = 100000,
	LOG_FOLDERS_KEPT = 200,                          /* of destroyed tasks; the oldest go */
	LOG_FOLDERS_SLACK = 50,
	LOG_FOLDER_FILES_LIMIT = 100000,                 /* of one task */
	ID_DIGITS = 64,
	BINDS_LIMIT = CONTAINER_MOUNTS_LIMIT + 8,
};

#define LIST_PATIENCE (5 * USEC_PER_SEC)

/* ---- Names ---- */

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

bool places_check(struct str task_id, struct str container, struct error *err)
{
	if (!name_is_good(task_id))
		return fail(err, ERROR_REFUSED, "bad task id '%.*s'", STR(task_id));
	if (!name_is_good(container))
		return fail(err, ERROR_REFUSED, "bad container name '%.*s'", STR(container));
	return true;
}

struct places places_of(const struct hands *hands, struct str task_id, struct str container, struct arena *arena)
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
	at.memory = arena_printf(arena, "%.*s/.shm", STR(at.run));
	at.task_netns = arena_printf(arena, "%.*s/.netns", STR(at.run));
	at.environment = arena_printf(arena, "%.*s/.environment-%.*s", STR(at.run), STR(container));
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

struct str hands_runtime_id(struct str task_id, struct str container, struct arena *arena)
{
	return runtime_id_of(arena_printf(arena, "%.*s/%.*s", STR(task_id), STR(container)), arena);
}

bool places_make(struct str path, mode_t mode, struct error *err)
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

/* Which of the ports came as one range: [first, first + count). */
struct port_range { size_t first, count; };

struct ports {
	struct network_port items[NETWORK_PORTS_LIMIT];
	size_t count;
	struct port_range ranges[NETWORK_PORTS_LIMIT];
	size_t range_count;
};

static bool port_is_good(struct maybe_integer port, int least) { return port.value >= least && port.value <= 65535; }

static bool add_port(struct ports *ports, struct network_port port, struct error *err)
{
	if (ports->count == NETWORK_PORTS_LIMIT)
		return fail(err, ERROR_REFUSED, "CannotCreateContainerError: more than %d port mappings",
			    NETWORK_PORTS_LIMIT);
	ports->items[ports->count++] = port;
	return true;
}

static bool add_range(struct ports *ports, struct str text, bool udp, struct error *err)
{
	struct str rest = text, piece;
	int64_t low = 0, high = 0;
	size_t first = ports->count;

	if (!str_cut(&rest, '-', &piece) || !str_to_long(piece, &low) || !str_to_long(rest, &high) || low < 1 ||
	    high < low || high > 65535)
		return fail(err, ERROR_REFUSED, "UnparsablePort: %.*s", STR(text));
	for (int64_t port = low; port <= high; port++)
		if (!add_port(ports, (struct network_port){.container_port = (uint16_t)port, .udp = udp}, err))
			return false;
	ports->items[first].block = (uint16_t)(high - low + 1);
	ports->ranges[ports->range_count++] = (struct port_range){first, ports->count - first};
	return true;
}

static bool read_ports(const struct acs_container *container, struct ports *ports, struct error *err)
{
	ports->count = ports->range_count = 0;
	for (size_t i = 0; i < container->port_mappings.count; i++) {
		const struct acs_port_mapping *mapping = &container->port_mappings.items[i];
		bool udp = str_equal_ignoring_case(mapping->protocol, S("udp"));

		if (!str_empty(mapping->container_port_range)) {
			if (!add_range(ports, mapping->container_port_range, udp, err))
				return false;
			continue;
		}
		if (!port_is_good(mapping->container_port, 1) || !port_is_good(mapping->host_port, 0))
			return fail(err, ERROR_REFUSED, "UnparsablePort: %d:%d", mapping->host_port.value,
				    mapping->container_port.value);
		if (!add_port(ports, (struct network_port){.container_port = (uint16_t)mapping->container_port.value,
							   .host_port = (uint16_t)mapping->host_port.value, .udp = udp}, err))
			return false;
	}
	return true;
}

/* A container that starts again keeps the host ports that it was given, when they are still free. */
static bool keep_ports(const struct keeper_launch *last, struct ports *ports)
{
	bool kept = false;

	for (size_t i = 0; i < ports->count; i++)
		for (size_t j = 0; j < last->port_count && ports->items[i].host_port == 0; j++) {
			struct str rest = last->ports[j], inside, outside;
			int64_t container_port, host_port;

			if (str_cut(&rest, ' ', &inside) && str_cut(&rest, ' ', &outside) &&
			    str_to_long(inside, &container_port) && str_to_long(outside, &host_port) &&
			    container_port == ports->items[i].container_port &&
			    str_equal(rest, S("udp")) == ports->items[i].udp) {
				ports->items[i].host_port = (uint16_t)host_port;
				kept = true;
			}
		}
	return kept;
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

static struct ecs_network_binding make_range(struct str inside, struct str outside, bool udp)
{
	return (struct ecs_network_binding){
		.bind_ip = S("0.0.0.0"),
		.container_port_range = inside,
		.host_port_range = outside,
		.protocol = udp ? ECS_TRANSPORT_PROTOCOL_UDP : ECS_TRANSPORT_PROTOCOL_TCP,
	};
}

/* From the launch file: "8080 32768 tcp", "8080-8090 32768-32778 tcp". */
static struct ecs_network_bindings read_bindings(const struct keeper_launch *launch, struct arena *arena)
{
	struct ecs_network_bindings bindings = {
		arena_array(arena, struct ecs_network_binding, launch->port_count), 0};

	for (size_t i = 0; i < launch->port_count; i++) {
		struct str rest = launch->ports[i], inside, outside;
		int64_t container_port, host_port;

		if (!str_cut(&rest, ' ', &inside) || !str_cut(&rest, ' ', &outside))
			continue;
		if (str_find(inside, '-') < inside.len)
			bindings.items[bindings.count++] = make_range(inside, outside, str_equal(rest, S("udp")));
		else if (str_to_long(inside, &container_port) && str_to_long(outside, &host_port))
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

	if (!places_check(task_id, container->name, err))
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

static void do_create(struct hands *hands, struct lane *lane, struct chore *chore)
{
	struct fact fact = fact_of(FACT_CREATE, lane->task_id, STR_NONE);
	struct error err = {0};
	bool ok = chore_create_task(hands, lane, chore->task, &chore->arena, &err);

	fact.at = clock_now();
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
	int64_t map_base;                                /* of the task's user namespace; 0: none */
	struct bundle_mount *mounts;
	size_t mount_count;
	size_t volume_groups;                            /* of VOLUME_GROUP_FIRST and on, given to access points */
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

/* The root folder's owner is the upper layer's. */
static bool own_folder(const struct start *start, struct str path, struct error *err)
{
	auto_arena arena = {0};

	if (start->map_base == 0)
		return true;
	return chown(arena_cstr(&arena, path), (uid_t)start->map_base, (gid_t)start->map_base) == 0 ||
	       fail_os(err, errno, "give '%.*s' its owner", STR(path));
}

/* STOPSIGNAL of the task definition, else of the image. */
static struct str stop_signal(const struct start *start)
{
	const struct oci_image_config *image = start->image.config ? start->image.config->config : NULL;
	struct str name = start->container.config->stop_signal;
	int number;

	if (str_empty(name) && image)
		name = image->stop_signal;
	number = bundle_signal(name);
	return number > 0 ? arena_printf(start->arena, "%d", number) : STR_NONE;
}

/* Where the container's mount namespace finds `source`: there, or, when its owners are mapped or nobody but root may pass
 * its parents, where the keeper binds it (keeper.h). `how`: "SAME", "MAP" or a map of its own. */
static struct str bind_source(struct start *start, const char *how, struct str source)
{
	struct keeper_launch *launch = &start->launch;

	launch->stage = start->hands->stage;
	launch->binds[launch->bind_count] = arena_printf(start->arena, "%s %.*s", how, STR(source));
	return arena_printf(start->arena, "%.*s/%zu", STR(launch->stage), launch->bind_count++);
}

static bool step_keeper(struct start *start, struct error *err)
{
	start->map_base = start->container.own_users ? idmap_find(start->hands->options.run, start->lane->task_id) : 0;
	return ensure_keeper(start->hands, start->lane, start->container.task, &start->at, err) ||
	       fail_context(err, "CannotStartContainerError");
}

static bool step_folders(struct start *start, struct error *err)
{
	struct keeper_launch *launch = &start->launch;
	size_t count = start->image.layer_count;

	launch->id = start->runtime_id;
	launch->log = start->container.log.mode;
	launch->input = start->container.config->open_stdin.value ? S("open") : S("closed");
	launch->upper = arena_printf(start->arena, "%.*s/upper", STR(start->at.own));
	launch->work = arena_printf(start->arena, "%.*s/work", STR(start->at.own));
	launch->lowers = arena_array(start->arena, struct str, count + 1);
	for (size_t i = 0; i < count; i++)
		launch->lowers[i] = start->image.layers[count - 1 - i];
	launch->lower_count = count;
	launch->binds = arena_array(start->arena, struct str, BINDS_LIMIT);
	launch->terminal = start->container.config->tty.value ? S("yes") : STR_NONE;
	launch->stop = stop_signal(start);
	return (places_make(start->at.rootfs, 0755, err) && places_make(launch->upper, 0755, err) &&
		places_make(launch->work, 0711, err) && own_folder(start, launch->upper, err)) ||
	       fail_context(err, "CannotCreateContainerError");
}

static bool is_mapped(const struct volume_source *source, size_t index)
{
	int64_t gid = source->secondary_gids.items[index].value;

	for (size_t i = 0; i < index; i++)
		if (source->secondary_gids.items[i].value == gid)
			return true;
	return gid == source->gid;
}

/* The process gets a group that is nothing anywhere else; on the disk it is the access point's. */
static bool map_group(struct start *start, int64_t gid, struct buffer *map, struct error *err)
{
	int64_t group = VOLUME_GROUP_FIRST + (int64_t)start->volume_groups;
	int64_t *groups = arena_array(start->arena, int64_t, start->user.group_count + 1);

	if (group >= VOLUME_GROUP_END)
		return fail(err, ERROR_REFUSED, "the access points of a container have more than %d secondary groups",
			    VOLUME_GROUP_END - VOLUME_GROUP_FIRST);
	start->volume_groups++;
	memcpy(groups, start->user.groups, start->user.group_count * sizeof(*groups));
	groups[start->user.group_count++] = group;
	start->user.groups = groups;
	buffer_printf(map, ",%lld:%lld:1", (long long)gid, (long long)start->map_base + (long long)group);
	return true;
}

/* The access point's user on the disk is the container's own in it, and nobody else's. */
static bool identity_map(struct start *start, const struct volume_source *source, struct buffer *map, struct error *err)
{
	if (source->secondary_gids.count > VOLUME_SECONDARY_GIDS_LIMIT)
		return fail(err, ERROR_REFUSED, "an access point has more than %d secondary groups", VOLUME_SECONDARY_GIDS_LIMIT);
	buffer_printf(map, "%lld:%lld:1;%lld:%lld:1", (long long)source->uid, (long long)start->map_base + (long long)start->user.uid,
		      (long long)source->gid, (long long)start->map_base + (long long)start->user.gid);
	for (size_t i = 0; i < source->secondary_gids.count; i++)
		if (!is_mapped(source, i) && !map_group(start, source->secondary_gids.items[i].value, map, err))
			return false;
	return true;
}

static bool mount_source(struct start *start, const struct volume_source *source, struct str *ret_path, struct error *err)
{
	auto_buffer map = {0};

	if (source->has_identity) {
		if (!identity_map(start, source, &map, err))
			return false;
		*ret_path = bind_source(start, arena_cstr(start->arena, buffer_str(&map)), source->path);
	} else if (source->kind == VOLUME_EFS) {
		*ret_path = bind_source(start, start->map_base > 0 ? "MAP" : "SAME", source->path);
	} else {
		*ret_path = start->map_base > 0 ? bind_source(start, "SAME", source->path) : source->path;
	}
	return true;
}

/* What driverOpts mounted so stays so: the runtime's own mount of it would be writable. */
static bool is_read_only(const struct start *start, struct str path)
{
	struct statvfs status;

	return statvfs(arena_cstr(start->arena, path), &status) == 0 && (status.f_flag & ST_RDONLY);
}

static bool make_volume(struct start *start, int root, const struct container_mount *mount, struct error *err)
{
	const struct volumes volumes = {start->hands->options.data, start->lane->task_id, start->container.task,
					start->map_base};
	const struct acs_volume *volume = container_find_volume(start->container.task, mount->volume);
	struct volume_source source;
	struct str path;

	if (!volume_find(&volumes, volume, start->arena, &source, err) || !mount_source(start, &source, &path, err))
		return false;
	if (source.kind == VOLUME_OWN) {
		auto_fd from = file_open_inside(root, arena_cstr(start->arena, mount->path), O_RDONLY | O_DIRECTORY);

		if (!volume_fill(from, source.path, start->map_base, err))
			return fail_context(err, "CannotCreateVolumeError");
	}
	start->mounts[start->mount_count++] = (struct bundle_mount){
		.path = mount->path, .source = path,
		.read_only = mount->read_only || is_read_only(start, source.path)};
	return true;
}

static bool make_volumes(struct start *start, int root, struct error *err)
{
	struct container_mount *mounts;
	size_t count;

	if (!container_mounts(start->container.task, start->container.acs, start->arena, &mounts, &count, err))
		return false;
	start->mounts = arena_array(start->arena, struct bundle_mount, count);
	for (size_t i = 0; i < count; i++)
		if (!make_volume(start, root, &mounts[i], err))
			return false;
	return true;
}

/* What root of this machine made in a mapped root file system belongs to the container's root. */
static bool own_path(const struct start *start, int root, struct str path, struct error *err)
{
	auto_arena arena = {0};

	for (size_t i = 1; start->map_base > 0 && i <= path.len; i++) {
		auto_fd folder = -1;
		struct stat status;
		char link[64];

		if (i < path.len && path.ptr[i] != '/')
			continue;
		folder = file_open_inside(root, arena_cstr(&arena, str_slice(path, 0, i)), O_PATH | O_DIRECTORY);
		snprintf(link, sizeof(link), "/proc/self/fd/%d", folder);
		if (folder < 0 || fstat(folder, &status) < 0 ||
		    (status.st_uid == 0 && chown(link, (uid_t)start->map_base, (gid_t)start->map_base) < 0))
			return fail_os(err, errno, "give '%.*s' its owner", STR(path));
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
	if (!folder_make_inside(root, folder, 0755, &made, err) || !own_path(start, root, folder, err))
		return fail_context(err, "CannotStartContainerError: working directory");
	return make_volumes(start, root, err);
}

static int mount_root(struct start *start, const char *rootfs)
{
	auto_fd userns = start->map_base > 0 ? open(arena_printf(start->arena, "%.*s/.user%c", STR(start->at.run),
								 '\0').ptr, O_RDONLY | O_CLOEXEC) : -1;
	const char **lowers = arena_array(start->arena, const char *, start->launch.lower_count + 1);

	for (size_t i = 0; i < start->launch.lower_count; i++)
		lowers[i] = arena_cstr(start->arena, start->launch.lowers[i]);
	if (start->map_base > 0 && userns < 0)
		return errno;
	if (unshare(CLONE_NEWNS) < 0 || mount(NULL, "/", NULL, MS_REC | MS_SLAVE, NULL) < 0)
		return errno;
	return overlay_mount(arena_cstr(start->arena, start->launch.upper),
			     arena_cstr(start->arena, start->launch.work), lowers, start->launch.lower_count,
			     rootfs, userns);
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

/* First with the ports of the last run. */
static bool attach_again(struct start *start, struct error *err)
{
	struct ports asked = start->ports;
	struct keeper_launch last;
	struct error refused = {0};

	if (keeper_read_launch(start->at.folder, start->arena, &last, NULL) && keep_ports(&last, &start->ports)) {
		if (attach_bridge(start, &refused))
			return true;
		start->ports = asked;
	}
	return attach_bridge(start, err);
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
		ok = attach_again(start, err);
		break;
	case NETWORK_TASK:                       /* attached with the task; its ports are its interface's */
		start->ports.count = start->ports.range_count = 0;
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

static const struct port_range *range_at(const struct ports *ports, size_t index)
{
	for (size_t i = 0; i < ports->range_count; i++)
		if (ports->ranges[i].first == index)
			return &ports->ranges[i];
	return NULL;
}

static void list_ports(struct start *start)
{
	struct keeper_launch *launch = &start->launch;
	const struct ports *ports = &start->ports;

	launch->ports = arena_array(start->arena, struct str, ports->count);
	for (size_t i = 0; i < ports->count; i++) {
		const struct port_range *range = range_at(ports, i);
		const struct network_port *first = &ports->items[i];
		const struct network_port *last = range ? &ports->items[i + range->count - 1] : first;
		const char *protocol = first->udp ? "udp" : "tcp";

		launch->ports[launch->port_count++] = range
			? arena_printf(start->arena, "%u-%u %u-%u %s", first->container_port, last->container_port,
				       first->host_port, last->host_port, protocol)
			: arena_printf(start->arena, "%u %u %s", first->container_port, first->host_port, protocol);
		i += range ? range->count - 1 : 0;
	}
}

static struct oci_strings lines_of(struct str text, struct arena *arena)
{
	struct oci_strings lines = {NULL, 0};
	size_t count = 1;
	struct str line;

	for (size_t i = 0; i < text.len; i++)
		count += text.ptr[i] == '\n';
	lines.items = arena_array(arena, struct str, count);
	while (str_cut(&text, '\n', &line))
		if (line.len > 0)
			lines.items[lines.count++] = line;
	return lines;
}

/* Whoever serves the container in its network is there before its process, and has its word in the environment. */
static bool introduce(struct start *start, struct bundle *bundle, struct error *err)
{
	const struct hands_options *options = &start->hands->options;
	const struct hands_guest guest = {.task_id = start->lane->task_id, .task = start->container.task,
					  .container = start->container.acs, .netns = bundle->netns};

	return !options->introduce || options->introduce(options->introduce_arg, &guest, start->arena,
							 &bundle->environment, &bundle->fallbacks, err);
}

/* Addresses of those that it links to, which have started. */
static bool add_links(struct start *start, struct bundle *bundle, struct error *err)
{
	const struct acs_strings *links = &start->container.acs->links;
	auto_buffer hosts = {0}, variables = {0};

	for (size_t i = 0; i < links->count; i++) {
		struct str alias, name = links->items[i];
		const struct acs_container *target = link_parse(start->container.task, name, &alias);
		struct keeper_launch launch;
		struct places at;

		if (!target)
			return fail(err, ERROR_REFUSED, "CannotCreateContainerError: could not get container for %.*s", STR(name));
		at = places_of(start->hands, start->lane->task_id, target->name, start->arena);
		if (!keeper_read_launch(at.folder, start->arena, &launch, NULL) || str_empty(launch.address))
			return fail(err, ERROR_REFUSED, "CannotStartContainerError: cannot link to a non running container: "
				    "%.*s", STR(name));
		link_describe(start->container.acs, target, alias, launch.address, &hosts, &variables);
	}
	bundle->extra_hosts = arena_copy(start->arena, buffer_str(&hosts));
	bundle->links_environment = lines_of(arena_copy(start->arena, buffer_str(&variables)), start->arena);
	return true;
}

/* Devices of the GPUs that were placed with the container, and the variable that their runtime reads. */
static bool add_gpus(struct start *start, struct bundle *bundle, struct error *err)
{
	const struct oci_strings *gpus = &start->container.gpus;
	auto_buffer ids = {0};

	if (gpus->count == 0)
		return true;
	bundle->devices = arena_array(start->arena, struct str, gpus->count + GPU_DEVICES_LIMIT);
	for (size_t i = 0; i < gpus->count; i++) {
		if (!gpu_find("", gpus->items[i], start->arena, &bundle->devices[bundle->device_count++], err))
			return fail_context(err, "CannotCreateContainerError");
		buffer_printf(&ids, "%s%.*s", i > 0 ? "," : "", STR(gpus->items[i]));
	}
	bundle->device_count += gpu_companions("", start->arena, bundle->devices + bundle->device_count);
	bundle->devices_environment = arena_printf(start->arena, "NVIDIA_VISIBLE_DEVICES=%.*s", STR(buffer_str(&ids)));
	return true;
}

/* Fetched when the task was made. */
static bool add_environment_files(struct start *start, struct bundle *bundle, struct error *err)
{
	struct str text;

	if (start->container.acs->environment_files.count == 0)
		return true;
	if (!file_read(AT_FDCWD, arena_cstr(start->arena, start->at.environment), FILE_READ_LIMIT, start->arena, &text, err))
		return fail_context(err, "CannotCreateContainerError: environment files");
	bundle->files_environment = lines_of(text, start->arena);
	return true;
}

static void share_namespaces(struct start *start, struct bundle *bundle)
{
	struct arena *arena = start->arena;
	struct str run = start->at.run;

	if (start->map_base > 0)
		bundle->user_namespace = arena_printf(arena, "%.*s/.user", STR(run));
	if (start->container.shares_pid)
		bundle->pid_namespace = arena_printf(arena, "%.*s/.pid", STR(run));
	if (start->container.shares_ipc) {
		bundle->ipc_namespace = arena_printf(arena, "%.*s/.ipc", STR(run));
		bundle->memory_files = start->at.memory;
	}
}

/* What the keeper has to bind for the container to reach it. */
static void stage_files(struct start *start, struct bundle *bundle)
{
	bundle->init = start->container.host->init.value ? start->hands->options.keeper : STR_NONE;
	if (start->map_base == 0)
		return;
	for (size_t i = 0; i < BUNDLE_FILES; i++)
		bundle->mounted[i] = bind_source(start, "SAME", arena_printf(start->arena, "%.*s/%s", STR(bundle->files),
									     bundle_file(i)));
	if (str_has(bundle->init))
		bundle->init = bind_source(start, "SAME", bundle->init);
}

/* In a user namespace nobody may, for the network namespace is not of it. */
static bool set_sysctls(struct start *start, struct str netns, struct error *err)
{
	const struct docker_string_map *asked = &start->container.host->sysctls;
	auto_fd fd = -1;
	bool ok = true;
	int back;

	if (start->map_base == 0 || asked->count == 0 || !str_has(netns))
		return true;
	fd = open(arena_cstr(start->arena, netns), O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return fail_os(err, errno, "open the task's network namespace");
	if (!netns_enter(fd, &back, err))
		return false;
	for (size_t i = 0; ok && i < asked->count; i++)
		if (str_starts(asked->items[i].key, S("net.")))
			ok = file_put(AT_FDCWD, bundle_sysctl_path(asked->items[i].key, start->arena), asked->items[i].value, err);
	netns_leave(back);
	return ok;
}

static bool write_probe(struct start *start, const struct oci_spec *spec, struct error *err)
{
	struct oci_process *probe = bundle_probe(&start->container, spec->process, start->arena);
	auto_buffer text = {0};

	if (!probe)
		return true;
	json_encode(&shape_oci_process, probe, &text);
	return file_write(AT_FDCWD, arena_printf(start->arena, "%.*s/probe.json%c", STR(start->at.folder), '\0').ptr,
			  buffer_str(&text), 0600, err);
}

static bool own_files(struct start *start, const struct bundle *bundle, struct error *err)
{
	for (size_t i = 0; i < BUNDLE_FILES; i++)
		if (!own_folder(start, arena_printf(start->arena, "%.*s/%s", STR(bundle->files), bundle_file(i)), err))
			return false;
	return true;
}

static struct str netns_of(const struct start *start)
{
	switch (start->container.network) {
	case NETWORK_HOST: return STR_NONE;
	case NETWORK_TASK: return start->at.task_netns;
	case NETWORK_NONE:
	case NETWORK_BRIDGE: break;
	}
	return start->at.netns;
}

static struct bundle describe_bundle(struct start *start)
{
	const struct acs_task *task = start->container.task;
	struct hands *hands = start->hands;
	bool own_interface = start->container.network == NETWORK_TASK && task->elastic_network_interfaces.count > 0;

	return (struct bundle){
		.container = &start->container,
		.image = start->image.config ? start->image.config->config : NULL,
		.user = &start->user,
		.runtime_id = start->runtime_id,
		.cgroup = start->at.cgroup,
		.netns = netns_of(start),
		.files = start->at.folder,
		.rootfs = start->at.rootfs,
		.mounts = start->mounts,
		.mount_count = start->mount_count,
		.map_base = start->map_base,
		.interface = own_interface ? &task->elastic_network_interfaces.items[0] : NULL,
		.syscalls = hands->syscalls,
		.runtime_takes_bpf = start->container.own_users ? hands->fargate_runtime_takes_bpf : hands->runtime_takes_bpf,
	};
}

static struct str interface_address(const struct acs_elastic_network_interface *interface)
{
	for (size_t i = 0; interface && i < interface->ipv4_addresses.count; i++)
		if (interface->ipv4_addresses.items[i].primary.value || interface->ipv4_addresses.count == 1)
			return interface->ipv4_addresses.items[i].private_address;
	return STR_NONE;
}

static bool step_bundle(struct start *start, struct error *err)
{
	struct bundle bundle = describe_bundle(start);
	struct oci_spec *spec;

	list_ports(start);
	start->launch.address = start->address;
	if (bundle.interface)
		start->address = interface_address(bundle.interface);
	share_namespaces(start, &bundle);
	stage_files(start, &bundle);
	if (str_has(start->launch.stage))
		bundle.rootfs = arena_printf(start->arena, "%.*s/rootfs", STR(start->launch.stage));
	if (!add_links(start, &bundle, err) || !add_gpus(start, &bundle, err) ||
	    !add_environment_files(start, &bundle, err))
		return false;
	if (!introduce(start, &bundle, err))
		return fail_context(err, "CannotStartContainerError: task endpoint");
	if (!bundle_make(&bundle, start->arena, &spec, err))
		return false;
	return (bundle_write_files(&bundle, start->address, err) && own_files(start, &bundle, err) &&
		write_config(start, spec, err) && write_probe(start, spec, err) &&
		set_sysctls(start, bundle.netns, err) &&
		keeper_write_launch(start->at.folder, &start->launch, err)) ||
	       fail_context(err, "CannotStartContainerError");
}

static bool step_process(struct start *start, struct error *err)
{
	if (!lane_start(start->hands, start->lane, start->container.acs->name, &start->answer, err))
		return fail_context(err, "CannotStartContainerError");
	if (start->answer.kind == KEEPER_START_FAILED)
		return fail(err, ERROR_REFUSED, "CannotStartContainerError: %s", start->answer.text);
	return true;
}

/* awslogs: the stream is there before the container, as docker has it. Named after the container when nobody said how. */
static bool step_log(struct start *start, struct error *err)
{
	const struct hands_options *options = &start->hands->options;
	struct agent_log_target target;

	if (start->container.log.driver != LOG_AWSLOGS)
		return true;
	if (!options->open_log)
		return fail(err, ERROR_REFUSED, "CannotCreateContainerError: logger: no log driver named 'awslogs' is registered");
	target = *start->container.log.target;
	if (str_empty(target.stream))
		target.stream = start->runtime_id;
	return options->open_log(options->open_log_arg, start->lane->task_id, start->container.acs->name, &target, err);
}

static const struct step steps[] = {
	{step_keeper, NULL},
	{step_image, NULL},
	{step_folders, NULL},
	{step_root, NULL},
	{step_network, undo_network},
	{step_log, NULL},
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
	if (!places_check(start->lane->task_id, chore->name, err))
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

/* To be asked to end means what the image says. */
static int stop_signal_of(struct hands *hands, struct lane *lane, struct chore *chore)
{
	struct places at = places_of(hands, lane->task_id, chore->name, &chore->arena);
	struct keeper_launch launch;
	int64_t number;

	if (keeper_read_launch(at.folder, &chore->arena, &launch, NULL) && str_to_long(launch.stop, &number))
		return (int)number;
	return SIGTERM;
}

static void do_signal(struct hands *hands, struct lane *lane, struct chore *chore)
{
	struct fact fact = fact_of(FACT_SIGNAL, lane->task_id, chore->name);
	struct error err = {0};
	int number = chore->signal == SIGTERM ? stop_signal_of(hands, lane, chore) : chore->signal;
	bool ok = (lane_connect(hands, lane, &err) &&
		   lane_send(hands, lane, KEEPER_SIGNAL, chore->name, number, &err)) ||
		  fail_context(&err, "CannotStopContainerError");

	tell_result(hands, &fact, ok, &err);
}

/* ---- JOB_DESTROY ---- */

static void forget_container(struct hands *hands, struct str task_id, struct str name)
{
	auto_arena arena = {0};
	struct places at = places_of(hands, task_id, name, &arena);
	struct error ignored;

	detach(hands, &at);
	images_release(hands->options.images, at.owner, &ignored);
	log_progress_close(arena_printf(&arena, "%.*s/%.*s.progress%c", STR(at.logs), STR(name), '\0').ptr);
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

/* The task is still there, or lines of it are still to be shipped. */
static bool logs_are_needed(const struct hands *hands, int folder, struct str task_id, struct arena *arena)
{
	struct places at = places_of(hands, task_id, S("x"), arena);
	struct str *files;
	size_t count;

	if (faccessat(AT_FDCWD, arena_cstr(arena, at.run), F_OK, 0) == 0)
		return true;
	if (!folder_list(folder, arena_cstr(arena, task_id), LOG_FOLDER_FILES_LIMIT, arena, &files, &count, NULL))
		return false;
	for (size_t i = 0; i < count; i++)
		if (str_ends(files[i], S(".ship")))
			return true;
	return false;
}

struct old_log { usec at; struct str task_id; };

static int compare_ages(const void *a, const void *b)
{
	usec left = ((const struct old_log *)a)->at, right = ((const struct old_log *)b)->at;

	return left < right ? -1 : left > right;
}

/* Logs outlive their task for those who ask what happened, but not without bound. Looked at once a few dozen tasks. */
static void prune_logs(struct hands *hands)
{
	auto_arena arena = {0};
	const char *path = arena_printf(&arena, "%.*s/logs%c", STR(hands->options.data), '\0').ptr;
	auto_fd folder = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	struct old_log *old;
	struct str *names;
	size_t count, old_count = 0;

	if (folder < 0 || !folder_list(folder, ".", TASKS_LIMIT, &arena, &names, &count, NULL) ||
	    count <= LOG_FOLDERS_KEPT + LOG_FOLDERS_SLACK)
		return;
	old = arena_array(&arena, struct old_log, count);
	for (size_t i = 0; i < count; i++)
		if (!logs_are_needed(hands, folder, names[i], &arena))
			old[old_count++] = (struct old_log){modified_at(folder, names[i], &arena), names[i]};
	qsort(old, old_count, sizeof(*old), compare_ages);
	for (size_t i = 0; i + LOG_FOLDERS_KEPT < old_count; i++)
		tree_remove(folder, arena_cstr(&arena, old[i].task_id), NULL);
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

	if (!places_check(task_id, S("x"), err))
		return false;
	list_containers(&at, &arena, &names, &count);
	kill_containers(hands, lane, names, count);
	ok = cgroup_kill(task_id, err);
	for (size_t i = 0; i < count; i++)
		forget_container(hands, task_id, names[i]);
	for (size_t i = 0; task && i < task->containers.count; i++)
		if (name_is_good(task->containers.items[i].name))
			forget_container(hands, task_id, task->containers.items[i].name);
	ok = chore_release_network(hands, task_id, ok ? err : NULL) && ok;
	ok = volumes_release(hands->options.data, task_id, ok ? err : NULL) && ok;
	ok = chore_release_memory(&at, ok ? err : NULL) && ok;
	ok = space_remove(at.data, ok ? err : NULL) && ok;
	idmap_release(hands->options.run, task_id);
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
	fact.started_at = event->started_at;
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

/* ---- JOB_RELEASE ---- */

static void do_release(struct hands *hands, struct lane *lane, struct chore *chore)
{
	struct fact fact = fact_of(FACT_RELEASE, lane->task_id, STR_NONE);
	struct error err = {0};
	bool ok = chore_release_network(hands, lane->task_id, &err);

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
	fact.started_at = event->started_at;
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
	[WORK_DESTROY] = do_destroy,
	[WORK_RELEASE] = do_release,
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
