#include "test/unit/store/scratch.h"
#include <errno.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>
#include "base/buffer.h"
#include "store/database.h"

static void append_one(struct store *store, uint32_t kind, struct str key, struct str value)
{
	struct store_change change = {kind, key, value};
	struct error err;

	if (!store_append(store, &change, 1, &err))
		fail_msg("%s", err.text);
}

static bool print_change(void *arg, const struct store_change *change, struct error *err)
{
	buffer_printf(arg, "%u %.*s=%.*s\n", change->kind, STR(change->key), STR(change->value));
	return true;
}

static void expect_content(struct store *store, struct str expected)
{
	auto_buffer text = {0};
	struct error err;

	if (!store_load(store, print_change, &text, &err))
		fail_msg("%s", err.text);
	EXPECT_STR(buffer_str(&text), expected);
}

static void settle(struct store *store)
{
	struct error err;

	if (!store_settle(store, &err))
		fail_msg("%s", err.text);
}

static void run_sql(const char *directory, const char *sql)
{
	struct database database;
	auto_arena arena = {0};
	struct error err;

	assert_true(database_open(&database, scratch_path(&arena, directory, "test.db"), &err));
	if (!database_run(&database, sql, &err))
		fail_msg("%s", err.text);
	database_close(&database);
}

static struct error expect_refusal(const char *directory)
{
	struct store *store = NULL;
	struct error err = {0};

	assert_false(store_open_sqlite(str_of(directory), S("test.db"), &store, &err));
	assert_null(store);
	return err;
}

TEST(what_was_appended_is_there_after_a_restart)
{
	auto_arena arena = {0};
	char *directory = scratch_make(&arena);
	struct store *store = scratch_open(directory, &fold_policy_default);

	expect_content(store, S(""));
	append_one(store, 2, S("b"), S("first"));
	append_one(store, 1, S("z"), S("other"));
	append_one(store, 2, S("b"), S("second"));
	expect_content(store, S("1 z=other\n2 b=second\n"));
	store_close(store);
	store = scratch_open(directory, &fold_policy_default);
	expect_content(store, S("1 z=other\n2 b=second\n"));
	store_close(store);
	scratch_remove(directory);
}

TEST(objects_come_in_order_then_what_changed_since)
{
	auto_arena arena = {0};
	char *directory = scratch_make(&arena);
	struct store *store = scratch_open(directory, &fold_policy_default);

	append_one(store, 256, S("a"), S("1"));
	append_one(store, 2, S("b"), S("2"));
	append_one(store, 2, S("a"), S("3"));
	append_one(store, 1, S("c"), S("4"));
	settle(store);
	expect_content(store, S("1 c=4\n2 a=3\n2 b=2\n256 a=1\n"));
	append_one(store, 2, S("b"), S("5"));
	append_one(store, 0, S("d"), S("6"));
	append_one(store, 1, S("c"), STR_NONE);
	expect_content(store, S("2 a=3\n256 a=1\n2 b=5\n0 d=6\n"));
	store_close(store);
	scratch_remove(directory);
}

static void delete_everywhere(struct store *store)
{
	append_one(store, 1, S("folded"), S("1"));
	append_one(store, 1, S("kept"), S("2"));
	settle(store);
	append_one(store, 1, S("journaled"), S("3"));
	append_one(store, 1, S("journaled"), STR_NONE);
	append_one(store, 1, S("folded"), STR_NONE);
	append_one(store, 1, S("never there"), STR_NONE);
	expect_content(store, S("1 kept=2\n"));
	settle(store);
	expect_content(store, S("1 kept=2\n"));
	append_one(store, 1, S("folded"), S("again"));
	append_one(store, 1, S("kept"), STR_NONE);
	expect_content(store, S("1 folded=again\n"));
}

TEST(a_deleted_object_is_gone)
{
	auto_arena arena = {0};
	char *directory = scratch_make(&arena);
	struct store *store = scratch_open(directory, &fold_policy_default);

	delete_everywhere(store);
	store_close(store);
	store = scratch_open(directory, &fold_policy_default);
	expect_content(store, S("1 folded=again\n"));
	store_close(store);
	scratch_remove(directory);
}

