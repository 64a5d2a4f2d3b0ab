/* keeper_log.h - a container's log files, as its keeper writes them (host/keeper.h, host/log_progress.h).
 *
 * Lines "2026-11-21T10:00:00.123456789Z stdout F text". Files are turned to .1, .2, … when full, but never over
 * lines that still have to be shipped. */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "host/log_progress.h"

struct log_writer {
	const char *folder, *name;                       /* borrowed */
	int fd;                                          /* -1: closed */
	uint64_t size, limit;                            /* of the file now; of one file */
	unsigned files;
	struct log_progress *progress;                   /* NULL: not shipped */
	uint64_t buffer;                                 /* unshipped bytes at most; past them lines are dropped, or: */
	bool blocking;                                   /* the container waits */
};

/* `mode`: "none", "file LIMIT FILES", "blocking BYTES" or "buffer BYTES" (keeper_launch.log). Goes on with files that are there. */
void log_writer_open(struct log_writer *writer, const char *folder, const char *name, const char *mode);
/* The container's streams must not be read now: ask again a moment later. */
bool log_writer_is_full(const struct log_writer *writer);

/* Gathers lines; the next log_writer_flush writes them. One time is taken for all until log_writer_tick. */
void log_writer_tick(void);
void log_writer_line(struct log_writer *writer, const char *stream, char part, const char *text, size_t len);
void log_writer_flush(struct log_writer *writer);
void log_writer_close(struct log_writer *writer, bool ended);
