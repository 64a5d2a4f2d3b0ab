#include "os/entropy.h"
#include <errno.h>
#include <stdlib.h>
#include <sys/random.h>

/* There is nothing sensible to do without it, so running on is not offered. */
void entropy_fill(void *bytes, size_t len)
{
	char *at = bytes;

	while (len) {
		ssize_t got = getrandom(at, len, 0);

		if (got < 0 && errno != EINTR)
			abort();
		if (got < 0)
			continue;
		at += got;
		len -= (size_t)got;
	}
}

uint64_t entropy_number(void)
{
	uint64_t number;

	entropy_fill(&number, sizeof(number));
	return number;
}
