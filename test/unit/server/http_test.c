#include "server/http.h"
#include <stdio.h>
#include "server/server.h"
#include "test/test.h"

struct reading {
	struct http_reader reader;
	struct http_request request;
};

static struct reading *reading_new(void)
{
	struct reading *reading = calloc(1, sizeof(*reading));

	assert_non_null(reading);
	http_reader_init(&reading->reader, SERVER_BODY_LIMIT);
	return reading;
}

static void reading_free(struct reading *reading)
{
	http_request_fini(&reading->request);
	http_reader_fini(&reading->reader);
	free(reading);
}

/* Reads in pieces of `piece` bytes until something is decided. */
static enum http_outcome read_pieces(struct reading *reading, struct str text, size_t piece,
				     size_t *ret_used)
{
	enum http_outcome outcome = HTTP_READ_MORE;
	size_t at = 0, used;

	while (at < text.len && outcome != HTTP_READ_REQUEST && outcome != HTTP_READ_REFUSED) {
		outcome = http_read(&reading->reader, &reading->request,
				    str_slice(text, at, at + piece), &used);
		at += used;
	}
	*ret_used = at;
	return outcome;
}

TEST(a_request_reads_the_same_in_pieces_of_any_size)
{
	struct str text =
		S("POST /path?a=b%20c+d HTTP/1.1\r\nHost: x\r\nX-Odd:  two words \r\nEmpty:\r\n"
		  "Transfer-Encoding: chunked\r\n\r\n3;e=1\r\nabc\r\n2\r\nde\r\n0\r\nT: "
		  "u\r\n\r\nNEXT");

	for (size_t piece = 1; piece <= text.len; piece++) {
		struct reading *reading = reading_new();
		struct http_request *request = &reading->request;
		size_t used;

		assert_int_equal(read_pieces(reading, text, piece, &used), HTTP_READ_REQUEST);
		assert_int_equal(used, text.len - 4);
		EXPECT_STR(request->method, S("POST"));
		EXPECT_STR(request->path, S("/path"));
		EXPECT_STR(request->query, S("a=b%20c+d"));
		EXPECT_STR(http_header(request, S("x-odd")), S("two words"));
		EXPECT_STR(http_header(request, S("empty")), S(""));
		assert_false(str_has(http_header(request, S("t"))));
		EXPECT_STR(http_query(request, S("a"), &request->arena), S("b c d"));
		EXPECT_STR(buffer_str(&request->body), S("abcde"));
		assert_true(request->keep_alive);
		assert_true(http_reader_is_idle(&reading->reader));
		reading_free(reading);
	}
}

TEST(put_log_events_may_have_a_larger_body)
{
	static const struct { const char *operation; size_t length; enum http_outcome outcome; } rows[] = {
		{"PutLogEvents", SERVER_LOGS_BODY_LIMIT, HTTP_READ_HEAD}, {"PutLogEvents", SERVER_LOGS_BODY_LIMIT + 1, HTTP_READ_REFUSED},
		{"GetLogEvents", SERVER_LOGS_BODY_LIMIT, HTTP_READ_REFUSED},
	};

	for (size_t i = 0; i < COUNT(rows); i++) {
		struct reading *reading = reading_new();
		char text[256];
		size_t used;

		snprintf(text, sizeof(text), "POST / HTTP/1.1\r\nHost: x\r\nX-Amz-Target: Logs_20140328.%s\r\nContent-Length: %zu\r\n\r\n",
			 rows[i].operation, rows[i].length);
		assert_int_equal(http_read(&reading->reader, &reading->request, str_of(text), &used), rows[i].outcome);
		if (rows[i].outcome == HTTP_READ_REFUSED)
			assert_int_equal(reading->reader.status, 413);
		reading_free(reading);
	}
}

TEST(a_body_may_be_limited_further_once_its_head_was_read)
{
	static const struct { const char *body; enum http_outcome outcome; } rows[] = {
		{"4\r\nabcd\r\n0\r\n\r\n", HTTP_READ_REQUEST}, {"5\r\nabcde\r\n0\r\n\r\n", HTTP_READ_REFUSED},
	};

	for (size_t i = 0; i < COUNT(rows); i++) {
		struct reading *reading = reading_new();
		struct str head = S("POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n");
		size_t used;

		assert_int_equal(http_read(&reading->reader, &reading->request, head, &used), HTTP_READ_HEAD);
		assert_int_equal(reading->reader.request_limit, SERVER_BODY_LIMIT);
		http_reader_limit(&reading->reader, 4);
		assert_int_equal(http_read(&reading->reader, &reading->request, str_of(rows[i].body), &used), rows[i].outcome);
		reading_free(reading);
	}
}

