/* server.c - the server's shell in miniature: an event, a step, a commit, and only then what the step said. */
#include "sim/world.h"
#include <errno.h>
#include "wire/envelope.h"

static const struct caller root = {CALLER_ROOT, STR_INIT("000000000000"), STR_INIT("arn:aws:iam::000000000000:root")};
static const struct caller agent = {CALLER_AGENT, STR_INIT("000000000000"), STR_INIT("arn:aws:iam::000000000000:user/agent")};

enum leaving_kind { LEAVING_REPLY, LEAVING_FRAME, LEAVING_ACCEPT, LEAVING_REFUSE, LEAVING_HANGUP, LEAVING_RECORD };

struct server_leaving {
	struct leaving leaving;
	enum leaving_kind kind;
	uint64_t to;                                     /* ticket or session */
	enum error_code error;
	struct str text;                                 /* in the batch's arena */
};

static void go(struct sim *sim, void *owner, struct leaving *leaving)
{
	struct server_leaving *self = (struct server_leaving *)leaving;
	struct channel *channel = NULL;

	if (self->kind == LEAVING_REPLY) {
		network_answer(sim, self->to, (struct answer){self->error, self->text});
		return;
	}
	channel = network_channel(sim, self->to);
	if (self->kind == LEAVING_REFUSE)
		network_refuse(sim, channel, self->text);
	else if (!channel->at_server || channel->server_life != sim->server.life)
		return;
	else if (self->kind == LEAVING_ACCEPT)
		network_accept(sim, channel);
	else if (self->kind == LEAVING_FRAME)
		network_frame(sim, channel, true, self->text);
	else if (self->kind == LEAVING_HANGUP)
		network_hang_up(sim, channel);
}

/* What became durable, for the trace. */
static void go_record(struct sim *sim, void *owner, struct leaving *leaving)
{
	struct server_leaving *self = (struct server_leaving *)leaving;
	const struct shape *shape = record_shape((uint32_t)self->to);
	size_t key = str_find(self->text, ' ');
	struct str text = str_slice(self->text, key + 1, self->text.len);
	auto_arena arena = {0};
	struct json_fault fault;
	void *value = NULL;

	if (!str_empty(text) && !json_decode(shape, text, &arena, &value, &fault))
		violation(sim, "records can be read back", "%s in %.*s", fault.error.text, STR(text));
	else
		trace_change(sim, (uint32_t)self->to, str_slice(self->text, 0, key), value);
}

static struct server_leaving *leave(struct server *server, enum leaving_kind kind, uint64_t to, struct str text)
{
	struct server_leaving *leaving =
		committer_leaving(&server->committer, sizeof(*leaving), kind == LEAVING_RECORD ? go_record : go);

	leaving->kind = kind;
	leaving->to = to;
	leaving->text = arena_copy(&server->committer.open->arena, text);
	return leaving;
}

static void server_failed(struct sim *sim, void *owner)
{
	trace(sim, "server: cannot write, ends");
	server_crash(sim, MSECS(500));
}

/* ---- A step */

static void take_records(struct sim *sim)
{
	struct server *server = &sim->server;

	for (size_t i = 0; i < server->effects.records.count; i++) {
		const struct record *record = &server->effects.records.items[i];
		struct str value;

		committer_put(&server->committer, record->kind, record->key, record_shape(record->kind), record->value);
		value = server->committer.open->changes.items[server->committer.open->changes.count - 1].value;
		leave(server, LEAVING_RECORD, record->kind,
		      arena_printf(&server->arena, "%.*s %.*s", STR(record->key), STR(value)));
		server->records++;
	}
}

