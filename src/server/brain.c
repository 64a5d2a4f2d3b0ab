#include "server/brain.h"
#include <stdatomic.h>
#include <time.h>
#include "base/map.h"
#include "os/clock.h"
#include "os/entropy.h"
#include "server/log.h"
#include "server/log_desk.h"
#include "server/server.h"
#include "wire/envelope.h"
#include "wire/json.h"

enum { STACK_SIZE = 1 << 20, SPARE_COMMITS = 4 };

/* What some steps made true, and what may be said once that is durable. */
struct commit {
	struct commit *next;
	struct arena arena; /* keys and values of `changes` */
	LIST_OF(struct store_change) changes;
	struct link works; /* going home, in order */
	struct link logs;  /* log_job.link: going to the log desk */
};

struct brain {
	struct brain_options options;
	pthread_t thinker, committer;
	atomic_size_t calls; /* submitted and not yet home */
	atomic_bool failed;
	bool ended; /* both threads are */

	/* The brain's thread alone. */
	struct effects effects;
	struct arena arena;
	struct buffer scratch;
	struct map sessions; /* by the bytes of session->number */
	struct random random;
	usec now, monotonic, wake_at;

	pthread_mutex_t mutex; /* for all below */
	pthread_cond_t work_came, commit_came, commit_done;
	struct link queue;
	bool stopping, thinker_ended, committing;
	bool stop_waiting; /* asked for and not yet done */
	struct commit *commits, **commits_end, *spare;
	size_t commit_count, spare_count;
	struct brain_figures figures;
};

/* ---- time */

/* The wall clock, but never back: while it is behind, time goes on at half its speed until the wall
 * caught up. */
static usec brain_now(struct brain *brain)
{
	usec monotonic = clock_monotonic(), real = clock_now();

	if (real >= brain->now)
		brain->now = real;
	else
		brain->now += (monotonic - brain->monotonic) / 2;
	brain->monotonic = monotonic;
	return brain->now;
}

/* ---- commits */

static struct commit *commit_new(struct brain *brain)
{
	struct commit *commit;

	pthread_mutex_lock(&brain->mutex);
	commit = brain->spare;
	if (commit) {
		brain->spare = commit->next;
		brain->spare_count--;
	}
	pthread_mutex_unlock(&brain->mutex);
	if (!commit)
		commit = calloc(1, sizeof(*commit));
	if (!commit)
		abort();
	chain_init(&commit->works);
	chain_init(&commit->logs);
	commit->next = NULL;
	return commit;
}

static void commit_free(struct commit *commit)
{
	arena_fini(&commit->arena);
	list_fini(&commit->changes);
	free(commit);
}

static void commit_recycle(struct brain *brain, struct commit *commit)
{
	bool keep;

	arena_reset(&commit->arena);
	commit->changes.count = 0;
	pthread_mutex_lock(&brain->mutex);
	keep = brain->spare_count < SPARE_COMMITS;
	if (keep) {
		commit->next = brain->spare;
		brain->spare = commit;
		brain->spare_count++;
	}
	pthread_mutex_unlock(&brain->mutex);
	if (!keep)
		commit_free(commit);
}

static void add_work(struct commit *commit, struct work *work)
{
	chain_append(&commit->works, &work->link);
}

/* ---- steps */

static const struct protocol_error server_exception = {
	.error = {.code = ERROR_SERVER, .text = "Service Unavailable. Please try again later."}};

/* Our own errors keep their texts to themselves: the log has them. */
static struct error public_error(const struct error *error, const char *operation)
{
	if (error_http_status(error->code) < 500)
		return *error;
	log_error("call", "operation=%s error=%.*s text=\"%s\"", operation,
		  STR(error_wire_name(error->code)), error->text);
	return error->code == ERROR_SERVICE_UNAVAILABLE ? *error : server_exception.error;
}

static void answer_error(struct work *work, const struct protocol_error *said)
{
	struct protocol_error error = *said;
	struct error_form form = work->protocol->error_form(&said->error);

	error.operation = work->call.operation;
	error.request_id = work->request_id;
	work->answer.code = error.error.code;
	work->answer.error_name = form.name;
	work->answer.status = form.status;
	buffer_clear(&work->answer.body);
	work->protocol->write_error(&error, &work->answer.body);
}

