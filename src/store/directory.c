#include "store/directory.h"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>
#include "base/arena.h"

bool directory_sync(struct str directory, struct error *err)
{
	auto_arena arena = {0};
	int fd = open(arena_cstr(&arena, directory), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	bool synced = fd >= 0 && fsync(fd) == 0;
	int reason = errno;

	if (fd >= 0)
		close(fd);
	return synced || fail_os(err, reason, "sync directory '%.*s'", STR(directory));
}

static struct str parent_of(struct str directory)
{
	size_t slash;

	while (directory.len > 1 && str_ends(directory, S("/")))
		directory.len--;
	slash = str_find_last(directory, '/');
	if (slash == directory.len)
		return S(".");
	return str_slice(directory, 0, MAX(slash, 1));
}

bool directory_make(struct str directory, struct error *err)
{
	auto_arena arena = {0};

	if (mkdir(arena_cstr(&arena, directory), 0700) == 0)
		return directory_sync(parent_of(directory), err);
	return errno == EEXIST || fail_os(err, errno, "create directory '%.*s'", STR(directory));
}

bool directory_make_file(struct str directory, const char *path, struct error *err)
{
	int fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);

	if (fd < 0)
		return errno == EEXIST || fail_os(err, errno, "create '%s'", path);
	close(fd);
	return directory_sync(directory, err);
}

static bool fail_in_use(int fd, struct str directory, struct error *err)
{
	char bytes[24];
	ssize_t len = pread(fd, bytes, sizeof(bytes), 0);
	struct str text = str_trim((struct str){bytes, len > 0 ? (size_t)len : 0});
	uint64_t pid;

	/* The holder writes its pid after it has the lock, so there may be nothing to read yet. */
	if (!str_to_unsigned(text, &pid))
		return fail(err, ERROR_REFUSED, "'%.*s' is in use by another process", STR(directory));
	return fail(err, ERROR_REFUSED, "'%.*s' is in use by process %.*s", STR(directory), STR(text));
}

static bool write_pid(int fd)
{
	char bytes[24];
	int len = snprintf(bytes, sizeof(bytes), "%d\n", (int)getpid());

	return ftruncate(fd, 0) == 0 && pwrite(fd, bytes, (size_t)len, 0) == len;
}

bool directory_lock(struct str directory, int *ret_fd, struct error *err)
{
	auto_arena arena = {0};
	char *path = arena_cstr(&arena, arena_printf(&arena, "%.*s/lock", STR(directory)));
	int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	bool locked;

	if (fd < 0)
		return fail_os(err, errno, "open '%s'", path);
	locked = flock(fd, LOCK_EX | LOCK_NB) == 0;
	if (!locked && errno == EWOULDBLOCK)
		fail_in_use(fd, directory, err);
	else if (!locked)
		fail_os(err, errno, "lock '%s'", path);
	if (!locked) {
		close(fd);
		return false;
	}
	/* Only a courtesy, and a full disk must not keep the server from starting. */
	(void)!write_pid(fd);
	*ret_fd = fd;
	return true;
}
