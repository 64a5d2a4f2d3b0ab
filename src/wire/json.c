#include "wire/json.h"
#include <assert.h>
#include <math.h>
#include <stdlib.h>
#include "wire/base64.h"
#include "wire/json_scan.h"
#include "wire/timestamp.h"
#include "wire/utf8.h"

enum {
	MAP_LINEAR_LIMIT = 16,                           /* keys compared one by one to find duplicates */
	EXPONENT_LIMIT = 100000,
};

/* Where reading stands. A level of nesting costs one C frame, so `depth` bounds the stack. */
struct decoder {
	const char *at, *end, *start;
	struct arena *arena;
	struct json_fault *fault;
	size_t storage;                                  /* bytes of structs and arrays so far */
	unsigned depth;
};

struct number {
	struct str text;
	uint64_t mantissa;
	int exponent;                                    /* of ten */
	bool minus, inexact;                             /* inexact: digits did not fit the mantissa */
};

static bool read_value(struct decoder *decoder, const struct shape *shape, void *value);
static bool skip_value(struct decoder *decoder);

static bool refuse(struct decoder *decoder, const char *text)
{
	return fail(&decoder->fault->error, ERROR_SERIALIZATION, "%s", text);
}

static bool unexpected(struct decoder *decoder)
{
	unsigned char c = decoder->at < decoder->end ? (unsigned char)*decoder->at : 0;
	size_t position = (size_t)(decoder->at - decoder->start);

	if (decoder->at == decoder->end)
		return refuse(decoder, "Unexpected end of input");
	if (c < 0x21 || c > 0x7e)
		return fail(&decoder->fault->error, ERROR_SERIALIZATION,
			    "Unexpected token (byte 0x%02x) at position %zu", c, position);
	return fail(&decoder->fault->error, ERROR_SERIALIZATION, "Unexpected token '%c' at position %zu", c,
		    position);
}

static bool cannot_convert(struct decoder *decoder, const char *token, const char *target)
{
	return fail(&decoder->fault->error, ERROR_SERIALIZATION, "%s can not be converted to %s", token, target);
}

/* The value that stands here is well-formed, perhaps, but of another type than `target`. */
static bool wrong_type(struct decoder *decoder, const char *target)
{
	switch (decoder->at < decoder->end ? *decoder->at : 0) {
	case '[':
		return refuse(decoder, "Start of list found where not expected");
	case '{':
		return refuse(decoder, "Start of structure or map found where not expected");
	case '"':
		return cannot_convert(decoder, "STRING_VALUE", target);
	case 't':
		return cannot_convert(decoder, "TRUE_VALUE", target);
	case 'f':
		return cannot_convert(decoder, "FALSE_VALUE", target);
	case '-': case '0': case '1': case '2': case '3': case '4': case '5': case '6': case '7': case '8':
	case '9':
		return cannot_convert(decoder, "NUMBER_VALUE", target);
	default:
		return unexpected(decoder);
	}
}

/* The same where a list or structure was expected and a scalar is found. */
static bool wrong_nesting(struct decoder *decoder, const char *text)
{
	char c = decoder->at < decoder->end ? *decoder->at : 0;

	if (c == '"' || c == 't' || c == 'f' || c == '-' || (c >= '0' && c <= '9'))
		return refuse(decoder, text);
	return wrong_type(decoder, "");
}

static inline bool stands(const struct decoder *decoder, char c)
{
	return decoder->at < decoder->end && *decoder->at == c;
}

static inline void skip_space(struct decoder *decoder)
{
	while (decoder->at < decoder->end &&
	       (*decoder->at == ' ' || *decoder->at == '\n' || *decoder->at == '\r' || *decoder->at == '\t'))
		decoder->at++;
}

static inline bool take(struct decoder *decoder, char c)
{
	if (!stands(decoder, c))
		return false;
	decoder->at++;
	return true;
}

static bool take_word(struct decoder *decoder, struct str word)
{
	if (!str_starts((struct str){decoder->at, (size_t)(decoder->end - decoder->at)}, word))
		return unexpected(decoder);
	decoder->at += word.len;
	return true;
}

static bool enter(struct decoder *decoder)
{
	decoder->at++;
	if (decoder->depth == JSON_DEPTH_LIMIT)
		return fail(&decoder->fault->error, ERROR_SERIALIZATION, "Nested deeper than %d levels",
			    JSON_DEPTH_LIMIT);
	decoder->depth++;
	skip_space(decoder);
	return true;
}

