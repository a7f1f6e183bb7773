"""B10 in SQL: what a session of headrace_reader or headrace_writer gets to see of another tenant."""

from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from uuid import UUID

import pytest

from schemas.named_queries import load
from tests.leaks.attacks import FOR_EDITORS, attempt, read_all, relations, tenant_views
from tests.leaks.databases import MODES, migrated_database
from tests.leaks.planted import INTRUDER, VICTIM, Belongings, belongings, marks_in, plant
from tests.leaks.sessions import Connection, become, session_as
from tests.leaks.storage import settle
from tests.sites import Site, serving


@dataclass(frozen=True)
class Scene:
    """Both tenants' data, and a reader's session in the intruder's tenant."""

    dsn: str
    site: Site
    victim: Belongings
    intruder: Belongings
    session: Connection

    def marks(self, text: str) -> list[str]:
        """The victim's marks in a text. A run's id is none here: it names a partition, for all to read."""
        hidden = (str(self.victim.tenant_id), self.victim.key_id)
        return marks_in(text, *hidden)


@pytest.fixture(params=MODES)
def dsn(request: pytest.FixtureRequest) -> Iterator[str]:
    """A migrated database of the test's own, in each storage mode."""
    with migrated_database(request) as dsn:
        yield dsn


@pytest.fixture
async def scene(dsn: str) -> AsyncIterator[Scene]:
    async with serving(dsn) as site:
        victim, intruder = belongings(site, VICTIM), belongings(site, INTRUDER)
        await plant(site, victim)
        await plant(site, intruder)
        await settle(dsn)
        async with session_as(dsn, "headrace_reader") as session:
            await become(session, intruder.tenant_id)
            yield Scene(dsn, site, victim, intruder, session)


async def test_every_relation_is_refused_or_shows_the_own_tenant(scene: Scene) -> None:
    """Tables, rollups, chunks, compressed chunks, partitions, sequences: by construction, all there are."""
    found = await relations(scene.site.admin)
    own = [one for one in found if not one.system]
    views = await tenant_views(scene.site.admin)
    assert any("chunk" in one.name or "samples_2026" in one.name for one in own), "nothing below"

    seen = await read_all(scene.session, [one.name for one in own])
    open_to_all = {one.name for one in own if not seen[one.name].refused and not one.extension}
    assert open_to_all == {*views, "storage"}
    for name, sight in seen.items():
        assert not scene.marks(sight.text), name
    for view in views:
        assert seen[view].rows, f"{view} is empty for its own tenant: plant something there"

    # The same look finds the marks where they may be found: it can fail.
    await become(scene.session, scene.victim.tenant_id)
    for view, sight in (await read_all(scene.session, views)).items():
        assert sight.rows, view
        assert scene.marks(sight.text) or view == "limits_tenant", view


async def test_an_editor_reads_what_it_changes_and_nothing_else(scene: Scene) -> None:
    """The role that changes a tenant's settings for the API has no right on any table, nor on samples."""
    own = [one for one in await relations(scene.site.admin) if not one.system]
    async with session_as(scene.dsn, "headrace_editor") as session:
        await become(session, scene.intruder.tenant_id)
        seen = await read_all(session, [one.name for one in own])
    readable = {one.name for one in own if not seen[one.name].refused and not one.extension}
    assert readable == {
        "definitions_tenant", "baselines_tenant", "rules_tenant", "alerts_tenant", "silences_tenant",
        "playbooks_tenant", "remediation_pauses_tenant", FOR_EDITORS,
    }  # fmt: skip
    for name, sight in seen.items():
        assert not scene.marks(sight.text), name


async def test_the_servers_own_catalogs_show_no_value(scene: Scene) -> None:
    """Statistics, activity, definitions, settings: whatever the server lets everybody read."""
    await scene.site.admin.execute("ANALYZE")
    found = [one.name for one in await relations(scene.site.admin) if one.system]
    seen = await read_all(scene.session, found)
    assert seen["pg_class"].rows
    for name, sight in seen.items():
        assert not scene.marks(sight.text), name


