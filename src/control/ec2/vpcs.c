/* VPCs, and what each has one of: its default network ACL, its DHCP options. */
#include "api/ec2_handlers.h"
#include "api/ec2.h"
#include "control/call.h"
#include "control/ec2/listing.h"
#include "control/ec2/objects.h"
#include "control/ec2/tags.h"

enum { VPC_BITS_MIN = 16, VPC_BITS_MAX = 28, ACL_ALLOW_RULE = 100, ACL_LAST_RULE = 32767 };

#define EVERYWHERE S("0.0.0.0/0")

static struct maybe_boolean yes_if(bool value)
{
	return (struct maybe_boolean){value, true};
}

/* ---- describing VPCs */
static void describe_blocks(struct call *call, const struct vpc *vpc, struct ec2_vpc_cidr_block_association_set *list)
{
	struct ec2_vpc_cidr_block_state *state = arena_new(call->arena, struct ec2_vpc_cidr_block_state);

	state->state = EC2_VPC_CIDR_BLOCK_STATE_CODE_ASSOCIATED;
	list->items = arena_array(call->arena, struct ec2_vpc_cidr_block_association, 1);
	list->items[list->count++] = (struct ec2_vpc_cidr_block_association){
		.association_id = vpc->block_association, .cidr_block = vpc->block, .cidr_block_state = state};
}

static void describe_vpc(struct call *call, const struct entry *entry, void *ret_description)
{
	const struct vpc *vpc = entry->value;
	struct ec2_vpc *out = ret_description;

	*out = (struct ec2_vpc){
		.owner_id = entry->realm->account, .instance_tenancy = EC2_TENANCY_DEFAULT, .is_default = vpc->is_default,
		.tags = tags_shown(call, &vpc->tags), .vpc_id = vpc->id, .state = EC2_VPC_STATE_AVAILABLE,
		.cidr_block = vpc->block, .dhcp_options_id = vpc->dhcp_options};
	describe_blocks(call, vpc, &out->cidr_block_association_set);
}

static const struct filter_row vpc_filters[] = {
	{STR_INIT("vpc-id"), "vpcId"}, {STR_INIT("cidr"), "cidrBlock"}, {STR_INIT("cidr-block"), "cidrBlock"},
	{STR_INIT("cidr-block-association.cidr-block"), "cidrBlockAssociationSet.cidrBlock"},
	{STR_INIT("cidr-block-association.association-id"), "cidrBlockAssociationSet.associationId"},
	{STR_INIT("cidr-block-association.state"), "cidrBlockAssociationSet.cidrBlockState.state"},
	{STR_INIT("ipv6-cidr-block-association.ipv6-cidr-block"), "ipv6CidrBlockAssociationSet.ipv6CidrBlock"},
	{STR_INIT("ipv6-cidr-block-association.association-id"), "ipv6CidrBlockAssociationSet.associationId"},
	{STR_INIT("dhcp-options-id"), "dhcpOptionsId"}, {STR_INIT("is-default"), "isDefault"},
	{STR_INIT("isDefault"), "isDefault"}, {STR_INIT("owner-id"), "ownerId"}, {STR_INIT("state"), "state"},
};

static const struct listing vpc_listing = {RECORD_VPC, &shape_ec2_vpc, vpc_filters, COUNT(vpc_filters), describe_vpc, "vpcId"};

bool ec2_describe_vpcs(struct call *call, const struct ec2_describe_vpcs_request *in, struct ec2_describe_vpcs_result *out)
{
	return listing_take(call, &vpc_listing, LISTING_REQUEST(in, vpc_ids), &out->vpcs, &out->next_token);
}

static struct ec2_vpc *described_vpc(struct call *call, const struct vpc_entry *vpc, enum ec2_vpc_state state)
{
	struct ec2_vpc *out = arena_new(call->arena, struct ec2_vpc);

	describe_vpc(call, &vpc->entry, out);
	out->state = state;
	return out;
}

/* ---- making and deleting */
static bool check_block(struct call *call, struct str text, struct ipv4_block *ret_block)
{
	if (str_empty(text))
		return fail(&call->error, ERROR_MISSING_PARAMETER, "The request must contain the parameter cidrBlock");
	if (!ipv4_block_parse(text, ret_block))
		return fail(&call->error, ERROR_INVALID_PARAMETER_VALUE, "Value (%.*s) for parameter cidrBlock is invalid. This is "
			    "not a valid CIDR block.", STR(text));
	if (ret_block->prefix < VPC_BITS_MIN || ret_block->prefix > VPC_BITS_MAX)
		return fail(&call->error, ERROR_VPC_RANGE, "The CIDR '%.*s' is invalid.", STR(text));
	return true;
}

