"""Every field of a task definition on a real container: docs/task-definition.md names these tests. Fields that go together share
a task, so that the file stays quick."""
import glob
import http.server
import json
import os
import pathlib
import stat
import threading

import pytest
from botocore.exceptions import ClientError

from wherry import FARGATE, STAY, container, eventually, free_port, lifetime

pytestmark = pytest.mark.root


def run(machine, family, containers, **definition):
    """The task at its end, and the lines of its container `main`."""
    mode = definition.pop("mode", "none")
    arn = machine.run_task(machine.register(family, containers=containers, mode=mode, **definition))
    task = machine.wait_task(arn, "STOPPED", 60)
    reasons = [task.get("stoppedReason")] + [c.get("reason") for c in task["containers"]]
    ended = {c["name"]: c.get("exitCode") for c in task["containers"]}
    lines = machine.logs(arn, "--container", "main") if ended["main"] is not None and "Cannot" not in str(reasons) else []
    return task, [line.rstrip("\r") for line in lines], ended, reasons


def sights(machine, family, script, more=None, **definition):
    """What one container prints."""
    _, lines, ended, reasons = run(machine, family, [container("main", script, **(more or {}))], **definition)
    assert ended["main"] == 0, (lines, reasons)
    return lines


def test_linux_parameters_init_process_shared_memory_tmpfs_devices_and_capabilities(machine):
    lines = sights(machine, "linux", "tr '\\0' ' ' < /proc/1/cmdline | cut -c1-17; grep -o '/dev/shm.*size=8192k' /proc/mounts | cut -c1-8;"
                   "grep -o 'tmpfs /work.*size=4096k' /proc/mounts | cut -c1-11; test -c /dev/inside && echo device;"
                   "grep CapBnd /proc/self/status | cut -f2", {"linuxParameters": {
                       "initProcessEnabled": True, "sharedMemorySize": 8, "tmpfs": [{"containerPath": "/work", "size": 4}],
                       "devices": [{"hostPath": "/dev/null", "containerPath": "/dev/inside", "permissions": ["read"]}],
                       "capabilities": {"add": ["NET_ADMIN"], "drop": ["ALL"]}}})
    assert lines == ["/sbin/docker-init", "/dev/shm", "tmpfs /work", "device", "0000000000001000"]


def test_pseudo_terminal_interactive_and_hostname(machine):
    lines = sights(machine, "terminal", "test -t 0 && test -t 1 && echo terminal; hostname",
                   {"pseudoTerminal": True, "interactive": True, "hostname": "boxed"}, mode="bridge")
    assert lines == ["terminal", "boxed"]


def test_ulimits_system_controls_extra_hosts_and_dns(machine):
    lines = sights(machine, "limits", "ulimit -n; cat /proc/sys/net/core/somaxconn; grep -c '10.1.2.3.other' /etc/hosts; "
                   "grep -v '^#' /etc/resolv.conf", {
                       "ulimits": [{"name": "nofile", "softLimit": 100, "hardLimit": 200}],
                       "systemControls": [{"namespace": "net.core.somaxconn", "value": "77"}],
                       "extraHosts": [{"hostname": "other", "ipAddress": "10.1.2.3"}],
                       "dnsServers": ["10.9.9.9"], "dnsSearchDomains": ["a.test"]}, mode="bridge")
    assert lines == ["100", "77", "1", "nameserver 10.9.9.9", "search a.test"]


def test_readonly_root_privileged_and_docker_security_options(machine):
    lines = sights(machine, "readonly", "touch /x 2>/dev/null || echo read-only; grep NoNewPrivs /proc/self/status | cut -f2; "
                   "grep Seccomp: /proc/self/status | cut -f2", {"readonlyRootFilesystem": True})
    assert lines == ["read-only", "1", "2"]
    lines = sights(machine, "options", "grep NoNewPrivs /proc/self/status | cut -f2",
                   {"dockerSecurityOptions": ["no-new-privileges:false"]})
    assert lines == ["0"]
    lines = sights(machine, "privileged", "grep Seccomp: /proc/self/status | cut -f2; grep NoNewPrivs /proc/self/status | cut -f2",
                   {"privileged": True})
    assert lines == ["0", "0"]


