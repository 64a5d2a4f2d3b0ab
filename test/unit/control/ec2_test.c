/* VPCs, subnets, security groups, routes, interfaces, addresses: the EC2 API on a desk. */
#include "api/ec2.h"
#include "base/buffer.h"
#include "control/ec2/address.h"
#include "control/ec2/listing.h"
#include "control/ec2/objects.h"
#include "test/unit/control/desk.h"
#include "wire/json.h"

static const char *pick(struct desk *desk, struct str reply, const char *name)
{
	return arena_cstr(&desk->arena, desk_pick(desk, reply, name));
}

static size_t count_of(struct str reply, const char *part)
{
	size_t count = 0, len = strlen(part);

	for (size_t i = 0; i + len <= reply.len; i++)
		count += memcmp(reply.ptr + i, part, len) == 0;
	return count;
}

#define EXPECT_SAYS(reply, part) expect_says((reply), (part), __FILE__, __LINE__)
static void expect_says(struct str reply, const char *part, const char *file, int line)
{
	if (count_of(reply, part))
		return;
	print_error("'%s' is not in %.*s\n", part, STR(reply));
	_fail(file, line);
}

static const char *make_vpc(struct desk *desk, const char *block)
{
	return pick(desk, desk_ask(desk, "CreateVpc", "{'CidrBlock':'%s'}", block), "vpcId");
}

static const char *make_subnet(struct desk *desk, const char *vpc, const char *block)
{
	return pick(desk, desk_ask(desk, "CreateSubnet", "{'VpcId':'%s','CidrBlock':'%s'}", vpc, block), "subnetId");
}

static const char *make_group(struct desk *desk, const char *vpc, const char *name)
{
	return pick(desk, desk_ask(desk, "CreateSecurityGroup", "{'GroupName':'%s','GroupDescription':'d','VpcId':'%s'}",
				   name, vpc), "groupId");
}

static const char *default_vpc_id(struct desk *desk)
{
	return pick(desk, desk_call(desk, "DescribeVpcs", "{'Filter':[{'Name':'is-default','Value':['true']}]}"), "vpcId");
}

/* ---- addresses */
TEST(blocks_of_ipv6_are_known_by_their_form)
{
	assert_true(block6_is_valid(S("::/0")));
	assert_true(block6_is_valid(S("2001:DB8::1/128")));
	assert_true(block6_is_valid(S("1:2:3:4:5:6:7:8/64")));
	assert_false(block6_is_valid(S("1:2:3:4:5:6:7/64")));
	assert_false(block6_is_valid(S("::1::/64")));
	assert_false(block6_is_valid(S("::/129")));
	assert_false(block6_is_valid(S("10.0.0.0/8")));
}

TEST(a_pool_gives_each_address_once_and_rests_those_given_back)
{
	struct ipv4_block block;
	struct pool pool;
	uint32_t address;

	assert_true(ipv4_block_parse(S("10.0.0.0/28"), &block));
	pool_init(&pool, block);
	for (uint32_t i = 0; i < 16; i++) {
		assert_true(pool_find(&pool, &address));
		assert_int_equal(address, block.base + i);
		assert_true(pool_add(&pool, address));
		assert_false(pool_add(&pool, address));
		if (i == 3)
			assert_true(pool_remove(&pool, block.base));
	}
	assert_true(pool_find(&pool, &address));
	assert_int_equal(address, block.base);
	assert_true(pool_add(&pool, address));
	assert_false(pool_find(&pool, &address));
	assert_false(pool_add(&pool, block.base + 16));
	pool_fini(&pool);
}

TEST(a_pool_agrees_with_a_naive_one)
{
	struct ipv4_block block = {0x0a000000, 22};
	bool taken[1024] = {false};
	struct random random;
	struct pool pool;
	uint32_t address;
	size_t used = 0;

	random_init(&random, 7, 1);
	pool_init(&pool, block);
	for (int i = 0; i < 20000; i++) {
		uint32_t place = (uint32_t)random_below(&random, 1024);

		if (random_below(&random, 5) < (i < 10000 ? 3u : 2u)) {
			assert_int_equal(pool_find(&pool, &address), used < 1024);
			if (used == 1024)
				continue;
			place = address - block.base;
			assert_false(taken[place]);
			assert_true(pool_add(&pool, address));
			taken[place] = true;
			used++;
		} else {
			assert_int_equal(pool_remove(&pool, block.base + place), taken[place]);
			used -= taken[place];
			taken[place] = false;
		}
		assert_int_equal(pool.used, used);
	}
	pool_fini(&pool);
}

TEST(patterns_of_filters_have_stars_and_question_marks)
{
	assert_true(pattern_fits(S("*"), S("")));
	assert_true(pattern_fits(S("web-*-?"), S("web-eu-west-1")));
	assert_true(pattern_fits(S("a*b*c"), S("abxbc")));
	assert_false(pattern_fits(S("a*b*c"), S("abxb")));
	assert_false(pattern_fits(S("?"), S("")));
	assert_true(pattern_fits(S("\\*"), S("*")));
	assert_false(pattern_fits(S("\\*"), S("x")));
	assert_true(pattern_fits(S("\\\\"), S("\\")));
	assert_true(pattern_fits(S(""), S("")));
}

