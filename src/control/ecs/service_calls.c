#include "api/ecs_handlers.h"
#include "control/call.h"
#include "control/ecs/deployments.h"
#include "control/ecs/instances.h"
#include "control/ecs/launch.h"
#include "control/ecs/nulls.h"
#include "control/ecs/service_rules.h"
#include "control/ecs/services.h"
#include "control/paging.h"

enum { DESCRIBE_SERVICES_LIMIT = 10, LIST_SERVICES_LIMIT = 100, LIST_SERVICES_DEFAULT = 10 };

/* How the replies differ (ecs-behaviour 7.3). */
enum {
	SHOW_TAGS = 1,
	SHOW_SERVICE_DEPLOYMENT = 2,
	SHOW_REVISIONS = 4,
	SHOW_WHOLE_CONFIGURATION = 8,
	SHOW_AS_CREATED = SHOW_TAGS | SHOW_SERVICE_DEPLOYMENT | SHOW_REVISIONS | SHOW_WHOLE_CONFIGURATION,
	SHOW_AS_UPDATED = SHOW_REVISIONS | SHOW_WHOLE_CONFIGURATION,
	SHOW_AS_DESCRIBED = SHOW_SERVICE_DEPLOYMENT | SHOW_REVISIONS | SHOW_WHOLE_CONFIGURATION,
	SHOW_AS_DELETED = 0,
};

static struct service_entry *service_at(const struct sorted_node *node)
{
	return CONTAINER_OF(node, struct service_entry, by_name);
}

/* ---- Describing */
static void describe_deployment(struct plane *plane, const struct service_entry *service, size_t index,
				struct ecs_deployment *ret_deployment)
{
	const struct deployment *from = &service->record->deployments.items[index];
	struct service_census census = service_count(plane, service, from->id);

	*ret_deployment = (struct ecs_deployment){
		.id = from->id,
		.status = index == 0 ? S("PRIMARY") : S("ACTIVE"),
		.task_definition = ecs_arn(plane, service->realm, "task-definition/%.*s", STR(from->definition)),
		.desired_count = from->desired_count,
		.pending_count = {census.pending, true}, .running_count = {census.running, true},
		.failed_tasks = from->failed_tasks,
		.created_at = from->created_at, .updated_at = from->updated_at,
		.launch_type = from->launch_type,
		.platform_version = from->platform_version,
		.platform_family = from->launch_type == ECS_LAUNCH_TYPE_FARGATE ? S("Linux") : STR_NONE,
		.network_configuration = from->network_configuration,
		.rollout_state = from->rollout_state, .rollout_state_reason = from->rollout_state_reason,
	};
}

static struct ecs_deployments describe_deployments(struct plane *plane, const struct service_entry *service)
{
	size_t count = service->record->status == SERVICE_STATUS_INACTIVE ? 0 : service->record->deployments.count;
	struct ecs_deployments deployments = {arena_array(plane_arena(plane), struct ecs_deployment, count), count};

	for (size_t i = 0; i < count; i++)
		describe_deployment(plane, service, i, &deployments.items[i]);
	return deployments;
}

static struct ecs_service_current_revision_summary_list describe_revisions(struct plane *plane,
									   const struct service_entry *service,
									   const struct ecs_deployments *deployments)
{
	struct ecs_service_current_revision_summary_list list = {
		arena_array(plane_arena(plane), struct ecs_service_current_revision_summary, deployments->count),
		deployments->count};

	for (size_t i = 0; i < list.count; i++) {
		const struct ecs_deployment *deployment = &deployments->items[i];
		struct str digits = str_slice(deployment->id, S("ecs-svc/").len, deployment->id.len);

		list.items[i] = (struct ecs_service_current_revision_summary){
			.arn = ecs_arn(plane, service->realm, "service-revision/%.*s/%.*s", STR(entry_id(&service->entry)), STR(digits)),
			.requested_task_count = deployment->desired_count,
			.running_task_count = deployment->running_count,
			.pending_task_count = deployment->pending_count,
		};
	}
	return list;
}

