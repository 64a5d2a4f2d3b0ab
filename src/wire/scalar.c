#include "wire/scalar.h"
#include <assert.h>
#include <math.h>
#include <stdlib.h>
#include "wire/base64.h"
#include "wire/timestamp.h"

enum { NUMBER_LENGTH_LIMIT = 64 };

bool shape_is_scalar(const struct shape *shape)
{
	return shape->kind <= SHAPE_TIMESTAMP;
}

static bool read_boolean(struct str text, struct maybe_boolean *ret_value)
{
	bool yes = str_equal_ignoring_case(text, S("true"));

	if (!yes && !str_equal_ignoring_case(text, S("false")))
		return false;
	*ret_value = (struct maybe_boolean){yes, true};
	return true;
}

static bool read_integer(struct str text, struct maybe_integer *ret_value)
{
	int64_t value;

	if (!str_to_long(text, &value) || value < INT32_MIN || value > INT32_MAX)
		return false;
	*ret_value = (struct maybe_integer){(int32_t)value, true};
	return true;
}

static bool read_long(struct str text, struct maybe_long *ret_value)
{
	int64_t value;

	if (!str_to_long(text, &value))
		return false;
	*ret_value = (struct maybe_long){value, true};
	return true;
}

/* Decimal only: strtod would take hexadecimal, white space and names, too. */
static bool is_decimal(struct str text)
{
	for (size_t i = 0; i < text.len; i++)
		if (!memchr("0123456789+-.eE", text.ptr[i], 15))
			return false;
	return text.len > 0 && text.len <= NUMBER_LENGTH_LIMIT;
}

static bool read_double(struct str text, struct arena *arena, struct maybe_double *ret_value)
{
	const char *digits;
	double value;
	char *end;

	if (!is_decimal(text))
		return false;
	digits = arena_cstr(arena, text);
	value = strtod(digits, &end);
	if (*end || !isfinite(value))
		return false;
	*ret_value = (struct maybe_double){value, true};
	return true;
}

static bool read_time(struct str text, struct maybe_time *ret_value)
{
	usec time;

	if (!timestamp_parse(text, &time) && !timestamp_parse_http(text, &time))
		return false;
	*ret_value = (struct maybe_time){time, true};
	return true;
}

bool scalar_read(const struct shape *shape, struct str text, struct arena *arena, void *value)
{
	switch (shape->kind) {
	case SHAPE_STRING:
		*(struct str *)value = text.ptr ? text : S("");
		return true;
	case SHAPE_BLOB:
		return base64_decode(text, arena, value);
	case SHAPE_ENUM:
		*(int32_t *)value = shape_word(shape, text);
		return *(int32_t *)value != 0;
	case SHAPE_BOOLEAN:
		return read_boolean(text, value);
	case SHAPE_INTEGER:
		return read_integer(text, value);
	case SHAPE_LONG:
		return read_long(text, value);
	case SHAPE_FLOAT:
	case SHAPE_DOUBLE:
		return read_double(text, arena, value);
	case SHAPE_TIMESTAMP:
		return read_time(text, value);
	default:
		assert(false);
		return false;
	}
}

/* Always with milliseconds, as EC2 writes. */
static struct str time_text(usec time, struct arena *arena)
{
	char text[TIMESTAMP_TEXT_SIZE];
	usec milliseconds = time / USEC_PER_MSEC - (time % USEC_PER_MSEC < 0);
	struct str form = {text, timestamp_format(milliseconds * USEC_PER_MSEC, text)};

	if (str_find(form, '.') < form.len)
		return arena_copy(arena, form);
	return arena_printf(arena, "%.*s.000Z", STR(str_slice(form, 0, form.len - 1)));
}

/* The shortest form that reads back as the same number. */
static struct str double_text(double value, struct arena *arena)
{
	struct str text = STR_NONE;

	for (int precision = 15; precision <= 17; precision++) {
		text = arena_printf(arena, "%.*g", precision, value);
		if (strtod(text.ptr, NULL) == value)
			break;
	}
	return text;
}

static struct str blob_text(struct str bytes, struct arena *arena)
{
	auto_buffer text = {0};

	base64_encode(bytes, &text);
	return arena_copy(arena, buffer_str(&text));
}

struct str scalar_text(const struct shape *shape, const void *value, struct arena *arena)
{
	switch (shape->kind) {
	case SHAPE_STRING:
		return *(const struct str *)value;
	case SHAPE_BLOB:
		return blob_text(*(const struct str *)value, arena);
	case SHAPE_ENUM:
		return shape_word_text(shape, *(const int32_t *)value);
	case SHAPE_BOOLEAN:
		return ((const struct maybe_boolean *)value)->value ? S("true") : S("false");
	case SHAPE_INTEGER:
		return arena_printf(arena, "%d", ((const struct maybe_integer *)value)->value);
	case SHAPE_LONG:
		return arena_printf(arena, "%lld", (long long)((const struct maybe_long *)value)->value);
	case SHAPE_FLOAT:
	case SHAPE_DOUBLE:
		return double_text(((const struct maybe_double *)value)->value, arena);
	case SHAPE_TIMESTAMP:
		return time_text(((const struct maybe_time *)value)->value, arena);
	default:
		assert(false);
		return STR_NONE;
	}
}

const char *scalar_type_name(const struct shape *shape)
{
	static const char *const names[] = {
		[SHAPE_STRING] = "a string", [SHAPE_BLOB] = "base64", [SHAPE_ENUM] = "a word",
		[SHAPE_BOOLEAN] = "a boolean", [SHAPE_INTEGER] = "an integer", [SHAPE_LONG] = "a long",
		[SHAPE_FLOAT] = "a float", [SHAPE_DOUBLE] = "a double", [SHAPE_TIMESTAMP] = "a timestamp",
		[SHAPE_STRUCTURE] = "a structure", [SHAPE_UNION] = "a structure", [SHAPE_LIST] = "a list",
		[SHAPE_MAP] = "a map",
	};

	return names[shape->kind];
}
