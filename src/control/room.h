/* room.h - what the rooms of the control plane share: entries, realms, and the one door for changes.
 *
 * An entry is a record in memory with its places in the indexes of its room. `record` points to the newest
 * value, owned by the entry; an emit replaces it whole, and the old value stays readable until the end of the
 * step. Entries are found by id and keep their address as long as their object exists. */
#pragma once
#include "base/heap.h"
#include "base/list.h"
#include "base/map.h"
#include "base/random.h"
#include "base/sorted.h"
#include "control/plane.h"

struct entry {
	const void *value;
	struct str key;                                  /* the record's key; owned by the entry */
	struct realm *realm;
};

/* The head of a typed entry: `record` is entry.value with its type. */
#define ENTRY_OF(type) \
	union { \
		struct entry entry; \
		struct { \
			const struct type *record; \
			struct str key; \
			struct realm *realm; \
		}; \
	}

/* Where tasks of one kind look for room: the instances of a cluster, or the provider's pool for Fargate
 * (ecs/placement.h). */
struct placement_scope {
	struct link classes;                             /* placement_class.in_scope, the last used first */
	size_t class_count;
};

/* One account in one region: nothing crosses its border. */
struct realm {
	struct str key, account, region;                 /* key: "ACCOUNT/REGION" */
	struct sorted clusters;                          /* cluster_entry.by_name */
	struct sorted families;                          /* family_entry.by_name */
	struct sorted settings;                          /* setting_entry.by_key */
	struct sorted log_groups;                        /* log_group_entry.by_name */
	struct sorted file_systems, file_system_tokens;  /* file_system_entry.by_id, by_token */
	struct sorted deleted_file_systems;              /* by_id of those that are only remembered */
	struct sorted access_points, access_point_tokens;        /* access_point_entry.by_id, by_token */
	struct sorted network[RECORD_ELASTIC_ADDRESS - RECORD_NETWORK_DEFAULTS + 1];     /* EC2's, by kind: ec2_objects() */
	struct link pool;                                /* instance_entry.in_pool: machines that hold Fargate tasks */
	struct placement_scope fargate;
};

/* The only door through which state changes: keeps a clone of `value` (NULL deletes), updates the indexes
 * through the kind's room and adds the record to the step's effects. `id` is what follows the realm in the key. Gives the
 * entry, or NULL after a deletion. */
void *emit(struct plane *plane, struct realm *realm, enum record_kind kind, struct str id, const void *value);

void *entry_find(struct plane *plane, const struct realm *realm, enum record_kind kind, struct str id);
/* The same with an id of printf form. */
void *entry_findf(struct plane *plane, const struct realm *realm, enum record_kind kind, const char *format, ...)
	PRINTF_LIKE(4, 5);
size_t entry_count(const struct plane *plane, enum record_kind kind);     /* in all realms */
struct str entry_id(const struct entry *entry);          /* its key without the realm */

usec plane_now(const struct plane *plane);
struct arena *plane_arena(struct plane *plane);          /* of this step */
struct random *plane_random(struct plane *plane);
const struct plane_options *plane_options(const struct plane *plane);
struct effects *plane_effects(struct plane *plane);
struct ecs *plane_ecs(const struct plane *plane);             /* the ECS room's own memory */
bool plane_is_restoring(const struct plane *plane);

/* Something to be looked at again: in this step (`due`) or at a time. The owner embeds the wake; it fires once
 * and may be set again from within. wake_set keeps the earlier of the two times. */
struct wake {
	struct heap_node node;
	usec at;
	void (*run)(struct plane *plane, struct wake *wake);
};

void wake_set(struct plane *plane, struct wake *wake, usec at);          /* plane_now(): before this step ends */
void wake_clear(struct plane *plane, struct wake *wake);

/* How a room keeps its indexes. `attach` and `detach` put a new entry into what holds it and take a deleted one out;
 * `add` and `remove` do what depends on the value: `remove` before a value goes, `add` after its successor came.
 * During recovery the things an entry points to are there already (records.h). */
struct entry_kind {
	const struct shape *shape;
	size_t size;                                     /* of the typed entry */
	void (*attach)(struct plane *plane, struct entry *entry);
	void (*detach)(struct plane *plane, struct entry *entry);
	void (*add)(struct plane *plane, struct entry *entry);
	void (*remove)(struct plane *plane, struct entry *entry);
};
extern const struct entry_kind entry_kinds[RECORD_KIND_LIMIT];
