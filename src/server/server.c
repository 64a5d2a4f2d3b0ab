#include "server/server.h"
#include <malloc.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>
#include "os/clock.h"
#include "os/file.h"
#include "os/process.h"
#include "os/sandbox.h"
#include "server/connection.h"
#include "server/io.h"
#include "server/listen.h"
#include "server/log.h"
#include "server/telemetry.h"
#include "server/log_desk.h"
#include "server/tls.h"
#include "wire/json.h"

enum {
	IO_THREADS = 2,
	MALLOC_ARENAS = 2,       /* idle memory; requests come from arenas of their own */
	SPARE_DESCRIPTORS = 128, /* for the store, the loops and everything but connections */
};

/* Everything that start-up opens, closed in one place. */
struct start {
	struct server server;
	struct server_options options;
	struct arena arena;
	struct plane *plane;
	struct store *store;
	struct log_store *log_store, *log_reader;
	int listeners[SERVER_IO_THREADS_LIMIT];
	struct str url;
	pthread_t main_thread;
	atomic_bool failed, running;                     /* running: the brain can be told things */
	bool joined[SERVER_IO_THREADS_LIMIT];
};

/* ---- opening */

static bool restore_one(void *arg, const struct store_change *change, struct error *err)
{
	struct start *start = arg;
	const struct shape *shape = record_shape(change->kind);
	struct json_fault fault = {0};
	auto_arena arena = {0};
	void *value = NULL;

	if (!shape)
		return fail(err, ERROR_CORRUPT, "record '%.*s' is of unknown kind %u",
			    STR(change->key), change->kind);
	if (str_has(change->value) && !json_decode(shape, change->value, &arena, &value, &fault))
		return fail(err, ERROR_CORRUPT, "record '%.*s' does not read: %s", STR(change->key),
			    fault.error.text);
	return plane_restore(start->plane, change->kind, change->key, value, err);
}

static bool open_tls(struct start *start, struct str host, struct error *err)
{
	struct server_options *options = &start->options;
	struct str folder = arena_printf(&start->arena, "%.*s/tls", STR(options->data));

	if (!options->tls && !options->certificate.len)
		return true;
	if (!options->certificate.len &&
	    !tls_certificate_make(folder, host, &start->arena, &options->certificate, &options->key,
				  err))
		return false;
	return tls_context_open(options->certificate,
				options->key.len ? options->key : options->certificate,
				&start->server.tls, err);
}

/* Every connection is a descriptor: the limit is what the machine gives, when that is less. */
static void raise_limits(struct server *server)
{
	unsigned long room;

	mallopt(M_ARENA_MAX, MALLOC_ARENAS);
	signal(SIGPIPE, SIG_IGN);
	signal(SIGXFSZ, SIG_IGN); /* a write past a limit fails like any other */
	room = process_raise_descriptors();
	room = room > 2 * SPARE_DESCRIPTORS ? room - SPARE_DESCRIPTORS : SPARE_DESCRIPTORS;
	atomic_store(&server->connections_limit, (unsigned)MIN(room, (unsigned long)SERVER_CONNECTIONS_LIMIT));
}

static bool open_network(struct start *start, struct error *err)
{
	struct server *server = &start->server;
	struct str address, host;

	if (!listen_open(start->options.listen, server->io_count, start->listeners, &start->arena,
			 &address, &host, err))
		return false;
	start->url = arena_printf(&start->arena, "http%s://%.*s",
				  start->options.tls || start->options.certificate.len ? "s" : "",
				  STR(address));
	return open_tls(start, host, err);
}

static bool open_state(struct start *start, struct error *err)
{
	struct server_options *options = &start->options;

	if (!keys_open(options->data, options->account, options->root_key_id, options->root_secret,
		       &start->server.keys, err) ||
	    !store_open_sqlite(options->data, S("wherry.db"), &start->store, err) ||
	    !log_store_open(options->data, &start->log_store, err) ||
	    !log_store_open(options->data, &start->log_reader, err))
		return false;
	options->plane.account = options->account;
	options->plane.endpoint =
		options->public_endpoint.len ? options->public_endpoint : start->url;
	start->plane = plane_new(&options->plane);
	return store_load(start->store, restore_one, start, err);
}

static bool open_all(struct start *start, struct error *err)
{
	bool switched;

	if (!folder_make(arena_cstr(&start->arena, start->options.data), 0700, err) ||
	    !open_network(start, err) ||
	    !sandbox_enter("wherry", start->options.data, "tls", &switched, err))
		return false;
	if (!switched && geteuid() == 0)
		log_info("sandbox",
			 "text=\"there is no user 'wherry': staying root, without capabilities\"");
	return open_state(start, err);
}

/* ---- the end */

/* In the committer's thread. What was answered is safe on disk; the rest is refused; memory is
 * thrown away. */
