/* What is answered at which path (agent-protocol 7.2 to 7.5). */
#include <stdlib.h>
#include "api/ecs.h"
#include "host/stats.h"
#include "runner/local_private.h"
#include "runner/metadata.h"
#include "wire/json.h"

enum { PIECES = 8, EXPIRES_LIMIT = 1 << 20 };

#define JSON S("application/json")

/* A request that waits for the server, with all that its answer is made of. */
struct asked {
	struct local *local;
	struct endpoint_call *call;
	struct arena arena;
	struct str arn;                                  /* the task's */
	struct metadata_task *task;                      /* tags */
	unsigned missing;                                /* answers that are to come */
};

/* ---- Answers */

static void answer_text(struct local_request *request, int status, struct str text)
{
	endpoint_answer(request->call, status, JSON, text);
}

static void answer_value(struct endpoint_call *call, int status, const struct shape *shape, const void *value)
{
	auto_buffer text = {0};

	json_encode(shape, value, &text);
	endpoint_answer(call, status, JSON, buffer_str(&text));
}

static void answer(struct local_request *request, int status, const struct shape *shape, const void *value)
{
	answer_value(request->call, status, shape, value);
}

/* Errors of v2 to v4 are a JSON string. */
static void answer_words(struct local_request *request, int status, struct str words)
{
	auto_buffer text = {0};

	json_encode_text(words, &text);
	answer_text(request, status, buffer_str(&text));
}

static void answer_nothing(struct local_request *request)
{
	endpoint_answer(request->call, 404, S("text/plain; charset=utf-8"), S("404 page not found\n"));
}

/* ---- Metadata */

static struct metadata_view view_of(struct local_request *request, const struct visitor *visitor, int version)
{
	const struct local_options *options = local_options(request->local);

	return (struct metadata_view){
		.task_id = visitor->task_id, .task = visitor->task, .cluster = agent_cluster(options->agent),
		.volumes = arena_printf(&request->arena, "%.*s/tasks/%.*s/volumes", STR(options->data), STR(visitor->task_id)),
		.version = version, .addresses = local_addresses, .is_here = local_is_here, .arg = request->local,
	};
}

static void answer_container(struct local_request *request, const struct metadata_view *view, struct str name)
{
	const struct metadata_container *container = metadata_container(view, name, &request->arena);

	if (container)
		answer(request, 200, &shape_metadata_container, container);
	else
		answer_words(request, 500, arena_printf(&request->arena, "V%d container metadata handler: unable to generate "
							"metadata for container '%.*s'", view->version, STR(name)));
}

static struct metadata_stats *stats_of(struct local_request *request, const struct metadata_view *view, struct str name)
{
	struct metadata_stats *stats =
		stats_describe(local_options(request->local)->stats, view->task_id, name, &request->arena);

	if (!stats)
		return NULL;
	stats->id = hands_runtime_id(view->task_id, name, &request->arena);
	stats->name = arena_printf(&request->arena, "/%.*s", STR(metadata_docker_name(view, name, &request->arena)));
	if (view->version < 4)
		stats->network_rate_stats = NULL;
	return stats;
}

static void answer_stats(struct local_request *request, const struct metadata_view *view, struct str name)
{
	const struct metadata_stats *stats = stats_of(request, view, name);

	if (stats)
		answer(request, 200, &shape_metadata_stats, stats);
	else
		answer_words(request, 500, arena_printf(&request->arena, "V%d container stats handler: unable to get container "
							"stats for '%.*s'", view->version, STR(name)));
}

