/* What the server says of VPCs and interfaces; of groups see fabric_groups.c.
 *
 * One thing that cannot be understood, or done, does not keep the rest from being done; the first
 * failure is told. */
#include <arpa/inet.h>
#include <assert.h>
#include <stdio.h>
#include "host/fabric_private.h"

static void interface_free(struct interface *interface)
{
	free(interface->said);
	free(interface);
}

void told_free(struct fabric *fabric)
{
	void *item;

	for (size_t at = 0; (item = map_next(&fabric->interfaces, &at));)
		interface_free(item);
	for (size_t at = 0; (item = map_next(&fabric->groups, &at));)
		group_free(item);
	map_fini(&fabric->interfaces);
	map_fini(&fabric->groups);
}

void keep_first(struct error *first, const struct error *next)
{
	if (first->code == ERROR_NONE)
		*first = *next;
}

static bool take_blocks(struct vpc *vpc, const struct wherry_strings *said, struct error *err)
{
	struct ipv4_block blocks[VPC_BLOCKS_LIMIT] = {0};

	if (said->count > VPC_BLOCKS_LIMIT)
		return fail(err, ERROR_REFUSED, "'%.*s' has over %d blocks", STR(vpc->id), VPC_BLOCKS_LIMIT);
	for (size_t i = 0; i < said->count; i++)
		if (!ipv4_block_parse(said->items[i], &blocks[i]))
			return fail(err, ERROR_REFUSED, "'%.*s' of '%.*s' is not a block", STR(said->items[i]), STR(vpc->id));
	if (vpc->block_count != said->count || memcmp(vpc->blocks, blocks, sizeof(blocks)) != 0)
		vpc->made = false;
	memcpy(vpc->blocks, blocks, sizeof(blocks));
	vpc->block_count = said->count;
	return true;
}

static void take_vpc(struct fabric *fabric, const struct wherry_vpc *said, struct error *first)
{
	struct error why = {0};
	struct vpc *vpc = vpc_of(fabric, said->id);
	bool resolver = said->resolver.has && said->resolver.value;

	if (!vpc) {
		fail(&why, ERROR_REFUSED, "'%.*s' is not a VPC's id, or there are over %d", STR(said->id), FABRIC_VPCS_LIMIT);
		keep_first(first, &why);
		return;
	}
	vpc->stale = false;
	if (!take_blocks(vpc, &said->blocks, &why))
		keep_first(first, &why);
	if (vpc->wants_resolver != resolver)
		vpc->made = false;
	vpc->wants_resolver = resolver;
	vpc->told = said->blocks.count > 0;
}

/* The elements that map an interface's public address, there or gone. */
static void change_public(struct fabric *fabric, const struct interface *interface, bool wanted,
			  struct error *first)
{
	struct vpc *vpc = map_get(&fabric->vpcs, interface->said->vpc);
	uint32_t own = htonl(interface->address), public = htonl(interface->public_address);
	struct error why = {0};

	if (!interface->public_address || !vpc || !vpc->made)
		return;
	list_add(&vpc->changes, ((struct nft_element){.set = S("inward"), .key = public, .value = own, .is_map = true,
						      .remove = !wanted}));
	list_add(&vpc->changes, ((struct nft_element){.set = S("outward"), .key = own, .value = public, .is_map = true,
						      .remove = !wanted}));
	list_add(&vpc->changes, ((struct nft_element){.set = S("public"), .key = own, .remove = !wanted}));
	if (!vpc_publish(fabric, vpc, interface->public_address, wanted, &why))
		keep_first(first, &why);
}

static void drop_interface(struct fabric *fabric, struct interface *interface, struct error *first)
{
	struct vpc *vpc = map_get(&fabric->vpcs, interface->said->vpc);

	change_public(fabric, interface, false, first);
	map_remove(&fabric->interfaces, interface->said->id);
	if (vpc)
		vpc->interfaces--;
	interface_free(interface);
}

static bool parse_mac(struct str text, struct netlink_mac *ret_mac)
{
	unsigned bytes[6];
	char copy[32];
	int end = 0;

	if (text.len >= sizeof(copy))
		return false;
	snprintf(copy, sizeof(copy), "%.*s", STR(text));
	if (sscanf(copy, "%2x:%2x:%2x:%2x:%2x:%2x%n", &bytes[0], &bytes[1], &bytes[2], &bytes[3], &bytes[4], &bytes[5],
		   &end) != 6 || (size_t)end != text.len)
		return false;
	for (size_t i = 0; i < 6; i++)
		ret_mac->bytes[i] = (uint8_t)bytes[i];
	return true;
}

static bool parse_interface(const struct wherry_interface *said, struct interface *interface, struct error *err)
{
	bool internet = said->internet.has && said->internet.value;
	struct ipv4_block subnet;

	if (!ipv4_parse(said->address, &interface->address) || !ipv4_block_parse(said->subnet_block, &subnet) ||
	    !ipv4_block_has(subnet, interface->address) || subnet.prefix < 8 || subnet.prefix > 30)
		return fail(err, ERROR_REFUSED, "interface '%.*s' has '%.*s', which is not an address of '%.*s'", STR(said->id),
			    STR(said->address), STR(said->subnet_block));
	if (!parse_mac(said->mac, &interface->mac))
		return fail(err, ERROR_REFUSED, "interface '%.*s': '%.*s' is not a mac", STR(said->id), STR(said->mac));
	if (internet && !str_empty(said->public_address) &&
	    !ipv4_parse(said->public_address, &interface->public_address))
		return fail(err, ERROR_REFUSED, "interface '%.*s': '%.*s' is not an address", STR(said->id),
			    STR(said->public_address));
	interface->prefix = subnet.prefix;
	interface->gateway = subnet.base + 1;
	return true;
}

