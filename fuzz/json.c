/* Any bytes as a request: what is taken must survive being written, read again and copied. */
#include <assert.h>
#include <stdlib.h>
#include "api/ecs.h"
#include "wire/json.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(const struct shape *shape, struct str text)
{
	auto_arena arena = {0};
	auto_buffer out = {0};
	struct violation violation;
	struct json_fault fault;
	void *value, *again, *clone;

	if (!json_decode(shape, text, &arena, &value, &fault)) {
		assert(fault.unknown_word || fault.error.code == ERROR_SERIALIZATION);
		return;
	}
	shape_check(shape, value, &arena, &violation);
	json_encode(shape, value, &out);
	if (!json_decode(shape, buffer_str(&out), &arena, &again, &fault))
		abort();
	clone = shape_clone(shape, again);
	assert(shape_equal(shape, clone, again));
	free(clone);
}

/* The first byte chooses the operation. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct str text = {(const char *)data + 1, size - 1};
	struct json_fault fault;

	if (size == 0)
		return 0;
	check(api_ecs.operations[data[0] % api_ecs.operation_count].input, text);
	check(&shape_ecs_task, text);
	json_check(text, &fault);
	json_member_text(text, S("type"));
	return 0;
}
