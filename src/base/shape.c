#include "base/shape.h"
#include <assert.h>
#include <stdlib.h>

enum {
	ALIGNMENT = 8,                                   /* of every struct that apigen writes */
	RANDOM_DEPTH = 6,                                /* below it, only required members */
	RANDOM_COUNT = 3,
	RANDOM_LENGTH = 24,
};

#define SCALAR(word, kind_, type) \
	const struct shape shape_##word = {.name = STR_INIT(#word), .kind = kind_, .size = sizeof(type)}

SCALAR(string, SHAPE_STRING, struct str);
SCALAR(blob, SHAPE_BLOB, struct str);
SCALAR(boolean, SHAPE_BOOLEAN, struct maybe_boolean);
SCALAR(integer, SHAPE_INTEGER, struct maybe_integer);
SCALAR(long, SHAPE_LONG, struct maybe_long);
SCALAR(float, SHAPE_FLOAT, struct maybe_double);
SCALAR(double, SHAPE_DOUBLE, struct maybe_double);
SCALAR(timestamp, SHAPE_TIMESTAMP, struct maybe_time);

const struct operation *api_find(const struct api *api, struct str operation)
{
	size_t low = 0, high = api->operation_count;

	while (low < high) {
		size_t middle = (low + high) / 2;
		int order = str_compare(api->operations[middle].name, operation);

		if (order == 0)
			return &api->operations[middle];
		if (order < 0)
			low = middle + 1;
		else
			high = middle;
	}
	return NULL;
}

int32_t shape_word(const struct shape *shape, struct str word)
{
	for (uint32_t i = 0; i < shape->word_count; i++)
		if (str_equal(shape->words[i], word))
			return (int32_t)i + 1;
	return 0;
}

static bool is_structure(const struct shape *shape)
{
	return shape->kind == SHAPE_STRUCTURE || shape->kind == SHAPE_UNION;
}

size_t shape_stride(const struct shape *shape)
{
	size_t size = shape->element->size;

	if (shape->kind == SHAPE_MAP)
		size = (shape->value_offset + size + ALIGNMENT - 1) & ~(size_t)(ALIGNMENT - 1);
	return size;
}

/* What a member holds, as walkers of elements see it: structures lie inline there. */
static const void *inside(const struct shape *shape, const void *slot)
{
	return is_structure(shape) ? *(const void *const *)slot : slot;
}

static_assert(offsetof(struct maybe_long, has) == offsetof(struct maybe_double, has), "shape_is_present");
static_assert(offsetof(struct maybe_long, has) == offsetof(struct maybe_time, has), "shape_is_present");

/* Members with nothing to follow: numbers, and what is absent. */
static bool is_flat(const struct member *member, const void *structure)
{
	enum shape_kind kind = member->shape->kind;

	return (kind >= SHAPE_ENUM && kind <= SHAPE_TIMESTAMP) ||
	       *(const void *const *)member_at(member, structure) == NULL;
}

static uint8_t *null_byte(const struct shape *shape, const void *structure, uint32_t member)
{
	assert(member < shape->member_count);
	return (uint8_t *)structure + shape->nulls_offset + member / 8;
}

bool shape_is_null(const struct shape *shape, const void *structure, uint32_t member)
{
	return *null_byte(shape, structure, member) >> (member % 8) & 1;
}

void shape_set_null(const struct shape *shape, void *structure, uint32_t member)
{
	*null_byte(shape, structure, member) |= (uint8_t)(1 << (member % 8));
}

/* Copies lie in one block: first all structs and arrays, then all text, which needs no alignment. */
struct room {
	char *objects, *text;
};

struct extent {
	size_t objects, text;
};

static size_t aligned(size_t size)
{
	return (size + ALIGNMENT - 1) & ~(size_t)(ALIGNMENT - 1);
}

static void measure(const struct shape *shape, const void *value, struct extent *extent);

