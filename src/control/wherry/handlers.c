#include "api/wherry_handlers.h"
#include "control/internal.h"
#include "api/wherry_handlers.inc"

handler wherry_handler(const struct operation *operation)
{
	return handlers[operation->index];
}
