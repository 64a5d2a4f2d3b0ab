/* log_pattern.h - CloudWatch Logs' filter patterns (neighbours 4.5).
 *
 * Three languages that the first character tells apart: terms (error "two words" ?optional -excluded %regex%), JSON
 * ({ $.a.b[0] = "x*" && $.c > 1 }) and columns ([ip, user, ..., status = 4*, bytes]). Compiled once; the work of
 * an evaluation is bounded by the length of the message and the size of the pattern. One thread uses a pattern. */
#pragma once
#include "base/arena.h"
#include "base/error.h"

enum {
	LOG_PATTERN_BYTES_LIMIT = 1024,
	LOG_PATTERN_NODES_LIMIT = 256,                   /* conditions, terms, columns */
	LOG_PATTERN_DEPTH_LIMIT = 32,                    /* of parentheses and selectors */
	LOG_PATTERN_REGEX_LIMIT = 2,
	LOG_PATTERN_WILDCARDS_LIMIT = 3,
};

struct log_pattern;

/* NULL: InvalidParameterException "Invalid filter pattern". Absent or blank text matches everything. */
struct log_pattern *log_pattern_new(struct str text, struct error *err);
void log_pattern_free(struct log_pattern *pattern);      /* NULL is fine */
bool log_pattern_matches(const struct log_pattern *pattern, struct str message);

/* What a match found, by selector or column: "$.a" and its value as text, "$name" or "$3" and the column. Nothing for
 * terms. */
void log_pattern_extract(const struct log_pattern *pattern, struct str message, struct arena *arena,
			 void (*take)(void *arg, struct str name, struct str value), void *arg);
