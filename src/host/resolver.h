/* resolver.h - the DNS server that a VPC has at its base + 2 and at 169.254.169.253.
 *
 * One thread for all VPCs: it listens inside their namespaces, on udp and tcp, and forwards what is asked to the
 * nameservers of the host (resolv.conf, read again when it has changed). Names of the VPC's own addresses, ip-10-0-0-5.ec2.internal and
 * ip-10-0-0-5.REGION.compute.internal, it answers itself. Each question under way has a socket, and so a port, of its own;
 * there are at most RESOLVER_QUERIES_LIMIT, and what comes above is dropped as a busy server does. Thread-safe. */
#pragma once
#include "base/arena.h"
#include "base/error.h"
#include "base/ipv4.h"

enum {
	RESOLVER_QUERIES_LIMIT = 512,                    /* under way at once, over all VPCs */
	RESOLVER_PLACE_LIMIT = 128,                      /* of these, of one VPC: nobody takes the others' */
	RESOLVER_STREAMS_LIMIT = 64,                     /* of these, tcp */
	RESOLVER_ADDRESSES_LIMIT = 4,                    /* that it listens at in a VPC */
	RESOLVER_BLOCKS_LIMIT = 8,
};

struct resolver;

struct resolver_place {
	struct str vpc;
	int netns;
	uint32_t addresses[RESOLVER_ADDRESSES_LIMIT];    /* of this namespace */
	size_t address_count;
	struct ipv4_block blocks[RESOLVER_BLOCKS_LIMIT]; /* whose names are answered here */
	size_t block_count;
};

/* `resolv_conf` absent: /etc/resolv.conf. The thread starts with the first place, in its caller's namespace. */
bool resolver_new(struct str resolv_conf, struct resolver **ret_resolver, struct error *err);
void resolver_free(struct resolver *resolver);

bool resolver_add(struct resolver *resolver, const struct resolver_place *place, struct error *err);     /* or replaces it */
/* When it returns nothing holds the namespace any more. Fine when there is no such place. */
void resolver_remove(struct resolver *resolver, struct str vpc);
