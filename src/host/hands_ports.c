#include "host/hands_private.h"

static bool port_is_good(struct maybe_integer port, int least) { return port.value >= least && port.value <= 65535; }

static bool add_port(struct ports *ports, struct network_port port, struct error *err)
{
	if (ports->count == NETWORK_PORTS_LIMIT)
		return fail(err, ERROR_REFUSED, "CannotCreateContainerError: more than %d port mappings",
			    NETWORK_PORTS_LIMIT);
	ports->items[ports->count++] = port;
	return true;
}

static bool add_range(struct ports *ports, struct str text, bool udp, struct error *err)
{
	struct str rest = text, piece;
	int64_t low = 0, high = 0;
	size_t first = ports->count;

	if (!str_cut(&rest, '-', &piece) || !str_to_long(piece, &low) || !str_to_long(rest, &high) || low < 1 ||
	    high < low || high > 65535)
		return fail(err, ERROR_REFUSED, "UnparsablePort: %.*s", STR(text));
	for (int64_t port = low; port <= high; port++)
		if (!add_port(ports, (struct network_port){.container_port = (uint16_t)port, .udp = udp}, err))
			return false;
	ports->items[first].block = (uint16_t)(high - low + 1);
	ports->ranges[ports->range_count++] = (struct port_range){first, ports->count - first};
	return true;
}

bool ports_read(const struct acs_container *container, struct ports *ports, struct error *err)
{
	ports->count = ports->range_count = 0;
	for (size_t i = 0; i < container->port_mappings.count; i++) {
		const struct acs_port_mapping *mapping = &container->port_mappings.items[i];
		bool udp = str_equal_ignoring_case(mapping->protocol, S("udp"));

		if (!str_empty(mapping->container_port_range)) {
			if (!add_range(ports, mapping->container_port_range, udp, err))
				return false;
			continue;
		}
		if (!port_is_good(mapping->container_port, 1) || !port_is_good(mapping->host_port, 0))
			return fail(err, ERROR_REFUSED, "UnparsablePort: %d:%d", mapping->host_port.value,
				    mapping->container_port.value);
		if (!add_port(ports, (struct network_port){.container_port = (uint16_t)mapping->container_port.value,
							   .host_port = (uint16_t)mapping->host_port.value, .udp = udp}, err))
			return false;
	}
	return true;
}

bool ports_keep(const struct keeper_launch *last, struct ports *ports)
{
	bool kept = false;

	for (size_t i = 0; i < ports->count; i++)
		for (size_t j = 0; j < last->port_count && ports->items[i].host_port == 0; j++) {
			struct str rest = last->ports[j], inside, outside;
			int64_t container_port, host_port;

			if (str_cut(&rest, ' ', &inside) && str_cut(&rest, ' ', &outside) &&
			    str_to_long(inside, &container_port) && str_to_long(outside, &host_port) &&
			    container_port == ports->items[i].container_port &&
			    str_equal(rest, S("udp")) == ports->items[i].udp) {
				ports->items[i].host_port = (uint16_t)host_port;
				kept = true;
			}
		}
	return kept;
}

static const struct port_range *range_at(const struct ports *ports, size_t index)
{
	for (size_t i = 0; i < ports->range_count; i++)
		if (ports->ranges[i].first == index)
			return &ports->ranges[i];
	return NULL;
}

void ports_list(const struct ports *ports, struct arena *arena, struct keeper_launch *launch)
{
	launch->ports = arena_array(arena, struct str, ports->count);
	for (size_t i = 0; i < ports->count; i++) {
		const struct port_range *range = range_at(ports, i);
		const struct network_port *first = &ports->items[i];
		const struct network_port *last = range ? &ports->items[i + range->count - 1] : first;
		const char *protocol = first->udp ? "udp" : "tcp";

		launch->ports[launch->port_count++] = range
			? arena_printf(arena, "%u-%u %u-%u %s", first->container_port, last->container_port,
				       first->host_port, last->host_port, protocol)
			: arena_printf(arena, "%u %u %s", first->container_port, first->host_port, protocol);
		i += range ? range->count - 1 : 0;
	}
}

static struct ecs_network_binding make_binding(int container_port, int host_port, bool udp)
{
	return (struct ecs_network_binding){
		.bind_ip = S("0.0.0.0"),
		.container_port = {container_port, true},
		.host_port = {host_port, true},
		.protocol = udp ? ECS_TRANSPORT_PROTOCOL_UDP : ECS_TRANSPORT_PROTOCOL_TCP,
	};
}

static struct ecs_network_binding make_range(struct str inside, struct str outside, bool udp)
{
	return (struct ecs_network_binding){
		.bind_ip = S("0.0.0.0"),
		.container_port_range = inside,
		.host_port_range = outside,
		.protocol = udp ? ECS_TRANSPORT_PROTOCOL_UDP : ECS_TRANSPORT_PROTOCOL_TCP,
	};
}

/* From the launch file: "8080 32768 tcp", "8080-8090 32768-32778 tcp". */
struct ecs_network_bindings ports_bindings(const struct keeper_launch *launch, struct arena *arena)
{
	struct ecs_network_bindings bindings = {
		arena_array(arena, struct ecs_network_binding, launch->port_count), 0};

	for (size_t i = 0; i < launch->port_count; i++) {
		struct str rest = launch->ports[i], inside, outside;
		int64_t container_port, host_port;

		if (!str_cut(&rest, ' ', &inside) || !str_cut(&rest, ' ', &outside))
			continue;
		if (str_find(inside, '-') < inside.len)
			bindings.items[bindings.count++] = make_range(inside, outside, str_equal(rest, S("udp")));
		else if (str_to_long(inside, &container_port) && str_to_long(outside, &host_port))
			bindings.items[bindings.count++] = make_binding((int)container_port, (int)host_port,
									str_equal(rest, S("udp")));
	}
	return bindings;
}
