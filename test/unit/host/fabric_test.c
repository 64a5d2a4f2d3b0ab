#include <errno.h>
#include <fcntl.h>
#include <netinet/ip_icmp.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include "base/buffer.h"
#include "host/dns.h"
#include "host/fabric.h"
#include "os/clock.h"
#include "os/fd.h"
#include "os/file.h"
#include "os/netlink.h"
#include "os/netns.h"
#include "test/unit/host/netns_world.h"
#include "wire/json.h"

enum {
	PATIENCE_SEC = 10,
	MANY = 500,
	THREADS = 5,
};

#define VPC_A "{\"id\":\"vpc-a\",\"blocks\":[\"10.0.0.0/16\"],\"resolver\":false}"
#define VPC_B "{\"id\":\"vpc-b\",\"blocks\":[\"10.0.0.0/16\"],\"resolver\":false}"
#define ALL_OUT "\"egress\":[{\"protocol\":\"-1\",\"blocks\":[\"0.0.0.0/0\",\"::/0\"]}]"
#define ALL_IN "\"ingress\":[{\"protocol\":\"-1\",\"blocks\":[\"0.0.0.0/0\"]}]"

static struct fabric *open_fabric(struct world *world)
{
	struct fabric_options options = {
		.run = str_of(world->folder), .prefix = S("wherry"), .table = S("wherry-vpc"),
		.resolv_conf = path_of(world, "resolv.conf"),
	};
	struct fabric *fabric;

	CHECK_OK(fabric_new(&options, &fabric, err));
	return fabric;
}

static void make_fabric(struct world *world)
{
	CHECK_OK(file_write(AT_FDCWD, path_of(world, "resolv.conf").ptr, S("nameserver 127.0.0.1\n"), 0644, err));
	world->fabric = open_fabric(world);
}

static void nothing_is_left(struct world *world)
{
	auto_arena arena = {0};
	struct str text;

	CHECK(links(world, S("wherry")) == 0);
	CHECK(!str_contains(ruleset(world), S("wherry")));
	CHECK(access(path_of(world, "vpc").ptr, F_OK) < 0);
	CHECK_OK(file_read(AT_FDCWD, "/proc/self/net/route", 1 << 20, &arena, &text, err));
	CHECK(!str_contains(text, S("wherry")));
	CHECK_OK(file_read(AT_FDCWD, "/proc/self/mountinfo", 1 << 20, &arena, &text, err));
	CHECK(!str_contains(text, arena_printf(&arena, "%s/vpc", world->folder)));
}

static void end_fabric(struct world *world)
{
	CHECK_OK(fabric_down(world->fabric, err));
	nothing_is_left(world);
	CHECK_OK(fabric_down(world->fabric, err));       /* fine when there is nothing */
	fabric_free(world->fabric);
}

static void run(void (*body)(struct world *world))
{
	world_run(make_fabric, body, end_fabric);
}

/* --- what the server says --- */

static bool tell_in(struct world *world, struct fabric *fabric, bool full, struct str text)
{
	auto_arena arena = {0};
	struct json_fault fault = {0};
	void *news;

	text = arena_printf(&arena, "{\"epoch\":\"e\",\"version\":%lld,\"full\":%s,%.*s}", (long long)++world->version,
			    full ? "true" : "false", STR(text));
	if (!json_decode(&shape_wherry_watch_network_response, text, &arena, &news, &fault)) {
		fprintf(stderr, "%s\n", fault.error.text);
		_exit(1);
	}
	return fabric_apply(fabric, news, &world->error);
}

static void tell(struct world *world, const char *text)
{
	CHECK_OK(tell_in(world, world->fabric, true, str_of(text)) || !err);
}
static void tell_more(struct world *world, const char *text)
{
	CHECK_OK(tell_in(world, world->fabric, false, str_of(text)) || !err);
}

/* As if so much time had passed. */
static void settle_after(struct world *world, int seconds)
{
	CHECK_OK(fabric_settle(world->fabric, clock_monotonic() + seconds * USEC_PER_SEC, err));
}

struct task {
	const char *name, *id;                           /* of the interface */
	struct str path;
	int netns;
};

static bool attach(struct world *world, struct task *task, usec patience)
{
	struct acs_elastic_network_interface eni = {.ec2_id = str_of(task->id)};

	task->path = path_of(world, task->name);
	task->netns = -1;
	if (!fabric_attach(world->fabric, str_of(task->name), task->path, &eni, patience, &world->error))
		return false;
	task->netns = open(arena_cstr(&world->arena, task->path), O_RDONLY | O_CLOEXEC);
	CHECK(task->netns >= 0);
	return true;
}

static void detach(struct world *world, struct task *task)
{
	fd_close(&task->netns);
	CHECK_OK(fabric_detach(world->fabric, str_of(task->name), task->path, err));
	CHECK(access(arena_cstr(&world->arena, task->path), F_OK) < 0);
}

static void attach_all(struct world *world, struct task *tasks, size_t count)
{
	for (size_t i = 0; i < count; i++)
		CHECK_OK(attach(world, &tasks[i], PATIENCE_SEC * USEC_PER_SEC) || !err);
}

static void detach_all(struct world *world, struct task *tasks, size_t count)
{
	for (size_t i = 0; i < count; i++)
		detach(world, &tasks[i]);
}

/* --- who reaches whom --- */

static bool pings(int netns, const char *address, int msec)
{
	struct sockaddr_in to = address_of(address, 0);
	struct icmphdr echo = {.type = ICMP_ECHO};
	auto_fd fd = socket_in(netns, SOCK_DGRAM, IPPROTO_ICMP);
	char reply[64];

	return sendto(fd, &echo, sizeof(echo), 0, (struct sockaddr *)&to, sizeof(to)) == sizeof(echo) &&
	       becomes_within(fd, POLLIN, msec) && recv(fd, reply, sizeof(reply), 0) >= (ssize_t)sizeof(echo);
}

static bool hears_datagram(int server, int netns, const char *source, const char *address, uint16_t port, int msec)
{
	struct sockaddr_in to = address_of(address, port), from = address_of(source, 0);
	auto_fd fd = socket_in(netns, SOCK_DGRAM, 0);
	char word[8];

	CHECK(bind(fd, (struct sockaddr *)&from, sizeof(from)) == 0);
	if (sendto(fd, "hi", 2, 0, (struct sockaddr *)&to, sizeof(to)) != 2)
		return false;
	return becomes_within(server, POLLIN, msec) && recv(server, word, sizeof(word), 0) == 2;
}

/* --- security groups --- */

#define INTERFACE(name, vpc, address, groups) \
	"{\"id\":\"eni-" name "\",\"vpc\":\"" vpc "\",\"subnet\":\"subnet-1\",\"subnetBlock\":\"10.0.0.0/20\"," \
	"\"mac\":\"02:00:00:00:00:0a\",\"address\":\"" address "\",\"groups\":[" groups "]}"
