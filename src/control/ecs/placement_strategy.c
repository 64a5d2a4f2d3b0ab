#include "control/ecs/placement_private.h"
#include <assert.h>

/* ---- strategies of a class */
static void add_strategy(struct placement_class *class, const struct ecs_placement_strategy *strategy)
{
	struct str field = strategy->field, attribute = S("attribute:");

	if (strategy->type == ECS_PLACEMENT_STRATEGY_TYPE_RANDOM)
		class->rankings[class->ranking_count++] = RANK_RANDOM;
	else if (strategy->type == ECS_PLACEMENT_STRATEGY_TYPE_BINPACK)
		class->rankings[class->ranking_count++] =
			str_equal_ignoring_case(field, S("cpu")) ? RANK_CPU : RANK_MEMORY;
	else if (!str_starts(field, attribute))
		class->rankings[class->ranking_count++] = RANK_SPREAD;
	else if (class->ranking_count == 0)
		class->levels[class->level_count++] =
			arena_copy(&class->arena, str_slice(field, attribute.len, field.len));
}

static const struct ecs_placement_strategy by_default[] = {
	{.type = ECS_PLACEMENT_STRATEGY_TYPE_SPREAD, .field = STR_INIT("attribute:ecs.availability-zone")},
	{.type = ECS_PLACEMENT_STRATEGY_TYPE_SPREAD, .field = STR_INIT("instanceId")},
};

void placement_add_strategies(struct placement_class *class, const struct ecs_placement_strategies *strategies)
{
	const struct ecs_placement_strategy *items = strategies->count ? strategies->items : by_default;
	size_t count = strategies->count ? strategies->count : COUNT(by_default);

	for (size_t i = 0; i < MIN(count, (size_t)RANKINGS_LIMIT); i++)
		add_strategy(class, &items[i]);
}

/* ---- scores: who comes first in a leaf */
static int compare_long(int64_t a, int64_t b)
{
	return (a > b) - (a < b);
}

static int compare_by(enum ranking ranking, const struct candidate *a, const struct candidate *b)
{
	switch (ranking) {
	case RANK_SPREAD: return compare_long(a->group_tasks, b->group_tasks);
	case RANK_CPU: return compare_long(a->instance->node->cpu_free, b->instance->node->cpu_free);
	case RANK_MEMORY: return compare_long(a->instance->node->memory_free, b->instance->node->memory_free);
	case RANK_RANDOM: return a->draw < b->draw ? -1 : a->draw > b->draw;
	}
	return 0;
}

bool candidate_comes_before(const struct heap_node *left, const struct heap_node *right)
{
	const struct candidate *a = CONTAINER_OF(left, struct candidate, node);
	const struct candidate *b = CONTAINER_OF(right, struct candidate, node);
	int order = 0;

	for (size_t i = 0; order == 0 && i < a->class->ranking_count; i++)
		order = compare_by(a->class->rankings[i], a, b);
	if (order == 0)
		order = compare_long(a->instance->counts.live, b->instance->counts.live);
	if (order == 0)
		order = str_compare(a->instance->by_id.key, b->instance->by_id.key);
	return order < 0;
}

/* ---- scale-in */
static bool spread_value(const struct task_entry *task, struct str field, struct str *ret_value)
{
	struct str attribute = S("attribute:");

	if (str_starts(field, attribute))
		return placement_attribute(task->instance, str_slice(field, attribute.len, field.len), ret_value);
	*ret_value = task->instance->by_id.key;
	return true;
}

static int32_t share_of(struct task_entry *const *tasks, size_t count, const struct task_entry *task, struct str field)
{
	struct str own = STR_NONE, other;
	int32_t share = 0;

	spread_value(task, field, &own);
	for (size_t i = 0; i < count; i++) {
		other = STR_NONE;
		if (tasks[i]->instance) {
			spread_value(tasks[i], field, &other);
			share += str_equal(own, other);
		}
	}
	return share;
}

/* Positive: `a` should go before `b`. */
static int64_t rather(struct task_entry *const *tasks, size_t count, const struct task_entry *a,
		      const struct task_entry *b, const struct ecs_placement_strategies *strategies)
{
	const struct ecs_placement_strategy *items = strategies->count ? strategies->items : by_default;
	size_t strategy_count = strategies->count ? strategies->count : COUNT(by_default);
	int64_t order = 0;

	for (size_t i = 0; order == 0 && i < strategy_count; i++) {
		if (items[i].type == ECS_PLACEMENT_STRATEGY_TYPE_SPREAD)
			order = share_of(tasks, count, a, items[i].field) - share_of(tasks, count, b, items[i].field);
		else if (items[i].type == ECS_PLACEMENT_STRATEGY_TYPE_BINPACK)
			order = a->instance->node->memory_free - b->instance->node->memory_free;
	}
	if (order == 0)                                  /* the youngest goes first */
		order = a->record->created_at.value - b->record->created_at.value;
	return order ? order : str_compare(a->key, b->key);
}

size_t placement_worst(struct task_entry *const *tasks, size_t count,
		       const struct ecs_placement_strategies *strategies)
{
	size_t worst = 0;

	assert(count > 0);
	for (size_t i = 0; i < count; i++) {
		if (!tasks[i]->instance)
			return i;
		if (i && rather(tasks, count, tasks[i], tasks[worst], strategies) > 0)
			worst = i;
	}
	return worst;
}
