/* Services: the rules of ecs-behaviour 7, driven through the API with agents that obey. */
#include "test/unit/control/fake_agent.h"

#define HOUR (3600 * USEC_PER_SEC)

static void register_web(struct fleet *fleet)
{
	desk_call(&fleet->desk, "RegisterTaskDefinition",
		  "{'family':'web','containerDefinitions':[{'name':'c','image':'busybox','cpu':128,'memory':64}]}");
}

static void create_web(struct fleet *fleet, int desired, const char *more)
{
	struct str answer;

	register_web(fleet);
	answer = fleet_call(fleet, "CreateService",
			    fleet_text(fleet, "{'serviceName':'web','taskDefinition':'web','desiredCount':%d%s}", desired, more));
	if (!str_starts(answer, S("{'service'")))
		fail_msg("%.*s", STR(answer));
}

static void update_web(struct fleet *fleet, const char *members)
{
	struct str answer = fleet_call(fleet, "UpdateService", fleet_text(fleet, "{'service':'web',%s}", members));

	if (!str_starts(answer, S("{'service'")))
		fail_msg("%.*s", STR(answer));
}

/* Without deployment ids and task ids: "has started 2 tasks: (task …) (task …)." */
static struct str last_event(struct fleet *fleet, const struct ecs_service *service, size_t index)
{
	struct str text;
	size_t colon;

	assert_true(index < service->events.count);
	text = service->events.items[index].message;
	colon = str_find(text, ':');
	if (str_contains(text, S("(task ")) && colon < text.len)
		text = arena_printf(&fleet->desk.arena, "%.*s…", STR(str_slice(text, 0, colon + 1)));
	return text;
}

static bool has_event(const struct ecs_service *service, const char *part)
{
	for (size_t i = 0; i < service->events.count; i++)
		if (str_contains(service->events.items[i].message, str_of(part)))
			return true;
	return false;
}

#define EXPECT_COUNTS(service, running, pending, deployments_) \
	do { \
		const struct ecs_service *service_ = (service); \
		assert_int_equal(service_->running_count.value, (running)); \
		assert_int_equal(service_->pending_count.value, (pending)); \
		assert_int_equal(service_->deployments.count, (deployments_)); \
	} while (0)

TEST(a_new_service_starts_its_tasks_completes_and_is_steady)
{
	auto_fleet fleet;
	const struct ecs_service *service;

	fleet_init(&fleet, 2, 0);
	create_web(&fleet, 4, "");
	service = fleet_service(&fleet, "web");
	EXPECT_COUNTS(service, 4, 0, 1);
	assert_int_equal(fleet_running(&fleet), 4);
	assert_int_equal(service->deployments.items[0].rollout_state, ECS_DEPLOYMENT_ROLLOUT_STATE_COMPLETED);
	EXPECT_STR(last_event(&fleet, service, 0), S("(service web) has reached a steady state."));
	assert_true(str_ends(service->events.items[1].message, S(") deployment completed.")));
	EXPECT_STR(last_event(&fleet, service, 2), S("(service web) has started 4 tasks:…"));
	assert_int_equal(service->events.count, 3);
	assert_int_equal(service->events.items[0].created_at.value - service->events.items[1].created_at.value, USEC_PER_MSEC);
}
