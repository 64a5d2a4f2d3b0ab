#include "host/ipv4.h"

static bool parse_byte(struct str text, uint32_t *address)
{
	uint64_t byte;

	if (text.len == 0 || text.len > 3 || text.ptr[0] == '+' || !str_to_unsigned(text, &byte) || byte > 255)
		return false;
	*address = *address << 8 | (uint32_t)byte;
	return true;
}

bool ipv4_parse(struct str text, uint32_t *ret_address)
{
	uint32_t address = 0;
	struct str part;
	int parts = 0;

	for (; str_cut(&text, '.', &part); parts++)
		if (parts == 4 || !parse_byte(part, &address))
			return false;
	if (parts != 4)
		return false;
	*ret_address = address;
	return true;
}

bool ipv4_block_parse(struct str text, struct ipv4_block *ret_block)
{
	struct str address;
	uint32_t base;
	uint64_t prefix;

	if (!str_cut(&text, '/', &address) || !ipv4_parse(address, &base) ||
	    !str_to_unsigned(text, &prefix) || prefix > 32)
		return false;
	*ret_block = (struct ipv4_block){base & ipv4_mask((unsigned)prefix), (unsigned)prefix};
	return true;
}

struct str ipv4_text(struct arena *arena, uint32_t address)
{
	return arena_printf(arena, "%u.%u.%u.%u", address >> 24, address >> 16 & 255, address >> 8 & 255, address & 255);
}
