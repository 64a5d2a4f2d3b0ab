/* Tags of everything that can be tagged (ecs-behaviour 2.4, 13.4). */
#include "api/ecs_handlers.h"
#include <assert.h>
#include "control/call.h"
#include "control/ecs/state.h"

enum { TAGS_LIMIT = 50, TAG_KEY_LIMIT = 128, TAG_VALUE_LIMIT = 256 };

static size_t count_characters(struct str s)
{
	size_t count = 0;

	for (size_t i = 0; i < s.len; i++)
		count += ((unsigned char)s.ptr[i] & 0xc0) != 0x80;
	return count;
}

/* Letters and digits of any script are allowed: beyond ASCII nothing is looked up. */
static bool is_tag_text(struct str s)
{
	for (size_t i = 0; i < s.len; i++) {
		unsigned char c = (unsigned char)s.ptr[i];

		if (c >= 0x80 || (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') ||
		    (c >= 'a' && c <= 'z'))
			continue;
		if (!c || !strchr(" _.:/=+-@", c))
			return false;
	}
	return true;
}

static bool is_reserved(struct str key)
{
	return str_equal_ignoring_case(str_slice(key, 0, 4), S("aws:"));
}

static const struct ecs_tag *tag_find(const struct ecs_tag *tags, size_t count, struct str key)
{
	for (size_t i = 0; i < count; i++)
		if (str_equal(tags[i].key, key))
			return &tags[i];
	return NULL;
}

static bool check_tag(struct error *err, enum error_code code, const struct ecs_tag *tag)
{
	if (!str_has(tag->key))
		return fail(err, code, "Tag key can not be null.");
	if (!str_has(tag->value))
		return fail(err, code, "Tag value can not be null.");
	if (str_empty(tag->key) || count_characters(tag->key) > TAG_KEY_LIMIT)
		return fail(err, code, "Tag key must be between 1 and %d characters.",
			    TAG_KEY_LIMIT);
	if (count_characters(tag->value) > TAG_VALUE_LIMIT)
		return fail(err, code, "Tag value can be at most %d characters.", TAG_VALUE_LIMIT);
	if (!is_tag_text(tag->key) || !is_tag_text(tag->value))
		return fail(err, code, "Tag '%.*s' contains invalid characters.", STR(tag->key));
	if (is_reserved(tag->key))
		return fail(err, code,
			    "aws: prefixed tag key names are not allowed for external use.");
	return true;
}

static bool refuse_count(struct error *err, enum error_code code)
{
	return fail(err, code, "The maximum number of tags per resource is %d.", TAGS_LIMIT);
}

bool check_tags(struct error *err, enum error_code code, const struct ecs_tags *tags)
{
	if (tags->count > TAGS_LIMIT)
		return refuse_count(err, code);
	for (size_t i = 0; i < tags->count; i++) {
		if (!check_tag(err, code, &tags->items[i]))
			return false;
		if (tag_find(tags->items, i, tags->items[i].key))
			return fail(err, code, "Duplicate tag keys are not allowed.");
	}
	return true;
}

struct ecs_tags merge_tags(struct arena *arena, const struct ecs_tags *below,
			   const struct ecs_tags *above)
{
	struct ecs_tags merged = {arena_array(arena, struct ecs_tag, below->count + above->count),
				  0};

	for (size_t i = 0; i < below->count; i++) {
		const struct ecs_tag *newer =
			tag_find(above->items, above->count, below->items[i].key);

		merged.items[merged.count++] = newer ? *newer : below->items[i];
	}
	for (size_t i = 0; i < above->count; i++)
		if (!tag_find(below->items, below->count, above->items[i].key))
			merged.items[merged.count++] = above->items[i];
	return merged;
}

static bool cluster_is_gone(const void *value)
{
	return ((const struct cluster *)value)->status != CLUSTER_STATUS_ACTIVE;
}

static bool service_is_gone(const void *value)
{
	return ((const struct service *)value)->status == SERVICE_STATUS_INACTIVE;
}

static bool task_is_gone(const void *value)
{
	return ((const struct task *)value)->last_status == TASK_STATUS_STOPPED;
}

static bool instance_is_gone(const void *value)
{
	return ((const struct container_instance *)value)->status == INSTANCE_STATUS_INACTIVE;
}

static bool definition_is_gone(const void *value)
{
	return false;
}

/* What can be tagged; the kind's key is what stands behind the type in its ARN. */
static const struct taggable {
	struct str type;
	enum record_kind kind;
	bool in_cluster; /* short ARNs leave the cluster out */
	size_t tags_offset;
	bool (*is_gone)(const void *value);
	const char *missing, *gone;
} taggables[] = {
	{STR_INIT("cluster"), RECORD_CLUSTER, false, offsetof(struct cluster, tags),
	 cluster_is_gone, "The specified cluster does not exist.",
	 "The specified cluster is inactive. Specify an active cluster and try again."},
	{STR_INIT("service"), RECORD_SERVICE, true, offsetof(struct service, tags), service_is_gone,
	 "The specified service does not exist.",
	 "The specified service is inactive. Specify an active service and try again."},
	{STR_INIT("task"), RECORD_TASK, true, offsetof(struct task, tags), task_is_gone,
	 "The specified task does not exist.",
	 "The specified task is stopped. Specify a running task and try again."},
	{STR_INIT("container-instance"), RECORD_CONTAINER_INSTANCE, true,
	 offsetof(struct container_instance, tags), instance_is_gone,
	 "The specified container instance does not exist.",
	 "The specified container instance is inactive. Specify an active container instance and "
	 "try again."},
	{STR_INIT("task-definition"), RECORD_TASK_DEFINITION, false,
	 offsetof(struct task_definition, tags), definition_is_gone,
	 "The specified task definition does not exist.", ""},
};

struct target {
	const struct taggable *row;
	struct entry *entry;
};

static const struct ecs_tags *target_tags(const struct target *target)
{
	return (const struct ecs_tags *)((const char *)target->entry->value +
					 target->row->tags_offset);
}

static const struct taggable *taggable_find(struct str type)
{
	for (size_t i = 0; i < COUNT(taggables); i++)
		if (str_equal(taggables[i].type, type))
			return &taggables[i];
	return NULL;
}

/* "TYPE/REST" of an ARN, absent when it is none of ECS. */
static struct str arn_resource(struct str arn)
{
	struct str rest = arn, part;

	for (int i = 0; i < 5; i++)
		if (!str_cut(&rest, ':', &part) || (i == 0 && !str_equal(part, S("arn"))) ||
		    (i == 2 && !str_equal(part, S("ecs"))))
			return STR_NONE;
	return rest;
}

static bool find_target(struct call *call, struct str arn, struct target *ret_target)
{
	struct str resource = arn_resource(arn), id = resource, type;
	const struct taggable *row;
	struct entry *entry;

	if (!str_has(resource) || !str_cut(&id, '/', &type) || str_empty(id) ||
	    !(row = taggable_find(type)))
		return fail(&call->error, ERROR_INVALID_PARAMETER, "Invalid resource ARN.");
	if (!str_equal(arn, ecs_arn(call->plane, call->realm, "%.*s", STR(resource))))
		return fail(&call->error, ERROR_INVALID_PARAMETER, "Invalid identifier: %.*s",
			    STR(arn));
	if (row->in_cluster && str_find(id, '/') == id.len)
		return fail(&call->error, ERROR_INVALID_PARAMETER,
			    "Long arn format must be used for tagging operations");
	entry = entry_find(call->plane, call->realm, row->kind, id);
	if (!entry)
		return fail(&call->error, ERROR_INVALID_PARAMETER, "%s", row->missing);
	if (row->is_gone(entry->value))
		return fail(&call->error, ERROR_INVALID_PARAMETER, "%s", row->gone);
	*ret_target = (struct target){row, entry};
	return true;
}

static void retag(struct call *call, const struct target *target, struct ecs_tags tags)
{
	const struct shape *shape = record_shape(target->row->kind);
	void *next = arena_alloc(call->arena, 1, shape->size, _Alignof(max_align_t));

	memcpy(next, target->entry->value, shape->size);
	*(struct ecs_tags *)((char *)next + target->row->tags_offset) = tags;
	emit(call->plane, call->realm, target->row->kind, entry_id(target->entry), next);
}

/* Tags that ECS manages do not count. */
static size_t count_user_tags(const struct ecs_tags *tags)
{
	size_t count = 0;

	for (size_t i = 0; i < tags->count; i++)
		count += !is_reserved(tags->items[i].key);
	return count;
}

bool ecs_tag_resource(struct call *call, const struct ecs_tag_resource_request *in,
		      struct ecs_tag_resource_response *out)
{
	struct target target;
	struct ecs_tags merged;

	if (!check_tags(&call->error, ERROR_INVALID_PARAMETER, &in->tags) ||
	    !find_target(call, in->resource_arn, &target))
		return false;
	merged = merge_tags(call->arena, target_tags(&target), &in->tags);
	if (count_user_tags(&merged) > TAGS_LIMIT)
		return refuse_count(&call->error, ERROR_INVALID_PARAMETER);
	if (in->tags.count)
		retag(call, &target, merged);
	return true;
}

static bool key_is_listed(const struct ecs_tag_keys *keys, struct str key)
{
	for (size_t i = 0; i < keys->count; i++)
		if (str_equal(keys->items[i], key))
			return true;
	return false;
}

bool ecs_untag_resource(struct call *call, const struct ecs_untag_resource_request *in,
			struct ecs_untag_resource_response *out)
{
	struct ecs_tags kept = {0};
	const struct ecs_tags *old;
	struct target target;

	for (size_t i = 0; i < in->tag_keys.count; i++)
		if (is_reserved(in->tag_keys.items[i]))
			return fail(
				&call->error, ERROR_INVALID_PARAMETER,
				"aws: prefixed tag key names are not allowed for external use.");
	if (!find_target(call, in->resource_arn, &target))
		return false;
	old = target_tags(&target);
	kept.items = arena_array(call->arena, struct ecs_tag, old->count);
	for (size_t i = 0; i < old->count; i++)
		if (!key_is_listed(&in->tag_keys, old->items[i].key))
			kept.items[kept.count++] = old->items[i];
	if (kept.count < old->count)
		retag(call, &target, kept);
	return true;
}

bool ecs_list_tags_for_resource(struct call *call,
				const struct ecs_list_tags_for_resource_request *in,
				struct ecs_list_tags_for_resource_response *out)
{
	static const struct ecs_tags none;
	struct target target;

	if (!find_target(call, in->resource_arn, &target))
		return false;
	out->tags = merge_tags(call->arena, target_tags(&target), &none);
	return true;
}