static void measure_members(const struct shape *shape, const void *structure, struct extent *extent)
{
	for (uint32_t i = 0; i < shape->member_count; i++) {
		const struct member *member = &shape->members[i];

		if (is_flat(member, structure))
			continue;
		if (is_structure(member->shape))
			extent->objects += aligned(member->shape->size);
		measure(member->shape, inside(member->shape, member_at(member, structure)), extent);
	}
}

static void measure_items(const struct shape *shape, const struct any_list *list, struct extent *extent)
{
	size_t stride = shape_stride(shape);

	extent->objects += aligned(list->count * stride);
	for (size_t i = 0; i < list->count; i++) {
		const char *item = (const char *)list->items + i * stride;

		if (shape->kind == SHAPE_MAP)
			extent->text += ((const struct str *)item)->len;
		measure(shape->element, item + shape->value_offset, extent);
	}
}

/* What hangs on a value, beside the value itself. */
static void measure(const struct shape *shape, const void *value, struct extent *extent)
{
	switch (shape->kind) {
	case SHAPE_STRING:
	case SHAPE_BLOB:
		extent->text += ((const struct str *)value)->len;
		break;
	case SHAPE_STRUCTURE:
	case SHAPE_UNION:
		measure_members(shape, value, extent);
		break;
	case SHAPE_LIST:
	case SHAPE_MAP:
		measure_items(shape, value, extent);
		break;
	default:
		break;
	}
}

static void *move_in(struct room *room, const void *from, size_t size)
{
	void *to = room->objects;

	if (size)
		memcpy(to, from, size);
	room->objects += aligned(size);
	return to;
}

static void adopt_text(struct room *room, struct str *text)
{
	if (!str_has(*text))
		return;
	if (text->len)
		memcpy(room->text, text->ptr, text->len);
	text->ptr = room->text;
	room->text += text->len;
}

static void adopt(const struct shape *shape, void *value, struct room *room);

static void adopt_members(const struct shape *shape, void *structure, struct room *room)
{
	for (uint32_t i = 0; i < shape->member_count; i++) {
		const struct member *member = &shape->members[i];
		void *slot = member_at(member, structure);

		if (is_flat(member, structure))
			continue;
		if (!is_structure(member->shape)) {
			adopt(member->shape, slot, room);
		} else {
			*(void **)slot = move_in(room, *(void **)slot, member->shape->size);
			adopt(member->shape, *(void **)slot, room);
		}
	}
}

static void adopt_items(const struct shape *shape, struct any_list *list, struct room *room)
{
	size_t stride = shape_stride(shape);

	if (!list->items)
		return;
	list->items = move_in(room, list->items, list->count * stride);
	for (size_t i = 0; i < list->count; i++) {
		char *item = (char *)list->items + i * stride;

		if (shape->kind == SHAPE_MAP)
			adopt_text(room, (struct str *)item);
		adopt(shape->element, item + shape->value_offset, room);
	}
}

/* Brings into the room what a value, copied as it was, still points to. */
static void adopt(const struct shape *shape, void *value, struct room *room)
{
	switch (shape->kind) {
	case SHAPE_STRING:
	case SHAPE_BLOB:
		adopt_text(room, value);
		break;
	case SHAPE_STRUCTURE:
	case SHAPE_UNION:
		adopt_members(shape, value, room);
		break;
	case SHAPE_LIST:
	case SHAPE_MAP:
		adopt_items(shape, value, room);
		break;
	default:
		break;
	}
}

static struct extent extent_of(const struct shape *shape, const void *structure)
{
	struct extent extent = {.objects = aligned(shape->size)};

	assert(is_structure(shape));
	measure(shape, structure, &extent);
	return extent;
}

static void *copy_into(char *block, struct extent extent, const struct shape *shape, const void *structure)
{
	struct room room = {.objects = block, .text = block + extent.objects};
	void *copy = move_in(&room, structure, shape->size);

	adopt(shape, copy, &room);
	assert(room.objects == block + extent.objects);
	assert(room.text == block + extent.objects + extent.text);
	return copy;
}

