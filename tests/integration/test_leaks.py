"""B10 over HTTP: whatever a tenant asks, of whatever route, it hears nothing of another tenant.

Both tenants have the same names, labels and times. By construction: every operation of the OpenAPI
document, in every form that it offers, with every parameter that it declares.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import httpx
import pytest
from prometheus_client import CollectorRegistry

from query.api import create_api
from sinks.keys import DatabaseKeyring, Tenants
from tests.leaks.asking import Heard, ask, forms, hidden, operations, parameters
from tests.leaks.attacks import FOR_EDITORS, tenant_views
from tests.leaks.databases import MODES, migrated_database
from tests.leaks.planted import INTRUDER, VICTIM, Belongings, belongings, marks_in, plant
from tests.leaks.routes import CHANGES, PUBLIC, READS, Ask, Operation
from tests.leaks.storage import settle
from tests.sites import Site, serving

_PRIVATE = {**READS, **CHANGES}


@dataclass(frozen=True)
class Scene:
    """The API over a database in which the intruder's things are, and the victim's not yet."""

    dsn: str
    site: Site
    victim: Belongings
    intruder: Belongings

    documents: dict[Operation, dict[str, Any]]
    """The operations of the API, as its document describes them."""

    async def ask(
        self, own: Belongings, operation: Operation, request: Ask, accept: str = "*/*"
    ) -> Heard:
        """Ask with a tenant's admin key."""
        return await ask(self.site.client, own.admin_key, operation, request, accept)

    def marks(self, text: str) -> list[str]:
        """The victim's marks in an answer."""
        victim = self.victim
        return marks_in(text, str(victim.tenant_id), str(victim.execution_id), victim.key_id)

    async def arrive(self) -> None:
        """The victim's things come to be."""
        await plant(self.site, self.victim)
        await settle(self.dsn)


@pytest.fixture(params=MODES)
def dsn(request: pytest.FixtureRequest) -> Iterator[str]:
    """A migrated database of the test's own, in each storage mode."""
    with migrated_database(request) as dsn:
        yield dsn


@pytest.fixture
async def scene(dsn: str) -> AsyncIterator[Scene]:
    async with serving(dsn) as site:
        documents = operations((await site.client.get("/openapi.json")).json())
        scene = Scene(dsn, site, belongings(site, VICTIM), belongings(site, INTRUDER), documents)
        await plant(site, scene.intruder)
        await settle(dsn)
        yield scene


async def test_every_route_is_in_this_suite(scene: Scene) -> None:
    """A new route without an entry fails here, and so does an entry without a route."""
    missing = scene.documents.keys() - _PRIVATE.keys() - PUBLIC.keys()
    assert not missing, (
        f"{sorted(missing)} have no entry in tests/leaks/routes.py. Add each to READS (or CHANGES, when "
        "asking changes something): a function from a tenant's belongings to the requests that reach it."
    )
    gone = (_PRIVATE.keys() | PUBLIC.keys()) - scene.documents.keys()
    assert not gone, f"{sorted(gone)} are in tests/leaks/routes.py, but not in the document."
    api = create_api(
        DatabaseKeyring(scene.site.reader), scene.site.database, registry=CollectorRegistry()
    )
    assert hidden(api.routes) <= {
        "/openapi.json",
        "/docs",
        "/docs/oauth2-redirect",
        "/static-offline-docs",
    }


async def test_every_route_wants_a_key_of_the_right_scope(scene: Scene) -> None:
    """Without a key 401, with one that may only send 403, and 403 to a reader who would change something."""
    sender = await Tenants(scene.site.admin).create_key(INTRUDER, ["ingest"])
    for operation, asks in _PRIVATE.items():
        for request in asks(scene.intruder):
            for key, status in (("", 401), ("hr_unknown", 401), (sender, 403)):
                heard = await ask(scene.site.client, key, operation, request)
                assert heard.status == status, (operation, request)
    reader = await Tenants(scene.site.admin).create_key(INTRUDER, ["read"])
    for operation, asks in CHANGES.items():
        for request in asks(scene.intruder):
            heard = await ask(scene.site.client, reader, operation, request)
            assert heard.status == 403, (operation, request)


