#include "logs/log_store.h"
#include <assert.h>
#include <stdlib.h>
#include "base/list.h"
#include "logs/batch.h"
#include "model/log.h"
#include "store/database.h"
#include "store/directory.h"

enum {
	FORMAT = 1,
	PIECE_BYTES = 64 << 10,                          /* of messages in a row; a longer message has its own */
	CHECKPOINT_PAGES = 2048,
	WAL_PAGES_LIMIT = 16384,                         /* 256 MiB; then a commit waits until nobody reads an older state */
	PIECE_SPAN = 3600 * 1000,                        /* milliseconds: what a reader goes back at most for what began before */
	SWEEP_ROWS = 64,
};

struct log_store {
	struct database database;
	sqlite3_stmt *begin, *begin_reading, *commit, *put, *put_stream, *forward, *backward, *row, *sweep, *sweep_stream, *first, *stream,
		*streams;
	struct buffer scratch;
	int checked_pages;                               /* in the write-ahead log, when it was last looked at */
	int fail_next;                                   /* errno, or 0 */
};

static const char schema[] =
	"BEGIN IMMEDIATE;"
	"CREATE TABLE meta(key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;"
	"CREATE TABLE stream(id INTEGER PRIMARY KEY, realm TEXT NOT NULL, grp TEXT NOT NULL, name TEXT NOT NULL,"
	" span INTEGER NOT NULL);"
	"CREATE TABLE batch(number INTEGER PRIMARY KEY AUTOINCREMENT, stream INTEGER NOT NULL, first INTEGER NOT NULL,"
	" last INTEGER NOT NULL, ingestion INTEGER NOT NULL, bytes INTEGER NOT NULL, events BLOB NOT NULL);"
	"CREATE INDEX batch_by_time ON batch(stream, first, number, last, ingestion);"
	"INSERT INTO meta VALUES('format', '1'); COMMIT";

static bool prepare(struct log_store *store, struct error *err)
{
	struct database *database = &store->database;
	const struct { const char *sql; sqlite3_stmt **statement; } rows[] = {
		{"BEGIN IMMEDIATE", &store->begin},
		{"BEGIN", &store->begin_reading},
		{"COMMIT", &store->commit},
		{"INSERT INTO batch(stream, first, last, ingestion, bytes, events) VALUES(?, ?, ?, ?, ?, ?)", &store->put},
		{"INSERT INTO stream VALUES(?, ?, ?, ?, ?) ON CONFLICT(id) DO UPDATE SET span = excluded.span"
		 " WHERE excluded.span > span", &store->put_stream},
		{"SELECT number, first, last, ingestion FROM batch WHERE stream = ? AND (first, number) > (?, ?)"
		 " ORDER BY first, number LIMIT ?", &store->forward},
		{"SELECT number, first, last, ingestion FROM batch WHERE stream = ? AND (first, number) < (?, ?)"
		 " ORDER BY first DESC, number DESC LIMIT ?", &store->backward},
		{"SELECT stream, first, last, ingestion, events FROM batch WHERE number = ?", &store->row},
		{"DELETE FROM batch WHERE number IN (SELECT number FROM batch WHERE stream = ? AND first < ? AND last < ?"
		 " LIMIT ?) RETURNING bytes", &store->sweep},
		{"SELECT first FROM batch WHERE stream = ? ORDER BY first LIMIT 1", &store->first},
		{"DELETE FROM stream WHERE id = ?", &store->sweep_stream},
		{"SELECT realm, grp, name, span FROM stream WHERE id = ?", &store->stream},
		{"SELECT id FROM stream ORDER BY id", &store->streams},
	};

	for (size_t i = 0; i < COUNT(rows); i++)
		if (!database_prepare(database, rows[i].sql, rows[i].statement, err))
			return false;
	return true;
}

/* ---- opening */

