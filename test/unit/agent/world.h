/* world.h - a server, a disk and hands of the simplest kind, for driving the agent's brain by hand.
 *
 * Each step's records go to `disk` at once; jobs, calls and messages queue up until the test takes them.
 * world_crash forgets all but the disk and what the hands hold. */
#pragma once
#include "agent/agent.h"
#include "base/map.h"

struct world_job { enum job_kind kind; struct str task, container; int signal; };
struct world_call { enum call_kind kind; uint64_t ticket; const struct operation *operation; const void *input; };
struct world_said { struct str type; const void *value; };

/* A container as a keeper would hold it. */
struct world_container { struct str task, name; bool running; int exit_code; usec started_at, ended_at; };

struct world {
	struct agent_options options;
	struct agent *agent;
	struct arena arena;                              /* of the whole test */
	struct agent_effects effects;
	usec now, wake_at;
	uint64_t seed;
	struct map disk;                                 /* key → value */
	LIST_OF(struct str) keys;
	LIST_OF(struct world_job) jobs;
	LIST_OF(struct world_call) calls;
	LIST_OF(struct world_said) said;
	LIST_OF(struct world_container) held;
	unsigned connects, commits;                      /* commits: steps that wrote to the disk */
	bool terminal, health_changed;
	bool awsvpc;                                     /* payloads are of this network mode */
	const char *task_tail;                           /* more members of the task, or NULL */
	struct error error;
};

struct world *world_new(void);                           /* not started */
struct world *world_connected(void);                     /* registered, channel open */
struct world *world_running(const char *containers);     /* the same; a task t1 of these runs, all was heard */
/* t1 runs, for which and a t2 like it there is not room enough: t2 waits until t1 has been stopped. */
void world_expect_turns(struct world *world, const char *containers);
void world_free(struct world *world);

void world_start(struct world *world);
void world_crash(struct world *world);                   /* and start again; the hands say what they hold */
void world_return(struct world *world);                  /* crash, and register again; what is told twice is heard */
void world_step(struct world *world, struct agent_event event);
void world_pass(struct world *world, usec span);         /* time goes by, timers fire */

void world_message(struct world *world, const char *type, const char *json);
/* A payload of one task, in awsvpc mode and with more members when `world` says so. */
void world_payload(struct world *world, const char *task, const char *status, const char *containers);

/* The oldest job of this kind; fails the test when it is not there. */
struct world_job world_take_job(struct world *world, enum job_kind kind, const char *container);
size_t world_count_jobs(const struct world *world, enum job_kind kind);
void world_succeed(struct world *world, enum job_kind kind, const char *container);
void world_fail(struct world *world, enum job_kind kind, const char *container, const char *reason);
void world_exit(struct world *world, const char *task, const char *container, int code);

/* The oldest call, which must be of this kind. */
struct world_call world_take_call(struct world *world, enum call_kind kind);
void world_answer(struct world *world, struct world_call call, enum error_code error, const char *text);
void world_answer_registration(struct world *world);
/* Takes the oldest call, which must report the task so, and answers it well. */
void world_expect_report(struct world *world, const char *task, const char *status);
const struct ecs_submit_task_state_change_request *world_peek_report(struct world *world);
bool world_heard(struct world *world, const char *type);         /* and forgets it */

/* Does all jobs well and answers all calls until nothing is left to do now. */
void world_settle(struct world *world);
const struct agent_task *world_task(const struct world *world, const char *task);   /* NULL: gone */
const struct agent_container *world_container(const struct world *world, const char *task, const char *name);
