/* What is used now: for `wherry top`, and for Prometheus. */
#include <stdlib.h>
#include "base/list.h"
#include "base/map.h"
#include "server/telemetry_private.h"

/* ---- Rows */

struct answer {
	struct str cluster;
	usec now;
	struct arena *arena;
	struct wherry_telemetry_response *response;
	struct wherry_telemetry_rows rows;
};

static struct maybe_double number(double value) { return (struct maybe_double){value, true}; }

static bool add_row(void *arg, const struct telemetry_subject *subject, const struct telemetry_current *current)
{
	struct answer *answer = arg;
	struct arena *arena = answer->arena;

	if (str_has(answer->cluster) && !str_equal(answer->cluster, subject->cluster))
		return true;
	if (answer->rows.count == TELEMETRY_ROWS_LIMIT) {
		answer->response->truncated = (struct maybe_boolean){true, true};
		return false;
	}
	answer->rows.items[answer->rows.count++] = (struct wherry_telemetry_row){
		.cluster = arena_copy(arena, subject->cluster), .task = arena_copy(arena, subject->task_id),
		.service = arena_copy(arena, subject->service), .family = arena_copy(arena, subject->family),
		.container = arena_copy(arena, subject->container), .cpu = number(current->cpu_percent),
		.memory = number(current->memory_mib),
		.memory_limit = {subject->memory_limit_mib, subject->memory_limit_mib > 0},
		.rx_rate = {current->rx_rate, current->has_network}, .tx_rate = {current->tx_rate, current->has_network},
		.read_rate = number(current->read_rate), .write_rate = number(current->write_rate),
		.restarts = {subject->restarts, true}, .health = subject->health,
		.age = number((double)(answer->now - current->measured_at) / USEC_PER_SEC),
	};
	return true;
}

/* A name, or an ARN that ends in it. */
static struct str short_name(struct str cluster)
{
	size_t slash = str_find_last(cluster, '/');

	return slash < cluster.len ? str_slice(cluster, slash + 1, cluster.len) : cluster;
}

void telemetry_describe(struct telemetry *telemetry, struct str cluster, usec now, struct arena *arena,
			struct wherry_telemetry_response *ret_response)
{
	struct answer answer = {
		.cluster = short_name(cluster), .now = now, .arena = arena, .response = ret_response,
		.rows.items = arena_array(arena, struct wherry_telemetry_row, TELEMETRY_ROWS_LIMIT)};

	*ret_response = (struct wherry_telemetry_response){.truncated = {false, true}};
	telemetry_each_current(telemetry, now, add_row, &answer);
	ret_response->tasks = answer.rows;
}

/* ---- Sums */

struct sum {
	struct str key, cluster, service, task;
	double cpu_percent, memory_bytes, limit_bytes;
	uint64_t rx_total, tx_total, read_total, write_total;
	int64_t restarts;
};

struct sums {
	struct map by_key;
	LIST_OF(struct sum *) list;
	size_t left_out;
};

struct summing {
	struct arena arena;
	struct sums tasks, services, clusters;
};

static struct sum *find_sum(struct summing *all, struct sums *sums, struct str cluster, struct str service, struct str task)
{
	struct arena *arena = &all->arena;
	struct str key = arena_printf(arena, "%.*s/%.*s/%.*s", STR(cluster), STR(service), STR(task));
	struct sum *sum = map_get(&sums->by_key, key);

	if (sum)
		return sum;
	if (sums->list.count == TELEMETRY_LABELS_LIMIT) {
		sums->left_out++;
		return NULL;
	}
	sum = arena_new(arena, struct sum);
	*sum = (struct sum){.key = key, .cluster = arena_copy(arena, cluster), .service = arena_copy(arena, service),
			    .task = arena_copy(arena, task)};
	map_put(&sums->by_key, sum->key, sum);
	list_add(&sums->list, sum);
	return sum;
}

static void add_to(struct sum *sum, const struct telemetry_subject *subject, const struct telemetry_current *current)
{
	if (!sum)
		return;
	sum->cpu_percent += current->cpu_percent;
	sum->memory_bytes += current->memory_mib * (1 << 20);
	sum->limit_bytes += subject->memory_limit_mib * (1 << 20);
	sum->rx_total += current->rx_total;
	sum->tx_total += current->tx_total;
	sum->read_total += current->read_total;
	sum->write_total += current->write_total;
	sum->restarts += subject->restarts;
}

