#include "api/logs_handlers.h"
#include "control/logs/state.h"
#include "model/log.h"

enum { DESCRIBE_LIMIT = 50, STREAMS_LIMIT = 1000000 };

static struct str stream_key(struct call *call, struct str group, struct str stream)
{
	return ARENA_JOIN(call->arena, group, S(":"), stream);
}

bool logs_create_log_stream(struct call *call, const struct logs_create_log_stream_request *in,
			    struct logs_create_log_stream_response *out)
{
	struct log_group_entry *group = logs_find_group(call, in->log_group_name, STR_NONE);
	struct log_stream stream = {
		.group = in->log_group_name,
		.name = in->log_stream_name,
		.id = {(int64_t)(random_next(plane_random(call->plane)) >> 1), true},
		.created_at = {plane_now(call->plane), true},
	};

	if (!group || !logs_check_stream_name(call, in->log_stream_name))
		return false;
	if (sorted_get(&group->streams, in->log_stream_name))
		return fail(&call->error, ERROR_RESOURCE_ALREADY_EXISTS, "The specified log stream already exists");
	if (entry_count(call->plane, RECORD_LOG_STREAM) >= STREAMS_LIMIT)
		return fail(&call->error, ERROR_LIMIT_EXCEEDED, "Resource limit exceeded.");
	emit(call->plane, call->realm, RECORD_LOG_STREAM, stream_key(call, stream.group, stream.name), &stream);
	return true;
}

bool logs_delete_log_stream(struct call *call, const struct logs_delete_log_stream_request *in,
			    struct logs_delete_log_stream_response *out)
{
	struct log_group_entry *group = logs_find_group(call, in->log_group_name, STR_NONE);
	struct log_stream_entry *stream = group ? logs_find_stream(call, group, in->log_stream_name) : NULL;
	struct log_stream_name *name = arena_new(call->arena, struct log_stream_name);

	if (!stream)
		return false;
	name->id = stream->record->id.value;
	list_add(&plane_effects(call->plane)->logs,
		 ((struct log_work){.task = LOG_DROP, .streams = name, .stream_count = 1}));
	emit(call->plane, call->realm, RECORD_LOG_STREAM, entry_id(&stream->entry), NULL);
	return true;
}

static struct maybe_long time_or_none(int64_t time)
{
	return (struct maybe_long){time, time > 0};
}

static void describe_stream(struct call *call, struct str group_arn, const struct log_stream_entry *stream,
			    struct logs_log_stream *out)
{
	const struct log_figures *figures = &stream->figures;

	*out = (struct logs_log_stream){
		.log_stream_name = stream->record->name,
		.creation_time = {stream->record->created_at.value / USEC_PER_MSEC, true},
		.first_event_timestamp = time_or_none(figures->first_event),
		.last_event_timestamp = time_or_none(figures->last_event),
		.last_ingestion_time = time_or_none(figures->last_ingestion),
		.upload_sequence_token = arena_printf(call->arena, "%056lld", (long long)stream->record->id.value),
		.arn = ARENA_JOIN(call->arena, group_arn, S(":log-stream:"), stream->record->name),
		.stored_bytes = {0, true},
	};
}

bool logs_describe_log_streams(struct call *call, const struct logs_describe_log_streams_request *in,
			       struct logs_describe_log_streams_response *out)
{
	bool by_time = in->order_by == LOGS_ORDER_BY_LAST_EVENT_TIME;
	struct log_group_entry *group = logs_find_group(call, in->log_group_name, in->log_group_identifier);
	struct page_request request = {
		.token = in->next_token, .max_results = in->limit, .fallback = DESCRIBE_LIMIT, .limit = DESCRIBE_LIMIT,
		.prefix = in->log_stream_name_prefix, .descending = in->descending.value,
	};
	struct page page;
	struct str arn;

	if (!group)
		return false;
	if (by_time && str_has(in->log_stream_name_prefix))
		return fail(&call->error, ERROR_INVALID_PARAMETER,
			    "Cannot order by LastEventTime with a logStreamNamePrefix.");
	if (str_has(in->log_stream_name_prefix) && !logs_check_stream_name(call, in->log_stream_name_prefix))
		return false;
	arn = logs_group_arn(call, group);
	request.list = arena_printf(call->arena, "DescribeLogStreams %.*s %.*s %d %d", STR(arn),
				    STR(in->log_stream_name_prefix), by_time, request.descending);
	if (!logs_page_take(call, by_time ? &group->by_time : &group->streams, &request, &page))
		return false;
	out->log_streams.items = arena_array(call->arena, struct logs_log_stream, page.count);
	out->log_streams.count = page.count;
	for (size_t i = 0; i < page.count; i++)
		describe_stream(call, arn, by_time ? CONTAINER_OF(page.nodes[i], struct log_stream_entry, by_time)
						   : CONTAINER_OF(page.nodes[i], struct log_stream_entry, by_name),
				&out->log_streams.items[i]);
	out->next_token = page.next_token;
	return true;
}
