#include "wire/log_pattern_private.h"

enum { COLUMNS_LIMIT = 512 };                            /* of a message; more make no match */

/* Columns are what stands between spaces; "…" and […] are one. False: there are too many. */
static bool split(struct str message, struct str columns[COLUMNS_LIMIT], size_t *ret_count)
{
	size_t at = 0, count = 0;

	for (;;) {
		char open, close;
		size_t from, to;

		while (at < message.len && log_pattern_is_space(message.ptr[at]))
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
		for (to = from; to < message.len && !log_pattern_is_space(message.ptr[to]);)
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
		return log_pattern_number(text, &number) && log_pattern_compare(node->comparison, number, operand->number);
	equal = log_pattern_equals(pattern, operand, text) ||
		(operand->is_number && log_pattern_number(text, &number) && number == operand->number);
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

bool log_pattern_match_columns(const struct log_pattern *pattern, struct str message)
{
	return each_column(pattern, message, column_fits, (void *)pattern);
}

static bool extract_column(void *arg, const struct column *column, size_t number, struct str text)
{
	struct extraction *to = arg;
	struct str name = str_has(column->name) && column->name.len ? arena_printf(to->arena, "$%.*s", STR(column->name))
								    : arena_printf(to->arena, "$%zu", number);

	to->take(to->arg, name, text);
	return true;
}

void log_pattern_extract_columns(const struct log_pattern *pattern, struct str message, struct extraction *to)
{
	each_column(pattern, message, extract_column, to);
}
