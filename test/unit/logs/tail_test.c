#include "logs/tail.h"
#include "base/list.h"
#include "test/test.h"
#include "wire/event_stream.h"
#include "wire/json.h"

struct heard { struct arena arena; LIST_OF(struct str) updates; bool gone, last; };

static const struct log_stream_name groups[] = {{5, {"arn:g", 5}}};

static bool hear(void *arg, void *owner, struct str frames, bool last)
{
	struct heard *heard = arg;
	struct event_frame frame;
	struct error error;
	size_t used;

	for (; frames.len; frames = str_slice(frames, used, frames.len)) {
		assert_true(event_stream_decode(frames, &frame, &used, &error));
		list_add(&heard->updates, arena_copy(&heard->arena, frame.payload));
	}
	heard->last |= last;
	return !heard->gone;
}

static struct log_tails *start(const struct logs_start_live_tail_request *in)
{
	struct log_tails *tails = log_tails_new();
	struct log_tail_request request = {.owner = tails, .input = in, .groups = groups, .group_count = 1, .id = S("id")};
	struct event_frame frame;
	struct error error = {0};
	auto_buffer out = {0};
	size_t used;

	assert_true(log_tails_start(tails, &request, 0, &out, &error));
	assert_true(event_stream_decode(buffer_str(&out), &frame, &used, &error));
	EXPECT_STR(frame.headers[0].value, S("initial-response"));
	buffer_consume(&out, used);
	assert_true(event_stream_decode(buffer_str(&out), &frame, &used, &error));
	EXPECT_STR(frame.headers[0].value, S("sessionStart"));
	assert_int_equal(used, out.len);
	return tails;
}

static void end(struct log_tails *tails, struct heard *heard)
{
	log_tails_free(tails);
	list_fini(&heard->updates);
	arena_fini(&heard->arena);
}

static void offer(struct log_tails *tails, int64_t group, const char *stream, const char *message, size_t count)
{
	auto_arena arena = {0};
	struct logs_input_log_event *events = arena_array(&arena, struct logs_input_log_event, count);

	for (size_t i = 0; i < count; i++)
		events[i] = (struct logs_input_log_event){.timestamp = {1, true}, .message = str_of(message)};
	log_tails_offer(tails, &(struct log_put){.group_id = group, .now = 2, .name = str_of(stream), .events = events, .count = count});
}

TEST(a_session_hears_every_second_even_nothing)
{
	const struct logs_start_live_tail_request in = {.log_event_filter_pattern = S("keep")};
	struct log_tails *tails = start(&in);
	struct heard heard = {0};

	assert_int_equal(log_tails_due(tails), USEC_PER_SEC);
	offer(tails, 5, "s", "keep this", 1);
	offer(tails, 5, "s", "not this", 1);
	offer(tails, 6, "s", "keep but elsewhere", 1);
	log_tails_update(tails, USEC_PER_SEC, hear, &heard);
	log_tails_update(tails, USEC_PER_SEC + 1, hear, &heard);
	log_tails_update(tails, 2 * USEC_PER_SEC, hear, &heard);
	assert_int_equal(heard.updates.count, 2);
	EXPECT_STR(heard.updates.items[0],
		   S("{\"sessionMetadata\":{\"sampled\":false},\"sessionResults\":[{\"logStreamName\":\"s\",\"logGroupIdentifier\":\"arn:g\","
		     "\"message\":\"keep this\",\"timestamp\":1,\"ingestionTime\":2}]}"));
	EXPECT_STR(heard.updates.items[1], S("{\"sessionMetadata\":{\"sampled\":false},\"sessionResults\":[]}"));
	end(tails, &heard);
}

TEST(more_than_500_events_a_second_are_a_sample)
{
	const struct logs_start_live_tail_request in = {0};
	struct log_tails *tails = start(&in);
	struct heard heard = {0};

	offer(tails, 5, "s", "x", LOG_TAIL_EVENTS_LIMIT);
	log_tails_update(tails, USEC_PER_SEC, hear, &heard);
	assert_true(str_starts(heard.updates.items[0], S("{\"sessionMetadata\":{\"sampled\":false}")));
	offer(tails, 5, "s", "x", LOG_TAIL_EVENTS_LIMIT + 1);
	log_tails_update(tails, 2 * USEC_PER_SEC, hear, &heard);
	assert_true(str_starts(heard.updates.items[1], S("{\"sessionMetadata\":{\"sampled\":true}")));
	end(tails, &heard);
}

TEST(streams_are_chosen_by_name_or_prefix)
{
	struct str names[] = {STR_INIT("web/1")};
	const struct logs_start_live_tail_request in = {.log_stream_name_prefixes = {names, 1}};
	struct log_tails *tails = start(&in);
	struct heard heard = {0};

	offer(tails, 5, "api/1", "x", 1);
	offer(tails, 5, "web/17", "y", 1);
	log_tails_update(tails, USEC_PER_SEC, hear, &heard);
	assert_true(str_contains(heard.updates.items[0], S("web/17")));
	assert_false(str_contains(heard.updates.items[0], S("api/1")));
	end(tails, &heard);
}

TEST(a_session_ends_after_three_hours_or_with_its_client)
{
	const struct logs_start_live_tail_request in = {0};
	struct log_tails *tails = start(&in);
	struct heard heard = {0};

	log_tails_update(tails, 3 * (usec)3600 * USEC_PER_SEC, hear, &heard);
	assert_true(heard.last);
	assert_true(str_contains(heard.updates.items[1], S("has ended")));
	assert_int_equal(log_tails_count(tails), 0);
	assert_int_equal(log_tails_due(tails), USEC_NEVER);
	end(tails, &heard);

	tails = start(&in);
	heard = (struct heard){.gone = true};
	log_tails_update(tails, USEC_PER_SEC, hear, &heard);
	assert_int_equal(log_tails_count(tails), 0);
	end(tails, &heard);
}

TEST(there_are_at_most_15_sessions)
{
	const struct logs_start_live_tail_request in = {0};
	struct log_tails *tails = log_tails_new();
	struct log_tail_request request = {.owner = tails, .input = &in, .groups = groups, .group_count = 1, .id = S("id")};
	struct error error = {0};
	auto_buffer out = {0};

	for (int i = 0; i < LOG_TAIL_SESSIONS_LIMIT; i++)
		assert_true(log_tails_start(tails, &request, 0, &out, &error));
	assert_false(log_tails_start(tails, &request, 0, &out, &error));
	assert_int_equal(error.code, ERROR_LIMIT_EXCEEDED);
	log_tails_free(tails);
}
