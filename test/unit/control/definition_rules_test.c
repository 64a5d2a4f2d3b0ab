/* What RegisterTaskDefinition refuses and what it makes of what it accepts: requests are JSON with ' for ". */
#include "control/ecs/definition_rules.h"
#include "test/test.h"
#include "wire/json.h"

#define APP "'name':'app','image':'nginx','memory':128"
#define TASK(rest) "{'family':'web'," rest "}"
#define WITH(more) "'containerDefinitions':[{" APP more "}]"
#define BARE(text) "'containerDefinitions':[" text "]"
#define AWSVPC "'networkMode':'awsvpc',"
#define FARGATE "'requiresCompatibilities':['FARGATE']," AWSVPC "'cpu':'256','memory':'512',"
#define ROLE "'executionRoleArn':'arn:aws:iam::123456789012:role/pull',"
#define DIGEST "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

static struct str json_of(struct arena *arena, const char *text)
{
	char *json = arena_cstr(arena, str_of(text));

	for (char *c = json; *c; c++)
		*c = *c == '\'' ? '"' : *c;
	return str_of(json);
}

static bool settle(struct arena *arena, struct str json, struct ecs_task_definition **ret_definition, struct error *err)
{
	struct json_fault fault = {0};
	void *request;

	if (!json_decode(&shape_ecs_register_task_definition_request, json, arena, &request, &fault))
		fail_msg("'%.*s': %s", STR(json), fault.error.text);
	return definition_settle_request(request, arena, ret_definition, err);
}