static bool expect_empty_value(void *arg, const struct store_change *change, struct error *err)
{
	assert_true(str_has(change->value));
	EXPECT_STR(change->key, S("a\0b"));
	EXPECT_STR(change->value, S(""));
	++*(int *)arg;
	return true;
}

TEST(an_empty_value_is_not_an_absent_one_and_bytes_are_kept)
{
	auto_arena arena = {0};
	char *directory = scratch_make(&arena);
	struct store *store = scratch_open(directory, &fold_policy_default);
	struct error err;
	int visits = 0;

	append_one(store, UINT32_MAX, S("a\0b"), S(""));
	assert_true(store_load(store, expect_empty_value, &visits, &err));
	settle(store);
	assert_true(store_load(store, expect_empty_value, &visits, &err));
	assert_int_equal(visits, 2);
	store_close(store);
	scratch_remove(directory);
}

static bool refuse(void *arg, const struct store_change *change, struct error *err)
{
	++*(int *)arg;
	return (fail)(err, ERROR_CORRUPT, "cannot read this");         /* not cmocka's macro */
}

TEST(a_visitor_ends_the_load_with_its_error)
{
	auto_arena arena = {0};
	char *directory = scratch_make(&arena);
	struct store *store = scratch_open(directory, &fold_policy_default);
	struct error err;
	int visits = 0;

	append_one(store, 1, S("a"), S("1"));
	append_one(store, 1, S("b"), S("2"));
	assert_false(store_load(store, refuse, &visits, &err));
	assert_int_equal(visits, 1);
	EXPECT_STR(str_of(err.text), S("cannot read this"));
	append_one(store, 1, S("c"), S("3"));
	expect_content(store, S("1 a=1\n1 b=2\n1 c=3\n"));
	store_close(store);
	scratch_remove(directory);
}

TEST(keys_and_values_have_limits)
{
	auto_arena arena = {0};
	char *directory = scratch_make(&arena);
	struct store *store = scratch_open(directory, &fold_policy_default);
	char *bytes = arena_alloc_bytes(&arena, STORE_VALUE_BYTES_LIMIT + 1);
	struct store_change changes[] = {{1, S("small"), S("1")},
					 {1, {bytes, STORE_KEY_BYTES_LIMIT + 1}, S("2")}};
	struct error err;

	memset(bytes, 'x', STORE_VALUE_BYTES_LIMIT + 1);
	assert_false(store_append(store, changes, 2, &err));
	assert_int_equal(err.code, ERROR_LIMIT_EXCEEDED);
	assert_true(str_starts(str_of(err.text), S("a key of 4097 bytes is longer than 4096: 'xxx")));
	changes[1].key.len--;
	changes[1].value = (struct str){bytes, STORE_VALUE_BYTES_LIMIT + 1};
	assert_false(store_append(store, changes, 2, &err));
	assert_int_equal(err.code, ERROR_LIMIT_EXCEEDED);
	expect_content(store, S(""));
	changes[1].value.len--;
	assert_true(store_append(store, changes, 2, &err));
	settle(store);
	append_one(store, 1, changes[1].key, STR_NONE);
	expect_content(store, S("1 small=1\n"));
	store_close(store);
	scratch_remove(directory);
}

TEST(random_changes_and_restarts_agree_with_a_naive_twin)
{
	auto_arena arena = {0};
	char *directory = scratch_make(&arena);
	struct store_change changes[TWIN_BATCH_LIMIT];
	struct store *store = scratch_open(directory, &hurried);
	struct twin twin = {0};
	struct random random;
	struct error err;

	random_init(&random, 7, 0);
	for (uint64_t number = 1; number <= 2000; number++) {
		size_t count = twin_batch(&twin, number, &arena, changes);

		if (!store_append(store, changes, count, &err))
			fail_msg("%s", err.text);
		if (random_below(&random, 100) == 0)
			settle(store);
		if (random_below(&random, 60) == 0) {
			store_close(store);
			store = scratch_open(directory, random_below(&random, 2) ? &hurried : &fold_policy_default);
		}
		if (random_below(&random, 20) == 0 && twin_differs(&twin, store, &arena))
			fail_msg("after batch %d: %s", (int)number, twin_differs(&twin, store, &arena));
	}
	settle(store);
	assert_null(twin_differs(&twin, store, &arena));
	assert_int_equal(twin_last_batch(store), 2000);
	store_close(store);
	scratch_remove(directory);
}

