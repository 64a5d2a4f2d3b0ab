"""awsvpc tasks: interfaces, security groups, VPCs. Probes run inside the network namespace of a real task's first process."""
import http.server
import ipaddress
import os
import subprocess
import sys
import threading

import pytest

import wherry
from wherry import FARGATE, STAY, container, eventually, free_port, http_get, interface_of, running

pytestmark = pytest.mark.root

SERVE = "mkdir -p /tmp/www; echo hello > /tmp/www/index.html; trap 'exit 0' TERM; httpd -p 8080 -h /tmp/www; httpd -p 9090 -h /tmp/www; sleep 600 & wait"
MANY = int(os.environ.get("WHERRY_TEST_MANY", "500"))


class Vpc:
    """What a test makes of EC2, taken away at the end."""

    def __init__(self, machine):
        self.machine, self.ec2, self.undo = machine, machine.client(service="ec2"), []

    def default(self):
        vpc = self.ec2.describe_vpcs(Filters=[{"Name": "is-default", "Values": ["true"]}])["Vpcs"][0]["VpcId"]
        subnets = self.ec2.describe_subnets(Filters=[{"Name": "vpc-id", "Values": [vpc]}])["Subnets"]
        return vpc, subnets[0]["SubnetId"]

    def new(self, block="10.20.0.0/16", subnet="10.20.1.0/24"):
        vpc = self.ec2.create_vpc(CidrBlock=block)["Vpc"]["VpcId"]
        self.undo.append(lambda: self.ec2.delete_vpc(VpcId=vpc))
        subnet = self.ec2.create_subnet(VpcId=vpc, CidrBlock=subnet)["Subnet"]["SubnetId"]
        self.undo.append(lambda: self.ec2.delete_subnet(SubnetId=subnet))
        return vpc, subnet

    def group(self, vpc, name):
        group = self.ec2.create_security_group(GroupName=name, Description=name, VpcId=vpc)["GroupId"]
        self.undo.append(lambda: self.ec2.delete_security_group(GroupId=group))
        return group

    def allow(self, group, port, block=None, source=None):
        self.ec2.authorize_security_group_ingress(GroupId=group, IpPermissions=[permission(port, block, source)])

    def revoke(self, group, port, block=None, source=None):
        self.ec2.revoke_security_group_ingress(GroupId=group, IpPermissions=[permission(port, block, source)])

    def run(self, definition, subnet, *groups, **more):
        return self.machine.run_task(definition, networkConfiguration={"awsvpcConfiguration": {
            "subnets": [subnet], "securityGroups": list(groups), **more}})

    def end(self):
        self.machine.stop_all()
        for step in reversed(self.undo):
            eventually(lambda: succeeds(step), 60, what="a VPC's part to go")


def succeeds(step):
    try:
        step()
        return True
    except Exception as problem:     # DependencyViolation, as long as the last interface goes
        if "DependencyViolation" not in str(problem):
            raise
        return False


def permission(port, block=None, source=None):
    rule = {"IpProtocol": "tcp", "FromPort": port, "ToPort": port}
    if block:
        rule["IpRanges"] = [{"CidrIp": block}]
    if source:
        rule["UserIdGroupPairs"] = [{"GroupId": source}]
    return rule


def address(machine, arn):
    task = machine.task(arn)
    details = interface_of(task)
    assert task["containers"][0]["networkInterfaces"][0]["privateIpv4Address"] == details["privateIPv4Address"]
    return details["privateIPv4Address"]


def reaches(machine, arn, where, port=8080):
    ask = "import urllib.request as u; print(u.urlopen('http://%s:%d/', timeout=1).read().decode())" % (where, port)
    done = subprocess.run(["nsenter", "-t", str(machine.main_process(arn)), "-n", sys.executable, "-c", ask], capture_output=True,
                          text=True, check=False)
    return done.stdout == "hello\n\n"


def soon(question, answer):
    eventually(lambda: question() == answer, 10, 0.1, "that the answer is %r" % answer)


@pytest.fixture
def vpc(machine):
    made = Vpc(machine)
    yield made
    made.end()


@pytest.fixture(scope="module")
def definitions(machine):
    return {"serve": machine.register("serve", mode="awsvpc", containers=[container("main", SERVE)]),
            "stay": machine.register("stay", mode="awsvpc", containers=[container("main", STAY, stopTimeout=2)])}


