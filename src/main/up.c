/* wherry up and down: one server and one agent on this machine, kept going.
 *
 * The supervisor starts both, starts again what ends unasked, and is found by RUN/wherry.pid. Its signals: SIGINT
 * and SIGUSR1 end everything with the containers; SIGTERM ends server and agent, containers go on. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include "main/commands.h"
#include "os/fd.h"
#include "os/file.h"
#include "runner/runner.h"

enum {
	READY_SECONDS = 60,                              /* until the first answer */
	DOWN_SECONDS = 120,                              /* until every task has stopped */
	STOP_SECONDS = 15,                               /* for server and agent after SIGTERM */
	START_ATTEMPTS = 10,
	RESTART_MSEC_LIMIT = 5000,
};

extern char **environ;

struct child {
	const char *name;
	pid_t pid;
	int failures;
	usec started, again_at;
};

struct supervisor {
	const struct options *options;
	struct arena *arena;
	struct child server, agent;
	int signals;
	bool stopping;
};

static usec now(void)
{
	struct timespec time;

	clock_gettime(CLOCK_MONOTONIC, &time);
	return (usec)time.tv_sec * USEC_PER_SEC + time.tv_nsec / 1000;
}

static char *path_in(struct arena *arena, struct str folder, const char *name)
{
	return arena_cstr(arena, arena_printf(arena, "%.*s/%s", STR(folder), name));
}

/* ---- children */
static bool start(struct supervisor *self, struct child *child, char *const environment[], const char *more)
{
	const struct options *options = self->options;
	struct arena *arena = self->arena;
	char *arguments[32] = {arena_cstr(arena, arena_printf(arena, "%.*s/wherry-%s", STR(options->programs), child->name))};
	posix_spawnattr_t attributes;
	sigset_t none;
	int count = 1, failed;
	const struct { const char *flag; struct str value; } passed[] = {
		{"--listen", options->listen}, {"--data", options->data}, {"--account", options->account},
		{"--region", options->region}, {"--store", options->store}, {"--tls-certificate", options->certificate},
		{"--tls-key", options->key}, {"--runtime", options->runtime},
		{"--fargate-runtime", options->fargate_runtime}, {"--bridge-cidr", options->bridge_cidr},
		{"--public-cidr", options->public_cidr},
	};

	for (size_t i = 0; i < COUNT(passed); i++)
		if (str_has(passed[i].value)) {
			arguments[count++] = (char *)passed[i].flag;
			arguments[count++] = arena_cstr(arena, passed[i].value);
		}
	if (options->tls)
		arguments[count++] = "--tls";
	if (more)
		arguments[count++] = (char *)more;
	sigemptyset(&none);
	posix_spawnattr_init(&attributes);
	posix_spawnattr_setsigmask(&attributes, &none);
	posix_spawnattr_setpgroup(&attributes, 0);       /* Ctrl-C is the supervisor's alone */
	posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETPGROUP);
	failed = posix_spawn(&child->pid, arguments[0], NULL, &attributes, arguments, environment);
	posix_spawnattr_destroy(&attributes);
	child->started = now();
	child->again_at = 0;
	if (failed) {
		child->pid = 0;
		fprintf(stderr, "wherry: start %s: %s\n", child->name, strerror(failed));
	}
	return !failed;
}

/* This process's environment with some variables more; they come first, so that they count. */
static char **with_variables(struct arena *arena, char *const *more, size_t more_count)
{
	size_t count = 0;
	char **all;

	while (environ[count])
		count++;
	all = arena_array(arena, char *, count + more_count + 1);
	memcpy(all, more, more_count * sizeof(*all));
	memcpy(all + more_count, environ, count * sizeof(*all));
	return all;
}

static bool wait_child(struct child *child, int seconds)
{
	usec until = now() + seconds * USEC_PER_SEC;

	while (child->pid > 0) {
		struct timespec pause = {.tv_nsec = 20 * 1000 * 1000};

		if (waitpid(child->pid, NULL, WNOHANG) == child->pid) {
			child->pid = 0;
			return true;
		}
		if (now() >= until)
			return false;
		nanosleep(&pause, NULL);
	}
	return true;
}