static const struct refusal {
	const char *sentence, *request, *text;
	enum error_code code;                            /* NONE: ClientException */
} refusals[] = {
	{"a family is needed", "{" WITH("") "}", "Family should not be null or empty."},
	{"a family has plain characters", "{'family':'a b'," WITH("") "}", "Family contains invalid characters."},
	{"containers are needed", TASK(BARE("")), "Container list cannot be empty."},
	{"absent containers are none", "{'family':'web'}", "Container list cannot be empty."},
	{"ten containers are the limit",
	 TASK(BARE("{},{},{},{},{},{},{},{},{},{},{}")), "A task definition can contain at most 10 containers."},
	{"a container has a name", TASK(BARE("{'image':'nginx'}")), "Container.name should not be null or empty."},
	{"a container's name has plain characters", TASK(BARE("{'name':'a.b','image':'nginx'}")),
	 "Container.name contains invalid characters."},
	{"names are unique", TASK(BARE("{" APP "},{" APP "}")), "Duplicate name 'app'."},
	{"a container has an image", TASK(BARE("{'name':'app'}")), "Container.image should not be null or empty."},
	{"an image has plain characters", TASK(BARE("{'name':'app','image':'$IMAGE'}")),
	 "Container.image contains invalid characters."},
	{"a digest is 64 hex digits", TASK(BARE("{'name':'app','image':'nginx@sha256:12'}")),
	 "Container.image contains an invalid digest."},
	{"one container is essential", TASK(WITH(",'essential':false")),
	 "Task definition doesn't have any essential container."},
	{"memory is needed somewhere", TASK(BARE("{'name':'app','image':'nginx'}")),
	 "Invalid setting for container 'app'. At least one of 'memory' or 'memoryReservation' must be specified."},
	{"memory is above its reservation", TASK(WITH(",'memoryReservation':256")),
	 "Invalid setting for container 'app'. 'memory' must be greater than or equal to 'memoryReservation'."},
	{"memory is 4 MiB at least", TASK(BARE("{'name':'app','image':'nginx','memory':3}")),
	 "Invalid setting for container 'app'. 'memory' and 'memoryReservation' must be at least 4."},
	{"memory is below the task's", TASK("'memory':'64'," WITH("")),
	 "Invalid setting for container 'app'. 'memory' must be less than or equal to the task memory."},
	{"the memory of all is below the task's",
	 TASK("'memory':'200'," BARE("{" APP "},{'name':'b','image':'b','memory':128}")),
	 "The sum of the container memory values cannot be greater than the value of the task memory."},
	{"cpu is not negative", TASK(WITH(",'cpu':-1")), "Invalid setting for container 'app'. 'cpu' must be 0 or greater."},
	{"the cpu of all is below the task's on Fargate", TASK(FARGATE WITH(",'cpu':257")),
	 "The sum of the container cpu values cannot be greater than the value of the task cpu."},
	{"task cpu is a number of units", TASK("'cpu':'fast'," WITH("")),
	 "Invalid 'cpu' setting for task. For more information, see the Troubleshooting section of the Amazon ECS "
	 "Developer Guide.", ERROR_INVALID_PARAMETER},
	{"task cpu has a minimum", TASK("'cpu':'127'," WITH("")),
	 "Invalid 'cpu' setting for task. For more information, see the Troubleshooting section of the Amazon ECS "
	 "Developer Guide.", ERROR_INVALID_PARAMETER},
	{"task cpu has a maximum", TASK("'cpu':'196609'," WITH("")),
	 "Invalid 'cpu' setting for task. For more information, see the Troubleshooting section of the Amazon ECS "
	 "Developer Guide.", ERROR_INVALID_PARAMETER},
	{"task memory is a number of MiB", TASK("'memory':'1.0001 GB'," WITH("")),
	 "Invalid 'memory' setting for task. For more information, see the Troubleshooting section of the Amazon ECS "
	 "Developer Guide.", ERROR_INVALID_PARAMETER},
	{"Fargate needs awsvpc", TASK("'requiresCompatibilities':['FARGATE']," WITH("")),
	 "Fargate only supports network mode ‘awsvpc’."},
	{"Fargate needs cpu", TASK("'requiresCompatibilities':['FARGATE']," AWSVPC WITH("")),
	 "Fargate requires that 'cpu' be defined at the task level."},
	{"Fargate needs memory", TASK("'requiresCompatibilities':['FARGATE'],'cpu':'256'," AWSVPC WITH("")),
	 "Fargate requires that 'memory' be defined at the task level."},
	{"Fargate has fixed sizes",
	 TASK("'requiresCompatibilities':['EC2','FARGATE'],'cpu':'256','memory':'4096'," AWSVPC WITH("")),
	 "No Fargate configuration exists for given values: 256 CPU, 4096 memory. See the Amazon ECS documentation for "
	 "the valid values."},
	{"Fargate shares no host pids", TASK(FARGATE "'pidMode':'host'," WITH("")),
	 "Tasks using the Fargate launch type do not support pidMode 'host'. The supported value for pidMode is 'task'."},
	{"Fargate has no ipc modes", TASK(FARGATE "'ipcMode':'task'," WITH("")),
	 "Fargate compatible task definitions do not support ipcMode"},
	{"Fargate has no privileges", TASK(FARGATE WITH(",'privileged':true")),
	 "Fargate compatible task definitions do not support privileged containers"},
	{"Fargate has no devices", TASK(FARGATE WITH(",'linuxParameters':{'devices':[{'hostPath':'/dev/kvm'}]}")),
	 "Fargate compatible task definitions do not support devices"},
	{"Fargate adds one capability only", TASK(FARGATE WITH(",'linuxParameters':{'capabilities':{'add':['ALL']}}")),
	 "Fargate compatible task definitions do not support adding capabilities other than SYS_PTRACE"},
	{"Fargate has no host paths", TASK(FARGATE "'volumes':[{'name':'v','host':{'sourcePath':'/srv'}}]," WITH("")),
	 "host.sourcePath should not be set for volumes in Fargate."},
	{"Fargate has no placement constraints",
	 TASK(FARGATE "'placementConstraints':[{'type':'memberOf','expression':'attribute:a exists'}]," WITH("")),
	 "Fargate compatible task definitions do not support placementConstraints"},
	{"Fargate has three log drivers", TASK(FARGATE WITH(",'logConfiguration':{'logDriver':'gelf'}")),
	 "gelf is not a valid log driver. Must be one of [awslogs,splunk,awsfirelens]"},
	{"a host port is mapped once", TASK(WITH(",'portMappings':[{'containerPort':80,'hostPort':80},"
	 "{'containerPort':81,'hostPort':80}]")), "The host port 80 is mapped more than once in the task definition."},
	{"awslogs joins lines in one way", TASK(WITH(",'logConfiguration':{'logDriver':'awslogs','options':"
	 "{'awslogs-datetime-format':'%Y','awslogs-multiline-pattern':'x'}}")),
	 "Log driver awslogs does not take awslogs-datetime-format and awslogs-multiline-pattern together."},
	{"awslogs on Fargate needs a prefix", TASK(FARGATE ROLE WITH(",'logConfiguration':{'logDriver':'awslogs',"
	 "'options':{'awslogs-region':'us-east-1','awslogs-group':'g'}}")),
	 "Log driver awslogs requires options: awslogs-region, awslogs-group, awslogs-stream-prefix"},
	{"awslogs on Fargate needs a role", TASK(FARGATE WITH(",'logConfiguration':{'logDriver':'awslogs',"
	 "'options':{'awslogs-region':'us-east-1','awslogs-group':'g','awslogs-stream-prefix':'p'}}")),
	 "Fargate requires task definition to have execution role ARN to support log driver awslogs."},
	{"ECR on Fargate needs a role", TASK(FARGATE BARE("{'name':'app','image':"
	 "'123456789012.dkr.ecr.us-east-1.amazonaws.com/app:1'}")),
	 "Fargate requires task definition to have execution role ARN to support ECR images."},
	{"awsfirelens needs its router", TASK(WITH(",'logConfiguration':{'logDriver':'awsfirelens'}")),
	 "A container with firelensConfiguration is required to use the log driver awsfirelens."},
	{"ports of awsvpc match", TASK(AWSVPC WITH(",'portMappings':[{'containerPort':80,'hostPort':8080}]")),
	 "When networkMode=awsvpc, the host ports and container ports in port mappings must match."},
	{"ports of host match", TASK("'networkMode':'host'," WITH(",'portMappings':[{'containerPort':80,'hostPort':81}]")),
	 "When networkMode=host, the host ports and container ports in port mappings must match."},
	{"no network has no ports", TASK("'networkMode':'none'," WITH(",'portMappings':[{'containerPort':80}]")),
	 "Port mappings are not supported when networkMode=none."},
	{"a container port is in range", TASK(WITH(",'portMappings':[{'containerPort':0}]")),
	 "Container port must be between 1 and 65535."},
	{"a host port is in range", TASK(WITH(",'portMappings':[{'containerPort':1,'hostPort':65536}]")),
	 "Host port must be between 0 and 65535."},
	{"a port range is a-b", TASK(WITH(",'portMappings':[{'containerPortRange':'90-80'}]")),
	 "Invalid containerPortRange '90-80'."},
	{"a port range stands alone", TASK(WITH(",'portMappings':[{'containerPortRange':'80-90','hostPort':1}]")),
	 "containerPortRange cannot be specified together with containerPort or hostPort."},
	{"port ranges stay apart",
	 TASK(WITH(",'portMappings':[{'containerPortRange':'80-90'},{'containerPortRange':'90-99'}]")),
	 "Container port ranges of container 'app' overlap."},
	{"port ranges are not for host", TASK("'networkMode':'host'," WITH(",'portMappings':[{'containerPortRange':'1-2'}]")),
	 "containerPortRange is not supported when networkMode=host."},
	{"a port name is plain", TASK(WITH(",'portMappings':[{'containerPort':80,'name':'-web'}]")),
	 "Invalid port mapping name '-web'."},
	{"port names are unique",
	 TASK(WITH(",'portMappings':[{'containerPort':80,'name':'a'},{'containerPort':81,'name':'a'}]")),
	 "Duplicate port mapping name 'a'."},
	{"links are for bridge", TASK(AWSVPC WITH(",'links':['app']")), "Links are not supported when networkMode=awsvpc."},
	{"links name containers", TASK(WITH(",'links':['db:database']")), "Unknown container 'db' in links."},
	{"awsvpc sets the host name", TASK(AWSVPC WITH(",'hostname':'h'")),
	 "Hostname is not supported on container when networkMode=awsvpc."},
	{"awsvpc has no extra hosts", TASK(AWSVPC WITH(",'extraHosts':[{'hostname':'h','ipAddress':'1.2.3.4'}]")),
	 "Extra hosts is not supported on container when networkMode=awsvpc."},
	{"a place is mounted once", TASK("'volumes':[{'name':'v'},{'name':'w'}]," WITH(",'mountPoints':["
	 "{'sourceVolume':'v','containerPath':'/a/b'},{'sourceVolume':'w','containerPath':'/a//b/./'}]")),
	 "Duplicate mount point: /a//b/./"},
	{"a place is a volume or a tmpfs", TASK("'volumes':[{'name':'v'}]," WITH(",'mountPoints':["
	 "{'sourceVolume':'v','containerPath':'/a'}],'linuxParameters':{'tmpfs':[{'containerPath':'/a','size':1}]}")),
	 "Duplicate mount point: /a"},
	{"a variable has a name", TASK(WITH(",'environment':[{'name':'','value':'x'}]")),
	 "Environment variable name should not be null or empty."},
	{"a variable is not only a value", TASK(WITH(",'environment':[{'value':'x'}]")),
	 "Environment variable name should not be null or empty."},
	{"a NUL is in no value", TASK(WITH(",'environment':[{'name':'A','value':'x\\u0000'}]")),
	 "Strings of a task definition cannot contain NUL characters."},
	{"a NUL is in no name", TASK(WITH(",'environment':[{'name':'\\\\\\u0000','value':'x'}]")),
	 "Strings of a task definition cannot contain NUL characters."},
	{"a NUL is in no argument", TASK(WITH(",'command':['a','\\u0000']")),
	 "Strings of a task definition cannot contain NUL characters."},
	{"a host name is one word", TASK(WITH(",'hostname':'a\\nb'")), "Container.hostname contains invalid characters."},
	{"an extra host is one line", TASK(WITH(",'extraHosts':[{'hostname':'a\\n6.6.6.6 b','ipAddress':'1.2.3.4'}]")),
	 "Container.extraHosts contains invalid characters."},
	{"an extra host's address is one word", TASK(WITH(",'extraHosts':[{'hostname':'a','ipAddress':'1.2.3.4\\tb'}]")),
	 "Container.extraHosts contains invalid characters."},
	{"an extra host's name is before the colon", TASK(WITH(",'extraHosts':[{'hostname':'a:b','ipAddress':'1.2.3.4'}]")),
	 "Container.extraHosts contains invalid characters."},
	{"an extra host has a name", TASK(WITH(",'extraHosts':[{'hostname':'','ipAddress':'1.2.3.4'}]")),
	 "Container.extraHosts contains invalid characters."},
	{"a resolver is one word", TASK(WITH(",'dnsServers':['1.2.3.4\\noptions debug']")),
	 "Container.dnsServers contains invalid characters."},
	{"a search domain is one word", TASK(WITH(",'dnsSearchDomains':['a','b\\u007f']")),
	 "Container.dnsSearchDomains contains invalid characters."},
	{"an extra host has an address", TASK(WITH(",'extraHosts':[{'hostname':'a','ipAddress':'host-gateway'}]")),
	 "Container.extraHosts: 'host-gateway' is not an IP address."},
	{"a resolver is an address", TASK(WITH(",'dnsServers':['1.1.1.1','one.test']")),
	 "Container.dnsServers: 'one.test' is not an IP address."},
	{"a resolver is a whole address", TASK(WITH(",'dnsServers':['10.0.1']")),
	 "Container.dnsServers: '10.0.1' is not an IP address."},
	{"a working directory is absolute", TASK(WITH(",'workingDirectory':'srv'")),
	 "Container.workingDirectory: 'srv' is not an absolute path."},
	{"a tmpfs is absolute", TASK(WITH(",'linuxParameters':{'tmpfs':[{'containerPath':'work','size':1}]}")),
	 "Container.tmpfs: 'work' is not an absolute path."},
	{"stopTimeout is 2 at least", TASK(WITH(",'stopTimeout':1")),
	 "Granular stop timeout on container 'app' must be at least 2 seconds."},
	{"stopTimeout is not negative", TASK(WITH(",'stopTimeout':-1")),
	 "Granular stop timeout on container 'app' must be at least 2 seconds."},
	{"startTimeout is 2 at least", TASK(WITH(",'startTimeout':0")),
	 "Granular start timeout on container 'app' must be at least 2 seconds."},
	{"Fargate stops within 120 s", TASK(FARGATE WITH(",'stopTimeout':121")),
	 "Tasks using the Fargate launch type must have a container stop timeout of less than 120 seconds."},
	{"a dependency exists", TASK(WITH(",'dependsOn':[{'containerName':'x','condition':'START'}]")),
	 "Cannot depend on container + 'x' because it does not exist"},
	{"a container waits for others only", TASK(WITH(",'dependsOn':[{'containerName':'app','condition':'START'}]")),
	 "Container dependsOn contains a cycle"},
	{"dependencies end somewhere", TASK(BARE("{'name':'a','image':'a','memory':4,'dependsOn':[{'containerName':'b',"
	 "'condition':'START'}]},{'name':'b','image':'b','memory':4,'dependsOn':[{'containerName':'a','condition':'START'}]}")),
	 "Container dependsOn contains a cycle"},
	{"what must succeed is not essential", TASK(BARE("{" APP "},{'name':'b','image':'b','memory':4,'dependsOn':"
	 "[{'containerName':'app','condition':'SUCCESS'}]}")),
	 "A dependency container with SUCCESS or COMPLETE condition cannot be an essential container"},
	{"what must be healthy has a check", TASK(BARE("{" APP "},{'name':'b','image':'b','memory':4,'dependsOn':"
	 "[{'containerName':'app','condition':'HEALTHY'}]}")),
	 "A dependency container with HEALTHY condition must have health check configured"},
	{"a check says how", TASK(WITH(",'healthCheck':{'command':['true']}")),
	 "Health check command must start with CMD or CMD-SHELL."},
	{"a check's interval is in range", TASK(WITH(",'healthCheck':{'command':['CMD','x'],'interval':4}")),
	 "Health check interval must be between 5 and 300 seconds."},
	{"a check's timeout is in range", TASK(WITH(",'healthCheck':{'command':['CMD','x'],'timeout':61}")),
	 "Health check timeout must be between 2 and 60 seconds."},
	{"a check's retries are in range", TASK(WITH(",'healthCheck':{'command':['CMD','x'],'retries':11}")),
	 "Health check retries must be between 1 and 10."},
	{"a check's startPeriod is in range", TASK(WITH(",'healthCheck':{'command':['CMD','x'],'startPeriod':301}")),
	 "Health check startPeriod must be between 0 and 300 seconds."},
	{"restarts are not too quick", TASK(WITH(",'restartPolicy':{'enabled':true,'restartAttemptPeriod':59}")),
	 "restartAttemptPeriod must be between 60 and 1800 seconds."},
	{"secrets need a role", TASK(WITH(",'secrets':[{'name':'A','valueFrom':'p'}]")),
	 "When you are specifying container secrets, you must also specify a value for 'executionRoleArn'."},
	{"secrets come from somewhere", TASK(ROLE WITH(",'secrets':[{'name':'A','valueFrom':''}]")),
	 "Secret name and valueFrom should not be null or empty."},
	{"environment files end in .env", TASK(WITH(",'environmentFiles':[{'value':'arn:aws:s3:::b/a.txt','type':'s3'}]")),
	 "Environment file 'arn:aws:s3:::b/a.txt' must be the ARN of an S3 object that ends in .env."},
	{"swappiness is a percentage", TASK(WITH(",'linuxParameters':{'swappiness':101}")),
	 "swappiness must be between 0 and 100."},
	{"swap is not negative", TASK(WITH(",'linuxParameters':{'maxSwap':-1}")), "maxSwap must be 0 or greater."},
	{"shared memory is some", TASK(WITH(",'linuxParameters':{'sharedMemorySize':0}")),
	 "sharedMemorySize must be greater than 0."},
	{"a tmpfs has a size", TASK(WITH(",'linuxParameters':{'tmpfs':[{'containerPath':'/t','size':0}]}")),
	 "tmpfs size must be greater than 0."},
	{"a soft limit is below the hard one", TASK(WITH(",'ulimits':[{'name':'nofile','softLimit':2,'hardLimit':1}]")),
	 "The soft limit of ulimit nofile cannot be greater than its hard limit."},
	{"GPUs are counted", TASK(WITH(",'resourceRequirements':[{'type':'GPU','value':'many'}]")),
	 "The value of a GPU resource requirement must be a positive integer or ALL."},
	{"Neuron devices come all together", TASK(WITH(",'resourceRequirements':[{'type':'NeuronDevice','value':'1'}]")),
	 "The value of a NeuronDevice resource requirement must be ALL."},
	{"an accelerator is defined", TASK(WITH(",'resourceRequirements':[{'type':'InferenceAccelerator','value':'d'}]")),
	 "Unknown inference accelerator 'd'."},
	{"a mounted volume exists", TASK(WITH(",'mountPoints':[{'sourceVolume':'v','containerPath':'/v'}]")),
	 "Unknown volume 'v'."},
	{"a mount has a path", TASK("'volumes':[{'name':'v'}]," WITH(",'mountPoints':[{'sourceVolume':'v'}]")),
	 "Mount point containerPath should not be null or empty."},
	{"volumesFrom names a container", TASK(WITH(",'volumesFrom':[{'sourceContainer':'x'}]")),
	 "Unknown source container 'x' in volumesFrom."},
	{"a volume has a name", TASK("'volumes':[{}]," WITH("")), "Volume.name should not be null or empty."},
	{"a volume's name has plain characters", TASK("'volumes':[{'name':'/'}]," WITH("")),
	 "Volume.name contains invalid characters."},
	{"volume names are unique", TASK("'volumes':[{'name':'v'},{'name':'v'}]," WITH("")), "Duplicate name 'v'."},
	{"a volume is of one kind", TASK("'volumes':[{'name':'v','host':{},'configuredAtLaunch':true}]," WITH("")),
	 "Volume 'v': only one volume configuration can be specified."},
	{"one volume comes at launch",
	 TASK("'volumes':[{'name':'v','configuredAtLaunch':true},{'name':'w','configuredAtLaunch':true}]," WITH("")),
	 "Only one volume can be configured at launch."},
	{"autoprovision is for shared volumes",
	 TASK("'volumes':[{'name':'v','dockerVolumeConfiguration':{'autoprovision':true}}]," WITH("")),
	 "Volume 'v': autoprovision can only be used with the shared scope."},
	{"an EFS access point has its own root", TASK("'volumes':[{'name':'v','efsVolumeConfiguration':{'fileSystemId':'fs-1',"
	 "'rootDirectory':'/a','transitEncryption':'ENABLED','authorizationConfig':{'accessPointId':'fsap-1'}}}]," WITH("")),
	 "Volume 'v': rootDirectory must be omitted or set to / when an EFS access point is specified."},
	{"an EFS access point is encrypted", TASK("'volumes':[{'name':'v','efsVolumeConfiguration':{'fileSystemId':'fs-1',"
	 "'authorizationConfig':{'accessPointId':'fsap-1'}}}]," WITH("")),
	 "Volume 'v': transit encryption must be enabled when an EFS access point is specified."},
	{"EFS authorization is encrypted", TASK("'volumes':[{'name':'v','efsVolumeConfiguration':{'fileSystemId':'fs-1',"
	 "'authorizationConfig':{'iam':'ENABLED'}}}]," WITH("")),
	 "Volume 'v': transit encryption must be enabled when Amazon EFS IAM authorization is used."},
	{"a role is a name or an ARN", TASK("'taskRoleArn':'arn:aws:iam::1:role/x'," WITH("")), "Role is not valid"},
	{"a role's name is plain", TASK("'executionRoleArn':'a b'," WITH("")), "Role is not valid"},
	{"storage is for Fargate", TASK("'ephemeralStorage':{'sizeInGiB':21}," WITH("")),
	 "Ephemeral storage is only supported for Fargate tasks."},
	{"storage has limits", TASK(FARGATE "'ephemeralStorage':{'sizeInGiB':20}," WITH("")),
	 "Ephemeral storage size must be between 21 and 200 GiB."},
	{"a constraint says what", TASK("'placementConstraints':[{'type':'memberOf'}]," WITH("")),
	 "Placement constraint expression should not be null or empty."},
	{"a constraint has a type", TASK("'placementConstraints':[{'expression':'attribute:a exists'}]," WITH("")),
	 "Placement constraint type should be one of [memberOf]"},
	{"a proxy is for awsvpc", TASK("'proxyConfiguration':{'containerName':'app'}," WITH("")),
	 "proxyConfiguration is only supported when networkMode=awsvpc."},
	{"a proxy is a container", TASK(AWSVPC "'proxyConfiguration':{'containerName':'envoy'}," WITH("")),
	 "The container envoy of proxyConfiguration does not exist in the task definition."},
	{"a constraint can be understood", TASK("'placementConstraints':[{'type':'memberOf','expression':'('}]," WITH("")),
	 "The expression '(' is not valid.", ERROR_INVALID_PARAMETER},
	{"what is required is possible", TASK("'requiresCompatibilities':['EXTERNAL']," AWSVPC WITH("")),
	 "Task definition does not support launch_type EXTERNAL."},
};

