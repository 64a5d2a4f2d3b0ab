#include "control/ec2/groups.h"
#include "api/ec2_handlers.h"
#include "api/ec2.h"
#include "control/call.h"
#include "control/ec2/listing.h"
#include "control/ec2/objects.h"
#include "control/ec2/tags.h"

enum { NAME_LIMIT = 255 };

/* ---- describing */
static bool same_ports(const struct ec2_ip_permission *permission, const struct group_rule *rule)
{
	return str_equal(permission->ip_protocol, rule->protocol) &&
	       permission->from_port.has == rule->from_port.has && permission->from_port.value == rule->from_port.value &&
	       permission->to_port.has == rule->to_port.has && permission->to_port.value == rule->to_port.value;
}

static struct ec2_ip_permission *permission_for(struct call *call, struct ec2_ip_permission_list *list,
						const struct group_rule *rule, size_t room)
{
	struct ec2_ip_permission *permission;

	for (size_t i = 0; i < list->count; i++)
		if (same_ports(&list->items[i], rule))
			return &list->items[i];
	permission = &list->items[list->count++];
	*permission = (struct ec2_ip_permission){
		.ip_protocol = rule->protocol, .from_port = rule->from_port, .to_port = rule->to_port,
		.user_id_group_pairs = {arena_array(call->arena, struct ec2_user_id_group_pair, room), 0},
		.ip_ranges = {arena_array(call->arena, struct ec2_ip_range, room), 0},
		.ipv6_ranges = {arena_array(call->arena, struct ec2_ipv6_range, room), 0},
		.prefix_list_ids = {arena_array(call->arena, struct ec2_prefix_list_id, 0), 0}};
	return permission;
}

void describe_permissions(struct call *call, const struct group_entry *group, bool egress, struct ec2_ip_permission_list *list)
{
	const struct group_rules *rules = &group->record->rules;

	*list = (struct ec2_ip_permission_list){arena_array(call->arena, struct ec2_ip_permission, rules->count), 0};
	for (size_t i = 0; i < rules->count; i++) {
		const struct group_rule *rule = &rules->items[i];
		struct ec2_ip_permission *permission;

		if (rule->egress.value != egress)
			continue;
		permission = permission_for(call, list, rule, rules->count);
		if (str_has(rule->block))
			permission->ip_ranges.items[permission->ip_ranges.count++] =
				(struct ec2_ip_range){.cidr_ip = rule->block, .description = rule->description};
		else if (str_has(rule->block6))
			permission->ipv6_ranges.items[permission->ipv6_ranges.count++] =
				(struct ec2_ipv6_range){.cidr_ipv6 = rule->block6, .description = rule->description};
		else
			permission->user_id_group_pairs.items[permission->user_id_group_pairs.count++] =
				(struct ec2_user_id_group_pair){.group_id = rule->group, .user_id = group->realm->account,
								.description = rule->description};
	}
}

static void describe_group(struct call *call, const struct entry *entry, void *ret_description)
{
	const struct group_entry *group = (const struct group_entry *)entry;
	const struct security_group *record = group->record;
	struct ec2_security_group *out = ret_description;

	*out = (struct ec2_security_group){
		.group_id = record->id, .tags = tags_shown(call, &record->tags), .vpc_id = record->vpc,
		.security_group_arn = object_arn(call->plane, entry->realm, S("security-group"), record->id),
		.owner_id = entry->realm->account, .group_name = record->name, .description = record->description};
	describe_permissions(call, group, false, &out->ip_permissions);
	describe_permissions(call, group, true, &out->ip_permissions_egress);
}

