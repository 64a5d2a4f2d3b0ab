"""kill -9, at any moment: of the server nothing that was answered is lost; of the agent no container, exit code or line."""
import os
import random
import signal
import threading
import time

import botocore.exceptions
import pytest

from wherry import STAY, container, eventually, lifetime, started_at

pytestmark = pytest.mark.root

CRASHES, CLIENTS = 40, 4
INTERRUPTED = (botocore.exceptions.HTTPClientError, botocore.exceptions.ConnectionError)
# One writer whose lines are counted: the second, slow half is written while nobody is there.
WRITER = "i=0; while [ $i -lt %d ]; do i=$((i+1)); echo line $i; sleep 0.02; done; exit 9"


class Caller(threading.Thread):
    """Makes things until told to stop, and keeps a list of what was acknowledged."""

    def __init__(self, own, name, definition):
        super().__init__(daemon=True)
        self.own, self.name, self.definition = own, name, definition
        self.client = own.client(retries=0)
        self.done, self.acknowledged, self.refused = threading.Event(), [], 0

    def calls(self, number):
        name = "%s-%d" % (self.name, number)
        cluster = self.client.create_cluster(clusterName=name)["cluster"]["clusterArn"]
        yield "cluster", cluster
        self.client.tag_resource(resourceArn=cluster, tags=[{"key": "number", "value": str(number)}])
        yield "tag", (cluster, str(number))
        yield "definition", self.client.register_task_definition(
            family=name, containerDefinitions=[container("main", STAY)])["taskDefinition"]["taskDefinitionArn"]
        yield "service", self.client.create_service(cluster=name, serviceName=name, taskDefinition=self.definition,
                                                    desiredCount=0)["service"]["serviceArn"]
        reply = self.client.run_task(taskDefinition=self.definition, startedBy=name)
        if reply["tasks"]:
            task = reply["tasks"][0]["taskArn"]
            yield "task", task
            self.client.stop_task(task=task, reason=name)
            yield "stop", (task, name)

    def run(self):
        number = 0
        while not self.done.is_set():
            number += 1
            try:
                for kind, what in self.calls(number):
                    self.acknowledged.append((kind, what))
            except INTERRUPTED:
                self.refused += 1
                self.done.wait(0.02)
            except botocore.exceptions.ClientError as error:
                assert error.response["ResponseMetadata"]["HTTPStatusCode"] in (500, 503), error
                self.refused += 1
                self.done.wait(0.02)


def missing(own, acknowledged):
    """What was acknowledged and is not there."""
    by_kind = {}
    for kind, what in acknowledged:
        by_kind.setdefault(kind, []).append(what)
    ecs, lost = own.ecs, []
    clusters = set(sum((page["clusterArns"] for page in ecs.get_paginator("list_clusters").paginate()), []))
    definitions = set(sum((page["taskDefinitionArns"] for page in ecs.get_paginator("list_task_definitions").paginate()), []))
    lost += [c for c in by_kind.get("cluster", []) if c not in clusters]
    lost += [d for d in by_kind.get("definition", []) if d not in definitions]
    for arn, number in by_kind.get("tag", []):
        if {"key": "number", "value": number} not in ecs.list_tags_for_resource(resourceArn=arn)["tags"]:
            lost.append(("tag", arn))
    for arn in by_kind.get("service", []):
        cluster, name = arn.split("/")[-2:]
        if not ecs.describe_services(cluster=cluster, services=[name])["services"]:
            lost.append(arn)
    tasks = {}
    wanted = by_kind.get("task", [])
    for i in range(0, len(wanted), 100):
        tasks.update({task["taskArn"]: task for task in ecs.describe_tasks(tasks=wanted[i:i + 100])["tasks"]})
    lost += [task for task in wanted if task not in tasks]
    lost += [("stop", task) for task, reason in by_kind.get("stop", [])
             if task in tasks and (tasks[task]["desiredStatus"] != "STOPPED" or tasks[task]["stoppedReason"] != reason)]
    return lost


