"""What the application is made of, handed to its routes."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Annotated, Protocol, cast
from uuid import UUID

from fastapi import Depends, FastAPI, Request

from query.database import Database
from query.routing import Retention
from query.settled import Memory
from schemas.keys import Keyring


@dataclass(frozen=True)
class Limits:
    """Limits of a tenant that has none of its own: the settings of ingest; and those of an answer."""

    series: int
    label_values: int
    long_range: timedelta = timedelta(hours=12)
    """Load tests over more than this are shown by the run, not by the second."""


DEFAULT_LIMITS = Limits(series=1_000_000, label_values=100_000)
"""Those of the settings' defaults."""


class Approvals(Protocol):
    """Carries an approver's word to whoever waits for it; see `workflows.remediation.approvals`."""

    async def decide(
        self,
        tenant: UUID,
        rule: str,
        fingerprint: str,
        remediation: UUID,
        *,
        approved: bool,
        who: str,
        why: str,
    ) -> None:
        """Return once it is decided. Raises Invalid when it can't be any more, Temporary when not now."""
        ...


@dataclass(frozen=True)
class Parts:
    """Who may ask, where rows are, what the limits are, how long what is kept, the time (aware), a memory.

    Without `approvals` nothing can be approved here.
    """

    keyring: Keyring
    database: Database
    limits: Limits
    retention: Retention
    clock: Callable[[], datetime]
    memory: Memory
    approvals: Approvals | None = None


def install(app: FastAPI, parts: Parts) -> None:
    """Give the application its parts."""
    app.state.parts = parts


def wired(request: Request) -> Parts:
    """The parts of the application that a request came to."""
    return cast("Parts", request.app.state.parts)


async def _parts(request: Request) -> Parts:  # not a plain function: FastAPI would give it a thread
    return wired(request)


Wired = Annotated[Parts, Depends(_parts)]
