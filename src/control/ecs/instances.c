#include "api/ecs_handlers.h"
#include <assert.h>
#include "control/call.h"
#include "control/ecs/instances.h"
#include "control/ecs/services.h"
#include "control/ecs/sessions.h"
#include "control/ecs/tasks.h"
#include "control/paging.h"
#include "wire/cluster_query.h"
#include "wire/json.h"

enum { DESCRIBE_LIMIT = 100, STATE_UPDATE_LIMIT = 10, INSTANCE_GPUS_LIMIT = 64 };

/* ---- describing */
static void put_integer(struct ecs_resource *resource, struct str name, int64_t value)
{
	*resource = (struct ecs_resource){.name = name, .type = S("INTEGER"), .double_value = {0, true},
					  .long_value = {0, true}, .integer_value = {(int32_t)value, true}};
}

static void put_ports(struct plane *plane, struct ecs_resource *resource, struct str name, const struct numbers *reserved,
		      const struct node_entry *node, bool udp, bool with_booked)
{
	struct arena *arena = plane_arena(plane);
	size_t booked = with_booked ? node->ports.count : 0, count = 0;
	struct str *ports = arena_array(arena, struct str, reserved->count + booked);

	for (size_t i = 0; i < reserved->count; i++)
		ports[count++] = arena_printf(arena, "%d", reserved->items[i].value);
	for (size_t i = 0; i < booked; i++)
		if (node->ports.items[i].udp == udp)
			ports[count++] = arena_printf(arena, "%d", node->ports.items[i].port);
	*resource = (struct ecs_resource){.name = name, .type = S("STRINGSET"), .double_value = {0, true},
					  .long_value = {0, true}, .integer_value = {0, true},
					  .string_set_value = {ports, count}};
}

static struct ecs_string_list free_gpus(struct plane *plane, const struct node_entry *node)
{
	const struct strings *all = &node->record->gpus;
	struct ecs_string_list left = {arena_array(plane_arena(plane), struct str, all->count), 0};

	for (size_t i = 0; i < all->count; i++)
		if (!str_listed(node->gpus.items, node->gpus.count, all->items[i]))
			left.items[left.count++] = all->items[i];
	return left;
}

static struct ecs_resources describe_resources(struct plane *plane, const struct node_entry *node, bool remaining)
{
	const struct node *record = node->record;
	struct ecs_resource *items = arena_array(plane_arena(plane), struct ecs_resource, 5);

	put_integer(&items[0], S("CPU"), remaining ? node->cpu_free : record->cpu.value);
	put_integer(&items[1], S("MEMORY"), remaining ? node->memory_free : record->memory.value);
	put_ports(plane, &items[2], S("PORTS"), &record->tcp_ports, node, false, remaining);
	put_ports(plane, &items[3], S("PORTS_UDP"), &record->udp_ports, node, true, remaining);
	if (!record->gpus.count)
		return (struct ecs_resources){items, 4};
	items[4] = (struct ecs_resource){.name = S("GPU"), .type = S("STRINGSET"), .double_value = {0, true},
					 .long_value = {0, true}, .integer_value = {0, true},
					 .string_set_value = remaining ? free_gpus(plane, node)
								       : (struct ecs_string_list){record->gpus.items,
												  record->gpus.count}};
	return (struct ecs_resources){items, 5};
}

static struct ecs_container_instance_health_status *describe_health(struct plane *plane,
								     const struct instance_entry *instance)
{
	struct arena *arena = plane_arena(plane);
	struct ecs_container_instance_health_status *health = arena_new(arena, struct ecs_container_instance_health_status);
	struct ecs_instance_health_check_result *detail = arena_new(arena, struct ecs_instance_health_check_result);

	health->overall_status = instance->session ? ECS_INSTANCE_HEALTH_CHECK_STATE_OK
						   : ECS_INSTANCE_HEALTH_CHECK_STATE_IMPAIRED;
	detail->type = ECS_INSTANCE_HEALTH_CHECK_TYPE_AGENT_CONNECTIVITY;
	detail->status = health->overall_status;
	detail->last_updated = (struct maybe_time){plane_now(plane), true};
	detail->last_status_change = (struct maybe_time){instance->silent_since, instance->silent_since > 0};
	health->details = (struct ecs_instance_health_check_result_list){detail, 1};
	return health;
}

void describe_instance(struct plane *plane, const struct instance_entry *instance, unsigned include,
		       struct ecs_container_instance *ret_instance)
{
	const struct container_instance *record = instance->record;
	struct ecs_tag *no_tags = arena_new(plane_arena(plane), struct ecs_tag);

