/* heap.h - the smallest first: timers and scores.
 *
 * A binary heap of nodes embedded in what they rank. The owner keeps `before` strict and total.
 * A zeroed node is in no heap; heap_fix re-ranks one whose rank changed. */
#pragma once
#include <stdbool.h>
#include <stddef.h>

struct heap_node {
	size_t position;                                 /* 1-based; 0: in no heap */
};

struct heap {
	struct heap_node **nodes;
	size_t count, capacity;
	bool (*before)(const struct heap_node *a, const struct heap_node *b);
};

void heap_fini(struct heap *heap);
void heap_add(struct heap *heap, struct heap_node *node);
void heap_remove(struct heap *heap, struct heap_node *node);     /* ignores a node that is in no heap */
void heap_fix(struct heap *heap, struct heap_node *node);
static inline struct heap_node *heap_first(const struct heap *heap)
{
	return heap->count ? heap->nodes[0] : NULL;
}
