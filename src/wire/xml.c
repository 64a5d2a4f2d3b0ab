#include "wire/xml.h"
#include <assert.h>
#include "wire/scalar.h"
#include "wire/utf8.h"

static void encode_value(const struct shape *shape, const void *value, struct buffer *out);

/* How a byte is written that does not stand for itself; a carriage return would be read as a line feed. */
static struct str escape_of(unsigned char c)
{
	switch (c) {
	case '&': return S("&amp;");
	case '<': return S("&lt;");
	case '>': return S("&gt;");
	case '"': return S("&quot;");
	case '\r': return S("&#13;");
	default: return c < 0x20 && c != '\t' && c != '\n' ? S("\xef\xbf\xbd") : STR_NONE;
	}
}

/* U+FFFE and U+FFFF are the characters above 0x1f that XML does not have. */
static bool is_no_character(const char *at, size_t length)
{
	return length == 3 && (memcmp(at, "\xef\xbf\xbe", 3) == 0 || memcmp(at, "\xef\xbf\xbf", 3) == 0);
}

static size_t encode_long_character(const char *at, size_t len, struct buffer *out)
{
	size_t length = utf8_length((const unsigned char *)at, len);

	if (!length || is_no_character(at, length))
		buffer_add(out, S("\xef\xbf\xbd"));
	else
		buffer_append(out, at, length);
	return length ? length : 1;
}

void xml_encode_text(struct str text, struct buffer *out)
{
	size_t at = 0, plain = 0;

	while (at < text.len) {
		unsigned char c = (unsigned char)text.ptr[at];
		struct str escape = escape_of(c);

		if (c < 0x80 && !str_has(escape)) {
			at++;
			continue;
		}
		buffer_append(out, text.ptr + plain, at - plain);
		if (c < 0x80)
			buffer_add(out, escape);
		at += c < 0x80 ? 1 : encode_long_character(text.ptr + at, text.len - at, out);
		plain = at;
	}
	if (at > plain)
		buffer_append(out, text.ptr + plain, at - plain);
}

static void open_element(struct str name, struct buffer *out)
{
	buffer_add_char(out, '<');
	buffer_add(out, name);
	buffer_add_char(out, '>');
}

static void close_element(struct str name, struct buffer *out)
{
	buffer_add(out, S("</"));
	buffer_add(out, name);
	buffer_add_char(out, '>');
}

void xml_encode_element(struct str name, struct str text, struct buffer *out)
{
	open_element(name, out);
	xml_encode_text(text, out);
	close_element(name, out);
}

static void encode_inside(struct str name, const struct shape *shape, const void *value, struct buffer *out)
{
	open_element(name, out);
	encode_value(shape, value, out);
	close_element(name, out);
}

static void encode_list(struct str name, const struct shape *shape, const struct any_list *list,
			struct buffer *out)
{
	size_t stride = shape_stride(shape);

	for (size_t i = 0; i < list->count; i++)
		encode_inside(name, shape->element, (const char *)list->items + i * stride, out);
}

static void encode_map(struct str name, const struct shape *shape, const struct any_list *map, struct buffer *out)
{
	size_t stride = shape_stride(shape);

	for (size_t i = 0; i < map->count; i++) {
		const char *entry = (const char *)map->items + i * stride;

		open_element(name, out);
		encode_inside(S("key"), &shape_string, entry, out);
		encode_inside(S("value"), shape->element, entry + shape->value_offset, out);
		close_element(name, out);
	}
}

/* The items of a list or map, each in an element of that name. */
static void encode_items(struct str name, const struct shape *shape, const void *value, struct buffer *out)
{
	if (shape->kind == SHAPE_LIST)
		encode_list(name, shape, value, out);
	else
		encode_map(name, shape, value, out);
}

static void encode_member(const struct member *member, const void *slot, struct buffer *out)
{
	const struct shape *shape = member->shape;
	bool structure = shape->kind == SHAPE_STRUCTURE || shape->kind == SHAPE_UNION;

	if (member->flags & MEMBER_FLAT && (shape->kind == SHAPE_LIST || shape->kind == SHAPE_MAP))
		encode_items(member->name, shape, slot, out);
	else
		encode_inside(member->name, shape, structure ? *(const void *const *)slot : slot, out);
}

static void encode_scalar(const struct shape *shape, const void *value, struct buffer *out)
{
	auto_arena arena = {0};

	xml_encode_text(scalar_text(shape, value, &arena), out);
}

/* Structures lie inline here. */
static void encode_value(const struct shape *shape, const void *value, struct buffer *out)
{
	switch (shape->kind) {
	case SHAPE_STRUCTURE:
	case SHAPE_UNION:
		xml_encode(shape, value, out);
		break;
	case SHAPE_LIST:
		encode_items(shape->element_name, shape, value, out);
		break;
	case SHAPE_MAP:
		encode_items(S("entry"), shape, value, out);
		break;
	default:
		encode_scalar(shape, value, out);
		break;
	}
}

void xml_encode(const struct shape *shape, const void *structure, struct buffer *out)
{
	for (uint32_t i = 0; i < shape->member_count; i++) {
		const void *slot = member_at(&shape->members[i], structure);

		if (shape_is_present(shape->members[i].shape, slot))
			encode_member(&shape->members[i], slot, out);
	}
}
