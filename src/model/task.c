#include "model/task.h"
#include <assert.h>

#define TO(state) (1u << TASK_STATUS_##state)

static const unsigned lifecycle[] = {
	[TASK_STATUS_ABSENT] = TO(PROVISIONING) | TO(PENDING),
	[TASK_STATUS_PROVISIONING] = TO(PENDING) | TO(DEPROVISIONING) | TO(STOPPED),
	[TASK_STATUS_PENDING] = TO(ACTIVATING) | TO(RUNNING) | TO(STOPPING) | TO(DEPROVISIONING) | TO(STOPPED),
	[TASK_STATUS_ACTIVATING] = TO(RUNNING) | TO(DEACTIVATING) | TO(STOPPING) | TO(STOPPED),
	[TASK_STATUS_RUNNING] = TO(DEACTIVATING) | TO(STOPPING) | TO(STOPPED),
	[TASK_STATUS_DEACTIVATING] = TO(STOPPING) | TO(STOPPED),
	[TASK_STATUS_STOPPING] = TO(DEPROVISIONING) | TO(STOPPED),
	[TASK_STATUS_DEPROVISIONING] = TO(STOPPED),
	[TASK_STATUS_STOPPED] = 0,
};

bool task_can_move(enum task_status from, enum task_status to)
{
	assert(from < COUNT(lifecycle));
	return lifecycle[from] & (1u << to);
}

void task_move(struct task *task, enum task_status to)
{
	assert(task_can_move(task->last_status, to));
	task->last_status = to;
}
