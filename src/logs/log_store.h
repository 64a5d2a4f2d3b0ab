/* log_store.h - the events of all log streams, on disk.
 *
 * A database of its own, DIR/logs.db: events come in pieces of up to 64 KiB, a row each, found by stream and time.
 * One thread uses a store; a second store on the same folder may read while the first writes. What it holds is only events;
 * which groups and streams there are is the brain's to know. Times are milliseconds since 1970. */
#pragma once
#include "api/logs.h"
#include "base/arena.h"
#include "base/error.h"

struct log_store;

bool log_store_open(struct str directory, struct log_store **ret_store, struct error *err);
/* In memory, for tests and the simulator: the same, gone with the process. */
bool log_store_open_memory(struct log_store **ret_store, struct error *err);
void log_store_close(struct log_store *store);           /* NULL is fine */

struct log_put {
	int64_t stream, group_id, now;                   /* now: the ingestion time */
	struct str realm, group, name;                   /* of the stream, for people and GetLogRecord */
	const struct logs_input_log_event *events;       /* in order; at least one */
	size_t count;
};

/* All in one transaction: on disk when it returns true, none of them when false. */
bool log_store_put(struct log_store *store, const struct log_put *puts, size_t count, struct error *err);

/* For tests: the next put or sweep fails, as a full disk (ENOSPC) would make it. */
void log_store_fail_next(struct log_store *store, int os_error);

struct log_swept { int64_t bytes, first; };              /* what went, and when now its first event is (0: there is none) */

/* Deletes some of what of a stream is older than `before` (INT64_MAX: all); *ret_done: nothing of that is left. */
bool log_store_sweep(struct log_store *store, int64_t stream, int64_t before, bool *ret_done, struct log_swept *ret_swept,
		     struct error *err);
/* The streams that the store knows, in order of their ids. */
bool log_store_streams(struct log_store *store, struct arena *arena, int64_t **ret_streams, size_t *ret_count,
		       struct error *err);

struct log_stream_facts { struct str realm, group, name; int64_t span; };

/* *ret_known: whether anything was ever put into it. Texts are in `arena`; without one they are left out. */
bool log_store_stream(struct log_store *store, int64_t stream, struct arena *arena, bool *ret_known,
		      struct log_stream_facts *ret_facts, struct error *err);

/* Between the two, reads see what was put before the first of them, and nothing that comes or goes meanwhile. */
bool log_store_begin_reading(struct log_store *store, struct error *err);
void log_store_end_reading(struct log_store *store);

/* ---- for cursors: rows */
struct log_row { int64_t number, stream, first, last, ingestion; };

enum { LOG_ROWS_AT_ONCE = 16 };

/* The next rows of a stream after (or before) a place in the order of (first, number), without their events. */
bool log_store_rows(struct log_store *store, int64_t stream, int64_t first, int64_t number, bool backward,
		    struct log_row rows[LOG_ROWS_AT_ONCE], size_t *ret_count, struct error *err);
/* One row's events; *ret_found: it is still there. `ret_bytes` is the caller's to free. */
bool log_store_row(struct log_store *store, int64_t number, struct log_row *ret_row, struct str *ret_bytes,
		   bool *ret_found, struct error *err);
