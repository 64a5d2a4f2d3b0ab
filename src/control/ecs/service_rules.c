#include "control/ecs/service_rules.h"
#include "control/ecs/launch.h"
#include "control/ecs/services.h"
#include "wire/cluster_query.h"

struct service_wish service_wish_of_create(const struct ecs_create_service_request *in)
{
	return (struct service_wish){
		.verb = "created",
		.load_balancers = &in->load_balancers, .service_registries = &in->service_registries,
		.capacity_providers = &in->capacity_provider_strategy, .volumes = &in->volume_configurations,
		.lattice = &in->vpc_lattice_configurations, .connect = in->service_connect_configuration,
		.monitoring = in->monitoring, .network = in->network_configuration,
		.deployment = in->deployment_configuration, .controller = in->deployment_controller,
		.constraints = &in->placement_constraints, .strategies = &in->placement_strategy,
		.launch_type = in->launch_type, .scheduling = in->scheduling_strategy,
		.platform_version = in->platform_version, .grace_period = in->health_check_grace_period_seconds,
	};
}

struct service_wish service_wish_of_update(const struct ecs_update_service_request *in)
{
	return (struct service_wish){
		.verb = "updated",
		.load_balancers = &in->load_balancers, .service_registries = &in->service_registries,
		.capacity_providers = &in->capacity_provider_strategy, .volumes = &in->volume_configurations,
		.lattice = &in->vpc_lattice_configurations, .connect = in->service_connect_configuration,
		.monitoring = in->monitoring, .network = in->network_configuration,
		.deployment = in->deployment_configuration, .controller = in->deployment_controller,
		.constraints = &in->placement_constraints, .strategies = &in->placement_strategy,
		.platform_version = in->platform_version, .grace_period = in->health_check_grace_period_seconds,
	};
}

/* ---- What is not built yet */
static bool asks_balancers(const struct service_wish *wish) { return wish->load_balancers->count > 0; }
static bool asks_registries(const struct service_wish *wish) { return wish->service_registries->count > 0; }
static bool asks_providers(const struct service_wish *wish) { return wish->capacity_providers->count > 0; }
static bool asks_volumes(const struct service_wish *wish) { return wish->volumes->count > 0; }
static bool asks_lattice(const struct service_wish *wish) { return wish->lattice->count > 0; }
static bool asks_connect(const struct service_wish *wish) { return wish->connect && wish->connect->enabled.value; }
static bool asks_daemon(const struct service_wish *wish) { return wish->scheduling == ECS_SCHEDULING_STRATEGY_DAEMON; }

static bool asks_monitoring(const struct service_wish *wish)
{
	return wish->monitoring && wish->monitoring->metric_configurations.count > 0;
}

static bool asks_managed(const struct service_wish *wish)
{
	return wish->launch_type == ECS_LAUNCH_TYPE_MANAGED_INSTANCES;
}

static bool asks_code_deploy(const struct service_wish *wish)
{
	return wish->controller && wish->controller->type == ECS_DEPLOYMENT_CONTROLLER_TYPE_CODE_DEPLOY;
}

static bool asks_external(const struct service_wish *wish)
{
	return wish->controller && wish->controller->type == ECS_DEPLOYMENT_CONTROLLER_TYPE_EXTERNAL;
}

static bool asks_alarms(const struct service_wish *wish)
{
	return wish->deployment && wish->deployment->alarms && wish->deployment->alarms->enable.value;
}

static bool asks_hooks(const struct service_wish *wish)
{
	return wish->deployment && wish->deployment->lifecycle_hooks.count > 0;
}

static bool asks_bake(const struct service_wish *wish)
{
	return wish->deployment && wish->deployment->bake_time_in_minutes.value > 0;
}

static bool asks_strategy(const struct service_wish *wish, enum ecs_deployment_strategy strategy)
{
	return wish->deployment && wish->deployment->strategy == strategy;
}

