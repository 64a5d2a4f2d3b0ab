/* random.h - reproducible randomness from a seed.
 *
 * Brains get a seed with every event, so a run can be replayed. Not for secrets: keys and tokens
 * come from the kernel (os/entropy.h). */
#pragma once
#include "base/arena.h"

struct random {
	uint64_t state[2];
};

void random_init(struct random *random, uint64_t seed, uint64_t stream);
uint64_t random_next(struct random *random);
uint64_t random_below(struct random *random, uint64_t bound);    /* bound > 0 */

struct str random_hex(struct random *random, struct arena *arena, size_t digits);
struct str random_uuid(struct random *random, struct arena *arena);      /* version 4, lower case */
