/* str.h - strings are slices.
 *
 * A `struct str` borrows its bytes; whoever made them says how long they live. NULL `ptr` means
 * absent, which is not the same as empty. Bytes are not NUL-terminated. */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define PRINTF_LIKE(text, first) __attribute__((format(printf, text, first)))
#define COUNT(array) (sizeof(array) / sizeof((array)[0]))
#define MIN(a, b) ((a) < (b) ? (a) : (b))
#define MAX(a, b) ((a) > (b) ? (a) : (b))

struct str {
	const char *ptr;
	size_t len;
};

/* A literal: S("text"). STR_INIT is the same as a constant initialiser. */
#define S(literal) ((struct str){"" literal, sizeof(literal) - 1})
#define STR_INIT(literal) {"" literal, sizeof(literal) - 1}
#define STR_NONE ((struct str){NULL, 0})

/* printf arguments for "%.*s". */
#define STR(s) (int)(s).len, ((s).ptr ? (s).ptr : "")

static inline struct str str_of(const char *text)
{
	return (struct str){text, text ? strlen(text) : 0};
}

static inline bool str_has(struct str s) { return s.ptr != NULL; }
static inline bool str_empty(struct str s) { return s.len == 0; }

static inline bool str_equal(struct str a, struct str b)
{
	return a.len == b.len && (a.len == 0 || memcmp(a.ptr, b.ptr, a.len) == 0);
}

/* Bytewise order; a prefix sorts first. */
int str_compare(struct str a, struct str b);
bool str_equal_ignoring_case(struct str a, struct str b);        /* ASCII only */
bool str_starts(struct str s, struct str prefix);
bool str_ends(struct str s, struct str suffix);
bool str_contains(struct str s, struct str part);
bool str_listed(const struct str *items, size_t count, struct str s);

/* Position of the first/last `c`, or s.len when there is none. */
size_t str_find(struct str s, char c);
size_t str_find_last(struct str s, char c);

struct str str_slice(struct str s, size_t from, size_t to);      /* clamps to the bytes there are */
struct str str_trim(struct str s);                               /* ASCII white space at both ends */

/* Takes what stands before `separator` off the front of *rest; false when *rest was absent.
 * After the last piece *rest becomes absent. */
bool str_cut(struct str *rest, char separator, struct str *ret_piece);

/* Decimal with optional sign and nothing else around it; false on overflow or rubbish. */
bool str_to_long(struct str s, int64_t *ret_value);
bool str_to_unsigned(struct str s, uint64_t *ret_value);

uint64_t str_hash(struct str s, uint64_t seed);