/* Zeroed memory for a value. Bounded, for `{},{},…` would grow a hundredfold. */
static void *room(struct decoder *decoder, size_t count, size_t size)
{
	if (__builtin_add_overflow(decoder->storage, count * size, &decoder->storage) ||
	    decoder->storage > JSON_STORAGE_LIMIT) {
		fail(&decoder->fault->error, ERROR_SERIALIZATION, "The values need more than %d bytes",
		     JSON_STORAGE_LIMIT);
		return NULL;
	}
	return arena_alloc(decoder->arena, count, size, 8);
}

static int hex_value(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

static bool take_hex(const char **at, const char *end, uint32_t *ret_unit)
{
	uint32_t unit = 0;

	if (end - *at < 4)
		return false;
	for (int i = 0; i < 4; i++) {
		int value = hex_value((*at)[i]);

		if (value < 0)
			return false;
		unit = unit << 4 | (uint32_t)value;
	}
	*at += 4;
	*ret_unit = unit;
	return true;
}

static char *put_character(char *to, uint32_t code)
{
	if (code < 0x80) {
		*to++ = (char)code;
		return to;
	}
	if (code < 0x800) {
		*to++ = (char)(0xc0 | code >> 6);
	} else {
		if (code < 0x10000) {
			*to++ = (char)(0xe0 | code >> 12);
		} else {
			*to++ = (char)(0xf0 | code >> 18);
			*to++ = (char)(0x80 | (code >> 12 & 63));
		}
		*to++ = (char)(0x80 | (code >> 6 & 63));
	}
	*to++ = (char)(0x80 | (code & 63));
	return to;
}

/* What stands behind \u; *at moves behind it, and behind the second half of a pair. */
static bool take_code(const char **at, const char *end, uint32_t *ret_code)
{
	uint32_t low;

	if (!take_hex(at, end, ret_code))
		return false;
	if (*ret_code < 0xd800 || *ret_code > 0xdfff)
		return true;
	if (*ret_code > 0xdbff || end - *at < 6 || (*at)[0] != '\\' || (*at)[1] != 'u')
		return false;
	*at += 2;
	if (!take_hex(at, end, &low) || low < 0xdc00 || low > 0xdfff)
		return false;
	*ret_code = 0x10000 + ((*ret_code - 0xd800) << 10) + (low - 0xdc00);
	return true;
}

static char plain_escape(char c)
{
	switch (c) {
	case '"': case '\\': case '/': return c;
	case 'b': return '\b';
	case 'f': return '\f';
	case 'n': return '\n';
	case 'r': return '\r';
	case 't': return '\t';
	default: return 0;
	}
}

/* `raw` was scanned: every backslash has a byte behind it. Escapes never get longer. */
static bool unescape(struct str raw, struct arena *arena, struct str *ret_text)
{
	char *bytes = arena_alloc_bytes(arena, raw.len), *to = bytes;
	const char *at = raw.ptr, *end = raw.ptr + raw.len;
	uint32_t code;

	while (at < end) {
		if (*at != '\\') {
			*to++ = *at++;
		} else if (at[1] == 'u') {
			at += 2;
			if (!take_code(&at, end, &code))
				return false;
			to = put_character(to, code);
		} else {
			*to = plain_escape(at[1]);
			if (!*to++)
				return false;
			at += 2;
		}
	}
	*ret_text = (struct str){bytes, (size_t)(to - bytes)};
	return true;
}

/* Goes on from the first byte that is not plain to the closing quote. */
static bool scan_string(struct decoder *decoder, const char *from, bool *ret_escaped)
{
	while (decoder->at < decoder->end && *decoder->at != '"') {
		unsigned char c = (unsigned char)*decoder->at;
		size_t length;

		if (c < 0x20)
			return unexpected(decoder);
		if (c == '\\') {
			*ret_escaped = true;
			decoder->at += MIN(decoder->end - decoder->at, 2);
		} else {
			length = utf8_length((const unsigned char *)decoder->at,
					     (size_t)(decoder->end - decoder->at));
			if (!length)
				return fail(&decoder->fault->error, ERROR_SERIALIZATION,
					    "Invalid UTF-8 at position %zu",
					    (size_t)(decoder->at - decoder->start));
			decoder->at += length;
		}
		decoder->at = json_skip_plain(decoder->at, decoder->end);
	}
	return stands(decoder, '"') || unexpected(decoder);
}

/* At the opening quote. */
static bool read_string(struct decoder *decoder, struct str *ret_text)
{
	const char *from = decoder->at + 1;
	struct str raw;
	bool escaped = false;

	decoder->at = json_skip_plain(from, decoder->end);
	if (!stands(decoder, '"') && !scan_string(decoder, from, &escaped))
		return false;
	raw = (struct str){from, (size_t)(decoder->at - from)};
	if (!escaped) {
		*ret_text = raw;
	} else if (!unescape(raw, decoder->arena, ret_text)) {
		return fail(&decoder->fault->error, ERROR_SERIALIZATION, "Invalid escape in the string at position %zu",
			    (size_t)(from - 1 - decoder->start));
	}
	decoder->at++;
	return true;
}

static inline bool is_digit(const struct decoder *decoder)
{
	return decoder->at < decoder->end && (unsigned char)(*decoder->at - '0') < 10;
}

/* Digits that no longer fit count as a power of ten. `step` is -1 behind the point. */
static bool read_digits(struct decoder *decoder, struct number *number, int step)
{
	if (!is_digit(decoder))
		return unexpected(decoder);
	for (; is_digit(decoder); decoder->at++) {
		unsigned digit = (unsigned)(*decoder->at - '0');

		if (number->mantissa < UINT64_MAX / 10 - 1) {
			number->mantissa = number->mantissa * 10 + digit;
			number->exponent += step;
		} else {
			number->inexact |= digit != 0;
			number->exponent += step + 1;
		}
	}
	return true;
}

static bool read_exponent(struct decoder *decoder, struct number *number)
{
	bool minus = stands(decoder, '-');
	int exponent = 0;

	if (minus || stands(decoder, '+'))
		decoder->at++;
	if (!is_digit(decoder))
		return unexpected(decoder);
	for (; is_digit(decoder); decoder->at++)
		if (exponent < EXPONENT_LIMIT)
			exponent = exponent * 10 + (*decoder->at - '0');
	number->exponent += minus ? -exponent : exponent;
	return true;
}

/* At a digit or a minus. */
static bool read_number(struct decoder *decoder, struct number *number)
{
	const char *from = decoder->at;

	*number = (struct number){.minus = take(decoder, '-')};
	if (stands(decoder, '0'))
		decoder->at++;
	else if (!read_digits(decoder, number, 0))
		return false;
	if (is_digit(decoder))
		return unexpected(decoder);
	if (take(decoder, '.') && !read_digits(decoder, number, -1))
		return false;
	if ((take(decoder, 'e') || take(decoder, 'E')) && !read_exponent(decoder, number))
		return false;
	number->text = (struct str){from, (size_t)(decoder->at - from)};
	return true;
}

/* 5.0 and 5e0 are integers, 5.5 is none. */
static bool number_to_long(struct number number, int64_t *ret_value)
{
	uint64_t size = number.mantissa;

	if (number.inexact)
		return false;
	for (; size && number.exponent < 0 && size % 10 == 0; number.exponent++)
		size /= 10;
	if (size && number.exponent < 0)
		return false;
	for (; size && number.exponent > 0; number.exponent--)
		if (__builtin_mul_overflow(size, 10, &size))
			return false;
	if (size > (uint64_t)INT64_MAX + number.minus)
		return false;
	*ret_value = number.minus ? (int64_t)(0 - size) : (int64_t)size;
	return true;
}

static bool number_to_double(const struct number *number, struct arena *arena, double *ret_value)
{
	static const double powers[] = {1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11,
		1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22};
	int limit = COUNT(powers) - 1;
	double value = (double)number->mantissa;

	/* Both operands are exact here, so that one operation rounds correctly. */
	if (!number->inexact && number->mantissa < (uint64_t)1 << 53 && number->exponent >= -limit &&
	    number->exponent <= limit) {
		value = number->exponent < 0 ? value / powers[-number->exponent] :
					       value * powers[number->exponent];
		*ret_value = number->minus ? -value : value;
		return true;
	}
	*ret_value = strtod(arena_cstr(arena, number->text), NULL);
	return isfinite(*ret_value);
}

static bool read_integer(struct decoder *decoder, int64_t least, int64_t most, const char *target,
			 int64_t *ret_value)
{
	struct number number;

	if (!is_digit(decoder) && !stands(decoder, '-'))
		return wrong_type(decoder, target);
	if (!read_number(decoder, &number))
		return false;
	if (!number_to_long(number, ret_value) || *ret_value < least || *ret_value > most)
		return cannot_convert(decoder, "NUMBER_VALUE", target);
	return true;
}

static bool read_double(struct decoder *decoder, const char *target, double *ret_value)
{
	struct number number;

	if (!is_digit(decoder) && !stands(decoder, '-'))
		return wrong_type(decoder, target);
	if (!read_number(decoder, &number))
		return false;
	return number_to_double(&number, decoder->arena, ret_value) ||
	       cannot_convert(decoder, "NUMBER_VALUE", target);
}

static bool read_timestamp(struct decoder *decoder, struct maybe_time *time)
{
	static const char target[] = "milliseconds since epoch";
	struct str text;
	double seconds;

	time->has = true;
	if (stands(decoder, '"'))
		return read_string(decoder, &text) && (timestamp_parse(text, &time->value) ||
						       cannot_convert(decoder, "STRING_VALUE", target));
	if (!read_double(decoder, target, &seconds))
		return false;
	if (seconds < (double)TIMESTAMP_FIRST / 1e6 || seconds > (double)TIMESTAMP_LAST / 1e6)
		return cannot_convert(decoder, "NUMBER_VALUE", target);
	time->value = llround(seconds * 1e6);
	return true;
}

static bool read_boolean(struct decoder *decoder, struct maybe_boolean *boolean)
{
	bool yes = stands(decoder, 't');

	if (!yes && !stands(decoder, 'f'))
		return wrong_type(decoder, "a Boolean");
	*boolean = (struct maybe_boolean){yes, true};
	return take_word(decoder, yes ? S("true") : S("false"));
}

static bool read_text(struct decoder *decoder, struct str *text)
{
	return stands(decoder, '"') ? read_string(decoder, text) : wrong_type(decoder, "a String");
}

static bool read_word(struct decoder *decoder, const struct shape *shape, int32_t *word)
{
	struct str text;

	if (!read_text(decoder, &text))
		return false;
	*word = shape_word(shape, text);
	if (*word)
		return true;
	decoder->fault->unknown_word = true;
	decoder->fault->violation = (struct violation){
		.kind = VIOLATION_ENUM, .path = S(""), .shape = shape, .value = text};
	return false;
}

static bool read_blob(struct decoder *decoder, struct str *blob)
{
	struct str text;

	if (!read_text(decoder, &text))
		return false;
	return base64_decode(text, decoder->arena, blob) || cannot_convert(decoder, "STRING_VALUE", "bytes");
}

/* Names differ in length or in the last letter, mostly. */
static inline bool is_name(const struct member *member, struct str key)
{
	return key.len && member->name.len == key.len && member->name.ptr[key.len - 1] == key.ptr[key.len - 1] &&
	       memcmp(member->name.ptr, key.ptr, key.len) == 0;
}

/* Senders keep the order of the model, or nearly: `*hint` is where the last key left off. */
static const struct member *find_member(const struct shape *shape, struct str key, uint32_t *hint)
{
	uint32_t from = *hint;

	for (uint32_t i = from; i < shape->member_count; i++)
		if (is_name(&shape->members[i], key)) {
			*hint = i + 1;
			return &shape->members[i];
		}
	for (uint32_t i = 0; i < from; i++)
		if (is_name(&shape->members[i], key)) {
			*hint = i + 1;
			return &shape->members[i];
		}
	return NULL;
}

static bool is_structure(const struct shape *shape)
{
	return shape->kind == SHAPE_STRUCTURE || shape->kind == SHAPE_UNION;
}

static size_t slot_size(const struct shape *shape)
{
	return is_structure(shape) ? sizeof(void *) : shape->size;
}

static bool read_null(struct decoder *decoder, const struct shape *shape, void *structure,
		      const struct member *member)
{
	if (!take_word(decoder, S("null")))
		return false;
	memset(member_at(member, structure), 0, slot_size(member->shape));
	shape_set_null(shape, structure, (uint32_t)(member - shape->members));
	return true;
}

static void clear_null(const struct shape *shape, void *structure, uint32_t member)
{
	((uint8_t *)structure)[shape->nulls_offset + member / 8] &= (uint8_t)~(1 << (member % 8));
}

static bool read_present(struct decoder *decoder, const struct member *member, void *structure)
{
	void *slot = member_at(member, structure);

	if (!is_structure(member->shape))
		return read_value(decoder, member->shape, slot);
	*(void **)slot = room(decoder, 1, member->shape->size);
	return *(void **)slot && read_value(decoder, member->shape, *(void **)slot);
}

static bool read_member(struct decoder *decoder, const struct shape *shape, void *structure,
			const struct member *member)
{
	struct violation *violation = &decoder->fault->violation;

	if (stands(decoder, 'n'))
		return read_null(decoder, shape, structure, member);
	clear_null(shape, structure, (uint32_t)(member - shape->members));
	if (read_present(decoder, member, structure))
		return true;
	if (decoder->fault->unknown_word) {
		violation->path = shape_path_join(decoder->arena, member->name, violation->path);
		if (!violation->member)
			violation->member = member;
	}
	return false;
}

/* A key and its colon. */
static bool read_key(struct decoder *decoder, struct str *ret_key)
{
	if (!stands(decoder, '"'))
		return unexpected(decoder);
	if (!read_string(decoder, ret_key))
		return false;
	skip_space(decoder);
	if (!take(decoder, ':'))
		return unexpected(decoder);
	skip_space(decoder);
	return true;
}

/* Behind an item: true when another follows. At the end of the object or list *ret_end is set. */
static bool next_item(struct decoder *decoder, char close, bool *ret_end)
{
	skip_space(decoder);
	if (take(decoder, ',')) {
		skip_space(decoder);
		*ret_end = false;
		return true;
	}
	*ret_end = true;
	if (!take(decoder, close))
		return unexpected(decoder);
	decoder->depth--;
	return true;
}

static bool read_structure(struct decoder *decoder, const struct shape *shape, void *structure)
{
	uint32_t hint = 0;
	bool end = false;

	if (!stands(decoder, '{'))
		return wrong_nesting(decoder, "Expected null");
	if (!enter(decoder))
		return false;
	if (stands(decoder, '}'))
		return next_item(decoder, '}', &end);
	while (!end) {
		const struct member *member;
		struct str key;

		if (!read_key(decoder, &key))
			return false;
		member = find_member(shape, key, &hint);
		if (!(member ? read_member(decoder, shape, structure, member) : skip_value(decoder)) ||
		    !next_item(decoder, '}', &end))
			return false;
	}
	return true;
}

/* Makes room for one more item. */
static void *push(struct decoder *decoder, const struct shape *shape, struct any_list *list, size_t *capacity)
{
	size_t stride = shape_stride(shape);
	void *items;

	if (list->count == *capacity) {
		*capacity = list->count ? list->count * 2 : stride > 128 ? 1 : 4;
		items = room(decoder, *capacity, stride);
		if (!items)
			return NULL;
		if (list->count)
			memcpy(items, list->items, list->count * stride);
		list->items = items;
	}
	return (char *)list->items + list->count++ * stride;
}

static void name_item(struct decoder *decoder, const struct shape *shape, size_t index, struct str key)
{
	struct violation *violation = &decoder->fault->violation;

	if (decoder->fault->unknown_word)
		violation->path = shape_path_item(decoder->arena, shape, index, key, violation->path);
}

static bool read_list(struct decoder *decoder, const struct shape *shape, struct any_list *ret_list)
{
	struct any_list list = {0};
	size_t capacity = 0;
	bool end = false;

	if (!stands(decoder, '['))
		return wrong_nesting(decoder, "Expected list or null");
	if (!enter(decoder))
		return false;
	if (stands(decoder, ']')) {
		*ret_list = (struct any_list){arena_alloc_bytes(decoder->arena, 0), 0};
		return next_item(decoder, ']', &end);
	}
	while (!end) {
		void *item = push(decoder, shape, &list, &capacity);

		if (!item)
			return false;
		if (stands(decoder, 'n'))
			return refuse(decoder, "Null value found in a list where not expected");
		if (!read_value(decoder, shape->element, item)) {
			name_item(decoder, shape, list.count - 1, STR_NONE);
			return false;
		}
		if (!next_item(decoder, ']', &end))
			return false;
	}
	*ret_list = list;
	return true;
}

static int compare_entries(const void *a, const void *b)
{
	const struct str *in_a = *(const struct str *const *)a, *in_b = *(const struct str *const *)b;
	int order = str_compare(*in_a, *in_b);

	return order ? order : (in_a > in_b) - (in_a < in_b);
}

/* Keeps the last entry of each key. Long maps are sorted for it: strangers choose the keys. */
static void drop_duplicates(struct decoder *decoder, const struct shape *shape, struct any_list *map)
{
	size_t stride = shape_stride(shape), kept = 0;
	struct str **sorted = arena_array(decoder->arena, struct str *, map->count);
	char *items;

	for (size_t i = 0; i < map->count; i++)
		sorted[i] = (struct str *)(void *)((char *)map->items + i * stride);
	qsort(sorted, map->count, sizeof(*sorted), compare_entries);
	for (size_t i = 0; i < map->count; i++)
		if (i + 1 == map->count || !str_equal(*sorted[i], *sorted[i + 1]))
			sorted[kept++] = sorted[i];
	if (kept == map->count)
		return;
	items = arena_alloc(decoder->arena, kept, stride, 8);
	for (size_t i = 0; i < kept; i++)
		memcpy(items + i * stride, sorted[i], stride);
	*map = (struct any_list){items, kept};
}

static void *find_entry(const struct shape *shape, const struct any_list *map, struct str key)
{
	size_t stride = shape_stride(shape);

	for (size_t i = 0; i < MIN(map->count, (size_t)MAP_LINEAR_LIMIT); i++) {
		char *entry = (char *)map->items + i * stride;

		if (str_equal(*(struct str *)(void *)entry, key))
			return entry;
	}
	return NULL;
}

static bool read_entry(struct decoder *decoder, const struct shape *shape, struct any_list *map,
		       size_t *capacity)
{
	struct str key;
	char *entry;

	if (!read_key(decoder, &key))
		return false;
	if (stands(decoder, 'n')) /* as the SDKs do: a map keeps no nulls */
		return take_word(decoder, S("null"));
	entry = find_entry(shape, map, key);
	if (!entry)
		entry = push(decoder, shape, map, capacity);
	if (!entry)
		return false;
	memset(entry, 0, shape_stride(shape));
	*(struct str *)(void *)entry = key;
	if (read_value(decoder, shape->element, entry + shape->value_offset))
		return true;
	name_item(decoder, shape, 0, key);
	return false;
}

static bool read_map(struct decoder *decoder, const struct shape *shape, struct any_list *ret_map)
{
	struct any_list map = {arena_alloc_bytes(decoder->arena, 0), 0};
	size_t capacity = 0;
	bool end = false;

	if (!stands(decoder, '{'))
		return wrong_nesting(decoder, "Expected map or null");
	if (!enter(decoder))
		return false;
	if (stands(decoder, '}')) {
		*ret_map = map;
		return next_item(decoder, '}', &end);
	}
	while (!end)
		if (!read_entry(decoder, shape, &map, &capacity) || !next_item(decoder, '}', &end))
			return false;
	if (map.count > MAP_LINEAR_LIMIT)
		drop_duplicates(decoder, shape, &map);
	*ret_map = map;
	return true;
}

/* `value` is zeroed or holds an earlier value of the same member; structures lie inline. */
static bool read_value(struct decoder *decoder, const struct shape *shape, void *value)
{
	int64_t number = 0;

	switch (shape->kind) {
	case SHAPE_STRING:
		return read_text(decoder, value);
	case SHAPE_BLOB:
		return read_blob(decoder, value);
	case SHAPE_ENUM:
		return read_word(decoder, shape, value);
	case SHAPE_BOOLEAN:
		return read_boolean(decoder, value);
	case SHAPE_INTEGER:
		if (!read_integer(decoder, INT32_MIN, INT32_MAX, "an Integer", &number))
			return false;
		*(struct maybe_integer *)value = (struct maybe_integer){(int32_t)number, true};
		return true;
	case SHAPE_LONG:
		if (!read_integer(decoder, INT64_MIN, INT64_MAX, "a Long", &number))
			return false;
		*(struct maybe_long *)value = (struct maybe_long){number, true};
		return true;
	case SHAPE_FLOAT:
	case SHAPE_DOUBLE:
		((struct maybe_double *)value)->has = true;
		return read_double(decoder, shape->kind == SHAPE_FLOAT ? "a Float" : "a Double",
				   &((struct maybe_double *)value)->value);
	case SHAPE_TIMESTAMP:
		return read_timestamp(decoder, value);
	case SHAPE_STRUCTURE:
	case SHAPE_UNION:
		return read_structure(decoder, shape, value);
	case SHAPE_LIST:
		return read_list(decoder, shape, value);
	case SHAPE_MAP:
		return read_map(decoder, shape, value);
	}
	return false;
}

static bool skip_list(struct decoder *decoder)
{
	bool end = false;

	if (!enter(decoder))
		return false;
	if (stands(decoder, ']'))
		return next_item(decoder, ']', &end);
	while (!end)
		if (!skip_value(decoder) || !next_item(decoder, ']', &end))
			return false;
	return true;
}

static bool skip_object(struct decoder *decoder)
{
	struct str key;
	bool end = false;

	if (!enter(decoder))
		return false;
	if (stands(decoder, '}'))
		return next_item(decoder, '}', &end);
	while (!end)
		if (!read_key(decoder, &key) || !skip_value(decoder) || !next_item(decoder, '}', &end))
			return false;
	return true;
}

/* Over a value that nobody asked for; it must be well-formed all the same. */
static bool skip_value(struct decoder *decoder)
{
	struct number number;
	struct str text;

	switch (decoder->at < decoder->end ? *decoder->at : 0) {
	case '{':
		return skip_object(decoder);
	case '[':
		return skip_list(decoder);
	case '"':
		return read_string(decoder, &text);
	case 't':
		return take_word(decoder, S("true"));
	case 'f':
		return take_word(decoder, S("false"));
	case 'n':
		return take_word(decoder, S("null"));
	default:
		if (!is_digit(decoder) && !stands(decoder, '-'))
			return unexpected(decoder);
		return read_number(decoder, &number);
	}
}

static struct decoder decoder_of(struct str text, struct arena *arena, struct json_fault *fault)
{
	const char *start = str_has(text) ? text.ptr : "";
	struct decoder decoder = {
		.at = start, .end = start + text.len, .start = start, .arena = arena, .fault = fault};

	fault->error.code = ERROR_NONE;
	fault->unknown_word = false;
	skip_space(&decoder);
	return decoder;
}

static bool finish(struct decoder *decoder)
{
	skip_space(decoder);
	return decoder->at == decoder->end || unexpected(decoder);
}

bool json_check(struct str text, struct json_fault *fault)
{
	auto_arena arena = {0};
	struct decoder decoder = decoder_of(text, &arena, fault);

	return skip_value(&decoder) && finish(&decoder);
}

bool json_decode_value(const struct shape *shape, struct str text, struct arena *arena, void *value,
		       struct json_fault *fault)
{
	struct decoder decoder = decoder_of(text, arena, fault);
	struct json_fault malformed;

	if (read_value(&decoder, shape, value))
		return finish(&decoder);
	/* That a text is no JSON at all matters more than a word in front of the place. */
	if (fault->unknown_word && !json_check(text, &malformed))
		*fault = malformed;
	return false;
}

bool json_decode(const struct shape *shape, struct str text, struct arena *arena, void **ret_value,
		 struct json_fault *fault)
{
	void *value = arena_alloc(arena, 1, shape->size, 8);

	assert(is_structure(shape));
	if (text.len && !json_decode_value(shape, text, arena, value, fault))
		return false;
	*ret_value = value;
	return true;
}

struct str json_member_text(struct str text, struct str name)
{
	auto_arena arena = {0};
	struct json_fault fault;
	struct decoder decoder = decoder_of(text, &arena, &fault);
	bool end = false;
	struct str key;

	if (!stands(&decoder, '{') || !enter(&decoder))
		return STR_NONE;
	while (!end) {
		const char *from;

		if (!read_key(&decoder, &key))
			return STR_NONE;
		from = decoder.at;
		if (!skip_value(&decoder))
			return STR_NONE;
		if (str_equal(key, name))
			return (struct str){from, (size_t)(decoder.at - from)};
		if (!next_item(&decoder, '}', &end))
			return STR_NONE;
	}
	return STR_NONE;
}

bool json_string_value(struct str raw, struct arena *arena, struct str *ret_value)
{
	struct json_fault fault;
	struct decoder decoder = decoder_of(raw, arena, &fault);
	struct str value;

	if (!read_text(&decoder, &value) || !finish(&decoder))
		return false;
	*ret_value = value;
	return true;
}
