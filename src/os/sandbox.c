#include "os/sandbox.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/capability.h>
#include <pwd.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>
#include "base/arena.h"

/* Links are not followed: whoever may write here must not have us give away other files. */
static bool own_files(const char *path, uid_t uid, gid_t gid, struct error *err)
{
	DIR *folder = opendir(path);
	struct dirent *entry;
	struct stat status;
	bool owned = true;

	if (!folder)
		return errno == ENOENT || fail_os(err, errno, "open '%s'", path);
	owned = fchown(dirfd(folder), uid, gid) == 0;
	while (owned && (entry = readdir(folder))) {
		if (fstatat(dirfd(folder), entry->d_name, &status, AT_SYMLINK_NOFOLLOW) < 0 ||
		    !S_ISREG(status.st_mode) || status.st_nlink > 1)
			continue;
		owned = fchownat(dirfd(folder), entry->d_name, uid, gid, AT_SYMLINK_NOFOLLOW) == 0;
	}
	if (!owned)
		fail_os(err, errno, "give '%s' to user %u", path, (unsigned)uid);
	closedir(folder);
	return owned;
}

static bool become(const struct passwd *user, struct error *err)
{
	if (setgroups(0, NULL) == 0 && setresgid(user->pw_gid, user->pw_gid, user->pw_gid) == 0 &&
	    setresuid(user->pw_uid, user->pw_uid, user->pw_uid) == 0)
		return true;
	return fail_os(err, errno, "become user '%s'", user->pw_name);
}

/* While we still may; without CAP_SETPCAP there is nothing to drop either. */
static void drop_bounds(void)
{
	for (int capability = 0; prctl(PR_CAPBSET_READ, capability, 0, 0, 0) >= 0; capability++)
		prctl(PR_CAPBSET_DROP, capability, 0, 0, 0);
}

static bool drop_capabilities(struct error *err)
{
	struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
	struct __user_cap_data_struct none[_LINUX_CAPABILITY_U32S_3] = {0};

	prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0);
	if (syscall(SYS_capset, &header, none) < 0)
		return fail_os(err, errno, "drop capabilities");
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
		return fail_os(err, errno, "set no_new_privs");
	return true;
}

bool sandbox_enter(const char *user, struct str folder, const char *private, bool *ret_switched,
		   struct error *err)
{
	auto_arena arena = {0};
	struct passwd *found = geteuid() == 0 ? getpwnam(user) : NULL;

	*ret_switched = false;
	drop_bounds();
	if (found) {
		if (!own_files(arena_cstr(&arena, folder), found->pw_uid, found->pw_gid, err) ||
		    !own_files(arena_printf(&arena, "%.*s/%s", STR(folder), private).ptr,
			       found->pw_uid, found->pw_gid, err) ||
		    !become(found, err))
			return false;
		*ret_switched = true;
	}
	return drop_capabilities(err);
}
