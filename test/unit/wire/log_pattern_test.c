#include "base/buffer.h"
#include "test/test.h"
#include "wire/log_pattern.h"

static bool matches(const char *pattern, const char *message)
{
	struct error error = {0};
	struct log_pattern *compiled = log_pattern_new(str_of(pattern), &error);
	bool found;

	if (!compiled)
		fail_msg("%s: %s", pattern, error.text);
	found = log_pattern_matches(compiled, str_of(message));
	log_pattern_free(compiled);
	return found;
}

struct row { const char *pattern, *message; bool matches; };

static void check_rows(const struct row *rows, size_t count)
{
	for (size_t i = 0; i < count; i++)
		if (matches(rows[i].pattern, rows[i].message) != rows[i].matches)
			fail_msg("%s %s %s", rows[i].pattern, rows[i].matches ? "misses" : "takes", rows[i].message);
}

#define CHECK(rows) check_rows(rows, COUNT(rows))

TEST(nothing_and_blanks_match_everything)
{
	static const struct row rows[] = {{"", "x", true}, {" ", "", true}, {"\t ", "{", true}};

	CHECK(rows);
}

TEST(terms_are_all_wanted_unless_they_say_otherwise)
{
	static const struct row rows[] = {
		{"ERROR", "an ERROR came", true}, {"ERROR", "an error came", false}, {"ERROR", "[ERROR] x", true},
		{"a b", "b a", true}, {"a b", "a", false},
		{"\"two words\"", "the two words", true}, {"\"two words\"", "two  words", false},
		{"\"say \\\"x\\\"\"", "say \"x\"", true},
		{"?a ?b", "b", true}, {"?a ?b", "c", false}, {"?a ?b c", "c", true}, {"?a ?b c", "a b", false},
		{"a -b", "a", true}, {"a -b", "a b", false}, {"-b", "x", true}, {"-\"b c\"", "b c", false},
		{"?a -b", "a", true}, {"?a -b", "a b", false},
		{"größe", "die größe", true},
	};

	CHECK(rows);
}

TEST(regular_expressions_are_found_anywhere)
{
	static const struct row rows[] = {
		{"%Authorized%", "x Authorized y", true}, {"%^start%", "a start", false}, {"%\\d{3}%", "code 404", true},
		{"%4[0-9]+|5\\d\\d%", "500", true}, {"-%\\d%", "no digits", true}, {"%10\\%%", "10% off", true},
		{"?%a+% ?b", "xaay", true},
		{"{ $.ip = %10\\.0\\..*% }", "{\"ip\":\"10.0.7.1\"}", true}, {"{ $.ip != %^10% }", "{\"ip\":\"10.1\"}", false},
		{"[a, b = %^4%]", "x 404", true},
	};

	CHECK(rows);
}

TEST(json_values_are_compared_by_their_type)
{
	static const struct row rows[] = {
		{"{ $.a = \"x\" }", "{\"a\":\"x\"}", true}, {"{$.a=x}", " {\"a\":\"x\"} ", true},
		{"{ $.a = \"x\" }", "{\"a\":\"y\"}", false}, {"{ $.a = \"x*\" }", "{\"a\":\"xyz\"}", true},
		{"{ $.a = \"*y*\" }", "{\"a\":\"xyz\"}", true}, {"{ $.a = \"x*z\" }", "{\"a\":\"xzy\"}", false},
		{"{ $.a != \"x\" }", "{\"a\":\"y\"}", true}, {"{ $.a != \"x\" }", "{\"b\":1}", false},
		{"{ $.a = 1 }", "{\"a\":1.0}", true}, {"{ $.a = 1 }", "{\"a\":\"1\"}", false}, {"{ $.a = \"1\" }", "{\"a\":\"1\"}", true},
		{"{ $.a > 1.5e1 }", "{\"a\":16}", true}, {"{ $.a >= 16 && $.a < 17 }", "{\"a\":16}", true},
		{"{ $.a <= -2 }", "{\"a\":-3}", true}, {"{ $.a > 1 }", "{\"a\":\"2\"}", false},
		{"{ $.a = * }", "{\"a\":7}", true}, {"{ $.a = * }", "{}", false}, {"{ $.a = 123.123.* }", "{\"a\":\"123.123.7.1\"}", true},
		{"{ $.a IS NULL }", "{\"a\":null}", true}, {"{ $.a IS NULL }", "{}", false}, {"{ $.a IS TRUE }", "{\"a\":true}", true},
		{"{ $.a IS FALSE }", "{\"a\":true}", false}, {"{ $.a NOT EXISTS }", "{\"b\":1}", true},
		{"{ $.a NOT EXISTS }", "{\"a\":null}", false}, {"{ $.a EXISTS }", "{\"a\":0}", true},
		{"{ $.a = \"x\" }", "not json", false}, {"{ $.a NOT EXISTS }", "{\"a\":", false}, {"{ $.a = \"x\" }", "\"x\"", false},
		{"{ $.a = \"\\\"\" }", "{\"a\":\"\\\"\"}", true}, {"{ $.a = \"ü\" }", "{\"a\":\"\\u00fc\"}", true},
	};

	CHECK(rows);
}

