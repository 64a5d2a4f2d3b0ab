#include "host/fabric.h"
#include <arpa/inet.h>
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <time.h>
#include "host/fabric_private.h"
#include "os/clock.h"
#include "os/fd.h"
#include "os/file.h"
#include "os/netns.h"

enum {
	OWNER_ID_LIMIT = 128,                            /* it becomes the name of a file */
	FOLDER_NAMES_LIMIT = 65536,
	PREFIX_NAME_LIMIT = 7,                           /* "PREFIXv0123456" has to be a link's name */
	PUBLIC_PREFIX_WIDEST = 8,
};

/* --- what may become a name --- */

static bool is_file_name(struct str text, size_t limit)
{
	for (size_t i = 0; i < text.len; i++) {
		char c = text.ptr[i];
		bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
			     (c >= '0' && c <= '9') || c == '-' || c == '_';

		if (!plain)
			return false;
	}
	return text.len > 0 && text.len <= limit && !str_equal(text, S("netns"));
}

/* --- lifecycle --- */

static struct vpc *vpc_of(struct fabric *fabric, struct str id)
{
	struct vpc *vpc = map_get(&fabric->vpcs, id);

	if (vpc || fabric->vpcs.count == FABRIC_VPCS_LIMIT || !is_file_name(id, VPC_ID_LIMIT))
		return vpc;
	vpc = vpc_new(fabric, id);
	map_put(&fabric->vpcs, vpc->id, vpc);
	return vpc;
}

static void add_owner(struct fabric *fabric, struct str id, struct vpc *vpc)
{
	struct owner *owner = malloc(sizeof(*owner) + id.len);

	assert(owner);
	memcpy(owner + 1, id.ptr, id.len);
	*owner = (struct owner){.id = {(char *)(owner + 1), id.len}, .vpc = vpc};
	free(map_put(&fabric->owners, owner->id, owner));
	vpc->attached++;
}

static bool load_vpc(struct fabric *fabric, struct str id, struct error *err)
{
	auto_arena arena = {0};
	struct vpc *vpc = vpc_of(fabric, id);
	struct str *names;
	size_t count;

	if (!vpc)
		return fail(err, ERROR_CORRUPT, "'%.*s/%.*s' is not named like a VPC", STR(fabric->folder), STR(id));
	vpc->on_disk = true;
	if (!folder_list(AT_FDCWD, arena_cstr(&arena, vpc->folder), FOLDER_NAMES_LIMIT, &arena,
			 &names, &count, err))
		return false;
	for (size_t i = 0; i < count; i++)
		if (is_file_name(names[i], OWNER_ID_LIMIT))
			add_owner(fabric, names[i], vpc);
	return true;
}

/* What an agent before us has made: a folder a VPC, in it a file an owner. */
static bool load(struct fabric *fabric, struct error *err)
{
	auto_arena arena = {0};
	struct error why = {0};
	struct str *names;
	size_t count;

	if (!folder_list(AT_FDCWD, fabric->folder.ptr, FABRIC_VPCS_LIMIT, &arena, &names, &count, &why))
		return why.code == ERROR_NOT_FOUND || why.os == ENOENT || fail(err, why.code, "%s", why.text);
	for (size_t i = 0; i < count; i++)
		if (!load_vpc(fabric, names[i], err))
			return false;
	return true;
}

static bool check_options(const struct fabric_options *options, struct ipv4_block *ret_public, struct error *err)
{
	struct str cidr = str_empty(options->public_cidr) ? S("198.18.0.0/15") : options->public_cidr;

	if (!is_file_name(options->prefix, PREFIX_NAME_LIMIT))
		return fail(err, ERROR_REFUSED, "prefix '%.*s' of links is not 1 to %d plain letters", STR(options->prefix),
			    PREFIX_NAME_LIMIT);
	if (!is_file_name(options->table, NFT_NAME_LIMIT))
		return fail(err, ERROR_REFUSED, "nft table name '%.*s' is not 1 to %d plain letters", STR(options->table),
			    NFT_NAME_LIMIT);
	if (!ipv4_block_parse(cidr, ret_public) || ret_public->prefix < PUBLIC_PREFIX_WIDEST)
		return fail(err, ERROR_REFUSED, "range of public addresses '%.*s' is not like 198.18.0.0/15", STR(cidr));
	return true;
}