static int64_t count_rows(const char *directory, const char *sql)
{
	auto_arena arena = {0};
	struct database database;
	sqlite3_stmt *statement;
	int64_t count;
	struct error err;
	bool row;

	assert_true(database_open(&database, scratch_path(&arena, directory, "test.db"), &err));
	assert_true(database_prepare(&database, sql, &statement, &err));
	assert_true(database_step(&database, statement, &row, &err));
	count = sqlite3_column_int64(statement, 0);
	database_close(&database);
	return count;
}

TEST(folding_empties_the_journal_and_writes_an_object_once)
{
	auto_arena arena = {0};
	char *directory = scratch_make(&arena);
	struct store *store = scratch_open(directory, &fold_policy_default);

	for (int i = 0; i < 100; i++)
		append_one(store, 1, S("hot"), S("value"));
	store_close(store);
	assert_int_equal(count_rows(directory, "SELECT count(*) FROM journal"), 100);
	store = scratch_open(directory, &fold_policy_default);
	settle(store);
	store_close(store);
	assert_int_equal(count_rows(directory, "SELECT count(*) FROM journal"), 0);
	assert_int_equal(count_rows(directory, "SELECT count(*) FROM object"), 1);
	scratch_remove(directory);
}

TEST(an_idle_store_folds_by_itself)
{
	auto_arena arena = {0};
	char *directory = scratch_make(&arena);
	struct fold_policy policy = fold_policy_default;
	struct store *store;
	int rounds = 0;

	policy.idle_usec = 10 * USEC_PER_MSEC;
	store = scratch_open(directory, &policy);
	append_one(store, 1, S("a"), S("1"));
	while (count_rows(directory, "SELECT count(*) FROM journal") && rounds++ < 3000)
		usleep(10000);
	assert_int_equal(count_rows(directory, "SELECT count(*) FROM object"), 1);
	expect_content(store, S("1 a=1\n"));
	store_close(store);
	scratch_remove(directory);
}

TEST(the_log_does_not_grow_without_bound)
{
	auto_arena arena = {0};
	char *directory = scratch_make(&arena);
	struct store *store = scratch_open(directory, &hurried);
	struct str path = scratch_path(&arena, directory, "test.db-wal");
	char value[2000];
	struct stat log = {0};
	int commits = 0, pages = 0;

	memset(value, 'v', sizeof(value));
	/* Every commit writes at least a page of 8 KiB. How many come between two checkpoints depends on the disk and on who else
	 * wants the processors; that the log is used again and again does not. */
	do {
		for (int i = 0; i < 1000; i++)
			append_one(store, 1, S("a"), (struct str){value, sizeof(value)});
		commits += 1000;
		assert_int_equal(stat(arena_cstr(&arena, path), &log), 0);
		pages = (int)(log.st_size / 8192);
	} while (commits < 3 * pages && commits < 200000);
	assert_in_range(pages, 1, commits / 3);
	store_close(store);
	scratch_remove(directory);
}

TEST(only_the_owner_may_read_a_store)
{
	auto_arena arena = {0};
	char *directory = scratch_make(&arena);
	struct store *store = scratch_open(directory, &fold_policy_default);
	const char *names[] = {"test.db", "test.db-wal", "lock"};
	struct stat status;

	append_one(store, 1, S("a"), S("1"));
	assert_int_equal(stat(directory, &status), 0);
	assert_int_equal(status.st_mode & 07777, 0700);
	for (size_t i = 0; i < COUNT(names); i++) {
		struct str path = scratch_path(&arena, directory, names[i]);

		assert_int_equal(stat(arena_cstr(&arena, path), &status), 0);
		assert_int_equal(status.st_mode & 07777, 0600);
	}
	store_close(store);
	scratch_remove(directory);
}

