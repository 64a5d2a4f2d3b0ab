/* image_support.h - folders, programs and hand-made tars for the tests of images. */
#pragma once
#include <sys/types.h>
#include "base/arena.h"
#include "base/buffer.h"

/* A new folder, removed with all below when `arena` goes. */
const char *scratch_folder(struct arena *arena);
struct str run_output(struct arena *arena, const char *format, ...) PRINTF_LIKE(2, 3);   /* by the shell; must succeed */
struct str folder_listing(struct arena *arena, const char *folder);      /* everything below: kind, mode, size, name */

/* One ustar member, as wrong as asked for. */
struct tar_member {
	const char *name, *link, *data;
	char type;                                       /* '0' file, '1' hard link, '2' link, '5' folder, … */
	unsigned mode, device_major, device_minor, uid, gid;
	uint64_t size;                                   /* said; 0: of `data` */
	long mtime;
};
void tar_add(struct buffer *tar, const struct tar_member *member);
void tar_add_pax(struct buffer *tar, const char *key, struct str value);        /* for the next member */
void tar_end(struct buffer *tar);

/* test/support/registry.py serving what make_image.py makes, started once for all tests. */
struct test_registry { int port, other_port; const char *layout; };
const struct test_registry *test_registry(void);
const struct test_registry *test_registry_tls(void);     /* and this one's authority is in tls_folder() */
const char *tls_folder(void);
int test_registry_blobs(const struct test_registry *registry);   /* asked for so far */