static bool add_sums(void *arg, const struct telemetry_subject *subject, const struct telemetry_current *current)
{
	struct summing *all = arg;

	add_to(find_sum(all, &all->clusters, subject->cluster, S(""), S("")), subject, current);
	if (!str_empty(subject->service))
		add_to(find_sum(all, &all->services, subject->cluster, subject->service, S("")), subject, current);
	add_to(find_sum(all, &all->tasks, subject->cluster, subject->service, subject->task_id), subject, current);
	return true;
}

/* ---- Prometheus */

static void print_label(struct buffer *out, const char *name, struct str value)
{
	if (str_empty(value))
		return;
	buffer_printf(out, "%s%s=\"", out->bytes[out->len - 1] == '{' ? "" : ",", name);
	for (size_t i = 0; i < value.len; i++) {
		if (value.ptr[i] == '"' || value.ptr[i] == '\\')
			buffer_add_char(out, '\\');
		buffer_add_char(out, value.ptr[i]);
	}
	buffer_add_char(out, '"');
}

static double value_at(const struct sum *sum, size_t offset, char kind)
{
	const void *at = (const char *)sum + offset;

	switch (kind) {
	case 'u': return (double)*(const uint64_t *)at;
	case 'i': return (double)*(const int64_t *)at;
	default: return *(const double *)at;
	}
}

static void print_sums(const char *level, const struct sums *sums, struct buffer *out)
{
	static const struct { const char *name, *type, *help; size_t offset; char kind; } rows[] = {
		{"cpu_percent", "gauge", "CPU in use, of the whole machine.", offsetof(struct sum, cpu_percent), 'd'},
		{"memory_bytes", "gauge", "Memory in use, without caches.", offsetof(struct sum, memory_bytes), 'd'},
		{"memory_limit_bytes", "gauge", "Memory that may be used.", offsetof(struct sum, limit_bytes), 'd'},
		{"network_receive_bytes_total", "counter", "Bytes received.", offsetof(struct sum, rx_total), 'u'},
		{"network_transmit_bytes_total", "counter", "Bytes sent.", offsetof(struct sum, tx_total), 'u'},
		{"storage_read_bytes_total", "counter", "Bytes read from disks.", offsetof(struct sum, read_total), 'u'},
		{"storage_write_bytes_total", "counter", "Bytes written to disks.", offsetof(struct sum, write_total), 'u'},
		{"restarts_total", "counter", "Restarts in place.", offsetof(struct sum, restarts), 'i'},
	};

	for (size_t row = 0; sums->list.count && row < COUNT(rows); row++) {
		buffer_printf(out, "# HELP wherry_%s_%s %s\n# TYPE wherry_%s_%s %s\n", level, rows[row].name, rows[row].help,
			      level, rows[row].name, rows[row].type);
		for (size_t i = 0; i < sums->list.count; i++) {
			const struct sum *sum = sums->list.items[i];

			buffer_printf(out, "wherry_%s_%s{", level, rows[row].name);
			print_label(out, "cluster", sum->cluster);
			print_label(out, "service", sum->service);
			print_label(out, "task", sum->task);
			buffer_printf(out, "} %.15g\n", value_at(sum, rows[row].offset, rows[row].kind));
		}
	}
}

static void sums_fini(struct sums *sums)
{
	map_fini(&sums->by_key);
	list_fini(&sums->list);
}

void telemetry_print(struct telemetry *telemetry, usec now, struct buffer *out)
{
	struct summing all = {0};

	telemetry_each_current(telemetry, now, add_sums, &all);
	print_sums("cluster", &all.clusters, out);
	print_sums("service", &all.services, out);
	print_sums("task", &all.tasks, out);
	buffer_printf(out, "# HELP wherry_containers_left_out Containers of tasks and services that are too many for this page.\n"
		      "# TYPE wherry_containers_left_out gauge\nwherry_containers_left_out %zu\n",
		      all.tasks.left_out + all.services.left_out + all.clusters.left_out);
	sums_fini(&all.tasks);
	sums_fini(&all.services);
	sums_fini(&all.clusters);
	arena_fini(&all.arena);
}
