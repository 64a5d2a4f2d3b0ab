#include "os/clock.h"
#include <errno.h>
#include <time.h>

static usec clock_read(clockid_t id)
{
	struct timespec now;

	clock_gettime(id, &now);
	return now.tv_sec * USEC_PER_SEC + now.tv_nsec / 1000;
}

usec clock_now(void) { return clock_read(CLOCK_REALTIME); }
usec clock_monotonic(void) { return clock_read(CLOCK_MONOTONIC); }

void clock_sleep(usec span)
{
	struct timespec left = {.tv_sec = span / USEC_PER_SEC,
				.tv_nsec = span % USEC_PER_SEC * 1000};

	while (nanosleep(&left, &left) < 0 && errno == EINTR)
		;
}
