/* log_desk.h - the thread that writes the log store.
 *
 * Jobs come from the committer when the records of their step are durable, in order. Puts of one round are one
 * transaction, and are answered when it is on disk; then reads go to a thread of their own (log_search.h), and what is to
 * be deleted goes piece by piece while nothing else waits. So a read finds every put that was answered before it was
 * sent, and holds up none. Once a put could not be written, nothing that comes to the desk is answered any more but
 * ServerException, and `on_failure` is to end the process. */
#pragma once
#include "base/list.h"
#include "control/plane.h"
#include "logs/log_store.h"

enum { LOG_DESK_ROUND_LIMIT = 128 };                     /* jobs of one round */

struct work;

struct log_job {
	struct link link;
	struct arena arena;
	struct log_work task;                            /* its lists and texts are in the arena */
	struct work *work;                               /* who waits; or NULL */
};

struct log_job *log_job_new(const struct log_work *task);
void log_job_free(struct log_job *job);

struct log_desk_options {
	struct log_store *store;                         /* owned by the caller, used by the desk alone until log_desk_stop */
	struct log_store *reader;                        /* another store on the same folder; likewise */
	void (*answered)(void *self);                    /* a call went home; in either thread */
	void (*swept)(void *self, const struct logs_swept_event *event); /* a trim deleted something; or NULL */
	void (*on_failure)(void *self, const struct error *error);
	void *self;
};

struct log_desk;

struct log_desk *log_desk_start(const struct log_desk_options *options);
void log_desk_stop(struct log_desk *desk);               /* after what it was given; NULL is fine */
void log_desk_take(struct log_desk *desk, struct link *jobs);    /* any thread; leaves the chain empty */

struct log_desk_figures { uint64_t rounds, puts, events, sessions; };
void log_desk_figures(struct log_desk *desk, struct log_desk_figures *ret_figures);
