#include "host/hands_private.h"
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <time.h>
#include "host/cgroup_warm.h"
#include "host/container.h"
#include "host/syscalls.h"
#include "os/clock.h"
#include "os/fd.h"
#include "os/file.h"

enum { WATCH_BATCH = 16, ANSWER_PATIENCE_SEC = 120, QUIT_PATIENCE_SEC = 10 };

/* ---- Facts ---- */

struct queued_fact {
	struct link link;
	struct arena arena;
	struct fact fact;
};

static struct fact fact_copy(const struct fact *fact, struct arena *arena)
{
	struct fact copy = *fact;
	size_t count = fact->bindings.count;

	copy.task_id = arena_copy(arena, fact->task_id);
	copy.container = arena_copy(arena, fact->container);
	copy.reason = arena_copy(arena, fact->reason);
	copy.image_digest = arena_copy(arena, fact->image_digest);
	copy.runtime_id = arena_copy(arena, fact->runtime_id);
	if (!fact->bindings.items)
		return copy;
	copy.bindings.items = arena_array(arena, struct ecs_network_binding, count);
	for (size_t i = 0; i < count; i++) {
		copy.bindings.items[i] = fact->bindings.items[i];
		copy.bindings.items[i].bind_ip = arena_copy(arena, fact->bindings.items[i].bind_ip);
	}
	return copy;
}

static void tell_locked(struct hands *hands, const struct fact *fact)
{
	struct queued_fact *queued = calloc(1, sizeof(*queued));

	if (!queued)
		abort();
	queued->fact = fact_copy(fact, &queued->arena);
	chain_append(&hands->facts, &queued->link);
	eventfd_write(hands->facts_fd, 1);
}

void hands_tell(struct hands *hands, const struct fact *fact)
{
	pthread_mutex_lock(&hands->lock);
	tell_locked(hands, fact);
	pthread_mutex_unlock(&hands->lock);
}

static void queued_free(struct queued_fact *queued)
{
	arena_fini(&queued->arena);
	free(queued);
}

bool hands_next(struct hands *hands, struct arena *arena, struct fact *ret_fact)
{
	struct queued_fact *queued = NULL;
	eventfd_t count;

	pthread_mutex_lock(&hands->lock);
	if (chain_empty(&hands->facts)) {
		eventfd_read(hands->facts_fd, &count);
	} else {
		queued = CONTAINER_OF(hands->facts.next, struct queued_fact, link);
		link_remove(&queued->link);
	}
	pthread_mutex_unlock(&hands->lock);
	if (!queued)
		return false;
	*ret_fact = fact_copy(&queued->fact, arena);
	queued_free(queued);
	return true;
}

int hands_fd(const struct hands *hands) { return hands->facts_fd; }

/* ---- Lanes and chore; the lock is held where a name ends in _locked ---- */

struct chore *chore_new(enum chore_kind kind, struct str name)
{
	struct chore *chore = calloc(1, sizeof(*chore));

	if (!chore)
		abort();
	chore->kind = kind;
	chore->name = arena_copy(&chore->arena, name);
	return chore;
}

void chore_free(struct chore *chore)
{
	if (!chore)
		return;
	arena_fini(&chore->arena);
	free(chore);
}

static struct lane *lane_get_locked(struct hands *hands, struct str task_id)
{
	struct lane *lane = map_get(&hands->lanes, task_id);
	char *id;

	if (lane)
		return lane;
	lane = calloc(1, sizeof(*lane));
	id = malloc(task_id.len + 1);
	if (!lane || !id)
		abort();
	if (task_id.len > 0)
		memcpy(id, task_id.ptr, task_id.len);
	lane->task_id = (struct str){id, task_id.len};
	lane->keeper_fd = -1;
	chain_init(&lane->works);
	chain_init(&lane->probes);
	map_put(&hands->lanes, lane->task_id, lane);
	return lane;
}

static void lane_free(struct lane *lane)
{
	CHAIN_EACH(&lane->works, struct chore, link, chore)
		chore_free(chore);
	CHAIN_EACH(&lane->probes, struct probe, link, probe)
		free(probe);
	fd_close(&lane->keeper_fd);
	free((char *)lane->task_id.ptr);
	free(lane);
}

static void lane_settle_locked(struct hands *hands, struct lane *lane)
{
	if (lane->busy || link_is_in(&lane->runnable))
		return;
	if (!chain_empty(&lane->works)) {
		chain_append(&hands->runnable, &lane->runnable);
		pthread_cond_signal(&hands->work_ready);
	} else if (lane->keeper_fd < 0) {
		map_remove(&hands->lanes, lane->task_id);
		lane_free(lane);
	}
}

