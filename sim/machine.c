/* machine.c - an agent's shell in miniature, and the machine it stands on. */
#include "sim/world.h"
#include "wire/envelope.h"

static struct ecs_attribute attribute_items[] = {
	{ .name = STR_INIT("ecs.os-type"), .value = STR_INIT("linux") },
	{ .name = STR_INIT("ecs.cpu-architecture"), .value = STR_INIT("x86_64") },
	{ .name = STR_INIT("ecs.capability.full-sync") },
	{ .name = STR_INIT("ecs.capability.container-ordering") },
	{ .name = STR_INIT("ecs.capability.container-health-check") },
	{ .name = STR_INIT("ecs.capability.container-restart-policy") },
	{ .name = STR_INIT("ecs.capability.task-eni") },
	{ .name = STR_INIT("ecs.capability.task-cpu-mem-limit") },
	{ .name = STR_INIT("wherry.fargate") },
	{ .name = STR_INIT("com.amazonaws.ecs.capability.docker-remote-api.1.18") },
	{ .name = STR_INIT("com.amazonaws.ecs.capability.docker-remote-api.1.21") },
	{ .name = STR_INIT("com.amazonaws.ecs.capability.docker-remote-api.1.24") },
};
static const struct ecs_attributes attributes = { attribute_items, COUNT(attribute_items) };

enum { RECORD_OF_AGENT = 1, CPU_UNITS = 1024, MEMORY_MIB = 1024, TELEMETRY_SECONDS = 20 };

/* ---- What leaves once the agent's records are durable */

struct call_leaving {
	struct leaving leaving;
	uint64_t ticket;
	const struct operation *operation;
	struct str body;
};

struct frame_leaving { struct leaving leaving; struct str frame; };
struct job_leaving { struct leaving leaving; struct job job; };

static void go_call(struct sim *sim, void *owner, struct leaving *leaving)
{
	struct call_leaving *self = (struct call_leaving *)leaving;
	struct machine *machine = owner;

	trace(sim, "%s: calls %.*s %.*s", machine->name, STR(self->operation->name), STR(self->body));
	network_call(sim, (struct asker){machine, machine->life, self->ticket}, self->operation, self->body);
}

static void go_frame(struct sim *sim, void *owner, struct leaving *leaving)
{
	struct machine *machine = owner;

	if (machine->channel && machine->channel->at_agent)
		network_frame(sim, machine->channel, false, ((struct frame_leaving *)leaving)->frame);
}

static void go_job(struct sim *sim, void *owner, struct leaving *leaving)
{
	kernel_submit(sim, owner, &((struct job_leaving *)leaving)->job);
}

static void go_connect(struct sim *sim, void *owner, struct leaving *leaving)
{
	struct machine *machine = owner;

	machine->channel = network_connect(sim, machine);
}

static void agent_failed(struct sim *sim, void *owner)
{
	machine_crash_agent(sim, owner, MSECS(500));
}

/* ---- A step */

static void take_calls(struct machine *machine)
{
	struct batch *batch = machine->committer.open;

	for (size_t i = 0; i < machine->effects.calls.count; i++) {
		const struct agent_call *call = &machine->effects.calls.items[i];
		struct call_leaving *leaving = committer_leaving(&machine->committer, sizeof(*leaving), go_call);
		auto_buffer body = {0};

		json_encode(call->operation->input, call->input, &body);
		leaving->ticket = call->ticket;
		leaving->operation = call->operation;
		leaving->body = arena_copy(&batch->arena, buffer_str(&body));
	}
}

static void take_frames(struct machine *machine)
{
	struct batch *batch = machine->committer.open;

	for (size_t i = 0; i < machine->effects.messages.count; i++) {
		const struct agent_message *message = &machine->effects.messages.items[i];
		struct frame_leaving *leaving = committer_leaving(&machine->committer, sizeof(*leaving), go_frame);
		auto_buffer frame = {0};

		envelope_encode(message->type, message->shape, message->value, &frame);
		leaving->frame = arena_copy(&batch->arena, buffer_str(&frame));
	}
}