	*ret_instance = (struct ecs_container_instance){
		.container_instance_arn = instance_arn(plane, instance),
		.ec2_instance_id = record->ec2_instance_id,
		.version = record->version,
		.version_info = record->version_info,
		.remaining_resources = describe_resources(plane, instance->node, true),
		.registered_resources = describe_resources(plane, instance->node, false),
		.status = shape_word_text(&shape_instance_status, record->status),
		.agent_connected = {instance->session != NULL, true},
		.running_tasks_count = {instance->counts.running - instance->fargate_counts.running, true},
		.pending_tasks_count = {instance->counts.pending - instance->fargate_counts.pending, true},
		.attributes = record->attributes,
		.registered_at = record->registered_at,
		.attachments = {arena_new(plane_arena(plane), struct ecs_attachment), 0},
		.tags = {no_tags, 0},
	};
	if (include & (1u << ECS_CONTAINER_INSTANCE_FIELD_TAGS) && record->tags.items)
		ret_instance->tags = record->tags;
	if (include & (1u << ECS_CONTAINER_INSTANCE_FIELD_CONTAINER_INSTANCE_HEALTH))
		ret_instance->health_status = describe_health(plane, instance);
}

static struct ecs_container_instance *described(struct call *call, const struct instance_entry *instance)
{
	struct ecs_container_instance *answer = arena_new(call->arena, struct ecs_container_instance);

	describe_instance(call->plane, instance, ~0u, answer);
	answer->health_status = NULL;
	return answer;
}

/* ---- finding */
struct instance_entry *find_instance(struct call *call, const struct cluster_entry *cluster, struct str identifier)
{
	struct str id = identifier_in_cluster(call, cluster, S("container-instance"), identifier);
	struct sorted_node *node = str_has(id) ? sorted_get(&cluster->instances, id) : NULL;

	return node ? CONTAINER_OF(node, struct instance_entry, by_id) : NULL;
}

struct ecs_failure *add_failure(struct call *call, struct ecs_failures *failures, struct str arn, struct str reason)
{
	struct ecs_failure *failure = &failures->items[failures->count++];

	*failure = (struct ecs_failure){.arn = arn, .reason = reason};
	return failure;
}

struct str missing_arn(struct call *call, const struct cluster_entry *cluster, struct str type, struct str identifier)
{
	if (str_starts(identifier, S("arn:")))
		return identifier;
	return ecs_arn(call->plane, call->realm, "%.*s/%.*s/%.*s", STR(type), STR(cluster->record->name), STR(identifier));
}

/* ---- registering */
static bool parse_ports(struct call *call, const struct ecs_string_list *words, struct numbers *ret_ports)
{
	struct numbers ports = {arena_array(call->arena, struct maybe_integer, words->count), words->count};

	for (size_t i = 0; i < words->count; i++) {
		uint64_t port;

		if (!str_to_unsigned(words->items[i], &port) || port > 65535)
			return fail(&call->error, ERROR_INVALID_PARAMETER, "Invalid port: %.*s", STR(words->items[i]));
		ports.items[i] = (struct maybe_integer){(int32_t)port, true};
	}
	*ret_ports = ports;
	return true;
}

static int64_t resource_number(const struct ecs_resource *resource)
{
	if (resource->integer_value.has && resource->integer_value.value)
		return resource->integer_value.value;
	if (resource->long_value.has && resource->long_value.value)
		return resource->long_value.value;
	return resource->double_value.has ? (int64_t)resource->double_value.value : 0;
}

static bool read_gpus(struct call *call, const struct ecs_string_list *ids, struct strings *ret_gpus)
{
	if (ids->count > INSTANCE_GPUS_LIMIT)
		return fail(&call->error, ERROR_INVALID_PARAMETER, "An instance can have at most %d GPUs.", INSTANCE_GPUS_LIMIT);
	for (size_t i = 0; i < ids->count; i++)
		if (str_empty(ids->items[i]) || str_listed(ids->items, i, ids->items[i]))
			return fail(&call->error, ERROR_INVALID_PARAMETER, "Invalid GPU: %.*s", STR(ids->items[i]));
	*ret_gpus = (struct strings){ids->items, ids->count};
	return true;
}

