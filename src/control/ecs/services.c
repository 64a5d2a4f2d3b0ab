#include "control/ecs/services.h"
#include <assert.h>
#include "base/buffer.h"
#include "control/call.h"
#include "control/ecs/deployments.h"
#include "control/ecs/launch.h"
#include "control/ecs/placement.h"
#include "control/ecs/tasks.h"

enum {
	IMPAIRED_AFTER = 3,                              /* waves of failed starts until the service says so */
	QUIET_FAILURES = 3,                              /* waves that are tried again within a second or so */
	NAMED_TASKS_LIMIT = 100,                         /* named in one event */
	SMALL_SERVICE = 64,                              /* live tasks; larger ones are not looked at in every step */
	SAMPLE = 256,                                    /* tasks looked at to find one that is least worth keeping */
	CHOICES_LIMIT = 32,                              /* of such tasks in one step */
};

#define INTERFACE_RETRY (30 * USEC_PER_SEC)               /* for an address in a full subnet (ecs-behaviour 7.10) */
#define FIRST_DELAY (250 * USEC_PER_MSEC)
#define START_DELAY_LIMIT (900 * USEC_PER_SEC)           /* ecs-behaviour 7.10 */
#define CRASH_DELAY_LIMIT (10 * USEC_PER_SEC)            /* AWS starts those again on its next pass, of about 10 s */
#define CRASH_AGE (30 * USEC_PER_SEC)                    /* what lived longer did not crash at its start */
#define LOOK_COST_USEC ((usec)2)                         /* a live task; the pause is this share of the time */

void service_touch(struct plane *plane, struct service_entry *service)
{
	usec pause = service->counts.live > SMALL_SERVICE ? service->counts.live * LOOK_COST_USEC : 0;

	wake_set(plane, &service->wake, plane_now(plane) + pause);
}

/* ---- What there is.
 *
 * Every live task of the service is in exactly one of these. A lost task (its instance is silent) counts for nothing
 * but is kept as long as it may come back and be needed. */
struct group { struct task_entry **tasks; size_t count; };

struct look {
	struct plane *plane;
	struct service_entry *service;
	struct service next;                             /* what will be emitted, if it differs */
	struct deployment_bounds bounds;
	int32_t desired;

	struct group keepers;                            /* of the PRIMARY, where they may stay */
	struct group leavers;                            /* to be replaced: of other deployments, on DRAINING instances */
	struct group lost, lost_leavers;
	int32_t total;                                   /* hold their place in the upper bound, also while stopping */
	int32_t running, healthy;                        /* keepers and leavers */
	int32_t keepers_healthy;
	int32_t stopping, starting, settling;            /* PENDING; RUNNING but not yet healthy */
	int32_t unhealthy;                               /* failed their health checks */
	int32_t others_alive;                            /* of other deployments, until they are STOPPED */

	struct group stopped_running;                    /* in this look, for the event */
	int32_t stopped_pending, protected;
	struct group started;
	struct str complaint;
	usec next_look;
};

static void group_add(struct group *group, struct task_entry *task) { group->tasks[group->count++] = task; }

static void look_again(struct look *look, usec at)
{
	look->next_look = MIN(look->next_look, at);
}

static const struct deployment *primary_of(const struct service *service)
{
	return &service->deployments.items[0];
}

static bool is_lost(const struct look *look, const struct task_entry *task)
{
	return task->instance && instance_is_lost(look->plane, task->instance);
}

static bool is_primary(const struct look *look, const struct task_entry *task)
{
	return str_equal(task->record->deployment, primary_of(&look->next)->id);
}

/* Failed its health checks, and not merely while it may still be getting ready. */
static bool is_unhealthy(struct look *look, const struct task_entry *task)
{
	usec grace = look->next.health_check_grace_period_seconds.value * USEC_PER_SEC;

	if (task->record->health_status != ECS_HEALTH_STATUS_UNHEALTHY)
		return false;
	if (!grace || !task->record->started_at.has || plane_now(look->plane) >= task->record->started_at.value + grace)
		return true;
	look_again(look, task->record->started_at.value + grace);
	return false;
}

