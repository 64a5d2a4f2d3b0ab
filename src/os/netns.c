#include "os/netns.h"
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sched.h>
#include <stdio.h>
#include <sys/mount.h>
#include <unistd.h>
#include "os/netlink.h"

static const char own[] = "/proc/thread-self/ns/net";

bool netns_enter(int netns, int *ret_back, struct error *err)
{
	int back = open(own, O_RDONLY | O_CLOEXEC);

	if (back < 0)
		return fail_os(err, errno, "open %s", own);
	if (setns(netns, CLONE_NEWNET) < 0) {
		fail_os(err, errno, "enter a network namespace");
		close(back);
		return false;
	}
	*ret_back = back;
	return true;
}

void netns_leave(int back)
{
	int moved = setns(back, CLONE_NEWNET);

	/* A thread that stays in a container's namespace would do the host's work there. */
	assert(moved == 0);
	(void)moved;
	close(back);
}

/* Best effort: a kernel without the setting has nothing to open, a read-only /proc/sys is the user's will. */
static void write_setting(const char *path, const char *value)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC);

	if (fd < 0)
		return;
	if (write(fd, value, strlen(value)) < 0)
		errno = 0;
	close(fd);
}

/* Runs inside the new namespace. */
static bool furnish(const char *path, int *ret_fd, struct error *err)
{
	auto_netlink netlink = {0};
	int fd;

	if (!netlink_open(&netlink, err) || !netlink_link_up(&netlink, S("lo"), err))
		return false;
	write_setting("/proc/sys/net/ipv4/ip_unprivileged_port_start", "0");
	write_setting("/proc/sys/net/ipv4/ping_group_range", "0 2147483647");
	write_setting("/proc/sys/net/ipv6/conf/default/disable_ipv6", "1");
	fd = open(own, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return fail_os(err, errno, "open %s", own);
	if (mount(own, path, NULL, MS_BIND, NULL) < 0) {
		fail_os(err, errno, "pin network namespace '%s'", path);
		close(fd);
		return false;
	}
	*ret_fd = fd;
	return true;
}

static bool path_copy(struct str path, char text[static PATH_MAX], struct error *err)
{
	if (path.len >= PATH_MAX)
		return fail(err, ERROR_REFUSED, "path of a network namespace: over %d bytes", PATH_MAX - 1);
	snprintf(text, PATH_MAX, "%.*s", STR(path));
	return true;
}

static bool make_here(const char *path, int *ret_fd, struct error *err)
{
	int back = open(own, O_RDONLY | O_CLOEXEC);
	bool ok;

	if (back < 0)
		return fail_os(err, errno, "open %s", own);
	if (unshare(CLONE_NEWNET) < 0) {
		fail_os(err, errno, "create network namespace '%s'", path);
		close(back);
		return false;
	}
	ok = furnish(path, ret_fd, err);
	netns_leave(back);
	return ok;
}

bool netns_create(struct str path, int *ret_fd, struct error *err)
{
	char text[PATH_MAX];
	int file;

	if (!path_copy(path, text, err))
		return false;
	file = open(text, O_RDONLY | O_CREAT | O_CLOEXEC, 0600);
	if (file < 0)
		return fail_os(err, errno, "create '%s'", text);
	close(file);
	if (make_here(text, ret_fd, err))
		return true;
	unlink(text);
	return false;
}

bool netns_remove(struct str path, struct error *err)
{
	char text[PATH_MAX];

	if (!path_copy(path, text, err))
		return false;
	/* More than one may lie on top of the other when a pin was made twice. */
	while (umount2(text, MNT_DETACH | UMOUNT_NOFOLLOW) == 0)
		;
	if (errno != EINVAL && errno != ENOENT && errno != ENOTDIR)
		return fail_os(err, errno, "unpin network namespace '%s'", text);
	if (unlink(text) < 0 && errno != ENOENT && errno != ENOTDIR)
		return fail_os(err, errno, "remove '%s'", text);
	return true;
}
