#include "control/ecs/placement_private.h"
#include <assert.h>
#include <stdlib.h>
#include "control/ecs/instances.h"
#include "control/ecs/services.h"

/* ---- keeping the index */
static void wake_waiting(struct plane *plane, struct placement_class *class)
{
	CHAIN_EACH(&class->waiting, struct service_entry, in_waiting, service)
		service_touch(plane, service);
}

static void set_available(struct candidate *candidate, bool available)
{
	for (struct bucket *bucket = candidate->leaf; bucket; bucket = bucket->parent)
		bucket->available += available ? 1 : (size_t)-1;
	if (available)
		heap_add(&candidate->leaf->heap, &candidate->node);
	else
		heap_remove(&candidate->leaf->heap, &candidate->node);
}

/* Looks at the load again; `fixed` is up to date. */
static void candidate_rate(struct plane *plane, struct candidate *candidate)
{
	struct placement_class *class = candidate->class;
	enum refusal refusal = candidate->fixed;
	bool was = candidate->refusal == REFUSAL_NONE;

	if (refusal == REFUSAL_NONE)
		refusal = placement_load_refusal(class, candidate->instance, candidate->group_tasks);
	class->counts[candidate->refusal]--;
	class->counts[refusal]++;
	candidate->refusal = refusal;
	if (was && refusal == REFUSAL_NONE)
		heap_fix(&candidate->leaf->heap, &candidate->node);
	else if (was || refusal == REFUSAL_NONE)
		set_available(candidate, !was);
	if (!was && refusal == REFUSAL_NONE)
		wake_waiting(plane, class);
}

static struct bucket *bucket_child(struct bucket *parent, struct str value)
{
	struct bucket *child;
	char *text;

	for (child = parent->children; child; child = child->next)
		if (str_equal(child->value, value))
			return child;
	child = malloc(sizeof(*child) + value.len);
	if (!child)
		abort();
	text = (char *)(child + 1);
	memcpy(text, value.ptr, value.len);
	*child = (struct bucket){.value = {text, value.len}, .parent = parent, .next = parent->children,
				 .heap.before = candidate_comes_before};
	parent->children = child;
	return child;
}

/* Those that nobody is in any more, from a leaf upwards. */
static void bucket_prune(struct bucket *bucket)
{
	while (bucket->parent && bucket->members == 0) {
		struct bucket *parent = bucket->parent, **at = &parent->children;

		while (*at != bucket)
			at = &(*at)->next;
		*at = bucket->next;
		heap_fini(&bucket->heap);
		free(bucket);
		bucket = parent;
	}
}

static struct bucket *leaf_of(struct placement_class *class, const struct instance_entry *instance)
{
	struct bucket *bucket = &class->root;

	for (size_t i = 0; i < class->level_count; i++) {
		struct str value = S("");

		placement_attribute(instance, class->levels[i], &value);
		bucket = bucket_child(bucket, str_has(value) ? value : S(""));
	}
	return bucket;
}

static void count_in_buckets(struct candidate *candidate, int32_t change)
{
	for (struct bucket *bucket = candidate->leaf; bucket; bucket = bucket->parent)
		bucket->tasks += change;
}

static void enter_bucket(struct candidate *candidate, struct bucket *leaf)
{
	candidate->leaf = leaf;
	for (struct bucket *bucket = leaf; bucket; bucket = bucket->parent)
		bucket->members++;
	count_in_buckets(candidate, candidate->group_tasks);
}

static void leave_bucket(const struct candidate *candidate, struct bucket *leaf)
{
	for (struct bucket *bucket = leaf; bucket; bucket = bucket->parent) {
		bucket->members--;
		bucket->tasks -= candidate->group_tasks;
	}
	bucket_prune(leaf);
}

static bool is_of_group(const struct placement_class *class, const struct cluster_entry *cluster, struct str group)
{
	return cluster == class->cluster && str_equal(group, class->group);
}

static int32_t count_group(const struct placement_class *class, const struct instance_entry *instance)
{
	int32_t count = 0;

	CHAIN_EACH(&instance->tasks, struct task_entry, on_instance, task)
		count += is_of_group(class, task->cluster, task->record->group);
	return count;
}

