#include <stdlib.h>
#include <unistd.h>
#include "test.h"
#include "base/buffer.h"
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
	assert_true(has_attribute(&settings, S("ecs.capability.task-eni")));
	assert_true(has_attribute(&settings, S("ecs.capability.container-health-check")));
	assert_true(has_attribute(&settings, S("com.amazonaws.ecs.capability.logging-driver.awslogs")));
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
	assert_false(has_attribute(&settings, S("ecs.capability.task-eni")));
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

static const struct image_login *login_for(const struct settings *settings, const char *name, struct arena *arena)
{
	return image_login_find(&settings->logins, str_of(name), arena);
}

TEST(registry_logins_are_read_in_both_forms)
{
	static const char *const texts[] = {
		"ECS_ENGINE_AUTH_TYPE=docker\nECS_ENGINE_AUTH_DATA={\"https://index.docker.io/v1/\":{\"username\":\"me\","
		"\"password\":\"a:b\",\"email\":\"me@example\"},\"host:5000\":{\"username\":\"robot\",\"password\":\"\"}}\n",
		"ECS_ENGINE_AUTH_TYPE=dockercfg\nECS_ENGINE_AUTH_DATA='{\"https://index.docker.io/v1/\":{\"auth\":\"bWU6YTpi\","
		"\"email\":\"me@example\"},\"host:5000\":{\"auth\":\"cm9ib3Q6\"}}'\n",
	};

	for (size_t i = 0; i < COUNT(texts); i++) {
		auto_arena arena = {0};
		struct settings settings;
		struct error error;

		if (!read_text(texts[i], &arena, &settings, &error))
			fail_msg("%s", error.text);
		assert_int_equal(settings.logins.count, 2);
		EXPECT_STR(login_for(&settings, "me/app", &arena)->username, S("me"));
		EXPECT_STR(login_for(&settings, "me/app", &arena)->password, S("a:b"));
		EXPECT_STR(login_for(&settings, "host:5000/app:1", &arena)->username, S("robot"));
		EXPECT_STR(login_for(&settings, "host:5000/app:1", &arena)->password, S(""));
		assert_null(login_for(&settings, "host:5001/app:1", &arena));
	}
}

TEST(a_bad_login_is_an_error_that_does_not_tell_it)
{
	static const struct { const char *type, *data; } bad[] = {
		{ "docker", "secret" }, { "docker", "[\"secret\"]" }, { "docker", "{\"host\":\"secret\"}" },
		{ "docker", "{\"host\":{\"password\":\"secret\"}}" },
		{ "docker", "{\"host\":{\"username\":\"me\"}}" }, { "docker", "{\"host\":{\"auth\":\"bWU6YTpi\"}}" },
		{ "docker", "{\"https://\":{\"username\":\"me\",\"password\":\"secret\"}}" },
		{ "dockercfg", "{\"host\":{}}" }, { "dockercfg", "{\"host\":{\"auth\":\"secret\"}}" },
		{ "dockercfg", "{\"host\":{\"auth\":\"c2VjcmV0\"}}" }, { "dockercfg", "{\"host\":{\"auth\":\"OnNlY3JldA==\"}}" },
	};

	for (size_t i = 0; i < COUNT(bad); i++) {
		auto_arena arena = {0};
		struct settings settings;
		struct error error = {0};
		struct str text = arena_printf(&arena, "ECS_ENGINE_AUTH_TYPE=%s\nECS_ENGINE_AUTH_DATA=%s", bad[i].type, bad[i].data);

		if (read_text(arena_cstr(&arena, text), &arena, &settings, &error))
			fail_msg("'%s' was taken", bad[i].data);
		if (!str_starts(str_of(error.text), S("ECS_ENGINE_AUTH_DATA")) || str_contains(str_of(error.text), S("secret")))
			fail_msg("%s", error.text);
	}
}

static bool read_many_logins(int count, struct error *err)
{
	auto_arena arena = {0};
	auto_buffer text = {0};
	struct settings settings;

	buffer_add(&text, S("ECS_ENGINE_AUTH_TYPE=docker\nECS_ENGINE_AUTH_DATA={"));
	for (int i = 0; i < count; i++)
		buffer_printf(&text, "%s\"h%d\":{\"username\":\"u\",\"password\":\"p\"}", i ? "," : "", i);
	buffer_add(&text, S("}"));
	return read_text(arena_cstr(&arena, buffer_str(&text)), &arena, &settings, err);
}

TEST(logins_need_a_type_and_have_a_limit)
{
	auto_arena arena = {0};
	struct settings settings;
	struct error error;

	assert_false(read_text("ECS_ENGINE_AUTH_DATA={}", &arena, &settings, &error));
	assert_true(str_starts(str_of(error.text), S("ECS_ENGINE_AUTH_TYPE is not set")));
	assert_false(read_text("ECS_ENGINE_AUTH_TYPE=podman", &arena, &settings, &error));
	assert_true(str_starts(str_of(error.text), S("ECS_ENGINE_AUTH_TYPE is 'podman'")));
	assert_true(read_text("ECS_ENGINE_AUTH_TYPE=docker", &arena, &settings, &error));
	assert_true(read_many_logins(SETTINGS_ENTRIES_LIMIT, &error));
	assert_false(read_many_logins(SETTINGS_ENTRIES_LIMIT + 1, &error));
	assert_true(str_starts(str_of(error.text), S("ECS_ENGINE_AUTH_DATA is not")));
}

TEST(a_query_is_encoded_without_plus)
{
	auto_arena arena = {0};
	const struct query_part parts[] = { { "a", S("arn:x/y z") }, { "b", S("1.0") } };

	EXPECT_STR(query_url(S("http://h:1"), parts, 2, &arena), S("http://h:1/ws?a=arn%3Ax%2Fy%20z&b=1.0"));
	EXPECT_STR(query_url(S("http://h:1/"), parts, 0, &arena), S("http://h:1/ws"));
}
