/* file_systems.h - takes the files of deleted EFS file systems off this machine's disk.
 *
 * At the start and every FILE_SYSTEMS_SECONDS the server is asked which of the folders below DATA/efs were deleted
 * (wherry's DeletedFileSystems). Only what it names goes: not what it never knew, and nothing when it cannot be reached or
 * answers with an error. A folder that a task of this machine has stays until that task has stopped. */
#pragma once
#include "agent/agent.h"
#include "runner/calls.h"

enum {
	FILE_SYSTEMS_SECONDS = 15,
	FILE_SYSTEMS_ASKED = 1000,                       /* in one call */
	FILE_SYSTEMS_LIMIT = 100000,                     /* folders that are looked at */
};

struct file_systems;

struct file_systems_options {
	uv_loop_t *loop;
	struct calls *calls;
	const struct agent *agent;                       /* who has what, asked on the loop */
	struct str data;                                 /* outlives it */
	void (*report)(const struct error *err);         /* on the loop: a folder that could not be removed; once while it repeats */
};

struct file_systems *file_systems_new(const struct file_systems_options *options);
/* Nothing more is begun; the loop ends once a removal under way has. */
void file_systems_stop(struct file_systems *file_systems);
void file_systems_free(struct file_systems *file_systems);       /* after the loop has ended; NULL is fine */
