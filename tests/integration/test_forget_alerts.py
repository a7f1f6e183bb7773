"""Deletion of what is watched: rules, alerts and remediations go with their metric, and all with their tenant."""

import json
from datetime import UTC, datetime
from uuid import UUID

import pytest

from schemas.named_queries import load
from schemas.transitions import Transition
from sinks.alerts import AlertStore
from sinks.forget import Forgetting
from tests.deletions import owner, traces
from tests.ingestion import Bench
from tests.integration.test_forget import bench as bench  # noqa: PLC0414 - a fixture in each storage mode
from tests.remedies import fired, resolved

SQL = load("tests.contract", "incidents.sql")
NOW = datetime(2026, 6, 1, tzinfo=UTC)

pytestmark = pytest.mark.timeout(180)


def about(tenant: UUID, rule: str, metric: str) -> Transition:
    """A transition of a rule about a metric."""
    return fired(
        tenant,
        rule=rule,
        condition=f"p95({metric}{{a=b}}) over 30s > 1",
        annotations={"summary": metric},
        labels={"of": metric},
    )


async def watched(bench: Bench, tenant: UUID) -> list[Transition]:
    """Rules of two metrics, one alert of each that fires and one of a rule that is gone, and a definition's."""
    for name in ("doomed", "kept"):
        await bench.pool.execute(
            "INSERT INTO definitions (tenant_id, name, type, aggregation) VALUES ($1, $2, 'gauge', 'avg')",
            tenant,
            name,
        )
        await bench.pool.execute(
            "INSERT INTO rules (tenant_id, name, document) VALUES ($1, $2, $3)",
            tenant,
            f"{name}-slow",
            json.dumps({"name": f"{name}-slow", "metric": name}),
        )
    transitions = [
        about(tenant, rule, metric)
        for rule, metric in (
            ("doomed-slow", "doomed"),
            ("definition:doomed", "doomed"),
            ("gone", "doomed"),
            ("kept-slow", "kept"),
            ("definition:kept", "kept"),
        )
    ]
    for one in transitions:
        await AlertStore(bench.pool).record(one)
        await bench.pool.execute(
            "INSERT INTO remediations (tenant_id, rule, fingerprint, episode, level, labels, incident, playbook,"
            " owner, state, dry_run) VALUES ($1, $2, $3, $4, 'warning', $5, $6, 'p', 'w', 'verifying', false)",
            tenant,
            one.rule,
            one.fingerprint,
            one.episode,
            json.dumps(one.labels),
            json.dumps({"condition": one.condition}),
        )
    await bench.pool.execute(
        "INSERT INTO notifications (tenant_id, receiver, group_key, alert_id, grouping)"
        " SELECT tenant_id, 'ops', 'k', alert_id, labels FROM alerts WHERE tenant_id = $1",
        tenant,
    )
    return transitions


async def test_a_metric_takes_its_rules_and_alerts_with_it(bench: Bench) -> None:
    """They are counted first; the end of an alert, heard of when its rule is gone, brings nothing back."""
    transitions = await watched(bench, bench.tenant)
    async with owner(bench) as pool:
        forgetting = Forgetting(pool)
        target = await forgetting.find("test", "doomed")
        plan = {one.what: (one.n, one.estimated) for one in await forgetting.plan(target)}
        assert {what: n for what, (n, _) in plan.items() if n} == {
            "definitions": 1,
            "rules": 1,
            "alerts": 3,
            "alert transitions": 3,
            "notifications": 3,
            "remediations": 3,
        }
        await forgetting.forget(target)
    for one in transitions:
        await AlertStore(bench.pool).record(resolved(one))
    assert await traces(bench, [], ["doomed"]) == []
    left = await bench.pool.fetch("SELECT rule, state FROM alerts ORDER BY rule")
    assert [tuple(row) for row in left] == [
        ("definition:kept", "resolved"),
        ("kept-slow", "resolved"),
    ]
    for table, n in (
        ("rules", 1),
        ("alert_history", 4),
        ("notifications", 2),
        ("remediations", 2),
    ):
        assert await bench.pool.fetchval(f"SELECT count(*) FROM {table}") == n, table  # noqa: S608


async def test_a_metric_whose_name_begins_like_another_is_another(bench: Bench) -> None:
    """Of rules that are gone, too, the condition tells: not doomed_too, not what doomed is a label of."""
    for rule, metric in (("a", "doomed_too"), ("b", "do"), ("c", "x{y=doomed}"), ("d", "doomed")):
        await AlertStore(bench.pool).record(about(bench.tenant, rule, metric))
    absent = about(bench.tenant, "e", "x").model_copy(update={"condition": "no doomed for 5m"})
    await AlertStore(bench.pool).record(absent)
    rows = await bench.pool.fetch(
        "SELECT rule FROM alerts_about($1, 'doomed') JOIN alerts USING (alert_id)", bench.tenant
    )
    assert sorted(row["rule"] for row in rows) == ["d", "e"]


async def test_a_tenant_takes_everything_with_it(bench: Bench) -> None:
    """The plan counts all of it, and of none of it anything is left; the other tenant keeps its own."""
    gone: UUID = await bench.pool.fetchval(
        "INSERT INTO tenants (name) VALUES ('gone') RETURNING tenant_id"
    )
    for tenant in (gone, bench.tenant):
        await watched(bench, tenant)
        for name in ("silence", "pause"):
            await bench.pool.execute(SQL[name], tenant, NOW, NOW.replace(year=2100))
        await bench.pool.execute(
            "INSERT INTO notification_settings (tenant_id, document) VALUES ($1, '{}')", tenant
        )
        for version in (1, 2):
            await bench.pool.execute(
                "INSERT INTO playbooks (tenant_id, name, version, document) VALUES ($1, 'p', $2, '{}')",
                tenant,
                version,
            )
    tables = (
        "rules", "alerts", "alert_history", "notifications", "notification_settings", "silences", "playbooks",
        "remediations", "remediation_pauses",
    )  # fmt: skip
    query = " UNION ALL ".join(f"SELECT '{one}', tenant_id::text FROM {one}" for one in tables)  # noqa: S608
    before = await bench.pool.fetch(f"SELECT * FROM ({query}) t WHERE tenant_id <> $1", str(gone))  # noqa: S608
    async with owner(bench) as pool:
        forgetting = Forgetting(pool)
        target = await forgetting.find("gone")
        plan = {one.what: one.n for one in await forgetting.plan(target) if one.n}
        assert plan == {
            "definitions": 2,
            "rules": 2,
            "alerts": 5,
            "alert transitions": 5,
            "notifications": 5,
            "remediations": 5,
            "silences": 1,
            "notification settings": 1,
            "playbooks": 1,
            "remediation pauses": 1,
        }
        await forgetting.forget(target)
    assert await traces(bench, [], [gone]) == []
    after = await bench.pool.fetch(query)
    assert sorted(map(tuple, after)) == sorted(map(tuple, before))
