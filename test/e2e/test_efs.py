"""EFS as its users know it: the AWS CLI and boto3 make file systems, mount targets and access points; a restart keeps them."""
import json
import os
import subprocess

import botocore.exceptions
import pytest

import wherry
from wherry import FARGATE, container, eventually, refused, running


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


def make(efs, token, **more):
    return efs.create_file_system(CreationToken=token, **more)["FileSystemId"]


def cli(server, *arguments):
    """Its answer, or what it complains of."""
    done = server.aws("efs", *arguments)
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
    assert refused(efs.create_file_system, "FileSystemAlreadyExists", status=409, CreationToken="once")["FileSystemId"] == identity
    point = efs.create_access_point(ClientToken="once", FileSystemId=identity)["AccessPointId"]
    again = refused(efs.create_access_point, "AccessPointAlreadyExists", status=409, ClientToken="once", FileSystemId=identity)
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
    refused(efs.describe_file_systems, "BadRequest", status=400, Marker="nowhere")


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
    refused(efs.create_mount_target, "MountTargetConflict", status=409, FileSystemId=identity, SubnetId=subnet["SubnetId"])
    refused(efs.create_mount_target, "SubnetNotFound", status=400, FileSystemId=identity, SubnetId="subnet-0123456789abcdef0")
    refused(efs.create_mount_target, "IpAddressInUse", status=409, FileSystemId=make(efs, "same address"), SubnetId=subnet["SubnetId"],
            IpAddress=target["IpAddress"])
    refused(efs.create_mount_target, "SecurityGroupNotFound", status=400, FileSystemId=make(efs, "no group"), SubnetId=subnet["SubnetId"],
            SecurityGroups=["sg-0123456789abcdef0"])
    with pytest.raises(botocore.exceptions.ClientError, match="OperationNotPermitted|InUse|UnauthorizedOperation"):
        ec2.delete_network_interface(NetworkInterfaceId=target["NetworkInterfaceId"])
    refused(ec2.delete_subnet, "DependencyViolation", SubnetId=subnet["SubnetId"])
    efs.delete_mount_target(MountTargetId=name)
    refused(ec2.describe_network_interfaces, "InvalidNetworkInterfaceID.NotFound", NetworkInterfaceIds=[target["NetworkInterfaceId"]])
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
    refused(efs.create_access_point, "BadRequest", text, 400, ClientToken="root", FileSystemId=identity, RootDirectory=root)


def test_what_is_not_built_says_so(efs):
    identity = make(efs, "none")
    refused(efs.describe_file_system_policy, "PolicyNotFound", status=404, FileSystemId=identity)
    refused(efs.describe_backup_policy, "PolicyNotFound", status=404, FileSystemId=identity)
    refused(efs.describe_replication_configurations, "ReplicationNotFound", status=404, FileSystemId=identity)
    assert efs.describe_lifecycle_configuration(FileSystemId=identity)["LifecyclePolicies"] == []
    refused(efs.create_file_system, "BadRequest", status=400, CreationToken="backup", Backup=True)
    refused(efs.put_backup_policy, "UnsupportedFeatureException", status=400, FileSystemId=identity, BackupPolicy={"Status": "ENABLED"})


def test_file_systems_outlive_the_server(new_wherry, tmp_path):
    with running(new_wherry(tmp_path / "data", agent=False, supervised=False)) as own:
        efs = own.client(service="efs")
        identity = make(efs, "kept", Tags=[{"Key": "Name", "Value": "kept"}])
        efs.create_mount_target(FileSystemId=identity, SubnetId=own.subnet())
        efs.create_access_point(ClientToken="kept", FileSystemId=identity, PosixUser={"Uid": 4294967295, "Gid": 0})

        def everything():
            return [efs.describe_file_systems()["FileSystems"], efs.describe_mount_targets(FileSystemId=identity)["MountTargets"],
                    efs.describe_access_points(FileSystemId=identity)["AccessPoints"]]
        before = everything()
        assert all(before)
        own.crash("server")
        own.wait_health()
        assert everything() == before
        refused(efs.create_file_system, "FileSystemAlreadyExists", status=409, CreationToken="kept")


# ---- volumes of tasks: files on this machine's disk, below DATA/efs
def mounted(machine, token):
    """A file system that tasks can mount, and its mount target."""
    efs = machine.client(service="efs")
    system = make(efs, token)
    return system, efs.create_mount_target(FileSystemId=system, SubnetId=machine.subnet())["MountTargetId"]


