"""Migrations: forward, back and forward again are exact, safe side by side, and frozen once applied."""

import hashlib
import secrets
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from tempfile import TemporaryDirectory

import psycopg
import pytest
import sqlalchemy as sa

import sinks.migrations
from schemas.errors import Permanent, Temporary
from sinks.migrate import migrate, plan
from sinks.scratch import scratch_database
from tests.contract.catalog import describe
from tests.contract.conftest import Storage

_SQL = Path(sinks.migrations.__file__).parent / "sql"
_FROZEN = Path(__file__).with_name("migrations.sha256")


def test_each_step_back_undoes_its_step_forward_and_upgraded_is_fresh(empty: Storage) -> None:
    """Every version looks the same on the way up, on the way down and after one leap up."""
    versions = [step.revision for step in plan(empty.dsn).steps]
    # Rolling back leaves the extension: what else is in the database may live on it.
    migrate(empty.dsn, to=versions[0])
    migrate(empty.dsn, rollback=1)
    schemas = {"0": describe(empty.dsn)}
    for version in versions:
        migrate(empty.dsn, to=version)
        schemas[version] = describe(empty.dsn)
    assert len({tuple(lines) for lines in schemas.values()}) == len(versions) + 1, (
        "a migration changed nothing"
    )

    for below in reversed(["0", *versions[:-1]]):
        migrate(empty.dsn, rollback=1)
        assert describe(empty.dsn) == schemas[below], f"rolling back to {below} is not exact"

    migrate(empty.dsn)
    assert describe(empty.dsn) == schemas[versions[-1]]


def test_storage_mode_is_what_the_server_offers_and_is_recorded(empty: Storage) -> None:
    """The mode comes from the server the first time and from the database ever after."""
    assert plan(empty.dsn).storage == empty.mode
    assert migrate(empty.dsn).storage == empty.mode
    assert _one(empty.dsn, "SELECT mode FROM storage") == empty.mode

    # A server may gain the extension later; a database that began as plain PostgreSQL stays one.
    other = "postgresql" if empty.mode == "timescaledb" else "timescaledb"
    with psycopg.connect(empty.dsn, autocommit=True) as connection:
        connection.execute("UPDATE storage SET mode = %s", (other,))
    assert plan(empty.dsn).storage == other


def test_storage_mode_can_be_chosen_while_the_database_is_empty(empty: Storage) -> None:
    """Plain PostgreSQL goes on any server; what the server lacks, or the database is not, is refused."""
    if empty.mode == "postgresql":
        with pytest.raises(Permanent, match="no TimescaleDB"):
            plan(empty.dsn, storage="timescaledb")
    assert migrate(empty.dsn, to="1", storage="postgresql").storage == "postgresql"
    assert plan(empty.dsn, storage="postgresql").storage == plan(empty.dsn).storage == "postgresql"
    with pytest.raises(Permanent, match="can't change to timescaledb"):
        migrate(empty.dsn, storage="timescaledb")


def test_plan_names_the_steps_and_changes_nothing(empty: Storage) -> None:
    """A plan lists every step with the SQL of the mode, and leaves an empty database empty."""
    before = describe(empty.dsn)
    planned = plan(empty.dsn)
    assert describe(empty.dsn) == before
    assert planned.current is None
    ids = [step.revision for step in planned.steps]
    assert ids == sorted(ids)
    assert {step.direction for step in planned.steps} == {"up"}
    names = {name for step in planned.steps for name, _ in step.scripts}
    assert f"0002_samples.up.{empty.mode}.sql" in names

    assert migrate(empty.dsn).steps == planned.steps
    again = plan(empty.dsn)
    assert (again.current, again.steps) == (ids[-1], ())


def test_plan_of_a_rollback_names_the_steps_back_and_changes_nothing(migrated: Storage) -> None:
    """Steps back are listed newest first, and the schema is untouched."""
    before = describe(migrated.dsn)
    current = plan(migrated.dsn).current
    assert current is not None
    steps = plan(migrated.dsn, rollback=2).steps
    assert [step.revision for step in steps] == [current, f"{int(current) - 1:04}"]
    assert {step.direction for step in steps} == {"down"}
    assert steps == plan(migrated.dsn, to=f"{int(current) - 2}").steps
    assert describe(migrated.dsn) == before


