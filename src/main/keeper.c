/* wherry-keeper RUNTIME RUN_FOLDER LOG_FOLDER MEMORY_FOLDER MEMORY_FILE JOIN_FILE...
 *
 * One a task, see host/keeper.h. Nothing but libc, no heap: its memory is what supervision costs. It forks
 * (it is tiny, so that is cheap) a launcher for each run of the OCI runtime (keeper_launch.h). Called docker-init it is
 * a container's first process instead (keeper_init.h). */
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include "host/keeper.h"
#include "main/keeper_init.h"
#include "main/keeper_launch.h"
#include "main/keeper_log.h"

enum {
	READ_BLOCK = 32768,
	FULL_PATIENCE_MSEC = 20,                         /* until a full log is looked at again */
	LISTEN_BACKLOG = 8,
	STRAYS_LIMIT = 256,
};

/* A child that ended while nobody knew whose it is: a runtime may let a container go before it has
 * told its pid. Kept while anything is being launched. */
struct stray {
	pid_t pid;
	int status;
};

enum phase { PHASE_FREE, PHASE_STARTING, PHASE_RUNNING, PHASE_EXITED };

struct stream {
	int fd;                                          /* -1: at its end */
	const char *name;
	size_t len;
	char line[KEEPER_LINE_LIMIT];
};

/* A health check that is under way. */
struct probe {
	pid_t launcher, pid;                             /* 0: none (any more) */
	bool runs, timed_out;
	int fd;                                          /* what it says */
	int64_t deadline, timeout;                       /* microseconds */
	size_t len;
	char said[sizeof((struct keeper_event){0}.text)];        /* the end of it */
};

struct container {
	enum phase phase;
	bool start_wanted;                               /* as soon as the runtime has forgotten the last run */
	pid_t launcher, deleter;                         /* 0: none */
	struct keeper_event what;                        /* name, pid, times, exit code */
	struct log_writer log;
	int root_fd;                                     /* the root file system of the next run; -1: none */
	int input_fd;
	int console_fd;                                  /* where the runtime brings the terminal; -1: not awaited */
	struct probe probe;
	struct stream out, err;
};

static struct keeper {
	const char *run_folder, *log_folder, *memory_folder, *memory_file;
	struct launcher launcher;
	char *const *join_files;
	char join_error[256];                            /* why the keeper is not in its cgroup, or empty */
	int lock_fd, listen_fd, client_fd, signal_fd;
	bool quitting;
	struct stray strays[STRAYS_LIMIT];
	size_t stray_count;
	struct container containers[KEEPER_CONTAINERS_LIMIT];
	char block[READ_BLOCK];
} keeper;

static int64_t now_usec(void)
{
	struct timespec now;

	clock_gettime(CLOCK_REALTIME, &now);
	return now.tv_sec * USEC_PER_SEC + now.tv_nsec / 1000;
}

static void close_fd(int *fd)
{
	if (*fd >= 0)
		close(*fd);
	*fd = -1;
}

/* ---- Streams ---- */

static void stream_take(struct container *container, struct stream *stream, const char *text, size_t len)
{
	while (len > 0) {
		const char *newline = memchr(text, '\n', len);
		size_t piece = newline ? (size_t)(newline - text) : len;
		size_t room = sizeof(stream->line) - stream->len;

		if (piece > room) {
			memcpy(stream->line + stream->len, text, room);
			log_writer_line(&container->log, stream->name, 'P', stream->line, sizeof(stream->line));
			stream->len = 0;
			text += room;
			len -= room;
			continue;
		}
		if (newline && stream->len == 0) {
			log_writer_line(&container->log, stream->name, 'F', text, piece);
		} else {
			memcpy(stream->line + stream->len, text, piece);
			stream->len += piece;
			if (newline) {
				log_writer_line(&container->log, stream->name, 'F', stream->line, stream->len);
				stream->len = 0;
			}
		}
		piece += newline ? 1 : 0;
		text += piece;
		len -= piece;
	}
}

static void stream_end(struct container *container, struct stream *stream)
{
	if (stream->len > 0) {
		log_writer_tick();
		log_writer_line(&container->log, stream->name, 'F', stream->line, stream->len);
		log_writer_flush(&container->log);
	}
	stream->len = 0;
	close_fd(&stream->fd);
}

