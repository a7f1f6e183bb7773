"""Workflows that run today go on under the code of tomorrow."""

import re
from collections.abc import Sequence
from pathlib import Path

import pytest
from temporalio import workflow
from temporalio.client import WorkflowHistory
from temporalio.worker import Replayer

from tests.workflows.hasty import Hasty
from workflows.maintenance.workflow import MaintenanceWorkflow
from workflows.notify.workflow import NotifyWorkflow
from workflows.post_test.workflow import PostTestWorkflow
from workflows.remediation.workflow import RemediationWorkflow
from workflows.settle_run.workflow import SettleRunWorkflow

HISTORIES = sorted(Path(__file__).with_name("histories").glob("*.json"))
WORKFLOWS: Sequence[type] = (
    PostTestWorkflow,
    SettleRunWorkflow,
    MaintenanceWorkflow,
    RemediationWorkflow,
    NotifyWorkflow,
)

_LESSON = """
The code no longer does what it did in the history {name}: a workflow that is running now would stick at its
next task. If you meant to change the order or the kind of what a workflow does:

1. keep the old way for those that run: `if workflow.patched("what-is-new"): new way, else: old way`;
2. save a history of the new way beside the old one in tests/workflows/histories, and keep both;
3. take the old way out, with `workflow.deprecate_patch("what-is-new")`, when no workflow of it is left.

What differs: {error}
"""


async def replay(path: Path, workflows: Sequence[type]) -> None:
    """Replay a history. Fails with what to do when the code goes another way."""
    try:
        await Replayer(workflows=workflows).replay_workflow(_read(path))
    except workflow.NondeterminismError as error:
        pytest.fail(_LESSON.format(name=path.name, error=error))


@pytest.mark.parametrize("path", HISTORIES, ids=lambda path: path.stem)
async def test_saved_histories_replay(path: Path) -> None:
    """The code issues the commands of a real history; a change that breaks this needs `patched()`."""
    await replay(path, WORKFLOWS)


async def test_a_changed_sequence_teaches_what_to_do() -> None:
    """It fails, and says how to change a workflow that runs."""
    path = next(one for one in HISTORIES if one.stem == "remediation_succeeded")
    with pytest.raises(pytest.fail.Exception, match=re.escape('workflow.patched("what-is-new")')):
        await replay(path, [Hasty])


def test_there_are_histories() -> None:
    """Of each workflow one that ended well and one that went the other way; of remediation each way."""
    assert {path.stem for path in HISTORIES} >= {
        "post_test_passed",
        "post_test_mismatch",
        "maintenance_done",
        "maintenance_failed",
        "settle_run_settled",
        "settle_run_goes_on",
        "remediation_refused",
        "remediation_succeeded",
        "remediation_rejected",
        "remediation_cancelled",
        "remediation_expired",
        "remediation_undone",
        "remediation_unresolved",
        "remediation_followed",
        "remediation_resolved_unheard",
        "remediation_fires_still",
        "remediation_leveled",
        "remediation_continued",
        "notify_told",
        "notify_silenced_continued",
    }


def _read(path: Path) -> WorkflowHistory:
    return WorkflowHistory.from_json(path.stem, path.read_text(encoding="utf-8"))
