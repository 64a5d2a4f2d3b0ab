#include "wire/event_stream.h"
#include "test/test.h"

TEST(the_checksum_is_crc_32)
{
	assert_int_equal(event_stream_checksum(0, S("123456789")), 0xcbf43926);
	assert_int_equal(event_stream_checksum(event_stream_checksum(0, S("1234")), S("56789")), 0xcbf43926);
}

/* What the specification of the format gives as an example: no headers, no payload. */
TEST(an_empty_frame_is_written_as_aws_writes_it)
{
	static const unsigned char expected[] = {0, 0, 0, 0x10, 0, 0, 0, 0, 0x05, 0xc2, 0x48, 0xeb, 0x7d, 0x98, 0xc8, 0xff};
	auto_buffer out = {0};

	event_stream_encode(&(struct event_frame){.payload = S("")}, &out);
	assert_int_equal(out.len, sizeof(expected));
	assert_memory_equal(out.bytes, expected, sizeof(expected));
}

TEST(an_event_is_read_again)
{
	struct event_frame frame;
	struct error error = {0};
	auto_buffer out = {0};
	size_t used;

	event_stream_event(S("sessionUpdate"), S("{\"a\":1}"), &out);
	event_stream_exception(S("Oops"), S("{}"), &out);
	assert_true(event_stream_decode(buffer_str(&out), &frame, &used, &error));
	assert_int_equal(frame.header_count, 3);
	EXPECT_STR(frame.headers[0].name, S(":event-type"));
	EXPECT_STR(frame.headers[0].value, S("sessionUpdate"));
	EXPECT_STR(frame.headers[2].value, S("event"));
	EXPECT_STR(frame.payload, S("{\"a\":1}"));
	buffer_consume(&out, used);
	assert_true(event_stream_decode(buffer_str(&out), &frame, &used, &error));
	EXPECT_STR(frame.headers[0].name, S(":exception-type"));
	assert_int_equal(used, out.len);
}

TEST(a_piece_of_a_frame_is_not_yet_one)
{
	struct event_frame frame;
	struct error error = {0};
	auto_buffer out = {0};

	event_stream_event(S("x"), S("payload"), &out);
	for (size_t len = 0; len < out.len; len++) {
		size_t used = 1;

		assert_true(event_stream_decode((struct str){out.bytes, len}, &frame, &used, &error));
		assert_int_equal(used, 0);
	}
}

TEST(every_flipped_bit_is_noticed)
{
	struct event_frame frame;
	struct error error = {0};
	auto_buffer out = {0};
	size_t used;

	event_stream_event(S("x"), S("payload"), &out);
	for (size_t bit = 0; bit < out.len * 8; bit++) {
		out.bytes[bit / 8] ^= (char)(1 << bit % 8);
		assert_false(event_stream_decode(buffer_str(&out), &frame, &used, &error));
		out.bytes[bit / 8] ^= (char)(1 << bit % 8);
	}
}
