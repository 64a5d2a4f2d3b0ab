/* EFS (neighbours 9): file systems, mount targets, access points, tags; and what ECS learns of them. */
#include "control/ec2/state.h"
#include "control/efs/efs.h"
#include "control/internal.h"
#include "test/unit/control/desk.h"
#include "wire/json.h"

#define efs_call(desk, operation, ...) desk_ask((desk), "efs:" operation, __VA_ARGS__)
#define EXPECT_EFS(desk, operation, expected, ...) EXPECT_STR(efs_call((desk), operation, __VA_ARGS__), str_of(expected))

static const char *make_file_system(struct desk *desk, const char *token)
{
	struct str reply = efs_call(desk, "CreateFileSystem", "{'CreationToken':'%s'}", token);

	return arena_cstr(&desk->arena, desk_pick(desk, reply, "FileSystemId"));
}

/* A desk with a file system, whose id is given. */
static const char *begin(struct desk *desk)
{
	desk_init(desk);
	return make_file_system(desk, "a");
}

/* Of the default VPC, which the first EC2 call makes. */
static const char *subnet_in(struct desk *desk, const char *zone)
{
	return arena_cstr(&desk->arena, desk_subnet(desk, zone));
}

static struct str vpc_id(struct desk *desk)
{
	return desk_pick(desk, desk_call(desk, "ec2:DescribeVpcs", "{}"), "vpcId");
}

struct wanted {
	enum record_kind kind;
	struct str id;
	bool found;
};

static void look(void *arg, enum record_kind kind, struct str key, const void *value)
{
	struct wanted *wanted = arg;

	if (kind == wanted->kind && str_ends(key, wanted->id))
		wanted->found = true;
}

static bool exists(struct desk *desk, enum record_kind kind, struct str id)
{
	struct wanted wanted = {kind, id, false};

	plane_visit(desk->plane, look, &wanted);
	return wanted.found;
}

TEST(a_file_system_is_made_and_shown)
{
	auto_desk desk;
	struct str reply;
	const char *id;

	desk_init(&desk);
	reply = efs_call(&desk, "CreateFileSystem", "{'CreationToken':'a','Tags':[{'Key':'Name','Value':'web'}]}");
	id = arena_cstr(&desk.arena, desk_pick(&desk, reply, "FileSystemId"));
	assert_int_equal(strlen(id), 3 + 17);
	EXPECT_STR(desk_pick(&desk, reply, "LifeCycleState"), S("creating"));
	EXPECT_STR(efs_call(&desk, "DescribeFileSystems", "{'FileSystemId':'%s'}", id),
		   arena_printf(&desk.arena, "{'FileSystems':[{'OwnerId':'123456789012','CreationToken':'a','FileSystemId':'%s',"
				"'FileSystemArn':'arn:aws:elasticfilesystem:us-east-1:123456789012:file-system/%s',"
				"'CreationTime':1700000000,'LifeCycleState':'available','Name':'web','NumberOfMountTargets':0,"
				"'SizeInBytes':{'Value':6144,'ValueInIA':0,'ValueInStandard':6144,'ValueInArchive':0},"
				"'PerformanceMode':'generalPurpose','Encrypted':false,'ThroughputMode':'bursting',"
				"'Tags':[{'Key':'Name','Value':'web'}],"
				"'FileSystemProtection':{'ReplicationOverwriteProtection':'ENABLED'}}]}", id, id));
	EXPECT_EFS(&desk, "DescribeFileSystems", "{'FileSystems':[]}", "{'CreationToken':'b'}");
	EXPECT_EFS(&desk, "DescribeFileSystems", "FileSystemNotFound: File system 'fs-1' does not exist.",
		   "{'FileSystemId':'fs-1'}");
}

TEST(a_creation_token_is_used_once)
{
	auto_desk desk;
	const char *id;

	id = begin(&desk);
	EXPECT_STR(efs_call(&desk, "CreateFileSystem", "{'CreationToken':'a'}"),
		   arena_printf(&desk.arena, "FileSystemAlreadyExists: File system '%s' already exists with creation token 'a'", id));
	EXPECT_STR(desk.effects.replies.items[0].resource_ids.items[0], str_of(id));
	EXPECT_EFS(&desk, "DeleteFileSystem", "{}", "{'FileSystemId':'%s'}", id);
	make_file_system(&desk, "a");
}