def test_pid_mode_and_ipc_mode_task(machine):
    _, lines, ended, reasons = run(machine, "shared", [
        container("helper", "echo here > /dev/shm/note; " + STAY, essential=False),
        container("main", "until [ -e /dev/shm/note ]; do sleep 0.05; done; cat /dev/shm/note; test $$ -gt 1 && echo beside",
                  dependsOn=[{"containerName": "helper", "condition": "START"}])], pidMode="task", ipcMode="task")
    assert ended["main"] == 0 and lines == ["here", "beside"], (lines, reasons)


def test_pid_mode_and_ipc_mode_host_and_none(machine):
    own = [os.readlink("/proc/self/ns/" + kind) for kind in ("pid", "ipc")]
    seen = "readlink /proc/self/ns/pid; readlink /proc/self/ns/ipc; grep -c /dev/shm /proc/mounts; true"
    assert sights(machine, "hosts", seen, pidMode="host", ipcMode="host")[:2] == own
    lines = sights(machine, "nobodys", seen, ipcMode="none")
    assert not set(lines[:2]) & set(own) and lines[2] == "0"


def test_links_give_names_and_variables(machine):
    _, lines, ended, reasons = run(machine, "linked", [
        container("db", STAY, essential=False, portMappings=[{"containerPort": 7000}],
                  environment=[{"name": "COLOUR", "value": "teal"}]),
        container("main", "grep -c 'store db' /etc/hosts; echo ${STORE_PORT##*:} $STORE_NAME $STORE_ENV_COLOUR", links=["db:store"])],
        mode="bridge")
    assert ended["main"] == 0 and lines == ["1", "7000 /main/store teal"], (lines, reasons)


def test_volumes_from_and_mount_points_read_only(machine):
    _, lines, ended, reasons = run(machine, "from", [
        container("owner", "echo mine > /data/x; " + STAY, essential=False,
                  mountPoints=[{"sourceVolume": "v", "containerPath": "/data"}]),
        container("main", "until [ -e /data/x ]; do sleep 0.05; done; cat /data/x; touch /data/y 2>/dev/null || echo read-only",
                  volumesFrom=[{"sourceContainer": "owner", "readOnly": True}])], volumes=[{"name": "v"}])
    assert ended["main"] == 0 and lines == ["mine", "read-only"], (lines, reasons)


def test_volumes_of_the_host_and_of_docker(machine, tmp_path):
    volumes = [{"name": "host", "host": {"sourcePath": str(tmp_path / "made")}},
               {"name": "mem", "dockerVolumeConfiguration": {"scope": "task", "driver": "local", "driverOpts": {
                   "type": "tmpfs", "device": "tmpfs", "o": "size=1m"}}},
               {"name": "kept", "dockerVolumeConfiguration": {"scope": "shared", "autoprovision": True, "labels": {"a": "b"}}}]
    mounts = {"mountPoints": [{"sourceVolume": name, "containerPath": "/" + name} for name in ("host", "mem", "kept")]}
    lines = sights(machine, "volumes", "echo x > /host/f; echo y > /kept/f; grep -o 'tmpfs /mem.*size=1024k' /proc/mounts | cut -c1-10",
                   mounts, volumes=volumes)
    assert lines == ["tmpfs /mem"] and (tmp_path / "made" / "f").read_text() == "x\n"
    assert sights(machine, "volumes", "cat /kept/f", mounts, volumes=volumes) == ["y"]
    with open(os.path.join(machine.data, "volumes", "kept", "volume.json")) as description:
        assert json.load(description)["labels"] == {"a": "b"}


def test_a_missing_shared_volume_without_autoprovision_is_said(machine):
    task, _, _, reasons = run(machine, "absent", [container("main", "true", mountPoints=[
        {"sourceVolume": "absent", "containerPath": "/v"}])], volumes=[
            {"name": "absent", "dockerVolumeConfiguration": {"scope": "shared", "autoprovision": False}}])
    assert "no such volume" in str(reasons), task


def test_a_volume_driver_that_is_not_there_is_refused(machine):
    with pytest.raises(ClientError, match="driver"):
        machine.register("driver", containers=[container("main", "true")], volumes=[
            {"name": "v", "dockerVolumeConfiguration": {"scope": "task", "driver": "rexray"}}])


