#include "api/ecs_handlers.h"
#include <assert.h>
#include "control/call.h"
#include "control/ecs/clusters.h"
#include "control/ecs/nulls.h"
#include "control/ecs/settings.h"
#include "control/ecs/state.h"
#include "control/paging.h"

enum {
	CLUSTERS_LIMIT = 10000,
	DESCRIBE_CLUSTERS_LIMIT = 100,
	LIST_CLUSTERS_LIMIT = 100,
	NAME_LIMIT = 255
};

#define SHOW(field) (1u << ECS_CLUSTER_FIELD_##field)

static struct cluster_entry *cluster_at(const struct sorted_node *node)
{
	return CONTAINER_OF(node, struct cluster_entry, by_name);
}

/* ---- Describing (ecs-behaviour 3.1) */

static bool is_registered(const struct instance_entry *instance)
{
	return instance->record->status == INSTANCE_STATUS_ACTIVE ||
	       instance->record->status == INSTANCE_STATUS_DRAINING;
}

static int32_t count_instances(const struct cluster_entry *cluster)
{
	int32_t count = 0;

	SORTED_EACH(&cluster->instances, struct instance_entry, by_id, instance)
	count += is_registered(instance);
	return count;
}

/* ABSENT launch type: of any. */
static int32_t count_services(const struct cluster_entry *cluster, enum service_status status,
			      enum ecs_launch_type launch_type)
{
	int32_t count = 0;

	SORTED_EACH(&cluster->services, struct service_entry, by_name, service)
	count += service->record->status == status &&
		 (!launch_type || service->record->launch_type == launch_type);
	return count;
}

enum statistic { RUNNING_TASKS, PENDING_TASKS, ACTIVE_SERVICES, DRAINING_SERVICES };

/* In AWS's order. */
static const struct {
	struct str name;
	enum statistic statistic;
	enum ecs_launch_type launch_type;
} statistics[] = {
	{STR_INIT("runningEC2TasksCount"), RUNNING_TASKS, ECS_LAUNCH_TYPE_EC2},
	{STR_INIT("runningFargateTasksCount"), RUNNING_TASKS, ECS_LAUNCH_TYPE_FARGATE},
	{STR_INIT("pendingEC2TasksCount"), PENDING_TASKS, ECS_LAUNCH_TYPE_EC2},
	{STR_INIT("pendingFargateTasksCount"), PENDING_TASKS, ECS_LAUNCH_TYPE_FARGATE},
	{STR_INIT("runningExternalTasksCount"), RUNNING_TASKS, ECS_LAUNCH_TYPE_EXTERNAL},
	{STR_INIT("pendingExternalTasksCount"), PENDING_TASKS, ECS_LAUNCH_TYPE_EXTERNAL},
	{STR_INIT("runningManagedInstancesTasksCount"), RUNNING_TASKS,
	 ECS_LAUNCH_TYPE_MANAGED_INSTANCES},
	{STR_INIT("pendingManagedInstancesTasksCount"), PENDING_TASKS,
	 ECS_LAUNCH_TYPE_MANAGED_INSTANCES},
	{STR_INIT("activeEC2ServiceCount"), ACTIVE_SERVICES, ECS_LAUNCH_TYPE_EC2},
	{STR_INIT("activeFargateServiceCount"), ACTIVE_SERVICES, ECS_LAUNCH_TYPE_FARGATE},
	{STR_INIT("drainingEC2ServiceCount"), DRAINING_SERVICES, ECS_LAUNCH_TYPE_EC2},
	{STR_INIT("drainingFargateServiceCount"), DRAINING_SERVICES, ECS_LAUNCH_TYPE_FARGATE},
	{STR_INIT("activeExternalServiceCount"), ACTIVE_SERVICES, ECS_LAUNCH_TYPE_EXTERNAL},
	{STR_INIT("drainingExternalServiceCount"), DRAINING_SERVICES, ECS_LAUNCH_TYPE_EXTERNAL},
	{STR_INIT("activeManagedInstancesServiceCount"), ACTIVE_SERVICES,
	 ECS_LAUNCH_TYPE_MANAGED_INSTANCES},
	{STR_INIT("drainingManagedInstancesServiceCount"), DRAINING_SERVICES,
	 ECS_LAUNCH_TYPE_MANAGED_INSTANCES},
};

