#!/usr/bin/env python3
"""Start to first answer, idle memory, and recovery with 100,000 tasks: startup.py BUILD [ROUNDS].

The clock starts right before the program is started and stops with the first 200 of /_wherry/health. Recovery is after
kill -9. Makes a network namespace of its own when it is root; without root there is no agent to look at."""
import os
import pathlib
import socket
import subprocess
import sys
import tempfile
import time

from support import figure, memory, spread, use_build

use_build(sys.argv[1] if len(sys.argv) > 1 else "build")
import wherry  # noqa: E402  (it reads the build folder when it is loaded)

ROUNDS = int(sys.argv[2]) if len(sys.argv) > 2 else 15
TASKS, IDLE_SECONDS = 100000, 8
REQUEST = b"GET /_wherry/health HTTP/1.1\r\nHost: localhost\r\n\r\n"


def answers(port):
    with socket.socket() as probe:
        try:
            probe.connect(("127.0.0.1", port))
            probe.sendall(REQUEST)
            return probe.recv(64).startswith(b"HTTP/1.1 200")
        except OSError:
            return False


def start(data):
    """Seconds until the first answer, and the process."""
    port = wherry.free_port()
    arguments = [wherry.PROGRAM, "server", "--listen", "127.0.0.1:%d" % port, "--data", data]
    nothing = [(os.POSIX_SPAWN_OPEN, fd, "/dev/null", os.O_WRONLY, 0) for fd in (1, 2)]
    started = time.monotonic()
    pid = os.posix_spawn(wherry.PROGRAM, arguments, os.environ, file_actions=nothing)
    while not answers(port):
        time.sleep(0.0002)
        if time.monotonic() - started > 60:
            raise RuntimeError("no answer for a minute")
    return time.monotonic() - started, pid


def end(pid, signal):
    os.kill(pid, signal)
    os.waitpid(pid, 0)


def measure_start(folder):
    new, again = [], []
    for number in range(ROUNDS):
        for times in (new, again):
            took, pid = start("%s/start%d" % (folder, number))
            times.append(took)
            end(pid, 15)
    spread("start.new", new, "`wherry server` on a new data folder, %d starts" % ROUNDS)
    spread("start.again", again, "on a data folder that is there, %d starts" % ROUNDS)


def measure_recovery(folder):
    data = folder + "/recovery"
    subprocess.run([str(wherry.BUILD / "bench" / "bench_fill"), data, str(TASKS)], check=True, stdout=subprocess.DEVNULL)
    size = sum(file.stat().st_size for file in pathlib.Path(data).iterdir()) >> 20
    times, resident = [], []
    for _ in range(max(3, ROUNDS // 3)):
        took, pid = start(data)
        times.append(took)
        resident.append(memory(pid)["VmRSS"])
        end(pid, 9)
    setting = "after kill -9, %d RUNNING tasks on 1,000 instances, %d MiB on disk, %d starts" % (TASKS, size, len(times))
    spread("recovery", times, setting)
    figure("recovery.rss", sorted(resident)[len(resident) // 2], "MiB", "VmRSS of the server with %d tasks" % TASKS)


def measure_memory(folder):
    machine = wherry.Wherry(folder + "/idle", cidr="10.93.16.1/20")
    try:
        machine.start()
        time.sleep(IDLE_SECONDS)
        for name in ("server", "agent"):
            found = memory(machine.child(name))
            setting = "%d s after start, agent connected, nothing running" % IDLE_SECONDS
            figure("idle.%s.rss" % name, found["VmRSS"], "MiB", "VmRSS, " + setting)
            figure("idle.%s.anonymous" % name, found["RssAnon"], "MiB", "RssAnon, " + setting)
            figure("idle.%s.pss" % name, found["Pss"], "MiB", "PSS, " + setting)
        machine.down()
    finally:
        if machine.process:
            machine.give_up()


def main():
    if os.geteuid() == 0:
        wherry.own_network()
    with tempfile.TemporaryDirectory(prefix="wherry-bench-") as folder:
        measure_start(folder)
        measure_recovery(folder)
        if os.geteuid() == 0:
            measure_memory(folder)


if __name__ == "__main__":
    main()
