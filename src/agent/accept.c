/* accept.c - what a task from the server must be before anything is done for it.
 *
 * What this agent cannot do is refused by name, never half done: a row in `refused` per feature, to be
 * deleted by whoever builds it (and its capability added in src/runner/settings.c). */
#include "agent/held.h"
#include "api/docker.h"
#include "wire/json.h"

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

static bool asks_health(const struct acs_container *container) { return !str_empty(container->health_check_type); }
static bool asks_secrets(const struct acs_container *container) { return container->secrets.count > 0; }
static bool asks_files(const struct acs_container *container) { return container->environment_files.count > 0; }
static bool asks_router(const struct acs_container *container) { return container->firelens_configuration != NULL; }
static bool asks_exec(const struct acs_container *container) { return container->managed_agents.count > 0; }

static bool asks_registry(const struct acs_container *container)
{
	return container->registry_authentication != NULL;
}

static bool asks_restart(const struct acs_container *container)
{
	return container->restart_policy && container->restart_policy->enabled.value;
}

static const struct {
	bool (*asked)(const struct acs_container *container);
	const char *what;
} refused[] = {
	{ asks_health, "a container health check" },
	{ asks_secrets, "secrets" },
	{ asks_files, "environmentFiles" },
	{ asks_router, "firelensConfiguration" },
	{ asks_exec, "ECS Exec" },
	{ asks_registry, "registryAuthentication" },
	{ asks_restart, "a restartPolicy" },
};

static bool name_is_good(struct str name)
{
	if (str_empty(name) || name.len > AGENT_NAME_LIMIT || name.ptr[0] == '.')
		return false;
	for (size_t i = 0; i < name.len; i++)
		if (name.ptr[i] == '/' || (unsigned char)name.ptr[i] < ' ')
			return false;
	return true;
}

static bool has_container(const struct acs_task *task, struct str name)
{
	for (size_t i = 0; i < task->containers.count; i++)
		if (str_equal(task->containers.items[i].name, name))
			return true;
	return false;
}

static bool check_known(const struct acs_task *task, const struct acs_container *container, struct str other,
			const char *member, struct error *err)
{
	if (has_container(task, other))
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
		if (str_equal(on->condition, S("HEALTHY")))
			return fail(err, ERROR_INVALID_PARAMETER,
				    "container '%.*s' waits for '%.*s' to be HEALTHY, but this agent has no "
				    "container health checks yet", STR(container->name), STR(on->container_name));
		if (!str_equal(on->condition, S("START")) && !str_equal(on->condition, S("COMPLETE")) &&
		    !str_equal(on->condition, S("SUCCESS")))
			return fail(err, ERROR_INVALID_PARAMETER, "unknown dependsOn condition '%.*s'",
				    STR(on->condition));
	}
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
			return fail(err, ERROR_INVALID_PARAMETER, "container '%.*s' asks for a containerPortRange, "
				    "which this agent does not do yet", STR(container->name));
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
	       check_docker(container, arena, err);
}

static bool check_volumes(const struct acs_task *task, struct error *err)
{
	for (size_t i = 0; i < task->volumes.count; i++) {
		const struct acs_volume *volume = &task->volumes.items[i];

		if (!str_empty(volume->type) && !str_equal(volume->type, S("host")))
			return fail(err, ERROR_INVALID_PARAMETER, "volume '%.*s' is of type '%.*s', which this agent "
				    "does not do yet", STR(volume->name), STR(volume->type));
	}
	return true;
}

static bool check_network(const struct acs_task *task, struct error *err)
{
	static const struct str modes[] = { STR_INIT(""), STR_INIT("bridge"), STR_INIT("host"), STR_INIT("none") };

	for (size_t i = 0; i < COUNT(modes); i++)
		if (str_equal(task->network_mode, modes[i]))
			return true;
	return fail(err, ERROR_INVALID_PARAMETER, "network mode '%.*s' is not one this agent does yet",
		    STR(task->network_mode));
}

bool accept_check(const struct acs_task *task, struct arena *arena, struct error *err)
{
	if (task->containers.count == 0)
		return fail(err, ERROR_INVALID_PARAMETER, "the task has no containers");
	if (task->containers.count > AGENT_CONTAINERS_LIMIT)
		return fail(err, ERROR_INVALID_PARAMETER, "the task has %zu containers, more than %d",
			    task->containers.count, AGENT_CONTAINERS_LIMIT);
	if (!check_network(task, err) || !check_volumes(task, err))
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
	struct demand demand = {.unlimited = str_equal(task->launch_type, S("FARGATE"))};

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
