"""Real containers: what a task definition says is what runs."""
import base64
import json
import os
import re
import subprocess
import sys
import time

import pytest

from wherry import PROGRAM, ROOT, STAY, container, eventually, free_port, http_answer, lifetime, shell

pytestmark = pytest.mark.root

SERVE = "echo %s > /www/index.html; httpd -p %s -h /www; " + STAY


def run_to_end(machine, family, command=None, containers=None, definition=None, **more):
    arn = machine.run_task(machine.register(family, command, containers, **(definition or {})), **more)
    task = machine.wait_task(arn, "STOPPED")
    return task, {c["name"]: c for c in task["containers"]}


def test_the_search_for_leftovers_would_find_them(machine):
    """What every teardown asserts the absence of."""
    arn = machine.run_task(machine.register("left", mode="bridge", containers=[
        container("main", STAY, portMappings=[{"containerPort": 80}])]))
    machine.wait_task(arn, "RUNNING")
    assert {line.split()[0] for line in machine.leftovers()} == {"process", "mount", "namespace", "cgroup", "table", "link"}
    machine.end_task(arn)


def test_an_exit_code_and_every_timestamp_come_back(machine):
    task, containers = run_to_end(machine, "code", "echo out; echo err >&2; exit 7")
    assert containers["main"]["exitCode"] == 7
    assert task["stopCode"] == "EssentialContainerExited"
    assert task["stoppedReason"] == "Essential container in task exited"
    times = [task[name] for name in ("createdAt", "pullStartedAt", "pullStoppedAt", "executionStoppedAt", "stoppingAt", "stoppedAt")]
    for earlier, later in zip(times, times[1:]):
        assert (later - earlier).total_seconds() > -0.05         # two processes' clocks, cut to milliseconds
    assert task["pullStoppedAt"] <= task["startedAt"] <= task["stoppedAt"]
    assert containers["main"]["imageDigest"].startswith("sha256:")
    assert sorted(machine.logs(task["taskArn"])) == ["err", "out"]


def test_a_task_ends_with_its_essential_container(machine):
    task, containers = run_to_end(machine, "essential", containers=[
        container("main", "until [ -e /nowhere ]; do sleep 0.3; exit 3; done"),
        container("helper", "trap 'exit 5' TERM; while :; do sleep 0.05; done", essential=False)])
    assert (containers["main"]["exitCode"], containers["helper"]["exitCode"]) == (3, 5)
    assert task["stoppedReason"] == "Essential container in task exited"


def test_a_task_outlives_its_other_containers(machine):
    arn = machine.run_task(machine.register("outlives", containers=[
        container("main", STAY), container("helper", "exit 4", essential=False)]))

    def helper():
        task = machine.task(arn)
        found = [c for c in task["containers"] if c["name"] == "helper"][0]
        return task["lastStatus"] == "RUNNING" and found["lastStatus"] == "STOPPED" and found["exitCode"] == 4
    eventually(helper, what="helper stopped, task running")
    machine.ecs.stop_task(task=arn, reason="seen enough")
    task = machine.wait_task(arn, "STOPPED")
    assert task["stopCode"] == "UserInitiated"
    assert task["stoppedReason"] == "seen enough"


def test_command_environment_user_and_folder_are_as_defined(machine):
    task, _ = run_to_end(machine, "defined", containers=[container(
        "main", "id -u; id -g; pwd; echo $COLOUR", user="65534:65534", workingDirectory="/tmp",
        environment=[{"name": "COLOUR", "value": "teal"}])])
    assert machine.logs(task["taskArn"]) == ["65534", "65534", "/tmp", "teal"]


def test_overrides_win(machine):
    task, containers = run_to_end(
        machine, "overridden", containers=[container("main", "exit 9", environment=[
            {"name": "COLOUR", "value": "teal"}, {"name": "SHAPE", "value": "round"}])],
        overrides={"containerOverrides": [{"name": "main", "command": ["/bin/sh", "-c", "echo $COLOUR $SHAPE"],
                                           "environment": [{"name": "COLOUR", "value": "red"}]}]})
    assert machine.logs(task["taskArn"]) == ["red round"]
    assert containers["main"]["exitCode"] == 0


