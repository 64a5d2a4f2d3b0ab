/* address.h - IPv4 addresses and blocks as numbers and text, and the pools that addresses are given from. */
#pragma once
#include "base/arena.h"

/* "10.0.0.0/16": the lowest address, and how many bits are fixed. */
struct block {
	uint32_t base;
	uint8_t bits;
};

bool address_parse(struct str text, uint32_t *ret_address);
struct str address_text(struct arena *arena, uint32_t address);

/* Bits behind the prefix are cleared, as AWS does. False: malformed. */
bool block_parse(struct str text, struct block *ret_block);
struct str block_text(struct arena *arena, struct block block);
uint64_t block_size(struct block block);
bool block_has(struct block block, uint32_t address);
bool block_contains(struct block outer, struct block inner);
bool block_overlaps(struct block a, struct block b);
/* The form of an IPv6 block: "::/0", "2001:db8::/32". */
bool block6_is_valid(struct str text);

/* Addresses of a block, one bit each. They are given out in turn, so that one that was given back rests for a while. */
struct pool {
	struct block block;
	uint64_t *words;
	uint32_t used, next;                             /* next: where the search begins */
};

void pool_init(struct pool *pool, struct block block);   /* no shorter than /6 */
void pool_fini(struct pool *pool);
bool pool_has(const struct pool *pool, uint32_t address);        /* taken */
bool pool_add(struct pool *pool, uint32_t address);      /* false: not of the block, or taken already */
bool pool_remove(struct pool *pool, uint32_t address);   /* false: not of the block, or not taken */
bool pool_find(const struct pool *pool, uint32_t *ret_address);  /* a free one; false: none is left */
