"""Alerts in the database, as their transitions leave them."""

import json

import asyncpg

from schemas.errors import Invalid
from schemas.named_queries import load
from schemas.transitions import Transition, alert_id
from sinks.outages import is_row_error
from sinks.transactions import Transactions

_SQL = load("sinks.sql", "alerts.sql")


class AlertStore(Transactions):
    """Alerts through a pool in the role headrace_writer. Methods raise Temporary while the database is away."""

    async def check(self) -> None:
        """Raise Permanent when the database lacks the schema."""
        async with self.transaction() as connection:
            await connection.execute(_SQL["check"])

    async def record(self, transition: Transition) -> None:
        """Take a transition into its alert, unless the alert is past it, and into the history.

        Given again, or after a newer one of its alert, it changes nothing but a history that lacks it.
        Raises Invalid for an unknown tenant, or for text that can't be stored.
        """
        it = transition
        alert = alert_id(it.tenant_id, it.rule, it.fingerprint)
        async with self.transaction() as connection:
            try:
                await connection.execute(
                    _SQL["record_alert"],
                    alert,
                    it.tenant_id,
                    it.rule,
                    it.fingerprint,
                    json.dumps(it.labels),
                    it.was,
                    it.state,
                    it.level,
                    it.value,
                    it.threshold,
                    it.condition,
                    json.dumps(it.annotations),
                    it.episode,
                    it.number,
                    it.at,
                    it.stale,
                )
                await connection.execute(
                    _SQL["record_history"],
                    it.id,
                    alert,
                    it.tenant_id,
                    it.at,
                    it.was,
                    it.state,
                    it.was_level,
                    it.level,
                    it.value,
                    it.threshold,
                    it.episode,
                    it.number,
                    it.rule_version,
                    it.stale,
                )
            except asyncpg.ForeignKeyViolationError as error:
                raise Invalid("unknown_tenant", f"There is no tenant {it.tenant_id}.") from error
            except asyncpg.PostgresError as error:
                if not is_row_error(error):
                    raise
                raise Invalid("refused_by_database", str(error)) from error
