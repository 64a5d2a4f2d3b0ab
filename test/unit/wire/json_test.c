#include "test/test.h"
#include <stdio.h>
#include "api/acs.h"
#include "api/ecs.h"
#include "api/tcs.h"
#include "base/random.h"
#include "wire/json.h"

static bool decode(const struct shape *shape, const char *text, struct arena *arena, void **ret, struct json_fault *fault)
{
	*ret = NULL;
	return json_decode(shape, arena_copy(arena, str_of(text)), arena, ret, fault);
}

static void expect_refusal(const char *text, const char *expected)
{
	auto_arena arena = {0};
	struct json_fault fault;
	void *value;

	if (decode(&shape_ecs_run_task_request, text, &arena, &value, &fault))
		fail_msg("'%s' was taken", text);
	assert_null(value);
	assert_false(fault.unknown_word);
	assert_int_equal(fault.error.code, ERROR_SERIALIZATION);
	EXPECT_STR(str_of(fault.error.text), str_of(expected));
}

static void expect_same(const struct shape *shape, const char *text, const char *expected)
{
	auto_arena arena = {0};
	auto_buffer out = {0};
	struct json_fault fault;
	void *value;

	if (!decode(shape, text, &arena, &value, &fault))
		fail_msg("%s: %s", text, fault.error.text);
	json_encode(shape, value, &out);
	EXPECT_STR(buffer_str(&out), str_of(expected));
}

static void expect_run_task(const char *text, const char *expected)
{
	expect_same(&shape_ecs_run_task_request, text, expected);
}

TEST(what_is_written_reads_back_the_same)
{
	for (uint64_t seed = 0; seed < 10; seed++) {
		for (uint32_t i = 0; i < 2 * api_ecs.operation_count; i++) {
			const struct operation *operation = &api_ecs.operations[i / 2];
			const struct shape *shape = i % 2 ? operation->input : operation->output;
			auto_arena arena = {0};
			auto_buffer out = {0}, again = {0};
			struct json_fault fault;
			struct random random;
			void *value, *read;

			random_init(&random, seed, i);
			value = shape_random(shape, &random, &arena);
			json_encode(shape, value, &out);
			if (!json_decode(shape, buffer_str(&out), &arena, &read, &fault))
				fail_msg("%.*s: %s", STR(shape->name), fault.error.text);
			assert_true(shape_equal(shape, value, read));
			json_encode(shape, read, &again);
			EXPECT_STR(buffer_str(&again), buffer_str(&out));
		}
	}
}

TEST(absent_null_and_empty_survive)
{
	expect_run_task("", "{}");
	expect_run_task("{}", "{}");
	expect_run_task(" { \"tags\" : [ ] , \"cluster\" : null, \"group\":\"\" }\n",
			"{\"cluster\":null,\"group\":\"\",\"tags\":[]}");
	expect_same(&shape_ecs_container_definition, "{\"dockerLabels\":{}}", "{\"dockerLabels\":{}}");
}

TEST(strings_without_escapes_are_not_copied)
{
	auto_arena arena = {0};
	struct str text = S("{\"cluster\":\"caf\xc3\xa9\",\"group\":\"a\\nb\"}");
	struct ecs_run_task_request *request;
	struct json_fault fault;

	assert_true(json_decode(&shape_ecs_run_task_request, text, &arena, (void **)&request, &fault));
	assert_ptr_equal(request->cluster.ptr, text.ptr + 12);
	EXPECT_STR(request->group, S("a\nb"));
}

TEST(unknown_members_are_skipped_but_must_be_well_formed)
{
	expect_run_task("{\"no\":[1,{\"a\":[true,false,null,-1.5e-3,\"\\u00e9\"]}],\"count\":1}", "{\"count\":1}");
	expect_refusal("{\"no\":[1,}", "Unexpected token '}' at position 9");
	expect_refusal("{\"no\":01}", "Unexpected token '1' at position 7");
	expect_refusal("{\"no\":\"\\x\"}", "Invalid escape in the string at position 6");
	expect_refusal("{\"no\":tru}", "Unexpected token 't' at position 6");
}

