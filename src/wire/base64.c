#include "wire/base64.h"

static const char letters[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

void base64_encode(struct str bytes, struct buffer *out)
{
	const unsigned char *in = (const unsigned char *)bytes.ptr;

	buffer_reserve(out, (bytes.len + 2) / 3 * 4);
	for (size_t i = 0; i < bytes.len; i += 3) {
		size_t left = MIN(bytes.len - i, (size_t)3);
		unsigned group = (unsigned)in[i] << 16 | (left > 1 ? (unsigned)in[i + 1] << 8 : 0) |
				 (left > 2 ? in[i + 2] : 0);
		char *to = out->bytes + out->len;

		to[0] = letters[group >> 18];
		to[1] = letters[group >> 12 & 63];
		to[2] = left > 1 ? letters[group >> 6 & 63] : '=';
		to[3] = left > 2 ? letters[group & 63] : '=';
		out->len += 4;
	}
}

static int value_of(char letter)
{
	if (letter >= 'A' && letter <= 'Z')
		return letter - 'A';
	if (letter >= 'a' && letter <= 'z')
		return letter - 'a' + 26;
	if (letter >= '0' && letter <= '9')
		return letter - '0' + 52;
	return letter == '+' ? 62 : letter == '/' ? 63 : -1;
}

bool base64_decode(struct str text, struct arena *arena, struct str *ret_bytes)
{
	size_t padding = str_ends(text, S("==")) ? 2 : str_ends(text, S("=")) ? 1 : 0;
	char *bytes = arena_alloc_bytes(arena, text.len / 4 * 3);
	size_t used = 0;
	unsigned group = 0;

	if (text.len % 4 != 0)
		return false;
	for (size_t i = 0; i < text.len - padding; i++) {
		int value = value_of(text.ptr[i]);

		if (value < 0)
			return false;
		group = group << 6 | (unsigned)value;
		if (i % 4 != 0)
			bytes[used++] = (char)(group >> (6 - 2 * (i % 4)));
	}
	/* The bits that padding cuts off must be 0, so that each text has one reading. */
	if (padding && group & (padding == 1 ? 3u : 15u))
		return false;
	*ret_bytes = (struct str){bytes, used};
	return true;
}
