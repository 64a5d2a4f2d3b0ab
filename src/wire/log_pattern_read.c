#include <stdlib.h>
#include "wire/log_pattern_private.h"

/* ---- reading text */

struct reader { struct log_pattern *pattern; struct str text; size_t at; unsigned depth; };

static char peek(const struct reader *reader)
{
	return reader->at < reader->text.len ? reader->text.ptr[reader->at] : '\0';
}

static void skip_spaces(struct reader *reader)
{
	while (log_pattern_is_space(peek(reader)))
		reader->at++;
}

static bool accept(struct reader *reader, struct str word)
{
	if (!str_starts(str_slice(reader->text, reader->at, reader->text.len), word))
		return false;
	reader->at += word.len;
	return true;
}

static bool is_word_char(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' ||
	       (unsigned char)c >= 0x80;
}

static struct str take_while(struct reader *reader, const char *more)
{
	size_t from = reader->at;

	while (peek(reader) && (is_word_char(peek(reader)) || strchr(more, peek(reader))))
		reader->at++;
	return str_slice(reader->text, from, reader->at);
}

/* A keyword, which no letter follows. */
static bool take_keyword(struct reader *reader, struct str word)
{
	size_t end = reader->at + word.len;

	if (!str_equal_ignoring_case(str_slice(reader->text, reader->at, end), word) ||
	    (end < reader->text.len && is_word_char(reader->text.ptr[end])))
		return false;
	reader->at = end;
	return true;
}

/* After an opening quote; `\` takes the next character as it is. */
static bool take_quoted(struct reader *reader, char quote, struct str *ret_text)
{
	char *out = arena_alloc_bytes(&reader->pattern->arena, reader->text.len + 1);
	size_t len = 0;

	while (peek(reader) != quote) {
		if (peek(reader) == '\\' && reader->at + 1 < reader->text.len)
			reader->at++;
		if (reader->at >= reader->text.len)
			return false;
		out[len++] = reader->text.ptr[reader->at++];
	}
	reader->at++;
	*ret_text = (struct str){out, len};
	return true;
}

/* ---- regular expressions */

/* No groups, no references, no classes but \d \w \s and their opposites: what AWS takes, and what stays cheap. */
static bool is_plain_regex(struct str text)
{
	bool in_class = false;

	for (size_t i = 0; i < text.len; i++) {
		char c = text.ptr[i];

		if (c == '\\') {
			if (++i == text.len)
				return false;
			c = text.ptr[i];
			if (is_word_char(c) && !strchr("dDwWsS", c))
				return false;
		} else if (in_class) {
			in_class = c != ']';
			if (c == '[')
				return false;
		} else if (c == '[') {
			in_class = true;
		} else if (c == '(' || c == ')') {
			return false;
		}
	}
	return text.len > 0 && !in_class;
}

static void regex_free(void *arg)
{
	struct regex *regex = arg;

	pcre2_match_data_free(regex->data);
	pcre2_code_free(regex->code);
}

static struct regex *regex_new(struct log_pattern *pattern, struct str text)
{
	uint32_t options = PCRE2_UTF | PCRE2_MATCH_INVALID_UTF | PCRE2_NEVER_BACKSLASH_C | PCRE2_DOLLAR_ENDONLY |
			   PCRE2_NO_AUTO_CAPTURE;
	struct regex *regex;
	pcre2_code *code;
	size_t at;
	int number;

	if (!is_plain_regex(text) || ++pattern->regex_count > LOG_PATTERN_REGEX_LIMIT)
		return NULL;
	code = pcre2_compile((PCRE2_SPTR)text.ptr, text.len, options, &number, &at, NULL);
	if (!code)
		return NULL;
	regex = arena_new(&pattern->arena, struct regex);
	*regex = (struct regex){code, pcre2_match_data_create(1, NULL)};
	if (!regex->data)
		abort();
	arena_defer(&pattern->arena, regex_free, regex);
	return regex;
}

/* After an opening `%`. */
static struct regex *take_regex(struct reader *reader)
{
	size_t from = reader->at;

	while (peek(reader) && peek(reader) != '%')
		reader->at += peek(reader) == '\\' && reader->at + 1 < reader->text.len ? 2 : 1;
	if (peek(reader) != '%')
		return NULL;
	return regex_new(reader->pattern, str_slice(reader->text, from, reader->at++));
}

/* ---- terms */

static bool take_term(struct reader *reader)
{
	struct term term = {.kind = TERM_PLAIN};

	if (accept(reader, S("?")))
		term.kind = TERM_OPTIONAL;
	else if (accept(reader, S("-")))
		term.kind = TERM_EXCLUDED;
	if (accept(reader, S("\""))) {
		if (!take_quoted(reader, '"', &term.text))
			return false;
	} else if (accept(reader, S("%"))) {
		term.regex = take_regex(reader);
		if (!term.regex)
			return false;
	} else {
		term.text = take_while(reader, "");
		if (!term.text.len)
			return false;
	}
	if (reader->at < reader->text.len && !log_pattern_is_space(peek(reader)))
		return false;
	reader->pattern->has_plain |= term.kind == TERM_PLAIN;
	list_add(&reader->pattern->terms, term);
	return reader->pattern->terms.count <= LOG_PATTERN_NODES_LIMIT;
}

