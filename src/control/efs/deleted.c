/* File systems that are no more: their ids are kept, for the machines that still have their files. */
#include "api/wherry_handlers.h"
#include "control/efs/state.h"

static struct file_system_entry *oldest(const struct realm *realm)
{
	const struct sorted *all = &realm->deleted_file_systems;
	struct file_system_entry *found = NULL;

	for (struct sorted_node *node = sorted_first(all); node; node = sorted_after(all, node->key)) {
		struct file_system_entry *entry = CONTAINER_OF(node, struct file_system_entry, by_id);

		if (!found || entry->record->deleted_at.value < found->record->deleted_at.value)
			found = entry;
	}
	return found;
}

void efs_forget_file_system(struct call *call, struct file_system_entry *file_system)
{
	struct str id = arena_copy(call->arena, entry_id(&file_system->entry));
	struct file_system rest = {.id = id, .deleted_at = {plane_now(call->plane), true}};

	if (call->realm->deleted_file_systems.count >= EFS_DELETED_LIMIT)
		emit(call->plane, call->realm, RECORD_FILE_SYSTEM,
		     arena_copy(call->arena, entry_id(&oldest(call->realm)->entry)), NULL);
	emit(call->plane, call->realm, RECORD_FILE_SYSTEM, id, &rest);
}

bool wherry_deleted_file_systems(struct call *call, const struct wherry_deleted_file_systems_request *in,
				 struct wherry_deleted_file_systems_response *out)
{
	if (in->file_systems.count > EFS_ASKED_LIMIT)
		return fail(&call->error, ERROR_INVALID_PARAMETER, "fileSystems has more than %d members.", EFS_ASKED_LIMIT);
	out->deleted.items = arena_array(call->arena, struct str, in->file_systems.count);
	for (size_t i = 0; i < in->file_systems.count; i++)
		if (sorted_get(&call->realm->deleted_file_systems, in->file_systems.items[i]))
			out->deleted.items[out->deleted.count++] = in->file_systems.items[i];
	return true;
}
