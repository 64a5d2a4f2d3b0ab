#include "os/process.h"
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include "os/fd.h"

extern char **environ;

static int spawn(char *const argv[], int error_fd, pid_t *ret_pid)
{
	posix_spawn_file_actions_t files;
	posix_spawnattr_t attributes;
	sigset_t none, all;
	int failed;

	sigemptyset(&none);
	sigfillset(&all);
	posix_spawn_file_actions_init(&files);
	posix_spawn_file_actions_addopen(&files, 0, "/dev/null", O_RDONLY, 0);
	posix_spawn_file_actions_addopen(&files, 1, "/dev/null", O_WRONLY, 0);
	posix_spawn_file_actions_adddup2(&files, error_fd < 0 ? 1 : error_fd, 2);
	posix_spawnattr_init(&attributes);
	posix_spawnattr_setsigmask(&attributes, &none);
	posix_spawnattr_setsigdefault(&attributes, &all);
	posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSID | POSIX_SPAWN_SETSIGMASK |
						      POSIX_SPAWN_SETSIGDEF);
	failed = posix_spawn(ret_pid, argv[0], &files, &attributes, argv, environ);
	posix_spawnattr_destroy(&attributes);
	posix_spawn_file_actions_destroy(&files);
	return failed;
}

bool process_spawn(char *const argv[], int error_fd, pid_t *ret_pid, struct error *err)
{
	int failed = spawn(argv, error_fd, ret_pid);

	return failed == 0 || fail_os(err, failed, "start '%s'", argv[0]);
}

bool process_wait(pid_t pid, usec timeout, int *ret_code, struct error *err)
{
	auto_fd fd = (int)syscall(SYS_pidfd_open, pid, 0);
	struct pollfd poller = {.fd = fd, .events = POLLIN};
	int status, ready;

	if (fd < 0)
		return fail_os(err, errno, "watch process %d", pid);
	do {
		ready = poll(&poller, 1, (int)(timeout / USEC_PER_MSEC));
	} while (ready < 0 && errno == EINTR);
	if (ready <= 0)
		kill(pid, SIGKILL);
	if (waitpid(pid, &status, 0) < 0)
		return fail_os(err, errno, "wait for process %d", pid);
	if (ready <= 0)
		return fail(err, ERROR_REFUSED, "process %d did not end in time", pid);
	*ret_code = WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
	return true;
}

void process_end_with_parent(void)
{
	if (!getenv("WHERRY_SUPERVISED"))
		return;
	prctl(PR_SET_PDEATHSIG, SIGTERM);
	if (getppid() == 1)                              /* it went before we could say so */
		raise(SIGTERM);
}

unsigned long process_raise_descriptors(void)
{
	struct rlimit limit = {0};

	getrlimit(RLIMIT_NOFILE, &limit);
	limit.rlim_cur = limit.rlim_max;
	setrlimit(RLIMIT_NOFILE, &limit);
	getrlimit(RLIMIT_NOFILE, &limit);
	return limit.rlim_cur;
}
