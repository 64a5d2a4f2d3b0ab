/* room.h - memory for large bodies: a total over all connections, given in the order in which it is asked for.
 *
 * A body up to SERVER_BODY_SHARE needs none of it. A larger one is read when the whole of what it may need was given,
 * and gives it back when its request is answered; until then its socket is not read, so that its client's own window
 * holds it up. Nobody can wait for another in a circle: who holds room never asks for more, nothing that a holder waits
 * for needs room (connection.c asks only when no request of the same connection is before it), and every claim fits into an
 * empty room. Who is first in line is never overtaken. Any thread. */
#pragma once
#include <pthread.h>
#include <stdbool.h>
#include "base/list.h"

struct room_claim {                                      /* zeroed: has nothing */
	struct link link;                                /* while it waits */
	size_t bytes;                                    /* has, or waits for */
};

struct room {
	pthread_mutex_t mutex;
	size_t limit, held, waiting;
	struct link claims;
	void (*granted)(struct room_claim *claim);       /* in the thread of who gave back; does nothing with the room */
};

void room_init(struct room *room, size_t limit, void (*granted)(struct room_claim *claim));
void room_fini(struct room *room);

/* True: it has them. False: `granted` is called when it does, unless it is cancelled first. `bytes` is in the limit. */
bool room_take(struct room *room, struct room_claim *claim, size_t bytes);
/* True: it waits no more, and has nothing. False: it does not wait, or `granted` is called already. */
bool room_cancel(struct room *room, struct room_claim *claim);
/* Gives back what it has; nothing is fine. Not while it waits. */
void room_give(struct room *room, struct room_claim *claim);

struct room_figures { size_t held, waiting; };
struct room_figures room_figures(struct room *room);
