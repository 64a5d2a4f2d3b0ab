/* json_scan.h - finding what is special in JSON strings, for reader and writer. */
#pragma once
#include "base/str.h"
#ifdef __SSE2__
#include <emmintrin.h>
#endif

/* Steps over bytes that stand for themselves; ends at a quote, a backslash, a control character, a byte of a
 * longer character, or the end. */
static inline const char *json_skip_plain(const char *at, const char *end)
{
#ifdef __SSE2__
	for (; end - at >= 16; at += 16) {
		__m128i block = _mm_loadu_si128((const __m128i *)(const void *)at);
		__m128i stop = _mm_or_si128(
			_mm_or_si128(_mm_cmpeq_epi8(block, _mm_set1_epi8('"')),
				     _mm_cmpeq_epi8(block, _mm_set1_epi8('\\'))),
			_mm_cmplt_epi8(block, _mm_set1_epi8(0x20))); /* signed: and 0x80 and up */
		int mask = _mm_movemask_epi8(stop);

		if (mask)
			return at + __builtin_ctz((unsigned)mask);
	}
#endif
	while (at < end && *at != '"' && *at != '\\' && (signed char)*at >= 0x20)
		at++;
	return at;
}
