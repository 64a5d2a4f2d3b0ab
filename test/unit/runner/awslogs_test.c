/* Logs on their way to services that are there, hang, or do not let us: nothing is lost, and each waits for its own only. */
#include "runner/awslogs.h"
#include <arpa/inet.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>
#include "api/logs.h"
#include "base/buffer.h"
#include "base/list.h"
#include "host/log_reader.h"
#include "main/keeper_log.h"
#include "os/clock.h"
#include "os/file.h"
#include "wire/json.h"
#include "../../test.h"

enum { PATIENCE_SECONDS = 20, CONNECTIONS = 200, LINES = 50 };

/* What PutLogEvents into the group "faulty" meets. */
enum fault { FAULT_NONE, FAULT_HANGS, FAULT_DENIED, FAULT_EXPIRED, FAULT_BROKEN, FAULT_REFUSED };

static const char *const fault_names[] = {
	[FAULT_DENIED] = "AccessDeniedException", [FAULT_EXPIRED] = "ExpiredTokenException",
	[FAULT_BROKEN] = "InternalFailure", [FAULT_REFUSED] = "InvalidParameterException",
};

struct connection {
	struct buffer request;
	bool held;
};

/* A log service of few words on loopback. */
struct service {
	int listener;
	char endpoint[40];
	pthread_t thread;
	atomic_bool stopping;
	_Atomic enum fault fault;
	atomic_uint failed, held;                        /* puts that met the fault; that hang now */
	pthread_mutex_t lock;
	struct buffer taken;                             /* "GROUP MESSAGE\n"… */
};

static void say_answer(int fd, const char *status, const char *body)
{
	char text[400];
	int len = snprintf(text, sizeof(text), "HTTP/1.1 %s\r\nContent-Type: application/x-amz-json-1.1\r\nContent-Length: %zu\r\n\r\n%s",
			   status, strlen(body), body);

	assert_int_equal(write(fd, text, (size_t)len), len);
}

static void say_fault(int fd, enum fault fault)
{
	char body[120];

	snprintf(body, sizeof(body), "{\"__type\":\"%s\",\"message\":\"as the test wants it\"}", fault_names[fault]);
	say_answer(fd, fault == FAULT_BROKEN ? "500 Broken" : "400 Bad", body);
}

static void take_events(struct service *service, const struct logs_put_log_events_request *put)
{
	pthread_mutex_lock(&service->lock);
	for (size_t i = 0; i < put->log_events.count; i++)
		buffer_printf(&service->taken, "%.*s %.*s\n", STR(put->log_group_name), STR(put->log_events.items[i].message));
	pthread_mutex_unlock(&service->lock);
}

/* A whole request. False: it hangs. */
static bool serve_request(struct service *service, int fd, struct str head, struct str body)
{
	auto_arena arena = {0};
	struct json_fault wrong = {0};
	const struct logs_put_log_events_request *put;
	enum fault fault = service->fault;
	void *decoded;

	if (!str_contains(head, S("Logs_20140328.PutLogEvents"))) {
		say_answer(fd, "200 OK", "{}");
		return true;
	}
	assert_true(json_decode(api_logs.operations[LOGS_OPERATION_PUT_LOG_EVENTS].input, body, &arena, &decoded, &wrong));
	put = decoded;
	if (fault == FAULT_NONE || !str_equal(put->log_group_name, S("faulty"))) {
		take_events(service, put);
		say_answer(fd, "200 OK", "{}");
		return true;
	}
	service->failed++;
	if (fault != FAULT_HANGS)
		say_fault(fd, fault);
	return fault != FAULT_HANGS;
}

static size_t body_length(struct str head)
{
	struct str name = S("Content-Length: ");
	const char *at = memmem(head.ptr, head.len, name.ptr, name.len);

	assert_non_null(at);
	return strtoul(at + name.len, NULL, 10);
}

static void serve_connection(struct service *service, int fd, struct connection *connection)
{
	struct str text = buffer_str(&connection->request);
	const char *gap = text.len ? memmem(text.ptr, text.len, "\r\n\r\n", 4) : NULL;
	size_t end, length;

	if (!gap)
		return;
	end = (size_t)(gap - text.ptr);
	length = body_length(str_slice(text, 0, end));
	if (text.len < end + 4 + length)
		return;
	if (serve_request(service, fd, str_slice(text, 0, end), str_slice(text, end + 4, end + 4 + length))) {
		buffer_clear(&connection->request);
	} else {
		connection->held = true;
		service->held++;
	}
}

