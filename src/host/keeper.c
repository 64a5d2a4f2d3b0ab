#include "host/keeper.h"
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/un.h>
#include "base/buffer.h"
#include "host/cgroup.h"
#include "os/clock.h"
#include "os/fd.h"
#include "os/file.h"
#include "os/process.h"

enum { LAUNCH_FILE_LIMIT = 256 << 10, STATE_FILE_LIMIT = 4096 };

#define SPAWN_PATIENCE (10 * USEC_PER_SEC)

static bool one_line(struct str text) { return str_find(text, '\n') == text.len; }

static bool add_line(struct buffer *out, const char *key, struct str value, struct error *err)
{
	if (!one_line(value))
		return fail(err, ERROR_REFUSED, "a line break in '%.*s'", STR(value));
	buffer_printf(out, "%s %.*s\n", key, STR(value));
	return true;
}

static bool add_optional(struct buffer *out, const char *key, struct str value, struct error *err)
{
	return str_empty(value) || add_line(out, key, value, err);
}

static bool add_lines(struct buffer *out, const char *key, const struct str *values, size_t count,
		      struct error *err)
{
	for (size_t i = 0; i < count; i++)
		if (!add_line(out, key, values[i], err))
			return false;
	return true;
}

bool keeper_write_launch(struct str container_folder, const struct keeper_launch *launch, struct error *err)
{
	auto_arena arena = {0};
	auto_buffer out = {0};
	const char *path = arena_printf(&arena, "%.*s/launch%c", STR(container_folder), '\0').ptr;

	if (!add_line(&out, "id", launch->id, err) || !add_line(&out, "log", launch->log, err) ||
	    !add_line(&out, "input", launch->input, err) || !add_optional(&out, "stage", launch->stage, err) ||
	    !add_lines(&out, "bind", launch->binds, launch->bind_count, err) ||
	    !add_optional(&out, "terminal", launch->terminal, err) || !add_optional(&out, "stop", launch->stop, err) ||
	    !add_optional(&out, "address", launch->address, err) ||
	    !add_lines(&out, "port", launch->ports, launch->port_count, err))
		return false;
	if (out.len >= LAUNCH_FILE_LIMIT)
		return fail(err, ERROR_REFUSED, "the launch file would have %zu bytes", out.len);
	return file_write(AT_FDCWD, path, buffer_str(&out), 0640, err);
}

bool keeper_write_sharing(struct str run_folder, const struct keeper_sharing *sharing, struct error *err)
{
	auto_arena arena = {0};
	auto_buffer out = {0};

	if (sharing->map_count > 0)
		buffer_printf(&out, "map 0 %lld %lld\n", (long long)sharing->map_base, (long long)sharing->map_count);
	if (sharing->pid)
		buffer_add(&out, S("share pid\n"));
	if (sharing->ipc)
		buffer_add(&out, S("share ipc\n"));
	return file_write(AT_FDCWD, arena_printf(&arena, "%.*s/.task%c", STR(run_folder), '\0').ptr,
			  buffer_str(&out), 0640, err);
}

static size_t count_lines(struct str text)
{
	size_t count = 0;

	for (size_t i = 0; i < text.len; i++)
		count += text.ptr[i] == '\n';
	return count;
}

bool keeper_read_launch(struct str container_folder, struct arena *arena, struct keeper_launch *ret_launch,
			struct error *err)
{
	const char *path = arena_printf(arena, "%.*s/launch%c", STR(container_folder), '\0').ptr;
	struct keeper_launch launch = {.id = STR_NONE};
	struct { const char *key; struct str *value; } singles[] = {
		{"id", &launch.id}, {"log", &launch.log}, {"input", &launch.input},
		{"terminal", &launch.terminal}, {"stage", &launch.stage}, {"stop", &launch.stop}, {"address", &launch.address},
	};
	struct str text, line, key;

