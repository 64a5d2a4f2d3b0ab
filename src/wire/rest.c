#include "wire/rest.h"
#include <assert.h>
#include "wire/percent.h"
#include "wire/scalar.h"
#include "wire/utf8.h"

enum { QUERY_PIECES_LIMIT = 1000 };

/* ---- paths */

/* Takes the next segment off the front of a path, without its slash; false at the end. */
static bool cut_segment(struct str *path, struct str *ret_segment)
{
	if (!path->len || path->ptr[0] != '/' || path->len == 1)
		return false;
	*path = str_slice(*path, 1, path->len);
	*ret_segment = str_slice(*path, 0, str_find(*path, '/'));
	*path = str_slice(*path, ret_segment->len, path->len);
	return true;
}

static bool is_at_end(struct str path)
{
	return path.len == 0 || str_equal(path, S("/"));
}

static bool is_label(struct str segment)
{
	return segment.len > 2 && segment.ptr[0] == '{' && segment.ptr[segment.len - 1] == '}';
}

static bool is_greedy(struct str label)
{
	return str_ends(label, S("+}"));
}

static bool take_label(struct rest_match *match, struct str label, struct str value)
{
	struct str name = str_slice(label, 1, label.len - (is_greedy(label) ? 2 : 1));

	if (match->label_count == REST_LABELS_LIMIT || !value.len)
		return false;
	match->labels[match->label_count++] = (struct rest_label){name, value};
	return true;
}

static bool fits_path(struct str pattern, struct str path, struct rest_match *match)
{
	struct str wanted, segment, before;

	while (cut_segment(&pattern, &wanted)) {
		before = path;
		if (!cut_segment(&path, &segment))
			return false;
		if (is_label(wanted) && is_greedy(wanted))
			return is_at_end(pattern) && take_label(match, wanted, str_slice(before, 1, before.len));
		if (is_label(wanted) ? !take_label(match, wanted, segment) : !str_equal(wanted, segment))
			return false;
		match->literals += !is_label(wanted);
	}
	return is_at_end(path);
}

bool rest_fits(struct str http, struct str method, struct str path, struct rest_match *ret_match)
{
	struct rest_match match = {0};
	struct str rest = http, word, pattern;

	if (!str_cut(&rest, ' ', &word) || !str_equal(word, method) || !str_cut(&rest, ' ', &pattern))
		return false;
	if (!fits_path(str_slice(pattern, 0, str_find(pattern, '?')), path, &match))
		return false;
	*ret_match = match;
	return true;
}

bool rest_find(const struct api *api, struct str method, struct str path, struct rest_match *ret_match)
{
	struct rest_match match;
	bool found = false;

	for (uint32_t i = 0; i < api->operation_count; i++) {
		const struct operation *operation = &api->operations[i];

		if (!operation->http || !rest_fits(str_of(operation->http), method, path, &match) ||
		    (found && match.literals <= ret_match->literals))
			continue;
		match.operation = operation;
		*ret_match = match;
		found = true;
	}
	return found;
}

int rest_status(const struct operation *operation)
{
	struct str http = str_of(operation->http);
	int64_t status;

	if (!http.len || !str_to_long(str_slice(http, str_find_last(http, ' ') + 1, http.len), &status))
		return 200;
	return (int)status;
}

/* ---- members */

struct binder {
	const struct rest_match *match;
	const struct rest_request *request;
	struct arena *arena;
	struct json_fault *fault;
};

static bool read_scalar(struct binder *binder, const struct member *member, const struct shape *shape,
			struct str text, void *value)
{
	if (!utf8_check(text))
		return fail(&binder->fault->error, ERROR_SERIALIZATION, "Invalid UTF-8 in %.*s",
			    STR(member->name));
	if (scalar_read(shape, text, binder->arena, value))
		return true;
	binder->fault->unknown_word = shape->kind == SHAPE_ENUM;
	if (!binder->fault->unknown_word)
		return fail(&binder->fault->error, ERROR_SERIALIZATION, "STRING_VALUE can not be converted to %s",
			    scalar_type_name(shape));
	binder->fault->violation = (struct violation){
		.kind = VIOLATION_ENUM, .path = member->name, .shape = shape, .member = member, .value = text};
	return false;
}

static bool bind_label(struct binder *binder, const struct member *member, struct str name, void *slot)
{
	for (size_t i = 0; i < binder->match->label_count; i++) {
		const struct rest_label *label = &binder->match->labels[i];

		if (str_equal(label->name, name))
			return read_scalar(binder, member, member->shape,
					   percent_decode(label->value, false, binder->arena), slot);
	}
	return true;
}

