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
	struct error error;
	struct ecs_resource_ids resource_ids;            /* set together with ERROR_CONFLICT */
};

typedef bool (*handler)(struct call *call, const void *in, void *out);
