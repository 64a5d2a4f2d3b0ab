/* engine.c - one task: what it shows against what it should be, and the jobs that are missing.
 *
 * Containers of a task go through the same gates together: all pulled and, meanwhile, the task created (cgroup,
 * network, keeper); then each started as soon as its dependencies allow. Pulling comes before the first start,
 * so that nothing slow ever stands before a signal in the task's queue of jobs. */
#include "agent/held.h"

enum { KILL_AGAIN_SECONDS = 10, REPORT_PATIENCE_HOURS = 72, FAREWELL_SECONDS = 10 };

void engine_wake(struct held *work, usec at) { work->wake_at = MIN(work->wake_at, at); }

void engine_job(struct step *step, struct held *work, enum job_kind kind, size_t container, int signal)
{
	*list_push(&step->out->jobs) = (struct job){
		.kind = kind, .task_id = work->id, .container = (uint32_t)container, .signal = signal};
}

void engine_container_stopped(struct held *work, size_t index, usec at)
{
	struct agent_container *container = &work->record->containers.items[index];

	container->known = container->desired = AGENT_STATUS_STOPPED;
	work->containers[index].down = false;
	health_run_ended(work, index);
	container->finished_at = (struct maybe_time){at, true};
	if (held_definition(work, index)->essential.value && container->started_at.has &&
	    !work->record->execution_stopped_at.has)
		work->record->execution_stopped_at = container->finished_at;
	work->touched = work->durable = true;
}

/* ---- What is wanted */

static bool an_essential_stopped(const struct held *work)
{
	const struct agent_containers *containers = &work->record->containers;
	size_t stopped = 0;

	for (size_t i = 0; i < containers->count; i++) {
		if (containers->items[i].known != AGENT_STATUS_STOPPED)
			continue;
		if (held_definition(work, i)->essential.value)
			return true;
		stopped++;
	}
	return stopped == containers->count;
}

/* A container that is to stop and never ran, or that can never start: true when it is settled now. */
static bool settle_container(struct step *step, struct held *work, size_t index)
{
	struct agent_container *container = &work->record->containers.items[index];
	usec wake_at = USEC_NEVER;

	if (work->containers[index].starting)
		return false;
	if (work->containers[index].down && container->desired == AGENT_STATUS_STOPPED) {
		engine_container_stopped(work, index, work->containers[index].ended_at);
		return true;
	}
	if (container->known >= AGENT_STATUS_RUNNING)
		return false;
	if (container->desired != AGENT_STATUS_STOPPED) {
		if (dependency_judge(work, index, step->now, step->arena, &container->reason, &wake_at) !=
		    DEPENDENCY_BROKEN) {
			engine_wake(work, wake_at);
			return false;
		}
		container->exit_code = (struct maybe_integer){143, true};
	}
	engine_container_stopped(work, index, step->now);
	return true;
}

/* Each pass either settles a container, of which there are few, or is the last. */
static void settle(struct step *step, struct held *work)
{
	bool again = true;

	while (again) {
		again = false;
		if (an_essential_stopped(work))
			held_stop(work);
		for (size_t i = 0; i < work->record->containers.count; i++)
			again |= settle_container(step, work, i);
	}
}

static void explain_early_stop(struct step *step, struct held *work)
{
	struct agent_task *record = work->record;

	if (record->desired == AGENT_STATUS_STOPPED && record->known != AGENT_STATUS_STOPPED &&
	    !record->pull_started_at.has && !str_has(record->reason))
		record->reason = arena_printf(step->arena, "TaskStoppedBeforePullBeginError: Task stopped before image "
					      "pull could begin for task: %.*s", STR(record->task->arn));
}

/* ---- Room on the host */

static void admit(struct step *step, struct held *work)
{
	struct agent_task *record = work->record;

	if (work->holds || record->desired == AGENT_STATUS_STOPPED)
		return;
	if (!ledger_could_fit(step->agent, work)) {
		record->reason = arena_printf(step->arena,
			"ResourceInitializationError: the task needs %lld CPU units and %lld MiB, this instance has "
			"%lld and %lld", (long long)work->demand.cpu_units, (long long)work->demand.memory_mib,
			(long long)step->agent->options.cpu_units, (long long)step->agent->options.memory_mib);
		held_stop(work);
		return;
	}
	if (!ledger_fits(step->agent, work))
		return;                                  /* room_changed brings it back */
	ledger_take(step->agent, work);
	record->pull_started_at = (struct maybe_time){step->now, true};
	work->touched = work->durable = true;
}

/* ---- Towards RUNNING */

static bool pull(struct step *step, struct held *work)
{
	bool all = true;

	for (size_t i = 0; i < work->record->containers.count; i++) {
		struct held_container *container = &work->containers[i];

		if (work->record->containers.items[i].known != AGENT_STATUS_NONE)
			continue;
		all = false;
		if (container->pulling)
			continue;
		if (step->now < container->pull_at) {
			engine_wake(work, container->pull_at);
			continue;
		}
		container->pulling = true;
		engine_job(step, work, JOB_PULL, i, 0);
	}
	return all;
}

