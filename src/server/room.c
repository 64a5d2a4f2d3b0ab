#include "server/room.h"
#include <assert.h>

void room_init(struct room *room, size_t limit, void (*granted)(struct room_claim *claim))
{
	*room = (struct room){.limit = limit, .granted = granted};
	pthread_mutex_init(&room->mutex, NULL);
	chain_init(&room->claims);
}

void room_fini(struct room *room)
{
	assert(chain_empty(&room->claims));
	assert(room->held == 0);
	pthread_mutex_destroy(&room->mutex);
}

static bool fits(const struct room *room, size_t bytes)
{
	return bytes <= room->limit - room->held;
}

bool room_take(struct room *room, struct room_claim *claim, size_t bytes)
{
	bool taken;

	assert(!claim->bytes);
	assert(bytes <= room->limit);
	claim->bytes = bytes;
	pthread_mutex_lock(&room->mutex);
	taken = chain_empty(&room->claims) && fits(room, bytes);
	if (taken) {
		room->held += bytes;
	} else {
		chain_append(&room->claims, &claim->link);
		room->waiting++;
	}
	pthread_mutex_unlock(&room->mutex);
	return taken;
}

/* The first in line, when there is room for it now; NULL: nobody. */
static struct room_claim *next_claim(struct room *room)
{
	struct room_claim *claim = CONTAINER_OF(room->claims.next, struct room_claim, link);

	if (chain_empty(&room->claims) || !fits(room, claim->bytes))
		return NULL;
	link_remove(&claim->link);
	room->waiting--;
	room->held += claim->bytes;
	return claim;
}

/* After a change: whoever can have room now gets it. */
static void settle(struct room *room)
{
	struct room_claim *claim;

	while ((claim = next_claim(room)))
		room->granted(claim);
}

bool room_cancel(struct room *room, struct room_claim *claim)
{
	bool waited;

	pthread_mutex_lock(&room->mutex);
	waited = link_is_in(&claim->link);
	if (waited) {
		link_remove(&claim->link);
		room->waiting--;
		claim->bytes = 0;
		settle(room);
	}
	pthread_mutex_unlock(&room->mutex);
	return waited;
}

void room_give(struct room *room, struct room_claim *claim)
{
	if (!claim->bytes)
		return;
	pthread_mutex_lock(&room->mutex);
	assert(!link_is_in(&claim->link));
	assert(claim->bytes <= room->held);
	room->held -= claim->bytes;
	claim->bytes = 0;
	settle(room);
	pthread_mutex_unlock(&room->mutex);
}

struct room_figures room_figures(struct room *room)
{
	struct room_figures figures;

	pthread_mutex_lock(&room->mutex);
	figures = (struct room_figures){room->held, room->waiting};
	pthread_mutex_unlock(&room->mutex);
	return figures;
}