#define GROUP(id, members, rules) "{\"id\":\"" id "\",\"vpc\":\"vpc-a\",\"members\":[" members "]," rules "}"
#define THREE \
	"\"vpcs\":[" VPC_A "],\"interfaces\":[" INTERFACE("web", "vpc-a", "10.0.0.10", "\"sg-web\",\"sg-more\"") "," \
	INTERFACE("client", "vpc-a", "10.0.0.20", "\"sg-client\"") "," INTERFACE("third", "vpc-a", "10.0.1.30", "\"sg-third\"") "]," \
	"\"groups\":[" GROUP("sg-client", "\"10.0.0.20\"", ALL_OUT) ","
#define THIRD GROUP("sg-third", "\"10.0.1.30\"", "\"egress\":[{\"protocol\":\"tcp\",\"fromPort\":80,\"toPort\":81," \
		    "\"blocks\":[\"10.0.0.0/24\"]}]")

static void filter(struct world *world)
{
	struct task tasks[] = {{"web", "eni-web"}, {"client", "eni-client"}, {"third", "eni-third"}};
	int web, client, third;
	auto_fd by_group = -1, by_block = -1, by_more = -1, closed = -1, reverse = -1;

	tell(world, THREE THIRD ","
	     GROUP("sg-web", "\"10.0.0.10\"", "\"ingress\":["
		   "{\"protocol\":\"tcp\",\"fromPort\":80,\"toPort\":80,\"groups\":[\"sg-client\"]},"
		   "{\"protocol\":\"tcp\",\"fromPort\":81,\"toPort\":82,\"blocks\":[\"192.168.0.0/16\",\"10.0.1.0/24\"]},"
		   "{\"protocol\":\"icmp\",\"fromPort\":8,\"toPort\":-1,\"groups\":[\"sg-client\"]}]") ","
	     GROUP("sg-more", "\"10.0.0.10\"", "\"ingress\":[{\"protocol\":\"6\",\"fromPort\":90,\"toPort\":95,"
		   "\"blocks\":[\"0.0.0.0/0\"]}]") "]");
	attach_all(world, tasks, COUNT(tasks));
	web = tasks[0].netns, client = tasks[1].netns, third = tasks[2].netns;
	by_group = serve(web, SOCK_STREAM, "0.0.0.0", 80);
	by_block = serve(web, SOCK_STREAM, "0.0.0.0", 82);
	by_more = serve(web, SOCK_STREAM, "0.0.0.0", 93);
	closed = serve(web, SOCK_STREAM, "0.0.0.0", 8080);
	reverse = serve(client, SOCK_STREAM, "0.0.0.0", 80);
	CHECK(reaches(by_group, client, "10.0.0.10", 80));
	CHECK(is_kept_out(by_group, third, "10.0.0.10", 80));          /* not of the group */
	CHECK(is_kept_out(by_block, client, "10.0.0.10", 82));         /* not of the block */
	CHECK(is_kept_out(by_block, third, "10.0.0.10", 82));          /* may not go there itself */
	fd_close(&by_block);
	by_block = serve(web, SOCK_STREAM, "0.0.0.0", 81);
	CHECK(reaches(by_block, third, "10.0.0.10", 81));
	CHECK(reaches(by_more, client, "10.0.0.10", 93));              /* the union of its groups */
	CHECK(is_kept_out(closed, client, "10.0.0.10", 8080));
	CHECK(is_kept_out(reverse, web, "10.0.0.20", 80));             /* web may not go anywhere, client lets nobody in */
	CHECK(pings(client, "10.0.0.10", ARRIVE_MSEC));
	CHECK(!pings(third, "10.0.0.10", REACH_MSEC));
	CHECK(!pings(client, "10.0.1.30", REACH_MSEC));
	CHECK(is_kept_out(closed, client, "10.0.9.9", 80));            /* an address that nobody has */
	detach_all(world, tasks, COUNT(tasks));
}

#define OPEN_WEB GROUP("sg-web", "\"10.0.0.10\"", ALL_IN "," ALL_OUT)
#define WEB_FROM(group) \
	GROUP("sg-web", "\"10.0.0.10\"", "\"ingress\":[{\"protocol\":\"tcp\",\"fromPort\":80,\"toPort\":80,\"groups\":[\"" group "\"]}]")

static void change(struct world *world)
{
	struct task tasks[] = {{"web", "eni-web"}, {"client", "eni-client"}, {"third", "eni-third"}};
	struct call first, second;
	auto_fd server = -1;
	int client, third;

	tell(world, THREE THIRD "," OPEN_WEB "]");
	attach_all(world, tasks, COUNT(tasks));
	server = serve(tasks[0].netns, SOCK_STREAM, "0.0.0.0", 80);
	client = tasks[1].netns, third = tasks[2].netns;
	CHECK(call_within(server, client, "10.0.0.10", 80, ARRIVE_MSEC, &first));
	CHECK(call_within(server, third, "10.0.0.10", 80, ARRIVE_MSEC, &second));
	tell_more(world, "\"groups\":[" WEB_FROM("sg-client") "]");
	CHECK(say(first.caller, first.accepted, ARRIVE_MSEC) && say(first.accepted, first.caller, ARRIVE_MSEC));
	CHECK(!say(second.caller, second.accepted, REACH_MSEC));       /* its rule is gone: neither way */
	CHECK(!say(second.accepted, second.caller, REACH_MSEC));
	CHECK(is_kept_out(server, third, "10.0.0.10", 80));
	tell_more(world, "\"groups\":[" GROUP("sg-client", "", ALL_OUT) "]");  /* client left its group */
	CHECK(!say(first.accepted, first.caller, REACH_MSEC));
	tell_more(world, "\"groups\":[" GROUP("sg-client", "\"10.0.0.20\"", ALL_OUT) "]");
	CHECK(reaches(server, client, "10.0.0.10", 80));
	tell_more(world, "\"groups\":[{\"id\":\"sg-client\"}]");        /* and now there is no such group */
	CHECK(is_kept_out(server, client, "10.0.0.10", 80));
	tell(world, "\"vpcs\":[]");                                     /* nor anything else */
	CHECK(is_kept_out(server, third, "10.0.0.10", 80));
	hang_up(&first);
	hang_up(&second);
	detach_all(world, tasks, COUNT(tasks));
}

/* What was once said of an address must not open it for who has it next. */
static void forget(struct world *world)
{
	struct task tasks[] = {{"web", "eni-web"}, {"client", "eni-client"}}, heir = {"heir", "eni-heir"};
	auto_fd server = -1;

	tell(world, THREE THIRD "," OPEN_WEB "]");
	attach_all(world, tasks, COUNT(tasks));
	server = serve(tasks[0].netns, SOCK_STREAM, "0.0.0.0", 80);
	CHECK(reaches(server, tasks[1].netns, "10.0.0.10", 80));
	fd_close(&server);
	detach(world, &tasks[0]);
	tell_more(world, "\"gone\":[\"eni-web\"]");
	tell_more(world, "\"interfaces\":[" INTERFACE("heir", "vpc-a", "10.0.0.10", "\"sg-heir\"") "],\"groups\":["
		  GROUP("sg-heir", "\"10.0.0.10\"", ALL_OUT) "]");
	attach_all(world, &heir, 1);
	server = serve(heir.netns, SOCK_STREAM, "0.0.0.0", 80);
	CHECK(is_kept_out(server, tasks[1].netns, "10.0.0.10", 80));
	CHECK(!attach(world, &tasks[0], USEC_PER_SEC / 20));
	detach(world, &heir);
	detach(world, &tasks[1]);
}

