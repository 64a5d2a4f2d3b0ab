#include "wire/json.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include "wire/base64.h"
#include "wire/json_scan.h"
#include "wire/timestamp.h"
#include "wire/utf8.h"

enum {
	FIRST_SIZE = 1024,
	LONG_SIZE = 20, DOUBLE_SIZE = 32,
};

/* What stands for each byte: 0 itself, 'u' a \u00 form, 'x' the start of a longer character, else the letter
 * behind the backslash. */
static const char escapes[256] = {
	[0 ... 7] = 'u', ['\b'] = 'b', ['\t'] = 't', ['\n'] = 'n', [11] = 'u', ['\f'] = 'f', ['\r'] = 'r',
	[14 ... 0x1f] = 'u', ['"'] = '"', ['\\'] = '\\', [0x80 ... 0xff] = 'x',
};

static void encode_value(const struct shape *shape, const void *value, struct buffer *out);

/* Callers of put… have reserved the room. */
static inline void put(struct buffer *out, char c)
{
	out->bytes[out->len++] = c;
}

static inline void put_bytes(struct buffer *out, const char *bytes, size_t len)
{
	memcpy(out->bytes + out->len, bytes, len);
	out->len += len;
}

static void put_escape(struct buffer *out, unsigned char c)
{
	static const char hex[] = "0123456789abcdef";

	put(out, '\\');
	put(out, escapes[c]);
	if (escapes[c] == 'u') {
		put_bytes(out, "00", 2);
		put(out, hex[c >> 4]);
		put(out, hex[c & 15]);
	}
}

/* One character that is not plain; gives how many bytes it had. */
static size_t encode_odd(const char *at, size_t len, struct buffer *out)
{
	size_t length;

	if (escapes[(unsigned char)*at] != 'x') {
		put_escape(out, (unsigned char)*at);
		return 1;
	}
	length = utf8_length((const unsigned char *)at, len);
	if (length)
		put_bytes(out, at, length);
	else
		put_bytes(out, "\xef\xbf\xbd", 3);
	return length ? length : 1;
}

void json_encode_text(struct str text, struct buffer *out)
{
	const char *at = str_has(text) ? text.ptr : "", *end = at + text.len;

	buffer_reserve(out, text.len + 2);
	put(out, '"');
	for (;;) {
		const char *plain = at;

		at = json_skip_plain(at, end);
		if (at > plain)
			put_bytes(out, plain, (size_t)(at - plain));
		if (at == end)
			break;
		buffer_reserve(out, 6 + (size_t)(end - at) + 1);
		at += encode_odd(at, (size_t)(end - at), out);
	}
	put(out, '"');
}

static inline void add_char(struct buffer *out, char c)
{
	if (out->len == out->capacity)
		buffer_reserve(out, 1);
	put(out, c);
}

static void encode_unsigned(uint64_t value, struct buffer *out)
{
	char digits[LONG_SIZE], *at = digits + sizeof(digits);

	do {
		*--at = (char)('0' + value % 10);
		value /= 10;
	} while (value);
	put_bytes(out, at, (size_t)(digits + sizeof(digits) - at));
}

static void encode_long(int64_t value, struct buffer *out)
{
	buffer_reserve(out, LONG_SIZE + 1);
	if (value < 0)
		put(out, '-');
	encode_unsigned(value < 0 ? 0 - (uint64_t)value : (uint64_t)value, out);
}

/* `thousandths` as a decimal with at most 3 places. */
static void encode_thousandths(int64_t thousandths, struct buffer *out)
{
	uint64_t size = thousandths < 0 ? 0 - (uint64_t)thousandths : (uint64_t)thousandths;
	unsigned rest = (unsigned)(size % 1000);

	buffer_reserve(out, LONG_SIZE + 5);
	if (thousandths < 0)
		put(out, '-');
	encode_unsigned(size / 1000, out);
	if (!rest)
		return;
	put(out, '.');
	for (unsigned unit = 100; rest; rest %= unit, unit /= 10)
		put(out, (char)('0' + rest / unit));
}

/* The shortest text that reads back as the same number. */
static void encode_double(double value, struct buffer *out)
{
	double thousandths = value * 1000;
	char text[DOUBLE_SIZE];
	int length = 0;

	if (!isfinite(value)) { /* as the AWS protocols write what JSON cannot */
		buffer_add(out, isnan(value) ? S("\"NaN\"") : value > 0 ? S("\"Infinity\"") : S("\"-Infinity\""));
		return;
	}
	if (fabs(thousandths) < 1e15 && thousandths == trunc(thousandths) && thousandths / 1000 == value) {
		encode_thousandths((int64_t)thousandths, out);
		return;
	}
	for (int precision = 15; precision <= 17; precision++) {
		length = snprintf(text, sizeof(text), "%.*g", precision, value);
		if (strtod(text, NULL) == value)
			break;
	}
	buffer_append(out, text, (size_t)length);
}

static usec floor_milliseconds(usec time)
{
	return time / USEC_PER_MSEC - (time % USEC_PER_MSEC < 0);
}

