"""The FARGATE launch type: tasks on machines that nobody sees, in the provider's pool."""
import signal
import subprocess

import pytest

import wherry
from wherry import STAY, container, eventually

pytestmark = pytest.mark.root


def subnet(machine):
    return machine.client(service="ec2").describe_subnets()["Subnets"][0]["SubnetId"]


def network(machine, **more):
    return {"awsvpcConfiguration": {"subnets": [subnet(machine)], **more}}


def register(machine, family, command, **more):
    """Stopped soon, also when the signal comes before the shell's trap."""
    return machine.register(family, containers=[dict(container("main", command), stopTimeout=2)], mode="awsvpc", cpu="256", memory="512",
                            requiresCompatibilities=["FARGATE"], **more)


def described(machine, arn, **where):
    return machine.ecs.describe_tasks(tasks=[arn], **where)["tasks"][0]


def run_fargate(machine, definition, **more):
    reply = machine.ecs.run_task(taskDefinition=definition, launchType="FARGATE", networkConfiguration=network(machine), **more)
    assert reply["failures"] == []
    return reply["tasks"][0]


@pytest.fixture(scope="module")
def machine(layout, tmp_path_factory):
    up = wherry.Wherry(tmp_path_factory.mktemp("fargate") / "data").start()
    try:
        up.run("image", "load", str(layout), "--name", wherry.SHELL)
        yield up
        up.stop_all()
        up.down()
    finally:
        if up.process:
            up.give_up()


def test_a_task_runs_to_its_end_and_shows_no_instance(machine):
    created = run_fargate(machine, register(machine, "short", "exit 7"))
    assert created["lastStatus"] == "PROVISIONING"
    assert created["attachments"][0]["status"] == "PRECREATED"
    task = eventually(lambda: [t for t in [described(machine, created["taskArn"])] if t["lastStatus"] == "STOPPED"],
                      what="the task's end")[0]
    assert task["containers"][0].get("exitCode") == 7, task
    assert task["launchType"] == "FARGATE" and "containerInstanceArn" not in task
    assert (task["platformVersion"], task["platformFamily"]) == ("1.4.0", "Linux")
    assert task["ephemeralStorage"] == {"sizeInGiB": 20}
    assert task["attachments"][0]["status"] == "DELETED"


def test_a_running_task_has_an_interface_and_one_ledger_counts_it(machine):
    before = machine.instances()[0]
    created = run_fargate(machine, register(machine, "long", STAY), startedBy="test")
    task = eventually(lambda: [t for t in [described(machine, created["taskArn"])] if t["lastStatus"] == "RUNNING"],
                      what="RUNNING")[0]
    details = {d["name"]: d["value"] for d in task["attachments"][0]["details"]}
    assert task["attachments"][0]["status"] == "ATTACHED"
    assert task["containers"][0]["networkInterfaces"][0]["privateIpv4Address"] == details["privateIPv4Address"]
    after = machine.instances()[0]
    cpu = [[r["integerValue"] for r in i["remainingResources"] if r["name"] == "CPU"][0] for i in (before, after)]
    assert cpu[0] - cpu[1] == 256
    assert after["runningTasksCount"] == 0
    assert machine.ecs.list_tasks(containerInstance=after["containerInstanceArn"])["taskArns"] == []
    stopped = machine.ecs.stop_task(task=created["taskArn"])["task"]
    assert (stopped["lastStatus"], stopped["desiredStatus"]) == ("RUNNING", "STOPPED")
    machine.ecs.get_waiter("tasks_stopped").wait(tasks=[created["taskArn"]], WaiterConfig={"Delay": 1, "MaxAttempts": 60})
    gone = machine.client(service="ec2").describe_network_interfaces()["NetworkInterfaces"]
    assert details["networkInterfaceId"] not in [interface["NetworkInterfaceId"] for interface in gone]


def test_a_service_runs_on_fargate(machine):
    machine.ecs.create_service(serviceName="web", taskDefinition=register(machine, "web", STAY), desiredCount=2,
                               launchType="FARGATE", networkConfiguration=network(machine, assignPublicIp="ENABLED"))
    service = eventually(lambda: [s for s in machine.ecs.describe_services(services=["web"])["services"]
                                  if s["runningCount"] == 2 and s["deployments"][0]["rolloutState"] == "COMPLETED"],
                         what="a steady service")[0]
    assert (service["platformVersion"], service["platformFamily"]) == ("LATEST", "Linux")
    assert service["deployments"][0]["platformVersion"] == "1.4.0"
    machine.ecs.delete_service(service="web", force=True)


def test_a_machine_of_the_pool_alone_is_in_no_cluster(layout, tmp_path):
    server = wherry.Wherry(tmp_path / "data", cidr="10.92.0.1/20", agent=False).start()
    agent = None
    try:
        server.run("image", "load", str(layout), "--name", wherry.SHELL)
        server.ecs.create_cluster(clusterName="mine")
        key_id, secret = server.keys("agent-credentials")
        with open(server.output, "ab") as out:
            agent = subprocess.Popen(
                [wherry.PROGRAM, "agent", "--fargate", "--data", server.data, "--listen", server.listen], stdout=out, stderr=out,
                stdin=subprocess.DEVNULL, env=dict(server.environment, ECS_BACKEND_HOST=server.endpoint, AWS_ACCESS_KEY_ID=key_id,
                                                   AWS_SECRET_ACCESS_KEY=secret, AWS_DEFAULT_REGION=wherry.REGION))
        eventually(lambda: "wherry: agent ready as" in server.log(), what="the agent")
        assert [arn.split("/")[1] for arn in server.ecs.list_clusters()["clusterArns"]] == ["mine"]
        with pytest.raises(server.ecs.exceptions.ClusterNotFoundException):
            server.ecs.list_container_instances(cluster="wherry-fargate")
        definition = register(server, "alone", "exit 3")
        task = eventually(lambda: server.ecs.run_task(cluster="mine", taskDefinition=definition, launchType="FARGATE",
                                                      networkConfiguration=network(server))["tasks"], what="room")[0]
        ended = eventually(lambda: [t for t in [described(server, task["taskArn"], cluster="mine")] if t["lastStatus"] == "STOPPED"],
                           what="the task's end")[0]
        assert ended["containers"][0].get("exitCode") == 3, ended
        assert server.ecs.list_container_instances(cluster="mine")["containerInstanceArns"] == []
        agent.send_signal(signal.SIGUSR1)
        assert agent.wait(60) == 0, server.log()
        agent = None
        server.down()
    finally:
        if agent:
            agent.kill()
            agent.wait()
        if server.process:
            server.give_up()
