#include "server/channel.h"
#include "api/tcs.h"
#include "os/clock.h"
#include "server/log.h"
#include "server/telemetry.h"
#include "wire/envelope.h"

enum { HEARTBEAT_SECONDS = 20, CLOSE_SECONDS = 2 };

struct channel {
	struct session session; /* first: the brain's name for it */
	struct io *io;
	enum channel_kind kind;
	struct connection *connection; /* NULL: before the upgrade and after the end */
	struct websocket *websocket;
	struct str accept;    /* in the arena of the upgrade's exchange */
	struct arena arena;   /* of what follows */
	struct caller caller;
	struct str region;
	struct work farewell; /* tells the brain that the session has ended */
	struct session_event farewell_event;
	unsigned under_way; /* messages with the brain */
	usec next_heartbeat;
};

/* A message on its way to the brain, with all it points to. */
struct parcel {
	struct work work;
	struct session_event event;
	struct arena arena;
};

static void channel_free(struct channel *channel)
{
	assert(channel->under_way == 0);
	arena_fini(&channel->arena);
	websocket_free(channel->websocket);
	free(channel);
}

/* The channel may be gone afterwards, when the client was. */
static void flush(struct channel *channel)
{
	struct buffer *output = websocket_output(channel->websocket);
	struct connection *connection = channel->connection;
	auto_buffer taken = *output;

	*output = (struct buffer){0};
	if (!connection || taken.len == 0)
		return;
	if (connection_unsent(connection) + taken.len > SERVER_CHANNEL_BACKLOG_LIMIT) {
		log_error("channel", "session=%llu text=\"the agent does not read\"",
			  (unsigned long long)channel->session.number);
		connection_close(connection);
		return;
	}
	connection_write(connection, buffer_str(&taken), S(""));
}

static void submit_parcel(struct channel *channel, struct parcel *parcel, void *message)
{
	parcel->event.message = message;
	parcel->work.kind = WORK_SESSION_MESSAGE;
	parcel->work.home = &channel->io->outbox;
	parcel->work.session = &channel->session;
	parcel->work.event = &parcel->event;
	channel->under_way++;
	brain_submit(channel->io->server->brain, &parcel->work);
}

/* ---- telemetry */

static const struct {
	struct str type, ack, words;
} acks[] = {
	/* Wherry's agents take it as a wish (src/runner/telemetry.h); to others it is just a word. */
	{STR_INIT("PublishMetricsRequest"), STR_INIT("AckPublishMetric"), STR_INIT("resolution 1 s")},
	{STR_INIT("PublishHealthRequest"), STR_INIT("AckPublishHealth"), STR_INIT("ok")},
	{STR_INIT("PublishInstanceStatusRequest"), STR_INIT("AckPublishInstanceStatus"), STR_INIT("ok")},
};

static void keep_telemetry(struct telemetry *telemetry, struct str type, const void *message)
{
	if (!message)
		return;
	if (str_equal(type, S("PublishMetricsRequest")))
		telemetry_take_metrics(telemetry, message, clock_now());
	else if (str_equal(type, S("PublishHealthRequest")))
		telemetry_take_health(telemetry, message, clock_now());
}

static void send_text(struct channel *channel, struct str type, const struct shape *shape,
		      const void *message)
{
	auto_buffer text = {0};

	envelope_encode(type, shape, message, &text);
	metric_add(&channel->io->metrics.frames_out, 1);
	websocket_send(channel->websocket, buffer_str(&text));
}

/* Of all telemetry only this is the brain's: it decides by it. */
static void submit_health(struct channel *channel, struct str text)
{
	struct parcel *parcel = calloc(1, sizeof(*parcel));
	struct error error = {0};
	void *message;

	if (!parcel)
		abort();
	if (!envelope_decode(tcs_types, arena_copy(&parcel->arena, text), &parcel->arena, &parcel->event.type,
			     &message, &error) ||
	    !message) {
		arena_fini(&parcel->arena);
		free(parcel);
		return;
	}
	parcel->event.caller = channel->caller;
	parcel->event.region = channel->region;
	submit_parcel(channel, parcel, message);
}

