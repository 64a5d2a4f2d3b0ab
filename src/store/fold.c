#include "store/fold.h"
#include <assert.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <time.h>
#include "store/database.h"
#include "store/newest.h"

enum {
	ROWS_BETWEEN_LOOKS = 16,                         /* objects written before looking at the clock */
	DELETES_BETWEEN_LOOKS = 256,
	REST_FOR_EACH_SLICE = 4,                         /* folding takes a fifth of the time of busy appends */
	CHECKPOINT_ROUNDS = 3,
	CHECKPOINT_REST_PAGES = 256,                     /* few enough to copy while appends wait */
};

const struct fold_policy fold_policy_default = {
	.start_rows = 65536,
	.window_rows = 131072,
	.crowded_rows = 524288,
	.slice_usec = 2 * USEC_PER_MSEC,
	.idle_usec = USEC_PER_SEC,
	.retry_usec = USEC_PER_SEC,
	.wal_pages = 4096,
};

struct fold {
	struct fold_policy policy;
	pthread_t thread;

	struct database database;                        /* the thread's own, as are the statements */
	sqlite3_stmt *begin, *commit, *read, *write, *forget, *delete;

	/* Held by whoever writes. What stands below it is read and changed only in a turn. */
	pthread_mutex_t turn;
	pthread_cond_t changed;                          /* wakes the thread */
	pthread_cond_t settled;                          /* wakes fold_settle */
	uint64_t first_seq, last_seq, appends;
	int wal_pages, copied_pages;                     /* in the log; of them back in the database */
	bool stop;
	unsigned settling;
	uint64_t failures;
	struct error error;                              /* of the last failure */

	atomic_uint waiting;                             /* appends that want a turn */
};

/* A part of the journal on its way into objects. Also what one turn works on. */
struct window {
	struct newest newest;
	struct newest_row **order;
	size_t written;
	uint64_t last_seq;
};

static usec monotonic_now(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * USEC_PER_SEC + now.tv_nsec / 1000;
}

static void wait_until(struct fold *fold, usec deadline)
{
	struct timespec at = {deadline / USEC_PER_SEC, deadline % USEC_PER_SEC * 1000};

	pthread_cond_timedwait(&fold->changed, &fold->turn, &at);
}

static uint64_t pending_rows(const struct fold *fold)
{
	assert(fold->first_seq <= fold->last_seq + 1);
	return fold->last_seq + 1 - fold->first_seq;
}

static bool is_settled(const struct fold *fold)
{
	return pending_rows(fold) == 0 && fold->wal_pages <= fold->copied_pages;
}

static bool log_is_long(const struct fold *fold)
{
	return fold->wal_pages - fold->copied_pages >= fold->policy.wal_pages;
}

static bool is_urgent(const struct fold *fold)
{
	return fold->stop || fold->settling || pending_rows(fold) >= fold->policy.start_rows ||
	       log_is_long(fold);
}

static void note_log(struct fold *fold, int wal_pages)
{
	/* A log that is shorter than what was copied back has begun anew. */
	if (wal_pages < fold->wal_pages)
		fold->copied_pages = 0;
	fold->wal_pages = wal_pages;
}

/* Turns of the appender */

void fold_take_turn(struct fold *fold)
{
	atomic_fetch_add(&fold->waiting, 1);
	pthread_mutex_lock(&fold->turn);
	atomic_fetch_sub(&fold->waiting, 1);
}

void fold_give_turn(struct fold *fold, uint64_t last_seq, int wal_pages)
{
	bool was_empty = pending_rows(fold) == 0;

	assert(last_seq >= fold->last_seq);
	fold->appends += last_seq > fold->last_seq;
	fold->last_seq = last_seq;
	note_log(fold, wal_pages);
	if (was_empty || is_urgent(fold))
		pthread_cond_signal(&fold->changed);
	pthread_mutex_unlock(&fold->turn);
}

/* Turns of folding */

static bool slice_is_over(struct fold *fold, usec began)
{
	return atomic_load(&fold->waiting) || monotonic_now() - began >= fold->policy.slice_usec;
}

static bool write_row(struct fold *fold, const struct newest_row *row, struct error *err)
{
	if (!row->deleted) {
		sqlite3_bind_int64(fold->write, 1, (sqlite3_int64)row->seq);
		return database_execute(&fold->database, fold->write, err);
	}
	sqlite3_bind_int64(fold->forget, 1, newest_kind(row->name));
	database_bind_text(fold->forget, 2, newest_key(row->name));
	return database_execute(&fold->database, fold->forget, err);
}

static bool write_objects(struct fold *fold, struct window *window, struct error *err)
{
	size_t count = window->newest.rows.count;
	usec began = monotonic_now();

	for (size_t i = 1; window->written < count; i++, window->written++) {
		if (!write_row(fold, window->order[window->written], err))
			return false;
		if (i % ROWS_BETWEEN_LOOKS == 0 && slice_is_over(fold, began)) {
			window->written++;
			break;
		}
	}
	return true;
}

