#include "runner/awslogs.h"
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
#include "os/clock.h"
#include "os/file.h"
#include "runner/awslogs_private.h"
#include "wire/json.h"

enum {
	PASS_MSEC = 100,
	FULL_BYTES = 512 << 10,                          /* unshipped: do not wait for the half second */
	BACKOFF_LEAST_MSEC = 500, BACKOFF_MOST_MSEC = 10000,
	TARGET_BYTES_LIMIT = 64 << 10,
	OPEN_TRIES = 3, OPEN_SECONDS = 5,                /* of each call: a start's turn is not for waiting */
	STOP_SECONDS = 3,                                /* for calls under way when the agent ends */
	IDLE_ROUTES_LIMIT = 64,                          /* clients kept for opening: a task definition may name any endpoint */
};

/* A client and the options that it borrows: for one region and endpoint. */
struct route {
	struct client_options options;
	struct arena arena;
	struct client *client;
};

/* A region and endpoint that logs go to. Its thread ends when nothing is left to ship. */
struct service {
	struct awslogs *awslogs;                         /* borrowed */
	struct route *route;                             /* the thread's own */
	pthread_t thread;
	pthread_cond_t changed;
	bool ended;                                      /* the thread: it is to be joined */
	struct backoff backoff;                          /* the service is away, or does not know us */
	LIST_OF(struct log *) incoming, logs;            /* logs: the thread's own */
};

struct awslogs {
	struct awslogs_options options;
	pthread_mutex_t lock;
	pthread_cond_t ended;                            /* a service's thread has */
	atomic_bool stopping, hurry;                     /* hurry: everything is due */
	LIST_OF(struct route *) idle;
	LIST_OF(struct service *) services;
};

static void say(const struct log *log, const char *what, const char *why)
{
	fprintf(stderr, "wherry: agent: log %.*s: %s%s%s\n", STR(log->name), what, *why ? ": " : "", why);
}

/* ---- clients */

static void route_free(struct route *route)
{
	client_free(route->client);
	arena_fini(&route->arena);
	free(route);
}

static struct str region_of(const struct awslogs *awslogs, const struct agent_log_target *target)
{
	return str_empty(target->region) ? awslogs->options.client->region : target->region;
}

static struct str endpoint_of(const struct awslogs *awslogs, const struct agent_log_target *target)
{
	return str_empty(target->endpoint) ? awslogs->options.client->endpoint : target->endpoint;
}

static bool route_fits(const struct awslogs *awslogs, const struct client_options *options,
		       const struct agent_log_target *target)
{
	return str_equal(options->region, region_of(awslogs, target)) &&
	       str_equal(options->endpoint, endpoint_of(awslogs, target));
}

/* `timeout`: of one call; 0: the client's own. */
static struct route *route_new(const struct awslogs *awslogs, const struct agent_log_target *target, usec timeout,
			       struct error *err)
{
	struct route *route = calloc(1, sizeof(*route));

	if (!route)
		abort();
	route->options = *awslogs->options.client;
	route->options.region = arena_copy(&route->arena, region_of(awslogs, target));
	route->options.endpoint = arena_copy(&route->arena, endpoint_of(awslogs, target));
	if (timeout)
		route->options.timeout = timeout;
	if (client_new(&route->options, &route->client, err))
		return route;
	route_free(route);
	return NULL;
}

static struct route *route_take(struct awslogs *awslogs, const struct agent_log_target *target, struct error *err)
{
	struct route *route = NULL;

	pthread_mutex_lock(&awslogs->lock);
	for (size_t i = awslogs->idle.count; i-- > 0 && !route;)
		if (route_fits(awslogs, &awslogs->idle.items[i]->options, target)) {
			route = awslogs->idle.items[i];
			list_remove_at(&awslogs->idle, i);
		}
	pthread_mutex_unlock(&awslogs->lock);
	return route ? route : route_new(awslogs, target, OPEN_SECONDS * USEC_PER_SEC, err);
}

