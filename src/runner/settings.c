#include "runner/settings.h"
#include <errno.h>
#include <stdlib.h>
#include <sys/sysinfo.h>
#include <sys/utsname.h>
#include "api/docker.h"
#include "host/cgroup.h"
#include "host/gpu.h"
#include "os/file.h"
#include "wire/base64.h"
#include "wire/json.h"

/* The file's lines, newest wins: KEY=VALUE, # comments, quotes around a value as a shell would take them off. */
struct source {
	struct arena *arena;
	struct str text;
};

static struct str unquoted(struct str value)
{
	char c = value.len ? value.ptr[0] : 0;

	if (value.len >= 2 && (c == '"' || c == '\'') && value.ptr[value.len - 1] == c)
		return str_slice(value, 1, value.len - 1);
	return value;
}

static struct str value_of(const struct source *source, const char *name)
{
	struct str rest = source->text, line, key, found = STR_NONE;
	const char *set = getenv(name);

	if (set && *set)
		return str_of(set);
	while (str_cut(&rest, '\n', &line)) {
		struct str value = str_trim(line);

		if (str_starts(value, S("#")) || !str_cut(&value, '=', &key) || !str_has(value))
			continue;
		if (str_equal(str_trim(key), str_of(name)))
			found = unquoted(str_trim(value));
	}
	return str_empty(found) ? STR_NONE : found;
}

static bool bad(struct error *err, const char *name, struct str value, const char *wanted)
{
	return fail(err, ERROR_INVALID_PARAMETER, "%s is '%.*s', which is not %s", name, STR(value), wanted);
}

/* ---- One function a type; absent leaves the default. */

static bool read_boolean(const struct source *source, const char *name, bool *value, struct error *err)
{
	struct str text = value_of(source, name);

	if (!str_has(text))
		return true;
	*value = str_equal_ignoring_case(text, S("true")) || str_equal(text, S("1"));
	if (!*value && !str_equal_ignoring_case(text, S("false")) && !str_equal(text, S("0")))
		return bad(err, name, text, "true or false");
	return true;
}

static bool read_number(const struct source *source, const char *name, int64_t *value, struct error *err)
{
	struct str text = value_of(source, name);

	return !str_has(text) || str_to_long(text, value) || bad(err, name, text, "a number");
}

static bool take_unit(struct str *text, usec *ret_unit)
{
	static const struct { struct str word; usec unit; } units[] = {
		{ STR_INIT("ms"), USEC_PER_MSEC }, { STR_INIT("us"), 1 }, { STR_INIT("h"), 3600 * USEC_PER_SEC },
		{ STR_INIT("m"), 60 * USEC_PER_SEC }, { STR_INIT("s"), USEC_PER_SEC },
	};

	for (size_t i = 0; i < COUNT(units); i++) {
		if (!str_starts(*text, units[i].word))
			continue;
		*text = str_slice(*text, units[i].word.len, text->len);
		*ret_unit = units[i].unit;
		return true;
	}
	return false;
}

bool settings_duration(struct str text, usec *ret_span)
{
	usec span = 0, unit;

	if (str_empty(text) || text.len > 32)
		return false;
	while (text.len) {
		size_t digits = 0;
		int64_t number;

		while (digits < text.len && text.ptr[digits] >= '0' && text.ptr[digits] <= '9')
			digits++;
		if (digits == 0 || digits > 9 || !str_to_long(str_slice(text, 0, digits), &number))
			return false;
		text = str_slice(text, digits, text.len);
		if (!take_unit(&text, &unit))
			return false;
		span += number * unit;
	}
	*ret_span = span;
	return true;
}

static bool read_duration(const struct source *source, const char *name, usec least, usec *value, struct error *err)
{
	struct str text = value_of(source, name);
	usec span;

	if (!str_has(text))
		return true;
	if (!settings_duration(text, &span))
		return bad(err, name, text, "a duration like 30s or 3h");
	*value = MAX(span, least);
	return true;
}