/* Oldest first: what is left of the journal then has the last word on all it speaks of. */
static bool delete_rows(struct fold *fold, struct window *window, struct error *err)
{
	usec began = monotonic_now();
	uint64_t next = fold->first_seq;

	do {
		next = MIN(next + DELETES_BETWEEN_LOOKS, window->last_seq + 1);
		sqlite3_bind_int64(fold->delete, 1, (sqlite3_int64)next);
		if (!database_execute(&fold->database, fold->delete, err))
			return false;
	} while (next <= window->last_seq && !slice_is_over(fold, began));
	if (!database_execute(&fold->database, fold->commit, err))
		return false;
	fold->first_seq = next;
	return true;
}

static bool work_in_turn(struct fold *fold, struct window *window, struct error *err)
{
	if (!database_execute(&fold->database, fold->begin, err))
		return false;
	if (window->written == window->newest.rows.count)
		return delete_rows(fold, window, err);
	return write_objects(fold, window, err) && database_execute(&fold->database, fold->commit, err);
}

/* Lets appends through: a while when they are busy, one when the journal is crowded. */
static void rest(struct fold *fold, usec worked, bool busy)
{
	usec deadline = monotonic_now() + worked * REST_FOR_EACH_SLICE;

	if (pending_rows(fold) >= fold->policy.crowded_rows) {
		if (atomic_load(&fold->waiting))
			wait_until(fold, deadline);
		return;
	}
	if (!busy && !atomic_load(&fold->waiting))
		return;
	while (!fold->stop && !fold->settling && monotonic_now() < deadline)
		wait_until(fold, deadline);
}

/* One turn and the rest after it; `*appends` is how many there were by the last one. */
static bool take_slice(struct fold *fold, struct window *window, uint64_t *appends, struct error *err)
{
	usec began;
	bool done, busy;

	pthread_mutex_lock(&fold->turn);
	began = monotonic_now();
	done = work_in_turn(fold, window, err);
	if (!done)
		database_rollback(&fold->database);
	else
		note_log(fold, fold->database.wal_pages);
	busy = fold->appends != *appends;
	*appends = fold->appends;
	rest(fold, monotonic_now() - began, busy);
	pthread_mutex_unlock(&fold->turn);
	return done;
}

static bool read_window(struct fold *fold, struct window *window, struct error *err)
{
	sqlite3_stmt *read = fold->read;
	bool row;

	sqlite3_bind_int64(read, 1, (sqlite3_int64)fold->policy.window_rows);
	for (;;) {
		if (!database_step(&fold->database, read, &row, err))
			return false;
		if (!row)
			break;
		window->last_seq = (uint64_t)sqlite3_column_int64(read, 0);
		newest_note(&window->newest,
			    newest_name(&window->newest, (uint32_t)sqlite3_column_int64(read, 1),
					database_column(read, 2)),
			    window->last_seq, sqlite3_column_int(read, 3));
	}
	window->order = newest_in_order(&window->newest);
	return true;
}

static void peek(struct fold *fold, uint64_t *ret_first_seq, bool *ret_stop, bool *ret_long)
{
	pthread_mutex_lock(&fold->turn);
	*ret_first_seq = fold->first_seq;
	*ret_stop = fold->stop;
	*ret_long = log_is_long(fold);
	pthread_mutex_unlock(&fold->turn);
}

/* Copies the log back and, in a turn, its last pages, so that the next commit begins it anew. */
static bool checkpoint(struct fold *fold, struct error *err)
{
	sqlite3 *connection = fold->database.connection;
	int pages = 0, copied = 0, left = INT32_MAX;
	bool done = true;

	for (int round = 0; done && round < CHECKPOINT_ROUNDS && left > CHECKPOINT_REST_PAGES; round++) {
		done = sqlite3_wal_checkpoint_v2(connection, NULL, SQLITE_CHECKPOINT_PASSIVE, &pages, &copied) ==
		       SQLITE_OK;
		pthread_mutex_lock(&fold->turn);
		left = fold->wal_pages - copied;
		pthread_mutex_unlock(&fold->turn);
	}
	if (!done)
		return database_fail(&fold->database, err);
	pthread_mutex_lock(&fold->turn);
	done = sqlite3_wal_checkpoint_v2(connection, NULL, SQLITE_CHECKPOINT_PASSIVE, &pages, &copied) ==
	       SQLITE_OK;
	/* A reader elsewhere can keep pages back; try again when as many have come as make the log long. */
	if (done)
		fold->copied_pages = fold->wal_pages = MAX(pages, 0);
	pthread_mutex_unlock(&fold->turn);
	return done || database_fail(&fold->database, err);
}

static bool fold_window(struct fold *fold, struct window *window, struct error *err)
{
	uint64_t first_seq, appends = 0;
	bool stop, is_long;

	if (!read_window(fold, window, err))
		return false;
	for (;;) {
		peek(fold, &first_seq, &stop, &is_long);
		if (stop || window->last_seq < first_seq)
			return true;
		if (is_long && !checkpoint(fold, err))
			return false;
		if (!take_slice(fold, window, &appends, err))
			return false;
	}
}

