#include "control/ec2/tags.h"
#include "api/ec2_handlers.h"
#include "control/call.h"
#include "control/ec2/listing.h"
#include "control/paging.h"

enum { KEY_LIMIT = 128, VALUE_LIMIT = 256, TAGGED_AT_ONCE_LIMIT = 1000, DESCRIBE_TAGS_LIMIT = 1000 };

/* ---- rules */
static size_t count_characters(struct str text)
{
	size_t count = 0;

	for (size_t i = 0; i < text.len; i++)
		count += (text.ptr[i] & 0xc0) != 0x80;
	return count;
}

static bool check_tag(struct call *call, const struct ec2_tag_list *tags, size_t at)
{
	const struct ec2_tag *tag = &tags->items[at];

	if (str_empty(tag->key))
		return fail(&call->error, ERROR_INVALID_PARAMETER_VALUE, "Tag key cannot be null or empty");
	if (count_characters(tag->key) > KEY_LIMIT)
		return fail(&call->error, ERROR_INVALID_PARAMETER_VALUE, "Tag key exceeds the maximum length of %d characters",
			    KEY_LIMIT);
	if (count_characters(tag->value) > VALUE_LIMIT)
		return fail(&call->error, ERROR_INVALID_PARAMETER_VALUE, "Tag value exceeds the maximum length of %d characters",
			    VALUE_LIMIT);
	if (tag->key.len >= 4 && str_equal_ignoring_case(str_slice(tag->key, 0, 4), S("aws:")))
		return fail(&call->error, ERROR_INVALID_PARAMETER_VALUE, "Tag keys starting with 'aws:' are reserved for internal use");
	for (size_t i = 0; i < at; i++)
		if (str_equal(tags->items[i].key, tag->key))
			return fail(&call->error, ERROR_INVALID_PARAMETER_VALUE, "Duplicate tag key '%.*s' specified.", STR(tag->key));
	return true;
}

static bool refuse_count(struct call *call)
{
	return fail(&call->error, ERROR_TAG_LIMIT_EXCEEDED, "More than %d tags specified", TAGS_PER_RESOURCE_LIMIT);
}

static bool check_tags(struct call *call, const struct ec2_tag_list *tags)
{
	if (tags->count > TAGS_PER_RESOURCE_LIMIT)
		return refuse_count(call);
	for (size_t i = 0; i < tags->count; i++)
		if (!check_tag(call, tags, i))
			return false;
	return true;
}

/* A tag without a value has an empty one. */
static struct ec2_tag_list settled(struct call *call, const struct ec2_tag_list *tags)
{
	struct ec2_tag_list copy = {arena_array(call->arena, struct ec2_tag, tags->count), tags->count};

	for (size_t i = 0; i < tags->count; i++)
		copy.items[i] = (struct ec2_tag){.key = tags->items[i].key,
						 .value = str_has(tags->items[i].value) ? tags->items[i].value : S("")};
	return copy;
}

bool tags_of_request(struct call *call, const struct ec2_tag_specification_list *specifications, enum ec2_resource_type type,
		     struct ec2_tag_list *ret_tags)
{
	static const struct ec2_tag_list none;

	*ret_tags = settled(call, &none);
	for (size_t i = 0; i < specifications->count; i++) {
		const struct ec2_tag_specification *specification = &specifications->items[i];

		if (!specification->resource_type)
			return fail(&call->error, ERROR_INVALID_PARAMETER_VALUE, "Tag specification resource type must have a value");
		if (specification->resource_type != type)
			return fail(&call->error, ERROR_INVALID_PARAMETER_VALUE,
				    "'%.*s' is not a valid taggable resource type for this operation.",
				    STR(shape_word_text(&shape_ec2_resource_type, (int32_t)specification->resource_type)));
		if (i > 0)
			return fail(&call->error, ERROR_INVALID_PARAMETER_VALUE, "Only one tag specification of a type can be given.");
		if (!check_tags(call, &specification->tags))
			return false;
		*ret_tags = settled(call, &specification->tags);
	}
	return true;
}

struct ec2_tag_list tags_shown(struct call *call, const struct ec2_tag_list *tags)
{
	struct ec2_tag_list list = *tags;

	if (!list.items)
		list.items = arena_array(call->arena, struct ec2_tag, 0);
	return list;
}

/* ---- what has tags. A place is a record, and where in it the tags are. */
struct place {
	enum record_kind kind;
	struct entry *entry;
	size_t offset;                                   /* of the tags in the record */
	size_t rule;                                     /* of a group's rules, when `offset` is in a rule */
	bool in_rule;
	struct str id;
	enum ec2_resource_type type;
};

