/* scalar.h - numbers, times, words and bytes as plain text: form values, parts of a path, headers, XML.
 *
 * JSON has rules of its own (json.h). Text in, text out; nothing is trimmed or guessed. */
#pragma once
#include "base/buffer.h"
#include "base/shape.h"

bool shape_is_scalar(const struct shape *shape);

/* Fills `value`, memory of a scalar shape, from text. Strings and blobs may borrow the text. False when the text is
 * no such value; of an enum: no word of it. */
bool scalar_read(const struct shape *shape, struct str text, struct arena *arena, void *value);

/* The text of a present value; gives what has a form of its own (strings) as it is. Times are RFC 3339 with
 * milliseconds. */
struct str scalar_text(const struct shape *shape, const void *value, struct arena *arena);

/* What the type is called in a sentence: "an integer". */
const char *scalar_type_name(const struct shape *shape);
