/* cursor.h - walks through the events of some streams in their common order, from either end.
 *
 * Events are ordered by time, then as they came: a position is (time, row, place in the row). Rows of a stream may
 * overlap in time, by at most the stream's span; a heap merges what overlaps. A row's events are read when its first
 * event's turn has come, and let go with its last; where more overlap than LOG_CURSOR_BYTES_LIMIT holds, rows are let go
 * earlier, and read again. */
#pragma once
#include "logs/log_store.h"
#include "model/log.h"

struct log_position { int64_t timestamp, row, place; };   /* place: from 1; 0 is before them all */

enum {
	LOG_POSITION_DIGITS = 56,
	LOG_CURSOR_BYTES_LIMIT = 32 << 20,               /* of rows in memory, and the two that are in hand */
};

int log_position_compare(const struct log_position *a, const struct log_position *b);
/* 56 digits, which sort as positions do: event ids, and what is in tokens. */
struct str log_position_text(const struct log_position *position, struct arena *arena);
bool log_position_parse(struct str text, struct log_position *ret_position);

struct log_range {
	int64_t first, last;                             /* milliseconds, both inclusive */
	struct log_position from;                        /* goes on after it (backward: before it) */
	bool backward;
};

struct log_found {
	struct log_position position;
	struct str message;                              /* good until the next step */
	int64_t ingestion;
	size_t stream;                                   /* which of the streams */
};

struct log_cursor;

bool log_cursor_open(struct log_store *store, const struct log_stream_name *streams, size_t count,
		     const struct log_range *range, struct log_cursor **ret_cursor, struct error *err);
/* *ret_has: there was one more. */
bool log_cursor_next(struct log_cursor *cursor, struct log_found *ret_found, bool *ret_has, struct error *err);
size_t log_cursor_bytes(const struct log_cursor *cursor);        /* read so far */
size_t log_cursor_held(const struct log_cursor *cursor);         /* of them in memory */
void log_cursor_close(struct log_cursor *cursor);                /* NULL is fine */
