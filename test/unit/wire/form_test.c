#include "test/test.h"
#include "api/ec2.h"
#include "api/ecs.h"
#include "base/buffer.h"
#include "wire/form.h"

static const struct json_fault none;

/* What a form says, as JSON; or why it was refused. */
static struct str read_as(enum form_style style, const struct shape *shape, struct str text, struct arena *arena)
{
	struct json_fault fault = none;
	auto_buffer out = {0};
	void *value;

	if (form_decode(shape, text, style, arena, &value, &fault)) {
		json_encode(shape, value, &out);
		return arena_copy(arena, buffer_str(&out));
	}
	if (fault.unknown_word)
		return arena_printf(arena, "no word: %.*s=%.*s", STR(fault.violation.path), STR(fault.violation.value));
	return arena_printf(arena, "%.*s: %s", STR(error_wire_name(fault.error.code)), fault.error.text);
}

static void expect_ec2(const struct shape *shape, const char *text, const char *expected)
{
	auto_arena arena = {0};

	EXPECT_STR(read_as(FORM_EC2, shape, str_of(text), &arena), str_of(expected));
}

static void expect_query(const struct shape *shape, const char *text, const char *expected)
{
	auto_arena arena = {0};

	EXPECT_STR(read_as(FORM_QUERY, shape, str_of(text), &arena), str_of(expected));
}

TEST(ec2_counts_its_lists_and_capitalizes_names)
{
	expect_ec2(&shape_ec2_describe_vpcs_request,
		   "Action=DescribeVpcs&Version=2016-11-15&VpcId.1=vpc-1&VpcId.2=vpc-2&Filter.1.Name=tag%3Aa+b&"
		   "Filter.1.Value.1=x&Filter.1.Value.2=y%26z&MaxResults=7&DryRun=true",
		   "{\"Filter\":[{\"Name\":\"tag:a b\",\"Value\":[\"x\",\"y&z\"]}],\"VpcId\":[\"vpc-1\",\"vpc-2\"],"
		   "\"MaxResults\":7,\"dryRun\":true}");
	expect_ec2(&shape_ec2_delete_subnet_request, "DryRun=False&SubnetId=subnet-1",
		   "{\"SubnetId\":\"subnet-1\",\"dryRun\":false}");
}

TEST(items_stand_in_the_order_of_their_numbers)
{
	expect_ec2(&shape_ec2_describe_vpcs_request, "VpcId.10=j&VpcId.9=i&VpcId.1=a&VpcId.300=z",
		   "{\"VpcId\":[\"a\",\"i\",\"j\",\"z\"]}");
	expect_ec2(&shape_ec2_describe_vpcs_request, "Filter.2.Name=b&Filter.1.Value.1=v&Filter.1.Name=a",
		   "{\"Filter\":[{\"Name\":\"a\",\"Value\":[\"v\"]},{\"Name\":\"b\"}]}");
}

TEST(of_two_the_last_counts)
{
	expect_ec2(&shape_ec2_describe_vpcs_request, "NextToken=a&MaxResults=5&NextToken=b",
		   "{\"NextToken\":\"b\",\"MaxResults\":5}");
}

TEST(what_is_sent_empty_is_there)
{
	expect_ec2(&shape_ec2_describe_vpcs_request, "NextToken=&VpcId=&&", "{\"VpcId\":[],\"NextToken\":\"\"}");
	expect_ec2(&shape_ec2_describe_vpcs_request, "", "{}");
	expect_ec2(&shape_ec2_describe_vpcs_request, "NextToken", "{\"NextToken\":\"\"}");
}

TEST(ec2_refuses_what_it_does_not_know)
{
	expect_ec2(&shape_ec2_describe_vpcs_request, "Color=red", "UnknownParameter: The parameter Color is not recognized");
	expect_ec2(&shape_ec2_describe_vpcs_request, "vpcId.1=a", "UnknownParameter: The parameter vpcId.1 is not recognized");
	expect_ec2(&shape_ec2_describe_vpcs_request, "Filter.1.Color=red",
		   "UnknownParameter: The parameter Filter.1.Color is not recognized");
	expect_ec2(&shape_ec2_describe_vpcs_request, "NextToken.1=red",
		   "UnknownParameter: The parameter NextToken.1 is not recognized");
	expect_ec2(&shape_ec2_describe_vpcs_request, "X-Amz-Date=1&Version=1", "{}");
	expect_query(&shape_ec2_describe_vpcs_request, "Color=red", "{}");
}

TEST(wrong_numbers_in_names_are_refused)
{
	static const char *const names[] = {"VpcId.0", "VpcId.01", "VpcId.x", "VpcId.", "VpcId.1.", "VpcId.-1",
		"VpcId.1234567890", "VpcId.1.2", "VpcId..1", ".VpcId"};

	for (size_t i = 0; i < COUNT(names); i++) {
		auto_arena arena = {0};
		struct str text = arena_printf(&arena, "%s=a", names[i]);

		EXPECT_STR(read_as(FORM_EC2, &shape_ec2_describe_vpcs_request, text, &arena),
			   arena_printf(&arena, "UnknownParameter: The parameter %s is not recognized", names[i]));
	}
}

