#include <errno.h>
#include <stdlib.h>
#include <unistd.h>
#include "base/random.h"
#include "logs/batch.h"
#include "logs/query.h"
#include "test/test.h"

/* A store with events, and a naive twin that knows where each belongs. */
enum { STREAMS = 4, EVENTS = 3000 };

struct event { int64_t timestamp; size_t order, stream; char message[24]; };

struct world {
	struct log_store *store;
	struct arena arena;
	struct event events[EVENTS];
	size_t count;
};

static const struct log_stream_name streams[STREAMS] = {{11, {"a", 1}}, {12, {"b", 1}}, {13, {"c", 1}}, {14, {"d", 1}}};

static void world_init(struct world *world)
{
	struct error error = {0};

	*world = (struct world){0};
	if (!log_store_open_memory(&world->store, &error))
		fail_msg("%s", error.text);
}

static void world_fini(struct world *world)
{
	log_store_close(world->store);
	arena_fini(&world->arena);
}

#define auto_world __attribute__((cleanup(world_fini))) struct world

static void put(struct world *world, size_t stream, const struct logs_input_log_event *events, size_t count)
{
	struct log_put one = {.stream = streams[stream].id, .now = 77, .realm = S("1/r"), .group = S("g"), .name = streams[stream].name,
			      .events = events, .count = count};
	struct error error = {0};

	if (!log_store_put(world->store, &one, 1, &error))
		fail_msg("%s", error.text);
	for (size_t i = 0; i < count; i++) {
		struct event *event = &world->events[world->count];

		*event = (struct event){events[i].timestamp.value, world->count, stream, ""};
		memcpy(event->message, events[i].message.ptr, events[i].message.len);
		world->count++;
	}
}

static void put_random(struct world *world, struct random *random, size_t size, int64_t span)
{
	struct logs_input_log_event *events = arena_array(&world->arena, struct logs_input_log_event, size);
	int64_t time = (int64_t)random_below(random, 5000);

	for (size_t i = 0; i < size; i++) {
		time += (int64_t)random_below(random, (uint64_t)span);
		events[i] = (struct logs_input_log_event){.timestamp = {time, true},
			.message = arena_printf(&world->arena, "event %zu", world->count + i)};
	}
	put(world, random_below(random, STREAMS), events, size);
}

static int by_time(const void *a, const void *b)
{
	const struct event *x = a, *y = b;

	if (x->timestamp != y->timestamp)
		return x->timestamp < y->timestamp ? -1 : 1;
	return (x->order > y->order) - (x->order < y->order);
}

static struct log_query query_of(size_t count)
{
	return (struct log_query){.streams = streams, .stream_count = count, .realm = S("1/r")};
}

static struct logs_get_log_events_response get(struct world *world, const struct logs_get_log_events_request *in, size_t stream)
{
	struct log_query query = {.streams = &streams[stream], .stream_count = 1};
	struct logs_get_log_events_response out = {0};
	struct error error = {0};

	if (!log_get_events(world->store, &query, in, &world->arena, &out, &error))
		fail_msg("%s", error.text);
	return out;
}

TEST(a_batch_reads_as_it_was_written)
{
	static const struct logs_input_log_event in[] = {
		{.timestamp = {1000, true}, .message = STR_INIT("one")}, {.timestamp = {1000, true}, .message = STR_INIT("")},
		{.timestamp = {1000 + 86400000, true}, .message = STR_INIT("three")}};
	struct log_event *events;
	struct error error = {0};
	auto_arena arena = {0};
	auto_buffer bytes = {0};
	size_t count;

	log_batch_encode(in, COUNT(in), &bytes);
	assert_true(log_batch_decode(buffer_str(&bytes), 1000, &arena, &events, &count, &error));
	assert_int_equal(count, 3);
	assert_int_equal(events[2].timestamp, 1000 + 86400000);
	EXPECT_STR(events[2].message, S("three"));
	for (size_t len = 0; len < bytes.len; len++)
		assert_false(log_batch_decode((struct str){bytes.bytes, len}, 1000, &arena, &events, &count, &error));
}