static bool hear(struct service *service, int fd, struct connection *connection)
{
	char bytes[65536];
	ssize_t got = read(fd, bytes, sizeof(bytes));

	if (got > 0) {
		buffer_append(&connection->request, bytes, (size_t)got);
		serve_connection(service, fd, connection);
		return true;
	}
	service->held -= connection->held;
	buffer_fini(&connection->request);
	close(fd);
	return false;
}

static void *serve(void *arg)
{
	struct service *service = arg;
	struct pollfd polled[1 + CONNECTIONS] = {{.fd = service->listener, .events = POLLIN}};
	struct connection connections[1 + CONNECTIONS] = {0};
	nfds_t count = 1;

	while (!service->stopping) {
		poll(polled, count, 20);
		for (nfds_t i = count; i-- > 1;) {
			if (polled[i].revents == 0 || hear(service, polled[i].fd, &connections[i]))
				continue;
			polled[i] = polled[--count];
			connections[i] = connections[count];
		}
		if (polled[0].revents == 0)
			continue;
		assert_true(count <= CONNECTIONS);
		polled[count] = (struct pollfd){.fd = accept(service->listener, NULL, NULL), .events = POLLIN};
		connections[count++] = (struct connection){0};
	}
	for (nfds_t i = 1; i < count; i++) {
		buffer_fini(&connections[i].request);
		close(polled[i].fd);
	}
	return NULL;
}

static void service_init(struct service *service)
{
	struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t size = sizeof(address);

	*service = (struct service){.listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)};
	assert_int_equal(bind(service->listener, (struct sockaddr *)&address, size), 0);
	assert_int_equal(listen(service->listener, CONNECTIONS), 0);
	getsockname(service->listener, (struct sockaddr *)&address, &size);
	snprintf(service->endpoint, sizeof(service->endpoint), "http://127.0.0.1:%u", ntohs(address.sin_port));
	pthread_mutex_init(&service->lock, NULL);
	assert_int_equal(pthread_create(&service->thread, NULL, serve, service), 0);
}

static void service_fini(struct service *service)
{
	service->stopping = true;
	pthread_join(service->thread, NULL);
	close(service->listener);
	pthread_mutex_destroy(&service->lock);
	buffer_fini(&service->taken);
}

/* An agent's shipping half, and its keepers' folder. */
struct world {
	struct service own, other;
	struct client_options client;
	char folder[64], task[80];
	struct awslogs_options options;
	struct awslogs *awslogs;
};

static void world_start(struct world *world)
{
	struct error err = {0};

	if (!awslogs_new(&world->options, &world->awslogs, &err))
		fail_msg("%s", err.text);
}

static void world_init(struct world *world)
{
	*world = (struct world){0};
	service_init(&world->own);
	service_init(&world->other);
	world->client = (struct client_options){.endpoint = str_of(world->own.endpoint), .region = S("us-east-1"),
						.key_id = S("key"), .secret = S("secret"), .user_agent = S("test")};
	snprintf(world->folder, sizeof(world->folder), "/tmp/wherry-awslogs-XXXXXX");
	assert_non_null(mkdtemp(world->folder));
	snprintf(world->task, sizeof(world->task), "%s/task", world->folder);
	assert_true(folder_make(world->task, 0755, NULL));
	world->options = (struct awslogs_options){.client = &world->client, .folder = str_of(world->folder)};
	world_start(world);
}

static void world_fini(struct world *world)
{
	awslogs_free(world->awslogs);
	service_fini(&world->own);
	service_fini(&world->other);
	assert_true(tree_remove(AT_FDCWD, world->folder, NULL));
}

static bool try_open(struct world *world, const char *container, struct str group, struct str region, const char *endpoint,
		     struct error *err)
{
	const struct agent_log_target target = {.group = group, .stream = str_of(container), .region = region,
						.endpoint = endpoint ? str_of(endpoint) : STR_NONE};

	return awslogs_open(world->awslogs, S("task"), str_of(container), &target, err);
}

