"""A notice as Alertmanager's webhook JSON, version 4, which many receivers read; signed where they ask for it.

Signed is `timestamp.body`: a receiver computes HMAC-SHA256 with the shared secret, compares it with
X-Headrace-Signature, and refuses old timestamps. A notice may come twice, with one X-Headrace-Delivery.
"""

import hashlib
import hmac
import json
import math
from collections.abc import Mapping, Sequence
from typing import Any

from workflows.notify.notices import Item, Notice

_NEVER = "0001-01-01T00:00:00Z"
"""Alertmanager's word for an end that is not there."""


def body(notice: Notice) -> bytes:
    """The JSON."""
    alerts = [_alert(item) for item in notice.items]
    document = {
        "version": "4",
        "groupKey": f"{notice.group.receiver}/{notice.group.key}",
        "truncatedAlerts": notice.left_out,
        "status": notice.status,
        "receiver": notice.group.receiver,
        "groupLabels": notice.labels,
        "commonLabels": _common([one["labels"] for one in alerts]),
        "commonAnnotations": _common([one["annotations"] for one in alerts]),
        "externalURL": "",
        "alerts": alerts,
    }
    return json.dumps(document).encode()


def headers(notice: Notice, content: bytes, secret: str | None) -> dict[str, str]:
    """The headers; with a signature where there is a secret."""
    found = {"Content-Type": "application/json", "X-Headrace-Delivery": notice.id}
    if secret is not None:
        at = str(int(notice.now.timestamp()))
        found |= {
            "X-Headrace-Timestamp": at,
            "X-Headrace-Signature": signature(secret, at, content),
        }
    return found


def signature(secret: str, timestamp: str, content: bytes) -> str:
    """What X-Headrace-Signature says."""
    signed = timestamp.encode() + b"." + content
    return "sha256=" + hmac.new(secret.encode(), signed, hashlib.sha256).hexdigest()


def _alert(item: Item) -> dict[str, Any]:
    member = item.member
    return {
        "status": item.status,
        "labels": item.labels,
        "annotations": member.annotations,
        "startsAt": item.began.isoformat(),
        "endsAt": item.ended.isoformat() if item.ended else _NEVER,
        "generatorURL": "",
        "fingerprint": member.fingerprint,
        "alertId": member.alert,
        "level": member.level,
        "condition": member.condition,
        "value": _number(member.value),
        "threshold": _number(member.threshold),
    }


def _number(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None


def _common(each: Sequence[Mapping[str, str]]) -> dict[str, str]:
    first, *others = each
    return {k: v for k, v in first.items() if all(other.get(k) == v for other in others)}
