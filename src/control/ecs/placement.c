#include "control/ecs/placement.h"
#include <assert.h>
#include <stdlib.h>
#include "base/buffer.h"
#include "control/ecs/instances.h"
#include "control/ecs/services.h"
#include "wire/cluster_query.h"

/* Instances that share the values of the leading spread attributes. */
struct bucket {
	struct str value;                                /* behind the bucket */
	int32_t tasks;                                   /* of the class's group, below it */
	size_t available;                                /* candidates with room, below it */
	size_t members;                                  /* candidates, below it; none: it is freed */
	struct bucket *parent, *children, *next;
	struct heap heap;                                /* candidates with room; leaves only */
};

/* One instance as one class sees it. */
struct candidate {
	struct placement_class *class;
	struct instance_entry *instance;
	struct link of_instance;
	struct link of_class;
	struct bucket *leaf;
	struct heap_node node;
	int32_t group_tasks;                             /* of the class's group on the instance */
	enum refusal fixed;                              /* what does not depend on load: status, attributes, … */
	enum refusal refusal;
	uint64_t draw;                                   /* for the random strategy */
};

enum ranking { RANK_SPREAD, RANK_CPU, RANK_MEMORY, RANK_RANDOM };

enum { RANKINGS_LIMIT = 5 };

struct placement_class {
	struct link in_scope;
	struct arena arena;
	struct str key;
	struct placement_scope *scope;
	struct cluster_entry *cluster;                   /* of its tasks */
	enum ecs_launch_type launch_type;
	struct str group;
	struct task_needs needs;
	struct placement_zones zones;
	const struct ecs_requires_attributes *attributes;        /* a copy: definitions may be deleted */
	enum ecs_cpu_architecture architecture;
	LIST_OF(const struct cluster_query *) queries;
	bool distinct, dynamic;                          /* dynamic: a query looks at running tasks */
	struct str levels[RANKINGS_LIMIT];               /* leading spreads: attribute names */
	size_t level_count;
	enum ranking rankings[RANKINGS_LIMIT];
	size_t ranking_count;
	struct bucket root;
	struct link candidates;                          /* candidate.of_class */
	uint32_t instances, counts[REFUSAL_COUNT];
	struct link waiting;                             /* service_entry.in_waiting */
};

static const struct {
	struct str failure, sentence;
} refusals[] = {
	[REFUSAL_NONE] = {STR_INIT(""), STR_INIT("")},
	[REFUSAL_INACTIVE] = {STR_INIT("INACTIVE"), STR_INIT("is not ACTIVE")},
	[REFUSAL_AGENT] = {STR_INIT("AGENT"), STR_INIT("encountered error \"AGENT\"")},
	[REFUSAL_LOCATION] = {STR_INIT("LOCATION"), STR_INIT("encountered error \"LOCATION\"")},
	[REFUSAL_ATTRIBUTE] = {STR_INIT("ATTRIBUTE"), STR_INIT("is missing an attribute required by your task")},
	[REFUSAL_CPU] = {STR_INIT("RESOURCE:CPU"), STR_INIT("has insufficient CPU units available")},
	[REFUSAL_MEMORY] = {STR_INIT("RESOURCE:MEMORY"), STR_INIT("has insufficient memory available")},
	[REFUSAL_GPU] = {STR_INIT("RESOURCE:GPU"), STR_INIT("encountered error \"RESOURCE:GPU\"")},
	[REFUSAL_PORTS] = {STR_INIT("RESOURCE:PORTS"), STR_INIT("is already using a port required by your task")},
	[REFUSAL_MEMBER_OF] = {STR_INIT("MemberOf placement constraint unsatisfied."),
			       STR_INIT("encountered error \"MemberOf placement constraint unsatisfied.\"")},
	[REFUSAL_DISTINCT_INSTANCE] = {STR_INIT("DistinctInstance placement constraint unsatisfied."),
				       STR_INIT("encountered error \"DistinctInstance placement constraint unsatisfied.\"")},
};
static_assert(COUNT(refusals) == REFUSAL_COUNT, "a row for every refusal");

