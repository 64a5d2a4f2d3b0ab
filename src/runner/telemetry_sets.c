/* Samples as TCS wants them: sets of a period, a task's network shared among its containers. */
#include <math.h>
#include "api/tcs.h"
#include "base/arena.h"
#include "host/stats.h"
#include "runner/telemetry.h"

/* One of several containers that share what was counted: all shares together are the whole. */
struct share { size_t index, count; };

static struct tcs_stats_set *double_set(const struct stats_set *from, struct share share, struct arena *arena)
{
	struct tcs_stats_set *set = arena_new(arena, struct tcs_stats_set);
	double parts = (double)share.count;

	set->min = (struct maybe_double){from->min / parts, true};
	set->max = (struct maybe_double){from->max / parts, true};
	set->sum = (struct maybe_double){from->sum / parts, true};
	set->sample_count = (struct maybe_double){(double)from->count, true};
	return set;
}

static struct maybe_long part_of(double value, struct share share)
{
	int64_t whole = (int64_t)fmin(value, 9e18), part = whole / (int64_t)share.count;

	/* What does not divide goes with the first. */
	return (struct maybe_long){share.index == 0 ? whole - part * (int64_t)(share.count - 1) : part, true};
}

static struct tcs_count_set *count_set(const struct stats_set *from, struct share share, struct arena *arena)
{
	struct tcs_count_set *set = arena_new(arena, struct tcs_count_set);

	set->min = part_of(from->min, share);
	set->max = part_of(from->max, share);
	set->sum = part_of(from->sum, share);
	set->sample_count = (struct maybe_long){(int64_t)from->count, true};
	return set;
}

static struct tcs_network_stats_set *network_set(const struct stats_report *report, struct share share,
						 struct arena *arena)
{
	struct tcs_network_stats_set *set = arena_new(arena, struct tcs_network_stats_set);

	set->rx_bytes = count_set(&report->rx_bytes, share, arena);
	set->rx_packets = count_set(&report->rx_packets, share, arena);
	set->rx_errors = count_set(&report->rx_errors, share, arena);
	set->rx_dropped = count_set(&report->rx_dropped, share, arena);
	set->tx_bytes = count_set(&report->tx_bytes, share, arena);
	set->tx_packets = count_set(&report->tx_packets, share, arena);
	set->tx_errors = count_set(&report->tx_errors, share, arena);
	set->tx_dropped = count_set(&report->tx_dropped, share, arena);
	set->rx_bytes_per_second = double_set(&report->rx_rate, share, arena);
	set->tx_bytes_per_second = double_set(&report->tx_rate, share, arena);
	return set;
}

static struct maybe_double limit_of(const struct acs_task *task, const struct acs_container *container)
{
	int32_t limit = container->memory.value > 0 ? container->memory.value : task->memory.value;

	return (struct maybe_double){limit, limit > 0};
}

static void describe(const struct agent_task *task, size_t i, const struct stats_report *report, struct arena *arena,
		     struct tcs_container_metric *metric)
{
	const struct acs_container *container = &task->task->containers.items[i];
	const struct share whole = {0, 1};
	int32_t restarts;

	*metric = (struct tcs_container_metric){
		.container_arn = container->container_arn, .container_name = container->name,
		.cpu_stats_set = double_set(&report->cpu_percent, whole, arena),
		.memory_stats_set = double_set(&report->memory_mib, whole, arena),
		.storage_stats_set = arena_new(arena, struct tcs_storage_stats_set),
		.restart_stats_set = arena_new(arena, struct tcs_restart_stats_set),
		.memory_limit = limit_of(task->task, container),
	};
	metric->storage_stats_set->read_size_bytes = count_set(&report->read_bytes, whole, arena);
	metric->storage_stats_set->write_size_bytes = count_set(&report->write_bytes, whole, arena);
	agent_restart_count(task, i, &restarts);
	metric->restart_stats_set->restart_count = (struct maybe_long){restarts, true};
}

static void add_networks(const struct agent_task *task, const struct stats_report *reports,
			 struct tcs_container_metrics *metrics, struct arena *arena)
{
	bool shared = str_equal(task->task->network_mode, S("awsvpc"));

	for (size_t i = 0; i < metrics->count; i++)
		if (reports[i].has_network)
			metrics->items[i].network_stats_set =
				network_set(&reports[i], shared ? (struct share){i, metrics->count} : (struct share){0, 1}, arena);
}

static bool collect_task(const struct agent_task *task, struct str id, struct stats *stats, struct arena *arena,
			 struct tcs_task_metric *metric)
{
	struct stats_report reports[AGENT_CONTAINERS_LIMIT];
	struct tcs_container_metrics *list = &metric->container_metrics;
	size_t count = MIN(task->containers.count, (size_t)AGENT_CONTAINERS_LIMIT);

	for (size_t i = 0; i < count; i++) {
		struct stats_report *report = &reports[list->count];

		if (task->containers.items[i].known != AGENT_STATUS_RUNNING ||
		    !stats_take(stats, id, task->containers.items[i].name, report))
			continue;
		if (!list->items)
			list->items = arena_array(arena, struct tcs_container_metric, count);
		describe(task, i, report, arena, &list->items[list->count++]);
	}
	add_networks(task, reports, list, arena);
	metric->task_arn = task->task->arn;
	metric->cluster_arn = task->task->task_cluster_arn;
	metric->task_definition_family = task->task->family;
	metric->task_definition_version = task->task->version;
	metric->service_name = task->task->service_name;
	return list->count > 0;
}

struct tcs_task_metrics telemetry_collect(const struct agent *agent, struct stats *stats, struct arena *arena)
{
	size_t count = agent_task_count(agent);
	struct tcs_task_metrics all = {arena_array(arena, struct tcs_task_metric, count), 0};
	struct str id;

	for (size_t i = 0; i < count; i++) {
		const struct agent_task *task = agent_task_at(agent, i, &id);

		all.items[all.count] = (struct tcs_task_metric){0};
		if (task->known == AGENT_STATUS_RUNNING || task->known == AGENT_STATUS_CREATED)
			all.count += collect_task(task, id, stats, arena, &all.items[all.count]);
	}
	return all;
}