@pytest.mark.parametrize("tenant", [None, "", " ", "nonsense", "'; --", "NULL", str(UUID(int=7))])
async def test_without_a_tenant_there_is_no_row(scene: Scene, tenant: str | None) -> None:
    """Unset, empty, malformed or unknown: each view is empty, and none fails."""
    views = await tenant_views(scene.site.admin)
    if tenant is None:
        await scene.session.execute("RESET app.tenant_id")
    else:
        await become(scene.session, tenant)
    for view, sight in (await read_all(scene.session, views)).items():
        assert (sight.rows, sight.failed, sight.refused) == (0, False, False), view


async def test_no_role_is_reached_from_the_readers(scene: Scene) -> None:
    """Neither by SET ROLE nor by a login, a grant, a function or an object of one's own."""
    superuser = await scene.site.admin.fetchval("SELECT current_user")
    for role in ("headrace_writer", "headrace_editor", "headrace_owner", superuser):
        assert (await attempt(scene.session, f"SET ROLE {role}")).refused
        grant = await attempt(scene.session, f"GRANT {role} TO headrace_reader")
        assert grant.refused or grant.failed
    for statement in (
        f"SET SESSION AUTHORIZATION {superuser}",
        "CREATE TABLE public.mine (x int)",
        "CREATE FUNCTION public.mine() RETURNS int LANGUAGE sql AS 'SELECT 1'",
        "CREATE SCHEMA mine",
        "CREATE EXTENSION dblink",
        "ALTER TABLE samples ENABLE ROW LEVEL SECURITY",
        "ALTER VIEW samples_tenant RESET (security_barrier)",
        "CREATE OR REPLACE VIEW samples_tenant AS SELECT 1 AS one",
        "GRANT SELECT ON samples TO headrace_reader",
        "SELECT pg_read_file('PG_VERSION')",
        "COPY samples TO STDOUT",
        "COPY (SELECT * FROM samples) TO PROGRAM 'cat'",
        "SELECT currtid2('samples', '(0,1)')",
        "SELECT count(*) FROM pg_statistic",
        "SELECT count(*) FROM pg_authid",
        "SELECT nextval('series_series_id_seq')",
        "SELECT setval('series_series_id_seq', 1)",
        "LOCK TABLE samples IN ACCESS SHARE MODE",
        "TRUNCATE samples",
        "VACUUM samples",
    ):
        sight = await attempt(scene.session, statement)
        assert sight.refused or "cannot run inside a transaction" in sight.text, (
            statement,
            sight.text,
        )
    views = await tenant_views(scene.site.admin)
    for view, columns in views.items():
        for statement in (
            f"DELETE FROM {view}",  # noqa: S608 - of the catalog
            f"UPDATE {view} SET {columns[0]} = NULL",  # noqa: S608 - of the catalog
            f"INSERT INTO {view} DEFAULT VALUES",
        ):
            sight = await attempt(scene.session, statement)
            assert sight.refused or sight.failed, statement


async def test_functions_of_the_owner_are_few_and_can_not_be_misled(scene: Scene) -> None:
    """The reader may call these; each function that acts with the owner's rights looks in pg_temp last.

    A session can put a type named text into pg_temp, with a check that calls a function of its own.
    """
    functions = await scene.site.admin.fetch(
        "SELECT p.proname AS name, p.prosecdef AS definer, coalesce(p.proconfig::text, '') AS config, "
        "has_function_privilege('headrace_reader', p.oid, 'EXECUTE') AS callable "
        "FROM pg_proc p WHERE pronamespace = 'public'::regnamespace "
        "AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.objid = p.oid AND d.deptype = 'e')"
    )
    assert {row["name"] for row in functions if row["callable"] and row["definer"]} == {
        "find_key",
        "data_version",
        "hour_states",
        "latest_samples",
        "metric_plan",
        "rollup_until",
    }
    for row in functions:
        if row["definer"]:
            assert 'pg_temp"' in row["config"], row["name"]


