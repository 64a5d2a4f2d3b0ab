/* What the other rooms use: checking an awsvpcConfiguration, and interfaces for tasks. */
#include <assert.h>
#include "control/ec2/names.h"
#include "control/ec2/objects.h"
#include "control/ec2/state.h"

static const struct subnet_entry *check_subnet(struct call *call, struct str id)
{
	const struct subnet_entry *subnet = subnet_find(call->plane, call->realm, id);

	if (!subnet)
		fail(&call->error, ERROR_INVALID_PARAMETER, "Error retrieving subnet information for [%.*s]: The subnet ID '%.*s' "
		     "does not exist (ErrorCode: InvalidSubnetID.NotFound)", STR(id), STR(id));
	return subnet;
}

static bool check_subnets(struct call *call, const struct ecs_string_list *ids, const struct vpc_entry **ret_vpc)
{
	const struct vpc_entry *vpc = NULL;

	if (!ids->count)
		return fail(&call->error, ERROR_INVALID_PARAMETER, "subnets can not be empty.");
	if (ids->count > EC2_SUBNETS_PER_TASK_LIMIT)
		return fail(&call->error, ERROR_INVALID_PARAMETER, "subnets can have at most %d items.",
			    EC2_SUBNETS_PER_TASK_LIMIT);
	for (size_t i = 0; i < ids->count; i++) {
		const struct subnet_entry *subnet = check_subnet(call, ids->items[i]);

		if (!subnet)
			return false;
		if (vpc && subnet->vpc != vpc)
			return fail(&call->error, ERROR_INVALID_PARAMETER, "All subnets must be in the same VPC.");
		vpc = subnet->vpc;
	}
	*ret_vpc = vpc;
	return true;
}

bool ec2_check_network(struct call *call, const struct ecs_aws_vpc_configuration *network)
{
	const struct ecs_string_list *groups = &network->security_groups;
	const struct vpc_entry *vpc;

	if (!check_subnets(call, &network->subnets, &vpc))
		return false;
	if (groups->count > EC2_GROUPS_PER_TASK_LIMIT)
		return fail(&call->error, ERROR_INVALID_PARAMETER, "securityGroups can have at most %d items.",
			    EC2_GROUPS_PER_TASK_LIMIT);
	for (size_t i = 0; i < groups->count; i++) {
		const struct group_entry *group = group_find(call->plane, call->realm, groups->items[i]);

		if (!group)
			return fail(&call->error, ERROR_INVALID_PARAMETER, "Error retrieving security group information for [%.*s]: "
				    "The security group '%.*s' does not exist (ErrorCode: InvalidGroup.NotFound)",
				    STR(groups->items[i]), STR(groups->items[i]));
		if (group->vpc != vpc)
			return fail(&call->error, ERROR_INVALID_PARAMETER, "The security group '%.*s' does not belong to the VPC "
				    "'%.*s' of the subnets.", STR(groups->items[i]), STR(vpc->record->id));
	}
	return true;
}

struct str ec2_subnet_zone(struct plane *plane, const struct realm *realm, struct str subnet_id)
{
	const struct subnet_entry *subnet = subnet_find(plane, realm, subnet_id);

	return subnet ? subnet->record->zone : STR_NONE;
}

/* ---- making an interface */
static bool choose_address(const struct subnet_entry *subnet, struct str wanted, uint32_t *ret_address, struct error *err)
{
	struct ipv4_block block = subnet->pool.block;
	uint32_t address;

	if (!str_has(wanted)) {
		if (pool_find(&subnet->pool, ret_address))
			return true;
		return fail(err, ERROR_INSUFFICIENT_FREE_ADDRESSES, "There aren't sufficient free Ipv4 addresses or prefixes in subnet "
			    "'%.*s'", STR(subnet->record->id));
	}
	if (!ipv4_parse(wanted, &address))
		return fail(err, ERROR_INVALID_PARAMETER_VALUE, "invalid value for parameter address: %.*s", STR(wanted));
	if (!ipv4_block_has(block, address))
		return fail(err, ERROR_INVALID_PARAMETER_VALUE, "Address does not fall within the subnet's address range");
	if (address - block.base < SUBNET_RESERVED_HEAD || address - block.base == ipv4_block_size(block) - 1)
		return fail(err, ERROR_INVALID_PARAMETER_VALUE, "Address is in subnet's reserved address range");
	if (pool_has(&subnet->pool, address))
		return fail(err, ERROR_ADDRESS_IN_USE, "Address is in use.");
	*ret_address = address;
	return true;
}

/* `ret_groups->items` has room for all; one that is named twice counts once. */
static bool choose_groups(struct plane *plane, const struct subnet_entry *subnet, const struct ecs_string_list *wanted,
			  struct strings *ret_groups, struct error *err)
{
	struct strings groups = {arena_array(plane_arena(plane), struct str, wanted->count + 1), 0};

	for (size_t i = 0; i < wanted->count; i++) {
		const struct group_entry *group = group_find(plane, subnet->realm, wanted->items[i]);

		if (!group)
			return object_is_missing(err, RECORD_SECURITY_GROUP, wanted->items[i]);
		if (group->vpc != subnet->vpc)
			return fail(err, ERROR_INVALID_PARAMETER_VALUE, "You have specified two resources that belong to different "
				    "networks.");
		if (!str_listed(groups.items, groups.count, group->record->id))
			groups.items[groups.count++] = group->record->id;
	}
	if (!groups.count)
		groups.items[groups.count++] = group_named(subnet->vpc, S("default"))->record->id;
	if (groups.count > GROUPS_PER_INTERFACE_LIMIT)
		return fail(err, ERROR_GROUPS_PER_INTERFACE_LIMIT_EXCEEDED,
			    "You have exceeded the number of security groups allowed per network interface.");
	*ret_groups = groups;
	return true;
}

