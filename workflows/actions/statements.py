"""Runs a statement of the operator's list, with parameters that are bound and never part of its text."""

import asyncio
import json
from collections.abc import Sequence

import asyncpg

from schemas.errors import Invalid, Temporary
from sinks.outages import OUTAGE, classify

_SHOWN = 20
"""Rows of its answer."""


async def run_statement(dsn: str, sql: str, values: Sequence[str], seconds: float) -> str:
    """Run it; return its tag and the first rows of its answer, as JSON.

    Raises Invalid for what the database refuses, Temporary when it is away or takes too long. Neither
    tells the DSN.
    """
    try:
        async with asyncio.timeout(seconds + 1):
            connection = await asyncpg.connect(
                dsn,
                server_settings={
                    "application_name": "headrace remediation",
                    "statement_timeout": str(max(1, round(seconds * 1000))),
                },
            )
            try:
                statement = await connection.prepare(sql)
                rows = await statement.fetch(*values)
                told = [statement.get_statusmsg()]
            finally:
                connection.terminate()
    except (ValueError, asyncpg.InterfaceError, asyncpg.DataError) as error:
        raise Invalid("bad_statement", f"The statement can't be run: {error}") from error
    except asyncpg.QueryCanceledError as error:
        raise Temporary(f"The statement was stopped after {seconds:g} s.") from error
    except OUTAGE as error:
        found = classify(error)
        if isinstance(found, Temporary):
            raise found from error
        raise Invalid("bad_statement", f"The database refuses the statement: {error}") from error
    told += [json.dumps(dict(row), default=str, ensure_ascii=False) for row in rows[:_SHOWN]]
    return "\n".join(told)