TEST(selectors_reach_into_objects_and_lists)
{
	static const struct row rows[] = {
		{"{ $.a.b[1].c = 3 }", "{\"a\":{\"b\":[0,{\"c\":3}]}}", true}, {"{ $.a[0] = 1 }", "{\"a\":{\"0\":1}}", false},
		{"{ $['a.b'] = 1 }", "{\"a.b\":1}", true}, {"{ $.a[*] = 2 }", "{\"a\":[1,2]}", true}, {"{ $.a[*] = 2 }", "{\"a\":[]}", false},
		{"{ $.*.x = 2 }", "{\"a\":{\"x\":1},\"b\":{\"x\":2}}", true}, {"{ $[0] = 1 }", "[1]", true},
		{"{ $.a = 1 }", "{\"x\":{\"a\":1},\"b\":[{\"a\":1}],\"a\":1}", true}, {"{ $.a.b = 1 }", "{\"a\":[1]}", false},
		{"{ $.k-1 = 1 }", "{\"k-1\":1}", true}, {"{ $.\xc3\xbc = 1 }", "{\"\\u00fc\":1}", true},
	};

	CHECK(rows);
}

TEST(and_binds_tighter_than_or)
{
	static const struct row rows[] = {
		{"{ $.a = 1 || $.b = 1 && $.c = 1 }", "{\"a\":1,\"b\":2,\"c\":2}", true},
		{"{ ($.a = 1 || $.b = 1) && $.c = 1 }", "{\"a\":1,\"b\":2,\"c\":2}", false},
		{"{ (($.a = 1)) }", "{\"a\":1}", true},
		{"[a=x||a=y&&a=z, b]", "x 1", true}, {"[(a=x||a=y)&&a!=x, b]", "x 1", false},
	};

	CHECK(rows);
}

TEST(columns_are_split_at_spaces_quotes_and_brackets)
{
	static const char line[] = "127.0.0.1 - frank [10/Oct/2000:13:25:15 -0700] \"GET /index.html HTTP/1.0\" 404 1534";
	const struct row rows[] = {
		{"[ip, id, user, timestamp, request, status_code, bytes]", line, true},
		{"[ip, id, user, timestamp, request, status_code]", line, false},
		{"[ip, id, user, timestamp, request, status_code=404, bytes]", line, true},
		{"[ip, id, user, timestamp, request=*html*, status_code=4*, bytes > 1500]", line, true},
		{"[..., status_code >= 400 && status_code < 500, bytes]", line, true},
		{"[ip=127.0.0.1, ...]", line, true}, {"[ip != 127.*, ...]", line, false}, {"[ip, ..., bytes = \"1534\"]", line, true},
		{"[, , user=frank, ...]", line, true}, {"[w1=ERROR||w1=WARN, ...]", "WARN x y", true}, {"[w1=ERROR||w1=WARN, ...]", "INFO x", false},
		{"[a, ..., b]", "x", false}, {"[a, ..., b]", "x y", true}, {"[...]", "", true}, {"[a]", "[open", true},
		{"[a = -1]", "-1.0", true},
	};

	CHECK(rows);
}

