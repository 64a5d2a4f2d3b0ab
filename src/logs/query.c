#include "logs/query.h"
#include <inttypes.h>
#include <stdlib.h>
#include "base/list.h"
#include "logs/batch.h"
#include "wire/log_pattern.h"

enum { HASH_DIGITS = 16, LOT_DIGITS = 32 };

static bool bad_token(struct error *err)
{
	return fail(err, ERROR_INVALID_PARAMETER, "The specified nextToken is invalid.");
}

/* ---- GetLogEvents: "f/POSITION/s" goes on after a position, "b/POSITION/s" before it */

static struct str make_token(char direction, const struct log_position *position, struct arena *arena)
{
	return arena_printf(arena, "%c/%.*s/s", direction, STR(log_position_text(position, arena)));
}

static bool read_token(struct str token, struct log_range *range, struct error *err)
{
	range->backward = str_starts(token, S("b/"));
	if (token.len != LOG_POSITION_DIGITS + 4 || (!range->backward && !str_starts(token, S("f/"))) ||
	    !str_ends(token, S("/s")) || !log_position_parse(str_slice(token, 2, token.len - 2), &range->from))
		return bad_token(err);
	return true;
}

/* Where a first page begins. */
static struct log_position range_end(const struct log_range *range)
{
	if (range->backward)
		return (struct log_position){MAX(range->last, 0), INT64_MAX, INT64_MAX};       /* a position has no sign */
	return (struct log_position){range->first, 0, 0};
}

static void turn(struct logs_output_log_event *events, size_t count)
{
	for (size_t i = 0; i < count / 2; i++) {
		struct logs_output_log_event other = events[i];

		events[i] = events[count - 1 - i];
		events[count - 1 - i] = other;
	}
}

struct output_page {
	struct logs_output_log_event *items;
	size_t count, capacity, bytes;
	struct log_position first, last;                 /* as they came */
};

static bool take_page(struct log_cursor *cursor, size_t limit, struct arena *arena, struct output_page *page,
		      struct error *err)
{
	struct log_found found;
	bool has = true, done = true;

	while (page->count < limit && page->bytes < LOG_PAGE_BYTES_LIMIT) {
		done = log_cursor_next(cursor, &found, &has, err);
		if (!done || !has)
			break;
		if (page->count && page->bytes + found.message.len + LOG_EVENT_OVERHEAD > LOG_PAGE_BYTES_LIMIT)
			break;
		page->items = list_grow(page->items, &page->capacity, page->count + 1, sizeof(*page->items));
		page->items[page->count++] = (struct logs_output_log_event){
			.timestamp = {found.position.timestamp, true}, .message = arena_copy(arena, found.message),
			.ingestion_time = {found.ingestion, true}};
		page->bytes += found.message.len + LOG_EVENT_OVERHEAD;
		if (page->count == 1)
			page->first = found.position;
		page->last = found.position;
	}
	return done;
}

/* An empty page: both tokens lead to where it stands, so the one that was sent comes back. */
static void empty_tokens(const struct log_range *range, struct str token, struct arena *arena,
			 struct logs_get_log_events_response *out)
{
	struct log_position forward = range->from, backward = range->from;

	if (str_has(token) && range->backward)
		forward.place -= forward.place > 0;
	else if (str_has(token))
		backward.place += backward.place < INT64_MAX;
	else if (range->backward)
		forward = (struct log_position){range->first, 0, 0};
	out->next_forward_token = make_token('f', &forward, arena);
	out->next_backward_token = make_token('b', &backward, arena);
}

static void give_page(struct output_page *page, const struct log_range *range, struct arena *arena,
		      struct logs_get_log_events_response *out)
{
	out->events.items = arena_array(arena, struct logs_output_log_event, page->count);
	out->events.count = page->count;
	if (!page->count)
		return;
	memcpy(out->events.items, page->items, page->count * sizeof(*page->items));
	if (range->backward)
		turn(out->events.items, page->count);
	out->next_forward_token = make_token('f', range->backward ? &page->first : &page->last, arena);
	out->next_backward_token = make_token('b', range->backward ? &page->last : &page->first, arena);
}