TEST(a_bad_definition_is_refused_with_the_text_of_aws)
{
	for (size_t i = 0; i < COUNT(refusals); i++) {
		const struct refusal *row = &refusals[i];
		enum error_code code = row->code ? row->code : ERROR_CLIENT;
		struct ecs_task_definition *definition;
		struct error error = {0};
		auto_arena arena = {0};

		if (settle(&arena, json_of(&arena, row->request), &definition, &error))
			fail_msg("%s: accepted", row->sentence);
		if (error.code != code || strcmp(error.text, row->text) != 0)
			fail_msg("%s: %d '%s'", row->sentence, error.code, error.text);
	}
}

/* The definition as the API shows it, or one member of it. */
static const struct acceptance {
	const char *sentence, *request, *member, *json;
} acceptances[] = {
	{"what is not said is filled in",
	 TASK(WITH("")), NULL,
	 "{'containerDefinitions':[{" "'name':'app','image':'nginx','cpu':0,'memory':128,'portMappings':[],'essential':true,"
	 "'environment':[],'mountPoints':[],'volumesFrom':[],'systemControls':[]}],'family':'web','volumes':[],"
	 "'placementConstraints':[],'compatibilities':['EXTERNAL','EC2']}"},
	{"what is null is absent", TASK("'networkMode':null,'volumes':null," WITH(",'command':null,'linuxParameters':"
	 "{'devices':null},'environment':[{'name':'A','value':null}]")), "containerDefinitions",
	 "[{" "'name':'app','image':'nginx','cpu':0,'memory':128,'portMappings':[],'essential':true,"
	 "'environment':[{'name':'A'}],'mountPoints':[],'volumesFrom':[],'linuxParameters':{},'systemControls':[]}]"},
	{"empty things stay", TASK(WITH(",'command':[],'user':'','dockerLabels':{}")), "containerDefinitions",
	 "[{" "'name':'app','image':'nginx','cpu':0,'memory':128,'portMappings':[],'essential':true,'command':[],"
	 "'environment':[],'mountPoints':[],'volumesFrom':[],'user':'','dockerLabels':{},'systemControls':[]}]"},
	{"a bridged host port is dynamic", TASK(WITH(",'portMappings':[{'containerPort':80}]")), "containerDefinitions",
	 "[{" "'name':'app','image':'nginx','cpu':0,'memory':128,'portMappings':[{'containerPort':80,'hostPort':0,"
	 "'protocol':'tcp'}],'essential':true,'environment':[],'mountPoints':[],'volumesFrom':[],'systemControls':[]}]"},
	{"a host port of awsvpc is the container's", TASK(AWSVPC WITH(",'portMappings':[{'containerPort':53,'protocol':'udp'}]")),
	 "containerDefinitions",
	 "[{" "'name':'app','image':'nginx','cpu':0,'memory':128,'portMappings':[{'containerPort':53,'hostPort':53,"
	 "'protocol':'udp'}],'essential':true,'environment':[],'mountPoints':[],'volumesFrom':[],'systemControls':[]}]"},
	{"a check has its times", TASK(WITH(",'healthCheck':{'command':['CMD-SHELL','true']}")), "containerDefinitions",
	 "[{" "'name':'app','image':'nginx','cpu':0,'memory':128,'portMappings':[],'essential':true,"
	 "'environment':[],'mountPoints':[],'volumesFrom':[],'healthCheck':{'command':['CMD-SHELL','true'],'interval':30,"
	 "'timeout':5,'retries':3},'systemControls':[]}]"},
	{"vCPUs are 1024 units", TASK("'cpu':'1 vCPU'," WITH("")), "cpu", "'1024'"},
	{"half a vCPU is 512 units", TASK("'cpu':'.5 vcpu'," WITH("")), "cpu", "'512'"},
	{"units stay units", TASK("'cpu':'256'," WITH("")), "cpu", "'256'"},
	{"gigabytes are 1024 MiB", TASK("'memory':'1GB'," WITH("")), "memory", "'1024'"},
	{"half a gigabyte is 512 MiB", TASK("'memory':'0.5 GB'," WITH("")), "memory", "'512'"},
	{"awsvpc fits three", TASK(AWSVPC WITH("")), "compatibilities", "['EC2','MANAGED_INSTANCES','FARGATE']"},
	{"Windows fits two", TASK(AWSVPC "'runtimePlatform':{'operatingSystemFamily':'WINDOWS_SERVER_2022_CORE'}," WITH("")),
	 "compatibilities", "['EC2','FARGATE']"},
	{"a long stopTimeout is not for Fargate", TASK(AWSVPC WITH(",'stopTimeout':121")), "compatibilities",
	 "['EC2','MANAGED_INSTANCES']"},
	{"an odd size is not for Fargate", TASK(AWSVPC "'cpu':'300','memory':'512'," WITH("")), "compatibilities",
	 "['EC2','MANAGED_INSTANCES']"},
	{"a log driver of EC2 is for EC2", TASK(AWSVPC WITH(",'logConfiguration':{'logDriver':'syslog'}")), "compatibilities",
	 "['EC2']"},
	{"EFS is not for external instances",
	 TASK("'volumes':[{'name':'v','efsVolumeConfiguration':{'fileSystemId':'fs-1'}}]," WITH("")), "compatibilities", "['EC2']"},
	{"awsvpc wants network interfaces", TASK(AWSVPC WITH("")), "requiresAttributes",
	 "[{'name':'com.amazonaws.ecs.capability.docker-remote-api.1.18'},{'name':'ecs.capability.task-eni'}]"},
	{"order wants an agent that keeps it", TASK(WITH(",'stopTimeout':2")), "requiresAttributes",
	 "[{'name':'ecs.capability.container-ordering'}]"},
	{"a digest wants a newer API", TASK(BARE("{'name':'a','image':'a@sha256:" DIGEST "','memory':4}")), "requiresAttributes",
	 "[{'name':'com.amazonaws.ecs.capability.docker-remote-api.1.21'}]"},
	{"ECR wants its login", TASK(ROLE BARE("{'name':'a','image':'123456789012.dkr.ecr.us-east-1.amazonaws.com/a','memory':4}")),
	 "requiresAttributes",
	 "[{'name':'com.amazonaws.ecs.capability.docker-remote-api.1.21'},{'name':'com.amazonaws.ecs.capability.ecr-auth'},"
	 "{'name':'ecs.capability.execution-role-ecr-pull'}]"},
	{"logs want their driver", TASK(ROLE WITH(",'logConfiguration':{'logDriver':'awslogs','options':"
	 "{'awslogs-region':'r','awslogs-group':'g'},'secretOptions':[{'name':'n','valueFrom':'p'}]}")), "requiresAttributes",
	 "[{'name':'com.amazonaws.ecs.capability.logging-driver.awslogs'},"
	 "{'name':'com.amazonaws.ecs.capability.docker-remote-api.1.19'},{'name':'ecs.capability.execution-role-awslogs'},"
	 "{'name':'ecs.capability.secrets.ssm.bootstrap.log-driver'}]"},
	{"a task role wants credentials", TASK("'taskRoleArn':'r'," WITH("")), "requiresAttributes",
	 "[{'name':'com.amazonaws.ecs.capability.task-iam-role'}]"},
	{"a task role of the host wants them there", TASK("'networkMode':'host','taskRoleArn':'r'," WITH("")),
	 "requiresAttributes", "[{'name':'com.amazonaws.ecs.capability.task-iam-role-network-host'}]"},
	{"a check wants its runner", TASK(WITH(",'healthCheck':{'command':['CMD','x']}")), "requiresAttributes",
	 "[{'name':'ecs.capability.container-health-check'},{'name':'com.amazonaws.ecs.capability.docker-remote-api.1.24'}]"},
	{"task sizes want limits", TASK("'cpu':'20480'," WITH("")), "requiresAttributes",
	 "[{'name':'ecs.capability.task-cpu-mem-limit'},{'name':'ecs.capability.increased-task-cpu-limit'}]"},
	{"Fargate limits by itself", TASK(FARGATE WITH("")), "requiresAttributes",
	 "[{'name':'com.amazonaws.ecs.capability.docker-remote-api.1.18'},{'name':'ecs.capability.task-eni'}]"},
	{"privileges want a willing instance", TASK(WITH(",'privileged':true")), "requiresAttributes",
	 "[{'name':'com.amazonaws.ecs.capability.privileged-container'}]"},
	{"the kernel's words want newer APIs", TASK(WITH(",'memoryReservation':64,'linuxParameters':{'initProcessEnabled':true,"
	 "'sharedMemorySize':1}")), "requiresAttributes",
	 "[{'name':'com.amazonaws.ecs.capability.docker-remote-api.1.21'},"
	 "{'name':'com.amazonaws.ecs.capability.docker-remote-api.1.25'},"
	 "{'name':'com.amazonaws.ecs.capability.docker-remote-api.1.22'}]"},
	{"shared namespaces want support", TASK("'pidMode':'host'," WITH("")), "requiresAttributes",
	 "[{'name':'ecs.capability.pid-ipc-namespace-sharing'}]"},
	{"secrets want their store", TASK(ROLE WITH(",'secrets':[{'name':'A','valueFrom':'p'},{'name':'B','valueFrom':"
	 "'arn:aws:secretsmanager:us-east-1:1:secret:s'}]")), "requiresAttributes",
	 "[{'name':'ecs.capability.secrets.ssm.environment-variables'},"
	 "{'name':'ecs.capability.secrets.asm.environment-variables'}]"},
	{"a private registry wants its secret", TASK(WITH(",'repositoryCredentials':{'credentialsParameter':'arn'}")),
	 "requiresAttributes", "[{'name':'ecs.capability.private-registry-authentication.secretsmanager'}]"},
	{"a log router wants support", TASK(WITH(",'firelensConfiguration':{'type':'fluentbit','options':"
	 "{'config-file-type':'file'}}")), "requiresAttributes",
	 "[{'name':'ecs.capability.firelens.fluentbit'},{'name':'ecs.capability.firelens.options.config.file'}]"},
	{"environment files want S3", TASK(WITH(",'environmentFiles':[{'value':'arn:aws:s3:::b/a.env','type':'s3'}]")),
	 "requiresAttributes", "[{'name':'ecs.capability.env-files.s3'}]"},
	{"EFS and its access want support", TASK("'volumes':[{'name':'v','efsVolumeConfiguration':{'fileSystemId':'fs-1',"
	 "'transitEncryption':'ENABLED','authorizationConfig':{'iam':'ENABLED'}}}]," WITH("")), "requiresAttributes",
	 "[{'name':'ecs.capability.efs'},{'name':'ecs.capability.efsAuth'}]"},
	{"a volume driver is asked for", TASK("'volumes':[{'name':'v','dockerVolumeConfiguration':{'driver':'rexray'}}]," WITH("")),
	 "requiresAttributes", "[{'name':'ecs.capability.docker-plugin.rexray'}]"},
	{"a port range wants support", TASK(WITH(",'portMappings':[{'containerPortRange':'1-9'}]")), "requiresAttributes",
	 "[{'name':'ecs.capability.network.container-port-range'}]"},
	{"restarts want support", TASK(WITH(",'restartPolicy':{'enabled':true}")), "requiresAttributes",
	 "[{'name':'ecs.capability.container-restart-policy'}]"},
	{"faults want support", TASK("'enableFaultInjection':true," WITH("")), "requiresAttributes",
	 "[{'name':'ecs.capability.fault-injection'}]"},
	{"volumes at launch want support", TASK("'volumes':[{'name':'v','configuredAtLaunch':true}]," WITH("")),
	 "requiresAttributes", "[{'name':'ecs.capability.storage.ebs-task-volume-attach'}]"},
	{"a proxy wants support", TASK(AWSVPC "'proxyConfiguration':{'containerName':'app'}," WITH("")), "requiresAttributes",
	 "[{'name':'com.amazonaws.ecs.capability.docker-remote-api.1.18'},{'name':'ecs.capability.task-eni'},"
	 "{'name':'ecs.capability.aws-appmesh'}]"},
};

