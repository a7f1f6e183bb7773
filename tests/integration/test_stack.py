"""The embedded stack on its real servers, and the supervisor with small throw-away programs."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import asyncpg
import psutil
import pytest
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from google.protobuf.duration_pb2 import Duration
from temporalio.api.workflowservice.v1 import DescribeNamespaceRequest, RegisterNamespaceRequest
from temporalio.client import Client

from deploy.local import leftovers, ports
from deploy.local import state as states
from deploy.local.home import try_lock
from deploy.local.processes import App, Table
from deploy.local.stack import Stack, StackError
from schemas.settings import Settings

APP = """
import http.server, os, pathlib, sys
name, base = sys.argv[1], int(sys.argv[2])
with pathlib.Path("began").open("a") as began:
    print(name, os.environ["HEADRACE_DATABASE"], file=began)
class Ready(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200 if self.path == "/readyz" else 404)
        self.end_headers()
port = base + int(os.environ["HEADRACE_PORT_OFFSET"])
http.server.ThreadingHTTPServer(("127.0.0.1", port), Ready).serve_forever()
"""
CLIENT = """
import sys, time
from pathlib import Path
from deploy.local.stack import Stack
Stack(Path(sys.argv[1]), "auto", runtime=Path(sys.argv[2]), services_only=True).start()
print("ready", flush=True)
time.sleep(600)
"""


def until(true: Callable[[], object], seconds: float = 30) -> None:
    """Look at other processes until something is true of them."""
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline, "it did not come true in time"
        time.sleep(0.05)


def everything(stack: Stack) -> list[psutil.Process]:
    """Every process of a running stack: supervisor, reaper, servers, apps and their children."""
    state = stack.state()
    assert state is not None
    supervisor = psutil.Process(state.supervisor_pid)
    return [supervisor, *supervisor.children(recursive=True)]


def nothing_runs(stack: Stack) -> bool:
    """Whether no process of the stack is left and nobody holds its lock."""
    traces = leftovers.find(stack.home)
    if stack.state() or traces.apps or traces.services or traces.strays:
        return False
    fd = try_lock(stack.home)
    if fd is not None:
        os.close(fd)
    return fd is not None


@pytest.fixture(scope="session")
def runtime() -> Path:
    """The jar cache that all stacks of this checkout share."""
    settings = Settings()
    return (settings.runtime or settings.home / "runtime").absolute()


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One home for the tests on real servers: a folder with data starts faster than a new one."""
    return tmp_path_factory.mktemp("home")


@pytest.fixture(scope="module")
def stack(home: Path, runtime: Path) -> Iterator[Stack]:
    """A private stack of the three servers, whatever the last test left of it."""
    stack = Stack(home, "auto", runtime=runtime, services_only=True)
    yield stack
    stack.stop()


@pytest.fixture
def servers(stack: Stack) -> Stack:
    """The stack, ready."""
    stack.start(detach=True)
    return stack


async def leave_traces(stack: Stack) -> None:
    """Write something into each server."""
    endpoints = stack.endpoints
    database = await asyncpg.connect(endpoints.database)
    await database.execute("CREATE TABLE left_behind AS SELECT 42 AS answer")
    await database.close()
    admin = AIOKafkaAdminClient(bootstrap_servers=endpoints.kafka)
    await admin.start()
    await admin.create_topics([NewTopic("left.behind", 1, 1)])
    await admin.close()
    temporal = await Client.connect(endpoints.temporal)
    retention = Duration(seconds=86400)
    request = RegisterNamespaceRequest(
        namespace="left-behind", workflow_execution_retention_period=retention
    )
    await temporal.workflow_service.register_namespace(request)


async def find_traces(stack: Stack) -> None:
    """Fail unless all that `leave_traces` wrote is there."""
    endpoints = stack.endpoints
    database = await asyncpg.connect(endpoints.database)
    assert await database.fetchval("SELECT answer FROM left_behind") == 42
    await database.close()
    admin = AIOKafkaAdminClient(bootstrap_servers=endpoints.kafka)
    await admin.start()
    assert "left.behind" in await admin.list_topics()
    await admin.close()
    temporal = await Client.connect(endpoints.temporal)
    request = DescribeNamespaceRequest(namespace="left-behind")
    described = await temporal.workflow_service.describe_namespace(request)
    assert described.namespace_info.name == "left-behind"


async def test_everything_killed_comes_back_with_its_data(servers: Stack) -> None:
    """After SIGKILL of every process the next start has the row, the topic and the namespace."""
    await leave_traces(servers)
    for process in everything(servers):
        process.kill()
    until(lambda: servers.state() is None)
    servers.start(detach=True)
    await find_traces(servers)


