/* space.h - a task's folder of limited size (ephemeralStorage).
 *
 * DATA/tasks/TASK gets a file system of its own: ext4 on a loop device on a sparse file that has no name any more, so that
 * all goes when it is unmounted. Writable layers and the task's volumes lie in it. Needs mkfs.ext4. */
#pragma once
#include "base/error.h"

enum { SPACE_GIB_LIMIT = 200 };

bool space_create(struct str folder, int64_t gib, struct error *err);    /* idempotent */
bool space_remove(struct str folder, struct error *err);                 /* fine when there is none */
