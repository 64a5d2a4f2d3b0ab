/* nulls.h - what a request marked null is only absent in what the control plane keeps and answers. */
#pragma once
#include "base/shape.h"

void nulls_clear(const struct shape *shape, void *structure);    /* in depth */
