"""The schema at work: tenants apart, partitions made, raw points dropped, the same in both modes."""

from datetime import UTC, date, datetime, timedelta
from uuid import UUID, uuid4

import psycopg
import pytest
from psycopg import sql

from tests.contract.conftest import Storage

_ALARMED = """
WITH alarmed AS (
    INSERT INTO alerts (alert_id, tenant_id, rule, fingerprint, labels, state, level, condition, annotations,
                        episode, number, since, stale)
    VALUES (md5(random()::text), %s, 'r', 'f', '{}', 'firing', 'critical', '', '{}', now(), 1, now(), false)
    RETURNING alert_id, tenant_id
)
INSERT INTO alert_history (transition_id, alert_id, tenant_id, at, was, state, level, episode, number,
                           rule_version, stale)
SELECT alert_id, alert_id, tenant_id, now(), 'inactive', 'firing', 'critical', now(), 1, 1, false FROM alarmed
"""
_OPENED = """
WITH opened AS (
    INSERT INTO remediations (tenant_id, rule, fingerprint, episode, level, labels, incident, playbook, owner, state,
        dry_run)
    VALUES (%s, 'r', 'f', now(), 'critical', '{}', '{}', 'p', '', 'running', false) RETURNING remediation_id
)
INSERT INTO remediation_steps (remediation_id, step, kind, attempt, action, actor, status)
SELECT remediation_id, 's', 'step', 1, 'wait', 'a', 'begun' FROM opened
"""
_NOON = datetime(2025, 1, 15, 12, tzinfo=UTC)


def test_reader_sees_its_own_tenant_in_every_view_or_nothing(migrated: Storage) -> None:
    """Each tenant view shows one tenant's row to that tenant and none to anybody else."""
    with psycopg.connect(migrated.dsn, autocommit=True) as connection:
        ours, theirs = _tenant(connection, "ours"), _tenant(connection, "theirs")
        connection.execute("SET ROLE headrace_reader")
        views = _names(
            connection,
            "SELECT relname FROM pg_class"
            " WHERE relname ~ '_tenant$' AND has_table_privilege(oid, 'SELECT')",
        )
        assert {"series_tenant", "samples_tenant", "samples_1h_tenant", "runs_tenant"} <= set(views)
        for view in views:
            assert _count(connection, view, ours) == _count(connection, view, theirs) == 1, view
            for nobody in ("", "not a uuid", str(uuid4()), None):
                assert _count(connection, view, nobody) == 0, (view, nobody)


def test_reader_has_no_base_table(migrated: Storage) -> None:
    """Tables and partitions are closed to the reader: only views lead to measurements."""
    with psycopg.connect(migrated.dsn, autocommit=True) as connection:
        _tenant(connection, "ours")
        readable = _names(
            connection,
            "SELECT c.oid::regclass::text FROM pg_class c "
            "WHERE c.relkind IN ('r', 'p', 'm') "
            "AND c.relnamespace NOT IN ('pg_catalog'::regnamespace, 'information_schema'::regnamespace) "
            "AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.objid = c.oid AND d.deptype = 'e') "
            "AND has_table_privilege('headrace_reader', c.oid, 'SELECT')",
        )
        assert readable == ["storage"]
        connection.execute("SET ROLE headrace_reader")
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            connection.execute("SELECT FROM samples")


def test_a_filter_that_tells_what_it_sees_sees_no_other_tenant(migrated: Storage) -> None:
    """A cheap function in WHERE runs after the view's own filter, never before it."""
    with psycopg.connect(migrated.dsn, autocommit=True) as connection:
        ours = _tenant(connection, "ours")
        _tenant(connection, "theirs")
        connection.execute(
            "CREATE FUNCTION tell(seen text) RETURNS boolean COST 0.000001 LANGUAGE plpgsql AS "
            "$$ BEGIN RAISE NOTICE 'saw %', seen; RETURN true; END $$"
        )
        told: list[str] = []
        connection.add_notice_handler(lambda notice: told.append(notice.message_primary or ""))
        # An index on the tenant would hide what the plan may do without one.
        connection.execute("SET enable_indexscan = off")
        connection.execute("SET enable_bitmapscan = off")
        connection.execute("SET ROLE headrace_reader")
        with connection.transaction():
            connection.execute("SELECT set_config('app.tenant_id', %s, true)", (str(ours),))
            connection.execute("SELECT FROM series_tenant WHERE tell(name)")
    assert told == ["saw series of ours"]