void *shape_copy(const struct shape *shape, const void *structure, struct arena *arena)
{
	struct extent extent = extent_of(shape, structure);
	char *block = arena_alloc_bytes(arena, extent.objects + extent.text + ALIGNMENT - 1);

	block += -(uintptr_t)block & (ALIGNMENT - 1);
	return copy_into(block, extent, shape, structure);
}

void *shape_clone(const struct shape *shape, const void *structure)
{
	struct extent extent = extent_of(shape, structure);
	char *block = malloc(extent.objects + extent.text);

	if (!block)
		abort();
	return copy_into(block, extent, shape, structure);
}

static bool equal(const struct shape *shape, const void *a, const void *b);

static bool equal_members(const struct shape *shape, const void *a, const void *b)
{
	for (uint32_t i = 0; i < shape->member_count; i++) {
		const struct member *member = &shape->members[i];
		const void *in_a = inside(member->shape, member_at(member, a));
		const void *in_b = inside(member->shape, member_at(member, b));

		if (shape_is_null(shape, a, i) != shape_is_null(shape, b, i))
			return false;
		if (in_a != in_b && (!in_a || !in_b || !equal(member->shape, in_a, in_b)))
			return false;
	}
	return true;
}

static bool equal_lists(const struct shape *shape, const struct any_list *a, const struct any_list *b)
{
	for (size_t i = 0; i < a->count; i++)
		if (!equal(shape->element, (const char *)a->items + i * shape->element->size,
			   (const char *)b->items + i * shape->element->size))
			return false;
	return true;
}

static int compare_entries(const void *a, const void *b)
{
	return str_compare(**(const struct str *const *)a, **(const struct str *const *)b);
}

/* The entries in the order of their keys; free() it. Sorted, not hashed: strangers choose the keys. */
static const struct str **sorted_entries(const struct shape *shape, const struct any_list *map)
{
	const struct str **entries = malloc((map->count + !map->count) * sizeof(*entries));

	if (!entries)
		abort();
	for (size_t i = 0; i < map->count; i++)
		entries[i] = (const void *)((const char *)map->items + i * shape_stride(shape));
	qsort(entries, map->count, sizeof(*entries), compare_entries);
	return entries;
}

static bool equal_entries(const struct shape *shape, const struct str *a, const struct str *b)
{
	return str_equal(*a, *b) && equal(shape->element, (const char *)a + shape->value_offset,
					  (const char *)b + shape->value_offset);
}

static bool equal_maps(const struct shape *shape, const struct any_list *a, const struct any_list *b)
{
	size_t stride = shape_stride(shape), i = 0;
	const struct str **in_a, **in_b;

	while (i < a->count && equal_entries(shape, (const void *)((const char *)a->items + i * stride),
					     (const void *)((const char *)b->items + i * stride)))
		i++;
	if (i == a->count)
		return true;
	in_a = sorted_entries(shape, a);
	in_b = sorted_entries(shape, b);
	for (i = 0; i < a->count && equal_entries(shape, in_a[i], in_b[i]);)
		i++;
	free(in_a);
	free(in_b);
	return i == a->count;
}

static bool equal_collections(const struct shape *shape, const struct any_list *a, const struct any_list *b)
{
	if (a->count != b->count || !a->items != !b->items)
		return false;
	return shape->kind == SHAPE_LIST ? equal_lists(shape, a, b) : equal_maps(shape, a, b);
}

/* Of numbers: what an absent one holds does not count. */
#define EQUAL_MAYBE(type, a, b) \
	(((const struct type *)(a))->has == ((const struct type *)(b))->has && \
	 (!((const struct type *)(a))->has || \
	  ((const struct type *)(a))->value == ((const struct type *)(b))->value))

