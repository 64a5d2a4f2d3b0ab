/* log_reader.h - reads a container's log from a position on, while its keeper writes it.
 *
 * Positions are those of log_progress.h. A file that is turned meanwhile is read to its end first. */
#pragma once
#include "base/buffer.h"
#include "base/error.h"
#include "base/time.h"
#include "host/log_progress.h"

enum { LOG_READ_BYTES = 256 << 10 };                     /* at a time */

struct log_line {
	usec at;
	bool whole;                                      /* false: the line goes on in the next one */
	struct str text;                                 /* good until the next call */
};

struct log_reader {
	const struct log_progress *progress;             /* borrowed */
	const char *path;                                /* of C.log; borrowed */
	int fd;                                          /* -1: none */
	uint64_t base, position;                         /* where the open file begins; after the last line given */
	struct buffer bytes;                             /* read, not yet given */
	size_t given;                                    /* of `bytes` */
};

/* `position`: where to begin; what is no longer there is passed over. */
void log_reader_init(struct log_reader *reader, const struct log_progress *progress, const char *path, uint64_t position);
void log_reader_fini(struct log_reader *reader);
/* False when no complete line is there now, or the file is just being turned: ask again. */
bool log_reader_next(struct log_reader *reader, struct log_line *ret_line);
/* Reads again from an earlier position. */
void log_reader_seek(struct log_reader *reader, uint64_t position);
