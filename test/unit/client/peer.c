#include "peer.h"
#include <arpa/inet.h>
#include <openssl/evp.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>
#include "base/arena.h"
#include "wire/base64.h"

struct peer {
	const char *const *answers;
	int listener;
	char endpoint[64];
	struct buffer heard;
	pthread_t thread;
};

static struct str accept_of(struct str heard, struct arena *arena)
{
	struct str line, name;
	unsigned char digest[EVP_MAX_MD_SIZE];
	struct buffer text = {0};
	struct str result = S("none");

	while (str_cut(&heard, '\n', &line)) {
		struct str value = line, salted;

		if (!str_cut(&value, ':', &name) || !str_equal_ignoring_case(name, S("Sec-WebSocket-Key")))
			continue;
		salted = arena_printf(arena, "%.*s258EAFA5-E914-47DA-95CA-C5AB0DC85B11", STR(str_trim(value)));
		EVP_Digest(salted.ptr, salted.len, digest, NULL, EVP_sha1(), NULL);
		base64_encode((struct str){(char *)digest, 20}, &text);
		result = arena_copy(arena, buffer_str(&text));
	}
	buffer_fini(&text);
	return result;
}

/* Until something came and then nothing for a little while. */
static bool listen_for_request(struct peer *peer, int fd)
{
	struct pollfd poller = {.fd = fd, .events = POLLIN};
	char bytes[4096];
	bool any = false;

	while (poll(&poller, 1, any ? 50 : 5000) > 0) {
		ssize_t got = read(fd, bytes, sizeof(bytes));

		if (got <= 0)
			return any;
		buffer_append(&peer->heard, bytes, (size_t)got);
		any = true;
	}
	return any;
}

static void answer(struct peer *peer, int fd, const char *script)
{
	static const struct str mark = STR_INIT("%ACCEPT%");
	auto_arena arena = {0};
	const char *at = strstr(script, mark.ptr);
	struct str text = str_of(script);

	if (at)
		text = arena_printf(&arena, "%.*s%.*s%s", (int)(at - script), script,
				    STR(accept_of(buffer_str(&peer->heard), &arena)), at + mark.len);
	if (write(fd, text.ptr, text.len) < 0)
		perror("peer");
}

static void *serve(void *arg)
{
	struct peer *peer = arg;
	int fd = accept(peer->listener, NULL, NULL);

	for (size_t i = 0; fd >= 0 && peer->answers[i]; i++) {
		if (!listen_for_request(peer, fd))
			break;
		answer(peer, fd, peer->answers[i]);
	}
	close(fd);
	return NULL;
}

struct peer *peer_start(const char *const *answers)
{
	struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t len = sizeof(address);
	struct peer *peer = calloc(1, sizeof(*peer));

	if (!peer)
		abort();
	peer->answers = answers;
	peer->listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (bind(peer->listener, (struct sockaddr *)&address, len) != 0 || listen(peer->listener, 4) != 0 ||
	    getsockname(peer->listener, (struct sockaddr *)&address, &len) != 0)
		abort();
	snprintf(peer->endpoint, sizeof(peer->endpoint), "http://127.0.0.1:%u", ntohs(address.sin_port));
	if (pthread_create(&peer->thread, NULL, serve, peer) != 0)
		abort();
	return peer;
}

const char *peer_endpoint(const struct peer *peer) { return peer->endpoint; }

struct str peer_finish(struct peer *peer)
{
	pthread_join(peer->thread, NULL);
	return buffer_str(&peer->heard);
}

void peer_free(struct peer *peer)
{
	close(peer->listener);
	buffer_fini(&peer->heard);
	free(peer);
}
