/* task.h - a task's life as a table (ecs-behaviour 5.1).
 *
 * Wherry's bridge, host and none tasks go PENDING → RUNNING → STOPPED, as on AWS; the other states are
 * for launch types and networks that need them. Every path ends in STOPPED, from which nothing leaves. */
#pragma once
#include "api/state.h"

bool task_can_move(enum task_status from, enum task_status to);
/* Asserts that the table allows it; the caller sets what belongs to the new state. */
void task_move(struct task *task, enum task_status to);

static inline bool task_is_live(const struct task *task)
{
	return task->last_status != TASK_STATUS_STOPPED;
}

static inline bool task_is_wanted(const struct task *task)
{
	return task->desired_status == ECS_DESIRED_STATUS_RUNNING && task_is_live(task);
}
