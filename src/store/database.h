/* database.h - SQLite made polite: one connection, errors as this project says them.
 *
 * A connection is used by one thread at a time. It never checkpoints by itself: folding does. */
#pragma once
#include <sqlite3.h>
#include "base/arena.h"
#include "base/error.h"

struct database {
	sqlite3 *connection;
	struct arena arena;
	const char *path;
	int wal_pages;                                   /* in the write-ahead log after our last commit */
};

bool database_open(struct database *database, struct str path, struct error *err);
void database_close(struct database *database);      /* its statements are finalized, too; safe when zeroed */

bool database_run(struct database *database, const char *sql, struct error *err);
bool database_prepare(struct database *database, const char *sql, sqlite3_stmt **ret_statement,
		      struct error *err);
/* One step; `*ret_row` says whether it gave a row. A statement that gave none, or failed, is reset. */
bool database_step(struct database *database, sqlite3_stmt *statement, bool *ret_row, struct error *err);
/* Runs a statement that gives no rows. */
bool database_execute(struct database *database, sqlite3_stmt *statement, struct error *err);
void database_rollback(struct database *database);   /* nothing when no transaction is open */

/* What the connection's last failure means: full disk, damage, a lock, an I/O error. */
bool database_fail(struct database *database, struct error *err);

void database_bind_text(sqlite3_stmt *statement, int index, struct str text);    /* borrowed until reset */
struct str database_column(sqlite3_stmt *statement, int column);         /* good until the next step */
