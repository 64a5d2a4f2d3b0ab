#include "agent/held.h"

enum {
	RECONNECT_FIRST_MSEC = 250, RECONNECT_LIMIT_SECONDS = 120,
	CONNECTED_LONG_SECONDS = 60,                     /* forgets earlier failures */
	INACTIVE_SECONDS = 3600,                         /* agent-protocol 2.3 */
};

#define INSTANCE_KEY S("instance")

static bool due_before(const struct heap_node *a, const struct heap_node *b)
{
	const struct held *left = CONTAINER_OF(a, struct held, timer), *right = CONTAINER_OF(b, struct held, timer);

	return left->wake_at != right->wake_at ? left->wake_at < right->wake_at
					       : str_compare(left->id, right->id) < 0;
}

struct agent *agent_new(const struct agent_options *options)
{
	struct agent *agent = calloc(1, sizeof(*agent));
	struct agent_instance nothing = {0};

	if (!agent)
		abort();
	agent->options = *options;
	agent->instance = shape_clone(&shape_agent_instance, &nothing);
	agent->timers.before = due_before;
	agent->register_at = agent->connect_at = agent->opened_at = USEC_NEVER;
	chain_init(&agent->stale);
	chain_init(&agent->lagging);
	ledger_reserve(&agent->ledger, options);
	return agent;
}

void agent_free(struct agent *agent)
{
	if (!agent)
		return;
	for (size_t i = 0; i < agent->tasks.count; i++)
		held_free(agent->tasks.items[i]);
	list_fini(&agent->tasks);
	list_fini(&agent->visited);
	for (size_t i = 0; i < agent->forgotten.count; i++)
		free((char *)agent->forgotten.items[i].ptr);
	list_fini(&agent->forgotten);
	attachments_fini(agent);
	map_fini(&agent->by_id);
	map_fini(&agent->by_ticket);
	heap_fini(&agent->timers);
	free(agent->instance);
	free((char *)agent->verification.ptr);
	free(agent);
}

const struct shape *agent_record_shape(struct str key)
{
	return str_equal(key, INSTANCE_KEY) ? &shape_agent_instance : &shape_agent_task;
}

static void drop(struct agent *agent, struct held *work)
{
	ledger_release(agent, work);
	agent->kept_count -= work->kept;
	map_remove(&agent->by_id, work->id);
	link_remove(&work->lagging);
	for (size_t i = 0; i < agent->tasks.count; i++) {
		if (agent->tasks.items[i] != work)
			continue;
		list_remove_at(&agent->tasks, i);
		break;
	}
	held_free(work);
}

void agent_restore(struct agent *agent, struct str key, const void *value)
{
	auto_arena arena = {0};
	struct agent_instance nothing = {0};
	struct held *work;

	if (str_equal(key, INSTANCE_KEY)) {
		free(agent->instance);
		agent->instance = shape_clone(&shape_agent_instance, value ? value : &nothing);
		return;
	}
	work = map_get(&agent->by_id, key);
	if (work)
		drop(agent, work);
	if (!value)
		return;
	work = held_add(agent, key, value);
	work->demand = accept_demand(work->record->task, &arena);
	if (work->record->pull_started_at.has && work->record->known != AGENT_STATUS_STOPPED)
		ledger_take(agent, work);
}

struct str agent_instance_arn(const struct agent *agent) { return agent->instance->container_instance_arn; }

struct str agent_cluster(const struct agent *agent)
{
	if (!str_empty(agent->options.cluster))
		return agent->options.cluster;
	return str_empty(agent->instance->cluster) ? S("default") : agent->instance->cluster;
}

bool agent_is_idle(const struct agent *agent) { return agent->tasks.count == 0; }
size_t agent_task_count(const struct agent *agent) { return agent->tasks.count; }

const struct agent_task *agent_task_at(const struct agent *agent, size_t index, struct str *ret_id)
{
	assert(index < agent->tasks.count);
	*ret_id = agent->tasks.items[index]->id;
	return agent->tasks.items[index]->record;
}

static bool is_credentials(const struct acs_iam_role_credentials *credentials, struct str id)
{
	return credentials && str_equal(credentials->credentials_id, id);
}

const struct acs_iam_role_credentials *agent_credentials(const struct agent *agent, struct str credentials_id)
{
	for (size_t i = 0; i < agent->tasks.count; i++) {
		const struct held *work = agent->tasks.items[i];

		if (is_credentials(work->application, credentials_id))
			return work->application;
		if (is_credentials(work->execution, credentials_id))
			return work->execution;
	}
	return NULL;
}

