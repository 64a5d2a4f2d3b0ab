/* RunTask and StartTask: what they refuse, and what they book. */
#include "test/unit/control/desk.h"

static void begin(struct desk *desk, struct str *ret_instance)
{
	desk_init(desk);
	desk_call(desk, "CreateCluster", "{'clusterName':'a'}");
	*ret_instance = desk_instance(desk, "a");
}

static const char *start(struct desk *desk, struct str instance, const char *definition)
{
	return desk_text(desk, "{'cluster':'a','taskDefinition':'%s',"
			 "'containerInstances':['%.*s']}", definition, STR(instance));
}

TEST(starttask_passes_over_constraints_but_not_over_resources)
{
	auto_desk desk;
	struct str instance;

	begin(&desk, &instance);
	desk_call(&desk, "RegisterTaskDefinition",
		  "{'family':'large','placementConstraints':[{'type':'memberOf','expression':'attribute:nowhere exists'}],"
		  "'containerDefinitions':[{'name':'c','image':'i','memory':100000}]}");
	desk_call(&desk, "RegisterTaskDefinition",
		  "{'family':'small','placementConstraints':[{'type':'memberOf','expression':'attribute:nowhere exists'}],"
		  "'containerDefinitions':[{'name':'c','image':'i','memory':64,'portMappings':[{'containerPort':80,'hostPort':80}]}]}");
	EXPECT_MEMBER(&desk, "StartTask", start(&desk, instance, "large"), "tasks", "[]");
	EXPECT_MEMBER(&desk, "StartTask", start(&desk, instance, "small"), "failures", "[]");
	EXPECT_MEMBER(&desk, "StartTask", start(&desk, instance, "small"), "tasks", "[]");         /* the port is taken */
	EXPECT_MEMBER(&desk, "RunTask", "{'cluster':'a','taskDefinition':'small'}", "tasks", "[]");
}

/* A group that looks like the end of another request's placement class. */
TEST(groups_that_resemble_constraints_are_placed_on_their_own)
{
	auto_desk desk;
	struct str instance;

	begin(&desk, &instance);
	desk_call(&desk, "RegisterTaskDefinition",
		  "{'family':'web','containerDefinitions':[{'name':'c','image':'i','memory':64}]}");
	EXPECT_MEMBER(&desk, "RunTask", "{'cluster':'a','taskDefinition':'web','group':'a',"
		      "'placementConstraints':[{'type':'memberOf','expression':'attribute:x exists|c2:attribute:y exists'}]}",
		      "tasks", "absent");
	EXPECT_MEMBER(&desk, "RunTask", "{'cluster':'a','taskDefinition':'web','group':'g\\u0000x'}", "failures", "[]");
	EXPECT_MEMBER(&desk, "RunTask", "{'cluster':'a','taskDefinition':'web','group':'g\\u0000y',"
		      "'placementConstraints':[{'type':'distinctInstance'}]}", "failures", "[]");
	EXPECT_MEMBER(&desk, "RunTask", "{'cluster':'a','taskDefinition':'web','group':'g\\u0000x',"
		      "'placementConstraints':[{'type':'distinctInstance'}]}", "tasks", "[]");
}

TEST(nul_characters_are_not_part_of_names)
{
	auto_desk desk;
	struct str instance;

	begin(&desk, &instance);
	desk_call(&desk, "RegisterTaskDefinition",
		  "{'family':'web','containerDefinitions':[{'name':'c','image':'i','memory':64}]}");
	EXPECT_CALL(&desk, "RunTask", "{'cluster':'a','taskDefinition':'web','startedBy':'x\\u0000'}",
		    "InvalidParameterException: startedBy contains invalid characters.");
	EXPECT_CALL(&desk, "RunTask", "{'cluster':'a','taskDefinition':'web','clientToken':'x\\u0000y'}",
		    "InvalidParameterException: clientToken contains invalid characters.");
	EXPECT_CALL(&desk, "PutAttributes", arena_cstr(&desk.arena, arena_printf(&desk.arena,
		    "{'cluster':'a','attributes':[{'name':'x','value':'a\\u0000','targetId':'%.*s'}]}", STR(instance))),
		    "InvalidParameterException: Invalid attribute value: a");
}
