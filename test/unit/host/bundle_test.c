#include "host/bundle.h"
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>
#include "host/capability.h"
#include "host/syscalls.h"
#include "os/fd.h"
#include "os/file.h"
#include "test/test.h"

struct root {
	char path[32];
	int fd;
};

static void root_new(struct root *root)
{
	memcpy(root->path, "/tmp/wherry-root-XXXXXX", sizeof("/tmp/wherry-root-XXXXXX"));
	assert_non_null(mkdtemp(root->path));
	root->fd = open(root->path, O_PATH | O_DIRECTORY | O_CLOEXEC);
	assert_true(root->fd >= 0);
	assert_int_equal(mkdirat(root->fd, "etc", 0755), 0);
}

static void root_free(struct root *root)
{
	fd_close(&root->fd);
	tree_remove(AT_FDCWD, root->path, NULL);
}

TEST(users_are_looked_up_in_the_image)
{
	static const struct { const char *text; int64_t uid, gid; size_t groups; const char *home; } rows[] = {
		{"", 0, 0, 1, "/root"},       {"0", 0, 0, 1, "/root"},      {"app", 1000, 1001, 2, "/home/app"},
		{"1000", 1000, 1001, 2, "/home/app"}, {"app:50", 1000, 50, 1, "/home/app"},
		{"app:staff", 1000, 50, 1, "/home/app"}, {"77", 77, 0, 1, "/"}, {"77:88", 77, 88, 1, "/"},
		{":staff", 0, 50, 1, "/root"},
	};
	static const char *const bad[] = {"nobody", "app:nogroup", "-1", "4294967295", "1000:99999999999"};
	auto_arena arena = {0};
	struct error err = {0};
	struct root root;
	struct user user;

	root_new(&root);
	assert_true(file_write(root.fd, "etc/passwd", S("rubbish\nroot:x:0:0::/root:/bin/sh\n::::::\n"
							"app:x:1000:1001::/home/app:/bin/sh\nbad:x:-7:1::/:/\n"),
			       0644, &err));
	assert_true(file_write(root.fd, "etc/group", S("root:x:0:\nstaff:x:50:other,app\nx\n"), 0644, &err));
	for (size_t i = 0; i < COUNT(rows); i++) {
		if (!user_find(root.fd, str_of(rows[i].text), &arena, &user, &err))
			fail_msg("'%s': %s", rows[i].text, err.text);
		assert_int_equal(user.uid, rows[i].uid);
		assert_int_equal(user.gid, rows[i].gid);
		assert_int_equal(user.group_count, rows[i].groups);
		EXPECT_STR(user.home, str_of(rows[i].home));
	}
	for (size_t i = 0; i < COUNT(bad); i++)
		assert_false(user_find(root.fd, str_of(bad[i]), &arena, &user, &err));
	root_free(&root);
}

TEST(links_in_an_image_stay_inside_it)
{
	auto_arena arena = {0};
	struct error err = {0};
	struct root root;
	struct user user;
	struct stat status;
	auto_fd made = -1;

	root_new(&root);
	/* The host's own passwd has a root with a home; seen from inside, the link leads nowhere. */
	assert_int_equal(symlinkat("../../../../../../etc/passwd-of-the-host", root.fd, "etc/passwd"), 0);
	assert_true(user_find(root.fd, STR_NONE, &arena, &user, &err));
	EXPECT_STR(user.home, S("/"));
	assert_int_equal(symlinkat("/../../..", root.fd, "out"), 0);
	assert_true(folder_make_inside(root.fd, S("/out/../out/wherry-made"), 0755, &made, &err));
	assert_int_equal(fstatat(root.fd, "wherry-made", &status, 0), 0);
	assert_true(access("/wherry-made", F_OK) < 0);
	root_free(&root);
}

TEST(capabilities_are_combined_as_docker_does)
{
	struct str all = S("ALL"), admin = S("CAP_NET_ADMIN"), chown_name = S("chown");
	struct docker_strings nothing = {NULL, 0}, only_all = {&all, 1}, only_admin = {&admin, 1},
			      only_chown = {&chown_name, 1};
	struct error err = {0};
	uint64_t bits, have = capability_all();

	assert_true(capability_combine(&nothing, &nothing, &bits, &err));
	assert_true(bits == (capability_default() & have));
	assert_true(capability_combine(&only_admin, &only_all, &bits, &err));
	assert_true(bits == (UINT64_C(1) << 12 & have));
	assert_true(capability_combine(&only_all, &only_chown, &bits, &err));
	assert_true(bits == (have & ~UINT64_C(1)));
}

TEST(a_filter_is_compiled_once_for_what_sets_filters_apart)
{
	struct syscalls *syscalls = syscalls_new();
	struct error err = {0};
	struct str first, same, other;

	if (!syscalls_filter(syscalls, capability_default(), &first, &err))
		fail_msg("%s", err.text);
	/* CHOWN unlocks no call. */
	assert_true(syscalls_filter(syscalls, capability_default() & ~UINT64_C(1), &same, &err));
	assert_ptr_equal(first.ptr, same.ptr);
	assert_true(syscalls_filter(syscalls, UINT64_MAX, &other, &err));
	assert_ptr_not_equal(first.ptr, other.ptr);
	print_message("%zu bytes of base64\n", first.len);
	syscalls_free(syscalls);
}

TEST(a_profile_by_names_lets_programs_run_and_keeps_mount_from_them)
{
	auto_arena arena = {0};
	struct oci_seccomp *profile = syscalls_profile(capability_default(), &arena);
	bool allows_read = false, refuses_mount = false;

	assert_int_equal(profile->syscalls.count, 2);
	for (size_t i = 0; i < profile->syscalls.items[0].names.count; i++)
		allows_read |= str_equal(profile->syscalls.items[0].names.items[i], S("read"));
	for (size_t i = 0; i < profile->syscalls.items[1].names.count; i++)
		refuses_mount |= str_equal(profile->syscalls.items[1].names.items[i], S("mount"));
	assert_true(allows_read);
	assert_true(refuses_mount);
}
