/* metrics.h - counts of one I/O thread, and all of them as Prometheus text.
 *
 * Only the thread writes its own counts; the page reads all of them, a little out of step. */
#pragma once
#include <stdatomic.h>
#include "base/buffer.h"
#include "base/error.h"
#include "base/shape.h"
#include "base/time.h"
#include "server/brain.h"
#include "server/log_desk.h"
#include "server/room.h"

enum { METRICS_BUCKETS = 13, METRICS_OPERATIONS_LIMIT = 1024 };

#define metric atomic_uint_least64_t

struct metrics {
	metric (*requests)[ERROR_CODE_COUNT];            /* by place of the operation, the last row: none */
	metric buckets[METRICS_BUCKETS + 1], latency_sum;
	metric opened, open, refused, acs, tcs;          /* connections and channels */
	metric frames_in, frames_out, telemetry;
};

struct metrics_page {
	const struct api *const *services;
	size_t service_count;
	struct metrics *const *threads;
	size_t thread_count;
	struct brain_figures brain;
	struct log_desk_figures logs;
	struct room_figures bodies;
	struct plane_statistics plane;
	uint64_t resident_bytes;
	usec uptime;
};

static inline void metric_add(metric *count, int64_t change)
{
	uint64_t value = atomic_load_explicit(count, memory_order_relaxed);

	atomic_store_explicit(count, value + (uint64_t)change, memory_order_relaxed);
}

void metrics_init(struct metrics *metrics);
void metrics_fini(struct metrics *metrics);
/* `place`: of the operation among all services', METRICS_OPERATIONS_LIMIT - 1 when there is none. */
void metrics_request(struct metrics *metrics, size_t place, enum error_code code, usec latency);
void metrics_print(const struct metrics_page *page, struct buffer *out);