static bool must_leave(struct look *look, const struct task_entry *task)
{
	return !is_primary(look, task) || is_unhealthy(look, task) ||
	       (task->instance && task->instance->record->status == INSTANCE_STATUS_DRAINING);
}

static void count_present(struct look *look, struct task_entry *task)
{
	usec healthy_at = task_healthy_at(look->plane, task);
	bool running = task->record->last_status == TASK_STATUS_RUNNING;
	bool healthy = healthy_at <= plane_now(look->plane) &&
		       task->record->health_status != ECS_HEALTH_STATUS_UNHEALTHY;

	look->running += running;
	look->healthy += healthy;
	look->starting += !running;
	look->settling += running && !healthy && task->record->health_status != ECS_HEALTH_STATUS_UNHEALTHY;
	if (healthy_at > plane_now(look->plane) && healthy_at != USEC_NEVER)
		look_again(look, healthy_at);
	look->unhealthy += is_unhealthy(look, task);
	if (must_leave(look, task)) {
		group_add(&look->leavers, task);
		return;
	}
	group_add(&look->keepers, task);
	look->keepers_healthy += healthy;
}

static void count_task(struct look *look, struct task_entry *task)
{
	bool wanted = task_is_wanted(task->record);

	if (is_lost(look, task)) {
		if (wanted)
			group_add(must_leave(look, task) ? &look->lost_leavers : &look->lost, task);
		return;
	}
	look->total++;
	look->others_alive += !is_primary(look, task) && task->record->last_status < TASK_STATUS_STOPPING;
	if (wanted)
		count_present(look, task);
	else
		look->stopping++;
}

static void look_begin(struct look *look, struct plane *plane, struct service_entry *service)
{
	struct arena *arena = plane_arena(plane);
	size_t live = (size_t)service->counts.live;
	struct group *groups[] = {&look->keepers, &look->leavers, &look->lost, &look->lost_leavers,
				  &look->stopped_running};
	struct deployments *deployments = &look->next.deployments;
	struct deployment *items;

	*look = (struct look){.plane = plane, .service = service, .next = *service->record, .next_look = USEC_NEVER};
	look->desired = look->next.desired_count.value;
	look->bounds = deployment_bounds(look->desired, look->next.deployment_configuration);
	items = arena_array(arena, struct deployment, deployments->count);
	memcpy(items, deployments->items, deployments->count * sizeof(*items));
	deployments->items = items;
	for (size_t i = 0; i < COUNT(groups); i++)
		groups[i]->tasks = arena_array(arena, struct task_entry *, live);
	CHAIN_EACH(&service->tasks, struct task_entry, of_service, task)
		count_task(look, task);
}

/* ---- What must stop */
/* A deployment whose tasks turn unhealthy fails as one whose tasks do not start (ecs-behaviour 7.6). */
static void say_unhealthy(struct look *look, const struct task_entry *task)
{
	struct deployment *primary = &look->next.deployments.items[0];

	service_say(look->plane, look->service, "(task %.*s) failed container health checks.", STR(task->record->id));
	if (primary->rollout_state == ECS_DEPLOYMENT_ROLLOUT_STATE_IN_PROGRESS)
		primary->failed_tasks = (struct maybe_integer){MIN(primary->failed_tasks.value, INT32_MAX - 1) + 1, true};
}

static void stop(struct look *look, struct task_entry *task)
{
	struct str reason = arena_printf(plane_arena(look->plane), "Scaling activity initiated by (deployment %.*s)",
					 STR(task->record->deployment));

	if (look->next.status == SERVICE_STATUS_ACTIVE && is_primary(look, task) && is_unhealthy(look, task)) {
		reason = S("Task failed container health checks");
		say_unhealthy(look, task);
	}
	if (task->record->last_status == TASK_STATUS_RUNNING)
		group_add(&look->stopped_running, task);
	else
		look->stopped_pending++;
	task_stop(look->plane, task, ECS_TASK_STOP_CODE_SERVICE_SCHEDULER_INITIATED, reason);
	look->stopping++;
}