bool fabric_new(const struct fabric_options *options, struct fabric **ret_fabric, struct error *err)
{
	struct ipv4_block public_block;
	pthread_condattr_t monotonic;
	struct fabric *fabric;

	if (!check_options(options, &public_block, err))
		return false;
	fabric = calloc(1, sizeof(*fabric));
	assert(fabric);
	fabric->public_block = public_block;
	fabric->folder = arena_printf(&fabric->arena, "%.*s/vpc", STR(options->run));
	fabric->prefix = arena_copy(&fabric->arena, options->prefix);
	fabric->table = arena_copy(&fabric->arena, options->table);
	pthread_mutex_init(&fabric->mutex, NULL);
	pthread_condattr_init(&monotonic);
	pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
	pthread_cond_init(&fabric->told, &monotonic);
	pthread_condattr_destroy(&monotonic);
	if (resolver_new(options->resolv_conf, &fabric->resolver, err) && load(fabric, err)) {
		*ret_fabric = fabric;
		return true;
	}
	fabric_free(fabric);
	return false;
}

static void interface_free(struct interface *interface)
{
	free(interface->said);
	free(interface);
}

static void group_free(struct group *group)
{
	free(group->said);
	free(group->members);
	free(group);
}

void fabric_free(struct fabric *fabric)
{
	void *item;

	if (!fabric)
		return;
	resolver_free(fabric->resolver);
	for (size_t at = 0; (item = map_next(&fabric->interfaces, &at));)
		interface_free(item);
	for (size_t at = 0; (item = map_next(&fabric->groups, &at));)
		group_free(item);
	for (size_t at = 0; (item = map_next(&fabric->owners, &at));)
		free(item);
	for (size_t at = 0; (item = map_next(&fabric->vpcs, &at));)
		vpc_free(item);
	map_fini(&fabric->interfaces);
	map_fini(&fabric->groups);
	map_fini(&fabric->owners);
	map_fini(&fabric->vpcs);
	netlink_close(&fabric->host);
	pthread_cond_destroy(&fabric->told);
	pthread_mutex_destroy(&fabric->mutex);
	arena_fini(&fabric->arena);
	free(fabric);
}

/* --- what the server said ---
 *
 * One thing that cannot be understood, or done, does not keep the rest from being done; the first
 * failure is told. */

static void keep_first(struct error *first, const struct error *next)
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

/* --- groups --- */

static int by_number(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

	return (x > y) - (x < y);
}

static bool parse_members(const struct wherry_group *said, struct group *group, struct error *err)
{
	if (said->members.count > GROUP_MEMBERS_LIMIT)
		return fail(err, ERROR_REFUSED, "group '%.*s' has over %d members", STR(said->id), GROUP_MEMBERS_LIMIT);
	group->members = calloc(said->members.count + 1, sizeof(*group->members));
	assert(group->members);
	for (size_t i = 0; i < said->members.count; i++)
		if (!ipv4_parse(said->members.items[i], &group->members[i]))
			return fail(err, ERROR_REFUSED, "group '%.*s': '%.*s' is not an address", STR(said->id),
				    STR(said->members.items[i]));
	qsort(group->members, said->members.count, sizeof(*group->members), by_number);
	for (size_t i = 0; i < said->members.count; i++)
		if (!group->member_count || group->members[i] != group->members[group->member_count - 1])
			group->members[group->member_count++] = group->members[i];
	return true;
}

static bool same_rules(const struct wherry_group *a, const struct wherry_group *b)
{
	struct wherry_group rules_of_a = *a, rules_of_b = *b;

	rules_of_a.members = rules_of_b.members = (struct wherry_strings){0};
	return shape_equal(&shape_wherry_group, &rules_of_a, &rules_of_b);
}

static void change_member(struct vpc *vpc, struct str set, uint32_t member, bool remove)
{
	list_add(&vpc->changes, ((struct nft_element){.set = set, .key = htonl(member), .remove = remove}));
}

/* Both are sorted: walked together. */
static void change_members(struct vpc *vpc, const struct group *old, const struct group *new)
{
	size_t i = 0, j = 0;

	while (i < old->member_count || j < new->member_count) {
		if (j == new->member_count || (i < old->member_count && old->members[i] < new->members[j]))
			change_member(vpc, rules_set_of(new), old->members[i++], true);
		else if (i == old->member_count || new->members[j] < old->members[i])
			change_member(vpc, rules_set_of(new), new->members[j++], false);
		else
			i++, j++;
	}
}