void candidate_new(struct plane *plane, struct placement_class *class, struct instance_entry *instance)
{
	struct candidate *candidate = calloc(1, sizeof(*candidate));

	if (!candidate)
		abort();
	candidate->class = class;
	candidate->instance = instance;
	candidate->draw = str_hash(instance->by_id.key, class->key.len);
	chain_append(&class->candidates, &candidate->of_class);
	chain_append(&instance->candidates, &candidate->of_instance);
	candidate->group_tasks = count_group(class, instance);
	enter_bucket(candidate, leaf_of(class, instance));
	class->instances++;
	candidate->refusal = REFUSAL_INACTIVE;
	class->counts[REFUSAL_INACTIVE]++;
	candidate->fixed = placement_fixed_refusal(class, instance);
	candidate_rate(plane, candidate);
}

void candidate_free(struct candidate *candidate)
{
	if (candidate->refusal == REFUSAL_NONE)
		set_available(candidate, false);
	leave_bucket(candidate, candidate->leaf);
	candidate->class->counts[candidate->refusal]--;
	candidate->class->instances--;
	link_remove(&candidate->of_instance);
	link_remove(&candidate->of_class);
	free(candidate);
}

/* ---- choosing */
struct instance_entry *placement_choose(struct placement_class *class)
{
	struct bucket *bucket = &class->root;

	if (bucket->available == 0)
		return NULL;
	while (bucket->children) {
		struct bucket *best = NULL;

		for (struct bucket *child = bucket->children; child; child = child->next)
			if (child->available && (!best || child->tasks < best->tasks ||
						 (child->tasks == best->tasks && str_compare(child->value, best->value) < 0)))
				best = child;
		assert(best);
		bucket = best;
	}
	return CONTAINER_OF(heap_first(&bucket->heap), struct candidate, node)->instance;
}

static const struct candidate *candidate_of(const struct placement_class *class, const struct instance_entry *instance)
{
	CHAIN_EACH(&instance->candidates, struct candidate, of_instance, candidate)
		if (candidate->class == class)
			return candidate;
	return NULL;
}

enum refusal placement_refusal(const struct placement_class *class, const struct instance_entry *instance,
			       struct str *ret_detail)
{
	const struct candidate *candidate = candidate_of(class, instance);

	assert(candidate);
	*ret_detail = candidate->refusal == REFUSAL_ATTRIBUTE ? placement_missing_attribute(class, instance) : STR_NONE;
	return candidate->refusal;
}

void placement_why(const struct placement_class *class, struct placement_why *ret_why)
{
	const struct candidate *nearest = NULL;

	*ret_why = (struct placement_why){.instances = class->instances};
	memcpy(ret_why->counts, class->counts, sizeof(class->counts));
	/* The later a rule stands in the order, the nearer an instance came that fails only there. */
	CHAIN_EACH(&class->candidates, struct candidate, of_class, candidate)
		if (!nearest || candidate->refusal > nearest->refusal ||
		    (candidate->refusal == nearest->refusal &&
		     str_compare(candidate->instance->by_id.key, nearest->instance->by_id.key) < 0))
			nearest = candidate;
	if (nearest) {
		ret_why->nearest = nearest->instance;
		ret_why->nearest_refusal = nearest->refusal;
	}
}

bool placement_is_fargate(const struct placement_class *class)
{
	return class->launch_type == ECS_LAUNCH_TYPE_FARGATE;
}

void placement_wait(struct plane *plane, struct placement_class *class, struct service_entry *service)
{
	if (service->waiting == class)
		return;
	placement_wait_end(service);
	service->waiting = class;
	chain_append(&class->waiting, &service->in_waiting);
}

void placement_wait_end(struct service_entry *service)
{
	link_remove(&service->in_waiting);
	service->waiting = NULL;
}

/* ---- facts that changed */
void placement_instance_new(struct plane *plane, struct instance_entry *instance)
{
	CHAIN_EACH(&instance->cluster->placement.classes, struct placement_class, in_scope, class)
		candidate_new(plane, class, instance);
}

static bool is_for_pool(const struct instance_entry *instance)
{
	struct str value;

	return str_equal(instance->cluster->record->name, POOL_CLUSTER) || placement_attribute(instance, POOL_ATTRIBUTE, &value);
}