static bool read_resources(struct call *call, const struct ecs_resources *resources, struct node *node)
{
	for (size_t i = 0; i < resources->count; i++) {
		const struct ecs_resource *resource = &resources->items[i];

		if (str_equal(resource->name, S("CPU")))
			node->cpu = (struct maybe_long){resource_number(resource), true};
		else if (str_equal(resource->name, S("MEMORY")))
			node->memory = (struct maybe_long){resource_number(resource), true};
		else if (str_equal(resource->name, S("PORTS")) &&
			 !parse_ports(call, &resource->string_set_value, &node->tcp_ports))
			return false;
		else if (str_equal(resource->name, S("PORTS_UDP")) &&
			 !parse_ports(call, &resource->string_set_value, &node->udp_ports))
			return false;
		else if (str_equal(resource->name, S("GPU")) && !read_gpus(call, &resource->string_set_value, &node->gpus))
			return false;
	}
	if (node->cpu.value < 0 || node->memory.value < 0)
		return fail(&call->error, ERROR_INVALID_PARAMETER, "Resources must not be negative.");
	return true;
}

static const struct ecs_attribute *attribute_named(const struct ecs_attributes *attributes, struct str name)
{
	for (size_t i = 0; i < attributes->count; i++)
		if (str_equal(attributes->items[i].name, name))
			return &attributes->items[i];
	return NULL;
}

/* What the real service adds from the identity document, and the zone every instance has (agent-protocol 1.4). */
static struct ecs_attributes full_attributes(struct call *call, const struct ecs_register_container_instance_request *in,
					     const struct ecs_attributes *custom, bool *ret_any_zone)
{
	static const struct { struct str member, name; } from_document[] = {
		{STR_INIT("availabilityZone"), STR_INIT("ecs.availability-zone")},
		{STR_INIT("instanceType"), STR_INIT("ecs.instance-type")},
		{STR_INIT("imageId"), STR_INIT("ecs.ami-id")},
	};
	struct ecs_attributes all = {arena_array(call->arena, struct ecs_attribute,
						 in->attributes.count + custom->count + COUNT(from_document)), 0};

	for (size_t i = 0; i < in->attributes.count; i++)
		all.items[all.count++] = in->attributes.items[i];
	for (size_t i = 0; i < COUNT(from_document); i++) {
		struct str value = STR_NONE;

		if (attribute_named(&all, from_document[i].name))
			continue;
		json_string_value(json_member_text(in->instance_identity_document, from_document[i].member), call->arena,
				  &value);
		*ret_any_zone = *ret_any_zone || (!str_has(value) && i == 0);
		if (!str_has(value) && i == 0)
			value = arena_printf(call->arena, "%.*sa", STR(call->realm->region));
		if (str_has(value))
			all.items[all.count++] = (struct ecs_attribute){.name = from_document[i].name, .value = value};
	}
	for (size_t i = 0; i < custom->count; i++)
		if (!attribute_named(&all, custom->items[i].name))
			all.items[all.count++] = custom->items[i];
	return all;
}

static struct str document_instance_id(struct call *call, const struct ecs_register_container_instance_request *in)
{
	struct str id = STR_NONE;

	json_string_value(json_member_text(in->instance_identity_document, S("instanceId")), call->arena, &id);
	return id;
}

static struct instance_entry *instance_of_machine(const struct cluster_entry *cluster, struct str ec2_instance_id)
{
	if (!str_has(ec2_instance_id))
		return NULL;
	SORTED_EACH(&cluster->instances, struct instance_entry, by_id, instance)
		if (instance->record->status != INSTANCE_STATUS_INACTIVE &&
		    str_equal(instance->record->ec2_instance_id, ec2_instance_id))
			return instance;
	return NULL;
}

static bool same_type(struct call *call, const struct instance_entry *instance,
		      const struct ecs_register_container_instance_request *in)
{
	const struct ecs_attribute *old = attribute_named(&instance->record->attributes, S("ecs.instance-type"));
	struct str type = STR_NONE;

	json_string_value(json_member_text(in->instance_identity_document, S("instanceType")), call->arena, &type);
	if (!old || !str_has(type) || str_equal(old->value, type))
		return true;
	return fail(&call->error, ERROR_CLIENT,
		    "Container instance type changes are not supported. Container instance %.*s was previously registered as %.*s.",
		    STR(instance_arn(call->plane, instance)), STR(old->value));
}

