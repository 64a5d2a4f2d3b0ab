#include "server/connection.h"
#include <stdio.h>
#include "os/clock.h"
#include "server/channel.h"
#include "server/front.h"
#include "server/log.h"

enum { BODY_RATE_SECONDS = 10, RESPONSE_HEAD_LIMIT = 1024 };

static usec seconds(int count)
{
	return count * USEC_PER_SEC;
}

/* ---- exchanges */

static struct exchange *exchange_new(struct connection *connection)
{
	struct io *io = connection->io;
	struct exchange *exchange;

	if (chain_empty(&io->spare)) {
		exchange = calloc(1, sizeof(*exchange));
		if (!exchange)
			abort();
	} else {
		exchange = CONTAINER_OF(io->spare.next, struct exchange, link);
		link_remove(&exchange->link);
		io->spare_count--;
	}
	exchange->io = io;
	exchange->connection = connection;
	exchange->started = clock_monotonic();
	exchange->place = METRICS_OPERATIONS_LIMIT - 1;
	exchange->work.home = &io->outbox;
	return exchange;
}

static void exchange_destroy(struct exchange *exchange)
{
	http_request_fini(&exchange->request);
	buffer_fini(&exchange->work.answer.body);
	free(exchange);
}

/* Its large body is needed no more. */
static void give_room(struct exchange *exchange)
{
	if (!exchange->room.bytes)
		return;
	buffer_fini(&exchange->request.body);
	room_give(&exchange->io->server->room, &exchange->room);
}

void exchange_free(struct exchange *exchange)
{
	struct io *io = exchange->io;
	struct buffer body = exchange->work.answer.body;
	struct http_request request;

	give_room(exchange);
	if (io->spare_count >= IO_SPARE_EXCHANGES) {
		exchange_destroy(exchange);
		return;
	}
	http_request_reset(&exchange->request);
	request = exchange->request;
	buffer_clear(&body);
	if (body.capacity > IO_READ_SIZE)
		buffer_fini(&body);
	*exchange = (struct exchange){.request = request, .work.answer.body = body};
	chain_append(&io->spare, &exchange->link);
	io->spare_count++;
}

void exchange_pool_fini(struct io *io)
{
	CHAIN_EACH(&io->spare, struct exchange, link, exchange)
	{
		link_remove(&exchange->link);
		exchange_destroy(exchange);
	}
}

static void count_exchange(struct exchange *exchange)
{
	const struct answer *answer = &exchange->work.answer;
	usec latency = clock_monotonic() - exchange->started;

	metrics_request(&exchange->io->metrics, exchange->place, answer->code, latency);
	if (exchange->io->server->options->log_requests)
		log_info("request",
			 "method=%.*s target=\"%.*s\" status=%d error=%.*s bytes=%zu usec=%lld",
			 STR(exchange->request.method),
			 STR(http_header(&exchange->request, S("x-amz-target"))), answer->status,
			 STR(answer->code ? error_wire_name(answer->code) : S("-")),
			 answer->body.len, (long long)latency);
}

/* 204 has no content, so nothing is said of it. */
static struct str content_headers(struct exchange *exchange)
{
	const struct answer *answer = &exchange->work.answer;

	if (answer->status == 204)
		return S("");
	return arena_printf(&exchange->request.arena, "Content-Type: %.*s\r\nContent-Length: %zu\r\n",
			    STR(answer->content_type), answer->body.len);
}

static size_t write_head(struct exchange *exchange, char head[RESPONSE_HEAD_LIMIT])
{
	const struct answer *answer = &exchange->work.answer;
	const struct http_request *request = &exchange->request;
	struct str id = exchange->work.request_id;
	const char *connection = exchange->close     ? "Connection: close\r\n"
				 : request->http_1_0 ? "Connection: keep-alive\r\n"
						     : "";
	bool failed = str_has(exchange->error_type);
	int len;

	len = snprintf(head, RESPONSE_HEAD_LIMIT,
		       "HTTP/1.1 %d %s\r\nx-amzn-RequestId: %.*s\r\n%.*s"
		       "Date: %s\r\n%s%.*s%s%.*s%s\r\n",
		       answer->status, http_status_text(answer->status), STR(id),
		       STR(content_headers(exchange)), io_date(exchange->io),
		       failed ? "x-amzn-ErrorType: " : "", STR(exchange->error_type),
		       failed ? "\r\n" : "", STR(exchange->extra_headers), connection);
	assert(len > 0 && len < RESPONSE_HEAD_LIMIT);
	return (size_t)len;
}

