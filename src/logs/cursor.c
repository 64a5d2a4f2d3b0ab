#include "logs/cursor.h"
#include <assert.h>
#include <stdlib.h>
#include "base/heap.h"
#include "base/list.h"
#include "logs/batch.h"

#define SIXTEEN_NINES ((int64_t)9999999999999999)

enum { TIME_DIGITS = 16, ROW_DIGITS = 24 };              /* the rest: the place in the row */

/* ---- positions */

int log_position_compare(const struct log_position *a, const struct log_position *b)
{
	if (a->timestamp != b->timestamp)
		return a->timestamp < b->timestamp ? -1 : 1;
	if (a->row != b->row)
		return a->row < b->row ? -1 : 1;
	return (a->place > b->place) - (a->place < b->place);
}

struct str log_position_text(const struct log_position *position, struct arena *arena)
{
	/* What is beyond the digits is beyond every event, and so is the largest number that they hold. */
	return arena_printf(arena, "%016lld%024lld%016lld", (long long)MIN(position->timestamp, SIXTEEN_NINES),
			    (long long)position->row, (long long)MIN(position->place, SIXTEEN_NINES));
}

static bool parse_digits(struct str digits, int64_t *ret_value)
{
	for (size_t i = 0; i < digits.len; i++)
		if (digits.ptr[i] < '0' || digits.ptr[i] > '9')
			return false;
	return str_to_long(digits, ret_value);
}

bool log_position_parse(struct str text, struct log_position *ret_position)
{
	struct log_position position;

	if (text.len != LOG_POSITION_DIGITS || !parse_digits(str_slice(text, 0, TIME_DIGITS), &position.timestamp) ||
	    !parse_digits(str_slice(text, TIME_DIGITS, TIME_DIGITS + ROW_DIGITS), &position.row) ||
	    !parse_digits(str_slice(text, TIME_DIGITS + ROW_DIGITS, text.len), &position.place))
		return false;
	*ret_position = position;
	return true;
}

/* ---- what is merged: rows, and what of a stream was not looked at yet */

struct piece {
	struct heap_node node;
	struct log_position next;                        /* no event of it comes before that */
	size_t stream;
	bool rest;                                       /* of the stream: rows beyond (first, number) */
	int64_t first, number;
	struct log_row row;
	struct arena arena;                              /* of events, once they are read */
	char *bytes;
	size_t size;                                     /* of the bytes */
	struct log_event *events;
	size_t count, at;                                /* at: how many were given, from the end it begins at */
};

struct log_cursor {
	struct log_store *store;
	const struct log_stream_name *streams;
	struct log_range range;
	struct heap heap;
	int64_t *spans;
	struct piece *current;                           /* that gave the last event; or NULL */
	size_t bytes, held;
};

static bool comes_first(const struct heap_node *a, const struct heap_node *b)
{
	const struct piece *left = CONTAINER_OF(a, struct piece, node), *right = CONTAINER_OF(b, struct piece, node);
	int order = log_position_compare(&left->next, &right->next);

	/* At the same place, what is not looked at comes first: it may hold what belongs there. */
	return order ? order < 0 : left->rest > right->rest;
}

static bool comes_last(const struct heap_node *a, const struct heap_node *b)
{
	const struct piece *left = CONTAINER_OF(a, struct piece, node), *right = CONTAINER_OF(b, struct piece, node);
	int order = log_position_compare(&left->next, &right->next);

	return order ? order > 0 : left->rest > right->rest;
}

/* Lets go its events; they are read again when their turn comes. */
static void forget_events(struct log_cursor *cursor, struct piece *piece)
{
	cursor->held -= piece->size;
	arena_fini(&piece->arena);
	free(piece->bytes);
	piece->bytes = NULL;
	piece->events = NULL;
	piece->size = piece->count = piece->at = 0;
}

static struct piece *piece_new(struct log_cursor *cursor, size_t stream)
{
	struct piece *piece = calloc(1, sizeof(*piece));

	if (!piece)
		abort();
	piece->stream = stream;
	return piece;
}

static void remove_piece(struct log_cursor *cursor, struct piece *piece)
{
	heap_remove(&cursor->heap, &piece->node);
	forget_events(cursor, piece);
	if (cursor->current == piece)
		cursor->current = NULL;
	free(piece);
}