/* False when there is nothing to read now. */
static bool stream_read(struct container *container, struct stream *stream)
{
	ssize_t got = read(stream->fd, keeper.block, sizeof(keeper.block));

	if (got < 0 && errno != EIO)             /* EIO: nobody has the terminal open any more */
		return errno == EINTR;
	if (got <= 0) {
		stream_end(container, stream);
		return false;
	}
	log_writer_tick();
	stream_take(container, stream, keeper.block, (size_t)got);
	log_writer_flush(&container->log);
	return true;
}

static void stream_drain(struct container *container, struct stream *stream)
{
	while (stream->fd >= 0 && stream_read(container, stream))
		;
	stream_end(container, stream);
}

/* ---- The agent ---- */

static void tell_event(const struct keeper_event *what, enum keeper_event_kind kind, const char *text)
{
	struct keeper_event event = *what;

	event.version = KEEPER_VERSION;
	event.kind = kind;
	if (text)
		snprintf(event.text, sizeof(event.text), "%s", text);
	if (keeper.client_fd >= 0 &&
	    send(keeper.client_fd, &event, sizeof(event), MSG_DONTWAIT | MSG_NOSIGNAL) < 0)
		close_fd(&keeper.client_fd);     /* it asks again when it comes back */
}

static void tell(const struct container *container, enum keeper_event_kind kind, const char *text)
{
	static const struct keeper_event nobody;

	tell_event(container ? &container->what : &nobody, kind, text);
}

static void state_write(const struct container *container)
{
	const struct keeper_event *what = &container->what;
	char path[PATH_MAX], beside[PATH_MAX];
	FILE *file;
	bool ok;

	snprintf(path, sizeof(path), "%s/state", what->container);
	snprintf(beside, sizeof(beside), "%s/state.new", what->container);
	file = fopen(beside, "we");
	if (!file)
		return;
	fprintf(file, "version %d\nphase %s\npid %d\nstarted_at %lld\nfinished_at %lld\nexit_code %d\n"
		"out_of_memory %d\n", KEEPER_VERSION, container->phase == PHASE_EXITED ? "exited" : "running",
		what->pid, (long long)what->started_at, (long long)what->finished_at, what->exit_code,
		what->out_of_memory);
	ok = fclose(file) == 0;
	if (!ok || rename(beside, path) < 0)
		unlink(beside);
}

/* ---- Containers ---- */

static struct container *container_find(const char *name)
{
	for (size_t i = 0; i < KEEPER_CONTAINERS_LIMIT; i++)
		if (keeper.containers[i].phase != PHASE_FREE &&
		    strcmp(keeper.containers[i].what.container, name) == 0)
			return &keeper.containers[i];
	return NULL;
}

static struct container *container_new(const char *name)
{
	for (size_t i = 0; i < KEEPER_CONTAINERS_LIMIT; i++) {
		struct container *container = &keeper.containers[i];

		if (container->phase != PHASE_FREE)
			continue;
		container->phase = PHASE_EXITED;
		snprintf(container->what.container, sizeof(container->what.container), "%s", name);
		container->log.fd = container->input_fd = container->out.fd = container->err.fd = -1;
		container->root_fd = container->console_fd = container->probe.fd = -1;
		container->out.name = "stdout";
		container->err.name = "stderr";
		return container;
	}
	return NULL;
}

/* The runtime forgets the container: its state and cgroup go. */
static void container_forget(struct container *container)
{
	container->deleter = fork();
	if (container->deleter == 0)
		launch_forget(&keeper.launcher, container->what.container);
	if (container->deleter < 0)
		container->deleter = 0;
}

/* Below the working folder, whose own name may be too long for a socket's. */
static const char *console_path(const struct container *container, bool from_anywhere)
{
	static char paths[2][64];
	char *path = paths[from_anywhere];
	int len = from_anywhere ? snprintf(path, sizeof(paths[1]), "/proc/%d/cwd/", (int)getpid()) : 0;

	snprintf(path + len, sizeof(paths[1]) - (size_t)len, ".console-%zu", (size_t)(container - keeper.containers));
	return path;
}

