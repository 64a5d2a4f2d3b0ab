#include "host/stats.h"
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/sysinfo.h>
#include <time.h>
#include "base/list.h"
#include "base/map.h"
#include "host/cgroup.h"
#include "host/stats_private.h"
#include "os/clock.h"
#include "os/fd.h"
#include "os/netns.h"

enum {
	TEXT_SIZE = 32768,                               /* of one reading; a longer text is cut off */
	PATH_SIZE = 1024,
	CHUNK = 16,                                      /* containers read in one go under the lock */
	NETWORK_SOURCE = STATS_SOURCES - 1,              /* the others are files of control groups */
};

struct watched {
	struct str name;                                 /* "TASK/CONTAINER", owned: the group's name */
	struct str netns;                                /* owned; or absent */
	size_t place;                                    /* in the list */
	int files[STATS_SOURCES];                        /* kept open; -1: not */
	bool missing[STATS_SOURCES];
	struct stats_counters now, before;               /* at 0: not sampled yet */
	usec now_monotonic;
	struct stats_report report;
};

struct stats {
	struct arena arena;
	struct stats_options options;
	struct stats_view view;
	pthread_mutex_t lock;
	pthread_cond_t stop;
	pthread_t thread;
	bool stopping, has_thread;
	LIST_OF(struct watched *) all;
	struct map by_name;
	size_t descriptors;
	char text[TEXT_SIZE];                            /* under the lock */
};

/* ---- The kernel's texts */

struct str stats_next_word(struct str *line)
{
	size_t from = 0, to;
	struct str word;

	while (from < line->len && (line->ptr[from] == ' ' || line->ptr[from] == '\t'))
		from++;
	for (to = from; to < line->len && line->ptr[to] != ' ' && line->ptr[to] != '\t'; to++)
		;
	word = str_slice(*line, from, to);
	*line = str_slice(*line, to, line->len);
	return word;
}

bool stats_find_number(struct str text, struct str key, uint64_t *ret_value)
{
	struct str line;

	while (str_cut(&text, '\n', &line)) {
		if (key.len && (line.len <= key.len || line.ptr[key.len] != ' ' || !str_starts(line, key)))
			continue;
		return str_to_unsigned(str_trim(str_slice(line, key.len, line.len)), ret_value);
	}
	return false;
}

static void parse_cpu_v1(struct str text, struct stats_counters *counters)
{
	stats_find_number(text, S(""), &counters->cpu_nsec);
}

static void parse_cpu_v2(struct str text, struct stats_counters *counters)
{
	if (stats_find_number(text, S("usage_usec"), &counters->cpu_nsec))
		counters->cpu_nsec *= 1000;
}

static void parse_memory(struct str text, struct stats_counters *counters)
{
	stats_find_number(text, S(""), &counters->memory_bytes);
}

static void parse_cache_v1(struct str text, struct stats_counters *counters)
{
	stats_find_number(text, S("total_inactive_file"), &counters->memory_cache_bytes);
}

static void parse_cache_v2(struct str text, struct stats_counters *counters)
{
	stats_find_number(text, S("inactive_file"), &counters->memory_cache_bytes);
}

/* "8:0 Read 4096" */
static void parse_blocks_v1(struct str text, struct stats_counters *counters)
{
	struct str line;

	while (str_cut(&text, '\n', &line)) {
		uint64_t bytes = 0;
		struct str kind;

		stats_next_word(&line);
		kind = stats_next_word(&line);
		str_to_unsigned(stats_next_word(&line), &bytes);
		if (str_equal(kind, S("Read")))
			counters->read_bytes += bytes;
		else if (str_equal(kind, S("Write")))
			counters->write_bytes += bytes;
	}
}

