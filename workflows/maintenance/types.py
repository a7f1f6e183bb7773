"""What a round of maintenance is given and says, and the port through which its parts are run."""

from dataclasses import dataclass
from typing import Protocol

from sinks.lifecycle.maintenance import Done, PartName
from sinks.lifecycle.ports import Progress


@dataclass(frozen=True)
class Round:
    """The input: parts, in the order they run."""

    parts: list[PartName]


@dataclass(frozen=True)
class Outcome:
    """The result: each part in words."""

    told: dict[str, str]


FREQUENT = Round(["refresh", "forget", "runs"])
HOURLY = Round(["ensure", "catch up", "retain", "compact"])


class Parts(Protocol):
    """The parts, as `sinks.lifecycle.maintenance.Maintenance` runs them. Each may be repeated."""

    async def run(self, part: PartName, progress: Progress) -> Done:
        """Run a part; tell `progress` what is done next. Cancelled, it leaves whole steps behind."""
        ...
