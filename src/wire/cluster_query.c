#include "wire/cluster_query.h"
#include <assert.h>
#include "wire/pattern.h"
#include "wire/timestamp.h"

enum node_kind { NODE_AND, NODE_OR, NODE_NOT, NODE_TERM };

enum subject {
	SUBJECT_AGENT_CONNECTED, SUBJECT_AGENT_VERSION, SUBJECT_EC2_INSTANCE_ID, SUBJECT_REGISTERED_AT,
	SUBJECT_RUNNING_TASKS_COUNT, SUBJECT_TASK_GROUP, SUBJECT_ATTRIBUTE,
};

enum operator {
	OPERATOR_EQUAL, OPERATOR_IN, OPERATOR_MATCH, OPERATOR_EXISTS,
	OPERATOR_GREATER, OPERATOR_GREATER_EQUAL, OPERATOR_LESS, OPERATOR_LESS_EQUAL,
};

#define BIT(operator) (1u << (operator))
#define EQUALITY BIT(OPERATOR_EQUAL)
#define ORDERING (BIT(OPERATOR_GREATER) | BIT(OPERATOR_GREATER_EQUAL) | BIT(OPERATOR_LESS) | BIT(OPERATOR_LESS_EQUAL))
#define TEXTUAL (EQUALITY | BIT(OPERATOR_IN) | BIT(OPERATOR_MATCH))

static const struct {
	struct str word;
	unsigned operators;
} subjects[] = {
	[SUBJECT_AGENT_CONNECTED]     = {STR_INIT("agentConnected"),    TEXTUAL},
	[SUBJECT_AGENT_VERSION]       = {STR_INIT("agentVersion"),      EQUALITY | ORDERING},
	[SUBJECT_EC2_INSTANCE_ID]     = {STR_INIT("ec2InstanceId"),     TEXTUAL},
	[SUBJECT_REGISTERED_AT]       = {STR_INIT("registeredAt"),      EQUALITY | ORDERING},
	[SUBJECT_RUNNING_TASKS_COUNT] = {STR_INIT("runningTasksCount"), EQUALITY | ORDERING},
	[SUBJECT_TASK_GROUP]          = {STR_INIT("task:group"),        TEXTUAL},
	[SUBJECT_ATTRIBUTE]           = {STR_INIT("attribute:"),        TEXTUAL | ORDERING | BIT(OPERATOR_EXISTS)},
};

/* Longer spellings before their own beginnings. */
static const struct {
	struct str text;
	enum operator operator;
	bool negated;
} operators[] = {
	{STR_INIT("=="),                 OPERATOR_EQUAL,         false},
	{STR_INIT("!="),                 OPERATOR_EQUAL,         true},
	{STR_INIT("=~"),                 OPERATOR_MATCH,         false},
	{STR_INIT("!~"),                 OPERATOR_MATCH,         true},
	{STR_INIT(">="),                 OPERATOR_GREATER_EQUAL, false},
	{STR_INIT("<="),                 OPERATOR_LESS_EQUAL,    false},
	{STR_INIT(">"),                  OPERATOR_GREATER,       false},
	{STR_INIT("<"),                  OPERATOR_LESS,          false},
	{STR_INIT("equals"),             OPERATOR_EQUAL,         false},
	{STR_INIT("not_equals"),         OPERATOR_EQUAL,         true},
	{STR_INIT("greater_than_equal"), OPERATOR_GREATER_EQUAL, false},
	{STR_INIT("greater_than"),       OPERATOR_GREATER,       false},
	{STR_INIT("less_than_equal"),    OPERATOR_LESS_EQUAL,    false},
	{STR_INIT("less_than"),          OPERATOR_LESS,          false},
	{STR_INIT("exists"),             OPERATOR_EXISTS,        false},
	{STR_INIT("!exists"),            OPERATOR_EXISTS,        true},
	{STR_INIT("not_exists"),         OPERATOR_EXISTS,        true},
	{STR_INIT("in"),                 OPERATOR_IN,            false},
	{STR_INIT("!in"),                OPERATOR_IN,            true},
	{STR_INIT("not_in"),             OPERATOR_IN,            true},
	{STR_INIT("matches"),            OPERATOR_MATCH,         false},
	{STR_INIT("not_matches"),        OPERATOR_MATCH,         true},
};

struct literal {
	struct str text;
	struct literal *next;
};

struct cluster_query {
	enum node_kind kind;
	struct cluster_query *first, *next;              /* children; siblings */

	enum subject subject;
	struct str attribute;
	enum operator operator;
	bool negated;
	struct literal *literals;                        /* one, but for `in` */
	struct pattern *pattern;
	int64_t number;                                  /* of runningTasksCount; seconds of registeredAt */
};