static void take_jobs(struct machine *machine)
{
	struct arena *arena = &machine->committer.open->arena;

	for (size_t i = 0; i < machine->effects.jobs.count; i++) {
		struct job_leaving *leaving = committer_leaving(&machine->committer, sizeof(*leaving), go_job);

		leaving->job = machine->effects.jobs.items[i];
		leaving->job.task_id = arena_copy(arena, leaving->job.task_id);
		leaving->job.task = shape_copy(&shape_agent_task, leaving->job.task, arena);
	}
}

struct machine_event {
	struct happening happening;
	struct machine *machine;
	uint64_t life;
};

static void *later(struct sim *sim, struct machine *machine, usec delay, void (*run)(struct sim *, struct happening *))
{
	struct machine_event *event = happen(sim, delay, struct machine_event, run);

	event->machine = machine;
	event->life = machine->life;
	return event;
}

static void step(struct sim *sim, struct machine *machine, struct agent_event event);

static void tick(struct sim *sim, struct happening *happening)
{
	struct machine_event *self = (struct machine_event *)happening;
	struct machine *machine = self->machine;

	if (machine->life != self->life || machine->tick_at != sim->now)
		return;
	machine->tick_at = USEC_NEVER;
	step(sim, machine, (struct agent_event){.type = AGENT_EVENT_TICK});
}

static void set_tick(struct sim *sim, struct machine *machine, usec at)
{
	if (at == USEC_NEVER || at >= machine->tick_at)
		return;
	machine->tick_at = MAX(at, sim->now);
	later(sim, machine, machine->tick_at - sim->now, tick);
}

/* ---- Telemetry: no channel of its own here, but as little to be relied on as one */

struct telemetry_frame {
	struct happening happening;
	struct machine *machine;
	struct channel *channel;
	struct str text;
};

static void telemetry_arrives(struct sim *sim, struct happening *happening)
{
	struct telemetry_frame *self = (struct telemetry_frame *)happening;

	if (self->machine->channel == self->channel && machine_is_connected(self->machine) && !self->machine->cut_off &&
	    sim->server.up)
		server_hear_telemetry(sim, self->text);
}

static void publish_health(struct sim *sim, struct machine *machine)
{
	usec arrival = sim->now + between(sim, MSECS(1), MSECS(30));
	struct tcs_publish_health_request request;
	auto_arena arena = {0};
	size_t cursor = 0;

	machine->last_telemetry = MAX(machine->last_telemetry, arrival);
	while (machine->channel && agent_health(machine->agent, &cursor, &arena, &request)) {
		struct telemetry_frame *frame = happen(sim, machine->last_telemetry - sim->now, struct telemetry_frame,
						       telemetry_arrives);
		auto_buffer text = {0};

		frame->machine = machine;
		frame->channel = machine->channel;
		request.timestamp = (struct maybe_double){(double)sim->now / USEC_PER_SEC, true};
		envelope_encode(S("PublishHealthRequest"), &shape_tcs_publish_health_request, &request, &text);
		frame->text = arena_copy(&sim->arena, buffer_str(&text));
	}
}

static void telemetry(struct sim *sim, struct happening *happening)
{
	struct machine_event *self = (struct machine_event *)happening;

	if (self->machine->life != self->life || !self->machine->agent_up)
		return;
	publish_health(sim, self->machine);
	later(sim, self->machine, SECONDS(TELEMETRY_SECONDS), telemetry);
}

static void step(struct sim *sim, struct machine *machine, struct agent_event event)
{
	struct agent_effects *out = &machine->effects;

	if (!machine->agent_up || machine->terminal)
		return;
	event.now = sim->now;
	event.seed = random_next(&sim->random);
	event.arena = &machine->arena;
	agent_effects_clear(out);
	agent_step(machine->agent, &event, out);
	agent_check(machine->agent);
	for (size_t i = 0; i < out->records.count; i++)
		committer_put(&machine->committer, RECORD_OF_AGENT, out->records.items[i].key, out->records.items[i].shape,
			      out->records.items[i].value);
	take_calls(machine);
	take_frames(machine);
	take_jobs(machine);
	if (out->connect)
		committer_leaving(&machine->committer, sizeof(struct leaving), go_connect);
	if (out->terminal) {
		machine->terminal = true;
		trace(sim, "%s: agent gives up: %s", machine->name, out->error.text);
	}
	if (out->health_changed) {
		check_health_changes(sim, machine);
		publish_health(sim, machine);
	}
	set_tick(sim, machine, out->wake_at);
	arena_reset(&machine->arena);
	committer_push(sim, &machine->committer, machine, agent_failed);
}

