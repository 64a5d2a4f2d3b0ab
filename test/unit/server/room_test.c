#include "server/room.h"
#include <sched.h>
#include <stdatomic.h>
#include "base/random.h"
#include "server/server.h"
#include "test/test.h"

enum { LIMIT = 100 };

struct client { struct room_claim claim; unsigned granted; };

static void note_grant(struct room_claim *claim)
{
	CONTAINER_OF(claim, struct client, claim)->granted++;
}

TEST(room_is_given_up_to_its_limit_and_not_a_byte_more)
{
	struct client first = {0}, second = {0}, third = {0};
	struct room room;

	room_init(&room, LIMIT, note_grant);
	assert_true(room_take(&room, &first.claim, LIMIT - 1));
	assert_true(room_take(&room, &second.claim, 1));
	assert_false(room_take(&room, &third.claim, 1));
	assert_int_equal(room_figures(&room).held, LIMIT);
	assert_int_equal(room_figures(&room).waiting, 1);
	room_give(&room, &second.claim);
	assert_int_equal(third.granted, 1);
	room_give(&room, &second.claim); /* it has none */
	room_give(&room, &third.claim);
	room_give(&room, &first.claim);
	assert_int_equal(room_figures(&room).held, 0);
	assert_int_equal(first.granted + second.granted, 0);
	room_fini(&room);
}

TEST(who_asked_first_is_not_overtaken_by_who_needs_less)
{
	struct client holder = {0}, large = {0}, small = {0};
	struct room room;

	room_init(&room, LIMIT, note_grant);
	assert_true(room_take(&room, &holder.claim, 1));
	assert_false(room_take(&room, &large.claim, LIMIT));
	assert_false(room_take(&room, &small.claim, 1));
	room_give(&room, &holder.claim);
	assert_int_equal(large.granted, 1);
	assert_int_equal(small.granted, 0);
	room_give(&room, &large.claim);
	assert_int_equal(small.granted, 1);
	room_give(&room, &small.claim);
	room_fini(&room);
}

TEST(who_waits_no_more_makes_way_for_the_next)
{
	struct client holder = {0}, large = {0}, small = {0};
	struct room room;

	room_init(&room, LIMIT, note_grant);
	assert_true(room_take(&room, &holder.claim, 1));
	assert_false(room_take(&room, &large.claim, LIMIT));
	assert_false(room_take(&room, &small.claim, LIMIT - 1));
	assert_true(room_cancel(&room, &large.claim));
	assert_int_equal(small.granted, 1);
	assert_false(room_cancel(&room, &large.claim));
	assert_false(room_cancel(&room, &small.claim)); /* it has its room */
	room_give(&room, &large.claim);
	room_give(&room, &small.claim);
	room_give(&room, &holder.claim);
	room_fini(&room);
}

TEST(the_largest_body_fits_into_an_empty_room)
{
	assert_true(SERVER_LOGS_BODY_LIMIT <= SERVER_BODIES_LIMIT);
	assert_true(SERVER_BODY_LIMIT <= SERVER_BODIES_LIMIT);
	assert_true(SERVER_BODY_SHARE <= SERVER_BODY_LIMIT);
}

/* ---- from many threads, as connections of several I/O threads do */
enum { THREADS = 4, TURNS = 5000 };

static atomic_size_t in_use;

struct visitor { struct room_claim claim; struct room *room; atomic_uint granted; uint64_t seed; };

static void note_visit(struct room_claim *claim)
{
	atomic_fetch_add(&CONTAINER_OF(claim, struct visitor, claim)->granted, 1);
}

/* False: it left without any room. */
static bool get_room(struct visitor *visitor, size_t bytes, bool patient)
{
	if (room_take(visitor->room, &visitor->claim, bytes))
		return true;
	if (!patient && room_cancel(visitor->room, &visitor->claim))
		return false;
	while (!atomic_load(&visitor->granted))
		sched_yield();
	atomic_store(&visitor->granted, 0);
	return true;
}

static void *visit(void *arg)
{
	struct visitor *visitor = arg;
	struct random random;

	random_init(&random, visitor->seed, 0);
	for (int i = 0; i < TURNS; i++) {
		size_t bytes = 1 + random_below(&random, LIMIT);

		if (!get_room(visitor, bytes, random_below(&random, 2)))
			continue;
		assert(atomic_fetch_add(&in_use, bytes) + bytes <= LIMIT);
		sched_yield();
		atomic_fetch_sub(&in_use, bytes);
		room_give(visitor->room, &visitor->claim);
	}
	return NULL;
}

TEST(whoever_waits_for_room_gets_it_and_never_is_more_given_than_there_is)
{
	struct visitor visitors[THREADS] = {0};
	pthread_t threads[THREADS];
	struct room room;

	room_init(&room, LIMIT, note_visit);
	for (size_t i = 0; i < THREADS; i++) {
		visitors[i].room = &room;
		visitors[i].seed = i;
		assert_int_equal(pthread_create(&threads[i], NULL, visit, &visitors[i]), 0);
	}
	for (size_t i = 0; i < THREADS; i++)
		pthread_join(threads[i], NULL);
	assert_int_equal(room_figures(&room).held, 0);
	room_fini(&room);
}