static void take_reply(struct commit *commit, const struct reply *reply)
{
	struct work *work = (struct work *)(uintptr_t)reply->ticket;
	struct protocol_error error = {0};
	auto_arena names = {0};

	assert(work->kind == WORK_CALL);
	work->answer.content_type = work->protocol->content_type;
	if (reply->output) {
		work->answer.code = ERROR_NONE;
		work->answer.status = work->protocol->reply_status(reply->operation);
		work->protocol->write_reply(reply->operation, reply->output, work->request_id,
					    &work->answer.body);
	} else {
		error.error =
			public_error(&reply->error, arena_cstr(&names, reply->operation->name));
		error.resource_ids = reply->resource_ids.items;
		error.resource_id_count = reply->resource_ids.count;
		answer_error(work, &error);
	}
	add_work(commit, work);
}

void brain_answer_output(struct work *work, const struct operation *operation, const void *output)
{
	const struct protocol *protocol = work->protocol;

	work->answer.code = ERROR_NONE;
	work->answer.status = protocol->reply_status(operation);
	work->answer.content_type = protocol->content_type;
	protocol->write_reply(operation, output, work->request_id, &work->answer.body);
}

void brain_answer_error(struct work *work, const struct error *error)
{
	auto_arena names = {0};
	const struct protocol_error said = {
		.error = public_error(error, arena_cstr(&names, work->call.operation->name))};

	work->answer.content_type = work->protocol->content_type;
	answer_error(work, &said);
}

void brain_call_ended(struct brain *brain)
{
	atomic_fetch_sub(&brain->calls, 1);
}

void brain_logs_swept(struct brain *brain, const struct logs_swept_event *event)
{
	struct work *work = calloc(1, sizeof(*work));

	if (!work)
		abort();
	work->kind = WORK_LOGS_SWEPT;
	work->swept = *event;
	work->swept.realm = arena_copy(&work->arena, event->realm);
	work->swept.group = arena_copy(&work->arena, event->group);
	work->swept.name = arena_copy(&work->arena, event->name);
	brain_submit(brain, work);
}

static void take_logs(struct brain *brain, struct commit *commit)
{
	for (size_t i = 0; i < brain->effects.logs.count; i++) {
		const struct log_work *task = &brain->effects.logs.items[i];
		struct log_job *job = log_job_new(task);

		if (task->output)
			brain_answer_output(job->work, task->operation, task->output);
		chain_append(&commit->logs, &job->link);
	}
}

static void take_records(struct brain *brain, struct commit *commit)
{
	for (size_t i = 0; i < brain->effects.records.count; i++) {
		const struct record *record = &brain->effects.records.items[i];
		struct store_change change = {.kind = record->kind,
					      .key = arena_copy(&commit->arena, record->key)};

		if (record->value) {
			buffer_clear(&brain->scratch);
			json_encode(record_shape(record->kind), record->value, &brain->scratch);
			change.value = arena_copy(&commit->arena, buffer_str(&brain->scratch));
		}
		list_add(&commit->changes, change);
	}
}

static struct str session_key(const uint64_t *number)
{
	return (struct str){(const char *)number, sizeof(*number)};
}

/* NULL when the session has ended meanwhile. */
static struct work *session_work(struct brain *brain, uint64_t number, enum work_kind kind)
{
	struct session *session = map_get(&brain->sessions, session_key(&number));
	struct work *work = session ? calloc(1, sizeof(*work)) : NULL;

	if (!session)
		return NULL;
	if (!work)
		abort();
	work->kind = kind;
	work->home = session->home;
	work->session = session;
	return work;
}

static void take_messages(struct brain *brain, struct commit *commit)
{
	for (size_t i = 0; i < brain->effects.messages.count; i++) {
		const struct message *message = &brain->effects.messages.items[i];
		struct work *work = session_work(brain, message->session, WORK_SEND);

		if (!work)
			continue;
		envelope_encode(message->type, message->shape, message->value, &work->answer.body);
		add_work(commit, work);
	}
}

static void take_hangups(struct brain *brain, struct commit *commit, const struct work *opening)
{
	for (size_t i = 0; i < brain->effects.hangups.count; i++) {
		const struct hangup *hangup = &brain->effects.hangups.items[i];
		struct work *work;

		if (opening && opening->refused && opening->session->number == hangup->session)
			continue;
		work = session_work(brain, hangup->session, WORK_HANGUP);
		if (work)
			add_work(commit, work);
	}
}

/* A refused upgrade is the hangup of the session in its own first step, with a reason. */
static void settle_opening(struct brain *brain, struct work *work)
{
	for (size_t i = 0; i < brain->effects.hangups.count; i++) {
		const struct hangup *hangup = &brain->effects.hangups.items[i];

		if (hangup->session != work->session->number || !str_has(hangup->refusal))
			continue;
		work->refused = true;
		work->answer.status = 400;
		buffer_printf(&work->answer.body, "{\"%.*s\":\"The channel was refused.\"}",
			      STR(hangup->refusal));
	}
	if (work->refused)
		map_remove(&brain->sessions, session_key(&work->session->number));
}

