#include "wire/form.h"
#include <assert.h>
#include <stdlib.h>
#include "wire/percent.h"
#include "wire/scalar.h"
#include "wire/utf8.h"

enum { INDEX_DIGITS_LIMIT = 9 };

struct pair {
	struct str name, value;
	size_t place;                                    /* in the text: of two of the same name the last one counts */
};

/* Pairs sorted by name, so that what belongs together stands together. */
struct form {
	const struct pair *pairs;
	enum form_style style;
	struct arena *arena;
	struct json_fault *fault;
	size_t storage;
	unsigned depth;
};

/* Pairs whose names agree in the `offset` bytes in front of the segment that comes next. A name that has no further
 * segment ends at offset - 1. */
struct range {
	size_t from, to, offset;
};

static bool read_value(struct form *form, const struct shape *shape, bool flat, struct range range, void *value);

static bool refuse(struct form *form, enum error_code code, const char *text, struct str name)
{
	return fail(&form->fault->error, code, "%s%.*s", text, STR(str_slice(name, 0, 128)));
}

static bool malformed(struct form *form, const char *text)
{
	return fail(&form->fault->error, ERROR_MALFORMED_QUERY_STRING, "%s", text);
}

static bool unknown(struct form *form, struct range range)
{
	return fail(&form->fault->error, ERROR_UNKNOWN_PARAMETER, "The parameter %.*s is not recognized",
		    STR(str_slice(form->pairs[range.from].name, 0, 128)));
}

static bool wrong_value(struct form *form, const struct shape *shape, const struct pair *pair)
{
	struct violation *violation = &form->fault->violation;

	if (shape->kind == SHAPE_ENUM) {
		form->fault->unknown_word = true;
		*violation = (struct violation){
			.kind = VIOLATION_ENUM, .path = pair->name, .shape = shape, .value = pair->value};
		return false;
	}
	return fail(&form->fault->error, ERROR_INVALID_PARAMETER_VALUE,
		    "Invalid value '%.*s' for parameter %.*s: it must be %s", STR(str_slice(pair->value, 0, 128)),
		    STR(str_slice(pair->name, 0, 128)), scalar_type_name(shape));
}

/* ---- names */

static struct str segment_at(struct str name, size_t offset)
{
	struct str rest = str_slice(name, offset, name.len);

	return str_slice(rest, 0, str_find(rest, '.'));
}

static bool is_number(struct str segment)
{
	for (size_t i = 0; i < segment.len; i++)
		if (segment.ptr[i] < '0' || segment.ptr[i] > '9')
			return false;
	return segment.len > 0;
}

/* Numbers by their size and in front of words. */
static int compare_segments(struct str a, struct str b)
{
	bool number = is_number(a);

	if (number != is_number(b))
		return number ? -1 : 1;
	if (number && a.len != b.len)
		return a.len < b.len ? -1 : 1;
	return str_compare(a, b);
}

static int compare_pairs(const void *a, const void *b)
{
	const struct pair *left = a, *right = b;
	size_t offset = 0;

	while (offset <= left->name.len && offset <= right->name.len) {
		struct str segment = segment_at(left->name, offset);
		int order = compare_segments(segment, segment_at(right->name, offset));

		if (order)
			return order;
		offset += segment.len + 1;
	}
	if (left->name.len != right->name.len)
		return left->name.len < right->name.len ? -1 : 1;
	return left->place < right->place ? -1 : 1;
}

static bool is_leaf(const struct form *form, struct range range, size_t place)
{
	return form->pairs[place].name.len < range.offset;
}

/* Takes off the front of the range what shares its next segment. */
static struct range take_group(const struct form *form, struct range *rest, struct str *ret_segment)
{
	struct str segment = segment_at(form->pairs[rest->from].name, rest->offset);
	struct range group = {rest->from, rest->from, rest->offset + segment.len + 1};

	while (group.to < rest->to &&
	       str_equal(segment_at(form->pairs[group.to].name, rest->offset), segment))
		group.to++;
	rest->from = group.to;
	*ret_segment = segment;
	return group;
}

static bool equal_capitalized(struct str name, struct str segment)
{
	char first = name.len ? name.ptr[0] : 0;

	if (first >= 'a' && first <= 'z')
		first = (char)(first - 'a' + 'A');
	return name.len && name.len == segment.len && first == segment.ptr[0] &&
	       memcmp(name.ptr + 1, segment.ptr + 1, name.len - 1) == 0;
}

static bool is_named(const struct form *form, const struct member *member, struct str segment)
{
	static const struct str own = STR_INIT("query=");

	if (form->style == FORM_QUERY)
		return str_equal(member->name, segment);
	if (member->location && str_starts(str_of(member->location), own))
		return str_equal(str_of(member->location + own.len), segment);
	return equal_capitalized(member->name, segment);
}

