/* Any bytes as frames: what is read is written as the same bytes. */
#include <assert.h>
#include "wire/event_stream.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct str rest = {(const char *)data, size};
	struct event_frame frame;
	struct error error;
	size_t used;

	while (event_stream_decode(rest, &frame, &used, &error) && used) {
		auto_buffer out = {0};

		event_stream_encode(&frame, &out);
		assert(str_equal(buffer_str(&out), str_slice(rest, 0, used)));
		rest = str_slice(rest, used, rest.len);
	}
	return 0;
}
