/* shape.h - descriptions of data, and what can be done with any described value.
 *
 * tools/apigen.py turns api/(name).api into C structs and these descriptors. Walkers (json, copy,
 * equal, random, …) are written once over descriptors and serve every service, every state record and
 * every agent message.
 *
 * How a described value lies in memory:
 *   string blob      struct str                  NULL ptr: absent
 *   integer …        struct maybe_(type)         .has false: absent
 *   enum             int32_t                     0: absent; n: the n-th word, counted from 1
 *   structure union  pointer to the struct       NULL: absent (inline as the element of a list or map)
 *   list             struct any_list             NULL items: absent; not NULL with count 0: empty
 *   map              struct any_list of entries  each entry: struct str key, then the value
 * A member that was sent as `null` is absent and has its bit in the struct's `nulls`, so that
 * absent, null and empty stay three things. */
#pragma once
#include "base/arena.h"
#include "base/random.h"
#include "base/time.h"

enum shape_kind {
	SHAPE_STRING, SHAPE_BLOB, SHAPE_ENUM,
	SHAPE_BOOLEAN, SHAPE_INTEGER, SHAPE_LONG, SHAPE_FLOAT, SHAPE_DOUBLE, SHAPE_TIMESTAMP,
	SHAPE_STRUCTURE, SHAPE_UNION, SHAPE_LIST, SHAPE_MAP,
};

struct maybe_boolean { bool value, has; };
struct maybe_integer { int32_t value; bool has; };
struct maybe_long { int64_t value; bool has; };
struct maybe_double { double value; bool has; };                 /* float, too */
struct maybe_time { usec value; bool has; };

struct any_list { void *items; size_t count; };

enum member_flag {
	MEMBER_REQUIRED = 1, MEMBER_IDEMPOTENCY = 2, MEMBER_FLAT = 4, MEMBER_ATTRIBUTE = 8,
	MEMBER_STREAM = 16, MEMBER_DEPRECATED = 32, MEMBER_ISO8601 = 64, MEMBER_PAYLOAD = 128,
};

struct member {
	struct str name;                                 /* on the wire */
	const struct shape *shape;
	uint32_t offset, flags;
	const char *location;                            /* "header=…", "uri=…", "querystring=…"; "query=…": its name in
							    EC2 forms, where no rule gives it; NULL: body */
};

struct shape {
	struct str name;                                 /* as in the .api file */
	enum shape_kind kind;
	bool sensitive, has_min, has_max;
	uint32_t size;                                   /* bytes of one element in a list or map */
	double min, max;                                 /* length of strings, lists and maps; value of numbers */
	const char *pattern;                             /* Java-style, matched as the models say; or NULL */

	const struct member *members;                    /* structure, union */
	uint32_t member_count, nulls_offset;             /* nulls: member_count bits */

	const struct shape *element;                     /* list, map: of the value */
	struct str element_name;                         /* XML: name of a list's element */
	uint32_t value_offset;                           /* map: of the value in an entry */

	const struct str *words;                         /* enum: words[0] is the word of value 1 */
	uint32_t word_count;
};

/* An operation: a row of the table that apigen makes for each API. */
struct operation {
	struct str name;
	uint32_t index;                                  /* in its API's table */
	const struct shape *input, *output;
	const struct api *api;
	const char *http;                                /* "GET /v2/{Name+} 200", or NULL: POST / */
	bool unbuilt;                                    /* known by name only: its input is not looked at */
};

struct api {
	struct str name, protocol, version, target_prefix, signing_name, xml_namespace;
	const struct operation *operations;              /* sorted by name */
	uint32_t operation_count;
};

const struct operation *api_find(const struct api *api, struct str operation);
int32_t shape_word(const struct shape *shape, struct str word);  /* of an enum; 0 when it is no word of it */

static inline struct str shape_word_text(const struct shape *shape, int32_t value)
{
	return value > 0 && (uint32_t)value <= shape->word_count ? shape->words[value - 1] : STR_NONE;
}

/* Where a member lies in a struct; structures are behind a pointer. */
static inline void *member_at(const struct member *member, const void *structure)
{
	return (char *)structure + member->offset;
}

extern const struct shape shape_string, shape_blob, shape_boolean, shape_integer, shape_long, shape_float,
	shape_double, shape_timestamp;

/* Bytes from one item of a list or map to the next. */
size_t shape_stride(const struct shape *shape);

/* `value` as member_at gives it. Here for its speed: walkers ask it of every member. */
static inline bool shape_is_present(const struct shape *shape, const void *value)
{
	switch (shape->kind) {
	case SHAPE_ENUM:
		return *(const int32_t *)value != 0;
	case SHAPE_BOOLEAN:
		return ((const struct maybe_boolean *)value)->has;
	case SHAPE_INTEGER:
		return ((const struct maybe_integer *)value)->has;
	case SHAPE_LONG:
	case SHAPE_FLOAT:
	case SHAPE_DOUBLE:
	case SHAPE_TIMESTAMP:
		return ((const struct maybe_long *)value)->has; /* all of 8 bytes: the same place */
	default:
		return *(const void *const *)value != NULL; /* what begins with a pointer */
	}
}

bool shape_is_null(const struct shape *shape, const void *structure, uint32_t member);
void shape_set_null(const struct shape *shape, void *structure, uint32_t member);

/* Structures only. A deep copy in one block of `arena`: nothing of it points into the original. */
void *shape_copy(const struct shape *shape, const void *structure, struct arena *arena);
/* The same into one malloc'd block, for records; free() it. */
void *shape_clone(const struct shape *shape, const void *structure);
/* Maps are equal in any order of their entries. */
bool shape_equal(const struct shape *shape, const void *a, const void *b);
/* A value with random members present, within the constraints where they can be met. */
void *shape_random(const struct shape *shape, struct random *random, struct arena *arena);

/* What a value breaks of its shape's rules. */
enum violation_kind {
	VIOLATION_REQUIRED,                              /* a required member is absent */
	VIOLATION_ENUM, VIOLATION_LENGTH, VIOLATION_RANGE, VIOLATION_PATTERN,
};

struct violation {
	enum violation_kind kind;
	struct str path;                                 /* "containerDefinitions.1.member.name", as AWS prints */
	const struct shape *shape;                       /* of the value, or of the structure that lacks a member */
	const struct member *member;                     /* the innermost member on the path */
	struct str value;                                /* as text */
	double size;                                     /* LENGTH, RANGE: what is outside of min and max */
};

/* Checks required members, lengths (in characters) and ranges; gives the first violation in the order
 * of the .api file. A list or map of a wrong length has no `value`. Unknown words of an enum are found
 * by the decoder, as an int32_t cannot hold them; patterns by wire/pattern.h. */
bool shape_check(const struct shape *shape, const void *structure, struct arena *arena,
		 struct violation *ret_violation);

/* Puts something in front of a path, for walkers on their way back: a member's name, or the place of
 * an item (its number from 0, or its key) in a list or map. */
struct str shape_path_join(struct arena *arena, struct str front, struct str rest);
struct str shape_path_item(struct arena *arena, const struct shape *shape, size_t index, struct str key,
			   struct str rest);
