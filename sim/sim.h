/* sim.h - a world in one process: the server's brain, many agents' brains, a clock and a network that obey a seed.
 *
 * No thread, no real time, no file: the same seed gives the same run, byte for byte. sim_new makes a kind world (short
 * delays, nothing is lost, nobody asks for anything) in which tests write sentences; sim_run lets the seed loose on it:
 * a random user, crashes, cuts, slow disks, then quiet, with every checker of check.c watching. A checker that finds
 * something ends the run: sim_failure tells. An assertion of a brain aborts, as it does in production. */
#pragma once
#include <stdio.h>
#include "base/str.h"
#include "base/time.h"

struct sim;

struct sim_options {
	uint64_t seed;
	unsigned instances;                              /* machines at the start; 0: as the seed says (sim_run) */
	FILE *trace;                                     /* every line as it happens, or NULL */
};

struct sim *sim_new(const struct sim_options *options);          /* machines registered and connected when `instances` */
void sim_free(struct sim *sim);

/* The whole random story. False when a checker found something. */
bool sim_run(struct sim *sim);
const char *sim_failure(const struct sim *sim);          /* NULL: none */
void sim_print_tail(const struct sim *sim, FILE *out);   /* the newest lines of the trace */

/* ---- Verbs for tests. What goes wrong is a failure of the world, which sim_failure tells. */

/* An API call, of ECS or EC2, by its name and JSON input; runs the world until the answer is there and gives its JSON, good until the
 * world ends. An error is "ERROR-NAME: text". */
struct str sim_call(struct sim *sim, const char *operation, const char *input);
void sim_run_for(struct sim *sim, usec span);
/* Until every service is steady and every task where it should be; at most ten minutes. */
void sim_run_until_steady(struct sim *sim);

/* Machines are counted from 1. */
void sim_crash_instance(struct sim *sim, unsigned instance);     /* power lost; it stays off */
void sim_start_instance(struct sim *sim, unsigned instance);
void sim_crash_agent(struct sim *sim, unsigned instance);        /* the agent only; it comes back at once */
void sim_cut_instance(struct sim *sim, unsigned instance);       /* its network; nobody is told */
void sim_join_instance(struct sim *sim, unsigned instance);
void sim_crash_server(struct sim *sim);                          /* it comes back at once */
/* Ends the process of the oldest running container of this name. */
void sim_exit_container(struct sim *sim, const char *name, int exit_code);
unsigned sim_count_running(const struct sim *sim, const char *name);     /* containers of this name, anywhere */

/* The facts (what became durable: tasks, services, instances) since the last call, a line each. */
struct str sim_take_facts(struct sim *sim);

#define EXPECT_TRACE(sim, lines) EXPECT_STR(sim_take_facts(sim), S(lines))
