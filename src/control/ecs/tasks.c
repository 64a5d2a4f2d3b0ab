#include "control/ecs/tasks.h"
#include <assert.h>
#include "control/call.h"
#include "control/ecs/services.h"
#include "control/ecs/sessions.h"

/* ---- needs */
static int64_t units(struct str text)
{
	int64_t value = 0;

	str_to_long(text, &value);
	return value;
}

const struct ecs_container_override *find_override(const struct ecs_task_override *overrides, struct str name)
{
	for (size_t i = 0; overrides && i < overrides->container_overrides.count; i++)
		if (str_equal(overrides->container_overrides.items[i].name, name))
			return &overrides->container_overrides.items[i];
	return NULL;
}

static struct maybe_integer either(struct maybe_integer above, struct maybe_integer below)
{
	return above.has ? above : below;
}

static int64_t container_cpu(const struct ecs_container_definition *container, const struct ecs_container_override *override)
{
	return either(override ? override->cpu : (struct maybe_integer){0}, container->cpu).value;
}

/* The reservation counts when there is one, else the limit (agent-protocol 3.1). */
static int64_t container_memory(const struct ecs_container_definition *container,
				const struct ecs_container_override *override)
{
	struct maybe_integer none = {0};
	struct maybe_integer soft = either(override ? override->memory_reservation : none, container->memory_reservation);
	struct maybe_integer hard = either(override ? override->memory : none, container->memory);

	return soft.has && soft.value ? soft.value : hard.value;
}

static void add_ports(struct arena *arena, struct numbers *ports, const struct ecs_port_mapping_list *mappings,
		      bool udp, bool host_mode)
{
	for (size_t i = 0; i < mappings->count; i++) {
		const struct ecs_port_mapping *mapping = &mappings->items[i];
		int32_t port = mapping->host_port.value;
		struct maybe_integer *items;

		if (port == 0 && host_mode)
			port = mapping->container_port.value;
		if ((mapping->protocol == ECS_TRANSPORT_PROTOCOL_UDP) != udp || port == 0)
			continue;
		items = arena_array(arena, struct maybe_integer, ports->count + 1);
		if (ports->count)
			memcpy(items, ports->items, ports->count * sizeof(*items));
		items[ports->count++] = (struct maybe_integer){port, true};
		ports->items = items;
	}
}

struct task_needs task_needs(struct plane *plane, const struct definition_entry *entry,
			     const struct ecs_task_override *overrides)
{
	const struct ecs_task_definition *definition = entry->record->definition;
	struct task_needs needs = {.cpu = units(definition->cpu), .memory = units(definition->memory)};
	bool host_mode = definition->network_mode == ECS_NETWORK_MODE_HOST;
	bool own_address = definition->network_mode == ECS_NETWORK_MODE_AWSVPC;
	bool sum_cpu, sum_memory;

	if (overrides && str_has(overrides->cpu))
		needs.cpu = units(overrides->cpu);
	if (overrides && str_has(overrides->memory))
		needs.memory = units(overrides->memory);
	sum_cpu = needs.cpu == 0;
	sum_memory = needs.memory == 0;
	for (size_t i = 0; i < definition->container_definitions.count; i++) {
		const struct ecs_container_definition *container = &definition->container_definitions.items[i];
		const struct ecs_container_override *override = find_override(overrides, container->name);

		needs.cpu += sum_cpu ? container_cpu(container, override) : 0;
		needs.memory += sum_memory ? container_memory(container, override) : 0;
		if (own_address)
			continue;
		add_ports(plane_arena(plane), &needs.tcp_ports, &container->port_mappings, false, host_mode);
		add_ports(plane_arena(plane), &needs.udp_ports, &container->port_mappings, true, host_mode);
	}
	return needs;
}

/* ---- making */
static struct task_containers new_containers(struct plane *plane, const struct ecs_task_definition *definition)
{
	const struct ecs_container_definitions *from = &definition->container_definitions;
	struct task_containers to = {arena_array(plane_arena(plane), struct task_container, from->count), from->count};

