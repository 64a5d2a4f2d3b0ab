#include "wire/percent.h"

static int hex_value(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c |= 0x20;
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static bool is_plain(struct str text, bool plus)
{
	return str_find(text, '%') == text.len && (!plus || str_find(text, '+') == text.len);
}

struct str percent_decode(struct str text, bool plus, struct arena *arena)
{
	size_t used = 0;
	char *bytes;

	if (is_plain(text, plus))
		return text;
	bytes = arena_alloc_bytes(arena, text.len);
	for (size_t i = 0; i < text.len; i++) {
		int high = i + 2 < text.len ? hex_value(text.ptr[i + 1]) : -1;
		int low = i + 2 < text.len ? hex_value(text.ptr[i + 2]) : -1;

		if (text.ptr[i] == '%' && high >= 0 && low >= 0) {
			bytes[used++] = (char)(high << 4 | low);
			i += 2;
		} else {
			bytes[used++] = plus && text.ptr[i] == '+' ? ' ' : text.ptr[i];
		}
	}
	return (struct str){bytes, used};
}
