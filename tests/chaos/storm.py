"""A storm of incidents, each told of twice, over workers that are killed -9 at random.

    python -m tests.chaos.storm 500 20

By itself it starts its own servers, and prints what came of it as JSON.
"""

import asyncio
import json
import random
import sys
import tempfile
import time
from collections import Counter
from dataclasses import asdict, dataclass
from datetime import timedelta
from pathlib import Path

from sinks.migrate import migrate
from sinks.scratch import scratch_database
from tests.remedies import FAST, Service, Ward, fired, service, switch, ward
from tests.servers import servers

CAP_SHARE = 3
"""Every third incident fits into its rule's cap."""
_RULES = 4


@dataclass(frozen=True)
class Aftermath:
    """What a storm has left."""

    incidents: int
    rows: int
    begun: int
    """Rows that came through the guards."""
    caps: int
    """As many as that should be."""
    asked: int
    """Requests that the service got."""
    doubled: int
    """Of them those that it had got before."""
    lost: int
    """Attempts whose worker died in them: none of them is made again."""
    kills: int
    seconds: float


async def storm(ward: Ward, shop: Service, temporal: str, incidents: int, kills: int) -> Aftermath:
    """Have all the incidents fire while two workers are killed again and again."""
    began = time.monotonic()
    await ward.apply(switch(shop.url))
    cap = incidents // _RULES // CAP_SHARE
    remediation = FAST.model_copy(update={"max_per_hour": cap, "cooldown": timedelta(hours=1)})
    alerts = [
        fired(
            ward.tenant,
            rule=f"rule-{number % _RULES}",
            labels={"host": f"web-{number}"},
            remediation=remediation,
        )
        for number in range(incidents)
    ]
    workers = [await _worker(ward, temporal) for _ in range(2)]
    killing = asyncio.create_task(_kill(workers, ward, temporal, kills))
    try:
        for alert in alerts:
            await ward.starter.handle(alert)
        again = random.sample(alerts, len(alerts))
        for alert in again:
            await ward.starter.handle(alert)
        await killing
        for alert in alerts:
            await ward.finished(alert, within=120)
    finally:
        killing.cancel()
        for worker in workers:
            worker.kill()
            await worker.wait()
    rows = await ward.rows()
    keys = Counter(headers["Idempotency-Key"] for _, _, headers, _ in shop.asked)
    return Aftermath(
        incidents,
        len(rows),
        sum(row["began_at"] is not None for row in rows),
        cap * _RULES,
        len(shop.asked),
        len(shop.asked) - len(keys),
        sum("its worker died" in (row["reason"] or "") for row in rows),
        kills,
        round(time.monotonic() - began, 1),
    )


async def _kill(
    workers: list[asyncio.subprocess.Process], ward: Ward, temporal: str, kills: int
) -> None:
    for number in range(kills):
        await asyncio.sleep(random.uniform(0.5, 2.5))  # noqa: S311 - no secret
        place = number % len(workers)
        workers[place].kill()
        await workers[place].wait()
        workers[place] = await _worker(ward, temporal)


async def _worker(ward: Ward, temporal: str) -> asyncio.subprocess.Process:
    module = "tests.chaos.dying_remedier"
    return await asyncio.create_subprocess_exec(
        sys.executable, "-m", module, ward.dsn, temporal, ward.queue, str(ward.tenant)
    )


async def _alone(incidents: int, kills: int) -> None:
    with (
        tempfile.TemporaryDirectory() as home,
        servers(Path(home)) as at,
        scratch_database(at.database) as dsn,
    ):
        migrate(dsn)
        async with ward(dsn, at.temporal) as found, service() as shop:
            left = await storm(found, shop, at.temporal, incidents, kills)
    print(json.dumps(asdict(left)))  # noqa: T201 - what it is for


if __name__ == "__main__":
    asyncio.run(_alone(int(sys.argv[1]), int(sys.argv[2])))
