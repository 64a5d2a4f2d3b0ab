/* A VPC's namespace: a router without a bridge. Each interface is a point-to-point veth with a
 * route of its own, so that all packets, those between two tasks of this machine too, pass the
 * forward hook, and rp_filter sees who may send as whom. */
#include <assert.h>
#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include "host/fabric_private.h"
#include "os/fd.h"
#include "os/file.h"
#include "os/netns.h"

/* Routers have one mac everywhere: links are point to point, and nobody has to ask. */
static const struct netlink_mac router_mac = {{0x0e, 0x57, 0, 0, 0, 1}};
static const struct netlink_mac host_mac = {{0x0e, 0x57, 0, 0, 0, 2}};

enum {
	LOOPBACK = 1,                                    /* its index in every namespace */
	TASK_ENDPOINT = (int)0xa9feaa02,                 /* 169.254.170.2 */
	VPC_RESOLVER = (int)0xa9fea9fd,                  /* 169.254.169.253 */
	LINK_HASH_MASK = 0xfffffff,                      /* what a link's name has room for */
	TASK_LINK_NAMES = 16,                            /* for one address */
};

static const char forwarding[] = "/proc/sys/net/ipv4/ip_forward";

void vpc_name_link(struct fabric *fabric, struct vpc *vpc, uint64_t try)
{
	vpc->link_try = try;
	vpc->link = arena_printf(&vpc->arena, "%.*sv%07x", STR(fabric->prefix),
				 (unsigned)(str_hash(vpc->id, try) & LINK_HASH_MASK));
}

static bool link_is_taken(struct fabric *fabric, struct str link)
{
	struct vpc *other;

	for (size_t at = 0; (other = map_next(&fabric->vpcs, &at));)
		if (str_equal(other->link, link))
			return true;
	return false;
}

struct vpc *vpc_new(struct fabric *fabric, struct str id)
{
	struct vpc *vpc = calloc(1, sizeof(*vpc));
	uint64_t try = 0;

	assert(vpc);
	vpc->id = arena_copy(&vpc->arena, id);
	vpc->folder = arena_printf(&vpc->arena, "%.*s/%.*s", STR(fabric->folder), STR(id));
	do
		vpc_name_link(fabric, vpc, try++);
	while (link_is_taken(fabric, vpc->link));
	vpc->netns = -1;
	return vpc;
}

void vpc_free(struct vpc *vpc)
{
	netlink_close(&vpc->nft);
	fd_close(&vpc->netns);
	list_fini(&vpc->changes);
	arena_fini(&vpc->arena);
	free(vpc);
}

static struct str pin_of(struct vpc *vpc, struct arena *arena)
{
	return arena_printf(arena, "%.*s/netns", STR(vpc->folder));
}

/* --- the host's side --- */

/* Written only when needed: switching it resets other settings of every link. */
static bool put_setting(const char *path, struct str value, struct error *err)
{
	auto_arena arena = {0};
	struct str text;

	if (!file_read(AT_FDCWD, path, 64, &arena, &text, err))
		return false;
	return str_equal(str_trim(text), value) || file_put(AT_FDCWD, path, value, err);
}

bool vpc_host_ready(struct fabric *fabric, struct error *err)
{
	if (fabric->host_is_ready)
		return true;
	fabric->host_is_ready = (fabric->host.socket || netlink_open(&fabric->host, err)) &&
				put_setting(forwarding, S("1"), err) && rules_host_table(fabric, true, err);
	return fabric->host_is_ready;
}

bool vpc_publish(struct fabric *fabric, struct vpc *vpc, uint32_t address, bool wanted, struct error *err)
{
	struct netlink_route route = {.target = address, .prefix = 32};

	if (!netlink_link_index(&fabric->host, vpc->link, &route.link, err))
		return false;
	if (!route.link)
		return !wanted || fail(err, ERROR_NOT_FOUND, "there is no link '%.*s'", STR(vpc->link));
	if (!wanted)
		return netlink_route_delete(&fabric->host, &route, err);
	return netlink_neighbour_add(&fabric->host, route.link, address, router_mac, err) &&
	       netlink_route_add(&fabric->host, &route, err);
}

/* --- the namespace --- */

static bool open_pin(struct vpc *vpc, struct error *err)
{
	auto_arena arena = {0};
	int back;

	if (vpc->netns >= 0)
		return true;
	vpc->netns = open(arena_cstr(&arena, pin_of(vpc, &arena)), O_RDONLY | O_CLOEXEC);
	/* A crash, or a reboot with RUN on a disk, may have left the file without the namespace. */
	if (vpc->netns >= 0 && netns_enter(vpc->netns, &back, err)) {
		netns_leave(back);
		return true;
	}
	fd_close(&vpc->netns);
	return netns_remove(pin_of(vpc, &arena), err) && netns_create(pin_of(vpc, &arena), &vpc->netns, err);
}