static bool query_number(struct database *database, const char *sql, int64_t *ret_number, struct error *err)
{
	sqlite3_stmt *statement;
	bool row;

	if (!database_prepare(database, sql, &statement, err))
		return false;
	if (!database_step(database, statement, &row, err)) {
		sqlite3_finalize(statement);
		return false;
	}
	*ret_number = row ? sqlite3_column_int64(statement, 0) : 0;
	sqlite3_finalize(statement);
	return true;
}

static bool check_tables(struct database *database, struct error *err)
{
	int64_t tables, ours, format;

	if (!query_number(database, "SELECT count(*) FROM sqlite_schema", &tables, err))
		return false;
	if (tables == 0)
		return database_run(database, "PRAGMA page_size=16384; PRAGMA auto_vacuum=INCREMENTAL", err) &&
		       database_run(database, "PRAGMA journal_mode=WAL", err) && database_run(database, schema, err);
	if (!query_number(database, "SELECT count(*) FROM sqlite_schema WHERE name = 'meta'", &ours, err))
		return false;
	if (!ours)
		return fail(err, ERROR_CORRUPT, "'%s' is a database of another program", database->path);
	if (!query_number(database, "SELECT value FROM meta WHERE key = 'format'", &format, err))
		return false;
	if (format > FORMAT)
		return fail(err, ERROR_REFUSED, "'%s' has format %lld, but this program knows formats up to %d: use the "
			    "newer program", database->path, (long long)format, FORMAT);
	return true;
}

static bool open_at(struct str path, struct log_store **ret_store, struct error *err)
{
	struct log_store *store = calloc(1, sizeof(*store));

	if (!store)
		abort();
	if (database_open(&store->database, path, err) && check_tables(&store->database, err) &&
	    database_run(&store->database, "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL;"
			 " PRAGMA journal_size_limit=67108864; PRAGMA cache_size=-8192", err) &&
	    prepare(store, err)) {
		*ret_store = store;
		return true;
	}
	log_store_close(store);
	return false;
}

bool log_store_open(struct str directory, struct log_store **ret_store, struct error *err)
{
	auto_arena arena = {0};
	struct str path = arena_printf(&arena, "%.*s/logs.db", STR(directory));

	return directory_make_file(directory, path.ptr, err) && open_at(path, ret_store, err);
}

bool log_store_open_memory(struct log_store **ret_store, struct error *err)
{
	return open_at(S(":memory:"), ret_store, err);
}

void log_store_close(struct log_store *store)
{
	if (!store)
		return;
	database_close(&store->database);
	buffer_fini(&store->scratch);
	free(store);
}

/* ---- putting */

static bool put_piece(struct log_store *store, const struct log_put *put, size_t from, size_t to, struct error *err)
{
	int64_t bytes = 0;

	for (size_t i = from; i < to; i++)
		bytes += (int64_t)put->events[i].message.len + LOG_EVENT_OVERHEAD;
	buffer_clear(&store->scratch);
	log_batch_encode(put->events + from, to - from, &store->scratch);
	sqlite3_bind_int64(store->put, 1, put->stream);
	sqlite3_bind_int64(store->put, 2, put->events[from].timestamp.value);
	sqlite3_bind_int64(store->put, 3, put->events[to - 1].timestamp.value);
	sqlite3_bind_int64(store->put, 4, put->now);
	sqlite3_bind_int64(store->put, 5, bytes);
	sqlite3_bind_blob64(store->put, 6, store->scratch.bytes, store->scratch.len, SQLITE_STATIC);
	return database_execute(&store->database, store->put, err);
}

static bool put_stream(struct log_store *store, const struct log_put *put, struct error *err)
{
	sqlite3_bind_int64(store->put_stream, 1, put->stream);
	database_bind_text(store->put_stream, 2, put->realm);
	database_bind_text(store->put_stream, 3, put->group);
	database_bind_text(store->put_stream, 4, put->name);
	sqlite3_bind_int64(store->put_stream, 5,
			   MIN(put->events[put->count - 1].timestamp.value - put->events[0].timestamp.value, PIECE_SPAN));
	return database_execute(&store->database, store->put_stream, err);
}