static bool read_ports(const struct source *source, const char *name, struct ecs_string_list *ports, struct error *err)
{
	struct str text = value_of(source, name);
	struct acs_integers numbers = {0};
	struct json_fault fault;

	if (!str_has(text))
		return true;
	if (!json_decode_value(&shape_acs_integers, text, source->arena, &numbers, &fault))
		return bad(err, name, text, "a JSON list of ports");
	ports->items = arena_array(source->arena, struct str, numbers.count);
	ports->count = numbers.count;
	for (size_t i = 0; i < numbers.count; i++)
		ports->items[i] = arena_printf(source->arena, "%d", numbers.items[i].value);
	return true;
}

static bool read_map(const struct source *source, const char *name, struct acs_string_map *map, struct error *err)
{
	struct str text = value_of(source, name);
	struct json_fault fault;

	if (!str_has(text))
		return true;
	if (!json_decode_value(&shape_acs_string_map, text, source->arena, map, &fault))
		return bad(err, name, text, "a JSON object of strings");
	return map->count <= SETTINGS_ENTRIES_LIMIT || bad(err, name, text, "that small");
}

/* ---- What this agent can do (agent-protocol 1.5): a row a capability, none that is not true. */

static const struct str capabilities[] = {
	STR_INIT("com.amazonaws.ecs.capability.docker-remote-api.1.17"),
	STR_INIT("com.amazonaws.ecs.capability.docker-remote-api.1.18"),
	STR_INIT("com.amazonaws.ecs.capability.docker-remote-api.1.19"),
	STR_INIT("com.amazonaws.ecs.capability.docker-remote-api.1.20"),
	STR_INIT("com.amazonaws.ecs.capability.docker-remote-api.1.21"),
	STR_INIT("com.amazonaws.ecs.capability.docker-remote-api.1.22"),
	STR_INIT("com.amazonaws.ecs.capability.docker-remote-api.1.23"),
	STR_INIT("com.amazonaws.ecs.capability.docker-remote-api.1.24"),
	STR_INIT("com.amazonaws.ecs.capability.docker-remote-api.1.25"),
	STR_INIT("com.amazonaws.ecs.capability.docker-remote-api.1.28"),
	STR_INIT("com.amazonaws.ecs.capability.docker-remote-api.1.29"),
	STR_INIT("com.amazonaws.ecs.capability.docker-remote-api.1.30"),
	STR_INIT("com.amazonaws.ecs.capability.docker-remote-api.1.32"),
	STR_INIT("com.amazonaws.ecs.capability.logging-driver.awslogs"),
	STR_INIT("com.amazonaws.ecs.capability.logging-driver.json-file"),
	STR_INIT("com.amazonaws.ecs.capability.logging-driver.none"),
	STR_INIT("com.amazonaws.ecs.capability.task-iam-role"),
	STR_INIT("com.amazonaws.ecs.capability.task-iam-role-network-host"),
	STR_INIT("ecs.capability.container-health-check"),
	STR_INIT("ecs.capability.container-ordering"),
	STR_INIT("ecs.capability.container-restart-policy"),
	STR_INIT("ecs.capability.docker-plugin.local"),
	STR_INIT("ecs.capability.efs"),
	STR_INIT("ecs.capability.efsAuth"),
	STR_INIT("ecs.capability.env-files.s3"),
	STR_INIT("ecs.capability.execution-role-awslogs"),
	STR_INIT("ecs.capability.full-sync"),
	STR_INIT("ecs.capability.network.container-port-range"),
	STR_INIT("ecs.capability.pid-ipc-namespace-sharing"),
};

static struct str architecture(void)
{
	static const struct { const char *machine; struct str name; } names[] = {
		{ "x86_64", STR_INIT("x86_64") }, { "aarch64", STR_INIT("arm64") }, { "i686", STR_INIT("i386") },
	};
	struct utsname machine;

	if (uname(&machine) == 0)
		for (size_t i = 0; i < COUNT(names); i++)
			if (strcmp(machine.machine, names[i].machine) == 0)
				return names[i].name;
	return STR_NONE;
}

static void add_attribute(struct ecs_attributes *list, struct str name, struct str value)
{
	list->items[list->count++] = (struct ecs_attribute){.name = name, .value = value};
}

