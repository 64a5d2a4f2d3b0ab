#include "test/test.h"
#include <errno.h>
#include <stdio.h>
#include "base/buffer.h"
#include "base/error.h"
#include "base/heap.h"
#include "base/list.h"
#include "base/map.h"
#include "base/random.h"
#include "base/sorted.h"

TEST(strings_compare_bytewise_and_prefixes_first)
{
	assert_true(str_compare(S("a"), S("b")) < 0);
	assert_true(str_compare(S("a"), S("ab")) < 0);
	assert_true(str_compare(S("\xff"), S("a")) > 0);
	assert_int_equal(str_compare(S(""), STR_NONE), 0);
	assert_true(str_equal(S("same"), S("same")));
	assert_false(str_equal(S("same"), S("sama")));
	assert_true(str_equal_ignoring_case(S("X-Amz-Date"), S("x-amz-date")));
	assert_false(str_equal_ignoring_case(S("[a"), S("{a")));
}

TEST(strings_are_searched_and_sliced)
{
	struct str text = S("arn:aws:ecs");

	assert_true(str_starts(text, S("arn:")));
	assert_false(str_starts(S("ar"), S("arn")));
	assert_true(str_ends(text, S(":ecs")));
	assert_true(str_contains(text, S("aws")));
	assert_true(str_contains(text, S("")));
	assert_false(str_contains(S(""), S("a")));
	assert_int_equal(str_find(text, ':'), 3);
	assert_int_equal(str_find_last(text, ':'), 7);
	assert_int_equal(str_find(text, '?'), text.len);
	EXPECT_STR(str_slice(text, 4, 7), S("aws"));
	EXPECT_STR(str_slice(text, 9, 100), S("cs"));
	EXPECT_STR(str_slice(text, 100, 2), S(""));
	EXPECT_STR(str_trim(S(" \t a b\r\n")), S("a b"));
	EXPECT_STR(str_trim(S("  ")), S(""));
}

TEST(a_string_is_cut_at_each_separator)
{
	struct str rest = S("a,,b,"), piece;

	assert_true(str_cut(&rest, ',', &piece));
	EXPECT_STR(piece, S("a"));
	assert_true(str_cut(&rest, ',', &piece));
	EXPECT_STR(piece, S(""));
	assert_true(str_cut(&rest, ',', &piece));
	EXPECT_STR(piece, S("b"));
	assert_true(str_cut(&rest, ',', &piece));
	EXPECT_STR(piece, S(""));
	assert_false(str_cut(&rest, ',', &piece));
}

TEST(numbers_are_read_whole_or_not_at_all)
{
	uint64_t unsigned_value;
	int64_t value;

	assert_true(str_to_unsigned(S("18446744073709551615"), &unsigned_value));
	assert_true(unsigned_value == UINT64_MAX);
	assert_false(str_to_unsigned(S("18446744073709551616"), &unsigned_value));
	assert_false(str_to_unsigned(S(""), &unsigned_value));
	assert_false(str_to_unsigned(S("1 "), &unsigned_value));
	assert_true(str_to_long(S("-9223372036854775808"), &value));
	assert_true(value == INT64_MIN);
	assert_true(str_to_long(S("+9223372036854775807"), &value));
	assert_true(value == INT64_MAX);
	assert_false(str_to_long(S("9223372036854775808"), &value));
	assert_false(str_to_long(S("-9223372036854775809"), &value));
	assert_false(str_to_long(S("-"), &value));
	assert_false(str_to_long(S("--1"), &value));
}

static void count_up(void *arg)
{
	++*(int *)arg;
}

TEST(an_arena_gives_zeroed_aligned_memory_and_runs_defers)
{
	struct arena arena = {0};
	int undone = 0;

	for (size_t size = 1; size < 20000; size = size * 3 + 1) {
		unsigned char *bytes = arena_alloc(&arena, 1, size, 16);

		assert_int_equal((uintptr_t)bytes % 16, 0);
		for (size_t i = 0; i < size; i++)
			assert_int_equal(bytes[i], 0);
		memset(bytes, 0xaa, size);
		arena_alloc_bytes(&arena, 1);
	}
	assert_non_null(arena_alloc(&arena, 0, 8, 8));
	arena_defer(&arena, count_up, &undone);
	arena_reset(&arena);
	assert_int_equal(undone, 1);
	assert_int_equal(*(char *)arena_alloc(&arena, 1, 64, 8), 0);
	arena_defer(&arena, count_up, &undone);
	arena_fini(&arena);
	arena_fini(&arena);
	assert_int_equal(undone, 2);
}

TEST(an_arena_copies_and_formats_text)
{
	auto_arena arena = {0};

	assert_false(str_has(arena_copy(&arena, STR_NONE)));
	assert_true(str_has(arena_copy(&arena, S(""))));
	EXPECT_STR(arena_copy(&arena, S("text")), S("text"));
	assert_string_equal(arena_cstr(&arena, S("text")), "text");
	assert_string_equal(arena_cstr(&arena, STR_NONE), "");
	EXPECT_STR(arena_printf(&arena, "%d-%.*s", 7, STR(S("abc"))), S("7-abc"));
}

