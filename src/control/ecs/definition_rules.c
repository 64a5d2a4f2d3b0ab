#include "control/ecs/definition_rules.h"
#include "base/buffer.h"
#include "control/ecs/definition_checks.h"
#include "control/ecs/nulls.h"
#include "wire/cluster_query.h"
#include "wire/json.h"

enum {
	TASK_CPU_MINIMUM = 128,
	TASK_CPU_MAXIMUM = 196608,
	STORAGE_MINIMUM_GIB = 21,
	STORAGE_MAXIMUM_GIB = 200,
	EXPRESSION_LIMIT = 2000,
	ROLE_NAME_LIMIT = 64,
};

/* ---- sizes */

/* "12.5" times `scale`; false unless it is a whole number above 0 that fits 31 bits. */
static bool parse_scaled(struct str text, int64_t scale, int64_t *ret_value)
{
	int64_t value = 0, divisor = 1;
	bool fraction = false, any = false;

	for (size_t i = 0; i < text.len; i++) {
		char c = text.ptr[i];

		if (c == '.' && !fraction) {
			fraction = true;
			continue;
		}
		if (c < '0' || c > '9' || value > INT32_MAX || divisor > 1000000)
			return false;
		value = value * 10 + (c - '0');
		divisor *= fraction ? 10 : 1;
		any = true;
	}
	value *= scale;
	if (!any || value <= 0 || value % divisor || value / divisor > INT32_MAX)
		return false;
	*ret_value = value / divisor;
	return true;
}

struct unit {
	struct str suffix;
	int64_t scale;
};

static bool parse_units(struct str text, const struct unit *units, size_t count, int64_t *ret_value)
{
	struct str number = str_trim(text);

	for (size_t i = 0; i < count; i++) {
		size_t suffix = units[i].suffix.len;

		if (number.len > suffix &&
		    str_equal_ignoring_case(str_slice(number, number.len - suffix, number.len),
					    units[i].suffix))
			return parse_scaled(str_trim(str_slice(number, 0, number.len - suffix)),
					    units[i].scale, ret_value);
	}
	return parse_scaled(number, 1, ret_value);
}

bool definition_parse_cpu(struct str text, int64_t *ret_units)
{
	static const struct unit units[] = {{STR_INIT("vcpus"), 1024}, {STR_INIT("vcpu"), 1024}};

	return parse_units(text, units, COUNT(units), ret_units);
}

bool definition_parse_memory(struct str text, int64_t *ret_mebibytes)
{
	static const struct unit units[] = {
		{STR_INIT("gib"), 1024},
		{STR_INIT("gb"), 1024},
		{STR_INIT("mib"), 1},
		{STR_INIT("mb"), 1},
	};

	return parse_units(text, units, COUNT(units), ret_mebibytes);
}

/* Memory in MiB: from, to, step (ecs-behaviour 4.3). */
static const struct fargate_size {
	int64_t cpu, from, to, step;
} fargate_sizes[] = {
	{256, 512, 1024, 512},      {256, 2048, 2048, 1024},      {512, 1024, 4096, 1024},
	{1024, 2048, 8192, 1024},   {2048, 4096, 16384, 1024},    {4096, 8192, 30720, 1024},
	{8192, 16384, 61440, 4096}, {16384, 32768, 122880, 8192},
};

bool definition_is_fargate_size(const struct ecs_task_definition *definition, int64_t cpu,
				int64_t memory)
{
	if (definition_is_windows(definition) && (cpu < 1024 || cpu > 4096))
		return false;
	for (size_t i = 0; i < COUNT(fargate_sizes); i++) {
		const struct fargate_size *size = &fargate_sizes[i];

		if (size->cpu == cpu && memory >= size->from && memory <= size->to &&
		    memory % size->step == 0)
			return true;
	}
	return false;
}

/* AWS's recorded answer is an InvalidParameterException, unlike its neighbours. */
static bool refuse_size(const struct checks *checks, const char *which)
{
	return fail(checks->err, ERROR_INVALID_PARAMETER,
		    "Invalid '%s' setting for task. For more information, see the "
		    "Troubleshooting section of the Amazon ECS Developer Guide.",
		    which);
}

static bool settle_sizes(struct checks *checks, struct arena *arena)
{
	struct ecs_task_definition *definition = checks->definition;

	if (str_has(definition->cpu)) {
		if (!definition_parse_cpu(definition->cpu, &checks->cpu))
			return refuse_size(checks, "cpu");
		definition->cpu = arena_printf(arena, "%lld", (long long)checks->cpu);
	}
	if (str_has(definition->memory)) {
		if (!definition_parse_memory(definition->memory, &checks->memory))
			return refuse_size(checks, "memory");
		definition->memory = arena_printf(arena, "%lld", (long long)checks->memory);
	}
	return true;
}

