#include "host/network.h"
#include <assert.h>
#include <errno.h>
#include <limits.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include "base/buffer.h"
#include "base/ipv4.h"
#include "host/bookings.h"
#include "os/fd.h"
#include "os/file.h"
#include "os/netlink.h"
#include "os/netns.h"
#include "os/nft.h"

enum {
	BRIDGE_NAME_LIMIT = 9,                           /* "BRIDGE-65533" has to be a link's name */
	PREFIX_WIDEST = 16,
	PREFIX_NARROWEST = 29,
};

static const char forwarding[] = "/proc/sys/net/ipv4/ip_forward";
static const char local_ports[] = "/proc/sys/net/ipv4/ip_local_port_range";

struct network {
	struct arena arena;
	struct str bridge, table, state_folder;
	uint32_t gateway, subnet;
	unsigned prefix;
	struct bookings *bookings;
	/* Containers come and go under a read lock; the whole table is replaced under the write lock. */
	pthread_rwlock_t whole;
	pthread_mutex_t nft_mutex;                       /* of nft, opened when first needed */
	struct netlink nft;
};

/* --- options --- */

static bool parse_cidr(struct network *network, struct str cidr, struct error *err)
{
	struct ipv4_block block;

	if (!ipv4_block_parse(cidr, &block))
		return fail(err, ERROR_REFUSED, "bridge range '%.*s' is not like 172.31.224.1/20", STR(cidr));
	if (block.prefix < PREFIX_WIDEST || block.prefix > PREFIX_NARROWEST)
		return fail(err, ERROR_REFUSED, "bridge range '%.*s' is not an IPv4 address with /%d to /%d", STR(cidr),
			    PREFIX_WIDEST, PREFIX_NARROWEST);
	network->prefix = block.prefix;
	network->subnet = block.base;
	ipv4_parse(str_slice(cidr, 0, str_find(cidr, '/')), &network->gateway);
	if (network->gateway == network->subnet || network->gateway == (network->subnet | UINT32_MAX >> block.prefix))
		return fail(err, ERROR_REFUSED, "bridge range '%.*s': its address is the network's or broadcast's own",
			    STR(cidr));
	return true;
}

/* Docker's choice too when nothing is said. */
static bool kernel_port_range(uint16_t *ret_low, uint16_t *ret_high, struct error *err)
{
	auto_arena arena = {0};
	struct str text, low;
	uint64_t from, to;

	if (!file_read(AT_FDCWD, local_ports, 4096, &arena, &text, err))
		return false;
	text = str_trim(text);
	if (!str_cut(&text, '\t', &low) || !str_to_unsigned(low, &from) || !str_to_unsigned(text, &to) || from == 0 ||
	    from > to || to > UINT16_MAX)
		return fail(err, ERROR_OS, "%s is not two ports", local_ports);
	*ret_low = (uint16_t)from;
	*ret_high = (uint16_t)to;
	return true;
}

/* The names go into nft's language and into names of links. */
static bool is_plain(struct str name)
{
	for (size_t i = 0; i < name.len; i++) {
		char c = name.ptr[i];
		bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';

		if (!letter && !(i > 0 && c >= '0' && c <= '9'))
			return false;
	}
	return name.len > 0;
}

static bool check_options(const struct network_options *options, struct error *err)
{
	if (!is_plain(options->bridge) || options->bridge.len > BRIDGE_NAME_LIMIT)
		return fail(err, ERROR_REFUSED, "bridge name '%.*s' is not 1 to %d letters, digits or _",
			    STR(options->bridge), BRIDGE_NAME_LIMIT);
	if (!is_plain(options->table) || options->table.len > NFT_NAME_LIMIT)
		return fail(err, ERROR_REFUSED, "nft table name '%.*s' is not 1 to %d letters, digits or _",
			    STR(options->table), NFT_NAME_LIMIT);
	if (options->port_low > options->port_high || (!options->port_low && options->port_high))
		return fail(err, ERROR_REFUSED, "dynamic host ports %u-%u are not a range", options->port_low,
			    options->port_high);
	return true;
}

bool network_new(const struct network_options *options, struct network **ret_network, struct error *err)
{
	struct bookings_options book = {.port_low = options->port_low, .port_high = options->port_high};
	struct network *network;

	if (!check_options(options, err))
		return false;
	if (!book.port_low && !kernel_port_range(&book.port_low, &book.port_high, err))
		return false;
	network = calloc(1, sizeof(*network));
	assert(network);
	if (!parse_cidr(network, options->bridge_cidr, err)) {
		free(network);
		return false;
	}
	network->bridge = arena_copy(&network->arena, options->bridge);
	network->table = arena_copy(&network->arena, options->table);
	network->state_folder = arena_copy(&network->arena, options->state_folder);
	book.folder = network->state_folder;
	book.subnet = network->subnet;
	book.prefix = network->prefix;
	book.gateway = network->gateway;
	network->bookings = bookings_new(&book);
	pthread_rwlock_init(&network->whole, NULL);
	pthread_mutex_init(&network->nft_mutex, NULL);
	*ret_network = network;
	return true;
}

