/* fake_agent.h - agents that do at once what they hear, for tests of the control plane (on a desk).
 *
 * Every step goes through fleet_call, fleet_wait, …: they hand the plane's payloads to the agents and let these report
 * until nobody has anything to say. The plane is checked after every step. */
#pragma once
#include "api/ecs.h"
#include "base/list.h"
#include "test/unit/control/desk.h"

/* What an agent does with a task that it should run. */
enum fake_mode {
	FAKE_RUNS,                                       /* reports RUNNING */
	FAKE_WAITS,                                      /* reports nothing yet */
	FAKE_FAILS,                                      /* reports STOPPED with a pull error */
	FAKE_CRASHES,                                    /* reports RUNNING, then STOPPED with exit code 1 */
};

struct fake_task {
	struct str arn;
	bool wanted, running, stopped;
};

struct fake_agent {
	struct str instance;                             /* ARN */
	uint64_t session;                                /* 0: away */
	enum fake_mode mode;
	bool lingers;                                    /* does not report the end of tasks it should stop */
	LIST_OF(struct fake_task) tasks;
};

enum { FLEET_AGENTS_LIMIT = 8, FLEET_REPORTS_LIMIT = 5000 };

struct fleet {
	struct desk desk;
	struct fake_agent agents[FLEET_AGENTS_LIMIT];
	size_t count;
	usec healthy_after;
	uint64_t reports;                                /* made by all agents so far */
};

/* A cluster "default" with agents of 4096 CPU units and 8192 MiB. Agents never miss heartbeats; `healthy_after` as in
 * plane_options. */
void fleet_init(struct fleet *fleet, size_t agents, usec healthy_after);
void fleet_fini(struct fleet *fleet);
#define auto_fleet __attribute__((cleanup(fleet_fini))) struct fleet

/* As desk_call; then the agents work. */
struct str fleet_call(struct fleet *fleet, const char *operation, const char *request);
/* Time passes, stopping wherever the plane wants to be woken. */
void fleet_wait(struct fleet *fleet, usec span);
/* Another mode; what waited goes on. */
void fleet_mode(struct fleet *fleet, enum fake_mode mode);
void fleet_linger(struct fleet *fleet, bool lingers);

void fleet_leave(struct fleet *fleet, size_t agent);             /* its channel closes; its tasks go on */
void fleet_return(struct fleet *fleet, size_t agent);
/* The plane is lost and made again from its records; agents connect again. */
void fleet_restart(struct fleet *fleet);
/* A running task of the agent ends by itself. */
void fleet_kill(struct fleet *fleet, size_t agent, size_t task);
size_t fleet_running(const struct fleet *fleet);                 /* as the agents see it */

/* Described; good until the next step. */
const struct ecs_service *fleet_service(struct fleet *fleet, const char *name);
