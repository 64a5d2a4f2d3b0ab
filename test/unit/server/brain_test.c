#include "server/brain.h"
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include "api/ecs.h"
#include "os/clock.h"
#include "server/server.h"
#include "test/test.h"

/* An I/O thread's place, seen by polling. */
static void wake_nobody(struct outbox *outbox)
{
	(void)outbox;
}

struct bench {
	struct outbox outbox;
	struct plane *plane;
	struct store *store;
	struct brain *brain;
	atomic_bool failed;
};

static void note_failure(void *self, const struct error *error)
{
	struct bench *bench = self;

	(void)error;
	atomic_store(&bench->failed, true);
}

static void bench_init_on(struct bench *bench, struct store *store)
{
	outbox_init(&bench->outbox, wake_nobody);
	bench->plane = plane_new(&(struct plane_options){.account = S("000000000000")});
	bench->store = store;
	atomic_store(&bench->failed, false);
	bench->brain = brain_start(&(struct brain_options){.plane = bench->plane,
							   .store = bench->store,
							   .on_failure = note_failure,
							   .self = bench});
}

static void bench_init(struct bench *bench) { bench_init_on(bench, store_open_memory()); }

static void bench_fini(struct bench *bench)
{
	brain_stop(bench->brain);
	outbox_fini(&bench->outbox);
	plane_free(bench->plane);
	store_close(bench->store);
}

static const struct ecs_create_cluster_request create_input = {.cluster_name = STR_INIT("one")};
static const struct ecs_list_clusters_request list_input;

static void submit(struct bench *bench, struct work *work, struct str name, const void *input)
{
	*work = (struct work){
		.kind = WORK_CALL,
		.home = &bench->outbox,
		.protocol = &protocol_json_1_1,
		.call = {.operation = api_find(&api_ecs, name),
			 .input = input,
			 .region = S("us-east-1"),
			 .caller = {.account = S("000000000000")}},
	};
	assert_true(brain_submit(bench->brain, work));
}

/* Waits for `count` works and writes the first answers down, in the order they came home. */
static struct str gather(struct bench *bench, size_t count, struct arena *arena)
{
	usec deadline = clock_monotonic() + 10 * USEC_PER_SEC;
	struct str text = S("");

	while (count && clock_monotonic() < deadline) {
		struct link works;

		outbox_take(&bench->outbox, &works);
		CHAIN_EACH(&works, struct work, link, work)
		{
			link_remove(&work->link);
			if (text.len < 4096)
				text = arena_printf(arena, "%.*s%d %.*s\n", STR(text),
						    work->answer.status,
						    STR(buffer_str(&work->answer.body)));
			buffer_fini(&work->answer.body);
			count--;
		}
		clock_sleep(200);
	}
	assert_int_equal(count, 0);
	return text;
}

static bool count_visit(void *arg, const struct store_change *change, struct error *err)
{
	size_t *count = arg;

	(void)change, (void)err;
	++*count;
	return true;
}

TEST(answers_come_home_in_order_and_after_their_records)
{
	struct bench bench;
	struct work works[3];
	struct error error;
	auto_arena arena = {0};
	size_t stored = 0;

	bench_init(&bench);
	submit(&bench, &works[0], S("ListClusters"), &list_input);
	submit(&bench, &works[1], S("CreateCluster"), &create_input);
	submit(&bench, &works[2], S("ListClusters"), &list_input);
	EXPECT_STR(gather(&bench, 3, &arena),
		   S("200 {\"clusterArns\":[]}\n"
		     "200 {\"cluster\":{\"clusterName\":\"one\",\"status\":\"ACTIVE\"}}\n"
		     "200 {\"clusterArns\":[\"one\"]}\n"));
	assert_true(store_load(bench.store, count_visit, &stored, &error));
	assert_int_equal(stored, 1);
	bench_fini(&bench);
}

