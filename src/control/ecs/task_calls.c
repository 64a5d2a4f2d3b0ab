/* StopTask, DescribeTasks, ListTasks and task protection. */
#include "api/ecs_handlers.h"
#include "control/call.h"
#include "control/ecs/instances.h"
#include "control/ecs/services.h"
#include "control/ecs/tasks.h"
#include "control/paging.h"

enum {
	DESCRIBE_LIMIT = 100, PROTECT_LIMIT = 10, GET_PROTECTION_LIMIT = 100, REASON_LIMIT = 1024,
	PROTECTION_MINUTES = 120, PROTECTION_MINUTES_LIMIT = 2880,
};

static struct task_entry *find_task(struct call *call, const struct cluster_entry *cluster, struct str identifier)
{
	struct str id = identifier_in_cluster(call, cluster, S("task"), identifier);
	struct sorted_node *node = str_has(id) ? sorted_get(&cluster->tasks, id) : NULL;

	return node ? CONTAINER_OF(node, struct task_entry, by_id) : NULL;
}

bool ecs_stop_task(struct call *call, const struct ecs_stop_task_request *in, struct ecs_stop_task_response *out)
{
	struct cluster_entry *cluster;
	struct task_entry *task;
	enum task_status before;

	if (!find_cluster(call, in->cluster, false, &cluster))
		return false;
	task = find_task(call, cluster, in->task);
	if (!task)
		return fail(&call->error, ERROR_INVALID_PARAMETER, "The referenced task was not found.");
	if (in->reason.len > REASON_LIMIT)
		return fail(&call->error, ERROR_INVALID_PARAMETER, "reason can have at most %d characters.", REASON_LIMIT);
	before = task->record->last_status;
	task_stop(call->plane, task, ECS_TASK_STOP_CODE_USER_INITIATED,
		  str_empty(in->reason) ? S("Task stopped by user") : in->reason);
	out->task = arena_new(call->arena, struct ecs_task);
	describe_task(call->plane, task, false, out->task);
	out->task->last_status = shape_word_text(&shape_task_status, (int32_t)before);   /* as AWS answers (ecs-behaviour 5.1) */
	return true;
}

bool ecs_describe_tasks(struct call *call, const struct ecs_describe_tasks_request *in, struct ecs_describe_tasks_response *out)
{
	struct cluster_entry *cluster;
	bool with_tags = false;

	if (!find_cluster(call, in->cluster, false, &cluster))
		return false;
	if (in->tasks.count == 0)
		return fail(&call->error, ERROR_INVALID_PARAMETER, "Tasks cannot be empty.");
	if (in->tasks.count > DESCRIBE_LIMIT)
		return fail(&call->error, ERROR_INVALID_PARAMETER, "Tasks list cannot exceed %d.", DESCRIBE_LIMIT);
	for (size_t i = 0; i < in->include.count; i++)
		with_tags |= in->include.items[i] == ECS_TASK_FIELD_TAGS;
	out->tasks.items = arena_array(call->arena, struct ecs_task, in->tasks.count);
	out->failures.items = arena_array(call->arena, struct ecs_failure, in->tasks.count);
	for (size_t i = 0; i < in->tasks.count; i++) {
		struct task_entry *task = find_task(call, cluster, in->tasks.items[i]);

		if (str_listed(in->tasks.items, i, in->tasks.items[i]))
			continue;
		if (task)
			describe_task(call->plane, task, with_tags, &out->tasks.items[out->tasks.count++]);
		else
			add_failure(call, &out->failures, missing_arn(call, cluster, S("task"), in->tasks.items[i]), S("MISSING"));
	}
	return true;
}

/* ---- ListTasks */
struct task_filter {
	const struct ecs_list_tasks_request *in;
	struct str instance, service;                    /* ids */
	enum ecs_desired_status desired;
};

static bool is_of_family(const struct task *task, struct str family)
{
	return str_equal(str_slice(task->definition, 0, str_find_last(task->definition, ':')), family);
}

static bool task_fits(const struct sorted_node *node, const void *arg)
{
	const struct task *task = CONTAINER_OF(node, struct task_entry, by_id)->record;
	const struct task_filter *filter = arg;
	const struct ecs_list_tasks_request *in = filter->in;

	return task->desired_status == filter->desired &&
	       (!str_has(filter->instance) || (str_equal(task->instance, filter->instance) &&
					       task->launch_type != ECS_LAUNCH_TYPE_FARGATE)) &&
	       (!str_has(filter->service) || str_equal(task->service, filter->service)) &&
	       (!str_has(in->family) || is_of_family(task, in->family)) &&
	       (!str_has(in->started_by) || str_equal(task->started_by, in->started_by)) &&
	       (!in->launch_type || task->launch_type == in->launch_type);
}

static bool resolve_filter(struct call *call, const struct cluster_entry *cluster, struct task_filter *filter)
{
	const struct ecs_list_tasks_request *in = filter->in;

	if (str_has(in->container_instance)) {
		filter->instance = identifier_in_cluster(call, cluster, S("container-instance"), in->container_instance);
		if (!str_has(filter->instance) || !sorted_get(&cluster->instances, filter->instance))
			return fail(&call->error, ERROR_INVALID_PARAMETER, "Referenced container instance %.*s not found.",
				    STR(in->container_instance));
	}
	if (str_has(in->service_name)) {
		filter->service = identifier_in_cluster(call, cluster, S("service"), in->service_name);
		if (!str_has(filter->service) || !sorted_get(&cluster->services, filter->service))
			return fail(&call->error, ERROR_SERVICE_NOT_FOUND, "Service not found.");
	}
	return true;
}

