#include "agent/network_view.h"
#include <stdlib.h>

/* ---- what is kept */
static void forget(struct map *map, struct str id) { free(map_remove(map, id)); }

static void forget_all(struct map *map)
{
	void *value;

	for (size_t at = 0; (value = map_next(map, &at));)
		free(value);
	map_fini(map);
}

void network_view_fini(struct network_view *view)
{
	forget_all(&view->interfaces);
	forget_all(&view->groups);
}

static void keep_interface(struct network_view *view, const struct wherry_interface *said)
{
	struct wherry_interface *kept = shape_clone(&shape_wherry_interface, said);

	forget(&view->interfaces, kept->id);
	map_put(&view->interfaces, kept->id, kept);
}

static void keep_group(struct network_view *view, const struct wherry_group *said)
{
	struct wherry_group *kept = shape_clone(&shape_wherry_group, said);

	forget(&view->groups, kept->id);
	map_put(&view->groups, kept->id, kept);
}

/* ---- members that came and went */
/* Whoever is in one of the two lists stands behind the others, if anywhere: an address that is told twice is there once. */
static void change_members(const struct wherry_member_change *change, struct arena *arena, struct wherry_group *group)
{
	struct str *items = arena_array(arena, struct str, group->members.count + change->added.count);
	struct map changed = {0};
	size_t count = 0;

	for (size_t i = 0; i < change->added.count; i++)
		map_put(&changed, change->added.items[i], group);
	for (size_t i = 0; i < change->removed.count; i++)
		map_put(&changed, change->removed.items[i], group);
	for (size_t i = 0; i < group->members.count; i++)
		if (!map_get(&changed, group->members.items[i]))
			items[count++] = group->members.items[i];
	for (size_t i = 0; i < change->added.count; i++)
		items[count++] = change->added.items[i];
	map_fini(&changed);
	group->members = (struct wherry_strings){items, count};
}

static bool take_changes(struct network_view *view, const struct wherry_member_changes *changes, struct arena *arena,
			 struct wherry_groups *told, struct error *err)
{
	for (size_t i = 0; i < changes->count; i++) {
		const struct wherry_group *known = map_get(&view->groups, changes->items[i].group);
		struct wherry_group *whole = &told->items[told->count];

		if (!known)
			return fail(err, ERROR_CORRUPT, "members of group '%.*s' changed, which is not known",
				    STR(changes->items[i].group));
		*whole = *(struct wherry_group *)shape_copy(&shape_wherry_group, known, arena);
		change_members(&changes->items[i], arena, whole);
		keep_group(view, whole);
		told->count++;
	}
	return true;
}

/* ---- what is not needed any more */
static void pick(struct network_view *view, struct map *needed, struct str id)
{
	struct wherry_group *group = map_get(&view->groups, id);

	if (group)
		map_put(needed, group->id, group);
}

static void pick_named(struct network_view *view, struct map *needed, const struct wherry_permissions *permissions)
{
	for (size_t i = 0; i < permissions->count; i++)
		for (size_t j = 0; j < permissions->items[i].groups.count; j++)
			pick(view, needed, permissions->items[i].groups.items[j]);
}

/* Groups that an interface is in. */
static void pick_joined(struct network_view *view, struct map *joined)
{
	const struct wherry_interface *interface;

	for (size_t at = 0; (interface = map_next(&view->interfaces, &at));)
		for (size_t i = 0; i < interface->groups.count; i++)
			pick(view, joined, interface->groups.items[i]);
}

static void forget_groups(struct network_view *view)
{
	struct map joined = {0}, needed = {0};
	struct wherry_group *group;

	pick_joined(view, &joined);
	for (size_t at = 0; (group = map_next(&joined, &at));) {
		pick(view, &needed, group->id);
		pick_named(view, &needed, &group->ingress);
		pick_named(view, &needed, &group->egress);
	}
	for (size_t at = 0; (group = map_next(&view->groups, &at));)
		if (!map_get(&needed, group->id))
			free(group);
	map_fini(&view->groups);
	map_fini(&joined);
	view->groups = needed;
}

/* ---- an answer */
bool network_view_take(struct network_view *view, const struct wherry_watch_network_response *news, struct arena *arena,
		       struct wherry_watch_network_response *ret_told, struct error *err)
{
	struct wherry_groups told = {arena_array(arena, struct wherry_group, news->groups.count + news->changes.count), 0};

	if (news->full.value)
		network_view_fini(view);
	for (size_t i = 0; i < news->gone.count; i++)
		forget(&view->interfaces, news->gone.items[i]);
	for (size_t i = 0; i < news->interfaces.count; i++)
		keep_interface(view, &news->interfaces.items[i]);
	for (size_t i = 0; i < news->groups.count; i++) {
		keep_group(view, &news->groups.items[i]);
		told.items[told.count++] = news->groups.items[i];
	}
	if (!take_changes(view, &news->changes, arena, &told, err))
		return false;
	forget_groups(view);
	*ret_told = *news;
	ret_told->groups = told;
	ret_told->changes = (struct wherry_member_changes){0};
	return true;
}
