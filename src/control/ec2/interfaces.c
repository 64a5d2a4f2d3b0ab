/* Network interfaces as the API shows them (neighbours 8.4); network.c makes them. */
#include "api/ec2_handlers.h"
#include "api/ec2.h"
#include "control/call.h"
#include "control/ec2/listing.h"
#include "control/ec2/objects.h"
#include "control/ec2/tags.h"

enum { DESCRIPTION_LIMIT = 255 };

/* ---- describing */
static struct ec2_network_interface_association *describe_association(struct call *call, const struct interface_entry *interface)
{
	struct str address = interface_public_address(interface);
	struct ec2_network_interface_association *out;

	if (!str_has(address))
		return NULL;
	out = arena_new(call->arena, struct ec2_network_interface_association);
	out->public_ip = address;
	out->ip_owner_id = interface->elastic ? interface->realm->account : S("amazon");
	if (interface->elastic) {
		out->allocation_id = interface->elastic->record->id;
		out->association_id = interface->elastic->record->association;
	}
	if (interface->subnet->vpc->record->dns_hostnames.value)
		out->public_dns_name = public_name(call->arena, interface->realm, address);
	return out;
}

static struct ec2_network_interface_attachment *describe_attachment(struct call *call, const struct interface_entry *interface)
{
	const struct network_interface *record = interface->record;
	struct ec2_network_interface_attachment *out;

	if (!str_has(record->attachment))
		return NULL;
	out = arena_new(call->arena, struct ec2_network_interface_attachment);
	*out = (struct ec2_network_interface_attachment){
		.attach_time = record->attached_at, .attachment_id = record->attachment, .delete_on_termination = {false, true},
		.device_index = {1, true}, .network_card_index = {0, true}, .instance_owner_id = interface->realm->account,
		.status = EC2_ATTACHMENT_STATUS_ATTACHED};
	return out;
}

static void describe_addresses(struct call *call, const struct interface_entry *interface, struct ec2_network_interface *out)
{
	struct ec2_network_interface_private_ip_address *address =
		arena_new(call->arena, struct ec2_network_interface_private_ip_address);

	*address = (struct ec2_network_interface_private_ip_address){
		.association = out->association, .primary = {true, true}, .private_ip_address = interface->record->address};
	if (interface->subnet->vpc->record->dns_hostnames.value)
		address->private_dns_name = private_name(call->arena, interface->realm, interface->address);
	out->private_dns_name = address->private_dns_name;
	out->private_ip_addresses = (struct ec2_network_interface_private_ip_address_list){address, 1};
}

static void describe_groups(struct call *call, const struct interface_entry *interface, struct ec2_group_identifier_list *list)
{
	size_t count = interface->record->groups.count;

	list->items = arena_array(call->arena, struct ec2_group_identifier, count);
	for (size_t i = 0; i < count; i++)
		list->items[list->count++] = (struct ec2_group_identifier){
			.group_id = interface->memberships[i].group->record->id,
			.group_name = interface->memberships[i].group->record->name};
}

static void describe_interface(struct call *call, const struct entry *entry, void *ret_description)
{
	const struct interface_entry *interface = (const struct interface_entry *)entry;
	const struct network_interface *record = interface->record;
	const struct subnet *subnet = interface->subnet->record;
	int zone = zone_number(call->arena, entry->realm->region, subnet->zone);
	struct ec2_network_interface *out = ret_description;

	*out = (struct ec2_network_interface){
		.association = describe_association(call, interface), .attachment = describe_attachment(call, interface),
		.availability_zone = subnet->zone, .availability_zone_id = zone_id(call->arena, entry->realm->region, zone),
		.description = str_has(record->description) ? record->description : S(""),
		.interface_type = EC2_NETWORK_INTERFACE_TYPE_INTERFACE, .mac_address = record->mac,
		.ipv6_addresses = {arena_array(call->arena, struct ec2_network_interface_ipv6_address, 0), 0},
		.network_interface_id = record->id, .owner_id = entry->realm->account, .private_ip_address = record->address,
		.requester_id = entry->realm->account, .requester_managed = {record->requester_managed.value, true},
		.source_dest_check = {true, true},
		.status = str_has(record->attachment) || record->requester_managed.value ? EC2_NETWORK_INTERFACE_STATUS_IN_USE
											  : EC2_NETWORK_INTERFACE_STATUS_AVAILABLE,
		.subnet_id = record->subnet, .tag_set = tags_shown(call, &record->tags), .vpc_id = subnet->vpc};
	describe_groups(call, interface, &out->groups);
	describe_addresses(call, interface, out);
}

