/* Internet gateways; NAT gateways and VPC endpoints, of which there are none yet. */
#include "api/ec2_handlers.h"
#include "api/ec2.h"
#include "control/call.h"
#include "control/ec2/listing.h"
#include "control/ec2/names.h"
#include "control/ec2/tags.h"

/* ---- describing */
static void describe_gateway(struct call *call, const struct entry *entry, void *ret_description)
{
	const struct internet_gateway *record = entry->value;
	struct ec2_internet_gateway *out = ret_description;

	*out = (struct ec2_internet_gateway){
		.attachments = {arena_array(call->arena, struct ec2_internet_gateway_attachment, 1), 0},
		.internet_gateway_id = record->id, .owner_id = entry->realm->account, .tags = tags_shown(call, &record->tags)};
	/* AWS says "available" here, a word that its own model does not have. */
	if (str_has(record->vpc))
		out->attachments.items[out->attachments.count++] = (struct ec2_internet_gateway_attachment){
			.state = EC2_ATTACHMENT_STATUS_AVAILABLE, .vpc_id = record->vpc};
}

static const struct filter_row gateway_filters[] = {
	{STR_INIT("attachment.state"), "attachmentSet.state"}, {STR_INIT("attachment.vpc-id"), "attachmentSet.vpcId"},
	{STR_INIT("internet-gateway-id"), "internetGatewayId"}, {STR_INIT("owner-id"), "ownerId"},
};

static const struct listing gateway_listing = {RECORD_INTERNET_GATEWAY, &shape_ec2_internet_gateway, gateway_filters,
					       COUNT(gateway_filters), describe_gateway, "internetGatewayId"};

bool ec2_describe_internet_gateways(struct call *call, const struct ec2_describe_internet_gateways_request *in,
				    struct ec2_describe_internet_gateways_result *out)
{
	return listing_take(call, &gateway_listing, LISTING_REQUEST(in, internet_gateway_ids), &out->internet_gateways,
			    &out->next_token);
}

/* ---- making and deleting */
bool ec2_create_internet_gateway(struct call *call, const struct ec2_create_internet_gateway_request *in,
				 struct ec2_create_internet_gateway_result *out)
{
	struct internet_gateway record = {0};
	const struct gateway_entry *gateway;

	if (!tags_of_request(call, &in->tag_specifications, EC2_RESOURCE_TYPE_INTERNET_GATEWAY, &record.tags))
		return false;
	if (ec2_objects(call->realm, RECORD_INTERNET_GATEWAY)->count >= GATEWAYS_LIMIT)
		return fail(&call->error, ERROR_GATEWAY_LIMIT_EXCEEDED, "The maximum number of internet gateways has been reached.");
	if (!dry_run_ends(call, in->dry_run))
		return false;
	record.id = object_id(call->plane, S("igw"));
	gateway = emit(call->plane, call->realm, RECORD_INTERNET_GATEWAY, record.id, &record);
	out->internet_gateway = arena_new(call->arena, struct ec2_internet_gateway);
	describe_gateway(call, &gateway->entry, out->internet_gateway);
	return true;
}

bool ec2_delete_internet_gateway(struct call *call, const struct ec2_delete_internet_gateway_request *in,
				 struct ec2_delete_internet_gateway_response *out)
{
	const struct gateway_entry *gateway = object_find(call, RECORD_INTERNET_GATEWAY, in->internet_gateway_id, "internetGatewayId");

	if (!gateway)
		return false;
	if (gateway->vpc)
		return fail(&call->error, ERROR_DEPENDENCY_VIOLATION, "The internetGateway '%.*s' has dependencies and cannot be deleted.",
			    STR(in->internet_gateway_id));
	if (!dry_run_ends(call, in->dry_run))
		return false;
	emit(call->plane, call->realm, RECORD_INTERNET_GATEWAY, gateway->by_id.key, NULL);
	return true;
}