static void stop_all(struct look *look, const struct group *group)
{
	for (size_t i = 0; i < group->count; i++)
		stop(look, group->tasks[i]);
}

static bool is_healthy(const struct look *look, const struct task_entry *task)
{
	return task_is_healthy(look->plane, task) && task->record->health_status != ECS_HEALTH_STATUS_UNHEALTHY;
}

/* One that is not healthy takes nothing from the lower bound, but while it is RUNNING it may be all there is. */
static bool can_spare(const struct look *look, const struct task_entry *task)
{
	if (task->record->last_status != TASK_STATUS_RUNNING)
		return true;
	if (is_healthy(look, task))
		return look->healthy - 1 >= look->bounds.lower;
	return look->running - 1 >= look->bounds.lower;
}

/* Protection holds off deployments, not what empties an instance. */
static bool is_shielded(struct look *look, const struct task_entry *task)
{
	if (!task_is_protected(look->plane, task))
		return false;
	look->protected++;
	look_again(look, task->record->protected_until.value);
	return true;
}

static void spare(struct look *look, struct task_entry *task)
{
	look->healthy -= is_healthy(look, task);
	if (task->record->last_status == TASK_STATUS_RUNNING)
		look->running--;
	else
		look->starting--;
	stop(look, task);
}

static void stop_leavers(struct look *look, bool healthy)
{
	for (size_t i = 0; i < look->leavers.count; i++) {
		struct task_entry *task = look->leavers.tasks[i];

		if (!task_is_wanted(task->record) || is_healthy(look, task) != healthy || !can_spare(look, task))
			continue;
		if (!is_primary(look, task) && is_shielded(look, task))
			continue;
		spare(look, task);
	}
}

static void take_out(struct group *group, size_t index)
{
	group->tasks[index] = group->tasks[--group->count];
}

/* What is least worth keeping goes first: not yet RUNNING, not yet healthy, then what leaves the best spread. */
static int worth(const struct look *look, const struct task_entry *task)
{
	if (task->record->last_status != TASK_STATUS_RUNNING)
		return 0;
	return is_healthy(look, task) ? 2 : 1;
}

/* Some of them when there are many: choosing takes the square of their number. */
static void least_worth(const struct look *look, const struct group *all, struct group *ret_least)
{
	size_t stride, count = 0, seen = 0;
	int least = 3;

	for (size_t i = 0; i < all->count; i++)
		least = MIN(least, worth(look, all->tasks[i]));
	for (size_t i = 0; i < all->count; i++)
		count += worth(look, all->tasks[i]) == least;
	stride = MAX((count + SAMPLE - 1) / SAMPLE, (size_t)1);
	ret_least->count = 0;
	for (size_t i = 0; i < all->count; i++)
		if (worth(look, all->tasks[i]) == least && seen++ % stride == 0)
			group_add(ret_least, all->tasks[i]);
}

static void stop_one_of(struct look *look, struct group *all, struct group *scratch)
{
	struct task_entry *worst;
	size_t at = 0;

	least_worth(look, all, scratch);
	worst = scratch->tasks[placement_worst(scratch->tasks, scratch->count, &look->next.placement_strategy)];
	while (all->tasks[at] != worst)
		at++;
	take_out(all, at);
	look->keepers_healthy -= is_healthy(look, worst);
	spare(look, worst);
}

static size_t stop_shielded_out(struct look *look, struct group *all)
{
	size_t shielded = 0;

	for (size_t i = all->count; i-- > 0;)
		if (is_shielded(look, all->tasks[i])) {
			take_out(all, i);
			shielded++;
		}
	return shielded;
}

