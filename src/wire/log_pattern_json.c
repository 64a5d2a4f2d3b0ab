#include "wire/json.h"
#include "wire/log_pattern_private.h"

/* ---- walking, over text that is known to be well-formed */

static const char *skip_white(const char *at)
{
	while (log_pattern_is_space(*at))
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

/* ---- matching */

static bool equals_json(struct visit *visit, struct str raw)
{
	const struct operand *operand = &visit->node->operand;
	char first = raw.ptr[0];
	double number;

	if (first == '"')
		return (!operand->is_number || operand->wild) &&
		       log_pattern_equals(visit->pattern, operand, string_text(raw, &visit->arena));
	if (first == '{' || first == '[' || first == 'n')
		return false;
	if (operand->is_number && log_pattern_number(raw, &number))
		return number == operand->number;
	return (operand->regex || (operand->wild && !operand->quoted)) && log_pattern_equals(visit->pattern, operand, raw);
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
	default: return log_pattern_number(raw, &number) && log_pattern_compare(node->comparison, number, node->operand.number);
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

bool log_pattern_match_json(const struct log_pattern *pattern, struct str message)
{
	auto_arena arena = {0};
	const char *text = json_text(message, &arena);

	return text && evaluate_json(pattern, pattern->condition, text);
}

/* ---- extraction */

static bool keep_first(struct visit *visit, struct str raw)
{
	visit->found = raw;
	return true;
}

static void extract(const struct log_pattern *pattern, const struct node *node, const char *message,
			 struct extraction *to)
{
	struct visit visit = {.pattern = pattern, .node = node, .take = keep_first};

	if (node->kind != NODE_COMPARE) {
		extract(pattern, node->left, message, to);
		extract(pattern, node->right, message, to);
		return;
	}
	if (walk(&visit, message, 0)) {
		struct str value = visit.found;

		value = value.ptr[0] == '"' ? string_text(value, to->arena) : value;
		to->take(to->arg, arena_copy(to->arena, node->name), arena_copy(to->arena, value));
	}
	arena_fini(&visit.arena);
}

void log_pattern_extract_json(const struct log_pattern *pattern, struct str message, struct extraction *to)
{
	const char *text = json_text(message, to->arena);

	if (text)
		extract(pattern, pattern->condition, text, to);
}
