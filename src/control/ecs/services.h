/* services.h - keeping services at what is wanted of them.
 *
 * A service is reconciled, never told what happened: whatever could matter (a task moved, an instance came or went, an
 * update, a timer) wakes it, and service_reconcile compares all of it anew. */
#pragma once
#include "control/ecs/state.h"

/* Has the service looked at before this step ends. */
void service_touch(struct plane *plane, struct service_entry *service);
void service_wake(struct plane *plane, struct wake *wake);       /* service_entry.wake.run */
/* A task of the service ended without ever reaching RUNNING (ecs-behaviour 7.10), or reached it. */
void service_task_failed(struct plane *plane, struct service_entry *service, const struct task *task);
void service_task_started(struct plane *plane, struct service_entry *service);

/* One sentence on why it is short of tasks, or absent; the class it waits for is service->waiting. In the step's arena. */
struct str service_why(struct plane *plane, const struct service_entry *service);
/* Adds an event (ecs-behaviour 7.9) without the "(service …) " prefix, which it puts before. */
void service_say(struct plane *plane, struct service_entry *service, const char *format, ...) PRINTF_LIKE(3, 4);
