"""A real SMTP server that keeps the mails it takes."""

import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from email import message_from_bytes, policy
from email.message import EmailMessage
from typing import Any

import trustme
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import AuthResult, Envelope, LoginPassword

from tests.processes import free_port


@dataclass
class Mailbox:
    """The server; `answer` is what it says to a mail."""

    port: int = 0
    answer: str = "250 taken"
    mails: list[tuple[list[str], EmailMessage]] = field(default_factory=list)
    logins: list[tuple[str, str]] = field(default_factory=list)
    tls: ssl.SSLContext = field(default_factory=ssl.create_default_context)
    """Of a client that trusts it."""

    async def handle_DATA(self, *parts: Any) -> str:  # noqa: N802 - aiosmtpd's name
        """Take a mail."""
        envelope: Envelope = parts[2]
        if self.answer.startswith("250"):
            content = envelope.content or b""
            mail = message_from_bytes(
                content if isinstance(content, bytes) else content.encode(), policy=policy.default
            )
            assert isinstance(mail, EmailMessage)
            self.mails.append((envelope.rcpt_tos, mail))
        return self.answer

    def login(self, *parts: Any) -> AuthResult:
        """Take any password but a wrong one."""
        data: LoginPassword = parts[4]
        self.logins.append((data.login.decode(), data.password.decode()))
        return AuthResult(success=data.password != b"wrong", handled=False)


@contextmanager
def mailbox(*, security: str) -> Iterator[Mailbox]:
    """A server on this machine: with `tls` from the start, with `starttls` and a login, or `none` of both."""
    found = Mailbox()
    authority = trustme.CA()
    serving = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("localhost").configure_cert(serving)
    authority.configure_trust(found.tls)
    forms: dict[str, dict[str, Any]] = {
        "tls": {"ssl_context": serving},
        "starttls": {
            "tls_context": serving,
            "require_starttls": True,
            "authenticator": found.login,
            "auth_required": True,
        },
        "none": {},
    }
    # Port 0 would leave the controller, which knocks at its own door, outside.
    controller = Controller(found, hostname="127.0.0.1", port=free_port(), **forms[security])
    controller.start()
    found.port = controller.port
    try:
        yield found
    finally:
        controller.stop()