/* Parsing: each function gives NULL, or false, where the text is not valid. */
struct parser {
	struct str rest;
	struct arena *arena;
	unsigned depth, patterns;
};

static bool is_word_char(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
	       (c && strchr(".-_/:*+@", c));
}

static void skip(struct parser *parser, size_t count)
{
	parser->rest = str_slice(parser->rest, count, parser->rest.len);
}

static void skip_space(struct parser *parser)
{
	size_t count = 0;

	while (count < parser->rest.len && strchr(" \t\r\n", parser->rest.ptr[count]) && parser->rest.ptr[count])
		count++;
	skip(parser, count);
}

static bool stands(const struct parser *parser, char c)
{
	return parser->rest.len && parser->rest.ptr[0] == c;
}

static bool take(struct parser *parser, char c)
{
	skip_space(parser);
	if (!stands(parser, c))
		return false;
	skip(parser, 1);
	return true;
}

static struct str front_word(const struct parser *parser)
{
	size_t len = 0;

	while (len < parser->rest.len && is_word_char(parser->rest.ptr[len]))
		len++;
	return str_slice(parser->rest, 0, len);
}

/* A sign as it is; a word in any case, and whole. */
static bool take_text(struct parser *parser, struct str text)
{
	char last = text.ptr[text.len - 1];

	if (!str_equal_ignoring_case(str_slice(parser->rest, 0, text.len), text) ||
	    (is_word_char(last) && parser->rest.len > text.len && is_word_char(parser->rest.ptr[text.len])))
		return false;
	skip(parser, text.len);
	return true;
}

static bool take_either(struct parser *parser, struct str sign, struct str word)
{
	skip_space(parser);
	return take_text(parser, sign) || take_text(parser, word);
}

static struct cluster_query *node_new(struct parser *parser, enum node_kind kind)
{
	struct cluster_query *node = arena_new(parser->arena, struct cluster_query);

	node->kind = kind;
	return node;
}

static bool parse_subject(struct parser *parser, struct cluster_query *term)
{
	struct str word = front_word(parser);

	for (size_t i = 0; i < COUNT(subjects); i++) {
		struct str name = subjects[i].word;

		if (i == SUBJECT_ATTRIBUTE) {
			term->attribute = str_slice(word, name.len, word.len);
			word = str_slice(word, 0, name.len);
			if (!term->attribute.len)
				return false;
		}
		if (str_equal_ignoring_case(word, name)) {
			term->subject = (enum subject)i;
			skip(parser, name.len + term->attribute.len);
			return true;
		}
	}
	return false;
}

static bool parse_operator(struct parser *parser, struct cluster_query *term)
{
	skip_space(parser);
	for (size_t i = 0; i < COUNT(operators); i++) {
		if (!take_text(parser, operators[i].text))
			continue;
		term->operator = operators[i].operator;
		term->negated = operators[i].negated;
		return subjects[term->subject].operators & BIT(term->operator);
	}
	return false;
}

static bool parse_quoted(struct parser *parser, struct str *ret_text)
{
	char quote = parser->rest.ptr[0];
	size_t len;

	skip(parser, 1);
	len = str_find(parser->rest, quote);
	if (len == parser->rest.len)
		return false;
	*ret_text = str_slice(parser->rest, 0, len);
	skip(parser, len + 1);
	return true;
}

static bool parse_literal(struct parser *parser, struct str *ret_text)
{
	skip_space(parser);
	if (stands(parser, '\'') || stands(parser, '"'))
		return parse_quoted(parser, ret_text);
	*ret_text = front_word(parser);
	skip(parser, ret_text->len);
	return ret_text->len > 0;
}

/* A bare regular expression ends at a space, at && and ||, and at a closing bracket it did not open. */
static struct str front_expression(const struct parser *parser)
{
	struct str rest = parser->rest;
	size_t len = 0, open = 0;

	for (; len < rest.len && !strchr(" \t\r\n'\"", rest.ptr[len]); len++) {
		struct str ahead = str_slice(rest, len, rest.len);

		if (str_starts(ahead, S("&&")) || str_starts(ahead, S("||")))
			break;
		if (rest.ptr[len] == '\\' && len + 1 < rest.len)
			len++;
		else if (rest.ptr[len] == '(')
			open++;
		else if (rest.ptr[len] == ')' && open-- == 0)
			break;
	}
	return str_slice(rest, 0, len);
}

static void free_pattern(void *pattern)
{
	pattern_free(pattern);
}

