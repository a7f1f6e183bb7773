"""Sends notices: to each kind of receiver in its own form. Only here are secrets looked up."""

import asyncio
import ssl

from schemas.errors import Invalid, Temporary
from schemas.notifications import Receiver
from schemas.secrets import SCHEME
from workflows.actions.secrets import Revealed, Secrets
from workflows.addresses import Allowed
from workflows.notify import alertmanager, mail, slack, webhook
from workflows.notify.notices import Notice
from workflows.outgoing import Outgoing

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
        secrets = Revealed(self._secrets)
        if receiver.email is not None:
            letter = mail.message(notice, receiver.email)
            password = _of(secrets, receiver.email.password)
            await asyncio.to_thread(
                mail.send, letter, receiver.email, password, self._allowed, self._tls
            )
            return
        url, headers, content = _request(receiver, notice, secrets)
        try:
            answer = await self._outgoing.request("POST", url, headers=headers, body=content)
        except (Invalid, Temporary) as error:
            raise _said(receiver, secrets, error) from None
        if answer.status >= 300:  # noqa: PLR2004 - by RFC 9110
            shown = f"It answered {answer.status}: {answer.text[:_SHOWN]}"
            refused = Temporary(shown, retry_after=answer.retry_after or 1.0)
            raise _said(receiver, secrets, refused)


def _said(receiver: Receiver, secrets: Revealed, error: Invalid | Temporary) -> Invalid | Temporary:
    """The error as it may be shown. What names the URL, or quotes an answer, may hold a URL that is a secret."""
    form = receiver.webhook or receiver.slack or receiver.alertmanager
    text = secrets.mask(str(error))
    if form is not None and form.url.startswith(SCHEME):
        text = f"What {form.url} refers to can't be asked, or refuses."
    if isinstance(error, Invalid):
        return Invalid(error.reason, f"{text} [{error.reason}]")
    return Temporary(text, retry_after=error.retry_after)


def _request(
    receiver: Receiver, notice: Notice, secrets: Revealed
) -> tuple[str, dict[str, str], bytes]:
    """URL, headers and body for a receiver that speaks HTTP."""
    if receiver.webhook is not None:
        content = webhook.body(notice)
        headers = webhook.headers(notice, content, _of(secrets, receiver.webhook.secret))
        headers |= _authorized(secrets, receiver.webhook.authorization)
        return _url(secrets, receiver.webhook.url), headers, content
    if receiver.slack is not None:
        content = slack.body(notice, receiver.slack.channel)
        return _url(secrets, receiver.slack.url), _JSON, content
    if receiver.alertmanager is not None:
        root = _url(secrets, receiver.alertmanager.url).rstrip("/")
        headers = _JSON | _authorized(secrets, receiver.alertmanager.authorization)
        return root + alertmanager.PATH, headers, alertmanager.body(notice)
    raise AssertionError(receiver.kind)


def _url(secrets: Revealed, url: str) -> str:
    return secrets.reveal(url) if url.startswith(SCHEME) else url


def _authorized(secrets: Revealed, reference: str | None) -> dict[str, str]:
    secret = _of(secrets, reference)
    return {} if secret is None else {"Authorization": secret}


def _of(secrets: Revealed, reference: str | None) -> str | None:
    return None if reference is None else secrets.reveal(reference)
