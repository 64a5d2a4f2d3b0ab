#include "control/ecs/nulls.h"

static void clear_value(const struct shape *shape, void *value);

static void clear_items(const struct shape *shape, const struct any_list *list)
{
	size_t stride = shape_stride(shape),
	       offset = shape->kind == SHAPE_MAP ? shape->value_offset : 0;
	bool inline_structure =
		shape->element->kind == SHAPE_STRUCTURE || shape->element->kind == SHAPE_UNION;

	for (size_t i = 0; i < list->count; i++) {
		void *item = (char *)list->items + i * stride + offset;

		if (inline_structure)
			nulls_clear(shape->element, item);
		else
			clear_value(shape->element, item);
	}
}

/* `value` as member_at gives it. */
static void clear_value(const struct shape *shape, void *value)
{
	switch (shape->kind) {
	case SHAPE_STRUCTURE:
	case SHAPE_UNION:
		if (*(void **)value)
			nulls_clear(shape, *(void **)value);
		break;
	case SHAPE_LIST:
	case SHAPE_MAP: clear_items(shape, value); break;
	default: break;
	}
}

void nulls_clear(const struct shape *shape, void *structure)
{
	memset((char *)structure + shape->nulls_offset, 0, (shape->member_count + 7) / 8);
	for (uint32_t i = 0; i < shape->member_count; i++)
		clear_value(shape->members[i].shape, member_at(&shape->members[i], structure));
}
