/* network.c - calls over HTTP, which may lose either way, and channels, which are in order until they break. */
#include "sim/world.h"
#include <stdio.h>

static usec latency(struct sim *sim)
{
	if (chance(sim, sim->weather.slow_packet))
		return between(sim, MSECS(50), SECONDS(2));
	return sim->weather.slow_packet ? between(sim, MSECS(1), MSECS(12)) : MSECS(5);
}

/* ---- Calls */

struct request {
	struct happening happening;
	uint64_t ticket;
	const struct operation *operation;
	struct machine *from;                            /* NULL: the user */
	size_t size;
	char body[];
};

struct response {
	struct happening happening;
	uint64_t ticket;
	enum error_code error;
	size_t size;
	char text[];
};

static struct str ticket_key(const uint64_t *ticket) { return (struct str){(const char *)ticket, sizeof(*ticket)}; }

/* The asker hears once; what comes later finds nobody. */
static void complete(struct sim *sim, uint64_t ticket, struct answer answer)
{
	struct pending *pending = map_remove(&sim->network.pending, ticket_key(&ticket));
	struct asker asker;

	if (!pending)
		return;
	asker = pending->asker;
	if (!asker.machine && sim->direct.waiting && sim->direct.ticket == ticket) {
		sim->direct.waiting = false;
		sim->direct.text = answer.error
			? arena_printf(&sim->arena, "%.*s: %.*s", STR(error_wire_name(answer.error)), STR(answer.text))
			: arena_copy(&sim->arena, answer.text);
	} else if (!asker.machine) {
		user_answer(sim, ticket, pending->operation, answer);
	} else if (asker.machine->life == asker.life && asker.machine->agent_up) {
		machine_answer(sim, asker.machine, asker.ticket, pending->operation, answer);
	}
	free(pending);
}

static void timed_out(struct sim *sim, struct happening *happening)
{
	struct response *self = (struct response *)happening;

	complete(sim, self->ticket, (struct answer){ERROR_NETWORK, S("timed out")});
}

static void respond(struct sim *sim, usec delay, uint64_t ticket, struct answer answer);

static void arrive(struct sim *sim, struct happening *happening)
{
	struct request *self = (struct request *)happening;

	if (self->from && self->from->cut_off)
		return;
	if (!sim->server.up) {
		respond(sim, latency(sim), self->ticket, (struct answer){ERROR_NETWORK, S("connection refused")});
		return;
	}
	server_call(sim, self->ticket, self->operation, (struct str){self->body, self->size}, self->from != NULL);
}

static void arrive_answer(struct sim *sim, struct happening *happening)
{
	struct response *self = (struct response *)happening;

	complete(sim, self->ticket, (struct answer){self->error, {self->text, self->size}});
}

static void respond(struct sim *sim, usec delay, uint64_t ticket, struct answer answer)
{
	struct response *response = happening_new(sim, delay, sizeof(*response) + answer.text.len, arrive_answer);

	response->ticket = ticket;
	response->error = answer.error;
	response->size = answer.text.len;
	if (answer.text.len)
		memcpy(response->text, answer.text.ptr, answer.text.len);
}

static void send_request(struct sim *sim, usec delay, const struct pending *pending, struct str body)
{
	struct request *request = happening_new(sim, delay, sizeof(*request) + body.len, arrive);

	request->ticket = pending->ticket;
	request->operation = pending->operation;
	request->from = pending->asker.machine;
	request->size = body.len;
	memcpy(request->body, body.ptr, body.len);
}

uint64_t network_call(struct sim *sim, struct asker asker, const struct operation *operation, struct str body)
{
	struct pending *pending = calloc(1, sizeof(*pending));
	struct response *timeout;
	bool cut_off = asker.machine && asker.machine->cut_off;

	if (!pending)
		abort();
	pending->ticket = ++sim->network.last_ticket;
	pending->asker = asker;
	pending->operation = operation;
	map_put(&sim->network.pending, ticket_key(&pending->ticket), pending);
	if (chance(sim, sim->weather.delay_call))
		send_request(sim, between(sim, SECONDS(1), SECONDS(CALL_LATEST_SECONDS)), pending, body);
	else if (!cut_off && !chance(sim, sim->weather.lose_call))
		send_request(sim, latency(sim), pending, body);
	if (asker.machine && chance(sim, sim->weather.repeat_call))
		send_request(sim, between(sim, MSECS(1), SECONDS(CALL_LATEST_SECONDS)), pending, body);
	timeout = happen(sim, SECONDS(CALL_TIMEOUT_SECONDS), struct response, timed_out);
	timeout->ticket = pending->ticket;
	return pending->ticket;
}