TEST(a_good_definition_is_shown_as_aws_shows_it)
{
	for (size_t i = 0; i < COUNT(acceptances); i++) {
		const struct acceptance *row = &acceptances[i];
		struct ecs_task_definition *definition;
		struct error error = {0};
		auto_buffer text = {0};
		auto_arena arena = {0};
		struct str shown;

		if (!settle(&arena, json_of(&arena, row->request), &definition, &error))
			fail_msg("%s: refused: %s", row->sentence, error.text);
		json_encode(&shape_ecs_task_definition, definition, &text);
		shown = row->member ? json_member_text(buffer_str(&text), str_of(row->member)) : buffer_str(&text);
		if (!str_equal(shown, json_of(&arena, row->json)))
			fail_msg("%s: %.*s", row->sentence, STR(shown));
	}
}

TEST(every_size_of_fargate_is_known)
{
	static const struct { int64_t cpu, memory; bool fits; } sizes[] = {
		{256, 512, true}, {256, 1024, true}, {256, 1536, false}, {256, 2048, true}, {512, 512, false},
		{512, 4096, true}, {512, 5120, false}, {1024, 2048, true}, {1024, 8192, true}, {1024, 9216, false},
		{2048, 4096, true}, {2048, 16384, true}, {4096, 8192, true}, {4096, 30720, true}, {4096, 31744, false},
		{8192, 16384, true}, {8192, 17408, false}, {8192, 61440, true}, {16384, 32768, true}, {16384, 122880, true},
		{16384, 36864, false}, {128, 512, false},
	};
	struct ecs_task_definition definition = {0};

	for (size_t i = 0; i < COUNT(sizes); i++)
		assert_int_equal(definition_is_fargate_size(&definition, sizes[i].cpu, sizes[i].memory), sizes[i].fits);
}

