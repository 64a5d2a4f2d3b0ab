/* check.c - what must be true, whatever happens. sim/README.md lists the invariants by name. */
#include "sim/world.h"
#include <stdlib.h>
#include "api/state.h"

/* ---- Snapshots */

static void add_object(void *argument, enum record_kind kind, struct str key, const void *value)
{
	list_add(&((struct snapshot *)argument)->objects, ((struct object){kind, key, value}));
}

void snapshot_take(const struct plane *plane, struct snapshot *snapshot)
{
	*snapshot = (struct snapshot){0};
	plane_visit(plane, add_object, snapshot);
}

void snapshot_fini(struct snapshot *snapshot) { list_fini(&snapshot->objects); }

const void *snapshot_find(const struct snapshot *snapshot, uint32_t kind, struct str key)
{
	for (size_t i = 0; i < snapshot->objects.count; i++)
		if (snapshot->objects.items[i].kind == kind && str_equal(snapshot->objects.items[i].key, key))
			return snapshot->objects.items[i].value;
	return NULL;
}

static bool is_live(const struct task *task) { return task->last_status != TASK_STATUS_STOPPED; }
static bool is_wanted(const struct task *task) { return task->desired_status == ECS_DESIRED_STATUS_RUNNING && is_live(task); }

/* ---- Replay equals memory: what is stored, and what is on its way there, makes the same plane. */

struct replay {
	struct map values;                               /* "kind key" → the newest change */
	LIST_OF(struct str) names;
	struct arena arena;
};

static void take_change(struct replay *replay, const struct store_change *change)
{
	struct str name = arena_printf(&replay->arena, "%u %.*s", change->kind, STR(change->key));
	struct store_change *copy = arena_new(&replay->arena, struct store_change);

	*copy = (struct store_change){change->kind, arena_copy(&replay->arena, change->key),
				      arena_copy(&replay->arena, change->value)};
	if (!map_put(&replay->values, name, copy))
		list_add(&replay->names, name);
}

static bool take_stored(void *argument, const struct store_change *change, struct error *err)
{
	take_change(argument, change);
	return true;
}

static void take_batch(struct replay *replay, const struct batch *batch)
{
	for (size_t i = 0; batch && i < batch->changes.count; i++)
		take_change(replay, &batch->changes.items[i]);
}

static struct plane *replay_plane(struct sim *sim, struct replay *replay)
{
	struct plane *plane = plane_new(&sim->server.options);
	struct json_fault fault;
	struct error error;

	for (size_t i = 0; i < replay->names.count; i++) {
		const struct store_change *change = map_get(&replay->values, replay->names.items[i]);
		void *value;

		if (!str_has(change->value))
			continue;
		if (!json_decode(record_shape(change->kind), change->value, &replay->arena, &value, &fault) ||
		    !plane_restore(plane, change->kind, change->key, value, &error))
			violation(sim, "replay equals memory", "cannot restore %.*s", STR(change->key));
	}
	return plane;
}

/* The two texts from a little before where they part. */
static void show_difference(struct sim *sim, struct str key, struct str left, struct str right)
{
	size_t at = 0;

	while (at < left.len && at < right.len && left.ptr[at] == right.ptr[at])
		at++;
	at -= MIN(at, 24);
	violation(sim, "replay equals memory", "%.*s has …%.*s, replayed …%.*s", STR(key), STR(str_slice(left, at, at + 60)),
		  STR(str_slice(right, at, at + 60)));
}

static void compare(struct sim *sim, const struct snapshot *memory, const struct snapshot *replayed)
{
	if (memory->objects.count != replayed->objects.count)
		violation(sim, "replay equals memory", "%zu objects in memory, %zu replayed", memory->objects.count,
			  replayed->objects.count);
	for (size_t i = 0; i < memory->objects.count; i++) {
		const struct object *object = &memory->objects.items[i];
		const void *other = snapshot_find(replayed, object->kind, object->key);
		auto_buffer left = {0}, right = {0};

		if (other && shape_equal(record_shape(object->kind), object->value, other))
			continue;
		json_encode(record_shape(object->kind), object->value, &left);
		if (other)
			json_encode(record_shape(object->kind), other, &right);
		show_difference(sim, object->key, buffer_str(&left), buffer_str(&right));
	}
}