static void telemetry_message(struct channel *channel, struct str text)
{
	auto_arena arena = {0};
	struct error error = {0};
	struct tcs_ack ack = {0};
	struct str type;
	void *message;

	if (!envelope_decode(tcs_types, text, &arena, &type, &message, &error)) {
		send_text(channel, S("BadRequestException"), &shape_tcs_ack,
			  &(struct tcs_ack){.message = str_of(error.text)});
		return;
	}
	for (size_t i = 0; i < COUNT(acks); i++) {
		if (!str_equal(acks[i].type, type))
			continue;
		metric_add(&channel->io->metrics.telemetry, 1);
		keep_telemetry(channel->io->server->telemetry, type, message);
		ack.message = acks[i].words;
		send_text(channel, acks[i].ack, &shape_tcs_ack, &ack);
	}
	if (str_equal(type, S("PublishHealthRequest")))
		submit_health(channel, text);
}

/* ---- messages for the brain */

static void agent_message(struct channel *channel, struct str text)
{
	struct parcel *parcel = calloc(1, sizeof(*parcel));
	struct error error = {0};
	struct str own;
	void *message;

	if (!parcel)
		abort();
	own = arena_copy(&parcel->arena, text);
	if (!envelope_decode(acs_types, own, &parcel->arena, &parcel->event.type, &message,
			     &error) ||
	    !message) {
		log_error("message", "session=%llu type=\"%.*s\" text=\"%s\"",
			  (unsigned long long)channel->session.number, STR(parcel->event.type),
			  error.text[0] ? error.text : "unknown type, dropped");
		arena_fini(&parcel->arena);
		free(parcel);
		return;
	}
	submit_parcel(channel, parcel, message);
}

void channel_message_done(struct work *work)
{
	struct parcel *parcel = CONTAINER_OF(work, struct parcel, work);
	struct channel *channel = CONTAINER_OF(work->session, struct channel, session);

	arena_fini(&parcel->arena);
	free(parcel);
	channel->under_way--;
	if (channel->connection)
		connection_resume(channel->connection);
}

static void on_message(void *self, struct str text)
{
	struct channel *channel = self;

	metric_add(&channel->io->metrics.frames_in, 1);
	if (channel->kind == CHANNEL_TCS)
		telemetry_message(channel, text);
	else
		agent_message(channel, text);
}

/* ---- opening */

static struct str query(struct exchange *exchange, struct str name)
{
	return http_query(&exchange->request, name, &exchange->request.arena);
}

static void submit_opening(struct exchange *exchange, const struct caller *caller,
			   struct str region)
{
	struct session_event *event = arena_new(&exchange->request.arena, struct session_event);

	*event = (struct session_event){
		.caller = *caller,
		.region = region,
		.cluster = query(exchange, S("clusterArn")),
		.container_instance = query(exchange, S("containerInstanceArn")),
		.agent_version = query(exchange, S("agentVersion")),
		.agent_hash = query(exchange, S("agentHash")),
		.docker_version = query(exchange, S("dockerVersion")),
		.send_credentials = str_equal(query(exchange, S("sendCredentials")), S("true")),
	};
	exchange->work.kind = WORK_SESSION_OPENED;
	exchange->work.session = &exchange->channel->session;
	exchange->work.event = event;
	exchange->away = true;
	brain_submit(exchange->io->server->brain, &exchange->work);
}

static void answer_plain(struct exchange *exchange, int status, const char *text)
{
	exchange->work.answer.status = status;
	exchange->work.answer.content_type = S("application/json");
	buffer_printf(&exchange->work.answer.body, "{\"BadRequestException\":\"%s\"}", text);
	if (status == 426)
		exchange->extra_headers = S("Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n");
	exchange->close = true;
	exchange_answer(exchange);
}

/* What RFC 6455 4.2.1 asks of the request; absent when it is fine. */
static const char *check_upgrade(struct exchange *exchange, struct str *ret_accept)
{
	const struct http_request *request = &exchange->request;

	if (!request->upgrade ||
	    !str_equal_ignoring_case(http_header(request, S("upgrade")), S("websocket")) ||
	    !str_equal(http_header(request, S("sec-websocket-version")), S("13")))
		return "this is a websocket of version 13";
	*ret_accept = websocket_accept(http_header(request, S("sec-websocket-key")),
				       &exchange->request.arena);
	return str_has(*ret_accept) ? NULL : "Sec-WebSocket-Key is not 16 bytes in base64";
}

void channel_open(struct exchange *exchange, enum channel_kind kind, const struct caller *caller,
		  struct str region)
{
	struct str accept = STR_NONE;
	const char *problem = check_upgrade(exchange, &accept);
	struct channel *channel;

