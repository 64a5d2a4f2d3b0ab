#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>
#include "host/cgroup.h"
#include "host/hands_private.h"
#include "os/fd.h"
#include "os/file.h"

#define LIST_PATIENCE (5 * USEC_PER_SEC)

void places_list_containers(const struct places *at, struct arena *arena, struct str **ret_names, size_t *ret_count)
{
	struct str *names;
	size_t count, kept = 0;

	*ret_count = 0;
	if (!folder_list(AT_FDCWD, arena_cstr(arena, at->run), TASKS_LIMIT, arena, &names, &count, NULL))
		return;
	for (size_t i = 0; i < count; i++)
		if (places_name_is_good(names[i]))
			names[kept++] = names[i];
	*ret_names = names;
	*ret_count = kept;
}

static void tell_found(struct hands *hands, struct str task_id, const struct keeper_event *event,
		       struct arena *arena)
{
	struct str name = str_of(event->container);
	struct places at = places_of(hands, task_id, name, arena);
	struct fact fact = fact_of(FACT_FOUND, task_id, name);
	struct keeper_launch launch;

	fact.ok = true;
	fact.running = event->kind == KEEPER_IS_RUNNING || event->kind == KEEPER_STARTED;
	fact.runtime_id = runtime_id_of(at.owner, arena);
	fact.exit_code = event->exit_code;
	fact.out_of_memory = event->out_of_memory;
	fact.at = fact.running ? event->started_at : event->finished_at;
	fact.started_at = event->started_at;
	if (keeper_read_launch(at.folder, arena, &launch, NULL))
		fact.bindings = ports_bindings(&launch, arena);
	if (!fact.running)
		chore_detach(hands, &at);
	hands_tell(hands, &fact);
}

static const struct str vanished = STR_INIT("ContainerVanishedError: No container matching saved ID found");

static void tell_vanished(struct hands *hands, enum fact_kind kind, struct str task_id, struct str name,
			  struct arena *arena)
{
	struct places at = places_of(hands, task_id, name, arena);
	struct fact fact = fact_of(kind, task_id, name);

	chore_detach(hands, &at);
	fact.reason = vanished;
	fact.runtime_id = runtime_id_of(at.owner, arena);
	hands_tell(hands, &fact);
}

/* The keeper is gone: without it nobody will know how its containers end, so they end now. `told`: the
 * brain has heard of those that exited before. */
static void mourn(struct hands *hands, struct str task_id, bool told, struct arena *arena)
{
	struct places at = places_of(hands, task_id, S("x"), arena);
	struct error ignored;
	struct str *names;
	size_t count;

	cgroup_kill(task_id, &ignored);
	places_list_containers(&at, arena, &names, &count);
	for (size_t i = 0; i < count; i++) {
		struct keeper_event state;

		at = places_of(hands, task_id, names[i], arena);
		if (!keeper_read_state(at.folder, &state, NULL))
			continue;
		if (state.kind == KEEPER_IS_RUNNING)
			tell_vanished(hands, told ? FACT_EXIT : FACT_FOUND, task_id, names[i], arena);
		else if (!told)
			tell_found(hands, task_id, &state, arena);
	}
}

/* The state files of the dead are not to be believed a second time. */
static void mark_ended(struct hands *hands, struct str task_id, struct arena *arena)
{
	struct places at = places_of(hands, task_id, S("x"), arena);
	struct str *names;
	size_t count;

	places_list_containers(&at, arena, &names, &count);
	for (size_t i = 0; i < count; i++) {
		struct keeper_event state;

		at = places_of(hands, task_id, names[i], arena);
		if (keeper_read_state(at.folder, &state, NULL) && state.kind == KEEPER_IS_RUNNING)
			unlink(arena_printf(arena, "%.*s/state%c", STR(at.folder), '\0').ptr);
	}
}

