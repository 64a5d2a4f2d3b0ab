/* nft.h - nftables: any change as text, and entries of a port map as fast as the kernel takes them.
 *
 * Either way one call is one transaction: all of it or nothing. Tables are of family ip. */
#pragma once
#include "base/error.h"
#include "os/netlink.h"

enum { NFT_PORTS_LIMIT = 128, NFT_ELEMENTS_LIMIT = 512, NFT_NAME_LIMIT = 31 };

/* An entry of `map NAME { type inet_proto . inet_service : ipv4_addr . inet_service; }` */
struct nft_port {
	uint8_t protocol;                                /* IPPROTO_TCP, IPPROTO_UDP */
	uint16_t host_port, container_port;
	uint32_t address;
};

/* In the language of nft(8). Costs 0.1 ms and more: for set-up, not for each container. */
bool nft_run(const char *commands, struct error *err);

/* Straight to the kernel, over a socket that is kept: closing one makes the kernel wait (10 ms) for what was removed. */
bool nft_open(struct netlink *netlink, struct error *err);
/* Entries that are there already with the same target are fine. */
bool nft_ports_add(struct netlink *netlink, struct str table, struct str map, const struct nft_port *ports,
		   size_t count, struct error *err);
/* Entries, or a table, that are not there are fine. */
bool nft_ports_remove(struct netlink *netlink, struct str table, struct str map, const struct nft_port *ports,
		      size_t count, struct error *err);

/* A change of a set or map whose keys (and values) are 4 bytes, here as they lie in the kernel's memory: addresses in
 * network order, marks in the host's. */
struct nft_element {
	struct str set;
	uint32_t key, value;
	bool is_map, remove;
};

/* In this order. One that is to be removed has to be there. Nothing is changed when it fails. */
bool nft_elements_change(struct netlink *netlink, struct str table, const struct nft_element *elements, size_t count,
			 struct error *err);
