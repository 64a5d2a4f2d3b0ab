/* telemetry.h - the agent's second channel: metrics to TCS (agent-protocol 6).
 *
 * Frames to the server carry a signed block of header lines before the JSON, as the stock agent's do. It keeps
 * itself connected; nothing else depends on it. */
#pragma once
#include "client/client.h"
#include <uv.h>

enum { TELEMETRY_PERIOD_SECONDS = 20 };

struct telemetry;

/* What stays as it is while it runs. Borrowed. */
struct telemetry_options {
	const struct client_options *client;
	struct str cluster, instance_arn, version;
	bool disable_metrics;                            /* connects all the same */
};

struct telemetry *telemetry_new(uv_loop_t *loop, const struct telemetry_options *options);
/* Where to connect; a new endpoint counts from the next connection. The first call connects. */
void telemetry_point(struct telemetry *telemetry, struct str endpoint);
void telemetry_stop(struct telemetry *telemetry);        /* hands its handles back to the loop */
void telemetry_free(struct telemetry *telemetry);        /* after the loop has ended */
