#include "runner/telemetry.h"
#include <stdlib.h>
#include "api/tcs.h"
#include "client/address.h"
#include "os/clock.h"
#include "os/entropy.h"
#include "runner/line.h"
#include "runner/query.h"
#include "wire/envelope.h"
#include "wire/sigv4.h"

enum { RETRY_FIRST_MSEC = 1000, RETRY_LIMIT_MSEC = 60000 };

struct telemetry {
	uv_loop_t *loop;
	struct telemetry_options options;
	struct line line;
	uv_timer_t period, retry;
	uint64_t delay;                                  /* before the next try, milliseconds */
	struct arena arena;                              /* of the connection */
	struct str url;
	struct buffer endpoint;
	struct sigv4 *sigv4;
	usec told_at;                                    /* monotonic: the last metrics */
	bool wants_seconds, was_idle;
};

/* ---- A frame: header lines signed over the JSON as the body, then the JSON */

static void send_signed(struct telemetry *telemetry, struct str json, struct arena *arena)
{
	const struct client_options *client = telemetry->options.client;
	struct sigv4_credentials credentials = {client->key_id, client->secret, client->session_token};
	struct address address;
	struct sigv4_header headers[1 + 3];
	struct sigv4_request request = {.method = S("GET"), .headers = headers, .header_count = 1, .body = json};
	auto_buffer frame = {0};
	size_t count;

	if (!address_parse(telemetry->url, arena, &address, NULL))
		return;
	headers[0] = (struct sigv4_header){S("Host"), address.authority};
	request.path = address.path;
	request.query = address.query;
	count = 1 + sigv4_sign(telemetry->sigv4, &request, &credentials, client->region, S("ecs"), clock_now(), arena,
			       headers + 1);
	for (size_t i = 0; i < count; i++)
		buffer_printf(&frame, "%.*s: %.*s\r\n", STR(headers[i].name), STR(headers[i].value));
	buffer_printf(&frame, "\r\n%.*s", STR(json));
	line_send(&telemetry->line, buffer_str(&frame));
}

static void send_message(struct telemetry *telemetry, struct str type, const struct shape *shape, const void *message,
			 struct arena *arena)
{
	auto_buffer json = {0};

	envelope_encode(type, shape, message, &json);
	if (telemetry->wants_seconds)
		line_send(&telemetry->line, buffer_str(&json));
	else
		send_signed(telemetry, buffer_str(&json), arena);
}

static struct str new_message_id(struct arena *arena)
{
	struct random random;

	random_init(&random, entropy_number(), 0);
	return random_uuid(&random, arena);
}

static struct maybe_double timestamp_now(void) { return (struct maybe_double){(double)clock_now() / USEC_PER_SEC, true}; }

/* ---- Metrics: one message for every few tasks, the last marked; one that says so when nothing runs */

static void send_metrics(struct telemetry *telemetry, const struct tcs_task_metrics *all, struct arena *arena)
{
	struct tcs_metadata metadata = {.cluster = telemetry->options.cluster, .container_instance = telemetry->options.instance_arn,
		.message_id = new_message_id(arena), .idle = {all->count == 0, true}};
	struct tcs_publish_metrics_request request = {.metadata = &metadata, .timestamp = timestamp_now()};
	size_t at = 0;

	do {
		size_t count = MIN(all->count - at, (size_t)TELEMETRY_TASKS);

		request.task_metrics = (struct tcs_task_metrics){all->items + at, count};
		at += count;
		metadata.fin = (struct maybe_boolean){at == all->count, true};
		send_message(telemetry, S("PublishMetricsRequest"), &shape_tcs_publish_metrics_request, &request, arena);
	} while (at < all->count);
}

static bool is_due(const struct telemetry *telemetry)
{
	/* Rounds come a little early or late. */
	return clock_monotonic() - telemetry->told_at >= TELEMETRY_PERIOD_SECONDS * USEC_PER_SEC - USEC_PER_SEC / 2;
}

static void publish_metrics(struct telemetry *telemetry)
{
	auto_arena arena = {0};
	struct tcs_task_metrics all = telemetry_collect(telemetry->options.agent, telemetry->options.stats, &arena);

	/* Nothing runs: that is worth telling now and then only. */
	if (all.count == 0 && telemetry->was_idle && !is_due(telemetry))
		return;
	telemetry->was_idle = all.count == 0;
	telemetry->told_at = clock_monotonic();
	send_metrics(telemetry, &all, &arena);
}

void telemetry_sampled(struct telemetry *telemetry)
{
	if (telemetry && line_is_open(&telemetry->line) && !telemetry->options.disable_metrics &&
	    (telemetry->wants_seconds || is_due(telemetry)))
		publish_metrics(telemetry);
}

/* ---- Health */

