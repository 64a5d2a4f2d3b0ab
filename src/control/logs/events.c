#include "api/logs_handlers.h"
#include "control/internal.h"
#include "control/logs/room.h"
#include "control/logs/state.h"
#include "model/log.h"
#include "wire/log_pattern.h"

struct log_work *logs_work_push(struct call *call)
{
	struct log_work *work = list_push(&plane_effects(call->plane)->logs);

	work->ticket = call->ticket;
	work->operation = call->operation;
	work->now = plane_now(call->plane) / USEC_PER_MSEC;
	work->realm = call->realm->key;
	call->parked = true;
	return work;
}

static struct log_stream_name *one_stream(struct call *call, const struct log_stream_entry *stream)
{
	struct log_stream_name *name = arena_new(call->arena, struct log_stream_name);

	*name = (struct log_stream_name){stream->record->id.value, stream->record->name};
	return name;
}

/* What expired is not shown, even where it was not deleted yet. */
static int64_t oldest_shown(struct call *call, const struct log_group_entry *group)
{
	int64_t now = plane_now(call->plane) / USEC_PER_MSEC;

	return group->record->retention_in_days.has ? now - group->record->retention_in_days.value * LOG_DAY_MSEC : 0;
}

/* ---- PutLogEvents */

static bool check_events(struct call *call, const struct logs_input_log_events *events)
{
	size_t bytes = 0;

	for (size_t i = 0; i < events->count; i++) {
		bytes += events->items[i].message.len + LOG_EVENT_OVERHEAD;
		if (i && events->items[i].timestamp.value < events->items[i - 1].timestamp.value)
			return fail(&call->error, ERROR_INVALID_PARAMETER,
				    "Log events in a single PutLogEvents request must be in chronological order.");
	}
	if (bytes > LOG_BATCH_BYTES_LIMIT)
		return fail(&call->error, ERROR_INVALID_PARAMETER, "Upload too large: %zu bytes exceeds limit of %d", bytes,
			    LOG_BATCH_BYTES_LIMIT);
	if (events->items[events->count - 1].timestamp.value - events->items[0].timestamp.value > LOG_DAY_MSEC)
		return fail(&call->error, ERROR_INVALID_PARAMETER,
			    "The batch of log events in a single PutLogEvents request cannot span more than 24 hours.");
	return true;
}

