/* accept.c - what a task from the server must be before anything is done for it.
 *
 * What this agent cannot do is refused by name, never half done: a row in `refused` per feature, to be
 * deleted by whoever builds it (and its capability added in src/runner/settings.c). */
#include "agent/held.h"
#include "api/docker.h"
#include "wire/json.h"

enum { HEALTH_INTERVAL_SECONDS = 30, HEALTH_RETRIES = 3 };       /* docker's, for what is not given */

bool accept_task_id(struct str arn, struct str *ret_id)
{
	size_t slash = str_find_last(arn, '/');
	struct str id;

	if (!str_has(arn) || slash == arn.len)
		return false;
	id = str_slice(arn, slash + 1, arn.len);
	if (id.len == 0 || id.len > AGENT_TASK_ID_LIMIT)
		return false;
	for (size_t i = 0; i < id.len; i++) {
		char c = id.ptr[i];

		if (!((c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '-'))
			return false;
	}
	*ret_id = id;
	return true;
}

static bool asks_secrets(const struct acs_container *container) { return container->secrets.count > 0; }
static bool asks_router(const struct acs_container *container) { return container->firelens_configuration != NULL; }
static bool asks_exec(const struct acs_container *container) { return container->managed_agents.count > 0; }

static bool asks_registry(const struct acs_container *container)
{
	return container->registry_authentication != NULL;
}

static const struct {
	bool (*asked)(const struct acs_container *container);
	const char *what;
} refused[] = {
	{ asks_secrets, "secrets" },
	{ asks_router, "firelensConfiguration" },
	{ asks_exec, "ECS Exec" },
	{ asks_registry, "registryAuthentication" },
};

static bool is_one_of(struct str word, const char *a, const char *b, const char *c, const char *d)
{
	const char *const words[] = {a, b, c, d};

	for (size_t i = 0; i < COUNT(words); i++)
		if (words[i] && str_equal(word, str_of(words[i])))
			return true;
	return false;
}

static bool name_is_good(struct str name)
{
	if (str_empty(name) || name.len > AGENT_NAME_LIMIT || name.ptr[0] == '.')
		return false;
	for (size_t i = 0; i < name.len; i++)
		if (name.ptr[i] == '/' || (unsigned char)name.ptr[i] < ' ')
			return false;
	return true;
}

static const struct acs_container *find_container(const struct acs_task *task, struct str name)
{
	for (size_t i = 0; i < task->containers.count; i++)
		if (str_equal(task->containers.items[i].name, name))
			return &task->containers.items[i];
	return NULL;
}

static bool check_known(const struct acs_task *task, const struct acs_container *container, struct str other,
			const char *member, struct error *err)
{
	if (find_container(task, other))
		return true;
	return fail(err, ERROR_INVALID_PARAMETER, "container '%.*s' has %s '%.*s', which is not in the task",
		    STR(container->name), member, STR(other));
}

static bool check_dependencies(const struct acs_task *task, const struct acs_container *container,
			       struct error *err)
{
	for (size_t i = 0; i < container->depends_on.count; i++) {
		const struct acs_dependency *on = &container->depends_on.items[i];

		if (!check_known(task, container, on->container_name, "dependsOn", err))
			return false;
		if (str_equal(on->condition, S("HEALTHY")) &&
		    str_empty(find_container(task, on->container_name)->health_check_type))
			return fail(err, ERROR_INVALID_PARAMETER, "container '%.*s' waits for '%.*s' to be HEALTHY, "
				    "which has no health check", STR(container->name), STR(on->container_name));
		if (!is_one_of(on->condition, "START", "COMPLETE", "SUCCESS", "HEALTHY"))
			return fail(err, ERROR_INVALID_PARAMETER, "unknown dependsOn condition '%.*s'",
				    STR(on->condition));
	}
	if (container->links.count && !is_one_of(task->network_mode, "", "bridge", NULL, NULL))
		return fail(err, ERROR_INVALID_PARAMETER, "container '%.*s' has links, which network mode '%.*s' does "
			    "not have", STR(container->name), STR(task->network_mode));
	for (size_t i = 0; i < container->links.count; i++) {
		struct str link = container->links.items[i];

		if (!check_known(task, container, str_slice(link, 0, str_find(link, ':')), "a link to", err))
			return false;
	}
	for (size_t i = 0; i < container->volumes_from.count; i++)
		if (!check_known(task, container, container->volumes_from.items[i].source_container, "volumesFrom",
				 err))
			return false;
	return true;
}

static bool check_ports(const struct acs_container *container, struct error *err)
{
	for (size_t i = 0; i < container->port_mappings.count; i++) {
		const struct acs_port_mapping *mapping = &container->port_mappings.items[i];
		int32_t inner = mapping->container_port.value, outer = mapping->host_port.value;

		if (str_has(mapping->container_port_range))
			continue;                        /* the hands read it; its host ports are chosen there */
		if (inner < 1 || inner >= PORT_COUNT || outer < 0 || outer >= PORT_COUNT)
			return fail(err, ERROR_INVALID_PARAMETER, "container '%.*s' maps port %d to %d",
				    STR(container->name), inner, outer);
		if (!str_empty(mapping->protocol) && !str_equal(mapping->protocol, S("tcp")) &&
		    !str_equal(mapping->protocol, S("udp")))
			return fail(err, ERROR_INVALID_PARAMETER, "unknown protocol '%.*s'", STR(mapping->protocol));
	}
	return true;
}

static bool check_text(const struct shape *shape, struct str text, struct str container, const char *member,
		       struct arena *arena, struct error *err)
{
	struct json_fault fault = {0};
	void *value;

	if (str_empty(text) || json_decode(shape, text, arena, &value, &fault))
		return true;
	return fail(err, ERROR_INVALID_PARAMETER, "container '%.*s' has a bad %s: %s", STR(container), member,
		    fault.error.text);
}

static bool check_docker(const struct acs_container *container, struct arena *arena, struct error *err)
{
	const struct acs_docker_config *docker = container->docker_config;

	if (!check_text(&shape_ecs_container_override, container->overrides, container->name, "overrides", arena, err))
		return false;
	return !docker ||
	       (check_text(&shape_docker_config, docker->config, container->name, "dockerConfig.config", arena, err) &&
		check_text(&shape_docker_host_config, docker->host_config, container->name,
			   "dockerConfig.hostConfig", arena, err));
}

static struct docker_healthcheck *read_health(const struct acs_container *container, struct arena *arena)
{
	struct docker_config *config = NULL;
	struct json_fault fault;

	if (str_empty(container->health_check_type) || !container->docker_config ||
	    str_empty(container->docker_config->config) ||
	    !json_decode(&shape_docker_config, container->docker_config->config, arena, (void **)&config, &fault))
		return NULL;
	return config->healthcheck;
}

static bool check_health(const struct acs_container *container, struct arena *arena, struct error *err)
{
	const struct docker_healthcheck *health = read_health(container, arena);

	if (str_empty(container->health_check_type))
		return true;
	if (!str_equal(container->health_check_type, S("docker")))
		return fail(err, ERROR_INVALID_PARAMETER, "container '%.*s' has a health check of unknown type '%.*s'",
			    STR(container->name), STR(container->health_check_type));
	if (!health || health->test.count == 0 || !is_one_of(health->test.items[0], "CMD", "CMD-SHELL", "NONE", NULL) ||
	    (health->test.count == 1 && !str_equal(health->test.items[0], S("NONE"))))
		return fail(err, ERROR_INVALID_PARAMETER, "DockerClientConfigError: container '%.*s' has a health check "
			    "without a command", STR(container->name));
	if (health->interval.value < 0 || health->timeout.value < 0 || health->start_period.value < 0 ||
	    health->retries.value < 0)
		return fail(err, ERROR_INVALID_PARAMETER, "container '%.*s' has a health check with a negative number",
			    STR(container->name));
	return true;
}

/* Docker's defaults for what is zero or not there; its shortest interval is a millisecond. */
struct health_rules accept_health(const struct acs_container *container, struct arena *arena)
{
	const struct docker_healthcheck *health = read_health(container, arena);
	struct health_rules rules = {0};

	if (!health || health->test.count == 0 || str_equal(health->test.items[0], S("NONE")))
		return rules;
	rules.asked = true;
	rules.interval = health->interval.value > 0 ? MAX(health->interval.value / 1000, USEC_PER_MSEC)
						    : HEALTH_INTERVAL_SECONDS * USEC_PER_SEC;
	rules.start_period = health->start_period.value / 1000;
	rules.retries = health->retries.value > 0 ? health->retries.value : HEALTH_RETRIES;
	return rules;
}

static bool check_restart(const struct acs_container *container, struct error *err)
{
	const struct acs_restart_policy *policy = container->restart_policy;

	if (policy && policy->restart_attempt_period.has && policy->restart_attempt_period.value < 0)
		return fail(err, ERROR_INVALID_PARAMETER, "container '%.*s' has a negative restartAttemptPeriod",
			    STR(container->name));
	return true;
}

static bool check_container(const struct acs_task *task, size_t index, struct arena *arena, struct error *err)
{
	const struct acs_container *container = &task->containers.items[index];

	if (!name_is_good(container->name))
		return fail(err, ERROR_INVALID_PARAMETER, "'%.*s' cannot be the name of a container",
			    STR(container->name));
	for (size_t i = 0; i < index; i++)
		if (str_equal(task->containers.items[i].name, container->name))
			return fail(err, ERROR_INVALID_PARAMETER, "two containers are named '%.*s'",
				    STR(container->name));
	if (str_empty(container->image))
		return fail(err, ERROR_INVALID_PARAMETER, "container '%.*s' has no image", STR(container->name));
	for (size_t i = 0; i < COUNT(refused); i++)
		if (refused[i].asked(container))
			return fail(err, ERROR_INVALID_PARAMETER, "container '%.*s' asks for %s, which this agent "
				    "does not do yet", STR(container->name), refused[i].what);
	return check_ports(container, err) && check_dependencies(task, container, err) &&
	       check_docker(container, arena, err) && check_health(container, arena, err) &&
	       check_restart(container, err);
}

static bool check_volumes(const struct acs_task *task, struct error *err)
{
	for (size_t i = 0; i < task->volumes.count; i++) {
		const struct acs_volume *volume = &task->volumes.items[i];

		if (!str_empty(volume->type) && !is_one_of(volume->type, "host", "docker", "efs", NULL))
			return fail(err, ERROR_INVALID_PARAMETER, "volume '%.*s' is of type '%.*s', which this agent "
				    "does not do yet", STR(volume->name), STR(volume->type));
	}
	return true;
}

/* agent-protocol 2.4: an address, a gateway with the length of its prefix, no trunk. */
static bool check_interface(const struct acs_elastic_network_interface *eni, struct error *err)
{
	size_t slash = str_find(eni->subnet_gateway_ipv4_address, '/');

	if (str_empty(eni->attachment_arn) || str_empty(eni->ec2_id) || str_empty(eni->mac_address))
		return fail(err, ERROR_INVALID_PARAMETER, "a network interface has no attachment, id or mac address");
	if (eni->ipv4_addresses.count == 0)
		return fail(err, ERROR_INVALID_PARAMETER, "network interface '%.*s' has no IPv4 address",
			    STR(eni->ec2_id));
	if (slash == eni->subnet_gateway_ipv4_address.len ||
	    slash != str_find_last(eni->subnet_gateway_ipv4_address, '/'))
		return fail(err, ERROR_INVALID_PARAMETER, "network interface '%.*s' has a bad gateway '%.*s'",
			    STR(eni->ec2_id), STR(eni->subnet_gateway_ipv4_address));
	if (!str_empty(eni->interface_association_protocol) &&
	    !str_equal(eni->interface_association_protocol, S("default")))
		return fail(err, ERROR_INVALID_PARAMETER, "network interface '%.*s' is of kind '%.*s', which this agent "
			    "does not do", STR(eni->ec2_id), STR(eni->interface_association_protocol));
	return true;
}

/* A task that is only to be stopped needs none: it is never run. */
static bool check_network(const struct acs_task *task, struct error *err)
{
	bool stops = str_equal(task->desired_status, S("STOPPED"));

	if (is_one_of(task->network_mode, "", "bridge", "host", "none"))
		return true;
	if (!str_equal(task->network_mode, S("awsvpc")))
		return fail(err, ERROR_INVALID_PARAMETER, "network mode '%.*s' is not one this agent does",
			    STR(task->network_mode));
	if (task->elastic_network_interfaces.count != 1 && !stops)
		return fail(err, ERROR_INVALID_PARAMETER, "an awsvpc task has one network interface, not %zu",
			    task->elastic_network_interfaces.count);
	return stops || check_interface(&task->elastic_network_interfaces.items[0], err);
}

static bool check_namespaces(const struct acs_task *task, struct error *err)
{
	if (!str_empty(task->pid_mode) && !is_one_of(task->pid_mode, "host", "task", NULL, NULL))
		return fail(err, ERROR_INVALID_PARAMETER, "unknown pidMode '%.*s'", STR(task->pid_mode));
	if (!str_empty(task->ipc_mode) && !is_one_of(task->ipc_mode, "host", "task", "none", NULL))
		return fail(err, ERROR_INVALID_PARAMETER, "unknown ipcMode '%.*s'", STR(task->ipc_mode));
	return true;
}

bool accept_check(const struct acs_task *task, struct arena *arena, struct error *err)
{
	if (task->containers.count == 0)
		return fail(err, ERROR_INVALID_PARAMETER, "the task has no containers");
	if (task->containers.count > AGENT_CONTAINERS_LIMIT)
		return fail(err, ERROR_INVALID_PARAMETER, "the task has %zu containers, more than %d",
			    task->containers.count, AGENT_CONTAINERS_LIMIT);
	if (!check_network(task, err) || !check_namespaces(task, err) || !check_volumes(task, err))
		return false;
	for (size_t i = 0; i < task->containers.count; i++)
		if (!check_container(task, i, arena, err))
			return false;
	return true;
}

static int64_t container_memory(const struct acs_container *container, struct arena *arena)
{
	const struct acs_docker_config *docker = container->docker_config;
	struct docker_host_config *host = NULL;
	struct json_fault fault;

	if (docker && !str_empty(docker->host_config) &&
	    json_decode(&shape_docker_host_config, docker->host_config, arena, (void **)&host, &fault) &&
	    host->memory_reservation.value > 0)
		return host->memory_reservation.value >> 20;
	return container->memory.value;
}

struct demand accept_demand(const struct acs_task *task, struct arena *arena)
{
	struct demand demand = {0};

	for (size_t i = 0; i < task->containers.count; i++) {
		demand.cpu_units += task->containers.items[i].cpu.value;
		demand.memory_mib += container_memory(&task->containers.items[i], arena);
	}
	if (task->cpu.value > 0)
		demand.cpu_units = (int64_t)(task->cpu.value * 1024 + 0.5);
	if (task->memory.value > 0)
		demand.memory_mib = task->memory.value;
	return demand;
}
