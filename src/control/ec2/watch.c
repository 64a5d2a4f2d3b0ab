/* WatchNetwork: tells each machine what its part of the VPCs must look like.
 *
 * Every change counts `version` up and marks what it concerns: an interface its machine, a group all machines that have an
 * interface in it or in a group whose rules name it. A call that knows the newest is parked; the end of a step answers the
 * parked calls of the machines marked in it. One told interface brings its groups along and the groups that those name, so
 * a machine never holds a group that changed while nothing of it was there. */
#include "api/wherry_handlers.h"
#include <assert.h>
#include "api/wherry.h"
#include "control/call.h"
#include "control/ec2/state.h"
#include "control/ecs/instances.h"
#include "control/internal.h"

enum { GONE_LIMIT = 1024 };                              /* ends of interfaces that are remembered one by one */

#define WAIT_LIMIT (25 * USEC_PER_SEC)
#define IDLE_LIMIT (60 * USEC_PER_SEC)                   /* how long a machine without interfaces is remembered */

struct gone { char id[24]; uint64_t version; };

/* A group on a machine: what tells the machines that a group concerns without a look at all of its members. */
struct presence {
	struct link in_group, in_watch;
	struct watch *watch;
	struct group_entry *group;
	size_t count;                                    /* of the machine's interfaces in the group */
};

/* A container instance. */
struct watch {
	struct str key;                                  /* owned */
	struct link interfaces;                          /* interface_entry.in_watch */
	struct link presences;
	size_t interface_count;
	LIST_OF(struct gone) gone;                       /* the oldest first */
	uint64_t forgotten;                              /* who knows less than this is told everything */
	uint64_t newest;                                 /* of what concerns it */
	bool parked;
	uint64_t ticket, since;
	struct link dirty;
	struct wake wake;                                /* parked: the answer; otherwise the end, when nothing is here */
};

/* ---- watches */
static void watch_wake(struct plane *plane, struct wake *wake);

void watches_init(struct ec2 *ec2)
{
	chain_init(&ec2->dirty_watches);
	chain_init(&ec2->dirty_groups);
}

static void watch_free(struct watch *watch)
{
	list_fini(&watch->gone);
	free((void *)watch->key.ptr);
	free(watch);
}

void watches_fini(struct ec2 *ec2)
{
	struct watch *watch;

	for (size_t cursor = 0; (watch = map_next(&ec2->watches, &cursor));)
		watch_free(watch);
	map_fini(&ec2->watches);
}

static struct watch *watch_get(struct plane *plane, struct str key)
{
	struct ec2 *ec2 = plane_ec2(plane);
	struct watch *watch = map_get(&ec2->watches, key);
	char *copy;

	if (watch)
		return watch;
	watch = calloc(1, sizeof(*watch));
	copy = malloc(key.len);
	if (!watch || !copy)
		abort();
	memcpy(copy, key.ptr, key.len);
	watch->key = (struct str){copy, key.len};
	watch->forgotten = watch->newest = ec2->version;
	watch->wake.run = watch_wake;
	chain_init(&watch->interfaces);
	chain_init(&watch->presences);
	map_put(&ec2->watches, watch->key, watch);
	return watch;
}

static struct str watch_key(struct arena *arena, struct str account, struct str region, struct str cluster, struct str instance)
{
	return ARENA_JOIN(arena, account, S("/"), region, S("/"), cluster, S("/"), instance);
}

static void watch_touch(struct ec2 *ec2, struct watch *watch)
{
	watch->newest = ec2->version;
	if (!link_is_in(&watch->dirty))
		chain_append(&ec2->dirty_watches, &watch->dirty);
}

static void rest(struct plane *plane, struct watch *watch, usec span)
{
	wake_clear(plane, &watch->wake);
	wake_set(plane, &watch->wake, plane_now(plane) + span);
}

