"""Starts the supervisor process, with or without a leash."""

import os
import subprocess
import sys
from collections.abc import Mapping

import msgspec

from deploy.local import leftovers
from deploy.local.children import CODE
from deploy.local.home import Home
from deploy.local.processes import Table


def launch(
    home: Home, table: Table, settings: Mapping[str, str], lock_fd: int, *, leash: bool
) -> tuple["subprocess.Popen[bytes]", int | None]:
    """Start a supervisor that takes over the lock; also our end of its leash.

    Settings go through its environment, for a DSN may hold a password and anybody may read a
    command line. When the returned descriptor is closed, by us or by our death, the stack stops.
    """
    argv = [sys.executable, "-m", "deploy.local", "--lock-fd", str(lock_fd)]
    argv += ["--table", msgspec.json.encode(table).decode()]
    env = {
        **{key: value for key, value in os.environ.items() if key != leftovers.MARK},
        "PYTHONPATH": os.pathsep.join(filter(None, [CODE, os.environ.get("PYTHONPATH")])),
        "HEADRACE_HOME": str(home.root),
        "HEADRACE_RUNTIME": str(home.runtime),
        **{f"HEADRACE_{name.upper()}": value for name, value in settings.items()},
    }
    read_end, write_end = os.pipe() if leash else (os.open(os.devnull, os.O_RDONLY), None)
    log = home.open_log("supervisor")
    try:
        process = subprocess.Popen(
            [*argv, "--leash"] if leash else argv,
            stdin=read_end,
            stdout=log,
            stderr=log,
            env=env,
            cwd=home.root,
            pass_fds=(lock_fd,),
            start_new_session=True,
        )
    finally:
        os.close(log)
        os.close(read_end)
    return process, write_end