	for (size_t i = 0; i < from->count; i++)
		to.items[i] = (struct task_container){
			.name = from->items[i].name,
			.id = random_uuid(plane_random(plane), plane_arena(plane)),
			.status = TASK_STATUS_PENDING,
		};
	return to;
}

static struct str zone_of(const struct instance_entry *instance)
{
	const struct ecs_attributes *attributes = &instance->record->attributes;

	for (size_t i = 0; i < attributes->count; i++)
		if (str_equal(attributes->items[i].name, S("ecs.availability-zone")))
			return attributes->items[i].value;
	return STR_NONE;
}

struct task_entry *task_create(struct plane *plane, const struct task_plan *plan)
{
	struct maybe_time now = {plane_now(plane), true};
	struct task task = {
		.id = random_hex(plane_random(plane), plane_arena(plane), 32),
		.cluster = plan->cluster->record->name,
		.definition = entry_id(&plan->definition->entry),
		.instance = plan->instance->by_id.key,
		.launch_type = plan->launch_type,
		.desired_status = ECS_DESIRED_STATUS_RUNNING,
		.containers = new_containers(plane, plan->definition->record->definition),
		.overrides = (struct ecs_task_override *)plan->overrides,
		.group = plan->group, .started_by = plan->started_by,
		.service = plan->service, .deployment = plan->deployment,
		.cpu = {plan->needs.cpu, true}, .memory = {plan->needs.memory, true},
		.tcp_ports = plan->needs.tcp_ports, .udp_ports = plan->needs.udp_ports,
		.availability_zone = zone_of(plan->instance),
		.enable_execute_command = {plan->enable_execute_command, true},
		.health_status = ECS_HEALTH_STATUS_UNKNOWN,
		.created_at = now, .connectivity_at = now,
		.version = {1, true}, .tags = plan->tags,
	};
	struct str id = ARENA_JOIN(plane_arena(plane), task.cluster, S("/"), task.id);
	struct task_entry *entry;

	task_move(&task, TASK_STATUS_PENDING);
	entry = emit(plane, plan->cluster->realm, RECORD_TASK, id, &task);
	session_send_task(plane, entry);
	return entry;
}

void task_emit(struct plane *plane, struct task_entry *entry, struct task *next)
{
	next->version.value++;
	emit(plane, entry->realm, RECORD_TASK, entry_id(&entry->entry), next);
}

/* ---- stopping */
static void want_stopped(struct plane *plane, struct task *task, enum ecs_task_stop_code code, struct str reason)
{
	if (task->desired_status == ECS_DESIRED_STATUS_STOPPED)
		return;
	task->desired_status = ECS_DESIRED_STATUS_STOPPED;
	task->stop_code = code;
	task->stopped_reason = reason;
	task->stopping_at = (struct maybe_time){plane_now(plane), true};
}

static void touch_service(struct plane *plane, const struct task_entry *entry)
{
	if (entry->service)
		service_touch(plane, entry->service);
}

void task_stop(struct plane *plane, struct task_entry *entry, enum ecs_task_stop_code code, struct str reason)
{
	struct task next = *entry->record;

	if (!task_is_wanted(&next))
		return;
	if (!entry->instance || entry->instance->record->status == INSTANCE_STATUS_INACTIVE) {
		task_end(plane, entry, code, reason);
		return;
	}
	want_stopped(plane, &next, code, reason);
	task_emit(plane, entry, &next);
	session_send_task(plane, entry);
	touch_service(plane, entry);
}

