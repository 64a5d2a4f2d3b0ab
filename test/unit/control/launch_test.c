/* Launch types, network interfaces, GPUs and health: what a task is given, and what becomes of it. */
#include "api/acs.h"
#include "api/ec2.h"
#include "api/tcs.h"
#include "base/buffer.h"
#include "test/unit/control/desk.h"
#include "wire/json.h"

#define ENI "{'name':'ecs.capability.task-eni'},{'name':'ecs.capability.task-cpu-mem-limit'}," \
	"{'name':'com.amazonaws.ecs.capability.docker-remote-api.1.18'}"
#define POOL ENI ",{'name':'wherry.fargate'}"

#define VPC_TASK "{'family':'web','networkMode':'awsvpc','cpu':'256','memory':'512','containerDefinitions':" \
	"[{'name':'c','image':'i','memory':64,'portMappings':[{'containerPort':80}]}]}"

static bool mentions(struct str reply, const char *part)
{
	return str_contains(reply, str_of(part));
}

/* The same, for what must be so: a failure shows the reply. */
static bool says(struct str reply, const char *part)
{
	if (!mentions(reply, part))
		print_message("'%s' is not in %.*s\n", part, STR(reply));
	return mentions(reply, part);
}

static void count_interface(void *arg, enum record_kind kind, struct str key, const void *value)
{
	*(size_t *)arg += kind == RECORD_NETWORK_INTERFACE;
}

static size_t interfaces(struct desk *desk)
{
	size_t count = 0;

	plane_visit(desk->plane, count_interface, &count);
	return count;
}

static const char *network(struct desk *desk, const char *more)
{
	return desk_text(desk, "'networkConfiguration':{'awsvpcConfiguration':{'subnets':['%.*s']%s}}",
			 STR(desk_subnet(desk, "us-east-1a")), more);
}

static struct str describe(struct desk *desk, struct str task)
{
	return desk_ask(desk, "DescribeTasks", "{'cluster':'a','tasks':['%.*s']}", STR(task));
}

static void submit(struct desk *desk, const char *cluster, struct str task, const char *rest)
{
	EXPECT_CALL(desk, "SubmitTaskStateChange", desk_text(desk, "{'cluster':'%s','task':'%.*s',%s}", cluster, STR(task), rest),
		    "{'acknowledgment':'ACCEPT'}");
}

static struct str only_task(struct desk *desk)
{
	struct str arns = desk_member(desk, "ListTasks", "{'cluster':'a'}", "taskArns");

	return str_slice(arns, 2, arns.len - 2);
}

static void begin(struct desk *desk)
{
	desk_init(desk);
	desk_call(desk, "CreateCluster", "{'clusterName':'a'}");
}

/* The same, with a machine of these attributes and the task definition "web". */
static void begin_with(struct desk *desk, const char *machine_cluster, const char *attributes)
{
	begin(desk);
	desk_machine(desk, machine_cluster, "", attributes);
	desk_call(desk, "RegisterTaskDefinition", VPC_TASK);
}

static struct str run(struct desk *desk, const char *more)
{
	struct str reply = desk_ask(desk, "RunTask", "{'cluster':'a','taskDefinition':'web',%s}", more);

	return desk_pick(desk, reply, "taskArn");
}

/* ---- network interfaces */
TEST(an_awsvpc_task_gets_an_interface_and_gives_it_back)
{
	auto_desk desk;
	struct str task, shown, reply;

	begin_with(&desk, "a", ENI);
	reply = desk_ask(&desk, "RunTask", "{'cluster':'a','taskDefinition':'web',%s}", network(&desk, ""));
	assert_true(says(reply, "'lastStatus':'PROVISIONING'"));
	assert_true(says(reply, "'status':'PRECREATED','details':[{'name':'subnetId'"));
	assert_false(mentions(reply, "macAddress"));
	task = desk_pick(&desk, reply, "taskArn");
	assert_int_equal(interfaces(&desk), 1);
	shown = describe(&desk, task);
	assert_true(says(shown, "'status':'ATTACHING'"));
	assert_true(says(shown, "'networkInterfaces':[{'attachmentId'"));
	assert_true(says(shown, "'name':'privateIPv4Address','value':'172.31."));
	submit(&desk, "a", task, desk_text(&desk, "'attachments':[{'attachmentArn':'arn:aws:ecs:us-east-1:123456789012:attachment/%.*s',"
					   "'status':'ATTACHED'}]", STR(desk_pick(&desk, shown, "id"))));
	shown = describe(&desk, task);
	assert_true(says(shown, "'status':'ATTACHED'"));
	assert_true(says(shown, "'lastStatus':'PENDING','launchType':'EC2'"));
	submit(&desk, "a", task, "'status':'RUNNING'");
	assert_true(says(desk_ask(&desk, "StopTask", "{'cluster':'a','task':'%.*s'}", STR(task)),
			 "'lastStatus':'RUNNING','launchType'"));
	assert_true(says(describe(&desk, task), "'lastStatus':'STOPPING'"));
	submit(&desk, "a", task, "'status':'STOPPED'");
	shown = describe(&desk, task);
	assert_true(says(shown, "'lastStatus':'STOPPED'"));
	assert_true(says(shown, "'status':'DELETED'"));
	assert_true(says(shown, "'name':'macAddress'"));
	assert_int_equal(interfaces(&desk), 0);
}