def volume(system, root=None, point=None):
    more = {"rootDirectory": root} if root else {}
    if point:
        more = {"transitEncryption": "ENABLED", "transitEncryptionPort": 20049,
                "authorizationConfig": {"accessPointId": point, "iam": "ENABLED"}}
    return {"name": "v", "efsVolumeConfiguration": {"fileSystemId": system, **more}}


def start(machine, script, what, user=None, read_only=False, fargate=False, network=None):
    """A task whose container "main" has the volume at /v."""
    more = {"user": user} if user else {}
    main = container("main", script, mountPoints=[{"sourceVolume": "v", "containerPath": "/v", "readOnly": read_only}], **more)
    if not fargate:
        return machine.run_task(machine.register("files", containers=[main], volumes=[what], mode="none"))
    return machine.run_task(machine.register("far", containers=[main], volumes=[what], **FARGATE), launchType="FARGATE", **(network or machine.network()))


def end(machine, arn):
    """What it printed, once it has ended well."""
    task = machine.wait_task(arn, "STOPPED", 60)
    assert task["containers"][0].get("exitCode") == 0, (task, machine.log()[-2000:])
    return machine.logs(arn)


def owner(path):
    status = os.stat(path)
    return status.st_uid, status.st_gid, oct(status.st_mode & 0o7777)


@pytest.mark.root
def test_an_access_point_gives_its_identity_to_all_tasks(machine):
    efs = machine.client(service="efs")
    system, _ = mounted(machine, "identity")
    point = efs.create_access_point(ClientToken="p", FileSystemId=system, PosixUser={"Uid": 5001, "Gid": 5002, "SecondaryGids": [5003]},
                                    RootDirectory={"Path": "/team/data", "CreationInfo": {
                                        "OwnerUid": 5001, "OwnerGid": 5002, "Permissions": "0750"}})["AccessPointId"]
    root = os.path.join(machine.data, "efs", system, "team", "data")
    what = volume(system, point=point)
    assert end(machine, start(machine, "id -u; echo one > /v/one; stat -c %u /v/one", what)) == ["0", "0"]
    assert owner(root) == (5001, 5002, "0o750") and owner(root + "/one")[:2] == (5001, 5002)
    # another one, whose process is not root and who may not pass the folder by its own number
    assert end(machine, start(machine, "cat /v/one; echo two > /v/two", what, user="1234:1234")) == ["one"]
    # and one in a user namespace, which finds the group of the access point's second group
    with open(root + "/grouped", "w") as file:
        file.write("grouped\n")
    os.chown(root + "/grouped", 9, 5003)
    os.chmod(root + "/grouped", 0o060)
    assert end(machine, start(machine, "cat /v/two /v/grouped; echo three > /v/three", what, user="1234:1234",
                              fargate=True)) == ["two", "grouped"]
    assert [owner(root + "/" + name)[:2] for name in ("two", "three")] == [(5001, 5002)] * 2
    # what the access point does not reach is not there
    assert end(machine, start(machine, "ls /v/..; test -e /v/../../team || echo inside", what))[-1] == "inside"


@pytest.mark.root
def test_a_file_system_is_shared_by_tasks_and_outlives_them(machine):
    system, _ = mounted(machine, "shared")
    first = start(machine, "mkdir /v/sub; echo ping > /v/sub/ping; until [ -e /v/sub/pong ]; do sleep 0.05; done; cat /v/sub/pong",
                  volume(system))
    eventually_there(os.path.join(machine.data, "efs", system, "sub", "ping"))
    second = start(machine, "cat /v/ping; echo pong > /v/new; mv /v/new /v/pong", volume(system, root="/sub"))
    assert (end(machine, second), end(machine, first)) == (["ping"], ["pong"])
    assert end(machine, start(machine, "cat /v/sub/pong; touch /v/x 2>/dev/null || echo read-only", volume(system, root="/"),
                              read_only=True)) == ["pong", "read-only"]
    assert end(machine, start(machine, "cat /v/pong; touch /v/from-far", volume(system, root="/sub"), fargate=True)) == ["pong"]
    assert owner(os.path.join(machine.data, "efs", system, "sub", "from-far"))[:2] == (0, 0)


def eventually_there(path):
    eventually(lambda: os.path.exists(path), what=path)