static int32_t statistic_value(const struct cluster_entry *cluster, enum statistic statistic,
			       enum ecs_launch_type launch_type)
{
	switch (statistic) {
	case RUNNING_TASKS: return cluster->counts_by_launch_type[launch_type].running;
	case PENDING_TASKS: return cluster->counts_by_launch_type[launch_type].pending;
	case ACTIVE_SERVICES: return count_services(cluster, SERVICE_STATUS_ACTIVE, launch_type);
	case DRAINING_SERVICES:
		return count_services(cluster, SERVICE_STATUS_DRAINING, launch_type);
	}
	assert(!"a statistic has a case");
	return 0;
}

static struct ecs_statistics describe_statistics(struct call *call,
						 const struct cluster_entry *cluster)
{
	struct ecs_statistics list = {
		arena_array(call->arena, struct ecs_key_value_pair, COUNT(statistics)),
		COUNT(statistics)};

	for (size_t i = 0; i < COUNT(statistics); i++)
		list.items[i] = (struct ecs_key_value_pair){
			.name = statistics[i].name,
			.value = arena_printf(call->arena, "%d",
					      statistic_value(cluster, statistics[i].statistic,
							      statistics[i].launch_type)),
		};
	return list;
}

/* Lists that are not shown are empty, not absent. */
static void describe(struct call *call, const struct cluster_entry *cluster, unsigned show,
		     struct ecs_cluster *ret_cluster)
{
	const struct cluster *record = cluster->record;
	void *empty = arena_array(call->arena, char, 0);

	*ret_cluster = (struct ecs_cluster){
		.cluster_arn = cluster_arn(call->plane, cluster),
		.cluster_name = record->name,
		.status = shape_word_text(&shape_cluster_status, (int32_t)record->status),
		.registered_container_instances_count = {count_instances(cluster), true},
		.running_tasks_count = {cluster->counts.running, true},
		.pending_tasks_count = {cluster->counts.pending, true},
		.active_services_count = {count_services(cluster, SERVICE_STATUS_ACTIVE,
							 ECS_LAUNCH_TYPE_ABSENT),
					  true},
		.statistics = {empty, 0},
		.tags = {empty, 0},
		.settings = {empty, 0},
		.capacity_providers = {empty, 0},
		.default_capacity_provider_strategy = {empty, 0},
		.service_connect_defaults = record->service_connect_defaults,
	};
	if (show & SHOW(STATISTICS))
		ret_cluster->statistics = describe_statistics(call, cluster);
	if (show & SHOW(TAGS) && record->tags.count)
		ret_cluster->tags = record->tags;
	if (show & SHOW(SETTINGS) && record->settings.count)
		ret_cluster->settings = record->settings;
	if (show & SHOW(CONFIGURATIONS))
		ret_cluster->configuration = record->configuration;
	if (show & SHOW(ATTACHMENTS))
		ret_cluster->attachments.items = empty;
}

static struct ecs_cluster *described(struct call *call, const struct cluster_entry *cluster,
				     unsigned show)
{
	struct ecs_cluster *copy = arena_new(call->arena, struct ecs_cluster);

	describe(call, cluster, show, copy);
	return copy;
}

/* ---- Checks */

