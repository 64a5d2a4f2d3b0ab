#include "bench/figure.h"
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include "os/file.h"

int64_t nanoseconds(void)
{
	struct timespec time;

	clock_gettime(CLOCK_MONOTONIC, &time);
	return (int64_t)time.tv_sec * 1000000000 + time.tv_nsec;
}

void samples_add(struct samples *samples, int64_t nsec)
{
	if (!samples->usec)
		samples->usec = malloc(SAMPLES_LIMIT * sizeof(*samples->usec));
	if (!samples->usec)
		abort();
	if (samples->count < SAMPLES_LIMIT)
		samples->usec[samples->count++] = (uint32_t)MIN(nsec / 1000, (int64_t)UINT32_MAX);
}

static int by_value(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

	return (x > y) - (x < y);
}

double samples_msec(struct samples *samples, double part)
{
	if (!samples->count)
		return 0;
	qsort(samples->usec, samples->count, sizeof(*samples->usec), by_value);
	return samples->usec[(size_t)((double)(samples->count - 1) * part)] / 1e3;
}

void samples_fini(struct samples *samples)
{
	free(samples->usec);
	*samples = (struct samples){0};
}

void figure(const char *name, double value, const char *unit, const char *setting, ...)
{
	va_list arguments;

	printf("%s\t%.*f\t%s\t", name, value < 10 ? 3 : value < 1000 ? 1 : 0, value, unit);
	va_start(arguments, setting);
	vprintf(setting, arguments);
	va_end(arguments);
	printf("\n");
	fflush(stdout);
}

void figure_spread(const char *name, struct samples *samples, const char *setting)
{
	static const struct { const char *name; double part; } parts[] = {{"p50", 0.5}, {"p99", 0.99}};

	for (size_t i = 0; i < COUNT(parts); i++) {
		auto_arena arena = {0};

		figure(arena_cstr(&arena, arena_printf(&arena, "%s.%s", name, parts[i].name)),
		       samples_msec(samples, parts[i].part), "ms", "%s", setting);
	}
}

void give_up(const char *what, const struct error *err)
{
	fprintf(stderr, "%s: %s\n", what, err && err->text[0] ? err->text : "failed");
	exit(1);
}

char *scratch_make(struct arena *arena)
{
	const char *base = getenv("TMPDIR");
	char *folder = arena_cstr(arena, arena_printf(arena, "%s/wherry-bench-XXXXXX", base ? base : "/tmp"));

	if (!mkdtemp(folder))
		give_up(folder, NULL);
	return folder;
}

void scratch_remove(const char *folder)
{
	tree_remove(AT_FDCWD, folder, NULL);
}