void agent_effects_clear(struct agent_effects *effects)
{
	struct agent_effects kept = *effects;

	memset(effects, 0, sizeof(*effects));
	effects->records = kept.records;
	effects->messages = kept.messages;
	effects->calls = kept.calls;
	effects->jobs = kept.jobs;
	effects->records.count = effects->messages.count = effects->calls.count = effects->jobs.count = 0;
	effects->wake_at = USEC_NEVER;
}

void agent_effects_fini(struct agent_effects *effects)
{
	list_fini(&effects->records);
	list_fini(&effects->messages);
	list_fini(&effects->calls);
	list_fini(&effects->jobs);
}

/* ---- Events */

static void look_at_all(struct agent *agent)
{
	for (size_t i = 0; i < agent->tasks.count; i++)
		held_look(agent, agent->tasks.items[i]);
}

static void on_start(struct step *step, const struct agent_event *event)
{
	struct agent *agent = step->agent;

	agent->reconciled = agent->tasks.count == 0;
	if (!str_empty(agent->instance->cluster) && !str_equal(agent->instance->cluster, agent_cluster(agent))) {
		agent->terminal = step->out->terminal = true;
		fail(&step->out->error, ERROR_REFUSED, "this agent's data belong to cluster '%.*s', not to '%.*s'",
		     STR(agent->instance->cluster), STR(agent_cluster(agent)));
		return;
	}
	report_register(step);
}

static void on_tick(struct step *step, const struct agent_event *event) {}

static void on_channel_open(struct step *step, const struct agent_event *event)
{
	step->agent->opened_at = step->now;
	step->agent->connect_at = USEC_NEVER;
}

/* After a good end at once, else later and later; a connection that never lasted is not a good end. */
static void on_channel_closed(struct step *step, const struct agent_event *event)
{
	struct agent *agent = step->agent;
	usec lasted = agent->opened_at == USEC_NEVER ? -1 : step->now - agent->opened_at;

	agent->opened_at = USEC_NEVER;
	if (lasted >= CONNECTED_LONG_SECONDS * USEC_PER_SEC)
		agent->connect_attempts = 0;
	if (str_contains(event->error_text, S("InactiveInstanceException")))
		agent->connect_at = step->now + INACTIVE_SECONDS * USEC_PER_SEC;
	else if (event->error == ERROR_NONE && lasted >= USEC_PER_SEC)
		agent->connect_at = step->now;
	else
		agent->connect_at = step->now + backoff(step, RECONNECT_FIRST_MSEC * USEC_PER_MSEC, 1.5,
							agent->connect_attempts++,
							RECONNECT_LIMIT_SECONDS * USEC_PER_SEC);
}

static void on_message(struct step *step, const struct agent_event *event)
{
	message_handle(step, event->message_type, event->message);
}

static void on_fact(struct step *step, const struct agent_event *event)
{
	fact_handle(step, event->fact);
}

static void on_answer(struct step *step, const struct agent_event *event)
{
	report_answer(step, event);
}

static void on_stop_all(struct step *step, const struct agent_event *event)
{
	step->agent->stop_all = true;
	look_at_all(step->agent);
}

static void (*const decide[])(struct step *step, const struct agent_event *event) = {
	[AGENT_EVENT_START] = on_start,
	[AGENT_EVENT_TICK] = on_tick,
	[AGENT_EVENT_CHANNEL_OPEN] = on_channel_open,
	[AGENT_EVENT_CHANNEL_CLOSED] = on_channel_closed,
	[AGENT_EVENT_MESSAGE] = on_message,
	[AGENT_EVENT_FACT] = on_fact,
	[AGENT_EVENT_ANSWER] = on_answer,
	[AGENT_EVENT_STOP_ALL] = on_stop_all,
};
static_assert(COUNT(decide) == AGENT_EVENT_TYPE_COUNT, "a row for every event");

/* ---- The step */

static void wake_due(struct step *step)
{
	struct agent *agent = step->agent;
	struct heap_node *first;

	while ((first = heap_first(&agent->timers))) {
		struct held *work = CONTAINER_OF(first, struct held, timer);

		if (work->wake_at > step->now)
			break;
		heap_remove(&agent->timers, first);
		held_look(agent, work);
	}
	if (agent->register_at <= step->now)
		report_register(step);
	if (agent->connect_at <= step->now) {
		agent->connect_at = USEC_NEVER;
		step->out->connect = agent->registered && !agent->terminal;
	}
}