/* ---- changes */
void watch_interface_added(struct plane *plane, struct interface_entry *interface)
{
	const struct network_interface *record = interface->record;
	struct watch *watch = watch_get(plane, watch_key(plane_arena(plane), record->instance_account, record->instance_region,
							 record->instance_cluster, record->instance));

	interface->watch = watch;
	chain_append(&watch->interfaces, &interface->in_watch);
	watch->interface_count++;
}

static void forget_gone(struct watch *watch, size_t count)
{
	if (!count)
		return;
	watch->forgotten = MAX(watch->forgotten, watch->gone.items[count - 1].version);
	watch->gone.count -= count;
	memmove(watch->gone.items, watch->gone.items + count, watch->gone.count * sizeof(*watch->gone.items));
}

static void remember_gone(struct watch *watch, struct str id, uint64_t version)
{
	struct gone gone = {.version = version};

	if (watch->gone.count == GONE_LIMIT)
		forget_gone(watch, GONE_LIMIT / 2);
	assert(id.len < sizeof(gone.id));
	memcpy(gone.id, id.ptr, id.len);
	list_add(&watch->gone, gone);
}

void watch_interface_removed(struct plane *plane, struct interface_entry *interface)
{
	struct ec2 *ec2 = plane_ec2(plane);
	struct watch *watch = interface->watch;

	ec2->version++;
	remember_gone(watch, interface->by_id.key, ec2->version);
	link_remove(&interface->in_watch);
	interface->watch = NULL;
	watch->interface_count--;
	watch_touch(ec2, watch);
	if (!watch->interface_count && !watch->parked)
		rest(plane, watch, IDLE_LIMIT);
}

void watch_interface_changed(struct plane *plane, struct interface_entry *interface)
{
	struct ec2 *ec2 = plane_ec2(plane);

	interface->changed = ++ec2->version;
	if (interface->watch)
		watch_touch(ec2, interface->watch);
}

static struct presence *presence_get(struct watch *watch, struct group_entry *group)
{
	struct presence *made;

	CHAIN_EACH(&watch->presences, struct presence, in_watch, presence)
		if (presence->group == group)
			return presence;
	made = calloc(1, sizeof(*made));
	if (!made)
		abort();
	made->watch = watch;
	made->group = group;
	chain_append(&watch->presences, &made->in_watch);
	chain_append(&group->presences, &made->in_group);
	return made;
}

void watch_membership_added(struct membership *membership)
{
	if (!membership->interface->watch)
		return;
	membership->presence = presence_get(membership->interface->watch, membership->group);
	membership->presence->count++;
}

void watch_membership_removed(struct membership *membership)
{
	struct presence *presence = membership->presence;

	membership->presence = NULL;
	if (!presence || --presence->count)
		return;
	link_remove(&presence->in_watch);
	link_remove(&presence->in_group);
	free(presence);
}

void watch_group_changed(struct plane *plane, struct group_entry *group)
{
	struct ec2 *ec2 = plane_ec2(plane);

	group->changed = ++ec2->version;
	if (!link_is_in(&group->dirty))
		chain_append(&ec2->dirty_groups, &group->dirty);
}

void watch_vpc_changed(struct plane *plane, struct vpc_entry *vpc)
{
	vpc->changed = ++plane_ec2(plane)->version;
	CHAIN_EACH(&vpc->subnets, struct subnet_entry, in_vpc, subnet)
		CHAIN_EACH(&subnet->interfaces, struct interface_entry, in_subnet, interface)
			watch_interface_changed(plane, interface);
}

static void touch_machines(struct ec2 *ec2, const struct group_entry *group)
{
	CHAIN_EACH(&group->presences, struct presence, in_group, presence)
		watch_touch(ec2, presence->watch);
}

static void spread_groups(struct ec2 *ec2)
{
	CHAIN_EACH(&ec2->dirty_groups, struct group_entry, dirty, group) {
		link_remove(&group->dirty);
		touch_machines(ec2, group);
		for (size_t i = 0; i < group->referrers.count; i++)
			touch_machines(ec2, group->referrers.items[i]);
	}
}