static void lane_add_locked(struct hands *hands, struct lane *lane, struct chore *chore)
{
	chain_append(&lane->works, &chore->link);
	lane_settle_locked(hands, lane);
}

void lane_add(struct hands *hands, struct str task_id, struct chore *chore)
{
	pthread_mutex_lock(&hands->lock);
	lane_add_locked(hands, lane_get_locked(hands, task_id), chore);
	pthread_mutex_unlock(&hands->lock);
}

struct lane *lane_hold(struct hands *hands, struct str task_id)
{
	struct lane *lane;

	pthread_mutex_lock(&hands->lock);
	while ((lane = lane_get_locked(hands, task_id))->busy) {
		pthread_mutex_unlock(&hands->lock);
		clock_sleep(USEC_PER_MSEC);
		pthread_mutex_lock(&hands->lock);
	}
	link_remove(&lane->runnable);
	lane->busy = true;
	pthread_mutex_unlock(&hands->lock);
	return lane;
}

void lane_release(struct hands *hands, struct lane *lane)
{
	pthread_mutex_lock(&hands->lock);
	lane->busy = false;
	lane_settle_locked(hands, lane);
	pthread_mutex_unlock(&hands->lock);
}

struct chore *lane_take(struct hands *hands, struct lane *lane, enum chore_kind kind)
{
	struct chore *taken = NULL;

	pthread_mutex_lock(&hands->lock);
	CHAIN_EACH(&lane->works, struct chore, link, chore)
		if (!taken && chore->kind == kind) {
			link_remove(&chore->link);
			taken = chore;
		}
	pthread_mutex_unlock(&hands->lock);
	return taken;
}

/* ---- Keepers ---- */

static void watch_locked(struct hands *hands, struct lane *lane, int fd)
{
	struct epoll_event event = {.events = EPOLLIN, .data.fd = fd};

	lane->keeper_fd = fd;
	lane->quitting = false;
	if (epoll_ctl(hands->watch_fd, EPOLL_CTL_ADD, fd, &event) < 0)
		fd_close(&lane->keeper_fd);
}

bool lane_connect(struct hands *hands, struct lane *lane, struct error *err)
{
	auto_arena arena = {0};
	bool connected;
	int fd;

	pthread_mutex_lock(&hands->lock);
	connected = lane->keeper_fd >= 0;
	pthread_mutex_unlock(&hands->lock);
	if (connected)
		return true;
	if (!keeper_connect(arena_printf(&arena, "%.*s/tasks/%.*s", STR(hands->options.run), STR(lane->task_id)),
			    &fd, err))
		return false;
	pthread_mutex_lock(&hands->lock);
	watch_locked(hands, lane, fd);
	pthread_mutex_unlock(&hands->lock);
	return true;
}

void lane_adopt(struct hands *hands, struct str task_id, int fd)
{
	struct lane *lane;

	pthread_mutex_lock(&hands->lock);
	lane = lane_get_locked(hands, task_id);
	if (lane->keeper_fd < 0)
		watch_locked(hands, lane, fd);
	else
		close(fd);
	pthread_mutex_unlock(&hands->lock);
}

static bool send_locked(struct lane *lane, enum keeper_request_kind kind, struct str container, int signal,
			struct error *err)
{
	if (lane->keeper_fd < 0)
		return fail(err, ERROR_NOT_FOUND, "the keeper is gone");
	return keeper_send(lane->keeper_fd, kind, container, signal, err);
}

bool lane_send(struct hands *hands, struct lane *lane, enum keeper_request_kind kind, struct str container,
	       int signal, struct error *err)
{
	bool ok;

	pthread_mutex_lock(&hands->lock);
	ok = send_locked(lane, kind, container, signal, err);
	pthread_mutex_unlock(&hands->lock);
	return ok;
}

static struct timespec deadline_in(int seconds)
{
	struct timespec deadline;

	clock_gettime(CLOCK_MONOTONIC, &deadline);
	deadline.tv_sec += seconds;
	return deadline;
}

bool lane_start(struct hands *hands, struct lane *lane, struct str container, int root, struct keeper_event *ret_answer,
		struct error *err)
{
	struct timespec deadline = deadline_in(ANSWER_PATIENCE_SEC);
	int waited = 0;
	bool ok;

