#include "host/bundle.h"
#include <dirent.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>
#include "base/buffer.h"
#include "base/list.h"
#include "host/capability.h"
#include "host/idmap.h"
#include "host/syscalls.h"
#include "os/file.h"

enum {
	HOST_DEVICES_LIMIT = 4096,
	HOST_DEVICES_DEPTH_LIMIT = 4,
	HOST_FILE_LIMIT = 1 << 20,
	NOFILE_SOFT = 32768, NOFILE_HARD = 65536,        /* docker's on the ECS-optimized images */
	CPU_SHARES_LEAST = 2, CPU_SHARES_MOST = 262144,
};

#define LONG(number) ((struct maybe_long){(number), true})
#define YES ((struct maybe_boolean){true, true})

/* Grows while a bundle is made; copied into the arena at the end. */
struct strings { LIST_OF(struct str) list; };

static struct oci_strings to_arena(struct strings *strings, struct arena *arena)
{
	struct oci_strings copy = {arena_array(arena, struct str, strings->list.count), strings->list.count};

	if (copy.count > 0)
		memcpy(copy.items, strings->list.items, copy.count * sizeof(*copy.items));
	list_fini(&strings->list);
	return copy;
}

static struct oci_strings words(struct str text, struct arena *arena)
{
	struct strings found = {0};
	struct str word;

	while (str_cut(&text, ',', &word))
		if (word.len > 0)
			list_add(&found.list, word);
	return to_arena(&found, arena);
}

struct str bundle_user(const struct container *container, const struct oci_image_config *image)
{
	if (!str_empty(container->config->user))
		return container->config->user;
	return image ? image->user : STR_NONE;
}

struct str bundle_folder(const struct container *container, const struct oci_image_config *image,
			 struct arena *arena)
{
	struct str folder = container->config->working_dir;

	if (str_empty(folder) && image)
		folder = image->working_dir;
	if (str_empty(folder))
		return S("/");
	return folder.ptr[0] == '/' ? folder : arena_printf(arena, "/%.*s", STR(folder));
}

struct str bundle_hostname(const struct container *container, struct str runtime_id, struct arena *arena)
{
	char name[256] = "";

	struct str name_of_interface = container->network == NETWORK_TASK &&
		container->task->elastic_network_interfaces.count > 0
		? container->task->elastic_network_interfaces.items[0].private_dns_name : STR_NONE;

	if (!str_empty(container->config->hostname))
		return container->config->hostname;
	if (!str_empty(name_of_interface))
		return name_of_interface;
	if (container->network == NETWORK_HOST && gethostname(name, sizeof(name) - 1) == 0)
		return arena_copy(arena, str_of(name));
	return str_slice(runtime_id, 0, 12);
}

int bundle_signal(struct str name)
{
	struct str rest = name, base = name, more;
	int64_t number = 0;
	char text[32];

	if (str_to_long(name, &number))
		return number > 0 && number < SIGRTMAX ? (int)number : 0;
	if (str_starts(name, S("SIG")))
		base = rest = str_slice(name, 3, name.len);
	if (str_starts(base, S("RTMIN"))) {
		more = str_slice(base, strlen("RTMIN"), base.len);
		return more.len == 0 || (str_to_long(more, &number) && number >= 0 && SIGRTMIN + number <= SIGRTMAX)
			? SIGRTMIN + (int)number : 0;
	}
	snprintf(text, sizeof(text), "%.*s", STR(rest));
	for (int i = 1; i < NSIG; i++)
		if (sigabbrev_np(i) && strcmp(sigabbrev_np(i), text) == 0)
			return i;
	return 0;
}

/* ---- The process ---- */

static void add_all(struct strings *out, const struct str *items, size_t count)
{
	for (size_t i = 0; i < count; i++)
		list_add(&out->list, items[i]);
}

static bool make_arguments(const struct bundle *bundle, struct arena *arena, struct oci_process *process,
			   struct error *err)
{
	const struct container *container = bundle->container;
	const struct acs_strings *entry = &container->acs->entry_point;
	const struct oci_image_config *image = bundle->image;
	struct strings arguments = {0};
	size_t before;

	if (str_has(bundle->init)) {
		list_add(&arguments.list, S("/sbin/docker-init"));
		list_add(&arguments.list, S("--"));
	}
	before = arguments.list.count;
	if (entry->count > 0)
		add_all(&arguments, entry->items, entry->count);
	else if (image)
		add_all(&arguments, image->entrypoint.items, image->entrypoint.count);
	if (container->command.count > 0)
		add_all(&arguments, container->command.items, container->command.count);
	else if (entry->count == 0 && image)
		add_all(&arguments, image->cmd.items, image->cmd.count);
	process->args = to_arena(&arguments, arena);
	return process->args.count > before ||
	       fail(err, ERROR_REFUSED, "CannotCreateContainerError: no command specified");
}