/* The instance that registers again, NULL for a new one. */
static bool find_registered(struct call *call, struct cluster_entry *cluster,
			    const struct ecs_register_container_instance_request *in, struct instance_entry **ret_instance)
{
	struct instance_entry *instance;

	*ret_instance = NULL;
	if (str_empty(in->container_instance_arn)) {
		*ret_instance = instance_of_machine(cluster, document_instance_id(call, in));
		return true;
	}
	instance = find_instance(call, cluster, in->container_instance_arn);
	if (!instance)
		return fail(&call->error, ERROR_CLIENT,
			    "Container instance cannot be re-registered under a different cluster.");
	if (instance->record->status == INSTANCE_STATUS_INACTIVE)
		return fail(&call->error, ERROR_CLIENT, "The container instance is INACTIVE and cannot be registered again.");
	if (!same_type(call, instance, in))
		return false;
	*ret_instance = instance;
	return true;
}

static struct container_instance new_instance(struct call *call, struct cluster_entry *cluster,
					      const struct ecs_register_container_instance_request *in)
{
	struct str id = random_hex(plane_random(call->plane), call->arena, 32);

	return (struct container_instance){
		.id = id, .cluster = cluster->record->name, .node = id, .status = INSTANCE_STATUS_ACTIVE,
		.registered_at = {plane_now(call->plane), true}, .version = {0, true}, .sequence = {0, true},
		.tags = in->tags,
	};
}

/* The custom attributes put on the instance since: agents send only their own. */
static struct ecs_attributes put_attributes_of(struct call *call, const struct instance_entry *instance)
{
	struct ecs_attributes custom = {arena_array(call->arena, struct ecs_attribute, instance->record->attributes.count), 0};

	for (size_t i = 0; i < instance->record->attributes.count; i++)
		if (instance_attribute_is_custom(instance->record->attributes.items[i].name))
			custom.items[custom.count++] = instance->record->attributes.items[i];
	return custom;
}

/* The pool's cluster comes with its first machine. */
static bool cluster_to_join(struct call *call, struct str name, struct str known_as, struct cluster_entry **ret_cluster)
{
	if (!str_equal(name, POOL_CLUSTER) || entry_find(call->plane, call->realm, RECORD_CLUSTER, name))
		return find_agent_cluster(call, name, true, ret_cluster);
	if (!str_empty(known_as))
		return fail(&call->error, ERROR_CLIENT,
			    "Container instance cannot be re-registered under a different cluster.");
	*ret_cluster = emit(call->plane, call->realm, RECORD_CLUSTER, name,
			    &(struct cluster){.name = name, .status = CLUSTER_STATUS_ACTIVE,
					      .created_at = {plane_now(call->plane), true}});
	return true;
}

bool ecs_register_container_instance(struct call *call, const struct ecs_register_container_instance_request *in,
				     struct ecs_register_container_instance_response *out)
{
	struct plane *plane = call->plane;
	struct cluster_entry *cluster;
	struct instance_entry *instance;
	struct container_instance next;
	struct node node = {0};
	struct ecs_attributes custom = {0};
	bool any_zone = false;

	if (!read_resources(call, &in->total_resources, &node) ||
	    !check_tags(&call->error, ERROR_INVALID_PARAMETER, &in->tags) ||
	    !cluster_to_join(call, in->cluster, in->container_instance_arn, &cluster) ||
	    !find_registered(call, cluster, in, &instance))
		return false;
	if (instance)
		custom = put_attributes_of(call, instance);
	next = instance ? *instance->record : new_instance(call, cluster, in);
	node.id = next.node;
	next.attributes = full_attributes(call, in, &custom, &any_zone);
	next.any_zone = (struct maybe_boolean){any_zone, any_zone};
	next.external = (struct maybe_boolean){attribute_named(&next.attributes, S("ecs.capability.external")) != NULL, true};
	if (str_has(document_instance_id(call, in)))
		next.ec2_instance_id = document_instance_id(call, in);
	next.version.value++;
	emit(plane, call->realm, RECORD_NODE, next.node, &node);
	emit(plane, call->realm, RECORD_CONTAINER_INSTANCE,
	     arena_printf(call->arena, "%.*s/%.*s", STR(next.cluster), STR(next.id)), &next);
	instance = entry_findf(plane, call->realm, RECORD_CONTAINER_INSTANCE, "%.*s/%.*s", STR(next.cluster), STR(next.id));
	out->container_instance = described(call, instance);
	return true;
}

void instance_emit(struct plane *plane, struct instance_entry *instance, struct container_instance *next)
{
	next->version.value++;
	emit(plane, instance->realm, RECORD_CONTAINER_INSTANCE, entry_id(&instance->entry), next);
}

