#include "control/logs/state.h"
#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include "control/internal.h"
#include "control/logs/room.h"
#include "model/log.h"

#define STREAM_SETTLE (5 * USEC_PER_SEC)
#define TRIM_EVERY (3600 * USEC_PER_SEC)

enum { TIME_DIGITS = 20 };

/* ---- groups */

static void group_wake(struct plane *plane, struct wake *wake)
{
	struct log_group_entry *group = CONTAINER_OF(wake, struct log_group_entry, wake);
	int64_t now = plane_now(plane) / USEC_PER_MSEC;
	struct log_work *work;

	if (!group->record->retention_in_days.has)
		return;
	work = list_push(&plane_effects(plane)->logs);
	*work = (struct log_work){.task = LOG_TRIM, .realm = group->realm->key, .group = group->record->name, .before = now - group->record->retention_in_days.value * LOG_DAY_MSEC};
	logs_list_streams(plane, group, &work->streams, &work->stream_count);
	wake_set(plane, wake, plane_now(plane) + TRIM_EVERY);
}

void logs_group_attach(struct plane *plane, struct entry *entry)
{
	struct log_group_entry *group = (struct log_group_entry *)entry;

	group->wake.run = group_wake;
	sorted_add(&entry->realm->log_groups, &group->by_name, entry_id(entry));
}

void logs_group_detach(struct plane *plane, struct entry *entry)
{
	struct log_group_entry *group = (struct log_group_entry *)entry;

	assert(group->streams.count == 0);
	wake_clear(plane, &group->wake);
	sorted_remove(&entry->realm->log_groups, &group->by_name);
}

void logs_group_add(struct plane *plane, struct entry *entry)
{
	struct log_group_entry *group = (struct log_group_entry *)entry;

	wake_clear(plane, &group->wake);
	if (group->record->retention_in_days.has)
		wake_set(plane, &group->wake, plane_now(plane));
}

void logs_nothing(struct plane *plane, struct entry *entry)
{
}

/* ---- streams */

static struct str stream_name(const struct entry *entry)
{
	struct str id = entry_id(entry);

	return str_slice(id, str_find(id, ':') + 1, id.len);
}

static void place_in_time(struct log_stream_entry *stream)
{
	char digits[TIME_DIGITS + 1];

	snprintf(digits, sizeof(digits), "%020" PRId64, stream->figures.last_event);
	memcpy((char *)stream->time_key.ptr, digits, TIME_DIGITS);
	sorted_add(&stream->group->by_time, &stream->by_time, stream->time_key);
}

static void set_figures(struct log_stream_entry *stream, const struct log_figures *figures)
{
	bool moves = figures->last_event != stream->figures.last_event;

	stream->group->stored_bytes += figures->stored_bytes - stream->figures.stored_bytes;
	if (moves)
		sorted_remove(&stream->group->by_time, &stream->by_time);
	stream->figures = *figures;
	if (moves)
		place_in_time(stream);
}

static struct log_figures recorded_figures(const struct log_stream *record)
{
	return (struct log_figures){record->first_event.value, record->last_event.value, record->last_ingestion.value,
				    record->stored_bytes.value};
}

void log_stream_emit(struct plane *plane, struct log_stream_entry *stream)
{
	struct log_stream next = *stream->record;

	next.first_event = (struct maybe_long){stream->figures.first_event, true};
	next.last_event = (struct maybe_long){stream->figures.last_event, true};
	next.last_ingestion = (struct maybe_long){stream->figures.last_ingestion, true};
	next.stored_bytes = (struct maybe_long){stream->figures.stored_bytes, true};
	emit(plane, stream->realm, RECORD_LOG_STREAM, entry_id(&stream->entry), &next);
}

void log_stream_grow(struct plane *plane, struct log_stream_entry *stream, const struct log_figures *figures)
{
	bool first = !stream->figures.last_ingestion;

	set_figures(stream, figures);
	if (first)
		log_stream_emit(plane, stream);
	else if (stream->wake.node.position == 0)
		wake_set(plane, &stream->wake, plane_now(plane) + STREAM_SETTLE);
}

static void stream_wake(struct plane *plane, struct wake *wake)
{
	log_stream_emit(plane, CONTAINER_OF(wake, struct log_stream_entry, wake));
}

void logs_stream_attach(struct plane *plane, struct entry *entry)
{
	struct log_stream_entry *stream = (struct log_stream_entry *)entry;
	struct str id = entry_id(entry), name = stream_name(entry);
	char *key = malloc(TIME_DIGITS + name.len);

	if (!key)
		abort();
	memcpy(key + TIME_DIGITS, name.ptr, name.len);
	stream->time_key = (struct str){key, TIME_DIGITS + name.len};
	stream->group = entry_find(plane, entry->realm, RECORD_LOG_GROUP, str_slice(id, 0, str_find(id, ':')));
	assert(stream->group);
	stream->wake.run = stream_wake;
	sorted_add(&stream->group->streams, &stream->by_name, name);
	place_in_time(stream);
}

