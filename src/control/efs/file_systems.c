#include "api/efs_handlers.h"
#include "control/ec2/names.h"
#include "control/efs/state.h"
#include "control/paging.h"

enum { METERED_BYTES = 6144 };                           /* of an empty file system, as AWS counts */

static struct efs_tags shown_tags(struct call *call, const struct efs_tags *tags)
{
	return tags->items ? *tags : (struct efs_tags){arena_array(call->arena, struct efs_tag, 0), 0};
}

/* Nobody measures the files: they are on machines. */
static struct efs_file_system_size *shown_size(struct call *call)
{
	struct efs_file_system_size *size = arena_new(call->arena, struct efs_file_system_size);

	size->value = size->value_in_standard = (struct maybe_long){METERED_BYTES, true};
	size->value_in_ia = size->value_in_archive = (struct maybe_long){0, true};
	return size;
}

static void describe(struct call *call, const struct file_system_entry *entry, struct efs_file_system_description *out)
{
	const struct file_system *file_system = entry->record;

	*out = (struct efs_file_system_description){
		.owner_id = call->realm->account,
		.creation_token = file_system->creation_token,
		.file_system_id = file_system->id,
		.file_system_arn = efs_arn(call, S("file-system"), file_system->id),
		.creation_time = file_system->created_at,
		.life_cycle_state = EFS_LIFE_CYCLE_STATE_AVAILABLE,
		.name = efs_name_tag(&file_system->tags),
		.number_of_mount_targets = {(int32_t)entry->mount_targets.count, true},
		.size_in_bytes = shown_size(call),
		.performance_mode = file_system->performance_mode,
		.encrypted = {file_system->encrypted.value, true},
		.kms_key_id = file_system->kms_key_id,
		.throughput_mode = file_system->throughput_mode,
		.provisioned_throughput_in_mibps = file_system->provisioned_throughput,
		.availability_zone_name = file_system->zone,
		.tags = shown_tags(call, &file_system->tags),
		.file_system_protection = arena_new(call->arena, struct efs_file_system_protection_description),
	};
	out->file_system_protection->replication_overwrite_protection = EFS_REPLICATION_OVERWRITE_PROTECTION_ENABLED;
	if (str_has(file_system->zone))
		out->availability_zone_id =
			zone_id(call->arena, call->realm->region,
				zone_number(call->arena, call->realm->region, file_system->zone));
}

static bool check_throughput(struct call *call, enum efs_throughput_mode mode, struct maybe_double provisioned,
			     enum efs_performance_mode performance)
{
	if (mode == EFS_THROUGHPUT_MODE_PROVISIONED && !provisioned.has)
		return efs_refuse(call, "ProvisionedThroughputInMibps is required when ThroughputMode is provisioned.");
	if (mode != EFS_THROUGHPUT_MODE_PROVISIONED && provisioned.has)
		return efs_refuse(call, "ProvisionedThroughputInMibps needs ThroughputMode provisioned.");
	if (mode == EFS_THROUGHPUT_MODE_ELASTIC && performance == EFS_PERFORMANCE_MODE_MAX_IO)
		return efs_refuse(call, "Elastic throughput is not supported with performance mode maxIO.");
	return true;
}

static bool check_zone(struct call *call, const struct efs_create_file_system_request *in)
{
	struct str region = call->realm->region, zone = in->availability_zone_name;

	if (!str_has(zone))
		return true;
	if (zone_number(call->arena, region, zone) < 0)
		return fail(&call->error, ERROR_EFS_UNSUPPORTED_AVAILABILITY_ZONE,
			    "The Availability Zone '%.*s' does not exist in this Region.", STR(zone));
	if (in->performance_mode == EFS_PERFORMANCE_MODE_MAX_IO)
		return efs_refuse(call, "Performance mode maxIO is not supported with One Zone storage classes.");
	return true;
}

static bool check_token(struct call *call, struct str token)
{
	struct sorted_node *node = sorted_get(&call->realm->file_system_tokens, token);
	struct file_system_entry *other;

	if (!node)
		return true;
	other = CONTAINER_OF(node, struct file_system_entry, by_token);
	call->resource_ids.items = arena_new(call->arena, struct str);
	call->resource_ids.items[0] = other->record->id;
	call->resource_ids.count = 1;
	return fail(&call->error, ERROR_EFS_FILE_SYSTEM_ALREADY_EXISTS,
		    "File system '%.*s' already exists with creation token '%.*s'", STR(other->record->id), STR(token));
}

