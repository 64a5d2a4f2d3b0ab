/* faults.c - what the world does to its parts, in the mood the seed is in. */
#include "sim/world.h"
#include <errno.h>

/* How often each kind strikes, as weights; and how often anything does. */
struct climate {
	const char *name;
	struct weather weather;
	usec pause;                                      /* on average, between two strikes; 0: never */
	unsigned server_crash, disk_full, agent_crash, power_loss, wipe, cut, cut_off, exit;
};

static const struct climate climates[] = {
	{ .name = "kind", .weather = {.slow_hands = true} },
	{ .name = "rough network", .pause = SECONDS(6), .cut = 6, .cut_off = 4, .exit = 1,
	  .weather = {.lose_call = 60, .delay_call = 40, .repeat_call = 60, .lose_answer = 60, .slow_packet = 40, .slow_hands = true} },
	{ .name = "crashing server", .pause = SECONDS(8), .server_crash = 8, .disk_full = 3, .exit = 1,
	  .weather = {.lose_answer = 10, .slow_packet = 10, .slow_disk = SECONDS(1), .slow_hands = true} },
	{ .name = "crashing agents", .pause = SECONDS(5), .agent_crash = 8, .exit = 3,
	  .weather = {.slow_packet = 10, .sick = 150, .slow_hands = true, .stubborn = 200, .fail_destroy = 50} },
	{ .name = "crashing machines", .pause = SECONDS(12), .power_loss = 6, .wipe = 2, .exit = 1,
	  .weather = {.slow_packet = 10, .slow_hands = true} },
	{ .name = "slow disks", .pause = SECONDS(20), .server_crash = 2, .agent_crash = 2, .exit = 1,
	  .weather = {.slow_disk = SECONDS(5), .slow_packet = 10, .slow_hands = true} },
	{ .name = "bad images", .pause = SECONDS(15), .exit = 10,
	  .weather = {.fail_pull = 300, .fail_create = 50, .fail_start = 150, .fail_destroy = 100, .slow_hands = true,
		      .stubborn = 300, .sick = 300} },
	{ .name = "everything", .pause = SECONDS(4), .server_crash = 3, .disk_full = 1, .agent_crash = 4, .power_loss = 2,
	  .wipe = 1, .cut = 4, .cut_off = 2, .exit = 4,
	  .weather = {.lose_call = 30, .delay_call = 30, .repeat_call = 30, .lose_answer = 30, .slow_packet = 30,
		      .slow_disk = SECONDS(3),
		      .fail_pull = 50, .fail_create = 20, .fail_start = 30, .fail_destroy = 30, .slow_hands = true,
		      .stubborn = 150, .sick = 200} },
};

struct strike {
	struct happening happening;
	const struct climate *climate;
	struct machine *machine;
};

static struct machine *any_machine(struct sim *sim) { return sim->machines[below(sim, sim->machine_count)]; }

static usec a_while(struct sim *sim)
{
	return chance(sim, 700) ? between(sim, MSECS(50), SECONDS(3)) : between(sim, SECONDS(3), SECONDS(25));
}

static void power_returns(struct sim *sim, struct happening *happening)
{
	machine_power_on(sim, ((struct strike *)happening)->machine);
}

static void network_returns(struct sim *sim, struct happening *happening)
{
	struct machine *machine = ((struct strike *)happening)->machine;

	if (machine->cut_off)
		trace(sim, "%s: the network is back", machine->name);
	machine->cut_off = false;
}

static void later(struct sim *sim, struct machine *machine, usec delay, void (*run)(struct sim *, struct happening *))
{
	happen(sim, delay, struct strike, run)->machine = machine;
}

static void crash_server(struct sim *sim) { server_crash(sim, chance(sim, 800) ? a_while(sim) / 2 : a_while(sim)); }
static void fill_disk(struct sim *sim) { store_memory_fail_next(sim->server.committer.store, ENOSPC); }
static void crash_agent(struct sim *sim) { machine_crash_agent(sim, any_machine(sim), a_while(sim)); }

static void lose_power(struct sim *sim)
{
	struct machine *machine = any_machine(sim);

	if (!machine->on)
		return;
	machine_power_off(sim, machine);
	later(sim, machine, between(sim, SECONDS(2), SECONDS(chance(sim, 700) ? 20 : 90)), power_returns);
}