def test_entry_point_and_command_are_joined(machine):
    task, _ = run_to_end(machine, "joined", containers=[
        {**container("main", entryPoint=["/bin/echo", "one"]), "command": ["two", "three  four"]}])
    assert machine.logs(task["taskArn"]) == ["one two three  four"]


def test_a_static_and_a_dynamic_port_answer(machine):
    port = free_port()
    arn = machine.run_task(machine.register("ports", mode="bridge", containers=[
        container("fixed", SERVE % ("fixed", 8080), portMappings=[{"containerPort": 8080, "hostPort": port}]),
        container("free", SERVE % ("free", 9090), portMappings=[{"containerPort": 9090, "hostPort": 0}])]))
    task = machine.wait_task(arn, "RUNNING")
    bound = {c["name"]: c["networkBindings"] for c in task["containers"]}
    assert [(b["containerPort"], b["hostPort"], b["protocol"]) for b in bound["fixed"]] == [(8080, port, "tcp")]
    assert bound["free"][0]["containerPort"] == 9090 and bound["free"][0]["hostPort"] >= 1024
    assert http_answer(port) == "fixed\n"
    assert http_answer(bound["free"][0]["hostPort"]) == "free\n"
    machine.end_task(arn)


def test_a_port_is_free_again_after_its_task(machine):
    port = free_port()
    definition = machine.register("reused", mode="bridge", containers=[
        container("main", SERVE % ("$HOSTNAME", 80), portMappings=[{"containerPort": 80, "hostPort": port}], stopTimeout=2)])
    first = machine.run_task(definition)
    machine.wait_task(first, "RUNNING")
    refused = machine.ecs.run_task(taskDefinition=definition)
    assert [f["reason"] for f in refused["failures"]] == ["RESOURCE:PORTS"] and refused["tasks"] == []
    machine.end_task(first)
    second = machine.run_task(definition)
    machine.wait_task(second, "RUNNING")
    http_answer(port)
    machine.end_task(second)


def test_host_networking_is_the_machines(machine):
    port = free_port()
    arn = machine.run_task(machine.register("hosted", SERVE % ("host", port)))
    machine.wait_task(arn, "RUNNING")
    assert http_answer(port) == "host\n"
    machine.end_task(arn)


def test_without_network_there_is_only_the_loopback(machine):
    task, _ = run_to_end(machine, "alone", "ip -o link | grep -c :; ip -o link | grep -c LOOPBACK", definition={"mode": "none"})
    assert machine.logs(task["taskArn"]) == ["1", "1"]


def test_who_needs_more_memory_than_its_limit_is_killed(machine):
    task, containers = run_to_end(machine, "greedy", containers=[
        container("main", "x=$(yes | head -c 100000000); echo survived", memory=16)])
    assert containers["main"]["exitCode"] == 137
    assert containers["main"]["reason"].startswith("OutOfMemoryError: Container killed due to memory usage")
    assert task["stopCode"] == "EssentialContainerExited"


def limits_of(task_id, name):
    """The files of that name of a task's own group, in whichever hierarchy has it."""
    found = []
    for folder, _, files in os.walk("/sys/fs/cgroup"):
        if folder.endswith("wherry/" + task_id) and name in files:
            found.append(open(os.path.join(folder, name)).read().strip())
    return found


