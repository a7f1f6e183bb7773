"""Aggregation and cleanup of a run: exact, repeatable, and never at the price of a point."""

from collections import defaultdict
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import numpy as np
import psycopg
import pytest
from numpy.typing import NDArray
from psycopg import Connection
from psycopg.rows import dict_row
from psycopg.types.json import Jsonb

from query.sketches import decode
from schemas.named_queries import load
from tests.contract.conftest import Storage

_BEGAN = datetime(2025, 1, 15, 23, 59, 57, tzinfo=UTC)  # the points go on into the next day's chunk
_ENDPOINT = ("name", "method", "status")
_TRENDS = {"http_req_duration", "ws_connecting", "custom_wait"}
_DECLARED = {"custom_wait": "trend", "vus": "gauge", "http_req_failed": "rate"}
"""The others are known by their names: k6's own, of a runner that died before it told."""
_SERIES: list[tuple[str, dict[str, str]]] = [
    *(
        ("http_req_duration", {"name": n, "method": "GET", "status": s, "scenario": c})
        for n in ("list", "a 'quoted' \u2028 name")
        for s in ("200", "404")
        for c in ("smoke", "load")
    ),
    ("http_req_failed", {"name": "list", "method": "GET", "status": "0"}),
    ("http_reqs", {"name": "https://Shop.example:8443/a", "method": "GET", "status": "200"}),
    (
        "http_reqs",
        {"name": "b", "method": "GET", "status": "404", "error_code": "1404", "url": "b"},
    ),
    (
        "http_reqs",
        {"name": "b", "method": "GET", "status": "0", "error": "refused", "domain": "given"},
    ),
    ("http_reqs", {"name": "c", "method": "PUT", "status": "200", "url": "http://u:p@[::1]:80/x"}),
    ("http_reqs", {}),
    ("ws_connecting", {"status": "101", "url": "wss://chat.example?room=1"}),
    ("custom_wait", {}),
    ("checks", {"check": "ok", "group": "::g"}),
    ("checks", {"check": "ok", "group": "::g", "scenario": "load"}),
    ("checks", {"check": "ok"}),
    ("vus", {}),
]
_DOMAINS = {
    "https://Shop.example:8443/a": "shop.example",
    "b": "given",
    "c": "[::1]",
}

Points = list[tuple[datetime, int, float]]


