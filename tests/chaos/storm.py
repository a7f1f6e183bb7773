"""A storm of incidents, from samples to what is done about them, while any process is killed -9 at random.

    python -m tests.chaos.storm 500 20

Hosts of four rules go bad one after the other. Two alerts processes tell of it, two workers ask a service
for each; the rules' caps let a third of the incidents through. Then all get well, and go bad once more:
within the cooldown. By itself it starts its own servers, and prints what came of it as JSON.
"""

import asyncio
import json
import random
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import asdict, dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

from schemas.rules import Remediation
from schemas.topics import Topics
from schemas.transitions import Transition
from schemas.watched_rows import SLOT
from sinks.database import connect_pool
from sinks.migrate import migrate
from sinks.playbooks import PlaybookStore
from sinks.scratch import scratch_database
from tests.breaches import Fleet, make_rules, metrics_everywhere, slot_now, told, transitions
from tests.chaos.crew import Crew, crew
from tests.ingestion import Bench, ingestion
from tests.remedies import Service, service, switch
from tests.servers import servers

CAP_SHARE = 3
"""Every third incident fits into its rule's cap."""
_SPREAD = 6
"""Slots in which the incidents between two kills begin."""
_WITHIN = 300.0
_AHEAD = 2
"""Slots between a plan and what comes of it: those until now are written."""


@dataclass(frozen=True)
class Aftermath:
    """What a storm has left."""

    incidents: int
    """Of each of the two waves."""
    transitions: int
    wrong: int
    """Transitions that should not be, or are not; each of two incidents a host has two."""
    late: int
    """Transitions that came too late to be acted on."""
    rows: int
    """Remediations of the first wave."""
    again: int
    """Those of the second."""
    unmatched: int
    """Incidents without a remediation of their own, and the other way round."""
    open: int
    """Remediations that have not ended."""
    begun: int
    """Those that came through the guards."""
    caps: int
    """As many as that should be."""
    begun_again: int
    """Of those the ones of the second wave, which the cooldown forbids."""
    cooled: int
    """Those of the second wave that were refused for the cooldown: as many as begun."""
    asked: int
    """Requests that the service got."""
    doubled: int
    """Of them those that it had got before."""
    doubtful: int
    """Attempts whose worker died in them: none of them is made again."""
    killed: dict[str, int]
    ended: dict[str, int]
    """Processes that ended by themselves, and were started again."""
    seconds: float


_NEVER = 1 << 40


class _Weather:
    """When a host is bad: from a step of its own on in the first wave, all at once in the second."""

    def __init__(self) -> None:
        self.begins: dict[tuple[str, int], int] = {}
        self.ends = self.second = self.over = _NEVER

    def __call__(self, metric: str, host: int, step: int) -> bool:
        first = self.begins.get((metric, host), _NEVER) <= step < self.ends
        return first or self.second <= step < self.over


class _Storm:
    def __init__(self, bench: Bench, shop: Service, incidents: int) -> None:
        self.bench, self.shop = bench, shop
        self.weather = _Weather()
        metrics = metrics_everywhere(bench)
        hosts = incidents // len(metrics)
        self.fleet = Fleet(bench, metrics, hosts, slot_now() - _AHEAD, self.weather)
        self.incidents = hosts * len(metrics)
        self.cap = hosts // CAP_SHARE

    async def set_up(self) -> None:
        """Rules and their playbook."""
        remediation = Remediation(
            playbook="switch",
            approval="none",
            cooldown=timedelta(hours=1),
            max_per_hour=self.cap,
            verify_after=timedelta(hours=1),
        )
        await make_rules(self.bench, *self.fleet.rules(remediation=remediation))
        async with await connect_pool(
            self.bench.dsn, role="headrace_writer", application="test"
        ) as pool:
            await PlaybookStore(pool).apply(self.bench.tenant, [switch(self.shop.url)])

    async def rage(self, members: Crew, kills: int) -> None:
        """The incidents of the first wave begin, some before each kill."""
        places = [(one, host) for one in self.fleet.metrics for host in range(self.fleet.hosts)]
        random.shuffle(places)
        for kill in range(kills):
            for place in places[kill::kills]:
                self.weather.begins[place] = self.now + random.randint(0, _SPREAD)  # noqa: S311 - no secret
            await members.kill_one()

    @property
    def now(self) -> int:
        """A step that is not written yet."""
        return slot_now() - self.fleet.first + _AHEAD

    @property
    def second_wave(self) -> float:
        """When it begins, in seconds since the epoch."""
        return (self.fleet.first + self.weather.second) * SLOT / 1e6

    async def rows(self) -> list[Any]:
        """All remediations."""
        query = "SELECT * FROM remediations WHERE tenant_id = $1"
        return list(await self.bench.pool.fetch(query, self.bench.tenant))

    async def until(self, rows: int, *open_states: str) -> None:
        """Wait until there are so many remediations, none of them in any but these states or ended."""

        async def reached() -> bool:
            found = await self.rows()
            left = [one for one in found if one["ended_at"] is None]
            return len(found) >= rows and all(one["state"] in open_states for one in left)

        await _until(reached)

    async def waves(self, raging: Awaitable[None]) -> None:
        """Both waves, each to its end."""
        await raging
        await self.until(self.incidents, "verifying")
        self.weather.ends = self.now
        await self.until(self.incidents)
        self.weather.second = self.now
        await self.until(2 * self.incidents, "verifying")
        self.weather.over = self.now

    async def told(self, steps: int) -> tuple[list[Transition], int]:
        """The transitions, and how many are wrong, once all can be there."""
        wanted = Counter(self.fleet.expected(steps))

        async def all_there() -> bool:
            return len(await transitions(self.bench)) >= wanted.total()

        await _until(all_there)
        found = await transitions(self.bench)
        ids = Counter(one.id for one in found)
        said = Counter(told(found))
        wrong = (said - wanted).total() + (wanted - said).total() + len(found) - len(ids)
        return found, wrong


