/* Where a task definition can run, and what it asks of a container instance (ecs-behaviour 4.5). */
#include <assert.h>
#include "control/ecs/definition_rules.h"

/* More than the names below with all their words; those that a request makes up are counted. */
enum { FIXED_NAMES = 64 };

#define API_VERSION "com.amazonaws.ecs.capability.docker-remote-api."

/* The names gathered so far, each once. */
struct gather {
	struct ecs_requires_attributes list;
	size_t capacity;
	struct arena *arena;
};

static void add(struct gather *gather, const char *format, ...) PRINTF_LIKE(2, 3);

static void add(struct gather *gather, const char *format, ...)
{
	struct str name;
	va_list args;

	va_start(args, format);
	name = arena_vprintf(gather->arena, format, args);
	va_end(args);
	for (size_t i = 0; i < gather->list.count; i++)
		if (str_equal(gather->list.items[i].name, name))
			return;
	assert(gather->list.count < gather->capacity);
	gather->list.items[gather->list.count++].name = name;
}

/* The Docker API version that first had a log driver. */
static const char *log_driver_version(enum ecs_log_driver driver)
{
	switch (driver) {
	case ECS_LOG_DRIVER_JSON_FILE:
	case ECS_LOG_DRIVER_SYSLOG: return "1.18";
	case ECS_LOG_DRIVER_GELF:
	case ECS_LOG_DRIVER_FLUENTD: return "1.20";
	case ECS_LOG_DRIVER_SPLUNK: return "1.22";
	default: return "1.19";
	}
}

static void add_secrets(struct gather *gather, const struct ecs_secret_list *secrets,
			const char *use)
{
	for (size_t i = 0; i < secrets->count; i++)
		add(gather, "ecs.capability.secrets.%s.%s",
		    str_contains(secrets->items[i].value_from, S(":secretsmanager:")) ? "asm"
										      : "ssm",
		    use);
}

static void add_logging(struct gather *gather, const struct ecs_log_configuration *log,
			bool has_execution_role)
{
	if (!log)
		return;
	add(gather, "com.amazonaws.ecs.capability.logging-driver.%.*s",
	    STR(shape_word_text(&shape_ecs_log_driver, (int32_t)log->log_driver)));
	add(gather, API_VERSION "%s", log_driver_version(log->log_driver));
	if (log->log_driver == ECS_LOG_DRIVER_AWSLOGS && has_execution_role)
		add(gather, "ecs.capability.execution-role-awslogs");
	add_secrets(gather, &log->secret_options, "bootstrap.log-driver");
}

static void add_image(struct gather *gather, struct str image, bool has_execution_role)
{
	if (str_find(image, '/') < image.len || str_find(image, '@') < image.len)
		add(gather, API_VERSION "1.21");
	if (!definition_is_ecr_image(image))
		return;
	add(gather, "com.amazonaws.ecs.capability.ecr-auth");
	if (has_execution_role)
		add(gather, "ecs.capability.execution-role-ecr-pull");
}

static void add_firelens(struct gather *gather, const struct ecs_firelens_configuration *firelens)
{
	if (!firelens)
		return;
	add(gather, "ecs.capability.firelens.%.*s",
	    STR(shape_word_text(&shape_ecs_firelens_configuration_type, (int32_t)firelens->type)));
	for (size_t i = 0; i < firelens->options.count; i++)
		if (str_equal(firelens->options.items[i].key, S("config-file-type")))
			add(gather, "ecs.capability.firelens.options.config.%.*s",
			    STR(firelens->options.items[i].value));
}

static void add_linux(struct gather *gather, const struct ecs_linux_parameters *linux_parameters)
{
	if (!linux_parameters)
		return;
	if (linux_parameters->init_process_enabled.value)
		add(gather, API_VERSION "1.25");
	if (linux_parameters->tmpfs.count || linux_parameters->shared_memory_size.has)
		add(gather, API_VERSION "1.22");
}

static void add_container(struct gather *gather, const struct ecs_container_definition *container,
			  bool has_execution_role)
{
	if (container->depends_on.count || container->start_timeout.has ||
	    container->stop_timeout.has)
		add(gather, "ecs.capability.container-ordering");
	if (container->health_check) {
		add(gather, "ecs.capability.container-health-check");
		add(gather, API_VERSION "1.24");
	}
	add_logging(gather, container->log_configuration, has_execution_role);
	add_image(gather, container->image, has_execution_role);
	if (container->privileged.value)
		add(gather, "com.amazonaws.ecs.capability.privileged-container");
	if (container->memory_reservation.has)
		add(gather, API_VERSION "1.21");
	add_linux(gather, container->linux_parameters);
	add_secrets(gather, &container->secrets, "environment-variables");
	if (container->repository_credentials)
		add(gather, "ecs.capability.private-registry-authentication.secretsmanager");
	add_firelens(gather, container->firelens_configuration);
	if (container->environment_files.count)
		add(gather, "ecs.capability.env-files.s3");
	for (size_t i = 0; i < container->port_mappings.count; i++)
		if (str_has(container->port_mappings.items[i].container_port_range))
			add(gather, "ecs.capability.network.container-port-range");
	if (container->restart_policy && container->restart_policy->enabled.value)
		add(gather, "ecs.capability.container-restart-policy");
}