/* Small pages in both directions give the same as sorting everything. */
static void walk_stream(struct world *world, size_t stream, bool from_head, int limit)
{
	struct logs_get_log_events_request in = {.limit = {limit, true}, .start_from_head = {from_head, true}};
	size_t at = from_head ? 0 : world->count;

	for (;;) {
		struct logs_get_log_events_response page = get(world, &in, stream);
		struct str token = from_head ? page.next_forward_token : page.next_backward_token;

		for (size_t i = 0; i < page.events.count; i++) {
			size_t place = from_head ? i : page.events.count - 1 - i;

			if (from_head) {
				while (world->events[at].stream != stream)
					at++;
				EXPECT_STR(page.events.items[place].message, str_of(world->events[at++].message));
			} else {
				while (world->events[at - 1].stream != stream)
					at--;
				EXPECT_STR(page.events.items[place].message, str_of(world->events[--at].message));
			}
		}
		if (str_equal(token, in.next_token)) {
			assert_int_equal(page.events.count, 0);
			break;
		}
		in.next_token = token;
	}
	while (from_head ? at < world->count : at > 0)
		assert_int_not_equal(world->events[from_head ? at++ : --at].stream, stream);
}

TEST(pages_of_a_stream_are_whole_and_in_order_from_both_ends)
{
	struct random random;

	for (uint64_t seed = 1; seed <= 5; seed++) {
		auto_world world;

		world_init(&world);
		random_init(&random, seed, 1);
		for (int i = 0; i < 60; i++)
			put_random(&world, &random, 1 + random_below(&random, 40), 1 + random_below(&random, 20));
		qsort(world.events, world.count, sizeof(world.events[0]), by_time);
		for (size_t stream = 0; stream < STREAMS; stream++) {
			walk_stream(&world, stream, true, 7);
			walk_stream(&world, stream, false, 7);
			walk_stream(&world, stream, true, 10000);
		}
	}
}

/* One put over a day must not make every later read go back a day. */
TEST(a_put_over_a_whole_day_lies_in_rows_of_an_hour)
{
	struct logs_input_log_event sparse[24];
	struct log_stream_facts facts;
	struct error error = {0};
	auto_world world;
	bool known;

	world_init(&world);
	for (size_t i = 0; i < COUNT(sparse); i++)
		sparse[i] = (struct logs_input_log_event){.timestamp = {(int64_t)i * 3600000, true},
			.message = arena_printf(&world.arena, "hour %zu", i)};
	put(&world, 0, sparse, COUNT(sparse));
	for (size_t i = 0; i < COUNT(sparse); i++) {
		sparse[i].timestamp.value += i % 2 ? 1800000 : 0;
		sparse[i].message = arena_printf(&world.arena, "later %zu", i);
	}
	put(&world, 0, sparse, COUNT(sparse));
	assert_true(log_store_stream(world.store, streams[0].id, NULL, &known, &facts, &error));
	assert_true(known);
	assert_int_equal(facts.span, 3600000);
	qsort(world.events, world.count, sizeof(world.events[0]), by_time);
	walk_stream(&world, 0, true, 5);
	walk_stream(&world, 0, false, 5);
}

TEST(an_end_at_the_beginning_of_time_gives_tokens_that_are_taken)
{
	struct logs_get_log_events_request in = {.end_time = {0, true}};
	struct logs_get_log_events_response page;
	auto_world world;

	world_init(&world);
	page = get(&world, &in, 0);
	assert_int_equal(page.events.count, 0);
	in.next_token = page.next_backward_token;
	assert_int_equal(get(&world, &in, 0).events.count, 0);
}

