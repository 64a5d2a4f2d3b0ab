/* address.h - the pools that addresses are given from, and the form of IPv6 blocks. */
#pragma once
#include "base/ipv4.h"

/* The form of an IPv6 block: "::/0", "2001:db8::/32". */
bool block6_is_valid(struct str text);

/* Addresses of a block, one bit each. They are given out in turn, so that one that was given back rests for a while. */
struct pool {
	struct ipv4_block block;
	uint64_t *words;
	uint32_t used, next;                             /* next: where the search begins */
};

void pool_init(struct pool *pool, struct ipv4_block block);   /* no shorter than /6 */
void pool_fini(struct pool *pool);
bool pool_has(const struct pool *pool, uint32_t address);        /* taken */
bool pool_add(struct pool *pool, uint32_t address);      /* false: not of the block, or taken already */
bool pool_remove(struct pool *pool, uint32_t address);   /* false: not of the block, or not taken */
bool pool_find(const struct pool *pool, uint32_t *ret_address);  /* a free one; false: none is left */
