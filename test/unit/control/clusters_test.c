#include "test/unit/control/desk.h"

#define PLAIN(name, status) \
	"'clusterArn':'arn:aws:ecs:us-east-1:123456789012:cluster/" name "','clusterName':'" name "','status':'" status "'," \
	"'registeredContainerInstancesCount':0,'runningTasksCount':0,'pendingTasksCount':0,'activeServicesCount':0"
#define REST "'capacityProviders':[],'defaultCapacityProviderStrategy':[]"
#define INSIGHTS(value) "'settings':[{'name':'containerInsights','value':'" value "'}]"

TEST(a_cluster_without_a_name_is_the_default)
{
	auto_desk desk;

	desk_init(&desk);
	EXPECT_CALL(&desk, "CreateCluster", "{}",
		    "{'cluster':{" PLAIN("default", "ACTIVE") ",'statistics':[],'tags':[]," INSIGHTS("disabled") "," REST "}}");
	EXPECT_CALL(&desk, "DescribeClusters", "{}",
		    "{'clusters':[{" PLAIN("default", "ACTIVE") ",'statistics':[],'tags':[],'settings':[]," REST "}],"
		    "'failures':[]}");
}

TEST(creating_again_gives_the_cluster_unless_it_contradicts)
{
	static const char *const contradictions[] = {
		"{'clusterName':'c','settings':[{'name':'containerInsights','value':'disabled'}]}",
		"{'clusterName':'c','tags':[{'key':'a','value':'2'}]}",
		"{'clusterName':'c','tags':[]}",
		"{'clusterName':'c','configuration':{'executeCommandConfiguration':{'logging':'NONE'}}}",
		"{'clusterName':'c','serviceConnectDefaults':{'namespace':'other'}}",
	};
	struct str first;
	auto_desk desk;

	desk_init(&desk);
	first = desk_call(&desk, "CreateCluster", "{'clusterName':'c','tags':[{'key':'a','value':'1'},{'key':'b','value':''}],"
			  "'settings':[{'name':'containerInsights','value':'enhanced'}],'serviceConnectDefaults':{'namespace':'n'},"
			  "'configuration':{'executeCommandConfiguration':{'logging':'DEFAULT'}}}");
	EXPECT_STR(desk_call(&desk, "CreateCluster", "{'clusterName':'c'}"), first);
	EXPECT_STR(desk_call(&desk, "CreateCluster",
			     "{'clusterName':'c','tags':[{'key':'b','value':''},{'key':'a','value':'1'}]}"), first);
	assert_int_equal(desk.effects.records.count, 0);
	for (size_t i = 0; i < COUNT(contradictions); i++)
		EXPECT_CALL(&desk, "CreateCluster", contradictions[i], "InvalidParameterException: Arguments on this idempotent "
			    "request are inconsistent with arguments used in previous request(s).");
}

TEST(a_bad_cluster_is_refused)
{
	static const struct { const char *request, *text; } rows[] = {
		{"{'clusterName':'a b'}", "InvalidParameterException: Cluster name contains invalid characters."},
		{"{'settings':[{'value':'enabled'}]}",
		 "InvalidParameterException: Invalid setting 'name'. Valid names are: containerInsights."},
		{"{'settings':[{'name':'containerInsights','value':'on'}]}",
		 "InvalidParameterException: Invalid setting 'value'. Valid values are: enabled, disabled, enhanced."},
		{"{'configuration':{'executeCommandConfiguration':{'logging':'OVERRIDE'}}}",
		 "InvalidParameterException: logConfiguration must be specified when logging is OVERRIDE."},
		{"{'configuration':{'executeCommandConfiguration':{'logConfiguration':{}}}}",
		 "InvalidParameterException: logging must be OVERRIDE when logConfiguration is specified."},
		{"{'capacityProviders':['FARGATE']}", "InvalidParameterException: The specified capacity provider does not exist. "
		 "Specify a valid name or ARN and try again."},
		{"{'defaultCapacityProviderStrategy':[{'capacityProvider':'x'}]}", "InvalidParameterException: The specified capacity "
		 "provider does not exist. Specify a valid name or ARN and try again."},
		{"{'tags':[{'value':'v'}]}", "InvalidParameterException: Tag key can not be null."},
	};
	auto_desk desk;

	desk_init(&desk);
	for (size_t i = 0; i < COUNT(rows); i++)
		EXPECT_CALL(&desk, "CreateCluster", rows[i].request, rows[i].text);
	EXPECT_CALL(&desk, "ListClusters", "{}", "{'clusterArns':[]}");
}

