"""Alerts and remediations go some time after their end, in each kind of database; what is open stays."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime
from uuid import UUID

import pytest

from schemas.named_queries import load
from sinks.lifecycle import incidents
from sinks.lifecycle.maintenance import Maintenance
from tests.contract.conftest import Storage
from tests.lifecycle import DAY, Stored, policy, quiet, stored

NOW = datetime(2031, 1, 30, 10, 30, tzinfo=UTC)
POLICY = policy(retention_alerts=100 * DAY, retention_remediations=200 * DAY)
SQL = load("tests.contract", "incidents.sql")


@pytest.fixture
async def store(migrated: Storage) -> AsyncIterator[Stored]:
    """A database of each kind in turn: alerts are kept 100 days, remediations 200."""
    async with stored(migrated.dsn, POLICY, wasm=migrated.kind == "timescaledb-wasm") as found:
        yield found


async def alerts(store: Stored, tenant: UUID, *rows: tuple[str, str, int, int]) -> None:
    """Alerts by name, state, and how many days ago they began and were heard of last."""
    names, states, began, heard = zip(*rows, strict=True)
    await store.pool.execute(
        SQL["alerts"],
        tenant,
        names,
        states,
        [NOW - age * DAY for age in began],
        [NOW - age * DAY for age in heard],
    )


async def names(store: Stored, query: str) -> list[str]:
    """The first column, in order."""
    return sorted(str(row[0]) for row in await store.pool.fetch(query))


async def test_what_ended_long_ago_goes_and_nothing_that_is_open(store: Stored) -> None:
    """An alert that fires since last year keeps its beginning; of another only the old episode goes."""
    tenant = await store.tenant()
    await alerts(
        store,
        tenant,
        ("ended", "resolved", 300, 102),
        ("never fired", "inactive", 300, 101),
        ("ended late", "resolved", 300, 99),
        ("again", "resolved", 100, 1),
        ("fires", "firing", 400, 390),
        ("begins", "pending", 400, 390),
    )
    await store.pool.execute(
        SQL["remediations"],
        tenant,
        ["old", "young", "open", "waits"],
        ["succeeded", "escalated", "verifying", "awaiting"],
        [NOW - age * DAY for age in (202, 300, 300, 300)],
        [NOW - 201 * DAY, NOW - 199 * DAY, None, None],
    )
    for end in (101, 99, -1):
        await store.pool.execute(SQL["silence"], tenant, NOW - 400 * DAY, NOW - end * DAY)
        await store.pool.execute(SQL["pause"], tenant, NOW - 400 * DAY, NOW - 2 * end * DAY)

    announced = await store.lifecycle.removals(NOW)
    assert [(one.level, one.part, one.rows) for one in announced] == [
        ("alerts", "alert_history", 8 + 4 * 2),
        ("alerts", "alerts", 2),
        ("alerts", "silences", 1),
        ("remediations", "remediations", 1),
        ("remediations", "remediation_pauses", 1),
    ]
    assert announced[0].reason == "alerts are kept 100 days after their end"
    going = {due.part: due.at for due in (await store.lifecycle.status(NOW)).next_drops}
    assert going["remediations"] == NOW - DAY
    removed = await Maintenance(store.pool, store.lifecycle, lambda: NOW).retain(NOW, quiet)
    assert removed == announced
    assert await store.lifecycle.removals(NOW) == []

    assert await names(store, "SELECT alert_id FROM alerts") == [
        "again", "begins", "ended late", "fires",
    ]  # fmt: skip
    assert await names(store, "SELECT transition_id FROM alert_history") == [
        "again/begins",
        "again/is heard of",
        "begins/begins",
        "begins/is heard of",
        "ended late/begins",
        "ended late/is heard of",
        "fires/begins",
        "fires/is heard of",
    ]
    assert await names(store, "SELECT rule FROM remediations") == ["open", "waits", "young"]
    for table, left in (
        ("notifications", 4),
        ("remediation_steps", 3),
        ("silences", 2),
        ("remediation_pauses", 2),
    ):
        assert await store.pool.fetchval(f"SELECT count(*) FROM {table}") == left, table  # noqa: S608 # a name from above


async def test_it_goes_batch_by_batch(database: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of any number no transaction deletes more than a batch; an episode that is cut in two goes whole."""
    monkeypatch.setattr(incidents, "_BATCH", 3)
    async with stored(database, POLICY) as store:
        tenant = await store.tenant()
        await alerts(store, tenant, *((f"a{n}", "resolved", 300 + n, 150) for n in range(20)))
        await store.pool.execute(
            "CREATE TABLE deletions (n bigint);"
            "CREATE FUNCTION counted() RETURNS trigger LANGUAGE plpgsql AS "
            "$$ BEGIN INSERT INTO deletions SELECT count(*) FROM gone; RETURN NULL; END $$;"
            "CREATE TRIGGER counted AFTER DELETE ON alert_history REFERENCING OLD TABLE AS gone "
            "FOR EACH STATEMENT EXECUTE FUNCTION counted()"
        )
        await Maintenance(store.pool, store.lifecycle, lambda: NOW).retain(NOW, quiet)
        sizes = [row["n"] for row in await store.pool.fetch("SELECT n FROM deletions")]
        assert (max(sizes), sum(sizes)) == (3, 80)
        assert await store.pool.fetchval("SELECT count(*) FROM alerts") == 0
