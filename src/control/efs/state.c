#include "control/efs/state.h"
#include <assert.h>
#include "control/internal.h"
#include "control/paging.h"

enum { ID_DIGITS = 17 };

static struct file_system_entry *owner_of(struct plane *plane, const struct entry *entry, struct str id)
{
	struct file_system_entry *file_system = entry_find(plane, entry->realm, RECORD_FILE_SYSTEM, id);

	assert(file_system);
	return file_system;
}

/* ---- file systems. The value says whether there still is one, and has its token. */
void efs_file_system_attach(struct plane *plane, struct entry *entry)
{
}

void efs_file_system_detach(struct plane *plane, struct entry *entry)
{
}

void efs_file_system_add(struct plane *plane, struct entry *entry)
{
	struct file_system_entry *file_system = (struct file_system_entry *)entry;

	if (file_system->record->deleted_at.has) {
		sorted_add(&entry->realm->deleted_file_systems, &file_system->by_id, entry_id(entry));
		return;
	}
	sorted_add(&entry->realm->file_systems, &file_system->by_id, entry_id(entry));
	sorted_add(&entry->realm->file_system_tokens, &file_system->by_token, file_system->record->creation_token);
}

void efs_file_system_remove(struct plane *plane, struct entry *entry)
{
	struct file_system_entry *file_system = (struct file_system_entry *)entry;

	if (file_system->record->deleted_at.has) {
		sorted_remove(&entry->realm->deleted_file_systems, &file_system->by_id);
		return;
	}
	sorted_remove(&entry->realm->file_systems, &file_system->by_id);
	sorted_remove(&entry->realm->file_system_tokens, &file_system->by_token);
}

/* ---- mount targets */
void efs_mount_target_attach(struct plane *plane, struct entry *entry)
{
	struct mount_target_entry *target = (struct mount_target_entry *)entry;

	target->file_system = owner_of(plane, entry, target->record->file_system);
	sorted_add(&target->file_system->mount_targets, &target->by_id, entry_id(entry));
}

void efs_mount_target_detach(struct plane *plane, struct entry *entry)
{
	struct mount_target_entry *target = (struct mount_target_entry *)entry;

	sorted_remove(&target->file_system->mount_targets, &target->by_id);
}

void efs_mount_target_add(struct plane *plane, struct entry *entry)
{
}

void efs_mount_target_remove(struct plane *plane, struct entry *entry)
{
}

/* ---- access points */
void efs_access_point_attach(struct plane *plane, struct entry *entry)
{
	struct access_point_entry *point = (struct access_point_entry *)entry;

	point->file_system = owner_of(plane, entry, point->record->file_system);
	sorted_add(&point->file_system->access_points, &point->of_file_system, entry_id(entry));
	sorted_add(&entry->realm->access_points, &point->by_id, entry_id(entry));
}

void efs_access_point_detach(struct plane *plane, struct entry *entry)
{
	struct access_point_entry *point = (struct access_point_entry *)entry;

	sorted_remove(&entry->realm->access_points, &point->by_id);
	sorted_remove(&point->file_system->access_points, &point->of_file_system);
}

void efs_access_point_add(struct plane *plane, struct entry *entry)
{
	struct access_point_entry *point = (struct access_point_entry *)entry;

	sorted_add(&entry->realm->access_point_tokens, &point->by_token, point->record->client_token);
}

void efs_access_point_remove(struct plane *plane, struct entry *entry)
{
	sorted_remove(&entry->realm->access_point_tokens, &((struct access_point_entry *)entry)->by_token);
}

/* ---- names */
struct str efs_new_id(struct call *call, struct str prefix)
{
	return ARENA_JOIN(call->arena, prefix, S("-"), random_hex(plane_random(call->plane), call->arena, ID_DIGITS));
}

static struct str arn_head(struct arena *arena, const struct realm *realm, struct str type)
{
	return ARENA_JOIN(arena, S("arn:aws:elasticfilesystem:"), realm->region, S(":"), realm->account, S(":"), type,
			  S("/"));
}

struct str efs_arn(struct call *call, struct str type, struct str id)
{
	return ARENA_JOIN(call->arena, arn_head(call->arena, call->realm, type), id);
}

/* The id in an ARN of this realm; anything else as it is, so that it is not found. */
static struct str plain_id(struct plane *plane, const struct realm *realm, struct str type, struct str id)
{
	struct str head;

	if (!str_starts(id, S("arn:")))
		return id;
	head = arn_head(plane_arena(plane), realm, type);
	return str_starts(id, head) ? str_slice(id, head.len, id.len) : id;
}

/* ---- finding */
struct file_system_entry *efs_find_file_system(struct plane *plane, const struct realm *realm, struct str id)
{
	struct file_system_entry *file_system =
		entry_find(plane, realm, RECORD_FILE_SYSTEM, plain_id(plane, realm, S("file-system"), id));

	return file_system && !file_system->record->deleted_at.has ? file_system : NULL;
}

struct mount_target_entry *efs_find_mount_target(struct plane *plane, const struct realm *realm, struct str id)
{
	return entry_find(plane, realm, RECORD_MOUNT_TARGET, id);
}

struct access_point_entry *efs_find_access_point(struct plane *plane, const struct realm *realm, struct str id)
{
	return entry_find(plane, realm, RECORD_ACCESS_POINT, plain_id(plane, realm, S("access-point"), id));
}

