#include "runner/metadata.h"
#include "api/docker.h"
#include "base/ipv4.h"
#include "host/hands.h"
#include "wire/json.h"

enum { NAME_DIGITS = 20 };

struct subject {                                         /* one container of a task */
	const struct metadata_view *view;
	const struct acs_container *acs;
	const struct agent_container *record;
	const struct docker_config *config;
	const struct docker_host_config *host;
	struct str id;
};

static struct str status_text(enum agent_status status)
{
	return status ? shape_word_text(&shape_agent_status, (int32_t)status) : S("NONE");
}

static struct str desired_text(enum agent_status status)
{
	return status == AGENT_STATUS_STOPPED ? S("STOPPED") : S("RUNNING");
}

static bool is_mode(const struct metadata_view *view, const char *mode)
{
	return str_equal(view->task->task->network_mode, str_of(mode));
}

/* ---- A container */

/* Docker's words came from the server and were checked when the container started; what does not read is nothing. */
static const void *decode(const struct shape *shape, struct str text, struct arena *arena)
{
	struct json_fault fault;
	void *value;

	if (json_decode(shape, str_has(text) ? text : S(""), arena, &value, &fault) ||
	    json_decode(shape, S(""), arena, &value, &fault))
		return value;
	return arena_alloc(arena, 1, shape->size, _Alignof(max_align_t));
}

static bool find_subject(const struct metadata_view *view, size_t i, struct arena *arena, struct subject *ret_subject)
{
	const struct agent_container *record = &view->task->containers.items[i];
	const struct acs_container *acs = &view->task->task->containers.items[i];
	const struct acs_docker_config *words = acs->docker_config;

	if (str_empty(record->runtime_id) && !view->is_here(view->arg, view->task_id, acs->name))
		return false;
	*ret_subject = (struct subject){
		.view = view, .acs = acs, .record = record, .id = hands_runtime_id(view->task_id, acs->name, arena),
		.config = decode(&shape_docker_config, words ? words->config : STR_NONE, arena),
		.host = decode(&shape_docker_host_config, words ? words->host_config : STR_NONE, arena),
	};
	return true;
}

struct str metadata_docker_name(const struct metadata_view *view, struct str container, struct arena *arena)
{
	const struct acs_task *task = view->task->task;
	struct str id = hands_runtime_id(view->task_id, container, arena);
	char *plain = arena_alloc_bytes(arena, container.len);
	size_t len = 0;

