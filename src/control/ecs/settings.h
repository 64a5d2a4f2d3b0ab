/* settings.h - account settings, as the rest of the ECS room reads them (ecs-behaviour 13.3). */
#pragma once
#include "control/call.h"

/* What holds for the caller: the caller's own value, else the account's default, else AWS's. */
struct str setting_value(struct call *call, enum ecs_setting_name name);
/* The account's, where nobody asks. */
struct str setting_of_account(struct plane *plane, struct realm *realm, enum ecs_setting_name name);
