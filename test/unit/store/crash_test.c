/* What other processes, kills and full disks do to a store. */
#include "test/unit/store/scratch.h"
#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

struct child {
	pid_t pid;
	int out;                                         /* read what it says */
};

/* A child that runs `work` and says what it returns, NULL: nothing. */
static struct child child_start(const char *(*work)(const char *directory, int out, struct arena *arena),
				const char *directory)
{
	auto_arena arena = {0};
	const char *said;
	int ends[2];
	pid_t pid;

	assert_int_equal(pipe(ends), 0);
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		close(ends[0]);
		said = work(directory, ends[1], &arena);
		if (said)
			(void)!write(ends[1], said, strlen(said));
		_exit(0);
	}
	close(ends[1]);
	return (struct child){pid, ends[0]};
}

static void child_kill(struct child *child)
{
	int status;

	kill(child->pid, SIGKILL);
	assert_int_equal(waitpid(child->pid, &status, 0), child->pid);
}

static struct str child_said(struct child *child, char *bytes, size_t size)
{
	size_t len = 0;
	ssize_t got;
	int status;

	while ((got = read(child->out, bytes + len, size - len)) > 0)
		len += (size_t)got;
	close(child->out);
	assert_int_equal(waitpid(child->pid, &status, 0), child->pid);
	assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
	return (struct str){bytes, len};
}

/* kill -9 */

static const char *append_for_ever(const char *directory, int out, struct arena *arena)
{
	struct store_change changes[TWIN_BATCH_LIMIT];
	struct store *store;
	struct twin twin;
	struct error err;

	if (!store_open_sqlite_with(str_of(directory), S("test.db"), &hurried, &store, &err))
		return NULL;
	for (uint64_t number = twin_last_batch(store) + 1;; number++) {
		auto_arena batch = {0};

		if (!store_append(store, changes, twin_batch(&twin, number, &batch, changes), &err))
			return NULL;
		if (write(out, &number, sizeof(number)) != sizeof(number))
			return NULL;
	}
}

static uint64_t last_acknowledged(struct child *child, uint64_t before)
{
	uint64_t number;

	while (read(child->out, &number, sizeof(number)) == sizeof(number))
		before = number;
	close(child->out);
	return before;
}

TEST(an_acknowledged_batch_survives_kill_9_at_any_moment_and_half_a_batch_never_does)
{
	auto_arena arena = {0};
	char *directory = scratch_make(&arena);
	struct store_change changes[TWIN_BATCH_LIMIT];
	uint64_t acknowledged = 0, applied = 0;
	struct twin twin = {0};
	struct random random;

	random_init(&random, (uint64_t)getpid(), 0);
	for (int round = 0; round < 15; round++) {
		struct child child = child_start(append_for_ever, directory);
		struct store *store;
		uint64_t last;

		/* The pipe holds 8,192 numbers: a child that gets ahead by more waits, and is killed waiting. */
		usleep((useconds_t)(20000 + random_below(&random, 200000)));
		child_kill(&child);
		acknowledged = last_acknowledged(&child, acknowledged);
		store = scratch_open(directory, round % 2 ? &hurried : &fold_policy_default);
		last = twin_last_batch(store);
		assert_in_range(last, acknowledged, acknowledged + 1);
		while (applied < last)
			twin_batch(&twin, ++applied, &arena, changes);
		if (twin_differs(&twin, store, &arena))
			fail_msg("round %d: %s", round, twin_differs(&twin, store, &arena));
		acknowledged = last;
		store_close(store);
	}
	assert_true(applied > 100);
	scratch_remove(directory);
}

/* Two processes */

static const char *hold(const char *directory, int out, struct arena *arena)
{
	struct store *store;
	struct error err;

	if (!store_open_sqlite(str_of(directory), S("test.db"), &store, &err))
		return NULL;
	if (write(out, "!", 1) == 1)
		pause();
	return NULL;
}

TEST(a_second_process_is_refused_by_the_pid_of_the_first_until_that_ends)
{
	auto_arena arena = {0};
	char *directory = scratch_make(&arena);
	struct child child = child_start(hold, directory);
	struct store *store = NULL;
	struct error err;
	char ready;

	assert_int_equal(read(child.out, &ready, 1), 1);
	assert_false(store_open_sqlite(str_of(directory), S("test.db"), &store, &err));
	assert_int_equal(err.code, ERROR_REFUSED);
	EXPECT_STR(str_of(err.text), arena_printf(&arena, "'%s' is in use by process %d", directory, child.pid));
	child_kill(&child);
	close(child.out);
	store = scratch_open(directory, &fold_policy_default);
	store_close(store);
	scratch_remove(directory);
}

/* Full disks. Each runs in a child, which says what went wrong. */

