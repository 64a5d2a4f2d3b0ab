#include "runner/endpoint.h"
#include <pthread.h>
#include <stdlib.h>
#include <unistd.h>
#include "base/list.h"
#include "base/map.h"
#include "base/time.h"

enum { READ_SIZE = 4096, TICK_MSEC = 500, MSEC = 1000 };

struct place {
	uv_tcp_t listener;
	struct endpoint *endpoint;
	struct str name;                                 /* owned */
	struct link connections;
	size_t connection_count;
	double tokens;
	uint64_t tokens_at;                              /* loop time, milliseconds */
};

struct offer {
	struct str place;                                /* owned */
	int fd;
};

struct endpoint {
	struct endpoint_options options;
	uv_async_t offered;
	uv_timer_t tick;
	struct map places;
	size_t connection_count;
	bool stopped;
	pthread_mutex_t lock;                            /* of the offers and `stopped` */
	LIST_OF(struct offer) offers;
	char input[READ_SIZE];
};

struct connection {
	uv_tcp_t tcp;
	uv_write_t write;
	struct link link;
	struct place *place;
	struct request_reader reader;
	struct buffer pending;                           /* read behind the request that is being answered */
	struct buffer output;
	struct endpoint_call *call;
	uint64_t deadline;                               /* loop time; 0: the next move is ours */
	bool keep_alive, closing, ended;
};

struct endpoint_call {
	struct connection *connection;                   /* NULL: the client left */
};

/* ---- The end of connections and places */

static void connection_closed(uv_handle_t *handle)
{
	struct connection *connection = handle->data;

	request_fini(&connection->reader);
	buffer_fini(&connection->pending);
	buffer_fini(&connection->output);
	free(connection);
}

static void hang_up(struct connection *connection)
{
	if (connection->closing)
		return;
	connection->closing = true;
	if (connection->call)
		connection->call->connection = NULL;
	link_remove(&connection->link);
	connection->place->connection_count--;
	connection->place->endpoint->connection_count--;
	uv_close((uv_handle_t *)&connection->tcp, connection_closed);
}

static void place_closed(uv_handle_t *handle)
{
	struct place *place = handle->data;

	free((char *)place->name.ptr);
	free(place);
}

static void close_place(struct place *place)
{
	map_remove(&place->endpoint->places, place->name);
	CHAIN_EACH(&place->connections, struct connection, link, connection)
		hang_up(connection);
	uv_close((uv_handle_t *)&place->listener, place_closed);
}

/* ---- Answers */

static void read_on(struct connection *connection);

static void wait_for_client(struct connection *connection)
{
	connection->deadline = uv_now(connection->tcp.loop) + ENDPOINT_IDLE_SECONDS * MSEC;
}

static void written(uv_write_t *write, int status)
{
	struct connection *connection = write->data;

	if (connection->closing)
		return;
	if (status < 0 || !connection->keep_alive || connection->ended) {
		hang_up(connection);
		return;
	}
	request_begin(&connection->reader);
	wait_for_client(connection);
	read_on(connection);
}

static void send_answer(struct connection *connection, int status, struct str content_type, struct str body)
{
	uv_buf_t bytes;

	buffer_clear(&connection->output);
	buffer_printf(&connection->output, "HTTP/1.1 %d %s\r\nContent-Type: %.*s\r\nContent-Length: %zu\r\n%s\r\n", status,
		      request_status_text(status), STR(content_type), body.len,
		      connection->keep_alive ? "" : "Connection: close\r\n");
	buffer_add(&connection->output, body);
	wait_for_client(connection);
	bytes = uv_buf_init(connection->output.bytes, (unsigned)connection->output.len);
	connection->write.data = connection;
	if (uv_write(&connection->write, (uv_stream_t *)&connection->tcp, &bytes, 1, written) < 0)
		hang_up(connection);
}

void endpoint_answer(struct endpoint_call *call, int status, struct str content_type, struct str body)
{
	struct connection *connection = call->connection;

	free(call);
	if (!connection)
		return;
	connection->call = NULL;
	send_answer(connection, status, content_type, body);
}

