/* The table of a VPC; docs/networking.md explains each rule. Rules look at the connection (`ct
 * original …`), not at the packet, so that a packet of either direction, and an error about one, is
 * judged by the same rule as the first. */
#include <assert.h>
#include <endian.h>
#include <netinet/in.h>
#include "host/fabric_private.h"
#include "os/entropy.h"
#include "os/netns.h"

enum { ICMP_ANY = -1 };

/* --- a group's rules --- */

struct rule_maker {
	struct buffer *out;
	bool egress;
	size_t count;
};

static bool protocol_number(struct str text, int *ret_number)
{
	static const struct { struct str name; int number; } names[] = {
		{STR_INIT("tcp"), IPPROTO_TCP}, {STR_INIT("udp"), IPPROTO_UDP}, {STR_INIT("icmp"), IPPROTO_ICMP},
		{STR_INIT("icmpv6"), IPPROTO_ICMPV6}, {STR_INIT("-1"), -1},
	};
	uint64_t number;

	for (size_t i = 0; i < COUNT(names); i++)
		if (str_equal(text, names[i].name)) {
			*ret_number = names[i].number;
			return true;
		}
	if (!str_to_unsigned(text, &number) || number > UINT8_MAX)
		return false;
	*ret_number = (int)number;
	return true;
}

static bool add_ports(struct buffer *out, int64_t low, int64_t high, struct error *err)
{
	if (low < 0 || high > UINT16_MAX || low > high)
		return fail(err, ERROR_REFUSED, "ports %lld to %lld are not a range", (long long)low, (long long)high);
	if (low != 0 || high != UINT16_MAX)
		buffer_printf(out, "ct original proto-dst %lld-%lld ", (long long)low, (long long)high);
	return true;
}

/* Conntrack has type and code where others have the port. */
static bool add_icmp(struct buffer *out, int64_t type, int64_t code, struct error *err)
{
	if (type == ICMP_ANY)
		return true;
	if (type < 0 || type > UINT8_MAX || code < ICMP_ANY || code > UINT8_MAX)
		return fail(err, ERROR_REFUSED, "there is no icmp type %lld, code %lld", (long long)type, (long long)code);
	return code == ICMP_ANY ? add_ports(out, type << 8, type << 8 | UINT8_MAX, err)
				: add_ports(out, type << 8 | code, type << 8 | code, err);
}

static bool add_match(struct buffer *out, const struct wherry_permission *permission, struct error *err)
{
	int64_t from = permission->from_port.has ? permission->from_port.value : -1;
	int64_t to = permission->to_port.has ? permission->to_port.value : from;
	int number;

	if (!protocol_number(permission->protocol, &number))
		return fail(err, ERROR_REFUSED, "unknown protocol '%.*s'", STR(permission->protocol));
	if (number < 0)
		return true;
	buffer_printf(out, "ct protocol %d ", number);
	if (number == IPPROTO_ICMP)
		return add_icmp(out, from, to, err);
	if ((number != IPPROTO_TCP && number != IPPROTO_UDP) || from == -1)
		return true;
	return add_ports(out, from, to, err);
}

static bool is_name(struct str text, size_t limit)
{
	for (size_t i = 0; i < text.len; i++) {
		char c = text.ptr[i];

		if (!(c >= 'a' && c <= 'z') && !(i > 0 && ((c >= '0' && c <= '9') || c == '-')))
			return false;
	}
	return text.len > 0 && text.len <= limit;
}

static bool add_rule(struct rule_maker *maker, struct str match, struct str remote, struct error *err)
{
	if (maker->count++ == GROUP_RULES_LIMIT)
		return fail(err, ERROR_REFUSED, "a security group with over %d rules in one direction", GROUP_RULES_LIMIT);
	buffer_add(maker->out, match);
	if (!str_empty(remote))
		buffer_printf(maker->out, "ct original ip %s %.*s ", maker->egress ? "daddr" : "saddr", STR(remote));
	buffer_add(maker->out, maker->egress ? S("accept\n") : S("goto admit\n"));
	return true;
}

static bool add_blocks(struct rule_maker *maker, struct str match,
		       const struct wherry_strings *blocks, struct error *err)
{
	auto_arena arena = {0};
	struct ipv4_block block;

	for (size_t i = 0; i < blocks->count; i++) {
		struct str remote = S("");

		if (str_find(blocks->items[i], ':') < blocks->items[i].len)
			continue;                        /* IPv6, which nobody here has */
		if (!ipv4_block_parse(blocks->items[i], &block))
			return fail(err, ERROR_REFUSED, "'%.*s' is not like 10.0.0.0/16", STR(blocks->items[i]));
		if (block.prefix)
			remote = arena_printf(&arena, "%.*s/%u", STR(ipv4_text(&arena, block.base)), block.prefix);
		if (!add_rule(maker, match, remote, err))
			return false;
	}
	return true;
}

