/* world.h - what the parts of the simulator know of each other.
 *
 * Everything that happens is a `happening` on the agenda; nothing calls across the network or the disk directly.
 * Each part that can crash has a `life`: happenings of an earlier life find that it has changed and do nothing. */
#pragma once
#include <assert.h>
#include "agent/agent.h"
#include "agent/network_view.h"
#include "api/docker.h"
#include "api/state.h"
#include "base/heap.h"
#include "base/map.h"
#include "base/random.h"
#include "control/plane.h"
#include "sim/sim.h"
#include "store/store.h"
#include "wire/json.h"

enum {
	MACHINES_LIMIT = 16,
	TRACE_TAIL = 240,                                /* lines kept for a failure */
	TRACE_WIDTH = 220,
	CALL_TIMEOUT_SECONDS = 5,
	CALL_LATEST_SECONDS = 15,                        /* a request that was given up may still arrive until then */
	SILENCE_SECONDS = 10,                            /* an agent closes a channel that long without a frame */
	GONE_SECONDS = 60, LOST_SECONDS = 8, HEARTBEAT_SECONDS = 3, HEALTHY_SECONDS = 3,
	RESULT_LIMIT = 512,
};

#define SECONDS(n) ((usec)(n) * USEC_PER_SEC)
#define MSECS(n) ((usec)(n) * USEC_PER_MSEC)
#define START_OF_TIME SECONDS(1700000000)

/* ---- The agenda (sim.c). The loop frees a happening after it ran; derived structs begin with one and are one block. */
struct happening {
	struct heap_node node;
	usec at;
	uint64_t order;
	void (*run)(struct sim *sim, struct happening *self);
};

void *happening_new(struct sim *sim, usec delay, size_t size, void (*run)(struct sim *sim, struct happening *self));
#define happen(sim, delay, type, run) ((type *)happening_new((sim), (delay), sizeof(type), (run)))

/* Chances are in thousandths. */
bool chance(struct sim *sim, unsigned thousandths);
usec between(struct sim *sim, usec from, usec to);
uint64_t below(struct sim *sim, uint64_t bound);

/* ---- The weather: what the world does to its parts. All zero: a kind world. */
struct weather {
	unsigned lose_call, delay_call, lose_answer;     /* thousandths */
	unsigned repeat_call;                            /* of agents: it arrives once more, later */
	unsigned slow_packet;
	usec slow_disk;                                  /* commits take up to this long */
	unsigned fail_pull, fail_create, fail_start, fail_destroy;
	bool slow_hands;                                 /* jobs take as long as they do in life, not a fixed moment */
	unsigned stubborn;                               /* containers that ignore SIGTERM */
	unsigned sick;                                   /* before each probe: it falls ill, or recovers */
};

/* ---- Trace (trace.c) */
struct trace_value { void *value; };             /* of a record, as it became durable last */

struct trace {
	char lines[TRACE_TAIL][TRACE_WIDTH];
	size_t count;
	struct buffer facts;
	struct map names;                                /* id → its short name */
	struct map values;                               /* "kind key" → trace_value */
	unsigned tasks;
};

void trace(struct sim *sim, const char *format, ...) PRINTF_LIKE(2, 3);
void trace_fact(struct sim *sim, const char *format, ...) PRINTF_LIKE(2, 3);
const char *trace_name(struct sim *sim, struct str id);                  /* of a task or an instance; "?" */
void trace_change(struct sim *sim, uint32_t kind, struct str key, const void *value);    /* a durable record */
void trace_fini(struct trace *trace);

/* ---- A batch: what steps made true, and what may leave once that is durable. */
struct leaving;

struct batch {
	struct arena arena;
	LIST_OF(struct store_change) changes;
	LIST_OF(struct leaving *) leaving;
};

/* Something that waits for the disk; derived structs begin with it. */
struct leaving { void (*go)(struct sim *sim, void *owner, struct leaving *self); };

