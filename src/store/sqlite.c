#include "store/sqlite_store.h"
#include <assert.h>
#include <stdlib.h>
#include <unistd.h>
#include "store/database.h"
#include "store/directory.h"
#include "base/list.h"
#include "store/newest.h"

struct sqlite_store {
	struct store store;
	int lock;                                        /* -1: not held */
	struct database database;
	sqlite3_stmt *begin, *insert, *commit;
	struct fold *fold;
	uint64_t last_seq;                               /* 0: nothing was ever appended */
};

/* 8 KiB pages keep an object of 2 KB whole: `object` moves what exceeds a quarter of a page elsewhere. */
static const char page_size_sql[] = "PRAGMA page_size=8192; PRAGMA journal_mode=WAL";

static const char schema_sql[] =
	"BEGIN IMMEDIATE;"
	"CREATE TABLE meta(key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;"
	"CREATE TABLE journal(seq INTEGER PRIMARY KEY, kind INTEGER NOT NULL, key TEXT NOT NULL, value TEXT);"
	"CREATE TABLE object(kind INTEGER NOT NULL, key TEXT NOT NULL, value TEXT NOT NULL,"
	" PRIMARY KEY(kind, key)) WITHOUT ROWID;";

static struct sqlite_store *of(struct store *store)
{
	return CONTAINER_OF(store, struct sqlite_store, store);
}

/* Append */

static bool insert_changes(struct sqlite_store *self, const struct store_change *changes, size_t count,
			   struct error *err)
{
	struct database *database = &self->database;
	uint64_t seq = self->last_seq;

	if (!database_execute(database, self->begin, err))
		return false;
	for (size_t i = 0; i < count; i++) {
		sqlite3_bind_int64(self->insert, 1, (sqlite3_int64)++seq);
		sqlite3_bind_int64(self->insert, 2, changes[i].kind);
		database_bind_text(self->insert, 3, changes[i].key);
		database_bind_text(self->insert, 4, changes[i].value);
		if (!database_execute(database, self->insert, err))
			return false;
	}
	return database_execute(database, self->commit, err);
}

static bool sqlite_append(struct store *store, const struct store_change *changes, size_t count,
			  struct error *err)
{
	struct sqlite_store *self = of(store);
	bool done;

	if (!count)
		return true;
	if (!store_check(changes, count, err))
		return false;
	fold_take_turn(self->fold);
	done = insert_changes(self, changes, count, err);
	if (done)
		self->last_seq += count;
	else
		database_rollback(&self->database);
	fold_give_turn(self->fold, self->last_seq, self->database.wal_pages);
	return done;
}

/* Load */

struct load {
	struct database *database;
	struct newest newest;                            /* of the journal */
	store_visit *visit;
	void *arg;
};

/* Calls `take` for each row of a query. */
static bool each_row(struct load *load, const char *sql,
		     bool (*take)(struct load *load, sqlite3_stmt *row, struct error *err), struct error *err)
{
	sqlite3_stmt *statement;
	bool done, row;

	if (!database_prepare(load->database, sql, &statement, err))
		return false;
	while ((done = database_step(load->database, statement, &row, err)) && row)
		if (!(done = take(load, statement, err)))
			break;
	sqlite3_finalize(statement);
	return done;
}

static struct store_change change_of(sqlite3_stmt *row)
{
	return (struct store_change){(uint32_t)sqlite3_column_int64(row, 1), database_column(row, 2),
				     database_column(row, 3)};
}

static struct str name_of(struct load *load, const struct store_change *change)
{
	return newest_name(&load->newest, change->kind, change->key);
}

static bool take_note(struct load *load, sqlite3_stmt *row, struct error *err)
{
	struct store_change change = change_of(row);

	newest_note(&load->newest, name_of(load, &change), (uint64_t)sqlite3_column_int64(row, 0), false);
	return true;
}

static bool take_object(struct load *load, sqlite3_stmt *row, struct error *err)
{
	struct store_change change = change_of(row);

	if (load->newest.rows.count && newest_find(&load->newest, name_of(load, &change)))
		return true;
	return load->visit(load->arg, &change, err);
}

static bool take_journal(struct load *load, sqlite3_stmt *row, struct error *err)
{
	struct store_change change = change_of(row);
	const struct newest_row *newest = newest_find(&load->newest, name_of(load, &change));

	if (newest->seq != (uint64_t)sqlite3_column_int64(row, 0) || !str_has(change.value))
		return true;
	return load->visit(load->arg, &change, err);
}

static bool load_all(struct load *load, struct error *err)
{
	return each_row(load, "SELECT seq, kind, key, NULL FROM journal ORDER BY seq", take_note, err) &&
	       each_row(load, "SELECT 0, kind, key, value FROM object ORDER BY kind, key", take_object, err) &&
	       each_row(load, "SELECT seq, kind, key, value FROM journal ORDER BY seq", take_journal, err);
}

static bool sqlite_load(struct store *store, store_visit *visit, void *arg, struct error *err)
{
	struct database *database = &of(store)->database;
	struct load load = {.database = database, .visit = visit, .arg = arg};
	bool done;

	newest_init(&load.newest);
	/* One transaction: folding may go on, and is not seen. */
	done = database_run(database, "BEGIN", err) && load_all(&load, err);
	database_rollback(database);
	newest_fini(&load.newest);
	return done;
}

static bool sqlite_settle(struct store *store, struct error *err)
{
	return fold_settle(of(store)->fold, err);
}

static void sqlite_close(struct store *store)
{
	struct sqlite_store *self = of(store);

	fold_stop(self->fold);
	database_close(&self->database);
	if (self->lock >= 0)
		close(self->lock);
	free(self);
}

