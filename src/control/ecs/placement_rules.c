#include "control/ecs/placement_private.h"
#include <assert.h>
#include "wire/cluster_query.h"

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
bool placement_attribute(const struct instance_entry *instance, struct str name, struct str *ret_value)
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
	return placement_attribute(self, name, ret_value);
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

		if (!placement_attribute(instance, wanted->name, &value) ||
		    (str_has(wanted->value) && !str_equal(wanted->value, value)))
			return false;
	}
	if (class->architecture == ECS_CPU_ARCHITECTURE_ABSENT ||
	    !placement_attribute(instance, S("ecs.cpu-architecture"), &value))
		return true;
	return str_equal(value, class->architecture == ECS_CPU_ARCHITECTURE_ARM64 ? S("arm64") : S("x86_64"));
}

static bool is_in_zones(const struct placement_zones *zones, const struct instance_entry *instance)
{
	struct str zone;

	/* A machine that does not say where it stands is shown in the first zone, and serves all. */
	return zones->any || (instance->record->any_zone.value && zones->count) ||
	       (placement_attribute(instance, S("ecs.availability-zone"), &zone) && str_listed(zones->names, zones->count, zone));
}

static bool fits_launch_type(const struct placement_class *class, const struct instance_entry *instance)
{
	return instance->record->external.value == (class->launch_type == ECS_LAUNCH_TYPE_EXTERNAL);
}

enum refusal placement_fixed_refusal(const struct placement_class *class, struct instance_entry *instance)
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

enum refusal placement_load_refusal(const struct placement_class *class, struct instance_entry *instance,
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

struct str placement_missing_attribute(const struct placement_class *class, const struct instance_entry *instance)
{
	struct str value;

	for (size_t i = 0; i < class->attributes->count; i++)
		if (!placement_attribute(instance, class->attributes->items[i].name, &value))
			return class->attributes->items[i].name;
	return STR_NONE;
}
