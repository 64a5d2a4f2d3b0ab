/* network.c - how long a container's network takes, in a network namespace of its own.
 *
 * Prints the median and the 99th percentile of attach and detach in bridge mode and of a VPC's interfaces, alone and with
 * 4 threads, of tasks that are alone in their VPC one after the other, how long a change of a security group takes, and what
 * packets between two of them cost. Usage: bench_network [COUNT]; needs root. */
#include <arpa/inet.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>
#include "base/buffer.h"
#include "host/fabric.h"
#include "host/network.h"
#include "os/netlink.h"
#include "os/netns.h"
#include "wire/json.h"

enum { THREADS = 4, COUNT_DEFAULT = 200, COUNT_LIMIT = 1000, PORTS_EACH = 2 };
enum { ROUND_TRIPS = 20000, BULK_BYTES = 64 * 1024, BULK_COUNT = 16384 };

struct run {
	struct network *network;                         /* or */
	struct fabric *fabric;
	const char *folder;
	int thread, count;
	double attach_msec[COUNT_LIMIT], detach_msec[COUNT_LIMIT];
};

static void die(const char *what, const struct error *err)
{
	fprintf(stderr, "%s: %s\n", what, err ? err->text : "failed");
	exit(1);
}

static double now_msec(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (double)now.tv_sec * 1e3 + (double)now.tv_nsec / 1e6;
}

static bool attach_interface(struct run *run, int index, struct str owner, struct str path, struct error *err)
{
	auto_arena arena = {0};
	struct acs_elastic_network_interface eni = {.ec2_id = arena_printf(&arena, "eni-%d", run->thread * run->count + index)};

	return fabric_attach(run->fabric, owner, path, &eni, USEC_PER_SEC, err);
}

static void attach(struct run *run, int index, struct str owner, struct str path)
{
	auto_arena arena = {0};
	struct network_port ports[PORTS_EACH] = {{.container_port = 80}, {.container_port = 53, .udp = true}};
	struct str address;
	struct error err;
	double from = now_msec();

	if (run->fabric ? !attach_interface(run, index, owner, path, &err)
			: !network_attach_bridge(run->network, owner, path, ports, PORTS_EACH, &arena, &address, &err))
		die("attach", &err);
	run->attach_msec[index] = now_msec() - from;
}

static void detach(struct run *run, int index, struct str owner, struct str path)
{
	struct error err;
	double from = now_msec();

	if (run->fabric ? !fabric_detach(run->fabric, owner, path, &err) : !network_detach(run->network, owner, path, &err))
		die("detach", &err);
	run->detach_msec[index] = now_msec() - from;
}

static void *run_thread(void *arg)
{
	struct run *run = arg;

	for (int pass = 0; pass < 2; pass++)
		for (int i = 0; i < run->count; i++) {
			auto_arena arena = {0};
			struct str owner = arena_printf(&arena, run->fabric ? "task%d-%d" : "task%d/web%d", run->thread, i);
			struct str path = arena_printf(&arena, "%s/netns-%d-%d", run->folder, run->thread, i);

			(pass ? detach : attach)(run, i, owner, path);
		}
	return NULL;
}

