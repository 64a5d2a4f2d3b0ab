/* "METHOD PATH?QUERY\nBODY" as a request of a REST service. */
#include <stdlib.h>
#include "api/efs.h"
#include "base/buffer.h"
#include "wire/rest.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct str body = {(const char *)data, size}, query, path, method;
	auto_arena arena = {0};
	auto_buffer out = {0};
	struct rest_match match;
	struct json_fault fault;
	void *value;

	if (!str_cut(&body, '\n', &query) || !str_cut(&query, ' ', &method) || !str_cut(&query, '?', &path))
		return 0;
	if (!rest_find(&api_efs, method, path, &match))
		return 0;
	if (rest_decode(&match, &(struct rest_request){.query = query, .body = body}, &arena, &value, &fault))
		json_encode(match.operation->input, value, &out);
	else if (!fault.unknown_word && !fault.error.code)
		abort();
	return 0;
}
