#include "server/listen.h"
#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <sys/socket.h>
#include <unistd.h>

struct place {
	struct sockaddr_storage address;
	socklen_t length;
};

static bool split(struct str text, struct str *ret_host, struct str *ret_port)
{
	size_t colon = str_find_last(text, ':');
	struct str host = str_slice(text, 0, colon);
	uint64_t port;

	*ret_port = str_slice(text, colon + 1, text.len);
	if (host.len > 2 && host.ptr[0] == '[' && str_ends(host, S("]")))
		host = str_slice(host, 1, host.len - 1);
	*ret_host = host;
	return colon < text.len && host.len && str_to_unsigned(*ret_port, &port) && port <= 65535;
}

static bool resolve(struct str text, struct place *ret_place, struct error *err)
{
	const struct addrinfo hints = {.ai_socktype = SOCK_STREAM,
				       .ai_flags = AI_PASSIVE | AI_NUMERICSERV};
	auto_arena arena = {0};
	struct addrinfo *found;
	struct str host, port;
	int problem;

	if (!split(text, &host, &port))
		return fail(err, ERROR_INVALID_PARAMETER, "'%.*s' is not ADDRESS:PORT", STR(text));
	problem = getaddrinfo(arena_cstr(&arena, host), arena_cstr(&arena, port), &hints, &found);
	if (problem)
		return fail(err, ERROR_INVALID_PARAMETER, "listen on '%.*s': %s", STR(text),
			    gai_strerror(problem));
	memcpy(&ret_place->address, found->ai_addr, found->ai_addrlen);
	ret_place->length = found->ai_addrlen;
	freeaddrinfo(found);
	return true;
}

/* Bound and with its port known; the loop calls listen(). */
static int open_one(struct place *place)
{
	struct sockaddr *address = (struct sockaddr *)&place->address;
	int fd = socket(address->sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	int on = 1;

	if (fd < 0)
		return -1;
	if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) == 0 &&
	    setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof(on)) == 0 &&
	    bind(fd, address, place->length) == 0 && getsockname(fd, address, &place->length) == 0)
		return fd;
	on = errno;
	close(fd);
	errno = on;
	return -1;
}

/* SO_REUSEPORT would let a second server of the same user join in silently. */
static bool is_taken(const struct place *place)
{
	int fd = socket(place->address.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
	int on = 1;
	bool taken;

	if (fd < 0)
		return false;
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	taken = bind(fd, (const struct sockaddr *)&place->address, place->length) < 0 &&
		errno == EADDRINUSE;
	close(fd);
	return taken;
}

static void describe(const struct place *place, struct arena *arena, struct str *ret_address,
		     struct str *ret_host)
{
	char host[64], port[8];
	bool six = place->address.ss_family == AF_INET6;

	getnameinfo((const struct sockaddr *)&place->address, place->length, host, sizeof(host),
		    port, sizeof(port), NI_NUMERICHOST | NI_NUMERICSERV);
	*ret_host = arena_printf(arena, "%s", host);
	*ret_address = arena_printf(arena, six ? "[%s]:%s" : "%s:%s", host, port);
}

bool listen_open(struct str address, unsigned count, int ret_fds[], struct arena *arena,
		 struct str *ret_address, struct str *ret_host, struct error *err)
{
	struct place place = {.length = 0};

	if (!resolve(address, &place, err))
		return false;
	if (is_taken(&place))
		return fail_os(err, EADDRINUSE, "listen on '%.*s'", STR(address));
	for (unsigned i = 0; i < count; i++) {
		ret_fds[i] = open_one(&place);
		if (ret_fds[i] >= 0)
			continue;
		fail_os(err, errno, "listen on '%.*s'", STR(address));
		while (i-- > 0)
			close(ret_fds[i]);
		return false;
	}
	describe(&place, arena, ret_address, ret_host);
	return true;
}
