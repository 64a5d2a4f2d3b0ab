/* agent.h - the agent's brain: what the server wants and what the host shows, turned into steps.
 *
 * Pure and single-threaded, like the server's: events in, effects out; no clock, no file, no socket. The
 * same code runs in `wherry agent` and under the simulator. It speaks the real agent protocol
 * (agent-protocol 2–5): payloads, manifests, acks; RegisterContainerInstance and Submit*StateChange.
 *
 * Level-triggered: each step compares every task that changed with what is wanted and hands out the jobs
 * that are missing. Jobs are idempotent: after a crash the brain may hand one out again. */
#pragma once
#include "api/acs.h"
#include "api/agent.h"
#include "api/ecs.h"
#include "api/tcs.h"
#include "base/error.h"
#include "base/list.h"

struct agent;

/* Borrowed until agent_free. */
struct agent_options {
	struct str cluster;                              /* name or ARN; empty: default */
	struct str version;                              /* of the agent, as told the server */
	const struct ecs_attributes *attributes;         /* capabilities, os, …: sent at every registration */
	const struct ecs_attributes *user_attributes;    /* ECS_INSTANCE_ATTRIBUTES: the first time only; or NULL */
	const struct ecs_tags *tags;                     /* ECS_CONTAINER_INSTANCE_TAGS, or NULL */
	int64_t cpu_units, memory_mib;                   /* of the host, less what is reserved */
	struct ecs_string_list reserved_tcp, reserved_udp;
	struct ecs_string_list gpus;                     /* ids of this machine's devices (ECS_ENABLE_GPU_SUPPORT) */
	usec stop_timeout;                               /* SIGTERM to SIGKILL (ECS_CONTAINER_STOP_TIMEOUT) */
	/* After STOPPED its record, which introspection shows, is kept for so long (ECS_ENGINE_TASK_CLEANUP_WAIT_DURATION),
	 * when any of its containers ever ran. */
	usec cleanup_wait;
	bool external;                                   /* ECS_EXTERNAL */
};

enum {
	AGENT_TASKS_LIMIT = 10000,                       /* a payload past it is not acknowledged */
	AGENT_ENDED_LIMIT = 1000,                        /* kept for cleanup_wait; past it the oldest go at once */
	AGENT_CONTAINERS_LIMIT = 16,                     /* of one task */
	AGENT_TASK_ID_LIMIT = 36,                        /* bytes: a UUID, or 32 hex digits */
	AGENT_NAME_LIMIT = 255,                          /* bytes of a container's name */
	AGENT_GPUS_LIMIT = 64,                           /* of options.gpus, that are accounted for */
	AGENT_PULL_ATTEMPTS = 2,                         /* on top of those that the hands make themselves */
	AGENT_KILL_ATTEMPTS = 5,                         /* then CannotStopContainerError */
	AGENT_RELEASE_ATTEMPTS = 8,                      /* then STOPPED is told all the same; DESTROY tries again */
	AGENT_ATTACHMENTS_LIMIT = 1000,                  /* announced interfaces whose payload has not come */
	AGENT_HEALTH_TASKS = 10,                         /* in one PublishHealthRequest */
	AGENT_HEALTH_MESSAGE_LIMIT = 400,                /* bytes of what a probe said */
};

/* ---- What the hands are asked to do. Each ends in exactly one fact of the same kind. Those of a task are done in
 * the order in which they were handed out, but PULL and PROBE, which may take long, run beside the others. DESTROY is
 * handed out when no PULL is under way, and after it only what ends a container that shows up late. */
enum job_kind {
	JOB_PULL,                                        /* make the container's image present */
	JOB_CREATE,                                      /* the task's cgroup, network (awsvpc), volumes, keeper */
	JOB_START,                                       /* root file system, network, process; again: a restart in place */
	JOB_SIGNAL,                                      /* `signal` to the container's first process */
	JOB_PROBE,                                       /* the container's health check, once (docker's Healthcheck.Test) */
	/* All that the task has of the machine, as soon as all its containers have ended: keeper, cgroup, network, mounts,
	 * folders. Its logs stay. Fine when there is nothing. */
	JOB_DESTROY,
	/* Before STOPPED of an awsvpc task is told: its interface goes, so that the server can give its address to another.
	 * Fine when there is nothing. */
	JOB_RELEASE,
	JOB_KIND_COUNT
};

struct job {
	enum job_kind kind;
	struct str task_id;                              /* 32 hex digits */
	const struct agent_task *task;                   /* good until the next agent_step */
	uint32_t container;                              /* index into task->task->containers; PULL, START, SIGNAL, PROBE */
	int signal;
};

/* ---- What the hands report. FACT_EXIT comes on its own, when a container's process ends. */
enum fact_kind {
	FACT_PULL = JOB_PULL, FACT_CREATE, FACT_START, FACT_SIGNAL, FACT_PROBE, FACT_DESTROY, FACT_RELEASE,
	FACT_EXIT,
	/* After a restart of the agent, one for each container that a keeper still holds (running or exited):
	 * `running`, `runtime_id`, times and exit_code tell which. Then one FACT_RECONCILED. Also when a
	 * container shows up late. EXIT and FOUND are not ok when nobody knows how it ended; `reason` says so. */
	FACT_FOUND,
	FACT_RECONCILED,
	FACT_KIND_COUNT
};

