/* envelope.h - {"type":"PayloadMessage","message":{…}}: frames of the agent's channels.
 *
 * Facts: agent-protocol 2.2 (ACS) and 6 (TCS, whose frames from the agent carry a block of header
 * lines before the JSON). */
#pragma once
#include "wire/json.h"

enum { ENVELOPE_BYTES_LIMIT = 4 << 20 };

/* Which messages a side knows: a row a type, ended by a row without a shape. */
struct envelope_type {
	struct str name;
	const struct shape *shape;
};

extern const struct envelope_type acs_types[], tcs_types[];

const struct shape *envelope_shape(const struct envelope_type *types, struct str name);

/* *ret_type is the name as sent; *ret_message is NULL when `types` does not know it (drop it and log:
 * agent-protocol 2.2). Fails on text that is not an envelope. A TCS header block is skipped. */
bool envelope_decode(const struct envelope_type *types, struct str frame, struct arena *arena,
		     struct str *ret_type, void **ret_message, struct error *err);
void envelope_encode(struct str type, const struct shape *shape, const void *message, struct buffer *out);