static void wipe(struct sim *sim)
{
	struct machine *machine = any_machine(sim);

	if (!machine->on)
		return;
	machine_wipe(sim, machine);
	later(sim, machine, between(sim, SECONDS(5), SECONDS(30)), power_returns);
}

static void cut(struct sim *sim)
{
	struct machine *machine = any_machine(sim);

	if (!machine->channel)
		return;
	trace(sim, "%s: its channel breaks", machine->name);
	network_cut(sim, machine->channel, chance(sim, 600));
}

static void cut_off(struct sim *sim)
{
	struct machine *machine = any_machine(sim);

	trace(sim, "%s: is cut off", machine->name);
	machine->cut_off = true;
	later(sim, machine, chance(sim, 800) ? a_while(sim) : between(sim, SECONDS(30), SECONDS(80)), network_returns);
}

static void end_container(struct sim *sim)
{
	struct container *container = kernel_random_container(sim);
	bool out_of_memory = chance(sim, 300);

	if (container)
		kernel_exit(sim, container, out_of_memory ? 137 : (int)below(sim, 256), out_of_memory);
}

static void strike(struct sim *sim, const struct climate *climate)
{
	const struct { unsigned weight; void (*act)(struct sim *sim); } kinds[] = {
		{ climate->server_crash, crash_server }, { climate->disk_full, fill_disk },
		{ climate->agent_crash, crash_agent },   { climate->power_loss, lose_power },
		{ climate->wipe, wipe },                 { climate->cut, cut },
		{ climate->cut_off, cut_off },           { climate->exit, end_container },
	};
	unsigned total = 0, chosen;

	for (size_t i = 0; i < COUNT(kinds); i++)
		total += kinds[i].weight;
	chosen = (unsigned)below(sim, total);
	for (size_t i = 0; i < COUNT(kinds); i++) {
		if (chosen < kinds[i].weight) {
			kinds[i].act(sim);
			return;
		}
		chosen -= kinds[i].weight;
	}
}

/* Its owner sees that a machine is of no more use, and sets it up anew. */
static void renew_one(struct sim *sim)
{
	struct machine *machine = any_machine(sim);

	if (!machine->on || (!machine->terminal && !machine->inactive))
		return;
	machine_wipe(sim, machine);
	later(sim, machine, between(sim, SECONDS(1), SECONDS(10)), power_returns);
}

static void strike_again(struct sim *sim, struct happening *happening)
{
	const struct climate *climate = ((struct strike *)happening)->climate;

	if (sim->quiet)
		return;
	renew_one(sim);
	strike(sim, climate);
	happen(sim, between(sim, climate->pause / 4, climate->pause * 7 / 4), struct strike, strike_again)->climate = climate;
}

void faults_begin(struct sim *sim)
{
	const struct climate *climate = &climates[below(sim, COUNT(climates))];

	trace(sim, "the climate: %s", climate->name);
	sim->weather = climate->weather;
	sim->bounds_watched = climate->pause == 0;
	if (climate->pause)
		happen(sim, climate->pause, struct strike, strike_again)->climate = climate;
}

static bool is_registered(struct sim *sim, const struct machine *machine)
{
	struct snapshot snapshot;
	struct str arn = agent_instance_arn(machine->agent);
	bool found = !sim->server.up || !str_has(arn);

	if (found)
		return true;
	snapshot_take(sim->server.plane, &snapshot);
	EACH_OBJECT(&snapshot, CONTAINER_INSTANCE, container_instance, instance)
		found |= str_ends(arn, instance->id) && instance->status != INSTANCE_STATUS_INACTIVE;
	snapshot_fini(&snapshot);
	return found;
}

/* Machines whose instance is no more, or whose agent gave up, are set up anew, as their owner would. */
static void repair(struct sim *sim, struct machine *machine)
{
	machine->cut_off = false;
	if (machine->terminal || !is_registered(sim, machine))
		machine_wipe(sim, machine);
	machine_power_on(sim, machine);
}

void faults_end(struct sim *sim)
{
	trace(sim, "quiet");
	sim->quiet = true;
	sim->weather = (struct weather){0};
	for (unsigned i = 0; i < sim->machine_count; i++)
		repair(sim, sim->machines[i]);
}