TEST(bad_patterns_are_refused)
{
	static const char *const rows[] = {
		"{", "{}", "{ $.a }", "{ $.a = }", "{ $.a = 1", "{ $.a = 1 } x", "{ a = 1 }", "{ $ = 1 }", "{ $.a < x }", "{ $.a < \"1\" }",
		"{ $.a = 1 && }", "{ ($.a = 1 }", "{ $.a IS }", "{ $.a NOT }", "{ $.a[x] = 1 }", "{ $.a = \"x }", "{ $.*.* = 1 }",
		"{ $.a[*] = 1 || $.b[*] = 1 || $.c[*] = 1 || $.d[*] = 1 }", "[", "[a", "[a,", "[a=]", "[..., a, ...]", "[a=x||b=y]", "[a] b",
		"a-b", "\"open", "%open", "%(a)%", "%a", "%[a%", "%a% %b% %c%", "?", "-", "%\\1%", "%%", "$.a", "%a{2,1}%",
	};

	for (size_t i = 0; i < COUNT(rows); i++) {
		struct error error = {0};

		if (log_pattern_new(str_of(rows[i]), &error))
			fail_msg("%s is taken", rows[i]);
		assert_int_equal(error.code, ERROR_INVALID_PARAMETER);
		assert_string_equal(error.text, "Invalid filter pattern");
	}
}

TEST(a_pattern_has_at_most_1024_bytes_and_256_conditions)
{
	auto_buffer text = {0};
	struct log_pattern *pattern;

	while (text.len < LOG_PATTERN_BYTES_LIMIT)
		buffer_add_char(&text, 'a');
	pattern = log_pattern_new(buffer_str(&text), NULL);
	assert_non_null(pattern);
	log_pattern_free(pattern);
	buffer_add_char(&text, 'a');
	assert_null(log_pattern_new(buffer_str(&text), NULL));
	buffer_clear(&text);
	for (int i = 0; i < LOG_PATTERN_NODES_LIMIT; i++)
		buffer_add(&text, S("a "));
	pattern = log_pattern_new(buffer_str(&text), NULL);
	assert_non_null(pattern);
	log_pattern_free(pattern);
	buffer_add(&text, S("a"));
	assert_null(log_pattern_new(buffer_str(&text), NULL));
}

TEST(parentheses_nest_32_deep)
{
	auto_buffer text = {0};

	for (int deep = LOG_PATTERN_DEPTH_LIMIT; deep <= LOG_PATTERN_DEPTH_LIMIT + 1; deep++) {
		struct log_pattern *pattern;

		buffer_clear(&text);
		buffer_printf(&text, "{%.*s$.a=1%.*s}", deep, "((((((((((((((((((((((((((((((((((((((((", deep,
			      "))))))))))))))))))))))))))))))))))))))))");
		pattern = log_pattern_new(buffer_str(&text), NULL);
		assert_int_equal(pattern != NULL, deep == LOG_PATTERN_DEPTH_LIMIT);
		log_pattern_free(pattern);
	}
}

static void collect(void *arg, struct str name, struct str value)
{
	buffer_printf(arg, "%.*s=%.*s;", STR(name), STR(value));
}

static void expect_extract(const char *pattern, const char *message, const char *expected)
{
	struct log_pattern *compiled = log_pattern_new(str_of(pattern), NULL);
	auto_arena arena = {0};
	auto_buffer out = {0};

	assert_non_null(compiled);
	log_pattern_extract(compiled, str_of(message), &arena, collect, &out);
	EXPECT_STR(buffer_str(&out), str_of(expected));
	log_pattern_free(compiled);
}

TEST(a_match_gives_its_values)
{
	expect_extract("{ $.a = 1 || $.b.c = \"x\" }", "{\"a\":1,\"b\":{\"c\":\"\\u0078\"}}", "$.a=1;$.b.c=x;");
	expect_extract("{ $.a = * && $.z NOT EXISTS }", "{\"a\":{\"k\":[1]}}", "$.a={\"k\":[1]};");
	expect_extract("[ip, ..., size]", "1 two \"3 4\" 5", "$ip=1;$2=two;$3=3 4;$size=5;");
	expect_extract("word", "word", "");
}

TEST(hostile_expressions_end_soon)
{
	char message[3000];

	memset(message, 'a', sizeof(message) - 1);
	message[sizeof(message) - 1] = '\0';
	assert_false(matches("%a*a*a*a*a*a*a*b%", message));
}