/* ---- What arrives */

void machine_fact(struct sim *sim, struct machine *machine, const struct fact *fact)
{
	step(sim, machine, (struct agent_event){.type = AGENT_EVENT_FACT, .fact = fact});
}

void machine_answer(struct sim *sim, struct machine *machine, uint64_t ticket, const struct operation *operation,
		    struct answer answer)
{
	struct agent_event event = {.type = AGENT_EVENT_ANSWER, .ticket = ticket};
	auto_arena arena = {0};
	struct json_fault fault;
	void *output;

	if (ticket == WATCH_TICKET) {
		watch_answer(sim, machine, answer);
		return;
	}
	if (answer.error) {
		trace(sim, "%s: %.*s failed: %.*s", machine->name, STR(operation->name), STR(answer.text));
		event.error = answer.error;
		event.error_text = answer.text;
	} else if (!json_decode(operation->output, answer.text, &arena, &output, &fault)) {
		violation(sim, "answers are well formed", "%s in %.*s", fault.error.text, STR(answer.text));
		return;
	} else {
		event.output = output;
	}
	step(sim, machine, event);
}

static void listen_for_silence(struct sim *sim, struct happening *happening)
{
	struct machine_event *self = (struct machine_event *)happening;
	struct machine *machine = self->machine;
	struct channel *channel = machine->channel;

	if (machine->life != self->life || !machine->agent_up)
		return;
	if (channel && channel->at_agent && sim->now - channel->last_heard > machine->silence) {
		trace(sim, "%s: hears nothing, closes the channel", machine->name);
		network_close(sim, channel);
	}
	later(sim, machine, SECONDS(1), listen_for_silence);
}

void machine_channel_open(struct sim *sim, struct machine *machine, struct channel *channel)
{
	if (machine->channel != channel)
		return;
	trace(sim, "%s: channel %llu is open", machine->name, (unsigned long long)channel->number);
	machine->silence = SECONDS(SILENCE_SECONDS) + between(sim, 0, SECONDS(SILENCE_SECONDS));
	step(sim, machine, (struct agent_event){.type = AGENT_EVENT_CHANNEL_OPEN});
}

void machine_channel_closed(struct sim *sim, struct machine *machine, struct channel *channel, enum error_code error,
			    struct str text)
{
	if (machine->channel != channel)
		return;
	machine->channel = NULL;
	machine->inactive |= str_contains(text, S("InactiveInstanceException"));
	trace(sim, "%s: channel %llu closed: %.*s", machine->name, (unsigned long long)channel->number, STR(text));
	step(sim, machine, (struct agent_event){.type = AGENT_EVENT_CHANNEL_CLOSED, .error = error, .error_text = text});
}

void machine_hear(struct sim *sim, struct machine *machine, struct str frame)
{
	struct agent_event event = {.type = AGENT_EVENT_MESSAGE};
	auto_arena arena = {0};
	struct error error;
	void *message;

	if (!envelope_decode(acs_types, frame, &arena, &event.message_type, &message, &error)) {
		violation(sim, "frames are well formed", "%s in %.*s", error.text, STR(frame));
		return;
	}
	event.message = message;
	if (!str_equal(event.message_type, S("HeartbeatMessage")))
		trace(sim, "%s: hears %.*s", machine->name, STR(frame));
	step(sim, machine, event);
}

bool machine_is_connected(const struct machine *machine)
{
	return machine->agent_up && machine->channel && machine->channel->at_agent && machine->channel->at_server &&
	       !machine->channel->cut;
}

/* ---- Life and death */

