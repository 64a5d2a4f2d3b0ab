#include "bench/client.h"
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>
#include "base/buffer.h"
#include "os/clock.h"

enum { ANSWER_BYTES_LIMIT = 1 << 20, EVENTS = 64 };

struct connection {
	int fd;
	int64_t since;
	size_t next, have, want;                         /* want: of the whole answer; 0 until its head is there */
	char *answer;
};

struct crew {
	pthread_t thread;
	const struct load *load;
	struct connection *connections;
	int count;
	struct load_result result;
	char failure[512];
};

int client_connect(int port)
{
	struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port),
				      .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), yes = 1;

	if (fd < 0 || connect(fd, (struct sockaddr *)&address, sizeof(address)) != 0) {
		perror("connect");
		exit(1);
	}
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof(yes));
	return fd;
}

static struct str signed_request(const struct target *target, struct sigv4_request *request,
				 struct sigv4_header *headers, struct str more, struct arena *arena)
{
	auto_buffer out = {0};

	request->headers = headers;
	request->header_count += sigv4_sign(target->sigv4, request, &target->credentials, S("us-east-1"),
					    target->service ? str_of(target->service) : S("ecs"), clock_now(), arena,
					    headers + request->header_count);
	buffer_printf(&out, "%.*s %.*s%s%.*s HTTP/1.1\r\n", STR(request->method), STR(request->path),
		      request->query.len ? "?" : "", STR(request->query));
	for (size_t i = 0; i < request->header_count; i++)
		buffer_printf(&out, "%.*s: %.*s\r\n", STR(headers[i].name), STR(headers[i].value));
	buffer_add(&out, more);
	if (request->body.len)
		buffer_printf(&out, "Content-Length: %zu\r\n", request->body.len);
	buffer_add(&out, S("\r\n"));
	buffer_add(&out, request->body);
	return arena_copy(arena, buffer_str(&out));
}

struct str client_request(const struct target *target, const char *operation, struct str body, struct arena *arena)
{
	struct sigv4_header headers[8] = {
		{S("Host"), target->host},
		{S("Content-Type"), S("application/x-amz-json-1.1")},
		{S("X-Amz-Target"), arena_printf(arena, "%s.%s", target->prefix ? target->prefix : "AmazonEC2ContainerServiceV20141113",
						 operation)},
	};
	struct sigv4_request request = {.method = S("POST"), .path = S("/"), .query = S(""), .header_count = 3, .body = body};

	return signed_request(target, &request, headers, S(""), arena);
}

struct str client_upgrade(const struct target *target, const char *path, struct str query, struct arena *arena)
{
	struct sigv4_header headers[8] = {{S("Host"), target->host}};
	struct sigv4_request request = {.method = S("GET"), .path = str_of(path), .query = query, .header_count = 1,
					.body = S("")};

	return signed_request(target, &request, headers, S("Connection: Upgrade\r\nUpgrade: websocket\r\n"
			      "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n"), arena);
}

/* ---- answers */

static bool find_length(const char *head, size_t len, size_t *ret_length)
{
	static const char name[] = "content-length:";
	const char *at = head;

	while (at && (size_t)(at - head) + sizeof(name) < len) {
		if (strncasecmp(at, name, sizeof(name) - 1) == 0) {
			*ret_length = strtoul(at + sizeof(name) - 1, NULL, 10);
			return true;
		}
		at = memchr(at, '\n', len - (size_t)(at - head));
		at = at ? at + 1 : NULL;
	}
	return false;
}

static void look_for_end(struct connection *connection)
{
	const char *end = memmem(connection->answer, connection->have, "\r\n\r\n", 4);
	size_t head, body;

	if (!end)
		return;
	head = (size_t)(end - connection->answer) + 4;
	if (!find_length(connection->answer, head, &body) || head + body > ANSWER_BYTES_LIMIT)
		give_up("an answer without a length, or too long", NULL);
	connection->want = head + body;
}

static void ask_next(struct crew *crew, struct connection *connection)
{
	struct str request = crew->load->requests[connection->next++ % crew->load->request_count];

	connection->have = connection->want = 0;
	connection->since = nanoseconds();
	for (size_t sent = 0; sent < request.len;) {
		ssize_t done = send(connection->fd, request.ptr + sent, request.len - sent, MSG_NOSIGNAL);

		if (done < 0)
			give_up("send", &(struct error){.text = "the server hung up"});
		sent += (size_t)done;
	}
}

static void take_answer(struct crew *crew, struct connection *connection)
{
	struct load_result *result = &crew->result;

	samples_add(&result->waits, nanoseconds() - connection->since);
	result->answers++;
	if (memcmp(connection->answer, "HTTP/1.1 200", 12) == 0)
		return;
	if (!result->failures++)
		snprintf(crew->failure, sizeof(crew->failure), "%.*s", (int)connection->want, connection->answer);
}

