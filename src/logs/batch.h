/* batch.h - some events of a stream as bytes: what one row of the log store holds.
 *
 * Little-endian: the number of events; for each, milliseconds after the first, the length, the message. */
#pragma once
#include "api/logs.h"
#include "base/arena.h"
#include "base/buffer.h"
#include "base/error.h"

struct log_event {
	int64_t timestamp;                               /* milliseconds since 1970 */
	struct str message;
};

/* The events are in order, within 24 hours, and have both members. */
void log_batch_encode(const struct logs_input_log_event *events, size_t count, struct buffer *out);
/* Messages borrow `bytes`. Fails with ERROR_CORRUPT. */
bool log_batch_decode(struct str bytes, int64_t first, struct arena *arena, struct log_event **ret_events,
		      size_t *ret_count, struct error *err);