static void route_give(struct awslogs *awslogs, struct route *route)
{
	struct route *oldest = NULL;

	pthread_mutex_lock(&awslogs->lock);
	if (awslogs->idle.count == IDLE_ROUTES_LIMIT) {
		oldest = awslogs->idle.items[0];
		list_remove_at(&awslogs->idle, 0);
	}
	list_add(&awslogs->idle, route);
	pthread_mutex_unlock(&awslogs->lock);
	if (oldest)
		route_free(oldest);
}

/* ---- the stream */

static bool is_away(const struct error *err)
{
	return err->code == ERROR_THROTTLING || error_http_status(err->code) >= 500;     /* ERROR_NETWORK, too */
}

/* Whoever asks what: an operator may be changing keys, or the clock may be wrong. */
static bool is_unknown_caller(const struct error *err)
{
	return err->code == ERROR_UNRECOGNIZED_CLIENT || err->code == ERROR_EXPIRED_TOKEN ||
	       err->code == ERROR_INVALID_SIGNATURE || err->code == ERROR_INCOMPLETE_SIGNATURE ||
	       err->code == ERROR_MISSING_AUTHENTICATION_TOKEN;
}

/* What another try may bring; anything else is the batch's own fault. */
static bool may_pass(const struct error *err)
{
	return is_away(err) || is_unknown_caller(err) || err->code == ERROR_ACCESS_DENIED;
}

static bool create_group(struct client *client, const struct agent_log_target *target, struct error *err)
{
	const struct logs_create_log_group_request request = {.log_group_name = target->group};
	auto_arena arena = {0};
	void *output;

	return client_call(client, &api_logs.operations[LOGS_OPERATION_CREATE_LOG_GROUP], &request, &arena, &output, err) ||
	       err->code == ERROR_RESOURCE_ALREADY_EXISTS;
}

static bool create_stream(struct client *client, const struct agent_log_target *target, struct error *err)
{
	const struct logs_create_log_stream_request request = {.log_group_name = target->group,
								.log_stream_name = target->stream};
	auto_arena arena = {0};
	void *output;

	return client_call(client, &api_logs.operations[LOGS_OPERATION_CREATE_LOG_STREAM], &request, &arena, &output, err) ||
	       err->code == ERROR_RESOURCE_ALREADY_EXISTS;
}

static bool ensure_stream(struct client *client, const struct agent_log_target *target, struct error *err)
{
	for (int i = 0; i < OPEN_TRIES; i++) {
		*err = (struct error){0};
		if (create_stream(client, target, err))
			return true;
		if (err->code == ERROR_RESOURCE_NOT_FOUND && target->create_group.value) {
			if (create_group(client, target, err) && create_stream(client, target, err))
				return true;
		}
		if (!is_away(err))
			return false;
		if (i + 1 < OPEN_TRIES)
			clock_sleep((usec)BACKOFF_LEAST_MSEC * USEC_PER_MSEC << i);
	}
	return false;
}

/* ---- logs that are shipped */

static bool write_target(const struct log *log, struct error *err)
{
	auto_buffer text = {0};

	json_encode(&shape_agent_log_target, log->target, &text);
	return file_write(AT_FDCWD, log->ship_path, buffer_str(&text), 0640, err);
}

/* ---- shipping */

static void count_refused(struct log *log, const struct batch *batch, const struct logs_put_log_events_response *answer)
{
	const struct logs_rejected_log_events_info *info = answer->rejected_log_events_info;
	int64_t refused = 0;

	if (!info)
		return;
	if (info->too_new_log_event_start_index.has)
		refused += (int64_t)batch->events.count - info->too_new_log_event_start_index.value;
	refused += MAX(info->too_old_log_event_end_index.value, info->expired_log_event_end_index.value);
	log->refused += (uint64_t)refused;
}

/* However long its service is away or closed to us, a log does not wait for ever. */
static bool is_too_old(const struct batch *batch)
{
	return clock_now() / USEC_PER_MSEC - batch->last > LOG_PAST_DAYS * LOG_DAY_MSEC;
}

