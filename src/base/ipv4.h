/* ipv4.h - IPv4 addresses and blocks as numbers (host byte order) and text. */
#pragma once
#include "base/arena.h"

/* "10.0.0.0/16": the lowest address, and how many bits are fixed. */
struct ipv4_block {
	uint32_t base;
	unsigned prefix;
};

/* Four decimal numbers without signs and leading zeros. */
bool ipv4_parse(struct str text, uint32_t *ret_address);
struct str ipv4_text(struct arena *arena, uint32_t address);

/* Bits behind the prefix are cleared, as AWS does. False: malformed. */
bool ipv4_block_parse(struct str text, struct ipv4_block *ret_block);
struct str ipv4_block_text(struct arena *arena, struct ipv4_block block);
uint64_t ipv4_block_size(struct ipv4_block block);
bool ipv4_block_has(struct ipv4_block block, uint32_t address);
bool ipv4_block_contains(struct ipv4_block outer, struct ipv4_block inner);
bool ipv4_block_overlaps(struct ipv4_block a, struct ipv4_block b);