static const struct member *find_member(const struct form *form, const struct shape *shape, struct str segment)
{
	for (uint32_t i = 0; i < shape->member_count; i++)
		if (is_named(form, &shape->members[i], segment))
			return &shape->members[i];
	return NULL;
}

/* ---- values */

static bool is_structure(const struct shape *shape)
{
	return shape->kind == SHAPE_STRUCTURE || shape->kind == SHAPE_UNION;
}

static void *room(struct form *form, size_t count, size_t size)
{
	form->storage += count * size;                   /* count is bounded by FORM_PAIRS_LIMIT */
	if (form->storage <= FORM_STORAGE_LIMIT)
		return arena_alloc(form->arena, count, size, 8);
	malformed(form, "The request is too large.");
	return NULL;
}

static bool read_scalar(struct form *form, const struct shape *shape, struct range range, void *value)
{
	const struct pair *last = &form->pairs[range.to - 1];

	if (!is_leaf(form, range, range.to - 1))         /* leaves stand in front */
		return unknown(form, (struct range){range.to - 1, range.to, range.offset});
	return scalar_read(shape, last->value, form->arena, value) || wrong_value(form, shape, last);
}

static bool read_member(struct form *form, const struct member *member, struct range range, void *structure)
{
	void *slot = member_at(member, structure);
	bool flat = member->flags & MEMBER_FLAT;

	if (!is_structure(member->shape))
		return read_value(form, member->shape, flat, range, slot);
	*(void **)slot = room(form, 1, member->shape->size);
	return *(void **)slot && read_value(form, member->shape, flat, range, *(void **)slot);
}

static bool read_members(struct form *form, const struct shape *shape, struct range range, void *structure)
{
	while (range.from < range.to) {
		struct str segment;
		struct range group = take_group(form, &range, &segment);
		const struct member *member = find_member(form, shape, segment);

		if (member ? !read_member(form, member, group, structure) :
			     form->style == FORM_EC2 && !unknown(form, group))
			return false;
	}
	return true;
}

/* "Name=" with nothing behind it: present and empty. */
static bool read_empty(struct form *form, const struct shape *shape, struct range range)
{
	const struct pair *last = &form->pairs[range.to - 1];

	if (!is_leaf(form, range, range.to - 1))
		return refuse(form, ERROR_INVALID_PARAMETER_VALUE, "Conflicting values for parameter ",
			      form->pairs[range.from].name);
	return last->value.len == 0 || wrong_value(form, shape, last);
}

static size_t count_groups(const struct form *form, struct range range)
{
	struct str segment;
	size_t count = 0;

	for (; range.from < range.to; count++)
		take_group(form, &range, &segment);
	return count;
}

static bool check_index(struct form *form, struct str segment, struct range group)
{
	if (is_number(segment) && segment.ptr[0] != '0' && segment.len <= INDEX_DIGITS_LIMIT)
		return true;
	return unknown(form, group);
}

/* Reads the word between a list's name and its numbers, where the style has one. */
static bool take_word(struct form *form, struct str word, bool flat, struct range *range)
{
	struct str segment;
	struct range rest = *range, group;

	if (form->style == FORM_EC2 || flat)
		return true;
	group = take_group(form, &rest, &segment);
	if (rest.from < rest.to || !str_equal(segment, word) || is_leaf(form, group, group.from))
		return unknown(form, str_equal(segment, word) && rest.from < rest.to ? rest : group);
	*range = group;
	return true;
}

static bool read_list(struct form *form, const struct shape *shape, bool flat, struct range range,
		      struct any_list *list)
{
	size_t stride = shape_stride(shape);
	struct str segment;
	char *item;

	if (!take_word(form, shape->element_name, flat, &range))
		return false;
	list->count = count_groups(form, range);
	list->items = item = room(form, list->count, stride);
	if (!item)
		return false;
	for (; range.from < range.to; item += stride) {
		struct range group = take_group(form, &range, &segment);

		if (!check_index(form, segment, group) ||
		    !read_value(form, shape->element, false, group, item))
			return false;
	}
	return true;
}

static bool read_entry(struct form *form, const struct shape *shape, struct range range, char *entry)
{
	struct range whole = range;
	struct str segment;
	bool key = false, value = false;

	while (range.from < range.to) {
		struct range group = take_group(form, &range, &segment);

		if (str_equal(segment, S("key")))
			key = read_scalar(form, &shape_string, group, entry);
		else if (str_equal(segment, S("value")))
			value = read_value(form, shape->element, false, group, entry + shape->value_offset);
		else
			return unknown(form, group);
		if (form->fault->error.code || form->fault->unknown_word)
			return false;
	}
	return (key && value) || refuse(form, ERROR_INVALID_PARAMETER_VALUE, "An entry needs a key and a value: ",
					form->pairs[whole.from].name);
}

