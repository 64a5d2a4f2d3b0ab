"""`wherry down` leaves nothing: seven kinds of things, each of which is seen to be there before."""
import glob
import json
import os

import pytest

from wherry import FARGATE, SHELL, STAY, container, eventually, image_layout, processes, shell

pytestmark = pytest.mark.root


def namespaces():
    """Network namespaces that anything holds: processes, descriptors or names in the file system."""
    found = set()
    for path in glob.glob("/proc/[0-9]*/ns/net"):
        try:
            found.add(os.stat(path).st_ino)
        except OSError:
            pass
    for line in open("/proc/self/mountinfo"):
        if " - nsfs " in line and "net:[" in line:
            found.add(int(line.split("net:[")[1].split("]")[0]))
    return found


def groups():
    return {folder for root in ("/sys/fs/cgroup", *glob.glob("/sys/fs/cgroup/*")) if os.path.isdir(root + "/wherry")
            for folder, _, _ in os.walk(root + "/wherry")}


def look(own):
    """What belongs to a Wherry or could be made by one, by kind."""
    return {
        "process": {pid for pid, line in processes().items() if own.data in line},
        "mount": {line.split()[4] for line in open("/proc/self/mountinfo")},
        "netns": namespaces(),
        "link": {link["ifname"] for link in json.loads(shell("ip", "-j", "link"))},
        "rule": set(shell("nft", "list", "ruleset").splitlines()),
        "cgroup": groups(),
        "file": {os.path.join(folder, name) for folder, _, names in os.walk(own.data + "/run") for name in names},
    }


def test_nothing_is_left_after_down(new_wherry, tmp_path):
    own = new_wherry(tmp_path / "data", load=False)
    own.down()
    before = look(own)
    own.start()
    try:
        own.run("image", "load", image_layout(tmp_path / "layout"), "--name", SHELL)
        run_everything(own)
        meanwhile = look(own)
        for kind in before:
            assert meanwhile[kind] - before[kind], "no %s was there to be taken away" % kind
        own.down()

        def left():
            now = look(own)
            return {kind: now[kind] - before[kind] for kind in before if now[kind] - before[kind]}
        try:
            eventually(lambda: not left(), 15)
        except AssertionError:
            raise AssertionError(left()) from None
    finally:
        if own.process:
            own.give_up()


def run_everything(own):
    """A task of each network mode, of both launch types, with volumes and logs."""
    efs = own.client(service="efs")
    system = efs.create_file_system(CreationToken="down")["FileSystemId"]
    efs.create_mount_target(FileSystemId=system, SubnetId=own.subnet())
    mounts = {"mountPoints": [{"sourceVolume": name, "containerPath": "/" + name} for name in ("bare", "named", "shared")]}
    volumes = [{"name": "bare"}, {"name": "named", "dockerVolumeConfiguration": {"scope": "task"}},
               {"name": "shared", "efsVolumeConfiguration": {"fileSystemId": system}}]
    logs = {"logConfiguration": {"logDriver": "awslogs", "options": {
        "awslogs-group": "/down", "awslogs-region": "us-east-1", "awslogs-stream-prefix": "p", "awslogs-create-group": "true"}}}
    arns = [own.run_task(own.register("down-" + mode, mode=mode, volumes=volumes, containers=[container("main", STAY, **mounts, **logs)]),
                         **(own.network() if mode == "awsvpc" else {})) for mode in ("awsvpc", "bridge", "host", "none")]
    fargate = own.register("down-fargate", executionRoleArn="arn:aws:iam::000000000000:role/execution",
                           containers=[container("main", STAY, **logs)], **FARGATE)
    arns.append(own.run_task(fargate, launchType="FARGATE", **own.network()))
    for arn in arns:
        own.wait_task(arn, "RUNNING")
