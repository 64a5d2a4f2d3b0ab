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

/* "before/proc/self/fd/N": keeps the descriptor open until the mount is made. */
static int add_folder(struct options *options, const char *before, const char *path)
{
	int fd = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC), put;

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

int overlay_mount(const char *upper, const char *work, const char *const *lowers, size_t count,
		  const char *target)
{
	struct options options = {.len = 0};
	int failed = count == 0 || count > OVERLAY_LAYERS_LIMIT ? EINVAL : 0;

	for (size_t i = 0; i < count && !failed; i++)
		failed = add_folder(&options, i == 0 ? "lowerdir=" : ":", lowers[i]);
	if (!failed)
		failed = add_folder(&options, ",upperdir=", upper);
	if (!failed)
		failed = add_folder(&options, ",workdir=", work);
	if (!failed && mount("overlay", target, "overlay", 0, options.text) < 0)
		failed = errno;
	while (options.count > 0)
		close(options.fds[--options.count]);
	return failed;
}
