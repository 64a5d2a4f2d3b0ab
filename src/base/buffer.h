/* buffer.h - bytes that grow.
 *
 * Owns its memory (malloc); a zeroed buffer is empty and ready. Growth cannot fail: callers bound
 * what they append. `bytes` moves when the buffer grows. */
#pragma once
#include <stdarg.h>
#include "base/str.h"

struct buffer {
	char *bytes;
	size_t len, capacity;
};

void buffer_fini(struct buffer *buffer);
void buffer_reserve(struct buffer *buffer, size_t extra);        /* room for `extra` more bytes */
void buffer_append(struct buffer *buffer, const void *bytes, size_t len);
void buffer_printf(struct buffer *buffer, const char *format, ...) PRINTF_LIKE(2, 3);
void buffer_consume(struct buffer *buffer, size_t len);          /* drops `len` bytes from the front */

static inline void buffer_add(struct buffer *buffer, struct str s) { buffer_append(buffer, s.ptr, s.len); }
static inline void buffer_add_char(struct buffer *buffer, char c) { buffer_append(buffer, &c, 1); }
static inline void buffer_clear(struct buffer *buffer) { buffer->len = 0; }
static inline struct str buffer_str(const struct buffer *buffer)
{
	return (struct str){buffer->bytes ? buffer->bytes : "", buffer->len};
}

#define auto_buffer __attribute__((cleanup(buffer_fini))) struct buffer
