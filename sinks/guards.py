"""Decides whether an incident may be remedied now, by what the database says of it. Pure."""

from dataclasses import dataclass
from datetime import datetime, timedelta


@dataclass(frozen=True)
class Limits:
    """What a rule and the settings allow."""

    cooldown: timedelta
    per_rule: int
    per_tenant: int
    """Runs in any hour."""


@dataclass(frozen=True)
class Facts:
    """What is: `paused` says by whom, `last_ended` is of the same alert, the counts are of the last hour."""

    now: datetime
    paused: str | None
    last_ended: datetime | None
    of_rule: int
    of_tenant: int


def refusal(limits: Limits, facts: Facts) -> str | None:
    """Why nothing is done, in words; None when something may be."""
    if facts.paused is not None:
        return f"remediation is paused by {facts.paused}"
    if facts.last_ended is not None and facts.last_ended + limits.cooldown > facts.now:
        since = (facts.now - facts.last_ended) // timedelta(seconds=1)
        return (
            f"cooldown: this alert was remedied {since} s ago, and is left alone for "
            f"{limits.cooldown // timedelta(seconds=1)} s"
        )
    if facts.of_rule >= limits.per_rule:
        return f"cap: {facts.of_rule} runs of this rule in an hour, of {limits.per_rule} allowed"
    if facts.of_tenant >= limits.per_tenant:
        return (
            f"cap: {facts.of_tenant} runs of all rules in an hour, of {limits.per_tenant} allowed "
            "(HEADRACE_REMEDIATION_MAX_PER_HOUR)"
        )
    return None
