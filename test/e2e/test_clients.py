"""The AWS CLI, boto3 and the JavaScript SDK drive every built operation: the same story, told by each of them."""
import json
import re
import subprocess

import botocore
import botocore.exceptions
import botocore.session
import pytest

import contract
import wherry
from wherry import STAY, container, eventually

pytestmark = pytest.mark.root

WAITERS = {"TasksRunning": "tasks_running", "TasksStopped": "tasks_stopped", "ServicesStable": "services_stable",
           "ServicesInactive": "services_inactive"}


class Refused(Exception):
    def __init__(self, code, message):
        super().__init__("%s: %s" % (code, message))
        self.code, self.message = code, message


class Boto3:
    name = "boto3"

    def __init__(self, machine):
        self.client = machine.client()
        self.operations = set(self.client.meta.service_model.operation_names)

    def call(self, operation, **members):
        try:
            reply = getattr(self.client, botocore.xform_name(operation))(**members)
        except botocore.exceptions.ClientError as error:
            raise Refused(error.response["Error"]["Code"], error.response["Error"]["Message"]) from error
        assert re.fullmatch("[0-9a-f-]{36}", reply.pop("ResponseMetadata")["RequestId"])
        return reply

    def wait(self, waiter, **members):
        self.client.get_waiter(WAITERS[waiter]).wait(WaiterConfig={"Delay": 0.2, "MaxAttempts": 300}, **members)

    def end(self):
        pass


class Cli:
    name = "cli"

    def __init__(self, machine):
        self.machine = machine
        self.operations = set(botocore.session.get_session().get_service_model("ecs").operation_names)

    def run(self, *arguments):
        done = self.machine.aws("ecs", *arguments)
        if done.returncode:
            found = re.search(r"\((\w+)\) when calling the \w+ operation: (.*)", done.stderr)
            raise Refused(*(found.groups() if found else ("CLI", done.stderr)))
        return json.loads(done.stdout) if done.stdout.strip() else {}

    def call(self, operation, **members):
        return self.run(botocore.xform_name(operation, "-"), "--cli-input-json", json.dumps(members))

    def wait(self, waiter, **members):
        self.run("wait", WAITERS[waiter].replace("_", "-"), "--cli-input-json", json.dumps(members))

    def end(self):
        pass


class JavaScript:
    name = "js"

    def __init__(self, machine):
        self.process = subprocess.Popen(["node", "drive.mjs"], cwd=wherry.BUILD / "js", stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                        text=True, env=machine.sdk_environment())
        self.operations = set(self.call("operations"))

    def ask(self, question):
        self.process.stdin.write(json.dumps(question) + "\n")
        self.process.stdin.flush()
        reply = json.loads(self.process.stdout.readline())
        if "error" in reply:
            raise Refused(reply["error"], reply["message"])
        return reply["output"]

    def call(self, operation, **members):
        return self.ask({"op": operation, "input": members})

    def wait(self, waiter, **members):
        assert self.ask({"wait": waiter, "input": members, "seconds": 60})["state"] == "SUCCESS"

    def end(self):
        self.process.stdin.close()
        self.process.wait(10)
        self.process.stdout.close()


@pytest.fixture(scope="module", params=[Boto3, Cli, JavaScript], ids=lambda kind: kind.name)
def client(request, machine, world):
    if request.param is JavaScript and world["sdk"]:
        pytest.skip(world["sdk"])
    own = request.param(machine)
    yield own
    own.end()


class Story:
    """Calls, and remembers which operations were called; what a client's model does not know is called raw."""

    def __init__(self, client, machine):
        self.client, self.machine, self.told = client, machine, set()

    def __getattr__(self, operation):
        def call(**members):
            self.told.add(operation)
            if operation in self.client.operations:
                return self.client.call(operation, **members)
            reply = self.machine.raw(operation, members)
            if reply.status != 200:
                raise Refused(reply.error, reply.message)
            return reply.json
        return call

    def wait(self, waiter, **members):
        self.client.wait(waiter, **members)


@pytest.fixture
def story(client, machine):
    return Story(client, machine)


def clusters(story, name):
    made = story.CreateCluster(clusterName=name, tags=[{"key": "owner", "value": "tests"}],
                               settings=[{"name": "containerInsights", "value": "enabled"}])["cluster"]
    assert made["status"] == "ACTIVE" and made["clusterArn"].endswith(":cluster/" + name)
    story.UpdateCluster(cluster=name, settings=[{"name": "containerInsights", "value": "disabled"}])
    story.UpdateClusterSettings(cluster=name, settings=[{"name": "containerInsights", "value": "enabled"}])
    found = story.DescribeClusters(clusters=[name, "nowhere"], include=["TAGS", "SETTINGS", "STATISTICS"])
    assert found["clusters"][0]["tags"] == [{"key": "owner", "value": "tests"}]
    assert found["clusters"][0]["settings"][0]["value"] == "enabled"
    assert {s["name"] for s in found["clusters"][0]["statistics"]} >= {"runningEC2TasksCount"}
    assert [f["reason"] for f in found["failures"]] == ["MISSING"]
    assert made["clusterArn"] in story.ListClusters()["clusterArns"]
    return made["clusterArn"]