/* ---- the default VPC */
TEST(a_realm_has_a_default_vpc_from_its_first_use)
{
	auto_desk desk;
	const char *vpc;
	struct str reply;

	desk_init(&desk);
	reply = desk_call(&desk, "DescribeVpcs", "{}");
	EXPECT_SAYS(reply, "'cidrBlock':'172.31.0.0/16'");
	EXPECT_SAYS(reply, "'isDefault':true");
	vpc = pick(&desk, reply, "vpcId");
	assert_int_equal(count_of(desk_call(&desk, "DescribeVpcs", "{}"), "'vpcId'"), 1);
	reply = desk_ask(&desk, "DescribeSubnets", "{'Filter':[{'Name':'vpc-id','Value':['%s']}]}", vpc);
	EXPECT_SAYS(reply, "172.31.0.0/20");
	EXPECT_SAYS(reply, "172.31.16.0/20");
	EXPECT_SAYS(reply, "172.31.32.0/20");
	EXPECT_SAYS(reply, "'availableIpAddressCount':4091");
	assert_int_equal(count_of(reply, "'mapPublicIpOnLaunch':true"), 3);
	assert_int_equal(count_of(reply, "'defaultForAz':true"), 3);
	EXPECT_SAYS(desk_call(&desk, "DescribeRouteTables", "{'Filter':[{'Name':'association.main','Value':['true']}]}"),
		    "'destinationCidrBlock':'0.0.0.0/0'");
	EXPECT_SAYS(desk_ask(&desk, "DescribeInternetGateways", "{'Filter':[{'Name':'attachment.vpc-id','Value':['%s']}]}",
			     vpc), "'state':'available'");
	EXPECT_SAYS(desk_call(&desk, "DescribeSecurityGroups", "{'Filter':[{'Name':'group-name','Value':['default']}]}"),
		    "'groupDescription':'default VPC security group'");
	EXPECT_SAYS(desk_ask(&desk, "DescribeVpcAttribute", "{'VpcId':'%s','Attribute':'enableDnsHostnames'}", vpc),
		    "'enableDnsHostnames':{'value':true}");
	EXPECT_SAYS(desk_call(&desk, "DescribeAccountAttributes", "{'attributeName':['default-vpc']}"), vpc);
	EXPECT_SAYS(desk_call(&desk, "DescribeNetworkAcls", "{'Filter':[{'Name':'default','Value':['true']}]}"), "'ruleNumber':32767");
	EXPECT_SAYS(desk_call(&desk, "DescribeDhcpOptions", "{}"), "AmazonProvidedDNS");
	EXPECT_CALL(&desk, "CreateDefaultVpc", "{}",
		    "DefaultVpcAlreadyExists: A Default VPC already exists for this account in this region.");
}

TEST(regions_have_their_own_vpcs_and_zones)
{
	auto_desk desk;
	const char *first;

	desk_init(&desk);
	first = default_vpc_id(&desk);
	desk.region = "eu-central-1";
	assert_string_not_equal(default_vpc_id(&desk), first);
	EXPECT_SAYS(desk_ask(&desk, "DescribeVpcs", "{'VpcId':['%s']}", first), "InvalidVpcID.NotFound: The vpc ID '");
	EXPECT_SAYS(desk_call(&desk, "DescribeAvailabilityZones", "{'ZoneName':['eu-central-1b']}"), "'zoneId':'euc1-az2'");
	EXPECT_CALL(&desk, "DescribeAvailabilityZones", "{'ZoneName':['us-east-1a']}",
		    "InvalidParameterValue: Invalid availability zone: [us-east-1a]");
	EXPECT_SAYS(desk_call(&desk, "DescribeRegions", "{'Filter':[{'Name':'region-name','Value':['eu-*']}]}"),
		    "'regionEndpoint':'ec2.eu-north-1.amazonaws.com'");
}

TEST(a_deleted_default_vpc_stays_deleted_until_it_is_wanted_again)
{
	auto_desk desk;
	const char *vpc, *gateway;
	struct str subnets;

	desk_init(&desk);
	vpc = default_vpc_id(&desk);
	subnets = desk_call(&desk, "DescribeSubnets", "{}");
	EXPECT_CALL(&desk, "DeleteVpc", desk_text(&desk, "{'VpcId':'%s'}", vpc),
		    desk_text(&desk, "DependencyViolation: The vpc '%s' has dependencies and cannot be deleted.", vpc));
	for (int i = 0; i < 3; i++) {
		EXPECT_CALL(&desk, "DeleteSubnet", desk_text(&desk, "{'SubnetId':'%s'}", pick(&desk, subnets, "subnetId")), "{}");
		subnets = desk_call(&desk, "DescribeSubnets", "{}");
	}
	gateway = pick(&desk, desk_call(&desk, "DescribeInternetGateways", "{}"), "internetGatewayId");
	EXPECT_CALL(&desk, "DetachInternetGateway", desk_text(&desk, "{'internetGatewayId':'%s','vpcId':'%s'}", gateway, vpc), "{}");
	EXPECT_SAYS(desk_call(&desk, "DescribeRouteTables", "{}"), "'state':'blackhole'");
	EXPECT_CALL(&desk, "DeleteVpc", desk_text(&desk, "{'VpcId':'%s'}", vpc), "{}");
	EXPECT_CALL(&desk, "DescribeVpcs", "{}", "{'vpcSet':[]}");
	EXPECT_CALL(&desk, "DescribeSecurityGroups", "{}", "{'securityGroupInfo':[]}");
	EXPECT_CALL(&desk, "CreateSecurityGroup", "{'GroupName':'a','GroupDescription':'b'}",
		    "VPCIdNotSpecified: No default VPC for this user");
	EXPECT_SAYS(desk_call(&desk, "CreateDefaultVpc", "{}"), "'isDefault':true");
}

