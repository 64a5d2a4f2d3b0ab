#include "store/store.h"
#include <stdlib.h>
#include "base/list.h"
#include "base/sorted.h"
#include "store/newest.h"

/* The plainest store there is: read this one first. */

struct memory_object {
	struct sorted_node node;
	struct str value;
	char bytes[];                                    /* name, then value */
};

struct memory_store {
	struct store store;
	struct sorted objects;                           /* by name: newest_name */
	struct newest names;                             /* only to make names */
	int fail_next;                                   /* errno, or 0 */
};

static struct memory_store *of(struct store *store)
{
	return CONTAINER_OF(store, struct memory_store, store);
}

static void forget(struct memory_store *self, struct sorted_node *node)
{
	if (!node)
		return;
	sorted_remove(&self->objects, node);
	free(CONTAINER_OF(node, struct memory_object, node));
}

static void keep(struct memory_store *self, struct str name, struct str value)
{
	struct memory_object *object = calloc(1, sizeof(*object) + name.len + value.len);

	if (!object)
		abort();
	memcpy(object->bytes, name.ptr, name.len);
	if (value.len)
		memcpy(object->bytes + name.len, value.ptr, value.len);
	object->value = (struct str){object->bytes + name.len, value.len};
	sorted_add(&self->objects, &object->node, (struct str){object->bytes, name.len});
}

static bool memory_append(struct store *store, const struct store_change *changes, size_t count,
			  struct error *err)
{
	struct memory_store *self = of(store);
	int reason = self->fail_next;

	if (!store_check(changes, count, err))
		return false;
	self->fail_next = 0;
	if (reason)
		return fail_os(err, reason, "write the store in memory");
	for (size_t i = 0; i < count; i++) {
		struct str name = newest_name(&self->names, changes[i].kind, changes[i].key);

		forget(self, sorted_get(&self->objects, name));
		if (str_has(changes[i].value))
			keep(self, name, changes[i].value);
	}
	return true;
}

static bool memory_load(struct store *store, store_visit *visit, void *arg, struct error *err)
{
	struct sorted *objects = &of(store)->objects;

	for (struct sorted_node *node = sorted_first(objects); node; node = sorted_after(objects, node->key)) {
		struct memory_object *object = CONTAINER_OF(node, struct memory_object, node);
		struct store_change change = {newest_kind(node->key), newest_key(node->key), object->value};

		if (!visit(arg, &change, err))
			return false;
	}
	return true;
}

static bool memory_settle(struct store *store, struct error *err)
{
	return true;
}

static void memory_close(struct store *store)
{
	struct memory_store *self = of(store);

	while (self->objects.count)
		forget(self, sorted_first(&self->objects));
	newest_fini(&self->names);
	free(self);
}

static const struct store_ops memory_ops = {
	.append = memory_append,
	.load = memory_load,
	.settle = memory_settle,
	.close = memory_close,
};

struct store *store_open_memory(void)
{
	struct memory_store *self = calloc(1, sizeof(*self));

	if (!self)
		abort();
	self->store.ops = &memory_ops;
	return &self->store;
}

void store_memory_fail_next(struct store *store, int os_error)
{
	of(store)->fail_next = os_error;
}
