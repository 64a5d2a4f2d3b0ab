/* query.h - what the reading operations answer.
 *
 * Inputs are checked (control/logs/events.c); what only tokens can have wrong is refused here. Answers are in `arena`.
 * A page ends at its limit, at LOG_PAGE_BYTES_LIMIT, when LOG_SCAN_BYTES_LIMIT bytes were looked at beyond its first event, or when the
 * caller has enough: a search over much that finds little gives empty pages with a token. Of more than
 * LOG_SCAN_STREAMS_LIMIT streams so many are searched to their end before the next are looked at, in the order in which they were
 * created: events are in order of time within each such lot. */
#pragma once
#include "logs/cursor.h"

enum { LOG_SCAN_BYTES_LIMIT = 16 << 20, LOG_SCAN_STREAMS_LIMIT = 10000 };

struct log_query {
	const struct log_stream_name *streams;
	size_t stream_count;
	int64_t oldest;                                  /* what is older has expired */
	struct str realm;                                /* GetLogRecord: whose records it may show */
	bool (*is_enough)(void *arg);                    /* asked after each event of a search; or NULL */
	void *arg;
};

bool log_get_events(struct log_store *store, const struct log_query *query, const struct logs_get_log_events_request *in,
		    struct arena *arena, struct logs_get_log_events_response *out, struct error *err);
bool log_filter_events(struct log_store *store, const struct log_query *query,
		       const struct logs_filter_log_events_request *in, struct arena *arena,
		       struct logs_filter_log_events_response *out, struct error *err);
bool log_get_record(struct log_store *store, const struct log_query *query, const struct logs_get_log_record_request *in,
		    struct arena *arena, struct logs_get_log_record_response *out, struct error *err);