/* Waits until the server has said on the pipe that it answers. */
static bool wait_ready(int fd)
{
	struct pollfd ready = {.fd = fd, .events = POLLIN};
	char url[256];

	while (poll(&ready, 1, READY_SECONDS * 1000) < 0)
		if (errno != EINTR)
			return false;
	return read(fd, url, sizeof(url)) > 0;
}

static bool try_server(struct supervisor *self)
{
	int ready[2];
	char *variable;
	bool ok;

	if (pipe2(ready, O_CLOEXEC) != 0)
		return false;
	fcntl(ready[1], F_SETFD, 0);
	variable = arena_cstr(self->arena, arena_printf(self->arena, "WHERRY_READY_FD=%d", ready[1]));
	ok = start(self, &self->server, with_variables(self->arena, &variable, 1), NULL);
	close(ready[1]);
	ok = ok && wait_ready(ready[0]);
	close(ready[0]);
	return ok;
}

/* A server whose supervisor was killed is just ending: its address and its lock come free. */
static bool start_server_and_wait(struct supervisor *self)
{
	for (int attempt = 0; attempt < START_ATTEMPTS; attempt++) {
		struct timespec pause = {.tv_nsec = 300 * 1000 * 1000};

		if (try_server(self))
			return true;
		wait_child(&self->server, STOP_SECONDS);
		nanosleep(&pause, NULL);
	}
	return false;
}

static char *variable(struct arena *arena, const char *name, struct str value)
{
	return arena_cstr(arena, arena_printf(arena, "%s=%.*s", name, STR(value)));
}

static bool start_agent(struct supervisor *self)
{
	struct arena *arena = self->arena;
	struct str key_id, secret;
	struct error err;
	char *more[6];

	if (!client_read_credentials(arena_printf(arena, "%.*s/agent-credentials", STR(self->options->data)), S("default"), arena,
				     &key_id, &secret, &err)) {
		fprintf(stderr, "wherry: %s\n", err.text);
		return false;
	}
	more[0] = variable(arena, "ECS_BACKEND_HOST", options_endpoint(self->options, arena));
	more[1] = variable(arena, "AWS_DEFAULT_REGION", self->options->region);
	more[2] = variable(arena, "AWS_ACCESS_KEY_ID", key_id);
	more[3] = variable(arena, "AWS_SECRET_ACCESS_KEY", secret);
	more[4] = variable(arena, "AWS_SESSION_TOKEN", STR_NONE);
	more[5] = variable(arena, "WHERRY_FARGATE", S("also"));
	return start(self, &self->agent, with_variables(arena, more, COUNT(more)), NULL);
}

/* ---- ending */
static void stop_child(struct child *child, int signal, int seconds)
{
	if (child->pid <= 0)
		return;
	kill(child->pid, signal);
	if (wait_child(child, seconds))
		return;
	fprintf(stderr, "wherry: %s does not end: killed\n", child->name);
	kill(child->pid, SIGKILL);
	wait_child(child, STOP_SECONDS);
}

static int end(struct supervisor *self, int signal)
{
	self->stopping = true;
	if (signal == SIGTERM)
		stop_child(&self->agent, SIGTERM, STOP_SECONDS);
	else
		stop_child(&self->agent, SIGUSR1, DOWN_SECONDS);
	stop_child(&self->server, SIGTERM, STOP_SECONDS);
	return 0;
}

/* ---- keeping them going */
static void plan_restart(struct child *child, int status)
{
	usec pause;

	child->failures = now() - child->started > 60 * USEC_PER_SEC ? 0 : child->failures + 1;
	pause = MIN((usec)(50 << MIN(child->failures, 7)), (usec)RESTART_MSEC_LIMIT) * USEC_PER_MSEC;
	child->pid = 0;
	child->again_at = now() + pause;
	fprintf(stderr, "wherry: %s ended (%s %d); starting it again in %lld ms\n", child->name,
		WIFSIGNALED(status) ? "signal" : "exit code", WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status),
		(long long)(pause / USEC_PER_MSEC));
}