/* A map from docker id to stats, null of what does not run; a map of maybes is not in the descriptors' language. */
static void answer_task_stats(struct local_request *request, const struct metadata_view *view)
{
	auto_buffer text = {0};

	buffer_add_char(&text, '{');
	for (size_t i = 0; i < view->task->containers.count; i++) {
		struct str name = view->task->containers.items[i].name;
		const struct metadata_stats *stats = stats_of(request, view, name);

		buffer_printf(&text, "%s\"%.*s\":", i ? "," : "", STR(hands_runtime_id(view->task_id, name, &request->arena)));
		if (stats)
			json_encode(&shape_metadata_stats, stats, &text);
		else
			buffer_add(&text, S("null"));
	}
	buffer_add_char(&text, '}');
	answer_text(request, 200, buffer_str(&text));
}

/* ---- Tags: what the server says of the task and of its instance */

static struct asked *ask(struct local_request *request, const struct visitor *visitor)
{
	struct asked *asked = calloc(1, sizeof(*asked));

	if (!asked)
		abort();
	asked->local = request->local;
	asked->call = request->call;
	asked->arn = arena_copy(&asked->arena, visitor->task->task->arn);
	return asked;
}

static void asked_free(struct asked *asked)
{
	arena_fini(&asked->arena);
	free(asked);
}

static void make_call(struct asked *asked, enum ecs_operation operation, const void *input,
		      void (*done)(void *, uint64_t, const void *, const struct error *), uint64_t ticket)
{
	asked->missing++;
	calls_make(local_options(asked->local)->calls, &api_ecs.operations[operation], input, done, asked, ticket);
}

enum { TAGS_OF_TASK, TAGS_OF_INSTANCE };

static void add_tag_error(struct asked *asked, uint64_t which, const struct error *err)
{
	struct metadata_tag_errors *errors = &asked->task->errors;
	bool of_task = which == TAGS_OF_TASK;

	if (!errors->items)
		errors->items = arena_array(&asked->arena, struct metadata_tag_error, 2);
	errors->items[errors->count++] = (struct metadata_tag_error){
		.error_field = of_task ? S("TaskTags") : S("ContainerInstanceTags"),
		.error_code = error_wire_name(err->code), .error_message = arena_copy(&asked->arena, str_of(err->text)),
		.status_code = {error_http_status(err->code), true},
		.resource_arn = of_task ? asked->arn
			: arena_copy(&asked->arena, agent_instance_arn(local_options(asked->local)->agent)),
	};
}

static struct metadata_string_map copy_tags(const struct ecs_tags *tags, struct arena *arena)
{
	struct metadata_string_map map = {0};

	if (tags->count)
		map.items = arena_array(arena, struct metadata_string_map_entry, tags->count);
	for (size_t i = 0; i < tags->count; i++)
		map.items[map.count++] = (struct metadata_string_map_entry){arena_copy(arena, tags->items[i].key),
									    arena_copy(arena, tags->items[i].value)};
	return map;
}

static void tags_told(void *arg, uint64_t which, const void *output, const struct error *err)
{
	struct asked *asked = arg;
	const struct ecs_list_tags_for_resource_response *told = output;

	if (!told)
		add_tag_error(asked, which, err);
	else if (which == TAGS_OF_TASK)
		asked->task->task_tags = copy_tags(&told->tags, &asked->arena);
	else
		asked->task->container_instance_tags = copy_tags(&told->tags, &asked->arena);
	if (--asked->missing)
		return;
	answer_value(asked->call, 200, &shape_metadata_task, asked->task);
	asked_free(asked);
}

static void answer_with_tags(struct local_request *request, const struct visitor *visitor,
			     const struct metadata_view *view)
{
	struct asked *asked = ask(request, visitor);
	struct ecs_list_tags_for_resource_request input = {.resource_arn = asked->arn};

	/* The record may change before the tags are there. */
	asked->task = shape_copy(&shape_metadata_task, metadata_task(view, &request->arena), &asked->arena);
	make_call(asked, ECS_OPERATION_LIST_TAGS_FOR_RESOURCE, &input, tags_told, TAGS_OF_TASK);
	input.resource_arn = agent_instance_arn(local_options(request->local)->agent);
	make_call(asked, ECS_OPERATION_LIST_TAGS_FOR_RESOURCE, &input, tags_told, TAGS_OF_INSTANCE);
}

