#include "test/test.h"
#include <stdlib.h>
#include "api/ecs.h"
#include "base/shape.h"

static struct ecs_run_task_request *request_new(struct arena *arena)
{
	struct ecs_run_task_request *request = arena_new(arena, struct ecs_run_task_request);

	request->task_definition = S("web:1");
	return request;
}

static bool is_right(struct ecs_run_task_request *request, struct arena *arena, struct violation *violation)
{
	return shape_check(&shape_ecs_run_task_request, request, arena, violation);
}

TEST(an_operation_is_found_by_name)
{
	for (uint32_t i = 0; i < api_ecs.operation_count; i++)
		assert_ptr_equal(api_find(&api_ecs, api_ecs.operations[i].name), &api_ecs.operations[i]);
	assert_null(api_find(&api_ecs, S("RunTasks")));
	assert_null(api_find(&api_ecs, S("")));
}

TEST(words_count_from_one)
{
	const struct shape *shape = &shape_ecs_launch_type;

	for (uint32_t i = 0; i < shape->word_count; i++)
		assert_int_equal(shape_word(shape, shape->words[i]), i + 1);
	assert_int_equal(shape_word(shape, S("ec2")), 0);
	EXPECT_STR(shape_word_text(shape, ECS_LAUNCH_TYPE_FARGATE), S("FARGATE"));
	assert_false(str_has(shape_word_text(shape, 0)));
	assert_false(str_has(shape_word_text(shape, 1000)));
}

TEST(absent_null_and_empty_are_three_things)
{
	auto_arena arena = {0};
	struct ecs_run_task_request *absent = request_new(&arena), *null = request_new(&arena);
	struct ecs_run_task_request *empty = request_new(&arena);
	const struct shape *shape = &shape_ecs_run_task_request;
	uint32_t tags = 0;

	while (!str_equal(shape->members[tags].name, S("tags")))
		tags++;
	shape_set_null(shape, null, tags);
	empty->tags.items = arena_alloc(&arena, 0, 1, 1);
	assert_true(shape_is_null(shape, null, tags));
	assert_false(shape_is_null(shape, absent, tags));
	assert_true(shape_is_present(shape->members[tags].shape, &empty->tags));
	assert_false(shape_equal(shape, absent, null));
	assert_false(shape_equal(shape, absent, empty));
	assert_false(shape_equal(shape, null, empty));
	assert_true(shape_equal(shape, null, shape_copy(shape, null, &arena)));
	assert_true(shape_equal(shape, empty, shape_copy(shape, empty, &arena)));
	assert_true(shape_equal(shape, absent, shape_copy(shape, absent, &arena)));
}

TEST(a_clone_stands_alone)
{
	for (uint64_t seed = 0; seed < 20; seed++) {
		for (uint32_t i = 0; i < api_ecs.operation_count; i++) {
			const struct shape *shape = api_ecs.operations[i].output;
			struct arena first = {0}, second = {0};
			struct random a, b;
			void *clone, *twin;

			random_init(&a, seed, i);
			b = a;
			clone = shape_clone(shape, shape_random(shape, &a, &first));
			arena_fini(&first);
			twin = shape_random(shape, &b, &second);
			assert_true(shape_equal(shape, clone, twin));
			assert_true(shape_equal(shape, clone, shape_copy(shape, twin, &second)));
			free(clone);
			arena_fini(&second);
		}
	}
}

TEST(random_values_keep_the_rules)
{
	struct violation violation;

	for (uint32_t i = 0; i < api_ecs.operation_count; i++) {
		auto_arena arena = {0};
		const struct shape *shape = api_ecs.operations[i].input;
		struct random random;

		random_init(&random, 9, i);
		assert_true(shape_check(shape, shape_random(shape, &random, &arena), &arena, &violation));
	}
}

TEST(maps_are_equal_in_any_order)
{
	auto_arena arena = {0};
	struct ecs_container_definition a = {0}, b = {0};

	a.docker_labels.count = b.docker_labels.count = 40;
	a.docker_labels.items = arena_array(&arena, struct ecs_docker_labels_map_entry, 40);
	b.docker_labels.items = arena_array(&arena, struct ecs_docker_labels_map_entry, 40);
	for (int i = 0; i < 40; i++) {
		a.docker_labels.items[i].key = b.docker_labels.items[39 - i].key = arena_printf(&arena, "key%d", i);
		a.docker_labels.items[i].value = b.docker_labels.items[39 - i].value = S("value");
	}
	assert_true(shape_equal(&shape_ecs_container_definition, &a, &b));
	b.docker_labels.items[7].value = S("other");
	assert_false(shape_equal(&shape_ecs_container_definition, &a, &b));
}

TEST(a_missing_member_is_named_with_its_path)
{
	auto_arena arena = {0};
	struct ecs_run_task_request *request = request_new(&arena);
	struct violation violation;

	assert_true(is_right(request, &arena, &violation));
	request->network_configuration = arena_new(&arena, struct ecs_network_configuration);
	request->network_configuration->awsvpc_configuration =
		arena_new(&arena, struct ecs_aws_vpc_configuration);
	assert_false(is_right(request, &arena, &violation));
	assert_int_equal(violation.kind, VIOLATION_REQUIRED);
	EXPECT_STR(violation.path, S("networkConfiguration.awsvpcConfiguration.subnets"));
	EXPECT_STR(violation.member->name, S("subnets"));
	assert_ptr_equal(violation.shape, &shape_ecs_aws_vpc_configuration);
	assert_false(str_has(violation.value));
}

TEST(lengths_count_characters_and_paths_count_items_from_one)
{
	auto_arena arena = {0};
	struct ecs_run_task_request *request = request_new(&arena);
	struct violation violation;
	char key[2 * 129];

	for (size_t i = 0; i < sizeof(key); i += 2)
		memcpy(key + i, "é", 2);
	request->tags.items = arena_array(&arena, struct ecs_tag, 2);
	request->tags.count = 2;
	request->tags.items[0].key = S("a");
	request->tags.items[1].key = (struct str){key, 2 * 128};
	assert_true(is_right(request, &arena, &violation));
	request->tags.items[1].key.len += 2;
	assert_false(is_right(request, &arena, &violation));
	assert_int_equal(violation.kind, VIOLATION_LENGTH);
	EXPECT_STR(violation.path, S("tags.2.member.key"));
	EXPECT_STR(violation.member->name, S("key"));
	EXPECT_STR(violation.value, request->tags.items[1].key);
	request->tags.items[1].key = S("");
	assert_false(is_right(request, &arena, &violation));
}

TEST(numbers_keep_their_range)
{
	auto_arena arena = {0};
	struct ecs_capacity_provider_strategy_item item = {.capacity_provider = S("FARGATE")};
	struct violation violation;

	item.weight = (struct maybe_integer){1000, true};
	assert_true(shape_check(&shape_ecs_capacity_provider_strategy_item, &item, &arena, &violation));
	item.weight.value = 1001;
	assert_false(shape_check(&shape_ecs_capacity_provider_strategy_item, &item, &arena, &violation));
	assert_int_equal(violation.kind, VIOLATION_RANGE);
	EXPECT_STR(violation.path, S("weight"));
	EXPECT_STR(violation.value, S("1001"));
}