TEST(an_agent_hears_of_the_interface_before_the_payload_that_carries_it)
{
	const struct acs_attach_task_network_interfaces_message *attach;
	const struct acs_payload_message *payload;
	const struct acs_elastic_network_interface *interface;
	const struct effects *effects;
	auto_desk desk;

	begin_with(&desk, "a", ENI);
	effects = &desk.effects;
	run(&desk, network(&desk, ""));
	assert_int_equal(effects->messages.count, 2);
	EXPECT_STR(effects->messages.items[0].type, S("AttachTaskNetworkInterfacesMessage"));
	attach = effects->messages.items[0].value;
	payload = effects->messages.items[1].value;
	interface = &payload->tasks.items[0].elastic_network_interfaces.items[0];
	EXPECT_STR(attach->elastic_network_interfaces.items[0].mac_address, interface->mac_address);
	assert_true(attach->wait_timeout_ms.value > 0);
	assert_true(str_contains(interface->subnet_gateway_ipv4_address, S("/")));
	assert_true(interface->ipv4_addresses.items[0].primary.value);
	assert_int_equal(interface->domain_name_servers.count, 1);
	EXPECT_STR(payload->tasks.items[0].network_mode, S("awsvpc"));
}

TEST(a_running_report_implies_the_interface)
{
	auto_desk desk;
	struct str task, shown;

	begin_with(&desk, "a", ENI);
	task = run(&desk, network(&desk, ""));
	submit(&desk, "a", task, "'status':'RUNNING'");
	shown = describe(&desk, task);
	assert_true(says(shown, "'status':'ATTACHED'"));
	assert_true(says(shown, "'lastStatus':'RUNNING'"));
}

TEST(an_instance_outside_of_the_subnets_zones_is_no_place)
{
	auto_desk desk;
	struct str subnet;

	begin_with(&desk, "a", ENI ",{'name':'ecs.availability-zone','value':'us-east-1b'}");
	assert_true(says(desk_ask(&desk, "RunTask", "{'cluster':'a','taskDefinition':'web',%s}", network(&desk, "")),
			 "'reason':'LOCATION'"));
	subnet = desk_subnet(&desk, "us-east-1b");
	assert_true(says(desk_ask(&desk, "RunTask", "{'cluster':'a','taskDefinition':'web','networkConfiguration':"
				  "{'awsvpcConfiguration':{'subnets':['%.*s']}}}", STR(subnet)),
			 "'failures':[]"));
}

TEST(network_configurations_that_do_not_fit_get_the_errors_of_aws)
{
	auto_desk desk;

	begin_with(&desk, "a", ENI);
	desk_call(&desk, "RegisterTaskDefinition", "{'family':'plain','containerDefinitions':[{'name':'c','image':'i','memory':64}]}");
	EXPECT_CALL(&desk, "RunTask", "{'cluster':'a','taskDefinition':'web'}", "InvalidParameterException: "
		    "Network Configuration must be provided when networkMode 'awsvpc' is specified.");
	EXPECT_CALL(&desk, "RunTask", desk_text(&desk, "{'cluster':'a','taskDefinition':'plain',%s}", network(&desk, "")),
		    "InvalidParameterException: Network Configuration is not valid for the given networkMode of this task definition.");
	EXPECT_CALL(&desk, "RunTask", desk_text(&desk, "{'cluster':'a','taskDefinition':'web',%s}",
						network(&desk, ",'assignPublicIp':'ENABLED'")),
		    "InvalidParameterException: Assign public IP is not supported for this launch type.");
	EXPECT_CALL(&desk, "RunTask", "{'cluster':'a','taskDefinition':'web','networkConfiguration':{'awsvpcConfiguration':"
		    "{'subnets':['subnet-0123']}}}", "InvalidParameterException: Error retrieving subnet information for "
		    "[subnet-0123]: The subnet ID 'subnet-0123' does not exist (ErrorCode: InvalidSubnetID.NotFound)");
}

