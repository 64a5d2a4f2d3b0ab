#include "control/records.h"

static const struct shape *const shapes[RECORD_KIND_LIMIT] = {
#define X(name, number, type) [number] = &shape_##type,
	RECORDS(X)
#undef X
};

const struct shape *record_shape(uint32_t kind)
{
	return kind < RECORD_KIND_LIMIT ? shapes[kind] : NULL;
}