def tags(story, arn):
    story.TagResource(resourceArn=arn, tags=[{"key": "a", "value": "1"}, {"key": "b", "value": ""}])
    story.UntagResource(resourceArn=arn, tagKeys=["a"])
    assert {"key": "b", "value": ""} in story.ListTagsForResource(resourceArn=arn)["tags"]


def settings(story):
    story.PutAccountSettingDefault(name="containerInsights", value="disabled")
    story.PutAccountSetting(name="containerInsights", value="enabled")
    found = story.ListAccountSettings(name="containerInsights", effectiveSettings=True)["settings"]
    assert [s["value"] for s in found] == ["enabled"]
    story.DeleteAccountSetting(name="containerInsights")


def definitions(story, family):
    first = story.RegisterTaskDefinition(family=family, containerDefinitions=[container("main", STAY, stopTimeout=2)],
                                         networkMode="host", tags=[{"key": "k", "value": "v"}])
    assert first["taskDefinition"]["revision"] == 1
    story.RegisterTaskDefinition(family=family, containerDefinitions=[container("main", "exit 0")], networkMode="host")
    found = story.DescribeTaskDefinition(taskDefinition=family, include=["TAGS"])
    assert found["taskDefinition"]["revision"] == 2 and found.get("tags", []) == []
    assert story.ListTaskDefinitionFamilies(familyPrefix=family)["families"] == [family]
    assert len(story.ListTaskDefinitions(familyPrefix=family, sort="DESC")["taskDefinitionArns"]) == 2
    assert story.DeregisterTaskDefinition(taskDefinition=family + ":2")["taskDefinition"]["status"] == "INACTIVE"
    gone = story.DeleteTaskDefinitions(taskDefinitions=[family + ":2"])
    assert gone["taskDefinitions"][0]["status"] == "DELETE_IN_PROGRESS"
    return family + ":1"


def instances(story, name):
    arn = story.ListContainerInstances()["containerInstanceArns"][0]
    found = story.DescribeContainerInstances(containerInstances=[arn])["containerInstances"][0]
    assert found["status"] == "ACTIVE" and found["agentConnected"]
    story.PutAttributes(attributes=[{"name": "rack", "value": "7", "targetType": "container-instance", "targetId": arn}])
    listed = story.ListAttributes(targetType="container-instance", attributeName="rack")["attributes"]
    assert [a["value"] for a in listed] == ["7"]
    story.DeleteAttributes(attributes=[{"name": "rack", "targetType": "container-instance", "targetId": arn}])
    for status in ("DRAINING", "ACTIVE"):
        changed = story.UpdateContainerInstancesState(containerInstances=[arn], status=status)
        assert [i["status"] for i in changed["containerInstances"]] == [status]
    other = story.RegisterContainerInstance(cluster=name, totalResources=[
        {"name": "CPU", "type": "INTEGER", "integerValue": 1024}, {"name": "MEMORY", "type": "INTEGER", "integerValue": 1024}])
    other = other["containerInstance"]["containerInstanceArn"]
    done = story.DeregisterContainerInstance(cluster=name, containerInstance=other, force=True)
    assert done["containerInstance"]["status"] == "INACTIVE"
    return arn


def tasks(story, definition, instance):
    run = story.RunTask(taskDefinition=definition, startedBy="story", enableECSManagedTags=True)["tasks"][0]["taskArn"]
    started = story.StartTask(taskDefinition=definition, containerInstances=[instance])["tasks"][0]["taskArn"]
    story.wait("TasksRunning", tasks=[run, started])
    assert run in story.ListTasks(startedBy="story")["taskArns"]
    assert [t["lastStatus"] for t in story.DescribeTasks(tasks=[run, started])["tasks"]] == ["RUNNING"] * 2
    for arn in (run, started):
        assert story.StopTask(task=arn, reason="the end")["task"]["desiredStatus"] == "STOPPED"
    eventually(lambda: story.machine.task(run)["lastStatus"] == story.machine.task(started)["lastStatus"] == "STOPPED")
    story.wait("TasksStopped", tasks=[run, started])
    assert [t["stoppedReason"] for t in story.DescribeTasks(tasks=[run, started])["tasks"]] == ["the end"] * 2


