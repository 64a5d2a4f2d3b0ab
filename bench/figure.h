/* figure.h - what every benchmark here shares: a clock, samples, a folder to work in, and how a figure is printed.
 *
 * A figure is a line of tab-separated name, value, unit and setting: people read it, bench/run parses it. */
#pragma once
#include "base/arena.h"
#include "base/error.h"

enum { SAMPLES_LIMIT = 1 << 21 };                        /* later ones are not kept */

struct samples {
	uint32_t *usec;
	size_t count;
};

int64_t nanoseconds(void);                               /* monotonic */

void samples_add(struct samples *samples, int64_t nsec);
double samples_msec(struct samples *samples, double part);       /* 0.5: the median; sorts */
void samples_fini(struct samples *samples);

void figure(const char *name, double value, const char *unit, const char *setting, ...) PRINTF_LIKE(4, 5);
/* NAME.p50 and NAME.p99, in ms. */
void figure_spread(const char *name, struct samples *samples, const char *setting);

void give_up(const char *what, const struct error *err) __attribute__((noreturn));

/* A new folder below $TMPDIR or /tmp, which should be a real disk. */
char *scratch_make(struct arena *arena);
void scratch_remove(const char *folder);
