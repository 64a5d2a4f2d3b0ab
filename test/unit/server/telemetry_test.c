#include "server/telemetry.h"
#include "../../test.h"

#define NOW (1785585600 * USEC_PER_SEC)
#define ARN "arn:aws:ecs:eu-west-1:000000000001:task/prod/"

static struct tcs_stats_set *set_of(struct arena *arena, double each, double count)
{
	struct tcs_stats_set *set = arena_new(arena, struct tcs_stats_set);

	*set = (struct tcs_stats_set){.min = {each, true}, .max = {each, true}, .sum = {each * count, true},
				      .sample_count = {count, true}};
	return set;
}

static struct tcs_count_set *count_of(struct arena *arena, int64_t sum)
{
	struct tcs_count_set *set = arena_new(arena, struct tcs_count_set);

	*set = (struct tcs_count_set){.sum = {sum, true}, .sample_count = {1, true}};
	return set;
}

struct told {
	const char *task, *service, *container;
	double cpu, memory, readings;
	int64_t rx, written, restarts;
};

static void tell(struct telemetry *telemetry, const struct told *told, usec at)
{
	auto_arena arena = {0};
	struct tcs_network_stats_set network = {.rx_bytes = count_of(&arena, told->rx), .tx_bytes = count_of(&arena, 0),
						.rx_bytes_per_second = set_of(&arena, (double)told->rx, 1)};
	struct tcs_storage_stats_set storage = {.write_size_bytes = count_of(&arena, told->written)};
	struct tcs_restart_stats_set restarts = {.restart_count = {told->restarts, true}};
	double readings = told->readings > 0 ? told->readings : 1;
	struct tcs_container_metric container = {
		.container_name = str_of(told->container), .cpu_stats_set = set_of(&arena, told->cpu, readings),
		.memory_stats_set = set_of(&arena, told->memory, readings), .network_stats_set = &network,
		.storage_stats_set = &storage, .restart_stats_set = &restarts, .memory_limit = {128, true}};
	struct tcs_task_metric task = {
		.task_arn = str_of(told->task), .service_name = str_of(told->service), .task_definition_family = S("web"),
		.task_definition_version = S("1"), .container_metrics = {&container, 1}};
	const struct tcs_publish_metrics_request request = {
		.task_metrics = {&task, 1}, .timestamp = {(double)at / USEC_PER_SEC, true}};

	telemetry_take_metrics(telemetry, &request, at);
}

struct seen {
	size_t containers, samples;
	struct telemetry_sample first, last;
};

static void look(void *arg, const struct telemetry_subject *subject, const struct telemetry_sample *samples, size_t count)
{
	struct seen *seen = arg;

	seen->containers++;
	seen->samples += count;
	if (count) {
		seen->first = samples[0];
		seen->last = samples[count - 1];
	}
}

static struct seen walk(struct telemetry *telemetry, uint32_t since)
{
	struct seen seen = {0};

	telemetry_walk(telemetry, since, look, &seen);
	return seen;
}

TEST(what_was_told_is_shown_with_its_names)
{
	struct telemetry *telemetry = telemetry_new();
	struct wherry_telemetry_response answer;
	auto_arena arena = {0};

	tell(telemetry, &(struct told){ARN "a1", "front", "app", .cpu = 12.5, .memory = 40, .rx = 1000, .restarts = 2}, NOW);
	telemetry_describe(telemetry, STR_NONE, NOW + USEC_PER_SEC, &arena, &answer);
	assert_int_equal(answer.tasks.count, 1);
	EXPECT_STR(answer.tasks.items[0].cluster, S("prod"));
	EXPECT_STR(answer.tasks.items[0].task, S("a1"));
	EXPECT_STR(answer.tasks.items[0].service, S("front"));
	assert_true(answer.tasks.items[0].cpu.value == 12.5);
	assert_true(answer.tasks.items[0].rx_rate.value == 1000);
	assert_true(answer.tasks.items[0].memory_limit.value == 128);
	assert_true(answer.tasks.items[0].age.value == 1);
	assert_int_equal(answer.tasks.items[0].restarts.value, 2);
	telemetry_describe(telemetry, S("arn:aws:ecs:eu-west-1:000000000001:cluster/other"), NOW, &arena, &answer);
	assert_int_equal(answer.tasks.count, 0);
	telemetry_free(telemetry);
}

