/* netns.h - network namespaces that have a name in the file system.
 *
 * A namespace lives as long as its name (a bind mount), a process in it, or a descriptor of it. */
#pragma once
#include "base/error.h"

/* A new namespace with lo up, pinned at `path`; the folder is there, the file is not needed and may be.
 * Unprivileged ports and ping are open inside, as docker has it: they are the container's own. Links to come have no
 * IPv6 until somebody gives them some: its neighbour discovery would flood a bridge of hundreds. ::1 works.
 * The calling thread is back where it was. */
bool netns_create(struct str path, int *ret_fd, struct error *err);
bool netns_remove(struct str path, struct error *err);   /* fine when there is none */

/* Moves the calling thread; netns_leave brings it back and closes `back`. Nothing in between may return early. */
bool netns_enter(int netns, int *ret_back, struct error *err);
void netns_leave(int back);
