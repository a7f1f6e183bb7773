"""The demo's k6 scripts: how they are found and what they are told."""

import pytest

from deploy.demo.scripts import USUAL_SECONDS, Load, Script


@pytest.mark.parametrize("name", USUAL_SECONDS)
def test_every_script_is_there(name: Script) -> None:
    """Each name leads to a file."""
    assert Load(name).path.is_file()


def test_environment_scales_the_script_to_the_wanted_time() -> None:
    """k6 gets ours on top of everything else; users only where a number is wanted."""
    told = Load("basic", seconds=20).environment({"TOKEN": "t", "API_BASE": "old"}, "http://new")
    assert told == {"TOKEN": "t", "API_BASE": "http://new", "DURATION_SCALE": "0.400000"}
    assert Load("basic", vus=7).environment({}, "http://new")["VUS"] == "7"
