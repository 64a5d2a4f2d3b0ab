/* pattern.h - regular expressions, for model patterns and the cluster query language.
 *
 * Perl/Java syntax (PCRE2) with full match and a bound on the work, so that a hostile expression costs
 * microseconds, not minutes. */
#pragma once
#include "base/arena.h"
#include "base/error.h"
#include "base/shape.h"

enum { PATTERN_BYTES_LIMIT = 2000, PATTERN_WORK_LIMIT = 100000 };

struct pattern;

struct pattern *pattern_new(struct str text, struct error *err);         /* NULL on a bad expression */
void pattern_free(struct pattern *pattern);
bool pattern_matches(const struct pattern *pattern, struct str subject); /* the whole subject; false past the bound */

/* The patterns of all shapes that the inputs of an API reach. Built once; after that it is only read, so
 * threads may share it. */
struct pattern_table;

struct pattern_table *pattern_table_new(const struct api *api, struct error *err);       /* NULL on a bad pattern */
void pattern_table_free(struct pattern_table *table);

/* Checks a whole structure of that API; the first violation (VIOLATION_PATTERN) in the order of the .api
 * file. Complements shape_check. */
bool pattern_table_check(const struct pattern_table *table, const struct shape *shape, const void *structure,
			 struct arena *arena, struct violation *ret_violation);
