#include "host/volume.h"
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include "base/buffer.h"
#include "os/fd.h"
#include "os/file.h"
#include "wire/json.h"

enum { FOLDER_MODE = 0755 };

static const char *path_of(struct arena *arena, const char *format, ...) PRINTF_LIKE(2, 3);

static const char *path_of(struct arena *arena, const char *format, ...)
{
	char room[4096];
	va_list args;

	va_start(args, format);
	vsnprintf(room, sizeof(room), format, args);
	va_end(args);
	return arena_cstr(arena, str_of(room));
}

/* ---- What driverOpts mount ---- */

static const struct { struct str name; unsigned long set, clear; } flags[] = {
	{STR_INIT("defaults"), 0, 0},
	{STR_INIT("ro"), MS_RDONLY, 0}, {STR_INIT("rw"), 0, MS_RDONLY},
	{STR_INIT("nosuid"), MS_NOSUID, 0}, {STR_INIT("suid"), 0, MS_NOSUID},
	{STR_INIT("nodev"), MS_NODEV, 0}, {STR_INIT("dev"), 0, MS_NODEV},
	{STR_INIT("noexec"), MS_NOEXEC, 0}, {STR_INIT("exec"), 0, MS_NOEXEC},
	{STR_INIT("sync"), MS_SYNCHRONOUS, 0}, {STR_INIT("async"), 0, MS_SYNCHRONOUS},
	{STR_INIT("noatime"), MS_NOATIME, 0}, {STR_INIT("nodiratime"), MS_NODIRATIME, 0},
	{STR_INIT("relatime"), MS_RELATIME, 0}, {STR_INIT("strictatime"), MS_STRICTATIME, 0},
	{STR_INIT("bind"), MS_BIND, 0}, {STR_INIT("rbind"), MS_BIND | MS_REC, 0},
};

static bool take_flag(struct str word, unsigned long *ret_flags)
{
	for (size_t i = 0; i < COUNT(flags); i++)
		if (str_equal(word, flags[i].name)) {
			*ret_flags = (*ret_flags & ~flags[i].clear) | flags[i].set;
			return true;
		}
	return false;
}

static struct str option(const struct acs_docker_volume *docker, struct str name)
{
	for (size_t i = 0; i < docker->driver_opts.count; i++)
		if (str_equal(docker->driver_opts.items[i].key, name))
			return docker->driver_opts.items[i].value;
	return STR_NONE;
}

/* As docker's driver "local" does: type, device and o go to mount(2). */
static bool mount_options(const struct acs_docker_volume *docker, const char *target, struct error *err)
{
	auto_arena arena = {0};
	auto_buffer data = {0};
	struct str type = option(docker, S("type")), device = option(docker, S("device")),
		   rest = option(docker, S("o")), word;
	unsigned long set = 0;

	if (docker->driver_opts.count == 0 || folder_is_mount(target))
		return true;
	while (str_cut(&rest, ',', &word))
		if (word.len > 0 && !take_flag(word, &set))
			buffer_printf(&data, "%s%.*s", data.len > 0 ? "," : "", STR(word));
	if (mount(arena_cstr(&arena, device), target, arena_cstr(&arena, type), set,
		  arena_cstr(&arena, buffer_str(&data))) < 0)
		return fail_os(err, errno, "mount '%.*s' (%.*s)", STR(device), STR(type));
	/* A bind takes read-only and its kin only when it is there. */
	if ((set & MS_BIND) && (set & ~(unsigned long)(MS_BIND | MS_REC)) &&
	    mount(NULL, target, NULL, set | MS_REMOUNT, NULL) < 0) {
		umount2(target, MNT_DETACH);
		return fail_os(err, errno, "remount '%.*s'", STR(device));
	}
	return true;
}