static void step(struct brain *brain, struct event *event, struct commit *commit,
		 struct work *opening)
{
	event->now = brain_now(brain);
	event->seed = random_next(&brain->random);
	event->arena = &brain->arena;
	effects_clear(&brain->effects);
	plane_step(brain->options.plane, event, &brain->effects);
	brain->wake_at = brain->effects.wake_at > 0 ? brain->effects.wake_at : USEC_NEVER;
	take_records(brain, commit);
	take_logs(brain, commit);
	for (size_t i = 0; i < brain->effects.replies.count; i++)
		take_reply(commit, &brain->effects.replies.items[i]);
	if (opening) {
		settle_opening(brain, opening);
		add_work(commit, opening);
	}
	take_messages(brain, commit);
	take_hangups(brain, commit, opening);
	arena_reset(&brain->arena);
}

static void step_session(struct brain *brain, struct work *work, struct commit *commit)
{
	static const enum event_type types[] = {
		[WORK_SESSION_OPENED] = EVENT_SESSION_OPENED,
		[WORK_SESSION_MESSAGE] = EVENT_SESSION_MESSAGE,
		[WORK_SESSION_CLOSED] = EVENT_SESSION_CLOSED,
	};
	struct event event = {.type = types[work->kind], .session = *work->event};
	struct session *session = work->session;

	event.session.session = session->number;
	if (work->kind == WORK_SESSION_OPENED)
		map_put(&brain->sessions, session_key(&session->number), session);
	if (work->kind == WORK_SESSION_CLOSED)
		map_remove(&brain->sessions, session_key(&session->number));
	step(brain, &event, commit, work->kind == WORK_SESSION_OPENED ? work : NULL);
	if (work->kind != WORK_SESSION_OPENED)
		add_work(commit, work);
}

static void step_work(struct brain *brain, struct work *work, struct commit *commit)
{
	struct event event = {.type = EVENT_CALL, .call = work->call};

	switch (work->kind) {
	case WORK_CALL:
		event.call.ticket = (uintptr_t)work;
		step(brain, &event, commit, NULL);
		break;
	case WORK_LOGS_SWEPT:
		event.type = EVENT_LOGS_SWEPT;
		event.swept = work->swept;
		step(brain, &event, commit, NULL);
		arena_fini(&work->arena);
		brain_work_free(work);
		break;
	case WORK_STATISTICS:
		plane_statistics(brain->options.plane, &work->statistics);
		add_work(commit, work);
		break;
	default: step_session(brain, work, commit); break;
	}
}

static void step_tick(struct brain *brain, enum event_type type, struct commit *commit)
{
	struct event event = {.type = type};

	step(brain, &event, commit, NULL);
}

/* ---- going home */

static void refuse(struct work *work)
{
	if (work->kind == WORK_CALL) {
		answer_error(work, &server_exception);
	} else if (work->kind == WORK_SESSION_OPENED && !work->refused) {
		work->refused = true;
		work->answer.status = 500;
		buffer_add(&work->answer.body,
			   S("{\"ServerException\":\"Please try again later.\"}"));
	}
}

static void release_logs(struct brain *brain, struct commit *commit)
{
	if (!atomic_load(&brain->failed) && brain->options.take_logs) {
		if (!chain_empty(&commit->logs))
			brain->options.take_logs(brain->options.self, &commit->logs);
		return;
	}
	CHAIN_EACH(&commit->logs, struct log_job, link, job)
	{
		if (job->work) {
			refuse(job->work);
			add_work(commit, job->work);
		}
		log_job_free(job);
	}
}

static void release(struct brain *brain, struct commit *commit)
{
	bool failed = atomic_load(&brain->failed);
	struct outbox *homes[16];
	size_t home_count = 0;

	release_logs(brain, commit);
	CHAIN_EACH(&commit->works, struct work, link, work)
	{
		struct outbox *home = work->home;

		link_remove(&work->link);
		if (failed && work->kind == WORK_SEND) {
			brain_work_free(work);
			continue;
		}
		if (failed)
			refuse(work);
		if (work->kind == WORK_CALL)
			atomic_fetch_sub(&brain->calls, 1);
		if (chain_empty(&home->staged)) {
			assert(home_count < COUNT(homes));
			homes[home_count++] = home;
		}
		chain_append(&home->staged, &work->link);
	}
	for (size_t i = 0; i < home_count; i++)
		outbox_put(homes[i], &homes[i]->staged);
}