static struct str deleted_of(struct desk *desk, const char *names)
{
	return desk_ask(desk, "wherry:DeletedFileSystems", "{'fileSystems':[%s]}", names);
}

TEST(a_machine_hears_which_file_systems_were_deleted)
{
	auto_desk desk;
	const char *id = begin(&desk), *kept = make_file_system(&desk, "b");
	const char *names = desk_text(&desk, "'%s','fs-0123456789abcdef0','%s','..'", id, kept);

	EXPECT_STR(deleted_of(&desk, names), S("{'deleted':[]}"));
	EXPECT_EFS(&desk, "DeleteFileSystem", "{}", "{'FileSystemId':'%s'}", id);
	EXPECT_STR(deleted_of(&desk, names), arena_printf(&desk.arena, "{'deleted':['%s']}", id));
	EXPECT_STR(efs_call(&desk, "DescribeFileSystems", "{'FileSystemId':'%s'}", id),
		   arena_printf(&desk.arena, "FileSystemNotFound: File system '%s' does not exist.", id));
	EXPECT_STR(efs_call(&desk, "DeleteFileSystem", "{'FileSystemId':'%s'}", id),
		   arena_printf(&desk.arena, "FileSystemNotFound: File system '%s' does not exist.", id));
	assert_true(str_contains(efs_call(&desk, "DescribeFileSystems", "{}"), str_of(kept)));
	assert_false(str_contains(efs_call(&desk, "DescribeFileSystems", "{}"), str_of(id)));
}

TEST(the_oldest_of_the_deleted_is_forgotten)
{
	auto_desk desk;
	const char *first = begin(&desk), *last = NULL;

	EXPECT_EFS(&desk, "DeleteFileSystem", "{}", "{'FileSystemId':'%s'}", first);
	for (int i = 0; i < EFS_DELETED_LIMIT; i++) {
		if (i == EFS_DELETED_LIMIT - 1)
			assert_true(exists(&desk, RECORD_FILE_SYSTEM, str_of(first)));
		desk_wait(&desk, USEC_PER_SEC);
		last = make_file_system(&desk, "a");
		EXPECT_EFS(&desk, "DeleteFileSystem", "{}", "{'FileSystemId':'%s'}", last);
	}
	assert_false(exists(&desk, RECORD_FILE_SYSTEM, str_of(first)));
	assert_true(exists(&desk, RECORD_FILE_SYSTEM, str_of(last)));
}

TEST(a_machine_asks_for_a_limited_number_of_file_systems)
{
	auto_desk desk;
	auto_buffer names = {0};

	desk_init(&desk);
	for (int i = 0; i < EFS_ASKED_LIMIT; i++)
		buffer_printf(&names, "%s'fs-%d'", i ? "," : "", i);
	EXPECT_STR(deleted_of(&desk, arena_cstr(&desk.arena, buffer_str(&names))), S("{'deleted':[]}"));
	buffer_add(&names, S(",'fs-x'"));
	EXPECT_STR(deleted_of(&desk, arena_cstr(&desk.arena, buffer_str(&names))),
		   S("InvalidParameterException: fileSystems has more than 1000 members."));
}

