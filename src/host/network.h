/* network.h - a container's network: host, bridge with port mappings, none.
 *
 * Netlink and nftables directly, one transaction a change, no programs run. The bridge `wherry0` has
 * 172.31.224.1/20 (--bridge-cidr changes it); each container in bridge mode has a network namespace
 * of its own, pinned at RUN/tasks/TASK/C/netns, with eth0 and an address from the bridge's range. Host ports
 * are entries of nft maps in the table `ip wherry`; the ports also answer on 127.0.0.1. Everything can be
 * taken back by name after a crash of the agent. */
#pragma once
#include "base/arena.h"
#include "base/error.h"

enum { NETWORK_PORTS_LIMIT = 100 };                      /* mappings a container */

struct network;

struct network_options {
	struct str bridge;                               /* "wherry0" */
	struct str bridge_cidr;                          /* "172.31.224.1/20" */
	struct str table;                                /* nft table: "wherry" */
	struct str state_folder;                         /* RUN/network: who has which address and ports, a file each */
	uint16_t port_low, port_high;                    /* for host port 0 (ECS_DYNAMIC_HOST_PORT_RANGE); 0, 0: the kernel's */
};

struct network_port {
	uint16_t container_port, host_port;              /* host_port 0: chosen, and written back */
	bool udp;
	uint16_t block;                                  /* with host_port 0: so many from here on get ports in a row; 0: one */
};

bool network_new(const struct network_options *options, struct network **ret_network, struct error *err);
void network_free(struct network *network);              /* leaves the network as it is */

/* Makes the bridge, the table, forwarding: idempotent; called before the first attach. Mends what others broke: a table
 * that was flushed comes back with the ports of the containers that run. */
bool network_up(struct network *network, struct error *err);
/* Removes all of it; the containers' parts must be gone. Leaves no link, rule, map or file. */
bool network_down(struct network *network, struct error *err);

/* A namespace pinned at `netns_path` with lo up; with `ports`/address when it is for bridge mode. Thread-safe.
 * Taken back whole when it fails. *ret_address in `arena`, "172.31.224.7". */
bool network_attach_bridge(struct network *network, struct str owner, struct str netns_path,
			   struct network_port *ports, size_t port_count, struct arena *arena,
			   struct str *ret_address, struct error *err);
bool network_attach_none(struct network *network, struct str netns_path, struct error *err);

/* Takes back whatever `owner` (TASK/CONTAINER) has: ports, address, namespace. Fine when there is nothing. The veth
 * goes with the namespace, in the background, once its last process is gone (network_down waits for neither). */
bool network_detach(struct network *network, struct str owner, struct str netns_path, struct error *err);
