#include "test/unit/control/desk.h"

#define ROOT "arn:aws:iam::123456789012:root"
#define USER "arn:aws:iam::123456789012:user/team/ann"
#define SETTING(name, value, principal) \
	"{'name':'" name "','value':'" value "','principalArn':'" principal "','type':'user'}"

TEST(a_setting_is_put_for_the_caller)
{
	auto_desk desk;

	desk_init(&desk);
	desk.arn = USER;
	EXPECT_CALL(&desk, "PutAccountSetting", "{'name':'awsvpcTrunking','value':'enabled'}",
		    "{'setting':" SETTING("awsvpcTrunking", "enabled", USER) "}");
	EXPECT_CALL(&desk, "ListAccountSettings", "{}", "{'settings':[" SETTING("awsvpcTrunking", "enabled", USER) "]}");
	desk.arn = ROOT;
	EXPECT_CALL(&desk, "ListAccountSettings", "{}", "{'settings':[]}");
	EXPECT_CALL(&desk, "ListAccountSettings", "{'principalArn':'" USER "'}",
		    "{'settings':[" SETTING("awsvpcTrunking", "enabled", USER) "]}");
}

TEST(a_default_is_put_for_the_account)
{
	auto_desk desk;

	desk_init(&desk);
	desk.arn = USER;
	EXPECT_CALL(&desk, "PutAccountSettingDefault", "{'name':'containerInsights','value':'enabled'}",
		    "{'setting':" SETTING("containerInsights", "enabled", ROOT) "}");
	EXPECT_CALL(&desk, "ListAccountSettings", "{'name':'containerInsights','effectiveSettings':true}",
		    "{'settings':[" SETTING("containerInsights", "enabled", ROOT) "]}");
	desk_call(&desk, "PutAccountSetting", "{'name':'containerInsights','value':'enhanced'}");
	EXPECT_CALL(&desk, "ListAccountSettings", "{'name':'containerInsights','effectiveSettings':true}",
		    "{'settings':[" SETTING("containerInsights", "enhanced", USER) "]}");
}

TEST(the_effective_settings_come_in_two_pages)
{
	struct str token;
	auto_desk desk;

	desk_init(&desk);
	EXPECT_MEMBER(&desk, "ListAccountSettings", "{'effectiveSettings':true}", "settings",
		      "[" SETTING("awsvpcTrunking", "disabled", ROOT) "," SETTING("containerInsights", "disabled", ROOT) ","
		      SETTING("containerInstanceLongArnFormat", "enabled", ROOT) ","
		      SETTING("defaultLogDriverMode", "non-blocking", ROOT) ","
		      SETTING("fargateEventWindows", "disabled", ROOT) "," SETTING("fargateFIPSMode", "disabled", ROOT) ","
		      SETTING("fargateTaskRetirementWaitPeriod", "7", ROOT) ","
		      "{'name':'guardDutyActivate','value':'off','principalArn':'" ROOT "','type':'aws_managed'},"
		      SETTING("serviceLongArnFormat", "enabled", ROOT) "," SETTING("tagResourceAuthorization", "on", ROOT) "]");
	token = desk_member(&desk, "ListAccountSettings", "{'effectiveSettings':true}", "nextToken");
	EXPECT_CALL(&desk, "ListAccountSettings", desk_text(&desk, "{'effectiveSettings':true,'nextToken':%.*s}", STR(token)),
		    "{'settings':[" SETTING("taskLongArnFormat", "enabled", ROOT) "]}");
	EXPECT_CALL(&desk, "ListAccountSettings", desk_text(&desk, "{'nextToken':%.*s}", STR(token)),
		    "InvalidParameterException: Invalid token.");
	EXPECT_CALL(&desk, "ListAccountSettings", "{'maxResults':11}",
		    "InvalidParameterException: maxResults must be between 1 and 10");
}

TEST(deleting_gives_the_removed_setting_and_falls_back)
{
	auto_desk desk;

	desk_init(&desk);
	desk_call(&desk, "PutAccountSetting", "{'name':'awsvpcTrunking','value':'enabled'}");
	EXPECT_CALL(&desk, "DeleteAccountSetting", "{'name':'awsvpcTrunking'}",
		    "{'setting':" SETTING("awsvpcTrunking", "enabled", ROOT) "}");
	EXPECT_CALL(&desk, "ListAccountSettings", "{}", "{'settings':[]}");
	EXPECT_CALL(&desk, "DeleteAccountSetting", "{'name':'awsvpcTrunking'}",
		    "{'setting':" SETTING("awsvpcTrunking", "disabled", ROOT) "}");
	assert_int_equal(desk.effects.records.count, 0);
}

TEST(settings_are_listed_by_name_and_value)
{
	auto_desk desk;

	desk_init(&desk);
	desk_call(&desk, "PutAccountSetting", "{'name':'awsvpcTrunking','value':'enabled'}");
	desk_call(&desk, "PutAccountSetting", "{'name':'containerInsights','value':'enabled'}");
	EXPECT_CALL(&desk, "ListAccountSettings", "{'name':'awsvpcTrunking','value':'enabled'}",
		    "{'settings':[" SETTING("awsvpcTrunking", "enabled", ROOT) "]}");
	EXPECT_CALL(&desk, "ListAccountSettings", "{'name':'awsvpcTrunking','value':'disabled'}", "{'settings':[]}");
	EXPECT_CALL(&desk, "ListAccountSettings", "{'value':'disabled'}",
		    "InvalidParameterException: Setting name must be specified when a setting value is specified.");
}

TEST(a_bad_setting_is_refused)
{
	static const struct { const char *request, *text; } rows[] = {
		{"{'name':'containerInsights','value':'on'}", "InvalidParameterException: The value for the setting "
		 "containerInsights should be one of [enabled,disabled,enhanced]"},
		{"{'name':'containerInsights','value':''}", "InvalidParameterException: The value for the setting "
		 "containerInsights should be one of [enabled,disabled,enhanced]"},
		{"{'name':'fargateTaskRetirementWaitPeriod','value':'8'}", "InvalidParameterException: The value for the setting "
		 "fargateTaskRetirementWaitPeriod should be one of [0,7,14]"},
		{"{'name':'guardDutyActivate','value':'on'}",
		 "InvalidParameterException: The setting guardDutyActivate is read-only."},
		{"{'name':'fargateTaskRetirementWaitPeriod','value':'7','principalArn':'" USER "'}", "InvalidParameterException: "
		 "The setting fargateTaskRetirementWaitPeriod can only be set for the root user of the account."},
		{"{'name':'awsvpcTrunking','value':'enabled','principalArn':'ann'}",
		 "InvalidParameterException: Invalid principal arn: ann"},
		{"{'name':'awsvpcTrunking','value':'enabled','principalArn':'arn:aws:iam::210987654321:root'}",
		 "InvalidParameterException: Invalid principal arn: arn:aws:iam::210987654321:root"},
		{"{'name':'awsvpcTrunking','value':'enabled','principalArn':'arn:aws:iam::123456789012:user/a b'}",
		 "InvalidParameterException: Invalid principal arn: arn:aws:iam::123456789012:user/a b"},
	};
	auto_desk desk;

	desk_init(&desk);
	for (size_t i = 0; i < COUNT(rows); i++)
		EXPECT_CALL(&desk, "PutAccountSetting", rows[i].request, rows[i].text);
}
