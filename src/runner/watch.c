#include "runner/watch.h"
#include <assert.h>
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <time.h>
#include "agent/network_view.h"
#include "api/wherry.h"
#include "base/buffer.h"
#include "base/random.h"
#include "host/fabric.h"
#include "os/clock.h"
#include "os/entropy.h"

enum {
	ANSWER_SECONDS = 40,                             /* the server parks a call for 25 s */
	BACKOFF_MSEC = 500,
	BACKOFF_MSEC_MOST = 15000,
	UNKNOWN_MSEC = 300000,
};

struct watch {
	struct arena arena;
	struct watch_options options;
	struct client_options client_options;
	struct client *client;
	pthread_t thread;
	pthread_mutex_t mutex;
	pthread_cond_t stop;
	bool stopping;
	/* Of the thread. */
	struct random random;
	struct buffer epoch;                             /* of the last answer that was done; empty: none */
	int64_t version;
	struct network_view view;                        /* of that answer */
	int64_t backoff_msec;
	struct error reported;
};

static void report(struct watch *watch, const struct error *err)
{
	if (!strcmp(err->text, watch->reported.text))
		return;
	watch->reported = *err;
	watch->options.report(err);
}

/* False once it has to stop. */
static bool pause_for(struct watch *watch, int64_t msec)
{
	usec until = clock_monotonic() + msec * USEC_PER_MSEC;
	struct timespec moment = {.tv_sec = until / USEC_PER_SEC, .tv_nsec = until % USEC_PER_SEC * 1000};
	int os = 0;
	bool go_on;

	pthread_mutex_lock(&watch->mutex);
	while (!watch->stopping && os != ETIMEDOUT)
		os = pthread_cond_timedwait(&watch->stop, &watch->mutex, &moment);
	go_on = !watch->stopping;
	pthread_mutex_unlock(&watch->mutex);
	return go_on;
}

static int64_t next_backoff(struct watch *watch, const struct error *err)
{
	int64_t msec = watch->backoff_msec;

	if (err->code == ERROR_UNKNOWN_OPERATION)
		return UNKNOWN_MSEC;
	watch->backoff_msec = MIN(2 * msec, BACKOFF_MSEC_MOST);
	return msec / 2 + (int64_t)random_below(&watch->random, (uint64_t)msec);
}

/* What could not be done is asked for again, whole. */
static bool take_news(struct watch *watch, const struct wherry_watch_network_response *news, struct arena *arena,
		      struct error *err)
{
	struct wherry_watch_network_response told;

	buffer_clear(&watch->epoch);
	if (!network_view_take(&watch->view, news, arena, &told, err) || !fabric_apply(watch->options.fabric, &told, err))
		return false;
	buffer_add(&watch->epoch, news->epoch);
	watch->version = news->version.value;
	return true;
}

static bool ask(struct watch *watch, struct error *err)
{
	auto_arena arena = {0};
	struct wherry_watch_network_request request = {
		.container_instance = watch->options.instance_arn, .cluster = watch->options.cluster};
	void *news;

	if (watch->epoch.len) {
		request.epoch = buffer_str(&watch->epoch);
		request.version = (struct maybe_long){watch->version, true};
	}
	return client_call(watch->client, &api_wherry.operations[WHERRY_OPERATION_WATCH_NETWORK],
			   &request, &arena, &news, err) &&
	       take_news(watch, news, &arena, err);
}

static bool is_stopping(struct watch *watch)
{
	bool stopping;

	pthread_mutex_lock(&watch->mutex);
	stopping = watch->stopping;
	pthread_mutex_unlock(&watch->mutex);
	return stopping;
}

static void *run(void *arg)
{
	struct watch *watch = arg;

	while (!is_stopping(watch)) {
		struct error why = {0};
		bool ok = ask(watch, &why);

		/* Even when the server does not answer. */
		ok = fabric_settle(watch->options.fabric, clock_monotonic(), ok ? &why : NULL) && ok;
		if (ok) {
			watch->backoff_msec = BACKOFF_MSEC;
			watch->reported = (struct error){0};
			continue;
		}
		if (is_stopping(watch))
			break;
		fail_context(&why, "watch the network");
		report(watch, &why);
		if (!pause_for(watch, next_backoff(watch, &why)))
			break;
	}
	return NULL;
}

static void watch_free(struct watch *watch)
{
	client_free(watch->client);
	buffer_fini(&watch->epoch);
	network_view_fini(&watch->view);
	pthread_cond_destroy(&watch->stop);
	pthread_mutex_destroy(&watch->mutex);
	arena_fini(&watch->arena);
	free(watch);
}

static struct watch *watch_new(const struct watch_options *options)
{
	struct watch *watch = calloc(1, sizeof(*watch));
	pthread_condattr_t monotonic;

	assert(watch);
	watch->options = *options;
	watch->options.cluster = arena_copy(&watch->arena, options->cluster);
	watch->options.instance_arn = arena_copy(&watch->arena, options->instance_arn);
	watch->client_options = *options->client;
	watch->client_options.timeout = ANSWER_SECONDS * USEC_PER_SEC;
	watch->backoff_msec = BACKOFF_MSEC;
	random_init(&watch->random, entropy_number(), 0);
	pthread_mutex_init(&watch->mutex, NULL);
	pthread_condattr_init(&monotonic);
	pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
	pthread_cond_init(&watch->stop, &monotonic);
	pthread_condattr_destroy(&monotonic);
	return watch;
}

bool watch_start(const struct watch_options *options, struct watch **ret_watch, struct error *err)
{
	struct watch *watch = watch_new(options);
	int os;

	if (!client_new(&watch->client_options, &watch->client, err)) {
		watch_free(watch);
		return false;
	}
	os = pthread_create(&watch->thread, NULL, run, watch);
	if (os) {
		watch_free(watch);
		return fail_os(err, os, "start a thread");
	}
	*ret_watch = watch;
	return true;
}

struct str watch_instance(const struct watch *watch) { return watch->options.instance_arn; }

void watch_stop(struct watch *watch)
{
	if (!watch)
		return;
	pthread_mutex_lock(&watch->mutex);
	watch->stopping = true;
	pthread_cond_signal(&watch->stop);
	pthread_mutex_unlock(&watch->mutex);
	client_cancel(watch->client);
	pthread_join(watch->thread, NULL);
	watch_free(watch);
}
