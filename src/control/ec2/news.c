/* WatchNetwork: what a machine is told.
 *
 * All of it is read from the state as it is now; versions only say what can be left out. An interface that changed is told
 * whole. A group is told whole when the machine has not held it since `since`, or when more than its members changed;
 * otherwise by the members that came and went, which it remembers one by one (group_entry.changes) up to a limit: so what is
 * told of a group of any size is as long as what changed. */
#include "control/ec2/watch.h"
#include "control/call.h"

/* ---- what to tell */
struct news {
	struct plane *plane;
	struct arena *arena;
	uint64_t since, answer;
	bool full;
	LIST_OF(struct vpc_entry *) vpcs;
	LIST_OF(struct group_entry *) groups;            /* whole */
	LIST_OF(struct group_entry *) changed;           /* by their members */
	LIST_OF(struct interface_entry *) interfaces;
};

static void tell_vpc(struct news *news, struct vpc_entry *vpc)
{
	if (vpc->told == news->answer)
		return;
	vpc->told = news->answer;
	list_add(&news->vpcs, vpc);
}

/* Calls `visit` for each group that the machine needs: with an interface here in it, or named by the rules of such a one. */
static void each_group(struct news *news, const struct watch *watch,
		       void (*visit)(struct news *news, const struct presence *through, struct group_entry *group))
{
	CHAIN_EACH(&watch->presences, struct presence, in_watch, presence) {
		const struct group_rules *rules = &presence->group->record->rules;

		visit(news, presence, presence->group);
		for (size_t i = 0; i < rules->count; i++)
			if (str_has(rules->items[i].group))
				visit(news, presence, group_find(news->plane, presence->group->realm, rules->items[i].group));
	}
}

/* The caller has needed the group without a break since it knew `since`, and so holds it as it was then. */
static void look_at_group(struct news *news, const struct presence *through, struct group_entry *group)
{
	if (through->since <= news->since && (group == through->group || through->group->record_changed <= news->since))
		group->known = news->answer;
}

static void tell_group(struct news *news, const struct presence *through, struct group_entry *group)
{
	if (group->told == news->answer)
		return;
	group->told = news->answer;
	if (group->known != news->answer || group->record_changed > news->since || group->forgotten > news->since)
		list_add(&news->groups, group);
	else if (group->changed > news->since)
		list_add(&news->changed, group);
}

static void tell_groups(struct news *news, const struct watch *watch)
{
	if (!news->full)
		each_group(news, watch, look_at_group);
	each_group(news, watch, tell_group);
}

/* What changed last is at the end. */
static void tell_interfaces(struct news *news, const struct watch *watch)
{
	for (const struct link *link = watch->interfaces.prev; link != &watch->interfaces; link = link->prev) {
		struct interface_entry *interface = CONTAINER_OF(link, struct interface_entry, in_watch);

		if (!news->full && interface->changed <= news->since)
			return;
		list_add(&news->interfaces, interface);
		tell_vpc(news, interface->subnet->vpc);
	}
}

/* ---- telling it */
static void write_vpc(struct news *news, const struct vpc_entry *vpc, struct wherry_vpc *out)
{
	*out = (struct wherry_vpc){.id = vpc->record->id, .resolver = {vpc->record->dns_support.value, true}};
	out->blocks.items = arena_array(news->arena, struct str, 1);
	out->blocks.items[out->blocks.count++] = vpc->record->block;
}

static void write_interface(const struct interface_entry *interface, struct wherry_interface *out)
{
	const struct network_interface *record = interface->record;
	const struct subnet_entry *subnet = interface->subnet;

	*out = (struct wherry_interface){
		.id = record->id, .vpc = subnet->vpc->record->id, .subnet = subnet->record->id,
		.subnet_block = subnet->record->block, .mac = record->mac, .address = record->address,
		.public_address = interface_public_address(interface), .internet = {subnet_is_public(subnet), true},
		.groups = {record->groups.items, record->groups.count}};
}

static bool same_ports(const struct wherry_permission *permission, const struct group_rule *rule)
{
	return str_equal(permission->protocol, rule->protocol) &&
	       permission->from_port.has == rule->from_port.has && permission->from_port.value == rule->from_port.value &&
	       permission->to_port.has == rule->to_port.has && permission->to_port.value == rule->to_port.value;
}

static struct wherry_permission *permission_for(struct news *news, struct wherry_permissions *list, const struct group_rule *rule,
						size_t room)
{
	struct wherry_permission *permission;

	for (size_t i = 0; i < list->count; i++)
		if (same_ports(&list->items[i], rule))
			return &list->items[i];
	permission = &list->items[list->count++];
	*permission = (struct wherry_permission){
		.protocol = rule->protocol, .from_port = rule->from_port, .to_port = rule->to_port,
		.blocks.items = arena_array(news->arena, struct str, room),
		.groups.items = arena_array(news->arena, struct str, room)};
	return permission;
}

