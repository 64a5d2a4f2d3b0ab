/* Elastic IP addresses. */
#include "api/ec2_handlers.h"
#include "api/ec2.h"
#include "control/call.h"
#include "control/ec2/listing.h"
#include "control/ec2/objects.h"
#include "control/ec2/tags.h"

/* ---- describing */
static void describe_address(struct call *call, const struct entry *entry, void *ret_description)
{
	const struct elastic_entry *elastic = (const struct elastic_entry *)entry;
	const struct elastic_address *record = elastic->record;
	struct ec2_address *out = ret_description;

	*out = (struct ec2_address){
		.allocation_id = record->id, .association_id = record->association, .domain = EC2_DOMAIN_TYPE_VPC,
		.tags = tags_shown(call, &record->tags), .public_ipv4_pool = S("amazon"),
		.network_border_group = entry->realm->region, .public_ip = record->address};
	if (!elastic->interface)
		return;
	out->network_interface_id = record->interface;
	out->network_interface_owner_id = entry->realm->account;
	out->private_ip_address = elastic->interface->record->address;
}

static const struct filter_row address_filters[] = {
	{STR_INIT("allocation-id"), "allocationId"}, {STR_INIT("association-id"), "associationId"}, {STR_INIT("domain"), "domain"},
	{STR_INIT("instance-id"), "instanceId"}, {STR_INIT("network-border-group"), "networkBorderGroup"},
	{STR_INIT("network-interface-id"), "networkInterfaceId"},
	{STR_INIT("network-interface-owner-id"), "networkInterfaceOwnerId"},
	{STR_INIT("private-ip-address"), "privateIpAddress"}, {STR_INIT("public-ip"), "publicIp"},
};

static const struct listing address_listing = {RECORD_ELASTIC_ADDRESS, &shape_ec2_address, address_filters,
					       COUNT(address_filters), describe_address, "allocationId"};

static struct elastic_entry *with_address(struct call *call, struct str address)
{
	EC2_EACH(call->realm, RECORD_ELASTIC_ADDRESS, struct elastic_entry, elastic)
		if (str_equal(elastic->record->address, address))
			return elastic;
	fail(&call->error, ERROR_ADDRESS_NOT_FOUND, "Address '%.*s' not found.", STR(address));
	return NULL;
}

/* Addresses become allocation ids. */
bool ec2_describe_addresses(struct call *call, const struct ec2_describe_addresses_request *in,
			    struct ec2_describe_addresses_result *out)
{
	size_t count = in->public_ips.count + in->allocation_ids.count;
	struct str *ids = arena_array(call->arena, struct str, count), no_token;
	struct listing_request request = {.ids = {ids, count}, .filters = &in->filters, .dry_run = in->dry_run};

	for (size_t i = 0; i < in->allocation_ids.count; i++)
		ids[i] = in->allocation_ids.items[i];
	for (size_t i = 0; i < in->public_ips.count; i++) {
		const struct elastic_entry *elastic = with_address(call, in->public_ips.items[i]);

		if (!elastic)
			return false;
		ids[in->allocation_ids.count + i] = elastic->record->id;
	}
	return listing_take(call, &address_listing, &request, &out->addresses, &no_token);
}

/* ---- allocating and releasing */
/* By allocation id or by address. */
static struct elastic_entry *find_elastic(struct call *call, struct str allocation, struct str address)
{
	if (!str_empty(allocation))
		return object_find(call, RECORD_ELASTIC_ADDRESS, allocation, "allocationId");
	if (!str_empty(address))
		return with_address(call, address);
	fail(&call->error, ERROR_MISSING_PARAMETER, "The request must contain the parameter allocationId");
	return NULL;
}

bool ec2_allocate_address(struct call *call, const struct ec2_allocate_address_request *in,
			  struct ec2_allocate_address_result *out)
{
	struct elastic_address record = {0};

	if (in->domain == EC2_DOMAIN_TYPE_STANDARD || str_has(in->address) || str_has(in->customer_owned_ipv4_pool) ||
	    str_has(in->ipam_pool_id) || (!str_empty(in->public_ipv4_pool) && !str_equal(in->public_ipv4_pool, S("amazon"))))
		return fail(&call->error, ERROR_UNSUPPORTED, "Wherry allocates addresses for VPCs, from its own pool.");
	if (!str_empty(in->network_border_group) && !str_equal(in->network_border_group, call->realm->region))
		return fail(&call->error, ERROR_INVALID_PARAMETER_VALUE, "Invalid value '%.*s' for networkBorderGroup.",
			    STR(in->network_border_group));
	if (!tags_of_request(call, &in->tag_specifications, EC2_RESOURCE_TYPE_ELASTIC_IP, &record.tags))
		return false;
	if (ec2_objects(call->realm, RECORD_ELASTIC_ADDRESS)->count >= ELASTIC_ADDRESSES_LIMIT)
		return fail(&call->error, ERROR_ADDRESS_LIMIT_EXCEEDED, "The maximum number of addresses has been reached.");
	if (!public_address_find(call->plane, &record.address, &call->error) || !dry_run_ends(call, in->dry_run))
		return false;
	record.id = object_id(call->plane, S("eipalloc"));
	emit(call->plane, call->realm, RECORD_ELASTIC_ADDRESS, record.id, &record);
	*out = (struct ec2_allocate_address_result){
		.allocation_id = record.id, .public_ipv4_pool = S("amazon"), .network_border_group = call->realm->region,
		.domain = EC2_DOMAIN_TYPE_VPC, .public_ip = record.address};
	return true;
}

