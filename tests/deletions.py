"""What tests of deletion share: the role that deletes, what a database still holds, whether its levels agree."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from sinks.database import connect_pool
from sinks.forget import Pool
from tests.ingestion import Bench

_LEVELS = {"samples_1m": "1 minute", "samples_5m": "5 minutes", "samples_1h": "1 hour"}


@asynccontextmanager
async def owner(bench: Bench) -> AsyncIterator[Pool]:
    """A pool in the role that deletes."""
    async with await connect_pool(bench.dsn, role="headrace_owner", application="test") as pool:
        yield pool


async def tables(bench: Bench) -> list[tuple[str, bool]]:
    """Every table and view of ours, those of the extension's own data too; and whether it has series."""
    rows = await bench.pool.fetch(
        "SELECT c.oid::regclass::text, EXISTS (SELECT FROM pg_attribute a"
        "   WHERE a.attrelid = c.oid AND a.attname = 'series_id' AND a.atttypid = 'bigint'::regtype)"
        " FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace"
        " WHERE c.relkind IN ('r', 'p', 'v', 'm')"
        " AND n.nspname IN ('public', '_timescaledb_internal')"
        " AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.objid = c.oid AND d.deptype = 'e')"
    )
    assert len(rows) > 30
    return [tuple(row) for row in rows]


async def traces(bench: Bench, series: Sequence[int], words: Sequence[object]) -> list[str]:
    """Tables that still hold one of the series, or a row with one of the words in it."""
    found = []
    for table, has_series in await tables(bench):
        if has_series and await bench.pool.fetchval(
            f"SELECT EXISTS (SELECT FROM {table} WHERE series_id = ANY ($1))",  # noqa: S608 # names from the catalog
            series,
        ):
            found.append(f"{table}: series")
        found += [
            f"{table}: {word}"
            for word in words
            if await bench.pool.fetchval(
                f"SELECT EXISTS (SELECT FROM {table} t WHERE t::text LIKE $1)",  # noqa: S608 # names from the catalog
                f"%{word}%",
            )
        ]
    return found


async def exact(bench: Bench) -> None:
    """Each rollup, stored or computed, says what the samples say, and no series is unknown."""
    for level, width in _LEVELS.items():
        wrong = await bench.pool.fetch(
            "SELECT date_bin($1::text::interval, ts, 'epoch'), series_id, sum(v_num), count(*)"  # noqa: S608 # names of ours
            f" FROM samples GROUP BY 1, 2 EXCEPT SELECT bucket, series_id, v_sum, n FROM {level}",
            width,
        )
        assert wrong == [], level
        total = await bench.pool.fetchval(f"SELECT sum(n) FROM {level}")  # noqa: S608 # names of ours
        assert int(total or 0) == await bench.rows(), level
    assert (
        await bench.pool.fetchval(
            "SELECT count(*) FROM samples LEFT JOIN series USING (series_id) WHERE name IS NULL"
        )
        == 0
    )
    assert (
        await bench.pool.fetch(
            "SELECT name, series FROM metrics EXCEPT SELECT name, count(*) FROM series GROUP BY 1"
        )
        == []
    )