static bool check_sizes(const struct checks *checks)
{
	if (checks->fargate && !checks->cpu)
		return refuse(checks, "Fargate requires that 'cpu' be defined at the task level.");
	if (checks->fargate && !checks->memory)
		return refuse(checks,
			      "Fargate requires that 'memory' be defined at the task level.");
	if (checks->fargate &&
	    !definition_is_fargate_size(checks->definition, checks->cpu, checks->memory))
		return refuse(
			checks,
			"No Fargate configuration exists for given values: %lld CPU, %lld memory. "
			"See the Amazon ECS documentation for the valid values.",
			(long long)checks->cpu, (long long)checks->memory);
	if (checks->cpu && (checks->cpu < TASK_CPU_MINIMUM || checks->cpu > TASK_CPU_MAXIMUM))
		return refuse_size(checks, "cpu");
	return true;
}

/* ---- questions */

bool definition_is_windows(const struct ecs_task_definition *definition)
{
	const struct ecs_runtime_platform *platform = definition->runtime_platform;

	return platform && platform->operating_system_family &&
	       platform->operating_system_family != ECS_OS_FAMILY_LINUX;
}

bool definition_requires(const struct ecs_task_definition *definition,
			 enum ecs_compatibility compatibility)
{
	for (size_t i = 0; i < definition->requires_compatibilities.count; i++)
		if (definition->requires_compatibilities.items[i] == compatibility)
			return true;
	return false;
}

bool definition_is_ecr_image(struct str image)
{
	struct str host = str_slice(image, 0, str_find(image, '/'));

	return host.len < image.len && str_contains(host, S(".dkr.ecr")) &&
	       str_contains(host, S(".amazonaws.com"));
}

static const char *linux_obstacle(const struct ecs_linux_parameters *linux_parameters)
{
	if (!linux_parameters)
		return NULL;
	if (linux_parameters->devices.count)
		return "devices";
	if (linux_parameters->shared_memory_size.has)
		return "sharedMemorySize";
	if (linux_parameters->max_swap.has)
		return "maxSwap";
	if (linux_parameters->swappiness.has)
		return "swappiness";
	for (size_t i = 0;
	     linux_parameters->capabilities && i < linux_parameters->capabilities->add.count; i++)
		if (!str_equal(linux_parameters->capabilities->add.items[i], S("SYS_PTRACE")))
			return "adding capabilities other than SYS_PTRACE";
	return NULL;
}

static const char *container_obstacle(const struct ecs_container_definition *container)
{
	const struct ecs_log_configuration *log = container->log_configuration;

	if (container->privileged.value)
		return "privileged containers";
	if (container->links.count)
		return "links";
	if (str_has(container->hostname))
		return "hostname";
	if (container->extra_hosts.count)
		return "extraHosts";
	if (container->dns_servers.count || container->dns_search_domains.count)
		return "DNS settings";
	if (container->docker_security_options.count)
		return "dockerSecurityOptions";
	if (container->stop_timeout.has && container->stop_timeout.value > 120)
		return "a stopTimeout of more than 120 seconds";
	if (log && log->log_driver != ECS_LOG_DRIVER_AWSLOGS &&
	    log->log_driver != ECS_LOG_DRIVER_SPLUNK &&
	    log->log_driver != ECS_LOG_DRIVER_AWSFIRELENS)
		return "this log driver";
	if (container->resource_requirements.count)
		return "resourceRequirements";
	return linux_obstacle(container->linux_parameters);
}

static const char *volume_obstacle(const struct ecs_volume *volume)
{
	if (volume->docker_volume_configuration)
		return "docker volumes";
	if (volume->host && !str_empty(volume->host->source_path))
		return "host.sourcePath";
	return NULL;
}

const char *definition_fargate_obstacle(const struct ecs_task_definition *definition)
{
	const char *obstacle = NULL;

	for (size_t i = 0; i < definition->container_definitions.count && !obstacle; i++)
		obstacle = container_obstacle(&definition->container_definitions.items[i]);
	for (size_t i = 0; i < definition->volumes.count && !obstacle; i++)
		obstacle = volume_obstacle(&definition->volumes.items[i]);
	if (obstacle)
		return obstacle;
	if (definition->pid_mode == ECS_PID_MODE_HOST)
		return "pidMode host";
	if (definition->ipc_mode)
		return "ipcMode";
	return definition->placement_constraints.count ? "placementConstraints" : NULL;
}