static bool equal(const struct shape *shape, const void *a, const void *b)
{
	switch (shape->kind) {
	case SHAPE_STRING:
	case SHAPE_BLOB:
		return str_has(*(const struct str *)a) == str_has(*(const struct str *)b) &&
		       str_equal(*(const struct str *)a, *(const struct str *)b);
	case SHAPE_ENUM:
		return *(const int32_t *)a == *(const int32_t *)b;
	case SHAPE_BOOLEAN:
		return EQUAL_MAYBE(maybe_boolean, a, b);
	case SHAPE_INTEGER:
		return EQUAL_MAYBE(maybe_integer, a, b);
	case SHAPE_LONG:
		return EQUAL_MAYBE(maybe_long, a, b);
	case SHAPE_FLOAT:
	case SHAPE_DOUBLE:
		return EQUAL_MAYBE(maybe_double, a, b);
	case SHAPE_TIMESTAMP:
		return EQUAL_MAYBE(maybe_time, a, b);
	case SHAPE_STRUCTURE:
	case SHAPE_UNION:
		return equal_members(shape, a, b);
	case SHAPE_LIST:
	case SHAPE_MAP:
		return equal_collections(shape, a, b);
	}
	return false;
}

bool shape_equal(const struct shape *shape, const void *a, const void *b)
{
	assert(is_structure(shape));
	return equal(shape, a, b);
}

static void random_value(const struct shape *shape, void *value, struct random *random,
			 struct arena *arena, unsigned depth);

static size_t random_size(const struct shape *shape, struct random *random, size_t usual)
{
	size_t least = shape->has_min && shape->min > 0 ? (size_t)shape->min : 0;
	size_t most = shape->has_max ? (size_t)shape->max : least + usual;

	return least + random_below(random, MIN(most - least, usual) + 1);
}

/* Characters, not bytes; what has a pattern gets letters, the rest also what is hard to write. */
static struct str random_text(const struct shape *shape, struct random *random, struct arena *arena)
{
	static const char *const odd[] = {"\"", "\\", "\n", "\x01", "é", "€", "😀", "/", " "};
	size_t length = random_size(shape, random, RANDOM_LENGTH), used = 0;
	char *bytes = arena_alloc_bytes(arena, length * 4);

	for (size_t i = 0; i < length; i++) {
		if (shape->pattern || random_below(random, 8)) {
			bytes[used++] = (char)('a' + random_below(random, 26));
		} else {
			struct str text = str_of(odd[random_below(random, COUNT(odd))]);

			memcpy(bytes + used, text.ptr, text.len);
			used += text.len;
		}
	}
	return (struct str){bytes, used};
}

static struct str random_bytes(const struct shape *shape, struct random *random, struct arena *arena)
{
	size_t length = random_size(shape, random, RANDOM_LENGTH);
	char *bytes = arena_alloc_bytes(arena, length);

	for (size_t i = 0; i < length; i++)
		bytes[i] = (char)random_next(random);
	return (struct str){bytes, length};
}

static int64_t random_number(const struct shape *shape, struct random *random)
{
	int64_t least = shape->has_min ? (int64_t)shape->min : shape->has_max ? (int64_t)shape->max - 1000 : -1000;
	int64_t most = shape->has_max ? (int64_t)shape->max : least + 1000000;

	return least + (int64_t)random_below(random, (uint64_t)(most - least) + 1);
}

static void random_items(const struct shape *shape, struct any_list *list, struct random *random,
			 struct arena *arena, unsigned depth)
{
	size_t stride = shape_stride(shape);

	list->count = random_size(shape, random, depth >= RANDOM_DEPTH ? 0 : RANDOM_COUNT);
	list->items = arena_alloc(arena, list->count, stride, ALIGNMENT);
	for (size_t i = 0; i < list->count; i++) {
		char *item = (char *)list->items + i * stride;

		if (shape->kind == SHAPE_MAP)
			*(struct str *)item = random_uuid(random, arena);
		random_value(shape->element, item + shape->value_offset, random, arena, depth + 1);
	}
}

