#include "server/log_desk.h"
#include <pthread.h>
#include <stdatomic.h>
#include <time.h>
#include "api/logs.h"
#include "logs/tail.h"
#include "os/clock.h"
#include "os/entropy.h"
#include "server/brain.h"
#include "server/log.h"
#include "server/log_search.h"
#include "server/server.h"

enum { STACK_SIZE = 1 << 20 };

struct sweep {
	struct arena arena;
	struct logs_swept_event swept;                   /* so far; in the arena */
	int64_t before;
};

struct log_desk {
	struct log_desk_options options;
	pthread_t thread;
	struct log_search *search;
	struct log_tails *tails;
	struct random random;
	LIST_OF(struct log_put) puts;                    /* of the round */
	LIST_OF(struct sweep) sweeps;                    /* to be done, the last first */
	bool failed;

	pthread_mutex_t mutex;                           /* for all below */
	pthread_cond_t came;
	struct link queue;
	bool stopping;
	struct log_desk_figures figures;
};

/* ---- jobs */

static struct log_stream_name *copy_names(struct arena *arena, const struct log_stream_name *names, size_t count)
{
	struct log_stream_name *copy = arena_array(arena, struct log_stream_name, count);

	for (size_t i = 0; i < count; i++)
		copy[i] = (struct log_stream_name){names[i].id, arena_copy(arena, names[i].name)};
	return copy;
}

struct log_job *log_job_new(const struct log_work *task)
{
	struct log_job *job = calloc(1, sizeof(*job));

	if (!job)
		abort();
	job->task = *task;
	job->work = (struct work *)(uintptr_t)task->ticket;
	job->task.output = NULL; /* it is in the answer already */
	job->task.realm = arena_copy(&job->arena, task->realm);
	job->task.group = arena_copy(&job->arena, task->group);
	job->task.streams = copy_names(&job->arena, task->streams, task->stream_count);
	job->task.groups = copy_names(&job->arena, task->groups, task->group_count);
	return job;
}

void log_job_free(struct log_job *job)
{
	link_remove(&job->link);
	arena_fini(&job->arena);
	free(job);
}

/* ---- answering */

static void send_home(struct work *work)
{
	struct link one;

	chain_init(&one);
	chain_append(&one, &work->link);
	outbox_put(work->home, &one);
}

static void go_home(struct log_desk *desk, struct log_job *job)
{
	struct work *work = job->work;

	log_job_free(job);
	if (!work)
		return;
	desk->options.answered(desk->options.self);
	send_home(work);
}

static void refuse(struct log_desk *desk, struct log_job *job, const struct error *error)
{
	if (job->work)
		brain_answer_error(job->work, error);
	go_home(desk, job);
}

static void fail_desk(struct log_desk *desk, const struct error *error)
{
	if (!desk->failed)
		desk->options.on_failure(desk->options.self, error);
	desk->failed = true;
}

/* ---- puts */

static void add_put(struct log_desk *desk, const struct log_job *job)
{
	const struct logs_put_log_events_request *input = job->task.input;

	list_add(&desk->puts, ((struct log_put){
		.stream = job->task.streams[0].id, .group_id = job->task.groups[0].id, .now = job->task.now,
		.realm = job->task.realm, .group = job->task.group, .name = job->task.streams[0].name,
		.events = input->log_events.items + job->task.first_event, .count = job->task.event_count,
	}));
}

static void count_puts(struct log_desk *desk)
{
	pthread_mutex_lock(&desk->mutex);
	desk->figures.puts += desk->puts.count;
	for (size_t i = 0; i < desk->puts.count; i++)
		desk->figures.events += desk->puts.items[i].count;
	pthread_mutex_unlock(&desk->mutex);
}

static void do_puts(struct log_desk *desk, struct link *round)
{
	struct error error = {0};
	size_t next = 0;

	desk->puts.count = 0;
	CHAIN_EACH(round, struct log_job, link, job)
		if (job->task.task == LOG_PUT)
			add_put(desk, job);
	if (!desk->puts.count)
		return;
	if (!desk->failed && !log_store_put(desk->options.store, desk->puts.items, desk->puts.count, &error))
		fail_desk(desk, &error);
	if (!desk->failed)
		count_puts(desk);
	fail(&error, ERROR_SERVER, "log events cannot be written");
	CHAIN_EACH(round, struct log_job, link, job) {
		if (job->task.task != LOG_PUT)
			continue;
		if (desk->failed) {
			refuse(desk, job, &error);
			continue;
		}
		log_tails_offer(desk->tails, &desk->puts.items[next++]);
		go_home(desk, job);
	}
}

