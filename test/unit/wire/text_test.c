#include "test/test.h"
#include "base/buffer.h"
#include "base/random.h"
#include "wire/base64.h"
#include "wire/envelope.h"
#include "wire/pattern.h"
#include "wire/timestamp.h"
#include "api/acs.h"
#include "api/ecs.h"
#include "api/tcs.h"

static void expect_time(const char *text, usec expected)
{
	usec time = -1;

	if (!timestamp_parse(str_of(text), &time))
		fail_msg("'%s' was refused", text);
	assert_int_equal(time, expected);
}

TEST(rfc_3339_is_read)
{
	expect_time("1970-01-01T00:00:00Z", 0);
	expect_time("2018-06-18", 1529280000 * USEC_PER_SEC);
	expect_time("2018-06-18T22:28:28", 1529360908 * USEC_PER_SEC);
	expect_time("2018-06-18T22:28:28+00:00", 1529360908 * USEC_PER_SEC);
	expect_time("2018-06-18t22:28:28.1234567-01:30", (1529360908 + 5400) * USEC_PER_SEC + 123456);
	expect_time("2024-02-29T23:59:59Z", 1709251199 * USEC_PER_SEC);
	expect_time("1969-12-31T23:59:59.5Z", -USEC_PER_SEC / 2);
}

TEST(what_is_no_time_is_refused)
{
	static const char *const texts[] = {"", "2018", "2018-13-01", "2018-02-29", "2018-06-18T", "2018-06-18T24:00:00Z",
		"2018-06-18T22:28", "2018-06-18T22:28:28.Z", "2018-06-18T22:28:28+0000", "2018-06-18T22:28:28Zx"};
	usec time;

	for (size_t i = 0; i < COUNT(texts); i++)
		if (timestamp_parse(str_of(texts[i]), &time))
			fail_msg("'%s' was taken", texts[i]);
}

TEST(times_written_read_back_the_same)
{
	struct random random;

	random_init(&random, 1, 0);
	for (int i = 0; i < 20000; i++) {
		char text[TIMESTAMP_TEXT_SIZE];
		usec whole = TIMESTAMP_FIRST / USEC_PER_SEC +
			     (usec)random_below(&random, (TIMESTAMP_LAST - TIMESTAMP_FIRST) / USEC_PER_SEC);
		usec time = whole * USEC_PER_SEC, read;

		assert_true(timestamp_parse_basic((struct str){text, timestamp_format_basic(time, text)}, &read));
		assert_int_equal(read, time);
		assert_true(timestamp_parse_http((struct str){text, timestamp_format_http(time, text)}, &read));
		assert_int_equal(read, time);
		time += (usec)random_below(&random, 1000) * USEC_PER_MSEC;
		assert_true(timestamp_parse((struct str){text, timestamp_format(time, text)}, &read));
		assert_int_equal(read, time);
	}
}

TEST(the_date_of_http_has_its_weekday)
{
	char text[TIMESTAMP_TEXT_SIZE];

	EXPECT_STR(((struct str){text, timestamp_format_http(784111777 * USEC_PER_SEC, text)}),
		   S("Sun, 06 Nov 1994 08:49:37 GMT"));
}

TEST(base64_is_its_own_inverse_and_strict)
{
	static const char *const wrong[] = {"A", "AA", "AAA", "AB==", "AAB=", "A===", "====", "AA=A", "AA-_", "AAAA="};
	auto_arena arena = {0};
	struct str bytes;

	for (size_t len = 0; len < 50; len++) {
		auto_buffer out = {0};
		char *text = arena_alloc_bytes(&arena, len);

		for (size_t i = 0; i < len; i++)
			text[i] = (char)(i * 97 + len);
		base64_encode((struct str){text, len}, &out);
		assert_true(base64_decode(buffer_str(&out), &arena, &bytes));
		EXPECT_STR(bytes, ((struct str){text, len}));
	}
	for (size_t i = 0; i < COUNT(wrong); i++)
		assert_false(base64_decode(str_of(wrong[i]), &arena, &bytes));
}

TEST(an_envelope_carries_a_message)
{
	auto_arena arena = {0};
	auto_buffer out = {0};
	struct acs_heartbeat_message heartbeat = {.healthy = {true, true}, .message_id = S("m1")}, *read;
	struct error err;
	struct str type;

	envelope_encode(S("HeartbeatMessage"), &shape_acs_heartbeat_message, &heartbeat, &out);
	EXPECT_STR(buffer_str(&out), S("{\"type\":\"HeartbeatMessage\",\"message\":{\"healthy\":true,\"messageId\":\"m1\"}}"));
	assert_true(envelope_decode(acs_types, buffer_str(&out), &arena, &type, (void **)&read, &err));
	EXPECT_STR(type, S("HeartbeatMessage"));
	EXPECT_STR(read->message_id, S("m1"));
}

