"""Which addresses a command gets, and what it complains about."""

from pathlib import Path

import pytest

from deploy.cli.context import Endpoints, default_key, resolve
from schemas.errors import Permanent
from schemas.settings import Settings

DSN = "postgresql://somebody@127.0.0.1:1/somewhere"


def settings(home: Path) -> Settings:
    return Settings(home=home, kafka="embedded", database=DSN, temporal="embedded")


def test_a_command_is_asked_only_for_the_servers_that_it_needs(tmp_path: Path) -> None:
    """With the database given and no stack, only who needs Kafka hears of Kafka."""
    given = settings(tmp_path)
    assert resolve(given, "database").database == DSN
    with pytest.raises(Permanent, match=r"set HEADRACE_KAFKA\.$"):
        resolve(given, "kafka", "database")
    with pytest.raises(Permanent, match=r"set HEADRACE_KAFKA, HEADRACE_TEMPORAL\.$"):
        resolve(given)


async def test_keys_are_made_only_in_a_database_of_our_own(tmp_path: Path) -> None:
    """Nobody's database but the embedded one gets a tenant that was not asked for."""
    with pytest.raises(Permanent, match="--api-key"):
        await default_key(settings(tmp_path), Endpoints("unused", DSN, "unused"))