async def test_a_leaky_function_meets_the_own_rows_only(scene: Scene) -> None:
    """In each column of each view, cheaper than the view's own condition, and with no index to help."""
    session = scene.session
    for option in ("indexscan", "bitmapscan", "indexonlyscan", "hashjoin", "mergejoin"):
        await session.execute(f"SET enable_{option} = off")
    await session.execute(
        "CREATE FUNCTION pg_temp.leak(x text) RETURNS bool LANGUAGE plpgsql COST 0.0001 AS "
        "$$ BEGIN RAISE NOTICE 'heard %', x; RETURN true; END $$"
    )
    views = await tenant_views(scene.site.admin)
    for view, columns in views.items():
        for column in columns:
            sight = await attempt(
                session,
                f"SELECT count(*) FROM {view} WHERE pg_temp.leak({column}::text)",  # noqa: S608 - of the catalog
            )
            assert not scene.marks(sight.text), (view, column)
        assert "heard" in sight.text, view

    # Without the barrier it hears them: this test can fail.
    await scene.site.admin.execute("ALTER VIEW series_tenant RESET (security_barrier)")
    sight = await attempt(session, "SELECT count(*) FROM series_tenant WHERE pg_temp.leak(name)")
    assert scene.marks(sight.text)


async def test_errors_and_shortcuts_tell_nothing(scene: Scene) -> None:
    """A cast, a division or an exhausted limit that would fail on another's row does not."""
    secret = scene.victim
    for statement in (
        "SELECT * FROM series_tenant WHERE (labels->>'host')::int > 0",
        "SELECT * FROM series_tenant WHERE name::int > 0",
        "SELECT * FROM samples_tenant WHERE v_text::int > 0",
        "SELECT * FROM definitions_tenant WHERE description::inet IS NOT NULL",
        "SELECT * FROM label_values_tenant WHERE value::date > now()",
        "SELECT * FROM rejections_tenant WHERE last_name::numeric > 0",
        "SELECT * FROM runs_tenant WHERE test::jsonb IS NOT NULL",
    ):
        sight = await attempt(scene.session, statement)
        assert sight.failed, statement
        assert not scene.marks(sight.text), statement
    for statement in (
        f"SELECT 1 / (CASE WHEN v_text = '{secret.word}-text' THEN 0 ELSE 1 END) FROM samples_tenant",  # noqa: S608 - ours
        f"SELECT 1 / (v_num - {secret.number}) FROM samples_tenant WHERE v_num > 2e6",  # noqa: S608 - ours
        f"SELECT 1 / (v_avg - {secret.number}) FROM samples_1h_tenant WHERE v_avg > 2e6",  # noqa: S608 - ours
        "SELECT sqrt(1e6 - v_num) FROM samples_tenant WHERE v_num > 2e6",
        f"SELECT 1 FROM samples_tenant s JOIN (VALUES ('{secret.word}-text')) w (t) ON s.v_text = w.t",  # noqa: S608 - ours
        f"SELECT 1 FROM series_tenant WHERE name ^@ '{secret.word}' OR labels ? '{secret.word}_key'",  # noqa: S608 - ours
    ):
        sight = await attempt(scene.session, statement)
        if "CASE" in statement:
            assert (sight.failed, sight.rows > 0) == (False, True), (statement, sight.text)
        else:
            assert (sight.failed, sight.rows) == (False, 0), (statement, sight.text)
    for column in ("ctid", "tableoid", "xmin"):
        for view in await tenant_views(scene.site.admin):
            sight = await attempt(scene.session, f"SELECT {column} FROM {view}")  # noqa: S608 - of the catalog
            assert sight.failed, (view, column)