static bool asks_blue_green(const struct service_wish *wish)
{
	return asks_strategy(wish, ECS_DEPLOYMENT_STRATEGY_BLUE_GREEN);
}

static bool asks_linear(const struct service_wish *wish)
{
	return asks_strategy(wish, ECS_DEPLOYMENT_STRATEGY_LINEAR) ||
	       (wish->deployment && wish->deployment->linear_configuration);
}

static bool asks_canary(const struct service_wish *wish)
{
	return asks_strategy(wish, ECS_DEPLOYMENT_STRATEGY_CANARY) ||
	       (wish->deployment && wish->deployment->canary_configuration);
}

/* An own text where AWS has one for an account without the thing. */
static const struct {
	bool (*asks)(const struct service_wish *wish);
	const char *thing, *text;
} not_built[] = {
	{asks_daemon, "the DAEMON scheduling strategy", NULL},
	{asks_code_deploy, "the CODE_DEPLOY deployment controller", NULL},
	{asks_external, "the EXTERNAL deployment controller", NULL},
	{asks_managed, "the MANAGED_INSTANCES launch type", NULL},
	{asks_providers, NULL, "The specified capacity provider does not exist. Specify a valid name or ARN and try again."},
	{asks_balancers, "load balancers", NULL},
	{asks_registries, "service registries", NULL},
	{asks_connect, "Service Connect", NULL},
	{asks_volumes, "volumes configured at launch", NULL},
	{asks_lattice, "VPC Lattice", NULL},
	{asks_monitoring, "service monitoring", NULL},
	{asks_alarms, "deployment alarms", NULL},
	{asks_hooks, "deployment lifecycle hooks", NULL},
	{asks_bake, "a bake time", NULL},
	{asks_blue_green, "blue/green deployments", NULL},
	{asks_linear, "linear deployments", NULL},
	{asks_canary, "canary deployments", NULL},
};

static bool check_is_built(struct call *call, const struct service_wish *wish)
{
	for (size_t i = 0; i < COUNT(not_built); i++) {
		if (!not_built[i].asks(wish))
			continue;
		if (not_built[i].text)
			return fail(&call->error, ERROR_INVALID_PARAMETER, "%s", not_built[i].text);
		return fail(&call->error, ERROR_UNSUPPORTED_FEATURE, "Wherry does not support %s yet.", not_built[i].thing);
	}
	return true;
}

/* ---- Placement */
static bool refuse(struct call *call, const char *text)
{
	return fail(&call->error, ERROR_INVALID_PARAMETER, "%s", text);
}

/* That every expression parses. */
static bool check_expressions(struct call *call, const struct ecs_placement_constraints *constraints)
{
	const struct cluster_query *query;

	for (size_t i = 0; i < constraints->count; i++)
		if (constraints->items[i].type == ECS_PLACEMENT_CONSTRAINT_TYPE_MEMBER_OF &&
		    !cluster_query_parse(constraints->items[i].expression, call->arena, &query, &call->error))
			return false;
	return true;
}

struct ecs_placement_strategies settle_strategies(struct call *call, const struct ecs_placement_strategies *asked)
{
	struct ecs_placement_strategies settled = {arena_array(call->arena, struct ecs_placement_strategy, asked->count),
						   asked->count};

	for (size_t i = 0; i < asked->count; i++) {
		settled.items[i] = asked->items[i];
		if (asked->items[i].type == ECS_PLACEMENT_STRATEGY_TYPE_BINPACK)
			settled.items[i].field = str_equal_ignoring_case(asked->items[i].field, S("cpu")) ? S("cpu") : S("memory");
	}
	return settled;
}

