/* user.h - who a container's process is: "app", "1000:1000", "app:staff" → numbers.
 *
 * Names are looked up in the image's own /etc/passwd and /etc/group, which a stranger wrote: links are
 * followed as the container would see them, never out of its root; sizes and counts have limits. */
#pragma once
#include "base/arena.h"
#include "base/error.h"

enum { USER_FILE_LIMIT = 8 << 20, USER_GROUPS_LIMIT = 1024 };

struct user {
	int64_t uid, gid;
	int64_t *groups;                                 /* supplementary */
	size_t group_count;
	struct str home;                                 /* "/" when unknown */
};

/* Absent or empty: root. `root`: the container's root folder. */
bool user_find(int root, struct str text, struct arena *arena, struct user *ret_user, struct error *err);
