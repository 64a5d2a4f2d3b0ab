/* The rules of one container, and of containers among themselves (ecs-behaviour 4.2, 4.4). */
#include "control/ecs/definition_checks.h"
#include <string.h>
#include "base/ipv4.h"

enum {
	PORT_MAXIMUM = 65535,
	PORT_NAME_LIMIT = 64,
	TIMEOUT_MINIMUM = 2,
	FARGATE_STOP_TIMEOUT_MAXIMUM = 120,
	IPV6_TEXT_LIMIT = 45
};

static bool is_between(int32_t value, int32_t from, int32_t to)
{
	return value >= from && value <= to;
}

static struct str mode_name(const struct checks *checks)
{
	return shape_word_text(&shape_ecs_network_mode, (int32_t)checks->definition->network_mode);
}

/* ---- name, image, sizes */

static bool check_image(const struct checks *checks, struct str image)
{
	struct str name = str_slice(image, 0, str_find(image, '@'));
	struct str digest = str_slice(image, name.len, image.len);

	if (str_empty(image))
		return refuse(checks, "Container.image should not be null or empty.");
	if (name.len > DEFINITION_IMAGE_LIMIT)
		return refuse(checks, "Container.image can have at most %d characters.",
			      DEFINITION_IMAGE_LIMIT);
	for (size_t i = 0; i < name.len; i++)
		if (!check_name_text(str_slice(name, i, i + 1)) &&
		    (!name.ptr[i] || !strchr(".:/#", name.ptr[i])))
			return refuse(checks, "Container.image contains invalid characters.");
	if (str_empty(digest))
		return true;
	if (str_empty(name) || digest.len != 8 + 64 || !str_starts(digest, S("@sha256:")))
		return refuse(checks, "Container.image contains an invalid digest.");
	for (size_t i = 8; i < digest.len; i++)
		if (!digest.ptr[i] || !strchr("0123456789abcdef", digest.ptr[i]))
			return refuse(checks, "Container.image contains an invalid digest.");
	return true;
}

static bool check_names(const struct checks *checks)
{
	const struct ecs_container_definitions *containers =
		&checks->definition->container_definitions;

	for (size_t i = 0; i < containers->count; i++) {
		struct str name = containers->items[i].name;

		if (str_empty(name))
			return refuse(checks, "Container.name should not be null or empty.");
		if (!check_name_text(name))
			return refuse(checks, "Container.name contains invalid characters.");
		if (checks_container(checks, name) != &containers->items[i])
			return refuse(checks, "Duplicate name '%.*s'.", STR(name));
	}
	return true;
}

static bool check_memory(const struct checks *checks,
			 const struct ecs_container_definition *container)
{
	struct maybe_integer memory = container->memory,
			     reservation = container->memory_reservation;

	if (!checks->memory && !memory.has && !reservation.has)
		return refuse(checks,
			      "Invalid setting for container '%.*s'. At least one of 'memory' or "
			      "'memoryReservation' must be specified.",
			      STR(container->name));
	if ((memory.has && memory.value < CONTAINER_MEMORY_MINIMUM) ||
	    (reservation.has && reservation.value < CONTAINER_MEMORY_MINIMUM))
		return refuse(checks,
			      "Invalid setting for container '%.*s'. 'memory' and "
			      "'memoryReservation' must be at "
			      "least %d.",
			      STR(container->name), CONTAINER_MEMORY_MINIMUM);
	if (memory.has && reservation.has && memory.value < reservation.value)
		return refuse(checks,
			      "Invalid setting for container '%.*s'. 'memory' must be greater than "
			      "or equal to "
			      "'memoryReservation'.",
			      STR(container->name));
	if (checks->memory && (memory.has ? memory.value : reservation.value) > checks->memory)
		return refuse(checks,
			      "Invalid setting for container '%.*s'. 'memory' must be less than or "
			      "equal to the "
			      "task memory.",
			      STR(container->name));
	return true;
}

