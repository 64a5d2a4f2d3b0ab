"""Bad input gets AWS's error and changes nothing; a full disk refuses clearly, loses nothing and recovers."""
import ctypes
import json
import os
import subprocess

import botocore.exceptions
import pytest

from wherry import STAY, Wherry

BODY_LIMIT = 1 << 20


def everything(own):
    """All that can be listed and described, as text."""
    ecs = own.ecs

    def call(operation, **members):
        reply = getattr(ecs, operation)(**members)
        reply.pop("ResponseMetadata")
        return reply

    clusters = sorted(call("list_clusters")["clusterArns"])
    known = [call("describe_clusters", clusters=clusters, include=["TAGS", "SETTINGS", "STATISTICS", "CONFIGURATIONS"]),
             call("list_account_settings", effectiveSettings=True)]
    for status in ("ACTIVE", "INACTIVE", "ALL"):
        known.append(call("list_task_definition_families", status=status))
    for status in ("ACTIVE", "INACTIVE"):
        for arn in call("list_task_definitions", status=status)["taskDefinitionArns"]:
            known.append(call("describe_task_definition", taskDefinition=arn, include=["TAGS"]))
    for cluster in clusters:
        services = call("list_services", cluster=cluster)["serviceArns"]
        tasks = sum((call("list_tasks", cluster=cluster, desiredStatus=s)["taskArns"] for s in ("RUNNING", "STOPPED")), [])
        instances = call("list_container_instances", cluster=cluster)["containerInstanceArns"]
        if services:
            known.append(call("describe_services", cluster=cluster, services=sorted(services), include=["TAGS"]))
        if tasks:
            known.append(call("describe_tasks", cluster=cluster, tasks=sorted(tasks), include=["TAGS"]))
        if instances:
            known.append(call("describe_container_instances", cluster=cluster, containerInstances=sorted(instances), include=["TAGS"]))
        known.append(call("list_attributes", cluster=cluster, targetType="container-instance"))
    return json.dumps(known, default=str, sort_keys=True, indent=1)


@pytest.fixture(scope="module")
def furnished(server):
    """A server with one of everything that bad input could spoil."""
    ecs = server.ecs
    ecs.create_cluster(clusterName="default", tags=[{"key": "k", "value": "v"}])
    server.instance = ecs.register_container_instance(totalResources=[
        {"name": "CPU", "type": "INTEGER", "integerValue": 1024},
        {"name": "MEMORY", "type": "INTEGER", "integerValue": 1024}])["containerInstance"]["containerInstanceArn"]
    server.register("web", STAY)
    ecs.create_service(serviceName="idle", taskDefinition="web", desiredCount=0)
    return server


@pytest.fixture
def unchanged(furnished):
    before = everything(furnished)
    yield furnished
    assert everything(furnished) == before


def many(count, **more):
    return [dict({"key": "key%d" % i, "value": "v"}, **more) for i in range(count)]


WEB = {"family": "other", "containerDefinitions": [{"name": "main", "image": "x", "memory": 8}]}


@pytest.mark.parametrize("body", [
    b"", b"{", b"[]", b"null", b'"text"', b"{]", b'{"clusterName":}', b'{"clusterName":"a"', b'{"clusterName":"a",}', b'{"clusterName" "a"}',
    b"{'clusterName':'a'}", b'{"clusterName":"a"} trailing', b'{"clusterName":"\xff\xfe"}', b'{"clusterName":"\xc3\x28"}',
    b'{"clusterName":"\xed\xa0\x80"}', b'{"clusterName":"\\ud800"}', b'{"clusterName":"a\nb"}', b'{"clusterName":"\\x41"}',
    b'{"clusterName":01}', b'{"clusterName":NaN}', b'\xef\xbb\xbf{}', b'{"clusterName":' + b"[" * 5000 + b"]" * 5000 + b"}",
    b'{"unknown":' + b'{"a":' * 2000 + b"1" + b"}" * 2000 + b"}"], ids=lambda body: repr(body[:32]))
def test_what_is_not_json(unchanged, body):
    if body == b"":                      # as AWS does: no body is an empty one
        assert unchanged.raw("DeleteCluster", body).message == "Cluster can not be blank."
        return
    reply = unchanged.raw("CreateCluster", body)
    assert (reply.status, reply.error) == (400, "SerializationException"), reply.body
    assert reply.headers["x-amzn-RequestId"]