TEST(a_filter_merges_streams_by_time)
{
	struct logs_filter_log_events_request in = {.limit = {13, true}};
	struct log_query query = query_of(STREAMS);
	struct error error = {0};
	struct random random;
	auto_world world;
	size_t at = 0;

	world_init(&world);
	random_init(&random, 3, 1);
	for (int i = 0; i < 60; i++)
		put_random(&world, &random, 1 + random_below(&random, 40), 20);
	qsort(world.events, world.count, sizeof(world.events[0]), by_time);
	do {
		struct logs_filter_log_events_response out = {0};

		assert_true(log_filter_events(world.store, &query, &in, &world.arena, &out, &error));
		for (size_t i = 0; i < out.events.count; i++, at++) {
			EXPECT_STR(out.events.items[i].message, str_of(world.events[at].message));
			EXPECT_STR(out.events.items[i].log_stream_name, streams[world.events[at].stream].name);
			assert_int_equal(out.events.items[i].event_id.len, 56);
		}
		in.next_token = out.next_token;
	} while (str_has(in.next_token));
	assert_int_equal(at, world.count);
}

static const struct logs_input_log_event three[] = {
	{.timestamp = {100, true}, .message = STR_INIT("one")}, {.timestamp = {200, true}, .message = STR_INIT("two")},
	{.timestamp = {300, true}, .message = STR_INIT("three")}};

TEST(ends_are_inclusive_or_not_as_aws_has_them)
{
	struct logs_filter_log_events_request filter = {.start_time = {200, true}, .end_time = {300, true}};
	struct logs_get_log_events_request in = {.start_time = {100, true}, .end_time = {300, true}};
	struct log_query query = query_of(1);
	struct logs_filter_log_events_response out = {0};
	struct error error = {0};
	auto_world world;

	world_init(&world);
	put(&world, 0, three, 3);
	assert_int_equal(get(&world, &in, 0).events.count, 2);
	assert_true(log_filter_events(world.store, &query, &filter, &world.arena, &out, &error));
	assert_int_equal(out.events.count, 2);
	query.oldest = 250;
	assert_true(log_filter_events(world.store, &query, &filter, &world.arena, &out, &error));
	assert_int_equal(out.events.count, 1);
}

TEST(new_events_come_with_the_token_of_the_end)
{
	static const struct logs_input_log_event later[] = {{.timestamp = {400, true}, .message = STR_INIT("four")}};
	struct logs_get_log_events_request in = {.start_from_head = {true, true}};
	struct logs_get_log_events_response page;
	auto_world world;

	world_init(&world);
	in.next_token = get(&world, &in, 0).next_forward_token;
	put(&world, 0, three, 3);
	page = get(&world, &in, 0);
	assert_int_equal(page.events.count, 3);
	in.next_token = page.next_forward_token;
	page = get(&world, &in, 0);
	EXPECT_STR(page.next_forward_token, in.next_token);
	put(&world, 0, later, 1);
	page = get(&world, &in, 0);
	assert_int_equal(page.events.count, 1);
	in.next_token = page.next_backward_token;
	page = get(&world, &in, 0);
	assert_int_equal(page.events.count, 3);
}

TEST(tokens_of_an_empty_stream_stay_good)
{
	for (int from_head = 0; from_head <= 1; from_head++) {
		struct logs_get_log_events_request in = {.start_from_head = {from_head, true}};
		struct logs_get_log_events_response first, page;
		auto_world world;

		world_init(&world);
		first = get(&world, &in, 0);
		in.next_token = first.next_backward_token;
		page = get(&world, &in, 0);
		EXPECT_STR(page.next_backward_token, in.next_token);
		in.next_token = first.next_forward_token;
		page = get(&world, &in, 0);
		EXPECT_STR(page.next_forward_token, in.next_token);
		put(&world, 0, three, 3);
		assert_int_equal(get(&world, &in, 0).events.count, 3);
	}
}