struct fact {
	enum fact_kind kind;
	struct str task_id;
	struct str container;                            /* its name */
	bool ok;
	/* "CannotPullContainerError: …" (agent-protocol 5.3) when !ok. PROBE: ok when it exited with 0 in time, else the
	 * end of what it said, or why it did not run. */
	struct str reason;
	struct str image_digest;                         /* PULL */
	struct str runtime_id;                           /* START, FOUND */
	struct ecs_network_bindings bindings;            /* START, FOUND */
	bool running;                                    /* FOUND */
	int exit_code;                                   /* EXIT, FOUND */
	bool out_of_memory;                              /* EXIT, FOUND */
	usec at;                                         /* when it happened, by the host's clock */
	usec started_at;                                 /* EXIT, FOUND not running: when that run began; 0: not known */
};

/* ---- What is told the server by API call. The shell sends once and answers with AGENT_EVENT_ANSWER; the brain
 * retries. At most one call a task is under way (agent-protocol 5.1). A call that was under way when the
 * agent died is simply made again. */
enum call_kind { CALL_REGISTER, CALL_CREATE_CLUSTER, CALL_SUBMIT_TASK };

struct agent_call {
	enum call_kind kind;
	uint64_t ticket;
	const struct operation *operation;
	const void *input;                               /* by operation->input */
};

enum agent_event_type {
	AGENT_EVENT_START,                               /* after the restore; registers */
	AGENT_EVENT_TICK,
	AGENT_EVENT_CHANNEL_OPEN,
	AGENT_EVENT_CHANNEL_CLOSED,                      /* or could not be opened; `error` unless it ended well */
	AGENT_EVENT_MESSAGE,                             /* from the server, decoded by acs_types */
	AGENT_EVENT_FACT,
	AGENT_EVENT_ANSWER,                              /* of a call */
	AGENT_EVENT_STOP_ALL,                            /* `wherry down`: stop and destroy every task, accept none */
	AGENT_EVENT_TYPE_COUNT
};

struct agent_event {
	enum agent_event_type type;
	usec now;
	uint64_t seed;
	struct arena *arena;                             /* of this step */
	struct str message_type;
	const void *message;
	const struct fact *fact;
	uint64_t ticket;
	const void *output;                              /* ANSWER: by operation->output; NULL on an error */
	/* ANSWER, CHANNEL_CLOSED: why not. Of an answer, INVALID_PARAMETER and CLIENT are final. */
	enum error_code error;
	struct str error_text;
};

struct agent_record { struct str key; const struct shape *shape; const void *value; };  /* NULL value: gone */
struct agent_message { struct str type; const struct shape *shape; const void *value; };

/* Everything in here is good until the next agent_step or the end of the event's arena. The shell makes
 * records durable before it acts on the rest. */
struct agent_effects {
	LIST_OF(struct agent_record) records;
	LIST_OF(struct agent_message) messages;          /* on the channel */
	LIST_OF(struct agent_call) calls;
	LIST_OF(struct job) jobs;
	bool connect;                                    /* open the channel (again) now; the brain does the backoff */
	bool health_changed;                             /* tell TCS of it now: agent_health */
	bool terminal;                                   /* registration refused for good: exit 5 (agent-protocol 1.4) */
	struct error error;                              /* why, with `terminal` */
	usec wake_at;                                    /* step again by then */
};

struct agent *agent_new(const struct agent_options *options);
void agent_free(struct agent *agent);

/* Recovery: every stored record, before AGENT_EVENT_START; of a key that comes again the last one counts, and NULL
 * deletes it, as the store's journal has it. When a task was restored, no job is handed out
 * before FACT_RECONCILED; without one the brain does not wait. */
void agent_restore(struct agent *agent, struct str key, const void *value);
const struct shape *agent_record_shape(struct str key);

void agent_step(struct agent *agent, const struct agent_event *event, struct agent_effects *out);
void agent_effects_clear(struct agent_effects *effects);         /* keeps the memory */
void agent_effects_fini(struct agent_effects *effects);

/* For the introspection and the shells: absent before registration. */
struct str agent_instance_arn(const struct agent *agent);
struct str agent_cluster(const struct agent *agent);
bool agent_is_idle(const struct agent *agent);                   /* no task left, nothing under way */
size_t agent_task_count(const struct agent *agent);
/* The newest credentials of a task, by the id the container's environment names (never stored); or NULL. */
const struct acs_iam_role_credentials *agent_credentials(const struct agent *agent, struct str credentials_id);
const struct agent_task *agent_task_at(const struct agent *agent, size_t index, struct str *ret_id);

/* For TCS (agent-protocol 6), every 20 s and after `health_changed`: the tasks with a health check from *cursor on, which
 * begins with 0, at most AGENT_HEALTH_TASKS. `metadata.fin` tells the last; messageId and timestamp are the shell's.
 * False when no task is left; of a world without health checks at once. Good until the next agent_step. */
bool agent_health(const struct agent *agent, size_t *cursor, struct arena *arena,
		  struct tcs_publish_health_request *ret_request);
/* How often a container was started again in place (TCS restartStatsSet, metadata v4 RestartCount); false: it has no
 * restart policy. */
bool agent_restart_count(const struct agent_task *task, size_t container, int32_t *ret_count);

/* Panics on a broken invariant; the simulator and tests call it after every step. */
void agent_check(const struct agent *agent);
