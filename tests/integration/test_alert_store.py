"""Alerts in the database: their newest transition decides, however often and in which order they come."""

import itertools
import json
from collections.abc import AsyncIterator
from datetime import datetime
from typing import Any
from uuid import uuid4

import asyncpg
import pytest

from schemas.errors import Invalid
from schemas.named_queries import load
from schemas.transitions import Transition
from sinks.alerts import AlertStore
from sinks.database import connect_pool
from tests.alerting import BEGAN, Incident
from tests.sites import Site


@pytest.fixture
async def store(database: str) -> AsyncIterator[AlertStore]:
    async with await connect_pool(database, role="headrace_writer", application="test") as pool:
        yield AlertStore(pool)


async def rows(site: Site, table: str, order: str) -> list[dict[str, Any]]:
    """All of a table, but for when its rows were written."""
    found = await site.admin.fetch(f"SELECT * FROM {table} ORDER BY {order}")  # noqa: S608 - ours
    written = {"recorded_at", "updated_at"}
    return [{k: v for k, v in row.items() if k not in written} for row in found]


def two_episodes(site: Site) -> list[Transition]:
    """An alert that fires, gets worse and resolves; and is pending again an hour later."""
    first = Incident(site.tenants["acme"])
    again = first.again()
    return [
        first.goes("pending"),
        first.goes("firing"),
        first.goes("firing", "critical"),
        first.goes("resolved", "critical"),
        again.goes("pending"),
    ]


async def test_every_order_and_repetition_ends_in_the_same_rows(
    site: Site, store: AlertStore
) -> None:
    """An old transition brings no resolved alert back, and the history has each once."""
    transitions = two_episodes(site)
    for one in transitions:
        await store.record(one)
    history = await rows(site, "alert_history", "episode, number")
    (alert,) = await rows(site, "alerts", "alert_id")
    assert [(row["state"], row["level"]) for row in history] == [
        ("pending", "warning"), ("firing", "warning"), ("firing", "critical"),
        ("resolved", "critical"), ("pending", "warning"),
    ]  # fmt: skip
    assert [row["transition_id"] for row in history] == [one.id for one in transitions]
    assert (alert["state"], alert["episode"], alert["number"]) == (
        "pending", transitions[4].episode, 1,
    )  # fmt: skip
    assert alert["resolved_at"] == transitions[3].at

    newest = ("state", "level", "episode", "number", "since", "value", "labels", "stale")
    for order in itertools.permutations(transitions):
        await site.admin.execute("TRUNCATE alerts CASCADE")
        for one in (*order, *order):
            await store.record(one)
        (found,) = await rows(site, "alerts", "alert_id")
        assert {name: found[name] for name in newest} == {name: alert[name] for name in newest}
        assert await rows(site, "alert_history", "episode, number") == history


async def test_an_alert_says_when_it_fired_and_whose_it_is(site: Site, store: AlertStore) -> None:
    """A change of level is no new fire; a new episode is nobody's yet."""
    first = Incident(site.tenants["acme"])
    fired = first.goes("firing")
    await store.record(fired)
    await site.admin.execute("UPDATE alerts SET acknowledged_at = now(), acknowledged_by = 'eve'")
    await store.record(first.goes("firing", "critical"))
    (row,) = await rows(site, "alerts", "alert_id")
    assert (row["fired_at"], row["level"], row["acknowledged_by"]) == (fired.at, "critical", "eve")
    resolved = first.goes("resolved", "critical")
    await store.record(resolved)
    (row,) = await rows(site, "alerts", "alert_id")
    assert (row["resolved_at"], row["acknowledged_by"]) == (resolved.at, "eve")
    refired = first.again().goes("firing")
    await store.record(refired)
    (row,) = await rows(site, "alerts", "alert_id")
    assert (row["fired_at"], row["resolved_at"], row["acknowledged_by"]) == (
        refired.at, None, None,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"tenant_id": uuid4()}, "unknown_tenant"),
        ({"condition": "a\0b"}, "refused_by_database"),
        ({"annotations": {"a": "\0"}}, "refused_by_database"),
        ({"at": datetime.fromisoformat("0001-01-01T00:00:00+14:00")}, "refused_by_database"),
    ],
)
async def test_what_can_not_be_stored_is_said_to_be_bad(
    site: Site, store: AlertStore, change: dict[str, Any], reason: str
) -> None:
    """It costs itself, and leaves nothing behind."""
    bad = Incident(site.tenants["acme"]).goes("firing", **change)
    with pytest.raises(Invalid) as refused:
        await store.record(bad)
    assert refused.value.reason == reason
    assert await rows(site, "alerts", "alert_id") == []


async def test_hostile_text_is_stored_as_it_is(site: Site, store: AlertStore) -> None:
    """Templates, shells, line breaks and a megabyte are text."""
    labels = {
        "host": "{{ labels.host }}$(rm -rf /)\n'; DROP TABLE alerts; --",
        "long": "x" * 1_000_000,
    }
    await store.record(Incident(site.tenants["acme"], labels=labels).goes("firing"))
    (row,) = await rows(site, "alerts", "alert_id")
    assert json.loads(row["labels"]) == labels
    assert row["episode"] == BEGAN


async def test_every_query_is_good_sql(database: str) -> None:
    """Each can be prepared by the role that uses it."""
    async with await connect_pool(database, role="headrace_writer", application="test") as pool:
        connection: asyncpg.Connection[asyncpg.Record]
        async with pool.acquire() as connection:
            for name, query in load("sinks.sql", "alerts.sql").items():
                assert await connection.prepare(query), name