bool check_name_text(struct str name)
{
	for (size_t i = 0; i < name.len; i++) {
		char c = name.ptr[i];

		if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
		      c == '-' || c == '_'))
			return false;
	}
	return name.len > 0 && name.len <= DEFINITION_NAME_LIMIT;
}

const struct ecs_container_definition *checks_container(const struct checks *checks,
							struct str name)
{
	for (size_t i = 0; i < checks->definition->container_definitions.count; i++)
		if (str_equal(checks->definition->container_definitions.items[i].name, name))
			return &checks->definition->container_definitions.items[i];
	return NULL;
}

/* ---- the task */

/* A role's name, or its ARN: "arn:aws:iam::123456789012:role/path/name". */
bool check_role(const struct checks *checks, struct str role)
{
	struct str rest = role, piece[5] = {{0}};

	if (!str_starts(role, S("arn:"))) {
		for (size_t i = 0; i < role.len; i++)
			if (!check_name_text(str_slice(role, i, i + 1)) &&
			    !strchr("+=,.@", role.ptr[i]))
				return refuse(checks, "Role is not valid");
		return (role.len > 0 && role.len <= ROLE_NAME_LIMIT) ||
		       refuse(checks, "Role is not valid");
	}
	for (size_t i = 0; i < COUNT(piece); i++)
		str_cut(&rest, ':', &piece[i]);
	if (!str_equal(piece[2], S("iam")) || piece[4].len != 12 || !str_starts(rest, S("role/")) ||
	    rest.len <= 5)
		return refuse(checks, "Role is not valid");
	return true;
}

static bool check_roles(const struct checks *checks)
{
	const struct ecs_task_definition *definition = checks->definition;

	return (!str_has(definition->task_role_arn) ||
		check_role(checks, definition->task_role_arn)) &&
	       (!str_has(definition->execution_role_arn) ||
		check_role(checks, definition->execution_role_arn));
}

static bool check_modes(const struct checks *checks)
{
	const struct ecs_task_definition *definition = checks->definition;

	if (!checks->fargate)
		return true;
	if (definition->network_mode != ECS_NETWORK_MODE_AWSVPC)
		return refuse(checks, "Fargate only supports network mode ‘awsvpc’.");
	if (definition->pid_mode == ECS_PID_MODE_HOST)
		return refuse(checks,
			      "Tasks using the Fargate launch type do not support pidMode 'host'. "
			      "The supported value for pidMode is 'task'.");
	return true;
}

static bool check_family(const struct checks *checks)
{
	struct str family = checks->definition->family;

	if (str_empty(family))
		return refuse(checks, "Family should not be null or empty.");
	return check_name_text(family) || refuse(checks, "Family contains invalid characters.");
}

static int count_kinds(const struct ecs_volume *volume)
{
	return !!volume->host + !!volume->docker_volume_configuration +
	       !!volume->efs_volume_configuration + !!volume->s3files_volume_configuration +
	       !!volume->fsx_windows_file_server_volume_configuration +
	       volume->configured_at_launch.value;
}

static bool check_efs(const struct checks *checks, const struct ecs_volume *volume)
{
	const struct ecs_efs_volume_configuration *efs = volume->efs_volume_configuration;
	const struct ecs_efs_authorization_config *access = efs ? efs->authorization_config : NULL;
	bool encrypted = efs && efs->transit_encryption == ECS_EFS_TRANSIT_ENCRYPTION_ENABLED;

	if (!access)
		return true;
	if (str_has(access->access_point_id) && !str_empty(efs->root_directory) &&
	    !str_equal(efs->root_directory, S("/")))
		return refuse(checks,
			      "Volume '%.*s': rootDirectory must be omitted or set to / when an "
			      "EFS access point is "
			      "specified.",
			      STR(volume->name));
	if (str_has(access->access_point_id) && !encrypted)
		return refuse(checks,
			      "Volume '%.*s': transit encryption must be enabled when an EFS "
			      "access point is "
			      "specified.",
			      STR(volume->name));
	if (access->iam == ECS_EFS_AUTHORIZATION_CONFIG_IAM_ENABLED && !encrypted)
		return refuse(checks,
			      "Volume '%.*s': transit encryption must be enabled when Amazon EFS "
			      "IAM authorization "
			      "is used.",
			      STR(volume->name));
	return true;
}

