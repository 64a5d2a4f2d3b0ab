/* state.h - the EFS room's entries and their indexes.
 *
 * Who points to whom: file system ⊃ mount targets, access points. A mount target owns its network interface (EC2's
 * record), which comes and goes with it. */
#pragma once
#include "base/list.h"
#include "control/efs/efs.h"
#include "control/room.h"

struct file_system_entry {
	ENTRY_OF(file_system);
	struct sorted_node by_id, by_token;
	struct sorted mount_targets, access_points;      /* by their ids */
};

struct mount_target_entry {
	ENTRY_OF(mount_target);
	struct sorted_node by_id;                        /* of its file system's */
	struct file_system_entry *file_system;
};

struct access_point_entry {
	ENTRY_OF(access_point);
	struct sorted_node by_id, by_token;              /* of the realm's */
	struct sorted_node of_file_system;
	struct file_system_entry *file_system;
};

/* ---- Finding. Ids may be ARNs of the realm. */
struct file_system_entry *efs_find_file_system(struct plane *plane, const struct realm *realm, struct str id);
struct mount_target_entry *efs_find_mount_target(struct plane *plane, const struct realm *realm, struct str id);
struct access_point_entry *efs_find_access_point(struct plane *plane, const struct realm *realm, struct str id);

/* The same for handlers: NULL with AWS's error. */
struct file_system_entry *efs_need_file_system(struct call *call, struct str id);
struct mount_target_entry *efs_need_mount_target(struct call *call, struct str id);
struct access_point_entry *efs_need_access_point(struct call *call, struct str id);
bool efs_refuse(struct call *call, const char *text);    /* false, with BadRequest */

/* ---- Names. `type`: "file-system", "access-point". */
struct str efs_new_id(struct call *call, struct str prefix);
struct str efs_arn(struct call *call, struct str type, struct str id);

/* ---- Tags, of any of the room's things */
bool efs_check_tags(struct call *call, const struct efs_tags *tags);
struct str efs_name_tag(const struct efs_tags *tags);    /* the value of the tag "Name", or absent */

/* ---- Pages. Names a page as EFS does: the size is cut to EFS_PAGE_LIMIT, errors are BadRequest. */
struct page;
struct page_request;
bool efs_page(struct call *call, const struct sorted *tree, struct page_request *request, struct page *ret_page);

/* ---- What is deleted is remembered: a machine removes the files of what it is told of, of nothing else. */
void efs_forget_file_system(struct call *call, struct file_system_entry *file_system);

/* ---- Rows of entry_kinds */
#define EFS_KIND_FUNCTIONS(name) \
	void name##_attach(struct plane *plane, struct entry *entry); \
	void name##_detach(struct plane *plane, struct entry *entry); \
	void name##_add(struct plane *plane, struct entry *entry); \
	void name##_remove(struct plane *plane, struct entry *entry)
EFS_KIND_FUNCTIONS(efs_file_system);
EFS_KIND_FUNCTIONS(efs_mount_target);
EFS_KIND_FUNCTIONS(efs_access_point);

#define EFS_KIND(type) \
	{&shape_##type, sizeof(struct type##_entry), efs_##type##_attach, efs_##type##_detach, efs_##type##_add, \
	 efs_##type##_remove}
#define EFS_ENTRY_KINDS \
	[RECORD_FILE_SYSTEM] = EFS_KIND(file_system), \
	[RECORD_MOUNT_TARGET] = EFS_KIND(mount_target), \
	[RECORD_ACCESS_POINT] = EFS_KIND(access_point)
