/* RunTask and StartTask (ecs-behaviour 5.4, 5.5). */
#include "api/ecs_handlers.h"
#include "base/buffer.h"
#include "control/call.h"
#include "control/ec2/ec2.h"
#include "control/ecs/definition_rules.h"
#include "control/ecs/instances.h"
#include "control/ecs/launch.h"
#include "control/ecs/nulls.h"
#include "control/ecs/tasks.h"
#include "wire/json.h"

enum {
	RUN_LIMIT = 10, CONSTRAINTS_LIMIT = 10, STRATEGIES_LIMIT = 5, GROUP_LIMIT = 255, TOKEN_LIMIT = 64,
	TOKENS_KEPT_LIMIT = 200000,                      /* for 24 hours each */

	STARTED_BY_LIMIT = 128, START_STARTED_BY_LIMIT = 36, OVERRIDES_LIMIT = 8192, FAILURES_LIMIT = 100,
};

/* ---- rules that both share, and services in part (launch.h) */
bool launch_find_definition(struct call *call, struct str identifier, struct definition_entry **ret_definition)
{
	struct definition_entry *definition;

	if (str_empty(identifier))
		return fail(&call->error, ERROR_INVALID_PARAMETER, "TaskDefinition can not be blank.");
	definition = find_definition(call, identifier);
	if (!definition && call->error.code)
		return false;
	if (!definition)
		return fail(&call->error, ERROR_CLIENT, "TaskDefinition not found.");
	if (definition->record->definition->status != ECS_TASK_DEFINITION_STATUS_ACTIVE)
		return fail(&call->error, ERROR_CLIENT, "TaskDefinition is inactive");
	*ret_definition = definition;
	return true;
}

static bool is_compatible(const struct ecs_task_definition *definition, enum ecs_compatibility wanted)
{
	for (size_t i = 0; i < definition->compatibilities.count; i++)
		if (definition->compatibilities.items[i] == wanted)
			return true;
	return false;
}

bool launch_check_type(struct call *call, const struct definition_entry *definition, enum ecs_launch_type type)
{
	switch (type) {
	case ECS_LAUNCH_TYPE_ABSENT:
	case ECS_LAUNCH_TYPE_EC2:
		return true;
	case ECS_LAUNCH_TYPE_EXTERNAL:
		if (is_compatible(definition->record->definition, ECS_COMPATIBILITY_EXTERNAL))
			return true;
		return fail(&call->error, ERROR_CLIENT, "Task definition does not support launch_type EXTERNAL.");
	case ECS_LAUNCH_TYPE_FARGATE:
		if (is_compatible(definition->record->definition, ECS_COMPATIBILITY_FARGATE))
			return true;
		return fail(&call->error, ERROR_CLIENT, "Task definition does not support launch_type FARGATE.");
	case ECS_LAUNCH_TYPE_MANAGED_INSTANCES:
		break;
	}
	return fail(&call->error, ERROR_UNSUPPORTED_FEATURE, "Wherry does not do the launch type MANAGED_INSTANCES yet.");
}

bool launch_check_network(struct call *call, const struct definition_entry *definition, enum ecs_launch_type type,
			  const struct ecs_network_configuration *network)
{
	bool own_address = definition->record->definition->network_mode == ECS_NETWORK_MODE_AWSVPC;

	if (own_address && (!network || !network->awsvpc_configuration))
		return fail(&call->error, ERROR_INVALID_PARAMETER,
			    "Network Configuration must be provided when networkMode 'awsvpc' is specified.");
	if (!own_address && network && network->awsvpc_configuration)
		return fail(&call->error, ERROR_INVALID_PARAMETER,
			    "Network Configuration is not valid for the given networkMode of this task definition.");
	if (!own_address)
		return true;
	if (type != ECS_LAUNCH_TYPE_FARGATE &&
	    network->awsvpc_configuration->assign_public_ip == ECS_ASSIGN_PUBLIC_IP_ENABLED)
		return fail(&call->error, ERROR_INVALID_PARAMETER, "Assign public IP is not supported for this launch type.");
	return ec2_check_network(call, network->awsvpc_configuration);
}