/* False: the batch must be tried again. What the service will never take is counted as refused, and passed over. */
static bool put(struct service *service, struct log *log, struct batch *batch, struct error *err)
{
	const struct logs_put_log_events_request request = {
		.log_group_name = log->target->group, .log_stream_name = log->target->stream,
		.log_events = {batch->events.items, batch->events.count}};
	struct client *client = service->route->client;
	void *output;

	if (batch->events.count == 0)
		return true;
	if (client_call(client, &api_logs.operations[LOGS_OPERATION_PUT_LOG_EVENTS], &request, &batch->arena, &output, err)) {
		count_refused(log, batch, output);
		return true;
	}
	/* Somebody deleted the stream, or the group: it comes back if it may. */
	if (err->code == ERROR_RESOURCE_NOT_FOUND) {
		struct error second = {0};

		if (ensure_stream(client, log->target, &second))
			return false;
		if (may_pass(&second))
			*err = second;
	}
	if (may_pass(err) && !is_too_old(batch))
		return false;
	log->refused += batch->events.count;
	return true;
}

static void tell_refused(struct log *log, const struct error *err)
{
	char text[80];

	if (log->refused == log->told_refused)
		return;
	snprintf(text, sizeof(text), "the service refused %llu messages", (unsigned long long)(log->refused - log->told_refused));
	say(log, text, err->text);
	log->told_refused = log->refused;
}

static usec flush_time(const struct log *log)
{
	return log->target->flush_seconds.has ? log->target->flush_seconds.value * USEC_PER_SEC
					      : (usec)AWSLOGS_FLUSH_MSEC * USEC_PER_MSEC;
}

static bool is_due(const struct awslogs *awslogs, struct log *log, usec now)
{
	bool ended = log->progress->closed;              /* first: a keeper writes, and closes then */
	uint64_t waiting = log->progress->written - log->progress->shipped;

	if (waiting == 0 && log->progress->dropped == log->progress->told) {
		log->waiting_since = 0;
		log->done = ended;
		return false;
	}
	if (log->waiting_since == 0)
		log->waiting_since = now;
	return now >= log->backoff.until &&
	       (awslogs->hurry || waiting >= FULL_BYTES || ended || now - log->waiting_since >= flush_time(log));
}

static void back_off(struct service *service, struct log *log, const struct error *err)
{
	struct backoff *backoff = is_away(err) || is_unknown_caller(err) ? &service->backoff : &log->backoff;
	usec wait = (usec)BACKOFF_LEAST_MSEC * USEC_PER_MSEC << MIN(backoff->failures, 5u);

	if (backoff->failures++ == 0 && !service->awslogs->stopping)
		say(log, "cannot ship now, trying again", err->text);
	backoff->until = clock_monotonic() + MIN(wait, (usec)BACKOFF_MOST_MSEC * USEC_PER_MSEC);
}

static void came_back(struct service *service, struct log *log)
{
	unsigned failures = service->backoff.failures + log->backoff.failures;
	char text[80];

	if (failures == 0)
		return;
	snprintf(text, sizeof(text), "ships again, after %u failed tries", failures);
	say(log, text, "");
	service->backoff = log->backoff = (struct backoff){0};
}

static void acknowledge(struct log *log, const struct batch *batch, bool ended)
{
	bool moved = batch->end > log->progress->shipped;

	log->progress->shipped = batch->end;
	log->progress->told = batch->told;
	/* A log that has ended in the middle of a line, or whose tail cannot be read, is as shipped as it will be. */
	if (!moved && ended && !log->joint.open)
		log->progress->shipped = log->progress->written;
	if (moved)
		log->waiting_since = 0;
}

/* True when something was shipped: more may be there. */
static bool ship(struct service *service, struct log *log, usec now)
{
	uint64_t before = log->progress->shipped;
	bool ended = log->progress->closed;
	struct batch batch = {0};
	struct error err = {0};

	log_gather(log, &batch, ended, now);
	if (put(service, log, &batch, &err)) {
		if (batch.events.count > 0 && err.code == ERROR_NONE)
			came_back(service, log);
		acknowledge(log, &batch, ended);
	} else {
		log_start_over(log);
		back_off(service, log, &err);
	}
	tell_refused(log, &err);
	batch_fini(&batch);
	return log->progress->shipped > before;
}