	pthread_mutex_lock(&hands->lock);
	lane->awaited = container;
	lane->answered = false;
	ok = lane->keeper_fd >= 0 ? keeper_start(lane->keeper_fd, container, root, err)
				  : fail(err, ERROR_NOT_FOUND, "the keeper is gone");
	while (ok && !lane->answered && lane->keeper_fd >= 0 && !hands->stopping && waited == 0)
		waited = pthread_cond_timedwait(&hands->keeper_spoke, &hands->lock, &deadline);
	if (ok && !lane->answered)
		ok = fail(err, ERROR_NOT_FOUND, waited ? "the runtime did not answer in time"
						       : "the keeper is gone");
	if (ok)
		*ret_answer = lane->answer;
	lane->awaited = STR_NONE;
	pthread_mutex_unlock(&hands->lock);
	return ok;
}

/* ---- Health checks: beside the lane, for they may take as long as they like ---- */

static void tell_probe_locked(struct hands *hands, struct str task_id, struct str container, bool ok, const char *text)
{
	tell_locked(hands, &(struct fact){.kind = FACT_PROBE, .task_id = task_id, .container = container, .ok = ok,
					  .reason = str_trim(str_of(text)), .at = clock_now()});
}

static void probed_locked(struct hands *hands, struct lane *lane, const struct keeper_event *event)
{
	struct str name = str_of(event->container);

	CHAIN_EACH(&lane->probes, struct probe, link, probe)
		if (str_equal(str_of(probe->container), name)) {
			link_remove(&probe->link);
			free(probe);
			tell_probe_locked(hands, lane->task_id, name, event->exit_code == 0, event->text);
		}
}

static void probes_lost_locked(struct hands *hands, struct lane *lane)
{
	CHAIN_EACH(&lane->probes, struct probe, link, probe) {
		link_remove(&probe->link);
		tell_probe_locked(hands, lane->task_id, str_of(probe->container), false, "the keeper is gone");
		free(probe);
	}
}

static void probe_locked(struct hands *hands, struct str task_id, struct str container, usec timeout)
{
	struct lane *lane = map_get(&hands->lanes, task_id);
	struct probe *probe = calloc(1, sizeof(*probe));

	if (!probe)
		abort();
	if (!lane || lane->keeper_fd < 0 || container.len > KEEPER_NAME_LIMIT ||
	    !keeper_probe(lane->keeper_fd, container, timeout, NULL)) {
		tell_probe_locked(hands, task_id, container, false, "the container does not run");
		free(probe);
		return;
	}
	memcpy(probe->container, container.ptr, container.len);
	chain_append(&lane->probes, &probe->link);
}

static void submit_probe(struct hands *hands, const struct job *job)
{
	auto_arena arena = {0};
	const struct acs_task *task = job->task->task;
	const struct acs_container *container = &task->containers.items[job->container];
	struct container decoded;
	struct error err = {0};
	usec timeout = 0;

	if (container_decode(task, container, &arena, &decoded, &err))
		timeout = container_probe_timeout(&decoded);
	pthread_mutex_lock(&hands->lock);
	if (timeout > 0)
		probe_locked(hands, job->task_id, container->name, timeout);
	else
		tell_probe_locked(hands, job->task_id, container->name, false,
				  err.text[0] ? err.text : "the container has no health check");
	pthread_mutex_unlock(&hands->lock);
}

void lane_quit(struct hands *hands, struct lane *lane)
{
	struct timespec deadline = deadline_in(QUIT_PATIENCE_SEC);
	int waited = 0;

	pthread_mutex_lock(&hands->lock);
	lane->quitting = true;
	if (send_locked(lane, KEEPER_QUIT, STR_NONE, 0, NULL))
		while (lane->keeper_fd >= 0 && waited == 0)
			waited = pthread_cond_timedwait(&hands->keeper_spoke, &hands->lock, &deadline);
	fd_close(&lane->keeper_fd);
	probes_lost_locked(hands, lane);
	pthread_mutex_unlock(&hands->lock);
}

static void heard_locked(struct hands *hands, struct lane *lane, const struct keeper_event *event)
{
	struct str name = str_of(event->container);
	struct chore *chore;

	if (event->kind == KEEPER_STARTED || event->kind == KEEPER_START_FAILED) {
		if (str_has(lane->awaited) && str_equal(lane->awaited, name)) {
			lane->answer = *event;
			lane->answered = true;
			pthread_cond_broadcast(&hands->keeper_spoke);
			return;
		}
	}
	if (event->kind == KEEPER_PROBED) {
		probed_locked(hands, lane, event);
		return;
	}
	if (event->kind == KEEPER_EXITED || event->kind == KEEPER_HAS_EXITED)
		chore = chore_new(WORK_EXITED, name);
	else if (event->kind == KEEPER_STARTED || event->kind == KEEPER_IS_RUNNING)
		chore = chore_new(WORK_STARTED, name);
	else
		return;
	chore->event = *event;
	lane_add_locked(hands, lane, chore);
}

