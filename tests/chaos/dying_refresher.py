"""A process that refreshes, for another to kill.

python -m tests.chaos.dying_refresher DSN
"""

import asyncio
import sys
from datetime import UTC, datetime

from tests.lifecycle import quiet, stored


async def _run(dsn: str) -> None:
    async with stored(dsn) as store:
        await store.lifecycle.refresh(datetime(2031, 1, 30, 10, 30, tzinfo=UTC), quiet)


if __name__ == "__main__":
    asyncio.run(_run(sys.argv[1]))
