#include "runner/awslogs.h"
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <regex.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>
#include "api/logs.h"
#include "base/list.h"
#include "host/log_reader.h"
#include "os/clock.h"
#include "os/fd.h"
#include "os/file.h"
#include "wire/json.h"

enum {
	PASS_MSEC = 100,
	FULL_BYTES = 512 << 10,                          /* unshipped: do not wait for the half second */
	MULTILINE_MSEC = 1000,                           /* after which a message that may go on is taken to be whole */
	BACKOFF_LEAST_MSEC = 500, BACKOFF_MOST_MSEC = 10000,
	SPAN_HOURS = 23,                                 /* of a batch: the service takes 24 */
	TARGET_BYTES_LIMIT = 64 << 10,
	OPEN_TRIES = 3,
	FLUSH_POLL_MSEC = 10,
	COMPLAINT_BYTES = 128,                           /* what a batch keeps free for the word about dropped lines */
	IDLE_ROUTES_LIMIT = 64,                          /* clients that are kept: a task definition may name any endpoint */
};

/* A message that is being put together. */
struct joint {
	struct buffer text;
	usec at, touched;
	bool open, partial;                              /* holds something; its last line is not at its end yet */
	uint64_t end;                                    /* position after what it holds */
};

struct log {
	struct arena arena;
	const struct agent_log_target *target;
	struct str name;                                 /* "TASK/C" */
	const char *path, *ship_path;
	struct log_progress *progress;
	struct log_reader reader;
	struct joint joint;
	regex_t pattern;
	bool has_pattern, done;
	usec waiting_since;                              /* 0: nothing waits */
	usec retry_at;                                   /* its service is away: nothing is tried before */
	unsigned failures;                               /* in a row */
	uint64_t told_refused, refused;                  /* messages that the service would not take */
};

/* A client and the options that it borrows: for one region and endpoint. */
struct route {
	struct client_options options;
	struct arena arena;
	struct client *client;
};

struct awslogs {
	struct awslogs_options options;
	pthread_t thread;
	pthread_mutex_t lock;
	pthread_cond_t changed;
	bool stopping;
	atomic_bool hurry;                               /* everything is due */
	LIST_OF(struct route *) idle;
	LIST_OF(struct log *) incoming, logs;            /* logs: the thread's own */
};

struct batch {
	struct arena arena;
	LIST_OF(struct logs_input_log_event) events;
	size_t bytes;
	usec first, last;
	uint64_t end;                                    /* position after its last message */
	uint64_t told;                                   /* of the dropped lines, once it is acknowledged */
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

static bool route_fits(const struct awslogs *awslogs, const struct route *route, const struct agent_log_target *target)
{
	struct str region = str_empty(target->region) ? awslogs->options.client->region : target->region;
	struct str endpoint = str_empty(target->endpoint) ? awslogs->options.client->endpoint : target->endpoint;

	return str_equal(route->options.region, region) && str_equal(route->options.endpoint, endpoint);
}

static struct route *route_new(const struct awslogs *awslogs, const struct agent_log_target *target, struct error *err)
{
	struct route *route = calloc(1, sizeof(*route));

