#include "os/overlay.h"
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdlib.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#include "os/file.h"
#include "test/test.h"

/* Folders of an overlay below the working folder, and two to mount it on. */
static bool make_folders(void)
{
	static const char *const names[] = {"lower", "upper", "work", "here", "there"};

	for (size_t i = 0; i < COUNT(names); i++)
		if (mkdir(names[i], 0755) < 0)
			return false;
	return file_write(AT_FDCWD, "lower/file", S("of the image"), 0644, NULL);
}

static bool exists(const char *path) { return access(path, F_OK) == 0; }

/* 0, or the line that was not so: what asserts is the parent, for the child is in a mount namespace of its own. */
static int carry_mounts(void)
{
	const char *const lowers[] = {"lower"};

	if (unshare(CLONE_NEWNS) < 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 || !make_folders())
		return __LINE__;
	for (int run = 0; run < 2; run++) {
		int fd;

		if (overlay_mount("upper", "work", lowers, 1, "here", -1) != 0 || !exists("here/file"))
			return __LINE__;
		fd = overlay_take("here");
		if (fd < 0 || exists("here/file") || faccessat(fd, "file", F_OK, 0) < 0)
			return __LINE__;
		if (overlay_put(fd, "there") != 0 || exists("there/kept") != (run > 0))
			return __LINE__;
		if (!file_write(AT_FDCWD, "there/kept", S("by the first run"), 0644, NULL))
			return __LINE__;
		if (umount2("there", MNT_DETACH) < 0 || close(fd) < 0)
			return __LINE__;
	}
	return 0;
}

TEST(an_overlay_is_carried_elsewhere_and_mounted_again_with_what_was_written)
{
	char folder[] = "/tmp/wherry-overlay-XXXXXX";
	int status = 0;

	if (geteuid() != 0) {
		print_message("needs root\n");
		skip();
	}
	assert_non_null(mkdtemp(folder));
	if (fork() == 0)
		_exit(chdir(folder) < 0 ? 1 : carry_mounts());
	assert_true(wait(&status) > 0);
	tree_remove(AT_FDCWD, folder, NULL);
	assert_int_equal(WEXITSTATUS(status), 0);
}

TEST(an_overlay_of_no_layer_is_refused)
{
	assert_int_equal(overlay_mount("/tmp", "/tmp", NULL, 0, "/tmp", -1), EINVAL);
}
