/* Any bytes as a row of the log store: what is read is written as the same bytes. */
#include <assert.h>
#include "logs/batch.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct str bytes = {(const char *)data, size};
	struct logs_input_log_event *again;
	struct log_event *events;
	auto_arena arena = {0};
	auto_buffer out = {0};
	struct error error;
	size_t count;

	if (!log_batch_decode(bytes, 1000, &arena, &events, &count, &error))
		return 0;
	again = arena_array(&arena, struct logs_input_log_event, count);
	for (size_t i = 0; i < count; i++)
		again[i] = (struct logs_input_log_event){.timestamp = {events[i].timestamp, true}, .message = events[i].message};
	log_batch_encode(again, count, &out);
	assert(out.len == size);
	assert(events[0].timestamp != 1000 || str_equal(buffer_str(&out), bytes));
	return 0;
}
