"""What the workflow of a group is given, and what each flush says."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol
from uuid import UUID

from schemas.notifications import Receiver
from sinks.notifications import Change, Group, Member, Standing
from workflows.notify.notices import Notice


@dataclass(frozen=True)
class NotifyGroup:
    """The input: which group, and how many seconds to wait for more alerts before the first flush."""

    tenant: UUID
    receiver: str
    key: str
    wait: float
    flushes: int = 500
    """In one run: a history is replayed whole."""

    @property
    def group(self) -> Group:
        """As the database names it."""
        return Group(self.tenant, self.receiver, self.key)


@dataclass(frozen=True)
class Flushed:
    """What a flush did. Times in seconds."""

    told: int
    more: bool
    """There is more to tell than one notification takes."""
    left: bool
    """The group has alerts."""
    rest: float
    """How long to leave the receiver alone now."""
    check_in: float | None
    """When to look again though nothing changes; None: only when woken."""


class Notifying(Protocol):
    """The notifications; see `sinks.notifications.NotificationStore`. Every method may be repeated."""

    async def standing(self, group: Group) -> Standing:
        """What there is to tell a group, and what may keep it from being told."""
        ...

    async def told(self, group: Group, members: Iterable[Member], at: datetime) -> None:
        """Note that a group was told of these as they are here."""
        ...

    async def done(self, group: Group, changes: Sequence[Change]) -> None:
        """Take alerts out of a group, unless they have changed since."""
        ...

    async def dissolve(self, group: Group) -> None:
        """Forget a group whose receiver is gone."""
        ...

    async def left(self, group: Group) -> bool:
        """Whether a group has alerts."""
        ...


class Delivering(Protocol):
    """Sends notices; see `workflows.notify.delivery.Delivery`."""

    async def send(self, receiver: Receiver, notice: Notice) -> None:
        """Send a notice to a receiver. Raises Temporary or Invalid, without a secret in the text."""
        ...