static void console_close(struct container *container)
{
	if (container->console_fd >= 0)
		unlink(console_path(container, false));
	close_fd(&container->console_fd);
}

static bool console_open(struct container *container)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};

	snprintf(address.sun_path, sizeof(address.sun_path), "%s", console_path(container, false));
	unlink(address.sun_path);
	container->console_fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	return container->console_fd >= 0 &&
	       bind(container->console_fd, (struct sockaddr *)&address, sizeof(address)) == 0 &&
	       listen(container->console_fd, 1) == 0;
}

/* As recv; what was passed along becomes ours, or is -1. */
static ssize_t receive(int socket, void *data, size_t size, int flags, int *ret_passed)
{
	char control[CMSG_SPACE(sizeof(int))];
	struct iovec vector = {data, size};
	struct msghdr message = {.msg_iov = &vector, .msg_iovlen = 1, .msg_control = control,
				 .msg_controllen = sizeof(control)};
	ssize_t got = recvmsg(socket, &message, flags | MSG_CMSG_CLOEXEC);
	struct cmsghdr *head = got > 0 ? CMSG_FIRSTHDR(&message) : NULL;

	*ret_passed = -1;
	if (head && head->cmsg_type == SCM_RIGHTS)
		memcpy(ret_passed, CMSG_DATA(head), sizeof(*ret_passed));
	return got;
}

/* The terminal's other end: what the container writes comes out of it, and its input stays open while we hold it. */
static void console_take(struct container *container)
{
	int line = accept4(container->console_fd, NULL, NULL, SOCK_CLOEXEC), master;
	char byte;

	if (line < 0)
		return;
	receive(line, &byte, sizeof(byte), 0, &master);
	close(line);
	console_close(container);
	if (master >= 0 && fcntl(master, F_SETFL, O_NONBLOCK) == 0)
		container->out.fd = master;
	else
		close_fd(&master);
}

static void container_fail(struct container *container, const char *text)
{
	container->phase = PHASE_EXITED;
	console_close(container);
	close_fd(&container->root_fd);
	close_fd(&container->input_fd);
	close_fd(&container->out.fd);
	close_fd(&container->err.fd);
	log_writer_close(&container->log, true);
	tell(container, KEEPER_START_FAILED, text);
}

static bool make_pipe(int ret_ends[2], int keep)
{
	if (pipe2(ret_ends, O_CLOEXEC) < 0) {
		ret_ends[0] = ret_ends[1] = -1;
		return false;
	}
	return fcntl(ret_ends[keep], F_SETFL, O_NONBLOCK) == 0;
}

/* What the container gets as 0, 1, 2; our ends into the container. */
static bool open_streams(struct container *container, const struct launch *want, int given[3])
{
	int ends[2];

	given[0] = open("/dev/null", O_RDONLY | O_CLOEXEC);
	if (want->terminal) {
		given[1] = open("/dev/null", O_WRONLY | O_CLOEXEC);
		given[2] = open("/dev/null", O_WRONLY | O_CLOEXEC);
		log_writer_open(&container->log, keeper.log_folder, container->what.container, want->log);
		return given[0] >= 0 && given[1] >= 0 && given[2] >= 0 && console_open(container);
	}
	if (strcmp(want->input, "open") == 0) {
		close_fd(&given[0]);
		if (!make_pipe(ends, 1))
			return false;
		given[0] = ends[0];
		container->input_fd = ends[1];
	}
	if (strcmp(want->log, "none") == 0) {
		given[1] = open("/dev/null", O_WRONLY | O_CLOEXEC);
		given[2] = open("/dev/null", O_WRONLY | O_CLOEXEC);
		return given[0] >= 0 && given[1] >= 0 && given[2] >= 0;
	}
	for (int i = 1; i <= 2; i++) {
		bool made = make_pipe(ends, 0);

		(i == 1 ? &container->out : &container->err)->fd = ends[0];
		given[i] = ends[1];
		if (!made)
			return false;
	}
	log_writer_open(&container->log, keeper.log_folder, container->what.container, want->log);
	return given[0] >= 0;
}

