/* json.h - JSON text to described values and back.
 *
 * Decoding goes straight into arena structs by descriptor (base/shape.h): no tree, no allocation per
 * member. Strings without escapes borrow the text's own bytes, so the text must live as long as the
 * value. Checked: UTF-8, surrogates, depth (JSON_DEPTH_LIMIT), types, number ranges. Unknown members are
 * skipped (but must be well-formed). A duplicate member: the last one wins. */
#pragma once
#include "base/buffer.h"
#include "base/error.h"
#include "base/shape.h"

enum {
	JSON_DEPTH_LIMIT = 64,
	JSON_STORAGE_LIMIT = 64 << 20,                   /* bytes of structs and arrays made from one text */
};

/* Why a text was refused. `error` has ERROR_SERIALIZATION and AWS's text for a wrong type or a
 * malformed document (ecs-behaviour 1.4); or, with `unknown_word`, the word is in `violation` and the
 * service words the error itself. */
struct json_fault {
	struct error error;
	bool unknown_word;
	struct violation violation;
};

/* A structure: *ret_value is a new struct in `arena`. An empty text reads as {}. */
bool json_decode(const struct shape *shape, struct str text, struct arena *arena, void **ret_value,
		 struct json_fault *fault);

/* Any shape: `value` is the caller's zeroed memory of shape->size bytes (for a list at the top). */
bool json_decode_value(const struct shape *shape, struct str text, struct arena *arena, void *value,
		       struct json_fault *fault);

/* Compact, members in the order of the .api file, absent members left out, members marked null as
 * null. Timestamps are epoch seconds with a millisecond fraction (ecs-behaviour 1.2), or with
 * MEMBER_ISO8601 RFC 3339 text. Strings that are not valid UTF-8 are written with U+FFFD. */
void json_encode(const struct shape *shape, const void *structure, struct buffer *out);

/* A string with its quotes and escapes. */
void json_encode_text(struct str text, struct buffer *out);

/* Finds the raw text of one member of the object at the top of `text` (for envelopes); absent when
 * there is none or the text is malformed up to it. */
struct str json_member_text(struct str text, struct str name);
/* That a text is one well-formed value. */
bool json_check(struct str text, struct json_fault *fault);
bool json_string_value(struct str raw, struct arena *arena, struct str *ret_value);      /* of a raw "…" */
