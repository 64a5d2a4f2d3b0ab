#include "control/ecs/payload.h"
#include "api/docker.h"
#include "base/buffer.h"
#include "control/ec2/ec2.h"
#include "control/efs/efs.h"
#include "control/ecs/instances.h"
#include "control/ecs/settings.h"
#include "control/ecs/tasks.h"
#include "wire/json.h"

static struct acs_strings strings(const struct ecs_string_list *list)
{
	return (struct acs_strings){list->items, list->count};
}

static struct docker_strings docker_strings(const struct ecs_string_list *list)
{
	return (struct docker_strings){list->items, list->count};
}

static struct str encode(struct plane *plane, const struct shape *shape, const void *value)
{
	auto_buffer text = {0};

	json_encode(shape, value, &text);
	return arena_copy(plane_arena(plane), buffer_str(&text));
}

/* ---- environment: the definition's, overrides merged by name, and what the server adds (agent-protocol 3.4) */
static void set_variable(struct acs_string_map *map, struct str name, struct str value)
{
	for (size_t i = 0; i < map->count; i++)
		if (str_equal(map->items[i].key, name)) {
			map->items[i].value = value;
			return;
		}
	map->items[map->count++] = (struct acs_string_map_entry){name, value};
}

static struct acs_string_map environment(struct plane *plane, const struct task *task,
					 const struct ecs_container_definition *container,
					 const struct ecs_container_override *override)
{
	size_t count = container->environment.count + (override ? override->environment.count : 0) + 1;
	struct acs_string_map map = {arena_array(plane_arena(plane), struct acs_string_map_entry, count), 0};
	struct str where = S("AWS_ECS_EC2");

	if (task->launch_type == ECS_LAUNCH_TYPE_EXTERNAL)
		where = S("AWS_ECS_EXTERNAL");
	else if (task->launch_type == ECS_LAUNCH_TYPE_FARGATE)
		where = S("AWS_ECS_FARGATE");
	set_variable(&map, S("AWS_EXECUTION_ENV"), where);
	for (size_t i = 0; i < container->environment.count; i++)
		set_variable(&map, container->environment.items[i].name, container->environment.items[i].value);
	for (size_t i = 0; override && i < override->environment.count; i++)
		set_variable(&map, override->environment.items[i].name, override->environment.items[i].value);
	return map;
}

/* ---- dockerConfig */
static struct docker_healthcheck *healthcheck(struct plane *plane, const struct ecs_health_check *from)
{
	struct docker_healthcheck *to = arena_new(plane_arena(plane), struct docker_healthcheck);
	const int64_t second = 1000000000;

	to->test = docker_strings(&from->command);
	to->interval = (struct maybe_long){from->interval.value * second, from->interval.has};
	to->timeout = (struct maybe_long){from->timeout.value * second, from->timeout.has};
	to->start_period = (struct maybe_long){from->start_period.value * second, true};
	to->retries = from->retries;
	return to;
}

/* The definition's, and what ECS says of every container: these win (agent-protocol 3.4). */
static struct docker_string_map labels(struct plane *plane, const struct task_entry *entry,
				       const struct ecs_container_definition *container)
{
	const struct ecs_task_definition *definition = entry->definition->record->definition;
	const struct docker_string_map_entry own[] = {
		{S("com.amazonaws.ecs.cluster"), cluster_arn(plane, entry->cluster)},
		{S("com.amazonaws.ecs.container-name"), container->name},
		{S("com.amazonaws.ecs.task-arn"), task_arn(plane, entry)},
		{S("com.amazonaws.ecs.task-definition-family"), definition->family},
		{S("com.amazonaws.ecs.task-definition-version"),
		 arena_printf(plane_arena(plane), "%d", definition->revision.value)},
	};
	size_t count = container->docker_labels.count + COUNT(own);
	struct docker_string_map map = {arena_array(plane_arena(plane), struct docker_string_map_entry, count), 0};

	for (size_t i = 0; i < container->docker_labels.count; i++)
		if (!str_starts(container->docker_labels.items[i].key, S("com.amazonaws.ecs.")))
			map.items[map.count++] = (struct docker_string_map_entry){container->docker_labels.items[i].key,
										   container->docker_labels.items[i].value};
	for (size_t i = 0; i < COUNT(own); i++)
		map.items[map.count++] = own[i];
	return map;
}