static struct str variable_name(struct str variable) { return str_slice(variable, 0, str_find(variable, '=')); }

/* The last one wins, in the place of the first. */
static void set_variable(struct strings *environment, struct str variable)
{
	for (size_t i = 0; i < environment->list.count; i++)
		if (str_equal(variable_name(environment->list.items[i]), variable_name(variable))) {
			environment->list.items[i] = variable;
			return;
		}
	list_add(&environment->list, variable);
}

static bool has_variable(const struct strings *environment, struct str name)
{
	for (size_t i = 0; i < environment->list.count; i++)
		if (str_equal(variable_name(environment->list.items[i]), name))
			return true;
	return false;
}

static struct oci_strings make_environment(const struct bundle *bundle, struct str hostname, struct arena *arena)
{
	const struct acs_string_map *given = &bundle->container->acs->environment;
	struct strings environment = {0};

	set_variable(&environment, S("PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"));
	set_variable(&environment, arena_printf(arena, "HOSTNAME=%.*s", STR(hostname)));
	for (size_t i = 0; bundle->image && i < bundle->image->env.count; i++)
		set_variable(&environment, bundle->image->env.items[i]);
	for (size_t i = 0; i < bundle->links_environment.count; i++)
		set_variable(&environment, bundle->links_environment.items[i]);
	for (size_t i = 0; i < bundle->files_environment.count; i++)
		set_variable(&environment, bundle->files_environment.items[i]);
	if (bundle->container->config->tty.value)
		set_variable(&environment, S("TERM=xterm"));
	for (size_t i = 0; i < given->count; i++)
		set_variable(&environment, arena_printf(arena, "%.*s=%.*s", STR(given->items[i].key),
							STR(given->items[i].value)));
	if (str_has(bundle->devices_environment))
		set_variable(&environment, bundle->devices_environment);
	for (size_t i = 0; i < bundle->environment.count; i++)
		set_variable(&environment, bundle->environment.items[i]);
	for (size_t i = 0; i < bundle->fallbacks.count; i++)
		if (!has_variable(&environment, variable_name(bundle->fallbacks.items[i])))
			set_variable(&environment, bundle->fallbacks.items[i]);
	if (!has_variable(&environment, S("HOME")))
		set_variable(&environment, arena_printf(arena, "HOME=%.*s", STR(bundle->user->home)));
	return to_arena(&environment, arena);
}

static struct oci_user *make_user(const struct user *user, struct arena *arena)
{
	struct oci_user *made = arena_new(arena, struct oci_user);

	made->uid = LONG(user->uid);
	made->gid = LONG(user->gid);
	made->additional_gids.items = arena_array(arena, struct maybe_long, user->group_count);
	for (size_t i = 0; i < user->group_count; i++)
		made->additional_gids.items[made->additional_gids.count++] = LONG(user->groups[i]);
	return made;
}

/* A user other than root has none to start with, but may be given them by files' capabilities. */
static struct oci_capabilities *make_capabilities(uint64_t bits, const struct user *user, struct arena *arena)
{
	struct oci_capabilities *made = arena_new(arena, struct oci_capabilities);

	made->bounding = capability_names(bits, arena);
	if (user->uid == 0)
		made->effective = made->permitted = made->bounding;
	return made;
}

static struct oci_rlimit make_limit(struct str name, int64_t soft, int64_t hard, struct arena *arena)
{
	char *upper = arena_cstr(arena, name);

	for (char *c = upper; *c; c++)
		if (*c >= 'a' && *c <= 'z')
			*c = (char)(*c - 'a' + 'A');
	return (struct oci_rlimit){.type = arena_printf(arena, "RLIMIT_%s", upper), .soft = LONG(soft),
				   .hard = LONG(hard)};
}

static bool limit_is_known(struct str name)
{
	static const struct str names[] = {
		STR_INIT("core"), STR_INIT("cpu"), STR_INIT("data"), STR_INIT("fsize"), STR_INIT("locks"),
		STR_INIT("memlock"), STR_INIT("msgqueue"), STR_INIT("nice"), STR_INIT("nofile"),
		STR_INIT("nproc"), STR_INIT("rss"), STR_INIT("rtprio"), STR_INIT("rttime"),
		STR_INIT("sigpending"), STR_INIT("stack"),
	};

	for (size_t i = 0; i < COUNT(names); i++)
		if (str_equal(names[i], name))
			return true;
	return false;
}

