/* directory.h - one process a data directory.
 *
 * The lock is the kernel's, on DIR/lock: it goes away with the process, however that ends. The file
 * names the holder for people; what it says is never trusted. */
#pragma once
#include "base/error.h"
#include "base/str.h"

/* Makes the directory (0700) when it is missing; its parent must be there. */
bool directory_make(struct str directory, struct error *err);
/* Fails with ERROR_REFUSED, "… is in use by process N", while someone holds it. Closing the fd lets go. */
bool directory_lock(struct str directory, int *ret_fd, struct error *err);
/* An empty file (0600) when there is none: SQLite gives its own files the mode of their database. */
bool directory_make_file(struct str directory, const char *path, struct error *err);
/* Makes names in it (new files, new directories) durable. */
bool directory_sync(struct str directory, struct error *err);