/* "8:0 rbytes=4096 wbytes=0 …" */
static void parse_blocks_v2(struct str text, struct stats_counters *counters)
{
	struct str line, word, key;
	uint64_t bytes;

	while (str_cut(&text, '\n', &line))
		while ((word = stats_next_word(&line)).len > 0) {
			if (!str_cut(&word, '=', &key) || !str_has(word) || !str_to_unsigned(word, &bytes))
				continue;
			if (str_equal(key, S("rbytes")))
				counters->read_bytes += bytes;
			else if (str_equal(key, S("wbytes")))
				counters->write_bytes += bytes;
		}
}

void stats_parse_link(struct str numbers, struct stats_counters *counters)
{
	uint64_t *const columns[] = {
		&counters->rx_bytes, &counters->rx_packets, &counters->rx_errors, &counters->rx_dropped, NULL, NULL, NULL,
		NULL, &counters->tx_bytes, &counters->tx_packets, &counters->tx_errors, &counters->tx_dropped,
	};
	uint64_t value;

	for (size_t i = 0; i < COUNT(columns); i++)
		if (str_to_unsigned(stats_next_word(&numbers), &value) && columns[i])
			*columns[i] += value;
}

/* All links but the loopback. */
static void parse_network(struct str text, struct stats_counters *counters)
{
	struct str line, name;

	while (str_cut(&text, '\n', &line))
		if (str_cut(&line, ':', &name) && str_has(line) && !str_equal(str_trim(name), S("lo")))
			stats_parse_link(line, counters);
}

static const struct source {
	size_t folder;                                   /* where in the view its folder is told */
	const char *file;
	void (*parse)(struct str text, struct stats_counters *counters);
} sources_v1[STATS_SOURCES] = {
	{offsetof(struct stats_view, cpuacct), "cpuacct.usage", parse_cpu_v1},
	{offsetof(struct stats_view, memory), "memory.usage_in_bytes", parse_memory},
	{offsetof(struct stats_view, memory), "memory.stat", parse_cache_v1},
	{offsetof(struct stats_view, blkio), "blkio.throttle.io_service_bytes_recursive", parse_blocks_v1},
	[NETWORK_SOURCE] = {0, NULL, parse_network},
}, sources_v2[STATS_SOURCES] = {
	{offsetof(struct stats_view, cpuacct), "cpu.stat", parse_cpu_v2},
	{offsetof(struct stats_view, memory), "memory.current", parse_memory},
	{offsetof(struct stats_view, memory), "memory.stat", parse_cache_v2},
	{offsetof(struct stats_view, blkio), "io.stat", parse_blocks_v2},
	[NETWORK_SOURCE] = {0, NULL, parse_network},
};

/* ---- Files, kept open or not */

static int open_group_file(const struct stats *stats, const struct watched *watched, const struct source *source)
{
	const struct str *folder = (const struct str *)((const char *)&stats->view + source->folder);
	char path[PATH_SIZE];

	if (!str_has(*folder) || snprintf(path, sizeof(path), "%.*s/%.*s/%s", STR(*folder), STR(watched->name),
					  source->file) >= (int)sizeof(path))
		return -1;
	return open(path, O_RDONLY | O_CLOEXEC);
}

/* The table of a namespace's links is the one of the thread that opened it. */
static int open_network(const struct watched *watched)
{
	char path[PATH_SIZE];
	auto_fd netns = -1;
	int back, fd;

	if (!str_has(watched->netns) || snprintf(path, sizeof(path), "%.*s", STR(watched->netns)) >= (int)sizeof(path))
		return -1;
	netns = open(path, O_RDONLY | O_CLOEXEC);
	if (netns < 0 || !netns_enter(netns, &back, NULL))
		return -1;
	fd = open("/proc/thread-self/net/dev", O_RDONLY | O_CLOEXEC);
	netns_leave(back);
	return fd;
}

static int open_source(const struct stats *stats, const struct watched *watched, size_t i, const struct source *source)
{
	return i == NETWORK_SOURCE ? open_network(watched) : open_group_file(stats, watched, source);
}

/* Absent when there is nothing to read; in stats->text. */
static struct str read_source(struct stats *stats, struct watched *watched, size_t i, const struct source *source)
{
	int fd = watched->files[i];
	bool keep = fd >= 0;
	ssize_t len;

