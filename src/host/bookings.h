/* bookings.h - which container has which address and which host ports.
 *
 * One file an owner, written before anything is used and removed after everything is given back, so that
 * an agent that died half way, or another process, finds what has to be taken back. Processes exclude each
 * other with a lock on FOLDER/lock; a number in it tells each whether it has to read the files again.
 * A booked host port is also held by a bound socket of this process, so that no program on the host
 * gets it by chance: what listens there would never be reached. */
#pragma once
#include "host/network.h"

struct bookings;

struct bookings_options {
	struct str folder;
	uint32_t subnet;                                 /* 172.31.224.0 */
	unsigned prefix;
	uint32_t gateway;                                /* not to be given away */
	uint16_t port_low, port_high;
};

struct booking {
	struct str owner;
	uint32_t address;
	struct network_port ports[NETWORK_PORTS_LIMIT];
	size_t port_count;
};

struct bookings *bookings_new(const struct bookings_options *options);
void bookings_free(struct bookings *bookings);           /* lets the sockets go; the files stay */

/* Chooses and books an address and the host ports that are 0; the owner must have nothing booked.
 * Nothing is booked and `ports` is as it was when it fails. */
bool bookings_take(struct bookings *bookings, struct str owner, struct network_port *ports, size_t port_count,
		   uint32_t *ret_address, struct error *err);
/* Strings in `arena`. NULL when the owner has nothing. */
bool bookings_find(struct bookings *bookings, struct str owner, struct arena *arena, struct booking **ret_booking,
		   struct error *err);
bool bookings_release(struct bookings *bookings, const struct booking *booking, struct error *err);

/* Everyone's. Holds again what this process does not hold yet, as after its restart. */
bool bookings_all(struct bookings *bookings, struct arena *arena, struct booking ***ret_bookings, size_t *ret_count,
		  struct error *err);
/* Removes the folder and all in it. */
bool bookings_clear(struct bookings *bookings, struct error *err);