class RunUnderTest:
    """One tenant, one run and its raw points, seen as the role headrace_writer."""

    def __init__(self, connection: Connection[dict[str, Any]], points: int) -> None:
        self.connection = connection
        self.execution = uuid4()
        tenant = self.one("INSERT INTO tenants (name) VALUES ('ours') RETURNING tenant_id")
        self.series = [self._series(tenant, i, *s) for i, s in enumerate(_SERIES)]
        self.one(
            "INSERT INTO runs (execution_id, tenant_id, test, started_at, metrics) "
            "VALUES (%s, %s, 't', %s, %s) RETURNING 1",
            self.execution,
            tenant,
            _BEGAN,
            Jsonb(_DECLARED),
        )
        connection.execute("SET ROLE headrace_writer")
        self.one("SELECT ensure_executions(%s)", [self.execution])
        self.points = self._points(points)
        self.store(self.execution, self.points)
        self.count_in_ledger(points)

    def one(self, query: str, *parameters: object) -> Any:
        """The first value of the first row, or None."""
        row = self.connection.execute(query.encode(), parameters).fetchone()
        return None if row is None else next(iter(row.values()))

    def rows(self) -> list[dict[str, Any]]:
        """The run's aggregates, in a fixed order."""
        return self.connection.execute(
            "SELECT * FROM k6_aggregates WHERE execution_id = %s "
            "ORDER BY kind, metric, bucket, name, method, status",
            (self.execution,),
        ).fetchall()

    def table(self, name: str) -> list[dict[str, Any]]:
        """What another table holds of the run, without its id."""
        query = f"SELECT * FROM {name} WHERE execution_id = %s ORDER BY 2, 3, 4"  # noqa: S608 - names are ours
        self.connection.execute("RESET ROLE")  # nobody but the owner reads them here
        rows = self.connection.execute(query.encode(), (self.execution,)).fetchall()
        self.connection.execute("SET ROLE headrace_writer")
        return [{k: v for k, v in row.items() if k != "execution_id"} for row in rows]

    def raw(self, execution: UUID | None = None) -> int:
        """Raw points of a run, by default this one."""
        return int(
            self.one(
                "SELECT count(*) FROM k6_samples WHERE execution_id = %s",
                execution or self.execution,
            )
        )

    def aggregate(self) -> int:
        """Aggregate; the number of rows."""
        return int(self.one("SELECT aggregate_execution(%s)", self.execution))

    def clean_up(self) -> None:
        """Clean up."""
        self.one("SELECT cleanup_execution(%s)", self.execution)

    def count_in_ledger(self, stored: int) -> None:
        """Let the ledger say that so many points are stored."""
        self.connection.execute(
            "INSERT INTO run_ledger VALUES (%s, 'samples', 0, %s, 0) "
            "ON CONFLICT (execution_id, topic, partition) DO UPDATE SET stored = excluded.stored",
            (self.execution, stored),
        )

    def store(self, execution: UUID, points: Points) -> None:
        """Insert points. By the slice: the WASM build takes neither COPY nor messages above 64 KB."""
        for first in range(0, len(points), 500):
            columns = zip(*points[first : first + 500], strict=True)
            self.connection.execute(
                "INSERT INTO k6_samples (ts, execution_id, series_id, value) "
                "SELECT ts, %s, series_id, value "
                "FROM unnest(%s::timestamptz[], %s::bigint[], %s::float8[]) p (ts, series_id, value)",
                (execution, *map(list, columns)),
            )

    def _series(self, tenant: UUID, number: int, name: str, labels: dict[str, str]) -> int:
        return int(
            self.one(
                "INSERT INTO series (tenant_id, name, labels, fingerprint) VALUES (%s, %s, %s, %s) "
                "RETURNING series_id",
                tenant,
                name,
                Jsonb(labels),
                number.to_bytes(16),
            )
        )

    def _points(self, count: int) -> Points:
        random = np.random.default_rng(7)
        which = random.integers(len(self.series), size=count)
        values = random.lognormal(3, 2, size=count) * random.choice([-1, 0, 1, 1], size=count)
        micros = random.integers(6_000_000, size=count)
        return [
            (_BEGAN + timedelta(microseconds=int(m)), self.series[w], float(v))
            for w, v, m in zip(which, values, micros, strict=True)
        ]


Make = Callable[[int], RunUnderTest]


@pytest.fixture(params=["database", "native"])
def dsn(request: pytest.FixtureRequest) -> str:
    """A migrated database in each storage mode. Servers, because the WASM build is slow to start."""
    found = request.getfixturevalue(request.param)
    return str(found.dsn if isinstance(found, Storage) else found)


@pytest.fixture
def make(dsn: str) -> Iterator[Make]:
    """Make a run with so many points, in each storage mode in turn."""
    with psycopg.connect(dsn, autocommit=True, row_factory=dict_row) as connection:
        yield lambda points: RunUnderTest(connection, points)


def expected(run: RunUnderTest) -> dict[tuple[object, ...], NDArray[np.float64]]:
    """Values by kind, bucket, metric and endpoint, grouped without the database."""
    labels = dict(zip(run.series, _SERIES, strict=True))
    groups: dict[tuple[object, ...], list[float]] = defaultdict(list)
    for ts, series, value in run.points:
        metric, tags = labels[series]
        endpoint = tuple(tags.get(label) for label in _ENDPOINT)
        groups["bucket", ts.replace(microsecond=0), metric, *endpoint].append(value)
        groups["summary", None, metric, None, None, None].append(value)
        groups["total", ts.replace(microsecond=0), metric, None, None, None].append(value)
        if metric == "http_reqs" and "status" in tags:
            second = ts.replace(microsecond=0)
            groups["total", second, metric, None, None, tags["status"]].append(value)
        if any(endpoint):
            groups["endpoint", None, metric, *endpoint].append(value)
    return {key: np.array(values) for key, values in groups.items()}