	if (problem) {
		answer_plain(exchange, exchange->request.upgrade ? 400 : 426, problem);
		return;
	}
	if (exchange->connection->exchange_count > 1) {
		answer_plain(exchange, 400, "an upgrade behind other requests");
		return;
	}
	channel = calloc(1, sizeof(*channel));
	if (!channel)
		abort();
	channel->io = exchange->io;
	channel->kind = kind;
	channel->accept = accept;
	channel->caller = (struct caller){caller->kind, arena_copy(&channel->arena, caller->account),
					  arena_copy(&channel->arena, caller->arn)};
	channel->region = arena_copy(&channel->arena, region);
	channel->session.number = atomic_fetch_add(&exchange->io->server->next_session, 1);
	channel->session.home = &exchange->io->outbox;
	exchange->channel = channel;
	if (kind == CHANNEL_ACS)
		submit_opening(exchange, caller, region);
	else
		exchange_upgrade(exchange, accept);
}

/* Without a brain, at the end of the process, there is nobody to tell. */
static void send_farewell(struct channel *channel)
{
	if (!channel->io->server->brain) {
		channel_free(channel);
		return;
	}
	channel->farewell.kind = WORK_SESSION_CLOSED;
	channel->farewell.home = &channel->io->outbox;
	channel->farewell.session = &channel->session;
	channel->farewell.event = &channel->farewell_event;
	brain_submit(channel->io->server->brain, &channel->farewell);
}

void channel_opened(struct exchange *exchange)
{
	struct channel *channel = exchange->channel;
	bool refused = exchange->work.refused;

	if (exchange->connection && !refused) {
		exchange->away = false;
		exchange_upgrade(exchange, channel->accept);
		return;
	}
	if (refused)
		channel_free(channel);
	else
		send_farewell(channel);
	exchange->channel = NULL;
	exchange->close = true;
	exchange->work.answer.content_type = S("application/json");
	exchange_answer(exchange);
}

void channel_start(struct channel *channel, struct connection *connection)
{
	channel->connection = connection;
	channel->websocket = websocket_new(ENVELOPE_BYTES_LIMIT, on_message, channel);
	channel->next_heartbeat = io_now(channel->io) + HEARTBEAT_SECONDS * USEC_PER_SEC;
	metric_add(channel->kind == CHANNEL_ACS ? &channel->io->metrics.acs
						: &channel->io->metrics.tcs,
		   1);
}

/* ---- while it is open */

bool channel_can_read(const struct channel *channel)
{
	return channel->under_way < SERVER_CHANNEL_MESSAGES_LIMIT;
}

void channel_read(struct channel *channel, struct str bytes)
{
	struct connection *connection = channel->connection;
	bool go_on =
		websocket_read(channel->websocket, bytes) && !websocket_is_over(channel->websocket);

	flush(channel);
	if (!go_on)
		connection_finish(connection);
}

void channel_send(struct work *work)
{
	struct channel *channel = CONTAINER_OF(work->session, struct channel, session);

	if (channel->connection) {
		metric_add(&channel->io->metrics.frames_out, 1);
		websocket_send(channel->websocket, buffer_str(&work->answer.body));
		flush(channel);
	}
	brain_work_free(work);
}

static void say_close(struct channel *channel, uint16_t code)
{
	struct connection *connection = channel->connection;

	if (!connection)
		return;
	connection->deadline = io_now(channel->io) + CLOSE_SECONDS * USEC_PER_SEC;
	websocket_close(channel->websocket, code, S(""));
	flush(channel);
}

void channel_hangup(struct work *work)
{
	say_close(CONTAINER_OF(work->session, struct channel, session), 1000);
	brain_work_free(work);
}

void channel_shutdown(struct channel *channel)
{
	say_close(channel, 1001);
}

void channel_tick(struct channel *channel, usec now)
{
	struct tcs_heartbeat_message heartbeat = {.healthy = {.value = true, .has = true}};

	if (channel->kind != CHANNEL_TCS || now < channel->next_heartbeat)
		return;
	channel->next_heartbeat = now + HEARTBEAT_SECONDS * USEC_PER_SEC;
	send_text(channel, S("HeartbeatMessage"), &shape_tcs_heartbeat_message, &heartbeat);
	flush(channel);
}

/* ---- the end */

void channel_detach(struct channel *channel)
{
	channel->connection = NULL;
	metric_add(channel->kind == CHANNEL_ACS ? &channel->io->metrics.acs
						: &channel->io->metrics.tcs,
		   -1);
	send_farewell(channel);
}

/* It left after all messages, and everything comes home in order: nothing else knows the channel
 * now. */
void channel_closed(struct work *work)
{
	channel_free(CONTAINER_OF(work, struct channel, farewell));
}