static const struct {
	struct str prefix;
	enum record_kind kind;
	enum ec2_resource_type type;
	size_t offset;
} taggables[] = {
	{STR_INIT("vpc"), RECORD_VPC, EC2_RESOURCE_TYPE_VPC, offsetof(struct vpc, tags)},
	{STR_INIT("subnet"), RECORD_SUBNET, EC2_RESOURCE_TYPE_SUBNET, offsetof(struct subnet, tags)},
	{STR_INIT("sg"), RECORD_SECURITY_GROUP, EC2_RESOURCE_TYPE_SECURITY_GROUP, offsetof(struct security_group, tags)},
	{STR_INIT("eni"), RECORD_NETWORK_INTERFACE, EC2_RESOURCE_TYPE_NETWORK_INTERFACE, offsetof(struct network_interface, tags)},
	{STR_INIT("rtb"), RECORD_ROUTE_TABLE, EC2_RESOURCE_TYPE_ROUTE_TABLE, offsetof(struct route_table, tags)},
	{STR_INIT("igw"), RECORD_INTERNET_GATEWAY, EC2_RESOURCE_TYPE_INTERNET_GATEWAY, offsetof(struct internet_gateway, tags)},
	{STR_INIT("eipalloc"), RECORD_ELASTIC_ADDRESS, EC2_RESOURCE_TYPE_ELASTIC_IP, offsetof(struct elastic_address, tags)},
};

static const struct ec2_tag_list *place_tags(const struct place *place)
{
	const char *base = place->entry->value;

	if (place->in_rule)
		base = (const char *)&((const struct security_group *)base)->rules.items[place->rule];
	return (const struct ec2_tag_list *)(base + place->offset);
}

static bool find_acl(struct call *call, struct str id, struct place *ret_place)
{
	EC2_EACH(call->realm, RECORD_VPC, struct vpc_entry, vpc)
		if (str_equal(vpc->record->network_acl, id)) {
			*ret_place = (struct place){.kind = RECORD_VPC, .entry = &vpc->entry, .id = id,
						    .offset = offsetof(struct vpc, network_acl_tags),
						    .type = EC2_RESOURCE_TYPE_NETWORK_ACL};
			return true;
		}
	return fail(&call->error, ERROR_NETWORK_ACL_NOT_FOUND, "The networkAcl ID '%.*s' does not exist", STR(id));
}

static bool find_dhcp_options(struct call *call, struct str id, struct place *ret_place)
{
	struct defaults_entry *defaults = entry_find(call->plane, call->realm, RECORD_NETWORK_DEFAULTS, S("default"));

	if (!defaults || !str_equal(defaults->record->dhcp_options, id))
		return object_is_missing(&call->error, RECORD_NETWORK_DEFAULTS, id);
	*ret_place = (struct place){.kind = RECORD_NETWORK_DEFAULTS, .entry = &defaults->entry, .id = id,
				    .offset = offsetof(struct network_defaults, dhcp_options_tags),
				    .type = EC2_RESOURCE_TYPE_DHCP_OPTIONS};
	return true;
}

static bool find_rule(struct call *call, struct str id, struct place *ret_place)
{
	EC2_EACH(call->realm, RECORD_SECURITY_GROUP, struct group_entry, group)
		for (size_t i = 0; i < group->record->rules.count; i++)
			if (str_equal(group->record->rules.items[i].id, id)) {
				*ret_place = (struct place){.kind = RECORD_SECURITY_GROUP, .entry = &group->entry, .id = id,
							    .in_rule = true, .rule = i, .offset = offsetof(struct group_rule, tags),
							    .type = EC2_RESOURCE_TYPE_SECURITY_GROUP_RULE};
				return true;
			}
	return fail(&call->error, ERROR_RULE_NOT_FOUND, "The security group rule ID '%.*s' does not exist", STR(id));
}

static bool find_place(struct call *call, struct str id, struct place *ret_place)
{
	for (size_t i = 0; i < COUNT(taggables); i++) {
		struct entry *entry;

		if (!id_has_form(id, taggables[i].prefix))
			continue;
		entry = object_find(call, taggables[i].kind, id, "resourceIdSet");
		if (!entry)
			return false;
		*ret_place = (struct place){.kind = taggables[i].kind, .entry = entry, .id = id, .offset = taggables[i].offset,
					    .type = taggables[i].type};
		return true;
	}
	if (id_has_form(id, S("acl")))
		return find_acl(call, id, ret_place);
	if (id_has_form(id, S("dopt")))
		return find_dhcp_options(call, id, ret_place);
	if (id_has_form(id, S("sgr")))
		return find_rule(call, id, ret_place);
	return fail(&call->error, ERROR_INVALID_ID, "The ID '%.*s' is not valid", STR(id));
}

