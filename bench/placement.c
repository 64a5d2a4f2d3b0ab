/* placement.c - durable placements a second onto simulated instances: plane, SQLite store, no HTTP.
 *
 *   bench_placement [INSTANCES [TASKS [NAME]]]     default 5000 connected instances, 100000 tasks for each figure, all
 *
 * placement.*: the server's own brain and committer threads; the client keeps some RunTask calls under way, as
 * connections would. placement.parts: the same steps on one thread with one commit for every 256, to see where the
 * time goes. */
#include <pthread.h>
#include <stdio.h>
#include "api/ecs.h"
#include "bench/world.h"
#include "server/brain.h"

enum { DEFINITIONS = 10, FLIGHT = 64, FLIGHT_LIMIT = 256, STEPS_A_COMMIT = 256 };

static const struct setting {
	const char *name, *placement;
	int count, flight;
} settings[] = {
	{"spread", "", 10, FLIGHT},                      /* the default: none asked for, which spreads by instance */
	{"binpack", ",'placementStrategy':[{'type':'binpack','field':'memory'}]", 10, FLIGHT},
	{"memberof", ",'placementConstraints':[{'type':'memberOf','expression':'attribute:ecs.os-type == linux'}]", 10, FLIGHT},
	{"single", "", 1, FLIGHT_LIMIT},
};

/* What a server's I/O thread is to the brain: takes home what comes, and says so. */
struct client {
	struct brain *brain;
	struct outbox outbox;
	pthread_mutex_t mutex;
	pthread_cond_t came;
	bool woken;
	struct { struct work work; int64_t since; } calls[FLIGHT_LIMIT];
	const void *inputs[DEFINITIONS];
	struct session *sessions;
	struct session_event *openings;
	size_t next, home, placed, refused, opened, messages, message_bytes;
	struct samples waits;
};

static struct client client;

static void wake(struct outbox *outbox)
{
	pthread_mutex_lock(&client.mutex);
	client.woken = true;
	pthread_cond_signal(&client.came);
	pthread_mutex_unlock(&client.mutex);
}

static void wait_home(struct link *ret_works)
{
	pthread_mutex_lock(&client.mutex);
	while (!client.woken)
		pthread_cond_wait(&client.came, &client.mutex);
	client.woken = false;
	pthread_mutex_unlock(&client.mutex);
	outbox_take(&client.outbox, ret_works);
}

static void on_failure(void *self, const struct error *error) { give_up("append", error); }

static void submit(size_t place)
{
	struct work *work = &client.calls[place].work;

	work->kind = WORK_CALL;
	work->home = &client.outbox;
	work->protocol = &protocol_json_1_1;
	work->call = (struct call_event){.operation = api_find(&api_ecs, S("RunTask")), .caller = world_root,
					 .region = S("us-east-1"), .input = client.inputs[client.next++ % DEFINITIONS]};
	buffer_clear(&work->answer.body);
	client.calls[place].since = nanoseconds();
	if (!brain_submit(client.brain, work))
		give_up("submit", NULL);
}

/* True when a call came home. */
static bool take(struct work *work, size_t *ret_place)
{
	if (work->kind == WORK_SEND || work->kind == WORK_HANGUP) {
		client.messages++;
		client.message_bytes += work->answer.body.len;
		brain_work_free(work);
		return false;
	}
	if (work->kind == WORK_SESSION_OPENED) {
		client.opened++;
		if (work->refused)
			give_up("a refused session", NULL);
		free(work);
		return false;
	}
	for (size_t i = 0; i < FLIGHT_LIMIT; i++)
		if (work == &client.calls[i].work)
			*ret_place = i;
	return true;
}

static void open_sessions(const struct str *instances, size_t count)
{
	client.sessions = calloc(count, sizeof(*client.sessions));
	client.openings = calloc(count, sizeof(*client.openings));
	for (size_t i = 0; i < count; i++) {
		struct work *work = calloc(1, sizeof(*work));

		client.sessions[i] = (struct session){.number = i + 1, .home = &client.outbox};
		client.openings[i] = (struct session_event){
			.caller = world_agent, .region = S("us-east-1"), .cluster = S("default"),
			.container_instance = instances[i], .agent_version = S("1.99.0"), .docker_version = S("26.0.0")};
		*work = (struct work){.kind = WORK_SESSION_OPENED, .home = &client.outbox, .session = &client.sessions[i],
				      .event = &client.openings[i]};
		brain_submit(client.brain, work);
	}
	while (client.opened < count) {
		struct link works;
		size_t place;

		wait_home(&works);
		CHAIN_EACH(&works, struct work, link, work) {
			link_remove(&work->link);
			take(work, &place);
		}
	}
}

static void run_calls(const struct setting *setting, size_t tasks)
{
	size_t calls = tasks / (size_t)setting->count, submitted = 0;

	for (; submitted < MIN((size_t)setting->flight, calls); submitted++)
		submit(submitted);
	for (client.home = 0; client.home < calls;) {
		struct link works;

		wait_home(&works);
		CHAIN_EACH(&works, struct work, link, work) {
			size_t place = 0;

			link_remove(&work->link);
			if (!take(work, &place))
				continue;
			samples_add(&client.waits, nanoseconds() - client.calls[place].since);
			client.home++;
			if (work->answer.status != 200)
				give_up("RunTask was refused", NULL);
			if (submitted < calls) {
				submitted++;
				submit(place);
			}
		}
	}
}

