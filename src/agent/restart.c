/* restart.c - containers that are started again in place (agent-protocol 4.4).
 *
 * The server hears nothing of it: the container stays RUNNING, its id and its first start stay, only a count goes up.
 * What is wanted decides before the policy does: who is to stop is not started again. */
#include "agent/held.h"

enum { RESTART_PERIOD_SECONDS = 300 };                   /* restartAttemptPeriod, when it is not given */

static bool has_policy(const struct acs_container *definition)
{
	return definition->restart_policy && definition->restart_policy->enabled.value;
}

static bool is_ignored(const struct acs_restart_policy *policy, int exit_code)
{
	for (size_t i = 0; i < policy->ignored_exit_codes.count; i++)
		if (policy->ignored_exit_codes.items[i].value == exit_code)
			return true;
	return false;
}

bool restart_is_due(const struct held *work, size_t index, const struct fact *fact, usec at)
{
	const struct acs_container *definition = held_definition(work, index);
	const struct agent_container *container = &work->record->containers.items[index];
	usec period = RESTART_PERIOD_SECONDS, began = fact->started_at ? fact->started_at : held_run_began(container);

	if (!has_policy(definition) || !fact->ok || container->desired == AGENT_STATUS_STOPPED ||
	    is_ignored(definition->restart_policy, fact->exit_code))
		return false;
	if (definition->restart_policy->restart_attempt_period.has)
		period = definition->restart_policy->restart_attempt_period.value;
	return at - began >= period * USEC_PER_SEC;
}

void restart_succeeded(struct step *step, struct held *work, size_t index, usec at)
{
	struct agent_container *container = &work->record->containers.items[index];

	container->restart_count = (struct maybe_integer){container->restart_count.value + 1, true};
	container->restarted_at = (struct maybe_time){at, true};
	if (work->containers[index].down) {
		container->exit_code = (struct maybe_integer){0};
		container->reason = STR_NONE;
	}
	work->containers[index].down = false;
	work->touched = work->durable = true;
	health_run_began(step, work, index, at);
}

/* Times are whole milliseconds once stored. */
bool restart_was_missed(const struct held *work, size_t index, usec began)
{
	const struct agent_container *container = &work->record->containers.items[index];

	return has_policy(held_definition(work, index)) && container->started_at.has && began > 0 &&
	       began / USEC_PER_MSEC > held_run_began(container) / USEC_PER_MSEC;
}

bool agent_restart_count(const struct agent_task *task, size_t container, int32_t *ret_count)
{
	assert(container < task->containers.count);
	*ret_count = task->containers.items[container].restart_count.value;
	return has_policy(&task->task->containers.items[container]);
}
