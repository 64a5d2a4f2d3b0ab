/* runner.h - the agent's shell: joins its brain to the hands, the server and the disk.
 *
 * One loop (libuv) on one thread: the brain's steps, the channel, facts from the hands, submitted calls (on a
 * worker thread each), telemetry. Records are durable (store) before jobs and messages of the same step leave.
 * Settings are the stock agent's: ECS_* variables and /etc/ecs/ecs.config (agent-protocol 1.1). */
#pragma once
#include "base/error.h"
#include "base/str.h"

enum { RUNNER_EXIT_TERMINAL = 5 };                       /* starting again would not help (agent-protocol 1.1) */

struct runner_options {
	struct str endpoint, region, key_id, secret;     /* ECS_BACKEND_HOST, AWS_DEFAULT_REGION, AWS_* */
	struct str data, run;                            /* DATA and RUN: agent/, images/, logs/; sockets, namespaces */
	struct str runtime, keeper;
	struct str fargate_runtime;                      /* absent: `runtime` */
	struct str s3_endpoint, session_token;           /* for environmentFiles; absent: there is none */
	struct str bridge_cidr, public_cidr;             /* absent: network.h's and fabric.h's */
	bool insecure_tls, allow_http_registries;
	bool announce;                                   /* print "wherry: agent ready …" once registered */
};

/* Runs until SIGTERM or SIGINT (containers go on) or a terminal refusal. Returns the process's exit code
 * (agent-protocol 1.1). SIGUSR1: stop and destroy every task and the network, then exit 0 (`wherry down`). */
int runner_run(const struct runner_options *options);

/* Takes away by name what agents that crashed left on this machine: containers, mounts, namespaces, cgroups, rules.
 * Needs no server. Returns the process's exit code. */
int runner_sweep(const struct runner_options *options);