static void outdate(struct fabric *fabric, const struct group *group)
{
	struct vpc *vpc = map_get(&fabric->vpcs, group->said->vpc);

	if (vpc)
		vpc->outdated = true;
}

/* Changes name a set by its group's own text, which may be told twice in one answer. */
static void let_go(struct vpc *vpc, const struct group *group)
{
	for (size_t i = 0; i < vpc->changes.count; i++)
		if (vpc->changes.items[i].set.ptr == group->said->id.ptr)
			vpc->outdated = true;
}

static void replace_group(struct fabric *fabric, struct group *old, struct group *new)
{
	struct vpc *vpc = map_get(&fabric->vpcs, new->said->vpc);

	if (old && vpc && same_rules(old->said, new->said)) {
		let_go(vpc, old);
		if (vpc->made)
			change_members(vpc, old, new);
		return;
	}
	outdate(fabric, new);
	if (old)
		outdate(fabric, old);
}

static bool put_group(struct fabric *fabric, const struct wherry_group *said, struct error *err)
{
	struct group *old = map_get(&fabric->groups, said->id), *group;

	if (!old && fabric->groups.count == FABRIC_GROUPS_LIMIT)
		return fail(err, ERROR_REFUSED, "there are over %d security groups", FABRIC_GROUPS_LIMIT);
	if (!rules_check(said, err))
		return false;
	group = calloc(1, sizeof(*group));
	assert(group);
	group->said = shape_clone(&shape_wherry_group, said);
	if (!parse_members(said, group, err)) {
		group_free(group);
		return false;
	}
	/* The key is the old one's own text. */
	if (old)
		map_remove(&fabric->groups, old->said->id);
	map_put(&fabric->groups, group->said->id, group);
	replace_group(fabric, old, group);
	if (old)
		group_free(old);
	return true;
}

static void drop_group(struct fabric *fabric, struct group *group)
{
	outdate(fabric, group);
	map_remove(&fabric->groups, group->said->id);
	group_free(group);
}

/* A group that cannot be understood is closed: nobody is in it, nothing is allowed. */
static void take_groups(struct fabric *fabric, const struct wherry_groups *said, struct error *first)
{
	for (size_t i = 0; i < said->count; i++) {
		struct group *old = map_get(&fabric->groups, said->items[i].id);
		struct error why = {0};

		if (!str_empty(said->items[i].vpc) && put_group(fabric, &said->items[i], &why))
			continue;
		if (old)
			drop_group(fabric, old);
		if (why.code)
			keep_first(first, &why);
	}
}

static void need_named(struct fabric *fabric, const struct wherry_permissions *permissions)
{
	for (size_t i = 0; i < permissions->count; i++)
		for (size_t j = 0; j < permissions->items[i].groups.count; j++) {
			struct group *named = map_get(&fabric->groups, permissions->items[i].groups.items[j]);

			if (named)
				named->stale = false;
		}
}

static void need_groups(struct fabric *fabric, const struct interface *interface)
{
	for (size_t i = 0; i < interface->said->groups.count; i++) {
		struct group *group = map_get(&fabric->groups, interface->said->groups.items[i]);

		if (!group || group->named)
			continue;
		group->named = true;
		group->stale = false;
		need_named(fabric, &group->said->ingress);
		need_named(fabric, &group->said->egress);
	}
}

/* The server tells of a group as long as an interface here is in it, or in one whose rules name it.
 * What is older is not true any more: an address that has left such a group may come back without
 * it. */
static void forget_groups(struct fabric *fabric)
{
	LIST_OF(struct group *) gone = {0};
	struct interface *interface;
	struct group *group;

	for (size_t at = 0; (group = map_next(&fabric->groups, &at));) {
		group->stale = true;
		group->named = false;
	}
	for (size_t at = 0; (interface = map_next(&fabric->interfaces, &at));)
		need_groups(fabric, interface);
	for (size_t at = 0; (group = map_next(&fabric->groups, &at));)
		if (group->stale)
			list_add(&gone, group);
	for (size_t i = 0; i < gone.count; i++)
		drop_group(fabric, gone.items[i]);
	list_fini(&gone);
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
		drop_group(fabric, groups.items[i]);
	list_fini(&interfaces);
	list_fini(&groups);
}

/* --- bringing the kernel in line --- */

