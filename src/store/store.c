#include "store/store.h"
#include <assert.h>

bool store_check(const struct store_change *changes, size_t count, struct error *err)
{
	for (size_t i = 0; i < count; i++) {
		const struct store_change *change = &changes[i];

		assert(str_has(change->key));
		if (change->key.len > STORE_KEY_BYTES_LIMIT)
			return fail(err, ERROR_LIMIT_EXCEEDED, "a key of %zu bytes is longer than %d: '%.60s…'",
				    change->key.len, STORE_KEY_BYTES_LIMIT, change->key.ptr);
		if (change->value.len > STORE_VALUE_BYTES_LIMIT)
			return fail(err, ERROR_LIMIT_EXCEEDED, "the value of '%.*s' has %zu bytes, more than %d",
				    (int)MIN(change->key.len, 200), change->key.ptr, change->value.len,
				    STORE_VALUE_BYTES_LIMIT);
	}
	return true;
}