static void ended_locked(struct hands *hands, struct lane *lane)
{
	fd_close(&lane->keeper_fd);
	probes_lost_locked(hands, lane);
	pthread_cond_broadcast(&hands->keeper_spoke);
	if (!lane->quitting && !hands->stopping)
		lane_add_locked(hands, lane, chore_new(WORK_LOST, STR_NONE));
}

/* By descriptor, not by address: a lane may have gone since the kernel reported. */
static struct lane *lane_of_locked(struct hands *hands, int fd)
{
	struct lane *lane;
	size_t cursor = 0;

	while ((lane = map_next(&hands->lanes, &cursor)))
		if (lane->keeper_fd == fd)
			return lane;
	return NULL;
}

static void listen_to(struct hands *hands, int fd)
{
	struct error err = {0};
	struct keeper_event event;
	struct lane *lane;

	pthread_mutex_lock(&hands->lock);
	lane = lane_of_locked(hands, fd);
	if (lane) {
		if (keeper_receive(fd, 0, &event, &err))
			heard_locked(hands, lane, &event);
		else if (err.code != ERROR_REFUSED)
			ended_locked(hands, lane);
	}
	pthread_mutex_unlock(&hands->lock);
}

static void *watch(void *arg)
{
	struct hands *hands = arg;
	struct epoll_event events[WATCH_BATCH];
	bool stopping = false;

	while (!stopping) {
		int count = epoll_wait(hands->watch_fd, events, WATCH_BATCH, -1);

		for (int i = 0; i < count; i++)
			if (events[i].data.fd != hands->wake_fd)
				listen_to(hands, events[i].data.fd);
		pthread_mutex_lock(&hands->lock);
		stopping = hands->stopping;
		pthread_mutex_unlock(&hands->lock);
	}
	return NULL;
}

/* ---- Workers ---- */

static void *serve_pulls(void *arg)
{
	struct hands *hands = arg;

	pthread_mutex_lock(&hands->lock);
	while (!hands->stopping) {
		struct chore *chore;

		if (chain_empty(&hands->pulls)) {
			pthread_cond_wait(&hands->pull_ready, &hands->lock);
			continue;
		}
		chore = CONTAINER_OF(hands->pulls.next, struct chore, link);
		link_remove(&chore->link);
		pthread_mutex_unlock(&hands->lock);
		chore_pull(hands, chore);
		chore_free(chore);
		pthread_mutex_lock(&hands->lock);
	}
	pthread_mutex_unlock(&hands->lock);
	return NULL;
}

static void work_next_locked(struct hands *hands)
{
	struct lane *lane = CONTAINER_OF(hands->runnable.next, struct lane, runnable);
	struct chore *chore = CONTAINER_OF(lane->works.next, struct chore, link);

	link_remove(&lane->runnable);
	link_remove(&chore->link);
	lane->busy = true;
	pthread_mutex_unlock(&hands->lock);
	chore_do(hands, lane, chore);
	chore_free(chore);
	pthread_mutex_lock(&hands->lock);
	lane->busy = false;
	lane_settle_locked(hands, lane);
}

static void *serve(void *arg)
{
	struct hands *hands = arg;

	pthread_mutex_lock(&hands->lock);
	while (!hands->stopping) {
		if (chain_empty(&hands->runnable))
			pthread_cond_wait(&hands->work_ready, &hands->lock);
		else
			work_next_locked(hands);
	}
	pthread_mutex_unlock(&hands->lock);
	return NULL;
}

/* ---- The whole ---- */

static void submit_pull(struct hands *hands, struct str task_id, struct chore *chore)
{
	chore->task_id = arena_copy(&chore->arena, task_id);
	pthread_mutex_lock(&hands->lock);
	chain_append(&hands->pulls, &chore->link);
	pthread_cond_signal(&hands->pull_ready);
	pthread_mutex_unlock(&hands->lock);
}

