#include "api/ecs_handlers.h"
#include "control/internal.h"
#include "api/ecs_handlers.inc"

/* The generated table is static, so that a missing handler is a link error here and nowhere else. */
static_assert(COUNT(handlers) == ECS_OPERATION_COUNT, "a row for every operation");

handler ecs_handler(const struct operation *operation)
{
	return handlers[operation->index];
}
