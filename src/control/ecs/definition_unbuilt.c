/* What AWS accepts in a task definition and Wherry does not do: refused, never ignored (docs/task-definition.md). One
 * table, so that building a thing deletes a row. */
#include "control/ecs/definition_rules.h"

enum { DETAIL_LIMIT = 64 };

/* Each gives the words that the text names the thing by, or NULL when it is not asked for. */
static const char *asks_windows(const struct ecs_task_definition *definition)
{
	return definition_is_windows(definition) ? "Windows containers (runtimePlatform.operatingSystemFamily)" : NULL;
}

static const char *asks_accelerators(const struct ecs_task_definition *definition)
{
	return definition->inference_accelerators.count ? "inferenceAccelerators" : NULL;
}

static const char *asks_proxy(const struct ecs_task_definition *definition)
{
	return definition->proxy_configuration ? "proxyConfiguration (App Mesh)" : NULL;
}

static const char *asks_faults(const struct ecs_task_definition *definition)
{
	return definition->enable_fault_injection.value ? "enableFaultInjection" : NULL;
}

static const char *asks_volume(const struct ecs_task_definition *definition)
{
	for (size_t i = 0; i < definition->volumes.count; i++) {
		const struct ecs_volume *volume = &definition->volumes.items[i];
		const struct ecs_docker_volume_configuration *docker = volume->docker_volume_configuration;

		if (volume->fsx_windows_file_server_volume_configuration)
			return "fsxWindowsFileServerVolumeConfiguration";
		if (volume->s3files_volume_configuration)
			return "s3filesVolumeConfiguration";
		if (volume->configured_at_launch.value)
			return "volumes with configuredAtLaunch (EBS)";
		if (docker && !str_empty(docker->driver) && !str_equal(docker->driver, S("local")))
			return "docker volume drivers other than local";
	}
	return NULL;
}

static const char *container_asks_secrets(const struct ecs_container_definition *container)
{
	const struct ecs_log_configuration *log = container->log_configuration;

	if (container->secrets.count)
		return "secrets";
	return log && log->secret_options.count ? "logConfiguration.secretOptions" : NULL;
}

static const char *container_asks_credentials(const struct ecs_container_definition *container)
{
	if (container->repository_credentials)
		return "repositoryCredentials";
	return container->credential_specs.count ? "credentialSpecs (gMSA)" : NULL;
}

static const char *container_asks_firelens(const struct ecs_container_definition *container)
{
	return container->firelens_configuration ? "firelensConfiguration" : NULL;
}

static const char *container_asks_driver(const struct ecs_container_definition *container)
{
	const struct ecs_log_configuration *log = container->log_configuration;

	switch (log ? log->log_driver : ECS_LOG_DRIVER_NONE) {
	case ECS_LOG_DRIVER_ABSENT:
	case ECS_LOG_DRIVER_NONE:
	case ECS_LOG_DRIVER_JSON_FILE:
	case ECS_LOG_DRIVER_AWSLOGS: return NULL;
	case ECS_LOG_DRIVER_SYSLOG: return "the log driver syslog";
	case ECS_LOG_DRIVER_JOURNALD: return "the log driver journald";
	case ECS_LOG_DRIVER_GELF: return "the log driver gelf";
	case ECS_LOG_DRIVER_FLUENTD: return "the log driver fluentd";
	case ECS_LOG_DRIVER_SPLUNK: return "the log driver splunk";
	case ECS_LOG_DRIVER_AWSFIRELENS: return "the log driver awsfirelens";
	}
	return "this log driver";
}

