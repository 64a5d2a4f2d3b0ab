#include "base/heap.h"
#include <assert.h>
#include <stdlib.h>
#include "base/list.h"

void heap_fini(struct heap *heap)
{
	free(heap->nodes);
	heap->nodes = NULL;
	heap->count = heap->capacity = 0;
}

static void place(struct heap *heap, size_t index, struct heap_node *node)
{
	heap->nodes[index] = node;
	node->position = index + 1;
}

static void sift_up(struct heap *heap, size_t index)
{
	struct heap_node *node = heap->nodes[index];

	while (index > 0) {
		size_t parent = (index - 1) / 2;

		if (!heap->before(node, heap->nodes[parent]))
			break;
		place(heap, index, heap->nodes[parent]);
		index = parent;
	}
	place(heap, index, node);
}

static void sift_down(struct heap *heap, size_t index)
{
	struct heap_node *node = heap->nodes[index];

	for (;;) {
		size_t child = 2 * index + 1;

		if (child >= heap->count)
			break;
		if (child + 1 < heap->count && heap->before(heap->nodes[child + 1], heap->nodes[child]))
			child++;
		if (!heap->before(heap->nodes[child], node))
			break;
		place(heap, index, heap->nodes[child]);
		index = child;
	}
	place(heap, index, node);
}

void heap_add(struct heap *heap, struct heap_node *node)
{
	assert(node->position == 0);
	heap->nodes = list_grow(heap->nodes, &heap->capacity, heap->count + 1, sizeof(*heap->nodes));
	heap->nodes[heap->count] = node;
	sift_up(heap, heap->count++);
}

void heap_remove(struct heap *heap, struct heap_node *node)
{
	size_t index = node->position - 1;

	if (node->position == 0)
		return;
	assert(index < heap->count && heap->nodes[index] == node);
	node->position = 0;
	if (index == --heap->count)
		return;
	place(heap, index, heap->nodes[heap->count]);
	heap_fix(heap, heap->nodes[index]);
}

void heap_fix(struct heap *heap, struct heap_node *node)
{
	size_t index = node->position - 1;

	assert(node->position > 0);
	sift_up(heap, index);
	sift_down(heap, node->position - 1);
}