static struct str docker_config(struct plane *plane, const struct task_entry *entry,
				const struct ecs_container_definition *container)
{
	struct docker_config config = {
		.user = container->user, .working_dir = container->working_directory, .hostname = container->hostname,
		.tty = container->pseudo_terminal, .open_stdin = container->interactive,
		.labels = labels(plane, entry, container),
	};

	if (container->health_check)
		config.healthcheck = healthcheck(plane, container->health_check);
	return encode(plane, &shape_docker_config, &config);
}

static void add_ulimits(struct plane *plane, const struct ecs_ulimit_list *from, struct docker_ulimits *to)
{
	if (!from->count)
		return;
	to->items = arena_array(plane_arena(plane), struct docker_ulimit, from->count);
	to->count = from->count;
	for (size_t i = 0; i < from->count; i++)
		to->items[i] = (struct docker_ulimit){
			.name = shape_word_text(&shape_ecs_ulimit_name, (int32_t)from->items[i].name),
			.soft = {from->items[i].soft_limit.value, true}, .hard = {from->items[i].hard_limit.value, true}};
}

static struct str device_permissions(struct plane *plane, const struct ecs_device_cgroup_permissions *permissions)
{
	char text[4];
	size_t length = 0;

	for (size_t i = 0; i < permissions->count && length < 3; i++)
		text[length++] = "?rwm"[permissions->items[i]];
	return arena_copy(plane_arena(plane), length ? (struct str){text, length} : S("rwm"));
}

static void add_linux(struct plane *plane, const struct ecs_linux_parameters *from, int64_t memory_mib,
		      struct docker_host_config *to)
{
	struct arena *arena = plane_arena(plane);

	if (from->capabilities) {
		to->cap_add = docker_strings(&from->capabilities->add);
		to->cap_drop = docker_strings(&from->capabilities->drop);
	}
	to->init = from->init_process_enabled;
	if (from->shared_memory_size.has)
		to->shm_size = (struct maybe_long){(int64_t)from->shared_memory_size.value << 20, true};
	if (from->max_swap.has)
		to->memory_swap = (struct maybe_long){(memory_mib + from->max_swap.value) << 20, true};
	if (from->swappiness.has)
		to->memory_swappiness = (struct maybe_long){from->swappiness.value, true};
	to->devices.items = arena_array(arena, struct docker_device, from->devices.count);
	for (size_t i = 0; i < from->devices.count; i++) {
		const struct ecs_device *device = &from->devices.items[i];

		to->devices.items[to->devices.count++] = (struct docker_device){
			.path_on_host = device->host_path,
			.path_in_container = str_empty(device->container_path) ? device->host_path : device->container_path,
			.cgroup_permissions = device_permissions(plane, &device->permissions)};
	}
	to->tmpfs.items = arena_array(arena, struct docker_string_map_entry, from->tmpfs.count);
	for (size_t i = 0; i < from->tmpfs.count; i++) {
		const struct ecs_tmpfs *tmpfs = &from->tmpfs.items[i];
		struct str options = arena_printf(arena, "size=%dm", tmpfs->size.value);

		for (size_t o = 0; o < tmpfs->mount_options.count; o++)
			options = arena_printf(arena, "%.*s,%.*s", STR(options), STR(tmpfs->mount_options.items[o]));
		to->tmpfs.items[to->tmpfs.count++] = (struct docker_string_map_entry){tmpfs->container_path, options};
	}
}

enum { ADDED_LOG_OPTIONS = 5 };

static struct str option_of(const struct docker_string_map *options, struct str name)
{
	for (size_t i = 0; i < options->count; i++)
		if (str_equal(options->items[i].key, name) && !str_empty(options->items[i].value))
			return options->items[i].value;
	return STR_NONE;
}

static void default_option(struct docker_string_map *options, struct str name, struct str value)
{
	if (!str_has(option_of(options, name)))
		options->items[options->count++] = (struct docker_string_map_entry){name, value};
}

/* What the service adds (ecs-behaviour 10.3): where the lines go, and the stream when there is a prefix; without one the
 * agent names it after the container's runtime id. */