/* Once before the first start; after a restart of the agent once more, unless something of the task is found running. */
static void create(struct step *step, struct held *work)
{
	bool wanted = false;

	for (size_t i = 0; i < work->record->containers.count; i++)
		wanted |= work->record->containers.items[i].known < AGENT_STATUS_RUNNING &&
			  !work->containers[i].starting;
	if (!wanted || work->creating || work->created)
		return;
	work->creating = true;
	engine_job(step, work, JOB_CREATE, 0, 0);
}

static void start(struct step *step, struct held *work)
{
	for (size_t i = 0; i < work->record->containers.count; i++) {
		struct agent_container *container = &work->record->containers.items[i];
		struct str reason;
		usec wake_at = USEC_NEVER;

		if (container->known >= AGENT_STATUS_RUNNING || work->containers[i].starting ||
		    dependency_judge(work, i, step->now, step->arena, &reason, &wake_at) != DEPENDENCY_MET)
			continue;
		work->containers[i].starting = true;
		engine_job(step, work, JOB_START, i, 0);
	}
}

static void start_again(struct step *step, struct held *work)
{
	for (size_t i = 0; i < work->record->containers.count; i++) {
		struct held_container *under_way = &work->containers[i];

		if (!under_way->down || under_way->starting)
			continue;
		under_way->starting = true;
		engine_job(step, work, JOB_START, i, 0);
	}
}

/* ---- Towards STOPPED */

static usec stop_timeout(const struct step *step, const struct held *work, size_t index)
{
	struct maybe_integer timeout = held_definition(work, index)->stop_timeout;

	return timeout.has && timeout.value > 0 ? timeout.value * USEC_PER_SEC : step->agent->options.stop_timeout;
}

static void give_up(struct step *step, struct held *work, size_t index)
{
	work->record->containers.items[index].reason =
		S("CannotStopContainerError: the container does not end, not even by SIGKILL");
	engine_container_stopped(work, index, step->now);
}

static void kill_container(struct step *step, struct held *work, size_t index)
{
	struct agent_container *container = &work->record->containers.items[index];
	struct held_container *under_way = &work->containers[index];

	if (step->now < under_way->kill_at) {
		engine_wake(work, under_way->kill_at);
		return;
	}
	if (under_way->kill_attempts++ >= AGENT_KILL_ATTEMPTS) {
		give_up(step, work, index);
		return;
	}
	if (!container->kill_sent_at.has) {
		container->kill_sent_at = (struct maybe_time){step->now, true};
		work->touched = work->durable = true;
	}
	under_way->kill_at = step->now + KILL_AGAIN_SECONDS * USEC_PER_SEC;
	engine_wake(work, under_way->kill_at);
	engine_job(step, work, JOB_SIGNAL, index, 9);
}

static void stop_container(struct step *step, struct held *work, size_t index)
{
	struct agent_container *container = &work->record->containers.items[index];
	usec deadline;

	if (!container->stop_sent_at.has) {
		container->stop_sent_at = (struct maybe_time){step->now, true};
		work->touched = work->durable = true;
	}
	deadline = container->stop_sent_at.value + stop_timeout(step, work, index);
	if (step->now >= deadline) {
		kill_container(step, work, index);
		return;
	}
	engine_wake(work, deadline);
	if (!work->containers[index].signalled) {        /* after a restart of the agent, once more */
		work->containers[index].signalled = true;
		engine_job(step, work, JOB_SIGNAL, index, 15);
	}
}

static void stop(struct step *step, struct held *work)
{
	struct agent_containers *containers = &work->record->containers;

	for (size_t i = 0; i < containers->count; i++) {
		if (work->containers[i].stray) {
			work->containers[i].stray = false;
			engine_job(step, work, JOB_SIGNAL, i, 9);
		}
		if (containers->items[i].desired == AGENT_STATUS_STOPPED && !work->containers[i].starting &&
		    containers->items[i].known == AGENT_STATUS_RUNNING && dependency_may_stop(work, i))
			stop_container(step, work, i);
	}
}

/* ---- The task's own status: the least of its containers', never backwards */

static enum agent_status least(const struct held *work)
{
	const struct agent_containers *containers = &work->record->containers;
	enum agent_status status = AGENT_STATUS_STOPPED;

	for (size_t i = 0; i < containers->count; i++)
		status = MIN(status, containers->items[i].known);
	return status;
}

/* RUNNING is reached when every container runs or has ended, and all that are essential did start. */
static bool has_run(const struct held *work)
{
	const struct agent_containers *containers = &work->record->containers;

	if (containers->count == 0 || least(work) < AGENT_STATUS_RUNNING)
		return false;
	for (size_t i = 0; i < containers->count; i++)
		if (held_definition(work, i)->essential.value && !containers->items[i].started_at.has)
			return false;
	return true;
}