TEST(a_sample_a_second_is_kept_and_the_oldest_goes)
{
	struct telemetry *telemetry = telemetry_new();
	struct told told = {ARN "a1", "", "app", .cpu = 1, .memory = 1, .rx = 10};
	const uint32_t second = NOW / USEC_PER_SEC, more = 100;
	struct seen seen;

	for (uint32_t i = 0; i < TELEMETRY_HISTORY_SECONDS + more; i++)
		tell(telemetry, &told, NOW + i * USEC_PER_SEC);
	seen = walk(telemetry, 0);
	assert_int_equal(seen.containers, 1);
	assert_true(seen.samples >= TELEMETRY_HISTORY_SECONDS);
	assert_true(seen.samples <= TELEMETRY_HISTORY_SECONDS + TELEMETRY_CHUNK_SAMPLES);
	assert_int_equal(seen.last.second, second + TELEMETRY_HISTORY_SECONDS + more - 1);
	assert_int_equal(seen.last.second - seen.first.second + 1, seen.samples);
	assert_int_equal(walk(telemetry, seen.last.second - 59).samples, 60);
	telemetry_free(telemetry);
}

TEST(two_samples_of_one_second_are_one)
{
	struct telemetry *telemetry = telemetry_new();
	struct seen seen;

	tell(telemetry, &(struct told){ARN "a1", "", "app", .cpu = 10, .memory = 8, .rx = 100}, NOW);
	tell(telemetry, &(struct told){ARN "a1", "", "app", .cpu = 40, .memory = 8, .rx = 50, .readings = 2}, NOW + 1000);
	seen = walk(telemetry, 0);
	assert_int_equal(seen.samples, 1);
	assert_int_equal(seen.first.readings, 3);
	assert_true(seen.first.cpu_percent == 30);
	assert_int_equal(seen.first.rx_bytes, 150);
	telemetry_free(telemetry);
}

TEST(silence_is_forgotten)
{
	struct telemetry *telemetry = telemetry_new();
	struct wherry_telemetry_response answer;
	auto_arena arena = {0};

	tell(telemetry, &(struct told){ARN "old", "", "app"}, NOW);
	tell(telemetry, &(struct told){ARN "new", "", "app"}, NOW + TELEMETRY_FRESH_SECONDS * USEC_PER_SEC);
	telemetry_describe(telemetry, STR_NONE, NOW + (TELEMETRY_FRESH_SECONDS + 1) * USEC_PER_SEC, &arena, &answer);
	assert_int_equal(answer.tasks.count, 1);
	EXPECT_STR(answer.tasks.items[0].task, S("new"));
	assert_int_equal(walk(telemetry, 0).containers, 2);
	tell(telemetry, &(struct told){ARN "new", "", "app"}, NOW + (TELEMETRY_HISTORY_SECONDS + 1) * USEC_PER_SEC);
	assert_int_equal(walk(telemetry, 0).containers, 1);
	telemetry_free(telemetry);
}

TEST(the_history_of_all_is_bounded_and_its_oldest_goes_first)
{
	struct telemetry *telemetry = telemetry_new();
	auto_arena arena = {0};
	struct seen seen;

	for (size_t i = 0; i < TELEMETRY_CHUNKS_LIMIT + 10; i++)
		tell(telemetry, &(struct told){arena_printf(&arena, ARN "t%zu", i).ptr, "", "app"}, NOW);
	seen = walk(telemetry, 0);
	assert_int_equal(seen.containers, TELEMETRY_CHUNKS_LIMIT + 10);
	assert_int_equal(seen.samples, TELEMETRY_CHUNKS_LIMIT);
	telemetry_free(telemetry);
}

TEST(containers_are_bounded_and_the_longest_silent_goes_first)
{
	struct telemetry *telemetry = telemetry_new();
	auto_arena arena = {0};

	for (size_t i = 0; i < TELEMETRY_CONTAINERS_LIMIT + 1; i++)
		tell(telemetry, &(struct told){arena_printf(&arena, ARN "t%zu", i).ptr, "", "app"}, NOW);
	assert_int_equal(walk(telemetry, 0).containers, TELEMETRY_CONTAINERS_LIMIT);
	telemetry_free(telemetry);
}

