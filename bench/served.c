#include "bench/served.h"
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>
#include "os/file.h"

static pid_t server_pid;

/* Also after give_up. */
static void end_server(void)
{
	if (server_pid > 0)
		kill(server_pid, SIGTERM);
}

void served_start(struct served *served, char *program, const char *folder, struct arena *arena)
{
	int ready[2];
	char url[256] = {0}, *variable;

	if (pipe(ready) != 0)
		give_up("pipe", NULL);
	fcntl(ready[0], F_SETFD, FD_CLOEXEC);
	variable = arena_cstr(arena, arena_printf(arena, "WHERRY_READY_FD=%d", ready[1]));
	char *arguments[] = {program, "server", "--listen", "127.0.0.1:0", "--data", (char *)folder, NULL};
	char *environment[] = {variable, "WHERRY_ROOT_ACCESS_KEY_ID=bench", "WHERRY_ROOT_SECRET_ACCESS_KEY=secret", NULL};
	posix_spawn_file_actions_t actions;

	posix_spawn_file_actions_init(&actions);
	posix_spawn_file_actions_addopen(&actions, 1, "/dev/null", O_WRONLY, 0);
	if (posix_spawn(&served->pid, program, &actions, NULL, arguments, environment) != 0)
		give_up(program, NULL);
	server_pid = served->pid;
	atexit(end_server);
	posix_spawn_file_actions_destroy(&actions);
	close(ready[1]);
	if (read(ready[0], url, sizeof(url) - 1) <= 0)
		give_up("the server did not start", NULL);
	close(ready[0]);
	served->target = (struct target){
		.port = (int)strtol(strrchr(url, ':') + 1, NULL, 10), .host = arena_copy(arena, str_of(strstr(url, "//") + 2)),
		.credentials = {.key_id = S("bench"), .secret = S("secret")}, .sigv4 = sigv4_new()};
}

void served_stop(struct served *served)
{
	end_server();
	waitpid(served->pid, NULL, 0);
	server_pid = 0;
	sigv4_free(served->target.sigv4);
}

double served_cpu(const struct served *served)
{
	auto_arena arena = {0};
	char *path = arena_cstr(&arena, arena_printf(&arena, "/proc/%d/stat", (int)served->pid));
	unsigned long long user, kernel;
	struct error err;
	struct str text;

	if (!file_read(AT_FDCWD, path, 4096, &arena, &text, &err))
		give_up("stat", &err);
	text = str_slice(text, str_find_last(text, ')') + 2, text.len);
	if (sscanf(arena_cstr(&arena, text), "%*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %llu %llu", &user, &kernel) != 2)
		give_up(path, NULL);
	return (double)(user + kernel) / (double)sysconf(_SC_CLK_TCK);
}