/* ---- Associations */

static bool is_associated(const struct acs_association *association, struct str type, struct str container)
{
	if (!str_equal(association->type, type))
		return false;
	for (size_t i = 0; i < association->containers.count; i++)
		if (str_equal(association->containers.items[i], container))
			return true;
	return false;
}

static void answer_associations(struct local_request *request, const struct visitor *visitor, struct str type,
				struct str name)
{
	const struct acs_associations *all = &visitor->task->task->associations;
	struct metadata_associations found = {.associations.items = arena_array(&request->arena, struct str, all->count)};

	for (size_t i = 0; i < all->count; i++) {
		const struct acs_association *one = &all->items[i];

		if (!is_associated(one, type, visitor->container))
			continue;
		if (!str_empty(name) && str_equal(one->name, name)) {
			answer_text(request, 200, one->content ? one->content->value : S(""));
			return;
		}
		found.associations.items[found.associations.count++] = one->name;
	}
	if (str_empty(name))
		answer(request, 200, &shape_metadata_associations, &found);
	else
		answer_words(request, 404, S("V4 association handler: unable to get association content"));
}

/* ---- Routes of a version */

static void answer_metadata(struct local_request *request, const struct visitor *visitor, int version,
			    const struct str *rest, size_t count)
{
	struct metadata_view view = view_of(request, visitor, version);
	struct str first = count > 0 ? rest[0] : S(""), second = count > 1 ? rest[1] : S("");

	if (str_empty(first))
		answer_container(request, &view, visitor->container);
	else if (str_equal(first, S("task")) && str_empty(second))
		answer(request, 200, &shape_metadata_task, metadata_task(&view, &request->arena));
	else if (str_equal(first, S("taskWithTags")) && str_empty(second))
		answer_with_tags(request, visitor, &view);
	else if (str_equal(first, S("stats")) && str_empty(second))
		answer_stats(request, &view, visitor->container);
	else if (str_equal(first, S("task")) && str_equal(second, S("stats")))
		answer_task_stats(request, &view);
	else if (str_equal(first, S("associations")) && !str_empty(second))
		answer_associations(request, visitor, second, count > 2 ? rest[2] : S(""));
	else
		answer_nothing(request);
}

static void route_version(struct local_request *request, int version, const struct str *rest, size_t count)
{
	struct visitor visitor;

	if (count == 0 || str_empty(rest[0])) {
		answer_nothing(request);
		return;
	}
	if (local_visitor(request->local, request->place, rest[0], &request->arena, &visitor))
		answer_metadata(request, &visitor, version, rest + 1, count - 1);
	else
		answer_words(request, 404, arena_printf(&request->arena, "V%d container metadata handler: unable to get container "
			"ID from request: unable to get docker ID from v3 endpoint ID: %.*s", version, STR(rest[0])));
}

static struct str container_of(struct local_request *request, const struct visitor *visitor, struct str docker_id)
{
	for (size_t i = 0; i < visitor->task->containers.count; i++) {
		struct str name = visitor->task->containers.items[i].name;

		if (str_equal(hands_runtime_id(visitor->task_id, name, &request->arena), docker_id))
			return name;
	}
	return STR_NONE;
}