def test_ensure_samples_makes_room_for_whole_days(migrated: Storage) -> None:
    """From the first to the last microsecond of each day, asked twice, by the writer's own role."""
    day = date(2025, 3, 30)
    midnight = datetime(2025, 3, 30, tzinfo=UTC)
    moments = [
        midnight,
        midnight + timedelta(days=1, microseconds=-1),
        midnight + timedelta(days=1),
        midnight + timedelta(days=2, microseconds=-1),
    ]
    with psycopg.connect(migrated.dsn, autocommit=True) as connection:
        # Days are UTC days, also where the server thinks in another zone with summer time.
        connection.execute("SET TimeZone TO 'Europe/Lisbon'")
        connection.execute("SET ROLE headrace_writer")
        for _ in range(2):
            connection.execute("SELECT ensure_samples(%s)", ([day, day + timedelta(days=1)],))
        for moment in moments:
            connection.execute("INSERT INTO samples (ts, series_id) VALUES (%s, 1)", (moment,))
        found = connection.execute("SELECT ts FROM samples ORDER BY ts").fetchall()
    assert [ts for (ts,) in found] == moments


def test_drop_raw_takes_one_execution_and_leaves_the_others(migrated: Storage) -> None:
    """Dropping is the writer's right, harmless when repeated and for executions without points."""
    first, second = uuid4(), uuid4()
    with psycopg.connect(migrated.dsn, autocommit=True) as connection:
        connection.execute("SET ROLE headrace_writer")
        for _ in range(2):
            connection.execute("SELECT ensure_executions(%s)", ([first, second],))
        _k6_points(connection, first, 10)
        _k6_points(connection, second, 20)
        if migrated.mode == "timescaledb":
            _compress(connection, "k6_samples")
            _k6_points(connection, first, 5)
        for execution in (first, first, uuid4()):
            connection.execute("SELECT drop_raw(%s)", (execution,))
        left = connection.execute(
            "SELECT execution_id, count(*) FROM k6_samples GROUP BY 1"
        ).fetchall()
    assert left == [(second, 20)]


def test_compressed_samples_read_the_same(migrated: Storage) -> None:
    """Compression by hand, and a row that comes late to a compressed day, change no answer."""
    if migrated.mode == "postgresql":
        return  # plain PostgreSQL has nothing to compress
    query = "SELECT ts, series_id, v_num, v_bool, v_text FROM samples ORDER BY ts, series_id"
    with psycopg.connect(migrated.dsn, autocommit=True) as connection:
        connection.execute(
            "INSERT INTO samples (ts, series_id, v_num, v_bool, v_text) "
            "SELECT %s + i * interval '1 second', i %% 7, i / 3.0, i %% 2 = 0, nullif('t' || i %% 3, 't0') "
            "FROM generate_series(1, 1000) i",
            (_NOON,),
        )
        before = connection.execute(query).fetchall()
        _compress(connection, "samples")
        assert connection.execute(query).fetchall() == before
        connection.execute("INSERT INTO samples (ts, series_id) VALUES (%s, 1)", (_NOON,))
        assert connection.execute(query).fetchall() == [(_NOON, 1, None, None, None), *before]


