#include "server/room.h"
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
