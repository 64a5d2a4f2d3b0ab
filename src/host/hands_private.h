/* hands_private.h - what hands.c (lanes, threads, facts) and the hands_*.c of the work itself share.
 *
 * A lane is a task's queue: its work runs in order, one at a time, on any worker; pulls are in none. A watcher thread reads
 * all keepers' sockets: answers wake the worker that waits, exits become work of the lane, so that they are
 * told after the start that they end. */
#pragma once
#include <pthread.h>
#include "base/list.h"
#include "base/map.h"
#include "host/hands.h"
#include "host/keeper.h"
#include "host/network.h"

enum { TASKS_LIMIT = 100000 };                         /* folders that one place is read for */

enum chore_kind {
	WORK_PULL = JOB_PULL, WORK_CREATE, WORK_START, WORK_SIGNAL, WORK_PROBE, WORK_DESTROY,
	WORK_RELEASE,
	WORK_STARTED,                                    /* unasked: a start from before a restart of the agent */
	WORK_EXITED, WORK_LOST, WORK_RECONCILE,
	WORK_KIND_COUNT
};

struct chore {
	struct link link;
	struct arena arena;                              /* owns what follows */
	enum chore_kind kind;
	struct str task_id;                              /* of a PULL, which has no lane */
	const struct acs_task *task;                     /* NULL: not needed */
	const struct acs_container *container;
	struct str name;                                 /* the container's */
	int signal;
	struct keeper_event event;
};

struct probe {
	struct link link;
	char container[KEEPER_NAME_LIMIT + 1];
};

struct lane {
	struct str task_id;                              /* owned */
	struct link runnable, works;
	bool busy;
	int keeper_fd;                                   /* -1: not connected */
	bool quitting;                                   /* the keeper's end is no loss */
	struct link probes;                              /* struct probe: health checks that are under way */
	struct str awaited;                              /* container whose start a worker waits for */
	bool answered;
	struct keeper_event answer;
};

struct container;
struct syscalls;
struct cgroup_warmer;

struct hands {
	struct arena arena;
	struct hands_options options;
	bool runtime_takes_bpf, fargate_runtime_takes_bpf, network_is_up;
	struct str stage;                                /* a folder that launches mount over in a namespace of their own */
	struct syscalls *syscalls;
	struct cgroup_warmer *warmer;                    /* may be NULL */
	int host_mounts_fd;                              /* the mount namespace that workers come back to */
	int facts_fd, watch_fd, wake_fd;
	bool stopping;
	pthread_mutex_t lock, network_lock;
	pthread_cond_t work_ready, pull_ready, keeper_spoke;
	pthread_t workers[HANDS_WORKERS], pullers[HANDS_PULLERS], watcher;
	size_t worker_count, puller_count;
	bool has_watcher;
	struct map lanes;
	struct link runnable, pulls, facts;
	size_t ended_logs;                               /* since they were last pruned */
};

/* hands.c */
void hands_tell(struct hands *hands, const struct fact *fact);   /* copies */
/* Connects when it is not; ERROR_NOT_FOUND when no keeper lives. */
bool lane_connect(struct hands *hands, struct lane *lane, struct error *err);
/* Gives a lane to a task that was found, with the line to its keeper; takes `fd`. */
void lane_adopt(struct hands *hands, struct str task_id, int fd);
bool lane_send(struct hands *hands, struct lane *lane, enum keeper_request_kind kind, struct str container,
	       int signal, struct error *err);
/* Asks for a start (keeper_start) and waits for the answer, which may be START_FAILED. */
bool lane_start(struct hands *hands, struct lane *lane, struct str container, int root, struct keeper_event *ret_answer,
		struct error *err);
/* Tells the keeper to quit and waits until it has. */
void lane_quit(struct hands *hands, struct lane *lane);
/* Takes the next chore of one kind out of the queue, or NULL. */
struct chore *lane_take(struct hands *hands, struct lane *lane, enum chore_kind kind);
/* A lane for work outside the workers, between the two: waits for what is under way in it. */
struct lane *lane_hold(struct hands *hands, struct str task_id);
void lane_release(struct hands *hands, struct lane *lane);
void lane_add(struct hands *hands, struct str task_id, struct chore *chore);       /* takes `chore` */

