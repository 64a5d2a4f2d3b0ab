"""What containers and people may ask the agent: task metadata, stats, credentials, protection, introspection; and what the
server shows of it. Asked from within the containers' networks."""
import ctypes
import http.client
import json
import os
import re
import threading
import urllib.parse

import pytest

from wherry import CLONE_NEWNET, STAY, container, eventually, free_port, http_get, lifetime

pytestmark = pytest.mark.root

BUSY = "trap 'exit 0' TERM; while :; do :; done"
INTROSPECTION = free_port()


@pytest.fixture(scope="module")
def machine(new_wherry, tmp_path_factory):
    yield from lifetime(new_wherry(tmp_path_factory.mktemp("up") / "data", cidr="10.92.0.1/20", supervised=False,
                                   environment={"WHERRY_INTROSPECTION_PORT": str(INTROSPECTION)}))


def inside(pid, url, method="GET", body=None):
    """(status, body) of a request made from the network of a process."""
    answer = []

    def ask():
        libc = ctypes.CDLL(None, use_errno=True)
        netns = os.open("/proc/%d/ns/net" % pid, os.O_RDONLY)
        try:
            assert libc.setns(netns, CLONE_NEWNET) == 0
        finally:
            os.close(netns)
        parts = urllib.parse.urlsplit(url)
        connection = http.client.HTTPConnection(parts.hostname, parts.port or 80, timeout=10)
        try:
            connection.request(method, parts.path + ("?" + parts.query if parts.query else ""), body=body)
            reply = connection.getresponse()
            answer.append((reply.status, reply.read().decode()))
        except OSError as problem:
            answer.append((0, str(problem)))
        finally:
            connection.close()
    thread = threading.Thread(target=ask)
    thread.start()
    thread.join()
    return answer[0]


class Guest:
    """A running task of one container, and its view."""

    def __init__(self, machine, arn, name="main"):
        self.machine, self.arn, self.name = machine, arn, name
        self.task_id = arn.rsplit("/", 1)[1]
        self.pid = machine.main_process(arn, name)
        self.environment = eventually(self.read_environment, what="the environment of " + arn)
        self.uri = self.environment["ECS_CONTAINER_METADATA_URI_V4"]

    def read_environment(self):
        """Absent until the runtime has become the container's first process."""
        pairs = open("/proc/%d/environ" % self.pid, "rb").read().decode().split("\0")
        found = dict(pair.split("=", 1) for pair in pairs if "=" in pair)
        return found if "ECS_CONTAINER_METADATA_URI_V4" in found else None

    def get(self, path="", base=None):
        status, body = inside(self.pid, (base or self.uri) + path)
        assert status == 200, (status, body)
        return json.loads(body)


def start(machine, family, command=STAY, mode="bridge", **more):
    arn = machine.run_task(machine.register(family, containers=[container("main", command, **more)], mode=mode))
    machine.wait_task(arn, "RUNNING")
    return Guest(machine, arn)


def test_a_container_reads_its_own_metadata(machine):
    """With nothing but what stands in its environment, in its first moment."""
    arn = machine.run_task(machine.register("own", mode="bridge", containers=[container(
        "main", "wget -qO- $ECS_CONTAINER_METADATA_URI_V4; echo; wget -qO- $ECS_CONTAINER_METADATA_URI/task; echo; "
        "echo $AWS_REGION $AWS_DEFAULT_REGION")]))
    machine.wait_task(arn, "STOPPED")
    own, task, region = machine.logs(arn)
    own, task = json.loads(own), json.loads(task)
    assert own["Name"] == "main" and own["Type"] == "NORMAL" and re.fullmatch("[0-9a-f]{64}", own["DockerId"])
    assert own["Labels"]["com.amazonaws.ecs.task-arn"] == arn
    assert own["Networks"][0]["NetworkMode"] == "bridge" and own["Networks"][0]["IPv4Addresses"][0].startswith("10.92.")
    assert (own["Limits"], own["LogDriver"]) == ({"CPU": 16, "Memory": 32}, "json-file")
    assert (task["TaskARN"], task["Family"], task["Revision"]) == (arn, "own", "1")
    assert task["Containers"][0]["DockerId"] == own["DockerId"]
    assert "FaultInjectionEnabled" not in task
    assert region == "us-east-1 us-east-1"


