"""Following logs."""

from pathlib import Path

from deploy.local.home import Home
from deploy.local.logs import follow, last


def test_following_gives_whole_new_lines_also_of_a_new_file(tmp_path: Path) -> None:
    """Old lines are not repeated; after rotation reading begins at the top of the new file."""
    home = Home.at(tmp_path)
    home.make()
    log = home.log("api")
    log.write_text("old\n")
    assert list(last(home, ["api"], 5)) == [("api", "old")]
    lines = follow(home, ["api"])
    with log.open("a") as file:
        file.write("")
    log.rename(tmp_path / "aside")
    log.write_text("first\nhalf")
    assert next(lines) == ("api", "first")
    with log.open("a") as file:
        file.write(" and half\n")
    assert next(lines) == ("api", "half and half")