static size_t piece_end(const struct log_put *put, size_t from)
{
	size_t to = from, bytes = 0;

	while (to < put->count && (to == from || (bytes + put->events[to].message.len <= PIECE_BYTES &&
						  put->events[to].timestamp.value - put->events[from].timestamp.value <= PIECE_SPAN)))
		bytes += put->events[to++].message.len;
	return to;
}

static bool put_events(struct log_store *store, const struct log_put *put, struct error *err)
{
	size_t from = 0;

	assert(put->count);
	if (!put_stream(store, put, err))
		return false;
	while (from < put->count) {
		size_t to = piece_end(put, from);

		if (!put_piece(store, put, from, to, err))
			return false;
		from = to;
	}
	return true;
}

/* The write-ahead log goes back into the file now and then, by whoever just committed: nobody else writes. It begins anew when
 * nobody reads from it; where readers leave no gap it would grow for ever, so at its limit a commit makes one. */
static void checkpoint(struct log_store *store)
{
	int pages = store->database.wal_pages;

	if (pages < store->checked_pages)
		store->checked_pages = 0;
	if (pages - store->checked_pages < CHECKPOINT_PAGES)
		return;
	store->checked_pages = pages;
	sqlite3_wal_checkpoint_v2(store->database.connection, NULL,
				  pages < WAL_PAGES_LIMIT ? SQLITE_CHECKPOINT_PASSIVE : SQLITE_CHECKPOINT_RESTART, NULL, NULL);
}

static bool commit(struct log_store *store, bool done, struct error *err)
{
	int reason = store->fail_next;

	store->fail_next = 0;
	if (done && reason)
		done = fail_os(err, reason, "write '%s'", store->database.path);
	if (done && database_execute(&store->database, store->commit, err)) {
		checkpoint(store);
		return true;
	}
	database_rollback(&store->database);
	return false;
}

bool log_store_put(struct log_store *store, const struct log_put *puts, size_t count, struct error *err)
{
	bool done = database_execute(&store->database, store->begin, err);

	for (size_t i = 0; done && i < count; i++)
		done = put_events(store, &puts[i], err);
	return commit(store, done, err);
}

void log_store_fail_next(struct log_store *store, int os_error)
{
	store->fail_next = os_error;
}

/* ---- deleting */

static bool sweep_stream(struct log_store *store, int64_t stream, struct error *err)
{
	sqlite3_bind_int64(store->sweep_stream, 1, stream);
	return database_execute(&store->database, store->sweep_stream, err);
}

static bool sweep_rows(struct log_store *store, int64_t stream, int64_t before, int *ret_rows, int64_t *ret_bytes,
		       struct error *err)
{
	bool done, row;

	sqlite3_bind_int64(store->sweep, 1, stream);
	sqlite3_bind_int64(store->sweep, 2, before);
	sqlite3_bind_int64(store->sweep, 3, before);
	sqlite3_bind_int64(store->sweep, 4, SWEEP_ROWS);
	while ((done = database_step(&store->database, store->sweep, &row, err)) && row) {
		*ret_bytes += sqlite3_column_int64(store->sweep, 0);
		++*ret_rows;
	}
	return done;
}

static bool find_first(struct log_store *store, int64_t stream, int64_t *ret_first, struct error *err)
{
	bool row;

	sqlite3_bind_int64(store->first, 1, stream);
	if (!database_step(&store->database, store->first, &row, err))
		return false;
	*ret_first = row ? sqlite3_column_int64(store->first, 0) : 0;
	sqlite3_reset(store->first);
	return true;
}

bool log_store_sweep(struct log_store *store, int64_t stream, int64_t before, bool *ret_done, struct log_swept *ret_swept,
		     struct error *err)
{
	struct log_swept swept = {0};
	int rows = 0;
	bool done = database_execute(&store->database, store->begin, err) &&
		    sweep_rows(store, stream, before, &rows, &swept.bytes, err) &&
		    find_first(store, stream, &swept.first, err);

