#include "control/ecs/deployments.h"
#include <assert.h>
#include <inttypes.h>
#include "control/ecs/launch.h"

struct deployment_bounds deployment_bounds(int32_t desired, const struct ecs_deployment_configuration *configuration)
{
	int64_t lower = ((int64_t)desired * configuration->minimum_healthy_percent.value + 99) / 100;
	int64_t upper = (int64_t)desired * configuration->maximum_percent.value / 100;

	return (struct deployment_bounds){(int32_t)lower, (int32_t)MIN(upper, INT32_MAX)};
}

int32_t deployment_threshold(int32_t desired, const struct ecs_deployment_circuit_breaker *breaker)
{
	enum { SMALLEST = 3, LARGEST = 200 };
	const struct ecs_threshold_configuration *threshold = breaker->threshold_configuration;
	int64_t share = ((int64_t)desired * threshold->value.value + 99) / 100;

	if (threshold->type == ECS_THRESHOLD_TYPE_COUNT)
		return threshold->value.value;
	if (threshold->type == ECS_THRESHOLD_TYPE_BOUNDED_PERCENT)
		share = MAX(SMALLEST, MIN(share, LARGEST));
	return (int32_t)MAX(share, 1);
}

static void set_state(struct plane *plane, struct deployment *deployment, enum ecs_deployment_rollout_state state,
		      struct str reason)
{
	deployment->rollout_state = state;
	deployment->rollout_state_reason = reason;
	deployment->updated_at = (struct maybe_time){plane_now(plane), true};
}

static struct str deployment_id(struct plane *plane)
{
	enum { DIGITS_19 = 1000000000000000000 };        /* AWS's have 19 or 20 digits */
	uint64_t number;

	do
		number = random_next(plane_random(plane));
	while (number < DIGITS_19);
	return arena_printf(plane_arena(plane), "ecs-svc/%" PRIu64, number);
}

static struct str service_deployment_id(struct plane *plane)
{
	static const char letters[] = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
	enum { LENGTH = 21 };
	char *id = arena_alloc_bytes(plane_arena(plane), LENGTH);

	for (size_t i = 0; i < LENGTH; i++)
		id[i] = letters[random_below(plane_random(plane), sizeof(letters) - 1)];
	return (struct str){id, LENGTH};
}

static struct deployment new_deployment(struct plane *plane, const struct service *service, struct str definition)
{
	struct maybe_time now = {plane_now(plane), true};
	struct str id = deployment_id(plane);

	return (struct deployment){
		.id = id,
		.service_deployment = service_deployment_id(plane),
		.definition = definition,
		.desired_count = service->desired_count,
		.failed_tasks = {0, true},
		.rollout_state = ECS_DEPLOYMENT_ROLLOUT_STATE_IN_PROGRESS,
		.rollout_state_reason = arena_printf(plane_arena(plane), "ECS deployment %.*s in progress.", STR(id)),
		.launch_type = service->launch_type,
		.platform_version = launch_platform(service->launch_type, service->platform_version),
		.network_configuration = service->network_configuration,
		.created_at = now, .updated_at = now,
	};
}

void deployment_reset_throttle(struct service *next)
{
	next->failed_starts = next->crashes = (struct maybe_integer){0, true};
	next->retry_at = (struct maybe_time){0};
}

void deployment_begin(struct plane *plane, struct service *next, struct str definition)
{
	size_t kept = MIN(next->deployments.count, (size_t)DEPLOYMENTS_LIMIT - 1);
	struct deployment *items = arena_array(plane_arena(plane), struct deployment, kept + 1);

	items[0] = new_deployment(plane, next, definition);
	if (kept)
		memcpy(items + 1, next->deployments.items, kept * sizeof(*items));
	next->deployments = (struct deployments){items, kept + 1};
	deployment_reset_throttle(next);
}

void deployment_complete(struct plane *plane, struct service *next)
{
	struct deployment *primary = &next->deployments.items[0];

	set_state(plane, primary, ECS_DEPLOYMENT_ROLLOUT_STATE_COMPLETED,
		  arena_printf(plane_arena(plane), "ECS deployment %.*s completed.", STR(primary->id)));
	next->deployments.count = 1;
}

static size_t newest_completed(const struct service *service)
{
	size_t i = 1;

	while (i < service->deployments.count &&
	       service->deployments.items[i].rollout_state != ECS_DEPLOYMENT_ROLLOUT_STATE_COMPLETED)
		i++;
	return i;
}

bool deployment_fail(struct plane *plane, struct service *next, bool roll_back)
{
	struct deployment *items = next->deployments.items, target;
	size_t at = newest_completed(next);

	set_state(plane, &items[0], ECS_DEPLOYMENT_ROLLOUT_STATE_FAILED,
		  S("ECS deployment circuit breaker: tasks failed to start."));
	if (!roll_back || at == next->deployments.count)
		return false;
	items[0].desired_count = (struct maybe_integer){0, true};
	target = items[at];
	memmove(items + 1, items, at * sizeof(*items));
	target.failed_tasks = (struct maybe_integer){0, true};
	target.desired_count = next->desired_count;
	set_state(plane, &target, ECS_DEPLOYMENT_ROLLOUT_STATE_IN_PROGRESS,
		  arena_printf(plane_arena(plane), "ECS deployment circuit breaker: rolling back to deploymentId %.*s.",
			       STR(target.id)));
	items[0] = target;
	next->network_configuration = target.network_configuration;
	if (!str_equal(launch_platform(next->launch_type, next->platform_version), target.platform_version))
		next->platform_version = target.platform_version;
	deployment_reset_throttle(next);
	return true;
}

void deployment_drop(struct service *next, size_t index)
{
	assert(index > 0);
	list_remove_at(&next->deployments, index);
}