static struct log_range range_of(const struct log_query *query, struct maybe_long start, struct maybe_long end)
{
	struct log_range range = {.first = start.has ? start.value : 0, .last = end.has ? end.value : INT64_MAX};

	range.first = MAX(range.first, query->oldest);
	return range;
}

bool log_get_events(struct log_store *store, const struct log_query *query, const struct logs_get_log_events_request *in,
		    struct arena *arena, struct logs_get_log_events_response *out, struct error *err)
{
	struct log_range range = range_of(query, in->start_time, in->end_time);
	size_t limit = in->limit.has ? (size_t)in->limit.value : LOG_PAGE_EVENTS_LIMIT;
	struct log_cursor *cursor = NULL;
	struct output_page page = {0};
	bool done;

	range.last -= in->end_time.has;
	range.backward = !in->start_from_head.value;
	range.from = range_end(&range);
	if (str_has(in->next_token) && !read_token(in->next_token, &range, err))
		return false;
	done = log_cursor_open(store, query->streams, query->stream_count, &range, &cursor, err) &&
	       take_page(cursor, limit, arena, &page, err);
	log_cursor_close(cursor);
	if (done && !page.count)
		empty_tokens(&range, in->next_token, arena, out);
	if (done)
		give_page(&page, &range, arena, out);
	free(page.items);
	return done;
}

/* ---- FilterLogEvents: a token is a hash of what was asked, a position, and the lot of streams when there are several */

static uint64_t hash_of(const struct log_query *query, const struct logs_filter_log_events_request *in)
{
	uint64_t hash = str_hash(in->filter_pattern, (uint64_t)in->start_time.value * 31 + (uint64_t)in->end_time.value);

	hash = str_hash(in->log_group_name, hash);
	hash = str_hash(in->log_group_identifier, hash);
	hash = str_hash(in->log_stream_name_prefix, hash);
	for (size_t i = 0; i < in->log_stream_names.count; i++)
		hash = str_hash(in->log_stream_names.items[i], hash);
	return hash + in->start_from_head.value;
}

/* Streams that are searched together: those with ids beyond `after`, up to `last`. */
struct lot {
	int64_t after, last;
	struct log_stream_name *streams;
	size_t count;
	bool is_one_of_many;
};

static int by_id(const void *a, const void *b)
{
	const struct log_stream_name *left = a, *right = b;

	return (left->id > right->id) - (left->id < right->id);
}

/* The streams of `lot`; those after it that make the next one are `ret_next`, which has none when it was the last. */
static void take_lot(const struct log_query *query, struct arena *arena, struct lot *lot, struct lot *ret_next)
{
	struct log_stream_name *sorted = arena_array(arena, struct log_stream_name, query->stream_count);
	size_t from = 0, to, end;

	if (query->stream_count)
		memcpy(sorted, query->streams, query->stream_count * sizeof(*sorted));
	qsort(sorted, query->stream_count, sizeof(*sorted), by_id);
	while (from < query->stream_count && sorted[from].id <= lot->after)
		from++;
	for (to = from; to < query->stream_count && to - from < LOG_SCAN_STREAMS_LIMIT && sorted[to].id <= lot->last;)
		to++;
	lot->streams = sorted + from;
	lot->count = to - from;
	if (lot->count)
		lot->last = sorted[to - 1].id;
	end = MIN(to + LOG_SCAN_STREAMS_LIMIT, query->stream_count);
	*ret_next = (struct lot){.after = lot->last, .count = end - to, .is_one_of_many = true};
	if (end > to)
		ret_next->last = sorted[end - 1].id;
}

static bool parse_hex(struct str digits, int64_t *ret_value)
{
	uint64_t value = 0;

	for (size_t i = 0; i < digits.len; i++) {
		const char *all = "0123456789abcdef", *found = memchr(all, digits.ptr[i], 16);

		if (!found)
			return false;
		value = value << 4 | (uint64_t)(found - all);
	}
	*ret_value = (int64_t)value;
	return true;
}

