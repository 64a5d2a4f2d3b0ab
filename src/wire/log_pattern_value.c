#include <stdlib.h>
#include "wire/log_pattern_private.h"

enum { NUMBER_BYTES_LIMIT = 64 };

bool log_pattern_is_space(char c)
{
	return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

bool log_pattern_number(struct str text, double *ret_number)
{
	char copy[NUMBER_BYTES_LIMIT], *end;
	bool digit = false;

	if (text.len == 0 || text.len >= sizeof(copy))
		return false;
	for (size_t i = 0; i < text.len; i++) {
		char c = text.ptr[i];

		digit |= c >= '0' && c <= '9';
		if (!(c >= '0' && c <= '9') && !strchr("+-.eE", c))
			return false;
	}
	memcpy(copy, text.ptr, text.len);
	copy[text.len] = '\0';
	*ret_number = strtod(copy, &end);
	return digit && *end == '\0';
}

bool log_pattern_compare(enum comparison comparison, double a, double b)
{
	switch (comparison) {
	case EQUAL: return a == b;
	case UNEQUAL: return a != b;
	case LESS: return a < b;
	case GREATER: return a > b;
	case LESS_EQUAL: return a <= b;
	default: return a >= b;
	}
}

bool log_pattern_finds(const struct log_pattern *pattern, const struct regex *regex, struct str text)
{
	return pcre2_match(regex->code, (PCRE2_SPTR)(text.ptr ? text.ptr : ""), text.len, 0, 0, regex->data,
			   pattern->limits) >= 0;
}

/* `*` stands for anything: the pieces between are looked for one after the other. */
static bool wild_equal(struct str text, struct str wild)
{
	struct str rest = text, pattern = wild, piece;
	bool first = true;

	while (str_cut(&pattern, '*', &piece)) {
		bool last = !str_has(pattern);
		const char *found;

		if (first && last)
			return str_equal(rest, piece);
		if (last)
			return str_ends(rest, piece);
		found = piece.len ? memmem(rest.ptr, rest.len, piece.ptr, piece.len) : rest.ptr;
		if (!found || (first && found != rest.ptr))
			return false;
		rest = str_slice(rest, (size_t)(found - rest.ptr) + piece.len, rest.len);
		first = false;
	}
	return true;
}

bool log_pattern_equals(const struct log_pattern *pattern, const struct operand *operand, struct str text)
{
	if (operand->regex)
		return log_pattern_finds(pattern, operand->regex, text);
	return operand->wild ? wild_equal(text, operand->text) : str_equal(text, operand->text);
}
