/* api.c - what one server answers a second over HTTP, every request signed, every change on disk before its answer.
 *
 *   bench_api WHERRY [SECONDS [NAME]]     WHERRY: the program; SECONDS for each figure, default 4; NAME: only that one
 *
 * Starts the server itself on a new data folder and a free port. Client and server share the machine: the server's
 * own CPU time for each request is printed, too. RunTask goes onto instances that are registered through the API and
 * hold their channels open, as agents do. */
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>
#include "base/buffer.h"
#include "bench/client.h"
#include "bench/served.h"
#include "os/clock.h"
#include "wire/json.h"

enum {
	VARIANTS = 256, CLUSTERS = 64, FAMILIES = 64, INSTANCES = 100, DESCRIBED = 10,
	MACHINE_CPU = 131072, MACHINE_MIB = 524288,
	BODY_BYTES = 1024,
	ACK_USEC = 2000000,                              /* between words of an agent; the server drops the silent */
};

struct bench {
	struct arena arena;
	const char *folder;
	struct served served;
	struct target target;                            /* the same as served.target */
	int64_t span_usec;
	int channels[INSTANCES];
	pthread_t agents;
	atomic_bool ending;
	struct str described[DESCRIBED];
};

/* ---- the server */

static uint64_t server_metric(const struct bench *bench, const char *name)
{
	auto_arena arena = {0};
	static const char request[] = "GET /_wherry/metrics HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
	char *page = arena_alloc(&arena, 1, 1 << 18, 1), *at;
	size_t have = 0;
	ssize_t got;
	int fd = client_connect(bench->target.port);

	if (send(fd, request, sizeof(request) - 1, 0) < 0)
		give_up("metrics", NULL);
	while ((got = recv(fd, page + have, (1 << 18) - 1 - have, 0)) > 0)
		have += (size_t)got;
	close(fd);
	at = strstr(page, arena_cstr(&arena, arena_printf(&arena, "\n%s ", name)));
	return at ? strtoull(at + strlen(name) + 2, NULL, 10) : 0;
}

/* ---- scenery */

static struct str ask(struct bench *bench, const char *operation, struct str body)
{
	return client_ask(&bench->target, operation, body, &bench->arena);
}

static struct str member(struct bench *bench, struct str object, const char *name)
{
	struct str value;

	if (!json_string_value(json_member_text(object, str_of(name)), &bench->arena, &value))
		give_up(arena_cstr(&bench->arena, object), NULL);
	return value;
}

/* `count` letters that are not the same twice. */
static struct str filler(struct bench *bench, size_t number, size_t count)
{
	char *text = arena_array(&bench->arena, char, count);

	for (size_t i = 0; i < count; i++)
		text[i] = (char)('a' + (number * 7 + i * (number % 5 + 1)) % 26);
	return (struct str){text, count};
}

static void make_clusters(struct bench *bench)
{
	ask(bench, "CreateCluster", S("{}"));
	for (int i = 0; i < CLUSTERS; i++)
		ask(bench, "CreateCluster", arena_printf(&bench->arena, "{\"clusterName\":\"cluster%d\"}", i));
	ask(bench, "RegisterTaskDefinition", S("{\"family\":\"small\",\"networkMode\":\"bridge\",\"containerDefinitions\":[{"
					       "\"name\":\"main\",\"image\":\"example/app:1\",\"cpu\":4,\"memory\":6}]}"));
}

static void send_ack(int fd)
{
	static const char text[] = "{\"type\":\"HeartbeatAckRequest\",\"message\":{\"messageId\":\"bench\"}}";
	/* A whole text frame, masked with zeros. */
	char frame[6 + sizeof(text) - 1] = {(char)0x81, (char)(0x80 | (sizeof(text) - 1)), 0, 0, 0, 0};

	memcpy(frame + 6, text, sizeof(text) - 1);
	if (send(fd, frame, sizeof(frame), MSG_NOSIGNAL) < 0)
		give_up("a channel was closed", NULL);
}

static void *live_as_agents(void *argument)
{
	struct bench *bench = argument;
	static char nothing[1 << 16];
	usec spoke = 0;

	while (!atomic_load(&bench->ending)) {
		bool due = clock_monotonic() - spoke > ACK_USEC;

		for (size_t i = 0; i < INSTANCES; i++) {
			while (recv(bench->channels[i], nothing, sizeof(nothing), MSG_DONTWAIT) == sizeof(nothing))
				continue;
			if (due)
				send_ack(bench->channels[i]);
		}
		if (due)
			spoke = clock_monotonic();
		clock_sleep(20000);
	}
	return NULL;
}

