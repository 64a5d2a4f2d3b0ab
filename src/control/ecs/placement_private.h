/* placement_private.h - between the parts of placement.
 *
 * placement_rules.c: whether an instance suits a class. placement_strategy.c: which of those that do comes first, and which
 * task goes first when a service shrinks. placement_class.c: a class made out of a request. placement.c: the index, kept as
 * facts change, and choosing. */
#pragma once
#include "base/heap.h"
#include "base/list.h"
#include "control/ecs/placement.h"

/* Instances that share the values of the leading spread attributes. */
struct bucket {
	struct str value;                                /* behind the bucket */
	int32_t tasks;                                   /* of the class's group, below it */
	size_t available;                                /* candidates with room, below it */
	size_t members;                                  /* candidates, below it; none: it is freed */
	struct bucket *parent, *children, *next;
	struct heap heap;                                /* candidates with room; leaves only */
};

/* One instance as one class sees it. */
struct candidate {
	struct placement_class *class;
	struct instance_entry *instance;
	struct link of_instance;
	struct link of_class;
	struct bucket *leaf;
	struct heap_node node;
	int32_t group_tasks;                             /* of the class's group on the instance */
	enum refusal fixed;                              /* what does not depend on load: status, attributes, … */
	enum refusal refusal;
	uint64_t draw;                                   /* for the random strategy */
};

enum ranking { RANK_SPREAD, RANK_CPU, RANK_MEMORY, RANK_RANDOM };

enum { RANKINGS_LIMIT = 5 };

struct placement_class {
	struct link in_scope;
	struct arena arena;
	struct str key;
	struct placement_scope *scope;
	struct cluster_entry *cluster;                   /* of its tasks */
	enum ecs_launch_type launch_type;
	struct str group;
	struct task_needs needs;
	struct placement_zones zones;
	const struct ecs_requires_attributes *attributes;        /* a copy: definitions may be deleted */
	enum ecs_cpu_architecture architecture;
	LIST_OF(const struct cluster_query *) queries;
	bool distinct, dynamic;                          /* dynamic: a query looks at running tasks */
	struct str levels[RANKINGS_LIMIT];               /* leading spreads: attribute names */
	size_t level_count;
	enum ranking rankings[RANKINGS_LIMIT];
	size_t ranking_count;
	struct bucket root;
	struct link candidates;                          /* candidate.of_class */
	uint32_t instances, counts[REFUSAL_COUNT];
	struct link waiting;                             /* service_entry.in_waiting */
};

/* --- placement_rules.c, in the order of ecs-behaviour 6.1 --- */
bool placement_attribute(const struct instance_entry *instance, struct str name, struct str *ret_value);
/* By what does not depend on load, and by what does. */
enum refusal placement_fixed_refusal(const struct placement_class *class, struct instance_entry *instance);
enum refusal placement_load_refusal(const struct placement_class *class, struct instance_entry *instance, int32_t group_tasks);
struct str placement_missing_attribute(const struct placement_class *class, const struct instance_entry *instance);

/* --- placement_strategy.c --- */
void placement_add_strategies(struct placement_class *class, const struct ecs_placement_strategies *strategies);
bool candidate_comes_before(const struct heap_node *left, const struct heap_node *right);        /* in a leaf */

/* --- placement_class.c --- */
void placement_class_free(struct placement_class *class);

/* --- placement.c --- */
void candidate_new(struct plane *plane, struct placement_class *class, struct instance_entry *instance);
void candidate_free(struct candidate *candidate);
