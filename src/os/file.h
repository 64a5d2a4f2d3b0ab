/* file.h - files and folders, politely.
 *
 * Relative paths are below `folder` (AT_FDCWD: the working folder). Whole files are written beside and
 * renamed, so that a reader sees the old or the new, never a part. */
#pragma once
#include <fcntl.h>
#include <sys/types.h>
#include "base/arena.h"
#include "base/error.h"

enum { FILE_READ_LIMIT = 64 << 20 };                     /* bytes file_read takes at most */

/* ERROR_NOT_FOUND when there is none; ERROR_REFUSED when it is longer than `limit`. */
bool file_read(int folder, const char *path, size_t limit, struct arena *arena, struct str *ret_text,
	       struct error *err);
bool file_read_fd(int fd, size_t limit, struct arena *arena, struct str *ret_text, struct error *err);

bool file_write_all(int fd, struct str text);             /* false with errno */

/* Not synced: for files that a crash of the machine may take (RUN). */
bool file_write(int folder, const char *path, struct str text, mode_t mode, struct error *err);
/* Into an existing file, in one write(): for the kernel's control files. */
bool file_put(int folder, const char *path, struct str text, struct error *err);

bool folder_make(const char *path, mode_t mode, struct error *err);      /* with parents; fine when it is there */

bool folder_is_mount(const char *path);                  /* another file system begins here */

/* Removes a file or a folder with all below, never following links nor crossing into other file systems'
 * roots; fine when there is none. */
bool tree_remove(int folder, const char *path, struct error *err);
/* Copies what is below `from` into the existing folder `to`: files, folders, links; owners, modes, times. */
bool tree_copy(int from, int to, struct error *err);

/* Opens `path` as seen from inside `root`: links and .. cannot leave it. -1 with errno. */
int file_open_inside(int root, const char *path, int flags);
/* Makes a folder and its parents as seen from inside `root`. *ret_fd is an O_PATH descriptor of it. */
bool folder_make_inside(int root, struct str path, mode_t mode, int *ret_fd, struct error *err);

/* Names in a folder, sorted, without "." and ".."; fails above `limit`. */
bool folder_list(int folder, const char *path, size_t limit, struct arena *arena, struct str **ret_names,
		 size_t *ret_count, struct error *err);
