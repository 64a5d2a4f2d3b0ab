/* telemetry_private.h - between the store of samples (telemetry.c) and what is said of them now (telemetry_now.c). */
#pragma once
#include "server/telemetry.h"

/* The newest sample. Totals: since the server first heard of the container. */
struct telemetry_current {
	usec measured_at;
	double cpu_percent, memory_mib, rx_rate, tx_rate, read_rate, write_rate;
	uint64_t rx_total, tx_total, read_total, write_total;
	bool has_network;
};

/* The containers told of lately, the newest first, until `visit` has enough. Under the lock, as telemetry_walk. */
void telemetry_each_current(struct telemetry *telemetry, usec now,
			    bool (*visit)(void *arg, const struct telemetry_subject *subject,
					  const struct telemetry_current *current),
			    void *arg);