def test_memory_and_cpu_limits_soft_and_hard_and_an_oom_kill(machine):
    lines = sights(machine, "memory", "cat /sys/fs/cgroup/memory/memory.limit_in_bytes /sys/fs/cgroup/memory/memory.soft_limit_in_bytes "
                   "/sys/fs/cgroup/cpu/cpu.shares 2>/dev/null || cat /sys/fs/cgroup/memory.max /sys/fs/cgroup/memory.low "
                   "/sys/fs/cgroup/cpu.weight", {"memory": 64, "memoryReservation": 32, "cpu": 128})
    assert lines[:2] == ["67108864", "33554432"]
    assert int(lines[2]) == 128 or int(lines[2]) < 100           # shares, or a weight below the usual one
    task, _, ended, reasons = run(machine, "oom", [container("main", "exec dd if=/dev/zero of=/dev/null bs=64M count=4", memory=16)])
    assert ended["main"] == 137 and any("OutOfMemoryError" in str(reason) for reason in reasons), (task, reasons)


def test_swap_and_swappiness(machine):
    """As far as the kernel counts swap at all."""
    lines = sights(machine, "swap", "cd /sys/fs/cgroup; if [ -e memory/memory.swappiness ]; then cat memory/memory.swappiness; "
                   "cat memory/memory.memsw.limit_in_bytes 2>/dev/null || echo none; else echo 7; cat memory.swap.max 2>/dev/null || "
                   "echo none; fi", {"memory": 64, "linuxParameters": {"maxSwap": 32, "swappiness": 7}})
    assert lines[0] == "7" and lines[1] in (str(96 << 20), str(32 << 20), "none"), lines


def test_stop_timeout_and_exit_codes(machine):
    arn = machine.run_task(machine.register("stubborn", containers=[
        container("main", "trap '' TERM; while :; do sleep 0.05; done", stopTimeout=2)], mode="none"))
    machine.wait_task(arn, "RUNNING")
    assert machine.end_task(arn)["containers"][0]["exitCode"] == 137


def test_health_check_makes_a_task_healthy_and_unhealthy(machine):
    check = {"command": ["CMD-SHELL", "test ! -e /tmp/ill"], "interval": 5, "timeout": 2, "retries": 1}
    arn = machine.run_task(machine.register("health", containers=[
        container("main", "mkdir -p /tmp; " + STAY, healthCheck=check)], mode="none"))
    eventually(lambda: machine.task(arn).get("healthStatus") == "HEALTHY", 45, what="HEALTHY")
    pathlib.Path("/proc/%d/root/tmp/ill" % machine.main_process(arn)).touch()
    eventually(lambda: machine.task(arn).get("healthStatus") == "UNHEALTHY", 45, what="UNHEALTHY")
    machine.end_task(arn)


def test_container_port_range_in_a_row(machine):
    """As bytes: older boto3 does not know the member."""
    reply = machine.raw("RegisterTaskDefinition", {"family": "range", "networkMode": "bridge", "containerDefinitions": [
        container("main", STAY, versionConsistency="disabled", disableNetworking=False, portMappings=[
            {"containerPortRange": "7000-7003"}, {"containerPort": 7100, "name": "web", "appProtocol": "http"}])]})
    assert reply.status == 200, reply.body
    shown = reply.json["taskDefinition"]["containerDefinitions"][0]
    assert (shown["portMappings"][1]["name"], shown["portMappings"][1]["appProtocol"]) == ("web", "http")
    assert shown["versionConsistency"] == "disabled"
    arn = machine.run_task(reply.json["taskDefinition"]["taskDefinitionArn"])
    task = machine.wait_task(arn, "RUNNING")
    assert task["lastStatus"] == "RUNNING", task["containers"]
    bound = machine.raw("DescribeTasks", {"tasks": [arn]}).json["tasks"][0]["containers"][0]["networkBindings"]
    assert [b.get("containerPortRange", b.get("containerPort")) for b in bound] == ["7000-7003", 7100]
    low, high = (int(port) for port in bound[0]["hostPortRange"].split("-"))
    assert high - low == 3
    machine.end_task(arn)


def test_fargate_runs_in_a_user_namespace(machine):
    definition = machine.register("mapped", containers=[container(
        "main", "id -u; test $(tr -s ' ' < /proc/self/uid_map | cut -d' ' -f3) -gt 1000000 && echo mapped; stat -c %u / /etc/hosts")],
        **FARGATE)
    arn = machine.run_task(definition, launchType="FARGATE", **machine.network())
    task = machine.wait_task(arn, "STOPPED", 60)
    assert machine.logs(arn, "--container", "main") == ["0", "mapped", "0", "0"], task