static bool check_docker(const struct acs_volume *volume, struct error *err)
{
	const struct acs_docker_volume *docker = volume->docker_volume_configuration;
	static const struct str known[] = {STR_INIT("type"), STR_INIT("device"), STR_INIT("o")};

	if (!str_empty(docker->driver) && !str_equal(docker->driver, S("local")))
		return fail(err, ERROR_REFUSED, "CannotCreateVolumeError: volume '%.*s': this machine has no volume driver "
			    "'%.*s'", STR(volume->name), STR(docker->driver));
	for (size_t i = 0; i < docker->driver_opts.count; i++) {
		struct str key = docker->driver_opts.items[i].key;

		if (!str_equal(key, known[0]) && !str_equal(key, known[1]) && !str_equal(key, known[2]))
			return fail(err, ERROR_REFUSED, "CannotCreateVolumeError: invalid option: \"%.*s\"", STR(key));
	}
	if (docker->driver_opts.count > 0 &&
	    (str_empty(option(docker, S("type"))) || str_empty(option(docker, S("device")))))
		return fail(err, ERROR_REFUSED, "CannotCreateVolumeError: missing required option: \"%s\"",
			    str_empty(option(docker, S("type"))) ? "type" : "device");
	if (option(docker, S("o")).len > VOLUME_OPTIONS_LIMIT)
		return fail(err, ERROR_REFUSED, "CannotCreateVolumeError: the options of a mount have more than %d bytes",
			    VOLUME_OPTIONS_LIMIT);
	return true;
}

/* ---- Docker's volumes ---- */

static bool is_shared(const struct acs_docker_volume *docker) { return str_equal(docker->scope, S("shared")); }

static const char *shared_folder(struct str data, struct str name, struct arena *arena)
{
	return path_of(arena, "%.*s/volumes/%.*s", STR(data), STR(name));
}

static const char *task_folder(const struct volumes *volumes, struct str name, struct arena *arena)
{
	return path_of(arena, "%.*s/tasks/%.*s/volumes/%.*s", STR(volumes->data), STR(volumes->task_id), STR(name));
}

/* People may look at it: what the volume was made with. */
static bool describe(const struct acs_docker_volume *docker, const char *folder, struct error *err)
{
	auto_arena arena = {0};
	auto_buffer text = {0};

	json_encode(&shape_acs_docker_volume, docker, &text);
	return file_write(AT_FDCWD, path_of(&arena, "%s/volume.json", folder), buffer_str(&text), 0640, err);
}

static bool create_shared(const struct volumes *volumes, const struct acs_volume *volume, struct error *err)
{
	auto_arena arena = {0};
	const struct acs_docker_volume *docker = volume->docker_volume_configuration;
	const char *folder = shared_folder(volumes->data, volume->name, &arena);
	const char *content = path_of(&arena, "%s/_data", folder);

	if (access(content, F_OK) < 0) {
		if (!docker->autoprovision.value)
			return fail(err, ERROR_REFUSED, "get %.*s: no such volume", STR(volume->name));
		if (!folder_make(content, FOLDER_MODE, err) || !describe(docker, folder, err))
			return false;
	}
	return folder_make(path_of(&arena, "%s/users", folder), 0700, err) &&
	       file_write(AT_FDCWD, path_of(&arena, "%s/users/%.*s", folder, STR(volumes->task_id)), STR_NONE, 0600, err) &&
	       mount_options(docker, content, err);
}

static bool create_docker(const struct volumes *volumes, const struct acs_volume *volume, struct error *err)
{
	auto_arena arena = {0};
	const struct acs_docker_volume *docker = volume->docker_volume_configuration;
	const char *folder = task_folder(volumes, volume->name, &arena);

	if (!check_docker(volume, err))
		return false;
	return (is_shared(docker) ? create_shared(volumes, volume, err)
				  : folder_make(folder, FOLDER_MODE, err) && mount_options(docker, folder, err)) ||
	       fail_context(err, "CannotCreateVolumeError");
}

/* ---- EFS ---- */

static bool name_is_plain(struct str name)
{
	for (size_t i = 0; i < name.len; i++)
		if (name.ptr[i] == '/' || name.ptr[i] == '\0')
			return false;
	return name.len > 0 && name.ptr[0] != '.';
}

static bool set_owner(int folder, const struct acs_efs_access_point *point, struct error *err)
{
	auto_arena arena = {0};
	const char *permissions = arena_cstr(&arena, point->permissions);
	char link[64];

	snprintf(link, sizeof(link), "/proc/self/fd/%d", folder);
	if (chown(link, (uid_t)point->owner_uid.value, (gid_t)point->owner_gid.value) < 0 ||
	    (*permissions && chmod(link, (mode_t)strtol(permissions, NULL, 8) & 07777) < 0))
		return fail_os(err, errno, "give an access point's folder its owner");
	return true;
}