static void send_answer(struct exchange *exchange)
{
	struct connection *connection = exchange->connection;
	char head[RESPONSE_HEAD_LIMIT];
	bool head_only = str_equal(exchange->request.method, S("HEAD"));

	if (!exchange->request.keep_alive || connection->io->draining)
		exchange->close = true;
	if (exchange->work.answer.code && !str_has(exchange->error_type))
		exchange->error_type = str_has(exchange->work.answer.error_name) ?
					       exchange->work.answer.error_name :
					       error_wire_name(exchange->work.answer.code);
	count_exchange(exchange);
	connection->opening = false;
	connection_write(connection, (struct str){head, write_head(exchange, head)},
			 head_only ? S("") : buffer_str(&exchange->work.answer.body));
}

static void send_continue(struct connection *connection)
{
	connection->owes_continue = false;
	connection_write(connection, S("HTTP/1.1 100 Continue\r\n\r\n"), S(""));
}

/* ---- answers that are streams: chunks as they come, until their work comes home */

static void begin_stream(struct exchange *exchange)
{
	char head[RESPONSE_HEAD_LIMIT];
	bool whole = exchange->request.http_1_0;
	int len;

	exchange->close = exchange->close || whole || !exchange->request.keep_alive;
	len = snprintf(head, sizeof(head),
		       "HTTP/1.1 200 OK\r\nx-amzn-RequestId: %.*s\r\nContent-Type: application/vnd.amazon.eventstream\r\n"
		       "Date: %s\r\n%s%s\r\n",
		       STR(exchange->work.request_id), io_date(exchange->io), whole ? "" : "Transfer-Encoding: chunked\r\n",
		       exchange->close ? "Connection: close\r\n" : "");
	assert(len > 0 && len < RESPONSE_HEAD_LIMIT);
	exchange->work.answer.status = 200;
	count_exchange(exchange);
	exchange->stream_begun = true;
	connection_write(exchange->connection, (struct str){head, (size_t)len}, S(""));
}

/* Sends what there is of a stream whose turn has come. A write may end the connection, and the exchange with it. */
static void send_stream(struct exchange *exchange)
{
	struct connection *connection = exchange->connection;
	bool whole = exchange->request.http_1_0, over = exchange->stream_over;
	auto_buffer piece = {0};
	char size[24] = "";

	if (!exchange->stream_begun)
		begin_stream(exchange);
	if (connection->closed)
		return;
	piece = exchange->work.answer.body;
	exchange->work.answer.body = (struct buffer){0};
	if (piece.len && !whole) {
		snprintf(size, sizeof(size), "%zx\r\n", piece.len);
		buffer_add(&piece, S("\r\n"));
	}
	connection_write(connection, str_of(size), buffer_str(&piece));
	if (over && !whole)
		connection_write(connection, S("0\r\n\r\n"), S(""));
	if (connection_unsent(connection) > SERVER_STREAM_BACKLOG_LIMIT)
		connection_close(connection);
}

static void flush(struct connection *connection);
static void begin_body(struct connection *connection);

static bool is_streaming(const struct connection *connection)
{
	return !chain_empty(&connection->exchanges) &&
	       CONTAINER_OF(connection->exchanges.next, struct exchange, link)->streaming;
}

/* The session need not wait for its client: what was sent is all that it gets. */
static void end_stream(struct connection *connection)
{
	struct exchange *exchange = CONTAINER_OF(connection->exchanges.next, struct exchange, link);

	if (connection->finishing)
		return;
	exchange->stream_over = true;
	send_stream(exchange);
	if (!connection->closed)
		connection_finish(connection);
}

void exchange_stream(struct exchange *exchange, struct str bytes)
{
	struct connection *connection = exchange->connection;

	if (!connection || connection->finishing)
		return;
	exchange->streaming = true;
	if (exchange->work.answer.body.len + bytes.len > SERVER_STREAM_BACKLOG_LIMIT) {
		connection_close(connection);
		return;
	}
	buffer_add(&exchange->work.answer.body, bytes);
	if (connection->exchanges.next == &exchange->link)
		send_stream(exchange);
	if (!connection->closed && connection->ended)
		connection_close(connection);
	else if (!connection->closed && connection->io->draining && is_streaming(connection))
		end_stream(connection);
}

