"""A notice: what a receiver is told at once, before it is put into the receiver's own form."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from schemas.notifications import told_labels
from sinks.notifications import Group, Member

Status = Literal["firing", "resolved"]


@dataclass(frozen=True)
class Item:
    """An alert in a notice."""

    member: Member

    @property
    def status(self) -> Status:
        """Whether it is told to fire or to have ended."""
        return "firing" if self.member.is_firing else "resolved"

    @property
    def labels(self) -> dict[str, str]:
        """As receivers see them."""
        return told_labels(self.member.rule, self.member.level, self.member.labels)

    @property
    def began(self) -> datetime:
        """When it began to fire."""
        return self.member.fired_at or self.member.episode

    @property
    def ended(self) -> datetime | None:
        """When it ended."""
        member = self.member
        return None if member.is_firing else member.resolved_at or member.since


@dataclass(frozen=True)
class Notice:
    """What a group's receiver is told. `labels` are those that its alerts share by its route."""

    group: Group
    labels: Mapping[str, str]
    items: tuple[Item, ...]
    left_out: int
    """Alerts of the group that fire and are not in it."""
    now: datetime

    @property
    def status(self) -> Status:
        """Firing as long as one alert fires."""
        return "firing" if any(item.status == "firing" for item in self.items) else "resolved"

    @property
    def id(self) -> str:
        """The same when the same notice is sent again, because nobody knows whether it arrived."""
        facts: list[object] = [str(self.group.tenant), self.group.receiver, self.group.key]
        for item in self.items:
            member = item.member
            told = member.told and member.told.at.isoformat()
            facts.append([member.alert, member.episode.isoformat(), member.number, told])
        return hashlib.blake2b(json.dumps(facts).encode(), digest_size=16).hexdigest()

    @property
    def title(self) -> str:
        """One line for people: what, how many, where."""
        firing = sum(item.status == "firing" for item in self.items) + self.left_out
        head = f"[FIRING:{firing}]" if firing else "[RESOLVED]"
        name = self.labels.get("alertname") or self.items[0].member.rule
        more = [f"{k}={v}" for k, v in self.labels.items() if k != "alertname"]
        return one_line(" ".join([head, name, *more]), 200)


def one_line(text: str, most: int) -> str:
    """Text without line breaks or control characters, of at most so many characters."""
    plain = " ".join("".join(c if c.isprintable() else " " for c in text).split())
    return plain if len(plain) <= most else plain[: most - 1] + "…"


def told(item: Item) -> str:
    """An alert in a line of text, for people."""
    member = item.member
    labels = ", ".join(f"{k}={v}" for k, v in sorted(member.labels.items()))
    summary = member.annotations.get("summary") or member.condition
    value = "" if member.value is None else f" (value {member.value:g})"
    state = member.level if member.is_firing else "resolved"
    return one_line(f"{state}: {summary}{value} — {labels or member.rule}", 500)