def test_ephemeral_storage_is_a_folder_of_its_size(machine):
    """That of the default size is the machine's disk: a file system for each task would cost each start 25 ms."""
    def gib(family, **more):
        definition = machine.register(family, containers=[container("main", "stat -f -c '%b %S' /")], **FARGATE, **more)
        arn = machine.run_task(definition, launchType="FARGATE", **machine.network())
        task = machine.wait_task(arn, "STOPPED", 60)
        assert task["containers"][0].get("exitCode") == 0, task
        blocks, size = machine.logs(arn)[0].split()
        return int(blocks) * int(size) / 2**30, task["ephemeralStorage"]["sizeInGiB"]
    size, shown = gib("sized", ephemeralStorage={"sizeInGiB": 22})
    assert 21 < size <= 22 and shown == 22
    disk = os.statvfs(machine.data)
    size, shown = gib("unsized")
    assert abs(size - disk.f_blocks * disk.f_frsize / 2**30) < 0.1 and shown == 20


def test_tags_labels_and_roles_of_the_definition(machine):
    """What a container reads about itself. Roles give no credentials yet: AWS's 4xx says so."""
    definition = machine.register("told", mode="bridge", tags=[{"key": "colour", "value": "teal"}], containers=[
        container("main", "wget -qO- $ECS_CONTAINER_METADATA_URI_V4; echo; until wget -qO- $ECS_CONTAINER_METADATA_URI_V4/taskWithTags "
                  "| grep colour; do sleep 0.1; done; echo; wget -qO- http://169.254.170.2/v2/credentials/x 2>&1 | grep -o 'HTTP.*4..'; "
                  "echo $AWS_EXECUTION_ENV", dockerLabels={"shape": "round"})],
        taskRoleArn="arn:aws:iam::000000000000:role/task", executionRoleArn="arn:aws:iam::000000000000:role/execution")
    arn = machine.run_task(definition, propagateTags="TASK_DEFINITION")
    task = machine.wait_task(arn, "STOPPED", 60)
    assert task["containers"][0].get("exitCode") == 0, task
    own, tagged, _, refused, where = machine.logs(arn)
    assert json.loads(own)["Labels"]["shape"] == "round"
    tagged = json.loads(tagged)
    assert (tagged["TaskTags"], tagged["Family"]) == ({"colour": "teal"}, "told")
    assert refused.startswith("HTTP/1.1 4") and where == "AWS_ECS_EC2"
    shown = machine.ecs.describe_task_definition(taskDefinition=definition)["taskDefinition"]
    assert (shown["taskRoleArn"][-4:], shown["executionRoleArn"][-9:]) == ("task", "execution")


def test_constraints_and_the_architecture_decide_where_it_runs(machine):
    constraint = {"type": "memberOf", "expression": "attribute:ecs.os-type == %s"}
    own, other = ("X86_64", "ARM64") if os.uname().machine == "x86_64" else ("ARM64", "X86_64")

    def run_with(system, architecture):
        return machine.ecs.run_task(taskDefinition=machine.register("where", "exit 0", placementConstraints=[
            {**constraint, "expression": constraint["expression"] % system}], runtimePlatform={
                "cpuArchitecture": architecture, "operatingSystemFamily": "LINUX"}))
    task = run_with("linux", own)["tasks"][0]["taskArn"]
    assert machine.wait_task(task, "STOPPED")["containers"][0]["exitCode"] == 0
    for wrong in (("windows", own), ("linux", other)):
        reply = run_with(*wrong)
        assert reply["tasks"] == [] and reply["failures"], wrong


def test_log_driver_none_and_json_file(machine):
    arns = {driver: machine.run_task(machine.register(driver, mode="none", containers=[container(
        "main", "for i in 1 2 3 4; do head -c 3000 /dev/zero | tr '\\0' x; echo; done", logConfiguration={
            "logDriver": driver, "options": options})])) for driver, options in (
                ("none", {}), ("json-file", {"max-size": "4k", "max-file": "2"}))}
    for arn in arns.values():
        assert machine.wait_task(arn, "STOPPED")["containers"][0]["exitCode"] == 0
    assert not glob.glob(os.path.join(machine.data, "logs", arns["none"].rsplit("/", 1)[1], "main.log*"))
    assert len(machine.logs(arns["json-file"])) == 2              # of 3 KB each: one in each file of 4 KB


def test_a_gpu_that_is_not_there_is_not_placed(machine):
    definition = machine.register("gpu", containers=[container("main", "true", resourceRequirements=[
        {"type": "GPU", "value": "1"}])], mode="none")
    reply = machine.ecs.run_task(taskDefinition=definition)
    assert reply["tasks"] == [] and "GPU" in reply["failures"][0]["reason"]


