#include "base/map.h"
#include <assert.h>
#include <stdlib.h>

/* Open addressing with linear probing and backward-shift deletion: no tombstones. */
struct map_slot {
	struct str key;
	void *value;                                     /* NULL: free */
	uint64_t hash;
};

void map_fini(struct map *map)
{
	free(map->slots);
	map->slots = NULL;
	map->count = map->capacity = 0;
}

static struct map_slot *find(const struct map *map, struct str key, uint64_t hash)
{
	size_t mask = map->capacity - 1;

	for (size_t i = hash & mask;; i = (i + 1) & mask) {
		struct map_slot *slot = &map->slots[i];

		if (!slot->value || (slot->hash == hash && str_equal(slot->key, key)))
			return slot;
	}
}

static void grow(struct map *map)
{
	struct map old = *map;

	map->capacity = old.capacity ? old.capacity * 2 : 16;
	map->slots = calloc(map->capacity, sizeof(*map->slots));
	if (!map->slots)
		abort();
	for (size_t i = 0; i < old.capacity; i++)
		if (old.slots[i].value)
			*find(map, old.slots[i].key, old.slots[i].hash) = old.slots[i];
	free(old.slots);
}

void *map_get(const struct map *map, struct str key)
{
	return map->count ? find(map, key, str_hash(key, map->seed))->value : NULL;
}

void *map_put(struct map *map, struct str key, void *value)
{
	uint64_t hash = str_hash(key, map->seed);
	struct map_slot *slot;
	void *old;

	assert(value);
	if (map->count * 4 >= map->capacity * 3)
		grow(map);
	slot = find(map, key, hash);
	old = slot->value;
	map->count += !old;
	*slot = (struct map_slot){key, value, hash};
	return old;
}

void *map_remove(struct map *map, struct str key)
{
	size_t mask = map->capacity - 1, hole, next;
	struct map_slot *slot;
	void *old;

	if (!map->count)
		return NULL;
	slot = find(map, key, str_hash(key, map->seed));
	old = slot->value;
	if (!old)
		return NULL;
	map->count--;
	hole = (size_t)(slot - map->slots);
	for (next = (hole + 1) & mask; map->slots[next].value; next = (next + 1) & mask) {
		size_t home = map->slots[next].hash & mask;

		/* Move back unless its home lies cyclically in (hole, next]. */
		if (((next - home) & mask) < ((next - hole) & mask))
			continue;
		map->slots[hole] = map->slots[next];
		hole = next;
	}
	map->slots[hole].value = NULL;
	return old;
}

void *map_next(const struct map *map, size_t *cursor)
{
	while (*cursor < map->capacity) {
		void *value = map->slots[(*cursor)++].value;

		if (value)
			return value;
	}
	return NULL;
}