/* What the last run left, lest it be taken for this one's. */
static void forget_files(const char *name)
{
	char path[PATH_MAX];

	snprintf(path, sizeof(path), "%s/runtime.log", name);
	unlink(path);
	snprintf(path, sizeof(path), "%s/pid", name);
	unlink(path);
}

static void container_launch(struct container *container)
{
	/* Too large for a stack; read again by the child, which has a copy of its own. */
	static char text[LAUNCH_LIMIT];
	const char *console = console_path(container, true);
	int given[3] = {-1, -1, -1};
	struct launch want;

	container->start_wanted = false;
	if (!launch_read(container->what.container, text, sizeof(text), &want)) {
		container_fail(container, "the launch file cannot be read");
		return;
	}
	forget_files(container->what.container);
	if (open_streams(container, &want, given)) {
		container->phase = PHASE_STARTING;
		container->launcher = fork();
		if (container->launcher == 0)
			launch_container(&keeper.launcher, container->what.container, container->root_fd, given,
					 want.terminal ? console : NULL);
		close_fd(&container->root_fd);
	}
	for (int i = 0; i < 3; i++)
		close_fd(&given[i]);
	if (container->phase != PHASE_STARTING || container->launcher < 0) {
		container->launcher = 0;
		container_fail(container, strerror(errno));
	}
}

/* Takes `root`. */
static void container_start(const char *name, int *root)
{
	struct container *container = container_find(name);
	struct container unknown = {.what = {.pid = 0}};

	if (container && container->phase == PHASE_RUNNING) {
		tell(container, KEEPER_STARTED, NULL);
		return;
	}
	if (container && container->phase == PHASE_STARTING)
		return;
	if (!container)
		container = container_new(name);
	if (!container) {
		snprintf(unknown.what.container, sizeof(unknown.what.container), "%s", name);
		tell(&unknown, KEEPER_START_FAILED, "too many containers in one task");
		return;
	}
	close_fd(&container->root_fd);
	container->root_fd = *root;
	*root = -1;
	if (keeper.join_error[0] != '\0')
		container_fail(container, keeper.join_error);
	else if (container->deleter)
		container->start_wanted = true;
	else
		container_launch(container);
}

static pid_t read_pid(const char *name, const char *file_name)
{
	char path[PATH_MAX];
	FILE *file;
	int pid = 0;

	snprintf(path, sizeof(path), "%s/%s", name, file_name);
	file = fopen(path, "re");
	if (!file)
		return 0;
	if (fscanf(file, "%d", &pid) != 1)
		pid = 0;
	fclose(file);
	return pid;
}

/* crun's text log: "2026-11-21T10:00:00.123456Z: what it says". The last line is the reason. */
static const char *runtime_said(const char *name)
{
	static char text[1024];
	char path[PATH_MAX], *said;
	ssize_t got = -1;
	int fd;

	snprintf(path, sizeof(path), "%s/runtime.log", name);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd >= 0) {
		off_t size = lseek(fd, 0, SEEK_END);

		got = pread(fd, text, sizeof(text) - 1, size < (off_t)sizeof(text) ? 0 : size - (off_t)sizeof(text) + 1);
		close(fd);
	}
	if (got <= 0)
		return "the runtime failed and did not say why";
	while (got > 0 && text[got - 1] == '\n')
		got--;
	text[got] = '\0';
	said = strrchr(text, '\n') ? strrchr(text, '\n') + 1 : text;
	if (strncmp(said, "20", 2) == 0 && strstr(said, "Z: "))
		said = strstr(said, "Z: ") + 3;
	return said;
}

static void container_ended(struct container *container, int status);

/* Has it ended already? */
static bool claim_stray(pid_t pid, int *ret_status)
{
	for (size_t i = 0; i < keeper.stray_count; i++)
		if (keeper.strays[i].pid == pid) {
			*ret_status = keeper.strays[i].status;
			keeper.strays[i] = keeper.strays[--keeper.stray_count];
			return true;
		}
	return false;
}