void hands_submit(struct hands *hands, const struct job *job)
{
	const struct acs_task *task = job->task ? job->task->task : NULL;
	struct chore *chore;

	assert(job->kind < JOB_KIND_COUNT);
	if (job->kind == JOB_PROBE) {
		submit_probe(hands, job);
		return;
	}
	if (job->kind == JOB_CREATE || job->kind == JOB_START)
		cgroup_warmer_ask(hands->warmer);
	chore = chore_new((enum chore_kind)job->kind, STR_NONE);
	chore->signal = job->signal;
	if (task)
		chore->task = shape_copy(&shape_acs_task, task, &chore->arena);
	if (task && job->kind != JOB_CREATE && job->kind != JOB_DESTROY && job->kind != JOB_RELEASE) {
		assert(job->container < task->containers.count);
		chore->container = &chore->task->containers.items[job->container];
		chore->name = chore->container->name;
	}
	assert(task || job->kind == JOB_DESTROY || job->kind == JOB_RELEASE);
	if (job->kind == JOB_PULL)
		submit_pull(hands, job->task_id, chore);
	else
		lane_add(hands, job->task_id, chore);
}

void hands_reconcile(struct hands *hands) { lane_add(hands, S(""), chore_new(WORK_RECONCILE, STR_NONE)); }

static struct hands_options copy_options(const struct hands_options *options, struct arena *arena)
{
	struct hands_options copy = *options;

	copy.data = arena_copy(arena, options->data);
	copy.run = arena_copy(arena, options->run);
	copy.runtime = arena_copy(arena, options->runtime);
	copy.fargate_runtime = str_empty(options->fargate_runtime) ? copy.runtime : arena_copy(arena, options->fargate_runtime);
	copy.environment_store.endpoint = arena_copy(arena, options->environment_store.endpoint);
	copy.environment_store.region = arena_copy(arena, options->environment_store.region);
	copy.environment_store.key_id = arena_copy(arena, options->environment_store.key_id);
	copy.environment_store.secret = arena_copy(arena, options->environment_store.secret);
	copy.environment_store.session_token = arena_copy(arena, options->environment_store.session_token);
	copy.keeper = arena_copy(arena, options->keeper);
	copy.pull_behavior = arena_copy(arena, options->pull_behavior);
	return copy;
}

static bool make_folders(const struct hands *hands, struct error *err)
{
	auto_arena arena = {0};
	const struct hands_options *options = &hands->options;
	const struct { struct str parent; const char *name; mode_t mode; } folders[] = {
		{options->run, "", 0755}, {options->run, "tasks", 0711}, {options->data, "", 0755},
		{options->data, "tasks", 0711}, {options->data, "logs", 0750},
	};

	for (size_t i = 0; i < COUNT(folders); i++)
		if (!folder_make(arena_printf(&arena, "%.*s/%s%c", STR(folders[i].parent), folders[i].name,
					      '\0').ptr, folders[i].mode, err))
			return false;
	return true;
}

static void init_locks(struct hands *hands)
{
	pthread_condattr_t monotonic;

	pthread_condattr_init(&monotonic);
	pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
	pthread_mutex_init(&hands->lock, NULL);
	pthread_mutex_init(&hands->network_lock, NULL);
	pthread_cond_init(&hands->work_ready, &monotonic);
	pthread_cond_init(&hands->pull_ready, &monotonic);
	pthread_cond_init(&hands->keeper_spoke, &monotonic);
	pthread_condattr_destroy(&monotonic);
}

static bool open_fds(struct hands *hands, struct error *err)
{
	struct epoll_event event = {.events = EPOLLIN};

	hands->facts_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	hands->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	hands->watch_fd = epoll_create1(EPOLL_CLOEXEC);
	hands->host_mounts_fd = open("/proc/thread-self/ns/mnt", O_RDONLY | O_CLOEXEC);
	event.data.fd = hands->wake_fd;
	if (hands->facts_fd < 0 || hands->wake_fd < 0 || hands->watch_fd < 0 || hands->host_mounts_fd < 0 ||
	    epoll_ctl(hands->watch_fd, EPOLL_CTL_ADD, hands->wake_fd, &event) < 0)
		return fail_os(err, errno, "open event descriptors");
	return true;
}

static bool start_threads(struct hands *hands, struct error *err)
{
	int failed = pthread_create(&hands->watcher, NULL, watch, hands);

	hands->has_watcher = failed == 0;
	while (failed == 0 && hands->worker_count < HANDS_WORKERS) {
		failed = pthread_create(&hands->workers[hands->worker_count], NULL, serve, hands);
		hands->worker_count += failed == 0;
	}
	while (failed == 0 && hands->puller_count < HANDS_PULLERS) {
		failed = pthread_create(&hands->pullers[hands->puller_count], NULL, serve_pulls, hands);
		hands->puller_count += failed == 0;
	}
	return failed == 0 || fail_os(err, failed, "start threads");
}