TEST(a_telemetry_frame_has_a_header_block)
{
	auto_arena arena = {0};
	struct tcs_publish_metrics_request *read;
	struct error err;
	struct str type;

	assert_true(envelope_decode(tcs_types,
				    S("Authorization: AWS4 {}\r\nHost: x\r\n\r\n{\"message\":{\"metadata\":{\"fin\":true}},"
				      "\"type\":\"PublishMetricsRequest\"}"),
				    &arena, &type, (void **)&read, &err));
	assert_true(read->metadata->fin.value);
}

TEST(an_unknown_type_is_no_failure)
{
	auto_arena arena = {0};
	void *message = &arena;
	struct error err;
	struct str type;

	assert_true(envelope_decode(acs_types, S("{\"type\":\"Novelty\",\"message\":{\"a\":1}}"), &arena, &type, &message, &err));
	EXPECT_STR(type, S("Novelty"));
	assert_null(message);
}

TEST(what_is_no_envelope_is_refused)
{
	static const char *const texts[] = {"", "[]", "{}", "{\"type\":1,\"message\":{}}", "{\"type\":\"AckRequest\"}",
		"{\"type\":\"AckRequest\",\"message\":[]}", "{\"type\":\"AckRequest\",\"message\":{}} x", "Host: x\r\n\r\n"};

	for (size_t i = 0; i < COUNT(texts); i++) {
		auto_arena arena = {0};
		struct error err;
		struct str type;
		void *message;

		if (envelope_decode(acs_types, str_of(texts[i]), &arena, &type, &message, &err))
			fail_msg("'%s' was taken", texts[i]);
		assert_int_equal(err.code, ERROR_SERIALIZATION);
	}
}

static bool matches(const char *expression, const char *subject)
{
	struct pattern *pattern = pattern_new(str_of(expression), NULL);
	bool right;

	assert_non_null(pattern);
	right = pattern_matches(pattern, str_of(subject));
	pattern_free(pattern);
	return right;
}

TEST(a_pattern_matches_the_whole_subject)
{
	assert_true(matches("t2\\..*", "t2.small"));
	assert_false(matches("t2", "t2.small"));
	assert_false(matches("small", "t2.small"));
	assert_true(matches("a|ab", "ab"));
	assert_true(matches("", ""));
	assert_false(matches("a$", "a\n"));
	assert_true(matches("([\\p{L}\\p{Z}\\p{N}_.:/=+\\-@]*)", "é key"));
	assert_false(matches(".*", "\xff"));
}

TEST(a_bad_or_long_pattern_is_refused)
{
	static char text[PATTERN_BYTES_LIMIT + 1];
	struct pattern *pattern;
	struct error err;

	assert_null(pattern_new(S("(a"), &err));
	assert_int_equal(err.code, ERROR_INVALID_PARAMETER);
	memset(text, 'a', sizeof(text));
	pattern = pattern_new((struct str){text, PATTERN_BYTES_LIMIT}, &err);
	assert_non_null(pattern);
	pattern_free(pattern);
	assert_null(pattern_new((struct str){text, sizeof(text)}, &err));
}

TEST(a_hostile_pattern_ends_soon)
{
	assert_false(matches("(a+)+b", "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaac"));
	assert_false(matches("(x+x+)+y", "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"));
}

TEST(a_table_finds_the_first_value_that_breaks_its_pattern)
{
	auto_arena arena = {0};
	struct pattern_table *table = pattern_table_new(&api_ecs, NULL);
	struct ecs_tag tags[] = {{.key = S("fine"), .value = S("fine")}, {.key = S("not;fine"), .value = S("")}};
	struct ecs_run_task_request request = {.task_definition = S("a;b"), .tags = {tags, 2}};
	struct violation violation;

	assert_non_null(table);
	assert_false(pattern_table_check(table, &shape_ecs_run_task_request, &request, &arena, &violation));
	assert_int_equal(violation.kind, VIOLATION_PATTERN);
	EXPECT_STR(violation.path, S("tags.2.member.key"));
	EXPECT_STR(violation.value, S("not;fine"));
	EXPECT_STR(violation.member->name, S("key"));
	request.tags.count = 1;
	assert_true(pattern_table_check(table, &shape_ecs_run_task_request, &request, &arena, &violation));
	pattern_table_free(table);
}