struct str refusal_failure(enum refusal refusal) { return refusals[refusal].failure; }
struct str refusal_sentence(enum refusal refusal) { return refusals[refusal].sentence; }

/* ---- what an instance has */
static bool find_attribute(const struct instance_entry *instance, struct str name, struct str *ret_value)
{
	const struct ecs_attributes *attributes = &instance->record->attributes;

	for (size_t i = 0; i < attributes->count; i++)
		if (str_equal(attributes->items[i].name, name)) {
			*ret_value = attributes->items[i].value;
			return true;
		}
	return false;
}

static bool query_attribute(void *self, struct str name, struct str *ret_value)
{
	return find_attribute(self, name, ret_value);
}

static bool query_any_group(void *self, bool (*test)(void *arg, struct str group), void *arg)
{
	struct instance_entry *instance = self;

	CHAIN_EACH(&instance->tasks, struct task_entry, on_instance, task)
		if (task->record->launch_type != ECS_LAUNCH_TYPE_FARGATE && test(arg, task->record->group))
			return true;
	return false;
}

bool placement_query_accepts(const struct cluster_query *query, struct instance_entry *instance)
{
	const struct container_instance *record = instance->record;
	struct cluster_query_subject subject = {
		.self = instance, .attribute = query_attribute, .any_group = query_any_group,
		.agent_connected = instance->session != NULL,
		.agent_version = record->version_info ? record->version_info->agent_version : STR_NONE,
		.ec2_instance_id = record->ec2_instance_id,
		.registered_at = record->registered_at.value,
		.running_tasks = instance->counts.running - instance->fargate_counts.running,
	};

	return cluster_query_matches(query, &subject);
}

/* ---- rules, in the order of ecs-behaviour 6.1 */
static bool has_attributes(const struct placement_class *class, const struct instance_entry *instance)
{
	struct str value;

	for (size_t i = 0; i < class->attributes->count; i++) {
		const struct ecs_attribute *wanted = &class->attributes->items[i];

		if (!find_attribute(instance, wanted->name, &value) ||
		    (str_has(wanted->value) && !str_equal(wanted->value, value)))
			return false;
	}
	if (class->architecture == ECS_CPU_ARCHITECTURE_ABSENT ||
	    !find_attribute(instance, S("ecs.cpu-architecture"), &value))
		return true;
	return str_equal(value, class->architecture == ECS_CPU_ARCHITECTURE_ARM64 ? S("arm64") : S("x86_64"));
}

static bool is_in_zones(const struct placement_zones *zones, const struct instance_entry *instance)
{
	struct str zone;

	/* A machine that does not say where it stands is shown in the first zone, and serves all. */
	return zones->any || (instance->record->any_zone.value && zones->count) || (find_attribute(instance, S("ecs.availability-zone"), &zone) &&
			      str_listed(zones->names, zones->count, zone));
}

static bool fits_launch_type(const struct placement_class *class, const struct instance_entry *instance)
{
	return instance->record->external.value == (class->launch_type == ECS_LAUNCH_TYPE_EXTERNAL);
}

static enum refusal fixed_refusal(const struct placement_class *class, struct instance_entry *instance)
{
	if (instance->record->status != INSTANCE_STATUS_ACTIVE)
		return REFUSAL_INACTIVE;
	if (!instance->session)
		return REFUSAL_AGENT;
	if (!is_in_zones(&class->zones, instance))
		return REFUSAL_LOCATION;
	if (!fits_launch_type(class, instance) || !has_attributes(class, instance))
		return REFUSAL_ATTRIBUTE;
	for (size_t i = 0; !class->dynamic && i < class->queries.count; i++)
		if (!placement_query_accepts(class->queries.items[i], instance))
			return REFUSAL_MEMBER_OF;
	return REFUSAL_NONE;
}

static bool port_is_taken(const struct instance_entry *instance, int32_t port, bool udp)
{
	const struct node_entry *node = instance->node;
	const struct numbers *reserved = udp ? &node->record->udp_ports : &node->record->tcp_ports;

	for (size_t i = 0; i < reserved->count; i++)
		if (reserved->items[i].value == port)
			return true;
	for (size_t i = 0; i < node->ports.count; i++)
		if (node->ports.items[i].port == port && node->ports.items[i].udp == udp)
			return true;
	return false;
}

