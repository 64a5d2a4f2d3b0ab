#include "base/error.h"
#include <assert.h>
#include <stdio.h>

static const struct {
	struct str wire;
	int http;
} rows[] = {
#define X(name, wire_name, http_status) [ERROR_##name] = {STR_INIT(wire_name), http_status},
	ERRORS(X)
#undef X
};
static_assert(COUNT(rows) == ERROR_CODE_COUNT, "a row for every error");

bool (fail)(struct error *err, enum error_code code, const char *format, ...)
{
	va_list args;

	assert(code > ERROR_NONE && code < ERROR_CODE_COUNT);
	if (!err)
		return false;
	err->code = code;
	err->os = 0;
	va_start(args, format);
	vsnprintf(err->text, sizeof(err->text), format, args);
	va_end(args);
	return false;
}

bool (fail_os)(struct error *err, int os, const char *format, ...)
{
	va_list args;
	size_t used;

	if (!err)
		return false;
	err->code = ERROR_OS;
	err->os = os;
	va_start(args, format);
	vsnprintf(err->text, sizeof(err->text), format, args);
	va_end(args);
	used = strlen(err->text);
	snprintf(err->text + used, sizeof(err->text) - used, ": %s", strerror(os));
	return false;
}

bool (fail_context)(struct error *err, const char *format, ...)
{
	char said[sizeof(err->text)];
	va_list args;
	size_t used;

	if (!err)
		return false;
	memcpy(said, err->text, sizeof(said));
	va_start(args, format);
	vsnprintf(err->text, sizeof(err->text), format, args);
	va_end(args);
	used = strlen(err->text);
	snprintf(err->text + used, sizeof(err->text) - used, ": %s", said);
	return false;
}

struct str error_wire_name(enum error_code code)
{
	assert(code > ERROR_NONE && code < ERROR_CODE_COUNT);
	return rows[code].wire;
}

int error_http_status(enum error_code code)
{
	assert(code > ERROR_NONE && code < ERROR_CODE_COUNT);
	return rows[code].http;
}
