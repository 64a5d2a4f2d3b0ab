/* fact.c - what the hands report, written into the task's record. */
#include "agent/held.h"

enum { DESTROY_AGAIN_SECONDS = 1, DESTROY_AGAIN_LIMIT_SECONDS = 60 };

static void pulls_ended(struct held *work, usec at)
{
	for (size_t i = 0; i < work->record->containers.count; i++)
		if (work->record->containers.items[i].known == AGENT_STATUS_NONE)
			return;
	work->record->pull_stopped_at = (struct maybe_time){at, true};
}

/* What is pulled is not stored: after a crash it is pulled again, which finds it present. */
static void pulled(struct step *step, struct held *work, size_t index, const struct fact *fact)
{
	struct agent_container *container = &work->record->containers.items[index];
	struct held_container *under_way = &work->containers[index];

	under_way->pulling = false;
	if (container->known != AGENT_STATUS_NONE)
		return;
	work->touched = true;
	if (fact->ok) {
		container->known = AGENT_STATUS_PULLED;
		container->image_digest = fact->image_digest;
	} else if (++under_way->pull_attempts < AGENT_PULL_ATTEMPTS) {
		under_way->pull_at = step->now + backoff(step, USEC_PER_SEC, 2, under_way->pull_attempts - 1,
							 5 * USEC_PER_SEC);
		return;
	} else {
		container->reason = fact->reason;
		engine_container_stopped(work, index, step->now);
	}
	pulls_ended(work, fact->at ? fact->at : step->now);
}

static void created(struct held *work, const struct fact *fact)
{
	struct agent_containers *containers = &work->record->containers;

	work->creating = false;
	work->created = fact->ok;
	work->touched = true;
	if (!fact->ok) {
		work->record->reason = fact->reason;
		held_stop(work);
		return;
	}
	for (size_t i = 0; i < containers->count; i++)
		if (containers->items[i].known == AGENT_STATUS_PULLED)
			containers->items[i].known = AGENT_STATUS_CREATED;
}

static void runs(struct held *work, size_t index, const struct fact *fact, usec at)
{
	struct agent_container *container = &work->record->containers.items[index];

	work->touched = work->durable = true;
	if (str_has(fact->runtime_id))
		container->runtime_id = fact->runtime_id;
	if (fact->bindings.items)
		container->network_bindings = fact->bindings;
	if (!container->started_at.has)
		container->started_at = (struct maybe_time){at, true};
	container->known = MAX(container->known, AGENT_STATUS_RUNNING);
}

static void started(struct step *step, struct held *work, size_t index, const struct fact *fact)
{
	struct agent_container *container = &work->record->containers.items[index];

	work->containers[index].starting = false;
	if (fact->ok) {
		runs(work, index, fact, fact->at ? fact->at : step->now);
	} else if (container->known < AGENT_STATUS_RUNNING) {
		container->reason = fact->reason;
		engine_container_stopped(work, index, step->now);
	}
}

/* Not `ok`: nobody knows how it ended (its keeper died), and the reason says so. */
static void exited(struct step *step, struct held *work, size_t index, const struct fact *fact)
{
	struct agent_container *container = &work->record->containers.items[index];
	usec at = fact->at ? fact->at : step->now;

	if (container->known == AGENT_STATUS_STOPPED)
		return;
	if (!container->started_at.has)
		container->started_at = (struct maybe_time){at, true};
	if (str_has(fact->runtime_id))
		container->runtime_id = fact->runtime_id;
	if (fact->bindings.items)
		container->network_bindings = fact->bindings;
	if (fact->ok)
		container->exit_code = (struct maybe_integer){fact->exit_code, true};
	if (!fact->ok)
		container->reason = fact->reason;
	else if (fact->out_of_memory)
		container->reason = S("OutOfMemoryError: Container killed due to memory usage");
	engine_container_stopped(work, index, at);
}

/* After a restart, or when a container shows up late: what was given up and yet runs must not go on. */
static void found(struct step *step, struct held *work, size_t index, const struct fact *fact)
{
	struct held_container *under_way = &work->containers[index];

	under_way->found = true;
	if (work->record->containers.items[index].known == AGENT_STATUS_STOPPED)
		under_way->stray = fact->ok && fact->running;
	else if (fact->ok && fact->running)
		runs(work, index, fact, fact->at ? fact->at : step->now);
	else
		exited(step, work, index, fact);
}

static void destroyed(struct step *step, struct held *work, const struct fact *fact)
{
	work->destroying = false;
	if (fact->ok)
		work->gone = true;
	else
		work->destroy_at = step->now + backoff(step, DESTROY_AGAIN_SECONDS * USEC_PER_SEC, 2,
						       work->destroy_attempts++,
						       DESTROY_AGAIN_LIMIT_SECONDS * USEC_PER_SEC);
}

/* Every keeper has spoken: what ran and was not found has vanished. */
static void reconciled(struct step *step)
{
	struct agent *agent = step->agent;

	if (agent->reconciled)
		return;
	agent->reconciled = true;
	for (size_t i = 0; i < agent->tasks.count; i++) {
		struct held *work = agent->tasks.items[i];
		struct agent_containers *containers = &work->record->containers;

		held_look(agent, work);
		for (size_t j = 0; j < containers->count; j++) {
			if (containers->items[j].known != AGENT_STATUS_RUNNING || work->containers[j].found)
				continue;
			containers->items[j].reason =
				S("ContainerVanishedError: No container matching saved ID found");
			engine_container_stopped(work, j, step->now);
		}
	}
}

static void container_fact(struct step *step, struct held *work, const struct fact *fact)
{
	size_t index = held_find_container(work, fact->container);

	if (index == work->record->containers.count)
		return;
	switch (fact->kind) {
	case FACT_PULL:
		pulled(step, work, index, fact);
		break;
	case FACT_START:
		started(step, work, index, fact);
		break;
	case FACT_EXIT:
		exited(step, work, index, fact);
		break;
	case FACT_FOUND:
		found(step, work, index, fact);
		break;
	default:                                         /* a SIGNAL that failed: time goes on to SIGKILL */
		break;
	}
}

void fact_handle(struct step *step, const struct fact *fact)
{
	struct held *work;

	assert(fact->kind < FACT_KIND_COUNT);
	if (fact->kind == FACT_RECONCILED) {
		reconciled(step);
		return;
	}
	work = map_get(&step->agent->by_id, fact->task_id);
	if (!work)
		return;
	if (fact->kind == FACT_CREATE)
		created(work, fact);
	else if (fact->kind == FACT_DESTROY)
		destroyed(step, work, fact);
	else
		container_fact(step, work, fact);
	held_look(step->agent, work);
}
