/* A stranger's layer: whatever it says, nothing beside the root may change. */
#include <assert.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>
#include "host/unpack.h"
#include "os/fd.h"
#include "os/file.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* One folder a process: root to unpack into, witness beside it. */
static char path[] = "/tmp/wherry-fuzz-tar-XXXXXX";

static void place_remove(void)
{
	tree_remove(AT_FDCWD, path, NULL);
}

static int place_open(void)
{
	static int place_fd = -1;

	if (place_fd < 0) {
		assert(mkdtemp(path));
		place_fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		assert(place_fd >= 0);
		assert(mkdirat(place_fd, "witness", 0700) == 0);
		atexit(place_remove);
	}
	return place_fd;
}

static bool witness_is_empty(int place_fd)
{
	return unlinkat(place_fd, "witness", AT_REMOVEDIR) == 0 && mkdirat(place_fd, "witness", 0700) == 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const struct unpack_limits limits = {1 << 20, 1000};
	int place_fd = place_open();
	unsigned char hash[32], diff[32];
	struct str bytes = {(const char *)data, size};
	struct error error = {0};
	struct unpack *unpack;
	auto_fd root_fd = -1;

	assert(mkdirat(place_fd, "root", 0700) == 0);
	root_fd = openat(place_fd, "root", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	unpack = unpack_new(root_fd, &limits);
	if (!unpack_write(unpack, str_slice(bytes, 0, size / 2), &error) ||
	    !unpack_write(unpack, str_slice(bytes, size / 2, size), &error) ||
	    !unpack_finish(unpack, hash, diff, &error))
		assert(error.code != ERROR_NONE);
	unpack_free(unpack);
	assert(witness_is_empty(place_fd));
	assert(tree_remove(place_fd, "root", NULL));
	return 0;
}