const struct ecs_aws_vpc_configuration *launch_network(const struct definition_entry *definition,
						       const struct ecs_network_configuration *network)
{
	if (definition->record->definition->network_mode != ECS_NETWORK_MODE_AWSVPC || !network)
		return NULL;
	return network->awsvpc_configuration;
}

struct placement_zones launch_zones(struct plane *plane, const struct realm *realm,
				    const struct ecs_aws_vpc_configuration *network)
{
	struct placement_zones zones = {.any = network == NULL};

	for (size_t i = 0; network && i < network->subnets.count; i++) {
		struct str zone = ec2_subnet_zone(plane, realm, network->subnets.items[i]);

		if (zones.count < PLACEMENT_ZONES_LIMIT && str_has(zone) && !str_listed(zones.names, zones.count, zone))
			zones.names[zones.count++] = zone;
	}
	return zones;
}

struct ecs_network_configuration *launch_settle_network(struct call *call, const struct ecs_network_configuration *asked)
{
	struct ecs_network_configuration *settled;
	struct ecs_aws_vpc_configuration *network;

	if (!asked || !asked->awsvpc_configuration)
		return NULL;
	settled = shape_copy(&shape_ecs_network_configuration, asked, call->arena);
	nulls_clear(&shape_ecs_network_configuration, settled);
	network = settled->awsvpc_configuration;
	if (!network->security_groups.items)
		network->security_groups.items = arena_array(call->arena, struct str, 0);
	if (!network->assign_public_ip)
		network->assign_public_ip = ECS_ASSIGN_PUBLIC_IP_DISABLED;
	return settled;
}

bool launch_check_platform(struct call *call, enum ecs_launch_type type, struct str version)
{
	static const struct str known[] = {STR_INIT("LATEST"), STR_INIT("1.4.0"), STR_INIT("1.3.0")};

	if (str_empty(version))
		return true;
	if (type != ECS_LAUNCH_TYPE_FARGATE)
		return fail(&call->error, ERROR_INVALID_PARAMETER,
			    "The platform version must be null when specifying an EC2 launch type.");
	return str_listed(known, COUNT(known), version) ||
	       fail(&call->error, ERROR_PLATFORM_UNKNOWN, "The specified platform does not exist.");
}

struct str launch_platform(enum ecs_launch_type type, struct str version)
{
	if (type != ECS_LAUNCH_TYPE_FARGATE)
		return STR_NONE;
	return str_empty(version) || str_equal(version, S("LATEST")) ? S("1.4.0") : version;
}