static bool read_map(struct form *form, const struct shape *shape, bool flat, struct range range,
		     struct any_list *map)
{
	size_t stride = shape_stride(shape);
	struct str segment;
	char *entry;

	if (!take_word(form, S("entry"), flat, &range))
		return false;
	map->count = count_groups(form, range);
	map->items = entry = room(form, map->count, stride);
	if (!entry)
		return false;
	for (; range.from < range.to; entry += stride) {
		struct range group = take_group(form, &range, &segment);

		if (!check_index(form, segment, group) || !read_entry(form, shape, group, entry))
			return false;
	}
	return true;
}

static bool read_collection(struct form *form, const struct shape *shape, bool flat, struct range range,
			    struct any_list *ret_list)
{
	if (is_leaf(form, range, range.from)) {
		*ret_list = (struct any_list){arena_alloc_bytes(form->arena, 0), 0};
		return read_empty(form, shape, range);
	}
	return shape->kind == SHAPE_LIST ? read_list(form, shape, flat, range, ret_list) :
					   read_map(form, shape, flat, range, ret_list);
}

static bool read_nested(struct form *form, const struct shape *shape, bool flat, struct range range, void *value)
{
	if (!is_structure(shape))
		return read_collection(form, shape, flat, range, value);
	if (is_leaf(form, range, range.from))
		return read_empty(form, shape, range);
	return read_members(form, shape, range, value);
}

/* `range` is not empty; structures lie inline. */
static bool read_value(struct form *form, const struct shape *shape, bool flat, struct range range, void *value)
{
	bool fine;

	if (shape_is_scalar(shape))
		return read_scalar(form, shape, range, value);
	if (form->depth == FORM_DEPTH_LIMIT)
		return malformed(form, "The parameters are nested too deeply.");
	form->depth++;
	fine = read_nested(form, shape, flat, range, value);
	form->depth--;
	return fine;
}

/* ---- the text */

/* What says which operation is meant, and who asks, is no part of its input. */
static bool is_control(struct str name)
{
	return str_equal(name, S("Action")) || str_equal(name, S("Version")) || str_starts(name, S("X-Amz-"));
}

static size_t count_pairs(struct str text)
{
	size_t count = 1;

	for (size_t i = 0; i < text.len; i++)
		count += text.ptr[i] == '&';
	return count;
}

static bool read_pair(struct form *form, struct str piece, struct pair *pair)
{
	size_t equals = str_find(piece, '=');

	pair->name = percent_decode(str_slice(piece, 0, equals), true, form->arena);
	pair->value = percent_decode(str_slice(piece, equals + 1, piece.len), true, form->arena);
	if (pair->name.len > FORM_NAME_LIMIT)
		return malformed(form, "The name of a parameter is too long.");
	if (!pair->name.len || !utf8_check(pair->name) || !utf8_check(pair->value))
		return malformed(form, "The query string contains a syntax error.");
	return true;
}

static bool read_pairs(struct form *form, struct str text, size_t *ret_count)
{
	size_t limit = count_pairs(text), count = 0;
	struct str rest = text, piece;
	struct pair *pairs;

	if (limit > FORM_PAIRS_LIMIT)
		return malformed(form, "The request has too many parameters.");
	pairs = arena_array(form->arena, struct pair, limit);
	while (str_cut(&rest, '&', &piece)) {
		if (!piece.len)
			continue;
		if (!read_pair(form, piece, &pairs[count]))
			return false;
		pairs[count].place = count;
		count += !is_control(pairs[count].name);
	}
	qsort(pairs, count, sizeof(*pairs), compare_pairs);
	form->pairs = pairs;
	*ret_count = count;
	return true;
}

struct str form_raw_value(struct str text, struct str name)
{
	struct str rest = text, piece;

	while (str_cut(&rest, '&', &piece)) {
		size_t equals = str_find(piece, '=');

		if (str_equal(str_slice(piece, 0, equals), name))
			return str_slice(piece, equals + 1, piece.len);
	}
	return STR_NONE;
}

bool form_decode(const struct shape *shape, struct str text, enum form_style style, struct arena *arena,
		 void **ret_value, struct json_fault *fault)
{
	struct form form = {.style = style, .arena = arena, .fault = fault};
	void *value = arena_alloc(arena, 1, shape->size, 8);
	size_t count;

	assert(is_structure(shape));
	fault->error.code = ERROR_NONE;
	fault->unknown_word = false;
	if (!read_pairs(&form, text, &count) ||
	    !read_members(&form, shape, (struct range){0, count, 0}, value))
		return false;
	*ret_value = value;
	return true;
}
