"""Who is told of an alert: receivers, the routes that lead to them, and which alerts hush others.

The document of `headrace notifications apply`. It holds references to secrets, never a secret.
"""

import hashlib
import json
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from schemas import matchers
from schemas.definitions import Storable
from schemas.durations import Duration
from schemas.rules import LabelName, MatcherText, RuleName
from schemas.secrets import SCHEME, SecretReference, check_reference

Kind = Literal["webhook", "slack", "email", "alertmanager"]

_MOST = 1_000
_URL = re.compile(r"https?://[^\s/?#@]+(?:[/?#]\S*)?")
_MAILBOX = re.compile(r"[^\s@<>,;:\"()\[\]\\]+@[^\s@<>,;:\"()\[\]\\]+", re.ASCII)
_HOST = re.compile(r"[A-Za-z0-9]([A-Za-z0-9.:-]*[A-Za-z0-9])?", re.ASCII)


def _url(text: str) -> str:
    if text.startswith(SCHEME):
        return check_reference(text)
    if not _URL.fullmatch(text):
        raise ValueError(
            "must be a URL of http or https without credentials, or refer to one: secret://env/NAME"
        )
    return text


def _mailbox(text: str) -> str:
    if not _MAILBOX.fullmatch(text):
        raise ValueError(f"{text[:100]!r} is no address such as ops@example.org")
    return text


def _host(text: str) -> str:
    if not _HOST.fullmatch(text):
        raise ValueError(f"{text[:100]!r} is no host: its port has a field of its own")
    return text


Url = Annotated[Storable, Field(max_length=2048), AfterValidator(_url)]
Mailbox = Annotated[str, Field(max_length=254), AfterValidator(_mailbox)]
MatcherTexts = Annotated[tuple[MatcherText, ...], Field(min_length=1, max_length=20)]
_Labels = Annotated[tuple[LabelName, ...], Field(max_length=20)]
_Wait = Annotated[Duration, Field(ge=timedelta(0), le=timedelta(hours=1))]
_Repeat = Annotated[Duration, Field(ge=timedelta(minutes=1), le=timedelta(days=30))]


class _Part(BaseModel):
    # Durations and tuples are written as text and lists.
    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)


class Webhook(_Part):
    """Gets Alertmanager's webhook JSON (version 4), with values and conditions beside it."""

    url: Url
    secret: SecretReference | None = Field(
        default=None, description="Signs each request: HMAC-SHA256, in X-Headrace-Signature."
    )
    authorization: SecretReference | None = Field(
        default=None, description="The Authorization header."
    )


class Slack(_Part):
    """An incoming webhook of Slack, Mattermost or Rocket.Chat."""

    url: Url = Field(description="Whoever knows it can write there: better a reference.")
    channel: Annotated[Storable, Field(max_length=80)] | None = None


class Email(_Part):
    """Mail through an SMTP server."""

    to: Annotated[tuple[Mailbox, ...], Field(min_length=1, max_length=50)]
    sender: Mailbox = Field(alias="from")
    host: Annotated[str, Field(max_length=253), AfterValidator(_host)]
    port: int = Field(default=587, ge=1, le=65535)
    security: Literal["starttls", "tls", "none"] = "starttls"
    username: Annotated[Storable, Field(max_length=254)] | None = None
    password: SecretReference | None = None

    @model_validator(mode="after")
    def _kept_secret(self) -> Self:
        if (self.username is None) != (self.password is None):
            raise ValueError("username and password go together")
        if self.password is not None and self.security == "none":
            raise ValueError("a password needs security starttls or tls")
        return self


class Alertmanager(_Part):
    """An Alertmanager, which groups, silences and routes by itself. It is told again every minute."""

    url: Url = Field(description="Of its root: alerts go to /api/v2/alerts below.")
    authorization: SecretReference | None = None


class Receiver(_Part):
    """Somewhere to tell of alerts."""

    name: RuleName
    webhook: Webhook | None = None
    slack: Slack | None = None
    email: Email | None = None
    alertmanager: Alertmanager | None = None
    resolved: bool = Field(default=True, description="Whether to tell of the end, too.")

    @model_validator(mode="after")
    def _one_kind(self) -> Self:
        if len(self._kinds()) != 1:
            raise ValueError("must have one of webhook, slack, email and alertmanager")
        return self

    def _kinds(self) -> list[Kind]:
        kinds: tuple[Kind, ...] = ("webhook", "slack", "email", "alertmanager")
        return [kind for kind in kinds if getattr(self, kind) is not None]

    @property
    def kind(self) -> Kind:
        """Which it has."""
        return self._kinds()[0]


