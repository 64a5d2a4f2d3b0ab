/* log_progress.h - how far a container's log has been written and shipped: memory shared by keeper and agent.
 *
 * The file DATA/logs/TASK/C.progress, mapped by both, there when a log is shipped (driver awslogs). Positions count
 * bytes since the log began, over all its files: C.log holds [turned, written), C.log.1 [previous, turned). Whoever
 * dies leaves it as it is; the next keeper and the next agent go on from it. */
#pragma once
#include <stdatomic.h>
#include <stdint.h>

enum { LOG_PROGRESS_VERSION = 1 };

struct log_progress {
	uint32_t version;
	_Atomic uint32_t turns;                          /* odd while C.log is being turned: read again */
	/* by the keeper */
	_Atomic uint64_t written, turned, previous;
	_Atomic uint64_t dropped;                        /* lines that found the buffer full (non-blocking mode) */
	_Atomic uint32_t closed;                         /* the container has ended: nothing more comes */
	/* by the agent */
	_Atomic uint64_t shipped;                        /* up to here the service has acknowledged */
	_Atomic uint64_t told;                           /* of `dropped`: said in the log itself */
};
