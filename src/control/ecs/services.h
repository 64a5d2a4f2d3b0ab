/* services.h - keeping services at what is wanted of them.
 *
 * A service is reconciled, never told what happened: whatever could matter (a task moved, an instance came or went, an
 * update, a timer) wakes it, and `reconcile` (services.c) compares all of it anew. */
#pragma once
#include "control/ecs/state.h"

enum {
	SERVICES_LIMIT = 5000,                           /* a cluster */
	SERVICE_TASKS_LIMIT = 5000,                      /* desiredCount */
	SERVICE_EVENTS_LIMIT = 100,                      /* kept a service, the newest */
	SERVICE_STARTS_LIMIT = 500,                      /* tasks started in one step */
};

#define SERVICE_RETENTION (3600 * USEC_PER_SEC)          /* of INACTIVE services (ecs-behaviour 15) */
#define COMPLAINT_INTERVAL (6 * 3600 * USEC_PER_SEC)     /* the same event is not said again before (7.3) */

/* Has the service looked at before this step ends; a large one some milliseconds later, so that many touches cost one
 * look. */
void service_touch(struct plane *plane, struct service_entry *service);
void service_wake(struct plane *plane, struct wake *wake);       /* service_entry.wake.run */
/* A task of the service ended by itself: it never reached RUNNING (ecs-behaviour 7.10), or its container exited. */
void service_task_failed(struct plane *plane, struct service_entry *service, const struct task *task);
/* A task of the service reached RUNNING. */
void service_task_started(struct plane *plane, struct service_entry *service, const struct task *task);

/* One sentence on why it is short of tasks, or absent; the class it waits for is service->waiting. In the step's arena. */
struct str service_why(struct plane *plane, const struct service_entry *service);

/* What the API counts of one deployment, or with an absent id of all: tasks that should run and whose instance is not
 * lost. */
struct service_census { int32_t running, pending; };
struct service_census service_count(const struct plane *plane, const struct service_entry *service,
				    struct str deployment);

/* ---- Events (service_events.c) */

/* Adds one (ecs-behaviour 7.9), putting "(service …) " before the text; forgets the oldest. */
void service_say(struct plane *plane, const struct service_entry *service, const char *format, ...) PRINTF_LIKE(3, 4);
/* Says a trouble once, and again after COMPLAINT_INTERVAL; `next` remembers it. Absent: the trouble is over. */
void service_complain(struct plane *plane, const struct service_entry *service, struct service *next, struct str text);
void service_forget_events(struct plane *plane, struct service_entry *service);
/* Newest first. */
struct ecs_service_events service_events(struct plane *plane, const struct service_entry *service);
