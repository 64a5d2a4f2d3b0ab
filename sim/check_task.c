/* check_task.c - what must be true of one task's containers: their order, restarts, health, stops and interface.
 *
 * Seen from the kernel: the jobs as they are handed out, with the record that the agent stored before, against what really
 * runs. A job leaves only when its record is durable, so times are compared by the record, and by the kernel as far as the
 * disk allows. */
#include "sim/world.h"

enum { KILL_SLACK_SECONDS = 2, RESTART_PERIOD_SECONDS = 300, RETRIES = 3 };

static bool depends_on(const struct container *container, const struct container *other)
{
	const struct acs_container *definition = container->definition;

	for (size_t i = 0; i < definition->depends_on.count; i++)
		if (str_equal(definition->depends_on.items[i].container_name, other->name))
			return true;
	for (size_t i = 0; i < definition->links.count; i++)
		if (str_equal(definition->links.items[i], other->name))
			return true;
	for (size_t i = 0; i < definition->volumes_from.count; i++)
		if (str_equal(definition->volumes_from.items[i].source_container, other->name))
			return true;
	return false;
}

/* ---- Start */

static bool is_met(const struct container *other, struct str condition)
{
	if (str_equal(condition, S("COMPLETE")))
		return other->ended;
	if (str_equal(condition, S("SUCCESS")))
		return other->ended && other->exit_code == 0;
	if (str_equal(condition, S("HEALTHY")))
		return other->passed_ever;
	return other->ever;
}

/* Also before the machine lost its power. */
static bool was_met(const struct box *box, const struct acs_dependency *on)
{
	EACH_CONTAINER(box->machine, container)
		if (str_equal(container->box->id, box->id) && str_equal(container->name, on->container_name) &&
		    is_met(container, on->condition))
			return true;
	return false;
}

static void check_start_order(struct sim *sim, struct box *box, const struct container *container)
{
	const struct acs_dependencies *list = &container->definition->depends_on;

	for (size_t i = 0; i < list->count; i++)
		if (!was_met(box, &list->items[i]))
			violation(sim, "containers start in the order of their dependencies", "%s %.*s starts before %.*s is %.*s",
				  trace_name(sim, box->id), STR(container->name), STR(list->items[i].container_name),
				  STR(list->items[i].condition));
}

static const char *why_not_again(const struct container *container, const struct agent_container *record)
{
	const struct acs_restart_policy *policy = container->definition->restart_policy;
	usec period = policy && policy->restart_attempt_period.has ? policy->restart_attempt_period.value
								   : RESTART_PERIOD_SECONDS;

	if (!policy || !policy->enabled.value)
		return "it has no restart policy";
	if (container->told_at || record->desired == AGENT_STATUS_STOPPED)
		return "it is to stop";
	if (container->at - container->began < SECONDS(period))
		return "it did not run for long enough";
	for (size_t i = 0; i < policy->ignored_exit_codes.count; i++)
		if (policy->ignored_exit_codes.items[i].value == container->exit_code)
			return "its exit code is ignored";
	return NULL;
}

static void check_start(struct sim *sim, struct box *box, const struct container *container,
			const struct agent_container *record)
{
	const char *why;

	if (!container->ever) {
		check_start_order(sim, box, container);
		return;
	}
	why = container->running ? NULL : why_not_again(container, record);
	if (why)
		violation(sim, "a restart is what its policy allows", "%s %.*s starts again, but %s", trace_name(sim, box->id),
			  STR(container->name), why);
}

/* ---- Stop */

static usec stop_timeout(const struct container *container)
{
	int32_t own = container->definition->stop_timeout.value;

	return own > 0 ? SECONDS(own) : container->box->machine->options.stop_timeout;
}

static void check_stop_order(struct sim *sim, struct box *box, const struct container *container)
{
	for (size_t i = 0; i < box->count; i++)
		if (box->containers[i].running && depends_on(&box->containers[i], container))
			violation(sim, "containers stop in the reverse order", "%s %.*s is told to stop while %.*s runs",
				  trace_name(sim, box->id), STR(container->name), STR(box->containers[i].name));
}

static void check_kill(struct sim *sim, const struct container *container, const struct agent_container *record)
{
	usec timeout = stop_timeout(container), waited = record->kill_sent_at.value - record->stop_sent_at.value;
	usec lag = sim->weather.slow_disk + MSECS(50);   /* from the record to the signal, unless the agent died between */
	bool same_agent = container->told_at && container->told_in == container->box->machine->life;

	if (!container->running)
		return;
	if (!record->stop_sent_at.has || waited < timeout - MSECS(1))
		violation(sim, "SIGKILL comes after stopTimeout", "%s %.*s is killed after %lld ms of %lld",
			  trace_name(sim, container->box->id), STR(container->name), (long long)(waited / MSECS(1)),
			  (long long)(timeout / MSECS(1)));
	if (container->told_at && container->told_at - record->stop_sent_at.value <= lag &&
	    sim->now - container->told_at < timeout - lag)
		violation(sim, "SIGKILL comes after stopTimeout", "%s %.*s heard SIGTERM %lld ms ago",
			  trace_name(sim, container->box->id), STR(container->name),
			  (long long)((sim->now - container->told_at) / MSECS(1)));
	if (same_agent && waited > timeout + SECONDS(KILL_SLACK_SECONDS))
		violation(sim, "SIGKILL comes soon after stopTimeout", "%s %.*s is killed after %lld ms",
			  trace_name(sim, container->box->id), STR(container->name), (long long)(waited / MSECS(1)));
}

