/* xml.h - described values to XML, as the Query protocols write it (neighbours 0.3, 0.4).
 *
 * An element a member, by its wire name; lists as `<names><item>…</item></names>` with the name that the .api file
 * gives their elements, or repeated without the outer element when the member is flat; maps as
 * `<entry><key/><value/></entry>`; times as RFC 3339. What XML cannot carry (most control characters, what is not UTF-8)
 * is written as U+FFFD, so that what we send is always well-formed. */
#pragma once
#include "base/buffer.h"
#include "base/shape.h"

/* The members of a structure, without an element around them. */
void xml_encode(const struct shape *shape, const void *structure, struct buffer *out);

/* Text between tags, or in an attribute with quotes. */
void xml_encode_text(struct str text, struct buffer *out);
/* <name>text</name> */
void xml_encode_element(struct str name, struct str text, struct buffer *out);