/* ---- VPCs and subnets */
TEST(a_new_vpc_has_a_main_table_and_a_default_group)
{
	auto_desk desk;
	const char *vpc;
	struct str reply;

	desk_init(&desk);
	reply = desk_call(&desk, "CreateVpc", "{'CidrBlock':'10.0.3.4/16','TagSpecification':[{'resourceType':'vpc','Tag':"
			  "[{'key':'Name','value':'main'}]}]}");
	EXPECT_SAYS(reply, "'state':'pending'");
	EXPECT_SAYS(reply, "'cidrBlock':'10.0.0.0/16'");
	vpc = pick(&desk, reply, "vpcId");
	EXPECT_SAYS(desk_call(&desk, "DescribeVpcs", "{'Filter':[{'Name':'tag:Name','Value':['ma*']}]}"), "'state':'available'");
	EXPECT_SAYS(desk_ask(&desk, "DescribeRouteTables", "{'Filter':[{'Name':'vpc-id','Value':['%s']}]}", vpc),
		    "'gatewayId':'local'");
	EXPECT_SAYS(desk_ask(&desk, "DescribeVpcAttribute", "{'VpcId':'%s','Attribute':'enableDnsHostnames'}", vpc),
		    "'value':false");
	EXPECT_CALL(&desk, "ModifyVpcAttribute", desk_text(&desk, "{'vpcId':'%s','EnableDnsHostnames':{'value':true}}", vpc), "{}");
	EXPECT_SAYS(desk_ask(&desk, "DescribeVpcAttribute", "{'VpcId':'%s','Attribute':'enableDnsHostnames'}", vpc),
		    "'value':true");
	EXPECT_CALL(&desk, "DeleteVpc", desk_text(&desk, "{'VpcId':'%s','dryRun':true}", vpc),
		    "DryRunOperation: Request would have succeeded, but DryRun flag is set.");
	EXPECT_CALL(&desk, "DeleteVpc", desk_text(&desk, "{'VpcId':'%s'}", vpc), "{}");
}

/* So many filters with so many values each. */
static const char *filters_of(struct desk *desk, int filters, int values)
{
	const char *all = "", *one = "'*'";

	for (int i = 1; i < values; i++)
		one = desk_text(desk, "%s,'%d'", one, i);
	for (int i = 0; i < filters; i++)
		all = desk_text(desk, "%s%s{'Name':'vpc-id','Value':[%s]}", all, i ? "," : "", one);
	return desk_text(desk, "{'Filter':[%s]}", all);
}

TEST(wrong_vpcs_and_subnets_are_refused_as_aws_refuses_them)
{
	auto_desk desk;
	const char *vpc;

	desk_init(&desk);
	default_vpc_id(&desk);
	EXPECT_CALL(&desk, "CreateVpc", "{'CidrBlock':'10.0.0.0/8'}", "InvalidVpc.Range: The CIDR '10.0.0.0/8' is invalid.");
	EXPECT_CALL(&desk, "CreateVpc", "{'CidrBlock':'10.0.0.0/29'}", "InvalidVpc.Range: The CIDR '10.0.0.0/29' is invalid.");
	EXPECT_SAYS(desk_call(&desk, "CreateVpc", "{'CidrBlock':'x'}"), "InvalidParameterValue: Value (x) for parameter cidrBlock");
	EXPECT_SAYS(desk_call(&desk, "CreateVpc", "{}"), "MissingParameter: The request must contain the parameter cidrBlock");
	EXPECT_SAYS(desk_call(&desk, "DescribeVpcs", "{'VpcId':['subnet-12345678']}"), "InvalidVpcID.Malformed");
	EXPECT_SAYS(desk_call(&desk, "DescribeVpcs", "{'Filter':[{'Name':'colour','Value':['red']}]}"),
		    "InvalidParameterValue: The filter 'colour' is invalid");
	EXPECT_SAYS(desk_call(&desk, "DescribeVpcs", filters_of(&desk, 2, 100)), "'vpcSet':");
	EXPECT_SAYS(desk_call(&desk, "DescribeVpcs", filters_of(&desk, 3, 67)),
		    "FilterLimitExceeded: The maximum number of filter values specified on a single call is 200");
	vpc = make_vpc(&desk, "10.0.0.0/16");
	make_subnet(&desk, vpc, "10.0.1.0/24");
	EXPECT_CALL(&desk, "CreateSubnet", desk_text(&desk, "{'VpcId':'%s','CidrBlock':'10.0.1.128/25'}", vpc),
		    "InvalidSubnet.Conflict: The CIDR '10.0.1.128/25' conflicts with another subnet");
	EXPECT_CALL(&desk, "CreateSubnet", desk_text(&desk, "{'VpcId':'%s','CidrBlock':'10.1.0.0/24'}", vpc),
		    "InvalidSubnet.Range: The CIDR '10.1.0.0/24' is invalid.");
	EXPECT_SAYS(desk_ask(&desk, "CreateSubnet", "{'VpcId':'%s','CidrBlock':'10.0.2.0/24','AvailabilityZone':'us-east-1z'}",
			     vpc), "Value (us-east-1z) for parameter availabilityZone is invalid.");
	EXPECT_SAYS(desk_call(&desk, "CreateVpc", "{'CidrBlock':'10.0.0.0/16','TagSpecification':[{'resourceType':'subnet','Tag':[]}]}"),
		    "'subnet' is not a valid taggable resource type for this operation.");
	EXPECT_SAYS(desk_call(&desk, "CreateVpc", "{'CidrBlock':'10.0.0.0/16','instanceTenancy':'dedicated'}"),
		    "UnsupportedOperation: Wherry has no hardware to dedicate: leave InstanceTenancy out");
	EXPECT_SAYS(desk_call(&desk, "CreateVpc", "{'CidrBlock':'10.0.0.0/16','amazonProvidedIpv6CidrBlock':true}"),
		    "UnsupportedOperation");
}

TEST(lists_come_in_pages)
{
	auto_desk desk;
	struct str reply;
	size_t seen = 0;
	const char *token = NULL, *vpc;

	desk_init(&desk);
	vpc = make_vpc(&desk, "10.0.0.0/16");
	for (int i = 0; i < 12; i++)
		make_subnet(&desk, vpc, desk_text(&desk, "10.0.%d.0/24", i));
	for (int page = 0; page < 3; page++) {
		reply = desk_ask(&desk, "DescribeSubnets", "{'MaxResults':5,%s%s%s'Filter':[{'Name':'vpc-id','Value':['%s']}]}",
				 token ? "'NextToken':'" : "", token ? token : "", token ? "'," : "", vpc);
		seen += count_of(reply, "'subnetId'");
		token = page < 2 ? pick(&desk, reply, "nextToken") : NULL;
	}
	assert_int_equal(seen, 12);
	assert_int_equal(count_of(reply, "nextToken"), 0);
	EXPECT_CALL(&desk, "DescribeSubnets", "{'NextToken':'rubbish'}", "InvalidNextToken: The specified NextToken is not valid.");
	EXPECT_CALL(&desk, "DescribeSubnets", "{'MaxResults':5,'SubnetId':['subnet-12345678']}",
		    "InvalidParameterCombination: The parameter subnetId cannot be used with the parameter maxResults");
}