static void take_replies(struct sim *sim)
{
	struct server *server = &sim->server;

	for (size_t i = 0; i < server->effects.replies.count; i++) {
		const struct reply *reply = &server->effects.replies.items[i];
		auto_buffer body = {0};

		if (reply->output) {
			json_encode(reply->operation->output, reply->output, &body);
			leave(server, LEAVING_REPLY, reply->ticket, buffer_str(&body));
		} else {
			leave(server, LEAVING_REPLY, reply->ticket, str_of(reply->error.text))->error = reply->error.code;
			if (error_http_status(reply->error.code) >= 500)
				violation(sim, "the server does not fail", "%.*s: %s", STR(reply->operation->name),
					  reply->error.text);
		}
	}
}

static void take_frames(struct sim *sim)
{
	struct server *server = &sim->server;

	for (size_t i = 0; i < server->effects.messages.count; i++) {
		const struct message *message = &server->effects.messages.items[i];
		auto_buffer frame = {0};

		envelope_encode(message->type, message->shape, message->value, &frame);
		if (!str_equal(message->type, S("HeartbeatMessage")))
			trace(sim, "server: says %.*s to session %llu", STR(message->type), (unsigned long long)message->session);
		leave(server, LEAVING_FRAME, message->session, buffer_str(&frame));
	}
	for (size_t i = 0; i < server->effects.hangups.count; i++) {
		const struct hangup *hangup = &server->effects.hangups.items[i];

		if (!str_has(hangup->refusal))
			leave(server, LEAVING_HANGUP, hangup->session, S(""));
	}
}

static void tick(struct sim *sim, struct happening *happening);

static void set_tick(struct sim *sim, usec at)
{
	struct server *server = &sim->server;

	if (at == USEC_NEVER || at >= server->tick_at)
		return;
	server->tick_at = MAX(at, sim->now);
	happen(sim, server->tick_at - sim->now, struct happening, tick);
}

/* True when the step refused this session. */
static bool step(struct sim *sim, struct event event, const struct channel *opening)
{
	struct server *server = &sim->server;
	struct str refusal = STR_NONE;

	event.now = sim->now;
	event.seed = random_next(&sim->random);
	event.arena = &server->arena;
	effects_clear(&server->effects);
	plane_step(server->plane, &event, &server->effects);
	server->steps++;
	take_records(sim);
	take_replies(sim);
	for (size_t i = 0; opening && i < server->effects.hangups.count; i++)
		if (server->effects.hangups.items[i].session == opening->number)
			refusal = server->effects.hangups.items[i].refusal;
	if (opening)
		leave(server, str_has(refusal) ? LEAVING_REFUSE : LEAVING_ACCEPT, opening->number, refusal);
	take_frames(sim);
	set_tick(sim, server->effects.wake_at);
	check_server_step(sim);
	arena_reset(&server->arena);
	committer_push(sim, &server->committer, server, server_failed);
	return str_has(refusal);
}

static void tick(struct sim *sim, struct happening *happening)
{
	struct server *server = &sim->server;

	if (!server->up || server->tick_at != sim->now)
		return;
	server->tick_at = USEC_NEVER;
	step(sim, (struct event){.type = EVENT_TICK}, NULL);
}

/* ---- What arrives */

void server_call(struct sim *sim, uint64_t ticket, const struct operation *operation, struct str body, bool is_agent)
{
	struct event event = {.type = EVENT_CALL};
	struct violation broken;
	auto_arena arena = {0};
	struct json_fault fault;
	void *input;

	if (!json_decode(operation->input, body, &arena, &input, &fault) ||
	    !shape_check(operation->input, input, &arena, &broken)) {
		violation(sim, "requests are well formed", "%.*s %.*s", STR(operation->name), STR(body));
		return;
	}
	event.call = (struct call_event){.ticket = ticket, .operation = operation, .input = input,
					 .caller = is_agent ? agent : root, .region = S("us-east-1")};
	if (!is_agent)
		trace(sim, "call %.*s %.*s", STR(operation->name), STR(body));
	step(sim, event, NULL);
}