async def test_what_another_has_changes_no_answer(scene: Scene) -> None:
    """Byte for byte, each answer is the same before the other tenant's things are there and after.

    Asked for are the own things and the other's, by name and id. ETags may differ: they count changes
    of all tenants.
    """

    async def answers() -> dict[object, tuple[int, str]]:
        return {
            (operation, whose.who, number, form): (heard.status, heard.text)
            for operation, asks in READS.items()
            for whose in (scene.intruder, scene.victim)
            for number, request in enumerate(asks(whose))
            for form in forms(scene.documents[operation])
            for heard in [await scene.ask(scene.intruder, operation, request, form)]
        }

    before = await answers()
    await scene.arrive()
    after = await answers()
    for key, answer in after.items():
        assert answer == before[key], key
        assert answer[0] < 500, key

    # The victim does see its marks, in each route: the requests ask for something.
    for operation, asks in READS.items():
        heard_own = [
            await scene.ask(scene.victim, operation, request) for request in asks(scene.victim)
        ]
        assert any(heard.status == 200 for heard in heard_own), operation
        assert any(scene.marks(heard.text) for heard in heard_own), operation


async def test_what_one_changes_is_ones_own(scene: Scene) -> None:
    """Each change, of the own things and of the other's, leaves all of the other's as it was."""
    await scene.arrive()
    admin = scene.site.admin
    views = [*await tenant_views(admin), FOR_EDITORS]

    async def state() -> Mapping[str, list[str]]:
        async with admin.acquire() as connection, connection.transaction():
            await connection.execute(
                "SELECT set_config('app.tenant_id', $1, true)", str(scene.victim.tenant_id)
            )
            return {
                view: [
                    row[0]
                    for row in await connection.fetch(
                        f"SELECT one::text FROM {view} AS one ORDER BY 1"  # noqa: S608 - of the catalog
                    )
                ]
                for view in views
            }

    before = await state()
    assert all(before.values())
    done: set[Operation] = set()
    for operation, asks in CHANGES.items():
        for whose in (scene.victim, scene.intruder):
            for request in asks(whose):
                heard = await scene.ask(scene.intruder, operation, request)
                said = [*request.path.values(), str(request.body)]
                text = heard.text
                for word in sorted({w for s in said for w in _words(s)}, key=len, reverse=True):
                    text = text.replace(word, "")
                assert not scene.marks(text), (operation, request)
                assert heard.status < 500, (operation, request, heard.text)
                if heard.status < 300:
                    done.add(operation)
    assert done == CHANGES.keys(), f"{CHANGES.keys() - done} never changed anything"
    assert await state() == before


def _words(text: str) -> Iterator[str]:
    for part in text.replace("'", '"').split('"'):
        if part:
            yield part


async def test_another_tenants_cursors_and_tags_are_worth_nothing(scene: Scene) -> None:
    """With the victim's cursor or ETag the intruder gets its own rows or an error, never a 304."""
    await scene.arrive()
    tags = cursors = 0
    for operation, asks in READS.items():
        names = {name for _, name in parameters(scene.documents[operation])}
        for request in asks(scene.victim):
            small = replace(
                request, query={**request.query, "limit": 1} if "limit" in names else request.query
            )
            own = await scene.ask(scene.victim, operation, small)
            if own.cursor:
                used = replace(small, query={**small.query, "cursor": own.cursor})
                heard = await scene.ask(scene.intruder, operation, used)
                assert heard.status in {200, 422}, operation
                assert "7712345" not in heard.text, operation
                cursors += 1
            if own.etag and operation[0] == "get":
                tagged = replace(small, headers={**small.headers, "If-None-Match": own.etag})
                heard = await scene.ask(scene.intruder, operation, tagged)
                assert heard.status != 304, operation
                tags += 1
                again = await scene.ask(scene.victim, operation, tagged)
                assert again.status == 304, operation
    assert (tags > 10, cursors > 3) == (True, True)


