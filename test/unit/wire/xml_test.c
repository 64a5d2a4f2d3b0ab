#include "test/test.h"
#include "api/ec2.h"
#include "api/ecs.h"
#include "base/buffer.h"
#include "wire/json.h"
#include "wire/xml.h"

/* A value given as JSON. */
static struct str written(const struct shape *shape, const char *json, struct arena *arena)
{
	struct json_fault fault;
	auto_buffer out = {0};
	void *value;

	if (!json_decode(shape, str_of(json), arena, &value, &fault))
		fail_msg("%s", fault.error.text);
	xml_encode(shape, value, &out);
	return arena_copy(arena, buffer_str(&out));
}

static void expect_xml(const struct shape *shape, const char *json, const char *expected)
{
	auto_arena arena = {0};

	EXPECT_STR(written(shape, json, &arena), str_of(expected));
}

static void expect_text(struct str text, const char *expected)
{
	auto_buffer out = {0};

	xml_encode_text(text, &out);
	EXPECT_STR(buffer_str(&out), str_of(expected));
}

TEST(members_are_elements)
{
	expect_xml(&shape_ec2_vpc, "{\"vpcId\":\"vpc-1\",\"cidrBlock\":\"10.0.0.0/16\",\"isDefault\":true,\"state\":\"available\"}",
		   "<isDefault>true</isDefault><vpcId>vpc-1</vpcId><state>available</state><cidrBlock>10.0.0.0/16</cidrBlock>");
	expect_xml(&shape_ec2_vpc, "{}", "");
}

TEST(lists_have_items)
{
	expect_xml(&shape_ec2_describe_vpcs_result,
		   "{\"vpcSet\":[{\"vpcId\":\"a\",\"tagSet\":[{\"key\":\"k\",\"value\":\"v\"}]},{\"vpcId\":\"b\"}]}",
		   "<vpcSet><item><tagSet><item><key>k</key><value>v</value></item></tagSet><vpcId>a</vpcId></item>"
		   "<item><vpcId>b</vpcId></item></vpcSet>");
	expect_xml(&shape_ec2_describe_vpcs_result, "{\"vpcSet\":[]}", "<vpcSet></vpcSet>");
}

TEST(maps_have_entries_and_times_are_text)
{
	expect_xml(&shape_ecs_docker_volume_configuration, "{\"labels\":{\"a\":\"<\"}}",
		   "<labels><entry><key>a</key><value>&lt;</value></entry></labels>");
	expect_xml(&shape_ecs_deployment, "{\"createdAt\":1529360908,\"updatedAt\":1529360908.25}",
		   "<createdAt>2018-06-18T22:28:28.000Z</createdAt><updatedAt>2018-06-18T22:28:28.250Z</updatedAt>");
}

TEST(what_xml_cannot_carry_is_replaced)
{
	expect_text(S("a<b>&\"c'"), "a&lt;b&gt;&amp;&quot;c'");
	expect_text(S("a\tb\nc\rd"), "a\tb\nc&#13;d");
	expect_text(S("\x01"
		      "b\0c\x1f"),
		    "\xef\xbf\xbd"
		    "b\xef\xbf\xbd"
		    "c\xef\xbf\xbd");
	expect_text(S("é😀\xff\xef\xbf\xbf."), "é😀\xef\xbf\xbd\xef\xbf\xbd.");
	expect_text(S(""), "");
}