static void encode_timestamp(usec time, bool iso8601, struct buffer *out)
{
	char text[TIMESTAMP_TEXT_SIZE];

	if (iso8601)
		json_encode_text((struct str){text, timestamp_format(time, text)}, out);
	else
		encode_thousandths(floor_milliseconds(time), out);
}

static void encode_blob(struct str bytes, struct buffer *out)
{
	add_char(out, '"');
	base64_encode(bytes, out);
	add_char(out, '"');
}

static void encode_list(const struct shape *shape, const struct any_list *list, struct buffer *out)
{
	size_t stride = shape_stride(shape);

	add_char(out, '[');
	for (size_t i = 0; i < list->count; i++) {
		if (i)
			add_char(out, ',');
		encode_value(shape->element, (const char *)list->items + i * stride, out);
	}
	add_char(out, ']');
}

static void encode_map(const struct shape *shape, const struct any_list *map, struct buffer *out)
{
	size_t stride = shape_stride(shape);

	add_char(out, '{');
	for (size_t i = 0; i < map->count; i++) {
		const char *entry = (const char *)map->items + i * stride;

		if (i)
			add_char(out, ',');
		json_encode_text(*(const struct str *)(const void *)entry, out);
		add_char(out, ':');
		encode_value(shape->element, entry + shape->value_offset, out);
	}
	add_char(out, '}');
}

static void encode_name(struct str name, bool first, struct buffer *out)
{
	buffer_reserve(out, name.len + 4);
	if (!first)
		put(out, ',');
	put(out, '"');
	put_bytes(out, name.ptr, name.len);
	put(out, '"');
	put(out, ':');
}

static void encode_present(const struct member *member, const void *slot, struct buffer *out)
{
	switch (member->shape->kind) {
	case SHAPE_STRUCTURE:
	case SHAPE_UNION:
		encode_value(member->shape, *(const void *const *)slot, out);
		break;
	case SHAPE_TIMESTAMP:
		encode_timestamp(((const struct maybe_time *)slot)->value, member->flags & MEMBER_ISO8601, out);
		break;
	default:
		encode_value(member->shape, slot, out);
		break;
	}
}

static bool has_nulls(const struct shape *shape, const void *structure)
{
	const unsigned char *nulls = (const unsigned char *)structure + shape->nulls_offset;
	unsigned any = 0;

	for (uint32_t i = 0; i < (shape->member_count + 7) / 8; i++)
		any |= nulls[i];
	return any != 0;
}

static void encode_structure(const struct shape *shape, const void *structure, struct buffer *out)
{
	bool first = true, nulls = has_nulls(shape, structure);

	add_char(out, '{');
	for (uint32_t i = 0; i < shape->member_count; i++) {
		const struct member *member = &shape->members[i];
		const void *slot = member_at(member, structure);

		if (shape_is_present(member->shape, slot)) {
			encode_name(member->name, first, out);
			encode_present(member, slot, out);
			first = false;
		} else if (nulls && shape_is_null(shape, structure, i)) {
			encode_name(member->name, first, out);
			buffer_add(out, S("null"));
			first = false;
		}
	}
	add_char(out, '}');
}

/* Structures lie inline here. An absent scalar can only be the fault of who made the list: null. */
static void encode_value(const struct shape *shape, const void *value, struct buffer *out)
{
	bool nested = shape->kind == SHAPE_STRUCTURE || shape->kind == SHAPE_UNION;

	if (!nested && !shape_is_present(shape, value)) {
		buffer_add(out, S("null"));
		return;
	}
	switch (shape->kind) {
	case SHAPE_STRING:
		json_encode_text(*(const struct str *)value, out);
		break;
	case SHAPE_BLOB:
		encode_blob(*(const struct str *)value, out);
		break;
	case SHAPE_ENUM:
		json_encode_text(shape_word_text(shape, *(const int32_t *)value), out);
		break;
	case SHAPE_BOOLEAN:
		buffer_add(out, ((const struct maybe_boolean *)value)->value ? S("true") : S("false"));
		break;
	case SHAPE_INTEGER:
		encode_long(((const struct maybe_integer *)value)->value, out);
		break;
	case SHAPE_LONG:
		encode_long(((const struct maybe_long *)value)->value, out);
		break;
	case SHAPE_FLOAT:
	case SHAPE_DOUBLE:
		encode_double(((const struct maybe_double *)value)->value, out);
		break;
	case SHAPE_TIMESTAMP:
		encode_timestamp(((const struct maybe_time *)value)->value, false, out);
		break;
	case SHAPE_STRUCTURE:
	case SHAPE_UNION:
		encode_structure(shape, value, out);
		break;
	case SHAPE_LIST:
		encode_list(shape, value, out);
		break;
	case SHAPE_MAP:
		encode_map(shape, value, out);
		break;
	}
}

void json_encode(const struct shape *shape, const void *structure, struct buffer *out)
{
	buffer_reserve(out, FIRST_SIZE);
	encode_structure(shape, structure, out);
}