/* Open files cannot exceed what the agent itself may have, whatever was asked for. */
static int64_t files_at_most(int64_t wanted)
{
	struct rlimit own = {.rlim_max = NOFILE_HARD};

	getrlimit(RLIMIT_NOFILE, &own);
	if (own.rlim_max == RLIM_INFINITY)
		return wanted;
	return wanted < 0 ? (int64_t)own.rlim_max : MIN(wanted, (int64_t)own.rlim_max);
}

static bool make_limits(const struct docker_ulimits *asked, struct arena *arena, struct oci_process *process,
			struct error *err)
{
	struct oci_rlimits made = {arena_array(arena, struct oci_rlimit, asked->count + 1), 0};
	bool files = false;

	for (size_t i = 0; i < asked->count; i++) {
		const struct docker_ulimit *limit = &asked->items[i];
		int64_t soft = limit->soft.value, hard = limit->hard.value;

		if (!limit_is_known(limit->name) || !limit->soft.has || !limit->hard.has)
			return fail(err, ERROR_REFUSED, "HostConfigError: bad ulimit '%.*s'", STR(limit->name));
		if (str_equal(limit->name, S("nofile"))) {
			files = true;
			soft = files_at_most(soft);
			hard = files_at_most(hard);
		}
		made.items[made.count++] = make_limit(limit->name, soft, hard, arena);
	}
	if (!files)
		made.items[made.count++] = make_limit(S("nofile"), files_at_most(NOFILE_SOFT),
						      files_at_most(NOFILE_HARD), arena);
	process->rlimits = made;
	return true;
}

struct security { bool no_new_privileges, unconfined; };

/* Unlike docker, which lets setuid programs gain privileges unless told otherwise. */
static bool read_security(const struct docker_strings *options, bool privileged, struct security *ret_security,
			  struct error *err)
{
	struct security security = {.no_new_privileges = !privileged};

	for (size_t i = 0; i < options->count; i++) {
		struct str value = options->items[i], key;
		size_t at = MIN(str_find(value, '='), str_find(value, ':'));

		key = str_slice(value, 0, at);
		value = str_slice(value, at + 1, value.len);
		if (str_equal(key, S("no-new-privileges")))
			security.no_new_privileges = !str_equal(value, S("false"));
		else if (str_equal(key, S("seccomp")) && str_equal(value, S("unconfined")))
			security.unconfined = true;
		else if ((str_equal(key, S("apparmor")) && str_equal(value, S("unconfined"))) ||
			 (str_equal(key, S("label")) && str_equal(value, S("disable"))))
			continue;                /* so it is without being asked */
		else
			return fail(err, ERROR_REFUSED, "CannotCreateContainerError: security option '%.*s' "
				    "is not supported by this agent", STR(options->items[i]));
	}
	*ret_security = security;
	return true;
}

static bool make_process(const struct bundle *bundle, uint64_t capabilities, const struct security *security,
			 struct arena *arena, struct oci_spec *spec, struct error *err)
{
	struct oci_process *process = arena_new(arena, struct oci_process);

	if (!make_arguments(bundle, arena, process, err) ||
	    !make_limits(&bundle->container->host->ulimits, arena, process, err))
		return false;
	process->terminal = (struct maybe_boolean){bundle->container->config->tty.value, true};
	process->user = make_user(bundle->user, arena);
	process->env = make_environment(bundle, spec->hostname, arena);
	process->cwd = bundle_folder(bundle->container, bundle->image, arena);
	process->capabilities = make_capabilities(capabilities, bundle->user, arena);
	process->no_new_privileges = (struct maybe_boolean){security->no_new_privileges, true};
	/* The keeper's -999 must not be handed down. */
	process->oom_score_adj = (struct maybe_integer){0, true};
	spec->process = process;
	return true;
}

/* ---- Mounts ---- */

struct mounts {
	LIST_OF(struct oci_mount) list;
	size_t system_count;                             /* the first ones, which every container has */
};

/* noexec and exec, ro and rw. */
static bool is_opposite(struct str a, struct str b)
{
	return (str_starts(a, S("no")) && str_equal(str_slice(a, 2, a.len), b)) ||
	       (str_starts(b, S("no")) && str_equal(str_slice(b, 2, b.len), a)) ||
	       (str_equal(a, S("ro")) && str_equal(b, S("rw"))) || (str_equal(a, S("rw")) && str_equal(b, S("ro")));
}

