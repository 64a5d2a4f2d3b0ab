/* io.h - one I/O thread: a loop, a listener, and everything its connections share.
 *
 * Nothing here is touched by another thread, but for the outbox and the counts of `metrics`. */
#pragma once
#include "base/str.h"                               /* before uv.h, whose system headers define MIN again */
#include <openssl/ssl.h>
#include <stdatomic.h>
#include <uv.h>
#include "server/brain.h"
#include "server/keys.h"
#include "server/metrics.h"
#include "server/room.h"
#include "server/server.h"
#include "wire/timestamp.h"

enum { IO_READ_SIZE = 65536, IO_SPARE_EXCHANGES = 64, IO_TICK_MSEC = 250 };

struct server {
	const struct server_options *options;
	struct keys *keys;
	struct brain *brain;
	struct log_desk *log_desk;
	struct telemetry *telemetry;
	struct room room;                                /* for large bodies */
	SSL_CTX *tls;                                    /* NULL: plain */
	struct io *ios[SERVER_IO_THREADS_LIMIT];
	unsigned io_count;
	atomic_uint connections, connections_limit;
	atomic_uint_least64_t next_session;
	usec started;                                    /* monotonic */
};

struct io {
	struct outbox outbox;                            /* first: its wake finds the thread */
	struct server *server;
	pthread_t thread;
	uv_loop_t loop;
	uv_tcp_t listener;
	uv_async_t async;
	uv_timer_t tick;
	struct sigv4 *sigv4;
	struct random random;                            /* of request ids */
	struct metrics metrics;
	struct link connections, spare;                  /* spare: exchanges */
	size_t connection_count, spare_count;
	struct buffer plain;                             /* decrypted bytes on their way */
	usec date_second;
	char date[TIMESTAMP_TEXT_SIZE];
	atomic_bool drain, force;                        /* set by the main thread */
	bool draining;
	char input[IO_READ_SIZE];
};

struct io *io_new(struct server *server, int listener);  /* takes the listening socket */
void io_start(struct io *io);                            /* once server->ios is complete */
void io_drain(struct io *io, bool force);                /* any thread: finish what is under way; or do not */
bool io_try_join(struct io *io);                         /* whether it has ended */
void io_free(struct io *io);                             /* after the brain has ended */

usec io_now(const struct io *io);                        /* monotonic, of this turn of the loop */
const char *io_date(struct io *io);                      /* HTTP's Date */
void io_connection_gone(struct io *io);
