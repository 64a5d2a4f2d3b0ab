/* fill.c - makes a data folder as a busy server would leave it: for measuring how fast it comes back.
 *
 *   bench_fill FOLDER [TASKS]     default 100000 RUNNING tasks on 1000 instances */
#include <fcntl.h>
#include <stdio.h>
#include "api/ecs.h"
#include "bench/world.h"
#include "os/file.h"

enum { INSTANCES = 1000, DEFINITIONS = 10, COUNT_A_CALL = 10 };

/* As its agent reports it. */
static void report_running(struct world *world, struct str task)
{
	auto_arena arena = {0};
	struct str request = arena_printf(&arena,
		"{'cluster':'default','task':'%.*s','status':'RUNNING','pullStartedAt':1700000000.5,'pullStoppedAt':1700000001.25,"
		"'containers':[{'containerName':'main','status':'RUNNING','runtimeId':'%.*s-main','imageDigest':"
		"'sha256:7f786dfa52f49797279aa924d34b073c47448f2da441c27eb3c182119ad282ae','networkBindings':["
		"{'bindIP':'0.0.0.0','containerPort':8080,'hostPort':32768,'protocol':'tcp'}]}]}", STR(task),
		STR(str_slice(task, str_find_last(task, '/') + 1, task.len)));

	world_ask(world, &world_agent, "SubmitTaskStateChange", arena_cstr(&arena, request));
}

static void run_some(struct world *world, size_t definition)
{
	auto_arena arena = {0};
	const struct ecs_run_task_response *reply = world_ask(world, &world_root, "RunTask",
		arena_cstr(&arena, arena_printf(&arena, "{'taskDefinition':'family%zu','count':%d,'startedBy':'bench'}",
						definition, COUNT_A_CALL)));
	struct str tasks[COUNT_A_CALL];

	if (reply->tasks.count != COUNT_A_CALL)
		give_up("RunTask", NULL);
	for (size_t i = 0; i < COUNT_A_CALL; i++)
		tasks[i] = arena_copy(&arena, reply->tasks.items[i].task_arn);
	for (size_t i = 0; i < COUNT_A_CALL; i++)
		report_running(world, tasks[i]);
}

int main(int count, char **arguments)
{
	auto_arena arena = {0};
	int64_t tasks = 100000;
	struct plane_statistics statistics;
	struct world world;
	struct str *instances;
	struct error err;

	if (count < 2 || (count > 2 && !str_to_long(str_of(arguments[2]), &tasks)))
		give_up("usage: bench_fill FOLDER [TASKS]", NULL);
	if (!folder_make(arguments[1], 0700, &err))
		give_up("folder", &err);
	world_init(&world, str_of(arguments[1]), S("wherry.db"));
	world_define(&world, DEFINITIONS);
	instances = world_register(&world, INSTANCES, &arena);
	for (size_t i = 0; i < INSTANCES; i++)
		world_connect(&world, instances[i]);
	for (int64_t i = 0; i < tasks / COUNT_A_CALL; i++)
		run_some(&world, (size_t)i % DEFINITIONS);
	world_commit(&world);
	if (!store_settle(world.store, &err))
		give_up("settle", &err);
	plane_statistics(world.plane, &statistics);
	printf("%llu tasks, %llu of them RUNNING, on %llu instances\n", (unsigned long long)statistics.tasks,
	       (unsigned long long)statistics.running, (unsigned long long)statistics.instances);
	world_fini(&world);
	return 0;
}
