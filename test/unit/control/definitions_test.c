/* Revisions, families and the life of task definitions; what they may say is in definition_rules_test.c. */
#include "test/unit/control/desk.h"

#define ARN(name) "arn:aws:ecs:us-east-1:123456789012:task-definition/" name
#define CONTAINERS "'containerDefinitions':[{'name':'a','image':'a','memory':4}]"
#define REGISTER(family) "{'family':'" family "'," CONTAINERS "}"
#define SHOWN(family, revision, status, more) \
	"{'taskDefinitionArn':'" ARN(family ":" revision) "','containerDefinitions':[{'name':'a','image':'a','cpu':0,'memory':4," \
	"'portMappings':[],'essential':true,'environment':[],'mountPoints':[],'volumesFrom':[],'systemControls':[]}]," \
	"'family':'" family "','revision':" revision ",'volumes':[],'status':'" status "','placementConstraints':[]," \
	"'compatibilities':['EXTERNAL','EC2'],'registeredAt':1700000000" more \
	",'registeredBy':'arn:aws:iam::123456789012:root'}"

static void register_many(struct desk *desk, const char *family, int count)
{

	for (int i = 0; i < count; i++)
		assert_true(str_starts(desk_ask(desk, "RegisterTaskDefinition", "{'family':'%s'," CONTAINERS "}", family), S("{")));
}

TEST(a_definition_is_registered_with_the_next_revision)
{
	auto_desk desk;

	desk_init(&desk);
	EXPECT_CALL(&desk, "RegisterTaskDefinition", REGISTER("web"), "{'taskDefinition':" SHOWN("web", "1", "ACTIVE", "") "}");
	EXPECT_CALL(&desk, "RegisterTaskDefinition", REGISTER("web"), "{'taskDefinition':" SHOWN("web", "2", "ACTIVE", "") "}");
	EXPECT_CALL(&desk, "DescribeTaskDefinition", "{'taskDefinition':'web'}",
		    "{'taskDefinition':" SHOWN("web", "2", "ACTIVE", "") ",'tags':[]}");
	EXPECT_CALL(&desk, "DescribeTaskDefinition", "{'taskDefinition':'web:1'}",
		    "{'taskDefinition':" SHOWN("web", "1", "ACTIVE", "") ",'tags':[]}");
	EXPECT_CALL(&desk, "DescribeTaskDefinition", "{'taskDefinition':'" ARN("web:1") "'}",
		    "{'taskDefinition':" SHOWN("web", "1", "ACTIVE", "") ",'tags':[]}");
}

TEST(a_refused_registration_takes_no_number)
{
	auto_desk desk;

	desk_init(&desk);
	EXPECT_CALL(&desk, "RegisterTaskDefinition", "{'family':'web'}", "ClientException: Container list cannot be empty.");
	EXPECT_MEMBER(&desk, "RegisterTaskDefinition", REGISTER("web"), "taskDefinition", SHOWN("web", "1", "ACTIVE", ""));
}

TEST(unknown_definitions_are_refused)
{
	static const struct { const char *operation, *request, *text; } rows[] = {
		{"DescribeTaskDefinition", "{'taskDefinition':'x'}", "ClientException: Unable to describe task definition."},
		{"DescribeTaskDefinition", "{'taskDefinition':'web:2'}", "ClientException: Unable to describe task definition."},
		{"DescribeTaskDefinition", "{'taskDefinition':'web:z'}",
		 "InvalidParameterException: Invalid revision number. Number: z"},
		{"DescribeTaskDefinition", "{'taskDefinition':'arn:aws:ecs:eu-west-1:123456789012:task-definition/web:1'}",
		 "InvalidParameterException: Invalid identifier: arn:aws:ecs:eu-west-1:123456789012:task-definition/web:1"},
		{"DeregisterTaskDefinition", "{'taskDefinition':'web'}", "InvalidParameterException: Revision is missing"},
		{"DeregisterTaskDefinition", "{'taskDefinition':'" ARN("web") "'}",
		 "InvalidParameterException: Revision is missing"},
		{"DeregisterTaskDefinition", "{'taskDefinition':'web:2'}",
		 "ClientException: Unable to deregister task definition."},
		{"DeregisterTaskDefinition", "{'taskDefinition':'web:0'}",
		 "InvalidParameterException: Invalid revision number. Number: 0"},
		{"DeleteTaskDefinitions", "{'taskDefinitions':[]}", "InvalidParameterException: References cannot be empty."},
		{"DeleteTaskDefinitions", "{'taskDefinitions':['a','b','c','d','e','f','g','h','i','j','k']}",
		 "InvalidParameterException: Size of TaskDefinition references list cannot exceed 10"},
	};
	auto_desk desk;

	desk_init(&desk);
	register_many(&desk, "web", 1);
	for (size_t i = 0; i < COUNT(rows); i++)
		EXPECT_CALL(&desk, rows[i].operation, rows[i].request, rows[i].text);
}