static bool check_volume(const struct checks *checks, const struct ecs_volume *volume)
{
	if (str_empty(volume->name))
		return refuse(checks, "Volume.name should not be null or empty.");
	if (!check_name_text(volume->name))
		return refuse(checks, "Volume.name contains invalid characters.");
	if (count_kinds(volume) > 1)
		return refuse(checks,
			      "Volume '%.*s': only one volume configuration can be specified.",
			      STR(volume->name));
	if (volume->docker_volume_configuration &&
	    volume->docker_volume_configuration->autoprovision.value &&
	    volume->docker_volume_configuration->scope != ECS_SCOPE_SHARED)
		return refuse(
			checks,
			"Volume '%.*s': autoprovision can only be used with the shared scope.",
			STR(volume->name));
	if (checks->fargate && volume->host && !str_empty(volume->host->source_path))
		return refuse(checks, "host.sourcePath should not be set for volumes in Fargate.");
	return check_efs(checks, volume);
}

static bool check_volumes(const struct checks *checks)
{
	const struct ecs_volume_list *volumes = &checks->definition->volumes;
	int at_launch = 0;

	for (size_t i = 0; i < volumes->count; i++) {
		if (!check_volume(checks, &volumes->items[i]))
			return false;
		for (size_t j = 0; j < i; j++)
			if (str_equal(volumes->items[i].name, volumes->items[j].name))
				return refuse(checks, "Duplicate name '%.*s'.",
					      STR(volumes->items[i].name));
		at_launch += volumes->items[i].configured_at_launch.value;
	}
	return at_launch <= 1 || refuse(checks, "Only one volume can be configured at launch.");
}

static bool check_constraints(const struct checks *checks, struct arena *arena)
{
	const struct ecs_task_definition_placement_constraints *list =
		&checks->definition->placement_constraints;
	const struct cluster_query *query;

	if (list->count > DEFINITION_CONSTRAINTS_LIMIT)
		return refuse(checks,
			      "A task definition can have at most %d placement constraints.",
			      DEFINITION_CONSTRAINTS_LIMIT);
	for (size_t i = 0; i < list->count; i++) {
		struct str expression = list->items[i].expression;

		if (list->items[i].type != ECS_TASK_DEFINITION_PLACEMENT_CONSTRAINT_TYPE_MEMBER_OF)
			return refuse(checks,
				      "Placement constraint type should be one of [memberOf]");
		if (str_empty(expression))
			return refuse(
				checks,
				"Placement constraint expression should not be null or empty.");
		if (expression.len > EXPRESSION_LIMIT)
			return refuse(
				checks,
				"Placement constraint expression can have at most %d characters.",
				EXPRESSION_LIMIT);
		if (!cluster_query_parse(expression, arena, &query, checks->err))
			return false;
	}
	return true;
}

static bool check_proxy(const struct checks *checks)
{
	const struct ecs_proxy_configuration *proxy = checks->definition->proxy_configuration;

	if (!proxy)
		return true;
	if (checks->definition->network_mode != ECS_NETWORK_MODE_AWSVPC)
		return refuse(checks,
			      "proxyConfiguration is only supported when networkMode=awsvpc.");
	if (!checks_container(checks, proxy->container_name))
		return refuse(checks,
			      "The container %.*s of proxyConfiguration does not exist in the task "
			      "definition.",
			      STR(proxy->container_name));
	return true;
}

static bool check_storage(const struct checks *checks)
{
	const struct ecs_ephemeral_storage *storage = checks->definition->ephemeral_storage;

	if (!storage)
		return true;
	if (!checks->fargate)
		return refuse(checks, "Ephemeral storage is only supported for Fargate tasks.");
	if (storage->size_in_gi_b.value < STORAGE_MINIMUM_GIB ||
	    storage->size_in_gi_b.value > STORAGE_MAXIMUM_GIB)
		return refuse(checks, "Ephemeral storage size must be between %d and %d GiB.",
			      STORAGE_MINIMUM_GIB, STORAGE_MAXIMUM_GIB);
	return true;
}

/* What is left after the obstacles with texts of their own. */
static bool check_fargate(const struct checks *checks)
{
	const char *obstacle =
		checks->fargate ? definition_fargate_obstacle(checks->definition) : NULL;

	return !obstacle ||
	       refuse(checks, "Fargate compatible task definitions do not support %s", obstacle);
}

static bool check_compatibilities(const struct checks *checks)
{
	const struct ecs_task_definition *definition = checks->definition;

	for (size_t i = 0; i < definition->requires_compatibilities.count; i++) {
		enum ecs_compatibility asked = definition->requires_compatibilities.items[i];
		bool found = false;

		for (size_t j = 0; j < definition->compatibilities.count; j++)
			found |= definition->compatibilities.items[j] == asked;
		if (!found)
			return refuse(
				checks, "Task definition does not support launch_type %.*s.",
				STR(shape_word_text(&shape_ecs_compatibility, (int32_t)asked)));
	}
	return true;
}

