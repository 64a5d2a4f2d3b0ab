/* launch.h - rules that RunTask, StartTask and services share. All fail with AWS's error (ecs-behaviour 2.2, 2.4). */
#pragma once
#include "control/ecs/placement.h"

struct call;

/* Looked up, and ACTIVE. */
bool launch_find_definition(struct call *call, struct str identifier, struct definition_entry **ret_definition);
bool launch_check_type(struct call *call, const struct definition_entry *definition, enum ecs_launch_type type);
bool launch_check_network(struct call *call, const struct definition_entry *definition, enum ecs_launch_type type,
			  const struct ecs_network_configuration *network);
bool launch_check_placement(struct call *call, enum ecs_launch_type type, const struct ecs_placement_constraints *constraints,
			    const struct ecs_placement_strategies *strategies);
/* A platform version is for FARGATE only; "LATEST" by default. */
bool launch_check_platform(struct call *call, enum ecs_launch_type type, struct str version);
struct str launch_platform(enum ecs_launch_type type, struct str version);       /* "LATEST" resolved; or absent */
/* Of an awsvpc task; NULL for others. */
const struct ecs_aws_vpc_configuration *launch_network(const struct definition_entry *definition,
						       const struct ecs_network_configuration *network);
/* Where instances must be for the subnets. */
struct placement_zones launch_zones(struct plane *plane, const struct realm *realm,
				    const struct ecs_aws_vpc_configuration *network);
/* As it is kept and shown: with empty lists and defaults filled in (ecs-behaviour 7.3). */
struct ecs_network_configuration *launch_settle_network(struct call *call, const struct ecs_network_configuration *asked);
struct ecs_tags launch_tags(struct call *call, const struct cluster_entry *cluster, const struct definition_entry *definition,
			    const struct ecs_tags *own, bool from_definition, bool managed, struct str service);