/* v2 knows its caller by the network it comes from, which has to be a task's own. */
static void route_v2(struct local_request *request, const struct str *rest, size_t count)
{
	struct str what = rest[0], id = count > 1 ? rest[1] : S(""), name;
	struct visitor visitor;
	struct metadata_view view;

	if (!local_place_task(request->local, request->place, &request->arena, &visitor)) {
		answer_words(request, 404, S("V2 task metadata handler: unable to get task arn from request: unable to "
					     "associate the caller's address with a task"));
		return;
	}
	view = view_of(request, &visitor, 2);
	name = str_empty(id) ? STR_NONE : container_of(request, &visitor, id);
	if (!str_empty(id) && !str_has(name))
		answer_words(request, 404, S("V2 container metadata handler: unable to find the container"));
	else if (str_equal(what, S("metadataWithTags")) && str_empty(id))
		answer_with_tags(request, &visitor, &view);
	else if (str_equal(what, S("metadata")) && str_empty(id))
		answer(request, 200, &shape_metadata_task, metadata_task(&view, &request->arena));
	else if (str_equal(what, S("metadata")))
		answer_container(request, &view, name);
	else if (str_equal(what, S("stats")) && str_empty(id))
		answer_task_stats(request, &view);
	else if (str_equal(what, S("stats")))
		answer_stats(request, &view, name);
	else
		answer_nothing(request);
}

/* ---- Credentials (7.3) */

static void refuse_credentials(struct local_request *request, int status, struct str code, struct str message)
{
	const struct metadata_credentials_error error = {
		.code = code, .message = message, .http_error_code = {status, true}};

	answer(request, status, &shape_metadata_credentials_error, &error);
}

static bool is_role_of(const struct agent_task *task, struct str id)
{
	const struct acs_iam_role_credentials *role = task->task->role_credentials;

	return role && str_equal(role->credentials_id, id);
}

/* Whether whoever comes through this place may have them: the application role of a task that is there. */
static bool may_have(struct local_request *request, struct str id)
{
	const struct agent *agent = local_options(request->local)->agent;
	struct visitor visitor;
	struct str task_id;

	if (local_place_task(request->local, request->place, &request->arena, &visitor))
		return is_role_of(visitor.task, id);
	for (size_t i = 0; str_equal(request->place, HOST_PLACE) && i < agent_task_count(agent); i++) {
		const struct agent_task *task = agent_task_at(agent, i, &task_id);

		if (str_equal(task->task->network_mode, S("host")) && is_role_of(task, id))
			return true;
	}
	return false;
}

static void answer_credentials(struct local_request *request, struct str id)
{
	const struct acs_iam_role_credentials *role;
	struct metadata_credentials credentials;

	if (str_empty(id)) {
		refuse_credentials(request, 400, S("NoIdInRequest"), S("CredentialsV2Request: No Credential ID in the request"));
		return;
	}
	if (!may_have(request, id)) {
		refuse_credentials(request, 400, S("InvalidIdInRequest"), S("CredentialsV2Request: Credentials not found"));
		return;
	}
	role = agent_credentials(local_options(request->local)->agent, id);
	if (!role || str_empty(role->access_key_id)) {
		refuse_credentials(request, 503, S("CredentialsUninitialized"), S("CredentialsV2Request: Credentials uninitialized for ID"));
		return;
	}
	credentials = (struct metadata_credentials){.role_arn = role->role_arn, .access_key_id = role->access_key_id,
		.secret_access_key = role->secret_access_key, .token = role->session_token, .expiration = role->expiration};
	answer(request, 200, &shape_metadata_credentials, &credentials);
}

/* ---- Task protection (7.4) */

static void refuse_protection(struct endpoint_call *call, int status, struct str arn, struct str code, struct str message)
{
	struct metadata_protection_error error = {.arn = arn, .code = code, .message = message};
	const struct metadata_protection_response reply = {.error = &error};

	answer_value(call, status, &shape_metadata_protection_response, &reply);
}

static void answer_protection(struct asked *asked, const struct ecs_protected_tasks *tasks,
			      const struct ecs_failures *failures)
{
	struct metadata_protection protection = {0};
	struct metadata_protection_failure failure = {0};
	struct metadata_protection_response reply = {0};

	if (failures->count) {
		failure = (struct metadata_protection_failure){failures->items[0].arn, failures->items[0].reason,
							       failures->items[0].detail, {0}};
		reply.failure = &failure;
	} else if (tasks->count) {
		protection = (struct metadata_protection){.protection_enabled = {tasks->items[0].protection_enabled.value, true},
			.expiration_date = tasks->items[0].expiration_date, .task_arn = tasks->items[0].task_arn};
		reply.protection = &protection;
	}
	answer_value(asked->call, 200, &shape_metadata_protection_response, &reply);
}

