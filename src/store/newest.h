/* newest.h - which row of the journal has the last word on each object. */
#pragma once
#include "base/arena.h"
#include "base/map.h"

struct newest_row {
	struct str name;                                 /* of the object, see newest_name */
	uint64_t seq;
	bool deleted;
};

struct newest {
	struct map rows;                                 /* by name */
	struct arena arena;
	char *scratch;
	size_t scratch_size;
};

void newest_init(struct newest *newest);
void newest_fini(struct newest *newest);                         /* safe when zeroed */

/* Kind and key in one slice, whose bytewise order is that of (kind, key); good until the next call. */
struct str newest_name(struct newest *newest, uint32_t kind, struct str key);
void newest_note(struct newest *newest, struct str name, uint64_t seq, bool deleted);    /* seq only grows */
const struct newest_row *newest_find(const struct newest *newest, struct str name);      /* or NULL */
/* All rows in order of name, in the index's arena. */
struct newest_row **newest_in_order(struct newest *newest);

uint32_t newest_kind(struct str name);
struct str newest_key(struct str name);