/* More than desired of the PRIMARY: scaled in, or a lost instance came back. */
static void stop_surplus(struct look *look)
{
	size_t desired = (size_t)look->desired, budget = CHOICES_LIMIT, shielded;
	struct group scratch = {.tasks = arena_array(plane_arena(look->plane), struct task_entry *, look->keepers.count)};

	if (look->keepers.count <= desired)
		return;
	shielded = stop_shielded_out(look, &look->keepers);
	while (look->keepers.count > 0 && look->keepers.count + shielded > desired) {
		if (shielded >= desired) {               /* nothing to choose */
			stop_one_of(look, &(struct group){&look->keepers.tasks[look->keepers.count - 1], 1}, &scratch);
			look->keepers.count--;
			continue;
		}
		if (look->keepers.count > SAMPLE && budget-- == 0) {
			look_again(look, plane_now(look->plane) + USEC_PER_MSEC);
			break;
		}
		stop_one_of(look, &look->keepers, &scratch);
	}
	look->keepers.count += shielded;                 /* only their number matters from here */
}

/* Lost tasks beyond what could ever be needed are told to stop should their agent come back. */
static void stop_lost(struct look *look)
{
	stop_all(look, &look->lost_leavers);
	while (look->lost.count > (size_t)look->desired)
		stop(look, look->lost.tasks[--look->lost.count]);
}

static bool is_stalled(const struct look *look)
{
	return primary_of(&look->next)->rollout_state == ECS_DEPLOYMENT_ROLLOUT_STATE_FAILED;
}

static void stop_what_must(struct look *look)
{
	stop_lost(look);
	if (!is_stalled(look)) {
		stop_leavers(look, false);
		stop_leavers(look, true);
	}
	stop_surplus(look);
}

/* ---- What may start */
static struct ecs_tags task_tags(const struct look *look, const struct definition_entry *definition)
{
	const struct service *service = &look->next;
	struct call call = {.plane = look->plane, .arena = plane_arena(look->plane)};
	struct ecs_tags none = {0};

	return launch_tags(&call, look->service->cluster, definition,
			   service->propagate_tags == ECS_PROPAGATE_TAGS_SERVICE ? &service->tags : &none,
			   service->propagate_tags == ECS_PROPAGATE_TAGS_TASK_DEFINITION,
			   service->enable_ecs_managed_tags.value, service->name);
}

static struct task_plan plan_task(const struct look *look, struct definition_entry *definition)
{
	const struct service *service = &look->next;
	const struct deployment *primary = primary_of(service);

	return (struct task_plan){
		.network = launch_network(definition, primary->network_configuration),
		.platform_version = launch_platform(primary->launch_type, primary->platform_version),
		.cluster = look->service->cluster,
		.definition = definition,
		.launch_type = primary->launch_type,
		.needs = task_needs(look->plane, definition, NULL),
		.group = arena_printf(plane_arena(look->plane), "service:%.*s", STR(service->name)),
		.started_by = primary->id,
		.service = service->name, .deployment = primary->id,
		.enable_execute_command = service->enable_execute_command.value,
		.tags = task_tags(look, definition),
	};
}

static struct str no_room(struct plane *plane, const struct placement_class *class)
{
	struct arena *arena = plane_arena(plane);
	struct placement_why why;
	struct str cause;

	if (placement_is_fargate(class))
		return S("was unable to place a task. Reason: Capacity is unavailable at this time. Please try again later or in "
			 "a different availability zone.");
	placement_why(class, &why);
	cause = why.nearest ? arena_printf(arena, "The closest matching (container-instance %.*s) %.*s.",
					   STR(why.nearest->by_id.key), STR(refusal_sentence(why.nearest_refusal)))
			    : S("Reason: No Container Instances were found in your cluster.");
	return arena_printf(arena, "was unable to place a task because no container instance met all of its requirements. "
			    "%.*s For more information, see the Troubleshooting section of the Amazon ECS Developer Guide.",
			    STR(cause));
}

static void start(struct look *look, struct placement_class *class, struct task_plan *plan, size_t wanted)
{
	struct task_entry *task;
	struct error err = {0};

	look->started.tasks = arena_array(plane_arena(look->plane), struct task_entry *, wanted);
	while (look->started.count < wanted) {
		plan->instance = placement_choose(class);
		if (!plan->instance) {
			look->complaint = no_room(look->plane, class);
			placement_wait(look->plane, class, look->service);
			return;
		}
		task = task_create(look->plane, plan, &err);
		if (!task) {
			look->complaint = arena_printf(plane_arena(look->plane), "was unable to place a task. Reason: %s.", err.text);
			look_again(look, plane_now(look->plane) + INTERFACE_RETRY);
			return;
		}
		group_add(&look->started, task);
	}
}