TEST(the_last_of_duplicates_wins)
{
	expect_run_task("{\"count\":1,\"cluster\":\"a\",\"count\":2,\"cluster\":null}", "{\"cluster\":null,\"count\":2}");
	expect_run_task("{\"cluster\":null,\"cluster\":\"b\"}", "{\"cluster\":\"b\"}");
	expect_same(&shape_ecs_container_definition, "{\"dockerLabels\":{\"a\":\"1\",\"b\":\"2\",\"a\":\"3\"}}",
		    "{\"dockerLabels\":{\"a\":\"3\",\"b\":\"2\"}}");
}

TEST(long_maps_lose_duplicates_too)
{
	auto_arena arena = {0};
	auto_buffer text = {0};
	struct ecs_container_definition *container;
	struct json_fault fault;

	buffer_add(&text, S("{\"dockerLabels\":{"));
	for (int i = 0; i < 1000; i++)
		buffer_printf(&text, "%s\"key%d\":\"%d\"", i ? "," : "", i % 100, i);
	buffer_add(&text, S("}}"));
	assert_true(json_decode(&shape_ecs_container_definition, buffer_str(&text), &arena, (void **)&container, &fault));
	assert_int_equal(container->docker_labels.count, 100);
	for (size_t i = 0; i < 100; i++)
		assert_true(str_starts(container->docker_labels.items[i].value, S("9")));
}

TEST(keys_with_escapes_are_known)
{
	expect_run_task("{\"\\u0063ount\":3}", "{\"count\":3}");
}

TEST(wrong_types_are_refused_in_the_words_of_aws)
{
	expect_refusal("{\"count\":\"1\"}", "STRING_VALUE can not be converted to an Integer");
	expect_refusal("{\"count\":true}", "TRUE_VALUE can not be converted to an Integer");
	expect_refusal("{\"count\":5.5}", "NUMBER_VALUE can not be converted to an Integer");
	expect_refusal("{\"count\":2147483648}", "NUMBER_VALUE can not be converted to an Integer");
	expect_refusal("{\"cluster\":1}", "NUMBER_VALUE can not be converted to a String");
	expect_refusal("{\"cluster\":true}", "TRUE_VALUE can not be converted to a String");
	expect_refusal("{\"cluster\":false}", "FALSE_VALUE can not be converted to a String");
	expect_refusal("{\"cluster\":[]}", "Start of list found where not expected");
	expect_refusal("{\"cluster\":{}}", "Start of structure or map found where not expected");
	expect_refusal("{\"tags\":{}}", "Start of structure or map found where not expected");
	expect_refusal("{\"tags\":\"a\"}", "Expected list or null");
	expect_refusal("{\"overrides\":[]}", "Start of list found where not expected");
	expect_refusal("{\"overrides\":1}", "Expected null");
	expect_refusal("{\"enableExecuteCommand\":\"true\"}", "STRING_VALUE can not be converted to a Boolean");
	expect_refusal("{\"enableExecuteCommand\":1}", "NUMBER_VALUE can not be converted to a Boolean");
	expect_refusal("{\"tags\":[null]}", "Null value found in a list where not expected");
	expect_refusal("[]", "Start of list found where not expected");
}

TEST(malformed_texts_are_refused)
{
	expect_refusal("{", "Unexpected end of input");
	expect_refusal(" ", "Unexpected end of input");
	expect_refusal("null", "Unexpected token 'n' at position 0");
	expect_refusal("{\"count\":1,}", "Unexpected token '}' at position 11");
	expect_refusal("{\"count\" 1}", "Unexpected token '1' at position 9");
	expect_refusal("{\"count\":1} x", "Unexpected token 'x' at position 12");
	expect_refusal("{\"count\":1}{}", "Unexpected token '{' at position 11");
	expect_refusal("{count:1}", "Unexpected token 'c' at position 1");
	expect_refusal("{\"count\":-}", "Unexpected token '}' at position 10");
	expect_refusal("{\"count\":1.}", "Unexpected token '}' at position 11");
	expect_refusal("{\"count\":1e}", "Unexpected token '}' at position 11");
	expect_refusal("{\"cluster\":\"a\nb\"}", "Unexpected token (byte 0x0a) at position 13");
	expect_refusal("{\"cluster\":\"a", "Unexpected end of input");
	expect_refusal("{\"cluster\":\"a\\", "Unexpected end of input");
}