void exchange_stream_end(struct exchange *exchange)
{
	exchange->away = false;
	if (!exchange->connection) {
		exchange_free(exchange);
		return;
	}
	exchange->stream_over = exchange->answered = true;
	flush(exchange->connection);
}

/* Sends what is ready, in order. */
static void flush(struct connection *connection)
{
	while (!connection->closed && !connection->finishing &&
	       !chain_empty(&connection->exchanges)) {
		struct exchange *exchange =
			CONTAINER_OF(connection->exchanges.next, struct exchange, link);
		bool last;

		/* NOLINTNEXTLINE(clang-analyzer-unix.Malloc): what was freed is off the chain */
		if (exchange->streaming)
			send_stream(exchange);
		if (connection->closed || !exchange->answered)
			break;
		if (!exchange->streaming)
			send_answer(exchange);
		if (connection->closed)
			break; /* and the exchange is gone with it */
		last = exchange->close;
		link_remove(&exchange->link);
		connection->exchange_count--;
		exchange_free(exchange);
		if (last)
			connection_finish(connection);
	}
	if (chain_empty(&connection->exchanges) && !connection->finishing)
		begin_body(connection);
	connection_resume(connection);
}

void exchange_answer(struct exchange *exchange)
{
	exchange->away = false;
	if (!exchange->connection) {
		exchange_free(exchange);
		return;
	}
	exchange->answered = true;
	give_room(exchange);
	flush(exchange->connection);
}

void exchange_upgrade(struct exchange *exchange, struct str accept)
{
	struct connection *connection = exchange->connection;
	struct channel *channel = exchange->channel;
	char head[RESPONSE_HEAD_LIMIT];
	int len = snprintf(
		head, sizeof(head),
		"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
		"Sec-WebSocket-Accept: %.*s\r\nDate: %s\r\n\r\n",
		STR(accept), io_date(exchange->io));

	exchange->work.answer.status = 101;
	count_exchange(exchange);
	link_remove(&exchange->link);
	connection->exchange_count--;
	connection->opening = false;
	connection->channel = channel;
	connection->phase = PHASE_CHANNEL;
	connection->deadline = io_now(connection->io) + seconds(SERVER_CHANNEL_SILENCE_SECONDS);
	exchange_free(exchange);
	channel_start(channel, connection);
	connection_write(connection, (struct str){head, (size_t)len}, S(""));
	connection_resume(connection);
}

/* ---- writing */

struct write {
	uv_write_t request;
	char bytes[];
};

size_t connection_unsent(const struct connection *connection)
{
	return uv_stream_get_write_queue_size((const uv_stream_t *)&connection->tcp);
}

static void shut(uv_shutdown_t *request, int status)
{
	(void)status;
	free(request);
}

/* The last thing that is sent; then we read until the client has hung up, or had its time. */
static void say_goodbye(struct connection *connection)
{
	uv_shutdown_t *request;

	if (connection->goodbye_sent || connection->closed || connection_unsent(connection))
		return;
	connection->goodbye_sent = true;
	connection->phase = PHASE_LINGER;
	connection->deadline = io_now(connection->io) + seconds(SERVER_LINGER_SECONDS);
	request = calloc(1, sizeof(*request));
	if (!request)
		abort();
	if (connection->ended || uv_shutdown(request, (uv_stream_t *)&connection->tcp, shut) < 0) {
		free(request);
		connection_close(connection);
	}
}

static void written(uv_write_t *request, int status)
{
	struct connection *connection = request->handle->data;

	free(request);
	if (connection->closed)
		return;
	if (status < 0)
		connection_close(connection);
	else if (connection->finishing)
		say_goodbye(connection);
}

static void write_later(struct connection *connection, const uv_buf_t buffers[2], size_t skip)
{
	size_t total = buffers[0].len + buffers[1].len - skip, at = 0;
	struct write *write = malloc(sizeof(*write) + total);
	uv_buf_t rest;

	if (!write)
		abort();
	for (int i = 0; i < 2; i++) {
		size_t from = MIN(skip, buffers[i].len);

		if (buffers[i].len > from)
			memcpy(write->bytes + at, buffers[i].base + from, buffers[i].len - from);
		at += buffers[i].len - from;
		skip -= from;
	}
	rest = uv_buf_init(write->bytes, (unsigned)total);
	if (connection_unsent(connection) == 0)
		connection->unsent_since = io_now(connection->io);
	if (uv_write(&write->request, (uv_stream_t *)&connection->tcp, &rest, 1, written) < 0) {
		free(write);
		connection_close(connection);
	}
}