TEST(a_buffer_grows_and_is_consumed)
{
	auto_buffer buffer = {0};

	EXPECT_STR(buffer_str(&buffer), S(""));
	for (int i = 0; i < 1000; i++)
		buffer_printf(&buffer, "%04d,", i);
	assert_int_equal(buffer.len, 5000);
	buffer_consume(&buffer, 4995);
	EXPECT_STR(buffer_str(&buffer), S("0999,"));
	buffer_append(&buffer, NULL, 0);
	buffer_add_char(&buffer, '!');
	EXPECT_STR(buffer_str(&buffer), S("0999,!"));
	buffer_consume(&buffer, 6);
	EXPECT_STR(buffer_str(&buffer), S(""));
}

TEST(a_list_grows_and_forgets)
{
	LIST_OF(int) list = {0};

	for (int i = 0; i < 100; i++)
		list_add(&list, i);
	list_remove_at(&list, 0);
	list_remove_at(&list, 98);
	assert_int_equal(list.count, 98);
	assert_int_equal(list.items[0], 1);
	assert_int_equal(list.items[97], 98);
	assert_int_equal(*list_push(&list), 0);
	list_fini(&list);
	assert_null(list.items);
}

struct chained {
	int number;
	struct link link;
};

TEST(items_may_leave_a_chain_while_it_is_walked)
{
	struct chained items[5] = {{.number = 0}, {.number = 1}, {.number = 2}, {.number = 3}, {.number = 4}};
	struct link chain;
	int sum = 0;

	chain_init(&chain);
	assert_true(chain_empty(&chain));
	for (size_t i = 0; i < COUNT(items); i++)
		chain_append(&chain, &items[i].link);
	CHAIN_EACH(&chain, struct chained, link, item)
		if (item->number % 2 == 0)
			link_remove(&item->link);
	CHAIN_EACH(&chain, struct chained, link, item)
		sum = sum * 10 + item->number;
	assert_int_equal(sum, 13);
	assert_false(link_is_in(&items[0].link));
	link_remove(&items[0].link);
}

enum { MODEL_KEYS = 200, MODEL_STEPS = 50000 };

static void name_keys(char keys[MODEL_KEYS][16])
{
	for (int i = 0; i < MODEL_KEYS; i++)
		snprintf(keys[i], sizeof(keys[i]), "%s%d", i % 3 ? "key-number-" : "", i);
}

static size_t walk_map(const struct map *map)
{
	size_t cursor = 0, count = 0;

	while (map_next(map, &cursor))
		count++;
	return count;
}

TEST(a_map_does_what_an_array_of_pairs_does)
{
	static char keys[MODEL_KEYS][16];
	void *model[MODEL_KEYS] = {0};
	size_t count = 0;
	struct random random;
	struct map map = {.seed = 42};

	name_keys(keys);
	random_init(&random, 1, 0);
	for (int step = 0; step < MODEL_STEPS; step++) {
		/* In turns mostly growing and mostly shrinking. */
		size_t key = random_below(&random, MODEL_KEYS);
		bool put = random_below(&random, 10) < (step / 1000 % 2 ? 8u : 2u);
		void *value = &model[random_below(&random, MODEL_KEYS)];

		assert_ptr_equal(map_get(&map, str_of(keys[key])), model[key]);
		assert_ptr_equal(put ? map_put(&map, str_of(keys[key]), value) : map_remove(&map, str_of(keys[key])),
				 model[key]);
		count += (put && !model[key]) - (size_t)(!put && model[key]);
		model[key] = put ? value : NULL;
		assert_int_equal(map.count, count);
		if (step % 500 == 0)
			assert_int_equal(walk_map(&map), count);
	}
	map_fini(&map);
	assert_null(map_get(&map, S("a")));
}

/* The naive twin of a sorted tree: which of the keys are in it. */
static int neighbour(const char keys[MODEL_KEYS][16], const bool *present, struct str key, int direction, bool or_same)
{
	int found = -1;

	for (int i = 0; i < MODEL_KEYS; i++) {
		int order = present[i] ? str_compare(str_of(keys[i]), key) * direction : -1;

		if (order < 0 || (order == 0 && !or_same))
			continue;
		if (found < 0 || str_compare(str_of(keys[i]), str_of(keys[found])) * direction < 0)
			found = i;
	}
	return found;
}

static void expect_node(struct sorted_node *node, const char keys[MODEL_KEYS][16], int index)
{
	if (index < 0)
		assert_null(node);
	else
		EXPECT_STR(node->key, str_of(keys[index]));
}