TEST(wrong_file_systems_are_refused)
{
	auto_desk desk;

	desk_init(&desk);
	EXPECT_EFS(&desk, "CreateFileSystem", "BadRequest: ProvisionedThroughputInMibps is required when ThroughputMode is provisioned.",
		   "{'CreationToken':'a','ThroughputMode':'provisioned'}");
	EXPECT_EFS(&desk, "CreateFileSystem", "BadRequest: ProvisionedThroughputInMibps needs ThroughputMode provisioned.",
		   "{'CreationToken':'a','ProvisionedThroughputInMibps':1}");
	EXPECT_EFS(&desk, "CreateFileSystem", "BadRequest: Elastic throughput is not supported with performance mode maxIO.",
		   "{'CreationToken':'a','ThroughputMode':'elastic','PerformanceMode':'maxIO'}");
	EXPECT_EFS(&desk, "CreateFileSystem", "BadRequest: KmsKeyId needs Encrypted to be true.",
		   "{'CreationToken':'a','KmsKeyId':'alias/a'}");
	EXPECT_EFS(&desk, "CreateFileSystem", "UnsupportedAvailabilityZone: The Availability Zone 'mars-1a' does not exist in this Region.",
		   "{'CreationToken':'a','AvailabilityZoneName':'mars-1a'}");
	EXPECT_EFS(&desk, "CreateFileSystem", "BadRequest: Wherry does not back up file systems: leave Backup out or set it to false.",
		   "{'CreationToken':'a','Backup':true}");
	EXPECT_EFS(&desk, "CreateFileSystem", "BadRequest: Tag keys must be unique.",
		   "{'CreationToken':'a','Tags':[{'Key':'k','Value':'1'},{'Key':'k','Value':'2'}]}");
	EXPECT_EFS(&desk, "CreateFileSystem", "BadRequest: Tag keys that begin with aws: are reserved.",
		   "{'CreationToken':'a','Tags':[{'Key':'AWS:k','Value':'1'}]}");
	EXPECT_EFS(&desk, "DescribeFileSystems", "BadRequest: Invalid token.", "{'Marker':'x'}");
}

TEST(throughput_is_changed)
{
	auto_desk desk;
	const char *id;

	id = begin(&desk);
	EXPECT_STR(desk_pick(&desk, efs_call(&desk, "UpdateFileSystem", "{'FileSystemId':'%s','ThroughputMode':'provisioned',"
			     "'ProvisionedThroughputInMibps':2.5}", id), "ThroughputMode"), S("provisioned"));
	EXPECT_STR(desk_pick(&desk, efs_call(&desk, "UpdateFileSystem", "{'FileSystemId':'%s','ThroughputMode':'elastic'}", id),
			     "ThroughputMode"), S("elastic"));
	EXPECT_EFS(&desk, "UpdateFileSystem", "BadRequest: One or more of ThroughputMode and ProvisionedThroughputInMibps must be given.",
		   "{'FileSystemId':'%s'}", id);
}

TEST(file_systems_come_in_pages)
{
	auto_desk desk;
	struct str reply, marker;

	desk_init(&desk);
	for (char c = 'a'; c < 'd'; c++)
		make_file_system(&desk, (char[]){c, 0});
	reply = efs_call(&desk, "DescribeFileSystems", "{'MaxItems':2}");
	marker = desk_pick(&desk, reply, "NextMarker");
	reply = efs_call(&desk, "DescribeFileSystems", "{'MaxItems':2,'Marker':'%.*s'}", STR(marker));
	EXPECT_STR(desk_pick(&desk, reply, "Marker"), marker);
	assert_false(str_contains(reply, S("NextMarker")));
}

