"""SQL actions on a real database."""

import pytest

from schemas.errors import Invalid, Temporary
from tests.unit.workflows.test_actions import perform

_SECRETS = "secret://env/DSN"


def statement(sql: str, *parameters: str) -> dict[str, object]:
    one = {"tenants": "all", "database": _SECRETS, "sql": sql, "parameters": parameters}
    return {"statements": {"s": one}}


async def test_a_parameter_is_bound_and_never_read(postgres: str) -> None:
    """Not as SQL, whatever the label holds; what the statement returns is in the trail."""
    do = {"action": "sql", "statement": "s", "parameters": {"host": "{{ labels.host }}"}}
    host = "'; DROP TABLE tenants; --"
    told = await perform(
        do,
        statement("SELECT $1::text AS host, length($1::text) AS n", "host"),
        environment={"DSN": postgres},
        host=host,
    )
    assert told == f'SELECT 1\n{{"host": "{host}", "n": {len(host)}}}'


async def test_what_the_database_refuses(postgres: str) -> None:
    """A text where a number is wanted, a second statement, one that takes too long, a database that is away."""
    do = {"action": "sql", "statement": "s", "parameters": {"n": "{{ labels.n }}"}}
    dsn = {"DSN": postgres}
    with pytest.raises(Invalid, match=r"can't be run|refuses the statement"):
        await perform(do, statement("SELECT $1::text::int", "n"), environment=dsn, n="x; SELECT 1")
    plain = {"action": "sql", "statement": "s"}
    with pytest.raises(Invalid, match="multiple commands"):
        await perform(plain, statement("SELECT 1; SELECT 2"), environment=dsn)
    with pytest.raises(Temporary, match=r"stopped after 0\.2 s"):
        await perform(
            {**plain, "timeout": "200ms"}, statement("SELECT pg_sleep(30)"), environment=dsn
        )
    away = "postgresql://zq-user:zq-password@127.0.0.1:1/db"
    with pytest.raises(Temporary) as error:
        await perform(plain, statement("SELECT 1"), environment={"DSN": away})
    assert "zq-password" not in str(error.value)