TEST(empty_capacity_provider_lists_are_fine)
{
	auto_desk desk;

	desk_init(&desk);
	EXPECT_MEMBER(&desk, "CreateCluster", "{'capacityProviders':[],'defaultCapacityProviderStrategy':[]}", "failures", "absent");
	EXPECT_CALL(&desk, "ListClusters", "{}", "{'clusterArns':['arn:aws:ecs:us-east-1:123456789012:cluster/default']}");
}

TEST(a_cluster_name_has_at_most_255_characters)
{
	auto_desk desk;

	desk_init(&desk);
	for (int length = 255; length <= 256; length++) {
		struct str reply = desk_ask(&desk, "CreateCluster", "{'clusterName':'%0*d'}", length, 0);

		assert_int_equal(str_starts(reply, S("{'cluster':")), length == 255);
		if (length == 256)
			EXPECT_STR(reply, S("InvalidParameterException: Cluster name can have at most 255 characters."));
	}
}

TEST(new_clusters_follow_the_account_setting)
{
	auto_desk desk;

	desk_init(&desk);
	desk_call(&desk, "PutAccountSettingDefault", "{'name':'containerInsights','value':'enhanced'}");
	EXPECT_CALL(&desk, "CreateCluster", "{'clusterName':'a'}",
		    "{'cluster':{" PLAIN("a", "ACTIVE") ",'statistics':[],'tags':[]," INSIGHTS("enhanced") "," REST "}}");
}

TEST(fields_are_shown_when_they_are_included)
{
	auto_desk desk;

	desk_init(&desk);
	desk_call(&desk, "CreateCluster", "{'clusterName':'c','tags':[{'key':'a','value':'1'}],"
		  "'configuration':{'executeCommandConfiguration':{'logging':'NONE'}}}");
	EXPECT_CALL(&desk, "DescribeClusters",
		    "{'clusters':['c'],'include':['ATTACHMENTS','CONFIGURATIONS','SETTINGS','STATISTICS','TAGS']}",
		    "{'clusters':[{'clusterArn':'arn:aws:ecs:us-east-1:123456789012:cluster/c','clusterName':'c',"
		    "'configuration':{'executeCommandConfiguration':{'logging':'NONE'}},'status':'ACTIVE',"
		    "'registeredContainerInstancesCount':0,'runningTasksCount':0,'pendingTasksCount':0,'activeServicesCount':0,"
		    "'statistics':["
		    "{'name':'runningEC2TasksCount','value':'0'},{'name':'runningFargateTasksCount','value':'0'},"
		    "{'name':'pendingEC2TasksCount','value':'0'},{'name':'pendingFargateTasksCount','value':'0'},"
		    "{'name':'runningExternalTasksCount','value':'0'},{'name':'pendingExternalTasksCount','value':'0'},"
		    "{'name':'runningManagedInstancesTasksCount','value':'0'},"
		    "{'name':'pendingManagedInstancesTasksCount','value':'0'},"
		    "{'name':'activeEC2ServiceCount','value':'0'},{'name':'activeFargateServiceCount','value':'0'},"
		    "{'name':'drainingEC2ServiceCount','value':'0'},{'name':'drainingFargateServiceCount','value':'0'},"
		    "{'name':'activeExternalServiceCount','value':'0'},{'name':'drainingExternalServiceCount','value':'0'},"
		    "{'name':'activeManagedInstancesServiceCount','value':'0'},"
		    "{'name':'drainingManagedInstancesServiceCount','value':'0'}],"
		    "'tags':[{'key':'a','value':'1'}]," INSIGHTS("disabled") "," REST ",'attachments':[]}],'failures':[]}");
}

