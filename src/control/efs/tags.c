/* Tags of file systems and access points; the operations of old name file systems only. */
#include "api/efs_handlers.h"
#include <assert.h>
#include "control/efs/state.h"
#include "control/paging.h"

static const struct efs_tag *find_tag(const struct efs_tags *tags, size_t count, struct str key)
{
	for (size_t i = 0; i < count; i++)
		if (str_equal(tags->items[i].key, key))
			return &tags->items[i];
	return NULL;
}

bool efs_check_tags(struct call *call, const struct efs_tags *tags)
{
	if (tags->count > EFS_TAGS_LIMIT)
		return fail(&call->error, ERROR_EFS_BAD_REQUEST, "A resource can have at most %d tags.", EFS_TAGS_LIMIT);
	for (size_t i = 0; i < tags->count; i++) {
		if (str_equal_ignoring_case(str_slice(tags->items[i].key, 0, 4), S("aws:")))
			return efs_refuse(call, "Tag keys that begin with aws: are reserved.");
		if (find_tag(tags, i, tags->items[i].key))
			return efs_refuse(call, "Tag keys must be unique.");
	}
	return true;
}

struct str efs_name_tag(const struct efs_tags *tags)
{
	const struct efs_tag *tag = find_tag(tags, tags->count, S("Name"));

	return tag ? tag->value : STR_NONE;
}

/* Something that has tags. */
struct target {
	enum record_kind kind;
	struct entry *entry;
	const struct efs_tags *tags;
};

static bool find_file_system(struct call *call, struct str id, struct target *ret_target)
{
	struct file_system_entry *entry = efs_need_file_system(call, id);

	if (entry)
		*ret_target = (struct target){RECORD_FILE_SYSTEM, &entry->entry, &entry->record->tags};
	return entry != NULL;
}

static bool find_target(struct call *call, struct str id, struct target *ret_target)
{
	struct access_point_entry *entry;

	if (!str_starts(id, S("fsap-")) && !str_contains(id, S(":access-point/")))
		return find_file_system(call, id, ret_target);
	entry = efs_need_access_point(call, id);
	if (entry)
		*ret_target = (struct target){RECORD_ACCESS_POINT, &entry->entry, &entry->record->tags};
	return entry != NULL;
}

static void retag(struct call *call, const struct target *target, struct efs_tags tags)
{
	const struct shape *shape = record_shape(target->kind);
	size_t offset = (size_t)((const char *)target->tags - (const char *)target->entry->value);
	char *next = arena_alloc(call->arena, 1, shape->size, _Alignof(max_align_t));

	memcpy(next, target->entry->value, shape->size);
	*(struct efs_tags *)(void *)(next + offset) = tags;
	emit(call->plane, call->realm, target->kind, entry_id(target->entry), next);
}

static bool add_tags(struct call *call, const struct target *target, const struct efs_tags *more)
{
	const struct efs_tags *old = target->tags;
	struct efs_tags tags = {arena_array(call->arena, struct efs_tag, old->count + more->count), 0};

	if (!efs_check_tags(call, more))
		return false;
	for (size_t i = 0; i < old->count; i++) {
		const struct efs_tag *newer = find_tag(more, more->count, old->items[i].key);

		tags.items[tags.count++] = newer ? *newer : old->items[i];
	}
	for (size_t i = 0; i < more->count; i++)
		if (!find_tag(old, old->count, more->items[i].key))
			tags.items[tags.count++] = more->items[i];
	if (!efs_check_tags(call, &tags))
		return false;
	retag(call, target, tags);
	return true;
}

static void remove_tags(struct call *call, const struct target *target, const struct efs_tag_keys *keys)
{
	const struct efs_tags *old = target->tags;
	struct efs_tags tags = {arena_array(call->arena, struct efs_tag, old->count), 0};

	for (size_t i = 0; i < old->count; i++) {
		size_t k = 0;

		while (k < keys->count && !str_equal(keys->items[k], old->items[i].key))
			k++;
		if (k == keys->count)
			tags.items[tags.count++] = old->items[i];
	}
	if (tags.count < old->count)
		retag(call, target, tags);
}

bool efs_tag_resource(struct call *call, const struct efs_tag_resource_request *in,
		      struct efs_tag_resource_response *out)
{
	struct target target;

	return find_target(call, in->resource_id, &target) && add_tags(call, &target, &in->tags);
}

bool efs_untag_resource(struct call *call, const struct efs_untag_resource_request *in,
			struct efs_untag_resource_response *out)
{
	struct target target;

	if (!find_target(call, in->resource_id, &target))
		return false;
	remove_tags(call, &target, &in->tag_keys);
	return true;
}

/* A page of tags in the order of their keys. */
static bool list_tags(struct call *call, const struct target *target, struct str token, struct maybe_integer size,
		      struct efs_tags *ret_tags, struct str *ret_token)
{
	struct page_request request = {.list = ARENA_JOIN(call->arena, S("Tags/"), target->entry->key), .token = token,
				       .max_results = size};
	struct sorted_node *nodes = arena_array(call->arena, struct sorted_node, target->tags->count);
	struct sorted tree = {0};
	struct page page;

	for (size_t i = 0; i < target->tags->count; i++)
		sorted_add(&tree, &nodes[i], target->tags->items[i].key);
	if (!efs_page(call, &tree, &request, &page))
		return false;
	ret_tags->items = arena_array(call->arena, struct efs_tag, page.count);
	ret_tags->count = page.count;
	for (size_t i = 0; i < page.count; i++)
		ret_tags->items[i] = target->tags->items[page.nodes[i] - nodes];
	*ret_token = page.next_token;
	return true;
}

bool efs_list_tags_for_resource(struct call *call, const struct efs_list_tags_for_resource_request *in,
				struct efs_list_tags_for_resource_response *out)
{
	struct target target;

	return find_target(call, in->resource_id, &target) &&
	       list_tags(call, &target, in->next_token, in->max_results, &out->tags, &out->next_token);
}

bool efs_create_tags(struct call *call, const struct efs_create_tags_request *in, struct efs_create_tags_response *out)
{
	struct target target;

	return find_file_system(call, in->file_system_id, &target) && add_tags(call, &target, &in->tags);
}

bool efs_delete_tags(struct call *call, const struct efs_delete_tags_request *in, struct efs_delete_tags_response *out)
{
	struct target target;

	if (!find_file_system(call, in->file_system_id, &target))
		return false;
	remove_tags(call, &target, &in->tag_keys);
	return true;
}

bool efs_describe_tags(struct call *call, const struct efs_describe_tags_request *in,
		       struct efs_describe_tags_response *out)
{
	struct target target;

	if (!find_file_system(call, in->file_system_id, &target) ||
	    !list_tags(call, &target, in->marker, in->max_items, &out->tags, &out->next_marker))
		return false;
	out->marker = in->marker;
	return true;
}