TEST(a_newer_format_is_refused_by_name)
{
	auto_arena arena = {0};
	char *directory = scratch_make(&arena);
	struct error err;

	store_close(scratch_open(directory, &fold_policy_default));
	run_sql(directory, "UPDATE meta SET value = '2' WHERE key = 'format'");
	err = expect_refusal(directory);
	assert_int_equal(err.code, ERROR_REFUSED);
	assert_non_null(strstr(err.text, "has format 2, but this program knows formats up to 1"));
	run_sql(directory, "UPDATE meta SET value = 'x' WHERE key = 'format'");
	assert_int_equal(expect_refusal(directory).code, ERROR_CORRUPT);
	run_sql(directory, "UPDATE meta SET value = '1' WHERE key = 'format'");
	store_close(scratch_open(directory, &fold_policy_default));
	scratch_remove(directory);
}

TEST(another_programs_database_is_refused)
{
	auto_arena arena = {0};
	char *directory = scratch_make(&arena);
	struct error err;

	store_close(scratch_open(directory, &fold_policy_default));
	run_sql(directory, "DROP TABLE meta");
	err = expect_refusal(directory);
	assert_non_null(strstr(err.text, "is a database of another program"));
	scratch_remove(directory);
}

static void overwrite(const char *directory, long from, long size)
{
	auto_arena arena = {0};
	FILE *file = fopen(arena_cstr(&arena, scratch_path(&arena, directory, "test.db")), "r+");

	assert_non_null(file);
	assert_int_equal(fseek(file, from, SEEK_SET), 0);
	for (long i = 0; i < size; i++)
		assert_int_equal(fputc(0xa5, file), 0xa5);
	assert_int_equal(fclose(file), 0);
}

static bool ignore(void *arg, const struct store_change *change, struct error *err)
{
	return true;
}

TEST(damage_is_told)
{
	auto_arena arena = {0};
	char *directory = scratch_make(&arena);
	struct store *store = scratch_open(directory, &fold_policy_default);
	struct error err;

	for (int i = 0; i < 1000; i++)
		append_one(store, 1, arena_printf(&arena, "key-%04d", i), S("0123456789012345678901234567890"));
	store_close(store);
	overwrite(directory, 5 * 8192, 3 * 8192);
	store = scratch_open(directory, &fold_policy_default);
	assert_false(store_load(store, ignore, NULL, &err));
	assert_int_equal(err.code, ERROR_CORRUPT);
	assert_non_null(strstr(err.text, "test.db' is damaged"));
	assert_false(store_settle(store, &err));
	assert_int_equal(err.code, ERROR_CORRUPT);
	store_close(store);
	overwrite(directory, 0, 100);
	err = expect_refusal(directory);
	assert_int_equal(err.code, ERROR_CORRUPT);
	assert_non_null(strstr(err.text, "is damaged: file is not a database"));
	scratch_remove(directory);
}

TEST(a_missing_parent_directory_is_told)
{
	auto_arena arena = {0};
	char *directory = scratch_make(&arena);
	struct str inner = scratch_path(&arena, directory, "inner");
	struct error err = expect_refusal(arena_cstr(&arena, inner));

	assert_int_equal(err.os, ENOENT);
	assert_true(str_starts(str_of(err.text), S("create directory '")));
}

TEST(the_store_in_memory_keeps_the_same_contract)
{
	struct store *store = store_open_memory();
	struct store_change changes[TWIN_BATCH_LIMIT];
	auto_arena arena = {0};
	struct twin twin = {0};
	struct error err;

	delete_everywhere(store);
	store_close(store);
	store = store_open_memory();
	for (uint64_t number = 1; number <= 300; number++)
		assert_true(store_append(store, changes, twin_batch(&twin, number, &arena, changes), &err));
	assert_null(twin_differs(&twin, store, &arena));
	store_close(store);
}

TEST(the_store_in_memory_fails_when_told_and_keeps_nothing_of_the_batch)
{
	struct store *store = store_open_memory();
	struct store_change change = {1, S("a"), S("1")};
	struct error err;

	store_memory_fail_next(store, ENOSPC);
	assert_false(store_append(store, &change, 1, &err));
	assert_int_equal(err.os, ENOSPC);
	expect_content(store, S(""));
	assert_true(store_append(store, &change, 1, &err));
	expect_content(store, S("1 a=1\n"));
	store_close(store);
}
