/* brain.h - the thread that owns the plane, and the one that owns the store.
 *
 * Work goes in by brain_submit, in any thread, and comes back through its home (an outbox of its I/O thread) when
 * everything it may reveal is durable. Between the two, only the brain touches it. Work comes back in the order in
 * which the brain took it. Once an append has failed, memory is ahead of the disk: nothing of that or a later step
 * leaves any more; callers get ServerException, and `on_failure` is to end the process. */
#pragma once
#include <pthread.h>
#include <stdatomic.h>
#include "base/buffer.h"
#include "base/list.h"
#include "control/plane.h"
#include "server/protocol.h"
#include "store/store.h"

enum {
	BRAIN_BATCH_LIMIT = 256,                         /* steps of one commit */
	BRAIN_BACKLOG_LIMIT = 64,                        /* commits waiting for the disk; then the brain waits */
};

enum work_kind {
	WORK_CALL,
	WORK_SESSION_OPENED, WORK_SESSION_MESSAGE, WORK_SESSION_CLOSED,
	WORK_STATISTICS,
	WORK_LOGS_SWEPT,                                 /* nobody waits: the brain frees it */
	/* made by the brain, freed by the receiver with brain_work_free: */
	WORK_SEND,                                       /* `answer.body` is a frame's text */
	WORK_HANGUP,
	WORK_STREAM,                                     /* by the log desk: `answer.body` goes on with the answer of `stream_of` */
	WORK_ROOM,                                       /* there is room for the body of a request that is being read */
	WORK_STREAM_END,                                 /* a call whose answer was a stream, and is complete */
};

/* What goes back over HTTP. */
struct answer {
	int status;
	enum error_code code;                            /* ERROR_NONE: fine */
	struct str error_name;                           /* as the protocol calls it; a constant */
	struct str content_type;
	struct buffer body;
};

/* An agent's channel, as brain and I/O thread know it. `number` is written before it is submitted. */
struct session {
	uint64_t number;
	struct outbox *home;
	void *channel;                                   /* the I/O thread's own */
	struct link closing;                             /* the I/O thread's own */
};

struct work {
	struct link link;
	enum work_kind kind;
	struct outbox *home;
	const struct protocol *protocol;                 /* CALL */
	struct str request_id;                           /* CALL; lives as long as the work */
	struct call_event call;
	struct session *session;                         /* SESSION_…, SEND, HANGUP */
	struct session_event *event;                     /* SESSION_… */
	bool refused;                                    /* back from SESSION_OPENED; `answer` says why */
	struct plane_statistics statistics;
	struct answer answer;
	struct work *stream_of;                          /* STREAM */
	struct logs_swept_event swept;                   /* LOGS_SWEPT: in `arena` */
	struct arena arena;
	atomic_bool gone;                                /* the client left: a stream may end */
};

void brain_work_free(struct work *work);

/* Where work comes home. `wake` is called in the sender's thread when something arrived in an empty box. */
struct outbox {
	pthread_mutex_t mutex;
	struct link works;
	struct link staged;                              /* the releasing thread's own */
	void (*wake)(struct outbox *outbox);
};

void outbox_init(struct outbox *outbox, void (*wake)(struct outbox *outbox));
void outbox_fini(struct outbox *outbox);
void outbox_put(struct outbox *outbox, struct link *works);      /* takes the whole chain, leaves it empty */
void outbox_take(struct outbox *outbox, struct link *ret_works);

struct brain_options {
	struct plane *plane;                             /* owned by the caller, used by the brain alone until brain_stop */
	struct store *store;
	void (*on_failure)(void *self, const struct error *error);       /* in the committer's thread, once */
	/* What the brain gives the log desk, once it is durable: struct log_job; leaves the chain empty. */
	void (*take_logs)(void *self, struct link *jobs);
	void *self;
};

struct brain;

struct brain *brain_start(const struct brain_options *options);
void brain_end(struct brain *brain);                     /* only ends its threads: what it gave to others may still come home */
void brain_stop(struct brain *brain);                    /* after what was submitted came home; frees it */

/* Before brain_stop, while work may still come: calls that the plane has parked come home at once, and from now on none is. */
void brain_stop_waiting(struct brain *brain);

/* False when SERVER_QUEUE_LIMIT calls are under way (sessions are always taken: they limit themselves). */
bool brain_submit(struct brain *brain, struct work *work);

/* For who answers in the brain's place: a call it was given has its answer, and goes home. */
void brain_answer_output(struct work *work, const struct operation *operation, const void *output);
void brain_answer_error(struct work *work, const struct error *error);
void brain_call_ended(struct brain *brain);
void brain_logs_swept(struct brain *brain, const struct logs_swept_event *event);

struct brain_figures { uint64_t steps, commits, changes, batch_max, waiting; };
void brain_figures(struct brain *brain, struct brain_figures *ret_figures);
bool brain_is_failed(struct brain *brain);