TEST(what_is_no_task_is_passed_over)
{
	static const char *const arns[] = {
		"", "a1", "task/prod/a1", "arn:aws:ecs:x:0:service/prod/a1", "arn:aws:ecs:x:0:task/a1", "arn:aws:ecs:x:0:task//a1",
		"arn:aws:ecs:x:0:task/prod/", "arn:aws:ecs:x:0:task/pr\nod/a1",
	};
	struct telemetry *telemetry = telemetry_new();

	for (size_t i = 0; i < COUNT(arns); i++)
		tell(telemetry, &(struct told){arns[i], "", "app"}, NOW);
	tell(telemetry, &(struct told){ARN "a1", "", "bad/name"}, NOW);
	tell(telemetry, &(struct told){ARN "a1", "", ""}, NOW);
	telemetry_take_metrics(telemetry, &(struct tcs_publish_metrics_request){0}, NOW);
	assert_int_equal(walk(telemetry, 0).containers, 0);
	telemetry_free(telemetry);
}

TEST(a_clock_that_is_far_off_is_not_believed)
{
	struct telemetry *telemetry = telemetry_new();
	struct tcs_container_metric container = {.container_name = S("app")};
	struct tcs_task_metric task = {.task_arn = S(ARN "a1"), .container_metrics = {&container, 1}};
	struct tcs_publish_metrics_request request = {.task_metrics = {&task, 1}, .timestamp = {1e18, true}};

	telemetry_take_metrics(telemetry, &request, NOW);
	assert_int_equal(walk(telemetry, 0).first.second, NOW / USEC_PER_SEC);
	telemetry_free(telemetry);
}

TEST(health_comes_beside)
{
	struct telemetry *telemetry = telemetry_new();
	struct tcs_container_health container = {.container_name = S("app"), .health_status = S("UNHEALTHY")};
	struct tcs_task_health task = {.task_arn = S(ARN "a1"), .containers = {&container, 1}};
	const struct tcs_publish_health_request request = {.tasks = {&task, 1}};
	struct wherry_telemetry_response answer;
	auto_arena arena = {0};

	telemetry_take_health(telemetry, &request, NOW);
	tell(telemetry, &(struct told){ARN "a1", "", "app"}, NOW);
	telemetry_take_health(telemetry, &request, NOW);
	telemetry_describe(telemetry, STR_NONE, NOW, &arena, &answer);
	EXPECT_STR(answer.tasks.items[0].health, S("UNHEALTHY"));
	telemetry_free(telemetry);
}

TEST(the_page_sums_by_task_service_and_cluster)
{
	struct telemetry *telemetry = telemetry_new();
	auto_buffer page = {0};

	tell(telemetry, &(struct told){ARN "a1", "fr\"ont", "app", .cpu = 1, .memory = 2, .written = 7}, NOW);
	tell(telemetry, &(struct told){ARN "a1", "fr\"ont", "side", .cpu = 2, .memory = 2}, NOW);
	tell(telemetry, &(struct told){ARN "b2", "", "app", .cpu = 4, .memory = 1}, NOW);
	telemetry_print(telemetry, NOW, &page);
	assert_true(str_contains(buffer_str(&page), S("wherry_task_cpu_percent{cluster=\"prod\",service=\"fr\\\"ont\",task=\"a1\"} 3\n")));
	assert_true(str_contains(buffer_str(&page), S("wherry_task_memory_bytes{cluster=\"prod\",task=\"b2\"} 1048576\n")));
	assert_true(str_contains(buffer_str(&page), S("wherry_service_cpu_percent{cluster=\"prod\",service=\"fr\\\"ont\"} 3\n")));
	assert_true(str_contains(buffer_str(&page), S("wherry_cluster_cpu_percent{cluster=\"prod\"} 7\n")));
	assert_true(str_contains(buffer_str(&page), S("wherry_cluster_storage_write_bytes_total{cluster=\"prod\"} 7\n")));
	assert_true(str_contains(buffer_str(&page), S("wherry_containers_left_out 0\n")));
	telemetry_free(telemetry);
}

TEST(the_page_and_the_answer_hold_so_many)
{
	struct telemetry *telemetry = telemetry_new();
	struct wherry_telemetry_response answer;
	auto_arena arena = {0};
	auto_buffer page = {0};

	for (size_t i = 0; i < TELEMETRY_ROWS_LIMIT + 1; i++)
		tell(telemetry, &(struct told){arena_printf(&arena, ARN "t%zu", i).ptr, "", "app"}, NOW);
	telemetry_describe(telemetry, STR_NONE, NOW, &arena, &answer);
	assert_int_equal(answer.tasks.count, TELEMETRY_ROWS_LIMIT);
	assert_true(answer.truncated.value);
	telemetry_print(telemetry, NOW, &page);
	assert_true(str_contains(buffer_str(&page), S("wherry_containers_left_out 1001\n")));
	telemetry_free(telemetry);
}