static bool fold_once(struct fold *fold, struct error *err)
{
	struct window window = {0};
	bool done;

	newest_init(&window.newest);
	done = fold_window(fold, &window, err);
	newest_fini(&window.newest);
	return done && checkpoint(fold, err);
}

/* False when it is time to stop. */
static bool wait_for_work(struct fold *fold)
{
	uint64_t appends;
	usec deadline;

	while (!is_urgent(fold)) {
		if (pending_rows(fold) == 0) {
			pthread_cond_wait(&fold->changed, &fold->turn);
			continue;
		}
		appends = fold->appends;
		deadline = monotonic_now() + fold->policy.idle_usec;
		while (!is_urgent(fold) && monotonic_now() < deadline)
			wait_until(fold, deadline);
		if (fold->appends == appends)
			break;
	}
	return !fold->stop;
}

static void note_failure(struct fold *fold, const struct error *err)
{
	usec deadline = monotonic_now() + fold->policy.retry_usec;

	fold->failures++;
	fold->error = *err;
	pthread_cond_broadcast(&fold->settled);
	while (!fold->stop && !fold->settling && monotonic_now() < deadline)
		wait_until(fold, deadline);
}

static void *fold_loop(void *arg)
{
	struct fold *fold = arg;
	struct error err;

	pthread_mutex_lock(&fold->turn);
	while (wait_for_work(fold)) {
		bool done;

		pthread_mutex_unlock(&fold->turn);
		done = fold_once(fold, &err);
		pthread_mutex_lock(&fold->turn);
		if (!done)
			note_failure(fold, &err);
		else if (is_settled(fold))
			pthread_cond_broadcast(&fold->settled);
	}
	pthread_mutex_unlock(&fold->turn);
	return NULL;
}

bool fold_settle(struct fold *fold, struct error *err)
{
	uint64_t failures;
	bool done;

	pthread_mutex_lock(&fold->turn);
	failures = fold->failures;
	fold->settling++;
	pthread_cond_signal(&fold->changed);
	while (!is_settled(fold) && fold->failures == failures)
		pthread_cond_wait(&fold->settled, &fold->turn);
	fold->settling--;
	done = is_settled(fold);
	if (!done && err)
		*err = fold->error;
	pthread_mutex_unlock(&fold->turn);
	return done;
}

/* Lifecycle */

static bool prepare(struct fold *fold, struct error *err)
{
	struct database *database = &fold->database;

	/* NORMAL: a fold that a power cut undoes is done again. Appends sync the log they share. */
	return database_run(database, "PRAGMA synchronous=NORMAL", err) &&
	       database_prepare(database, "BEGIN IMMEDIATE", &fold->begin, err) &&
	       database_prepare(database, "COMMIT", &fold->commit, err) &&
	       database_prepare(database, "SELECT seq, kind, key, typeof(value) = 'null' FROM journal"
					  " ORDER BY seq LIMIT ?", &fold->read, err) &&
	       database_prepare(database, "REPLACE INTO object SELECT kind, key, value FROM journal"
					  " WHERE seq = ?", &fold->write, err) &&
	       database_prepare(database, "DELETE FROM object WHERE kind = ? AND key = ?", &fold->forget,
				err) &&
	       database_prepare(database, "DELETE FROM journal WHERE seq < ?", &fold->delete, err);
}

static void init_turn(struct fold *fold)
{
	pthread_condattr_t monotonic;

	pthread_mutex_init(&fold->turn, NULL);
	pthread_condattr_init(&monotonic);
	pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
	pthread_cond_init(&fold->changed, &monotonic);
	pthread_cond_init(&fold->settled, &monotonic);
	pthread_condattr_destroy(&monotonic);
}

static void fold_free(struct fold *fold)
{
	database_close(&fold->database);
	pthread_cond_destroy(&fold->settled);
	pthread_cond_destroy(&fold->changed);
	pthread_mutex_destroy(&fold->turn);
	free(fold);
}

bool fold_start(struct str path, const struct fold_policy *policy, uint64_t first_seq, uint64_t last_seq,
		struct fold **ret_fold, struct error *err)
{
	struct fold *fold = calloc(1, sizeof(*fold));
	bool ready;
	int reason;

	if (!fold)
		abort();
	fold->policy = *policy;
	fold->first_seq = first_seq;
	fold->last_seq = last_seq;
	init_turn(fold);
	ready = database_open(&fold->database, path, err) && prepare(fold, err);
	if (ready && (reason = pthread_create(&fold->thread, NULL, fold_loop, fold)))
		ready = fail_os(err, reason, "start the thread that folds '%.*s'", STR(path));
	if (!ready) {
		fold_free(fold);
		return false;
	}
	*ret_fold = fold;
	return true;
}

void fold_stop(struct fold *fold)
{
	if (!fold)
		return;
	pthread_mutex_lock(&fold->turn);
	fold->stop = true;
	pthread_cond_signal(&fold->changed);
	pthread_mutex_unlock(&fold->turn);
	pthread_join(fold->thread, NULL);
	fold_free(fold);
}
