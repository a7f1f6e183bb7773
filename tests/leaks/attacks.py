"""What a session tries, and everything that it gets to see: rows, messages and errors, as one text."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import asyncpg

from tests.leaks.sessions import Connection


@dataclass(frozen=True)
class Sight:
    """What came of a statement."""

    refused: bool
    """For want of a right."""
    failed: bool
    """For another reason."""
    rows: int
    text: str
    """Rows, the error and the notices, for marks to be looked for."""


async def attempt(session: Connection, statement: str, *arguments: object) -> Sight:
    """Run a statement in a transaction that is rolled back."""
    heard: list[str] = []

    def hear(_: object, message: Any) -> None:
        heard.append(str(message))

    session.add_log_listener(hear)
    transaction = session.transaction()
    await transaction.start()
    try:
        rows = await session.fetch(statement, *arguments)
    except asyncpg.InsufficientPrivilegeError as error:
        return Sight(refused=True, failed=False, rows=0, text=_told(error))
    except (asyncpg.PostgresError, asyncpg.InternalClientError) as error:
        return Sight(refused=False, failed=True, rows=0, text="\n".join([_told(error), *heard]))
    else:
        text = "\n".join([*(repr(tuple(row)) for row in rows), *heard])
        return Sight(refused=False, failed=False, rows=len(rows), text=text)
    finally:
        await transaction.rollback()
        session.remove_log_listener(hear)


def _told(error: Exception) -> str:
    parts = (getattr(error, name, None) for name in ("message", "detail", "hint", "context"))
    return "\n".join(str(part) for part in (error, *parts) if part)


_RELATIONS = """
SELECT c.oid::regclass::text AS name, c.relkind::text AS kind, n.nspname AS schema,
       EXISTS (SELECT FROM pg_depend d WHERE d.objid = c.oid AND d.deptype = 'e') AS extension
FROM pg_class c
JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f', 'S', 't') AND n.nspname !~ '^pg_(toast_)?temp_'
ORDER BY 1
"""


@dataclass(frozen=True)
class Relation:
    """A table, view, sequence, chunk, partition … of the database."""

    name: str
    kind: str
    schema: str
    extension: bool

    @property
    def system(self) -> bool:
        """Whether the server brings it."""
        return self.schema in {"pg_catalog", "information_schema"}


async def relations(admin: Any) -> list[Relation]:
    """Every relation of the database, the server's own included."""
    return [Relation(**row) for row in await admin.fetch(_RELATIONS)]


FOR_EDITORS = "api_keys_tenant"
"""The one view that readers may not read: it shows hashes of keys."""


async def tenant_views(admin: Any) -> dict[str, list[str]]:
    """The views for readers in a tenant, each with its columns."""
    rows = await admin.fetch(
        "SELECT table_name, array_agg(column_name::text) AS columns FROM information_schema.columns "
        "WHERE table_schema = 'public' AND table_name LIKE '%\\_tenant' AND table_name <> $1 "
        "GROUP BY 1 ORDER BY 1",
        FOR_EDITORS,
    )
    return {row["table_name"]: row["columns"] for row in rows}


async def read_all(session: Connection, names: Iterable[str]) -> dict[str, Sight]:
    """What the session sees of each relation. As text: not every type of the server has a codec."""
    return {
        name: await attempt(session, f"SELECT row(one.*)::text FROM {name} AS one")  # noqa: S608 - of the catalog
        for name in names
    }
