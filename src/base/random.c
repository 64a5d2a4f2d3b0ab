#include "base/random.h"
#include <assert.h>

static uint64_t splitmix(uint64_t *state)
{
	uint64_t z = (*state += 0x9e3779b97f4a7c15u);

	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
	z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
	return z ^ (z >> 31);
}

void random_init(struct random *random, uint64_t seed, uint64_t stream)
{
	uint64_t state = seed ^ (stream * 0xd1342543de82ef95u);

	random->state[0] = splitmix(&state);
	random->state[1] = splitmix(&state) | 1;
}

/* xoroshiro128+ */
uint64_t random_next(struct random *random)
{
	uint64_t a = random->state[0], b = random->state[1], result = a + b;

	b ^= a;
	random->state[0] = ((a << 24) | (a >> 40)) ^ b ^ (b << 16);
	random->state[1] = (b << 37) | (b >> 27);
	return result;
}

uint64_t random_below(struct random *random, uint64_t bound)
{
	assert(bound > 0);
	return (uint64_t)(((__uint128_t)random_next(random) * bound) >> 64);
}

struct str random_hex(struct random *random, struct arena *arena, size_t digits)
{
	char *text = arena_alloc_bytes(arena, digits);

	for (size_t i = 0; i < digits; i++)
		text[i] = "0123456789abcdef"[random_next(random) >> 60];
	return (struct str){text, digits};
}

struct str random_uuid(struct random *random, struct arena *arena)
{
	char *text = arena_alloc_bytes(arena, 36);
	uint64_t bits = 0;

	for (size_t i = 0; i < 36; i++) {
		if (i == 8 || i == 13 || i == 18 || i == 23) {
			text[i] = '-';
			continue;
		}
		if (i == 0 || i == 19)
			bits = random_next(random);
		text[i] = "0123456789abcdef"[bits >> 60];
		bits <<= 4;
	}
	text[14] = '4';                                  /* version and variant: RFC 4122, 4.4 */
	text[19] = "89ab"[random_next(random) >> 62];
	return (struct str){text, 36};
}