static void place(struct look *look, size_t wanted)
{
	struct definition_entry *definition = entry_find(look->plane, look->service->realm, RECORD_TASK_DEFINITION,
							 primary_of(&look->next)->definition);
	struct arena *arena = plane_arena(look->plane);
	struct placement_request request;
	struct placement_class *class;
	struct error err = {0};
	struct task_plan plan;

	if (!definition) {
		look->complaint = S("failed to launch a task with (error TaskDefinition not found.).");
		return;
	}
	plan = plan_task(look, definition);
	request = (struct placement_request){
		.cluster = plan.cluster, .definition = definition, .launch_type = plan.launch_type,
		.group = plan.group, .needs = plan.needs,
		.zones = launch_zones(look->plane, look->service->realm, plan.network),
		.constraints = look->next.placement_constraints, .strategies = look->next.placement_strategy,
	};
	if (placement_class_get(look->plane, &request, &class, &err))
		start(look, class, &plan, wanted);
	else
		look->complaint = arena_printf(arena, "failed to launch a task with (error %s).", err.text);
}

/* Nothing that is under way will make room: only other percentages would. */
static bool is_wedged(const struct look *look)
{
	return look->stopping == 0 && look->starting == 0 && look->settling == 0 && look->protected == 0;
}

static void start_missing(struct look *look)
{
	int32_t missing = look->desired - (int32_t)look->keepers.count;
	int32_t room = look->bounds.upper - look->total;
	int32_t wanted = MIN(missing, room);

	if (missing <= 0 || is_stalled(look))
		return;
	if (wanted <= 0) {
		if (is_wedged(look))
			look->complaint = S("was unable to stop or start tasks during a deployment because of the service "
					    "deployment configuration. Update the minimumHealthyPercent or maximumPercent "
					    "value and try again.");
		return;
	}
	if (look->next.retry_at.has && look->next.retry_at.value > plane_now(look->plane)) {
		look_again(look, look->next.retry_at.value);
		return;
	}
	place(look, (size_t)MIN(wanted, SERVICE_STARTS_LIMIT));
	if (wanted > SERVICE_STARTS_LIMIT && look->started.count == SERVICE_STARTS_LIMIT)
		look_again(look, plane_now(look->plane) + USEC_PER_MSEC);
}

/* ---- Where the deployments stand */
static bool has_all_it_needs(const struct look *look)
{
	return look->keepers.count == (size_t)look->desired && look->keepers_healthy == look->desired &&
	       look->leavers.count == 0 && look->started.count == 0;
}

static int32_t wanted_of(const struct look *look, struct str deployment)
{
	int32_t count = 0;

	CHAIN_EACH(&look->service->tasks, struct task_entry, of_service, task)
		count += task_is_wanted(task->record) && str_equal(task->record->deployment, deployment);
	return count;
}

static bool is_empty(const struct look *look, struct str deployment)
{
	CHAIN_EACH(&look->service->tasks, struct task_entry, of_service, task)
		if (str_equal(task->record->deployment, deployment) && !is_lost(look, task))
			return false;
	return true;
}

/* The PRIMARY wants what the service wants; the others what is left of them, and leave when that is nothing, unless
 * the service may have to come back to them. */
static void follow(struct look *look)
{
	struct deployments *all = &look->next.deployments;

	if (!is_stalled(look))
		all->items[0].desired_count = look->next.desired_count;
	for (size_t i = all->count; i-- > 1;) {
		struct deployment *deployment = &all->items[i];
		int32_t wanted = wanted_of(look, deployment->id);

		deployment->desired_count.value = MIN(deployment->desired_count.value, wanted);
		if (deployment->rollout_state != ECS_DEPLOYMENT_ROLLOUT_STATE_COMPLETED && is_empty(look, deployment->id))
			deployment_drop(&look->next, i);
	}
}

