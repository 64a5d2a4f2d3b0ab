/* query.h - the URL of a channel: ENDPOINT/ws?key=value…, encoded so that a signature means the same to all. */
#pragma once
#include "base/arena.h"

struct query_part {
	const char *key;
	struct str value;
};

/* Keys in alphabetical order. */
struct str query_url(struct str endpoint, const struct query_part *parts, size_t count, struct arena *arena);