static bool check_room(struct call *call)
{
	if (ec2_objects(call->realm, RECORD_VPC)->count >= VPCS_LIMIT)
		return fail(&call->error, ERROR_VPC_LIMIT_EXCEEDED, "The maximum number of VPCs has been reached.");
	return true;
}

bool ec2_create_vpc(struct call *call, const struct ec2_create_vpc_request *in, struct ec2_create_vpc_result *out)
{
	struct ec2_tag_list tags;
	struct ipv4_block block;

	if (in->amazon_provided_ipv6_cidr_block.value || str_has(in->ipv6_cidr_block) || str_has(in->ipv6_pool) ||
	    str_has(in->ipv6_ipam_pool_id))
		return fail(&call->error, ERROR_UNSUPPORTED, "Wherry's VPCs have no IPv6 blocks.");
	if (str_has(in->ipv4_ipam_pool_id) || in->vpc_encryption_control)
		return fail(&call->error, ERROR_UNSUPPORTED, "Wherry has no IPAM pools and no VPC encryption controls.");
	if (in->instance_tenancy && in->instance_tenancy != EC2_TENANCY_DEFAULT)
		return fail(&call->error, ERROR_UNSUPPORTED, "Wherry has no hardware to dedicate: leave InstanceTenancy out or set it to "
			    "default.");
	if (!check_block(call, in->cidr_block, &block) ||
	    !tags_of_request(call, &in->tag_specifications, EC2_RESOURCE_TYPE_VPC, &tags) || !check_room(call) ||
	    !dry_run_ends(call, in->dry_run))
		return false;
	out->vpc = described_vpc(call, vpc_make(call->plane, call->realm, block, false, &tags),
				 EC2_VPC_STATE_PENDING);
	return true;
}

bool ec2_create_default_vpc(struct call *call, const struct ec2_create_default_vpc_request *in,
			    struct ec2_create_default_vpc_result *out)
{
	if (default_vpc(call->realm))
		return fail(&call->error, ERROR_DEFAULT_VPC_ALREADY_EXISTS,
			    "A Default VPC already exists for this account in this region.");
	if (!check_room(call) || !dry_run_ends(call, in->dry_run))
		return false;
	out->vpc = described_vpc(call, default_vpc_make(call->plane, call->realm), EC2_VPC_STATE_PENDING);
	return true;
}

/* The main route table and the default group go with it. */
static bool has_users(const struct vpc_entry *vpc)
{
	return !chain_empty(&vpc->subnets) || vpc->gateway || vpc->groups.count > 1 || vpc->tables.next != vpc->tables.prev;
}

bool ec2_delete_vpc(struct call *call, const struct ec2_delete_vpc_request *in, struct ec2_delete_vpc_response *out)
{
	struct vpc_entry *vpc = object_find(call, RECORD_VPC, in->vpc_id, "vpcId");

	if (!vpc)
		return false;
	if (has_users(vpc))
		return fail(&call->error, ERROR_DEPENDENCY_VIOLATION, "The vpc '%.*s' has dependencies and cannot be deleted.",
			    STR(in->vpc_id));
	if (!dry_run_ends(call, in->dry_run))
		return false;
	emit(call->plane, call->realm, RECORD_ROUTE_TABLE, vpc->main_table->by_id.key, NULL);
	emit(call->plane, call->realm, RECORD_SECURITY_GROUP, group_named(vpc, S("default"))->by_id.key, NULL);
	emit(call->plane, call->realm, RECORD_VPC, vpc->by_id.key, NULL);
	return true;
}

/* ---- attributes */
static struct ec2_attribute_boolean_value *shown(struct call *call, struct maybe_boolean value)
{
	struct ec2_attribute_boolean_value *out = arena_new(call->arena, struct ec2_attribute_boolean_value);

	out->value = yes_if(value.value);
	return out;
}

bool ec2_describe_vpc_attribute(struct call *call, const struct ec2_describe_vpc_attribute_request *in,
				struct ec2_describe_vpc_attribute_result *out)
{
	const struct vpc_entry *vpc = object_find(call, RECORD_VPC, in->vpc_id, "vpcId");

