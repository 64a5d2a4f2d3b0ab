"""The built program for the end-to-end tests: starts it, calls it, crashes it, and looks for what it left behind."""
import contextlib
import ctypes
import functools
import glob
import http.client
import json
import os
import pathlib
import random
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time

import boto3
import botocore.auth
import botocore.awsrequest
import botocore.config
import botocore.credentials
import botocore.exceptions

ROOT = pathlib.Path(__file__).resolve().parents[2]
BUILD = pathlib.Path(os.environ.get("WHERRY_BUILD", ROOT / "build")).resolve()
PROGRAM = str(BUILD / "wherry")
REGION = "us-east-1"
ECS = "AmazonEC2ContainerServiceV20141113."
CLONE_NEWNET = 0x40000000
SHELL = "wherry/test:1"
STAY = "trap 'exit 0' TERM; sleep 600 & wait"          # a first process has no default action for SIGTERM
FARGATE = {"mode": "awsvpc", "cpu": "256", "memory": "512", "requiresCompatibilities": ["FARGATE"]}     # for Wherry.register


def eventually(question, seconds=30, every=0.05, what=""):
    """Asks until the answer is true, and returns it."""
    deadline = time.monotonic() + seconds
    while True:
        answer = question()
        if answer:
            return answer
        if time.monotonic() > deadline:
            raise AssertionError("still not after %g s: %s (last answer: %r)" % (seconds, what or question, answer))
        time.sleep(every)


def own_network():
    """A network namespace for this process and what it starts: nothing else on the machine has its bridge, rules or ports."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(CLONE_NEWNET) != 0:
        raise OSError(ctypes.get_errno(), "unshare")
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)


def free_port():
    """Below the ports that the kernel gives to clients: one of them could take it while a server is being restarted."""
    while True:
        port = random.randrange(10000, 30000)
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port


def http_get(port, path="/", host="127.0.0.1", timeout=5):
    connection = http.client.HTTPConnection(host, port, timeout=timeout)
    try:
        connection.request("GET", path)
        return connection.getresponse().read().decode()
    finally:
        connection.close()


def http_answer(port, path="/", seconds=15):
    """What is served there, once anything is."""
    def ask():
        try:
            return http_get(port, path)
        except (OSError, http.client.HTTPException):
            return None
    return eventually(ask, seconds, what="http://127.0.0.1:%d%s" % (port, path))


def processes():
    """pid -> command line, of all that have one."""
    found = {}
    for name in os.listdir("/proc"):
        if name.isdigit():
            try:
                found[int(name)] = open("/proc/%s/cmdline" % name, "rb").read().replace(b"\0", b" ").decode(errors="replace")
            except OSError:
                pass
    return found


def started_at(pid):
    """The kernel's start time of a process: with the pid, its identity."""
    try:
        return open("/proc/%d/stat" % pid).read().rsplit(")", 1)[1].split()[19]
    except OSError:
        return None


def refused(call, code, text="", status=None, **members):
    """Makes a call of boto3 that must be refused so; returns the response."""
    try:
        reply = call(**members)
    except botocore.exceptions.ClientError as error:
        response = error.response
    else:
        raise AssertionError("not refused with %s: %r" % (code, reply))
    assert response["Error"]["Code"] == code and text in response["Error"]["Message"], response
    assert status in (None, response["ResponseMetadata"]["HTTPStatusCode"]), response
    return response


class Reply:
    def __init__(self, status, headers, body):
        self.status, self.headers, self.body = status, headers, body

    @property
    def json(self):
        return json.loads(self.body)

    @property
    def error(self):
        return self.json.get("__type", "").split("#")[-1]

    @property
    def message(self):
        return self.json.get("message") or ""