/* ---- Fargate */
TEST(a_fargate_task_runs_on_a_machine_of_the_pool_that_nobody_sees)
{
	auto_desk desk;
	struct str task, shown;

	begin_with(&desk, "wherry-fargate", ENI);
	task = run(&desk, desk_text(&desk, "'launchType':'FARGATE',%s", network(&desk, ",'assignPublicIp':'ENABLED'")));
	shown = describe(&desk, task);
	assert_true(says(shown, "'launchType':'FARGATE'"));
	assert_true(says(shown, "'platformVersion':'1.4.0','platformFamily':'Linux'"));
	assert_true(says(shown, "'fargateEphemeralStorage':{'sizeInGiB':20}"));
	assert_false(mentions(shown, "containerInstanceArn"));
	submit(&desk, "wherry-fargate", task, "'status':'RUNNING'");
	assert_true(says(desk_call(&desk, "DescribeClusters", "{'clusters':['a'],'include':['STATISTICS']}"),
			 "{'name':'runningFargateTasksCount','value':'1'}"));
	EXPECT_MEMBER(&desk, "ListClusters", "{}", "clusterArns", "['arn:aws:ecs:us-east-1:123456789012:cluster/a']");
	EXPECT_MEMBER(&desk, "ListContainerInstances", "{'cluster':'a'}", "containerInstanceArns", "[]");
	EXPECT_CALL(&desk, "ListContainerInstances", "{'cluster':'wherry-fargate'}", "ClusterNotFoundException: Cluster not found.");
	EXPECT_CALL(&desk, "CreateCluster", "{'clusterName':'wherry-fargate'}",
		    "InvalidParameterException: The cluster name wherry-fargate is reserved.");
	submit(&desk, "wherry-fargate", task, "'status':'STOPPED'");
	assert_true(says(describe(&desk, task), "'lastStatus':'STOPPED'"));
}

TEST(one_ledger_serves_a_cluster_and_the_pool)
{
	auto_desk desk;
	struct str machine, shown;

	begin(&desk);
	desk_call(&desk, "CreateCluster", "{'clusterName':'b'}");
	machine = desk_machine(&desk, "b", "", POOL);
	desk_call(&desk, "RegisterTaskDefinition", VPC_TASK);
	run(&desk, desk_text(&desk, "'launchType':'FARGATE',%s", network(&desk, "")));
	shown = desk_ask(&desk, "DescribeContainerInstances", "{'cluster':'b','containerInstances':['%.*s']}", STR(machine));
	assert_true(says(shown, "'integerValue':3840"));                           /* of 4096 */
	assert_true(says(shown, "'pendingTasksCount':0"));
}

TEST(fargate_without_room_says_that_capacity_is_unavailable)
{
	auto_desk desk;
	struct str reply;

	begin_with(&desk, "a", ENI);                                         /* not of the pool */
	reply = desk_ask(&desk, "RunTask", "{'cluster':'a','taskDefinition':'web','launchType':'FARGATE','count':2,%s}",
			 network(&desk, ""));
	assert_true(says(reply, "'tasks':[]"));
	assert_true(says(reply, "'reason':'Capacity is unavailable at this time. Please try again later or in a different "
			 "availability zone','detail':'no machine is in the provider"));
}

TEST(fargate_refuses_what_aws_refuses)
{
	static const struct { const char *more, *expected; } rows[] = {
		{"'placementConstraints':[{'type':'distinctInstance'}],",
		 "InvalidParameterException: Placement constraints are not supported with FARGATE launch type."},
		{"'placementStrategy':[{'type':'random'}],",
		 "InvalidParameterException: Placement strategies are not supported with FARGATE launch type."},
		{"'platformVersion':'9.9.9',", "PlatformUnknownException: The specified platform does not exist."},
		{"'overrides':{'cpu':'300'},", "ClientException: No Fargate configuration exists for given values: 300 CPU, 512 "
		 "memory. See the Amazon ECS documentation for the valid values."},
		{"'overrides':{'ephemeralStorage':{'sizeInGiB':20}},",
		 "InvalidParameterException: Ephemeral storage size must be between 21 and 200 GiB."},
	};
	auto_desk desk;

	begin_with(&desk, "a", POOL);
	for (size_t i = 0; i < COUNT(rows); i++)
		EXPECT_CALL(&desk, "RunTask", desk_text(&desk, "{'cluster':'a','taskDefinition':'web','launchType':'FARGATE',%s%s}",
							rows[i].more, network(&desk, "")), rows[i].expected);
	EXPECT_CALL(&desk, "RunTask", desk_text(&desk, "{'cluster':'a','taskDefinition':'web','platformVersion':'LATEST',%s}",
						network(&desk, "")),
		    "InvalidParameterException: The platform version must be null when specifying an EC2 launch type.");
}

