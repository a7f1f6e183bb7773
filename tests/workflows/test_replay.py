"""Workflows that run today go on under the code of tomorrow."""

from pathlib import Path

import pytest
from temporalio.client import WorkflowHistory
from temporalio.worker import Replayer

from workflows.maintenance.workflow import MaintenanceWorkflow
from workflows.notify.workflow import NotifyWorkflow
from workflows.post_test.workflow import PostTestWorkflow
from workflows.settle_run.workflow import SettleRunWorkflow

HISTORIES = sorted(Path(__file__).with_name("histories").glob("*.json"))


@pytest.mark.parametrize("path", HISTORIES, ids=lambda path: path.stem)
async def test_saved_histories_replay(path: Path) -> None:
    """The code issues the commands of a real history; a change that breaks this needs `patched()`."""
    workflows = [PostTestWorkflow, SettleRunWorkflow, MaintenanceWorkflow, NotifyWorkflow]
    await Replayer(workflows=workflows).replay_workflow(_read(path))


def test_there_are_histories() -> None:
    """Of each workflow one that ended well and one that went the other way."""
    assert {path.stem for path in HISTORIES} >= {
        "post_test_passed",
        "post_test_mismatch",
        "maintenance_done",
        "maintenance_failed",
        "settle_run_settled",
        "settle_run_goes_on",
        "notify_told",
        "notify_silenced_continued",
    }


def _read(path: Path) -> WorkflowHistory:
    return WorkflowHistory.from_json(path.stem, path.read_text(encoding="utf-8"))
