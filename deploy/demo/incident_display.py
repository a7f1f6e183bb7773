"""How the demo's incident looks on a terminal: what happened, and when."""

from datetime import datetime

from rich.table import Table
from rich.text import Text

from deploy.demo.incident import Timeline
from deploy.demo.incident_documents import SLOW_MS


def timeline(line: Timeline) -> Table:
    """The whole of it, in seconds from the moment when the service became slow."""
    shown = Table(title="\nThe incident", title_justify="left", box=None, show_header=False)
    shown.add_column(justify="right")
    shown.add_column()
    alert, remediation = line.alert, line.remediation
    value, threshold = alert["history"][-1]["value"], alert["history"][-1]["threshold"]
    rows = [
        (line.slow_at, f"the items service takes {SLOW_MS} ms longer"),
        (_moment(alert["fired_at"]), f"{alert['condition']}: {value:.0f} > {threshold:.0f}"),
        (_moment(remediation["created_at"]), f"playbook {remediation['playbook']} is chosen"),
        (line.approved_at, f"approved by {remediation['approver']}"),
        *(
            (_moment(one["ended_at"]), f"{one['action']} {one['step']}: {one['status']}")
            for one in remediation["trail"]
            if one["kind"] == "step" and one["attempt"] > 0
        ),
        (_moment(alert["resolved_at"]), "the alert resolves"),
        (_moment(remediation["ended_at"]), f"the remediation has {remediation['state']}"),
    ]
    for moment, told in rows:
        shown.add_row(_after(line.slow_at, moment), Text(told))
    return shown


def _moment(text: str | None) -> datetime | None:
    return None if text is None else datetime.fromisoformat(text)


def _after(began: datetime | None, moment: datetime | None) -> str:
    if began is None or moment is None:
        return "-"
    return f"{(moment - began).total_seconds():+.1f} s"
