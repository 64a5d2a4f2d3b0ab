/* wherry logs: the files that keepers write (host/keeper.h), shown line by line. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <time.h>
#include "base/buffer.h"
#include "main/commands.h"
#include "os/fd.h"
#include "os/file.h"

enum { FILES_LIMIT = 64, NAMES_LIMIT = 1 << 20 };

struct log_file {
	struct str container;
	char *path;
	int fd;
	ino_t inode;
	struct buffer line;
};

/* "2026-11-21T10:00:00.123456789Z stdout F text": shown with its time and container. */
static void show(const struct log_file *file, struct str line, bool named)
{
	struct str rest = line, time, stream, tag;

	if (!str_cut(&rest, ' ', &time) || !str_cut(&rest, ' ', &stream) || !str_cut(&rest, ' ', &tag))
		return;
	printf("%.*s ", STR(str_slice(time, 0, 23)));
	if (named)
		printf("%.*s ", STR(file->container));
	printf("%.*s\n", STR(rest));
}

static bool read_more(struct log_file *file, bool named)
{
	char bytes[65536];
	bool any = false;
	ssize_t got;

	while (file->fd >= 0 && (got = read(file->fd, bytes, sizeof(bytes))) > 0) {
		size_t from = 0;

		any = true;
		buffer_append(&file->line, bytes, (size_t)got);
		for (size_t at = 0; at < file->line.len; at++)
			if (file->line.bytes[at] == '\n') {
				show(file, str_slice(buffer_str(&file->line), from, at), named);
				from = at + 1;
			}
		buffer_consume(&file->line, from);
	}
	return any;
}

/* The keeper turns a full file to .1 and goes on in a new one. */
static void follow_turn(struct log_file *file)
{
	struct stat now;

	if (stat(file->path, &now) != 0 || now.st_ino == file->inode)
		return;
	fd_close(&file->fd);
	file->fd = open(file->path, O_RDONLY | O_CLOEXEC);
	file->inode = now.st_ino;
}

static void open_log(struct log_file *file, bool named)
{
	auto_arena arena = {0};
	struct str old = arena_printf(&arena, "%s.1", file->path);
	struct stat info = {0};

	file->fd = open(arena_cstr(&arena, old), O_RDONLY | O_CLOEXEC);
	read_more(file, named);
	fd_close(&file->fd);
	file->fd = open(file->path, O_RDONLY | O_CLOEXEC);
	if (file->fd >= 0 && fstat(file->fd, &info) == 0)
		file->inode = info.st_ino;
	read_more(file, named);
}

static bool find_task(const struct options *options, struct str id, struct arena *arena, struct str *ret_folder, struct error *err)
{
	struct str logs = arena_printf(arena, "%.*s/logs", STR(options->data)), *names;
	size_t count, found = 0;

	if (!folder_list(AT_FDCWD, arena_cstr(arena, logs), NAMES_LIMIT, arena, &names, &count, err))
		return false;
	for (size_t i = 0; i < count; i++)
		if (str_starts(names[i], id)) {
			*ret_folder = arena_printf(arena, "%.*s/%.*s", STR(logs), STR(names[i]));
			found++;
		}
	if (found == 0)
		return fail(err, ERROR_NOT_FOUND, "no task '%.*s' has written on this machine", STR(id));
	return found == 1 || fail(err, ERROR_REFUSED, "'%.*s' is the beginning of %zu tasks' ids", STR(id), found);
}

static bool find_files(const struct options *options, struct str folder, struct arena *arena, struct log_file *files,
		       size_t *ret_count, struct error *err)
{
	struct str *names;
	size_t count;

	if (!folder_list(AT_FDCWD, arena_cstr(arena, folder), FILES_LIMIT, arena, &names, &count, err))
		return false;
	*ret_count = 0;
	for (size_t i = 0; i < count; i++) {
		struct str container = str_slice(names[i], 0, names[i].len - MIN(names[i].len, (size_t)4));

		if (!str_ends(names[i], S(".log")) ||
		    (str_has(options->container) && !str_equal(options->container, container)))
			continue;
		files[(*ret_count)++] = (struct log_file){
			.container = container, .fd = -1,
			.path = arena_cstr(arena, arena_printf(arena, "%.*s/%.*s", STR(folder), STR(names[i])))};
	}
	return *ret_count > 0 || fail(err, ERROR_NOT_FOUND, "there is no such container");
}

static void follow(struct log_file *files, size_t count)
{
	for (;;) {
		struct timespec pause = {.tv_nsec = 100 * 1000 * 1000};
		bool any = false;

		for (size_t i = 0; i < count; i++) {
			any |= read_more(&files[i], count > 1);
			follow_turn(&files[i]);
		}
		fflush(stdout);
		if (!any)
			nanosleep(&pause, NULL);
	}
}

int command_logs(const struct options *options)
{
	struct log_file files[FILES_LIMIT];
	auto_arena arena = {0};
	struct str folder, id;
	struct error err;
	size_t count;

	if (options->rest_count != 1) {
		fprintf(stderr, "usage: wherry logs [-f] [--container NAME] TASK\n");
		return 2;
	}
	id = str_of(options->rest[0]);
	id = str_slice(id, str_find_last(id, '/') < id.len ? str_find_last(id, '/') + 1 : 0, id.len);
	if (!find_task(options, id, &arena, &folder, &err) || !find_files(options, folder, &arena, files, &count, &err)) {
		fprintf(stderr, "wherry: %s\n", err.text);
		return 1;
	}
	for (size_t i = 0; i < count; i++)
		open_log(&files[i], count > 1);
	if (options->follow)
		follow(files, count);
	for (size_t i = 0; i < count; i++) {
		fd_close(&files[i].fd);
		buffer_fini(&files[i].line);
	}
	return 0;
}