TEST(only_utf8_is_text)
{
	expect_refusal("{\"cluster\":\"\xff\"}", "Invalid UTF-8 at position 12");
	expect_refusal("{\"cluster\":\"0123456789abcdef\xc0\x80\"}", "Invalid UTF-8 at position 28");
	expect_refusal("{\"cluster\":\"\xed\xa0\x80\"}", "Invalid UTF-8 at position 12");
	expect_refusal("{\"cluster\":\"\xf4\x90\x80\x80\"}", "Invalid UTF-8 at position 12");
	expect_refusal("{\"cluster\":\"\xe2\x82\"}", "Invalid UTF-8 at position 12");
	expect_refusal("{\"cluster\":\"\\ud83d\"}", "Invalid escape in the string at position 11");
	expect_refusal("{\"cluster\":\"\\ude00\\ud83d\"}", "Invalid escape in the string at position 11");
	expect_run_task("{\"cluster\":\"\\ud83d\\ude00\xf0\x9f\x98\x80\\u20ac\\/\"}",
			"{\"cluster\":\"\xf0\x9f\x98\x80\xf0\x9f\x98\x80\xe2\x82\xac/\"}");
}

TEST(invalid_utf8_is_written_as_the_replacement_character)
{
	auto_buffer out = {0};

	json_encode_text(S("a\xff\"\\\x01\n\x7f\xc3\xa9\xc3"), &out);
	EXPECT_STR(buffer_str(&out), S("\"a\xef\xbf\xbd\\\"\\\\\\u0001\\n\x7f\xc3\xa9\xef\xbf\xbd\""));
}

TEST(integers_may_be_written_as_decimals)
{
	expect_run_task("{\"count\":5.0}", "{\"count\":5}");
	expect_run_task("{\"count\":50e-1}", "{\"count\":5}");
	expect_run_task("{\"count\":-2147483648}", "{\"count\":-2147483648}");
	expect_run_task("{\"count\":0.00000000000000000000e9}", "{\"count\":0}");
	expect_refusal("{\"count\":1e99999999999}", "NUMBER_VALUE can not be converted to an Integer");
	expect_same(&shape_acs_payload_message, "{\"seqNum\":-9223372036854775808,\"timeline\":9.223372036854775807e18}",
		    "{\"seqNum\":-9223372036854775808,\"timeline\":9223372036854775807}");
}

TEST(doubles_keep_their_value)
{
	expect_same(&shape_tcs_stats_set, "{\"min\":0.1,\"max\":1785585620.031,\"sum\":-2.50}",
		    "{\"min\":0.1,\"max\":1785585620.031,\"sum\":-2.5}");
	expect_same(&shape_tcs_stats_set, "{\"min\":1e300,\"max\":0.30000000000000004,\"sum\":5e-324}",
		    "{\"min\":1e+300,\"max\":0.30000000000000004,\"sum\":4.94065645841247e-324}");
	expect_same(&shape_tcs_stats_set, "{\"min\":123456789012345678901234567890}", "{\"min\":1.2345678901234568e+29}");
}

TEST(a_double_that_cannot_be_held_is_refused)
{
	auto_arena arena = {0};
	struct json_fault fault;
	void *value;

	assert_false(decode(&shape_tcs_stats_set, "{\"min\":1e999}", &arena, &value, &fault));
	assert_string_equal(fault.error.text, "NUMBER_VALUE can not be converted to a Double");
}

TEST(timestamps_are_seconds_or_rfc_3339)
{
	static const char *const texts[][2] = {
		{"1789551590.447", "1789551590.447"}, {"1.789551590447E9", "1789551590.447"}, {"0", "0"},
		{"1789551590", "1789551590"}, {"1789551590.4", "1789551590.4"}, {"-0.5", "-0.5"},
		{"\"2026-09-16T09:39:50.447Z\"", "1789551590.447"}, {"\"2026-09-16T11:39:50+02:00\"", "1789551590"},
	};

	for (size_t i = 0; i < COUNT(texts); i++) {
		char text[100], expected[100];

		snprintf(text, sizeof(text), "{\"createdAt\":%s}", texts[i][0]);
		snprintf(expected, sizeof(expected), "{\"createdAt\":%s}", texts[i][1]);
		expect_same(&shape_ecs_task, text, expected);
	}
}

TEST(other_timestamps_are_refused)
{
	static const char *const texts[] = {"\"yesterday\"", "1e300", "true", "\"2026-02-30T00:00:00Z\"", "-1e13"};

	for (size_t i = 0; i < COUNT(texts); i++) {
		auto_arena arena = {0};
		struct json_fault fault;
		char text[100];
		void *value;

		snprintf(text, sizeof(text), "{\"createdAt\":%s}", texts[i]);
		assert_false(decode(&shape_ecs_task, text, &arena, &value, &fault));
		assert_non_null(strstr(fault.error.text, "can not be converted to milliseconds since epoch"));
	}
}

