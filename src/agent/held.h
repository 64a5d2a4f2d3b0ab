/* held.h - inside the agent's brain: a task it holds, and what is under way for it.
 *
 * `record` is what the store keeps, owned as one block and replaced whole at the end of a step that touched
 * it; meanwhile its strings may borrow from the step's arena. All else here is forgotten in a crash and
 * found again: jobs and calls that were under way are simply handed out once more. */
#pragma once
#include "agent/agent.h"
#include "base/heap.h"
#include "base/map.h"

/* What a task takes of the host while it is not STOPPED (agent-protocol 3.1). FARGATE tasks count as well, which the
 * stock agent leaves out: they share the host with others, and one that the server gave up runs until it is told. */
struct demand { int64_t cpu_units, memory_mib; };

enum { PORT_COUNT = 65536 };

struct ledger {
	int64_t cpu_units, memory_mib;                   /* in use */
	uint64_t tcp[PORT_COUNT / 64], udp[PORT_COUNT / 64];
	uint64_t gpus;                                   /* a bit for each of options.gpus */
};

/* Docker's Healthcheck of a container (agent-protocol 3.4), its defaults filled in. */
struct health_rules {
	bool asked;                                      /* false: it has none */
	usec interval, start_period;
	int32_t retries;
};

struct held_container {
	bool pulling, starting, probing;                 /* a job is under way */
	bool down;                                       /* its process ended, and is to start again in place */
	usec ended_at;                                   /* that end; an exit that is told twice has the same */
	struct health_rules health;
	bool probe_void;                                 /* the probe under way is of a run that has ended */
	int32_t probe_failures;                          /* in a row, that count */
	usec probe_at, probed_at;                        /* the next; when the last began. 0: not in this run */
	bool signalled;                                  /* SIGTERM was handed out in this life */
	bool found;                                      /* a keeper told of it after the restart */
	bool stray;                                      /* runs though it was given up: kill it */
	unsigned pull_attempts, kill_attempts;
	usec pull_at, kill_at;                           /* not before */
	enum agent_status sent;                          /* in the call that is under way */
};

struct held {
	struct str id;
	struct agent_task *record;
	struct held_container *containers;               /* one for each of record->containers */
	struct acs_iam_role_credentials *application, *execution;

	struct demand demand;
	bool holds;                                      /* its demand is in the ledger */
	bool touched, durable;                           /* this step: copy the record; store it, too */
	bool dated;                                      /* this step: what is stored may lag behind until the next commit */
	bool creating, created, destroying, destroyed, gone;
	bool releasing, released;                        /* awsvpc: the interface, after the end */
	unsigned release_attempts;
	usec release_at;
	unsigned destroy_attempts;
	usec destroy_at;
	usec known_until;                                /* a late payload must still find the record */
	bool kept;                                       /* ended and told; counted in agent->kept_count */

	uint64_t ticket;                                 /* of the call under way; 0: none */
	enum agent_status sent;
	bool attachment_sent;                            /* the call under way tells of the interface */
	unsigned report_attempts;
	usec report_at;

	usec wake_at;
	struct heap_node timer;
	struct link stale;                               /* in agent->stale: to be looked at in this step */
	struct link lagging;                             /* in agent->lagging: its stored record is dated */
	bool visited;                                    /* in agent->visited: to be finished in this step */
};

/* An interface that was announced before its task (agent-protocol 2.4). */
struct attachment {
	struct acs_attach_task_network_interfaces_message *message;
	usec expires_at;
};

struct agent {
	struct agent_options options;
	struct agent_instance *instance;
	LIST_OF(struct held *) tasks;                    /* in order of arrival */
	size_t kept_count;
	struct map by_id, by_ticket;
	struct ledger ledger;
	LIST_OF(struct attachment) attachments;
	struct link stale, lagging;
	LIST_OF(struct str) forgotten;                   /* keys that are still stored; owned */
	LIST_OF(struct held *) visited;
	struct heap timers;

	bool registered, creating_cluster, reconciled, stop_all, terminal;
	uint64_t next_ticket, register_ticket;
	unsigned register_attempts, connect_attempts;
	usec register_at, connect_at, opened_at;         /* USEC_NEVER: not */
	bool instance_changed, room_changed;
	struct str verification;                         /* message id of the manifest in question; owned */
};

