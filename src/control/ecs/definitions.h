/* definitions.h - the end of task definitions. */
#pragma once
#include "control/ecs/state.h"

#define DEFINITION_RETENTION (3600 * USEC_PER_SEC)       /* DELETE_IN_PROGRESS is seen for an hour (ecs-behaviour 4.6) */

/* Forgets a definition that is DELETE_IN_PROGRESS, unused, and was asked to go DEFINITION_RETENTION ago. */
void definition_settle(struct plane *plane, struct definition_entry *definition);
