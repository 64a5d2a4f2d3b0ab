"""The awslogs driver: what containers write is found in CloudWatch Logs, whatever dies meanwhile."""
import contextlib
import os
import pathlib
import re
import signal
import time

import pytest

import wherry
from wherry import container, eventually

pytestmark = pytest.mark.root

GROUP = "/test/logs"
UNSHIPPED = 64 << 20                                     # LOG_BLOCKING_BYTES of src/host/log_options.h


def options(**more):
    return {"logConfiguration": {"logDriver": "awslogs", "options": {
        "awslogs-group": GROUP, "awslogs-region": wherry.REGION, "awslogs-stream-prefix": "p",
        **{name.replace("_", "-"): value for name, value in more.items()}}}}


def written(machine, arn):
    """Bytes of the log on this machine, turned files included."""
    return sum(path.stat().st_size for path in pathlib.Path(machine.data, "logs", arn.rsplit("/", 1)[1]).glob("main.log*"))


@contextlib.contextmanager
def stopped(pid):
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


def stream(arn, name="main"):
    return "p/%s/%s" % (name, arn.rsplit("/", 1)[1])


def messages(machine, arn, group=GROUP):
    """Every message of a task's stream, from its beginning."""
    logs, found, token = machine.client(service="logs"), [], None
    while True:
        more = {"nextToken": token} if token else {}
        page = logs.get_log_events(logGroupName=group, logStreamName=stream(arn), startFromHead=True, **more)
        found += [event["message"] for event in page["events"]]
        if page["nextForwardToken"] == token:
            return found
        token = page["nextForwardToken"]


def run(machine, family, command, **more):
    return machine.run_task(machine.register(family, containers=[container("main", command, **options(**more))]))


@pytest.fixture(scope="module", autouse=True)
def group(machine):
    machine.client(service="logs").create_log_group(logGroupName=GROUP)


def test_lines_arrive_in_order_with_their_times(machine):
    before = int(time.time() * 1000) - 1000
    arn = run(machine, "order", "for i in $(seq 1 2000); do echo line $i; done; echo; printf 'no newline'")
    machine.wait_task(arn, "STOPPED")
    expected = ["line %d" % i for i in range(1, 2001)] + ["no newline"]
    eventually(lambda: messages(machine, arn) == expected, 20, what="all lines")
    event = machine.client(service="logs").get_log_events(logGroupName=GROUP, logStreamName=stream(arn), limit=1)["events"][0]
    assert before < event["timestamp"] <= int(time.time() * 1000) + 1000
    assert machine.logs(arn)[:2] == ["line 1", "line 2"]         # and they are there locally


def test_a_long_line_is_one_message_and_the_longest_are_split(machine):
    arn = run(machine, "long", "head -c 100000 /dev/zero | tr '\\0' a; echo; head -c 300000 /dev/zero | tr '\\0' b; echo")
    machine.wait_task(arn, "STOPPED")
    eventually(lambda: [len(message) for message in messages(machine, arn)] == [100000, 262118, 300000 - 262118], 20, what="three messages")


def test_lines_are_joined_by_a_pattern(machine):
    arn = run(machine, "joined", "printf 'INFO a\\n at b\\n at c\\nINFO d\\n'", awslogs_multiline_pattern="^INFO")
    machine.wait_task(arn, "STOPPED")
    eventually(lambda: messages(machine, arn) == ["INFO a\n at b\n at c", "INFO d"], 20, what="two messages")


def test_a_group_is_made_when_asked_and_missed_when_not(machine):
    made = machine.run_task(machine.register("made", containers=[container("main", "echo here", **{"logConfiguration": {
        "logDriver": "awslogs", "options": {"awslogs-group": "/test/made", "awslogs-region": wherry.REGION, "awslogs-stream-prefix": "p",
                                            "awslogs-create-group": "true"}}})]))
    machine.wait_task(made, "STOPPED")
    eventually(lambda: messages(machine, made, "/test/made") == ["here"], 20, what="the line")
    missed = machine.run_task(machine.register("missed", containers=[container("main", "echo here", **{"logConfiguration": {
        "logDriver": "awslogs", "options": {"awslogs-group": "/test/none", "awslogs-region": wherry.REGION,
                                            "awslogs-stream-prefix": "p"}}})]))
    task = machine.wait_task(missed, "STOPPED")
    reasons = task.get("stoppedReason", "") + task["containers"][0].get("reason", "")
    assert "ResourceNotFoundException: The specified log group does not exist." in reasons
    assert "exitCode" not in task["containers"][0]