/* ---- the committer */

static bool append_all(struct brain *brain, struct commit *first, size_t count, struct error *err)
{
	LIST_OF(struct store_change) all = {0};
	bool done;

	if (!first->next)
		return store_append(brain->options.store, first->changes.items,
				    first->changes.count, err);
	all.items = list_grow(NULL, &all.capacity, count, sizeof(*all.items));
	for (struct commit *commit = first; commit; commit = commit->next) {
		if (commit->changes.count)
			memcpy(all.items + all.count, commit->changes.items,
			       commit->changes.count * sizeof(*all.items));
		all.count += commit->changes.count;
	}
	done = store_append(brain->options.store, all.items, all.count, err);
	list_fini(&all);
	return done;
}

static void commit_batch(struct brain *brain, struct commit *first)
{
	struct error error = {0};
	size_t count = 0;

	for (struct commit *commit = first; commit; commit = commit->next)
		count += commit->changes.count;
	if (count && !atomic_load(&brain->failed) && !append_all(brain, first, count, &error)) {
		atomic_store(&brain->failed, true);
		brain->options.on_failure(brain->options.self, &error);
	}
	pthread_mutex_lock(&brain->mutex);
	brain->figures.commits += count > 0;
	brain->figures.changes += count;
	brain->figures.batch_max = MAX(brain->figures.batch_max, count);
	pthread_mutex_unlock(&brain->mutex);
	while (first) {
		struct commit *commit = first;

		first = commit->next;
		release(brain, commit);
		commit_recycle(brain, commit);
	}
}

static void *commit_loop(void *argument)
{
	struct brain *brain = argument;
	struct commit *batch;

	pthread_mutex_lock(&brain->mutex);
	for (;;) {
		while (!brain->commits && !brain->thinker_ended)
			pthread_cond_wait(&brain->commit_came, &brain->mutex);
		batch = brain->commits;
		if (!batch)
			break;
		brain->commits = NULL;
		brain->commits_end = &brain->commits;
		brain->commit_count = 0;
		brain->committing = true;
		pthread_mutex_unlock(&brain->mutex);
		commit_batch(brain, batch);
		pthread_mutex_lock(&brain->mutex);
		brain->committing = false;
		pthread_cond_signal(&brain->commit_done);
	}
	pthread_mutex_unlock(&brain->mutex);
	return NULL;
}

/* Hands a commit to the committer; or, when it changes nothing and nothing is before it, straight
 * home. */
static void hand_over(struct brain *brain, struct commit *commit)
{
	bool direct;

	pthread_mutex_lock(&brain->mutex);
	while (brain->commit_count >= BRAIN_BACKLOG_LIMIT)
		pthread_cond_wait(&brain->commit_done, &brain->mutex);
	direct = commit->changes.count == 0 && !brain->commits && !brain->committing;
	if (!direct) {
		*brain->commits_end = commit;
		brain->commits_end = &commit->next;
		brain->commit_count++;
		pthread_cond_signal(&brain->commit_came);
	}
	pthread_mutex_unlock(&brain->mutex);
	if (direct) {
		release(brain, commit);
		commit_recycle(brain, commit);
	}
}

/* ---- the thinker */

static void wait_for_work(struct brain *brain)
{
	usec now = brain_now(brain), until;
	struct timespec deadline;

	if (brain->wake_at == USEC_NEVER) {
		pthread_cond_wait(&brain->work_came, &brain->mutex);
		return;
	}
	until = clock_monotonic() + (brain->wake_at - now);
	deadline = (struct timespec){.tv_sec = until / USEC_PER_SEC,
				     .tv_nsec = until % USEC_PER_SEC * 1000};
	pthread_cond_timedwait(&brain->work_came, &brain->mutex, &deadline);
}

/* Takes up to a batch; perhaps nothing, when a tick is due. False when it is time to end. */
static bool take_batch(struct brain *brain, struct link *ret_batch, bool *ret_stop_waiting)
{
	size_t count = 0;
	bool go_on;

	chain_init(ret_batch);
	pthread_mutex_lock(&brain->mutex);
	while (chain_empty(&brain->queue) && !brain->stopping && !brain->stop_waiting &&
	       brain_now(brain) < brain->wake_at)
		wait_for_work(brain);
	*ret_stop_waiting = brain->stop_waiting;
	brain->stop_waiting = false;
	go_on = !brain->stopping || !chain_empty(&brain->queue);
	while (!chain_empty(&brain->queue) && count++ < BRAIN_BATCH_LIMIT) {
		struct link *link = brain->queue.next;

		link_remove(link);
		chain_append(ret_batch, link);
	}
	brain->figures.steps += count;
	pthread_mutex_unlock(&brain->mutex);
	return go_on;
}