TEST(a_head_that_says_how_much_comes_limits_its_body_to_that)
{
	struct reading *reading = reading_new();
	struct str head = S("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 7\r\n\r\n");
	size_t used;

	assert_int_equal(http_read(&reading->reader, &reading->request, head, &used), HTTP_READ_HEAD);
	assert_int_equal(reading->reader.request_limit, 7);
	reading_free(reading);
}

TEST(one_reader_reads_many_requests)
{
	struct reading *reading = reading_new();
	struct str text = S("GET /a HTTP/1.1\r\nHost: x\r\n\r\nGET /b HTTP/1.1\r\nHost: "
			    "x\r\nConnection: close\r\n\r\n");
	size_t used, more;

	assert_int_equal(read_pieces(reading, text, text.len, &used), HTTP_READ_REQUEST);
	EXPECT_STR(reading->request.path, S("/a"));
	http_request_reset(&reading->request);
	assert_int_equal(read_pieces(reading, str_slice(text, used, text.len), text.len, &more),
			 HTTP_READ_REQUEST);
	EXPECT_STR(reading->request.path, S("/b"));
	assert_false(reading->request.keep_alive);
	assert_int_equal(used + more, text.len);
	reading_free(reading);
}

TEST(an_upgrade_is_seen_and_leaves_what_follows)
{
	struct reading *reading = reading_new();
	struct str text = S("GET /ws HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: "
			    "websocket\r\n\r\n\x81\x80");
	size_t used;

	assert_int_equal(read_pieces(reading, text, text.len, &used), HTTP_READ_REQUEST);
	assert_true(reading->request.upgrade);
	assert_int_equal(used, text.len - 2);
	reading_free(reading);
}

static int refusal(struct str text)
{
	struct reading *reading = reading_new();
	size_t used;
	int status = read_pieces(reading, text, text.len, &used) == HTTP_READ_REFUSED
			     ? reading->reader.status
			     : 0;

	reading_free(reading);
	return status;
}

TEST(what_could_be_read_in_two_ways_is_refused)
{
#define HEAD "POST / HTTP/1.1\r\nHost: x\r\n"
	assert_int_equal(refusal(S(HEAD "Content-Length: 1\r\nContent-Length: 1\r\n\r\n")), 400);
	assert_int_equal(refusal(S(HEAD "Content-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n")),
			 400);
	assert_int_equal(refusal(S(HEAD "Transfer-Encoding : chunked\r\n\r\n")), 400);
	assert_int_equal(refusal(S(HEAD "Transfer-Encoding: identity\r\n\r\n")), 501);
	assert_int_equal(refusal(S(HEAD "Transfer-Encoding: chunked, gzip\r\n\r\n")), 501);
	assert_int_equal(refusal(S(HEAD "A: b\r\n c\r\n\r\n")), 400);
	assert_int_equal(refusal(S(HEAD "A: b\n\r\n")), 400);
	assert_int_equal(refusal(S(HEAD "A: b\rc\r\n\r\n")), 400);
	assert_int_equal(refusal(S(HEAD "A: \0\r\n\r\n")), 400);
	assert_int_equal(refusal(S("POST / HTTP/1.1\r\n\r\n")), 400);
	assert_int_equal(refusal(S(HEAD "Host: x\r\n\r\n")), 400);
	assert_int_equal(refusal(S("POST / HTTP/1.1\r\nHost : x\r\n\r\n")), 400);
	assert_int_equal(refusal(S("POST / HTTP/3.0\r\nHost: x\r\n\r\n")), 505);
	assert_int_equal(refusal(S(HEAD "Content-Length: 1048576\r\n\r\n")), 0);
	assert_int_equal(refusal(S(HEAD "Content-Length: 1048577\r\n\r\n")), 413);
#undef HEAD
}
