/* store.h - what must not be forgotten.
 *
 * A store keeps the newest value of each object, by kind and key, and takes changes in batches: when
 * `append` returns, every change of the batch is on disk, in order; when it fails, none is. The journal
 * is folded into objects in the background; recovery reads the objects, then the journal's tail.
 *
 * One thread appends, loads, settles and closes. Values are JSON text (wire/json.h by api/state.api or
 * api/agent.api), so `sqlite3 wherry.db` shows what is there. */
#pragma once
#include "base/error.h"
#include "base/str.h"

/* Raised when records change in a way that an older program would misread. */
enum { STORE_FORMAT = 1 };

enum {
	STORE_KEY_BYTES_LIMIT = 4096,
	STORE_VALUE_BYTES_LIMIT = 64 << 20,
};

struct store_change {
	uint32_t kind;
	struct str key;
	struct str value;                                /* absent: the object is deleted */
};

struct store;

typedef bool store_visit(void *arg, const struct store_change *change, struct error *err);

struct store_ops {
	/* After a failure (a full disk) the store is as before, and a later append may succeed. */
	bool (*append)(struct store *store, const struct store_change *changes, size_t count, struct error *err);
	/* Visits each object there is once, with its newest value: those that the journal's tail does not
	 * speak of in order of (kind, key), then the others in order of their last change. Slices are good
	 * during the visit; `visit` must not call the store, and ends the load when it returns false. */
	bool (*load)(struct store *store, store_visit *visit, void *arg, struct error *err);
	/* Waits until background work is done, or says why it cannot be. For tests, and before a backup. */
	bool (*settle)(struct store *store, struct error *err);
	void (*close)(struct store *store);
};

struct store {
	const struct store_ops *ops;
};

/* Opens or makes DIR/`name` ("wherry.db") and holds DIR/lock. Fails clearly when another process uses the
 * directory, when the store was written by a newer format, or when it is damaged. Folding runs on a
 * thread of its own. */
bool store_open_sqlite(struct str directory, struct str name, struct store **ret_store, struct error *err);

/* In memory, for tests and the simulator: what `append` has taken outlives any crash of the caller.
 * `store_memory_fail_next` makes the next append fail, as a full disk (ENOSPC) would. */
struct store *store_open_memory(void);
void store_memory_fail_next(struct store *store, int os_error);

/* Common to all kinds of store: names and sizes within the limits. */
bool store_check(const struct store_change *changes, size_t count, struct error *err);

static inline bool store_append(struct store *store, const struct store_change *changes, size_t count,
				struct error *err)
{
	return store->ops->append(store, changes, count, err);
}

static inline bool store_load(struct store *store, store_visit *visit, void *arg, struct error *err)
{
	return store->ops->load(store, visit, arg, err);
}

static inline bool store_settle(struct store *store, struct error *err)
{
	return store->ops->settle(store, err);
}

static inline void store_close(struct store *store)
{
	if (store)
		store->ops->close(store);
}
