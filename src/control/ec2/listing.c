#include "control/ec2/listing.h"
#include <assert.h>
#include <stdio.h>
#include "api/ec2.h"
#include "base/buffer.h"
#include "control/call.h"
#include "control/paging.h"

enum { NUMBER_TEXT = 24 };

bool pattern_fits(struct str pattern, struct str text)
{
	size_t p = 0, t = 0, star = SIZE_MAX, mark = 0;

	while (t < text.len) {
		bool literal = p < pattern.len && pattern.ptr[p] == '\\' && p + 1 < pattern.len;
		char c = p < pattern.len ? pattern.ptr[p + literal] : '\0';

		if (p < pattern.len && !literal && c == '*') {
			star = p++;
			mark = t;
		} else if (p < pattern.len && ((!literal && c == '?') || c == text.ptr[t])) {
			p += 1u + literal;
			t++;
		} else if (star != SIZE_MAX) {
			p = star + 1;
			t = ++mark;
		} else {
			return false;
		}
	}
	while (p < pattern.len && pattern.ptr[p] == '*')
		p++;
	return p == pattern.len;
}

static bool fits_one(const struct ec2_value_string_list *patterns, struct str text)
{
	for (size_t i = 0; i < patterns->count; i++)
		if (pattern_fits(patterns->items[i], text))
			return true;
	return false;
}

/* ---- filters */
static bool scalar_fits(const struct ec2_value_string_list *patterns, const struct shape *shape, const void *value)
{
	char number[NUMBER_TEXT];

	switch (shape->kind) {
	case SHAPE_STRING:
		return fits_one(patterns, *(const struct str *)value);
	case SHAPE_ENUM:
		return fits_one(patterns, shape_word_text(shape, *(const int32_t *)value));
	case SHAPE_BOOLEAN:
		return fits_one(patterns, ((const struct maybe_boolean *)value)->value ? S("true") : S("false"));
	case SHAPE_INTEGER:
		snprintf(number, sizeof(number), "%d", ((const struct maybe_integer *)value)->value);
		return fits_one(patterns, str_of(number));
	default:
		return false;
	}
}

static bool path_fits(const struct ec2_value_string_list *patterns, const struct shape *shape, const void *value, struct str path);

static bool member_fits(const struct ec2_value_string_list *patterns, const struct shape *shape, const void *structure,
			struct str path)
{
	struct str name;

	str_cut(&path, '.', &name);
	for (uint32_t i = 0; i < shape->member_count; i++)
		if (str_equal(shape->members[i].name, name))
			return path_fits(patterns, shape->members[i].shape, member_at(&shape->members[i], structure), path);
	assert(!"a filter's path leads to a value");
	return false;
}

/* Whether one of the values at the end of the path fits. Structures are behind a pointer, in lists they are not. */
static bool path_fits(const struct ec2_value_string_list *patterns, const struct shape *shape, const void *value, struct str path)
{
	const struct any_list *list = value;

	if (!shape_is_present(shape, value))
		return false;
	if (shape->kind == SHAPE_STRUCTURE)
		return member_fits(patterns, shape, *(const void *const *)value, path);
	if (shape->kind != SHAPE_LIST)
		return scalar_fits(patterns, shape, value);
	for (size_t i = 0; i < list->count; i++) {
		const void *item = (const char *)list->items + i * shape_stride(shape);

		if (shape->element->kind == SHAPE_STRUCTURE ? member_fits(patterns, shape->element, item, path)
							    : scalar_fits(patterns, shape->element, item))
			return true;
	}
	return false;
}

static const struct ec2_tag_list *tags_of(const struct shape *shape, const void *description)
{
	for (uint32_t i = 0; i < shape->member_count; i++)
		if (str_equal(shape->members[i].name, S("tagSet")))
			return member_at(&shape->members[i], description);
	return NULL;
}

static bool tag_fits(const struct ec2_filter *filter, const struct shape *shape, const void *description)
{
	const struct ec2_tag_list *tags = tags_of(shape, description);
	bool by_key = str_equal(filter->name, S("tag-key"));

	for (size_t i = 0; tags && i < tags->count; i++)
		if (by_key ? fits_one(&filter->values, tags->items[i].key)
			   : str_equal(tags->items[i].key, str_slice(filter->name, 4, filter->name.len)) &&
				     fits_one(&filter->values, tags->items[i].value))
			return true;
	return false;
}

static bool is_tag_filter(struct str name)
{
	return str_equal(name, S("tag-key")) || (str_starts(name, S("tag:")) && name.len > 4);
}

static const struct filter_row *find_row(const struct filter_row *rows, size_t row_count, struct str name)
{
	for (size_t i = 0; i < row_count; i++)
		if (str_equal(rows[i].name, name))
			return &rows[i];
	return NULL;
}

bool filters_check(struct call *call, const struct ec2_filter_list *filters, const struct filter_row *rows, size_t row_count)
{
	size_t values = 0;

	if (filters->count > FILTERS_LIMIT)
		return fail(&call->error, ERROR_FILTER_LIMIT_EXCEEDED, "The maximum number of filters is %d", FILTERS_LIMIT);
	for (size_t i = 0; i < filters->count; i++) {
		const struct ec2_filter *filter = &filters->items[i];

		if (str_empty(filter->name))
			return fail(&call->error, ERROR_MISSING_PARAMETER, "The request must contain the parameter Filter.%zu.Name",
				    i + 1);
		if (!is_tag_filter(filter->name) && !find_row(rows, row_count, filter->name))
			return fail(&call->error, ERROR_INVALID_PARAMETER_VALUE, "The filter '%.*s' is invalid", STR(filter->name));
		if (!filter->values.count)
			return fail(&call->error, ERROR_INVALID_PARAMETER_VALUE, "The filter 'null' is invalid");
		values += filter->values.count;
		if (values > FILTER_VALUES_LIMIT)
			return fail(&call->error, ERROR_FILTER_LIMIT_EXCEEDED,
				    "The maximum number of filter values specified on a single call is %d", FILTER_VALUES_LIMIT);
	}
	return true;
}

