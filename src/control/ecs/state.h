/* state.h - the ECS room's entries and their indexes.
 *
 * Who points to whom: cluster ⊃ instances, services, tasks (all, also STOPPED); instance and service ⊃ their
 * live tasks (lastStatus not STOPPED); family ⊃ revisions. Counts that the API shows are kept as tasks move. */
#pragma once
#include "base/list.h"
#include "control/room.h"
#include "model/task.h"

/* Tasks by the status that the API counts. */
struct task_counts { int32_t live, running, pending; };

struct cluster_entry {
	ENTRY_OF(cluster);
	struct sorted_node by_name;
	struct sorted instances, services, tasks;        /* by id, name, id */
	struct link stopped;                             /* task_entry.in_stopped, the oldest first */
	size_t stopped_count;
	struct task_counts counts, counts_by_launch_type[5];     /* by enum ecs_launch_type */
	struct placement_scope placement;
	struct wake wake;                                /* INACTIVE ends */
};

struct family_entry {
	ENTRY_OF(task_family);
	struct sorted_node by_name;
	struct sorted revisions;                         /* by the revision as 10 digits */
};

struct definition_entry {
	ENTRY_OF(task_definition);
	struct sorted_node by_revision;
	char revision_key[12];
	struct family_entry *family;
	uint32_t used_by;                                /* tasks, also in history, and deployments */
	struct wake wake;                                /* DELETE_IN_PROGRESS ends */
};

/* Agents that give their machine to the provider's pool only register here (`wherry agent --fargate`). Users neither
 * see it nor use it; an instance of another cluster is in the pool as well when it has the attribute. */
#define POOL_CLUSTER S("wherry-fargate")
#define POOL_ATTRIBUTE S("wherry.fargate")

struct port_booking { int32_t port; bool udp; };

/* A machine's resources, booked from placement until STOPPED (agent-protocol 3.1). */
struct node_entry {
	ENTRY_OF(node);
	int64_t cpu_free, memory_free;
	LIST_OF(struct port_booking) ports;              /* by tasks; the reserved ones are in the record */
	LIST_OF(struct str) gpus;                        /* by tasks; the words of their records */
	struct link memberships;                         /* instance_entry.of_node */
};

struct instance_entry {
	ENTRY_OF(container_instance);
	struct sorted_node by_id;
	struct cluster_entry *cluster;
	struct node_entry *node;
	struct link of_node;
	struct link in_pool;                             /* of its realm; only with POOL_ATTRIBUTE */
	struct link tasks;                               /* task_entry.on_instance, those of Fargate included */
	struct task_counts counts, fargate_counts;       /* of all; of what its cluster does not see */
	struct session *session;                         /* NULL: agentConnected is false */
	usec silent_since;                               /* when the session ended; the start of this process before any */
	struct wake wake;                                /* lost_after, gone_after */
	struct link candidates;                          /* its places in placement classes (placement.c) */
};

struct service_entry {
	ENTRY_OF(service);
	struct sorted_node by_name;
	struct cluster_entry *cluster;
	struct link tasks;                               /* task_entry.of_service */
	struct task_counts counts;
	struct sorted events;                            /* event_entry.by_number */
	struct wake wake;                                /* reconcile: now, or at retryAt */
	struct placement_class *waiting;                 /* found no room there; woken by what could help */
	struct link in_waiting;
};

struct event_entry {
	ENTRY_OF(service_event);
	struct sorted_node by_number;
	char number_key[21];
	struct service_entry *service;
};

struct task_entry {
	ENTRY_OF(task);
	struct sorted_node by_id;
	struct cluster_entry *cluster;
	struct definition_entry *definition;
	struct instance_entry *instance;                 /* while it is booked there; of another cluster for Fargate */
	struct instance_entry *was_on;                   /* between the indexes' remove and add */
	struct service_entry *service;                   /* while it is live */
	struct link on_instance, of_service, in_stopped;
	bool to_send;                                    /* its agent hears of it at the end of the step */
	struct wake wake;                                /* protection ends, health settles, history ends */
};

struct setting_entry {
	ENTRY_OF(account_setting);
	struct sorted_node by_key;
};

struct token_entry {
	ENTRY_OF(client_token);
	struct wake wake;
};

/* Runs a body for each entry of a sorted index: SORTED_EACH(&cluster->services, struct service_entry, by_name, service) */
#define SORTED_EACH(tree, type, member, item) \
	for (struct sorted_node *item##_node = sorted_first(tree), *item##_once; item##_node; \
	     item##_node = sorted_after((tree), item##_node->key)) \
		for (type *item = (item##_once = item##_node, CONTAINER_OF(item##_node, type, member)); item##_once; \
		     item##_once = NULL)

/* ---- Finding things by what a request calls them (ecs-behaviour 2.3). All fail with AWS's error. */
struct call;

/* Absent or empty: "default". ClusterNotFoundException when there is none, or when it is INACTIVE and
 * `must_be_active`. */
bool find_cluster(struct call *call, struct str identifier, bool must_be_active, struct cluster_entry **ret_cluster);
/* For what agents ask: they may name POOL_CLUSTER, too. */
bool find_agent_cluster(struct call *call, struct str identifier, bool must_be_active, struct cluster_entry **ret_cluster);
/* NULL results instead of errors, for the Describe calls that answer MISSING: the id part of a name or an ARN whose
 * account, region and cluster fit; absent when it cannot be one. `type`: "task", "container-instance", "service". */
struct str identifier_in_cluster(struct call *call, const struct cluster_entry *cluster, struct str type,
				 struct str identifier);
/* family, family:revision or ARN → the definition; the newest ACTIVE one for a bare family. NULL: none. Sets
 * INVALID_PARAMETER for a malformed identifier. */
struct definition_entry *find_definition(struct call *call, struct str identifier);
/* The task an ARN names, in any cluster of the realm; NULL: none. */
struct task_entry *find_task_by_arn(struct plane *plane, const struct realm *realm, struct str arn);

/* ---- Names (ecs-behaviour 13.2). In the step's arena. */
struct str ecs_arn(struct plane *plane, const struct realm *realm, const char *format, ...) PRINTF_LIKE(3, 4);
struct str cluster_arn(struct plane *plane, const struct cluster_entry *cluster);
struct str instance_arn(struct plane *plane, const struct instance_entry *instance);
struct str service_arn(struct plane *plane, const struct service_entry *service);
struct str task_arn(struct plane *plane, const struct task_entry *task);
struct str container_arn(struct plane *plane, const struct task_entry *task, struct str container_id);
struct str definition_arn(struct plane *plane, const struct definition_entry *definition);

/* ---- Tags (ecs-behaviour 13.4) */
bool check_tags(struct error *err, enum error_code code, const struct ecs_tags *tags);   /* `code`: what they fail with */
struct ecs_tags merge_tags(struct arena *arena, const struct ecs_tags *below, const struct ecs_tags *above);