/* ---- leaving */
bool ecs_deregister_container_instance(struct call *call, const struct ecs_deregister_container_instance_request *in,
				       struct ecs_deregister_container_instance_response *out)
{
	struct cluster_entry *cluster;
	struct instance_entry *instance;
	struct container_instance next;

	if (!find_agent_cluster(call, in->cluster, false, &cluster))
		return false;
	instance = find_instance(call, cluster, in->container_instance);
	if (!instance || instance->record->status == INSTANCE_STATUS_INACTIVE)
		return fail(&call->error, ERROR_INVALID_PARAMETER, "Referenced container instance %.*s not found.",
			    STR(in->container_instance));
	if (!chain_empty(&instance->tasks) && !(in->force.has && in->force.value))
		return fail(&call->error, ERROR_INVALID_PARAMETER, "Found running tasks on the instance.");
	next = *instance->record;
	next.status = INSTANCE_STATUS_INACTIVE;
	next.inactive_at = (struct maybe_time){plane_now(call->plane), true};
	instance_emit(call->plane, instance, &next);
	CHAIN_EACH(&instance->tasks, struct task_entry, on_instance, task)
		task_end(call->plane, task, ECS_TASK_STOP_CODE_USER_INITIATED,
			 S("Container instance deregistration forced by user."));
	session_end(call->plane, instance);
	wake_clear(call->plane, &instance->wake);
	wake_set(call->plane, &instance->wake, plane_now(call->plane) + INSTANCE_INACTIVE_USEC);
	out->container_instance = described(call, instance);
	return true;
}

static void set_state(struct call *call, struct instance_entry *instance, enum instance_status status)
{
	struct container_instance next = *instance->record;

	if (next.status == status)
		return;
	next.status = status;
	instance_emit(call->plane, instance, &next);
	CHAIN_EACH(&instance->tasks, struct task_entry, on_instance, task)
		if (task->service)
			service_touch(call->plane, task->service);
}

bool ecs_update_container_instances_state(struct call *call, const struct ecs_update_container_instances_state_request *in,
					  struct ecs_update_container_instances_state_response *out)
{
	struct cluster_entry *cluster;

	if (in->status != ECS_CONTAINER_INSTANCE_STATUS_ACTIVE && in->status != ECS_CONTAINER_INSTANCE_STATUS_DRAINING)
		return fail(&call->error, ERROR_INVALID_PARAMETER,
			    "Container instance status should be one of [ACTIVE, DRAINING]");
	if (!find_agent_cluster(call, in->cluster, false, &cluster))
		return false;
	if (in->container_instances.count == 0 || in->container_instances.count > STATE_UPDATE_LIMIT)
		return fail(&call->error, ERROR_INVALID_PARAMETER, in->container_instances.count
			    ? "Container Instances list cannot exceed 10." : "Container Instances cannot be empty.");
	out->container_instances.items = arena_array(call->arena, struct ecs_container_instance, in->container_instances.count);
	out->failures.items = arena_array(call->arena, struct ecs_failure, in->container_instances.count);
	for (size_t i = 0; i < in->container_instances.count; i++) {
		struct instance_entry *instance = find_instance(call, cluster, in->container_instances.items[i]);

		if (!instance || instance->record->status == INSTANCE_STATUS_INACTIVE) {
			add_failure(call, &out->failures,
				    missing_arn(call, cluster, S("container-instance"), in->container_instances.items[i]),
				    instance ? S("INACTIVE") : S("MISSING"));
			continue;
		}
		set_state(call, instance, in->status == ECS_CONTAINER_INSTANCE_STATUS_ACTIVE ? INSTANCE_STATUS_ACTIVE
											     : INSTANCE_STATUS_DRAINING);
		describe_instance(call->plane, instance, 0, &out->container_instances.items[out->container_instances.count++]);
	}
	return true;
}

/* ---- reading */
bool ecs_describe_container_instances(struct call *call, const struct ecs_describe_container_instances_request *in,
				      struct ecs_describe_container_instances_response *out)
{
	struct cluster_entry *cluster;
	unsigned include = 0;

