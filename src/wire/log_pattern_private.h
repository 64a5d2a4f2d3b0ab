/* log_pattern_private.h - a compiled pattern, between who reads it from text (log_pattern_read.c) and who tries it on
 * messages: terms (log_pattern.c), JSON (log_pattern_json.c), columns (log_pattern_columns.c). */
#pragma once
#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>
#include "base/list.h"
#include "wire/log_pattern.h"

enum language { EVERYTHING, TERMS, JSON, COLUMNS };

struct regex { pcre2_code *code; pcre2_match_data *data; };

enum term_kind { TERM_PLAIN, TERM_OPTIONAL, TERM_EXCLUDED };
struct term { enum term_kind kind; struct str text; struct regex *regex; };

enum step_kind { STEP_NAME, STEP_INDEX, STEP_ANY_MEMBER, STEP_ANY_ITEM };
struct step { enum step_kind kind; struct str name; uint64_t index; };

enum comparison { EQUAL, UNEQUAL, LESS, GREATER, LESS_EQUAL, GREATER_EQUAL, IS_NULL, IS_TRUE, IS_FALSE, EXISTS, NOT_EXISTS };

/* What stands on the right of a comparison. */
struct operand {
	struct str text;                                 /* a string: with `*` for anything */
	bool wild, quoted, is_number;
	double number;
	struct regex *regex;
};

enum node_kind { NODE_AND, NODE_OR, NODE_COMPARE };
struct node {
	enum node_kind kind;
	struct node *left, *right;
	struct str name;                                 /* the selector or column as written */
	struct step *steps;
	size_t step_count;
	enum comparison comparison;
	struct operand operand;
};

struct column { struct str name; bool ellipsis; struct node *condition; };

struct log_pattern {
	struct arena arena;
	enum language language;
	pcre2_match_context *limits;
	LIST_OF(struct term) terms;
	bool has_plain;
	struct node *condition;
	LIST_OF(struct column) columns;
	size_t regex_count, node_count, wildcard_count;
};

/* Fills a pattern by its text; false: there is no such pattern. */
bool log_pattern_read(struct log_pattern *pattern, struct str text);

/* ---- values (log_pattern_value.c) */

bool log_pattern_is_space(char c);
bool log_pattern_number(struct str text, double *ret_number);
bool log_pattern_compare(enum comparison comparison, double a, double b);
bool log_pattern_finds(const struct log_pattern *pattern, const struct regex *regex, struct str text);
/* Whether a text and an operand are equal, as texts. */
bool log_pattern_equals(const struct log_pattern *pattern, const struct operand *operand, struct str text);

/* ---- languages */

struct extraction {
	struct arena *arena;
	void (*take)(void *arg, struct str name, struct str value);
	void *arg;
};

bool log_pattern_match_json(const struct log_pattern *pattern, struct str message);
void log_pattern_extract_json(const struct log_pattern *pattern, struct str message, struct extraction *to);
bool log_pattern_match_columns(const struct log_pattern *pattern, struct str message);
void log_pattern_extract_columns(const struct log_pattern *pattern, struct str message, struct extraction *to);