TEST(a_mount_target_has_an_interface)
{
	auto_desk desk;
	struct str reply, interface;
	const char *subnet, *id, *target;

	id = begin(&desk);
	subnet = subnet_in(&desk, "us-east-1b");
	reply = efs_call(&desk, "CreateMountTarget", "{'FileSystemId':'%s','SubnetId':'%s'}", id, subnet);
	target = arena_cstr(&desk.arena, desk_pick(&desk, reply, "MountTargetId"));
	interface = desk_pick(&desk, reply, "NetworkInterfaceId");
	EXPECT_STR(desk_pick(&desk, reply, "AvailabilityZoneName"), S("us-east-1b"));
	EXPECT_STR(desk_pick(&desk, reply, "VpcId"), vpc_id(&desk));
	assert_true(str_starts(desk_pick(&desk, reply, "IpAddress"), S("172.31.")));
	assert_true(exists(&desk, RECORD_NETWORK_INTERFACE, interface));
	reply = efs_call(&desk, "DescribeMountTargets", "{'MountTargetId':'%s'}", target);
	assert_true(str_contains(reply, S("'LifeCycleState':'available'")));
	EXPECT_STR(efs_call(&desk, "DescribeMountTargets", "{'FileSystemId':'%s'}", id), reply);
	EXPECT_STR(efs_call(&desk, "DeleteFileSystem", "{'FileSystemId':'%s'}", id),
		   arena_printf(&desk.arena, "FileSystemInUse: File system '%s' has one or more mount targets.", id));
	EXPECT_EFS(&desk, "CreateMountTarget", "MountTargetConflict: mount target already exists in this AZ",
		   "{'FileSystemId':'%s','SubnetId':'%s'}", id, subnet);
	EXPECT_EFS(&desk, "DeleteMountTarget", "{}", "{'MountTargetId':'%s'}", target);
	assert_false(exists(&desk, RECORD_NETWORK_INTERFACE, interface));
	EXPECT_EFS(&desk, "DeleteFileSystem", "{}", "{'FileSystemId':'%s'}", id);
}

TEST(wrong_mount_targets_are_refused)
{
	auto_desk desk;
	const char *subnet, *id, *zonal;

	id = begin(&desk);
	subnet = subnet_in(&desk, "us-east-1a");
	zonal = arena_cstr(&desk.arena, desk_pick(&desk, efs_call(&desk, "CreateFileSystem", "{'CreationToken':'b',"
			   "'AvailabilityZoneName':'us-east-1c'}"), "FileSystemId"));
	EXPECT_EFS(&desk, "CreateMountTarget", "SubnetNotFound: The subnet ID 'subnet-01234567' does not exist",
		   "{'FileSystemId':'%s','SubnetId':'subnet-01234567'}", id);
	EXPECT_EFS(&desk, "CreateMountTarget", "FileSystemNotFound: File system 'fs-1' does not exist.",
		   "{'FileSystemId':'fs-1','SubnetId':'%s'}", subnet);
	EXPECT_EFS(&desk, "CreateMountTarget", "SecurityGroupNotFound: One of the specified security groups does not exist in the "
		   "subnet's VPC: 'sg-01234567'.", "{'FileSystemId':'%s','SubnetId':'%s','SecurityGroups':['sg-01234567']}", id, subnet);
	EXPECT_EFS(&desk, "CreateMountTarget", "SecurityGroupLimitExceeded: A mount target can have at most 5 security groups.",
		   "{'FileSystemId':'%s','SubnetId':'%s','SecurityGroups':['a','b','c','d','e','f']}", id, subnet);
	EXPECT_EFS(&desk, "CreateMountTarget", "BadRequest: Mount targets have IPv4 addresses only.",
		   "{'FileSystemId':'%s','SubnetId':'%s','IpAddressType':'DUAL_STACK'}", id, subnet);
	EXPECT_EFS(&desk, "CreateMountTarget", "AvailabilityZonesMismatch: The file system is in the Availability Zone 'us-east-1c', "
		   "the subnet in 'us-east-1a'.", "{'FileSystemId':'%s','SubnetId':'%s'}", zonal, subnet);
	EXPECT_EFS(&desk, "DescribeMountTargets", "BadRequest: Exactly one of FileSystemId, MountTargetId and AccessPointId must be given.",
		   "{}");
	EXPECT_EFS(&desk, "DeleteMountTarget", "MountTargetNotFound: Mount target 'fsmt-1' does not exist.", "{'MountTargetId':'fsmt-1'}");
}

