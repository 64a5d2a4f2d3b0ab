#include <fcntl.h>
#include <net/ethernet.h>
#include <net/if.h>
#include <netpacket/packet.h>
#include <nftables/libnftables.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <sys/wait.h>
#include "host/network.h"
#include "os/fd.h"
#include "os/netlink.h"
#include "os/netns.h"
#include "os/nft.h"
#include "test/unit/host/netns_world.h"

enum {
	THREADS = 8,
	EACH = 25,
	CRASHES = 25,
};

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

static void make_network(struct world *world)
{
	struct network_options chosen = options(world);

	CHECK_OK(network_new(&chosen, &world->network, err) && network_up(world->network, err));
}

static void end_network(struct world *world)
{
	CHECK_OK(network_down(world->network, err));
	CHECK(links(world, S("wherry0")) == 0);
	CHECK(!str_contains(ruleset(world), S("wherry")));
	CHECK(access(path_of(world, "network").ptr, F_OK) < 0);
	CHECK_OK(network_down(world->network, err));     /* fine when there is nothing */
	network_free(world->network);
}

static void run(void (*body)(struct world *world))
{
	world_run(make_network, body, end_network);
}

static bool udp_reaches(int server, int netns, const char *address, uint16_t port)
{
	struct sockaddr_in to = address_of(address, port), from;
	socklen_t from_size = sizeof(from);
	auto_fd caller = socket_in(netns, SOCK_DGRAM, 0);
	char word[8];

	if (sendto(caller, "ask", 3, 0, (struct sockaddr *)&to, sizeof(to)) != 3 ||
	    !becomes_within(server, POLLIN, ARRIVE_MSEC) ||
	    recvfrom(server, word, sizeof(word), 0, (struct sockaddr *)&from, &from_size) != 3)
		return false;
	return sendto(server, "hi", 2, 0, (struct sockaddr *)&from, from_size) == 2 &&
	       becomes_within(caller, POLLIN, ARRIVE_MSEC) && recv(caller, word, sizeof(word), 0) == 2;
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
	auto_fd server = -1, second = -1, outside = -1, direct = -1;

	CHECK(attach(world, &web) && attach(world, &client));
	CHECK(web.ports[0].host_port == 8080);
	CHECK(web.ports[1].host_port >= 40000 && web.ports[1].host_port <= 40999);
	server = serve(web.netns, SOCK_STREAM, "0.0.0.0", 80);
	second = serve(web.netns, SOCK_STREAM, "0.0.0.0", 81);
	CHECK(reaches_as(OTHER_ADDRESS, server, world->other, HOST_ADDRESS, 8080));    /* as docker shows it */
	CHECK(reaches(second, world->other, HOST_ADDRESS, web.ports[1].host_port));
	CHECK(reaches(server, world->host, "127.0.0.1", 8080));
	CHECK(reaches(server, world->host, "127.1.2.3", 8080));
	CHECK(reaches(server, world->host, HOST_ADDRESS, 8080));
	CHECK(reaches(server, world->host, "172.31.224.1", 8080));
	CHECK(reaches(server, client.netns, HOST_ADDRESS, 8080));
	CHECK(reaches(server, client.netns, "172.31.224.1", 8080));
	CHECK(reaches(server, web.netns, HOST_ADDRESS, 8080));       /* itself, through the host */
	CHECK(reaches(server, web.netns, "172.31.224.1", 8080));
	CHECK(reaches(server, client.netns, arena_cstr(&world->arena, web.address), 80));
	outside = serve(world->other, SOCK_STREAM, "0.0.0.0", 9000);
	CHECK(reaches_as(HOST_ADDRESS, outside, client.netns, OTHER_ADDRESS, 9000));   /* masqueraded */
	direct = serve(client.netns, SOCK_STREAM, "0.0.0.0", 80);
	CHECK(is_kept_out(direct, world->other, HOST_ADDRESS, 80));
	fd_close(&server);
	fd_close(&second);
	fd_close(&direct);
	detach(world, &web);
	detach(world, &client);
	CHECK(!str_contains(ruleset(world), S("8080")));
	CHECK(settles(world, S("wherry0-")));
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
	CHECK(!becomes_within(local, POLLIN, REACH_MSEC));
	CHECK_OK(nft_run("flush chain ip wherry guard", err));
	send_to_localhost(web.netns);
	CHECK(becomes_within(local, POLLIN, ARRIVE_MSEC));     /* so it was the guard that kept it away */
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
	CHECK(reaches(server, world->host, arena_cstr(&world->arena, web.address), 80));
	CHECK(is_kept_out(server, world->other, arena_cstr(&world->arena, web.address), 80));
	CHECK(is_kept_out(local, web.netns, "172.31.224.1", 7000));
	detach(world, &web);
}

static void refuse_conflicts(struct world *world)
{
	struct container first = {.name = "first", .ports = {{.container_port = 80, .host_port = 8080}}, .port_count = 1};
	struct container second = first, twice = first;
	auto_fd server = serve(world->host, SOCK_STREAM, "127.0.0.1", 8081);
	auto_fd late = socket_in(world->host, SOCK_STREAM, 0);
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
	CHECK(settles(world, S("wherry0-")));
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
	CHECK(is_kept_out(server, world->other, HOST_ADDRESS, 8080));
	CHECK_OK(network_up(world->network, err));
	CHECK(reaches(server, world->other, HOST_ADDRESS, 8080));
	detach(world, &web);
	CHECK(!str_contains(ruleset(world), S("8080")));
}

/* The namespace lingers, as one does whose last connections are still closing; its address is given away. */
static void take_over(struct world *world, struct container *container)
{
	auto_fd lingers = socket_in(container->netns, SOCK_STREAM, 0), server = -1;
	struct str address = container->address;

	CHECK(lingers >= 0);
	detach(world, container);
	CHECK(attach(world, container) && str_equal(container->address, address));
	server = serve(container->netns, SOCK_STREAM, "0.0.0.0", 80);
	CHECK(reaches(server, world->host, arena_cstr(&world->arena, address), 80));
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
	CHECK(reaches(server, netns, "127.0.0.1", 80));
	CHECK(is_kept_out(server, netns, HOST_ADDRESS, 80));
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
	CHECK(settles(world, S("wherry0-")));
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
	CHECK(settles(world, S("wherry0-")));
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
