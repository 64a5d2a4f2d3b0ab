#include "host/space.h"
#include <errno.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <linux/loop.h>
#include "base/arena.h"
#include "os/fd.h"
#include "os/file.h"
#include "os/process.h"

enum { LOOP_TRIES = 16 };

#define FORMAT_PATIENCE (60 * USEC_PER_SEC)

/* No journal: what a crash of the machine damages is gone with it anyway. */
static bool format(const char *file, struct error *err)
{
	char *arguments[] = {"/sbin/mkfs.ext4", "-q", "-F", "-m", "0", "-O", "^has_journal",
			     "-E", "lazy_itable_init=1,nodiscard", (char *)file, NULL};
	pid_t pid;
	int code;

	if (!process_spawn(arguments, -1, &pid, err) || !process_wait(pid, FORMAT_PATIENCE, &code, err))
		return fail_context(err, "run mkfs.ext4");
	return code == 0 || fail(err, ERROR_OS, "mkfs.ext4 ended with %d", code);
}

/* Another process may take the free one first. */
static int open_loop(int file, char *ret_path, size_t room, struct error *err)
{
	auto_fd control = open("/dev/loop-control", O_RDWR | O_CLOEXEC);
	struct loop_config config = {.fd = (unsigned)file, .info = {.lo_flags = LO_FLAGS_AUTOCLEAR}};

	for (int i = 0; control >= 0 && i < LOOP_TRIES; i++) {
		int number = ioctl(control, LOOP_CTL_GET_FREE);
		auto_fd device = -1;

		snprintf(ret_path, room, "/dev/loop%d", number);
		device = number < 0 ? -1 : open(ret_path, O_RDWR | O_CLOEXEC);
		if (device >= 0 && ioctl(device, LOOP_CONFIGURE, &config) == 0)
			return take_fd(&device);
		if (errno != EBUSY)
			break;
	}
	fail_os(err, errno, "get a loop device");
	return -1;
}

static bool mount_file(const char *file, const char *folder, struct error *err)
{
	auto_fd fd = open(file, O_RDWR | O_CLOEXEC);
	char path[64];
	auto_fd loop = fd < 0 ? -1 : open_loop(fd, path, sizeof(path), err);

	if (loop < 0)
		return false;
	return mount(path, folder, "ext4", MS_NOATIME, NULL) == 0 || fail_os(err, errno, "mount '%s'", folder);
}

static bool make_file(const char *file, int64_t gib, struct error *err)
{
	auto_fd fd = open(file, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

	return (fd >= 0 && ftruncate(fd, gib << 30) == 0) || fail_os(err, errno, "make '%s'", file);
}

bool space_create(struct str folder, int64_t gib, struct error *err)
{
	auto_arena arena = {0};
	const char *target = arena_cstr(&arena, folder);
	const char *file = arena_printf(&arena, "%.*s.space%c", STR(folder), '\0').ptr;
	bool ok;

	if (gib <= 0 || gib > SPACE_GIB_LIMIT)
		return fail(err, ERROR_REFUSED, "ephemeralStorage of %lld GiB", (long long)gib);
	if (folder_is_mount(target))
		return true;
	ok = folder_make(target, 0711, err) && make_file(file, gib, err) && format(file, err) &&
	     mount_file(file, target, err) && (chmod(target, 0711) == 0 || fail_os(err, errno, "open '%s'", target));
	unlink(file);
	return ok || fail_context(err, "ephemeralStorage");
}

bool space_remove(struct str folder, struct error *err)
{
	auto_arena arena = {0};
	const char *target = arena_cstr(&arena, folder);

	unlink(arena_printf(&arena, "%.*s.space%c", STR(folder), '\0').ptr);
	return !folder_is_mount(target) || umount2(target, MNT_DETACH) == 0 || fail_os(err, errno, "unmount '%s'", target);
}
