"""Workflows that run today go on under the code of tomorrow."""

from pathlib import Path

import pytest
from temporalio.client import WorkflowHistory
from temporalio.worker import Replayer

from workflows.post_test.workflow import PostTestWorkflow

HISTORIES = sorted(Path(__file__).with_name("histories").glob("*.json"))


@pytest.mark.parametrize("path", HISTORIES, ids=lambda path: path.stem)
async def test_saved_histories_replay(path: Path) -> None:
    """The code issues the commands of a real history; a change that breaks this needs `patched()`."""
    await Replayer(workflows=[PostTestWorkflow]).replay_workflow(_read(path))


def test_there_are_histories() -> None:
    """One that ended well and one with every recheck."""
    assert {path.stem for path in HISTORIES} >= {"post_test_passed", "post_test_mismatch"}


def _read(path: Path) -> WorkflowHistory:
    return WorkflowHistory.from_json(path.stem, path.read_text(encoding="utf-8"))