@pytest.mark.parametrize("operation, body", [
    ("CreateCluster", {"clusterName": 5}), ("CreateCluster", {"clusterName": ["a"]}), ("CreateCluster", {"clusterName": {}}),
    ("CreateCluster", {"tags": {}}), ("CreateCluster", {"tags": ["a"]}), ("CreateCluster", {"tags": "a"}),
    ("RunTask", {"taskDefinition": "web", "count": "many"}), ("RunTask", {"taskDefinition": "web", "count": {}}),
    ("RunTask", {"taskDefinition": "web", "count": 1 << 40}), ("RunTask", {"taskDefinition": "web", "enableECSManagedTags": "maybe"}),
    ("RegisterTaskDefinition", {"family": "other", "containerDefinitions": {}}),
    ("UpdateService", {"service": "idle", "desiredCount": True})], ids=lambda value: json.dumps(value)[:50])
def test_a_wrong_type(unchanged, operation, body):
    reply = unchanged.raw(operation, body)
    assert (reply.status, reply.error) == (400, "SerializationException"), reply.body


def refusals():
    cluster = {"cluster": "nowhere"}
    task = "0" * 32
    not_found = "ClusterNotFoundException"
    wrong, client = "InvalidParameterException", "ClientException"
    return [
        ("RunTask", {**cluster, "taskDefinition": "web"}, not_found, "Cluster not found."),
        ("StopTask", {**cluster, "task": task}, not_found, "Cluster not found."),
        ("CreateService", {**cluster, "serviceName": "s", "taskDefinition": "web"}, not_found, "Cluster not found."),
        ("UpdateService", {**cluster, "service": "idle"}, not_found, "Cluster not found."),
        ("DeleteService", {**cluster, "service": "idle"}, not_found, "Cluster not found."),
        ("DescribeTasks", {**cluster, "tasks": [task]}, not_found, "Cluster not found."),
        ("ListTasks", cluster, not_found, "Cluster not found."),
        ("DeleteCluster", cluster, not_found, "Cluster not found."),
        ("UpdateClusterSettings", {**cluster, "settings": [{"name": "containerInsights", "value": "enabled"}]}, not_found, ""),
        ("PutAttributes", {**cluster, "attributes": [{"name": "a", "targetId": task, "targetType": "container-instance"}]}, not_found, ""),
        ("RunTask", {"taskDefinition": "web", "count": 0}, wrong, ""),
        ("RunTask", {"taskDefinition": "web", "count": -1}, wrong, ""),
        ("RunTask", {"taskDefinition": "web", "count": 11}, wrong, ""),
        ("RunTask", {"taskDefinition": "web:99"}, client, "TaskDefinition not found."),
        ("RunTask", {"taskDefinition": "web", "launchType": "MOON"}, wrong, ""),
        ("RunTask", {"taskDefinition": "web", "overrides": {"containerOverrides": [{"name": "nobody"}]}}, wrong, "nobody"),
        ("RunTask", {"taskDefinition": "web", "startedBy": "x" * 129}, wrong, ""),
        ("RunTask", {"taskDefinition": "web", "tags": many(51)}, wrong, ""),
        ("RunTask", {"taskDefinition": "web", "placementConstraints": [{"type": "memberOf", "expression": "attribute:a =="}]}, wrong, ""),
        ("RunTask", {"taskDefinition": "web", "placementStrategy": [{"type": "spread"}] * 6}, wrong, ""),
        ("StartTask", {"taskDefinition": "web", "containerInstances": []}, wrong, ""),
        ("StartTask", {"taskDefinition": "web", "containerInstances": ["a"] * 11}, wrong, ""),
        ("StopTask", {"task": task}, wrong, "The referenced task was not found."),
        ("DescribeTasks", {"tasks": [task] * 101}, wrong, ""),
        ("DescribeServices", {"services": ["s"] * 11}, wrong, ""),
        ("ListTasks", {"maxResults": 101}, wrong, ""),
        ("ListTasks", {"nextToken": "forged"}, wrong, ""),
        ("ListTasks", {"serviceName": "nowhere"}, "ServiceNotFoundException", ""),
        ("CreateService", {"serviceName": "s", "taskDefinition": "web", "desiredCount": -1}, wrong, "DesiredCount can not be lesser than 0"),
        ("CreateService", {"serviceName": "a b", "taskDefinition": "web", "desiredCount": 1}, wrong, ""),
        ("CreateService", {"serviceName": "s", "taskDefinition": "web", "desiredCount": 1, "schedulingStrategy": "SOMETIMES"}, wrong,
         "Scheduling strategy should be one of [REPLICA,DAEMON]"),
        ("CreateService", {"serviceName": "idle", "taskDefinition": "web", "desiredCount": 3}, wrong,
         "Creation of service was not idempotent."),
        ("CreateService", {"serviceName": "s", "taskDefinition": "web", "desiredCount": 1, "clientToken": "x" * 37}, wrong,
         "idempotency token longer than 36."),
        ("UpdateService", {"service": "idle", "desiredCount": -1}, wrong, "Task count can not be lesser than 0"),
        ("UpdateService", {"service": "nowhere", "desiredCount": 1}, "ServiceNotFoundException", ""),
        ("DeleteService", {"service": "nowhere"}, "ServiceNotFoundException", ""),
        ("CreateCluster", {"clusterName": "a b"}, wrong, ""),
        ("CreateCluster", {"clusterName": "x" * 256}, wrong, ""),
        ("CreateCluster", {"clusterName": "other", "tags": many(51)}, wrong, ""),
        ("CreateCluster", {"clusterName": "other", "tags": [{"key": "aws:mine", "value": ""}]}, wrong, ""),
        ("CreateCluster", {"clusterName": "other", "tags": [{"key": "k" * 129, "value": ""}]}, wrong, ""),
        ("CreateCluster", {"clusterName": "other", "settings": [{"name": "weather", "value": "fine"}]}, wrong, ""),
        ("DeleteCluster", {"cluster": "default"}, "ClusterContains", ""),
        ("RegisterTaskDefinition", {"family": "a b", "containerDefinitions": WEB["containerDefinitions"]}, client, ""),
        ("RegisterTaskDefinition", {"family": "other", "containerDefinitions": []}, client, ""),
        ("RegisterTaskDefinition", {**WEB, "networkMode": "tokenring"}, wrong, "networkMode should be one of ["),
        ("RegisterTaskDefinition", {**WEB, "cpu": "lots"}, wrong, "Invalid 'cpu' setting for task."),
        ("RegisterTaskDefinition", {**WEB, "containerDefinitions": [{"name": "main", "image": "x"}]}, client, ""),
        ("RegisterTaskDefinition", {**WEB, "containerDefinitions": [{"name": "main", "image": "x", "memory": -1}]}, client, ""),
        ("RegisterTaskDefinition", {**WEB, "containerDefinitions": WEB["containerDefinitions"] * 2}, client, ""),
        ("RegisterTaskDefinition", {**WEB, "containerDefinitions": [
            {"name": "c%d" % i, "image": "x", "memory": 8} for i in range(11)]}, client, ""),
        ("RegisterTaskDefinition", {**WEB, "containerDefinitions": [
            {"name": "main", "image": "x", "memory": 8, "portMappings": [{"containerPort": 65536}]}]}, client, ""),
        ("RegisterTaskDefinition", {**WEB, "containerDefinitions": [
            {"name": "main", "image": "x", "memory": 8, "environment": [{"name": "A", "value": "x" * 70000}]}]}, client, ""),
        ("DeregisterTaskDefinition", {"taskDefinition": "web"}, wrong, "Revision is missing"),
        ("DeregisterTaskDefinition", {"taskDefinition": "web:99"}, client, ""),
        ("DescribeTaskDefinition", {"taskDefinition": "nowhere"}, client, "Unable to describe task definition."),
        ("TagResource", {"resourceArn": "web", "tags": many(1)}, wrong, ""),
        ("TagResource", {"resourceArn": "arn:aws:ecs:us-east-1:000000000000:cluster/default", "tags": many(51)}, wrong, ""),
        ("TagResource", {"resourceArn": "arn:aws:ecs:us-east-1:000000000000:cluster/nowhere", "tags": many(1)}, wrong, ""),
        ("DeregisterContainerInstance", {"containerInstance": task}, wrong, ""),
        ("UpdateContainerInstancesState", {"containerInstances": [task], "status": "ASLEEP"}, wrong, ""),
        ("PutAttributes", {"attributes": [{"name": "a", "targetId": task, "targetType": "container-instance"}]}, "TargetNotFoundException", ""),
        ("PutAttributes", {"attributes": []}, wrong, ""),
        ("PutAccountSetting", {"name": "weather", "value": "fine"}, wrong, "weather should be one of ["),
        ("PutAccountSetting", {"name": "containerInsights", "value": "perhaps"}, wrong, ""),
        ("UpdateTaskProtection", {"cluster": "default", "tasks": ["a"] * 11, "protectionEnabled": True}, wrong, ""),
        ("SubmitTaskStateChange", {**cluster, "task": task, "status": "STOPPED"}, not_found, ""),
    ]