static bool check_filters(struct call *call, const struct ecs_list_tasks_request *in)
{
	if (str_has(in->started_by) && (str_has(in->container_instance) || str_has(in->family) || str_has(in->service_name)))
		return fail(&call->error, ERROR_INVALID_PARAMETER, "startedBy must be the only filter when it is specified.");
	if (str_has(in->daemon_name))
		return fail(&call->error, ERROR_UNSUPPORTED_FEATURE, "Wherry does not do managed daemons yet.");
	return true;
}

bool ecs_list_tasks(struct call *call, const struct ecs_list_tasks_request *in, struct ecs_list_tasks_response *out)
{
	struct task_filter filter = {.in = in,
				     .desired = in->desired_status ? in->desired_status : ECS_DESIRED_STATUS_RUNNING};
	struct page_request request = {.token = in->next_token, .max_results = in->max_results, .fallback = 100,
				       .limit = 100, .fits = task_fits, .arg = &filter};
	struct cluster_entry *cluster;
	struct page page;

	if (!find_cluster(call, in->cluster, false, &cluster) || !check_filters(call, in) ||
	    !resolve_filter(call, cluster, &filter))
		return false;
	request.list = arena_printf(call->arena, "ListTasks/%.*s/%.*s/%.*s/%.*s/%.*s/%d/%d", STR(cluster->record->name),
				    STR(filter.instance), STR(filter.service), STR(in->family), STR(in->started_by),
				    filter.desired, in->launch_type);
	if (!page_take(call, &cluster->tasks, &request, &page))
		return false;
	out->task_arns.items = arena_array(call->arena, struct str, page.count);
	for (size_t i = 0; i < page.count; i++)
		out->task_arns.items[out->task_arns.count++] =
			task_arn(call->plane, CONTAINER_OF(page.nodes[i], struct task_entry, by_id));
	out->next_token = page.next_token;
	return true;
}

/* ---- protection (ecs-behaviour 5.8) */
static void describe_protection(struct call *call, const struct task_entry *task, struct ecs_protected_task *out)
{
	bool protected = task_is_protected(call->plane, task);

	*out = (struct ecs_protected_task){.task_arn = task_arn(call->plane, task), .protection_enabled = {protected, true}};
	if (protected)
		out->expiration_date = task->record->protected_until;
}

static bool can_be_protected(const struct task_entry *task)
{
	return str_has(task->record->service) && task_is_wanted(task->record);
}

static void protect(struct call *call, struct task_entry *task, const struct ecs_update_task_protection_request *in)
{
	usec minutes = in->expires_in_minutes.has ? in->expires_in_minutes.value : PROTECTION_MINUTES;
	struct task next = *task->record;

	next.protected_until = (struct maybe_time){0};
	if (in->protection_enabled.value)
		next.protected_until = (struct maybe_time){plane_now(call->plane) + minutes * 60 * USEC_PER_SEC, true};
	task_emit(call->plane, task, &next);
	if (next.protected_until.has)
		wake_set(call->plane, &task->wake, next.protected_until.value);
	service_touch(call->plane, task->service);
}

bool ecs_update_task_protection(struct call *call, const struct ecs_update_task_protection_request *in,
				struct ecs_update_task_protection_response *out)
{
	int32_t minutes = in->expires_in_minutes.has ? in->expires_in_minutes.value : 1;
	struct cluster_entry *cluster;

	if (!find_cluster(call, in->cluster, false, &cluster))
		return false;
	if (in->tasks.count == 0 || in->tasks.count > PROTECT_LIMIT)
		return fail(&call->error, ERROR_INVALID_PARAMETER, in->tasks.count ? "Tasks list cannot exceed 10." : "Tasks cannot be empty.");
	if (minutes < 1 || minutes > PROTECTION_MINUTES_LIMIT)
		return fail(&call->error, ERROR_INVALID_PARAMETER, "expiresInMinutes must be between 1 and %d", PROTECTION_MINUTES_LIMIT);
	out->protected_tasks.items = arena_array(call->arena, struct ecs_protected_task, in->tasks.count);
	out->failures.items = arena_array(call->arena, struct ecs_failure, in->tasks.count);
	for (size_t i = 0; i < in->tasks.count; i++) {
		struct task_entry *task = find_task(call, cluster, in->tasks.items[i]);

		if (!task || !can_be_protected(task)) {
			add_failure(call, &out->failures, task ? task_arn(call->plane, task)
				    : missing_arn(call, cluster, S("task"), in->tasks.items[i]),
				    task ? S("TASK_NOT_VALID") : S("MISSING"));
			continue;
		}
		protect(call, task, in);
		describe_protection(call, task, &out->protected_tasks.items[out->protected_tasks.count++]);
	}
	return true;
}

bool ecs_get_task_protection(struct call *call, const struct ecs_get_task_protection_request *in,
			     struct ecs_get_task_protection_response *out)
{
	struct cluster_entry *cluster;

	if (!find_cluster(call, in->cluster, false, &cluster))
		return false;
	if (in->tasks.count > GET_PROTECTION_LIMIT)
		return fail(&call->error, ERROR_INVALID_PARAMETER, "Tasks list cannot exceed %d.", GET_PROTECTION_LIMIT);
	out->protected_tasks.items = arena_array(call->arena, struct ecs_protected_task, in->tasks.count);
	out->failures.items = arena_array(call->arena, struct ecs_failure, in->tasks.count);
	for (size_t i = 0; i < in->tasks.count; i++) {
		struct task_entry *task = find_task(call, cluster, in->tasks.items[i]);

		if (task && task_is_live(task->record))
			describe_protection(call, task, &out->protected_tasks.items[out->protected_tasks.count++]);
		else
			add_failure(call, &out->failures, missing_arn(call, cluster, S("task"), in->tasks.items[i]), S("MISSING"));
	}
	return true;
}