static void check_signal(struct sim *sim, struct box *box, struct container *container, int signal,
			 const struct agent_container *record)
{
	if (record->known == AGENT_STATUS_STOPPED)
		return;                                  /* it was given up, and runs: there is nothing to wait for */
	if (signal == 9) {
		check_kill(sim, container, record);
		return;
	}
	check_stop_order(sim, box, container);
	if (container->told_at)
		return;
	container->told_at = sim->now;
	container->told_in = box->machine->life;
}

/* ---- Probes */

static void check_probe(struct sim *sim, struct box *box, struct container *container)
{
	usec interval = container->health ? container->health->interval.value / 1000 : 0;

	if (!container->health)
		violation(sim, "a probe is what was asked for", "%s %.*s has no health check", trace_name(sim, box->id),
			  STR(container->name));
	else if (container->running && sim->now - container->began < interval - MSECS(1))
		violation(sim, "the first probe comes after the interval", "%s %.*s", trace_name(sim, box->id),
			  STR(container->name));
	if (container->probing == box->machine->life + 1)
		violation(sim, "one probe at a time", "%s %.*s", trace_name(sim, box->id), STR(container->name));
	container->probing = box->machine->life + 1;
}

/* ---- The end */

static void check_destroy(struct sim *sim, const struct box *box, const struct agent_task *record)
{
	for (size_t i = 0; i < record->containers.count; i++)
		if (record->containers.items[i].known != AGENT_STATUS_STOPPED)
			violation(sim, "a task is destroyed at its end", "%s %.*s has not ended", trace_name(sim, box->id),
				  STR(record->containers.items[i].name));
	if (box->pulls > 0)
		violation(sim, "a task is destroyed at its end", "%s still pulls", trace_name(sim, box->id));
}

static bool has_ended(const struct machine *machine, struct str task_id)
{
	for (size_t i = 0; i < agent_task_count(machine->agent); i++) {
		struct str id;
		const struct agent_task *task = agent_task_at(machine->agent, i, &id);

		if (str_equal(id, task_id))
			return task->known == AGENT_STATUS_STOPPED;
	}
	return true;
}

void check_leftovers(struct sim *sim)
{
	if (sim->failed)
		return;
	for (unsigned i = 0; i < sim->machine_count; i++)
		for (size_t j = 0; j < sim->machines[i]->boxes.count; j++) {
			const struct box *box = sim->machines[i]->boxes.items[j];

			if (!box->gone && has_ended(sim->machines[i], box->id))
				violation(sim, "an ended task leaves nothing", "%s is still on %s", trace_name(sim, box->id),
					  sim->machines[i]->name);
		}
}

void check_job(struct sim *sim, struct box *box, const struct job *job)
{
	struct container *container = &box->containers[job->container];
	const struct agent_container *record = &job->task->containers.items[job->container];

	if (job->kind == JOB_START)
		check_start(sim, box, container, record);
	if (job->kind == JOB_SIGNAL)
		check_signal(sim, box, container, job->signal, record);
	if (job->kind == JOB_PROBE)
		check_probe(sim, box, container);
	if (job->kind == JOB_DESTROY)
		check_destroy(sim, box, job->task);
	for (size_t i = 0; job->kind == JOB_RELEASE && i < box->count; i++)
		if (box->containers[i].running)
			violation(sim, "an interface belongs to one live task", "%s loses its own while %.*s runs",
				  trace_name(sim, box->id), STR(box->containers[i].name));
}

/* ---- Health as the agent tells it, at the moment of the change */

static const char *why_not_healthy(const struct sim *sim, const struct container *container)
{
	return container->passed_at == sim->now ? NULL : "no probe has just passed";
}

static const char *why_not_unhealthy(const struct sim *sim, const struct container *container)
{
	int retries = container->health->retries.value > 0 ? container->health->retries.value : RETRIES;

	if (container->failed < retries)
		return "too few probes failed in a row";
	if (!container->passed_at && sim->now - container->began < container->health->start_period.value / 1000)
		return "its start period is not over";
	return NULL;
}

static void check_health_change(struct sim *sim, const struct machine *machine, struct str id,
				const struct agent_container *record)
{
	EACH_CONTAINER(machine, container) {
		const char *why = NULL;

		if (container->box->gone || !str_equal(container->box->id, id) || !str_equal(container->name, record->name))
			continue;
		if (record->health == AGENT_HEALTH_HEALTHY)
			why = why_not_healthy(sim, container);
		if (record->health == AGENT_HEALTH_UNHEALTHY)
			why = why_not_unhealthy(sim, container);
		if (why)
			violation(sim, "health is what probes say", "%s %.*s is %.*s, but %s", trace_name(sim, id),
				  STR(record->name), STR(shape_word_text(&shape_agent_health, (int32_t)record->health)), why);
	}
}

