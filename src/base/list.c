#include "base/list.h"

void *list_grow(void *items, size_t *capacity, size_t wanted, size_t size)
{
	if (wanted <= *capacity)
		return items;
	*capacity = wanted > *capacity * 2 ? (wanted > 4 ? wanted : 4) : *capacity * 2;
	items = reallocarray(items, *capacity, size);
	if (!items)
		abort();
	return items;
}