enum { PROTECTION_READ, PROTECTION_WRITTEN };

static void protection_told(void *arg, uint64_t which, const void *output, const struct error *err)
{
	struct asked *asked = arg;
	const struct ecs_get_task_protection_response *read = output;
	const struct ecs_update_task_protection_response *written = output;

	if (!output && err->code == ERROR_NETWORK)
		refuse_protection(asked->call, 504, asked->arn, S("RequestCanceled"),
				  S("Timed out calling ECS Task Protection API"));
	else if (!output)
		refuse_protection(asked->call, error_http_status(err->code), asked->arn, error_wire_name(err->code),
				  str_of(err->text));
	else if (which == PROTECTION_READ)
		answer_protection(asked, &read->protected_tasks, &read->failures);
	else
		answer_protection(asked, &written->protected_tasks, &written->failures);
	asked_free(asked);
}

static struct str cluster_of(struct local_request *request, const struct visitor *visitor)
{
	struct str own = visitor->task->task->task_cluster_arn;

	return str_empty(own) ? agent_cluster(local_options(request->local)->agent) : own;
}

static void read_protection(struct local_request *request, const struct visitor *visitor)
{
	struct asked *asked = ask(request, visitor);
	struct ecs_get_task_protection_request input = {.cluster = cluster_of(request, visitor), .tasks = {&asked->arn, 1}};

	make_call(asked, ECS_OPERATION_GET_TASK_PROTECTION, &input, protection_told, PROTECTION_READ);
}

/* Unlike everywhere else, a member that is not known is an error here. */
static bool has_only_known(struct str body)
{
	size_t names = 0, known = 0;
	bool inside = false;

	/* Its members are scalars: each has one colon outside of strings. */
	for (size_t i = 0; i < body.len; i++) {
		if (inside && body.ptr[i] == '\\')
			i++;
		else if (body.ptr[i] == '"')
			inside = !inside;
		else if (!inside && body.ptr[i] == ':')
			names++;
	}
	known += str_has(json_member_text(body, S("ProtectionEnabled")));
	known += str_has(json_member_text(body, S("ExpiresInMinutes")));
	return names == known;
}

static void write_protection(struct local_request *request, const struct visitor *visitor)
{
	struct str arn = visitor->task->task->arn;
	const struct metadata_protection_request *wanted;
	struct ecs_update_task_protection_request input;
	struct json_fault fault;
	struct asked *asked;
	void *value;

	if (str_empty(request->request->body) ||
	    !json_decode(&shape_metadata_protection_request, request->request->body, &request->arena, &value, &fault) ||
	    !has_only_known(request->request->body)) {
		refuse_protection(request->call, 400, arn, S("InvalidParameterException"),
				  S("UpdateTaskProtection: failed to decode request"));
		return;
	}
	wanted = value;
	if (!wanted->protection_enabled.has) {
		refuse_protection(request->call, 400, arn, S("InvalidParameterException"),
				  S("Invalid request: does not contain 'ProtectionEnabled' field"));
		return;
	}
	if (wanted->expires_in_minutes.value < 0 || wanted->expires_in_minutes.value > EXPIRES_LIMIT) {
		refuse_protection(request->call, 400, arn, S("InvalidParameterException"),
				  S("Invalid request: expiration duration must be between 1 and 2880 minutes"));
		return;
	}
	asked = ask(request, visitor);
	input = (struct ecs_update_task_protection_request){
		.cluster = cluster_of(request, visitor), .tasks = {&asked->arn, 1},
		.protection_enabled = wanted->protection_enabled,
		.expires_in_minutes = {(int32_t)wanted->expires_in_minutes.value, wanted->expires_in_minutes.has},
	};
	make_call(asked, ECS_OPERATION_UPDATE_TASK_PROTECTION, &input, protection_told, PROTECTION_WRITTEN);
}