static void retag(struct call *call, const struct place *place, struct ec2_tag_list tags)
{
	const struct shape *shape = record_shape(place->kind);
	void *next = shape_copy(shape, place->entry->value, call->arena);
	char *base = next;

	if (place->in_rule)
		base = (char *)&((struct security_group *)next)->rules.items[place->rule];
	*(struct ec2_tag_list *)(base + place->offset) = tags;
	emit(call->plane, call->realm, place->kind, entry_id(place->entry), next);
}

/* ---- CreateTags, DeleteTags */
static bool find_places(struct call *call, const struct ec2_resource_id_list *ids, struct place **ret_places)
{
	struct place *places = arena_array(call->arena, struct place, ids->count);

	if (!ids->count)
		return fail(&call->error, ERROR_MISSING_PARAMETER, "The request must contain the parameter resourceIdSet");
	if (ids->count > TAGGED_AT_ONCE_LIMIT)
		return fail(&call->error, ERROR_INVALID_PARAMETER_VALUE, "At most %d resources can be tagged at once.",
			    TAGGED_AT_ONCE_LIMIT);
	for (size_t i = 0; i < ids->count; i++)
		if (!find_place(call, ids->items[i], &places[i]))
			return false;
	*ret_places = places;
	return true;
}

static struct ec2_tag_list merged(struct call *call, const struct ec2_tag_list *below, const struct ec2_tag_list *above)
{
	struct ec2_tag_list list = {arena_array(call->arena, struct ec2_tag, below->count + above->count), 0};

	for (size_t i = 0; i < below->count; i++)
		list.items[list.count++] = below->items[i];
	for (size_t i = 0; i < above->count; i++) {
		size_t at = 0;

		while (at < list.count && !str_equal(list.items[at].key, above->items[i].key))
			at++;
		list.items[at] = above->items[i];
		list.count = MAX(list.count, at + 1);
	}
	return list;
}

bool ec2_create_tags(struct call *call, const struct ec2_create_tags_request *in, struct ec2_create_tags_response *out)
{
	struct ec2_tag_list tags = settled(call, &in->tags);
	struct place *places;

	if (!in->tags.count)
		return fail(&call->error, ERROR_MISSING_PARAMETER, "The request must contain the parameter tagSet");
	if (!check_tags(call, &tags) || !find_places(call, &in->resources, &places))
		return false;
	for (size_t i = 0; i < in->resources.count; i++)
		if (merged(call, place_tags(&places[i]), &tags).count > TAGS_PER_RESOURCE_LIMIT)
			return refuse_count(call);
	if (!dry_run_ends(call, in->dry_run))
		return false;
	for (size_t i = 0; i < in->resources.count; i++)
		retag(call, &places[i], merged(call, place_tags(&places[i]), &tags));
	return true;
}

/* Without a value: whatever its value is. No tags: all but those that AWS made. */
static bool is_deleted(const struct ec2_tag_list *tags, const struct ec2_tag *tag)
{
	if (!tags->count)
		return !str_starts(tag->key, S("aws:"));
	for (size_t i = 0; i < tags->count; i++)
		if (str_equal(tags->items[i].key, tag->key) &&
		    (!str_has(tags->items[i].value) || str_equal(tags->items[i].value, tag->value)))
			return true;
	return false;
}

static struct ec2_tag_list kept(struct call *call, const struct ec2_tag_list *tags, const struct ec2_tag_list *deleted)
{
	struct ec2_tag_list list = {arena_array(call->arena, struct ec2_tag, tags->count), 0};

	for (size_t i = 0; i < tags->count; i++)
		if (!is_deleted(deleted, &tags->items[i]))
			list.items[list.count++] = tags->items[i];
	return list;
}

bool ec2_delete_tags(struct call *call, const struct ec2_delete_tags_request *in, struct ec2_delete_tags_response *out)
{
	struct place *places;

	for (size_t i = 0; i < in->tags.count; i++)
		if (!check_tag(call, &in->tags, i))
			return false;
	if (!find_places(call, &in->resources, &places) || !dry_run_ends(call, in->dry_run))
		return false;
	for (size_t i = 0; i < in->resources.count; i++) {
		const struct ec2_tag_list *tags = place_tags(&places[i]);
		struct ec2_tag_list left = kept(call, tags, &in->tags);

		if (left.count < tags->count)
			retag(call, &places[i], left);
	}
	return true;
}

/* ---- DescribeTags: by id, then by key */
static const struct filter_row tag_filters[] = {
	{STR_INIT("key"), "key"}, {STR_INIT("resource-id"), "resourceId"}, {STR_INIT("resource-type"), "resourceType"},
	{STR_INIT("value"), "value"},
};

