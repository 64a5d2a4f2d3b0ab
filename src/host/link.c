#include "host/link.h"

const struct acs_container *link_parse(const struct acs_task *task, struct str link, struct str *ret_alias)
{
	struct str name = str_slice(link, 0, str_find(link, ':'));

	*ret_alias = name.len < link.len ? str_slice(link, name.len + 1, link.len) : name;
	for (size_t i = 0; i < task->containers.count; i++)
		if (str_equal(task->containers.items[i].name, name))
			return &task->containers.items[i];
	return NULL;
}

static struct str variable_prefix(struct str alias, struct arena *arena)
{
	char *text = arena_cstr(arena, alias);

	for (char *c = text; *c; c++)
		*c = *c == '-' ? '_' : *c >= 'a' && *c <= 'z' ? (char)(*c - 'a' + 'A') : *c;
	return str_of(text);
}

static const struct acs_port_mapping *lowest_port(const struct acs_port_mappings *ports)
{
	const struct acs_port_mapping *lowest = NULL;

	for (size_t i = 0; i < ports->count; i++)
		if (ports->items[i].container_port.has &&
		    (!lowest || ports->items[i].container_port.value < lowest->container_port.value))
			lowest = &ports->items[i];
	return lowest;
}

static const char *protocol_of(const struct acs_port_mapping *port)
{
	return str_equal_ignoring_case(port->protocol, S("udp")) ? "udp" : "tcp";
}

static void add_port(const struct acs_port_mapping *port, struct str prefix, struct str address, struct buffer *out)
{
	const char *protocol = protocol_of(port), *upper = protocol[0] == 'u' ? "UDP" : "TCP";
	int number = port->container_port.value;

	buffer_printf(out, "%.*s_PORT_%d_%s=%s://%.*s:%d\n", STR(prefix), number, upper, protocol, STR(address), number);
	buffer_printf(out, "%.*s_PORT_%d_%s_ADDR=%.*s\n", STR(prefix), number, upper, STR(address));
	buffer_printf(out, "%.*s_PORT_%d_%s_PORT=%d\n", STR(prefix), number, upper, number);
	buffer_printf(out, "%.*s_PORT_%d_%s_PROTO=%s\n", STR(prefix), number, upper, protocol);
}

void link_describe(const struct acs_container *container, const struct acs_container *target, struct str alias,
		   struct str address, struct buffer *hosts, struct buffer *variables)
{
	auto_arena arena = {0};
	struct str prefix = variable_prefix(alias, &arena);
	const struct acs_port_mapping *first = lowest_port(&target->port_mappings);

	buffer_printf(hosts, "%.*s\t%.*s", STR(address), STR(alias));
	if (!str_equal(alias, target->name))
		buffer_printf(hosts, " %.*s", STR(target->name));
	buffer_add_char(hosts, '\n');
	buffer_printf(variables, "%.*s_NAME=/%.*s/%.*s\n", STR(prefix), STR(container->name), STR(alias));
	if (first)
		buffer_printf(variables, "%.*s_PORT=%s://%.*s:%d\n", STR(prefix), protocol_of(first), STR(address),
			      first->container_port.value);
	for (size_t i = 0; i < target->port_mappings.count; i++)
		if (target->port_mappings.items[i].container_port.has)
			add_port(&target->port_mappings.items[i], prefix, address, variables);
	for (size_t i = 0; i < target->environment.count; i++)
		if (str_find(target->environment.items[i].value, '\n') == target->environment.items[i].value.len)
			buffer_printf(variables, "%.*s_ENV_%.*s=%.*s\n", STR(prefix), STR(target->environment.items[i].key),
				      STR(target->environment.items[i].value));
}
