/* service_rules.h - what CreateService and UpdateService accept (ecs-behaviour 2.2, 2.4, 7.4).
 *
 * The checks fail call->error with AWS's texts. What Wherry does not build yet is refused by one table, so that
 * building it deletes a row. */
#pragma once
#include "control/call.h"
#include "control/ecs/state.h"

enum {
	SERVICE_NAME_LIMIT = 255,
	SERVICE_TOKEN_LIMIT = 36,
	PLACEMENT_CONSTRAINTS_LIMIT = 10,                /* the definition's included */
	MAXIMUM_PERCENT_LIMIT = 100000,
};

/* What both requests can ask for; absent where a request has no such member. */
struct service_wish {
	const char *verb;                                /* "created", "updated": for texts */
	const struct ecs_load_balancers *load_balancers;
	const struct ecs_service_registries *service_registries;
	const struct ecs_capacity_provider_strategy *capacity_providers;
	const struct ecs_service_volume_configurations *volumes;
	const struct ecs_vpc_lattice_configurations *lattice;
	const struct ecs_service_connect_configuration *connect;
	const struct ecs_monitoring_configuration *monitoring;
	const struct ecs_network_configuration *network;
	const struct ecs_deployment_configuration *deployment;
	const struct ecs_deployment_controller *controller;
	const struct ecs_placement_constraints *constraints;
	const struct ecs_placement_strategies *strategies;
	enum ecs_launch_type launch_type;
	enum ecs_scheduling_strategy scheduling;
	struct str platform_version;
	struct maybe_integer grace_period;
};

struct service_wish service_wish_of_create(const struct ecs_create_service_request *in);
struct service_wish service_wish_of_update(const struct ecs_update_service_request *in);

/* Everything in a wish that does not depend on the definition; `launch_type`: the service's. */
bool check_service_wish(struct call *call, const struct service_wish *wish, enum ecs_launch_type launch_type);
/* With the definition the service will have; `next`: all that it will be. */
bool check_service_definition(struct call *call, const struct service_wish *wish,
			      const struct definition_entry *definition, const struct service *next);
bool check_service_name(struct call *call, struct str name);
bool check_desired_count(struct call *call, struct maybe_integer count, const char *negative);

/* `below` with the members that `asked` (or NULL) gives, checked; all of AWS's defaults when `below` is NULL. */
bool settle_deployment_configuration(struct call *call, const struct ecs_deployment_configuration *below,
				     const struct ecs_deployment_configuration *asked,
				     struct ecs_deployment_configuration **ret_configuration);
/* What holds of AZ rebalancing: explicit words are checked, `otherwise` is what holds without. */
bool settle_rebalancing(struct call *call, const char *verb, enum ecs_availability_zone_rebalancing asked,
			enum ecs_availability_zone_rebalancing otherwise, int32_t maximum_percent,
			enum ecs_availability_zone_rebalancing *ret_rebalancing);
/* As asked, with binpack fields in lower case. */
struct ecs_placement_strategies settle_strategies(struct call *call, const struct ecs_placement_strategies *asked);