/* As docker: the later of two opposites counts. A runtime may decide otherwise (crun 1.8: noexec before exec stays). */
static struct oci_strings settle_options(struct oci_strings options)
{
	size_t count = 0;

	for (size_t i = 0; i < options.count; i++) {
		bool undone = false;

		for (size_t j = i + 1; j < options.count; j++)
			undone |= is_opposite(options.items[i], options.items[j]);
		if (!undone)
			options.items[count++] = options.items[i];
	}
	options.count = count;
	return options;
}

static void add_mount(struct mounts *mounts, const char *destination, const char *type, struct str source,
		      const char *options, struct arena *arena)
{
	list_add(&mounts->list, ((struct oci_mount){.destination = str_of(destination), .type = str_of(type),
						    .source = source,
						    .options = settle_options(words(str_of(options), arena))}));
}

static void add_system_mounts(const struct bundle *bundle, struct mounts *mounts, struct arena *arena)
{
	const struct container *container = bundle->container;
	bool privileged = container->host->privileged.value;
	int64_t shm_bytes = container_memory_file_bytes(container->host);
	struct str ipc = str_empty(container->host->ipc_mode) ? container->task->ipc_mode
							      : container->host->ipc_mode;

	add_mount(mounts, "/proc", "proc", S("proc"), "nosuid,noexec,nodev", arena);
	add_mount(mounts, "/dev", "tmpfs", S("tmpfs"), "nosuid,strictatime,mode=755,size=65536k", arena);
	add_mount(mounts, "/dev/pts", "devpts", S("devpts"),
		  "nosuid,noexec,newinstance,ptmxmode=0666,mode=0620,gid=5", arena);
	add_mount(mounts, "/sys", "sysfs", S("sysfs"),
		  privileged ? "nosuid,noexec,nodev" : "nosuid,noexec,nodev,ro", arena);
	add_mount(mounts, "/sys/fs/cgroup", "cgroup", S("cgroup"),
		  privileged ? "nosuid,noexec,nodev" : "nosuid,noexec,nodev,ro", arena);
	add_mount(mounts, "/dev/mqueue", "mqueue", S("mqueue"), "nosuid,noexec,nodev", arena);
	if (str_equal(ipc, S("host")) || str_has(bundle->memory_files))
		add_mount(mounts, "/dev/shm", "bind", str_has(bundle->memory_files) ? bundle->memory_files : S("/dev/shm"),
			  "rbind,rw", arena);
	else if (!str_equal(ipc, S("none")))
		add_mount(mounts, "/dev/shm", "tmpfs", S("shm"),
			  arena_printf(arena, "nosuid,noexec,nodev,mode=1777,size=%lld%c",
				       (long long)shm_bytes, '\0').ptr, arena);
}

const char *bundle_file(size_t index)
{
	static const char *const names[BUNDLE_FILES] = {"hosts", "hostname", "resolv.conf"};

	return names[index];
}

static void add_files(const struct bundle *bundle, struct mounts *mounts, struct arena *arena)
{
	for (size_t i = 0; i < BUNDLE_FILES; i++) {
		struct str source = bundle->mounted[i];

		if (!str_has(source))
			source = arena_printf(arena, "%.*s/%s", STR(bundle->files), bundle_file(i));
		add_mount(mounts, arena_printf(arena, "/etc/%s%c", bundle_file(i), '\0').ptr, "bind", source,
			  "rbind,rprivate,rw", arena);
	}
}

static void add_tmpfs(const struct bundle *bundle, struct mounts *mounts, struct arena *arena)
{
	const struct docker_string_map *asked = &bundle->container->host->tmpfs;

	for (size_t i = 0; i < asked->count; i++)
		add_mount(mounts, arena_cstr(arena, asked->items[i].key), "tmpfs", S("tmpfs"),
			  arena_printf(arena, "noexec,nosuid,nodev,%.*s%c", STR(asked->items[i].value),
				       '\0').ptr, arena);
}

static void remove_mount(struct mounts *mounts, struct str destination)
{
	for (size_t i = mounts->list.count; i-- > 0;)
		if (str_equal(mounts->list.items[i].destination, destination)) {
			list_remove_at(&mounts->list, i);
			mounts->system_count -= i < mounts->system_count;
		}
}

static void add_volumes(const struct bundle *bundle, struct mounts *mounts, struct arena *arena)
{
	for (size_t i = 0; i < bundle->mount_count; i++) {
		const struct bundle_mount *mount = &bundle->mounts[i];

		remove_mount(mounts, mount->path);
		add_mount(mounts, arena_cstr(arena, mount->path), "bind", mount->source,
			  mount->read_only ? "rbind,rprivate,ro" : "rbind,rprivate", arena);
	}
	if (str_has(bundle->init))
		add_mount(mounts, "/sbin/docker-init", "bind", bundle->init, "bind,rprivate,ro", arena);
}

