"""Every field of a task definition on a real container: docs/task-definition.md names these tests. Fields that go together share
a task, so that the file stays quick."""
import http.server
import threading

import pytest
from botocore.exceptions import ClientError

from wherry import STAY, container, eventually, lifetime

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
    assert lines[:2] == ["67108864", "33554432"] and len(lines) == 3
    task, _, ended, reasons = run(machine, "oom", [container("main", "exec dd if=/dev/zero of=/dev/null bs=64M count=4", memory=16)])
    assert ended["main"] == 137 and any("OutOfMemoryError" in str(reason) for reason in reasons), (task, reasons)


def test_stop_timeout_and_exit_codes(machine):
    arn = machine.run_task(machine.register("stubborn", containers=[
        container("main", "trap '' TERM; while :; do sleep 0.05; done", stopTimeout=2)], mode="none"))
    machine.wait_task(arn, "RUNNING")
    machine.ecs.stop_task(task=arn)
    assert machine.wait_task(arn, "STOPPED")["containers"][0]["exitCode"] == 137


def test_health_check_makes_a_task_healthy_and_unhealthy(machine):
    check = {"command": ["CMD-SHELL", "test ! -e /tmp/ill"], "interval": 5, "timeout": 2, "retries": 1}
    arn = machine.run_task(machine.register("health", containers=[
        container("main", "mkdir -p /tmp; " + STAY, healthCheck=check)], mode="none"))
    eventually(lambda: machine.task(arn).get("healthStatus") == "HEALTHY", 45, what="HEALTHY")
    machine.ecs.stop_task(task=arn)
    machine.wait_task(arn, "STOPPED")


def test_container_port_range_in_a_row(machine):
    """As bytes: older boto3 does not know the member."""
    reply = machine.raw("RegisterTaskDefinition", {"family": "range", "networkMode": "bridge", "containerDefinitions": [
        container("main", STAY, portMappings=[{"containerPortRange": "7000-7003"}])]})
    assert reply.status == 200, reply.body
    arn = machine.run_task(reply.json["taskDefinition"]["taskDefinitionArn"])
    task = machine.wait_task(arn, "RUNNING")
    assert task["lastStatus"] == "RUNNING", task["containers"]
    bound = machine.raw("DescribeTasks", {"tasks": [arn]}).json["tasks"][0]["containers"][0]["networkBindings"]
    assert [b["containerPortRange"] for b in bound] == ["7000-7003"]
    low, high = (int(port) for port in bound[0]["hostPortRange"].split("-"))
    assert high - low == 3
    machine.ecs.stop_task(task=arn)
    machine.wait_task(arn, "STOPPED")


def test_fargate_runs_in_a_user_namespace(machine):
    subnet = machine.client(service="ec2").describe_subnets()["Subnets"][0]["SubnetId"]
    definition = machine.register("mapped", containers=[container(
        "main", "id -u; test $(tr -s ' ' < /proc/self/uid_map | cut -d' ' -f3) -gt 1000000 && echo mapped; stat -c %u / /etc/hosts")],
        mode="awsvpc", requiresCompatibilities=["FARGATE"], cpu="256", memory="512")
    arn = machine.run_task(definition, launchType="FARGATE",
                           networkConfiguration={"awsvpcConfiguration": {"subnets": [subnet]}})
    task = machine.wait_task(arn, "STOPPED", 60)
    assert machine.logs(arn, "--container", "main") == ["0", "mapped", "0", "0"], task


def test_a_gpu_that_is_not_there_is_not_placed(machine):
    definition = machine.register("gpu", containers=[container("main", "true", resourceRequirements=[
        {"type": "GPU", "value": "1"}])], mode="none")
    reply = machine.ecs.run_task(taskDefinition=definition)
    assert reply["tasks"] == [] and "GPU" in reply["failures"][0]["reason"]


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