static bool read_terms(struct reader *reader)
{
	for (skip_spaces(reader); reader->at < reader->text.len; skip_spaces(reader))
		if (!take_term(reader))
			return false;
	return true;
}

/* ---- comparisons, as JSON and columns have them */

static bool take_comparison(struct reader *reader, enum comparison *ret_comparison)
{
	static const struct { struct str word; enum comparison comparison; } rows[] = {
		{STR_INIT("!="), UNEQUAL}, {STR_INIT("<="), LESS_EQUAL}, {STR_INIT(">="), GREATER_EQUAL},
		{STR_INIT("="), EQUAL}, {STR_INIT("<"), LESS}, {STR_INIT(">"), GREATER},
	};

	skip_spaces(reader);
	for (size_t i = 0; i < COUNT(rows); i++)
		if (accept(reader, rows[i].word)) {
			*ret_comparison = rows[i].comparison;
			return true;
		}
	return false;
}

static bool take_operand(struct reader *reader, enum comparison comparison, struct operand *operand)
{
	skip_spaces(reader);
	if (accept(reader, S("\""))) {
		operand->quoted = true;
		if (!take_quoted(reader, '"', &operand->text))
			return false;
	} else if (accept(reader, S("%"))) {
		operand->regex = take_regex(reader);
		return operand->regex && comparison <= UNEQUAL;
	} else {
		operand->text = take_while(reader, ".*+-:/@");
		operand->is_number = log_pattern_number(operand->text, &operand->number);
		if (!operand->text.len)
			return false;
	}
	operand->wild = str_find(operand->text, '*') < operand->text.len;
	return comparison <= UNEQUAL || operand->is_number;
}

static struct node *new_node(struct reader *reader, enum node_kind kind)
{
	struct node *node = arena_new(&reader->pattern->arena, struct node);

	node->kind = kind;
	return ++reader->pattern->node_count <= LOG_PATTERN_NODES_LIMIT ? node : NULL;
}

/* `a && b || c`: && binds tighter. `take_one` reads a comparison. */
static struct node *take_all_of(struct reader *reader, struct node *(*take_one)(struct reader *reader));

static struct node *take_any_of(struct reader *reader, struct node *(*take_one)(struct reader *reader))
{
	struct node *left = take_all_of(reader, take_one);

	for (skip_spaces(reader); left && accept(reader, S("||")); skip_spaces(reader)) {
		struct node *both = new_node(reader, NODE_OR);

		if (!both)
			return NULL;
		both->left = left;
		both->right = take_all_of(reader, take_one);
		left = both->right ? both : NULL;
	}
	return left;
}

static struct node *take_group(struct reader *reader, struct node *(*take_one)(struct reader *reader))
{
	struct node *inner;

	skip_spaces(reader);
	if (!accept(reader, S("(")))
		return take_one(reader);
	if (++reader->depth > LOG_PATTERN_DEPTH_LIMIT)
		return NULL;
	inner = take_any_of(reader, take_one);
	skip_spaces(reader);
	reader->depth--;
	return accept(reader, S(")")) ? inner : NULL;
}

static struct node *take_all_of(struct reader *reader, struct node *(*take_one)(struct reader *reader))
{
	struct node *left = take_group(reader, take_one);

	for (skip_spaces(reader); left && accept(reader, S("&&")); skip_spaces(reader)) {
		struct node *both = new_node(reader, NODE_AND);

		if (!both)
			return NULL;
		both->left = left;
		both->right = take_group(reader, take_one);
		left = both->right ? both : NULL;
	}
	return left;
}

/* ---- JSON */

static bool take_bracket(struct reader *reader, struct step *step)
{
	char quote = peek(reader);
	struct str digits;

	if (accept(reader, S("*"))) {
		step->kind = STEP_ANY_ITEM;
	} else if (quote == '\'' || quote == '"') {
		reader->at++;
		step->kind = STEP_NAME;
		if (!take_quoted(reader, quote, &step->name))
			return false;
	} else {
		step->kind = STEP_INDEX;
		digits = take_while(reader, "");
		if (!str_to_unsigned(digits, &step->index))
			return false;
	}
	return accept(reader, S("]"));
}

static bool take_step(struct reader *reader, struct step *step)
{
	if (accept(reader, S("[")))
		return take_bracket(reader, step);
	if (!accept(reader, S(".")))
		return false;
	if (accept(reader, S("*"))) {
		step->kind = STEP_ANY_MEMBER;
		return true;
	}
	step->kind = STEP_NAME;
	step->name = take_while(reader, "-@");
	return step->name.len > 0;
}