bool server_open_channel(struct sim *sim, struct channel *channel, struct str cluster, struct str instance,
			 struct str version)
{
	struct event event = {.type = EVENT_SESSION_OPENED,
			      .session = {.session = channel->number, .caller = agent, .region = S("us-east-1"),
					  .cluster = cluster, .container_instance = instance, .agent_version = version,
					  .send_credentials = true}};

	channel->at_server = true;
	return !step(sim, event, channel) && channel->at_server;
}

void server_hear(struct sim *sim, struct channel *channel, struct str frame)
{
	struct event event = {.type = EVENT_SESSION_MESSAGE, .session = {.session = channel->number}};
	auto_arena arena = {0};
	struct error error;
	void *message;

	if (!envelope_decode(acs_types, frame, &arena, &event.session.type, &message, &error)) {
		violation(sim, "frames are well formed", "%s in %.*s", error.text, STR(frame));
		return;
	}
	event.session.message = message;
	step(sim, event, NULL);
}

void server_hear_telemetry(struct sim *sim, struct str frame)
{
	struct event event = {.type = EVENT_SESSION_MESSAGE, .session = {.caller = agent, .region = S("us-east-1")}};
	auto_arena arena = {0};
	struct error error;
	void *message;

	if (!envelope_decode(tcs_types, frame, &arena, &event.session.type, &message, &error)) {
		violation(sim, "frames are well formed", "%s in %.*s", error.text, STR(frame));
		return;
	}
	event.session.message = message;
	step(sim, event, NULL);
}

void server_close_channel(struct sim *sim, struct channel *channel)
{
	step(sim, (struct event){.type = EVENT_SESSION_CLOSED, .session = {.session = channel->number}}, NULL);
}

/* ---- Life and death */

static bool restore(void *argument, const struct store_change *change, struct error *err)
{
	struct sim *sim = argument;
	auto_arena arena = {0};
	struct json_fault fault;
	void *value;

	if (!json_decode(record_shape(change->kind), change->value, &arena, &value, &fault)) {
		*err = fault.error;
		return false;
	}
	return plane_restore(sim->server.plane, change->kind, change->key, value, err);
}

static void start(struct sim *sim, struct happening *happening)
{
	if (!sim->server.up)
		server_start(sim);
}

void server_start(struct sim *sim)
{
	struct server *server = &sim->server;
	struct snapshot snapshot;
	struct error error;

	assert(!server->up);
	server->plane = plane_new(&server->options);
	server->up = true;
	server->tick_at = USEC_NEVER;
	if (!store_load(server->committer.store, restore, sim, &error)) {
		violation(sim, "the store can be read back", "%s", error.text);
		return;
	}
	trace(sim, "server: starts");
	snapshot_take(server->plane, &snapshot);
	user_check(sim, &snapshot);
	snapshot_fini(&snapshot);
	step(sim, (struct event){.type = EVENT_TICK}, NULL);
}

void server_crash(struct sim *sim, usec down)
{
	struct server *server = &sim->server;

	if (!server->up)
		return;
	trace(sim, "server: crashes, down for %.1f s", (double)down / (double)USEC_PER_SEC);
	check_server_crash(sim);
	committer_crash(sim, &server->committer);
	plane_free(server->plane);
	server->plane = NULL;
	server->up = false;
	server->life++;
	network_forget_server(sim);
	happen(sim, down, struct happening, start);
}

void server_init(struct sim *sim)
{
	struct server *server = &sim->server;

	server->options = (struct plane_options){
		.account = S("000000000000"), .endpoint = S("http://127.0.0.1:4566"),
		.heartbeat = SECONDS(HEARTBEAT_SECONDS), .lost_after = SECONDS(LOST_SECONDS),
		.gone_after = SECONDS(GONE_SECONDS), .healthy_after = SECONDS(HEALTHY_SECONDS)};
	committer_init(&server->committer);
	server_start(sim);
}

void server_fini(struct sim *sim)
{
	plane_free(sim->server.plane);
	committer_fini(&sim->server.committer);
	effects_fini(&sim->server.effects);
	arena_fini(&sim->server.arena);
}