static int by_value(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

static void print(const char *what, double *msec, int count)
{
	qsort(msec, (size_t)count, sizeof(*msec), by_value);
	printf("  %-8s median %6.3f ms   p99 %6.3f ms\n", what, msec[count / 2], msec[count * 99 / 100]);
}

static int open_netns(struct str path)
{
	auto_arena arena = {0};
	int netns = open(arena_cstr(&arena, path), O_RDONLY | O_CLOEXEC);

	if (netns < 0)
		die("open a namespace", NULL);
	return netns;
}

/* The kernel takes the links away in the background; the next run should not pay for the last. Those of the namespace at `path`. */
static void settle(struct str path, struct str prefix)
{
	auto_netlink netlink = {0};
	struct error err;
	bool quiet = false;
	double from = now_msec();
	int netns = open_netns(path);

	if (!netlink_open_in(&netlink, netns, &err))
		die("netlink", &err);
	close(netns);
	while (!quiet && now_msec() - from < 20e3) {
		size_t count;

		usleep(20000);
		if (!netlink_links_count(&netlink, prefix, &count, &err))
			die("links", &err);
		quiet = count == 0;
	}
	printf("  links gone after %.0f ms\n", now_msec() - from);
}

static void measure(struct network *network, struct fabric *fabric, const char *folder, int threads, int count)
{
	static struct run runs[THREADS];
	static double all[THREADS * COUNT_LIMIT];
	auto_arena arena = {0};
	pthread_t ids[THREADS];
	double from = now_msec(), spent;
	int each = count / threads;

	for (int i = 0; i < threads; i++) {
		runs[i] = (struct run){.network = network, .fabric = fabric, .folder = folder, .thread = i, .count = each};
		pthread_create(&ids[i], NULL, run_thread, &runs[i]);
	}
	for (int i = 0; i < threads; i++)
		pthread_join(ids[i], NULL);
	spent = now_msec() - from;
	printf(fabric ? "VPC, %d tasks, %d thread%s: %.0f attach+detach/s\n"
		      : "bridge network, %d containers with 2 ports, %d thread%s: %.0f attach+detach/s\n", each * threads,
	       threads, threads == 1 ? "" : "s", each * threads / spent * 1e3);
	for (int i = 0; i < threads; i++)
		memcpy(&all[i * each], runs[i].attach_msec, (size_t)each * sizeof(*all));
	print("attach", all, each * threads);
	for (int i = 0; i < threads; i++)
		memcpy(&all[i * each], runs[i].detach_msec, (size_t)each * sizeof(*all));
	print("detach", all, each * threads);
	if (network)
		settle(S("/proc/self/ns/net"), S("wherry0-"));
	else
		settle(arena_printf(&arena, "%s/vpc/vpc-a/netns", folder), S("t0"));
}

/* --- what a packet costs --- */

static int socket_in(struct str path)
{
	int netns = open_netns(path), back = -1, fd;
	struct error err;

	if (!netns_enter(netns, &back, &err))
		die("enter", NULL);
	fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	netns_leave(back);
	close(netns);
	return fd;
}

/* Sends back single bytes; of more it only takes note. */
static void *echo(void *arg)
{
	static char bytes[BULK_BYTES];
	int fd = accept(*(int *)arg, NULL, NULL);
	ssize_t got;

	while ((got = read(fd, bytes, sizeof(bytes))) > 0)
		if (got == 1 && write(fd, bytes, 1) < 0)
			break;
	close(fd);
	return NULL;
}

static void talk(struct str from, struct str to, uint32_t address)
{
	static char bytes[BULK_BYTES];
	struct sockaddr_in at = {.sin_family = AF_INET, .sin_port = htons(7), .sin_addr.s_addr = htonl(address)};
	int server = socket_in(to), caller = socket_in(from);
	pthread_t thread;
	double start, trip, bulk;

	if (bind(server, (struct sockaddr *)&at, sizeof(at)) < 0 || listen(server, 1) < 0)
		die("listen", NULL);
	pthread_create(&thread, NULL, echo, &server);
	if (connect(caller, (struct sockaddr *)&at, sizeof(at)) < 0)
		die("connect", NULL);
	start = now_msec();
	for (int i = 0; i < ROUND_TRIPS; i++)
		if (write(caller, "x", 1) != 1 || read(caller, bytes, 1) != 1)
			die("round trip", NULL);
	trip = (now_msec() - start) / ROUND_TRIPS;
	start = now_msec();
	for (int i = 0; i < BULK_COUNT; i++)
		if (write(caller, bytes, sizeof(bytes)) != sizeof(bytes))
			die("write", NULL);
	bulk = (double)BULK_COUNT * BULK_BYTES / (now_msec() - start) / 1e6;
	printf("  between two of them: round trip %.1f us, %.2f GB/s\n", trip * 1e3, bulk);
	close(caller);
	pthread_join(thread, NULL);
	close(server);
}

static void talk_over_bridge(struct network *network, const char *folder)
{
	auto_arena arena = {0};
	struct str names[] = {S("a/a"), S("b/b")}, paths[2], address;
	struct in_addr target;
	struct error err;

	for (int i = 0; i < 2; i++) {
		paths[i] = arena_printf(&arena, "%s/talk%d", folder, i);
		if (!network_attach_bridge(network, names[i], paths[i], NULL, 0, &arena, &address, &err))
			die("attach", &err);
	}
	inet_pton(AF_INET, arena_cstr(&arena, address), &target);
	talk(paths[0], paths[1], ntohl(target.s_addr));
	for (int i = 0; i < 2; i++)
		network_detach(network, names[i], paths[i], &err);
}

static void talk_in_vpc(struct fabric *fabric, const char *folder)
{
	auto_arena arena = {0};
	struct str names[] = {S("a"), S("b")}, ids[] = {S("eni-0"), S("eni-1")}, paths[2];
	struct error err;

	for (int i = 0; i < 2; i++) {
		struct acs_elastic_network_interface eni = {.ec2_id = ids[i]};

		paths[i] = arena_printf(&arena, "%s/talk%d", folder, i);
		if (!fabric_attach(fabric, names[i], paths[i], &eni, USEC_PER_SEC, &err))
			die("attach", &err);
	}
	talk(paths[0], paths[1], 0x0a000005);
	for (int i = 0; i < 2; i++)
		fabric_detach(fabric, names[i], paths[i], &err);
}

static double apply(struct fabric *fabric, struct str text)
{
	auto_arena arena = {0};
	struct json_fault fault = {0};
	struct error err;
	void *news;
	double from;

	if (!json_decode(&shape_wherry_watch_network_response, text, &arena, &news, &fault))
		die("news", &fault.error);
	from = now_msec();
	if (!fabric_apply(fabric, news, &err))
		die("apply", &err);
	return now_msec() - from;
}

/* An interface each, all in one group of one VPC; the group's other rule allows `port`. */
static double tell(struct fabric *fabric, int count, int port)
{
	auto_buffer text = {0};

	buffer_add(&text, S("{\"full\":true,\"vpcs\":[{\"id\":\"vpc-a\",\"blocks\":[\"10.0.0.0/16\"],\"resolver\":true}],\"interfaces\":["));
	for (int i = 0; i < count; i++)
		buffer_printf(&text, "%s{\"id\":\"eni-%d\",\"vpc\":\"vpc-a\",\"subnetBlock\":\"10.0.0.0/20\",\"mac\":\"02:00:00:00:%02x:%02x\","
			      "\"address\":\"10.0.%d.%d\",\"groups\":[\"sg-a\"]}", i ? "," : "", i, i / 250, i % 250, i / 250, 4 + i % 250);
	buffer_printf(&text, "],\"groups\":[{\"id\":\"sg-a\",\"vpc\":\"vpc-a\",\"ingress\":[{\"protocol\":\"-1\",\"groups\":[\"sg-a\"]},"
		      "{\"protocol\":\"tcp\",\"fromPort\":%d,\"toPort\":%d,\"blocks\":[\"0.0.0.0/0\"]}],"
		      "\"egress\":[{\"protocol\":\"-1\",\"blocks\":[\"0.0.0.0/0\"]}],\"members\":[", port, port);
	for (int i = 0; i < count; i++)
		buffer_printf(&text, "%s\"10.0.%d.%d\"", i ? "," : "", i / 250, 4 + i % 250);
	buffer_add(&text, S("]}]}"));
	return apply(fabric, buffer_str(&text));
}

/* The server tells of one interface in a VPC of its own, and then of its end. */
static void measure_lone(struct fabric *fabric, const char *folder, int count)
{
	static double msec[COUNT_LIMIT];
	auto_arena arena = {0};
	struct acs_elastic_network_interface eni = {.ec2_id = S("eni-lone")};
	struct str path = arena_printf(&arena, "%s/lone", folder);
	struct error err;

	for (int i = 0; i < count; i++) {
		double from = now_msec();

		apply(fabric, S("{\"vpcs\":[{\"id\":\"vpc-b\",\"blocks\":[\"10.0.0.0/16\"],\"resolver\":true}],\"interfaces\":[{\"id\":\"eni-lone\","
				"\"vpc\":\"vpc-b\",\"subnetBlock\":\"10.0.0.0/20\",\"mac\":\"02:00:00:00:00:05\",\"address\":\"10.0.0.5\",\"groups\":[\"sg-b\"]}],"
				"\"groups\":[{\"id\":\"sg-b\",\"vpc\":\"vpc-b\",\"ingress\":[{\"protocol\":\"-1\",\"blocks\":[\"0.0.0.0/0\"]}],"
				"\"members\":[\"10.0.0.5\"]}]}"));
		if (!fabric_attach(fabric, S("lone"), path, &eni, USEC_PER_SEC, &err))
			die("attach", &err);
		msec[i] = now_msec() - from;
		if (!fabric_detach(fabric, S("lone"), path, &err))
			die("detach", &err);
		apply(fabric, S("{\"gone\":[\"eni-lone\"]}"));
	}
	printf("VPC, lone tasks one after the other, the first in %.2f ms\n", msec[0]);
	print("attach", msec, count);
}

static void measure_fabric(const char *folder, int count)
{
	struct fabric_options options = {.run = str_of(folder), .prefix = S("wherry"), .table = S("wherry-vpc")};
	struct fabric *fabric;
	struct error err;
	double first, rule, member;

	if (!fabric_new(&options, &fabric, &err))
		die("fabric", &err);
	first = tell(fabric, count, 80);
	rule = tell(fabric, count, 81);
	member = tell(fabric, count - 1, 81);
	printf("VPC told with %d interfaces: made in %.2f ms; a rule changed in %.2f ms, a group's members in %.2f ms\n", count, first,
	       rule, member);
	tell(fabric, count, 80);
	measure(NULL, fabric, folder, 1, count);
	measure(NULL, fabric, folder, THREADS, count);
	measure_lone(fabric, folder, count);
	talk_in_vpc(fabric, folder);
	if (!fabric_down(fabric, &err))
		die("down", &err);
	fabric_free(fabric);
}

int main(int argc, char **argv)
{
	int64_t count = COUNT_DEFAULT;
	char folder[] = "/tmp/wherry-bench-XXXXXX";
	struct network *network;
	struct error err;

	if (argc > 1 && (!str_to_long(str_of(argv[1]), &count) || count < THREADS || count > COUNT_LIMIT))
		die("COUNT is 4 to 1000", NULL);
	if (geteuid() != 0 || unshare(CLONE_NEWNET | CLONE_NEWNS) < 0) {
		printf("skipped: a network namespace of one's own needs root\n");
		return 0;
	}
	if (mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 || !mkdtemp(folder) ||
	    mount("tmpfs", folder, "tmpfs", 0, NULL) < 0)
		die("a folder to work in", NULL);
	auto_arena arena = {0};
	struct network_options options = {
		.bridge = S("wherry0"), .bridge_cidr = S("172.31.224.1/20"), .table = S("wherry"),
		.state_folder = arena_printf(&arena, "%s/network", folder), .port_low = 32768, .port_high = 60999,
	};

	if (!network_new(&options, &network, &err) || !network_up(network, &err))
		die("network", &err);
	measure(network, NULL, folder, 1, (int)count);
	measure(network, NULL, folder, THREADS, (int)count);
	talk_over_bridge(network, folder);
	if (!network_down(network, &err))
		die("down", &err);
	network_free(network);
	measure_fabric(folder, (int)count);
	umount2(folder, MNT_DETACH);
	rmdir(folder);
	return 0;
}
