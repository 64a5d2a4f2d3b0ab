#include <assert.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/stat.h>
#include "host/cgroup.h"
#include "host/hands_private.h"
#include "host/idmap.h"
#include "host/image.h"
#include "host/log_reader.h"
#include "host/space.h"
#include "host/volume.h"
#include "os/clock.h"
#include "os/fd.h"
#include "os/file.h"

enum {
	LOGS_SLACK = 50,                                 /* tasks that end between two looks at what is too old */
	LOG_FOLDER_FILES_LIMIT = 100000,                 /* of one task */
};

/* ---- Names ---- */

bool places_name_is_good(struct str name)
{
	if (name.len == 0 || name.len > KEEPER_NAME_LIMIT)
		return false;
	for (size_t i = 0; i < name.len; i++) {
		char c = name.ptr[i];

		if (!((c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' ||
		      c == '-'))
			return false;
	}
	return true;
}

bool places_check(struct str task_id, struct str container, struct error *err)
{
	if (!places_name_is_good(task_id))
		return fail(err, ERROR_REFUSED, "bad task id '%.*s'", STR(task_id));
	if (!places_name_is_good(container))
		return fail(err, ERROR_REFUSED, "bad container name '%.*s'", STR(container));
	return true;
}

struct places places_of(const struct hands *hands, struct str task_id, struct str container, struct arena *arena)
{
	const struct hands_options *options = &hands->options;
	struct places at = {0};

	at.run = arena_printf(arena, "%.*s/tasks/%.*s", STR(options->run), STR(task_id));
	at.data = arena_printf(arena, "%.*s/tasks/%.*s", STR(options->data), STR(task_id));
	at.logs = arena_printf(arena, "%.*s/logs/%.*s", STR(options->data), STR(task_id));
	at.folder = arena_printf(arena, "%.*s/%.*s", STR(at.run), STR(container));
	at.bundle = arena_printf(arena, "%.*s/bundle", STR(at.folder));
	at.rootfs = arena_printf(arena, "%.*s/rootfs", STR(at.bundle));
	at.netns = arena_printf(arena, "%.*s/netns", STR(at.folder));
	at.own = arena_printf(arena, "%.*s/containers/%.*s", STR(at.data), STR(container));
	at.volumes = arena_printf(arena, "%.*s/volumes", STR(at.data));
	at.memory = arena_printf(arena, "%.*s/.shm", STR(at.run));
	at.task_netns = arena_printf(arena, "%.*s/.netns", STR(at.run));
	at.environment = arena_printf(arena, "%.*s/.environment-%.*s", STR(at.run), STR(container));
	at.cgroup = at.owner = arena_printf(arena, "%.*s/%.*s", STR(task_id), STR(container));
	return at;
}

struct str runtime_id_of(struct str owner, struct arena *arena)
{
	return arena_printf(arena, "%016llx%016llx%016llx%016llx", (unsigned long long)str_hash(owner, 1),
			    (unsigned long long)str_hash(owner, 2), (unsigned long long)str_hash(owner, 3),
			    (unsigned long long)str_hash(owner, 4));
}

struct str hands_runtime_id(struct str task_id, struct str container, struct arena *arena)
{
	return runtime_id_of(arena_printf(arena, "%.*s/%.*s", STR(task_id), STR(container)), arena);
}

bool places_make(struct str path, mode_t mode, struct error *err)
{
	auto_arena arena = {0};

	return folder_make(arena_cstr(&arena, path), mode, err);
}

struct fact fact_of(enum fact_kind kind, struct str task_id, struct str container)
{
	return (struct fact){.kind = kind, .task_id = task_id, .container = container, .at = clock_now()};
}

void hands_tell_result(struct hands *hands, struct fact *fact, bool ok, const struct error *err)
{
	fact->ok = ok;
	fact->reason = ok ? STR_NONE : str_of(err->text);
	hands_tell(hands, fact);
}

/* ---- JOB_PULL ---- */

static bool find_local(struct hands *hands, struct str name, struct arena *arena, struct image *image)
{
	return images_find(hands->options.images, name, arena, image, NULL);
}

/* agent-protocol 4.5. Which images this agent pulled itself is not kept: `once` takes any local copy. What was
 * imported is nobody else's: a registry that is asked for it knows another image or none, or is out of reach. */
static bool get_image(struct hands *hands, struct str name, struct arena *arena, struct image *image,
		      struct error *err)
{
	const struct hands_options *options = &hands->options;
	bool local_first = str_equal(options->pull_behavior, S("prefer-cached")) ||
			   str_equal(options->pull_behavior, S("once"));
	bool local_counts = !str_equal(options->pull_behavior, S("always"));
	const struct image_login *login = options->logins ? image_login_find(options->logins, name, arena) : NULL;

	if (local_counts && find_local(hands, name, arena, image) && (local_first || image->imported))
		return true;
	if (images_pull(options->images, name, login, arena, image, err))
		return true;
	if (local_counts && find_local(hands, name, arena, image))
		return true;
	return fail_context(err, "CannotPullContainerError");
}

static bool pull(struct hands *hands, struct str task_id, const struct acs_container *container,
		 struct arena *arena, struct fact *fact, struct error *err)
{
	const struct acs_registry_authentication *login = container->registry_authentication;
	struct places at = places_of(hands, task_id, container->name, arena);
	struct image image;

	if (!places_check(task_id, container->name, err))
		return fail_context(err, "CannotPullContainerError");
	if (login && !str_empty(login->type))
		return fail(err, ERROR_REFUSED, "%s: registry authentication by %.*s is not supported by this "
			    "agent", str_equal(login->type, S("ecr")) ? "CannotPullECRContainerError"
							    : "CannotPullContainerAuthError", STR(login->type));
	if (!get_image(hands, container->image, arena, &image, err))
		return false;
	fact->image_digest = image.digest;
	return images_hold(hands->options.images, at.owner, &image, err) ||
	       fail_context(err, "CannotPullContainerError");
}

void chore_pull(struct hands *hands, struct chore *chore)
{
	struct fact fact = fact_of(FACT_PULL, chore->task_id, chore->name);
	struct error err = {0};
	bool ok = pull(hands, chore->task_id, chore->container, &chore->arena, &fact, &err);

	fact.at = clock_now();
	hands_tell_result(hands, &fact, ok, &err);
}

/* ---- JOB_CREATE ---- */

static void do_create(struct hands *hands, struct lane *lane, struct chore *chore)
{
	struct fact fact = fact_of(FACT_CREATE, lane->task_id, STR_NONE);
	struct error err = {0};
	bool ok = chore_create_task(hands, lane, chore->task, &chore->arena, &err);

	fact.at = clock_now();
	hands_tell_result(hands, &fact, ok, &err);
}

/* ---- JOB_SIGNAL ---- */

/* To be asked to end means what the image says. */
static int stop_signal_of(struct hands *hands, struct lane *lane, struct chore *chore)
{
	struct places at = places_of(hands, lane->task_id, chore->name, &chore->arena);
	struct keeper_launch launch;
	int64_t number;

	if (keeper_read_launch(at.folder, &chore->arena, &launch, NULL) && str_to_long(launch.stop, &number))
		return (int)number;
	return SIGTERM;
}

static void do_signal(struct hands *hands, struct lane *lane, struct chore *chore)
{
	struct fact fact = fact_of(FACT_SIGNAL, lane->task_id, chore->name);
	struct error err = {0};
	int number = chore->signal == SIGTERM ? stop_signal_of(hands, lane, chore) : chore->signal;
	bool ok = (lane_connect(hands, lane, &err) &&
		   lane_send(hands, lane, KEEPER_SIGNAL, chore->name, number, &err)) ||
		  fail_context(&err, "CannotStopContainerError");

	hands_tell_result(hands, &fact, ok, &err);
}

/* ---- JOB_DESTROY ---- */

static void forget_container(struct hands *hands, struct str task_id, struct str name)
{
	auto_arena arena = {0};
	struct places at = places_of(hands, task_id, name, &arena);
	struct error ignored;

	chore_detach(hands, &at);
	images_release(hands->options.images, at.owner, &ignored);
	log_progress_close(arena_printf(&arena, "%.*s/%.*s.progress%c", STR(at.logs), STR(name), '\0').ptr);
}

static void kill_containers(struct hands *hands, struct lane *lane, const struct str *names, size_t count)
{
	if (!lane_connect(hands, lane, NULL))
		return;
	for (size_t i = 0; i < count; i++)
		lane_send(hands, lane, KEEPER_SIGNAL, names[i], SIGKILL, NULL);
	lane_quit(hands, lane);
}

static usec modified_at(int folder, struct str name, struct arena *arena)
{
	struct stat status;

	if (fstatat(folder, arena_cstr(arena, name), &status, AT_SYMLINK_NOFOLLOW) < 0)
		return 0;
	return status.st_mtim.tv_sec * USEC_PER_SEC + status.st_mtim.tv_nsec / 1000;
}

/* The task is still there, or lines of it are still to be shipped. */
static bool logs_are_needed(const struct hands *hands, int folder, struct str task_id, struct arena *arena)
{
	struct places at = places_of(hands, task_id, S("x"), arena);
	struct str *files;
	size_t count;

	if (faccessat(AT_FDCWD, arena_cstr(arena, at.run), F_OK, 0) == 0)
		return true;
	if (!folder_list(folder, arena_cstr(arena, task_id), LOG_FOLDER_FILES_LIMIT, arena, &files, &count, NULL))
		return false;
	for (size_t i = 0; i < count; i++)
		if (str_ends(files[i], S(".ship")))
			return true;
	return false;
}

struct old_log { usec at; struct str task_id; };

static int compare_ages(const void *a, const void *b)
{
	usec left = ((const struct old_log *)a)->at, right = ((const struct old_log *)b)->at;

	return left < right ? -1 : left > right;
}

/* Logs are kept by when their task ended, which is now when there is still something of it. */
static void date_logs(const struct places *at)
{
	auto_arena arena = {0};

	if (faccessat(AT_FDCWD, arena_cstr(&arena, at->run), F_OK, 0) == 0)
		utimensat(AT_FDCWD, arena_cstr(&arena, at->logs), NULL, 0);
}

static bool is_time_to_prune(struct hands *hands)
{
	bool due;

	pthread_mutex_lock(&hands->lock);
	due = hands->ended_logs++ % LOGS_SLACK == 0;
	pthread_mutex_unlock(&hands->lock);
	return due;
}

/* `rank`: how many tasks ended later. */
static bool is_too_old(const struct hands *hands, const struct old_log *log, size_t rank)
{
	if (rank < HANDS_LOGS_KEPT)
		return false;
	return rank >= AGENT_ENDED_LIMIT || log->at + hands->options.keep_logs < clock_now();
}

/* Logs outlive their task for those who ask what happened, but not without bound. */
static void prune_logs(struct hands *hands)
{
	auto_arena arena = {0};
	const char *path = arena_printf(&arena, "%.*s/logs%c", STR(hands->options.data), '\0').ptr;
	auto_fd folder = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	struct old_log *old;
	struct str *names;
	size_t count, old_count = 0;

	if (folder < 0 || !folder_list(folder, ".", TASKS_LIMIT, &arena, &names, &count, NULL) || count <= HANDS_LOGS_KEPT)
		return;
	old = arena_array(&arena, struct old_log, count);
	for (size_t i = 0; i < count; i++)
		if (!logs_are_needed(hands, folder, names[i], &arena))
			old[old_count++] = (struct old_log){modified_at(folder, names[i], &arena), names[i]};
	qsort(old, old_count, sizeof(*old), compare_ages);
	for (size_t i = 0; i < old_count && is_too_old(hands, &old[i], old_count - 1 - i); i++)
		tree_remove(folder, arena_cstr(&arena, old[i].task_id), NULL);
}

static bool remove_folder(struct str path, struct error *err)
{
	auto_arena arena = {0};

	return tree_remove(AT_FDCWD, arena_cstr(&arena, path), err);
}

bool chore_destroy_task(struct hands *hands, struct lane *lane, struct str task_id, const struct acs_task *task,
		       struct error *err)
{
	auto_arena arena = {0};
	struct places at = places_of(hands, task_id, S("x"), &arena);
	struct str *names;
	size_t count;
	bool ok;

	if (!places_check(task_id, S("x"), err))
		return false;
	places_list_containers(&at, &arena, &names, &count);
	kill_containers(hands, lane, names, count);
	date_logs(&at);
	ok = cgroup_kill(task_id, err);
	for (size_t i = 0; i < count; i++)
		forget_container(hands, task_id, names[i]);
	for (size_t i = 0; task && i < task->containers.count; i++)
		if (places_name_is_good(task->containers.items[i].name))
			forget_container(hands, task_id, task->containers.items[i].name);
	ok = chore_release_network(hands, task_id, ok ? err : NULL) && ok;
	ok = volumes_release(hands->options.data, task_id, ok ? err : NULL) && ok;
	ok = chore_release_memory(&at, ok ? err : NULL) && ok;
	ok = space_remove(at.data, ok ? err : NULL) && ok;
	idmap_release(hands->options.run, task_id);
	ok = cgroup_remove(task_id, ok ? err : NULL) && ok;
	ok = remove_folder(at.run, ok ? err : NULL) && ok;
	ok = remove_folder(at.data, ok ? err : NULL) && ok;
	if (is_time_to_prune(hands))
		prune_logs(hands);
	return ok;
}

void hands_tell_exit(struct hands *hands, struct str task_id, const struct keeper_event *event)
{
	struct fact fact = fact_of(FACT_EXIT, task_id, str_of(event->container));

	fact.ok = true;
	fact.exit_code = event->exit_code;
	fact.out_of_memory = event->out_of_memory;
	fact.at = event->finished_at;
	fact.started_at = event->started_at;
	hands_tell(hands, &fact);
}

static void do_destroy(struct hands *hands, struct lane *lane, struct chore *chore)
{
	struct fact fact = fact_of(FACT_DESTROY, lane->task_id, STR_NONE);
	struct error err = {0};
	bool ok = chore_destroy_task(hands, lane, lane->task_id, chore->task, &err);
	struct chore *ended;

	/* Exits that destroying brought about are told before its end. */
	while ((ended = lane_take(hands, lane, WORK_EXITED))) {
		hands_tell_exit(hands, lane->task_id, &ended->event);
		chore_free(ended);
	}
	while ((ended = lane_take(hands, lane, WORK_LOST)))
		chore_free(ended);
	hands_tell_result(hands, &fact, ok, &err);
}

/* ---- JOB_RELEASE ---- */

static void do_release(struct hands *hands, struct lane *lane, struct chore *chore)
{
	struct fact fact = fact_of(FACT_RELEASE, lane->task_id, STR_NONE);
	struct error err = {0};
	bool ok = chore_release_network(hands, lane->task_id, &err);

	hands_tell_result(hands, &fact, ok, &err);
}

/* ---- What keepers report by themselves ---- */

/* Ports are free again before the brain hears of the end: a successor may want the same. */
static void do_exited(struct hands *hands, struct lane *lane, struct chore *chore)
{
	struct places at = places_of(hands, lane->task_id, chore->name, &chore->arena);

	chore_detach(hands, &at);
	hands_tell_exit(hands, lane->task_id, &chore->event);
}

static void (*const works[])(struct hands *hands, struct lane *lane, struct chore *chore) = {
	[WORK_CREATE] = do_create,
	[WORK_START] = chore_start,
	[WORK_SIGNAL] = do_signal,
	[WORK_DESTROY] = do_destroy,
	[WORK_RELEASE] = do_release,
	[WORK_STARTED] = chore_started,
	[WORK_EXITED] = do_exited,
	[WORK_LOST] = chore_lost,
	[WORK_RECONCILE] = chore_reconcile,
};
static_assert(COUNT(works) == WORK_KIND_COUNT, "a row for every kind of work");

void chore_do(struct hands *hands, struct lane *lane, struct chore *chore)
{
	assert(works[chore->kind]);
	works[chore->kind](hands, lane, chore);
}
