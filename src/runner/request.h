/* request.h - bytes to requests of the local endpoints: small HTTP/1.1, without a socket in sight.
 *
 * One request at a time; what comes behind it is left for the next call. Bodies only with a Content-Length. */
#pragma once
#include <http_parser.h>
#include "base/arena.h"
#include "base/buffer.h"

enum {
	REQUEST_HEAD_LIMIT = 8192,                       /* bytes of request line and headers */
	REQUEST_TARGET_LIMIT = 2048,                     /* bytes of path and query */
	REQUEST_BODY_LIMIT = 4096,
};

struct request {
	struct str method, path, query;                  /* good until the next request_begin; query may be absent */
	struct str body;
	bool keep_alive;
};

enum request_outcome {
	REQUEST_MORE,                                    /* all was taken, and more is to come */
	REQUEST_DONE,
	REQUEST_REFUSED,                                 /* answer with `status` and hang up */
};

struct request_reader {
	http_parser parser;
	struct buffer target, body;
	size_t head_bytes;
	bool in_body, done;
	int status;
};

void request_begin(struct request_reader *reader);       /* zeroed, or after a request */
void request_fini(struct request_reader *reader);
enum request_outcome request_read(struct request_reader *reader, struct str bytes, size_t *ret_used,
				  struct request *ret_request);

/* A value of a query string, as sent; absent when there is none. */
struct str request_query(struct str query, struct str name);
const char *request_status_text(int status);