static void launcher_ended(struct container *container, int status)
{
	struct keeper_event *what = &container->what;

	container->launcher = 0;
	if (container->console_fd >= 0)
		console_take(container);
	console_close(container);
	what->pid = WIFEXITED(status) && WEXITSTATUS(status) == 0 ? read_pid(what->container, "pid") : 0;
	if (what->pid <= 0) {
		container_fail(container, runtime_said(what->container));
		container_forget(container);
		return;
	}
	container->phase = PHASE_RUNNING;
	what->started_at = now_usec();
	what->finished_at = 0;
	what->exit_code = what->out_of_memory = 0;
	state_write(container);
	tell(container, KEEPER_STARTED, NULL);
	if (claim_stray(what->pid, &status))
		container_ended(container, status);
}

static bool saw_oom(const char *name)
{
	char path[PATH_MAX], line[128];
	unsigned long count = 0;
	FILE *file;

	snprintf(path, sizeof(path), "%s/%s/%s", keeper.memory_folder, name, keeper.memory_file);
	file = fopen(path, "re");
	if (!file)
		return false;
	while (fgets(line, sizeof(line), file))
		if (sscanf(line, "oom_kill %lu", &count) == 1)
			break;
	fclose(file);
	return count > 0;
}

static void container_ended(struct container *container, int status)
{
	struct keeper_event *what = &container->what;

	what->finished_at = now_usec();
	what->exit_code = WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
	what->out_of_memory = saw_oom(what->container);
	stream_drain(container, &container->out);
	stream_drain(container, &container->err);
	log_writer_close(&container->log, true);
	close_fd(&container->input_fd);
	container->phase = PHASE_EXITED;
	state_write(container);
	tell(container, KEEPER_EXITED, NULL);
	container_forget(container);
}

static void deleter_ended(struct container *container)
{
	container->deleter = 0;
	if (container->start_wanted)
		container_launch(container);
}

/* ---- Health checks ---- */

static void probe_read(struct probe *probe)
{
	for (;;) {
		ssize_t got = read(probe->fd, keeper.block, sizeof(keeper.block));
		size_t room = sizeof(probe->said) - 1, len = got > 0 ? (size_t)got : 0;
		const char *from = keeper.block;

		if (got <= 0) {
			if (got == 0 || (errno != EAGAIN && errno != EINTR))
				close_fd(&probe->fd);
			return;
		}
		if (len > room) {
			from += len - room;
			len = room;
		}
		if (probe->len + len > room) {
			memmove(probe->said, probe->said + probe->len + len - room, room - len);
			probe->len = room - len;
		}
		memcpy(probe->said + probe->len, from, len);
		probe->len += len;
	}
}

/* ok: exit code 0 in time. Whatever still holds the pipe may write to nobody. */
static void probe_ended(struct container *container, int status)
{
	struct probe *probe = &container->probe;
	struct keeper_event what = container->what;

	if (probe->fd >= 0)
		probe_read(probe);
	close_fd(&probe->fd);
	probe->said[probe->len] = '\0';
	what.exit_code = WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
	if (probe->timed_out) {
		what.exit_code = -1;
		snprintf(probe->said, sizeof(probe->said), "Health check exceeded timeout (%llds)",
			 (long long)(probe->timeout / USEC_PER_SEC));
	}
	tell_event(&what, KEEPER_PROBED, probe->said);
	*probe = (struct probe){.fd = -1};
}

static void probe_start(struct container *container, int64_t timeout)
{
	struct probe *probe = &container->probe;
	char path[PATH_MAX];
	int ends[2];

	if (probe->runs)
		return;                          /* its answer will be this one's, too */
	*probe = (struct probe){.fd = -1, .runs = true, .timeout = timeout, .deadline = now_usec() + timeout};
	snprintf(path, sizeof(path), "%s/probe.pid", container->what.container);
	unlink(path);
	if (make_pipe(ends, 0)) {
		probe->fd = ends[0];
		probe->launcher = fork();
		if (probe->launcher == 0)
			launch_probe(&keeper.launcher, container->what.container, ends[1]);
		close_fd(&ends[1]);
	}
	if (probe->launcher <= 0) {
		probe->launcher = 0;
		probe_ended(container, 127 << 8);
	}
}

