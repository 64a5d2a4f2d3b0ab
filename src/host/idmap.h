/* idmap.h - ranges of the machine's users that tasks with a user namespace get; no two tasks the same at a time.
 *
 * RUN/idmaps/N names the task that has range N, RUN/tasks/TASK/.idmap the range of a task. The ranges lie where nobody
 * else's are (above those of systemd's containers, below 2^31). */
#pragma once
#include "base/error.h"

enum { IDMAP_COUNT = 65536, IDMAP_RANGES = 4096 };

#define IDMAP_FIRST INT64_C(0x70000000)

/* Takes a range, or gives the one that the task has already. */
bool idmap_take(struct str run, struct str task_id, int64_t *ret_base, struct error *err);
/* 0: the task has none. */
int64_t idmap_find(struct str run, struct str task_id);
void idmap_release(struct str run, struct str task_id);  /* fine when there is none */
