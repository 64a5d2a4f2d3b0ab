"""Services keep their promise on real containers."""
import os
import signal

import pytest

from wherry import STAY, container, eventually

pytestmark = pytest.mark.root

WAITER = {"Delay": 0.2, "MaxAttempts": 250}
QUICK = {"deploymentConfiguration": {"minimumHealthyPercent": 100, "maximumPercent": 200}}


def stable(machine, name):
    machine.ecs.get_waiter("services_stable").wait(services=[name], WaiterConfig=WAITER)
    return machine.service(name)


def tasks_of(machine, name, status="RUNNING"):
    return sorted(machine.ecs.list_tasks(serviceName=name, desiredStatus=status)["taskArns"])


def events(machine, name):
    return [event["message"] for event in machine.service(name)["events"]]


def create(machine, name, command=STAY, count=1, definition=None, **more):
    arn = machine.register(name, command, **(definition or {}))
    return machine.ecs.create_service(serviceName=name, taskDefinition=arn, desiredCount=count, **more)["service"]


def test_it_scales_up_and_down(quiet):
    create(quiet, "scales", count=1)
    stable(quiet, "scales")
    quiet.ecs.update_service(service="scales", desiredCount=3)
    assert stable(quiet, "scales")["runningCount"] == 3
    quiet.ecs.update_service(service="scales", desiredCount=1)
    eventually(lambda: quiet.service("scales")["runningCount"] == 1 == len(tasks_of(quiet, "scales")), what="one left")
    assert "(service scales) has reached a steady state." in events(quiet, "scales")
    stopped = quiet.ecs.describe_tasks(tasks=tasks_of(quiet, "scales", "STOPPED"))["tasks"]
    assert {task["stopCode"] for task in stopped} == {"ServiceSchedulerInitiated"}
    assert all("Scaling activity initiated by" in task["stoppedReason"] for task in stopped), stopped


def test_a_rolling_update_keeps_the_minimum_healthy(quiet):
    create(quiet, "rolls", count=4, deploymentConfiguration={"minimumHealthyPercent": 50, "maximumPercent": 100})
    stable(quiet, "rolls")
    old = set(tasks_of(quiet, "rolls"))
    assert len(old) == 4
    second = quiet.register("rolls", "echo second; " + STAY)
    quiet.ecs.update_service(service="rolls", taskDefinition=second)
    lowest, most = 99, 0

    def rolled():
        nonlocal lowest, most
        service = quiet.service("rolls")
        lowest = min(lowest, service["runningCount"])
        most = max(most, service["runningCount"] + service["pendingCount"])
        return len(service["deployments"]) == 1 and service["runningCount"] == 4
    eventually(rolled, 60, 0.02, "the rollout")
    assert (lowest >= 2, most <= 4) == (True, True), (lowest, most)
    service = quiet.service("rolls")
    assert service["deployments"][0]["taskDefinition"] == second
    eventually(lambda: quiet.service("rolls")["deployments"][0]["rolloutState"] == "COMPLETED", what="COMPLETED")
    assert not old & set(tasks_of(quiet, "rolls"))


def test_a_forced_deployment_replaces_tasks_of_the_same_definition(quiet):
    create(quiet, "forced", count=2, **QUICK)
    stable(quiet, "forced")
    before = set(tasks_of(quiet, "forced"))
    quiet.ecs.update_service(service="forced", forceNewDeployment=True)
    assert len(quiet.service("forced")["deployments"]) == 2
    stable(quiet, "forced")
    assert not before & set(tasks_of(quiet, "forced"))


def test_a_task_that_dies_is_replaced(quiet):
    create(quiet, "revives", count=2)
    stable(quiet, "revives")
    victim = tasks_of(quiet, "revives")[0]
    os.kill(quiet.main_process(victim), signal.SIGKILL)
    eventually(lambda: quiet.task(victim)["lastStatus"] == "STOPPED", what="the end of the victim")
    eventually(lambda: quiet.service("revives")["runningCount"] == 2 and victim not in tasks_of(quiet, "revives"), what="two again")
    task = quiet.task(victim)
    assert task["containers"][0]["exitCode"] == 137
    assert task["stoppedReason"] == "Essential container in task exited"


def test_a_task_that_is_stopped_by_hand_is_replaced(quiet):
    create(quiet, "stopped")
    stable(quiet, "stopped")
    victim = tasks_of(quiet, "stopped")[0]
    quiet.ecs.stop_task(task=victim)
    eventually(lambda: [t for t in tasks_of(quiet, "stopped") if t != victim], what="a replacement")
    stable(quiet, "stopped")


def test_a_drained_instance_loses_its_service_tasks_and_gets_them_back(quiet):
    create(quiet, "drained", count=2, deploymentConfiguration={"minimumHealthyPercent": 0, "maximumPercent": 200})
    stable(quiet, "drained")
    alone = quiet.run_task(quiet.register("standalone", STAY))
    quiet.wait_task(alone, "RUNNING")
    instance = quiet.instances()[0]["containerInstanceArn"]
    quiet.ecs.update_container_instances_state(containerInstances=[instance], status="DRAINING")
    try:
        eventually(lambda: quiet.service("drained")["runningCount"] == 0, what="no service tasks")
        assert quiet.task(alone)["lastStatus"] == "RUNNING"
        eventually(lambda: any("was unable to place a task" in e for e in events(quiet, "drained")), what="an event that says so")
        why = quiet.run("why", "drained").stdout
        assert why.startswith("drained: ") and "  1 instance: INACTIVE\n" in why, why
    finally:
        quiet.ecs.update_container_instances_state(containerInstances=[instance], status="ACTIVE")
    assert stable(quiet, "drained")["runningCount"] == 2


