#include "main/keeper_launch.h"
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <sys/wait.h>
#include <unistd.h>
#include <linux/magic.h>
#include <linux/openat2.h>
#include <sys/syscall.h>

enum { TASK_LIMIT = 4096, MAP_LIMIT = 1024 };

static const char unified[] = "/sys/fs/cgroup/unified";

/* ---- The launch file ---- */

static void launch_take(struct launch *launch, const char *key, char *value)
{
	const struct { const char *key; const char **value; } singles[] = {
		{"id", &launch->id}, {"log", &launch->log}, {"input", &launch->input},
		{"stage", &launch->stage},
	};

	for (size_t i = 0; i < sizeof(singles) / sizeof(*singles); i++)
		if (strcmp(key, singles[i].key) == 0)
			*singles[i].value = value;
	if (strcmp(key, "terminal") == 0)
		launch->terminal = strcmp(value, "yes") == 0;
	else if (strcmp(key, "bind") == 0 && launch->bind_count < LAUNCH_BINDS_LIMIT)
		launch->binds[launch->bind_count++] = value;
}

static ssize_t read_text(const char *path, char *text, size_t room)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t got = fd < 0 ? -1 : read(fd, text, room - 1);

	if (fd >= 0)
		close(fd);
	if (got >= 0)
		text[got] = '\0';
	return got;
}