/* ---- security groups */
TEST(rules_of_the_same_ports_are_shown_as_one_permission)
{
	auto_desk desk;
	const char *vpc, *group;
	struct str reply;

	desk_init(&desk);
	vpc = make_vpc(&desk, "10.0.0.0/16");
	group = make_group(&desk, vpc, "web");
	reply = desk_call(&desk, "AuthorizeSecurityGroupIngress",
			  desk_text(&desk, "{'GroupId':'%s','IpPermissions':[{'ipProtocol':'tcp','fromPort':80,'toPort':80,'ipRanges':"
				    "[{'cidrIp':'10.0.0.7/8','description':'all of us'},{'cidrIp':'192.0.2.0/24'}],'groups':[{'groupId':'%s'}]}]}",
				    group, group));
	EXPECT_SAYS(reply, "'return':true");
	assert_int_equal(count_of(reply, "'securityGroupRuleId':'sgr-"), 3);
	EXPECT_SAYS(reply, "'cidrIpv4':'10.0.0.0/8','description':'all of us'");
	reply = desk_ask(&desk, "DescribeSecurityGroups", "{'GroupId':['%s']}", group);
	assert_int_equal(count_of(reply, "'fromPort':80"), 1);
	assert_int_equal(count_of(reply, "'cidrIp'"), 3);
	EXPECT_SAYS(desk_ask(&desk, "AuthorizeSecurityGroupIngress", "{'GroupId':'%s','IpProtocol':'TCP','FromPort':80,"
			      "'ToPort':80,'CidrIp':'192.0.2.9/24'}", group),
		    "InvalidPermission.Duplicate: the specified rule \"peer: 192.0.2.0/24, TCP, from port: 80, to port: 80, ALLOW\" "
		    "already exists");
	EXPECT_SAYS(desk_ask(&desk, "DescribeSecurityGroupRules", "{'Filter':[{'Name':'group-id','Value':['%s']}]}", group),
		    "'isEgress':true");
	reply = desk_ask(&desk, "RevokeSecurityGroupIngress", "{'GroupId':'%s','IpProtocol':'tcp','FromPort':80,'ToPort':80,"
			 "'CidrIp':'192.0.2.0/24'}", group);
	EXPECT_SAYS(reply, "'revokedSecurityGroupRuleSet':[{'securityGroupRuleId':'sgr-");
	EXPECT_CALL(&desk, "RevokeSecurityGroupIngress", desk_text(&desk, "{'GroupId':'%s','IpProtocol':'tcp','FromPort':80,'ToPort':80,"
								   "'CidrIp':'192.0.2.0/24'}", group),
		    "InvalidPermission.NotFound: The specified rule does not exist in this security group.");
}

TEST(a_rule_is_revoked_by_its_id)
{
	auto_desk desk;
	const char *vpc, *group, *rule;

	desk_init(&desk);
	vpc = make_vpc(&desk, "10.0.0.0/16");
	group = make_group(&desk, vpc, "web");
	rule = pick(&desk, desk_ask(&desk, "DescribeSecurityGroupRules", "{'Filter':[{'Name':'group-id','Value':['%s']}]}",
				    group), "securityGroupRuleId");
	EXPECT_SAYS(desk_ask(&desk, "RevokeSecurityGroupIngress", "{'GroupId':'%s','SecurityGroupRuleId':['%s']}", group,
			     rule), "InvalidSecurityGroupRuleId.NotFound");
	EXPECT_SAYS(desk_ask(&desk, "RevokeSecurityGroupEgress", "{'groupId':'%s','SecurityGroupRuleId':['%s']}", group,
			     rule), "'return':true");
	EXPECT_SAYS(desk_ask(&desk, "DescribeSecurityGroups", "{'GroupId':['%s']}", group), "'ipPermissionsEgress':[]");
}

TEST(wrong_rules_are_refused_as_aws_refuses_them)
{
	static const struct { const char *rule, *expected; } rows[] = {
		{"'IpProtocol':'tcp','CidrIp':'0.0.0.0/0'", "InvalidParameterValue: Invalid value 'Must specify both from and to ports"},
		{"'IpProtocol':'tcp','FromPort':80,'ToPort':79,'CidrIp':'0.0.0.0/0'", "Invalid TCP/UDP port range (80:79)"},
		{"'IpProtocol':'tcp','FromPort':80,'ToPort':70000,'CidrIp':'0.0.0.0/0'", "TCP/UDP port (70000) out of range"},
		{"'IpProtocol':'smtp','CidrIp':'0.0.0.0/0'", "Invalid value 'smtp' for IP protocol. Unknown protocol."},
		{"'IpProtocol':'-1','CidrIp':'10.0.0.0/99'", "CIDR block 10.0.0.0/99 is malformed"},
		{"'IpProtocol':'-1'", "Missing source specification"},
		{"'IpPermissions':[{'ipProtocol':'-1','groups':[{'groupId':'sg-0123456789abcdef0'}]}]", "InvalidGroup.NotFound"},
		{"'IpPermissions':[{'ipProtocol':'-1','ipv6Ranges':[{'cidrIpv6':'::/200'}]}]", "CIDR block ::/200 is malformed"},
		{"'IpPermissions':[{'ipProtocol':'-1','ipRanges':[{'cidrIp':'10.0.0.0/8'},{'cidrIp':'10.1.0.0/8'}]}]",
		 "The same permission must not appear multiple times"},
	};
	auto_desk desk;
	const char *vpc, *group, *other;

	desk_init(&desk);
	vpc = make_vpc(&desk, "10.0.0.0/16");
	group = make_group(&desk, vpc, "web");
	for (size_t i = 0; i < COUNT(rows); i++)
		EXPECT_SAYS(desk_ask(&desk, "AuthorizeSecurityGroupIngress", "{'GroupId':'%s',%s}", group, rows[i].rule),
			    rows[i].expected);
	other = make_group(&desk, default_vpc_id(&desk), "elsewhere");
	EXPECT_SAYS(desk_ask(&desk, "AuthorizeSecurityGroupIngress", "{'GroupId':'%s','IpPermissions':[{'ipProtocol':'-1',"
			      "'groups':[{'groupId':'%s'}]}]}", group, other), "belong to different networks");
	EXPECT_SAYS(desk_ask(&desk, "CreateSecurityGroup", "{'GroupName':'web','GroupDescription':'d','VpcId':'%s'}", vpc),
		    desk_text(&desk, "InvalidGroup.Duplicate: The security group 'web' already exists for VPC '%s'", vpc));
	EXPECT_SAYS(desk_call(&desk, "CreateSecurityGroup", "{'GroupName':'sg-x','GroupDescription':'d'}"), "InvalidParameterValue");
	EXPECT_SAYS(desk_call(&desk, "CreateSecurityGroup", "{'GroupName':'x'}"), "MissingParameter");
}

