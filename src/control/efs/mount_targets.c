#include "api/efs_handlers.h"
#include <assert.h>
#include "control/ec2/ec2.h"
#include "control/ec2/names.h"
#include "control/ec2/state.h"
#include "control/efs/state.h"
#include "control/paging.h"

/* ---- what EC2 refuses, in EFS's words */
static const struct {
	enum error_code ec2, efs;
} translations[] = {
	{ERROR_SUBNET_NOT_FOUND, ERROR_EFS_SUBNET_NOT_FOUND},
	{ERROR_SUBNET_MALFORMED, ERROR_EFS_SUBNET_NOT_FOUND},
	{ERROR_GROUP_NOT_FOUND, ERROR_EFS_SECURITY_GROUP_NOT_FOUND},
	{ERROR_GROUP_MALFORMED, ERROR_EFS_SECURITY_GROUP_NOT_FOUND},
	{ERROR_ADDRESS_IN_USE, ERROR_EFS_IP_ADDRESS_IN_USE},
	{ERROR_INSUFFICIENT_FREE_ADDRESSES, ERROR_EFS_NO_FREE_ADDRESSES},
};

static bool fail_as_efs(struct call *call)
{
	for (size_t i = 0; i < COUNT(translations); i++)
		if (translations[i].ec2 == call->error.code) {
			call->error.code = translations[i].efs;
			return false;
		}
	if (error_http_status(call->error.code) < 500)
		call->error.code = ERROR_EFS_BAD_REQUEST;
	return false;
}

static void describe(struct call *call, const struct mount_target *target, struct efs_mount_target_description *out)
{
	struct str region = call->realm->region;

	*out = (struct efs_mount_target_description){
		.owner_id = call->realm->account,
		.mount_target_id = target->id,
		.file_system_id = target->file_system,
		.subnet_id = target->subnet,
		.life_cycle_state = EFS_LIFE_CYCLE_STATE_AVAILABLE,
		.ip_address = target->address,
		.network_interface_id = target->interface,
		.availability_zone_id = zone_id(call->arena, region, zone_number(call->arena, region, target->zone)),
		.availability_zone_name = target->zone,
		.vpc_id = target->vpc,
	};
}

/* ---- making */

static bool check_groups(struct call *call, const struct efs_security_groups *groups, struct str vpc)
{
	if (groups->count > EFS_GROUPS_LIMIT)
		return fail(&call->error, ERROR_EFS_SECURITY_GROUP_LIMIT_EXCEEDED,
			    "A mount target can have at most %d security groups.", EFS_GROUPS_LIMIT);
	for (size_t i = 0; i < groups->count; i++) {
		struct group_entry *group = group_find(call->plane, call->realm, groups->items[i]);

		if (!group || !str_equal(group->record->vpc, vpc))
			return fail(&call->error, ERROR_EFS_SECURITY_GROUP_NOT_FOUND,
				    "One of the specified security groups does not exist in the subnet's VPC: '%.*s'.",
				    STR(groups->items[i]));
	}
	return true;
}

/* One a zone, and all in one VPC. */
static bool check_others(struct call *call, const struct file_system_entry *file_system, struct str vpc, struct str zone)
{
	struct sorted_node *node = sorted_first(&file_system->mount_targets);

	if (str_has(file_system->record->zone) && !str_equal(file_system->record->zone, zone))
		return fail(&call->error, ERROR_EFS_AVAILABILITY_ZONES_MISMATCH,
			    "The file system is in the Availability Zone '%.*s', the subnet in '%.*s'.",
			    STR(file_system->record->zone), STR(zone));
	for (; node; node = sorted_after(&file_system->mount_targets, node->key)) {
		const struct mount_target *target = CONTAINER_OF(node, struct mount_target_entry, by_id)->record;

		if (!str_equal(target->vpc, vpc))
			return fail(&call->error, ERROR_EFS_MOUNT_TARGET_CONFLICT,
				    "requested subnet for new mount target is not in the same VPC as existing mount targets");
		if (str_equal(target->zone, zone))
			return fail(&call->error, ERROR_EFS_MOUNT_TARGET_CONFLICT,
				    "mount target already exists in this AZ");
	}
	return true;
}

static bool check_new(struct call *call, const struct efs_create_mount_target_request *in,
		      struct file_system_entry **ret_file_system, struct str *ret_zone)
{
	struct subnet_entry *subnet;

	*ret_file_system = efs_need_file_system(call, in->file_system_id);
	if (!*ret_file_system)
		return false;
	if (str_has(in->ipv6_address) || (in->ip_address_type && in->ip_address_type != EFS_IP_ADDRESS_TYPE_IPV4_ONLY))
		return fail(&call->error, ERROR_EFS_BAD_REQUEST, "Mount targets have IPv4 addresses only.");
	subnet = subnet_find(call->plane, call->realm, in->subnet_id);
	if (!subnet)
		return fail(&call->error, ERROR_EFS_SUBNET_NOT_FOUND, "The subnet ID '%.*s' does not exist",
			    STR(in->subnet_id));
	*ret_zone = subnet->record->zone;
	return check_others(call, *ret_file_system, subnet->record->vpc, *ret_zone) &&
	       check_groups(call, &in->security_groups, subnet->record->vpc);
}