static void write_raw(struct connection *connection, struct str first, struct str second)
{
	uv_buf_t buffers[2] = {uv_buf_init((char *)first.ptr, (unsigned)first.len),
			       uv_buf_init((char *)second.ptr, (unsigned)second.len)};
	int sent = 0;

	if (first.len + second.len == 0)
		return;
	if (connection_unsent(connection) == 0)
		sent = uv_try_write((uv_stream_t *)&connection->tcp, buffers, second.len ? 2 : 1);
	if (sent == UV_EAGAIN)
		sent = 0;
	if (sent < 0)
		connection_close(connection);
	else if ((size_t)sent < first.len + second.len)
		write_later(connection, buffers, (size_t)sent);
}

static void flush_tls(struct connection *connection)
{
	auto_buffer out = {0};

	tls_output(connection->tls, &out);
	write_raw(connection, buffer_str(&out), S(""));
}

void connection_write(struct connection *connection, struct str first, struct str second)
{
	if (connection->closed)
		return;
	if (!connection->tls) {
		write_raw(connection, first, second);
		return;
	}
	if (!tls_write(connection->tls, first) || !tls_write(connection->tls, second))
		connection_close(connection);
	else
		flush_tls(connection);
}

/* ---- the end */

static void freed(uv_handle_t *handle)
{
	struct connection *connection = handle->data;
	struct io *io = connection->io;

	link_remove(&connection->link);
	atomic_fetch_sub(&io->server->connections, 1);
	metric_add(&io->metrics.open, -1);
	http_reader_fini(&connection->reader);
	buffer_fini(&connection->pending);
	tls_free(connection->tls);
	free(connection);
	io_connection_gone(io);
}

static void leave_exchange(struct exchange *exchange)
{
	if (link_is_in(&exchange->link))
		link_remove(&exchange->link);
	exchange->connection = NULL;
	atomic_store(&exchange->work.gone, true);
	if (exchange->room.bytes && room_cancel(&exchange->io->server->room, &exchange->room))
		exchange->away = false;
	if (!exchange->away)
		exchange_free(exchange);
}

void connection_close(struct connection *connection)
{
	if (connection->closed)
		return;
	connection->closed = true;
	if (connection->channel)
		channel_detach(connection->channel);
	connection->channel = NULL;
	if (connection->reading)
		leave_exchange(connection->reading);
	connection->reading = NULL;
	CHAIN_EACH(&connection->exchanges, struct exchange, link, exchange)
	leave_exchange(exchange);
	uv_close((uv_handle_t *)&connection->tcp, freed);
}

static void read_on(struct connection *connection);

void connection_finish(struct connection *connection)
{
	if (connection->closed || connection->finishing)
		return;
	connection->finishing = true;
	read_on(connection); /* a client that is still sending takes our last words only when it has sent all */
	if (connection->tls) {
		tls_goodbye(connection->tls);
		flush_tls(connection);
	}
	if (!connection->closed)
		say_goodbye(connection);
}

void connection_drain(struct connection *connection)
{
	if (connection->channel)
		channel_shutdown(connection->channel);
	else if (is_streaming(connection))
		end_stream(connection);
	else if (chain_empty(&connection->exchanges) && http_reader_is_idle(&connection->reader))
		connection_close(connection);
}

/* ---- reading */

static bool can_read(const struct connection *connection)
{
	return !connection->closed && !connection->finishing && !connection->opening &&
	       !connection->refused && !connection->room_wanted && connection->exchange_count < SERVER_PIPELINE_LIMIT &&
	       (!connection->channel || channel_can_read(connection->channel));
}

static void enter(struct connection *connection, enum phase phase, int limit)
{
	if (connection->phase == phase)
		return;
	connection->phase = phase;
	connection->deadline = limit ? io_now(connection->io) + seconds(limit) : USEC_NEVER;
	connection->body_bytes = 0;
}