def test_limits_of_the_task_are_in_its_control_group(machine):
    arn = machine.run_task(machine.register("limited", containers=[container("main", STAY)], cpu="256", memory="64"))
    machine.wait_task(arn, "RUNNING")
    task_id = arn.rsplit("/", 1)[1]
    quota, period = limits_of(task_id, "cpu.cfs_quota_us"), limits_of(task_id, "cpu.cfs_period_us")
    if quota:
        share = int(quota[0]) / int(period[0])
        memory = limits_of(task_id, "memory.limit_in_bytes")
    else:
        numbers = limits_of(task_id, "cpu.max")[0].split()
        share = int(numbers[0]) / int(numbers[1])
        memory = limits_of(task_id, "memory.max")
    assert share == 0.25
    assert memory == [str(64 << 20)]
    machine.end_task(arn)


def test_a_stop_asks_first(machine):
    arn = machine.run_task(machine.register("polite", "trap 'echo bye; exit 21' TERM; echo up; while :; do sleep 0.05; done"))
    machine.wait_task(arn, "RUNNING")
    eventually(lambda: machine.logs(arn) == ["up"], what="the trap to be set")
    task = machine.end_task(arn)
    assert task["containers"][0]["exitCode"] == 21
    assert machine.logs(arn) == ["up", "bye"]


def test_and_kills_after_the_stop_timeout(machine):
    arn = machine.run_task(machine.register("deaf", containers=[
        container("main", "trap '' TERM; echo up; while :; do sleep 0.05; done", stopTimeout=2)]))
    machine.wait_task(arn, "RUNNING")
    eventually(lambda: machine.logs(arn) == ["up"], what="the trap to be set")
    asked = time.monotonic()
    task = machine.end_task(arn)
    assert time.monotonic() - asked >= 2
    assert task["containers"][0]["exitCode"] == 137


def test_logs_can_be_followed_and_told_apart(machine):
    arn = machine.run_task(machine.register("chatty", containers=[
        container("main", "for i in $(seq 40); do echo line $i; sleep 0.05; done"),
        container("other", "echo from the other; " + STAY, essential=False)]))
    machine.wait_task(arn, "RUNNING")
    follower = subprocess.Popen([PROGRAM, "logs", "-f", "--container", "main", arn.rsplit("/", 1)[1][:12]],
                                env=machine.environment, stdout=subprocess.PIPE, text=True)
    seen = [follower.stdout.readline().rstrip("\n").split(" ", 1)[1] for _ in range(40)]
    follower.kill()
    follower.wait()
    follower.stdout.close()
    assert seen == ["line %d" % i for i in range(1, 41)]
    machine.wait_task(arn, "STOPPED")
    assert machine.logs(arn, "--container", "other") == ["from the other"]
    assert sorted({line.split(" ")[0] for line in machine.logs(arn)}) == ["main", "other"]


def test_an_image_that_is_nowhere_is_reported(machine):
    definition = container("main", "true")
    definition["image"] = "127.0.0.1:1/no/image:1"
    task, containers = run_to_end(machine, "missing", containers=[definition])
    assert task["stopCode"] == "TaskFailedToStart"
    assert task["stoppedReason"].startswith("CannotPullContainerError: ")
    assert "exitCode" not in containers["main"]


# ---- from a registry

@pytest.fixture(scope="module")
def registry(tmp_path_factory):
    yield from serve_images(tmp_path_factory)


@pytest.fixture(scope="module")
def other_registry(tmp_path_factory):
    """With layers that the machine has not seen: what it has it does not ask for again, whoever offers it."""
    yield from serve_images(tmp_path_factory)


def serve_images(tmp_path_factory):
    support = str(ROOT / "test" / "support")
    folder = str(tmp_path_factory.mktemp("registry"))
    shell(sys.executable, support + "/make_image.py", folder)
    process = subprocess.Popen([sys.executable, support + "/registry.py", folder], stdout=subprocess.PIPE, text=True)
    yield int(process.stdout.readline().split()[0])
    process.kill()
    process.wait()
    process.stdout.close()


def pulled(machine, family, image, **more):
    definition = container("main", **more)
    definition.update(image=image, command=["/bin/busybox", "cat", "/etc/motd"])
    return run_to_end(machine, family, containers=[definition])


