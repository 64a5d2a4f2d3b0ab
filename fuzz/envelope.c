/* Any bytes as a frame of the agent's channels. */
#include <assert.h>
#include "wire/envelope.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(const struct envelope_type *types, struct str frame)
{
	auto_arena arena = {0};
	auto_buffer out = {0};
	struct error err;
	struct str type;
	void *message;

	if (!envelope_decode(types, frame, &arena, &type, &message, &err) || !message)
		return;
	envelope_encode(type, envelope_shape(types, type), message, &out);
	if (!envelope_decode(types, buffer_str(&out), &arena, &type, &message, &err))
		__builtin_trap();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct str frame = {(const char *)data, size};

	check(acs_types, frame);
	check(tcs_types, frame);
	return 0;
}