static bool add_groups(struct rule_maker *maker, struct str match,
		       const struct wherry_strings *groups, struct error *err)
{
	auto_arena arena = {0};

	for (size_t i = 0; i < groups->count; i++) {
		if (!is_name(groups->items[i], GROUP_ID_LIMIT))
			return fail(err, ERROR_REFUSED, "'%.*s' is not a group's id", STR(groups->items[i]));
		if (!add_rule(maker, match, arena_printf(&arena, "@%.*s", STR(groups->items[i])), err))
			return false;
	}
	return true;
}

static bool add_permissions(struct buffer *out, const struct wherry_permissions *permissions, bool egress,
			    struct error *err)
{
	struct rule_maker maker = {.out = out, .egress = egress};

	for (size_t i = 0; i < permissions->count; i++) {
		const struct wherry_permission *permission = &permissions->items[i];
		auto_buffer match = {0};

		if (!add_match(&match, permission, err) ||
		    !add_blocks(&maker, buffer_str(&match), &permission->blocks, err) ||
		    !add_groups(&maker, buffer_str(&match), &permission->groups, err))
			return false;
	}
	return true;
}

bool rules_check(const struct wherry_group *group, struct error *err)
{
	auto_buffer text = {0};

	if (!is_name(group->id, GROUP_ID_LIMIT))
		return fail(err, ERROR_REFUSED, "'%.*s' is not a group's id", STR(group->id));
	return (add_permissions(&text, &group->ingress, false, err) &&
		add_permissions(&text, &group->egress, true, err)) ||
	       fail_context(err, "security group '%.*s'", STR(group->id));
}

/* --- a VPC's table --- */

static bool is_of(const struct group *group, const struct vpc *vpc) { return str_equal(group->said->vpc, vpc->id); }

struct str rules_set_of(const struct group *group) { return group->said->id; }

static void add_addresses(struct buffer *out, const uint32_t *addresses, size_t count)
{
	for (size_t i = 0; i < count; i++)
		buffer_printf(out, "%s%u.%u.%u.%u", i ? ", " : "elements = { ", addresses[i] >> 24, addresses[i] >> 16 & 255,
			      addresses[i] >> 8 & 255, addresses[i] & 255);
	buffer_add(out, count ? S(" }\n") : S("\n"));
}

static void add_set(struct map *named, struct buffer *out, struct str id, const struct group *group)
{
	if (map_put(named, id, (void *)id.ptr))
		return;
	buffer_printf(out, "set %.*s { type ipv4_addr\n", STR(id));
	if (group)
		add_addresses(out, group->members, group->member_count);
	buffer_add(out, S("}\n"));
}

static void add_sets_of(struct fabric *fabric, const struct vpc *vpc, struct map *named, struct buffer *out,
			const struct wherry_permissions *permissions)
{
	for (size_t i = 0; i < permissions->count; i++)
		for (size_t j = 0; j < permissions->items[i].groups.count; j++) {
			struct str id = permissions->items[i].groups.items[j];
			const struct group *group = map_get(&fabric->groups, id);

			add_set(named, out, id, group && is_of(group, vpc) ? group : NULL);
		}
}

/* One a group: of this VPC, or named by a rule and yet unknown: empty then. */
static void add_sets(struct fabric *fabric, const struct vpc *vpc, struct buffer *out)
{
	struct map named = {0};
	struct group *group;

	for (size_t at = 0; (group = map_next(&fabric->groups, &at));)
		if (is_of(group, vpc))
			add_set(&named, out, group->said->id, group);
	for (size_t at = 0; (group = map_next(&fabric->groups, &at));)
		if (is_of(group, vpc)) {
			add_sets_of(fabric, vpc, &named, out, &group->said->ingress);
			add_sets_of(fabric, vpc, &named, out, &group->said->egress);
		}
	map_fini(&named);
}

static void add_blocks_set(const struct vpc *vpc, struct buffer *out)
{
	auto_arena arena = {0};

	buffer_add(out, S("set blocks { type ipv4_addr; flags interval; auto-merge\n"));
	for (size_t i = 0; i < vpc->block_count; i++)
		buffer_printf(out, "%s%.*s/%u", i ? ", " : "elements = { ", STR(ipv4_text(&arena, vpc->blocks[i].base)),
			      vpc->blocks[i].prefix);
	buffer_add(out, vpc->block_count ? S(" }\n}\n") : S("}\n"));
}

