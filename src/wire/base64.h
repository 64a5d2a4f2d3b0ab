/* base64.h - bytes as text (RFC 4648, section 4). */
#pragma once
#include "base/arena.h"
#include "base/buffer.h"

void base64_encode(struct str bytes, struct buffer *out);
/* Padding is required; false on anything else than base64. */
bool base64_decode(struct str text, struct arena *arena, struct str *ret_bytes);
