#include "api/ecs_handlers.h"
#include "control/call.h"
#include "control/ecs/instances.h"
#include "control/paging.h"

enum { ATTRIBUTES_PER_CALL_LIMIT = 10, CUSTOM_ATTRIBUTES_LIMIT = 10 };

bool instance_attribute_is_custom(struct str name)
{
	return !str_starts(name, S("ecs.")) && !str_starts(name, S("com.amazonaws.ecs."));
}

static bool is_word(struct str text, const char *more)
{
	for (size_t i = 0; i < text.len; i++) {
		char c = text.ptr[i];

		if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
		      (c && strchr(more, c))))
			return false;
	}
	return text.len >= 1 && text.len <= 128;
}

/* Charsets and lengths: ecs-behaviour 3.2. */
static bool check_attribute(struct call *call, const struct ecs_attribute *attribute)
{
	struct str value = attribute->value;

	if (!is_word(attribute->name, "-_/\\."))
		return fail(&call->error, ERROR_INVALID_PARAMETER, "Invalid attribute name: %.*s", STR(attribute->name));
	if (!instance_attribute_is_custom(attribute->name))
		return fail(&call->error, ERROR_INVALID_PARAMETER, "The attribute name prefixes 'ecs.' and 'com.amazonaws.ecs.' "
			    "are reserved: %.*s", STR(attribute->name));
	if (str_has(value) && (!is_word(value, "-_/\\.@: ") || str_trim(value).len != value.len))
		return fail(&call->error, ERROR_INVALID_PARAMETER, "Invalid attribute value: %.*s", STR(value));
	return true;
}

static bool find_target(struct call *call, const struct cluster_entry *cluster, const struct ecs_attribute *attribute,
			struct instance_entry **ret_instance)
{
	struct instance_entry *instance = find_instance(call, cluster, attribute->target_id);

	if (!instance || instance->record->status == INSTANCE_STATUS_INACTIVE)
		return fail(&call->error, ERROR_TARGET_NOT_FOUND, "Could not find %.*s", STR(attribute->target_id));
	if (attribute->target_type == ECS_TARGET_TYPE_ABSENT && !str_starts(attribute->target_id, S("arn:")))
		return fail(&call->error, ERROR_INVALID_PARAMETER, "targetType can not be null.");
	*ret_instance = instance;
	return true;
}

static bool check_count(struct call *call, size_t count)
{
	if (count == 0)
		return fail(&call->error, ERROR_INVALID_PARAMETER, "attributes can not be empty");
	if (count > ATTRIBUTES_PER_CALL_LIMIT)
		return fail(&call->error, ERROR_INVALID_PARAMETER, "attributes can have at most 10 items.");
	return true;
}

static struct ecs_attribute *place_of(struct ecs_attributes *attributes, struct str name)
{
	for (size_t i = 0; i < attributes->count; i++)
		if (str_equal(attributes->items[i].name, name))
			return &attributes->items[i];
	return NULL;
}

static size_t count_custom(const struct ecs_attributes *attributes)
{
	size_t count = 0;

	for (size_t i = 0; i < attributes->count; i++)
		count += instance_attribute_is_custom(attributes->items[i].name);
	return count;
}

/* One instance's next attributes under construction; several attributes of a call may go to the same one. */
struct change {
	struct instance_entry *instance;
	struct ecs_attributes attributes;
};

static struct change *change_of(struct call *call, struct change *changes, size_t *count, struct instance_entry *instance)
{
	const struct ecs_attributes *old = &instance->record->attributes;
	struct change *change = &changes[*count];

	for (size_t i = 0; i < *count; i++)
		if (changes[i].instance == instance)
			return &changes[i];
	(*count)++;
	*change = (struct change){.instance = instance};
	change->attributes.items = arena_array(call->arena, struct ecs_attribute, old->count + ATTRIBUTES_PER_CALL_LIMIT);
	for (size_t i = 0; i < old->count; i++)
		change->attributes.items[change->attributes.count++] = old->items[i];
	return change;
}

static void emit_changes(struct call *call, const struct change *changes, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		struct container_instance next = *changes[i].instance->record;

		next.attributes = changes[i].attributes;
		instance_emit(call->plane, changes[i].instance, &next);
	}
}

static bool put_one(struct call *call, struct change *change, const struct ecs_attribute *attribute)
{
	struct ecs_attribute kept = {.name = attribute->name, .value = attribute->value};
	struct ecs_attribute *place = place_of(&change->attributes, attribute->name);

	if (place) {
		*place = kept;
		return true;
	}
	if (count_custom(&change->attributes) >= CUSTOM_ATTRIBUTES_LIMIT)
		return fail(&call->error, ERROR_ATTRIBUTE_LIMIT_EXCEEDED,
			    "A container instance can have at most %d custom attributes.", CUSTOM_ATTRIBUTES_LIMIT);
	change->attributes.items[change->attributes.count++] = kept;
	return true;
}

