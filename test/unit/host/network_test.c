/* The machine is not touched: each test runs in a child with network and mount namespaces of its own, which
 * play the host. A second namespace is another machine on the host's wire. */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <net/ethernet.h>
#include <net/if.h>
#include <netpacket/packet.h>
#include <nftables/libnftables.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>
#include "host/network.h"
#include "os/fd.h"
#include "os/netlink.h"
#include "os/netns.h"
#include "os/nft.h"
#include "test.h"

/* In the child, where cmocka's asserts would go on with the other tests. */
#define CHECK(condition) \
	do { \
		if (!(condition)) { \
			fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #condition); \
			fflush(stderr); \
			_exit(1); \
		} \
	} while (0)
#define CHECK_OK(call) \
	do { \
		struct error *err = &world->error; \
		if (!(call)) { \
			fprintf(stderr, "%s:%d: %s: %s\n", __FILE__, __LINE__, #call, err->text); \
			_exit(1); \
		} \
	} while (0)

enum {
	SKIPPED = 77,
	REACH_MSEC = 700,                                /* longer and it is not reached */
	SETTLE_MSEC = 15000,
	THREADS = 8,
	EACH = 25,
	CRASHES = 25,
};

#define HOST_ADDRESS "10.99.0.1"
#define OTHER_ADDRESS "10.99.0.2"

struct world {
	struct arena arena;
	struct error error;
	char folder[64];
	int host, other;                                 /* namespaces */
	struct network *network;
};

int __lsan_do_recoverable_leak_check(void) __attribute__((weak));

static struct network_options options(struct world *world)
{
	return (struct network_options){
		.bridge = S("wherry0"),
		.bridge_cidr = S("172.31.224.1/20"),
		.table = S("wherry"),
		.state_folder = arena_printf(&world->arena, "%s/network", world->folder),
		.port_low = 40000,
		.port_high = 40999,
	};
}

static struct str path_of(struct world *world, const char *name)
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

static void make_world(struct world *world)
{
	auto_netlink netlink = {0};
	struct network_options chosen;

	if (geteuid() != 0 || unshare(CLONE_NEWNET | CLONE_NEWNS) < 0)
		_exit(SKIPPED);
	CHECK(mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0);
	CHECK(mount("tmpfs", world->folder, "tmpfs", 0, NULL) == 0);
	CHECK_OK(netlink_open(&netlink, err) && netlink_link_up(&netlink, S("lo"), err));
	world->host = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
	make_other(world);
	chosen = options(world);
	CHECK_OK(network_new(&chosen, &world->network, err) && network_up(world->network, err));
}

static size_t links(struct world *world, struct str prefix)
{
	auto_netlink netlink = {0};
	size_t count;

	CHECK_OK(netlink_open(&netlink, err) && netlink_links_count(&netlink, prefix, &count, err));
	return count;
}

/* The kernel takes links away a moment after their namespace. */
static size_t links_left(struct world *world, struct str prefix)
{
	for (int waited = 0; waited < SETTLE_MSEC && links(world, prefix); waited += 20)
		usleep(20000);
	return links(world, prefix);
}

static struct str ruleset(struct world *world)
{
	struct nft_ctx *context = nft_ctx_new(NFT_CTX_DEFAULT);
	struct str text;

	nft_ctx_buffer_output(context);
	CHECK(nft_run_cmd_from_buffer(context, "list ruleset") == 0);
	text = arena_copy(&world->arena, str_of(nft_ctx_get_output_buffer(context)));
	nft_ctx_free(context);
	return text;
}

static void end_world(struct world *world)
{
	CHECK_OK(network_down(world->network, err));
	CHECK(links(world, S("wherry0")) == 0);
	CHECK(!str_contains(ruleset(world), S("wherry")));
	CHECK(access(path_of(world, "network").ptr, F_OK) < 0);
	CHECK_OK(network_down(world->network, err));     /* fine when there is nothing */
	network_free(world->network);
	fd_close(&world->host);
	fd_close(&world->other);
	arena_fini(&world->arena);
}

static void run(void (*body)(struct world *world))
{
	struct world world = {.folder = "/tmp/wherry-network-XXXXXX", .host = -1, .other = -1};
	int status;
	pid_t child;

	assert_non_null(mkdtemp(world.folder));
	child = fork();
	if (child == 0) {
		make_world(&world);
		body(&world);
		end_world(&world);
		_exit(__lsan_do_recoverable_leak_check && __lsan_do_recoverable_leak_check() ? 1 : 0);
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	rmdir(world.folder);
	if (WIFEXITED(status) && WEXITSTATUS(status) == SKIPPED) {
		print_message("skipped: network namespaces need root\n");
		skip();
	}
	assert_int_equal(status, 0);
}

/* --- who reaches whom --- */

static int socket_in(int netns, int type)
{
	struct error err;
	int back, fd;

	CHECK(netns_enter(netns, &back, &err));
	fd = socket(AF_INET, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	netns_leave(back);
	CHECK(fd >= 0);
	return fd;
}

static struct sockaddr_in address_of(const char *address, uint16_t port)
{
	struct sockaddr_in result = {.sin_family = AF_INET, .sin_port = htons(port)};

	CHECK(inet_pton(AF_INET, address, &result.sin_addr) == 1);
	return result;
}

static int serve(int netns, int type, const char *address, uint16_t port)
{
	struct sockaddr_in at = address_of(address, port);
	int fd = socket_in(netns, type), on = 1;

	CHECK(setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) == 0);
	CHECK(bind(fd, (struct sockaddr *)&at, sizeof(at)) == 0);
	CHECK(type != SOCK_STREAM || listen(fd, 16) == 0);
	return fd;
}

static bool becomes(int fd, short events)
{
	struct pollfd poll_fd = {.fd = fd, .events = events};

	return poll(&poll_fd, 1, REACH_MSEC) == 1 && (poll_fd.revents & events);
}

/* The server's word arrives at the caller; *ret_from is whom the server sees, unless NULL. */
static bool tcp_reaches(int server, int netns, const char *address, uint16_t port, struct str *ret_from)
{
	static char from[INET_ADDRSTRLEN];
	struct sockaddr_in to = address_of(address, port), peer;
	socklen_t peer_size = sizeof(peer);
	auto_fd caller = socket_in(netns, SOCK_STREAM), accepted = -1;
	char word[3] = "";

	if (connect(caller, (struct sockaddr *)&to, sizeof(to)) < 0 && errno != EINPROGRESS)
		return false;
	if (!becomes(server, POLLIN))
		return false;
	accepted = accept4(server, (struct sockaddr *)&peer, &peer_size, SOCK_CLOEXEC);
	if (accepted < 0 || write(accepted, "hi", 2) != 2 || !becomes(caller, POLLIN))
		return false;
	if (ret_from)
		*ret_from = str_of(inet_ntop(AF_INET, &peer.sin_addr, from, sizeof(from)));
	return read(caller, word, 2) == 2 && !strcmp(word, "hi");
}

static bool udp_reaches(int server, int netns, const char *address, uint16_t port)
{
	struct sockaddr_in to = address_of(address, port), from;
	socklen_t from_size = sizeof(from);
	auto_fd caller = socket_in(netns, SOCK_DGRAM);
	char word[8];

	if (sendto(caller, "ask", 3, 0, (struct sockaddr *)&to, sizeof(to)) != 3 || !becomes(server, POLLIN) ||
	    recvfrom(server, word, sizeof(word), 0, (struct sockaddr *)&from, &from_size) != 3)
		return false;
	return sendto(server, "hi", 2, 0, (struct sockaddr *)&from, from_size) == 2 && becomes(caller, POLLIN) &&
	       recv(caller, word, sizeof(word), 0) == 2;
}

struct container {
	const char *name;
	struct str netns_path, address;
	int netns;
	struct network_port ports[4];
	size_t port_count;
};

static bool attach(struct world *world, struct container *container)
{
	struct error *err = &world->error;

	container->netns_path = path_of(world, container->name);
	container->netns = -1;
	if (!network_attach_bridge(world->network, str_of(container->name), container->netns_path, container->ports,
				   container->port_count, &world->arena, &container->address, err))
		return false;
	container->netns = open(arena_cstr(&world->arena, container->netns_path), O_RDONLY | O_CLOEXEC);
	CHECK(container->netns >= 0);
	return true;
}

static void detach(struct world *world, struct container *container)
{
	fd_close(&container->netns);
	CHECK_OK(network_detach(world->network, str_of(container->name), container->netns_path, err));
	CHECK(access(arena_cstr(&world->arena, container->netns_path), F_OK) < 0);
}

static void reach_each_way(struct world *world)
{
	struct container web = {.name = "web", .ports = {{.container_port = 80, .host_port = 8080}, {.container_port = 81}},
				.port_count = 2};
	struct container client = {.name = "client"};
	struct str from;
	auto_fd server = -1, second = -1, outside = -1, direct = -1;

	CHECK(attach(world, &web) && attach(world, &client));
	CHECK(web.ports[0].host_port == 8080);
	CHECK(web.ports[1].host_port >= 40000 && web.ports[1].host_port <= 40999);
	server = serve(web.netns, SOCK_STREAM, "0.0.0.0", 80);
	second = serve(web.netns, SOCK_STREAM, "0.0.0.0", 81);
	CHECK(tcp_reaches(server, world->other, HOST_ADDRESS, 8080, &from));
	CHECK(str_equal(from, S(OTHER_ADDRESS)));        /* the caller's own address, as docker shows it */
	CHECK(tcp_reaches(second, world->other, HOST_ADDRESS, web.ports[1].host_port, NULL));
	CHECK(tcp_reaches(server, world->host, "127.0.0.1", 8080, NULL));
	CHECK(tcp_reaches(server, world->host, "127.1.2.3", 8080, NULL));
	CHECK(tcp_reaches(server, world->host, HOST_ADDRESS, 8080, NULL));
	CHECK(tcp_reaches(server, world->host, "172.31.224.1", 8080, NULL));
	CHECK(tcp_reaches(server, client.netns, HOST_ADDRESS, 8080, NULL));
	CHECK(tcp_reaches(server, client.netns, "172.31.224.1", 8080, NULL));
	CHECK(tcp_reaches(server, web.netns, HOST_ADDRESS, 8080, NULL));       /* itself, through the host */
	CHECK(tcp_reaches(server, web.netns, "172.31.224.1", 8080, NULL));
	CHECK(tcp_reaches(server, client.netns, arena_cstr(&world->arena, web.address), 80, NULL));
	outside = serve(world->other, SOCK_STREAM, "0.0.0.0", 9000);
	CHECK(tcp_reaches(outside, client.netns, OTHER_ADDRESS, 9000, &from));
	CHECK(str_equal(from, S(HOST_ADDRESS)));         /* masqueraded */
	direct = serve(client.netns, SOCK_STREAM, "0.0.0.0", 80);
	CHECK(!tcp_reaches(direct, world->other, HOST_ADDRESS, 80, NULL));
	fd_close(&server);
	fd_close(&second);
	fd_close(&direct);
	detach(world, &web);
	detach(world, &client);
	CHECK(!str_contains(ruleset(world), S("8080")));
	CHECK(links_left(world, S("wherry0-")) == 0);
}

static void reach_udp(struct world *world)
{
	struct container dns = {.name = "dns", .ports = {{.container_port = 53, .host_port = 5353, .udp = true}},
				.port_count = 1};
	struct container client = {.name = "client"};
	auto_fd server = -1;

	CHECK(attach(world, &dns) && attach(world, &client));
	server = serve(dns.netns, SOCK_DGRAM, "0.0.0.0", 53);
	CHECK(udp_reaches(server, world->other, HOST_ADDRESS, 5353));
	CHECK(udp_reaches(server, world->host, "127.0.0.1", 5353));
	CHECK(udp_reaches(server, client.netns, HOST_ADDRESS, 5353));
	detach(world, &dns);
	detach(world, &client);
}

/* A container that may send raw frames writes 127.0.0.1:7001 as the target. */
static void send_to_localhost(int netns)
{
	uint8_t frame[] = {
		0x0a, 0x57, 172, 31, 224, 1, 0x0a, 0x57, 172, 31, 224, 2, 8, 0,
		0x45, 0, 0, 30, 0, 1, 0, 0, 64, 17, 0, 0, 172, 31, 224, 2, 127, 0, 0, 1,
		0, 9, 7001 >> 8, 7001 & 255, 0, 10, 0, 0, 'h', 'i',
	};
	struct sockaddr_ll to = {.sll_family = AF_PACKET, .sll_protocol = htons(ETH_P_IP), .sll_halen = 6};
	uint32_t sum = 0;
	struct error err;
	int back, fd;

	for (int i = 14; i < 34; i += 2)
		sum += (uint32_t)(frame[i] << 8 | frame[i + 1]);
	sum = (sum & 0xffff) + (sum >> 16);
	frame[24] = (uint8_t)(~sum >> 8);
	frame[25] = (uint8_t)~sum;
	CHECK(netns_enter(netns, &back, &err));
	fd = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0);
	to.sll_ifindex = (int)if_nametoindex("eth0");
	CHECK(sendto(fd, frame, sizeof(frame), 0, (struct sockaddr *)&to, sizeof(to)) == sizeof(frame));
	close(fd);
	netns_leave(back);
}

static void guard_localhost(struct world *world)
{
	struct container web = {.name = "web"};
	auto_fd local = serve(world->host, SOCK_DGRAM, "127.0.0.1", 7001);

	CHECK(attach(world, &web) && str_equal(web.address, S("172.31.224.2")));
	send_to_localhost(web.netns);
	CHECK(!becomes(local, POLLIN));
	CHECK_OK(nft_run("flush chain ip wherry guard", err));
	send_to_localhost(web.netns);
	CHECK(becomes(local, POLLIN));                   /* so it was the guard that kept it away */
	detach(world, &web);
}

/* What forwarding and the bridge must not open. */
static void stay_closed(struct world *world)
{
	struct container web = {.name = "web"};
	auto_fd local = serve(world->host, SOCK_STREAM, "127.0.0.1", 7000), server = -1;
	auto_netlink netlink = {0};

	CHECK(attach(world, &web));
	server = serve(web.netns, SOCK_STREAM, "0.0.0.0", 80);
	CHECK_OK(netlink_open_in(&netlink, world->other, err) && netlink_ipv4_gateway(&netlink, 0x0a630001, err));
	CHECK(tcp_reaches(server, world->host, arena_cstr(&world->arena, web.address), 80, NULL));
	CHECK(!tcp_reaches(server, world->other, arena_cstr(&world->arena, web.address), 80, NULL));
	CHECK(!tcp_reaches(local, web.netns, "172.31.224.1", 7000, NULL));
	detach(world, &web);
}

static void refuse_conflicts(struct world *world)
{
	struct container first = {.name = "first", .ports = {{.container_port = 80, .host_port = 8080}}, .port_count = 1};
	struct container second = first, twice = first;
	auto_fd server = serve(world->host, SOCK_STREAM, "127.0.0.1", 8081), late = socket_in(world->host, SOCK_STREAM);
	struct sockaddr_in at = address_of("0.0.0.0", 8080);
	int on = 1;

	second.name = "second";
	CHECK(server >= 0);
	CHECK(attach(world, &first));
	CHECK(!attach(world, &second));
	CHECK(!strcmp(world->error.text, "Bind for 0.0.0.0:8080 failed: port is already allocated"));
	second.ports[0].host_port = 8081;
	CHECK(!attach(world, &second));
	CHECK(!strcmp(world->error.text, "Bind for 0.0.0.0:8081 failed: port is already allocated"));
	CHECK(access(second.netns_path.ptr, F_OK) < 0);
	setsockopt(late, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	CHECK(bind(late, (struct sockaddr *)&at, sizeof(at)) < 0 || listen(late, 1) < 0);
	twice.name = "twice";
	twice.ports[0].host_port = twice.ports[1].host_port = 8090;
	twice.port_count = 2;
	CHECK(!attach(world, &twice));
	twice.ports[1].udp = true;
	CHECK(attach(world, &twice));
	detach(world, &first);
	second.ports[0].host_port = 8080;
	CHECK(attach(world, &second));
	detach(world, &second);
	detach(world, &twice);
}

/* Another process has the same files: neither gives away what the other has. */
static void share_with_a_process(struct world *world)
{
	struct container here = {.name = "here", .ports = {{.container_port = 80, .host_port = 8080}}, .port_count = 1};
	struct container there = {.name = "there", .ports = {{.container_port = 80}}, .port_count = 1};
	struct container third = here;
	struct network *mine = world->network;
	struct network_options chosen = options(world);

	CHECK(attach(world, &here));
	CHECK_OK(network_new(&chosen, &world->network, err));
	CHECK(attach(world, &there));
	CHECK(!str_equal(here.address, there.address));
	third.name = "third";
	CHECK(!attach(world, &third));
	detach(world, &there);
	detach(world, &here);                            /* what the other made, as after a restart */
	network_free(world->network);
	world->network = mine;
	CHECK(links_left(world, S("wherry0-")) == 0);
}

static void mend(struct world *world)
{
	struct container web = {.name = "web", .ports = {{.container_port = 80, .host_port = 8080}}, .port_count = 1};
	struct nft_ctx *context = nft_ctx_new(NFT_CTX_DEFAULT);
	auto_fd server = -1;

	CHECK(attach(world, &web));
	server = serve(web.netns, SOCK_STREAM, "0.0.0.0", 80);
	CHECK(nft_run_cmd_from_buffer(context, "flush ruleset") == 0);
	nft_ctx_free(context);
	CHECK(!tcp_reaches(server, world->other, HOST_ADDRESS, 8080, NULL));
	CHECK_OK(network_up(world->network, err));
	CHECK(tcp_reaches(server, world->other, HOST_ADDRESS, 8080, NULL));
	detach(world, &web);
	CHECK(!str_contains(ruleset(world), S("8080")));
}

/* The namespace lingers, as one does whose last connections are still closing; its address is given away. */
static void take_over(struct world *world, struct container *container)
{
	auto_fd lingers = socket_in(container->netns, SOCK_STREAM), server = -1;
	struct str address = container->address;

	CHECK(lingers >= 0);
	detach(world, container);
	CHECK(attach(world, container) && str_equal(container->address, address));
	server = serve(container->netns, SOCK_STREAM, "0.0.0.0", 80);
	CHECK(tcp_reaches(server, world->host, arena_cstr(&world->arena, address), 80, NULL));
}

static void run_out(struct world *world)
{
	struct network_options narrow = options(world);
	struct network *wide = world->network;
	struct container items[6] = {{.name = "a"}, {.name = "b"}, {.name = "c"}, {.name = "d"}, {.name = "e"}, {.name = "f"}};
	struct network_port many[NETWORK_PORTS_LIMIT + 1] = {0};
	struct container all = {.name = "all", .ports = {{80, 0, false}, {81, 0, false}, {82, 0, false}}, .port_count = 3};
	struct str address;

	CHECK_OK(network_down(wide, err));
	narrow.bridge_cidr = S("172.31.224.1/29");
	narrow.port_low = 40000;
	narrow.port_high = 40001;
	CHECK_OK(network_new(&narrow, &world->network, err) && network_up(world->network, err));
	for (int i = 0; i < 5; i++)
		CHECK(attach(world, &items[i]));
	CHECK(!attach(world, &items[5]));
	CHECK(!strcmp(world->error.text, "no address is free: all 5 of the bridge are in use"));
	take_over(world, &items[4]);
	detach(world, &items[4]);
	CHECK(!attach(world, &all));
	CHECK(!strcmp(world->error.text, "Bind for 0.0.0.0:0 failed: all ports are allocated"));
	for (int i = 0; i <= NETWORK_PORTS_LIMIT; i++)
		many[i] = (struct network_port){.container_port = 80, .host_port = (uint16_t)(1000 + i)};
	CHECK(!network_attach_bridge(world->network, S("many"), path_of(world, "many"), many, NETWORK_PORTS_LIMIT + 1,
				     &world->arena, &address, &world->error));
	CHECK_OK(network_attach_bridge(world->network, S("many"), path_of(world, "many"), many, NETWORK_PORTS_LIMIT,
				       &world->arena, &address, err));
	CHECK_OK(network_detach(world->network, S("many"), path_of(world, "many"), err));
	for (int i = 0; i < 4; i++)
		detach(world, &items[i]);
	CHECK_OK(network_down(world->network, err));
	network_free(world->network);
	world->network = wide;
}

static void none_and_nothing(struct world *world)
{
	struct str path = path_of(world, "alone");
	struct container ghost = {.name = "ghost", .netns_path = path_of(world, "ghost"), .netns = -1};
	auto_fd netns = -1, server = -1;

	detach(world, &ghost);
	CHECK_OK(network_attach_none(world->network, path, err) && network_attach_none(world->network, path, err));
	netns = open(path.ptr, O_RDONLY | O_CLOEXEC);
	server = serve(netns, SOCK_STREAM, "127.0.0.1", 80);
	CHECK(tcp_reaches(server, netns, "127.0.0.1", 80, NULL));
	CHECK(!tcp_reaches(server, netns, HOST_ADDRESS, 80, NULL));
	CHECK_OK(network_detach(world->network, S("alone"), path, err));
	CHECK(access(path.ptr, F_OK) < 0);
}

static void refuse_overlap(struct world *world)
{
	struct network_options wrong = options(world);
	struct network *network;

	wrong.bridge = S("second0");
	wrong.bridge_cidr = S("10.99.0.129/25");
	CHECK_OK(network_new(&wrong, &network, err));
	CHECK(!network_up(network, &world->error));
	CHECK(str_contains(str_of(world->error.text), S("overlaps 10.99.0.1/24")));
	network_free(network);
	wrong.bridge_cidr = S("10.99.0.1");
	CHECK(!network_new(&wrong, &network, &world->error));
	wrong.bridge_cidr = S("172.31.0.1/12");
	CHECK(!network_new(&wrong, &network, &world->error));
	wrong = options(world);
	wrong.bridge = S("a\" drop");
	CHECK(!network_new(&wrong, &network, &world->error));
}

struct worker {
	struct world *world;
	int number;
};

static void *come_and_go(void *arg)
{
	struct worker *worker = arg;
	struct network *network = worker->world->network;

	for (int i = 0; i < EACH; i++) {
		auto_arena arena = {0};
		struct network_port ports[] = {{.container_port = 80}, {.container_port = 53, .udp = true}};
		struct str owner = arena_printf(&arena, "task%d/c%d", worker->number, i), address;
		struct str path = arena_printf(&arena, "%s/n%d-%d", worker->world->folder, worker->number, i);
		struct error err;

		if (!network_attach_bridge(network, owner, path, ports, 2, &arena, &address, &err) ||
		    !network_detach(network, owner, path, &err)) {
			fprintf(stderr, "%s\n", err.text);
			_exit(1);
		}
	}
	return NULL;
}

static void in_parallel(struct world *world)
{
	pthread_t threads[THREADS];
	struct worker workers[THREADS];

	for (int i = 0; i < THREADS; i++) {
		workers[i] = (struct worker){world, i};
		CHECK(pthread_create(&threads[i], NULL, come_and_go, &workers[i]) == 0);
	}
	for (int i = 0; i < THREADS; i++)
		pthread_join(threads[i], NULL);
	CHECK(links_left(world, S("wherry0-")) == 0);
	CHECK(!str_contains(ruleset(world), S("elements")));
}

static void die_half_way(struct world *world)
{
	for (int i = 0; i < CRASHES; i++) {
		pid_t child = fork();
		int status;

		if (child == 0)
			for (;;)
				come_and_go(&(struct worker){world, 0});
		usleep(3000 + i * 431);
		kill(child, SIGKILL);
		CHECK(waitpid(child, &status, 0) == child && WIFSIGNALED(status));
		for (int j = 0; j < EACH; j++) {
			auto_arena arena = {0};
			struct str path = arena_printf(&arena, "%s/n0-%d", world->folder, j);

			CHECK_OK(network_detach(world->network, arena_printf(&arena, "task0/c%d", j), path, err));
			CHECK(access(arena_cstr(&arena, path), F_OK) < 0);
		}
		CHECK(!str_contains(ruleset(world), S("elements")));
	}
	CHECK(links_left(world, S("wherry0-")) == 0);
}

TEST(a_published_tcp_port_is_reached_from_everywhere) { run(reach_each_way); }
TEST(a_published_udp_port_is_reached_from_everywhere) { run(reach_udp); }
TEST(localhost_routing_does_not_open_the_hosts_localhost) { run(guard_localhost); }
TEST(what_is_not_published_stays_closed) { run(stay_closed); }
TEST(a_host_port_in_use_is_refused_in_dockers_words) { run(refuse_conflicts); }
TEST(two_processes_share_the_bookings) { run(share_with_a_process); }
TEST(a_flushed_ruleset_is_mended) { run(mend); }
TEST(addresses_and_ports_run_out_with_clear_errors) { run(run_out); }
TEST(no_network_is_loopback_only) { run(none_and_nothing); }
TEST(a_bridge_range_that_overlaps_is_refused) { run(refuse_overlap); }
TEST(two_hundred_in_parallel_leave_nothing) { run(in_parallel); }
TEST(a_crash_half_way_is_taken_back) { run(die_half_way); }