static bool settle_vpc(struct fabric *fabric, struct vpc *vpc, struct error *err)
{
	if (vpc->attached == 0 && vpc->interfaces == 0)
		return !vpc->on_disk || vpc_remove(fabric, vpc, err);
	/* One that is only known from the disk stays as it is until the server has spoken; then,
	 * when it is not told, closed. */
	if (!vpc->told && !vpc->made && !fabric->heard)
		return true;
	return vpc_make(fabric, vpc, err) && rules_update(fabric, vpc, err);
}

static void forget_vpc(struct fabric *fabric, struct vpc *vpc)
{
	map_remove(&fabric->vpcs, vpc->id);
	vpc_free(vpc);
}

static void settle_all(struct fabric *fabric, struct error *first)
{
	LIST_OF(struct vpc *) gone = {0};
	struct vpc *vpc;

	for (size_t at = 0; (vpc = map_next(&fabric->vpcs, &at));) {
		struct error why = {0};

		if (!settle_vpc(fabric, vpc, &why))
			keep_first(first, &why);
		else if (!vpc->told && !vpc->on_disk && !vpc->interfaces && !vpc->attached)
			list_add(&gone, vpc);
	}
	for (size_t i = 0; i < gone.count; i++)
		forget_vpc(fabric, gone.items[i]);
	list_fini(&gone);
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
	take_groups(fabric, &news->groups, &first);
	take_interfaces(fabric, &news->interfaces, &first);
	forget_groups(fabric);
	settle_all(fabric, &first);
	pthread_cond_broadcast(&fabric->told);
	pthread_mutex_unlock(&fabric->mutex);
	return first.code == ERROR_NONE || fail(err, first.code, "%s", first.text);
}

/* --- attach and detach --- */

struct attachment {
	struct str owner, netns_path;
	struct vpc *vpc;
	int vpc_netns;
	struct interface interface;                      /* a copy; `said` is not ours */
};

static struct timespec moment(usec at)
{
	return (struct timespec){.tv_sec = at / USEC_PER_SEC, .tv_nsec = at % USEC_PER_SEC * 1000};
}

/* The mutex is ours. */
static struct interface *wait_for(struct fabric *fabric, struct str id, usec patience)
{
	struct timespec until = moment(clock_monotonic() + patience);
	struct interface *interface;
	struct vpc *vpc;

	for (;;) {
		interface = map_get(&fabric->interfaces, id);
		vpc = interface ? map_get(&fabric->vpcs, interface->said->vpc) : NULL;
		if (vpc && vpc->told)
			return interface;
		if (fabric->impatient || pthread_cond_timedwait(&fabric->told, &fabric->mutex, &until) == ETIMEDOUT)
			return NULL;
	}
}

void fabric_stop_waiting(struct fabric *fabric)
{
	pthread_mutex_lock(&fabric->mutex);
	fabric->impatient = true;
	pthread_cond_broadcast(&fabric->told);
	pthread_mutex_unlock(&fabric->mutex);
}

static const char *owner_file(const struct vpc *vpc, struct str owner, struct arena *arena)
{
	return arena_cstr(arena, arena_printf(arena, "%.*s/%.*s", STR(vpc->folder), STR(owner)));
}

static bool book(struct fabric *fabric, struct attachment *attachment, struct error *err)
{
	auto_arena arena = {0};
	const char *path = owner_file(attachment->vpc, attachment->owner, &arena);
	auto_fd file = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);

	if (file < 0)
		return fail_os(err, errno, "create '%s'", path);
	attachment->vpc_netns = fcntl(attachment->vpc->netns, F_DUPFD_CLOEXEC, 0);
	if (attachment->vpc_netns < 0) {
		unlink(path);
		return fail_os(err, errno, "copy a descriptor");
	}
	add_owner(fabric, attachment->owner, attachment->vpc);
	return true;
}

/* Waits, and then counts as one that is attached. */
static bool begin(struct fabric *fabric, struct attachment *attachment, struct str id,
		  usec patience, struct error *err)
{
	struct interface *interface;
	bool ok;

	pthread_mutex_lock(&fabric->mutex);
	interface = wait_for(fabric, id, patience);
	if (!interface) {
		pthread_mutex_unlock(&fabric->mutex);
		return fail(err, ERROR_NETWORK, "the server has not told of network interface '%.*s' within %lld s", STR(id),
			    (long long)(patience / USEC_PER_SEC));
	}
	attachment->interface = *interface;
	attachment->vpc = map_get(&fabric->vpcs, interface->said->vpc);
	ok = settle_vpc(fabric, attachment->vpc, err) && book(fabric, attachment, err);
	pthread_mutex_unlock(&fabric->mutex);
	return ok;
}

