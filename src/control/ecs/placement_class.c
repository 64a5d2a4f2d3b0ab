#include "control/ecs/placement_private.h"
#include <assert.h>
#include <stdlib.h>
#include "base/buffer.h"
#include "wire/cluster_query.h"

/* ---- what makes two requests the same */
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

/* ---- making a class */
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

static struct numbers copy_numbers(struct arena *arena, const struct numbers *numbers)
{
	struct numbers copy = {arena_array(arena, struct maybe_integer, numbers->count), numbers->count};

	for (size_t i = 0; i < numbers->count; i++)
		copy.items[i] = numbers->items[i];
	return copy;
}

void placement_class_free(struct placement_class *class)
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

/* The least used class that nobody waits for. */
static void evict_class(struct placement_scope *scope)
{
	for (struct link *link = scope->classes.prev; link != &scope->classes; link = link->prev) {
		struct placement_class *class = CONTAINER_OF(link, struct placement_class, in_scope);

		if (chain_empty(&class->waiting)) {
			placement_class_free(class);
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
	class->root.heap.before = candidate_comes_before;
	placement_add_strategies(class, &request->strategies);
	if (!add_constraints(class, request, err)) {
		placement_class_free(class);
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

void placement_cluster_gone(struct plane *plane, struct cluster_entry *cluster)
{
	CHAIN_EACH(&cluster->placement.classes, struct placement_class, in_scope, class)
		placement_class_free(class);
	CHAIN_EACH(&cluster->realm->fargate.classes, struct placement_class, in_scope, class)
		if (class->cluster == cluster)
			placement_class_free(class);
}