void check_server_crash(struct sim *sim)
{
	struct replay replay = {0};
	struct snapshot memory, replayed;
	struct plane *plane;
	struct error error;

	store_load(sim->server.committer.store, take_stored, &replay, &error);
	take_batch(&replay, sim->server.committer.flying);
	take_batch(&replay, sim->server.committer.open);
	plane = replay_plane(sim, &replay);
	snapshot_take(sim->server.plane, &memory);
	snapshot_take(plane, &replayed);
	compare(sim, &memory, &replayed);
	check_bookings(sim, &memory);
	snapshot_fini(&memory);
	snapshot_fini(&replayed);
	plane_free(plane);
	map_fini(&replay.values);
	list_fini(&replay.names);
	arena_fini(&replay.arena);
}

/* ---- Nothing is double-booked */

/* What a task asks of a machine by its definition, worked out apart from the plane. */
struct needs { int64_t cpu, memory; int ports[4]; size_t port_count; };

/* What is asked of the whole task counts instead; an interface of its own has all ports. */
static void task_limits(const struct ecs_task_definition *definition, struct needs *needs)
{
	int64_t value;

	if (str_to_long(definition->cpu, &value) && value > 0)
		needs->cpu = value;
	if (str_to_long(definition->memory, &value) && value > 0)
		needs->memory = value;
	if (definition->network_mode == ECS_NETWORK_MODE_AWSVPC)
		needs->port_count = 0;
}

static struct needs needs_of(const struct snapshot *snapshot, struct str definition)
{
	struct needs needs = {0};

	EACH_OBJECT(snapshot, TASK_DEFINITION, task_definition, record) {
		const struct ecs_task_definition *found = record->definition;
		char name[128];
		int length = snprintf(name, sizeof(name), "%.*s:%d", STR(found->family), found->revision.value);

		if (!str_equal(definition, (struct str){name, (size_t)length}))
			continue;
		for (size_t i = 0; i < found->container_definitions.count; i++) {
			const struct ecs_container_definition *container = &found->container_definitions.items[i];

			needs.cpu += container->cpu.value;
			needs.memory += container->memory.has ? container->memory.value : container->memory_reservation.value;
			for (size_t j = 0; j < container->port_mappings.count && needs.port_count < COUNT(needs.ports); j++)
				if (container->port_mappings.items[j].host_port.value)
					needs.ports[needs.port_count++] = container->port_mappings.items[j].host_port.value;
		}
		task_limits(found, &needs);
	}
	return needs;
}

static bool shares_port(const struct needs *a, const struct needs *b)
{
	for (size_t i = 0; i < a->port_count; i++)
		for (size_t j = 0; j < b->port_count; j++)
			if (a->ports[i] == b->ports[j])
				return true;
	return false;
}

/* Room on an instance for one more of `wanted`; with no demand: that nothing is booked twice. */
static bool has_room(const struct snapshot *snapshot, const struct container_instance *instance, const struct needs *wanted)
{
	struct needs sum = *wanted;
	bool fits = true;

	EACH_OBJECT(snapshot, TASK, task, task) {
		struct needs needs;

		if (!is_live(task) || !str_equal(task->instance, instance->id))
			continue;
		needs = needs_of(snapshot, task->definition);
		sum.cpu += needs.cpu;
		sum.memory += needs.memory;
		fits &= !shares_port(&sum, &needs);
		for (size_t i = 0; i < needs.port_count && sum.port_count < COUNT(sum.ports); i++)
			sum.ports[sum.port_count++] = needs.ports[i];
	}
	EACH_OBJECT(snapshot, NODE, node, node)
		if (str_equal(node->id, instance->node))
			fits &= sum.cpu <= node->cpu.value && sum.memory <= node->memory.value;
	return fits;
}

void check_bookings(struct sim *sim, const struct snapshot *snapshot)
{
	const struct needs nothing = {0};

	EACH_OBJECT(snapshot, CONTAINER_INSTANCE, container_instance, instance)
		if (!has_room(snapshot, instance, &nothing))
			violation(sim, "nothing is double-booked", "the tasks on %s want more than it has",
				  trace_name(sim, instance->id));
}

