#include "api/ec2_handlers.h"
#include "api/ec2.h"
#include "control/call.h"
#include "control/ec2/listing.h"
#include "control/ec2/objects.h"
#include "control/ec2/tables.h"
#include "control/ec2/tags.h"

enum { SUBNET_BITS_MIN = 16, SUBNET_BITS_MAX = 28 };

/* ---- describing */
static struct maybe_boolean yes_if(bool value)
{
	return (struct maybe_boolean){value, true};
}

static struct ec2_private_dns_name_options_on_launch *dns_options(struct call *call, const struct subnet *subnet)
{
	struct ec2_private_dns_name_options_on_launch *out =
		arena_new(call->arena, struct ec2_private_dns_name_options_on_launch);

	*out = (struct ec2_private_dns_name_options_on_launch){
		.hostname_type = subnet->hostname_type,
		.enable_resource_name_dns_a_record = yes_if(subnet->resource_name_record.value),
		.enable_resource_name_dns_aaaa_record = yes_if(false)};
	return out;
}

static void describe_subnet(struct call *call, const struct entry *entry, void *ret_description)
{
	const struct subnet_entry *subnet = (const struct subnet_entry *)entry;
	const struct subnet *record = subnet->record;
	int number = zone_number(call->arena, entry->realm->region, record->zone);

	*(struct ec2_subnet *)ret_description = (struct ec2_subnet){
		.availability_zone_id = zone_id(call->arena, entry->realm->region, number),
		.map_customer_owned_ip_on_launch = yes_if(false), .owner_id = entry->realm->account,
		.assign_ipv6_address_on_creation = yes_if(false),
		.ipv6_cidr_block_association_set = {arena_array(call->arena, struct ec2_subnet_ipv6_cidr_block_association, 0), 0},
		.tags = tags_shown(call, &record->tags),
		.subnet_arn = object_arn(call->plane, entry->realm, S("subnet"), record->id),
		.enable_dns64 = yes_if(false), .ipv6_native = yes_if(false),
		.private_dns_name_options_on_launch = dns_options(call, record), .subnet_id = record->id,
		.state = EC2_SUBNET_STATE_AVAILABLE, .vpc_id = record->vpc, .cidr_block = record->block,
		.available_ip_address_count = {(int32_t)(ipv4_block_size(subnet->pool.block) - subnet->pool.used), true},
		.availability_zone = record->zone, .default_for_az = yes_if(record->default_for_zone.value),
		.map_public_ip_on_launch = yes_if(record->map_public_address.value)};
}

static const struct filter_row subnet_filters[] = {
	{STR_INIT("subnet-id"), "subnetId"}, {STR_INIT("vpc-id"), "vpcId"}, {STR_INIT("state"), "state"},
	{STR_INIT("availability-zone"), "availabilityZone"}, {STR_INIT("availabilityZone"), "availabilityZone"},
	{STR_INIT("availability-zone-id"), "availabilityZoneId"}, {STR_INIT("availabilityZoneId"), "availabilityZoneId"},
	{STR_INIT("available-ip-address-count"), "availableIpAddressCount"}, {STR_INIT("cidr"), "cidrBlock"},
	{STR_INIT("cidr-block"), "cidrBlock"}, {STR_INIT("cidrBlock"), "cidrBlock"}, {STR_INIT("default-for-az"), "defaultForAz"},
	{STR_INIT("defaultForAz"), "defaultForAz"}, {STR_INIT("map-public-ip-on-launch"), "mapPublicIpOnLaunch"},
	{STR_INIT("owner-id"), "ownerId"}, {STR_INIT("subnet-arn"), "subnetArn"}, {STR_INIT("ipv6-native"), "ipv6Native"},
	{STR_INIT("ipv6-cidr-block-association.ipv6-cidr-block"), "ipv6CidrBlockAssociationSet.ipv6CidrBlock"},
};

static const struct listing subnet_listing = {RECORD_SUBNET, &shape_ec2_subnet, subnet_filters, COUNT(subnet_filters),
					      describe_subnet, "subnetId"};

bool ec2_describe_subnets(struct call *call, const struct ec2_describe_subnets_request *in,
			  struct ec2_describe_subnets_result *out)
{
	return listing_take(call, &subnet_listing, LISTING_REQUEST(in, subnet_ids), &out->subnets, &out->next_token);
}

/* ---- making */
static bool check_block(struct call *call, const struct vpc_entry *vpc, struct str text, struct ipv4_block *ret_block)
{
	struct ipv4_block block;
	size_t count = 0;

	if (str_empty(text))
		return fail(&call->error, ERROR_MISSING_PARAMETER, "The request must contain the parameter cidrBlock");
	if (!ipv4_block_parse(text, &block))
		return fail(&call->error, ERROR_INVALID_PARAMETER_VALUE, "Value (%.*s) for parameter cidrBlock is invalid. This is "
			    "not a valid CIDR block.", STR(text));
	if (block.prefix < SUBNET_BITS_MIN || block.prefix > SUBNET_BITS_MAX || !ipv4_block_contains(vpc->block, block))
		return fail(&call->error, ERROR_SUBNET_RANGE, "The CIDR '%.*s' is invalid.", STR(text));
	CHAIN_EACH(&vpc->subnets, struct subnet_entry, in_vpc, subnet) {
		count++;
		if (ipv4_block_overlaps(subnet->pool.block, block))
			return fail(&call->error, ERROR_SUBNET_CONFLICT, "The CIDR '%.*s' conflicts with another subnet", STR(text));
	}
	if (count >= SUBNETS_PER_VPC_LIMIT)
		return fail(&call->error, ERROR_SUBNET_LIMIT_EXCEEDED, "The maximum number of subnets has been reached.");
	*ret_block = block;
	return true;
}

