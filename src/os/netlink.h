/* netlink.h - links, addresses and routes of the kernel, without running programs.
 *
 * A socket belongs to the network namespace the calling thread was in when it was opened, and to one
 * thread at a time; opening one is cheap. Addresses are numbers in host byte order, 0xac1fe001 is 172.31.224.1.
 * IPv6 will be functions of its own beside the _ipv4 ones. */
#pragma once
#include "base/arena.h"
#include "base/error.h"

enum { NETLINK_NAME_LIMIT = 15 };                        /* bytes of a link's name: the kernel's */

struct mnl_socket;
struct nlmsghdr;

struct netlink {
	struct mnl_socket *socket;
	uint32_t sequence;
	char note[160];                                  /* the kernel's own words for the last failure */
};

struct netlink_mac {
	uint8_t bytes[6];
};

struct netlink_veth {
	struct str name, peer;                           /* our end; the end in the other namespace */
	struct str bridge;                               /* our end is a port of it; absent: of none */
	int peer_netns;
	struct netlink_mac peer_mac, mac;                /* mac, of our end: all 0 is the kernel's choice */
};

struct netlink_ipv4 {
	uint32_t link;                                   /* index */
	uint32_t address;
	unsigned prefix;
	bool alone;                                      /* the rest of the prefix is not to be looked for on the link */
};

struct netlink_route {
	uint32_t target;
	unsigned prefix;                                 /* 0: everything */
	uint32_t link;                                   /* 0: unreachable */
	uint32_t gateway;                                /* 0: the target itself is on the link. Needs no route of its own */
};

bool netlink_open(struct netlink *netlink, struct error *err);
bool netlink_open_in(struct netlink *netlink, int netns, struct error *err);
void netlink_close(struct netlink *netlink);             /* safe when zeroed */
#define auto_netlink __attribute__((cleanup(netlink_close))) struct netlink

/* 0 when there is no link of that name. */
bool netlink_link_index(struct netlink *netlink, struct str name, uint32_t *ret_index, struct error *err);
bool netlink_link_up(struct netlink *netlink, struct str name, struct error *err);
/* The kernel notices in the background that a link has a carrier, and drops what is sent until then; asking makes it
 * notice now (since Linux 6.8). Without it the first SYN of a container may be lost, and a second with it. */
bool netlink_link_settle(struct netlink *netlink, struct str name, struct error *err);
bool netlink_link_delete(struct netlink *netlink, struct str name, struct error *err);   /* fine when there is none */
/* All whose name starts so. */
bool netlink_links_count(struct netlink *netlink, struct str prefix, size_t *ret_count, struct error *err);
bool netlink_links_delete(struct netlink *netlink, struct str prefix, struct error *err);

/* Fine when there is one; a link of that name and another kind is an error. */
bool netlink_bridge_create(struct netlink *netlink, struct str name, struct netlink_mac mac, struct error *err);
/* Our end is up; the kernel wants the other set up from inside. */
bool netlink_veth_create(struct netlink *netlink, const struct netlink_veth *veth, struct error *err);
/* Lets a port of a bridge send back what came from it: a container reaching its own host port. */
bool netlink_port_hairpin(struct netlink *netlink, struct str name, struct error *err);

bool netlink_ipv4_add(struct netlink *netlink, const struct netlink_ipv4 *address, struct error *err); /* idempotent */
bool netlink_ipv4_remove(struct netlink *netlink, const struct netlink_ipv4 *address, struct error *err);  /* fine when it is not there */
bool netlink_ipv4_list(struct netlink *netlink, struct arena *arena, struct netlink_ipv4 **ret_items,
		       size_t *ret_count, struct error *err);
bool netlink_ipv4_gateway(struct netlink *netlink, uint32_t gateway, struct error *err);
/* In the main table; fine when there is one, which it replaces. */
bool netlink_route_add(struct netlink *netlink, const struct netlink_route *route, struct error *err);
bool netlink_route_delete(struct netlink *netlink, const struct netlink_route *route, struct error *err); /* fine when none */
/* Who has the address on this link, for good: nobody is asked. */
bool netlink_neighbour_add(struct netlink *netlink, uint32_t link, uint32_t address, struct netlink_mac mac,
			   struct error *err);
/* Lets 127.0.0.1 be a source and a target on this link, which a port on localhost needs. */
bool netlink_ipv4_localnet(struct netlink *netlink, struct str name, struct error *err);

/* The floor below, shared with nft.c: sends a message (or batch of one answer) and waits for the answer.
 * 0 or an errno; `visit` sees what comes before the answer. */
typedef void netlink_visit(const struct nlmsghdr *message, void *arg);
bool netlink_open_bus(struct netlink *netlink, int bus, struct error *err);
int netlink_talk(struct netlink *netlink, const void *bytes, size_t len, netlink_visit *visit, void *arg);