	if (watched->missing[i])
		return STR_NONE;
	if (!keep) {
		fd = open_source(stats, watched, i, source);
		if (fd < 0) {
			watched->missing[i] = true;
			return STR_NONE;
		}
		keep = stats->descriptors < STATS_DESCRIPTORS_LIMIT;
		if (keep) {
			watched->files[i] = fd;
			stats->descriptors++;
		}
	}
	len = pread(fd, stats->text, sizeof(stats->text), 0);
	if (!keep)
		close(fd);
	return len > 0 ? (struct str){stats->text, (size_t)len} : STR_NONE;
}

/* ---- A sample */

static void set_add(struct stats_set *set, double value)
{
	set->min = set->count ? MIN(set->min, value) : value;
	set->max = set->count ? MAX(set->max, value) : value;
	set->sum += value;
	set->count++;
}

/* Counters that went back (a link came anew) have grown by nothing. */
static double growth(uint64_t now, uint64_t before)
{
	return now > before ? (double)(now - before) : 0;
}

static void add_network(struct watched *watched, double seconds)
{
	const struct stats_counters *now = &watched->now, *before = &watched->before;
	struct stats_report *report = &watched->report;

	report->has_network = true;
	set_add(&report->rx_bytes, growth(now->rx_bytes, before->rx_bytes));
	set_add(&report->rx_packets, growth(now->rx_packets, before->rx_packets));
	set_add(&report->rx_errors, growth(now->rx_errors, before->rx_errors));
	set_add(&report->rx_dropped, growth(now->rx_dropped, before->rx_dropped));
	set_add(&report->tx_bytes, growth(now->tx_bytes, before->tx_bytes));
	set_add(&report->tx_packets, growth(now->tx_packets, before->tx_packets));
	set_add(&report->tx_errors, growth(now->tx_errors, before->tx_errors));
	set_add(&report->tx_dropped, growth(now->tx_dropped, before->tx_dropped));
	set_add(&report->rx_rate, growth(now->rx_bytes, before->rx_bytes) / seconds);
	set_add(&report->tx_rate, growth(now->tx_bytes, before->tx_bytes) / seconds);
}

static void add_to_report(const struct stats *stats, struct watched *watched, double seconds)
{
	const struct stats_counters *now = &watched->now, *before = &watched->before;
	struct stats_report *report = &watched->report;

	set_add(&report->cpu_percent,
		growth(now->cpu_nsec, before->cpu_nsec) / (seconds * 1e9 * stats->view.cores) * 100);
	set_add(&report->memory_mib, growth(now->memory_bytes, now->memory_cache_bytes) / (1 << 20));
	set_add(&report->read_bytes, growth(now->read_bytes, before->read_bytes));
	set_add(&report->write_bytes, growth(now->write_bytes, before->write_bytes));
	if (!watched->missing[NETWORK_SOURCE])
		add_network(watched, seconds);
}

static void sample(struct stats *stats, struct watched *watched)
{
	const struct source *sources = stats->view.v2 ? sources_v2 : sources_v1;
	struct stats_counters now = {.at = clock_now()};
	usec monotonic = clock_monotonic(), span = monotonic - watched->now_monotonic;

	for (size_t i = 0; i < STATS_SOURCES; i++) {
		struct str text = read_source(stats, watched, i, &sources[i]);

		if (str_has(text))
			sources[i].parse(text, &now);
	}
	watched->before = watched->now;
	watched->now = now;
	watched->now_monotonic = monotonic;
	if (watched->before.at && span > 0)
		add_to_report(stats, watched, (double)span / USEC_PER_SEC);
}

/* ---- The thread */