/* "/a//./b/" is 2 deep. */
static size_t depth_of(struct str path)
{
	size_t depth = 0;
	struct str name;

	while (str_cut(&path, '/', &name))
		depth += name.len && !str_equal(name, S("."));
	return depth;
}

/* As docker: a mount inside another comes after it, whichever was named first. */
static void sort_mounts(struct mounts *mounts)
{
	struct oci_mount *items = mounts->list.items;

	for (size_t i = mounts->system_count + 1; i < mounts->list.count; i++) {
		struct oci_mount mount = items[i];
		size_t at = i, depth = depth_of(mount.destination);

		for (; at > mounts->system_count && depth_of(items[at - 1].destination) > depth; at--)
			items[at] = items[at - 1];
		items[at] = mount;
	}
}

static struct oci_mounts make_mounts(const struct bundle *bundle, struct arena *arena)
{
	struct mounts mounts = {0};
	struct oci_mounts made;

	add_system_mounts(bundle, &mounts, arena);
	mounts.system_count = mounts.list.count;
	add_files(bundle, &mounts, arena);
	add_tmpfs(bundle, &mounts, arena);
	add_volumes(bundle, &mounts, arena);
	sort_mounts(&mounts);
	made = (struct oci_mounts){arena_array(arena, struct oci_mount, mounts.list.count), mounts.list.count};
	memcpy(made.items, mounts.list.items, made.count * sizeof(*made.items));
	list_fini(&mounts.list);
	return made;
}

/* ---- Linux ---- */

static void add_namespace(struct oci_linux *out, const char *type, struct str path)
{
	out->namespaces.items[out->namespaces.count++] =
		(struct oci_namespace){.type = str_of(type), .path = path};
}

static void make_namespaces(const struct bundle *bundle, struct arena *arena, struct oci_linux *out)
{
	const struct container *container = bundle->container;
	struct str host = S("host");

	out->namespaces.items = arena_array(arena, struct oci_namespace, 8);
	if (str_has(bundle->user_namespace))
		add_namespace(out, "user", bundle->user_namespace);
	add_namespace(out, "mount", STR_NONE);
	add_namespace(out, "uts", STR_NONE);
	add_namespace(out, "cgroup", STR_NONE);
	if (!str_equal(container->host->pid_mode, host) && !str_equal(container->task->pid_mode, host))
		add_namespace(out, "pid", bundle->pid_namespace);
	if (!str_equal(container->host->ipc_mode, host) && !str_equal(container->task->ipc_mode, host))
		add_namespace(out, "ipc", bundle->ipc_namespace);
	if (str_has(bundle->netns))
		add_namespace(out, "network", bundle->netns);
}

static void make_masks(struct arena *arena, struct oci_linux *out)
{
	out->masked_paths = words(S("/proc/asound,/proc/acpi,/proc/kcore,/proc/keys,/proc/latency_stats,"
				    "/proc/timer_list,/proc/timer_stats,/proc/sched_debug,/proc/scsi,"
				    "/sys/firmware,/sys/devices/virtual/powercap"), arena);
	out->readonly_paths = words(S("/proc/bus,/proc/fs,/proc/irq,/proc/sys,/proc/sysrq-trigger"), arena);
}

struct devices {
	LIST_OF(struct oci_device) nodes;
	LIST_OF(struct oci_device_rule) rules;
};

static bool add_device(struct devices *devices, const char *source, struct str destination, struct str access,
		       struct error *err)
{
	struct stat status;
	struct str type;

	if (stat(source, &status) < 0)
		return fail_os(err, errno, "CannotCreateContainerError: device '%s'", source);
	if (!S_ISCHR(status.st_mode) && !S_ISBLK(status.st_mode))
		return fail(err, ERROR_REFUSED, "CannotCreateContainerError: '%s' is not a device", source);
	type = S_ISCHR(status.st_mode) ? S("c") : S("b");
	list_add(&devices->nodes, ((struct oci_device){
		.path = destination, .type = type,
		.major = LONG(major(status.st_rdev)), .minor = LONG(minor(status.st_rdev)),
		.file_mode = {(int32_t)(status.st_mode & 07777), true},
		.uid = LONG(status.st_uid), .gid = LONG(status.st_gid)}));
	list_add(&devices->rules, ((struct oci_device_rule){
		.allow = YES, .type = type, .major = LONG(major(status.st_rdev)),
		.minor = LONG(minor(status.st_rdev)), .access = access}));
	return true;
}