/* IPv4 only: there are no other addresses here, so rules about them allow nothing. */
static void write_permissions(struct news *news, const struct group_rules *rules, bool egress, struct wherry_permissions *out)
{
	out->items = arena_array(news->arena, struct wherry_permission, rules->count);
	for (size_t i = 0; i < rules->count; i++) {
		const struct group_rule *rule = &rules->items[i];
		struct wherry_permission *permission;

		if (rule->egress.value != egress || str_has(rule->block6))
			continue;
		permission = permission_for(news, out, rule, rules->count);
		if (str_has(rule->block))
			permission->blocks.items[permission->blocks.count++] = rule->block;
		else
			permission->groups.items[permission->groups.count++] = rule->group;
	}
}

static void write_group(struct news *news, const struct group_entry *group, struct wherry_group *out)
{
	*out = (struct wherry_group){.id = group->record->id, .vpc = group->record->vpc};
	out->members.items = arena_array(news->arena, struct str, group->member_count);
	CHAIN_EACH(&group->members, struct membership, in_group, membership)
		out->members.items[out->members.count++] = membership->interface->record->address;
	write_permissions(news, &group->record->rules, false, &out->ingress);
	write_permissions(news, &group->record->rules, true, &out->egress);
}

static bool is_among(const uint32_t *addresses, size_t count, uint32_t address)
{
	for (size_t i = 0; i < count; i++)
		if (addresses[i] == address)
			return true;
	return false;
}

/* The last change of an address is what counts. */
static void write_changes(struct news *news, const struct group_entry *group, struct wherry_member_change *out)
{
	uint32_t seen[MEMBER_CHANGES_LIMIT];
	size_t count = 0;

	*out = (struct wherry_member_change){
		.group = group->record->id, .added.items = arena_array(news->arena, struct str, group->changes.count),
		.removed.items = arena_array(news->arena, struct str, group->changes.count)};
	for (size_t i = group->changes.count; i-- > 0 && group->changes.items[i].version > news->since;) {
		const struct member_change *change = &group->changes.items[i];
		struct wherry_strings *list = change->added ? &out->added : &out->removed;

		if (is_among(seen, count, change->address))
			continue;
		seen[count++] = change->address;
		list->items[list->count++] = ipv4_text(news->arena, change->address);
	}
}

static void write_gone(struct news *news, const struct watch *watch, struct wherry_strings *out)
{
	out->items = arena_array(news->arena, struct str, watch->gone.count);
	for (size_t i = 0; i < watch->gone.count; i++)
		if (watch->gone.items[i].version > news->since)
			out->items[out->count++] = arena_copy(news->arena, str_of(watch->gone.items[i].id));
}

static void write_news(struct news *news, struct wherry_watch_network_response *out)
{
	out->vpcs.items = arena_array(news->arena, struct wherry_vpc, news->vpcs.count);
	out->interfaces.items = arena_array(news->arena, struct wherry_interface, news->interfaces.count);
	out->groups.items = arena_array(news->arena, struct wherry_group, news->groups.count);
	for (size_t i = 0; i < news->vpcs.count; i++)
		write_vpc(news, news->vpcs.items[i], &out->vpcs.items[out->vpcs.count++]);
	for (size_t i = 0; i < news->interfaces.count; i++)
		write_interface(news->interfaces.items[i], &out->interfaces.items[out->interfaces.count++]);
	for (size_t i = 0; i < news->groups.count; i++)
		write_group(news, news->groups.items[i], &out->groups.items[out->groups.count++]);
}

static void write_news_of_known(struct news *news, const struct watch *watch, struct wherry_watch_network_response *out)
{
	out->changes.items = arena_array(news->arena, struct wherry_member_change, news->changed.count);
	for (size_t i = 0; i < news->changed.count; i++)
		write_changes(news, news->changed.items[i], &out->changes.items[out->changes.count++]);
	write_gone(news, watch, &out->gone);
}

void watch_tell(struct plane *plane, struct watch *watch, bool full, uint64_t since, struct wherry_watch_network_response *out)
{
	struct ec2 *ec2 = plane_ec2(plane);
	struct news news = {.plane = plane, .arena = plane_arena(plane), .since = since, .full = full, .answer = ++ec2->answer};

	tell_interfaces(&news, watch);
	tell_groups(&news, watch);
	out->epoch = ec2->epoch;
	out->version = (struct maybe_long){(int64_t)ec2->version, true};
	out->full = (struct maybe_boolean){full, true};
	write_news(&news, out);
	if (!full)
		write_news_of_known(&news, watch, out);
	list_fini(&news.vpcs);
	list_fini(&news.groups);
	list_fini(&news.changed);
	list_fini(&news.interfaces);
}