struct chore *chore_new(enum chore_kind kind, struct str name);
void chore_free(struct chore *chore);

/* hands_work.c: names, all that a container and its task have */
struct places {
	struct str run, data, logs;                      /* the task's folders */
	struct str task_netns;                           /* of its interface (awsvpc) */
	struct str memory;                               /* its /dev/shm (ipcMode task) */
	struct str folder, bundle, rootfs, netns;        /* the container's, under run */
	struct str environment;                          /* what its environment files say */
	struct str own, volumes;                         /* under data: the container's layer; the task's volumes */
	struct str cgroup, owner;                        /* the container's */
};

/* Names become folders and cgroups. */
bool places_name_is_good(struct str name);
struct places places_of(const struct hands *hands, struct str task_id, struct str container, struct arena *arena);
bool places_check(struct str task_id, struct str container, struct error *err);
bool places_make(struct str path, mode_t mode, struct error *err);
/* Of a container by its `owner`: the same for ever, without having to be kept. */
struct str runtime_id_of(struct str owner, struct arena *arena);

/* hands_work.c: facts and work */
struct fact fact_of(enum fact_kind kind, struct str task_id, struct str container);     /* of now */
/* Tells `fact` as the answer to a job: `err` is the reason when not `ok`. */
void hands_tell_result(struct hands *hands, struct fact *fact, bool ok, const struct error *err);
/* FACT_EXIT of what a keeper said. */
void hands_tell_exit(struct hands *hands, struct str task_id, const struct keeper_event *event);
void chore_do(struct hands *hands, struct lane *lane, struct chore *chore);
void chore_pull(struct hands *hands, struct chore *chore);
/* All that there is of the task, found by name; `task`: NULL when nobody knows it. */
bool chore_destroy_task(struct hands *hands, struct lane *lane, struct str task_id, const struct acs_task *task,
		       struct error *err);

/* hands_start.c: the stream is made, and its log shipped from now on; named after the container when nobody said how. */
bool chore_open_log(struct hands *hands, struct str task_id, const struct container *container, struct error *err);

/* hands_create.c: JOB_CREATE. Error texts are whole reasons. */
bool chore_create_task(struct hands *hands, struct lane *lane, const struct acs_task *task, struct arena *arena,
		       struct error *err);
bool ensure_keeper(struct hands *hands, struct lane *lane, const struct acs_task *task, const struct places *at,
		   struct error *err);
bool chore_release_memory(const struct places *at, struct error *err);
/* The task's interface; fine when it has none. */
bool chore_release_network(struct hands *hands, struct str task_id, struct error *err);

/* hands_ports.c: port mappings */

/* Which of the ports came as one range: [first, first + count). */
struct port_range { size_t first, count; };

struct ports {
	struct network_port items[NETWORK_PORTS_LIMIT];
	size_t count;
	struct port_range ranges[NETWORK_PORTS_LIMIT];
	size_t range_count;
};

bool ports_read(const struct acs_container *container, struct ports *ports, struct error *err);
/* A container that starts again asks for the host ports that it was given; false when it was given none. */
bool ports_keep(const struct keeper_launch *last, struct ports *ports);
/* Into the launch file, where ports_bindings finds them. */
void ports_list(const struct ports *ports, struct arena *arena, struct keeper_launch *launch);
struct ecs_network_bindings ports_bindings(const struct keeper_launch *launch, struct arena *arena);

/* hands_start.c: JOB_START */
void chore_start(struct hands *hands, struct lane *lane, struct chore *chore);
/* Takes the container's network and its ports away; fine when it has none. */
void chore_detach(struct hands *hands, const struct places *at);

/* hands_recover.c: what a restarted agent finds, and keepers that are gone */
void chore_started(struct hands *hands, struct lane *lane, struct chore *chore);
void chore_lost(struct hands *hands, struct lane *lane, struct chore *chore);
void chore_reconcile(struct hands *hands, struct lane *lane, struct chore *chore);
/* Containers that have a folder: all entries but hidden ones and the keeper's files. */
void places_list_containers(const struct places *at, struct arena *arena, struct str **ret_names, size_t *ret_count);
