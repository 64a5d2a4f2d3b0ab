"""The FARGATE launch type: tasks on machines that nobody sees, in the provider's pool."""
import signal
import subprocess

import pytest

import wherry
from wherry import FARGATE, STAY, container, eventually, interface_of

pytestmark = pytest.mark.root


def register(machine, family, command):
    """Stopped soon, also when the signal comes before the shell's trap."""
    return machine.register(family, containers=[container("main", command, stopTimeout=2)], **FARGATE)


def run_fargate(machine, definition, **more):
    reply = machine.ecs.run_task(taskDefinition=definition, launchType="FARGATE", **machine.network(), **more)
    assert reply["failures"] == []
    return reply["tasks"][0]


def test_a_task_runs_to_its_end_and_shows_no_instance(machine):
    created = run_fargate(machine, register(machine, "short", "exit 7"))
    assert created["lastStatus"] == "PROVISIONING"
    assert created["attachments"][0]["status"] == "PRECREATED"
    task = machine.wait_task(created["taskArn"], "STOPPED")
    assert task["containers"][0].get("exitCode") == 7, task
    assert task["launchType"] == "FARGATE" and "containerInstanceArn" not in task
    assert (task["platformVersion"], task["platformFamily"]) == ("1.4.0", "Linux")
    assert task["ephemeralStorage"] == {"sizeInGiB": 20}
    assert task["attachments"][0]["status"] == "DELETED"


def test_a_running_task_has_an_interface_and_one_ledger_counts_it(machine):
    before = machine.instances()[0]
    created = run_fargate(machine, register(machine, "long", STAY), startedBy="test")
    task = machine.wait_task(created["taskArn"], "RUNNING")
    details = interface_of(task)
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
                               launchType="FARGATE", **machine.network(assignPublicIp="ENABLED"))
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
                                                      **server.network())["tasks"], what="room")[0]

        def ended():
            found = server.ecs.describe_tasks(cluster="mine", tasks=[task["taskArn"]])["tasks"][0]
            return found if found["lastStatus"] == "STOPPED" else None
        ended = eventually(ended, what="the task's end")
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
