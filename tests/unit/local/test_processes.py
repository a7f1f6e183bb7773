"""The table of headrace's own processes."""

import sys

import msgspec
import pytest

from deploy.local.processes import TABLE, App, Table


def test_every_app_runs_our_cli_on_a_port_of_its_own() -> None:
    """What `up` starts is what a person would type."""
    assert all(app.argv == (sys.executable, "-m", "deploy.cli", app.name) for app in TABLE.apps)
    assert len({app.port for app in TABLE.apps}) == len(TABLE.apps)
    assert TABLE.migrate == (sys.executable, "-m", "deploy.cli", "migrate")


def test_a_table_survives_the_way_to_the_supervisor() -> None:
    """It travels as JSON on a command line."""
    assert msgspec.json.decode(msgspec.json.encode(TABLE), type=Table) == TABLE


def test_an_app_with_an_unknown_port_is_refused() -> None:
    """A misspelt port fails where it is written."""
    with pytest.raises(ValueError, match="no port is called 'apo'"):
        App("api", ("true",), port="apo")