static void join_or_leave_pool(struct plane *plane, struct instance_entry *instance)
{
	struct realm *realm = instance->realm;

	if (is_for_pool(instance) == link_is_in(&instance->in_pool))
		return;
	if (!link_is_in(&instance->in_pool)) {
		chain_append(&realm->pool, &instance->in_pool);
		CHAIN_EACH(&realm->fargate.classes, struct placement_class, in_scope, class)
			candidate_new(plane, class, instance);
		return;
	}
	link_remove(&instance->in_pool);
	CHAIN_EACH(&instance->candidates, struct candidate, of_instance, candidate)
		if (candidate->class->scope == &realm->fargate)
			candidate_free(candidate);
}

void placement_instance_gone(struct plane *plane, struct instance_entry *instance)
{
	CHAIN_EACH(&instance->candidates, struct candidate, of_instance, candidate)
		candidate_free(candidate);
	link_remove(&instance->in_pool);
}

static void candidate_move(struct candidate *candidate, struct bucket *leaf)
{
	bool available = candidate->refusal == REFUSAL_NONE;
	struct bucket *old = candidate->leaf;

	if (old == leaf)
		return;
	if (available)
		set_available(candidate, false);
	enter_bucket(candidate, leaf);                   /* first: it may lie beside the old one, under the same parents */
	leave_bucket(candidate, old);
	if (available)
		set_available(candidate, true);
}

void placement_instance_changed(struct plane *plane, struct instance_entry *instance)
{
	join_or_leave_pool(plane, instance);
	CHAIN_EACH(&instance->candidates, struct candidate, of_instance, candidate) {
		candidate_move(candidate, leaf_of(candidate->class, instance));
		candidate->fixed = placement_fixed_refusal(candidate->class, instance);
		candidate_rate(plane, candidate);
	}
}

void placement_task_changed(struct plane *plane, struct instance_entry *instance, const struct cluster_entry *cluster,
			    struct str group, int change)
{
	CHAIN_EACH(&instance->node->memberships, struct instance_entry, of_node, member)
		CHAIN_EACH(&member->candidates, struct candidate, of_instance, candidate) {
			if (change && member == instance && is_of_group(candidate->class, cluster, group)) {
				candidate->group_tasks += change;
				count_in_buckets(candidate, change);
			}
			if (change && candidate->class->ranking_count && candidate->class->rankings[0] == RANK_RANDOM)
				candidate->draw = str_hash(group, candidate->draw);
			candidate_rate(plane, candidate);
		}
}

static size_t scope_instances(const struct placement_class *class)
{
	size_t count = 0;

	if (class->launch_type != ECS_LAUNCH_TYPE_FARGATE)
		return class->cluster->instances.count;
	CHAIN_EACH(&class->cluster->realm->pool, struct instance_entry, in_pool, instance)
		count++;
	return count;
}

static void check_class(const struct placement_class *class)
{
	size_t available = 0, instances = 0;

	CHAIN_EACH(&class->candidates, struct candidate, of_class, candidate) {
		int32_t group_tasks = count_group(class, candidate->instance);

		assert(group_tasks == candidate->group_tasks);
		assert(candidate->fixed == placement_fixed_refusal(class, candidate->instance));
		assert(candidate->refusal == (candidate->fixed ? candidate->fixed
					      : placement_load_refusal(class, candidate->instance, group_tasks)));
		available += candidate->refusal == REFUSAL_NONE;
		instances++;
	}
	assert(available == class->root.available);
	assert(instances == class->instances);
	assert(instances == class->root.members);
	assert(instances == scope_instances(class));
	/* No placeable task is left waiting. */
	assert(available == 0 || chain_empty(&class->waiting));
}

void placement_check(const struct cluster_entry *cluster)
{
	CHAIN_EACH(&cluster->placement.classes, struct placement_class, in_scope, class)
		check_class(class);
}

void placement_check_pool(const struct realm *realm)
{
	CHAIN_EACH(&realm->pool, struct instance_entry, in_pool, instance)
		assert(is_for_pool(instance));
	CHAIN_EACH(&realm->fargate.classes, struct placement_class, in_scope, class)
		check_class(class);
}