static void on_failure(void *self, const struct error *error)
{
	struct start *start = self;

	log_error("append", "text=\"%s\"", error->text);
	log_error("stop",
		  "text=\"the journal cannot be written: refusing everything and stopping\"");
	atomic_store(&start->failed, true);
	pthread_kill(start->main_thread, SIGTERM);
}

static void on_answered(void *self)
{
	struct start *start = self;

	brain_call_ended(start->server.brain);
}

static void on_swept(void *self, const struct logs_swept_event *event)
{
	struct start *start = self;

	if (atomic_load(&start->running))
		brain_logs_swept(start->server.brain, event);
}

static void take_logs(void *self, struct link *jobs)
{
	struct start *start = self;

	log_desk_take(start->server.log_desk, jobs);
}

static void drain(struct start *start, bool at_once)
{
	for (unsigned i = 0; i < start->server.io_count; i++)
		io_drain(start->server.ios[i], at_once);
}

static bool join_ended(struct start *start)
{
	bool all = true;

	for (unsigned i = 0; i < start->server.io_count; i++) {
		start->joined[i] = start->joined[i] || io_try_join(start->server.ios[i]);
		all = all && start->joined[i];
	}
	return all;
}

/* A second signal, or the deadline, ends what is still under way. */
static void stop(struct start *start, const sigset_t *signals)
{
	const struct timespec pause = {.tv_nsec = 5000000};
	usec deadline = clock_monotonic() + SERVER_SHUTDOWN_SECONDS * USEC_PER_SEC;

	log_info("stop", "text=\"finishing what is under way\"");
	brain_stop_waiting(start->server.brain);
	drain(start, false);
	while (!join_ended(start)) {
		bool again =
			sigtimedwait(signals, NULL, &pause) > 0 && !atomic_load(&start->failed);

		if (again || clock_monotonic() > deadline)
			drain(start, true);
	}
}

static void close_all(struct start *start)
{
	struct server *server = &start->server;

	atomic_store(&start->running, false); /* what is swept from now on is not counted */
	brain_end(server->brain);
	log_desk_stop(server->log_desk);
	brain_stop(server->brain);
	server->brain = NULL;
	for (unsigned i = 0; i < server->io_count; i++)
		if (server->ios[i])
			io_free(server->ios[i]);
	log_store_close(start->log_reader);
	log_store_close(start->log_store);
	telemetry_free(server->telemetry);
	store_close(start->store);
	plane_free(start->plane);
	keys_free(server->keys);
	SSL_CTX_free(server->tls);
	arena_fini(&start->arena);
}

/* ---- running */

static void run_threads(struct start *start)
{
	struct server *server = &start->server;

	server->options = &start->options;
	server->started = clock_monotonic();
	server->telemetry = telemetry_new();
	room_init(&server->room, SERVER_BODIES_LIMIT, exchange_grant);
	atomic_store(&server->next_session, (uint64_t)clock_now());
	server->log_desk = log_desk_start(&(struct log_desk_options){.store = start->log_store,
								     .reader = start->log_reader,
								     .answered = on_answered,
								     .swept = on_swept,
								     .on_failure = on_failure,
								     .self = start});
	server->brain = brain_start(&(struct brain_options){.plane = start->plane,
							    .store = start->store,
							    .on_failure = on_failure,
							    .take_logs = take_logs,
							    .self = start});
	atomic_store(&start->running, true);
	for (unsigned i = 0; i < server->io_count; i++)
		server->ios[i] = io_new(server, start->listeners[i]);
	for (unsigned i = 0; i < server->io_count; i++)
		io_start(server->ios[i]);
}

static void say_ready(struct start *start)
{
	int fd = start->options.ready_fd;

	printf("wherry: ready on %.*s\n", STR(start->url));
	fflush(stdout);
	if (fd < 0)
		return;
	if (write(fd, start->url.ptr, start->url.len) < 0)
		log_error("ready", "text=\"nobody listens on the ready descriptor\"");
	close(fd);
}

int server_run(const struct server_options *options)
{
	struct start start = {.options = *options, .main_thread = pthread_self()};
	struct error error = {0};
	sigset_t signals;
	int number;

	start.server.io_count = MIN(options->io_threads ? options->io_threads : IO_THREADS,
				    SERVER_IO_THREADS_LIMIT);
	sigemptyset(&signals);
	sigaddset(&signals, SIGTERM);
	sigaddset(&signals, SIGINT);
	pthread_sigmask(SIG_BLOCK, &signals, NULL); /* before the first thread: all inherit it */
	raise_limits(&start.server);
	if (!open_all(&start, &error)) {
		log_error("start", "text=\"%s\"", error.text);
		close_all(&start);
		return 1;
	}
	run_threads(&start);
	say_ready(&start);
	sigwait(&signals, &number);
	stop(&start, &signals);
	close_all(&start);
	return atomic_load(&start.failed) ? 1 : 0;
}
