#include "server/log_desk.h"
#include <errno.h>
#include <stdatomic.h>
#include <stdio.h>
#include <unistd.h>
#include "api/logs.h"
#include "os/clock.h"
#include "server/brain.h"
#include "server/log_search.h"
#include "test/test.h"

static void wake_nobody(struct outbox *outbox)
{
	(void)outbox;
}

struct bench {
	struct outbox outbox;
	char folder[32];
	struct log_store *store, *reader;
	struct log_desk *desk;
	atomic_uint answered, failures;
};

static void note_answer(void *self)
{
	atomic_fetch_add(&((struct bench *)self)->answered, 1);
}

static void note_failure(void *self, const struct error *error)
{
	(void)error;
	atomic_fetch_add(&((struct bench *)self)->failures, 1);
}

static void bench_init(struct bench *bench)
{
	struct error error;

	*bench = (struct bench){0};
	outbox_init(&bench->outbox, wake_nobody);
	snprintf(bench->folder, sizeof(bench->folder), "/tmp/wherry-desk-XXXXXX");
	assert_non_null(mkdtemp(bench->folder));
	assert_true(log_store_open(str_of(bench->folder), &bench->store, &error));
	assert_true(log_store_open(str_of(bench->folder), &bench->reader, &error));
	bench->desk = log_desk_start(&(struct log_desk_options){
		.store = bench->store, .reader = bench->reader, .answered = note_answer, .on_failure = note_failure, .self = bench});
}

static void bench_fini(struct bench *bench)
{
	char path[64];

	log_desk_stop(bench->desk);
	outbox_fini(&bench->outbox);
	log_store_close(bench->reader);
	log_store_close(bench->store);
	snprintf(path, sizeof(path), "%s/logs.db", bench->folder);
	unlink(path);
	assert_int_equal(rmdir(bench->folder), 0);
}

static struct logs_input_log_event one_event = {.timestamp = {5, true}, .message = STR_INIT("hello")};
static const struct logs_put_log_events_request put_input = {.log_events = {&one_event, 1}};
static const struct logs_get_log_events_request get_input = {.log_stream_name = STR_INIT("s")};
static struct str group_arn = STR_INIT("arn:g");
static const struct logs_start_live_tail_request tail_input = {.log_group_identifiers = {&group_arn, 1}};

static struct log_job *job_of(struct bench *bench, struct work *work, enum log_task task, enum logs_operation operation,
			      const void *input)
{
	struct log_stream_name stream = {7, S("s")}, group = {3, S("arn:g")};
	struct log_work work_for_desk = {
		.task = task, .ticket = (uintptr_t)work, .operation = &api_logs.operations[operation], .input = input,
		.streams = &stream, .stream_count = 1, .groups = &group, .group_count = 1,
		.event_count = task == LOG_PUT ? ((const struct logs_put_log_events_request *)input)->log_events.count : 1,
		.realm = S("1/r"), .group = S("g"),
	};
	if (work)
		*work = (struct work){.kind = WORK_CALL, .home = &bench->outbox, .protocol = &protocol_json_1_1,
				      .call = {.operation = &api_logs.operations[operation]}};
	return log_job_new(&work_for_desk);
}

static void give(struct bench *bench, struct work *work, enum log_task task, enum logs_operation operation, const void *input)
{
	struct link jobs;

	chain_init(&jobs);
	chain_append(&jobs, &job_of(bench, work, task, operation, input)->link);
	log_desk_take(bench->desk, &jobs);
}

/* The next thing that comes home. */
static struct work *await(struct bench *bench)
{
	usec deadline = clock_monotonic() + 20 * USEC_PER_SEC;

	while (clock_monotonic() < deadline) {
		struct work *work = NULL;

		pthread_mutex_lock(&bench->outbox.mutex);
		if (!chain_empty(&bench->outbox.works)) {
			work = CONTAINER_OF(bench->outbox.works.next, struct work, link);
			link_remove(&work->link);
		}
		pthread_mutex_unlock(&bench->outbox.mutex);
		if (work)
			return work;
		clock_sleep(200);
	}
	fail_msg("nothing came home");
	return NULL;
}