static bool is_in_range(const struct log_cursor *cursor, const struct log_row *row)
{
	const struct log_range *range = &cursor->range;
	int64_t first = range->first, last = range->last;

	if (range->backward)
		last = MIN(last, range->from.timestamp);
	else
		first = MAX(first, range->from.timestamp);
	return row->last >= first && row->first <= last;
}

static void add_row(struct log_cursor *cursor, size_t stream, const struct log_row *row)
{
	struct piece *piece;

	if (!is_in_range(cursor, row))
		return;
	piece = piece_new(cursor, stream);
	piece->row = *row;
	piece->next = cursor->range.backward ? (struct log_position){row->last, row->number, INT64_MAX}
					     : (struct log_position){row->first, row->number, 0};
	heap_add(&cursor->heap, &piece->node);
}

/* Where the rest of a stream may hold its next event. */
static struct log_position rest_begins(const struct log_cursor *cursor, const struct piece *rest)
{
	int64_t span = cursor->spans[rest->stream];

	if (!cursor->range.backward)
		return (struct log_position){rest->first, 0, 0};
	return (struct log_position){rest->first > INT64_MAX - span ? INT64_MAX : rest->first + span, INT64_MAX, INT64_MAX};
}

static bool is_beyond(const struct log_cursor *cursor, const struct piece *rest)
{
	const struct log_range *range = &cursor->range;

	return range->backward ? rest->next.timestamp < range->first : rest->next.timestamp > range->last;
}

static bool look_further(struct log_cursor *cursor, struct piece *rest, struct error *err)
{
	struct log_row rows[LOG_ROWS_AT_ONCE];
	size_t count;

	if (!log_store_rows(cursor->store, cursor->streams[rest->stream].id, rest->first, rest->number,
			    cursor->range.backward, rows, &count, err))
		return false;
	for (size_t i = 0; i < count; i++)
		add_row(cursor, rest->stream, &rows[i]);
	if (count) {
		rest->first = rows[count - 1].first;
		rest->number = rows[count - 1].number;
		rest->next = rest_begins(cursor, rest);
	}
	if (count < LOG_ROWS_AT_ONCE || is_beyond(cursor, rest))
		remove_piece(cursor, rest);
	else
		heap_fix(&cursor->heap, &rest->node);
	return true;
}

/* ---- events of a row */

static struct log_position position_at(const struct log_cursor *cursor, const struct piece *piece)
{
	size_t index = cursor->range.backward ? piece->count - 1 - piece->at : piece->at;

	return (struct log_position){piece->events[index].timestamp, piece->row.number, (int64_t)index + 1};
}

static bool was_given(const struct log_cursor *cursor, const struct log_position *position)
{
	const struct log_range *range = &cursor->range;
	int order = log_position_compare(position, &range->from);

	return range->backward ? order >= 0 || position->timestamp > range->last
			       : order <= 0 || position->timestamp < range->first;
}

static bool read_events(struct log_cursor *cursor, struct piece *piece, struct error *err)
{
	struct str bytes;
	bool found;

	if (!log_store_row(cursor->store, piece->row.number, &piece->row, &bytes, &found, err))
		return false;
	if (!found)
		return fail(err, ERROR_CORRUPT, "row %lld of the log store is gone", (long long)piece->row.number);
	piece->bytes = (char *)bytes.ptr;
	piece->size = bytes.len;
	cursor->held += bytes.len;
	cursor->bytes += bytes.len;
	return log_batch_decode(bytes, piece->row.first, &piece->arena, &piece->events, &piece->count, err);
}

/* Its next event that was not given before; or the piece goes, and it is false. */
static bool settle(struct log_cursor *cursor, struct piece *piece)
{
	while (piece->at < piece->count) {
		piece->next = position_at(cursor, piece);
		if (!was_given(cursor, &piece->next)) {
			heap_fix(&cursor->heap, &piece->node);
			return true;
		}
		piece->at++;
	}
	remove_piece(cursor, piece);
	return false;
}

/* Reads what comes next. Beyond the limit the piece that was in hand makes way, and one that turns out not to be next goes
 * at once: it knows its place now. */