struct tag_rows {
	struct call *call;
	const struct ec2_filter_list *filters;
	LIST_OF(struct ec2_tag_description) items;
};

static void list_tags(struct tag_rows *rows, struct str id, enum ec2_resource_type type, const struct ec2_tag_list *tags)
{
	for (size_t i = 0; i < tags->count; i++) {
		const struct ec2_tag *tag = &tags->items[i];
		struct ec2_tag_description row = {.key = tag->key, .value = tag->value, .resource_id = id, .resource_type = type};

		/* `tag:KEY` is the row itself here. */
		if (filters_fit(rows->filters, tag_filters, COUNT(tag_filters), &shape_ec2_tag_description, &row))
			list_add(&rows->items, row);
	}
}

static void list_all_tags(struct tag_rows *rows)
{
	const struct realm *realm = rows->call->realm;

	for (size_t i = 0; i < COUNT(taggables); i++)
		EC2_EACH(realm, taggables[i].kind, struct object_entry, object)
			list_tags(rows, object->by_id.key, taggables[i].type,
				  (const struct ec2_tag_list *)((const char *)object->entry.value + taggables[i].offset));
	EC2_EACH(realm, RECORD_VPC, struct vpc_entry, vpc)
		list_tags(rows, vpc->record->network_acl, EC2_RESOURCE_TYPE_NETWORK_ACL, &vpc->record->network_acl_tags);
	EC2_EACH(realm, RECORD_NETWORK_DEFAULTS, struct defaults_entry, defaults)
		list_tags(rows, defaults->record->dhcp_options, EC2_RESOURCE_TYPE_DHCP_OPTIONS,
			  &defaults->record->dhcp_options_tags);
	EC2_EACH(realm, RECORD_SECURITY_GROUP, struct group_entry, group)
		for (size_t i = 0; i < group->record->rules.count; i++)
			list_tags(rows, group->record->rules.items[i].id, EC2_RESOURCE_TYPE_SECURITY_GROUP_RULE,
				  &group->record->rules.items[i].tags);
}

static struct str row_name(struct call *call, const struct ec2_tag_description *row)
{
	return ARENA_JOIN(call->arena, row->resource_id, S("/"), row->key);
}

struct tag_node {
	struct sorted_node node;
	const struct ec2_tag_description *row;
};

static bool take_tags(struct call *call, const struct tag_rows *rows, const struct ec2_describe_tags_request *in,
		      struct ec2_describe_tags_result *out)
{
	struct tag_node *nodes = arena_array(call->arena, struct tag_node, rows->items.count);
	int32_t all = (int32_t)MAX(rows->items.count, (size_t)DESCRIBE_TAGS_LIMIT);
	struct sorted tree = {0};
	struct page page;

	for (size_t i = 0; i < rows->items.count; i++) {
		nodes[i].row = &rows->items.items[i];
		sorted_add(&tree, &nodes[i].node, row_name(call, nodes[i].row));
	}
	if (!page_take(call, &tree, &(struct page_request){.list = S("DescribeTags"), .token = in->next_token,
							   .max_results = in->max_results, .fallback = all, .limit = all}, &page))
		return fail(&call->error, str_empty(in->next_token) ? ERROR_INVALID_PARAMETER_VALUE : ERROR_INVALID_NEXT_TOKEN,
			    "The specified MaxResults or NextToken is not valid.");
	out->tags.items = arena_array(call->arena, struct ec2_tag_description, page.count);
	for (size_t i = 0; i < page.count; i++)
		out->tags.items[out->tags.count++] = *CONTAINER_OF(page.nodes[i], struct tag_node, node)->row;
	out->next_token = page.next_token;
	return true;
}

/* `tag:KEY=VALUE` as key and value, which is what they are here. */
static bool plain_filters(struct call *call, const struct ec2_filter_list *filters)
{
	for (size_t i = 0; i < filters->count; i++)
		if (str_starts(filters->items[i].name, S("tag:")) || str_equal(filters->items[i].name, S("tag-key")))
			return fail(&call->error, ERROR_INVALID_PARAMETER_VALUE, "The filter '%.*s' is invalid",
				    STR(filters->items[i].name));
	return true;
}

bool ec2_describe_tags(struct call *call, const struct ec2_describe_tags_request *in, struct ec2_describe_tags_result *out)
{
	struct tag_rows rows = {.call = call, .filters = &in->filters};
	bool done;

	if (!filters_check(call, &in->filters, tag_filters, COUNT(tag_filters)) || !plain_filters(call, &in->filters) ||
	    !dry_run_ends(call, in->dry_run))
		return false;
	list_all_tags(&rows);
	done = take_tags(call, &rows, in, out);
	list_fini(&rows.items);
	return done;
}
