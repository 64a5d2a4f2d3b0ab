/* internal.h - what plane.c needs of the rooms. */
#pragma once
#include "control/call.h"

struct ecs;

struct ecs *ecs_new(void);
void ecs_free(struct ecs *ecs);
void ecs_start(struct plane *plane);                     /* first step after the restore */
void ecs_step_end(struct plane *plane);                  /* what a step gathered: payloads to agents */
void ecs_check(const struct plane *plane);
void ecs_session_opened(struct plane *plane, const struct session_event *event);
void ecs_session_message(struct plane *plane, const struct session_event *event);
void ecs_session_closed(struct plane *plane, const struct session_event *event);
void ecs_statistics(const struct plane *plane, struct plane_statistics *ret_statistics);

/* By operation->index; NULL where the operation is not built. */
extern const handler ecs_handlers[], wherry_handlers[];

/* Visits the realms. Start with *cursor = 0. */
struct realm *plane_next_realm(const struct plane *plane, size_t *cursor);