static int open_channel(struct bench *bench, struct str instance)
{
	struct str query = arena_printf(&bench->arena, "agentVersion=1.99.0&clusterArn=default&containerInstanceArn=%.*s",
					STR(str_slice(instance, str_find_last(instance, '/') + 1, instance.len)));
	struct str request = client_upgrade(&bench->target, "/ws", query, &bench->arena);
	int fd = client_connect(bench->target.port);
	char head[1024] = {0};

	if (send(fd, request.ptr, request.len, 0) < 0 || recv(fd, head, sizeof(head) - 1, 0) <= 0 ||
	    strncmp(head, "HTTP/1.1 101", 12) != 0)
		give_up(head, NULL);
	return fd;
}

static void make_instances(struct bench *bench)
{
	struct str request = arena_printf(&bench->arena,
		"{\"totalResources\":[{\"name\":\"CPU\",\"type\":\"INTEGER\",\"integerValue\":%d},"
		"{\"name\":\"MEMORY\",\"type\":\"INTEGER\",\"integerValue\":%d},"
		"{\"name\":\"PORTS\",\"type\":\"STRINGSET\",\"stringSetValue\":[\"22\"]}],"
		"\"attributes\":[{\"name\":\"com.amazonaws.ecs.capability.docker-remote-api.1.18\"},"
		"{\"name\":\"com.amazonaws.ecs.capability.docker-remote-api.1.21\"}]}", MACHINE_CPU, MACHINE_MIB);

	for (size_t i = 0; i < INSTANCES; i++) {
		struct str reply = ask(bench, "RegisterContainerInstance", request);

		bench->channels[i] = open_channel(bench, member(bench, json_member_text(reply, S("containerInstance")),
								"containerInstanceArn"));
	}
	pthread_create(&bench->agents, NULL, live_as_agents, bench);
}

/* The tasks that DescribeTasks is asked for. */
static void make_tasks(struct bench *bench)
{
	for (size_t i = 0; i < DESCRIBED; i++) {
		struct str reply = ask(bench, "RunTask", S("{\"taskDefinition\":\"small\"}"));
		struct str tasks = json_member_text(reply, S("tasks"));

		bench->described[i] = member(bench, str_slice(tasks, 1, tasks.len - 1), "taskArn");
	}
}

/* ---- what is asked */

static struct str tag_resource(struct bench *bench, size_t number)
{
	struct str head = arena_printf(&bench->arena, "{\"resourceArn\":\"arn:aws:ecs:us-east-1:000000000000:cluster/cluster%zu\","
				       "\"tags\":[", number % CLUSTERS);
	size_t each = (BODY_BYTES - head.len) / 4 - 30;

	for (int i = 0; i < 4; i++)
		head = arena_printf(&bench->arena, "%.*s%s{\"key\":\"key%d\",\"value\":\"%.*s\"}", STR(head), i ? "," : "", i,
				    STR(filler(bench, number + (size_t)i, each)));
	return arena_printf(&bench->arena, "%.*s]}", STR(head));
}

static struct str register_definition(struct bench *bench, size_t number)
{
	return arena_printf(&bench->arena, "{\"family\":\"family%zu\",\"networkMode\":\"bridge\",\"containerDefinitions\":[{"
		"\"name\":\"main\",\"image\":\"registry.example.com/team/application:%zu\",\"cpu\":64,\"memory\":128,"
		"\"essential\":true,\"portMappings\":[{\"containerPort\":8080,\"protocol\":\"tcp\"}],"
		"\"command\":[\"server\",\"--listen\",\"0.0.0.0:8080\"],"
		"\"environment\":[{\"name\":\"LOG_LEVEL\",\"value\":\"info\"},{\"name\":\"FILLER\",\"value\":\"%.*s\"}]}]}",
		number % FAMILIES, number, STR(filler(bench, number, BODY_BYTES - 360)));
}

static struct str describe_tasks(struct bench *bench, size_t number)
{
	auto_buffer out = {0};

