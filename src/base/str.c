#include "base/str.h"

static char lower(char c)
{
	return c >= 'A' && c <= 'Z' ? (char)(c + 32) : c;
}

int str_compare(struct str a, struct str b)
{
	size_t shared = MIN(a.len, b.len);
	int order = shared ? memcmp(a.ptr, b.ptr, shared) : 0;

	return order ? order : (a.len > b.len) - (a.len < b.len);
}

bool str_equal_ignoring_case(struct str a, struct str b)
{
	if (a.len != b.len)
		return false;
	for (size_t i = 0; i < a.len; i++)
		if (lower(a.ptr[i]) != lower(b.ptr[i]))
			return false;
	return true;
}

bool str_starts(struct str s, struct str prefix)
{
	return s.len >= prefix.len && str_equal((struct str){s.ptr, prefix.len}, prefix);
}

bool str_ends(struct str s, struct str suffix)
{
	return s.len >= suffix.len &&
	       str_equal((struct str){s.ptr + (s.len - suffix.len), suffix.len}, suffix);
}

bool str_contains(struct str s, struct str part)
{
	if (part.len == 0)
		return true;
	return s.len >= part.len && memmem(s.ptr, s.len, part.ptr, part.len) != NULL;
}

bool str_listed(const struct str *items, size_t count, struct str s)
{
	for (size_t i = 0; i < count; i++)
		if (str_equal(items[i], s))
			return true;
	return false;
}

size_t str_find(struct str s, char c)
{
	const char *found = s.len ? memchr(s.ptr, c, s.len) : NULL;

	return found ? (size_t)(found - s.ptr) : s.len;
}

size_t str_find_last(struct str s, char c)
{
	const char *found = s.len ? memrchr(s.ptr, c, s.len) : NULL;

	return found ? (size_t)(found - s.ptr) : s.len;
}

struct str str_slice(struct str s, size_t from, size_t to)
{
	to = MIN(to, s.len);
	from = MIN(from, to);
	return (struct str){s.ptr ? s.ptr + from : NULL, to - from};
}

static bool is_space(char c)
{
	return c == ' ' || (c >= '\t' && c <= '\r');
}

struct str str_trim(struct str s)
{
	size_t from = 0, to = s.len;

	while (from < to && is_space(s.ptr[from]))
		from++;
	while (to > from && is_space(s.ptr[to - 1]))
		to--;
	return str_slice(s, from, to);
}

bool str_cut(struct str *rest, char separator, struct str *ret_piece)
{
	size_t at;

	if (!str_has(*rest))
		return false;
	at = str_find(*rest, separator);
	*ret_piece = str_slice(*rest, 0, at);
	*rest = at < rest->len ? str_slice(*rest, at + 1, rest->len) : STR_NONE;
	return true;
}

bool str_to_unsigned(struct str s, uint64_t *ret_value)
{
	uint64_t value = 0;

	if (s.len == 0)
		return false;
	for (size_t i = 0; i < s.len; i++) {
		unsigned digit = (unsigned char)s.ptr[i] - '0';

		if (digit > 9 || __builtin_mul_overflow(value, 10, &value) ||
		    __builtin_add_overflow(value, digit, &value))
			return false;
	}
	*ret_value = value;
	return true;
}

bool str_to_long(struct str s, int64_t *ret_value)
{
	bool minus = s.len && s.ptr[0] == '-';
	bool sign = minus || (s.len && s.ptr[0] == '+');
	uint64_t size;

	if (!str_to_unsigned(str_slice(s, sign, s.len), &size) || size > (uint64_t)INT64_MAX + minus)
		return false;
	*ret_value = minus ? (int64_t)(0 - size) : (int64_t)size;
	return true;
}

/* wyhash-like mixing: fast and good enough for tables seeded per process. */
static uint64_t mix(uint64_t a, uint64_t b)
{
	__uint128_t product = (__uint128_t)a * b;

	return (uint64_t)product ^ (uint64_t)(product >> 64);
}

uint64_t str_hash(struct str s, uint64_t seed)
{
	uint64_t hash = seed ^ mix(s.len + 0x9e3779b97f4a7c15u, 0xe7037ed1a0b428dbu);
	uint64_t word;
	size_t i = 0;

	for (; i + 8 <= s.len; i += 8) {
		memcpy(&word, s.ptr + i, 8);
		hash = mix(hash ^ word, 0xa0761d6478bd642fu);
	}
	if (i < s.len) {
		word = 0;
		memcpy(&word, s.ptr + i, s.len - i);
		hash = mix(hash ^ word, 0x8ebc6af09c88c6e3u);
	}
	return mix(hash, 0x589965cc75374cc3u);
}