TEST(a_read_after_an_answered_put_finds_it)
{
	struct work put, get;
	struct bench bench;

	bench_init(&bench);
	give(&bench, &put, LOG_PUT, LOGS_OPERATION_PUT_LOG_EVENTS, &put_input);
	assert_ptr_equal(await(&bench), &put);
	give(&bench, &get, LOG_READ, LOGS_OPERATION_GET_LOG_EVENTS, &get_input);
	assert_ptr_equal(await(&bench), &get);
	assert_true(str_contains(buffer_str(&get.answer.body), S("\"message\":\"hello\"")));
	assert_int_equal(atomic_load(&bench.answered), 2);
	buffer_fini(&get.answer.body);
	bench_fini(&bench);
}

TEST(a_put_that_could_not_be_written_ends_everything)
{
	struct work put, again, get;
	struct bench bench;

	bench_init(&bench);
	log_store_fail_next(bench.store, ENOSPC);
	give(&bench, &put, LOG_PUT, LOGS_OPERATION_PUT_LOG_EVENTS, &put_input);
	assert_ptr_equal(await(&bench), &put);
	assert_int_equal(put.answer.status, 500);
	give(&bench, &again, LOG_PUT, LOGS_OPERATION_PUT_LOG_EVENTS, &put_input);
	assert_ptr_equal(await(&bench), &again);
	assert_int_equal(again.answer.status, 500);
	give(&bench, &get, LOG_READ, LOGS_OPERATION_GET_LOG_EVENTS, &get_input);
	assert_ptr_equal(await(&bench), &get);
	assert_int_equal(get.answer.status, 500);
	assert_int_equal(atomic_load(&bench.failures), 1);
	buffer_fini(&put.answer.body);
	buffer_fini(&again.answer.body);
	buffer_fini(&get.answer.body);
	bench_fini(&bench);
}

TEST(a_live_tail_comes_in_pieces_and_ends_with_its_client)
{
	struct work tail, put, *piece;
	struct bench bench;
	bool heard = false;

	bench_init(&bench);
	give(&bench, &tail, LOG_TAIL, LOGS_OPERATION_START_LIVE_TAIL, &tail_input);
	piece = await(&bench);
	assert_int_equal(piece->kind, WORK_STREAM);
	assert_ptr_equal(piece->stream_of, &tail);
	brain_work_free(piece);
	give(&bench, &put, LOG_PUT, LOGS_OPERATION_PUT_LOG_EVENTS, &put_input);
	while (!heard) {
		piece = await(&bench);
		if (piece == &put)
			continue;
		heard = str_contains(buffer_str(&piece->answer.body), S("hello"));
		brain_work_free(piece);
	}
	atomic_store(&tail.gone, true);
	while ((piece = await(&bench)) != &tail)
		brain_work_free(piece);
	assert_int_equal(tail.kind, WORK_STREAM_END);
	bench_fini(&bench);
}

TEST(a_stopping_desk_answers_what_it_was_given_and_ends_its_tails)
{
	struct work tail, put;
	struct bench bench;
	size_t home = 0;

	bench_init(&bench);
	give(&bench, &tail, LOG_TAIL, LOGS_OPERATION_START_LIVE_TAIL, &tail_input);
	give(&bench, &put, LOG_PUT, LOGS_OPERATION_PUT_LOG_EVENTS, &put_input);
	log_desk_stop(bench.desk);
	bench.desk = NULL;
	CHAIN_EACH(&bench.outbox.works, struct work, link, work)
	{
		link_remove(&work->link);
		home += work == &tail || work == &put;
		if (work->kind == WORK_STREAM)
			brain_work_free(work);
	}
	assert_int_equal(home, 2);
	bench_fini(&bench);
}