static void refuse(struct connection *connection, int status, const char *text)
{
	connection->keep_alive = false;
	send_answer(connection, status, S("text/plain; charset=utf-8"), str_of(text));
}

/* ---- Requests */

static bool take_token(struct place *place)
{
	uint64_t now = uv_now(place->listener.loop);

	place->tokens = MIN(place->tokens + (double)(now - place->tokens_at) * ENDPOINT_RATE / MSEC, ENDPOINT_BURST);
	place->tokens_at = now;
	if (place->tokens < 1)
		return false;
	place->tokens -= 1;
	return true;
}

static void serve(struct connection *connection, const struct request *request)
{
	const struct endpoint_options *options = &connection->place->endpoint->options;
	struct endpoint_call *call;

	connection->keep_alive = request->keep_alive;
	connection->deadline = 0;
	if (!take_token(connection->place)) {
		refuse(connection, 429, "Too Many Requests");
		return;
	}
	call = calloc(1, sizeof(*call));
	if (!call)
		abort();
	call->connection = connection;
	connection->call = call;
	options->serve(options->arg, call, connection->place->name, request);
}

static bool is_busy(const struct connection *connection) { return connection->closing || connection->deadline == 0; }

/* One request at a time: the next is looked at once the answer has been written. */
static void read_on(struct connection *connection)
{
	struct request request;
	size_t used;

	while (!is_busy(connection) && connection->pending.len > 0 && !connection->reader.done &&
	       !connection->reader.status) {
		enum request_outcome outcome =
			request_read(&connection->reader, buffer_str(&connection->pending), &used, &request);

		buffer_consume(&connection->pending, used);
		if (outcome == REQUEST_DONE)
			serve(connection, &request);
		else if (outcome == REQUEST_REFUSED)
			refuse(connection, connection->reader.status, "");
	}
}

static void on_read(uv_stream_t *stream, ssize_t count, const uv_buf_t *bytes)
{
	struct connection *connection = stream->data;

	if (count == 0)
		return;
	/* Who floods us while it waits for an answer is not served. */
	if (count < 0 || connection->pending.len + (size_t)count > REQUEST_HEAD_LIMIT + REQUEST_BODY_LIMIT + READ_SIZE) {
		connection->ended = true;
		if (connection->reader.done && !connection->closing && count == UV_EOF)
			return;                          /* a half-closed client still gets its answer */
		hang_up(connection);
		return;
	}
	buffer_append(&connection->pending, bytes->base, (size_t)count);
	read_on(connection);
}

static void give_input(uv_handle_t *handle, size_t suggested, uv_buf_t *ret_buffer)
{
	struct connection *connection = handle->data;

	*ret_buffer = uv_buf_init(connection->place->endpoint->input, READ_SIZE);
}

/* ---- Connections */

static void on_connection(uv_stream_t *listener, int status)
{
	struct place *place = listener->data;
	struct endpoint *endpoint = place->endpoint;
	struct connection *connection;

	if (status < 0)
		return;
	connection = calloc(1, sizeof(*connection));
	if (!connection)
		abort();
	uv_tcp_init(listener->loop, &connection->tcp);
	connection->tcp.data = connection;
	connection->place = place;
	request_begin(&connection->reader);
	chain_append(&place->connections, &connection->link);
	place->connection_count++;
	endpoint->connection_count++;
	if (uv_accept(listener, (uv_stream_t *)&connection->tcp) < 0 ||
	    place->connection_count > ENDPOINT_PLACE_CONNECTIONS_LIMIT ||
	    endpoint->connection_count > ENDPOINT_CONNECTIONS_LIMIT) {
		hang_up(connection);
		return;
	}
	wait_for_client(connection);
	uv_read_start((uv_stream_t *)&connection->tcp, give_input, on_read);
}

static void tick(uv_timer_t *timer)
{
	struct endpoint *endpoint = timer->data;
	uint64_t now = uv_now(timer->loop);
	size_t cursor = 0;
	struct place *place;

	if (endpoint->connection_count == 0)
		return;
	while ((place = map_next(&endpoint->places, &cursor)))
		CHAIN_EACH(&place->connections, struct connection, link, connection)
			if (connection->deadline && now > connection->deadline)
				hang_up(connection);
}

