/* log_progress.h - how far a container's log has been written and shipped: memory shared by keeper and agent.
 *
 * The file DATA/logs/TASK/C.progress, mapped by both, there when a log is shipped (driver awslogs). Positions count
 * bytes since the log began, over all its files: C.log holds [turned, written), C.log.1 [previous, turned). Whoever
 * dies leaves it as it is; the next keeper and the next agent mend it and go on from it. libc only: the keeper has it. */
#pragma once
#include <stdatomic.h>
#include <stdbool.h>
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

/* NULL, and errno: not mapped. */
struct log_progress *log_progress_map(const char *path, bool create);
void log_progress_unmap(struct log_progress *progress);

/* After a keeper that was killed: it may have turned half way, or written more than it said. `size`: of C.log now. */
void log_progress_mend(struct log_progress *progress, uint64_t size);
/* Says of a log whose keeper is gone that nothing more comes, having mended what it left; fine when it is not shipped.
 * `path`: of C.progress. */
void log_progress_close(const char *path);