static bool open_piece(struct log_cursor *cursor, struct piece *piece, struct error *err)
{
	if (cursor->held > LOG_CURSOR_BYTES_LIMIT && cursor->current)
		forget_events(cursor, cursor->current);
	cursor->current = NULL;
	if (!read_events(cursor, piece, err))
		return false;
	if (!settle(cursor, piece))
		return true;
	if (cursor->held > LOG_CURSOR_BYTES_LIMIT && heap_first(&cursor->heap) != &piece->node)
		forget_events(cursor, piece);
	return true;
}

static void give(struct log_cursor *cursor, struct piece *piece, struct log_found *ret_found)
{
	size_t index = (size_t)piece->next.place - 1;

	*ret_found = (struct log_found){.position = piece->next, .message = piece->events[index].message,
					.ingestion = piece->row.ingestion, .stream = piece->stream};
	cursor->range.from = piece->next;
	cursor->current = piece;
}

static bool is_over(const struct log_cursor *cursor, const struct piece *piece)
{
	return cursor->range.backward ? piece->next.timestamp < cursor->range.first
				      : piece->next.timestamp > cursor->range.last;
}

bool log_cursor_next(struct log_cursor *cursor, struct log_found *ret_found, bool *ret_has, struct error *err)
{
	struct heap_node *node;

	while ((node = heap_first(&cursor->heap))) {
		struct piece *piece = CONTAINER_OF(node, struct piece, node);

		if (is_over(cursor, piece))
			break;
		if (piece->rest) {
			if (!look_further(cursor, piece, err))
				return false;
		} else if (!piece->events) {
			if (!open_piece(cursor, piece, err))
				return false;
		} else if (was_given(cursor, &piece->next)) {
			settle(cursor, piece);
		} else {
			give(cursor, piece, ret_found);
			*ret_has = true;
			return true;
		}
	}
	*ret_has = false;
	return true;
}

/* ---- opening */

static bool add_stream(struct log_cursor *cursor, size_t stream, struct error *err)
{
	const struct log_range *range = &cursor->range;
	struct log_stream_facts facts;
	struct piece *rest;
	int64_t start;
	bool known;

	if (!log_store_stream(cursor->store, cursor->streams[stream].id, NULL, &known, &facts, err))
		return false;
	if (!known)
		return true;
	cursor->spans[stream] = facts.span;
	rest = piece_new(cursor, stream);
	rest->rest = true;
	if (range->backward) {
		start = MIN(range->last, range->from.timestamp);
		rest->first = start;
		rest->number = INT64_MAX;
		rest->next = (struct log_position){start, INT64_MAX, INT64_MAX};
	} else {
		start = MAX(range->first, range->from.timestamp);
		rest->first = start < INT64_MIN + facts.span ? INT64_MIN : start - facts.span;
		rest->number = -1;
		rest->next = (struct log_position){rest->first, 0, 0};
	}
	heap_add(&cursor->heap, &rest->node);
	return true;
}

bool log_cursor_open(struct log_store *store, const struct log_stream_name *streams, size_t count,
		     const struct log_range *range, struct log_cursor **ret_cursor, struct error *err)
{
	struct log_cursor *cursor = calloc(1, sizeof(*cursor));

	if (!cursor)
		abort();
	*cursor = (struct log_cursor){.store = store, .streams = streams, .range = *range};
	cursor->heap.before = range->backward ? comes_last : comes_first;
	cursor->spans = calloc(count + 1, sizeof(*cursor->spans));
	if (!cursor->spans)
		abort();
	for (size_t i = 0; i < count; i++)
		if (!add_stream(cursor, i, err)) {
			log_cursor_close(cursor);
			return false;
		}
	*ret_cursor = cursor;
	return true;
}

size_t log_cursor_bytes(const struct log_cursor *cursor)
{
	return cursor->bytes;
}

size_t log_cursor_held(const struct log_cursor *cursor)
{
	return cursor->held;
}

void log_cursor_close(struct log_cursor *cursor)
{
	struct heap_node *node;

	if (!cursor)
		return;
	while ((node = heap_first(&cursor->heap)))
		remove_piece(cursor, CONTAINER_OF(node, struct piece, node));
	heap_fini(&cursor->heap);
	free(cursor->spans);
	free(cursor);
}