static void add_map(struct buffer *out, const char *name, const struct buffer *elements)
{
	buffer_printf(out, "map %s { type ipv4_addr : ipv4_addr\n", name);
	if (elements->len)
		buffer_printf(out, "elements = { %.*s }\n", (int)elements->len, elements->bytes);
	buffer_add(out, S("}\n"));
}

static void add_public(struct fabric *fabric, const struct vpc *vpc, struct buffer *out)
{
	auto_arena arena = {0};
	auto_buffer inward = {0}, outward = {0}, set = {0};
	struct interface *interface;

	for (size_t at = 0; (interface = map_next(&fabric->interfaces, &at));) {
		struct str own = ipv4_text(&arena, interface->address),
			   public = ipv4_text(&arena, interface->public_address);
		const char *comma = set.len ? ", " : "";

		if (!interface->public_address || !str_equal(interface->said->vpc, vpc->id))
			continue;
		buffer_printf(&inward, "%s%.*s : %.*s", comma, STR(public), STR(own));
		buffer_printf(&outward, "%s%.*s : %.*s", comma, STR(own), STR(public));
		buffer_printf(&set, "%s%.*s", comma, STR(own));
	}
	add_map(out, "inward", &inward);
	add_map(out, "outward", &outward);
	buffer_add(out, S("set public { type ipv4_addr\n"));
	if (set.len)
		buffer_printf(out, "elements = { %.*s }\n", (int)set.len, set.bytes);
	buffer_add(out, S("}\n"));
}

static bool add_groups_chains(struct fabric *fabric, const struct vpc *vpc, struct buffer *out, struct error *err)
{
	struct group *group;

	buffer_add(out, S("chain admit {\nct mark set meta mark accept\n}\n"));
	for (size_t at = 0; (group = map_next(&fabric->groups, &at));) {
		if (!is_of(group, vpc))
			continue;
		buffer_printf(out, "chain out-%.*s {\n", STR(group->said->id));
		if (!add_permissions(out, &group->said->egress, true, err))
			return false;
		buffer_printf(out, "}\nchain in-%.*s {\n", STR(group->said->id));
		if (!add_permissions(out, &group->said->ingress, false, err))
			return false;
		buffer_add(out, S("}\n"));
	}
	return true;
}

static void add_jumps(struct fabric *fabric, const struct vpc *vpc, struct buffer *out,
		      const char *whose, const char *way)
{
	struct group *group;

	for (size_t at = 0; (group = map_next(&fabric->groups, &at));)
		if (is_of(group, vpc))
			buffer_printf(out, "ct %s ip saddr @%.*s jump %s-%.*s\n", whose, STR(group->said->id), way,
				      STR(group->said->id));
	buffer_add(out, S("}\n"));
}

static void add_hooks(struct fabric *fabric, const struct vpc *vpc, struct buffer *out)
{
	buffer_add(out, S("chain depart { type filter hook forward priority filter; policy drop\n"
			  "ct state invalid drop\n"
			  "meta mark set meta mark map @generation\n"
			  "ct mark @current accept\n"
			  "oifname \"out0\" ip saddr != @public drop\n"
			  "iifname \"out0\" ip daddr != @public drop\n"));
	if (vpc->block_count)
		buffer_add(out, S("ct original ip saddr != @blocks accept\n"));
	add_jumps(fabric, vpc, out, "original", "out");
	buffer_add(out, S("chain arrive { type filter hook forward priority filter + 1; policy drop\n"
			  "ct mark @current accept\n"));
	if (vpc->block_count)
		buffer_add(out, S("ct reply ip saddr != @blocks goto admit\n"));
	add_jumps(fabric, vpc, out, "reply", "in");
	buffer_add(out, S("chain own { type filter hook input priority filter; policy drop\n"
			  "iifname \"lo\" accept\n"
			  "iifname != \"out0\" meta l4proto { tcp, udp } th dport 53 accept\n}\n"
			  "chain world_in { type nat hook prerouting priority dstnat; policy accept\n"
			  "iifname \"out0\" dnat to ip daddr map @inward\n}\n"
			  "chain world_out { type nat hook postrouting priority srcnat; policy accept\n"
			  "oifname \"out0\" snat to ip saddr map @outward\n}\n"));
}