	if (!vpc || !dry_run_ends(call, in->dry_run))
		return false;
	out->vpc_id = vpc->record->id;
	switch (in->attribute) {
	case EC2_VPC_ATTRIBUTE_NAME_ENABLE_DNS_SUPPORT:
		out->enable_dns_support = shown(call, vpc->record->dns_support);
		return true;
	case EC2_VPC_ATTRIBUTE_NAME_ENABLE_DNS_HOSTNAMES:
		out->enable_dns_hostnames = shown(call, vpc->record->dns_hostnames);
		return true;
	case EC2_VPC_ATTRIBUTE_NAME_ENABLE_NETWORK_ADDRESS_USAGE_METRICS:
		out->enable_network_address_usage_metrics = shown(call, vpc->record->usage_metrics);
		return true;
	case EC2_VPC_ATTRIBUTE_NAME_ABSENT: break;
	}
	return fail(&call->error, ERROR_MISSING_PARAMETER, "The request must contain the parameter attribute");
}

bool ec2_modify_vpc_attribute(struct call *call, const struct ec2_modify_vpc_attribute_request *in,
			      struct ec2_modify_vpc_attribute_response *out)
{
	const struct vpc_entry *vpc = object_find(call, RECORD_VPC, in->vpc_id, "vpcId");
	int count = (in->enable_dns_hostnames != NULL) + (in->enable_dns_support != NULL) +
		    (in->enable_network_address_usage_metrics != NULL);
	struct vpc next;

	if (!vpc)
		return false;
	if (count != 1)
		return fail(&call->error, ERROR_INVALID_PARAMETER_COMBINATION,
			    "The request must contain exactly one attribute to modify");
	next = *vpc->record;
	if (in->enable_dns_hostnames)
		next.dns_hostnames = yes_if(in->enable_dns_hostnames->value.value);
	if (in->enable_dns_support)
		next.dns_support = yes_if(in->enable_dns_support->value.value);
	if (in->enable_network_address_usage_metrics)
		next.usage_metrics = yes_if(in->enable_network_address_usage_metrics->value.value);
	emit(call->plane, call->realm, RECORD_VPC, next.id, &next);
	return true;
}

/* ---- network ACLs: each VPC's default one, which cannot be changed */
static struct ec2_network_acl_entry acl_rule(int32_t number, bool egress, enum ec2_rule_action action)
{
	return (struct ec2_network_acl_entry){.cidr_block = EVERYWHERE, .egress = yes_if(egress), .protocol = S("-1"),
					      .rule_action = action, .rule_number = {number, true}};
}

static void describe_acl(struct call *call, const struct entry *entry, void *ret_description)
{
	const struct vpc_entry *vpc = (const struct vpc_entry *)entry;
	const struct vpc *record = vpc->record;
	struct ec2_network_acl *out = ret_description;
	size_t count = 0;

	CHAIN_EACH(&vpc->subnets, struct subnet_entry, in_vpc, subnet)
		count++;
	*out = (struct ec2_network_acl){.is_default = yes_if(true), .network_acl_id = record->network_acl, .vpc_id = record->id,
					.tags = tags_shown(call, &record->network_acl_tags), .owner_id = entry->realm->account};
	out->associations.items = arena_array(call->arena, struct ec2_network_acl_association, count);
	CHAIN_EACH(&vpc->subnets, struct subnet_entry, in_vpc, subnet)
		out->associations.items[out->associations.count++] = (struct ec2_network_acl_association){
			.network_acl_association_id = subnet->record->network_acl_association,
			.network_acl_id = record->network_acl, .subnet_id = subnet->record->id};
	out->entries.items = arena_array(call->arena, struct ec2_network_acl_entry, 4);
	for (int egress = 1; egress >= 0; egress--) {
		out->entries.items[out->entries.count++] = acl_rule(ACL_ALLOW_RULE, egress, EC2_RULE_ACTION_ALLOW);
		out->entries.items[out->entries.count++] = acl_rule(ACL_LAST_RULE, egress, EC2_RULE_ACTION_DENY);
	}
}

static const struct filter_row acl_filters[] = {
	{STR_INIT("association.association-id"), "associationSet.networkAclAssociationId"},
	{STR_INIT("association.network-acl-id"), "associationSet.networkAclId"},
	{STR_INIT("association.subnet-id"), "associationSet.subnetId"}, {STR_INIT("default"), "default"},
	{STR_INIT("entry.cidr"), "entrySet.cidrBlock"}, {STR_INIT("entry.egress"), "entrySet.egress"},
	{STR_INIT("entry.protocol"), "entrySet.protocol"}, {STR_INIT("entry.rule-action"), "entrySet.ruleAction"},
	{STR_INIT("entry.rule-number"), "entrySet.ruleNumber"}, {STR_INIT("network-acl-id"), "networkAclId"},
	{STR_INIT("owner-id"), "ownerId"}, {STR_INIT("vpc-id"), "vpcId"},
};

