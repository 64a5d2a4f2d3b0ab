/* ps, why, env, version: for people. */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include "api/wherry.h"
#include "main/commands.h"

static const struct operation *operation(struct str name)
{
	return api_find(&api_wherry, name);
}

static int say(const struct error *err)
{
	fprintf(stderr, "wherry: %s\n", err->text);
	return 1;
}

int command_version(const struct options *options)
{
	printf("wherry %s\n", WHERRY_VERSION);
	return 0;
}

int command_env(const struct options *options)
{
	struct str key_id, secret;
	auto_arena arena = {0};
	struct error err;

	if (!options_root_key(options, &arena, &key_id, &secret, &err))
		return say(&err);
	printf("export AWS_ENDPOINT_URL='%.*s'\nexport AWS_REGION='%.*s'\nexport AWS_DEFAULT_REGION='%.*s'\n"
	       "export AWS_ACCESS_KEY_ID='%.*s'\nexport AWS_SECRET_ACCESS_KEY='%.*s'\n",
	       STR(options_endpoint(options, &arena)), STR(options->region), STR(options->region), STR(key_id), STR(secret));
	/* Debian's AWS CLI is older than AWS_ENDPOINT_URL: give it the endpoint by its one way that needs no flag. */
	printf("aws() { command aws --endpoint-url \"$AWS_ENDPOINT_URL\" \"$@\"; }\n");
	return 0;
}

static struct str age(struct arena *arena, usec since)
{
	struct timespec now;
	long long seconds;

	clock_gettime(CLOCK_REALTIME, &now);
	seconds = now.tv_sec - since / USEC_PER_SEC;
	if (seconds < 120)
		return arena_printf(arena, "%lld s", seconds < 0 ? 0 : seconds);
	if (seconds < 7200)
		return arena_printf(arena, "%lld min", seconds / 60);
	return seconds < 172800 ? arena_printf(arena, "%lld h", seconds / 3600) : arena_printf(arena, "%lld d", seconds / 86400);
}

static void print_instances(const struct wherry_instance_rows *rows)
{
	for (size_t i = 0; i < rows->count; i++) {
		const struct wherry_instance_row *row = &rows->items[i];

		printf("  instance %.12s  %-9.*s %-12s cpu %lld of %lld free, memory %lld of %lld MiB free, %d tasks\n",
		       row->id.ptr, STR(row->status), row->connected.value ? "connected" : "disconnected",
		       (long long)row->cpu_free.value, (long long)row->cpu.value, (long long)row->memory_free.value,
		       (long long)row->memory.value, row->tasks.value);
	}
}

static void print_services(const struct wherry_service_rows *rows)
{
	for (size_t i = 0; i < rows->count; i++) {
		const struct wherry_service_row *row = &rows->items[i];

		printf("  service %-20.*s %-9.*s %d of %d running, %d pending  %.*s  %.*s\n", STR(row->name), STR(row->status),
		       row->running.value, row->desired.value, row->pending.value, STR(row->definition), STR(row->rollout));
		if (str_has(row->waiting))
			printf("    waiting: %.*s\n", STR(row->waiting));
	}
}

static void print_tasks(struct arena *arena, const struct wherry_task_rows *rows, bool all)
{
	for (size_t i = 0; i < rows->count; i++) {
		const struct wherry_task_row *row = &rows->items[i];

		if (!all && str_equal(row->status, S("STOPPED")))
			continue;
		printf("  task %.12s  %-8.*s %6.*s  %-20.*s %-14.*s %.*s%s%.*s\n", row->id.ptr, STR(row->status),
		       STR(age(arena, row->since.value)), STR(row->definition), STR(row->service), STR(row->ports),
		       str_has(row->reason) ? "  " : "", STR(row->reason));
	}
}

int command_ps(const struct options *options)
{
	struct wherry_overview_request request = {.cluster = options->cluster};
	struct wherry_overview_response *answer;
	auto_arena arena = {0};
	struct client *client = options_client(options, &arena);
	struct error err;

	if (!client_call(client, operation(S("Overview")), &request, &arena, (void **)&answer, &err))
		return say(&err);
	for (size_t i = 0; i < answer->clusters.count; i++) {
		const struct wherry_cluster_row *cluster = &answer->clusters.items[i];

		printf("cluster %.*s\n", STR(cluster->name));
		print_instances(&cluster->instances);
		print_services(&cluster->services);
		print_tasks(&arena, &cluster->tasks, options->all);
	}
	if (answer->clusters.count == 0 && str_has(options->cluster))
		printf("there is no cluster %.*s\n", STR(options->cluster));
	else if (answer->clusters.count == 0)
		printf("no clusters yet: aws ecs create-cluster\n");
	client_free(client);
	return 0;
}

int command_why(const struct options *options)
{
	struct wherry_why_request request = {.cluster = options->cluster};
	struct wherry_why_response *answer;
	auto_arena arena = {0};
	struct client *client;
	struct error err;

	if (options->rest_count != 1) {
		fprintf(stderr, "usage: wherry why [--cluster NAME] TASK|SERVICE\n");
		return 2;
	}
	client = options_client(options, &arena);
	request.subject = str_of(options->rest[0]);
	if (!client_call(client, operation(S("Why")), &request, &arena, (void **)&answer, &err))
		return say(&err);
	printf("%.*s: %.*s\n", STR(answer->subject), STR(answer->sentence));
	for (size_t i = 0; i < answer->reasons.count; i++)
		printf("  %d instance%s: %.*s\n", answer->reasons.items[i].count.value,
		       answer->reasons.items[i].count.value == 1 ? "" : "s", STR(answer->reasons.items[i].reason));
	if (str_has(answer->nearest_reason))
		printf("  nearest: %.*s\n", STR(answer->nearest_reason));
	client_free(client);
	return 0;
}
