#include "runner/metadata.h"
#include "base/buffer.h"
#include "wire/json.h"
#include "../../test.h"

#define ARN "arn:aws:ecs:eu-west-1:000000000001:task/prod/5d0c2b7e9f3a4c61a0f4e8b6d7c51234"

static size_t addresses(void *arg, struct str task_id, struct str container, struct arena *arena, struct str **ret_texts)
{
	*ret_texts = arena_array(arena, struct str, 1);
	(*ret_texts)[0] = S("172.31.224.7");
	return 1;
}

static bool is_here(void *arg, struct str task_id, struct str container) { return str_equal(container, S("early")); }

/* A task of three containers: one runs, one is being started, one has not got so far. */
static struct agent_task *make_task(struct arena *arena, const char *mode)
{
	struct agent_task *record = arena_new(arena, struct agent_task);
	struct acs_task *task = arena_new(arena, struct acs_task);
	static const char *const names[] = {"app", "early", "later"};

	record->task = task;
	record->desired = AGENT_STATUS_RUNNING;
	record->known = AGENT_STATUS_CREATED;
	record->pull_started_at = (struct maybe_time){1785585601200000, true};
	task->arn = S(ARN);
	task->family = S("web");
	task->version = S("12");
	task->network_mode = str_of(mode);
	task->launch_type = S("EC2");
	task->service_name = S("front");
	task->cpu = (struct maybe_double){0.5, true};
	task->memory = (struct maybe_integer){512, true};
	task->containers = (struct acs_containers){arena_array(arena, struct acs_container, 3), 3};
	record->containers = (struct agent_containers){arena_array(arena, struct agent_container, 3), 3};
	for (size_t i = 0; i < 3; i++) {
		task->containers.items[i].name = record->containers.items[i].name = str_of(names[i]);
		task->containers.items[i].image = S("web:1");
		task->containers.items[i].cpu = (struct maybe_integer){256, true};
		task->containers.items[i].memory = (struct maybe_integer){128, true};
		record->containers.items[i].desired = AGENT_STATUS_RUNNING;
		record->containers.items[i].known = i ? AGENT_STATUS_PULLED : AGENT_STATUS_RUNNING;
	}
	record->containers.items[0].runtime_id = S("set");
	record->containers.items[0].started_at = (struct maybe_time){1785585606000000, true};
	return record;
}

static struct metadata_view view_of(const struct agent_task *task, int version)
{
	return (struct metadata_view){.task_id = S("5d0c2b7e9f3a4c61a0f4e8b6d7c51234"), .task = task, .cluster = S("prod"),
				      .volumes = S("/volumes"), .version = version, .addresses = addresses, .is_here = is_here};
}

static struct str text_of(const struct shape *shape, const void *value, struct arena *arena)
{
	auto_buffer text = {0};

	json_encode(shape, value, &text);
	return arena_copy(arena, buffer_str(&text));
}

TEST(a_task_tells_of_the_containers_that_are_there)
{
	auto_arena arena = {0};
	struct metadata_view view = view_of(make_task(&arena, "bridge"), 4);
	const struct metadata_task *task = metadata_task(&view, &arena);

	assert_int_equal(task->containers.count, 2);
	EXPECT_STR(task->containers.items[0].name, S("app"));
	EXPECT_STR(task->containers.items[0].known_status, S("RUNNING"));
	EXPECT_STR(task->containers.items[1].name, S("early"));
	EXPECT_STR(task->containers.items[1].known_status, S("PULLED"));
	assert_null(metadata_container(&view, S("later"), &arena));
	assert_null(metadata_container(&view, S("nobody"), &arena));
}

TEST(labels_of_ecs_are_told_once_and_win)
{
	auto_arena arena = {0};
	struct agent_task *record = make_task(&arena, "bridge");
	struct acs_docker_config docker = {.config = S(
		"{\"Labels\":{\"a\":\"b\",\"com.amazonaws.ecs.cluster\":\"mine\",\"com.amazonaws.ecs.container-name\":\"app\"}}")};
	struct metadata_view view = view_of(record, 4);
	const struct metadata_task *task;

	record->task->containers.items[0].docker_config = &docker;
	task = metadata_task(&view, &arena);
	assert_int_equal(task->containers.items[0].labels.count, 6);
	EXPECT_STR(task->containers.items[0].labels.items[1].key, S("com.amazonaws.ecs.cluster"));
	EXPECT_STR(task->containers.items[0].labels.items[1].value, S("prod"));
}

