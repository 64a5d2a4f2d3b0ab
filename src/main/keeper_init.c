#include "main/keeper_init.h"
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/wait.h>
#include <unistd.h>

/* Signals that say something of this process alone. */
static const int own_signals[] = {SIGCHLD, SIGFPE, SIGILL, SIGSEGV, SIGBUS, SIGABRT, SIGTRAP, SIGSYS, SIGTTIN, SIGTTOU};

static void run(char *const *program, const sigset_t *before)
{
	/* Own process group, in the foreground when there is a terminal: as a shell starts it. */
	setpgid(0, 0);
	if (tcsetpgrp(0, getpgrp()) < 0)
		errno = 0;
	sigprocmask(SIG_SETMASK, before, NULL);
	signal(SIGTTOU, SIG_DFL);
	execvp(program[0], program);
	fprintf(stderr, "docker-init: exec %s: %s\n", program[0], strerror(errno));
	_exit(errno == ENOENT ? 127 : 126);
}

/* Whether the program has ended, how. */
static int reap(pid_t program, int *ret_code)
{
	int status, ended = 0;
	pid_t pid;

	while ((pid = waitpid(-1, &status, WNOHANG)) > 0)
		if (pid == program) {
			*ret_code = WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
			ended = 1;
		}
	return ended;
}

int keeper_init(char *const *arguments)
{
	sigset_t all, before;
	int signal_number, code = 0;
	pid_t program;

	if (arguments[1] && strcmp(arguments[1], "--") == 0)
		arguments++;
	if (!arguments[1]) {
		fputs("docker-init: no program\n", stderr);
		return 127;
	}
	sigfillset(&all);
	for (size_t i = 0; i < sizeof(own_signals) / sizeof(*own_signals); i++)
		if (own_signals[i] != SIGCHLD)
			sigdelset(&all, own_signals[i]);
	signal(SIGTTOU, SIG_IGN);
	sigprocmask(SIG_SETMASK, &all, &before);
	program = fork();
	if (program == 0)
		run(arguments + 1, &before);
	if (program < 0)
		return 127;
	while (sigwait(&all, &signal_number) == 0) {
		if (signal_number != SIGCHLD)
			kill(program, signal_number);
		else if (reap(program, &code))
			return code;
	}
	return 127;
}
