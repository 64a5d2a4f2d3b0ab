/* entropy.h - randomness from the kernel: for keys, secrets and the seeds of generators. */
#pragma once
#include <stddef.h>
#include <stdint.h>

void entropy_fill(void *bytes, size_t len);
uint64_t entropy_number(void);