TEST(a_group_has_no_more_rules_than_its_limit)
{
	auto_desk desk;
	const char *group;
	struct str reply;

	desk_init(&desk);
	group = make_group(&desk, default_vpc_id(&desk), "web");
	for (int i = 1; i < RULES_PER_GROUP_LIMIT; i++)
		desk_ask(&desk, "AuthorizeSecurityGroupIngress", "{'GroupId':'%s','IpProtocol':'tcp','FromPort':%d,'ToPort':%d,"
			 "'CidrIp':'10.0.0.0/8'}", group, i, i);
	reply = desk_ask(&desk, "AuthorizeSecurityGroupIngress", "{'GroupId':'%s','IpProtocol':'-1','CidrIp':'10.0.0.0/8'}",
			 group);
	EXPECT_SAYS(reply, "RulesPerSecurityGroupLimitExceeded");
	assert_int_equal(count_of(desk_ask(&desk, "DescribeSecurityGroupRules", "{'Filter':[{'Name':'group-id','Value':['%s']}]}",
					   group), "'securityGroupRuleId'"), RULES_PER_GROUP_LIMIT);
}

TEST(a_group_that_is_used_is_not_deleted)
{
	auto_desk desk;
	const char *vpc, *subnet, *web, *other, *interface;

	desk_init(&desk);
	vpc = make_vpc(&desk, "10.0.0.0/16");
	subnet = make_subnet(&desk, vpc, "10.0.0.0/24");
	web = make_group(&desk, vpc, "web");
	other = make_group(&desk, vpc, "other");
	desk_ask(&desk, "AuthorizeSecurityGroupIngress", "{'GroupId':'%s','IpPermissions':[{'ipProtocol':'-1','groups':"
		 "[{'groupId':'%s'}]}]}", other, web);
	EXPECT_CALL(&desk, "DeleteSecurityGroup", desk_text(&desk, "{'GroupId':'%s'}", web),
		    desk_text(&desk, "DependencyViolation: resource %s has a dependent object", web));
	desk_ask(&desk, "DeleteSecurityGroup", "{'GroupId':'%s'}", other);
	interface = pick(&desk, desk_ask(&desk, "CreateNetworkInterface", "{'subnetId':'%s','SecurityGroupId':['%s']}", subnet,
					web), "networkInterfaceId");
	EXPECT_SAYS(desk_ask(&desk, "DeleteSecurityGroup", "{'GroupId':'%s'}", web), "DependencyViolation");
	EXPECT_SAYS(desk_ask(&desk, "DeleteSubnet", "{'SubnetId':'%s'}", subnet), "DependencyViolation");
	EXPECT_CALL(&desk, "DeleteNetworkInterface", desk_text(&desk, "{'networkInterfaceId':'%s'}", interface), "{}");
	EXPECT_SAYS(desk_ask(&desk, "DeleteSecurityGroup", "{'GroupId':'%s'}", web), "'return':true");
	EXPECT_SAYS(desk_call(&desk, "DeleteSecurityGroup", "{'GroupName':'default'}"), "CannotDelete");
}