static void probe_launched(struct container *container, int status)
{
	struct probe *probe = &container->probe;

	probe->launcher = 0;
	probe->pid = WIFEXITED(status) && WEXITSTATUS(status) == 0 ? read_pid(container->what.container, "probe.pid") : 0;
	if (probe->pid <= 0)
		probe_ended(container, 127 << 8);
	else if (claim_stray(probe->pid, &status))
		probe_ended(container, status);
	else if (probe->timed_out)
		kill(-probe->pid, SIGKILL);
}

/* The check leads a process group of its own. */
static void probe_kill(struct probe *probe)
{
	probe->timed_out = true;
	if (probe->pid > 0 && kill(-probe->pid, SIGKILL) < 0)
		kill(probe->pid, SIGKILL);
}

/* Milliseconds until the next one has had its time; -1: none. */
static int probes_watch(void)
{
	int64_t now = now_usec(), least = -1;

	for (size_t i = 0; i < KEEPER_CONTAINERS_LIMIT; i++) {
		struct probe *probe = &keeper.containers[i].probe;

		if (!probe->runs || probe->timed_out)
			continue;
		if (probe->deadline <= now)
			probe_kill(probe);
		else if (least < 0 || probe->deadline - now < least)
			least = probe->deadline - now;
	}
	return least < 0 ? -1 : (int)((least + USEC_PER_MSEC - 1) / USEC_PER_MSEC);
}

/* ---- Children ---- */

/* False when `pid` is none that we know. */
static bool child_ended(pid_t pid, int status)
{
	for (size_t i = 0; i < KEEPER_CONTAINERS_LIMIT; i++) {
		struct container *container = &keeper.containers[i];

		if (container->launcher == pid)
			launcher_ended(container, status);
		else if (container->deleter == pid)
			deleter_ended(container);
		else if (container->probe.launcher == pid)
			probe_launched(container, status);
		else if (container->probe.pid == pid)
			probe_ended(container, status);
		else if (container->phase == PHASE_RUNNING && container->what.pid == pid)
			container_ended(container, status);
		else
			continue;
		return true;
	}
	return false;
}

static bool is_launching(void)
{
	for (size_t i = 0; i < KEEPER_CONTAINERS_LIMIT; i++)
		if (keeper.containers[i].launcher > 0 || keeper.containers[i].probe.launcher > 0)
			return true;
	return false;
}

/* What nobody claims was left by a container without a pid namespace. */
static void reap(void)
{
	int status;
	pid_t pid;

	while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
		if (child_ended(pid, status))
			continue;
		if (is_launching() && keeper.stray_count < STRAYS_LIMIT)
			keeper.strays[keeper.stray_count++] = (struct stray){pid, status};
	}
	if (!is_launching())
		keeper.stray_count = 0;
}

/* ---- Requests ---- */

static void list(void)
{
	for (size_t i = 0; i < KEEPER_CONTAINERS_LIMIT; i++) {
		struct container *container = &keeper.containers[i];

		if (container->phase == PHASE_RUNNING)
			tell(container, KEEPER_IS_RUNNING, NULL);
		else if (container->phase == PHASE_EXITED && container->what.finished_at > 0)
			tell(container, KEEPER_HAS_EXITED, NULL);
	}
	tell(NULL, KEEPER_LISTED, NULL);
}

/* Names become paths: the agent has checked them, and so do we. */
static bool name_is_good(const char *name)
{
	return name[0] != '\0' && name[0] != '.' && !strchr(name, '/');
}

static void serve(const struct keeper_request *request, int *passed)
{
	struct container *container;

	switch (request->kind) {
	case KEEPER_START:
		if (name_is_good(request->container))
			container_start(request->container, passed);
		break;
	case KEEPER_SIGNAL:
		container = container_find(request->container);
		if (container && container->phase == PHASE_RUNNING)
			kill(container->what.pid, request->signal);
		break;
	case KEEPER_PROBE:
		container = container_find(request->container);
		if (container && container->phase == PHASE_RUNNING)
			probe_start(container, request->timeout);
		else if (container)
			tell(container, KEEPER_PROBED, "the container does not run");
		break;
	case KEEPER_LIST: list(); break;
	case KEEPER_QUIT: keeper.quitting = true; break;
	default: break;
	}
}

