#include "base/sorted.h"
#include <assert.h>

/* Splits by key: what is smaller goes left, the rest right. */
static void split(struct sorted_node *node, struct str key, struct sorted_node **left,
		  struct sorted_node **right)
{
	while (node) {
		if (str_compare(node->key, key) < 0) {
			*left = node;
			left = &node->right;
			node = node->right;
		} else {
			*right = node;
			right = &node->left;
			node = node->left;
		}
	}
	*left = *right = NULL;
}

static struct sorted_node *merge(struct sorted_node *left, struct sorted_node *right)
{
	struct sorted_node *root = NULL, **slot = &root;

	while (left && right) {
		if (left->priority > right->priority) {
			*slot = left;
			slot = &left->right;
			left = left->right;
		} else {
			*slot = right;
			slot = &right->left;
			right = right->left;
		}
	}
	*slot = left ? left : right;
	return root;
}

void sorted_add(struct sorted *tree, struct sorted_node *node, struct str key)
{
	struct sorted_node **slot = &tree->root;

	node->key = key;
	node->priority = str_hash(key, 0x5eed);
	while (*slot && (*slot)->priority > node->priority) {
		int order = str_compare(key, (*slot)->key);

		assert(order != 0);
		slot = order < 0 ? &(*slot)->left : &(*slot)->right;
	}
	split(*slot, key, &node->left, &node->right);
	*slot = node;
	tree->count++;
}

void sorted_remove(struct sorted *tree, struct sorted_node *node)
{
	struct sorted_node **slot = &tree->root;

	while (*slot != node) {
		assert(*slot);
		slot = str_compare(node->key, (*slot)->key) < 0 ? &(*slot)->left : &(*slot)->right;
	}
	*slot = merge(node->left, node->right);
	node->left = node->right = NULL;
	tree->count--;
}

struct sorted_node *sorted_get(const struct sorted *tree, struct str key)
{
	struct sorted_node *found = sorted_at_or_after(tree, key);

	return found && str_equal(found->key, key) ? found : NULL;
}

struct sorted_node *sorted_first(const struct sorted *tree)
{
	struct sorted_node *node = tree->root;

	while (node && node->left)
		node = node->left;
	return node;
}

struct sorted_node *sorted_last(const struct sorted *tree)
{
	struct sorted_node *node = tree->root;

	while (node && node->right)
		node = node->right;
	return node;
}

/* The first node whose key compares with `key` as at least `least`. */
static struct sorted_node *first_from(const struct sorted *tree, struct str key, int least)
{
	struct sorted_node *found = NULL;

	for (struct sorted_node *node = tree->root; node;) {
		int order = str_compare(node->key, key);

		if (order > 0 || (order == 0 && least == 0)) {
			found = node;
			node = node->left;
		} else {
			node = node->right;
		}
	}
	return found;
}

struct sorted_node *sorted_after(const struct sorted *tree, struct str key)
{
	return first_from(tree, key, 1);
}

struct sorted_node *sorted_at_or_after(const struct sorted *tree, struct str key)
{
	return first_from(tree, key, 0);
}

struct sorted_node *sorted_before(const struct sorted *tree, struct str key)
{
	struct sorted_node *found = NULL;

	for (struct sorted_node *node = tree->root; node;) {
		if (str_compare(node->key, key) < 0) {
			found = node;
			node = node->right;
		} else {
			node = node->left;
		}
	}
	return found;
}