static const struct filter_row group_filters[] = {
	{STR_INIT("group-id"), "groupId"}, {STR_INIT("group-name"), "groupName"}, {STR_INIT("vpc-id"), "vpcId"},
	{STR_INIT("description"), "groupDescription"}, {STR_INIT("owner-id"), "ownerId"},
	{STR_INIT("ip-permission.cidr"), "ipPermissions.ipRanges.cidrIp"},
	{STR_INIT("ip-permission.from-port"), "ipPermissions.fromPort"},
	{STR_INIT("ip-permission.group-id"), "ipPermissions.groups.groupId"},
	{STR_INIT("ip-permission.group-name"), "ipPermissions.groups.groupName"},
	{STR_INIT("ip-permission.ipv6-cidr"), "ipPermissions.ipv6Ranges.cidrIpv6"},
	{STR_INIT("ip-permission.prefix-list-id"), "ipPermissions.prefixListIds.prefixListId"},
	{STR_INIT("ip-permission.protocol"), "ipPermissions.ipProtocol"},
	{STR_INIT("ip-permission.to-port"), "ipPermissions.toPort"},
	{STR_INIT("ip-permission.user-id"), "ipPermissions.groups.userId"},
	{STR_INIT("egress.ip-permission.cidr"), "ipPermissionsEgress.ipRanges.cidrIp"},
	{STR_INIT("egress.ip-permission.from-port"), "ipPermissionsEgress.fromPort"},
	{STR_INIT("egress.ip-permission.group-id"), "ipPermissionsEgress.groups.groupId"},
	{STR_INIT("egress.ip-permission.ipv6-cidr"), "ipPermissionsEgress.ipv6Ranges.cidrIpv6"},
	{STR_INIT("egress.ip-permission.protocol"), "ipPermissionsEgress.ipProtocol"},
	{STR_INIT("egress.ip-permission.to-port"), "ipPermissionsEgress.toPort"},
	{STR_INIT("egress.ip-permission.user-id"), "ipPermissionsEgress.groups.userId"},
};

static const struct listing group_listing = {RECORD_SECURITY_GROUP, &shape_ec2_security_group, group_filters,
					     COUNT(group_filters), describe_group, "groupId"};

static struct group_entry *group_in_default_vpc(struct call *call, struct str name)
{
	const struct vpc_entry *vpc = default_vpc(call->realm);
	struct group_entry *group = vpc ? group_named(vpc, name) : NULL;

	if (!vpc)
		fail(&call->error, ERROR_DEFAULT_VPC_NOT_FOUND, "No default VPC for this user");
	else if (!group)
		fail(&call->error, ERROR_GROUP_NOT_FOUND, "The security group '%.*s' does not exist in default VPC '%.*s'", STR(name),
		     STR(vpc->record->id));
	return group;
}

/* Names of groups of the default VPC become ids. */
static bool find_names(struct call *call, const struct ec2_group_name_string_list *names, struct any_list *ids)
{
	struct str *all = arena_array(call->arena, struct str, ids->count + names->count);

	if (ids->count)
		memcpy(all, ids->items, ids->count * sizeof(*all));
	for (size_t i = 0; i < names->count; i++) {
		const struct group_entry *group = group_in_default_vpc(call, names->items[i]);

		if (!group)
			return false;
		all[ids->count + i] = group->record->id;
	}
	*ids = (struct any_list){all, ids->count + names->count};
	return true;
}

bool ec2_describe_security_groups(struct call *call, const struct ec2_describe_security_groups_request *in,
				  struct ec2_describe_security_groups_result *out)
{
	struct listing_request request = *LISTING_REQUEST(in, group_ids);

	if (in->group_names.count && !find_names(call, &in->group_names, &request.ids))
		return false;
	return listing_take(call, &group_listing, &request, &out->security_groups, &out->next_token);
}

/* ---- making and deleting */
struct group_entry *group_named_by(struct call *call, struct str id, struct str name)
{
	if (!str_empty(id))
		return object_find(call, RECORD_SECURITY_GROUP, id, "groupId");
	if (!str_empty(name))
		return group_in_default_vpc(call, name);
	fail(&call->error, ERROR_MISSING_PARAMETER, "The request must contain the parameter groupName or groupId");
	return NULL;
}

/* a-zA-Z0-9 and ._-:/()#,@[]+=&;{}!$* with blanks. */
static bool is_group_text(struct str text)
{
	for (size_t i = 0; i < text.len; i++) {
		char c = text.ptr[i];

		if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
		      (c && strchr(" ._-:/()#,@[]+=&;{}!$*", c))))
			return false;
	}
	return text.len <= NAME_LIMIT;
}