static bool check_sums(const struct checks *checks)
{
	const struct ecs_container_definitions *containers =
		&checks->definition->container_definitions;
	int64_t cpu = 0, memory = 0;

	for (size_t i = 0; i < containers->count; i++) {
		cpu += containers->items[i].cpu.value;
		memory += containers->items[i].memory.value;
	}
	if (checks->fargate && checks->cpu && cpu > checks->cpu)
		return refuse(checks, "The sum of the container cpu values cannot be greater than "
				      "the value of the task cpu.");
	if (checks->memory && memory > checks->memory)
		return refuse(checks, "The sum of the container memory values cannot be greater "
				      "than the value of the task memory.");
	return true;
}

/* ---- ports */

struct range {
	int32_t from, to;
};

static bool parse_range(struct str text, struct range *ret_range)
{
	struct str rest = text, from = STR_NONE;
	uint64_t first, last;

	str_cut(&rest, '-', &from);
	if (!str_has(rest) || !str_to_unsigned(from, &first) || !str_to_unsigned(rest, &last) ||
	    first < 1 || first > last || last > PORT_MAXIMUM)
		return false;
	*ret_range = (struct range){(int32_t)first, (int32_t)last};
	return true;
}

static bool check_port_range(const struct checks *checks,
			     const struct ecs_container_definition *container, size_t index)
{
	const struct ecs_port_mapping *port = &container->port_mappings.items[index];
	struct range range, other;

	if (port->container_port.has || port->host_port.has)
		return refuse(checks, "containerPortRange cannot be specified together with "
				      "containerPort or hostPort.");
	if (checks->definition->network_mode == ECS_NETWORK_MODE_HOST)
		return refuse(checks, "containerPortRange is not supported when networkMode=host.");
	if (!parse_range(port->container_port_range, &range))
		return refuse(checks, "Invalid containerPortRange '%.*s'.",
			      STR(port->container_port_range));
	for (size_t i = 0; i < index; i++)
		if (str_has(container->port_mappings.items[i].container_port_range) &&
		    container->port_mappings.items[i].protocol == port->protocol &&
		    parse_range(container->port_mappings.items[i].container_port_range, &other) &&
		    range.from <= other.to && other.from <= range.to)
			return refuse(checks, "Container port ranges of container '%.*s' overlap.",
				      STR(container->name));
	return true;
}

static bool settle_port(const struct checks *checks, struct ecs_port_mapping *port)
{
	enum ecs_network_mode mode = checks->definition->network_mode;
	bool same = mode == ECS_NETWORK_MODE_HOST || mode == ECS_NETWORK_MODE_AWSVPC;

	if (!port->container_port.has || !is_between(port->container_port.value, 1, PORT_MAXIMUM))
		return refuse(checks, "Container port must be between 1 and %d.", PORT_MAXIMUM);
	if (!port->host_port.has)
		port->host_port =
			(struct maybe_integer){same ? port->container_port.value : 0, true};
	if (!is_between(port->host_port.value, 0, PORT_MAXIMUM))
		return refuse(checks, "Host port must be between 0 and %d.", PORT_MAXIMUM);
	if (same && port->host_port.value != port->container_port.value)
		return refuse(checks,
			      "When networkMode=%.*s, the host ports and container ports in port "
			      "mappings must match.",
			      STR(mode_name(checks)));
	return true;
}

