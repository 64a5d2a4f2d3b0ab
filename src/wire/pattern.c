#define PCRE2_CODE_UNIT_WIDTH 8
#include "wire/pattern.h"
#include <pcre2.h>
#include <stdlib.h>
#include "base/list.h"

enum {
	NESTING_LIMIT = 100,                             /* of parentheses */
	DEPTH_LIMIT = 1000,                              /* of backtracking */
	HEAP_LIMIT = 1024,                               /* KiB for one match */
};

struct pattern {
	pcre2_code *code;
	pcre2_match_context *limits;
};

static pcre2_code *compile(struct str text, int *ret_code, size_t *ret_at)
{
	pcre2_compile_context *context = pcre2_compile_context_create(NULL);
	uint32_t options = PCRE2_UTF | PCRE2_ANCHORED | PCRE2_ENDANCHORED | PCRE2_NEVER_BACKSLASH_C |
			   PCRE2_DOLLAR_ENDONLY;
	pcre2_code *code;

	if (!context)
		abort();
	pcre2_set_parens_nest_limit(context, NESTING_LIMIT);
	code = pcre2_compile((PCRE2_SPTR)text.ptr, text.len, options, ret_code, ret_at, context);
	pcre2_compile_context_free(context);
	return code;
}

static pcre2_match_context *limits_new(void)
{
	pcre2_match_context *limits = pcre2_match_context_create(NULL);

	if (!limits)
		abort();
	pcre2_set_match_limit(limits, PATTERN_WORK_LIMIT);
	pcre2_set_depth_limit(limits, DEPTH_LIMIT);
	pcre2_set_heap_limit(limits, HEAP_LIMIT);
	return limits;
}

struct pattern *pattern_new(struct str text, struct error *err)
{
	struct pattern *pattern;
	pcre2_code *code;
	char why[128];
	size_t at = 0;
	int number = 0;

	if (text.len > PATTERN_BYTES_LIMIT) {
		fail(err, ERROR_INVALID_PARAMETER, "The regular expression has more than %d bytes",
		     PATTERN_BYTES_LIMIT);
		return NULL;
	}
	code = compile(str_has(text) ? text : S(""), &number, &at);
	if (!code) {
		pcre2_get_error_message(number, (PCRE2_UCHAR *)why, sizeof(why));
		fail(err, ERROR_INVALID_PARAMETER, "The regular expression '%.*s' is not valid at %zu: %s",
		     STR(text), at, why);
		return NULL;
	}
	pattern = malloc(sizeof(*pattern));
	if (!pattern)
		abort();
	*pattern = (struct pattern){.code = code, .limits = limits_new()};
	return pattern;
}

void pattern_free(struct pattern *pattern)
{
	if (!pattern)
		return;
	pcre2_match_context_free(pattern->limits);
	pcre2_code_free(pattern->code);
	free(pattern);
}

bool pattern_matches(const struct pattern *pattern, struct str subject)
{
	/* A match per call, so that threads can share the pattern. */
	pcre2_match_data *match = pcre2_match_data_create(1, NULL);
	struct str text = str_has(subject) ? subject : S("");
	int result;

	if (!match)
		abort();
	result = pcre2_match(pattern->code, (PCRE2_SPTR)text.ptr, text.len, 0, 0, match, pattern->limits);
	pcre2_match_data_free(match);
	return result >= 0;
}

/* A shape from which values with patterns can be reached; `pattern` is of the shape itself, or NULL. */
struct pattern_row {
	const struct shape *shape;
	const struct pattern *pattern;
};

struct pattern_table {
	LIST_OF(struct pattern *) patterns;
	LIST_OF(struct str) texts;                       /* of `patterns` */
	LIST_OF(struct pattern_row) rows;                /* sorted by shape */
};

/* All shapes once, and whether a pattern is below. */
struct visit {
	LIST_OF(const struct shape *) seen;
	LIST_OF(bool) needed;
};

static size_t visit_index(const struct visit *visit, const struct shape *shape)
{
	size_t i = 0;

	while (i < visit->seen.count && visit->seen.items[i] != shape)
		i++;
	return i;
}

static void visit_shape(struct visit *visit, const struct shape *shape)
{
	if (visit_index(visit, shape) < visit->seen.count)
		return;
	list_add(&visit->seen, shape);
	list_add(&visit->needed, shape->pattern != NULL);
	for (uint32_t i = 0; i < shape->member_count; i++)
		visit_shape(visit, shape->members[i].shape);
	if (shape->element)
		visit_shape(visit, shape->element);
}

static bool is_needed(const struct visit *visit, const struct shape *shape)
{
	for (uint32_t i = 0; i < shape->member_count; i++)
		if (visit->needed.items[visit_index(visit, shape->members[i].shape)])
			return true;
	return shape->element && visit->needed.items[visit_index(visit, shape->element)];
}

/* Shapes may contain themselves, so what is needed spreads upwards until nothing changes. */
static void spread(struct visit *visit)
{
	bool changed;

	do {
		changed = false;
		for (size_t i = 0; i < visit->seen.count; i++) {
			if (visit->needed.items[i] || !is_needed(visit, visit->seen.items[i]))
				continue;
			visit->needed.items[i] = changed = true;
		}
	} while (changed);
}

