/* telemetry.h - the agent's second channel: metrics and health to TCS (agent-protocol 6).
 *
 * Sets of 20 s as the stock agent sends them; a server that says in its acks that it wants a set a second (Wherry's) gets
 * that, each within its second. Frames carry a signed block of header lines before the JSON, as the stock agent's do,
 * until the server has said so. It keeps itself connected; nothing else depends on it. */
#pragma once
#include "agent/agent.h"
#include "client/client.h"
#include <uv.h>

enum {
	TELEMETRY_PERIOD_SECONDS = 20,
	TELEMETRY_TASKS = 10,                            /* in one message */
};

/* In an ack: a set a second is welcome. */
#define TELEMETRY_WANTS_SECONDS S("resolution 1 s")

struct stats;
struct telemetry;

/* What stays as it is while it runs. Borrowed. */
struct telemetry_options {
	const struct client_options *client;
	const struct agent *agent;
	struct stats *stats;
	struct str cluster, instance_arn, version;
	bool disable_metrics, disable_health;            /* connects all the same */
};

struct telemetry *telemetry_new(uv_loop_t *loop, const struct telemetry_options *options);
/* Where to connect; a new endpoint counts from the next connection. The first call connects. */
void telemetry_point(struct telemetry *telemetry, struct str endpoint);
/* After each round of samples, once a second; and when a container's health has changed. NULL is fine. */
void telemetry_sampled(struct telemetry *telemetry);
void telemetry_health_changed(struct telemetry *telemetry);
void telemetry_stop(struct telemetry *telemetry);        /* hands its handles back to the loop */
void telemetry_free(struct telemetry *telemetry);        /* after the loop has ended */

/* What one round says of all tasks: a metric for each task that has samples. */
struct tcs_task_metrics telemetry_collect(const struct agent *agent, struct stats *stats, struct arena *arena);