static void add_volume(struct gather *gather, const struct ecs_volume *volume)
{
	const struct ecs_efs_volume_configuration *efs = volume->efs_volume_configuration;
	const struct ecs_docker_volume_configuration *docker = volume->docker_volume_configuration;

	if (efs)
		add(gather, "ecs.capability.efs");
	if (efs && efs->authorization_config)
		add(gather, "ecs.capability.efsAuth");
	if (volume->fsx_windows_file_server_volume_configuration)
		add(gather, "ecs.capability.fsxWindowsFileServer");
	if (docker)
		add(gather, "ecs.capability.docker-plugin.%.*s",
		    STR(str_empty(docker->driver) ? S("local") : docker->driver));
	if (volume->configured_at_launch.value)
		add(gather, "ecs.capability.storage.ebs-task-volume-attach");
}

/* A definition for Fargate is limited by Fargate itself, not by the agent. */
static void add_limits(struct gather *gather, const struct ecs_task_definition *definition)
{
	int64_t cpu = 0;

	if ((!str_has(definition->cpu) && !str_has(definition->memory)) ||
	    definition_requires(definition, ECS_COMPATIBILITY_FARGATE))
		return;
	add(gather, "ecs.capability.task-cpu-mem-limit");
	if (str_has(definition->cpu) && definition_parse_cpu(definition->cpu, &cpu) && cpu > 10240)
		add(gather, "ecs.capability.increased-task-cpu-limit");
}

static void add_task(struct gather *gather, const struct ecs_task_definition *definition)
{
	if (definition->network_mode == ECS_NETWORK_MODE_AWSVPC) {
		add(gather, API_VERSION "1.18");
		add(gather, "ecs.capability.task-eni");
	}
	if (str_has(definition->task_role_arn))
		add(gather, "com.amazonaws.ecs.capability.task-iam-role%s",
		    definition->network_mode == ECS_NETWORK_MODE_HOST ? "-network-host" : "");
	add_limits(gather, definition);
	if (definition->pid_mode || definition->ipc_mode)
		add(gather, "ecs.capability.pid-ipc-namespace-sharing");
	if (definition->proxy_configuration)
		add(gather, "ecs.capability.aws-appmesh");
	if (definition->enable_fault_injection.value)
		add(gather, "ecs.capability.fault-injection");
}

static size_t count_made_up(const struct ecs_task_definition *definition)
{
	size_t count = definition->volumes.count;

	for (size_t i = 0; i < definition->container_definitions.count; i++) {
		const struct ecs_firelens_configuration *firelens =
			definition->container_definitions.items[i].firelens_configuration;

		count += firelens ? firelens->options.count : 0;
	}
	return count;
}

/* None: the list stays absent. */
void definition_derive_attributes(struct ecs_task_definition *definition, struct arena *arena)
{
	size_t capacity = FIXED_NAMES + count_made_up(definition);
	struct gather gather = {
		{arena_array(arena, struct ecs_attribute, capacity), 0}, capacity, arena};

	for (size_t i = 0; i < definition->container_definitions.count; i++)
		add_container(&gather, &definition->container_definitions.items[i],
			      str_has(definition->execution_role_arn));
	for (size_t i = 0; i < definition->volumes.count; i++)
		add_volume(&gather, &definition->volumes.items[i]);
	add_task(&gather, definition);
	if (gather.list.count)
		definition->requires_attributes = gather.list;
}

/* ---- compatibilities */

static bool fits_managed_instances(const struct ecs_task_definition *definition)
{
	if (definition->network_mode != ECS_NETWORK_MODE_AWSVPC ||
	    definition_is_windows(definition))
		return false;
	for (size_t i = 0; i < definition->container_definitions.count; i++) {
		const struct ecs_log_configuration *log =
			definition->container_definitions.items[i].log_configuration;

		if (log && log->log_driver != ECS_LOG_DRIVER_AWSLOGS &&
		    log->log_driver != ECS_LOG_DRIVER_SPLUNK &&
		    log->log_driver != ECS_LOG_DRIVER_AWSFIRELENS &&
		    log->log_driver != ECS_LOG_DRIVER_JSON_FILE)
			return false;
	}
	return true;
}

static bool fits_fargate(const struct ecs_task_definition *definition)
{
	int64_t cpu, memory;

	if (definition->network_mode != ECS_NETWORK_MODE_AWSVPC ||
	    definition_fargate_obstacle(definition))
		return false;
	if (!str_has(definition->cpu) || !str_has(definition->memory))
		return true;
	return definition_parse_cpu(definition->cpu, &cpu) &&
	       definition_parse_memory(definition->memory, &memory) &&
	       definition_is_fargate_size(definition, cpu, memory);
}

static bool fits_external(const struct ecs_task_definition *definition)
{
	if (definition->network_mode == ECS_NETWORK_MODE_AWSVPC || definition->proxy_configuration)
		return false;
	for (size_t i = 0; i < definition->volumes.count; i++)
		if (definition->volumes.items[i].efs_volume_configuration)
			return false;
	return true;
}

void definition_derive_compatibilities(struct ecs_task_definition *definition, struct arena *arena)
{
	struct ecs_compatibility_list list = {arena_array(arena, enum ecs_compatibility, 4), 0};

	if (fits_external(definition))
		list.items[list.count++] = ECS_COMPATIBILITY_EXTERNAL;
	list.items[list.count++] = ECS_COMPATIBILITY_EC2;
	if (fits_managed_instances(definition))
		list.items[list.count++] = ECS_COMPATIBILITY_MANAGED_INSTANCES;
	if (fits_fargate(definition))
		list.items[list.count++] = ECS_COMPATIBILITY_FARGATE;
	definition->compatibilities = list;
}
