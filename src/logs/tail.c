#include "logs/tail.h"
#include <stdlib.h>
#include "base/list.h"
#include "wire/event_stream.h"
#include "wire/json.h"
#include "wire/log_pattern.h"

#define UPDATE_EVERY USEC_PER_SEC
#define SESSION_LENGTH (LOG_TAIL_HOURS * (usec)3600 * USEC_PER_SEC)

enum { UPDATE_BYTES_LIMIT = 1 << 20 };

struct session {
	struct link link;
	struct log_tail_request request;
	struct log_pattern *pattern;
	usec due, ends;
	struct arena arena;                              /* of events waiting for the next update */
	LIST_OF(struct logs_live_tail_session_log_event) events;
	size_t bytes;
	bool sampled;
};

struct log_tails {
	struct link sessions;
	size_t count;
	struct buffer payload, frames;
};

struct log_tails *log_tails_new(void)
{
	struct log_tails *tails = calloc(1, sizeof(*tails));

	if (!tails)
		abort();
	chain_init(&tails->sessions);
	return tails;
}

static void session_free(struct log_tails *tails, struct session *session)
{
	link_remove(&session->link);
	tails->count--;
	log_pattern_free(session->pattern);
	arena_fini(&session->arena);
	list_fini(&session->events);
	free(session);
}

void log_tails_free(struct log_tails *tails)
{
	CHAIN_EACH(&tails->sessions, struct session, link, session)
		session_free(tails, session);
	buffer_fini(&tails->payload);
	buffer_fini(&tails->frames);
	free(tails);
}

size_t log_tails_count(const struct log_tails *tails)
{
	return tails->count;
}

static void put_event(struct log_tails *tails, struct str name, const struct shape *shape, const void *value,
		      struct buffer *out)
{
	buffer_clear(&tails->payload);
	json_encode(shape, value, &tails->payload);
	event_stream_event(name, buffer_str(&tails->payload), out);
}

static void say_start(struct log_tails *tails, const struct session *session, struct buffer *out)
{
	const struct logs_start_live_tail_request *input = session->request.input;
	const struct logs_live_tail_session_start start = {
		.request_id = session->request.id,
		.session_id = session->request.id,
		.log_group_identifiers = input->log_group_identifiers,
		.log_stream_names = input->log_stream_names,
		.log_stream_name_prefixes = input->log_stream_name_prefixes,
		.log_event_filter_pattern = input->log_event_filter_pattern,
	};

	event_stream_event(S("initial-response"), S("{}"), out);
	put_event(tails, S("sessionStart"), &shape_logs_live_tail_session_start, &start, out);
}

bool log_tails_start(struct log_tails *tails, const struct log_tail_request *request, usec now, struct buffer *out,
		     struct error *err)
{
	struct log_pattern *pattern;
	struct session *session;

	if (tails->count >= LOG_TAIL_SESSIONS_LIMIT)
		return fail(err, ERROR_LIMIT_EXCEEDED, "Resource limit exceeded.");
	pattern = log_pattern_new(request->input->log_event_filter_pattern, err);
	if (!pattern)
		return false;
	session = calloc(1, sizeof(*session));
	if (!session)
		abort();
	session->request = *request;
	session->pattern = pattern;
	session->due = now + UPDATE_EVERY;
	session->ends = now + SESSION_LENGTH;
	chain_append(&tails->sessions, &session->link);
	tails->count++;
	say_start(tails, session, out);
	return true;
}

void log_tails_end(struct log_tails *tails, void *owner)
{
	CHAIN_EACH(&tails->sessions, struct session, link, session)
		if (session->request.owner == owner)
			session_free(tails, session);
}

/* ---- events */

static struct str wanted_group(const struct session *session, int64_t group)
{
	for (size_t i = 0; i < session->request.group_count; i++)
		if (session->request.groups[i].id == group)
			return session->request.groups[i].name;
	return STR_NONE;
}