static bool take_selector(struct reader *reader, struct node *node)
{
	size_t from = reader->at, wild = 0;

	if (!accept(reader, S("$")))
		return false;
	node->steps = arena_array(&reader->pattern->arena, struct step, LOG_PATTERN_DEPTH_LIMIT);
	while (peek(reader) == '.' || peek(reader) == '[') {
		struct step *step = &node->steps[node->step_count];

		if (node->step_count == LOG_PATTERN_DEPTH_LIMIT || !take_step(reader, step))
			return false;
		wild += step->kind == STEP_ANY_MEMBER || step->kind == STEP_ANY_ITEM;
		node->step_count++;
	}
	node->name = str_slice(reader->text, from, reader->at);
	reader->pattern->wildcard_count += wild;
	return node->step_count > 0 && wild <= 1 && reader->pattern->wildcard_count <= LOG_PATTERN_WILDCARDS_LIMIT;
}

static bool take_state(struct reader *reader, enum comparison *ret_comparison)
{
	if (take_keyword(reader, S("NOT"))) {
		skip_spaces(reader);
		*ret_comparison = NOT_EXISTS;
		return take_keyword(reader, S("EXISTS"));
	}
	*ret_comparison = EXISTS;
	if (take_keyword(reader, S("EXISTS")))
		return true;
	if (!take_keyword(reader, S("IS")))
		return false;
	skip_spaces(reader);
	*ret_comparison = take_keyword(reader, S("NULL"))    ? IS_NULL
			  : take_keyword(reader, S("TRUE"))  ? IS_TRUE
			  : take_keyword(reader, S("FALSE")) ? IS_FALSE
							     : EQUAL;
	return *ret_comparison != EQUAL;
}

static struct node *take_json_condition(struct reader *reader)
{
	struct node *node = new_node(reader, NODE_COMPARE);

	skip_spaces(reader);
	if (!node || !take_selector(reader, node))
		return NULL;
	skip_spaces(reader);
	if (take_state(reader, &node->comparison))
		return node;
	if (!take_comparison(reader, &node->comparison) || !take_operand(reader, node->comparison, &node->operand))
		return NULL;
	return node;
}

static bool read_json(struct reader *reader)
{
	if (!accept(reader, S("{")))
		return false;
	reader->pattern->condition = take_any_of(reader, take_json_condition);
	skip_spaces(reader);
	if (!reader->pattern->condition || !accept(reader, S("}")))
		return false;
	skip_spaces(reader);
	return reader->at == reader->text.len;
}

/* ---- columns */

/* The name before the condition says which column it is; further ones must say the same. */
static struct node *take_column_condition(struct reader *reader)
{
	struct node *node = new_node(reader, NODE_COMPARE);
	struct column *column = &reader->pattern->columns.items[reader->pattern->columns.count - 1];
	struct str name;

	skip_spaces(reader);
	name = take_while(reader, "-.$");
	if (!node || !name.len || (str_has(column->name) && !str_equal(column->name, name)))
		return NULL;
	column->name = name;
	if (!take_comparison(reader, &node->comparison) || !take_operand(reader, node->comparison, &node->operand))
		return NULL;
	return node;
}

static bool take_column(struct reader *reader)
{
	struct column *column = list_push(&reader->pattern->columns);
	size_t from;

	skip_spaces(reader);
	if (accept(reader, S("..."))) {
		column->ellipsis = true;
		return true;
	}
	from = reader->at;
	if (peek(reader) != '(') {
		column->name = take_while(reader, "-.$");
		skip_spaces(reader);
		if (peek(reader) == ',' || peek(reader) == ']')
			return true;
	}
	reader->at = from;
	column->name = STR_NONE;
	column->condition = take_any_of(reader, take_column_condition);
	return column->condition != NULL;
}

static bool read_columns(struct reader *reader)
{
	struct log_pattern *pattern = reader->pattern;
	size_t ellipses = 0;

	if (!accept(reader, S("[")))
		return false;
	do {
		if (pattern->columns.count == LOG_PATTERN_NODES_LIMIT || !take_column(reader))
			return false;
		ellipses += pattern->columns.items[pattern->columns.count - 1].ellipsis;
		skip_spaces(reader);
	} while (accept(reader, S(",")));
	if (!accept(reader, S("]")) || ellipses > 1)
		return false;
	skip_spaces(reader);
	return reader->at == reader->text.len;
}

/* ---- all languages */

bool log_pattern_read(struct log_pattern *pattern, struct str text)
{
	struct reader reader = {.pattern = pattern, .text = arena_copy(&pattern->arena, str_trim(text))};

	if (text.len > LOG_PATTERN_BYTES_LIMIT || memchr(text.ptr ? text.ptr : "", '\0', text.len))
		return false;
	if (reader.text.len == 0) {
		pattern->language = EVERYTHING;
		return true;
	}
	switch (reader.text.ptr[0]) {
	case '{': pattern->language = JSON; return read_json(&reader);
	case '[': pattern->language = COLUMNS; return read_columns(&reader);
	default: pattern->language = TERMS; return read_terms(&reader);
	}
}
