"""What all end-to-end tests share. They run in a network namespace of their own, so that they neither meet nor disturb a
Wherry that is up on this machine; the JavaScript SDK is installed before, into BUILD/js."""
import os
import pathlib
import shutil
import subprocess
import sys

import pytest

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "support"))

import wherry  # noqa: E402  (its folder is known only now)

ROOT_REASON = "runs containers, which needs root"
JS = wherry.BUILD / "js"
SDK_TESTS = ("test_clients.py", "test_logs.py", "test_protocols.py")


def install_sdk():
    """Once; says why not, or nothing."""
    if not shutil.which("npm") or not shutil.which("node"):
        return "there is no node with npm"
    wanted = (HERE / "js" / "package.json").read_bytes()
    have = JS / "package.json"
    if not ((JS / "node_modules" / "@aws-sdk" / "client-ecs").is_dir() and have.exists() and have.read_bytes() == wanted):
        JS.mkdir(parents=True, exist_ok=True)
        have.write_bytes(wanted)
        done = subprocess.run(["npm", "install", "--no-audit", "--no-fund", "--loglevel=error"], cwd=JS, capture_output=True,
                              text=True, timeout=300, check=False)
        if done.returncode:
            have.unlink()
            return "npm install failed: " + done.stderr[-500:]
    shutil.copy(HERE / "js" / "drive.mjs", JS / "drive.mjs")
    return ""


def pytest_configure(config):
    config.addinivalue_line("markers", "root: runs containers, mounts or makes namespaces")


def pytest_collection_modifyitems(config, items):
    if os.geteuid() != 0:
        for item in items:
            if item.get_closest_marker("root"):
                item.add_marker(pytest.mark.skip(reason=ROOT_REASON))


@pytest.fixture(scope="session", autouse=True)
def world(request):
    problem = install_sdk() if any(item.fspath.basename in SDK_TESTS for item in request.session.items) else ""
    if os.geteuid() == 0:
        wherry.own_network()
    return {"sdk": problem}


@pytest.fixture(scope="session")
def layout(tmp_path_factory):
    return wherry.image_layout(tmp_path_factory.mktemp("layout"))


@pytest.fixture(scope="session")
def new_wherry(world, layout):
    """Starts one; the caller ends it."""
    def make(data, load=True, **options):
        own = wherry.Wherry(data, **options)
        try:
            own.start()
            if own.agent and load:
                own.run("image", "load", layout, "--name", wherry.SHELL)
        except BaseException:
            own.give_up()
            raise
        return own
    return make


@pytest.fixture(scope="module")
def machine(new_wherry, tmp_path_factory):
    """`wherry up`, one for all tests of a module."""
    if os.geteuid() != 0:
        pytest.skip(ROOT_REASON)
    yield from wherry.lifetime(new_wherry(tmp_path_factory.mktemp("up") / "data"))


@pytest.fixture
def quiet(machine):
    """The same, with nothing running before and after."""
    yield machine
    machine.stop_all()


@pytest.fixture(scope="module")
def server(new_wherry, tmp_path_factory):
    """`wherry server` alone."""
    yield from wherry.lifetime(new_wherry(tmp_path_factory.mktemp("server") / "data", agent=False))