@pytest.fixture(scope="module")
def fragile(new_wherry, tmp_path_factory):
    """Server and agent without a supervisor."""
    yield from lifetime(new_wherry(tmp_path_factory.mktemp("fragile") / "data", cidr="10.92.0.1/20", supervised=False))


def test_a_crashing_server_loses_nothing_that_it_answered(fragile):
    own = fragile
    definition = own.register("under-load", STAY)
    chance = random.Random(7)
    callers = [Caller(own, "caller%d" % i, definition) for i in range(CLIENTS)]
    for caller in callers:
        caller.start()
    try:
        for _ in range(CRASHES):
            before = sum(len(caller.acknowledged) for caller in callers)
            eventually(lambda before=before: sum(len(c.acknowledged) for c in callers) > before + 20, 40, 0.01, "progress between crashes")
            time.sleep(chance.random() * 0.05)           # anywhere, not always after the same call
            own.crash("server")
    finally:
        for caller in callers:
            caller.done.set()
    for caller in callers:
        caller.join(60)
        assert not caller.is_alive()
    acknowledged = sum((caller.acknowledged for caller in callers), [])
    assert sum(caller.refused for caller in callers) >= 1, "no call was ever interrupted"
    assert len(acknowledged) > 20 * CRASHES
    assert missing(own, acknowledged) == []
    eventually(lambda: own.instances(), what="the agent's return")
    for arn in own.ecs.list_tasks(maxResults=100)["taskArns"]:
        own.ecs.stop_task(task=arn)
    eventually(lambda: not own.ecs.list_tasks()["taskArns"], 60, what="every task's end")


def writers(own, family, lines, count=2):
    definition = own.register(family, WRITER % lines)
    arns = [task["taskArn"] for task in own.ecs.run_task(taskDefinition=definition, count=count)["tasks"]]
    for arn in arns:
        own.wait_task(arn, "RUNNING")
    return arns


def identity(own, arn):
    pid = own.main_process(arn)
    return pid, started_at(pid)


def written(own, arn):
    return own.logs(arn)


def test_a_crashing_agent_touches_no_container(fragile):
    machine = fragile
    arns = [machine.run_task(machine.register("untouched", STAY)) for _ in range(2)]
    for arn in arns:
        machine.wait_task(arn, "RUNNING")
    before = [identity(machine, arn) for arn in arns]
    assert all(start for _, start in before)
    for _ in range(3):
        old = machine.crash("agent")
        eventually(lambda old=old: machine.child("agent") != old, what="another agent")
        eventually(lambda: machine.instances(), what="its connection")
    assert [identity(machine, arn) for arn in arns] == before
    assert [machine.task(arn)["lastStatus"] for arn in arns] == ["RUNNING"] * 2
    for arn in arns:
        machine.ecs.stop_task(task=arn)
    for arn in arns:
        assert machine.wait_task(arn, "STOPPED")["containers"][0]["exitCode"] == 0


def test_no_exit_code_and_no_line_is_lost_while_the_agent_is_away(machine):
    arns = writers(machine, "away", 150)
    agent = machine.child("agent")
    os.kill(agent, signal.SIGSTOP)                       # held, so that no new one comes before the containers have ended
    pids = [machine.main_process(arn) for arn in arns]
    eventually(lambda: not any(os.path.exists("/proc/%d" % pid) for pid in pids), what="the containers' end")
    os.kill(agent, signal.SIGKILL)
    for arn in arns:
        assert machine.wait_task(arn, "STOPPED")["containers"][0]["exitCode"] == 9
        assert written(machine, arn) == ["line %d" % i for i in range(1, 151)]


