#include "server/metrics.h"
#include <stdlib.h>

static const usec bounds[METRICS_BUCKETS] = {
	100, 250, 500, 1000, 2500, 5000, 10000, 25000, 50000, 100000, 500000, 1000000, 5000000,
};

void metrics_init(struct metrics *metrics)
{
	*metrics = (struct metrics){0};
	metrics->requests = calloc(METRICS_OPERATIONS_LIMIT, sizeof(*metrics->requests));
	if (!metrics->requests)
		abort();
}

void metrics_fini(struct metrics *metrics)
{
	free(metrics->requests);
}

void metrics_request(struct metrics *metrics, size_t place, enum error_code code, usec latency)
{
	size_t bucket = 0;

	assert(place < METRICS_OPERATIONS_LIMIT);
	while (bucket < METRICS_BUCKETS && latency > bounds[bucket])
		bucket++;
	metric_add(&metrics->requests[place][code], 1);
	metric_add(&metrics->buckets[bucket], 1);
	metric_add(&metrics->latency_sum, latency);
}

static uint64_t sum_requests(const struct metrics_page *page, size_t place, size_t code)
{
	uint64_t sum = 0;

	for (size_t i = 0; i < page->thread_count; i++)
		sum += page->threads[i]->requests[place][code];
	return sum;
}

static void print_requests(const struct metrics_page *page, size_t place, struct str service,
			   struct str operation, struct buffer *out)
{
	for (size_t code = 0; code < ERROR_CODE_COUNT; code++) {
		uint64_t sum = sum_requests(page, place, code);

		if (sum)
			buffer_printf(out,
				      "wherry_requests_total{service=\"%.*s\",operation=\"%.*s\","
				      "code=\"%.*s\"} %llu\n",
				      STR(service), STR(operation),
				      STR(code ? error_wire_name(code) : S("OK")),
				      (unsigned long long)sum);
	}
}

static void print_all_requests(const struct metrics_page *page, struct buffer *out)
{
	size_t place = 0;

	buffer_add(out, S("# HELP wherry_requests_total Requests answered.\n# TYPE "
			  "wherry_requests_total counter\n"));
	for (size_t i = 0; i < page->service_count; i++)
		for (uint32_t k = 0; k < page->services[i]->operation_count; k++)
			print_requests(page, place++, page->services[i]->name,
				       page->services[i]->operations[k].name, out);
	print_requests(page, METRICS_OPERATIONS_LIMIT - 1, S(""), S(""), out);
}

static void print_latency(const struct metrics_page *page, struct buffer *out)
{
	uint64_t total = 0, sum = 0;

	buffer_add(out, S("# HELP wherry_request_seconds From the head's first byte to the reply.\n"
			  "# TYPE wherry_request_seconds histogram\n"));
	for (size_t bucket = 0; bucket <= METRICS_BUCKETS; bucket++) {
		for (size_t i = 0; i < page->thread_count; i++)
			total += page->threads[i]->buckets[bucket];
		if (bucket < METRICS_BUCKETS)
			buffer_printf(out, "wherry_request_seconds_bucket{le=\"%g\"} %llu\n",
				      (double)bounds[bucket] / 1e6, (unsigned long long)total);
	}
	for (size_t i = 0; i < page->thread_count; i++)
		sum += page->threads[i]->latency_sum;
	buffer_printf(
		out,
		"wherry_request_seconds_bucket{le=\"+Inf\"} %llu\nwherry_request_seconds_sum %g\n"
		"wherry_request_seconds_count %llu\n",
		(unsigned long long)total, (double)sum / 1e6, (unsigned long long)total);
}

static void print_one(struct buffer *out, const char *name, const char *type, const char *help,
		      uint64_t value)
{
	buffer_printf(out, "# HELP wherry_%s %s\n# TYPE wherry_%s %s\nwherry_%s %llu\n", name, help,
		      name, type, name, (unsigned long long)value);
}

static void print_threads(const struct metrics_page *page, struct buffer *out)
{
	static const struct {
		const char *name, *type, *help;
		size_t offset;
	} rows[] = {
		{"connections_total", "counter", "Connections accepted.",
		 offsetof(struct metrics, opened)},
		{"connections", "gauge", "Open connections.", offsetof(struct metrics, open)},
		{"connections_refused_total", "counter", "Connections over the limit.",
		 offsetof(struct metrics, refused)},
		{"agent_channels", "gauge", "Open ACS channels.", offsetof(struct metrics, acs)},
		{"telemetry_channels", "gauge", "Open TCS channels.",
		 offsetof(struct metrics, tcs)},
		{"frames_received_total", "counter", "Frames from agents.",
		 offsetof(struct metrics, frames_in)},
		{"frames_sent_total", "counter", "Frames to agents.",
		 offsetof(struct metrics, frames_out)},
		{"telemetry_messages_total", "counter", "Telemetry messages acknowledged.",
		 offsetof(struct metrics, telemetry)},
	};

	for (size_t row = 0; row < COUNT(rows); row++) {
		uint64_t sum = 0;

		for (size_t i = 0; i < page->thread_count; i++)
			sum += *(const metric *)((const char *)page->threads[i] + rows[row].offset);
		print_one(out, rows[row].name, rows[row].type, rows[row].help, sum);
	}
}

void metrics_print(const struct metrics_page *page, struct buffer *out)
{
	const struct plane_statistics *plane = &page->plane;
	const struct brain_figures *brain = &page->brain;
	const struct {
		const char *name, *type, *help;
		uint64_t value;
	} rows[] = {
		{"steps_total", "counter", "Events given to the brain.", brain->steps},
		{"commits_total", "counter", "Batches appended to the journal.", brain->commits},
		{"changes_total", "counter", "Records appended to the journal.", brain->changes},
		{"commit_changes_max", "gauge", "Most records of one batch.", brain->batch_max},
		{"calls_under_way", "gauge", "Calls in brain and committer.", brain->waiting},
		{"bodies_bytes", "gauge", "Room of large bodies under way.", page->bodies.held},
		{"bodies_waiting", "gauge", "Large bodies that are not read yet for want of room.", page->bodies.waiting},
		{"log_events_total", "counter", "Log events written.", page->logs.events},
		{"log_puts_total", "counter", "PutLogEvents that had events to write.", page->logs.puts},
		{"log_rounds_total", "counter", "Rounds of the log desk; the puts of one are one transaction.", page->logs.rounds},
		{"live_tails", "gauge", "Live tail sessions.", page->logs.sessions},
		{"clusters", "gauge", "Clusters.", plane->clusters},
		{"container_instances", "gauge", "Container instances.", plane->instances},
		{"container_instances_connected", "gauge",
		 "Container instances whose agent is connected.", plane->connected},
		{"services", "gauge", "Services.", plane->services},
		{"tasks", "gauge", "Tasks that are not STOPPED.", plane->tasks},
		{"tasks_running", "gauge", "Tasks RUNNING.", plane->running},
		{"tasks_pending", "gauge", "Tasks on their way to RUNNING.", plane->pending},
		{"tasks_waiting", "gauge", "Tasks without a place.", plane->waiting},
		{"resident_bytes", "gauge", "Resident memory.", page->resident_bytes},
		{"uptime_seconds", "gauge", "Since start.",
		 (uint64_t)(page->uptime / USEC_PER_SEC)},
	};

	print_all_requests(page, out);
	print_latency(page, out);
	print_threads(page, out);
	for (size_t i = 0; i < COUNT(rows); i++)
		print_one(out, rows[i].name, rows[i].type, rows[i].help, rows[i].value);
}
