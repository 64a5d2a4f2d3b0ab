#include "host/log_reader.h"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>
#include <limits.h>
#include "os/fd.h"
#include "wire/timestamp.h"

enum { HEAD_BYTES = 40, TIME_BYTES = 30 };

void log_reader_init(struct log_reader *reader, const struct log_progress *progress, const char *path, uint64_t position)
{
	*reader = (struct log_reader){.progress = progress, .path = path, .fd = -1, .position = position};
}

void log_reader_fini(struct log_reader *reader)
{
	fd_close(&reader->fd);
	buffer_fini(&reader->bytes);
}

void log_reader_seek(struct log_reader *reader, uint64_t position)
{
	fd_close(&reader->fd);
	buffer_clear(&reader->bytes);
	reader->given = 0;
	reader->position = position;
}

/* Opens the file that holds `position`; false when it is being turned. */
static bool open_now(struct log_reader *reader, uint64_t position)
{
	uint32_t turns = reader->progress->turns;
	uint64_t turned = reader->progress->turned, previous = reader->progress->previous;
	bool old = position < turned;
	char path[PATH_MAX];

	if (turns % 2 == 1)
		return false;
	snprintf(path, sizeof(path), "%s%s", reader->path, old ? ".1" : "");
	reader->fd = open(path, O_RDONLY | O_CLOEXEC);
	if (reader->progress->turns != turns) {
		fd_close(&reader->fd);
		return false;
	}
	reader->base = old ? previous : turned;
	if (position < reader->base)                     /* lost: only after the progress was */
		reader->position = reader->base;
	return reader->fd >= 0;
}

static bool ensure_open(struct log_reader *reader)
{
	return reader->fd >= 0 || open_now(reader, reader->position);
}

/* Reads on behind what is in `bytes`; false when there is nothing now. */
static bool read_more(struct log_reader *reader)
{
	uint64_t end = reader->position + (reader->bytes.len - reader->given);
	uint64_t turned = reader->progress->turned, written = reader->progress->written;
	ssize_t got;

	if (!ensure_open(reader))
		return false;
	if (end >= written)
		return false;
	buffer_consume(&reader->bytes, reader->given);
	reader->given = 0;
	buffer_reserve(&reader->bytes, LOG_READ_BYTES);
	do
		got = pread(reader->fd, reader->bytes.bytes + reader->bytes.len, LOG_READ_BYTES, (off_t)(end - reader->base));
	while (got < 0 && errno == EINTR);
	if (got > 0) {
		reader->bytes.len += (size_t)got;
		return true;
	}
	if (reader->base < turned) {                     /* at the end of a file that was turned */
		fd_close(&reader->fd);
		return ensure_open(reader) && reader->base >= turned;
	}
	return false;
}

static usec line_time(struct str line)
{
	usec at = 0;

	timestamp_parse(str_slice(line, 0, TIME_BYTES), &at);
	return at;
}

/* Half a line, from a disk that was full: nothing to give. */
static bool is_line(struct str line)
{
	return line.len >= HEAD_BYTES && line.ptr[TIME_BYTES] == ' ' && line.ptr[HEAD_BYTES - 1] == ' ';
}

bool log_reader_next(struct log_reader *reader, struct log_line *ret_line)
{
	size_t searched = reader->given;

	for (;;) {
		size_t left = reader->bytes.len - reader->given;
		const char *end = left > 0 ? memchr(reader->bytes.bytes + searched, '\n', reader->bytes.len - searched) : NULL;
		struct str line;

		if (!end) {
			size_t kept = left;

			if (!read_more(reader))
				return false;
			searched = kept;
			continue;
		}
		line = str_slice(buffer_str(&reader->bytes), reader->given, (size_t)(end - reader->bytes.bytes));
		reader->given += line.len + 1;
		reader->position += line.len + 1;
		searched = reader->given;
		if (!is_line(line))
			continue;
		*ret_line = (struct log_line){.at = line_time(line), .whole = line.ptr[38] == 'F',
					      .text = str_slice(line, HEAD_BYTES, line.len)};
		return true;
	}
}