/* ---- telling */
struct news {
	struct plane *plane;
	struct arena *arena;
	uint64_t since, answer;
	bool full;
	LIST_OF(struct vpc_entry *) vpcs;
	LIST_OF(struct group_entry *) groups;
	LIST_OF(struct interface_entry *) interfaces;
};

static void tell_vpc(struct news *news, struct vpc_entry *vpc)
{
	if (vpc->told == news->answer)
		return;
	vpc->told = news->answer;
	list_add(&news->vpcs, vpc);
}

static void tell_group(struct news *news, struct group_entry *group)
{
	if (group->told == news->answer)
		return;
	group->told = news->answer;
	list_add(&news->groups, group);
}

/* A group of an interface here: it and what its rules name. `whole`: whether or not these changed. */
static void look_at_group(struct news *news, struct group_entry *group, bool whole)
{
	const struct group_rules *rules = &group->record->rules;

	whole = whole || group->changed > news->since;
	if (group->seen == news->answer && (!whole || group->seen_whole == news->answer))
		return;
	group->seen = news->answer;
	if (whole) {
		group->seen_whole = news->answer;
		tell_group(news, group);
	}
	for (size_t i = 0; i < rules->count; i++) {
		struct group_entry *named = str_has(rules->items[i].group)
						    ? group_find(news->plane, group->realm, rules->items[i].group) : NULL;

		if (named && (whole || named->changed > news->since))
			tell_group(news, named);
	}
}

static void look_at_interface(struct news *news, struct interface_entry *interface)
{
	bool whole = news->full || interface->changed > news->since;
	struct vpc_entry *vpc = interface->subnet->vpc;

	if (whole)
		list_add(&news->interfaces, interface);
	if (whole || vpc->changed > news->since)
		tell_vpc(news, vpc);
	for (size_t i = 0; i < interface->record->groups.count; i++)
		look_at_group(news, interface->memberships[i].group, whole);
}

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

/* Everything, or what is newer than `since`. */
static void tell(struct plane *plane, struct watch *watch, bool full, uint64_t since, struct wherry_watch_network_response *out)
{
	struct ec2 *ec2 = plane_ec2(plane);
	struct news news = {.plane = plane, .arena = plane_arena(plane), .since = since, .full = full, .answer = ++ec2->answer};

	CHAIN_EACH(&watch->interfaces, struct interface_entry, in_watch, interface)
		look_at_interface(&news, interface);
	out->epoch = ec2->epoch;
	out->version = (struct maybe_long){(int64_t)ec2->version, true};
	out->full = (struct maybe_boolean){full, true};
	write_news(&news, out);
	if (!full)
		write_gone(&news, watch, &out->gone);
	list_fini(&news.vpcs);
	list_fini(&news.groups);
	list_fini(&news.interfaces);
}

/* ---- waiting */
static void answer_parked(struct plane *plane, struct watch *watch)
{
	struct wherry_watch_network_response *out = arena_new(plane_arena(plane), struct wherry_watch_network_response);

	assert(watch->parked);
	watch->parked = false;
	if (watch->since < watch->forgotten)
		tell(plane, watch, true, 0, out);
	else
		tell(plane, watch, false, watch->since, out);
	plane_answer(plane, watch->ticket, &api_wherry.operations[WHERRY_OPERATION_WATCH_NETWORK], out, NULL);
	rest(plane, watch, IDLE_LIMIT);
}

static void watch_wake(struct plane *plane, struct wake *wake)
{
	struct watch *watch = CONTAINER_OF(wake, struct watch, wake);

	if (watch->parked) {
		answer_parked(plane, watch);
	} else if (!watch->interface_count) {
		link_remove(&watch->dirty);
		map_remove(&plane_ec2(plane)->watches, watch->key);
		watch_free(watch);
	}
}

