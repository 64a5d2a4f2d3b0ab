/* sqlite_store.h - the SQLite store with a folding policy of one's own, for tests that want it hurried. */
#pragma once
#include "store/fold.h"
#include "store/store.h"

bool store_open_sqlite_with(struct str directory, struct str name, const struct fold_policy *policy,
			    struct store **ret_store, struct error *err);