def services(story, name, definition):
    made = story.CreateService(serviceName=name, taskDefinition=definition, desiredCount=1)["service"]
    assert made["status"] == "ACTIVE" and made["deployments"][0]["status"] == "PRIMARY"
    eventually(lambda: story.machine.service(name)["runningCount"] == 1)
    story.wait("ServicesStable", services=[name])
    assert story.DescribeServices(services=[name])["services"][0]["runningCount"] == 1
    assert made["serviceArn"] in story.ListServices()["serviceArns"]
    task = story.ListTasks(serviceName=name)["taskArns"][0]
    shielded = story.UpdateTaskProtection(cluster="default", tasks=[task], protectionEnabled=True)
    assert shielded["protectedTasks"][0]["protectionEnabled"]
    assert story.GetTaskProtection(cluster="default", tasks=[task])["protectedTasks"][0]["protectionEnabled"]
    story.UpdateTaskProtection(cluster="default", tasks=[task], protectionEnabled=False)
    story.UpdateService(service=name, desiredCount=0)
    eventually(lambda: story.machine.service(name)["runningCount"] == 0)
    assert story.DeleteService(service=name)["service"]["status"] in ("DRAINING", "INACTIVE")
    eventually(lambda: story.machine.service(name)["status"] == "INACTIVE")
    story.wait("ServicesInactive", services=[name])


def agent_calls(story):
    assert story.DiscoverPollEndpoint(cluster="default")["endpoint"].startswith("http")
    no_task = "arn:aws:ecs:us-east-1:000000000000:task/default/" + "0" * 32      # whose end the agent need not tell again
    about = {"cluster": "default", "task": no_task, "status": "STOPPED"}
    assert story.SubmitTaskStateChange(**about)["acknowledgment"] == "ACCEPT"
    assert story.SubmitContainerStateChange(**about, containerName="main")["acknowledgment"] == "ACCEPT"
    attached = [{"attachmentArn": no_task, "status": "ATTACHED"}]
    assert story.SubmitAttachmentStateChanges(cluster="default", attachments=attached)["acknowledgment"] == "ACCEPT"


def test_every_built_operation(client, machine, story):
    name = "story-" + client.name
    arn = clusters(story, name)
    tags(story, arn)
    settings(story)
    definition = definitions(story, name)
    instance = instances(story, name)
    tasks(story, definition, instance)
    services(story, name, definition)
    agent_calls(story)
    assert story.DeleteCluster(cluster=name)["cluster"]["status"] == "INACTIVE"
    assert {op for op in contract.operations() if contract.built(op)} - story.told == set()


def test_unbuilt_operations_say_so(client, machine):
    unbuilt = [op for op in contract.operations() if not contract.built(op)]
    assert unbuilt
    for operation in unbuilt:
        if client.name != "js" or operation not in client.operations:
            reply = machine.raw(operation, contract.least_input(operation))
            assert (reply.status, reply.error) == (400, "UnsupportedFeatureException"), (operation, reply.body)
            assert operation in reply.message
            continue
        with pytest.raises(Refused) as refused:
            client.call(operation, **contract.least_input(operation))
        assert refused.value.code == "UnsupportedFeatureException", operation
        assert operation in refused.value.message
    with pytest.raises(Refused) as refused:
        client.call("DescribeCapacityProviders")
    assert refused.value.code == "UnsupportedFeatureException"


def test_the_newest_sdk_knows_no_operation_that_we_do_not(client):
    if client.name == "js":
        assert client.operations - set(contract.operations()) == set()


def test_errors_arrive_as_their_own_types(client, story):
    for operation, members, code, message in (
            ("DescribeServices", {"cluster": "nowhere", "services": ["x"]}, "ClusterNotFoundException", "Cluster not found."),
            ("UpdateService", {"service": "nowhere"}, "ServiceNotFoundException", ""),
            ("RunTask", {"taskDefinition": "nowhere"}, "ClientException", "TaskDefinition not found."),
            ("StopTask", {"task": "0" * 32}, "InvalidParameterException", "The referenced task was not found.")):
        with pytest.raises(Refused) as refused:
            getattr(story, operation)(**members)
        assert (refused.value.code, message in refused.value.message) == (code, True), refused.value


def test_lists_are_paged(client, machine, story):
    family = "pages-" + client.name
    for _ in range(5):
        machine.register(family, "true")
    seen, token = [], None
    while True:
        more = {"nextToken": token} if token else {}
        page = story.ListTaskDefinitions(familyPrefix=family, maxResults=2, **more)
        seen += page["taskDefinitionArns"]
        token = page.get("nextToken")
        if not token:
            break
    assert [arn.rsplit(":", 1)[1] for arn in seen] == [str(i) for i in range(1, 6)]