TEST(a_fargate_service_waits_for_the_pool_and_starts_when_a_machine_comes)
{
	auto_desk desk;
	struct str shown;

	begin(&desk);
	desk_call(&desk, "RegisterTaskDefinition", VPC_TASK);
	shown = desk_ask(&desk, "CreateService", "{'cluster':'a','serviceName':'web','taskDefinition':'web',"
			 "'desiredCount':2,'launchType':'FARGATE',%s}", network(&desk, ""));
	assert_true(says(shown, "'platformVersion':'LATEST','platformFamily':'Linux'"));
	assert_true(says(shown, "'assignPublicIp':'DISABLED'"));
	shown = desk_call(&desk, "DescribeServices", "{'cluster':'a','services':['web']}");
	assert_true(says(shown, "was unable to place a task. Reason: Capacity is unavailable"));
	assert_true(says(shown, "'platformVersion':'1.4.0'"));                     /* of the deployment */
	desk_machine(&desk, "wherry-fargate", "", ENI);
	assert_true(says(desk_call(&desk, "DescribeServices", "{'cluster':'a','services':['web']}"), "'pendingCount':2"));
}

TEST(other_subnets_or_platforms_make_a_new_deployment)
{
	auto_desk desk;
	struct str subnet;

	begin_with(&desk, "a", POOL);
	desk_ask(&desk, "CreateService", "{'cluster':'a','serviceName':'web','taskDefinition':'web','desiredCount':1,"
		 "'launchType':'FARGATE',%s}", network(&desk, ""));
	subnet = desk_subnet(&desk, "us-east-1a");
	assert_false(mentions(desk_ask(&desk, "UpdateService", "{'cluster':'a','service':'web',%s}", network(&desk, "")),
			  "'status':'ACTIVE','taskDefinition'"));
	assert_true(says(desk_ask(&desk, "UpdateService", "{'cluster':'a','service':'web','networkConfiguration':"
				  "{'awsvpcConfiguration':{'subnets':['%.*s'],'assignPublicIp':'ENABLED'}}}",
				  STR(subnet)), "'status':'ACTIVE','taskDefinition'"));
}

/* ---- who reports */
TEST(a_report_from_another_cluster_is_refused)
{
	auto_desk desk;
	struct str task;

	begin(&desk);
	desk_call(&desk, "CreateCluster", "{'clusterName':'b'}");
	desk_machine(&desk, "a", "", ENI);
	desk_call(&desk, "RegisterTaskDefinition", VPC_TASK);
	task = run(&desk, network(&desk, ""));
	EXPECT_CALL(&desk, "SubmitTaskStateChange", desk_text(&desk, "{'cluster':'b','task':'%.*s','status':'STOPPED'}", STR(task)),
		    "InvalidParameterException: The task is not on a container instance of the cluster b.");
}

/* ---- GPUs */
TEST(gpus_are_reserved_by_device)
{
	const struct acs_payload_message *payload;
	auto_desk desk;
	struct str first, shown;

	begin(&desk);
	desk_machine(&desk, "a", ",{'name':'GPU','type':'STRINGSET','stringSetValue':['GPU-0','GPU-1']}", "");
	desk_call(&desk, "RegisterTaskDefinition", "{'family':'web','containerDefinitions':[{'name':'c','image':'i','memory':64,"
		  "'resourceRequirements':[{'type':'GPU','value':'1'}]}]}");
	first = run(&desk, "'group':'x'");
	payload = desk.effects.messages.items[0].value;
	EXPECT_STR(payload->tasks.items[0].associations.items[0].name, S("GPU-0"));
	EXPECT_STR(payload->tasks.items[0].associations.items[0].type, S("gpu"));
	assert_true(says(describe(&desk, first), "'gpuIds':['GPU-0']"));
	assert_true(says(describe(&desk, run(&desk, "'group':'x'")), "'gpuIds':['GPU-1']"));
	assert_true(says(desk_call(&desk, "RunTask", "{'cluster':'a','taskDefinition':'web'}"), "'reason':'RESOURCE:GPU'"));
	submit(&desk, "a", first, "'status':'STOPPED'");
	shown = desk_call(&desk, "RunTask", "{'cluster':'a','taskDefinition':'web'}");
	assert_true(says(shown, "'gpuIds':['GPU-0']"));
}

/* ---- health */
#define CHECKED "{'family':'web','containerDefinitions':[{'name':'c','image':'i','memory':64," \
	"'healthCheck':{'command':['CMD-SHELL','true']}},{'name':'side','image':'i','memory':64}]}"

static void say_health(struct desk *desk, struct str instance, struct str task, const char *status)
{
	struct tcs_metadata metadata = {.cluster = S("a"), .container_instance = instance};
	struct tcs_container_health container = {.container_name = S("c"), .health_status = str_of(status)};
	struct tcs_task_health health = {.task_arn = task, .containers = {&container, 1}};
	struct tcs_publish_health_request request = {.metadata = &metadata, .tasks = {&health, 1}};

	desk_telemetry(desk, "PublishHealthRequest", &request);
}

