"""The rules that decide which samples ingest forwards."""

from collections.abc import Sequence
from functools import partial

from schemas.matchers import matching
from sinks.rules import load_rules
from sinks.transactions import Pool
from stream.core.functions import parts_of
from stream.core.watchlist import WatchedRule


async def read_rules(pool: Pool) -> Sequence[WatchedRule]:
    """Every rule that is enabled."""
    return [
        WatchedRule(
            one.tenant_id,
            one.rule.metric,
            partial(matching, one.rule.matchers),
            parts_of(one.rule),
        )
        for one in await load_rules(pool)
    ]