/* ---- the thread */

static void take_incoming(struct service *service)
{
	for (size_t i = 0; i < service->incoming.count; i++) {
		struct log *log = service->incoming.items[i];

		/* A restart in place: the newer one goes on where the older is. */
		for (size_t k = service->logs.count; k-- > 0;)
			if (str_equal(service->logs.items[k]->name, log->name)) {
				log_free(service->logs.items[k]);
				list_remove_at(&service->logs, k);
			}
		list_add(&service->logs, log);
	}
	service->incoming.count = 0;
}

static struct timespec time_in(usec span)
{
	usec at = clock_monotonic() + span;

	return (struct timespec){.tv_sec = at / USEC_PER_SEC, .tv_nsec = at % USEC_PER_SEC * 1000};
}

static bool is_reopened(const struct service *service, const struct log *log)
{
	for (size_t i = 0; i < service->incoming.count; i++)
		if (str_equal(service->incoming.items[i]->name, log->name))
			return true;
	return false;
}

static void drop_done(struct service *service)
{
	for (size_t i = service->logs.count; i-- > 0;) {
		struct log *log = service->logs.items[i];

		if (!log->done)
			continue;
		if (!is_reopened(service, log))
			unlink(log->ship_path);
		list_remove_at(&service->logs, i);
		log_free(log);
	}
}

/* True when something was shipped. */
static bool pass(struct service *service)
{
	usec now = clock_monotonic();
	bool any = false;

	for (size_t i = 0; i < service->logs.count && !service->awslogs->stopping; i++) {
		struct log *log = service->logs.items[i];

		if (is_due(service->awslogs, log, now) && now >= service->backoff.until)
			any |= ship(service, log, now);
	}
	return any;
}

static void *run(void *arg)
{
	struct service *service = arg;
	struct awslogs *awslogs = service->awslogs;
	bool busy = true;

	pthread_mutex_lock(&awslogs->lock);
	while (!awslogs->stopping && service->incoming.count + service->logs.count > 0) {
		struct timespec until = time_in(PASS_MSEC * USEC_PER_MSEC);

		if (!busy && service->incoming.count == 0)
			pthread_cond_timedwait(&service->changed, &awslogs->lock, &until);
		take_incoming(service);
		pthread_mutex_unlock(&awslogs->lock);
		busy = pass(service);
		pthread_mutex_lock(&awslogs->lock);
		drop_done(service);
	}
	service->ended = true;
	pthread_cond_broadcast(&awslogs->ended);
	pthread_mutex_unlock(&awslogs->lock);
	return NULL;
}

/* ---- services: of each region and endpoint, under the lock */

static void monotonic_init(pthread_cond_t *condition)
{
	pthread_condattr_t monotonic;

	pthread_condattr_init(&monotonic);
	pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
	pthread_cond_init(condition, &monotonic);
	pthread_condattr_destroy(&monotonic);
}

/* Its thread has been joined, or never was. */
static void service_free(struct service *service)
{
	take_incoming(service);
	for (size_t i = 0; i < service->logs.count; i++)
		log_free(service->logs.items[i]);
	list_fini(&service->incoming);
	list_fini(&service->logs);
	pthread_cond_destroy(&service->changed);
	if (service->route)
		route_free(service->route);
	free(service);
}

static void reap_ended(struct awslogs *awslogs)
{
	for (size_t i = awslogs->services.count; i-- > 0;) {
		struct service *service = awslogs->services.items[i];

		if (!service->ended)
			continue;
		pthread_join(service->thread, NULL);
		service_free(service);
		list_remove_at(&awslogs->services, i);
	}
}