/* The access point's root folder is made when it is told how; any other must be there. */
static int open_root(int file_system, struct str path, const struct acs_efs_access_point *point, struct error *err)
{
	auto_arena arena = {0};
	const char *inside = str_empty(path) ? "/" : arena_cstr(&arena, path);
	auto_fd root = file_open_inside(file_system, inside, O_PATH | O_DIRECTORY);

	if (root < 0 && errno == ENOENT && point && point->owner_uid.has) {
		if (!folder_make_inside(file_system, str_of(inside), FOLDER_MODE, &root, err) ||
		    !set_owner(root, point, err))
			return -1;
	} else if (root < 0) {
		fail_os(err, errno, "mounting '%s' failed", inside);
	}
	return take_fd(&root);
}

static bool find_efs(const struct volumes *volumes, const struct acs_efs_volume *efs, struct arena *arena,
		     struct volume_source *ret_source, struct error *err)
{
	const struct acs_efs_access_point *point = efs->access_point;
	const char *folder = path_of(arena, "%.*s/efs/%.*s", STR(volumes->data), STR(efs->file_system_id));
	auto_fd file_system = -1, root = -1;
	struct str path = efs->root_directory;
	char link[64], *canonical;
	ssize_t len;

	if (str_has(efs->refusal))
		return fail(err, ERROR_REFUSED, "%.*s", STR(efs->refusal));
	if (!name_is_plain(efs->file_system_id))
		return fail(err, ERROR_REFUSED, "bad file system id '%.*s'", STR(efs->file_system_id));
	if (!folder_make(folder, FOLDER_MODE, err))
		return false;
	if (point)
		path = arena_printf(arena, "/%.*s/%.*s", STR(point->path), STR(path));
	file_system = open(folder, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (file_system < 0)
		return fail_os(err, errno, "open '%s'", folder);
	root = open_root(file_system, path, point, err);
	if (root < 0)
		return false;
	snprintf(link, sizeof(link), "/proc/self/fd/%d", root);
	canonical = arena_alloc(arena, 1, 4096, 1);
	len = readlink(link, canonical, 4095);
	if (len <= 0)
		return fail_os(err, errno, "find the folder of file system '%.*s'", STR(efs->file_system_id));
	*ret_source = (struct volume_source){.kind = VOLUME_EFS, .path = {canonical, (size_t)len},
					     .has_identity = point && point->uid.has,
					     .uid = point ? point->uid.value : 0, .gid = point ? point->gid.value : 0};
	if (point)
		ret_source->secondary_gids = point->secondary_gids;
	return true;
}

/* As AWS begins it (ecs-behaviour 11.3). */
static bool fail_efs(const struct acs_volume *volume, struct error *err)
{
	return fail_context(err, "ResourceInitializationError: failed to invoke EFS utils commands to set up EFS volumes: %.*s",
			    STR(volume->name));
}

/* ---- All kinds ---- */

static bool is_own(const struct acs_volume *volume)
{
	return !volume->docker_volume_configuration && (!volume->host || str_empty(volume->host->source_path));
}

bool volumes_create(const struct volumes *volumes, struct error *err)
{
	auto_arena arena = {0};

	for (size_t i = 0; i < volumes->task->volumes.count; i++) {
		const struct acs_volume *volume = &volumes->task->volumes.items[i];
		struct volume_source source;

		if (!container_check_volume(volume, err))
			return false;
		if (volume->docker_volume_configuration && !create_docker(volumes, volume, err))
			return false;
		if (volume->efs_volume_configuration &&
		    !find_efs(volumes, volume->efs_volume_configuration, &arena, &source, err))
			return fail_efs(volume, err);
	}
	return true;
}

/* Not there: docker makes a folder of root's. */
static bool find_host(struct str path, struct arena *arena, struct error *err)
{
	const char *text = arena_cstr(arena, path);

	return access(text, F_OK) == 0 || folder_make(text, FOLDER_MODE, err) ||
	       fail_context(err, "CannotCreateVolumeError");
}

bool volume_find(const struct volumes *volumes, const struct acs_volume *volume, struct arena *arena,
		 struct volume_source *ret_source, struct error *err)
{
	const struct acs_docker_volume *docker = volume->docker_volume_configuration;
	const char *path = task_folder(volumes, volume->name, arena);

