#include "store/newest.h"
#include <assert.h>
#include <stdlib.h>
#include <sys/random.h>

enum { KIND_BYTES = 4 };

void newest_init(struct newest *newest)
{
	*newest = (struct newest){0};
	/* Strangers name objects. Early in a boot there is no entropy yet, and no stranger either. */
	if (getrandom(&newest->rows.seed, sizeof(newest->rows.seed), GRND_NONBLOCK) < 0)
		newest->rows.seed = 0;
}

void newest_fini(struct newest *newest)
{
	map_fini(&newest->rows);
	arena_fini(&newest->arena);
	*newest = (struct newest){0};
}

struct str newest_name(struct newest *newest, uint32_t kind, struct str key)
{
	size_t len = KIND_BYTES + key.len;

	if (newest->scratch_size < len) {
		newest->scratch_size = len * 2;
		newest->scratch = arena_alloc_bytes(&newest->arena, newest->scratch_size);
	}
	for (int i = 0; i < KIND_BYTES; i++)
		newest->scratch[i] = (char)(kind >> (8 * (KIND_BYTES - 1 - i)));
	if (key.len)
		memcpy(newest->scratch + KIND_BYTES, key.ptr, key.len);
	return (struct str){newest->scratch, len};
}

void newest_note(struct newest *newest, struct str name, uint64_t seq, bool deleted)
{
	struct newest_row *row = map_get(&newest->rows, name);

	if (!row) {
		row = arena_new(&newest->arena, struct newest_row);
		row->name = arena_copy(&newest->arena, name);
		map_put(&newest->rows, row->name, row);
	}
	assert(seq > row->seq);
	row->seq = seq;
	row->deleted = deleted;
}

const struct newest_row *newest_find(const struct newest *newest, struct str name)
{
	return map_get(&newest->rows, name);
}

static int by_name(const void *a, const void *b)
{
	return str_compare((*(struct newest_row *const *)a)->name, (*(struct newest_row *const *)b)->name);
}

struct newest_row **newest_in_order(struct newest *newest)
{
	struct newest_row **order = arena_array(&newest->arena, struct newest_row *, newest->rows.count);
	size_t count = 0, cursor = 0;
	struct newest_row *row;

	while ((row = map_next(&newest->rows, &cursor)))
		order[count++] = row;
	assert(count == newest->rows.count);
	qsort(order, count, sizeof(struct newest_row *), by_name);
	return order;
}

uint32_t newest_kind(struct str name)
{
	uint32_t kind = 0;

	assert(name.len >= KIND_BYTES);
	for (int i = 0; i < KIND_BYTES; i++)
		kind = kind << 8 | (unsigned char)name.ptr[i];
	return kind;
}

struct str newest_key(struct str name)
{
	return str_slice(name, KIND_BYTES, name.len);
}
