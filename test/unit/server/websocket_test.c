#include "server/websocket.h"
#include "test/test.h"

static void collect(void *self, struct str text)
{
	struct buffer *all = self;

	buffer_add(all, text);
	buffer_add_char(all, '|');
}

TEST(the_accept_value_of_the_rfc)
{
	auto_arena arena = {0};

	EXPECT_STR(websocket_accept(S("dGhlIHNhbXBsZSBub25jZQ=="), &arena),
		   S("s3pPLMBiTxaQ9kYGzzhZRbK+xOo="));
	assert_false(str_has(websocket_accept(S("dGhlIHNhbXBsZSBub25jZQ"), &arena)));
	assert_false(str_has(websocket_accept(S("????????????????????????"), &arena)));
	assert_false(str_has(websocket_accept(STR_NONE, &arena)));
}

/* "Hello" in two frames with a ping between, then the peer's goodbye. */
TEST(fragments_join_and_pings_are_answered_whatever_the_pieces)
{
	struct str text = S("\x01\x83\0\0\0\0Hel"
			    "\x89\x81\0\0\0\0?"
			    "\x80\x82\0\0\0\0lo");

	for (size_t piece = 1; piece <= text.len; piece++) {
		auto_buffer messages = {0};
		struct websocket *websocket = websocket_new(100, collect, &messages);

		for (size_t at = 0; at < text.len; at += piece)
			assert_true(websocket_read(websocket, str_slice(text, at, at + piece)));
		assert_false(websocket_read(websocket, S("\x88\x82\0\0\0\0\x03\xe8")));
		assert_true(websocket_is_over(websocket));
		EXPECT_STR(buffer_str(&messages), S("Hello|"));
		EXPECT_STR(buffer_str(websocket_output(websocket)), S("\x8a\x01?\x88\x02\x03\xe8"));
		websocket_free(websocket);
	}
}

static void expect_close(struct str frames, const char *code)
{
	auto_buffer messages = {0};
	struct websocket *websocket = websocket_new(100, collect, &messages);

	assert_false(websocket_read(websocket, frames));
	EXPECT_STR(str_slice(buffer_str(websocket_output(websocket)), 2, 4),
		   ((struct str){code, 2}));
	assert_int_equal(messages.len, 0);
	websocket_free(websocket);
}

TEST(broken_frames_are_told_why)
{
	char large[6 + 200] = "\x81\xfe\0\xc8";

	expect_close(S("\x81\x01x"), "\x03\xea");                     /* 1002: not masked */
	expect_close(S("\x81\x81\0\0\0\0\xff"), "\x03\xef");          /* 1007: not UTF-8 */
	expect_close(S("\x83\x80\0\0\0\0"), "\x03\xea");              /* 1002: unknown opcode */
	expect_close((struct str){large, sizeof(large)}, "\x03\xf1"); /* 1009: over the limit */
}

TEST(messages_go_out_in_one_frame)
{
	auto_buffer messages = {0};
	struct websocket *websocket = websocket_new(100, collect, &messages);

	websocket_send(websocket, S("hi"));
	EXPECT_STR(buffer_str(websocket_output(websocket)), S("\x81\x02hi"));
	buffer_clear(websocket_output(websocket));
	websocket_close(websocket, 1001, S(""));
	websocket_send(websocket, S("too late"));
	EXPECT_STR(buffer_str(websocket_output(websocket)), S("\x88\x02\x03\xe9"));
	websocket_free(websocket);
}
