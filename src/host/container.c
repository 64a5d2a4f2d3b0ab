#include "host/container.h"
#include "api/ecs.h"
#include "wire/json.h"

enum { MEMORY_LEAST = 4 << 20 };

/* A text of docker's own JSON; absent and empty read as {}. */
static bool decode(const struct shape *shape, struct str text, const char *error_name, struct arena *arena,
		   void **ret_value, struct error *err)
{
	struct json_fault fault = {0};

	if (json_decode(shape, text.len > 0 ? text : S("{}"), arena, ret_value, &fault))
		return true;
	return fail(err, ERROR_REFUSED, "%s: %s", error_name, fault.error.text);
}

static bool decode_command(struct container *container, struct arena *arena, struct error *err)
{
	const struct acs_container *acs = container->acs;
	void *decoded;
	const struct ecs_container_override *override;

	container->command = (struct oci_strings){acs->command.items, acs->command.count};
	if (!decode(&shape_ecs_container_override, acs->overrides, "DockerClientConfigError", arena, &decoded,
		    err))
		return fail_context(err, "overrides");
	override = decoded;
	if (override->command.items)
		container->command = (struct oci_strings){override->command.items, override->command.count};
	if (acs->entry_point.count + container->command.count > CONTAINER_ARGUMENTS_LIMIT)
		return fail(err, ERROR_REFUSED, "CannotCreateContainerError: more than %d arguments",
			    CONTAINER_ARGUMENTS_LIMIT);
	return true;
}

static bool decode_network(struct container *container, struct error *err)
{
	struct str mode = container->host->network_mode;

	if (str_empty(mode))
		mode = container->task->network_mode;
	if (str_empty(mode) || str_equal(mode, S("bridge")) || str_equal(mode, S("default")))
		container->network = NETWORK_BRIDGE;
	else if (str_equal(mode, S("host")))
		container->network = NETWORK_HOST;
	else if (str_equal(mode, S("none")))
		container->network = NETWORK_NONE;
	else
		return fail(err, ERROR_REFUSED,
			    "CannotCreateContainerError: network mode %.*s is not supported by this agent",
			    STR(mode));
	return true;
}

static bool decode_log(struct container *container, struct error *err)
{
	const struct docker_log_config *log = container->host->log_config;

	container->log_file = true;
	if (!log || str_empty(log->type) || str_equal(log->type, S("json-file")))
		return true;
	if (!str_equal(log->type, S("none")))
		return fail(err, ERROR_REFUSED,
			    "CannotCreateContainerError: logging driver %.*s is not supported by this agent",
			    STR(log->type));
	container->log_file = false;
	return true;
}

static bool decode_memory(struct container *container, struct error *err)
{
	const struct docker_host_config *host = container->host;
	int64_t mib = container->acs->memory.has ? container->acs->memory.value : 0;
	int64_t task_mib = container->task->memory.has ? container->task->memory.value : 0;

	container->memory_bytes = host->memory.has ? host->memory.value : mib << 20;
	if (container->memory_bytes < 0)
		return fail(err, ERROR_REFUSED, "HostConfigError: negative memory");
	if (container->memory_bytes > 0 && container->memory_bytes < MEMORY_LEAST)
		container->memory_bytes = MEMORY_LEAST;
	if (task_mib > 0 && container->memory_bytes > task_mib << 20)
		return fail(err, ERROR_REFUSED, "ResourceInitializationError: container memory limit (%lld "
			    "bytes) is greater than the task's (%lld MiB)", (long long)container->memory_bytes,
			    (long long)task_mib);
	return true;
}

static bool is_mode(struct str mode, const char *allowed)
{
	return str_empty(mode) || str_equal(mode, str_of(allowed));
}

static bool waits_for_health(const struct acs_container *acs)
{
	for (size_t i = 0; i < acs->depends_on.count; i++)
		if (str_equal(acs->depends_on.items[i].condition, S("HEALTHY")))
			return true;
	return false;
}

const struct acs_volume *container_find_volume(const struct acs_task *task, struct str name)
{
	for (size_t i = 0; i < task->volumes.count; i++)
		if (str_equal(task->volumes.items[i].name, name))
			return &task->volumes.items[i];
	return NULL;
}

static bool is_host_volume(const struct acs_volume *volume)
{
	return (str_empty(volume->type) || str_equal(volume->type, S("host"))) &&
	       !volume->docker_volume_configuration && !volume->efs_volume_configuration;
}

/* "..", "." and empty pieces would let a volume's name or a container's path mean another folder. */
static bool is_plain_path(struct str path)
{
	struct str piece;

	if (memchr(path.ptr, '\0', path.len) || memchr(path.ptr, '\n', path.len))
		return false;
	while (str_cut(&path, '/', &piece))
		if (str_equal(piece, S("..")))
			return false;
	return true;
}