bool ec2_release_address(struct call *call, const struct ec2_release_address_request *in,
			 struct ec2_release_address_response *out)
{
	const struct elastic_entry *elastic = find_elastic(call, in->allocation_id, in->public_ip);

	if (!elastic)
		return false;
	if (elastic->interface)
		return fail(&call->error, ERROR_ADDRESS_IN_USE, "Address %.*s is in use.", STR(elastic->record->address));
	if (!dry_run_ends(call, in->dry_run))
		return false;
	emit(call->plane, call->realm, RECORD_ELASTIC_ADDRESS, elastic->by_id.key, NULL);
	return true;
}

/* ---- associating */
static void set_interface(struct call *call, const struct elastic_entry *elastic, struct str interface, struct str association)
{
	struct elastic_address next = *elastic->record;

	next.interface = interface;
	next.association = association;
	emit(call->plane, call->realm, RECORD_ELASTIC_ADDRESS, next.id, &next);
}

static bool check_association(struct call *call, const struct ec2_associate_address_request *in,
			      const struct elastic_entry *elastic, const struct interface_entry *interface)
{
	bool may_move = in->allow_reassociation.value;

	if (!str_empty(in->private_ip_address) && !str_equal(in->private_ip_address, interface->record->address))
		return fail(&call->error, ERROR_INVALID_PARAMETER_VALUE, "The address %.*s is not assigned to the network interface '%.*s'.",
			    STR(in->private_ip_address), STR(interface->record->id));
	if (!interface->subnet->vpc->gateway)
		return fail(&call->error, ERROR_GATEWAY_NOT_ATTACHED, "Network %.*s is not attached to any internet gateway",
			    STR(interface->subnet->vpc->record->id));
	if (elastic->interface && elastic->interface != interface && !may_move)
		return fail(&call->error, ERROR_RESOURCE_ALREADY_ASSOCIATED, "resource %.*s is already associated with "
			    "associate-id %.*s", STR(elastic->record->id), STR(elastic->record->association));
	if (interface->elastic && interface->elastic != elastic && !may_move)
		return fail(&call->error, ERROR_RESOURCE_ALREADY_ASSOCIATED, "resource %.*s is already associated with "
			    "associate-id %.*s", STR(interface->record->id), STR(interface->elastic->record->association));
	return true;
}

bool ec2_associate_address(struct call *call, const struct ec2_associate_address_request *in,
			   struct ec2_associate_address_result *out)
{
	const struct elastic_entry *elastic = find_elastic(call, in->allocation_id, in->public_ip);
	const struct interface_entry *interface;

	if (!elastic)
		return false;
	if (str_has(in->instance_id))
		return fail(&call->error, ERROR_INSTANCE_NOT_FOUND, "The instance ID '%.*s' does not exist", STR(in->instance_id));
	interface = object_find(call, RECORD_NETWORK_INTERFACE, in->network_interface_id, "networkInterfaceId");
	if (!interface || !check_association(call, in, elastic, interface) || !dry_run_ends(call, in->dry_run))
		return false;
	if (elastic->interface == interface) {
		out->association_id = elastic->record->association;
		return true;
	}
	if (interface->elastic)
		set_interface(call, interface->elastic, STR_NONE, STR_NONE);
	out->association_id = object_id(call->plane, S("eipassoc"));
	set_interface(call, elastic, interface->record->id, out->association_id);
	return true;
}

static const struct elastic_entry *find_association(struct call *call, struct str association, struct str address)
{
	const struct elastic_entry *found;

	EC2_EACH(call->realm, RECORD_ELASTIC_ADDRESS, struct elastic_entry, elastic)
		if (str_has(association) && str_equal(elastic->record->association, association))
			return elastic;
	found = str_empty(association) && !str_empty(address) ? with_address(call, address) : NULL;
	if (found && found->interface)
		return found;
	call->error.code = ERROR_NONE;
	fail(&call->error, ERROR_ASSOCIATION_NOT_FOUND, "The association ID '%.*s' does not exist",
	     STR(str_empty(association) ? address : association));
	return NULL;
}

bool ec2_disassociate_address(struct call *call, const struct ec2_disassociate_address_request *in,
			      struct ec2_disassociate_address_response *out)
{
	const struct elastic_entry *elastic = find_association(call, in->association_id, in->public_ip);

	if (!elastic || !dry_run_ends(call, in->dry_run))
		return false;
	set_interface(call, elastic, STR_NONE, STR_NONE);
	return true;
}