void chore_lost(struct hands *hands, struct lane *lane, struct chore *chore)
{
	if (lane_connect(hands, lane, NULL)) {
		lane_send(hands, lane, KEEPER_LIST, STR_NONE, 0, NULL);
		return;
	}
	mourn(hands, lane->task_id, true, &chore->arena);
	mark_ended(hands, lane->task_id, &chore->arena);
}

void chore_started(struct hands *hands, struct lane *lane, struct chore *chore)
{
	tell_found(hands, lane->task_id, &chore->event, &chore->arena);
}

/* ---- Reconciling ---- */

/* False when the line broke. A keeper that is only slow is not gone: its answers come to its lane later. */
static bool ask_keeper(struct hands *hands, struct str task_id, int fd, struct arena *arena)
{
	struct keeper_event event;
	struct error err = {0};

	if (!keeper_send(fd, KEEPER_LIST, STR_NONE, 0, NULL))
		return false;
	while (keeper_receive(fd, LIST_PATIENCE, &event, &err)) {
		if (event.kind == KEEPER_LISTED)
			return true;
		if (event.kind == KEEPER_EXITED)
			hands_tell_exit(hands, task_id, &event);
		else if (event.kind == KEEPER_IS_RUNNING || event.kind == KEEPER_HAS_EXITED ||
			 event.kind == KEEPER_STARTED)
			tell_found(hands, task_id, &event, arena);
	}
	return err.code == ERROR_REFUSED;
}

static void reconcile_task(struct hands *hands, struct str task_id)
{
	auto_arena arena = {0};
	struct places at = places_of(hands, task_id, S("x"), &arena);
	auto_fd fd = -1;

	if (keeper_connect(at.run, &fd, NULL) && ask_keeper(hands, task_id, fd, &arena)) {
		lane_adopt(hands, task_id, take_fd(&fd));
		return;
	}
	mourn(hands, task_id, false, &arena);
	mark_ended(hands, task_id, &arena);
}

void chore_reconcile(struct hands *hands, struct lane *lane, struct chore *chore)
{
	const char *path = arena_printf(&chore->arena, "%.*s/tasks%c", STR(hands->options.run), '\0').ptr;
	struct fact fact = fact_of(FACT_RECONCILED, STR_NONE, STR_NONE);
	struct error err = {0};
	struct str *names;
	size_t count;
	bool ok = folder_list(AT_FDCWD, path, TASKS_LIMIT, &chore->arena, &names, &count, &err);

	for (size_t i = 0; ok && i < count; i++)
		if (places_name_is_good(names[i]))
			reconcile_task(hands, names[i]);
	hands_tell_result(hands, &fact, ok, &err);
}

/* ---- Sweeping ---- */

static bool sweep_tasks(struct hands *hands, const struct str *names, size_t count, struct error *err)
{
	bool ok = true;

	for (size_t i = 0; i < count; i++) {
		struct lane *lane;

		if (!places_name_is_good(names[i]))
			continue;
		lane = lane_hold(hands, names[i]);
		ok = chore_destroy_task(hands, lane, names[i], NULL, ok ? err : NULL) && ok;
		lane_release(hands, lane);
	}
	return ok;
}

static bool sweep_folder(struct hands *hands, struct str parent, struct error *err)
{
	auto_arena arena = {0};
	const char *path = arena_printf(&arena, "%.*s/tasks%c", STR(parent), '\0').ptr;
	struct str *names;
	size_t count;

	return folder_list(AT_FDCWD, path, TASKS_LIMIT, &arena, &names, &count, err) &&
	       sweep_tasks(hands, names, count, err);
}

/* A task's folders are made before anything else of it, so they name all that there can be. */
bool hands_sweep(struct hands *hands, struct error *err)
{
	struct error second = {0};
	bool ok = sweep_folder(hands, hands->options.run, err);

	ok = sweep_folder(hands, hands->options.data, ok ? err : &second) && ok;
	cgroup_tidy();
	return ok;
}
