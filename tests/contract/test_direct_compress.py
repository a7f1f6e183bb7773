"""COPY on native TimescaleDB lands compressed: measured in the chunks, not read from a setting."""

from datetime import UTC, datetime, timedelta
from uuid import uuid4

import psycopg
import pytest

from tests.contract.conftest import Storage

_START = datetime(2025, 1, 15, tzinfo=UTC)
_SERIES, _ROWS = 100, 20_000
_COLUMNS = {
    "samples": "ts, series_id, v_num",
    "k6_samples": "ts, series_id, value, execution_id",
}


@pytest.mark.parametrize("table", _COLUMNS)
def test_copy_lands_compressed_and_whole(native: Storage, table: str) -> None:
    """No row touches the uncompressed heap, every row is found again, and rows stay small."""
    extra = () if table == "samples" else (uuid4(),)
    # Sorted as the columnstore orders them: series, then time.
    rows = [
        (_START + timedelta(seconds=second), series, (second + series) / 8, *extra)
        for series in range(_SERIES)
        for second in range(_ROWS // _SERIES)
    ]
    with psycopg.connect(native.dsn) as connection, connection.cursor() as cursor:
        cursor.execute("SET ROLE headrace_writer")
        cursor.execute("SET LOCAL timescaledb.enable_direct_compress_copy = on")
        with cursor.copy(f"COPY {table} ({_COLUMNS[table]}) FROM STDIN") as copy:
            for row in rows:
                copy.write_row(row)
        connection.commit()
        cursor.execute("RESET ROLE")

        cursor.execute(
            "SELECT is_compressed, pg_relation_size(format('%%I.%%I', chunk_schema, chunk_name)) "
            "FROM timescaledb_information.chunks WHERE hypertable_name = %s",
            (table,),
        )
        assert cursor.fetchall() == [(True, 0)]
        cursor.execute("SELECT hypertable_size(%s::regclass)", (table,))
        (size,) = cursor.fetchall()[0]
        assert size / len(rows) < 20

        query = f"SELECT {_COLUMNS[table]} FROM {table} ORDER BY series_id, ts"  # noqa: S608 - names are ours
        assert cursor.execute(query.encode()).fetchall() == rows


def test_a_run_leaves_by_whole_batches_and_the_last_with_its_chunk(native: Storage) -> None:
    """Nothing is unpacked to delete a run from a chunk that another shares; then the chunk itself goes."""
    first, last = uuid4(), uuid4()
    with psycopg.connect(native.dsn) as connection, connection.cursor() as cursor:
        for run in (first, last):
            cursor.execute("SET LOCAL timescaledb.enable_direct_compress_copy = on")
            with cursor.copy(
                "COPY k6_samples (ts, execution_id, series_id, value) FROM STDIN"
            ) as copy:
                for second in range(_ROWS):
                    copy.write_row((_START + timedelta(seconds=second), run, 1, second / 8))
            connection.commit()
        chunks = (
            "SELECT is_compressed, pg_relation_size(format('%I.%I', chunk_schema, chunk_name)) "
            "FROM timescaledb_information.chunks WHERE hypertable_name = 'k6_samples'"
        )
        cursor.execute("SET ROLE headrace_writer")
        cursor.execute("SELECT drop_raw(%s)", (first,))
        cursor.execute("SELECT execution_id, count(*) FROM k6_samples GROUP BY 1")
        assert cursor.fetchall() == [(last, _ROWS)]
        cursor.execute("RESET ROLE")
        assert cursor.execute(chunks.encode()).fetchall() == [(True, 0)]
        cursor.execute("SELECT drop_raw(%s)", (last,))
        assert cursor.execute(chunks.encode()).fetchall() == []
        cursor.execute("SELECT hypertable_size('k6_samples')")
        assert cursor.fetchall() == [(8192,)]
