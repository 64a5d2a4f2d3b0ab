/* Task definitions: revisions and their life cycle (ecs-behaviour 2.4, 4.6, 13.1). */
#include "api/ecs_handlers.h"
#include "control/ecs/definitions.h"
#include <assert.h>
#include "control/call.h"
#include "control/ecs/definition_rules.h"
#include "control/paging.h"

enum { LIST_LIMIT = 100, DELETE_LIMIT = 10, REVISION_DIGITS = 10 };

static enum ecs_task_definition_status status_of(const struct definition_entry *definition)
{
	return definition->record->definition->status;
}

/* ---- describing */

static void show(struct call *call, const struct definition_entry *definition,
		 struct ecs_task_definition *ret_shown)
{
	*ret_shown = *definition->record->definition;
	ret_shown->task_definition_arn = definition_arn(call->plane, definition);
	ret_shown->delete_requested_at.has = false;
}

static struct ecs_task_definition *shown(struct call *call,
					 const struct definition_entry *definition)
{
	struct ecs_task_definition *copy = arena_new(call->arena, struct ecs_task_definition);

	show(call, definition, copy);
	return copy;
}

static struct ecs_tags list_tags(struct call *call, const struct ecs_tags *tags)
{
	static const struct ecs_tags none;

	return merge_tags(call->arena, tags, &none);
}

bool ecs_describe_task_definition(struct call *call,
				  const struct ecs_describe_task_definition_request *in,
				  struct ecs_describe_task_definition_response *out)
{
	static const struct ecs_tags none;
	struct definition_entry *definition = find_definition(call, in->task_definition);

	if (!definition && call->error.code)
		return false;
	if (!definition)
		return fail(&call->error, ERROR_CLIENT, "Unable to describe task definition.");
	out->task_definition = shown(call, definition);
	out->tags = list_tags(call, in->include.count ? &definition->record->tags : &none);
	return true;
}

/* ---- registering */

static bool next_revision(struct call *call, struct str name, int32_t *ret_revision)
{
	const struct family_entry *family =
		entry_find(call->plane, call->realm, RECORD_TASK_FAMILY, name);
	int32_t last = family ? family->record->last_revision.value : 0;

	if (last >= DEFINITION_REVISIONS_LIMIT)
		return fail(&call->error, ERROR_LIMIT_EXCEEDED,
			    "A family can have at most %d revisions.", DEFINITION_REVISIONS_LIMIT);
	*ret_revision = last + 1;
	return true;
}

static struct definition_entry *add_revision(struct call *call,
					     struct ecs_task_definition *definition,
					     struct ecs_tags tags)
{
	struct str id = arena_printf(call->arena, "%.*s:%d", STR(definition->family),
				     definition->revision.value);

	emit(call->plane, call->realm, RECORD_TASK_FAMILY, definition->family,
	     &(struct task_family){.name = definition->family,
				   .last_revision = definition->revision});
	emit(call->plane, call->realm, RECORD_TASK_DEFINITION, id,
	     &(struct task_definition){.definition = definition, .tags = tags});
	return entry_find(call->plane, call->realm, RECORD_TASK_DEFINITION, id);
}

bool ecs_register_task_definition(struct call *call,
				  const struct ecs_register_task_definition_request *in,
				  struct ecs_register_task_definition_response *out)
{
	struct ecs_task_definition *definition;
	int32_t revision;

	if (!check_tags(&call->error, ERROR_CLIENT, &in->tags) ||
	    !definition_settle_request(in, call->arena, &definition, &call->error) ||
	    !definition_check_built(definition, &call->error) ||
	    !next_revision(call, definition->family, &revision))
		return false;
	definition->revision = (struct maybe_integer){revision, true};
	definition->status = ECS_TASK_DEFINITION_STATUS_ACTIVE;
	definition->registered_at = (struct maybe_time){plane_now(call->plane), true};
	definition->registered_by = call->caller->arn;
	out->task_definition = shown(call, add_revision(call, definition, in->tags));
	if (in->tags.count)
		out->tags = in->tags;
	return true;
}