/* ---- routes */
TEST(a_subnet_leads_where_its_route_table_leads)
{
	auto_desk desk;
	const char *vpc, *subnet, *table, *gateway, *association;

	desk_init(&desk);
	vpc = make_vpc(&desk, "10.0.0.0/16");
	subnet = make_subnet(&desk, vpc, "10.0.0.0/24");
	gateway = pick(&desk, desk_call(&desk, "CreateInternetGateway", "{}"), "internetGatewayId");
	table = pick(&desk, desk_ask(&desk, "CreateRouteTable", "{'vpcId':'%s'}", vpc), "routeTableId");
	EXPECT_SAYS(desk_ask(&desk, "CreateRoute", "{'routeTableId':'%s','destinationCidrBlock':'0.0.0.0/0','gatewayId':'%s'}",
			     table, gateway), "belong to different networks");
	EXPECT_CALL(&desk, "AttachInternetGateway", desk_text(&desk, "{'internetGatewayId':'%s','vpcId':'%s'}", gateway, vpc), "{}");
	EXPECT_SAYS(desk_ask(&desk, "AttachInternetGateway", "{'internetGatewayId':'%s','vpcId':'%s'}", gateway, vpc),
		    "Resource.AlreadyAssociated");
	EXPECT_CALL(&desk, "CreateRoute", desk_text(&desk, "{'routeTableId':'%s','destinationCidrBlock':'0.0.0.0/0','gatewayId':'%s'}", table,
						    gateway), "{'return':true}");
	EXPECT_CALL(&desk, "CreateRoute", desk_text(&desk, "{'routeTableId':'%s','destinationCidrBlock':'0.0.0.0/0','gatewayId':'%s'}", table,
						    gateway), "RouteAlreadyExists: The route identified by 0.0.0.0/0 already exists.");
	EXPECT_SAYS(desk_ask(&desk, "CreateRoute", "{'routeTableId':'%s','destinationCidrBlock':'10.0.4.0/24','gatewayId':'%s'}",
			     table, gateway), "equal to or more specific than one of this VPC's CIDR blocks");
	EXPECT_CALL(&desk, "CreateRoute", desk_text(&desk, "{'routeTableId':'%s','destinationCidrBlock':'1.0.0.0/8','natGatewayId':'nat-1'}", table),
		    "NatGatewayNotFound: NatGateway nat-1 was not found");
	association = pick(&desk, desk_ask(&desk, "AssociateRouteTable", "{'routeTableId':'%s','subnetId':'%s'}", table, subnet),
			   "associationId");
	EXPECT_SAYS(desk_ask(&desk, "AssociateRouteTable", "{'routeTableId':'%s','subnetId':'%s'}", table, subnet),
		    "Resource.AlreadyAssociated");
	EXPECT_SAYS(desk_ask(&desk, "DescribeRouteTables", "{'Filter':[{'Name':'association.subnet-id','Value':['%s']}]}", subnet),
		    table);
	EXPECT_SAYS(desk_ask(&desk, "DeleteRouteTable", "{'routeTableId':'%s'}", table), "DependencyViolation");
	EXPECT_CALL(&desk, "DisassociateRouteTable", desk_text(&desk, "{'associationId':'%s'}", association), "{}");
	EXPECT_SAYS(desk_ask(&desk, "DisassociateRouteTable", "{'associationId':'%s'}", association),
		    "InvalidAssociationID.NotFound");
	EXPECT_CALL(&desk, "DeleteRoute", desk_text(&desk, "{'routeTableId':'%s','destinationCidrBlock':'0.0.0.0/0'}", table), "{}");
	EXPECT_SAYS(desk_ask(&desk, "DeleteRoute", "{'routeTableId':'%s','destinationCidrBlock':'0.0.0.0/0'}", table),
		    "InvalidRoute.NotFound");
	EXPECT_CALL(&desk, "DeleteRouteTable", desk_text(&desk, "{'routeTableId':'%s'}", table), "{}");
	EXPECT_SAYS(desk_ask(&desk, "DeleteInternetGateway", "{'internetGatewayId':'%s'}", gateway), "DependencyViolation");
	EXPECT_CALL(&desk, "DetachInternetGateway", desk_text(&desk, "{'internetGatewayId':'%s','vpcId':'%s'}", gateway, vpc), "{}");
	EXPECT_SAYS(desk_ask(&desk, "DetachInternetGateway", "{'internetGatewayId':'%s','vpcId':'%s'}", gateway, vpc),
		    "Gateway.NotAttached");
	EXPECT_CALL(&desk, "DeleteInternetGateway", desk_text(&desk, "{'internetGatewayId':'%s'}", gateway), "{}");
}

TEST(a_subnet_takes_its_association_along)
{
	auto_desk desk;
	const char *vpc, *subnet, *table;

	desk_init(&desk);
	vpc = make_vpc(&desk, "10.0.0.0/16");
	subnet = make_subnet(&desk, vpc, "10.0.0.0/24");
	table = pick(&desk, desk_ask(&desk, "CreateRouteTable", "{'vpcId':'%s'}", vpc), "routeTableId");
	desk_ask(&desk, "AssociateRouteTable", "{'routeTableId':'%s','subnetId':'%s'}", table, subnet);
	EXPECT_CALL(&desk, "DeleteSubnet", desk_text(&desk, "{'SubnetId':'%s'}", subnet), "{}");
	EXPECT_CALL(&desk, "DeleteRouteTable", desk_text(&desk, "{'routeTableId':'%s'}", table), "{}");
	EXPECT_CALL(&desk, "DeleteVpc", desk_text(&desk, "{'VpcId':'%s'}", vpc), "{}");
}

/* ---- interfaces and addresses */
TEST(interfaces_take_the_addresses_of_their_subnet)
{
	auto_desk desk;
	const char *vpc, *subnet, *first;
	struct str reply;

	desk_init(&desk);
	vpc = make_vpc(&desk, "10.0.0.0/16");
	subnet = make_subnet(&desk, vpc, "10.0.0.0/28");
	reply = desk_ask(&desk, "CreateNetworkInterface", "{'subnetId':'%s','description':'mine'}", subnet);
	EXPECT_SAYS(reply, "'privateIpAddress':'10.0.0.4'");
	EXPECT_SAYS(reply, "'groupName':'default'");
	EXPECT_SAYS(reply, "'macAddress':'02:");
	EXPECT_SAYS(reply, "'status':'available'");
	first = pick(&desk, reply, "networkInterfaceId");
	EXPECT_SAYS(desk_ask(&desk, "CreateNetworkInterface", "{'subnetId':'%s','privateIpAddress':'10.0.0.4'}", subnet),
		    "InvalidIPAddress.InUse: Address is in use.");
	EXPECT_SAYS(desk_ask(&desk, "CreateNetworkInterface", "{'subnetId':'%s','privateIpAddress':'10.0.0.1'}", subnet),
		    "Address is in subnet's reserved address range");
	EXPECT_SAYS(desk_ask(&desk, "CreateNetworkInterface", "{'subnetId':'%s','privateIpAddress':'10.0.1.1'}", subnet),
		    "Address does not fall within the subnet's address range");
	for (int i = 0; i < 10; i++)
		desk_ask(&desk, "CreateNetworkInterface", "{'subnetId':'%s'}", subnet);
	EXPECT_SAYS(desk_ask(&desk, "DescribeSubnets", "{'SubnetId':['%s']}", subnet), "'availableIpAddressCount':0");
	EXPECT_SAYS(desk_ask(&desk, "CreateNetworkInterface", "{'subnetId':'%s'}", subnet),
		    "InsufficientFreeAddressesInSubnet");
	desk_ask(&desk, "DeleteNetworkInterface", "{'networkInterfaceId':'%s'}", first);
	EXPECT_SAYS(desk_ask(&desk, "CreateNetworkInterface", "{'subnetId':'%s'}", subnet), "'privateIpAddress':'10.0.0.4'");
	EXPECT_SAYS(desk_call(&desk, "DescribeNetworkInterfaces", "{'filter':[{'Name':'addresses.private-ip-address','Value':['10.0.0.9']}]}"),
		    "10.0.0.9");
}