static bool any_port_is_taken(const struct instance_entry *instance, const struct numbers *ports, bool udp)
{
	for (size_t i = 0; i < ports->count; i++)
		if (port_is_taken(instance, ports->items[i].value, udp))
			return true;
	return false;
}

static bool has_gpus(const struct node_entry *node, int32_t wanted)
{
	size_t all = node->record->gpus.count;

	return wanted == ALL_GPUS ? all > 0 && node->gpus.count == 0 : node->gpus.count + (size_t)wanted <= all;
}

static enum refusal load_refusal(const struct placement_class *class, struct instance_entry *instance,
				 int32_t group_tasks)
{
	if (class->needs.cpu > instance->node->cpu_free)
		return REFUSAL_CPU;
	if (class->needs.memory > instance->node->memory_free)
		return REFUSAL_MEMORY;
	if (class->needs.gpus && !has_gpus(instance->node, class->needs.gpus))
		return REFUSAL_GPU;
	if (any_port_is_taken(instance, &class->needs.tcp_ports, false) ||
	    any_port_is_taken(instance, &class->needs.udp_ports, true))
		return REFUSAL_PORTS;
	if (class->distinct && group_tasks > 0)
		return REFUSAL_DISTINCT_INSTANCE;
	for (size_t i = 0; class->dynamic && i < class->queries.count; i++)
		if (!placement_query_accepts(class->queries.items[i], instance))
			return REFUSAL_MEMBER_OF;
	return REFUSAL_NONE;
}

/* ---- scores: who comes first in a leaf */
static int compare_long(int64_t a, int64_t b)
{
	return (a > b) - (a < b);
}

static int compare_by(enum ranking ranking, const struct candidate *a, const struct candidate *b)
{
	switch (ranking) {
	case RANK_SPREAD: return compare_long(a->group_tasks, b->group_tasks);
	case RANK_CPU: return compare_long(a->instance->node->cpu_free, b->instance->node->cpu_free);
	case RANK_MEMORY: return compare_long(a->instance->node->memory_free, b->instance->node->memory_free);
	case RANK_RANDOM: return a->draw < b->draw ? -1 : a->draw > b->draw;
	}
	return 0;
}

static bool comes_before(const struct heap_node *left, const struct heap_node *right)
{
	const struct candidate *a = CONTAINER_OF(left, struct candidate, node);
	const struct candidate *b = CONTAINER_OF(right, struct candidate, node);
	int order = 0;

	for (size_t i = 0; order == 0 && i < a->class->ranking_count; i++)
		order = compare_by(a->class->rankings[i], a, b);
	if (order == 0)
		order = compare_long(a->instance->counts.live, b->instance->counts.live);
	if (order == 0)
		order = str_compare(a->instance->by_id.key, b->instance->by_id.key);
	return order < 0;
}

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
		refusal = load_refusal(class, candidate->instance, candidate->group_tasks);
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
				 .heap.before = comes_before};
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

		find_attribute(instance, class->levels[i], &value);
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

static void candidate_new(struct plane *plane, struct placement_class *class, struct instance_entry *instance)
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
	candidate->fixed = fixed_refusal(class, instance);
	candidate_rate(plane, candidate);
}

static void candidate_free(struct candidate *candidate)
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

static void class_free(struct placement_class *class)
{
	CHAIN_EACH(&class->waiting, struct service_entry, in_waiting, service)
		placement_wait_end(service);
	CHAIN_EACH(&class->candidates, struct candidate, of_class, candidate)
		candidate_free(candidate);
	assert(!class->root.children);                   /* the last candidate took its buckets along */
	heap_fini(&class->root.heap);
	link_remove(&class->in_scope);
	class->scope->class_count--;
	list_fini(&class->queries);
	arena_fini(&class->arena);
	free(class);
}

/* ---- making a class */
static void print_numbers(struct buffer *out, const struct numbers *numbers)
{
	for (size_t i = 0; i < numbers->count; i++)
		buffer_printf(out, ",%d", numbers->items[i].value);
}

