/* docker's stats of one container: what was sampled, and what is read for whoever asks. */
#include <stdio.h>
#include <unistd.h>
#include "host/stats_private.h"
#include "os/file.h"

enum { FILE_LIMIT = 1 << 16, ENTRIES_LIMIT = 256 };

static struct str read_file(struct str folder, struct str group, const char *file, struct arena *arena)
{
	struct str text;

	if (!str_has(folder) ||
	    !file_read(AT_FDCWD, arena_printf(arena, "%.*s/%.*s/%s", STR(folder), STR(group), file).ptr, FILE_LIMIT, arena,
		       &text, NULL))
		return STR_NONE;
	return text;
}

static struct maybe_long number_in(struct str text, struct str key)
{
	uint64_t value;

	if (!str_has(text) || !stats_find_number(text, key, &value) || value > INT64_MAX)
		return (struct maybe_long){0};
	return (struct maybe_long){(int64_t)value, true};
}

static struct maybe_long number_of(uint64_t value) { return (struct maybe_long){(int64_t)MIN(value, (uint64_t)INT64_MAX), true}; }

static struct maybe_long scaled(struct maybe_long value, int64_t factor)
{
	value.value *= factor;
	return value;
}

/* ---- CPU */

/* All cores' busy and idle time, as docker counts it: the first seven columns of the first line. */
static struct maybe_long system_usage(struct arena *arena)
{
	struct str text, line, word;
	uint64_t ticks = 0, value;

	if (!file_read(AT_FDCWD, "/proc/stat", FILE_LIMIT << 4, arena, &text, NULL) || !str_cut(&text, '\n', &line))
		return (struct maybe_long){0};
	stats_next_word(&line);
	for (int i = 0; i < 7 && (word = stats_next_word(&line)).len > 0; i++)
		if (str_to_unsigned(word, &value))
			ticks += value;
	return number_of(ticks * (1000000000 / (uint64_t)sysconf(_SC_CLK_TCK)));
}

static struct metadata_longs per_core(struct str text, struct arena *arena)
{
	struct metadata_longs list = {arena_array(arena, struct maybe_long, ENTRIES_LIMIT), 0};
	struct str line = str_trim(text), word;
	uint64_t value;

	while (list.count < ENTRIES_LIMIT && (word = stats_next_word(&line)).len > 0)
		if (str_to_unsigned(word, &value))
			list.items[list.count++] = number_of(value);
	return str_has(text) ? list : (struct metadata_longs){0};
}

static void describe_cpu_v1(const struct stats_view *view, struct str group, struct arena *arena,
			    struct metadata_cpu_stats *cpu)
{
	int64_t tick = 1000000000 / sysconf(_SC_CLK_TCK);
	struct str split = read_file(view->cpuacct, group, "cpuacct.stat", arena);
	struct str quota = read_file(view->cpu, group, "cpu.stat", arena);

	cpu->cpu_usage->percpu_usage = per_core(read_file(view->cpuacct, group, "cpuacct.usage_percpu", arena), arena);
	cpu->cpu_usage->usage_in_usermode = scaled(number_in(split, S("user")), tick);
	cpu->cpu_usage->usage_in_kernelmode = scaled(number_in(split, S("system")), tick);
	cpu->throttling_data->periods = number_in(quota, S("nr_periods"));
	cpu->throttling_data->throttled_periods = number_in(quota, S("nr_throttled"));
	cpu->throttling_data->throttled_time = number_in(quota, S("throttled_time"));
}

static void describe_cpu_v2(const struct stats_view *view, struct str group, struct arena *arena,
			    struct metadata_cpu_stats *cpu)
{
	struct str text = read_file(view->cpu, group, "cpu.stat", arena);

	cpu->cpu_usage->usage_in_usermode = scaled(number_in(text, S("user_usec")), 1000);
	cpu->cpu_usage->usage_in_kernelmode = scaled(number_in(text, S("system_usec")), 1000);
	cpu->throttling_data->periods = number_in(text, S("nr_periods"));
	cpu->throttling_data->throttled_periods = number_in(text, S("nr_throttled"));
	cpu->throttling_data->throttled_time = scaled(number_in(text, S("throttled_usec")), 1000);
}

static struct metadata_cpu_stats *new_cpu(const struct stats_view *view, const struct stats_counters *counters,
					  struct arena *arena)
{
	struct metadata_cpu_stats *cpu = arena_new(arena, struct metadata_cpu_stats);