TEST(windows_on_fargate_has_one_to_four_cpus)
{
	struct ecs_runtime_platform platform = {.operating_system_family = ECS_OS_FAMILY_WINDOWS_SERVER_2022_FULL};
	struct ecs_task_definition definition = {.runtime_platform = &platform};

	assert_false(definition_is_fargate_size(&definition, 512, 1024));
	assert_true(definition_is_fargate_size(&definition, 1024, 2048));
	assert_true(definition_is_fargate_size(&definition, 4096, 8192));
	assert_false(definition_is_fargate_size(&definition, 8192, 16384));
}

TEST(sizes_are_whole_numbers_with_units)
{
	static const struct { const char *text; int64_t cpu, memory; } sizes[] = {       /* 0: refused */
		{"1", 1, 1}, {" 512 ", 512, 512}, {"2vCPU", 2048, 0}, {"0.25 vcpus", 256, 0}, {"2 gb", 0, 2048},
		{"1.5GiB", 0, 1536}, {"64 MB", 0, 64}, {"0", 0, 0}, {"", 0, 0}, {".", 0, 0}, {"-1", 0, 0}, {"1..5", 0, 0},
		{"vcpu", 0, 0}, {"1e3", 0, 0}, {"99999999999999999999", 0, 0}, {"0.0001 vcpu", 0, 0}, {"1.5", 0, 0},
		{"2147483648", 0, 0}, {"2147483647", INT32_MAX, INT32_MAX}, {"1.00000000000 GB", 0, 0},
	};

	for (size_t i = 0; i < COUNT(sizes); i++) {
		int64_t cpu = 0, memory = 0;

		assert_int_equal(definition_parse_cpu(str_of(sizes[i].text), &cpu), sizes[i].cpu > 0);
		assert_int_equal(cpu, sizes[i].cpu);
		assert_int_equal(definition_parse_memory(str_of(sizes[i].text), &memory), sizes[i].memory > 0);
		assert_int_equal(memory, sizes[i].memory);
	}
}

