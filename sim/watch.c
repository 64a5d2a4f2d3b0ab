/* watch.c - what machines hear of the VPCs (WatchNetwork), over the same lossy network as everything else.
 *
 * Only in random stories. Each life of an agent begins with nothing and asks again and again; what it has put together is
 * compared at the end with what the store says (invariant 11). */
#include "api/wherry.h"
#include "base/buffer.h"
#include "sim/world.h"

struct watch_event {
	struct happening happening;
	struct machine *machine;
	uint64_t life;
};

static void ask(struct sim *sim, struct happening *happening);

static void ask_later(struct sim *sim, struct machine *machine, usec delay)
{
	struct watch_event *event = happen(sim, delay, struct watch_event, ask);

	event->machine = machine;
	event->life = machine->life;
}

static void ask(struct sim *sim, struct happening *happening)
{
	struct watch_event *self = (struct watch_event *)happening;
	struct machine *machine = self->machine;
	struct wherry_watch_network_request request = {0};
	auto_buffer body = {0};

	if (!machine->agent_up || machine->life != self->life)
		return;
	request.container_instance = agent_instance_arn(machine->agent);
	if (str_empty(request.container_instance)) {
		ask_later(sim, machine, SECONDS(1));
		return;
	}
	if (machine->hears.epoch[0]) {                   /* the first version is 0 */
		request.epoch = str_of(machine->hears.epoch);
		request.version = (struct maybe_long){machine->hears.version, true};
	}
	json_encode(&shape_wherry_watch_network_request, &request, &body);
	network_call(sim, (struct asker){machine, machine->life, WATCH_TICKET},
		     &api_wherry.operations[WHERRY_OPERATION_WATCH_NETWORK], buffer_str(&body));
}

void watch_begin(struct sim *sim, struct machine *machine)
{
	watch_end(machine);
	machine->hears.version = 0;
	machine->hears.epoch[0] = '\0';
	if (sim->user)
		ask_later(sim, machine, MSECS(1));
}

void watch_end(struct machine *machine) { network_view_fini(&machine->hears.view); }

static void take(struct sim *sim, struct machine *machine, const struct wherry_watch_network_response *news)
{
	struct wherry_watch_network_response told;
	auto_arena arena = {0};
	struct error error;

	assert(news->epoch.len < sizeof(machine->hears.epoch));
	if (sim->bounds_watched && str_equal(news->epoch, str_of(machine->hears.epoch)) &&
	    news->version.value == machine->hears.version)
		violation(sim, "who knows the newest waits", "%s is told version %lld again", machine->name,
			  (long long)machine->hears.version);
	if (!network_view_take(&machine->hears.view, news, &arena, &told, &error))
		violation(sim, "a machine knows its interfaces and their groups", "%s: %s", machine->name, error.text);
	memcpy(machine->hears.epoch, news->epoch.ptr, news->epoch.len);
	machine->hears.epoch[news->epoch.len] = '\0';
	machine->hears.version = news->version.value;
}

void watch_answer(struct sim *sim, struct machine *machine, struct answer answer)
{
	auto_arena arena = {0};
	struct json_fault fault;
	void *news;

	if (answer.error) {
		ask_later(sim, machine, SECONDS(1));
		return;
	}
	if (!json_decode(&shape_wherry_watch_network_response, answer.text, &arena, &news, &fault)) {
		violation(sim, "answers are well formed", "%s in %.*s", fault.error.text, STR(answer.text));
		return;
	}
	take(sim, machine, news);
	ask_later(sim, machine, 0);
}

/* ---- What must be so when the world has been quiet for a while */

static void check_group(struct sim *sim, const struct snapshot *snapshot, const struct machine *machine, struct str id)
{
	const struct wherry_group *group = map_get(&machine->hears.view.groups, id);
	size_t members = 0;

	if (!group) {
		violation(sim, "a machine knows its interfaces and their groups", "%s does not know %.*s", machine->name, STR(id));
		return;
	}
	EACH_OBJECT(snapshot, NETWORK_INTERFACE, network_interface, interface) {
		if (!str_listed(interface->groups.items, interface->groups.count, id))
			continue;
		members++;
		if (!str_listed(group->members.items, group->members.count, interface->address))
			violation(sim, "a machine knows its interfaces and their groups", "%s does not know that %.*s is in %.*s",
				  machine->name, STR(interface->address), STR(id));
	}
	if (members != group->members.count)
		violation(sim, "a machine knows its interfaces and their groups", "%s believes %zu members of %.*s instead of %zu",
			  machine->name, group->members.count, STR(id), members);
}

static void check_machine(struct sim *sim, const struct snapshot *snapshot, const struct machine *machine, struct str instance)
{
	size_t count = 0;

	EACH_OBJECT(snapshot, NETWORK_INTERFACE, network_interface, interface) {
		if (!str_equal(interface->instance, instance))
			continue;
		count++;
		if (!map_get(&machine->hears.view.interfaces, interface->id))
			violation(sim, "a machine knows its interfaces and their groups", "%s does not know %.*s", machine->name,
				  STR(interface->id));
		for (size_t i = 0; i < interface->groups.count; i++)
			check_group(sim, snapshot, machine, interface->groups.items[i]);
	}
	if (count != machine->hears.view.interfaces.count)
		violation(sim, "a machine knows its interfaces and their groups", "%s believes %zu interfaces instead of %zu",
			  machine->name, machine->hears.view.interfaces.count, count);
}

void check_watches(struct sim *sim)
{
	struct snapshot snapshot;

	if (sim->failed)
		return;
	snapshot_take(sim->server.plane, &snapshot);
	for (unsigned i = 0; i < sim->machine_count && !sim->failed; i++) {
		const struct machine *machine = sim->machines[i];
		struct str arn;

		if (!machine->agent_up || !machine_is_connected(machine) || machine->inactive)
			continue;
		arn = agent_instance_arn(machine->agent);
		check_machine(sim, &snapshot, machine, str_slice(arn, str_find_last(arn, '/') + 1, arn.len));
	}
	snapshot_fini(&snapshot);
}
