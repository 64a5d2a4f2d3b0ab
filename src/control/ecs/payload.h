/* payload.h - a task as the agent hears it (agent-protocol 3): overrides merged, dockerConfig strings made. */
#pragma once
#include "api/acs.h"
#include "control/ecs/state.h"

void payload_task(struct plane *plane, const struct task_entry *task, struct acs_task *ret_task);