void task_end(struct plane *plane, struct task_entry *entry, enum ecs_task_stop_code code, struct str reason)
{
	struct service_entry *service = entry->service;
	struct task next = *entry->record;
	struct maybe_time now = {plane_now(plane), true};

	if (!task_is_live(&next))
		return;
	want_stopped(plane, &next, code, reason);
	task_move(&next, TASK_STATUS_STOPPED);
	next.stopped_at = now;
	if (!next.execution_stopped_at.has)
		next.execution_stopped_at = now;
	next.containers = copy_containers(plane, &next.containers);
	for (size_t i = 0; i < next.containers.count; i++)
		next.containers.items[i].status = TASK_STATUS_STOPPED;
	task_emit(plane, entry, &next);
	if (!service)
		return;
	if (next.stop_code == ECS_TASK_STOP_CODE_TASK_FAILED_TO_START ||
	    next.stop_code == ECS_TASK_STOP_CODE_ESSENTIAL_CONTAINER_EXITED)
		service_task_failed(plane, service, entry->record);
	service_touch(plane, service);
}

struct task_containers copy_containers(struct plane *plane, const struct task_containers *from)
{
	struct task_containers to = {arena_array(plane_arena(plane), struct task_container, from->count), from->count};

	if (from->count)
		memcpy(to.items, from->items, from->count * sizeof(*to.items));
	return to;
}

/* ---- questions */
bool task_is_protected(const struct plane *plane, const struct task_entry *entry)
{
	return entry->record->protected_until.has && entry->record->protected_until.value > plane_now(plane);
}

bool instance_is_lost(const struct plane *plane, const struct instance_entry *instance)
{
	return !instance->session && plane_now(plane) >= instance->silent_since + plane_options(plane)->lost_after;
}

usec task_healthy_at(const struct plane *plane, const struct task_entry *entry)
{
	const struct task *task = entry->record;

	if (task->last_status != TASK_STATUS_RUNNING || !task_is_wanted(task) || !entry->instance ||
	    instance_is_lost(plane, entry->instance))
		return USEC_NEVER;
	return task->started_at.value + plane_options(plane)->healthy_after;
}

bool task_is_healthy(const struct plane *plane, const struct task_entry *entry)
{
	return task_healthy_at(plane, entry) <= plane_now(plane);
}

/* ---- describing (ecs-behaviour 5.2) */
static struct str number_text(struct arena *arena, int64_t value)
{
	return arena_printf(arena, "%lld", (long long)value);
}

static const struct ecs_container_definition *definition_of(const struct task_entry *entry, struct str name)
{
	const struct ecs_container_definitions *all;

	if (!entry->definition)
		return NULL;
	all = &entry->definition->record->definition->container_definitions;
	for (size_t i = 0; i < all->count; i++)
		if (str_equal(all->items[i].name, name))
			return &all->items[i];
	return NULL;
}

static void describe_container(struct plane *plane, const struct task_entry *entry, const struct task_container *from,
			       struct ecs_container *to)
{
	const struct ecs_container_definition *definition = definition_of(entry, from->name);
	const struct ecs_container_override *override = find_override(entry->record->overrides, from->name);
	struct arena *arena = plane_arena(plane);
	struct maybe_integer none = {0};

	*to = (struct ecs_container){
		.container_arn = container_arn(plane, entry, from->id),
		.task_arn = task_arn(plane, entry),
		.name = from->name,
		.image_digest = from->image_digest,
		.runtime_id = from->runtime_id,
		.last_status = shape_word_text(&shape_task_status, from->status),
		.exit_code = from->exit_code,
		.reason = from->reason,
		.network_bindings = from->network_bindings,
		.network_interfaces = {arena_new(arena, struct ecs_network_interface), 0},
		.health_status = from->health_status ? from->health_status : ECS_HEALTH_STATUS_UNKNOWN,
	};
	if (!to->network_bindings.items)
		to->network_bindings.items = arena_new(arena, struct ecs_network_binding);
	if (definition) {
		struct maybe_integer hard = either(override ? override->memory : none, definition->memory);
		struct maybe_integer soft = either(override ? override->memory_reservation : none, definition->memory_reservation);

		to->image = definition->image;
		to->cpu = number_text(arena, container_cpu(definition, override));
		to->memory = hard.has ? number_text(arena, hard.value) : STR_NONE;
		to->memory_reservation = soft.has ? number_text(arena, soft.value) : STR_NONE;
	}
}