static bool breaker_trips(const struct look *look)
{
	const struct ecs_deployment_circuit_breaker *breaker =
		look->next.deployment_configuration->deployment_circuit_breaker;
	const struct deployment *primary = primary_of(&look->next);

	return breaker->enable.value && primary->rollout_state == ECS_DEPLOYMENT_ROLLOUT_STATE_IN_PROGRESS &&
	       primary->failed_tasks.value >= deployment_threshold(look->desired, breaker);
}

static void trip_breaker(struct look *look)
{
	struct service *next = &look->next;
	struct str failed = primary_of(next)->id;
	bool back = deployment_fail(look->plane, next,
				    next->deployment_configuration->deployment_circuit_breaker->rollback.value);

	service_say(look->plane, look->service, "(deployment %.*s) deployment failed: tasks failed to start.", STR(failed));
	if (back)
		service_say(look->plane, look->service, "rolling back to deployment %.*s.", STR(primary_of(next)->id));
}

static void complete(struct look *look)
{
	const struct deployment *primary = primary_of(&look->next);

	if (primary->rollout_state != ECS_DEPLOYMENT_ROLLOUT_STATE_IN_PROGRESS || !has_all_it_needs(look) ||
	    look->others_alive > 0)
		return;
	deployment_complete(look->plane, &look->next);
	service_say(look->plane, look->service, "(deployment %.*s) deployment completed.", STR(primary->id));
}

static void judge_steadiness(struct look *look)
{
	struct service *next = &look->next;
	usec now = plane_now(look->plane);
	bool steady = has_all_it_needs(look) && next->deployments.count == 1 &&
		      primary_of(next)->rollout_state == ECS_DEPLOYMENT_ROLLOUT_STATE_COMPLETED;

	if (steady && (!next->steady.value || now >= next->steady_at.value + COMPLAINT_INTERVAL)) {
		service_say(look->plane, look->service, "has reached a steady state.");
		next->steady_at = (struct maybe_time){now, true};
	}
	next->steady = (struct maybe_boolean){steady, true};
	if (steady)
		look_again(look, next->steady_at.value + COMPLAINT_INTERVAL);
}

/* ---- What is said about it */
static struct str name_tasks(struct plane *plane, const struct group *group)
{
	auto_buffer text = {0};

	for (size_t i = 0; i < MIN(group->count, (size_t)NAMED_TASKS_LIMIT); i++)
		buffer_printf(&text, "%s(task %.*s)", i ? " " : "", STR(group->tasks[i]->record->id));
	return arena_copy(plane_arena(plane), buffer_str(&text));
}

static void say_group(const struct look *look, const char *verb, const char *noun, const struct group *group)
{
	if (group->count)
		service_say(look->plane, look->service, "has %s %zu %s: %.*s.", verb, group->count, noun,
			    STR(name_tasks(look->plane, group)));
}

static void say_what_was_done(const struct look *look)
{
	int32_t replaced = MIN(look->unhealthy, (int32_t)look->started.count);

	if (replaced)
		service_say(look->plane, look->service, "has started %zu tasks: %.*s. Amazon ECS replaced %d tasks due to an "
			    "unhealthy status.", look->started.count, STR(name_tasks(look->plane, &look->started)), replaced);
	else
		say_group(look, "started", "tasks", &look->started);
	say_group(look, "stopped", "running tasks", &look->stopped_running);
	if (look->stopped_pending)
		service_say(look->plane, look->service, "stopped %d pending tasks.", look->stopped_pending);
}