static bool check_cluster_name(struct call *call, struct str name)
{
	if (name.len > NAME_LIMIT)
		return fail(&call->error, ERROR_INVALID_PARAMETER,
			    "Cluster name can have at most %d characters.", NAME_LIMIT);
	for (size_t i = 0; i < name.len; i++) {
		char c = name.ptr[i];

		if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
		      c == '-' || c == '_'))
			return fail(&call->error, ERROR_INVALID_PARAMETER,
				    "Cluster name contains invalid characters.");
	}
	if (str_equal(name, POOL_CLUSTER))
		return fail(&call->error, ERROR_INVALID_PARAMETER,
			    "The cluster name %.*s is reserved.", STR(name));
	return true;
}

static bool check_cluster_settings(struct call *call, const struct ecs_cluster_settings *settings)
{
	for (size_t i = 0; i < settings->count; i++) {
		const struct ecs_cluster_setting *setting = &settings->items[i];

		if (!setting->name)
			return fail(&call->error, ERROR_INVALID_PARAMETER,
				    "Invalid setting 'name'. Valid names are: containerInsights.");
		if (!str_equal(setting->value, S("enabled")) &&
		    !str_equal(setting->value, S("disabled")) &&
		    !str_equal(setting->value, S("enhanced")))
			return fail(&call->error, ERROR_INVALID_PARAMETER,
				    "Invalid setting 'value'. Valid values are: enabled, disabled, "
				    "enhanced.");
	}
	return true;
}

static bool check_configuration(struct call *call,
				const struct ecs_cluster_configuration *configuration)
{
	const struct ecs_execute_command_configuration *exec =
		configuration ? configuration->execute_command_configuration : NULL;

	if (!exec)
		return true;
	if (exec->logging == ECS_EXECUTE_COMMAND_LOGGING_OVERRIDE && !exec->log_configuration)
		return fail(&call->error, ERROR_INVALID_PARAMETER,
			    "logConfiguration must be specified when logging is OVERRIDE.");
	if (exec->logging != ECS_EXECUTE_COMMAND_LOGGING_OVERRIDE && exec->log_configuration)
		return fail(&call->error, ERROR_INVALID_PARAMETER,
			    "logging must be OVERRIDE when logConfiguration is specified.");
	return true;
}

/* Capacity providers are not built: none exists. */
static bool check_providers(struct call *call, const struct ecs_create_cluster_request *in)
{
	if (in->capacity_providers.count || in->default_capacity_provider_strategy.count)
		return fail(&call->error, ERROR_INVALID_PARAMETER,
			    "The specified capacity provider does not exist. Specify a valid name "
			    "or ARN and try again.");
	return true;
}

/* ---- What a request makes of a cluster */

/* One value a name, the last one given. */
static struct ecs_cluster_settings settle_settings(struct call *call,
						   const struct ecs_cluster_settings *asked)
{
	struct ecs_cluster_settings settings = {
		arena_array(call->arena, struct ecs_cluster_setting, 1), 1};

	settings.items[0].name = ECS_CLUSTER_SETTING_NAME_CONTAINER_INSIGHTS;
	settings.items[0].value =
		asked->count ? asked->items[asked->count - 1].value
			     : setting_value(call, ECS_SETTING_NAME_CONTAINER_INSIGHTS);
	return settings;
}

/* An empty namespace means none. */
static struct ecs_cluster_service_connect_defaults *settle_defaults(
	struct call *call, const struct ecs_cluster_service_connect_defaults_request *asked)
{
	struct ecs_cluster_service_connect_defaults *defaults;

	if (!asked || str_empty(asked->namespace))
		return NULL;
	defaults = arena_new(call->arena, struct ecs_cluster_service_connect_defaults);
	defaults->namespace = asked->namespace;
	return defaults;
}

static struct ecs_cluster_configuration *settle_configuration(
	struct call *call, const struct ecs_cluster_configuration *asked)
{
	struct ecs_cluster_configuration *configuration = NULL;

	if (asked) {
		configuration = shape_copy(&shape_ecs_cluster_configuration, asked, call->arena);
		nulls_clear(&shape_ecs_cluster_configuration, configuration);
	}
	return configuration;
}