static void settle_awslogs(struct plane *plane, const struct task_entry *entry, const struct ecs_container_definition *container,
			   struct docker_string_map *options)
{
	struct arena *arena = plane_arena(plane);
	struct str prefix = option_of(options, S("awslogs-stream-prefix"));

	default_option(options, S("awslogs-group"),
		       ARENA_JOIN(arena, S("/ecs/"), entry->definition->record->definition->family));
	default_option(options, S("awslogs-region"), entry->realm->region);
	default_option(options, S("mode"), setting_of_account(plane, entry->realm, ECS_SETTING_NAME_DEFAULT_LOG_DRIVER_MODE));
	if (str_equal(option_of(options, S("mode")), S("non-blocking")))
		default_option(options, S("max-buffer-size"), S("10m"));
	if (str_has(prefix))
		default_option(options, S("awslogs-stream"),
			       ARENA_JOIN(arena, prefix, S("/"), container->name, S("/"), entry->record->id));
}

static struct docker_log_config *log_config(struct plane *plane, const struct task_entry *entry,
					    const struct ecs_container_definition *container)
{
	const struct ecs_log_configuration *from = container->log_configuration;
	struct docker_log_config *to = arena_new(plane_arena(plane), struct docker_log_config);
	size_t count = from ? from->options.count : 0;

	to->type = from ? shape_word_text(&shape_ecs_log_driver, (int32_t)from->log_driver) : S("json-file");
	to->config.items = arena_array(plane_arena(plane), struct docker_string_map_entry, count + ADDED_LOG_OPTIONS);
	for (size_t i = 0; i < count; i++)
		if (!str_empty(from->options.items[i].value))
			to->config.items[to->config.count++] = (struct docker_string_map_entry){from->options.items[i].key,
												 from->options.items[i].value};
	if (from && from->log_driver == ECS_LOG_DRIVER_AWSLOGS)
		settle_awslogs(plane, entry, container, &to->config);
	return to;
}

static struct str host_config(struct plane *plane, const struct task_entry *entry,
			      const struct ecs_container_definition *container, int64_t memory_mib, int64_t reservation_mib)
{
	const struct ecs_task_definition *definition = entry->definition->record->definition;
	struct arena *arena = plane_arena(plane);
	struct docker_host_config config = {
		.network_mode = definition->network_mode
			? shape_word_text(&shape_ecs_network_mode, (int32_t)definition->network_mode) : S("bridge"),
		.privileged = container->privileged, .readonly_rootfs = container->readonly_root_filesystem,
		.dns = docker_strings(&container->dns_servers), .dns_search = docker_strings(&container->dns_search_domains),
		.security_opt = docker_strings(&container->docker_security_options),
		.log_config = log_config(plane, entry, container),
		.pid_mode = shape_word_text(&shape_ecs_pid_mode, (int32_t)definition->pid_mode),
		.ipc_mode = shape_word_text(&shape_ecs_ipc_mode, (int32_t)definition->ipc_mode),
	};

	if (reservation_mib)
		config.memory_reservation = (struct maybe_long){reservation_mib << 20, true};
	add_ulimits(plane, &container->ulimits, &config.ulimits);
	if (container->linux_parameters)
		add_linux(plane, container->linux_parameters, memory_mib, &config);
	config.extra_hosts.items = arena_array(arena, struct str, container->extra_hosts.count);
	for (size_t i = 0; i < container->extra_hosts.count; i++)
		config.extra_hosts.items[config.extra_hosts.count++] =
			arena_printf(arena, "%.*s:%.*s", STR(container->extra_hosts.items[i].hostname),
				     STR(container->extra_hosts.items[i].ip_address));
	config.sysctls.items = arena_array(arena, struct docker_string_map_entry, container->system_controls.count);
	for (size_t i = 0; i < container->system_controls.count; i++)
		config.sysctls.items[config.sysctls.count++] = (struct docker_string_map_entry){
			container->system_controls.items[i].namespace, container->system_controls.items[i].value};
	return encode(plane, &shape_docker_host_config, &config);
}