static void open_log(struct world *world, const char *container, struct str group, const char *endpoint)
{
	struct error err = {0};

	if (!try_open(world, container, group, STR_NONE, endpoint, &err))
		fail_msg("%s", err.text);
}

/* What a container's keeper does: "line FIRST" to "line LAST - 1". */
static void write_lines(struct world *world, const char *container, unsigned first, unsigned last, bool ended)
{
	struct log_writer writer;
	char text[40];

	log_writer_open(&writer, world->task, container, "blocking 1000000");
	log_writer_tick();
	for (unsigned i = first; i < last; i++)
		log_writer_line(&writer, "stdout", 'F', text, (size_t)snprintf(text, sizeof(text), "line %u", i));
	log_writer_flush(&writer);
	log_writer_close(&writer, ended);
}

/* "line FIRST" to "line LAST - 1", each exactly once and in this order; false when some have not come yet. */
static bool has_lines(struct service *service, const char *group, unsigned first, unsigned last)
{
	auto_arena arena = {0};
	struct str rest, line;
	unsigned next = first;
	char wanted[60];

	pthread_mutex_lock(&service->lock);
	rest = arena_copy(&arena, buffer_str(&service->taken));
	pthread_mutex_unlock(&service->lock);
	while (str_cut(&rest, '\n', &line)) {
		if (!str_starts(line, str_of(group)) || line.ptr[strlen(group)] != ' ')
			continue;
		snprintf(wanted, sizeof(wanted), "%s line %u", group, next++);
		EXPECT_STR(line, str_of(wanted));
	}
	return next == last;
}

