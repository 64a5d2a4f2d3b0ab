/* world.h - a plane on a real store, stepped from here: for setting a scene, and for timing each part of a step.
 *
 * world_step does what the server's brain does with an event (records, replies and messages are encoded), on one
 * thread; world_commit makes everything since the last one durable. `spent` says where the time went. */
#pragma once
#include "base/buffer.h"
#include "bench/figure.h"
#include "control/plane.h"
#include "store/store.h"

enum spending { SPENT_STEP, SPENT_RECORDS, SPENT_REPLIES, SPENT_MESSAGES, SPENT_COMMIT, SPENDING_COUNT };

struct world {
	struct plane *plane;
	struct store *store;
	struct effects effects;
	struct arena arena;                              /* of a step; its replies are good until the next */
	struct arena pending;                            /* keys and values since the last commit */
	LIST_OF(struct store_change) changes;
	struct buffer scratch;
	uint64_t seed, sessions, records;
	int64_t spent[SPENDING_COUNT];
};

extern const struct caller world_root, world_agent;

/* Agents that are connected stay so: heartbeats are an hour apart. */
void world_init(struct world *world, struct str folder, struct str database);
/* Commits and closes the store; the plane goes too, unless it was taken out. */
void world_fini(struct world *world);

void world_step(struct world *world, struct event *event);
void world_commit(struct world *world);

const void *world_decode(const struct operation *operation, const char *request, struct arena *arena);

/* A call that must succeed: its output, good until the next step. */
const void *world_call(struct world *world, const struct caller *caller, const char *operation, const void *input);
/* `input` as JSON with ' for ". */
const void *world_ask(struct world *world, const struct caller *caller, const char *operation, const char *request);

/* Registers `count` machines of 16 vCPU and 64 GiB in the default cluster; their ARNs, in `arena`. */
struct str *world_register(struct world *world, size_t count, struct arena *arena);
void world_connect(struct world *world, struct str instance);
/* FAMILY0 … : one container each of 64 CPU units and 128 MiB. */
void world_define(struct world *world, size_t count);