@pytest.mark.parametrize("operation, body, code, text", refusals(),
                         ids=lambda value: json.dumps(value)[:60] if isinstance(value, dict) else str(value)[:30])
def test_a_refusal_changes_nothing(unchanged, operation, body, code, text):
    reply = unchanged.raw(operation, body)
    assert reply.status == 400 and reply.error.startswith(code), reply.body
    assert reply.message and text in reply.message
    assert "x-amzn-RequestId" in reply.headers


def test_a_body_at_the_limit_and_one_over(unchanged):
    padding = b'{"clusters":["default"],"ignored":"' + b"x" * (BODY_LIMIT - 37) + b'"}'
    assert len(padding) == BODY_LIMIT
    assert unchanged.raw("DescribeClusters", padding).status == 200
    reply = unchanged.raw("DescribeClusters", padding + b" ")
    assert (reply.status, reply.error) == (413, "RequestEntityTooLargeException")


def test_unknown_operations(unchanged):
    for operation in ("Nothing", "", "DescribeClusters2", "describeclusters"):
        assert unchanged.raw(operation, {}).error == "UnknownOperationException"
    assert unchanged.raw("ListClusters", {}, prefix="SomeOtherService.").error == "UnknownOperationException"


def test_unknown_members_are_ignored(unchanged):
    assert unchanged.raw("DescribeClusters", {"clusters": ["default"], "mood": {"very": ["good", None, 1.5e3]}}).status == 200


