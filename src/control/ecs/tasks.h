/* tasks.h - making tasks, stopping them, and what else the other files of the room need of them. */
#pragma once
#include "control/ecs/placement.h"

struct call;

/* What a new task is made from. Strings and lists are borrowed; emit clones them. */
struct task_plan {
	struct cluster_entry *cluster;
	struct definition_entry *definition;
	struct instance_entry *instance;
	enum ecs_launch_type launch_type;
	struct task_needs needs;
	const struct ecs_task_override *overrides;       /* or NULL */
	const struct ecs_aws_vpc_configuration *network; /* of an awsvpc task; or NULL */
	struct str platform_version;                     /* resolved; of Fargate */
	struct str group, started_by;
	struct str service, deployment;                  /* absent for standalone tasks */
	bool enable_execute_command;
	struct ecs_tags tags;
};

/* The overrides of one container, or NULL; `overrides` may be NULL. */
const struct ecs_container_override *find_override(const struct ecs_task_override *overrides, struct str name);

/* Books it on plan->instance and has the payload sent at the end of the step. PENDING, or PROVISIONING with a network
 * interface of its own; NULL, and nothing changed, when none can be had or a file system is not there. */
struct task_entry *task_create(struct plane *plane, const struct task_plan *plan, struct error *err);

/* CPU units, MiB and static host ports of a task of the definition with these overrides (or NULL). In the step's arena. */
struct task_needs task_needs(struct plane *plane, const struct definition_entry *definition,
			     const struct ecs_task_override *overrides);

/* Wants the task stopped: desiredStatus STOPPED with code and reason, the agent told at the end of the step; a task
 * whose instance is gone for good is STOPPED at once. Ignores a task that is stopping already. */
void task_stop(struct plane *plane, struct task_entry *task, enum ecs_task_stop_code code, struct str reason);

/* Its last states before STOPPED (ecs-behaviour 5.1); only with a network interface. */
void task_deprovision(struct task *task);
/* In the step's arena, to be changed before an emit. */
struct task_attachment *copy_attachment(struct plane *plane, const struct task *task);
struct str attachment_arn(struct plane *plane, const struct task_entry *task);

/* STOPPED at once: its instance is gone, or the agent says so. Wakes its service. */
void task_end(struct plane *plane, struct task_entry *task, enum ecs_task_stop_code code, struct str reason);

/* Emits with the next version (ecs-behaviour 5.9). */
void task_emit(struct plane *plane, struct task_entry *task, struct task *next);
/* In the step's arena, to be changed before an emit. */
struct task_containers copy_containers(struct plane *plane, const struct task_containers *from);

/* Essential and with a health check: what a task's health is made of. */
bool task_container_is_checked(const struct task_entry *task, struct str name);
bool task_is_checked(const struct task_entry *task);
bool task_is_protected(const struct plane *plane, const struct task_entry *task);
/* RUNNING on an instance that is not lost (plane_options.lost_after), and HEALTHY, or past healthy_after when it has no
 * check (ecs-behaviour 7.5). */
bool task_is_healthy(const struct plane *plane, const struct task_entry *task);
bool instance_is_lost(const struct plane *plane, const struct instance_entry *instance);
usec task_healthy_at(const struct plane *plane, const struct task_entry *task);  /* when it will count; USEC_NEVER */

void describe_task(struct plane *plane, const struct task_entry *task, bool with_tags, struct ecs_task *ret_task);
/* As the reply of the call that made it shows it: nothing of its interface is known yet. */
void describe_new_task(struct plane *plane, const struct task_entry *task, struct ecs_task *ret_task);