static void random_member(const struct member *member, void *structure, struct random *random,
			  struct arena *arena, unsigned depth)
{
	void *slot = member_at(member, structure);

	if (is_structure(member->shape))
		slot = *(void **)slot = arena_alloc(arena, 1, member->shape->size, ALIGNMENT);
	random_value(member->shape, slot, random, arena, depth + 1);
}

static void random_members(const struct shape *shape, void *structure, struct random *random,
			   struct arena *arena, unsigned depth)
{
	for (uint32_t i = 0; i < shape->member_count; i++) {
		const struct member *member = &shape->members[i];
		uint64_t choice = random_below(random, 8);

		if (member->flags & MEMBER_REQUIRED || (choice < 4 && depth < RANDOM_DEPTH))
			random_member(member, structure, random, arena, depth);
		else if (choice == 4)
			shape_set_null(shape, structure, i);
	}
}

static void random_union(const struct shape *shape, void *structure, struct random *random,
			 struct arena *arena, unsigned depth)
{
	if (shape->member_count)
		random_member(&shape->members[random_below(random, shape->member_count)], structure, random,
			      arena, depth);
}

static void random_value(const struct shape *shape, void *value, struct random *random,
			 struct arena *arena, unsigned depth)
{
	switch (shape->kind) {
	case SHAPE_STRING:
		*(struct str *)value = random_text(shape, random, arena);
		break;
	case SHAPE_BLOB:
		*(struct str *)value = random_bytes(shape, random, arena);
		break;
	case SHAPE_ENUM:
		*(int32_t *)value = (int32_t)random_below(random, MAX(shape->word_count, 1)) + 1;
		break;
	case SHAPE_BOOLEAN:
		*(struct maybe_boolean *)value = (struct maybe_boolean){random_next(random) >> 63, true};
		break;
	case SHAPE_INTEGER:
		*(struct maybe_integer *)value =
			(struct maybe_integer){(int32_t)random_number(shape, random), true};
		break;
	case SHAPE_LONG:
		*(struct maybe_long *)value = (struct maybe_long){random_number(shape, random), true};
		break;
	case SHAPE_FLOAT:
	case SHAPE_DOUBLE:
		*(struct maybe_double *)value =
			(struct maybe_double){(double)random_number(shape, random), true};
		break;
	case SHAPE_TIMESTAMP: /* whole milliseconds: what every format can carry */
		*(struct maybe_time *)value = (struct maybe_time){
			(usec)random_below(random, 4000000000000) * USEC_PER_MSEC, true};
		break;
	case SHAPE_STRUCTURE:
		random_members(shape, value, random, arena, depth);
		break;
	case SHAPE_UNION:
		random_union(shape, value, random, arena, depth);
		break;
	case SHAPE_LIST:
	case SHAPE_MAP:
		random_items(shape, value, random, arena, depth);
		break;
	}
}

void *shape_random(const struct shape *shape, struct random *random, struct arena *arena)
{
	void *structure = arena_alloc(arena, 1, shape->size, ALIGNMENT);

	assert(is_structure(shape));
	random_value(shape, structure, random, arena, 0);
	return structure;
}

struct str shape_path_join(struct arena *arena, struct str front, struct str rest)
{
	return rest.len ? arena_printf(arena, "%.*s.%.*s", STR(front), STR(rest)) : arena_copy(arena, front);
}

struct str shape_path_item(struct arena *arena, const struct shape *shape, size_t index, struct str key,
			   struct str rest)
{
	struct str front = shape->kind == SHAPE_MAP ? arena_printf(arena, "%.*s.value", STR(key)) :
						      arena_printf(arena, "%zu.member", index + 1);

	return shape_path_join(arena, front, rest);
}

/* One walk down a value; the path is put together on the way back from a violation, never otherwise. */
struct check {
	struct arena *arena;
	struct violation *found;
};

static bool check_value(const struct shape *shape, const void *value, struct check *check);

