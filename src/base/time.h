/* time.h - points in time and spans are microseconds.
 *
 * Points count from 1970-01-01 UTC. The pure parts never ask for the time: it arrives in events. */
#pragma once
#include <stdint.h>

typedef int64_t usec;

#define USEC_PER_MSEC ((usec)1000)
#define USEC_PER_SEC ((usec)1000000)
#define USEC_NEVER INT64_MAX