/* One thing that cannot be understood is closed; the rest holds. */
static void not_understood(struct world *world)
{
	struct task tasks[] = {{"web", "eni-web"}, {"client", "eni-client"}};
	auto_fd server = -1;

	CHECK(!tell_in(world, world->fabric, true, S(THREE THIRD "," OPEN_WEB ","
		       GROUP("sg-bad", "\"10.0.0.77\"", "\"ingress\":[{\"protocol\":\"tcp; drop\",\"blocks\":[\"0.0.0.0/0\"]}]") "]")));
	CHECK(str_contains(str_of(world->error.text), S("security group 'sg-bad': unknown protocol")));
	CHECK(!tell_in(world, world->fabric, false, S("\"groups\":[" GROUP("sg a", "", ALL_IN) "]")));
	CHECK(!tell_in(world, world->fabric, false, S("\"groups\":[" GROUP("sg-b", "\"1.2.3\"", ALL_IN) "]")));
	CHECK(!tell_in(world, world->fabric, false, S("\"vpcs\":[{\"id\":\"../x\",\"blocks\":[\"10.0.0.0/16\"]}]")));
	CHECK(!tell_in(world, world->fabric, false, S("\"interfaces\":[" INTERFACE("x", "vpc-a", "10.0.99.1", "") "]")));
	attach_all(world, tasks, COUNT(tasks));
	server = serve(tasks[0].netns, SOCK_STREAM, "0.0.0.0", 80);
	CHECK(reaches(server, tasks[1].netns, "10.0.0.10", 80));
	detach_all(world, tasks, COUNT(tasks));
}

/* AWS allows 1000 rules an interface at most; one more is refused, and the group closed. */
static void too_many_rules(struct world *world)
{
	struct task tasks[] = {{"web", "eni-web"}, {"client", "eni-client"}};
	auto_fd server = -1;

	for (int count = 1000; count <= 1001; count++) {
		auto_buffer text = {0};

		buffer_add(&text, S(THREE "{\"id\":\"sg-web\",\"vpc\":\"vpc-a\",\"members\":[\"10.0.0.10\"],"
				    "\"ingress\":[{\"protocol\":\"tcp\",\"fromPort\":80,\"toPort\":80,\"blocks\":["));
		for (int i = 1; i < count; i++)
			buffer_printf(&text, "\"192.0.%d.%d/32\",", i / 250, i % 250);
		buffer_add(&text, S("\"10.0.0.20/32\"]}]}]"));
		CHECK(tell_in(world, world->fabric, true, buffer_str(&text)) == (count == 1000));
		if (count == 1000)
			attach_all(world, tasks, COUNT(tasks));
		if (count == 1000)
			server = serve(tasks[0].netns, SOCK_STREAM, "0.0.0.0", 80);
		if (count == 1000)
			CHECK(reaches(server, tasks[1].netns, "10.0.0.10", 80));
	}
	CHECK(str_contains(str_of(world->error.text), S("over 1000 rules in one direction")));
	CHECK(is_kept_out(server, tasks[1].netns, "10.0.0.10", 80));
	detach_all(world, tasks, COUNT(tasks));
}

/* --- who is who --- */

#define TWINS \
	"\"vpcs\":[" VPC_A "," VPC_B "],\"interfaces\":[" INTERFACE("a", "vpc-a", "10.0.0.5", "\"sg-a\"") "," \
	INTERFACE("a2", "vpc-a", "10.0.0.6", "\"sg-a\"") "," INTERFACE("b", "vpc-b", "10.0.0.5", "\"sg-b\"") "," \
	INTERFACE("b2", "vpc-b", "10.0.0.7", "\"sg-b\"") "],\"groups\":[" \
	"{\"id\":\"sg-a\",\"vpc\":\"vpc-a\",\"members\":[\"10.0.0.5\",\"10.0.0.6\"]," ALL_IN "," ALL_OUT "}," \
	"{\"id\":\"sg-b\",\"vpc\":\"vpc-b\",\"members\":[\"10.0.0.5\",\"10.0.0.7\"]," ALL_IN "," ALL_OUT "}]"

static void isolate(struct world *world)
{
	struct task tasks[] = {{"a", "eni-a"}, {"a2", "eni-a2"}, {"b", "eni-b"}, {"b2", "eni-b2"}};
	auto_fd in_a = -1, in_b = -1, only_b = -1;

	tell(world, TWINS);
	attach_all(world, tasks, COUNT(tasks));
	in_a = serve(tasks[0].netns, SOCK_STREAM, "0.0.0.0", 80);
	in_b = serve(tasks[2].netns, SOCK_STREAM, "0.0.0.0", 80);
	only_b = serve(tasks[3].netns, SOCK_STREAM, "0.0.0.0", 80);
	CHECK(reaches(in_a, tasks[1].netns, "10.0.0.5", 80));
	CHECK(reaches(in_b, tasks[3].netns, "10.0.0.5", 80));
	CHECK(!becomes_within(in_a, POLLIN, 0));
	CHECK(reaches(only_b, tasks[2].netns, "10.0.0.7", 80));
	CHECK(is_kept_out(only_b, tasks[0].netns, "10.0.0.7", 80));
	CHECK(is_kept_out(in_a, world->host, "10.0.0.5", 80));
	detach_all(world, tasks, COUNT(tasks));
}

static void spoof(struct world *world)
{
	struct task tasks[] = {{"a", "eni-a"}, {"a2", "eni-a2"}};
	static const uint32_t others[] = {0x0a000009, 0x0a000005, 0x08080808, 0xa9fe0001};
	static const char *const names[] = {"10.0.0.9", "10.0.0.5", "8.8.8.8", "169.254.0.1"};
	auto_fd server = -1;
	auto_netlink inside = {0};
	struct netlink_ipv4 address = {.prefix = 32};

	tell(world, TWINS);
	attach_all(world, tasks, COUNT(tasks));
	server = serve(tasks[0].netns, SOCK_DGRAM, "10.0.0.5", 7);
	CHECK(hears_datagram(server, tasks[1].netns, "10.0.0.6", "10.0.0.5", 7, ARRIVE_MSEC));
	CHECK_OK(netlink_open_in(&inside, tasks[1].netns, err) && netlink_link_index(&inside, S("eth0"), &address.link, err));
	for (size_t i = 0; i < COUNT(others); i++) {
		const char *target = i == 1 ? "10.0.0.6" : "10.0.0.5";

		address.address = others[i];
		if (i == 1)
			continue;                        /* to itself: never leaves */
		CHECK_OK(netlink_ipv4_add(&inside, &address, err));
		CHECK(!hears_datagram(server, tasks[1].netns, names[i], target, 7, REACH_MSEC));
	}
	CHECK(hears_datagram(server, tasks[1].netns, "10.0.0.6", "10.0.0.5", 7, ARRIVE_MSEC));
	detach_all(world, tasks, COUNT(tasks));
}

