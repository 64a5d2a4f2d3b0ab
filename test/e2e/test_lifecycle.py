"""The life of a task with several containers: order of start and stop, health, what breaks it."""
import pytest

from wherry import STAY, container, eventually

pytestmark = pytest.mark.root

CHECK = {"command": ["CMD-SHELL", "test -e /tmp/well"], "interval": 5, "timeout": 5, "retries": 1}
VOLUME = {"volumes": [{"name": "shared"}]}
SHARED = {"mountPoints": [{"sourceVolume": "shared", "containerPath": "/shared"}]}


def named(task):
    return {c["name"]: c for c in task["containers"]}


def depends(**conditions):
    return [{"containerName": name, "condition": condition} for name, condition in conditions.items()]


BROKEN = {
    "SUCCESS": (container("first", "exit 3", essential=False), "did not exit successfully"),
    "COMPLETE": (container("first", STAY, essential=False, startTimeout=2), "did not end within its startTimeout"),
    "HEALTHY": (container("first", STAY, essential=False, healthCheck=CHECK, startTimeout=7), "did not become healthy within"),
}


@pytest.fixture(scope="module")
def well(tmp_path_factory):
    """A file of the host: as long as it is there, the container `main` of the task `health` is well."""
    path = tmp_path_factory.mktemp("well") / "well"
    path.touch()
    return path


@pytest.fixture(scope="module")
def started(machine, well):
    """What takes its time, all at once: probes come 5 s apart at best."""
    def run(family, containers, volumes=VOLUME):
        return machine.run_task(machine.register(family, containers=containers, **volumes))
    tasks = {
        "health": run("health", [
            container("main", STAY, healthCheck={**CHECK, "command": ["CMD", "test", "-e", "/shared/well"]}, **SHARED),
            container("plain", STAY)], {"volumes": [{"name": "shared", "host": {"sourcePath": str(well.parent)}}]}),
        # The database's client finds the trace of its first probe.
        "waits": run("waits", [
            container("main", "test -e /shared/probed && exit 11; exit 1", dependsOn=depends(db="HEALTHY"), **SHARED),
            container("db", STAY, healthCheck={**CHECK, "command": ["CMD-SHELL", "touch /shared/probed"]}, **SHARED)]),
        "outlives": run("outlives", [container("main", "touch /tmp/well; " + STAY, healthCheck=CHECK)]),
    }
    for condition, (first, _) in BROKEN.items():
        tasks[condition] = run("broken", [container("main", STAY, dependsOn=depends(first=condition)), first])
    return tasks


def test_health_follows_the_probes_and_the_task_shows_it(machine, started, well):
    arn = started["health"]

    def health():
        task = machine.task(arn)
        return task.get("healthStatus"), named(task)["main"].get("healthStatus")
    eventually(lambda: health() == ("HEALTHY", "HEALTHY"), 60, what="HEALTHY")
    well.unlink()
    eventually(lambda: health() == ("UNHEALTHY", "UNHEALTHY"), 60, what="UNHEALTHY")
    assert named(machine.task(arn))["plain"].get("healthStatus", "UNKNOWN") == "UNKNOWN"
    assert machine.task(arn)["lastStatus"] == "RUNNING"          # a task of its own is not stopped for it
    machine.end_task(arn)


def test_who_waits_for_health_starts_after_it(machine, started):
    assert named(machine.wait_task(started["waits"], "STOPPED", 60))["main"]["exitCode"] == 11


def test_containers_start_in_order_and_stop_in_the_reverse_order(machine, tmp_path):
    arn = machine.run_task(machine.register("order", volumes=[{"name": "shared", "host": {"sourcePath": str(tmp_path)}}], containers=[
        container("main", "test -e /shared/done || exit 1; trap 'sleep 0.3; touch /shared/gone; exit 7' TERM; touch /shared/up; "
                  "sleep 600 & wait",
                  dependsOn=depends(first="SUCCESS", side="START", second="COMPLETE"), **SHARED),
        container("side", "trap 'test -e /shared/gone && exit 8; exit 1' TERM; sleep 600 & wait", **SHARED),
        container("second", "test -e /shared/first && touch /shared/done; exit 3", essential=False,
                  dependsOn=depends(first="COMPLETE"), **SHARED),
        container("first", "sleep 0.3; touch /shared/first", essential=False, **SHARED)]))
    machine.wait_task(arn, "RUNNING")
    eventually((tmp_path / "up").exists, what="the main container listens to signals")
    machine.ecs.stop_task(task=arn)
    codes = {name: c["exitCode"] for name, c in named(machine.wait_task(arn, "STOPPED")).items()}
    assert codes == {"main": 7, "side": 8, "second": 3, "first": 0}


@pytest.mark.parametrize("condition", BROKEN)
def test_what_can_never_start_stops_the_task_and_says_why(machine, started, condition):
    task = machine.wait_task(started[condition], "STOPPED")
    main = named(task)["main"]
    assert main["exitCode"] == 143
    assert main["reason"].startswith("CannotStartContainerError: dependency graph: ") and BROKEN[condition][1] in main["reason"]
    assert task["stopCode"] == "TaskFailedToStart"


def test_health_outlives_the_agent(machine, started):
    arn = started["outlives"]
    eventually(lambda: machine.task(arn).get("healthStatus") == "HEALTHY", 60, what="HEALTHY")
    machine.crash("agent")
    eventually(lambda: machine.ecs.describe_container_instances(containerInstances=machine.ecs.list_container_instances()[
        "containerInstanceArns"])["containerInstances"][0]["agentConnected"], what="the agent is back")
    assert machine.task(arn)["healthStatus"] == "HEALTHY"
    assert named(machine.end_task(arn))["main"]["exitCode"] == 0
