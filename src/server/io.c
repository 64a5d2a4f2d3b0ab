#include "server/io.h"
#include "os/clock.h"
#include "os/entropy.h"
#include "server/channel.h"
#include "server/connection.h"
#include "server/front.h"
#include "server/log.h"

enum { STACK_SIZE = 1 << 20, BACKLOG = 1024 };

usec io_now(const struct io *io)
{
	return (usec)uv_now(&io->loop) * USEC_PER_MSEC;
}

const char *io_date(struct io *io)
{
	usec second = clock_now() / USEC_PER_SEC;

	if (second != io->date_second) {
		timestamp_format_http(second * USEC_PER_SEC, io->date);
		io->date_second = second;
	}
	return io->date;
}

static void wake(struct outbox *outbox)
{
	struct io *io = CONTAINER_OF(outbox, struct io, outbox);

	uv_async_send(&io->async);
}

static void take_home(struct work *work)
{
	switch (work->kind) {
	case WORK_CALL: exchange_answer((struct exchange *)work); break;
	case WORK_STATISTICS: front_metrics((struct exchange *)work); break;
	case WORK_SESSION_OPENED: channel_opened((struct exchange *)work); break;
	case WORK_SESSION_MESSAGE: channel_message_done(work); break;
	case WORK_SESSION_CLOSED: channel_closed(work); break;
	case WORK_SEND: channel_send(work); break;
	case WORK_STREAM:
		exchange_stream((struct exchange *)work->stream_of, buffer_str(&work->answer.body));
		brain_work_free(work);
		break;
	case WORK_LOGS_SWEPT: break; /* stays with the brain */
	case WORK_STREAM_END: exchange_stream_end((struct exchange *)work); break;
	case WORK_ROOM: exchange_admitted((struct exchange *)work); break;
	case WORK_HANGUP: channel_hangup(work); break;
	}
}

static void empty_outbox(struct io *io)
{
	struct link works;

	outbox_take(&io->outbox, &works);
	while (!chain_empty(&works)) {
		struct work *work = CONTAINER_OF(works.next, struct work, link);

		link_remove(&work->link);
		take_home(work);
	}
}

static void stop_when_empty(struct io *io)
{
	if (io->draining && io->connection_count == 0)
		uv_stop(&io->loop);
}

static void drain(struct io *io)
{
	if (!io->draining)
		uv_close((uv_handle_t *)&io->listener, NULL);
	io->draining = true;
	CHAIN_EACH(&io->connections, struct connection, link, connection)
	{
		if (atomic_load(&io->force))
			connection_close(connection);
		else
			connection_drain(connection);
	}
	stop_when_empty(io);
}

static void woken(uv_async_t *async)
{
	struct io *io = async->data;

	empty_outbox(io);
	if (atomic_exchange(&io->drain, false))
		drain(io);
}

static void ticked(uv_timer_t *timer)
{
	struct io *io = timer->data;

	CHAIN_EACH(&io->connections, struct connection, link, connection)
	connection_tick(connection);
}

void io_connection_gone(struct io *io)
{
	io->connection_count--;
	if (io->connection_count == 0)
		uv_timer_stop(&io->tick);
	stop_when_empty(io);
}

static void accepted(uv_stream_t *listener, int status)
{
	struct io *io = listener->data;

	if (status < 0) {
		log_error("accept", "text=\"%s\"", uv_strerror(status));
		return;
	}
	connection_accept(io);
	if (!uv_is_active((uv_handle_t *)&io->tick))
		uv_timer_start(&io->tick, ticked, IO_TICK_MSEC, IO_TICK_MSEC);
}

static void *run(void *argument)
{
	struct io *io = argument;

	uv_run(&io->loop, UV_RUN_DEFAULT);
	return NULL;
}

static void require(int result)
{
	if (result < 0) {
		log_error("loop", "text=\"%s\"", uv_strerror(result));
		abort();
	}
}

struct io *io_new(struct server *server, int listener)
{
	struct io *io = calloc(1, sizeof(*io));

	if (!io)
		abort();
	io->server = server;
	io->sigv4 = sigv4_new();
	random_init(&io->random, entropy_number(), entropy_number());
	metrics_init(&io->metrics);
	outbox_init(&io->outbox, wake);
	chain_init(&io->connections);
	chain_init(&io->spare);
	require(uv_loop_init(&io->loop));
	require(uv_async_init(&io->loop, &io->async, woken));
	require(uv_timer_init(&io->loop, &io->tick));
	require(uv_tcp_init(&io->loop, &io->listener));
	io->async.data = io->tick.data = io->listener.data = io;
	require(uv_tcp_open(&io->listener, listener));
	require(uv_listen((uv_stream_t *)&io->listener, BACKLOG, accepted));
	return io;
}

void io_start(struct io *io)
{
	pthread_attr_t attributes;

	pthread_attr_init(&attributes);
	pthread_attr_setstacksize(&attributes, STACK_SIZE);
	if (pthread_create(&io->thread, &attributes, run, io) != 0)
		abort();
	pthread_attr_destroy(&attributes);
}

void io_drain(struct io *io, bool force)
{
	if (force)
		atomic_store(&io->force, true);
	atomic_store(&io->drain, true);
	uv_async_send(&io->async);
}

bool io_try_join(struct io *io)
{
	return pthread_tryjoin_np(io->thread, NULL) == 0;
}

void io_free(struct io *io)
{
	empty_outbox(io); /* what came home after the last client left */
	uv_close((uv_handle_t *)&io->async, NULL);
	uv_close((uv_handle_t *)&io->tick, NULL);
	uv_run(&io->loop, UV_RUN_DEFAULT);
	require(uv_loop_close(&io->loop));
	exchange_pool_fini(io);
	outbox_fini(&io->outbox);
	sigv4_free(io->sigv4);
	metrics_fini(&io->metrics);
	buffer_fini(&io->plain);
	free(io);
}