TEST(a_sorted_tree_does_what_a_scan_does)
{
	static char keys[MODEL_KEYS][16];
	static struct sorted_node nodes[MODEL_KEYS];
	bool present[MODEL_KEYS] = {0};
	struct sorted tree = {0};
	struct random random;
	size_t count = 0;

	name_keys(keys);
	random_init(&random, 2, 0);
	for (int step = 0; step < MODEL_STEPS / 5; step++) {
		size_t at = random_below(&random, MODEL_KEYS);
		struct str asked = str_of(keys[random_below(&random, MODEL_KEYS)]);

		if (present[at])
			sorted_remove(&tree, &nodes[at]);
		else
			sorted_add(&tree, &nodes[at], str_of(keys[at]));
		present[at] = !present[at];
		count += present[at] ? 1 : (size_t)-1;
		assert_int_equal(tree.count, count);
		assert_ptr_equal(sorted_get(&tree, str_of(keys[at])), present[at] ? &nodes[at] : NULL);
		expect_node(sorted_after(&tree, asked), keys, neighbour(keys, present, asked, 1, false));
		expect_node(sorted_at_or_after(&tree, asked), keys, neighbour(keys, present, asked, 1, true));
		expect_node(sorted_before(&tree, asked), keys, neighbour(keys, present, asked, -1, false));
		expect_node(sorted_first(&tree), keys, neighbour(keys, present, S(""), 1, true));
		expect_node(sorted_last(&tree), keys, neighbour(keys, present, S("~"), -1, true));
	}
}

struct timer {
	struct heap_node node;
	uint64_t at;
};

static bool sooner(const struct heap_node *a, const struct heap_node *b)
{
	const struct timer *in_a = (const struct timer *)(const void *)a, *in_b = (const struct timer *)(const void *)b;

	return in_a->at != in_b->at ? in_a->at < in_b->at : in_a < in_b;
}

TEST(a_heap_gives_the_smallest_whatever_happens_to_it)
{
	static struct timer timers[MODEL_KEYS];
	struct heap heap = {.before = sooner};
	struct random random;

	random_init(&random, 3, 0);
	for (int step = 0; step < MODEL_STEPS / 5; step++) {
		struct timer *timer = &timers[random_below(&random, MODEL_KEYS)], *least = NULL;
		uint64_t what = random_below(&random, 3);

		timer->at = timer->node.position && what != 1 ? timer->at : random_below(&random, 1000);
		if (!timer->node.position)
			heap_add(&heap, &timer->node);
		else if (what == 1)
			heap_fix(&heap, &timer->node);
		else
			heap_remove(&heap, &timer->node);
		for (size_t i = 0; i < MODEL_KEYS; i++)
			if (timers[i].node.position && (!least || sooner(&timers[i].node, &least->node)))
				least = &timers[i];
		assert_ptr_equal(heap_first(&heap), least ? &least->node : NULL);
	}
	heap_fini(&heap);
}

TEST(randomness_repeats_from_its_seed_and_stays_in_bounds)
{
	struct random a, b, other;
	auto_arena arena = {0};
	struct str uuid;
	unsigned seen = 0;

	random_init(&a, 5, 1);
	random_init(&b, 5, 1);
	random_init(&other, 5, 2);
	assert_true(random_next(&a) == random_next(&b));
	assert_true(random_next(&a) != random_next(&other));
	for (int i = 0; i < 1000; i++)
		seen |= 1u << random_below(&a, 7);
	assert_int_equal(seen, 0x7f);
	assert_int_equal(random_below(&a, 1), 0);
	assert_int_equal(random_hex(&a, &arena, 32).len, 32);
	uuid = random_uuid(&a, &arena);
	assert_int_equal(uuid.len, 36);
	assert_int_equal(uuid.ptr[14], '4');
	assert_non_null(strchr("89ab", uuid.ptr[19]));
}

TEST(an_error_says_what_was_being_done)
{
	struct error err = {0};

	assert_false(fail(&err, ERROR_CLIENT, "no such %s", "thing"));
	assert_false(fail_context(&err, "pull %s", "image"));
	assert_string_equal(err.text, "pull image: no such thing");
	assert_int_equal(err.code, ERROR_CLIENT);
	assert_false(fail_os(&err, ENOENT, "open"));
	assert_string_equal(err.text, "open: No such file or directory");
	assert_false(fail(NULL, ERROR_CLIENT, "unheard"));
	EXPECT_STR(error_wire_name(ERROR_CLIENT), S("ClientException"));
	assert_int_equal(error_http_status(ERROR_SERVICE_UNAVAILABLE), 503);
}

TEST(what_an_arena_prints_stays_a_c_string)
{
	auto_arena arena = {0};
	struct str first = arena_printf(&arena, "%s-%d", "first", 1);
	struct str second = arena_printf(&arena, "second");

	assert_string_equal(first.ptr, "first-1");
	assert_string_equal(second.ptr, "second");
	EXPECT_STR(ARENA_JOIN(&arena, first, S("/"), STR_NONE, second), S("first-1/second"));
	for (int i = 0; i < 2000; i++)
		assert_int_equal(arena_printf(&arena, "%0*d", i, 7).len, i ? i : 1);
}
