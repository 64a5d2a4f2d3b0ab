#include "api/ec2.h"
#include "api/ecs.h"
#include "api/efs.h"
#include "server/faults.h"
#include "test/test.h"
#include "wire/json.h"

/* What an input is refused with: "Name: text"; "" when it passes. */
static struct str fault_of(struct arena *arena, const struct api *api, const char *name, const char *json)
{
	const struct operation *operation = api_find(api, str_of(name));
	struct json_fault trouble = {0};
	struct error error = {0};
	void *input;
	bool fine;

	assert_non_null(operation);
	if (json_decode(operation->input, str_of(json), arena, &input, &trouble)) {
		fine = fault_check(operation, input, arena, &error);
	} else {
		assert_true(trouble.unknown_word);
		fine = fault_word(operation, &trouble.violation, &error);
	}
	return fine ? S("")
		    : arena_printf(arena, "%.*s: %s", STR(error_wire_name(error.code)), error.text);
}

static struct str fault(struct arena *arena, const char *name, const char *json)
{
	return fault_of(arena, &api_ecs, name, json);
}

TEST(missing_members_have_known_words)
{
	auto_arena arena = {0};

	EXPECT_STR(fault(&arena, "DescribeTasks", "{}"),
		   S("InvalidParameterException: Tasks cannot be empty."));
	EXPECT_STR(fault(&arena, "RunTask", "{}"),
		   S("InvalidParameterException: TaskDefinition can not be blank."));
	EXPECT_STR(fault(&arena, "RegisterTaskDefinition", "{\"family\":\"a\"}"),
		   S("ClientException: Container list cannot be empty."));
	EXPECT_STR(fault(&arena, "TagResource", "{\"resourceArn\":\"a\"}"),
		   S("InvalidParameterException: Tags can not be empty."));
	EXPECT_STR(fault(&arena, "ListClusters", "{}"), S(""));
}

TEST(some_checks_are_left_to_the_handler)
{
	auto_arena arena = {0};

	EXPECT_STR(fault(&arena, "DescribeTaskDefinition", "{}"), S(""));
	EXPECT_STR(fault(&arena, "DeregisterTaskDefinition", "{}"), S(""));
}

TEST(unknown_words_list_the_known_ones)
{
	auto_arena arena = {0};

	EXPECT_STR(fault(&arena, "RunTask", "{\"taskDefinition\":\"a\",\"launchType\":\"ec2\"}"),
		   S("InvalidParameterException: launch type should be one of "
		     "[EC2,FARGATE,EXTERNAL,FMI,MANAGED_INSTANCES]"));
	EXPECT_STR(fault(&arena, "UpdateContainerInstancesState",
			 "{\"containerInstances\":[\"a\"],\"status\":\"X\"}"),
		   S("InvalidParameterException: Container instance status should be one of "
		     "[ACTIVE, DRAINING]"));
}

TEST(ec2_has_words_of_its_own)
{
	auto_arena arena = {0};

	EXPECT_STR(fault_of(&arena, &api_ec2, "DeleteVpc", "{}"),
		   S("MissingParameter: The request must contain the parameter VpcId"));
	EXPECT_STR(fault_of(&arena, &api_ec2, "DescribeVpcs", "{\"MaxResults\":4}"),
		   S("InvalidParameterValue: Value ( 4 ) for parameter MaxResults is invalid. Expecting a value greater than or "
		     "equal to 5."));
	EXPECT_STR(fault_of(&arena, &api_ec2, "DescribeVpcs", "{\"MaxResults\":1001}"),
		   S("InvalidParameterValue: Value ( 1001 ) for parameter MaxResults is invalid. Expecting a value less than or "
		     "equal to 1000."));
	EXPECT_STR(fault_of(&arena, &api_ec2, "CreateVpc", "{\"instanceTenancy\":\"cosy\"}"),
		   S("InvalidParameterValue: Invalid value 'cosy' for InstanceTenancy"));
}

TEST(the_others_share_a_sentence)
{
	auto_arena arena = {0};

	EXPECT_STR(fault_of(&arena, &api_efs, "CreateTags", "{\"FileSystemId\":\"fs-1\",\"Tags\":[{\"Key\":\"a\"}]}"),
		   S("BadRequest: 1 validation error detected: Value null at 'Tags.1.member.Value' failed to satisfy constraint: "
		     "Member must not be null"));
	EXPECT_STR(fault_of(&arena, &api_efs, "UntagResource", "{\"ResourceId\":\"fs-1\",\"TagKeys\":[]}"),
		   S("BadRequest: 1 validation error detected: Value null at 'TagKeys' failed to satisfy constraint: "
		     "Member must have length greater than or equal to 1"));
	EXPECT_STR(fault_of(&arena, &api_efs, "CreateFileSystem", "{\"CreationToken\":\"a\",\"ThroughputMode\":\"x\"}"),
		   S("BadRequest: 1 validation error detected: Value 'x' at 'ThroughputMode' failed to satisfy constraint: "
		     "Member must satisfy enum value set: [bursting, provisioned, elastic]"));
}