	if (done && rows < SWEEP_ROWS && before == INT64_MAX)
		done = sweep_stream(store, stream, err);
	if (done)
		done = database_run(&store->database, "PRAGMA incremental_vacuum(512)", err);
	if (!commit(store, done, err))
		return false;
	*ret_done = rows < SWEEP_ROWS;
	*ret_swept = swept;
	return true;
}

bool log_store_streams(struct log_store *store, struct arena *arena, int64_t **ret_streams, size_t *ret_count,
		       struct error *err)
{
	LIST_OF(int64_t) found = {0};
	bool done, row;

	while ((done = database_step(&store->database, store->streams, &row, err)) && row)
		list_add(&found, sqlite3_column_int64(store->streams, 0));
	*ret_streams = arena_array(arena, int64_t, found.count);
	*ret_count = found.count;
	if (found.count)
		memcpy(*ret_streams, found.items, found.count * sizeof(int64_t));
	list_fini(&found);
	return done;
}

/* ---- reading */

bool log_store_begin_reading(struct log_store *store, struct error *err)
{
	return database_execute(&store->database, store->begin_reading, err);
}

void log_store_end_reading(struct log_store *store)
{
	database_rollback(&store->database);
}

bool log_store_stream(struct log_store *store, int64_t stream, struct arena *arena, bool *ret_known,
		      struct log_stream_facts *ret_facts, struct error *err)
{
	sqlite3_bind_int64(store->stream, 1, stream);
	if (!database_step(&store->database, store->stream, ret_known, err))
		return false;
	if (!*ret_known)
		return true;
	*ret_facts = (struct log_stream_facts){.span = sqlite3_column_int64(store->stream, 3)};
	if (arena) {
		ret_facts->realm = arena_copy(arena, database_column(store->stream, 0));
		ret_facts->group = arena_copy(arena, database_column(store->stream, 1));
		ret_facts->name = arena_copy(arena, database_column(store->stream, 2));
	}
	sqlite3_reset(store->stream);
	return true;
}

bool log_store_rows(struct log_store *store, int64_t stream, int64_t first, int64_t number, bool backward,
		    struct log_row rows[LOG_ROWS_AT_ONCE], size_t *ret_count, struct error *err)
{
	sqlite3_stmt *statement = backward ? store->backward : store->forward;
	size_t count = 0;
	bool done, row;

	sqlite3_bind_int64(statement, 1, stream);
	sqlite3_bind_int64(statement, 2, first);
	sqlite3_bind_int64(statement, 3, number);
	sqlite3_bind_int64(statement, 4, LOG_ROWS_AT_ONCE);
	while ((done = database_step(&store->database, statement, &row, err)) && row)
		rows[count++] = (struct log_row){
			.number = sqlite3_column_int64(statement, 0), .stream = stream,
			.first = sqlite3_column_int64(statement, 1), .last = sqlite3_column_int64(statement, 2),
			.ingestion = sqlite3_column_int64(statement, 3)};
	*ret_count = count;
	return done;
}

bool log_store_row(struct log_store *store, int64_t number, struct log_row *ret_row, struct str *ret_bytes,
		   bool *ret_found, struct error *err)
{
	struct str bytes;
	char *copy;

	sqlite3_bind_int64(store->row, 1, number);
	if (!database_step(&store->database, store->row, ret_found, err))
		return false;
	if (!*ret_found)
		return true;
	*ret_row = (struct log_row){
		.number = number, .stream = sqlite3_column_int64(store->row, 0), .first = sqlite3_column_int64(store->row, 1),
		.last = sqlite3_column_int64(store->row, 2), .ingestion = sqlite3_column_int64(store->row, 3)};
	bytes = database_column(store->row, 4);
	copy = malloc(bytes.len + 1);
	if (!copy)
		abort();
	memcpy(copy, bytes.ptr, bytes.len);
	*ret_bytes = (struct str){copy, bytes.len};
	sqlite3_reset(store->row);
	return true;
}
