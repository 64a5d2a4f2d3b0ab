/* utf8.h - which bytes are characters. */
#pragma once
#include "base/str.h"

/* Bytes of the character at the front of `bytes`: 1 to 4, or 0 when it is none (overlong forms, surrogates and
 * what lies above U+10FFFF are none). */
static inline size_t utf8_length(const unsigned char *bytes, size_t len)
{
	unsigned char first = len ? bytes[0] : 0xff;
	size_t length = first < 0x80 ? 1 : first < 0xc2 ? 0 : first < 0xe0 ? 2 : first < 0xf0 ? 3 : 4;
	unsigned char low = first == 0xe0 ? 0xa0 : first == 0xf0 ? 0x90 : 0x80;
	unsigned char high = first == 0xed ? 0x9f : first == 0xf4 ? 0x8f : 0xbf;

	if (length < 2)
		return length;
	if (first > 0xf4 || length > len || bytes[1] < low || bytes[1] > high)
		return 0;
	for (size_t i = 2; i < length; i++)
		if ((bytes[i] & 0xc0) != 0x80)
			return 0;
	return length;
}

static inline bool utf8_check(struct str text)
{
	for (size_t at = 0, length; at < text.len; at += length) {
		length = utf8_length((const unsigned char *)text.ptr + at, text.len - at);
		if (!length)
			return false;
	}
	return true;
}
