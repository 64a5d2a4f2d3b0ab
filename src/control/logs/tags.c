#include "api/logs_handlers.h"
#include "control/logs/state.h"

enum { TAGS_LIMIT = 50 };

static bool is_reserved(struct str key)
{
	return key.len >= 4 && str_equal_ignoring_case(str_slice(key, 0, 4), S("aws:"));
}

bool logs_check_tags(struct call *call, const struct logs_tags *tags)
{
	for (size_t i = 0; i < tags->count; i++)
		if (is_reserved(tags->items[i].key))
			return fail(&call->error, ERROR_INVALID_PARAMETER,
				    "User-defined tag keys can't start with 'aws:'.");
	return true;
}

static struct logs_tags_entry *find_tag(const struct logs_tags *tags, struct str key)
{
	for (size_t i = 0; i < tags->count; i++)
		if (str_equal(tags->items[i].key, key))
			return &tags->items[i];
	return NULL;
}

static void retag(struct call *call, const struct log_group_entry *group, struct logs_tags tags)
{
	struct log_group next = *group->record;

	next.tags = tags;
	emit(call->plane, call->realm, RECORD_LOG_GROUP, next.name, &next);
}

static bool add_tags(struct call *call, struct log_group_entry *group, const struct logs_tags *more)
{
	const struct logs_tags *old = group ? &group->record->tags : NULL;
	struct logs_tags all = {0};

	if (!group || !logs_check_tags(call, more))
		return false;
	all.items = arena_array(call->arena, struct logs_tags_entry, old->count + more->count);
	for (size_t i = 0; i < old->count; i++)
		all.items[all.count++] = old->items[i];
	for (size_t i = 0; i < more->count; i++) {
		struct logs_tags_entry *same = find_tag(&all, more->items[i].key);

		*(same ? same : &all.items[all.count++]) = more->items[i];
	}
	if (all.count > TAGS_LIMIT)
		return fail(&call->error, ERROR_TOO_MANY_TAGS, "The maximum number of tags per resource is %d.", TAGS_LIMIT);
	retag(call, group, all);
	return true;
}

static bool remove_tags(struct call *call, struct log_group_entry *group, const struct str *keys, size_t count)
{
	const struct logs_tags *old = group ? &group->record->tags : NULL;
	struct logs_tags kept = {0};

	if (!group)
		return false;
	kept.items = arena_array(call->arena, struct logs_tags_entry, old->count);
	for (size_t i = 0; i < old->count; i++) {
		size_t at = 0;

		while (at < count && !str_equal(keys[at], old->items[i].key))
			at++;
		if (at == count)
			kept.items[kept.count++] = old->items[i];
	}
	if (kept.count < old->count)
		retag(call, group, kept);
	return true;
}

static void list_tags(struct call *call, const struct log_group_entry *group, struct logs_tags *out)
{
	*out = group->record->tags;
	if (!out->items)
		out->items = arena_new(call->arena, struct logs_tags_entry);
}

/* ---- by ARN, and by name as it was before */

static struct log_group_entry *find_tagged(struct call *call, struct str arn)
{
	struct str group = str_ends(arn, S(":*")) ? str_slice(arn, 0, arn.len - 2) : arn;

	if (str_starts(arn, S("arn:")))
		return logs_find_group(call, STR_NONE, group);
	fail(&call->error, ERROR_INVALID_PARAMETER, "Invalid resource ARN.");
	return NULL;
}

bool logs_tag_resource(struct call *call, const struct logs_tag_resource_request *in,
		       struct logs_tag_resource_response *out)
{
	return add_tags(call, find_tagged(call, in->resource_arn), &in->tags);
}

bool logs_untag_resource(struct call *call, const struct logs_untag_resource_request *in,
			 struct logs_untag_resource_response *out)
{
	return remove_tags(call, find_tagged(call, in->resource_arn), in->tag_keys.items, in->tag_keys.count);
}

bool logs_list_tags_for_resource(struct call *call, const struct logs_list_tags_for_resource_request *in,
				 struct logs_list_tags_for_resource_response *out)
{
	const struct log_group_entry *group = find_tagged(call, in->resource_arn);

	if (group)
		list_tags(call, group, &out->tags);
	return group != NULL;
}

bool logs_tag_log_group(struct call *call, const struct logs_tag_log_group_request *in,
			struct logs_tag_log_group_response *out)
{
	return add_tags(call, logs_find_group(call, in->log_group_name, STR_NONE), &in->tags);
}

bool logs_untag_log_group(struct call *call, const struct logs_untag_log_group_request *in,
			  struct logs_untag_log_group_response *out)
{
	return remove_tags(call, logs_find_group(call, in->log_group_name, STR_NONE), in->tags.items, in->tags.count);
}

bool logs_list_tags_log_group(struct call *call, const struct logs_list_tags_log_group_request *in,
			      struct logs_list_tags_log_group_response *out)
{
	const struct log_group_entry *group = logs_find_group(call, in->log_group_name, STR_NONE);

	if (group)
		list_tags(call, group, &out->tags);
	return group != NULL;
}