def test_bounds_of_to_and_rollback(migrated: Storage) -> None:
    """Versions that don't exist are refused by name; the ends of the chain are reachable."""
    current = plan(migrated.dsn).current
    assert current is not None
    with pytest.raises(Permanent, match=r"no version 9999.*0001"):
        migrate(migrated.dsn, to="9999")
    with pytest.raises(Permanent, match=f"only {int(current)} are applied"):
        migrate(migrated.dsn, rollback=int(current) + 1)
    assert plan(migrated.dsn).current == current
    assert migrate(migrated.dsn, to=current).steps == ()

    assert len(migrate(migrated.dsn, rollback=int(current)).steps) == int(current)
    assert plan(migrated.dsn).current is None
    with pytest.raises(Permanent, match="only 0 are applied"):
        migrate(migrated.dsn, rollback=1)
    assert migrate(migrated.dsn, to="0").steps == ()
    assert [step.revision for step in migrate(migrated.dsn, to="1").steps] == ["0001"]


def test_database_of_a_newer_headrace_is_left_alone(migrated: Storage) -> None:
    """A version that this code does not know stops migrate before it touches anything."""
    with psycopg.connect(migrated.dsn, autocommit=True) as connection:
        connection.execute("UPDATE schema_version SET version_num = '9999'")
    before = describe(migrated.dsn)
    for attempt in (plan, migrate):
        with pytest.raises(Permanent, match="Upgrade headrace"):
            attempt(migrated.dsn)
    assert describe(migrated.dsn) == before


def test_migrates_at_the_same_time_make_one_schema(empty: Storage) -> None:
    """Of several that start together one does the work, and the others find it done."""
    with ThreadPoolExecutor(3) as threads:
        plans = list(threads.map(migrate, [empty.dsn] * 3))
    assert sorted(bool(done.steps) for done in plans) == [False, False, True]
    assert plan(empty.dsn).steps == ()


def test_unreachable_database_is_a_temporary_error() -> None:
    """Nobody listens there: try again later, with the reason in the message."""
    with pytest.raises(Temporary, match="can't be used"):
        plan("postgresql://postgres@127.0.0.1:1/postgres")


def test_extension_that_the_server_does_not_load_is_a_persons_to_mend(postgres: str) -> None:
    """It is loaded at the start or never, and says so; here a stand-in does, with the same words."""
    refusal = """DO $$ BEGIN RAISE 'extension "timescaledb" must be preloaded'; END $$"""
    with scratch_database(postgres) as dsn, TemporaryDirectory() as path:
        extensions = Path(path) / "extension"
        extensions.mkdir()
        (extensions / "timescaledb.control").write_text("default_version = '1'")
        (extensions / "timescaledb--1.sql").write_text(refusal)
        Path(path).chmod(0o755)  # the server may run as another user
        options = {"options": f"-c extension_control_path={path}"}
        url = sa.make_url(dsn).update_query_dict(options)
        unloaded = url.render_as_string(hide_password=False)
        with pytest.raises(Permanent, match=r"shared_preload_libraries.*--storage postgresql"):
            migrate(unloaded)
        assert migrate(unloaded, to="1", storage="postgresql").storage == "postgresql"


def test_login_that_may_not_migrate_is_told_what_it_lacks(postgres: str) -> None:
    """A person has to grant it: no traceback, and nothing is changed."""
    login = f"low_{secrets.token_hex(4)}"
    with scratch_database(postgres) as dsn, psycopg.connect(dsn, autocommit=True) as owner:
        owner.execute(f"CREATE ROLE {login} LOGIN PASSWORD 'low'")
        try:
            low = sa.make_url(dsn).set(username=login, password="low")
            with pytest.raises(Permanent, match=r"permission denied.*create roles"):
                migrate(low.render_as_string(hide_password=False))
        finally:
            owner.execute(f"DROP ROLE {login}")


def test_applied_migrations_never_change() -> None:
    """Each SQL file has the digest it was released with; `sha256sum --check` reads the list too."""
    frozen = dict(line.split()[::-1] for line in _FROZEN.read_text(encoding="utf-8").splitlines())
    found = {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in _SQL.iterdir()}
    changed = sorted(name for name in frozen if found.get(name) != frozen[name])
    assert not changed, (
        f"{', '.join(changed)} changed or went away, but databases exist that ran the old text: they "
        "would differ from fresh ones for ever. Put the file back and write the next migration "
        "(sinks/migrations/sql/NNNN_name.{up,down}.sql and versions/NNNN_name.py) that makes the change."
    )
    new = sorted(found.keys() - frozen.keys())
    assert not new, (
        f"{', '.join(new)} is not frozen yet. When its text is final, add it: "
        "(cd sinks/migrations/sql && sha256sum *.sql) > tests/contract/migrations.sha256"
    )


def _one(dsn: str, query: str) -> object:
    with psycopg.connect(dsn) as connection:
        row = connection.execute(query.encode()).fetchone()
    return row[0] if row else None
