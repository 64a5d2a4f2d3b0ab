/* launch.h - rules that RunTask, StartTask and services share. All fail with AWS's error (ecs-behaviour 2.2, 2.4). */
#pragma once
#include "control/ecs/state.h"

struct call;

/* Looked up, and ACTIVE. */
bool launch_find_definition(struct call *call, struct str identifier, struct definition_entry **ret_definition);
bool launch_check_type(struct call *call, const struct definition_entry *definition, enum ecs_launch_type type);
bool launch_check_network(struct call *call, const struct definition_entry *definition,
			  const struct ecs_network_configuration *network);
bool launch_check_placement(struct call *call, const struct ecs_placement_constraints *constraints,
			    const struct ecs_placement_strategies *strategies);
struct ecs_tags launch_tags(struct call *call, const struct cluster_entry *cluster, const struct definition_entry *definition,
			    const struct ecs_tags *own, bool from_definition, bool managed, struct str service);
