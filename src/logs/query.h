/* query.h - what the reading operations answer.
 *
 * Inputs are checked (control/logs/events.c); what only tokens can have wrong is refused here. Answers are in `arena`.
 * A page ends at its limit, at LOG_PAGE_BYTES_LIMIT, or when SCAN_LIMIT bytes were looked at beyond its first event: a search over much that
 * finds little gives empty pages with a token, and no call holds up the others for long. */
#pragma once
#include "logs/cursor.h"

struct log_query {
	const struct log_stream_name *streams;
	size_t stream_count;
	int64_t oldest;                                  /* what is older has expired */
	struct str realm;                                /* GetLogRecord: whose records it may show */
};

bool log_get_events(struct log_store *store, const struct log_query *query, const struct logs_get_log_events_request *in,
		    struct arena *arena, struct logs_get_log_events_response *out, struct error *err);
bool log_filter_events(struct log_store *store, const struct log_query *query,
		       const struct logs_filter_log_events_request *in, struct arena *arena,
		       struct logs_filter_log_events_response *out, struct error *err);
bool log_get_record(struct log_store *store, const struct log_query *query, const struct logs_get_log_record_request *in,
		    struct arena *arena, struct logs_get_log_record_response *out, struct error *err);
