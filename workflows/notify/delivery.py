"""Sends notices: to each kind of receiver in its own form. Only here are secrets looked up."""

import asyncio
import ssl

from schemas.errors import Invalid, Temporary
from schemas.notifications import Receiver
from schemas.secrets import SCHEME
from workflows.addresses import Allowed
from workflows.notify import alertmanager, mail, slack, webhook
from workflows.notify.notices import Notice
from workflows.outgoing import Outgoing
from workflows.secrets import Secrets

_JSON = {"Content-Type": "application/json"}
_SHOWN = 200


class Delivery:
    """The ways to receivers; `allowed` and `tls` are for mail what `outgoing` has for itself."""

    def __init__(
        self, outgoing: Outgoing, secrets: Secrets, allowed: Allowed, tls: ssl.SSLContext
    ) -> None:
        self._outgoing = outgoing
        self._secrets = secrets
        self._allowed = allowed
        self._tls = tls

    async def send(self, receiver: Receiver, notice: Notice) -> None:
        """Send a notice to a receiver.

        Raises Temporary, or Invalid for what only a change of the receiver mends. Neither text has a
        secret in it: it is written into the workflow's history.
        """
        if receiver.webhook is not None:
            content = webhook.body(notice)
            secret = self._revealed(receiver.webhook.secret)
            headers = webhook.headers(notice, content, secret)
            headers |= self._authorized(receiver.webhook.authorization)
            await self._post(receiver.webhook.url, "", headers, content)
        elif receiver.slack is not None:
            content = slack.body(notice, receiver.slack.channel)
            await self._post(receiver.slack.url, "", _JSON, content)
        elif receiver.alertmanager is not None:
            headers = _JSON | self._authorized(receiver.alertmanager.authorization)
            content = alertmanager.body(notice)
            await self._post(receiver.alertmanager.url, alertmanager.PATH, headers, content)
        elif receiver.email is not None:
            letter = mail.message(notice, receiver.email)
            password = self._revealed(receiver.email.password)
            await asyncio.to_thread(
                mail.send, letter, receiver.email, password, self._allowed, self._tls
            )

    async def _post(self, url: str, path: str, headers: dict[str, str], content: bytes) -> None:
        is_secret = url.startswith(SCHEME)
        base = self._secrets.reveal(url) if is_secret else url
        target = base.rstrip("/") + path if path else base
        try:
            answer = await self._outgoing.request("POST", target, headers=headers, body=content)
        except (Invalid, Temporary) as error:
            if not is_secret:
                raise
            # What the client says names the URL.
            if isinstance(error, Invalid):
                text = f"What {url} refers to can't be asked ({error.reason})."
                raise Invalid(error.reason, text) from None
            raise Temporary(f"What {url} refers to can't be reached.") from None
        if answer.status >= 300:  # noqa: PLR2004 - by RFC 9110
            said = answer.text[:_SHOWN]
            if secret := headers.get("Authorization"):
                said = said.replace(secret, "***")
            raise Temporary(
                f"It answered {answer.status}: {said}", retry_after=answer.retry_after or 1.0
            )

    def _authorized(self, reference: str | None) -> dict[str, str]:
        secret = self._revealed(reference)
        return {} if secret is None else {"Authorization": secret}

    def _revealed(self, reference: str | None) -> str | None:
        return None if reference is None else self._secrets.reveal(reference)
