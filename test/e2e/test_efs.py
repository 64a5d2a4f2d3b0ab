"""EFS as its users know it: the AWS CLI and boto3 make file systems, mount targets and access points; a restart keeps them."""
import json
import os
import subprocess

import botocore.exceptions
import pytest

import wherry


@pytest.fixture
def efs(server):
    return server.client(service="efs")


@pytest.fixture
def ec2(server):
    return server.client(service="ec2")


@pytest.fixture
def subnets(ec2):
    """The default VPC's, by zone."""
    found = ec2.describe_subnets(Filters=[{"Name": "default-for-az", "Values": ["true"]}])["Subnets"]
    return {subnet["AvailabilityZone"]: subnet for subnet in found}


def refused(call, code, status, **members):
    with pytest.raises(botocore.exceptions.ClientError) as caught:
        call(**members)
    response = caught.value.response
    assert (response["Error"]["Code"], response["ResponseMetadata"]["HTTPStatusCode"]) == (code, status), response
    return response


def make(efs, token, **more):
    return efs.create_file_system(CreationToken=token, **more)["FileSystemId"]


def cli(server, *arguments):
    key_id, secret = server.keys()
    environment = dict(os.environ, AWS_ACCESS_KEY_ID=key_id, AWS_SECRET_ACCESS_KEY=secret, AWS_DEFAULT_REGION=wherry.REGION,
                       AWS_PAGER="", AWS_EC2_METADATA_DISABLED="true")
    done = subprocess.run(["aws", "efs", *arguments, "--endpoint-url", server.endpoint, "--output", "json"], env=environment,
                          capture_output=True, text=True, timeout=60, check=False)
    if done.returncode:
        return done.stderr.strip()
    return json.loads(done.stdout) if done.stdout.strip() else None


def test_the_cli_tells_the_whole_story(server, subnets):
    made = cli(server, "create-file-system", "--creation-token", "cli", "--encrypted", "--throughput-mode", "elastic",
               "--tags", "Key=Name,Value=web content")
    identity = made["FileSystemId"]
    assert made["LifeCycleState"] == "creating" and made["Name"] == "web content" and made["Encrypted"] is True
    shown = cli(server, "describe-file-systems", "--file-system-id", identity)["FileSystems"][0]
    assert shown["LifeCycleState"] == "available" and shown["ThroughputMode"] == "elastic"
    subnet = subnets["us-east-1a"]
    target = cli(server, "create-mount-target", "--file-system-id", identity, "--subnet-id", subnet["SubnetId"])
    assert target["VpcId"] == subnet["VpcId"] and target["AvailabilityZoneId"] == subnet["AvailabilityZoneId"]
    point = cli(server, "create-access-point", "--client-token", "cli", "--file-system-id", identity, "--posix-user", "Uid=1000,Gid=1000",
                "--root-directory", "Path=/data,CreationInfo={OwnerUid=1000,OwnerGid=1000,Permissions=0750}")
    assert point["RootDirectory"]["CreationInfo"]["Permissions"] == "0750"
    assert cli(server, "update-file-system", "--file-system-id", identity, "--throughput-mode", "bursting")["ThroughputMode"] == "bursting"
    assert cli(server, "tag-resource", "--resource-id", point["AccessPointArn"], "--tags", "Key=team,Value=a b/c") is None
    assert cli(server, "list-tags-for-resource", "--resource-id", point["AccessPointId"])["Tags"] == [{"Key": "team", "Value": "a b/c"}]
    assert cli(server, "untag-resource", "--resource-id", point["AccessPointId"], "--tag-keys", "team", "other") is None
    assert cli(server, "list-tags-for-resource", "--resource-id", point["AccessPointId"])["Tags"] == []
    assert "(FileSystemInUse)" in cli(server, "delete-file-system", "--file-system-id", identity)
    assert cli(server, "delete-mount-target", "--mount-target-id", target["MountTargetId"]) is None
    assert cli(server, "delete-file-system", "--file-system-id", identity) is None
    assert "(FileSystemNotFound)" in cli(server, "describe-file-systems", "--file-system-id", identity)
    assert "(AccessPointNotFound)" in cli(server, "describe-access-points", "--access-point-id", point["AccessPointId"])


