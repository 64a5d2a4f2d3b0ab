/* hands.h - does on this host what the agent's brain asks, and reports facts.
 *
 * Jobs run on a few worker threads, those of one task in order; pulls have threads of their own and run beside them.
 * Facts come back through a queue whose `fd` turns readable. Host work that must be taken back is a table of steps with
 * undo. Everything is idempotent and found again after a crash: keepers by their sockets, namespaces, mounts and cgroups
 * by their names. */
#pragma once
#include "agent/agent.h"
#include "api/oci.h"
#include "host/environment_file.h"

enum {
	HANDS_WORKERS = 8,
	HANDS_PULLERS = 8,                               /* pulls that run at once */
	HANDS_LOGS_KEPT = 200,                           /* log folders of ended tasks, however old */
};

struct fabric;
struct hands;
struct image_logins;
struct images;
struct network;

/* What is said of a container that is about to start, to whoever serves it in its network. */
struct hands_guest {
	struct str task_id;
	const struct acs_task *task;
	const struct acs_container *container;
	struct str netns;                                /* path; absent: the host's */
};

struct hands_options {
	struct str data, run;                            /* DATA and RUN folders */
	struct str runtime, keeper;                      /* programs */
	struct str fargate_runtime;                      /* absent: `runtime` */
	struct environment_store environment_store;      /* where environmentFiles come from */
	struct images *images;
	struct network *network;
	struct fabric *fabric;                           /* for awsvpc tasks; NULL: there are none */
	struct str pull_behavior;                        /* ECS_IMAGE_PULL_BEHAVIOR */
	/* The logs of a task that has ended stay for so long, of at most AGENT_ENDED_LIMIT tasks; those of the last
	 * HANDS_LOGS_KEPT, and what is still to be shipped, for longer. */
	usec keep_logs;
	const struct image_logins *logins;               /* outlive the hands; NULL: none */
	/* Called in a worker's thread once a container's network is there, before its process: gives what its environment
	 * has on top, in `arena`: `ret_fixed` over all else, `ret_fallbacks` for names that nobody sets. NULL: nothing. */
	bool (*introduce)(void *arg, const struct hands_guest *guest, struct arena *arena, struct oci_strings *ret_fixed,
			  struct oci_strings *ret_fallbacks, struct error *err);
	void *introduce_arg;
	/* In any thread, for a container whose driver is awslogs: has its log shipped to where `target` says. Again: fine.
	 * NULL: refused. */
	bool (*open_log)(void *arg, struct str task_id, struct str container, const struct agent_log_target *target,
			 struct error *err);
	void *open_log_arg;
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

/* The runtime's (docker's) name of a container: the same for ever, before it starts, too. */
struct str hands_runtime_id(struct str task_id, struct str container, struct arena *arena);

/* `wherry down` after the brain is idle: removes leftovers of tasks that no brain knows, by name. */
bool hands_sweep(struct hands *hands, struct error *err);