static struct ecs_deployment_configuration *describe_configuration(struct plane *plane, const struct service *record,
								   unsigned show)
{
	struct arena *arena = plane_arena(plane);
	struct ecs_deployment_configuration *shown = arena_new(arena, struct ecs_deployment_configuration);
	struct ecs_deployment_circuit_breaker *breaker = arena_new(arena, struct ecs_deployment_circuit_breaker);

	*shown = *record->deployment_configuration;
	if (show & SHOW_WHOLE_CONFIGURATION)
		return shown;
	*breaker = *shown->deployment_circuit_breaker;
	breaker->reset_on_healthy_task = (struct maybe_boolean){0};
	breaker->threshold_configuration = NULL;
	shown->deployment_circuit_breaker = breaker;
	shown->bake_time_in_minutes = (struct maybe_integer){0};
	return shown;
}

/* Lists that are empty are shown as empty, not left out. */
static void fill_in_empty(struct plane *plane, struct ecs_service *service)
{
	void *empty = arena_array(plane_arena(plane), char, 0);

	service->load_balancers.items = empty;
	service->service_registries.items = empty;
	if (!service->placement_constraints.items)
		service->placement_constraints.items = empty;
	if (!service->placement_strategy.items)
		service->placement_strategy.items = empty;
}

static struct ecs_tags show_tags(struct plane *plane, const struct service *record)
{
	struct ecs_tags empty = {arena_new(plane_arena(plane), struct ecs_tag), 0};

	return record->tags.count ? record->tags : empty;
}

static void describe_service(struct plane *plane, const struct service_entry *service, unsigned show,
			     struct ecs_service *ret_service)
{
	const struct service *record = service->record;
	const struct deployment *primary = &record->deployments.items[0];
	struct service_census census = service_count(plane, service, STR_NONE);

	*ret_service = (struct ecs_service){
		.service_arn = service_arn(plane, service),
		.service_name = record->name,
		.cluster_arn = cluster_arn(plane, service->cluster),
		.status = shape_word_text(&shape_service_status, (int32_t)record->status),
		.desired_count = record->desired_count,
		.running_count = {census.running, true}, .pending_count = {census.pending, true},
		.launch_type = record->launch_type,
		.platform_version = record->platform_version,
		.platform_family = record->launch_type == ECS_LAUNCH_TYPE_FARGATE ? S("Linux") : STR_NONE,
		.task_definition = ecs_arn(plane, service->realm, "task-definition/%.*s", STR(primary->definition)),
		.deployment_configuration = describe_configuration(plane, record, show),
		.deployments = describe_deployments(plane, service),
		.role_arn = arena_printf(plane_arena(plane), "arn:aws:iam::%.*s:role/aws-service-role/ecs.amazonaws.com/"
					 "AWSServiceRoleForECS", STR(service->realm->account)),
		.events = service_events(plane, service),
		.created_at = record->created_at,
		.created_by = record->created_by,
		.placement_constraints = record->placement_constraints,
		.placement_strategy = record->placement_strategy,
		.network_configuration = record->network_configuration,
		.health_check_grace_period_seconds = record->health_check_grace_period_seconds,
		.scheduling_strategy = record->scheduling_strategy,
		.deployment_controller = record->deployment_controller,
		.enable_ecs_managed_tags = record->enable_ecs_managed_tags,
		.propagate_tags = record->propagate_tags,
		.enable_execute_command = record->enable_execute_command,
		.availability_zone_rebalancing = record->availability_zone_rebalancing,
		.resource_management_type = ECS_RESOURCE_MANAGEMENT_TYPE_CUSTOMER,
	};
	fill_in_empty(plane, ret_service);
	if (show & SHOW_TAGS)
		ret_service->tags = show_tags(plane, record);
	if (record->status == SERVICE_STATUS_INACTIVE)
		return;
	if (show & SHOW_SERVICE_DEPLOYMENT)
		ret_service->current_service_deployment = ecs_arn(plane, service->realm, "service-deployment/%.*s/%.*s",
								  STR(entry_id(&service->entry)), STR(primary->service_deployment));
	if (show & SHOW_REVISIONS)
		ret_service->current_service_revisions = describe_revisions(plane, service, &ret_service->deployments);
}

static struct ecs_service *described(struct call *call, const struct service_entry *service, unsigned show)
{
	struct ecs_service *shown = arena_new(call->arena, struct ecs_service);