/* ---- lists of a container */
static void put_ports(struct plane *plane, const struct ecs_container_definition *from, struct acs_container *to)
{
	to->port_mappings.items = arena_array(plane_arena(plane), struct acs_port_mapping, from->port_mappings.count);
	for (size_t i = 0; i < from->port_mappings.count; i++) {
		const struct ecs_port_mapping *port = &from->port_mappings.items[i];

		to->port_mappings.items[to->port_mappings.count++] = (struct acs_port_mapping){
			.container_port = port->container_port, .host_port = port->host_port,
			.container_port_range = port->container_port_range,
			.protocol = port->protocol == ECS_TRANSPORT_PROTOCOL_UDP ? S("udp") : S("tcp")};
	}
}

static void put_mounts(struct plane *plane, const struct ecs_container_definition *from, struct acs_container *to)
{
	to->mount_points.items = arena_array(plane_arena(plane), struct acs_mount_point, from->mount_points.count);
	for (size_t i = 0; i < from->mount_points.count; i++)
		to->mount_points.items[to->mount_points.count++] = (struct acs_mount_point){
			.source_volume = from->mount_points.items[i].source_volume,
			.container_path = from->mount_points.items[i].container_path,
			.read_only = from->mount_points.items[i].read_only};
	to->volumes_from.items = arena_array(plane_arena(plane), struct acs_volume_from, from->volumes_from.count);
	for (size_t i = 0; i < from->volumes_from.count; i++)
		to->volumes_from.items[to->volumes_from.count++] = (struct acs_volume_from){
			.source_container = from->volumes_from.items[i].source_container,
			.read_only = from->volumes_from.items[i].read_only};
}

static void put_dependencies(struct plane *plane, const struct ecs_container_definition *from, struct acs_container *to)
{
	to->depends_on.items = arena_array(plane_arena(plane), struct acs_dependency, from->depends_on.count);
	for (size_t i = 0; i < from->depends_on.count; i++)
		to->depends_on.items[to->depends_on.count++] = (struct acs_dependency){
			.container_name = from->depends_on.items[i].container_name,
			.condition = shape_word_text(&shape_ecs_container_condition, (int32_t)from->depends_on.items[i].condition)};
	if (from->restart_policy) {
		to->restart_policy = arena_new(plane_arena(plane), struct acs_restart_policy);
		*to->restart_policy = (struct acs_restart_policy){
			.enabled = from->restart_policy->enabled,
			.ignored_exit_codes = {from->restart_policy->ignored_exit_codes.items,
					       from->restart_policy->ignored_exit_codes.count},
			.restart_attempt_period = from->restart_policy->restart_attempt_period};
	}
}

/* Those of an override replace all of the definition's (ecs-behaviour 5.5). */
static void put_files(struct plane *plane, const struct ecs_container_definition *from,
		      const struct ecs_container_override *override, struct acs_container *to)
{
	const struct ecs_environment_files *files =
		override->environment_files.items ? &override->environment_files : &from->environment_files;

	to->environment_files.items = arena_array(plane_arena(plane), struct acs_environment_file, files->count);
	for (size_t i = 0; i < files->count; i++)
		to->environment_files.items[to->environment_files.count++] =
			(struct acs_environment_file){.value = files->items[i].value, .type = S("s3")};
}

static void put_secrets(struct plane *plane, const struct task_entry *entry, const struct ecs_container_definition *from,
			struct acs_container *to)
{
	to->secrets.items = arena_array(plane_arena(plane), struct acs_secret, from->secrets.count);
	for (size_t i = 0; i < from->secrets.count; i++)
		to->secrets.items[to->secrets.count++] = (struct acs_secret){
			.name = from->secrets.items[i].name, .value_from = from->secrets.items[i].value_from,
			.region = entry->realm->region, .type = S("ENVIRONMENT_VARIABLE"), .target = S("CONTAINER"),
			.provider = str_contains(from->secrets.items[i].value_from, S(":secretsmanager:")) ? S("asm") : S("ssm")};
}

static struct str command_override(struct plane *plane, const struct ecs_container_override *override)
{
	auto_buffer text = {0};

	if (!override || !override->command.items)
		return S("{}");
	buffer_add(&text, S("{\"command\":["));
	for (size_t i = 0; i < override->command.count; i++) {
		if (i)
			buffer_add_char(&text, ',');
		json_encode_text(override->command.items[i], &text);
	}
	buffer_add(&text, S("]}"));
	return arena_copy(plane_arena(plane), buffer_str(&text));
}