/* How many events stand before that time. */
static size_t count_before(const struct logs_input_log_events *events, int64_t time)
{
	size_t low = 0, high = events->count;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (events->items[middle].timestamp.value < time)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

/* Which events are taken, and what is said of the others. */
static void judge(struct call *call, const struct log_group_entry *group, const struct logs_input_log_events *events,
		  size_t *ret_first, size_t *ret_end, struct logs_put_log_events_response *out)
{
	int64_t now = plane_now(call->plane) / USEC_PER_MSEC;
	size_t old = count_before(events, now - LOG_PAST_DAYS * LOG_DAY_MSEC);
	size_t expired = count_before(events, oldest_shown(call, group));
	size_t new = count_before(events, now + LOG_FUTURE_HOURS * (int64_t)3600 * 1000 + 1);
	struct logs_rejected_log_events_info *info;

	*ret_first = MAX(old, expired);
	*ret_end = MAX(new, *ret_first);
	if (!old && !expired && new == events->count)
		return;
	info = arena_new(call->arena, struct logs_rejected_log_events_info);
	info->too_old_log_event_end_index = (struct maybe_integer){(int32_t)old, old > 0};
	info->expired_log_event_end_index = (struct maybe_integer){(int32_t)expired, expired > old};
	info->too_new_log_event_start_index = (struct maybe_integer){(int32_t)new, new < events->count};
	out->rejected_log_events_info = info;
}

static void grow(struct call *call, struct log_stream_entry *stream, const struct logs_input_log_event *events, size_t count)
{
	struct log_figures figures = stream->figures;
	int64_t first = events[0].timestamp.value, last = events[count - 1].timestamp.value;

	for (size_t i = 0; i < count; i++)
		figures.stored_bytes += (int64_t)events[i].message.len + LOG_EVENT_OVERHEAD;
	figures.first_event = figures.last_ingestion ? MIN(figures.first_event, first) : first;
	figures.last_event = MAX(figures.last_event, last);
	figures.last_ingestion = plane_now(call->plane) / USEC_PER_MSEC;
	log_stream_grow(call->plane, stream, &figures);
}

bool logs_put_log_events(struct call *call, const struct logs_put_log_events_request *in,
			 struct logs_put_log_events_response *out)
{
	struct log_group_entry *group = logs_find_group(call, in->log_group_name, STR_NONE);
	struct log_stream_entry *stream = group && logs_check_stream_name(call, in->log_stream_name)
						  ? logs_find_stream(call, group, in->log_stream_name) : NULL;
	struct log_work *work;
	size_t first, end;

	if (!stream || !check_events(call, &in->log_events))
		return false;
	judge(call, group, &in->log_events, &first, &end, out);
	out->next_sequence_token = arena_printf(call->arena, "%056lld", (long long)stream->record->id.value);
	if (first == end)
		return true;
	work = logs_work_push(call);
	work->task = LOG_PUT;
	work->input = in;
	work->output = out;
	work->group = group->record->name;
	work->first_event = first;
	work->event_count = end - first;
	work->streams = one_stream(call, stream);
	work->stream_count = 1;
	work->groups = arena_new(call->arena, struct log_stream_name);
	work->groups[0] = (struct log_stream_name){group->record->id.value, group->record->name};
	work->group_count = 1;
	grow(call, stream, in->log_events.items + first, end - first);
	return true;
}

/* ---- reading */

static void read_streams(struct call *call, const void *in, const struct log_group_entry *group,
			 struct log_stream_name *streams, size_t count)
{
	struct log_work *work = logs_work_push(call);

	work->task = LOG_READ;
	work->input = in;
	work->before = oldest_shown(call, group);
	work->streams = streams;
	work->stream_count = count;
}

bool logs_get_log_events(struct call *call, const struct logs_get_log_events_request *in,
			 struct logs_get_log_events_response *out)
{
	struct log_group_entry *group = logs_find_group(call, in->log_group_name, in->log_group_identifier);
	struct log_stream_entry *stream = group && logs_check_stream_name(call, in->log_stream_name)
						  ? logs_find_stream(call, group, in->log_stream_name) : NULL;

	if (!stream)
		return false;
	read_streams(call, in, group, one_stream(call, stream), 1);
	return true;
}

bool logs_get_log_record(struct call *call, const struct logs_get_log_record_request *in,
			 struct logs_get_log_record_response *out)
{
	struct log_work *work = logs_work_push(call);

	work->task = LOG_READ;
	work->input = in;
	return true;
}

static bool check_pattern(struct call *call, struct str text)
{
	struct log_pattern *pattern = log_pattern_new(text, &call->error);

	log_pattern_free(pattern);
	return pattern != NULL;
}

static bool named_streams(struct call *call, struct log_group_entry *group, const struct logs_input_log_stream_names *names,
			  struct log_stream_name **ret_streams, size_t *ret_count)
{
	struct log_stream_name *streams = arena_array(call->arena, struct log_stream_name, names->count);

	for (size_t i = 0; i < names->count; i++) {
		struct log_stream_entry *stream = logs_find_stream(call, group, names->items[i]);

		if (!stream)
			return false;
		streams[i] = (struct log_stream_name){stream->record->id.value, stream->record->name};
	}
	*ret_streams = streams;
	*ret_count = names->count;
	return true;
}

static void prefixed_streams(struct call *call, struct log_group_entry *group, struct str prefix,
			     struct log_stream_name **ret_streams, size_t *ret_count)
{
	struct log_stream_name *streams;
	size_t count, kept = 0;

	logs_list_streams(call->plane, group, &streams, &count);
	for (size_t i = 0; i < count; i++)
		if (!str_has(prefix) || str_starts(streams[i].name, prefix))
			streams[kept++] = streams[i];
	*ret_streams = streams;
	*ret_count = kept;
}

/* Two of the same would give each event twice. */
static bool is_repeated(const struct logs_input_log_stream_names *names)
{
	for (size_t i = 1; i < names->count; i++)
		for (size_t j = 0; j < i; j++)
			if (str_equal(names->items[i], names->items[j]))
				return true;
	return false;
}

bool logs_filter_log_events(struct call *call, const struct logs_filter_log_events_request *in,
			    struct logs_filter_log_events_response *out)
{
	struct log_group_entry *group = logs_find_group(call, in->log_group_name, in->log_group_identifier);
	struct log_stream_name *streams;
	size_t count;

	if (!group)
		return false;
	if (in->log_stream_names.count && str_has(in->log_stream_name_prefix))
		return fail(&call->error, ERROR_INVALID_PARAMETER,
			    "logStreamNamePrefix and logStreamNames are mutually exclusive parameters.");
	if (is_repeated(&in->log_stream_names))
		return fail(&call->error, ERROR_INVALID_PARAMETER, "logStreamNames must not repeat a log stream.");
	if (!check_pattern(call, in->filter_pattern))
		return false;
	if (!in->log_stream_names.count)
		prefixed_streams(call, group, in->log_stream_name_prefix, &streams, &count);
	else if (!named_streams(call, group, &in->log_stream_names, &streams, &count))
		return false;
	read_streams(call, in, group, streams, count);
	return true;
}

/* ---- StartLiveTail */

static bool check_tail(struct call *call, const struct logs_start_live_tail_request *in)
{
	size_t chosen = in->log_stream_names.count + in->log_stream_name_prefixes.count;

	if (in->log_stream_names.count && in->log_stream_name_prefixes.count)
		return fail(&call->error, ERROR_INVALID_PARAMETER,
			    "logStreamNamePrefixes and logStreamNames are mutually exclusive parameters.");
	if (chosen && in->log_group_identifiers.count > 1)
		return fail(&call->error, ERROR_INVALID_PARAMETER,
			    "Log streams can be chosen only for a single log group identifier.");
	for (size_t i = 0; i < in->log_group_identifiers.count; i++)
		if (!str_starts(in->log_group_identifiers.items[i], S("arn:")) ||
		    str_ends(in->log_group_identifiers.items[i], S(":*")))
			return fail(&call->error, ERROR_INVALID_PARAMETER,
				    "Log group identifiers must be ARNs that do not end in ':*'.");
	return check_pattern(call, in->log_event_filter_pattern);
}

bool logs_start_live_tail(struct call *call, const struct logs_start_live_tail_request *in,
			  struct logs_start_live_tail_response *out)
{
	size_t count = in->log_group_identifiers.count;
	struct log_stream_name *groups = arena_array(call->arena, struct log_stream_name, count);
	struct log_work *work;

	if (!check_tail(call, in))
		return false;
	for (size_t i = 0; i < count; i++) {
		struct log_group_entry *group = logs_find_group(call, STR_NONE, in->log_group_identifiers.items[i]);

		if (!group)
			return false;
		groups[i] = (struct log_stream_name){group->record->id.value, in->log_group_identifiers.items[i]};
	}
	work = logs_work_push(call);
	work->task = LOG_TAIL;
	work->input = in;
	work->groups = groups;
	work->group_count = count;
	return true;
}

/* ---- TestMetricFilter */

struct extraction { struct call *call; struct logs_extracted_values *values; };

static void take_value(void *arg, struct str name, struct str value)
{
	struct extraction *extraction = arg;
	struct logs_extracted_values *values = extraction->values;

	for (size_t i = 0; i < values->count; i++)
		if (str_equal(values->items[i].key, name))
			return;
	if (values->count == LOG_PATTERN_NODES_LIMIT)
		return;
	values->items[values->count++] = (struct logs_extracted_values_entry){.key = name, .value = value};
}

static void describe_match(struct call *call, const struct log_pattern *pattern, size_t index, struct str message,
			   struct logs_metric_filter_match_record *out)
{
	struct extraction extraction = {call, &out->extracted_values};

	out->event_number = (struct maybe_long){(int64_t)index + 1, true};
	out->event_message = message;
	out->extracted_values.items = arena_array(call->arena, struct logs_extracted_values_entry, LOG_PATTERN_NODES_LIMIT);
	log_pattern_extract(pattern, message, call->arena, take_value, &extraction);
}

bool logs_test_metric_filter(struct call *call, const struct logs_test_metric_filter_request *in,
			     struct logs_test_metric_filter_response *out)
{
	struct log_pattern *pattern = log_pattern_new(in->filter_pattern, &call->error);
	size_t count = in->log_event_messages.count;

	if (!pattern)
		return false;
	out->matches.items = arena_array(call->arena, struct logs_metric_filter_match_record, count);
	for (size_t i = 0; i < count; i++)
		if (log_pattern_matches(pattern, in->log_event_messages.items[i]))
			describe_match(call, pattern, i, in->log_event_messages.items[i],
				       &out->matches.items[out->matches.count++]);
	log_pattern_free(pattern);
	return true;
}
