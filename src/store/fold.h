/* fold.h - the journal becomes objects while nobody waits.
 *
 * A thread with its own connection takes a window of the journal's oldest rows, writes the newest value
 * of each object in it into `object`, then deletes the window's rows: many changes of one object cost
 * one write. It works in short transactions, because SQLite has one writer at a time and appending
 * goes first: both threads write only in their turn, and folding gives its turn up when an append waits.
 *
 * Folding may stop anywhere. Objects may then be newer than the window's first rows, never older than
 * what was deleted, and the journal has the last word; so a fold that is begun again does no harm, and
 * its transactions need no sync of their own. */
#pragma once
#include "base/error.h"
#include "base/str.h"
#include "base/time.h"

struct fold_policy {
	uint64_t start_rows;                             /* folding begins when the journal is this long */
	uint64_t window_rows;                            /* at most this many at once: bounds its memory */
	uint64_t crowded_rows;                           /* from here it takes every second turn */
	usec slice_usec;                                 /* longest turn of folding */
	usec idle_usec;                                  /* without appends: fold whatever there is */
	usec retry_usec;                                 /* after a failure, such as a full disk */
	int wal_pages;                                   /* checkpoint when this many are not copied back */
};

extern const struct fold_policy fold_policy_default;

struct fold;

/* The journal holds [first_seq, last_seq]; it is empty when first_seq is last_seq + 1. */
bool fold_start(struct str path, const struct fold_policy *policy, uint64_t first_seq, uint64_t last_seq,
		struct fold **ret_fold, struct error *err);
void fold_stop(struct fold *fold);                   /* ends the turn it has, no more; NULL is fine */

/* Around every write of the appender; `last_seq` and `wal_pages` as they are after it. */
void fold_take_turn(struct fold *fold);
void fold_give_turn(struct fold *fold, uint64_t last_seq, int wal_pages);

/* Waits until the journal is empty and the write-ahead log copied back, or gives the failure of the try. */
bool fold_settle(struct fold *fold, struct error *err);
