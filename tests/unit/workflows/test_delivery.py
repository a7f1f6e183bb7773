"""Notices on their way to real servers, each in the receiver's own form."""

import json
import ssl
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from schemas.errors import Invalid, Temporary
from schemas.notifications import Receiver
from sinks.notifications import Group, Member
from tests.mailbox import mailbox
from tests.receivers import hook
from tests.unit.workflows.test_notify_planning import NOW, TENANT, member, told
from workflows.actions.secrets import Secrets
from workflows.addresses import Allowed
from workflows.notify import webhook
from workflows.notify.delivery import Delivery
from workflows.notify.notices import Item, Notice
from workflows.outgoing import Outgoing, OutgoingPolicy

LOCAL = Allowed.parse("127.0.0.0/8,localhost,::1")
HOSTILE = "a\r\nBcc: all@example.org\n<!channel> {{ labels }} $(reboot) & <b>"


def delivery(allowed: Allowed = LOCAL, tls: ssl.SSLContext | None = None, **env: str) -> Delivery:
    trusted = tls or ssl.create_default_context()
    return Delivery(Outgoing(OutgoingPolicy(allowed)), Secrets(env), allowed, trusted)


def notice(*members: Member, left_out: int = 0, **labels: str) -> Notice:
    group = Group(TENANT, "ops", "k")
    return Notice(group, labels or {"alertname": "slow"}, tuple(map(Item, members)), left_out, NOW)


def to(**form: Any) -> Receiver:
    return Receiver.model_validate({"name": "ops", **form})


OVER = member("b", state="resolved", resolved_at=NOW, told=told(), annotations={"summary": "b was"})


async def test_a_webhook_gets_what_alertmanager_would_send() -> None:
    """Version 4, with our fields beside it; what all alerts share stands apart."""
    async with hook() as took:
        said = notice(member(value=float("nan"), annotations={"summary": "a is"}), OVER, left_out=3)
        await delivery().send(to(webhook={"url": took.url}), said)
    ((headers, _),) = took.requests
    (body,) = took.bodies
    assert "X-Headrace-Signature" not in headers
    assert headers["X-Headrace-Delivery"] == said.id
    assert (body["version"], body["status"], body["truncatedAlerts"]) == ("4", "firing", 3)
    assert body["commonLabels"] == {"alertname": "slow", "severity": "warning"}
    first, second = body["alerts"]
    assert (first["status"], first["value"], first["labels"]["host"]) == ("firing", None, "a")
    assert (second["status"], second["endsAt"]) == ("resolved", NOW.isoformat())
    assert first["startsAt"] == (NOW - timedelta(minutes=1)).isoformat()


async def test_a_webhook_is_signed_with_its_secret() -> None:
    """And authorised; the same notice has the same id, one of other news another."""
    receiver = to(
        webhook={
            "url": "secret://env/URL",
            "secret": "secret://env/KEY",
            "authorization": "secret://env/TOKEN",
        }
    )
    async with hook() as took:
        sender = delivery(URL=took.url, KEY="s3cret", TOKEN="Bearer t0ken")
        for one in (member(), member(), replace(member(), told=told())):
            await sender.send(receiver, notice(one))
    headers, body = took.requests[0]
    stamp = headers["X-Headrace-Timestamp"]
    assert stamp == str(int(NOW.timestamp()))
    assert headers["X-Headrace-Signature"] == webhook.signature("s3cret", stamp, body)
    assert webhook.signature("other", stamp, body) != headers["X-Headrace-Signature"]
    assert headers["Authorization"] == "Bearer t0ken"
    ids = [headers["X-Headrace-Delivery"] for headers, _ in took.requests]
    assert (ids[0] == ids[1], ids[1] == ids[2]) == (True, False)


async def test_a_chat_is_told_in_words() -> None:
    """The worst level gives the colour; no label writes markup or calls a channel together."""
    async with hook() as took:
        many = [member(f"h{n}") for n in range(25)]
        receiver = to(slack={"url": took.url, "channel": "#ops"})
        hostile = member("a", level="critical", labels={"host": HOSTILE})
        await delivery().send(receiver, notice(hostile, *many, left_out=2, alertname=HOSTILE))
        await delivery().send(receiver, notice(OVER))
    first, second = took.bodies
    (attachment,) = first["attachments"]
    assert (first["channel"], attachment["color"]) == ("#ops", "danger")
    assert first["text"].startswith("[FIRING:28] a Bcc: all@example.org &lt;!channel&gt;")
    lines = attachment["text"].split("\n")
    assert (len(lines), lines[-1]) == (21, "… and 8 more")
    assert "<" not in attachment["text"]
    assert (second["text"], second["attachments"][0]["color"]) == ("[RESOLVED] slow", "good")
    assert "resolved: b was (value 1) — host=b" in second["attachments"][0]["text"]