void ec2_step_end(struct plane *plane)
{
	struct ec2 *ec2 = plane_ec2(plane);

	spread_groups(ec2);
	CHAIN_EACH(&ec2->dirty_watches, struct watch, dirty, watch) {
		link_remove(&watch->dirty);
		if (watch->parked)
			answer_parked(plane, watch);
	}
}

void ec2_stop(struct plane *plane)
{
	struct ec2 *ec2 = plane_ec2(plane);
	struct watch *watch;

	ec2->stopping = true;
	for (size_t cursor = 0; (watch = map_next(&ec2->watches, &cursor));)
		if (watch->parked)
			answer_parked(plane, watch);
}

/* What the ends of interfaces that the caller knows of took is given back. */
static void forget_known(struct watch *watch, uint64_t known)
{
	size_t count = 0;

	while (count < watch->gone.count && watch->gone.items[count].version <= known)
		count++;
	forget_gone(watch, count);
}

/* The cluster of an ARN "…:container-instance/CLUSTER/ID" when none is named. */
static struct str named_cluster(const struct wherry_watch_network_request *in)
{
	struct str rest = in->container_instance, type, cluster;

	if (!str_empty(in->cluster) || !str_starts(rest, S("arn:")))
		return in->cluster;
	return str_cut(&rest, '/', &type) && str_cut(&rest, '/', &cluster) && str_has(rest) ? cluster : STR_NONE;
}

static bool find_watch(struct call *call, const struct wherry_watch_network_request *in, struct watch **ret_watch)
{
	struct cluster_entry *cluster;
	struct instance_entry *instance;

	if (!find_agent_cluster(call, named_cluster(in), false, &cluster))
		return false;
	instance = find_instance(call, cluster, in->container_instance);
	if (!instance)
		return fail(&call->error, ERROR_INVALID_PARAMETER, "Referenced container instance %.*s not found.",
			    STR(in->container_instance));
	*ret_watch = watch_get(call->plane, watch_key(call->arena, call->realm->account, call->realm->region,
						      cluster->record->name, instance->by_id.key));
	return true;
}

bool wherry_watch_network(struct call *call, const struct wherry_watch_network_request *in,
			  struct wherry_watch_network_response *out)
{
	const struct ec2 *ec2 = plane_ec2(call->plane);
	uint64_t since = (uint64_t)in->version.value;
	struct watch *watch;
	bool known;

	if (!find_watch(call, in, &watch))
		return false;
	if (watch->parked)
		answer_parked(call->plane, watch);
	rest(call->plane, watch, IDLE_LIMIT);
	known = str_equal(in->epoch, ec2->epoch) && in->version.has && since <= ec2->version && since >= watch->forgotten;
	if (!known || watch->newest > since || ec2->stopping) {
		tell(call->plane, watch, !known, since, out);
		return true;
	}
	forget_known(watch, since);
	watch->parked = call->parked = true;
	watch->ticket = call->ticket;
	watch->since = since;
	rest(call->plane, watch, WAIT_LIMIT);
	return true;
}

void watches_check(const struct plane *plane)
{
	const struct ec2 *ec2 = plane_ec2(plane);
	struct watch *watch;

	assert(chain_empty(&ec2->dirty_watches) && chain_empty(&ec2->dirty_groups));
	for (size_t cursor = 0; (watch = map_next(&ec2->watches, &cursor));) {
		size_t count = 0, memberships = 0;

		CHAIN_EACH(&watch->interfaces, struct interface_entry, in_watch, interface) {
			assert(interface->watch == watch);
			count++;
			memberships += interface->record->groups.count;
		}
		assert(count == watch->interface_count);
		CHAIN_EACH(&watch->presences, struct presence, in_watch, presence)
			memberships -= presence->count;
		assert(memberships == 0);
		assert(watch->newest <= ec2->version && watch->forgotten <= ec2->version);
	}
}