static bool check_mounts(const struct container *container, struct error *err)
{
	const struct acs_container *acs = container->acs;

	if (acs->mount_points.count > CONTAINER_MOUNTS_LIMIT)
		return fail(err, ERROR_REFUSED, "CannotCreateContainerError: more than %d mount points",
			    CONTAINER_MOUNTS_LIMIT);
	for (size_t i = 0; i < acs->mount_points.count; i++) {
		const struct acs_mount_point *point = &acs->mount_points.items[i];
		const struct acs_volume *volume = container_find_volume(container->task, point->source_volume);

		if (!volume)
			return fail(err, ERROR_REFUSED, "InvalidVolumeError: there is no volume '%.*s'",
				    STR(point->source_volume));
		if (!is_host_volume(volume))
			return fail(err, ERROR_REFUSED, "InvalidVolumeError: volume '%.*s' is not a host volume, "
				    "others are not supported by this agent", STR(volume->name));
		if (str_empty(volume->name) || str_find(volume->name, '/') < volume->name.len ||
		    volume->name.ptr[0] == '.' || !is_plain_path(volume->name))
			return fail(err, ERROR_REFUSED, "InvalidVolumeError: bad name of a volume");
		if (volume->host && !str_empty(volume->host->source_path) &&
		    (volume->host->source_path.ptr[0] != '/' || !is_plain_path(volume->host->source_path)))
			return fail(err, ERROR_REFUSED, "InvalidVolumeError: sourcePath '%.*s' is not absolute",
				    STR(volume->host->source_path));
		if (str_empty(point->container_path) || point->container_path.ptr[0] != '/' ||
		    !is_plain_path(point->container_path))
			return fail(err, ERROR_REFUSED, "InvalidVolumeError: containerPath '%.*s' is not "
				    "absolute", STR(point->container_path));
	}
	return true;
}

/* What the protocol can ask for and this host cannot do yet. */
static bool check_supported(const struct container *container, struct error *err)
{
	const struct acs_container *acs = container->acs;
	const struct acs_task *task = container->task;
	const struct docker_host_config *host = container->host;
	const struct { bool asked; const char *what; } rows[] = {
		{acs->volumes_from.count > 0, "volumesFrom"},
		{acs->links.count > 0, "links"},
		{acs->secrets.count > 0, "secrets"},
		{acs->environment_files.count > 0, "environmentFiles"},
		{str_equal(acs->health_check_type, S("docker")) || container->config->healthcheck, "healthCheck"},
		{waits_for_health(acs), "dependsOn with condition HEALTHY"},
		{acs->firelens_configuration, "firelensConfiguration"},
		{container->config->tty.value, "pseudoTerminal"},
		{host->init.value, "initProcessEnabled"},
		{!is_mode(task->pid_mode, "host") || !is_mode(host->pid_mode, "host"), "pidMode other than host"},
		{!is_mode(task->ipc_mode, "host") && !is_mode(task->ipc_mode, "none"), "ipcMode task"},
		{!is_mode(host->ipc_mode, "host") && !is_mode(host->ipc_mode, "none") &&
			 !is_mode(host->ipc_mode, "private") && !is_mode(host->ipc_mode, "shareable"),
		 "sharing another container's IPC"},
		{!str_empty(host->runtime) && !str_equal(host->runtime, S("runc")), "a runtime of one's own"},
		{task->associations.count > 0, "associations (GPU, Elastic Inference)"},
	};

	for (size_t i = 0; i < COUNT(rows); i++)
		if (rows[i].asked)
			return fail(err, ERROR_REFUSED, "CannotCreateContainerError: %s is not supported by "
				    "this agent", rows[i].what);
	return true;
}

bool container_decode(const struct acs_task *task, const struct acs_container *acs, struct arena *arena,
		      struct container *ret_container, struct error *err)
{
	struct container container = {.task = task, .acs = acs};
	const struct acs_docker_config *texts = acs->docker_config;
	void *config, *host;

	if (!decode(&shape_docker_config, texts ? texts->config : STR_NONE, "DockerClientConfigError", arena,
		    &config, err) ||
	    !decode(&shape_docker_host_config, texts ? texts->host_config : STR_NONE, "HostConfigError", arena,
		    &host, err))
		return false;
	container.config = config;
	container.host = host;
	if (!check_supported(&container, err) || !check_mounts(&container, err) ||
	    !decode_command(&container, arena, err) || !decode_network(&container, err) ||
	    !decode_log(&container, err) || !decode_memory(&container, err))
		return false;
	*ret_container = container;
	return true;
}