async def storm(
    bench: Bench, temporal: str, folder: Path, *, incidents: int, kills: int
) -> Aftermath:
    """Have all the incidents fire while processes are killed again and again."""
    began = time.monotonic()
    env = bench.env(
        HEADRACE_TEMPORAL=temporal,
        HEADRACE_OUTGOING_ALLOW="127.0.0.0/8",
        HEADRACE_REMEDIATION_MAX_PER_HOUR="1000",
        # How fast samples are written here has no say.
        HEADRACE_ALERTS_CLOCK_ALLOWANCE="PT1M",
    )
    async with service() as shop:
        found = _Storm(bench, shop, incidents)
        await found.set_up()
        async with crew(env, folder) as members:
            return await _course(found, members, kills, began)


async def _course(found: _Storm, members: Crew, kills: int, began: float) -> Aftermath:
    stop = asyncio.Event()
    writing = asyncio.create_task(found.fleet.follow(0, stop))
    raging = asyncio.create_task(found.rage(members, kills))
    try:
        await found.waves(raging)
        # Slots of half a second: the end of the second wave is written then.
        await asyncio.sleep(_AHEAD)
    finally:
        stop.set()
        raging.cancel()
    heard, wrong = await found.told(await writing)
    rows = await found.rows()
    fired = Counter(
        (one.rule, one.fingerprint, one.episode) for one in heard if one.state == "firing"
    )
    remedied = Counter((one["rule"], one["fingerprint"], one["episode"]) for one in rows)
    second = [one for one in rows if one["episode"].timestamp() >= found.second_wave]
    keys = Counter(headers["Idempotency-Key"] for _, _, headers, _ in found.shop.asked)
    return Aftermath(
        incidents=found.incidents,
        transitions=len(heard),
        wrong=wrong,
        late=sum(one.stale for one in heard),
        rows=len(rows) - len(second),
        again=len(second),
        unmatched=((fired - remedied) + (remedied - fired)).total(),
        open=sum(one["ended_at"] is None for one in rows),
        begun=sum(one["began_at"] is not None for one in rows),
        caps=found.cap * len(found.fleet.metrics),
        begun_again=sum(one["began_at"] is not None for one in second),
        cooled=sum((one["reason"] or "").startswith("cooldown") for one in second),
        asked=len(found.shop.asked),
        doubled=len(found.shop.asked) - len(keys),
        doubtful=sum("its worker died" in (one["reason"] or "") for one in rows),
        killed=dict(members.killed),
        ended=dict(members.ended),
        seconds=round(time.monotonic() - began, 1),
    )


async def _until(reached: Callable[[], Awaitable[bool]]) -> None:
    async with asyncio.timeout(_WITHIN):
        while not await reached():  # noqa: ASYNC110 - other processes get there
            await asyncio.sleep(0.2)


async def _alone(incidents: int, kills: int) -> None:
    with (
        tempfile.TemporaryDirectory() as home,
        servers(Path(home)) as at,
        scratch_database(at.database) as dsn,
    ):
        migrate(dsn)
        async with ingestion(at.kafka, dsn, Topics()) as bench:
            left = await storm(bench, at.temporal, Path(home), incidents=incidents, kills=kills)
    print(json.dumps(asdict(left)))  # noqa: T201 - what it is for


if __name__ == "__main__":
    asyncio.run(_alone(int(sys.argv[1]), int(sys.argv[2])))