@pytest.mark.root
@pytest.mark.parametrize("by_point", [False, True])
def test_a_root_directory_that_is_not_there_ends_the_start(machine, by_point):
    efs = machine.client(service="efs")
    system, _ = mounted(machine, "missing %s" % by_point)
    point = efs.create_access_point(ClientToken="m", FileSystemId=system, RootDirectory={"Path": "/none"})["AccessPointId"] if by_point else None
    arn = start(machine, "true", volume(system, root=None if by_point else "/none", point=point))
    task = machine.wait_task(arn, "STOPPED")
    assert task["stopCode"] == "TaskFailedToStart"
    assert task["stoppedReason"].startswith("ResourceInitializationError: failed to invoke EFS utils commands to set up EFS volumes: "), task
    assert "No such file" in task["stoppedReason"]


def fails_to_mount(machine, system, **more):
    task = machine.wait_task(start(machine, "true", volume(system), **more), "STOPPED")
    assert task["stopCode"] == "TaskFailedToStart"
    assert task["stoppedReason"].startswith("ResourceInitializationError: failed to invoke EFS utils commands to set up EFS volumes: ")
    assert ('Failed to resolve "%s.efs.us-east-1.amazonaws.com" - check that your file system ID is correct, and ensure that the VPC '
            'has an EFS mount target for this file system ID' % system) in task["stoppedReason"], task


@pytest.mark.root
def test_a_file_system_is_mounted_where_it_has_a_mount_target(machine):
    efs, ec2 = machine.client(service="efs"), machine.client(service="ec2")
    system, network = make(efs, "nowhere"), machine.network()
    fails_to_mount(machine, system)
    fails_to_mount(machine, "fs-0123456789abcdef0")
    vpc = ec2.create_vpc(CidrBlock="10.0.0.0/16")["Vpc"]["VpcId"]
    subnet = ec2.create_subnet(VpcId=vpc, CidrBlock="10.0.0.0/24")["Subnet"]["SubnetId"]
    target = efs.create_mount_target(FileSystemId=system, SubnetId=subnet)["MountTargetId"]
    fails_to_mount(machine, system, fargate=True, network=network)       # its interface is in the default VPC
    assert end(machine, start(machine, "echo mounted", volume(system))) == ["mounted"]
    efs.delete_mount_target(MountTargetId=target)
    ec2.delete_subnet(SubnetId=subnet)                  # so that the other tests find the default VPC's
    ec2.delete_vpc(VpcId=vpc)


@pytest.mark.root
def test_the_files_of_a_deleted_file_system_go(machine):
    efs = machine.client(service="efs")
    (used, used_target), (unused, unused_target), (deep, deep_target), (kept, _) = (
        mounted(machine, name) for name in ("used", "unused", "deep", "kept"))
    folder = {name: os.path.join(machine.data, "efs", name) for name in (used, unused, deep, kept, "fs-0123456789abcdef0")}
    for name in (unused, kept):
        end(machine, start(machine, "mkdir /v/sub; echo x > /v/sub/file", volume(name)))
    stays = start(machine, "echo x > /v/file; " + wherry.STAY, volume(used))
    eventually_there(folder[used] + "/file")
    os.mkdir(folder["fs-0123456789abcdef0"])            # the server knows nothing of it
    for name, target in ((used, used_target), (unused, unused_target), (deep, deep_target)):
        efs.delete_mount_target(MountTargetId=target)
        efs.delete_file_system(FileSystemId=name)
    machine.crash("agent")                              # it asks when it starts
    subprocess.run(["mkdir", "-p", folder[deep] + "/d" * 600], check=True)      # too deep to be removed
    eventually(lambda: not os.path.exists(folder[unused]), 60, what="the end of " + folder[unused])
    assert os.path.exists(folder[used] + "/file")       # of the same answer; but a task has it
    machine.ecs.stop_task(task=stays)
    eventually(lambda: not os.path.exists(folder[used]), 60, what="the end of " + folder[used])
    assert os.path.exists(folder[kept] + "/sub/file") and os.path.exists(folder["fs-0123456789abcdef0"])
    eventually(lambda: f"deleted file system {deep}" in machine.log(), 60, what="a word about " + deep)
    os.mkdir(folder[unused])                            # goes in a later look: all folders of this one were tried by then
    eventually(lambda: not os.path.exists(folder[unused]), 60, what="the second end of " + folder[unused])
    assert machine.log().count(f"deleted file system {deep}") == 1       # though it was tried again
    subprocess.run(["rm", "-rf", folder[deep]], check=True)