TEST(an_elastic_address_goes_from_interface_to_interface)
{
	auto_desk desk;
	const char *subnet, *one, *two, *address, *association;
	struct str reply;

	desk_init(&desk);
	subnet = pick(&desk, desk_call(&desk, "DescribeSubnets", "{}"), "subnetId");
	one = pick(&desk, desk_ask(&desk, "CreateNetworkInterface", "{'subnetId':'%s'}", subnet), "networkInterfaceId");
	two = pick(&desk, desk_ask(&desk, "CreateNetworkInterface", "{'subnetId':'%s'}", subnet), "networkInterfaceId");
	reply = desk_call(&desk, "AllocateAddress", "{'Domain':'vpc'}");
	EXPECT_SAYS(reply, "'publicIp':'198.18.0.1'");
	address = pick(&desk, reply, "allocationId");
	association = pick(&desk, desk_ask(&desk, "AssociateAddress", "{'AllocationId':'%s','networkInterfaceId':'%s'}", address,
					  one), "associationId");
	EXPECT_SAYS(desk_ask(&desk, "DescribeNetworkInterfaces", "{'NetworkInterfaceId':['%s']}", one),
		    "'publicDnsName':'ec2-198-18-0-1.compute-1.amazonaws.com'");
	EXPECT_SAYS(desk_ask(&desk, "AssociateAddress", "{'AllocationId':'%s','networkInterfaceId':'%s'}", address, two),
		    "Resource.AlreadyAssociated");
	EXPECT_SAYS(desk_ask(&desk, "AssociateAddress", "{'AllocationId':'%s','networkInterfaceId':'%s',"
			      "'allowReassociation':true}", address, two), "eipassoc-");
	EXPECT_SAYS(desk_ask(&desk, "DisassociateAddress", "{'AssociationId':'%s'}", association),
		    "InvalidAssociationID.NotFound");
	EXPECT_SAYS(desk_ask(&desk, "ReleaseAddress", "{'AllocationId':'%s'}", address), "InvalidIPAddress.InUse");
	EXPECT_SAYS(desk_call(&desk, "DescribeAddresses", "{'PublicIp':['198.18.0.1']}"), two);
	EXPECT_CALL(&desk, "DeleteNetworkInterface", desk_text(&desk, "{'networkInterfaceId':'%s'}", two), "{}");
	EXPECT_CALL(&desk, "ReleaseAddress", "{'PublicIp':'198.18.0.1'}", "{}");
	EXPECT_CALL(&desk, "DescribeAddresses", "{}", "{'addressesSet':[]}");
	EXPECT_CALL(&desk, "DescribeAddresses", "{'PublicIp':['198.18.0.1']}", "InvalidAddress.NotFound: Address '198.18.0.1' not found.");
}

TEST(a_repeated_client_token_has_the_first_answer)
{
	auto_desk desk;
	const char *subnet, *other, *vpc, *request;

	desk_init(&desk);
	vpc = make_vpc(&desk, "10.0.0.0/16");
	subnet = make_subnet(&desk, vpc, "10.0.0.0/24");
	other = make_subnet(&desk, vpc, "10.0.1.0/24");
	request = desk_text(&desk, "{'subnetId':'%s','ClientToken':'t'}", subnet);
	EXPECT_SAYS(desk_call(&desk, "CreateNetworkInterface", request),
		    pick(&desk, desk_call(&desk, "CreateNetworkInterface", request), "networkInterfaceId"));
	EXPECT_SAYS(desk_ask(&desk, "CreateNetworkInterface", "{'subnetId':'%s','ClientToken':'t'}", other),
		    "IdempotentParameterMismatch");
	request = desk_text(&desk, "{'vpcId':'%s','ClientToken':'t'}", vpc);
	EXPECT_SAYS(desk_call(&desk, "CreateRouteTable", request), pick(&desk, desk_call(&desk, "CreateRouteTable", request), "routeTableId"));
	EXPECT_SAYS(desk_ask(&desk, "CreateRouteTable", "{'vpcId':'%s','ClientToken':'t'}", default_vpc_id(&desk)),
		    "IdempotentParameterMismatch");
}