TEST(unknown_clusters_are_missing_and_doubles_collapse)
{
	auto_desk desk;

	desk_init(&desk);
	desk_call(&desk, "CreateCluster", "{'clusterName':'c'}");
	EXPECT_CALL(&desk, "DescribeClusters",
		    "{'clusters':['x','c','arn:aws:ecs:us-east-1:123456789012:cluster/c','x']}",
		    "{'clusters':[{" PLAIN("c", "ACTIVE") ",'statistics':[],'tags':[],'settings':[]," REST "}],"
		    "'failures':[{'arn':'arn:aws:ecs:us-east-1:123456789012:cluster/x','reason':'MISSING'}]}");
	EXPECT_CALL(&desk, "DescribeClusters", "{'clusters':['arn:aws:ecs:eu-west-1:123456789012:cluster/c']}",
		    "InvalidParameterException: Invalid identifier: arn:aws:ecs:eu-west-1:123456789012:cluster/c");
}

TEST(at_most_100_clusters_are_described_at_once)
{
	auto_desk desk;

	desk_init(&desk);
	for (int count = 100; count <= 101; count++) {
		struct str request = S("{'clusters':['a'");

		for (int i = 1; i < count; i++)
			request = arena_printf(&desk.arena, "%.*s,'b'", STR(request));
		assert_int_equal(str_starts(desk_ask(&desk, "DescribeClusters", "%.*s]}", STR(request)),
					    S("{'clusters':[]")), count == 100);
	}
}

TEST(updates_replace_what_they_name)
{
	auto_desk desk;

	desk_init(&desk);
	desk_call(&desk, "CreateCluster", "{'clusterName':'d'}");
	desk_call(&desk, "CreateCluster", "{'clusterName':'c','tags':[{'key':'a','value':'1'}]}");
	EXPECT_CALL(&desk, "UpdateClusterSettings",
		    "{'cluster':'c','settings':[{'name':'containerInsights','value':'enabled'}]}",
		    "{'cluster':{" PLAIN("c", "ACTIVE") ",'statistics':[],'tags':[]," INSIGHTS("enabled") "," REST "}}");
	EXPECT_CALL(&desk, "UpdateCluster", "{'cluster':'c','serviceConnectDefaults':{'namespace':'n'}}",
		    "{'cluster':{" PLAIN("c", "ACTIVE") ",'statistics':[],'tags':[]," INSIGHTS("enabled") "," REST ","
		    "'serviceConnectDefaults':{'namespace':'n'}}}");
	EXPECT_CALL(&desk, "UpdateCluster", "{'cluster':'c','serviceConnectDefaults':{'namespace':''}}",
		    "{'cluster':{" PLAIN("c", "ACTIVE") ",'statistics':[],'tags':[]," INSIGHTS("enabled") "," REST "}}");
	EXPECT_MEMBER(&desk, "UpdateCluster",
		      "{'cluster':'d','configuration':{'executeCommandConfiguration':{'kmsKeyId':null,'logging':'NONE'}}}", "cluster",
		      "{'clusterArn':'arn:aws:ecs:us-east-1:123456789012:cluster/d','clusterName':'d',"
		      "'configuration':{'executeCommandConfiguration':{'logging':'NONE'}},'status':'ACTIVE',"
		      "'registeredContainerInstancesCount':0,'runningTasksCount':0,'pendingTasksCount':0,'activeServicesCount':0,"
		      "'statistics':[],'tags':[]," INSIGHTS("disabled") "," REST "}");
	EXPECT_CALL(&desk, "UpdateClusterSettings", "{'cluster':'c','settings':[]}",
		    "InvalidParameterException: Settings cannot be empty.");
	EXPECT_CALL(&desk, "UpdateCluster", "{'cluster':'x'}", "ClusterNotFoundException: Cluster not found.");
}