/* The server's names for what gives a machine to the pool of Fargate tasks. */
static bool read_fargate(const struct source *source, struct settings *settings, struct error *err)
{
	struct str word = value_of(source, "WHERRY_FARGATE");

	if (str_empty(word))
		return true;
	if (!str_equal(word, S("only")) && !str_equal(word, S("also")))
		return bad(err, "WHERRY_FARGATE", word, "\"only\" or \"also\"");
	if (settings->agent.external)
		return fail(err, ERROR_INVALID_PARAMETER, "an external instance cannot hold Fargate tasks");
	if (str_equal(word, S("only")))
		settings->agent.cluster = S("wherry-fargate");
	add_attribute(&settings->attributes, S("wherry.fargate"), STR_NONE);
	return true;
}

static bool describe_host(const struct source *source, struct settings *settings, struct error *err)
{
	struct ecs_attributes *list = &settings->attributes;
	bool unprivileged = false, limits = true;

	if (!read_boolean(source, "ECS_DISABLE_PRIVILEGED", &unprivileged, err) ||
	    !read_boolean(source, "ECS_ENABLE_TASK_CPU_MEM_LIMIT", &limits, err))
		return false;
	list->items = arena_array(source->arena, struct ecs_attribute, COUNT(capabilities) + 12);
	for (size_t i = 0; i < COUNT(capabilities); i++)
		add_attribute(list, capabilities[i], STR_NONE);
	if (!unprivileged)
		add_attribute(list, S("com.amazonaws.ecs.capability.privileged-container"), STR_NONE);
	if (limits && cgroup_mode() != CGROUP_NONE) {
		add_attribute(list, S("ecs.capability.task-cpu-mem-limit"), STR_NONE);
		add_attribute(list, S("ecs.capability.increased-task-cpu-limit"), STR_NONE);
	}
	add_attribute(list, settings->agent.external ? S("ecs.capability.external") : S("ecs.capability.task-eni"),
		      STR_NONE);
	add_attribute(list, S("ecs.os-type"), S("linux"));
	add_attribute(list, S("ecs.os-family"), S("LINUX"));
	if (str_has(architecture()))
		add_attribute(list, S("ecs.cpu-architecture"), architecture());
	return true;
}

static bool read_resources(const struct source *source, struct settings *settings, struct error *err)
{
	struct sysinfo host;
	int64_t reserved = 0;

	if (!read_number(source, "ECS_RESERVED_MEMORY", &reserved, err))
		return false;
	if (sysinfo(&host) != 0)
		return fail_os(err, errno, "read this machine's memory");
	settings->agent.cpu_units = get_nprocs() * 1024;
	settings->agent.memory_mib = (int64_t)((uint64_t)host.totalram * host.mem_unit >> 20) - reserved;
	if (settings->agent.memory_mib <= 0)
		return fail(err, ERROR_INVALID_PARAMETER, "ECS_RESERVED_MEMORY leaves nothing for tasks");
	return true;
}

/* ECS_ENABLE_GPU_SUPPORT: without a word, a machine that has devices offers them; "false" keeps them for others. */
static bool read_gpus(const struct source *source, struct settings *settings, struct error *err)
{
	struct ecs_string_list *gpus = &settings->agent.gpus;
	struct str version;
	bool wanted = true;

	if (!read_boolean(source, "ECS_ENABLE_GPU_SUPPORT", &wanted, err))
		return false;
	if (!wanted)
		return true;
	gpus->items = arena_array(source->arena, struct str, GPU_DEVICES_LIMIT);
	gpu_list("", source->arena, gpus->items, &gpus->count);
	version = gpu_driver_version("", source->arena);
	if (gpus->count && str_has(version))
		add_attribute(&settings->attributes, ARENA_JOIN(source->arena, S("ecs.capability.nvidia-driver-version."), version),
			      STR_NONE);
	return true;
}

static bool read_user_maps(const struct source *source, struct settings *settings, struct error *err)
{
	struct acs_string_map attributes = {0}, tags = {0};

	if (!read_map(source, "ECS_INSTANCE_ATTRIBUTES", &attributes, err) ||
	    !read_map(source, "ECS_CONTAINER_INSTANCE_TAGS", &tags, err))
		return false;
	settings->user_attributes.items = arena_array(source->arena, struct ecs_attribute, attributes.count);
	for (size_t i = 0; i < attributes.count; i++)
		add_attribute(&settings->user_attributes, attributes.items[i].key, attributes.items[i].value);
	settings->tags.items = arena_array(source->arena, struct ecs_tag, tags.count);
	settings->tags.count = tags.count;
	for (size_t i = 0; i < tags.count; i++)
		settings->tags.items[i] = (struct ecs_tag){.key = tags.items[i].key, .value = tags.items[i].value};
	settings->agent.user_attributes = &settings->user_attributes;
	settings->agent.tags = tags.count ? &settings->tags : NULL;
	return true;
}