	describe_service(call->plane, service, show, shown);
	return shown;
}

/* ---- Finding */
static struct service_entry *service_named(struct call *call, const struct cluster_entry *cluster, struct str identifier)
{
	struct str name = identifier_in_cluster(call, cluster, S("service"), identifier);
	struct sorted_node *node = str_has(name) ? sorted_get(&cluster->services, name) : NULL;

	return node ? service_at(node) : NULL;
}

static bool find_active_service(struct call *call, const struct cluster_entry *cluster, struct str identifier,
				struct service_entry **ret_service)
{
	struct service_entry *service = service_named(call, cluster, identifier);

	if (!service)
		return fail(&call->error, ERROR_SERVICE_NOT_FOUND, "Service not found.");
	if (service->record->status != SERVICE_STATUS_ACTIVE)
		return fail(&call->error, ERROR_SERVICE_NOT_ACTIVE, "Service was not ACTIVE.");
	*ret_service = service;
	return true;
}

/* ---- Creating */

/* What a repeated request is compared with. Tags are left out (ecs-behaviour 7.3). */
static struct ecs_create_service_request *comparable(struct call *call, const struct cluster_entry *cluster,
						     const struct ecs_create_service_request *in)
{
	struct ecs_create_service_request *copy = shape_copy(&shape_ecs_create_service_request, in, call->arena);

	nulls_clear(&shape_ecs_create_service_request, copy);
	copy->cluster = cluster->record->name;
	copy->tags = (struct ecs_tags){0};
	return copy;
}

/* Sets *ret_service when the request repeats the one that made an ACTIVE service. */
static bool check_is_new(struct call *call, const struct cluster_entry *cluster,
			 const struct ecs_create_service_request *in, struct service_entry **ret_service)
{
	struct service_entry *old = service_named(call, cluster, in->service_name);

	*ret_service = NULL;
	if (!old || old->record->status == SERVICE_STATUS_INACTIVE)
		return true;
	if (old->record->status == SERVICE_STATUS_DRAINING)
		return fail(&call->error, ERROR_INVALID_PARAMETER, "Unable to Start a service that is still Draining.");
	if (str_empty(in->client_token) ||
	    !shape_equal(&shape_ecs_create_service_request, comparable(call, cluster, in), old->record->request))
		return fail(&call->error, ERROR_INVALID_PARAMETER, "Creation of service was not idempotent.");
	*ret_service = old;
	return true;
}

static bool check_creation(struct call *call, const struct ecs_create_service_request *in)
{
	struct service_wish wish = service_wish_of_create(in);
	enum ecs_launch_type launch_type = in->launch_type ? in->launch_type : ECS_LAUNCH_TYPE_EC2;

	if (!check_service_name(call, in->service_name))
		return false;
	if (in->client_token.len > SERVICE_TOKEN_LIMIT)
		return fail(&call->error, ERROR_INVALID_PARAMETER, "idempotency token longer than 36.");
	if (!check_service_wish(call, &wish, launch_type))
		return false;
	if (!in->desired_count.has)
		return fail(&call->error, ERROR_INVALID_PARAMETER, "DesiredCount is missing");
	return check_desired_count(call, in->desired_count, "DesiredCount can not be lesser than 0") &&
	       check_tags(&call->error, ERROR_INVALID_PARAMETER, &in->tags);
}

static struct maybe_boolean or_false(struct maybe_boolean asked)
{
	return (struct maybe_boolean){asked.value, true};
}