/* With its length: whatever it holds, no two requests look the same. */
static void print_text(struct buffer *out, struct str text)
{
	buffer_printf(out, "%zu:", text.len);
	buffer_add(out, text);
}

static void class_key(const struct placement_request *request, struct buffer *out)
{
	buffer_printf(out, "%.*s|%d|%d|%lld|%lld|%d|", STR(request->definition->key), request->launch_type,
		      request->unconstrained, (long long)request->needs.cpu, (long long)request->needs.memory,
		      request->needs.gpus);
	if (request->launch_type == ECS_LAUNCH_TYPE_FARGATE)
		print_text(out, request->cluster->key);
	print_text(out, request->group);
	for (size_t i = 0; !request->zones.any && i < request->zones.count; i++)
		print_text(out, request->zones.names[i]);
	buffer_printf(out, "%s", request->zones.any ? "|" : "/");
	print_numbers(out, &request->needs.tcp_ports);
	buffer_printf(out, "/");
	print_numbers(out, &request->needs.udp_ports);
	for (size_t i = 0; i < request->constraints.count; i++) {
		buffer_printf(out, "|c%d:", request->constraints.items[i].type);
		print_text(out, request->constraints.items[i].expression);
	}
	for (size_t i = 0; i < request->strategies.count; i++) {
		buffer_printf(out, "|s%d:", request->strategies.items[i].type);
		print_text(out, request->strategies.items[i].field);
	}
}

static struct placement_class *class_find(struct placement_scope *scope, struct str key)
{
	CHAIN_EACH(&scope->classes, struct placement_class, in_scope, class)
		if (str_equal(class->key, key))
			return class;
	return NULL;
}

static bool mentions_load(struct arena *arena, struct str expression)
{
	char *text = arena_cstr(arena, expression);

	return strcasestr(text, "task:group") || strcasestr(text, "runningTasksCount");
}

static bool add_query(struct placement_class *class, struct str expression, struct error *err)
{
	const struct cluster_query *query;
	struct str text = arena_copy(&class->arena, expression);

	if (!cluster_query_parse(text, &class->arena, &query, err))
		return false;
	class->dynamic = class->dynamic || mentions_load(&class->arena, text);
	list_add(&class->queries, query);
	return true;
}

static bool add_constraints(struct placement_class *class, const struct placement_request *request, struct error *err)
{
	const struct ecs_task_definition *definition = request->definition->record->definition;

	if (request->unconstrained)
		return true;
	for (size_t i = 0; i < request->constraints.count; i++) {
		const struct ecs_placement_constraint *constraint = &request->constraints.items[i];

		if (constraint->type == ECS_PLACEMENT_CONSTRAINT_TYPE_DISTINCT_INSTANCE)
			class->distinct = true;
		else if (!add_query(class, constraint->expression, err))
			return false;
	}
	for (size_t i = 0; i < definition->placement_constraints.count; i++)
		if (!add_query(class, definition->placement_constraints.items[i].expression, err))
			return false;
	return true;
}

static void add_strategy(struct placement_class *class, const struct ecs_placement_strategy *strategy)
{
	struct str field = strategy->field, attribute = S("attribute:");

	if (strategy->type == ECS_PLACEMENT_STRATEGY_TYPE_RANDOM)
		class->rankings[class->ranking_count++] = RANK_RANDOM;
	else if (strategy->type == ECS_PLACEMENT_STRATEGY_TYPE_BINPACK)
		class->rankings[class->ranking_count++] =
			str_equal_ignoring_case(field, S("cpu")) ? RANK_CPU : RANK_MEMORY;
	else if (!str_starts(field, attribute))
		class->rankings[class->ranking_count++] = RANK_SPREAD;
	else if (class->ranking_count == 0)
		class->levels[class->level_count++] =
			arena_copy(&class->arena, str_slice(field, attribute.len, field.len));
}

static const struct ecs_placement_strategy by_default[] = {
	{.type = ECS_PLACEMENT_STRATEGY_TYPE_SPREAD, .field = STR_INIT("attribute:ecs.availability-zone")},
	{.type = ECS_PLACEMENT_STRATEGY_TYPE_SPREAD, .field = STR_INIT("instanceId")},
};

