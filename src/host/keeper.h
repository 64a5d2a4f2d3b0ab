/* keeper.h - the agent's line to a task's keeper.
 *
 * A keeper (build/wherry-keeper, one a task, libc only, well under 1 MiB) outlives the agent: it joins the
 * task's cgroup, starts containers through the OCI runtime as their subreaper, holds their pipes, writes
 * their log files and remembers their exit codes. It is told what to do over a SEQPACKET socket in the
 * task's run folder and can be asked at any time what it knows; one agent at a time, newest wins.
 *
 * The task's run folder (made by the agent before the keeper starts):
 *   RUN/tasks/TASK/keeper.sock, keeper.pid (locked while the keeper lives)
 *   RUN/tasks/TASK/C/bundle/config.json, rootfs     C: the container's name; rootfs stays empty here: the
 *                                                   keeper's launcher puts the overlay there in a mount
 *                                                   namespace of its own, which goes with the container
 *   RUN/tasks/TASK/C/probe.json                     the health check's process
 *   RUN/tasks/TASK/.task                            struct keeper_sharing; what it made of it: .user, .pid, .ipc
 *                                                   (namespaces, links into /proc)
 *   RUN/tasks/TASK/.shm                             /dev/shm of a task that shares its ipc, mounted by the agent
 *   RUN/tasks/TASK/C/launch                         what the launcher needs: struct keeper_launch
 *   RUN/tasks/TASK/C/state                          written by the keeper: survives the keeper
 *   RUN/tasks/TASK/.runtime                         the OCI runtime's state
 * Logs: DATA/logs/TASK/C.log, lines "2026-11-21T10:00:00.123456789Z stdout F text" (P: a part of a longer
 * line), turned to C.log.1 when full; with awslogs C.progress beside it (host/log_progress.h). */
#pragma once
#include "base/arena.h"
#include "base/error.h"
#include "base/time.h"

enum {
	KEEPER_NAME_LIMIT = 255,                         /* bytes of a container's name */
	KEEPER_CONTAINERS_LIMIT = 16,
	KEEPER_LOG_LIMIT = 64 << 20,                     /* bytes of one log file, unless asked otherwise (max-size) */
	KEEPER_LOG_FILES = 2,                            /* kept of a container (max-file) */
	KEEPER_LINE_LIMIT = 16384,                       /* longer lines are split, marked P */
};

enum keeper_request_kind { KEEPER_START, KEEPER_SIGNAL, KEEPER_LIST, KEEPER_QUIT, KEEPER_PROBE };

/* Both are sent as they lie in memory: same machine, same program version (checked by `version`). */
struct keeper_request {
	uint32_t version, kind;
	int32_t signal;
	char container[KEEPER_NAME_LIMIT + 1];
	int64_t timeout;                                 /* PROBE: microseconds until it is killed */
};

enum keeper_event_kind {
	KEEPER_STARTED, KEEPER_START_FAILED, KEEPER_EXITED,
	KEEPER_IS_RUNNING, KEEPER_HAS_EXITED, KEEPER_LISTED,     /* answers to KEEPER_LIST, ended by LISTED */
	KEEPER_PROBED,                                   /* exit_code of the check, text: the end of what it said */
};

struct keeper_event {
	uint32_t version, kind;
	char container[KEEPER_NAME_LIMIT + 1];
	int32_t pid;
	int32_t exit_code;                               /* 128 + signal when killed */
	int32_t out_of_memory;
	int64_t started_at, finished_at;                 /* microseconds since 1970 */
	char text[1024];                                 /* START_FAILED: what the runtime said; PROBED */
};

enum { KEEPER_VERSION = 3, KEEPER_EXIT_RUNS_ALREADY = 3 };       /* the exit code of one that found another */

struct keeper_options {
	struct str program;                              /* build/wherry-keeper */
	struct str runtime;                              /* "/usr/bin/crun" or any OCI runtime */
	struct str run_folder;                           /* RUN/tasks/TASK */
	struct str log_folder;                           /* DATA/logs/TASK */
	struct str cgroup;                               /* the task's, existing, as cgroup.h names it */
};

/* What the containers of a task have in common: the file RUN/tasks/TASK/.task. */
struct keeper_sharing {
	int64_t map_base, map_count;                     /* user 0 of the containers is this user; count 0: no namespace */
	bool pid, ipc;                                   /* one namespace for all containers */
};

/* The file C/launch: lines "key value". The keeper reads what starts a container, the agent after a restart all. */
struct keeper_launch {
	struct str id;                                   /* the runtime's name of the container */
	struct str log;                                  /* "none", "file LIMIT FILES", "blocking BYTES", "buffer BYTES" */
	struct str input;                                /* "closed", or "open": stdin blocks as docker's */
	/* A folder of the machine that the launcher mounts a tmpfs over in its own mount namespace; in it `rootfs`, and at N
	 * what binds[N] says: "SAME SOURCE"; "MAP SOURCE", owners mapped as the task's user namespace does; or with a map of its
	 * own: "INSIDE:OUTSIDE:COUNT;INSIDE:OUTSIDE:COUNT,… SOURCE" (users; groups). No source goes through a link. Absent: the root
	 * file system is put on bundle/rootfs. */
	struct str stage;
	struct str *binds;
	size_t bind_count;
	struct str terminal;                             /* "yes", or absent */
	struct str stop;                                 /* number of the signal that asks it to end; absent: SIGTERM */
	struct str address;                              /* on the bridge */
	struct str *ports;                               /* "8080 32768 tcp": container, host */
	size_t port_count;
};

bool keeper_write_sharing(struct str run_folder, const struct keeper_sharing *sharing, struct error *err);

bool keeper_write_launch(struct str container_folder, const struct keeper_launch *launch, struct error *err);
bool keeper_read_launch(struct str container_folder, struct arena *arena, struct keeper_launch *ret_launch,
			struct error *err);
/* The file C/state as an IS_RUNNING or HAS_EXITED event; ERROR_NOT_FOUND when it never started. */
bool keeper_read_state(struct str container_folder, struct keeper_event *ret_event, struct error *err);

/* Starts a keeper, unless one runs; returns once its socket answers. */
bool keeper_spawn(const struct keeper_options *options, struct error *err);
/* Connects to a running one: *ret_fd is the caller's. ERROR_NOT_FOUND when none answers. */
bool keeper_connect(struct str run_folder, int *ret_fd, struct error *err);
bool keeper_send(int fd, enum keeper_request_kind kind, struct str container, int signal, struct error *err);
/* KEEPER_START: STARTED or START_FAILED follows. `root`: the root file system, a mount that overlay_take took; stays the caller's. */
bool keeper_start(int fd, struct str container, int root, struct error *err);
/* Runs the container's health check once: KEEPER_PROBED follows. */
bool keeper_probe(int fd, struct str container, usec timeout, struct error *err);
/* One event, waiting at most `timeout`; false with ERROR_NOT_FOUND at the end of the line. */
bool keeper_receive(int fd, usec timeout, struct keeper_event *ret_event, struct error *err);
