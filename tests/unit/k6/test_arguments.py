"""k6's command line as far as the bridge must understand it."""

import json
from pathlib import Path

import pytest

from producers.k6.arguments import Arguments
from producers.k6.program import command, find
from schemas.errors import Permanent

POINTS, SUMMARY = Path("/x/points"), Path("/x/summary.json")


@pytest.mark.parametrize(
    ("line", "script"),
    [
        ("script.js", "script.js"),
        ("-u 5 -i 10 script.js", "script.js"),
        ("-u5 --duration=3s script.js --tag a=b", "script.js"),
        ("--vus 5 --no-summary script.js", "script.js"),
        ("-qv script.js", "script.js"),
        ("-wu 5 script.js", "script.js"),
        ("-o csv=x.csv -", "-"),
        ("--new-option-of-k6 value script.js", "script.js"),
        ("--quiet -- script.js", "script.js"),
        ("--vus 5", None),
    ],
)
def test_the_script_is_found(line: str, script: str | None) -> None:
    """Values of options are not taken for the script."""
    assert Arguments.parse(line.split()).script == script


def test_arguments_are_passed_on_untouched() -> None:
    """Ours come first; what the user wrote follows as it was."""
    given = ["--out", "csv=a.csv", "s.js", "-e", "A=B C"]
    line = command("k6", Arguments.parse(given), {}, POINTS, SUMMARY)
    ours = ["k6", "run", "--out", "json=/x/points", "--summary-export", "/x/summary.json"]
    assert line == [*ours, *given]


def test_outputs_of_the_environment_stay() -> None:
    """A flag of ours would replace K6_OUT, so it is repeated as flags; flags of the user replace it anyway."""
    environment = {"K6_OUT": "csv=a.csv,cloud"}
    assert Arguments.parse(["s.js"]).outputs_to_repeat(environment) == ["csv=a.csv", "cloud"]
    assert Arguments.parse(["-o", "json=x", "s.js"]).outputs_to_repeat(environment) == []


def test_outputs_of_the_configuration_file_stay(tmp_path: Path) -> None:
    """The same for the file that -c, K6_CONFIG or the default place names."""
    file = tmp_path / "k6" / "config.json"
    file.parent.mkdir()
    file.write_text(json.dumps({"out": ["csv=b.csv"]}))
    for given, environment in (
        (["-c", str(file), "s.js"], {}),
        (["s.js"], {"K6_CONFIG": str(file)}),
        (["s.js"], {"XDG_CONFIG_HOME": str(tmp_path)}),
    ):
        assert Arguments.parse(given).outputs_to_repeat(environment) == ["csv=b.csv"]


def test_the_users_summary_file_is_left_to_the_user() -> None:
    """Flag before environment, as in k6; then no file of ours is asked for."""
    arguments = Arguments.parse(["--summary-export=a.json", "s.js"])
    assert arguments.summary_file({"K6_SUMMARY_EXPORT": "b.json"}) == Path("a.json")
    assert Arguments.parse(["s.js"]).summary_file({"K6_SUMMARY_EXPORT": "b.json"}) == Path("b.json")
    assert "--summary-export" not in command("k6", arguments, {}, POINTS, SUMMARY)


def test_tags_of_the_command_line_are_the_runs() -> None:
    """As k6 reads them: repeated, the last value of a key counts, what is no pair is k6's to refuse."""
    given = ["--tag", "team=shop", "--tag=build=7", "--tag", "build=8=b", "--tag", "odd", "s.js"]
    assert Arguments.parse(given).tags() == {"team": "shop", "build": "8=b"}


def test_inspection_loads_the_script_as_the_run_does() -> None:
    """Variables and the script's kind are handed on; standard input can't be read twice."""
    given = ["-e", "A=B", "--vus", "5", "-t", "js", "s.js"]
    assert Arguments.parse(given).inspecting() == ["--env=A=B", "--type=js", "s.js"]
    assert Arguments.parse(["-"]).inspecting() is None


def test_a_k6_that_is_not_there_is_refused(tmp_path: Path) -> None:
    """The error says what to do."""
    with pytest.raises(Permanent, match="no program"):
        find(tmp_path / "k6", {})
    assert find(None, {"PATH": ""}).endswith("/k6")
