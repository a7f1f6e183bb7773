"""state.json: what is written comes back, and a pid alone proves nothing."""

import os
from pathlib import Path

import msgspec
import psutil

from deploy.local import state as states
from deploy.local.state import Endpoints, Service, State

READY = Service("kafka", "service", "ready", port=21092, url="127.0.0.1:21092")


def a_state(*services: Service, phase: states.Phase = "running") -> State:
    """A state with these services and made-up addresses."""
    names = msgspec.structs.fields(Endpoints)
    endpoints = Endpoints(**{field.name: f"{field.name}:1" for field in names})
    return State(phase, 1, 2.0, 0, endpoints, services)


def test_a_state_comes_back_as_written_and_only_its_owner_may_read_it(tmp_path: Path) -> None:
    """The file holds the database password."""
    path = tmp_path / "state.json"
    states.write(path, a_state(READY))
    assert states.read(path) == a_state(READY)
    assert path.stat().st_mode & 0o777 == 0o600
    assert [file.name for file in tmp_path.iterdir()] == ["state.json"]


def test_an_absent_or_foreign_state_is_no_state(tmp_path: Path) -> None:
    """A file of another version is not guessed at."""
    path = tmp_path / "state.json"
    assert states.read(path) is None
    path.write_text('{"version": 2}')
    assert states.read(path) is None


def test_a_recorded_process_is_known_by_its_creation_time() -> None:
    """Another process that got the same pid later is not taken for the recorded one."""
    me = psutil.Process()
    assert states.process(os.getpid(), me.create_time()) == me
    assert states.process(os.getpid(), me.create_time() - 60) is None
    assert states.process(0, 0.0) is None


def test_a_stack_is_ready_when_it_runs_and_all_of_it_is_as_it_should_be() -> None:
    """External servers count as ready; one failed app does not."""
    external = Service("database", "service", "external")
    assert a_state(READY, external).ready
    assert not a_state(READY, external, phase="starting").ready
    assert not a_state(READY, Service("api", "app", "failed")).ready


def test_a_shown_url_hides_the_password_and_nothing_else() -> None:
    """Also a password with an @ in it; addresses without one stay as they are."""
    hide = states.hide_password
    assert hide("postgresql://me:se@cret@host:5/db") == "postgresql://me:***@host:5/db"
    for plain in ("127.0.0.1:21092", "postgresql://me@host/db", "http://127.0.0.1:1"):
        assert hide(plain) == plain