TEST(a_deleted_cluster_is_inactive_and_hidden_until_it_is_made_again)
{
	auto_desk desk;

	desk_init(&desk);
	EXPECT_CALL(&desk, "DeleteCluster", "{'cluster':'c'}", "ClusterNotFoundException: Cluster not found.");
	desk_call(&desk, "CreateCluster", "{'clusterName':'c','tags':[{'key':'a','value':'1'}]}");
	EXPECT_CALL(&desk, "DeleteCluster", "{'cluster':'c'}",
		    "{'cluster':{" PLAIN("c", "INACTIVE") ",'statistics':[],'tags':[],'settings':[]," REST "}}");
	EXPECT_CALL(&desk, "ListClusters", "{}", "{'clusterArns':[]}");
	EXPECT_CALL(&desk, "DescribeClusters", "{'clusters':['c'],'include':['TAGS']}",
		    "{'clusters':[{" PLAIN("c", "INACTIVE") ",'statistics':[],'tags':[],'settings':[]," REST "}],'failures':[]}");
	EXPECT_CALL(&desk, "UpdateCluster", "{'cluster':'c'}", "ClientException: Cluster was not ACTIVE.");
	EXPECT_CALL(&desk, "UpdateClusterSettings",
		    "{'cluster':'c','settings':[{'name':'containerInsights','value':'enabled'}]}",
		    "ClientException: Cluster was not ACTIVE.");
	EXPECT_CALL(&desk, "DeleteCluster", "{'cluster':'c'}",
		    "{'cluster':{" PLAIN("c", "INACTIVE") ",'statistics':[],'tags':[],'settings':[]," REST "}}");
	EXPECT_CALL(&desk, "CreateCluster", "{'clusterName':'c','settings':[{'name':'containerInsights','value':'enabled'}]}",
		    "{'cluster':{" PLAIN("c", "ACTIVE") ",'statistics':[],'tags':[]," INSIGHTS("enabled") "," REST "}}");
}

TEST(clusters_are_listed_page_by_page)
{
	struct str token;
	auto_desk desk;

	desk_init(&desk);
	desk_call(&desk, "CreateCluster", "{'clusterName':'b'}");
	desk_call(&desk, "CreateCluster", "{'clusterName':'a'}");
	desk_call(&desk, "CreateCluster", "{'clusterName':'c'}");
	EXPECT_MEMBER(&desk, "ListClusters", "{'maxResults':2}", "clusterArns",
		      "['arn:aws:ecs:us-east-1:123456789012:cluster/a','arn:aws:ecs:us-east-1:123456789012:cluster/b']");
	token = desk_member(&desk, "ListClusters", "{'maxResults':2}", "nextToken");
	desk_call(&desk, "DeleteCluster", "{'cluster':'b'}");    /* the token does not mind */
	EXPECT_CALL(&desk, "ListClusters", desk_text(&desk, "{'maxResults':1,'nextToken':%.*s}", STR(token)),
		    "{'clusterArns':['arn:aws:ecs:us-east-1:123456789012:cluster/c']}");
	EXPECT_CALL(&desk, "ListTaskDefinitionFamilies", desk_text(&desk, "{'nextToken':%.*s}", STR(token)),
		    "InvalidParameterException: Invalid token.");
	EXPECT_CALL(&desk, "ListClusters", "{'nextToken':'x'}", "InvalidParameterException: Invalid token.");
	EXPECT_CALL(&desk, "ListClusters", "{'maxResults':0}",
		    "InvalidParameterException: maxResults must be between 1 and 100");
	EXPECT_CALL(&desk, "ListClusters", "{'maxResults':101}",
		    "InvalidParameterException: maxResults must be between 1 and 100");
}

TEST(regions_know_nothing_of_each_other)
{
	auto_desk desk;

	desk_init(&desk);
	desk_call(&desk, "CreateCluster", "{'clusterName':'c'}");
	desk.region = "eu-west-1";
	EXPECT_CALL(&desk, "ListClusters", "{}", "{'clusterArns':[]}");
}

