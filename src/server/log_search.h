/* log_search.h - the thread that reads the log store, so that no search holds up what is to be written.
 *
 * It has a store of its own on the same file. Jobs come from the log desk when every put that was taken before them is on
 * disk, and are answered in order; each sees what is there when its turn comes. A search ends its page when its client
 * left or LOG_SEARCH_MSEC are over, so nobody behind it waits for long. Calls that wait here count among those of the whole
 * server (SERVER_QUEUE_LIMIT): past a limit of their own they are refused as AWS refuses them, ThrottlingException. */
#pragma once
#include "server/log_desk.h"

enum { LOG_SEARCH_MSEC = 2000, LOG_SEARCH_QUEUE_LIMIT = 1000 };          /* the limit: jobs that wait for their turn */

struct log_search_options {
	struct log_store *store;                         /* owned by the caller, used by this thread alone until log_search_stop */
	/* The job's answer is in its work; or `error` says why there is none. In the thread of the search, or of who gave one
	 * too many. */
	void (*done)(void *self, struct log_job *job, const struct error *error);
	void *self;
};

struct log_search;

struct log_search *log_search_start(const struct log_search_options *options);
void log_search_stop(struct log_search *search);         /* after what it was given */
void log_search_take(struct log_search *search, struct log_job *job);    /* takes it off its chain; any thread */
