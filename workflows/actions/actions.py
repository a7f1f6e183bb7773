"""Does one action of a playbook, once, within its time."""

import json
from collections.abc import Sequence
from typing import Any
from uuid import UUID

from schemas.errors import HeadraceError, Invalid, Permanent, Temporary
from schemas.grants import Grants
from schemas.playbooks import Command, Doing, Http, Kubernetes, Notify, Sql, Wait
from schemas.rendering import render, secrets_of
from schemas.templates import Facts, spell
from workflows.actions.commands import run_command
from workflows.actions.kubernetes import patch_workload
from workflows.actions.occasions import Occasion
from workflows.actions.receivers import Receivers, unknown
from workflows.actions.secrets import Revealed, Secrets
from workflows.actions.statements import run_statement
from workflows.outgoing import Outgoing, OutgoingAnswer

_SHOWN = 4096
"""Characters of what came of an action."""
_PASSING = {408, 425, 429, 500, 502, 503, 504}
"""HTTP statuses that may pass by themselves."""


class Actions:
    """All kinds of actions, within what operators grant. Without `receivers` none of them can be told."""

    def __init__(
        self,
        outgoing: Outgoing,
        secrets: Secrets,
        grants: Grants,
        receivers: Receivers | None = None,
    ) -> None:
        self._outgoing = outgoing
        self._secrets = secrets
        self._grants = grants
        self._receivers = receivers

    async def receivers(self, tenant: UUID) -> set[str]:
        """The names that a tenant's playbooks may tell. Raises Temporary while the database is away."""
        return set() if self._receivers is None else await self._receivers.names(tenant)

    def check(self, doing: Doing, tenant: UUID, facts: Facts) -> None:
        """Raise Invalid for what can't be done, before anything is begun."""
        given = render(doing, facts)
        if isinstance(doing, Command):
            self._grants.command(doing.command, tenant).arguments(given["parameters"])
        elif isinstance(doing, Sql):
            self._grants.statement(doing.statement, tenant).arguments(given["parameters"])
        elif isinstance(doing, Kubernetes):
            self._grants.cluster(doing.cluster, tenant)
        for place in secrets_of(doing):
            self._grants.check_secret(place, tenant)

    async def perform(self, doing: Doing, occasion: Occasion) -> str:
        """Do it; return what came of it, for people.

        Raises Invalid for what fails for good and Temporary for what may pass; neither holds a secret.
        """
        revealed = Revealed(self._secrets)
        try:
            self.check(doing, occasion.tenant_id, occasion.facts)
            given = render(doing, occasion.facts, revealed.reveal)
            told = await self._do(doing, given, occasion, revealed)
        except Temporary as error:
            raise Temporary(_shorten(revealed.mask(str(error)))) from None
        except HeadraceError as error:
            reason = error.reason if isinstance(error, Invalid) else "failed"
            raise Invalid(reason, _shorten(revealed.mask(str(error)))) from None
        return _shorten(revealed.mask(told))

    async def _do(
        self, doing: Doing, given: dict[str, Any], occasion: Occasion, revealed: Revealed
    ) -> str:
        seconds = doing.timeout.total_seconds()
        tenant = occasion.tenant_id
        if isinstance(doing, Command):
            command = self._grants.command(doing.command, tenant)
            argv = command.arguments(given["parameters"])
            return await run_command(argv, command.user, min(seconds, command.longest))
        if isinstance(doing, Sql):
            statement = self._grants.statement(doing.statement, tenant)
            dsn = revealed.reveal(statement.database)
            values = statement.arguments(given["parameters"])
            return await run_statement(dsn, statement.sql, values, seconds)
        if isinstance(doing, Kubernetes):
            cluster = self._grants.cluster(doing.cluster, tenant)
            token = revealed.reveal(cluster.token)
            return _judge(await patch_workload(cluster, token, given, occasion.since, seconds), ())
        if isinstance(doing, Notify) and doing.receiver is not None:
            if self._receivers is None:
                raise unknown(doing.receiver)
            return await self._receivers.tell(doing.receiver, given["text"], occasion, seconds)
        if isinstance(doing, Http | Notify):
            return await self._ask(doing, given, occasion, seconds)
        raise Permanent("A wait needs no worker.")

    async def _ask(
        self, doing: Http | Notify, given: dict[str, Any], occasion: Occasion, seconds: float
    ) -> str:
        # The same for each attempt: a server that heeds it does nothing twice.
        headers = {"Idempotency-Key": f"{occasion.remediation_id}/{occasion.step}"}
        body = given["body"] if isinstance(doing, Http) else _document(given["text"], occasion)
        if body is not None and "content-type" not in {name.lower() for name in given["headers"]}:
            text = isinstance(body, str)
            headers["Content-Type"] = "text/plain; charset=utf-8" if text else "application/json"
        content = body if isinstance(body, str) else json.dumps(body, ensure_ascii=False)
        answer = await self._outgoing.request(
            doing.method if isinstance(doing, Http) else "POST",
            given["url"],
            headers={**headers, **given["headers"]},
            body=None if body is None else content.encode(errors="replace"),
            timeout=seconds,
        )
        return _judge(answer, doing.expect if isinstance(doing, Http) else ())


def waits(doing: Doing) -> float | None:
    """Seconds that an action waits; None for one that does something."""
    return doing.duration.total_seconds() if isinstance(doing, Wait) else None


def _document(text: str, occasion: Occasion) -> dict[str, Any]:
    """What a notification says; `text` alone is what chat servers show."""
    facts = occasion.facts
    return {
        "text": text,
        "rule": facts.rule,
        "level": facts.level,
        "condition": facts.condition,
        "value": spell(facts.value),
        "labels": dict(facts.labels),
        "fingerprint": facts.fingerprint,
        "remediation": str(occasion.remediation_id),
    }


def _judge(answer: OutgoingAnswer, expect: Sequence[int]) -> str:
    told = f"{answer.status} {answer.text}"
    if answer.status in expect or (not expect and 200 <= answer.status < 300):  # noqa: PLR2004 - successes, by RFC 9110
        return told
    if answer.status in _PASSING:
        raise Temporary(f"It answered {told}", retry_after=answer.retry_after or 1.0)
    raise Invalid("bad_status", f"It answered {told}")


def _shorten(text: str) -> str:
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}… ({len(text)} characters)"