def test_aggregates_equal_what_numpy_computes(migrated: Storage) -> None:
    """Rows of every kind hold the exact statistics of their points; sketches of trends are 1 % off at most."""
    with psycopg.connect(migrated.dsn, autocommit=True, row_factory=dict_row) as connection:
        run = RunUnderTest(connection, 20_000)
        written, rows = run.aggregate(), run.rows()
        checks, errors = run.table("run_checks"), run.table("run_errors")
    assert written == len(rows)
    assert checks == expected_checks(run)
    assert errors == expected_errors(run)
    found = {tuple(row[c] for c in ("kind", "bucket", "metric", *_ENDPOINT)): row for row in rows}
    groups = expected(run)
    assert found.keys() == groups.keys()
    for key, values in groups.items():
        row = found[key]
        assert row["n"] == len(values)
        wanted = [
            values.sum(), values.min(), values.max(), values.mean(),
            *np.percentile(values, [50, 90, 95, 99], method="linear"),
        ]  # fmt: skip
        columns = ("sum", "min", "max", "avg", "p50", "p90", "p95", "p99")
        # A sum of values of both signs can be near 0: its error is relative to what was added.
        np.testing.assert_allclose(
            [row[c] for c in columns], wanted, rtol=1e-9, atol=1e-12 * float(np.abs(values).sum())
        )
        assert (row["sketch"] is not None) == (row["metric"] in _TRENDS)
        if row["sketch"] is not None:
            told, sketched = decode([0], [row["sketch"]]).percentiles([0, 0.25, 0.5, 0.9, 1])
            assert told == [len(values)]
            ranked = np.percentile(values, [0, 25, 50, 90, 100], method="linear")
            # Between two ranks the error is that of the larger of both.
            near = [
                np.percentile(values, [0, 25, 50, 90, 100], method=m) for m in ("lower", "higher")
            ]
            assert (np.abs(sketched[0] - ranked) <= 0.0101 * np.abs(near).max(axis=0)).all()
    for row in rows:
        if row["kind"] in {"bucket", "endpoint"} and row["metric"] == "http_reqs":
            # The domain is that of the tag, else of what looks like a URL.
            wanted_domain = _DOMAINS.get(str(row["name"]))
            assert row["domain"] == (None if row["status"] == "404" else wanted_domain)
        elif row["kind"] in {"bucket", "endpoint"} and row["metric"] == "ws_connecting":
            assert row["domain"] == "chat.example"
        else:
            assert row["domain"] is None


def expected_checks(run: RunUnderTest) -> list[dict[str, Any]]:
    """Passed and failed checks by group and name, counted without the database."""
    found: dict[tuple[str, str], list[int]] = defaultdict(lambda: [0, 0])
    labels = dict(zip(run.series, _SERIES, strict=True))
    for _, series, value in run.points:
        metric, tags = labels[series]
        if metric == "checks":
            found[tags.get("group", ""), tags["check"]][value == 0] += 1
    return [
        {"group_name": group, "check_name": check, "passes": passes, "fails": fails}
        for (group, check), (passes, fails) in sorted(found.items())
    ]


def expected_errors(run: RunUnderTest) -> list[dict[str, Any]]:
    """Failed requests with their first and last time, counted without the database."""
    found: dict[tuple[str, ...], list[datetime]] = defaultdict(list)
    labels = dict(zip(run.series, _SERIES, strict=True))
    columns = ("name", "method", "status", "error_code", "error")
    for ts, series, _ in run.points:
        metric, tags = labels[series]
        if metric == "http_reqs" and tags.get("status") in {"404", "0"}:
            found[tuple(tags.get(column, "") for column in columns)].append(ts)
    return [
        {
            **dict(zip(columns, key, strict=True)),
            "n": len(at),
            "first_at": min(at),
            "last_at": max(at),
        }
        for key, at in sorted(found.items())
    ]


def test_aggregating_again_changes_nothing(make: Make) -> None:
    """The rows of a second aggregation are the rows of the first, in every table."""
    run = make(2_000)

    def everything() -> list[Any]:
        return [run.aggregate(), run.rows(), run.table("run_checks"), run.table("run_errors")]

    assert everything() == everything()


def test_what_a_run_came_to_goes_with_it(make: Make) -> None:
    """Aggregates have no foreign key, which would cost more than they do; deleting a run deletes them."""
    run = make(500)
    run.aggregate()
    run.connection.execute("RESET ROLE")
    run.connection.execute("DELETE FROM runs WHERE execution_id = %s", (run.execution,))
    assert [run.rows(), run.table("run_checks"), run.table("run_errors")] == [[], [], []]


