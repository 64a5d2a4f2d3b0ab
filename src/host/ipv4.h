/* ipv4.h - IPv4 addresses and blocks as numbers (host byte order) and text. */
#pragma once
#include "base/arena.h"

struct ipv4_block {
	uint32_t base;
	unsigned prefix;
};

bool ipv4_parse(struct str text, uint32_t *ret_address);
/* "10.0.0.0/16". Bits behind the prefix are cleared, as AWS does. */
bool ipv4_block_parse(struct str text, struct ipv4_block *ret_block);
struct str ipv4_text(struct arena *arena, uint32_t address);

static inline uint32_t ipv4_mask(unsigned prefix) { return prefix ? UINT32_MAX << (32 - prefix) : 0; }
static inline bool ipv4_block_has(struct ipv4_block block, uint32_t address)
{
	return ((address ^ block.base) & ipv4_mask(block.prefix)) == 0;
}