/* ---- attaching */
static void set_vpc(struct call *call, const struct gateway_entry *gateway, struct str vpc)
{
	struct internet_gateway next = *gateway->record;

	next.vpc = vpc;
	emit(call->plane, call->realm, RECORD_INTERNET_GATEWAY, next.id, &next);
}

bool ec2_attach_internet_gateway(struct call *call, const struct ec2_attach_internet_gateway_request *in,
				 struct ec2_attach_internet_gateway_response *out)
{
	const struct gateway_entry *gateway = object_find(call, RECORD_INTERNET_GATEWAY, in->internet_gateway_id, "internetGatewayId");
	const struct vpc_entry *vpc = gateway ? object_find(call, RECORD_VPC, in->vpc_id, "vpcId") : NULL;

	if (!vpc)
		return false;
	if (gateway->vpc)
		return fail(&call->error, ERROR_RESOURCE_ALREADY_ASSOCIATED, "resource %.*s is already attached to network %.*s",
			    STR(in->internet_gateway_id), STR(gateway->record->vpc));
	if (vpc->gateway)
		return fail(&call->error, ERROR_INVALID_PARAMETER_VALUE, "Network %.*s already has an internet gateway attached",
			    STR(in->vpc_id));
	if (!dry_run_ends(call, in->dry_run))
		return false;
	set_vpc(call, gateway, vpc->record->id);
	return true;
}

static bool has_public_addresses(const struct vpc_entry *vpc)
{
	CHAIN_EACH(&vpc->subnets, struct subnet_entry, in_vpc, subnet)
		CHAIN_EACH(&subnet->interfaces, struct interface_entry, in_subnet, interface)
			if (str_has(interface_public_address(interface)))
				return true;
	return false;
}

bool ec2_detach_internet_gateway(struct call *call, const struct ec2_detach_internet_gateway_request *in,
				 struct ec2_detach_internet_gateway_response *out)
{
	const struct gateway_entry *gateway = object_find(call, RECORD_INTERNET_GATEWAY, in->internet_gateway_id, "internetGatewayId");
	const struct vpc_entry *vpc = gateway ? object_find(call, RECORD_VPC, in->vpc_id, "vpcId") : NULL;

	if (!vpc)
		return false;
	if (gateway->vpc != vpc)
		return fail(&call->error, ERROR_GATEWAY_NOT_ATTACHED, "resource %.*s is not attached to network %.*s",
			    STR(in->internet_gateway_id), STR(in->vpc_id));
	if (has_public_addresses(vpc))
		return fail(&call->error, ERROR_DEPENDENCY_VIOLATION, "Network %.*s has some mapped public address(es). Please unmap those "
			    "public address(es) before detaching the gateway.", STR(in->vpc_id));
	if (!dry_run_ends(call, in->dry_run))
		return false;
	set_vpc(call, gateway, STR_NONE);
	return true;
}

/* ---- none yet: asked by tools that look whether something is in the way */
bool ec2_describe_nat_gateways(struct call *call, const struct ec2_describe_nat_gateways_request *in,
			       struct ec2_describe_nat_gateways_result *out)
{
	if (in->nat_gateway_ids.count)
		return fail(&call->error, ERROR_NAT_GATEWAY_NOT_FOUND, "NatGateway %.*s was not found",
			    STR(in->nat_gateway_ids.items[0]));
	out->nat_gateways.items = arena_array(call->arena, struct ec2_nat_gateway, 0);
	return dry_run_ends(call, in->dry_run);
}

bool ec2_describe_vpc_endpoints(struct call *call, const struct ec2_describe_vpc_endpoints_request *in,
				struct ec2_describe_vpc_endpoints_result *out)
{
	if (in->vpc_endpoint_ids.count)
		return fail(&call->error, ERROR_VPC_ENDPOINT_NOT_FOUND, "The Vpc Endpoint Id '%.*s' does not exist",
			    STR(in->vpc_endpoint_ids.items[0]));
	out->vpc_endpoints.items = arena_array(call->arena, struct ec2_vpc_endpoint, 0);
	return dry_run_ends(call, in->dry_run);
}
