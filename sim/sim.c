/* sim.c - the agenda, the verbs of the tests, and the random story. */
#include "sim/world.h"
#include <stdlib.h>
#include "api/ec2.h"

/* ---- The agenda */

static bool earlier(const struct heap_node *a, const struct heap_node *b)
{
	const struct happening *left = CONTAINER_OF(a, struct happening, node), *right = CONTAINER_OF(b, struct happening, node);

	return left->at != right->at ? left->at < right->at : left->order < right->order;
}

void *happening_new(struct sim *sim, usec delay, size_t size, void (*run)(struct sim *sim, struct happening *self))
{
	struct happening *happening = calloc(1, size);

	if (!happening)
		abort();
	assert(delay >= 0);
	happening->at = sim->now + delay;
	happening->order = ++sim->order;
	happening->run = run;
	heap_add(&sim->agenda, &happening->node);
	return happening;
}

bool chance(struct sim *sim, unsigned thousandths)
{
	return thousandths && random_below(&sim->random, 1000) < thousandths;
}

uint64_t below(struct sim *sim, uint64_t bound) { return random_below(&sim->random, bound); }
usec between(struct sim *sim, usec from, usec to)
{
	return from + (to > from ? (usec)random_below(&sim->random, (uint64_t)(to - from)) : 0);
}

void violation(struct sim *sim, const char *invariant, const char *format, ...)
{
	char text[RESULT_LIMIT / 2];
	va_list args;

	if (sim->failed)
		return;
	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	sim->failed = true;
	snprintf(sim->failure, sizeof(sim->failure), "%s: %s", invariant, text);
	trace(sim, "VIOLATION of \"%s\": %s", invariant, text);
}

/* The next thing that happens by then; false when there is none. */
static bool world_step(struct sim *sim, usec until)
{
	struct heap_node *first = heap_first(&sim->agenda);
	struct happening *happening;

	if (sim->failed || !first || CONTAINER_OF(first, struct happening, node)->at > until)
		return false;
	happening = CONTAINER_OF(first, struct happening, node);
	heap_remove(&sim->agenda, first);
	sim->now = happening->at;
	happening->run(sim, happening);
	free(happening);
	return true;
}

void world_run_until(struct sim *sim, usec until)
{
	while (world_step(sim, until))
		;
	if (!sim->failed)
		sim->now = MAX(sim->now, until);
}

/* ---- Beginning and end */

struct sim *sim_new(const struct sim_options *options)
{
	struct sim *sim = calloc(1, sizeof(*sim));

	if (!sim)
		abort();
	sim->options = *options;
	sim->now = START_OF_TIME;
	sim->agenda.before = earlier;
	random_init(&sim->random, options->seed, 1);
	server_init(sim);
	for (unsigned i = 0; i < options->instances; i++)
		machine_add(sim);
	if (options->instances)
		world_run_until(sim, START_OF_TIME + SECONDS(2));
	sim->trace.facts.len = 0;
	return sim;
}

void sim_free(struct sim *sim)
{
	struct heap_node *first;

	if (!sim)
		return;
	while ((first = heap_first(&sim->agenda))) {
		heap_remove(&sim->agenda, first);
		free(CONTAINER_OF(first, struct happening, node));
	}
	heap_fini(&sim->agenda);
	for (unsigned i = 0; i < sim->machine_count; i++)
		machine_free(sim, sim->machines[i]);
	server_fini(sim);
	network_fini(sim);
	user_free(sim->user);
	trace_fini(&sim->trace);
	map_fini(&sim->exits);
	map_fini(&sim->starts);
	map_fini(&sim->healthy);
	arena_fini(&sim->arena);
	free(sim);
}

const char *sim_failure(const struct sim *sim) { return sim->failed ? sim->failure : NULL; }

/* ---- Verbs */

struct str sim_call(struct sim *sim, const char *operation, const char *input)
{
	const struct operation *ecs = api_find(&api_ecs, str_of(operation));
	const struct operation *found = ecs ? ecs : api_find(&api_ec2, str_of(operation));
	usec deadline = sim->now + SECONDS(60);

	assert(found);
	sim->direct.waiting = true;
	sim->direct.ticket = network_call(sim, (struct asker){0}, found, str_of(input));
	while (sim->direct.waiting && world_step(sim, deadline))
		;
	if (sim->direct.waiting)
		violation(sim, "calls are answered", "%s %s", operation, input);
	sim->direct.waiting = false;
	return sim->direct.text;
}

void sim_run_for(struct sim *sim, usec span) { world_run_until(sim, sim->now + span); }

static bool is_steady(struct sim *sim, char *why, size_t size)
{
	struct snapshot snapshot;
	bool steady;

	snprintf(why, size, "the server is down");
	if (!sim->server.up)
		return false;
	snapshot_take(sim->server.plane, &snapshot);
	steady = world_is_steady(sim, &snapshot, why, size);
	snapshot_fini(&snapshot);
	return steady;
}

