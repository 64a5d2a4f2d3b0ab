#!/usr/bin/env python3
"""RunTask until RUNNING on a real `wherry up`, and `podman run` beside it in the same run: launch.py BUILD [LAUNCHES].

Both run the same image and command with the same limits and networks, taking turns; the image is there already. Wherry's
time is what a client sees: from before RunTask to the answer of DescribeTasks that says RUNNING, asked every 2 ms from the 15th on.
Podman's is that of `podman run -d`, which ends when the container has started. `awsvpc` is an interface of a VPC with its security
group, and the awslogs driver. Data are on the disk, the run folders of both in memory, as /run is. Needs root; makes a network
namespace of its own."""
import concurrent.futures
import ctypes
import multiprocessing
import os
import shutil
import subprocess
import sys
import tempfile
import time

from support import Client, figure, memory, spread, use_build

use_build(sys.argv[1] if len(sys.argv) > 1 else "build")
import wherry  # noqa: E402  (it reads the build folder when it is loaded)

NETWORKS = ("awsvpc", "bridge", "host")
PODMAN_NETWORKS = ("bridge", "host")
LAUNCHES = int(sys.argv[2]) if len(sys.argv) > 2 else 200
MEANS = {"awsvpc": "awsvpc network with a security group, awslogs", "bridge": "bridge network", "host": "host network"}
PODMAN_EVERY = 4                                         # launches of Wherry for each of podman, which takes much longer
SUSTAINED, IN_FLIGHT = 100, 4
SETTLE_SECONDS = 0.03                                    # a shell that has no trap yet would sit out its stop timeout
FIRST_LOOK_SECONDS = 0.015                               # less than any launch takes; each look costs the cores 1 ms
COMMAND = ["/bin/sh", "-c", "trap 'exit 0' TERM; sleep 600 & wait"]
CLONE_NEWNS, MS_PRIVATE, MS_REC = 0x20000, 1 << 18, 1 << 14