/* "32768-60999", or the kernel's own range, tab-separated. */
static bool parse_range(struct str text, char separator, struct settings *settings)
{
	struct str low;
	int64_t first, last;

	if (!str_cut(&text, separator, &low) || !str_has(text) || !str_to_long(str_trim(low), &first) ||
	    !str_to_long(str_trim(text), &last) || first < 1 || last > 65535 || first > last)
		return false;
	settings->port_low = (uint16_t)first;
	settings->port_high = (uint16_t)last;
	return true;
}

static bool read_port_range(const struct source *source, struct settings *settings, struct error *err)
{
	struct str text = value_of(source, "ECS_DYNAMIC_HOST_PORT_RANGE"), kernel;

	settings->port_low = 32768;
	settings->port_high = 60999;
	if (str_has(text))
		return parse_range(text, '-', settings) ||
		       bad(err, "ECS_DYNAMIC_HOST_PORT_RANGE", text, "a range like 32768-60999");
	if (file_read(AT_FDCWD, "/proc/sys/net/ipv4/ip_local_port_range", 64, source->arena, &kernel, NULL))
		parse_range(str_trim(kernel), '\t', settings);
	return true;
}

static struct str with_scheme(struct str host, struct arena *arena)
{
	if (!str_has(host) || str_contains(host, S("://")))
		return host;
	return arena_printf(arena, "https://%.*s", STR(host));
}

static bool read_pull_behavior(const struct source *source, struct settings *settings, struct error *err)
{
	static const struct str words[] = {
		STR_INIT("default"), STR_INIT("always"), STR_INIT("once"), STR_INIT("prefer-cached"),
	};
	struct str text = value_of(source, "ECS_IMAGE_PULL_BEHAVIOR");

	settings->pull_behavior = str_has(text) ? text : S("default");
	for (size_t i = 0; i < COUNT(words); i++)
		if (str_equal(words[i], settings->pull_behavior))
			return true;
	return bad(err, "ECS_IMAGE_PULL_BEHAVIOR", text, "default, always, once or prefer-cached");
}

/* ---- Registry logins: errors name the variable and the registry, never what is set, for it holds passwords. */

static bool decode_login(struct str auth, struct arena *arena, struct image_login *ret_login)
{
	struct image_login login;

	if (!base64_decode(auth, arena, &login.password) || !str_cut(&login.password, ':', &login.username) ||
	    !str_has(login.password))
		return false;
	*ret_login = login;
	return true;
}

static bool read_login(struct str place, const struct docker_registry_login *entry, bool encoded, struct arena *arena,
		       struct image_registry_login *ret_login, struct error *err)
{
	struct image_registry_login login = {.login = {entry->username, entry->password}};
	int shown = (int)MIN(place.len, 100);

	if (!image_registry_parse(place, &login.registry))
		return fail(err, ERROR_INVALID_PARAMETER, "ECS_ENGINE_AUTH_DATA: '%.*s' is not a registry", shown, place.ptr);
	if (encoded && !decode_login(entry->auth, arena, &login.login))
		return fail(err, ERROR_INVALID_PARAMETER, "ECS_ENGINE_AUTH_DATA: auth of '%.*s' is not the base64 of "
			    "username:password", shown, place.ptr);
	if (str_empty(login.login.username) || !str_has(login.login.password))
		return fail(err, ERROR_INVALID_PARAMETER, "ECS_ENGINE_AUTH_DATA: '%.*s' has no username and password",
			    shown, place.ptr);
	*ret_login = login;
	return true;
}

static bool decode_logins(struct str data, bool encoded, struct arena *arena, struct image_logins *logins,
			  struct error *err)
{
	struct docker_registry_logins entries = {0};
	struct json_fault fault;