/* One committer, for the server's and the agents' shells: it takes what came during a commit as its next batch. */
struct committer {
	struct store *store;
	struct batch *open, *flying;
	usec fixed_delay;
	uint64_t life;
	bool failed;
};

void committer_init(struct committer *committer);
void committer_fini(struct committer *committer);
void committer_crash(struct sim *sim, struct committer *committer);      /* what is under way is durable, or not */
void committer_put(struct committer *committer, uint32_t kind, struct str key, const struct shape *shape,
		   const void *value);
void *committer_leaving(struct committer *committer, size_t size,
			void (*go)(struct sim *sim, void *owner, struct leaving *self));
/* After each step: begins a commit, or lets go at once when there is nothing to wait for. */
void committer_push(struct sim *sim, struct committer *committer, void *owner, void (*on_failure)(struct sim *, void *));

/* ---- Server (server.c) */
struct server {
	bool up;
	uint64_t life;
	struct plane_options options;
	struct plane *plane;
	struct committer committer;
	struct effects effects;
	struct arena arena;
	usec tick_at;
	uint64_t records;                                /* written since the start of the world */
	uint64_t steps;
};

struct channel;

void server_init(struct sim *sim);
void server_fini(struct sim *sim);
void server_crash(struct sim *sim, usec down);
void server_start(struct sim *sim);
void server_call(struct sim *sim, uint64_t ticket, const struct operation *operation, struct str body, bool agent);
void server_hear_telemetry(struct sim *sim, struct str frame);
bool server_open_channel(struct sim *sim, struct channel *channel, struct str query_cluster, struct str instance,
			 struct str version);
void server_hear(struct sim *sim, struct channel *channel, struct str frame);
void server_close_channel(struct sim *sim, struct channel *channel);

/* ---- Network (network.c) */
struct answer {
	enum error_code error;                           /* ERROR_NETWORK: no answer */
	struct str text;                                 /* the output's JSON, or the error's text */
};

/* Who asked: a machine's agent (in a life of its own) or the user. */
struct asker {
	struct machine *machine;                         /* NULL: the user */
	uint64_t life, ticket;
};

struct pending {
	uint64_t ticket;
	char key[24];
	struct asker asker;
	const struct operation *operation;
};

struct channel {
	uint64_t number;                                 /* the plane's session */
	struct machine *machine;
	uint64_t machine_life, server_life;
	bool at_server, at_agent;                        /* who thinks that it is open */
	bool opening;
	bool cut;                                        /* nothing arrives any more */
	usec last_to_server, last_to_agent, last_heard;
};

struct network {
	struct map pending;
	LIST_OF(struct channel *) channels;
	uint64_t last_ticket, last_channel;
};

uint64_t network_call(struct sim *sim, struct asker asker, const struct operation *operation, struct str body);
void network_answer(struct sim *sim, uint64_t ticket, struct answer answer);     /* from the server */
void network_forget_server(struct sim *sim);                     /* it crashed: what it was asked is refused, or times out */
struct channel *network_connect(struct sim *sim, struct machine *machine);
struct channel *network_channel(struct sim *sim, uint64_t number);       /* as the server knows it; or NULL */
void network_frame(struct sim *sim, struct channel *channel, bool to_agent, struct str frame);
void network_accept(struct sim *sim, struct channel *channel);           /* the upgrade's answer */
void network_refuse(struct sim *sim, struct channel *channel, struct str why);
void network_hang_up(struct sim *sim, struct channel *channel);          /* by the server, after its frames */
void network_cut(struct sim *sim, struct channel *channel, bool noticed);
void network_close(struct sim *sim, struct channel *channel);            /* by the agent */
void network_fini(struct sim *sim);

