#include "host/container.h"
#include "api/ecs.h"
#include "wire/json.h"

enum { MEMORY_LEAST = 4 << 20, SHM_BYTES = 64 << 20, VOLUMES_FROM_DEPTH = 16,
       PROBE_TIMEOUT_SEC = 30 };                         /* docker's default */

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

	if (str_empty(mode) || container_has_interface(container->task))
		mode = container->task->network_mode;
	if (container_has_interface(container->task))
		container->network = NETWORK_TASK;
	else if (str_empty(mode) || str_equal(mode, S("bridge")) || str_equal(mode, S("default")))
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

usec container_probe_timeout(const struct container *container)
{
	const struct docker_healthcheck *check = container->config->healthcheck;

	if (!check || check->test.count < 2 || str_equal(check->test.items[0], S("NONE")))
		return 0;
	return check->timeout.has && check->timeout.value >= 1000000 ? check->timeout.value / 1000
								      : PROBE_TIMEOUT_SEC * USEC_PER_SEC;
}

static bool is_mode(struct str mode, const char *allowed)
{
	return str_empty(mode) || str_equal(mode, str_of(allowed));
}

bool container_is_fargate(const struct acs_task *task) { return str_equal(task->launch_type, S("FARGATE")); }
bool container_has_interface(const struct acs_task *task) { return str_equal(task->network_mode, S("awsvpc")); }

int64_t container_memory_file_bytes(const struct docker_host_config *host)
{
	return host->shm_size.has && host->shm_size.value > 0 ? host->shm_size.value : SHM_BYTES;
}