static bool check_eni(const struct acs_elastic_network_interface *eni, struct str owner, struct error *err)
{
	if (!is_file_name(owner, OWNER_ID_LIMIT))
		return fail(err, ERROR_REFUSED, "'%.*s' is not a task's id", STR(owner));
	return !str_empty(eni->ec2_id) || fail(err, ERROR_REFUSED, "a network interface without an id");
}

bool fabric_attach(struct fabric *fabric, struct str owner, struct str netns_path,
		   const struct acs_elastic_network_interface *eni, usec patience, struct error *err)
{
	struct attachment attachment = {.owner = owner, .netns_path = netns_path, .vpc_netns = -1};
	auto_fd vpc_netns = -1, task_netns = -1;

	/* What an earlier try of the same owner left. */
	if (!check_eni(eni, owner, err) || !fabric_detach(fabric, owner, netns_path, err) ||
	    !begin(fabric, &attachment, eni->ec2_id, patience, err))
		return fail_context(err, "attach network interface");
	vpc_netns = attachment.vpc_netns;
	if (netns_create(netns_path, &task_netns, err) &&
	    vpc_connect(vpc_netns, task_netns, &attachment.interface, err))
		return true;
	fabric_detach(fabric, owner, netns_path, NULL);
	return fail_context(err, "attach network interface '%.*s'", STR(eni->ec2_id));
}

static bool unbook(struct fabric *fabric, struct owner *owner, struct error *err)
{
	auto_arena arena = {0};
	const char *path = owner_file(owner->vpc, owner->id, &arena);
	struct vpc *vpc = owner->vpc;

	if (unlink(path) < 0 && errno != ENOENT)
		return fail_os(err, errno, "remove '%s'", path);
	map_remove(&fabric->owners, owner->id);
	free(owner);
	vpc->attached--;
	return settle_vpc(fabric, vpc, err);
}

/* The veth goes with the task's namespace, a moment after the last process in it: deleting it here
 * would wait 40 ms. */
bool fabric_detach(struct fabric *fabric, struct str owner, struct str netns_path, struct error *err)
{
	struct owner *found;
	bool ok = true;

	if (!netns_remove(netns_path, err))
		return false;
	pthread_mutex_lock(&fabric->mutex);
	found = map_get(&fabric->owners, owner);
	if (found)
		ok = unbook(fabric, found, err);
	pthread_mutex_unlock(&fabric->mutex);
	return ok;
}

/* --- all of it --- */

static bool remove_all(struct fabric *fabric, struct error *err)
{
	auto_arena arena = {0};
	struct vpc *vpc;

	for (size_t at = 0; (vpc = map_next(&fabric->vpcs, &at));)
		if (!vpc_remove(fabric, vpc, err))
			return false;
	if (!fabric->host.socket && !netlink_open(&fabric->host, err))
		return false;
	fabric->host_is_ready = false;
	return netlink_links_delete(&fabric->host, arena_printf(&arena, "%.*sv", STR(fabric->prefix)), err) &&
	       rules_host_table(fabric, false, err) && tree_remove(AT_FDCWD, fabric->folder.ptr, err);
}

static void forget_all(struct fabric *fabric)
{
	struct error ignored = {0};
	struct owner *owner;
	struct vpc *vpc;

	for (size_t at = 0; (owner = map_next(&fabric->owners, &at));)
		free(owner);
	map_fini(&fabric->owners);
	mark(fabric, &(struct wherry_watch_network_response){0});
	drop_stale(fabric, &ignored);
	for (size_t at = 0; (vpc = map_next(&fabric->vpcs, &at));)
		vpc_free(vpc);
	map_fini(&fabric->vpcs);
}

bool fabric_down(struct fabric *fabric, struct error *err)
{
	bool ok;

	pthread_mutex_lock(&fabric->mutex);
	ok = remove_all(fabric, err);
	if (ok)
		forget_all(fabric);
	pthread_mutex_unlock(&fabric->mutex);
	return ok || fail_context(err, "take down the VPCs");
}