/* ---- deregistering and deleting */

/* An identifier that names one revision: FAMILY:REVISION or its ARN. */
static bool has_revision(struct str identifier)
{
	struct str name = str_slice(identifier, str_find_last(identifier, '/') + 1, identifier.len);

	if (str_find(identifier, '/') == identifier.len)
		name = identifier;
	return str_find(name, ':') < name.len;
}

static void emit_definition(struct call *call, struct definition_entry *definition,
			    struct ecs_task_definition *next)
{
	emit(call->plane, call->realm, RECORD_TASK_DEFINITION, entry_id(&definition->entry),
	     &(struct task_definition){.definition = next, .tags = definition->record->tags});
}

static void deactivate(struct call *call, struct definition_entry *definition)
{
	struct ecs_task_definition next = *definition->record->definition;

	next.status = ECS_TASK_DEFINITION_STATUS_INACTIVE;
	next.deregistered_at = (struct maybe_time){plane_now(call->plane), true};
	emit_definition(call, definition, &next);
}

/* The reply does not show when it happened. */
bool ecs_deregister_task_definition(struct call *call,
				    const struct ecs_deregister_task_definition_request *in,
				    struct ecs_deregister_task_definition_response *out)
{
	struct definition_entry *definition;

	if (!has_revision(in->task_definition))
		return fail(&call->error, ERROR_INVALID_PARAMETER, "Revision is missing");
	definition = find_definition(call, in->task_definition);
	if (!definition && call->error.code)
		return false;
	if (!definition)
		return fail(&call->error, ERROR_CLIENT, "Unable to deregister task definition.");
	if (status_of(definition) == ECS_TASK_DEFINITION_STATUS_DELETE_IN_PROGRESS)
		return fail(&call->error, ERROR_CLIENT,
			    "The task definition could not be deregistered because it is in the "
			    "process of being deleted.");
	if (status_of(definition) == ECS_TASK_DEFINITION_STATUS_ACTIVE)
		deactivate(call, definition);
	out->task_definition = shown(call, definition);
	out->task_definition->deregistered_at.has = false;
	return true;
}

static void request_deletion(struct call *call, struct definition_entry *definition)
{
	struct ecs_task_definition next = *definition->record->definition;

	next.status = ECS_TASK_DEFINITION_STATUS_DELETE_IN_PROGRESS;
	next.delete_requested_at = (struct maybe_time){plane_now(call->plane), true};
	emit_definition(call, definition, &next);
}

/* Why a reference cannot be deleted; absent, with its definition, when it can. */
static struct str find_deletable(struct call *call, struct str reference,
				 struct definition_entry **ret_definition)
{
	struct definition_entry *definition =
		has_revision(reference) ? find_definition(call, reference) : NULL;
	bool malformed = !has_revision(reference) || call->error.code;

	call->error = (struct error){0};
	if (malformed)
		return S("The specified task definition identifier is invalid. Specify a valid "
			 "name or ARN and try again.");
	if (!definition)
		return S("The specified task definition does not exist. Specify a valid account, "
			 "family, revision and try "
			 "again.");
	if (status_of(definition) == ECS_TASK_DEFINITION_STATUS_ACTIVE)
		return S("The specified task definition is still in ACTIVE status. Please "
			 "deregister the target and try again.");
	*ret_definition = definition;
	return STR_NONE;
}

static struct str reference_arn(struct call *call, struct str reference)
{
	if (str_starts(reference, S("arn:")))
		return reference;
	return ecs_arn(call->plane, call->realm, "task-definition/%.*s", STR(reference));
}

bool ecs_delete_task_definitions(struct call *call,
				 const struct ecs_delete_task_definitions_request *in,
				 struct ecs_delete_task_definitions_response *out)
{
	size_t count = in->task_definitions.count;