static bool settle_service(struct call *call, const struct cluster_entry *cluster,
			   const struct ecs_create_service_request *in, struct service *ret_service)
{
	struct ecs_deployment_controller *controller = arena_new(call->arena, struct ecs_deployment_controller);
	struct service service = {
		.name = in->service_name,
		.cluster = cluster->record->name,
		.status = SERVICE_STATUS_ACTIVE,
		.desired_count = in->desired_count,
		.launch_type = in->launch_type ? in->launch_type : ECS_LAUNCH_TYPE_EC2,
		.scheduling_strategy = ECS_SCHEDULING_STRATEGY_REPLICA,
		.deployment_controller = controller,
		.placement_constraints = in->placement_constraints,
		.placement_strategy = settle_strategies(call, &in->placement_strategy),
		.network_configuration = launch_settle_network(call, in->network_configuration),
		.platform_version = in->launch_type != ECS_LAUNCH_TYPE_FARGATE ? STR_NONE
			: str_empty(in->platform_version) ? S("LATEST") : in->platform_version,
		.health_check_grace_period_seconds = {in->health_check_grace_period_seconds.value, true},
		.enable_ecs_managed_tags = or_false(in->enable_ecs_managed_tags),
		.propagate_tags = in->propagate_tags ? in->propagate_tags : ECS_PROPAGATE_TAGS_NONE,
		.enable_execute_command = or_false(in->enable_execute_command),
		.request = comparable(call, cluster, in),
		.created_at = {plane_now(call->plane), true},
		.created_by = call->caller->arn,
		.tags = in->tags,
	};

	controller->type = ECS_DEPLOYMENT_CONTROLLER_TYPE_ECS;
	if (!settle_deployment_configuration(call, NULL, in->deployment_configuration, &service.deployment_configuration) ||
	    !settle_rebalancing(call, "created", in->availability_zone_rebalancing, ECS_AVAILABILITY_ZONE_REBALANCING_ENABLED,
				service.deployment_configuration->maximum_percent.value,
				&service.availability_zone_rebalancing))
		return false;
	*ret_service = service;
	return true;
}

static bool check_definition(struct call *call, const struct service_wish *wish, const struct service *service,
			     const struct definition_entry *definition)
{
	return check_service_definition(call, wish, definition, service);
}

static void save(struct call *call, struct cluster_entry *cluster, const struct service *service)
{
	emit(call->plane, call->realm, RECORD_SERVICE,
	     arena_printf(call->arena, "%.*s/%.*s", STR(cluster->record->name), STR(service->name)), service);
}

bool ecs_create_service(struct call *call, const struct ecs_create_service_request *in, struct ecs_create_service_response *out)
{
	struct service_wish wish = service_wish_of_create(in);
	struct definition_entry *definition;
	struct cluster_entry *cluster;
	struct service_entry *entry;
	struct service service;

	if (!find_cluster(call, in->cluster, true, &cluster) || !check_creation(call, in) ||
	    !check_is_new(call, cluster, in, &entry))
		return false;
	if (entry) {
		out->service = described(call, entry, SHOW_AS_CREATED);
		return true;
	}
	if (!settle_service(call, cluster, in, &service) ||
	    !launch_find_definition(call, in->task_definition, &definition) ||
	    !check_definition(call, &wish, &service, definition))
		return false;
	entry = service_named(call, cluster, in->service_name);
	if (!entry && cluster->services.count >= SERVICES_LIMIT)
		return fail(&call->error, ERROR_CLIENT, "The maximum number of services of a cluster, %d, has been reached.",
			    SERVICES_LIMIT);
	if (entry)
		service_forget_events(call->plane, entry);
	deployment_begin(call->plane, &service, entry_id(&definition->entry));
	save(call, cluster, &service);
	entry = service_named(call, cluster, in->service_name);
	service_touch(call->plane, entry);
	out->service = described(call, entry, SHOW_AS_CREATED);
	return true;
}

/* ---- Updating */
static bool update_settings(struct call *call, const struct ecs_update_service_request *in, struct service *next)
{
	if (in->desired_count.has)
		next->desired_count = in->desired_count;
	if (in->placement_constraints.items)
		next->placement_constraints = in->placement_constraints;
	if (in->placement_strategy.items)
		next->placement_strategy = settle_strategies(call, &in->placement_strategy);
	if (in->health_check_grace_period_seconds.has)
		next->health_check_grace_period_seconds = in->health_check_grace_period_seconds;
	if (in->enable_ecs_managed_tags.has)
		next->enable_ecs_managed_tags = in->enable_ecs_managed_tags;
	if (in->enable_execute_command.has)
		next->enable_execute_command = in->enable_execute_command;
	if (in->propagate_tags)
		next->propagate_tags = in->propagate_tags;
	if (in->network_configuration)
		next->network_configuration = launch_settle_network(call, in->network_configuration);
	if (!str_empty(in->platform_version))
		next->platform_version = in->platform_version;
	return settle_deployment_configuration(call, next->deployment_configuration, in->deployment_configuration,
					       &next->deployment_configuration) &&
	       settle_rebalancing(call, "updated", in->availability_zone_rebalancing, next->availability_zone_rebalancing,
				  next->deployment_configuration->maximum_percent.value,
				  &next->availability_zone_rebalancing);
}

