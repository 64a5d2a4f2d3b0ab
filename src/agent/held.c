#include "agent/held.h"

struct held *held_add(struct agent *agent, struct str id, const struct agent_task *value)
{
	struct held *work = calloc(1, sizeof(*work));
	char *name = malloc(id.len);
	auto_arena arena = {0};

	if (!work || !name)
		abort();
	memcpy(name, id.ptr, id.len);
	work->id = (struct str){name, id.len};
	work->record = shape_clone(&shape_agent_task, value);
	work->containers = calloc(MAX(value->containers.count, 1), sizeof(*work->containers));
	if (!work->containers)
		abort();
	work->wake_at = USEC_NEVER;
	for (size_t i = 0; i < value->containers.count; i++)
		work->containers[i].health = accept_health(held_definition(work, i), &arena);
	list_add(&agent->tasks, work);
	map_put(&agent->by_id, work->id, work);
	return work;
}

void held_free(struct held *work)
{
	if (!work)
		return;
	free((char *)work->id.ptr);
	free(work->record);
	free(work->containers);
	free(work->application);
	free(work->execution);
	free(work);
}

void held_look(struct agent *agent, struct held *work)
{
	if (!link_is_in(&work->stale))
		chain_append(&agent->stale, &work->stale);
}

void held_stop(struct held *work)
{
	struct agent_task *record = work->record;

	if (record->desired == AGENT_STATUS_STOPPED)
		return;
	record->desired = AGENT_STATUS_STOPPED;
	for (size_t i = 0; i < record->containers.count; i++)
		record->containers.items[i].desired = AGENT_STATUS_STOPPED;
	work->touched = work->durable = true;
}

const struct acs_container *held_definition(const struct held *work, size_t index)
{
	assert(index < work->record->task->containers.count);
	return &work->record->task->containers.items[index];
}

size_t held_find_container(const struct held *work, struct str name)
{
	const struct agent_containers *containers = &work->record->containers;
	size_t i;

	for (i = 0; i < containers->count; i++)
		if (str_equal(containers->items[i].name, name))
			break;
	return i;
}

bool held_is_awsvpc(const struct held *work) { return str_equal(work->record->task->network_mode, S("awsvpc")); }

usec held_run_began(const struct agent_container *container)
{
	return container->restarted_at.has ? container->restarted_at.value : container->started_at.value;
}

usec backoff(struct step *step, usec delay, double factor, unsigned attempts, usec limit)
{
	double wait = (double)delay;

	for (unsigned i = 0; i < attempts && wait < (double)limit; i++)
		wait *= factor;
	wait = MIN(wait, (double)limit);
	return (usec)(wait * (0.8 + 0.4 * (double)random_below(&step->random, 1000) / 1000));
}
