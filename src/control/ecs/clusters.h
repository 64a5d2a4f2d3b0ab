/* clusters.h - how long INACTIVE clusters are remembered. */
#pragma once
#include "control/ecs/state.h"

#define CLUSTER_RETENTION (3600 * USEC_PER_SEC)          /* AWS: unspecified; at least an hour (ecs-behaviour 3.1) */

/* Forgets a cluster that has been INACTIVE for CLUSTER_RETENTION and has nothing in it any more. */
void cluster_settle(struct plane *plane, struct cluster_entry *cluster);