/* True when an answer is complete. */
static bool read_some(struct connection *connection)
{
	ssize_t got = recv(connection->fd, connection->answer + connection->have, ANSWER_BYTES_LIMIT - connection->have,
			   MSG_DONTWAIT);

	if (got < 0 && errno == EAGAIN)
		return false;
	if (got <= 0)
		give_up("recv", &(struct error){.text = "the server hung up"});
	connection->have += (size_t)got;
	if (!connection->want)
		look_for_end(connection);
	return connection->want && connection->have >= connection->want;
}

static void *run_crew(void *argument)
{
	struct crew *crew = argument;
	int64_t until = nanoseconds() + crew->load->span_usec * 1000;
	int epoll = epoll_create1(EPOLL_CLOEXEC), open = crew->count;
	struct epoll_event events[EVENTS];

	for (int i = 0; i < crew->count; i++) {
		struct epoll_event event = {.events = EPOLLIN, .data.ptr = &crew->connections[i]};

		epoll_ctl(epoll, EPOLL_CTL_ADD, crew->connections[i].fd, &event);
		ask_next(crew, &crew->connections[i]);
	}
	while (open > 0) {
		int count = epoll_wait(epoll, events, EVENTS, 10000);

		if (count == 0)
			give_up("no answer for 10 s", NULL);
		for (int i = 0; i < count; i++) {
			struct connection *connection = events[i].data.ptr;

			if (!read_some(connection))
				continue;
			take_answer(crew, connection);
			if (nanoseconds() < until)
				ask_next(crew, connection);
			else
				open--;
		}
	}
	close(epoll);
	return NULL;
}

static void open_connections(struct crew *crew, int first)
{
	crew->connections = calloc((size_t)crew->count, sizeof(*crew->connections));
	for (int i = 0; i < crew->count; i++)
		crew->connections[i] = (struct connection){
			.fd = client_connect(crew->load->port), .answer = malloc(ANSWER_BYTES_LIMIT),
			/* Each begins elsewhere, so that not all ask the same at once. */
			.next = (size_t)(first + i) * crew->load->request_count / (size_t)crew->load->connections};
}

static void add_result(struct crew *crew, struct arena *arena, struct load_result *total)
{
	total->answers += crew->result.answers;
	if (!total->failures && crew->result.failures)
		total->failure = arena_copy(arena, str_of(crew->failure));
	total->failures += crew->result.failures;
	for (size_t i = 0; i < crew->result.waits.count; i++)
		samples_add(&total->waits, (int64_t)crew->result.waits.usec[i] * 1000);
	samples_fini(&crew->result.waits);
	for (int i = 0; i < crew->count; i++) {
		close(crew->connections[i].fd);
		free(crew->connections[i].answer);
	}
	free(crew->connections);
}

void client_run(const struct load *load, struct arena *arena, struct load_result *ret_result)
{
	struct crew crews[CLIENT_THREADS_LIMIT] = {0};
	struct load_result total = {0};
	int64_t began;

	for (int i = 0, first = 0; i < load->threads; first += crews[i++].count) {
		crews[i].load = load;
		crews[i].count = (load->connections - first) / (load->threads - i);
		open_connections(&crews[i], first);
	}
	began = nanoseconds();
	for (int i = 0; i < load->threads; i++)
		pthread_create(&crews[i].thread, NULL, run_crew, &crews[i]);
	for (int i = 0; i < load->threads; i++)
		pthread_join(crews[i].thread, NULL);
	total.seconds = (double)(nanoseconds() - began) / 1e9;
	for (int i = 0; i < load->threads; i++)
		add_result(&crews[i], arena, &total);
	*ret_result = total;
}

struct str client_ask(const struct target *target, const char *operation, struct str body, struct arena *arena)
{
	struct str request = client_request(target, operation, body, arena);
	struct load load = {.requests = &request, .request_count = 1, .port = target->port, .threads = 1, .connections = 1};
	struct crew crew = {.load = &load, .count = 1};
	struct connection *connection;
	struct str answer;

	open_connections(&crew, 0);
	connection = crew.connections;
	ask_next(&crew, connection);
	while (!read_some(connection))
		clock_sleep(50);
	answer = arena_copy(arena, (struct str){connection->answer, connection->want});
	if (!str_starts(answer, S("HTTP/1.1 200")))
		give_up(arena_cstr(arena, answer), NULL);
	close(connection->fd);
	free(connection->answer);
	free(crew.connections);
	return str_slice(answer, (size_t)((char *)memmem(answer.ptr, answer.len, "\r\n\r\n", 4) - answer.ptr) + 4, answer.len);
}