	if (!count)
		return fail(&call->error, ERROR_INVALID_PARAMETER, "References cannot be empty.");
	if (count > DELETE_LIMIT)
		return fail(&call->error, ERROR_INVALID_PARAMETER,
			    "Size of TaskDefinition references list cannot exceed %d",
			    DELETE_LIMIT);
	out->task_definitions.items = arena_array(call->arena, struct ecs_task_definition, count);
	out->failures.items = arena_array(call->arena, struct ecs_failure, count);
	for (size_t i = 0; i < count; i++) {
		struct str reference = in->task_definitions.items[i], reason;
		struct definition_entry *definition = NULL;

		reason = find_deletable(call, reference, &definition);
		if (!definition) {
			out->failures.items[out->failures.count++] = (struct ecs_failure){
				.arn = reference_arn(call, reference), .reason = reason};
			continue;
		}
		if (status_of(definition) == ECS_TASK_DEFINITION_STATUS_INACTIVE)
			request_deletion(call, definition);
		show(call, definition, &out->task_definitions.items[out->task_definitions.count]);
		out->task_definitions.items[out->task_definitions.count++].delete_requested_at =
			definition->record->definition->delete_requested_at;
	}
	return true;
}

usec definition_ends_at(const struct definition_entry *definition)
{
	if (status_of(definition) != ECS_TASK_DEFINITION_STATUS_DELETE_IN_PROGRESS)
		return USEC_NEVER;
	return definition->record->definition->delete_requested_at.value + DEFINITION_RETENTION;
}

bool definition_settle(struct plane *plane, struct definition_entry *definition)
{
	if (plane_now(plane) < definition_ends_at(definition) || definition->used_by)
		return false;
	emit(plane, definition->realm, RECORD_TASK_DEFINITION, entry_id(&definition->entry), NULL);
	return true;
}

/* ---- listing revisions: families in bytewise order, then revisions by number; or all of it
 * backwards */

struct walk {
	const struct sorted *families;
	bool backwards, one_family;
	struct family_entry *family; /* NULL: the end */
	struct sorted_node *node;    /* NULL: between families */
};

static struct family_entry *family_at(struct sorted_node *node)
{
	return node ? CONTAINER_OF(node, struct family_entry, by_name) : NULL;
}

static void walk_enter(struct walk *walk, struct family_entry *family)
{
	walk->family = family;
	walk->node = NULL;
	if (family)
		walk->node = walk->backwards ? sorted_last(&family->revisions)
					     : sorted_first(&family->revisions);
}

/* On to the next family until there is a revision to stand on. */
static void walk_settle(struct walk *walk)
{
	while (walk->family && !walk->node) {
		struct str name = walk->family->by_name.key;

		if (walk->one_family)
			walk->family = NULL;
		else
			walk_enter(walk,
				   family_at(walk->backwards ? sorted_before(walk->families, name)
							     : sorted_after(walk->families, name)));
	}
}

static void walk_after(struct walk *walk, struct str revision_key)
{
	walk->node = walk->backwards ? sorted_before(&walk->family->revisions, revision_key)
				     : sorted_after(&walk->family->revisions, revision_key);
	walk_settle(walk);
}

/* "FAMILY::0000000012": the last revision of the page before. AWS's tokens look like this, too. */
static bool token_read(struct str token, struct str *ret_family, struct str *ret_revision_key)
{
	size_t split = token.len > REVISION_DIGITS + 2 ? token.len - REVISION_DIGITS - 2 : 0;
	uint64_t revision;

	*ret_family = str_slice(token, 0, split);
	*ret_revision_key = str_slice(token, split + 2, token.len);
	return split > 0 && str_equal(str_slice(token, split, split + 2), S("::")) &&
	       str_to_unsigned(*ret_revision_key, &revision) && str_find(*ret_family, ':') == split;
}

static bool walk_start(struct call *call, const struct ecs_list_task_definitions_request *in,
		       struct walk *walk)
{
	struct str family, revision_key;
	struct sorted_node *node;

