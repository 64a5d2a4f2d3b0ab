/* ledger.c - the host's cpu, memory, ports and GPUs, and who holds them (agent-protocol 3.1). */
#include "agent/held.h"

static bool is_set(const uint64_t *ports, uint16_t port) { return ports[port / 64] >> (port % 64) & 1; }

static void set(uint64_t *ports, uint16_t port, bool taken)
{
	uint64_t bit = UINT64_C(1) << (port % 64);

	ports[port / 64] = taken ? ports[port / 64] | bit : ports[port / 64] & ~bit;
}

static void reserve(uint64_t *ports, const struct ecs_string_list *list)
{
	for (size_t i = 0; i < list->count; i++) {
		int64_t port;

		if (str_to_long(list->items[i], &port) && port > 0 && port < PORT_COUNT)
			set(ports, (uint16_t)port, true);
	}
}

void ledger_reserve(struct ledger *ledger, const struct agent_options *options)
{
	reserve(ledger->tcp, &options->reserved_tcp);
	reserve(ledger->udp, &options->reserved_udp);
}

/* Visits the host ports that a task asks for by number. `visit` false ends it. */
static bool each_port(struct ledger *ledger, const struct acs_task *task,
		      bool (*visit)(uint64_t *ports, uint16_t port))
{
	if (str_equal(task->network_mode, S("awsvpc")))
		return true;
	for (size_t i = 0; i < task->containers.count; i++) {
		const struct acs_port_mappings *mappings = &task->containers.items[i].port_mappings;

		for (size_t j = 0; j < mappings->count; j++) {
			const struct acs_port_mapping *mapping = &mappings->items[j];
			bool udp = str_equal(mapping->protocol, S("udp"));

			if (mapping->host_port.value > 0 &&
			    !visit(udp ? ledger->udp : ledger->tcp, (uint16_t)mapping->host_port.value))
				return false;
		}
	}
	return true;
}

static bool port_is_free(uint64_t *ports, uint16_t port) { return !is_set(ports, port); }

static bool port_take(uint64_t *ports, uint16_t port)
{
	set(ports, port, true);
	return true;
}

static bool port_release(uint64_t *ports, uint16_t port)
{
	set(ports, port, false);
	return true;
}

/* A bit each, in the order of the host's. A device that is not there takes no room: the hands refuse it. */
static uint64_t gpus_of(const struct agent *agent, const struct acs_task *task)
{
	const struct ecs_string_list *all = &agent->options.gpus;
	uint64_t found = 0;

	for (size_t i = 0; i < task->associations.count; i++) {
		const struct acs_association *device = &task->associations.items[i];

		for (size_t j = 0; j < MIN(all->count, (size_t)AGENT_GPUS_LIMIT) && str_equal(device->type, S("gpu")); j++)
			if (str_equal(device->name, all->items[j]))
				found |= UINT64_C(1) << j;
	}
	return found;
}

bool ledger_could_fit(const struct agent *agent, const struct held *work)
{
	return work->demand.cpu_units <= agent->options.cpu_units && work->demand.memory_mib <= agent->options.memory_mib;
}

bool ledger_fits(const struct agent *agent, const struct held *work)
{
	const struct ledger *ledger = &agent->ledger;

	return ledger->cpu_units + work->demand.cpu_units <= agent->options.cpu_units &&
	       ledger->memory_mib + work->demand.memory_mib <= agent->options.memory_mib &&
	       !(ledger->gpus & gpus_of(agent, work->record->task)) &&
	       each_port((struct ledger *)ledger, work->record->task, port_is_free);
}

void ledger_take(struct agent *agent, struct held *work)
{
	assert(!work->holds);
	work->holds = true;
	agent->ledger.cpu_units += work->demand.cpu_units;
	agent->ledger.memory_mib += work->demand.memory_mib;
	agent->ledger.gpus |= gpus_of(agent, work->record->task);
	each_port(&agent->ledger, work->record->task, port_take);
}

void ledger_release(struct agent *agent, struct held *work)
{
	if (!work->holds)
		return;
	work->holds = false;
	agent->ledger.cpu_units -= work->demand.cpu_units;
	agent->ledger.memory_mib -= work->demand.memory_mib;
	agent->ledger.gpus &= ~gpus_of(agent, work->record->task);
	each_port(&agent->ledger, work->record->task, port_release);
	agent->room_changed = true;
}