@pytest.mark.parametrize("column", ["keep_raw = true", "incomplete = 'b never started'"])
def test_raw_points_stay_where_they_are_asked_for(make: Make, column: str) -> None:
    """Kept by the user, or because a missing runner may still deliver: the counts are checked all the same."""
    run = make(500)
    change = f"UPDATE runs SET {column} WHERE execution_id = %s"  # noqa: S608 - columns are ours
    run.connection.execute(change.encode(), (run.execution,))
    with pytest.raises(psycopg.errors.IntegrityConstraintViolation):
        run.clean_up()
    run.aggregate()
    run.clean_up()
    assert run.raw() == 500
    assert run.one("SELECT raw_deleted_at FROM runs WHERE execution_id = %s", run.execution) is None


def test_disk_space_comes_back(make: Make) -> None:
    """The last run to leave a partition or chunk takes it along; until then only its own rows go."""
    run, other = make(5_000), uuid4()
    run.one("SELECT ensure_executions(%s)", [other])
    run.store(other, run.points)
    run.aggregate()
    run.clean_up()
    assert (run.raw(), run.raw(other)) == (0, 5_000)
    run.one("SELECT drop_raw(%s)", other)
    run.connection.execute("RESET ROLE")
    size = (
        "SELECT hypertable_size('k6_samples')"
        if run.one("SELECT mode FROM storage") == "timescaledb"
        else "SELECT coalesce(sum(pg_total_relation_size(inhrelid)), 0) FROM pg_inherits "
        "WHERE inhparent = 'k6_samples'::regclass"
    )
    assert run.one(size) <= 8192  # the empty parent


def test_late_points_are_in_the_next_aggregation(make: Make) -> None:
    """Aggregation starts anew from the raw points, whatever it wrote before."""
    run = make(2_000)
    run.aggregate()
    run.store(run.execution, run.points[:10])
    run.aggregate()
    assert sum(row["n"] for row in run.rows() if row["kind"] == "summary") == 2_010


def test_cleanup_deletes_this_runs_points_only_and_once(make: Make) -> None:
    """After cleanup the aggregates are final: neither step, repeated, touches them."""
    run, other = make(2_000), uuid4()
    run.one("SELECT ensure_executions(%s)", [other])
    run.store(other, run.points)
    run.aggregate()
    rows = run.rows()
    run.clean_up()
    deleted_at = run.one("SELECT raw_deleted_at FROM runs WHERE execution_id = %s", run.execution)
    assert deleted_at is not None
    assert (run.raw(), run.raw(other)) == (0, 2_000)
    run.clean_up()
    assert run.aggregate() == 0
    assert run.rows() == rows
    assert (
        run.one("SELECT raw_deleted_at FROM runs WHERE execution_id = %s", run.execution)
        == deleted_at
    )


@pytest.mark.parametrize(
    "wrong", ["not aggregated", "ledger says more", "ledger says less", "point came late"]
)
def test_cleanup_refuses_when_counts_disagree(make: Make, wrong: str) -> None:
    """Raw points stay unless raw, ledger and summaries agree; the refusal names the three figures."""
    run = make(500)
    if wrong != "not aggregated":
        run.aggregate()
    if wrong.startswith("ledger"):
        run.count_in_ledger(501 if wrong.endswith("more") else 499)
    if wrong == "point came late":
        run.store(run.execution, run.points[:1])
    before = run.raw()
    with pytest.raises(psycopg.errors.IntegrityConstraintViolation, match="keeps its raw points"):
        run.clean_up()
    assert run.raw() == before
    assert run.one("SELECT raw_deleted_at FROM runs WHERE execution_id = %s", run.execution) is None


def test_points_of_another_tenant_stay_out_and_stop_the_cleanup(make: Make) -> None:
    """Who guesses an execution id can't change its figures, and does not go unnoticed."""
    run = make(500)
    run.connection.execute("RESET ROLE")
    theirs = run._series(  # noqa: SLF001 # the class is this test's own
        run.one("INSERT INTO tenants (name) VALUES ('theirs') RETURNING tenant_id"), 99, "vus", {}
    )
    run.connection.execute("SET ROLE headrace_writer")
    run.store(run.execution, [(_BEGAN, theirs, 1e9)])
    run.count_in_ledger(501)
    run.aggregate()
    assert max(row["max"] for row in run.rows()) < 1e9
    with pytest.raises(psycopg.errors.IntegrityConstraintViolation):
        run.clean_up()