TEST(what_is_in_a_cluster_is_counted_and_keeps_it)
{
	struct str arn;
	auto_desk desk;

	desk_init(&desk);
	desk_call(&desk, "CreateCluster", "{'clusterName':'c'}");
	arn = desk_instance(&desk, "c");
	EXPECT_MEMBER(&desk, "DescribeClusters", "{'clusters':['c']}", "clusters",
		      "[{'clusterArn':'arn:aws:ecs:us-east-1:123456789012:cluster/c','clusterName':'c','status':'ACTIVE',"
		      "'registeredContainerInstancesCount':1,'runningTasksCount':0,'pendingTasksCount':0,'activeServicesCount':0,"
		      "'statistics':[],'tags':[],'settings':[]," REST "}]");
	EXPECT_CALL(&desk, "DeleteCluster", "{'cluster':'c'}", "ClusterContainsContainerInstancesException: The Cluster cannot be "
		    "deleted while Container Instances are active.");
	desk_call(&desk, "RegisterTaskDefinition", "{'family':'f','containerDefinitions':[{'name':'a','image':'a','memory':4}]}");
	EXPECT_MEMBER(&desk, "RunTask", "{'cluster':'c','taskDefinition':'f'}", "failures", "[]");
	EXPECT_MEMBER(&desk, "DescribeClusters", "{'clusters':['c']}", "clusters",
		      "[{'clusterArn':'arn:aws:ecs:us-east-1:123456789012:cluster/c','clusterName':'c','status':'ACTIVE',"
		      "'registeredContainerInstancesCount':1,'runningTasksCount':0,'pendingTasksCount':1,'activeServicesCount':0,"
		      "'statistics':[],'tags':[],'settings':[]," REST "}]");
	EXPECT_CALL(&desk, "DeleteCluster", "{'cluster':'c'}",
		    "ClusterContainsTasksException: The Cluster cannot be deleted while Tasks are active.");
	desk_ask(&desk, "DeregisterContainerInstance", "{'cluster':'c','containerInstance':'%.*s','force':true}", STR(arn));
	EXPECT_MEMBER(&desk, "DeleteCluster", "{'cluster':'c'}", "cluster",
		      "{" PLAIN("c", "INACTIVE") ",'statistics':[],'tags':[],'settings':[]," REST "}");
}

TEST(services_keep_their_cluster)
{
	auto_desk desk;

	desk_init(&desk);
	desk_call(&desk, "CreateCluster", "{'clusterName':'c'}");
	desk_call(&desk, "RegisterTaskDefinition", "{'family':'f','containerDefinitions':[{'name':'a','image':'a','memory':4}]}");
	desk_call(&desk, "CreateService", "{'cluster':'c','serviceName':'s','taskDefinition':'f','desiredCount':0}");
	EXPECT_CALL(&desk, "DeleteCluster", "{'cluster':'c'}",
		    "ClusterContainsServicesException: The Cluster cannot be deleted while Services are active.");
}

TEST(an_inactive_cluster_is_forgotten_after_an_hour)
{
	auto_desk desk;

	desk_init(&desk);
	desk_call(&desk, "CreateCluster", "{'clusterName':'c'}");
	desk_call(&desk, "CreateCluster", "{'clusterName':'d'}");
	desk_call(&desk, "DeleteCluster", "{'cluster':'c'}");
	desk_call(&desk, "DeleteCluster", "{'cluster':'d'}");
	desk_wait(&desk, 3600 * USEC_PER_SEC - USEC_PER_MSEC);
	EXPECT_MEMBER(&desk, "DescribeClusters", "{'clusters':['c']}", "failures", "[]");
	desk_call(&desk, "CreateCluster", "{'clusterName':'d'}");
	desk_wait(&desk, USEC_PER_MSEC);
	EXPECT_MEMBER(&desk, "DescribeClusters", "{'clusters':['c','d']}", "failures",
		      "[{'arn':'arn:aws:ecs:us-east-1:123456789012:cluster/c','reason':'MISSING'}]");
}
