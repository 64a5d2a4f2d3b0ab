/* network.c - how long a container's network takes, in a network namespace of its own.
 *
 * Prints the median and the 99th percentile of attach and detach in bridge mode, alone and with 4 threads.
 * Usage: bench_network [COUNT]; needs root. */
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>
#include "host/network.h"
#include "os/netlink.h"

enum { THREADS = 4, COUNT_DEFAULT = 200, COUNT_LIMIT = 1000, PORTS_EACH = 2 };

struct run {
	struct network *network;
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

static void attach(struct run *run, int index, struct str owner, struct str path)
{
	auto_arena arena = {0};
	struct network_port ports[PORTS_EACH] = {{.container_port = 80}, {.container_port = 53, .udp = true}};
	struct str address;
	struct error err;
	double from = now_msec();

	if (!network_attach_bridge(run->network, owner, path, ports, PORTS_EACH, &arena, &address, &err))
		die("attach", &err);
	run->attach_msec[index] = now_msec() - from;
}

static void detach(struct run *run, int index, struct str owner, struct str path)
{
	struct error err;
	double from = now_msec();

	if (!network_detach(run->network, owner, path, &err))
		die("detach", &err);
	run->detach_msec[index] = now_msec() - from;
}

static void *run_thread(void *arg)
{
	struct run *run = arg;

	for (int pass = 0; pass < 2; pass++)
		for (int i = 0; i < run->count; i++) {
			auto_arena arena = {0};
			struct str owner = arena_printf(&arena, "task%d/web%d", run->thread, i);
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

/* The kernel takes the links away in the background; the next run should not pay for the last. */
static void settle(void)
{
	auto_netlink netlink = {0};
	struct error err;
	bool quiet = false;
	double from = now_msec();

	if (!netlink_open(&netlink, &err))
		die("netlink", &err);
	while (!quiet && now_msec() - from < 20e3) {
		size_t count;

		usleep(20000);
		if (!netlink_links_count(&netlink, S("wherry0-"), &count, &err))
			die("links", &err);
		quiet = count == 0;
	}
	printf("  links gone after %.0f ms\n", now_msec() - from);
}

static void measure(struct network *network, const char *folder, int threads, int count)
{
	static struct run runs[THREADS];
	static double all[THREADS * COUNT_LIMIT];
	pthread_t ids[THREADS];
	double from = now_msec(), spent;
	int each = count / threads;

	for (int i = 0; i < threads; i++) {
		runs[i] = (struct run){.network = network, .folder = folder, .thread = i, .count = each};
		pthread_create(&ids[i], NULL, run_thread, &runs[i]);
	}
	for (int i = 0; i < threads; i++)
		pthread_join(ids[i], NULL);
	spent = now_msec() - from;
	printf("bridge network, %d containers with %d ports, %d thread%s: %.0f attach+detach/s\n", each * threads,
	       PORTS_EACH, threads, threads == 1 ? "" : "s", each * threads / spent * 1e3);
	for (int i = 0; i < threads; i++)
		memcpy(&all[i * each], runs[i].attach_msec, (size_t)each * sizeof(*all));
	print("attach", all, each * threads);
	for (int i = 0; i < threads; i++)
		memcpy(&all[i * each], runs[i].detach_msec, (size_t)each * sizeof(*all));
	print("detach", all, each * threads);
	settle();
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
	measure(network, folder, 1, (int)count);
	measure(network, folder, THREADS, (int)count);
	if (!network_down(network, &err))
		die("down", &err);
	network_free(network);
	umount2(folder, MNT_DETACH);
	rmdir(folder);
	return 0;
}