	if (!file_read(AT_FDCWD, path, LAUNCH_FILE_LIMIT, arena, &text, err))
		return false;
	launch.ports = arena_array(arena, struct str, count_lines(text));
	launch.binds = arena_array(arena, struct str, count_lines(text));
	while (str_cut(&text, '\n', &line)) {
		if (!str_cut(&line, ' ', &key) || !str_has(line))
			continue;
		for (size_t i = 0; i < COUNT(singles); i++)
			if (str_equal(key, str_of(singles[i].key)))
				*singles[i].value = line;
		if (str_equal(key, S("bind")))
			launch.binds[launch.bind_count++] = line;
		else if (str_equal(key, S("port")))
			launch.ports[launch.port_count++] = line;
	}
	if (!str_has(launch.id))
		return fail(err, ERROR_CORRUPT, "'%s' names no container", path);
	*ret_launch = launch;
	return true;
}

static void take_state(struct keeper_event *event, struct str key, struct str value)
{
	int64_t number = 0;

	if (str_equal(key, S("phase"))) {
		event->kind = str_equal(value, S("exited")) ? KEEPER_HAS_EXITED : KEEPER_IS_RUNNING;
		return;
	}
	if (!str_to_long(value, &number))
		return;
	if (str_equal(key, S("version")))
		event->version = (uint32_t)number;
	else if (str_equal(key, S("pid")))
		event->pid = (int32_t)number;
	else if (str_equal(key, S("exit_code")))
		event->exit_code = (int32_t)number;
	else if (str_equal(key, S("out_of_memory")))
		event->out_of_memory = (int32_t)number;
	else if (str_equal(key, S("started_at")))
		event->started_at = number;
	else if (str_equal(key, S("finished_at")))
		event->finished_at = number;
}

bool keeper_read_state(struct str container_folder, struct keeper_event *ret_event, struct error *err)
{
	auto_arena arena = {0};
	const char *path = arena_printf(&arena, "%.*s/state%c", STR(container_folder), '\0').ptr;
	struct keeper_event event = {.kind = KEEPER_IS_RUNNING};
	struct str name = str_slice(container_folder, str_find_last(container_folder, '/') + 1,
				    container_folder.len);
	struct str text, line, key;

	if (!file_read(AT_FDCWD, path, STATE_FILE_LIMIT, &arena, &text, err))
		return false;
	while (str_cut(&text, '\n', &line))
		if (str_cut(&line, ' ', &key))
			take_state(&event, key, line);
	if (event.version != KEEPER_VERSION || name.len > KEEPER_NAME_LIMIT)
		return fail(err, ERROR_CORRUPT, "'%s' is of another version", path);
	memcpy(event.container, name.ptr, name.len);
	*ret_event = event;
	return true;
}

static char **spawn_arguments(const struct keeper_options *options, struct arena *arena, struct error *err)
{
	struct str folder, file, *files;
	size_t count;
	char **arguments;

	if (!cgroup_memory_files(options->cgroup, arena, &folder, &file, err) ||
	    !cgroup_join_files(options->cgroup, arena, &files, &count, err))
		return NULL;
	arguments = arena_array(arena, char *, count + 7);
	arguments[0] = arena_cstr(arena, options->program);
	arguments[1] = arena_cstr(arena, options->runtime);
	arguments[2] = arena_cstr(arena, options->run_folder);
	arguments[3] = arena_cstr(arena, options->log_folder);
	arguments[4] = arena_cstr(arena, folder);
	arguments[5] = arena_cstr(arena, file);
	for (size_t i = 0; i < count; i++)
		arguments[6 + i] = arena_cstr(arena, files[i]);
	return arguments;
}

static void read_complaint(int fd, struct error *err, int code)
{
	char text[256];
	ssize_t got = read(fd, text, sizeof(text) - 1);

	while (got > 0 && text[got - 1] == '\n')
		got--;
	fail(err, ERROR_OS, "the keeper ended with %d: %.*s", code, got > 0 ? (int)got : 0, text);
}

/* What it started listening with stays behind: a process of its own that is not our child. */
bool keeper_spawn(const struct keeper_options *options, struct error *err)
{
	auto_arena arena = {0};
	char **arguments = spawn_arguments(options, &arena, err);
	int ends[2], code;
	auto_fd said = -1, saying = -1;
	pid_t pid;

	if (!arguments)
		return false;
	if (pipe2(ends, O_CLOEXEC) < 0)
		return fail_os(err, errno, "make a pipe");
	said = ends[0];
	saying = ends[1];
	if (!process_spawn(arguments, saying, &pid, err) || !process_wait(pid, SPAWN_PATIENCE, &code, err))
		return false;
	fd_close(&saying);
	if (code == 0 || code == KEEPER_EXIT_RUNS_ALREADY)
		return true;
	read_complaint(said, err, code);
	return false;
}