async def test_an_alertmanager_gets_alerts() -> None:
    """Firing ones end later, resolved ones have ended; a changed level ends what it was before."""
    async with hook() as took:
        worse = member(
            "w", level="critical", told=told(), labels={"host": "w", "http.route": "/", "e": ""}
        )
        ahead = replace(OVER, resolved_at=NOW + timedelta(hours=1))
        receiver = to(alertmanager={"url": took.url})
        await delivery().send(receiver, notice(worse, ahead))
    ((_, raw),) = took.requests
    alerts = json.loads(raw)
    assert [(one["labels"]["host"], one["labels"]["severity"]) for one in alerts] == [
        ("w", "critical"), ("w", "warning"), ("b", "warning"),
    ]  # fmt: skip
    assert alerts[0]["labels"]["http_route"] == "/"
    assert "e" not in alerts[0]["labels"]
    ends = [one["endsAt"] for one in alerts]
    assert ends == [(NOW + timedelta(minutes=4)).isoformat(), NOW.isoformat(), NOW.isoformat()]


@pytest.mark.parametrize("security", ["starttls", "tls", "none"])
async def test_a_mail_is_sent(security: str) -> None:
    """Encrypted and signed in where the receiver says so; no label adds a header."""
    with mailbox(security=security) as box:
        mail = {
            "to": ["ops@example.org", "eve@example.org"],
            "from": "headrace@example.org",
            "host": "localhost",
            "port": box.port,
            "security": security,
        }
        if security == "starttls":
            mail |= {"username": "headrace", "password": "secret://env/PASSWORD"}
        sender = delivery(tls=box.tls, PASSWORD="s3cret")
        hostile = member(labels={"host": HOSTILE}, annotations={"summary": HOSTILE})
        await sender.send(to(email=mail), notice(hostile, OVER, alertname=HOSTILE))
    ((recipients, letter),) = box.mails
    assert recipients == ["ops@example.org", "eve@example.org"]
    assert letter["To"] == "ops@example.org, eve@example.org"
    assert letter["Bcc"] is None
    assert letter["Subject"].strip().startswith("[FIRING:1] a Bcc: all@example.org <!channel>")
    lines = letter.get_content().splitlines()
    assert len(lines) == 4
    assert lines[2].startswith("warning: a Bcc:")
    assert box.logins == ([("headrace", "s3cret")] if security == "starttls" else [])


async def test_what_a_mail_server_refuses_is_said() -> None:
    """For now or for good; a wrong password and an untrusted certificate are never sent past."""
    mail: dict[str, Any] = {"to": ["ops@example.org"], "from": "h@example.org", "host": "localhost"}
    with mailbox(security="starttls") as box:
        mail |= {"port": box.port, "username": "headrace", "password": "secret://env/P"}
        receiver = to(email=mail)
        with pytest.raises(Invalid, match="535"):
            await delivery(tls=box.tls, P="wrong").send(receiver, notice(member()))
        with pytest.raises(Temporary, match="certificate"):
            await delivery(P="s3cret").send(receiver, notice(member()))
        assert set(box.logins) == {("headrace", "wrong")}  # by each mechanism that there is
        for answer, kind in (("451 later", Temporary), ("554 never", Invalid)):
            box.answer = answer
            with pytest.raises(kind, match=answer[:3]):
                await delivery(tls=box.tls, P="s3cret").send(receiver, notice(member()))
        with pytest.raises(Invalid, match="HEADRACE_OUTGOING_ALLOW"):
            await delivery(Allowed(), box.tls, P="s3cret").send(receiver, notice(member()))
    with pytest.raises(Temporary):
        await delivery(tls=box.tls, P="s3cret").send(receiver, notice(member()))
    assert box.mails == []


async def test_what_an_http_server_refuses_is_said_without_secrets() -> None:
    """Neither the URL nor a header that it echoes gets into a history."""
    async with hook() as took:
        took.status = 500
        sender = delivery(URL=f"{took.url}/T0KEN", AUTH="T0KEN not now")
        plain = to(webhook={"url": took.url, "authorization": "secret://env/AUTH"})
        with pytest.raises(Temporary, match="answered 500: not now"):
            await sender.send(to(webhook={"url": took.url}), notice(member()))
        await _fails(sender, plain, Temporary)
        for form in (
            {"slack": {"url": "secret://env/URL"}},
            {"webhook": {"url": "secret://env/URL"}},
        ):
            await _fails(sender, to(**form), Temporary)
        await _fails(
            delivery(Allowed(), URL=took.url), to(slack={"url": "secret://env/URL"}), Invalid
        )
        await _fails(delivery(), to(slack={"url": "secret://env/URL"}), Invalid)
        with pytest.raises(Invalid, match="HEADRACE_OUTGOING_ALLOW"):
            await delivery(Allowed()).send(to(webhook={"url": took.url}), notice(member()))
    await _fails(sender, to(slack={"url": "secret://env/URL"}), Temporary)


async def _fails(sender: Delivery, receiver: Receiver, kind: type[Exception]) -> None:
    with pytest.raises(kind) as failed:
        await sender.send(receiver, notice(member()))
    assert "T0KEN" not in str(failed.value)
    assert "127.0.0.1" not in str(failed.value)
    assert failed.value.__cause__ is None