TEST(health_of_essential_checked_containers_is_the_tasks)
{
	auto_desk desk;
	struct str instance, other, task;

	begin(&desk);
	instance = desk_machine(&desk, "a", "", "{'name':'ecs.capability.container-health-check'},"
				"{'name':'com.amazonaws.ecs.capability.docker-remote-api.1.24'}");
	other = desk_machine(&desk, "a", "", "");
	desk_call(&desk, "RegisterTaskDefinition", CHECKED);
	task = run(&desk, "'group':'x'");
	say_health(&desk, instance, task, "HEALTHY");
	assert_true(says(describe(&desk, task), "'healthStatus':'HEALTHY','lastStatus'"));
	say_health(&desk, other, task, "UNHEALTHY");                               /* not its instance */
	assert_true(says(describe(&desk, task), "'healthStatus':'HEALTHY','lastStatus'"));
	say_health(&desk, instance, task, "UNHEALTHY");
	assert_true(says(describe(&desk, task), "'healthStatus':'UNHEALTHY','lastStatus'"));
}

TEST(an_unhealthy_service_task_is_replaced_once_its_grace_is_over)
{
	auto_desk desk;
	struct str instance, task, shown;

	begin(&desk);
	instance = desk_machine(&desk, "a", "", "{'name':'ecs.capability.container-health-check'},"
				"{'name':'com.amazonaws.ecs.capability.docker-remote-api.1.24'}");
	desk_call(&desk, "RegisterTaskDefinition", CHECKED);
	desk_call(&desk, "CreateService", "{'cluster':'a','serviceName':'web','taskDefinition':'web','desiredCount':1,"
		  "'healthCheckGracePeriodSeconds':5,'deploymentConfiguration':{'minimumHealthyPercent':0}}");
	task = only_task(&desk);
	submit(&desk, "a", task, "'status':'RUNNING'");
	assert_false(mentions(desk_call(&desk, "DescribeServices", "{'cluster':'a','services':['web']}"), "steady state"));
	say_health(&desk, instance, task, "UNHEALTHY");
	assert_true(says(describe(&desk, task), "'desiredStatus':'RUNNING'"));
	desk_wait(&desk, 5 * USEC_PER_SEC);
	shown = describe(&desk, task);
	assert_true(says(shown, "'stopCode':'ServiceSchedulerInitiated'"));
	assert_true(says(shown, "'stoppedReason':'Task failed container health checks'"));
	shown = desk_call(&desk, "DescribeServices", "{'cluster':'a','services':['web']}");
	assert_true(says(shown, "failed container health checks."));
	assert_true(says(shown, "Amazon ECS replaced 1 tasks due to an unhealthy status."));
}

/* ---- the payload */
static const struct acs_task *payload_of(struct desk *desk, const char *definition, const char *run_more)
{
	const struct acs_payload_message *payload;

	desk_call(desk, "RegisterTaskDefinition", definition);
	run(desk, run_more);
	payload = desk->effects.messages.items[desk->effects.messages.count - 1].value;
	return &payload->tasks.items[0];
}

#define LOGS "{'name':'com.amazonaws.ecs.capability.logging-driver.awslogs'},{'name':'com.amazonaws.ecs.capability." \
	"docker-remote-api.1.19'}"

TEST(awslogs_gets_its_group_region_and_stream)
{
	const struct acs_task *task;
	auto_desk desk;
	struct str host, id;

	begin(&desk);
	desk_machine(&desk, "a", "", LOGS);
	task = payload_of(&desk, "{'family':'web','containerDefinitions':[{'name':'c','image':'i','memory':64,'logConfiguration':"
			  "{'logDriver':'awslogs','options':{'awslogs-stream-prefix':'p'}}}]}", "'group':'x'");
	host = task->containers.items[0].docker_config->host_config;
	id = str_slice(task->arn, str_find_last(task->arn, '/') + 1, task->arn.len);
	assert_true(says(host, "\"awslogs-group\":\"/ecs/web\""));
	assert_true(says(host, "\"awslogs-region\":\"us-east-1\""));
	assert_true(says(host, desk_text(&desk, "\"awslogs-stream\":\"p/c/%.*s\"", STR(id))));
	assert_true(says(host, "\"mode\":\"non-blocking\""));
	assert_true(says(host, "\"max-buffer-size\":\"10m\""));
	desk_call(&desk, "PutAccountSettingDefault", "{'name':'defaultLogDriverMode','value':'blocking'}");
	task = payload_of(&desk, "{'family':'web','containerDefinitions':[{'name':'c','image':'i','memory':64,'logConfiguration':"
			  "{'logDriver':'awslogs','options':{'awslogs-group':'g'}}}]}", "'group':'x'");
	host = task->containers.items[0].docker_config->host_config;
	assert_true(says(host, "\"awslogs-group\":\"g\""));
	assert_true(says(host, "\"mode\":\"blocking\""));
	assert_false(str_contains(host, S("awslogs-stream\"")));         /* the agent names it after the container */
}