bool launch_check_placement(struct call *call, enum ecs_launch_type type, const struct ecs_placement_constraints *constraints,
			    const struct ecs_placement_strategies *strategies)
{
	if (type == ECS_LAUNCH_TYPE_FARGATE && constraints->count)
		return fail(&call->error, ERROR_INVALID_PARAMETER,
			    "Placement constraints are not supported with FARGATE launch type.");
	if (type == ECS_LAUNCH_TYPE_FARGATE && strategies->count)
		return fail(&call->error, ERROR_INVALID_PARAMETER,
			    "Placement strategies are not supported with FARGATE launch type.");
	if (constraints->count > CONSTRAINTS_LIMIT)
		return fail(&call->error, ERROR_INVALID_PARAMETER, "placementConstraints can have at most 10 items.");
	if (strategies->count > STRATEGIES_LIMIT)
		return fail(&call->error, ERROR_INVALID_PARAMETER, "placementStrategy can have at most 5 items.");
	for (size_t i = 0; i < constraints->count; i++) {
		const struct ecs_placement_constraint *constraint = &constraints->items[i];
		bool member_of = constraint->type == ECS_PLACEMENT_CONSTRAINT_TYPE_MEMBER_OF;

		if (constraint->type == ECS_PLACEMENT_CONSTRAINT_TYPE_ABSENT)
			return fail(&call->error, ERROR_INVALID_PARAMETER, "Placement constraint type can not be blank.");
		if (member_of == str_empty(constraint->expression))
			return fail(&call->error, ERROR_INVALID_PARAMETER, member_of
				    ? "The memberOf placement constraint needs an expression."
				    : "The distinctInstance placement constraint takes no expression.");
	}
	for (size_t i = 0; i < strategies->count; i++) {
		const struct ecs_placement_strategy *strategy = &strategies->items[i];
		struct str field = strategy->field;
		bool ok;

		switch (strategy->type) {
		case ECS_PLACEMENT_STRATEGY_TYPE_RANDOM: ok = str_empty(field); break;
		case ECS_PLACEMENT_STRATEGY_TYPE_BINPACK:
			ok = str_equal_ignoring_case(field, S("cpu")) || str_equal_ignoring_case(field, S("memory"));
			break;
		case ECS_PLACEMENT_STRATEGY_TYPE_SPREAD:
			ok = str_equal_ignoring_case(field, S("instanceId")) || str_equal_ignoring_case(field, S("host")) ||
			     (str_starts(field, S("attribute:")) && field.len > 10);
			break;
		default: ok = false; break;
		}
		if (!ok)
			return fail(&call->error, ERROR_INVALID_PARAMETER, "The placement strategy field '%.*s' is not valid.",
				    STR(field));
	}
	return true;
}

static bool has_container(const struct ecs_task_definition *definition, struct str name)
{
	for (size_t i = 0; i < definition->container_definitions.count; i++)
		if (str_equal(definition->container_definitions.items[i].name, name))
			return true;
	return false;
}

/* Fargate needs the sizes that are on its list, whoever says them (ecs-behaviour 4.3). */
static bool check_fargate_size(struct call *call, const struct ecs_task_definition *definition,
			       const struct ecs_task_override *overrides)
{
	struct str cpu_text = overrides && str_has(overrides->cpu) ? overrides->cpu : definition->cpu;
	struct str memory_text = overrides && str_has(overrides->memory) ? overrides->memory : definition->memory;
	int64_t cpu = 0, memory = 0;

	if (str_empty(cpu_text) || str_empty(memory_text))
		return fail(&call->error, ERROR_CLIENT, "Fargate requires that '%s' be defined at the task level.",
			    str_empty(cpu_text) ? "cpu" : "memory");
	if (definition_parse_cpu(cpu_text, &cpu) && definition_parse_memory(memory_text, &memory) &&
	    definition_is_fargate_size(definition, cpu, memory))
		return true;
	return fail(&call->error, ERROR_CLIENT,
		    "No Fargate configuration exists for given values: %lld CPU, %lld memory. "
		    "See the Amazon ECS documentation for the valid values.", (long long)cpu, (long long)memory);
}

static bool check_storage(struct call *call, enum ecs_launch_type type, const struct ecs_task_override *overrides)
{
	const struct ecs_ephemeral_storage *storage = overrides ? overrides->ephemeral_storage : NULL;

	if (!storage)
		return true;
	if (type != ECS_LAUNCH_TYPE_FARGATE)
		return fail(&call->error, ERROR_INVALID_PARAMETER, "Ephemeral storage is only supported for Fargate tasks.");
	if (storage->size_in_gi_b.value < 21 || storage->size_in_gi_b.value > 200)
		return fail(&call->error, ERROR_INVALID_PARAMETER, "Ephemeral storage size must be between 21 and 200 GiB.");
	return true;
}

static bool check_override_requirements(struct call *call, const struct ecs_container_override *override)
{
	const struct ecs_resource_requirements *all = &override->resource_requirements;

	for (size_t i = 0; i < all->count; i++) {
		uint64_t count;

		if (all->items[i].type != ECS_RESOURCE_TYPE_GPU)
			return fail(&call->error, ERROR_INVALID_PARAMETER, "Only GPU resource requirements can be overridden.");
		if (!str_equal(all->items[i].value, S("ALL")) &&
		    (!str_to_unsigned(all->items[i].value, &count) || count == 0 || count > INT16_MAX))
			return fail(&call->error, ERROR_INVALID_PARAMETER,
				    "The value of a GPU resource requirement must be a positive integer or ALL.");
	}
	return true;
}