GPU_MINOR = 250                                          # no machine has that many


@pytest.fixture(scope="module")
def with_gpu(new_wherry, tmp_path_factory):
    """On a machine that seems to have a GPU: what the driver would show in /proc, and a device like /dev/null."""
    folder, device = tmp_path_factory.mktemp("gpu"), "/dev/nvidia%d" % GPU_MINOR
    (folder / "nvidia" / "gpus" / "0000:01:00.0").mkdir(parents=True)
    (folder / "nvidia" / "gpus" / "0000:01:00.0" / "information").write_text(
        "Model: \t Test\nGPU UUID: \t GPU-01234567\nDevice Minor: \t %d\n" % GPU_MINOR)
    (folder / "nvidia" / "version").write_text("NVRM version: NVIDIA UNIX x86_64 Kernel Module  550.54.15  Tue\n")
    if os.path.exists(device):                           # left by a run that was killed
        os.unlink(device)
    os.mknod(device, 0o666 | stat.S_IFCHR, os.makedev(1, 3))
    try:
        yield from lifetime(new_wherry(folder / "data", cidr="10.93.0.1/20", wrap=[
            "unshare", "--mount", "--propagation", "private", "sh", "-c", 'mount --bind "$0" /proc/driver && exec "$@"', str(folder)],
            environment={"WHERRY_INTROSPECTION_PORT": str(free_port())}))
    finally:
        os.unlink(device)


def test_a_gpu_is_registered_reserved_and_given(with_gpu):
    instance = with_gpu.instances()[0]
    gpus = [resource for resource in instance["registeredResources"] if resource["name"] == "GPU"]
    assert gpus[0]["stringSetValue"] == ["GPU-01234567"]
    assert {"name": "ecs.capability.nvidia-driver-version.550.54.15"} in instance["attributes"]
    wants = {"resourceRequirements": [{"type": "GPU", "value": "1"}]}
    script = "test -c /dev/nvidia%d && echo x > /dev/nvidia%d && echo $NVIDIA_VISIBLE_DEVICES" % (GPU_MINOR, GPU_MINOR)
    assert sights(with_gpu, "gpu", script, wants) == ["GPU-01234567"]
    definition = with_gpu.register("holder", containers=[container("main", STAY, **wants)], mode="none")
    arn = with_gpu.run_task(definition)
    assert with_gpu.task(arn)["containers"][0]["gpuIds"] == ["GPU-01234567"]
    assert with_gpu.ecs.run_task(taskDefinition=definition)["failures"][0]["reason"] == "RESOURCE:GPU"
    with_gpu.stop_all()


class Bucket(http.server.BaseHTTPRequestHandler):
    """As much of S3 as env files need: objects by path, and a look at the signature."""
    objects = {"/files/app.env": "# note\nFROM_FILE=yes\nBOTH=file\nSPACED= a b \n"}

    def do_GET(self):
        body = self.objects.get(self.path, "").encode()
        signed = "Credential=" in self.headers.get("Authorization", "") and "/s3/aws4_request" in self.headers["Authorization"]
        self.send_response(403 if not signed else 200 if body else 404)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


@pytest.fixture(scope="module")
def bucket(world):
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Bucket)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield "http://127.0.0.1:%d" % server.server_port
    server.shutdown()


@pytest.fixture(scope="module")
def stored(bucket, new_wherry, tmp_path_factory):
    yield from lifetime(new_wherry(tmp_path_factory.mktemp("s3") / "data", cidr="10.92.0.1/20",
                                   environment={"ECS_S3_ENDPOINT": bucket}))


def test_environment_files_lie_below_environment(stored):
    files = {"environmentFiles": [{"type": "s3", "value": "arn:aws:s3:::files/app.env"}],
             "environment": [{"name": "BOTH", "value": "definition"}]}
    assert sights(stored, "files", "echo $FROM_FILE $BOTH \"[$SPACED]\"", files) == ["yes definition [ a b ]"]


def test_environment_files_out_of_reach_are_said(stored):
    task, _, _, reasons = run(stored, "nofile", [container("main", "true", environmentFiles=[
        {"type": "s3", "value": "arn:aws:s3:::files/none.env"}])])
    assert "ResourceInitializationError" in str(reasons) and "404" in str(reasons), task