@pytest.mark.parametrize("mode", ["bridge", "host", "none", "awsvpc"])
def test_every_network_has_it(machine, mode):
    if mode == "awsvpc":
        subnets = [subnet["SubnetId"] for subnet in machine.client(service="ec2").describe_subnets()["Subnets"]][:16]
        arn = machine.run_task(machine.register("in-awsvpc", containers=[container("main", STAY)], mode=mode),
                               networkConfiguration={"awsvpcConfiguration": {"subnets": subnets}})
        machine.wait_task(arn, "RUNNING")
        guest = Guest(machine, arn)
    else:
        guest = start(machine, "in-" + mode, mode=mode)
    task = eventually(lambda: (lambda t: t if t["KnownStatus"] == "RUNNING" else None)(guest.get("/task")), what="RUNNING")
    assert task["TaskARN"] == guest.arn and task["FaultInjectionEnabled"] is False
    assert task["Containers"][0]["Networks"][0]["NetworkMode"] == mode
    assert guest.get()["KnownStatus"] == "RUNNING"
    assert guest.get("", guest.environment["ECS_CONTAINER_METADATA_URI"])["Name"] == "main"
    stats = guest.get("/stats")
    assert stats["memory_stats"]["usage"] > 0 and stats["cpu_stats"]["cpu_usage"]["total_usage"] > 0
    assert ("networks" in stats) == (mode in ("bridge", "awsvpc"))
    assert list(guest.get("/task/stats")) == [task["Containers"][0]["DockerId"]]
    machine.end_task(guest.arn)


def test_port_80_is_the_containers_own(machine):
    guest = start(machine, "eighty", "mkdir -p /tmp/w; echo mine > /tmp/w/index.html; httpd -p 80 -h /tmp/w; " + STAY)
    eventually(lambda: inside(guest.pid, "http://127.0.0.1/") == (200, "mine\n"), what="httpd")
    assert guest.get()["Name"] == "main"
    machine.ecs.stop_task(task=guest.arn)


def test_stats_move(machine):
    guest = start(machine, "busy", BUSY, cpu=512)

    def burns():
        stats = guest.get("/stats")
        now, before = (stats[name]["cpu_usage"]["total_usage"] for name in ("cpu_stats", "precpu_stats"))
        return before and now - before > 10**6 and stats["read"] > stats["preread"]
    eventually(burns, what="CPU time that grows")
    first = guest.get("/stats")["networks"]["eth0"]["rx_bytes"]
    address = guest.get()["Networks"][0]["IPv4Addresses"][0]

    def grows():
        try:
            http_get(1, host=address, timeout=1)
        except OSError:
            pass
        return guest.get("/stats")["networks"]["eth0"]["rx_bytes"] > first
    eventually(grows, what="bytes received")

    def shown():
        rows = [line.split() for line in machine.run("top", "--once").stdout.splitlines() if line.startswith(guest.task_id[:12])]
        return rows and float(rows[0][2]) > 0 and rows[0]
    row = eventually(shown, what="the busy task in wherry top")
    assert row[1] == "main"

    def page():
        text = http_get(machine.port, "/_wherry/metrics")
        found = re.search(r'^wherry_task_cpu_percent\{cluster="default",task="%s"\} (\S+)' % guest.task_id, text, re.M)
        return found and float(found.group(1)) > 0 and text
    text = eventually(page, what="the busy task among the metrics")
    assert 'wherry_task_memory_limit_bytes{cluster="default",task="%s"} 33554432' % guest.task_id in text
    assert re.search(r'^wherry_cluster_cpu_percent\{cluster="default"\} [\d.]+$', text, re.M)
    machine.ecs.stop_task(task=guest.arn)


def test_no_task_reads_anothers(machine):
    guests = [start(machine, "apart", mode=mode) for mode in ("bridge", "bridge", "host")]
    for asking in guests:
        for asked in guests:
            status, body = inside(asking.pid, asked.uri + "/task")
            if asking is asked:
                assert status == 200
            else:
                assert (status, json.loads(body)[:31]) == (404, "V4 container metadata handler: ")
            protection = inside(asking.pid, asked.environment["ECS_AGENT_URI"] + "/task-protection/v1/state")
            assert (protection[0] == 404) == (asking is not asked)
    assert len({guest.uri for guest in guests}) == 3
    made_up = guests[0].uri[:-12] + "0123456789ab"
    assert inside(guests[0].pid, made_up)[0] == 404
    # The agent's own ports are no way around.
    assert inside(guests[0].pid, "http://169.254.170.2:%d/v1/tasks" % INTROSPECTION)[0] == 0
    for guest in guests:
        machine.ecs.stop_task(task=guest.arn)