static void add_strategies(struct placement_class *class, const struct ecs_placement_strategies *strategies)
{
	const struct ecs_placement_strategy *items = strategies->count ? strategies->items : by_default;
	size_t count = strategies->count ? strategies->count : COUNT(by_default);

	for (size_t i = 0; i < MIN(count, (size_t)RANKINGS_LIMIT); i++)
		add_strategy(class, &items[i]);
}

static struct numbers copy_numbers(struct arena *arena, const struct numbers *numbers)
{
	struct numbers copy = {arena_array(arena, struct maybe_integer, numbers->count), numbers->count};

	for (size_t i = 0; i < numbers->count; i++)
		copy.items[i] = numbers->items[i];
	return copy;
}

/* The least used class that nobody waits for. */
static void evict_class(struct placement_scope *scope)
{
	for (struct link *link = scope->classes.prev; link != &scope->classes; link = link->prev) {
		struct placement_class *class = CONTAINER_OF(link, struct placement_class, in_scope);

		if (chain_empty(&class->waiting)) {
			class_free(class);
			return;
		}
	}
}

static struct placement_zones copy_zones(struct arena *arena, const struct placement_zones *zones)
{
	struct placement_zones copy = {.any = zones->any, .count = zones->count};

	for (size_t i = 0; i < zones->count; i++)
		copy.names[i] = arena_copy(arena, zones->names[i]);
	return copy;
}

static struct placement_scope *scope_of(const struct placement_request *request)
{
	return request->launch_type == ECS_LAUNCH_TYPE_FARGATE ? &request->cluster->realm->fargate
							       : &request->cluster->placement;
}

static void add_candidates(struct plane *plane, struct placement_class *class)
{
	if (class->launch_type == ECS_LAUNCH_TYPE_FARGATE) {
		CHAIN_EACH(&class->cluster->realm->pool, struct instance_entry, in_pool, instance)
			candidate_new(plane, class, instance);
		return;
	}
	SORTED_EACH(&class->cluster->instances, struct instance_entry, by_id, instance)
		candidate_new(plane, class, instance);
}

static bool class_new(struct plane *plane, const struct placement_request *request, struct str key,
		      struct placement_class **ret_class, struct error *err)
{
	const struct ecs_task_definition *definition = request->definition->record->definition;
	struct placement_class *class = calloc(1, sizeof(*class));
	const struct ecs_task_definition *copy;

	if (!class)
		abort();
	class->cluster = request->cluster;
	class->scope = scope_of(request);
	class->scope->class_count++;
	chain_init(&class->waiting);
	chain_init(&class->candidates);
	copy = shape_copy(&shape_ecs_task_definition,
			  &(struct ecs_task_definition){.requires_attributes = definition->requires_attributes},
			  &class->arena);
	class->attributes = &copy->requires_attributes;
	if (definition->runtime_platform)
		class->architecture = definition->runtime_platform->cpu_architecture;
	class->key = arena_copy(&class->arena, key);
	class->launch_type = request->launch_type;
	class->group = arena_copy(&class->arena, request->group);
	class->needs = request->needs;
	class->needs.tcp_ports = copy_numbers(&class->arena, &request->needs.tcp_ports);
	class->needs.udp_ports = copy_numbers(&class->arena, &request->needs.udp_ports);
	class->zones = copy_zones(&class->arena, &request->zones);
	class->root.heap.before = comes_before;
	add_strategies(class, &request->strategies);
	if (!add_constraints(class, request, err)) {
		class_free(class);
		return false;
	}
	add_candidates(plane, class);
	*ret_class = class;
	return true;
}

bool placement_class_get(struct plane *plane, const struct placement_request *request,
			 struct placement_class **ret_class, struct error *err)
{
	struct placement_scope *scope = scope_of(request);
	bool fargate = request->launch_type == ECS_LAUNCH_TYPE_FARGATE;
	auto_buffer key = {0};
	struct placement_class *class;

