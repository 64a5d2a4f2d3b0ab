/* store.c - what a durable row costs, and how fast a store comes back.
 *
 *   bench_store [DIRECTORY]     default: a new one under $TMPDIR or /tmp, which should be a real disk */
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>
#include "base/arena.h"
#include "base/random.h"
#include "base/time.h"
#include "store/store.h"

enum {
	VALUE_BYTES = 500,
	APPEND_USEC = 1500000,                           /* how long each batch size is tried */
	OBJECTS = 100000,
	OBJECT_BYTES = 1000,
	BATCH_LIMIT = 4096,
};

static struct store_change changes[BATCH_LIMIT];
static char value[OBJECT_BYTES];
static usec waits[1 << 20];

static usec now(void)
{
	struct timespec time;

	clock_gettime(CLOCK_MONOTONIC, &time);
	return time.tv_sec * USEC_PER_SEC + time.tv_nsec / 1000;
}

static void die(const struct error *err)
{
	fprintf(stderr, "bench_store: %s\n", err->text);
	exit(1);
}

static struct store *open_store(struct str directory)
{
	struct store *store;
	struct error err;

	if (!store_open_sqlite(directory, S("bench.db"), &store, &err))
		die(&err);
	return store;
}

static void append(struct store *store, size_t count)
{
	struct error err;

	if (!store_append(store, changes, count, &err))
		die(&err);
}

static struct str object_key(struct arena *arena, uint64_t number)
{
	return arena_printf(arena, "000000000000/us-east-1/task/%032llx", (unsigned long long)number);
}

static int by_time(const void *a, const void *b)
{
	usec x = *(const usec *)a, y = *(const usec *)b;

	return (x > y) - (x < y);
}

static void fill_batch(struct random *random, struct arena *arena, size_t batch)
{
	for (size_t i = 0; i < batch; i++)
		changes[i] = (struct store_change){1, object_key(arena, random_below(random, OBJECTS)),
						   {value, VALUE_BYTES}};
}

static void bench_append(struct str directory, size_t batch)
{
	struct store *store = open_store(directory);
	struct random random;
	usec began = now(), spent = 0;
	size_t commits = 0;

	random_init(&random, batch, 0);
	while (now() - began < APPEND_USEC && commits < COUNT(waits)) {
		auto_arena arena = {0};
		usec at;

		fill_batch(&random, &arena, batch);
		at = now();
		append(store, batch);
		waits[commits] = now() - at;
		spent += waits[commits++];
	}
	qsort(waits, commits, sizeof(*waits), by_time);
	printf("append batch %4zu  %8.0f rows/s  %7.0f commits/s  p50 %6lld us  p99 %6lld us  max %6lld us\n",
	       batch, (double)(commits * batch) * 1e6 / (double)spent, (double)commits * 1e6 / (double)spent,
	       (long long)waits[commits / 2], (long long)waits[commits * 99 / 100], (long long)waits[commits - 1]);
	store_close(store);
}

static bool count_bytes(void *arg, const struct store_change *change, struct error *err)
{
	uint64_t *sums = arg;

	sums[0]++;
	sums[1] += change->value.len;
	return true;
}

static void bench_load(struct str directory, const char *setting)
{
	uint64_t sums[2] = {0};
	usec began = now(), opened;
	struct store *store = open_store(directory);
	struct error err;

	opened = now();
	if (!store_load(store, count_bytes, sums, &err))
		die(&err);
	printf("load %7llu objects, %4llu MB, %-28s open %5.1f ms  load %6.1f ms\n", (unsigned long long)sums[0],
	       (unsigned long long)(sums[1] >> 20), setting, (double)(opened - began) / 1e3,
	       (double)(now() - opened) / 1e3);
	store_close(store);
}

static void write_objects(struct store *store, uint64_t from, uint64_t to)
{
	for (uint64_t at = from; at < to;) {
		auto_arena arena = {0};
		size_t count = 0;

		/* Multiplied by an odd number: in no order of keys. */
		for (; at < to && count < 256; at++)
			changes[count++] = (struct store_change){
				1, object_key(&arena, at * 0x9e3779b97f4a7c15u), {value, OBJECT_BYTES}};
		append(store, count);
	}
}

static void bench_recovery(struct str directory)
{
	struct store *store = open_store(directory);
	struct error err;
	usec began;

	write_objects(store, 0, OBJECTS);
	began = now();
	if (!store_settle(store, &err))
		die(&err);
	printf("settle after %d new objects of %d B: %.0f ms\n", OBJECTS, OBJECT_BYTES,
	       (double)(now() - began) / 1e3);
	store_close(store);
	bench_load(directory, "all folded:");
	store = open_store(directory);
	write_objects(store, 0, 60000);
	store_close(store);
	bench_load(directory, "60,000 of them in the tail:");
}

static void remove_directory(const char *directory)
{
	DIR *entries = opendir(directory);
	struct dirent *entry;

	while (entries && (entry = readdir(entries)))
		unlinkat(dirfd(entries), entry->d_name, 0);
	if (entries)
		closedir(entries);
	rmdir(directory);
}

int main(int count, char **arguments)
{
	static const size_t batches[] = {1, 16, 256, BATCH_LIMIT};
	const char *base = getenv("TMPDIR");
	auto_arena arena = {0};
	char *directory;

	directory = arena_cstr(&arena, arena_printf(&arena, "%s/wherry-bench-XXXXXX",
						    count > 1 ? arguments[1] : base ? base : "/tmp"));
	if (!mkdtemp(directory)) {
		perror(directory);
		return 1;
	}
	memset(value, 'v', sizeof(value));
	printf("SQLite store in %s: WAL, synchronous=FULL, folding beside; values %d B, random keys of %d\n",
	       directory, VALUE_BYTES, OBJECTS);
	for (size_t i = 0; i < COUNT(batches); i++) {
		bench_append(str_of(directory), batches[i]);
		remove_directory(directory);
	}
	bench_recovery(str_of(directory));
	remove_directory(directory);
	return 0;
}