/* --- the way out --- */

#define PUBLIC(name, vpc, address, public, internet) \
	"{\"id\":\"eni-" name "\",\"vpc\":\"" vpc "\",\"subnetBlock\":\"10.0.0.0/20\",\"mac\":\"02:00:00:00:00:0a\"," \
	"\"address\":\"" address "\"," public "\"internet\":" internet ",\"groups\":[\"sg-a\",\"sg-b\"]}"
#define OUTSIDERS(a, b) \
	"\"vpcs\":[" VPC_A "," VPC_B "],\"interfaces\":[" a "," b "],\"groups\":[" \
	"{\"id\":\"sg-a\",\"vpc\":\"vpc-a\",\"members\":[\"10.0.0.5\",\"10.0.0.6\"]," ALL_IN "," ALL_OUT "}," \
	"{\"id\":\"sg-b\",\"vpc\":\"vpc-b\",\"members\":[\"10.0.0.5\"]," ALL_IN "," ALL_OUT "}]"
#define AT(public) "\"publicAddress\":\"" public "\","

static void go_out(struct world *world)
{
	struct task tasks[] = {{"a", "eni-a"}, {"a2", "eni-a2"}};
	struct call call, kept;
	auto_fd server = -1, outside = serve(world->other, SOCK_STREAM, "0.0.0.0", 9000);

	tell(world, OUTSIDERS(PUBLIC("a", "vpc-a", "10.0.0.5", AT("198.18.0.5"), "true"),
			      PUBLIC("a2", "vpc-a", "10.0.0.6", "", "true")));
	attach_all(world, tasks, COUNT(tasks));
	server = serve(tasks[0].netns, SOCK_STREAM, "0.0.0.0", 80);
	CHECK(reaches(server, world->host, "198.18.0.5", 80));
	CHECK(is_kept_out(server, world->host, "10.0.0.5", 80));
	CHECK(reaches(server, tasks[1].netns, "10.0.0.5", 80));
	CHECK(call_within(outside, tasks[0].netns, OTHER_ADDRESS, 9000, ARRIVE_MSEC, &kept));
	CHECK(!strcmp(kept.from, HOST_ADDRESS));         /* masqueraded: other machines know nothing of our range */
	CHECK(is_kept_out(outside, tasks[1].netns, OTHER_ADDRESS, 9000));      /* no public address */
	CHECK(is_kept_out(server, world->host, "198.18.0.6", 80));
	tell(world, OUTSIDERS(PUBLIC("a", "vpc-a", "10.0.0.5", AT("198.18.0.5"), "false"),
			      PUBLIC("a2", "vpc-a", "10.0.0.6", AT("198.18.0.6"), "true")));
	CHECK(is_kept_out(server, world->host, "198.18.0.5", 80));             /* no road to the internet gateway */
	CHECK(!say(kept.caller, kept.accepted, REACH_MSEC));
	hang_up(&kept);
	CHECK(call_within(outside, tasks[1].netns, OTHER_ADDRESS, 9000, ARRIVE_MSEC, &call));
	hang_up(&call);
	/* The address moves from one to the other in one answer. */
	tell(world, OUTSIDERS(PUBLIC("a", "vpc-a", "10.0.0.5", AT("198.18.0.6"), "true"),
			      PUBLIC("a2", "vpc-a", "10.0.0.6", "", "true")));
	CHECK(reaches(server, world->host, "198.18.0.6", 80));
	CHECK(reaches(server, tasks[0].netns, "10.0.0.5", 80));
	detach_all(world, tasks, COUNT(tasks));
}

static void meet_outside(struct world *world)
{
	struct task tasks[] = {{"a", "eni-a"}, {"b", "eni-b"}};
	auto_fd server = -1;

	tell(world, OUTSIDERS(PUBLIC("a", "vpc-a", "10.0.0.5", AT("198.18.0.5"), "true"),
			      PUBLIC("b", "vpc-b", "10.0.0.5", AT("198.19.0.5"), "true")));
	attach_all(world, tasks, COUNT(tasks));
	server = serve(tasks[1].netns, SOCK_STREAM, "0.0.0.0", 80);
	CHECK(reaches_as("198.18.0.5", server, tasks[0].netns, "198.19.0.5", 80));
	CHECK(reaches(server, tasks[1].netns, "198.19.0.5", 80));      /* itself, from outside */
	detach_all(world, tasks, COUNT(tasks));
}

/* --- coming and going --- */

static void *tell_late(void *arg)
{
	struct world *world = arg;

	usleep(100000);
	CHECK(tell_in(world, world->fabric, true, S(TWINS)));
	return NULL;
}

struct named { uint32_t hash; int number; };

static int by_hash(const void *a, const void *b)
{
	const struct named *x = a, *y = b;

	return x->hash != y->hash ? (x->hash > y->hash) - (x->hash < y->hash) : x->number - y->number;
}

/* Of so many, two surely have the same 28 bits of hash, of which the name of the way out is made. */
static void find_twins(int ret_numbers[static 2])
{
	static struct named all[100000];
	char id[32];

	for (int i = 0; i < (int)COUNT(all); i++) {
		snprintf(id, sizeof(id), "vpc-%d", i);
		all[i] = (struct named){(uint32_t)(str_hash(str_of(id), 0) & 0xfffffff), i};
	}
	qsort(all, COUNT(all), sizeof(*all), by_hash);
	for (size_t i = 1; i < COUNT(all); i++)
		if (all[i].hash == all[i - 1].hash) {
			ret_numbers[0] = all[i - 1].number;
			ret_numbers[1] = all[i].number;
			return;
		}
	CHECK(!"two of the same hash");
}

static void tell_of_twins(struct world *world, int first, int second)
{
	static const char vpc[] = "{\"id\":\"vpc-%d\",\"blocks\":[\"10.0.0.0/16\"],\"resolver\":false}";
	static const char interface[] = "{\"id\":\"eni-%d\",\"vpc\":\"vpc-%d\",\"subnetBlock\":\"10.0.0.0/20\",\"internet\":true,"
					"\"mac\":\"02:00:00:00:00:0a\",\"address\":\"10.0.0.5\",\"publicAddress\":\"198.18.0.%d\",\"groups\":[\"sg-%c\"]}";
	static const char group[] = "{\"id\":\"sg-%c\",\"vpc\":\"vpc-%d\",\"members\":[\"10.0.0.5\"]," ALL_IN "," ALL_OUT "}";
	struct buffer text = {0};
	int numbers[] = {first, second};

	for (int part = 0; part < 3; part++) {
		buffer_printf(&text, "%s\"%s\":[", part ? "]," : "", (const char *[]){"vpcs", "interfaces", "groups"}[part]);
		for (int i = first < 0 ? 1 : 0; i < 2; i++) {
			buffer_add(&text, i && first >= 0 ? S(",") : S(""));
			if (part == 0)
				buffer_printf(&text, vpc, numbers[i]);
			if (part == 1)
				buffer_printf(&text, interface, i, numbers[i], 5 + i, 'a' + i);
			if (part == 2)
				buffer_printf(&text, group, 'a' + i, numbers[i]);
		}
	}
	buffer_add(&text, S("]"));
	tell(world, arena_cstr(&world->arena, buffer_str(&text)));
	buffer_fini(&text);
}