/* ---- Deployment configuration */
static struct ecs_threshold_configuration *settle_threshold(struct call *call,
							    const struct ecs_threshold_configuration *below,
							    const struct ecs_threshold_configuration *asked)
{
	struct ecs_threshold_configuration *settled = arena_new(call->arena, struct ecs_threshold_configuration);

	*settled = (struct ecs_threshold_configuration){.type = ECS_THRESHOLD_TYPE_BOUNDED_PERCENT, .value = {50, true}};
	if (asked || below)
		*settled = *(asked ? asked : below);
	return settled;
}

/* Rolling back without the breaker means nothing and is kept as false (ecs-behaviour 7.6). */
static struct ecs_deployment_circuit_breaker *settle_breaker(struct call *call,
							     const struct ecs_deployment_circuit_breaker *below,
							     const struct ecs_deployment_circuit_breaker *asked)
{
	static const struct ecs_deployment_circuit_breaker none = {
		.enable = {false, true}, .rollback = {false, true}, .reset_on_healthy_task = {true, true}};
	struct ecs_deployment_circuit_breaker *settled = arena_new(call->arena, struct ecs_deployment_circuit_breaker);

	*settled = below ? *below : none;
	if (asked) {
		settled->enable = (struct maybe_boolean){asked->enable.value, true};
		settled->rollback = (struct maybe_boolean){asked->enable.value && asked->rollback.value, true};
		if (asked->reset_on_healthy_task.has)
			settled->reset_on_healthy_task = asked->reset_on_healthy_task;
	}
	settled->threshold_configuration = settle_threshold(call, settled->threshold_configuration,
							    asked ? asked->threshold_configuration : NULL);
	return settled;
}

static bool check_threshold(struct call *call, const struct ecs_threshold_configuration *threshold)
{
	if (threshold->value.value < 1)
		return refuse(call, "The value of thresholdConfiguration must be at least 1.");
	if (threshold->type != ECS_THRESHOLD_TYPE_COUNT && threshold->value.value > 100)
		return refuse(call, "The value of thresholdConfiguration can not be greater than 100 percent.");
	return true;
}

static bool check_percentages(struct call *call, const struct ecs_deployment_configuration *configuration)
{
	int32_t maximum = configuration->maximum_percent.value, minimum = configuration->minimum_healthy_percent.value;

	if (minimum < 0 || minimum > 100)
		return refuse(call, "minimumHealthyPercent must be between 0 and 100.");
	if (maximum < 100 || maximum > MAXIMUM_PERCENT_LIMIT)
		return refuse(call, "maximumPercent must be at least 100.");
	if (maximum <= minimum)
		return refuse(call, "maximumPercent must be greater than minimumHealthyPercent.");
	return true;
}

bool settle_deployment_configuration(struct call *call, const struct ecs_deployment_configuration *below,
				     const struct ecs_deployment_configuration *asked,
				     struct ecs_deployment_configuration **ret_configuration)
{
	static const struct ecs_deployment_configuration by_default = {
		.maximum_percent = {200, true}, .minimum_healthy_percent = {100, true},
		.strategy = ECS_DEPLOYMENT_STRATEGY_ROLLING, .bake_time_in_minutes = {0, true}};
	struct ecs_deployment_configuration *settled = arena_new(call->arena, struct ecs_deployment_configuration);

	*settled = below ? *below : by_default;
	if (asked && asked->maximum_percent.has)
		settled->maximum_percent = asked->maximum_percent;
	if (asked && asked->minimum_healthy_percent.has)
		settled->minimum_healthy_percent = asked->minimum_healthy_percent;
	if (asked && asked->alarms)
		settled->alarms = asked->alarms;
	settled->deployment_circuit_breaker = settle_breaker(call, settled->deployment_circuit_breaker,
							     asked ? asked->deployment_circuit_breaker : NULL);
	if (!check_percentages(call, settled) ||
	    !check_threshold(call, settled->deployment_circuit_breaker->threshold_configuration))
		return false;
	*ret_configuration = settled;
	return true;
}