static bool read_place(const struct log_query *query, const struct logs_filter_log_events_request *in, struct arena *arena,
		       struct log_range *range, struct lot *lot, struct error *err)
{
	struct str token = in->next_token, hash = arena_printf(arena, "%016" PRIx64, hash_of(query, in)), rest;

	if (!str_has(token))
		return true;
	rest = str_slice(token, HASH_DIGITS + LOG_POSITION_DIGITS, token.len);
	if (!str_starts(token, hash) || (rest.len && rest.len != LOT_DIGITS) ||
	    !log_position_parse(str_slice(token, HASH_DIGITS, HASH_DIGITS + LOG_POSITION_DIGITS), &range->from) ||
	    !parse_hex(str_slice(rest, 0, LOT_DIGITS / 2), &lot->after) ||
	    !parse_hex(str_slice(rest, LOT_DIGITS / 2, rest.len), &lot->last))
		return bad_token(err);
	lot->is_one_of_many = rest.len > 0;
	if (!lot->is_one_of_many)
		lot->last = INT64_MAX;
	return true;
}

static struct str make_place(const struct log_query *query, const struct logs_filter_log_events_request *in,
			     const struct log_position *position, const struct lot *lot, struct arena *arena)
{
	struct str place = arena_printf(arena, "%016" PRIx64 "%.*s", hash_of(query, in), STR(log_position_text(position, arena)));

	if (!lot->is_one_of_many)
		return place;
	return arena_printf(arena, "%.*s%016" PRIx64 "%016" PRIx64, STR(place), (uint64_t)lot->after, (uint64_t)lot->last);
}

struct search {
	struct log_cursor *cursor;
	const struct log_query *query;
	const struct log_stream_name *streams;           /* that are searched */
	const struct log_pattern *pattern;
	struct arena *arena;
	size_t limit, capacity, bytes;
	size_t begun;                                    /* read until the first event was given: no page is without one */
	struct logs_filtered_log_events *out;
	struct log_position last;                        /* looked at */
	bool stopped;                                    /* there is more */
};

static void add_found(struct search *search, const struct log_found *found)
{
	struct logs_filtered_log_events *out = search->out;

	out->items = list_grow(out->items, &search->capacity, out->count + 1, sizeof(*out->items));
	out->items[out->count++] = (struct logs_filtered_log_event){
		.log_stream_name = search->streams[found->stream].name,
		.timestamp = {found->position.timestamp, true},
		.message = arena_copy(search->arena, found->message),
		.ingestion_time = {found->ingestion, true},
		.event_id = log_position_text(&found->position, search->arena),
	};
	search->bytes += found->message.len + LOG_EVENT_OVERHEAD;
}

static bool has_enough(const struct log_query *query)
{
	return query->is_enough && query->is_enough(query->arg);
}

static bool run_search(struct search *search, struct error *err)
{
	struct log_found found;
	bool has;

	for (;;) {
		if (!log_cursor_next(search->cursor, &found, &has, err))
			return false;
		if (!has)
			return true;
		if (log_pattern_matches(search->pattern, found.message)) {
			search->stopped = search->out->count >= search->limit ||
					  (search->out->count && search->bytes + found.message.len + LOG_EVENT_OVERHEAD >
									 LOG_PAGE_BYTES_LIMIT);
			if (search->stopped)
				return true;
			add_found(search, &found);
		}
		search->last = found.position;
		if (!search->begun)
			search->begun = log_cursor_bytes(search->cursor);
		search->stopped = log_cursor_bytes(search->cursor) - search->begun > LOG_SCAN_BYTES_LIMIT || has_enough(search->query);
		if (search->stopped)
			return true;
	}
}

static void give_found(const struct logs_filtered_log_events *found, struct arena *arena,
		       struct logs_filter_log_events_response *out)
{
	out->events.items = arena_array(arena, struct logs_filtered_log_event, found->count);
	out->events.count = found->count;
	if (found->count)
		memcpy(out->events.items, found->items, found->count * sizeof(*found->items));
	out->searched_log_streams.items = arena_new(arena, struct logs_searched_log_stream);
}