/* Every container stands in the overrides by name, even without one. */
static struct ecs_task_override *describe_overrides(struct plane *plane, const struct task *task)
{
	struct arena *arena = plane_arena(plane);
	struct ecs_task_override *all = arena_new(arena, struct ecs_task_override);
	struct ecs_container_override *items = arena_array(arena, struct ecs_container_override, task->containers.count);

	if (task->overrides)
		*all = *task->overrides;
	for (size_t i = 0; i < task->containers.count; i++) {
		const struct ecs_container_override *override = find_override(task->overrides, task->containers.items[i].name);

		if (override)
			items[i] = *override;
		items[i].name = task->containers.items[i].name;
	}
	all->container_overrides = (struct ecs_container_overrides){items, task->containers.count};
	all->inference_accelerator_overrides.items = arena_new(arena, struct ecs_inference_accelerator_override);
	return all;
}

static struct ecs_attributes describe_attributes(struct plane *plane, const struct task_entry *entry)
{
	struct ecs_attribute *items = arena_new(plane_arena(plane), struct ecs_attribute);
	const struct ecs_attributes *all = entry->instance ? &entry->instance->record->attributes : NULL;

	for (size_t i = 0; all && i < all->count; i++)
		if (str_equal(all->items[i].name, S("ecs.cpu-architecture"))) {
			*items = (struct ecs_attribute){.name = all->items[i].name, .value = all->items[i].value};
			return (struct ecs_attributes){items, 1};
		}
	return (struct ecs_attributes){items, 0};
}

void describe_task(struct plane *plane, const struct task_entry *entry, bool with_tags, struct ecs_task *ret_task)
{
	const struct task *task = entry->record;
	struct arena *arena = plane_arena(plane);
	struct ecs_containers containers = {arena_array(arena, struct ecs_container, task->containers.count),
					    task->containers.count};

	for (size_t i = 0; i < containers.count; i++)
		describe_container(plane, entry, &task->containers.items[i], &containers.items[i]);
	*ret_task = (struct ecs_task){
		.attachments = {arena_new(arena, struct ecs_attachment), 0},
		.attributes = describe_attributes(plane, entry),
		.availability_zone = task->availability_zone,
		.cluster_arn = cluster_arn(plane, entry->cluster),
		.connectivity = entry->instance && !entry->instance->session ? ECS_CONNECTIVITY_DISCONNECTED
									    : ECS_CONNECTIVITY_CONNECTED,
		.connectivity_at = task->connectivity_at,
		.container_instance_arn = str_has(task->instance)
			? ecs_arn(plane, entry->realm, "container-instance/%.*s/%.*s", STR(task->cluster), STR(task->instance))
			: STR_NONE,
		.containers = containers,
		.cpu = number_text(arena, task->cpu.value),
		.created_at = task->created_at,
		.desired_status = shape_word_text(&shape_ecs_desired_status, (int32_t)task->desired_status),
		.enable_execute_command = task->enable_execute_command,
		.execution_stopped_at = task->execution_stopped_at,
		.group = task->group,
		.health_status = task->health_status,
		.last_status = shape_word_text(&shape_task_status, (int32_t)task->last_status),
		.launch_type = task->launch_type,
		.memory = number_text(arena, task->memory.value),
		.overrides = describe_overrides(plane, task),
		.pull_started_at = task->pull_started_at,
		.pull_stopped_at = task->pull_stopped_at,
		.started_at = task->started_at,
		.started_by = task->started_by,
		.stop_code = task->stop_code,
		.stopped_at = task->stopped_at,
		.stopped_reason = task->stopped_reason,
		.stopping_at = task->stopping_at,
		.tags = {arena_new(arena, struct ecs_tag), 0},
		.task_arn = task_arn(plane, entry),
		.task_definition_arn = ecs_arn(plane, entry->realm, "task-definition/%.*s", STR(task->definition)),
		.version = task->version,
	};
	if (with_tags && task->tags.items)
		ret_task->tags = task->tags;
}
