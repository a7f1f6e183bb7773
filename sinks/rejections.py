"""What was refused for a limit, summed up as the table `rejections` keeps it: with one example a reason."""

from collections import Counter
from collections.abc import Sequence
from uuid import UUID

import msgspec

from schemas.batches import Refusal
from schemas.series import Key, canonical, parse_key

_LABELS, _CHARACTERS = 16, 40
"""Of an example, at most: it is written with every batch that refuses something."""


def rejections(
    refusals: Sequence[Refusal],
) -> tuple[list[UUID], list[str], list[int], list[str], list[str]]:
    """Columns of one row a tenant and reason: tenants, reasons, samples, names, labels as JSON."""
    samples: Counter[tuple[UUID, str]] = Counter()
    examples: dict[tuple[UUID, str], Key] = {}
    for refusal in refusals:
        samples[refusal.tenant, refusal.reason] += refusal.samples
        examples[refusal.tenant, refusal.reason] = refusal.example
    keys = sorted(samples)
    shown = [_shown(tenant, examples[tenant, reason]) for tenant, reason in keys]
    return (
        [tenant for tenant, _ in keys],
        [reason for _, reason in keys],
        [samples[key] for key in keys],
        [name for name, _ in shown],
        [labels for _, labels in shown],
    )


def _shown(tenant: UUID, key: Key) -> tuple[str, str]:
    name, raw = parse_key(key) if isinstance(key, str) else key
    labels = msgspec.json.decode(canonical(tenant, name, raw).labels, type=dict[str, str])
    some = list(labels.items())[:_LABELS]
    return name, msgspec.json.encode({k: v[:_CHARACTERS] for k, v in some}).decode()