class Wherry:
    """One `wherry up` (or `wherry server`) with a data folder of its own.

    supervised=False: `wherry server` and `wherry agent`, started by us and again by us after a crash, at once; the
    supervisor's pauses grow, which many crashes would spend most of their time on."""

    def __init__(self, data, cidr="10.91.0.1/20", environment=None, agent=True, listen="127.0.0.1", supervised=True,
                 wrap=()):
        self.data, self.agent, self.cidr, self.supervised = str(data), agent, cidr, supervised
        self.wrap = list(wrap)                           # a program that becomes ours: what comes before its name
        self.port = free_port()
        self.listen = "%s:%d" % (listen, self.port)
        self.endpoint = "http://127.0.0.1:%d" % self.port
        self.environment = dict(os.environ, WHERRY_LISTEN=self.listen, WHERRY_DATA=self.data, WHERRY_BRIDGE_CIDR=cidr,
                                **(environment or {}))
        for name in [n for n in self.environment if n.startswith(("AWS_", "ECS_")) and n not in (environment or {})]:
            del self.environment[name]
        self.process = None
        self.agent_process = self.bridge = None
        self.output = self.data + ".output"

    # ---- up and down
    def start(self):
        if self.agent and not self.supervised:
            self.process = self.spawn("server", "wherry: ready on http")
            self.agent_process = self.spawn("agent", "wherry: agent ready as")
        else:
            self.process = self.spawn("up" if self.agent else "server", "wherry: agent ready as" if self.agent else "wherry: ready on http")
        if self.agent:
            eventually(lambda: self.instances(), what="an instance of the cluster")
            self.bridge = eventually(self.find_bridge, what="the bridge that has " + self.cidr)
        return self

    def find_bridge(self):
        """The link with our bridge's address; its name tells that of our rules and ports, too."""
        address = self.cidr.split("/")[0]
        for link in json.loads(shell("ip", "-j", "address")):
            if address in [info.get("local") for info in link["addr_info"]]:
                return link["ifname"]
        return None

    def spawn(self, command, ready):
        at = os.path.getsize(self.output) if os.path.exists(self.output) else 0
        environment = dict(self.environment)
        if command == "agent":
            key_id, secret = self.keys("agent-credentials")
            environment.update(ECS_BACKEND_HOST=self.endpoint, AWS_DEFAULT_REGION=REGION, AWS_ACCESS_KEY_ID=key_id,
                               AWS_SECRET_ACCESS_KEY=secret)
        with open(self.output, "ab") as out:
            process = subprocess.Popen([*self.wrap, PROGRAM, command, "--data", self.data, "--listen", self.listen], env=environment,
                                       stdout=out, stderr=out, stdin=subprocess.DEVNULL)
        threading.Thread(target=process.wait, daemon=True).start()               # whoever waits for its end sees it

        def said():
            assert process.poll() is None, "ended: " + self.log()
            return ready in self.log(at)
        eventually(said, 30, 0.02, ready)
        return process

    def log(self, at=0):
        with open(self.output, "rb") as out:
            out.seek(at)
            return out.read().decode(errors="replace")

    def instances(self):
        ecs = self.ecs
        arns = ecs.list_container_instances(status="ACTIVE")["containerInstanceArns"] if ecs.list_clusters()["clusterArns"] else []
        if not arns:
            return []
        found = ecs.describe_container_instances(containerInstances=arns)["containerInstances"]
        return [instance for instance in found if instance["agentConnected"]]

    def run(self, *arguments, check=True, timeout=150, **options):
        done = subprocess.run([PROGRAM, *arguments], env=self.environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                              timeout=timeout, text=True, stdin=subprocess.DEVNULL, check=False, **options)
        assert not check or done.returncode == 0, (arguments, done.stdout, done.stderr, self.log())
        return done

    def down(self):
        """Ends it, and asserts that it left nothing."""
        if self.agent and not self.supervised:
            self.agent_process.send_signal(signal.SIGUSR1)
            assert self.agent_process.wait(60) == 0, self.log()
        if self.agent and self.supervised:
            self.run("down")
            self.process.wait(30)
        else:
            self.process.send_signal(signal.SIGTERM)
            assert self.process.wait(30) == 0, self.log()
        self.process = None
        left = self.leftovers()
        assert left == [], left

    def give_up(self):
        """After a failed test: whatever it takes."""
        if self.agent:
            try:
                self.run("down", check=False)
            except subprocess.TimeoutExpired:
                pass
        for process in (self.process, self.agent_process):
            if process:
                process.kill()
                process.wait()
        for pid in self.own_processes():
            os.kill(pid, signal.SIGKILL)
        self.process = None

    # ---- its processes
    def own_processes(self):
        return [pid for pid, line in processes().items() if self.data + " " in line + " " or self.data + "/" in line]

    def child(self, name):
        """The pid of `server` or `agent`, once it runs."""
        def find():
            return [pid for pid, line in processes().items() if line.startswith("%s-%s " % (PROGRAM, name)) and
                    self.data + " " in line]
        return eventually(find, what=name + " of " + self.data)[0]

    def crash(self, name):
        """kill -9, and started again, by the supervisor or by us. Returns the pid that was."""
        pid = self.child(name)
        own = {process.pid: process for process in (self.process, self.agent_process) if process}.get(pid)
        os.kill(pid, signal.SIGKILL)
        if own:
            own.wait(20)                                 # all its threads are gone then, and what they listened on is free
        else:
            eventually(lambda: not os.path.exists("/proc/%d" % pid), what="the end of " + name)
        if not self.supervised and name == "agent":
            self.agent_process = self.spawn("agent", "wherry: agent ready as")
        elif not self.supervised or not self.agent:
            self.process = self.spawn("server", "wherry: ready on http")
        return pid

    def wait_health(self, seconds=20):
        http_answer(self.port, "/_wherry/health", seconds)

    def cgroups(self):
        """Groups of tasks that this instance ever ran."""
        logs = os.path.join(self.data, "logs")
        tasks = set(os.listdir(logs)) if os.path.isdir(logs) else set()
        roots = ["/sys/fs/cgroup/wherry"] + glob.glob("/sys/fs/cgroup/*/wherry")         # v2, and each of v1
        return [root + "/" + name for root in roots for name in tasks if os.path.isdir(root + "/" + name)]

    def leftovers(self):
        """Processes, mounts, namespaces, control groups, rules and links. Links go in the background: they get a moment."""
        def look():
            left = ["process " + processes().get(pid, str(pid)) for pid in self.own_processes()]
            left += ["mount " + line for line in open("/proc/self/mountinfo") if self.data + "/" in line]
            left += ["namespace %s" % path for path in pathlib.Path(self.data).glob("run/tasks/*/*/netns")]
            left += ["cgroup " + path for path in self.cgroups()]
            if self.agent and self.bridge:
                left += ["table " + line for line in shell("nft", "list", "tables").splitlines()
                         if line.split()[-1].startswith(self.bridge[:-1])]
                left += ["link " + link["ifname"] for link in json.loads(shell("ip", "-j", "link"))
                         if link["ifname"].startswith(self.bridge[:-1])]
                left += ["link " + name for name in [self.find_bridge()] if name]
            return left
        deadline = time.monotonic() + 5
        while look() and time.monotonic() < deadline:
            time.sleep(0.05)
        return look()

    # ---- clients
    def keys(self, file="credentials"):
        text = open(os.path.join(self.data, file)).read()
        return tuple(re.search(name + r"\s*=\s*(\S+)", text).group(1) for name in ("aws_access_key_id", "aws_secret_access_key"))

    def client(self, keys=None, checks=True, retries=2, service="ecs"):
        key_id, secret = keys or self.keys()
        config = botocore.config.Config(retries={"max_attempts": retries, "mode": "standard"}, parameter_validation=checks,
                                        connect_timeout=10, read_timeout=30, max_pool_connections=20)
        return session().client(service, endpoint_url=self.endpoint, region_name=REGION, aws_access_key_id=key_id,
                                aws_secret_access_key=secret, config=config)

    @functools.cached_property
    def ecs(self):
        return self.client()

    def sdk_environment(self):
        """For programs that use an AWS SDK: our keys, and nothing else that it would find on this machine."""
        key_id, secret = self.keys()
        return dict(os.environ, AWS_ACCESS_KEY_ID=key_id, AWS_SECRET_ACCESS_KEY=secret, AWS_REGION=REGION, AWS_DEFAULT_REGION=REGION,
                    AWS_PAGER="", AWS_EC2_METADATA_DISABLED="true", ENDPOINT=self.endpoint)

    def aws(self, service, *arguments):
        """The AWS CLI of the system, run to its end."""
        return subprocess.run(["/usr/bin/aws", "--endpoint-url", self.endpoint, "--output", "json", service, *arguments],
                              env=self.sdk_environment(), capture_output=True, text=True, timeout=120, check=False)

    def javascript(self, name):
        """What a script of test/e2e/js prints, decoded."""
        shutil.copy(ROOT / "test" / "e2e" / "js" / name, BUILD / "js")
        done = subprocess.run(["node", name], cwd=BUILD / "js", env=self.sdk_environment(), capture_output=True, text=True, timeout=60,
                              check=False)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    def send(self, method, path, body, headers, service, keys=None, timeout=20):
        """A call with exactly these bytes, signed for `service` (None: not signed): the connection on which its answer comes."""
        request = botocore.awsrequest.AWSRequest(method, self.endpoint + path, data=body, headers=headers)
        if service:
            credentials = botocore.credentials.Credentials(*(keys or self.keys()))
            botocore.auth.SigV4Auth(credentials, service, REGION).add_auth(request)
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=timeout)
        connection.request(method, path, body=body, headers=dict(request.headers.items()))
        return connection

    def send_json(self, target, body, service, keys=None, timeout=20):
        """As `send`, of the protocol that ECS and Logs speak."""
        if not isinstance(body, bytes):
            body = json.dumps(body).encode()
        return self.send("POST", "/", body, {"X-Amz-Target": target, "Content-Type": "application/x-amz-json-1.1"}, service, keys, timeout)

    def raw(self, operation, body, keys=None, prefix=ECS, timeout=20):
        """A signed call with exactly these bytes."""
        service = "wherry" if prefix.startswith("Wherry") else "ecs"
        with contextlib.closing(self.send_json(prefix + operation, body, service, keys, timeout)) as connection:
            answer = connection.getresponse()
            return Reply(answer.status, answer.headers, answer.read())

    # ---- ECS, shorter
    def register(self, family, command=None, containers=None, mode="host", **more):
        """A task definition; by default of one container that runs `command` in a shell. Returns its ARN."""
        if containers is None:
            containers = [container("main", command)]
        return self.ecs.register_task_definition(family=family, networkMode=mode, containerDefinitions=containers,
                                                 **more)["taskDefinition"]["taskDefinitionArn"]

    def run_task(self, definition, **more):
        reply = self.ecs.run_task(taskDefinition=definition, **more)
        assert reply["failures"] == [], reply["failures"]
        return reply["tasks"][0]["taskArn"]

    def subnet(self):
        """One of the default VPC's."""
        return self.client(service="ec2").describe_subnets()["Subnets"][0]["SubnetId"]

    def network(self, **more):
        """Members of a call that runs awsvpc tasks."""
        return {"networkConfiguration": {"awsvpcConfiguration": {"subnets": [self.subnet()], **more}}}

    def task(self, arn):
        return self.ecs.describe_tasks(tasks=[arn])["tasks"][0]

    def service(self, name):
        return self.ecs.describe_services(services=[name])["services"][0]

    def wait_task(self, arn, status, seconds=45):
        order = ["PROVISIONING", "PENDING", "ACTIVATING", "RUNNING", "DEACTIVATING", "STOPPING", "DEPROVISIONING", "STOPPED"]

        def there():
            task = self.task(arn)
            return task if order.index(task["lastStatus"]) >= order.index(status) else None
        task = eventually(there, seconds, what=arn + " " + status)
        assert task["lastStatus"] == status, task
        return task

    def end_task(self, arn):
        self.ecs.stop_task(task=arn)
        return self.wait_task(arn, "STOPPED")

    def stop_all(self):
        for arn in self.ecs.list_services(maxResults=100)["serviceArns"]:
            self.ecs.delete_service(service=arn, force=True)

        def stop_some():
            arns = self.ecs.list_tasks(maxResults=100)["taskArns"]
            for arn in arns:
                self.ecs.stop_task(task=arn)
            return not arns
        eventually(stop_some, 60, what="all tasks to be stopped")

    def logs(self, arn, *options):
        """The lines of `wherry logs`, without their times."""
        return [line.split(" ", 1)[1] if " " in line else "" for line in self.run("logs", *options, arn).stdout.splitlines()]

    def main_process(self, arn, name="main"):
        """The pid of a container's first process on this machine, as its keeper knows it."""
        state = os.path.join(self.data, "run", "tasks", arn.rsplit("/", 1)[1], name, "state")
        return int(re.search(r"^pid (\d+)", open(state).read(), re.M).group(1))


def lifetime(own):
    """The body of a fixture: hands it out, ends it, and fails when it leaves anything."""
    try:
        yield own
        own.down()
    except BaseException:
        own.give_up()
        raise
    finally:
        if own.process:
            own.give_up()


running = contextlib.contextmanager(lifetime)              # with running(new_wherry(…)) as own:


def interface_of(task):
    """What a task tells of its network interface, by name."""
    return {detail["name"]: detail["value"] for detail in task["attachments"][0]["details"]}


def container(name, command=None, **more):
    """A container definition of the test image."""
    definition = {"name": name, "image": SHELL, "memory": 32, "cpu": 16, "essential": True, **more}
    if command is not None:
        definition["command"] = ["/bin/sh", "-c", command]
    return definition


def shell(*command):
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


@functools.lru_cache
def session():
    return boto3.session.Session()


def image_layout(folder):
    subprocess.run([sys.executable, str(ROOT / "sample" / "image.py"), "/bin/busybox", str(folder)], check=True)
    return str(folder)