/* ---- reads: another thread's, from here on */

static void end_read(void *self, struct log_job *job, const struct error *error)
{
	if (error)
		refuse(self, job, error);
	else
		go_home(self, job);
}

/* ---- live tails: the job stays with its session, whose owner it is */

static bool send_frames(void *arg, void *owner, struct str frames, bool last)
{
	struct log_job *job = owner;
	bool gone = atomic_load(&job->work->gone);
	struct work *piece = gone ? NULL : calloc(1, sizeof(*piece));

	if (piece) {
		piece->kind = WORK_STREAM;
		piece->home = job->work->home;
		piece->stream_of = job->work;
		buffer_add(&piece->answer.body, frames);
		send_home(piece);
	}
	if (gone || last) {
		job->work->kind = WORK_STREAM_END;
		go_home(arg, job);
	}
	return !gone;
}

static void do_tail(struct log_desk *desk, struct log_job *job)
{
	const struct log_tail_request request = {
		.owner = job, .input = job->task.input, .groups = job->task.groups, .group_count = job->task.group_count,
		.id = random_uuid(&desk->random, &job->arena),
	};
	struct error error = {0};
	auto_buffer frames = {0};

	if (!log_tails_start(desk->tails, &request, clock_monotonic(), &frames, &error)) {
		refuse(desk, job, &error);
		return;
	}
	link_remove(&job->link);
	if (!send_frames(desk, job, buffer_str(&frames), false))
		log_tails_end(desk->tails, job);
}

/* ---- deleting */

static int by_number(const void *a, const void *b)
{
	int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;

	return (x > y) - (x < y);
}

static void sweep_others(struct log_desk *desk, const struct log_job *job)
{
	auto_arena arena = {0};
	int64_t *known, *kept = arena_array(&arena, int64_t, job->task.stream_count);
	struct error error = {0};
	size_t count;

	for (size_t i = 0; i < job->task.stream_count; i++)
		kept[i] = job->task.streams[i].id;
	qsort(kept, job->task.stream_count, sizeof(*kept), by_number);
	if (!log_store_streams(desk->options.store, &arena, &known, &count, &error)) {
		log_error("logs", "text=\"%s\"", error.text);
		return;
	}
	for (size_t i = 0; i < count; i++)
		if (!bsearch(&known[i], kept, job->task.stream_count, sizeof(*kept), by_number))
			list_add(&desk->sweeps, ((struct sweep){.swept.stream = known[i], .before = INT64_MAX}));
}

static void add_sweeps(struct log_desk *desk, const struct log_job *job)
{
	for (size_t i = 0; i < job->task.stream_count; i++) {
		struct sweep *sweep = list_push(&desk->sweeps);

		sweep->before = job->task.task == LOG_DROP ? INT64_MAX : job->task.before;
		sweep->swept.stream = job->task.streams[i].id;
		if (job->task.task == LOG_DROP)
			continue;
		sweep->swept.realm = arena_copy(&sweep->arena, job->task.realm);
		sweep->swept.group = arena_copy(&sweep->arena, job->task.group);
		sweep->swept.name = arena_copy(&sweep->arena, job->task.streams[i].name);
	}
}

static void end_sweep(struct log_desk *desk)
{
	struct sweep *sweep = &desk->sweeps.items[desk->sweeps.count - 1];

	if (sweep->swept.bytes && str_has(sweep->swept.realm) && desk->options.swept)
		desk->options.swept(desk->options.self, &sweep->swept);
	arena_fini(&sweep->arena);
	desk->sweeps.count--;
}

/* What cannot be deleted now is found again by the next start or retention. */
static void sweep_some(struct log_desk *desk)
{
	struct sweep *sweep = &desk->sweeps.items[desk->sweeps.count - 1];
	struct log_swept swept = {.first = sweep->swept.first};
	struct error error = {0};
	bool done = true;

	if (!desk->failed &&
	    !log_store_sweep(desk->options.store, sweep->swept.stream, sweep->before, &done, &swept, &error)) {
		log_error("logs", "text=\"%s\"", error.text);
		done = true;
	}
	sweep->swept.bytes += swept.bytes;
	sweep->swept.first = swept.first;
	if (done || desk->failed)
		end_sweep(desk);
}

/* ---- rounds */

static void do_job(struct log_desk *desk, struct log_job *job)
{
	static const struct error failed = {.code = ERROR_SERVER, .text = "log events cannot be written"};

	if (desk->failed) {
		refuse(desk, job, &failed);
		return;
	}
	switch (job->task.task) {
	case LOG_READ: log_search_take(desk->search, job); break;
	case LOG_TAIL: do_tail(desk, job); break;
	default: add_sweeps(desk, job); go_home(desk, job); break;
	}
}