# ---- a full disk

MS_NOSUID = 2


@pytest.fixture
def small_disk(tmp_path):
    libc = ctypes.CDLL(None, use_errno=True)
    folder = tmp_path / "disk"
    folder.mkdir()
    if libc.mount(b"tmpfs", str(folder).encode(), b"tmpfs", MS_NOSUID, b"size=3m") != 0:
        pytest.skip("cannot mount a tmpfs here: " + os.strerror(ctypes.get_errno()))
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


@pytest.mark.root
def test_a_full_disk(world, small_disk, tmp_path):
    own = Wherry(small_disk / "data", agent=False)
    own.output = str(tmp_path / "output")
    own.start()
    try:
        assert fill(own)
        own = recovered(own, small_disk)
        names = {arn.rsplit("/", 1)[1] for page in own.ecs.get_paginator("list_clusters").paginate() for arn in page["clusterArns"]}
        assert set(own.made) - names == set(), "acknowledged and lost"
        own.ecs.create_cluster(clusterName="afterwards")
        own.down()
    finally:
        own.give_up()


def fill(own):
    """Makes clusters until one is refused, and asserts that the refusal is a server's fault told as one."""
    client, own.made = own.client(retries=0), []
    for i in range(20000):
        name = "cluster-%d" % i
        try:
            client.create_cluster(clusterName=name, tags=[{"key": "k%d" % k, "value": "v" * 250} for k in range(40)])
        except botocore.exceptions.ClientError as error:
            assert error.response["ResponseMetadata"]["HTTPStatusCode"] in (500, 503), error
            assert error.response["Error"]["Code"] in ("ServerException", "InternalFailure", "ServiceUnavailable"), error
            return True
        own.made.append(name)
    return False


def recovered(own, folder):
    """More room; what ended because it could not write is started again, as its supervisor would."""
    own.process.wait(20)
    assert own.process.returncode == 1, own.log()
    assert "full" in own.log() or "space" in own.log(), own.log()
    subprocess.run(["mount", "-o", "remount,size=64m", str(folder)], check=True)
    own.start()
    own.wait_health()
    return own
