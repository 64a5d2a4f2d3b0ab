#include "runner/endpoint.h"
#include <arpa/inet.h>
#include <errno.h>
#include <sys/socket.h>
#include <unistd.h>
#include "os/clock.h"
#include "../../test.h"

enum { PATIENCE_SECONDS = 20 };

struct world {
	uv_loop_t loop;
	struct endpoint *endpoint;
	struct endpoint_call *held;
	unsigned served;
	uint16_t ports[2];
};

/* Answers with the place and the path; "/later" is held. */
static void serve(void *arg, struct endpoint_call *call, struct str place, const struct request *request)
{
	struct world *world = arg;
	auto_arena arena = {0};

	world->served++;
	if (str_equal(request->path, S("/later")))
		world->held = call;
	else
		endpoint_answer(call, 200, S("text/plain"), arena_printf(&arena, "%.*s %.*s", STR(place), STR(request->path)));
}

static int listen_on_loopback(uint16_t *ret_port)
{
	struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t size = sizeof(address);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	assert_true(fd >= 0);
	assert_int_equal(bind(fd, (struct sockaddr *)&address, size), 0);
	assert_int_equal(listen(fd, 64), 0);
	getsockname(fd, (struct sockaddr *)&address, &size);
	*ret_port = ntohs(address.sin_port);
	return fd;
}

static void world_init(struct world *world)
{
	const struct endpoint_options options = {.loop = &world->loop, .serve = serve, .arg = world};

	*world = (struct world){0};
	uv_loop_init(&world->loop);
	world->endpoint = endpoint_new(&options);
	endpoint_offer(world->endpoint, S("one"), listen_on_loopback(&world->ports[0]));
	endpoint_offer(world->endpoint, S("two"), listen_on_loopback(&world->ports[1]));
}

static void world_fini(struct world *world)
{
	endpoint_stop(world->endpoint);
	uv_run(&world->loop, UV_RUN_DEFAULT);
	assert_int_equal(uv_loop_close(&world->loop), 0);
	endpoint_free(world->endpoint);
}

static int call(uint16_t port, struct str text)
{
	struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK), .sin_port = htons(port)};
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	assert_int_equal(connect(fd, (struct sockaddr *)&address, sizeof(address)), 0);
	assert_int_equal(send(fd, text.ptr, text.len, MSG_NOSIGNAL), text.len);
	return fd;
}

/* What the server says, until `ending` comes or the line ends. */
static struct str hear(struct world *world, int fd, const char *ending, struct arena *arena)
{
	usec give_up = clock_monotonic() + PATIENCE_SECONDS * USEC_PER_SEC;
	struct str heard = S("");
	char bytes[4096];

	while (clock_monotonic() < give_up) {
		ssize_t len = recv(fd, bytes, sizeof(bytes), MSG_DONTWAIT);

		if (len == 0 || (len < 0 && errno != EAGAIN))
			return heard;
		if (len > 0)
			heard = arena_printf(arena, "%.*s%.*s", STR(heard), (int)len, bytes);
		if (len > 0 && str_ends(heard, str_of(ending)))
			return heard;
		uv_run(&world->loop, UV_RUN_NOWAIT);
		if (len < 0)
			clock_sleep(USEC_PER_MSEC);
	}
	fail_msg("nothing came");
	return heard;
}

TEST(a_request_is_answered_and_tells_its_place)
{
	auto_arena arena = {0};
	struct world world;

	world_init(&world);
	for (size_t i = 0; i < 2; i++) {
		int fd = call(world.ports[i], S("GET /v4/x HTTP/1.1\r\n\r\n"));
		struct str heard = hear(&world, fd, "/v4/x", &arena);

		assert_true(str_starts(heard, S("HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 9\r\n\r\n")));
		assert_true(str_ends(heard, i ? S("two /v4/x") : S("one /v4/x")));
		close(fd);
	}
	world_fini(&world);
}