static void *think_loop(void *argument)
{
	struct brain *brain = argument;
	struct link batch;
	bool stop_waiting;

	while (take_batch(brain, &batch, &stop_waiting)) {
		struct commit *commit = commit_new(brain);

		CHAIN_EACH(&batch, struct work, link, work)
		{
			link_remove(&work->link);
			step_work(brain, work, commit);
		}
		if (stop_waiting)
			step_tick(brain, EVENT_STOP, commit);
		if (brain_now(brain) >= brain->wake_at)
			step_tick(brain, EVENT_TICK, commit);
		hand_over(brain, commit);
	}
	pthread_mutex_lock(&brain->mutex);
	brain->thinker_ended = true;
	pthread_cond_signal(&brain->commit_came);
	pthread_mutex_unlock(&brain->mutex);
	return NULL;
}

/* ---- from outside */

static void start_thread(pthread_t *thread, void *(*run)(void *), void *argument)
{
	pthread_attr_t attributes;

	pthread_attr_init(&attributes);
	pthread_attr_setstacksize(&attributes, STACK_SIZE);
	if (pthread_create(thread, &attributes, run, argument) != 0)
		abort();
	pthread_attr_destroy(&attributes);
}

struct brain *brain_start(const struct brain_options *options)
{
	struct brain *brain = calloc(1, sizeof(*brain));
	pthread_condattr_t monotonic;

	if (!brain)
		abort();
	brain->options = *options;
	brain->monotonic = clock_monotonic();
	brain->wake_at = 0; /* the first step tells when the next is wanted */
	random_init(&brain->random, entropy_number(), entropy_number());
	brain->sessions.seed = entropy_number();
	chain_init(&brain->queue);
	brain->commits_end = &brain->commits;
	pthread_mutex_init(&brain->mutex, NULL);
	pthread_condattr_init(&monotonic);
	pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
	pthread_cond_init(&brain->work_came, &monotonic);
	pthread_condattr_destroy(&monotonic);
	pthread_cond_init(&brain->commit_came, NULL);
	pthread_cond_init(&brain->commit_done, NULL);
	start_thread(&brain->committer, commit_loop, brain);
	start_thread(&brain->thinker, think_loop, brain);
	return brain;
}

void brain_end(struct brain *brain)
{
	if (!brain || brain->ended)
		return;
	brain->ended = true;
	pthread_mutex_lock(&brain->mutex);
	brain->stopping = true;
	pthread_cond_signal(&brain->work_came);
	pthread_mutex_unlock(&brain->mutex);
	pthread_join(brain->thinker, NULL);
	pthread_join(brain->committer, NULL);
}

void brain_stop(struct brain *brain)
{
	if (!brain)
		return;
	brain_end(brain);
	while (brain->spare) {
		struct commit *commit = brain->spare;

		brain->spare = commit->next;
		commit_free(commit);
	}
	effects_fini(&brain->effects);
	arena_fini(&brain->arena);
	buffer_fini(&brain->scratch);
	map_fini(&brain->sessions);
	pthread_cond_destroy(&brain->work_came);
	pthread_cond_destroy(&brain->commit_came);
	pthread_cond_destroy(&brain->commit_done);
	pthread_mutex_destroy(&brain->mutex);
	free(brain);
}

void brain_stop_waiting(struct brain *brain)
{
	pthread_mutex_lock(&brain->mutex);
	brain->stop_waiting = true;
	pthread_cond_signal(&brain->work_came);
	pthread_mutex_unlock(&brain->mutex);
}

bool brain_submit(struct brain *brain, struct work *work)
{
	if (work->kind == WORK_CALL && atomic_fetch_add(&brain->calls, 1) >= SERVER_QUEUE_LIMIT) {
		atomic_fetch_sub(&brain->calls, 1);
		return false;
	}
	pthread_mutex_lock(&brain->mutex);
	chain_append(&brain->queue, &work->link);
	pthread_cond_signal(&brain->work_came);
	pthread_mutex_unlock(&brain->mutex);
	return true;
}

void brain_figures(struct brain *brain, struct brain_figures *ret_figures)
{
	pthread_mutex_lock(&brain->mutex);
	*ret_figures = brain->figures;
	pthread_mutex_unlock(&brain->mutex);
	ret_figures->waiting = atomic_load(&brain->calls);
}

bool brain_is_failed(struct brain *brain)
{
	return atomic_load(&brain->failed);
}