	buffer_add(&out, S("{\"tasks\":["));
	for (size_t i = 0; i < DESCRIBED; i++)
		buffer_printf(&out, "%s\"%.*s\"", i ? "," : "", STR(bench->described[i]));
	buffer_add(&out, S("]}"));
	return arena_copy(&bench->arena, buffer_str(&out));
}

static struct str list_clusters(struct bench *bench, size_t number) { return S("{\"maxResults\":10}"); }

static struct str run_task(struct bench *bench, size_t number) { return S("{\"taskDefinition\":\"small\"}"); }
static struct str run_ten(struct bench *bench, size_t number) { return S("{\"taskDefinition\":\"small\",\"count\":10}"); }

static const struct workload {
	const char *name, *operation;
	struct str (*body)(struct bench *bench, size_t number);
	const char *what;
	int threads, connections;
} workloads[] = {
	{"api.tag", "TagResource", tag_resource, "changes one record", 1, 64},
	{"api.tag512", "TagResource", tag_resource, "changes one record", 1, 512},
	{"api.tag1", "TagResource", tag_resource, "changes one record", 1, 1},
	{"api.register", "RegisterTaskDefinition", register_definition, "makes a revision: two records", 1, 64},
	{"api.list", "ListClusters", list_clusters, "a read, 10 names", 1, 64},
	{"api.describe", "DescribeTasks", describe_tasks, "a read of 10 tasks", 1, 64},
	{"api.run1", "RunTask", run_task, "count 1, 100 connected instances", 1, 64},
	{"api.run10", "RunTask", run_ten, "count 10, 100 connected instances", 1, 64},
};

static void measure(struct bench *bench, const struct workload *workload)
{
	auto_arena arena = {0};
	struct str requests[VARIANTS];
	struct load load = {.requests = requests, .request_count = VARIANTS, .port = bench->target.port,
			    .threads = workload->threads, .connections = workload->connections, .span_usec = bench->span_usec};
	struct load_result result;
	size_t body_bytes = workload->body(bench, 0).len;
	uint64_t commits, changes;
	const char *setting;
	double cpu;

	for (size_t i = 0; i < VARIANTS; i++)
		requests[i] = client_request(&bench->target, workload->operation, workload->body(bench, i), &arena);
	commits = server_metric(bench, "wherry_commits_total");
	changes = server_metric(bench, "wherry_changes_total");
	cpu = served_cpu(&bench->served);
	client_run(&load, &arena, &result);
	cpu = served_cpu(&bench->served) - cpu;
	commits = server_metric(bench, "wherry_commits_total") - commits;
	changes = server_metric(bench, "wherry_changes_total") - changes;
	if (result.failures)
		give_up(arena_cstr(&arena, result.failure), NULL);
	setting = arena_cstr(&arena, arena_printf(&arena, "%s, %s, body of %zu B, %d connections, signed",
						  workload->operation, workload->what, body_bytes, workload->connections));
	figure(workload->name, (double)result.answers / result.seconds, "requests/s", "%s", setting);
	figure_spread(workload->name, &result.waits, setting);
	figure(arena_cstr(&arena, arena_printf(&arena, "%s.cpu", workload->name)), cpu * 1e6 / (double)result.answers,
	       "us/request", "CPU time of the server, all threads; %.1f records a commit",
	       commits ? (double)changes / (double)commits : 0.0);
	samples_fini(&result.waits);
}

int main(int count, char **arguments)
{
	static struct bench bench;
	int64_t seconds = 4;

	if (count < 2 || (count > 2 && (!str_to_long(str_of(arguments[2]), &seconds) || seconds < 1)))
		give_up("usage: bench_api WHERRY [SECONDS [NAME]]", NULL);
	bench.span_usec = seconds * USEC_PER_SEC;
	bench.folder = scratch_make(&bench.arena);
	served_start(&bench.served, arguments[1], bench.folder, &bench.arena);
	bench.target = bench.served.target;
	make_clusters(&bench);
	make_instances(&bench);
	make_tasks(&bench);
	for (size_t i = 0; i < COUNT(workloads); i++)
		if (count < 4 || str_equal(str_of(arguments[3]), str_of(workloads[i].name)))
			measure(&bench, &workloads[i]);
	atomic_store(&bench.ending, true);
	pthread_join(bench.agents, NULL);
	served_stop(&bench.served);
	scratch_remove(bench.folder);
	arena_fini(&bench.arena);
	return 0;
}