def test_a_token_makes_one_file_system(efs):
    identity = make(efs, "once")
    assert refused(efs.create_file_system, "FileSystemAlreadyExists", 409, CreationToken="once")["FileSystemId"] == identity
    point = efs.create_access_point(ClientToken="once", FileSystemId=identity)["AccessPointId"]
    again = refused(efs.create_access_point, "AccessPointAlreadyExists", 409, ClientToken="once", FileSystemId=identity)
    assert again["AccessPointId"] == point


def test_replies_have_the_status_that_aws_gives(efs):
    def status(call, **members):
        return call(**members)["ResponseMetadata"]["HTTPStatusCode"]
    made = efs.create_file_system(CreationToken="status")
    identity = made["FileSystemId"]
    assert made["ResponseMetadata"]["HTTPStatusCode"] == 201
    assert status(efs.update_file_system, FileSystemId=identity, ThroughputMode="elastic") == 202
    assert status(efs.tag_resource, ResourceId=identity, Tags=[{"Key": "a", "Value": "b"}]) == 200
    assert status(efs.create_tags, FileSystemId=identity, Tags=[{"Key": "a", "Value": "c"}]) == 204
    assert efs.describe_tags(FileSystemId=identity)["Tags"] == [{"Key": "a", "Value": "c"}]
    assert status(efs.delete_tags, FileSystemId=identity, TagKeys=["a"]) == 204
    assert status(efs.delete_file_system, FileSystemId=identity) == 204


def test_pages_follow_each_other(efs):
    made = {make(efs, "page %d" % i) for i in range(5)}
    found = [one["FileSystemId"] for page in efs.get_paginator("describe_file_systems").paginate(PaginationConfig={"PageSize": 2})
             for one in page["FileSystems"]]
    assert made <= set(found) and len(found) == len(set(found))
    refused(efs.describe_file_systems, "BadRequest", 400, Marker="nowhere")


def test_a_mount_target_is_an_interface_in_its_subnet(efs, ec2, subnets):
    identity, subnet = make(efs, "interface"), subnets["us-east-1b"]
    group = ec2.create_security_group(GroupName="nfs", Description="nfs", VpcId=subnet["VpcId"])["GroupId"]
    target = efs.create_mount_target(FileSystemId=identity, SubnetId=subnet["SubnetId"], SecurityGroups=[group])
    name = target["MountTargetId"]
    interface = ec2.describe_network_interfaces(NetworkInterfaceIds=[target["NetworkInterfaceId"]])["NetworkInterfaces"][0]
    assert interface["PrivateIpAddress"] == target["IpAddress"] and interface["SubnetId"] == subnet["SubnetId"]
    assert interface["Description"] == "EFS mount target for %s (%s)" % (identity, name) and interface["RequesterManaged"] is True
    assert efs.describe_mount_target_security_groups(MountTargetId=name)["SecurityGroups"] == [group]
    default = ec2.describe_security_groups(Filters=[{"Name": "group-name", "Values": ["default"]}])["SecurityGroups"][0]["GroupId"]
    efs.modify_mount_target_security_groups(MountTargetId=name, SecurityGroups=[default])
    interface = ec2.describe_network_interfaces(NetworkInterfaceIds=[target["NetworkInterfaceId"]])["NetworkInterfaces"][0]
    assert [one["GroupId"] for one in interface["Groups"]] == [default]
    refused(efs.create_mount_target, "MountTargetConflict", 409, FileSystemId=identity, SubnetId=subnet["SubnetId"])
    refused(efs.create_mount_target, "SubnetNotFound", 400, FileSystemId=identity, SubnetId="subnet-0123456789abcdef0")
    refused(efs.create_mount_target, "IpAddressInUse", 409, FileSystemId=make(efs, "same address"), SubnetId=subnet["SubnetId"],
            IpAddress=target["IpAddress"])
    refused(efs.create_mount_target, "SecurityGroupNotFound", 400, FileSystemId=make(efs, "no group"), SubnetId=subnet["SubnetId"],
            SecurityGroups=["sg-0123456789abcdef0"])
    with pytest.raises(botocore.exceptions.ClientError, match="OperationNotPermitted|InUse|UnauthorizedOperation"):
        ec2.delete_network_interface(NetworkInterfaceId=target["NetworkInterfaceId"])
    with pytest.raises(botocore.exceptions.ClientError, match="DependencyViolation"):
        ec2.delete_subnet(SubnetId=subnet["SubnetId"])
    efs.delete_mount_target(MountTargetId=name)
    with pytest.raises(botocore.exceptions.ClientError, match="InvalidNetworkInterfaceID.NotFound"):
        ec2.describe_network_interfaces(NetworkInterfaceIds=[target["NetworkInterfaceId"]])
    assert efs.describe_mount_targets(FileSystemId=identity)["MountTargets"] == []


