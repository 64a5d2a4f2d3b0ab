#include "logs/batch.h"
#include <endian.h>

enum { NUMBER_BYTES = 4 };

static char *put_number(char *at, uint32_t value)
{
	value = htole32(value);
	memcpy(at, &value, sizeof(value));
	return at + sizeof(value);
}

static uint32_t get_number(struct str bytes, size_t at)
{
	uint32_t value;

	memcpy(&value, bytes.ptr + at, sizeof(value));
	return le32toh(value);
}

void log_batch_encode(const struct logs_input_log_event *events, size_t count, struct buffer *out)
{
	size_t size = NUMBER_BYTES;
	char *at;

	for (size_t i = 0; i < count; i++)
		size += 2 * NUMBER_BYTES + events[i].message.len;
	buffer_reserve(out, size);
	at = put_number(out->bytes + out->len, (uint32_t)count);
	for (size_t i = 0; i < count; i++) {
		at = put_number(at, (uint32_t)(events[i].timestamp.value - events[0].timestamp.value));
		at = put_number(at, (uint32_t)events[i].message.len);
		memcpy(at, events[i].message.ptr, events[i].message.len);
		at += events[i].message.len;
	}
	out->len += size;
}

bool log_batch_decode(struct str bytes, int64_t first, struct arena *arena, struct log_event **ret_events,
		      size_t *ret_count, struct error *err)
{
	size_t count = bytes.len >= NUMBER_BYTES ? get_number(bytes, 0) : 0, at = NUMBER_BYTES;
	struct log_event *events;
	uint32_t before = 0;

	if (count == 0 || count > bytes.len / (2 * NUMBER_BYTES))
		return fail(err, ERROR_CORRUPT, "a batch of log events has no end");
	events = arena_array(arena, struct log_event, count);
	for (size_t i = 0; i < count; i++) {
		uint32_t later, len;

		if (bytes.len - at < 2 * NUMBER_BYTES)
			return fail(err, ERROR_CORRUPT, "a batch of log events ends early");
		later = get_number(bytes, at);
		len = get_number(bytes, at + NUMBER_BYTES);
		at += 2 * NUMBER_BYTES;
		if (len > bytes.len - at || later < before)
			return fail(err, ERROR_CORRUPT, "a batch of log events is damaged");
		events[i] = (struct log_event){first + later, {bytes.ptr + at, len}};
		at += len;
		before = later;
	}
	if (at != bytes.len)
		return fail(err, ERROR_CORRUPT, "a batch of log events ends late");
	*ret_events = events;
	*ret_count = count;
	return true;
}
