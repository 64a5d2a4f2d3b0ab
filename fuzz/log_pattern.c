/* A filter pattern, a line's end, a message: any bytes. */
#include "wire/log_pattern.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void take(void *arg, struct str name, struct str value)
{
	size_t *bytes = arg;

	*bytes += name.len + value.len;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct str text = {(const char *)data, size};
	size_t end = str_find(text, '\n'), bytes = 0;
	struct str message = str_slice(text, end + 1, size);
	struct log_pattern *pattern;
	auto_arena arena = {0};
	struct error error;

	pattern = log_pattern_new(str_slice(text, 0, end), &error);
	if (!pattern)
		return 0;
	if (log_pattern_matches(pattern, message))
		log_pattern_extract(pattern, message, &arena, take, &bytes);
	log_pattern_free(pattern);
	return 0;
}