static const struct pattern *intern(struct pattern_table *table, const char *text, struct error *err)
{
	struct pattern *pattern;

	for (size_t i = 0; i < table->texts.count; i++)
		if (str_equal(table->texts.items[i], str_of(text)))
			return table->patterns.items[i];
	pattern = pattern_new(str_of(text), err);
	if (!pattern)
		return NULL;
	list_add(&table->patterns, pattern);
	list_add(&table->texts, str_of(text));
	return pattern;
}

static int compare_rows(const void *a, const void *b)
{
	uintptr_t in_a = (uintptr_t)((const struct pattern_row *)a)->shape;
	uintptr_t in_b = (uintptr_t)((const struct pattern_row *)b)->shape;

	return (in_a > in_b) - (in_a < in_b);
}

static bool add_rows(struct pattern_table *table, const struct visit *visit, struct error *err)
{
	for (size_t i = 0; i < visit->seen.count; i++) {
		const struct shape *shape = visit->seen.items[i];
		struct pattern_row row = {.shape = shape};

		if (!visit->needed.items[i])
			continue;
		if (shape->pattern)
			row.pattern = intern(table, shape->pattern, err);
		if (shape->pattern && !row.pattern)
			return fail_context(err, "pattern of %.*s", STR(shape->name));
		list_add(&table->rows, row);
	}
	if (table->rows.count)
		qsort(table->rows.items, table->rows.count, sizeof(*table->rows.items), compare_rows);
	return true;
}

struct pattern_table *pattern_table_new(const struct api *api, struct error *err)
{
	struct pattern_table *table = calloc(1, sizeof(*table));
	struct visit visit = {0};

	if (!table)
		abort();
	for (uint32_t i = 0; i < api->operation_count; i++)
		visit_shape(&visit, api->operations[i].input);
	spread(&visit);
	if (!add_rows(table, &visit, err)) {
		pattern_table_free(table);
		table = NULL;
	}
	list_fini(&visit.seen);
	list_fini(&visit.needed);
	return table;
}

void pattern_table_free(struct pattern_table *table)
{
	if (!table)
		return;
	for (size_t i = 0; i < table->patterns.count; i++)
		pattern_free(table->patterns.items[i]);
	list_fini(&table->patterns);
	list_fini(&table->texts);
	list_fini(&table->rows);
	free(table);
}

struct check {
	const struct pattern_table *table;
	struct arena *arena;
	struct violation *found;
};

static const struct pattern_row *find_row(const struct pattern_table *table, const struct shape *shape)
{
	struct pattern_row key = {.shape = shape};

	return table->rows.count ? bsearch(&key, table->rows.items, table->rows.count, sizeof(key), compare_rows) :
				   NULL;
}

static bool check_value(struct check *check, const struct shape *shape, const void *value);

static bool check_members(struct check *check, const struct shape *shape, const void *structure)
{
	for (uint32_t i = 0; i < shape->member_count; i++) {
		const struct member *member = &shape->members[i];
		const void *value = member_at(member, structure);

		if (!shape_is_present(member->shape, value))
			continue;
		if (member->shape->kind == SHAPE_STRUCTURE || member->shape->kind == SHAPE_UNION)
			value = *(const void *const *)value;
		if (check_value(check, member->shape, value))
			continue;
		check->found->path = shape_path_join(check->arena, member->name, check->found->path);
		if (!check->found->member)
			check->found->member = member;
		return false;
	}
	return true;
}

static bool check_items(struct check *check, const struct shape *shape, const struct any_list *list)
{
	size_t stride = shape_stride(shape);

	for (size_t i = 0; i < list->count; i++) {
		const char *item = (const char *)list->items + i * stride;
		struct str key = shape->kind == SHAPE_MAP ? *(const struct str *)(const void *)item : STR_NONE;

		if (check_value(check, shape->element, item + shape->value_offset))
			continue;
		check->found->path = shape_path_item(check->arena, shape, i, key, check->found->path);
		return false;
	}
	return true;
}

static bool check_value(struct check *check, const struct shape *shape, const void *value)
{
	const struct pattern_row *row = find_row(check->table, shape);

	if (!row)
		return true;
	switch (shape->kind) {
	case SHAPE_STRUCTURE:
	case SHAPE_UNION:
		return check_members(check, shape, value);
	case SHAPE_LIST:
	case SHAPE_MAP:
		return check_items(check, shape, value);
	case SHAPE_STRING:
		if (pattern_matches(row->pattern, *(const struct str *)value))
			return true;
		*check->found = (struct violation){.kind = VIOLATION_PATTERN, .path = S(""), .shape = shape,
			.value = *(const struct str *)value};
		return false;
	default:
		return true;
	}
}

bool pattern_table_check(const struct pattern_table *table, const struct shape *shape, const void *structure,
			 struct arena *arena, struct violation *ret_violation)
{
	struct check check = {.table = table, .arena = arena, .found = ret_violation};

	return check_value(&check, shape, structure);
}
