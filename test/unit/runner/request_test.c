#include "runner/request.h"
#include "../../test.h"

static enum request_outcome read_all(struct request_reader *reader, struct str text, size_t piece, struct request *request)
{
	enum request_outcome outcome = REQUEST_MORE;
	size_t at = 0, used;

	request_begin(reader);
	while (outcome == REQUEST_MORE && at < text.len) {
		outcome = request_read(reader, str_slice(text, at, at + piece), &used, request);
		assert_true(used > 0 || outcome == REQUEST_REFUSED);
		at += used;
	}
	return outcome;
}

static int status_of(struct str text)
{
	struct request_reader reader = {0};
	struct request request;
	enum request_outcome outcome = read_all(&reader, text, 7, &request);
	int status = outcome == REQUEST_REFUSED ? reader.status : outcome == REQUEST_DONE ? 200 : 0;

	request_fini(&reader);
	return status;
}

TEST(a_request_is_the_same_in_whatever_pieces_it_comes)
{
	struct str text = S("PUT /api/x/state?a=1&b HTTP/1.1\r\nHost: 169.254.170.2\r\nContent-Length: 5\r\n\r\nhello");

	for (size_t piece = 1; piece <= text.len; piece++) {
		struct request_reader reader = {0};
		struct request request;

		assert_int_equal(read_all(&reader, text, piece, &request), REQUEST_DONE);
		EXPECT_STR(request.method, S("PUT"));
		EXPECT_STR(request.path, S("/api/x/state"));
		EXPECT_STR(request.query, S("a=1&b"));
		EXPECT_STR(request.body, S("hello"));
		assert_true(request.keep_alive);
		request_fini(&reader);
	}
}

TEST(what_comes_behind_a_request_is_left_for_the_next)
{
	struct str text = S("GET /v4/a HTTP/1.1\r\n\r\nGET /v4/b HTTP/1.0\r\n\r\n");
	struct request_reader reader = {0};
	struct request request;
	size_t used, second;

	request_begin(&reader);
	assert_int_equal(request_read(&reader, text, &used, &request), REQUEST_DONE);
	EXPECT_STR(request.path, S("/v4/a"));
	assert_false(str_has(request.query));
	request_begin(&reader);
	assert_int_equal(request_read(&reader, str_slice(text, used, text.len), &second, &request), REQUEST_DONE);
	EXPECT_STR(request.path, S("/v4/b"));
	assert_false(request.keep_alive);
	assert_int_equal(used + second, text.len);
	request_fini(&reader);
}

static struct str filled(struct arena *arena, const char *front, size_t count, const char *back)
{
	char *fill = arena_alloc_bytes(arena, count);

	memset(fill, 'x', count);
	return arena_printf(arena, "%s%.*s%s", front, (int)count, fill, back);
}

TEST(what_is_too_large_is_refused_at_its_limit)
{
	auto_arena arena = {0};

	assert_int_equal(status_of(filled(&arena, "GET /", REQUEST_TARGET_LIMIT - 1, " HTTP/1.1\r\n\r\n")), 200);
	assert_int_equal(status_of(filled(&arena, "GET /", REQUEST_TARGET_LIMIT, " HTTP/1.1\r\n\r\n")), 414);
	assert_int_equal(status_of(filled(&arena, "GET / HTTP/1.1\r\nA: ", REQUEST_HEAD_LIMIT, "\r\n\r\n")), 431);
	assert_int_equal(status_of(filled(&arena, "GET / HTTP/1.1\r\nA: ", REQUEST_HEAD_LIMIT - 100, "\r\n\r\n")), 200);
	assert_int_equal(status_of(S("PUT / HTTP/1.1\r\nContent-Length: 4097\r\n\r\n")), 413);
	assert_int_equal(status_of(filled(&arena, "PUT / HTTP/1.1\r\nContent-Length: 4096\r\n\r\n", REQUEST_BODY_LIMIT, "")), 200);
}

TEST(what_is_no_request_is_refused)
{
	assert_int_equal(status_of(S("hello there\r\n\r\n")), 400);
	assert_int_equal(status_of(S("GET / HTTP/1.1\r\nbad header\r\n\r\n")), 400);
	assert_int_equal(status_of(S("PUT / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n")), 411);
	assert_int_equal(status_of(S("GET / HTTP/1.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n")), 400);
	assert_int_equal(status_of(S("GET / HTTP/1.1\r\n")), 0);
}

TEST(a_query_tells_its_values_by_name)
{
	EXPECT_STR(request_query(S("a=1&id=x&id=y"), S("id")), S("x"));
	EXPECT_STR(request_query(S("id"), S("id")), S(""));
	assert_false(str_has(request_query(S("a=1"), S("id"))));
	assert_false(str_has(request_query(STR_NONE, S("id"))));
}