static const struct task_container *state_of(const struct task *task, struct str name)
{
	for (size_t i = 0; i < task->containers.count; i++)
		if (str_equal(task->containers.items[i].name, name))
			return &task->containers.items[i];
	return NULL;
}

static struct maybe_integer overridden(struct maybe_integer above, struct maybe_integer below)
{
	return above.has ? above : below;
}

static void put_container(struct plane *plane, const struct task_entry *entry,
			  const struct ecs_container_definition *from, struct acs_container *to)
{
	const struct ecs_container_override *override = find_override(entry->record->overrides, from->name);
	const struct task_container *state = state_of(entry->record, from->name);
	struct ecs_container_override none = {0};
	struct maybe_integer memory, reservation;

	override = override ? override : &none;
	memory = overridden(override->memory, from->memory);
	reservation = overridden(override->memory_reservation, from->memory_reservation);
	*to = (struct acs_container){
		.name = from->name, .image = from->image, .essential = from->essential,
		.command = strings(&from->command), .entry_point = strings(&from->entry_point),
		.cpu = overridden(override->cpu, from->cpu), .memory = memory,
		.environment = environment(plane, entry->record, from, override),
		.links = strings(&from->links),
		.overrides = command_override(plane, override),
		.health_check_type = from->health_check ? S("docker") : STR_NONE,      /* NONE is for the agent to read */
		.start_timeout = from->start_timeout, .stop_timeout = from->stop_timeout,
		.docker_config = arena_new(plane_arena(plane), struct acs_docker_config),
	};
	if (state)
		to->container_arn = container_arn(plane, entry, state->id);
	*to->docker_config = (struct acs_docker_config){
		.version = S("1.17"), .config = docker_config(plane, entry, from),
		.host_config = host_config(plane, entry, from, memory.value, reservation.value)};
	put_ports(plane, from, to);
	put_mounts(plane, from, to);
	put_dependencies(plane, from, to);
	put_secrets(plane, entry, from, to);
	put_files(plane, from, override, to);
}

/* ---- volumes */
static struct acs_string_map string_map(struct plane *plane, const struct ecs_string_map *from)
{
	struct acs_string_map to = {arena_array(plane_arena(plane), struct acs_string_map_entry, from->count), from->count};

	for (size_t i = 0; i < from->count; i++)
		to.items[i] = (struct acs_string_map_entry){from->items[i].key, from->items[i].value};
	return to;
}

/* An awsvpc task mounts from its interface's VPC; machines are in none, so from them any mount target will do. */
static bool reaches(struct plane *plane, const struct task_entry *entry, struct str file_system_id)
{
	const struct task_attachment *attachment = entry->record->attachment;
	struct interface_view view = {0};

	if (attachment)
		ec2_interface_view(plane, entry->realm, attachment->interface_id, &view);
	return efs_has_mount_target(plane, entry->realm, file_system_id, view.vpc_id, STR_NONE);
}

/* Why the volume cannot be mounted, in the words of AWS's mount helper; absent when it can. To that helper a file system that
 * is not there and one without a mount target are the same: a name that does not resolve. */
static struct str efs_refusal(struct plane *plane, const struct task_entry *entry, struct str system, struct str point,
			      struct efs_volume_view *ret_view)
{
	struct arena *arena = plane_arena(plane);
	bool found = efs_find_volume(plane, entry->realm, system, STR_NONE, ret_view);

	if (!found || !reaches(plane, entry, system))
		return arena_printf(arena, "Failed to resolve \"%.*s.efs.%.*s.amazonaws.com\" - check that your file system ID is "
				    "correct, and ensure that the VPC has an EFS mount target for this file system ID",
				    STR(found ? ret_view->file_system_id : system), STR(entry->realm->region));
	if (!efs_find_volume(plane, entry->realm, system, point, ret_view))
		return arena_printf(arena, "access denied by server while mounting 127.0.0.1:/: the file system has no access point "
				    "%.*s", STR(point));
	return STR_NONE;
}

