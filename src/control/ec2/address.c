#include "control/ec2/address.h"
#include <assert.h>
#include <stdlib.h>

enum { WORD_BITS = 64, POOL_BITS_LIMIT = 26 };

/* ---- IPv6 */
static bool is_hex_group(struct str text)
{
	for (size_t i = 0; i < text.len; i++)
		if (!strchr("0123456789abcdefABCDEF", text.ptr[i]) || !text.ptr[i])
			return false;
	return text.len >= 1 && text.len <= 4;
}

/* Groups between colons; empty text has none. -1: malformed. */
static int count_groups(struct str text)
{
	struct str piece;
	int count = 0;

	if (str_empty(text))
		return 0;
	while (str_cut(&text, ':', &piece)) {
		if (!is_hex_group(piece))
			return -1;
		count++;
	}
	return count;
}

static bool address6_is_valid(struct str text)
{
	int before, after;

	for (size_t i = 0; i + 1 < text.len; i++)
		if (text.ptr[i] == ':' && text.ptr[i + 1] == ':') {
			before = count_groups(str_slice(text, 0, i));
			after = count_groups(str_slice(text, i + 2, text.len));
			return before >= 0 && after >= 0 && before + after <= 7;
		}
	return count_groups(text) == 8;
}

bool block6_is_valid(struct str text)
{
	struct str rest = text, address;
	uint64_t bits;

	return str_cut(&rest, '/', &address) && str_has(rest) && address6_is_valid(address) && rest.len <= 3 &&
	       str_to_unsigned(rest, &bits) && bits <= 128;
}

/* ---- pools */
static size_t word_count(const struct pool *pool)
{
	return (size_t)((ipv4_block_size(pool->block) + WORD_BITS - 1) / WORD_BITS);
}

void pool_init(struct pool *pool, struct ipv4_block block)
{
	assert(32 - block.prefix <= POOL_BITS_LIMIT);
	*pool = (struct pool){.block = block};
	pool->words = calloc(word_count(pool), sizeof(*pool->words));
	if (!pool->words)
		abort();
	/* What a small block lacks of its word. */
	if (ipv4_block_size(block) < WORD_BITS)
		pool->words[0] = UINT64_MAX << ipv4_block_size(block);
}

void pool_fini(struct pool *pool)
{
	free(pool->words);
	*pool = (struct pool){0};
}

bool pool_has(const struct pool *pool, uint32_t address)
{
	uint32_t place = address - pool->block.base;

	return ipv4_block_has(pool->block, address) && (pool->words[place / WORD_BITS] >> place % WORD_BITS & 1);
}

bool pool_add(struct pool *pool, uint32_t address)
{
	uint32_t place = address - pool->block.base;

	if (!ipv4_block_has(pool->block, address) || pool_has(pool, address))
		return false;
	pool->words[place / WORD_BITS] |= UINT64_C(1) << place % WORD_BITS;
	pool->used++;
	pool->next = (uint32_t)((place + UINT64_C(1)) % ipv4_block_size(pool->block));
	return true;
}

bool pool_remove(struct pool *pool, uint32_t address)
{
	uint32_t place = address - pool->block.base;

	if (!pool_has(pool, address))
		return false;
	pool->words[place / WORD_BITS] &= ~(UINT64_C(1) << place % WORD_BITS);
	pool->used--;
	return true;
}

bool pool_find(const struct pool *pool, uint32_t *ret_address)
{
	size_t count = word_count(pool), first = pool->next / WORD_BITS;

	if (pool->used == ipv4_block_size(pool->block))
		return false;
	/* The first word twice: its part from `next` on, and at the end all of it. */
	for (size_t i = 0; i <= count; i++) {
		size_t at = (first + i) % count;
		uint64_t free = ~pool->words[at] & (i ? UINT64_MAX : UINT64_MAX << pool->next % WORD_BITS);

		if (free) {
			*ret_address = pool->block.base + (uint32_t)(at * WORD_BITS) + (uint32_t)__builtin_ctzll(free);
			return true;
		}
	}
	assert(!"a pool that is not full has a free address");
	return false;
}