const struct acs_volume *container_find_volume(const struct acs_task *task, struct str name)
{
	for (size_t i = 0; i < task->volumes.count; i++)
		if (str_equal(task->volumes.items[i].name, name))
			return &task->volumes.items[i];
	return NULL;
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

bool container_check_volume(const struct acs_volume *volume, struct error *err)
{
	struct str source = volume->host ? volume->host->source_path : STR_NONE;
	struct str type = volume->type;

	if (!str_empty(type) && !str_equal(type, S("host")) && !str_equal(type, S("docker")) &&
	    !str_equal(type, S("efs")))
		return fail(err, ERROR_REFUSED, "InvalidVolumeError: volumes of type %.*s are not supported by this agent",
			    STR(type));
	if (str_empty(volume->name) || str_find(volume->name, '/') < volume->name.len ||
	    volume->name.ptr[0] == '.' || !is_plain_path(volume->name))
		return fail(err, ERROR_REFUSED, "InvalidVolumeError: bad name of a volume");
	if (!str_empty(source) && (source.ptr[0] != '/' || !is_plain_path(source)))
		return fail(err, ERROR_REFUSED, "InvalidVolumeError: sourcePath '%.*s' is not absolute", STR(source));
	return true;
}

static bool add_mounts(const struct acs_task *task, const struct acs_container *acs, bool read_only, int depth,
		       struct container_mount *mounts, size_t *count, struct error *err);

static bool add_mounts_from(const struct acs_task *task, const struct acs_volume_from *from, bool read_only, int depth,
			    struct container_mount *mounts, size_t *count, struct error *err)
{
	if (depth >= VOLUMES_FROM_DEPTH)
		return fail(err, ERROR_REFUSED, "CannotCreateContainerError: volumesFrom goes round in a circle");
	for (size_t i = 0; i < task->containers.count; i++)
		if (str_equal(task->containers.items[i].name, from->source_container))
			return add_mounts(task, &task->containers.items[i], read_only || from->read_only.value, depth + 1,
					  mounts, count, err);
	return fail(err, ERROR_REFUSED, "CannotCreateContainerError: volumesFrom: there is no container '%.*s'",
		    STR(from->source_container));
}

static bool add_mounts(const struct acs_task *task, const struct acs_container *acs, bool read_only, int depth,
		       struct container_mount *mounts, size_t *count, struct error *err)
{
	for (size_t i = 0; i < acs->volumes_from.count; i++)
		if (!add_mounts_from(task, &acs->volumes_from.items[i], read_only, depth, mounts, count, err))
			return false;
	for (size_t i = 0; i < acs->mount_points.count; i++) {
		const struct acs_mount_point *point = &acs->mount_points.items[i];

		if (*count == CONTAINER_MOUNTS_LIMIT)
			return fail(err, ERROR_REFUSED, "CannotCreateContainerError: more than %d mount points",
				    CONTAINER_MOUNTS_LIMIT);
		mounts[(*count)++] = (struct container_mount){point->source_volume, point->container_path,
							      read_only || point->read_only.value};
	}
	return true;
}

bool container_mounts(const struct acs_task *task, const struct acs_container *container, struct arena *arena,
		      struct container_mount **ret_mounts, size_t *ret_count, struct error *err)
{
	*ret_mounts = arena_array(arena, struct container_mount, CONTAINER_MOUNTS_LIMIT);
	*ret_count = 0;
	return add_mounts(task, container, false, 0, *ret_mounts, ret_count, err);
}

static bool check_mounts(const struct container *container, struct arena *arena, struct error *err)
{
	struct container_mount *mounts;
	size_t count;

	if (!container_mounts(container->task, container->acs, arena, &mounts, &count, err))
		return false;
	for (size_t i = 0; i < count; i++) {
		const struct acs_volume *volume = container_find_volume(container->task, mounts[i].volume);

		if (!volume)
			return fail(err, ERROR_REFUSED, "InvalidVolumeError: there is no volume '%.*s'",
				    STR(mounts[i].volume));
		if (!container_check_volume(volume, err))
			return false;
		if (str_empty(mounts[i].path) || mounts[i].path.ptr[0] != '/' || !is_plain_path(mounts[i].path))
			return fail(err, ERROR_REFUSED, "InvalidVolumeError: containerPath '%.*s' is not "
				    "absolute", STR(mounts[i].path));
	}
	return true;
}

static bool has_name(const struct acs_strings *names, struct str name)
{
	for (size_t i = 0; i < names->count; i++)
		if (str_equal(names->items[i], name))
			return true;
	return false;
}

/* GPUs come as associations of the task that name their containers. */
static bool find_gpus(struct container *container, struct arena *arena, struct error *err)
{
	const struct acs_associations *all = &container->task->associations;

	container->gpus.items = arena_array(arena, struct str, CONTAINER_GPUS_LIMIT);
	for (size_t i = 0; i < all->count; i++) {
		const struct acs_association *one = &all->items[i];

		if (!str_equal_ignoring_case(one->type, S("gpu")))
			return fail(err, ERROR_REFUSED, "CannotCreateContainerError: associations of type %.*s are not "
				    "supported by this agent", STR(one->type));
		if (!has_name(&one->containers, container->acs->name))
			continue;
		if (container->gpus.count == CONTAINER_GPUS_LIMIT)
			return fail(err, ERROR_REFUSED, "CannotCreateContainerError: more than %d GPUs",
				    CONTAINER_GPUS_LIMIT);
		container->gpus.items[container->gpus.count++] = one->name;
	}
	return true;
}

/* The task's word, unless docker's says otherwise. */
static bool decode_sharing(struct container *container, struct error *err)
{
	const struct docker_host_config *host = container->host;
	struct str task = S("task");

	container->own_users = container_is_fargate(container->task);
	container->shares_pid = str_equal(str_empty(host->pid_mode) ? container->task->pid_mode : host->pid_mode, task);
	container->shares_ipc = str_equal(str_empty(host->ipc_mode) ? container->task->ipc_mode : host->ipc_mode, task);
	if (container->own_users && host->privileged.value)
		return fail(err, ERROR_REFUSED, "CannotCreateContainerError: privileged containers are not for FARGATE");
	return true;
}

/* What the protocol can ask for and this host cannot do yet. */
static bool check_supported(const struct container *container, struct error *err)
{
	const struct acs_container *acs = container->acs;
	const struct acs_task *task = container->task;
	const struct docker_host_config *host = container->host;
	const struct { bool asked; const char *what; } rows[] = {
		{acs->secrets.count > 0, "secrets"},
		{acs->firelens_configuration, "firelensConfiguration"},
		{!is_mode(task->pid_mode, "host") && !is_mode(task->pid_mode, "task"), "this pidMode"},
		{!is_mode(host->pid_mode, "host") && !is_mode(host->pid_mode, "task"), "sharing another container's processes"},
		{!is_mode(task->ipc_mode, "host") && !is_mode(task->ipc_mode, "none") &&
			 !is_mode(task->ipc_mode, "task"), "this ipcMode"},
		{!is_mode(host->ipc_mode, "host") && !is_mode(host->ipc_mode, "none") &&
			 !is_mode(host->ipc_mode, "private") && !is_mode(host->ipc_mode, "shareable") && !is_mode(host->ipc_mode, "task"),
		 "sharing another container's IPC"},
		{!str_empty(host->runtime) && !str_equal(host->runtime, S("runc")) &&
			 !str_equal(host->runtime, S("nvidia")), "a runtime of one's own"},
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
	if (!check_supported(&container, err) || !check_mounts(&container, arena, err) ||
	    !decode_sharing(&container, err) || !find_gpus(&container, arena, err) || !decode_command(&container, arena, err) || !decode_network(&container, err) ||
	    !log_options_read(container.host->log_config, arena, &container.log, err) || !decode_memory(&container, err))
		return false;
	*ret_container = container;
	return true;
}
