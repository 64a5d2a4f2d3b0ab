#include "test/unit/control/desk.h"

#define CLUSTER "arn:aws:ecs:us-east-1:123456789012:cluster/c"
#define ON(arn, rest) "{'resourceArn':'" arn "'" rest "}"

static void desk_with_cluster(struct desk *desk)
{
	desk_init(desk);
	desk_call(desk, "CreateCluster", "{'clusterName':'c'}");
}

TEST(tags_are_added_replaced_and_removed_in_their_order)
{
	auto_desk desk;

	desk_with_cluster(&desk);
	EXPECT_CALL(&desk, "ListTagsForResource", ON(CLUSTER, ""), "{'tags':[]}");
	EXPECT_CALL(&desk, "TagResource", ON(CLUSTER, ",'tags':[{'key':'b','value':'1'},{'key':'a','value':''}]"), "{}");
	EXPECT_CALL(&desk, "TagResource", ON(CLUSTER, ",'tags':[{'key':'c','value':'3'},{'key':'b','value':'2'}]"), "{}");
	EXPECT_CALL(&desk, "ListTagsForResource", ON(CLUSTER, ""),
		    "{'tags':[{'key':'b','value':'2'},{'key':'a','value':''},{'key':'c','value':'3'}]}");
	EXPECT_CALL(&desk, "UntagResource", ON(CLUSTER, ",'tagKeys':['a','x']"), "{}");
	EXPECT_CALL(&desk, "ListTagsForResource", ON(CLUSTER, ""),
		    "{'tags':[{'key':'b','value':'2'},{'key':'c','value':'3'}]}");
	EXPECT_CALL(&desk, "UntagResource", ON(CLUSTER, ",'tagKeys':['x']"), "{}");
	assert_int_equal(desk.effects.records.count, 0);
}

TEST(a_bad_tag_is_refused)
{
	static const struct { const char *tags, *text; } rows[] = {
		{"{'value':'v'}", "Tag key can not be null."},
		{"{'key':'k'}", "Tag value can not be null."},
		{"{'key':null,'value':'v'}", "Tag key can not be null."},
		{"{'key':'','value':'v'}", "Tag key must be between 1 and 128 characters."},
		{"{'key':'a*','value':'v'}", "Tag 'a*' contains invalid characters."},
		{"{'key':'a','value':'<v>'}", "Tag 'a' contains invalid characters."},
		{"{'key':'aWs:a','value':'v'}", "aws: prefixed tag key names are not allowed for external use."},
		{"{'key':'a','value':'v'},{'key':'a','value':'w'}", "Duplicate tag keys are not allowed."},
	};
	auto_desk desk;

	desk_with_cluster(&desk);
	for (size_t i = 0; i < COUNT(rows); i++) {
		EXPECT_CALL(&desk, "TagResource", desk_text(&desk, ON(CLUSTER, ",'tags':[%s]"), rows[i].tags),
			    desk_text(&desk, "InvalidParameterException: %s", rows[i].text));
		EXPECT_CALL(&desk, "RegisterTaskDefinition",
			    desk_text(&desk, "{'family':'f','containerDefinitions':[{'name':'a','image':'a','memory':4}],'tags':[%s]}",
				      rows[i].tags),
			    desk_text(&desk, "ClientException: %s", rows[i].text));
	}
}

TEST(letters_of_any_script_and_a_few_signs_are_allowed)
{
	auto_desk desk;

	desk_with_cluster(&desk);
	EXPECT_CALL(&desk, "TagResource", ON(CLUSTER, ",'tags':[{'key':'Größe 1_.:/=+-@','value':'水'}]"), "{}");
	EXPECT_CALL(&desk, "ListTagsForResource", ON(CLUSTER, ""), "{'tags':[{'key':'Größe 1_.:/=+-@','value':'水'}]}");
}

TEST(keys_have_128_characters_and_values_256)
{
	auto_desk desk;

	desk_with_cluster(&desk);
	for (int extra = 0; extra <= 1; extra++) {
		EXPECT_CALL(&desk, "TagResource",
			    desk_text(&desk, ON(CLUSTER, ",'tags':[{'key':'%0*d','value':''}]"), 128 + extra, 0),
			    extra ? "InvalidParameterException: Tag key must be between 1 and 128 characters." : "{}");
		EXPECT_CALL(&desk, "TagResource",
			    desk_text(&desk, ON(CLUSTER, ",'tags':[{'key':'k','value':'%0*d'}]"), 256 + extra, 0),
			    extra ? "InvalidParameterException: Tag value can be at most 256 characters." : "{}");
	}
}

TEST(a_resource_has_at_most_50_tags)
{
	struct str tags = S("{'key':'0','value':''}");
	auto_desk desk;

	desk_with_cluster(&desk);
	for (int i = 1; i < 50; i++)
		tags = arena_printf(&desk.arena, "%.*s,{'key':'%d','value':''}", STR(tags), i);
	EXPECT_CALL(&desk, "TagResource", desk_text(&desk, ON(CLUSTER, ",'tags':[%.*s]"), STR(tags)), "{}");
	EXPECT_CALL(&desk, "TagResource", ON(CLUSTER, ",'tags':[{'key':'7','value':'new'}]"), "{}");
	EXPECT_CALL(&desk, "TagResource", ON(CLUSTER, ",'tags':[{'key':'50','value':''}]"),
		    "InvalidParameterException: The maximum number of tags per resource is 50.");
	EXPECT_CALL(&desk, "TagResource", desk_text(&desk, ON(CLUSTER, ",'tags':[%.*s,{'key':'50','value':''}]"), STR(tags)),
		    "InvalidParameterException: The maximum number of tags per resource is 50.");
}