static bool check_texts(struct call *call, const struct ec2_create_security_group_request *in)
{
	if (str_empty(in->group_name))
		return fail(&call->error, ERROR_MISSING_PARAMETER, "The request must contain the parameter groupName");
	if (str_empty(in->description))
		return fail(&call->error, ERROR_MISSING_PARAMETER, "The request must contain the parameter groupDescription");
	if (str_starts(in->group_name, S("sg-")))
		return fail(&call->error, ERROR_INVALID_PARAMETER_VALUE, "Invalid group name. Group names may not be in the format sg-*.");
	if (str_equal(in->group_name, S("default")))
		return fail(&call->error, ERROR_GROUP_RESERVED, "The security group 'default' is reserved");
	if (!is_group_text(in->group_name))
		return fail(&call->error, ERROR_INVALID_PARAMETER_VALUE, "Value (%.*s) for parameter GroupName is invalid. Valid names "
			    "are non-empty strings less than 256 characters from the following set:  a-zA-Z0-9. _-:/()#,@[]+=&;{}!$*",
			    STR(str_slice(in->group_name, 0, NAME_LIMIT)));
	if (!is_group_text(in->description))
		return fail(&call->error, ERROR_INVALID_PARAMETER_VALUE, "Value (%.*s) for parameter GroupDescription is invalid. Invalid "
			    "security group description. Valid descriptions are strings less than 256 characters from the "
			    "following set:  a-zA-Z0-9. _-:/()#,@[]+=&;{}!$*", STR(str_slice(in->description, 0, 64)));
	return true;
}

static struct vpc_entry *choose_vpc(struct call *call, struct str id)
{
	struct vpc_entry *vpc = str_empty(id) ? default_vpc(call->realm) : object_find(call, RECORD_VPC, id, "vpcId");

	if (!vpc && str_empty(id))
		fail(&call->error, ERROR_VPC_NOT_SPECIFIED, "No default VPC for this user");
	return vpc;
}

bool ec2_create_security_group(struct call *call, const struct ec2_create_security_group_request *in,
			       struct ec2_create_security_group_result *out)
{
	struct vpc_entry *vpc;
	const struct group_entry *group;
	struct ec2_tag_list tags;

	if (!check_texts(call, in))
		return false;
	vpc = choose_vpc(call, in->vpc_id);
	if (!vpc || !tags_of_request(call, &in->tag_specifications, EC2_RESOURCE_TYPE_SECURITY_GROUP, &tags))
		return false;
	if (group_named(vpc, in->group_name))
		return fail(&call->error, ERROR_GROUP_DUPLICATE, "The security group '%.*s' already exists for VPC '%.*s'",
			    STR(in->group_name), STR(vpc->record->id));
	if (ec2_objects(call->realm, RECORD_SECURITY_GROUP)->count >= GROUPS_LIMIT)
		return fail(&call->error, ERROR_GROUP_LIMIT_EXCEEDED, "The maximum number of security groups has been reached.");
	if (!dry_run_ends(call, in->dry_run))
		return false;
	group = group_make(call->plane, vpc, in->group_name, in->description, false, &tags);
	out->group_id = group->record->id;
	out->tags = tags;
	out->security_group_arn = object_arn(call->plane, call->realm, S("security-group"), group->record->id);
	return true;
}

static bool is_used(const struct group_entry *group)
{
	if (group->member_count)
		return true;
	for (size_t i = 0; i < group->referrers.count; i++)
		if (group->referrers.items[i] != group)
			return true;
	return false;
}

bool ec2_delete_security_group(struct call *call, const struct ec2_delete_security_group_request *in,
			       struct ec2_delete_security_group_result *out)
{
	struct group_entry *group = group_named_by(call, in->group_id, in->group_name);

	if (!group)
		return false;
	if (str_equal(group->record->name, S("default")))
		return fail(&call->error, ERROR_CANNOT_DELETE, "the specified group: \"%.*s\" name: \"default\" cannot be deleted by a "
			    "user", STR(group->record->id));
	if (is_used(group))
		return fail(&call->error, ERROR_DEPENDENCY_VIOLATION, "resource %.*s has a dependent object", STR(group->record->id));
	if (!dry_run_ends(call, in->dry_run))
		return false;
	out->return_ = (struct maybe_boolean){true, true};
	out->group_id = arena_copy(call->arena, group->record->id);
	emit(call->plane, call->realm, RECORD_SECURITY_GROUP, group->by_id.key, NULL);
	return true;
}
