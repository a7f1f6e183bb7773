"""A notice as a message of Slack's incoming webhooks, which Mattermost and Rocket.Chat read too."""

import json

from workflows.notify.notices import Notice, told

_SHOWN = 20
_COLORS = {"critical": "danger", "warning": "warning"}


def body(notice: Notice, channel: str | None) -> bytes:
    """The JSON."""
    lines = [told(item) for item in notice.items[:_SHOWN]]
    more = len(notice.items) - len(lines) + notice.left_out
    if more:
        lines.append(f"… and {more} more")
    text = _escaped("\n".join(lines))
    levels = {item.member.level for item in notice.items if item.status == "firing"}
    worst = next((level for level in _COLORS if level in levels), None)
    message = {
        "text": _escaped(notice.title),
        "attachments": [
            {
                "color": _COLORS[worst] if worst else "good",
                "text": text,
                "fallback": text,
                "ts": int(notice.now.timestamp()),
            }
        ],
    }
    if channel is not None:
        message["channel"] = channel
    return json.dumps(message).encode()


def _escaped(text: str) -> str:
    """As Slack asks for it; so no label can call a channel together."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
