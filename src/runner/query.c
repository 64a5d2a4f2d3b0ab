#include "runner/query.h"
#include "base/buffer.h"

static bool is_plain(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
	       c == '-' || c == '.' || c == '_' || c == '~';
}

static void add_encoded(struct buffer *out, struct str text)
{
	for (size_t i = 0; i < text.len; i++) {
		if (is_plain(text.ptr[i]))
			buffer_add_char(out, text.ptr[i]);
		else
			buffer_printf(out, "%%%02X", (unsigned char)text.ptr[i]);
	}
}

struct str query_url(struct str endpoint, const struct query_part *parts, size_t count, struct arena *arena)
{
	auto_buffer url = {0};

	buffer_printf(&url, "%.*s%sws", STR(endpoint), str_ends(endpoint, S("/")) ? "" : "/");
	for (size_t i = 0; i < count; i++) {
		buffer_printf(&url, "%c%s=", i ? '&' : '?', parts[i].key);
		add_encoded(&url, parts[i].value);
	}
	return arena_copy(arena, buffer_str(&url));
}
