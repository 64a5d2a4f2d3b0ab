#include "store/database.h"
#include <assert.h>
#include <errno.h>

/* Only a person's `sqlite3` can hold a lock against us; wait for short commands of theirs. */
enum { BUSY_MSEC = 5000 };

static int count_pages(void *arg, sqlite3 *connection, const char *name, int pages)
{
	struct database *database = arg;

	database->wal_pages = pages;
	return SQLITE_OK;
}

bool database_open(struct database *database, struct str path, struct error *err)
{
	int flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX;

	*database = (struct database){0};
	database->path = arena_cstr(&database->arena, path);
	if (sqlite3_open_v2(database->path, &database->connection, flags, NULL) != SQLITE_OK) {
		database_fail(database, err);
		database_close(database);
		return false;
	}
	sqlite3_extended_result_codes(database->connection, 1);
	sqlite3_busy_timeout(database->connection, BUSY_MSEC);
	sqlite3_wal_hook(database->connection, count_pages, database);
	return true;
}

void database_close(struct database *database)
{
	sqlite3_stmt *statement;

	while (database->connection && (statement = sqlite3_next_stmt(database->connection, NULL)))
		sqlite3_finalize(statement);
	sqlite3_close(database->connection);
	arena_fini(&database->arena);
	*database = (struct database){0};
}

bool database_fail(struct database *database, struct error *err)
{
	const char *path = database->path, *text = sqlite3_errmsg(database->connection);
	int os = sqlite3_system_errno(database->connection);

	switch (sqlite3_errcode(database->connection) & 0xff) {
	case SQLITE_FULL:
		return fail_os(err, ENOSPC, "write '%s'", path);
	case SQLITE_CORRUPT:
	case SQLITE_NOTADB:
		return fail(err, ERROR_CORRUPT, "'%s' is damaged: %s", path, text);
	case SQLITE_BUSY:
		return fail(err, ERROR_REFUSED, "'%s' is locked by another program", path);
	case SQLITE_IOERR:
	case SQLITE_CANTOPEN:
		/* SQLite keeps no errno of a failed commit. */
		return fail_os(err, os ? os : EIO, "access '%s'", path);
	default:
		return fail(err, ERROR_OS, "'%s': %s", path, text);
	}
}

bool database_run(struct database *database, const char *sql, struct error *err)
{
	return sqlite3_exec(database->connection, sql, NULL, NULL, NULL) == SQLITE_OK ||
	       database_fail(database, err);
}

bool database_prepare(struct database *database, const char *sql, sqlite3_stmt **ret_statement,
		      struct error *err)
{
	return sqlite3_prepare_v3(database->connection, sql, -1, SQLITE_PREPARE_PERSISTENT, ret_statement,
				  NULL) == SQLITE_OK ||
	       database_fail(database, err);
}

bool database_step(struct database *database, sqlite3_stmt *statement, bool *ret_row, struct error *err)
{
	int code = sqlite3_step(statement);

	if (code == SQLITE_ROW || code == SQLITE_DONE) {
		*ret_row = code == SQLITE_ROW;
		if (code == SQLITE_DONE)
			sqlite3_reset(statement);
		return true;
	}
	database_fail(database, err);
	sqlite3_reset(statement);
	return false;
}

bool database_execute(struct database *database, sqlite3_stmt *statement, struct error *err)
{
	bool row;

	if (!database_step(database, statement, &row, err))
		return false;
	assert(!row);
	return true;
}

void database_rollback(struct database *database)
{
	if (!sqlite3_get_autocommit(database->connection))
		sqlite3_exec(database->connection, "ROLLBACK", NULL, NULL, NULL);
}

void database_bind_text(sqlite3_stmt *statement, int index, struct str text)
{
	int code = str_has(text) ? sqlite3_bind_text64(statement, index, text.ptr, text.len, SQLITE_STATIC,
						       SQLITE_UTF8)
				 : sqlite3_bind_null(statement, index);

	assert(code == SQLITE_OK);
}

struct str database_column(sqlite3_stmt *statement, int column)
{
	const char *bytes;

	if (sqlite3_column_type(statement, column) == SQLITE_NULL)
		return STR_NONE;
	/* As a blob: SQLite would copy text to put a NUL behind it. */
	bytes = sqlite3_column_blob(statement, column);
	return (struct str){bytes ? bytes : "", (size_t)sqlite3_column_bytes(statement, column)};
}