	if (!find_cluster(call, in->cluster, false, &cluster))
		return false;
	if (in->container_instances.count == 0 || in->container_instances.count > DESCRIBE_LIMIT)
		return fail(&call->error, ERROR_INVALID_PARAMETER, in->container_instances.count
			    ? "Container Instances list cannot exceed 100." : "Container Instances cannot be empty.");
	for (size_t i = 0; i < in->include.count; i++)
		include |= 1u << in->include.items[i];
	out->container_instances.items = arena_array(call->arena, struct ecs_container_instance, in->container_instances.count);
	out->failures.items = arena_array(call->arena, struct ecs_failure, in->container_instances.count);
	for (size_t i = 0; i < in->container_instances.count; i++) {
		struct instance_entry *instance = find_instance(call, cluster, in->container_instances.items[i]);

		if (str_listed(in->container_instances.items, i, in->container_instances.items[i]))
			continue;                /* duplicates collapse (ecs-behaviour 13.1) */
		if (instance)
			describe_instance(call->plane, instance, include,
					  &out->container_instances.items[out->container_instances.count++]);
		else
			add_failure(call, &out->failures,
				    missing_arn(call, cluster, S("container-instance"), in->container_instances.items[i]),
				    S("MISSING"));
	}
	return true;
}

struct instance_filter {
	enum ecs_container_instance_status status;
	const struct cluster_query *query;
};

static bool filter_fits(const struct sorted_node *node, const void *arg)
{
	const struct instance_filter *filter = arg;
	struct instance_entry *instance = CONTAINER_OF(node, struct instance_entry, by_id);
	enum instance_status status = instance->record->status;

	if (filter->status == ECS_CONTAINER_INSTANCE_STATUS_ABSENT ? status == INSTANCE_STATUS_INACTIVE
	    : (int)filter->status != (int)status)
		return false;
	return !filter->query || placement_query_accepts(filter->query, instance);
}

bool ecs_list_container_instances(struct call *call, const struct ecs_list_container_instances_request *in,
				  struct ecs_list_container_instances_response *out)
{
	struct instance_filter filter = {.status = in->status};
	struct cluster_entry *cluster;
	struct page page;

	if (!find_cluster(call, in->cluster, false, &cluster) ||
	    (!str_empty(in->filter) && !cluster_query_parse(in->filter, call->arena, &filter.query, &call->error)))
		return false;
	if (!page_take(call, &cluster->instances,
		       &(struct page_request){.list = arena_printf(call->arena, "ListContainerInstances/%.*s/%d/%.*s",
								   STR(cluster->record->name), in->status, STR(in->filter)),
					      .token = in->next_token, .max_results = in->max_results, .fallback = 100,
					      .limit = 100, .fits = filter_fits, .arg = &filter}, &page))
		return false;
	out->container_instance_arns.items = arena_array(call->arena, struct str, page.count);
	for (size_t i = 0; i < page.count; i++)
		out->container_instance_arns.items[out->container_instance_arns.count++] =
			instance_arn(call->plane, CONTAINER_OF(page.nodes[i], struct instance_entry, by_id));
	out->next_token = page.next_token;
	return true;
}

bool ecs_discover_poll_endpoint(struct call *call, const struct ecs_discover_poll_endpoint_request *in,
				struct ecs_discover_poll_endpoint_response *out)
{
	struct str endpoint = plane_options(call->plane)->endpoint;

	out->endpoint = endpoint;
	out->telemetry_endpoint = arena_printf(call->arena, "%.*s/telemetry", STR(endpoint));
	out->service_connect_endpoint = endpoint;
	return true;
}

/* ---- time passes for an instance */
void instance_wake(struct plane *plane, struct wake *wake)
{
	struct instance_entry *instance = CONTAINER_OF(wake, struct instance_entry, wake);
	const struct plane_options *options = plane_options(plane);

	if (instance->record->status == INSTANCE_STATUS_INACTIVE) {
		struct str node = arena_copy(plane_arena(plane), instance->record->node);

		emit(plane, instance->realm, RECORD_CONTAINER_INSTANCE, entry_id(&instance->entry), NULL);
		emit(plane, instance->realm, RECORD_NODE, node, NULL);
		return;
	}
	if (instance->session)
		return;
	if (plane_now(plane) >= instance->silent_since + options->gone_after) {
		CHAIN_EACH(&instance->tasks, struct task_entry, on_instance, task)
			task_end(plane, task, ECS_TASK_STOP_CODE_TERMINATION_NOTICE,
				 arena_printf(plane_arena(plane), "Host (container instance %.*s) unreachable for %lld seconds.",
					      STR(instance->by_id.key), (long long)(options->gone_after / USEC_PER_SEC)));
		return;
	}
	CHAIN_EACH(&instance->tasks, struct task_entry, on_instance, task)
		if (task->service)
			service_touch(plane, task->service);
	wake_set(plane, wake, instance->silent_since + options->gone_after);
}
