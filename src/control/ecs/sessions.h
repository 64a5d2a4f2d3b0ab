/* sessions.h - the agents that are connected, and what they must hear. */
#pragma once
#include "control/ecs/state.h"

/* The task's wanted state is new to its agent: a payload at the end of the step, if the agent is connected. */
void session_send_task(struct plane *plane, struct task_entry *task);
/* PublishHealthRequest, which comes over the telemetry channel: event->caller and region say who speaks. */
void session_take_health(struct plane *plane, const struct session_event *event);
/* Ends the session of an instance that is no longer one: close and refuse. */
void session_end(struct plane *plane, struct instance_entry *instance);
/* Closed, refused or unheard of: the instance has no session now. */
void instance_lost_session(struct plane *plane, struct instance_entry *instance);
void instance_wake(struct plane *plane, struct wake *wake);      /* instance_entry.wake.run */
