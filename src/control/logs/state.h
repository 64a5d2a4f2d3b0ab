/* state.h - the Logs room's entries: groups, and streams with their figures.
 *
 * Events are not here: they lie with the log shell, found by the stream's id. What the API shows of them (first, last,
 * bytes) is kept as figures; they change with every put, so the record follows them with a delay (STREAM_SETTLE) and
 * after a crash may be that much behind, as AWS's own are. */
#pragma once
#include "api/logs.h"
#include "control/call.h"
#include "control/paging.h"
#include "control/room.h"

struct log_group_entry {
	ENTRY_OF(log_group);
	struct sorted_node by_name;
	struct sorted streams;                           /* log_stream_entry.by_name */
	struct sorted by_time;                           /* log_stream_entry.by_time */
	int64_t stored_bytes;
	struct wake wake;                                /* what is older than the retention goes */
};

struct log_figures {
	int64_t first_event, last_event, last_ingestion; /* 0: there was none */
	int64_t stored_bytes;
};

struct log_stream_entry {
	ENTRY_OF(log_stream);
	struct log_group_entry *group;
	struct sorted_node by_name, by_time;
	struct str time_key;                             /* last event as 20 digits, then the name */
	struct log_figures figures;
	struct wake wake;                                /* the record follows the figures */
};

/* The figures of a stream to which events came, now. */
void log_stream_grow(struct plane *plane, struct log_stream_entry *stream, const struct log_figures *figures);
void log_stream_emit(struct plane *plane, struct log_stream_entry *stream);
void log_group_emit_deletion(struct plane *plane, struct log_group_entry *group);        /* with its streams */

/* Finding things. They fail with AWS's error. */
/* One of the two; `identifier` is a name or an ARN without ":*". */
struct log_group_entry *logs_find_group(struct call *call, struct str name, struct str identifier);
struct log_stream_entry *logs_find_stream(struct call *call, struct log_group_entry *group, struct str name);
struct str logs_group_arn(struct call *call, const struct log_group_entry *group);       /* without ":*" */

bool logs_check_group_name(struct call *call, struct str name, const char *member);
bool logs_check_stream_name(struct call *call, struct str name);
bool logs_check_tags(struct call *call, const struct logs_tags *tags);

/* page_take with CloudWatch's words; sizes are checked by their shape. */
bool logs_page_take(struct call *call, const struct sorted *tree, const struct page_request *request, struct page *ret_page);

struct log_work *logs_work_push(struct call *call);      /* parks the call */

/* Rows of entry_kinds. */
void logs_group_attach(struct plane *plane, struct entry *entry);
void logs_group_detach(struct plane *plane, struct entry *entry);
void logs_group_add(struct plane *plane, struct entry *entry);
void logs_stream_attach(struct plane *plane, struct entry *entry);
void logs_stream_detach(struct plane *plane, struct entry *entry);
void logs_stream_add(struct plane *plane, struct entry *entry);
void logs_nothing(struct plane *plane, struct entry *entry);

#define LOGS_ENTRY_KINDS \
	[RECORD_LOG_GROUP] = {&shape_log_group, sizeof(struct log_group_entry), logs_group_attach, logs_group_detach, \
			      logs_group_add, logs_nothing}, \
	[RECORD_LOG_STREAM] = {&shape_log_stream, sizeof(struct log_stream_entry), logs_stream_attach, \
			       logs_stream_detach, logs_stream_add, logs_nothing}
