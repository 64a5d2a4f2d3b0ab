/* stats.h - what containers use: CPU, memory, network and block I/O, sampled once a second.
 *
 * One thread reads the control groups (v1, v2, hybrid) and network namespaces of all watched containers in a round. What it
 * reads stays open, up to STATS_DESCRIPTORS_LIMIT descriptors; past that, files are opened for each reading. An open file of
 * a namespace keeps the namespace: a container is to be forgotten as soon as it has ended. Thread-safe. */
#pragma once
#include "api/metadata.h"
#include "base/error.h"
#include "base/time.h"

enum {
	STATS_PERIOD_MSEC = 1000,
	STATS_DESCRIPTORS_LIMIT = 4096,
	STATS_CONTAINERS_LIMIT = 20000,                  /* more are not watched */
	STATS_SOURCES = 5,                               /* descriptors a container */
};

/* Since the container's start. memory_cache_bytes: what the kernel can take back (inactive file pages). */
struct stats_counters {
	usec at;                                         /* when, by the wall clock */
	uint64_t cpu_nsec, memory_bytes, memory_cache_bytes;
	uint64_t read_bytes, write_bytes;
	uint64_t rx_bytes, rx_packets, rx_errors, rx_dropped, tx_bytes, tx_packets, tx_errors, tx_dropped;
};

struct stats_set {
	double min, max, sum;
	uint64_t count;
};

/* What was sampled since the last report. Counters: how much they grew from one sample to the next. */
struct stats_report {
	struct stats_set cpu_percent;                    /* 100: the whole machine */
	struct stats_set memory_mib;                     /* without the cache */
	struct stats_set read_bytes, write_bytes;
	struct stats_set rx_bytes, rx_packets, rx_errors, rx_dropped, tx_bytes, tx_packets, tx_errors, tx_dropped;
	struct stats_set rx_rate, tx_rate;               /* bytes a second */
	bool has_network;                                /* of its own, or its task's */
};

struct stats_options {
	void (*sampled)(void *arg);                      /* after each round, in the sampling thread; or NULL */
	void *arg;
};

struct stats;

bool stats_new(const struct stats_options *options, struct stats **ret_stats, struct error *err);
void stats_free(struct stats *stats);

/* `netns`: path of the network namespace to count, absent: none. Watching anew starts at zero. */
void stats_watch(struct stats *stats, struct str task_id, struct str container, struct str netns);
void stats_forget(struct stats *stats, struct str task_id, struct str container);

/* False when there is no sample since the last report. */
bool stats_take(struct stats *stats, struct str task_id, struct str container, struct stats_report *ret_report);
/* The newest sample and the one before (at 0: there is none). Samples when there is none yet; false when the container is
 * not watched. */
bool stats_latest(struct stats *stats, struct str task_id, struct str container, struct stats_counters *ret_now,
		  struct stats_counters *ret_before);
/* The same and all else that docker tells, in its shape; without id and name. NULL when the container is not watched. */
struct metadata_stats *stats_describe(struct stats *stats, struct str task_id, struct str container,
				      struct arena *arena);
