#include <stdlib.h>
#include <unistd.h>
#include "test.h"
#include "runner/query.h"
#include "runner/settings.h"

static bool read_text(const char *text, struct arena *arena, struct settings *settings, struct error *err)
{
	char path[] = "/tmp/ecs-config-XXXXXX";
	int fd = mkstemp(path);
	bool ok;

	assert_int_equal(write(fd, text, strlen(text)), strlen(text));
	close(fd);
	ok = settings_read(path, arena, settings, err);
	unlink(path);
	return ok;
}

static bool has_attribute(const struct settings *settings, struct str name)
{
	for (size_t i = 0; i < settings->attributes.count; i++)
		if (str_equal(settings->attributes.items[i].name, name))
			return true;
	return false;
}

TEST(durations_are_gos)
{
	static const struct { const char *text; usec span; } good[] = {
		{ "30s", 30 * USEC_PER_SEC }, { "1h30m", 5400 * USEC_PER_SEC }, { "500ms", 500 * USEC_PER_MSEC },
		{ "1m1ms", 60 * USEC_PER_SEC + USEC_PER_MSEC },
	};
	static const char *const bad[] = { "", "30", "s", "3 h", "1x", "9999999999s", "-1s" };
	usec span;

	for (size_t i = 0; i < COUNT(good); i++) {
		assert_true(settings_duration(str_of(good[i].text), &span));
		assert_int_equal(span, good[i].span);
	}
	for (size_t i = 0; i < COUNT(bad); i++)
		if (settings_duration(str_of(bad[i]), &span))
			fail_msg("'%s' was taken", bad[i]);
}

TEST(without_a_file_the_defaults_count)
{
	auto_arena arena = {0};
	struct settings settings;
	struct error error;

	assert_true(settings_read("/nonexistent/ecs.config", &arena, &settings, &error));
	assert_int_equal(settings.agent.stop_timeout, 30 * USEC_PER_SEC);
	assert_int_equal(settings.agent.reserved_tcp.count, 5);
	assert_true(settings.agent.cpu_units >= 1024);
	assert_true(settings.agent.memory_mib > 0);
	assert_true(has_attribute(&settings, S("ecs.capability.full-sync")));
	assert_true(has_attribute(&settings, S("ecs.os-type")));
	assert_false(has_attribute(&settings, S("ecs.capability.external")));
}

TEST(the_file_is_read_and_the_environment_wins)
{
	static const char text[] = "# comment\nECS_CLUSTER=prod\nECS_BACKEND_HOST=cp.example\n"
		"ECS_RESERVED_PORTS=[22, 80]\nECS_INSTANCE_ATTRIBUTES={\"rack\":\"r7\"}\n"
		"ECS_CONTAINER_STOP_TIMEOUT=\"2m\"\nECS_DISABLE_PRIVILEGED=true\nECS_EXTERNAL=true\n"
		"ECS_DYNAMIC_HOST_PORT_RANGE=40000-40010\n";
	auto_arena arena = {0};
	struct settings settings;
	struct error error;

	setenv("ECS_CLUSTER", "other", 1);
	assert_true(read_text(text, &arena, &settings, &error));
	unsetenv("ECS_CLUSTER");
	EXPECT_STR(settings.agent.cluster, S("other"));
	EXPECT_STR(settings.backend_host, S("https://cp.example"));
	EXPECT_STR(settings.agent.reserved_tcp.items[1], S("80"));
	EXPECT_STR(settings.user_attributes.items[0].value, S("r7"));
	assert_int_equal(settings.agent.stop_timeout, 120 * USEC_PER_SEC);
	assert_int_equal(settings.port_high, 40010);
	assert_false(has_attribute(&settings, S("com.amazonaws.ecs.capability.privileged-container")));
	assert_true(has_attribute(&settings, S("ecs.capability.external")));
}

TEST(a_bad_value_is_an_error_that_names_its_variable)
{
	static const char *const bad[] = {
		"ECS_EXTERNAL=perhaps", "ECS_RESERVED_PORTS=22", "ECS_RESERVED_MEMORY=much", "ECS_RESERVED_MEMORY=99999999",
		"ECS_CONTAINER_STOP_TIMEOUT=30", "ECS_INSTANCE_ATTRIBUTES=[]", "ECS_DYNAMIC_HOST_PORT_RANGE=9-1",
		"ECS_IMAGE_PULL_BEHAVIOR=never",
	};

	for (size_t i = 0; i < COUNT(bad); i++) {
		auto_arena arena = {0};
		struct settings settings;
		struct error error = {0};

		if (read_text(bad[i], &arena, &settings, &error))
			fail_msg("'%s' was taken", bad[i]);
		if (!str_starts(str_of(error.text), str_slice(str_of(bad[i]), 0, str_find(str_of(bad[i]), '='))))
			fail_msg("'%s' does not name the variable", error.text);
	}
}

TEST(a_query_is_encoded_without_plus)
{
	auto_arena arena = {0};
	const struct query_part parts[] = { { "a", S("arn:x/y z") }, { "b", S("1.0") } };

	EXPECT_STR(query_url(S("http://h:1"), parts, 2, &arena), S("http://h:1/ws?a=arn%3Ax%2Fy%20z&b=1.0"));
	EXPECT_STR(query_url(S("http://h:1/"), parts, 0, &arena), S("http://h:1/ws"));
}