static bool check_overrides(struct call *call, const struct definition_entry *definition,
			    const struct ecs_task_override *overrides)
{
	auto_buffer text = {0};
	int64_t units;

	if (!overrides)
		return true;
	json_encode(&shape_ecs_task_override, overrides, &text);
	if (text.len > OVERRIDES_LIMIT)
		return fail(&call->error, ERROR_INVALID_PARAMETER, "Container Overrides length must be at most %d", OVERRIDES_LIMIT);
	if (overrides->inference_accelerator_overrides.count)
		return fail(&call->error, ERROR_UNSUPPORTED_FEATURE, "Wherry does not do inferenceAcceleratorOverrides yet.");
	if (definition_has_nul(buffer_str(&text)))
		return fail(&call->error, ERROR_INVALID_PARAMETER, "Strings of overrides cannot contain NUL characters.");
	for (size_t i = 0; i < overrides->container_overrides.count; i++) {
		const struct ecs_container_override *override = &overrides->container_overrides.items[i];
		const char *fault = definition_variables_fault(&override->environment);

		if (fault)
			return fail(&call->error, ERROR_INVALID_PARAMETER, "%s", fault);
		if (!has_container(definition->record->definition, override->name))
			return fail(&call->error, ERROR_INVALID_PARAMETER,
				    "Override for container named %.*s is not a container in the TaskDefinition.", STR(override->name));
		if (override->cpu.value < 0 || override->memory.value < 0 || override->memory_reservation.value < 0)
			return fail(&call->error, ERROR_INVALID_PARAMETER, "Override for container named %.*s must not be negative.",
				    STR(override->name));
		if (!check_override_requirements(call, override))
			return false;
	}
	if ((str_has(overrides->cpu) && !definition_parse_cpu(overrides->cpu, &units)) ||
	    (str_has(overrides->memory) && !definition_parse_memory(overrides->memory, &units)))
		return fail(&call->error, ERROR_INVALID_PARAMETER, "Invalid 'cpu' or 'memory' override for task.");
	return true;
}

static bool check_names(struct call *call, struct str group, struct str started_by, size_t started_by_limit)
{
	if (group.len > GROUP_LIMIT)
		return fail(&call->error, ERROR_INVALID_PARAMETER, "group can have at most %d characters.", GROUP_LIMIT);
	if (str_starts(group, S("family:")) || str_starts(group, S("service:")))
		return fail(&call->error, ERROR_INVALID_PARAMETER, "Invalid group: the prefixes 'family:' and 'service:' are reserved.");
	if (started_by.len > started_by_limit)
		return fail(&call->error, ERROR_INVALID_PARAMETER, "startedBy can have at most %zu characters.", started_by_limit);
	for (size_t i = 0; i < started_by.len; i++) {
		char c = started_by.ptr[i];

		if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
		      (c && strchr("-/_.:", c))))
			return fail(&call->error, ERROR_INVALID_PARAMETER, "startedBy contains invalid characters.");
	}
	return true;
}

/* ---- tags: the definition's below the request's, the managed ones on top (ecs-behaviour 5.4) */
struct ecs_tags launch_tags(struct call *call, const struct cluster_entry *cluster, const struct definition_entry *definition,
			    const struct ecs_tags *own, bool from_definition, bool managed, struct str service)
{
	struct ecs_tags none = {0};
	struct ecs_tags tags = merge_tags(call->arena, from_definition ? &definition->record->tags : &none, own);
	struct ecs_tag added[2] = {{.key = S("aws:ecs:clusterName"), .value = cluster->record->name},
				   {.key = S("aws:ecs:serviceName"), .value = service}};

	if (!managed)
		return tags;
	return merge_tags(call->arena, &tags, &(struct ecs_tags){added, str_has(service) ? 2 : 1});
}