bool ecs_put_attributes(struct call *call, const struct ecs_put_attributes_request *in, struct ecs_put_attributes_response *out)
{
	struct change changes[ATTRIBUTES_PER_CALL_LIMIT];
	struct cluster_entry *cluster;
	struct instance_entry *instance;
	size_t count = 0;

	if (!find_cluster(call, in->cluster, false, &cluster) || !check_count(call, in->attributes.count))
		return false;
	for (size_t i = 0; i < in->attributes.count; i++)
		if (!check_attribute(call, &in->attributes.items[i]) ||
		    !find_target(call, cluster, &in->attributes.items[i], &instance) ||
		    !put_one(call, change_of(call, changes, &count, instance), &in->attributes.items[i]))
			return false;
	emit_changes(call, changes, count);
	out->attributes = in->attributes;
	return true;
}

bool ecs_delete_attributes(struct call *call, const struct ecs_delete_attributes_request *in,
			   struct ecs_delete_attributes_response *out)
{
	struct change changes[ATTRIBUTES_PER_CALL_LIMIT];
	struct cluster_entry *cluster;
	struct instance_entry *instance;
	size_t count = 0;

	if (!find_cluster(call, in->cluster, false, &cluster) || !check_count(call, in->attributes.count))
		return false;
	for (size_t i = 0; i < in->attributes.count; i++) {
		struct ecs_attributes *attributes;
		struct ecs_attribute *place;

		if (!find_target(call, cluster, &in->attributes.items[i], &instance))
			return false;
		if (!instance_attribute_is_custom(in->attributes.items[i].name))
			return fail(&call->error, ERROR_INVALID_PARAMETER, "The attribute %.*s cannot be deleted.",
				    STR(in->attributes.items[i].name));
		attributes = &change_of(call, changes, &count, instance)->attributes;
		place = place_of(attributes, in->attributes.items[i].name);
		if (place)
			memmove(place, place + 1, (size_t)(attributes->items + --attributes->count - place) * sizeof(*place));
	}
	emit_changes(call, changes, count);
	out->attributes = in->attributes;
	return true;
}

static bool attribute_fits(const struct ecs_list_attributes_request *in, const struct ecs_attribute *attribute)
{
	return (!str_has(in->attribute_name) || str_equal(attribute->name, in->attribute_name)) &&
	       (!str_has(in->attribute_value) || str_equal(attribute->value, in->attribute_value));
}

static size_t count_fitting(const struct ecs_list_attributes_request *in, const struct instance_entry *instance)
{
	size_t count = 0;

	for (size_t i = 0; i < instance->record->attributes.count; i++)
		count += attribute_fits(in, &instance->record->attributes.items[i]);
	return count;
}

static bool instance_fits(const struct sorted_node *node, const void *arg)
{
	const struct instance_entry *instance = CONTAINER_OF(node, struct instance_entry, by_id);

	return instance->record->status != INSTANCE_STATUS_INACTIVE && count_fitting(arg, instance) > 0;
}

static void list_attributes_of(struct call *call, const struct ecs_list_attributes_request *in,
			       const struct instance_entry *instance, struct ecs_attributes *out)
{
	const struct ecs_attributes *all = &instance->record->attributes;

	for (size_t i = 0; i < all->count; i++)
		if (attribute_fits(in, &all->items[i]))
			out->items[out->count++] = (struct ecs_attribute){
				.name = all->items[i].name, .value = all->items[i].value,
				.target_type = ECS_TARGET_TYPE_CONTAINER_INSTANCE,
				.target_id = instance_arn(call->plane, instance)};
}

/* The instances are paged: maxResults counts those, and a page never holds a part of one. */
bool ecs_list_attributes(struct call *call, const struct ecs_list_attributes_request *in,
			 struct ecs_list_attributes_response *out)
{
	struct page_request request = {.token = in->next_token, .max_results = in->max_results, .fallback = 100,
				       .limit = 100, .fits = instance_fits, .arg = in};
	struct cluster_entry *cluster;
	struct page page;
	size_t count = 0;

	if (!find_cluster(call, in->cluster, false, &cluster))
		return false;
	if (in->target_type == ECS_TARGET_TYPE_ABSENT)
		return fail(&call->error, ERROR_INVALID_PARAMETER, "targetType can not be null.");
	if (str_has(in->attribute_value) && !str_has(in->attribute_name))
		return fail(&call->error, ERROR_INVALID_PARAMETER, "attributeName can not be null when attributeValue is given.");
	request.list = arena_printf(call->arena, "ListAttributes/%.*s/%.*s/%.*s", STR(cluster->record->name),
				    STR(in->attribute_name), STR(in->attribute_value));
	if (!page_take(call, &cluster->instances, &request, &page))
		return false;
	for (size_t i = 0; i < page.count; i++)
		count += count_fitting(in, CONTAINER_OF(page.nodes[i], struct instance_entry, by_id));
	out->attributes.items = arena_array(call->arena, struct ecs_attribute, count);
	for (size_t i = 0; i < page.count; i++)
		list_attributes_of(call, in, CONTAINER_OF(page.nodes[i], struct instance_entry, by_id), &out->attributes);
	out->next_token = page.next_token;
	return true;
}
