"""COPY of Arrow rows into a table, and the search for the row that the database refuses."""

from collections.abc import AsyncIterator
from typing import NamedTuple, TypeAlias

import asyncpg
import numpy as np
import pgpq

from schemas.batches import Rows
from sinks.outages import is_row_error

Connection: TypeAlias = "asyncpg.pool.PoolConnectionProxy[asyncpg.Record]"

_PIECE = 512 << 10
"""Bytes that the database is sent at a time: it works on one while the next is on its way."""


class Refused(NamedTuple):
    """A row that the database refuses, and what it said."""

    position: int
    message: str


def encode_ahead(rows: Rows) -> None:
    """Make what COPY sends before its transaction waits for it."""
    if rows.data.num_rows:
        rows.encoded = encode(rows)


def encode(rows: Rows) -> bytes:
    """PostgreSQL's binary COPY format of the rows."""
    encoder = pgpq.ArrowToPostgresBinaryEncoder(rows.data.schema)
    return b"".join((encoder.write_header(), encoder.write_batch(rows.data), encoder.finish()))


async def copy_rows(connection: Connection, table: str, rows: Rows) -> None:
    """COPY all rows in the connection's transaction. Raises what asyncpg raises."""
    if rows.data.num_rows:
        await connection.copy_to_table(
            table,
            source=pieces(rows.encoded or encode(rows)),
            columns=rows.data.schema.names,
            format="binary",
        )


async def pieces(data: bytes) -> AsyncIterator[memoryview]:
    """What COPY is fed. A file is read in a thread, which waits for the decoder at every piece."""
    view = memoryview(data)
    for begin in range(0, len(view), _PIECE):
        yield view[begin : begin + _PIECE]


async def copy_good_rows(connection: Connection, table: str, rows: Rows) -> list[Refused]:
    """COPY what the database takes and return the rows that it refuses.

    Halves the batch at each refusal, in savepoints of the connection's transaction: a bad row costs
    about log2(rows) COPYs, the good ones land. Raises what is no row's fault.
    """
    refused: list[Refused] = []

    async def attempt(positions: "np.ndarray[tuple[int], np.dtype[np.int64]]") -> None:
        try:
            async with connection.transaction():
                await copy_rows(connection, table, rows.take(positions))
        except asyncpg.PostgresError as error:
            if not is_row_error(error):
                raise
            if len(positions) == 1:
                refused.append(Refused(int(positions[0]), f"{error.sqlstate}: {error}"))
                return
            middle = len(positions) // 2
            await attempt(positions[:middle])
            await attempt(positions[middle:])

    await attempt(np.arange(rows.data.num_rows))
    return refused