static bool check_new(struct call *call, const struct efs_create_file_system_request *in)
{
	if (!check_token(call, in->creation_token) || !efs_check_tags(call, &in->tags) || !check_zone(call, in) ||
	    !check_throughput(call, in->throughput_mode, in->provisioned_throughput_in_mibps, in->performance_mode))
		return false;
	if (str_has(in->kms_key_id) && !in->encrypted.value)
		return efs_refuse(call, "KmsKeyId needs Encrypted to be true.");
	if (in->backup.value)
		return efs_refuse(call, "Wherry does not back up file systems: leave Backup out or set it to false.");
	if (call->realm->file_systems.count >= EFS_FILE_SYSTEMS_LIMIT)
		return fail(&call->error, ERROR_EFS_FILE_SYSTEM_LIMIT_EXCEEDED,
			    "You have reached the maximum number of file systems (%d).", EFS_FILE_SYSTEMS_LIMIT);
	return true;
}

bool efs_create_file_system(struct call *call, const struct efs_create_file_system_request *in,
			    struct efs_file_system_description *out)
{
	struct file_system next = {
		.creation_token = in->creation_token, .created_at = {plane_now(call->plane), true},
		.performance_mode = in->performance_mode ? in->performance_mode : EFS_PERFORMANCE_MODE_GENERAL_PURPOSE,
		.throughput_mode = in->throughput_mode ? in->throughput_mode : EFS_THROUGHPUT_MODE_BURSTING,
		.provisioned_throughput = in->provisioned_throughput_in_mibps, .encrypted = in->encrypted,
		.kms_key_id = in->kms_key_id, .tags = in->tags,
	};
	struct str region = call->realm->region, zone = in->availability_zone_name;

	if (!check_new(call, in))
		return false;
	if (str_has(zone))
		next.zone = zone_name(call->arena, region, zone_number(call->arena, region, zone));
	next.id = efs_new_id(call, S("fs"));
	describe(call, emit(call->plane, call->realm, RECORD_FILE_SYSTEM, next.id, &next), out);
	out->life_cycle_state = EFS_LIFE_CYCLE_STATE_CREATING;
	return true;
}

static bool token_fits(const struct sorted_node *node, const void *arg)
{
	const struct str *token = arg;

	return str_equal(CONTAINER_OF(node, struct file_system_entry, by_id)->record->creation_token, *token);
}

/* One by its id; or those that have the token, or all. */
static bool describe_one(struct call *call, const struct efs_describe_file_systems_request *in,
			 struct efs_describe_file_systems_response *out)
{
	struct file_system_entry *file_system = efs_need_file_system(call, in->file_system_id);

	if (!file_system)
		return false;
	out->file_systems.items = arena_new(call->arena, struct efs_file_system_description);
	if (str_has(in->creation_token) && !str_equal(in->creation_token, file_system->record->creation_token))
		return true;
	out->file_systems.count = 1;
	describe(call, file_system, out->file_systems.items);
	return true;
}

bool efs_describe_file_systems(struct call *call, const struct efs_describe_file_systems_request *in,
			       struct efs_describe_file_systems_response *out)
{
	struct page_request request = {
		.list = ARENA_JOIN(call->arena, S("DescribeFileSystems/"), in->creation_token), .token = in->marker,
		.max_results = in->max_items, .fits = str_has(in->creation_token) ? token_fits : NULL,
		.arg = &in->creation_token,
	};
	struct page page;

	if (str_has(in->file_system_id))
		return describe_one(call, in, out);
	if (!efs_page(call, &call->realm->file_systems, &request, &page))
		return false;
	out->file_systems.items = arena_array(call->arena, struct efs_file_system_description, page.count);
	out->file_systems.count = page.count;
	for (size_t i = 0; i < page.count; i++)
		describe(call, CONTAINER_OF(page.nodes[i], struct file_system_entry, by_id), &out->file_systems.items[i]);
	out->marker = in->marker;
	out->next_marker = page.next_token;
	return true;
}

bool efs_update_file_system(struct call *call, const struct efs_update_file_system_request *in,
			    struct efs_file_system_description *out)
{
	struct file_system_entry *entry = efs_need_file_system(call, in->file_system_id);
	struct file_system next;

	if (!entry)
		return false;
	next = *entry->record;
	if (in->throughput_mode && in->throughput_mode != next.throughput_mode) {
		next.throughput_mode = in->throughput_mode;
		next.provisioned_throughput.has = false;
	}
	if (in->provisioned_throughput_in_mibps.has)
		next.provisioned_throughput = in->provisioned_throughput_in_mibps;
	if (!in->throughput_mode && !in->provisioned_throughput_in_mibps.has)
		return efs_refuse(call, "One or more of ThroughputMode and ProvisionedThroughputInMibps must be given.");
	if (!check_throughput(call, next.throughput_mode, next.provisioned_throughput, next.performance_mode))
		return false;
	emit(call->plane, call->realm, RECORD_FILE_SYSTEM, next.id, &next);
	describe(call, entry, out);
	return true;
}

bool efs_delete_file_system(struct call *call, const struct efs_delete_file_system_request *in,
			    struct efs_delete_file_system_response *out)
{
	struct file_system_entry *entry = efs_need_file_system(call, in->file_system_id);
	struct sorted_node *node;