@pytest.mark.parametrize("root, text", [
    ({"Path": "/a/b/c/d/e"}, "Invalid path"), ({"Path": "relative"}, "Invalid path"), ({"Path": "/../etc"}, "Invalid path"),
    ({"Path": "/" + "a" * 100}, "length less than or equal to 100"),
    ({"Path": "/a", "CreationInfo": {"OwnerUid": 1, "OwnerGid": 1, "Permissions": "9999"}}, "octal"),
    ({"Path": "/a", "CreationInfo": {"OwnerUid": -1, "OwnerGid": 1, "Permissions": "0755"}}, "greater than or equal to 0"),
])
def test_wrong_root_directories_are_refused(server, root, text):
    efs = server.client(service="efs", checks=False)
    identity = efs.describe_file_systems()["FileSystems"]
    identity = identity[0]["FileSystemId"] if identity else make(efs, "roots")
    response = refused(efs.create_access_point, "BadRequest", 400, ClientToken="root", FileSystemId=identity, RootDirectory=root)
    assert text in response["Error"]["Message"]


def test_what_is_not_built_says_so(efs):
    identity = make(efs, "none")
    refused(efs.describe_file_system_policy, "PolicyNotFound", 404, FileSystemId=identity)
    refused(efs.describe_backup_policy, "PolicyNotFound", 404, FileSystemId=identity)
    refused(efs.describe_replication_configurations, "ReplicationNotFound", 404, FileSystemId=identity)
    assert efs.describe_lifecycle_configuration(FileSystemId=identity)["LifecyclePolicies"] == []
    refused(efs.create_file_system, "BadRequest", 400, CreationToken="backup", Backup=True)
    refused(efs.put_backup_policy, "UnsupportedFeatureException", 400, FileSystemId=identity, BackupPolicy={"Status": "ENABLED"})


def test_file_systems_outlive_the_server(new_wherry, tmp_path):
    own = new_wherry(tmp_path / "data", agent=False, supervised=False)
    try:
        efs, ec2 = own.client(service="efs"), own.client(service="ec2")
        subnet = ec2.describe_subnets()["Subnets"][0]["SubnetId"]
        identity = make(efs, "kept", Tags=[{"Key": "Name", "Value": "kept"}])
        efs.create_mount_target(FileSystemId=identity, SubnetId=subnet)
        efs.create_access_point(ClientToken="kept", FileSystemId=identity, PosixUser={"Uid": 4294967295, "Gid": 0})
        before = [efs.describe_file_systems()["FileSystems"], efs.describe_mount_targets(FileSystemId=identity)["MountTargets"],
                  efs.describe_access_points(FileSystemId=identity)["AccessPoints"]]
        own.crash("server")
        own.wait_health()
        after = [efs.describe_file_systems()["FileSystems"], efs.describe_mount_targets(FileSystemId=identity)["MountTargets"],
                 efs.describe_access_points(FileSystemId=identity)["AccessPoints"]]
        assert after == before
        refused(efs.create_file_system, "FileSystemAlreadyExists", 409, CreationToken="kept")
    finally:
        own.down()