static void share_a_hash(struct world *world)
{
	struct task tasks[] = {{"a", "eni-0"}, {"b", "eni-1"}};
	auto_fd in_a = -1, in_b = -1;
	int numbers[2];

	find_twins(numbers);
	tell_of_twins(world, numbers[0], numbers[1]);
	attach_all(world, tasks, COUNT(tasks));
	in_a = serve(tasks[0].netns, SOCK_STREAM, "0.0.0.0", 80);
	in_b = serve(tasks[1].netns, SOCK_STREAM, "0.0.0.0", 80);
	CHECK(links(world, S("wherryv")) == 2);
	CHECK(reaches(in_a, world->host, "198.18.0.5", 80));
	CHECK(reaches(in_b, world->host, "198.18.0.6", 80));
	fd_close(&in_a);
	detach(world, &tasks[0]);
	tell_of_twins(world, -1, numbers[1]);
	fabric_free(world->fabric);                      /* the next agent knows only the second */
	world->fabric = open_fabric(world);
	tell_of_twins(world, -1, numbers[1]);
	CHECK(reaches(in_b, world->host, "198.18.0.6", 80));
	detach(world, &tasks[1]);
}

static void wait_for_news(struct world *world)
{
	struct task task = {"a", "eni-a"};
	pthread_t teller;

	CHECK(!attach(world, &task, USEC_PER_SEC / 20));
	CHECK(str_contains(str_of(world->error.text), S("the server has not told of network interface 'eni-a'")));
	CHECK(access(task.path.ptr, F_OK) < 0);
	CHECK(pthread_create(&teller, NULL, tell_late, world) == 0);
	CHECK_OK(attach(world, &task, PATIENCE_SEC * USEC_PER_SEC) || !err);
	pthread_join(teller, NULL);
	detach(world, &task);
}

static void look_like_aws(struct world *world)
{
	struct task tasks[] = {{"a", "eni-a"}, {"a2", "eni-a2"}};
	auto_fd server = -1, endpoint = -1;
	auto_netlink inside = {0};
	struct netlink_ipv4 *items;
	bool found = false;
	size_t count;

	tell(world, TWINS);
	attach_all(world, tasks, COUNT(tasks));
	CHECK_OK(netlink_open_in(&inside, tasks[0].netns, err) &&
		 netlink_ipv4_list(&inside, &world->arena, &items, &count, err));
	for (size_t i = 0; i < count; i++)
		found |= items[i].address == 0x0a000005 && items[i].prefix == 20;
	CHECK(found);
	endpoint = serve(tasks[0].netns, SOCK_STREAM, "169.254.170.2", 80);
	CHECK(reaches(endpoint, tasks[0].netns, "169.254.170.2", 80));
	CHECK(is_kept_out(endpoint, tasks[1].netns, "169.254.170.2", 80));     /* each task has its own */
	detach(world, &tasks[0]);
	tasks[0].id = "eni-a";
	CHECK_OK(attach(world, &tasks[0], PATIENCE_SEC * USEC_PER_SEC) ||
		 !err); /* the same address again, at once */
	server = serve(tasks[0].netns, SOCK_STREAM, "0.0.0.0", 80);
	CHECK(reaches(server, tasks[1].netns, "10.0.0.5", 80));
	detach_all(world, tasks, COUNT(tasks));
	tell(world, "\"vpcs\":[" VPC_A "]");
	settle_after(world, FABRIC_EMPTY_SECONDS);
	CHECK(settles(world, S("wherryv")));
	CHECK(access(path_of(world, "vpc/vpc-a").ptr, F_OK) < 0);
}

/* --- what is kept for the next task --- */

static struct stat namespace_of(struct world *world, const char *vpc)
{
	struct stat status = {0};

	stat(arena_printf(&world->arena, "%s/vpc/%s/netns", world->folder, vpc).ptr, &status);
	return status;
}

static struct str rules_of(struct world *world, const char *vpc)
{
	auto_fd netns = open(arena_printf(&world->arena, "%s/vpc/%s/netns", world->folder, vpc).ptr, O_RDONLY | O_CLOEXEC);
	struct str text;
	int back;

	CHECK_OK(netns_enter(netns, &back, err));
	text = ruleset(world);
	netns_leave(back);
	return text;
}

static size_t count_of(struct str text, struct str what)
{
	const char *at = text.ptr, *end = text.ptr + text.len;
	size_t count = 0;

	for (; (at = memmem(at, (size_t)(end - at), what.ptr, what.len)); at += what.len)
		count++;
	return count;
}

#define LONE(rules) \
	"\"vpcs\":[" VPC_A "],\"interfaces\":[" INTERFACE("web", "vpc-a", "10.0.0.10", "\"sg-web\"") "," \
	INTERFACE("client", "vpc-a", "10.0.0.20", "\"sg-client\"") "],\"groups\":[" \
	GROUP("sg-web", "\"10.0.0.10\"", rules) "," GROUP("sg-client", "\"10.0.0.20\"", ALL_OUT) "]"

static void come_and_go(struct world *world, const char *news, bool open)
{
	struct task tasks[] = {{"web", "eni-web"}, {"client", "eni-client"}};
	auto_fd server = -1;

	tell_more(world, news);
	attach_all(world, tasks, COUNT(tasks));
	server = serve(tasks[0].netns, SOCK_STREAM, "0.0.0.0", 80);
	CHECK(open ? reaches(server, tasks[1].netns, "10.0.0.10", 80) : is_kept_out(server, tasks[1].netns, "10.0.0.10", 80));
	detach_all(world, tasks, COUNT(tasks));
	tell_more(world, "\"gone\":[\"eni-web\",\"eni-client\"]");
}

static void keep(struct world *world)
{
	struct stat first, later;

	tell(world, "\"vpcs\":[]");
	come_and_go(world, LONE(ALL_IN), true);
	first = namespace_of(world, "vpc-a");
	settle_after(world, FABRIC_EMPTY_SECONDS / 2);
	CHECK(str_contains(rules_of(world, "vpc-a"), S("chain in-sg-web")));
	CHECK(!str_contains(rules_of(world, "vpc-a"), S("10.0.0.10")));
	come_and_go(world, LONE(ALL_IN), true);
	come_and_go(world, LONE(ALL_OUT), false);        /* its rules changed while nobody was here */
	come_and_go(world, LONE(ALL_IN), true);
	later = namespace_of(world, "vpc-a");
	CHECK(first.st_ino == later.st_ino && first.st_dev == later.st_dev);
	settle_after(world, FABRIC_EMPTY_SECONDS);
	CHECK(settles(world, S("wherryv")));
	CHECK(access(path_of(world, "vpc/vpc-a").ptr, F_OK) < 0);
	come_and_go(world, LONE(ALL_IN), true);
	fabric_free(world->fabric);                      /* an agent that comes back takes away what nobody uses */
	world->fabric = open_fabric(world);
	tell(world, "\"vpcs\":[]");
	CHECK(settles(world, S("wherryv")));
	CHECK(access(path_of(world, "vpc/vpc-a").ptr, F_OK) < 0);
	come_and_go(world, LONE(ALL_IN), true);          /* left for fabric_down */
}