static bool violate(struct check *check, enum violation_kind kind, const struct shape *shape, struct str value)
{
	*check->found = (struct violation){.kind = kind, .path = S(""), .shape = shape, .value = value};
	return false;
}

static bool violate_size(struct check *check, enum violation_kind kind, const struct shape *shape, struct str value,
			 double size)
{
	violate(check, kind, shape, value);
	check->found->size = size;
	return false;
}

static size_t characters(struct str text)
{
	size_t count = 0;

	for (size_t i = 0; i < text.len; i++)
		count += ((unsigned char)text.ptr[i] & 0xc0) != 0x80;
	return count;
}

static bool is_outside(const struct shape *shape, double size)
{
	return (shape->has_min && size < shape->min) || (shape->has_max && size > shape->max);
}

static bool check_text(const struct shape *shape, struct str text, struct check *check)
{
	size_t length;

	if (!shape->has_min && !shape->has_max)
		return true;
	length = shape->kind == SHAPE_BLOB ? text.len : characters(text);
	return !is_outside(shape, (double)length) || violate_size(check, VIOLATION_LENGTH, shape, text, (double)length);
}

static bool check_number(const struct shape *shape, double number, struct check *check)
{
	if (!is_outside(shape, number))
		return true;
	return violate_size(check, VIOLATION_RANGE, shape, arena_printf(check->arena, "%.15g", number), number);
}

static bool check_member(const struct shape *shape, const struct member *member, const void *structure,
			 struct check *check)
{
	const void *slot = member_at(member, structure);
	bool right;

	if (shape_is_present(member->shape, slot))
		right = check_value(member->shape, inside(member->shape, slot), check);
	else
		right = !(member->flags & MEMBER_REQUIRED) ||
			violate(check, VIOLATION_REQUIRED, shape, STR_NONE);
	if (right)
		return true;
	check->found->path = shape_path_join(check->arena, member->name, check->found->path);
	if (!check->found->member)
		check->found->member = member;
	return false;
}

static bool check_items(const struct shape *shape, const struct any_list *list, struct check *check)
{
	size_t stride = shape_stride(shape);

	if (is_outside(shape, (double)list->count))
		return violate_size(check, VIOLATION_LENGTH, shape, STR_NONE, (double)list->count);
	for (size_t i = 0; i < list->count; i++) {
		const char *item = (const char *)list->items + i * stride;
		struct str key = shape->kind == SHAPE_MAP ? *(const struct str *)item : STR_NONE;

		if (check_value(shape->element, item + shape->value_offset, check))
			continue;
		check->found->path = shape_path_item(check->arena, shape, i, key, check->found->path);
		return false;
	}
	return true;
}

static bool check_value(const struct shape *shape, const void *value, struct check *check)
{
	switch (shape->kind) {
	case SHAPE_STRING:
	case SHAPE_BLOB:
		return check_text(shape, *(const struct str *)value, check);
	case SHAPE_INTEGER:
		return check_number(shape, ((const struct maybe_integer *)value)->value, check);
	case SHAPE_LONG:
		return check_number(shape, (double)((const struct maybe_long *)value)->value, check);
	case SHAPE_FLOAT:
	case SHAPE_DOUBLE:
		return check_number(shape, ((const struct maybe_double *)value)->value, check);
	case SHAPE_STRUCTURE:
	case SHAPE_UNION:
		for (uint32_t i = 0; i < shape->member_count; i++)
			if (!check_member(shape, &shape->members[i], value, check))
				return false;
		return true;
	case SHAPE_LIST:
	case SHAPE_MAP:
		return check_items(shape, value, check);
	default:
		return true;
	}
}

bool shape_check(const struct shape *shape, const void *structure, struct arena *arena,
		 struct violation *ret_violation)
{
	struct check check = {.arena = arena, .found = ret_violation};

	assert(is_structure(shape));
	return check_value(shape, structure, &check);
}