TEST(tokens_of_others_are_refused)
{
	static const char *const tokens[] = {"", "x", "f/1/s", "f/0000000000000100000000000000000000000000010000000000000x01/s"};
	struct log_query query = query_of(1);
	auto_world world;

	world_init(&world);
	for (size_t i = 0; i < COUNT(tokens); i++) {
		struct logs_get_log_events_request in = {.next_token = str_of(tokens[i])};
		struct logs_filter_log_events_request filter = {.next_token = str_of(tokens[i])};
		struct logs_filter_log_events_response found = {0};
		struct logs_get_log_events_response out = {0};
		struct error error = {0};

		assert_false(log_get_events(world.store, &query, &in, &world.arena, &out, &error));
		assert_string_equal(error.text, "The specified nextToken is invalid.");
		assert_false(log_filter_events(world.store, &query, &filter, &world.arena, &found, &error));
		assert_string_equal(error.text, "The specified nextToken is invalid.");
	}
}

TEST(a_page_has_at_most_a_mebibyte)
{
	struct logs_input_log_event events[4];
	struct logs_get_log_events_request in = {.start_from_head = {true, true}};
	struct logs_get_log_events_response page;
	auto_world world;

	world_init(&world);
	for (int i = 0; i < 4; i++)
		events[i] = (struct logs_input_log_event){.timestamp = {i + 1, true}, .message = arena_printf(&world.arena, "%0400000d", i)};
	assert_true(log_store_put(world.store, &(struct log_put){.stream = 11, .realm = S("r"), .group = S("g"), .name = S("a"),
				  .events = events, .count = 4}, 1, NULL));
	page = get(&world, &in, 0);
	assert_int_equal(page.events.count, 2);
	in.next_token = page.next_forward_token;
	assert_int_equal(get(&world, &in, 0).events.count, 2);
}

TEST(a_record_is_found_by_its_pointer_in_its_realm)
{
	struct logs_filter_log_events_request in = {.filter_pattern = S("two")};
	struct logs_filter_log_events_response found = {0};
	struct logs_get_log_record_response out = {0};
	struct log_query query = query_of(1);
	struct logs_get_log_record_request wanted;
	struct error error = {0};
	auto_world world;

	world_init(&world);
	put(&world, 0, three, 3);
	assert_true(log_filter_events(world.store, &query, &in, &world.arena, &found, &error));
	wanted = (struct logs_get_log_record_request){.log_record_pointer = found.events.items[0].event_id};
	assert_true(log_get_record(world.store, &query, &wanted, &world.arena, &out, &error));
	EXPECT_STR(out.log_record.items[3].value, S("two"));
	query.realm = S("2/r");
	assert_false(log_get_record(world.store, &query, &wanted, &world.arena, &out, &error));
	assert_int_equal(error.code, ERROR_RESOURCE_NOT_FOUND);
}

TEST(what_is_swept_is_gone)
{
	struct logs_get_log_events_request in = {0};
	struct error error = {0};
	struct log_swept swept;
	int64_t *known;
	auto_world world;
	size_t count;
	bool done;

	world_init(&world);
	put(&world, 0, three, 1);
	put(&world, 0, three + 1, 2);
	put(&world, 1, three, 3);
	assert_true(log_store_sweep(world.store, 11, 150, &done, &swept, &error));
	assert_true(done);
	assert_int_equal(swept.bytes, 3 + 26);
	assert_int_equal(swept.first, 200);
	assert_int_equal(get(&world, &in, 0).events.count, 2);
	assert_true(log_store_sweep(world.store, 11, INT64_MAX, &done, &swept, &error));
	assert_int_equal(get(&world, &in, 0).events.count, 0);
	assert_int_equal(get(&world, &in, 1).events.count, 3);
	assert_true(log_store_streams(world.store, &world.arena, &known, &count, &error));
	assert_int_equal(count, 1);
	assert_int_equal(known[0], 12);
}

