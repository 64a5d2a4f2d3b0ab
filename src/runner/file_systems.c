#include "runner/file_systems.h"
#include <stdlib.h>
#include "api/wherry.h"
#include "os/file.h"

enum { UNKNOWN_SECONDS = 300 };                          /* a server that does not know the call (AWS) */

struct file_systems {
	struct file_systems_options options;
	uv_timer_t timer;
	uv_work_t work;
	bool stopping;
	/* Of one look at the disk. */
	struct arena arena;
	struct str folder;                               /* DATA/efs */
	struct str *names;
	size_t count, asked;                             /* asked: of how many the server was asked */
	struct str *gone;
	size_t gone_count;
	struct error error, reported;
};

static void look(uv_timer_t *timer);

static void rest(struct file_systems *file_systems, uint64_t seconds)
{
	arena_reset(&file_systems->arena);
	if (!file_systems->stopping)
		uv_timer_start(&file_systems->timer, look, seconds * 1000, 0);
}

static bool is_used(const struct agent *agent, struct str id)
{
	for (size_t i = 0; i < agent_task_count(agent); i++) {
		struct str task_id;
		const struct agent_task *task = agent_task_at(agent, i, &task_id);

		for (size_t v = 0; task->known != AGENT_STATUS_STOPPED && v < task->task->volumes.count; v++) {
			const struct acs_efs_volume *efs = task->task->volumes.items[v].efs_volume_configuration;

			if (efs && str_equal(efs->file_system_id, id))
				return true;
		}
	}
	return false;
}

/* On a worker thread: there may be many files. */
static void remove_folders(uv_work_t *work)
{
	struct file_systems *file_systems = work->data;

	for (size_t i = 0; i < file_systems->gone_count; i++) {
		auto_arena arena = {0};
		struct error error = {0};

		if (!tree_remove(AT_FDCWD, arena_cstr(&arena, ARENA_JOIN(&arena, file_systems->folder, S("/"),
									 file_systems->gone[i])), &error)) {
			fail_context(&error, "remove the files of the deleted file system %.*s", STR(file_systems->gone[i]));
			file_systems->error = error;
		}
	}
}

static void ask(struct file_systems *file_systems);

static void removed(uv_work_t *work, int status)
{
	struct file_systems *file_systems = work->data;

	if (file_systems->error.code != ERROR_NONE && strcmp(file_systems->error.text, file_systems->reported.text) != 0) {
		file_systems->reported = file_systems->error;
		file_systems->options.report(&file_systems->error);
	}
	file_systems->error = (struct error){0};
	ask(file_systems);
}

/* Of what was asked, and not in use. */
static void take_answer(struct file_systems *file_systems, const struct str *names, size_t count,
			const struct wherry_deleted_file_systems_response *answer)
{
	file_systems->gone = arena_array(&file_systems->arena, struct str, count);
	file_systems->gone_count = 0;
	for (size_t i = 0; i < count; i++)
		if (str_listed(answer->deleted.items, answer->deleted.count, names[i]) &&
		    !is_used(file_systems->options.agent, names[i]))
			file_systems->gone[file_systems->gone_count++] = names[i];
}

static void answered(void *arg, uint64_t ticket, const void *output, const struct error *err)
{
	struct file_systems *file_systems = arg;
	size_t count = MIN(file_systems->count - file_systems->asked, (size_t)FILE_SYSTEMS_ASKED);

	if (file_systems->stopping)
		return;
	if (!output) {
		rest(file_systems, err->code == ERROR_UNKNOWN_OPERATION ? UNKNOWN_SECONDS : FILE_SYSTEMS_SECONDS);
		return;
	}
	take_answer(file_systems, file_systems->names + file_systems->asked, count, output);
	file_systems->asked += count;
	if (!file_systems->gone_count || uv_queue_work(file_systems->options.loop, &file_systems->work, remove_folders, removed))
		ask(file_systems);
}

/* Of those that the server was not yet asked of in this look. */
static void ask(struct file_systems *file_systems)
{
	size_t left = file_systems->count - file_systems->asked;
	struct wherry_deleted_file_systems_request request = {
		.file_systems = {file_systems->names + file_systems->asked, MIN(left, (size_t)FILE_SYSTEMS_ASKED)}};

	if (left == 0 || file_systems->stopping) {
		rest(file_systems, FILE_SYSTEMS_SECONDS);
		return;
	}
	calls_make(file_systems->options.calls, &api_wherry.operations[WHERRY_OPERATION_DELETED_FILE_SYSTEMS], &request,
		   answered, file_systems, 0);
}

static void look(uv_timer_t *timer)
{
	struct file_systems *file_systems = timer->data;
	struct arena *arena = &file_systems->arena;

	file_systems->count = file_systems->asked = 0;
	file_systems->folder = ARENA_JOIN(arena, file_systems->options.data, S("/efs"));
	folder_list(AT_FDCWD, arena_cstr(arena, file_systems->folder), FILE_SYSTEMS_LIMIT, arena, &file_systems->names,
		    &file_systems->count, NULL);
	ask(file_systems);
}

struct file_systems *file_systems_new(const struct file_systems_options *options)
{
	struct file_systems *file_systems = calloc(1, sizeof(*file_systems));

	if (!file_systems)
		abort();
	file_systems->options = *options;
	uv_timer_init(options->loop, &file_systems->timer);
	file_systems->timer.data = file_systems->work.data = file_systems;
	uv_timer_start(&file_systems->timer, look, 0, 0);
	return file_systems;
}

void file_systems_stop(struct file_systems *file_systems)
{
	file_systems->stopping = true;
	uv_close((uv_handle_t *)&file_systems->timer, NULL);
}

void file_systems_free(struct file_systems *file_systems)
{
	if (!file_systems)
		return;
	arena_fini(&file_systems->arena);
	free(file_systems);
}