static bool restore(void *argument, const struct store_change *change, struct error *err)
{
	struct machine *machine = argument;
	auto_arena arena = {0};
	struct json_fault fault;
	void *value;

	if (!json_decode(agent_record_shape(change->key), change->value, &arena, &value, &fault)) {
		*err = fault.error;
		return false;
	}
	agent_restore(machine->agent, change->key, value);
	return true;
}

static void start_agent(struct sim *sim, struct machine *machine)
{
	struct error error;

	agent_free(machine->agent);
	machine->agent = agent_new(&machine->options);
	machine->agent_up = true;
	machine->terminal = false;
	machine->tick_at = USEC_NEVER;
	if (!store_load(machine->committer.store, restore, machine, &error)) {
		violation(sim, "the store can be read back", "%s: %s", machine->name, error.text);
		return;
	}
	trace(sim, "%s: agent starts with %zu tasks", machine->name, agent_task_count(machine->agent));
	step(sim, machine, (struct agent_event){.type = AGENT_EVENT_START});
	kernel_reconcile(sim, machine);
	later(sim, machine, SECONDS(1), listen_for_silence);
	later(sim, machine, SECONDS(TELEMETRY_SECONDS), telemetry);
	watch_begin(sim, machine);
}

static void restart_agent(struct sim *sim, struct happening *happening)
{
	struct machine_event *self = (struct machine_event *)happening;

	if (self->machine->on && !self->machine->agent_up && self->machine->life == self->life)
		start_agent(sim, self->machine);
}

static void end_agent(struct sim *sim, struct machine *machine, unsigned noticed)
{
	if (machine->channel)
		network_cut(sim, machine->channel, chance(sim, noticed));
	machine->channel = NULL;
	machine->agent_up = false;
	machine->life++;
	committer_crash(sim, &machine->committer);
}

void machine_crash_agent(struct sim *sim, struct machine *machine, usec down)
{
	if (!machine->on || !machine->agent_up)
		return;
	trace(sim, "%s: agent crashes, down for %.1f s", machine->name, (double)down / (double)USEC_PER_SEC);
	kernel_agent_died(sim, machine);
	end_agent(sim, machine, 800);
	later(sim, machine, down, restart_agent);
}

void machine_power_off(struct sim *sim, struct machine *machine)
{
	if (!machine->on)
		return;
	trace(sim, "%s: loses power", machine->name);
	if (machine->agent_up)
		end_agent(sim, machine, 0);
	kernel_lost_power(sim, machine);
	machine->on = false;
	machine->boot++;
	machine->life++;
}

void machine_power_on(struct sim *sim, struct machine *machine)
{
	if (machine->on)
		return;
	trace(sim, "%s: has power again", machine->name);
	machine->on = true;
	start_agent(sim, machine);
}

void machine_wipe(struct sim *sim, struct machine *machine)
{
	machine_power_off(sim, machine);
	trace(sim, "%s: is set up anew", machine->name);
	committer_fini(&machine->committer);
	committer_init(&machine->committer);
	machine->committer.life = machine->life << 32;   /* commits of the old disk are no longer known */
	machine->inactive = false;
}

struct machine *machine_add(struct sim *sim)
{
	struct machine *machine = calloc(1, sizeof(*machine));

	if (!machine)
		abort();
	assert(sim->machine_count < MACHINES_LIMIT);
	machine->number = sim->machine_count + 1;
	snprintf(machine->name, sizeof(machine->name), "machine %u", machine->number);
	machine->options = (struct agent_options){
		.version = S("1.0"), .attributes = &attributes, .cpu_units = CPU_UNITS, .memory_mib = MEMORY_MIB,
		.stop_timeout = SECONDS(5), .cleanup_wait = SECONDS(20)};
	machine->next_port = 32768;
	committer_init(&machine->committer);
	machine->agent = agent_new(&machine->options);
	sim->machines[sim->machine_count++] = machine;
	machine_power_on(sim, machine);
	return machine;
}

void machine_free(struct sim *sim, struct machine *machine)
{
	watch_end(machine);
	agent_free(machine->agent);
	agent_effects_fini(&machine->effects);
	committer_fini(&machine->committer);
	arena_fini(&machine->arena);
	kernel_free_boxes(machine);
	map_fini(&machine->images);
	free(machine);
}