/* ---- Machines (machine.c) and what runs on them (kernel.c) */
struct container {
	struct str name;
	struct box *box;
	const struct acs_container *definition;
	const struct docker_healthcheck *health;         /* or NULL */
	bool running, ever, ended, stubborn, sick;       /* ended: its last run, seen by the kernel */
	unsigned run;                                    /* counts its starts: the first is 1 */
	usec began;                                      /* that run */
	usec passed_at;                                  /* the last passed probe; 0: none in this run */
	bool passed_ever;
	int failed;                                      /* probes in a row, in this run */
	uint64_t probing;                                /* the agent's life plus one: a probe is under way */
	usec told_at;                                    /* the first SIGTERM was handed out; 0: not */
	uint64_t told_in;                                /* in this life of the agent */
	int exit_code;
	bool out_of_memory;
	char runtime_id[24];
	struct ecs_network_binding bindings[4];
	size_t binding_count;
	usec at;
	uint64_t boot;
};

/* All of one task on one machine. */
struct box {
	struct machine *machine;
	struct str id;
	struct acs_task *task;
	struct container *containers;
	size_t count;
	LIST_OF(struct job) queue;                       /* task and id are ours */
	bool busy;
	bool gone;
	bool created;
	unsigned pulls;                                  /* under way */
	struct str interface, address;                   /* attached; absent: none */
};

struct machine {
	unsigned number;
	char name[24];
	bool on, agent_up, terminal, cut_off, inactive;
	uint64_t life;                                   /* of the agent */
	uint64_t boot;
	struct agent_options options;
	struct agent *agent;
	struct agent_effects effects;
	struct committer committer;
	struct arena arena;
	struct channel *channel;
	usec tick_at, silence, last_telemetry;           /* frames arrive in order */
	struct { struct network_view view; char epoch[24]; int64_t version; } hears;     /* of VPCs (watch.c); no epoch: nothing yet */
	LIST_OF(struct box *) boxes;
	struct map images;
	uint16_t next_port;
};

struct machine *machine_add(struct sim *sim);
void machine_free(struct sim *sim, struct machine *machine);
void machine_power_off(struct sim *sim, struct machine *machine);
void machine_power_on(struct sim *sim, struct machine *machine);
void machine_wipe(struct sim *sim, struct machine *machine);     /* off, and its disk forgotten */
void machine_crash_agent(struct sim *sim, struct machine *machine, usec down);
void machine_fact(struct sim *sim, struct machine *machine, const struct fact *fact);
void machine_answer(struct sim *sim, struct machine *machine, uint64_t ticket, const struct operation *operation,
		    struct answer answer);
void machine_channel_open(struct sim *sim, struct machine *machine, struct channel *channel);
void machine_channel_closed(struct sim *sim, struct machine *machine, struct channel *channel, enum error_code error,
			    struct str text);
void machine_hear(struct sim *sim, struct machine *machine, struct str frame);
bool machine_is_connected(const struct machine *machine);

/* ---- What it hears of VPCs (watch.c) */
#define WATCH_TICKET UINT64_MAX                          /* of the asker, among its agent's own */
void watch_begin(struct sim *sim, struct machine *machine);      /* with a new life of its agent */
void watch_end(struct machine *machine);
void watch_answer(struct sim *sim, struct machine *machine, struct answer answer);