bool keeper_connect(struct str run_folder, int *ret_fd, struct error *err)
{
	auto_arena arena = {0};
	auto_fd folder = open(arena_cstr(&arena, run_folder), O_PATH | O_DIRECTORY | O_CLOEXEC);
	auto_fd fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	struct sockaddr_un address = {.sun_family = AF_UNIX};

	if (fd < 0)
		return fail_os(err, errno, "make a socket");
	if (folder < 0)
		return fail(err, ERROR_NOT_FOUND, "there is no '%.*s'", STR(run_folder));
	/* Run folders may have longer names than a socket's address can. */
	snprintf(address.sun_path, sizeof(address.sun_path), "/proc/self/fd/%d/keeper.sock", folder);
	if (connect(fd, (struct sockaddr *)&address, sizeof(address)) < 0)
		return fail(err, ERROR_NOT_FOUND, "no keeper answers in '%.*s': %s", STR(run_folder),
			    strerror(errno));
	*ret_fd = take_fd(&fd);
	return true;
}

/* `passed`: a descriptor that the keeper gets a copy of; -1: none. */
static bool send_request(int fd, struct keeper_request request, struct str container, int passed, struct error *err)
{
	char control[CMSG_SPACE(sizeof(passed))] = {0};
	struct iovec vector = {&request, sizeof(request)};
	struct msghdr message = {.msg_iov = &vector, .msg_iovlen = 1};

	if (container.len > KEEPER_NAME_LIMIT)
		return fail(err, ERROR_REFUSED, "the container's name has %zu bytes, %d are the limit",
			    container.len, KEEPER_NAME_LIMIT);
	if (container.len > 0)
		memcpy(request.container, container.ptr, container.len);
	if (passed >= 0) {
		struct cmsghdr *head;

		message.msg_control = control;
		message.msg_controllen = sizeof(control);
		head = CMSG_FIRSTHDR(&message);
		*head = (struct cmsghdr){.cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS, .cmsg_len = CMSG_LEN(sizeof(passed))};
		memcpy(CMSG_DATA(head), &passed, sizeof(passed));
	}
	if (sendmsg(fd, &message, MSG_NOSIGNAL) < 0)
		return fail_os(err, errno, "ask the keeper");
	return true;
}

bool keeper_send(int fd, enum keeper_request_kind kind, struct str container, int signal, struct error *err)
{
	return send_request(fd, (struct keeper_request){.version = KEEPER_VERSION, .kind = kind, .signal = signal},
			    container, -1, err);
}

bool keeper_start(int fd, struct str container, int root, struct error *err)
{
	return send_request(fd, (struct keeper_request){.version = KEEPER_VERSION, .kind = KEEPER_START}, container, root, err);
}

bool keeper_probe(int fd, struct str container, usec timeout, struct error *err)
{
	return send_request(fd, (struct keeper_request){.version = KEEPER_VERSION, .kind = KEEPER_PROBE,
							.timeout = timeout}, container, -1, err);
}

bool keeper_receive(int fd, usec timeout, struct keeper_event *ret_event, struct error *err)
{
	struct pollfd poller = {.fd = fd, .events = POLLIN};
	usec until = clock_monotonic() + timeout;
	ssize_t got;
	int ready;

	do {
		usec left = MAX(until - clock_monotonic(), 0);

		ready = poll(&poller, 1, (int)((left + USEC_PER_MSEC - 1) / USEC_PER_MSEC));
	} while (ready < 0 && errno == EINTR);
	if (ready <= 0)
		return fail(err, ERROR_REFUSED, "the keeper says nothing");
	got = recv(fd, ret_event, sizeof(*ret_event), 0);
	if (got <= 0)
		return fail(err, ERROR_NOT_FOUND, "the keeper is gone");
	if (got != sizeof(*ret_event) || ret_event->version != KEEPER_VERSION)
		return fail(err, ERROR_CORRUPT, "the keeper is of another version");
	ret_event->container[KEEPER_NAME_LIMIT] = '\0';
	ret_event->text[sizeof(ret_event->text) - 1] = '\0';
	return true;
}