TEST(an_access_point_is_made_and_shown)
{
	auto_desk desk;
	const char *id, *point;
	struct str shown;

	id = begin(&desk);
	shown = efs_call(&desk, "CreateAccessPoint", "{'ClientToken':'t','FileSystemId':'%s','PosixUser':{'Uid':1000,'Gid':1001,"
			 "'SecondaryGids':[5]},'RootDirectory':{'Path':'/a/b','CreationInfo':{'OwnerUid':1,'OwnerGid':2,"
			 "'Permissions':'0755'}}}", id);
	point = arena_cstr(&desk.arena, desk_pick(&desk, shown, "AccessPointId"));
	EXPECT_STR(efs_call(&desk, "DescribeAccessPoints", "{'AccessPointId':'%s'}", point),
		   arena_printf(&desk.arena, "{'AccessPoints':[{'ClientToken':'t','Tags':[],'AccessPointId':'%s','AccessPointArn':"
				"'arn:aws:elasticfilesystem:us-east-1:123456789012:access-point/%s','FileSystemId':'%s',"
				"'PosixUser':{'Uid':1000,'Gid':1001,'SecondaryGids':[5]},'RootDirectory':{'Path':'/a/b',"
				"'CreationInfo':{'OwnerUid':1,'OwnerGid':2,'Permissions':'0755'}},'OwnerId':'123456789012',"
				"'LifeCycleState':'available'}]}", point, point, id));
	EXPECT_STR(efs_call(&desk, "CreateAccessPoint", "{'ClientToken':'t','FileSystemId':'%s'}", id),
		   arena_printf(&desk.arena, "AccessPointAlreadyExists: Access point '%s' already exists with client token 't'", point));
	EXPECT_EFS(&desk, "DeleteFileSystem", "{}", "{'FileSystemId':'%s'}", id);
	EXPECT_STR(efs_call(&desk, "DescribeAccessPoints", "{'AccessPointId':'%s'}", point),
		   arena_printf(&desk.arena, "AccessPointNotFound: Access point '%s' does not exist.", point));
}

TEST(a_root_directory_is_a_plain_path)
{
	static const char *const wrong[] = {"a", "/a/", "//a", "/a/b/c/d/e", "/.a", "/a/..", "/a*", "/a;b", ""};
	static const char *const right[] = {"/", "/a", "/a/b/c/d", "/a.b", "/a b"};
	auto_desk desk;
	const char *id;

	id = begin(&desk);
	for (size_t i = 0; i < COUNT(wrong); i++)
		EXPECT_STR(efs_call(&desk, "CreateAccessPoint", "{'ClientToken':'%zu','FileSystemId':'%s','RootDirectory':{'Path':'%s'}}",
				    i, id, wrong[i]),
			   arena_printf(&desk.arena, "BadRequest: Invalid path '%s': it must be absolute and have at most 4 plain names.",
					wrong[i]));
	for (size_t i = 0; i < COUNT(right); i++)
		desk_pick(&desk, efs_call(&desk, "CreateAccessPoint", "{'ClientToken':'%zu','FileSystemId':'%s','RootDirectory':"
					  "{'Path':'%s'}}", i, id, right[i]), "AccessPointId");
	EXPECT_EFS(&desk, "CreateAccessPoint", "BadRequest: Permissions must be an octal number.",
		   "{'ClientToken':'x','FileSystemId':'%s','RootDirectory':{'Path':'/a','CreationInfo':{'OwnerUid':1,'OwnerGid':1,"
		   "'Permissions':'0798'}}}", id);
}

TEST(tags_are_added_and_taken_away)
{
	auto_desk desk;
	const char *id, *point;

	id = begin(&desk);
	point = arena_cstr(&desk.arena, desk_pick(&desk, efs_call(&desk, "CreateAccessPoint", "{'ClientToken':'t','FileSystemId':'%s'}", id),
						  "AccessPointId"));
	EXPECT_EFS(&desk, "TagResource", "{}", "{'ResourceId':'%s','Tags':[{'Key':'b','Value':'1'},{'Key':'a','Value':'2'}]}", id);
	EXPECT_EFS(&desk, "CreateTags", "{}", "{'FileSystemId':'%s','Tags':[{'Key':'b','Value':'3'}]}", id);
	EXPECT_EFS(&desk, "ListTagsForResource", "{'Tags':[{'Key':'a','Value':'2'},{'Key':'b','Value':'3'}]}",
		   "{'ResourceId':'arn:aws:elasticfilesystem:us-east-1:123456789012:file-system/%s'}", id);
	EXPECT_EFS(&desk, "DeleteTags", "{}", "{'FileSystemId':'%s','TagKeys':['a']}", id);
	EXPECT_EFS(&desk, "DescribeTags", "{'Tags':[{'Key':'b','Value':'3'}]}", "{'FileSystemId':'%s'}", id);
	EXPECT_EFS(&desk, "TagResource", "{}", "{'ResourceId':'%s','Tags':[{'Key':'Name','Value':'p'}]}", point);
	EXPECT_EFS(&desk, "UntagResource", "{}", "{'ResourceId':'%s','TagKeys':['Name','other']}", point);
	EXPECT_EFS(&desk, "ListTagsForResource", "{'Tags':[]}", "{'ResourceId':'%s'}", point);
	EXPECT_EFS(&desk, "TagResource", "AccessPointNotFound: Access point 'fsap-1' does not exist.",
		   "{'ResourceId':'fsap-1','Tags':[{'Key':'a','Value':'b'}]}");
}