struct file_system_entry *efs_need_file_system(struct call *call, struct str id)
{
	struct file_system_entry *file_system = efs_find_file_system(call->plane, call->realm, id);

	if (!file_system)
		fail(&call->error, ERROR_EFS_FILE_SYSTEM_NOT_FOUND, "File system '%.*s' does not exist.", STR(id));
	return file_system;
}

struct mount_target_entry *efs_need_mount_target(struct call *call, struct str id)
{
	struct mount_target_entry *target = efs_find_mount_target(call->plane, call->realm, id);

	if (!target)
		fail(&call->error, ERROR_EFS_MOUNT_TARGET_NOT_FOUND, "Mount target '%.*s' does not exist.", STR(id));
	return target;
}

struct access_point_entry *efs_need_access_point(struct call *call, struct str id)
{
	struct access_point_entry *point = efs_find_access_point(call->plane, call->realm, id);

	if (!point)
		fail(&call->error, ERROR_EFS_ACCESS_POINT_NOT_FOUND, "Access point '%.*s' does not exist.", STR(id));
	return point;
}

bool efs_refuse(struct call *call, const char *text)
{
	return fail(&call->error, ERROR_EFS_BAD_REQUEST, "%s", text);
}

bool efs_page(struct call *call, const struct sorted *tree, struct page_request *request, struct page *ret_page)
{
	request->fallback = request->limit = EFS_PAGE_LIMIT;
	if (request->max_results.has)
		request->max_results.value = MIN(request->max_results.value, EFS_PAGE_LIMIT);
	if (page_take(call, tree, request, ret_page))
		return true;
	call->error.code = ERROR_EFS_BAD_REQUEST;
	return false;
}

/* ---- for the others */
static void view_access_point(const struct access_point *point, struct efs_volume_view *view)
{
	const struct efs_posix_user *user = point->posix_user;
	const struct efs_creation_info *owner = point->root_directory->creation_info;

	view->path = point->root_directory->path;
	if (user) {
		view->has_user = true;
		view->uid = user->uid.value;
		view->gid = user->gid.value;
		view->secondary_gids = user->secondary_gids;
	}
	if (owner) {
		view->has_owner = true;
		view->owner_uid = owner->owner_uid.value;
		view->owner_gid = owner->owner_gid.value;
		view->permissions = owner->permissions;
	}
}

bool efs_find_volume(struct plane *plane, const struct realm *realm, struct str file_system_id,
		     struct str access_point_id, struct efs_volume_view *ret_view)
{
	struct file_system_entry *file_system = efs_find_file_system(plane, realm, file_system_id);
	struct efs_volume_view view = {.path = S("/")};
	struct access_point_entry *point;

	if (!file_system)
		return false;
	view.file_system_id = file_system->record->id;
	if (access_point_id.len) {
		point = efs_find_access_point(plane, realm, access_point_id);
		if (!point || point->file_system != file_system)
			return false;
		view_access_point(point->record, &view);
	}
	*ret_view = view;
	return true;
}

bool efs_has_mount_target(struct plane *plane, const struct realm *realm, struct str file_system_id,
			  struct str vpc_id, struct str zone)
{
	struct file_system_entry *file_system = efs_find_file_system(plane, realm, file_system_id);
	struct sorted_node *node = file_system ? sorted_first(&file_system->mount_targets) : NULL;

	for (; node; node = sorted_after(&file_system->mount_targets, node->key)) {
		const struct mount_target *target = CONTAINER_OF(node, struct mount_target_entry, by_id)->record;

		if ((!str_has(vpc_id) || str_equal(target->vpc, vpc_id)) &&
		    (!str_has(zone) || str_equal(target->zone, zone)))
			return true;
	}
	return false;
}

static void check_file_system(const struct realm *realm, const struct file_system_entry *file_system)
{
	const struct sorted *targets = &file_system->mount_targets, *points = &file_system->access_points;

	assert(sorted_get(&realm->file_system_tokens, file_system->record->creation_token) == &file_system->by_token);
	for (struct sorted_node *node = sorted_first(targets); node; node = sorted_after(targets, node->key))
		assert(CONTAINER_OF(node, struct mount_target_entry, by_id)->file_system == file_system);
	for (struct sorted_node *node = sorted_first(points); node; node = sorted_after(points, node->key))
		assert(CONTAINER_OF(node, struct access_point_entry, of_file_system)->file_system == file_system);
}

void efs_check(const struct plane *plane)
{
	struct realm *realm;
	size_t file_systems = 0, targets = 0, points = 0;

	for (size_t cursor = 0; (realm = plane_next_realm(plane, &cursor));) {
		struct sorted_node *node = sorted_first(&realm->file_systems);

		for (; node; node = sorted_after(&realm->file_systems, node->key)) {
			struct file_system_entry *file_system = CONTAINER_OF(node, struct file_system_entry, by_id);

			check_file_system(realm, file_system);
			file_systems++;
			targets += file_system->mount_targets.count;
			points += file_system->access_points.count;
		}
		file_systems += realm->deleted_file_systems.count;
		assert(realm->deleted_file_systems.count <= EFS_DELETED_LIMIT);
	}
	assert(file_systems == entry_count(plane, RECORD_FILE_SYSTEM));
	assert(targets == entry_count(plane, RECORD_MOUNT_TARGET));
	assert(points == entry_count(plane, RECORD_ACCESS_POINT));
}
