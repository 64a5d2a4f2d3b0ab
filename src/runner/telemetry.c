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

static void publish(uv_timer_t *timer)
{
	struct telemetry *telemetry = timer->data;
	auto_arena arena = {0};
	auto_buffer json = {0};
	struct random random;
	struct tcs_metadata metadata = {.cluster = telemetry->options.cluster,
		.container_instance = telemetry->options.instance_arn, .idle = {true, true}, .fin = {true, true}};
	struct tcs_publish_metrics_request request = {.metadata = &metadata,
		.timestamp = {(double)clock_now() / USEC_PER_SEC, true}};

	if (telemetry->options.disable_metrics)
		return;
	random_init(&random, entropy_number(), 0);
	metadata.message_id = random_uuid(&random, &arena);
	request.task_metrics.items = arena_array(&arena, struct tcs_task_metric, 0);
	envelope_encode(S("PublishMetricsRequest"), &shape_tcs_publish_metrics_request, &request, &json);
	send_signed(telemetry, buffer_str(&json), &arena);
}

/* ---- Staying connected */

static void try_later(struct telemetry *telemetry, uint64_t delay);

static void opened(void *arg)
{
	struct telemetry *telemetry = arg;

	telemetry->delay = RETRY_FIRST_MSEC;
	uv_timer_start(&telemetry->period, publish, 0, TELEMETRY_PERIOD_SECONDS * 1000);
}

static void frame(void *arg, struct str text) {}         /* that it came is all that matters */

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
