/* list.h - growing arrays and intrusive chains.
 *
 * LIST_OF(type) is a heap array: zeroed is empty; list_fini frees the array, not what it points to.
 * A `struct link` is embedded in what it chains; a zeroed link is in no chain. */
#pragma once
#include <assert.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#define LIST_OF(type) struct { type *items; size_t count, capacity; }

void *list_grow(void *items, size_t *capacity, size_t wanted, size_t size);

/* Appends a zeroed item and gives its address; valid until the next push. */
#define list_push(list) \
	((list)->items = list_grow((list)->items, &(list)->capacity, (list)->count + 1, \
				   sizeof(*(list)->items)), \
	 memset(&(list)->items[(list)->count], 0, sizeof(*(list)->items)), \
	 &(list)->items[(list)->count++])
#define list_add(list, value) ((void)(*list_push(list) = (value)))
#define list_remove_at(list, index) \
	(memmove(&(list)->items[index], &(list)->items[(index) + 1], \
		 (--(list)->count - (index)) * sizeof(*(list)->items)))
#define list_fini(list) (free((list)->items), memset((list), 0, sizeof(*(list))))

struct link {
	struct link *prev, *next;
};

/* A chain is a link of its own that stands for both ends. */
static inline void chain_init(struct link *chain) { chain->prev = chain->next = chain; }
static inline int chain_empty(const struct link *chain) { return chain->next == chain; }
static inline int link_is_in(const struct link *link) { return link->next != NULL; }

static inline void chain_append(struct link *chain, struct link *link)
{
	assert(!link_is_in(link));
	link->prev = chain->prev;
	link->next = chain;
	chain->prev->next = link;
	chain->prev = link;
}

static inline void link_remove(struct link *link)
{
	if (!link_is_in(link))
		return;
	link->prev->next = link->next;
	link->next->prev = link->prev;
	link->prev = link->next = NULL;
}

#define CONTAINER_OF(pointer, type, member) ((type *)((char *)(pointer) - offsetof(type, member)))
/* Walks a chain; the current item may be removed meanwhile, the next may not. */
#define CHAIN_EACH(chain, type, member, item) \
	for (type *item = CONTAINER_OF((chain)->next, type, member), \
		  *item##_next = CONTAINER_OF(item->member.next, type, member); \
	     &item->member != (chain); \
	     item = item##_next, item##_next = CONTAINER_OF(item->member.next, type, member))