/* The chains of a group that was left stand, also when they come into use again for another address. */
static void inherit(struct world *world)
{
	struct task tasks[] = {{"web", "eni-web"}, {"client", "eni-client"}}, heir = {"heir", "eni-heir"};
	auto_fd server = -1;

	tell(world, THREE THIRD "," OPEN_WEB "]");
	attach_all(world, tasks, COUNT(tasks));
	detach(world, &tasks[0]);
	tell_more(world, "\"gone\":[\"eni-web\",\"eni-third\"]");
	CHECK(str_contains(rules_of(world, "vpc-a"), S("chain in-sg-web")));
	tell_more(world, "\"interfaces\":[" INTERFACE("heir", "vpc-a", "10.0.0.10", "\"sg-third\"") "],\"groups\":["
		  GROUP("sg-third", "\"10.0.0.10\"", "\"egress\":[{\"protocol\":\"tcp\",\"fromPort\":80,\"toPort\":81,"
			"\"blocks\":[\"10.0.0.0/24\"]}]") "]");
	attach_all(world, &heir, 1);
	server = serve(heir.netns, SOCK_STREAM, "0.0.0.0", 80);
	CHECK(is_kept_out(server, tasks[1].netns, "10.0.0.10", 80));
	settle_after(world, FABRIC_EMPTY_SECONDS);
	CHECK(!str_contains(rules_of(world, "vpc-a"), S("sg-web")));
	CHECK(str_contains(rules_of(world, "vpc-a"), S("chain in-sg-third")));
	detach(world, &heir);
	detach(world, &tasks[1]);
}

static bool vpc_is_there(struct world *world, int number)
{
	return access(arena_printf(&world->arena, "%s/vpc/vpc-%d", world->folder, number).ptr, F_OK) == 0;
}

static void keep_few(struct world *world)
{
	auto_buffer text = {0};

	tell(world, "\"vpcs\":[]");
	for (int i = 0; i <= FABRIC_EMPTY_VPCS_LIMIT; i++) {
		char news[512];

		snprintf(news, sizeof(news), "\"vpcs\":[{\"id\":\"vpc-%d\",\"blocks\":[\"10.0.0.0/16\"]}],\"interfaces\":[{\"id\":\"eni-%d\","
			 "\"vpc\":\"vpc-%d\",\"subnetBlock\":\"10.0.0.0/20\",\"mac\":\"02:00:00:00:00:0a\",\"address\":\"10.0.0.5\"}]", i, i, i);
		tell_more(world, news);
		snprintf(news, sizeof(news), "\"gone\":[\"eni-%d\"]", i);
		CHECK(i < FABRIC_EMPTY_VPCS_LIMIT || vpc_is_there(world, 0));
		tell_more(world, news);
	}
	CHECK(!vpc_is_there(world, 0));
	for (int i = 1; i <= FABRIC_EMPTY_VPCS_LIMIT; i++)
		CHECK(vpc_is_there(world, i));
	buffer_add(&text, S("\"vpcs\":[" VPC_A "],\"interfaces\":[" INTERFACE("a", "vpc-a", "10.0.0.5", "\"sg-a\"") ","
			    "{\"id\":\"eni-b\",\"vpc\":\"vpc-a\",\"subnetBlock\":\"10.0.0.0/20\",\"mac\":\"02:00:00:00:00:0b\","
			    "\"address\":\"10.0.0.6\",\"groups\":[\"sg-a\""));
	for (int i = 0; i <= FABRIC_SPARE_GROUPS_LIMIT; i++)
		buffer_printf(&text, ",\"sg-%d\"", i);
	buffer_add(&text, S("]}],\"groups\":[" GROUP("sg-a", "\"10.0.0.5\",\"10.0.0.6\"", ALL_IN)));
	for (int i = 0; i <= FABRIC_SPARE_GROUPS_LIMIT; i++)
		buffer_printf(&text, "," GROUP("sg-%d", "\"10.0.0.6\"", ALL_OUT), i);
	buffer_add(&text, S("]"));
	CHECK_OK(tell_in(world, world->fabric, true, buffer_str(&text)) || !err);
	CHECK(count_of(rules_of(world, "vpc-a"), S("chain in-sg-")) == FABRIC_SPARE_GROUPS_LIMIT + 2);
	tell_more(world, "\"gone\":[\"eni-b\"]");
	CHECK(count_of(rules_of(world, "vpc-a"), S("chain in-sg-")) == FABRIC_SPARE_GROUPS_LIMIT + 1);
}

static void take_over(struct world *world)
{
	struct task tasks[] = {{"a", "eni-a"}, {"a2", "eni-a2"}};
	auto_fd server = -1;

	tell(world, TWINS);
	attach_all(world, tasks, COUNT(tasks));
	server = serve(tasks[0].netns, SOCK_STREAM, "0.0.0.0", 80);
	fabric_free(world->fabric);                      /* the agent is gone */
	CHECK(reaches(server, tasks[1].netns, "10.0.0.5", 80));
	world->fabric = open_fabric(world);
	CHECK(reaches(server, tasks[1].netns, "10.0.0.5", 80));
	tell(world, TWINS);
	CHECK(reaches(server, tasks[1].netns, "10.0.0.5", 80));
	detach(world, &tasks[1]);
	CHECK_OK(attach(world, &tasks[1], PATIENCE_SEC * USEC_PER_SEC) || !err);
	CHECK(reaches(server, tasks[1].netns, "10.0.0.5", 80));
	fabric_free(world->fabric);
	world->fabric = open_fabric(world);
	detach_all(world, tasks, COUNT(tasks));          /* nothing was told */
	CHECK(access(path_of(world, "vpc/vpc-a").ptr, F_OK) < 0);
	tell(world, "\"vpcs\":[]");
	CHECK(settles(world, S("wherryv")));
}

static void add_interface(struct buffer *text, int number)
{
	buffer_printf(text, "%s{\"id\":\"eni-%d\",\"vpc\":\"vpc-a\",\"subnetBlock\":\"10.0.0.0/20\",\"mac\":\"02:00:00:00:%02x:%02x\","
		      "\"address\":\"10.0.%d.%d\",\"publicAddress\":\"198.18.%d.%d\",\"internet\":true,\"groups\":[\"sg-a\"]}",
		      number ? "," : "", number, number / 250, number % 250, number / 250, 4 + number % 250, number / 250,
		      4 + number % 250);
}

static void tell_many(struct world *world)
{
	auto_buffer text = {0};

	buffer_add(&text, S("\"vpcs\":[" VPC_A "],\"interfaces\":["));
	for (int i = 0; i < MANY; i++)
		add_interface(&text, i);
	buffer_add(&text, S("],\"groups\":[{\"id\":\"sg-a\",\"vpc\":\"vpc-a\"," ALL_IN "," ALL_OUT ",\"members\":["));
	for (int i = 0; i < MANY; i++)
		buffer_printf(&text, "%s\"10.0.%d.%d\"", i ? "," : "", i / 250, 4 + i % 250);
	buffer_add(&text, S("]}]"));
	CHECK_OK(tell_in(world, world->fabric, true, buffer_str(&text)) || !err);
}

