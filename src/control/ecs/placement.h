/* placement.h - where a task goes.
 *
 * Placement works per equivalence class: same cluster, definition, needs, constraints, strategy, group. A class
 * filters every instance once and keeps those with room in an index (buckets for leading spreads over an
 * attribute, a heap of scores in each), so that the next task of the class is placed in O(log n). Instances tell
 * their classes when something about them changes; a class with room again wakes the services that wait for it.
 * Order of rules and meaning of strategies: ecs-behaviour 6.1–6.3. A spread over an attribute that stands behind
 * an instance-level strategy could only break its ties and is not looked at. */
#pragma once
#include "control/ecs/state.h"

enum {
	PLACEMENT_CLASSES_LIMIT = 64,                    /* kept a cluster; the least used goes first */
	POOL_CLASSES_LIMIT = 1024,                       /* kept a realm, of Fargate tasks */
	PLACEMENT_ZONES_LIMIT = 16,                      /* EC2_SUBNETS_PER_TASK_LIMIT */
	ALL_GPUS = -1,                                   /* every GPU of a node, one at least */
};

/* What a task takes from a node (agent-protocol 3.1). */
struct task_needs {
	int64_t cpu, memory;
	int32_t gpus;                                    /* whole devices, or ALL_GPUS */
	struct numbers tcp_ports, udp_ports;             /* static host ports */
};

/* Zones that a task's subnets are in; an awsvpc task needs an instance in one of them. */
struct placement_zones {
	bool any;                                        /* not awsvpc */
	struct str names[PLACEMENT_ZONES_LIMIT];
	size_t count;
};

struct placement_request {
	struct cluster_entry *cluster;
	const struct definition_entry *definition;
	enum ecs_launch_type launch_type;
	struct str group;                                /* "service:web", "family:web", … */
	struct task_needs needs;
	struct placement_zones zones;
	struct ecs_placement_constraints constraints;    /* the request's or service's; the definition's come on top */
	struct ecs_placement_strategies strategies;
	bool unconstrained;                              /* not even by the definition: the caller names the instance */
};

enum refusal {
	REFUSAL_NONE, REFUSAL_INACTIVE, REFUSAL_AGENT, REFUSAL_LOCATION, REFUSAL_ATTRIBUTE, REFUSAL_CPU, REFUSAL_MEMORY,
	REFUSAL_GPU, REFUSAL_PORTS, REFUSAL_MEMBER_OF, REFUSAL_DISTINCT_INSTANCE, REFUSAL_COUNT
};

struct placement_class;

/* The class of a request, made when there is none; of FARGATE: in the provider's pool. Fails with INVALID_PARAMETER on a
 * constraint that does not parse. */
bool placement_class_get(struct plane *plane, const struct placement_request *request,
			 struct placement_class **ret_class, struct error *err);

/* The best instance with room, or NULL. The caller books by emitting a task on it; then asks again. */
struct instance_entry *placement_choose(struct placement_class *class);

/* Why one instance refuses (StartTask, failures[]). REFUSAL_NONE: it has room. */
enum refusal placement_refusal(const struct placement_class *class, const struct instance_entry *instance,
			       struct str *ret_detail);
struct str refusal_failure(enum refusal refusal);        /* "RESOURCE:CPU", "AGENT", … (ecs-behaviour 2.5) */
struct str refusal_sentence(enum refusal refusal);       /* "has insufficient CPU units available" (7.9) */

/* Why nothing was found: how many instances refuse for each reason, and the nearest miss. */
struct placement_why {
	uint32_t instances, counts[REFUSAL_COUNT];
	const struct instance_entry *nearest;
	enum refusal nearest_refusal;
};
void placement_why(const struct placement_class *class, struct placement_why *ret_why);
bool placement_is_fargate(const struct placement_class *class);

/* The service waits for room in the class: it is woken (service->wake) when an instance may have some. */
void placement_wait(struct plane *plane, struct placement_class *class, struct service_entry *service);
void placement_wait_end(struct service_entry *service);

/* Whether an instance fits a cluster query (wire/cluster_query.h). */
struct cluster_query;
bool placement_query_accepts(const struct cluster_query *query, struct instance_entry *instance);

/* ---- Called by state.c and sessions.c when facts change. */
void placement_instance_new(struct plane *plane, struct instance_entry *instance);
void placement_instance_gone(struct plane *plane, struct instance_entry *instance);
/* Status, attributes, resources or connection changed. */
void placement_instance_changed(struct plane *plane, struct instance_entry *instance);
/* A task was booked (+1) or released (-1) on the instance, or what it takes there changed (0); its node's other
 * memberships feel it too. To be called once all of the ledger is up to date. */
void placement_task_changed(struct plane *plane, struct instance_entry *instance, const struct cluster_entry *cluster,
			    struct str group, int change);
void placement_cluster_gone(struct plane *plane, struct cluster_entry *cluster);
void placement_check(const struct cluster_entry *cluster);
void placement_check_pool(const struct realm *realm);

/* For scale-in (ecs-behaviour 6.2): the task whose removal leaves the spread best. Of `count` live tasks of one
 * service; gives an index. */
size_t placement_worst(struct task_entry *const *tasks, size_t count,
		       const struct ecs_placement_strategies *strategies);