/* One step: what every part of the brain needs of the event. */
struct step {
	struct agent *agent;
	struct arena *arena;
	usec now;
	struct agent_effects *out;
	struct random random;
};

/* ---- held.c */
struct held *held_add(struct agent *agent, struct str id, const struct agent_task *value);
void held_free(struct held *work);
void held_look(struct agent *agent, struct held *work);          /* in this step, or the next */
void held_stop(struct held *work);                               /* desired STOPPED, of it and its containers */
const struct acs_container *held_definition(const struct held *work, size_t index);
size_t held_find_container(const struct held *work, struct str name);    /* count: none */
bool held_is_awsvpc(const struct held *work);
usec held_run_began(const struct agent_container *container);    /* its first start, or the last one in place */
/* delay × factor^attempts, at most `limit`, give or take a fifth. */
usec backoff(struct step *step, usec delay, double factor, unsigned attempts, usec limit);

/* ---- accept.c: is this task one we can run? */
bool accept_task_id(struct str arn, struct str *ret_id);
bool accept_check(const struct acs_task *task, struct arena *arena, struct error *err);
/* The demand of a checked task. */
struct demand accept_demand(const struct acs_task *task, struct arena *arena);
/* The health check of a checked container. */
struct health_rules accept_health(const struct acs_container *container, struct arena *arena);

/* ---- message.c */
void message_handle(struct step *step, struct str type, const void *message);

/* ---- attachment.c: interfaces announced before their task */
/* False: not to be acknowledged. */
bool attachment_take(struct step *step, const struct acs_attach_task_network_interfaces_message *message);
/* Hands what was announced for a task over to the step's arena; a list without items: nothing. */
struct acs_elastic_network_interfaces attachment_claim(struct step *step, struct str task_arn);
void attachments_fini(struct agent *agent);

/* ---- health.c: docker's rules (ecs-behaviour 5.6) */
void health_run_began(struct step *step, struct held *work, size_t index, usec at);
void health_run_ended(struct held *work, size_t index);
void health_probed(struct step *step, struct held *work, size_t index, const struct fact *fact);
/* Hands out the probes that are due; *wake_at is lowered to the next one's time. */
void health_advance(struct step *step, struct held *work);

/* ---- restart.c: restart policies (agent-protocol 4.4) */
bool restart_is_due(const struct held *work, size_t index, const struct fact *fact, usec at);
/* It runs again, also when nobody here knew that it was about to. */
void restart_succeeded(struct step *step, struct held *work, size_t index, usec at);
/* What runs (or ran) since `began` is a run that this agent has not heard of. */
bool restart_was_missed(const struct held *work, size_t index, usec began);

/* ---- dependency.c */
enum dependency_verdict { DEPENDENCY_MET, DEPENDENCY_WAITS, DEPENDENCY_BROKEN };
bool dependency_has_cycle(const struct acs_task *task);
/* May container `index` start? BROKEN: never, `reason` (in `arena`) says why. WAITS: *wake_at is lowered to when a
 * startTimeout runs out. */
enum dependency_verdict dependency_judge(const struct held *work, size_t index, usec now, struct arena *arena,
					 struct str *ret_reason, usec *wake_at);
bool dependency_may_stop(const struct held *work, size_t index);         /* all that depend on it have stopped */

/* ---- ledger.c */
void ledger_reserve(struct ledger *ledger, const struct agent_options *options);
bool ledger_could_fit(const struct agent *agent, const struct held *work);       /* an empty host */
bool ledger_fits(const struct agent *agent, const struct held *work);
void ledger_take(struct agent *agent, struct held *work);
void ledger_release(struct agent *agent, struct held *work);

/* ---- engine.c: one task, observed against wanted */
void engine_advance(struct step *step, struct held *work);
void engine_container_stopped(struct held *work, size_t index, usec at);
void engine_job(struct step *step, struct held *work, enum job_kind kind, size_t container, int signal);
void engine_wake(struct held *work, usec at);

/* ---- fact.c */
void fact_handle(struct step *step, const struct fact *fact);

/* ---- report.c */
void report_register(struct step *step);
void report_task(struct step *step, struct held *work);
void report_answer(struct step *step, const struct agent_event *event);