static bool same_configuration(const struct ecs_cluster_configuration *a,
			       const struct ecs_cluster_configuration *b)
{
	static const struct ecs_cluster_configuration none;

	return shape_equal(&shape_ecs_cluster_configuration, a ? a : &none, b ? b : &none);
}

static bool same_tags(const struct ecs_tags *a, const struct ecs_tags *b)
{
	size_t found = 0;

	for (size_t i = 0; i < a->count; i++)
		for (size_t j = 0; j < b->count; j++)
			found += str_equal(a->items[i].key, b->items[j].key) &&
				 str_equal(a->items[i].value, b->items[j].value);
	return a->count == b->count && found == a->count;
}

/* Only what the request says is compared. */
static bool repeats(struct call *call, const struct ecs_create_cluster_request *in,
		    const struct cluster *old)
{
	struct ecs_cluster_service_connect_defaults *defaults =
		settle_defaults(call, in->service_connect_defaults);
	struct str namespace =
		old->service_connect_defaults ? old->service_connect_defaults->namespace : STR_NONE;

	if (in->settings.count && !str_equal(settle_settings(call, &in->settings).items[0].value,
					     old->settings.items[0].value))
		return false;
	if (in->tags.items && !same_tags(&in->tags, &old->tags))
		return false;
	if (in->configuration &&
	    !same_configuration(settle_configuration(call, in->configuration), old->configuration))
		return false;
	return !in->service_connect_defaults ||
	       str_equal(defaults ? defaults->namespace : STR_NONE, namespace);
}

static unsigned shown_on_create(void)
{
	return SHOW(TAGS) | SHOW(SETTINGS) | SHOW(CONFIGURATIONS);
}

static bool check_creation(struct call *call, const struct ecs_create_cluster_request *in,
			   struct str name)
{
	return check_cluster_name(call, name) &&
	       check_tags(&call->error, ERROR_INVALID_PARAMETER, &in->tags) &&
	       check_cluster_settings(call, &in->settings) &&
	       check_configuration(call, in->configuration) && check_providers(call, in);
}

bool ecs_create_cluster(struct call *call, const struct ecs_create_cluster_request *in,
			struct ecs_create_cluster_response *out)
{
	struct str name = str_empty(in->cluster_name) ? S("default") : in->cluster_name;
	struct cluster_entry *old;

	if (!check_creation(call, in, name))
		return false;
	old = entry_find(call->plane, call->realm, RECORD_CLUSTER, name);
	if (old && old->record->status == CLUSTER_STATUS_ACTIVE) {
		if (!repeats(call, in, old->record))
			return fail(&call->error, ERROR_INVALID_PARAMETER,
				    "Arguments on this idempotent request are "
				    "inconsistent with arguments used in previous request(s).");
		out->cluster = described(call, old, shown_on_create());
		return true;
	}
	if (!old && call->realm->clusters.count >= CLUSTERS_LIMIT)
		return fail(&call->error, ERROR_CLIENT,
			    "The maximum number of clusters, %d, has been reached.",
			    CLUSTERS_LIMIT);
	emit(call->plane, call->realm, RECORD_CLUSTER, name,
	     &(struct cluster){
		     .name = name,
		     .status = CLUSTER_STATUS_ACTIVE,
		     .created_at = {plane_now(call->plane), true},
		     .settings = settle_settings(call, &in->settings),
		     .configuration = settle_configuration(call, in->configuration),
		     .service_connect_defaults =
			     settle_defaults(call, in->service_connect_defaults),
		     .tags = in->tags,
	     });
	out->cluster = described(call, entry_find(call->plane, call->realm, RECORD_CLUSTER, name),
				 shown_on_create());
	return true;
}