/* A task holds what is asked for the whole of it as long as any of its containers runs. */
static void add_box(const struct box *box, struct needs *sum)
{
	struct needs needs = {0};
	bool runs = false;

	for (size_t i = 0; i < box->count; i++) {
		if (!box->containers[i].running)
			continue;
		runs = true;
		needs.cpu += box->task->containers.items[i].cpu.value;
		needs.memory += box->task->containers.items[i].memory.value;
	}
	if (runs && box->task->cpu.value > 0)
		needs.cpu = (int64_t)(box->task->cpu.value * 1024 + 0.5);
	if (runs && box->task->memory.value > 0)
		needs.memory = box->task->memory.value;
	sum->cpu += needs.cpu;
	sum->memory += needs.memory;
}

static bool has_port(const struct container *container, int32_t port)
{
	for (size_t i = 0; i < container->binding_count; i++)
		if (container->bindings[i].host_port.value == port)
			return true;
	return false;
}

static void check_elsewhere(struct sim *sim, const struct container *container)
{
	for (unsigned i = 0; i < sim->machine_count; i++) {
		if (sim->machines[i] == container->box->machine)
			continue;
		EACH_CONTAINER(sim->machines[i], other)
			if (other->ever && str_equal(other->box->id, container->box->id))
				violation(sim, "a task runs on one machine", "%s ran on %s, and starts on %s",
					  trace_name(sim, container->box->id), sim->machines[i]->name,
					  container->box->machine->name);
	}
}

void check_container_start(struct sim *sim, struct container *container)
{
	struct machine *machine = container->box->machine;
	struct str start = arena_printf(&sim->arena, "%u/%llu/%.*s/%.*s", machine->number, (unsigned long long)machine->boot,
					STR(container->box->id), STR(container->name));
	struct needs sum = {0};

	if (map_put(&sim->starts, start, machine) && container->run == 1)
		violation(sim, "a container runs once", "%s %.*s starts again on %s", trace_name(sim, container->box->id),
			  STR(container->name), machine->name);
	check_elsewhere(sim, container);
	EACH_CONTAINER(machine, other) {
		if (!other->running)
			continue;
		for (size_t i = 0; i < other->binding_count; i++)
			if (other != container && has_port(container, other->bindings[i].host_port.value))
				violation(sim, "nothing is double-booked", "port %d on %s", other->bindings[i].host_port.value,
					  machine->name);
	}
	for (size_t i = 0; i < machine->boxes.count; i++)
		add_box(machine->boxes.items[i], &sum);
	if (sum.cpu > machine->options.cpu_units || sum.memory > machine->options.memory_mib)
		violation(sim, "nothing is double-booked", "%s runs %lld CPU units and %lld MiB", machine->name,
			  (long long)sum.cpu, (long long)sum.memory);
}

/* ---- Healthy counts stay inside their bounds, in a world where only updates happen */

struct census { int32_t healthy, live; };

static bool has_check(const struct snapshot *snapshot, const struct task *task)
{
	EACH_OBJECT(snapshot, TASK_DEFINITION, task_definition, record) {
		const struct ecs_task_definition *found = record->definition;
		char name[128];
		int length = snprintf(name, sizeof(name), "%.*s:%d", STR(found->family), found->revision.value);

		for (size_t i = 0; i < found->container_definitions.count; i++)
			if (str_equal(task->definition, (struct str){name, (size_t)length}) &&
			    found->container_definitions.items[i].health_check &&
			    found->container_definitions.items[i].essential.value)
				return true;
	}
	return false;
}

/* With a check HEALTHY, without one RUNNING for a while. */
static bool is_healthy(const struct snapshot *snapshot, const struct task *task, usec now)
{
	if (!is_wanted(task) || task->last_status != TASK_STATUS_RUNNING)
		return false;
	if (has_check(snapshot, task))
		return task->health_status == ECS_HEALTH_STATUS_HEALTHY;
	return task->started_at.value + SECONDS(HEALTHY_SECONDS) <= now;
}

