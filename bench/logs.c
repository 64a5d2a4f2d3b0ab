/* logs.c - how many lines a second one server takes, every batch on disk before its answer, and gives back.
 *
 *   bench_logs WHERRY [SECONDS]     WHERRY: the program; SECONDS for each figure, default 4
 *
 * Batches of 1,000 and 8,000 lines of 100 bytes go to 1 and to 50 streams. Client and server share the machine; the
 * requests are made and signed before, so that what is measured is the server: its CPU time for each MB is printed, too. */
#include <stdio.h>
#include <stdlib.h>
#include "base/buffer.h"
#include "bench/served.h"
#include "os/clock.h"

enum { STREAMS = 50, LINE_BYTES = 100, BATCHES = 100 };

struct bench {
	struct arena arena;
	const char *folder;
	struct served served;
	int64_t span_usec;
};

static struct str batch(struct bench *bench, int stream, int lines)
{
	int64_t now = clock_now() / USEC_PER_MSEC;
	auto_buffer body = {0};

	buffer_printf(&body, "{\"logGroupName\":\"bench\",\"logStreamName\":\"stream%d\",\"logEvents\":[", stream);
	for (int i = 0; i < lines; i++) {
		int used = snprintf(NULL, 0, "%08d INFO request served path=/items/%d ", i, i * 7);

		buffer_printf(&body, "%s{\"timestamp\":%lld,\"message\":\"%08d INFO request served path=/items/%d %0*d\"}",
			      i ? "," : "", (long long)now, i, i * 7, LINE_BYTES - used, i);
	}
	buffer_add(&body, S("]}"));
	return client_request(&bench->served.target, "PutLogEvents", buffer_str(&body), &bench->arena);
}

static void put(struct bench *bench, const char *name, int streams, int connections, int lines)
{
	struct str *requests = arena_array(&bench->arena, struct str, BATCHES);
	struct load load = {.requests = requests, .request_count = BATCHES, .port = bench->served.target.port, .threads = 1,
			    .connections = connections, .span_usec = bench->span_usec};
	struct load_result result;
	char part[64];
	double cpu, count, megabytes;

	for (int i = 0; i < BATCHES; i++)
		requests[i] = batch(bench, i % streams, lines);
	cpu = served_cpu(&bench->served);
	client_run(&load, &bench->arena, &result);
	cpu = served_cpu(&bench->served) - cpu;
	if (result.failures)
		give_up(arena_cstr(&bench->arena, result.failure), NULL);
	count = (double)result.answers * lines;
	megabytes = count * LINE_BYTES / 1e6;
	figure(name, count / result.seconds, "lines/s", "batches of %d lines of %d B, %d streams, %d connections", lines,
	       LINE_BYTES, streams, connections);
	snprintf(part, sizeof(part), "%s.mb", name);
	figure(part, megabytes / result.seconds, "MB/s", "messages only");
	snprintf(part, sizeof(part), "%s.cpu", name);
	figure(part, cpu * 1e3 / megabytes, "ms CPU/MB", "all threads of the server");
	snprintf(part, sizeof(part), "%s.p99", name);
	figure(part, samples_msec(&result.waits, 0.99), "ms", "a batch, from its first byte to its answer");
	samples_fini(&result.waits);
}

static void get(struct bench *bench, const char *name, const char *operation, const char *body)
{
	struct str request = client_request(&bench->served.target, operation, str_of(body), &bench->arena);
	struct load load = {.requests = &request, .request_count = 1, .port = bench->served.target.port, .threads = 1,
			    .connections = 2, .span_usec = bench->span_usec};
	struct load_result result;

	client_run(&load, &bench->arena, &result);
	if (result.failures)
		give_up(arena_cstr(&bench->arena, result.failure), NULL);
	figure(name, (double)result.answers / result.seconds, "pages/s", "%s", body);
	samples_fini(&result.waits);
}

static void make_streams(struct bench *bench)
{
	client_ask(&bench->served.target, "CreateLogGroup", S("{\"logGroupName\":\"bench\"}"), &bench->arena);
	for (int i = 0; i < STREAMS; i++)
		client_ask(&bench->served.target, "CreateLogStream",
			   arena_printf(&bench->arena, "{\"logGroupName\":\"bench\",\"logStreamName\":\"stream%d\"}", i),
			   &bench->arena);
}

int main(int count, char **arguments)
{
	struct bench bench = {.span_usec = 4000000};

	if (count < 2) {
		fprintf(stderr, "usage: bench_logs WHERRY [SECONDS]\n");
		return 2;
	}
	if (count > 2)
		bench.span_usec = (int64_t)(strtod(arguments[2], NULL) * 1e6);
	bench.folder = scratch_make(&bench.arena);
	served_start(&bench.served, arguments[1], bench.folder, &bench.arena);
	bench.served.target.service = "logs";
	bench.served.target.prefix = "Logs_20140328";
	make_streams(&bench);
	put(&bench, "logs.put", STREAMS, 8, 1000);
	put(&bench, "logs.put1", 1, 1, 1000);
	put(&bench, "logs.put8000", STREAMS, 8, 8000);
	get(&bench, "logs.get", "GetLogEvents", "{\"logGroupName\":\"bench\",\"logStreamName\":\"stream7\",\"limit\":1000}");
	get(&bench, "logs.filter", "FilterLogEvents",
	    "{\"logGroupName\":\"bench\",\"logStreamNames\":[\"stream7\"],\"filterPattern\":\"nothing\"}");
	served_stop(&bench.served);
	scratch_remove(bench.folder);
	arena_fini(&bench.arena);
	return 0;
}