/* Never one that an earlier agent used, as far as chance allows: its connections are not ours to vouch for. */
static void next_generation(struct vpc *vpc)
{
	do
		vpc->generation = vpc->generation ? vpc->generation + 1 : (uint32_t)entropy_number();
	while (vpc->generation == 0);
}

static bool make_text(struct fabric *fabric, struct vpc *vpc, struct buffer *out, struct error *err)
{
	buffer_add(out, S("add table ip vpc\ndelete table ip vpc\ntable ip vpc {\n"));
	buffer_printf(out, "set current { type mark; elements = { %u } }\nmap generation { type mark : mark; "
		      "elements = { 0 : %u } }\n", vpc->generation, vpc->generation);
	add_blocks_set(vpc, out);
	add_sets(fabric, vpc, out);
	add_public(fabric, vpc, out);
	if (!add_groups_chains(fabric, vpc, out, err))
		return false;
	add_hooks(fabric, vpc, out);
	buffer_append(out, "}\n", sizeof("}\n"));
	return true;
}

bool rules_replace(struct fabric *fabric, struct vpc *vpc, struct error *err)
{
	auto_buffer text = {0};
	int back;
	bool ok;

	vpc->outdated = true;
	next_generation(vpc);
	if (!make_text(fabric, vpc, &text, err) || !netns_enter(vpc->netns, &back, err))
		return false;
	ok = nft_run(text.bytes, err);
	netns_leave(back);
	if (!ok)
		return fail_context(err, "rules of '%.*s'", STR(vpc->id));
	vpc->outdated = false;
	vpc->changes.count = 0;
	return true;
}

static struct nft_element mark_change(const char *set, bool remove, uint32_t key, uint32_t value)
{
	return (struct nft_element){.set = str_of(set),
				    .key = key,
				    .value = value,
				    .is_map = *set == 'g',
				    .remove = remove};
}

/* With the same transaction every connection has to be judged anew. */
static void change_generation(struct vpc *vpc)
{
	list_add(&vpc->changes, mark_change("current", true, vpc->generation, 0));
	list_add(&vpc->changes, mark_change("generation", true, 0, vpc->generation));
	next_generation(vpc);
	list_add(&vpc->changes, mark_change("current", false, vpc->generation, 0));
	list_add(&vpc->changes, mark_change("generation", false, 0, vpc->generation));
}

static bool open_nft(struct vpc *vpc, struct error *err)
{
	int back;
	bool ok;

	if (vpc->nft.socket)
		return true;
	if (!netns_enter(vpc->netns, &back, err))
		return false;
	ok = nft_open(&vpc->nft, err);
	netns_leave(back);
	return ok;
}

bool rules_update(struct fabric *fabric, struct vpc *vpc, struct error *err)
{
	struct error ignored;
	bool ok;

	if (!vpc->outdated && vpc->changes.count == 0)
		return true;
	if (vpc->outdated || vpc->changes.count > NFT_ELEMENTS_LIMIT - 4)
		return rules_replace(fabric, vpc, err);
	change_generation(vpc);
	ok = open_nft(vpc, &ignored) &&
	     nft_elements_change(&vpc->nft, VPC_TABLE, vpc->changes.items, vpc->changes.count, &ignored);
	vpc->changes.count = 0;
	/* Somebody else had a hand in it: whole again. */
	return ok || rules_replace(fabric, vpc, err);
}

/* --- the host's table --- */

bool rules_host_table(struct fabric *fabric, bool wanted, struct error *err)
{
	auto_arena arena = {0};
	auto_buffer text = {0};
	struct str public = ipv4_text(&arena, fabric->public_block.base);
	unsigned bits = fabric->public_block.prefix;

	buffer_printf(&text, "add table ip %.*s\ndelete table ip %.*s\n", STR(fabric->table), STR(fabric->table));
	if (wanted)
		buffer_printf(
			&text,
			"table ip %.*s {\n"
			"chain forward { type filter hook forward priority filter; policy accept\n"
			"iifname \"%.*sv*\" ip saddr != %.*s/%u drop\n}\n"
			"chain postrouting { type nat hook postrouting priority srcnat; policy "
			"accept\n"
			"ip saddr %.*s/%u oifname != \"%.*sv*\" masquerade\n}\n}\n",
			STR(fabric->table), STR(fabric->prefix), STR(public), bits, STR(public),
			bits, STR(fabric->prefix));
	buffer_append(&text, "", 1);
	return nft_run(text.bytes, err) || fail_context(err, "table 'ip %.*s'", STR(fabric->table));
}
