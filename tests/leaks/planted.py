"""Plants two tenants that own the same names, labels and times; the first one's things bear marks."""

from dataclasses import dataclass
from datetime import timedelta
from uuid import UUID, uuid4

from schemas.keys import ID_DIGITS, PREFIX, key_hash
from schemas.named_queries import load
from schemas.transitions import alert_id
from tests.sites import NOW, Site, at, store_run

VICTIM, INTRUDER = "acme", "other"
"""Names of the tenants of a `Site`: the first one's data must not be seen by the second."""

SHARED = "cpu_usage"
"""A metric that both have, with one series of the same labels."""

_WORDS = {VICTIM: "zqacme", INTRUDER: "mine"}
_NUMBERS = {VICTIM: 77123456.5, INTRUDER: 2.5}
_MARKS = ("zqacme", "7712345", "7.712345")
"""Spellings of the victim's texts and number; sums of ten and a hundred begin like the number."""
_SQL = load("tests.leaks", "planted.sql")


@dataclass(frozen=True)
class Belongings:
    """What a tenant has, by name and id. Its texts begin with `word`; what it measures is `number`."""

    who: str
    tenant_id: UUID
    execution_id: UUID
    admin_key: str
    silence_id: UUID

    @property
    def alert_id(self) -> str:
        """Its alert's."""
        return alert_id(self.tenant_id, f"{self.word}-rule", self.word)

    @property
    def word(self) -> str:
        """Begins each of its texts."""
        return _WORDS[self.who]

    @property
    def number(self) -> float:
        """Each of its values."""
        return _NUMBERS[self.who]

    @property
    def latency(self) -> str:
        """A histogram that only this tenant has."""
        return f"{self.word}.latency"

    @property
    def key_id(self) -> str:
        """Id of its admin key."""
        return key_hash(self.admin_key).hex()[:ID_DIGITS]


def belongings(site: Site, who: str) -> Belongings:
    """What `plant` will give the tenant: the ids are known before there is anything of that id."""
    return Belongings(
        who, site.tenants[who], uuid4(), f"{PREFIX}{uuid4().hex}{uuid4().hex}", uuid4()
    )


async def plant(site: Site, own: Belongings) -> None:
    """Give a tenant one of everything that a tenant can have."""
    word, number, tenant = own.word, own.number, own.tenant_id
    times = [at(minutes / 2) for minutes in range(2, 82)]
    times += [moment - timedelta(days=3) for moment in times]
    for name, labels, value in [
        (SHARED, {"host": "a"}, number),
        (SHARED, {"host": f"{word}-host", f"{word}_key": f"{word}-value"}, number),
        (own.latency, {"host": "a"}, number),
        ("state", {"host": "a"}, f"{word}-text"),
        ("up", {"host": "a"}, own.who == VICTIM),
    ]:
        await site.store(own.who, name, labels, *((moment, value) for moment in times))
    await store_run(site, own.who, own.execution_id)
    async with site.admin.acquire() as connection, connection.transaction():
        await connection.execute(
            "INSERT INTO api_keys (key_hash, tenant_id, scopes) VALUES ($1, $2, '{read,admin}')",
            key_hash(own.admin_key),
            tenant,
        )
        await connection.execute(_SQL["define"], tenant, word)
        await connection.execute(
            _SQL["alarm"],
            tenant,
            word,
            number,
            own.alert_id,
            own.silence_id,
            NOW - timedelta(hours=1),
        )
        await connection.execute(_SQL["name_run"], own.execution_id, word, number)
        await connection.execute("SELECT ensure_executions($1::uuid[])", [own.execution_id])
        await connection.execute(_SQL["keep_raw"], own.execution_id, word, number, NOW)


def marks_in(text: str, *more: str) -> list[str]:
    """The victim's marks, and these, that stand in a text."""
    lower = text.lower()
    return [mark for mark in (*_MARKS, *more) if mark.lower() in lower]
