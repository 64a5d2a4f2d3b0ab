#include "base/ipv4.h"
#include "test.h"

TEST(an_address_is_four_numbers_and_nothing_else)
{
	static const char *const wrong[] = {"", "1.2.3", "1.2.3.4.5", "1.2.3.256", "1..2.3", "1.2.3.+4", "1.2.3.-4", "1.2.3.04", "1.2.3.0004",
					    "1.2.3.4 ", "1.2.3.4.", "::1"};
	auto_arena arena = {0};
	uint32_t address;

	assert_true(ipv4_parse(S("10.0.255.1"), &address));
	assert_int_equal(address, 0x0a00ff01);
	EXPECT_STR(ipv4_text(&arena, address), S("10.0.255.1"));
	assert_true(ipv4_parse(S("255.255.255.255"), &address));
	EXPECT_STR(ipv4_text(&arena, address), S("255.255.255.255"));
	for (size_t i = 0; i < COUNT(wrong); i++)
		assert_false(ipv4_parse(str_of(wrong[i]), &address));
}

TEST(blocks_are_read_as_aws_reads_them)
{
	static const char *const wrong[] = {"", "10.0.0.0", "10.0.0/8", "10.0.0.256/8", "10.0.0.0/33", "10.0.0.0/", "10.0.0.0/-1", "10.0.0.0/+8",
					    "010.0.0.0/8", "10.0.0.0.0/8", "+1.0.0.0/8", "10.0.0.0/8x", "10.0.0.0/0008", "::/0"};
	auto_arena arena = {0};
	struct ipv4_block block;

	assert_true(ipv4_block_parse(S("10.1.2.3/16"), &block));
	EXPECT_STR(ipv4_block_text(&arena, block), S("10.1.0.0/16"));
	assert_int_equal(ipv4_block_size(block), 65536);
	for (size_t i = 0; i < COUNT(wrong); i++)
		assert_false(ipv4_block_parse(str_of(wrong[i]), &block));
}

TEST(a_block_has_what_begins_as_it_does)
{
	struct ipv4_block all, wide, narrow, other;

	assert_true(ipv4_block_parse(S("0.0.0.0/0"), &all));
	assert_true(ipv4_block_parse(S("10.1.0.0/16"), &wide));
	assert_true(ipv4_block_parse(S("10.1.255.255/32"), &narrow));
	assert_true(ipv4_block_parse(S("10.2.0.0/16"), &other));
	assert_true(ipv4_block_has(all, UINT32_MAX));
	assert_true(ipv4_block_has(wide, 0x0a01ffff));
	assert_false(ipv4_block_has(wide, 0x0a020000));
	assert_true(ipv4_block_contains(wide, narrow));
	assert_false(ipv4_block_contains(narrow, wide));
	assert_true(ipv4_block_overlaps(narrow, wide));
	assert_false(ipv4_block_overlaps(wide, other));
}
