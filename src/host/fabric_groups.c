/* Security groups, as the server tells of them, and what changes in the tables with them.
 *
 * A group that no interface here needs any more stays for a while as a spare: its chains stand, but nobody is in it, so it
 * decides nothing. A task that comes alone, goes and comes again then changes elements, and not whole tables. */
#include <arpa/inet.h>
#include <assert.h>
#include "host/fabric_private.h"
#include "os/clock.h"

void group_free(struct group *group)
{
	free(group->said);
	free(group->members);
	free(group);
}

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

static void end_spare(struct fabric *fabric, struct group *group)
{
	if (!link_is_in(&group->spare))
		return;
	link_remove(&group->spare);
	fabric->spare_count--;
}

static bool put_group(struct fabric *fabric, const struct wherry_group *said, struct group **ret_group, struct error *err)
{
	struct group *old = map_get(&fabric->groups, said->id), *group;

	if (!old && fabric->groups.count - fabric->spare_count == FABRIC_GROUPS_LIMIT)
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
	if (old) {
		end_spare(fabric, old);
		group_free(old);
	}
	*ret_group = group;
	return true;
}

void group_drop(struct fabric *fabric, struct group *group)
{
	outdate(fabric, group);
	map_remove(&fabric->groups, group->said->id);
	end_spare(fabric, group);
	group_free(group);
}

void groups_take(struct fabric *fabric, const struct wherry_groups *said, struct error *first)
{
	for (size_t i = 0; i < said->count; i++) {
		struct group *old = map_get(&fabric->groups, said->items[i].id), *group;
		struct error why = {0};

		if (!str_empty(said->items[i].vpc) && put_group(fabric, &said->items[i], &group, &why))
			continue;
		if (old)
			group_drop(fabric, old);
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

/* Nobody is in it from now on: an address that has left such a group may come back without it. */
static void make_spare(struct fabric *fabric, struct group *group)
{
	struct vpc *vpc = map_get(&fabric->vpcs, group->said->vpc);
	struct wherry_group bare = *group->said;
	struct error ignored;

	bare.members = (struct wherry_strings){0};
	if (!vpc || !vpc->made || !put_group(fabric, &bare, &group, &ignored)) {
		group_drop(fabric, group);
		return;
	}
	group->spare_since = clock_monotonic();
	chain_append(&fabric->spare_groups, &group->spare);
	fabric->spare_count++;
}

static void mark_needed(struct fabric *fabric)
{
	struct interface *interface;
	struct group *group;

	for (size_t at = 0; (group = map_next(&fabric->groups, &at));) {
		group->stale = true;
		group->named = false;
	}
	for (size_t at = 0; (interface = map_next(&fabric->interfaces, &at));)
		need_groups(fabric, interface);
}

void groups_sort_out(struct fabric *fabric)
{
	LIST_OF(struct group *) left = {0};
	struct group *group;

	mark_needed(fabric);
	for (size_t at = 0; (group = map_next(&fabric->groups, &at));) {
		if (!group->stale)
			end_spare(fabric, group);
		else if (!link_is_in(&group->spare))
			list_add(&left, group);
	}
	for (size_t i = 0; i < left.count; i++)
		make_spare(fabric, left.items[i]);
	list_fini(&left);
	while (fabric->spare_count > FABRIC_SPARE_GROUPS_LIMIT)
		group_drop(fabric, CONTAINER_OF(fabric->spare_groups.next, struct group, spare));
}

void groups_settle(struct fabric *fabric, usec now)
{
	CHAIN_EACH(&fabric->spare_groups, struct group, spare, group)
		if (now - group->spare_since >= FABRIC_EMPTY_SECONDS * USEC_PER_SEC)
			group_drop(fabric, group);
}
