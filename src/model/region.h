/* region.h - the regions that AWS has: every one of them is served. */
#pragma once
#include "base/str.h"

struct region {
	struct str name;
	bool opted_in;                                   /* an account of the partition `aws` has it without asking for it */
};

enum { REGIONS_COUNT = 38 };

extern const struct region regions[REGIONS_COUNT];       /* sorted by name */

const struct region *region_find(struct str name);       /* NULL: AWS has none of this name */