static struct census count_tasks(struct sim *sim, const struct snapshot *snapshot, struct str service)
{
	struct census census = {0};
	usec now = (sim->now + MSECS(1) - 1) / MSECS(1) * MSECS(1);      /* as the plane reads the clock */

	EACH_OBJECT(snapshot, TASK, task, task) {
		if (!is_live(task) || !str_equal(task->service, service))
			continue;
		census.live++;
		census.healthy += is_healthy(snapshot, task, now);
	}
	return census;
}

static void check_bounds(struct sim *sim, const struct snapshot *snapshot, const struct service *service)
{
	struct census *before = map_get(&sim->healthy, service->name), now = count_tasks(sim, snapshot, service->name);
	const struct ecs_deployment_configuration *configuration = service->deployment_configuration;
	int64_t desired = service->desired_count.value;
	int32_t lower = (int32_t)((desired * configuration->minimum_healthy_percent.value + 99) / 100);
	int32_t upper = (int32_t)(desired * configuration->maximum_percent.value / 100);

	if (!before) {
		before = arena_new(&sim->arena, struct census);
		map_put(&sim->healthy, arena_copy(&sim->arena, service->name), before);
	}
	if (service->status == SERVICE_STATUS_ACTIVE && now.healthy < before->healthy && now.healthy < lower)
		violation(sim, "healthy counts inside their bounds", "service %.*s fell from %d healthy tasks to %d, not below %d",
			  STR(service->name), before->healthy, now.healthy, lower);
	if (service->status == SERVICE_STATUS_ACTIVE && now.live > before->live && now.live > upper)
		violation(sim, "healthy counts inside their bounds", "service %.*s went from %d tasks to %d, not above %d",
			  STR(service->name), before->live, now.live, upper);
	*before = now;
}

void check_server_step(struct sim *sim)
{
	struct snapshot snapshot;

	if (sim->server.effects.records.count == 0)
		return;
	plane_check(sim->server.plane);
	if (!sim->bounds_watched)
		return;
	snapshot_take(sim->server.plane, &snapshot);
	EACH_OBJECT(&snapshot, SERVICE, service, service)
		check_bounds(sim, &snapshot, service);
	snapshot_fini(&snapshot);
}

/* ---- Exit codes are what the kernel saw */

static void check_exit_code(struct sim *sim, const struct task *task, const struct task_container *container)
{
	struct str key = arena_printf(&sim->arena, "%.*s/%.*s", STR(task->id), STR(container->name));
	const struct exit_seen *seen = map_get(&sim->exits, key);

	if (!container->exit_code.has)
		return;
	/* What could not start because of what it depends on shows 143 (agent-protocol 4.3). */
	if (!seen && container->exit_code.value == 143 && !str_has(container->runtime_id))
		return;
	if (!seen)
		violation(sim, "exit codes are what the kernel saw", "%s %.*s never ended, and shows %d",
			  trace_name(sim, task->id), STR(container->name), container->exit_code.value);
	else if (seen->code != container->exit_code.value)
		violation(sim, "exit codes are what the kernel saw", "%s %.*s ended with %d, and shows %d",
			  trace_name(sim, task->id), STR(container->name), seen->code, container->exit_code.value);
}

/* The server ended these without their agent: an agent says of what ran when it ended, which is earlier. */
bool was_ended_from_afar(const struct task *task)
{
	return task->execution_stopped_at.value == task->stopped_at.value;
}

static const struct task_container *find_container(const struct snapshot *snapshot, const struct container *container,
						   const struct task **ret_task)
{
	EACH_OBJECT(snapshot, TASK, task, task) {
		if (!str_equal(task->id, container->box->id))
			continue;
		*ret_task = task;
		for (size_t i = 0; i < task->containers.count; i++)
			if (str_equal(task->containers.items[i].name, container->name))
				return &task->containers.items[i];
	}
	*ret_task = NULL;
	return NULL;
}