static const char *append_until_full(struct store *store, struct twin *twin, uint64_t *number,
				     struct arena *arena, struct error *err)
{
	struct store_change changes[TWIN_BATCH_LIMIT];

	for (;;) {
		struct twin before = *twin;

		if (!store_append(store, changes, twin_batch(twin, *number + 1, arena, changes), err)) {
			*twin = before;
			return NULL;
		}
		if (++*number == 100000)
			return "the disk did not fill up";
	}
}

static const char *check_full(struct store *store, struct twin *twin, uint64_t *number, int reason,
			      struct arena *arena)
{
	const char *problem;
	struct error err;

	problem = append_until_full(store, twin, number, arena, &err);
	if (problem)
		return problem;
	if (err.code != ERROR_OS || (err.os != reason && err.os != EIO))
		return say(arena, "not that it is full: %s", err.text);
	return twin_differs(twin, store, arena);
}

static const char *check_room(const char *directory, struct store *store, struct twin *twin, uint64_t number,
			      struct arena *arena)
{
	struct store_change changes[TWIN_BATCH_LIMIT];
	struct error err = {0};
	const char *problem;

	for (int i = 0; i < 50; i++)
		if (!store_append(store, changes, twin_batch(twin, ++number, arena, changes), &err))
			return say(arena, "still full: %s", err.text);
	/* The first try may report what failed while the disk was full. */
	if (!store_settle(store, &err) && !store_settle(store, &err))
		return say(arena, "folding: %s", err.text);
	store_close(store);
	if (!store_open_sqlite(str_of(directory), S("test.db"), &store, &err))
		return say(arena, "open: %s", err.text);
	problem = twin_differs(twin, store, arena);
	store_close(store);
	return problem;
}

/* Without folding, so that the journal is what grows. */
static struct fold_policy lazy_policy(void)
{
	struct fold_policy policy = fold_policy_default;

	policy.start_rows = policy.crowded_rows = UINT64_MAX;
	policy.idle_usec = 3600 * USEC_PER_SEC;
	policy.wal_pages = 64;
	policy.retry_usec = 10 * USEC_PER_MSEC;
	return policy;
}

static const char *fill_file_system(const char *directory, int out, struct arena *arena)
{
	struct fold_policy policy = lazy_policy();
	struct twin twin = {0};
	uint64_t number = 0;
	struct store *store;
	const char *problem;
	struct error err;

	if (mkdir(directory, 0700) < 0 || unshare(CLONE_NEWNS) < 0 ||
	    mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 ||
	    mount("none", directory, "tmpfs", 0, "size=4m") < 0)
		return "skip";
	if (!store_open_sqlite_with(str_of(directory), S("test.db"), &policy, &store, &err))
		return say(arena, "open: %s", err.text);
	problem = check_full(store, &twin, &number, ENOSPC, arena);
	if (problem)
		return problem;
	if (mount("none", directory, "tmpfs", MS_REMOUNT, "size=64m") < 0)
		return "cannot make room";
	return check_room(directory, store, &twin, number, arena);
}

static const char *fill_file(const char *directory, int out, struct arena *arena)
{
	struct fold_policy policy = lazy_policy();
	struct rlimit limit = {2 << 20, RLIM_INFINITY};
	struct twin twin = {0};
	uint64_t number = 0;
	struct store *store;
	const char *problem;
	struct error err;

	signal(SIGXFSZ, SIG_IGN);
	if (getrlimit(RLIMIT_FSIZE, &limit) < 0)
		return "cannot ask for the limit";
	limit.rlim_cur = 2 << 20;
	if (setrlimit(RLIMIT_FSIZE, &limit) < 0)
		return "cannot set the limit";
	if (!store_open_sqlite_with(str_of(directory), S("test.db"), &policy, &store, &err))
		return say(arena, "open: %s", err.text);
	problem = check_full(store, &twin, &number, EFBIG, arena);
	if (problem)
		return problem;
	limit.rlim_cur = limit.rlim_max;
	if (setrlimit(RLIMIT_FSIZE, &limit) < 0)
		return "cannot make room";
	return check_room(directory, store, &twin, number, arena);
}

static void run_full(const char *(*work)(const char *directory, int out, struct arena *arena))
{
	auto_arena arena = {0};
	char *directory = scratch_make(&arena), bytes[600];
	struct child child = child_start(work, directory);
	struct str said = child_said(&child, bytes, sizeof(bytes));

	scratch_remove(directory);
	if (str_equal(said, S("skip")))
		skip();
	EXPECT_STR(said, S(""));
}

TEST(a_full_file_system_fails_the_append_and_room_heals_it)
{
	run_full(fill_file_system);
}

TEST(a_file_at_its_limit_fails_the_append_and_room_heals_it)
{
	run_full(fill_file);
}