	cpu->cpu_usage = arena_new(arena, struct metadata_cpu_usage);
	cpu->cpu_usage->total_usage = number_of(counters->cpu_nsec);
	cpu->throttling_data = arena_new(arena, struct metadata_cpu_throttling);
	cpu->online_cpus = (struct maybe_integer){(int32_t)view->cores, true};
	return cpu;
}

/* The machine's time at the sample before, which nobody read then: what has passed since is known. */
static struct maybe_long system_usage_before(struct maybe_long now, const struct stats_view *view, usec span)
{
	now.value -= MIN(now.value, span * 1000 * view->cores);
	return now;
}

static void describe_cpu(const struct stats_view *view, struct str group, const struct stats_counters *now,
			 const struct stats_counters *before, struct arena *arena, struct metadata_stats *stats)
{
	struct metadata_cpu_stats *cpu = new_cpu(view, now, arena);

	cpu->system_cpu_usage = system_usage(arena);
	(view->v2 ? describe_cpu_v2 : describe_cpu_v1)(view, group, arena, cpu);
	stats->cpu_stats = cpu;
	stats->precpu_stats = new_cpu(view, before, arena);
	if (before->at)
		stats->precpu_stats->system_cpu_usage =
			system_usage_before(cpu->system_cpu_usage, view, now->at - before->at);
}

/* ---- Memory and processes */

static struct metadata_long_map memory_table(struct str text, struct arena *arena)
{
	struct metadata_long_map map = {arena_array(arena, struct metadata_long_map_entry, ENTRIES_LIMIT), 0};
	struct str line, key;
	uint64_t value;

	while (map.count < ENTRIES_LIMIT && str_cut(&text, '\n', &line))
		if (str_cut(&line, ' ', &key) && str_has(line) && str_to_unsigned(line, &value))
			map.items[map.count++] = (struct metadata_long_map_entry){key, number_of(value)};
	return map;
}

/* "max" on v2, and a number close to the largest on v1, mean: all of the machine's. */
static struct maybe_long memory_limit(struct str text)
{
	int64_t machine = (int64_t)sysconf(_SC_PHYS_PAGES) * sysconf(_SC_PAGESIZE);
	struct maybe_long limit = number_in(text, S(""));

	return limit.has && limit.value < machine ? limit : (struct maybe_long){machine, true};
}

static void describe_memory(const struct stats_view *view, struct str group, const struct stats_counters *now,
			    struct arena *arena, struct metadata_stats *stats)
{
	struct metadata_memory_stats *memory = arena_new(arena, struct metadata_memory_stats);
	struct metadata_pids_stats *pids = arena_new(arena, struct metadata_pids_stats);
	const char *const limit = view->v2 ? "memory.max" : "memory.limit_in_bytes";
	const char *const peak = view->v2 ? "memory.peak" : "memory.max_usage_in_bytes";

	memory->usage = number_of(now->memory_bytes);
	memory->max_usage = number_in(read_file(view->memory, group, peak, arena), S(""));
	memory->limit = memory_limit(read_file(view->memory, group, limit, arena));
	memory->stats = memory_table(read_file(view->memory, group, "memory.stat", arena), arena);
	if (!view->v2)
		memory->failcnt = number_in(read_file(view->memory, group, "memory.failcnt", arena), S(""));
	pids->current = number_in(read_file(view->pids, group, "pids.current", arena), S(""));
	pids->limit = number_in(read_file(view->pids, group, "pids.max", arena), S(""));
	stats->memory_stats = memory;
	stats->pids_stats = pids;
	stats->num_procs = (struct maybe_integer){0, true};      /* docker fills it on Windows only */
}

/* ---- Block I/O */

static void add_entry(struct metadata_blkio_entries *entries, struct str device, struct str kind, struct str number)
{
	struct str major;
	int64_t high, low;
	uint64_t value;

	if (entries->count == ENTRIES_LIMIT || !str_cut(&device, ':', &major) || !str_has(device) ||
	    !str_to_long(major, &high) || !str_to_long(device, &low) || !str_to_unsigned(number, &value))
		return;
	entries->items[entries->count++] = (struct metadata_blkio_entry){
		.major = {high, true}, .minor = {low, true}, .op = kind, .value = number_of(value)};
}

static struct metadata_blkio_entries new_entries(struct arena *arena)
{
	return (struct metadata_blkio_entries){arena_array(arena, struct metadata_blkio_entry, ENTRIES_LIMIT), 0};
}

