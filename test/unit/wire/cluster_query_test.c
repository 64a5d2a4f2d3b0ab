#include "test/test.h"
#include "base/buffer.h"
#include "wire/cluster_query.h"

static bool attribute(void *self, struct str name, struct str *ret_value)
{
	if (str_equal(name, S("stack")))
		*ret_value = S("production");
	else if (str_equal(name, S("ecs.instance-type")))
		*ret_value = S("g2.2xlarge");
	else if (str_equal(name, S("disks")))
		*ret_value = S("12");
	else if (str_equal(name, S("flag")))
		*ret_value = STR_NONE;
	else
		return false;
	return true;
}

static bool any_group(void *self, bool (*test)(void *arg, struct str group), void *arg)
{
	return test(arg, S("service:web")) || test(arg, S("family:batch"));
}

static const struct cluster_query_subject subject = {
	.attribute = attribute, .any_group = any_group, .agent_connected = true, .agent_version = STR_INIT("1.100.2"),
	.ec2_instance_id = STR_INIT("i-abcd1234"), .registered_at = (usec)1529360908 * 1000000 + 5, .running_tasks = 3,
};

TEST(expressions_mean_what_the_guide_says)
{
	static const struct { const char *text; bool expected; } rows[] = {
		{"attribute:stack == production", true}, {"attribute:stack equals 'production'", true},
		{"attribute:stack != production", false}, {"attribute:stack not_equals \"test\"", true},
		{"attribute:stack == Production", false}, {"ATTRIBUTE:stack EQUALS production", true},
		{"attribute:ecs.instance-type =~ g2.*", true}, {"attribute:ecs.instance-type =~ g2", false},
		{"attribute:ecs.instance-type matches (g2|p3)\\..*", true}, {"attribute:ecs.instance-type !~ t2.*", true},
		{"attribute:stack in [test, production]", true}, {"attribute:stack !in [test,'production']", false},
		{"attribute:stack not_in [a]", true}, {"attribute:flag exists", true}, {"attribute:flag !exists", false},
		{"attribute:flag == a", false}, {"attribute:flag != a", true}, {"attribute:none not_exists", true},
		{"attribute:none exists", false}, {"attribute:none == a", false}, {"attribute:none != a", true},
		{"attribute:none < 5", false}, {"attribute:disks > 9", true}, {"attribute:disks <= 12", true},
		{"task:group == service:web", true}, {"task:group == family:batch", true}, {"task:group != service:web", false},
		{"task:group == database", false}, {"not(task:group == database)", true}, {"task:group =~ service:.*", true},
		{"agentConnected == true", true}, {"agentConnected==false", false}, {"agentConnected != TRUE", false},
		{"agentVersion > 1.99.9", true}, {"agentVersion == 1.100.2", true}, {"agentVersion >= 1.100.10", false},
		{"agentVersion == 1.100.2.0", true}, {"agentVersion < v2", true}, {"ec2InstanceId in ['i-abcd1234','i-x']", true},
		{"ec2InstanceId == i-x", false}, {"registeredAt > 2018-06-18", true}, {"registeredAt < 2018-06-18", false},
		{"registeredAt == 2018-06-18T22:28:28Z", true}, {"registeredAt >= 2018-06-18T22:28:28+00:00", true},
		{"runningTasksCount == 3", true}, {"runningTasksCount less_than 3", false},
		{"runningTasksCount greater_than_equal 3", true}, {"runningTasksCount>2&&agentConnected==true", true},
		{"runningTasksCount == 1 or runningTasksCount == 2 || runningTasksCount == 3", true},
		{"runningTasksCount == 1 and runningTasksCount == 2 or runningTasksCount == 3", true},
		{"runningTasksCount == 3 or runningTasksCount == 1 and runningTasksCount == 2", true},
		{"(runningTasksCount == 3 or runningTasksCount == 1) and runningTasksCount == 2", false},
		{"! runningTasksCount == 3", false}, {"not not runningTasksCount == 3", true},
		{"(attribute:ecs.instance-type =~ g2.*) AND NOT (task:group == x)", true},
		{"attribute:ecs.instance-type =~ 'g2.*'&&attribute:flag exists", true},
		{"attribute:stack =~ a|production", true},
	};

	for (size_t i = 0; i < COUNT(rows); i++) {
		auto_arena arena = {0};
		const struct cluster_query *query;
		struct error err;

		if (!cluster_query_parse(str_of(rows[i].text), &arena, &query, &err))
			fail_msg("%s", err.text);
		if (cluster_query_matches(query, &subject) != rows[i].expected)
			fail_msg("'%s' is not %s", rows[i].text, rows[i].expected ? "true" : "false");
	}
}

