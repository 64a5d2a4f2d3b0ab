/* definitions.h - the end of task definitions. */
#pragma once
#include "control/ecs/state.h"

#define DEFINITION_RETENTION (3600 * USEC_PER_SEC)       /* DELETE_IN_PROGRESS is seen for an hour (ecs-behaviour 4.6) */

/* When to call definition_settle; USEC_NEVER unless it is DELETE_IN_PROGRESS. */
usec definition_ends_at(const struct definition_entry *definition);

/* Deletes a definition whose time has come and that nothing uses; true when it is gone. */
bool definition_settle(struct plane *plane, struct definition_entry *definition);
