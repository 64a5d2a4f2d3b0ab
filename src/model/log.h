/* log.h - facts about log groups, streams and events (neighbours 4.1 to 4.4).
 *
 * Times of events are milliseconds since 1970-01-01 UTC, as the API has them. */
#pragma once
#include "base/str.h"
#include "base/time.h"

#define LOG_DAY_MSEC ((int64_t)24 * 3600 * 1000)

enum {
	LOG_BATCH_BYTES_LIMIT = 1 << 20,                 /* messages and LOG_EVENT_OVERHEAD for each */
	LOG_BATCH_EVENTS_LIMIT = 10000,
	LOG_EVENT_OVERHEAD = 26,
	LOG_PAST_DAYS = 14,                              /* older events are not taken … */
	LOG_FUTURE_HOURS = 2,                            /* … nor later ones */
	LOG_PAGE_BYTES_LIMIT = 1 << 20,                  /* of what a read gives at once … */
	LOG_PAGE_EVENTS_LIMIT = 10000,                   /* … and how many events */
	LOG_TAIL_EVENTS_LIMIT = 500,                     /* of a live tail's second */
	LOG_TAIL_HOURS = 3,
	LOG_TAIL_SESSIONS_LIMIT = 15,
};

/* A stream, as those know it who hold its events. Ids are never used twice. */
struct log_stream_name {
	int64_t id;
	struct str name;
};

/* The days that a retention may have; ends with 0. */
static const int32_t log_retention_days[] = {1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731, 1096, 1827,
					     2192, 2557, 2922, 3288, 3653, 0};

/* Of a group and stream that a read or tail asks for: the account and region that they belong to. */
#define LOG_ARN_FORMAT "arn:aws:logs:%.*s:%.*s:log-group:%.*s"
