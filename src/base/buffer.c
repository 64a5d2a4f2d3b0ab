#include "base/buffer.h"
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>

void buffer_fini(struct buffer *buffer)
{
	free(buffer->bytes);
	*buffer = (struct buffer){0};
}

void buffer_reserve(struct buffer *buffer, size_t extra)
{
	size_t wanted = buffer->len + extra;

	assert(wanted >= extra);
	if (wanted <= buffer->capacity)
		return;
	buffer->capacity = MAX(wanted, MAX(buffer->capacity * 2, (size_t)256));
	buffer->bytes = realloc(buffer->bytes, buffer->capacity);
	if (!buffer->bytes)
		abort();
}

void buffer_append(struct buffer *buffer, const void *bytes, size_t len)
{
	if (len == 0)
		return;
	buffer_reserve(buffer, len);
	memcpy(buffer->bytes + buffer->len, bytes, len);
	buffer->len += len;
}

void buffer_printf(struct buffer *buffer, const char *format, ...)
{
	va_list args, again;
	int length;

	va_start(args, format);
	va_copy(again, args);
	length = vsnprintf(NULL, 0, format, args);
	va_end(args);
	assert(length >= 0);
	buffer_reserve(buffer, (size_t)length + 1);
	vsnprintf(buffer->bytes + buffer->len, (size_t)length + 1, format, again);
	va_end(again);
	buffer->len += (size_t)length;
}

void buffer_consume(struct buffer *buffer, size_t len)
{
	assert(len <= buffer->len);
	if (len == 0)
		return;
	memmove(buffer->bytes, buffer->bytes + len, buffer->len - len);
	buffer->len -= len;
}