TEST(a_connection_is_kept_and_its_requests_answered_in_order)
{
	auto_arena arena = {0};
	struct world world;
	struct str heard;
	int fd;

	world_init(&world);
	fd = call(world.ports[0], S("GET /later HTTP/1.1\r\n\r\nGET /second HTTP/1.1\r\nConnection: close\r\n\r\n"));
	while (!world.held)
		uv_run(&world.loop, UV_RUN_NOWAIT);
	assert_int_equal(world.served, 1);
	endpoint_answer(world.held, 200, S("text/plain"), S("first"));
	heard = hear(&world, fd, "never", &arena);
	assert_true(str_contains(heard, S("first")));
	assert_true(str_ends(heard, S("one /second")));
	close(fd);
	world_fini(&world);
}

TEST(who_left_before_the_answer_is_no_trouble)
{
	struct world world;
	usec give_up = clock_monotonic() + PATIENCE_SECONDS * USEC_PER_SEC;
	int fd;

	world_init(&world);
	fd = call(world.ports[0], S("GET /later HTTP/1.1\r\n\r\n"));
	while (!world.held)
		uv_run(&world.loop, UV_RUN_NOWAIT);
	close(fd);
	for (int i = 0; i < 20 && clock_monotonic() < give_up; i++)
		uv_run(&world.loop, UV_RUN_NOWAIT);
	endpoint_answer(world.held, 200, S("text/plain"), S("to nobody"));
	world_fini(&world);
}

TEST(a_place_that_closes_takes_its_connections_along_but_not_their_answers)
{
	auto_arena arena = {0};
	struct world world;
	int fd;

	world_init(&world);
	fd = call(world.ports[0], S("GET /later HTTP/1.1\r\n\r\n"));
	while (!world.held)
		uv_run(&world.loop, UV_RUN_NOWAIT);
	endpoint_close(world.endpoint, S("one"));
	endpoint_close(world.endpoint, S("none"));
	EXPECT_STR(hear(&world, fd, "never", &arena), S(""));
	endpoint_answer(world.held, 200, S("text/plain"), S("to nobody"));
	close(fd);
	fd = call(world.ports[1], S("GET /x HTTP/1.1\r\n\r\n"));
	assert_true(str_ends(hear(&world, fd, "two /x", &arena), S("two /x")));
	close(fd);
	world_fini(&world);
}

TEST(a_place_has_so_many_connections_and_so_many_requests_a_second)
{
	int fds[ENDPOINT_PLACE_CONNECTIONS_LIMIT + 1];
	auto_arena arena = {0};
	struct world world;
	unsigned refused = 0;

	world_init(&world);
	for (size_t i = 0; i < ENDPOINT_PLACE_CONNECTIONS_LIMIT + 1; i++)
		fds[i] = call(world.ports[0], S("GET /"));
	/* The last is hung up on, another place is not affected. */
	EXPECT_STR(hear(&world, fds[ENDPOINT_PLACE_CONNECTIONS_LIMIT], "never", &arena), S(""));
	for (size_t i = 0; i < ENDPOINT_PLACE_CONNECTIONS_LIMIT + 1; i++)
		close(fds[i]);
	for (int i = 0; i < 4 * ENDPOINT_BURST && !refused; i++) {
		int fd = call(world.ports[1], S("GET /x HTTP/1.1\r\nConnection: close\r\n\r\n"));

		refused += str_starts(hear(&world, fd, "never", &arena), S("HTTP/1.1 429 "));
		close(fd);
	}
	assert_int_equal(refused, 1);
	world_fini(&world);
}

TEST(nonsense_is_answered_and_hung_up_on)
{
	auto_arena arena = {0};
	struct world world;
	int fd;

	world_init(&world);
	fd = call(world.ports[0], S("nonsense\r\n\r\n"));
	assert_true(str_starts(hear(&world, fd, "never", &arena), S("HTTP/1.1 400 Bad Request\r\n")));
	close(fd);
	assert_int_equal(world.served, 0);
	world_fini(&world);
}
