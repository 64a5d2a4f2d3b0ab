/* dependency.c - in which order containers start and stop (agent-protocol 4.3).
 *
 * Besides dependsOn, a link asks that its container has started. volumesFrom asks only that the container
 * was created, which all of a task are before the first one starts. HEALTHY counts at the start only. */
#include "agent/held.h"

static size_t find(const struct acs_task *task, struct str name)
{
	size_t i;

	for (i = 0; i < task->containers.count; i++)
		if (str_equal(task->containers.items[i].name, name))
			break;
	return i;
}

static struct str link_name(struct str link) { return str_slice(link, 0, str_find(link, ':')); }

/* Of what container `index` depends on: bit n stands for container n. */
static unsigned needs(const struct acs_task *task, size_t index)
{
	const struct acs_container *container = &task->containers.items[index];
	unsigned set = 0;

	for (size_t i = 0; i < container->depends_on.count; i++)
		set |= 1u << find(task, container->depends_on.items[i].container_name);
	for (size_t i = 0; i < container->links.count; i++)
		set |= 1u << find(task, link_name(container->links.items[i]));
	for (size_t i = 0; i < container->volumes_from.count; i++)
		set |= 1u << find(task, container->volumes_from.items[i].source_container);
	return set;
}

static_assert(AGENT_CONTAINERS_LIMIT < 32, "a bit for each container");

bool dependency_has_cycle(const struct acs_task *task)
{
	unsigned all = (1u << task->containers.count) - 1, done = 0;
	bool progress = true;

	while (progress) {
		progress = false;
		for (size_t i = 0; i < task->containers.count; i++) {
			if (done >> i & 1 || needs(task, i) & ~done)
				continue;
			done |= 1u << i;
			progress = true;
		}
	}
	return done != all;
}

static enum dependency_verdict broken(struct str *ret_reason, struct arena *arena, struct str target,
				      struct str on, const char *why)
{
	*ret_reason = arena_printf(arena, "CannotStartContainerError: dependency graph: container '%.*s' "
					  "depends on '%.*s', which %s", STR(target), STR(on), why);
	return DEPENDENCY_BROKEN;
}

/* What has ended is not HEALTHY any more, and will not be again. */
static enum dependency_verdict judge_ended(const struct agent_container *container, struct str target,
					   struct str condition, struct arena *arena, struct str *ret_reason)
{
	bool start = str_equal(condition, S("START"));

	if (!container->started_at.has)
		return broken(ret_reason, arena, target, container->name, "never started");
	if (str_equal(condition, S("HEALTHY")))
		return broken(ret_reason, arena, target, container->name, "ended before it was healthy");
	if (!start && !container->exit_code.has)
		return broken(ret_reason, arena, target, container->name, "ended without an exit code");
	if (str_equal(condition, S("SUCCESS")) && container->exit_code.value != 0)
		return broken(ret_reason, arena, target, container->name, "did not exit successfully");
	return DEPENDENCY_MET;
}

/* `other` has not got there yet: does its startTimeout allow more waiting? */
static bool times_out(const struct held *work, size_t other, usec now, usec *wake_at)
{
	const struct agent_container *container = &work->record->containers.items[other];
	int32_t timeout = held_definition(work, other)->start_timeout.value;
	usec deadline;

	if (timeout <= 0 || !container->started_at.has)
		return false;
	deadline = container->started_at.value + timeout * USEC_PER_SEC;
	*wake_at = MIN(*wake_at, deadline);
	return now >= deadline;
}

static enum dependency_verdict judge_one(const struct held *work, struct str target, struct str on,
					 struct str condition, usec now, struct arena *arena,
					 struct str *ret_reason, usec *wake_at)
{
	size_t other = held_find_container(work, on);
	const struct agent_container *container = &work->record->containers.items[other];
	bool healthy = str_equal(condition, S("HEALTHY"));

	if (container->known == AGENT_STATUS_STOPPED)
		return judge_ended(container, target, condition, arena, ret_reason);
	if (str_equal(condition, S("START")))
		return container->known == AGENT_STATUS_RUNNING ? DEPENDENCY_MET : DEPENDENCY_WAITS;
	if (healthy && container->health == AGENT_HEALTH_HEALTHY && !work->containers[other].down)
		return DEPENDENCY_MET;
	if (times_out(work, other, now, wake_at))
		return broken(ret_reason, arena, target, on, healthy ? "did not become healthy within its startTimeout"
								     : "did not end within its startTimeout");
	return DEPENDENCY_WAITS;
}

enum dependency_verdict dependency_judge(const struct held *work, size_t index, usec now, struct arena *arena,
					 struct str *ret_reason, usec *wake_at)
{
	const struct acs_container *container = held_definition(work, index);
	enum dependency_verdict worst = DEPENDENCY_MET;

	for (size_t i = 0; i < container->depends_on.count; i++) {
		const struct acs_dependency *on = &container->depends_on.items[i];

		worst = MAX(worst, judge_one(work, container->name, on->container_name, on->condition, now, arena,
					     ret_reason, wake_at));
	}
	for (size_t i = 0; i < container->links.count; i++)
		worst = MAX(worst, judge_one(work, container->name, link_name(container->links.items[i]), S("START"),
					     now, arena, ret_reason, wake_at));
	return worst;
}

bool dependency_may_stop(const struct held *work, size_t index)
{
	const struct agent_containers *containers = &work->record->containers;

	for (size_t i = 0; i < containers->count; i++)
		if (containers->items[i].known != AGENT_STATUS_STOPPED &&
		    needs(work->record->task, i) >> index & 1)
			return false;
	return true;
}
