/* What a realm and a VPC have from their beginning (neighbours 8.2, 8.3). */
#include "control/ec2/names.h"
#include "control/ec2/objects.h"
#include "control/internal.h"

#define DEFAULTS_ID S("default")

static const struct ipv4_block default_block = {172u << 24 | 31u << 16, 16};

enum { DEFAULT_SUBNET_BITS = 20 };

static const struct ec2_tag_list no_tags;

static const struct ec2_tag_list *or_none(const struct ec2_tag_list *tags)
{
	return tags ? tags : &no_tags;
}

static struct maybe_boolean yes_if(bool value)
{
	return (struct maybe_boolean){value, true};
}

static void main_table_make(struct plane *plane, struct vpc_entry *vpc, struct str gateway)
{
	struct vpc_route route = {.destination = S("0.0.0.0/0"), .gateway = gateway};
	struct route_table record = {
		.id = object_id(plane, S("rtb")), .vpc = vpc->record->id, .main_association = object_id(plane, S("rtbassoc"))};

	if (str_has(gateway))
		record.routes = (struct vpc_routes){&route, 1};
	emit(plane, vpc->realm, RECORD_ROUTE_TABLE, record.id, &record);
}

struct group_entry *group_make(struct plane *plane, struct vpc_entry *vpc, struct str name, struct str description,
			       bool is_default, const struct ec2_tag_list *tags)
{
	struct security_group record = {
		.id = object_id(plane, S("sg")), .vpc = vpc->record->id, .name = name, .description = description,
		.tags = *or_none(tags)};
	struct group_rule rules[] = {
		{.id = object_id(plane, S("sgr")), .egress = yes_if(true), .protocol = S("-1"), .block = S("0.0.0.0/0")},
		{.id = object_id(plane, S("sgr")), .egress = yes_if(false), .protocol = S("-1"), .group = record.id},
	};

	record.rules = (struct group_rules){rules, is_default ? 2 : 1};
	return emit(plane, vpc->realm, RECORD_SECURITY_GROUP, record.id, &record);
}

static struct str realm_dhcp_options(struct plane *plane, const struct realm *realm)
{
	const struct defaults_entry *defaults = entry_find(plane, realm, RECORD_NETWORK_DEFAULTS, DEFAULTS_ID);

	return defaults->record->dhcp_options;
}

static struct vpc_entry *bare_vpc_make(struct plane *plane, struct realm *realm, struct ipv4_block block, bool is_default,
				       const struct ec2_tag_list *tags)
{
	struct vpc record = {
		.id = object_id(plane, S("vpc")), .block = ipv4_block_text(plane_arena(plane), block),
		.block_association = object_id(plane, S("vpc-cidr-assoc")), .is_default = yes_if(is_default),
		.dns_support = yes_if(true),
		.dns_hostnames = yes_if(is_default), .usage_metrics = yes_if(false),
		.dhcp_options = realm_dhcp_options(plane, realm), .network_acl = object_id(plane, S("acl")),
		.tags = *or_none(tags)};

	return emit(plane, realm, RECORD_VPC, record.id, &record);
}

static struct group_entry *default_group_make(struct plane *plane, struct vpc_entry *vpc)
{
	return group_make(plane, vpc, S("default"), S("default VPC security group"), true, NULL);
}

struct vpc_entry *vpc_make(struct plane *plane, struct realm *realm, struct ipv4_block block, bool is_default,
			   const struct ec2_tag_list *tags)
{
	struct vpc_entry *vpc = bare_vpc_make(plane, realm, block, is_default, tags);

	main_table_make(plane, vpc, STR_NONE);
	default_group_make(plane, vpc);
	return vpc;
}

struct subnet_entry *subnet_make(struct plane *plane, struct vpc_entry *vpc, struct ipv4_block block, struct str zone, bool is_default,
				 const struct ec2_tag_list *tags)
{
	struct subnet record = {
		.id = object_id(plane, S("subnet")), .vpc = vpc->record->id, .block = ipv4_block_text(plane_arena(plane), block),
		.zone = zone, .default_for_zone = yes_if(is_default), .map_public_address = yes_if(is_default),
		.hostname_type = EC2_HOSTNAME_TYPE_IP_NAME, .resource_name_record = yes_if(false),
		.network_acl_association = object_id(plane, S("aclassoc")), .tags = *or_none(tags)};

	return emit(plane, vpc->realm, RECORD_SUBNET, record.id, &record);
}

struct vpc_entry *default_vpc_make(struct plane *plane, struct realm *realm)
{
	struct vpc_entry *vpc = bare_vpc_make(plane, realm, default_block, true, NULL);
	struct internet_gateway gateway = {.id = object_id(plane, S("igw")), .vpc = vpc->record->id};
	struct ipv4_block block = {default_block.base, DEFAULT_SUBNET_BITS};

	emit(plane, realm, RECORD_INTERNET_GATEWAY, gateway.id, &gateway);
	main_table_make(plane, vpc, gateway.id);
	default_group_make(plane, vpc);
	for (int i = 0; i < ZONES_PER_REGION; i++) {
		subnet_make(plane, vpc, block, zone_name(plane_arena(plane), realm->region, i), true, NULL);
		block.base += (uint32_t)ipv4_block_size(block);
	}
	return vpc;
}

void ec2_realm_prepare(struct plane *plane, struct realm *realm)
{
	struct network_defaults record;

	if (entry_find(plane, realm, RECORD_NETWORK_DEFAULTS, DEFAULTS_ID))
		return;
	record = (struct network_defaults){.dhcp_options = object_id(plane, S("dopt"))};
	emit(plane, realm, RECORD_NETWORK_DEFAULTS, DEFAULTS_ID, &record);
	default_vpc_make(plane, realm);
}