bool settle_rebalancing(struct call *call, const char *verb, enum ecs_availability_zone_rebalancing asked,
			enum ecs_availability_zone_rebalancing otherwise, int32_t maximum_percent,
			enum ecs_availability_zone_rebalancing *ret_rebalancing)
{
	enum ecs_availability_zone_rebalancing settled = asked ? asked : otherwise;

	if (maximum_percent <= 100 && asked == ECS_AVAILABILITY_ZONE_REBALANCING_ENABLED)
		return fail(&call->error, ERROR_INVALID_PARAMETER,
			    "The service couldn't be %s because Availability Zone Rebalancing does not support maximumPercent "
			    "<= 100 %% as deployment configuration. Update deployment configuration and try again.", verb);
	if (maximum_percent <= 100)
		settled = ECS_AVAILABILITY_ZONE_REBALANCING_DISABLED;
	*ret_rebalancing = settled;
	return true;
}

/* ---- Whole requests */
bool check_service_wish(struct call *call, const struct service_wish *wish, enum ecs_launch_type launch_type)
{
	if (wish->launch_type && wish->capacity_providers->count)
		return refuse(call, "Specify either Launch Type or Capacity Provider Strategy, but not both.");
	if (wish->grace_period.has && wish->grace_period.value < 0)
		return refuse(call, "Health check grace period can not be lesser than 0");
	if (!check_is_built(call, wish))
		return false;
	return launch_check_platform(call, launch_type, wish->platform_version) &&
	       launch_check_placement(call, launch_type, wish->constraints, wish->strategies) &&
	       check_expressions(call, wish->constraints);
}

/* What a service of Fargate needs of its definition alone: services have no overrides. */
static bool check_fargate_definition(struct call *call, const struct ecs_task_definition *definition)
{
	bool sized = str_has(definition->cpu);

	return (sized && str_has(definition->memory)) ||
	       fail(&call->error, ERROR_CLIENT, "Fargate requires that '%s' be defined at the task level.",
		    sized ? "memory" : "cpu");
}

bool check_service_definition(struct call *call, const struct service_wish *wish,
			      const struct definition_entry *entry, const struct service *next)
{
	const struct ecs_task_definition *definition = entry->record->definition;

	if (!launch_check_type(call, entry, next->launch_type) ||
	    !launch_check_network(call, entry, next->launch_type, next->network_configuration) ||
	    (next->launch_type == ECS_LAUNCH_TYPE_FARGATE && !check_fargate_definition(call, definition)))
		return false;
	if (next->placement_constraints.count + definition->placement_constraints.count > PLACEMENT_CONSTRAINTS_LIMIT)
		return refuse(call, "placementConstraints can have at most 10 items.");
	if (!next->enable_execute_command.value)
		return true;
	if (str_empty(definition->task_role_arn))
		return fail(&call->error, ERROR_INVALID_PARAMETER,
			    "The service couldn't be %s because a valid taskRoleArn is not being used. Specify a valid task "
			    "role in your task definition and try again.", wish->verb);
	return fail(&call->error, ERROR_UNSUPPORTED_FEATURE, "Wherry does not support ECS Exec yet.");
}

bool check_service_name(struct call *call, struct str name)
{
	static const char letters[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

	if (str_empty(name))
		return refuse(call, "Service name can not be blank.");
	if (name.len > SERVICE_NAME_LIMIT)
		return refuse(call, "Service name can have at most 255 characters.");
	for (size_t i = 0; i < name.len; i++)
		if (!memchr(letters, name.ptr[i], sizeof(letters) - 1))
			return refuse(call, "Service name contains invalid characters.");
	return true;
}

bool check_desired_count(struct call *call, struct maybe_integer count, const char *negative)
{
	if (count.value < 0)
		return refuse(call, negative);
	if (count.value > SERVICE_TASKS_LIMIT)
		return fail(&call->error, ERROR_INVALID_PARAMETER, "DesiredCount can not be greater than %d",
			    SERVICE_TASKS_LIMIT);
	return true;
}
