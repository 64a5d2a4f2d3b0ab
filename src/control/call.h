/* call.h - what a handler works with.
 *
 * A handler sees typed, checked input and an arena; it decides, emits and describes. It returns false after
 * fail(&call->error, …); nothing must have been emitted by then, so a refused request changes nothing. */
#pragma once
#include "control/plane.h"
#include "control/room.h"

struct call {
	struct plane *plane;
	struct realm *realm;                             /* the caller's account and the request's region */
	const struct caller *caller;
	struct arena *arena;
	const struct operation *operation;
	uint64_t ticket;
	bool parked;                                     /* set by the handler: the answer comes later, by plane_answer */
	struct error error;
	struct ecs_resource_ids resource_ids;            /* set together with ERROR_CONFLICT */
};

/* Answers a parked call. `output` (NULL: `error`) must be good until the end of the step. */
void plane_answer(struct plane *plane, uint64_t ticket, const struct operation *operation, const void *output,
		  const struct error *error);

typedef bool (*handler)(struct call *call, const void *in, void *out);