bool filters_fit(const struct ec2_filter_list *filters, const struct filter_row *rows, size_t row_count,
		 const struct shape *shape, const void *description)
{
	for (size_t i = 0; i < filters->count; i++) {
		const struct ec2_filter *filter = &filters->items[i];
		const struct filter_row *row = find_row(rows, row_count, filter->name);

		if (row ? !member_fits(&filter->values, shape, description, str_of(row->path))
			: !tag_fits(filter, shape, description))
			return false;
	}
	return true;
}

/* ---- pages */
struct search {
	struct call *call;
	const struct listing *listing;
	const struct ec2_filter_list *filters;
};

static void *described(const struct search *search, const struct entry *entry)
{
	void *description = arena_alloc(search->call->arena, 1, search->listing->shape->size, 16);

	search->listing->describe(search->call, entry, description);
	return description;
}

static bool fits(const struct search *search, const void *description)
{
	return filters_fit(search->filters, search->listing->filters, search->listing->filter_count, search->listing->shape,
			   description);
}

static bool node_fits(const struct sorted_node *node, const void *arg)
{
	const struct search *search = arg;

	return !search->filters->count || fits(search, described(search, &CONTAINER_OF(node, struct object_entry, by_id)->entry));
}

/* What a token belongs to. */
static struct str list_text(struct call *call, const struct search *search)
{
	auto_buffer text = {0};

	buffer_add(&text, search->listing->shape->name);
	for (size_t i = 0; i < search->filters->count; i++) {
		const struct ec2_filter *filter = &search->filters->items[i];

		buffer_add_char(&text, '\n');
		buffer_add(&text, filter->name);
		for (size_t v = 0; v < filter->values.count; v++) {
			buffer_add_char(&text, '\t');
			buffer_add(&text, filter->values.items[v]);
		}
	}
	return arena_copy(call->arena, buffer_str(&text));
}

static void add(struct search *search, const struct entry *entry, struct any_list *list)
{
	const struct shape *shape = search->listing->shape;

	memcpy((char *)list->items + list->count++ * shape->size, described(search, entry), shape->size);
}

/* Without MaxResults: all. */
static bool take_page(struct search *search, const struct listing_request *request, struct any_list *ret_list,
		      struct str *ret_next_token)
{
	struct call *call = search->call;
	const struct sorted *tree = ec2_objects(call->realm, search->listing->kind);
	int32_t all = (int32_t)MAX(tree->count, (size_t)PAGE_LIMIT);
	const struct page_request page_request = {
		.list = list_text(call, search), .token = request->next_token, .max_results = request->max_results,
		.fallback = all, .limit = PAGE_LIMIT < all ? all : PAGE_LIMIT, .fits = node_fits, .arg = search};
	struct page page;

	if (!page_take(call, tree, &page_request, &page)) {
		/* Sizes are checked by their shape. */
		call->error.code = ERROR_NONE;
		return fail(&call->error, ERROR_INVALID_NEXT_TOKEN, "The specified NextToken is not valid.");
	}
	ret_list->items = arena_alloc(call->arena, page.count, search->listing->shape->size, 16);
	for (size_t i = 0; i < page.count; i++)
		add(search, &CONTAINER_OF(page.nodes[i], struct object_entry, by_id)->entry, ret_list);
	*ret_next_token = page.next_token;
	return true;
}

static bool take_ids(struct search *search, const struct any_list *ids, struct any_list *ret_list)
{
	const struct str *names = ids->items;
	struct call *call = search->call;

	if (ids->count > LISTED_IDS_LIMIT)
		return fail(&call->error, ERROR_INVALID_PARAMETER_VALUE, "At most %d ids can be given.", LISTED_IDS_LIMIT);
	ret_list->items = arena_alloc(call->arena, ids->count, search->listing->shape->size, 16);
	for (size_t i = 0; i < ids->count; i++) {
		const struct entry *entry = object_find(call, search->listing->kind, names[i], search->listing->ids_parameter);

		if (!entry)
			return false;
		if (!str_listed(names, i, names[i]) && fits(search, described(search, entry)))
			add(search, entry, ret_list);
	}
	return true;
}

bool listing_take(struct call *call, const struct listing *listing, const struct listing_request *request, void *ret_list,
		  struct str *ret_next_token)
{
	struct search search = {.call = call, .listing = listing, .filters = request->filters};

	if (!filters_check(call, request->filters, listing->filters, listing->filter_count))
		return false;
	if (request->ids.count && request->max_results.has)
		return fail(&call->error, ERROR_INVALID_PARAMETER_COMBINATION,
			    "The parameter %s cannot be used with the parameter maxResults", listing->ids_parameter);
	if (!dry_run_ends(call, request->dry_run))
		return false;
	if (request->ids.count)
		return take_ids(&search, &request->ids, ret_list);
	return take_page(&search, request, ret_list, ret_next_token);
}

bool dry_run_ends(struct call *call, struct maybe_boolean dry_run)
{
	if (!dry_run.value)
		return true;
	return fail(&call->error, ERROR_DRY_RUN, "Request would have succeeded, but DryRun flag is set.");
}

bool refuse_repeat(struct call *call)
{
	return fail(&call->error, ERROR_IDEMPOTENT_PARAMETER_MISMATCH, "Arguments on this idempotent request are inconsistent with "
		    "arguments used in previous request(s).");
}