static bool put_interface(struct fabric *fabric, const struct wherry_interface *said, struct error *first,
			  struct error *err)
{
	struct vpc *vpc = vpc_of(fabric, said->vpc);
	struct interface parsed = {0}, *interface;

	if (!vpc)
		return fail(err, ERROR_REFUSED, "interface '%.*s': '%.*s' is not a VPC's id", STR(said->id), STR(said->vpc));
	if (fabric->interfaces.count == FABRIC_INTERFACES_LIMIT)
		return fail(err, ERROR_REFUSED, "there are over %d interfaces", FABRIC_INTERFACES_LIMIT);
	if (!parse_interface(said, &parsed, err))
		return false;
	interface = calloc(1, sizeof(*interface));
	assert(interface);
	*interface = parsed;
	interface->said = shape_clone(&shape_wherry_interface, said);
	map_put(&fabric->interfaces, interface->said->id, interface);
	vpc->interfaces++;
	change_public(fabric, interface, true, first);
	return true;
}

static bool is_as_before(const struct interface *interface, const struct wherry_interface *said)
{
	return interface && shape_equal(&shape_wherry_interface, interface->said, said);
}

static void take_gone(struct fabric *fabric, const struct wherry_strings *ids, struct error *first)
{
	for (size_t i = 0; i < ids->count; i++) {
		struct interface *interface = map_get(&fabric->interfaces, ids->items[i]);

		if (interface)
			drop_interface(fabric, interface, first);
	}
}

/* First what goes, then what comes: an address may move from one to the other. One without a VPC is gone. */
static void take_interfaces(struct fabric *fabric, const struct wherry_interfaces *said, struct error *first)
{
	for (size_t i = 0; i < said->count; i++) {
		struct interface *interface = map_get(&fabric->interfaces, said->items[i].id);

		if (interface && !is_as_before(interface, &said->items[i]))
			drop_interface(fabric, interface, first);
	}
	for (size_t i = 0; i < said->count; i++) {
		struct error why = {0};

		if (str_empty(said->items[i].vpc) || map_get(&fabric->interfaces, said->items[i].id))
			continue;
		if (!put_interface(fabric, &said->items[i], first, &why))
			keep_first(first, &why);
	}
}

/* --- a full answer: what is not in it is gone --- */

static void mark(struct fabric *fabric, const struct wherry_watch_network_response *news)
{
	struct interface *interface;
	struct group *group;
	struct vpc *vpc;

	for (size_t at = 0; (vpc = map_next(&fabric->vpcs, &at));)
		vpc->stale = true;
	for (size_t at = 0; (interface = map_next(&fabric->interfaces, &at));)
		interface->stale = true;
	for (size_t at = 0; (group = map_next(&fabric->groups, &at));)
		group->stale = true;
	for (size_t i = 0; i < news->interfaces.count; i++)
		if ((interface = map_get(&fabric->interfaces, news->interfaces.items[i].id)))
			interface->stale = false;
	for (size_t i = 0; i < news->groups.count; i++)
		if ((group = map_get(&fabric->groups, news->groups.items[i].id)))
			group->stale = false;
}

static void drop_stale(struct fabric *fabric, struct error *first)
{
	LIST_OF(struct interface *) interfaces = {0};
	LIST_OF(struct group *) groups = {0};
	struct interface *interface;
	struct group *group;

	for (size_t at = 0; (interface = map_next(&fabric->interfaces, &at));)
		if (interface->stale)
			list_add(&interfaces, interface);
	for (size_t at = 0; (group = map_next(&fabric->groups, &at));)
		if (group->stale)
			list_add(&groups, group);
	for (size_t i = 0; i < interfaces.count; i++)
		drop_interface(fabric, interfaces.items[i], first);
	for (size_t i = 0; i < groups.count; i++)
		group_drop(fabric, groups.items[i]);
	list_fini(&interfaces);
	list_fini(&groups);
}

void told_forget(struct fabric *fabric)
{
	struct error ignored = {0};

	mark(fabric, &(struct wherry_watch_network_response){0});
	drop_stale(fabric, &ignored);
}

static void untell_stale_vpcs(struct fabric *fabric)
{
	struct vpc *vpc;

	for (size_t at = 0; (vpc = map_next(&fabric->vpcs, &at));)
		if (vpc->stale)
			vpc->told = vpc->stale = false;
}

bool fabric_apply(struct fabric *fabric, const struct wherry_watch_network_response *news, struct error *err)
{
	bool full = news->full.has && news->full.value;
	struct error first = {0};

	pthread_mutex_lock(&fabric->mutex);
	if (full) {
		mark(fabric, news);
		drop_stale(fabric, &first);
	}
	for (size_t i = 0; i < news->vpcs.count; i++)
		take_vpc(fabric, &news->vpcs.items[i], &first);
	if (full)
		untell_stale_vpcs(fabric);
	fabric->heard |= full;
	take_gone(fabric, &news->gone, &first);
	groups_take(fabric, &news->groups, &first);
	take_interfaces(fabric, &news->interfaces, &first);
	groups_sort_out(fabric);
	settle_all(fabric, &first);
	pthread_cond_broadcast(&fabric->told);
	pthread_mutex_unlock(&fabric->mutex);
	return first.code == ERROR_NONE || fail(err, first.code, "%s", first.text);
}