class DefaultRoute(_Part):
    """Where alerts go that no other route takes, and what other routes leave out."""

    receiver: RuleName
    group_by: _Labels = Field(
        default=("alertname",),
        description="One notification for alerts with equal values of these.",
    )
    group_wait: _Wait = Field(
        default=timedelta(seconds=30), description="A new group waits so long for more alerts."
    )
    group_interval: _Wait = Field(
        default=timedelta(minutes=5), description="Between notifications of changes in a group."
    )
    repeat_interval: _Repeat = Field(
        default=timedelta(hours=4), description="Until it is told again of what has not changed."
    )


class Route(_Part):
    """Where alerts go that its matchers match."""

    match: MatcherTexts
    receiver: RuleName
    group_by: _Labels | None = None
    group_wait: _Wait | None = None
    group_interval: _Wait | None = None
    repeat_interval: _Repeat | None = None
    go_on: bool = Field(
        default=False, alias="continue", description="Whether the routes below are asked, too."
    )


class Inhibition(_Part):
    """While an alert fires that `source` matches, nobody is told of those that `target` matches."""

    source: MatcherTexts
    target: MatcherTexts
    equal: _Labels = Field(default=(), description="Labels in which the two must be equal.")


@dataclass(frozen=True)
class Grouping:
    """A group that an alert belongs to. Times in seconds."""

    receiver: str
    key: str
    labels: dict[str, str]
    wait: float
    interval: float
    repeat: float


class Notifications(_Part):
    """The document."""

    receivers: Annotated[tuple[Receiver, ...], Field(min_length=1, max_length=_MOST)]
    route: DefaultRoute
    routes: Annotated[tuple[Route, ...], Field(max_length=_MOST)] = Field(
        default=(), description="Asked in this order; the first that matches takes the alert."
    )
    inhibitions: Annotated[tuple[Inhibition, ...], Field(max_length=_MOST)] = ()

    @model_validator(mode="after")
    def _receivers_are_there(self) -> Self:
        names = Counter(receiver.name for receiver in self.receivers)
        twice = sorted(name for name, n in names.items() if n > 1)
        if twice:
            raise ValueError(f"receivers has {', '.join(twice)} twice")
        led_to = {self.route.receiver, *(route.receiver for route in self.routes)}
        missing = sorted(led_to - set(names))
        if missing:
            raise ValueError(f"routes lead to {', '.join(missing)}: no receiver has that name")
        return self

    def receiver(self, name: str) -> Receiver | None:
        """The receiver of this name."""
        return next((one for one in self.receivers if one.name == name), None)

    def groups(self, labels: Mapping[str, str]) -> Iterator[Grouping]:
        """The groups of an alert with these `told_labels`; each receiver and key once at the most."""
        seen = set()
        taken = False
        for route in self.routes:
            if matches(route.match, labels):
                group = self._grouping(route, labels)
                if (group.receiver, group.key) not in seen:
                    seen.add((group.receiver, group.key))
                    yield group
                taken = True
                if not route.go_on:
                    return
        if not taken:
            yield self._grouping(self.route, labels)

    def _grouping(self, route: Route | DefaultRoute, labels: Mapping[str, str]) -> Grouping:
        def given(name: str) -> timedelta:
            value = getattr(route, name)
            found: timedelta = getattr(self.route, name) if value is None else value
            return found

        by = self.route.group_by if route.group_by is None else route.group_by
        shared = {name: labels[name] for name in sorted(by) if labels.get(name)}
        told = json.dumps([route.match if isinstance(route, Route) else (), shared])
        return Grouping(
            receiver=route.receiver,
            key=hashlib.blake2b(told.encode(), digest_size=8).hexdigest(),
            labels=shared,
            wait=given("group_wait").total_seconds(),
            interval=given("group_interval").total_seconds(),
            repeat=given("repeat_interval").total_seconds(),
        )


def told_labels(rule: str, level: str, labels: Mapping[str, str]) -> dict[str, str]:
    """What routes, silences and receivers see: the alert's labels, its rule, and how bad it is.

    A label `severity` that the rule or the series has stays what it is.
    """
    return {"severity": level, **labels, "alertname": rule}


def matches(texts: Sequence[str], labels: Mapping[str, str]) -> bool:
    """Whether matchers all hold. A label that is not there is empty."""
    return which_match(texts, [labels])[0]


def which_match(texts: Sequence[str], labels: Sequence[Mapping[str, str]]) -> list[bool]:
    """Of each of these label sets, whether all matchers hold."""
    return matchers.matching([matchers.parse(text) for text in texts], labels)
