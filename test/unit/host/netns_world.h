/* netns_world.h - a host of one's own, made of namespaces, for tests of what carries packets.
 *
 * The machine is not touched: each test runs in a child with network and mount namespaces of its own, which
 * play the host. A second namespace is another machine on the host's wire; it knows of nothing but the host's
 * own address. In the child cmocka's asserts would go on with the other tests: there, CHECK and CHECK_OK. */
#pragma once
#include <arpa/inet.h>
#include <stdio.h>
#include <unistd.h>
#include "base/error.h"
#include "test/test.h"

#define CHECK(condition) \
	do { \
		if (!(condition)) { \
			fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #condition); \
			_exit(1); \
		} \
	} while (0)
/* The call gives its reason to `err`, which is the world's; a `world` is in scope. */
#define CHECK_OK(call) \
	do { \
		struct error *err = &world->error; \
		if (!(call)) { \
			fprintf(stderr, "%s:%d: %s: %s\n", __FILE__, __LINE__, #call, err->text); \
			_exit(1); \
		} \
	} while (0)

enum {
	REACH_MSEC = 700,    /* longer and it is not reached */
	ARRIVE_MSEC = 10000, /* what should arrive may take this long on a busy machine */
};

#define HOST_ADDRESS "10.99.0.1"
#define OTHER_ADDRESS "10.99.0.2"

struct world {
	struct arena arena;
	struct error error;
	char folder[64];                                 /* the test's own, in memory */
	int host, other;                                 /* namespaces */
	struct network *network;                         /* what is tested: the one or the other */
	struct fabric *fabric;
	int64_t version;                                 /* of what the fabric was told last */
};

/* Makes what is tested, tries it, takes it away and checks that nothing is left. Fails where the child does;
 * skips without root. */
void world_run(void (*up)(struct world *world), void (*body)(struct world *world), void (*down)(struct world *world));

struct str path_of(struct world *world, const char *name);               /* in the world's folder */
size_t links(struct world *world, struct str prefix);
/* No such link is left: the kernel takes links away a moment after their namespace. */
bool settles(struct world *world, struct str prefix);
struct str ruleset(struct world *world);                                 /* nftables', as text */

/* --- who reaches whom --- */

int socket_in(int netns, int type, int protocol);                        /* does not block */
struct sockaddr_in address_of(const char *address, uint16_t port);
int serve(int netns, int type, const char *address, uint16_t port);
bool becomes_within(int fd, short events, int msec);

struct call {
	int caller, accepted;
	char from[INET_ADDRSTRLEN];                      /* whom the server sees */
};

/* Over tcp: both hear each other, each within `msec`. The call is open then, and empty otherwise. */
bool call_within(int server, int netns, const char *address, uint16_t port, int msec, struct call *call);
bool say(int from, int to, int msec);
void hang_up(struct call *call);                         /* fine when empty */

bool reaches(int server, int netns, const char *address, uint16_t port);
bool is_kept_out(int server, int netns, const char *address, uint16_t port);
/* Reaches, and the server sees `from`. */
bool reaches_as(const char *from, int server, int netns, const char *address, uint16_t port);