bool efs_create_mount_target(struct call *call, const struct efs_create_mount_target_request *in,
			     struct efs_mount_target_description *out)
{
	struct mount_target next = {.id = efs_new_id(call, S("fsmt")), .subnet = in->subnet_id};
	struct interface_plan plan = {.subnet_id = in->subnet_id, .address = in->ip_address, .requester_managed = true,
				      .groups = {in->security_groups.items, in->security_groups.count}};
	struct file_system_entry *file_system;
	struct interface_view interface;

	if (!check_new(call, in, &file_system, &next.zone))
		return false;
	next.file_system = file_system->record->id;
	plan.description = arena_printf(call->arena, "EFS mount target for %.*s (%.*s)", STR(next.file_system), STR(next.id));
	if (!ec2_interface_create(call->plane, call->realm, &plan, &interface, &call->error))
		return fail_as_efs(call);
	next.vpc = interface.vpc_id;
	next.interface = interface.id;
	next.address = interface.private_address;
	emit(call->plane, call->realm, RECORD_MOUNT_TARGET, next.id, &next);
	describe(call, &next, out);
	out->life_cycle_state = EFS_LIFE_CYCLE_STATE_CREATING;
	return true;
}

bool efs_delete_mount_target(struct call *call, const struct efs_delete_mount_target_request *in,
			     struct efs_delete_mount_target_response *out)
{
	struct mount_target_entry *target = efs_need_mount_target(call, in->mount_target_id);

	if (!target)
		return false;
	ec2_interface_delete(call->plane, call->realm, target->record->interface);
	emit(call->plane, call->realm, RECORD_MOUNT_TARGET, in->mount_target_id, NULL);
	return true;
}

/* ---- showing */

static bool find_described(struct call *call, const struct efs_describe_mount_targets_request *in,
			   struct file_system_entry **ret_file_system, struct mount_target_entry **ret_target)
{
	struct access_point_entry *point;

	if (str_has(in->file_system_id) + str_has(in->mount_target_id) + str_has(in->access_point_id) != 1)
		return fail(&call->error, ERROR_EFS_BAD_REQUEST,
			    "Exactly one of FileSystemId, MountTargetId and AccessPointId must be given.");
	if (str_has(in->mount_target_id)) {
		*ret_target = efs_need_mount_target(call, in->mount_target_id);
		return *ret_target != NULL;
	}
	if (str_has(in->file_system_id)) {
		*ret_file_system = efs_need_file_system(call, in->file_system_id);
		return *ret_file_system != NULL;
	}
	point = efs_need_access_point(call, in->access_point_id);
	*ret_file_system = point ? point->file_system : NULL;
	return point != NULL;
}

static bool describe_all(struct call *call, const struct efs_describe_mount_targets_request *in,
			 const struct file_system_entry *file_system, struct efs_describe_mount_targets_response *out)
{
	struct page_request request = {.list = ARENA_JOIN(call->arena, S("DescribeMountTargets/"), file_system->record->id),
				       .token = in->marker, .max_results = in->max_items};
	struct page page;

	if (!efs_page(call, &file_system->mount_targets, &request, &page))
		return false;
	out->mount_targets.items = arena_array(call->arena, struct efs_mount_target_description, page.count);
	out->mount_targets.count = page.count;
	for (size_t i = 0; i < page.count; i++)
		describe(call, CONTAINER_OF(page.nodes[i], struct mount_target_entry, by_id)->record,
			 &out->mount_targets.items[i]);
	out->marker = in->marker;
	out->next_marker = page.next_token;
	return true;
}

bool efs_describe_mount_targets(struct call *call, const struct efs_describe_mount_targets_request *in,
				struct efs_describe_mount_targets_response *out)
{
	struct file_system_entry *file_system = NULL;
	struct mount_target_entry *target = NULL;

	if (!find_described(call, in, &file_system, &target))
		return false;
	if (file_system)
		return describe_all(call, in, file_system, out);
	out->mount_targets.items = arena_new(call->arena, struct efs_mount_target_description);
	out->mount_targets.count = 1;
	describe(call, target->record, out->mount_targets.items);
	return true;
}

/* ---- security groups: they are the interface's */

static const struct network_interface *interface_of(struct call *call, const struct mount_target_entry *target)
{
	struct interface_entry *interface = interface_find(call->plane, call->realm, target->record->interface);

	assert(interface);
	return interface->record;
}

bool efs_describe_mount_target_security_groups(struct call *call,
					       const struct efs_describe_mount_target_security_groups_request *in,
					       struct efs_describe_mount_target_security_groups_response *out)
{
	struct mount_target_entry *target = efs_need_mount_target(call, in->mount_target_id);
	const struct network_interface *interface;

	if (!target)
		return false;
	interface = interface_of(call, target);
	out->security_groups.items = interface->groups.items;
	out->security_groups.count = interface->groups.count;
	return true;
}

bool efs_modify_mount_target_security_groups(struct call *call,
					     const struct efs_modify_mount_target_security_groups_request *in,
					     struct efs_modify_mount_target_security_groups_response *out)
{
	struct mount_target_entry *target = efs_need_mount_target(call, in->mount_target_id);
	struct network_interface next;

	if (!target)
		return false;
	if (!in->security_groups.count)
		return fail(&call->error, ERROR_EFS_BAD_REQUEST, "A mount target needs at least one security group.");
	if (!check_groups(call, &in->security_groups, target->record->vpc))
		return false;
	next = *interface_of(call, target);
	next.groups.items = in->security_groups.items;
	next.groups.count = in->security_groups.count;
	emit(call->plane, call->realm, RECORD_NETWORK_INTERFACE, next.id, &next);
	return true;
}