TEST(a_resource_has_fifty_tags_at_most)
{
	auto_desk desk;
	const char *id;

	id = begin(&desk);
	for (int i = 0; i < EFS_TAGS_LIMIT; i++)
		EXPECT_EFS(&desk, "TagResource", "{}", "{'ResourceId':'%s','Tags':[{'Key':'%d','Value':'x'}]}", id, i);
	EXPECT_EFS(&desk, "TagResource", "{}", "{'ResourceId':'%s','Tags':[{'Key':'0','Value':'y'}]}", id);
	EXPECT_EFS(&desk, "TagResource", "BadRequest: A resource can have at most 50 tags.",
		   "{'ResourceId':'%s','Tags':[{'Key':'one more','Value':'x'}]}", id);
}

TEST(lifecycle_policies_are_kept)
{
	auto_desk desk;
	const char *id;

	id = begin(&desk);
	EXPECT_EFS(&desk, "DescribeLifecycleConfiguration", "{'LifecyclePolicies':[]}", "{'FileSystemId':'%s'}", id);
	EXPECT_EFS(&desk, "PutLifecycleConfiguration", "{'LifecyclePolicies':[{'TransitionToIA':'AFTER_30_DAYS'}]}",
		   "{'FileSystemId':'%s','LifecyclePolicies':[{'TransitionToIA':'AFTER_30_DAYS'}]}", id);
	EXPECT_EFS(&desk, "DescribeLifecycleConfiguration", "{'LifecyclePolicies':[{'TransitionToIA':'AFTER_30_DAYS'}]}",
		   "{'FileSystemId':'%s'}", id);
	EXPECT_EFS(&desk, "PutLifecycleConfiguration", "BadRequest: Each LifecyclePolicy object must have exactly one transition.",
		   "{'FileSystemId':'%s','LifecyclePolicies':[{}]}", id);
}

TEST(what_no_file_system_has_is_not_found)
{
	auto_desk desk;
	const char *id;

	id = begin(&desk);
	EXPECT_STR(str_slice(efs_call(&desk, "DescribeFileSystemPolicy", "{'FileSystemId':'%s'}", id), 0, 15), S("PolicyNotFound:"));
	EXPECT_STR(str_slice(efs_call(&desk, "DescribeBackupPolicy", "{'FileSystemId':'%s'}", id), 0, 15), S("PolicyNotFound:"));
	EXPECT_STR(str_slice(efs_call(&desk, "DescribeReplicationConfigurations", "{'FileSystemId':'%s'}", id), 0, 20),
		   S("ReplicationNotFound:"));
	EXPECT_EFS(&desk, "DescribeReplicationConfigurations", "{'Replications':[]}", "{}");
}

static const struct realm *only_realm(struct desk *desk)
{
	size_t cursor = 0;

	return plane_next_realm(desk->plane, &cursor);
}