static void sample_all(struct stats *stats)
{
	/* In pieces, so that who asks meanwhile waits for a few containers and not for all. One that moves into the
	 * place of another that ends is missed once. */
	for (size_t at = 0; at < stats->all.count && !stats->stopping;) {
		for (size_t end = MIN(at + CHUNK, stats->all.count); at < end; at++)
			sample(stats, stats->all.items[at]);
		pthread_mutex_unlock(&stats->lock);
		pthread_mutex_lock(&stats->lock);
	}
}

static void add_msec(struct timespec *time, long msec)
{
	time->tv_nsec += msec * 1000000;
	time->tv_sec += time->tv_nsec / 1000000000;
	time->tv_nsec %= 1000000000;
}

static void *run(void *arg)
{
	struct stats *stats = arg;
	struct timespec next;

	clock_gettime(CLOCK_MONOTONIC, &next);
	pthread_mutex_lock(&stats->lock);
	while (!stats->stopping) {
		struct timespec now;

		add_msec(&next, STATS_PERIOD_MSEC);
		while (!stats->stopping && pthread_cond_timedwait(&stats->stop, &stats->lock, &next) == 0)
			;
		sample_all(stats);
		pthread_mutex_unlock(&stats->lock);
		if (stats->options.sampled && !stats->stopping)
			stats->options.sampled(stats->options.arg);
		pthread_mutex_lock(&stats->lock);
		/* After a suspended machine or a slow round: no bunch of rounds to catch up. */
		clock_gettime(CLOCK_MONOTONIC, &now);
		if (now.tv_sec > next.tv_sec + 1)
			next = now;
	}
	pthread_mutex_unlock(&stats->lock);
	return NULL;
}

static void find_view(struct stats *stats)
{
	const struct { const char *controller; struct str *folder; } rows[] = {
		{"cpu", &stats->view.cpu}, {"cpuacct", &stats->view.cpuacct}, {"memory", &stats->view.memory},
		{"blkio", &stats->view.blkio}, {"pids", &stats->view.pids},
	};

	stats->view.v2 = cgroup_mode() == CGROUP_V2;
	stats->view.cores = (unsigned)MAX(get_nprocs(), 1);
	for (size_t i = 0; i < COUNT(rows); i++)
		cgroup_controller_folder(rows[i].controller, &stats->arena, rows[i].folder, NULL);
}

bool stats_new(const struct stats_options *options, struct stats **ret_stats, struct error *err)
{
	struct stats *stats = calloc(1, sizeof(*stats));
	pthread_condattr_t attributes;
	int failed;

	if (!stats)
		abort();
	stats->options = *options;
	find_view(stats);
	pthread_mutex_init(&stats->lock, NULL);
	pthread_condattr_init(&attributes);
	pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
	pthread_cond_init(&stats->stop, &attributes);
	pthread_condattr_destroy(&attributes);
	failed = pthread_create(&stats->thread, NULL, run, stats);
	if (failed) {
		stats_free(stats);
		return fail_os(err, failed, "start the sampling thread");
	}
	stats->has_thread = true;
	*ret_stats = stats;
	return true;
}

/* ---- What is watched */

static struct str name_of(struct str task_id, struct str container, char text[PATH_SIZE])
{
	int len = snprintf(text, PATH_SIZE, "%.*s/%.*s", STR(task_id), STR(container));

	return (struct str){text, (size_t)MIN(len, PATH_SIZE - 1)};
}

static struct str own(struct str text)
{
	char *copy = str_has(text) ? strndup(text.ptr, text.len) : NULL;

	if (str_has(text) && !copy)
		abort();
	return (struct str){copy, text.len};
}

static void forget(struct stats *stats, struct watched *watched)
{
	map_remove(&stats->by_name, watched->name);
	stats->all.items[watched->place] = stats->all.items[--stats->all.count];
	stats->all.items[watched->place]->place = watched->place;
	for (size_t i = 0; i < STATS_SOURCES; i++)
		if (watched->files[i] >= 0) {
			close(watched->files[i]);
			stats->descriptors--;
		}
	free((char *)watched->name.ptr);
	free((char *)watched->netns.ptr);
	free(watched);
}

