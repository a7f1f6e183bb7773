"""The home folder, its lock, its logs."""

import os
from pathlib import Path

import pytest

from deploy.local import home as homes
from deploy.local.home import Home, tail, try_lock


@pytest.fixture
def home(tmp_path: Path) -> Home:
    """A home with its folders made."""
    home = Home.at(tmp_path / "home")
    home.make()
    return home


def test_a_home_is_absolute_and_keeps_its_runtime_inside(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Children run in other folders; a relative home must mean the same to them."""
    monkeypatch.chdir(tmp_path)
    assert Home.at(Path(".headrace")).runtime == tmp_path / ".headrace" / "runtime"


def test_only_one_holds_the_lock_and_its_end_frees_it(home: Home) -> None:
    """Closing the last descriptor is enough, as the kernel does for a killed process."""
    first = try_lock(home)
    assert first is not None
    heir = os.dup(first)
    os.close(first)
    assert try_lock(home) is None
    os.close(heir)
    second = try_lock(home)
    assert second is not None
    os.close(second)


def test_a_big_log_is_moved_aside(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    """The newest lines are kept once more; a small log is continued."""
    monkeypatch.setattr(homes, "OLD_LOG_BYTES", 10)
    for text in ("short\n", "a long line\n", "new\n"):
        fd = home.open_log("kafka")
        os.write(fd, text.encode())
        os.close(fd)
    assert home.log("kafka").read_text() == "new\n"
    assert home.log("kafka").with_suffix(".log.1").read_text() == "short\na long line\n"


def test_the_tail_of_a_log(tmp_path: Path) -> None:
    """The last lines; none of an absent log."""
    log = tmp_path / "x.log"
    assert tail(log, 3) == []
    log.write_text("1\n2\n3\n")
    assert tail(log, 2) == ["2", "3"]
    assert tail(log, 0) == []
    assert tail(log, 3, since=2) == ["2", "3"]