/* ---- Places */

static void open_place(struct endpoint *endpoint, const struct offer *offer)
{
	struct place *old = map_get(&endpoint->places, offer->place), *place;

	if (old)
		close_place(old);
	place = calloc(1, sizeof(*place));
	if (!place)
		abort();
	place->endpoint = endpoint;
	place->name = offer->place;
	place->tokens = ENDPOINT_BURST;
	place->tokens_at = uv_now(endpoint->options.loop);
	chain_init(&place->connections);
	uv_tcp_init(endpoint->options.loop, &place->listener);
	place->listener.data = place;
	map_put(&endpoint->places, place->name, place);
	if (endpoint->places.count > ENDPOINT_PLACES_LIMIT || uv_tcp_open(&place->listener, offer->fd) < 0) {
		close(offer->fd);
		close_place(place);
	} else if (uv_listen((uv_stream_t *)&place->listener, SOMAXCONN, on_connection) < 0) {
		close_place(place);
	}
}

static void take_offers(struct endpoint *endpoint)
{
	struct offer offer;

	for (;;) {
		bool any;

		pthread_mutex_lock(&endpoint->lock);
		any = endpoint->offers.count > 0;
		if (any) {
			offer = endpoint->offers.items[0];
			list_remove_at(&endpoint->offers, 0);
		}
		pthread_mutex_unlock(&endpoint->lock);
		if (!any)
			return;
		open_place(endpoint, &offer);
	}
}

static void on_offer(uv_async_t *async) { take_offers(async->data); }

void endpoint_offer(struct endpoint *endpoint, struct str place, int fd)
{
	struct offer offer = {.place = {strndup(place.ptr, place.len), place.len}, .fd = fd};

	if (!offer.place.ptr)
		abort();
	pthread_mutex_lock(&endpoint->lock);
	list_add(&endpoint->offers, offer);
	if (!endpoint->stopped)
		uv_async_send(&endpoint->offered);
	pthread_mutex_unlock(&endpoint->lock);
}

void endpoint_close(struct endpoint *endpoint, struct str name)
{
	struct place *place;

	take_offers(endpoint);                           /* what came before must not open after */
	place = map_get(&endpoint->places, name);
	if (place)
		close_place(place);
}

/* ---- Lifecycle */

struct endpoint *endpoint_new(const struct endpoint_options *options)
{
	struct endpoint *endpoint = calloc(1, sizeof(*endpoint));

	if (!endpoint)
		abort();
	endpoint->options = *options;
	pthread_mutex_init(&endpoint->lock, NULL);
	uv_async_init(options->loop, &endpoint->offered, on_offer);
	uv_timer_init(options->loop, &endpoint->tick);
	endpoint->offered.data = endpoint->tick.data = endpoint;
	uv_timer_start(&endpoint->tick, tick, TICK_MSEC, TICK_MSEC);
	return endpoint;
}

void endpoint_stop(struct endpoint *endpoint)
{
	size_t cursor = 0;
	struct place *place;

	if (!endpoint || endpoint->stopped)
		return;
	pthread_mutex_lock(&endpoint->lock);
	endpoint->stopped = true;
	pthread_mutex_unlock(&endpoint->lock);
	while ((place = map_next(&endpoint->places, &cursor))) {
		close_place(place);
		cursor = 0;
	}
	uv_close((uv_handle_t *)&endpoint->offered, NULL);
	uv_close((uv_handle_t *)&endpoint->tick, NULL);
}

void endpoint_free(struct endpoint *endpoint)
{
	if (!endpoint)
		return;
	for (size_t i = 0; i < endpoint->offers.count; i++) {
		close(endpoint->offers.items[i].fd);
		free((char *)endpoint->offers.items[i].place.ptr);
	}
	list_fini(&endpoint->offers);
	map_fini(&endpoint->places);
	pthread_mutex_destroy(&endpoint->lock);
	free(endpoint);
}