static const struct listing acl_listing = {RECORD_VPC, &shape_ec2_network_acl, acl_filters, COUNT(acl_filters), describe_acl,
					   "networkAclId"};

/* Listed as parts of their VPCs: ids of ACLs become ids of VPCs. */
static bool find_acls(struct call *call, const struct ec2_network_acl_id_string_list *ids, struct any_list *ret_vpcs)
{
	struct str *vpcs = arena_array(call->arena, struct str, ids->count);

	if (ids->count > LISTED_IDS_LIMIT)
		return fail(&call->error, ERROR_INVALID_PARAMETER_VALUE, "At most %d ids can be given.", LISTED_IDS_LIMIT);
	for (size_t i = 0; i < ids->count; i++) {
		EC2_EACH(call->realm, RECORD_VPC, struct vpc_entry, vpc)
			if (str_equal(vpc->record->network_acl, ids->items[i]))
				vpcs[i] = vpc->record->id;
		if (!str_has(vpcs[i]))
			return fail(&call->error, ERROR_NETWORK_ACL_NOT_FOUND, "The networkAcl ID '%.*s' does not exist",
				    STR(ids->items[i]));
	}
	*ret_vpcs = (struct any_list){vpcs, ids->count};
	return true;
}

bool ec2_describe_network_acls(struct call *call, const struct ec2_describe_network_acls_request *in,
			       struct ec2_describe_network_acls_result *out)
{
	struct listing_request request = *LISTING_REQUEST(in, network_acl_ids);

	if (!find_acls(call, &in->network_acl_ids, &request.ids))
		return false;
	return listing_take(call, &acl_listing, &request, &out->network_acls, &out->next_token);
}

/* ---- DHCP options: one set a realm */
static void add_option(struct call *call, struct ec2_dhcp_options *out, struct str key, struct str value)
{
	struct ec2_dhcp_configuration *option = &out->dhcp_configurations.items[out->dhcp_configurations.count++];

	option->key = key;
	option->values.items = arena_array(call->arena, struct ec2_attribute_value, 1);
	option->values.items[option->values.count++].value = value;
}

static void describe_dhcp_options(struct call *call, const struct entry *entry, void *ret_description)
{
	const struct network_defaults *record = entry->value;
	struct ec2_dhcp_options *out = ret_description;

	*out = (struct ec2_dhcp_options){.owner_id = entry->realm->account, .dhcp_options_id = record->dhcp_options,
					 .tags = tags_shown(call, &record->dhcp_options_tags)};
	out->dhcp_configurations.items = arena_array(call->arena, struct ec2_dhcp_configuration, 2);
	add_option(call, out, S("domain-name"), private_domain(call->arena, entry->realm));
	add_option(call, out, S("domain-name-servers"), S("AmazonProvidedDNS"));
}

static const struct filter_row dhcp_filters[] = {
	{STR_INIT("dhcp-options-id"), "dhcpOptionsId"}, {STR_INIT("key"), "dhcpConfigurationSet.key"},
	{STR_INIT("owner-id"), "ownerId"}, {STR_INIT("value"), "dhcpConfigurationSet.valueSet.value"},
};

static const struct listing dhcp_listing = {RECORD_NETWORK_DEFAULTS, &shape_ec2_dhcp_options, dhcp_filters, COUNT(dhcp_filters),
					    describe_dhcp_options, "dhcpOptionsId"};

bool ec2_describe_dhcp_options(struct call *call, const struct ec2_describe_dhcp_options_request *in,
			       struct ec2_describe_dhcp_options_result *out)
{
	const struct defaults_entry *defaults = entry_find(call->plane, call->realm, RECORD_NETWORK_DEFAULTS, S("default"));
	struct listing_request request = *LISTING_REQUEST(in, dhcp_options_ids);

	for (size_t i = 0; i < in->dhcp_options_ids.count; i++)
		if (!str_equal(in->dhcp_options_ids.items[i], defaults->record->dhcp_options) &&
		    !str_equal(in->dhcp_options_ids.items[i], S("default")))
			return object_is_missing(&call->error, RECORD_NETWORK_DEFAULTS, in->dhcp_options_ids.items[i]);
	/* There is one only, and it is what was asked for. */
	request.ids = (struct any_list){0};
	return listing_take(call, &dhcp_listing, &request, &out->dhcp_options, &out->next_token);
}
