#include "host/cgroup.h"
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>
#include "host/cgroup_warm.h"
#include "os/clock.h"
#include "os/file.h"
#include "os/process.h"
#include "test/test.h"

#define NAME "00000000000000007e57c64009000001"

static bool may(void)
{
	if (geteuid() == 0 && cgroup_mode() != CGROUP_NONE)
		return true;
	print_message("needs root and a cgroup hierarchy\n");
	return false;
}

TEST(a_group_is_made_twice_limited_joined_killed_and_removed)
{
	struct cgroup_limits limits = {.cpu_units = 512, .memory_bytes = 64 << 20, .pids = 100};
	char *const sleeper[] = {"/bin/sleep", "100", NULL};
	struct cgroup_usage usage;
	struct error err = {0};
	pid_t pid;
	int code;

	if (!may())
		skip();
	if (!cgroup_create(S(NAME), &limits, &err) || !cgroup_create(S(NAME), &limits, &err))
		fail_msg("%s", err.text);
	assert_true(process_spawn(sleeper, -1, &pid, &err));
	if (!cgroup_join(S(NAME), pid, &err) || !cgroup_read_usage(S(NAME), &usage, &err))
		fail_msg("%s", err.text);
	assert_false(cgroup_saw_oom(S(NAME)));
	/* Members die at once, but a member that nobody waits for keeps its group. */
	kill(pid, 0);
	assert_int_equal(waitpid(pid, NULL, WNOHANG), 0);
	if (fork() == 0)
		_exit(cgroup_kill(S(NAME), NULL) ? 0 : 1);
	assert_true(process_wait(pid, 10 * USEC_PER_SEC, &code, &err));
	assert_int_equal(code, 137);
	assert_true(wait(&code) > 0);
	assert_int_equal(code, 0);
	if (!cgroup_remove(S(NAME), &err) || !cgroup_remove(S(NAME), &err))
		fail_msg("%s", err.text);
	assert_false(cgroup_read_usage(S(NAME), &usage, &err));
	assert_int_equal(err.code, ERROR_NOT_FOUND);
	cgroup_tidy();
}

static bool is_member(struct str procs, int pid)
{
	struct str line;
	int64_t number;

	while (str_cut(&procs, '\n', &line))
		if (str_to_long(line, &number) && number == pid)
			return true;
	return false;
}

/* Of all threads of this process, which has no other that writes. */
static int64_t count_writes(void)
{
	auto_arena arena = {0};
	struct str text, line;
	int64_t count = -1;

	assert_true(file_read(AT_FDCWD, "/proc/self/io", FILE_READ_LIMIT, &arena, &text, NULL));
	while (str_cut(&text, '\n', &line))
		if (str_starts(line, S("syscw: ")))
			assert_true(str_to_long(str_slice(line, 7, line.len), &count));
	return count;
}

TEST(keeping_moves_cheap_moves_nobody)
{
	struct cgroup_warmer *warmer = cgroup_warmer_new();
	auto_arena arena = {0};
	struct str before, after, file, procs = STR_NONE;
	usec give_up = clock_monotonic() + 30 * USEC_PER_SEC;
	int64_t written;
	struct error err = {0};

	if (!may()) {
		cgroup_warmer_free(warmer);
		skip();
	}
	assert_non_null(warmer);
	assert_true(file_read(AT_FDCWD, "/proc/self/cgroup", FILE_READ_LIMIT, &arena, &before, &err));
	written = count_writes();
	cgroup_warmer_ask(warmer);
	/* It goes on only after a move that was taken. */
	while (count_writes() < written + 3 && clock_monotonic() < give_up)
		clock_sleep(USEC_PER_MSEC);
	assert_true(count_writes() >= written + 3);
	cgroup_warmer_free(warmer);
	assert_true(file_read(AT_FDCWD, "/proc/self/cgroup", FILE_READ_LIMIT, &arena, &after, &err));
	EXPECT_STR(after, before);
	if (!cgroup_own_file(&arena, &file, &err) ||
	    !file_read(AT_FDCWD, arena_cstr(&arena, file), FILE_READ_LIMIT, &arena, &procs, &err))
		fail_msg("%s", err.text);
	assert_true(is_member(procs, getpid()));
}
