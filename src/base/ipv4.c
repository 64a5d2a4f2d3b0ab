#include "base/ipv4.h"

static bool byte_parse(struct str text, uint64_t *ret_byte)
{
	return text.len >= 1 && text.len <= 3 && (text.len == 1 || text.ptr[0] != '0') &&
	       str_to_unsigned(text, ret_byte) && *ret_byte <= UINT8_MAX;
}

bool ipv4_parse(struct str text, uint32_t *ret_address)
{
	uint32_t address = 0;
	struct str piece;
	uint64_t byte;
	int count = 0;

	for (; str_cut(&text, '.', &piece); count++) {
		if (count == 4 || !byte_parse(piece, &byte))
			return false;
		address = address << 8 | (uint32_t)byte;
	}
	if (count != 4)
		return false;
	*ret_address = address;
	return true;
}

struct str ipv4_text(struct arena *arena, uint32_t address)
{
	return arena_printf(arena, "%u.%u.%u.%u", address >> 24, address >> 16 & 255, address >> 8 & 255, address & 255);
}

static uint32_t mask(unsigned prefix) { return prefix ? UINT32_MAX << (32 - prefix) : 0; }

bool ipv4_block_parse(struct str text, struct ipv4_block *ret_block)
{
	struct str address;
	uint32_t base;
	uint64_t prefix;

	if (!str_cut(&text, '/', &address) || !ipv4_parse(address, &base) || text.len > 3 ||
	    !str_to_unsigned(text, &prefix) || prefix > 32)
		return false;
	*ret_block = (struct ipv4_block){base & mask((unsigned)prefix), (unsigned)prefix};
	return true;
}

struct str ipv4_block_text(struct arena *arena, struct ipv4_block block)
{
	return arena_printf(arena, "%.*s/%u", STR(ipv4_text(arena, block.base)), block.prefix);
}

uint64_t ipv4_block_size(struct ipv4_block block) { return UINT64_C(1) << (32 - block.prefix); }

bool ipv4_block_has(struct ipv4_block block, uint32_t address) { return (address & mask(block.prefix)) == block.base; }

bool ipv4_block_contains(struct ipv4_block outer, struct ipv4_block inner)
{
	return inner.prefix >= outer.prefix && ipv4_block_has(outer, inner.base);
}

bool ipv4_block_overlaps(struct ipv4_block a, struct ipv4_block b)
{
	return ipv4_block_contains(a, b) || ipv4_block_contains(b, a);
}
