"""The supervisor process: puts a stack together from settings and the arguments of `stack`.

    python -m deploy.local --lock-fd 3 --table '{…}' [--leash]

Stopped by SIGTERM or SIGINT; on a leash also by the end of its standard input, which comes when
the process that started it dies.
"""

import argparse
import asyncio
import os
import signal
import subprocess
import sys

import msgspec

from deploy.local.home import Home
from deploy.local.kafka import Kafka
from deploy.local.ports import Ports
from deploy.local.postgres import Postgres
from deploy.local.processes import Table
from deploy.local.program import Server
from deploy.local.supervisor import Supervisor
from deploy.local.temporal import Temporal
from schemas.settings import EMBEDDED, Settings


def main() -> None:
    """Run until told to stop; never returns."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--lock-fd", type=int, required=True)
    parser.add_argument("--table", required=True)
    parser.add_argument("--leash", action="store_true")
    arguments = parser.parse_args()
    settings = Settings()
    home = Home.at(settings.home, settings.runtime)
    table = msgspec.json.decode(arguments.table, type=Table)
    os.set_inheritable(arguments.lock_fd, False)  # the reaper gets it, servers and apps don't
    reaper = _start_reaper(home, arguments.lock_fd)
    loop = asyncio.new_event_loop()
    code = loop.run_until_complete(_supervise(settings, home, table, leash=arguments.leash))
    if reaper.stdin:
        reaper.stdin.close()
    # A thread may still be in the middle of a download, and nobody waits for it any more:
    # asyncio.run and a usual exit would.
    os._exit(code)


async def _supervise(settings: Settings, home: Home, table: Table, *, leash: bool) -> int:
    supervisor = Supervisor(
        home, Ports(settings.port_offset), _servers(settings), table, dict(os.environ)
    )
    loop = asyncio.get_running_loop()
    for polite in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        loop.add_signal_handler(polite, supervisor.stop)
    if leash:

        def pulled() -> None:
            if not os.read(0, 1):
                loop.remove_reader(0)
                supervisor.stop()

        loop.add_reader(0, pulled)
    return await supervisor.run()


def _servers(settings: Settings) -> dict[str, Server | str]:
    embedded: dict[str, Server] = {
        "kafka": Kafka(),
        "database": Postgres(),
        "temporal": Temporal(settings.temporal_namespace),
    }
    addresses = {
        "kafka": settings.kafka,
        "database": settings.database,
        "temporal": settings.temporal,
    }
    return {
        name: embedded[name] if address == EMBEDDED else address
        for name, address in addresses.items()
    }


def _start_reaper(home: Home, lock_fd: int) -> "subprocess.Popen[bytes]":
    """Start the reaper, holding the lock as we do; our end of its pipe closes with us."""
    return subprocess.Popen(
        (sys.executable, "-m", "deploy.local.reaper", str(home.root)),
        stdin=subprocess.PIPE,
        pass_fds=(lock_fd,),
        start_new_session=True,
    )


if __name__ == "__main__":
    main()
