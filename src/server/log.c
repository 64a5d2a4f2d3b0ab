#include "server/log.h"
#include <stdarg.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>
#include "os/clock.h"

enum { LINE_LIMIT = 1400 };

static void print(const char *level, const char *event, const char *format, va_list args)
{
	char line[LINE_LIMIT];
	usec now = clock_now();
	time_t seconds = (time_t)(now / USEC_PER_SEC);
	struct tm when;
	size_t used;
	int more;

	gmtime_r(&seconds, &when);
	used = strftime(line, sizeof(line), "time=%Y-%m-%dT%H:%M:%S", &when);
	used += (size_t)snprintf(line + used, sizeof(line) - used, ".%03dZ level=%s event=%s ",
				 (int)(now / 1000 % 1000), level, event);
	more = vsnprintf(line + used, sizeof(line) - used - 1, format, args);
	used = MIN(used + (size_t)MAX(more, 0), sizeof(line) - 2);
	for (size_t i = 0; i < used; i++)
		if ((unsigned char)line[i] < ' ' || line[i] == 0x7f)
			line[i] = '?';
	line[used++] = '\n';
	/* A full or closed stderr must not stop the server. */
	if (write(STDERR_FILENO, line, used) < 0)
		return;
}

void log_error(const char *event, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	print("error", event, format, args);
	va_end(args);
}

void log_info(const char *event, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	print("info", event, format, args);
	va_end(args);
}
