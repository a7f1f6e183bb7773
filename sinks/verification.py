"""Whether the alert of a remediation cleared, as the alerts say; what was seen goes into the trail."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal
from uuid import UUID

from schemas.named_queries import load
from sinks.transactions import Transactions

Became = Literal["resolved", "replaced", "firing", "unknown"]

_SQL = load("sinks.sql", "remediations.sql")


@dataclass(frozen=True)
class Seen:
    """What became of an incident. Replaced: it ended, and its alert has begun anew since."""

    became: Became
    told: str

    @property
    def cleared(self) -> bool:
        """Whether the incident is over."""
        return self.became in {"resolved", "replaced"}


class Verifier(Transactions):
    """Through a pool in the role headrace_writer. Raises Temporary or Permanent, by what to do."""

    async def ask(self, remediation: UUID) -> Seen:
        """Look at the alert now. Asked again, the trail says what was seen last."""
        async with self.transaction() as connection:
            row = await connection.fetchrow(_SQL["ask_alert"], remediation)
            if row is None:
                return Seen("unknown", "the remediation is gone, with its tenant or metric")
            seen = _seen(row)
            asked = {
                "rule": row["rule"],
                "fingerprint": row["fingerprint"],
                "episode": row["episode"].isoformat(),
            }
            await connection.execute(
                _SQL["note_verification"],
                remediation,
                json.dumps(asked),
                f"{seen.became}: {seen.told}",
                "succeeded" if seen.cleared else "failed",
            )
        return seen


def _seen(row: Mapping[str, Any]) -> Seen:
    if row["state"] is None:
        return Seen("unknown", "there is no such alert")
    since = _moment(row["since"])
    if row["now"] > row["episode"]:
        return Seen("replaced", f"it began again at {_moment(row['now'])}, and is {row['state']}")
    if row["now"] < row["episode"]:
        return Seen("unknown", f"what is known of the alert is older: {row['state']} at {since}")
    if row["state"] in {"resolved", "inactive"}:
        return Seen("resolved", f"at {since}")
    return Seen("firing", f"{row['level']} since {since}")


def _moment(moment: datetime) -> str:
    return f"{moment:%Y-%m-%d %H:%M:%S}Z"