def _tenant(connection: psycopg.Connection, name: str) -> UUID:
    """Make a tenant that has one row in everything that a tenant can see."""
    row = connection.execute(
        "INSERT INTO tenants (name) VALUES (%s) RETURNING tenant_id", (name,)
    ).fetchone()
    assert row is not None
    tenant: UUID = row[0]
    run = uuid4()
    connection.execute("SELECT ensure_samples(%s)", ([_NOON.date()],))
    connection.execute(
        "WITH new AS (INSERT INTO series (tenant_id, name, labels, fingerprint) "
        "VALUES (%s, %s, '{}', %s) RETURNING series_id) "
        "INSERT INTO samples (ts, series_id, v_num) SELECT %s, series_id, 1 FROM new",
        (tenant, f"series of {name}", tenant.bytes, _NOON),
    )
    connection.execute(
        "INSERT INTO runs (execution_id, tenant_id, test, started_at) VALUES (%s, %s, 't', %s)",
        (run, tenant, _NOON),
    )
    connection.execute(
        "INSERT INTO run_ledger (execution_id, topic, partition) VALUES (%s, 't', 0)", (run,)
    )
    connection.execute(
        "INSERT INTO k6_aggregates (execution_id, kind, metric, n, sum, min, max, avg, p50, p90, p95, p99) "
        "VALUES (%s, 'summary', 'm', 1, 1, 1, 1, 1, 1, 1, 1, 1)",
        (run,),
    )
    for statement in (
        "INSERT INTO run_checks VALUES (%s, '', 'c', 1, 0)",
        "INSERT INTO run_errors VALUES (%s, 'e', 'GET', '500', '1500', '', 1, now(), now())",
        "INSERT INTO baselines SELECT tenant_id, test, 'b', execution_id FROM runs WHERE execution_id = %s",
    ):
        connection.execute(statement.encode(), (run,))
    for statement in (
        "INSERT INTO definitions (tenant_id, name, type, aggregation) VALUES (%s, 'm', 'gauge', 'avg')",
        "INSERT INTO metrics (tenant_id, name, series) VALUES (%s, 'm', 1)",
        "INSERT INTO playbooks (tenant_id, name, version, document) VALUES (%s, 'p', 1, '{}')",
        "INSERT INTO remediation_pauses (tenant_id, actor) VALUES (%s, 'a')",
        _OPENED,
        "INSERT INTO rules (tenant_id, name, document) VALUES (%s, 'r', '{}')",
        _ALARMED,
        (
            "INSERT INTO silences (silence_id, tenant_id, matchers, starts_at, expires_at, author, comment)"
            " VALUES (gen_random_uuid(), %s, '{a=b}', now(), now(), 'a', '')"
        ),
        "INSERT INTO metric_labels (tenant_id, name, label, n_values) VALUES (%s, 'm', 'l', 1)",
        "INSERT INTO label_values (tenant_id, name, label, value) VALUES (%s, 'm', 'l', 'v')",
        "INSERT INTO rejections (tenant_id, reason, samples, last_name, last_labels) VALUES (%s, '', 1, '', '{}')",
    ):
        connection.execute(statement.encode(), (tenant,))
    return tenant


def _k6_points(connection: psycopg.Connection, execution: UUID, count: int) -> None:
    connection.execute(
        "INSERT INTO k6_samples (ts, execution_id, series_id, value) "
        "SELECT %s + i * interval '1 second', %s, 1, i FROM generate_series(1, %s) i",
        (_NOON, execution, count),
    )


def _compress(connection: psycopg.Connection, hypertable: str) -> None:
    role = connection.execute("SELECT current_role").fetchone()
    connection.execute("RESET ROLE")
    compressed = connection.execute(
        "SELECT compress_chunk(c) FROM show_chunks(%s::regclass) c", (hypertable,)
    ).fetchall()
    assert compressed
    assert role is not None
    connection.execute(sql.SQL("SET ROLE {}").format(sql.Identifier(role[0])))


def _count(connection: psycopg.Connection, view: str, tenant: UUID | str | None) -> int:
    """Rows that the view shows while `tenant` is set (None: never set) for the transaction."""
    with connection.transaction():
        if tenant is not None:
            connection.execute("SELECT set_config('app.tenant_id', %s, true)", (str(tenant),))
        query = sql.SQL("SELECT count(*) FROM {}").format(sql.Identifier(view))
        row = connection.execute(query).fetchone()
    assert row is not None
    return int(row[0])


def _names(connection: psycopg.Connection, query: str) -> list[str]:
    return [str(name) for (name,) in connection.execute(query.encode())]