/* ---- client tokens */
static bool check_token(struct call *call, struct str token)
{
	if (token.len > TOKEN_LIMIT)
		return fail(&call->error, ERROR_INVALID_PARAMETER, "idempotency token longer than %d.", TOKEN_LIMIT);
	for (size_t i = 0; i < token.len; i++)
		if (token.ptr[i] < '!' || token.ptr[i] > '~')
			return fail(&call->error, ERROR_INVALID_PARAMETER, "clientToken contains invalid characters.");
	return true;
}

static bool replay(struct call *call, const struct token_entry *token, struct cluster_entry *cluster, struct str request,
		   struct ecs_run_task_response *out)
{
	const struct client_token *record = token->record;

	out->tasks.items = arena_array(call->arena, struct ecs_task, record->task_ids.count);
	if (!str_equal(record->request, request)) {
		call->resource_ids.items = arena_array(call->arena, struct str, record->task_ids.count);
		for (size_t i = 0; i < record->task_ids.count; i++)
			call->resource_ids.items[call->resource_ids.count++] =
				ecs_arn(call->plane, call->realm, "task/%.*s/%.*s", STR(cluster->record->name),
					STR(record->task_ids.items[i]));
		return fail(&call->error, ERROR_CONFLICT,
			    "The RunTask request could not be processed due to conflicts. "
			    "The provided clientToken is already in use with a different request.");
	}
	for (size_t i = 0; i < record->task_ids.count; i++) {
		struct sorted_node *node = sorted_get(&cluster->tasks, record->task_ids.items[i]);

		if (node)
			describe_task(call->plane, CONTAINER_OF(node, struct task_entry, by_id), true,
				      &out->tasks.items[out->tasks.count++]);
	}
	out->failures = record->failures;
	if (!out->failures.items)
		out->failures.items = arena_new(call->arena, struct ecs_failure);
	return true;
}

static void remember(struct call *call, struct str id, const struct ecs_run_task_request *in, struct cluster_entry *cluster,
		     struct str request, const struct ecs_run_task_response *out)
{
	struct client_token token = {.operation = S("RunTask"), .cluster = cluster->record->name, .token = in->client_token,
				     .request = request, .failures = out->failures,
				     .created_at = {plane_now(call->plane), true}};

	token.task_ids.items = arena_array(call->arena, struct str, out->tasks.count);
	for (size_t i = 0; i < out->tasks.count; i++) {
		struct str arn = out->tasks.items[i].task_arn;

		token.task_ids.items[token.task_ids.count++] = str_slice(arn, str_find_last(arn, '/') + 1, arn.len);
	}
	emit(call->plane, call->realm, RECORD_CLIENT_TOKEN, id, &token);
}

static struct str fingerprint(struct call *call, const struct ecs_run_task_request *in)
{
	struct ecs_run_task_request request = *in;
	auto_buffer text = {0};

	request.client_token = STR_NONE;
	json_encode(&shape_ecs_run_task_request, &request, &text);
	return arena_printf(call->arena, "%016llx%016llx", (unsigned long long)str_hash(buffer_str(&text), 1),
			    (unsigned long long)str_hash(buffer_str(&text), 2));
}

/* ---- RunTask */
static void add_refusals(struct call *call, const struct placement_class *class, const struct cluster_entry *cluster,
			 struct ecs_failures *failures)
{
	failures->items = arena_array(call->arena, struct ecs_failure, FAILURES_LIMIT);
	failures->count = 0;
	SORTED_EACH(&cluster->instances, struct instance_entry, by_id, instance) {
		struct str detail;
		enum refusal refusal = placement_refusal(class, instance, &detail);

		if (failures->count == FAILURES_LIMIT || instance->record->status == INSTANCE_STATUS_INACTIVE)
			continue;
		add_failure(call, failures, instance_arn(call->plane, instance), refusal_failure(refusal))->detail = detail;
	}
}

