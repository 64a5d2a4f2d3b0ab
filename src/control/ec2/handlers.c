#include "api/ec2_handlers.h"
#include "control/internal.h"
#include "api/ec2_handlers.inc"

handler ec2_handler(const struct operation *operation)
{
	return handlers[operation->index];
}