static void publish_health(struct telemetry *telemetry)
{
	auto_arena arena = {0};
	struct str message_id = new_message_id(&arena);
	struct tcs_publish_health_request request = {0};
	size_t cursor = 0;

	while (agent_health(telemetry->options.agent, &cursor, &arena, &request)) {
		request.metadata->message_id = message_id;
		request.timestamp = timestamp_now();
		send_message(telemetry, S("PublishHealthRequest"), &shape_tcs_publish_health_request, &request, &arena);
	}
}

void telemetry_health_changed(struct telemetry *telemetry)
{
	if (telemetry && line_is_open(&telemetry->line) && !telemetry->options.disable_metrics &&
	    !telemetry->options.disable_health)
		publish_health(telemetry);
}

static void on_period(uv_timer_t *timer) { telemetry_health_changed(timer->data); }

/* ---- Staying connected */

static void try_later(struct telemetry *telemetry, uint64_t delay);

static void opened(void *arg)
{
	struct telemetry *telemetry = arg;

	telemetry->delay = RETRY_FIRST_MSEC;
	telemetry->wants_seconds = telemetry->was_idle = false;
	uv_timer_start(&telemetry->period, on_period, 0, TELEMETRY_PERIOD_SECONDS * 1000);
	if (!telemetry->options.disable_metrics)
		publish_metrics(telemetry);
}

/* Of most, that it came is all that matters. */
static void frame(void *arg, struct str text)
{
	struct telemetry *telemetry = arg;
	auto_arena arena = {0};
	const struct tcs_ack *ack;
	void *message;
	struct str type;

	if (telemetry->wants_seconds || !envelope_decode(tcs_types, text, &arena, &type, &message, NULL) || !message ||
	    !str_equal(type, S("AckPublishMetric")))
		return;
	ack = message;
	telemetry->wants_seconds = str_equal(ack->message, TELEMETRY_WANTS_SECONDS);
}

static void closed(void *arg, const struct error *err)
{
	struct telemetry *telemetry = arg;

	uv_timer_stop(&telemetry->period);
	try_later(telemetry, err->code == ERROR_NONE ? RETRY_FIRST_MSEC : telemetry->delay);
	telemetry->delay = MIN(telemetry->delay * 2, RETRY_LIMIT_MSEC);
}

static void connect_now(uv_timer_t *timer)
{
	static const struct uplink_events events = {.opened = opened, .frame = frame, .closed = closed};
	struct telemetry *telemetry = timer->data;
	const struct query_part parts[] = {
		{ "agentHash", S("wherry") }, { "agentVersion", telemetry->options.version },
		{ "cluster", telemetry->options.cluster }, { "containerInstance", telemetry->options.instance_arn },
		{ "dockerVersion", telemetry->options.version },
	};
	struct error error = {0};

	arena_reset(&telemetry->arena);
	telemetry->url = query_url(buffer_str(&telemetry->endpoint), parts, COUNT(parts), &telemetry->arena);
	if (!line_open(&telemetry->line, telemetry->loop, telemetry->options.client, telemetry->url, &events, telemetry,
		       &error))
		try_later(telemetry, RETRY_LIMIT_MSEC);
}

static void try_later(struct telemetry *telemetry, uint64_t delay)
{
	uv_timer_start(&telemetry->retry, connect_now, delay, 0);
}

void telemetry_point(struct telemetry *telemetry, struct str endpoint)
{
	bool first = telemetry->endpoint.len == 0;

	buffer_clear(&telemetry->endpoint);
	buffer_add(&telemetry->endpoint, endpoint);
	if (first)
		try_later(telemetry, 0);
}

struct telemetry *telemetry_new(uv_loop_t *loop, const struct telemetry_options *options)
{
	struct telemetry *telemetry = calloc(1, sizeof(*telemetry));

	if (!telemetry)
		abort();
	telemetry->loop = loop;
	telemetry->options = *options;
	telemetry->delay = RETRY_FIRST_MSEC;
	telemetry->sigv4 = sigv4_new();
	line_init(&telemetry->line, loop);
	uv_timer_init(loop, &telemetry->period);
	uv_timer_init(loop, &telemetry->retry);
	telemetry->period.data = telemetry->retry.data = telemetry;
	return telemetry;
}

void telemetry_stop(struct telemetry *telemetry)
{
	if (!telemetry)
		return;
	line_fini(&telemetry->line);
	uv_close((uv_handle_t *)&telemetry->period, NULL);
	uv_close((uv_handle_t *)&telemetry->retry, NULL);
}

void telemetry_free(struct telemetry *telemetry)
{
	if (!telemetry)
		return;
	sigv4_free(telemetry->sigv4);
	buffer_fini(&telemetry->endpoint);
	arena_fini(&telemetry->arena);
	free(telemetry);
}
