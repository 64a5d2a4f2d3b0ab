/* awslogs.h - the shipping half of the awslogs driver: containers' logs to CloudWatch Logs.
 *
 * A keeper writes the log (host/log_progress.h); a thread for each region and endpoint reads it, joins parts and multi-line
 * messages, and puts batches (LOG_BATCH_BYTES_LIMIT, …), each half second or when one is full (neighbours 4.3, 4.9). A position
 * moves on only when the service has acknowledged, so neither a crash of the agent nor a service that is away or does not
 * let us loses a line: in blocking mode the container waits, in non-blocking mode the keeper counts what it drops and a
 * line in the log says so. A service that is away delays its own logs only, a group that we may not write to its own only.
 * What is to be shipped is found again by the files DATA/logs/TASK/C.ship. Empty lines are left out, as docker does. */
#pragma once
#include "api/agent.h"
#include "client/client.h"

enum {
	AWSLOGS_EVENT_BYTES = 262118,                    /* of one message: docker's; longer lines are split */
	AWSLOGS_FLUSH_MSEC = 500,
	AWSLOGS_LOGS_LIMIT = 100000,
	AWSLOGS_SERVICES_LIMIT = 64,                     /* other regions and endpoints at a time: a log for one more is refused */
};

struct awslogs;

struct awslogs_options {
	const struct client_options *client;             /* borrowed; region and endpoint where a log names none */
	struct str folder;                               /* DATA/logs */
};

bool awslogs_new(const struct awslogs_options *options, struct awslogs **ret_awslogs, struct error *err);
void awslogs_free(struct awslogs *awslogs);              /* ends the threads; what is left waits for the next agent */

/* Ships what there is now, without waiting for full batches, until all logs that have ended are shipped, for at most
 * `patience`: `wherry down` after the last task. */
void awslogs_flush(struct awslogs *awslogs, usec patience);

/* Before a container starts: makes its stream (and group, when asked), and has its log shipped from now on. Fails with
 * a whole reason. Thread-safe; `self` is the struct awslogs: the hands call it through hands_options. */
bool awslogs_open(void *self, struct str task_id, struct str container, const struct agent_log_target *target,
		  struct error *err);
