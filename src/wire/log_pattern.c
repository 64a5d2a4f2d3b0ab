#define PCRE2_CODE_UNIT_WIDTH 8
#include "wire/log_pattern.h"
#include <assert.h>
#include <pcre2.h>
#include <stdlib.h>
#include "base/list.h"
#include "wire/json.h"
#include "wire/utf8.h"

enum {
	REGEX_WORK_LIMIT = 100000, REGEX_DEPTH_LIMIT = 1000, REGEX_HEAP_LIMIT = 1024,   /* of one search */
	NUMBER_BYTES_LIMIT = 64,
	COLUMNS_LIMIT = 512,                             /* of a message; more make no match */
};

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

/* ---- reading text */

struct reader { struct log_pattern *pattern; struct str text; size_t at; unsigned depth; };

static char peek(const struct reader *reader)
{
	return reader->at < reader->text.len ? reader->text.ptr[reader->at] : '\0';
}

static bool is_space(char c)
{
	return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

static void skip_spaces(struct reader *reader)
{
	while (is_space(peek(reader)))
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

static bool regex_finds(const struct log_pattern *pattern, const struct regex *regex, struct str text)
{
	return pcre2_match(regex->code, (PCRE2_SPTR)(text.ptr ? text.ptr : ""), text.len, 0, 0, regex->data,
			   pattern->limits) >= 0;
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
	if (reader->at < reader->text.len && !is_space(peek(reader)))
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

static bool term_occurs(const struct log_pattern *pattern, const struct term *term, struct str message)
{
	if (term->regex)
		return regex_finds(pattern, term->regex, message);
	return term->text.len == 0 || memmem(message.ptr, message.len, term->text.ptr, term->text.len) != NULL;
}

static bool match_terms(const struct log_pattern *pattern, struct str message)
{
	bool has_optional = false, any = false;

	for (size_t i = 0; i < pattern->terms.count; i++) {
		const struct term *term = &pattern->terms.items[i];
		bool optional = term->kind == TERM_OPTIONAL;

		if (optional && (pattern->has_plain || any))
			continue;
		has_optional |= optional;
		if (optional)
			any = term_occurs(pattern, term, message);
		else if (term_occurs(pattern, term, message) != (term->kind == TERM_PLAIN))
			return false;
	}
	return !has_optional || any;
}

/* ---- comparisons, as JSON and columns have them */

static bool read_number(struct str text, double *ret_number)
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
		operand->is_number = read_number(operand->text, &operand->number);
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

static bool compare_numbers(enum comparison comparison, double a, double b)
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

/* Whether a text and an operand are equal, as texts. */
static bool text_equal(const struct log_pattern *pattern, const struct operand *operand, struct str text)
{
	if (operand->regex)
		return regex_finds(pattern, operand->regex, text);
	return operand->wild ? wild_equal(text, operand->text) : str_equal(text, operand->text);
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

/* ---- JSON: selectors */

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

/* ---- JSON: evaluation, over text that is known to be well-formed */

static const char *skip_white(const char *at)
{
	while (is_space(*at))
		at++;
	return at;
}

static const char *skip_string(const char *at)
{
	for (at++; *at != '"'; at++)
		at += *at == '\\';
	return at + 1;
}

/* To the end of the value that begins here. */
static const char *skip_json(const char *at)
{
	unsigned depth = 0;

	if (*at == '"')
		return skip_string(at);
	if (*at != '{' && *at != '[') {
		while (*at && !strchr(",]} \t\r\n", *at))
			at++;
		return at;
	}
	do {
		if (*at == '"') {
			at = skip_string(at);
			continue;
		}
		depth += *at == '{' || *at == '[';
		depth -= *at == '}' || *at == ']';
		at++;
	} while (depth);
	return at;
}

static struct str string_text(struct str raw, struct arena *arena)
{
	struct str text = str_slice(raw, 1, raw.len - 1);

	if (str_find(text, '\\') == text.len)
		return text;
	return json_string_value(raw, arena, &text) ? text : STR_NONE;
}

struct visit {
	const struct log_pattern *pattern;
	const struct node *node;
	struct arena arena;                              /* of strings with escapes */
	bool (*take)(struct visit *visit, struct str raw);       /* true: enough */
	struct str found;
};

static bool walk(struct visit *visit, const char *at, size_t step);

static bool walk_members(struct visit *visit, const char *at, size_t index)
{
	const struct step *step = &visit->node->steps[index];

	for (at = skip_white(at + 1); *at != '}'; at = skip_white(at)) {
		const char *end = skip_string(at);
		struct str key = string_text((struct str){at, (size_t)(end - at)}, &visit->arena);
		const char *value = skip_white(skip_white(end) + 1);

		if ((step->kind == STEP_ANY_MEMBER || str_equal(key, step->name)) && walk(visit, value, index + 1))
			return true;
		at = skip_white(skip_json(value));
		at += *at == ',';
	}
	return false;
}

static bool walk_items(struct visit *visit, const char *at, size_t index)
{
	const struct step *step = &visit->node->steps[index];
	uint64_t number = 0;

	for (at = skip_white(at + 1); *at != ']'; at = skip_white(at)) {
		if ((step->kind == STEP_ANY_ITEM || step->index == number) && walk(visit, at, index + 1))
			return true;
		at = skip_white(skip_json(at));
		at += *at == ',';
		number++;
	}
	return false;
}

static bool walk(struct visit *visit, const char *at, size_t step)
{
	bool of_object;

	if (step == visit->node->step_count)
		return visit->take(visit, (struct str){at, (size_t)(skip_json(at) - at)});
	of_object = visit->node->steps[step].kind == STEP_NAME || visit->node->steps[step].kind == STEP_ANY_MEMBER;
	if (*at == '{' && of_object)
		return walk_members(visit, at, step);
	return *at == '[' && !of_object && walk_items(visit, at, step);
}

static bool equals_json(struct visit *visit, struct str raw)
{
	const struct operand *operand = &visit->node->operand;
	char first = raw.ptr[0];
	double number;

	if (first == '"')
		return (!operand->is_number || operand->wild) &&
		       text_equal(visit->pattern, operand, string_text(raw, &visit->arena));
	if (first == '{' || first == '[' || first == 'n')
		return false;
	if (operand->is_number && read_number(raw, &number))
		return number == operand->number;
	return (operand->regex || (operand->wild && !operand->quoted)) && text_equal(visit->pattern, operand, raw);
}

static bool fulfils(struct visit *visit, struct str raw)
{
	const struct node *node = visit->node;
	double number;

	switch (node->comparison) {
	case EQUAL: return equals_json(visit, raw);
	case UNEQUAL: return !equals_json(visit, raw);
	case IS_NULL: return raw.ptr[0] == 'n';
	case IS_TRUE: return raw.ptr[0] == 't';
	case IS_FALSE: return raw.ptr[0] == 'f';
	case EXISTS:
	case NOT_EXISTS: return true;
	default: return read_number(raw, &number) && compare_numbers(node->comparison, number, node->operand.number);
	}
}

static bool evaluate_json(const struct log_pattern *pattern, const struct node *node, const char *message)
{
	struct visit visit = {.pattern = pattern, .node = node, .take = fulfils};
	bool found;

	if (node->kind == NODE_AND)
		return evaluate_json(pattern, node->left, message) && evaluate_json(pattern, node->right, message);
	if (node->kind == NODE_OR)
		return evaluate_json(pattern, node->left, message) || evaluate_json(pattern, node->right, message);
	found = walk(&visit, message, 0);
	arena_fini(&visit.arena);
	return found != (node->comparison == NOT_EXISTS);
}

/* Where the JSON begins, in a copy that ends with NUL; NULL when it is none. */
static const char *json_text(struct str message, struct arena *arena)
{
	struct json_fault fault;
	const char *at;

	message = str_trim(message);
	if (!str_starts(message, S("{")) && !str_starts(message, S("[")))
		return NULL;
	if (!json_check(message, &fault))
		return NULL;
	at = arena_cstr(arena, message);
	return at;
}

static bool match_json(const struct log_pattern *pattern, struct str message)
{
	auto_arena arena = {0};
	const char *text = json_text(message, &arena);

	return text && evaluate_json(pattern, pattern->condition, text);
}

static bool keep_first(struct visit *visit, struct str raw)
{
	visit->found = raw;
	return true;
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

/* Columns are what stands between spaces; "…" and […] are one. False: there are too many. */
static bool split(struct str message, struct str columns[COLUMNS_LIMIT], size_t *ret_count)
{
	size_t at = 0, count = 0;

	for (;;) {
		char open, close;
		size_t from, to;

		while (at < message.len && is_space(message.ptr[at]))
			at++;
		if (at == message.len)
			break;
		if (count == COLUMNS_LIMIT)
			return false;
		open = message.ptr[at];
		close = open == '"' ? '"' : open == '[' ? ']' : '\0';
		from = at;
		if (close) {
			const char *end = memchr(message.ptr + at + 1, close, message.len - at - 1);

			if (end) {
				columns[count++] = str_slice(message, at + 1, (size_t)(end - message.ptr));
				at = (size_t)(end - message.ptr) + 1;
				continue;
			}
		}
		for (to = from; to < message.len && !is_space(message.ptr[to]);)
			to++;
		columns[count++] = str_slice(message, from, to);
		at = to;
	}
	*ret_count = count;
	return true;
}

static bool compare_column(const struct log_pattern *pattern, const struct node *node, struct str text)
{
	const struct operand *operand = &node->operand;
	double number;
	bool equal;

	if (node->comparison > UNEQUAL)
		return read_number(text, &number) && compare_numbers(node->comparison, number, operand->number);
	equal = text_equal(pattern, operand, text) ||
		(operand->is_number && read_number(text, &number) && number == operand->number);
	return equal == (node->comparison == EQUAL);
}

static bool evaluate_column(const struct log_pattern *pattern, const struct node *node, struct str text)
{
	switch (node->kind) {
	case NODE_AND: return evaluate_column(pattern, node->left, text) && evaluate_column(pattern, node->right, text);
	case NODE_OR: return evaluate_column(pattern, node->left, text) || evaluate_column(pattern, node->right, text);
	default: return compare_column(pattern, node, text);
	}
}

/* Calls `take` with each column of the pattern and its text; false when the counts do not fit or `take` says so. */
static bool each_column(const struct log_pattern *pattern, struct str message,
			bool (*take)(void *arg, const struct column *column, size_t number, struct str text), void *arg)
{
	struct str texts[COLUMNS_LIMIT];
	size_t count, wanted = pattern->columns.count, skipped = 0, at = 0;
	bool open = false;

	for (size_t i = 0; i < wanted; i++)
		open |= pattern->columns.items[i].ellipsis;
	if (!split(message, texts, &count) || count < wanted - open || (!open && count != wanted))
		return false;
	skipped = open ? count - (wanted - 1) : 0;
	for (size_t i = 0; i < wanted; i++) {
		const struct column *column = &pattern->columns.items[i];
		size_t times = column->ellipsis ? skipped : 1;

		for (size_t j = 0; j < times; j++, at++)
			if (!take(arg, column, at + 1, texts[at]))
				return false;
	}
	return true;
}

static bool column_fits(void *arg, const struct column *column, size_t number, struct str text)
{
	return !column->condition || evaluate_column(arg, column->condition, text);
}

/* ---- all languages */

static bool read_pattern(struct log_pattern *pattern, struct str text)
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

struct log_pattern *log_pattern_new(struct str text, struct error *err)
{
	struct log_pattern *pattern = calloc(1, sizeof(*pattern));

	if (!pattern)
		abort();
	pattern->limits = pcre2_match_context_create(NULL);
	if (!pattern->limits)
		abort();
	pcre2_set_match_limit(pattern->limits, REGEX_WORK_LIMIT);
	pcre2_set_depth_limit(pattern->limits, REGEX_DEPTH_LIMIT);
	pcre2_set_heap_limit(pattern->limits, REGEX_HEAP_LIMIT);
	if (read_pattern(pattern, text))
		return pattern;
	log_pattern_free(pattern);
	fail(err, ERROR_INVALID_PARAMETER, "Invalid filter pattern");
	return NULL;
}

void log_pattern_free(struct log_pattern *pattern)
{
	if (!pattern)
		return;
	list_fini(&pattern->terms);
	list_fini(&pattern->columns);
	pcre2_match_context_free(pattern->limits);
	arena_fini(&pattern->arena);
	free(pattern);
}

bool log_pattern_matches(const struct log_pattern *pattern, struct str message)
{
	switch (pattern->language) {
	case TERMS: return match_terms(pattern, message);
	case JSON: return match_json(pattern, message);
	case COLUMNS: return each_column(pattern, message, column_fits, (void *)pattern);
	default: return true;
	}
}

/* ---- extraction */

struct extraction {
	struct arena *arena;
	void (*take)(void *arg, struct str name, struct str value);
	void *arg;
};

static void extract_json(const struct log_pattern *pattern, const struct node *node, const char *message,
			 struct extraction *to)
{
	struct visit visit = {.pattern = pattern, .node = node, .take = keep_first};

	if (node->kind != NODE_COMPARE) {
		extract_json(pattern, node->left, message, to);
		extract_json(pattern, node->right, message, to);
		return;
	}
	if (walk(&visit, message, 0)) {
		struct str value = visit.found;

		value = value.ptr[0] == '"' ? string_text(value, to->arena) : value;
		to->take(to->arg, arena_copy(to->arena, node->name), arena_copy(to->arena, value));
	}
	arena_fini(&visit.arena);
}

static bool extract_column(void *arg, const struct column *column, size_t number, struct str text)
{
	struct extraction *to = arg;
	struct str name = str_has(column->name) && column->name.len ? arena_printf(to->arena, "$%.*s", STR(column->name))
								    : arena_printf(to->arena, "$%zu", number);

	to->take(to->arg, name, text);
	return true;
}

void log_pattern_extract(const struct log_pattern *pattern, struct str message, struct arena *arena,
			 void (*take)(void *arg, struct str name, struct str value), void *arg)
{
	struct extraction to = {arena, take, arg};

	if (pattern->language == JSON) {
		const char *text = json_text(message, arena);

		if (text)
			extract_json(pattern, pattern->condition, text, &to);
	} else if (pattern->language == COLUMNS) {
		each_column(pattern, message, extract_column, &to);
	}
}
