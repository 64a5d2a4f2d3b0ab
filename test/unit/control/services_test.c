/* Services: the rules of ecs-behaviour 7, driven through the API with agents that obey. */
#include "test/unit/control/fake_agent.h"
#include "base/random.h"
#include "control/ecs/deployments.h"

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
			    desk_text(&fleet->desk, "{'serviceName':'web','taskDefinition':'web','desiredCount':%d%s}", desired, more));
	if (!str_starts(answer, S("{'service'")))
		fail_msg("%.*s", STR(answer));
}

static void update_web(struct fleet *fleet, const char *members)
{
	struct str answer = fleet_call(fleet, "UpdateService", desk_text(&fleet->desk, "{'service':'web',%s}", members));

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

/* ---- Rolling updates (7.5) */
TEST(bounds_round_the_lower_up_and_the_upper_down)
{
	static const struct { int32_t desired, minimum, maximum, lower, upper; } rows[] = {
		{1, 100, 200, 1, 2}, {4, 50, 100, 2, 4}, {3, 100, 125, 3, 3}, {3, 50, 150, 2, 4}, {5, 0, 100, 0, 5},
		{0, 100, 200, 0, 0}, {5000, 99, 100000, 4950, 5000000},
	};

	for (size_t i = 0; i < COUNT(rows); i++) {
		struct ecs_deployment_configuration configuration = {
			.minimum_healthy_percent = {rows[i].minimum, true}, .maximum_percent = {rows[i].maximum, true}};
		struct deployment_bounds bounds = deployment_bounds(rows[i].desired, &configuration);

		assert_int_equal(bounds.lower, rows[i].lower);
		assert_int_equal(bounds.upper, rows[i].upper);
	}
}

TEST(the_circuit_breakers_threshold_is_bounded_unless_told_otherwise)
{
	static const struct { enum ecs_threshold_type type; int32_t value, desired, expected; } rows[] = {
		{ECS_THRESHOLD_TYPE_BOUNDED_PERCENT, 50, 1, 3}, {ECS_THRESHOLD_TYPE_BOUNDED_PERCENT, 50, 25, 13},
		{ECS_THRESHOLD_TYPE_BOUNDED_PERCENT, 50, 800, 200}, {ECS_THRESHOLD_TYPE_UNBOUNDED_PERCENT, 50, 800, 400},
		{ECS_THRESHOLD_TYPE_UNBOUNDED_PERCENT, 50, 1, 1}, {ECS_THRESHOLD_TYPE_COUNT, 7, 800, 7},
	};

	for (size_t i = 0; i < COUNT(rows); i++) {
		struct ecs_threshold_configuration threshold = {.type = rows[i].type, .value = {rows[i].value, true}};
		struct ecs_deployment_circuit_breaker breaker = {.threshold_configuration = &threshold};

		assert_int_equal(deployment_threshold(rows[i].desired, &breaker), rows[i].expected);
	}
}

TEST(rolling_update_of_four_at_50_100_stops_two_first)
{
	auto_fleet fleet;
	const struct ecs_service *service;

	fleet_init(&fleet, 1, 0);
	create_web(&fleet, 4, ",'deploymentConfiguration':{'minimumHealthyPercent':50,'maximumPercent':100}");
	fleet_linger(&fleet, true);
	register_web(&fleet);
	update_web(&fleet, "'taskDefinition':'web'");
	service = fleet_service(&fleet, "web");
	EXPECT_COUNTS(service, 2, 0, 2);
	assert_int_equal(service->deployments.items[0].running_count.value, 0);
	assert_int_equal(service->deployments.items[1].desired_count.value, 2);
	assert_int_equal(fleet_running(&fleet), 4);
	EXPECT_STR(last_event(&fleet, service, 0), S("(service web) has stopped 2 running tasks:…"));
	fleet_linger(&fleet, false);
	service = fleet_service(&fleet, "web");
	EXPECT_COUNTS(service, 4, 0, 1);
	assert_true(str_ends(service->task_definition, S("task-definition/web:2")));
	assert_int_equal(fleet_running(&fleet), 4);
}

TEST(rolling_update_of_one_at_100_200_starts_one_then_stops_one)
{
	auto_fleet fleet;
	const struct ecs_service *service;

	fleet_init(&fleet, 1, 0);
	create_web(&fleet, 1, "");
	register_web(&fleet);
	fleet_mode(&fleet, FAKE_WAITS);
	update_web(&fleet, "'taskDefinition':'web'");
	service = fleet_service(&fleet, "web");
	EXPECT_COUNTS(service, 1, 1, 2);
	EXPECT_STR(service->deployments.items[0].status, S("PRIMARY"));
	assert_int_equal(service->deployments.items[0].rollout_state, ECS_DEPLOYMENT_ROLLOUT_STATE_IN_PROGRESS);
	EXPECT_STR(service->deployments.items[1].status, S("ACTIVE"));
	fleet_mode(&fleet, FAKE_RUNS);
	EXPECT_COUNTS(fleet_service(&fleet, "web"), 1, 0, 1);
	assert_int_equal(fleet_running(&fleet), 1);
}

TEST(an_update_at_100_125_of_three_is_wedged_and_says_so_once)
{
	auto_fleet fleet;
	const struct ecs_service *service;
	size_t events;

	fleet_init(&fleet, 1, 0);
	create_web(&fleet, 3, ",'deploymentConfiguration':{'minimumHealthyPercent':100,'maximumPercent':125}");
	update_web(&fleet, "'forceNewDeployment':true");
	service = fleet_service(&fleet, "web");
	EXPECT_COUNTS(service, 3, 0, 2);
	EXPECT_STR(last_event(&fleet, service, 0),
		   S("(service web) was unable to stop or start tasks during a deployment because of the service deployment "
		     "configuration. Update the minimumHealthyPercent or maximumPercent value and try again."));
	events = service->events.count;
	fleet_wait(&fleet, HOUR);
	assert_int_equal(fleet_service(&fleet, "web")->events.count, events);
	fleet_wait(&fleet, 6 * HOUR);
	assert_int_equal(fleet_service(&fleet, "web")->events.count, events + 1);
	update_web(&fleet, "'deploymentConfiguration':{'maximumPercent':200}");
	EXPECT_COUNTS(fleet_service(&fleet, "web"), 3, 0, 1);
}

TEST(old_tasks_stay_until_the_new_ones_are_healthy)
{
	auto_fleet fleet;
	const struct ecs_service *service;

	fleet_init(&fleet, 1, 40 * USEC_PER_SEC);
	create_web(&fleet, 2, "");
	assert_int_equal(fleet_service(&fleet, "web")->deployments.items[0].rollout_state,
			 ECS_DEPLOYMENT_ROLLOUT_STATE_IN_PROGRESS);
	fleet_wait(&fleet, 40 * USEC_PER_SEC);
	assert_int_equal(fleet_service(&fleet, "web")->deployments.items[0].rollout_state,
			 ECS_DEPLOYMENT_ROLLOUT_STATE_COMPLETED);
	update_web(&fleet, "'forceNewDeployment':true");
	fleet_wait(&fleet, 39 * USEC_PER_SEC);
	service = fleet_service(&fleet, "web");
	EXPECT_COUNTS(service, 4, 0, 2);
	fleet_wait(&fleet, USEC_PER_SEC);
	EXPECT_COUNTS(fleet_service(&fleet, "web"), 2, 0, 1);
}

TEST(the_same_definition_makes_no_deployment_and_a_count_only_moves_updated_at)
{
	auto_fleet fleet;
	struct str before;
	struct str reply;

	fleet_init(&fleet, 1, 0);
	create_web(&fleet, 1, "");
	before = arena_copy(&fleet.desk.arena, fleet_service(&fleet, "web")->deployments.items[0].id);
	fleet_wait(&fleet, USEC_PER_SEC);
	reply = fleet_call(&fleet, "UpdateService", "{'service':'web','desiredCount':3,'taskDefinition':'web:1'}");
	assert_true(str_contains(reply, S("'status':'PRIMARY','taskDefinition':'arn:aws:ecs:us-east-1:123456789012:"
					  "task-definition/web:1','desiredCount':1")));
	assert_true(str_contains(reply, S("'desiredCount':3,'runningCount':1")));
	assert_false(str_contains(reply, S("currentServiceDeployment'")));
	assert_true(str_contains(reply, S("currentServiceRevisions")));
	EXPECT_STR(fleet_service(&fleet, "web")->deployments.items[0].id, before);
	assert_int_equal(fleet_service(&fleet, "web")->deployments.items[0].desired_count.value, 3);
	EXPECT_COUNTS(fleet_service(&fleet, "web"), 3, 0, 1);
}

TEST(many_updates_in_a_row_end_in_the_last_one)
{
	auto_fleet fleet;
	const struct ecs_service *service;

	fleet_init(&fleet, 1, 0);
	create_web(&fleet, 2, "");
	fleet_mode(&fleet, FAKE_WAITS);
	for (int i = 0; i < 30; i++) {
		update_web(&fleet, "'forceNewDeployment':true");
		assert_true(fleet_service(&fleet, "web")->deployments.count <= 20);
	}
	fleet_mode(&fleet, FAKE_RUNS);
	service = fleet_service(&fleet, "web");
	EXPECT_COUNTS(service, 2, 0, 1);
	assert_int_equal(fleet_running(&fleet), 2);
	assert_true(service->events.count <= 100);
}

/* ---- Keeping up */
TEST(a_killed_task_is_replaced)
{
	auto_fleet fleet;

	fleet_init(&fleet, 1, 0);
	create_web(&fleet, 2, "");
	fleet_wait(&fleet, 60 * USEC_PER_SEC);
	fleet_kill(&fleet, 0, 0);
	EXPECT_COUNTS(fleet_service(&fleet, "web"), 2, 0, 1);
	EXPECT_STR(last_event(&fleet, fleet_service(&fleet, "web"), 0), S("(service web) has reached a steady state."));
}

TEST(scaling_in_stops_pending_tasks_first_and_keeps_the_spread)
{
	auto_fleet fleet;
	const struct ecs_service *service;

	fleet_init(&fleet, 2, 0);
	create_web(&fleet, 6, "");
	fleet_mode(&fleet, FAKE_WAITS);
	update_web(&fleet, "'desiredCount':8");
	update_web(&fleet, "'desiredCount':6");
	service = fleet_service(&fleet, "web");
	EXPECT_COUNTS(service, 6, 0, 1);
	assert_true(has_event(service, "(service web) stopped 2 pending tasks."));
	update_web(&fleet, "'desiredCount':2");
	EXPECT_COUNTS(fleet_service(&fleet, "web"), 2, 0, 1);
	for (size_t i = 0; i < 2; i++) {
		size_t running = 0;

		for (size_t t = 0; t < fleet.agents[i].tasks.count; t++)
			running += fleet.agents[i].tasks.items[t].running && !fleet.agents[i].tasks.items[t].stopped;
		assert_int_equal(running, 1);
	}
}

TEST(tasks_that_do_not_run_yet_go_before_the_spread_is_looked_at)
{
	auto_fleet fleet;

	fleet_init(&fleet, 2, 0);
	fleet.agents[0].mode = FAKE_WAITS;
	create_web(&fleet, 4, "");
	EXPECT_COUNTS(fleet_service(&fleet, "web"), 2, 2, 1);
	update_web(&fleet, "'desiredCount':2");
	EXPECT_COUNTS(fleet_service(&fleet, "web"), 2, 0, 1);
}

TEST(tasks_of_a_lost_instance_are_replaced_and_the_surplus_goes_when_it_returns)
{
	auto_fleet fleet;

	fleet_init(&fleet, 2, 0);
	create_web(&fleet, 4, "");
	fleet_leave(&fleet, 0);
	EXPECT_COUNTS(fleet_service(&fleet, "web"), 4, 0, 1);
	fleet_wait(&fleet, 7 * USEC_PER_SEC);
	assert_int_equal(fleet_running(&fleet), 4);
	fleet_wait(&fleet, 2 * USEC_PER_SEC);
	EXPECT_COUNTS(fleet_service(&fleet, "web"), 4, 0, 1);
	assert_int_equal(fleet_running(&fleet), 6);
	fleet_return(&fleet, 0);
	EXPECT_COUNTS(fleet_service(&fleet, "web"), 4, 0, 1);
	assert_int_equal(fleet_running(&fleet), 4);
}

TEST(tasks_on_a_draining_instance_are_replaced_before_they_stop)
{
	auto_fleet fleet;

	fleet_init(&fleet, 2, 0);
	create_web(&fleet, 4, "");
	fleet_mode(&fleet, FAKE_WAITS);
	fleet_call(&fleet, "UpdateContainerInstancesState",
		   desk_text(&fleet.desk, "{'status':'DRAINING','containerInstances':['%.*s']}", STR(fleet.agents[0].instance)));
	EXPECT_COUNTS(fleet_service(&fleet, "web"), 4, 2, 1);
	fleet_mode(&fleet, FAKE_RUNS);
	EXPECT_COUNTS(fleet_service(&fleet, "web"), 4, 0, 1);
	for (size_t t = 0; t < fleet.agents[0].tasks.count; t++)
		assert_true(fleet.agents[0].tasks.items[t].stopped);
}

TEST(a_task_without_room_waits_says_why_once_and_starts_when_room_comes)
{
	auto_fleet fleet;
	const struct ecs_service *service;
	size_t events;

	fleet_init(&fleet, 1, 0);
	create_web(&fleet, 33, "");
	service = fleet_service(&fleet, "web");
	EXPECT_COUNTS(service, 32, 0, 1);
	assert_true(str_contains(service->events.items[0].message,
				 S("was unable to place a task because no container instance met all of its requirements. "
				   "The closest matching (container-instance ")));
	assert_true(str_ends(service->events.items[0].message,
			     S(") has insufficient CPU units available. For more information, see the Troubleshooting section of "
			       "the Amazon ECS Developer Guide.")));
	events = service->events.count;
	fleet_wait(&fleet, HOUR);
	assert_int_equal(fleet_service(&fleet, "web")->events.count, events);
	desk_instance(&fleet.desk, "default");
	EXPECT_COUNTS(fleet_service(&fleet, "web"), 32, 1, 1);
}

TEST(a_cluster_without_instances_is_named_as_the_reason)
{
	auto_fleet fleet;

	fleet_init(&fleet, 0, 0);
	create_web(&fleet, 1, "");
	EXPECT_STR(last_event(&fleet, fleet_service(&fleet, "web"), 0),
		   S("(service web) was unable to place a task because no container instance met all of its requirements. "
		     "Reason: No Container Instances were found in your cluster. For more information, see the Troubleshooting "
		     "section of the Amazon ECS Developer Guide."));
}

/* ---- Tasks that fail (7.6, 7.10) */
TEST(tasks_that_fail_to_start_are_tried_ever_more_rarely)
{
	auto_fleet fleet;
	uint64_t first, hour;

	fleet_init(&fleet, 1, 0);
	fleet.agents[0].mode = FAKE_FAILS;
	create_web(&fleet, 2, "");
	fleet_wait(&fleet, 2 * USEC_PER_SEC);
	first = fleet.reports;
	assert_in_range(first, 6, 10);                   /* two at a time: at once, after 0.25, 0.75 and 1.75 s */
	assert_true(has_event(fleet_service(&fleet, "web"), "is unable to consistently start tasks successfully. For more "
			      "information, see the Troubleshooting section of the Amazon ECS Developer Guide."));
	fleet_wait(&fleet, HOUR);
	hour = fleet.reports;
	assert_in_range(hour - first, 16, 36);
	fleet_wait(&fleet, HOUR);
	assert_in_range(fleet.reports - hour, 8, 10);    /* every 15 minutes */
	fleet.agents[0].mode = FAKE_RUNS;
	update_web(&fleet, "'desiredCount':2");          /* an update tries at once */
	EXPECT_COUNTS(fleet_service(&fleet, "web"), 2, 0, 1);
}

TEST(a_task_that_crashes_after_its_start_does_not_spin)
{
	auto_fleet fleet;

	fleet_init(&fleet, 1, 0);
	fleet.agents[0].mode = FAKE_CRASHES;
	create_web(&fleet, 1, "");
	fleet_wait(&fleet, 100 * USEC_PER_SEC);
	assert_in_range(fleet.reports, 20, 40);          /* two reports a task, a task each 10 s after the first few */
	assert_false(has_event(fleet_service(&fleet, "web"), "unable to consistently start"));
}

static void create_breakable(struct fleet *fleet, const char *rollback)
{
	create_web(fleet, 2, desk_text(&fleet->desk, ",'deploymentConfiguration':{'deploymentCircuitBreaker':"
					"{'enable':true,'rollback':%s}}", rollback));
	register_web(fleet);
	fleet->agents[0].mode = FAKE_FAILS;
	update_web(fleet, "'taskDefinition':'web'");
	fleet_wait(fleet, 10 * USEC_PER_SEC);
}

TEST(the_circuit_breaker_fails_a_deployment_and_leaves_the_old_tasks)
{
	auto_fleet fleet;
	const struct ecs_service *service;

	fleet_init(&fleet, 1, 0);
	create_breakable(&fleet, "false");
	service = fleet_service(&fleet, "web");
	EXPECT_COUNTS(service, 2, 0, 2);
	assert_int_equal(service->deployments.items[0].rollout_state, ECS_DEPLOYMENT_ROLLOUT_STATE_FAILED);
	EXPECT_STR(service->deployments.items[0].rollout_state_reason,
		   S("ECS deployment circuit breaker: tasks failed to start."));
	assert_true(has_event(service, ") deployment failed: tasks failed to start."));
	assert_int_equal(fleet_running(&fleet), 2);
}

TEST(the_circuit_breaker_rolls_back_to_the_last_completed_deployment)
{
	auto_fleet fleet;
	const struct ecs_service *service;

	fleet_init(&fleet, 1, 0);
	create_breakable(&fleet, "true");
	service = fleet_service(&fleet, "web");
	assert_true(has_event(service, "rolling back to deployment ecs-svc/"));
	EXPECT_COUNTS(service, 2, 0, 1);
	assert_true(str_ends(service->task_definition, S("task-definition/web:1")));
	assert_int_equal(service->deployments.items[0].rollout_state, ECS_DEPLOYMENT_ROLLOUT_STATE_COMPLETED);
}

TEST(protected_tasks_hold_up_scale_in_and_deployments_until_protection_ends)
{
	auto_fleet fleet;
	const struct ecs_service *service;

	fleet_init(&fleet, 1, 0);
	create_web(&fleet, 2, "");
	for (size_t i = 0; i < 2; i++)
		fleet_call(&fleet, "UpdateTaskProtection",
			   desk_text(&fleet.desk, "{'cluster':'default','tasks':['%.*s'],'protectionEnabled':true,'expiresInMinutes':10}",
				      STR(fleet.agents[0].tasks.items[i].arn)));
	update_web(&fleet, "'forceNewDeployment':true");
	service = fleet_service(&fleet, "web");
	EXPECT_COUNTS(service, 4, 0, 2);
	assert_true(has_event(service, "was unable to reach steady state because (taskSet ecs-svc/"));
	assert_true(has_event(service, ") was unable to scale in due to (reason 2 tasks under protection)"));
	fleet_wait(&fleet, 601 * USEC_PER_SEC);
	EXPECT_COUNTS(fleet_service(&fleet, "web"), 2, 0, 1);
}

/* ---- The end */
TEST(a_deleted_service_drains_is_inactive_and_is_forgotten_after_an_hour)
{
	auto_fleet fleet;
	const struct ecs_service *service;

	fleet_init(&fleet, 1, 0);
	create_web(&fleet, 2, "");
	EXPECT_CALL(&fleet.desk, "DeleteService", "{'service':'web'}",
		    "InvalidParameterException: The service cannot be stopped while it is scaled above 0.");
	EXPECT_CALL(&fleet.desk, "DeleteService", "{'service':'other'}", "ServiceNotFoundException: Service not found.");
	fleet_linger(&fleet, true);
	assert_true(str_contains(fleet_call(&fleet, "DeleteService", "{'service':'web','force':true}"),
				 S("'status':'DRAINING','desiredCount':0")));
	service = fleet_service(&fleet, "web");
	EXPECT_STR(service->status, S("DRAINING"));
	EXPECT_CALL(&fleet.desk, "CreateService", "{'serviceName':'web','taskDefinition':'web','desiredCount':1}",
		    "InvalidParameterException: Unable to Start a service that is still Draining.");
	EXPECT_CALL(&fleet.desk, "UpdateService", "{'service':'web'}", "ServiceNotActiveException: Service was not ACTIVE.");
	EXPECT_CALL(&fleet.desk, "ListServices", "{}", "{'serviceArns':[]}");
	fleet_linger(&fleet, false);
	service = fleet_service(&fleet, "web");
	EXPECT_STR(service->status, S("INACTIVE"));
	assert_int_equal(service->deployments.count, 0);
	assert_true(service->events.count > 0);
	fleet_wait(&fleet, HOUR);
	EXPECT_CALL(&fleet.desk, "DescribeServices", "{'services':['web']}",
		    "{'services':[],'failures':[{'arn':'arn:aws:ecs:us-east-1:123456789012:service/default/web','reason':'MISSING'}]}");
}

TEST(the_name_of_an_inactive_service_can_be_used_again)
{
	auto_fleet fleet;
	const struct ecs_service *service;

	fleet_init(&fleet, 1, 0);
	create_web(&fleet, 1, "");
	fleet_call(&fleet, "DeleteService", "{'service':'web','force':true}");
	EXPECT_STR(fleet_service(&fleet, "web")->status, S("INACTIVE"));
	create_web(&fleet, 2, "");
	service = fleet_service(&fleet, "web");
	EXPECT_COUNTS(service, 2, 0, 1);
	assert_int_equal(service->events.count, 3);
	fleet_wait(&fleet, 2 * HOUR);
	EXPECT_STR(fleet_service(&fleet, "web")->status, S("ACTIVE"));
}

/* ---- Requests */
TEST(a_repeated_token_answers_with_the_service_and_anything_else_is_refused)
{
	auto_fleet fleet;
	const char *request = "{'serviceName':'web','taskDefinition':'web','desiredCount':1,'clientToken':'t'}";

	fleet_init(&fleet, 1, 0);
	register_web(&fleet);
	assert_true(str_starts(fleet_call(&fleet, "CreateService", request), S("{'service'")));
	assert_true(str_contains(fleet_call(&fleet, "CreateService", request), S("'runningCount':1")));
	EXPECT_CALL(&fleet.desk, "CreateService", "{'serviceName':'web','taskDefinition':'web','desiredCount':2,'clientToken':'t'}",
		    "InvalidParameterException: Creation of service was not idempotent.");
	EXPECT_CALL(&fleet.desk, "CreateService", "{'serviceName':'web','taskDefinition':'web','desiredCount':1}",
		    "InvalidParameterException: Creation of service was not idempotent.");
}

TEST(bad_requests_get_the_errors_of_aws)
{
	static const struct { const char *operation, *request, *expected; } rows[] = {
		{"CreateService", "{'serviceName':'a','taskDefinition':'web'}", "InvalidParameterException: DesiredCount is missing"},
		{"CreateService", "{'serviceName':'a','taskDefinition':'web','desiredCount':-1}",
		 "InvalidParameterException: DesiredCount can not be lesser than 0"},
		{"CreateService", "{'serviceName':'a','taskDefinition':'web','desiredCount':5001}",
		 "InvalidParameterException: DesiredCount can not be greater than 5000"},
		{"CreateService", "{'serviceName':'a','desiredCount':1}", "InvalidParameterException: TaskDefinition can not be blank."},
		{"CreateService", "{'serviceName':'a','taskDefinition':'nope','desiredCount':1}",
		 "ClientException: TaskDefinition not found."},
		{"CreateService", "{'cluster':'nope','serviceName':'a','taskDefinition':'web','desiredCount':1}",
		 "ClusterNotFoundException: Cluster not found."},
		{"CreateService", "{'serviceName':'a b','taskDefinition':'web','desiredCount':1}",
		 "InvalidParameterException: Service name contains invalid characters."},
		{"CreateService", "{'serviceName':'a','taskDefinition':'web','desiredCount':1,"
		 "'clientToken':'0123456789012345678901234567890123456'}",
		 "InvalidParameterException: idempotency token longer than 36."},
		{"CreateService", "{'serviceName':'a','taskDefinition':'web','desiredCount':1,'launchType':'FARGATE'}",
		 "ClientException: Task definition does not support launch_type FARGATE."},
		{"CreateService", "{'serviceName':'a','taskDefinition':'web','desiredCount':1,'schedulingStrategy':'DAEMON'}",
		 "UnsupportedFeatureException: Wherry does not support the DAEMON scheduling strategy yet."},
		{"CreateService", "{'serviceName':'a','taskDefinition':'web','desiredCount':1,'loadBalancers':[{'containerName':'c'}]}",
		 "UnsupportedFeatureException: Wherry does not support load balancers yet."},
		{"CreateService", "{'serviceName':'a','taskDefinition':'web','desiredCount':1,'launchType':'EC2',"
		 "'capacityProviderStrategy':[{'capacityProvider':'x'}]}",
		 "InvalidParameterException: Specify either Launch Type or Capacity Provider Strategy, but not both."},
		{"CreateService", "{'serviceName':'a','taskDefinition':'web','desiredCount':1,'availabilityZoneRebalancing':'ENABLED',"
		 "'deploymentConfiguration':{'minimumHealthyPercent':50,'maximumPercent':100}}",
		 "InvalidParameterException: The service couldn't be created because Availability Zone Rebalancing does not support "
		 "maximumPercent <= 100 % as deployment configuration. Update deployment configuration and try again."},
		{"CreateService", "{'serviceName':'a','taskDefinition':'web','desiredCount':1,"
		 "'deploymentConfiguration':{'minimumHealthyPercent':100,'maximumPercent':100}}",
		 "InvalidParameterException: maximumPercent must be greater than minimumHealthyPercent."},
		{"CreateService", "{'serviceName':'a','taskDefinition':'web','desiredCount':1,"
		 "'placementConstraints':[{'type':'memberOf','expression':'attribute:x =='}]}",
		 "InvalidParameterException: The expression 'attribute:x ==' is not valid."},
		{"CreateService", "{'serviceName':'a','taskDefinition':'web','desiredCount':1,"
		 "'networkConfiguration':{'awsvpcConfiguration':{'subnets':['subnet-1']}}}",
		 "InvalidParameterException: Network Configuration is not valid for the given networkMode of this task definition."},
		{"UpdateService", "{'service':'nope'}", "ServiceNotFoundException: Service not found."},
		{"UpdateService", "{'service':'web','desiredCount':-1}",
		 "InvalidParameterException: Task count can not be lesser than 0"},
		{"DescribeServices", "{'services':[]}", "InvalidParameterException: Services cannot be empty."},
		{"DescribeServices", "{'services':['1','2','3','4','5','6','7','8','9','10','11']}",
		 "InvalidParameterException: services can have at most 10 items."},
		{"ListServices", "{'maxResults':101}", "InvalidParameterException: maxResults must be between 1 and 100"},
	};
	auto_fleet fleet;

	fleet_init(&fleet, 1, 0);
	create_web(&fleet, 1, "");
	for (size_t i = 0; i < COUNT(rows); i++)
		EXPECT_CALL(&fleet.desk, rows[i].operation, rows[i].request, rows[i].expected);
	fleet_wait(&fleet, USEC_PER_SEC);
}

TEST(a_created_service_is_described_with_all_of_its_defaults)
{
	auto_fleet fleet;
	struct str reply;

	fleet_init(&fleet, 0, 0);
	register_web(&fleet);
	reply = desk_call(&fleet.desk, "CreateService", "{'serviceName':'web','taskDefinition':'web:1','desiredCount':1,"
			  "'tags':[{'key':'a','value':'b'}]}");
	assert_true(str_contains(reply, S("'serviceArn':'arn:aws:ecs:us-east-1:123456789012:service/default/web','serviceName':'web',"
		"'clusterArn':'arn:aws:ecs:us-east-1:123456789012:cluster/default','loadBalancers':[],'serviceRegistries':[],"
		"'status':'ACTIVE','desiredCount':1,'runningCount':0,'pendingCount':0,'launchType':'EC2',"
		"'taskDefinition':'arn:aws:ecs:us-east-1:123456789012:task-definition/web:1',"
		"'deploymentConfiguration':{'deploymentCircuitBreaker':{'enable':false,'rollback':false,'resetOnHealthyTask':true,"
		"'thresholdConfiguration':{'type':'BOUNDED_PERCENT','value':50}},'maximumPercent':200,'minimumHealthyPercent':100,"
		"'strategy':'ROLLING','bakeTimeInMinutes':0},'deployments':[{'id':'ecs-svc/")));
	assert_true(str_contains(reply, S("'events':[],")));
	assert_true(str_contains(reply, S("'currentServiceDeployment':'arn:aws:ecs:us-east-1:123456789012:"
					  "service-deployment/default/web/")));
	assert_true(str_contains(reply, S("'currentServiceRevisions':[{'arn':'arn:aws:ecs:us-east-1:123456789012:"
					  "service-revision/default/web/")));
	assert_true(str_contains(reply, S("'placementConstraints':[],'placementStrategy':[],'healthCheckGracePeriodSeconds':0,"
		"'schedulingStrategy':'REPLICA','deploymentController':{'type':'ECS'},'tags':[{'key':'a','value':'b'}],"
		"'createdBy':'arn:aws:iam::123456789012:root','enableECSManagedTags':false,'propagateTags':'NONE',"
		"'enableExecuteCommand':false,'availabilityZoneRebalancing':'ENABLED','resourceManagementType':'CUSTOMER'")));
}

TEST(described_services_collapse_duplicates_and_show_tags_only_when_asked)
{
	auto_fleet fleet;
	struct str reply;

	fleet_init(&fleet, 1, 0);
	create_web(&fleet, 1, ",'tags':[{'key':'a','value':'b'}]");
	reply = desk_call(&fleet.desk, "DescribeServices",
			  "{'services':['web','arn:aws:ecs:us-east-1:123456789012:service/default/web','x','x']}");
	assert_false(str_contains(reply, S("'tags'")));
	assert_true(str_ends(reply, S("'failures':[{'arn':'arn:aws:ecs:us-east-1:123456789012:service/default/x',"
				      "'reason':'MISSING'}]}")));
	assert_int_equal(((const struct ecs_describe_services_response *)fleet.desk.effects.replies.items[0].output)->services.count, 1);
	assert_int_equal(fleet_service(&fleet, "web")->tags.count, 1);
}

TEST(tags_of_the_service_and_managed_tags_reach_its_tasks)
{
	auto_fleet fleet;

	fleet_init(&fleet, 1, 0);
	create_web(&fleet, 1, ",'propagateTags':'SERVICE','enableECSManagedTags':true,'tags':[{'key':'a','value':'b'}]");
	assert_true(str_contains(fleet_call(&fleet, "DescribeTasks",
					    desk_text(&fleet.desk, "{'tasks':['%.*s'],'include':['TAGS']}",
						       STR(fleet.agents[0].tasks.items[0].arn))),
				 S("'tags':[{'key':'a','value':'b'},{'key':'aws:ecs:clusterName','value':'default'},"
				   "{'key':'aws:ecs:serviceName','value':'web'}]")));
}

TEST(services_are_listed_ten_at_a_time)
{
	auto_fleet fleet;
	struct str token;

	fleet_init(&fleet, 0, 0);
	register_web(&fleet);
	for (int i = 10; i < 22; i++)
		desk_call(&fleet.desk, "CreateService",
			  desk_text(&fleet.desk, "{'serviceName':'s%d','taskDefinition':'web','desiredCount':0}", i));
	token = desk_member(&fleet.desk, "ListServices", "{}", "nextToken");
	EXPECT_CALL(&fleet.desk, "ListServices", desk_text(&fleet.desk, "{'nextToken':%.*s}", STR(token)),
		    "{'serviceArns':['arn:aws:ecs:us-east-1:123456789012:service/default/s20',"
		    "'arn:aws:ecs:us-east-1:123456789012:service/default/s21']}");
	EXPECT_CALL(&fleet.desk, "ListServices", desk_text(&fleet.desk, "{'launchType':'EC2','nextToken':%.*s}", STR(token)),
		    "InvalidParameterException: Invalid token.");
	EXPECT_CALL(&fleet.desk, "ListServices", "{'launchType':'EXTERNAL'}", "{'serviceArns':[]}");
}

TEST(a_service_keeps_its_last_hundred_events)
{
	auto_fleet fleet;
	const struct ecs_service *service;

	fleet_init(&fleet, 1, 0);
	create_web(&fleet, 1, "");
	for (int i = 0; i < 40; i++)
		update_web(&fleet, "'forceNewDeployment':true");
	service = fleet_service(&fleet, "web");
	assert_int_equal(service->events.count, 100);
	EXPECT_STR(last_event(&fleet, service, 0), S("(service web) has reached a steady state."));
}

TEST(steadiness_is_said_again_after_six_hours)
{
	auto_fleet fleet;

	fleet_init(&fleet, 1, 0);
	create_web(&fleet, 1, "");
	fleet_wait(&fleet, 6 * HOUR - USEC_PER_SEC);
	assert_int_equal(fleet_service(&fleet, "web")->events.count, 3);
	fleet_wait(&fleet, USEC_PER_SEC);
	assert_int_equal(fleet_service(&fleet, "web")->events.count, 4);
}

TEST(a_thousand_tasks_start_and_scale_in_within_a_moment)
{
	auto_fleet fleet;

	fleet_init(&fleet, 8, 0);
	desk_call(&fleet.desk, "RegisterTaskDefinition",
		  "{'family':'tiny','containerDefinitions':[{'name':'c','image':'busybox','cpu':1,'memory':6}]}");
	fleet_mode(&fleet, FAKE_WAITS);
	fleet_call(&fleet, "CreateService", "{'serviceName':'web','taskDefinition':'tiny','desiredCount':1000}");
	EXPECT_COUNTS(fleet_service(&fleet, "web"), 0, 500, 1);
	fleet_wait(&fleet, USEC_PER_SEC);
	EXPECT_COUNTS(fleet_service(&fleet, "web"), 0, 1000, 1);
	fleet_mode(&fleet, FAKE_RUNS);
	fleet_wait(&fleet, USEC_PER_SEC);
	EXPECT_COUNTS(fleet_service(&fleet, "web"), 1000, 0, 1);
	update_web(&fleet, "'desiredCount':900");
	fleet_wait(&fleet, USEC_PER_SEC);
	EXPECT_COUNTS(fleet_service(&fleet, "web"), 900, 0, 1);
}

TEST(a_rollout_goes_on_after_a_restart)
{
	auto_fleet fleet;

	fleet_init(&fleet, 2, 5 * USEC_PER_SEC);
	create_web(&fleet, 4, "");
	fleet_wait(&fleet, 5 * USEC_PER_SEC);
	update_web(&fleet, "'forceNewDeployment':true");
	fleet_restart(&fleet);
	EXPECT_COUNTS(fleet_service(&fleet, "web"), 8, 0, 2);
	fleet_wait(&fleet, 5 * USEC_PER_SEC);
	EXPECT_COUNTS(fleet_service(&fleet, "web"), 4, 0, 1);
	fleet_call(&fleet, "DeleteService", "{'service':'web','force':true}");
	fleet_restart(&fleet);
	EXPECT_STR(fleet_service(&fleet, "web")->status, S("INACTIVE"));
	fleet_wait(&fleet, HOUR);
	EXPECT_MEMBER(&fleet.desk, "DescribeServices", "{'services':['web']}", "services", "[]");
}

/* ---- Whatever happens, a quiet world settles */
static void set_state(struct fleet *fleet, size_t agent, const char *state)
{
	fleet_call(fleet, "UpdateContainerInstancesState",
		   desk_text(&fleet->desk, "{'status':'%s','containerInstances':['%.*s']}", state,
			      STR(fleet->agents[agent].instance)));
}

static void disturb(struct fleet *fleet, struct random *random, int *desired)
{
	static const char *const percentages[] = {"0,'maximumPercent':100", "50,'maximumPercent':100",
						  "100,'maximumPercent':200", "50,'maximumPercent':150"};
	size_t agent = random_below(random, fleet->count);

	switch (random_below(random, 11)) {
	case 0:
		*desired = (int)random_below(random, 12) + 2;
		update_web(fleet, desk_text(&fleet->desk, "'desiredCount':%d", *desired));
		break;
	case 1:
		update_web(fleet, "'forceNewDeployment':true");
		break;
	case 2:
		update_web(fleet, desk_text(&fleet->desk, "'deploymentConfiguration':{'minimumHealthyPercent':%s}",
					     percentages[random_below(random, COUNT(percentages))]));
		break;
	case 3:
		if (fleet->agents[agent].session)
			fleet_leave(fleet, agent);
		break;
	case 4:
		if (!fleet->agents[agent].session)
			fleet_return(fleet, agent);
		break;
	case 5:
		set_state(fleet, agent, "DRAINING");
		break;
	case 6:
		set_state(fleet, agent, "ACTIVE");
		break;
	case 7:
		fleet_mode(fleet, (enum fake_mode)random_below(random, 4));
		break;
	case 8:
		fleet_linger(fleet, random_below(random, 2));
		break;
	case 9:
		fleet_restart(fleet);
		break;
	default:
		fleet_wait(fleet, (usec)random_below(random, 20) * USEC_PER_SEC);
	}
}

static void calm(struct fleet *fleet)
{
	for (size_t i = 0; i < fleet->count; i++) {
		fleet->agents[i].mode = FAKE_RUNS;
		fleet->agents[i].lingers = false;
		if (!fleet->agents[i].session)
			fleet_return(fleet, i);
		set_state(fleet, i, "ACTIVE");
	}
	fleet_mode(fleet, FAKE_RUNS);
	fleet_wait(fleet, 1000 * USEC_PER_SEC);
}

TEST(whatever_happens_a_quiet_world_settles)
{
	for (uint64_t seed = 0; seed < 100; seed++) {
		auto_fleet fleet;
		struct random random;
		const struct ecs_service *service;
		int desired = 4;

		random_init(&random, seed, 0);
		fleet_init(&fleet, 3, seed % 2 ? 3 * USEC_PER_SEC : 0);
		create_web(&fleet, desired, "");
		for (int i = 0; i < 40; i++)
			disturb(&fleet, &random, &desired);
		calm(&fleet);
		service = fleet_service(&fleet, "web");
		if (service->running_count.value != desired || service->deployments.count != 1 ||
		    (int)fleet_running(&fleet) != desired)
			fail_msg("seed %d: %d of %d running, %zu deployments, agents run %zu; last event: %.*s", (int)seed,
				 service->running_count.value, desired, service->deployments.count, fleet_running(&fleet),
				 STR(service->events.items[0].message));
	}
}