static struct metadata_blkio_entries blocks_v1(struct str text, struct arena *arena)
{
	struct metadata_blkio_entries entries = new_entries(arena);
	struct str line;

	while (str_cut(&text, '\n', &line)) {
		struct str device = stats_next_word(&line), kind = stats_next_word(&line);

		add_entry(&entries, device, kind, stats_next_word(&line));
	}
	return entries;
}

static struct metadata_blkio_entries blocks_v2(struct str text, struct str read_key, struct str write_key,
					       struct arena *arena)
{
	struct metadata_blkio_entries entries = new_entries(arena);
	struct str line, word, key;

	while (str_cut(&text, '\n', &line)) {
		struct str device = stats_next_word(&line);

		while ((word = stats_next_word(&line)).len > 0)
			if (str_cut(&word, '=', &key) && (str_equal(key, read_key) || str_equal(key, write_key)))
				add_entry(&entries, device, str_equal(key, read_key) ? S("read") : S("write"), word);
	}
	return entries;
}

static void describe_blocks(const struct stats_view *view, struct str group, struct arena *arena,
			    struct metadata_stats *stats)
{
	struct metadata_blkio_stats *blocks = arena_new(arena, struct metadata_blkio_stats);

	stats->blkio_stats = blocks;
	if (view->v2) {
		struct str text = read_file(view->blkio, group, "io.stat", arena);

		blocks->io_service_bytes_recursive = blocks_v2(text, S("rbytes"), S("wbytes"), arena);
		blocks->io_serviced_recursive = blocks_v2(text, S("rios"), S("wios"), arena);
		return;
	}
	blocks->io_service_bytes_recursive =
		blocks_v1(read_file(view->blkio, group, "blkio.throttle.io_service_bytes_recursive", arena), arena);
	blocks->io_serviced_recursive =
		blocks_v1(read_file(view->blkio, group, "blkio.throttle.io_serviced_recursive", arena), arena);
}

/* ---- Network */

static struct metadata_network_stats link_stats(struct str numbers)
{
	struct stats_counters counters = {0};

	stats_parse_link(numbers, &counters);
	return (struct metadata_network_stats){
		.rx_bytes = number_of(counters.rx_bytes), .rx_packets = number_of(counters.rx_packets),
		.rx_errors = number_of(counters.rx_errors), .rx_dropped = number_of(counters.rx_dropped),
		.tx_bytes = number_of(counters.tx_bytes), .tx_packets = number_of(counters.tx_packets),
		.tx_errors = number_of(counters.tx_errors), .tx_dropped = number_of(counters.tx_dropped),
	};
}

static void describe_network(struct str net_dev, const struct stats_counters *now, const struct stats_counters *before,
			     struct arena *arena, struct metadata_stats *stats)
{
	struct metadata_network_stats_map *map = &stats->networks;
	struct str line, name;

	if (!str_has(net_dev))
		return;
	map->items = arena_array(arena, struct metadata_network_stats_map_entry, ENTRIES_LIMIT);
	while (map->count < ENTRIES_LIMIT && str_cut(&net_dev, '\n', &line))
		if (str_cut(&line, ':', &name) && str_has(line) && !str_equal(str_trim(name), S("lo")))
			map->items[map->count++] = (struct metadata_network_stats_map_entry){str_trim(name), link_stats(line)};
	stats->network_rate_stats = arena_new(arena, struct metadata_network_rates);
	if (before->at && now->at > before->at) {
		double seconds = (double)(now->at - before->at) / USEC_PER_SEC;

		stats->network_rate_stats->rx_bytes_per_sec =
			(struct maybe_double){(double)(now->rx_bytes - MIN(before->rx_bytes, now->rx_bytes)) / seconds, true};
		stats->network_rate_stats->tx_bytes_per_sec =
			(struct maybe_double){(double)(now->tx_bytes - MIN(before->tx_bytes, now->tx_bytes)) / seconds, true};
	}
}

struct metadata_stats *stats_docker(const struct stats_view *view, struct str group, const struct stats_counters *now,
				    const struct stats_counters *before, struct str net_dev, struct arena *arena)
{
	struct metadata_stats *stats = arena_new(arena, struct metadata_stats);

	stats->read = (struct maybe_time){now->at, true};
	stats->preread = (struct maybe_time){before->at, before->at != 0};
	describe_cpu(view, group, now, before, arena, stats);
	describe_memory(view, group, now, arena, stats);
	describe_blocks(view, group, arena, stats);
	describe_network(net_dev, now, before, arena, stats);
	return stats;
}