/* A request whose definition has exactly `bytes` of JSON. */
static struct str sized_request(struct arena *arena, size_t bytes)
{
	struct ecs_task_definition *definition;
	struct str bare = json_of(arena, TASK(WITH(",'user':'@'"))), filler;
	size_t at = str_find(bare, '@'), base;
	struct error error = {0};
	auto_buffer text = {0};

	assert_true(settle(arena, bare, &definition, &error));
	definition->compatibilities = (struct ecs_compatibility_list){0};        /* not there when it is measured */
	json_encode(&shape_ecs_task_definition, definition, &text);
	base = text.len - 1;
	filler = arena_printf(arena, "%0*d", (int)(bytes - base), 0);
	return arena_printf(arena, "%.*s%.*s%.*s", STR(str_slice(bare, 0, at)), STR(filler),
			    STR(str_slice(bare, at + 1, bare.len)));
}

TEST(a_definition_has_at_most_64_kibibytes)
{
	struct ecs_task_definition *definition;
	struct error error = {0};
	auto_arena arena = {0};

	assert_true(settle(&arena, sized_request(&arena, DEFINITION_BYTES_LIMIT), &definition, &error));
	assert_false(settle(&arena, sized_request(&arena, DEFINITION_BYTES_LIMIT + 1), &definition, &error));
	assert_int_equal(error.code, ERROR_CLIENT);
	EXPECT_STR(str_of(error.text), S("Actual length: '65537'. Max allowed length is '65536' bytes."));
}