	if (!entry)
		return false;
	if (entry->mount_targets.count)
		return fail(&call->error, ERROR_EFS_FILE_SYSTEM_IN_USE,
			    "File system '%.*s' has one or more mount targets.", STR(entry->record->id));
	while ((node = sorted_first(&entry->access_points)))
		emit(call->plane, call->realm, RECORD_ACCESS_POINT, arena_copy(call->arena, node->key), NULL);
	efs_forget_file_system(call, entry);
	return true;
}

/* ---- lifecycle policies: kept and shown; files never move, for there is one kind of storage */

static bool check_policies(struct call *call, const struct efs_lifecycle_policies *policies)
{
	int to_ia = 0, to_primary = 0, to_archive = 0;

	for (size_t i = 0; i < policies->count; i++) {
		const struct efs_lifecycle_policy *policy = &policies->items[i];

		if (!!policy->transition_to_ia + !!policy->transition_to_primary_storage_class +
			    !!policy->transition_to_archive != 1)
			return efs_refuse(call, "Each LifecyclePolicy object must have exactly one transition.");
		to_ia += !!policy->transition_to_ia;
		to_primary += !!policy->transition_to_primary_storage_class;
		to_archive += !!policy->transition_to_archive;
	}
	if (to_ia > 1 || to_primary > 1 || to_archive > 1)
		return efs_refuse(call, "A transition can be given only once.");
	return true;
}

static struct efs_lifecycle_policies shown_policies(struct call *call, const struct efs_lifecycle_policies *policies)
{
	struct efs_lifecycle_policies shown = {arena_array(call->arena, struct efs_lifecycle_policy, 0), 0};

	return policies->items ? *policies : shown;
}

bool efs_put_lifecycle_configuration(struct call *call, const struct efs_put_lifecycle_configuration_request *in,
				     struct efs_lifecycle_configuration_description *out)
{
	struct file_system_entry *entry = efs_need_file_system(call, in->file_system_id);
	struct file_system next;

	if (!entry || !check_policies(call, &in->lifecycle_policies))
		return false;
	next = *entry->record;
	next.lifecycle_policies = in->lifecycle_policies;
	emit(call->plane, call->realm, RECORD_FILE_SYSTEM, next.id, &next);
	out->lifecycle_policies = shown_policies(call, &entry->record->lifecycle_policies);
	return true;
}

bool efs_describe_lifecycle_configuration(struct call *call,
					  const struct efs_describe_lifecycle_configuration_request *in,
					  struct efs_lifecycle_configuration_description *out)
{
	struct file_system_entry *entry = efs_need_file_system(call, in->file_system_id);

	if (!entry)
		return false;
	out->lifecycle_policies = shown_policies(call, &entry->record->lifecycle_policies);
	return true;
}

/* ---- what no file system has here: clients ask, and take this for "none" */

bool efs_describe_file_system_policy(struct call *call, const struct efs_describe_file_system_policy_request *in,
				     struct efs_file_system_policy_description *out)
{
	return efs_need_file_system(call, in->file_system_id) &&
	       fail(&call->error, ERROR_EFS_POLICY_NOT_FOUND, "Policy not found for file system '%.*s'.",
		    STR(in->file_system_id));
}

bool efs_describe_backup_policy(struct call *call, const struct efs_describe_backup_policy_request *in,
				struct efs_backup_policy_description *out)
{
	return efs_need_file_system(call, in->file_system_id) &&
	       fail(&call->error, ERROR_EFS_POLICY_NOT_FOUND, "Backup policy not found for file system '%.*s'.",
		    STR(in->file_system_id));
}

bool efs_describe_replication_configurations(struct call *call,
					     const struct efs_describe_replication_configurations_request *in,
					     struct efs_describe_replication_configurations_response *out)
{
	out->replications.items = arena_array(call->arena, struct efs_replication_configuration_description, 0);
	if (!str_has(in->file_system_id))
		return true;
	return efs_need_file_system(call, in->file_system_id) &&
	       fail(&call->error, ERROR_EFS_REPLICATION_NOT_FOUND, "File system '%.*s' has no replication configuration.",
		    STR(in->file_system_id));
}

bool efs_describe_account_preferences(struct call *call, const struct efs_describe_account_preferences_request *in,
				      struct efs_describe_account_preferences_response *out)
{
	struct efs_resource_id_preference *preference = arena_new(call->arena, struct efs_resource_id_preference);

	preference->resource_id_type = EFS_RESOURCE_ID_TYPE_LONG_ID;
	preference->resources.items = arena_array(call->arena, enum efs_resource, 2);
	preference->resources.count = 2;
	preference->resources.items[0] = EFS_RESOURCE_FILE_SYSTEM;
	preference->resources.items[1] = EFS_RESOURCE_MOUNT_TARGET;
	out->resource_id_preference = preference;
	return true;
}