def test_who_finds_no_room_waits_says_why_and_is_woken(quiet):
    instance = quiet.instances()[0]
    free = [r["integerValue"] for r in instance["remainingResources"] if r["name"] == "MEMORY"][0]
    half = free * 2 // 3
    big = [container("main", STAY, memory=half)]
    first = quiet.run_task(quiet.register("big", containers=big))
    quiet.wait_task(first, "RUNNING")
    create(quiet, "waits", definition={"containers": big})
    eventually(lambda: any("insufficient memory" in e for e in events(quiet, "waits")), what="an event")
    message = [e for e in events(quiet, "waits") if "insufficient memory" in e][0]
    assert message.startswith("(service waits) was unable to place a task because no container instance met all of its requirements.")
    assert instance["containerInstanceArn"].rsplit("/", 1)[1] in message
    why = quiet.run("why", "waits").stdout
    assert why.startswith("waits: ") and "  1 instance: RESOURCE:MEMORY\n" in why, why
    assert "waiting" in quiet.run("ps").stdout
    assert quiet.run("ps", "--cluster", "nowhere").stdout == "there is no cluster nowhere\n"
    quiet.ecs.stop_task(task=first)
    assert stable(quiet, "waits")["runningCount"] == 1
    task = tasks_of(quiet, "waits")[0].rsplit("/", 1)[1]
    assert quiet.run("why", task[:12]).stdout == task[:12] + ": RUNNING, as wanted\n"


def test_a_crash_loop_is_slowed_down(quiet):
    create(quiet, "loops", "exit 1")
    eventually(lambda: len(tasks_of(quiet, "loops", "STOPPED")) >= 3, 60, what="three failures")
    eventually(lambda: "holds off new tasks" in quiet.run("why", "loops").stdout, what="why to say so")
    stopped = quiet.ecs.describe_tasks(tasks=tasks_of(quiet, "loops", "STOPPED"))["tasks"]
    starts = sorted(task["createdAt"].timestamp() for task in stopped)
    assert len(starts) < 20
    gaps = [b - a for a, b in zip(starts, starts[1:])]
    assert gaps[-1] > gaps[0] - 0.05 and min(gaps) > 0.05, gaps


def test_an_image_that_cannot_be_pulled_is_an_event(quiet):
    broken = container("main", "true")
    broken["image"] = "127.0.0.1:1/no/image:1"
    create(quiet, "unpulled", definition={"containers": [broken]})
    eventually(lambda: tasks_of(quiet, "unpulled", "STOPPED"), what="a failure")
    reason = quiet.task(tasks_of(quiet, "unpulled", "STOPPED")[0])["stoppedReason"]
    assert reason.startswith("CannotPullContainerError"), reason


def test_deleting_ends_its_tasks(quiet):
    create(quiet, "deleted", count=2)
    stable(quiet, "deleted")
    with pytest.raises(quiet.ecs.exceptions.InvalidParameterException, match="scaled above 0"):
        quiet.ecs.delete_service(service="deleted")
    quiet.ecs.delete_service(service="deleted", force=True)
    quiet.ecs.get_waiter("services_inactive").wait(services=["deleted"], WaiterConfig=WAITER)
    eventually(lambda: not tasks_of(quiet, "deleted"), what="no tasks")


# ---- placement

@pytest.mark.parametrize("constraint, reason", [
    ({"type": "memberOf", "expression": "attribute:ecs.os-type == windows"}, "MemberOf placement constraint unsatisfied."),
    ({"type": "memberOf", "expression": "attribute:rack exists"}, "MemberOf placement constraint unsatisfied.")])
def test_a_constraint_that_nothing_meets_is_named(quiet, constraint, reason):
    definition = quiet.register("constrained", STAY)
    reply = quiet.ecs.run_task(taskDefinition=definition, placementConstraints=[constraint])
    assert reply["tasks"] == []
    assert [(f["reason"], f["arn"]) for f in reply["failures"]] == [(reason, quiet.instances()[0]["containerInstanceArn"])]


def test_distinct_instances(quiet):
    definition = quiet.register("distinct", STAY)
    reply = quiet.ecs.run_task(taskDefinition=definition, count=2, placementConstraints=[{"type": "distinctInstance"}])
    assert len(reply["tasks"]) == 1
    assert {f["reason"] for f in reply["failures"]} == {"DistinctInstance placement constraint unsatisfied."}


@pytest.mark.parametrize("member, reason", [({"cpu": 1 << 20}, "RESOURCE:CPU"), ({"memory": 1 << 24}, "RESOURCE:MEMORY")])
def test_what_does_not_fit_is_named(quiet, member, reason):
    definition = quiet.register("huge", containers=[container("main", STAY, **member)])
    reply = quiet.ecs.run_task(taskDefinition=definition)
    assert [f["reason"] for f in reply["failures"]] == [reason]


def test_a_custom_attribute_and_strategies_place(quiet):
    arn = quiet.instances()[0]["containerInstanceArn"]
    quiet.ecs.put_attributes(attributes=[{"name": "disk", "value": "ssd", "targetId": arn}])
    definition = quiet.register("placed", STAY)
    reply = quiet.ecs.run_task(
        taskDefinition=definition, count=3, placementConstraints=[{"type": "memberOf", "expression": "attribute:disk == ssd"}],
        placementStrategy=[{"type": "spread", "field": "attribute:ecs.availability-zone"}, {"type": "binpack", "field": "memory"}])
    assert (len(reply["tasks"]), reply["failures"]) == (3, [])
    assert {task["containerInstanceArn"] for task in reply["tasks"]} == {arn}
    quiet.ecs.delete_attributes(attributes=[{"name": "disk", "targetId": arn}])