void network_free(struct network *network)
{
	if (!network)
		return;
	bookings_free(network->bookings);
	netlink_close(&network->nft);
	pthread_mutex_destroy(&network->nft_mutex);
	pthread_rwlock_destroy(&network->whole);
	arena_fini(&network->arena);
	free(network);
}

/* --- names that follow from the address, so that they can be found after a crash --- */

/* Locally administered, and the same whenever an address is used again: no neighbour remembers a wrong one. */
static struct netlink_mac mac_of(uint32_t address)
{
	return (struct netlink_mac){{0x0a, 0x57, (uint8_t)(address >> 24), (uint8_t)(address >> 16),
				     (uint8_t)(address >> 8), (uint8_t)address}};
}

/* "wherry0-7" is the host's end of what has the 7th address. */
static struct str link_of(const struct network *network, struct arena *arena, uint32_t address)
{
	return arena_printf(arena, "%.*s-%u", STR(network->bridge), (address - network->subnet) & 0xffff);
}

typedef bool change_map(struct netlink *netlink, struct str table, struct str map, const struct nft_port *ports,
			size_t count, struct error *err);

/* The kernel takes one transaction at a time anyway. */
static bool change_ports(struct network *network, change_map *change, const struct booking *booking, struct error *err)
{
	struct nft_port ports[NETWORK_PORTS_LIMIT];
	bool ok;

	static_assert((int)NETWORK_PORTS_LIMIT <= (int)NFT_PORTS_LIMIT, "one transaction a container");
	for (size_t i = 0; i < booking->port_count; i++)
		ports[i] = (struct nft_port){
			.protocol = booking->ports[i].udp ? IPPROTO_UDP : IPPROTO_TCP,
			.host_port = booking->ports[i].host_port,
			.container_port = booking->ports[i].container_port,
			.address = booking->address,
		};
	pthread_mutex_lock(&network->nft_mutex);
	ok = (network->nft.socket || nft_open(&network->nft, err)) &&
	     change(&network->nft, network->table, S("ports"), ports, booking->port_count, err);
	pthread_mutex_unlock(&network->nft_mutex);
	return ok;
}

/* --- the host's part --- */

static bool check_overlap(struct network *network, struct netlink *netlink, struct error *err)
{
	auto_arena arena = {0};
	struct netlink_ipv4 *items;
	uint32_t bridge;
	size_t count;

	if (!netlink_link_index(netlink, network->bridge, &bridge, err) ||
	    !netlink_ipv4_list(netlink, &arena, &items, &count, err))
		return false;
	for (size_t i = 0; i < count; i++) {
		unsigned prefix = MIN(items[i].prefix, network->prefix);
		uint32_t differs = items[i].address ^ network->gateway;

		if (items[i].link == bridge || (prefix && differs >> (32 - prefix)))
			continue;
		return fail(err, ERROR_REFUSED,
			    "the bridge's range %.*s/%u overlaps %.*s/%u of another link: choose one with --bridge-cidr",
			    STR(ipv4_text(&arena, network->gateway)), network->prefix,
			    STR(ipv4_text(&arena, items[i].address)), items[i].prefix);
	}
	return true;
}

static bool make_bridge(struct network *network, struct error *err)
{
	struct netlink_ipv4 address = {.address = network->gateway, .prefix = network->prefix};
	auto_netlink netlink = {0};

	return netlink_open(&netlink, err) && check_overlap(network, &netlink, err) &&
	       netlink_bridge_create(&netlink, network->bridge, mac_of(network->gateway), err) &&
	       netlink_link_index(&netlink, network->bridge, &address.link, err) &&
	       netlink_ipv4_add(&netlink, &address, err) && netlink_ipv4_localnet(&netlink, network->bridge, err);
}

/* Written only when needed: switching it resets other settings of every link. */
static bool forward_packets(struct error *err)
{
	auto_arena arena = {0};
	struct str text;

	if (!file_read(AT_FDCWD, forwarding, 64, &arena, &text, err))
		return false;
	return str_equal(str_trim(text), S("1")) || file_put(AT_FDCWD, forwarding, S("1"), err);
}

