/* task_address.h - http://169.254.170.2 in a network namespace: where a container finds its agent.
 *
 * The address is on lo, the socket on a port of the kernel's choice, bound to lo so that nothing from outside reaches it.
 * Two rules of a small nft table make it answer on port 80, without a state and without taking that port: a container
 * may serve 0.0.0.0:80 itself. In a namespace all of it goes with the namespace; an open socket keeps the namespace. */
#pragma once
#include "base/arena.h"
#include "base/error.h"

enum { TASK_ADDRESS_BACKLOG = 64, TASK_ADDRESS_TEXTS_LIMIT = 8 };

/* `netns`: path of the namespace, absent: the host's. `table`: name of the nft table. *ret_fd listens; it is the caller's.
 * The other addresses of the namespace (IPv4, as text) are told, too. Again and again is fine: the newest socket counts. */
bool task_address_open(struct str netns, struct str table, struct arena *arena, int *ret_fd, struct str **ret_addresses,
		       size_t *ret_count, struct error *err);

/* On the host, where the address may be another Wherry's, too: made again when somebody took it away. */
bool task_address_keep(struct error *err);
/* Takes address and table off the host; fine when they are not there. */
bool task_address_remove(struct str table, struct error *err);