static const struct filter_row interface_filters[] = {
	{STR_INIT("network-interface-id"), "networkInterfaceId"}, {STR_INIT("vpc-id"), "vpcId"},
	{STR_INIT("subnet-id"), "subnetId"}, {STR_INIT("availability-zone"), "availabilityZone"},
	{STR_INIT("group-id"), "groupSet.groupId"}, {STR_INIT("group-name"), "groupSet.groupName"},
	{STR_INIT("description"), "description"}, {STR_INIT("status"), "status"}, {STR_INIT("interface-type"), "interfaceType"},
	{STR_INIT("mac-address"), "macAddress"}, {STR_INIT("owner-id"), "ownerId"}, {STR_INIT("requester-id"), "requesterId"},
	{STR_INIT("requester-managed"), "requesterManaged"}, {STR_INIT("source-dest-check"), "sourceDestCheck"},
	{STR_INIT("private-ip-address"), "privateIpAddress"}, {STR_INIT("private-dns-name"), "privateDnsName"},
	{STR_INIT("addresses.private-ip-address"), "privateIpAddressesSet.privateIpAddress"},
	{STR_INIT("addresses.primary"), "privateIpAddressesSet.primary"},
	{STR_INIT("addresses.association.public-ip"), "privateIpAddressesSet.association.publicIp"},
	{STR_INIT("addresses.association.owner-id"), "privateIpAddressesSet.association.ipOwnerId"},
	{STR_INIT("association.allocation-id"), "association.allocationId"},
	{STR_INIT("association.association-id"), "association.associationId"},
	{STR_INIT("association.ip-owner-id"), "association.ipOwnerId"}, {STR_INIT("association.public-ip"), "association.publicIp"},
	{STR_INIT("association.public-dns-name"), "association.publicDnsName"},
	{STR_INIT("attachment.attachment-id"), "attachment.attachmentId"},
	{STR_INIT("attachment.delete-on-termination"), "attachment.deleteOnTermination"},
	{STR_INIT("attachment.device-index"), "attachment.deviceIndex"},
	{STR_INIT("attachment.instance-id"), "attachment.instanceId"},
	{STR_INIT("attachment.instance-owner-id"), "attachment.instanceOwnerId"}, {STR_INIT("attachment.status"), "attachment.status"},
};

static const struct listing interface_listing = {RECORD_NETWORK_INTERFACE, &shape_ec2_network_interface, interface_filters,
						 COUNT(interface_filters), describe_interface, "networkInterfaceId"};

bool ec2_describe_network_interfaces(struct call *call, const struct ec2_describe_network_interfaces_request *in,
				     struct ec2_describe_network_interfaces_result *out)
{
	return listing_take(call, &interface_listing, LISTING_REQUEST(in, network_interface_ids), &out->network_interfaces,
			    &out->next_token);
}

/* ---- making and deleting */
/* One private address: in the old form, or as the only one of the list. */
static bool check_addresses(struct call *call, const struct ec2_create_network_interface_request *in, struct str *ret_address)
{
	const struct ec2_private_ip_address_specification_list *list = &in->private_ip_addresses;

	if (in->ipv6_addresses.count || in->ipv6_address_count.value || in->ipv6_prefixes.count || in->ipv6_prefix_count.value ||
	    in->enable_primary_ipv6.value || in->ipv4_prefixes.count || in->ipv4_prefix_count.value ||
	    in->secondary_private_ip_address_count.value || list->count > 1)
		return fail(&call->error, ERROR_UNSUPPORTED, "Wherry's network interfaces have one private IPv4 address.");
	if (in->interface_type)
		return fail(&call->error, ERROR_UNSUPPORTED, "Wherry makes no network interfaces of type %.*s.",
			    STR(shape_word_text(&shape_ec2_network_interface_creation_type, (int32_t)in->interface_type)));
	*ret_address = list->count ? list->items[0].private_ip_address : in->private_ip_address;
	return true;
}

/* A request with the token of an earlier one has its answer. */
static bool repeat_interface(struct call *call, const struct ec2_create_network_interface_request *in,
			     const struct interface_entry **ret_interface)
{
	*ret_interface = NULL;
	if (str_empty(in->client_token))
		return true;
	EC2_EACH(call->realm, RECORD_NETWORK_INTERFACE, struct interface_entry, interface)
		if (str_equal(interface->record->client_token, in->client_token))
			*ret_interface = interface;
	return !*ret_interface || str_equal((*ret_interface)->record->subnet, in->subnet_id) || refuse_repeat(call);
}

bool ec2_create_network_interface(struct call *call, const struct ec2_create_network_interface_request *in,
				  struct ec2_create_network_interface_result *out)
{
	struct interface_plan plan = {.subnet_id = in->subnet_id, .groups = {in->groups.items, in->groups.count},
				      .description = in->description};
	const struct interface_entry *interface;

	if (!object_find(call, RECORD_SUBNET, in->subnet_id, "subnetId") || !check_addresses(call, in, &plan.address) ||
	    !tags_of_request(call, &in->tag_specifications, EC2_RESOURCE_TYPE_NETWORK_INTERFACE, &plan.tags))
		return false;
	if (in->description.len > DESCRIPTION_LIMIT)
		return fail(&call->error, ERROR_INVALID_PARAMETER_VALUE, "The description can have at most %d characters.",
			    DESCRIPTION_LIMIT);
	if (!dry_run_ends(call, in->dry_run) || !repeat_interface(call, in, &interface))
		return false;
	if (!interface)
		interface = interface_make(call->plane, call->realm, &plan, in->client_token, &call->error);
	if (!interface)
		return false;
	out->client_token = in->client_token;
	out->network_interface = arena_new(call->arena, struct ec2_network_interface);
	describe_interface(call, &interface->entry, out->network_interface);
	return true;
}

bool ec2_delete_network_interface(struct call *call, const struct ec2_delete_network_interface_request *in,
				  struct ec2_delete_network_interface_response *out)
{
	struct interface_entry *interface = object_find(call, RECORD_NETWORK_INTERFACE, in->network_interface_id, "networkInterfaceId");

	if (!interface)
		return false;
	if (interface->record->requester_managed.value)
		return fail(&call->error, ERROR_OPERATION_NOT_PERMITTED, "You are not allowed to manage '%.*s': it is managed by another "
			    "service.", STR(in->network_interface_id));
	if (str_has(interface->record->attachment))
		return fail(&call->error, ERROR_INVALID_PARAMETER_VALUE, "Network interface '%.*s' is currently in use.",
			    STR(in->network_interface_id));
	if (!dry_run_ends(call, in->dry_run))
		return false;
	interface_delete(call->plane, interface);
	return true;
}