async def test_joins_count_the_own_rows(scene: Scene) -> None:
    """However large: each side is behind its barrier."""
    own = await scene.session.fetchval("SELECT count(*) FROM series_tenant")
    assert own == 5
    assert (
        await scene.session.fetchval(
            "SELECT count(*) FROM series_tenant a, series_tenant b, series_tenant c, series_tenant d"
        )
        == own**4
    )
    assert (
        await scene.session.fetchval(
            "SELECT count(*) FROM samples_tenant s RIGHT JOIN series_tenant r USING (series_id, name)"
        )
        == own * 160
    )
    low, high = await scene.site.admin.fetchrow("SELECT min(series_id), max(series_id) FROM series")
    for view in ("samples", "samples_1m", "samples_5m", "samples_1h", "sketches_1h"):
        sight = await attempt(
            scene.session,
            f"SELECT v.* FROM generate_series($1::bigint, $2::bigint) g JOIN {view}_tenant v ON v.series_id = g",  # noqa: S608 - literals
            low,
            high,
        )
        assert sight.rows
        assert not scene.marks(sight.text), view


async def test_a_prepared_plan_belongs_to_no_tenant(scene: Scene) -> None:
    """A generic plan made for one tenant shows the next one its own rows."""
    await scene.session.execute("SET plan_cache_mode = force_generic_plan")
    statement = await scene.session.prepare("SELECT name FROM series_tenant")
    await become(scene.session, scene.victim.tenant_id)
    assert scene.marks(repr(await statement.fetch()))
    await become(scene.session, scene.intruder.tenant_id)
    assert not scene.marks(repr(await statement.fetch()))
    await become(scene.session, None)
    assert await statement.fetch() == []


async def test_explain_shows_no_value(scene: Scene) -> None:
    """Plans name tables and counts, not what is in them; values come only with the right to read."""
    for view in await tenant_views(scene.site.admin):
        sight = await attempt(
            scene.session,
            f"EXPLAIN (ANALYZE, VERBOSE, BUFFERS, SETTINGS) SELECT * FROM {view}",  # noqa: S608 - of the catalog
        )
        assert sight.rows, view
        assert not scene.marks(sight.text), view


async def test_an_editor_takes_nothing_of_another(scene: Scene) -> None:
    """Definitions and keys through their views: another tenant's are neither met, made nor taken."""
    key = await scene.site.admin.fetchval(
        "SELECT encode(key_hash, 'hex') FROM api_keys WHERE tenant_id = $1 LIMIT 1",
        scene.victim.tenant_id,
    )
    async with session_as(scene.dsn, "headrace_editor") as session:
        await become(session, scene.intruder.tenant_id)
        for name, text in load("tests.leaks", "thefts.sql").items():
            statement = (
                text.replace(":victim", f"'{scene.victim.tenant_id}'")
                .replace(":intruder", f"'{scene.intruder.tenant_id}'")
                .replace(":hash", f"decode('{key}', 'hex')")
                .replace(":execution", f"'{scene.victim.execution_id}'")
                .replace(":alert", f"'{scene.victim.alert_id}'")
                .replace(":silence", f"'{scene.victim.silence_id}'")
            )
            sight = await attempt(session, statement)
            assert sight.rows == 0, name
            assert not marks_in(sight.text), name
        # What is one's own can be changed: the refusals are not for want of any right.
        for statement in (
            "UPDATE definitions_tenant SET unit = 'x' RETURNING name",
            "UPDATE api_keys_tenant SET revoked_at = now() RETURNING 1",
            "UPDATE baselines_tenant SET set_at = now(), execution_id = execution_id RETURNING name",
            "DELETE FROM baselines_tenant RETURNING name",
            "UPDATE alerts_tenant SET acknowledged_at = now() RETURNING alert_id",
            "UPDATE silences_tenant SET expires_at = now() RETURNING silence_id",
            "DELETE FROM playbooks_tenant RETURNING name",
            "DELETE FROM remediation_pauses_tenant RETURNING 1",
        ):
            assert (await attempt(session, statement)).rows, statement