/* The interface goes before STOPPED is told: the server may then give its address to another task. */
static bool must_release(const struct held *work)
{
	return held_is_awsvpc(work) && work->record->pull_started_at.has && !work->released &&
	       work->record->known != AGENT_STATUS_STOPPED && least(work) == AGENT_STATUS_STOPPED;
}

static void release(struct step *step, struct held *work)
{
	if (!must_release(work) || work->releasing)
		return;
	if (step->now < work->release_at) {
		engine_wake(work, work->release_at);
		return;
	}
	work->releasing = true;
	engine_job(step, work, JOB_RELEASE, 0, 0);
}

static bool ever_ran(const struct held *work)
{
	for (size_t i = 0; i < work->record->containers.count; i++)
		if (work->record->containers.items[i].started_at.has)
			return true;
	return false;
}

static void set_known(struct step *step, struct held *work)
{
	struct agent_task *record = work->record;
	enum agent_status status = least(work);

	if (has_run(work) && !record->started_at.has) {
		record->started_at = (struct maybe_time){step->now, true};
		work->touched = work->durable = true;
	}
	if (status <= record->known || must_release(work))
		return;
	if (status == AGENT_STATUS_RUNNING && record->desired == AGENT_STATUS_STOPPED && !record->started_at.has)
		return;
	record->known = status;
	work->touched = true;
	if (status != AGENT_STATUS_STOPPED)
		return;
	work->dated = true;                              /* found again by the ends of its containers */
	record->stopped_at = (struct maybe_time){step->now, true};
	record->remove_at = (struct maybe_time){step->now + (ever_ran(work) ? step->agent->options.cleanup_wait : 0), true};
	if (!record->execution_stopped_at.has && record->started_at.has)
		record->execution_stopped_at = record->stopped_at;
	ledger_release(step->agent, work);
}

/* ---- The end */

static usec patience(const struct step *step)
{
	return step->agent->stop_all ? FAREWELL_SECONDS * USEC_PER_SEC
				     : REPORT_PATIENCE_HOURS * 3600 * USEC_PER_SEC;
}

/* Of this machine: it never had, or has no longer. */
static bool has_nothing(const struct held *work) { return work->destroyed || !work->record->pull_started_at.has; }

/* What the task had of this machine goes with its last container; the record and the logs are what is left to look at. */
static void destroy(struct step *step, struct held *work)
{
	if (work->record->known != AGENT_STATUS_STOPPED || work->destroying || has_nothing(work))
		return;
	for (size_t i = 0; i < work->record->containers.count; i++)
		if (work->containers[i].pulling)         /* its fact brings us back */
			return;
	if (step->now < work->destroy_at) {
		engine_wake(work, work->destroy_at);
		return;
	}
	work->destroying = true;
	engine_job(step, work, JOB_DESTROY, 0, 0);
}

/* cleanup_wait after the end, and once the server knows. */
static usec forget_time(const struct step *step, const struct held *work)
{
	const struct agent_task *record = work->record;
	usec at = step->agent->stop_all ? record->stopped_at.value : record->remove_at.value;

	if (record->reported != AGENT_STATUS_STOPPED)
		at = MAX(at, record->stopped_at.value + patience(step));
	if (!step->agent->stop_all)
		at = MAX(at, work->known_until);
	return at;
}

static void expel_oldest(struct step *step)
{
	struct agent *agent = step->agent;
	size_t i = 0;

	while (!agent->tasks.items[i]->kept)
		i++;
	agent->tasks.items[i]->kept = false;
	agent->kept_count--;
	agent->tasks.items[i]->record->remove_at.value = step->now;
	held_look(agent, agent->tasks.items[i]);
}

/* What people may look at is not without bound: short tasks would soon fill the agent for hours. */
static void keep(struct step *step, struct held *work)
{
	if (work->kept || work->record->reported != AGENT_STATUS_STOPPED || work->record->remove_at.value <= step->now)
		return;
	work->kept = true;
	if (++step->agent->kept_count > AGENT_ENDED_LIMIT)
		expel_oldest(step);
}

static void forget(struct step *step, struct held *work)
{
	usec at;

	if (work->record->known != AGENT_STATUS_STOPPED || work->ticket)
		return;
	at = forget_time(step, work);
	if (step->now < at) {
		engine_wake(work, at);
		keep(step, work);
		return;
	}
	work->gone = has_nothing(work);
}

void engine_advance(struct step *step, struct held *work)
{
	work->wake_at = USEC_NEVER;
	if (step->agent->stop_all)
		held_stop(work);
	settle(step, work);
	admit(step, work);
	settle(step, work);
	explain_early_stop(step, work);
	if (work->record->desired == AGENT_STATUS_RUNNING && work->holds) {
		create(step, work);
		if (pull(step, work) && work->created)
			start(step, work);
	}
	start_again(step, work);
	health_advance(step, work);
	stop(step, work);
	release(step, work);
	set_known(step, work);
	report_task(step, work);
	destroy(step, work);
	forget(step, work);
}
