#include "api/logs_handlers.h"
#include "control/internal.h"
#include "api/logs_handlers.inc"

handler logs_handler(const struct operation *operation)
{
	return handlers[operation->index];
}
