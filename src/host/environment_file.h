/* environment_file.h - environmentFiles: objects of S3 with a variable a line.
 *
 * "arn:aws:s3:::BUCKET/KEY" is asked of an S3 endpoint as ENDPOINT/BUCKET/KEY, signed when there is a key. A line is
 * NAME=VALUE, taken as it is; lines that begin with # and lines without = say nothing. Of a name that comes twice the first
 * counts, over all files of a container; the container's own environment comes before them all. */
#pragma once
#include "api/acs.h"
#include "base/arena.h"
#include "base/error.h"

enum {
	ENVIRONMENT_FILE_LIMIT = 1 << 20,                /* bytes of one */
	ENVIRONMENT_FILES_LIMIT = 10,                    /* of one container */
	ENVIRONMENT_VARIABLES_LIMIT = 10000,
	ENVIRONMENT_FILE_SECONDS = 30,                   /* for one */
};

struct environment_store {
	struct str endpoint;                             /* http(s)://…; absent: there is none */
	struct str region, key_id, secret, session_token;
};

/* One object's text. */
bool environment_file_fetch(const struct environment_store *store, struct str arn, struct arena *arena,
			    struct str *ret_text, struct error *err);
/* The variables "NAME=VALUE" of all of a container's files, each once. */
bool environment_files_fetch(const struct environment_store *store, const struct acs_environment_files *files,
			     struct arena *arena, struct str *ret_text, struct error *err);
/* Adds those of `text` whose names are not among the first *count of `variables`, which has room for `limit`. */
bool environment_file_read(struct str text, struct str *variables, size_t *count, size_t limit, struct error *err);
