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
		container->known = work->created ? AGENT_STATUS_CREATED : AGENT_STATUS_PULLED;
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

/* Its containers may start. */
static void is_made(struct step *step, struct held *work)
{
	struct agent_containers *containers = &work->record->containers;

	work->created = work->touched = true;
	if (held_is_awsvpc(work) && !work->record->attached_at.has)
		work->record->attached_at = (struct maybe_time){step->now, true};
	for (size_t i = 0; i < containers->count; i++)
		if (containers->items[i].known == AGENT_STATUS_PULLED)
			containers->items[i].known = AGENT_STATUS_CREATED;
}

static void created(struct step *step, struct held *work, const struct fact *fact)
{
	work->creating = false;
	if (fact->ok) {
		is_made(step, work);
		return;
	}
	work->created = false;
	work->touched = true;
	work->record->reason = fact->reason;
	held_stop(work);
}

static void runs(struct step *step, struct held *work, size_t index, const struct fact *fact, usec at)
{
	struct agent_container *container = &work->record->containers.items[index];

	work->touched = work->durable = true;
	if (str_has(fact->runtime_id))
		container->runtime_id = fact->runtime_id;
	if (fact->bindings.items)
		container->network_bindings = fact->bindings;
	if (!container->started_at.has)
		container->started_at = (struct maybe_time){at, true};
	if (container->known < AGENT_STATUS_RUNNING)
		health_run_began(step, work, index, at);
	container->known = MAX(container->known, AGENT_STATUS_RUNNING);
	if (work->containers[index].down || restart_was_missed(work, index, at))
		restart_succeeded(step, work, index, at);
}

static void started(struct step *step, struct held *work, size_t index, const struct fact *fact)
{
	struct agent_container *container = &work->record->containers.items[index];

	work->containers[index].starting = false;
	if (fact->ok) {
		runs(step, work, index, fact, fact->at ? fact->at : step->now);
	} else if (container->known < AGENT_STATUS_RUNNING || work->containers[index].down) {
		container->reason = fact->reason;
		engine_container_stopped(work, index, work->containers[index].down ? work->containers[index].ended_at
										   : step->now);
	}
}

/* A keeper may tell of the same end to the lane and to who asks. Times are whole milliseconds once stored. */
static bool was_told(const struct held *work, size_t index, const struct fact *fact, usec at)
{
	const struct held_container *under_way = &work->containers[index];
	usec began = held_run_began(&work->record->containers.items[index]);

	if (under_way->down)
		return true;
	return under_way->ended_at && under_way->ended_at / USEC_PER_MSEC == at / USEC_PER_MSEC &&
	       fact->started_at / USEC_PER_MSEC < began / USEC_PER_MSEC;
}

/* Not `ok`: nobody knows how it ended (its keeper died), and the reason says so. */
static void exited(struct step *step, struct held *work, size_t index, const struct fact *fact)
{
	struct agent_container *container = &work->record->containers.items[index];
	struct held_container *under_way = &work->containers[index];
	usec at = fact->at ? fact->at : step->now;

	if (container->known == AGENT_STATUS_STOPPED || was_told(work, index, fact, at))
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
	work->touched = true;
	under_way->ended_at = at;
	if (restart_was_missed(work, index, fact->started_at))
		restart_succeeded(step, work, index, fact->started_at);
	if (!restart_is_due(work, index, fact, at)) {
		engine_container_stopped(work, index, at);
		return;
	}
	container->known = AGENT_STATUS_RUNNING;
	under_way->down = true;
	health_run_ended(work, index);
}

/* After a restart, or when a container shows up late: what was given up and yet runs must not go on. */
static void found(struct step *step, struct held *work, size_t index, const struct fact *fact)
{
	struct held_container *under_way = &work->containers[index];

	under_way->found = true;
	if (work->record->containers.items[index].known == AGENT_STATUS_STOPPED) {
		under_way->stray = fact->ok && fact->running;
		work->destroyed &= !under_way->stray;
	} else if (fact->ok && fact->running) {
		is_made(step, work);                     /* making it again would take the network from what runs */
		runs(step, work, index, fact, fact->at ? fact->at : step->now);
	} else {
		exited(step, work, index, fact);
	}
}

/* What does not go is told STOPPED in the end all the same: DESTROY tries again, and at the end of all tasks it comes
 * at once. */
static void released(struct step *step, struct held *work, const struct fact *fact)
{
	work->releasing = false;
	work->released = fact->ok || step->agent->stop_all || ++work->release_attempts >= AGENT_RELEASE_ATTEMPTS;
	work->release_at = step->now + backoff(step, DESTROY_AGAIN_SECONDS * USEC_PER_SEC, 2, work->release_attempts,
					       DESTROY_AGAIN_LIMIT_SECONDS * USEC_PER_SEC);
}

static void destroyed(struct step *step, struct held *work, const struct fact *fact)
{
	work->destroying = false;
	work->destroyed = fact->ok;
	if (!fact->ok)
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
	case FACT_PROBE:
		health_probed(step, work, index, fact);
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
		created(step, work, fact);
	else if (fact->kind == FACT_RELEASE)
		released(step, work, fact);
	else if (fact->kind == FACT_DESTROY)
		destroyed(step, work, fact);
	else
		container_fact(step, work, fact);
	held_look(step->agent, work);
}
