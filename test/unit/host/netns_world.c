#include "test/unit/host/netns_world.h"
#include <errno.h>
#include <fcntl.h>
#include <nftables/libnftables.h>
#include <poll.h>
#include <sched.h>
#include <stdlib.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include "os/fd.h"
#include "os/netlink.h"
#include "os/netns.h"

enum { SETTLE_MSEC = 20000 };

int __lsan_do_recoverable_leak_check(void) __attribute__((weak));

struct str path_of(struct world *world, const char *name)
{
	return arena_printf(&world->arena, "%s/%s", world->folder, name);
}

/* A wire between the host and another machine. */
static void make_other(struct world *world)
{
	auto_netlink here = {0}, there = {0};
	struct netlink_ipv4 address = {.address = 0x0a630001, .prefix = 24};

	CHECK_OK(netns_create(path_of(world, "other"), &world->other, err));
	CHECK_OK(netlink_open(&here, err) && netlink_open_in(&there, world->other, err));
	CHECK_OK(netlink_veth_create(&here, &(struct netlink_veth){
		.name = S("wire"), .peer = S("eth0"), .peer_netns = world->other, .peer_mac = {{2, 0, 0, 0, 0, 2}}}, err));
	CHECK_OK(netlink_link_index(&here, S("wire"), &address.link, err) && netlink_ipv4_add(&here, &address, err));
	address.address++;
	CHECK_OK(netlink_link_up(&there, S("eth0"), err) &&
		 netlink_link_index(&there, S("eth0"), &address.link, err) && netlink_ipv4_add(&there, &address, err));
	CHECK_OK(netlink_link_settle(&there, S("eth0"), err) && netlink_link_settle(&here, S("wire"), err));
}

static void make_host(struct world *world)
{
	auto_netlink netlink = {0};

	CHECK(unshare(CLONE_NEWNET | CLONE_NEWNS) == 0);
	CHECK(mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0);
	CHECK(mount("tmpfs", world->folder, "tmpfs", 0, NULL) == 0);
	CHECK_OK(netlink_open(&netlink, err) && netlink_link_up(&netlink, S("lo"), err));
	world->host = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
	CHECK(world->host >= 0);
}

static void live(struct world *world, void (*up)(struct world *), void (*body)(struct world *),
		 void (*down)(struct world *))
{
	make_host(world);
	make_other(world);
	up(world);
	body(world);
	down(world);
	fd_close(&world->host);
	fd_close(&world->other);
	arena_fini(&world->arena);
}

void world_run(void (*up)(struct world *world), void (*body)(struct world *world), void (*down)(struct world *world))
{
	struct world world = {.folder = "/tmp/wherry-netns-XXXXXX", .host = -1, .other = -1};
	int status;
	pid_t child;

	if (geteuid() != 0) {
		print_message("skipped: network namespaces need root\n");
		skip();
	}
	assert_non_null(mkdtemp(world.folder));
	child = fork();
	if (child == 0) {
		live(&world, up, body, down);
		_exit(__lsan_do_recoverable_leak_check && __lsan_do_recoverable_leak_check() ? 1 : 0);
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	rmdir(world.folder);
	assert_int_equal(status, 0);
}

size_t links(struct world *world, struct str prefix)
{
	auto_netlink netlink = {0};
	size_t count;

	CHECK_OK(netlink_open(&netlink, err) && netlink_links_count(&netlink, prefix, &count, err));
	return count;
}

bool settles(struct world *world, struct str prefix)
{
	for (int waited = 0; waited < SETTLE_MSEC && links(world, prefix); waited += 20)
		usleep(20000);
	return links(world, prefix) == 0;
}

struct str ruleset(struct world *world)
{
	struct nft_ctx *context = nft_ctx_new(NFT_CTX_DEFAULT);
	struct str text;

	nft_ctx_buffer_output(context);
	CHECK(nft_run_cmd_from_buffer(context, "list ruleset") == 0);
	text = arena_copy(&world->arena, str_of(nft_ctx_get_output_buffer(context)));
	nft_ctx_free(context);
	return text;
}

/* --- who reaches whom --- */

int socket_in(int netns, int type, int protocol)
{
	struct error err;
	int back, fd;

	CHECK(netns_enter(netns, &back, &err));
	fd = socket(AF_INET, type | SOCK_CLOEXEC | SOCK_NONBLOCK, protocol);
	netns_leave(back);
	CHECK(fd >= 0);
	return fd;
}

struct sockaddr_in address_of(const char *address, uint16_t port)
{
	struct sockaddr_in result = {.sin_family = AF_INET, .sin_port = htons(port)};

	CHECK(inet_pton(AF_INET, address, &result.sin_addr) == 1);
	return result;
}

int serve(int netns, int type, const char *address, uint16_t port)
{
	struct sockaddr_in at = address_of(address, port);
	int fd = socket_in(netns, type, 0), on = 1;

	CHECK(setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) == 0);
	CHECK(bind(fd, (struct sockaddr *)&at, sizeof(at)) == 0);
	CHECK(type != SOCK_STREAM || listen(fd, 16) == 0);
	return fd;
}

bool becomes_within(int fd, short events, int msec)
{
	struct pollfd poll_fd = {.fd = fd, .events = events};

	return poll(&poll_fd, 1, msec) == 1 && (poll_fd.revents & events);
}

bool say(int from, int to, int msec)
{
	char word[3] = "";

	return send(from, "hi", 2, MSG_NOSIGNAL) == 2 && becomes_within(to, POLLIN, msec) && recv(to, word, 2, 0) == 2 &&
	       !strcmp(word, "hi");
}

void hang_up(struct call *call)
{
	fd_close(&call->caller);
	fd_close(&call->accepted);
}

bool call_within(int server, int netns, const char *address, uint16_t port, int msec, struct call *call)
{
	struct sockaddr_in to = address_of(address, port), peer;
	socklen_t size = sizeof(peer);

	*call = (struct call){socket_in(netns, SOCK_STREAM, 0), -1, ""};
	if ((connect(call->caller, (struct sockaddr *)&to, sizeof(to)) == 0 || errno == EINPROGRESS) &&
	    becomes_within(server, POLLIN, msec)) {
		call->accepted = accept4(server, (struct sockaddr *)&peer, &size, SOCK_CLOEXEC | SOCK_NONBLOCK);
		inet_ntop(AF_INET, &peer.sin_addr, call->from, sizeof(call->from));
		if (call->accepted >= 0 && say(call->accepted, call->caller, msec) &&
		    say(call->caller, call->accepted, msec))
			return true;
	}
	hang_up(call);
	return false;
}

static bool hears(int server, int netns, const char *address, uint16_t port, int msec, const char *from)
{
	struct call call;
	bool ok = call_within(server, netns, address, port, msec, &call) && (!from || !strcmp(call.from, from));

	hang_up(&call);
	return ok;
}

bool reaches(int server, int netns, const char *address, uint16_t port)
{
	return hears(server, netns, address, port, ARRIVE_MSEC, NULL);
}

bool reaches_as(const char *from, int server, int netns, const char *address, uint16_t port)
{
	return hears(server, netns, address, port, ARRIVE_MSEC, from);
}

bool is_kept_out(int server, int netns, const char *address, uint16_t port)
{
	return !hears(server, netns, address, port, REACH_MSEC, NULL);
}
