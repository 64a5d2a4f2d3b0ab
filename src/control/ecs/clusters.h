/* clusters.h - how long INACTIVE clusters are remembered. */
#pragma once
#include "control/ecs/state.h"

#define CLUSTER_RETENTION (3600 * USEC_PER_SEC)          /* AWS: unspecified; at least an hour (ecs-behaviour 3.1) */

/* When to call cluster_settle; USEC_NEVER while it is ACTIVE. */
usec cluster_ends_at(const struct cluster_entry *cluster);

/* Deletes a cluster whose time has come and that has nothing in it any more; true when it is gone. */
bool cluster_settle(struct plane *plane, struct cluster_entry *cluster);