static const struct store_ops sqlite_ops = {
	.append = sqlite_append,
	.load = sqlite_load,
	.settle = sqlite_settle,
	.close = sqlite_close,
};

/* Open */

/* The one row of a query, while `statement` lives. */
static bool query(struct database *database, const char *sql, sqlite3_stmt **ret_statement, bool *ret_row,
		  struct error *err)
{
	sqlite3_stmt *statement;

	if (!database_prepare(database, sql, &statement, err))
		return false;
	if (!database_step(database, statement, ret_row, err)) {
		sqlite3_finalize(statement);
		return false;
	}
	*ret_statement = statement;
	return true;
}

static bool has_table(struct database *database, const char *condition, bool *ret_has, struct error *err)
{
	auto_arena arena = {0};
	struct str sql = arena_printf(&arena, "SELECT 1 FROM sqlite_schema WHERE %s", condition);
	sqlite3_stmt *statement;

	if (!query(database, arena_cstr(&arena, sql), &statement, ret_has, err))
		return false;
	sqlite3_finalize(statement);
	return true;
}

static bool make_tables(struct database *database, struct error *err)
{
	auto_arena arena = {0};
	struct str format = arena_printf(&arena, "INSERT INTO meta VALUES('format', '%d'); COMMIT", STORE_FORMAT);

	if (database_run(database, page_size_sql, err) && database_run(database, schema_sql, err) &&
	    database_run(database, arena_cstr(&arena, format), err))
		return true;
	database_rollback(database);
	return false;
}

static bool check_format(struct database *database, struct error *err)
{
	sqlite3_stmt *statement;
	int64_t format = 0;
	bool row;

	if (!query(database, "SELECT value FROM meta WHERE key = 'format'", &statement, &row, err))
		return false;
	if (row && !str_to_long(database_column(statement, 0), &format))
		format = 0;
	sqlite3_finalize(statement);
	if (format < 1)
		return fail(err, ERROR_CORRUPT, "'%s' is damaged: it does not say its format", database->path);
	if (format > STORE_FORMAT)
		return fail(err, ERROR_REFUSED,
			    "'%s' has format %lld, but this program knows formats up to %d: use the newer program",
			    database->path, (long long)format, STORE_FORMAT);
	return true;
}

static bool check_tables(struct database *database, struct error *err)
{
	bool any, meta;

	if (!has_table(database, "1", &any, err))
		return false;
	if (!any)
		return make_tables(database, err);
	if (!has_table(database, "type = 'table' AND name = 'meta'", &meta, err))
		return false;
	if (!meta)
		return fail(err, ERROR_CORRUPT, "'%s' is a database of another program", database->path);
	return check_format(database, err);
}

static bool find_journal(struct database *database, uint64_t *ret_first_seq, uint64_t *ret_last_seq,
			 struct error *err)
{
	sqlite3_stmt *statement;
	bool row;

	/* Two subqueries: each walks to one end of the table, min and max together would walk through it. */
	if (!query(database, "SELECT (SELECT min(seq) FROM journal), (SELECT max(seq) FROM journal)", &statement,
		   &row, err))
		return false;
	*ret_last_seq = (uint64_t)sqlite3_column_int64(statement, 1);
	*ret_first_seq = *ret_last_seq ? (uint64_t)sqlite3_column_int64(statement, 0) : 1;
	sqlite3_finalize(statement);
	return true;
}

/* SQLite stays with another journal when the file system cannot share memory; then folding's unsynced
 * transactions would not be safe. */
static bool use_log(struct database *database, struct error *err)
{
	sqlite3_stmt *statement;
	bool row, used;

	if (!query(database, "PRAGMA journal_mode=WAL", &statement, &row, err))
		return false;
	used = row && str_equal(database_column(statement, 0), S("wal"));
	sqlite3_finalize(statement);
	return used || fail(err, ERROR_REFUSED, "'%s' is on a file system without shared memory: use a local one",
			    database->path);
}

static bool prepare(struct sqlite_store *self, struct error *err)
{
	struct database *database = &self->database;

	return use_log(database, err) &&
	       database_run(database, "PRAGMA synchronous=FULL; PRAGMA journal_size_limit=67108864", err) &&
	       database_prepare(database, "BEGIN IMMEDIATE", &self->begin, err) &&
	       database_prepare(database, "COMMIT", &self->commit, err) &&
	       database_prepare(database, "INSERT INTO journal VALUES(?, ?, ?, ?)", &self->insert, err);
}

static bool open_database(struct sqlite_store *self, struct str path, const struct fold_policy *policy,
			  struct error *err)
{
	uint64_t first_seq;

	return database_open(&self->database, path, err) && check_tables(&self->database, err) &&
	       prepare(self, err) && find_journal(&self->database, &first_seq, &self->last_seq, err) &&
	       fold_start(path, policy, first_seq, self->last_seq, &self->fold, err);
}

bool store_open_sqlite_with(struct str directory, struct str name, const struct fold_policy *policy,
			    struct store **ret_store, struct error *err)
{
	auto_arena arena = {0};
	struct str path = arena_printf(&arena, "%.*s/%.*s", STR(directory), STR(name));
	struct sqlite_store *self = calloc(1, sizeof(*self));

	if (!self)
		abort();
	self->store.ops = &sqlite_ops;
	self->lock = -1;
	if (directory_make(directory, err) && directory_lock(directory, &self->lock, err) &&
	    directory_make_file(directory, arena_cstr(&arena, path), err) && open_database(self, path, policy, err)) {
		*ret_store = &self->store;
		return true;
	}
	sqlite_close(&self->store);
	return false;
}

bool store_open_sqlite(struct str directory, struct str name, struct store **ret_store, struct error *err)
{
	return store_open_sqlite_with(directory, name, &fold_policy_default, ret_store, err);
}