TEST(a_sweep_that_failed_has_deleted_nothing_and_says_nothing)
{
	struct log_swept swept = {.bytes = -1, .first = -1};
	struct logs_get_log_events_request in = {0};
	struct error error = {0};
	auto_world world;
	bool done = false;

	world_init(&world);
	put(&world, 0, three, 3);
	log_store_fail_next(world.store, ENOSPC);
	assert_false(log_store_sweep(world.store, 11, INT64_MAX, &done, &swept, &error));
	assert_int_equal(error.os, ENOSPC);
	assert_false(done);
	assert_int_equal(swept.bytes, -1);
	assert_int_equal(swept.first, -1);
	assert_int_equal(get(&world, &in, 0).events.count, 3);
	assert_true(log_store_sweep(world.store, 11, INT64_MAX, &done, &swept, &error));
	assert_true(done);
	assert_int_equal(get(&world, &in, 0).events.count, 0);
}

TEST(a_large_stream_is_swept_piece_by_piece)
{
	struct error error = {0};
	struct log_swept swept;
	bool done = false;
	auto_world world;
	int steps = 0;

	world_init(&world);
	for (int i = 0; i < 200; i++)
		put(&world, 0, three, 1);
	for (; !done; steps++)
		assert_true(log_store_sweep(world.store, 11, INT64_MAX, &done, &swept, &error));
	assert_int_equal(steps, 4);
}

/* ---- much at once */

static void put_row(struct world *world, int64_t stream, int64_t first, int64_t step, struct str message, size_t count)
{
	struct logs_input_log_event *events = arena_array(&world->arena, struct logs_input_log_event, count);
	const struct log_put one = {.stream = stream, .now = 77, .realm = S("1/r"), .group = S("g"), .name = S("s"),
				    .events = events, .count = count};
	struct error error = {0};

	for (size_t i = 0; i < count; i++)
		events[i] = (struct logs_input_log_event){.timestamp = {first + (int64_t)i * step, true}, .message = message};
	if (!log_store_put(world->store, &one, 1, &error))
		fail_msg("%s", error.text);
}

TEST(rows_of_very_many_streams_are_merged_in_bounded_memory)
{
	enum { MANY = 600, ROUNDS = 4, ROW_EVENTS = 8, MESSAGE = 8000 };
	const struct log_range range = {.last = INT64_MAX};
	struct log_stream_name *many;
	struct log_cursor *cursor;
	struct log_found found;
	struct error error = {0};
	struct str message;
	auto_world world;
	bool has;

	world_init(&world);
	message = (struct str){memset(arena_alloc_bytes(&world.arena, MESSAGE), 'x', MESSAGE), MESSAGE};
	many = arena_array(&world.arena, struct log_stream_name, MANY);
	for (int64_t i = 0; i < MANY; i++) {
		many[i] = (struct log_stream_name){i + 1, S("s")};
		put_row(&world, i + 1, i, MANY, message, ROW_EVENTS);
	}
	assert_true((size_t)MANY * ROW_EVENTS * MESSAGE > LOG_CURSOR_BYTES_LIMIT);
	assert_true(log_cursor_open(world.store, many, MANY, &range, &cursor, &error));
	for (int64_t time = 0; time < MANY * ROUNDS; time++) {
		assert_true(log_cursor_next(cursor, &found, &has, &error));
		assert_true(has);
		assert_int_equal(found.position.timestamp, time);
		assert_int_equal(found.stream, time % MANY);
		assert_int_equal(found.message.len, MESSAGE);
		assert_true(log_cursor_held(cursor) <= LOG_CURSOR_BYTES_LIMIT + 2 * (64 << 10));
	}
	log_cursor_close(cursor);
}

/* All events of a search, page by page. */
static size_t filter_all(struct world *world, const struct log_query *query, int64_t *times, size_t limit, size_t *ret_pages)
{
	struct logs_filter_log_events_request in = {0};
	struct error error = {0};
	size_t count = 0;

	*ret_pages = 0;
	do {
		struct logs_filter_log_events_response out = {0};

		assert_true(log_filter_events(world->store, query, &in, &world->arena, &out, &error));
		for (size_t i = 0; i < out.events.count; i++) {
			assert_true(count < limit);
			times[count++] = out.events.items[i].timestamp.value;
		}
		in.next_token = out.next_token;
		++*ret_pages;
	} while (str_has(in.next_token));
	return count;
}