/* Which deadline holds now. */
static void settle(struct connection *connection)
{
	if (connection->closed || connection->finishing || connection->channel)
		return;
	if (connection->room_wanted && connection->reading->away)
		enter(connection, PHASE_ROOM, SERVER_ROOM_SECONDS);
	else if (connection->stopped)
		enter(connection, PHASE_BUSY, 0);
	else if (connection->reader.in_body)
		enter(connection, PHASE_BODY, BODY_RATE_SECONDS);
	else if (!http_reader_is_idle(&connection->reader))
		enter(connection, PHASE_HEAD, SERVER_HEAD_SECONDS);
	else if (!chain_empty(&connection->exchanges))
		enter(connection, PHASE_BUSY, 0);
	else if (connection->phase != PHASE_HEAD || connection->reading)
		enter(connection, PHASE_IDLE, SERVER_IDLE_SECONDS);
}

static void put_in_line(struct connection *connection, struct exchange *exchange)
{
	exchange->work.request_id = random_uuid(&exchange->io->random, &exchange->request.arena);
	chain_append(&connection->exchanges, &exchange->link);
	connection->exchange_count++;
	if (connection->reading == exchange)
		connection->reading = NULL;
}

/* The one being read is the last. */
static struct exchange *end_requests(struct connection *connection)
{
	struct exchange *exchange =
		connection->reading ? connection->reading : exchange_new(connection);

	put_in_line(connection, exchange);
	connection->owes_continue = false;
	connection->room_wanted = 0;
	connection->refused = true;
	return exchange;
}

static void refuse(struct connection *connection, int status, const char *reason)
{
	front_refuse(end_requests(connection), status, reason);
}

/* ---- room for large bodies */

void exchange_grant(struct room_claim *claim)
{
	struct exchange *exchange = CONTAINER_OF(claim, struct exchange, room);
	struct link one;

	chain_init(&one);
	chain_append(&one, &exchange->work.link);
	outbox_put(exchange->work.home, &one);
}

static void admit(struct connection *connection)
{
	struct exchange *exchange = connection->reading;

	connection->room_wanted = 0;
	if (connection->reader.parser.flags & F_CONTENTLENGTH)
		buffer_reserve(&exchange->request.body, exchange->room.bytes);
	if (connection->owes_continue)
		send_continue(connection);
}

void exchange_admitted(struct exchange *exchange)
{
	struct connection *connection = exchange->connection;

	exchange->away = false;
	if (!connection) {
		exchange_free(exchange);
		return;
	}
	admit(connection);
	connection_resume(connection);
}

/* When nothing is before the body that comes next: asks for its room, tells the client to go on. */
static void begin_body(struct connection *connection)
{
	struct exchange *exchange = connection->reading;

	if (connection->closed || (exchange && exchange->away))
		return;
	if (!connection->room_wanted) {
		if (connection->owes_continue)
			send_continue(connection);
		return;
	}
	exchange->work.kind = WORK_ROOM;
	exchange->away = !room_take(&exchange->io->server->room, &exchange->room, connection->room_wanted);
	if (!exchange->away)
		admit(connection);
}

/* A head that a body follows. A large body is read when there is room for it, and only from somebody whose key we have: who has
 * none gets an answer instead, or has only the share where the head does not say how much comes. */
static void take_head(struct connection *connection)
{
	struct exchange *exchange = connection->reading;
	size_t bytes = connection->reader.request_limit;
	struct error error = {0};

	if (bytes <= SERVER_BODY_SHARE)
		return;
	if (front_knows(exchange, &error)) {
		connection->room_wanted = bytes;
	} else if (connection->reader.parser.flags & F_CONTENTLENGTH) {
		end_requests(connection);
		front_refuse_body(exchange, &error);
	} else {
		http_reader_limit(&connection->reader, SERVER_BODY_SHARE);
	}
}

/* Nobody made room for so long: the client hears so, and may still be sending. */
static void give_up(struct connection *connection)
{
	struct exchange *exchange = connection->reading;
	struct error error = {0};

	if (!room_cancel(&connection->io->server->room, &exchange->room))
		return;
	fail(&error, ERROR_SERVICE_UNAVAILABLE, "Too many large requests are under way. Please try again later.");
	exchange->away = false;
	end_requests(connection);
	front_refuse_body(exchange, &error);
}

