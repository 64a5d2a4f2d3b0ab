/* fabric.h - this machine's part of the VPCs: interfaces for tasks, security groups, the way out.
 *
 * Each VPC that has an interface here is a network namespace of its own (RUN/vpc/VPC), so that two VPCs may have the
 * same addresses and never meet: in it a router, an nftables table with the security groups, the resolver (the VPC's base + 2,
 * and 169.254.169.253), and one veth to the host as the way out. A task's interface is a veth from its own namespace (`eth0`)
 * to that router, with a route of its own: all packets are filtered, and nobody can send from an address that is not its own.
 * Groups are nft sets and chains: a change is one transaction, after which every connection is judged anew.
 * Public addresses are mapped one to one; without one there is no way out of the VPC (neighbours 8.6).
 *
 * What must be so comes from the server (WatchNetwork); an interface that it has not told of is closed both ways.
 * Everything is found again by name after a crash. Netlink and libnftables; no programs. Thread-safe. docs/networking.md. */
#pragma once
#include "api/acs.h"
#include "api/wherry.h"
#include "base/arena.h"
#include "base/error.h"

enum {
	FABRIC_EMPTY_SECONDS = 60,                       /* what the next lone task could need is kept, then it goes: */
	FABRIC_EMPTY_VPCS_LIMIT = 16,                    /* … VPCs without interfaces, the oldest goes first */
	FABRIC_SPARE_GROUPS_LIMIT = 256,                 /* … chains of groups that no interface here needs, with nobody in them */
};

struct fabric;

struct fabric_options {
	struct str run;                                  /* RUN; what is kept lies in RUN/vpc */
	struct str prefix;                               /* of links on the host, "wherry": the ways out are "wherryv…" */
	struct str table;                                /* nft table on the host for the ways out: "wherry-vpc" */
	struct str public_cidr;                          /* of public addresses on this machine's side, absent: 198.18.0.0/15 */
	struct str resolv_conf;                          /* whose nameservers the VPCs' resolvers ask, absent: /etc/resolv.conf */
};

bool fabric_new(const struct fabric_options *options, struct fabric **ret_fabric, struct error *err);
void fabric_free(struct fabric *fabric);                 /* leaves everything as it is */

/* What the server said. Brings the VPCs here in line; idempotent. A group has its members as long as a told interface is in it,
 * or in one whose rules name it. What cannot be understood is closed, the rest is done; the error is the first. */
bool fabric_apply(struct fabric *fabric, const struct wherry_watch_network_response *news, struct error *err);

/* Takes away what has been kept for FABRIC_EMPTY_SECONDS by `now` (clock_monotonic). To be called every now and then. */
bool fabric_settle(struct fabric *fabric, usec now, struct error *err);

/* From now on nobody waits for what the server may say: the process ends. */
void fabric_stop_waiting(struct fabric *fabric);

/* A namespace pinned at `netns_path` with lo and the interface as eth0 (address, routes, 169.254.170.2/32 on lo for the task
 * endpoint). Waits up to `patience` until the server has told of the interface, so that its groups hold before the first packet.
 * Taken back whole when it fails. `owner`: the task's id. */
bool fabric_attach(struct fabric *fabric, struct str owner, struct str netns_path,
		   const struct acs_elastic_network_interface *eni, usec patience, struct error *err);
/* Takes back whatever `owner` has; fine when there is nothing. A VPC where nobody is attached, and of which the server tells no
 * interface, is empty: kept for a while when it is as it was told, otherwise removed. */
bool fabric_detach(struct fabric *fabric, struct str owner, struct str netns_path, struct error *err);

/* Removes all of it: namespaces, links, rules, files. The tasks' parts must be gone. */
bool fabric_down(struct fabric *fabric, struct error *err);