def test_a_crash_of_both_loses_nothing(machine):
    arns = writers(machine, "both", 200)
    before = [identity(machine, arn) for arn in arns]
    agent, server = machine.child("agent"), machine.child("server")
    os.kill(server, signal.SIGKILL)
    os.kill(agent, signal.SIGKILL)
    machine.wait_health()
    assert [identity(machine, arn) for arn in arns] == before
    for arn in arns:
        assert machine.wait_task(arn, "STOPPED", 60)["containers"][0]["exitCode"] == 9
        assert written(machine, arn) == ["line %d" % i for i in range(1, 201)]


def test_a_task_is_run_once_however_often_the_agent_crashes(fragile):
    """A crash between any two steps of a start neither loses the task nor starts it twice."""
    machine = fragile
    definition = machine.register("once", "echo started; " + STAY)
    chance = random.Random(3)
    arns = []
    for _ in range(4):
        arns += [task["taskArn"] for task in machine.ecs.run_task(taskDefinition=definition, count=2)["tasks"]]
        time.sleep(chance.random() * 0.06)               # somewhere in the start
        machine.crash("agent")
        eventually(lambda: machine.instances(), what="the agent's return")
    for arn in arns:
        machine.wait_task(arn, "RUNNING", 60)
        eventually(lambda arn=arn: machine.logs(arn) == ["started"], what="one line of " + arn)
    machine.stop_all()


def test_a_crash_between_two_starts_of_a_task_leaves_it_one_network(machine):
    """The first container runs and the second waits for it: the next agent, too, starts the second beside the first."""
    first = container("main", STAY, healthCheck={"command": ["CMD", "test", "-e", "/ready"], "interval": 5, "startPeriod": 300})
    second = container("second", STAY, dependsOn=[{"containerName": "main", "condition": "HEALTHY"}])
    arn = machine.run_task(machine.register("two-starts", containers=[first, second], mode="awsvpc"), **machine.network())
    state = os.path.join(machine.data, "run", "tasks", arn.rsplit("/", 1)[1], "main", "state")
    eventually(lambda: os.path.exists(state), what="the first container's start")
    before = identity(machine, arn)
    machine.crash("agent")
    eventually(lambda: machine.instances(), what="the agent's return")
    with open("/proc/%d/root/ready" % before[0], "w", encoding="ascii"):
        pass
    machine.wait_task(arn, "RUNNING", 60)
    assert identity(machine, arn) == before
    networks = [os.readlink("/proc/%d/ns/net" % machine.main_process(arn, name)) for name in ("main", "second")]
    assert networks[0] == networks[1]
    machine.end_task(arn)


def test_a_kept_supervisor_lets_containers_live_through_sigterm(machine):
    """SIGTERM ends server and agent and leaves the containers; the next `up` finds them."""
    arn = machine.run_task(machine.register("kept", STAY))
    machine.wait_task(arn, "RUNNING")
    before = identity(machine, arn)
    machine.process.send_signal(signal.SIGTERM)
    machine.process.wait(40)
    assert started_at(before[0]) == before[1]
    machine.start()
    assert identity(machine, arn) == before
    assert machine.task(arn)["lastStatus"] == "RUNNING"
    machine.end_task(arn)


def test_down_takes_away_what_a_crash_of_everything_left(machine):
    definition = machine.register("left", mode="bridge", containers=[container("main", STAY, portMappings=[{"containerPort": 80}])])
    arns = [task["taskArn"] for task in machine.ecs.run_task(taskDefinition=definition, count=2)["tasks"]]
    for arn in arns:
        machine.wait_task(arn, "RUNNING")
    pids = [machine.main_process(arn) for arn in arns]
    up, children = machine.process.pid, [machine.child("server"), machine.child("agent")]
    os.kill(up, signal.SIGKILL)
    for pid in children:
        os.kill(pid, signal.SIGKILL)
    machine.process.wait(10)
    assert all(os.path.exists("/proc/%d" % pid) for pid in pids)
    machine.run("down")
    assert not any(os.path.exists("/proc/%d" % pid) for pid in pids)
    assert machine.leftovers() == []
    machine.start()                                          # for the fixture, and to see that it can
    for arn in arns:
        machine.wait_task(arn, "STOPPED", 60)