	if (str_empty(in->next_token)) {
		if (walk->one_family)
			walk_enter(walk, family_at(sorted_get(walk->families, in->family_prefix)));
		else
			walk_enter(walk, family_at(walk->backwards ? sorted_last(walk->families)
								   : sorted_first(walk->families)));
		walk_settle(walk);
		return true;
	}
	if (!token_read(in->next_token, &family, &revision_key) ||
	    (walk->one_family && !str_equal(family, in->family_prefix)))
		return page_refuse_token(call);
	node = sorted_get(walk->families, family);
	if (!node)
		return page_refuse_token(call); /* families are never forgotten */
	walk->family = family_at(node);
	walk_after(walk, revision_key);
	return true;
}

bool ecs_list_task_definitions(struct call *call,
			       const struct ecs_list_task_definitions_request *in,
			       struct ecs_list_task_definitions_response *out)
{
	enum ecs_task_definition_status status =
		in->status ? in->status : ECS_TASK_DEFINITION_STATUS_ACTIVE;
	struct walk walk = {
		.families = &call->realm->families,
		.backwards = in->sort == ECS_SORT_ORDER_DESC,
		.one_family = !str_empty(in->family_prefix),
	};
	struct definition_entry *last = NULL;
	size_t size;

	if (!page_size(call, in->max_results, LIST_LIMIT, LIST_LIMIT, &size) ||
	    !walk_start(call, in, &walk))
		return false;
	out->task_definition_arns.items = arena_array(call->arena, struct str, size);
	for (; walk.family; walk_after(&walk, walk.node->key)) {
		struct definition_entry *definition =
			CONTAINER_OF(walk.node, struct definition_entry, by_revision);

		if (status_of(definition) != status)
			continue;
		if (out->task_definition_arns.count == size) {
			out->next_token =
				arena_printf(call->arena, "%.*s::%s",
					     STR(last->family->by_name.key), last->revision_key);
			break;
		}
		out->task_definition_arns.items[out->task_definition_arns.count++] =
			definition_arn(call->plane, definition);
		last = definition;
	}
	return true;
}

/* ---- listing families */

static bool has_status(const struct family_entry *family, enum ecs_task_definition_status status)
{
	for (struct sorted_node *node = sorted_last(&family->revisions); node;
	     node = sorted_before(&family->revisions, node->key))
		if (status_of(CONTAINER_OF(node, struct definition_entry, by_revision)) == status)
			return true;
	return false;
}

static bool family_fits(const struct sorted_node *node, const void *arg)
{
	const struct family_entry *family = CONTAINER_OF(node, struct family_entry, by_name);
	enum ecs_task_definition_family_status status =
		*(const enum ecs_task_definition_family_status *)arg;

	switch (status) {
	case ECS_TASK_DEFINITION_FAMILY_STATUS_ACTIVE:
		return has_status(family, ECS_TASK_DEFINITION_STATUS_ACTIVE);
	case ECS_TASK_DEFINITION_FAMILY_STATUS_INACTIVE:
		return has_status(family, ECS_TASK_DEFINITION_STATUS_INACTIVE);
	default:
		return has_status(family, ECS_TASK_DEFINITION_STATUS_ACTIVE) ||
		       has_status(family, ECS_TASK_DEFINITION_STATUS_INACTIVE);
	}
}

bool ecs_list_task_definition_families(struct call *call,
				       const struct ecs_list_task_definition_families_request *in,
				       struct ecs_list_task_definition_families_response *out)
{
	struct page_request request = {
		.list = arena_printf(call->arena, "ListTaskDefinitionFamilies/%.*s/%d",
				     STR(in->family_prefix), in->status),
		.token = in->next_token,
		.max_results = in->max_results,
		.fallback = LIST_LIMIT,
		.limit = LIST_LIMIT,
		.prefix = in->family_prefix,
		.fits = family_fits,
		.arg = &in->status,
	};
	struct page page;

	if (!page_take(call, &call->realm->families, &request, &page))
		return false;
	out->families = (struct ecs_string_list){arena_array(call->arena, struct str, page.count),
						 page.count};
	for (size_t i = 0; i < page.count; i++)
		out->families.items[i] = page.nodes[i]->key;
	out->next_token = page.next_token;
	return true;
}