TEST(a_deregistered_definition_is_inactive)
{
	auto_desk desk;

	desk_init(&desk);
	register_many(&desk, "web", 1);
	desk.now += USEC_PER_SEC;
	EXPECT_CALL(&desk, "DeregisterTaskDefinition", "{'taskDefinition':'web:1'}",
		    "{'taskDefinition':" SHOWN("web", "1", "INACTIVE", "") "}");
	desk.now += USEC_PER_SEC;
	EXPECT_CALL(&desk, "DeregisterTaskDefinition", "{'taskDefinition':'web:1'}",
		    "{'taskDefinition':" SHOWN("web", "1", "INACTIVE", "") "}");
	EXPECT_CALL(&desk, "DescribeTaskDefinition", "{'taskDefinition':'web:1'}",
		    "{'taskDefinition':" SHOWN("web", "1", "INACTIVE", ",'deregisteredAt':1700000001") ",'tags':[]}");
	EXPECT_CALL(&desk, "DescribeTaskDefinition", "{'taskDefinition':'web'}",
		    "ClientException: Unable to describe task definition.");
	EXPECT_MEMBER(&desk, "ListTaskDefinitions", "{'status':'INACTIVE'}", "taskDefinitionArns", "['" ARN("web:1") "']");
	EXPECT_MEMBER(&desk, "ListTaskDefinitions", "{}", "taskDefinitionArns", "[]");
}

TEST(only_inactive_definitions_are_deleted)
{
	auto_desk desk;

	desk_init(&desk);
	register_many(&desk, "web", 2);
	desk_call(&desk, "DeregisterTaskDefinition", "{'taskDefinition':'web:1'}");
	EXPECT_CALL(&desk, "DeleteTaskDefinitions", "{'taskDefinitions':['web:1','web:2','web:3','web','web:x']}",
		    "{'taskDefinitions':["
		    SHOWN("web", "1", "DELETE_IN_PROGRESS", ",'deregisteredAt':1700000000,'deleteRequestedAt':1700000000") "],"
		    "'failures':[{'arn':'" ARN("web:2") "','reason':'The specified task definition is still in ACTIVE status. "
		    "Please deregister the target and try again.'},"
		    "{'arn':'" ARN("web:3") "','reason':'The specified task definition does not exist. Specify a valid account, "
		    "family, revision and try again.'},"
		    "{'arn':'" ARN("web") "','reason':'The specified task definition identifier is invalid. Specify a valid name "
		    "or ARN and try again.'},"
		    "{'arn':'" ARN("web:x") "','reason':'The specified task definition identifier is invalid. Specify a valid "
		    "name or ARN and try again.'}]}");
	EXPECT_CALL(&desk, "DeregisterTaskDefinition", "{'taskDefinition':'web:1'}", "ClientException: The task definition could "
		    "not be deregistered because it is in the process of being deleted.");
	EXPECT_MEMBER(&desk, "DescribeTaskDefinition", "{'taskDefinition':'web:1'}", "taskDefinition",
		      SHOWN("web", "1", "DELETE_IN_PROGRESS", ",'deregisteredAt':1700000000"));
	EXPECT_MEMBER(&desk, "ListTaskDefinitions", "{'status':'DELETE_IN_PROGRESS'}", "taskDefinitionArns",
		      "['" ARN("web:1") "']");
	EXPECT_MEMBER(&desk, "RegisterTaskDefinition", REGISTER("web"), "taskDefinition", SHOWN("web", "3", "ACTIVE", ""));
}

TEST(revisions_are_listed_by_family_and_number)
{
	auto_desk desk;

	desk_init(&desk);
	register_many(&desk, "web", 11);
	register_many(&desk, "Api", 1);
	register_many(&desk, "web-2", 1);
	EXPECT_CALL(&desk, "ListTaskDefinitions", "{'maxResults':3}", "{'taskDefinitionArns':['" ARN("Api:1") "','"
		    ARN("web:1") "','" ARN("web:2") "'],'nextToken':'web::0000000002'}");
	EXPECT_CALL(&desk, "ListTaskDefinitions", "{'nextToken':'web::0000000008'}", "{'taskDefinitionArns':['"
		    ARN("web:9") "','" ARN("web:10") "','" ARN("web:11") "','" ARN("web-2:1") "']}");
	EXPECT_CALL(&desk, "ListTaskDefinitions", "{'sort':'DESC','maxResults':2}", "{'taskDefinitionArns':['"
		    ARN("web-2:1") "','" ARN("web:11") "'],'nextToken':'web::0000000011'}");
	EXPECT_CALL(&desk, "ListTaskDefinitions", "{'sort':'DESC','nextToken':'web::0000000002'}", "{'taskDefinitionArns':['"
		    ARN("web:1") "','" ARN("Api:1") "']}");
	EXPECT_CALL(&desk, "ListTaskDefinitions", "{'familyPrefix':'web-2'}", "{'taskDefinitionArns':['" ARN("web-2:1") "']}");
	EXPECT_CALL(&desk, "ListTaskDefinitions", "{'familyPrefix':'we'}", "{'taskDefinitionArns':[]}");
	EXPECT_CALL(&desk, "ListTaskDefinitions", "{'familyPrefix':'web','nextToken':'web::0000000010','maxResults':1}",
		    "{'taskDefinitionArns':['" ARN("web:11") "']}");
}

