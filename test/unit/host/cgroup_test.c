#include "host/cgroup.h"
#include <signal.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>
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