static void check_exit_is_told(struct sim *sim, const struct snapshot *snapshot, const struct container *container)
{
	const struct task *task;
	const struct task_container *shown = find_container(snapshot, container, &task);

	if (!container->ever || container->running || container->boot != container->box->machine->boot || !shown ||
	    was_ended_from_afar(task))
		return;
	if (!shown->exit_code.has)
		violation(sim, "exit codes are what the kernel saw", "%s %.*s ended with %d, and nothing is shown",
			  trace_name(sim, task->id), STR(container->name), container->exit_code);
}

void check_exit_codes(struct sim *sim, const struct snapshot *snapshot)
{
	EACH_OBJECT(snapshot, TASK, task, task)
		for (size_t i = 0; i < task->containers.count; i++)
			check_exit_code(sim, task, &task->containers.items[i]);
	for (unsigned i = 0; i < sim->machine_count; i++)
		EACH_CONTAINER(sim->machines[i], container)
			check_exit_is_told(sim, snapshot, container);
}

/* ---- Every task reaches its end */

static bool runs_somewhere(const struct sim *sim, const struct task *task)
{
	for (unsigned i = 0; i < sim->machine_count; i++)
		EACH_CONTAINER(sim->machines[i], container)
			if (container->running && str_equal(container->box->id, task->id))
				return true;
	return false;
}

void check_ends(struct sim *sim, const struct snapshot *snapshot)
{
	EACH_OBJECT(snapshot, TASK, task, task) {
		if (!is_wanted(task) && is_live(task))
			violation(sim, "every task reaches its end", "%s should have stopped", trace_name(sim, task->id));
		if (is_wanted(task) && task->last_status == TASK_STATUS_RUNNING && !runs_somewhere(sim, task))
			violation(sim, "every task reaches its end", "%s is RUNNING and runs nowhere", trace_name(sim, task->id));
	}
	for (unsigned i = 0; i < sim->machine_count; i++)
		EACH_CONTAINER(sim->machines[i], container) {
			const struct task *task;

			find_container(snapshot, container, &task);
			if (container->running && (!task || !is_wanted(task)))
				violation(sim, "every task reaches its end", "%s %.*s runs on %s, and nobody wants it",
					  trace_name(sim, container->box->id), STR(container->name), sim->machines[i]->name);
		}
}

/* ---- No placeable task is left waiting */

static bool is_connected(const struct sim *sim, const struct container_instance *instance)
{
	for (unsigned i = 0; i < sim->machine_count; i++)
		if (str_ends(agent_instance_arn(sim->machines[i]->agent), instance->id))
			return machine_is_connected(sim->machines[i]);
	return false;
}

static bool wants_distinct_instances(const struct service *service)
{
	for (size_t i = 0; i < service->placement_constraints.count; i++)
		if (service->placement_constraints.items[i].type == ECS_PLACEMENT_CONSTRAINT_TYPE_DISTINCT_INSTANCE)
			return true;
	return false;
}

static bool is_on(const struct snapshot *snapshot, const struct service *service, const struct container_instance *instance)
{
	EACH_OBJECT(snapshot, TASK, task, task)
		if (is_live(task) && str_equal(task->service, service->name) && str_equal(task->instance, instance->id))
			return true;
	return false;
}

/* For one more task of the service's PRIMARY deployment. */
static const struct container_instance *find_room(struct sim *sim, const struct snapshot *snapshot,
						  const struct service *service)
{
	struct needs needs = needs_of(snapshot, service->deployments.items[0].definition);
	bool distinct = wants_distinct_instances(service);
	const struct container_instance *found = NULL;

	EACH_OBJECT(snapshot, CONTAINER_INSTANCE, container_instance, instance)
		if (instance->status == INSTANCE_STATUS_ACTIVE && is_connected(sim, instance) &&
		    has_room(snapshot, instance, &needs) && !(distinct && is_on(snapshot, service, instance)))
			found = instance;
	return found;
}

/* Wanted tasks of the PRIMARY deployment, and of all. */
static void count_service(const struct snapshot *snapshot, const struct service *service, int32_t *ret_primary,
			  int32_t *ret_all)
{
	*ret_primary = *ret_all = 0;
	EACH_OBJECT(snapshot, TASK, task, task)
		if (is_live(task) && str_equal(task->service, service->name)) {
			*ret_all += 1;
			*ret_primary += is_wanted(task) && service->deployments.count &&
					str_equal(task->deployment, service->deployments.items[0].id);
		}
}

