/* payload.h - a task as the agent hears it (agent-protocol 3): overrides merged, dockerConfig strings made. */
#pragma once
#include "api/acs.h"
#include "control/ecs/state.h"

/* Of an awsvpc task; false when there is none any more. */
bool payload_interface(struct plane *plane, const struct task_entry *task, struct acs_elastic_network_interface *ret_interface);
void payload_task(struct plane *plane, const struct task_entry *task, struct acs_task *ret_task);