static bool wants_stream(const struct logs_start_live_tail_request *input, struct str name)
{
	for (size_t i = 0; i < input->log_stream_names.count; i++)
		if (str_equal(name, input->log_stream_names.items[i]))
			return true;
	for (size_t i = 0; i < input->log_stream_name_prefixes.count; i++)
		if (str_starts(name, input->log_stream_name_prefixes.items[i]))
			return true;
	return input->log_stream_names.count + input->log_stream_name_prefixes.count == 0;
}

static void keep(struct session *session, const struct log_put *put, struct str group,
		 const struct logs_input_log_event *event)
{
	if (session->events.count == LOG_TAIL_EVENTS_LIMIT || session->bytes + event->message.len > UPDATE_BYTES_LIMIT) {
		session->sampled = true;
		return;
	}
	session->bytes += event->message.len;
	list_add(&session->events, ((struct logs_live_tail_session_log_event){
		.log_stream_name = arena_copy(&session->arena, put->name),
		.log_group_identifier = group,
		.message = arena_copy(&session->arena, event->message),
		.timestamp = event->timestamp,
		.ingestion_time = {put->now, true},
	}));
}

void log_tails_offer(struct log_tails *tails, const struct log_put *put)
{
	CHAIN_EACH(&tails->sessions, struct session, link, session) {
		struct str group = wanted_group(session, put->group_id);

		if (!str_has(group) || !wants_stream(session->request.input, put->name))
			continue;
		for (size_t i = 0; i < put->count && !session->sampled; i++)
			if (log_pattern_matches(session->pattern, put->events[i].message))
				keep(session, put, group, &put->events[i]);
	}
}

/* ---- updates */

usec log_tails_due(const struct log_tails *tails)
{
	usec due = USEC_NEVER;

	CHAIN_EACH((struct link *)&tails->sessions, struct session, link, session)
		due = MIN(due, session->due);
	return due;
}

static void say_update(struct log_tails *tails, struct session *session)
{
	struct logs_live_tail_session_metadata metadata = {.sampled = {session->sampled, true}};
	struct logs_live_tail_session_log_event none;
	const struct logs_live_tail_session_update update = {
		.session_metadata = &metadata,
		.session_results = {session->events.count ? session->events.items : &none, session->events.count},
	};

	put_event(tails, S("sessionUpdate"), &shape_logs_live_tail_session_update, &update, &tails->frames);
	session->events.count = session->bytes = 0;
	session->sampled = false;
	arena_reset(&session->arena);
}

static void say_end(struct log_tails *tails)
{
	const struct logs_session_timeout_exception timeout = {.message = S("The live tail session has ended after 3 hours.")};

	buffer_clear(&tails->payload);
	json_encode(&shape_logs_session_timeout_exception, &timeout, &tails->payload);
	event_stream_exception(S("SessionTimeoutException"), buffer_str(&tails->payload), &tails->frames);
}

void log_tails_update(struct log_tails *tails, usec now, bool (*send)(void *arg, void *owner, struct str frames, bool last),
		      void *arg)
{
	CHAIN_EACH(&tails->sessions, struct session, link, session) {
		bool last = now >= session->ends;

		if (now < session->due)
			continue;
		buffer_clear(&tails->frames);
		say_update(tails, session);
		if (last)
			say_end(tails);
		session->due = now + UPDATE_EVERY;
		if (!send(arg, session->request.owner, buffer_str(&tails->frames), last) || last)
			session_free(tails, session);
	}
}

void log_tails_stop(struct log_tails *tails, bool (*send)(void *arg, void *owner, struct str frames, bool last), void *arg)
{
	CHAIN_EACH(&tails->sessions, struct session, link, session) {
		buffer_clear(&tails->frames);
		say_update(tails, session);
		send(arg, session->request.owner, buffer_str(&tails->frames), true);
		session_free(tails, session);
	}
}