async def test_the_database_is_tuned_and_durable(servers: Stack) -> None:
    """PostgreSQL listens on loopback only, keeps fsync and synchronous commit, wants a password."""
    connection = await asyncpg.connect(servers.endpoints.database)
    shown = {
        name: await connection.fetchval(f"SHOW {name}")
        for name in ("listen_addresses", "fsync", "synchronous_commit", "max_wal_size")
    }
    await connection.close()
    assert shown == {
        "listen_addresses": "127.0.0.1",
        "fsync": "on",
        "synchronous_commit": "on",
        "max_wal_size": "4GB",
    }
    with pytest.raises(asyncpg.InvalidPasswordError):
        await asyncpg.connect(servers.endpoints.database.replace("headrace:", "headrace:not-"))


def test_a_second_start_finds_the_first(servers: Stack) -> None:
    """Starting what runs changes nothing, whoever asks; its state is for its owner's eyes only."""
    first = servers.state()
    second = Stack(servers.home.root, 0, runtime=servers.home.runtime, services_only=True)
    assert second.start() == first
    assert not second.is_ours
    assert servers.home.state.stat().st_mode & 0o777 == 0o600


def test_a_killed_supervisor_leaves_no_orphan(servers: Stack) -> None:
    """The reaper stops the servers when the supervisor dies of SIGKILL."""
    state = servers.state()
    assert state is not None
    os.kill(state.supervisor_pid, signal.SIGKILL)
    until(lambda: nothing_runs(servers))
    last = servers.last_state()
    assert last is not None
    assert last.phase == "stopped"


def test_stop_cleans_up_after_a_killed_reaper(servers: Stack) -> None:
    """With supervisor and reaper gone, the servers live on until the next `stop` or `start`."""
    supervisor, *others = everything(servers)
    reaper = next(process for process in others if "deploy.local.reaper" in process.cmdline())
    supervisor.suspend()  # or it would see its reaper die
    reaper.kill()
    supervisor.kill()
    until(lambda: servers.state() is None)
    assert len(leftovers.find(servers.home).services) == 3
    assert servers.stop()
    assert nothing_runs(servers)
    assert not servers.stop()


def test_a_killed_client_leaves_no_orphan(stack: Stack, home: Path, runtime: Path) -> None:
    """A stack that is not detached ends with the process that started it."""
    stack.stop()
    argv = (sys.executable, "-c", CLIENT, str(home), str(runtime))
    with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True) as client:
        assert client.stdout is not None
        assert client.stdout.readline() == "ready\n"
        client.kill()
    until(lambda: nothing_runs(stack))


async def test_an_outage_lasts_until_it_is_released(servers: Stack) -> None:
    """A held server stays down; released, it comes back with the same address."""
    dsn = servers.endpoints.database
    servers.hold("postgres")
    with pytest.raises(OSError, match="Connect"):
        await asyncpg.connect(dsn)
    servers.release("postgres")
    await (await asyncpg.connect(dsn)).close()


# From here on nothing embedded: the three servers are 'external', so these start in a moment.


def programs(tmp_path: Path, *apps: App, migrate: str = "pass") -> Stack:
    """A stack of throw-away programs."""
    return Stack(
        tmp_path / "home",
        "auto",
        kafka="127.0.0.1:1",
        database="postgresql://somebody@127.0.0.1:1/somewhere",
        temporal="127.0.0.1:1",
        table=Table(migrate=(sys.executable, "-c", migrate), apps=apps),
    )


def app(name: str, code: str = APP) -> App:
    """A throw-away program with the port of the headrace process of that name."""
    return App(name, (sys.executable, "-c", code, name, str(ports.BASE[name])), name)


def service(stack: Stack, name: str) -> states.Service:
    """The present state of one process."""
    state = stack.state()
    assert state is not None
    return next(service for service in state.services if service.name == name)


def test_apps_start_after_migrate_with_the_addresses(tmp_path: Path) -> None:
    """Migrate runs first, once; then each app, told where the servers are."""
    migrate = "import pathlib; pathlib.Path('began').write_text('migrate\\n')"
    with programs(tmp_path, app("api"), app("gateway"), migrate=migrate) as stack:
        began = (stack.home.root / "began").read_text().splitlines()
        where = "postgresql://somebody@127.0.0.1:1/somewhere"
        assert began[0] == "migrate"
        assert sorted(began[1:]) == [f"api {where}", f"gateway {where}"]
        assert service(stack, "kafka").state == "external"
    assert nothing_runs(stack)


