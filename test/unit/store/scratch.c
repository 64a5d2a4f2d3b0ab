#include "test/unit/store/scratch.h"
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum { BATCH_NUMBER_KIND = 9 };

const struct fold_policy hurried = {
	.start_rows = 20,
	.window_rows = 70,
	.crowded_rows = 300,
	.slice_usec = 50,
	.idle_usec = USEC_PER_MSEC,
	.retry_usec = USEC_PER_MSEC,
	.wal_pages = 30,
};

char *say(struct arena *arena, const char *format, ...)
{
	va_list args;
	struct str text;

	va_start(args, format);
	text = arena_vprintf(arena, format, args);
	va_end(args);
	return arena_cstr(arena, text);
}

char *scratch_make(struct arena *arena)
{
	const char *base = getenv("TMPDIR");
	char *directory = say(arena, "%s/wherry-store-XXXXXX", base ? base : "/tmp");

	assert_non_null(mkdtemp(directory));
	assert_int_equal(rmdir(directory), 0);
	return directory;
}

void scratch_remove(const char *directory)
{
	DIR *entries = opendir(directory);
	struct dirent *entry;

	while (entries && (entry = readdir(entries)))
		unlinkat(dirfd(entries), entry->d_name, 0);
	if (entries)
		closedir(entries);
	rmdir(directory);
}

struct str scratch_path(struct arena *arena, const char *directory, const char *name)
{
	return arena_printf(arena, "%s/%s", directory, name);
}

struct store *scratch_open(const char *directory, const struct fold_policy *policy)
{
	struct store *store = NULL;
	struct error err;

	if (!store_open_sqlite_with(str_of(directory), S("test.db"), policy, &store, &err))
		fail_msg("%s", err.text);
	return store;
}

static struct str random_value(struct random *random, uint64_t number, struct arena *arena)
{
	size_t padding;

	if (random_below(random, 5) == 0)
		return STR_NONE;
	padding = random_below(random, 30) ? random_below(random, 300) : random_below(random, 20000);
	return arena_printf(arena, "{\"batch\":%llu,\"padding\":\"%0*d\"}", (unsigned long long)number,
			    (int)padding, 0);
}

size_t twin_batch(struct twin *twin, uint64_t number, struct arena *arena, struct store_change *changes)
{
	struct random random;
	size_t count;

	random_init(&random, number, 1);
	count = 1 + random_below(&random, TWIN_BATCH_LIMIT - 1);
	changes[0] = (struct store_change){BATCH_NUMBER_KIND, S("number"),
					   arena_printf(arena, "%llu", (unsigned long long)number)};
	for (size_t i = 1; i < count; i++) {
		/* Squared: some objects change far more often than others. */
		uint64_t kind = random_below(&random, TWIN_KINDS), pick = random_below(&random, TWIN_KEYS);
		uint64_t key = pick * pick / TWIN_KEYS;

		changes[i].kind = (uint32_t)kind;
		changes[i].key = arena_printf(arena, "key-%02d", (int)key);
		changes[i].value = random_value(&random, number, arena);
		twin->values[kind][key] = changes[i].value;
	}
	return count;
}

struct comparison {
	const struct twin *twin;
	bool seen[TWIN_KINDS][TWIN_KEYS];
	struct arena *arena;
	const char *difference;
};

static bool compare_one(void *arg, const struct store_change *change, struct error *err)
{
	struct comparison *comparison = arg;
	int64_t key;

	if (change->kind == BATCH_NUMBER_KIND)
		return true;
	if (change->kind >= TWIN_KINDS || !str_to_long(str_slice(change->key, 4, change->key.len), &key))
		comparison->difference = "an object that nobody wrote";
	else if (comparison->seen[change->kind][key])
		comparison->difference = "an object was visited twice";
	else if (!str_has(change->value) ||
		 !str_equal(change->value, comparison->twin->values[change->kind][key]))
		comparison->difference = say(comparison->arena, "%u %.*s is not as written", change->kind,
					     STR(change->key));
	else
		comparison->seen[change->kind][key] = true;
	return !comparison->difference;
}

const char *twin_differs(const struct twin *twin, struct store *store, struct arena *arena)
{
	struct comparison comparison = {.twin = twin, .arena = arena};
	struct error err = {0};

	if (!store_load(store, compare_one, &comparison, &err))
		return comparison.difference ? comparison.difference
					     : say(arena, "%s", err.text);
	for (int kind = 0; kind < TWIN_KINDS; kind++)
		for (int key = 0; key < TWIN_KEYS; key++)
			if (str_has(twin->values[kind][key]) != comparison.seen[kind][key])
				return say(arena, "%d key-%02d is missing, or there", kind, key);
	return NULL;
}

static bool take_number(void *arg, const struct store_change *change, struct error *err)
{
	return change->kind != BATCH_NUMBER_KIND || str_to_unsigned(change->value, arg);
}

uint64_t twin_last_batch(struct store *store)
{
	uint64_t number = 0;
	struct error err;

	if (!store_load(store, take_number, &number, &err))
		fail_msg("%s", err.text);
	return number;
}