TEST(more_streams_than_the_limit_are_searched_lot_by_lot)
{
	enum { MANY = LOG_SCAN_STREAMS_LIMIT + 1 };
	static const int64_t lots[] = {200, 300, 100, 400};
	struct log_stream_name *many;
	struct log_query query;
	int64_t times[COUNT(lots)];
	auto_world world;
	size_t pages;

	world_init(&world);
	many = arena_array(&world.arena, struct log_stream_name, MANY);
	for (int64_t i = 0; i < MANY; i++)
		many[i] = (struct log_stream_name){MANY - i, S("s")};
	put_row(&world, 1, 300, 1, S("x"), 1);
	put_row(&world, LOG_SCAN_STREAMS_LIMIT, 200, 1, S("x"), 1);
	put_row(&world, MANY, 100, 300, S("x"), 2);
	query = (struct log_query){.streams = many, .stream_count = MANY, .realm = S("1/r")};
	assert_int_equal(filter_all(&world, &query, times, COUNT(times), &pages), COUNT(lots));
	assert_memory_equal(times, lots, sizeof(lots));
	assert_int_equal(pages, 2);
	query = (struct log_query){.streams = many + 1, .stream_count = MANY - 1, .realm = S("1/r")};
	assert_int_equal(filter_all(&world, &query, times, COUNT(times), &pages), 2);
	assert_int_equal(pages, 1);
}

static bool is_always_enough(void *arg)
{
	++*(size_t *)arg;
	return true;
}

TEST(who_has_enough_gets_a_page_with_a_token_and_misses_nothing)
{
	struct log_query query = query_of(STREAMS);
	int64_t times[3];
	size_t pages, asked = 0;
	auto_world world;

	world_init(&world);
	put(&world, 0, three, 3);
	query.is_enough = is_always_enough;
	query.arg = &asked;
	assert_int_equal(filter_all(&world, &query, times, COUNT(times), &pages), 3);
	assert_int_equal(times[2], 300);
	assert_int_equal(asked, 3);
	assert_int_equal(pages, 4);
}

TEST(a_reader_sees_one_state_while_another_store_writes)
{
	static const struct logs_get_log_events_request in = {.start_from_head = {true, true}};
	struct logs_get_log_events_response out = {0};
	struct log_query query = query_of(1);
	char folder[] = "/tmp/wherry-logs-XXXXXX";
	struct log_store *reader;
	struct log_swept swept;
	struct error error = {0};
	auto_arena names = {0};
	auto_world world;
	bool done;

	assert_non_null(mkdtemp(folder));
	world = (struct world){0};
	assert_true(log_store_open(str_of(folder), &world.store, &error));
	assert_true(log_store_open(str_of(folder), &reader, &error));
	put(&world, 0, three, 2);
	assert_true(log_store_begin_reading(reader, &error));
	assert_true(log_get_events(reader, &query, &in, &world.arena, &out, &error));
	assert_int_equal(out.events.count, 2);
	put(&world, 0, three + 2, 1);
	assert_true(log_store_sweep(world.store, 11, 150, &done, &swept, &error));
	assert_true(log_get_events(reader, &query, &in, &world.arena, &out, &error));
	assert_int_equal(out.events.count, 2);
	log_store_end_reading(reader);
	assert_true(log_get_events(reader, &query, &in, &world.arena, &out, &error));
	assert_int_equal(out.events.count, 3);
	log_store_close(reader);
	log_store_close(world.store);
	world.store = NULL;
	unlink(arena_printf(&names, "%s/logs.db", folder).ptr);
	assert_int_equal(rmdir(folder), 0);
}