	if (!json_decode_value(&shape_docker_registry_logins, data, arena, &entries, &fault) ||
	    entries.count > SETTINGS_ENTRIES_LIMIT)
		return fail(err, ERROR_INVALID_PARAMETER, "ECS_ENGINE_AUTH_DATA is not a JSON object of at most %d "
			    "registries and their logins", SETTINGS_ENTRIES_LIMIT);
	logins->items = arena_array(arena, struct image_registry_login, entries.count);
	for (size_t i = 0; i < entries.count; i++)
		if (!read_login(entries.items[i].key, &entries.items[i].value, encoded, arena, &logins->items[i], err))
			return false;
	logins->count = entries.count;
	return true;
}

static bool read_logins(const struct source *source, struct settings *settings, struct error *err)
{
	struct str type = value_of(source, "ECS_ENGINE_AUTH_TYPE"), data = value_of(source, "ECS_ENGINE_AUTH_DATA");
	bool encoded = str_equal(type, S("dockercfg"));

	if (str_has(type) && !encoded && !str_equal(type, S("docker")))
		return bad(err, "ECS_ENGINE_AUTH_TYPE", type, "dockercfg or docker");
	if (str_has(data) && !str_has(type))
		return fail(err, ERROR_INVALID_PARAMETER, "ECS_ENGINE_AUTH_TYPE is not set, but ECS_ENGINE_AUTH_DATA is");
	return !str_has(data) || decode_logins(data, encoded, source->arena, &settings->logins, err);
}

static struct str reserved_default[] = {
	STR_INIT("22"), STR_INIT("2375"), STR_INIT("2376"), STR_INIT("51678"), STR_INIT("51679"),
};

bool settings_read(const char *file, struct arena *arena, struct settings *ret_settings, struct error *err)
{
	struct settings *settings = ret_settings;
	struct source source = {.arena = arena};
	struct error missing;

	if (!file_read(AT_FDCWD, file, SETTINGS_FILE_LIMIT, arena, &source.text, &missing)) {
		if (missing.code != ERROR_NOT_FOUND) {
			*err = missing;
			return false;
		}
		source.text = S("");
	}
	*settings = (struct settings){
		.backend_host = with_scheme(value_of(&source, "ECS_BACKEND_HOST"), arena),
		.region = value_of(&source, "AWS_DEFAULT_REGION"),
		.agent = {.cluster = value_of(&source, "ECS_CLUSTER"), .version = S(WHERRY_VERSION),
			  .reserved_tcp = {reserved_default, COUNT(reserved_default)},
			  .stop_timeout = 30 * USEC_PER_SEC, .cleanup_wait = 3 * 3600 * USEC_PER_SEC},
	};
	settings->introspection_port = 51678;
	settings->agent.attributes = &settings->attributes;
	return read_number(&source, "WHERRY_INTROSPECTION_PORT", &settings->introspection_port, err) &&
	       read_boolean(&source, "ECS_EXTERNAL", &settings->agent.external, err) &&
	       read_boolean(&source, "ECS_DISABLE_METRICS", &settings->disable_metrics, err) &&
	       read_boolean(&source, "ECS_DISABLE_DOCKER_HEALTH_CHECK", &settings->disable_health, err) &&
	       read_ports(&source, "ECS_RESERVED_PORTS", &settings->agent.reserved_tcp, err) &&
	       read_ports(&source, "ECS_RESERVED_PORTS_UDP", &settings->agent.reserved_udp, err) &&
	       read_duration(&source, "ECS_CONTAINER_STOP_TIMEOUT", USEC_PER_SEC, &settings->agent.stop_timeout, err) &&
	       read_duration(&source, "ECS_ENGINE_TASK_CLEANUP_WAIT_DURATION", USEC_PER_SEC,
			     &settings->agent.cleanup_wait, err) &&
	       read_resources(&source, settings, err) && read_user_maps(&source, settings, err) &&
	       read_port_range(&source, settings, err) && read_pull_behavior(&source, settings, err) &&
	       read_logins(&source, settings, err) && describe_host(&source, settings, err) &&
	       read_gpus(&source, settings, err) &&
	       read_fargate(&source, settings, err);
}