void network_answer(struct sim *sim, uint64_t ticket, struct answer answer)
{
	struct pending *pending = map_get(&sim->network.pending, ticket_key(&ticket));

	if (!pending || (pending->asker.machine && pending->asker.machine->cut_off))
		return;
	if (!chance(sim, sim->weather.lose_answer))
		respond(sim, latency(sim), ticket, answer);
}

/* ---- Channels */

struct frame {
	struct happening happening;
	struct channel *channel;
	bool to_agent;
	enum { FRAME_TEXT, FRAME_OPEN, FRAME_OPENED, FRAME_REFUSED, FRAME_CLOSE, FRAME_NOTICE } kind;
	size_t size;
	char text[];
};

static struct frame *frame_new(struct sim *sim, struct channel *channel, bool to_agent, int kind, struct str text,
			       void (*run)(struct sim *, struct happening *))
{
	usec *last = to_agent ? &channel->last_to_agent : &channel->last_to_server;
	usec alone = sim->now + latency(sim), at = MAX(alone, *last);
	struct frame *frame = happening_new(sim, at - sim->now, sizeof(*frame) + text.len, run);

	*last = at;
	frame->channel = channel;
	frame->to_agent = to_agent;
	frame->kind = (__typeof__(frame->kind))kind;
	frame->size = text.len;
	if (text.len)
		memcpy(frame->text, text.ptr, text.len);
	return frame;
}

static bool agent_lives(const struct channel *channel)
{
	return channel->machine->agent_up && channel->machine->life == channel->machine_life;
}

static void close_at_agent(struct sim *sim, struct channel *channel, enum error_code error, const char *text)
{
	bool was = channel->at_agent || channel->opening;

	channel->at_agent = channel->opening = false;
	if (was && agent_lives(channel))
		machine_channel_closed(sim, channel->machine, channel, error, str_of(text));
}

static void close_at_server(struct sim *sim, struct channel *channel)
{
	bool was = channel->at_server;

	channel->at_server = false;
	if (was && sim->server.up && sim->server.life == channel->server_life)
		server_close_channel(sim, channel);
}

static void arrive_frame(struct sim *sim, struct happening *happening);

static void notice(struct sim *sim, struct channel *channel, bool to_agent)
{
	struct frame *frame = happen(sim, between(sim, MSECS(1), SECONDS(2)), struct frame, arrive_frame);

	frame->channel = channel;
	frame->to_agent = to_agent;
	frame->kind = FRAME_NOTICE;
}

/* The agent has given this channel up: the next packet tells the server so. */
static void reset_server(struct sim *sim, struct channel *channel)
{
	if (!channel->cut)
		notice(sim, channel, false);
	channel->cut = true;
}

static void at_agent(struct sim *sim, struct frame *self)
{
	struct channel *channel = self->channel;

	if (!agent_lives(channel))
		return;
	if (!channel->at_agent && !channel->opening) {
		reset_server(sim, channel);
		return;
	}
	if (self->kind == FRAME_OPENED && channel->opening) {
		channel->opening = false;
		channel->at_agent = true;
		channel->last_heard = sim->now;
		machine_channel_open(sim, channel->machine, channel);
	} else if (self->kind == FRAME_REFUSED) {
		close_at_agent(sim, channel, ERROR_REFUSED, arena_cstr(&sim->arena, (struct str){self->text, self->size}));
	} else if (self->kind == FRAME_CLOSE) {
		close_at_agent(sim, channel, ERROR_NONE, "");
	} else if (self->kind == FRAME_NOTICE) {
		close_at_agent(sim, channel, ERROR_NETWORK, "connection reset");
	} else if (self->kind == FRAME_TEXT && channel->at_agent) {
		channel->last_heard = sim->now;
		machine_hear(sim, channel->machine, (struct str){self->text, self->size});
	}
}

