#include "host/cgroup_warm.h"
#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <unistd.h>
#include "base/arena.h"
#include "host/cgroup.h"
#include "os/clock.h"
#include "os/fd.h"
#include "os/file.h"

enum { GROUPS_LIMIT = 1 << 16 };

#define WARM_FOR (2 * USEC_PER_SEC)                      /* after it was last asked for */
#define WARM_STEP (4 * USEC_PER_MSEC)                    /* less than the shortest grace period lasts */

struct cgroup_warmer {
	pthread_t thread;
	pthread_mutex_t lock;
	pthread_cond_t asked;
	usec until;
	bool stopping;
};

static struct str read_groups(struct arena *arena)
{
	struct str text;

	return file_read(AT_FDCWD, "/proc/self/cgroup", GROUPS_LIMIT, arena, &text, NULL) ? text : STR_NONE;
}

/* "0" is who writes. Somebody who moved us elsewhere meanwhile is not to find us moved back. */
static bool move_to_itself(int fd, struct str groups)
{
	auto_arena arena = {0};

	return str_equal(read_groups(&arena), groups) && pwrite(fd, "0", 1, 0) == 1;
}

static void keep_warm_locked(struct cgroup_warmer *warmer)
{
	auto_arena arena = {0};
	struct str file, groups = read_groups(&arena);
	auto_fd fd = cgroup_own_file(&arena, &file, NULL) ? open(arena_cstr(&arena, file), O_WRONLY | O_CLOEXEC) : -1;
	bool moved = fd >= 0;

	while (moved && !warmer->stopping && clock_monotonic() < warmer->until) {
		pthread_mutex_unlock(&warmer->lock);
		moved = move_to_itself(fd, groups);
		clock_sleep(WARM_STEP);
		pthread_mutex_lock(&warmer->lock);
	}
	warmer->until = 0;
}

static void *work(void *arg)
{
	struct cgroup_warmer *warmer = arg;

	pthread_mutex_lock(&warmer->lock);
	while (!warmer->stopping) {
		if (warmer->until == 0)
			pthread_cond_wait(&warmer->asked, &warmer->lock);
		else
			keep_warm_locked(warmer);
	}
	pthread_mutex_unlock(&warmer->lock);
	return NULL;
}

struct cgroup_warmer *cgroup_warmer_new(void)
{
	struct cgroup_warmer *warmer = calloc(1, sizeof(*warmer));

	if (!warmer)
		abort();
	pthread_mutex_init(&warmer->lock, NULL);
	pthread_cond_init(&warmer->asked, NULL);
	if (pthread_create(&warmer->thread, NULL, work, warmer) == 0)
		return warmer;
	pthread_mutex_destroy(&warmer->lock);
	pthread_cond_destroy(&warmer->asked);
	free(warmer);
	return NULL;
}

void cgroup_warmer_free(struct cgroup_warmer *warmer)
{
	if (!warmer)
		return;
	pthread_mutex_lock(&warmer->lock);
	warmer->stopping = true;
	pthread_cond_signal(&warmer->asked);
	pthread_mutex_unlock(&warmer->lock);
	pthread_join(warmer->thread, NULL);
	pthread_mutex_destroy(&warmer->lock);
	pthread_cond_destroy(&warmer->asked);
	free(warmer);
}

void cgroup_warmer_ask(struct cgroup_warmer *warmer)
{
	if (!warmer)
		return;
	pthread_mutex_lock(&warmer->lock);
	warmer->until = clock_monotonic() + WARM_FOR;
	pthread_cond_signal(&warmer->asked);
	pthread_mutex_unlock(&warmer->lock);
}