/* ---- Fault injection: agreed paths, none of them done */

static bool is_fault(struct str kind, struct str verb)
{
	return (str_equal(kind, S("network-blackhole-port")) || str_equal(kind, S("network-latency")) ||
		str_equal(kind, S("network-packet-loss"))) &&
	       (str_equal(verb, S("start")) || str_equal(verb, S("stop")) || str_equal(verb, S("status")));
}

static void answer_fault(struct local_request *request, const struct visitor *visitor)
{
	const struct acs_task *task = visitor->task->task;
	struct metadata_fault_response reply = {
		.error = task->enable_fault_injection.value
			? S("fault injection is not done by this agent")
			: arena_printf(&request->arena, "enableFaultInjection is not enabled for task: %.*s", STR(task->arn))};

	answer(request, 400, &shape_metadata_fault_response, &reply);
}

static void route_api(struct local_request *request, const struct str *rest, size_t count)
{
	struct str method = request->request->method;
	struct visitor visitor;
	bool found = count > 0 && local_visitor(request->local, request->place, rest[0], &request->arena, &visitor);
	bool protection = count == 4 && str_equal(rest[1], S("task-protection")) && str_equal(rest[2], S("v1")) &&
			  str_equal(rest[3], S("state"));
	bool fault = count == 5 && str_equal(rest[1], S("fault")) && str_equal(rest[2], S("v1")) && is_fault(rest[3], rest[4]);

	if (protection && !found)
		refuse_protection(request->call, 404, STR_NONE, S("ResourceNotFoundException"),
				  S("Failed to find a task for the request"));
	else if (protection && str_equal(method, S("GET")))
		read_protection(request, &visitor);
	else if (protection && str_equal(method, S("PUT")))
		write_protection(request, &visitor);
	else if (fault && str_equal(method, S("POST")) && found)
		answer_fault(request, &visitor);
	else if (fault && str_equal(method, S("POST")))
		answer(request, 404, &shape_metadata_fault_response, &(struct metadata_fault_response){
			.error = arena_printf(&request->arena, "unable to lookup container: %.*s", STR(rest[0]))});
	else
		answer_nothing(request);
}

/* ---- Introspection (7.5) */

static void answer_instance(struct local_request *request)
{
	const struct agent *agent = local_options(request->local)->agent;
	const struct metadata_instance instance = {.cluster = agent_cluster(agent),
		.container_instance_arn = agent_instance_arn(agent),
		.version = S("Amazon ECS Agent - v" WHERRY_VERSION " (wherry)")};

	answer(request, 200, &shape_metadata_instance, &instance);
}

static bool is_asked_for(struct local_request *request, const struct visitor *visitor, struct str arn, struct str docker_id)
{
	if (str_has(arn))
		return str_equal(visitor->task->task->arn, arn);
	for (size_t i = 0; i < visitor->task->containers.count; i++)
		if (str_starts(hands_runtime_id(visitor->task_id, visitor->task->containers.items[i].name, &request->arena),
			       docker_id))
			return true;
	return false;
}

static void answer_one_task(struct local_request *request, struct str arn, struct str docker_id)
{
	const struct agent *agent = local_options(request->local)->agent;
	size_t count = agent_task_count(agent);
	bool both = str_has(arn) && str_has(docker_id);

	for (size_t i = 0; !both && i < count; i++) {
		struct visitor visitor = {0};
		struct metadata_view view;
		struct metadata_seen_task seen;

		visitor.task = agent_task_at(agent, i, &visitor.task_id);
		if (!is_asked_for(request, &visitor, arn, docker_id))
			continue;
		view = view_of(request, &visitor, 4);
		seen = metadata_seen_task(&view, &request->arena);
		answer(request, 200, &shape_metadata_seen_task, &seen);
		return;
	}
	answer_text(request, both ? 400 : 404, S("{}"));
}