/* What docker's drivers take beside what AWS documents; what they do not take either ends the start, as there. */
static const char *container_asks_log_option(const struct ecs_container_definition *container)
{
	static const struct { enum ecs_log_driver driver; struct str option; } known[] = {
		{ECS_LOG_DRIVER_AWSLOGS, STR_INIT("tag")},
		{ECS_LOG_DRIVER_AWSLOGS, STR_INIT("awslogs-format")},
		{ECS_LOG_DRIVER_AWSLOGS, STR_INIT("awslogs-create-stream")},
		{ECS_LOG_DRIVER_AWSLOGS, STR_INIT("awslogs-credentials-endpoint")},
		{ECS_LOG_DRIVER_JSON_FILE, STR_INIT("tag")},
		{ECS_LOG_DRIVER_JSON_FILE, STR_INIT("labels")},
		{ECS_LOG_DRIVER_JSON_FILE, STR_INIT("labels-regex")},
		{ECS_LOG_DRIVER_JSON_FILE, STR_INIT("env")},
		{ECS_LOG_DRIVER_JSON_FILE, STR_INIT("env-regex")},
		{ECS_LOG_DRIVER_JSON_FILE, STR_INIT("compress")},
	};
	const struct ecs_log_configuration *log = container->log_configuration;

	for (size_t i = 0; log && i < log->options.count; i++)
		for (size_t row = 0; row < COUNT(known); row++)
			if (known[row].driver == log->log_driver &&
			    str_equal(log->options.items[i].key, known[row].option))
				return "log options that only docker documents (tag, labels, env, compress, awslogs-format)";
	return NULL;
}

/* The forms that AWS documents; apparmor:unconfined and label:disable ask for nothing. */
static const char *container_asks_security(const struct ecs_container_definition *container)
{
	for (size_t i = 0; i < container->docker_security_options.count; i++) {
		struct str option = container->docker_security_options.items[i];

		if (str_starts(option, S("apparmor:")) && !str_equal(option, S("apparmor:unconfined")))
			return "AppArmor profiles (dockerSecurityOptions)";
		if (str_starts(option, S("label:")) && !str_equal(option, S("label:disable")))
			return "SELinux labels (dockerSecurityOptions)";
		if (str_starts(option, S("credentialspec:")))
			return "credentialSpecs (gMSA)";
	}
	return NULL;
}

/* `disabled` is what Wherry does: each machine resolves the tag when it pulls. */
static const char *container_asks_consistency(const struct ecs_container_definition *container)
{
	return container->version_consistency == ECS_VERSION_CONSISTENCY_ENABLED ? "versionConsistency enabled" : NULL;
}

static const char *container_asks_devices(const struct ecs_container_definition *container)
{
	for (size_t i = 0; i < container->resource_requirements.count; i++)
		switch (container->resource_requirements.items[i].type) {
		case ECS_RESOURCE_TYPE_INFERENCE_ACCELERATOR: return "InferenceAccelerator resource requirements";
		case ECS_RESOURCE_TYPE_NEURON_DEVICE: return "NeuronDevice resource requirements";
		default: break;
		}
	return NULL;
}

static const char *container_asks_isolation(const struct ecs_container_definition *container)
{
	return container->disable_networking.value ? "disableNetworking" : NULL;
}

static const struct {
	const char *(*asks)(const struct ecs_task_definition *definition);
	const char *(*container_asks)(const struct ecs_container_definition *container);
} unbuilt[] = {
	{asks_windows, NULL},
	{asks_accelerators, NULL},
	{asks_proxy, NULL},
	{asks_faults, NULL},
	{asks_volume, NULL},
	{NULL, container_asks_secrets},
	{NULL, container_asks_credentials},
	{NULL, container_asks_firelens},
	{NULL, container_asks_driver},
	{NULL, container_asks_log_option},
	{NULL, container_asks_security},
	{NULL, container_asks_consistency},
	{NULL, container_asks_devices},
	{NULL, container_asks_isolation},
};

static bool refuse_container(const struct ecs_container_definition *container, const char *thing, struct error *err)
{
	return fail(err, ERROR_CLIENT, "Wherry does not do %s yet (container '%.*s').", thing,
		    (int)MIN(container->name.len, (size_t)DETAIL_LIMIT), container->name.ptr);
}

bool definition_check_built(const struct ecs_task_definition *definition, struct error *err)
{
	for (size_t row = 0; row < COUNT(unbuilt); row++) {
		const char *thing = unbuilt[row].asks ? unbuilt[row].asks(definition) : NULL;

		if (thing)
			return fail(err, ERROR_CLIENT, "Wherry does not do %s yet.", thing);
		for (size_t i = 0; unbuilt[row].container_asks && i < definition->container_definitions.count; i++) {
			const struct ecs_container_definition *container = &definition->container_definitions.items[i];

			thing = unbuilt[row].container_asks(container);
			if (thing)
				return refuse_container(container, thing, err);
		}
	}
	return true;
}