static bool parse_expression(struct parser *parser, struct cluster_query *term)
{
	struct str text;

	skip_space(parser);
	if (stands(parser, '\'') || stands(parser, '"')) {
		if (!parse_quoted(parser, &text))
			return false;
	} else {
		text = front_expression(parser);
		skip(parser, text.len);
		if (!text.len)
			return false;
	}
	if (parser->patterns++ == CLUSTER_QUERY_PATTERNS_LIMIT)
		return false;
	term->pattern = pattern_new(text, NULL);
	if (!term->pattern)
		return false;
	arena_defer(parser->arena, free_pattern, term->pattern);
	return true;
}

static struct literal **add_literal(struct parser *parser, struct literal **end)
{
	struct literal *literal = arena_new(parser->arena, struct literal);

	if (!parse_literal(parser, &literal->text))
		return NULL;
	*end = literal;
	return &literal->next;
}

static bool parse_list(struct parser *parser, struct cluster_query *term)
{
	struct literal **end = &term->literals;

	if (!take(parser, '['))
		return false;
	do {
		end = add_literal(parser, end);
	} while (end && take(parser, ','));
	return end && take(parser, ']');
}

static bool read_date(struct str text, int64_t *ret_seconds)
{
	usec time;

	if (!timestamp_parse(text, &time))
		return false;
	*ret_seconds = time / USEC_PER_SEC;
	return true;
}

static bool parse_value(struct parser *parser, struct cluster_query *term)
{
	struct str text;

	if (!add_literal(parser, &term->literals))
		return false;
	text = term->literals->text;
	switch (term->subject) {
	case SUBJECT_AGENT_CONNECTED:
		return str_equal_ignoring_case(text, S("true")) || str_equal_ignoring_case(text, S("false"));
	case SUBJECT_REGISTERED_AT:
		return read_date(text, &term->number);
	case SUBJECT_RUNNING_TASKS_COUNT:
		return str_to_long(text, &term->number);
	default:
		return true;
	}
}

static struct cluster_query *parse_term(struct parser *parser)
{
	struct cluster_query *term = node_new(parser, NODE_TERM);

	if (!parse_subject(parser, term) || !parse_operator(parser, term))
		return NULL;
	switch (term->operator) {
	case OPERATOR_EXISTS:
		return term;
	case OPERATOR_MATCH:
		return parse_expression(parser, term) ? term : NULL;
	case OPERATOR_IN:
		return parse_list(parser, term) ? term : NULL;
	default:
		return parse_value(parser, term) ? term : NULL;
	}
}

static struct cluster_query *parse_or(struct parser *parser);

static struct cluster_query *parse_not(struct parser *parser);

static struct cluster_query *parse_negation(struct parser *parser)
{
	struct cluster_query *node = node_new(parser, NODE_NOT);

	node->first = parse_not(parser);
	return node->first ? node : NULL;
}

static struct cluster_query *parse_group(struct parser *parser)
{
	struct cluster_query *node = parse_or(parser);

	return node && take(parser, ')') ? node : NULL;
}

static struct cluster_query *parse_not(struct parser *parser)
{
	struct cluster_query *node;

	if (parser->depth == CLUSTER_QUERY_DEPTH_LIMIT)
		return NULL;
	parser->depth++;
	if (take_either(parser, S("!"), S("not")))
		node = parse_negation(parser);
	else if (take(parser, '('))
		node = parse_group(parser);
	else
		node = parse_term(parser);
	parser->depth--;
	return node;
}

/* One operand, or as many as the sign or word joins. */
static struct cluster_query *parse_chain(struct parser *parser, enum node_kind kind, struct str sign,
					 struct str word, struct cluster_query *(*operand)(struct parser *))
{
	struct cluster_query *first = operand(parser), *last = first, *node;

	while (last && take_either(parser, sign, word))
		last = last->next = operand(parser);
	if (!last || last == first)
		return last;
	node = node_new(parser, kind);
	node->first = first;
	return node;
}

static struct cluster_query *parse_and(struct parser *parser)
{
	return parse_chain(parser, NODE_AND, S("&&"), S("and"), parse_not);
}

static struct cluster_query *parse_or(struct parser *parser)
{
	return parse_chain(parser, NODE_OR, S("||"), S("or"), parse_and);
}

bool cluster_query_parse(struct str text, struct arena *arena, const struct cluster_query **ret_query,
			 struct error *err)
{
	struct parser parser = {.rest = arena_copy(arena, text), .arena = arena};
	const struct cluster_query *query = NULL;