struct worker {
	struct world *world;
	int number;
};

static void each_of(struct worker *worker, bool (*each)(struct fabric *fabric, int number,
							struct str path, struct error *err))
{
	for (int i = worker->number; i < MANY; i += THREADS) {
		auto_arena arena = {0};
		struct error err;

		if (!each(worker->world->fabric, i, arena_printf(&arena, "%s/task%d", worker->world->folder, i), &err)) {
			fprintf(stderr, "%d: %s\n", i, err.text);
			_exit(1);
		}
	}
}

static bool attach_one(struct fabric *fabric, int number, struct str path, struct error *err)
{
	auto_arena arena = {0};
	struct acs_elastic_network_interface eni = {.ec2_id = arena_printf(&arena, "eni-%d", number)};

	return fabric_attach(fabric, arena_printf(&arena, "task%d", number), path, &eni, PATIENCE_SEC * USEC_PER_SEC, err);
}

static bool detach_one(struct fabric *fabric, int number, struct str path, struct error *err)
{
	auto_arena arena = {0};

	return fabric_detach(fabric, arena_printf(&arena, "task%d", number), path, err);
}

static void *come(void *arg)
{
	each_of(arg, attach_one);
	return NULL;
}

static void *go(void *arg)
{
	each_of(arg, detach_one);
	return NULL;
}

static void in_parallel(struct world *world, void *(*work)(void *arg))
{
	pthread_t threads[THREADS];
	struct worker workers[THREADS];

	for (int i = 0; i < THREADS; i++) {
		workers[i] = (struct worker){world, i};
		CHECK(pthread_create(&threads[i], NULL, work, &workers[i]) == 0);
	}
	for (int i = 0; i < THREADS; i++)
		pthread_join(threads[i], NULL);
}

static void many(struct world *world)
{
	auto_fd first = -1, last = -1, server = -1;

	tell_many(world);
	in_parallel(world, come);
	first = open(path_of(world, "task0").ptr, O_RDONLY | O_CLOEXEC);
	last = open(arena_printf(&world->arena, "%s/task%d", world->folder, MANY - 1).ptr, O_RDONLY | O_CLOEXEC);
	server = serve(first, SOCK_STREAM, "0.0.0.0", 80);
	CHECK(reaches(server, last, "10.0.0.4", 80));
	CHECK(reaches(server, world->host, "198.18.0.4", 80));
	fd_close(&server);
	fd_close(&first);
	fd_close(&last);
	in_parallel(world, go);
	tell(world, "\"vpcs\":[]");
	CHECK(settles(world, S("wherryv")));
	CHECK(access(path_of(world, "vpc/vpc-a").ptr, F_OK) < 0);
}

static void die_half_way(struct world *world)
{
	for (int round = 0; round < 12; round++) {
		int status;
		pid_t child = fork();

		if (child == 0)
			for (;;) {
				tell_many(world);
				come(&(struct worker){world, 0});
				go(&(struct worker){world, 0});
				tell(world, "\"vpcs\":[]");
			}
		usleep(20000 + (unsigned)round * 9031);
		kill(child, SIGKILL);
		CHECK(waitpid(child, &status, 0) == child && WIFSIGNALED(status));
		fabric_free(world->fabric);
		world->fabric = open_fabric(world);
		go(&(struct worker){world, 0});
		if (round % 2) {
			CHECK_OK(fabric_down(world->fabric, err));
			nothing_is_left(world);
		} else {
			tell(world, "\"vpcs\":[]");
			CHECK(settles(world, S("wherryv")));
		}
	}
}

static void *run_die_half_way(void *arg)
{
	die_half_way(arg);
	return NULL;
}

/* --- the resolver --- */

static size_t make_query(const char *name, uint8_t *out)
{
	struct str rest = str_of(name), label;
	size_t used = 12;

	memcpy(out, "\x12\x34\x01\0\0\1\0\0\0\0\0\0", 12);
	while (str_cut(&rest, '.', &label)) {
		out[used++] = (uint8_t)label.len;
		memcpy(out + used, label.ptr, label.len);
		used += label.len;
	}
	memcpy(out + used, "\0\0\1\0\1", 5);
	return used + 5;
}

/* The host's nameserver: one question, 192.0.2.7 for all. */
static void answer_one(int server)
{
	uint8_t query[512], reply[512];
	struct sockaddr_in from;
	socklen_t size = sizeof(from);
	uint32_t address = 0xc0000207;
	struct dns_question question;
	ssize_t got;

	CHECK(becomes_within(server, POLLIN, ARRIVE_MSEC));
	got = recvfrom(server, query, sizeof(query), 0, (struct sockaddr *)&from, &size);
	CHECK(got > 0 && dns_read_query(query, (size_t)got, &question) == DNS_OK);
	got = (ssize_t)dns_write_reply(query, question.end, DNS_OK, &address, reply);
	CHECK(sendto(server, reply, (size_t)got, 0, (struct sockaddr *)&from, size) == got);
}

/* What comes back for a name over udp: the address, or 0 with *ret_code. */
static uint32_t resolve(int netns, const char *at, const char *name, int upstream, int *ret_code)
{
	struct sockaddr_in to = address_of(at, 53);
	auto_fd fd = socket_in(netns, SOCK_DGRAM, 0);
	uint8_t query[512], reply[512];
	size_t len = make_query(name, query);
	ssize_t got;

	CHECK(connect(fd, (struct sockaddr *)&to, sizeof(to)) == 0 && send(fd, query, len, 0) == (ssize_t)len);
	if (upstream >= 0)
		answer_one(upstream);
	CHECK(becomes_within(fd, POLLIN, ARRIVE_MSEC));
	got = recv(fd, reply, sizeof(reply), 0);
	CHECK(got >= 12 && dns_answers(query, len, reply, (size_t)got));
	*ret_code = reply[3] & 15;
	return reply[7] ? (uint32_t)reply[got - 4] << 24 | (uint32_t)reply[got - 3] << 16 |
				  (uint32_t)reply[got - 2] << 8 | reply[got - 1]
			: 0;
}

static void send_framed(int fd, const uint8_t *bytes, size_t len)
{
	uint8_t head[2] = {(uint8_t)(len >> 8), (uint8_t)len};

	CHECK(send(fd, head, 1, MSG_NOSIGNAL) == 1 && send(fd, head + 1, 1, MSG_NOSIGNAL) == 1);
	CHECK(send(fd, bytes, len, MSG_NOSIGNAL) == (ssize_t)len);
}

static size_t receive_framed(int fd, uint8_t *bytes)
{
	size_t have = 0, want = 2;

	while (have < want) {
		ssize_t got;

		CHECK(becomes_within(fd, POLLIN, ARRIVE_MSEC));
		got = recv(fd, bytes + have, want - have, 0);
		CHECK(got > 0);
		have += (size_t)got;
		if (have == 2)
			want = 2 + (size_t)(bytes[0] << 8 | bytes[1]);
	}
	memmove(bytes, bytes + 2, have - 2);
	return have - 2;
}