def test_a_task_has_an_interface_of_its_subnet(machine, vpc, definitions):
    _, subnet = vpc.default()
    arn = vpc.run(definitions["stay"], subnet)
    task = machine.wait_task(arn, "RUNNING")
    attachment = task["attachments"][0]
    assert (attachment["type"], attachment["status"]) == ("ElasticNetworkInterface", "ATTACHED")
    details = interface_of(task)
    assert details["subnetId"] == subnet
    interface = vpc.ec2.describe_network_interfaces(NetworkInterfaceIds=[details["networkInterfaceId"]])["NetworkInterfaces"][0]
    assert interface["Status"] == "in-use" and interface["MacAddress"] == details["macAddress"]
    assert interface["PrivateIpAddress"] == details["privateIPv4Address"]
    inside = wherry.shell("nsenter", "-t", str(machine.main_process(arn)), "-n", "ip", "-o", "-4", "address", "show", "eth0")
    assert details["privateIPv4Address"] + "/20" in inside
    task = machine.end_task(arn)
    assert task["attachments"][0]["status"] == "DELETED"
    with pytest.raises(Exception, match="InvalidNetworkInterfaceID.NotFound"):
        vpc.ec2.describe_network_interfaces(NetworkInterfaceIds=[details["networkInterfaceId"]])


def test_security_groups_allow_by_port_block_and_group_and_change_live(machine, vpc, definitions):
    home, subnet = vpc.default()
    web, friend, stranger = (vpc.group(home, name) for name in ("web", "friend", "stranger"))
    vpc.allow(web, 8080, source=friend)
    server = vpc.run(definitions["serve"], subnet, web)
    first = vpc.run(definitions["stay"], subnet, friend)
    second = vpc.run(definitions["stay"], subnet, stranger)
    for arn in (server, first, second):
        machine.wait_task(arn, "RUNNING")
    there = address(machine, server)
    soon(lambda: reaches(machine, first, there), True)           # by group
    assert not reaches(machine, first, there, 9090)              # another port
    assert not reaches(machine, second, there)                   # another group
    vpc.allow(web, 8080, block=address(machine, second) + "/32")
    soon(lambda: reaches(machine, second, there), True)          # by block, while it runs
    vpc.revoke(web, 8080, source=friend)
    soon(lambda: reaches(machine, first, there), False)
    assert reaches(machine, second, there)
    # and the way out of a group
    vpc.ec2.revoke_security_group_egress(GroupId=stranger, IpPermissions=[{"IpProtocol": "-1", "IpRanges": [{"CidrIp": "0.0.0.0/0"}]}])
    soon(lambda: reaches(machine, second, there), False)
    vpc.ec2.authorize_security_group_egress(GroupId=stranger, IpPermissions=[permission(8080, block=there + "/32")])
    soon(lambda: reaches(machine, second, there), True)


def test_two_vpcs_with_the_same_block_do_not_see_each_other(machine, vpc, definitions):
    running = {}
    for side in ("left", "right"):
        home, subnet = vpc.new()
        group = vpc.group(home, side)
        vpc.allow(group, 8080, block="0.0.0.0/0")
        running[side] = [vpc.run(definitions["serve"], subnet, group), vpc.run(definitions["stay"], subnet, group)]
    for arns in running.values():
        for arn in arns:
            machine.wait_task(arn, "RUNNING")
    places = {side: [address(machine, arn) for arn in arns] for side, arns in running.items()}
    for side in ("left", "right"):
        soon(lambda: reaches(machine, running[side][1], places[side][0]), True)
    # Both VPCs gave out the same addresses, and each reaches its own: with the server of one gone, nobody answers there.
    assert places["left"][0] == places["right"][0]
    machine.end_task(running["left"][0])
    assert not reaches(machine, running["left"][1], places["left"][0])
    assert reaches(machine, running["right"][1], places["right"][0])


def test_a_subnet_without_a_free_address_says_so(machine, vpc, definitions):
    _, subnet = vpc.new("10.30.0.0/24", "10.30.0.0/28")
    for _ in range(11):
        vpc.run(definitions["stay"], subnet)
    reply = machine.ecs.run_task(taskDefinition=definitions["stay"], networkConfiguration={"awsvpcConfiguration": {"subnets": [subnet]}})
    assert (reply["tasks"], [failure["reason"] for failure in reply["failures"]]) == ([], ["RESOURCE:ENI"])
    assert "sufficient free Ipv4 addresses" in reply["failures"][0]["detail"]


def test_what_is_wrong_with_a_network_is_told(machine, vpc, definitions):
    _, subnet = vpc.default()
    wrong = [({"subnets": ["subnet-00000000000000000"]}, "does not exist"), ({"subnets": []}, "subnets"),
             ({"subnets": [subnet], "securityGroups": ["sg-00000000000000000"]}, "sg-00000000000000000"),
             ({"subnets": [subnet], "assignPublicIp": "ENABLED"}, "ublic")]
    for configuration, says in wrong:
        with pytest.raises(Exception, match=says):
            machine.ecs.run_task(taskDefinition=definitions["stay"], networkConfiguration={"awsvpcConfiguration": configuration})
    with pytest.raises(Exception, match="Network Configuration must be provided"):
        machine.ecs.run_task(taskDefinition=definitions["stay"])
    assert not machine.ecs.list_tasks()["taskArns"]