	if (text.len <= CLUSTER_QUERY_BYTES_LIMIT)
		query = parse_or(&parser);
	skip_space(&parser);
	if (!query || parser.rest.len)
		return fail(err, ERROR_INVALID_PARAMETER, "The expression '%.*s' is not valid.", STR(text));
	*ret_query = query;
	return true;
}

/* Evaluation. */

static bool is_ordered(enum operator operator, int order)
{
	switch (operator) {
	case OPERATOR_EQUAL: return order == 0;
	case OPERATOR_GREATER: return order > 0;
	case OPERATOR_GREATER_EQUAL: return order >= 0;
	case OPERATOR_LESS: return order < 0;
	case OPERATOR_LESS_EQUAL: return order <= 0;
	default: return false;
	}
}

static int compare_numbers(int64_t a, int64_t b)
{
	return (a > b) - (a < b);
}

static int compare_parts(struct str a, struct str b)
{
	int64_t in_a, in_b;

	if (str_to_long(a.len ? a : S("0"), &in_a) && str_to_long(b.len ? b : S("0"), &in_b))
		return compare_numbers(in_a, in_b);
	return str_compare(a, b);
}

/* By the numbers between the dots; a missing part is 0. */
static int compare_versions(struct str a, struct str b)
{
	struct str in_a = S(""), in_b = S("");
	int order = 0;

	a = str_starts(a, S("v")) ? str_slice(a, 1, a.len) : a;
	b = str_starts(b, S("v")) ? str_slice(b, 1, b.len) : b;
	while (order == 0 && (str_has(a) || str_has(b))) {
		if (!str_cut(&a, '.', &in_a))
			in_a = S("");
		if (!str_cut(&b, '.', &in_b))
			in_b = S("");
		order = compare_parts(in_a, in_b);
	}
	return order;
}

static bool text_is_in(const struct literal *literal, struct str text)
{
	for (; literal; literal = literal->next)
		if (str_equal(literal->text, text))
			return true;
	return false;
}

static bool text_fits(const struct cluster_query *term, struct str text)
{
	if (!str_has(text))
		return false;
	switch (term->operator) {
	case OPERATOR_EQUAL:
	case OPERATOR_IN:
		return text_is_in(term->literals, text);
	case OPERATOR_MATCH:
		return pattern_matches(term->pattern, text);
	default:
		return is_ordered(term->operator, compare_parts(text, term->literals->text));
	}
}

static bool test_group(void *term, struct str group)
{
	return text_fits(term, group);
}

static bool connected_fits(const struct cluster_query *term, bool connected)
{
	if (term->operator == OPERATOR_EQUAL)
		return connected == str_equal_ignoring_case(term->literals->text, S("true"));
	return text_fits(term, connected ? S("true") : S("false"));
}

static bool attribute_fits(const struct cluster_query *term, const struct cluster_query_subject *subject)
{
	struct str value = STR_NONE;

	if (!subject->attribute(subject->self, term->attribute, &value))
		return false;
	return term->operator == OPERATOR_EXISTS || text_fits(term, value);
}

static bool term_fits(const struct cluster_query *term, const struct cluster_query_subject *subject)
{
	switch (term->subject) {
	case SUBJECT_AGENT_CONNECTED:
		return connected_fits(term, subject->agent_connected);
	case SUBJECT_AGENT_VERSION:
		return str_has(subject->agent_version) &&
		       is_ordered(term->operator, compare_versions(subject->agent_version, term->literals->text));
	case SUBJECT_EC2_INSTANCE_ID:
		return text_fits(term, subject->ec2_instance_id);
	case SUBJECT_REGISTERED_AT:
		return is_ordered(term->operator,
				  compare_numbers(subject->registered_at / USEC_PER_SEC, term->number));
	case SUBJECT_RUNNING_TASKS_COUNT:
		return is_ordered(term->operator, compare_numbers(subject->running_tasks, term->number));
	case SUBJECT_TASK_GROUP:
		return subject->any_group(subject->self, test_group, (void *)term);
	case SUBJECT_ATTRIBUTE:
		return attribute_fits(term, subject);
	}
	return false;
}

bool cluster_query_matches(const struct cluster_query *query, const struct cluster_query_subject *subject)
{
	switch (query->kind) {
	case NODE_TERM:
		return term_fits(query, subject) != query->negated;
	case NODE_NOT:
		return !cluster_query_matches(query->first, subject);
	case NODE_AND:
	case NODE_OR:
		for (const struct cluster_query *child = query->first; child; child = child->next)
			if (cluster_query_matches(child, subject) == (query->kind == NODE_OR))
				return query->kind == NODE_OR;
		return query->kind == NODE_AND;
	}
	return false;
}