static void at_server(struct sim *sim, struct frame *self)
{
	struct channel *channel = self->channel;

	if (!sim->server.up)
		return;
	if (self->kind == FRAME_OPEN) {
		channel->server_life = sim->server.life;
		channel->at_server = server_open_channel(sim, channel, channel->machine->options.cluster,
							 (struct str){self->text, self->size}, S("1.0"));
	} else if (sim->server.life != channel->server_life) {
		return;
	} else if (self->kind == FRAME_NOTICE || self->kind == FRAME_CLOSE) {
		close_at_server(sim, channel);
	} else if (channel->at_server) {
		server_hear(sim, channel, (struct str){self->text, self->size});
	}
}

static void arrive_frame(struct sim *sim, struct happening *happening)
{
	struct frame *self = (struct frame *)happening;

	/* What is lost once breaks the channel: its frames are in order or not at all. */
	if (self->kind != FRAME_NOTICE && self->channel->machine->cut_off)
		self->channel->cut = true;
	if (self->kind != FRAME_NOTICE && self->channel->cut)
		return;
	if (self->to_agent)
		at_agent(sim, self);
	else
		at_server(sim, self);
}

static void dial_timed_out(struct sim *sim, struct happening *happening)
{
	struct frame *self = (struct frame *)happening;

	if (self->channel->opening)
		close_at_agent(sim, self->channel, ERROR_NETWORK, "the upgrade timed out");
}

struct channel *network_connect(struct sim *sim, struct machine *machine)
{
	struct channel *channel = calloc(1, sizeof(*channel));
	struct frame *dial;

	if (!channel)
		abort();
	channel->number = ++sim->network.last_channel;
	channel->machine = machine;
	channel->machine_life = machine->life;
	channel->opening = true;
	list_add(&sim->network.channels, channel);
	frame_new(sim, channel, false, FRAME_OPEN, agent_instance_arn(machine->agent), arrive_frame);
	dial = happen(sim, SECONDS(CALL_TIMEOUT_SECONDS), struct frame, dial_timed_out);
	dial->channel = channel;
	return channel;
}

struct channel *network_channel(struct sim *sim, uint64_t number)
{
	for (size_t i = sim->network.channels.count; i-- > 0;)
		if (sim->network.channels.items[i]->number == number)
			return sim->network.channels.items[i];
	return NULL;
}

void network_frame(struct sim *sim, struct channel *channel, bool to_agent, struct str text)
{
	frame_new(sim, channel, to_agent, FRAME_TEXT, text, arrive_frame);
}

void network_accept(struct sim *sim, struct channel *channel)
{
	frame_new(sim, channel, true, FRAME_OPENED, S(""), arrive_frame);
}

void network_refuse(struct sim *sim, struct channel *channel, struct str why)
{
	channel->at_server = false;
	frame_new(sim, channel, true, FRAME_REFUSED, why, arrive_frame);
}

void network_hang_up(struct sim *sim, struct channel *channel)
{
	channel->at_server = false;
	frame_new(sim, channel, true, FRAME_CLOSE, S(""), arrive_frame);
}

/* Unnoticed, each side believes on: the server misses its heartbeats, the agent its frames. */
void network_cut(struct sim *sim, struct channel *channel, bool noticed)
{
	channel->cut = true;
	if (!noticed)
		return;
	notice(sim, channel, true);
	notice(sim, channel, false);
}

void network_close(struct sim *sim, struct channel *channel)
{
	frame_new(sim, channel, false, FRAME_CLOSE, S(""), arrive_frame);
	close_at_agent(sim, channel, ERROR_NETWORK, "nothing was heard for too long");
}

void network_forget_server(struct sim *sim)
{
	struct pending *pending;

	for (size_t i = 0; i < sim->network.channels.count; i++) {
		struct channel *channel = sim->network.channels.items[i];

		if (!channel->at_server)
			continue;
		channel->at_server = false;
		channel->cut = true;
		if (chance(sim, 800))
			notice(sim, channel, true);
	}
	for (size_t cursor = 0; (pending = map_next(&sim->network.pending, &cursor));)
		if (chance(sim, 700))
			respond(sim, between(sim, MSECS(1), MSECS(50)), pending->ticket,
				(struct answer){ERROR_NETWORK, S("connection reset")});
}

void network_fini(struct sim *sim)
{
	struct pending *pending;

	for (size_t cursor = 0; (pending = map_next(&sim->network.pending, &cursor));)
		free(pending);
	map_fini(&sim->network.pending);
	for (size_t i = 0; i < sim->network.channels.count; i++)
		free(sim->network.channels.items[i]);
	list_fini(&sim->network.channels);
}
