/* tail.h - live tail sessions: each hears every second what came into its groups.
 *
 * An owner is whoever asked (the shell's own); what was asked must live as long as the session. */
#pragma once
#include "base/buffer.h"
#include "base/time.h"
#include "logs/log_store.h"
#include "model/log.h"

struct log_tails;

struct log_tail_request {
	void *owner;
	const struct logs_start_live_tail_request *input;
	const struct log_stream_name *groups;            /* id, and as the caller calls it */
	size_t group_count;
	struct str id;                                   /* of request and session */
};

struct log_tails *log_tails_new(void);
void log_tails_free(struct log_tails *tails);
size_t log_tails_count(const struct log_tails *tails);

/* The first frames go to `out`. Times are monotonic. */
bool log_tails_start(struct log_tails *tails, const struct log_tail_request *request, usec now, struct buffer *out,
		     struct error *err);
void log_tails_end(struct log_tails *tails, void *owner);
/* Events that became durable. */
void log_tails_offer(struct log_tails *tails, const struct log_put *put);

usec log_tails_due(const struct log_tails *tails);       /* of the next update; USEC_NEVER: no session */
/* Calls `send` for each session whose time has come; with `last` it is over then. `send` says whether its owner is still
 * there. */
void log_tails_update(struct log_tails *tails, usec now, bool (*send)(void *arg, void *owner, struct str frames, bool last),
		      void *arg);
/* Ends all sessions, with what they have still to hear. */
void log_tails_stop(struct log_tails *tails, bool (*send)(void *arg, void *owner, struct str frames, bool last), void *arg);
