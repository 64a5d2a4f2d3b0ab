/* WatchNetwork: which machines a change concerns, and who waits for it.
 *
 * Every change counts `version` up and marks what it concerns: an interface its machine, a group all machines that have an
 * interface in it or in a group whose rules name it. A call that knows the newest is parked; the end of a step answers the
 * parked calls of the machines marked in it (news.c: with what). */
#include "control/ec2/watch.h"
#include <assert.h>
#include "control/internal.h"

enum { GONE_LIMIT = 1024 };                              /* ends of interfaces that are remembered one by one */

#define WAIT_LIMIT (25 * USEC_PER_SEC)
#define IDLE_LIMIT (60 * USEC_PER_SEC)                   /* how long a machine without interfaces is remembered */

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
	if (!interface->watch)
		return;
	link_remove(&interface->in_watch);
	chain_append(&interface->watch->interfaces, &interface->in_watch);
	watch_touch(ec2, interface->watch);
}

static void group_touch(struct ec2 *ec2, struct group_entry *group)
{
	group->changed = ++ec2->version;
	if (!link_is_in(&group->dirty))
		chain_append(&ec2->dirty_groups, &group->dirty);
}

void watch_group_changed(struct plane *plane, struct group_entry *group)
{
	group_touch(plane_ec2(plane), group);
	group->record_changed = group->changed;
}

static void forget_changes(struct group_entry *group, size_t count)
{
	group->forgotten = group->changes.items[count - 1].version;
	group->changes.count -= count;
	memmove(group->changes.items, group->changes.items + count, group->changes.count * sizeof(*group->changes.items));
}

static void member_changed(struct plane *plane, const struct membership *membership, bool added)
{
	struct group_entry *group = membership->group;

	group_touch(plane_ec2(plane), group);
	if (group->changes.count == MEMBER_CHANGES_LIMIT)
		forget_changes(group, MEMBER_CHANGES_LIMIT / 2);
	list_add(&group->changes, ((struct member_change){group->changed, membership->interface->address, added}));
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
	made->since = group->changed;
	chain_append(&watch->presences, &made->in_watch);
	chain_append(&group->presences, &made->in_group);
	return made;
}

void watch_member_added(struct plane *plane, struct membership *membership)
{
	member_changed(plane, membership, true);
	if (!membership->interface->watch)
		return;
	membership->presence = presence_get(membership->interface->watch, membership->group);
	membership->presence->count++;
}

void watch_member_removed(struct plane *plane, struct membership *membership)
{
	struct presence *presence = membership->presence;

	member_changed(plane, membership, false);
	membership->presence = NULL;
	if (!presence || --presence->count)
		return;
	link_remove(&presence->in_watch);
	link_remove(&presence->in_group);
	free(presence);
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

/* ---- waiting */
static void answer_parked(struct plane *plane, struct watch *watch)
{
	struct wherry_watch_network_response *out = arena_new(plane_arena(plane), struct wherry_watch_network_response);

	assert(watch->parked);
	watch->parked = false;
	if (watch->since < watch->forgotten)
		watch_tell(plane, watch, true, 0, out);
	else
		watch_tell(plane, watch, false, watch->since, out);
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

void ec2_watch(struct call *call, struct str cluster, struct str instance, const struct wherry_watch_network_request *in,
	       struct wherry_watch_network_response *out)
{
	const struct ec2 *ec2 = plane_ec2(call->plane);
	struct watch *watch = watch_get(call->plane, watch_key(call->arena, call->realm->account, call->realm->region, cluster,
							       instance));
	uint64_t since = (uint64_t)in->version.value;
	bool known;

	if (watch->parked)
		answer_parked(call->plane, watch);
	rest(call->plane, watch, IDLE_LIMIT);
	known = str_equal(in->epoch, ec2->epoch) && in->version.has && since <= ec2->version && since >= watch->forgotten;
	if (!known || watch->newest > since || ec2->stopping) {
		watch_tell(call->plane, watch, !known, since, out);
		return;
	}
	forget_known(watch, since);
	watch->parked = call->parked = true;
	watch->ticket = call->ticket;
	watch->since = since;
	rest(call->plane, watch, WAIT_LIMIT);
}

void watches_check(const struct plane *plane)
{
	const struct ec2 *ec2 = plane_ec2(plane);
	struct watch *watch;

	assert(chain_empty(&ec2->dirty_watches) && chain_empty(&ec2->dirty_groups));
	for (size_t cursor = 0; (watch = map_next(&ec2->watches, &cursor));) {
		size_t count = 0, memberships = 0;
		uint64_t changed = 0;

		CHAIN_EACH(&watch->interfaces, struct interface_entry, in_watch, interface) {
			assert(interface->watch == watch);
			assert(interface->changed > changed);
			changed = interface->changed;
			count++;
			memberships += interface->record->groups.count;
		}
		assert(count == watch->interface_count);
		CHAIN_EACH(&watch->presences, struct presence, in_watch, presence) {
			memberships -= presence->count;
			assert(presence->since <= presence->group->changed);
		}
		assert(memberships == 0);
		assert(watch->newest <= ec2->version && watch->forgotten <= ec2->version);
	}
}