static void decode_inputs(const struct setting *setting, struct arena *arena)
{
	const struct operation *operation = api_find(&api_ecs, S("RunTask"));

	for (size_t i = 0; i < DEFINITIONS; i++)
		client.inputs[i] = world_decode(operation, arena_cstr(arena, arena_printf(arena,
			"{'taskDefinition':'family%zu','count':%d%s}", i, setting->count, setting->placement)), arena);
}

static void measure(const struct setting *setting, size_t instances, size_t tasks)
{
	auto_arena arena = {0};
	char *folder = scratch_make(&arena);
	const char *name, *text;
	struct brain_figures before, after;
	struct world world;
	struct str *arns;
	int64_t began, took;

	client = (struct client){.mutex = PTHREAD_MUTEX_INITIALIZER, .came = PTHREAD_COND_INITIALIZER};
	outbox_init(&client.outbox, wake);
	world_init(&world, str_of(folder), S("wherry.db"));
	world_define(&world, DEFINITIONS);
	arns = world_register(&world, instances, &arena);
	decode_inputs(setting, &arena);
	client.brain = brain_start(&(struct brain_options){.plane = world.plane, .store = world.store, .on_failure = on_failure});
	open_sessions(arns, instances);
	brain_figures(client.brain, &before);
	began = nanoseconds();
	run_calls(setting, tasks);
	took = nanoseconds() - began;
	brain_figures(client.brain, &after);
	brain_stop(client.brain);
	name = arena_cstr(&arena, arena_printf(&arena, "placement.%s", setting->name));
	text = arena_cstr(&arena, arena_printf(&arena,
		"%zu instances, %zu tasks, RunTask count %d, %d calls under way, %d task definitions", instances, tasks,
		setting->count, setting->flight, DEFINITIONS));
	figure(name, (double)tasks * 1e9 / (double)took, "placements/s", "%s", text);
	figure_spread(name, &client.waits, text);
	figure(arena_cstr(&arena, arena_printf(&arena, "%s.records", name)),
	       (double)(after.changes - before.changes) * 1e9 / (double)took, "records/s", "%.0f records a commit",
	       (double)(after.changes - before.changes) / (double)(after.commits - before.commits));
	outbox_fini(&client.outbox);
	samples_fini(&client.waits);
	for (size_t i = 0; i < FLIGHT_LIMIT; i++)
		buffer_fini(&client.calls[i].work.answer.body);
	free(client.sessions);
	free(client.openings);
	world_fini(&world);
	scratch_remove(folder);
}

/* ---- where the time goes */

static void measure_parts(const struct setting *setting, size_t instances, size_t tasks)
{
	static const char *const names[] = {"step", "records", "replies", "messages", "commit"};
	auto_arena arena = {0};
	char *folder = scratch_make(&arena);
	struct world world;
	struct str *arns;

	world_init(&world, str_of(folder), S("wherry.db"));
	world_define(&world, DEFINITIONS);
	arns = world_register(&world, instances, &arena);
	decode_inputs(setting, &arena);
	for (size_t i = 0; i < instances; i++)
		world_connect(&world, arns[i]);
	world_commit(&world);
	memset(world.spent, 0, sizeof(world.spent));
	for (size_t i = 0; i < tasks / (size_t)setting->count; i++) {
		struct event event = {.type = EVENT_CALL, .call = {
			.operation = api_find(&api_ecs, S("RunTask")), .caller = world_root, .region = S("us-east-1"),
			.input = client.inputs[i % DEFINITIONS]}};

		world_step(&world, &event);
		if (i % STEPS_A_COMMIT == STEPS_A_COMMIT - 1)
			world_commit(&world);
	}
	world_commit(&world);
	for (size_t i = 0; i < SPENDING_COUNT; i++)
		figure(arena_cstr(&arena, arena_printf(&arena, "placement.parts.%s.%s", setting->name, names[i])),
		       (double)world.spent[i] / 1e3 / (double)tasks, "us/task", "one thread, %d steps a commit, count %d",
		       STEPS_A_COMMIT, setting->count);
	world_fini(&world);
	scratch_remove(folder);
}

int main(int count, char **arguments)
{
	int64_t instances = 5000, tasks = 100000;

	if ((count > 1 && !str_to_long(str_of(arguments[1]), &instances)) ||
	    (count > 2 && !str_to_long(str_of(arguments[2]), &tasks)) || instances < 1 || tasks < 1000)
		give_up("usage: bench_placement [INSTANCES [TASKS [NAME]]]", NULL);
	for (size_t i = 0; i < COUNT(settings); i++) {
		if (count > 3 && !str_equal(str_of(arguments[3]), str_of(settings[i].name)))
			continue;
		measure(&settings[i], (size_t)instances, (size_t)tasks);
		measure_parts(&settings[i], (size_t)instances, (size_t)tasks);
	}
	return 0;
}
