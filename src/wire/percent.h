/* percent.h - bytes behind percent signs: query strings, forms, parts of a path. */
#pragma once
#include "base/arena.h"

/* A sign without two hexadecimal digits behind it stays as it is. With `plus`, '+' is a space: query strings and forms,
 * never paths. */
struct str percent_decode(struct str text, bool plus, struct arena *arena);
