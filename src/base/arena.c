#include "base/arena.h"
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>

enum { BLOCK_SIZE = 4096 - 64 };

struct arena_block {
	struct arena_block *next;
	size_t size, used;
	_Alignas(16) char bytes[];
};

struct arena_defer {
	struct arena_defer *next;
	void (*undo)(void *arg);
	void *arg;
};

static struct arena_block *block_new(size_t size)
{
	struct arena_block *block = malloc(sizeof(*block) + size);

	if (!block)
		abort();
	block->next = NULL;
	block->size = size;
	block->used = 0;
	return block;
}

void arena_init(struct arena *arena)
{
	*arena = (struct arena){0};
}

static void run_defers(struct arena *arena)
{
	while (arena->defers) {
		struct arena_defer *defer = arena->defers;

		arena->defers = defer->next;
		defer->undo(defer->arg);
	}
}

static void free_blocks(struct arena_block *block)
{
	while (block) {
		struct arena_block *next = block->next;

		free(block);
		block = next;
	}
}

void arena_fini(struct arena *arena)
{
	run_defers(arena);
	free_blocks(arena->head);
	arena->head = NULL;
}

void arena_reset(struct arena *arena)
{
	struct arena_block *keep = arena->head;

	run_defers(arena);
	if (!keep)
		return;
	free_blocks(keep->next);
	keep->next = NULL;
	keep->used = 0;
	if (keep->size > 16 * BLOCK_SIZE) {
		free(keep);
		arena->head = NULL;
	}
}

static void *take(struct arena *arena, size_t size, size_t align)
{
	struct arena_block *block = arena->head;
	size_t at = block ? (block->used + align - 1) & ~(align - 1) : 0;

	if (!block || at > block->size || size > block->size - at) {
		/* Doubling keeps the number of blocks small; a huge single object gets its own. */
		size_t wanted = block ? MIN(block->size * 2, (size_t)1 << 20) : BLOCK_SIZE;

		block = block_new(MAX(wanted, size));
		block->next = arena->head;
		arena->head = block;
		at = 0;
	}
	block->used = at + size;
	return block->bytes + at;
}

void *arena_alloc(struct arena *arena, size_t count, size_t size, size_t align)
{
	size_t total;
	void *memory;

	assert(align && align <= 16 && (align & (align - 1)) == 0);
	if (__builtin_mul_overflow(count, size, &total))
		abort();
	memory = take(arena, total, align);
	memset(memory, 0, total);
	return memory;
}

void *arena_alloc_bytes(struct arena *arena, size_t size)
{
	return take(arena, size, 1);
}

void arena_defer(struct arena *arena, void (*undo)(void *arg), void *arg)
{
	struct arena_defer *defer = arena_new(arena, struct arena_defer);

	*defer = (struct arena_defer){arena->defers, undo, arg};
	arena->defers = defer;
}

struct str arena_copy(struct arena *arena, struct str s)
{
	char *bytes;

	if (!str_has(s))
		return STR_NONE;
	bytes = arena_alloc_bytes(arena, s.len);
	memcpy(bytes, s.ptr, s.len);
	return (struct str){bytes, s.len};
}

char *arena_cstr(struct arena *arena, struct str s)
{
	char *bytes = arena_alloc_bytes(arena, s.len + 1);

	if (s.len)
		memcpy(bytes, s.ptr, s.len);
	bytes[s.len] = '\0';
	return bytes;
}

/* Straight into what is left of the block: the second pass is for what does not fit. */
struct str arena_vprintf(struct arena *arena, const char *format, va_list args)
{
	struct arena_block *block = arena->head;
	size_t room = block ? block->size - block->used : 0;
	char *bytes = block ? block->bytes + block->used : NULL;
	va_list again;
	int length;

	va_copy(again, args);
	length = vsnprintf(bytes, room, format, args);
	assert(length >= 0);
	if ((size_t)length < room) {
		block->used += (size_t)length + 1;
	} else {
		bytes = arena_alloc_bytes(arena, (size_t)length + 1);
		vsnprintf(bytes, (size_t)length + 1, format, again);
	}
	va_end(again);
	return (struct str){bytes, (size_t)length};
}

struct str arena_join(struct arena *arena, const struct str *pieces, size_t count)
{
	size_t length = 0, at = 0;
	char *bytes;

	for (size_t i = 0; i < count; i++)
		length += pieces[i].len;
	bytes = arena_alloc_bytes(arena, length);
	for (size_t i = 0; i < count; at += pieces[i++].len)
		if (pieces[i].len)
			memcpy(bytes + at, pieces[i].ptr, pieces[i].len);
	return (struct str){bytes, length};
}

struct str arena_printf(struct arena *arena, const char *format, ...)
{
	struct str text;
	va_list args;

	va_start(args, format);
	text = arena_vprintf(arena, format, args);
	va_end(args);
	return text;
}
