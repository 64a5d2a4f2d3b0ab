/* overlay.h - overlayfs mounts of up to OVERLAY_LAYERS_LIMIT layers, and mounts that are carried from one process to another.
 *
 * An overlay is scratch: nothing of it is ever flushed to the disk for its own sake (volatile, Linux 5.10), so neither its
 * end nor fsync in it waits for the disk. After a crash of the machine it must not be mounted again.
 * Libc only: the keeper links this file alone. Folders are opened and given to the kernel as
 * /proc/self/fd/N, so that 127 layers with long paths fit into the one page that mount(2) takes. */
#pragma once
#include <stddef.h>

enum { OVERLAY_LAYERS_LIMIT = 128 };

/* `lowers`: the highest first, at least one. 0 or an errno. `userns`: a user namespace; what belongs to its user n in the
 * lowers belongs to whom it maps n to in the mount (Linux 5.19 and newer). -1: to n. */
int overlay_mount(const char *upper, const char *work, const char *const *lowers, size_t count,
		  const char *target, int userns);
/* Takes the mount at `target` off it: what is returned holds the mount, sees into it and lets overlay_put put it elsewhere, in any
 * mount namespace. -1 with errno. */
int overlay_take(const char *target);
int overlay_put(int mount, const char *target);          /* 0 or an errno */
/* Binds `source` to the folder `target`, owners mapped the same way. 0 or an errno. */
int overlay_bind_mapped(const char *source, const char *target, int userns);