static void complain(struct look *look)
{
	struct service *next = &look->next;

	if (look->protected > 0 && !str_has(look->complaint) && look->stopping == 0 && look->started.count == 0)
		look->complaint = arena_printf(plane_arena(look->plane), "was unable to reach steady state because (taskSet "
					       "%.*s) was unable to scale in due to (reason %d tasks under protection)",
					       STR(primary_of(next)->id), look->protected);
	if (!str_has(look->complaint) && next->failed_starts.value >= IMPAIRED_AFTER)
		look->complaint = S("is unable to consistently start tasks successfully. For more information, see the "
				    "Troubleshooting section of the Amazon ECS Developer Guide.");
	service_complain(look->plane, look->service, next, look->complaint);
	if (str_has(next->complaint))
		look_again(look, next->complaint_at.value + COMPLAINT_INTERVAL);
}

/* ---- The end of a service */
static bool is_at_rest(const struct look *look)
{
	CHAIN_EACH(&look->service->tasks, struct task_entry, of_service, task)
		if (task->record->last_status < TASK_STATUS_STOPPING && !is_lost(look, task))
			return false;
	return true;
}

static void wind_down(struct look *look)
{
	struct group *groups[] = {&look->keepers, &look->leavers, &look->lost, &look->lost_leavers};

	for (size_t i = 0; i < COUNT(groups); i++)
		stop_all(look, groups[i]);
	say_what_was_done(look);
	if (!is_at_rest(look))
		return;
	look->next.status = SERVICE_STATUS_INACTIVE;
	look->next.inactive_at = (struct maybe_time){plane_now(look->plane), true};
	look_again(look, look->next.inactive_at.value + SERVICE_RETENTION);
}

/* Tasks of an unreachable instance may outlive their service for a while; their end touches it again. */
static void forget(struct plane *plane, struct service_entry *service)
{
	usec due = service->record->inactive_at.value + SERVICE_RETENTION;

	if (plane_now(plane) < due) {
		wake_set(plane, &service->wake, due);
		return;
	}
	if (!chain_empty(&service->tasks))
		return;
	service_forget_events(plane, service);
	emit(plane, service->realm, RECORD_SERVICE, entry_id(&service->entry), NULL);
}

/* ---- The rules, in order */
static void maintain(struct look *look)
{
	if (breaker_trips(look)) {
		trip_breaker(look);
		look_again(look, plane_now(look->plane));
		return;
	}
	stop_what_must(look);
	start_missing(look);
	follow(look);
	say_what_was_done(look);
	complete(look);
	judge_steadiness(look);
	complain(look);
}

static void reconcile(struct plane *plane, struct service_entry *service)
{
	struct look look;

	look_begin(&look, plane, service);
	placement_wait_end(service);
	if (look.next.status == SERVICE_STATUS_ACTIVE)
		maintain(&look);
	else
		wind_down(&look);
	if (!shape_equal(&shape_service, service->record, &look.next))
		emit(plane, service->realm, RECORD_SERVICE, entry_id(&service->entry), &look.next);
	if (look.next_look != USEC_NEVER)
		wake_set(plane, &service->wake, look.next_look);
}

void service_wake(struct plane *plane, struct wake *wake)
{
	struct service_entry *service = CONTAINER_OF(wake, struct service_entry, wake);

	if (service->record->status == SERVICE_STATUS_INACTIVE)
		forget(plane, service);
	else
		reconcile(plane, service);
}

/* ---- Starts that fail (ecs-behaviour 7.10).
 *
 * Tasks fail in waves: what was started before the last delay was set belongs to the wave that set it. A wave that
 * never reached RUNNING doubles the delay up to START_DELAY_LIMIT; one that ran and crashed, up to CRASH_DELAY_LIMIT. */
static usec delay_after(int32_t failures, usec limit)
{
	usec delay = FIRST_DELAY;

	for (int32_t i = QUIET_FAILURES - 1; i < failures && delay < limit; i++)
		delay *= 2;
	return MIN(delay, limit);
}

static void hold_starts(struct plane *plane, struct service *next, struct maybe_integer *failures, usec limit)
{
	*failures = (struct maybe_integer){MIN(failures->value, INT16_MAX) + 1, true};
	next->retry_at = (struct maybe_time){plane_now(plane) + delay_after(failures->value, limit), true};
}

static bool is_new_wave(const struct service *service, const struct task *task)
{
	return !service->retry_at.has || task->created_at.value >= service->retry_at.value;
}

