/* arena.h - memory that lives exactly as long as one piece of work.
 *
 * What a request decodes, computes and replies comes from its arena and goes away with it;
 * nothing inside is freed one by one. Allocation cannot fail: inputs are bounded at the edge
 * (api/limits), so running out means a bug or a dying machine, and aborts.
 * A zeroed arena is ready for use. */
#pragma once
#include <stdarg.h>
#include "base/str.h"

struct arena_block;
struct arena_defer;

struct arena {
	struct arena_block *head;
	struct arena_defer *defers;
};

void arena_init(struct arena *arena);
void arena_fini(struct arena *arena);                /* runs defers, newest first; safe when zeroed */
void arena_reset(struct arena *arena);               /* as arena_fini, but keeps one block to reuse */

/* Zeroed memory for `count` objects; a count of 0 gives a valid, unreadable pointer. */
void *arena_alloc(struct arena *arena, size_t count, size_t size, size_t align);
void *arena_alloc_bytes(struct arena *arena, size_t size);       /* not zeroed, no alignment */
void arena_defer(struct arena *arena, void (*undo)(void *arg), void *arg);

struct str arena_copy(struct arena *arena, struct str s);        /* absent stays absent */
char *arena_cstr(struct arena *arena, struct str s);             /* NUL-terminated copy */
/* What printf makes is followed by a NUL that does not count, so that its .ptr is a C string. */
struct str arena_printf(struct arena *arena, const char *format, ...) PRINTF_LIKE(2, 3);
struct str arena_vprintf(struct arena *arena, const char *format, va_list args);

/* One after the other; for what is made too often for printf. */
struct str arena_join(struct arena *arena, const struct str *pieces, size_t count);
#define ARENA_JOIN(arena, ...) \
	arena_join((arena), (const struct str[]){__VA_ARGS__}, sizeof((const struct str[]){__VA_ARGS__}) / sizeof(struct str))

#define arena_new(arena, type) ((type *)arena_alloc((arena), 1, sizeof(type), _Alignof(type)))
#define arena_array(arena, type, count) \
	((type *)arena_alloc((arena), (count), sizeof(type), _Alignof(type)))
#define auto_arena __attribute__((cleanup(arena_fini))) struct arena
