#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include "host/bundle.h"
#include "host/gpu.h"
#include "host/hands_private.h"
#include "host/idmap.h"
#include "host/image.h"
#include "host/link.h"
#include "host/network.h"
#include "host/volume.h"
#include "os/fd.h"
#include "os/file.h"
#include "os/netns.h"
#include "os/overlay.h"
#include "wire/json.h"

enum { BINDS_LIMIT = CONTAINER_MOUNTS_LIMIT + 8 };

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
	struct str upper, work;                          /* of the root file system */
	int root_fd;                                     /* the root file system, mounted nowhere; -1: not yet */
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

	launch->id = start->runtime_id;
	launch->log = start->container.log.mode;
	launch->input = start->container.config->open_stdin.value ? S("open") : S("closed");
	start->upper = arena_printf(start->arena, "%.*s/upper", STR(start->at.own));
	start->work = arena_printf(start->arena, "%.*s/work", STR(start->at.own));
	launch->binds = arena_array(start->arena, struct str, BINDS_LIMIT);
	launch->terminal = start->container.config->tty.value ? S("yes") : STR_NONE;
	launch->stop = stop_signal(start);
	return (places_make(start->at.rootfs, 0755, err) && places_make(start->upper, 0755, err) &&
		places_make(start->work, 0711, err) && own_folder(start, start->upper, err)) ||
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

static bool fail_root(const struct start *start, int failed, struct error *err)
{
	return fail_os(err, failed, "CannotStartContainerError: mount the root file system%s",
		       start->map_base > 0 ? " with mapped owners (needs Linux 5.19)" : "");
}

/* In the mount namespace of this thread alone. */
static bool mount_root(struct start *start, struct error *err)
{
	auto_fd userns = start->map_base > 0 ? open(arena_printf(start->arena, "%.*s/.user%c", STR(start->at.run),
								 '\0').ptr, O_RDONLY | O_CLOEXEC) : -1;
	const char *rootfs = arena_cstr(start->arena, start->at.rootfs);
	size_t count = start->image.layer_count;
	const char **lowers = arena_array(start->arena, const char *, count + 1);
	int failed;

	for (size_t i = 0; i < count; i++)
		lowers[i] = arena_cstr(start->arena, start->image.layers[count - 1 - i]);
	if ((start->map_base > 0 && userns < 0) || mount(NULL, "/", NULL, MS_REC | MS_SLAVE, NULL) < 0)
		return fail_root(start, errno, err);
	failed = overlay_mount(arena_cstr(start->arena, start->upper), arena_cstr(start->arena, start->work), lowers, count,
			       rootfs, userns);
	if (failed)
		return fail_root(start, failed, err);
	start->root_fd = overlay_take(rootfs);
	return start->root_fd >= 0 || fail_root(start, errno, err);
}

/* Mounted nowhere, the root file system is looked into here and handed to the keeper: no mount can be left behind, and none of
 * the host's is copied into other containers' namespaces with it. */
static bool step_root(struct start *start, struct error *err)
{
	bool ok;

	if (unshare(CLONE_NEWNS) < 0)
		return fail_root(start, errno, err);
	ok = mount_root(start, err);
	if (setns(start->hands->host_mounts_fd, CLONE_NEWNS) < 0)
		abort();                         /* this thread would do everything else in the wrong place */
	return ok && prepare_root(start, start->root_fd, err);
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

	if (keeper_read_launch(start->at.folder, start->arena, &last, NULL) && ports_keep(&last, &start->ports)) {
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

	if (!ports_read(start->container.acs, &start->ports, err))
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

void chore_detach(struct hands *hands, const struct places *at)
{
	struct error ignored;

	if (hands->options.network)
		network_detach(hands->options.network, at->owner, at->netns, &ignored);
}

static void undo_network(struct start *start) { chore_detach(start->hands, &start->at); }

static bool write_config(struct start *start, const struct oci_spec *spec, struct error *err)
{
	auto_buffer text = {0};

	json_encode(&shape_oci_spec, spec, &text);
	return file_write(AT_FDCWD, arena_printf(start->arena, "%.*s/config.json%c", STR(start->at.bundle),
						 '\0').ptr, buffer_str(&text), 0600, err);
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

	ports_list(&start->ports, start->arena, &start->launch);
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
	if (!lane_start(start->hands, start->lane, start->container.acs->name, start->root_fd, &start->answer, err))
		return fail_context(err, "CannotStartContainerError");
	if (start->answer.kind == KEEPER_START_FAILED)
		return fail(err, ERROR_REFUSED, "CannotStartContainerError: %s", start->answer.text);
	return true;
}

bool chore_open_log(struct hands *hands, struct str task_id, const struct container *container, struct error *err)
{
	const struct hands_options *options = &hands->options;
	struct agent_log_target target = *container->log.target;
	auto_arena arena = {0};

	if (!options->open_log)
		return fail(err, ERROR_REFUSED, "CannotCreateContainerError: logger: no log driver named 'awslogs' is registered");
	if (str_empty(target.stream))
		target.stream = hands_runtime_id(task_id, container->acs->name, &arena);
	return options->open_log(options->open_log_arg, task_id, container->acs->name, &target, err);
}

/* With the task, before its first run. */
static bool log_was_opened(const struct start *start)
{
	struct keeper_event state;

	return faccessat(AT_FDCWD, arena_printf(start->arena, "%.*s/%.*s.ship%c", STR(start->at.logs),
						STR(start->container.acs->name), '\0').ptr, F_OK, 0) == 0 &&
	       !keeper_read_state(start->at.folder, &state, NULL);
}

/* awslogs: the stream is there before the container, as docker has it. */
static bool step_log(struct start *start, struct error *err)
{
	return start->container.log.driver != LOG_AWSLOGS || log_was_opened(start) ||
	       chore_open_log(start->hands, start->lane->task_id, &start->container, err);
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
	fact->bindings = ports_bindings(&launch, start->arena);
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
	fact->bindings = ports_bindings(&start->launch, start->arena);
	fact->at = start->answer.started_at;
	return true;
}

void chore_start(struct hands *hands, struct lane *lane, struct chore *chore)
{
	struct start start = {.hands = hands, .lane = lane, .arena = &chore->arena, .root_fd = -1};
	struct fact fact = fact_of(FACT_START, lane->task_id, chore->name);
	struct error err = {0};
	bool ok;

	start.at = places_of(hands, lane->task_id, chore->name, &chore->arena);
	start.runtime_id = fact.runtime_id = runtime_id_of(start.at.owner, &chore->arena);
	ok = start_container(&start, chore, &fact, &err);
	fd_close(&start.root_fd);
	hands_tell_result(hands, &fact, ok, &err);
}