def test_a_run_without_points_can_be_cleaned_up(make: Make) -> None:
    """Nothing sent, nothing stored, nothing summed up: that agrees."""
    run = make(1)
    empty = uuid4()
    run.connection.execute(
        "INSERT INTO runs (execution_id, tenant_id, test, started_at) "
        "SELECT %s, tenant_id, test, started_at FROM runs",
        (empty,),
    )
    assert run.one("SELECT aggregate_execution(%s)", empty) == 0
    run.one("SELECT cleanup_execution(%s)", empty)
    assert run.one("SELECT raw_deleted_at FROM runs WHERE execution_id = %s", empty) is not None


@pytest.mark.parametrize("function", ["aggregate_execution", "cleanup_execution"])
def test_an_unknown_run_is_refused(make: Make, function: str) -> None:
    """A run that nobody announced is named in the error."""
    run, nobody = make(1), uuid4()
    with pytest.raises(psycopg.errors.NoDataFound, match=str(nobody)):
        run.one(f"SELECT {function}(%s)", nobody)


def test_statistics_look_at_tagged_points_only(make: Make) -> None:
    """A selection takes the series that carry all of its tags, whatever else they carry."""
    run = make(20_000)
    selections: list[tuple[str, dict[str, str], str]] = [
        ("http_req_duration", {}, "trend"),
        ("http_req_duration", {"status": "404", "scenario": "load"}, "trend"),
        ("http_req_failed", {"status": "0"}, "rate"),
        ("vus", {}, "gauge"),
        ("http_req_duration", {"name": "nobody"}, "trend"),
    ]
    found = run.connection.execute(
        "SELECT * FROM execution_statistics(%s, %s, %s, %s, %s)",
        (
            run.execution,
            [metric for metric, _, _ in selections],
            [Jsonb(tags) for _, tags, _ in selections],
            [kind for _, _, kind in selections],
            [0.5, 0.999],
        ),
    ).fetchall()
    labels = dict(zip(run.series, _SERIES, strict=True))
    for (metric, tags, kind), row in zip(selections, found, strict=True):
        chosen = sorted(
            (ts, value)
            for ts, series, value in run.points
            if labels[series][0] == metric and tags.items() <= labels[series][1].items()
        )
        values = np.array([value for _, value in chosen])
        assert (row["n"], row["nonzero"]) == (len(values), np.count_nonzero(values))
        if kind == "trend" and chosen:
            np.testing.assert_allclose(
                row["percentiles"], np.percentile(values, [50, 99.9]), rtol=1e-9
            )
            assert (row["min"], row["max"]) == (values.min(), values.max())
        assert row["last"] == (chosen[-1][1] if kind == "gauge" else None)


def test_no_selection_has_no_statistics(make: Make) -> None:
    """A script without thresholds asks nothing and is answered nothing."""
    run = make(10)
    query = "SELECT count(*) FROM execution_statistics(%s, '{}', '{}', '{}', '{}')"
    assert run.one(query, run.execution) == 0


def test_every_query_of_runs_is_valid(dsn: str) -> None:
    """The server parses and plans each named query against the schema, in the writer's role."""
    with psycopg.connect(dsn, autocommit=True) as connection:
        connection.execute("SET ROLE headrace_writer")
        for file in ("runs", "backfill"):
            for name, query in load("sinks.sql", f"{file}.sql").items():
                connection.execute(f"PREPARE {file}_{name} AS {query}".encode())


def test_readers_can_neither_aggregate_nor_clean_up(dsn: str) -> None:
    """The functions run with their owner's rights and belong to the writer alone."""
    with psycopg.connect(dsn, autocommit=True) as connection:
        connection.execute("SET ROLE headrace_reader")
        for call in (
            "aggregate_execution(gen_random_uuid())",
            "cleanup_execution(gen_random_uuid())",
            "execution_counts(gen_random_uuid())",
            "raw_points(gen_random_uuid())",
            "execution_statistics(gen_random_uuid(), '{}', '{}', '{}', '{}')",
        ):
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                connection.execute(f"SELECT {call}".encode())
