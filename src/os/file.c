#include "os/file.h"
#include <dirent.h>
#include <errno.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include "base/buffer.h"
#include "os/fd.h"

enum { TREE_DEPTH_LIMIT = 512, PATH_LIMIT = 4096 };

bool file_read_fd(int fd, size_t limit, struct arena *arena, struct str *ret_text, struct error *err)
{
	auto_buffer text = {0};
	ssize_t got;

	do {
		buffer_reserve(&text, 16384);
		got = read(fd, text.bytes + text.len, 16384);
		if (got < 0 && errno != EINTR)
			return fail_os(err, errno, "read");
		if (got > 0)
			text.len += (size_t)got;
		if (text.len > limit)
			return fail(err, ERROR_REFUSED, "more than %zu bytes", limit);
	} while (got != 0);
	*ret_text = arena_copy(arena, buffer_str(&text));
	return true;
}

bool file_read(int folder, const char *path, size_t limit, struct arena *arena, struct str *ret_text,
	       struct error *err)
{
	auto_fd fd = openat(folder, path, O_RDONLY | O_CLOEXEC);

	if (fd < 0 && errno == ENOENT)
		return fail(err, ERROR_NOT_FOUND, "there is no '%s'", path);
	if (fd < 0)
		return fail_os(err, errno, "open '%s'", path);
	if (!file_read_fd(fd, limit, arena, ret_text, err))
		return fail_context(err, "'%s'", path);
	return true;
}

bool file_write_all(int fd, struct str text)
{
	while (text.len > 0) {
		ssize_t put = write(fd, text.ptr, text.len);

		if (put < 0 && errno == EINTR)
			continue;
		if (put < 0)
			return false;
		text = str_slice(text, (size_t)put, text.len);
	}
	return true;
}

bool file_write(int folder, const char *path, struct str text, mode_t mode, struct error *err)
{
	char beside[PATH_LIMIT];
	auto_fd fd = -1;

	if (snprintf(beside, sizeof(beside), "%s.%lx.new", path, (long)gettid()) >= (int)sizeof(beside))
		return fail(err, ERROR_REFUSED, "'%s' is too long", path);
	fd = openat(folder, beside, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, mode);
	if (fd < 0)
		return fail_os(err, errno, "create '%s'", beside);
	if (fchmod(fd, mode) == 0 && file_write_all(fd, text) && renameat(folder, beside, folder, path) == 0)
		return true;
	fail_os(err, errno, "write '%s'", path);
	unlinkat(folder, beside, 0);
	return false;
}

bool file_put(int folder, const char *path, struct str text, struct error *err)
{
	auto_fd fd = openat(folder, path, O_WRONLY | O_CLOEXEC);

	if (fd < 0)
		return fail_os(err, errno, "open '%s'", path);
	if (write(fd, text.ptr, text.len) < 0)
		return fail_os(err, errno, "write '%.*s' to '%s'", STR(text), path);
	return true;
}

bool folder_make(const char *path, mode_t mode, struct error *err)
{
	char part[PATH_LIMIT];
	size_t len = strlen(path);

	if (len >= sizeof(part))
		return fail(err, ERROR_REFUSED, "'%s' is too long", path);
	if (mkdir(path, mode) == 0 || errno == EEXIST)   /* mostly its parents are there */
		return true;
	for (size_t i = 1; i <= len; i++) {
		if (path[i] != '/' && path[i] != '\0')
			continue;
		memcpy(part, path, i);
		part[i] = '\0';
		if (mkdir(part, mode) < 0 && errno != EEXIST)
			return fail_os(err, errno, "make folder '%s'", part);
	}
	return true;
}

static bool is_dots(const char *name) { return strcmp(name, ".") == 0 || strcmp(name, "..") == 0; }

