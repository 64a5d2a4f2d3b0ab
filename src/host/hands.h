/* hands.h - does on this host what the agent's brain asks, and reports facts.
 *
 * Jobs run on a few worker threads, those of one task in order; facts come back through a queue whose `fd`
 * turns readable. Host work that must be taken back is a table of steps with undo. Everything is idempotent
 * and found again after a crash: keepers by their sockets, namespaces, mounts and cgroups by their names. */
#pragma once
#include "agent/agent.h"

enum { HANDS_WORKERS = 4 };

struct hands;
struct image_logins;
struct images;
struct network;

struct hands_options {
	struct str data, run;                            /* DATA and RUN folders */
	struct str runtime, keeper;                      /* programs */
	struct images *images;
	struct network *network;
	struct str pull_behavior;                        /* ECS_IMAGE_PULL_BEHAVIOR */
	const struct image_logins *logins;               /* outlive the hands; NULL: none */
};

bool hands_new(const struct hands_options *options, struct hands **ret_hands, struct error *err);
void hands_free(struct hands *hands);                    /* leaves the containers running */

int hands_fd(const struct hands *hands);
/* Copies what it needs from the job. */
void hands_submit(struct hands *hands, const struct job *job);
/* Asks every keeper under RUN what it holds: FACT_FOUND each, then FACT_RECONCILED. */
void hands_reconcile(struct hands *hands);
/* The next fact, its strings in `arena`; false when there is none now. */
bool hands_next(struct hands *hands, struct arena *arena, struct fact *ret_fact);

/* `wherry down` after the brain is idle: removes leftovers of tasks that no brain knows, by name. */
bool hands_sweep(struct hands *hands, struct error *err);