TEST(an_unknown_word_is_a_violation_with_its_path)
{
	auto_arena arena = {0};
	struct json_fault fault;
	void *value;

	assert_false(decode(&shape_ecs_register_task_definition_request,
			    "{\"containerDefinitions\":[{},{\"dependsOn\":[{\"condition\":\"SOON\"}]}]}", &arena, &value, &fault));
	assert_true(fault.unknown_word);
	assert_int_equal(fault.violation.kind, VIOLATION_ENUM);
	EXPECT_STR(fault.violation.path, S("containerDefinitions.2.member.dependsOn.1.member.condition"));
	EXPECT_STR(fault.violation.value, S("SOON"));
	EXPECT_STR(fault.violation.member->name, S("condition"));
	assert_ptr_equal(fault.violation.shape, &shape_ecs_container_condition);
	/* Malformed further on: then it is no JSON. */
	assert_false(decode(&shape_ecs_run_task_request, "{\"launchType\":\"SOON\",,}", &arena, &value, &fault));
	assert_false(fault.unknown_word);
}

static struct str nested(struct buffer *out, int depth)
{
	buffer_add(out, S("{\"no\":"));
	for (int i = 1; i < depth; i++)
		buffer_add_char(out, '[');
	for (int i = 1; i < depth; i++)
		buffer_add_char(out, ']');
	buffer_add_char(out, '}');
	return buffer_str(out);
}

TEST(depth_has_a_limit)
{
	auto_arena arena = {0};
	auto_buffer at_edge = {0}, beyond = {0};
	struct json_fault fault;
	void *value;

	assert_true(json_decode(&shape_ecs_run_task_request, nested(&at_edge, JSON_DEPTH_LIMIT), &arena, &value, &fault));
	assert_false(json_decode(&shape_ecs_run_task_request, nested(&beyond, JSON_DEPTH_LIMIT + 1), &arena, &value,
				 &fault));
	assert_string_equal(fault.error.text, "Nested deeper than 64 levels");
}

TEST(storage_has_a_limit)
{
	auto_arena arena = {0};
	auto_buffer text = {0};
	struct json_fault fault;
	void *value;

	buffer_add(&text, S("{\"containerDefinitions\":[{}"));
	for (size_t i = 0; i < JSON_STORAGE_LIMIT / sizeof(struct ecs_container_definition); i++)
		buffer_add(&text, S(",{}"));
	buffer_add(&text, S("]}"));
	assert_false(json_decode(&shape_ecs_register_task_definition_request, buffer_str(&text), &arena, &value, &fault));
	assert_non_null(strstr(fault.error.text, "need more than"));
}

TEST(every_beginning_of_a_text_is_refused_without_harm)
{
	static const char text[] = "{\"tags\":[{\"key\":\"\\u00e9\xc3\xa9\",\"value\":null}],\"count\":1.0e0,\"enableExecuteCommand\":true}";

	for (size_t len = 1; len < sizeof(text) - 1; len++) {
		auto_arena arena = {0};
		auto_buffer exact = {0};
		struct json_fault fault;
		void *value;

		buffer_append(&exact, text, len);
		assert_false(json_decode(&shape_ecs_run_task_request, buffer_str(&exact), &arena, &value, &fault));
	}
}

TEST(a_raw_member_is_found)
{
	auto_arena arena = {0};
	struct str text = S("{ \"a\" : {\"b\":[1]} , \"type\":\"P\\u0041\" }"), value;

	EXPECT_STR(json_member_text(text, S("a")), S("{\"b\":[1]}"));
	assert_true(json_string_value(json_member_text(text, S("type")), &arena, &value));
	EXPECT_STR(value, S("PA"));
	assert_false(str_has(json_member_text(text, S("c"))));
	assert_false(str_has(json_member_text(S("{}"), S("c"))));
	assert_false(str_has(json_member_text(S("{\"b\":x,\"c\":1}"), S("c"))));
	assert_false(str_has(json_member_text(S(""), S("c"))));
	assert_false(json_string_value(S("1"), &arena, &value));
	assert_false(json_string_value(STR_NONE, &arena, &value));
}