static bool find_active(struct call *call, struct str identifier,
			struct cluster_entry **ret_cluster)
{
	if (!find_cluster(call, identifier, false, ret_cluster))
		return false;
	if ((*ret_cluster)->record->status != CLUSTER_STATUS_ACTIVE)
		return fail(&call->error, ERROR_CLIENT, "Cluster was not ACTIVE.");
	return true;
}

bool ecs_update_cluster(struct call *call, const struct ecs_update_cluster_request *in,
			struct ecs_update_cluster_response *out)
{
	struct cluster_entry *cluster;
	struct cluster next;

	if (!find_active(call, in->cluster, &cluster) ||
	    !check_cluster_settings(call, &in->settings) ||
	    !check_configuration(call, in->configuration))
		return false;
	next = *cluster->record;
	if (in->settings.count)
		next.settings = settle_settings(call, &in->settings);
	if (in->configuration)
		next.configuration = settle_configuration(call, in->configuration);
	if (in->service_connect_defaults)
		next.service_connect_defaults = settle_defaults(call, in->service_connect_defaults);
	emit(call->plane, call->realm, RECORD_CLUSTER, next.name, &next);
	out->cluster = described(call, cluster, SHOW(SETTINGS) | SHOW(CONFIGURATIONS));
	return true;
}

bool ecs_update_cluster_settings(struct call *call,
				 const struct ecs_update_cluster_settings_request *in,
				 struct ecs_update_cluster_settings_response *out)
{
	struct cluster_entry *cluster;
	struct cluster next;

	if (!find_active(call, in->cluster, &cluster) ||
	    !check_cluster_settings(call, &in->settings))
		return false;
	if (!in->settings.count)
		return fail(&call->error, ERROR_INVALID_PARAMETER, "Settings cannot be empty.");
	next = *cluster->record;
	next.settings = settle_settings(call, &in->settings);
	emit(call->plane, call->realm, RECORD_CLUSTER, next.name, &next);
	out->cluster = described(call, cluster, SHOW(SETTINGS));
	return true;
}

/* In the order that AWS looks. */
static bool check_is_empty(struct call *call, const struct cluster_entry *cluster)
{
	if (cluster->counts.live)
		return fail(&call->error, ERROR_CLUSTER_CONTAINS_TASKS,
			    "The Cluster cannot be deleted while Tasks are active.");
	if (count_services(cluster, SERVICE_STATUS_ACTIVE, ECS_LAUNCH_TYPE_ABSENT) ||
	    count_services(cluster, SERVICE_STATUS_DRAINING, ECS_LAUNCH_TYPE_ABSENT))
		return fail(&call->error, ERROR_CLUSTER_CONTAINS_SERVICES,
			    "The Cluster cannot be deleted while Services are active.");
	if (count_instances(cluster))
		return fail(&call->error, ERROR_CLUSTER_CONTAINS_CONTAINER_INSTANCES,
			    "The Cluster cannot be deleted while Container Instances are active.");
	return true;
}

/* Deleting an INACTIVE cluster succeeds again. */
bool ecs_delete_cluster(struct call *call, const struct ecs_delete_cluster_request *in,
			struct ecs_delete_cluster_response *out)
{
	struct cluster_entry *cluster;
	struct cluster next;

	if (!find_cluster(call, in->cluster, false, &cluster) || !check_is_empty(call, cluster))
		return false;
	if (cluster->record->status == CLUSTER_STATUS_ACTIVE) {
		next = *cluster->record;
		next.status = CLUSTER_STATUS_INACTIVE;
		next.inactive_at = (struct maybe_time){plane_now(call->plane), true};
		next.tags = (struct ecs_tags){0};
		emit(call->plane, call->realm, RECORD_CLUSTER, next.name, &next);
	}
	out->cluster = described(call, cluster, 0);
	return true;
}

/* ---- Reading */

static unsigned fields_to_show(const struct ecs_cluster_field_list *include)
{
	unsigned show = 0;

	for (size_t i = 0; i < include->count; i++)
		show |= 1u << include->items[i];
	return show;
}

