/* telemetry.h - what the tasks use, as their agents tell it over TCS: a sample a second, kept for a quarter of an hour.
 *
 * Each container has a line of samples; what agents tell in sets of many seconds is a sample with that many readings. Memory
 * is bounded: of one container the newest TELEMETRY_HISTORY_SECONDS, of all together TELEMETRY_CHUNKS_LIMIT pieces of a
 * line; the oldest goes first. Containers that nobody speaks of are forgotten with their history. Thread-safe: I/O threads
 * bring it and read it; whoever makes CloudWatch's minutes reads with telemetry_walk.
 *
 * Percents of CPU are of the task's whole machine. Nothing of this is stored: a server that starts again begins anew. */
#pragma once
#include "api/tcs.h"
#include "api/wherry.h"
#include "base/buffer.h"
#include "base/time.h"

enum {
	TELEMETRY_HISTORY_SECONDS = 900,                 /* of a container; as long it is remembered in silence */
	TELEMETRY_CHUNK_SAMPLES = 60,
	TELEMETRY_CONTAINER_CHUNKS = TELEMETRY_HISTORY_SECONDS / TELEMETRY_CHUNK_SAMPLES + 1,
	TELEMETRY_CHUNKS_LIMIT = 24576,                  /* 72 MiB: of 1600 containers all, of more the newest */
	TELEMETRY_CONTAINERS_LIMIT = 50000,
	TELEMETRY_NAME_LIMIT = 2048,                     /* bytes of an ARN; of the names in it, and of others, 255 */
	TELEMETRY_FRESH_SECONDS = 50,                    /* older is not "now": two sets of the stock agent, and some */
	TELEMETRY_ROWS_LIMIT = 2000,                     /* of an answer */
	TELEMETRY_LABELS_LIMIT = 1000,                   /* tasks, and services, on the page of metrics */
};

/* Byte counts: since the sample before. */
struct telemetry_sample {
	uint32_t second;                                 /* since 1970, by the agent's clock where that is not far off */
	uint32_t readings;                               /* how many it is the mean of */
	float cpu_percent, memory_mib;
	uint64_t rx_bytes, tx_bytes, read_bytes, write_bytes;
};

struct telemetry_subject {
	struct str cluster, task_arn, task_id, service, family, revision, container;
	struct str health;                               /* HEALTHY, UNHEALTHY, UNKNOWN; absent: no health check */
	double memory_limit_mib;                         /* 0: none, or not told */
	int64_t restarts;
};

struct telemetry;

struct telemetry *telemetry_new(void);
void telemetry_free(struct telemetry *telemetry);

/* What does not name a task and container that could be is passed over. */
void telemetry_take_metrics(struct telemetry *telemetry, const struct tcs_publish_metrics_request *request, usec now);
void telemetry_take_health(struct telemetry *telemetry, const struct tcs_publish_health_request *request, usec now);

/* Every container, with its samples of `since` and later, oldest first; both good during the call, which must be short
 * and must not come back here: everybody else waits. */
void telemetry_walk(struct telemetry *telemetry, uint32_t since,
		    void (*visit)(void *arg, const struct telemetry_subject *subject, const struct telemetry_sample *samples,
				  size_t count),
		    void *arg);

/* What is used now. `cluster` absent: of all. */
void telemetry_describe(struct telemetry *telemetry, struct str cluster, usec now, struct arena *arena,
			struct wherry_telemetry_response *ret_response);
/* The same for Prometheus, by cluster, service and task. */
void telemetry_print(struct telemetry *telemetry, usec now, struct buffer *out);
