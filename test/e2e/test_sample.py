"""The first thing people run works, and works again."""
import os
import subprocess

import pytest

from wherry import PROGRAM, ROOT, STAY, Wherry, eventually, running

pytestmark = pytest.mark.root


def test_the_sample_runs_twice(world, tmp_path):
    own = Wherry(tmp_path / "data")
    try:
        for expected in ("wherry: ready on " + own.endpoint, "is up already"):
            done = subprocess.run([str(ROOT / "sample" / "run"), PROGRAM], env=own.environment, capture_output=True, text=True,
                                  timeout=150, stdin=subprocess.DEVNULL, check=False)
            log = tmp_path / "data" / "wherry.log"
            assert done.returncode == 0, (done.stdout, done.stderr, log.read_text() if log.exists() else "")
            assert expected in done.stdout
            assert done.stdout.count("hello from ") == 2         # an answer of each
            assert "has reached a steady state." in done.stdout
        ps = own.run("ps").stdout
        assert "2 of 2 running" in ps
        own.run("down")
        assert own.leftovers() == []
    finally:
        own.give_up()


def test_what_was_known_is_there_after_down_and_up(new_wherry, tmp_path):
    with running(new_wherry(tmp_path / "data")) as own:
        own.ecs.create_service(serviceName="kept", taskDefinition=own.register("kept", STAY), desiredCount=1)
        own.ecs.get_waiter("services_stable").wait(services=["kept"], WaiterConfig={"Delay": 0.2, "MaxAttempts": 200})
        before = own.ecs.list_tasks(serviceName="kept")["taskArns"]
        own.down()
        own.start()

        def replaced():
            service = own.service("kept")
            return service["runningCount"] == 1 and own.ecs.list_tasks(serviceName="kept")["taskArns"] != before
        eventually(replaced, 60, what="the service to be back")
        assert own.task(before[0])["lastStatus"] == "STOPPED"


def test_up_twice_is_refused(new_wherry, tmp_path):
    with running(new_wherry(tmp_path / "data", load=False)) as own:
        second = own.run("up", "--listen", "127.0.0.1:1", check=False)
        assert second.returncode != 0
        assert "up already" in second.stderr


@pytest.mark.parametrize("command", ["up", "down", "server", "agent", "env", "ps", "why", "logs", "image", "version"])
def test_every_command_explains_itself(command):
    done = subprocess.run([PROGRAM, command, "--help"], capture_output=True, text=True, timeout=20, check=False,
                          env=dict(os.environ), stdin=subprocess.DEVNULL)
    assert done.returncode == 0 and done.stdout.startswith("usage: wherry " + command)