/* Takes `first`, its thread's first log. */
static bool service_start(struct awslogs *awslogs, struct log *first, struct error *err)
{
	struct service *service = calloc(1, sizeof(*service));
	int failed;

	if (!service)
		abort();
	service->awslogs = awslogs;
	monotonic_init(&service->changed);
	service->route = route_new(awslogs, first->target, 0, err);
	failed = service->route ? pthread_create(&service->thread, NULL, run, service) : 0;
	if (!service->route || failed != 0) {
		service_free(service);
		return failed == 0 ? false : fail_os(err, failed, "start a thread that ships logs");
	}
	list_add(&service->incoming, first);
	list_add(&awslogs->services, service);
	return true;
}

static bool is_own(const struct awslogs *awslogs, const struct service *service)
{
	const struct agent_log_target nowhere_else = {0};

	return route_fits(awslogs, &service->route->options, &nowhere_else);
}

/* Whatever task definitions name, the cluster's own service has its place. */
static bool has_place(const struct awslogs *awslogs, const struct log *log)
{
	size_t others = 0;

	for (size_t i = 0; i < awslogs->services.count; i++)
		others += !is_own(awslogs, awslogs->services.items[i]);
	return others < AWSLOGS_SERVICES_LIMIT || route_fits(awslogs, awslogs->options.client, log->target);
}

/* Gives the log to its service's thread. */
static bool add_log(struct awslogs *awslogs, struct log *log, struct error *err)
{
	reap_ended(awslogs);
	for (size_t i = 0; i < awslogs->services.count; i++) {
		struct service *service = awslogs->services.items[i];

		if (!route_fits(awslogs, &service->route->options, log->target))
			continue;
		list_add(&service->incoming, log);
		pthread_cond_signal(&service->changed);
		return true;
	}
	if (!has_place(awslogs, log))
		return fail(err, ERROR_REFUSED, "logs go to %d other regions and endpoints already, not to one more at the same time",
			    AWSLOGS_SERVICES_LIMIT);
	return service_start(awslogs, log, err);
}

static bool have_all_ended(const struct awslogs *awslogs)
{
	for (size_t i = 0; i < awslogs->services.count; i++)
		if (!awslogs->services.items[i]->ended)
			return false;
	return true;
}

/* Wakes them, and waits until the last has ended. */
static void wait_for_ends(struct awslogs *awslogs, usec patience)
{
	struct timespec until = time_in(patience);
	int waited = 0;

	for (size_t i = 0; i < awslogs->services.count; i++)
		pthread_cond_signal(&awslogs->services.items[i]->changed);
	while (waited == 0 && !have_all_ended(awslogs))
		waited = pthread_cond_timedwait(&awslogs->ended, &awslogs->lock, &until);
}

void awslogs_flush(struct awslogs *awslogs, usec patience)
{
	if (!awslogs)
		return;
	pthread_mutex_lock(&awslogs->lock);
	awslogs->hurry = true;
	wait_for_ends(awslogs, patience);
	pthread_mutex_unlock(&awslogs->lock);
}

/* ---- opening */

static bool open_log(struct awslogs *awslogs, struct str task_id, struct str container,
		     const struct agent_log_target *target, struct error *err)
{
	struct log *log = log_new(awslogs->options.folder, task_id, container, target, err);
	bool written, added;

	if (!log)
		return false;
	log->progress->closed = 0;
	/* Under the lock: the thread may just be done with an earlier run's log, and remove the file of that name. */
	pthread_mutex_lock(&awslogs->lock);
	written = write_target(log, err);
	added = written && add_log(awslogs, log, err);
	if (written && !added)
		unlink(log->ship_path);
	pthread_mutex_unlock(&awslogs->lock);
	if (!added)
		log_free(log);
	return added;
}

bool awslogs_open(void *self, struct str task_id, struct str container, const struct agent_log_target *target,
		  struct error *err)
{
	struct awslogs *awslogs = self;
	struct error why = {0};
	struct route *route = route_take(awslogs, target, &why);
	bool there = route && ensure_stream(route->client, target, &why);