def test_credentials_are_refused_without_a_role(machine):
    guest = start(machine, "roleless")
    assert "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI" not in guest.environment
    for path, code in (("/v2/credentials/", "NoIdInRequest"), ("/v2/credentials/d8ffa9f8-0000-4000-8000-000000000000", "InvalidIdInRequest"),
                       ("/v1/credentials", "NoIdInRequest"), ("/v1/credentials?id=x", "InvalidIdInRequest")):
        status, body = inside(guest.pid, "http://169.254.170.2" + path)
        assert (status, json.loads(body)["code"], json.loads(body)["HTTPErrorCode"]) == (400, code, 400)
    assert inside(guest.pid, "http://169.254.170.2/")[0] == 404
    assert inside(guest.pid, guest.uri, "DELETE")[0] == 405
    assert inside(guest.pid, guest.uri + "/" + "x" * 4000)[0] == 414
    api = guest.environment["ECS_AGENT_URI"]
    status, body = inside(guest.pid, api + "/fault/v1/network-latency/start", "POST", "{}")
    assert status == 400 and json.loads(body) == {"Error": "enableFaultInjection is not enabled for task: " + guest.arn}
    machine.ecs.stop_task(task=guest.arn)


def test_a_task_protects_itself(machine):
    definition = machine.register("protected", mode="bridge", containers=[container("main", STAY)])
    machine.ecs.create_service(serviceName="protected", taskDefinition=definition, desiredCount=1)
    arn = eventually(lambda: machine.ecs.list_tasks(serviceName="protected", desiredStatus="RUNNING")["taskArns"], what="a task")[0]
    machine.wait_task(arn, "RUNNING")
    guest = Guest(machine, arn)
    state = guest.environment["ECS_AGENT_URI"] + "/task-protection/v1/state"
    assert guest.get("/task")["ServiceName"] == "protected"
    assert guest.get(base=state) == {"protection": {"ProtectionEnabled": False, "TaskArn": arn}}
    status, body = inside(guest.pid, state, "PUT", json.dumps({"ProtectionEnabled": True, "ExpiresInMinutes": 60}))
    assert status == 200 and json.loads(body)["protection"]["ProtectionEnabled"] is True
    assert json.loads(body)["protection"]["ExpirationDate"].endswith("Z")
    told = machine.ecs.get_task_protection(cluster="default", tasks=[arn])["protectedTasks"][0]
    assert told["protectionEnabled"] is True
    for wrong in ("", "{}", "[]", '{"ProtectionEnabled":true,"Other":1}', '{"ProtectionEnabled":"yes"}'):
        assert inside(guest.pid, state, "PUT", wrong)[0] == 400, wrong
    assert inside(guest.pid, state, "PUT", json.dumps({"ProtectionEnabled": False}))[0] == 200
    machine.ecs.tag_resource(resourceArn=arn, tags=[{"key": "colour", "value": "teal"}])
    assert guest.get("/taskWithTags")["TaskTags"] == {"colour": "teal"}
    rows = [line.split() for line in machine.run("top", "--once").stdout.splitlines()]
    eventually(lambda: [line for line in machine.run("top", "--once").stdout.splitlines() if guest.task_id[:12] in line and
                        " protected " in line], what="the service's name in %s" % rows)
    machine.ecs.delete_service(service="protected", force=True)


def test_people_look_at_all_tasks(machine):
    guest = start(machine, "seen")
    instance = json.loads(http_get(INTROSPECTION, "/v1/metadata"))
    assert instance["ContainerInstanceArn"] == machine.instances()[0]["containerInstanceArn"]
    tasks = {task["Arn"]: task for task in json.loads(http_get(INTROSPECTION, "/v1/tasks"))["Tasks"]}
    assert tasks[guest.arn]["Containers"][0]["Name"] == "main"
    docker_id = guest.get()["DockerId"]
    for query in ("taskarn=" + guest.arn, "dockerid=" + docker_id, "dockerid=" + docker_id[:12]):
        assert json.loads(http_get(INTROSPECTION, "/v1/tasks?" + query))["Arn"] == guest.arn
    assert json.loads(http_get(INTROSPECTION, "/v1/tasks?taskarn=none")) == {}
    assert json.loads(http_get(INTROSPECTION, "/"))["AvailableCommands"] == ["/v1/metadata", "/v1/tasks", "/license"]
    assert "Apache" in http_get(INTROSPECTION, "/license")
    machine.ecs.stop_task(task=guest.arn)


def test_an_agent_that_starts_again_serves_the_same(machine):
    guests = [start(machine, "again", mode=mode) for mode in ("bridge", "none", "host")]
    before = [guest.get()["DockerId"] for guest in guests]
    machine.crash("agent")
    for guest, docker_id in zip(guests, before):
        assert eventually(lambda: inside(guest.pid, guest.uri)[0] == 200, what="the endpoint of " + guest.arn)
        assert guest.get()["DockerId"] == docker_id
    assert inside(guests[0].pid, guests[1].uri)[0] == 404
    for guest in guests:
        machine.ecs.stop_task(task=guest.arn)