#define EVENTUALLY(question) \
	do { \
		usec until_ = clock_monotonic() + PATIENCE_SECONDS * USEC_PER_SEC; \
		while (!(question)) { \
			if (clock_monotonic() > until_) \
				fail_msg("still not after %d s: %s", PATIENCE_SECONDS, #question); \
			clock_sleep(5 * USEC_PER_MSEC); \
		} \
	} while (0)

static bool has(struct world *world, const char *container, const char *suffix)
{
	char path[160];

	snprintf(path, sizeof(path), "%s/%s.%s", world->task, container, suffix);
	return access(path, F_OK) == 0;
}

TEST(a_service_that_hangs_delays_its_own_logs_only)
{
	struct world world;

	world_init(&world);
	world.other.fault = FAULT_HANGS;
	open_log(&world, "a", S("faulty"), world.other.endpoint);
	open_log(&world, "b", S("good"), NULL);
	write_lines(&world, "a", 0, LINES, true);
	EVENTUALLY(world.other.held == 1);
	write_lines(&world, "b", 0, LINES, true);
	EVENTUALLY(has_lines(&world.own, "good", 0, LINES) && !has(&world, "b", "ship"));
	assert_int_equal(world.other.held, 1);
	assert_true(has_lines(&world.other, "faulty", 0, 0));

	/* An agent that ends does not wait for it either; the next one ships what is left. */
	awslogs_free(world.awslogs);
	assert_true(has(&world, "a", "ship"));
	world.other.fault = FAULT_NONE;
	world_start(&world);
	EVENTUALLY(has_lines(&world.other, "faulty", 0, LINES) && !has(&world, "a", "ship"));
	world_fini(&world);
}

TEST(lines_wait_for_a_permission_and_hold_up_no_other_group)
{
	struct world world;

	world_init(&world);
	world.own.fault = FAULT_DENIED;
	open_log(&world, "a", S("faulty"), NULL);
	open_log(&world, "b", S("good"), NULL);
	write_lines(&world, "a", 0, LINES, false);
	EVENTUALLY(world.own.failed >= 2);
	write_lines(&world, "a", LINES, 2 * LINES, true);
	write_lines(&world, "b", 0, LINES, true);
	EVENTUALLY(has_lines(&world.own, "good", 0, LINES) && !has(&world, "b", "ship"));
	assert_true(has_lines(&world.own, "faulty", 0, 0));
	world.own.fault = FAULT_NONE;
	EVENTUALLY(has_lines(&world.own, "faulty", 0, 2 * LINES) && !has(&world, "a", "ship"));
	world_fini(&world);
}

TEST(lines_wait_for_good_credentials_and_for_a_service_that_works)
{
	struct world world;

	for (enum fault fault = FAULT_EXPIRED; fault <= FAULT_BROKEN; fault++) {
		world_init(&world);
		world.own.fault = fault;
		open_log(&world, "a", S("faulty"), NULL);
		write_lines(&world, "a", 0, LINES, false);
		EVENTUALLY(world.own.failed >= 2);
		write_lines(&world, "a", LINES, 2 * LINES, true);
		world.own.fault = FAULT_NONE;
		EVENTUALLY(has_lines(&world.own, "faulty", 0, 2 * LINES) && !has(&world, "a", "ship"));
		world_fini(&world);
	}
}

TEST(a_batch_that_the_service_will_never_take_is_passed_over)
{
	struct world world;

	world_init(&world);
	world.own.fault = FAULT_REFUSED;
	open_log(&world, "a", S("faulty"), NULL);
	write_lines(&world, "a", 0, LINES, false);
	EVENTUALLY(world.own.failed == 1);
	world.own.fault = FAULT_NONE;
	write_lines(&world, "a", LINES, 2 * LINES, true);
	EVENTUALLY(has_lines(&world.own, "faulty", LINES, 2 * LINES) && !has(&world, "a", "ship"));
	world_fini(&world);
}

TEST(lines_that_are_too_old_for_the_service_wait_no_longer)
{
	struct world world;
	char path[120];
	int fd;

	world_init(&world);
	world.own.fault = FAULT_DENIED;
	write_lines(&world, "a", 0, 1, true);
	snprintf(path, sizeof(path), "%s/a.log", world.task);
	fd = open(path, O_WRONLY | O_CLOEXEC);
	assert_int_equal(pwrite(fd, "2020", 4, 0), 4);
	close(fd);
	open_log(&world, "a", S("faulty"), NULL);
	EVENTUALLY(world.own.failed >= 1);
	write_lines(&world, "a", 1, LINES, true);
	world.own.fault = FAULT_NONE;
	EVENTUALLY(has_lines(&world.own, "faulty", 1, LINES) && !has(&world, "a", "ship"));
	world_fini(&world);
}

TEST(a_flush_ends_when_all_is_shipped)
{
	struct world world;

	world_init(&world);
	awslogs_flush(world.awslogs, 3600 * USEC_PER_SEC);
	open_log(&world, "a", S("good"), NULL);
	open_log(&world, "b", S("good too"), world.other.endpoint);
	write_lines(&world, "a", 0, LINES, true);
	write_lines(&world, "b", 0, LINES, true);
	awslogs_flush(world.awslogs, 3600 * USEC_PER_SEC);
	assert_true(has_lines(&world.own, "good", 0, LINES));
	assert_true(has_lines(&world.other, "good too", 0, LINES));
	assert_false(has(&world, "a", "ship"));
	assert_false(has(&world, "b", "ship"));

	open_log(&world, "c", S("good"), NULL);          /* its container runs on */
	awslogs_flush(world.awslogs, USEC_PER_SEC / 10);
	assert_true(has(&world, "c", "ship"));
	world_fini(&world);
}

static void name_of(unsigned i, char ret_name[16]) { snprintf(ret_name, 16, "r-%u", i); }

TEST(logs_go_to_a_limited_number_of_services_at_a_time)
{
	struct world world;
	struct error err = {0};
	char name[16];

	world_init(&world);
	for (unsigned i = 0; i < AWSLOGS_SERVICES_LIMIT; i++) {
		name_of(i, name);
		assert_true(try_open(&world, name, S("good"), str_of(name), NULL, NULL));
	}
	assert_false(try_open(&world, "more", S("good"), S("more"), NULL, &err));
	EXPECT_STR(str_of(err.text), S("ResourceInitializationError: failed to initialize logging driver: logs go to 64 other regions "
				       "and endpoints already, not to one more at the same time"));
	assert_false(has(&world, "more", "ship"));
	open_log(&world, "own", S("good"), NULL);
	open_log(&world, "r-7-too", S("good"), NULL);

	write_lines(&world, "r-7", 0, LINES, true);
	EVENTUALLY(!has(&world, "r-7", "ship"));
	EVENTUALLY(try_open(&world, "more", S("good"), S("more"), NULL, NULL));
	world_fini(&world);
}
