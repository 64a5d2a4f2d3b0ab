#include "main/keeper_log.h"
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>
#include "host/keeper.h"

enum {
	BLOCK = 65536,
	HEAD = 48,                                       /* "2026-11-21T10:00:00.123456789Z stdout F " and newline */
	TIME_BYTES = 30,
};

/* One block for all containers: it is empty whenever another one's turn comes. */
static char block[BLOCK];
static size_t block_len;
static char now_text[40];

static bool path_of(const struct log_writer *writer, const char *suffix, char ret_path[PATH_MAX])
{
	return snprintf(ret_path, PATH_MAX, "%s/%s.%s", writer->folder, writer->name, suffix) < PATH_MAX;
}

static void open_file(struct log_writer *writer)
{
	char path[PATH_MAX];
	struct stat status;

	writer->size = 0;
	if (!path_of(writer, "log", path))
		return;
	writer->fd = open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0640);
	if (writer->fd >= 0 && fstat(writer->fd, &status) == 0)
		writer->size = (uint64_t)status.st_size;
}

/* Without it lines are kept but not shipped; the agent says so. */
static void map_progress(struct log_writer *writer)
{
	char path[PATH_MAX];
	void *mapped;
	int fd;

	if (!path_of(writer, "progress", path))
		return;
	fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0640);
	if (fd < 0)
		return;
	mapped = ftruncate(fd, sizeof(struct log_progress)) == 0
		? mmap(NULL, sizeof(struct log_progress), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0) : MAP_FAILED;
	close(fd);
	if (mapped == MAP_FAILED)
		return;
	writer->progress = mapped;
	writer->progress->version = LOG_PROGRESS_VERSION;
	writer->progress->closed = 0;
	log_progress_mend(writer->progress, writer->size);
}

void log_writer_open(struct log_writer *writer, const char *folder, const char *name, const char *mode)
{
	unsigned long long bytes = KEEPER_LOG_LIMIT;
	unsigned files = KEEPER_LOG_FILES;

	*writer = (struct log_writer){.folder = folder, .name = name, .fd = -1, .limit = KEEPER_LOG_LIMIT,
				      .files = KEEPER_LOG_FILES};
	if (strcmp(mode, "none") != 0)
		open_file(writer);
	if (sscanf(mode, "file %llu %u", &bytes, &files) == 2) {
		writer->limit = bytes;
		writer->files = files;
	} else if (sscanf(mode, "blocking %llu", &bytes) == 1 || sscanf(mode, "buffer %llu", &bytes) == 1) {
		writer->blocking = mode[1] == 'l';
		writer->buffer = bytes;
		map_progress(writer);
	}
}

static uint64_t unshipped(const struct log_writer *writer)
{
	uint64_t end = writer->progress ? writer->progress->written + block_len : 0;

	/* Behind `shipped` after a crash that took the end of the file. */
	return writer->progress && end > writer->progress->shipped ? end - writer->progress->shipped : 0;
}

bool log_writer_is_full(const struct log_writer *writer)
{
	return writer->blocking && unshipped(writer) >= writer->buffer;
}

/* NAME.log becomes .1, .1 becomes .2, … and the last one goes. */
static void shift_files(struct log_writer *writer)
{
	char from[PATH_MAX], to[PATH_MAX], suffix[24];

	for (unsigned i = writer->files; i-- > 1;) {
		snprintf(suffix, sizeof(suffix), "log.%u", i);
		if (!path_of(writer, suffix, to))
			return;
		snprintf(suffix, sizeof(suffix), i == 1 ? "log" : "log.%u", i - 1);
		if (path_of(writer, suffix, from))
			rename(from, to);
	}
	if (writer->files == 1 && path_of(writer, "log", from))
		unlink(from);
}

static void turn(struct log_writer *writer)
{
	struct log_progress *progress = writer->progress;

	if (progress && progress->shipped < progress->turned)
		return;                                  /* .1 is still being shipped: the file grows meanwhile */
	if (progress)
		progress->turns++;
	close(writer->fd);
	shift_files(writer);
	open_file(writer);
	if (progress) {
		progress->previous = progress->turned;
		progress->turned = progress->written;
		progress->turns++;
	}
}

/* A full disk loses lines rather than stop the container. */
void log_writer_flush(struct log_writer *writer)
{
	size_t done = 0;

	if (writer->fd >= 0 && writer->size > 0 && writer->size + block_len > writer->limit)
		turn(writer);
	while (done < block_len && writer->fd >= 0) {
		ssize_t put = write(writer->fd, block + done, block_len - done);

		if (put < 0 && errno == EINTR)
			continue;
		if (put < 0)
			break;
		done += (size_t)put;
	}
	if (done < block_len && writer->progress)
		writer->progress->dropped++;               /* at least one */
	writer->size += done;
	if (writer->progress)
		writer->progress->written += done;
	block_len = 0;
}

/* The second's text is kept. */
void log_writer_tick(void)
{
	static time_t formatted;
	struct timespec now;
	struct tm parts;

	clock_gettime(CLOCK_REALTIME, &now);
	if (now.tv_sec != formatted || now_text[0] == '\0') {
		gmtime_r(&now.tv_sec, &parts);
		strftime(now_text, sizeof(now_text), "%Y-%m-%dT%H:%M:%S.", &parts);
		formatted = now.tv_sec;
	}
	snprintf(now_text + 20, sizeof(now_text) - 20, "%09ldZ", now.tv_nsec);
}

/* Would the line be the one too many for its file? What is gathered goes to disk first, so that each file ends at its limit. */
static bool is_past_limit(const struct log_writer *writer, size_t line)
{
	uint64_t used = writer->size + block_len;

	if (writer->size > 0 && used > writer->limit)    /* the flush will turn the file first */
		used = block_len;
	return block_len > 0 && used <= writer->limit && used + line > writer->limit;
}

void log_writer_line(struct log_writer *writer, const char *stream, char part, const char *text, size_t len)
{
	char *end;

	if (writer->progress && !writer->blocking && unshipped(writer) + HEAD + len > writer->buffer) {
		writer->progress->dropped++;
		return;
	}
	if (block_len + HEAD + len > sizeof(block) || is_past_limit(writer, 41 + len))
		log_writer_flush(writer);
	end = block + block_len;
	memcpy(end, now_text, TIME_BYTES);
	end[30] = ' ';
	memcpy(end + 31, stream, 6);
	end[37] = ' ';
	end[38] = part;
	end[39] = ' ';
	memcpy(end + 40, text, len);
	end[40 + len] = '\n';
	block_len += 41 + len;
}

void log_writer_close(struct log_writer *writer, bool ended)
{
	if (writer->fd >= 0)
		close(writer->fd);
	if (writer->progress) {
		if (ended)
			writer->progress->closed = 1;
		munmap(writer->progress, sizeof(*writer->progress));
	}
	writer->fd = -1;
	writer->progress = NULL;
}