static bool reap(struct supervisor *self)
{
	int status;
	pid_t pid;

	while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
		if (pid == self->agent.pid && WIFEXITED(status) && WEXITSTATUS(status) == RUNNER_EXIT_TERMINAL) {
			fprintf(stderr, "wherry: the server refused this machine's agent for good\n");
			self->agent.pid = 0;
			return false;
		}
		if (pid == self->server.pid)
			plan_restart(&self->server, status);
		else if (pid == self->agent.pid)
			plan_restart(&self->agent, status);
	}
	return true;
}

static int until_restart(const struct supervisor *self)
{
	usec at = USEC_NEVER, left;

	if (self->server.again_at)
		at = MIN(at, self->server.again_at);
	if (self->agent.again_at)
		at = MIN(at, self->agent.again_at);
	if (at == USEC_NEVER)
		return -1;
	left = at - now();
	return left > 0 ? (int)(left / USEC_PER_MSEC) + 1 : 0;
}

static int supervise(struct supervisor *self)
{
	for (;;) {
		struct pollfd event = {.fd = self->signals, .events = POLLIN};
		struct signalfd_siginfo signal;

		if (poll(&event, 1, until_restart(self)) > 0 && read(self->signals, &signal, sizeof(signal)) == sizeof(signal)) {
			if (signal.ssi_signo != SIGCHLD)
				return end(self, (int)signal.ssi_signo);
			if (!reap(self)) {
				end(self, SIGTERM);
				return RUNNER_EXIT_TERMINAL;
			}
		}
		if (self->server.again_at && now() >= self->server.again_at)
			start(self, &self->server, environ, NULL);
		if (self->agent.again_at && now() >= self->agent.again_at)
			start_agent(self);
	}
}

static int take_signals(void)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGUSR1);
	sigaddset(&set, SIGCHLD);
	sigprocmask(SIG_BLOCK, &set, NULL);
	return signalfd(-1, &set, SFD_CLOEXEC);
}

/* The lock is the truth; the number in the file is for `wherry down` and people. */
static int lock_pid_file(const struct options *options, struct arena *arena, struct error *err)
{
	char *path = path_in(arena, options->run, "wherry.pid");
	int fd;

	if (!folder_make(arena_cstr(arena, options->run), 0755, err) || !folder_make(arena_cstr(arena, options->data), 0700, err))
		return -1;
	fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0644);
	if (fd < 0) {
		fail_os(err, errno, "open %s", path);
		return -1;
	}
	if (flock(fd, LOCK_EX | LOCK_NB) != 0) {
		fail(err, ERROR_REFUSED, "wherry is up already on %.*s (stop it with: wherry down)", STR(options->data));
		close(fd);
		return -1;
	}
	if (ftruncate(fd, 0) != 0 || dprintf(fd, "%d\n", (int)getpid()) < 0) {
		fail_os(err, errno, "write %s", path);
		close(fd);
		return -1;
	}
	return fd;
}

static int run_up(const struct options *options, int announce_fd)
{
	auto_arena arena = {0};
	struct supervisor self = {.options = options, .arena = &arena, .server = {.name = "server"}, .agent = {.name = "agent"}};
	struct error err;
	auto_fd lock = lock_pid_file(options, &arena, &err);
	int code;

	if (lock < 0) {
		fprintf(stderr, "wherry: %s\n", err.text);
		return 1;
	}
	setenv("WHERRY_SUPERVISED", "1", 1);
	self.signals = take_signals();
	if (!start_server_and_wait(&self) || !start_agent(&self)) {
		end(&self, SIGTERM);
		return 1;
	}
	if (announce_fd >= 0 && write(announce_fd, "ready\n", 6) != 6)
		fprintf(stderr, "wherry: nobody waits for the announcement\n");
	code = supervise(&self);
	close(self.signals);
	unlink(path_in(&arena, options->run, "wherry.pid"));
	return code;
}

