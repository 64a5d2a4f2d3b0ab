/* clock.h - the time, for shells; brains get it in events. */
#pragma once
#include <stdbool.h>
#include "base/time.h"

usec clock_now(void);                                    /* since 1970-01-01 UTC */
usec clock_monotonic(void);                              /* since some start; never goes back */
void clock_sleep(usec span);
