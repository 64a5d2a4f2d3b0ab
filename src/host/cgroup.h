/* cgroup.h - a task's control group, on cgroup v2, v1 and the hybrid of both.
 *
 * Groups lie under wherry/ in every hierarchy: wherry/TASK for a task (its limits), wherry/TASK/CONTAINER
 * for what the runtime makes (its limits are in config.json), wherry/TASK/.keeper for the keeper on v2, where
 * a group with children may hold no process. On a hybrid the v1 hierarchies do all the work and the
 * controller-less v2 one is left alone. */
#pragma once
#include "base/arena.h"
#include "base/error.h"

enum cgroup_mode { CGROUP_NONE, CGROUP_V1, CGROUP_V2, CGROUP_HYBRID };

enum cgroup_mode cgroup_mode(void);

struct cgroup_limits {
	int64_t cpu_units;                               /* 1024 a core; 0: none. v1 quota and period, v2 cpu.max */
	int64_t cpu_shares;                              /* when there are no cpu_units; 0: default */
	int64_t memory_bytes;                            /* 0: none */
	int64_t pids;                                    /* 0: none */
};

bool cgroup_create(struct str name, const struct cgroup_limits *limits, struct error *err);      /* idempotent */
bool cgroup_join(struct str name, int pid, struct error *err);
/* The files of an existing group whose writing moves a process into it, as cgroup_join does. */
bool cgroup_join_files(struct str name, struct arena *arena, struct str **ret_files, size_t *ret_count,
		       struct error *err);
/* The file whose writing moves a process into the group that this process is in, in one hierarchy. */
bool cgroup_own_file(struct arena *arena, struct str *ret_file, struct error *err);
/* Folder and file that tell of memory: FOLDER/CONTAINER/FILE has a line "oom_kill N". */
bool cgroup_memory_files(struct str name, struct arena *arena, struct str *ret_folder, struct str *ret_file,
			 struct error *err);
/* The folder that has our groups in the hierarchy of a controller: FOLDER/TASK/CONTAINER/FILE. */
bool cgroup_controller_folder(const char *controller, struct arena *arena, struct str *ret_folder, struct error *err);
bool cgroup_kill(struct str name, struct error *err);            /* every process in it and below */
bool cgroup_remove(struct str name, struct error *err);          /* with all below; fine when there is none */
/* Whether the kernel killed anything in the group for want of memory. */
bool cgroup_saw_oom(struct str name);

/* Removes wherry/ itself when nothing is in it. */
void cgroup_tidy(void);

struct cgroup_usage { uint64_t cpu_usec, memory_bytes, memory_cache_bytes, memory_peak_bytes; };
bool cgroup_read_usage(struct str name, struct cgroup_usage *ret_usage, struct error *err);