/* Who waits for room looks again, in order of arrival, when somebody has left. */
static void look_at_waiting(struct agent *agent)
{
	agent->room_changed = false;
	for (size_t i = 0; i < agent->tasks.count; i++) {
		struct held *work = agent->tasks.items[i];

		if (!work->holds && work->record->desired == AGENT_STATUS_RUNNING)
			held_look(agent, work);
	}
}

static void visit(struct step *step, struct held *work)
{
	link_remove(&work->stale);
	heap_remove(&step->agent->timers, &work->timer);
	if (step->agent->reconciled && !work->gone)
		engine_advance(step, work);
	if (!work->visited)
		list_add(&step->agent->visited, work);
	work->visited = true;
}

static void visit_all(struct step *step)
{
	struct agent *agent = step->agent;

	for (;;) {
		while (!chain_empty(&agent->stale))
			visit(step, CONTAINER_OF(agent->stale.next, struct held, stale));
		if (!agent->room_changed)
			return;
		look_at_waiting(agent);
	}
}

static void push_record(struct step *step, struct str key, const struct shape *shape, const void *value)
{
	*list_push(&step->out->records) = (struct agent_record){.key = key, .shape = shape, .value = value};
}

static void remember_to_erase(struct agent *agent, struct str id)
{
	char *key = malloc(id.len);

	if (!key)
		abort();
	memcpy(key, id.ptr, id.len);
	list_add(&agent->forgotten, ((struct str){key, id.len}));
}

/* The record becomes its own again; what must not be forgotten is handed to the store. */
static void finish(struct step *step, struct held *work)
{
	struct agent_task *touched = work->record;

	work->visited = false;
	if (work->gone) {
		remember_to_erase(step->agent, work->id);
		drop(step->agent, work);
		return;
	}
	if (work->touched) {
		work->record = shape_clone(&shape_agent_task, touched);
		free(touched);
	}
	if (work->durable)
		push_record(step, work->id, &shape_agent_task, work->record);
	if (work->durable)
		link_remove(&work->lagging);
	else if (work->dated && !link_is_in(&work->lagging))
		chain_append(&step->agent->lagging, &work->lagging);
	work->touched = work->durable = work->dated = false;
	if (work->wake_at != USEC_NEVER)
		heap_add(&step->agent->timers, &work->timer);
}

/* What need not be durable by itself goes with what must be: one commit, whatever is in it. */
static void catch_up(struct step *step)
{
	struct agent *agent = step->agent;

	if (step->out->records.count == 0 && agent->tasks.count > 0)
		return;
	CHAIN_EACH(&agent->lagging, struct held, lagging, work) {
		link_remove(&work->lagging);
		push_record(step, work->id, &shape_agent_task, work->record);
	}
	for (size_t i = 0; i < agent->forgotten.count; i++) {
		struct str key = agent->forgotten.items[i];

		if (!map_get(&agent->by_id, key))        /* it did not come again meanwhile */
			push_record(step, arena_copy(step->arena, key), &shape_agent_task, NULL);
		free((char *)key.ptr);
	}
	agent->forgotten.count = 0;
}

static void finish_all(struct step *step)
{
	struct agent *agent = step->agent;
	struct agent_effects *out = step->out;

	for (size_t i = 0; i < agent->visited.count; i++)
		finish(step, agent->visited.items[i]);
	agent->visited.count = 0;
	for (size_t i = 0; i < out->jobs.count; i++)
		out->jobs.items[i].task =
			((const struct held *)map_get(&agent->by_id, out->jobs.items[i].task_id))->record;
	if (agent->instance_changed)
		push_record(step, INSTANCE_KEY, &shape_agent_instance, agent->instance);
	agent->instance_changed = false;
	catch_up(step);
}

static usec next_wake(const struct agent *agent)
{
	const struct heap_node *first = heap_first(&agent->timers);
	usec at = MIN(agent->register_at, agent->connect_at);

	return first ? MIN(at, CONTAINER_OF(first, struct held, timer)->wake_at) : at;
}