/* The definition the service will have. One it has already may meanwhile be INACTIVE. */
static bool update_definition(struct call *call, const struct ecs_update_service_request *in, const struct service *next,
			      struct str *ret_definition)
{
	struct service_wish wish = service_wish_of_update(in);
	struct definition_entry *definition;

	if (str_has(in->task_definition)) {
		if (!launch_find_definition(call, in->task_definition, &definition))
			return false;
	} else {
		definition = entry_find(call->plane, call->realm, RECORD_TASK_DEFINITION,
					next->deployments.items[0].definition);
		if (!definition)
			return fail(&call->error, ERROR_CLIENT, "TaskDefinition not found.");
	}
	if (!check_definition(call, &wish, next, definition))
		return false;
	*ret_definition = entry_id(&definition->entry);
	return true;
}

static void own_deployments(struct call *call, struct service *next)
{
	struct deployment *items = arena_array(call->arena, struct deployment, next->deployments.count);

	memcpy(items, next->deployments.items, next->deployments.count * sizeof(*items));
	next->deployments.items = items;
}

/* Something that the running tasks do not have (ecs-behaviour 7.4). */
static bool needs_new_tasks(const struct service *next, struct str definition)
{
	const struct deployment *primary = &next->deployments.items[0];
	static const struct ecs_network_configuration none;

	return !str_equal(definition, primary->definition) ||
	       !str_equal(launch_platform(next->launch_type, next->platform_version), primary->platform_version) ||
	       !shape_equal(&shape_ecs_network_configuration,
			    next->network_configuration ? next->network_configuration : &none,
			    primary->network_configuration ? primary->network_configuration : &none);
}

/* A new count is the scheduler's to copy into the deployment (ecs-behaviour 7.3). */
static void update_deployments(struct call *call, const struct ecs_update_service_request *in, struct str definition,
			       struct service *next)
{
	own_deployments(call, next);
	if ((in->force_new_deployment.has && in->force_new_deployment.value) || needs_new_tasks(next, definition)) {
		deployment_begin(call->plane, next, definition);
		return;
	}
	next->deployments.items[0].updated_at = (struct maybe_time){plane_now(call->plane), true};
	deployment_reset_throttle(next);
}

bool ecs_update_service(struct call *call, const struct ecs_update_service_request *in, struct ecs_update_service_response *out)
{
	struct service_wish wish = service_wish_of_update(in);
	struct cluster_entry *cluster;
	struct service_entry *entry;
	struct service next;
	struct str definition;

	if (!find_cluster(call, in->cluster, true, &cluster) || !find_active_service(call, cluster, in->service, &entry) ||
	    !check_service_wish(call, &wish, entry->record->launch_type) ||
	    !check_desired_count(call, in->desired_count, "Task count can not be lesser than 0"))
		return false;
	next = *entry->record;
	if (!update_settings(call, in, &next) || !update_definition(call, in, &next, &definition))
		return false;
	update_deployments(call, in, definition, &next);
	save(call, cluster, &next);
	service_touch(call->plane, entry);
	out->service = described(call, entry, SHOW_AS_UPDATED);
	return true;
}

/* ---- Deleting */
bool ecs_delete_service(struct call *call, const struct ecs_delete_service_request *in, struct ecs_delete_service_response *out)
{
	struct cluster_entry *cluster;
	struct service_entry *entry;
	struct service next;

	if (!find_cluster(call, in->cluster, false, &cluster))
		return false;
	entry = service_named(call, cluster, in->service);
	if (!entry || entry->record->status == SERVICE_STATUS_INACTIVE)
		return fail(&call->error, ERROR_SERVICE_NOT_FOUND, "Service not found.");
	next = *entry->record;
	if (next.status == SERVICE_STATUS_ACTIVE) {
		if (next.desired_count.value > 0 && !(in->force.has && in->force.value))
			return fail(&call->error, ERROR_INVALID_PARAMETER,
				    "The service cannot be stopped while it is scaled above 0.");
		own_deployments(call, &next);
		next.status = SERVICE_STATUS_DRAINING;
		next.desired_count = (struct maybe_integer){0, true};
		for (size_t i = 0; i < next.deployments.count; i++)
			next.deployments.items[i].desired_count = next.desired_count;
		save(call, cluster, &next);
		service_touch(call->plane, entry);
	}
	out->service = described(call, entry, SHOW_AS_DELETED);
	return true;
}

