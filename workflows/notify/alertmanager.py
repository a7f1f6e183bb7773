"""A notice as alerts of Alertmanager's API, version 2."""

import json
import re
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from schemas.notifications import told_labels
from workflows.notify.notices import Item, Notice
from workflows.notify.planning import RESEND

PATH = "/api/v2/alerts"

_LIVES = 4 * RESEND
"""As Prometheus has it: an alert that was not sent again for so long has ended."""
_FOREIGN = re.compile(r"[^a-zA-Z0-9_]", re.ASCII)


def body(notice: Notice) -> bytes:
    """The JSON: each alert, and what it was before its level changed, which has ended."""
    alerts = []
    for item in notice.items:
        ended = item.ended
        alerts.append(
            _alert(item, item.labels, notice.now + _LIVES if ended is None else ended, notice.now)
        )
        before = _before(item)
        if before is not None:
            alerts.append(_alert(item, before, notice.now, notice.now))
    return json.dumps(alerts).encode()


def _before(item: Item) -> dict[str, str] | None:
    """The labels under which it was told, where its level is one of them and has changed."""
    member = item.member
    if member.told is None:
        return None
    labels = told_labels(member.rule, member.told.level, member.labels)
    return None if labels == item.labels else labels


def _alert(item: Item, labels: Mapping[str, str], ends: datetime, now: datetime) -> dict[str, Any]:
    if item.status == "resolved":
        # Samples may be ahead of our clock; an end that is still to come would be none.
        ends = min(ends, now)
    return {
        "labels": _named(labels),
        "annotations": _named(item.member.annotations),
        "startsAt": min(item.began, ends).isoformat(),
        "endsAt": ends.isoformat(),
    }


def _named(texts: Mapping[str, str]) -> dict[str, str]:
    """With names that every Alertmanager takes: it refuses all alerts for one dot in a label's name."""
    return {_FOREIGN.sub("_", name): value for name, value in texts.items() if value}