def test_the_group_is_the_familys_when_none_is_said(machine):
    machine.client(service="logs").create_log_group(logGroupName="/ecs/family")
    arn = machine.run_task(machine.register("family", containers=[container("main", "echo here", **{"logConfiguration": {
        "logDriver": "awslogs", "options": {"awslogs-stream-prefix": "p"}}})]))
    machine.wait_task(arn, "STOPPED")
    eventually(lambda: messages(machine, arn, "/ecs/family") == ["here"], 20, what="the line")


def test_no_line_is_lost_when_agent_and_server_are_killed(machine):
    lines = 60000
    arn = run(machine, "killed", "i=0; while [ $i -lt %d ]; do echo $i; i=$((i+1)); [ $((i %% 200)) = 0 ] && usleep 20000; done" % lines,
              mode="blocking")
    machine.wait_task(arn, "RUNNING")
    for victim in ("agent", "server", "agent", "server"):
        before = written(machine, arn)
        eventually(lambda: written(machine, arn) > before + 100000, 30, what="more lines")
        machine.crash(victim)
        machine.wait_health()
    machine.wait_task(arn, "STOPPED", 90)

    def complete():
        numbers = [int(message) for message in messages(machine, arn)]
        return sorted(set(numbers)) == list(range(lines)) and numbers
    numbers = eventually(complete, 60, 1, "every line")
    assert len(numbers) < lines * 1.5                            # a batch that was not acknowledged comes twice: bounded


def test_a_blocking_container_waits_and_loses_nothing(machine):
    """The server is stopped while a container writes far more than may lie unshipped."""
    lines, text = 1500000, "x" * 90
    arn = run(machine, "waits", "while [ ! -e /tmp/go ]; do usleep 10000; done; yes %s | head -n %d; echo the end" % (text, lines),
              mode="blocking")
    machine.wait_task(arn, "RUNNING")
    first = machine.main_process(arn)
    with stopped(machine.child("server")):
        pathlib.Path("/proc/%d/root/tmp/go" % first).touch()
        eventually(lambda: written(machine, arn) >= UNSHIPPED, 60, what="as much as may lie unshipped")
        size = written(machine, arn)
        assert size < UNSHIPPED * 1.1 and wherry.started_at(first)
    machine.wait_task(arn, "STOPPED", 120)
    eventually(lambda: newest(machine, arn) == "the end", 60, what="the last line")
    assert count(machine, arn) == lines + 1


def test_a_container_that_does_not_wait_says_what_it_dropped(machine):
    lines, text = 400000, "x" * 90
    server = machine.child("server")
    arn = run(machine, "drops", "while [ ! -e /tmp/go ]; do usleep 10000; done; yes %s | head -n %d; touch /tmp/done; "
              "while [ ! -e /tmp/end ]; do usleep 10000; done" % (text, lines), mode="non-blocking", max_buffer_size="1m")
    machine.wait_task(arn, "RUNNING")
    root = pathlib.Path("/proc/%d/root/tmp" % machine.main_process(arn))
    with stopped(server):
        (root / "go").touch()
        eventually((root / "done").exists, 60, what="the container to have written all")
    (root / "end").touch()
    machine.wait_task(arn, "STOPPED", 60)

    def told():
        found = messages(machine, arn)
        dropped = [int(match.group(1)) for match in (re.match(r"wherry: (\d+) lines were dropped here", line) for line in found) if match]
        return dropped and sum(dropped) + len([line for line in found if line == text]) == lines
    eventually(told, 40, 1, "lines and complaints to add up")


def newest(machine, arn):
    events = machine.client(service="logs").get_log_events(logGroupName=GROUP, logStreamName=stream(arn), limit=1)["events"]
    return events[0]["message"] if events else ""


def count(machine, arn):
    return len(messages(machine, arn))


def test_options_that_docker_does_not_know_are_refused(machine):
    for wrong, says in (({"mode": "sometimes"}, "mode"), ({"awslogs_magic": "1"}, "awslogs-magic")):
        task = machine.wait_task(run(machine, "wrong", "true", **wrong), "STOPPED")
        assert says in task["containers"][0]["reason"]
