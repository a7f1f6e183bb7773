"""The bridge's folder: gone with it, and what killed bridges left is gone with the next."""

import os
from pathlib import Path

import pytest

from producers.k6.folder import private_folder


@pytest.fixture
def parent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    return tmp_path


def test_it_goes_with_its_owner(parent: Path) -> None:
    """It exists only as long as it is used."""
    with private_folder() as folder:
        assert list(parent.iterdir()) == [folder]
    assert list(parent.iterdir()) == []


def test_a_killed_bridges_folder_is_removed(parent: Path) -> None:
    """Nobody holds its lock; a fresh one may just not have taken it yet, and other folders stay."""
    orphan, fresh, foreign = (parent / name for name in ("headrace-k6-1", "headrace-k6-2", "other"))
    for folder in (orphan, fresh, foreign):
        folder.mkdir()
    os.mkfifo(orphan / "points")
    for folder in (orphan, foreign):
        os.utime(folder, (0, 0))
    with private_folder():
        assert not orphan.exists()
        assert fresh.exists()
        assert foreign.exists()


@pytest.mark.usefixtures("parent")
def test_a_running_bridges_folder_stays() -> None:
    """However long that bridge runs already."""
    with private_folder() as old:
        os.utime(old, (0, 0))
        with private_folder():
            assert old.exists()
