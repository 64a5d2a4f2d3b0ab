/* efs.h - what the other rooms need of file systems: a volume's place, and whom its files belong to.
 *
 * The room itself answers the EFS API (neighbours 9): file systems, mount targets, access points, tags. It keeps what
 * was said about a file system; its files are on the machines' disks, and nothing here sees them. What is made is
 * available at once: it shows as "creating" only in the answer to its making. Of what was deleted the id is remembered:
 * machines ask for it (DeletedFileSystems) and remove the files of nothing else. */
#pragma once
#include "control/call.h"

enum {
	EFS_FILE_SYSTEMS_LIMIT = 1000,                   /* of an account and region, as AWS has it */
	EFS_ACCESS_POINTS_LIMIT = 1000,                  /* of a file system */
	EFS_GROUPS_LIMIT = 5,                            /* of a mount target */
	EFS_TAGS_LIMIT = 50,
	EFS_PAGE_LIMIT = 100,
	EFS_PATH_DEPTH_LIMIT = 4,
	EFS_DELETED_LIMIT = 1000,                        /* remembered, of a realm: past it the files of the oldest stay */
	EFS_ASKED_LIMIT = 1000,                          /* of one DeletedFileSystems */
};

/* What a task mounts. Strings are borrowed from the state: good until the end of the step. */
struct efs_volume_view {
	struct str file_system_id;                       /* "fs-…", also when it was named by its ARN */
	struct str path;                                 /* of the access point's root; "/" without one */
	bool has_user;                                   /* the access point's user replaces the container's */
	int64_t uid, gid;
	struct efs_secondary_gids secondary_gids;
	bool has_owner;                                  /* who makes `path` when it is missing; without: the mount fails */
	int64_t owner_uid, owner_gid;
	struct str permissions;                          /* octal, "0755" */
};

/* False when there is no such file system, or no such access point of it. `access_point_id` may be absent; both may be
 * ARNs. What is found is available: a volume has no other state. */
bool efs_find_volume(struct plane *plane, const struct realm *realm, struct str file_system_id,
		     struct str access_point_id, struct efs_volume_view *ret_view);

/* Whether machines in that VPC and zone reach the file system; absent: in any. */
bool efs_has_mount_target(struct plane *plane, const struct realm *realm, struct str file_system_id,
			  struct str vpc_id, struct str zone);