static void do_round(struct log_desk *desk, struct link *round)
{
	CHAIN_EACH(round, struct log_job, link, job)
		if (job->task.task == LOG_KEEP) {
			sweep_others(desk, job);
			go_home(desk, job);
		}
	do_puts(desk, round);
	CHAIN_EACH(round, struct log_job, link, job)
		do_job(desk, job);
}

static void wait_for_jobs(struct log_desk *desk)
{
	usec due = log_tails_due(desk->tails);
	struct timespec deadline = {.tv_sec = due / USEC_PER_SEC, .tv_nsec = due % USEC_PER_SEC * 1000};

	if (due == USEC_NEVER)
		pthread_cond_wait(&desk->came, &desk->mutex);
	else
		pthread_cond_timedwait(&desk->came, &desk->mutex, &deadline);
}

/* False when it is time to end. The round is empty when there is something else to do. */
static bool take_round(struct log_desk *desk, struct link *ret_round)
{
	size_t count = 0;
	bool go_on;

	chain_init(ret_round);
	pthread_mutex_lock(&desk->mutex);
	while (chain_empty(&desk->queue) && !desk->stopping && !desk->sweeps.count &&
	       clock_monotonic() < log_tails_due(desk->tails))
		wait_for_jobs(desk);
	while (!chain_empty(&desk->queue) && count++ < LOG_DESK_ROUND_LIMIT) {
		struct link *link = desk->queue.next;

		link_remove(link);
		chain_append(ret_round, link);
	}
	go_on = !desk->stopping || count > 0;
	desk->figures.rounds += count > 0;
	desk->figures.sessions = log_tails_count(desk->tails);
	pthread_mutex_unlock(&desk->mutex);
	return go_on;
}

static void *run(void *argument)
{
	struct log_desk *desk = argument;
	struct link round;

	while (take_round(desk, &round)) {
		do_round(desk, &round);
		log_tails_update(desk->tails, clock_monotonic(), send_frames, desk);
		if (desk->sweeps.count)
			sweep_some(desk);
	}
	return NULL;
}

/* ---- from outside */

struct log_desk *log_desk_start(const struct log_desk_options *options)
{
	struct log_desk *desk = calloc(1, sizeof(*desk));
	pthread_condattr_t monotonic;
	pthread_attr_t attributes;

	if (!desk)
		abort();
	desk->options = *options;
	desk->tails = log_tails_new();
	desk->search = log_search_start(&(struct log_search_options){.store = options->reader, .done = end_read, .self = desk});
	random_init(&desk->random, entropy_number(), entropy_number());
	chain_init(&desk->queue);
	pthread_mutex_init(&desk->mutex, NULL);
	pthread_condattr_init(&monotonic);
	pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
	pthread_cond_init(&desk->came, &monotonic);
	pthread_condattr_destroy(&monotonic);
	pthread_attr_init(&attributes);
	pthread_attr_setstacksize(&attributes, STACK_SIZE);
	if (pthread_create(&desk->thread, &attributes, run, desk) != 0)
		abort();
	pthread_attr_destroy(&attributes);
	return desk;
}

void log_desk_take(struct log_desk *desk, struct link *jobs)
{
	pthread_mutex_lock(&desk->mutex);
	while (!chain_empty(jobs)) {
		struct link *link = jobs->next;

		link_remove(link);
		chain_append(&desk->queue, link);
	}
	pthread_cond_signal(&desk->came);
	pthread_mutex_unlock(&desk->mutex);
}

void log_desk_stop(struct log_desk *desk)
{
	if (!desk)
		return;
	pthread_mutex_lock(&desk->mutex);
	desk->stopping = true;
	pthread_cond_signal(&desk->came);
	pthread_mutex_unlock(&desk->mutex);
	pthread_join(desk->thread, NULL);
	log_search_stop(desk->search);
	log_tails_stop(desk->tails, send_frames, desk);
	log_tails_free(desk->tails);
	while (desk->sweeps.count)
		end_sweep(desk);
	list_fini(&desk->puts);
	list_fini(&desk->sweeps);
	pthread_cond_destroy(&desk->came);
	pthread_mutex_destroy(&desk->mutex);
	free(desk);
}

void log_desk_figures(struct log_desk *desk, struct log_desk_figures *ret_figures)
{
	pthread_mutex_lock(&desk->mutex);
	*ret_figures = desk->figures;
	pthread_mutex_unlock(&desk->mutex);
}