/* Each of the reads is busy until its client leaves or its time is over; the put does not wait for them. */
TEST(reads_do_not_hold_up_a_put)
{
	enum { READS = LOG_DESK_ROUND_LIMIT, EVENTS = 10000, MESSAGE = 1000 };
	static const struct logs_filter_log_events_request filter = {.filter_pattern = STR_INIT("%a*a*a*[bc]%")};
	static struct work reads[READS];
	struct logs_input_log_event *events;
	struct logs_put_log_events_request much;
	struct log_desk_figures before, now;
	struct work first, put, *home;
	auto_arena arena = {0};
	struct bench bench;
	struct link jobs;
	size_t read = 0;
	char *text;

	bench_init(&bench);
	text = memset(arena_alloc_bytes(&arena, MESSAGE), 'a', MESSAGE);
	events = arena_array(&arena, struct logs_input_log_event, EVENTS);
	for (size_t i = 0; i < EVENTS; i++)
		events[i] = (struct logs_input_log_event){.timestamp = {5, true}, .message = {text, MESSAGE}};
	much = (struct logs_put_log_events_request){.log_events = {events, EVENTS}};
	give(&bench, &first, LOG_PUT, LOGS_OPERATION_PUT_LOG_EVENTS, &much);
	assert_ptr_equal(await(&bench), &first);
	log_desk_figures(bench.desk, &before);
	chain_init(&jobs);
	for (size_t i = 0; i < READS; i++)
		chain_append(&jobs, &job_of(&bench, &reads[i], LOG_READ, LOGS_OPERATION_FILTER_LOG_EVENTS, &filter)->link);
	log_desk_take(bench.desk, &jobs);
	do {
		clock_sleep(200);
		log_desk_figures(bench.desk, &now);
	} while (now.rounds == before.rounds);
	give(&bench, &put, LOG_PUT, LOGS_OPERATION_PUT_LOG_EVENTS, &put_input);
	while ((home = await(&bench)) != &put)
		read++;
	assert_true(read < READS / 2);
	for (size_t i = 0; i < READS; i++)
		atomic_store(&reads[i].gone, true);
	for (; read < READS; read++)
		await(&bench);
	for (size_t i = 0; i < READS; i++)
		buffer_fini(&reads[i].answer.body);
	bench_fini(&bench);
}

/* ---- the search alone, whose first job is held until the others wait */
struct held_search {
	pthread_mutex_t held;
	atomic_uint begun, done, throttled;
};

static void end_held(void *self, struct log_job *job, const struct error *error)
{
	struct held_search *held = self;

	if (error && error->code == ERROR_THROTTLING) {
		atomic_fetch_add(&held->throttled, 1);
	} else {
		atomic_fetch_add(&held->begun, 1);
		pthread_mutex_lock(&held->held);
		pthread_mutex_unlock(&held->held);
		atomic_fetch_add(&held->done, 1);
	}
	log_job_free(job);
}

TEST(only_so_many_searches_wait)
{
	static struct work works[LOG_SEARCH_QUEUE_LIMIT + 2];
	struct held_search held = {.held = PTHREAD_MUTEX_INITIALIZER};
	struct log_search *search;
	struct bench bench;

	bench_init(&bench);
	log_desk_stop(bench.desk); /* its reader is ours now */
	bench.desk = NULL;
	search = log_search_start(&(struct log_search_options){.store = bench.reader, .done = end_held, .self = &held});
	pthread_mutex_lock(&held.held);
	for (size_t i = 0; i < COUNT(works); i++) {
		log_search_take(search, job_of(&bench, &works[i], LOG_READ, LOGS_OPERATION_GET_LOG_EVENTS, &get_input));
		while (i == 0 && !atomic_load(&held.begun))
			clock_sleep(200);
		assert_int_equal(atomic_load(&held.throttled), i > LOG_SEARCH_QUEUE_LIMIT);
	}
	pthread_mutex_unlock(&held.held);
	log_search_stop(search);
	assert_int_equal(atomic_load(&held.done), LOG_SEARCH_QUEUE_LIMIT + 1);
	for (size_t i = 0; i < COUNT(works); i++)
		buffer_fini(&works[i].answer.body);
	bench_fini(&bench);
}