TEST(wrong_types_are_refused)
{
	expect_ec2(&shape_ec2_describe_vpcs_request, "MaxResults=many",
		   "InvalidParameterValue: Invalid value 'many' for parameter MaxResults: it must be an integer");
	expect_ec2(&shape_ec2_describe_vpcs_request, "MaxResults=2147483648",
		   "InvalidParameterValue: Invalid value '2147483648' for parameter MaxResults: it must be an integer");
	expect_ec2(&shape_ec2_describe_vpcs_request, "DryRun=1",
		   "InvalidParameterValue: Invalid value '1' for parameter DryRun: it must be a boolean");
	expect_ec2(&shape_ec2_describe_vpcs_request, "VpcId=a",
		   "InvalidParameterValue: Invalid value 'a' for parameter VpcId: it must be a list");
	expect_ec2(&shape_ec2_describe_vpcs_request, "VpcId=&VpcId.1=a",
		   "InvalidParameterValue: Conflicting values for parameter VpcId");
	expect_ec2(&shape_ec2_create_vpc_request, "InstanceTenancy=cosy", "no word: InstanceTenancy=cosy");
}

TEST(malformed_forms_are_refused)
{
	static const char syntax[] = "MalformedQueryString: The query string contains a syntax error.";

	expect_ec2(&shape_ec2_describe_vpcs_request, "=a", syntax);
	expect_ec2(&shape_ec2_describe_vpcs_request, "NextToken=%ff", syntax);
	expect_ec2(&shape_ec2_describe_vpcs_request, "NextToken=%zz%", "{\"NextToken\":\"%zz%\"}");
}

static struct str repeat(struct arena *arena, const char *piece, size_t count)
{
	size_t len = strlen(piece);
	char *bytes = arena_alloc_bytes(arena, len * count);

	for (size_t i = 0; i < count; i++)
		memcpy(bytes + i * len, piece, len);
	return (struct str){bytes, len * count};
}

TEST(forms_have_limits)
{
	auto_arena arena = {0};
	struct str name = repeat(&arena, "a", FORM_NAME_LIMIT + 1);
	struct str most = repeat(&arena, "Version=&", FORM_PAIRS_LIMIT - 1);

	EXPECT_STR(read_as(FORM_QUERY, &shape_ec2_describe_vpcs_request, most, &arena), S("{}"));
	EXPECT_STR(read_as(FORM_QUERY, &shape_ec2_describe_vpcs_request, ARENA_JOIN(&arena, most, S("&")), &arena),
		   S("MalformedQueryString: The request has too many parameters."));
	EXPECT_STR(read_as(FORM_QUERY, &shape_ec2_describe_vpcs_request, str_slice(name, 1, name.len), &arena), S("{}"));
	EXPECT_STR(read_as(FORM_QUERY, &shape_ec2_describe_vpcs_request, name, &arena),
		   S("MalformedQueryString: The name of a parameter is too long."));
}

TEST(aws_query_puts_a_word_between)
{
	expect_query(&shape_ecs_tag_resource_request,
		     "resourceArn=a&tags.member.2.key=k2&tags.member.1.key=k1&tags.member.1.value=v1",
		     "{\"resourceArn\":\"a\",\"tags\":[{\"key\":\"k1\",\"value\":\"v1\"},{\"key\":\"k2\"}]}");
	expect_query(&shape_ecs_tag_resource_request, "tags=", "{\"tags\":[]}");
	expect_query(&shape_ecs_tag_resource_request, "tags.1.key=k",
		     "UnknownParameter: The parameter tags.1.key is not recognized");
	expect_query(&shape_ecs_tag_resource_request, "tags.member=k",
		     "UnknownParameter: The parameter tags.member is not recognized");
}

TEST(aws_query_has_maps)
{
	expect_query(&shape_ecs_docker_volume_configuration,
		     "labels.entry.1.key=a&labels.entry.1.value=b&labels.entry.2.value=d&labels.entry.2.key=c",
		     "{\"labels\":{\"a\":\"b\",\"c\":\"d\"}}");
	expect_query(&shape_ecs_docker_volume_configuration, "labels.entry.1.key=a",
		     "InvalidParameterValue: An entry needs a key and a value: labels.entry.1.key");
}

TEST(the_action_is_found_before_anything_else)
{
	EXPECT_STR(form_raw_value(S("Version=1&Action=DescribeVpcs&Action=B"), S("Action")), S("DescribeVpcs"));
	assert_false(str_has(form_raw_value(S("Actions=1"), S("Action"))));
	assert_false(str_has(form_raw_value(STR_NONE, S("Action"))));
}