static void run_until_steady(struct sim *sim, usec patience)
{
	usec deadline = sim->now + patience;
	char why[128];

	while (!is_steady(sim, why, sizeof(why)) && !sim->failed && sim->now < deadline)
		world_run_until(sim, sim->now + MSECS(500));
	if (!is_steady(sim, why, sizeof(why)))
		violation(sim, "a quiet world settles", "not after %lld s: %s", (long long)(patience / USEC_PER_SEC), why);
}

void sim_run_until_steady(struct sim *sim) { run_until_steady(sim, SECONDS(600)); }

static struct machine *machine_at(const struct sim *sim, unsigned instance)
{
	assert(instance > 0);
	assert(instance <= sim->machine_count);
	return sim->machines[instance - 1];
}

void sim_crash_instance(struct sim *sim, unsigned instance) { machine_power_off(sim, machine_at(sim, instance)); }
void sim_start_instance(struct sim *sim, unsigned instance) { machine_power_on(sim, machine_at(sim, instance)); }
void sim_crash_agent(struct sim *sim, unsigned instance) { machine_crash_agent(sim, machine_at(sim, instance), MSECS(100)); }
void sim_cut_instance(struct sim *sim, unsigned instance) { machine_at(sim, instance)->cut_off = true; }
void sim_join_instance(struct sim *sim, unsigned instance) { machine_at(sim, instance)->cut_off = false; }
void sim_crash_server(struct sim *sim) { server_crash(sim, MSECS(100)); }

void sim_exit_container(struct sim *sim, const char *name, int exit_code)
{
	for (unsigned i = 0; i < sim->machine_count; i++)
		EACH_CONTAINER(sim->machines[i], container)
			if (container->running && str_equal(container->name, str_of(name))) {
				kernel_exit(sim, container, exit_code, false);
				return;
			}
	violation(sim, "tests are right", "no container '%s' runs", name);
}

unsigned sim_count_running(const struct sim *sim, const char *name)
{
	unsigned count = 0;

	for (unsigned i = 0; i < sim->machine_count; i++)
		EACH_CONTAINER(sim->machines[i], container)
			count += container->running && str_equal(container->name, str_of(name));
	return count;
}

/* ---- The random story */

static void user_acts(struct sim *sim, struct happening *happening)
{
	if (sim->quiet)
		return;
	user_act(sim);
	happen(sim, between(sim, MSECS(50), chance(sim, 100) ? SECONDS(15) : SECONDS(4)), struct happening, user_acts);
}

/* All that must hold when nothing has been wrong for a while. */
static void check_end(struct sim *sim)
{
	struct snapshot snapshot;

	if (sim->failed)
		return;
	snapshot_take(sim->server.plane, &snapshot);
	user_check(sim, &snapshot);
	check_bookings(sim, &snapshot);
	check_ends(sim, &snapshot);
	check_exit_codes(sim, &snapshot);
	check_placeable(sim, &snapshot);
	check_interfaces(sim, &snapshot);
	snapshot_fini(&snapshot);
	check_server_crash(sim);
}

static void check_silence(struct sim *sim)
{
	uint64_t records;

	sim_run_for(sim, SECONDS(30));
	records = sim->server.records;
	sim_run_for(sim, SECONDS(60));
	if (!sim->failed && sim->server.records != records)
		violation(sim, "a quiet world settles", "%llu records in a minute in which nothing happened",
			  (unsigned long long)(sim->server.records - records));
}

bool sim_run(struct sim *sim)
{
	usec patience = SECONDS(20 * 60);

	while (sim->machine_count < (sim->options.instances ? sim->options.instances : 3 + below(sim, 4)))
		machine_add(sim);
	sim->user = user_new(sim);
	for (unsigned i = 0; i < sim->machine_count; i++)
		watch_begin(sim, sim->machines[i]);
	faults_begin(sim);
	happen(sim, SECONDS(1), struct happening, user_acts);
	sim_run_for(sim, between(sim, SECONDS(120), SECONDS(360)));
	if (sim->failed)
		return false;
	faults_end(sim);
	while (user_is_waiting(sim) && !sim->failed)
		sim_run_for(sim, SECONDS(1));
	sim_run_for(sim, SECONDS(CALL_LATEST_SECONDS + GONE_SECONDS));
	if (!sim->failed)
		faults_end(sim);                         /* those whose agent has learnt only now that it is out */
	run_until_steady(sim, patience);
	check_end(sim);
	check_silence(sim);
	check_end(sim);
	check_leftovers(sim);
	check_watches(sim);
	check_health(sim);
	return !sim->failed;
}
