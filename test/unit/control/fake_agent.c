#include "test/unit/control/fake_agent.h"
#include "api/acs.h"

/* ---- hearing */
static struct fake_agent *agent_of(struct fleet *fleet, uint64_t session)
{
	for (size_t i = 0; i < fleet->count; i++)
		if (fleet->agents[i].session == session)
			return &fleet->agents[i];
	return NULL;
}

static struct fake_task *task_named(struct fake_agent *agent, struct str arn)
{
	for (size_t i = 0; i < agent->tasks.count; i++)
		if (str_equal(agent->tasks.items[i].arn, arn))
			return &agent->tasks.items[i];
	return NULL;
}

static void hear_task(struct fleet *fleet, struct fake_agent *agent, const struct acs_task *told)
{
	struct fake_task *task = task_named(agent, told->arn);

	if (!task) {
		task = list_push(&agent->tasks);
		task->arn = arena_copy(&fleet->desk.arena, told->arn);
		task->wanted = true;
	}
	if (str_equal(told->desired_status, S("STOPPED")))
		task->wanted = false;
}

static void listen(struct fleet *fleet)
{
	const struct effects *effects = &fleet->desk.effects;

	for (size_t i = 0; i < effects->messages.count; i++) {
		const struct message *message = &effects->messages.items[i];
		const struct acs_payload_message *payload = message->value;
		struct fake_agent *agent = agent_of(fleet, message->session);

		if (!agent || !str_equal(message->type, S("PayloadMessage")))
			continue;
		for (size_t t = 0; t < payload->tasks.count; t++)
			hear_task(fleet, agent, &payload->tasks.items[t]);
	}
}

/* ---- reporting */
static void report(struct fleet *fleet, struct str arn, const char *rest)
{
	assert_true(fleet->reports++ < FLEET_REPORTS_LIMIT);
	fleet->desk.caller = CALLER_AGENT;
	EXPECT_STR(desk_call(&fleet->desk, "SubmitTaskStateChange",
			     desk_text(&fleet->desk, "{'task':'%.*s',%s}", STR(arn), rest)), S("{'acknowledgment':'ACCEPT'}"));
	fleet->desk.caller = CALLER_ROOT;
	listen(fleet);
}

static void report_end(struct fleet *fleet, struct fake_agent *agent, size_t index, const char *rest)
{
	agent->tasks.items[index].stopped = true;
	report(fleet, agent->tasks.items[index].arn, rest);
}

/* False: nothing to say about this task. */
static bool act(struct fleet *fleet, struct fake_agent *agent, size_t index)
{
	struct fake_task *task = &agent->tasks.items[index];

	if (task->stopped)
		return false;
	if (!task->wanted) {
		if (agent->lingers)
			return false;
		report_end(fleet, agent, index, "'status':'STOPPED'");
		return true;
	}
	if (agent->mode == FAKE_FAILS && !task->running) {
		report_end(fleet, agent, index, "'status':'STOPPED','reason':'CannotPullContainerError: no such image'");
		return true;
	}
	if (agent->mode != FAKE_WAITS && !task->running) {
		task->running = true;
		report(fleet, task->arn, "'status':'RUNNING'");
		return true;
	}
	if (agent->mode == FAKE_CRASHES) {
		report_end(fleet, agent, index, "'status':'STOPPED','containers':[{'containerName':'c','exitCode':1,'status':'STOPPED'}]");
		return true;
	}
	return false;
}

static void work(struct fleet *fleet)
{
	bool busy;

	listen(fleet);
	do {
		busy = false;
		for (size_t i = 0; i < fleet->count; i++)
			for (size_t t = 0; fleet->agents[i].session && t < fleet->agents[i].tasks.count; t++)
				busy |= act(fleet, &fleet->agents[i], t);
	} while (busy);
}

/* ---- what tests do */
static void add_agent(struct fleet *fleet)
{
	struct fake_agent *agent = &fleet->agents[fleet->count];

	agent->instance = desk_instance(&fleet->desk, "default");
	agent->session = fleet->desk.seed - 1;
	fleet->count++;
}

static struct plane *new_plane(const struct fleet *fleet)
{
	return plane_new(&(struct plane_options){
		.account = S("123456789012"), .endpoint = S("http://127.0.0.1:4566"), .healthy_after = fleet->healthy_after,
		.heartbeat = 365 * 24 * 3600 * USEC_PER_SEC});
}