void logs_stream_detach(struct plane *plane, struct entry *entry)
{
	struct log_stream_entry *stream = (struct log_stream_entry *)entry;

	wake_clear(plane, &stream->wake);
	stream->group->stored_bytes -= stream->figures.stored_bytes;
	sorted_remove(&stream->group->streams, &stream->by_name);
	sorted_remove(&stream->group->by_time, &stream->by_time);
	free((char *)stream->time_key.ptr);
}

void logs_stream_add(struct plane *plane, struct entry *entry)
{
	struct log_stream_entry *stream = (struct log_stream_entry *)entry;
	struct log_figures figures = recorded_figures(stream->record);

	set_figures(stream, &figures);
	wake_clear(plane, &stream->wake);
}

/* ---- all of them */

void logs_list_streams(struct plane *plane, const struct log_group_entry *group, struct log_stream_name **ret_streams,
		       size_t *ret_count)
{
	struct log_stream_name *streams = arena_array(plane_arena(plane), struct log_stream_name, group->streams.count);
	size_t count = 0;

	for (struct sorted_node *node = sorted_first(&group->streams); node; node = sorted_after(&group->streams, node->key)) {
		struct log_stream_entry *stream = CONTAINER_OF(node, struct log_stream_entry, by_name);

		streams[count++] = (struct log_stream_name){stream->record->id.value, node->key};
	}
	*ret_streams = streams;
	*ret_count = count;
}

void log_group_emit_deletion(struct plane *plane, struct log_group_entry *group)
{
	struct log_work *work = list_push(&plane_effects(plane)->logs);
	struct sorted_node *node;

	*work = (struct log_work){.task = LOG_DROP};
	logs_list_streams(plane, group, &work->streams, &work->stream_count);
	for (size_t i = 0; i < work->stream_count; i++)
		work->streams[i].name = STR_NONE;
	while ((node = sorted_first(&group->streams)))
		emit(plane, group->realm, RECORD_LOG_STREAM,
		     entry_id(&CONTAINER_OF(node, struct log_stream_entry, by_name)->entry), NULL);
	emit(plane, group->realm, RECORD_LOG_GROUP, entry_id(&group->entry), NULL);
}

static struct log_group_entry *group_at(struct sorted_node *node)
{
	return CONTAINER_OF(node, struct log_group_entry, by_name);
}

/* Events of streams that no longer are: a crash came between their record's end and their own. */
void logs_start(struct plane *plane)
{
	size_t room = entry_count(plane, RECORD_LOG_STREAM), count = 0;
	struct log_stream_name *streams = arena_array(plane_arena(plane), struct log_stream_name, room);
	struct realm *realm;

	for (size_t cursor = 0; (realm = plane_next_realm(plane, &cursor));)
		for (struct sorted_node *node = sorted_first(&realm->log_groups); node;
		     node = sorted_after(&realm->log_groups, node->key)) {
			struct log_stream_name *some;
			size_t some_count;

			logs_list_streams(plane, group_at(node), &some, &some_count);
			for (size_t i = 0; i < some_count; i++)
				streams[count++] = (struct log_stream_name){some[i].id, STR_NONE};
		}
	assert(count == room);
	list_add(&plane_effects(plane)->logs,
		 ((struct log_work){.task = LOG_KEEP, .streams = streams, .stream_count = count}));
}

/* What was deleted counts no longer. */
void logs_forget(struct plane *plane, const struct logs_swept_event *event)
{
	size_t slash = str_find(event->realm, '/');
	struct realm *realm = plane_realm(plane, str_slice(event->realm, 0, slash),
					  str_slice(event->realm, slash + 1, event->realm.len));
	struct log_group_entry *group = entry_find(plane, realm, RECORD_LOG_GROUP, event->group);
	struct sorted_node *node = group ? sorted_get(&group->streams, event->name) : NULL;
	struct log_stream_entry *stream = node ? CONTAINER_OF(node, struct log_stream_entry, by_name) : NULL;
	struct log_figures figures;

	if (!stream || stream->record->id.value != event->stream)
		return;
	figures = stream->figures;
	figures.stored_bytes = MAX(figures.stored_bytes - event->bytes, 0);
	figures.first_event = event->first ? event->first : figures.last_event;
	log_stream_grow(plane, stream, &figures);
}

static void check_group(const struct log_group_entry *group)
{
	int64_t bytes = 0;

	for (struct sorted_node *node = sorted_first(&group->streams); node; node = sorted_after(&group->streams, node->key)) {
		struct log_stream_entry *stream = CONTAINER_OF(node, struct log_stream_entry, by_name);

		assert(stream->group == group);
		assert(sorted_get(&group->by_time, stream->time_key) == &stream->by_time);
		bytes += stream->figures.stored_bytes;
	}
	assert(group->by_time.count == group->streams.count);
	assert(bytes == group->stored_bytes);
}

void logs_check(const struct plane *plane)
{
	struct realm *realm;

	for (size_t cursor = 0; (realm = plane_next_realm(plane, &cursor));)
		for (struct sorted_node *node = sorted_first(&realm->log_groups); node;
		     node = sorted_after(&realm->log_groups, node->key))
			check_group(group_at(node));
}