static bool bind_header(struct binder *binder, const struct member *member, struct str name, void *slot)
{
	for (size_t i = 0; i < binder->request->header_count; i++) {
		const struct sigv4_header *header = &binder->request->headers[i];

		if (str_equal_ignoring_case(header->name, name))
			return read_scalar(binder, member, member->shape, header->value, slot);
	}
	return true;
}

/* The next value of that name in the query string. */
static bool next_value(struct binder *binder, struct str *rest, struct str name, struct str *ret_value)
{
	struct str piece;

	while (str_cut(rest, '&', &piece)) {
		size_t equals = str_find(piece, '=');

		if (!str_equal(percent_decode(str_slice(piece, 0, equals), true, binder->arena), name))
			continue;
		*ret_value = percent_decode(str_slice(piece, equals + 1, piece.len), true, binder->arena);
		return true;
	}
	return false;
}

static bool bind_query_list(struct binder *binder, const struct member *member, struct str name,
			    struct any_list *list)
{
	size_t stride = shape_stride(member->shape), count = 0;
	struct str rest = binder->request->query, text;
	char *items;

	while (next_value(binder, &rest, name, &text))
		count++;
	if (!count)
		return true;
	if (count > QUERY_PIECES_LIMIT)
		return fail(&binder->fault->error, ERROR_SERIALIZATION, "Too many values of %.*s", STR(name));
	items = arena_alloc(binder->arena, count, stride, 8);
	*list = (struct any_list){items, count};
	rest = binder->request->query;
	for (; next_value(binder, &rest, name, &text); items += stride)
		if (!read_scalar(binder, member, member->shape->element, text, items))
			return false;
	return true;
}

static bool bind_query(struct binder *binder, const struct member *member, struct str name, void *slot)
{
	struct str rest = binder->request->query, text;

	if (member->shape->kind == SHAPE_LIST && shape_is_scalar(member->shape->element))
		return bind_query_list(binder, member, name, slot);
	return !next_value(binder, &rest, name, &text) || read_scalar(binder, member, member->shape, text, slot);
}

static const struct {
	struct str place;
	bool (*bind)(struct binder *binder, const struct member *member, struct str name, void *slot);
} places[] = {
	{STR_INIT("uri="), bind_label},
	{STR_INIT("querystring="), bind_query},
	{STR_INIT("header="), bind_header},
};

/* What a body says of a member that lies elsewhere does not count. */
static bool bind_member(struct binder *binder, const struct member *member, void *structure)
{
	struct str location = str_of(member->location);
	void *slot = member_at(member, structure);
	bool list = member->shape->kind == SHAPE_LIST;

	for (size_t i = 0; i < COUNT(places); i++) {
		struct str place = places[i].place;

		if (!str_starts(location, place) || (!list && !shape_is_scalar(member->shape)))
			continue;
		memset(slot, 0, member->shape->size);
		return places[i].bind(binder, member, str_slice(location, place.len, location.len), slot);
	}
	return true;
}

static const struct member *find_payload(const struct shape *shape)
{
	for (uint32_t i = 0; i < shape->member_count; i++)
		if (shape->members[i].flags & MEMBER_PAYLOAD)
			return &shape->members[i];
	return NULL;
}

/* The body is the operation's members, or that of its payload alone. */
static bool read_body(const struct shape *shape, struct str body, struct arena *arena, void **ret_value,
		      struct json_fault *fault)
{
	const struct member *payload = find_payload(shape);
	void *value, *slot;

	if (!payload)
		return json_decode(shape, body, arena, ret_value, fault);
	value = arena_alloc(arena, 1, shape->size, 8);
	slot = member_at(payload, value);
	*ret_value = value;
	if (payload->shape->kind == SHAPE_STRING || payload->shape->kind == SHAPE_BLOB)
		*(struct str *)slot = body;
	else if (payload->shape->kind == SHAPE_STRUCTURE || payload->shape->kind == SHAPE_UNION)
		return body.len == 0 || json_decode(payload->shape, body, arena, slot, fault);
	return true;
}

bool rest_decode(const struct rest_match *match, const struct rest_request *request, struct arena *arena,
		 void **ret_value, struct json_fault *fault)
{
	const struct shape *shape = match->operation->input;
	struct binder binder = {match, request, arena, fault};
	void *value;

	fault->error.code = ERROR_NONE;
	fault->unknown_word = false;
	if (!read_body(shape, request->body, arena, &value, fault))
		return false;
	for (uint32_t i = 0; i < shape->member_count; i++)
		if (shape->members[i].location && !bind_member(&binder, &shape->members[i], value))
			return false;
	*ret_value = value;
	return true;
}