def test_an_app_that_dies_is_started_again(tmp_path: Path) -> None:
    """SIGKILL of an app costs a restart, which is counted."""
    with programs(tmp_path, app("api")) as stack:
        os.kill(service(stack, "api").pid, signal.SIGKILL)
        until(
            lambda: service(stack, "api").restarts == 1 and service(stack, "api").state == "ready"
        )


def test_a_configuration_error_is_shown_and_not_retried(tmp_path: Path) -> None:
    """Exit code 2 is final: failed, with the last lines of the log; the other apps stay up."""
    broken = "import sys; print('no such colour: mauve'); sys.exit(2)"
    stack = programs(tmp_path, app("api"), app("worker", broken))
    with pytest.raises(StackError, match="no such colour: mauve"):
        stack.start()
    try:
        assert service(stack, "worker").state == "failed"
        assert service(stack, "worker").restarts == 0
        assert service(stack, "api").state == "ready"
    finally:
        stack.stop()


def test_a_program_that_cannot_be_executed_is_shown_as_failed(tmp_path: Path) -> None:
    """The start ends with the reason instead of waiting for ever."""
    stack = programs(tmp_path, App("api", ("/no/such/program",), "api"))
    with pytest.raises(StackError, match="/no/such/program"):
        stack.start()
    assert stack.stop()


def test_a_failed_migration_stops_everything(tmp_path: Path) -> None:
    """No app starts on a database that could not be migrated; the reason is told."""
    stack = programs(tmp_path, app("api"), migrate="raise SystemExit('no such database')")
    with pytest.raises(StackError, match="no such database"):
        stack.start()
    until(lambda: nothing_runs(stack))
    assert not (stack.home.root / "began").exists()


def test_a_failed_migration_tells_what_this_start_wrote(tmp_path: Path) -> None:
    """The log is one for all starts; an error of yesterday is not shown as today's."""
    yesterday = programs(tmp_path, migrate="raise SystemExit('yesterday')")
    today = programs(tmp_path, migrate="raise SystemExit('today')")
    with pytest.raises(StackError, match="yesterday"):
        yesterday.start()
    with pytest.raises(StackError, match="today") as failed:
        today.start()
    assert "yesterday" not in str(failed.value)


def test_a_home_that_cannot_be_made_is_an_error_that_says_so(tmp_path: Path) -> None:
    """Each command that starts a stack tells it in words."""
    (tmp_path / "file").touch()
    with pytest.raises(StackError, match="HEADRACE_HOME"):
        Stack(tmp_path / "file" / "home", "auto", services_only=True).start()


def test_an_app_that_ignores_sigterm_is_killed_with_its_children(tmp_path: Path) -> None:
    """A stubborn app gets ten seconds; a child that it leaves behind goes with it."""
    stubborn = (
        "import os, signal\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
        "if os.fork() == 0:\n    signal.pause()" + APP
    )
    stack = programs(tmp_path, app("api", stubborn))
    stack.start()
    assert stack.stop()
    assert nothing_runs(stack)


def test_a_busy_port_is_named_with_its_owner(tmp_path: Path) -> None:
    """The message has the service, the port, the process and a way out; nothing was started."""
    offset = ports.free_offset()
    stack = Stack(tmp_path / "home", offset, services_only=True)
    listening = socket.create_server((ports.HOST, ports.Ports(offset)["postgres"]))
    with listening, pytest.raises(ports.PortsInUse) as refused:
        stack.start()
    message = str(refused.value)
    assert f"postgres needs port {ports.BASE['postgres'] + offset}" in message
    assert f"pid {os.getpid()}" in message
    assert "--port-offset" in message
    assert nothing_runs(stack)


def test_two_starts_at_once_make_one_stack(tmp_path: Path) -> None:
    """The lock lets one start; the other finds it."""
    code = (
        "import sys; from pathlib import Path; from deploy.local.stack import Stack;"
        "from deploy.local.processes import SERVICES_ONLY as none;"
        "stack = Stack(Path(sys.argv[1]), 'auto', kafka='a:1', database='b', temporal='c:1',"
        " table=none); stack.start(detach=True);"
        "print(stack.is_ours, stack.state().supervisor_pid)"
    )
    argv = (sys.executable, "-c", code, str(tmp_path / "home"))
    started = [subprocess.Popen(argv, stdout=subprocess.PIPE, text=True) for _ in range(3)]
    said = [process.communicate()[0].split() for process in started]
    assert sorted(ours for ours, _ in said) == ["False", "False", "True"]
    assert len({pid for _, pid in said}) == 1
    assert Stack(tmp_path / "home").stop()