static void client_read(void)
{
	struct keeper_request request;
	int passed;
	ssize_t got = receive(keeper.client_fd, &request, sizeof(request), MSG_DONTWAIT, &passed);

	if (got < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	request.container[KEEPER_NAME_LIMIT] = '\0';
	if (got == sizeof(request) && request.version == KEEPER_VERSION)
		serve(&request, &passed);
	else
		close_fd(&keeper.client_fd);
	close_fd(&passed);
}

static void client_accept(void)
{
	int fd = accept4(keeper.listen_fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

	if (fd < 0)
		return;
	close_fd(&keeper.client_fd);
	keeper.client_fd = fd;
}

/* ---- The loop ---- */

static bool is_done(void)
{
	if (!keeper.quitting)
		return false;
	for (size_t i = 0; i < KEEPER_CONTAINERS_LIMIT; i++) {
		const struct container *container = &keeper.containers[i];

		if (container->deleter || container->phase == PHASE_STARTING ||
		    container->phase == PHASE_RUNNING)
			return false;
	}
	return true;
}

static void streams_poll(void)
{
	struct pollfd polls[3 + 4 * KEEPER_CONTAINERS_LIMIT];
	struct { struct container *container; struct stream *stream; } whose[COUNT(polls)];
	size_t count = 3;
	int patience = probes_watch();

	polls[0] = (struct pollfd){.fd = keeper.signal_fd, .events = POLLIN};
	polls[1] = (struct pollfd){.fd = keeper.listen_fd, .events = POLLIN};
	polls[2] = (struct pollfd){.fd = keeper.client_fd, .events = POLLIN};
	for (size_t i = 0; i < 2 * KEEPER_CONTAINERS_LIMIT; i++) {
		struct container *container = &keeper.containers[i / 2];
		struct stream *stream = i % 2 ? &container->err : &container->out;

		if (container->phase == PHASE_FREE || stream->fd < 0)
			continue;
		if (log_writer_is_full(&container->log)) {
			patience = patience < 0 ? FULL_PATIENCE_MSEC : MIN(patience, FULL_PATIENCE_MSEC);
			continue;
		}
		whose[count].container = container;
		whose[count].stream = stream;
		polls[count++] = (struct pollfd){.fd = stream->fd, .events = POLLIN};
	}
	for (size_t i = 0; i < KEEPER_CONTAINERS_LIMIT; i++) {
		struct container *container = &keeper.containers[i];

		whose[count].container = whose[count + 1].container = container;
		whose[count].stream = whose[count + 1].stream = NULL;
		if (container->phase != PHASE_FREE && container->console_fd >= 0)
			polls[count++] = (struct pollfd){.fd = container->console_fd, .events = POLLIN};
		if (container->probe.runs && container->probe.fd >= 0)
			polls[count++] = (struct pollfd){.fd = container->probe.fd, .events = POLLIN};
	}
	if (poll(polls, count, patience) < 0)
		return;
	for (size_t i = 3; i < count; i++) {
		if (!polls[i].revents)
			continue;
		if (whose[i].stream)
			stream_read(whose[i].container, whose[i].stream);
		else if (polls[i].fd == whose[i].container->console_fd)
			console_take(whose[i].container);
		else
			probe_read(&whose[i].container->probe);
	}
	if (polls[2].revents)
		client_read();
	if (polls[1].revents)
		client_accept();
	if (polls[0].revents) {
		struct signalfd_siginfo info;

		while (read(keeper.signal_fd, &info, sizeof(info)) == sizeof(info))
			;
		reap();
	}
}

static void join(void)
{
	for (char *const *file = keeper.join_files; *file; file++) {
		int fd = open(*file, O_WRONLY | O_CLOEXEC);

		if (fd < 0 || write(fd, "0", 1) < 0)
			snprintf(keeper.join_error, sizeof(keeper.join_error), "join cgroup '%s': %s", *file,
				 strerror(errno));
		close_fd(&fd);
	}
}

static void write_text(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC);

	if (fd >= 0 && write(fd, text, strlen(text)) < 0)
		fprintf(stderr, "wherry-keeper: write '%s': %s\n", path, strerror(errno));
	close_fd(&fd);
}

static bool complain(const char *what)
{
	fprintf(stderr, "%s: %s\n", what, strerror(errno));
	return false;
}

static bool open_all(void)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX, .sun_path = "keeper.sock"};
	sigset_t child;

	keeper.lock_fd = open("keeper.pid", O_RDWR | O_CREAT | O_CLOEXEC, 0640);
	if (keeper.lock_fd < 0)
		return complain("open keeper.pid");
	if (flock(keeper.lock_fd, LOCK_EX | LOCK_NB) < 0)
		exit(KEEPER_EXIT_RUNS_ALREADY);
	unlink(address.sun_path);
	keeper.listen_fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (keeper.listen_fd < 0 || bind(keeper.listen_fd, (struct sockaddr *)&address, sizeof(address)) < 0 ||
	    chmod(address.sun_path, 0600) < 0 || listen(keeper.listen_fd, LISTEN_BACKLOG) < 0)
		return complain("listen on keeper.sock");
	sigemptyset(&child);
	sigaddset(&child, SIGCHLD);
	sigprocmask(SIG_BLOCK, &child, NULL);
	keeper.signal_fd = signalfd(-1, &child, SFD_CLOEXEC | SFD_NONBLOCK);
	return keeper.signal_fd >= 0 || complain("watch children");
}