bool log_filter_events(struct log_store *store, const struct log_query *query,
		       const struct logs_filter_log_events_request *in, struct arena *arena,
		       struct logs_filter_log_events_response *out, struct error *err)
{
	struct log_range range = range_of(query, in->start_time, in->end_time);
	struct logs_filtered_log_events found = {0};
	struct log_pattern *pattern = log_pattern_new(in->filter_pattern, err);
	struct search search = {.query = query, .pattern = pattern, .arena = arena, .out = &found,
				.limit = in->limit.has ? (size_t)in->limit.value : LOG_PAGE_EVENTS_LIMIT};
	struct lot next = {0}, lot = {.after = INT64_MIN, .last = INT64_MAX,
				      .is_one_of_many = query->stream_count > LOG_SCAN_STREAMS_LIMIT};
	struct log_position beginning;
	bool done;

	range.backward = in->start_from_head.has && !in->start_from_head.value;
	range.from = beginning = range_end(&range);
	done = pattern && read_place(query, in, arena, &range, &lot, err);
	if (done) {
		take_lot(query, arena, &lot, &next);
		search.streams = lot.streams;
		done = log_cursor_open(store, lot.streams, lot.count, &range, &search.cursor, err) && run_search(&search, err);
	}
	log_cursor_close(search.cursor);
	log_pattern_free(pattern);
	if (done)
		give_found(&found, arena, out);
	if (done && search.stopped)
		out->next_token = make_place(query, in, &search.last, &lot, arena);
	else if (done && next.count)
		out->next_token = make_place(query, in, &beginning, &next, arena);
	free(found.items);
	return done;
}

/* ---- GetLogRecord: a pointer is an event's id */

static bool no_record(struct error *err)
{
	return fail(err, ERROR_RESOURCE_NOT_FOUND, "The specified log record does not exist.");
}

static void add_field(struct logs_log_record *record, struct str key, struct str value)
{
	record->items[record->count++] = (struct logs_log_record_entry){.key = key, .value = value};
}

static void show_record(const struct log_stream_facts *stream, const struct log_row *row, const struct log_event *event,
			struct str pointer, struct arena *arena, struct logs_log_record *record)
{
	struct str account = str_slice(stream->realm, 0, str_find(stream->realm, '/'));

	record->items = arena_array(arena, struct logs_log_record_entry, 6);
	add_field(record, S("@ingestionTime"), arena_printf(arena, "%lld", (long long)row->ingestion));
	add_field(record, S("@log"), arena_printf(arena, "%.*s:%.*s", STR(account), STR(stream->group)));
	add_field(record, S("@logStream"), stream->name);
	add_field(record, S("@message"), arena_copy(arena, event->message));
	add_field(record, S("@ptr"), pointer);
	add_field(record, S("@timestamp"), arena_printf(arena, "%lld", (long long)event->timestamp));
}

bool log_get_record(struct log_store *store, const struct log_query *query, const struct logs_get_log_record_request *in,
		    struct arena *arena, struct logs_get_log_record_response *out, struct error *err)
{
	struct log_position position;
	struct log_stream_facts stream;
	struct log_event *events;
	struct log_row row;
	struct str bytes;
	size_t count;
	bool found;

	if (!log_position_parse(in->log_record_pointer, &position))
		return fail(err, ERROR_INVALID_PARAMETER, "The specified logRecordPointer is invalid.");
	if (!log_store_row(store, position.row, &row, &bytes, &found, err))
		return false;
	if (!found)
		return no_record(err);
	arena_defer(arena, free, (void *)bytes.ptr);
	if (!log_batch_decode(bytes, row.first, arena, &events, &count, err) ||
	    !log_store_stream(store, row.stream, arena, &found, &stream, err))
		return false;
	if (!found || !str_equal(stream.realm, query->realm) || position.place < 1 || (size_t)position.place > count ||
	    events[position.place - 1].timestamp != position.timestamp)
		return no_record(err);
	show_record(&stream, &row, &events[position.place - 1], in->log_record_pointer, arena, &out->log_record);
	return true;
}
