#include "control/ecs/tasks.h"
#include <assert.h>
#include "control/call.h"
#include "control/ec2/ec2.h"
#include "control/ecs/definition_rules.h"
#include "control/ecs/instances.h"
#include "control/ecs/services.h"
#include "control/ecs/sessions.h"

enum { FARGATE_STORAGE_GIB = 20 };

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

static const struct ecs_resource_requirements *requirements_of(const struct ecs_container_definition *container,
							       const struct ecs_container_override *override)
{
	return override && override->resource_requirements.items ? &override->resource_requirements
								 : &container->resource_requirements;
}

/* Whole GPUs, or ALL_GPUS. */
static int32_t container_gpus(const struct ecs_container_definition *container, const struct ecs_container_override *override)
{
	const struct ecs_resource_requirements *all = requirements_of(container, override);

	for (size_t i = 0; i < all->count; i++)
		if (all->items[i].type == ECS_RESOURCE_TYPE_GPU)
			return str_equal(all->items[i].value, S("ALL")) ? ALL_GPUS : (int32_t)units(all->items[i].value);
	return 0;
}

static int32_t add_gpus(int32_t sum, int32_t more)
{
	return sum == ALL_GPUS || more == ALL_GPUS ? ALL_GPUS : sum + more;
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
		definition_parse_cpu(overrides->cpu, &needs.cpu);
	if (overrides && str_has(overrides->memory))
		definition_parse_memory(overrides->memory, &needs.memory);
	sum_cpu = needs.cpu == 0;
	sum_memory = needs.memory == 0;
	for (size_t i = 0; i < definition->container_definitions.count; i++) {
		const struct ecs_container_definition *container = &definition->container_definitions.items[i];
		const struct ecs_container_override *override = find_override(overrides, container->name);

		needs.cpu += sum_cpu ? container_cpu(container, override) : 0;
		needs.memory += sum_memory ? container_memory(container, override) : 0;
		needs.gpus = add_gpus(needs.gpus, container_gpus(container, override));
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

/* Devices of the node that no task has, the first `wanted` of them. */
static struct strings pick_gpus(struct plane *plane, const struct node_entry *node, int32_t wanted)
{
	const struct strings *all = &node->record->gpus;
	size_t limit = wanted == ALL_GPUS ? all->count : (size_t)wanted;
	struct strings picked = {arena_array(plane_arena(plane), struct str, limit), 0};

	for (size_t i = 0; i < all->count && picked.count < limit; i++)
		if (!str_listed(node->gpus.items, node->gpus.count, all->items[i]))
			picked.items[picked.count++] = all->items[i];
	return picked;
}

static void give_gpus(const struct task_plan *plan, struct task *task)
{
	const struct ecs_container_definitions *containers = &plan->definition->record->definition->container_definitions;
	size_t given = 0;

	for (size_t i = 0; i < containers->count; i++) {
		const struct ecs_container_definition *container = &containers->items[i];
		int32_t wanted = container_gpus(container, find_override(plan->overrides, container->name));
		size_t count = wanted == ALL_GPUS ? task->gpus.count : MIN((size_t)wanted, task->gpus.count - given);

		if (count == 0)
			continue;
		task->containers.items[i].gpus = (struct strings){task->gpus.items + (wanted == ALL_GPUS ? 0 : given), count};
		given += wanted == ALL_GPUS ? 0 : count;
	}
}

/* ---- network interfaces */
struct str attachment_arn(struct plane *plane, const struct task_entry *task)
{
	return ecs_arn(plane, task->realm, "attachment/%.*s", STR(task->record->attachment->id));
}

struct task_attachment *copy_attachment(struct plane *plane, const struct task *task)
{
	struct task_attachment *copy = arena_new(plane_arena(plane), struct task_attachment);

	*copy = *task->attachment;
	return copy;
}

/* Of the task's tags, those that ECS manages are the interface's too (neighbours 8.4). */
static struct ec2_tag_list interface_tags(struct plane *plane, const struct ecs_tags *tags)
{
	struct ec2_tag_list list = {arena_array(plane_arena(plane), struct ec2_tag, tags->count), 0};

	for (size_t i = 0; i < tags->count; i++)
		if (str_starts(tags->items[i].key, S("aws:ecs:")))
			list.items[list.count++] = (struct ec2_tag){.key = tags->items[i].key, .value = tags->items[i].value};
	return list;
}

static bool make_interface(struct plane *plane, const struct task_plan *plan, struct str subnet, struct str attachment_id,
			   struct interface_view *ret_view, struct error *err)
{
	struct realm *realm = plan->cluster->realm;
	bool fargate = plan->launch_type == ECS_LAUNCH_TYPE_FARGATE;
	struct interface_plan interface = {
		.subnet_id = subnet,
		.groups = plan->network->security_groups,
		.public_address = plan->network->assign_public_ip == ECS_ASSIGN_PUBLIC_IP_ENABLED,
		.description = ecs_arn(plane, realm, "attachment/%.*s", STR(attachment_id)),
		.instance_account = realm->account, .instance_region = realm->region,
		.instance_cluster = plan->instance->cluster->record->name,
		.instance_id = plan->instance->by_id.key,
		.requester_managed = fargate,
		.tags = interface_tags(plane, &plan->tags),
	};

	return ec2_interface_create(plane, realm, &interface, ret_view, err);
}

/* From one of the task's subnets in its instance's zone, each in turn; from the next one when it has no room. */
static bool attach_interface(struct plane *plane, const struct task_plan *plan, struct task *task, struct error *err)
{
	const struct ecs_string_list *subnets = &plan->network->subnets;
	struct task_attachment *attachment = arena_new(plane_arena(plane), struct task_attachment);
	size_t first = subnets->count ? (size_t)(str_hash(task->id, 0) % subnets->count) : 0;
	struct interface_view view = {0};
	bool made = false;

	fail(err, ERROR_CLIENT, "no subnet of the task is in the zone %.*s", STR(task->availability_zone));
	attachment->id = random_uuid(plane_random(plane), plane_arena(plane));
	for (size_t i = 0; i < subnets->count && !made; i++) {
		struct str subnet = subnets->items[(first + i) % subnets->count];

		struct str zone = ec2_subnet_zone(plane, plan->cluster->realm, subnet);

		made = str_has(zone) && (plan->instance->record->any_zone.value || str_equal(zone, task->availability_zone)) &&
		       make_interface(plane, plan, subnet, attachment->id, &view, err);
	}
	if (!made)
		return false;
	*attachment = (struct task_attachment){
		.id = attachment->id, .status = ATTACHMENT_STATUS_ATTACHING, .subnet_id = view.subnet_id,
		.interface_id = view.id, .mac_address = view.mac_address, .private_name = view.private_name,
		.private_address = view.private_address};
	task->attachment = attachment;
	task->availability_zone = ec2_subnet_zone(plane, plan->cluster->realm, view.subnet_id);
	return true;
}

static struct maybe_integer storage_of(const struct task_plan *plan)
{
	const struct ecs_ephemeral_storage *asked = plan->overrides ? plan->overrides->ephemeral_storage : NULL;

	if (plan->launch_type != ECS_LAUNCH_TYPE_FARGATE)
		return (struct maybe_integer){0};
	asked = asked ? asked : plan->definition->record->definition->ephemeral_storage;
	return asked ? asked->size_in_gi_b : (struct maybe_integer){FARGATE_STORAGE_GIB, true};
}

struct task_entry *task_create(struct plane *plane, const struct task_plan *plan, struct error *err)
{
	struct maybe_time now = {plane_now(plane), true};
	bool own_cluster = plan->instance->cluster == plan->cluster;
	struct task task = {
		.id = random_hex(plane_random(plane), plane_arena(plane), 32),
		.cluster = plan->cluster->record->name,
		.definition = entry_id(&plan->definition->entry),
		.instance = plan->instance->by_id.key,
		.instance_cluster = own_cluster ? STR_NONE : plan->instance->cluster->record->name,
		.launch_type = plan->launch_type,
		.desired_status = ECS_DESIRED_STATUS_RUNNING,
		.containers = new_containers(plane, plan->definition->record->definition),
		.overrides = (struct ecs_task_override *)plan->overrides,
		.group = plan->group, .started_by = plan->started_by,
		.service = plan->service, .deployment = plan->deployment,
		.cpu = {plan->needs.cpu, true}, .memory = {plan->needs.memory, true},
		.tcp_ports = plan->needs.tcp_ports, .udp_ports = plan->needs.udp_ports,
		.platform_version = plan->platform_version, .ephemeral_storage = storage_of(plan),
		.availability_zone = zone_of(plan->instance),
		.enable_execute_command = {plan->enable_execute_command, true},
		.health_status = ECS_HEALTH_STATUS_UNKNOWN,
		.created_at = now, .connectivity_at = now,
		.version = {1, true}, .tags = plan->tags,
	};
	struct str id = ARENA_JOIN(plane_arena(plane), task.cluster, S("/"), task.id);
	struct task_entry *entry;

	if (plan->network && !attach_interface(plane, plan, &task, err))
		return NULL;
	if (plan->needs.gpus) {
		task.gpus = pick_gpus(plane, plan->instance->node, plan->needs.gpus);
		give_gpus(plan, &task);
	}
	task_move(&task, plan->network ? TASK_STATUS_PROVISIONING : TASK_STATUS_PENDING);
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
	if (next.attachment && next.last_status == TASK_STATUS_RUNNING)
		task_move(&next, TASK_STATUS_STOPPING);
	task_emit(plane, entry, &next);
	session_send_task(plane, entry);
	touch_service(plane, entry);
}

void task_deprovision(struct task *task)
{
	if (!task->attachment)
		return;
	if (!task_can_move(task->last_status, TASK_STATUS_DEPROVISIONING))
		task_move(task, TASK_STATUS_STOPPING);
	task_move(task, TASK_STATUS_DEPROVISIONING);
}

static void detach_interface(struct plane *plane, struct realm *realm, struct task *task)
{
	if (!task->attachment)
		return;
	ec2_interface_delete(plane, realm, task->attachment->interface_id);
	task->attachment = copy_attachment(plane, task);
	task->attachment->status = ATTACHMENT_STATUS_DELETED;
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
	detach_interface(plane, entry->realm, &next);
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

bool task_is_protected(const struct plane *plane, const struct task_entry *entry)
{
	return entry->record->protected_until.has && entry->record->protected_until.value > plane_now(plane);
}

bool instance_is_lost(const struct plane *plane, const struct instance_entry *instance)
{
	return !instance->session && plane_now(plane) >= instance->silent_since + plane_options(plane)->lost_after;
}

static bool is_checked(const struct ecs_container_definition *container)
{
	return container->health_check && (!container->essential.has || container->essential.value) &&
	       !(container->health_check->command.count && str_equal(container->health_check->command.items[0], S("NONE")));
}

bool task_container_is_checked(const struct task_entry *entry, struct str name)
{
	const struct ecs_container_definition *container = definition_of(entry, name);

	return container && is_checked(container);
}

bool task_is_checked(const struct task_entry *entry)
{
	const struct ecs_container_definitions *all;

	if (!entry->definition)
		return false;
	all = &entry->definition->record->definition->container_definitions;
	for (size_t i = 0; i < all->count; i++)
		if (is_checked(&all->items[i]))
			return true;
	return false;
}

usec task_healthy_at(const struct plane *plane, const struct task_entry *entry)
{
	const struct task *task = entry->record;

	if (task->last_status != TASK_STATUS_RUNNING || !task_is_wanted(task) || !entry->instance ||
	    instance_is_lost(plane, entry->instance))
		return USEC_NEVER;
	if (task_is_checked(entry))
		return task->health_status == ECS_HEALTH_STATUS_HEALTHY ? task->started_at.value : USEC_NEVER;
	return task->started_at.value + plane_options(plane)->healthy_after;
}

bool task_is_healthy(const struct plane *plane, const struct task_entry *entry)
{
	return task_healthy_at(plane, entry) <= plane_now(plane);
}

/* ---- describing (ecs-behaviour 5.2) */
static struct ecs_network_interfaces describe_interfaces(struct plane *plane, const struct task *task)
{
	struct ecs_network_interface *items = arena_new(plane_arena(plane), struct ecs_network_interface);

	if (!task->attachment)
		return (struct ecs_network_interfaces){items, 0};
	items->attachment_id = task->attachment->id;
	items->private_ipv4_address = task->attachment->private_address;
	return (struct ecs_network_interfaces){items, 1};
}

static struct ecs_attachments describe_attachments(struct plane *plane, const struct task *task)
{
	struct ecs_attachment *items = arena_new(plane_arena(plane), struct ecs_attachment);
	const struct task_attachment *from = task->attachment;
	struct ecs_key_value_pair *details;

	if (!from)
		return (struct ecs_attachments){items, 0};
	details = arena_array(plane_arena(plane), struct ecs_key_value_pair, 5);
	details[0] = (struct ecs_key_value_pair){S("subnetId"), from->subnet_id};
	details[1] = (struct ecs_key_value_pair){S("networkInterfaceId"), from->interface_id};
	details[2] = (struct ecs_key_value_pair){S("macAddress"), from->mac_address};
	details[3] = (struct ecs_key_value_pair){S("privateDnsName"), from->private_name};
	details[4] = (struct ecs_key_value_pair){S("privateIPv4Address"), from->private_address};
	*items = (struct ecs_attachment){
		.id = from->id, .type = S("ElasticNetworkInterface"),
		.status = shape_word_text(&shape_attachment_status, (int32_t)from->status), .details = {details, 5}};
	return (struct ecs_attachments){items, 1};
}

static struct str number_text(struct arena *arena, int64_t value)
{
	return arena_printf(arena, "%lld", (long long)value);
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
		.network_interfaces = describe_interfaces(plane, entry->record),
		.gpu_ids = {from->gpus.items, from->gpus.count},
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

static void describe_fargate(struct plane *plane, const struct task *task, struct ecs_task *ret_task)
{
	ret_task->container_instance_arn = STR_NONE;
	ret_task->platform_version = task->platform_version;
	ret_task->platform_family = S("Linux");
	ret_task->ephemeral_storage = arena_new(plane_arena(plane), struct ecs_ephemeral_storage);
	ret_task->ephemeral_storage->size_in_gi_b = task->ephemeral_storage;
	ret_task->fargate_ephemeral_storage = arena_new(plane_arena(plane), struct ecs_task_ephemeral_storage);
	ret_task->fargate_ephemeral_storage->size_in_gi_b = task->ephemeral_storage;
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
		.attachments = describe_attachments(plane, task),
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
	if (task->launch_type == ECS_LAUNCH_TYPE_FARGATE)
		describe_fargate(plane, task, ret_task);
}

void describe_new_task(struct plane *plane, const struct task_entry *entry, struct ecs_task *ret_task)
{
	describe_task(plane, entry, true, ret_task);
	if (!entry->record->attachment)
		return;
	ret_task->attachments.items[0].status = S("PRECREATED");
	ret_task->attachments.items[0].details.count = 1;
	for (size_t i = 0; i < ret_task->containers.count; i++)
		ret_task->containers.items[i].network_interfaces.count = 0;
}