static bool set_router(struct vpc *vpc, struct error *err)
{
	int back;
	bool ok;

	if (!netns_enter(vpc->netns, &back, err))
		return false;
	ok = put_setting(forwarding, S("1"), err) && put_setting("/proc/sys/net/ipv4/conf/all/rp_filter", S("1"), err) &&
	     put_setting("/proc/sys/net/ipv4/conf/all/send_redirects", S("0"), err);
	netns_leave(back);
	return ok;
}

/* A link of that name belongs to a namespace that is still dying, or that nobody knows any more. */
static bool make_veth(struct netlink *netlink, const struct netlink_veth *veth, struct error *err)
{
	struct error why = {0};

	if (netlink_veth_create(netlink, veth, &why))
		return true;
	if (why.os != EEXIST)
		return fail(err, why.code, "%s", why.text);
	return netlink_link_delete(netlink, veth->name, err) && netlink_veth_create(netlink, veth, err);
}

static bool make_way_out(struct fabric *fabric, struct vpc *vpc, struct netlink *inside, struct error *err)
{
	struct netlink_veth veth = {.name = vpc->link, .peer = WAY_OUT_LINK, .peer_netns = vpc->netns,
				    .peer_mac = router_mac, .mac = host_mac};
	struct netlink_ipv4 address = {.address = WAY_OUT_ADDRESS, .prefix = 32};
	struct netlink_route everything = {.gateway = WAY_OUT_ADDRESS};

	if (!netlink_link_index(inside, veth.peer, &everything.link, err))
		return false;
	if (!everything.link && (!make_veth(&fabric->host, &veth, err) ||
				 !netlink_link_index(inside, veth.peer, &everything.link, err)))
		return false;
	return netlink_link_index(&fabric->host, veth.name, &address.link, err) &&
	       netlink_ipv4_add(&fabric->host, &address, err) && netlink_link_up(inside, veth.peer, err) &&
	       netlink_neighbour_add(inside, everything.link, WAY_OUT_ADDRESS, host_mac, err) &&
	       netlink_route_add(inside, &everything, err) && netlink_link_settle(inside, veth.peer, err) &&
	       netlink_link_settle(&fabric->host, veth.name, err);
}

/* What nobody here has goes nowhere, least of all out. (Other machines' interfaces will have routes
 * of their own.) */
static bool make_routes(struct vpc *vpc, struct netlink *inside, struct error *err)
{
	for (size_t i = 0; i < vpc->block_count; i++) {
		struct netlink_route route = {.target = vpc->blocks[i].base, .prefix = vpc->blocks[i].prefix};

		if (!netlink_route_add(inside, &route, err))
			return false;
	}
	return true;
}

static bool make_resolver(struct fabric *fabric, struct vpc *vpc, struct netlink *inside, struct error *err)
{
	struct resolver_place place = {.vpc = vpc->id, .netns = vpc->netns, .addresses = {(uint32_t)VPC_RESOLVER},
				       .address_count = 1, .block_count = vpc->block_count};

	if (!vpc->wants_resolver) {
		resolver_remove(fabric->resolver, vpc->id);
		return true;
	}
	static_assert((int)VPC_BLOCKS_LIMIT == (int)RESOLVER_BLOCKS_LIMIT, "each block's names");
	memcpy(place.blocks, vpc->blocks, sizeof(place.blocks));
	if (vpc->block_count)
		place.addresses[place.address_count++] = vpc->blocks[0].base + 2;
	for (size_t i = 0; i < place.address_count; i++) {
		struct netlink_ipv4 address = {.link = LOOPBACK, .address = place.addresses[i], .prefix = 32};

		if (!netlink_ipv4_add(inside, &address, err))
			return false;
	}
	return resolver_add(fabric->resolver, &place, err);
}

static bool publish_all(struct fabric *fabric, struct vpc *vpc, struct error *err)
{
	struct interface *interface;

	for (size_t at = 0; (interface = map_next(&fabric->interfaces, &at));)
		if (interface->public_address && str_equal(interface->said->vpc, vpc->id) &&
		    !vpc_publish(fabric, vpc, interface->public_address, true, err))
			return false;
	return true;
}

/* Only of one whose link is not named as one would think, which is rare: the next agent has to know. */
static bool write_link_try(struct vpc *vpc, struct error *err)
{
	auto_arena arena = {0};

	return vpc->link_try == 0 ||
	       file_write(AT_FDCWD, arena_cstr(&arena, arena_printf(&arena, "%.*s/" VPC_LINK_FILE, STR(vpc->folder))),
			  arena_printf(&arena, "%llu\n", (unsigned long long)vpc->link_try), 0600, err);
}

