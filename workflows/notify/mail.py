"""A notice as a mail, and its way to an SMTP server.

The server's address is checked as those of HTTP requests are; the one that was checked is connected to.
"""

import logging
import smtplib
import socket
import ssl
from email.message import EmailMessage
from email.utils import format_datetime

from schemas.errors import Invalid, Temporary
from schemas.notifications import Email
from workflows.addresses import Allowed
from workflows.notify.notices import Notice, told

_log = logging.getLogger(__name__)

_TIMEOUT = 10.0
"""Seconds for each step of the conversation."""
_REFUSED = 500
"""Replies from here on stay as they are until somebody acts."""


def message(notice: Notice, receiver: Email) -> EmailMessage:
    """The mail, in plain text."""
    mail = EmailMessage()
    mail["From"] = receiver.sender
    mail["To"] = ", ".join(receiver.to)
    mail["Subject"] = notice.title
    mail["Date"] = format_datetime(notice.now)
    mail["Message-ID"] = f"<{notice.id}@headrace>"
    mail["Auto-Submitted"] = "auto-generated"
    lines = [notice.title, "", *(told(item) for item in notice.items)]
    if notice.left_out:
        lines.append(f"… and {notice.left_out} more")
    mail.set_content("\n".join(lines) + "\n")
    return mail


def send(
    mail: EmailMessage, receiver: Email, password: str | None, allowed: Allowed, tls: ssl.SSLContext
) -> None:
    """Hand a mail to the receiver's server. Blocks: it wants a thread. Raises Temporary or Invalid."""
    try:
        with _connect(receiver, allowed, tls) as server:
            if receiver.security == "starttls":
                server.starttls(context=tls)
            if receiver.username is not None and password is not None:
                server.login(receiver.username, password)
            refused = server.send_message(mail)
    except smtplib.SMTPResponseException as error:
        text = f"{receiver.host} refuses the mail: {error.smtp_code} {error.smtp_error!r:.200}"
        if error.smtp_code >= _REFUSED:
            raise Invalid("refused", text) from None
        raise Temporary(text) from None
    except (smtplib.SMTPException, OSError) as error:
        raise Temporary(
            f"{receiver.host}:{receiver.port} does not take the mail: {error!s:.200}"
        ) from None
    if refused:
        # The others have it, and would have it again.
        _log.warning("%s refuses to deliver to %s", receiver.host, ", ".join(sorted(refused)))


def _connect(receiver: Email, allowed: Allowed, tls: ssl.SSLContext) -> smtplib.SMTP:
    class Checked(smtplib.SMTP):
        def _get_socket(self, host: str, port: int, timeout: float) -> socket.socket:
            return _open(host, port, timeout, allowed)

    class CheckedTls(smtplib.SMTP_SSL):
        def _get_socket(self, host: str, port: int, timeout: float) -> socket.socket:
            return tls.wrap_socket(_open(host, port, timeout, allowed), server_hostname=host)

    kind = CheckedTls if receiver.security == "tls" else Checked
    return kind(receiver.host, receiver.port, timeout=_TIMEOUT)


def _open(host: str, port: int, timeout: float, allowed: Allowed) -> socket.socket:
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    for *_, address in found:
        refusal = allowed.refusal(host, str(address[0]))
        if refusal is not None:
            raise Invalid(
                "forbidden_address", f"{refusal}: HEADRACE_OUTGOING_ALLOW has what may be reached."
            )
    failed = OSError(f"{host} has no address")
    for *_, address in found:
        try:
            return socket.create_connection((str(address[0]), port), timeout)
        except OSError as error:
            failed = error
    raise failed