static bool has_instances(const struct cluster_entry *cluster)
{
	SORTED_EACH(&cluster->instances, struct instance_entry, by_id, instance)
		if (instance->record->status != INSTANCE_STATUS_INACTIVE)
			return true;
	return false;
}

/* A provider names no machine of its own; the rest says why, for whoever runs it. */
static void add_no_capacity(struct call *call, const struct placement_class *class, int32_t count,
			    struct ecs_failures *failures)
{
	struct placement_why why;
	struct str detail = S("no machine is in the provider's pool");

	placement_why(class, &why);
	if (why.nearest)
		detail = arena_printf(call->arena, "the closest of %u machines in the provider's pool: %.*s", why.instances,
				      STR(refusal_failure(why.nearest_refusal)));
	failures->items = arena_array(call->arena, struct ecs_failure, (size_t)count);
	for (int32_t i = 0; i < count; i++)
		failures->items[failures->count++] = (struct ecs_failure){
			.reason = S("Capacity is unavailable at this time. Please try again later or in a different availability zone"),
			.detail = detail};
}

static void add_not_made(struct call *call, const struct task_plan *plan, const struct error *err,
			     struct ecs_failures *failures)
{
	struct str arn = plan->launch_type == ECS_LAUNCH_TYPE_FARGATE ? STR_NONE : instance_arn(call->plane, plan->instance);

	if (!failures->items)
		failures->items = arena_new(call->arena, struct ecs_failure);
	add_failure(call, failures, arn, S("RESOURCE:ENI"))->detail = arena_copy(call->arena, str_of(err->text));
}

static bool place_and_create(struct call *call, const struct ecs_run_task_request *in, struct task_plan *plan, int32_t count,
			     struct ecs_run_task_response *out)
{
	struct placement_request request = {
		.cluster = plan->cluster, .definition = plan->definition, .launch_type = plan->launch_type,
		.group = plan->group, .needs = plan->needs, .constraints = in->placement_constraints,
		.strategies = in->placement_strategy,
		.zones = launch_zones(call->plane, call->realm, plan->network)};
	struct placement_class *class;
	struct task_entry *made[RUN_LIMIT];
	struct error err = {0};
	int32_t done = 0;

	if (!placement_class_get(call->plane, &request, &class, &call->error))
		return false;
	while (done < count && (plan->instance = placement_choose(class)) &&
	       (made[done] = task_create(call->plane, plan, &err)))
		done++;
	out->failures.items = arena_new(call->arena, struct ecs_failure);
	if (done < count && plan->instance)
		add_not_made(call, plan, &err, &out->failures);
	else if (done < count && placement_is_fargate(class))
		add_no_capacity(call, class, count - done, &out->failures);
	else if (done < count)
		add_refusals(call, class, plan->cluster, &out->failures);
	out->tasks.items = arena_array(call->arena, struct ecs_task, (size_t)done);
	for (int32_t i = 0; i < done; i++)
		describe_new_task(call->plane, made[i], &out->tasks.items[out->tasks.count++]);
	return true;
}

