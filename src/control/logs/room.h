/* room.h - what the plane needs of the Logs room. */
#pragma once
#include "control/room.h"

struct log_group_entry;
struct log_stream_name;

void logs_start(struct plane *plane);                    /* first step after the restore */
void logs_forget(struct plane *plane, const struct logs_swept_event *event);
void logs_check(const struct plane *plane);

/* The group's streams, in order of their names; in the step's arena. */
void logs_list_streams(struct plane *plane, const struct log_group_entry *group, struct log_stream_name **ret_streams,
		       size_t *ret_count);
