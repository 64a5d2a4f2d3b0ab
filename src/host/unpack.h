/* unpack.h - a layer's tar, onto disk, from a stranger.
 *
 * Streams: bytes go in as they arrive, gzip, zstd or plain; hashes of what came in and of what it unpacks to
 * come out. Members cannot leave the root whatever they say: `..`, absolute names, ways through a symbolic
 * link, hard links to outside are refused with ERROR_REFUSED, and so are device nodes unless they are the
 * whiteouts of overlayfs. OCI whiteouts (.wh.NAME, .wh..wh..opq) become overlayfs's.
 *
 * Kept: mode with setuid, times, sparseness, xattrs `user.*` and `security.capability`, and when root the
 * owner. A symbolic link may say what it likes: it is only text until a member goes through it. The tar
 * is read on a thread of its own, so that inflating and writing files go side by side. */
#pragma once
#include "base/error.h"
#include "base/str.h"

enum {
	UNPACK_PATH_LIMIT = 4095,                        /* bytes of a member's name */
	UNPACK_NAME_LIMIT = 255,                         /* bytes of one part of it */
	UNPACK_DEPTH_LIMIT = 256,                        /* parts of it */
};

struct unpack;

struct unpack_limits { uint64_t bytes, entries; };       /* of what it unpacks to: the tar, and the files' sizes */

/* `root_fd`: an empty directory. Borrowed; free the unpack before closing it. */
struct unpack *unpack_new(int root_fd, const struct unpack_limits *limits);
bool unpack_write(struct unpack *unpack, struct str bytes, struct error *err);
/* Ends the stream: fails when the tar is cut off. Digests are of the bytes in and of the plain tar. */
bool unpack_finish(struct unpack *unpack, unsigned char ret_sha256[32], unsigned char ret_diff_sha256[32],
		   struct error *err);
void unpack_free(struct unpack *unpack);