TEST(a_volume_is_found_for_tasks)
{
	auto_desk desk;
	struct efs_volume_view view;
	const char *id, *other, *point;

	id = begin(&desk);
	other = make_file_system(&desk, "b");
	point = arena_cstr(&desk.arena, desk_pick(&desk, efs_call(&desk, "CreateAccessPoint", "{'ClientToken':'t','FileSystemId':'%s',"
			   "'PosixUser':{'Uid':7,'Gid':8,'SecondaryGids':[9]},'RootDirectory':{'Path':'/p','CreationInfo':"
			   "{'OwnerUid':1,'OwnerGid':2,'Permissions':'750'}}}", id), "AccessPointId"));
	assert_true(efs_find_volume(desk.plane, only_realm(&desk), str_of(id), STR_NONE, &view));
	EXPECT_STR(view.path, S("/"));
	assert_false(view.has_user || view.has_owner);
	assert_true(efs_find_volume(desk.plane, only_realm(&desk), str_of(id), str_of(point), &view));
	EXPECT_STR(view.file_system_id, str_of(id));
	EXPECT_STR(view.path, S("/p"));
	EXPECT_STR(view.permissions, S("750"));
	assert_true(view.has_user && view.uid == 7 && view.gid == 8 && view.secondary_gids.count == 1);
	assert_true(view.has_owner && view.owner_uid == 1 && view.owner_gid == 2);
	assert_false(efs_find_volume(desk.plane, only_realm(&desk), str_of(other), str_of(point), &view));
	assert_false(efs_find_volume(desk.plane, only_realm(&desk), S("fs-1"), STR_NONE, &view));
}

TEST(a_volume_is_reached_where_its_mount_targets_are)
{
	auto_desk desk;
	const char *subnet, *id;

	id = begin(&desk);
	subnet = subnet_in(&desk, "us-east-1a");
	assert_false(efs_has_mount_target(desk.plane, only_realm(&desk), str_of(id), STR_NONE, STR_NONE));
	efs_call(&desk, "CreateMountTarget", "{'FileSystemId':'%s','SubnetId':'%s'}", id, subnet);
	assert_true(efs_has_mount_target(desk.plane, only_realm(&desk), str_of(id), STR_NONE, STR_NONE));
	assert_true(efs_has_mount_target(desk.plane, only_realm(&desk), str_of(id), vpc_id(&desk), S("us-east-1a")));
	assert_false(efs_has_mount_target(desk.plane, only_realm(&desk), str_of(id), vpc_id(&desk), S("us-east-1b")));
	assert_false(efs_has_mount_target(desk.plane, only_realm(&desk), str_of(id), S("vpc-1"), STR_NONE));
}

TEST(the_groups_of_a_mount_target_are_its_interfaces)
{
	auto_desk desk;
	const char *subnet;
	struct str group, target;

	desk_init(&desk);
	subnet = subnet_in(&desk, "us-east-1a");
	target = desk_pick(&desk, efs_call(&desk, "CreateMountTarget", "{'FileSystemId':'%s','SubnetId':'%s'}",
					   make_file_system(&desk, "a"), subnet), "MountTargetId");
	group = efs_call(&desk, "DescribeMountTargetSecurityGroups", "{'MountTargetId':'%.*s'}", STR(target));
	assert_true(str_starts(group, S("{'SecurityGroups':['sg-")));
	EXPECT_EFS(&desk, "ModifyMountTargetSecurityGroups", "{}", "{'MountTargetId':'%.*s',%.*s", STR(target),
		   STR(str_slice(group, 1, group.len)));
	EXPECT_STR(efs_call(&desk, "DescribeMountTargetSecurityGroups", "{'MountTargetId':'%.*s'}", STR(target)), group);
	EXPECT_EFS(&desk, "ModifyMountTargetSecurityGroups", "BadRequest: A mount target needs at least one security group.",
		   "{'MountTargetId':'%.*s','SecurityGroups':[]}", STR(target));
	EXPECT_EFS(&desk, "ModifyMountTargetSecurityGroups", "SecurityGroupNotFound: One of the specified security groups does not exist "
		   "in the subnet's VPC: 'sg-1'.", "{'MountTargetId':'%.*s','SecurityGroups':['sg-1']}", STR(target));
}