	for (size_t i = 0; i < container.len; i++) {
		char c = container.ptr[i];

		if ((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-')
			plain[len++] = c;
	}
	return arena_printf(arena, "ecs-%.*s-%.*s-%.*s-%.*s", STR(task->family), STR(task->version), (int)len, plain,
			    STR(str_slice(id, 0, NAME_DIGITS)));
}

static struct metadata_ports ports_of(const struct subject *subject, struct arena *arena)
{
	const struct ecs_network_bindings *bindings = &subject->record->network_bindings;
	const struct acs_port_mapping *mappings = subject->acs->port_mappings.items;
	bool bound = bindings->count > 0;
	size_t count = bound ? bindings->count : subject->acs->port_mappings.count;
	struct metadata_ports ports = {count ? arena_array(arena, struct metadata_port, count) : NULL, count};

	for (size_t i = 0; i < count; i++)
		ports.items[i] = bound ? (struct metadata_port){
			.container_port = bindings->items[i].container_port, .host_port = bindings->items[i].host_port,
			.host_ip = bindings->items[i].bind_ip,
			.protocol = bindings->items[i].protocol == ECS_TRANSPORT_PROTOCOL_UDP ? S("udp") : S("tcp"),
		} : (struct metadata_port){
			.container_port = mappings[i].container_port,
			.protocol = str_empty(mappings[i].protocol) ? S("tcp") : mappings[i].protocol,
		};
	return ports;
}

static struct metadata_string_map copy_map(const struct docker_string_map *map, struct arena *arena)
{
	struct metadata_string_map made = {arena_array(arena, struct metadata_string_map_entry, map->count), map->count};

	for (size_t i = 0; i < map->count; i++)
		made.items[i] = (struct metadata_string_map_entry){map->items[i].key, map->items[i].value};
	return made;
}

static void label(struct metadata_string_map *labels, struct str key, struct str value)
{
	size_t i = 0;

	while (i < labels->count && !str_equal(labels->items[i].key, key))
		i++;
	labels->items[i] = (struct metadata_string_map_entry){key, value};
	labels->count = MAX(labels->count, i + 1);
}

/* Those of ECS win; a server may have put them among the container's own. */
static struct metadata_string_map labels_of(const struct subject *subject, struct arena *arena)
{
	const struct acs_task *task = subject->view->task->task;
	const struct metadata_string_map_entry own[] = {
		{S("com.amazonaws.ecs.cluster"), subject->view->cluster},
		{S("com.amazonaws.ecs.container-name"), subject->acs->name},
		{S("com.amazonaws.ecs.task-arn"), task->arn},
		{S("com.amazonaws.ecs.task-definition-family"), task->family},
		{S("com.amazonaws.ecs.task-definition-version"), task->version},
	};
	const struct docker_string_map *given = &subject->config->labels;
	struct metadata_string_map labels = {
		.items = arena_array(arena, struct metadata_string_map_entry, given->count + COUNT(own))};

	for (size_t i = 0; i < given->count; i++)
		label(&labels, given->items[i].key, given->items[i].value);
	for (size_t i = 0; i < COUNT(own); i++)
		label(&labels, own[i].key, own[i].value);
	return labels;
}

/* "10.0.0.1/20" is the gateway and its network. */
static struct str block_of(struct str gateway, struct arena *arena)
{
	struct ipv4_block block;

	return ipv4_block_parse(gateway, &block) ? ipv4_block_text(arena, block) : STR_NONE;
}

static struct metadata_network interface_network(const struct acs_elastic_network_interface *eni, int version,
						 struct arena *arena)
{
	struct metadata_network network = {.network_mode = S("awsvpc")};
	struct metadata_strings *addresses = &network.ipv4_addresses;

	addresses->items = arena_array(arena, struct str, eni->ipv4_addresses.count);
	for (size_t i = 0; i < eni->ipv4_addresses.count; i++)
		addresses->items[addresses->count++] = eni->ipv4_addresses.items[i].private_address;
	if (version < 4)
		return network;
	network.attachment_index = (struct maybe_integer){eni->index.value, true};
	network.mac_address = eni->mac_address;
	network.private_dns_name = eni->private_dns_name;
	network.ipv4_subnet_cidr_block = block_of(eni->subnet_gateway_ipv4_address, arena);
	network.subnet_gateway_ipv4_address = eni->subnet_gateway_ipv4_address;
	network.domain_name_servers = (struct metadata_strings){eni->domain_name_servers.items,
								 eni->domain_name_servers.count};
	network.domain_name_search_list = (struct metadata_strings){eni->domain_name.items, eni->domain_name.count};
	return network;
}

static struct metadata_networks networks_of(const struct subject *subject, struct arena *arena)
{
	const struct metadata_view *view = subject->view;
	const struct acs_elastic_network_interfaces *enis = &view->task->task->elastic_network_interfaces;
	struct metadata_networks networks = {arena_array(arena, struct metadata_network, MAX(enis->count, 1)), 0};
	struct metadata_network *one;

	for (size_t i = 0; i < enis->count; i++)
		networks.items[networks.count++] = interface_network(&enis->items[i], view->version, arena);
	if (networks.count)
		return networks;
	one = &networks.items[networks.count++];
	one->network_mode = is_mode(view, "host") ? S("host") : is_mode(view, "none") ? S("none") : S("bridge");
	one->ipv4_addresses.count =
		view->addresses(view->arg, view->task_id, subject->acs->name, arena, &one->ipv4_addresses.items);
	if (!one->ipv4_addresses.count)
		one->ipv4_addresses.items = NULL;
	return networks;
}

static const struct acs_volume *find_volume(const struct acs_task *task, struct str name)
{
	for (size_t i = 0; i < task->volumes.count; i++)
		if (str_equal(task->volumes.items[i].name, name))
			return &task->volumes.items[i];
	return NULL;
}

static struct metadata_volumes volumes_of(const struct subject *subject, struct arena *arena)
{
	const struct acs_mount_points *points = &subject->acs->mount_points;
	struct metadata_volumes volumes = {points->count ? arena_array(arena, struct metadata_volume, points->count) : NULL, 0};

	for (size_t i = 0; i < points->count; i++) {
		const struct acs_mount_point *point = &points->items[i];
		const struct acs_volume *volume = find_volume(subject->view->task->task, point->source_volume);
		bool of_host = volume && volume->host && !str_empty(volume->host->source_path);

		volumes.items[volumes.count++] = (struct metadata_volume){
			.docker_name = of_host ? STR_NONE : point->source_volume,
			.source = of_host ? volume->host->source_path
					  : arena_printf(arena, "%.*s/%.*s", STR(subject->view->volumes), STR(point->source_volume)),
			.destination = point->container_path,
		};
	}
	return volumes;
}

static struct metadata_health *health_of(const struct agent_container *record, struct arena *arena)
{
	struct metadata_health *health;

	if (!record->health)
		return NULL;
	health = arena_new(arena, struct metadata_health);
	health->status = shape_word_text(&shape_agent_health, (int32_t)record->health);
	health->status_since = record->health_since;
	health->output = record->health_message;
	return health;
}

static struct metadata_container_limits *limits_of(const struct acs_container *acs, struct arena *arena)
{
	struct metadata_container_limits *limits = arena_new(arena, struct metadata_container_limits);

	limits->cpu = (struct maybe_double){acs->cpu.value, true};
	limits->memory = (struct maybe_long){acs->memory.value, true};
	return limits;
}

static struct maybe_integer restarts_of(const struct metadata_view *view, const struct acs_container *acs)
{
	size_t index = (size_t)(acs - view->task->task->containers.items);
	int32_t count;

	if (!agent_restart_count(view->task, index, &count))
		return (struct maybe_integer){0};
	return (struct maybe_integer){count, true};
}

static void describe(const struct subject *subject, struct arena *arena, struct metadata_container *made)
{
	const struct metadata_view *view = subject->view;
	const struct agent_container *record = subject->record;
	const struct docker_log_config *log = subject->host->log_config;

	*made = (struct metadata_container){
		.docker_id = subject->id, .name = subject->acs->name,
		.docker_name = metadata_docker_name(view, subject->acs->name, arena),
		.image = subject->acs->image, .image_id = record->image_digest, .ports = ports_of(subject, arena),
		.labels = labels_of(subject, arena), .desired_status = desired_text(record->desired),
		.known_status = status_text(record->known), .exit_code = record->exit_code,
		.limits = limits_of(subject->acs, arena), .created_at = record->started_at, .started_at = record->started_at,
		.finished_at = record->finished_at, .type = S("NORMAL"), .networks = networks_of(subject, arena),
		.health = health_of(record, arena), .volumes = volumes_of(subject, arena),
		.container_arn = subject->acs->container_arn,
		.log_driver = log && !str_empty(log->type) ? log->type : S("json-file"),
		.restart_count = view->version >= 4 ? restarts_of(view, subject->acs) : (struct maybe_integer){0},
	};
	if (log && log->config.count)
		made->log_options = copy_map(&log->config, arena);
}

struct metadata_container *metadata_container(const struct metadata_view *view, struct str name, struct arena *arena)
{
	struct subject subject;

	for (size_t i = 0; i < view->task->containers.count; i++)
		if (str_equal(view->task->containers.items[i].name, name) && find_subject(view, i, arena, &subject)) {
			struct metadata_container *made = arena_new(arena, struct metadata_container);

			describe(&subject, arena, made);
			return made;
		}
	return NULL;
}

/* ---- A task */

static struct metadata_task_limits *task_limits(const struct acs_task *task, struct arena *arena)
{
	struct metadata_task_limits *limits;

	if (!task->cpu.has && !task->memory.has)
		return NULL;
	limits = arena_new(arena, struct metadata_task_limits);
	limits->cpu = task->cpu;
	limits->memory = (struct maybe_long){task->memory.value, task->memory.has};
	return limits;
}

struct metadata_task *metadata_task(const struct metadata_view *view, struct arena *arena)
{
	const struct agent_task *record = view->task;
	const struct acs_task *task = record->task;
	struct metadata_task *made = arena_new(arena, struct metadata_task);
	struct subject subject;

	*made = (struct metadata_task){
		.cluster = view->cluster, .task_arn = task->arn, .family = task->family, .revision = task->version,
		.desired_status = desired_text(record->desired), .known_status = status_text(record->known),
		.limits = task_limits(task, arena), .pull_started_at = record->pull_started_at,
		.pull_stopped_at = record->pull_stopped_at, .execution_stopped_at = record->execution_stopped_at,
		.launch_type = view->version >= 3 ? task->launch_type : STR_NONE,
		.containers.items = arena_array(arena, struct metadata_container, record->containers.count),
	};
	for (size_t i = 0; i < record->containers.count; i++)
		if (find_subject(view, i, arena, &subject))
			describe(&subject, arena, &made->containers.items[made->containers.count++]);
	if (view->version < 4)
		return made;
	made->service_name = task->service_name;
	made->group = task->group;
	made->fault_injection_enabled = (struct maybe_boolean){task->enable_fault_injection.value, true};
	return made;
}

struct metadata_seen_task metadata_seen_task(const struct metadata_view *view, struct arena *arena)
{
	const struct metadata_task *task = metadata_task(view, arena);
	struct metadata_seen_task seen = {
		.arn = task->task_arn, .desired_status = task->desired_status, .known_status = task->known_status,
		.family = task->family, .version = task->revision,
		.containers = {arena_array(arena, struct metadata_seen_container, task->containers.count), task->containers.count},
	};

	for (size_t i = 0; i < task->containers.count; i++) {
		const struct metadata_container *from = &task->containers.items[i];

		seen.containers.items[i] = (struct metadata_seen_container){
			.docker_id = from->docker_id, .docker_name = from->docker_name, .name = from->name, .image = from->image,
			.image_id = from->image_id, .created_at = from->created_at, .started_at = from->started_at,
			.ports = from->ports, .networks = from->networks, .volumes = from->volumes,
			.restart_count = from->restart_count,
		};
	}
	return seen;
}
