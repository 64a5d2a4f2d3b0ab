/* fd.h - descriptors close themselves; leaving a scope with one is an explicit take. */
#pragma once
#include <unistd.h>

static inline void fd_close(int *fd)
{
	if (*fd >= 0)
		close(*fd);
	*fd = -1;
}

static inline int take_fd(int *fd)
{
	int taken = *fd;

	*fd = -1;
	return taken;
}

#define auto_fd __attribute__((cleanup(fd_close))) int
