/* volume.h - the volumes of tasks: host folders, docker's, EFS.
 *
 * DATA/tasks/TASK/volumes/NAME      of one task (no source path, or docker's with scope task): goes with it
 * DATA/volumes/NAME/_data           docker's with scope shared: stays; volume.json: driver, options, labels;
 *                                   users/TASK: who has it, as long as its options mount something
 * DATA/efs/FILE_SYSTEM              file systems of EFS: they stay until the file system is deleted (runner/file_systems.h),
 *                                   and are shared by all tasks of this machine
 * A path inside a file system is looked up as seen from inside it: links in it cannot lead out.
 *
 * An access point's identity is enforced by a mount that knows only its user: on the disk it is the access point's, in the
 * container the one that its process runs as. Nobody else in the container can make anything there (EOVERFLOW). Its secondary
 * groups show in the container as groups of their own (VOLUME_GROUP_FIRST and on), which the process gets and which mean nothing
 * anywhere else. */
#pragma once
#include "host/container.h"

enum {
	VOLUME_OPTIONS_LIMIT = 4096,                     /* bytes of driverOpts.o */
	VOLUMES_LIMIT = 100000,                          /* shared ones on one machine */
	VOLUME_SECONDARY_GIDS_LIMIT = 16,                /* of an access point, as AWS has it */
	VOLUME_GROUP_FIRST = 65000, VOLUME_GROUP_END = 65534, /* Debian keeps these numbers free */
};

/* What holds all of a task's volumes. */
struct volumes {
	struct str data, task_id;
	const struct acs_task *task;
	int64_t owner;                                   /* user and group of new ones: 0, or where a user namespace begins */
};

/* Makes and mounts what the task's volumes need, before its first container. Error texts are whole reasons. Idempotent. */
bool volumes_create(const struct volumes *volumes, struct error *err);
/* Unmounts and lets go; the task's own folders are the caller's to remove. `task` is not needed. */
bool volumes_release(struct str data, struct str task_id, struct error *err);

enum volume_kind {
	VOLUME_HOST,                                     /* a folder that somebody else keeps */
	VOLUME_OWN,                                      /* docker fills it with what the image has at its place */
	VOLUME_EFS,
};

struct volume_source {
	enum volume_kind kind;
	struct str path;                                 /* absolute; of EFS without links in it */
	bool has_identity;                               /* an access point's */
	int64_t uid, gid;
	struct acs_longs secondary_gids;
};

/* Where a volume of the task lies, made when it is not there. */
bool volume_find(const struct volumes *volumes, const struct acs_volume *volume, struct arena *arena,
		 struct volume_source *ret_source, struct error *err);
/* Copies what is below `from` (-1: nothing) into the volume when it is still empty. */
bool volume_fill(int from, struct str path, int64_t owner, struct error *err);