TEST(names_have_at_most_255_characters)
{
	struct ecs_task_definition *definition;
	struct error error = {0};
	auto_arena arena = {0};

	for (int length = 255; length <= 256; length++) {
		struct str json = arena_printf(&arena, "{\"family\":\"%0*d\",\"containerDefinitions\":[{\"name\":\"%0*d\","
					       "\"image\":\"%0*d\",\"memory\":4}]}", length, 0, 255, 0, 255, 0);

		assert_int_equal(settle(&arena, json, &definition, &error), length == 255);
	}
	EXPECT_STR(str_of(error.text), S("Family contains invalid characters."));
}

TEST(lists_of_a_container_have_limits)
{
	static const struct { const char *member, *item, *text; int limit; } lists[] = {
		{"environmentFiles", "{'value':'arn:aws:s3:::b/a.env','type':'s3'}",
		 "A container can have at most 10 environment files.", 10},
		{"restartPolicy", "7", "A restart policy can have at most 50 ignored exit codes.", 50},
		{"portMappings", "{'containerPortRange':'%d-%d'}", "A container can have at most 100 container port ranges.", 100},
		{"placementConstraints", "{'type':'memberOf','expression':'attribute:a exists'}",
		 "A task definition can have at most 10 placement constraints.", 10},
	};

	for (size_t i = 0; i < COUNT(lists); i++) {
		for (int count = lists[i].limit; count <= lists[i].limit + 1; count++) {
			struct ecs_task_definition *definition;
			struct error error = {0};
			auto_arena arena = {0};
			struct str list = S(""), json;

			for (int j = 1; j <= count; j++) {
				struct str item = json_of(&arena, lists[i].item);

				if (strcmp(lists[i].member, "portMappings") == 0)
					item = arena_printf(&arena, "{\"containerPortRange\":\"%d-%d\"}", j, j);
				list = arena_printf(&arena, "%.*s%s%.*s", STR(list), j > 1 ? "," : "", STR(item));
			}
			list = arena_printf(&arena, strcmp(lists[i].member, "restartPolicy") == 0 ?
					    "{\"enabled\":true,\"ignoredExitCodes\":[%.*s]}" : "[%.*s]", STR(list));
			json = arena_printf(&arena, strcmp(lists[i].member, "placementConstraints") == 0 ?
					    "{\"family\":\"a\",\"containerDefinitions\":[{\"name\":\"a\",\"image\":\"a\",\"memory\":4}],"
					    "\"%s\":%.*s}" :
					    "{\"family\":\"a\",\"containerDefinitions\":[{\"name\":\"a\",\"image\":\"a\",\"memory\":4,"
					    "\"%s\":%.*s}]}", lists[i].member, STR(list));
			assert_int_equal(settle(&arena, json, &definition, &error), count == lists[i].limit);
			EXPECT_STR(str_of(error.text), str_of(count == lists[i].limit ? "" : lists[i].text));
		}
	}
}