TEST(the_words_are_those_of_the_sdk)
{
	auto_arena arena = {0};
	struct metadata_view view = view_of(make_task(&arena, "bridge"), 4);
	struct str text = text_of(&shape_metadata_task, metadata_task(&view, &arena), &arena);

	assert_true(str_starts(text, S("{\"Cluster\":\"prod\",\"TaskARN\":\"" ARN "\",\"Family\":\"web\",\"Revision\":\"12\","
				       "\"DesiredStatus\":\"RUNNING\",\"KnownStatus\":\"CREATED\"")));
	assert_true(str_contains(text, S("\"Limits\":{\"CPU\":0.5,\"Memory\":512}")));
	assert_true(str_contains(text, S("\"PullStartedAt\":\"2026-08-01T12:00:01.200Z\"")));
	assert_true(str_contains(text, S("\"Networks\":[{\"NetworkMode\":\"bridge\",\"IPv4Addresses\":[\"172.31.224.7\"]}]")));
	assert_true(str_contains(text, S("\"Limits\":{\"CPU\":256,\"Memory\":128}")));
	assert_true(str_contains(text, S("\"ServiceName\":\"front\"")));
	assert_true(str_contains(text, S("\"FaultInjectionEnabled\":false")));
}

TEST(older_versions_do_not_know_newer_words)
{
	auto_arena arena = {0};
	const struct agent_task *task = make_task(&arena, "bridge");
	struct metadata_view third = view_of(task, 3), second = view_of(task, 2);
	struct str text = text_of(&shape_metadata_task, metadata_task(&third, &arena), &arena);

	assert_false(str_contains(text, S("FaultInjectionEnabled")));
	assert_false(str_contains(text, S("ServiceName")));
	assert_true(str_contains(text, S("\"LaunchType\":\"EC2\"")));
	assert_false(str_contains(text_of(&shape_metadata_task, metadata_task(&second, &arena), &arena), S("LaunchType")));
}

TEST(an_interface_is_told_as_aws_tells_it)
{
	auto_arena arena = {0};
	struct agent_task *task = make_task(&arena, "awsvpc");
	struct acs_elastic_network_interface eni = {
		.mac_address = S("0a:58:00:00:00:01"), .private_dns_name = S("ip-10-0-16-9.internal"),
		.subnet_gateway_ipv4_address = S("10.0.16.1/20"),
		.ipv4_addresses = {&(struct acs_i_pv4_address){.private_address = S("10.0.16.9"), .primary = {true, true}}, 1},
		.domain_name_servers = {(struct str[]){S("10.0.0.2")}, 1},
	};
	struct metadata_view view = view_of(task, 4);
	struct str text;

	task->task->elastic_network_interfaces = (struct acs_elastic_network_interfaces){&eni, 1};
	text = text_of(&shape_metadata_container, metadata_container(&view, S("app"), &arena), &arena);
	assert_true(str_contains(text, S("\"Networks\":[{\"NetworkMode\":\"awsvpc\",\"IPv4Addresses\":[\"10.0.16.9\"],\"AttachmentIndex\":0,"
					 "\"MACAddress\":\"0a:58:00:00:00:01\",\"IPv4SubnetCIDRBlock\":\"10.0.16.0/20\"")));
	assert_true(str_contains(text, S("\"DomainNameServers\":[\"10.0.0.2\"]")));
	view.version = 3;
	text = text_of(&shape_metadata_container, metadata_container(&view, S("app"), &arena), &arena);
	assert_true(str_contains(text, S("\"Networks\":[{\"NetworkMode\":\"awsvpc\",\"IPv4Addresses\":[\"10.0.16.9\"]}]")));
}

TEST(docker_names_hold_what_docker_allows)
{
	auto_arena arena = {0};
	struct metadata_view view = view_of(make_task(&arena, "bridge"), 4);
	struct str name = metadata_docker_name(&view, S("my_app-1"), &arena);

	assert_true(str_starts(name, S("ecs-web-12-myapp-1-")));
	assert_int_equal(name.len, strlen("ecs-web-12-myapp-1-") + 20);
}