bool launch_read(const char *name, char *text, size_t room, struct launch *launch)
{
	char path[PATH_MAX], *line, *rest;

	snprintf(path, sizeof(path), "%s/launch", name);
	if (read_text(path, text, room) < 0)
		return false;
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

/* ---- User namespaces: maps that the kernel takes only from a namespace ---- */

static bool write_map(pid_t pid, const char *file, const char *map)
{
	char path[64];
	int fd;
	bool ok;

	snprintf(path, sizeof(path), "/proc/%d/%s", (int)pid, file);
	fd = open(path, O_WRONLY | O_CLOEXEC);
	ok = fd >= 0 && write(fd, map, strlen(map)) == (ssize_t)strlen(map);
	if (fd >= 0)
		close(fd);
	return ok;
}

/* "INSIDE OUTSIDE COUNT" each. -1 with errno. */
static int userns_open(const char *uids, const char *gids)
{
	int ready[2], fd = -1;
	char path[64], byte;
	pid_t pid;

	if (pipe2(ready, O_CLOEXEC) < 0)
		return -1;
	pid = fork();
	if (pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		if (unshare(CLONE_NEWUSER) < 0 || write(ready[1], "", 1) != 1)
			_exit(1);
		for (;;)
			pause();
	}
	close(ready[1]);
	if (pid > 0 && read(ready[0], &byte, 1) == 1 && write_map(pid, "uid_map", uids) &&
	    write_map(pid, "gid_map", gids)) {
		snprintf(path, sizeof(path), "/proc/%d/ns/user", (int)pid);
		fd = open(path, O_RDONLY | O_CLOEXEC);
	}
	if (pid > 0) {
		int failed = errno;

		kill(pid, SIGKILL);
		waitpid(pid, NULL, 0);
		errno = failed ? failed : EPERM;
	}
	close(ready[0]);
	return fd;
}

/* ---- What a task's containers share ---- */

static __attribute__((noreturn)) void hold_namespaces(void)
{
	/* The first process of a pid namespace reaps what containers leave in it. */
	signal(SIGCHLD, SIG_IGN);
	close_range(0, ~0U, 0);
	for (;;)
		pause();
}

/* A child's child: only children live in a new pid namespace. *ret_pid is our child, too: we are the subreaper. */
static bool start_pause(struct launcher *launcher, int flags)
{
	int told[2];
	pid_t child, pid = 0;

	if (pipe2(told, O_CLOEXEC) < 0)
		return false;
	child = fork();
	if (child == 0) {
		if ((launcher->userns >= 0 && setns(launcher->userns, CLONE_NEWUSER) < 0) || unshare(flags) < 0)
			_exit(1);
		pid = fork();
		if (pid == 0)
			hold_namespaces();
		_exit(pid > 0 && write(told[1], &pid, sizeof(pid)) == sizeof(pid) ? 0 : 1);
	}
	close(told[1]);
	if (child < 0 || read(told[0], &pid, sizeof(pid)) != sizeof(pid))
		pid = 0;
	close(told[0]);
	if (child > 0)
		waitpid(child, NULL, 0);
	launcher->pause = pid;
	return pid > 0;
}

static bool link_to(const char *name, const char *target)
{
	return (unlink(name) == 0 || errno == ENOENT) && symlink(target, name) == 0;
}

static bool link_namespace(const char *name, pid_t pid, const char *kind)
{
	char target[64];

	snprintf(target, sizeof(target), "/proc/%d/ns/%s", (int)pid, kind);
	return link_to(name, target);
}

static bool open_map(struct launcher *launcher, const char *map)
{
	char target[64];

	launcher->userns = userns_open(map, map);
	snprintf(target, sizeof(target), "/proc/%d/fd/%d", (int)getpid(), launcher->userns);
	return launcher->userns >= 0 && link_to(".user", target);
}

bool launcher_open(struct launcher *launcher)
{
	static char text[TASK_LIMIT];
	char *line, *rest;
	int flags = 0;

	launcher->userns = -1;
	if (read_text(".task", text, sizeof(text)) < 0)
		return errno == ENOENT;
	for (line = strtok_r(text, "\n", &rest); line; line = strtok_r(NULL, "\n", &rest)) {
		if (strncmp(line, "map ", 4) == 0 && !open_map(launcher, line + 4))
			return false;
		if (strcmp(line, "share pid") == 0)
			flags |= CLONE_NEWPID;
		if (strcmp(line, "share ipc") == 0)
			flags |= CLONE_NEWIPC;
	}
	if (flags == 0)
		return true;
	return start_pause(launcher, flags) && link_namespace(".pid", launcher->pause, "pid") &&
	       link_namespace(".ipc", launcher->pause, "ipc");
}

void launcher_close(struct launcher *launcher)
{
	if (launcher->pause > 0)
		kill(launcher->pause, SIGKILL);
	unlink(".user");
	unlink(".pid");
	unlink(".ipc");
}

/* ---- In the child, until it becomes the runtime ---- */

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

/* crun refuses a hybrid of cgroup v1 and v2, so it must not see the v2 part. An empty folder over it costs less than taking
 * it away, after which the kernel waits for all processors. */
static void cover_unified(const char *name)
{
	static char empty[PATH_MAX];
	struct statfs status;

	if (statfs(unified, &status) < 0 || status.f_type != CGROUP2_SUPER_MAGIC)
		return;
	snprintf(empty, sizeof(empty), "%s/bundle/rootfs", name);
	if (mount(empty, unified, NULL, MS_BIND, NULL) == 0)
		return;
	while (umount2(unified, MNT_DETACH) == 0)
		;
}

/* crun and runc copy themselves and start again, so that no container can write to the host's program through /proc, unless
 * they find that nobody can: from a read-only mount they go on at once, which saves a third of their time. */
static void protect_runtime(const char *runtime)
{
	if (mount(runtime, runtime, NULL, MS_BIND, NULL) == 0)
		mount(NULL, runtime, NULL, MS_BIND | MS_REMOUNT | MS_RDONLY, NULL);
}

static void own_mounts(const struct launcher *launcher, const char *name)
{
	struct statfs status;

	if (unshare(CLONE_NEWNS) < 0)
		launch_fail(name, "make a mount namespace", errno);
	if (mount(NULL, "/", NULL, MS_REC | MS_SLAVE, NULL) < 0)
		launch_fail(name, "detach the mount namespace", errno);
	if (statfs("/sys/fs/cgroup", &status) == 0 && status.f_type != CGROUP2_SUPER_MAGIC)
		cover_unified(name);
	protect_runtime(launcher->runtime);
}

static int open_plain(const char *path)
{
	struct open_how how = {.flags = O_PATH | O_CLOEXEC, .resolve = RESOLVE_NO_SYMLINKS};

	return (int)syscall(SYS_openat2, AT_FDCWD, path, &how, sizeof(how));
}

/* A folder, or a file, for the like to be bound to. */
static int make_target(int source, const char *target)
{
	struct stat status;
	int fd;

	if (fstat(source, &status) < 0)
		return errno;
	if (S_ISDIR(status.st_mode))
		return mkdir(target, 0755) < 0 ? errno : 0;
	fd = open(target, O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
	if (fd < 0)
		return errno;
	close(fd);
	return 0;
}

/* As the kernel reads it: a line a range, three numbers. */
static void split_map(char *map)
{
	for (char *c = map; *c; c++)
		*c = *c == ':' ? ' ' : *c == ',' ? '\n' : *c;
}

static int bind_mapped(const char *source, const char *target, char *maps)
{
	char uids[MAP_LIMIT], gids[MAP_LIMIT];
	int userns, failed;

	if (sscanf(maps, "%1023[^;];%1023s", uids, gids) != 2)
		return EINVAL;
	split_map(uids);
	split_map(gids);
	userns = userns_open(uids, gids);
	failed = userns < 0 ? errno : overlay_bind_mapped(source, target, userns);
	if (userns >= 0)
		close(userns);
	return failed;
}

static int bind_one(const struct launcher *launcher, char *bind, const char *target)
{
	char link[64], *path = strchr(bind, ' ');
	int source, failed;

	if (!path)
		return EINVAL;
	*path++ = '\0';
	source = open_plain(path);
	if (source < 0)
		return errno;
	snprintf(link, sizeof(link), "/proc/self/fd/%d", source);
	failed = make_target(source, target);
	if (!failed && strcmp(bind, "SAME") == 0)
		failed = mount(link, target, NULL, MS_BIND | MS_REC, NULL) < 0 ? errno : 0;
	else if (!failed && strcmp(bind, "MAP") == 0)
		failed = overlay_bind_mapped(link, target, launcher->userns);
	else if (!failed)
		failed = bind_mapped(link, target, bind);
	close(source);
	return failed;
}

static void mount_stage(const struct launcher *launcher, const char *name, const struct launch *want)
{
	static char path[PATH_MAX];

	if (mount("stage", want->stage, "tmpfs", MS_NOSUID | MS_NODEV, "mode=711,size=1m") < 0)
		launch_fail(name, "mount the stage", errno);
	for (size_t i = 0; i < want->bind_count; i++) {
		int failed;

		snprintf(path, sizeof(path), "%s/%zu", want->stage, i);
		failed = bind_one(launcher, want->binds[i], path);
		if (failed)
			launch_fail(name, "bind a volume or map its owners", failed);
	}
	snprintf(path, sizeof(path), "%s/rootfs", want->stage);
	if (mkdir(path, 0755) < 0)
		launch_fail(name, "make the root folder", errno);
}

static void mount_all(const struct launcher *launcher, const char *name, const struct launch *want, int rootfs)
{
	static char path[PATH_MAX];
	int failed;

	snprintf(path, sizeof(path), "%s/%s/bundle/rootfs", launcher->run_folder, name);
	if (want->stage) {
		mount_stage(launcher, name, want);
		snprintf(path, sizeof(path), "%s/rootfs", want->stage);
	}
	failed = overlay_put(rootfs, path);
	if (failed)
		launch_fail(name, "put the root file system in its place", failed);
}

void launch_container(const struct launcher *launcher, const char *name, int rootfs, const int streams[3],
		      const char *console)
{
	static char text[LAUNCH_LIMIT], bundle[PATH_MAX], root[PATH_MAX], log[PATH_MAX], pid_file[PATH_MAX],
		socket[PATH_MAX];
	const char *arguments[12] = {launcher->runtime, root, log, "run", "--detach", "--bundle", bundle, pid_file};
	size_t count = 8;
	struct launch want;

	reset_signals();
	if (!launch_read(name, text, sizeof(text), &want))
		launch_fail(name, "read the launch file", EINVAL);
	snprintf(bundle, sizeof(bundle), "%s/%s/bundle", launcher->run_folder, name);
	snprintf(root, sizeof(root), "--root=%s/.runtime", launcher->run_folder);
	snprintf(log, sizeof(log), "--log=%s/%s/runtime.log", launcher->run_folder, name);
	snprintf(pid_file, sizeof(pid_file), "--pid-file=%s/%s/pid", launcher->run_folder, name);
	if (console) {
		snprintf(socket, sizeof(socket), "--console-socket=%s", console);
		arguments[count++] = socket;
	}
	arguments[count++] = want.id;
	own_mounts(launcher, name);
	mount_all(launcher, name, &want, rootfs);
	if (dup2(streams[0], 0) < 0 || dup2(streams[1], 1) < 0 || dup2(streams[2], 2) < 0)
		launch_fail(name, "set up input and output", errno);
	execv(launcher->runtime, (char *const *)arguments);
	launch_fail(name, "start the runtime", errno);
}

static int null_device(void) { return open("/dev/null", O_RDWR | O_CLOEXEC); }

void launch_probe(const struct launcher *launcher, const char *name, int out)
{
	static char text[LAUNCH_LIMIT], root[PATH_MAX], process[PATH_MAX], pid_file[PATH_MAX];
	struct launch want;

	reset_signals();
	if (!launch_read(name, text, sizeof(text), &want))
		_exit(127);
	snprintf(root, sizeof(root), "--root=%s/.runtime", launcher->run_folder);
	snprintf(process, sizeof(process), "--process=%s/%s/probe.json", launcher->run_folder, name);
	snprintf(pid_file, sizeof(pid_file), "--pid-file=%s/%s/probe.pid", launcher->run_folder, name);
	own_mounts(launcher, name);
	if (dup2(null_device(), 0) < 0 || dup2(out, 1) < 0 || dup2(out, 2) < 0)
		_exit(127);
	execl(launcher->runtime, launcher->runtime, root, "exec", "--detach", process, pid_file, want.id, (char *)NULL);
	dprintf(2, "start the runtime: %s\n", strerror(errno));
	_exit(127);
}

void launch_forget(const struct launcher *launcher, const char *name)
{
	static char text[LAUNCH_LIMIT], root[PATH_MAX];
	struct launch want;
	int null = null_device();

	reset_signals();
	if (!launch_read(name, text, sizeof(text), &want) || null < 0)
		_exit(127);
	snprintf(root, sizeof(root), "--root=%s/.runtime", launcher->run_folder);
	own_mounts(launcher, name);
	if (dup2(null, 0) < 0 || dup2(null, 1) < 0 || dup2(null, 2) < 0)
		_exit(127);
	execl(launcher->runtime, launcher->runtime, root, "delete", "--force", want.id, (char *)NULL);
	_exit(127);
}