static bool add_asked_devices(const struct bundle *bundle, struct devices *devices, struct arena *arena,
			      struct error *err)
{
	const struct docker_devices *asked = &bundle->container->host->devices;

	for (size_t i = 0; i < asked->count; i++) {
		const struct docker_device *device = &asked->items[i];
		struct str inside = str_empty(device->path_in_container) ? device->path_on_host
									 : device->path_in_container;
		struct str access = str_empty(device->cgroup_permissions) ? S("rwm")
									  : device->cgroup_permissions;

		if (!add_device(devices, arena_cstr(arena, device->path_on_host), inside, access, err))
			return false;
	}
	return true;
}

/* Folders that the container has file systems of its own on, and links of the runtime's making. */
static bool is_skipped_device(const char *name)
{
	static const char *const names[] = {"pts", "shm", "mqueue", "fd", "stdin", "stdout", "stderr", "ptmx",
					    "console", "core", "null", "zero", "full", "tty", "random",
					    "urandom", ".", ".."};

	for (size_t i = 0; i < COUNT(names); i++)
		if (strcmp(name, names[i]) == 0)
			return true;
	return false;
}

/* Privileged: everything in the host's /dev. Nodes that vanish meanwhile are passed over. */
static void add_host_devices(struct devices *devices, const char *folder, int depth, struct arena *arena)
{
	DIR *list = opendir(folder);
	struct dirent *entry;

	while (list && (entry = readdir(list)) && devices->nodes.count < HOST_DEVICES_LIMIT) {
		const char *path;

		if (is_skipped_device(entry->d_name))
			continue;
		path = arena_printf(arena, "%s/%s%c", folder, entry->d_name, '\0').ptr;
		if (entry->d_type == DT_CHR || entry->d_type == DT_BLK)
			add_device(devices, path, str_of(path), S("rwm"), NULL);
		else if (entry->d_type == DT_DIR && depth < HOST_DEVICES_DEPTH_LIMIT)
			add_host_devices(devices, path, depth + 1, arena);
	}
	if (list)
		closedir(list);
}

static bool make_devices(const struct bundle *bundle, struct arena *arena, struct oci_linux *out,
			 struct error *err)
{
	bool privileged = bundle->container->host->privileged.value;
	struct devices devices = {0};
	bool ok;

	list_add(&devices.rules, ((struct oci_device_rule){.allow = {privileged, true}, .access = S("rwm")}));
	if (privileged)
		add_host_devices(&devices, "/dev", 0, arena);
	ok = add_asked_devices(bundle, &devices, arena, err);
	for (size_t i = 0; ok && i < bundle->device_count; i++)
		ok = add_device(&devices, arena_cstr(arena, bundle->devices[i]), bundle->devices[i], S("rwm"), err);
	out->devices.items = arena_array(arena, struct oci_device, devices.nodes.count);
	out->devices.count = devices.nodes.count;
	if (devices.nodes.count > 0)
		memcpy(out->devices.items, devices.nodes.items, devices.nodes.count * sizeof(*devices.nodes.items));
	/* One rule lets a privileged container at all devices. */
	out->resources->devices.count = privileged ? 1 : devices.rules.count;
	out->resources->devices.items = arena_array(arena, struct oci_device_rule, devices.rules.count);
	memcpy(out->resources->devices.items, devices.rules.items,
	       devices.rules.count * sizeof(*devices.rules.items));
	list_fini(&devices.nodes);
	list_fini(&devices.rules);
	return ok;
}

static void make_resources(const struct bundle *bundle, struct arena *arena, struct oci_linux *out)
{
	const struct container *container = bundle->container;
	const struct docker_host_config *host = container->host;
	int64_t shares = container->acs->cpu.has ? container->acs->cpu.value : 0;
	struct oci_memory *memory = arena_new(arena, struct oci_memory);

	out->resources = arena_new(arena, struct oci_resources);
	out->resources->cpu = arena_new(arena, struct oci_cpu);
	out->resources->cpu->shares = LONG(MIN(MAX(shares, CPU_SHARES_LEAST), CPU_SHARES_MOST));
	if (container->memory_bytes > 0)
		memory->limit = LONG(container->memory_bytes);
	if (host->memory_reservation.value > 0)
		memory->reservation = host->memory_reservation;
	if (host->memory_swap.has && host->memory_swap.value != 0)
		memory->swap = host->memory_swap;
	if (host->memory_swappiness.has && host->memory_swappiness.value >= 0)
		memory->swappiness = host->memory_swappiness;
	out->resources->memory = memory;
}