TEST(after_a_failed_append_nothing_is_told_any_more)
{
	struct bench bench;
	struct work works[2];
	auto_arena arena = {0};
#define REFUSED                                                                                    \
	"500 {\"__type\":\"ServerException\",\"message\":\"Service Unavailable. Please try again " \
	"later.\"}\n"

	bench_init(&bench);
	store_memory_fail_next(bench.store, 28);
	submit(&bench, &works[0], S("CreateCluster"), &create_input);
	EXPECT_STR(gather(&bench, 1, &arena), S(REFUSED));
	assert_true(atomic_load(&bench.failed));
	assert_true(brain_is_failed(bench.brain));
	/* Reads, too: they would show what is not on disk. */
	submit(&bench, &works[1], S("ListClusters"), &list_input);
	EXPECT_STR(gather(&bench, 1, &arena), S(REFUSED));
	bench_fini(&bench);
}

/* A disk that takes its time: as long as somebody holds it. */
static pthread_mutex_t slow_disk = PTHREAD_MUTEX_INITIALIZER;
static atomic_bool is_appending;

static bool append_slowly(struct store *store, const struct store_change *changes, size_t count,
			  struct error *err)
{
	(void)store, (void)changes, (void)count, (void)err;
	atomic_store(&is_appending, true);
	pthread_mutex_lock(&slow_disk);
	pthread_mutex_unlock(&slow_disk);
	return true;
}

static void close_nothing(struct store *store)
{
	(void)store;
}

static const struct store_ops slow_ops = {.append = append_slowly, .close = close_nothing};

/* A first call makes a cluster, which the disk holds up. */
static void hold_up(struct bench *bench, struct work *first)
{
	usec deadline = clock_monotonic() + 10 * USEC_PER_SEC;

	atomic_store(&is_appending, false);
	pthread_mutex_lock(&slow_disk);
	submit(bench, first, S("CreateCluster"), &create_input);
	while (!atomic_load(&is_appending) && clock_monotonic() < deadline)
		clock_sleep(200);
	assert_true(atomic_load(&is_appending));
}

TEST(a_thousand_calls_share_few_commits)
{
	enum { CALLS = 1000 };
	struct store slow = {&slow_ops};
	struct bench bench;
	struct work *works = calloc(CALLS, sizeof(*works));
	struct brain_figures figures;
	auto_arena arena = {0};

	bench_init_on(&bench, &slow);
	hold_up(&bench, &works[0]);
	for (size_t i = 1; i < CALLS; i++)
		submit(&bench, &works[i], S("CreateCluster"), &create_input);
	pthread_mutex_unlock(&slow_disk);
	gather(&bench, CALLS, &arena);
	brain_figures(bench.brain, &figures);
	assert_int_equal(figures.changes, CALLS);
	assert_int_equal(figures.waiting, 0);
	assert_true(figures.commits <= CALLS / 100);
	bench_fini(&bench);
	free(works);
}

TEST(calls_beyond_the_limit_are_refused_until_some_came_home)
{
	struct store slow = {&slow_ops};
	struct bench bench;
	struct work *works = calloc(SERVER_QUEUE_LIMIT + 1, sizeof(*works)),
		    *last = &works[SERVER_QUEUE_LIMIT];
	auto_arena arena = {0};

	bench_init_on(&bench, &slow);
	hold_up(&bench, &works[0]);
	for (size_t i = 1; i < SERVER_QUEUE_LIMIT; i++)
		submit(&bench, &works[i], S("ListClusters"), &list_input);
	*last = (struct work){.kind = WORK_CALL,
			      .home = &bench.outbox,
			      .protocol = &protocol_json_1_1,
			      .call = works[1].call};
	assert_false(brain_submit(bench.brain, last));
	pthread_mutex_unlock(&slow_disk);
	gather(&bench, SERVER_QUEUE_LIMIT, &arena);
	assert_true(brain_submit(bench.brain, last));
	gather(&bench, 1, &arena);
	bench_fini(&bench);
	free(works);
}

TEST(stopping_brings_everything_home_first)
{
	struct bench bench;
	struct work works[50];
	auto_arena arena = {0};

	bench_init(&bench);
	for (size_t i = 0; i < COUNT(works); i++)
		submit(&bench, &works[i], S("ListClusters"), &list_input);
	brain_stop(bench.brain);
	bench.brain = NULL;
	gather(&bench, COUNT(works), &arena);
	bench_fini(&bench);
}