/* 40 random bits: within a VPC no two are the same for practical purposes. */
static struct str make_mac(struct plane *plane)
{
	uint64_t bits = random_next(plane_random(plane));

	return arena_printf(plane_arena(plane), "02:%02x:%02x:%02x:%02x:%02x", (unsigned)(bits >> 8 & 255),
			    (unsigned)(bits >> 16 & 255), (unsigned)(bits >> 24 & 255), (unsigned)(bits >> 32 & 255),
			    (unsigned)(bits >> 40 & 255));
}

static void fill_attachment(struct plane *plane, const struct interface_plan *plan, struct network_interface *record)
{
	if (!str_has(plan->instance_id))
		return;
	record->instance_account = plan->instance_account;
	record->instance_region = plan->instance_region;
	record->instance_cluster = plan->instance_cluster;
	record->instance = plan->instance_id;
	record->attachment = object_id(plane, S("eni-attach"));
	record->attached_at = (struct maybe_time){plane_now(plane), true};
}

bool public_address_find(struct plane *plane, struct str *ret_address, struct error *err)
{
	uint32_t address;

	if (!pool_find(&plane_ec2(plane)->public_addresses, &address))
		return fail(err, ERROR_ADDRESS_LIMIT_EXCEEDED, "Too many addresses: no public address is free.");
	*ret_address = ipv4_text(plane_arena(plane), address);
	return true;
}

struct interface_entry *interface_make(struct plane *plane, struct realm *realm, const struct interface_plan *plan,
				       struct str client_token, struct error *err)
{
	struct subnet_entry *subnet = subnet_find(plane, realm, plan->subnet_id);
	struct network_interface record = {.description = plan->description, .client_token = client_token,
					   .tags = plan->tags};
	uint32_t address;

	if (!subnet)
		return object_is_missing(err, RECORD_SUBNET, plan->subnet_id), NULL;
	if (ec2_objects(realm, RECORD_NETWORK_INTERFACE)->count >= INTERFACES_LIMIT)
		return fail(err, ERROR_INTERFACE_LIMIT_EXCEEDED, "The maximum number of network interfaces has been reached."), NULL;
	if (!choose_groups(plane, subnet, &plan->groups, &record.groups, err) ||
	    !choose_address(subnet, plan->address, &address, err) ||
	    (plan->public_address && !public_address_find(plane, &record.public_address, err)))
		return NULL;
	record.id = object_id(plane, S("eni"));
	record.subnet = subnet->record->id;
	record.address = ipv4_text(plane_arena(plane), address);
	record.mac = make_mac(plane);
	record.requester_managed = (struct maybe_boolean){plan->requester_managed, true};
	fill_attachment(plane, plan, &record);
	return emit(plane, realm, RECORD_NETWORK_INTERFACE, record.id, &record);
}

bool ec2_interface_create(struct plane *plane, struct realm *realm, const struct interface_plan *plan,
			  struct interface_view *ret_view, struct error *err)
{
	struct interface_entry *interface = interface_make(plane, realm, plan, STR_NONE, err);

	return interface && ec2_interface_view(plane, realm, interface->record->id, ret_view);
}

bool ec2_interface_view(struct plane *plane, const struct realm *realm, struct str id, struct interface_view *ret_view)
{
	const struct interface_entry *interface = interface_find(plane, realm, id);
	struct arena *arena = plane_arena(plane);
	const struct vpc_entry *vpc;
	struct ipv4_block block;

	if (!interface)
		return false;
	vpc = interface->subnet->vpc;
	block = interface->subnet->pool.block;
	*ret_view = (struct interface_view){
		.id = arena_copy(arena, interface->record->id),
		.vpc_id = arena_copy(arena, vpc->record->id),
		.subnet_id = arena_copy(arena, interface->record->subnet),
		.mac_address = arena_copy(arena, interface->record->mac),
		.private_address = arena_copy(arena, interface->record->address),
		.private_name = private_name(arena, realm, interface->address),
		.public_address = arena_copy(arena, interface_public_address(interface)),
		.gateway = arena_printf(arena, "%.*s/%u", STR(ipv4_text(arena, block.base + 1)), block.prefix),
		.domain = private_domain(arena, realm),
	};
	if (vpc->record->dns_support.value)
		ret_view->resolver = ipv4_text(arena, vpc->block.base + 2);
	return true;
}

void interface_delete(struct plane *plane, struct interface_entry *interface)
{
	if (interface->elastic) {
		struct elastic_address next = *interface->elastic->record;

		next.interface = next.association = STR_NONE;
		emit(plane, interface->realm, RECORD_ELASTIC_ADDRESS, next.id, &next);
	}
	emit(plane, interface->realm, RECORD_NETWORK_INTERFACE, interface->by_id.key, NULL);
}

void ec2_interface_delete(struct plane *plane, struct realm *realm, struct str id)
{
	struct interface_entry *interface = interface_find(plane, realm, id);

	if (interface)
		interface_delete(plane, interface);
}
