#include "os/overlay.h"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/mount.h>
#include <unistd.h>

struct options {
	char text[4096];
	size_t len;
	int fds[OVERLAY_LAYERS_LIMIT + 2];
	size_t count;
};

/* A mount of `path` that nobody else sees, with its owners as `userns` has them. -1 with errno. */
static int open_mapped(const char *path, int userns)
{
	struct mount_attr attributes = {.attr_set = MOUNT_ATTR_IDMAP, .userns_fd = (unsigned)userns};
	int fd = open_tree(AT_FDCWD, path, OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC);

	if (fd >= 0 && mount_setattr(fd, "", AT_EMPTY_PATH, &attributes, sizeof(attributes)) < 0) {
		int failed = errno;

		close(fd);
		errno = failed;
		return -1;
	}
	return fd;
}

int overlay_bind_mapped(const char *source, const char *target, int userns)
{
	int fd = open_mapped(source, userns), failed = 0;

	if (fd < 0)
		return errno;
	if (move_mount(fd, "", AT_FDCWD, target, MOVE_MOUNT_F_EMPTY_PATH) < 0)
		failed = errno;
	close(fd);
	return failed;
}

/* "before/proc/self/fd/N": keeps the descriptor open until the mount is made. */
static int add_folder(struct options *options, const char *before, const char *path, int userns)
{
	int fd = userns < 0 ? open(path, O_PATH | O_DIRECTORY | O_CLOEXEC) : open_mapped(path, userns), put;

	if (fd < 0)
		return errno;
	options->fds[options->count++] = fd;
	put = snprintf(options->text + options->len, sizeof(options->text) - options->len,
		       "%s/proc/self/fd/%d", before, fd);
	if (put < 0 || (size_t)put >= sizeof(options->text) - options->len)
		return E2BIG;
	options->len += (size_t)put;
	return 0;
}

/* What an overlay leaves in its work folder to say that it was never flushed; its files are still in memory, or were flushed. */
static void forget_volatile(int work)
{
	static const char *const marks[] = {"work/incompat/volatile/dirty", "work/incompat/volatile"};

	unlinkat(work, marks[0], 0);
	unlinkat(work, marks[1], AT_REMOVEDIR);
}

static int mount_scratch(struct options *options, const char *target)
{
	size_t len = options->len;

	forget_volatile(options->fds[options->count - 1]);
	snprintf(options->text + len, sizeof(options->text) - len, ",volatile");
	if (mount("overlay", target, "overlay", 0, options->text) == 0)
		return 0;
	options->text[len] = '\0';
	return errno == EINVAL && mount("overlay", target, "overlay", 0, options->text) == 0 ? 0 : errno;
}

int overlay_mount(const char *upper, const char *work, const char *const *lowers, size_t count,
		  const char *target, int userns)
{
	struct options options = {.len = 0};
	int failed = count == 0 || count > OVERLAY_LAYERS_LIMIT ? EINVAL : 0;

	for (size_t i = 0; i < count && !failed; i++)
		failed = add_folder(&options, i == 0 ? "lowerdir=" : ":", lowers[i], userns);
	if (!failed)
		failed = add_folder(&options, ",upperdir=", upper, -1);
	if (!failed)
		failed = add_folder(&options, ",workdir=", work, -1);
	if (!failed)
		failed = mount_scratch(&options, target);
	while (options.count > 0)
		close(options.fds[--options.count]);
	return failed;
}

int overlay_take(const char *target)
{
	int fd = open_tree(AT_FDCWD, target, OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC), failed = errno;

	umount2(target, MNT_DETACH);
	errno = failed;
	return fd;
}

int overlay_put(int mount, const char *target)
{
	return move_mount(mount, "", AT_FDCWD, target, MOVE_MOUNT_F_EMPTY_PATH) < 0 ? errno : 0;
}