/* Where the access point's root is and whom its files belong to: files are kept where the task runs. */
static void put_access_point(struct plane *plane, const struct task_entry *entry, struct acs_efs_volume *to)
{
	struct str id = to->authorization_config ? to->authorization_config->access_point_id : STR_NONE;
	struct acs_efs_access_point *point = arena_new(plane_arena(plane), struct acs_efs_access_point);
	struct efs_volume_view view;

	to->refusal = efs_refusal(plane, entry, to->file_system_id, str_empty(id) ? STR_NONE : id, &view);
	if (str_has(to->refusal))
		return;
	to->file_system_id = view.file_system_id;
	if (str_empty(id))
		return;
	*point = (struct acs_efs_access_point){
		.path = view.path, .uid = {view.uid, view.has_user}, .gid = {view.gid, view.has_user},
		.owner_uid = {view.owner_uid, view.has_owner}, .owner_gid = {view.owner_gid, view.has_owner},
		.permissions = view.permissions,
		.secondary_gids = {view.secondary_gids.items, view.secondary_gids.count}};
	to->access_point = point;
}

static void put_efs_authorization(struct plane *plane, const struct ecs_efs_authorization_config *from,
				  struct acs_efs_volume *to)
{
	if (!from)
		return;
	to->authorization_config = arena_new(plane_arena(plane), struct acs_efs_authorization);
	to->authorization_config->access_point_id = from->access_point_id;
	to->authorization_config->iam = shape_word_text(&shape_ecs_efs_authorization_config_iam, (int32_t)from->iam);
}

static void put_volume(struct plane *plane, const struct task_entry *entry, const struct ecs_volume *from,
		       struct acs_volume *to)
{
	struct arena *arena = plane_arena(plane);

	*to = (struct acs_volume){.name = from->name, .type = S("host")};
	if (from->docker_volume_configuration) {
		const struct ecs_docker_volume_configuration *docker = from->docker_volume_configuration;

		to->type = S("docker");
		to->docker_volume_configuration = arena_new(arena, struct acs_docker_volume);
		*to->docker_volume_configuration = (struct acs_docker_volume){
			.scope = docker->scope == ECS_SCOPE_SHARED ? S("shared") : S("task"),
			.autoprovision = docker->autoprovision, .driver = docker->driver,
			.driver_opts = string_map(plane, &docker->driver_opts), .labels = string_map(plane, &docker->labels)};
	} else if (from->efs_volume_configuration) {
		const struct ecs_efs_volume_configuration *efs = from->efs_volume_configuration;

		to->type = S("efs");
		to->efs_volume_configuration = arena_new(arena, struct acs_efs_volume);
		*to->efs_volume_configuration = (struct acs_efs_volume){
			.file_system_id = efs->file_system_id, .root_directory = efs->root_directory,
			.transit_encryption = shape_word_text(&shape_ecs_efs_transit_encryption, (int32_t)efs->transit_encryption),
			.transit_encryption_port = efs->transit_encryption_port};
		put_efs_authorization(plane, efs->authorization_config, to->efs_volume_configuration);
		put_access_point(plane, entry, to->efs_volume_configuration);
	} else {
		to->host = arena_new(arena, struct acs_host_volume);     /* must be there, also when empty */
		if (from->host)
			to->host->source_path = from->host->source_path;
	}
}

/* ---- the task */

/* Only when somebody asks for a size: a folder of a size of its own costs the machine a file system (docs/volumes.md). */
static struct maybe_integer asked_storage(const struct task *task, const struct ecs_task_definition *definition)
{
	const struct ecs_ephemeral_storage *asked = task->overrides && task->overrides->ephemeral_storage
		? task->overrides->ephemeral_storage : definition->ephemeral_storage;

	return asked && task->launch_type == ECS_LAUNCH_TYPE_FARGATE ? asked->size_in_gi_b : (struct maybe_integer){0};
}