static void become_keeper(void)
{
	setsid();
	signal(SIGHUP, SIG_IGN);
	signal(SIGINT, SIG_IGN);
	signal(SIGTERM, SIG_IGN);
	signal(SIGPIPE, SIG_IGN);
	prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0);
	umask(022);
	if (ftruncate(keeper.lock_fd, 0) == 0)
		dprintf(keeper.lock_fd, "%d\n", getpid());
	join();
	/* Shares the task's memory limit, and must outlive what the kernel kills for it. */
	write_text("/proc/self/oom_score_adj", "-999");
	dup2(0, 2);
	if (keeper.join_error[0] == '\0' && !launcher_open(&keeper.launcher))
		snprintf(keeper.join_error, sizeof(keeper.join_error), "make the task's namespaces: %s", strerror(errno));
}

/* The agent looks at what a task's containers share as soon as we have ended; of a task that shares nothing it does not,
 * and need not wait until the keeper is in its cgroup. */
static int wait_until_ready(int ready[2])
{
	char byte;

	close_fd(&ready[1]);
	while (access(".task", F_OK) == 0 && read(ready[0], &byte, 1) < 0 && errno == EINTR)
		;
	return 0;
}

int main(int count, char **arguments)
{
	int ready[2];

	if (strcmp(arguments[0], "/sbin/docker-init") == 0)
		return keeper_init(arguments);
	if (count < 7) {
		fputs("usage: wherry-keeper RUNTIME RUN_FOLDER LOG_FOLDER MEMORY_FOLDER MEMORY_FILE "
		      "JOIN_FILE...\n", stderr);
		return 2;
	}
	close_range(3, ~0U, 0);                  /* what an agent was given by its shell is nothing to live on */
	keeper.launcher.runtime = arguments[1];
	keeper.run_folder = keeper.launcher.run_folder = arguments[2];
	keeper.log_folder = arguments[3];
	keeper.memory_folder = arguments[4];
	keeper.memory_file = arguments[5];
	keeper.join_files = arguments + 6;
	keeper.client_fd = -1;
	if (chdir(keeper.run_folder) < 0)
		return !complain("enter the run folder");
	if (!open_all())
		return 1;
	if (pipe2(ready, O_CLOEXEC) < 0)
		return !complain("make a pipe");
	switch (fork()) {
	case -1: return !complain("fork");
	case 0: break;
	default: return wait_until_ready(ready);
	}
	close_fd(&ready[0]);
	become_keeper();
	close_fd(&ready[1]);
	while (!is_done())
		streams_poll();
	launcher_close(&keeper.launcher);
	unlink("keeper.sock");
	unlink("keeper.pid");
	return 0;
}