TEST(what_cannot_be_tagged_is_named)
{
	static const struct { const char *arn, *text; } rows[] = {
		{"c", "Invalid resource ARN."},
		{"arn:aws:ecs:us-east-1:123456789012:cluster", "Invalid resource ARN."},
		{"arn:aws:ecs:us-east-1:123456789012:cluster/", "Invalid resource ARN."},
		{"arn:aws:s3:us-east-1:123456789012:cluster/c", "Invalid resource ARN."},
		{"arn:aws:ecs:us-east-1:123456789012:daemon/c/d", "Invalid resource ARN."},
		{"arn:aws:ecs:eu-west-1:123456789012:cluster/c",
		 "Invalid identifier: arn:aws:ecs:eu-west-1:123456789012:cluster/c"},
		{"arn:aws:ecs:us-east-1:210987654321:cluster/c",
		 "Invalid identifier: arn:aws:ecs:us-east-1:210987654321:cluster/c"},
		{"arn:aws:ecs:us-east-1:123456789012:service/s", "Long arn format must be used for tagging operations"},
		{"arn:aws:ecs:us-east-1:123456789012:cluster/x", "The specified cluster does not exist."},
		{"arn:aws:ecs:us-east-1:123456789012:service/c/x", "The specified service does not exist."},
		{"arn:aws:ecs:us-east-1:123456789012:task/c/x", "The specified task does not exist."},
		{"arn:aws:ecs:us-east-1:123456789012:container-instance/c/x",
		 "The specified container instance does not exist."},
		{"arn:aws:ecs:us-east-1:123456789012:task-definition/x:1", "The specified task definition does not exist."},
	};
	auto_desk desk;

	desk_with_cluster(&desk);
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct str text = arena_printf(&desk.arena, "InvalidParameterException: %s", rows[i].text);

		EXPECT_STR(desk_ask(&desk, "ListTagsForResource", "{'resourceArn':'%s'}", rows[i].arn), text);
		EXPECT_STR(desk_ask(&desk, "TagResource", "{'resourceArn':'%s','tags':[{'key':'a','value':'1'}]}", rows[i].arn), text);
		EXPECT_STR(desk_ask(&desk, "UntagResource", "{'resourceArn':'%s','tagKeys':['a']}", rows[i].arn), text);
	}
}

TEST(an_inactive_cluster_has_no_tags)
{
	auto_desk desk;

	desk_with_cluster(&desk);
	desk_call(&desk, "DeleteCluster", "{'cluster':'c'}");
	EXPECT_CALL(&desk, "ListTagsForResource", ON(CLUSTER, ""), "InvalidParameterException: The specified cluster is "
		    "inactive. Specify an active cluster and try again.");
}

TEST(a_task_definition_keeps_its_tags)
{
	auto_desk desk;

	desk_init(&desk);
	EXPECT_MEMBER(&desk, "RegisterTaskDefinition", "{'family':'f','containerDefinitions':[{'name':'a','image':'a',"
		      "'memory':4}],'tags':[{'key':'a','value':'1'}]}", "tags", "[{'key':'a','value':'1'}]");
	desk_call(&desk, "TagResource",
		  ON("arn:aws:ecs:us-east-1:123456789012:task-definition/f:1", ",'tags':[{'key':'b','value':'2'}]"));
	desk_call(&desk, "DeregisterTaskDefinition", "{'taskDefinition':'f:1'}");
	EXPECT_MEMBER(&desk, "DescribeTaskDefinition", "{'taskDefinition':'f:1','include':['TAGS']}", "tags",
		      "[{'key':'a','value':'1'},{'key':'b','value':'2'}]");
	EXPECT_MEMBER(&desk, "DescribeTaskDefinition", "{'taskDefinition':'f:1'}", "tags", "[]");
}

TEST(instances_and_tasks_are_tagged_while_they_live)
{
	struct str instance, task;
	auto_desk desk;

	desk_with_cluster(&desk);
	instance = desk_instance(&desk, "c");
	desk_call(&desk, "RegisterTaskDefinition", "{'family':'f','containerDefinitions':[{'name':'a','image':'a','memory':4}]}");
	EXPECT_MEMBER(&desk, "RunTask", "{'cluster':'c','taskDefinition':'f','tags':[{'key':'a','value':'1'}]}", "failures", "[]");
	task = desk_member(&desk, "ListTasks", "{'cluster':'c'}", "taskArns");
	task = str_slice(task, 2, task.len - 2);
	EXPECT_CALL(&desk, "TagResource", desk_text(&desk, "{'resourceArn':'%.*s','tags':[{'key':'b','value':'2'}]}", STR(task)), "{}");
	EXPECT_CALL(&desk, "ListTagsForResource", desk_text(&desk, "{'resourceArn':'%.*s'}", STR(task)),
		    "{'tags':[{'key':'a','value':'1'},{'key':'b','value':'2'}]}");
	EXPECT_CALL(&desk, "TagResource",
		    desk_text(&desk, "{'resourceArn':'%.*s','tags':[{'key':'b','value':'2'}]}", STR(instance)), "{}");
	desk_ask(&desk, "DeregisterContainerInstance", "{'cluster':'c','containerInstance':'%.*s','force':true}", STR(instance));
	EXPECT_CALL(&desk, "ListTagsForResource", desk_text(&desk, "{'resourceArn':'%.*s'}", STR(task)),
		    "InvalidParameterException: The specified task is stopped. Specify a running task and try again.");
	EXPECT_CALL(&desk, "ListTagsForResource", desk_text(&desk, "{'resourceArn':'%.*s'}", STR(instance)),
		    "InvalidParameterException: The specified "
		    "container instance is inactive. Specify an active container instance and try again.");
}
