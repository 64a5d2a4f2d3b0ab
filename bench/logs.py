#!/usr/bin/env python3
"""From a container's stdout to where GetLogEvents finds it, with the awslogs driver in blocking mode: logs.py BUILD.

Containers write lines of 100 bytes as fast as they can; the clock runs from RunTask until the last line of each can be read. CPU is that of
server, agent and keepers, not of the containers. Needs root; makes a network namespace of its own."""
import os
import sys
import tempfile
import time

from support import figure, use_build

use_build(sys.argv[1] if len(sys.argv) > 1 else "build")
import wherry  # noqa: E402  (it reads the build folder when it is loaded)

LINE = 100                                               # bytes, with the newline
SETTINGS = (("one", 1, 2_000_000), ("many", 50, 40_000))         # containers, lines of each
TICKS = os.sysconf("SC_CLK_TCK")
LAST = "the last line"


def cpu_seconds(machine):
    spent = 0
    for pid in machine.own_processes():
        try:
            fields = open("/proc/%d/stat" % pid).read().rsplit(")", 1)[1].split()
            name = os.readlink("/proc/%d/exe" % pid)
        except OSError:
            continue
        if os.path.basename(name).startswith("wherry"):
            spent += (int(fields[11]) + int(fields[12])) / TICKS
    return spent


def newest(logs, stream):
    try:
        events = logs.get_log_events(logGroupName="/bench", logStreamName=stream, limit=1)["events"]
    except logs.exceptions.ResourceNotFoundException:
        return ""
    return events[0]["message"] if events else ""


def measure(machine, logs, name, count, lines):
    text = "x" * (LINE - 1)
    family = "logs-" + name
    machine.register(family, containers=[wherry.container("main", "yes %s | head -n %d; echo %s" % (text, lines - 1, LAST), logConfiguration={
        "logDriver": "awslogs", "options": {"awslogs-group": "/bench", "awslogs-region": wherry.REGION, "awslogs-stream-prefix": family,
                                            "mode": "blocking"}})])
    before, started = cpu_seconds(machine), time.monotonic()
    tasks = []
    while len(tasks) < count:
        reply = machine.ecs.run_task(taskDefinition=family, count=min(10, count - len(tasks)))
        tasks += [task["taskArn"].rsplit("/", 1)[1] for task in reply["tasks"]]
    waiting = ["%s/main/%s" % (family, task) for task in tasks]
    while waiting:
        waiting = [stream for stream in waiting if newest(logs, stream) != LAST]
        time.sleep(0.02)
        if time.monotonic() - started > 300:
            raise RuntimeError("%d streams are not complete" % len(waiting))
    took = time.monotonic() - started
    megabytes = count * lines * LINE / 1e6
    setting = "%d × %d lines of %d B, awslogs, blocking, host network" % (count, lines, LINE)
    figure("logs.%s.lines" % name, count * lines / took, "lines/s", setting)
    figure("logs.%s.bytes" % name, megabytes / took, "MB/s", setting)
    figure("logs.%s.cpu" % name, (cpu_seconds(machine) - before) * 1000 / megabytes, "ms/MB", "user and system time; %.0f MB" % megabytes)


def main():
    if os.geteuid() != 0:
        print("skipped: running containers needs root", file=sys.stderr)
        return
    wherry.own_network()
    with tempfile.TemporaryDirectory(prefix="wherry-bench-") as folder:
        machine = wherry.Wherry(folder + "/data", cidr="10.94.0.1/20")
        try:
            machine.start()
            machine.run("image", "load", wherry.image_layout(folder + "/layout"), "--name", wherry.SHELL)
            logs = machine.client(service="logs")
            logs.create_log_group(logGroupName="/bench")
            for setting in SETTINGS:
                measure(machine, logs, *setting)
            machine.down()
        finally:
            if machine.process:
                machine.give_up()


if __name__ == "__main__":
    main()