/* Keepers go through no link on their way to what they bind. */
static bool canonical(struct str *path, struct arena *arena, struct error *err)
{
	char *real = realpath(arena_cstr(arena, *path), NULL);

	if (!real)
		return fail_os(err, errno, "find '%.*s'", STR(*path));
	*path = arena_copy(arena, str_of(real));
	free(real);
	return true;
}

/* A folder that every machine has and nothing of ours lies in; launches cover it, each for itself. */
static struct str choose_stage(const struct hands_options *options)
{
	static const struct str folders[] = {STR_INIT("/mnt"), STR_INIT("/media"), STR_INIT("/srv"), STR_INIT("/opt")};

	for (size_t i = 0; i < COUNT(folders); i++)
		if (access(folders[i].ptr, F_OK) == 0 && !str_starts(options->run, folders[i]) &&
		    !str_starts(options->data, folders[i]))
			return folders[i];
	return S("/media");
}

bool hands_new(const struct hands_options *options, struct hands **ret_hands, struct error *err)
{
	struct hands *hands = calloc(1, sizeof(*hands));

	if (!hands)
		abort();
	/* Workers change folders and mount namespaces: names must mean the same everywhere. */
	assert(options->data.len > 0 && options->data.ptr[0] == '/');
	assert(options->run.len > 0 && options->run.ptr[0] == '/');
	hands->options = copy_options(options, &hands->arena);
	hands->runtime_takes_bpf = str_ends(hands->options.runtime, S("crun"));
	hands->fargate_runtime_takes_bpf = str_ends(hands->options.fargate_runtime, S("crun"));
	hands->stage = choose_stage(&hands->options);
	hands->facts_fd = hands->wake_fd = hands->watch_fd = hands->host_mounts_fd = -1;
	hands->syscalls = syscalls_new();
	hands->warmer = cgroup_warmer_new();
	chain_init(&hands->runnable);
	chain_init(&hands->pulls);
	chain_init(&hands->facts);
	init_locks(hands);
	if (!make_folders(hands, err) || !canonical(&hands->options.run, &hands->arena, err) ||
	    !canonical(&hands->options.data, &hands->arena, err) || !open_fds(hands, err) || !start_threads(hands, err)) {
		hands_free(hands);
		return false;
	}
	*ret_hands = hands;
	return true;
}

static void stop_threads(struct hands *hands)
{
	pthread_mutex_lock(&hands->lock);
	hands->stopping = true;
	pthread_cond_broadcast(&hands->work_ready);
	pthread_cond_broadcast(&hands->pull_ready);
	pthread_cond_broadcast(&hands->keeper_spoke);
	pthread_mutex_unlock(&hands->lock);
	if (hands->wake_fd >= 0)
		eventfd_write(hands->wake_fd, 1);
	for (size_t i = 0; i < hands->worker_count; i++)
		pthread_join(hands->workers[i], NULL);
	for (size_t i = 0; i < hands->puller_count; i++)
		pthread_join(hands->pullers[i], NULL);
	if (hands->has_watcher)
		pthread_join(hands->watcher, NULL);
}

void hands_free(struct hands *hands)
{
	struct lane *lane;
	size_t cursor = 0;

	if (!hands)
		return;
	stop_threads(hands);
	while ((lane = map_next(&hands->lanes, &cursor)))
		lane_free(lane);
	map_fini(&hands->lanes);
	CHAIN_EACH(&hands->pulls, struct chore, link, chore)
		chore_free(chore);
	CHAIN_EACH(&hands->facts, struct queued_fact, link, queued)
		queued_free(queued);
	syscalls_free(hands->syscalls);
	cgroup_warmer_free(hands->warmer);
	fd_close(&hands->facts_fd);
	fd_close(&hands->wake_fd);
	fd_close(&hands->watch_fd);
	fd_close(&hands->host_mounts_fd);
	pthread_mutex_destroy(&hands->lock);
	pthread_mutex_destroy(&hands->network_lock);
	pthread_cond_destroy(&hands->work_ready);
	pthread_cond_destroy(&hands->keeper_spoke);
	arena_fini(&hands->arena);
	free(hands);
}
