/* regions.h - the regions that AWS has: every one of them is served. */
#pragma once
#include "base/str.h"

bool region_is_known(struct str region);