async def test_no_parameter_or_header_chooses_the_tenant(scene: Scene) -> None:
    """Injected into every parameter, added as one, sent as a header: the rows stay one's own."""
    await scene.arrive()
    victim = str(scene.victim.tenant_id)
    attacks = [
        victim,
        f"' OR tenant_id = '{victim}' --",
        f"x'; SELECT set_config('app.tenant_id', '{victim}', false); --",
        f"') OR true; SET app.tenant_id = '{victim}'; --",
        "%",
        "%%' --",
        ".*",
        "host=~.*",
        "host!=",
        "host:a' OR '1'='1",
        "$1",
        "{}",
        "\\",
    ]
    for operation, document in scene.documents.items():
        if operation not in READS:
            continue
        first = READS[operation](scene.intruder)[0]
        for where, name in parameters(document):
            for attack in attacks:
                request = _with(first, where, name, attack)
                heard = await scene.ask(scene.intruder, operation, request)
                assert heard.status < 500, (operation, name, attack, heard.text)
                assert not scene.marks(_without(heard.text, attack)), (operation, name, attack)
        own = await scene.ask(scene.intruder, operation, first)
        for name in ("tenant_id", "tenant", "app.tenant_id", "X-Tenant-ID", "role", "options"):
            heard = await scene.ask(scene.intruder, operation, _with(first, "query", name, victim))
            assert heard.status == 422 or heard.text == own.text, (operation, name)
            heard = await scene.ask(scene.intruder, operation, _with(first, "header", name, victim))
            assert (heard.status, heard.text) == (own.status, own.text), (operation, name)


def _with(request: Ask, where: str, name: str, value: str) -> Ask:
    """The request with another value of one parameter."""
    if where == "path":
        return replace(request, path={**request.path, name: value})
    if where == "query":
        return replace(request, query={**request.query, name: value})
    return replace(request, headers={**request.headers, name: value})


def _without(text: str, said: str) -> str:
    """The answer without what was said in the question, in the spellings that JSON has for it."""
    return text.replace(said, "").replace(said.replace("\\", "\\\\"), "")


async def test_a_used_connection_carries_nobody_along(scene: Scene) -> None:
    """After an answer, an error and a request that was cancelled in mid-query, on the one connection."""
    await scene.arrive()
    names: Operation = ("get", "/api/v1/metrics/names")
    own = await scene.ask(scene.intruder, names, Ask())

    await scene.ask(scene.victim, names, Ask())
    assert await scene.ask(scene.intruder, names, Ask()) == own

    bad = await scene.ask(scene.victim, names, Ask(query={"prefix": "\0"}))
    assert bad.status == 422
    assert await scene.ask(scene.intruder, names, Ask()) == own

    async with scene.site.admin.acquire() as connection:
        transaction = connection.transaction()
        await transaction.start()
        await connection.execute("LOCK TABLE series, metrics")
        waiting = asyncio.create_task(scene.ask(scene.victim, names, Ask()))
        while not await connection.fetchval("SELECT count(*) FROM pg_locks WHERE NOT granted"):  # noqa: ASYNC110 - there is no event of another session
            await asyncio.sleep(0.01)
        waiting.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await waiting
        await transaction.rollback()
    assert await scene.ask(scene.intruder, names, Ask()) == own


async def test_pages_for_everybody_show_nobody(scene: Scene) -> None:
    """Health, metrics and the documentation know no tenant, after everybody was served."""
    await scene.arrive()
    for operation, asks in READS.items():
        for request in asks(scene.victim):
            await scene.ask(scene.victim, operation, request)
    for path in ("/healthz", "/readyz", "/metrics", "/openapi.json", "/docs", "/nowhere"):
        answer: httpx.Response = await scene.site.client.get(path)
        assert answer.status_code in {200, 404}
        assert not scene.marks(f"{answer.headers}{answer.text}"), path