void fleet_init(struct fleet *fleet, size_t agents, usec healthy_after)
{
	memset(fleet, 0, sizeof(*fleet));
	desk_init(&fleet->desk);
	plane_free(fleet->desk.plane);
	fleet->healthy_after = healthy_after;
	fleet->desk.plane = new_plane(fleet);
	desk_call(&fleet->desk, "CreateCluster", "{}");
	assert_true(agents <= FLEET_AGENTS_LIMIT);
	while (fleet->count < agents)
		add_agent(fleet);
}

static void restore(void *arg, enum record_kind kind, struct str key, const void *value)
{
	assert_true(plane_restore(arg, kind, key, value, NULL));
}

void fleet_restart(struct fleet *fleet)
{
	struct plane *old = fleet->desk.plane;

	fleet->desk.plane = new_plane(fleet);
	plane_visit(old, restore, fleet->desk.plane);
	plane_free(old);
	desk_step(&fleet->desk, (struct event){.type = EVENT_TICK});
	work(fleet);
	for (size_t i = 0; i < fleet->count; i++)
		if (fleet->agents[i].session)
			fleet_return(fleet, i);
}

void fleet_fini(struct fleet *fleet)
{
	for (size_t i = 0; i < fleet->count; i++)
		list_fini(&fleet->agents[i].tasks);
	desk_fini(&fleet->desk);
}

struct str fleet_call(struct fleet *fleet, const char *operation, const char *request)
{
	struct str answer = desk_call(&fleet->desk, operation, request);

	work(fleet);
	return answer;
}

void fleet_wait(struct fleet *fleet, usec span)
{
	usec end = fleet->desk.now + span;

	while (fleet->desk.now < end) {
		usec next = fleet->desk.effects.wake_at;

		fleet->desk.now = next > fleet->desk.now && next < end ? next : end;
		desk_step(&fleet->desk, (struct event){.type = EVENT_TICK});
		work(fleet);
	}
}

void fleet_mode(struct fleet *fleet, enum fake_mode mode)
{
	for (size_t i = 0; i < fleet->count; i++)
		fleet->agents[i].mode = mode;
	work(fleet);
}

void fleet_linger(struct fleet *fleet, bool lingers)
{
	for (size_t i = 0; i < fleet->count; i++)
		fleet->agents[i].lingers = lingers;
	work(fleet);
}

void fleet_leave(struct fleet *fleet, size_t agent)
{
	desk_step(&fleet->desk, (struct event){.type = EVENT_SESSION_CLOSED, .session = {.session = fleet->agents[agent].session}});
	fleet->agents[agent].session = 0;
	work(fleet);
}

void fleet_return(struct fleet *fleet, size_t agent)
{
	fleet->agents[agent].session = fleet->desk.seed + 1000;
	desk_step(&fleet->desk, (struct event){
		.type = EVENT_SESSION_OPENED,
		.session = {.session = fleet->agents[agent].session, .region = str_of(fleet->desk.region), .cluster = S("default"),
			    .container_instance = fleet->agents[agent].instance, .agent_version = S("1.99.0"),
			    .caller = {.kind = CALLER_AGENT, .account = S("123456789012"), .arn = str_of(fleet->desk.arn)}}});
	assert_int_equal(fleet->desk.effects.hangups.count, 0);
	work(fleet);
}

void fleet_kill(struct fleet *fleet, size_t agent, size_t task)
{
	struct fake_agent *owner = &fleet->agents[agent];
	size_t index = 0;

	for (;; index++) {
		assert_true(index < owner->tasks.count);
		if (owner->tasks.items[index].running && !owner->tasks.items[index].stopped && task-- == 0)
			break;
	}
	report_end(fleet, owner, index, "'status':'STOPPED','containers':[{'containerName':'c','exitCode':137,'status':'STOPPED'}]");
	work(fleet);
}

size_t fleet_running(const struct fleet *fleet)
{
	size_t count = 0;

	for (size_t i = 0; i < fleet->count; i++)
		for (size_t t = 0; t < fleet->agents[i].tasks.count; t++)
			count += fleet->agents[i].tasks.items[t].running && !fleet->agents[i].tasks.items[t].stopped;
	return count;
}

const struct ecs_service *fleet_service(struct fleet *fleet, const char *name)
{
	const struct ecs_describe_services_response *out;

	fleet_call(fleet, "DescribeServices", desk_text(&fleet->desk, "{'services':['%s'],'include':['TAGS']}", name));
	desk_call(&fleet->desk, "DescribeServices", desk_text(&fleet->desk, "{'services':['%s'],'include':['TAGS']}", name));
	out = fleet->desk.effects.replies.items[0].output;
	assert_non_null(out);
	assert_int_equal(out->services.count, 1);
	return &out->services.items[0];
}