/* Reads one step of a request; gives how many bytes it took. */
static size_t read_request(struct connection *connection, struct str bytes)
{
	struct exchange *exchange;
	enum http_outcome outcome;
	size_t used;

	if (!connection->reading)
		connection->reading = exchange_new(connection);
	exchange = connection->reading;
	if (connection->reader.in_body)
		connection->body_bytes += bytes.len;
	outcome = http_read(&connection->reader, &exchange->request, bytes, &used);
	if (outcome == HTTP_READ_HEAD) {
		connection->owes_continue = exchange->request.wants_continue && used == bytes.len;
		take_head(connection);
		if (chain_empty(&connection->exchanges))
			begin_body(connection);
	} else if (outcome == HTTP_READ_REQUEST) {
		connection->owes_continue = false;
		put_in_line(connection, exchange);
		connection->opening = exchange->request.upgrade;
		enter(connection, PHASE_BUSY, 0);
		front_take(exchange);
	} else if (outcome == HTTP_READ_REFUSED) {
		refuse(connection, connection->reader.status, connection->reader.reason);
	}
	return used;
}

static void stop_reading(struct connection *connection)
{
	if (!connection->stopped && !connection->closed)
		uv_read_stop((uv_stream_t *)&connection->tcp);
	connection->stopped = true;
}

static void feed(struct connection *connection, struct str bytes)
{
	connection->feeding = true;
	while (bytes.len && can_read(connection)) {
		size_t used = bytes.len;

		if (connection->channel)
			channel_read(connection->channel, bytes);
		else
			used = read_request(connection, bytes);
		bytes = str_slice(bytes, used, bytes.len);
	}
	connection->feeding = false;
	if (connection->closed || connection->finishing)
		return;
	if (bytes.len)
		buffer_add(&connection->pending, bytes);
	if (!can_read(connection))
		stop_reading(connection);
	settle(connection);
}

static void peer_ended(struct connection *connection);

static void allocate(uv_handle_t *handle, size_t suggested, uv_buf_t *ret_buffer)
{
	struct connection *connection = handle->data;

	(void)suggested;
	*ret_buffer = uv_buf_init(connection->io->input, IO_READ_SIZE);
}

static void take_bytes(struct connection *connection, struct str bytes)
{
	if (connection->pending.len)
		buffer_add(&connection->pending, bytes);
	else
		feed(connection, bytes);
}

static void take_cipher(struct connection *connection, struct str bytes)
{
	struct buffer *plain = &connection->io->plain;
	bool ended, intact;

	buffer_clear(plain);
	intact = tls_read(connection->tls, bytes, plain, &ended);
	flush_tls(connection);
	if (connection->closed)
		return;
	if (plain->len)
		take_bytes(connection, buffer_str(plain));
	if (plain->capacity > 4 * IO_READ_SIZE)
		buffer_fini(plain);
	if (!intact)
		connection_close(connection);
	else if (ended)
		peer_ended(connection);
}

static void received(uv_stream_t *stream, ssize_t count, const uv_buf_t *buffer)
{
	struct connection *connection = stream->data;
	struct str bytes = {buffer->base, count > 0 ? (size_t)count : 0};

	if (count == 0 || connection->closed)
		return;
	if (count == UV_EOF) {
		peer_ended(connection);
	} else if (count < 0) {
		connection_close(connection);
	} else if (connection->finishing) {
		return; /* lingering: nobody reads this any more */
	} else {
		if (connection->phase == PHASE_CHANNEL)
			connection->deadline =
				io_now(connection->io) + seconds(SERVER_CHANNEL_SILENCE_SECONDS);
		if (connection->tls)
			take_cipher(connection, bytes);
		else
			take_bytes(connection, bytes);
	}
}

static void read_on(struct connection *connection)
{
	if (!connection->stopped || connection->ended)
		return;
	connection->stopped = false;
	uv_read_start((uv_stream_t *)&connection->tcp, allocate, received);
}

/* The client sends no more, but may wait for answers. */
static void peer_ended(struct connection *connection)
{
	if (connection->closed)
		return;
	connection->ended = true;
	if (connection->finishing || connection->channel || connection->opening || is_streaming(connection) ||
	    (chain_empty(&connection->exchanges) && !connection->pending.len))
		connection_close(connection);
	else
		stop_reading(connection);
}

void connection_resume(struct connection *connection)
{
	if (connection->feeding || connection->closed || connection->finishing)
		return;
	if (connection->pending.len && can_read(connection)) {
		struct buffer pending = connection->pending;

		connection->pending = (struct buffer){0};
		feed(connection, buffer_str(&pending));
		buffer_fini(&pending);
		if (connection->closed || connection->finishing)
			return;
	}
	if (connection->ended && chain_empty(&connection->exchanges)) {
		connection_finish(connection);
		return;
	}
	if (can_read(connection))
		read_on(connection);
	settle(connection);
}