bool payload_interface(struct plane *plane, const struct task_entry *entry, struct acs_elastic_network_interface *ret_interface)
{
	struct arena *arena = plane_arena(plane);
	struct acs_i_pv4_address *address;
	struct interface_view view;
	struct str *domain;

	if (!entry->record->attachment ||
	    !ec2_interface_view(plane, entry->realm, entry->record->attachment->interface_id, &view))
		return false;
	address = arena_new(arena, struct acs_i_pv4_address);
	*address = (struct acs_i_pv4_address){.private_address = view.private_address, .primary = {true, true}};
	domain = arena_array(arena, struct str, 2);
	domain[0] = view.domain;
	domain[1] = view.resolver;
	*ret_interface = (struct acs_elastic_network_interface){
		.attachment_arn = attachment_arn(plane, entry), .ec2_id = view.id, .mac_address = view.mac_address,
		.index = {0, true}, .ipv4_addresses = {address, 1},
		.subnet_gateway_ipv4_address = view.gateway, .private_dns_name = view.private_name,
		.domain_name = {domain, str_has(view.domain)},
		.domain_name_servers = {domain + 1, str_has(view.resolver)},
	};
	return true;
}

/* One a device, with the containers that use it. */
static void put_gpus(struct plane *plane, const struct task *task, struct acs_task *to)
{
	struct arena *arena = plane_arena(plane);

	to->associations.items = arena_array(arena, struct acs_association, task->gpus.count);
	for (size_t i = 0; i < task->gpus.count; i++) {
		struct acs_association *device = &to->associations.items[to->associations.count++];

		*device = (struct acs_association){.name = task->gpus.items[i], .type = S("gpu")};
		device->containers.items = arena_array(arena, struct str, task->containers.count);
		for (size_t c = 0; c < task->containers.count; c++)
			if (str_listed(task->containers.items[c].gpus.items, task->containers.items[c].gpus.count, device->name))
				device->containers.items[device->containers.count++] = task->containers.items[c].name;
	}
}

static void put_interface(struct plane *plane, const struct task_entry *entry, struct acs_task *to)
{
	struct acs_elastic_network_interface *interface = arena_new(plane_arena(plane), struct acs_elastic_network_interface);

	if (payload_interface(plane, entry, interface))
		to->elastic_network_interfaces = (struct acs_elastic_network_interfaces){interface, 1};
}

void payload_task(struct plane *plane, const struct task_entry *entry, struct acs_task *ret_task)
{
	const struct task *task = entry->record;
	const struct ecs_task_definition *definition = entry->definition->record->definition;
	bool sized = str_has(definition->cpu) || (task->overrides && str_has(task->overrides->cpu));
	bool limited = str_has(definition->memory) || (task->overrides && str_has(task->overrides->memory));
	struct arena *arena = plane_arena(plane);

	*ret_task = (struct acs_task){
		.arn = task_arn(plane, entry), .task_cluster_arn = cluster_arn(plane, entry->cluster),
		.desired_status = task_is_wanted(task) ? S("RUNNING") : S("STOPPED"),
		.family = definition->family, .version = arena_printf(arena, "%d", definition->revision.value),
		.overrides = S("{}"),
		.cpu = {(double)task->cpu.value / 1024, sized},
		.memory = {(int32_t)task->memory.value, limited},
		.network_mode = definition->network_mode
			? shape_word_text(&shape_ecs_network_mode, (int32_t)definition->network_mode) : S("bridge"),
		.pid_mode = shape_word_text(&shape_ecs_pid_mode, (int32_t)definition->pid_mode),
		.ipc_mode = shape_word_text(&shape_ecs_ipc_mode, (int32_t)definition->ipc_mode),
		.launch_type = shape_word_text(&shape_ecs_launch_type, (int32_t)task->launch_type),
		.service_name = task->service, .group = task->group,
		.ephemeral_storage = asked_storage(task, definition),
		.containers = {arena_array(arena, struct acs_container, definition->container_definitions.count),
			       definition->container_definitions.count},
		.volumes = {arena_array(arena, struct acs_volume, definition->volumes.count), definition->volumes.count},
	};
	for (size_t i = 0; i < definition->container_definitions.count; i++)
		put_container(plane, entry, &definition->container_definitions.items[i], &ret_task->containers.items[i]);
	put_interface(plane, entry, ret_task);
	if (task->gpus.count)
		put_gpus(plane, task, ret_task);
	for (size_t i = 0; i < definition->volumes.count; i++)
		put_volume(plane, entry, &definition->volumes.items[i], &ret_task->volumes.items[i]);
}