static void watch(struct stats *stats, struct str name, struct str netns)
{
	struct watched *watched = calloc(1, sizeof(*watched));

	if (!watched)
		abort();
	watched->name = own(name);
	watched->netns = own(netns);
	watched->place = stats->all.count;
	for (size_t i = 0; i < STATS_SOURCES; i++)
		watched->files[i] = -1;
	list_add(&stats->all, watched);
	map_put(&stats->by_name, watched->name, watched);
}

void stats_watch(struct stats *stats, struct str task_id, struct str container, struct str netns)
{
	char text[PATH_SIZE];
	struct str name = name_of(task_id, container, text);
	struct watched *old;

	pthread_mutex_lock(&stats->lock);
	old = map_get(&stats->by_name, name);
	if (old)
		forget(stats, old);
	if (stats->all.count < STATS_CONTAINERS_LIMIT)
		watch(stats, name, netns);
	pthread_mutex_unlock(&stats->lock);
}

void stats_forget(struct stats *stats, struct str task_id, struct str container)
{
	char text[PATH_SIZE];
	struct watched *watched;

	pthread_mutex_lock(&stats->lock);
	watched = map_get(&stats->by_name, name_of(task_id, container, text));
	if (watched)
		forget(stats, watched);
	pthread_mutex_unlock(&stats->lock);
}

void stats_free(struct stats *stats)
{
	if (!stats)
		return;
	pthread_mutex_lock(&stats->lock);
	stats->stopping = true;
	pthread_cond_signal(&stats->stop);
	pthread_mutex_unlock(&stats->lock);
	if (stats->has_thread)
		pthread_join(stats->thread, NULL);
	while (stats->all.count)
		forget(stats, stats->all.items[0]);
	list_fini(&stats->all);
	map_fini(&stats->by_name);
	pthread_cond_destroy(&stats->stop);
	pthread_mutex_destroy(&stats->lock);
	arena_fini(&stats->arena);
	free(stats);
}

/* ---- What is told */

bool stats_take(struct stats *stats, struct str task_id, struct str container, struct stats_report *ret_report)
{
	char text[PATH_SIZE];
	struct watched *watched;
	bool any;

	pthread_mutex_lock(&stats->lock);
	watched = map_get(&stats->by_name, name_of(task_id, container, text));
	any = watched && watched->report.cpu_percent.count > 0;
	if (any) {
		*ret_report = watched->report;
		watched->report = (struct stats_report){0};
	}
	pthread_mutex_unlock(&stats->lock);
	return any;
}

static struct watched *find_sampled(struct stats *stats, struct str name)
{
	struct watched *watched = map_get(&stats->by_name, name);

	if (watched && !watched->now.at)
		sample(stats, watched);
	return watched;
}

bool stats_latest(struct stats *stats, struct str task_id, struct str container, struct stats_counters *ret_now,
		  struct stats_counters *ret_before)
{
	char text[PATH_SIZE];
	const struct watched *watched;

	pthread_mutex_lock(&stats->lock);
	watched = find_sampled(stats, name_of(task_id, container, text));
	if (watched) {
		*ret_now = watched->now;
		*ret_before = watched->before;
	}
	pthread_mutex_unlock(&stats->lock);
	return watched != NULL;
}

struct metadata_stats *stats_describe(struct stats *stats, struct str task_id, struct str container,
				      struct arena *arena)
{
	char text[PATH_SIZE];
	struct str name = name_of(task_id, container, text), net_dev = STR_NONE;
	struct stats_counters now, before;
	struct watched *watched;

	pthread_mutex_lock(&stats->lock);
	watched = find_sampled(stats, name);
	if (watched) {
		now = watched->now;
		before = watched->before;
		net_dev = arena_copy(arena, read_source(stats, watched, NETWORK_SOURCE, &sources_v1[NETWORK_SOURCE]));
	}
	pthread_mutex_unlock(&stats->lock);
	return watched ? stats_docker(&stats->view, name, &now, &before, net_dev, arena) : NULL;
}