class World:
    """Somebody outside all VPCs: an address of this machine that is in none of Wherry's ranges, and a web server there."""
    address = "203.0.113.80"

    def __enter__(self):
        subprocess.run(["ip", "address", "add", self.address + "/32", "dev", "lo"], check=True)
        self.server = http.server.ThreadingHTTPServer((self.address, 0), Hello)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_):
        self.server.shutdown()
        self.server.server_close()
        subprocess.run(["ip", "address", "del", self.address + "/32", "dev", "lo"], check=True)


class Hello(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b"hello\n")

    def log_message(self, *_):
        pass


def run_fargate(machine, vpc, family, public):
    """A running task that serves port 8080 to everybody; its public address, or None."""
    home, subnet = vpc.default()
    group = vpc.group(home, family)
    vpc.allow(group, 8080, block="0.0.0.0/0")
    definition = machine.register(family, containers=[container("main", SERVE, stopTimeout=2)], **FARGATE)
    arn = machine.run_task(definition, launchType="FARGATE", networkConfiguration={"awsvpcConfiguration": {
        "subnets": [subnet], "securityGroups": [group], "assignPublicIp": "ENABLED" if public else "DISABLED"}})
    task = machine.wait_task(arn, "RUNNING")
    details = interface_of(task)
    interface = vpc.ec2.describe_network_interfaces(NetworkInterfaceIds=[details["networkInterfaceId"]])["NetworkInterfaces"][0]
    return arn, interface.get("Association", {}).get("PublicIp")


def serves(address):
    try:
        return http_get(8080, host=address, timeout=2) == "hello\n"
    except OSError:
        return False


def test_a_public_address_leads_in_and_out_and_nothing_else_does(machine, vpc):
    with World() as world:
        port = world.server.server_port
        inner, none = run_fargate(machine, vpc, "inner", public=False)
        outer, public = run_fargate(machine, vpc, "outer", public=True)
        assert none is None and ipaddress.ip_address(public) in ipaddress.ip_network("198.18.0.0/15")
        soon(lambda: serves(public), True)
        assert not serves(address(machine, outer)) and not serves(address(machine, inner))
        soon(lambda: reaches(machine, outer, world.address, port), True)
        assert not reaches(machine, inner, world.address, port)
        machine.end_task(outer)
        soon(lambda: serves(public), False)


def test_two_wherrys_fit_on_one_machine(machine, vpc, new_wherry, tmp_path):
    """Each with ranges of its own, of the bridge and of public addresses."""
    with running(new_wherry(tmp_path / "data", cidr="10.92.0.1/20", environment={
            "WHERRY_PUBLIC_CIDR": "198.20.0.0/28", "WHERRY_INTROSPECTION_PORT": str(free_port())})) as other:
        own = Vpc(other)
        _, first = run_fargate(machine, vpc, "first", public=True)
        _, second = run_fargate(other, own, "second", public=True)
        assert ipaddress.ip_address(second) in ipaddress.ip_network("198.20.0.0/28")
        soon(lambda: serves(first) and serves(second), True)
        own.end()
    soon(lambda: serves(first), True)                            # one goes, the other stays


@pytest.mark.parametrize("cidr", ["198.18.0.0", "198.18.0.0/7", "198.18.0.0/30", "198.18.0/15", "fd00::/64", "198.18.0.0/x"])
def test_a_range_of_public_addresses_is_checked(cidr):
    done = subprocess.run([wherry.PROGRAM, "server", "--public-cidr", cidr], capture_output=True, text=True, check=False, timeout=20)
    assert done.returncode == 2 and "from /8 to /29" in done.stderr, done


def test_many_interfaces_come_and_go(machine, vpc, definitions):
    """Leftovers are looked for when the machine goes down (conftest)."""
    _, subnet = vpc.default()
    tiny = machine.register("tiny", mode="awsvpc", containers=[container("main", "sleep 600", memory=16, cpu=1, stopTimeout=2)])
    arns = []
    while len(arns) < MANY:
        reply = machine.ecs.run_task(taskDefinition=tiny, count=min(10, MANY - len(arns)), networkConfiguration={
            "awsvpcConfiguration": {"subnets": [subnet]}})
        assert reply["failures"] == [], (len(arns), reply["failures"])
        arns += [task["taskArn"] for task in reply["tasks"]]

    def statuses():
        found = []
        for at in range(0, len(arns), 100):
            found += [task["lastStatus"] for task in machine.ecs.describe_tasks(tasks=arns[at:at + 100])["tasks"]]
        return found
    eventually(lambda: set(statuses()) == {"RUNNING"}, 120, 0.5, "all to be RUNNING")
    for arn in arns:
        machine.ecs.stop_task(task=arn)
    eventually(lambda: set(statuses()) == {"STOPPED"}, 120, 0.5, "all to be STOPPED")
    eventually(lambda: not vpc.ec2.describe_network_interfaces()["NetworkInterfaces"], 30, 0.5, "all interfaces to be gone")