static void expect_invalid(struct str text)
{
	auto_arena arena = {0};
	const struct cluster_query *query = NULL;
	struct error err;

	if (cluster_query_parse(text, &arena, &query, &err))
		fail_msg("'%.*s' was taken", STR(text));
	assert_null(query);
	assert_int_equal(err.code, ERROR_INVALID_PARAMETER);
	assert_true(str_starts(str_of(err.text), S("The expression '")));
}

TEST(other_expressions_are_not_valid)
{
	static const char *const texts[] = {"", " ", "attribute:stack", "attribute: == a", "stack == a", "attribute:a ==",
		"attribute:a == b c", "attribute:a in a", "attribute:a in []", "attribute:a in [a", "attribute:a in [a,]",
		"attribute:a == 'b", "(attribute:a exists", "attribute:a exists)", "attribute:a exists b", "attribute:a = b",
		"attribute:a == b and", "and", "not", "()", "attribute:a =~ (b", "attribute:a =~", "runningTasksCount == many",
		"runningTasksCount in [1]", "runningTasksCount exists", "agentConnected > true", "agentConnected == maybe",
		"registeredAt > soon", "agentVersion =~ 1.*", "ec2InstanceId > a", "task:group > a", "attribute:a == b orr c",
		"attribute:a =~ [b", "attribute:a & attribute:b exists", "attribute:a == b;"};

	for (size_t i = 0; i < COUNT(texts); i++)
		expect_invalid(str_of(texts[i]));
}

static struct str nested(struct buffer *out, int depth)
{
	for (int i = 1; i < depth; i++)
		buffer_add_char(out, '(');
	buffer_add(out, S("attribute:a exists"));
	for (int i = 1; i < depth; i++)
		buffer_add_char(out, ')');
	return buffer_str(out);
}

static struct str patterned(struct buffer *out, int count)
{
	for (int i = 0; i < count; i++)
		buffer_printf(out, "%sattribute:a =~ b", i ? " or " : "");
	return buffer_str(out);
}

TEST(queries_have_limits)
{
	auto_arena arena = {0};
	auto_buffer long_one = {0}, deep = {0}, deeper = {0}, many = {0}, more = {0};
	const struct cluster_query *query;

	buffer_add(&long_one, S("attribute:a == "));
	while (long_one.len < CLUSTER_QUERY_BYTES_LIMIT)
		buffer_add_char(&long_one, 'b');
	assert_true(cluster_query_parse(buffer_str(&long_one), &arena, &query, NULL));
	buffer_add_char(&long_one, 'b');
	expect_invalid(buffer_str(&long_one));
	assert_true(cluster_query_parse(nested(&deep, CLUSTER_QUERY_DEPTH_LIMIT), &arena, &query, NULL));
	expect_invalid(nested(&deeper, CLUSTER_QUERY_DEPTH_LIMIT + 1));
	assert_true(cluster_query_parse(patterned(&many, CLUSTER_QUERY_PATTERNS_LIMIT), &arena, &query, NULL));
	expect_invalid(patterned(&more, CLUSTER_QUERY_PATTERNS_LIMIT + 1));
}