static void answer_all_tasks(struct local_request *request)
{
	const struct agent *agent = local_options(request->local)->agent;
	size_t count = agent_task_count(agent);
	struct metadata_seen_tasks all = {{arena_array(&request->arena, struct metadata_seen_task, count), count}, {0}};

	for (size_t i = 0; i < count; i++) {
		struct visitor visitor = {0};
		struct metadata_view view;

		visitor.task = agent_task_at(agent, i, &visitor.task_id);
		view = view_of(request, &visitor, 4);
		all.tasks.items[i] = metadata_seen_task(&view, &request->arena);
	}
	answer(request, 200, &shape_metadata_seen_tasks, &all);
}

static void route_introspection(struct local_request *request)
{
	static struct str commands[] = {STR_INIT("/v1/metadata"), STR_INIT("/v1/tasks"), STR_INIT("/license")};
	const struct metadata_commands reply = {.available_commands = {commands, COUNT(commands)}};
	struct str path = request->request->path, query = request->request->query;
	struct str arn = request_query(query, S("taskarn")), docker_id = request_query(query, S("dockerid"));

	if (str_equal(path, S("/v1/metadata")))
		answer_instance(request);
	else if (str_equal(path, S("/v1/tasks")) && !str_has(arn) && !str_has(docker_id))
		answer_all_tasks(request);
	else if (str_equal(path, S("/v1/tasks")))
		answer_one_task(request, arn, docker_id);
	else if (str_equal(path, S("/license")))
		endpoint_answer(request->call, 200, S("text/plain; charset=utf-8"),
				S("Wherry is licensed under the Apache License 2.0: https://www.apache.org/licenses/LICENSE-2.0\n"));
	else
		answer(request, 200, &shape_metadata_commands, &reply);
}

/* ---- All paths */

static size_t split(struct str path, struct str pieces[PIECES])
{
	struct str rest = path, piece;
	size_t count = 0;

	str_cut(&rest, '/', &piece);                     /* what stands before the first slash: nothing */
	while (count < PIECES && str_has(rest) && str_cut(&rest, '/', &piece))
		pieces[count++] = piece;
	/* A slash at the end means nothing. */
	if (count > 1 && str_empty(pieces[count - 1]))
		count--;
	return count;
}

static bool is_route(const struct str *pieces, size_t count, const char *first, const char *second)
{
	return count > 1 && str_equal(pieces[0], str_of(first)) && str_equal(pieces[1], str_of(second));
}

static void route(struct local_request *request)
{
	struct str pieces[PIECES];
	size_t count = split(request->request->path, pieces);

	if (count > 0 && str_equal(pieces[0], S("api")))
		route_api(request, pieces + 1, count - 1);
	else if (!str_equal(request->request->method, S("GET")))
		endpoint_answer(request->call, 405, S("text/plain; charset=utf-8"), S("Method Not Allowed\n"));
	else if (str_equal(request->place, INTROSPECTION_PLACE))
		route_introspection(request);
	else if (is_route(pieces, count, "v1", "credentials"))
		answer_credentials(request, request_query(request->request->query, S("id")));
	else if (is_route(pieces, count, "v2", "credentials"))
		answer_credentials(request, count > 2 ? pieces[2] : S(""));
	else if (count > 1 && str_equal(pieces[0], S("v2")))
		route_v2(request, pieces + 1, count - 1);
	else if (count > 1 && str_equal(pieces[0], S("v3")))
		route_version(request, 3, pieces + 1, count - 1);
	else if (count > 1 && str_equal(pieces[0], S("v4")))
		route_version(request, 4, pieces + 1, count - 1);
	else
		answer_nothing(request);
}

void local_serve(void *local, struct endpoint_call *call, struct str place, const struct request *request)
{
	struct local_request own = {.local = local, .call = call, .place = place, .request = request};

	route(&own);
	arena_fini(&own.arena);
}
