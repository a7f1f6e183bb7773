"""The jar cache holds what the lock file says, or it is fetched again."""

from pathlib import Path

import pytest

from deploy.local import jars
from deploy.local.jars import Jar

HELLO = "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824"


def test_the_lock_has_the_broker_and_a_binding_for_its_log() -> None:
    """Without an slf4j binding Kafka logs nothing."""
    artifacts = {jar.artifact: jar for jar in jars.locked()}
    assert artifacts["kafka_2.13"].version == jars.KAFKA_VERSION
    assert artifacts["slf4j-simple"].version == artifacts["slf4j-api"].version


@pytest.mark.parametrize(("content", "there"), [("hello", True), ("hel", False), ("jello", False)])
def test_a_truncated_or_exchanged_jar_is_missing(tmp_path: Path, content: str, there: bool) -> None:
    """An interrupted download is not taken for a jar."""
    jar = Jar("g", "a", "1", len("hello"), HELLO)
    assert not jar.is_in(tmp_path)
    (tmp_path / jar.file).write_text(content)
    assert jar.is_in(tmp_path) is there