	if (volume->efs_volume_configuration)
		return find_efs(volumes, volume->efs_volume_configuration, arena, ret_source, err) ||
		       fail_efs(volume, err);
	if (!docker && !is_own(volume)) {
		*ret_source = (struct volume_source){.kind = VOLUME_HOST, .path = volume->host->source_path};
		return find_host(volume->host->source_path, arena, err);
	}
	if (docker && is_shared(docker))
		path = path_of(arena, "%s/_data", shared_folder(volumes->data, volume->name, arena));
	if (mkdir(path, FOLDER_MODE) == 0 && volumes->owner > 0 &&
	    chown(path, (uid_t)volumes->owner, (gid_t)volumes->owner) < 0)
		return fail_os(err, errno, "CannotCreateVolumeError: make volume '%s'", path);
	*ret_source = (struct volume_source){.kind = VOLUME_OWN, .path = str_of(path)};
	return true;
}

static bool folder_is_empty(int folder)
{
	int again = openat(folder, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *list = again >= 0 ? fdopendir(again) : NULL;
	struct dirent *entry;
	size_t count = 0;

	if (!list) {
		if (again >= 0)
			close(again);
		return false;
	}
	while (count < 3 && (entry = readdir(list)))
		if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
			count += 3;
	closedir(list);
	return count == 0;
}

bool volume_fill(int from, struct str path, int64_t owner, struct error *err)
{
	auto_arena arena = {0};
	auto_fd to = -1;
	struct stat status;

	if (from < 0)
		return true;
	to = open(arena_cstr(&arena, path), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (to < 0 || fstat(from, &status) < 0)
		return fail_os(err, errno, "fill volume '%.*s'", STR(path));
	if (!folder_is_empty(to))
		return true;
	if (fchown(to, status.st_uid, status.st_gid) < 0 || fchmod(to, status.st_mode & 07777) < 0)
		return errno == EPERM || errno == EROFS || fail_os(err, errno, "fill volume '%.*s'", STR(path));
	return tree_copy(from, to, err);
}

/* ---- The end of a task ---- */

static bool unmount(const char *path, struct error *err)
{
	return !folder_is_mount(path) || umount2(path, MNT_DETACH) == 0 || fail_os(err, errno, "unmount '%s'", path);
}

static bool leave_shared(struct str data, struct str name, struct str task_id, struct error *err)
{
	auto_arena arena = {0};
	const char *folder = shared_folder(data, name, &arena), *users = path_of(&arena, "%s/users", folder);
	struct str *left;
	size_t count;

	if (unlink(path_of(&arena, "%s/%.*s", users, STR(task_id))) < 0)
		return true;
	if (!folder_list(AT_FDCWD, users, VOLUMES_LIMIT, &arena, &left, &count, NULL) || count > 0)
		return true;
	return unmount(path_of(&arena, "%s/_data", folder), err);
}

bool volumes_release(struct str data, struct str task_id, struct error *err)
{
	auto_arena arena = {0};
	const char *own = path_of(&arena, "%.*s/tasks/%.*s/volumes", STR(data), STR(task_id));
	struct str *names;
	size_t count;
	bool ok = true;

	if (folder_list(AT_FDCWD, own, VOLUMES_LIMIT, &arena, &names, &count, NULL))
		for (size_t i = 0; i < count; i++)
			ok = unmount(path_of(&arena, "%s/%.*s", own, STR(names[i])), ok ? err : NULL) && ok;
	if (folder_list(AT_FDCWD, path_of(&arena, "%.*s/volumes", STR(data)), VOLUMES_LIMIT, &arena, &names, &count, NULL))
		for (size_t i = 0; i < count; i++)
			ok = leave_shared(data, names[i], task_id, ok ? err : NULL) && ok;
	return ok;
}