const char *bundle_sysctl_path(struct str key, struct arena *arena)
{
	char *path = arena_cstr(arena, arena_printf(arena, "/proc/sys/%.*s", STR(key)));

	for (char *c = path + strlen("/proc/sys/"); *c; c++)
		*c = *c == '.' ? '/' : *c == '/' ? '.' : *c;
	return path;
}

static void make_sysctls(const struct bundle *bundle, struct arena *arena, struct oci_linux *out)
{
	const struct docker_string_map *asked = &bundle->container->host->sysctls;

	if (asked->count == 0)
		return;
	out->sysctl.items = arena_array(arena, struct oci_string_map_entry, asked->count);
	for (size_t i = 0; i < asked->count; i++) {
		/* In a user namespace the agent sets the network's: it may. */
		if (str_has(bundle->user_namespace) && str_starts(asked->items[i].key, S("net.")))
			continue;
		out->sysctl.items[out->sysctl.count++] =
			(struct oci_string_map_entry){asked->items[i].key, asked->items[i].value};
	}
}

static bool make_seccomp(const struct bundle *bundle, uint64_t capabilities, struct arena *arena,
			 struct oci_spec *spec, struct error *err)
{
	struct str program;

	if (!bundle->runtime_takes_bpf) {
		spec->linux->seccomp = syscalls_profile(capabilities, arena);
		return true;
	}
	if (!syscalls_filter(bundle->syscalls, capabilities, &program, err))
		return fail_context(err, "CannotCreateContainerError");
	spec->annotations.items = arena_new(arena, struct oci_string_map_entry);
	spec->annotations.items[0] = (struct oci_string_map_entry){S("run.oci.seccomp_bpf_data"), program};
	spec->annotations.count = 1;
	return true;
}

static void make_user_map(const struct bundle *bundle, struct arena *arena, struct oci_linux *out)
{
	struct oci_id_mapping *map = arena_new(arena, struct oci_id_mapping);

	if (!str_has(bundle->user_namespace))
		return;
	*map = (struct oci_id_mapping){.container_id = LONG(0), .host_id = LONG(bundle->map_base), .size = LONG(IDMAP_COUNT)};
	out->uid_mappings = out->gid_mappings = (struct oci_id_mappings){map, 1};
}

struct oci_process *bundle_probe(const struct container *container, const struct oci_process *process,
				 struct arena *arena)
{
	const struct docker_healthcheck *check = container->config->healthcheck;
	struct strings arguments = {0};
	struct oci_process *probe;
	struct str kind;

	if (!check || check->test.count < 2)
		return NULL;
	kind = check->test.items[0];
	if (str_equal(kind, S("CMD-SHELL")))
		add_all(&arguments, (struct str[]){S("/bin/sh"), S("-c"), check->test.items[1]}, 3);
	else if (str_equal(kind, S("CMD")))
		add_all(&arguments, check->test.items + 1, check->test.count - 1);
	else
		return NULL;
	probe = arena_new(arena, struct oci_process);
	*probe = *process;
	probe->terminal = (struct maybe_boolean){false, true};
	probe->args = to_arena(&arguments, arena);
	return probe;
}

bool bundle_make(const struct bundle *bundle, struct arena *arena, struct oci_spec **ret_spec, struct error *err)
{
	const struct docker_host_config *host = bundle->container->host;
	struct oci_spec *spec = arena_new(arena, struct oci_spec);
	bool privileged = host->privileged.value;
	uint64_t capabilities = capability_all();
	struct security security = {0};

	if (!read_security(&host->security_opt, privileged, &security, err))
		return false;
	if (!privileged && !capability_combine(&host->cap_add, &host->cap_drop, &capabilities, err))
		return fail_context(err, "CannotCreateContainerError");
	spec->oci_version = S("1.0.2");
	spec->hostname = bundle_hostname(bundle->container, bundle->runtime_id, arena);
	spec->root = arena_new(arena, struct oci_root);
	spec->root->path = bundle->rootfs;
	spec->root->readonly = (struct maybe_boolean){host->readonly_rootfs.value, true};
	spec->mounts = make_mounts(bundle, arena);
	spec->linux = arena_new(arena, struct oci_linux);
	spec->linux->cgroups_path = arena_printf(arena, "/wherry/%.*s", STR(bundle->cgroup));
	make_namespaces(bundle, arena, spec->linux);
	make_resources(bundle, arena, spec->linux);
	make_sysctls(bundle, arena, spec->linux);
	make_user_map(bundle, arena, spec->linux);
	if (!make_devices(bundle, arena, spec->linux, err) ||
	    !make_process(bundle, capabilities, &security, arena, spec, err))
		return false;
	if (!privileged)
		make_masks(arena, spec->linux);
	if (!privileged && !security.unconfined && !make_seccomp(bundle, capabilities, arena, spec, err))
		return false;
	*ret_spec = spec;
	return true;
}

