/* server.h - the AWS API shell: HTTP, TLS, websockets and signatures around the brain.
 *
 *   I/O threads (libuv, one SO_REUSEPORT listener each): accept, head, body, signature, decode ─┐
 *   brain thread: plane_step for whatever came in, replies encoded ─▶ commit queue               │
 *   committer thread: one store_append for what came during the last one ─▶ replies, messages out ┘
 *
 * Nothing leaves before the records of its own and all earlier steps are durable, reads included. The threads
 * share nothing but queues. Limits have names below; each has a test at its edge. */
#pragma once
#include "control/plane.h"

enum {
	SERVER_HEAD_LIMIT = 32768,                       /* bytes of request line and headers: 431 */
	SERVER_HEADERS_LIMIT = 100,
	SERVER_BODY_LIMIT = 1 << 20,                     /* bytes of an API request: 413 RequestEntityTooLarge */
	SERVER_LOGS_BODY_LIMIT = 8 << 20,                /* … of PutLogEvents: 1 MiB of events with their escapes and times */
	SERVER_BODY_SHARE = 16 << 10,                    /* bytes that any body may have; a stranger's no more: refused */
	SERVER_BODIES_LIMIT = 128 << 20,                 /* bytes of all larger bodies under way: beyond, they are not read yet */
	SERVER_ROOM_SECONDS = 15,                        /* that a body waits to be read for want of room: 503 */
	SERVER_STREAM_BACKLOG_LIMIT = 16 << 20,          /* bytes of a streamed answer that its client does not take: cut */
	SERVER_HEAD_SECONDS = 10,                        /* absolute, from the first byte (or accept) to the head's end */
	SERVER_BODY_BYTES_PER_SECOND = 512,              /* a body slower than this, on average over 10 s, is cut */
	SERVER_CROWDED_BODY_BYTES_PER_SECOND = 64 << 10, /* … of one that has room that others wait for */
	SERVER_IDLE_SECONDS = 300,                       /* keep-alive */
	SERVER_CONNECTIONS_LIMIT = 16000,                /* 503 beyond; under the usual cap of 20,000 descriptors */
	SERVER_PIPELINE_LIMIT = 16,                      /* requests of one connection under way */
	SERVER_QUEUE_LIMIT = 20000,                      /* calls waiting for the brain: 503 beyond */
	SERVER_SHUTDOWN_SECONDS = 10,                    /* for what is under way, after SIGTERM */
	SERVER_LINGER_SECONDS = 2,                       /* for the client to read our last words before we hang up */
	SERVER_WRITE_SECONDS = 60,                       /* without a byte taken by the client: cut */
	SERVER_CHANNEL_SILENCE_SECONDS = 300,            /* without a byte from an agent: cut */
	SERVER_CHANNEL_MESSAGES_LIMIT = 64,              /* of one channel under way; then it is not read */
	SERVER_CHANNEL_BACKLOG_LIMIT = 16 << 20,         /* bytes that an agent does not take: cut */
	SERVER_IO_THREADS_LIMIT = 16,
};

struct server_options {
	struct str listen;                               /* "127.0.0.1:4566", "[::1]:0" (port 0: any) */
	struct str data;                                 /* DIR: wherry.db, credentials, agent-credentials, tls */
	struct str account, region;
	struct str certificate, key;                     /* PEM files; or … */
	bool tls;                                        /* … a self-made certificate in DIR/tls */
	struct str public_endpoint;                      /* for DiscoverPollEndpoint; absent: from `listen` */
	struct str root_key_id, root_secret;             /* WHERRY_ROOT_…; absent: from DIR/credentials */
	unsigned io_threads;                             /* 0: 2 */
	int ready_fd;                                    /* the URL is written to it, then it is closed; -1: none */
	bool log_requests;                               /* a line a request */
	struct plane_options plane;                      /* account and endpoint are filled in */
};

/* Runs until SIGTERM or SIGINT; prints "wherry: ready on http://ADDR:PORT" to stdout once it answers.
 * Returns the process's exit code; says on stderr why it did not start. */
int server_run(const struct server_options *options);
