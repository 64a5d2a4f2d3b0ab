/* wherry-keeper RUNTIME RUN_FOLDER LOG_FOLDER MEMORY_FOLDER MEMORY_FILE JOIN_FILE...
 *
 * One a task, see host/keeper.h. Nothing but libc, no heap: its memory is what supervision costs. It forks
 * (it is tiny, so that is cheap) a launcher for each run of the OCI runtime; the launcher takes a mount
 * namespace of its own, mounts the container's overlay in it and becomes the runtime. */
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/vfs.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include <linux/magic.h>
#include "host/keeper.h"
#include "os/overlay.h"

enum {
	READ_BLOCK = 32768,
	LOG_BLOCK = 65536,
	LOG_HEAD = 48,                                   /* "2026-11-21T10:00:00.123456789Z stdout F " and newline */
	LAUNCH_LIMIT = 256 << 10,                        /* bytes of a launch file */
	EXIT_IS_RUNNING_ALREADY = 3,
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

struct container {
	enum phase phase;
	bool start_wanted;                               /* as soon as the runtime has forgotten the last run */
	pid_t launcher, deleter;                         /* 0: none */
	struct keeper_event what;                        /* name, pid, times, exit code */
	int log_fd, input_fd;
	off_t log_size;
	struct stream out, err;
};

static struct keeper {
	const char *runtime, *run_folder, *log_folder, *memory_folder, *memory_file;
	char *const *join_files;
	char join_error[256];                            /* why the keeper is not in its cgroup, or empty */
	int lock_fd, listen_fd, client_fd, signal_fd;
	bool quitting;
	struct stray strays[STRAYS_LIMIT];
	size_t stray_count;
	struct container containers[KEEPER_CONTAINERS_LIMIT];
	char block[READ_BLOCK];
	char log[LOG_BLOCK];
	size_t log_len;
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

/* ---- Logs ---- */

static void log_open(struct container *container)
{
	char path[PATH_MAX];
	struct stat status;

	if (snprintf(path, sizeof(path), "%s/%s.log", keeper.log_folder, container->what.container) >=
	    (int)sizeof(path))
		return;
	container->log_fd = open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0640);
	if (container->log_fd >= 0 && fstat(container->log_fd, &status) == 0)
		container->log_size = status.st_size;
}

static void log_turn(struct container *container)
{
	char path[PATH_MAX], old[PATH_MAX];

	close_fd(&container->log_fd);
	if (snprintf(path, sizeof(path), "%s/%s.log", keeper.log_folder, container->what.container) <
		    (int)sizeof(path) &&
	    snprintf(old, sizeof(old), "%s/%s.log.1", keeper.log_folder, container->what.container) <
		    (int)sizeof(old))
		rename(path, old);
	container->log_size = 0;
	log_open(container);
}

/* A full disk loses lines rather than stop the container. */
static void log_flush(struct container *container)
{
	size_t done = 0;

	if (container->log_size > 0 && container->log_size + (off_t)keeper.log_len > KEEPER_LOG_LIMIT)
		log_turn(container);
	while (done < keeper.log_len && container->log_fd >= 0) {
		ssize_t put = write(container->log_fd, keeper.log + done, keeper.log_len - done);

		if (put < 0 && errno == EINTR)
			continue;
		if (put < 0)
			break;
		done += (size_t)put;
	}
	container->log_size += (off_t)done;
	keeper.log_len = 0;
}

/* One time a block is enough; the second's text is kept. */
static const char *log_time(bool again)
{
	static struct timespec now;
	static time_t formatted;
	static char text[40];
	struct tm parts;

	if (!again)
		return text;
	clock_gettime(CLOCK_REALTIME, &now);
	if (now.tv_sec != formatted || text[0] == '\0') {
		gmtime_r(&now.tv_sec, &parts);
		strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%S.", &parts);
		formatted = now.tv_sec;
	}
	snprintf(text + 20, sizeof(text) - 20, "%09ldZ", now.tv_nsec);
	return text;
}

static void log_line(struct container *container, const char *stream, char part, const char *text, size_t len)
{
	char *end;

	if (keeper.log_len + LOG_HEAD + len > sizeof(keeper.log))
		log_flush(container);
	end = keeper.log + keeper.log_len;
	memcpy(end, log_time(false), 30);
	end[30] = ' ';
	memcpy(end + 31, stream, 6);
	memcpy(end + 37, part == 'F' ? " F " : " P ", 3);
	memcpy(end + 40, text, len);
	end[40 + len] = '\n';
	keeper.log_len += 41 + len;
}

static void stream_take(struct container *container, struct stream *stream, const char *text, size_t len)
{
	while (len > 0) {
		const char *newline = memchr(text, '\n', len);
		size_t piece = newline ? (size_t)(newline - text) : len;
		size_t room = sizeof(stream->line) - stream->len;

		if (piece > room) {
			memcpy(stream->line + stream->len, text, room);
			log_line(container, stream->name, 'P', stream->line, sizeof(stream->line));
			stream->len = 0;
			text += room;
			len -= room;
			continue;
		}
		if (newline && stream->len == 0) {
			log_line(container, stream->name, 'F', text, piece);
		} else {
			memcpy(stream->line + stream->len, text, piece);
			stream->len += piece;
			if (newline) {
				log_line(container, stream->name, 'F', stream->line, stream->len);
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
		log_time(true);
		log_line(container, stream->name, 'F', stream->line, stream->len);
		log_flush(container);
	}
	stream->len = 0;
	close_fd(&stream->fd);
}

/* False when there is nothing to read now. */
static bool stream_read(struct container *container, struct stream *stream)
{
	ssize_t got = read(stream->fd, keeper.block, sizeof(keeper.block));

	if (got < 0)
		return errno == EINTR;
	if (got == 0) {
		stream_end(container, stream);
		return false;
	}
	log_time(true);
	stream_take(container, stream, keeper.block, (size_t)got);
	log_flush(container);
	return true;
}

static void stream_drain(struct container *container, struct stream *stream)
{
	while (stream->fd >= 0 && stream_read(container, stream))
		;
	stream_end(container, stream);
}

/* ---- The agent ---- */

static void tell(struct container *container, enum keeper_event_kind kind, const char *text)
{
	struct keeper_event event = container ? container->what : (struct keeper_event){0};

	event.version = KEEPER_VERSION;
	event.kind = kind;
	if (text)
		snprintf(event.text, sizeof(event.text), "%s", text);
	if (keeper.client_fd >= 0 &&
	    send(keeper.client_fd, &event, sizeof(event), MSG_DONTWAIT | MSG_NOSIGNAL) < 0)
		close_fd(&keeper.client_fd);     /* it asks again when it comes back */
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

/* ---- Launching: in the child, until it becomes the runtime ---- */

static __attribute__((noreturn)) void launch_fail(const char *name, const char *what, int failed)
{
	char path[PATH_MAX];
	int fd;

	snprintf(path, sizeof(path), "%s/runtime.log", name);
	fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0640);
	if (fd >= 0)
		dprintf(fd, "%s: %s\n", what, strerror(failed));
	_exit(127);
}

static void reset_signals(void)
{
	sigset_t none;

	signal(SIGHUP, SIG_DFL);
	signal(SIGINT, SIG_DFL);
	signal(SIGTERM, SIG_DFL);
	signal(SIGPIPE, SIG_DFL);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
}

/* crun refuses a hybrid of cgroup v1 and v2, so it must not see the v2 part. */
static void own_mounts(const char *name)
{
	struct statfs status;

	if (unshare(CLONE_NEWNS) < 0)
		launch_fail(name, "make a mount namespace", errno);
	if (mount(NULL, "/", NULL, MS_REC | MS_SLAVE, NULL) < 0)
		launch_fail(name, "detach the mount namespace", errno);
	if (statfs("/sys/fs/cgroup", &status) == 0 && status.f_type != CGROUP2_SUPER_MAGIC)
		while (umount2("/sys/fs/cgroup/unified", MNT_DETACH) == 0)
			;
}

struct launch {
	const char *id, *log, *input, *upper, *work;
	const char *lowers[OVERLAY_LAYERS_LIMIT];
	size_t lower_count;
};

static void launch_take(struct launch *launch, const char *key, const char *value)
{
	if (strcmp(key, "id") == 0)
		launch->id = value;
	else if (strcmp(key, "log") == 0)
		launch->log = value;
	else if (strcmp(key, "input") == 0)
		launch->input = value;
	else if (strcmp(key, "upper") == 0)
		launch->upper = value;
	else if (strcmp(key, "work") == 0)
		launch->work = value;
	else if (strcmp(key, "lower") == 0 && launch->lower_count < OVERLAY_LAYERS_LIMIT)
		launch->lowers[launch->lower_count++] = value;
}

/* Into `text`, which the launch then points into. */
static bool launch_read(const char *name, char *text, size_t room, struct launch *launch)
{
	char path[PATH_MAX], *line, *rest;
	ssize_t got;
	int fd;

	snprintf(path, sizeof(path), "%s/launch", name);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	got = fd < 0 ? -1 : read(fd, text, room - 1);
	close_fd(&fd);
	if (got < 0)
		return false;
	text[got] = '\0';
	*launch = (struct launch){.id = NULL};
	for (line = strtok_r(text, "\n", &rest); line; line = strtok_r(NULL, "\n", &rest)) {
		char *space = strchr(line, ' ');

		if (!space)
			continue;
		*space = '\0';
		launch_take(launch, line, space + 1);
	}
	return launch->id && launch->log && launch->input;
}

static __attribute__((noreturn)) void launch(const char *name, int in, int out, int err)
{
	static char text[LAUNCH_LIMIT], bundle[PATH_MAX], root[PATH_MAX], log[PATH_MAX], pid_file[PATH_MAX],
		rootfs[PATH_MAX + 8];
	struct launch want;
	int failed;

	reset_signals();
	if (!launch_read(name, text, sizeof(text), &want))
		launch_fail(name, "read the launch file", EINVAL);
	snprintf(bundle, sizeof(bundle), "%s/%s/bundle", keeper.run_folder, name);
	snprintf(rootfs, sizeof(rootfs), "%s/rootfs", bundle);
	snprintf(root, sizeof(root), "--root=%s/.runtime", keeper.run_folder);
	snprintf(log, sizeof(log), "--log=%s/%s/runtime.log", keeper.run_folder, name);
	snprintf(pid_file, sizeof(pid_file), "--pid-file=%s/%s/pid", keeper.run_folder, name);
	own_mounts(name);
	failed = overlay_mount(want.upper, want.work, want.lowers, want.lower_count, rootfs);
	if (failed)
		launch_fail(name, "mount the root file system", failed);
	if (dup2(in, 0) < 0 || dup2(out, 1) < 0 || dup2(err, 2) < 0)
		launch_fail(name, "set up input and output", errno);
	execl(keeper.runtime, keeper.runtime, root, log, "run", "--detach", "--bundle", bundle, pid_file, want.id,
	      (char *)NULL);
	launch_fail(name, "start the runtime", errno);
}

static __attribute__((noreturn)) void forget(const char *name)
{
	static char text[LAUNCH_LIMIT], root[PATH_MAX];
	struct launch want;
	int null = open("/dev/null", O_RDWR | O_CLOEXEC);

	reset_signals();
	if (!launch_read(name, text, sizeof(text), &want) || null < 0)
		_exit(127);
	snprintf(root, sizeof(root), "--root=%s/.runtime", keeper.run_folder);
	own_mounts(name);
	if (dup2(null, 0) < 0 || dup2(null, 1) < 0 || dup2(null, 2) < 0)
		_exit(127);
	execl(keeper.runtime, keeper.runtime, root, "delete", "--force", want.id, (char *)NULL);
	_exit(127);
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
		container->log_fd = container->input_fd = container->out.fd = container->err.fd = -1;
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
		forget(container->what.container);
	if (container->deleter < 0)
		container->deleter = 0;
}

static void container_fail(struct container *container, const char *text)
{
	container->phase = PHASE_EXITED;
	close_fd(&container->input_fd);
	close_fd(&container->out.fd);
	close_fd(&container->err.fd);
	close_fd(&container->log_fd);
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
	log_open(container);
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
			launch(container->what.container, given[0], given[1], given[2]);
	}
	for (int i = 0; i < 3; i++)
		close_fd(&given[i]);
	if (container->phase != PHASE_STARTING || container->launcher < 0) {
		container->launcher = 0;
		container_fail(container, strerror(errno));
	}
}

static void container_start(const char *name)
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
	if (keeper.join_error[0] != '\0')
		container_fail(container, keeper.join_error);
	else if (container->deleter)
		container->start_wanted = true;
	else
		container_launch(container);
}

static pid_t read_pid(const char *name)
{
	char path[PATH_MAX];
	FILE *file;
	int pid = 0;

	snprintf(path, sizeof(path), "%s/pid", name);
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

static void claim_stray(struct container *container)
{
	for (size_t i = 0; i < keeper.stray_count; i++)
		if (keeper.strays[i].pid == container->what.pid) {
			int status = keeper.strays[i].status;

			keeper.strays[i] = keeper.strays[--keeper.stray_count];
			container_ended(container, status);
			return;
		}
}

static void launcher_ended(struct container *container, int status)
{
	struct keeper_event *what = &container->what;

	container->launcher = 0;
	what->pid = WIFEXITED(status) && WEXITSTATUS(status) == 0 ? read_pid(what->container) : 0;
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
	claim_stray(container);
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
	close_fd(&container->log_fd);
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
		if (keeper.containers[i].launcher > 0)
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

static void serve(const struct keeper_request *request)
{
	struct container *container;

	switch (request->kind) {
	case KEEPER_START:
		if (name_is_good(request->container))
			container_start(request->container);
		break;
	case KEEPER_SIGNAL:
		container = container_find(request->container);
		if (container && container->phase == PHASE_RUNNING)
			kill(container->what.pid, request->signal);
		break;
	case KEEPER_LIST: list(); break;
	case KEEPER_QUIT: keeper.quitting = true; break;
	default: break;
	}
}

static void client_read(void)
{
	struct keeper_request request;
	ssize_t got = recv(keeper.client_fd, &request, sizeof(request), MSG_DONTWAIT);

	if (got < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (got != sizeof(request) || request.version != KEEPER_VERSION) {
		close_fd(&keeper.client_fd);
		return;
	}
	request.container[KEEPER_NAME_LIMIT] = '\0';
	serve(&request);
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
	struct pollfd polls[3 + 2 * KEEPER_CONTAINERS_LIMIT];
	struct { struct container *container; struct stream *stream; } whose[COUNT(polls)];
	size_t count = 3;

	polls[0] = (struct pollfd){.fd = keeper.signal_fd, .events = POLLIN};
	polls[1] = (struct pollfd){.fd = keeper.listen_fd, .events = POLLIN};
	polls[2] = (struct pollfd){.fd = keeper.client_fd, .events = POLLIN};
	for (size_t i = 0; i < 2 * KEEPER_CONTAINERS_LIMIT; i++) {
		struct container *container = &keeper.containers[i / 2];
		struct stream *stream = i % 2 ? &container->err : &container->out;

		if (container->phase == PHASE_FREE || stream->fd < 0)
			continue;
		whose[count].container = container;
		whose[count].stream = stream;
		polls[count++] = (struct pollfd){.fd = stream->fd, .events = POLLIN};
	}
	if (poll(polls, count, -1) < 0)
		return;
	for (size_t i = 3; i < count; i++)
		if (polls[i].revents)
			stream_read(whose[i].container, whose[i].stream);
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
		exit(EXIT_IS_RUNNING_ALREADY);
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
}

int main(int count, char **arguments)
{
	if (count < 7) {
		fputs("usage: wherry-keeper RUNTIME RUN_FOLDER LOG_FOLDER MEMORY_FOLDER MEMORY_FILE "
		      "JOIN_FILE...\n", stderr);
		return 2;
	}
	keeper.runtime = arguments[1];
	keeper.run_folder = arguments[2];
	keeper.log_folder = arguments[3];
	keeper.memory_folder = arguments[4];
	keeper.memory_file = arguments[5];
	keeper.join_files = arguments + 6;
	keeper.client_fd = -1;
	if (chdir(keeper.run_folder) < 0)
		return !complain("enter the run folder");
	if (!open_all())
		return 1;
	switch (fork()) {
	case -1: return !complain("fork");
	case 0: break;
	default: return 0;
	}
	become_keeper();
	while (!is_done())
		streams_poll();
	unlink("keeper.sock");
	unlink("keeper.pid");
	return 0;
}
