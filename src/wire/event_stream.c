#include "wire/event_stream.h"
#include <assert.h>

enum {
	PRELUDE_BYTES = 12, CHECKSUM_BYTES = 4,
	TYPE_STRING = 7,
};

/* CRC-32 four bits at a time: frames are few, tables of their own would cost more than they save. */
uint32_t event_stream_checksum(uint32_t before, struct str bytes)
{
	static const uint32_t table[16] = {
		0x00000000, 0x1db71064, 0x3b6e20c8, 0x26d930ac, 0x76dc4190, 0x6b6b51f4, 0x4db26158, 0x5005713c,
		0xedb88320, 0xf00f9344, 0xd6d6a3e8, 0xcb61b38c, 0x9b64c2b0, 0x86d3d2d4, 0xa00ae278, 0xbdbdf21c,
	};
	uint32_t sum = ~before;

	for (size_t i = 0; i < bytes.len; i++) {
		sum ^= (unsigned char)bytes.ptr[i];
		sum = sum >> 4 ^ table[sum & 15];
		sum = sum >> 4 ^ table[sum & 15];
	}
	return ~sum;
}

static void put_number(struct buffer *out, uint32_t value, unsigned bytes)
{
	while (bytes-- > 0)
		buffer_add_char(out, (char)(value >> (8 * bytes)));
}

static uint32_t get_number(struct str bytes, size_t at, unsigned count)
{
	uint32_t value = 0;

	for (unsigned i = 0; i < count; i++)
		value = value << 8 | (unsigned char)bytes.ptr[at + i];
	return value;
}

static size_t headers_size(const struct event_frame *frame)
{
	size_t size = 0;

	for (size_t i = 0; i < frame->header_count; i++) {
		const struct event_header *header = &frame->headers[i];

		assert(header->name.len >= 1);
		assert(header->name.len <= UINT8_MAX);
		assert(header->value.len <= UINT16_MAX);
		size += 1 + header->name.len + 1 + 2 + header->value.len;
	}
	return size;
}

void event_stream_encode(const struct event_frame *frame, struct buffer *out)
{
	size_t start = out->len, headers = headers_size(frame);
	size_t total = PRELUDE_BYTES + headers + frame->payload.len + CHECKSUM_BYTES;

	assert(total <= EVENT_STREAM_FRAME_LIMIT);
	buffer_reserve(out, total);
	put_number(out, (uint32_t)total, 4);
	put_number(out, (uint32_t)headers, 4);
	put_number(out, event_stream_checksum(0, (struct str){out->bytes + start, 8}), 4);
	for (size_t i = 0; i < frame->header_count; i++) {
		put_number(out, (uint32_t)frame->headers[i].name.len, 1);
		buffer_add(out, frame->headers[i].name);
		put_number(out, TYPE_STRING, 1);
		put_number(out, (uint32_t)frame->headers[i].value.len, 2);
		buffer_add(out, frame->headers[i].value);
	}
	buffer_add(out, frame->payload);
	put_number(out, event_stream_checksum(0, (struct str){out->bytes + start, out->len - start}), 4);
}

/* ---- decoding */

static bool damaged(struct error *err, const char *what)
{
	return fail(err, ERROR_CORRUPT, "the event stream is damaged: %s", what);
}

static bool read_header(struct str *rest, struct event_header *ret_header, struct error *err)
{
	size_t name = rest->len ? get_number(*rest, 0, 1) : 0, value;

	if (!name || rest->len < 1 + name + 3)
		return damaged(err, "a header ends early");
	if (get_number(*rest, 1 + name, 1) != TYPE_STRING)
		return damaged(err, "a header is no string");
	value = get_number(*rest, 2 + name, 2);
	if (rest->len < 4 + name + value)
		return damaged(err, "a header's value ends early");
	*ret_header = (struct event_header){str_slice(*rest, 1, 1 + name), str_slice(*rest, 4 + name, 4 + name + value)};
	*rest = str_slice(*rest, 4 + name + value, rest->len);
	return true;
}

static bool read_headers(struct str rest, struct event_frame *frame, struct error *err)
{
	while (rest.len) {
		if (frame->header_count == EVENT_STREAM_HEADERS_LIMIT)
			return damaged(err, "too many headers");
		if (!read_header(&rest, &frame->headers[frame->header_count++], err))
			return false;
	}
	return true;
}

bool event_stream_decode(struct str bytes, struct event_frame *ret_frame, size_t *ret_used, struct error *err)
{
	struct event_frame frame = {0};
	size_t total, headers;

	*ret_used = 0;
	if (bytes.len < PRELUDE_BYTES)
		return true;
	total = get_number(bytes, 0, 4);
	headers = get_number(bytes, 4, 4);
	if (get_number(bytes, 8, 4) != event_stream_checksum(0, str_slice(bytes, 0, 8)))
		return damaged(err, "the prelude's checksum");
	if (total > EVENT_STREAM_FRAME_LIMIT || headers > total || total - headers < PRELUDE_BYTES + CHECKSUM_BYTES)
		return damaged(err, "its lengths");
	if (bytes.len < total)
		return true;
	if (get_number(bytes, total - CHECKSUM_BYTES, 4) !=
	    event_stream_checksum(0, str_slice(bytes, 0, total - CHECKSUM_BYTES)))
		return damaged(err, "the frame's checksum");
	if (!read_headers(str_slice(bytes, PRELUDE_BYTES, PRELUDE_BYTES + headers), &frame, err))
		return false;
	frame.payload = str_slice(bytes, PRELUDE_BYTES + headers, total - CHECKSUM_BYTES);
	*ret_frame = frame;
	*ret_used = total;
	return true;
}

/* ---- events */

static void encode_event(struct str type, struct str name, struct str payload, struct buffer *out)
{
	struct event_frame frame = {
		.headers = {
			{str_equal(type, S("exception")) ? S(":exception-type") : S(":event-type"), name},
			{S(":content-type"), S("application/json")},
			{S(":message-type"), type},
		},
		.header_count = 3,
		.payload = payload,
	};

	event_stream_encode(&frame, out);
}

void event_stream_event(struct str name, struct str payload, struct buffer *out)
{
	encode_event(S("event"), name, payload, out);
}

void event_stream_exception(struct str name, struct str payload, struct buffer *out)
{
	encode_event(S("exception"), name, payload, out);
}
