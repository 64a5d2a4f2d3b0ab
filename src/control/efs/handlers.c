#include "api/efs_handlers.h"
#include "control/internal.h"
#include "api/efs_handlers.inc"

handler efs_handler(const struct operation *operation)
{
	return handlers[operation->index];
}
