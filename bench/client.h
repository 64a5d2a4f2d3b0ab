/* client.h - many connections that ask a server the same kind of thing over and over, at little cost to themselves.
 *
 * Requests are made and signed before; each connection sends one, reads its answer whole, sends the next. */
#pragma once
#include "bench/figure.h"
#include "wire/sigv4.h"

enum { CLIENT_THREADS_LIMIT = 8, CLIENT_CONNECTIONS_LIMIT = 1024 };

struct target {
	int port;
	struct str host;                                 /* "127.0.0.1:PORT" */
	struct sigv4_credentials credentials;
	struct sigv4 *sigv4;
	const char *service, *prefix;                    /* whose operations are asked for; NULL: ECS */
};

struct load {
	const struct str *requests;
	size_t request_count;
	int port, threads, connections;                  /* connections in all */
	int64_t span_usec;
};

struct load_result {
	uint64_t answers, failures;                      /* not 200 */
	double seconds;
	struct samples waits;
	struct str failure;                              /* the first one, in `arena` */
};

int client_connect(int port);

/* A signed request for an operation, or (upgrade) for PATH?QUERY. */
struct str client_request(const struct target *target, const char *operation, struct str body, struct arena *arena);
struct str client_upgrade(const struct target *target, const char *path, struct str query, struct arena *arena);

/* One request and its answer's body; gives up on anything but 200. */
struct str client_ask(const struct target *target, const char *operation, struct str body, struct arena *arena);

void client_run(const struct load *load, struct arena *arena, struct load_result *ret_result);