/* ---- Reading */
static bool is_described(const struct ecs_services *services, const struct service_entry *service)
{
	for (size_t i = 0; i < services->count; i++)
		if (str_equal(services->items[i].service_name, service->record->name))
			return true;
	return false;
}

static void add_missing(struct call *call, const struct cluster_entry *cluster, struct str identifier,
			struct ecs_failures *failures)
{
	struct str arn = missing_arn(call, cluster, S("service"), identifier);

	for (size_t i = 0; i < failures->count; i++)
		if (str_equal(failures->items[i].arn, arn))
			return;
	add_failure(call, failures, arn, S("MISSING"));
}

static bool check_list(struct call *call, const struct ecs_string_list *services)
{
	if (services->count == 0)
		return fail(&call->error, ERROR_INVALID_PARAMETER, "Services cannot be empty.");
	if (services->count > DESCRIBE_SERVICES_LIMIT)
		return fail(&call->error, ERROR_INVALID_PARAMETER, "services can have at most %d items.", DESCRIBE_SERVICES_LIMIT);
	return true;
}

bool ecs_describe_services(struct call *call, const struct ecs_describe_services_request *in,
			   struct ecs_describe_services_response *out)
{
	unsigned show = SHOW_AS_DESCRIBED;
	struct cluster_entry *cluster;

	if (!find_cluster(call, in->cluster, false, &cluster) || !check_list(call, &in->services))
		return false;
	for (size_t i = 0; i < in->include.count; i++)
		show |= in->include.items[i] == ECS_SERVICE_FIELD_TAGS ? SHOW_TAGS : 0;
	out->services.items = arena_array(call->arena, struct ecs_service, in->services.count);
	out->failures.items = arena_array(call->arena, struct ecs_failure, in->services.count);
	for (size_t i = 0; i < in->services.count; i++) {
		struct service_entry *service = service_named(call, cluster, in->services.items[i]);

		if (!service)
			add_missing(call, cluster, in->services.items[i], &out->failures);
		else if (!is_described(&out->services, service))
			describe_service(call->plane, service, show, &out->services.items[out->services.count++]);
	}
	return true;
}

static bool is_listed(const struct sorted_node *node, const void *arg)
{
	const struct ecs_list_services_request *in = arg;
	const struct service *record = service_at(node)->record;

	return record->status == SERVICE_STATUS_ACTIVE &&
	       (!in->launch_type || in->launch_type == record->launch_type) &&
	       (!in->scheduling_strategy || in->scheduling_strategy == record->scheduling_strategy) &&
	       in->resource_management_type != ECS_RESOURCE_MANAGEMENT_TYPE_ECS;
}

bool ecs_list_services(struct call *call, const struct ecs_list_services_request *in, struct ecs_list_services_response *out)
{
	struct cluster_entry *cluster;
	struct page_request request = {
		.token = in->next_token, .max_results = in->max_results,
		.fallback = LIST_SERVICES_DEFAULT, .limit = LIST_SERVICES_LIMIT, .fits = is_listed, .arg = in,
	};
	struct page page;

	if (!find_cluster(call, in->cluster, false, &cluster))
		return false;
	request.list = arena_printf(call->arena, "ListServices %.*s %d %d %d", STR(cluster->key), (int)in->launch_type,
				    (int)in->scheduling_strategy, (int)in->resource_management_type);
	if (!page_take(call, &cluster->services, &request, &page))
		return false;
	out->service_arns = (struct ecs_string_list){arena_array(call->arena, struct str, page.count), page.count};
	for (size_t i = 0; i < page.count; i++)
		out->service_arns.items[i] = service_arn(call->plane, service_at(page.nodes[i]));
	out->next_token = page.next_token;
	return true;
}