TEST(containers_carry_the_labels_of_ecs_and_complete_health_checks)
{
	const struct acs_task *task;
	auto_desk desk;
	struct str config;

	begin(&desk);
	desk_machine(&desk, "a", "", "{'name':'ecs.capability.container-health-check'},"
		     "{'name':'com.amazonaws.ecs.capability.docker-remote-api.1.24'}");
	task = payload_of(&desk, "{'family':'web','containerDefinitions':[{'name':'c','image':'i','memory':64,'dockerLabels':"
			  "{'mine':'x','com.amazonaws.ecs.cluster':'forged'},'healthCheck':{'command':['CMD','true']}}]}", "'group':'x'");
	config = task->containers.items[0].docker_config->config;
	assert_true(says(config, "\"mine\":\"x\""));
	assert_true(says(config, "\"com.amazonaws.ecs.cluster\":\"arn:aws:ecs:us-east-1:123456789012:cluster/a\""));
	assert_true(says(config, "\"com.amazonaws.ecs.container-name\":\"c\""));
	assert_true(says(config, "\"com.amazonaws.ecs.task-definition-version\":\"1\""));
	assert_false(str_contains(config, S("forged")));
	assert_true(says(config, "\"Interval\":30000000000,\"Timeout\":5000000000,\"StartPeriod\":0,\"Retries\":3"));
}

#define FILES "'volumes':[{'name':'v','efsVolumeConfiguration':{'fileSystemId':'%.*s'%s}}]," \
	"'containerDefinitions':[{'name':'c','image':'i','memory':64}]}"

static const struct acs_efs_volume *files_of(struct desk *desk, struct str system, const char *more)
{
	const char *definition = desk_text(desk, "{'family':'web'," FILES, STR(system), more);

	return payload_of(desk, definition, "'group':'x'")->volumes.items[0].efs_volume_configuration;
}

/* Of a task whose interface is in the default VPC. */
static const struct acs_efs_volume *files_from_vpc(struct desk *desk, struct str system)
{
	const char *definition = desk_text(desk, "{'family':'web','networkMode':'awsvpc'," FILES, STR(system), "");

	return payload_of(desk, definition, network(desk, ""))->volumes.items[0].efs_volume_configuration;
}

static struct str make_file_system(struct desk *desk)
{
	desk_machine(desk, "a", "", ENI ",{'name':'ecs.capability.efs'},{'name':'ecs.capability.efsAuth'}");
	return desk_pick(desk, desk_call(desk, "efs:CreateFileSystem", "{'CreationToken':'a'}"), "FileSystemId");
}

static struct str make_mount_target(struct desk *desk, struct str system, struct str subnet)
{
	return desk_pick(desk, desk_ask(desk, "efs:CreateMountTarget", "{'FileSystemId':'%.*s','SubnetId':'%.*s'}", STR(system),
					STR(subnet)), "MountTargetId");
}

static struct str subnet_of_another_vpc(struct desk *desk)
{
	struct str vpc = desk_pick(desk, desk_call(desk, "CreateVpc", "{'CidrBlock':'10.0.0.0/16'}"), "vpcId");

	return desk_pick(desk, desk_ask(desk, "CreateSubnet", "{'VpcId':'%.*s','CidrBlock':'10.0.0.0/24'}", STR(vpc)), "subnetId");
}

TEST(a_file_system_is_mounted_through_a_mount_target)
{
	struct str system, refusal;
	auto_desk desk;

	begin(&desk);
	system = make_file_system(&desk);
	refusal = arena_printf(&desk.arena, "Failed to resolve \"%.*s.efs.us-east-1.amazonaws.com\" - check that your file system ID is "
			       "correct, and ensure that the VPC has an EFS mount target for this file system ID", STR(system));
	EXPECT_STR(files_of(&desk, system, "")->refusal, refusal);
	make_mount_target(&desk, system, desk_subnet(&desk, "us-east-1a"));
	assert_false(str_has(files_of(&desk, system, "")->refusal));
	assert_true(str_starts(files_of(&desk, S("fs-0123456789abcdef0"), "")->refusal,
			       S("Failed to resolve \"fs-0123456789abcdef0.efs.")));
	EXPECT_STR(files_of(&desk, system, ",'transitEncryption':'ENABLED','authorizationConfig':{'accessPointId':'fsap-1'}")->refusal,
		   S("access denied by server while mounting 127.0.0.1:/: the file system has no access point fsap-1"));
}

