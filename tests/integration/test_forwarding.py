"""The ingest process forwards what the rules of the database watch, as they are now."""

import asyncio
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from schemas.rules import Rule
from sinks.rules import RuleBook
from tests.ingestion import Bench
from tests.processes import headrace
from tests.watched import heard, published, told

RULES: dict[str, dict[str, object]] = {
    "slow": {"metric": "latency", "match": ("host=~a.*",), "function": "p95", "window": "30s"},
    "hot": {"metric": "heat", "function": "value"},
}


def rule(name: str) -> Rule:
    """One of RULES."""
    text = msgspec.json.encode({"name": name, "operator": ">", "critical": 5, **RULES[name]})
    return Rule.model_validate_json(text)


async def produce(bench: Bench) -> None:
    """A sample of each series, now."""
    series = [("latency", "a1"), ("latency", "b1"), ("heat", "c"), ("other", "a1")]
    samples = [
        {
            "name": name,
            "value": 7,
            "labels": {"host": host},
            "timestamp": datetime.now(UTC).isoformat(),
        }
        for name, host in series
    ]
    envelope = {"tenant_id": str(bench.tenant), "metrics": samples}
    await bench.produce([msgspec.json.encode(envelope)] * 4)


async def names(bench: Bench) -> set[tuple[str, str]]:
    """Series that the watched topic has heard of."""
    await published(bench)
    return {(name, labels) for name, labels, _ in told(await heard(bench))}


async def test_a_rule_is_followed_within_two_seconds_of_its_change(
    bench: Bench, tmp_path: Path
) -> None:
    """Without a restart; what no rule watches stays where it is."""
    book = RuleBook(bench.pool, bench.tenant)
    await book.apply([rule("slow")], prune=False, dry_run=False)
    with headrace("ingest", env=bench.env(), log=tmp_path / "log"):
        await produce(bench)
        await bench.arrived(16)
        watched = ("latency", '{"host": "a1"}')
        assert await names(bench) == {watched}
        await book.apply([rule("hot")], prune=False, dry_run=False)
        await asyncio.sleep(2)  # what is promised
        await produce(bench)
        await bench.arrived(32)
        assert await names(bench) == {watched, ("heat", '{"host": "c"}')}
        await book.apply([rule("hot")], prune=True, dry_run=False)
        await asyncio.sleep(2)
        before = told(await heard(bench))
        await produce(bench)
        await bench.arrived(48)
        await published(bench)
        after = told(await heard(bench))
    of_latency = [slot for slot in after if slot[0] == "latency"]
    assert {slot: after[slot] for slot in of_latency} == {
        slot: before[slot] for slot in before if slot[0] == "latency"
    }
    assert sum(after[slot].n for slot in after if slot[0] == "heat") == 8