static bool check_run(struct call *call, const struct ecs_run_task_request *in, const struct definition_entry *definition)
{
	int32_t count = in->count.has ? in->count.value : 1;

	if (count < 1)
		return fail(&call->error, ERROR_INVALID_PARAMETER, "count cannot be less than 1");
	if (count > RUN_LIMIT)
		return fail(&call->error, ERROR_INVALID_PARAMETER, "Count cannot be greater than 10");
	if (in->capacity_provider_strategy.count && in->launch_type)
		return fail(&call->error, ERROR_INVALID_PARAMETER,
			    "Specify either Launch Type or Capacity Provider Strategy, but not both.");
	if (in->capacity_provider_strategy.count)
		return fail(&call->error, ERROR_INVALID_PARAMETER,
			    "The specified capacity provider does not exist. Specify a valid name or ARN and try again.");
	if (in->volume_configurations.count)
		return fail(&call->error, ERROR_UNSUPPORTED_FEATURE, "Wherry does not do volumes configured at launch yet.");
	if (in->propagate_tags == ECS_PROPAGATE_TAGS_SERVICE)
		return fail(&call->error, ERROR_INVALID_PARAMETER, "propagateTags SERVICE is not supported for RunTask.");
	if (in->enable_execute_command.value)
		return fail(&call->error, ERROR_UNSUPPORTED_FEATURE, "Wherry does not do ECS Exec yet.");
	return check_token(call, in->client_token) && check_tags(&call->error, ERROR_INVALID_PARAMETER, &in->tags) &&
	       check_names(call, in->group, in->started_by, STARTED_BY_LIMIT) &&
	       launch_check_type(call, definition, in->launch_type) &&
	       launch_check_platform(call, in->launch_type, in->platform_version) &&
	       launch_check_network(call, definition, in->launch_type, in->network_configuration) &&
	       launch_check_placement(call, in->launch_type, &in->placement_constraints, &in->placement_strategy) &&
	       check_overrides(call, definition, in->overrides) && check_storage(call, in->launch_type, in->overrides) &&
	       (in->launch_type != ECS_LAUNCH_TYPE_FARGATE ||
		check_fargate_size(call, definition->record->definition, in->overrides));
}

static struct str group_of(struct call *call, struct str group, const struct definition_entry *definition)
{
	return str_empty(group) ? arena_printf(call->arena, "family:%.*s", STR(definition->record->definition->family)) : group;
}

bool ecs_run_task(struct call *call, const struct ecs_run_task_request *in, struct ecs_run_task_response *out)
{
	struct task_plan plan = {.overrides = in->overrides, .started_by = in->started_by,
				 .launch_type = in->launch_type ? in->launch_type : ECS_LAUNCH_TYPE_EC2};
	struct str token_id = STR_NONE, request;
	struct token_entry *token = NULL;

	if (!launch_find_definition(call, in->task_definition, &plan.definition) ||
	    !find_cluster(call, in->cluster, true, &plan.cluster) || !check_run(call, in, plan.definition))
		return false;
	request = fingerprint(call, in);
	if (!str_empty(in->client_token)) {
		token_id = arena_printf(call->arena, "RunTask/%.*s/%.*s", STR(plan.cluster->record->name), STR(in->client_token));
		token = entry_find(call->plane, call->realm, RECORD_CLIENT_TOKEN, token_id);
	}
	if (str_has(token_id) && !token && entry_count(call->plane, RECORD_CLIENT_TOKEN) >= TOKENS_KEPT_LIMIT)
		return fail(&call->error, ERROR_THROTTLING, "Rate exceeded");
	if (token)
		return replay(call, token, plan.cluster, request, out);
	if (plan.launch_type != ECS_LAUNCH_TYPE_FARGATE && !has_instances(plan.cluster))
		return fail(&call->error, ERROR_INVALID_PARAMETER, "No Container Instances were found in your cluster.");
	plan.group = group_of(call, in->group, plan.definition);
	plan.needs = task_needs(call->plane, plan.definition, in->overrides);
	plan.network = launch_network(plan.definition, in->network_configuration);
	plan.platform_version = launch_platform(plan.launch_type, in->platform_version);
	plan.tags = launch_tags(call, plan.cluster, plan.definition, &in->tags,
				in->propagate_tags == ECS_PROPAGATE_TAGS_TASK_DEFINITION, in->enable_ecs_managed_tags.value, STR_NONE);
	if (!place_and_create(call, in, &plan, in->count.has ? in->count.value : 1, out))
		return false;
	if (str_has(token_id))
		remember(call, token_id, in, plan.cluster, request, out);
	return true;
}

