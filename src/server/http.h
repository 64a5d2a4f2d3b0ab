/* http.h - bytes to requests: strict HTTP/1.1 framing, without a socket in sight.
 *
 * The reader frames heads itself (CR LF only, no folding, no NUL, limits) and gives each whole head to
 * http_parser, which parses it and frames the body; so a head has one meaning, whoever reads it. What is ambiguous
 * is refused, never repaired: docs/http.md has the list. */
#pragma once
#include <http_parser.h>
#include "base/arena.h"
#include "base/buffer.h"
#include "wire/sigv4.h"

enum {
	HTTP_OVERHEAD_LIMIT = 1 << 16,                   /* bytes of chunk sizes, extensions and trailers */
};

struct http_request {
	struct arena arena;                              /* lives as long as the request; slices below are in it */
	struct str method, path, query;                  /* query without '?'; path as sent, perhaps empty */
	struct sigv4_header *headers;
	size_t header_count;
	struct buffer body;
	bool keep_alive, upgrade, wants_continue, http_1_0;
};

enum http_outcome {
	HTTP_READ_MORE,                                  /* everything was consumed, the request is not complete */
	HTTP_READ_HEAD,                                  /* the head is complete, a body follows */
	HTTP_READ_REQUEST,                               /* complete */
	HTTP_READ_REFUSED,                               /* by `status` and `reason`: answer and hang up */
};

struct http_reader {
	http_parser parser;
	struct http_request *request;
	struct buffer head;                              /* of a head that came in pieces */
	size_t body_limit, request_limit, raw_body;      /* request_limit: of the one being read; what its head says, or ours */
	uint32_t line_length, lines;
	bool after_cr, in_body, complete, bad_body;
	int status;
	const char *reason;
};

void http_reader_init(struct http_reader *reader, size_t body_limit);
void http_reader_fini(struct http_reader *reader);

/* Fills the zeroed `request` from `bytes`; *ret_used says how many were taken. After HTTP_READ_REQUEST the next call
 * may begin another request. */
enum http_outcome http_read(struct http_reader *reader, struct http_request *request, struct str bytes,
			    size_t *ret_used);
/* After HTTP_READ_HEAD: its body may have no more than that, or is refused. */
void http_reader_limit(struct http_reader *reader, size_t limit);
/* Between requests, nothing of a next one read yet. */
bool http_reader_is_idle(const struct http_reader *reader);

struct str http_header(const struct http_request *request, struct str name);     /* the first; or absent */
size_t http_header_count(const struct http_request *request, struct str name);
/* A value of the query string, decoded ('+' is a space); absent when there is none. */
struct str http_query(const struct http_request *request, struct str name, struct arena *arena);

const char *http_status_text(int status);

void http_request_fini(struct http_request *request);
void http_request_reset(struct http_request *request);   /* for the next one; keeps some memory */
