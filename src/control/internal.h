/* internal.h - what plane.c needs of the rooms. */
#pragma once
#include <assert.h>
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

/* NULL where the operation is not built. */
handler ecs_handler(const struct operation *operation);
handler ec2_handler(const struct operation *operation);
handler efs_handler(const struct operation *operation);
void efs_check(const struct plane *plane);
handler logs_handler(const struct operation *operation);
handler wherry_handler(const struct operation *operation);

struct realm *plane_realm(struct plane *plane, struct str account, struct str region);    /* made when new */
/* Visits the realms. Start with *cursor = 0. */
struct realm *plane_next_realm(const struct plane *plane, size_t *cursor);