/* ---- tags */
TEST(everything_has_tags)
{
	auto_desk desk;
	struct str reply;
	const char *vpc, *rule, *acl, *dhcp;

	desk_init(&desk);
	vpc = default_vpc_id(&desk);
	rule = pick(&desk, desk_call(&desk, "DescribeSecurityGroupRules", "{}"), "securityGroupRuleId");
	acl = pick(&desk, desk_call(&desk, "DescribeNetworkAcls", "{}"), "networkAclId");
	dhcp = pick(&desk, desk_call(&desk, "DescribeDhcpOptions", "{}"), "dhcpOptionsId");
	EXPECT_CALL(&desk, "CreateTags", desk_text(&desk, "{'ResourceId':['%s','%s','%s','%s'],'Tag':[{'key':'a','value':'1'},{'key':'b'}]}", vpc,
						   rule, acl, dhcp), "{}");
	reply = desk_call(&desk, "DescribeTags", "{}");
	assert_int_equal(count_of(reply, "'key':'a'"), 4);
	EXPECT_SAYS(reply, "'resourceType':'security-group-rule'");
	EXPECT_SAYS(reply, "'resourceType':'network-acl'");
	EXPECT_SAYS(reply, "'resourceType':'dhcp-options'");
	EXPECT_CALL(&desk, "DescribeTags", desk_text(&desk, "{'Filter':[{'Name':'resource-id','Value':['%s']},{'Name':'key','Value':['b']}]}", vpc),
		    desk_text(&desk, "{'tagSet':[{'key':'b','resourceId':'%s','resourceType':'vpc','value':''}]}", vpc));
	EXPECT_CALL(&desk, "DeleteTags", desk_text(&desk, "{'resourceId':['%s'],'tag':[{'key':'a','value':'2'},{'key':'b'}]}", vpc), "{}");
	EXPECT_SAYS(desk_call(&desk, "DescribeVpcs", "{}"), "'tagSet':[{'key':'a','value':'1'}]");
	EXPECT_SAYS(desk_ask(&desk, "CreateTags", "{'ResourceId':['%s'],'Tag':[{'key':'AWS:x','value':'1'}]}", vpc),
		    "Tag keys starting with 'aws:' are reserved for internal use");
	EXPECT_SAYS(desk_call(&desk, "CreateTags", "{'ResourceId':['vpc-0123456789abcdef0'],'Tag':[{'key':'x'}]}"), "InvalidVpcID.NotFound");
	EXPECT_SAYS(desk_call(&desk, "CreateTags", "{'ResourceId':['thing-1'],'Tag':[{'key':'x'}]}"),
		    "InvalidID: The ID 'thing-1' is not valid");
}

TEST(a_resource_has_no_more_tags_than_its_limit)
{
	auto_desk desk;
	const char *vpc;

	desk_init(&desk);
	vpc = default_vpc_id(&desk);
	for (int i = 0; i < TAGS_PER_RESOURCE_LIMIT; i++)
		EXPECT_CALL(&desk, "CreateTags", desk_text(&desk, "{'ResourceId':['%s'],'Tag':[{'key':'k%d','value':'v'}]}", vpc, i), "{}");
	EXPECT_CALL(&desk, "CreateTags", desk_text(&desk, "{'ResourceId':['%s'],'Tag':[{'key':'k0','value':'w'}]}", vpc), "{}");
	EXPECT_SAYS(desk_ask(&desk, "CreateTags", "{'ResourceId':['%s'],'Tag':[{'key':'one more','value':'v'}]}", vpc),
		    "TagLimitExceeded");
}

/* ---- recovery */
static void restore_into(void *arg, enum record_kind kind, struct str key, const void *value)
{
	struct error error;

	assert_true(plane_restore(arg, kind, key, value, &error));
}

static void print_into(void *arg, enum record_kind kind, struct str key, const void *value)
{
	struct buffer *buffer = arg;

	buffer_printf(buffer, "%d %.*s ", (int)kind, STR(key));
	json_encode(record_shape(kind), value, buffer);
	buffer_add_char(buffer, '\n');
}

TEST(what_is_restored_is_what_was)
{
	auto_desk desk;
	auto_buffer before = {0}, after = {0};
	const char *vpc, *subnet, *group, *interface, *address;
	struct plane *old;

	desk_init(&desk);
	vpc = make_vpc(&desk, "10.0.0.0/16");
	subnet = pick(&desk, desk_call(&desk, "DescribeSubnets", "{}"), "subnetId");
	/* Rules that name groups of either order of ids. */
	for (int i = 0; i < 6; i++) {
		group = make_group(&desk, vpc, desk_text(&desk, "g%d", i));
		EXPECT_SAYS(desk_ask(&desk, "DescribeSecurityGroups", "{'Filter':[{'Name':'vpc-id','Value':['%s']}]}", vpc), group);
		desk_call(&desk, "AuthorizeSecurityGroupIngress",
			  desk_text(&desk, "{'GroupId':'%s','IpPermissions':[{'ipProtocol':'udp','fromPort':1,'toPort':2,'groups':[{'groupId':'%s'}]}]}",
				    pick(&desk, desk_call(&desk, "DescribeSecurityGroups", "{'Filter':[{'Name':'group-name','Value':['g0']}]}"), "groupId"),
				    group));
	}
	interface = pick(&desk, desk_ask(&desk, "CreateNetworkInterface", "{'subnetId':'%s'}", subnet), "networkInterfaceId");
	address = pick(&desk, desk_call(&desk, "AllocateAddress", "{}"), "allocationId");
	desk_ask(&desk, "AssociateAddress", "{'AllocationId':'%s','networkInterfaceId':'%s'}", address, interface);
	plane_visit(desk.plane, print_into, &before);
	old = desk.plane;
	desk.plane = plane_new(&(struct plane_options){.account = S("123456789012"), .endpoint = S("http://127.0.0.1:4566")});
	plane_visit(old, restore_into, desk.plane);
	plane_free(old);
	desk_wait(&desk, USEC_PER_SEC);
	plane_visit(desk.plane, print_into, &after);
	EXPECT_STR(buffer_str(&after), buffer_str(&before));
	EXPECT_SAYS(desk_ask(&desk, "DescribeSubnets", "{'SubnetId':['%s']}", subnet), "'availableIpAddressCount':4090");
	EXPECT_SAYS(desk_call(&desk, "AllocateAddress", "{}"), "198.18.0.2");
	EXPECT_SAYS(desk_ask(&desk, "DescribeNetworkInterfaces", "{'NetworkInterfaceId':['%s']}", interface), "198.18.0.1");
	EXPECT_SAYS(desk_ask(&desk, "DeleteSecurityGroup", "{'GroupId':'%s'}", group), "DependencyViolation");
}