@pytest.mark.parametrize("repository", ["open/app:app", "public/app:app", "redirect/app:app", "open/app:multi"])
def test_an_image_is_pulled(machine, registry, repository):
    task, containers = pulled(machine, "pull", "127.0.0.1:%d/%s" % (registry, repository))
    assert containers["main"].get("exitCode") == 0, task
    assert machine.logs(task["taskArn"]) == ["upper" if repository.endswith("app") else "lower"]


def test_an_image_is_pulled_by_digest(machine, registry):
    task, containers = pulled(machine, "digest", "127.0.0.1:%d/open/app:app" % registry)
    digest = containers["main"]["imageDigest"]
    task, containers = pulled(machine, "digest", "127.0.0.1:%d/open/app@%s" % (registry, digest))
    assert containers["main"]["exitCode"] == 0 and containers["main"]["imageDigest"] == digest


@pytest.mark.parametrize("repository, says", [
    ("wrong/app:app", "layer sha256:"), ("basic/app:app", "no basic auth credentials"), ("open/app:nothing", "not found|unknown|404"),
    ("open/app:foreign", "platform|architecture|manifest"), ("open/app:traversal", "outside|\\.\\.|path|member")])
def test_what_cannot_be_pulled_says_why(machine, other_registry, repository, says):
    task, _ = pulled(machine, "refused", "127.0.0.1:%d/%s" % (other_registry, repository))
    assert task["stopCode"] == "TaskFailedToStart"
    assert task["stoppedReason"].startswith("CannotPull"), task["stoppedReason"]
    assert re.search(says, task["stoppedReason"], re.I), task["stoppedReason"]


# ---- from a registry that wants a login, and from none at all

LOGINS = {"docker": {"username": "robot", "password": "secret"},
          "dockercfg": {"auth": base64.b64encode(b"robot:secret").decode(), "email": "robot@example.com"}}


@pytest.fixture(scope="module", params=sorted(LOGINS))
def member(request, new_wherry, registry, tmp_path_factory):
    """`wherry up` that may log in to the registry."""
    if os.geteuid() != 0:
        pytest.skip("runs containers, which needs root")
    logins = {"https://127.0.0.1:%d/v1/" % registry: LOGINS[request.param]}
    yield from lifetime(new_wherry(tmp_path_factory.mktemp("member") / "data", cidr="10.93.0.1/20", environment={
        "ECS_ENGINE_AUTH_TYPE": request.param, "ECS_ENGINE_AUTH_DATA": json.dumps(logins)}))


@pytest.mark.parametrize("repository", ["basic/app:app", "bearer/app:app"])
def test_an_image_is_pulled_with_a_login(member, registry, repository):
    task, containers = pulled(member, "member", "127.0.0.1:%d/%s" % (registry, repository))
    assert containers["main"].get("exitCode") == 0, task
    assert member.logs(task["taskArn"]) == ["upper"]


@pytest.mark.parametrize("repository", ["basic/app:app", "bearer/app:app"])
def test_another_registry_is_not_told_the_login(member, other_registry, repository):
    task, _ = pulled(member, "stranger", "127.0.0.1:%d/%s" % (other_registry, repository))
    assert task["stopCode"] == "TaskFailedToStart"
    assert task["stoppedReason"].startswith("CannotPullContainerError: "), task["stoppedReason"]


def test_an_imported_image_is_not_pulled(machine, registry, layout):
    """The registry has another one under this name."""
    name = "127.0.0.1:%d/open/app:multi" % registry
    machine.run("image", "load", layout, "--name", name)
    definition = {**container("main", "echo imported"), "image": name}
    task, containers = run_to_end(machine, "imported", containers=[definition])
    assert containers["main"].get("exitCode") == 0, task
    assert machine.logs(task["taskArn"]) == ["imported"]
    _, own = run_to_end(machine, "imported", "true")
    assert containers["main"]["imageDigest"] == own["main"]["imageDigest"]