	if (route)
		route_give(awslogs, route);
	if (!there)
		return fail(err, ERROR_REFUSED, "ResourceInitializationError: failed to validate logger args: create stream has "
			    "been retried %d times: failed to create Cloudwatch log stream: %.*s: %s", is_away(&why) ? OPEN_TRIES : 1,
			    STR(error_wire_name(why.code)), why.text);
	return open_log(awslogs, task_id, container, target, err) ||
	       fail_context(err, "ResourceInitializationError: failed to initialize logging driver");
}

/* ---- what an agent before this one left to ship */

static void find_log(struct awslogs *awslogs, struct str task_id, struct str container)
{
	auto_arena arena = {0};
	const char *path = arena_cstr(&arena, arena_printf(&arena, "%.*s/%.*s/%.*s.ship", STR(awslogs->options.folder),
							   STR(task_id), STR(container)));
	struct json_fault fault = {0};
	struct error err = {0};
	struct log *log;
	void *target;
	struct str text;

	if (!file_read(AT_FDCWD, path, TARGET_BYTES_LIMIT, &arena, &text, NULL) ||
	    !json_decode(&shape_agent_log_target, text, &arena, &target, &fault))
		return;
	log = log_new(awslogs->options.folder, task_id, container, target, &err);
	if (log && add_log(awslogs, log, &err))
		return;
	if (log)
		log_free(log);
	fprintf(stderr, "wherry: agent: %s: %s\n", path, err.text);
}

static bool find_logs(struct awslogs *awslogs, struct error *err)
{
	auto_arena arena = {0};
	const char *folder = arena_cstr(&arena, awslogs->options.folder);
	struct str *tasks, *files;
	size_t task_count, file_count;

	if (!folder_make(folder, 0755, err) ||
	    !folder_list(AT_FDCWD, folder, AWSLOGS_LOGS_LIMIT, &arena, &tasks, &task_count, err))
		return false;
	for (size_t i = 0; i < task_count; i++) {
		struct str path = arena_printf(&arena, "%s/%.*s", folder, STR(tasks[i]));

		if (!folder_list(AT_FDCWD, arena_cstr(&arena, path), AWSLOGS_LOGS_LIMIT, &arena, &files, &file_count, NULL))
			continue;
		for (size_t k = 0; k < file_count; k++)
			if (str_ends(files[k], S(".ship")))
				find_log(awslogs, tasks[i], str_slice(files[k], 0, files[k].len - strlen(".ship")));
	}
	return true;
}

bool awslogs_new(const struct awslogs_options *options, struct awslogs **ret_awslogs, struct error *err)
{
	struct awslogs *awslogs = calloc(1, sizeof(*awslogs));
	bool found;

	if (!awslogs)
		abort();
	awslogs->options = *options;
	pthread_mutex_init(&awslogs->lock, NULL);
	monotonic_init(&awslogs->ended);
	pthread_mutex_lock(&awslogs->lock);
	found = find_logs(awslogs, err);
	pthread_mutex_unlock(&awslogs->lock);
	if (found)
		*ret_awslogs = awslogs;
	else
		awslogs_free(awslogs);
	return found;
}

void awslogs_free(struct awslogs *awslogs)
{
	if (!awslogs)
		return;
	pthread_mutex_lock(&awslogs->lock);
	awslogs->stopping = true;
	wait_for_ends(awslogs, STOP_SECONDS * USEC_PER_SEC);
	for (size_t i = 0; i < awslogs->services.count; i++)
		if (!awslogs->services.items[i]->ended)
			client_cancel(awslogs->services.items[i]->route->client);
	while (!have_all_ended(awslogs))
		pthread_cond_wait(&awslogs->ended, &awslogs->lock);
	reap_ended(awslogs);
	pthread_mutex_unlock(&awslogs->lock);
	for (size_t i = 0; i < awslogs->idle.count; i++)
		route_free(awslogs->idle.items[i]);
	list_fini(&awslogs->services);
	list_fini(&awslogs->idle);
	pthread_mutex_destroy(&awslogs->lock);
	pthread_cond_destroy(&awslogs->ended);
	free(awslogs);
}
