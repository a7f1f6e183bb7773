"""Brings a database to a schema version, forward or back, in the storage mode that it finds.

Alembic keeps the order and the version table; the revisions are SQL (`sinks/migrations/sql`).
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import psycopg
import sqlalchemy as sa
from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory

from schemas.errors import HeadraceError, Permanent, Temporary
from sinks.migrations.scripts import files

StorageMode = Literal["timescaledb", "postgresql"]

_LOCK = 0x68656164  # advisory lock: two `migrate` at once must not interleave


@dataclass(frozen=True)
class Step:
    """One revision to apply or take back, with the SQL files it runs."""

    revision: str
    name: str
    direction: Literal["up", "down"]
    scripts: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Plan:
    """What `apply` would do: storage mode, version now and the steps, in order."""

    storage: StorageMode
    current: str | None
    steps: tuple[Step, ...]


def plan(
    dsn: str, *, to: str | None = None, rollback: int = 0, storage: StorageMode | None = None
) -> Plan:
    """Find the steps from the database's version to `to` (default: newest), or `rollback` steps back.

    `storage` is the mode of a database that has none yet (default: what the server offers). Changes
    nothing. Raises Temporary when the database can't be reached, and Permanent for an unknown version, a
    rollback past the first one, a mode that can't be had, and what the login may not do.
    """
    with _connect(dsn) as connection:
        return _plan(connection, to, rollback, storage)


def migrate(
    dsn: str, *, to: str | None = None, rollback: int = 0, storage: StorageMode | None = None
) -> Plan:
    """Carry out what `plan` finds, each revision in a transaction of its own, and return it."""
    with _connect(dsn) as connection:
        connection.execute(sa.select(sa.func.pg_advisory_lock(_LOCK)))
        try:
            found = _plan(connection, to, rollback, storage)
            connection.commit()
            if found.steps:
                config = _config()
                config.attributes["connection"] = connection
                config.attributes["storage"] = found.storage
                if found.steps[0].direction == "up":
                    command.upgrade(config, found.steps[-1].revision)
                else:
                    command.downgrade(config, f"-{len(found.steps)}")
                connection.commit()
        finally:
            connection.rollback()
            connection.execute(sa.select(sa.func.pg_advisory_unlock(_LOCK)))
            connection.commit()
        return found


def _plan(
    connection: sa.Connection, to: str | None, rollback: int, storage: StorageMode | None
) -> Plan:
    scripts = ScriptDirectory.from_config(_config())
    # Oldest first; the chain is linear by construction.
    chain = [(s.revision, Path(s.path).stem) for s in scripts.walk_revisions()][::-1]
    ids = [revision for revision, _ in chain]
    context = MigrationContext.configure(connection, opts={"version_table": "schema_version"})
    current = context.get_current_revision()
    mode = _mode(connection, storage)
    at = ids.index(current) + 1 if current in ids else 0
    if current is not None and current not in ids:
        raise Permanent(
            f"The database is at version {current}, which this headrace does not know: it is newer. "
            "Upgrade headrace."
        )
    if rollback > at:
        raise Permanent(f"Can't roll back {rollback} versions: only {at} are applied.")
    target = at - rollback if rollback else len(ids) if to is None else _position(ids, to)
    chosen = chain[at:target] if target > at else chain[target:at][::-1]
    direction: Literal["up", "down"] = "up" if target > at else "down"
    return Plan(
        mode,
        current,
        tuple(Step(i, n, direction, tuple(files(n, direction, mode))) for i, n in chosen),
    )


def _position(ids: list[str], to: str) -> int:
    if to in {"0", "0000"}:
        return 0
    wanted = to.zfill(4)
    if wanted not in ids:
        raise Permanent(f"There is no version {to}. Known: 0 (empty), {', '.join(ids)}.")
    return ids.index(wanted) + 1


def _mode(connection: sa.Connection, wanted: StorageMode | None) -> StorageMode:
    """The recorded mode, or when none is recorded yet the wanted one, or what the server offers."""
    if connection.scalar(sa.text("SELECT to_regclass('storage')")) is not None:
        recorded: StorageMode | None = connection.scalar(sa.text("SELECT mode FROM storage"))
        if recorded and wanted not in {None, recorded}:
            raise Permanent(
                f"This database has been in the storage mode {recorded} since it was first migrated, and "
                f"can't change to {wanted}. To move to a new database: deploy/docs/upgrade.md."
            )
        if recorded:
            return recorded
    if wanted == "postgresql":
        return wanted
    offered = _offered(connection)
    if wanted not in {None, offered}:
        raise Permanent(
            "This server has no TimescaleDB, or an Apache-licensed build of it: install the community "
            "edition, or leave --storage out."
        )
    return offered


def _offered(connection: sa.Connection) -> StorageMode:
    """What the server has.

    An Apache-licensed build of the extension has neither compression nor continuous aggregates:
    such a database is treated as plain PostgreSQL.
    """
    available = connection.scalar(
        sa.text("SELECT count(*) FROM pg_available_extensions WHERE name = 'timescaledb'")
    )
    if not available:
        return "postgresql"
    # The licence can't be asked otherwise. `migrate` commits this, `plan` leaves no trace of it.
    connection.execute(sa.text("CREATE EXTENSION IF NOT EXISTS timescaledb"))
    licence = connection.scalar(sa.text("SELECT current_setting('timescaledb.license', true)"))
    return "timescaledb" if licence == "timescale" else "postgresql"


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", "sinks:migrations")
    config.set_main_option("path_separator", "os")
    return config


@contextmanager
def _connect(dsn: str) -> Iterator[sa.Connection]:
    url = sa.make_url(dsn).set(drivername="postgresql+psycopg")
    engine = sa.create_engine(url, poolclass=sa.NullPool, connect_args={"connect_timeout": 10})
    try:
        with engine.connect() as connection:
            yield connection
    except (sa.exc.DBAPIError, psycopg.Error) as error:
        if (ours := _spoken(error)) is None:
            raise
        raise ours from error
    finally:
        engine.dispose()


def _spoken(error: sa.exc.DBAPIError | psycopg.Error) -> HeadraceError | None:
    """What the database says, as an error of ours; None when it is a bug."""
    cause = error.orig if isinstance(error, sa.exc.DBAPIError) else error
    said = str(cause).partition("\n")[0]
    if "must be preloaded" in said:
        return Permanent(
            "This server has TimescaleDB but doesn't load it: add timescaledb to its "
            "shared_preload_libraries and restart it, or take plain PostgreSQL for good: "
            "headrace migrate --storage postgresql."
        )
    if isinstance(cause, psycopg.errors.InsufficientPrivilege):
        return Permanent(
            f"This login may not do what migrating takes: {said}. It needs to own the database, to be "
            "allowed to create roles, and to be a member of headrace_owner where that is there already: "
            "deploy/docs/upgrade.md."
        )
    if isinstance(cause, psycopg.OperationalError):
        return Temporary(f"The database can't be used: {cause}")
    return None