static void add_entries(struct buffer *text, struct booking *const *bookings, size_t count)
{
	auto_arena arena = {0};
	const char *before = "elements = { ";

	for (size_t i = 0; i < count; i++)
		for (size_t j = 0; j < bookings[i]->port_count; j++) {
			const struct network_port *port = &bookings[i]->ports[j];

			buffer_printf(text, "%s%s . %u : %.*s . %u", before, port->udp ? "udp" : "tcp", port->host_port,
				      STR(ipv4_text(&arena, bookings[i]->address)), port->container_port);
			before = ", ";
		}
	if (*before == ',')
		buffer_add(text, S(" }\n"));
}

/* docs/networking.md explains each rule. */
static void add_chains(struct buffer *text, struct str bridge, struct str subnet, unsigned prefix)
{
	buffer_printf(text,
		"chain guard { type filter hook prerouting priority raw; policy accept\n"
		"  iifname \"%.*s\" ip daddr 127.0.0.0/8 drop\n}\n"
		"chain prerouting { type nat hook prerouting priority dstnat; policy accept\n"
		"  fib daddr type local dnat ip to meta l4proto . th dport map @ports\n}\n"
		"chain output { type nat hook output priority -100; policy accept\n"
		"  fib daddr type local dnat ip to meta l4proto . th dport map @ports\n}\n",
		STR(bridge));
	buffer_printf(text,
		"chain postrouting { type nat hook postrouting priority srcnat; policy accept\n"
		"  ip saddr %.*s/%u oifname != \"%.*s\" masquerade\n"
		"  ip saddr 127.0.0.0/8 oifname \"%.*s\" masquerade\n"
		"  ip saddr %.*s/%u oifname \"%.*s\" ct status dnat masquerade\n}\n",
		STR(subnet), prefix, STR(bridge), STR(bridge), STR(subnet), prefix, STR(bridge));
	buffer_printf(text,
		"chain forward { type filter hook forward priority filter; policy accept\n"
		"  iifname != \"%.*s\" oifname \"%.*s\" ct state new ct status & dnat == 0 drop\n}\n",
		STR(bridge), STR(bridge));
}

/* Replaces the table with what the bookings say, in one transaction: also mends what a `flush ruleset` took. */
static bool make_table(struct network *network, struct error *err)
{
	auto_arena arena = {0};
	auto_buffer text = {0};
	struct booking **bookings;
	size_t count;

	if (!bookings_all(network->bookings, &arena, &bookings, &count, err))
		return false;
	buffer_printf(&text, "add table ip %.*s\ndelete table ip %.*s\ntable ip %.*s {\nmap ports {\n", STR(network->table),
		      STR(network->table), STR(network->table));
	buffer_add(&text, S("type inet_proto . inet_service : ipv4_addr . inet_service\n"));
	add_entries(&text, bookings, count);
	buffer_add(&text, S("}\n"));
	add_chains(&text, network->bridge, ipv4_text(&arena, network->subnet), network->prefix);
	buffer_append(&text, "}\n", sizeof("}\n"));
	return nft_run(text.bytes, err) ||
	       fail_context(err, "make table 'ip %.*s' (needs root, and nf_tables with nat, masq and fib)",
			    STR(network->table));
}

bool network_up(struct network *network, struct error *err)
{
	bool ok;

	pthread_rwlock_wrlock(&network->whole);
	ok = make_bridge(network, err) && forward_packets(err) && make_table(network, err);
	pthread_rwlock_unlock(&network->whole);
	return ok || fail_context(err, "container network");
}

static bool remove_links(struct network *network, struct error *err)
{
	auto_arena arena = {0};
	auto_netlink netlink = {0};

	return netlink_open(&netlink, err) &&
	       netlink_links_delete(&netlink, arena_printf(&arena, "%.*s-", STR(network->bridge)), err) &&
	       netlink_link_delete(&netlink, network->bridge, err);
}

static bool remove_table(struct network *network, struct error *err)
{
	auto_arena arena = {0};

	/* Adding it first makes the deletion fine when there is none. */
	return nft_run(arena_cstr(&arena, arena_printf(&arena, "add table ip %.*s\ndelete table ip %.*s\n",
						       STR(network->table), STR(network->table))), err);
}

bool network_down(struct network *network, struct error *err)
{
	bool ok;

	pthread_rwlock_wrlock(&network->whole);
	ok = remove_table(network, err) && remove_links(network, err) && bookings_clear(network->bookings, err);
	pthread_rwlock_unlock(&network->whole);
	return ok || fail_context(err, "take down the container network");
}

/* --- a container's part --- */