/* Over tcp, two questions on one connection: the first is the VPC's own, the second is forwarded. */
static void resolve_over_tcp(struct world *world, int netns)
{
	struct sockaddr_in to = address_of("10.0.0.2", 53);
	auto_fd fd = socket_in(netns, SOCK_STREAM, 0), upstream = serve(world->host, SOCK_STREAM, "127.0.0.1", 53), accepted = -1;
	uint8_t query[512], reply[1024];
	uint32_t address = 0xc0000208;
	struct dns_question question;
	size_t len = make_query("ip-10-0-0-6.eu-west-1.compute.internal", query);

	CHECK(connect(fd, (struct sockaddr *)&to, sizeof(to)) == 0 || errno == EINPROGRESS);
	CHECK(becomes_within(fd, POLLOUT, ARRIVE_MSEC));
	send_framed(fd, query, len);
	CHECK(receive_framed(fd, reply) == len + DNS_ANSWER_BYTES && reply[len + 15] == 6);
	len = make_query("big.example.com", query);
	send_framed(fd, query, len);
	CHECK(becomes_within(upstream, POLLIN, ARRIVE_MSEC));
	accepted = accept4(upstream, NULL, NULL, SOCK_CLOEXEC);
	CHECK(receive_framed(accepted, reply) == len && dns_read_query(reply, len, &question) == DNS_OK);
	len = dns_write_reply(query, question.end, DNS_OK, &address, reply);
	send_framed(accepted, reply, len);
	CHECK(receive_framed(fd, reply) == len && reply[len - 1] == 8);
}

static usec cpu_time(clockid_t whose)
{
	struct timespec spent;

	clock_gettime(whose, &spent);
	return spent.tv_sec * USEC_PER_SEC + spent.tv_nsec / 1000;
}

/* While this thread works without a pause: one that spins gets as much of a busy machine as it. */
static bool others_sleep(void)
{
	usec own = cpu_time(CLOCK_THREAD_CPUTIME_ID), all = cpu_time(CLOCK_PROCESS_CPUTIME_ID), spent;

	while ((spent = cpu_time(CLOCK_THREAD_CPUTIME_ID) - own) < 300 * USEC_PER_MSEC)
		;
	return cpu_time(CLOCK_PROCESS_CPUTIME_ID) - all - spent < 100 * USEC_PER_MSEC;
}

/* A call that the resolver has no descriptor for: it waits, and comes through when there is one again. */
static void run_out_of_descriptors(struct world *world, int netns)
{
	struct sockaddr_in to = address_of("10.0.0.2", 53);
	auto_fd fd = socket_in(netns, SOCK_STREAM, 0);
	uint8_t query[512], reply[1024];
	size_t len = make_query("ip-10-0-0-6.ec2.internal", query);
	struct rlimit limit, none;

	CHECK(getrlimit(RLIMIT_NOFILE, &limit) == 0);
	none = limit;
	none.rlim_cur = 1;                               /* there is a stdin, and poll wants room for one */
	CHECK(setrlimit(RLIMIT_NOFILE, &none) == 0);
	CHECK(connect(fd, (struct sockaddr *)&to, sizeof(to)) == 0 || errno == EINPROGRESS);
	CHECK(becomes_within(fd, POLLOUT, ARRIVE_MSEC));
	CHECK(others_sleep());
	CHECK(setrlimit(RLIMIT_NOFILE, &limit) == 0);
	send_framed(fd, query, len);
	CHECK(receive_framed(fd, reply) == len + DNS_ANSWER_BYTES && reply[len + 15] == 6);
}

static void resolve_names(struct world *world)
{
	struct task task = {"a", "eni-a"};
	auto_fd upstream = serve(world->host, SOCK_DGRAM, "127.0.0.1", 53);
	int code;

	tell(world, "\"vpcs\":[{\"id\":\"vpc-a\",\"blocks\":[\"10.0.0.0/16\"],\"resolver\":true}],\"interfaces\":["
	     INTERFACE("a", "vpc-a", "10.0.0.5", "") "]");
	CHECK_OK(attach(world, &task, PATIENCE_SEC * USEC_PER_SEC) || !err);
	CHECK(resolve(task.netns, "10.0.0.2", "ip-10-0-0-5.ec2.internal", -1, &code) == 0x0a000005 && code == DNS_OK);
	CHECK(resolve(task.netns, "169.254.169.253", "IP-10-0-3-9.eu-west-1.compute.internal", -1, &code) == 0x0a000309);
	CHECK(resolve(task.netns, "10.0.0.2", "ip-11-0-0-5.ec2.internal", -1, &code) == 0 && code == DNS_NO_SUCH_NAME);
	CHECK(resolve(task.netns, "10.0.0.2", "www.example.com", upstream, &code) == 0xc0000207 && code == DNS_OK);
	resolve_over_tcp(world, task.netns);
	run_out_of_descriptors(world, task.netns);
	CHECK_OK(file_write(AT_FDCWD, path_of(world, "resolv.conf").ptr, S("# nobody\n"), 0644, err));
	CHECK(resolve(task.netns, "10.0.0.2", "www.example.com", -1, &code) == 0 && code == DNS_FAILED);
	CHECK(!pings(task.netns, "10.0.0.2", REACH_MSEC));
	detach(world, &task);
}

TEST(security_groups_allow_by_port_block_and_group_and_nothing_else) { run(filter); }
TEST(a_changed_rule_holds_at_once_for_open_connections_too) { run(change); }
TEST(an_address_that_changes_hands_leaves_its_groups) { run(forget); }
TEST(what_cannot_be_understood_is_closed_and_the_rest_holds) { run(not_understood); }
TEST(a_group_has_at_most_a_thousand_rules_each_way) { run(too_many_rules); }
TEST(two_vpcs_with_the_same_block_do_not_see_each_other) { run(isolate); }
TEST(nobody_sends_from_an_address_that_is_not_its_own) { run(spoof); }
TEST(only_a_public_address_leads_in_and_out) { run(go_out); }
TEST(vpcs_meet_at_their_public_addresses) { run(meet_outside); }
TEST(vpcs_whose_links_would_have_one_name_have_two) { run(share_a_hash); }
TEST(an_interface_waits_until_the_server_has_told_of_it) { run(wait_for_news); }
TEST(an_interface_looks_as_it_does_on_aws) { run(look_like_aws); }
TEST(what_a_lone_task_needs_is_kept_for_a_minute) { run(keep); }
TEST(a_kept_group_opens_nothing_for_who_has_the_address_next) { run(inherit); }
TEST(few_empty_vpcs_and_spare_groups_are_kept) { run(keep_few); }
TEST(the_next_agent_takes_over) { run(take_over); }
TEST(five_hundred_interfaces_come_and_go) { run(many); }
TEST(the_resolver_answers_for_the_vpc_and_forwards_the_rest) { run(resolve_names); }

static void crash(struct world *world)
{
	CHECK(run_die_half_way(world) == NULL);
}

TEST(a_crash_half_way_leaves_nothing_that_is_not_found) { run(crash); }