/* ---- deadlines */

static void check_body_rate(struct connection *connection, usec now)
{
	bool crowded = connection->reading->room.bytes && room_figures(&connection->io->server->room).waiting;
	size_t rate = crowded ? SERVER_CROWDED_BODY_BYTES_PER_SECOND : SERVER_BODY_BYTES_PER_SECOND;

	if (connection->body_bytes < rate * BODY_RATE_SECONDS) {
		refuse(connection, 408, "the body comes too slowly");
		return;
	}
	connection->body_bytes = 0;
	connection->deadline = now + seconds(BODY_RATE_SECONDS);
}

static void expire(struct connection *connection, usec now)
{
	if (connection->refused && !connection->goodbye_sent)
		return; /* its last answer waits for earlier ones, or for the client */
	if (connection->phase == PHASE_BODY)
		check_body_rate(connection, now);
	else if (connection->phase == PHASE_ROOM)
		give_up(connection);
	else if (connection->phase == PHASE_HEAD && !http_reader_is_idle(&connection->reader))
		refuse(connection, 408, "the head comes too slowly");
	else
		connection_close(connection);
}

static void check_unsent(struct connection *connection, usec now)
{
	size_t unsent = connection_unsent(connection);

	if (unsent == 0 || unsent < connection->unsent)
		connection->unsent_since = now;
	connection->unsent = unsent;
	if (unsent && now - connection->unsent_since > seconds(SERVER_WRITE_SECONDS))
		connection_close(connection);
}

void connection_tick(struct connection *connection)
{
	usec now = io_now(connection->io);

	if (connection->closed)
		return;
	check_unsent(connection, now);
	if (!connection->closed && now >= connection->deadline)
		expire(connection, now);
	if (!connection->closed && connection->channel)
		channel_tick(connection->channel, now);
}

/* ---- the beginning */

static void discard(uv_handle_t *handle)
{
	free(handle->data);
}

/* One connection too many: a short answer, which ends with the connection. */
static void turn_away(struct connection *connection)
{
	static const char busy[] =
		"HTTP/1.1 503 Service Unavailable\r\nContent-Type: application/x-amz-json-1.1\r\n"
		"Retry-After: 1\r\nConnection: close\r\n\r\n"
		"{\"__type\":\"ServiceUnavailableException\",\"message\":\"Too many "
		"open connections.\"}";
	uv_buf_t text = uv_buf_init((char *)busy, sizeof(busy) - 1);

	metric_add(&connection->io->metrics.refused, 1);
	if (!connection->io->server->tls)
		uv_try_write((uv_stream_t *)&connection->tcp, &text, 1);
	uv_close((uv_handle_t *)&connection->tcp, discard);
}

void connection_accept(struct io *io)
{
	struct connection *connection = calloc(1, sizeof(*connection));

	if (!connection)
		abort();
	connection->io = io;
	uv_tcp_init(&io->loop, &connection->tcp);
	connection->tcp.data = connection;
	if (uv_accept((uv_stream_t *)&io->listener, (uv_stream_t *)&connection->tcp) < 0) {
		uv_close((uv_handle_t *)&connection->tcp, discard);
		return;
	}
	if (atomic_fetch_add(&io->server->connections, 1) >=
	    atomic_load(&io->server->connections_limit)) {
		atomic_fetch_sub(&io->server->connections, 1);
		turn_away(connection);
		return;
	}
	uv_tcp_nodelay(&connection->tcp, 1);
	uv_tcp_keepalive(&connection->tcp, 1, 60);
	http_reader_init(&connection->reader, SERVER_BODY_LIMIT);
	chain_init(&connection->exchanges);
	chain_append(&io->connections, &connection->link);
	io->connection_count++;
	metric_add(&io->metrics.opened, 1);
	metric_add(&io->metrics.open, 1);
	if (io->server->tls)
		connection->tls = tls_new(io->server->tls);
	connection->phase = PHASE_HEAD;
	connection->deadline = io_now(io) + seconds(SERVER_HEAD_SECONDS);
	uv_read_start((uv_stream_t *)&connection->tcp, allocate, received);
}