static struct deployment *own_primary(struct plane *plane, struct service *next)
{
	struct deployment *items = arena_array(plane_arena(plane), struct deployment, next->deployments.count);

	memcpy(items, next->deployments.items, next->deployments.count * sizeof(*items));
	next->deployments.items = items;
	return &items[0];
}

void service_task_failed(struct plane *plane, struct service_entry *service, const struct task *task)
{
	struct service next = *service->record;
	struct deployment *primary = own_primary(plane, &next);

	if (next.status != SERVICE_STATUS_ACTIVE || !str_equal(task->deployment, primary->id))
		return;
	if (!task->started_at.has) {
		primary->failed_tasks = (struct maybe_integer){MIN(primary->failed_tasks.value, INT32_MAX - 1) + 1, true};
		if (is_new_wave(&next, task))
			hold_starts(plane, &next, &next.failed_starts, START_DELAY_LIMIT);
	} else if (plane_now(plane) >= task->started_at.value + CRASH_AGE) {
		next.crashes = (struct maybe_integer){0, true};
	} else if (is_new_wave(&next, task)) {
		hold_starts(plane, &next, &next.crashes, CRASH_DELAY_LIMIT);
	}
	if (!shape_equal(&shape_service, service->record, &next))
		emit(plane, service->realm, RECORD_SERVICE, entry_id(&service->entry), &next);
}

void service_task_started(struct plane *plane, struct service_entry *service, const struct task *task)
{
	struct service next = *service->record;
	struct deployment *primary = own_primary(plane, &next);
	const struct ecs_deployment_circuit_breaker *breaker = next.deployment_configuration->deployment_circuit_breaker;

	if (next.status != SERVICE_STATUS_ACTIVE || !str_equal(task->deployment, primary->id) || (!next.failed_starts.value && !primary->failed_tasks.value))
		return;
	next.failed_starts = (struct maybe_integer){0, true};
	if (breaker->reset_on_healthy_task.value)
		primary->failed_tasks = (struct maybe_integer){0, true};
	emit(plane, service->realm, RECORD_SERVICE, entry_id(&service->entry), &next);
}

/* ---- Questions */
static bool is_present(const struct plane *plane, const struct task_entry *task)
{
	return task_is_wanted(task->record) && !(task->instance && instance_is_lost(plane, task->instance));
}

struct service_census service_count(const struct plane *plane, const struct service_entry *service, struct str deployment)
{
	struct service_census census = {0};

	CHAIN_EACH(&service->tasks, struct task_entry, of_service, task) {
		if (!is_present(plane, task) ||
		    (str_has(deployment) && !str_equal(task->record->deployment, deployment)))
			continue;
		if (task->record->last_status == TASK_STATUS_RUNNING)
			census.running++;
		else
			census.pending++;
	}
	return census;
}

struct str service_why(struct plane *plane, const struct service_entry *service)
{
	const struct service *record = service->record;
	struct service_census census = service_count(plane, service, STR_NONE);
	struct arena *arena = plane_arena(plane);

	if (record->status != SERVICE_STATUS_ACTIVE || (record->steady.value && !str_has(record->complaint)))
		return STR_NONE;
	if (service->waiting)
		return no_room(plane, service->waiting);
	if (str_has(record->complaint))
		return record->complaint;
	if (record->retry_at.has && record->retry_at.value > plane_now(plane))
		return arena_printf(arena, "holds off new tasks for another %lld ms, because its tasks keep %s.",
				    (long long)((record->retry_at.value - plane_now(plane)) / USEC_PER_MSEC),
				    record->failed_starts.value ? "failing to start" : "exiting soon after their start");
	if (primary_of(record)->rollout_state == ECS_DEPLOYMENT_ROLLOUT_STATE_FAILED)
		return arena_printf(arena, "has a failed deployment: %.*s", STR(primary_of(record)->rollout_state_reason));
	return arena_printf(arena, "has %d of %d tasks running and %d pending.", census.running,
			    record->desired_count.value, census.pending);
}