	if (!route)
		abort();
	route->options = *awslogs->options.client;
	if (!str_empty(target->region))
		route->options.region = arena_copy(&route->arena, target->region);
	if (!str_empty(target->endpoint))
		route->options.endpoint = arena_copy(&route->arena, target->endpoint);
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
		if (route_fits(awslogs, awslogs->idle.items[i], target)) {
			route = awslogs->idle.items[i];
			list_remove_at(&awslogs->idle, i);
		}
	pthread_mutex_unlock(&awslogs->lock);
	return route ? route : route_new(awslogs, target, err);
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

static bool call(struct awslogs *awslogs, const struct agent_log_target *target, enum logs_operation operation,
		 const void *input, struct arena *arena, void **ret_output, struct error *err)
{
	struct route *route = route_take(awslogs, target, err);
	bool ok;

	if (!route)
		return false;
	ok = client_call(route->client, &api_logs.operations[operation], input, arena, ret_output, err);
	route_give(awslogs, route);
	return ok;
}

/* ---- the stream */

static bool is_away(const struct error *err)
{
	return err->code == ERROR_NETWORK || err->code == ERROR_SERVER || err->code == ERROR_SERVICE_UNAVAILABLE ||
	       err->code == ERROR_THROTTLING;
}

static bool create_group(struct awslogs *awslogs, const struct agent_log_target *target, struct error *err)
{
	const struct logs_create_log_group_request request = {.log_group_name = target->group};
	auto_arena arena = {0};
	void *output;

	return call(awslogs, target, LOGS_OPERATION_CREATE_LOG_GROUP, &request, &arena, &output, err) ||
	       err->code == ERROR_RESOURCE_ALREADY_EXISTS;
}

static bool create_stream(struct awslogs *awslogs, const struct agent_log_target *target, struct error *err)
{
	const struct logs_create_log_stream_request request = {.log_group_name = target->group,
								.log_stream_name = target->stream};
	auto_arena arena = {0};
	void *output;

	return call(awslogs, target, LOGS_OPERATION_CREATE_LOG_STREAM, &request, &arena, &output, err) ||
	       err->code == ERROR_RESOURCE_ALREADY_EXISTS;
}

static bool ensure_stream(struct awslogs *awslogs, const struct agent_log_target *target, struct error *err)
{
	for (int i = 0; i < OPEN_TRIES; i++) {
		*err = (struct error){0};
		if (create_stream(awslogs, target, err))
			return true;
		if (err->code == ERROR_RESOURCE_NOT_FOUND && target->create_group.value) {
			if (create_group(awslogs, target, err) && create_stream(awslogs, target, err))
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

static struct log_progress *map_progress(const char *path, struct error *err)
{
	auto_fd fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0640);
	void *mapped;

	if (fd < 0 || ftruncate(fd, sizeof(struct log_progress)) < 0) {
		fail_os(err, errno, "open '%s'", path);
		return NULL;
	}
	mapped = mmap(NULL, sizeof(struct log_progress), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (mapped != MAP_FAILED)
		return mapped;
	fail_os(err, errno, "map '%s'", path);
	return NULL;
}

static void log_free(struct log *log)
{
	if (log->progress)
		munmap(log->progress, sizeof(*log->progress));
	log_reader_fini(&log->reader);
	buffer_fini(&log->joint.text);
	if (log->has_pattern)
		regfree(&log->pattern);
	arena_fini(&log->arena);
	free(log);
}

static bool compile_pattern(struct log *log, struct error *err)
{
	char why[120];
	int code;

	if (str_empty(log->target->multiline_pattern))
		return true;
	code = regcomp(&log->pattern, arena_cstr(&log->arena, log->target->multiline_pattern), REG_EXTENDED | REG_NOSUB);
	log->has_pattern = code == 0;
	if (code == 0)
		return true;
	regerror(code, &log->pattern, why, sizeof(why));
	return fail(err, ERROR_REFUSED, "awslogs could not parse multiline pattern key '%.*s': %s",
		    STR(log->target->multiline_pattern), why);
}

static struct log *log_new(const struct awslogs *awslogs, struct str task_id, struct str container,
			   const struct agent_log_target *target, struct error *err)
{
	struct log *log = calloc(1, sizeof(*log));
	struct str base;

	if (!log)
		abort();
	base = arena_printf(&log->arena, "%.*s/%.*s/%.*s", STR(awslogs->options.folder), STR(task_id), STR(container));
	log->name = arena_printf(&log->arena, "%.*s/%.*s", STR(task_id), STR(container));
	log->target = shape_copy(&shape_agent_log_target, target, &log->arena);
	log->path = arena_cstr(&log->arena, arena_printf(&log->arena, "%.*s.log", STR(base)));
	log->ship_path = arena_cstr(&log->arena, arena_printf(&log->arena, "%.*s.ship", STR(base)));
	log->reader.fd = -1;
	log->progress = map_progress(arena_cstr(&log->arena, arena_printf(&log->arena, "%.*s.progress", STR(base))), err);
	if (!log->progress || !compile_pattern(log, err)) {
		log_free(log);
		return NULL;
	}
	log_reader_init(&log->reader, log->progress, log->path, log->progress->shipped);
	return log;
}

static bool write_target(const struct log *log, struct error *err)
{
	auto_buffer text = {0};

	json_encode(&shape_agent_log_target, log->target, &text);
	return file_write(AT_FDCWD, log->ship_path, buffer_str(&text), 0640, err);
}

static bool open_log(struct awslogs *awslogs, struct str task_id, struct str container,
		     const struct agent_log_target *target, struct error *err)
{
	struct log *log = log_new(awslogs, task_id, container, target, err);
	bool written;

	if (!log)
		return false;
	log->progress->closed = 0;
	/* Under the lock: the thread may just be done with an earlier run's log, and remove the file of that name. */
	pthread_mutex_lock(&awslogs->lock);
	written = write_target(log, err);
	if (written)
		list_add(&awslogs->incoming, log);
	pthread_cond_signal(&awslogs->changed);
	pthread_mutex_unlock(&awslogs->lock);
	if (!written)
		log_free(log);
	return written;
}

bool awslogs_open(void *self, struct str task_id, struct str container, const struct agent_log_target *target,
		  struct error *err)
{
	struct awslogs *awslogs = self;
	struct error why = {0};

	if (!ensure_stream(awslogs, target, &why))
		return fail(err, ERROR_REFUSED, "ResourceInitializationError: failed to validate logger args: create stream has "
			    "been retried %d times: failed to create Cloudwatch log stream: %.*s: %s", is_away(&why) ? OPEN_TRIES : 1,
			    STR(error_wire_name(why.code)), why.text);
	return open_log(awslogs, task_id, container, target, err) ||
	       fail_context(err, "ResourceInitializationError: failed to initialize logging driver");
}

/* ---- putting messages together */

static void batch_add(struct batch *batch, usec at, struct str text, uint64_t end)
{
	struct logs_input_log_event *event;

	batch->end = end;
	if (text.len == 0)
		return;
	/* The service wants them in order; a clock may have been set back. */
	at = MAX(at / USEC_PER_MSEC, batch->last);
	if (batch->events.count == 0)
		batch->first = at;
	batch->last = at;
	batch->bytes += text.len + AWSLOGS_EVENT_OVERHEAD;
	event = list_push(&batch->events);
	*event = (struct logs_input_log_event){.timestamp = {at, true}, .message = arena_copy(&batch->arena, text)};
}

static bool batch_has_room(const struct batch *batch)
{
	return batch->events.count < AWSLOGS_BATCH_EVENTS - 1 &&
	       batch->bytes + AWSLOGS_EVENT_BYTES + COMPLAINT_BYTES + 2 * AWSLOGS_EVENT_OVERHEAD <= AWSLOGS_BATCH_BYTES;
}

/* A line that is much later than the first begins another batch. */
static bool batch_spans(const struct batch *batch, usec at)
{
	return batch->events.count == 0 || at / USEC_PER_MSEC - batch->first < (usec)SPAN_HOURS * 3600 * 1000;
}

static void joint_flush(struct joint *joint, struct batch *batch)
{
	if (joint->open)
		batch_add(batch, joint->at, buffer_str(&joint->text), joint->end);
	buffer_clear(&joint->text);
	joint->open = false;
}

/* Not in the middle of a character. */
static size_t piece_of(struct str text, size_t room)
{
	size_t cut = room;

	while (cut > 0 && room - cut < 4 && ((unsigned char)text.ptr[cut] & 0xc0) == 0x80)
		cut--;
	return cut > 0 ? cut : room;
}

static void joint_add(struct joint *joint, struct batch *batch, const struct log_line *line, uint64_t end)
{
	struct str text = line->text;

	while (joint->text.len + text.len > AWSLOGS_EVENT_BYTES) {
		size_t room = piece_of(text, AWSLOGS_EVENT_BYTES - joint->text.len);

		buffer_add(&joint->text, str_slice(text, 0, room));
		/* Not its end yet: should this batch be refused, the whole line is read again. */
		batch_add(batch, joint->at, buffer_str(&joint->text), batch->end);
		buffer_clear(&joint->text);
		text = str_slice(text, room, text.len);
	}
	buffer_add(&joint->text, text);
	joint->end = end;
}

static bool begins_message(const struct log *log, struct str text)
{
	regmatch_t where = {.rm_so = 0, .rm_eo = (regoff_t)text.len};

	return regexec(&log->pattern, text.ptr ? text.ptr : "", 1, &where, REG_STARTEND) == 0;
}

static void take_line(struct log *log, struct batch *batch, const struct log_line *line, uint64_t end, usec now)
{
	struct joint *joint = &log->joint;
	bool continues = joint->partial;

	if (!log->has_pattern && !joint->open && line->whole) {
		batch_add(batch, line->at, line->text, end);
		return;
	}
	if (!continues && joint->open && (!log->has_pattern || begins_message(log, line->text)))
		joint_flush(joint, batch);
	if (!joint->open)
		joint->at = line->at;
	else if (!continues)
		buffer_add_char(&joint->text, '\n');
	joint->open = true;
	joint->partial = !line->whole;
	joint->touched = now;
	joint_add(joint, batch, line, end);
	if (!log->has_pattern && line->whole)
		joint_flush(joint, batch);
}

static void gather(struct log *log, struct batch *batch, usec now)
{
	struct log_line line;

	batch->end = log->progress->shipped;
	while (batch_has_room(batch)) {
		uint64_t before = log->reader.position;

		if (!log_reader_next(&log->reader, &line))
			break;
		if (!batch_spans(batch, line.at)) {
			log_reader_seek(&log->reader, before);
			return;
		}
		take_line(log, batch, &line, log->reader.position, now);
	}
	if (!batch_has_room(batch) || !log->joint.open)
		return;
	/* Nothing follows: a message that could go on is whole after a moment, a line without its end only when all ended. */
	if (log->progress->closed || (!log->joint.partial && now - log->joint.touched >= (usec)MULTILINE_MSEC * USEC_PER_MSEC))
		joint_flush(&log->joint, batch);
}

/* ---- shipping */

static void start_over(struct log *log)
{
	log_reader_seek(&log->reader, log->progress->shipped);
	buffer_clear(&log->joint.text);
	log->joint.open = log->joint.partial = false;
}

static void add_complaint(struct log *log, struct batch *batch)
{
	uint64_t dropped = log->progress->dropped, lost = dropped - log->progress->told;
	usec at = batch->events.count ? batch->last * USEC_PER_MSEC : clock_now();

	batch->told = dropped;
	if (lost > 0)
		batch_add(batch, at, arena_printf(&batch->arena, "wherry: %llu lines were dropped here: the log's buffer was full "
			  "(max-buffer-size)", (unsigned long long)lost), batch->end);
}

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

/* False: the service is away, or the batch must be tried again. */
static bool put(struct awslogs *awslogs, struct log *log, struct batch *batch, struct error *err)
{
	const struct logs_put_log_events_request request = {
		.log_group_name = log->target->group, .log_stream_name = log->target->stream,
		.log_events = {batch->events.items, batch->events.count}};
	void *output;

	if (batch->events.count == 0)
		return true;
	if (call(awslogs, log->target, LOGS_OPERATION_PUT_LOG_EVENTS, &request, &batch->arena, &output, err)) {
		count_refused(log, batch, output);
		return true;
	}
	if (is_away(err))
		return false;
	/* Somebody deleted the stream, or the group: it comes back if it may. */
	if (err->code == ERROR_RESOURCE_NOT_FOUND) {
		struct error second = {0};

		if (ensure_stream(awslogs, log->target, &second))
			return false;
		if (is_away(&second))
			return false;
	}
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
	uint64_t waiting = log->progress->written - log->progress->shipped;

	if (now < log->retry_at)
		return false;
	if (waiting == 0 && log->progress->dropped == log->progress->told) {
		log->waiting_since = 0;
		if (log->progress->closed)
			log->done = true;
		return false;
	}
	if (log->waiting_since == 0)
		log->waiting_since = now;
	return awslogs->hurry || waiting >= FULL_BYTES || log->progress->closed || now - log->waiting_since >= flush_time(log);
}

static bool same_service(const struct log *a, const struct log *b)
{
	return str_equal(a->target->region, b->target->region) && str_equal(a->target->endpoint, b->target->endpoint);
}

/* All logs that go to that service wait; the others have nothing to do with it. */
static void back_off(struct awslogs *awslogs, struct log *log)
{
	unsigned failures = 0;
	usec wait, until;

	for (size_t i = 0; i < awslogs->logs.count; i++)
		if (same_service(awslogs->logs.items[i], log))
			failures = MAX(failures, awslogs->logs.items[i]->failures);
	wait = (usec)BACKOFF_LEAST_MSEC * USEC_PER_MSEC << MIN(failures, 5u);
	until = clock_monotonic() + MIN(wait, (usec)BACKOFF_MOST_MSEC * USEC_PER_MSEC);
	for (size_t i = 0; i < awslogs->logs.count; i++)
		if (same_service(awslogs->logs.items[i], log)) {
			awslogs->logs.items[i]->retry_at = until;
			awslogs->logs.items[i]->failures = failures + 1;
		}
}

static void ship(struct awslogs *awslogs, struct log *log, usec now)
{
	struct batch batch = {0};
	struct error err = {0};

	gather(log, &batch, now);
	add_complaint(log, &batch);
	if (put(awslogs, log, &batch, &err)) {
		bool moved = batch.end > log->progress->shipped;

		log->progress->shipped = batch.end;
		log->progress->told = batch.told;
		log->failures = 0;
		/* A log that has ended in the middle of a line, or whose tail cannot be read, is as shipped as it will be. */
		if (!moved && log->progress->closed && !log->joint.open)
			log->progress->shipped = log->progress->written;
		log->waiting_since = moved ? 0 : log->waiting_since;
	} else {
		if (log->failures == 0)
			say(log, "cannot ship now, trying again", err.text);
		start_over(log);
		back_off(awslogs, log);
	}
	tell_refused(log, &err);
	list_fini(&batch.events);
	arena_fini(&batch.arena);
}

/* ---- the thread */

static void take_incoming(struct awslogs *awslogs)
{
	for (size_t i = 0; i < awslogs->incoming.count; i++) {
		struct log *log = awslogs->incoming.items[i];

		/* A restart in place: the newer one goes on where the older is. */
		for (size_t k = awslogs->logs.count; k-- > 0;)
			if (str_equal(awslogs->logs.items[k]->name, log->name)) {
				log_free(awslogs->logs.items[k]);
				list_remove_at(&awslogs->logs, k);
			}
		list_add(&awslogs->logs, log);
	}
	awslogs->incoming.count = 0;
}

static void wait_a_moment(struct awslogs *awslogs)
{
	usec at = clock_monotonic() + PASS_MSEC * USEC_PER_MSEC;
	struct timespec until = {.tv_sec = at / USEC_PER_SEC, .tv_nsec = at % USEC_PER_SEC * 1000};

	if (awslogs->logs.count > 0)
		pthread_cond_timedwait(&awslogs->changed, &awslogs->lock, &until);
	else
		pthread_cond_wait(&awslogs->changed, &awslogs->lock);
}

static bool is_reopened(const struct awslogs *awslogs, const struct log *log)
{
	for (size_t i = 0; i < awslogs->incoming.count; i++)
		if (str_equal(awslogs->incoming.items[i]->name, log->name))
			return true;
	return false;
}

static void drop_done(struct awslogs *awslogs)
{
	for (size_t i = awslogs->logs.count; i-- > 0;) {
		struct log *log = awslogs->logs.items[i];

		if (!log->done)
			continue;
		if (!is_reopened(awslogs, log))
			unlink(log->ship_path);
		list_remove_at(&awslogs->logs, i);
		log_free(log);
	}
}

/* True when something was shipped: more may be there. */
static bool pass(struct awslogs *awslogs)
{
	usec now = clock_monotonic();
	bool any = false;

	for (size_t i = 0; i < awslogs->logs.count; i++) {
		struct log *log = awslogs->logs.items[i];

		if (!is_due(awslogs, log, now))
			continue;
		ship(awslogs, log, now);
		any |= log->failures == 0;
	}
	return any && awslogs->logs.count > 0;
}

static void *run(void *arg)
{
	struct awslogs *awslogs = arg;
	bool busy = false;

	pthread_mutex_lock(&awslogs->lock);
	while (!awslogs->stopping) {
		if (!busy && awslogs->incoming.count == 0)
			wait_a_moment(awslogs);
		take_incoming(awslogs);
		pthread_mutex_unlock(&awslogs->lock);
		busy = pass(awslogs);
		pthread_mutex_lock(&awslogs->lock);
		drop_done(awslogs);
	}
	pthread_mutex_unlock(&awslogs->lock);
	return NULL;
}

void awslogs_flush(struct awslogs *awslogs, usec patience)
{
	usec until = clock_monotonic() + patience;
	bool left = true;

	if (!awslogs)
		return;
	pthread_mutex_lock(&awslogs->lock);
	awslogs->hurry = true;
	while (left && clock_monotonic() < until) {
		pthread_cond_signal(&awslogs->changed);
		pthread_mutex_unlock(&awslogs->lock);
		clock_sleep(FLUSH_POLL_MSEC * USEC_PER_MSEC);
		pthread_mutex_lock(&awslogs->lock);
		left = awslogs->incoming.count + awslogs->logs.count > 0;        /* the thread drops what is done */
	}
	pthread_mutex_unlock(&awslogs->lock);
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
	log = log_new(awslogs, task_id, container, target, &err);
	if (log)
		list_add(&awslogs->incoming, log);
	else
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
	pthread_condattr_t monotonic;

	if (!awslogs)
		abort();
	awslogs->options = *options;
	pthread_mutex_init(&awslogs->lock, NULL);
	pthread_condattr_init(&monotonic);
	pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
	pthread_cond_init(&awslogs->changed, &monotonic);
	pthread_condattr_destroy(&monotonic);
	if (!find_logs(awslogs, err) || (errno = pthread_create(&awslogs->thread, NULL, run, awslogs)) != 0) {
		awslogs->stopping = true;
		awslogs_free(awslogs);
		return false;
	}
	*ret_awslogs = awslogs;
	return true;
}

void awslogs_free(struct awslogs *awslogs)
{
	if (!awslogs)
		return;
	if (!awslogs->stopping) {
		pthread_mutex_lock(&awslogs->lock);
		awslogs->stopping = true;
		pthread_cond_signal(&awslogs->changed);
		pthread_mutex_unlock(&awslogs->lock);
		pthread_join(awslogs->thread, NULL);
	}
	take_incoming(awslogs);
	for (size_t i = 0; i < awslogs->logs.count; i++)
		log_free(awslogs->logs.items[i]);
	for (size_t i = 0; i < awslogs->idle.count; i++)
		route_free(awslogs->idle.items[i]);
	list_fini(&awslogs->incoming);
	list_fini(&awslogs->logs);
	list_fini(&awslogs->idle);
	pthread_mutex_destroy(&awslogs->lock);
	pthread_cond_destroy(&awslogs->changed);
	free(awslogs);
}