/* ---- hosts, hostname, resolv.conf ---- */

static void add_hosts(const struct bundle *bundle, struct str hostname, struct str address, struct buffer *out)
{
	const struct docker_strings *extra = &bundle->container->host->extra_hosts;

	buffer_add(out, S("127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\n"
			  "fe00::0\tip6-localnet\nff00::0\tip6-mcastprefix\nff02::1\tip6-allnodes\n"
			  "ff02::2\tip6-allrouters\n"));
	if (!str_empty(address))
		buffer_printf(out, "%.*s\t%.*s\n", STR(address), STR(hostname));
	buffer_add(out, bundle->extra_hosts);
	for (size_t i = 0; i < extra->count; i++) {
		struct str name = extra->items[i];
		size_t at = str_find(name, ':');

		buffer_printf(out, "%.*s\t%.*s\n", STR(str_slice(name, at + 1, name.len)),
			      STR(str_slice(name, 0, at)));
	}
}

/* A resolver on the host's loopback is out of a bridged container's reach. */
static bool is_loopback_server(struct str line)
{
	struct str address;

	if (!str_starts(line, S("nameserver")))
		return false;
	address = str_trim(str_slice(line, strlen("nameserver"), line.len));
	return str_starts(address, S("127.")) || str_equal(address, S("::1"));
}

static void add_host_resolver(const struct bundle *bundle, struct buffer *out)
{
	auto_arena arena = {0};
	struct str text = STR_NONE, line;

	if (!file_read(AT_FDCWD, "/etc/resolv.conf", HOST_FILE_LIMIT, &arena, &text, NULL))
		return;
	while (str_cut(&text, '\n', &line))
		if (line.len > 0 &&
		    (bundle->container->network == NETWORK_HOST || !is_loopback_server(line)))
			buffer_printf(out, "%.*s\n", STR(line));
}

/* What the task definition says, else what the task's interface says, else the host's. */
static void add_resolver(const struct bundle *bundle, struct buffer *out)
{
	const struct docker_strings *asked_servers = &bundle->container->host->dns;
	const struct docker_strings *asked_search = &bundle->container->host->dns_search;
	const struct acs_elastic_network_interface *interface = bundle->interface;
	struct oci_strings given[] = {{asked_servers->items, asked_servers->count}, {asked_search->items, asked_search->count}};
	const struct oci_strings *servers = &given[0], *search = &given[1];

	if (interface && servers->count == 0)
		given[0] = (struct oci_strings){interface->domain_name_servers.items, interface->domain_name_servers.count};
	if (interface && search->count == 0)
		given[1] = (struct oci_strings){interface->domain_name.items, interface->domain_name.count};
	if (servers->count == 0)
		add_host_resolver(bundle, out);
	for (size_t i = 0; i < servers->count; i++)
		buffer_printf(out, "nameserver %.*s\n", STR(servers->items[i]));
	if (search->count == 0)
		return;
	buffer_add(out, S("search"));
	for (size_t i = 0; i < search->count; i++)
		buffer_printf(out, " %.*s", STR(search->items[i]));
	buffer_add_char(out, '\n');
}

static bool write_file(const struct bundle *bundle, const char *name, const struct buffer *text,
		       struct error *err)
{
	auto_arena arena = {0};

	return file_write(AT_FDCWD, arena_printf(&arena, "%.*s/%s%c", STR(bundle->files), name, '\0').ptr,
			  buffer_str(text), 0644, err);
}

bool bundle_write_files(const struct bundle *bundle, struct str address, struct error *err)
{
	auto_arena arena = {0};
	auto_buffer hosts = {0}, resolver = {0}, name = {0};
	struct str hostname = bundle_hostname(bundle->container, bundle->runtime_id, &arena);

	add_hosts(bundle, hostname, address, &hosts);
	add_resolver(bundle, &resolver);
	buffer_printf(&name, "%.*s\n", STR(hostname));
	return write_file(bundle, "hosts", &hosts, err) && write_file(bundle, "hostname", &name, err) &&
	       write_file(bundle, "resolv.conf", &resolver, err);
}
