#include "host/resolver.h"
#include <arpa/inet.h>
#include <assert.h>
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include "base/list.h"
#include "base/time.h"
#include "host/dns.h"
#include "os/clock.h"
#include "os/entropy.h"
#include "os/fd.h"
#include "os/file.h"
#include "os/netns.h"

enum {
	NAMESERVERS_LIMIT = 3,                           /* as the C library has it */
	DNS_PORT = 53,
	ATTEMPT_MSEC = 2000,
	ROUNDS = 2,                                      /* over all nameservers */
	STREAM_MSEC = 10000,
	LOOK_MSEC = 250,                                 /* how often deadlines are looked at while there are any; a rest */
	REPLY_BYTES = 8192,                              /* over udp; EDNS messages stay below 4096 in practice */
	STREAM_BYTES = 2 + UINT16_MAX,
	RESOLV_CONF_LIMIT = 64 * 1024,
	BACKLOG = 16,
	SOCKETS_LIMIT = 2 * RESOLVER_ADDRESSES_LIMIT,
};

enum endpoint_kind {
	ENDPOINT_WAKE,
	ENDPOINT_UDP,
	ENDPOINT_TCP,
	ENDPOINT_QUERY,
	ENDPOINT_CLIENT,
	ENDPOINT_UPSTREAM
};

/* What epoll gives back. */
struct endpoint {
	enum endpoint_kind kind;
	int fd;
	void *of;                                        /* the place, query or stream */
};

struct place {
	struct link link;
	struct resolver_place is;
	struct endpoint sockets[SOCKETS_LIMIT];
	size_t count;
	size_t under_way;                                /* queries and streams */
};

struct query {
	struct link link;
	struct place *place;
	struct endpoint upstream;
	int socket;                                      /* of the place: where the answer leaves */
	struct sockaddr_in client;
	usec deadline;
	unsigned attempt;
	size_t len, question_end;
	uint8_t id[2];                                   /* the client's; ours stands in `bytes` */
	uint8_t bytes[DNS_QUERY_LIMIT];
};

/* One question after the other: read it, ask, read the answer, write it. `bytes` begins with the
 * length, as on the wire. */
struct stream {
	struct link link;
	struct place *place;
	struct endpoint client, upstream;
	usec deadline;
	size_t question_end;
	size_t have, sent;                               /* of bytes */
	uint8_t query[2 + DNS_QUERY_LIMIT];
	uint8_t *bytes;                                  /* STREAM_BYTES */
};

struct resolver {
	pthread_mutex_t mutex;
	pthread_t thread;
	bool started, stopping;
	int epoll;
	struct endpoint wake;
	uint64_t changes; /* of what endpoints there are, from outside of the thread */
	struct link places, queries, streams;
	size_t query_count, stream_count;
	bool resting;                                    /* some tcp socket is not listened to until the next look */
	char *resolv_conf;
	struct timespec read_at;                         /* mtime of what the nameservers are from */
	struct sockaddr_storage nameservers[NAMESERVERS_LIMIT];
	size_t nameserver_count;
};

/* --- nameservers of the host --- */

static bool parse_nameserver(struct str text, struct sockaddr_storage *ret_address)
{
	struct sockaddr_in *ipv4 = (struct sockaddr_in *)ret_address;
	struct sockaddr_in6 *ipv6 = (struct sockaddr_in6 *)ret_address;
	char copy[INET6_ADDRSTRLEN];

	if (text.len >= sizeof(copy))
		return false;
	snprintf(copy, sizeof(copy), "%.*s", STR(text));
	memset(ret_address, 0, sizeof(*ret_address));
	ret_address->ss_family = str_find(text, ':') < text.len ? AF_INET6 : AF_INET;
	ipv4->sin_port = htons(DNS_PORT);                /* in the same place in both */
	return inet_pton(ret_address->ss_family, copy, ret_address->ss_family == AF_INET ? (void *)&ipv4->sin_addr
									     : (void *)&ipv6->sin6_addr) == 1;
}

static void parse_resolv_conf(struct resolver *resolver, struct str text)
{
	struct str line;

	resolver->nameserver_count = 0;
	while (str_cut(&text, '\n', &line) && resolver->nameserver_count < NAMESERVERS_LIMIT) {
		struct str address = str_trim(line);

		if (!str_starts(address, S("nameserver")) || address.len < sizeof("nameserver"))
			continue;
		address = str_trim(str_slice(address, sizeof("nameserver") - 1, address.len));
		if (parse_nameserver(address, &resolver->nameservers[resolver->nameserver_count]))
			resolver->nameserver_count++;
	}
}