class Podman:
    """In a process of its own, whose mounts may change: some machines have a cgroup2 mount beside v1 that crun refuses."""

    def __init__(self, folder, run, layout):
        self.folder, self.layout = folder, layout
        self.command = ["podman", "--root", folder + "/root", "--runroot", run, "--runtime", "crun",
                        "--cgroup-manager", "cgroupfs"]
        self.here, there = multiprocessing.Pipe()
        self.process = multiprocessing.get_context("fork").Process(target=self.serve, args=(there,), daemon=True)
        self.process.start()
        self.problem = self.here.recv()

    def run(self, network):
        started = time.monotonic()
        done = subprocess.run(self.command + [
            "run", "-d", "--network", network, "--memory", "32m", "--cpu-shares", "16", "--ulimit", "nofile=1024:1024",
            "--ulimit", "nproc=1024:1024", self.image, *COMMAND], capture_output=True, text=True, check=False, timeout=60)
        took = time.monotonic() - started
        if done.returncode:
            raise RuntimeError(done.stderr.strip().splitlines()[-1])
        return took, done.stdout.strip()

    def remove(self, *containers):
        subprocess.run(self.command + ["rm", "-f", "-t", "0", *(containers or ("--all",))], capture_output=True, check=False,
                       timeout=120)

    def drop_hybrid_mount(self):
        libc = ctypes.CDLL(None, use_errno=True)
        libc.unshare(CLONE_NEWNS)
        libc.mount(b"none", b"/", None, MS_REC | MS_PRIVATE, None)
        for line in open("/proc/self/mountinfo").read().splitlines():
            if " - cgroup2 " in line and line.split()[4] != "/sys/fs/cgroup":
                libc.umount2(line.split()[4].encode(), 2)

    def prepare(self):
        if not shutil.which("podman"):
            return "podman is not installed"
        self.drop_hybrid_mount()
        done = subprocess.run(self.command + ["pull", "-q", "oci:" + self.layout], capture_output=True, text=True, check=False,
                              timeout=60)
        self.image = done.stdout.strip()
        try:
            for network in PODMAN_NETWORKS:
                self.remove(self.run(network)[1])
        except (RuntimeError, IndexError, subprocess.SubprocessError) as problem:
            return "podman does not run here: %s" % problem
        return ""

    def sustained(self, network):
        with concurrent.futures.ThreadPoolExecutor(IN_FLIGHT) as pool:
            started = time.monotonic()
            list(pool.map(lambda _: self.run(network), range(SUSTAINED // 2)))
            took = time.monotonic() - started
        self.remove()
        return SUSTAINED // 2 / took

    def serve(self, pipe):
        pipe.send(self.prepare())
        while True:
            what, network = pipe.recv()
            if what == "end":
                self.remove()
                pipe.send(None)
                return
            if what == "sustained":
                pipe.send(self.sustained(network))
                continue
            took, container = self.run(network)
            pipe.send(took)
            self.remove(container)

    def ask(self, what, network=None):
        self.here.send((what, network))
        return self.here.recv()


class Launcher:
    def __init__(self, machine):
        self.client = Client(machine.port, machine.keys())
        machine.client(service="logs").create_log_group(logGroupName="/bench")
        subnets = machine.client(service="ec2").describe_subnets()["Subnets"]
        self.more = {"awsvpc": {"networkConfiguration": {"awsvpcConfiguration": {"subnets": [subnets[0]["SubnetId"]]}}}}
        logs = {"logConfiguration": {"logDriver": "awslogs", "options": {
            "awslogs-group": "/bench", "awslogs-region": wherry.REGION, "awslogs-stream-prefix": "launch"}}}
        for network in NETWORKS:
            self.client.call("RegisterTaskDefinition", family="bench-" + network, networkMode=network, containerDefinitions=[
                {"name": "main", "image": wherry.SHELL, "memory": 32, "cpu": 16, "essential": True, "stopTimeout": 2,
                 "command": COMMAND, **(logs if network == "awsvpc" else {})}])

    def run_task(self, network):
        reply = self.client.call("RunTask", taskDefinition="bench-" + network, **self.more.get(network, {}))
        if reply["failures"]:
            raise RuntimeError(reply["failures"])
        return reply["tasks"][0]["taskArn"]

    def statuses(self, arns):
        tasks = self.client.call("DescribeTasks", tasks=arns)["tasks"]
        for task in tasks:
            if task["lastStatus"] == "STOPPED" and task.get("stopCode") != "UserInitiated":
                raise RuntimeError(task.get("stoppedReason"))
        return {task["taskArn"]: task["lastStatus"] for task in tasks}

    def wait(self, arn, status):
        while self.statuses([arn])[arn] != status:
            time.sleep(0.002)

    def launch(self, network):
        started = time.monotonic()
        arn = self.run_task(network)
        time.sleep(FIRST_LOOK_SECONDS)
        self.wait(arn, "RUNNING")
        return time.monotonic() - started, arn

    def stop(self, *arns):
        for arn in arns:
            self.client.call("StopTask", task=arn)
        for arn in arns:
            self.wait(arn, "STOPPED")

    def sustained(self, network, meanwhile):
        left, flight, running = SUSTAINED, [], []
        started = time.monotonic()
        while left or flight:
            while left and len(flight) < IN_FLIGHT:
                flight.append(self.run_task(network))
                left -= 1
            time.sleep(0.005)
            done = [arn for arn, status in self.statuses(flight).items() if status == "RUNNING"]
            running += done
            flight = [arn for arn in flight if arn not in done]
        took = time.monotonic() - started
        meanwhile(len(running))
        self.stop(*running)
        return SUSTAINED / took


def keepers():
    return {pid for pid, line in wherry.processes().items() if line.split(" ")[0].endswith("/wherry-keeper")}


def single(launcher, podman):
    ours, theirs = {network: [] for network in NETWORKS}, {network: [] for network in NETWORKS}
    for number in range(LAUNCHES):
        for network in NETWORKS:
            took, arn = launcher.launch(network)
            ours[network].append(took)
            time.sleep(SETTLE_SECONDS)
            launcher.stop(arn)
            if not podman.problem and number % PODMAN_EVERY == 0 and network in PODMAN_NETWORKS:
                theirs[network].append(podman.ask("run", network))
    for network in NETWORKS:
        spread("launch." + network, ours[network], "%d launches, one at a time, %s, image present" % (LAUNCHES, MEANS[network]))
        if theirs[network]:
            spread("launch.podman." + network, theirs[network],
                   "`podman run -d`, %d launches between the others, same image and limits" % len(theirs[network]))


def sustained(launcher, podman, before):
    def measure(count):
        shares = [memory(pid)["Pss"] for pid in keepers() - before]
        figure("launch.keeper", sum(shares) / len(shares), "MiB",
               "PSS of a task's keeper, %d tasks running, %d keepers there" % (count, len(shares)))
    for network in NETWORKS:
        figure("launch.%s.rate" % network, launcher.sustained(network, measure if network == "awsvpc" else lambda count: None),
               "launches/s", "%d launches, %d under way" % (SUSTAINED, IN_FLIGHT))
        if not podman.problem and network in PODMAN_NETWORKS:
            figure("launch.podman.%s.rate" % network, podman.ask("sustained", network), "launches/s",
                   "%d `podman run -d`, %d under way" % (SUSTAINED // 2, IN_FLIGHT))


def main():
    if os.geteuid() != 0:
        print("skipped: running containers needs root", file=sys.stderr)
        return
    wherry.own_network()
    with tempfile.TemporaryDirectory(prefix="wherry-bench-") as folder, \
            tempfile.TemporaryDirectory(prefix="wherry-bench-", dir="/dev/shm") as run:
        layout = wherry.image_layout(folder + "/layout")
        podman = Podman(folder + "/podman", run + "/podman", layout)
        if podman.problem:
            print(podman.problem, file=sys.stderr)
        before = keepers()
        machine = wherry.Wherry(folder + "/data", cidr="10.93.0.1/20")
        try:
            os.mkdir(folder + "/data")
            os.mkdir(run + "/wherry")
            os.symlink(run + "/wherry", folder + "/data/run")
            machine.start()
            machine.run("image", "load", layout, "--name", wherry.SHELL)
            launcher = Launcher(machine)
            launcher.stop(launcher.launch("bridge")[1])
            single(launcher, podman)
            sustained(launcher, podman, before)
            if not podman.problem:
                podman.ask("end")
            machine.down()
        finally:
            if machine.process:
                machine.give_up()


if __name__ == "__main__":
    main()
