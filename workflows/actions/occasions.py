"""For whom, for what, and since when something is done."""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from schemas.templates import Facts


@dataclass(frozen=True)
class Occasion:
    """A step of a remediation; `since`: when that was opened, the same for each attempt."""

    tenant_id: UUID
    remediation_id: UUID
    step: str
    facts: Facts
    since: datetime