bool definition_has_nul(struct str json)
{
	for (size_t i = 0; i < json.len; i++)
		if (json.ptr[i] == '\\') {
			if (str_starts(str_slice(json, i, json.len), S("\\u0000")))
				return true;
			i++;                     /* what it escapes */
		}
	return false;
}

static bool check_bytes(const struct checks *checks)
{
	auto_buffer text = {0};

	json_encode(&shape_ecs_task_definition, checks->definition, &text);
	if (definition_has_nul(buffer_str(&text)))
		return refuse(checks, "Strings of a task definition cannot contain NUL characters.");
	return text.len <= DEFINITION_BYTES_LIMIT ||
	       refuse(checks, "Actual length: '%zu'. Max allowed length is '%d' bytes.", text.len,
		      DEFINITION_BYTES_LIMIT);
}

/* The request as a definition; lists that AWS always sends are there. */
static struct ecs_task_definition *copy_request(
	const struct ecs_register_task_definition_request *in, struct arena *arena)
{
	struct ecs_register_task_definition_request *copy =
		shape_copy(&shape_ecs_register_task_definition_request, in, arena);
	struct ecs_task_definition *definition = arena_new(arena, struct ecs_task_definition);

	nulls_clear(&shape_ecs_register_task_definition_request, copy);
	*definition = (struct ecs_task_definition){
		.container_definitions = copy->container_definitions,
		.family = copy->family,
		.task_role_arn = copy->task_role_arn,
		.execution_role_arn = copy->execution_role_arn,
		.network_mode = copy->network_mode,
		.volumes = copy->volumes,
		.placement_constraints = copy->placement_constraints,
		.runtime_platform = copy->runtime_platform,
		.requires_compatibilities = copy->requires_compatibilities,
		.cpu = copy->cpu,
		.memory = copy->memory,
		.inference_accelerators = copy->inference_accelerators,
		.pid_mode = copy->pid_mode,
		.ipc_mode = copy->ipc_mode,
		.proxy_configuration = copy->proxy_configuration,
		.ephemeral_storage = copy->ephemeral_storage,
		.enable_fault_injection = copy->enable_fault_injection,
	};
	if (!definition->volumes.items)
		definition->volumes.items = arena_array(arena, struct ecs_volume, 0);
	if (!definition->placement_constraints.items)
		definition->placement_constraints.items =
			arena_array(arena, struct ecs_task_definition_placement_constraint, 0);
	return definition;
}

/* Containers are checked after what they refer to, and before the rules that need their defaults.
 */
static bool check_all(struct checks *checks, struct arena *arena)
{
	return check_bytes(checks) && settle_sizes(checks, arena) && check_family(checks) &&
	       check_modes(checks) && check_volumes(checks) && check_containers(checks) &&
	       check_roles(checks) && check_sizes(checks) && check_storage(checks) &&
	       check_constraints(checks, arena) && check_proxy(checks) && check_fargate(checks);
}

/* Lists of containers that AWS always sends. */
static void fill_container(struct ecs_container_definition *container, struct arena *arena)
{
	void *empty = arena_array(arena, char, 0);

	if (!container->cpu.has)
		container->cpu = (struct maybe_integer){0, true};
	if (!container->essential.has)
		container->essential = (struct maybe_boolean){true, true};
	if (!container->port_mappings.items)
		container->port_mappings.items = empty;
	if (!container->environment.items)
		container->environment.items = empty;
	if (!container->mount_points.items)
		container->mount_points.items = empty;
	if (!container->volumes_from.items)
		container->volumes_from.items = empty;
	if (!container->system_controls.items)
		container->system_controls.items = empty;
}

bool definition_settle_request(const struct ecs_register_task_definition_request *in,
			       struct arena *arena, struct ecs_task_definition **ret_definition,
			       struct error *err)
{
	struct checks checks = {.definition = copy_request(in, arena), .err = err};

	checks.fargate = definition_requires(checks.definition, ECS_COMPATIBILITY_FARGATE);
	for (size_t i = 0; i < checks.definition->container_definitions.count; i++)
		fill_container(&checks.definition->container_definitions.items[i], arena);
	if (!check_all(&checks, arena))
		return false;
	definition_derive_compatibilities(checks.definition, arena);
	if (!check_compatibilities(&checks))
		return false;
	definition_derive_attributes(checks.definition, arena);
	*ret_definition = checks.definition;
	return true;
}
