/* endpoint.h - a small HTTP server on the runner's loop, with a socket in each of many network namespaces.
 *
 * A place is one listening socket and has a name; a request comes with the name of the place that it came through, which
 * is what its sender cannot choose. Connections are bounded by place and in all, requests a second by place; who is slow
 * is hung up on. */
#pragma once
#include "runner/request.h"                              /* before uv.h, whose system headers define MIN again */
#include <uv.h>

enum {
	ENDPOINT_PLACES_LIMIT = 20000,
	ENDPOINT_CONNECTIONS_LIMIT = 4096,
	ENDPOINT_PLACE_CONNECTIONS_LIMIT = 32,
	ENDPOINT_IDLE_SECONDS = 5,                       /* to send a request whole, or to read an answer */
	ENDPOINT_RATE = 40, ENDPOINT_BURST = 60,         /* requests a second; agent-protocol 7.1 */
};

struct endpoint;
struct endpoint_call;                                    /* a request that waits for its answer */

struct endpoint_options {
	uv_loop_t *loop;
	/* Answers with endpoint_answer, now or later, once. `request` is good during the call. */
	void (*serve)(void *arg, struct endpoint_call *call, struct str place, const struct request *request);
	void *arg;
};

struct endpoint *endpoint_new(const struct endpoint_options *options);
void endpoint_stop(struct endpoint *endpoint);           /* hands its handles back to the loop */
void endpoint_free(struct endpoint *endpoint);           /* after the loop has ended */

/* Takes the listening socket `fd`. A place of that name is replaced. Thread-safe. */
void endpoint_offer(struct endpoint *endpoint, struct str place, int fd);
/* With its connections; fine when there is none. */
void endpoint_close(struct endpoint *endpoint, struct str place);

void endpoint_answer(struct endpoint_call *call, int status, struct str content_type, struct str body);
