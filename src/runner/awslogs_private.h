/* awslogs_private.h - one log on its way to the service: read, put together, in batches (runner/awslogs.h). */
#pragma once
#include <regex.h>
#include "api/agent.h"
#include "api/logs.h"
#include "base/list.h"
#include "host/log_reader.h"
#include "model/log.h"
#include "runner/awslogs.h"

/* After failures in a row: nothing is tried before `until`. */
struct backoff {
	usec until;
	unsigned failures;
};

/* A message that is being put together. */
struct joint {
	struct buffer text;
	usec at, touched;
	bool open, partial;                              /* holds something; its last line is not at its end yet */
	uint64_t end;                                    /* position after what it holds */
};

struct log {
	struct arena arena;
	const struct agent_log_target *target;
	struct str name;                                 /* "TASK/C" */
	const char *path, *ship_path;
	struct log_progress *progress;
	struct log_reader reader;
	struct joint joint;
	regex_t pattern;
	bool has_pattern, done;
	usec waiting_since;                              /* 0: nothing waits */
	struct backoff backoff;                          /* its stream cannot be written to now */
	uint64_t told_refused, refused;                  /* messages that the service would not take */
};

struct batch {
	struct arena arena;
	LIST_OF(struct logs_input_log_event) events;
	size_t bytes;                                    /* of messages, and LOG_EVENT_OVERHEAD for each */
	int64_t first, last;                             /* its oldest and newest message: milliseconds since 1970 */
	uint64_t end;                                    /* position after its last message */
	uint64_t told;                                   /* of the dropped lines, once it is acknowledged */
};

/* NULL, and why. `folder`: DATA/logs. What is shipped already is not read again. */
struct log *log_new(struct str folder, struct str task_id, struct str container, const struct agent_log_target *target,
		    struct error *err);
void log_free(struct log *log);

/* Into the zeroed `batch`: what fits of the messages behind what was gathered before, and how many lines were dropped.
 * `ended`: nothing comes any more. */
void log_gather(struct log *log, struct batch *batch, bool ended, usec now);
/* What was gathered is to be gathered again. */
void log_start_over(struct log *log);
void batch_fini(struct batch *batch);
