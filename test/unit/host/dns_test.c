#include "host/dns.h"
#include "test.h"

static const uint8_t query[] = "\x12\x34\x01\0\0\1\0\0\0\0\0\0\3wWw\7example\3com\0\0\1\0\1";
enum { QUERY_LEN = sizeof(query) - 1 };

TEST(a_query_is_read)
{
	struct dns_question question;

	assert_int_equal(dns_read_query(query, QUERY_LEN, &question), DNS_OK);
	EXPECT_STR(str_of(question.name), S("www.example.com"));
	assert_int_equal(question.type, DNS_TYPE_A);
	assert_int_equal(question.class, DNS_CLASS_IN);
	assert_int_equal(question.end, QUERY_LEN);
}

TEST(a_query_that_is_cut_off_anywhere_is_malformed)
{
	struct dns_question question;

	for (size_t len = 0; len < QUERY_LEN; len++) {
		assert_int_equal(dns_read_query(query, len, &question), DNS_MALFORMED);
		assert_int_equal(question.end, len < DNS_HEADER_BYTES ? 0 : DNS_HEADER_BYTES);
	}
}

TEST(names_have_a_limit)
{
	uint8_t bytes[DNS_HEADER_BYTES + 400] = {0, 1, 1, 0, 0, 1};
	struct dns_question question;
	size_t at = DNS_HEADER_BYTES;

	for (int i = 0; i < 3; i++, at += 64) {
		bytes[at] = 63;
		memset(bytes + at + 1, 'a', 63);
	}
	bytes[at] = 61;                                  /* 3 * 64 + 62 + 1 = 255 with the root */
	memset(bytes + at + 1, 'b', 61);
	assert_int_equal(dns_read_query(bytes, at + 62 + 5, &question), DNS_OK);
	assert_int_equal(question.end, DNS_HEADER_BYTES + DNS_NAME_LIMIT + 4);
	bytes[at] = 62;
	memset(bytes + at + 1, 'b', 62);
	assert_int_equal(dns_read_query(bytes, at + 63 + 5, &question), DNS_MALFORMED);
	memcpy(bytes + DNS_HEADER_BYTES, "\xc0\x0c\0\1\0\1", 6);        /* a pointer to itself */
	assert_int_equal(dns_read_query(bytes, DNS_HEADER_BYTES + 6, &question), DNS_MALFORMED);
}

TEST(only_plain_questions_are_taken)
{
	uint8_t bytes[QUERY_LEN];
	struct dns_question question;

	memcpy(bytes, query, sizeof(bytes));
	bytes[2] = 0x80;                                 /* an answer */
	assert_int_equal(dns_read_query(bytes, sizeof(bytes), &question), DNS_MALFORMED);
	assert_int_equal(question.end, 0);
	bytes[2] = 0x28;                                 /* an update */
	assert_int_equal(dns_read_query(bytes, sizeof(bytes), &question), DNS_NOT_DONE);
	bytes[2] = 0;
	bytes[5] = 2;
	assert_int_equal(dns_read_query(bytes, sizeof(bytes), &question), DNS_MALFORMED);
}

TEST(an_answer_of_our_own_answers_the_query)
{
	uint8_t reply[QUERY_LEN + DNS_ANSWER_BYTES];
	uint32_t address = 0x0a000005;
	size_t len = dns_write_reply(query, QUERY_LEN, DNS_OK, &address, reply);

	assert_int_equal(len, sizeof(reply));
	assert_true(dns_answers(query, QUERY_LEN, reply, len));
	assert_memory_equal(reply + len - 4, "\x0a\0\0\5", 4);
	reply[DNS_HEADER_BYTES + 1] = 'W';               /* case does not matter */
	assert_true(dns_answers(query, QUERY_LEN, reply, len));
	reply[DNS_HEADER_BYTES + 1] = 'v';
	assert_false(dns_answers(query, QUERY_LEN, reply, len));
	dns_write_reply(query, QUERY_LEN, DNS_OK, &address, reply);
	reply[1] ^= 1;
	assert_false(dns_answers(query, QUERY_LEN, reply, len));
	len = dns_write_reply(query, DNS_HEADER_BYTES, DNS_MALFORMED, NULL, reply);
	assert_int_equal(len, DNS_HEADER_BYTES);
	assert_int_equal(reply[5], 0);
	assert_true(dns_answers(query, QUERY_LEN, reply, len));
	assert_false(dns_answers(query, QUERY_LEN, query, QUERY_LEN));
}

TEST(names_of_the_vpcs_addresses_are_known)
{
	uint32_t address = 0;

	assert_true(dns_own_name(S("ip-10-0-0-5.ec2.internal"), &address));
	assert_int_equal(address, 0x0a000005);
	assert_true(dns_own_name(S("ip-172-31-255-1.eu-west-1.compute.internal"), &address));
	assert_int_equal(address, 0xac1fff01);
	assert_false(dns_own_name(S("ip-10-0-0.ec2.internal"), &address));
	assert_false(dns_own_name(S("ip-10-0-0-5-6.ec2.internal"), &address));
	assert_false(dns_own_name(S("ip-10-0-0-256.ec2.internal"), &address));
	assert_false(dns_own_name(S("ip-10-0-0-5.example.com"), &address));
	assert_false(dns_own_name(S("ip-10-0-0-5.a.b.compute.internal"), &address));
	assert_false(dns_own_name(S("ip-10-0-0-5"), &address));
	assert_false(dns_own_name(S("www.ec2.internal"), &address));
}
