#include "server/log_search.h"
#include <pthread.h>
#include <stdatomic.h>
#include "api/logs.h"
#include "logs/query.h"
#include "os/clock.h"
#include "server/brain.h"

enum { STACK_SIZE = 1 << 20 };

struct log_search {
	struct log_search_options options;
	pthread_t thread;

	pthread_mutex_t mutex;                           /* for all below */
	pthread_cond_t came;
	struct link queue;
	size_t waiting;                                  /* in the queue */
	bool stopping;
};

struct turn { const struct work *work; usec deadline; };

static bool is_enough(void *arg)
{
	const struct turn *turn = arg;

	return atomic_load(&turn->work->gone) || clock_monotonic() > turn->deadline;
}

static bool find(struct log_store *store, const struct log_job *job, struct arena *arena, void *output, struct error *err)
{
	struct turn turn = {job->work, clock_monotonic() + LOG_SEARCH_MSEC * USEC_PER_MSEC};
	const struct log_query query = {
		.streams = job->task.streams, .stream_count = job->task.stream_count, .oldest = job->task.before,
		.realm = job->task.realm, .is_enough = is_enough, .arg = &turn,
	};

	switch (job->task.operation->index) {
	case LOGS_OPERATION_GET_LOG_EVENTS: return log_get_events(store, &query, job->task.input, arena, output, err);
	case LOGS_OPERATION_FILTER_LOG_EVENTS: return log_filter_events(store, &query, job->task.input, arena, output, err);
	case LOGS_OPERATION_GET_LOG_RECORD: return log_get_record(store, &query, job->task.input, arena, output, err);
	default: return fail(err, ERROR_SERVER, "nobody reads for this operation");
	}
}

static void do_job(struct log_search *search, struct log_job *job)
{
	const struct operation *operation = job->task.operation;
	struct log_store *store = search->options.store;
	void *output = arena_alloc(&job->arena, 1, operation->output->size, 16);
	struct error error = {0};
	bool gone = atomic_load(&job->work->gone);
	bool found = !gone && log_store_begin_reading(store, &error) && find(store, job, &job->arena, output, &error);

	log_store_end_reading(store);
	if (found)
		brain_answer_output(job->work, operation, output);
	search->options.done(search->options.self, job, found || gone ? NULL : &error);
}

/* NULL: it is time to end. */
static struct log_job *next_job(struct log_search *search)
{
	struct log_job *job = NULL;

	pthread_mutex_lock(&search->mutex);
	while (chain_empty(&search->queue) && !search->stopping)
		pthread_cond_wait(&search->came, &search->mutex);
	if (!chain_empty(&search->queue)) {
		job = CONTAINER_OF(search->queue.next, struct log_job, link);
		link_remove(&job->link);
		search->waiting--;
	}
	pthread_mutex_unlock(&search->mutex);
	return job;
}

static void *run(void *argument)
{
	struct log_search *search = argument;
	struct log_job *job;

	while ((job = next_job(search)))
		do_job(search, job);
	return NULL;
}

struct log_search *log_search_start(const struct log_search_options *options)
{
	struct log_search *search = calloc(1, sizeof(*search));
	pthread_attr_t attributes;

	if (!search)
		abort();
	search->options = *options;
	chain_init(&search->queue);
	pthread_mutex_init(&search->mutex, NULL);
	pthread_cond_init(&search->came, NULL);
	pthread_attr_init(&attributes);
	pthread_attr_setstacksize(&attributes, STACK_SIZE);
	if (pthread_create(&search->thread, &attributes, run, search) != 0)
		abort();
	pthread_attr_destroy(&attributes);
	return search;
}

static bool add_job(struct log_search *search, struct log_job *job)
{
	bool fits;

	pthread_mutex_lock(&search->mutex);
	fits = search->waiting < LOG_SEARCH_QUEUE_LIMIT;
	if (fits) {
		chain_append(&search->queue, &job->link);
		search->waiting++;
		pthread_cond_signal(&search->came);
	}
	pthread_mutex_unlock(&search->mutex);
	return fits;
}

void log_search_take(struct log_search *search, struct log_job *job)
{
	static const struct error too_many = {.code = ERROR_THROTTLING, .text = "Rate exceeded"};

	link_remove(&job->link);
	if (!add_job(search, job))
		search->options.done(search->options.self, job, &too_many);
}

void log_search_stop(struct log_search *search)
{
	pthread_mutex_lock(&search->mutex);
	search->stopping = true;
	pthread_cond_signal(&search->came);
	pthread_mutex_unlock(&search->mutex);
	pthread_join(search->thread, NULL);
	pthread_cond_destroy(&search->came);
	pthread_mutex_destroy(&search->mutex);
	free(search);
}
