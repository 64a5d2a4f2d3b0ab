/* event_stream.h - messages of an AWS event stream (application/vnd.amazon.eventstream).
 *
 * A frame: its length and that of its headers, a checksum of both, headers (names with string values), the payload, a
 * checksum of all. */
#pragma once
#include "base/buffer.h"
#include "base/error.h"

enum { EVENT_STREAM_FRAME_LIMIT = 16 << 20, EVENT_STREAM_HEADERS_LIMIT = 8 };

struct event_header { struct str name, value; };

struct event_frame {
	struct event_header headers[EVENT_STREAM_HEADERS_LIMIT];
	size_t header_count;
	struct str payload;
};

/* Names have 1 to 255 bytes, values up to 65,535. */
void event_stream_encode(const struct event_frame *frame, struct buffer *out);
/* The first frame of `bytes`, borrowed from it; *ret_used is 0 when it is not complete. False on damage. */
bool event_stream_decode(struct str bytes, struct event_frame *ret_frame, size_t *ret_used, struct error *err);

/* An event of a JSON service: ":message-type" event (or exception), ":event-type" by its name. */
void event_stream_event(struct str name, struct str payload, struct buffer *out);
void event_stream_exception(struct str name, struct str payload, struct buffer *out);

uint32_t event_stream_checksum(uint32_t before, struct str bytes);       /* CRC-32; begin with 0 */