/* ---- what AWS takes and Wherry does not do: refused with a word, after AWS's own texts */
static const struct refusal unbuilt[] = {
	{"Windows", TASK("'runtimePlatform':{'operatingSystemFamily':'WINDOWS_SERVER_2022_CORE'}," WITH("")),
	 "Wherry does not do Windows containers (runtimePlatform.operatingSystemFamily) yet."},
	{"accelerators", TASK("'inferenceAccelerators':[{'deviceName':'d','deviceType':'t'}]," WITH("")),
	 "Wherry does not do inferenceAccelerators yet."},
	{"App Mesh", TASK(AWSVPC "'proxyConfiguration':{'containerName':'app'}," WITH("")),
	 "Wherry does not do proxyConfiguration (App Mesh) yet."},
	{"fault injection", TASK("'enableFaultInjection':true," WITH("")), "Wherry does not do enableFaultInjection yet."},
	{"EBS volumes", TASK("'volumes':[{'name':'v','configuredAtLaunch':true}]," WITH("")),
	 "Wherry does not do volumes with configuredAtLaunch (EBS) yet."},
	{"volume plugins", TASK("'volumes':[{'name':'v','dockerVolumeConfiguration':{'driver':'rexray'}}]," WITH("")),
	 "Wherry does not do docker volume drivers other than local yet."},
	{"secrets", TASK(ROLE WITH(",'secrets':[{'name':'n','valueFrom':'p'}]")), "Wherry does not do secrets yet (container 'app')."},
	{"secrets of a driver", TASK(ROLE WITH(",'logConfiguration':{'logDriver':'awslogs','secretOptions':"
	 "[{'name':'n','valueFrom':'p'}]}")), "Wherry does not do logConfiguration.secretOptions yet (container 'app')."},
	{"registry logins", TASK(ROLE WITH(",'repositoryCredentials':{'credentialsParameter':'p'}")),
	 "Wherry does not do repositoryCredentials yet (container 'app')."},
	{"gMSA", TASK(WITH(",'credentialSpecs':['credentialspec:x']")), "Wherry does not do credentialSpecs (gMSA) yet (container 'app')."},
	{"log routers", TASK(WITH(",'firelensConfiguration':{'type':'fluentbit'}")),
	 "Wherry does not do firelensConfiguration yet (container 'app')."},
	{"syslog", TASK(WITH(",'logConfiguration':{'logDriver':'syslog'}")), "Wherry does not do the log driver syslog yet (container 'app')."},
	{"journald", TASK(WITH(",'logConfiguration':{'logDriver':'journald'}")),
	 "Wherry does not do the log driver journald yet (container 'app')."},
	{"gelf", TASK(WITH(",'logConfiguration':{'logDriver':'gelf'}")), "Wherry does not do the log driver gelf yet (container 'app')."},
	{"fluentd", TASK(WITH(",'logConfiguration':{'logDriver':'fluentd'}")),
	 "Wherry does not do the log driver fluentd yet (container 'app')."},
	{"splunk", TASK(WITH(",'logConfiguration':{'logDriver':'splunk'}")), "Wherry does not do the log driver splunk yet (container 'app')."},
	{"tags of docker's awslogs", TASK(WITH(",'logConfiguration':{'logDriver':'awslogs','options':{'tag':'x'}}")),
	 "Wherry does not do log options that only docker documents (tag, labels, env, compress, awslogs-format) yet (container 'app')."},
	{"compressed logs", TASK(WITH(",'logConfiguration':{'logDriver':'json-file','options':{'compress':'true'}}")),
	 "Wherry does not do log options that only docker documents (tag, labels, env, compress, awslogs-format) yet (container 'app')."},
	{"AppArmor", TASK(WITH(",'dockerSecurityOptions':['no-new-privileges','apparmor:mine']")),
	 "Wherry does not do AppArmor profiles (dockerSecurityOptions) yet (container 'app')."},
	{"SELinux", TASK(WITH(",'dockerSecurityOptions':['label:user:x']")),
	 "Wherry does not do SELinux labels (dockerSecurityOptions) yet (container 'app')."},
	{"Neuron devices", TASK(WITH(",'resourceRequirements':[{'type':'NeuronDevice','value':'ALL'}]")),
	 "Wherry does not do NeuronDevice resource requirements yet (container 'app')."},
	{"version consistency", TASK(WITH(",'versionConsistency':'enabled'")),
	 "Wherry does not do versionConsistency enabled yet (container 'app')."},
	{"no network for one", TASK(WITH(",'disableNetworking':true")), "Wherry does not do disableNetworking yet (container 'app')."},
};

TEST(what_is_not_built_is_refused_and_not_ignored)
{
	for (size_t i = 0; i < COUNT(unbuilt); i++) {
		auto_arena arena = {0};
		struct ecs_task_definition *definition;
		struct error err = {0};

		if (!settle(&arena, json_of(&arena, unbuilt[i].request), &definition, &err))
			fail_msg("%s: %s", unbuilt[i].sentence, err.text);
		if (definition_check_built(definition, &err))
			fail_msg("%s: not refused", unbuilt[i].sentence);
		EXPECT_STR(str_of(err.text), str_of(unbuilt[i].text));
		assert_int_equal(err.code, ERROR_CLIENT);
	}
}

TEST(what_is_built_is_accepted)
{
	static const char *const rows[] = {
		TASK(WITH(",'logConfiguration':{'logDriver':'awslogs'}")), TASK(WITH(",'logConfiguration':{'logDriver':'none'}")),
		TASK(WITH(",'logConfiguration':{'logDriver':'json-file'}")), TASK(WITH(",'versionConsistency':'disabled'")),
		TASK(WITH(",'resourceRequirements':[{'type':'GPU','value':'1'}]")),
		TASK(WITH(",'dockerSecurityOptions':['no-new-privileges','label:disable','apparmor:unconfined','seccomp:unconfined']")),
		TASK(WITH(",'logConfiguration':{'logDriver':'json-file','options':{'max-size':'1m','max-file':'2'}}")),
		TASK("'volumes':[{'name':'v','dockerVolumeConfiguration':{'driver':'local','scope':'shared'}}]," WITH("")),
		TASK("'volumes':[{'name':'v','efsVolumeConfiguration':{'fileSystemId':'fs-1'}}]," WITH("")),
		TASK(WITH(",'environmentFiles':[{'type':'s3','value':'arn:aws:s3:::b/x.env'}]")),
	};

	for (size_t i = 0; i < COUNT(rows); i++) {
		auto_arena arena = {0};
		struct ecs_task_definition *definition;
		struct error err = {0};

		if (!settle(&arena, json_of(&arena, rows[i]), &definition, &err) || !definition_check_built(definition, &err))
			fail_msg("%s: %s", rows[i], err.text);
	}
}
