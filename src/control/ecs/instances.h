/* instances.h - container instances, and small things that all Describe calls of the room share. */
#pragma once
#include "control/ecs/state.h"

struct call;

#define INSTANCE_INACTIVE_USEC (3600 * USEC_PER_SEC)     /* how long a deregistered one is still described */

/* `include`: bits 1 << enum ecs_container_instance_field. */
void describe_instance(struct plane *plane, const struct instance_entry *instance, unsigned include,
		       struct ecs_container_instance *ret_instance);
struct instance_entry *find_instance(struct call *call, const struct cluster_entry *cluster, struct str identifier);
/* Emits with the next version: everything that makes a state-change event counts it up (ecs-behaviour 3.2). */
void instance_emit(struct plane *plane, struct instance_entry *instance, struct container_instance *next);
/* Put by PutAttributes or ECS_INSTANCE_ATTRIBUTES, not by the agent or the service itself. */
bool instance_attribute_is_custom(struct str name);

/* `failures->items` has room. */
struct ecs_failure *add_failure(struct call *call, struct ecs_failures *failures, struct str arn, struct str reason);
/* The full ARN of what was asked for and is not there (ecs-behaviour 2.5). */
struct str missing_arn(struct call *call, const struct cluster_entry *cluster, struct str type, struct str identifier);
/* Whether one of the first `count` items is the same. */