static struct str all_zones(struct call *call)
{
	struct str list = STR_INIT("");

	for (int i = 0; i < ZONES_PER_REGION; i++)
		list = ARENA_JOIN(call->arena, list, i ? S(", ") : S(""), zone_name(call->arena, call->realm->region, i));
	return list;
}

/* Without one: the first. */
static bool choose_zone(struct call *call, const struct ec2_create_subnet_request *in, struct str *ret_zone)
{
	struct str wanted = str_has(in->availability_zone) ? in->availability_zone : in->availability_zone_id;
	int number = str_has(wanted) ? zone_number(call->arena, call->realm->region, wanted) : 0;

	if (number < 0)
		return fail(&call->error, ERROR_INVALID_PARAMETER_VALUE, "Value (%.*s) for parameter availabilityZone is invalid. "
			    "Subnets can currently only be created in the following availability zones: %.*s.", STR(wanted),
			    STR(all_zones(call)));
	*ret_zone = zone_name(call->arena, call->realm->region, number);
	return true;
}

bool ec2_create_subnet(struct call *call, const struct ec2_create_subnet_request *in, struct ec2_create_subnet_result *out)
{
	struct vpc_entry *vpc = object_find(call, RECORD_VPC, in->vpc_id, "vpcId");
	struct ec2_tag_list tags;
	struct ipv4_block block;
	struct str zone;

	if (!vpc)
		return false;
	if (str_has(in->ipv6_cidr_block) || in->ipv6_native.value || str_has(in->ipv6_ipam_pool_id) || str_has(in->outpost_arn) ||
	    str_has(in->ipv4_ipam_pool_id))
		return fail(&call->error, ERROR_UNSUPPORTED, "Wherry's subnets have no IPv6 blocks, IPAM pools or Outposts.");
	if (!check_block(call, vpc, in->cidr_block, &block) || !choose_zone(call, in, &zone) ||
	    !tags_of_request(call, &in->tag_specifications, EC2_RESOURCE_TYPE_SUBNET, &tags) || !dry_run_ends(call, in->dry_run))
		return false;
	out->subnet = arena_new(call->arena, struct ec2_subnet);
	describe_subnet(call, &subnet_make(call->plane, vpc, block, zone, false, &tags)->entry, out->subnet);
	return true;
}

/* ---- deleting and changing */
bool ec2_delete_subnet(struct call *call, const struct ec2_delete_subnet_request *in, struct ec2_delete_subnet_response *out)
{
	struct subnet_entry *subnet = object_find(call, RECORD_SUBNET, in->subnet_id, "subnetId");

	if (!subnet)
		return false;
	if (!chain_empty(&subnet->interfaces))
		return fail(&call->error, ERROR_DEPENDENCY_VIOLATION, "The subnet '%.*s' has dependencies and cannot be deleted.",
			    STR(in->subnet_id));
	if (!dry_run_ends(call, in->dry_run))
		return false;
	if (subnet->table)
		table_disassociate(call, subnet->table, subnet);
	emit(call->plane, call->realm, RECORD_SUBNET, subnet->by_id.key, NULL);
	return true;
}

static bool is_on(const struct ec2_attribute_boolean_value *value)
{
	return value && value->value.value;
}

static bool check_attributes(struct call *call, const struct ec2_modify_subnet_attribute_request *in)
{
	int count = (in->assign_ipv6_address_on_creation != NULL) + (in->map_public_ip_on_launch != NULL) +
		    (in->map_customer_owned_ip_on_launch != NULL) + (in->enable_dns64 != NULL) +
		    (in->private_dns_hostname_type_on_launch != 0) + (in->enable_resource_name_dns_a_record_on_launch != NULL) +
		    (in->enable_resource_name_dns_aaaa_record_on_launch != NULL) + in->enable_lni_at_device_index.has +
		    (in->disable_lni_at_device_index != NULL);

	if (count != 1)
		return fail(&call->error, ERROR_INVALID_PARAMETER_COMBINATION,
			    "The request must contain exactly one attribute to modify");
	if (is_on(in->assign_ipv6_address_on_creation) || is_on(in->enable_dns64) ||
	    is_on(in->enable_resource_name_dns_aaaa_record_on_launch) || is_on(in->map_customer_owned_ip_on_launch) ||
	    in->enable_lni_at_device_index.has)
		return fail(&call->error, ERROR_UNSUPPORTED, "Wherry's subnets have no IPv6, no customer-owned addresses and no local "
			    "network interfaces.");
	return true;
}

bool ec2_modify_subnet_attribute(struct call *call, const struct ec2_modify_subnet_attribute_request *in,
				 struct ec2_modify_subnet_attribute_response *out)
{
	const struct subnet_entry *subnet = object_find(call, RECORD_SUBNET, in->subnet_id, "subnetId");
	struct subnet next;

	if (!subnet || !check_attributes(call, in))
		return false;
	next = *subnet->record;
	if (in->map_public_ip_on_launch)
		next.map_public_address = yes_if(is_on(in->map_public_ip_on_launch));
	if (in->private_dns_hostname_type_on_launch)
		next.hostname_type = in->private_dns_hostname_type_on_launch;
	if (in->enable_resource_name_dns_a_record_on_launch)
		next.resource_name_record = yes_if(is_on(in->enable_resource_name_dns_a_record_on_launch));
	emit(call->plane, call->realm, RECORD_SUBNET, next.id, &next);
	return true;
}