TEST(an_awsvpc_task_needs_a_mount_target_in_its_vpc)
{
	auto_desk desk;
	struct str system, target;

	begin(&desk);
	system = make_file_system(&desk);
	target = make_mount_target(&desk, system, subnet_of_another_vpc(&desk));
	assert_true(str_starts(files_from_vpc(&desk, system)->refusal, S("Failed to resolve ")));
	assert_false(str_has(files_of(&desk, system, "")->refusal));             /* machines are in no VPC */
	desk_ask(&desk, "efs:DeleteMountTarget", "{'MountTargetId':'%.*s'}", STR(target));
	make_mount_target(&desk, system, desk_subnet(&desk, "us-east-1b"));      /* any zone of the VPC */
	assert_false(str_has(files_from_vpc(&desk, system)->refusal));
}

TEST(a_volume_carries_what_its_access_point_says)
{
	const struct acs_efs_access_point *point;
	const struct acs_efs_volume *volume;
	const struct acs_task *task;
	struct str system, id;
	auto_desk desk;

	begin(&desk);
	system = make_file_system(&desk);
	make_mount_target(&desk, system, desk_subnet(&desk, "us-east-1a"));
	id = desk_pick(&desk, desk_ask(&desk, "efs:CreateAccessPoint", "{'ClientToken':'a','FileSystemId':'%.*s','PosixUser':"
			       "{'Uid':7,'Gid':8,'SecondaryGids':[9,10]},'RootDirectory':{'Path':'/p','CreationInfo':"
			       "{'OwnerUid':1,'OwnerGid':2,'Permissions':'0750'}}}", STR(system)), "AccessPointId");
	task = payload_of(&desk, desk_text(&desk, "{'family':'web','volumes':[{'name':'v','efsVolumeConfiguration':{'fileSystemId':'%.*s',"
					   "'transitEncryption':'ENABLED','authorizationConfig':{'accessPointId':'%.*s'}}}],"
					   "'containerDefinitions':[{'name':'c','image':'i','memory':64}]}", STR(system), STR(id)),
			  "'group':'x'");
	volume = task->volumes.items[0].efs_volume_configuration;
	point = volume->access_point;
	EXPECT_STR(volume->file_system_id, system);
	EXPECT_STR(point->path, S("/p"));
	assert_true(point->uid.value == 7 && point->gid.value == 8 && point->owner_uid.value == 1 && point->owner_gid.value == 2);
	EXPECT_STR(point->permissions, S("0750"));
	assert_int_equal(point->secondary_gids.count, 2);
	assert_int_equal(point->secondary_gids.items[1].value, 10);
}

TEST(storage_of_a_size_of_its_own_is_for_who_asks_for_it)
{
	const struct acs_payload_message *payload;
	auto_desk desk;

	begin_with(&desk, "wherry-fargate", ENI);
	run(&desk, desk_text(&desk, "'launchType':'FARGATE',%s", network(&desk, "")));
	payload = desk.effects.messages.items[desk.effects.messages.count - 1].value;
	assert_false(payload->tasks.items[0].ephemeral_storage.has);
	run(&desk, desk_text(&desk, "'launchType':'FARGATE','overrides':{'ephemeralStorage':{'sizeInGiB':21}},%s", network(&desk, "")));
	payload = desk.effects.messages.items[desk.effects.messages.count - 1].value;
	assert_int_equal(payload->tasks.items[0].ephemeral_storage.value, 21);
}

TEST(interfaces_carry_the_tags_that_ecs_manages)
{
	auto_desk desk;
	struct str shown;

	begin_with(&desk, "a", ENI);
	run(&desk, network(&desk, ""));
	assert_false(says(desk_call(&desk, "DescribeNetworkInterfaces", "{}"), "aws:ecs:clusterName"));
	run(&desk, desk_text(&desk, "'enableECSManagedTags':true,'tags':[{'key':'mine','value':'x'}],%s", network(&desk, "")));
	shown = desk_call(&desk, "DescribeNetworkInterfaces", "{}");
	assert_true(says(shown, "{'key':'aws:ecs:clusterName','value':'a'}"));
	assert_false(says(shown, "'mine'") || says(shown, "aws:ecs:serviceName"));
	desk_ask(&desk, "CreateService", "{'cluster':'a','serviceName':'shop','taskDefinition':'web','desiredCount':1,"
		 "'enableECSManagedTags':true,%s}", network(&desk, ""));
	assert_true(says(desk_call(&desk, "DescribeNetworkInterfaces", "{}"), "{'key':'aws:ecs:serviceName','value':'shop'}"));
}

