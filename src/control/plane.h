/* plane.h - the control plane's brain, seen from outside.
 *
 * One single-threaded deterministic state machine: plane_step(plane, event, effects). No clock, file, socket
 * or global inside; time, ids and randomness arrive in events. The same code runs in the server and under the
 * simulator. The shell makes the records of a step durable before any reply or message of that or a later
 * step leaves: an answered request is never lost. */
#pragma once
#include "base/error.h"
#include "base/list.h"
#include "control/records.h"
#include "model/log.h"

struct plane;

/* Borrowed until plane_free. */
struct plane_options {
	struct str account;                              /* the account that agents and the root key belong to */
	struct str endpoint;                             /* what DiscoverPollEndpoint answers: "http://127.0.0.1:4566" */
	usec task_retention;                             /* of STOPPED tasks; 0: 7 days (AWS: an hour) */
	uint32_t task_history_limit;                     /* STOPPED tasks kept a cluster; 0: 100,000 */
	usec heartbeat;                                  /* between HeartbeatMessages; 0: 3 s */
	usec lost_after;                                 /* silence until an instance's tasks are replaced; 0: 8 s */
	usec gone_after;                                 /* silence until they are STOPPED; 0: 10 min */
	usec healthy_after;                              /* RUNNING until a task without checks counts as healthy
							    (ecs-behaviour 7.5: 40 s); 0: at once */
	struct str public_cidr;                          /* where public addresses come from, /8 to /29; absent: 198.18.0.0/15 */
};

enum caller_kind { CALLER_ROOT, CALLER_AGENT };

struct caller {
	enum caller_kind kind;
	struct str account;                              /* 12 digits */
	struct str arn;                                  /* "arn:aws:iam::000000000000:root" */
};

enum event_type {
	EVENT_CALL,                                      /* an API call; answered by exactly one reply */
	EVENT_SESSION_OPENED,                            /* an agent's ACS channel */
	EVENT_SESSION_MESSAGE,
	EVENT_SESSION_CLOSED,
	EVENT_LOGS_SWEPT,                                /* what LOG_TRIM deleted of a stream */
	EVENT_TICK,                                      /* time passed */
	EVENT_STOP,                                      /* the shell ends: calls that wait for something are answered,
							    and none waits any more */
	EVENT_TYPE_COUNT
};

struct call_event {
	uint64_t ticket;                                 /* comes back in the reply */
	const struct operation *operation;
	const void *input;                               /* by operation->input, checked (shape_check) */
	struct caller caller;
	struct str region;
};

struct session_event {
	uint64_t session;                                /* the shell's number, never used twice */
	/* OPENED: the channel's query (agent-protocol 2.1) */
	struct caller caller;
	struct str region, cluster, container_instance, agent_version, agent_hash, docker_version;
	bool send_credentials;
	/* MESSAGE: by acs_types (wire/envelope.h); or of the telemetry channel, which is no session: PublishHealthRequest
	 * with `caller` and `region` */
	struct str type;
	const void *message;
};

struct logs_swept_event {
	struct str realm, group, name;                   /* as in the work */
	int64_t stream, bytes, first;                    /* first: milliseconds; 0: no event is left */
};

struct event {
	enum event_type type;
	usec now;                                        /* never goes back; plane_step clamps it */
	uint64_t seed;                                   /* for the ids made in this step */
	struct arena *arena;                             /* replies and messages point into it */
	struct call_event call;
	struct session_event session;
	struct logs_swept_event swept;
};

struct message {
	uint64_t session;
	struct str type;
	const struct shape *shape;
	const void *value;
};

struct hangup {
	uint64_t session;
	struct str refusal;                              /* an upgrade that is refused: the error's name; or absent */
};

struct reply {
	uint64_t ticket;
	const struct operation *operation;
	const void *output;                              /* by operation->output; NULL: `error` */
	struct error error;
	struct ecs_resource_ids resource_ids;            /* ConflictException of RunTask carries them */
};

/* What only those can do who hold the log events: the log shell (server/log_desk.h). It gets this work when the records
 * of the step are durable, in order. */
enum log_task {
	LOG_PUT,                                         /* the events of `input` into streams[0]; answered with `output` */
	LOG_READ,                                        /* answered with what `operation` finds in `streams` */
	LOG_TAIL,                                        /* answered with a stream of what comes into `groups` */
	LOG_DROP,                                        /* everything of `streams` goes */
	LOG_TRIM,                                        /* what is older than `before` goes */
	LOG_KEEP,                                        /* what belongs to no stream of these goes */
};

struct log_work {
	enum log_task task;
	uint64_t ticket;                                 /* of the parked call; 0: nobody waits */
	const struct operation *operation;               /* of the call … */
	const void *input, *output;                      /* … whose input stays as long as it is not answered */
	int64_t now, before;                             /* milliseconds; before: what is older is not shown */
	struct str realm, group;                         /* PUT: where the stream belongs */
	struct log_stream_name *streams, *groups;
	size_t stream_count, group_count;
	size_t first_event, event_count;                 /* PUT: those of the input that are taken */
};

/* Everything in here is good until the next plane_step or the end of the event's arena. */
struct effects {
	LIST_OF(struct record) records;                  /* what became true: the journal first */
	LIST_OF(struct message) messages;                /* what agents should hear */
	LIST_OF(struct hangup) hangups;                  /* sessions to close, after their messages */
	LIST_OF(struct reply) replies;
	LIST_OF(struct log_work) logs;
	usec wake_at;                                    /* step again by then, even if nothing happens */
};

struct plane *plane_new(const struct plane_options *options);
void plane_free(struct plane *plane);

/* Recovery: what store_load visits, in its order; then the first plane_step. False on a value that makes no
 * sense (the store is damaged or from another program). */
bool plane_restore(struct plane *plane, uint32_t kind, struct str key, const void *value, struct error *err);

void plane_step(struct plane *plane, const struct event *event, struct effects *out);

void effects_clear(struct effects *effects);             /* keeps the memory */
void effects_fini(struct effects *effects);

/* Walks everything and panics when an index, a count or the node ledger disagrees with the records: for tests
 * and the simulator. (What is cheap is asserted after every step.) */
void plane_check(const struct plane *plane);

/* For comparing a plane with one that was restored from its journal: every object in order of (kind, key). */
void plane_visit(const struct plane *plane,
		 void (*visit)(void *arg, enum record_kind kind, struct str key, const void *value), void *arg);

struct plane_statistics { uint64_t clusters, instances, connected, services, tasks, running, pending, waiting; };
void plane_statistics(const struct plane *plane, struct plane_statistics *ret_statistics);
