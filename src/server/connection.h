/* connection.h - one client's socket: bytes in and out, deadlines, and its requests in order.
 *
 * An exchange is a request and its answer. While its work is with the brain, the client may leave: then the exchange
 * has no connection any more, and ends when it comes home. */
#pragma once
#include "server/http.h"
#include "server/io.h"
#include "server/tls.h"

struct channel;

struct exchange {
	struct work work;
	struct link link;                                /* in the connection's line, or the thread's spare ones */
	struct io *io;
	struct connection *connection;                   /* NULL: the client left */
	struct http_request request;
	struct channel *channel;                         /* asked for by an upgrade */
	struct room_claim room;                          /* for its body, until it is answered */
	usec started;
	size_t place;                                    /* of the operation, for the counts */
	struct str error_type, extra_headers;
	bool away, answered, close;
	bool streaming, stream_begun, stream_over;       /* an answer that comes in pieces; what waits is in the body */
};

enum phase { PHASE_HEAD, PHASE_ROOM, PHASE_BODY, PHASE_BUSY, PHASE_IDLE, PHASE_CHANNEL, PHASE_LINGER };

struct connection {
	uv_tcp_t tcp;
	struct link link;
	struct io *io;
	struct tls *tls;
	struct http_reader reader;
	struct exchange *reading;                        /* being read; not in line yet */
	struct link exchanges;                           /* in line for their answers */
	unsigned exchange_count;
	struct channel *channel;                         /* after an upgrade */
	struct buffer pending;                           /* bytes that cannot be read yet */
	enum phase phase;
	usec deadline;                                   /* of the phase */
	size_t room_wanted;                              /* for the body that comes next, before it is read */
	size_t body_bytes;                               /* since the last look at the rate */
	size_t unsent;
	usec unsent_since;
	bool feeding, stopped, ended, opening, owes_continue, refused, finishing, goodbye_sent, closed;
};

void connection_accept(struct io *io);
void connection_tick(struct connection *connection);     /* looks at the deadlines */
void connection_drain(struct connection *connection);
void connection_close(struct connection *connection);    /* at once */
/* After what is written has been read; what still comes is read and dropped, so that the client gets as far as that. */
void connection_finish(struct connection *connection);
void connection_write(struct connection *connection, struct str first, struct str second);
void connection_resume(struct connection *connection);   /* after something that kept it from reading */
size_t connection_unsent(const struct connection *connection);

/* The answer is in work.answer: it goes out when it is its turn. */
void exchange_answer(struct exchange *exchange);
/* The next piece of an answer that is a stream, and its end. */
void exchange_stream(struct exchange *exchange, struct str bytes);
void exchange_stream_end(struct exchange *exchange);
/* There is room for its body now: it is read. */
void exchange_admitted(struct exchange *exchange);
/* Where a claim is granted; any thread. */
void exchange_grant(struct room_claim *claim);
/* Sends 101 and hands the connection to exchange->channel. */
void exchange_upgrade(struct exchange *exchange, struct str accept);
void exchange_free(struct exchange *exchange);
void exchange_pool_fini(struct io *io);