void agent_step(struct agent *agent, const struct agent_event *event, struct agent_effects *out)
{
	struct step step = {.agent = agent, .arena = event->arena, .now = event->now, .out = out};

	assert(event->type < AGENT_EVENT_TYPE_COUNT);
	assert(out->records.count == 0 && out->jobs.count == 0 && out->calls.count == 0 && out->messages.count == 0);
	random_init(&step.random, event->seed, event->type);
	decide[event->type](&step, event);
	if (!agent->terminal) {
		wake_due(&step);
		visit_all(&step);
	}
	finish_all(&step);
	out->wake_at = agent->terminal ? USEC_NEVER : next_wake(agent);
}

/* ---- Invariants */

static void check_task(const struct agent *agent, const struct held *work)
{
	const struct agent_task *record = work->record;
	size_t count = record->containers.count;

	assert(map_get(&agent->by_id, work->id) == work);
	assert(record->task && record->task->containers.count == count);
	assert(record->desired == AGENT_STATUS_RUNNING || record->desired == AGENT_STATUS_STOPPED);
	assert(record->known != AGENT_STATUS_STOPPED || record->desired == AGENT_STATUS_STOPPED);
	assert(record->reported != AGENT_STATUS_STOPPED || record->known == AGENT_STATUS_STOPPED);
	assert(!work->holds || record->known != AGENT_STATUS_STOPPED);
	assert(!record->attached_told.value || record->attached_at.has);
	assert(!work->touched && !work->durable && !work->dated && !work->gone && !work->visited);
	assert(!work->destroyed || record->known == AGENT_STATUS_STOPPED);
	for (size_t i = 0; i < count; i++) {
		const struct agent_container *container = &record->containers.items[i];

		assert(str_equal(container->name, record->task->containers.items[i].name));
		assert(container->reported <= container->known || !container->reported);
		assert(record->known != AGENT_STATUS_STOPPED || container->known == AGENT_STATUS_STOPPED);
		assert(record->desired != AGENT_STATUS_STOPPED || container->desired == AGENT_STATUS_STOPPED);
	}
}

/* A process that ended waits for its restart, or for nothing; a check that is asked for goes on. */
static void check_run(const struct agent *agent, const struct held *work, size_t index)
{
	const struct agent_container *container = &work->record->containers.items[index];
	const struct held_container *under_way = &work->containers[index];

	if (under_way->down) {
		assert(container->known == AGENT_STATUS_RUNNING);
		assert(under_way->starting || !agent->reconciled);
	}
	assert(!container->health || under_way->health.asked);
	assert(container->restart_count.value == 0 || container->restarted_at.has);
	if (agent->reconciled && !agent->terminal && under_way->health.asked && !under_way->down &&
	    container->known == AGENT_STATUS_RUNNING && container->desired == AGENT_STATUS_RUNNING)
		assert(under_way->probing || work->wake_at <= under_way->probe_at);
}

/* Something must lead on from every task that has not ended: a job, a call, a timer, or room to come. */
static void check_progress(const struct agent *agent, const struct held *work)
{
	const struct agent_task *record = work->record;
	bool under_way = work->creating || work->releasing || work->destroying || work->ticket ||
			 work->wake_at != USEC_NEVER;

	for (size_t i = 0; i < record->containers.count; i++)
		under_way |= work->containers[i].pulling || work->containers[i].starting ||
			     record->containers.items[i].known == AGENT_STATUS_RUNNING;
	if (agent->reconciled && agent->registered && !agent->terminal)
		assert(under_way || (record->desired == AGENT_STATUS_RUNNING && !work->holds));
}

void agent_check(const struct agent *agent)
{
	int64_t cpu_units = 0, memory_mib = 0;
	size_t kept = 0;

	assert(agent->by_id.count == agent->tasks.count);
	assert(agent->tasks.count <= AGENT_TASKS_LIMIT);
	for (size_t i = 0; i < agent->tasks.count; i++) {
		const struct held *work = agent->tasks.items[i];

		check_task(agent, work);
		check_progress(agent, work);
		kept += work->kept;
		for (size_t j = 0; j < work->record->containers.count; j++)
			check_run(agent, work, j);
		if (work->holds) {
			cpu_units += work->demand.cpu_units;
			memory_mib += work->demand.memory_mib;
		}
	}
	assert(kept == agent->kept_count && kept <= AGENT_ENDED_LIMIT);
	assert(cpu_units == agent->ledger.cpu_units);
	assert(memory_mib == agent->ledger.memory_mib);
}