static bool remove_below(int parent, const char *name, dev_t device, int depth, struct error *err)
{
	auto_fd fd = openat(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	struct dirent *entry;
	struct stat status;
	bool ok = true;
	DIR *folder;

	if (fd < 0)
		return errno == ENOENT || fail_os(err, errno, "open '%s'", name);
	if (fstat(fd, &status) < 0 || status.st_dev != device)
		return fail(err, ERROR_REFUSED, "'%s' is a mount point", name);
	if (depth == TREE_DEPTH_LIMIT)
		return fail(err, ERROR_REFUSED, "'%s' lies too deep", name);
	folder = fdopendir(fd);
	if (!folder)
		return fail_os(err, errno, "open '%s'", name);
	take_fd(&fd);
	while (ok && (entry = readdir(folder))) {
		if (is_dots(entry->d_name))
			continue;
		if (unlinkat(dirfd(folder), entry->d_name, 0) == 0 || errno == ENOENT)
			continue;
		if (errno != EISDIR && errno != EPERM)
			ok = fail_os(err, errno, "remove '%s'", entry->d_name);
		else
			ok = remove_below(dirfd(folder), entry->d_name, device, depth + 1, err);
	}
	closedir(folder);
	if (ok && unlinkat(parent, name, AT_REMOVEDIR) < 0 && errno != ENOENT)
		return fail_os(err, errno, "remove '%s'", name);
	return ok;
}

bool tree_remove(int folder, const char *path, struct error *err)
{
	struct stat status;

	if (fstatat(folder, path, &status, AT_SYMLINK_NOFOLLOW) < 0)
		return errno == ENOENT || fail_os(err, errno, "look at '%s'", path);
	if (S_ISDIR(status.st_mode))
		return remove_below(folder, path, status.st_dev, 0, err);
	if (unlinkat(folder, path, 0) < 0 && errno != ENOENT)
		return fail_os(err, errno, "remove '%s'", path);
	return true;
}

static bool copy_bytes(int from, int to)
{
	char block[65536];
	ssize_t got;

	while ((got = read(from, block, sizeof(block))) > 0)
		if (!file_write_all(to, (struct str){block, (size_t)got}))
			return false;
	return got == 0;
}

static bool copy_file(int from, int to, const char *name, mode_t mode)
{
	auto_fd in = openat(from, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
	auto_fd out = openat(to, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, mode);

	return in >= 0 && out >= 0 && copy_bytes(in, out);
}

static bool copy_link(int from, int to, const char *name)
{
	char target[PATH_LIMIT];
	ssize_t len = readlinkat(from, name, target, sizeof(target) - 1);

	if (len < 0)
		return false;
	target[len] = '\0';
	return symlinkat(target, to, name) == 0;
}

static bool copy_below(int from, int to, int depth, struct error *err);

static bool copy_folder(int from, int to, const char *name, int depth, struct error *err)
{
	auto_fd in = openat(from, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	auto_fd out = -1;

	if (in < 0 || (mkdirat(to, name, 0700) < 0 && errno != EEXIST))
		return fail_os(err, errno, "copy folder '%s'", name);
	out = openat(to, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (out < 0)
		return fail_os(err, errno, "copy folder '%s'", name);
	return copy_below(in, out, depth + 1, err);
}

/* Devices, sockets and pipes are left out: a volume has no use for an image's. */
static bool copy_entry(int from, int to, const char *name, int depth, struct error *err)
{
	struct stat status;
	bool ok = true;

	if (fstatat(from, name, &status, AT_SYMLINK_NOFOLLOW) < 0)
		return fail_os(err, errno, "look at '%s'", name);
	if (S_ISDIR(status.st_mode)) {
		if (!copy_folder(from, to, name, depth, err))
			return false;
	} else if (S_ISREG(status.st_mode)) {
		ok = copy_file(from, to, name, 0600);
	} else if (S_ISLNK(status.st_mode)) {
		ok = copy_link(from, to, name);
	} else {
		return true;
	}
	ok = ok && fchownat(to, name, status.st_uid, status.st_gid, AT_SYMLINK_NOFOLLOW) == 0;
	if (!S_ISLNK(status.st_mode))
		ok = ok && fchmodat(to, name, status.st_mode & 07777, 0) == 0;
	ok = ok && utimensat(to, name, (struct timespec[]){status.st_atim, status.st_mtim},
			     AT_SYMLINK_NOFOLLOW) == 0;
	return ok || fail_os(err, errno, "copy '%s'", name);
}

static bool copy_below(int from, int to, int depth, struct error *err)
{
	int again = openat(from, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *folder = again < 0 ? NULL : fdopendir(again);
	struct dirent *entry;
	bool ok = true;

	if (!folder) {
		fd_close(&again);
		return fail_os(err, errno, "read folder");
	}
	if (depth == TREE_DEPTH_LIMIT)
		ok = fail(err, ERROR_REFUSED, "folders lie too deep");
	while (ok && (entry = readdir(folder)))
		if (!is_dots(entry->d_name))
			ok = copy_entry(from, to, entry->d_name, depth, err);
	closedir(folder);
	return ok;
}

bool tree_copy(int from, int to, struct error *err) { return copy_below(from, to, 0, err); }

int file_open_inside(int root, const char *path, int flags)
{
	struct open_how how = {.flags = (unsigned)flags | O_CLOEXEC, .resolve = RESOLVE_IN_ROOT};

	return (int)syscall(SYS_openat2, root, path, &how, sizeof(how));
}

bool folder_is_mount(const char *path)
{
	struct statx status;

	return statx(AT_FDCWD, path, AT_SYMLINK_NOFOLLOW, STATX_BASIC_STATS, &status) == 0 &&
	       (status.stx_attributes & STATX_ATTR_MOUNT_ROOT);
}

bool folder_make_inside(int root, struct str path, mode_t mode, int *ret_fd, struct error *err)
{
	char part[PATH_LIMIT], *name;
	auto_fd at = file_open_inside(root, "/", O_PATH | O_DIRECTORY);

	if (path.len >= sizeof(part))
		return fail(err, ERROR_REFUSED, "'%.*s' is too long", STR(path));
	for (size_t i = 1; at >= 0 && i <= path.len; i++) {
		int next;

		if (i < path.len && path.ptr[i] != '/')
			continue;
		memcpy(part, path.ptr, i);
		part[i] = '\0';
		name = strrchr(part, '/') ? strrchr(part, '/') + 1 : part;
		next = file_open_inside(root, part, O_PATH | O_DIRECTORY);
		if (next < 0 && errno == ENOENT && mkdirat(at, name, mode) == 0)
			next = file_open_inside(root, part, O_PATH | O_DIRECTORY);
		if (next < 0)
			return fail_os(err, errno, "make folder '%s'", part);
		close(at);
		at = next;
	}
	if (at < 0)
		return fail_os(err, errno, "open the root");
	*ret_fd = take_fd(&at);
	return true;
}

static int compare_names(const void *a, const void *b)
{
	return str_compare(*(const struct str *)a, *(const struct str *)b);
}

bool folder_list(int folder, const char *path, size_t limit, struct arena *arena, struct str **ret_names,
		 size_t *ret_count, struct error *err)
{
	int fd = openat(folder, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *list = fd < 0 ? NULL : fdopendir(fd);
	struct str *names = NULL;
	struct dirent *entry;
	size_t count = 0, room = 0;

	if (!list && errno == ENOENT)
		return fail(err, ERROR_NOT_FOUND, "there is no '%s'", path);
	if (!list) {
		fail_os(err, errno, "open '%s'", path);
		fd_close(&fd);
		return false;
	}
	while (count <= limit && (entry = readdir(list))) {
		if (is_dots(entry->d_name))
			continue;
		if (count == room) {
			struct str *more = arena_array(arena, struct str, room = room ? 2 * room : 16);

			if (count > 0)
				memcpy(more, names, count * sizeof(*names));
			names = more;
		}
		names[count++] = arena_copy(arena, str_of(entry->d_name));
	}
	closedir(list);
	if (count > limit)
		return fail(err, ERROR_REFUSED, "'%s' holds more than %zu names", path, limit);
	if (count > 0)
		qsort(names, count, sizeof(*names), compare_names);
	*ret_names = names;
	*ret_count = count;
	return true;
}