bool vpc_make(struct fabric *fabric, struct vpc *vpc, struct error *err)
{
	auto_netlink inside = {0};
	auto_arena arena = {0};

	if (vpc->made)
		return true;
	vpc->on_disk = true;
	vpc->made = vpc_host_ready(fabric, err) && folder_make(arena_cstr(&arena, vpc->folder), 0700, err) &&
		    write_link_try(vpc, err) && open_pin(vpc, err) && set_router(vpc, err) && netlink_open_in(&inside, vpc->netns, err) &&
		    make_routes(vpc, &inside, err) && rules_replace(fabric, vpc, err) &&
		    make_way_out(fabric, vpc, &inside, err) && publish_all(fabric, vpc, err) &&
		    make_resolver(fabric, vpc, &inside, err);
	return vpc->made || fail_context(err, "network of '%.*s'", STR(vpc->id));
}

/* The way out goes with the namespace, in the background. */
bool vpc_remove(struct fabric *fabric, struct vpc *vpc, struct error *err)
{
	auto_arena arena = {0};

	resolver_remove(fabric->resolver, vpc->id);
	netlink_close(&vpc->nft);
	fd_close(&vpc->netns);
	vpc->made = false;
	if (!netns_remove(pin_of(vpc, &arena), err) || !tree_remove(AT_FDCWD, arena_cstr(&arena, vpc->folder), err))
		return false;
	vpc->on_disk = false;
	return true;
}

/* --- an interface --- */

static bool furnish_task(struct netlink *inside, const struct interface *interface, struct error *err)
{
	struct netlink_ipv4 own = {.address = interface->address, .prefix = interface->prefix, .alone = true};
	struct netlink_ipv4 endpoint = {.link = LOOPBACK, .address = (uint32_t)TASK_ENDPOINT, .prefix = 32};
	struct netlink_route everything = {.gateway = interface->gateway};

	if (!netlink_link_up(inside, S("eth0"), err) || !netlink_link_index(inside, S("eth0"), &own.link, err))
		return false;
	everything.link = own.link;
	return netlink_ipv4_add(inside, &own, err) && netlink_ipv4_add(inside, &endpoint, err) &&
	       netlink_neighbour_add(inside, own.link, interface->gateway, router_mac, err) &&
	       netlink_route_add(inside, &everything, err) && netlink_link_settle(inside, S("eth0"), err);
}

static bool furnish_router(struct netlink *router, struct str link,
			   const struct interface *interface, struct error *err)
{
	struct netlink_ipv4 gateway = {.link = LOOPBACK, .address = interface->gateway, .prefix = 32};
	struct netlink_route to = {.target = interface->address, .prefix = 32};

	return netlink_link_settle(router, link, err) && netlink_link_index(router, link, &to.link, err) &&
	       netlink_ipv4_add(router, &gateway, err) &&
	       netlink_neighbour_add(router, to.link, interface->address, interface->mac, err) &&
	       netlink_route_add(router, &to, err);
}

/* Who had the address before may still have a link: one whose namespace is dying, for which the kernel takes its time. The
 * new one has another name then, and takes the route: with it goes the right to send from the address. */
static bool make_task_link(struct netlink *router, struct netlink_veth *veth, uint32_t address,
			   char name[static NETLINK_NAME_LIMIT + 1], struct error *err)
{
	veth->name = (struct str){name, 0};
	for (int i = 0; i < TASK_LINK_NAMES; i++) {
		struct error why = {0};

		veth->name.len = (size_t)snprintf(name, NETLINK_NAME_LIMIT + 1, i ? "t%08x-%d" : "t%08x", (unsigned)address, i);
		if (netlink_veth_create(router, veth, &why))
			return true;
		if (why.os != EEXIST)
			return fail(err, why.code, "%s", why.text);
	}
	return make_veth(router, veth, err);
}

bool vpc_connect(int vpc_netns, int task_netns, const struct interface *interface, struct error *err)
{
	auto_netlink router = {0}, inside = {0};
	char name[NETLINK_NAME_LIMIT + 1];
	struct netlink_veth veth = {.peer = S("eth0"), .peer_netns = task_netns, .peer_mac = interface->mac,
				    .mac = router_mac};

	return netlink_open_in(&router, vpc_netns, err) && netlink_open_in(&inside, task_netns, err) &&
	       make_task_link(&router, &veth, interface->address, name, err) && furnish_task(&inside, interface, err) &&
	       furnish_router(&router, veth.name, interface, err);
}