/* The host may have moved to another network. */
static void look_at_resolv_conf(struct resolver *resolver)
{
	auto_arena arena = {0};
	struct error ignored;
	struct stat found;
	struct str text;

	if (stat(resolver->resolv_conf, &found) < 0 ||
	    !memcmp(&found.st_mtim, &resolver->read_at, sizeof(found.st_mtim)))
		return;
	if (!file_read(AT_FDCWD, resolver->resolv_conf, RESOLV_CONF_LIMIT, &arena, &text, &ignored))
		return;
	parse_resolv_conf(resolver, text);
	resolver->read_at = found.st_mtim;
}

static int connect_to(const struct sockaddr_storage *nameserver, int type)
{
	auto_fd fd = socket(nameserver->ss_family, type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	socklen_t size = nameserver->ss_family == AF_INET ? sizeof(struct sockaddr_in)
							  : sizeof(struct sockaddr_in6);

	if (fd < 0 || (connect(fd, (const struct sockaddr *)nameserver, size) < 0 && errno != EINPROGRESS))
		return -1;
	return take_fd(&fd);
}

/* --- endpoints --- */

static bool listen_to(struct resolver *resolver, struct endpoint *endpoint, uint32_t events)
{
	struct epoll_event event = {.events = events, .data.ptr = endpoint};

	return epoll_ctl(resolver->epoll, EPOLL_CTL_ADD, endpoint->fd, &event) == 0;
}

static void change_events(struct resolver *resolver, struct endpoint *endpoint, uint32_t events)
{
	struct epoll_event event = {.events = events, .data.ptr = endpoint};

	epoll_ctl(resolver->epoll, EPOLL_CTL_MOD, endpoint->fd, &event);
}

/* --- queries over udp --- */

static void query_free(struct resolver *resolver, struct query *query)
{
	link_remove(&query->link);
	fd_close(&query->upstream.fd);
	resolver->query_count--;
	query->place->under_way--;
	free(query);
}

static void send_to_client(const struct query *query, const uint8_t *bytes, size_t len)
{
	/* A client that is gone does not wait. */
	(void)sendto(query->socket, bytes, len, MSG_DONTWAIT | MSG_NOSIGNAL,
		     (const struct sockaddr *)&query->client, sizeof(query->client));
}

static void answer_query(struct resolver *resolver, struct query *query, enum dns_code code)
{
	uint8_t reply[DNS_QUERY_LIMIT + DNS_ANSWER_BYTES];
	size_t len = dns_write_reply(query->bytes, query->question_end, code, NULL, reply);

	memcpy(reply, query->id, sizeof(query->id));
	send_to_client(query, reply, len);
	query_free(resolver, query);
}

/* Another port and another id each time: nobody who does not see them can answer. */
static bool ask(struct resolver *resolver, struct query *query)
{
	uint64_t random = entropy_number();

	fd_close(&query->upstream.fd);
	if (query->attempt >= ROUNDS * resolver->nameserver_count)
		return false;
	memcpy(query->bytes, &random, 2);
	query->deadline = clock_monotonic() + ATTEMPT_MSEC * USEC_PER_MSEC;
	query->upstream = (struct endpoint){.kind = ENDPOINT_QUERY, .of = query};
	query->upstream.fd = connect_to(
		&resolver->nameservers[query->attempt % resolver->nameserver_count], SOCK_DGRAM);
	query->attempt++;
	if (query->upstream.fd >= 0 && listen_to(resolver, &query->upstream, EPOLLIN) &&
	    send(query->upstream.fd, query->bytes, query->len, MSG_DONTWAIT | MSG_NOSIGNAL) >= 0)
		return true;
	/* The next one, when its time has come. */
	fd_close(&query->upstream.fd);
	return true;
}

static void ask_or_fail(struct resolver *resolver, struct query *query)
{
	if (!ask(resolver, query))
		answer_query(resolver, query, DNS_FAILED);
}

/* What needs nobody else: refusals, and the names of the VPC's addresses. Gives the reply's length;
 * 0: has to be asked. */
static size_t answer_here(const struct place *place, const uint8_t *bytes, size_t len,
			  struct dns_question *question, uint8_t *reply)
{
	enum dns_code code = dns_read_query(bytes, len, question);
	bool mine = false;
	uint32_t address;

	if (code != DNS_OK)
		return question->end ? dns_write_reply(bytes, question->end, code, NULL, reply) : 0;
	if (!dns_own_name(str_of(question->name), &address))
		return 0;
	for (size_t i = 0; i < place->is.block_count; i++)
		mine |= ipv4_block_has(place->is.blocks[i], address);
	if (!mine)
		return dns_write_reply(bytes, question->end, DNS_NO_SUCH_NAME, NULL, reply);
	return dns_write_reply(bytes, question->end, DNS_OK, question->type == DNS_TYPE_A ? &address : NULL, reply);
}

static bool is_busy(const struct resolver *resolver, const struct place *place)
{
	return resolver->query_count + resolver->stream_count >= RESOLVER_QUERIES_LIMIT ||
	       place->under_way >= RESOLVER_PLACE_LIMIT;
}

static void forward(struct resolver *resolver, struct place *place, const struct query *asked)
{
	struct query *query;

	if (is_busy(resolver, place))
		return;
	query = malloc(sizeof(*query));
	assert(query);
	*query = *asked;
	query->place = place;
	memcpy(query->id, query->bytes, sizeof(query->id));
	resolver->query_count++;
	place->under_way++;
	chain_append(&resolver->queries, &query->link);
	look_at_resolv_conf(resolver);
	ask_or_fail(resolver, query);
}

static void take_datagram(struct resolver *resolver, struct endpoint *endpoint)
{
	struct query query = {.socket = endpoint->fd, .upstream.fd = -1};
	uint8_t reply[DNS_QUERY_LIMIT + DNS_ANSWER_BYTES];
	struct dns_question question;
	socklen_t size = sizeof(query.client);
	ssize_t got = recvfrom(endpoint->fd, query.bytes, sizeof(query.bytes), MSG_DONTWAIT | MSG_TRUNC,
			       (struct sockaddr *)&query.client, &size);
	size_t len;

	if (got < 0 || (size_t)got > sizeof(query.bytes))
		return;
	query.len = (size_t)got;
	len = answer_here(endpoint->of, query.bytes, query.len, &question, reply);
	query.question_end = question.end;
	if (len)
		send_to_client(&query, reply, len);
	else if (question.end)
		forward(resolver, endpoint->of, &query);
}

static void take_reply(struct resolver *resolver, struct query *query)
{
	uint8_t reply[REPLY_BYTES];
	ssize_t got = recv(query->upstream.fd, reply, sizeof(reply), MSG_DONTWAIT | MSG_TRUNC);

	if (got < 0 && errno != EAGAIN && errno != EINTR) {
		ask_or_fail(resolver, query);            /* nobody listens there: the next one, at once */
		return;
	}
	if (got < 0 || (size_t)got > sizeof(reply) ||
	    !dns_answers(query->bytes, query->question_end, reply, (size_t)got))
		return;
	memcpy(reply, query->id, sizeof(query->id));
	send_to_client(query, reply, (size_t)got);
	query_free(resolver, query);
}

/* --- tcp --- */

static void stream_free(struct resolver *resolver, struct stream *stream)
{
	link_remove(&stream->link);
	fd_close(&stream->client.fd);
	fd_close(&stream->upstream.fd);
	resolver->stream_count--;
	stream->place->under_way--;
	free(stream->bytes);
	free(stream);
}

/* Nothing can be accepted (the agent is out of descriptors), and the call stays at the door: epoll would tell of it
 * again and again. */
static void rest(struct resolver *resolver, struct endpoint *endpoint)
{
	change_events(resolver, endpoint, 0);
	resolver->resting = true;
}

static void end_rest(struct resolver *resolver)
{
	resolver->resting = false;
	CHAIN_EACH(&resolver->places, struct place, link, place)
		for (size_t i = 0; i < place->count; i++)
			change_events(resolver, &place->sockets[i], EPOLLIN);
}

static void take_stream(struct resolver *resolver, struct endpoint *endpoint)
{
	auto_fd fd = accept4(endpoint->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
	struct stream *stream;

	if (fd < 0 && errno != EAGAIN && errno != EINTR && errno != ECONNABORTED)
		rest(resolver, endpoint);
	if (fd < 0 || resolver->stream_count >= RESOLVER_STREAMS_LIMIT || is_busy(resolver, endpoint->of))
		return;
	stream = calloc(1, sizeof(*stream));
	assert(stream);
	stream->bytes = malloc(STREAM_BYTES);
	assert(stream->bytes);
	stream->place = endpoint->of;
	stream->client = (struct endpoint){ENDPOINT_CLIENT, take_fd(&fd), stream};
	stream->upstream.fd = -1;
	stream->deadline = clock_monotonic() + STREAM_MSEC * USEC_PER_MSEC;
	resolver->stream_count++;
	stream->place->under_way++;
	chain_append(&resolver->streams, &stream->link);
	if (!listen_to(resolver, &stream->client, EPOLLIN))
		stream_free(resolver, stream);
}

static size_t length_of(const uint8_t *bytes) { return (size_t)(bytes[0] << 8 | bytes[1]); }

/* Reads what there is of one message. 1: it is whole; 0: not yet; -1: it never will be. */
static int read_message(int fd, struct stream *stream, size_t limit)
{
	size_t want = stream->have < 2 ? 2 : 2 + length_of(stream->bytes);
	ssize_t got;

	for (;;) {
		if (stream->have >= 2 && length_of(stream->bytes) > limit)
			return -1;
		if (stream->have == want && want > 2)
			return 1;
		got = recv(fd, stream->bytes + stream->have, want - stream->have, MSG_DONTWAIT);
		if (got <= 0)
			return got < 0 && (errno == EAGAIN || errno == EINTR) ? 0 : -1;
		stream->have += (size_t)got;
		if (stream->have == 2) {
			want = 2 + length_of(stream->bytes);
			if (want == 2)
				return -1;
		}
	}
}

/* As read_message. */
static int write_message(int fd, struct stream *stream, const uint8_t *bytes)
{
	size_t all = 2 + length_of(bytes);

	while (stream->sent < all) {
		ssize_t put = send(fd, bytes + stream->sent, all - stream->sent, MSG_DONTWAIT | MSG_NOSIGNAL);

		if (put < 0)
			return errno == EAGAIN || errno == EINTR ? 0 : -1;
		stream->sent += (size_t)put;
	}
	return 1;
}

static bool ask_upstream(struct resolver *resolver, struct stream *stream)
{
	look_at_resolv_conf(resolver);
	for (size_t i = 0; i < resolver->nameserver_count; i++) {
		stream->upstream = (struct endpoint){
			ENDPOINT_UPSTREAM, connect_to(&resolver->nameservers[i], SOCK_STREAM),
			stream};
		if (stream->upstream.fd >= 0)
			return listen_to(resolver, &stream->upstream, EPOLLOUT);
	}
	return false;
}

/* What is in `bytes` goes to the client; when it has gone the next question may come. */
static bool reply_to_client(struct resolver *resolver, struct stream *stream)
{
	int put = write_message(stream->client.fd, stream, stream->bytes);

	if (put < 0)
		return false;
	if (put > 0)
		stream->have = stream->sent = 0;
	change_events(resolver, &stream->client, put ? EPOLLIN : EPOLLOUT);
	return true;
}

static bool take_question(struct resolver *resolver, struct stream *stream)
{
	int got = read_message(stream->client.fd, stream, DNS_QUERY_LIMIT);
	uint8_t reply[DNS_QUERY_LIMIT + DNS_ANSWER_BYTES];
	struct dns_question question;
	size_t len;

	if (got <= 0)
		return got == 0;
	stream->deadline = clock_monotonic() + STREAM_MSEC * USEC_PER_MSEC;
	len = answer_here(stream->place, stream->bytes + 2, stream->have - 2, &question, reply);
	stream->sent = 0;
	if (len) {
		stream->bytes[0] = (uint8_t)(len >> 8);
		stream->bytes[1] = (uint8_t)len;
		memcpy(stream->bytes + 2, reply, len);
		return reply_to_client(resolver, stream);
	}
	if (!question.end)
		return false;
	memcpy(stream->query, stream->bytes, stream->have);
	stream->question_end = question.end;
	stream->have = 0;
	change_events(resolver, &stream->client, 0);
	return ask_upstream(resolver, stream);
}

static bool serve_client(struct resolver *resolver, struct stream *stream, uint32_t events)
{
	if (events & EPOLLERR)
		return false;
	if (events & EPOLLOUT)
		return reply_to_client(resolver, stream);
	if (events & EPOLLIN)
		return take_question(resolver, stream);
	return false;                                    /* hung up while we asked */
}

static bool serve_upstream(struct resolver *resolver, struct stream *stream, uint32_t events)
{
	int got;

	if (events & EPOLLOUT) {
		got = write_message(stream->upstream.fd, stream, stream->query);
		if (got > 0)
			change_events(resolver, &stream->upstream, EPOLLIN);
		return got >= 0;
	}
	got = read_message(stream->upstream.fd, stream, UINT16_MAX);
	if (got <= 0)
		return got == 0;
	if (!dns_answers(stream->query + 2, stream->question_end, stream->bytes + 2, stream->have - 2))
		return false;
	fd_close(&stream->upstream.fd);
	stream->sent = 0;
	return reply_to_client(resolver, stream);
}

/* --- the thread --- */

static void serve(struct resolver *resolver, struct endpoint *endpoint, uint32_t events)
{
	uint64_t ignored;

	switch (endpoint->kind) {
	case ENDPOINT_WAKE:
		if (read(endpoint->fd, &ignored, sizeof(ignored)) < 0)
			errno = 0;
		return;
	case ENDPOINT_UDP:
		take_datagram(resolver, endpoint);
		return;
	case ENDPOINT_TCP:
		take_stream(resolver, endpoint);
		return;
	case ENDPOINT_QUERY:
		take_reply(resolver, endpoint->of);
		return;
	case ENDPOINT_CLIENT:
		if (!serve_client(resolver, endpoint->of, events))
			stream_free(resolver, endpoint->of);
		return;
	case ENDPOINT_UPSTREAM:
		if (!serve_upstream(resolver, endpoint->of, events))
			stream_free(resolver, endpoint->of);
		return;
	}
}

static void look_at_deadlines(struct resolver *resolver)
{
	usec now = clock_monotonic();

	CHAIN_EACH(&resolver->queries, struct query, link, query)
		if (query->deadline <= now)
			ask_or_fail(resolver, query);
	CHAIN_EACH(&resolver->streams, struct stream, link, stream)
		if (stream->deadline <= now)
			stream_free(resolver, stream);
	if (resolver->resting)
		end_rest(resolver);
}

static bool is_idle(const struct resolver *resolver)
{
	return !resolver->query_count && !resolver->stream_count && !resolver->resting;
}

/* One event at a time, so that serving it cannot take away what the next one is about; and none
 * that was seen before somebody else changed what there is: it comes again. */
static void *run(void *arg)
{
	struct resolver *resolver = arg;
	usec looked = 0;

	pthread_mutex_lock(&resolver->mutex);
	while (!resolver->stopping) {
		struct epoll_event event;
		uint64_t changes = resolver->changes;
		int timeout = is_idle(resolver) ? -1 : LOOK_MSEC, count;

		pthread_mutex_unlock(&resolver->mutex);
		count = epoll_wait(resolver->epoll, &event, 1, timeout);
		pthread_mutex_lock(&resolver->mutex);
		if (count == 1 && (changes == resolver->changes || event.data.ptr == &resolver->wake))
			serve(resolver, event.data.ptr, event.events);
		if (clock_monotonic() - looked >= LOOK_MSEC * USEC_PER_MSEC) {
			looked = clock_monotonic();
			look_at_deadlines(resolver);
		}
	}
	pthread_mutex_unlock(&resolver->mutex);
	return NULL;
}

static void wake(struct resolver *resolver)
{
	uint64_t one = 1;

	if (write(resolver->wake.fd, &one, sizeof(one)) < 0)
		errno = 0;                               /* it is awake already */
}

bool resolver_new(struct str resolv_conf, struct resolver **ret_resolver, struct error *err)
{
	struct resolver *resolver = calloc(1, sizeof(*resolver));

	assert(resolver);
	resolver->resolv_conf = str_empty(resolv_conf) ? strdup("/etc/resolv.conf") : strndup(resolv_conf.ptr, resolv_conf.len);
	assert(resolver->resolv_conf);
	chain_init(&resolver->places);
	chain_init(&resolver->queries);
	chain_init(&resolver->streams);
	pthread_mutex_init(&resolver->mutex, NULL);
	resolver->epoll = epoll_create1(EPOLL_CLOEXEC);
	resolver->wake = (struct endpoint){.kind = ENDPOINT_WAKE, .fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)};
	if (resolver->epoll >= 0 && resolver->wake.fd >= 0 && listen_to(resolver, &resolver->wake, EPOLLIN)) {
		*ret_resolver = resolver;
		return true;
	}
	fail_os(err, errno, "start the resolver");
	resolver_free(resolver);
	return false;
}

/* --- places --- */

static void place_free(struct resolver *resolver, struct place *place)
{
	CHAIN_EACH(&resolver->queries, struct query, link, query)
		if (query->place == place)
			query_free(resolver, query);
	CHAIN_EACH(&resolver->streams, struct stream, link, stream)
		if (stream->place == place)
			stream_free(resolver, stream);
	for (size_t i = 0; i < place->count; i++)
		fd_close(&place->sockets[i].fd);
	link_remove(&place->link);
	resolver->changes++;
	free(place);
}

void resolver_free(struct resolver *resolver)
{
	if (!resolver)
		return;
	pthread_mutex_lock(&resolver->mutex);
	resolver->stopping = true;
	pthread_mutex_unlock(&resolver->mutex);
	if (resolver->started) {
		wake(resolver);
		pthread_join(resolver->thread, NULL);
	}
	CHAIN_EACH(&resolver->places, struct place, link, place)
		place_free(resolver, place);
	fd_close(&resolver->wake.fd);
	fd_close(&resolver->epoll);
	pthread_mutex_destroy(&resolver->mutex);
	free(resolver->resolv_conf);
	free(resolver);
}

/* Inside of the namespace. */
static bool open_socket(struct place *place, uint32_t address, int type, struct error *err)
{
	struct sockaddr_in at = {.sin_family = AF_INET,
				 .sin_port = htons(DNS_PORT),
				 .sin_addr.s_addr = htonl(address)};
	auto_fd fd = socket(AF_INET, type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	int on = 1;

	if (fd < 0 || (type == SOCK_STREAM && setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) < 0) ||
	    bind(fd, (struct sockaddr *)&at, sizeof(at)) < 0 || (type == SOCK_STREAM && listen(fd, BACKLOG) < 0))
		return fail_os(err, errno, "listen for DNS in '%.*s'", STR(place->is.vpc));
	place->sockets[place->count++] = (struct endpoint){
		type == SOCK_STREAM ? ENDPOINT_TCP : ENDPOINT_UDP, take_fd(&fd), place};
	return true;
}

static bool open_sockets(struct place *place, int netns, struct error *err)
{
	bool ok = true;
	int back;

	if (!netns_enter(netns, &back, err))
		return false;
	for (size_t i = 0; ok && i < place->is.address_count; i++)
		ok = open_socket(place, place->is.addresses[i], SOCK_DGRAM, err) &&
		     open_socket(place, place->is.addresses[i], SOCK_STREAM, err);
	netns_leave(back);
	return ok;
}

static bool start(struct resolver *resolver, struct error *err)
{
	int os = resolver->started ? 0 : pthread_create(&resolver->thread, NULL, run, resolver);

	if (os)
		return fail_os(err, os, "start the resolver's thread");
	resolver->started = true;
	return true;
}

static void remove_place(struct resolver *resolver, struct str vpc)
{
	CHAIN_EACH(&resolver->places, struct place, link, place)
		if (str_equal(place->is.vpc, vpc))
			place_free(resolver, place);
}

bool resolver_add(struct resolver *resolver, const struct resolver_place *is, struct error *err)
{
	struct place *place = calloc(1, sizeof(*place) + is->vpc.len);
	bool ok;

	assert(place);
	assert(is->address_count <= RESOLVER_ADDRESSES_LIMIT);
	place->is = *is;
	place->is.vpc.ptr = memcpy(place + 1, is->vpc.ptr, is->vpc.len);
	pthread_mutex_lock(&resolver->mutex);
	remove_place(resolver, is->vpc);
	chain_append(&resolver->places, &place->link);
	ok = start(resolver, err) && open_sockets(place, is->netns, err);
	for (size_t i = 0; ok && i < place->count; i++)
		ok = listen_to(resolver, &place->sockets[i], EPOLLIN) || fail_os(err, errno, "watch a socket");
	if (!ok)
		place_free(resolver, place);
	pthread_mutex_unlock(&resolver->mutex);
	return ok;
}

void resolver_remove(struct resolver *resolver, struct str vpc)
{
	pthread_mutex_lock(&resolver->mutex);
	remove_place(resolver, vpc);
	pthread_mutex_unlock(&resolver->mutex);
}