TEST(of_a_variable_that_comes_twice_the_last_counts)
{
	const struct acs_string_map *variables;
	auto_desk desk;

	begin(&desk);
	desk_instance(&desk, "a");
	variables = &payload_of(&desk, "{'family':'web','containerDefinitions':[{'name':'c','image':'i','memory':64,'environment':["
				"{'name':'A','value':'1'},{'name':'B','value':'2'},{'name':'A','value':'3'}]}]}",
				"'overrides':{'containerOverrides':[{'name':'c','environment':[{'name':'B','value':'4'},"
				"{'name':'B','value':'5'}]}]}")->containers.items[0].environment;
	assert_int_equal(variables->count, 3);
	EXPECT_STR(variables->items[1].key, S("A"));
	EXPECT_STR(variables->items[1].value, S("3"));
	EXPECT_STR(variables->items[2].key, S("B"));
	EXPECT_STR(variables->items[2].value, S("5"));
}

TEST(overrides_that_no_program_could_get_are_refused)
{
	auto_desk desk;

	begin(&desk);
	desk_instance(&desk, "a");
	desk_call(&desk, "RegisterTaskDefinition", "{'family':'web','containerDefinitions':[{'name':'c','image':'i','memory':64}]}");
	EXPECT_CALL(&desk, "RunTask", "{'cluster':'a','taskDefinition':'web','overrides':{'containerOverrides':[{'name':'c',"
		    "'environment':[{'name':'','value':'x'}]}]}}",
		    "InvalidParameterException: Environment variable name should not be null or empty.");
	EXPECT_CALL(&desk, "RunTask", "{'cluster':'a','taskDefinition':'web','overrides':{'containerOverrides':[{'name':'c',"
		    "'command':['a\\u0000b']}]}}",
		    "InvalidParameterException: Strings of overrides cannot contain NUL characters.");
	EXPECT_CALL(&desk, "RunTask", "{'cluster':'a','taskDefinition':'web','overrides':{'inferenceAcceleratorOverrides':["
		    "{'deviceName':'d','deviceType':'eia2.medium'}]}}",
		    "UnsupportedFeatureException: Wherry does not do inferenceAcceleratorOverrides yet.");
}

TEST(overrides_of_sizes_may_have_units)
{
	auto_desk desk;
	struct str shown;

	begin_with(&desk, "wherry-fargate", ENI);
	shown = describe(&desk, run(&desk, desk_text(&desk, "'launchType':'FARGATE','overrides':{'cpu':'1 vCPU','memory':'2 GB'},%s",
						     network(&desk, ""))));
	assert_true(says(shown, "'cpu':'1024'"));
	assert_true(says(shown, "'memory':'2048'"));
}

TEST(reported_port_bindings_are_bounded)
{
	auto_desk desk;
	struct str task, shown;
	auto_buffer bindings = {0};
	size_t count = 0;

	begin(&desk);
	desk_machine(&desk, "a", "", "");
	desk_call(&desk, "RegisterTaskDefinition", "{'family':'web','containerDefinitions':[{'name':'c','image':'i','memory':64}]}");
	task = run(&desk, "'group':'x'");
	for (int i = 0; i < 300; i++)
		buffer_printf(&bindings, "%s{'bindIP':'0.0.0.0','containerPort':%d,'hostPort':%d,'protocol':'tcp'}", i ? "," : "", i + 1,
			      i + 1);
	submit(&desk, "a", task, desk_text(&desk, "'status':'RUNNING','containers':[{'containerName':'c','status':'RUNNING',"
					   "'networkBindings':[%.*s]}]", STR(buffer_str(&bindings))));
	shown = describe(&desk, task);
	for (size_t at = 0; (at = str_find(shown, 'b')) < shown.len; shown = str_slice(shown, at + 1, shown.len))
		count += str_starts(str_slice(shown, at, shown.len), S("bindIP"));
	assert_int_equal(count, 256);
}

/* A subnet has room for as many tasks as it has addresses. */
TEST(a_full_subnet_ends_placement_with_a_word)
{
	auto_desk desk;
	struct str vpc, subnet, reply;

	begin(&desk);
	desk_machine(&desk, "a", "", ENI);
	vpc = desk_pick(&desk, desk_call(&desk, "CreateVpc", "{'CidrBlock':'10.0.0.0/24'}"), "vpcId");
	reply = desk_ask(&desk, "CreateSubnet", "{'VpcId':'%.*s','CidrBlock':'10.0.0.0/28'}", STR(vpc));
	subnet = desk_pick(&desk, reply, "subnetId");
	desk_call(&desk, "RegisterTaskDefinition", VPC_TASK);
	for (int i = 0; i < 3; i++)
		reply = desk_ask(&desk, "RunTask", "{'cluster':'a','taskDefinition':'web','count':5,'networkConfiguration':"
				 "{'awsvpcConfiguration':{'subnets':['%.*s']}}}", STR(subnet));
	assert_true(says(reply, "'reason':'RESOURCE:ENI','detail':'There aren't sufficient free Ipv4 addresses"));
	assert_int_equal(interfaces(&desk), 11);                                   /* of 16, AWS keeps 5 */
}
