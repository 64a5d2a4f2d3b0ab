/* map.h - finding things by name.
 *
 * A hash map from a slice to a pointer. Keys and values are borrowed: the entry they belong to must
 * outlive its place in the map. Zeroed is empty; set `seed` when strangers choose the keys. */
#pragma once
#include "base/str.h"

struct map_slot;

struct map {
	struct map_slot *slots;
	size_t count, capacity;                          /* capacity: a power of two, or 0 */
	uint64_t seed;
};

void map_fini(struct map *map);
void *map_get(const struct map *map, struct str key);            /* NULL when absent */
void *map_put(struct map *map, struct str key, void *value);     /* gives what stood there, or NULL */
void *map_remove(struct map *map, struct str key);               /* gives what stood there, or NULL */

/* Visits all values in no order: start with *cursor = 0; NULL at the end. Do not change the map meanwhile. */
void *map_next(const struct map *map, size_t *cursor);