/* Closes what the caller's program left open: somebody may wait for the end of such a pipe. Gives the new number
 * of `fd`. */
static int keep_only(int fd)
{
	enum { FIRST = STDERR_FILENO + 1 };

	if (fd != FIRST && dup3(fd, FIRST, O_CLOEXEC) < 0)
		return fd;
	close_range(FIRST + 1, ~0U, 0);
	return FIRST;
}

/* In the background: a session of its own, output to DATA/wherry.log; the caller sees whether it got ready. */
static int detach(const struct options *options)
{
	auto_arena arena = {0};
	char *log = path_in(&arena, options->data, "wherry.log");
	struct error err;
	char word[16];
	int ready[2], output;
	pid_t pid;

	if (!folder_make(arena_cstr(&arena, options->data), 0700, &err) || pipe2(ready, O_CLOEXEC) != 0)
		return 1;
	output = open(log, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
	fflush(NULL);
	pid = fork();                            /* before any thread: small and safe */
	if (pid == 0) {
		setsid();
		dup2(open("/dev/null", O_RDONLY | O_CLOEXEC), 0);
		dup2(output, 1);
		dup2(output, 2);
		_exit(run_up(options, keep_only(ready[1])));
	}
	close(output);
	close(ready[1]);
	if (pid < 0 || read(ready[0], word, sizeof(word)) <= 0) {
		fprintf(stderr, "wherry: did not come up; see %s\n", log);
		return 1;
	}
	printf("wherry: ready on %.*s\n", STR(options_endpoint(options, &arena)));
	return 0;
}

int command_up(const struct options *options)
{
	if (geteuid() != 0) {
		fprintf(stderr, "wherry: up runs containers and needs root; `wherry server` alone does not\n");
		return 1;
	}
	return options->detach ? detach(options) : run_up(options, -1);
}

/* ---- down */
static int supervisor_of(const struct options *options, struct arena *arena)
{
	int fd = open(path_in(arena, options->run, "wherry.pid"), O_RDONLY | O_CLOEXEC);
	char text[32] = {0};
	int64_t pid = 0;

	if (fd < 0)
		return 0;
	if (flock(fd, LOCK_SH | LOCK_NB) != 0 && read(fd, text, sizeof(text) - 1) > 0)
		str_to_long(str_trim(str_of(text)), &pid);
	close(fd);
	return (int)pid;
}

/* The lock says whether it runs: its process may wait long for a parent that does not reap it. */
static bool wait_gone(const struct options *options, struct arena *arena, int seconds)
{
	usec until = now() + seconds * USEC_PER_SEC;

	while (supervisor_of(options, arena) > 0) {
		struct timespec pause = {.tv_nsec = 50 * 1000 * 1000};

		if (now() >= until)
			return false;
		nanosleep(&pause, NULL);
	}
	return true;
}

/* What a crash has left: found by name, gone by name. */
static int sweep(const struct options *options, struct arena *arena)
{
	struct supervisor self = {.options = options, .arena = arena};
	struct child sweeper = {.name = "agent"};
	int status;

	if (!start(&self, &sweeper, environ, "--sweep"))
		return 1;
	while (waitpid(sweeper.pid, &status, 0) < 0)
		if (errno != EINTR)
			return 1;
	return WIFEXITED(status) ? WEXITSTATUS(status) : 1;
}

int command_down(const struct options *options)
{
	auto_arena arena = {0};
	int pid = supervisor_of(options, &arena);

	if (pid > 0) {
		kill(pid, SIGUSR1);
		if (!wait_gone(options, &arena, DOWN_SECONDS + 2 * STOP_SECONDS)) {
			fprintf(stderr, "wherry: process %d does not end\n", pid);
			return 1;
		}
	}
	return sweep(options, &arena);
}