void kernel_submit(struct sim *sim, struct machine *machine, const struct job *job);
void kernel_agent_died(struct sim *sim, struct machine *machine);        /* the hands with it */
void kernel_lost_power(struct sim *sim, struct machine *machine);
void kernel_reconcile(struct sim *sim, struct machine *machine);
void kernel_exit(struct sim *sim, struct container *container, int exit_code, bool out_of_memory);
struct container *kernel_random_container(struct sim *sim);              /* a running one, or NULL */
void kernel_free_boxes(struct machine *machine);
#define EACH_CONTAINER(machine, item) \
	for (size_t item##_box = 0; item##_box < (machine)->boxes.count; item##_box++) \
		for (struct container *item = (machine)->boxes.items[item##_box]->containers, \
				      *item##_end = item + (machine)->boxes.items[item##_box]->count; item < item##_end; item++)

/* An exit that the kernel saw: the only codes that may be reported. */
struct exit_seen { int code; bool out_of_memory; };

/* ---- User (user.c): asks for things, and remembers what was promised */
struct user;
struct user *user_new(struct sim *sim);
void user_free(struct user *user);
void user_act(struct sim *sim);                          /* one random thing */
void user_answer(struct sim *sim, uint64_t ticket, const struct operation *operation, struct answer answer);
bool user_is_waiting(const struct sim *sim);
/* The promises against what is there: acknowledged is durable. */
struct snapshot;
void user_check(struct sim *sim, const struct snapshot *snapshot);

/* ---- Faults (faults.c) */
void faults_begin(struct sim *sim);                      /* the seed chooses a climate */
void faults_end(struct sim *sim);                        /* everything is repaired */

/* ---- Checkers (check.c) */
struct object { uint32_t kind; struct str key; const void *value; };
struct snapshot { LIST_OF(struct object) objects; };     /* values are the plane's: good until its next step */

void snapshot_take(const struct plane *plane, struct snapshot *snapshot);
void snapshot_fini(struct snapshot *snapshot);
const void *snapshot_find(const struct snapshot *snapshot, uint32_t kind, struct str key);
#define EACH_OBJECT(snapshot, KIND, type, item) \
	for (size_t item##_i = 0; item##_i < (snapshot)->objects.count; item##_i++) \
		if ((snapshot)->objects.items[item##_i].kind == RECORD_##KIND) \
			for (const struct type *item = (snapshot)->objects.items[item##_i].value, *item##_once = item; \
			     item##_once; item##_once = NULL)

void check_server_step(struct sim *sim);                 /* after each step */
void check_server_crash(struct sim *sim);                /* replay equals memory; and the promises */
void check_container_start(struct sim *sim, struct container *container);
void check_exit_codes(struct sim *sim, const struct snapshot *snapshot);
void check_bookings(struct sim *sim, const struct snapshot *snapshot);
void check_ends(struct sim *sim, const struct snapshot *snapshot);
void check_placeable(struct sim *sim, const struct snapshot *snapshot);
void check_job(struct sim *sim, struct box *box, const struct job *job);  /* as it is handed out */
void check_interface(struct sim *sim, const struct box *box);            /* it was just attached */
/* Its machine was silent for so long that the server gave its tasks up; it will find out. */
bool was_given_up(struct sim *sim, const struct box *box);
void check_health_changes(struct sim *sim, const struct machine *machine);
void check_interfaces(struct sim *sim, const struct snapshot *snapshot);
void check_watches(struct sim *sim);                     /* of a world that has settled */
void check_leftovers(struct sim *sim);                   /* of a world that has settled */
const struct box *find_lingering_interface(const struct sim *sim, const struct snapshot *snapshot);      /* or NULL */
void check_health(struct sim *sim);                      /* of a world that has settled */
bool was_ended_from_afar(const struct task *task);
bool world_is_steady(struct sim *sim, const struct snapshot *snapshot, char *why, size_t size);

/* ---- The world (sim.c) */
struct sim {
	struct sim_options options;
	struct random random;
	usec now;
	uint64_t order;
	struct heap agenda;
	struct weather weather;
	bool bounds_watched;                             /* no fault but the updates: healthy counts are checked */
	bool quiet;
	struct server server;
	struct network network;
	struct machine *machines[MACHINES_LIMIT];
	unsigned machine_count;
	struct user *user;
	struct trace trace;
	struct map exits;                                /* "task/container" → exit_seen */
	struct map starts;                               /* "machine/boot/task/container" → itself */
	struct map healthy;                              /* check.c: services as they were after the last step */
	struct arena arena;
	bool failed;
	char failure[RESULT_LIMIT];
	struct { bool waiting; uint64_t ticket; struct str text; } direct;       /* sim_call */
};

/* A checker found something: the first one counts, the world stops. */
void violation(struct sim *sim, const char *invariant, const char *format, ...) PRINTF_LIKE(3, 4);
void world_run_until(struct sim *sim, usec until);
