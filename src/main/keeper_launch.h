/* keeper_launch.h - how a keeper runs the OCI runtime, and the namespaces that a task's containers share.
 *
 * `launch_…` functions are for a forked child: they become the runtime and never return. A launch takes a mount namespace
 * of its own and puts the container's overlay into it, so that the mounts go with the container. */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>
#include "os/overlay.h"

enum {
	LAUNCH_LIMIT = 256 << 10,                        /* bytes of a launch file */
	LAUNCH_BINDS_LIMIT = 264,
};

/* What all launches of a keeper share. */
struct launcher {
	const char *runtime, *run_folder;                /* the run folder is the working folder, too */
	int userns;                                      /* the task's user namespace; -1: the machine's */
	pid_t pause;                                     /* holds the shared namespaces; 0: none */
};

/* The launch file, see struct keeper_launch. */
struct launch {
	const char *id, *log, *input;
	bool terminal;
	const char *stage;
	char *binds[LAUNCH_BINDS_LIMIT];                 /* "SAME SOURCE", "MAP SOURCE" or "UIDS;GIDS SOURCE" */
	size_t bind_count;
};

/* Into `text`, which the launch then points into. */
bool launch_read(const char *name, char *text, size_t room, struct launch *launch);

/* Makes what RUN/tasks/TASK/.task asks for (struct keeper_sharing); false with errno. */
bool launcher_open(struct launcher *launcher);
void launcher_close(struct launcher *launcher);

/* `rootfs`: the root file system, see keeper_start. `console`: path of a socket that takes the terminal, or NULL. */
__attribute__((noreturn)) void launch_container(const struct launcher *launcher, const char *name, int rootfs,
						const int streams[3], const char *console);
/* The health check C/probe.json: its process's pid goes to C/probe.pid, what it and the runtime say to `out`. */
__attribute__((noreturn)) void launch_probe(const struct launcher *launcher, const char *name, int out);
/* The runtime forgets the container: its state and cgroup go. */
__attribute__((noreturn)) void launch_forget(const struct launcher *launcher, const char *name);