static bool is_port_name(struct str name)
{
	for (size_t i = 0; i < name.len; i++) {
		char c = name.ptr[i];

		if (!((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_' || c == '-'))
			return false;
	}
	return name.len > 0 && name.len <= PORT_NAME_LIMIT && name.ptr[0] != '-';
}

static bool port_name_is_taken(const struct checks *checks, const struct ecs_port_mapping *port)
{
	const struct ecs_container_definitions *containers =
		&checks->definition->container_definitions;

	for (size_t i = 0; i < containers->count; i++)
		for (size_t j = 0; j < containers->items[i].port_mappings.count; j++)
			if (&containers->items[i].port_mappings.items[j] != port &&
			    str_equal(containers->items[i].port_mappings.items[j].name, port->name))
				return true;
	return false;
}

static bool check_port_name(const struct checks *checks, const struct ecs_port_mapping *port)
{
	if (!str_has(port->name))
		return true;
	if (!is_port_name(port->name))
		return refuse(checks, "Invalid port mapping name '%.*s'.", STR(port->name));
	return !port_name_is_taken(checks, port) ||
	       refuse(checks, "Duplicate port mapping name '%.*s'.", STR(port->name));
}

static bool settle_ports(const struct checks *checks, struct ecs_container_definition *container)
{
	size_t ranges = 0;

	if (container->port_mappings.count &&
	    checks->definition->network_mode == ECS_NETWORK_MODE_NONE)
		return refuse(checks, "Port mappings are not supported when networkMode=none.");
	for (size_t i = 0; i < container->port_mappings.count; i++) {
		struct ecs_port_mapping *port = &container->port_mappings.items[i];
		bool is_range = str_has(port->container_port_range);

		if (!port->protocol)
			port->protocol = ECS_TRANSPORT_PROTOCOL_TCP;
		if (is_range ? !check_port_range(checks, container, i) : !settle_port(checks, port))
			return false;
		if (!check_port_name(checks, port))
			return false;
		ranges += is_range;
	}
	return ranges <= CONTAINER_PORT_RANGES_LIMIT ||
	       refuse(checks, "A container can have at most %d container port ranges.",
		      CONTAINER_PORT_RANGES_LIMIT);
}

static bool port_is_mapped_before(const struct checks *checks, const struct ecs_port_mapping *port)
{
	const struct ecs_container_definitions *containers =
		&checks->definition->container_definitions;

	for (size_t i = 0; i < containers->count; i++)
		for (size_t j = 0; j < containers->items[i].port_mappings.count; j++) {
			const struct ecs_port_mapping *other =
				&containers->items[i].port_mappings.items[j];

			if (other == port)
				return false;
			if (other->host_port.value == port->host_port.value &&
			    other->protocol == port->protocol)
				return true;
		}
	return false;
}

/* No instance could ever give a task the same port twice. */
static bool check_host_ports(const struct checks *checks)
{
	const struct ecs_container_definitions *containers =
		&checks->definition->container_definitions;

	if (checks->definition->network_mode == ECS_NETWORK_MODE_AWSVPC)
		return true;
	for (size_t i = 0; i < containers->count; i++)
		for (size_t j = 0; j < containers->items[i].port_mappings.count; j++) {
			const struct ecs_port_mapping *port =
				&containers->items[i].port_mappings.items[j];

			if (port->host_port.value && port_is_mapped_before(checks, port))
				return refuse(checks,
					      "The host port %d is mapped more than once in the task "
					      "definition.",
					      port->host_port.value);
		}
	return true;
}

/* ---- networking words that depend on the mode */

static bool check_networking(const struct checks *checks,
			     const struct ecs_container_definition *container)
{
	enum ecs_network_mode mode = checks->definition->network_mode;

	if (container->links.count && mode && mode != ECS_NETWORK_MODE_BRIDGE)
		return refuse(checks, "Links are not supported when networkMode=%.*s.",
			      STR(mode_name(checks)));
	if (mode != ECS_NETWORK_MODE_AWSVPC)
		return true;
	if (str_has(container->hostname))
		return refuse(checks,
			      "Hostname is not supported on container when networkMode=awsvpc.");
	if (container->extra_hosts.count)
		return refuse(checks,
			      "Extra hosts is not supported on container when networkMode=awsvpc.");
	return true;
}

/* One word of a line in /etc/hosts or /etc/resolv.conf: what would begin another one is refused. */
static bool is_word(struct str text)
{
	for (size_t i = 0; i < text.len; i++)
		if ((unsigned char)text.ptr[i] <= ' ' || text.ptr[i] == 0x7f)
			return false;
	return text.len > 0;
}

static bool check_words(const struct checks *checks, const struct ecs_string_list *list,
			const char *field)
{
	for (size_t i = 0; i < list->count; i++)
		if (!is_word(list->items[i]))
			return refuse(checks, "Container.%s contains invalid characters.", field);
	return true;
}

/* Tells an IPv6 address from a name; whether it is a good one, the container's libc decides. */
static bool is_ipv6(struct str text)
{
	size_t colons = 0;

	for (size_t i = 0; i < text.len; i++) {
		if (!strchr("0123456789abcdefABCDEF:.", text.ptr[i]))
			return false;
		colons += text.ptr[i] == ':';
	}
	return colons >= 2 && text.len <= IPV6_TEXT_LIMIT;
}

static bool check_address(const struct checks *checks, struct str text, const char *field)
{
	uint32_t address;

	return ipv4_parse(text, &address) || is_ipv6(text) ||
	       refuse(checks, "Container.%s: '%.*s' is not an IP address.", field, STR(text));
}

static bool check_host_files(const struct checks *checks,
			     const struct ecs_container_definition *container)
{
	for (size_t i = 0; i < container->extra_hosts.count; i++) {
		const struct ecs_host_entry *host = &container->extra_hosts.items[i];

		if (!is_word(host->hostname) || !is_word(host->ip_address) ||
		    str_find(host->hostname, ':') < host->hostname.len)
			return refuse(checks,
				      "Container.extraHosts contains invalid characters.");
		if (!check_address(checks, host->ip_address, "extraHosts"))
			return false;
	}
	if (!str_empty(container->hostname) && !is_word(container->hostname))
		return refuse(checks, "Container.hostname contains invalid characters.");
	if (!check_words(checks, &container->dns_servers, "dnsServers"))
		return false;
	for (size_t i = 0; i < container->dns_servers.count; i++)
		if (!check_address(checks, container->dns_servers.items[i], "dnsServers"))
			return false;
	return check_words(checks, &container->dns_search_domains, "dnsSearchDomains");
}

/* ---- time */

static bool check_timeouts(const struct checks *checks,
			   const struct ecs_container_definition *container)
{
	if (container->start_timeout.has && container->start_timeout.value < TIMEOUT_MINIMUM)
		return refuse(
			checks,
			"Granular start timeout on container '%.*s' must be at least %d seconds.",
			STR(container->name), TIMEOUT_MINIMUM);
	if (container->stop_timeout.has && container->stop_timeout.value < TIMEOUT_MINIMUM)
		return refuse(
			checks,
			"Granular stop timeout on container '%.*s' must be at least %d seconds.",
			STR(container->name), TIMEOUT_MINIMUM);
	if (checks->fargate && container->stop_timeout.value > FARGATE_STOP_TIMEOUT_MAXIMUM)
		return refuse(checks,
			      "Tasks using the Fargate launch type must have a container stop "
			      "timeout of less than "
			      "%d seconds.",
			      FARGATE_STOP_TIMEOUT_MAXIMUM);
	return true;
}

static void fill(struct maybe_integer *value, int32_t fallback)
{
	if (!value->has)
		*value = (struct maybe_integer){fallback, true};
}

static bool settle_health(const struct checks *checks, struct ecs_health_check *check)
{
	if (!check)
		return true;
	if (check->command.count < 2 || !(str_equal(check->command.items[0], S("CMD")) ||
					  str_equal(check->command.items[0], S("CMD-SHELL"))))
		return refuse(checks, "Health check command must start with CMD or CMD-SHELL.");
	fill(&check->interval, 30);
	fill(&check->timeout, 5);
	fill(&check->retries, 3);
	if (!is_between(check->interval.value, 5, 300))
		return refuse(checks, "Health check interval must be between 5 and 300 seconds.");
	if (!is_between(check->timeout.value, 2, 60))
		return refuse(checks, "Health check timeout must be between 2 and 60 seconds.");
	if (!is_between(check->retries.value, 1, 10))
		return refuse(checks, "Health check retries must be between 1 and 10.");
	if (check->start_period.has && !is_between(check->start_period.value, 0, 300))
		return refuse(checks,
			      "Health check startPeriod must be between 0 and 300 seconds.");
	return true;
}

static bool check_restart(const struct checks *checks,
			  const struct ecs_container_restart_policy *policy)
{
	if (!policy)
		return true;
	if (policy->restart_attempt_period.has &&
	    !is_between(policy->restart_attempt_period.value, 60, 1800))
		return refuse(checks, "restartAttemptPeriod must be between 60 and 1800 seconds.");
	return policy->ignored_exit_codes.count <= CONTAINER_EXIT_CODES_LIMIT ||
	       refuse(checks, "A restart policy can have at most %d ignored exit codes.",
		      CONTAINER_EXIT_CODES_LIMIT);
}

/* ---- logs */

static bool has_option(const struct ecs_log_configuration *log, struct str name)
{
	for (size_t i = 0; i < log->options.count; i++)
		if (str_equal(log->options.items[i].key, name))
			return !str_empty(log->options.items[i].value);
	return false;
}

/* The group defaults to "/ecs/FAMILY" and the region to the task's, which AWS would want to be named. */
static bool check_awslogs(const struct checks *checks, const struct ecs_log_configuration *log)
{
	if (checks->fargate && !has_option(log, S("awslogs-stream-prefix")))
		return refuse(checks, "Log driver awslogs requires options: awslogs-region, "
				      "awslogs-group, awslogs-stream-prefix");
	if (has_option(log, S("awslogs-datetime-format")) &&
	    has_option(log, S("awslogs-multiline-pattern")))
		return refuse(checks, "Log driver awslogs does not take awslogs-datetime-format and "
				      "awslogs-multiline-pattern together.");
	if (checks->fargate && !str_has(checks->definition->execution_role_arn))
		return refuse(checks, "Fargate requires task definition to have execution role ARN "
				      "to support log driver "
				      "awslogs.");
	return true;
}

static bool has_firelens(const struct checks *checks)
{
	const struct ecs_container_definitions *containers =
		&checks->definition->container_definitions;

	for (size_t i = 0; i < containers->count; i++)
		if (containers->items[i].firelens_configuration)
			return true;
	return false;
}

static bool check_logs(const struct checks *checks, const struct ecs_log_configuration *log)
{
	enum ecs_log_driver driver = log ? log->log_driver : ECS_LOG_DRIVER_ABSENT;

	if (!log)
		return true;
	if (checks->fargate && driver != ECS_LOG_DRIVER_AWSLOGS &&
	    driver != ECS_LOG_DRIVER_SPLUNK && driver != ECS_LOG_DRIVER_AWSFIRELENS)
		return refuse(checks,
			      "%.*s is not a valid log driver. Must be one of "
			      "[awslogs,splunk,awsfirelens]",
			      STR(shape_word_text(&shape_ecs_log_driver, (int32_t)driver)));
	if (driver == ECS_LOG_DRIVER_AWSLOGS)
		return check_awslogs(checks, log);
	if (driver == ECS_LOG_DRIVER_AWSFIRELENS && !has_firelens(checks))
		return refuse(checks, "A container with firelensConfiguration is required to use "
				      "the log driver awsfirelens.");
	return true;
}

/* ---- variables, secrets and files */

const char *definition_variables_fault(const struct ecs_environment_variables *variables)
{
	for (size_t i = 0; i < variables->count; i++)
		if (str_empty(variables->items[i].name))
			return "Environment variable name should not be null or empty.";
	return NULL;
}

static bool check_variables(const struct checks *checks,
			    const struct ecs_environment_variables *variables)
{
	const char *fault = definition_variables_fault(variables);

	return !fault || refuse(checks, "%s", fault);
}

static bool check_secrets(const struct checks *checks, const struct ecs_secret_list *secrets)
{
	for (size_t i = 0; i < secrets->count; i++)
		if (str_empty(secrets->items[i].name) || str_empty(secrets->items[i].value_from))
			return refuse(checks,
				      "Secret name and valueFrom should not be null or empty.");
	if (secrets->count && !str_has(checks->definition->execution_role_arn))
		return refuse(checks, "When you are specifying container secrets, you must also "
				      "specify a value for "
				      "'executionRoleArn'.");
	return true;
}

static bool check_files(const struct checks *checks,
			const struct ecs_container_definition *container)
{
	const struct ecs_environment_files *files = &container->environment_files;

	if (files->count > CONTAINER_ENVIRONMENT_FILES_LIMIT)
		return refuse(checks, "A container can have at most %d environment files.",
			      CONTAINER_ENVIRONMENT_FILES_LIMIT);
	for (size_t i = 0; i < files->count; i++)
		if (!str_starts(files->items[i].value, S("arn:")) ||
		    !str_ends(files->items[i].value, S(".env")))
			return refuse(checks,
				      "Environment file '%.*s' must be the ARN of an S3 object "
				      "that ends in .env.",
				      STR(files->items[i].value));
	return true;
}

static bool check_registry(const struct checks *checks,
			   const struct ecs_container_definition *container)
{
	if (checks->fargate && definition_is_ecr_image(container->image) &&
	    !str_has(checks->definition->execution_role_arn))
		return refuse(checks, "Fargate requires task definition to have execution role ARN "
				      "to support ECR images.");
	return true;
}

/* ---- devices and limits of the kernel */

static bool check_absolute(const struct checks *checks, struct str path, const char *field)
{
	return str_starts(path, S("/")) ||
	       refuse(checks, "Container.%s: '%.*s' is not an absolute path.", field, STR(path));
}

static bool check_folder(const struct checks *checks, struct str folder)
{
	return str_empty(folder) || check_absolute(checks, folder, "workingDirectory");
}

static bool check_linux(const struct checks *checks,
			const struct ecs_linux_parameters *linux_parameters)
{
	if (!linux_parameters)
		return true;
	if (linux_parameters->swappiness.has &&
	    !is_between(linux_parameters->swappiness.value, 0, 100))
		return refuse(checks, "swappiness must be between 0 and 100.");
	if (linux_parameters->max_swap.has && linux_parameters->max_swap.value < 0)
		return refuse(checks, "maxSwap must be 0 or greater.");
	if (linux_parameters->shared_memory_size.has &&
	    linux_parameters->shared_memory_size.value < 1)
		return refuse(checks, "sharedMemorySize must be greater than 0.");
	for (size_t i = 0; i < linux_parameters->tmpfs.count; i++) {
		const struct ecs_tmpfs *tmpfs = &linux_parameters->tmpfs.items[i];

		if (tmpfs->size.value < 1)
			return refuse(checks, "tmpfs size must be greater than 0.");
		if (!check_absolute(checks, tmpfs->container_path, "tmpfs"))
			return false;
	}
	return true;
}

static bool check_ulimits(const struct checks *checks, const struct ecs_ulimit_list *ulimits)
{
	for (size_t i = 0; i < ulimits->count; i++)
		if (ulimits->items[i].hard_limit.value >= 0 &&
		    ulimits->items[i].soft_limit.value > ulimits->items[i].hard_limit.value)
			return refuse(checks,
				      "The soft limit of ulimit %.*s cannot be greater than its "
				      "hard limit.",
				      STR(shape_word_text(&shape_ecs_ulimit_name,
							  (int32_t)ulimits->items[i].name)));
	return true;
}

static bool is_accelerator(const struct checks *checks, struct str name)
{
	for (size_t i = 0; i < checks->definition->inference_accelerators.count; i++)
		if (str_equal(checks->definition->inference_accelerators.items[i].device_name,
			      name))
			return true;
	return false;
}

static bool check_requirement(const struct checks *checks,
			      const struct ecs_resource_requirement *requirement)
{
	bool all = str_equal(requirement->value, S("ALL"));
	uint64_t count;

	switch (requirement->type) {
	case ECS_RESOURCE_TYPE_GPU:
		return all || (str_to_unsigned(requirement->value, &count) && count > 0) ||
		       refuse(checks, "The value of a GPU resource requirement must be a positive "
				      "integer or ALL.");
	case ECS_RESOURCE_TYPE_NEURON_DEVICE:
		return all ||
		       refuse(checks,
			      "The value of a NeuronDevice resource requirement must be ALL.");
	default:
		return is_accelerator(checks, requirement->value) ||
		       refuse(checks, "Unknown inference accelerator '%.*s'.",
			      STR(requirement->value));
	}
}

static bool check_requirements(const struct checks *checks,
			       const struct ecs_resource_requirements *list)
{
	for (size_t i = 0; i < list->count; i++)
		if (!check_requirement(checks, &list->items[i]))
			return false;
	return true;
}

/* ---- what containers say of volumes and of each other */

static bool volume_exists(const struct checks *checks, struct str name)
{
	for (size_t i = 0; i < checks->definition->volumes.count; i++)
		if (str_equal(checks->definition->volumes.items[i].name, name))
			return true;
	return false;
}

/* The next name in a path: "/a//./b/" has two. */
static struct str next_name(struct str *path)
{
	struct str name;

	while (str_cut(path, '/', &name))
		if (name.len && !str_equal(name, S(".")))
			return name;
	return STR_NONE;
}

static bool is_same_path(struct str a, struct str b)
{
	struct str name;

	do {
		name = next_name(&a);
		if (!str_equal(name, next_name(&b)))
			return false;
	} while (str_has(name));
	return true;
}

/* Another mount point, or a tmpfs, at the same place: docker's words, when it makes the container. */
static bool check_place(const struct checks *checks, const struct ecs_container_definition *container,
			size_t index)
{
	const struct ecs_linux_parameters *parameters = container->linux_parameters;
	struct str path = container->mount_points.items[index].container_path;
	bool taken = false;

	for (size_t i = 0; i < index; i++)
		taken |= is_same_path(path, container->mount_points.items[i].container_path);
	for (size_t i = 0; parameters && i < parameters->tmpfs.count; i++)
		taken |= is_same_path(path, parameters->tmpfs.items[i].container_path);
	return !taken || refuse(checks, "Duplicate mount point: %.*s", STR(path));
}

static bool check_mounts(const struct checks *checks,
			 const struct ecs_container_definition *container)
{
	for (size_t i = 0; i < container->mount_points.count; i++) {
		const struct ecs_mount_point *mount = &container->mount_points.items[i];

		if (!volume_exists(checks, mount->source_volume))
			return refuse(checks, "Unknown volume '%.*s'.", STR(mount->source_volume));
		if (str_empty(mount->container_path))
			return refuse(checks,
				      "Mount point containerPath should not be null or empty.");
		if (!check_place(checks, container, i))
			return false;
	}
	for (size_t i = 0; i < container->volumes_from.count; i++)
		if (!checks_container(checks, container->volumes_from.items[i].source_container))
			return refuse(checks, "Unknown source container '%.*s' in volumesFrom.",
				      STR(container->volumes_from.items[i].source_container));
	return true;
}

static bool check_links(const struct checks *checks,
			const struct ecs_container_definition *container)
{
	for (size_t i = 0; i < container->links.count; i++) {
		struct str link = container->links.items[i],
			   name = str_slice(link, 0, str_find(link, ':'));

		if (!checks_container(checks, name))
			return refuse(checks, "Unknown container '%.*s' in links.", STR(name));
	}
	return true;
}

static bool check_dependency(const struct checks *checks,
			     const struct ecs_container_dependency *dependency)
{
	const struct ecs_container_definition *other =
		checks_container(checks, dependency->container_name);
	enum ecs_container_condition condition = dependency->condition;

	if (!other)
		return refuse(checks,
			      "Cannot depend on container + '%.*s' because it does not exist",
			      STR(dependency->container_name));
	if ((condition == ECS_CONTAINER_CONDITION_SUCCESS ||
	     condition == ECS_CONTAINER_CONDITION_COMPLETE) &&
	    other->essential.value)
		return refuse(checks, "A dependency container with SUCCESS or COMPLETE condition "
				      "cannot be an essential "
				      "container");
	if (condition == ECS_CONTAINER_CONDITION_HEALTHY && !other->health_check)
		return refuse(checks, "A dependency container with HEALTHY condition must have "
				      "health check configured");
	return true;
}

/* Takes away containers whose dependencies are all gone; what stays is a cycle. */
static bool check_cycles(const struct checks *checks)
{
	const struct ecs_container_definitions *containers =
		&checks->definition->container_definitions;
	bool done[DEFINITION_CONTAINERS_LIMIT] = {false};
	size_t left = containers->count, before;

	do {
		before = left;
		for (size_t i = 0; i < containers->count; i++) {
			const struct ecs_container_dependencies *list =
				&containers->items[i].depends_on;
			bool free_to_go = !done[i];

			for (size_t j = 0; j < list->count && free_to_go; j++)
				free_to_go = done[checks_container(checks,
								   list->items[j].container_name) -
						  containers->items];
			if (free_to_go) {
				done[i] = true;
				left--;
			}
		}
	} while (left < before);
	return left == 0 || refuse(checks, "Container dependsOn contains a cycle");
}

static bool check_dependencies(const struct checks *checks)
{
	const struct ecs_container_definitions *containers =
		&checks->definition->container_definitions;

	for (size_t i = 0; i < containers->count; i++)
		for (size_t j = 0; j < containers->items[i].depends_on.count; j++)
			if (!check_dependency(checks, &containers->items[i].depends_on.items[j]))
				return false;
	return check_cycles(checks);
}

static bool check_list(const struct checks *checks)
{
	const struct ecs_container_definitions *containers =
		&checks->definition->container_definitions;

	if (!containers->count)
		return refuse(checks, "Container list cannot be empty.");
	return containers->count <= DEFINITION_CONTAINERS_LIMIT ||
	       refuse(checks, "A task definition can contain at most %d containers.",
		      DEFINITION_CONTAINERS_LIMIT);
}

static bool check_essential(const struct checks *checks)
{
	const struct ecs_container_definitions *containers =
		&checks->definition->container_definitions;

	for (size_t i = 0; i < containers->count; i++)
		if (containers->items[i].essential.value)
			return true;
	return refuse(checks, "Task definition doesn't have any essential container.");
}

static bool settle_container(const struct checks *checks,
			     struct ecs_container_definition *container)
{
	const struct ecs_log_configuration *log = container->log_configuration;

	if (container->cpu.value < 0)
		return refuse(checks,
			      "Invalid setting for container '%.*s'. 'cpu' must be 0 or greater.",
			      STR(container->name));
	return check_image(checks, container->image) && check_memory(checks, container) &&
	       check_timeouts(checks, container) && settle_ports(checks, container) &&
	       check_networking(checks, container) && check_host_files(checks, container) &&
	       settle_health(checks, container->health_check) &&
	       check_restart(checks, container->restart_policy) && check_logs(checks, log) &&
	       check_variables(checks, &container->environment) &&
	       check_secrets(checks, &container->secrets) &&
	       (!log || check_secrets(checks, &log->secret_options)) &&
	       check_files(checks, container) && check_registry(checks, container) &&
	       check_folder(checks, container->working_directory) &&
	       check_linux(checks, container->linux_parameters) &&
	       check_ulimits(checks, &container->ulimits) &&
	       check_requirements(checks, &container->resource_requirements) &&
	       check_mounts(checks, container) && check_links(checks, container);
}

bool check_containers(struct checks *checks)
{
	const struct ecs_container_definitions *containers =
		&checks->definition->container_definitions;

	if (!check_list(checks) || !check_names(checks) || !check_essential(checks))
		return false;
	for (size_t i = 0; i < containers->count; i++)
		if (!settle_container(checks, &containers->items[i]))
			return false;
	return check_sums(checks) && check_host_ports(checks) && check_dependencies(checks);
}
