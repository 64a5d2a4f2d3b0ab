/* health.c - container health checks by docker's rules (ecs-behaviour 5.6).
 *
 * A run begins UNKNOWN. The first probe comes one interval after the start, each next one an interval after the end of
 * the one before. A probe that succeeds makes it HEALTHY; `retries` failures in a row make it UNHEALTHY, but failures
 * of probes that began in the start period do not count until one has succeeded. Who is to stop is not probed any more. */
#include "agent/held.h"

static void set(struct step *step, struct held *work, size_t index, enum agent_health health, usec at, struct str said)
{
	struct agent_container *container = &work->record->containers.items[index];

	if (container->health == health)
		return;
	step->out->health_changed |= container->health != AGENT_HEALTH_ABSENT;
	container->health = health;
	container->health_since = (struct maybe_time){at, true};
	container->health_message = str_slice(said, 0, AGENT_HEALTH_MESSAGE_LIMIT);
	work->touched = work->durable = true;
}

void health_run_began(struct step *step, struct held *work, size_t index, usec at)
{
	struct held_container *under_way = &work->containers[index];

	if (!under_way->health.asked)
		return;
	under_way->probe_at = under_way->probed_at = 0;
	under_way->probe_failures = 0;
	under_way->probe_void = under_way->probing;
	set(step, work, index, AGENT_HEALTH_UNKNOWN, at, STR_NONE);
}

void health_run_ended(struct held *work, size_t index)
{
	struct held_container *under_way = &work->containers[index];

	under_way->probe_void = under_way->probing;
}

static bool in_start_period(const struct held *work, size_t index)
{
	const struct agent_container *container = &work->record->containers.items[index];
	const struct held_container *under_way = &work->containers[index];

	return container->health == AGENT_HEALTH_UNKNOWN &&
	       under_way->probed_at - held_run_began(container) < under_way->health.start_period;
}

void health_probed(struct step *step, struct held *work, size_t index, const struct fact *fact)
{
	struct held_container *under_way = &work->containers[index];
	bool counts = under_way->probing && !under_way->probe_void;
	usec at = fact->at ? fact->at : step->now;

	under_way->probing = under_way->probe_void = false;
	if (!counts || work->record->containers.items[index].known != AGENT_STATUS_RUNNING)
		return;
	under_way->probe_at = step->now + under_way->health.interval;
	if (fact->ok) {
		under_way->probe_failures = 0;
		set(step, work, index, AGENT_HEALTH_HEALTHY, at, STR_NONE);
	} else if (!in_start_period(work, index) && ++under_way->probe_failures >= under_way->health.retries) {
		under_way->probe_failures = under_way->health.retries;
		set(step, work, index, AGENT_HEALTH_UNHEALTHY, at, fact->reason);
	}
}

/* In step with the start, so that after a restart of the agent not all are probed at once. */
static usec next_probe(const struct agent_container *container, const struct health_rules *rules, usec now)
{
	usec began = held_run_began(container), missed = MAX(now - began, 0) / rules->interval;

	return began + (missed + 1) * rules->interval;
}

void health_advance(struct step *step, struct held *work)
{
	for (size_t i = 0; i < work->record->containers.count; i++) {
		const struct agent_container *container = &work->record->containers.items[i];
		struct held_container *under_way = &work->containers[i];

		if (!under_way->health.asked || under_way->probing || under_way->down ||
		    container->known != AGENT_STATUS_RUNNING || container->desired != AGENT_STATUS_RUNNING)
			continue;
		if (!under_way->probe_at)
			under_way->probe_at = next_probe(container, &under_way->health, step->now);
		if (step->now < under_way->probe_at) {
			engine_wake(work, under_way->probe_at);
			continue;
		}
		under_way->probing = true;
		under_way->probed_at = step->now;
		engine_job(step, work, JOB_PROBE, i, 0);
	}
}

/* ---- What TCS is told */

static bool is_shown(const struct agent_container *container)
{
	return container->health && container->known == AGENT_STATUS_RUNNING;
}

static size_t count_shown(const struct held *work)
{
	size_t count = 0;

	for (size_t i = 0; i < work->record->containers.count; i++)
		count += is_shown(&work->record->containers.items[i]);
	return count;
}

static void show_task(const struct held *work, struct arena *arena, struct tcs_task_health *out)
{
	const struct acs_task *task = work->record->task;

	*out = (struct tcs_task_health){.task_arn = task->arn, .cluster_arn = task->task_cluster_arn,
					.task_definition_family = task->family,
					.task_definition_version = task->version};
	out->containers.items = arena_array(arena, struct tcs_container_health, count_shown(work));
	for (size_t i = 0; i < work->record->containers.count; i++) {
		const struct agent_container *container = &work->record->containers.items[i];

		if (!is_shown(container))
			continue;
		out->containers.items[out->containers.count++] = (struct tcs_container_health){
			.container_name = container->name, .status_message = container->health_message,
			.health_status = shape_word_text(&shape_agent_health, (int32_t)container->health),
			.status_since = {(double)container->health_since.value / USEC_PER_SEC, true}};
	}
}

/* The next task with something to show, from *cursor on. */
static const struct held *next_shown(const struct agent *agent, size_t *cursor)
{
	while (*cursor < agent->tasks.count) {
		const struct held *work = agent->tasks.items[(*cursor)++];

		if (count_shown(work))
			return work;
	}
	return NULL;
}

bool agent_health(const struct agent *agent, size_t *cursor, struct arena *arena,
		  struct tcs_publish_health_request *ret_request)
{
	struct tcs_task_healths tasks = {arena_array(arena, struct tcs_task_health, AGENT_HEALTH_TASKS), 0};
	const struct held *work;
	size_t after;

	while (tasks.count < AGENT_HEALTH_TASKS && (work = next_shown(agent, cursor)))
		show_task(work, arena, &tasks.items[tasks.count++]);
	if (tasks.count == 0)
		return false;
	after = *cursor;
	*ret_request = (struct tcs_publish_health_request){.metadata = arena_new(arena, struct tcs_metadata),
							   .tasks = tasks};
	ret_request->metadata->cluster = agent_cluster(agent);
	ret_request->metadata->container_instance = agent_instance_arn(agent);
	ret_request->metadata->fin = (struct maybe_boolean){!next_shown(agent, &after), true};
	return true;
}
