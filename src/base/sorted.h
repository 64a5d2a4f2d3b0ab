/* sorted.h - things in the bytewise order of their names.
 *
 * A treap of nodes embedded in what they order; priorities come from the key, so the shape does not
 * depend on the order of insertion. For lists that are paged: continue after any key, present or
 * not, in O(log n). Keys are borrowed from the owner of the node. A zeroed tree is empty. */
#pragma once
#include "base/str.h"

struct sorted_node {
	struct str key;
	struct sorted_node *left, *right;
	uint64_t priority;
};

struct sorted {
	struct sorted_node *root;
	size_t count;
};

void sorted_add(struct sorted *tree, struct sorted_node *node, struct str key);  /* key not yet in it */
void sorted_remove(struct sorted *tree, struct sorted_node *node);               /* must be in it */
struct sorted_node *sorted_get(const struct sorted *tree, struct str key);
struct sorted_node *sorted_first(const struct sorted *tree);
struct sorted_node *sorted_last(const struct sorted *tree);
struct sorted_node *sorted_after(const struct sorted *tree, struct str key);     /* first with a greater key */
struct sorted_node *sorted_before(const struct sorted *tree, struct str key);    /* last with a smaller key */
struct sorted_node *sorted_at_or_after(const struct sorted *tree, struct str key);