	class_key(request, &key);
	class = class_find(scope, buffer_str(&key));
	if (!class) {
		if (scope->class_count >= (fargate ? POOL_CLASSES_LIMIT : PLACEMENT_CLASSES_LIMIT))
			evict_class(scope);
		if (!class_new(plane, request, buffer_str(&key), &class, err))
			return false;
	}
	link_remove(&class->in_scope);
	chain_append(scope->classes.next, &class->in_scope);     /* to the front */
	*ret_class = class;
	return true;
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

static struct str missing_attribute(const struct placement_class *class, const struct instance_entry *instance)
{
	struct str value;

	for (size_t i = 0; i < class->attributes->count; i++)
		if (!find_attribute(instance, class->attributes->items[i].name, &value))
			return class->attributes->items[i].name;
	return STR_NONE;
}

enum refusal placement_refusal(const struct placement_class *class, const struct instance_entry *instance,
			       struct str *ret_detail)
{
	const struct candidate *candidate = candidate_of(class, instance);

	assert(candidate);
	*ret_detail = candidate->refusal == REFUSAL_ATTRIBUTE ? missing_attribute(class, instance) : STR_NONE;
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

	return str_equal(instance->cluster->record->name, POOL_CLUSTER) || find_attribute(instance, POOL_ATTRIBUTE, &value);
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
		candidate->fixed = fixed_refusal(candidate->class, instance);
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

void placement_cluster_gone(struct plane *plane, struct cluster_entry *cluster)
{
	CHAIN_EACH(&cluster->placement.classes, struct placement_class, in_scope, class)
		class_free(class);
	CHAIN_EACH(&cluster->realm->fargate.classes, struct placement_class, in_scope, class)
		if (class->cluster == cluster)
			class_free(class);
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
		assert(candidate->fixed == fixed_refusal(class, candidate->instance));
		assert(candidate->refusal == (candidate->fixed ? candidate->fixed
					      : load_refusal(class, candidate->instance, group_tasks)));
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

/* ---- scale-in */
static bool spread_value(const struct task_entry *task, struct str field, struct str *ret_value)
{
	struct str attribute = S("attribute:");

	if (str_starts(field, attribute))
		return find_attribute(task->instance, str_slice(field, attribute.len, field.len), ret_value);
	*ret_value = task->instance->by_id.key;
	return true;
}

static int32_t share_of(struct task_entry *const *tasks, size_t count, const struct task_entry *task, struct str field)
{
	struct str own = STR_NONE, other;
	int32_t share = 0;

	spread_value(task, field, &own);
	for (size_t i = 0; i < count; i++) {
		other = STR_NONE;
		if (tasks[i]->instance) {
			spread_value(tasks[i], field, &other);
			share += str_equal(own, other);
		}
	}
	return share;
}

/* Positive: `a` should go before `b`. */
static int64_t rather(struct task_entry *const *tasks, size_t count, const struct task_entry *a,
		      const struct task_entry *b, const struct ecs_placement_strategies *strategies)
{
	const struct ecs_placement_strategy *items = strategies->count ? strategies->items : by_default;
	size_t strategy_count = strategies->count ? strategies->count : COUNT(by_default);
	int64_t order = 0;

	for (size_t i = 0; order == 0 && i < strategy_count; i++) {
		if (items[i].type == ECS_PLACEMENT_STRATEGY_TYPE_SPREAD)
			order = share_of(tasks, count, a, items[i].field) - share_of(tasks, count, b, items[i].field);
		else if (items[i].type == ECS_PLACEMENT_STRATEGY_TYPE_BINPACK)
			order = a->instance->node->memory_free - b->instance->node->memory_free;
	}
	if (order == 0)                                  /* the youngest goes first */
		order = a->record->created_at.value - b->record->created_at.value;
	return order ? order : str_compare(a->key, b->key);
}

size_t placement_worst(struct task_entry *const *tasks, size_t count,
		       const struct ecs_placement_strategies *strategies)
{
	size_t worst = 0;

	assert(count > 0);
	for (size_t i = 0; i < count; i++) {
		if (!tasks[i]->instance)
			return i;
		if (i && rather(tasks, count, tasks[i], tasks[worst], strategies) > 0)
			worst = i;
	}
	return worst;
}