void check_placeable(struct sim *sim, const struct snapshot *snapshot)
{
	EACH_OBJECT(snapshot, SERVICE, service, service) {
		const struct container_instance *room;
		int32_t primary, all, desired = service->desired_count.value;

		count_service(snapshot, service, &primary, &all);
		if (service->status != SERVICE_STATUS_ACTIVE || primary >= desired ||
		    all >= (int64_t)desired * service->deployment_configuration->maximum_percent.value / 100)
			continue;
		room = find_room(sim, snapshot, service);
		if (room)
			violation(sim, "no placeable task is left waiting", "service %.*s has %d of %d tasks, and %s has room",
				  STR(service->name), primary, desired, trace_name(sim, room->id));
	}
}

/* ---- A quiet world settles */

static bool unsteady(char *why, size_t size, const char *what, struct str name)
{
	snprintf(why, size, "%s %.*s", what, STR(name));
	return false;
}

static bool service_is_steady(struct sim *sim, const struct snapshot *snapshot, const struct service *service)
{
	int32_t primary, all;

	if (service->status == SERVICE_STATUS_INACTIVE)
		return true;
	count_service(snapshot, service, &primary, &all);
	if (service->status == SERVICE_STATUS_DRAINING)
		return false;
	/* Short of room, a service is as steady as it can be. */
	if (!find_room(sim, snapshot, service))
		return true;
	return primary == service->desired_count.value && all == primary && service->deployments.count == 1 &&
	       service->steady.value;
}

/* It runs and should not, or not here: its agent has not heard yet, or it takes its time to end. */
static bool is_stray(const struct snapshot *snapshot, const struct container *container)
{
	const struct task *task;

	find_container(snapshot, container, &task);
	return container->running && (!task || !is_wanted(task));
}

static bool ends_by_itself(const struct container *container)
{
	struct str image = container->box->task->containers.items[container - container->box->containers].image;

	return container->running && !str_starts(image, S("web"));
}

/* It ended and nobody was told: it starts again in place, or its end is on its way. */
static bool is_between_runs(const struct snapshot *snapshot, const struct container *container)
{
	const struct task *task;
	const struct task_container *shown = find_container(snapshot, container, &task);

	return container->ever && !container->running && container->boot == container->box->machine->boot && task &&
	       is_live(task) && shown && shown->status == TASK_STATUS_RUNNING;
}

bool world_is_steady(struct sim *sim, const struct snapshot *snapshot, char *why, size_t size)
{
	const struct box *lingering = find_lingering_interface(sim, snapshot);
	bool steady = true;

	if (lingering)
		steady = unsteady(why, size, "has its interface still:", str_of(trace_name(sim, lingering->id)));
	for (unsigned i = 0; i < sim->machine_count; i++) {
		if (sim->machines[i]->on && !machine_is_connected(sim->machines[i]) && !sim->machines[i]->terminal)
			return unsteady(why, size, "not connected:", str_of(sim->machines[i]->name));
		EACH_CONTAINER(sim->machines[i], container)
			if (ends_by_itself(container) || is_stray(snapshot, container) || is_between_runs(snapshot, container))
				steady = unsteady(why, size, "will end or start:", str_of(trace_name(sim, container->box->id)));
	}
	EACH_OBJECT(snapshot, TASK, task, task) {
		if (is_live(task) && (!is_wanted(task) || task->last_status != TASK_STATUS_RUNNING || !runs_somewhere(sim, task)))
			steady = unsteady(why, size, "on its way:", str_of(trace_name(sim, task->id)));
		if (is_wanted(task) && has_check(snapshot, task) && task->health_status != ECS_HEALTH_STATUS_HEALTHY)
			steady = unsteady(why, size, "not healthy yet:", str_of(trace_name(sim, task->id)));
	}
	EACH_OBJECT(snapshot, SERVICE, service, service)
		if (!service_is_steady(sim, snapshot, service))
			steady = unsteady(why, size, "service", service->name);
	return steady;
}
