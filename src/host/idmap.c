#include "host/idmap.h"
#include <errno.h>
#include <limits.h>
#include "base/arena.h"
#include "os/fd.h"
#include "os/file.h"

enum { NUMBER_LIMIT = 32 };

static const char *range_path(struct str run, unsigned range, struct arena *arena)
{
	return arena_printf(arena, "%.*s/idmaps/%u%c", STR(run), range, '\0').ptr;
}

static const char *task_path(struct str run, struct str task_id, struct arena *arena)
{
	return arena_printf(arena, "%.*s/tasks/%.*s/.idmap%c", STR(run), STR(task_id), '\0').ptr;
}

static bool find_range(struct str run, struct str task_id, unsigned *ret_range)
{
	auto_arena arena = {0};
	struct str text;
	int64_t range;

	if (!file_read(AT_FDCWD, task_path(run, task_id, &arena), NUMBER_LIMIT, &arena, &text, NULL) ||
	    !str_to_long(str_trim(text), &range) || range < 0 || range >= IDMAP_RANGES)
		return false;
	*ret_range = (unsigned)range;
	return true;
}

int64_t idmap_find(struct str run, struct str task_id)
{
	unsigned range;

	return find_range(run, task_id, &range) ? IDMAP_FIRST + (int64_t)range * IDMAP_COUNT : 0;
}

/* Taken before a crash, which came between both files. */
static bool is_ours(struct str run, unsigned range, struct str task_id)
{
	auto_arena arena = {0};
	struct str text;

	return file_read(AT_FDCWD, range_path(run, range, &arena), PATH_MAX, &arena, &text, NULL) && str_equal(text, task_id);
}

/* 1: ours; 0: another's; -1 with errno. */
static int try_range(struct str run, unsigned range, struct str task_id)
{
	auto_arena arena = {0};
	auto_fd fd = open(range_path(run, range, &arena), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);

	if (fd < 0)
		return errno != EEXIST ? -1 : is_ours(run, range, task_id);
	return write(fd, task_id.ptr, task_id.len) == (ssize_t)task_id.len ? 1 : -1;
}

bool idmap_take(struct str run, struct str task_id, int64_t *ret_base, struct error *err)
{
	auto_arena arena = {0};
	unsigned first = (unsigned)(str_hash(task_id, 0) % IDMAP_RANGES);

	if ((*ret_base = idmap_find(run, task_id)) > 0)
		return true;
	if (!folder_make(arena_printf(&arena, "%.*s/idmaps%c", STR(run), '\0').ptr, 0700, err))
		return false;
	for (unsigned i = 0; i < IDMAP_RANGES; i++) {
		unsigned range = (first + i) % IDMAP_RANGES;
		int taken = try_range(run, range, task_id);

		if (taken < 0)
			return fail_os(err, errno, "take a range of users");
		if (taken == 0)
			continue;
		*ret_base = IDMAP_FIRST + (int64_t)range * IDMAP_COUNT;
		return file_write(AT_FDCWD, task_path(run, task_id, &arena), arena_printf(&arena, "%u\n", range), 0600, err);
	}
	return fail(err, ERROR_REFUSED, "all %d ranges of users are taken", IDMAP_RANGES);
}

void idmap_release(struct str run, struct str task_id)
{
	auto_arena arena = {0};
	unsigned range;

	if (find_range(run, task_id, &range))
		unlink(range_path(run, range, &arena));
}