void check_health_changes(struct sim *sim, const struct machine *machine)
{
	for (size_t i = 0; i < agent_task_count(machine->agent); i++) {
		struct str id;
		const struct agent_task *task = agent_task_at(machine->agent, i, &id);

		for (size_t j = 0; j < task->containers.count; j++)
			if (task->containers.items[j].health_since.has && task->containers.items[j].health_since.value == sim->now)
				check_health_change(sim, machine, id, &task->containers.items[j]);
	}
}

/* In a world at rest the server shows what the agents know. */
static void check_task_health(struct sim *sim, const struct snapshot *snapshot, struct str id, const struct agent_task *known)
{
	EACH_OBJECT(snapshot, TASK, task, task) {
		if (!str_equal(task->id, id) || task->last_status != TASK_STATUS_RUNNING)
			continue;
		for (size_t i = 0; i < task->containers.count; i++) {
			enum ecs_health_status health = task->containers.items[i].health_status;
			struct str shown = health ? shape_word_text(&shape_ecs_health_status, (int32_t)health) : S("UNKNOWN");
			const struct agent_container *container = &known->containers.items[i];

			if (container->health && container->known == AGENT_STATUS_RUNNING &&
			    !str_equal(shown, shape_word_text(&shape_agent_health, (int32_t)container->health)))
				violation(sim, "health is told", "%s %.*s is shown %.*s", trace_name(sim, id),
					  STR(container->name), STR(shown));
		}
	}
}

void check_health(struct sim *sim)
{
	struct snapshot snapshot;

	if (sim->failed)
		return;
	snapshot_take(sim->server.plane, &snapshot);
	for (unsigned i = 0; i < sim->machine_count; i++)
		for (size_t j = 0; j < agent_task_count(sim->machines[i]->agent); j++) {
			struct str id;
			const struct agent_task *task = agent_task_at(sim->machines[i]->agent, j, &id);

			check_task_health(sim, &snapshot, id, task);
		}
	snapshot_fini(&snapshot);
}

/* ---- Interfaces */

static const struct task *find_task(const struct snapshot *snapshot, struct str id)
{
	EACH_OBJECT(snapshot, TASK, task, task)
		if (str_equal(task->id, id))
			return task;
	return NULL;
}

bool was_given_up(struct sim *sim, const struct box *box)
{
	struct snapshot snapshot;
	const struct task *task;
	bool given_up = !sim->server.up;

	if (given_up)
		return true;
	snapshot_take(sim->server.plane, &snapshot);
	task = find_task(&snapshot, box->id);
	given_up = !task || (task->last_status == TASK_STATUS_STOPPED && was_ended_from_afar(task));
	snapshot_fini(&snapshot);
	return given_up;
}

void check_interface(struct sim *sim, const struct box *box)
{
	for (unsigned i = 0; i < sim->machine_count; i++)
		for (size_t j = 0; j < sim->machines[i]->boxes.count; j++) {
			const struct box *other = sim->machines[i]->boxes.items[j];

			if (other == box || other->gone || !str_has(other->interface) ||
			    (!str_equal(other->interface, box->interface) && !str_equal(other->address, box->address)))
				continue;
			if (!was_given_up(sim, other))
				violation(sim, "an interface belongs to one live task", "%s has %.*s of %s",
					  trace_name(sim, box->id), STR(box->address), trace_name(sim, other->id));
		}
}

const struct box *find_lingering_interface(const struct sim *sim, const struct snapshot *snapshot)
{
	for (unsigned i = 0; i < sim->machine_count; i++)
		for (size_t j = 0; j < sim->machines[i]->boxes.count; j++) {
			const struct box *box = sim->machines[i]->boxes.items[j];
			const struct task *task = find_task(snapshot, box->id);

			if (!box->gone && str_has(box->interface) && (!task || task->last_status == TASK_STATUS_STOPPED))
				return box;
		}
	return NULL;
}

void check_interfaces(struct sim *sim, const struct snapshot *snapshot)
{
	const struct box *box = find_lingering_interface(sim, snapshot);
	size_t live = 0, interfaces = 0;

	if (box)
		violation(sim, "an interface is freed after its task", "%.*s of %s is still on %s", STR(box->interface),
			  trace_name(sim, box->id), box->machine->name);
	EACH_OBJECT(snapshot, TASK, task, task)
		live += task->attachment && task->attachment->status != ATTACHMENT_STATUS_DELETED;
	EACH_OBJECT(snapshot, NETWORK_INTERFACE, network_interface, interface)
		interfaces += str_has(interface->id);    /* the user makes none of their own */
	if (live != interfaces)
		violation(sim, "an interface is freed after its task", "%zu tasks have one, there are %zu", live, interfaces);
}