TEST(a_token_of_another_list_is_refused)
{
	static const char *const requests[] = {
		"{'nextToken':'web'}", "{'nextToken':'web::12'}", "{'nextToken':'::0000000001'}",
		"{'nextToken':'web::00000000x1'}", "{'nextToken':'x::0000000001'}",
		"{'familyPrefix':'api','nextToken':'web::0000000001'}",
	};
	auto_desk desk;

	desk_init(&desk);
	register_many(&desk, "web", 1);
	register_many(&desk, "api", 1);
	for (size_t i = 0; i < COUNT(requests); i++)
		EXPECT_CALL(&desk, "ListTaskDefinitions", requests[i], "InvalidParameterException: Invalid token.");
	EXPECT_CALL(&desk, "ListTaskDefinitions", "{'maxResults':0}",
		    "InvalidParameterException: maxResults must be between 1 and 100");
}

TEST(families_are_listed_by_prefix_and_status)
{
	struct str token;
	auto_desk desk;

	desk_init(&desk);
	register_many(&desk, "web", 2);
	register_many(&desk, "old", 1);
	register_many(&desk, "worker", 1);
	desk_call(&desk, "DeregisterTaskDefinition", "{'taskDefinition':'old:1'}");
	desk_call(&desk, "DeregisterTaskDefinition", "{'taskDefinition':'web:1'}");
	EXPECT_CALL(&desk, "ListTaskDefinitionFamilies", "{}", "{'families':['old','web','worker']}");
	EXPECT_CALL(&desk, "ListTaskDefinitionFamilies", "{'status':'ALL'}", "{'families':['old','web','worker']}");
	EXPECT_CALL(&desk, "ListTaskDefinitionFamilies", "{'status':'ACTIVE'}", "{'families':['web','worker']}");
	EXPECT_CALL(&desk, "ListTaskDefinitionFamilies", "{'status':'INACTIVE'}", "{'families':['old','web']}");
	EXPECT_CALL(&desk, "ListTaskDefinitionFamilies", "{'familyPrefix':'w'}", "{'families':['web','worker']}");
	EXPECT_CALL(&desk, "ListTaskDefinitionFamilies", "{'familyPrefix':'wor'}", "{'families':['worker']}");
	token = desk_member(&desk, "ListTaskDefinitionFamilies", "{'familyPrefix':'w','maxResults':1}", "nextToken");
	EXPECT_CALL(&desk, "ListTaskDefinitionFamilies", desk_text(&desk, "{'familyPrefix':'w','nextToken':%.*s}", STR(token)),
		    "{'families':['worker']}");
	EXPECT_CALL(&desk, "ListTaskDefinitionFamilies", desk_text(&desk, "{'nextToken':%.*s}", STR(token)),
		    "InvalidParameterException: Invalid token.");
}

TEST(a_deleted_definition_is_forgotten_when_nothing_uses_it)
{
	auto_desk desk;

	desk_init(&desk);
	register_many(&desk, "web", 1);
	desk_call(&desk, "DeregisterTaskDefinition", "{'taskDefinition':'web:1'}");
	desk_call(&desk, "DeleteTaskDefinitions", "{'taskDefinitions':['web:1']}");
	desk_wait(&desk, 3600 * USEC_PER_SEC - USEC_PER_MSEC);
	EXPECT_MEMBER(&desk, "ListTaskDefinitions", "{'status':'DELETE_IN_PROGRESS'}", "taskDefinitionArns",
		      "['" ARN("web:1") "']");
	desk_wait(&desk, USEC_PER_MSEC);
	EXPECT_CALL(&desk, "DescribeTaskDefinition", "{'taskDefinition':'web:1'}",
		    "ClientException: Unable to describe task definition.");
	EXPECT_CALL(&desk, "ListTaskDefinitionFamilies", "{}", "{'families':[]}");
	EXPECT_MEMBER(&desk, "RegisterTaskDefinition", REGISTER("web"), "tags", "absent");
	EXPECT_MEMBER(&desk, "ListTaskDefinitions", "{}", "taskDefinitionArns", "['" ARN("web:2") "']");
}