/* ---- StartTask: instances named, resources and attributes still checked */
static bool check_start(struct call *call, const struct ecs_start_task_request *in, const struct definition_entry *definition)
{
	if (in->container_instances.count == 0)
		return fail(&call->error, ERROR_INVALID_PARAMETER, "Container Instances cannot be empty.");
	if (in->container_instances.count > RUN_LIMIT)
		return fail(&call->error, ERROR_INVALID_PARAMETER, "Container Instances list cannot exceed 10.");
	if (in->volume_configurations.count)
		return fail(&call->error, ERROR_UNSUPPORTED_FEATURE, "Wherry does not do volumes configured at launch yet.");
	if (in->propagate_tags == ECS_PROPAGATE_TAGS_SERVICE)
		return fail(&call->error, ERROR_INVALID_PARAMETER, "propagateTags SERVICE is not supported for StartTask.");
	if (in->enable_execute_command.value)
		return fail(&call->error, ERROR_UNSUPPORTED_FEATURE, "Wherry does not do ECS Exec yet.");
	return check_tags(&call->error, ERROR_INVALID_PARAMETER, &in->tags) &&
	       check_names(call, in->group, in->started_by, START_STARTED_BY_LIMIT) &&
	       launch_check_network(call, definition, ECS_LAUNCH_TYPE_EC2, in->network_configuration) &&
	       check_overrides(call, definition, in->overrides) && check_storage(call, ECS_LAUNCH_TYPE_EC2, in->overrides);
}

static void start_on(struct call *call, struct task_plan *plan, struct instance_entry *instance,
		     struct ecs_start_task_response *out)
{
	struct placement_request request = {.cluster = plan->cluster, .definition = plan->definition, .group = plan->group,
					    .needs = plan->needs, .unconstrained = true,
					    .zones = launch_zones(call->plane, call->realm, plan->network)};
	struct str arn = instance_arn(call->plane, instance), detail;
	struct placement_class *class;
	struct error err = {0};
	struct task_entry *task;
	enum refusal refusal;

	plan->instance = instance;
	plan->launch_type = instance->record->external.value ? ECS_LAUNCH_TYPE_EXTERNAL : ECS_LAUNCH_TYPE_EC2;
	request.launch_type = plan->launch_type;
	if (!placement_class_get(call->plane, &request, &class, &err)) {
		add_failure(call, &out->failures, arn, refusal_failure(REFUSAL_MEMBER_OF));
		return;
	}
	refusal = placement_refusal(class, instance, &detail);
	if (refusal != REFUSAL_NONE) {
		add_failure(call, &out->failures, arn, refusal_failure(refusal))->detail = detail;
		return;
	}
	task = task_create(call->plane, plan, &err);
	if (task)
		describe_new_task(call->plane, task, &out->tasks.items[out->tasks.count++]);
	else
		add_not_made(call, plan, &err, &out->failures);
}

bool ecs_start_task(struct call *call, const struct ecs_start_task_request *in, struct ecs_start_task_response *out)
{
	struct task_plan plan = {.overrides = in->overrides, .started_by = in->started_by};

	if (!launch_find_definition(call, in->task_definition, &plan.definition) ||
	    !find_cluster(call, in->cluster, true, &plan.cluster) || !check_start(call, in, plan.definition))
		return false;
	plan.group = group_of(call, in->group, plan.definition);
	plan.needs = task_needs(call->plane, plan.definition, in->overrides);
	plan.network = launch_network(plan.definition, in->network_configuration);
	plan.tags = launch_tags(call, plan.cluster, plan.definition, &in->tags,
				in->propagate_tags == ECS_PROPAGATE_TAGS_TASK_DEFINITION, in->enable_ecs_managed_tags.value, STR_NONE);
	out->tasks.items = arena_array(call->arena, struct ecs_task, in->container_instances.count);
	out->failures.items = arena_array(call->arena, struct ecs_failure, in->container_instances.count);
	for (size_t i = 0; i < in->container_instances.count; i++) {
		struct instance_entry *instance = find_instance(call, plan.cluster, in->container_instances.items[i]);

		if (!instance)
			add_failure(call, &out->failures, missing_arn(call, plan.cluster, S("container-instance"),
								      in->container_instances.items[i]), S("MISSING"));
		else
			start_on(call, &plan, instance, out);
	}
	return true;
}