/* The address is ours: a link of that name is what a namespace that is still dying has left. */
static bool make_veth(struct netlink *outside, const struct netlink_veth *veth, struct error *err)
{
	struct error why = {0};

	if (netlink_veth_create(outside, veth, &why))
		return true;
	if (why.os != EEXIST)
		return fail(err, why.code, "%s", why.text);
	return netlink_link_delete(outside, veth->name, err) && netlink_veth_create(outside, veth, err);
}

/* Gives the namespace its eth0: the host's end, then the container's. */
static bool connect_netns(struct network *network, uint32_t address, int netns, struct error *err)
{
	auto_arena arena = {0};
	auto_netlink outside = {0}, inside = {0};
	struct netlink_veth veth = {
		.name = link_of(network, &arena, address),
		.peer = S("eth0"),
		.bridge = network->bridge,
		.peer_netns = netns,
		.peer_mac = mac_of(address),
	};
	struct netlink_ipv4 eth0 = {.address = address, .prefix = network->prefix};

	return netlink_open(&outside, err) && netlink_open_in(&inside, netns, err) && make_veth(&outside, &veth, err) &&
	       netlink_port_hairpin(&outside, veth.name, err) && netlink_link_up(&inside, veth.peer, err) &&
	       netlink_link_index(&inside, veth.peer, &eth0.link, err) && netlink_ipv4_add(&inside, &eth0, err) &&
	       netlink_ipv4_gateway(&inside, network->gateway, err) &&
	       netlink_link_settle(&inside, veth.peer, err) && netlink_link_settle(&outside, veth.name, err) &&
	       netlink_link_settle(&outside, network->bridge, err);
}

/* The ports come last: from then on the world may call. */
static bool connect_container(struct network *network, const struct booking *booking, struct str netns_path,
			      struct error *err)
{
	auto_fd netns = -1;

	return netns_create(netns_path, &netns, err) && connect_netns(network, booking->address, netns, err) &&
	       change_ports(network, nft_ports_add, booking, err);
}

/* In the order that leaves the booking for last: as long as anything is there, its name is.
 * The link goes with its namespace, a moment after the last process in it. Deleting it here would wait 40 ms
 * for the kernel's readers and keep every other change of the network waiting; the kernel itself does many at once. */
static bool take_back(struct network *network, const struct booking *booking, struct error *err)
{
	return change_ports(network, nft_ports_remove, booking, err) &&
	       bookings_release(network->bookings, booking, err);
}

static bool detach(struct network *network, struct str owner, struct str netns_path, struct error *err)
{
	auto_arena arena = {0};
	struct booking *booking;

	return bookings_find(network->bookings, owner, &arena, &booking, err) && netns_remove(netns_path, err) &&
	       (!booking || take_back(network, booking, err));
}

static bool attach(struct network *network, struct booking *booking, struct str netns_path, struct error *err)
{
	/* What an earlier try of the same owner left. */
	if (!detach(network, booking->owner, netns_path, err))
		return false;
	if (!bookings_take(network->bookings, booking->owner, booking->ports, booking->port_count, &booking->address,
			   err))
		return false;
	if (connect_container(network, booking, netns_path, err))
		return true;
	/* When this fails too, the booking stays, and the next detach finds it. */
	detach(network, booking->owner, netns_path, NULL);
	return false;
}

bool network_attach_bridge(struct network *network, struct str owner, struct str netns_path,
			   struct network_port *ports, size_t port_count, struct arena *arena,
			   struct str *ret_address, struct error *err)
{
	struct booking booking = {.owner = owner, .port_count = port_count};
	bool ok;

	if (port_count > NETWORK_PORTS_LIMIT)
		return fail(err, ERROR_REFUSED, "%zu port mappings: a container has at most %d", port_count,
			    NETWORK_PORTS_LIMIT);
	if (port_count)
		memcpy(booking.ports, ports, port_count * sizeof(*ports));
	pthread_rwlock_rdlock(&network->whole);
	ok = attach(network, &booking, netns_path, err);
	pthread_rwlock_unlock(&network->whole);
	if (!ok)
		return false;
	if (port_count)
		memcpy(ports, booking.ports, port_count * sizeof(*ports));
	*ret_address = ipv4_text(arena, booking.address);
	return true;
}

bool network_attach_none(struct network *network, struct str netns_path, struct error *err)
{
	auto_fd netns = -1;

	return netns_remove(netns_path, err) && netns_create(netns_path, &netns, err);
}

bool network_detach(struct network *network, struct str owner, struct str netns_path, struct error *err)
{
	bool ok;

	pthread_rwlock_rdlock(&network->whole);
	ok = detach(network, owner, netns_path, err);
	pthread_rwlock_unlock(&network->whole);
	return ok || fail_context(err, "take back the network of '%.*s'", STR(owner));
}
