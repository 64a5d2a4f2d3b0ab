/* scratch.h - a store in a directory of its own, and a naive twin to compare it with. */
#pragma once
#include "base/random.h"
#include "store/sqlite_store.h"
#include "test/test.h"

enum { TWIN_KINDS = 3, TWIN_KEYS = 60, TWIN_BATCH_LIMIT = 40 };

struct twin {
	struct str values[TWIN_KINDS][TWIN_KEYS];        /* absent: no such object */
};

/* Folds all the time, in turns as short as they get. */
extern const struct fold_policy hurried;

char *say(struct arena *arena, const char *format, ...) PRINTF_LIKE(2, 3);      /* C text */
char *scratch_make(struct arena *arena);                         /* a directory that is not there yet */
void scratch_remove(const char *directory);                      /* with the files in it */
struct str scratch_path(struct arena *arena, const char *directory, const char *name);
struct store *scratch_open(const char *directory, const struct fold_policy *policy);

/* The `number`-th batch of a run: the same for the same number, applied to the twin. */
size_t twin_batch(struct twin *twin, uint64_t number, struct arena *arena, struct store_change *changes);
/* Loads and compares; NULL when all is as in the twin, or what is not. */
const char *twin_differs(const struct twin *twin, struct store *store, struct arena *arena);
/* Which batch a store saw last: each writes its number. 0 when none. */
uint64_t twin_last_batch(struct store *store);