static void add_described(struct call *call, const struct cluster_entry *cluster, unsigned show,
			  struct ecs_clusters *clusters)
{
	for (size_t i = 0; i < clusters->count; i++)
		if (str_equal(clusters->items[i].cluster_name, cluster->record->name))
			return;
	describe(call, cluster, show, &clusters->items[clusters->count++]);
}

static void add_missing(struct call *call, struct str identifier, struct ecs_failures *failures)
{
	struct str arn =
		str_starts(identifier, S("arn:"))
			? identifier
			: ecs_arn(call->plane, call->realm, "cluster/%.*s", STR(identifier));

	for (size_t i = 0; i < failures->count; i++)
		if (str_equal(failures->items[i].arn, arn))
			return;
	failures->items[failures->count++] =
		(struct ecs_failure){.arn = arn, .reason = S("MISSING")};
}

bool ecs_describe_clusters(struct call *call, const struct ecs_describe_clusters_request *in,
			   struct ecs_describe_clusters_response *out)
{
	struct ecs_string_list by_default = {&(struct str)STR_INIT("default"), 1};
	const struct ecs_string_list *asked = in->clusters.count ? &in->clusters : &by_default;
	unsigned show = fields_to_show(&in->include);

	if (asked->count > DESCRIBE_CLUSTERS_LIMIT)
		return fail(&call->error, ERROR_INVALID_PARAMETER, "Clusters cannot exceed %d.",
			    DESCRIBE_CLUSTERS_LIMIT);
	out->clusters.items = arena_array(call->arena, struct ecs_cluster, asked->count);
	out->failures.items = arena_array(call->arena, struct ecs_failure, asked->count);
	for (size_t i = 0; i < asked->count; i++) {
		struct str identifier = str_empty(asked->items[i]) ? S("default") : asked->items[i];
		struct cluster_entry *cluster;

		if (find_cluster(call, identifier, false, &cluster)) {
			add_described(call, cluster, show, &out->clusters);
			continue;
		}
		if (call->error.code != ERROR_CLUSTER_NOT_FOUND)
			return false;
		call->error = (struct error){0};
		add_missing(call, identifier, &out->failures);
	}
	return true;
}

static bool is_active(const struct sorted_node *node, const void *arg)
{
	return cluster_at(node)->record->status == CLUSTER_STATUS_ACTIVE &&
	       !str_equal(node->key, POOL_CLUSTER);
}

bool ecs_list_clusters(struct call *call, const struct ecs_list_clusters_request *in,
		       struct ecs_list_clusters_response *out)
{
	struct page_request request = {
		.list = S("ListClusters"),
		.token = in->next_token,
		.max_results = in->max_results,
		.fallback = LIST_CLUSTERS_LIMIT,
		.limit = LIST_CLUSTERS_LIMIT,
		.fits = is_active,
	};
	struct page page;

	if (!page_take(call, &call->realm->clusters, &request, &page))
		return false;
	out->cluster_arns = (struct ecs_string_list){
		arena_array(call->arena, struct str, page.count), page.count};
	for (size_t i = 0; i < page.count; i++)
		out->cluster_arns.items[i] = cluster_arn(call->plane, cluster_at(page.nodes[i]));
	out->next_token = page.next_token;
	return true;
}

usec cluster_ends_at(const struct cluster_entry *cluster)
{
	if (cluster->record->status != CLUSTER_STATUS_INACTIVE)
		return USEC_NEVER;
	return cluster->record->inactive_at.value + CLUSTER_RETENTION;
}

bool cluster_settle(struct plane *plane, struct cluster_entry *cluster)
{
	if (plane_now(plane) < cluster_ends_at(cluster))
		return false;
	if (cluster->instances.count || cluster->services.count || cluster->tasks.count)
		return false;
	emit(plane, cluster->realm, RECORD_CLUSTER, entry_id(&cluster->entry), NULL);
	return true;
}
