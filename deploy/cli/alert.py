"""`headrace alert`: what is wrong, who takes care of it, and of what nobody is told for a while."""

import getpass
from datetime import UTC, datetime
from enum import StrEnum
from typing import Annotated, TypeVar
from uuid import UUID

import typer
from pydantic import BaseModel, TypeAdapter, ValidationError

from deploy.cli.access import ApiKey, AsJson, reading, writing
from deploy.cli.alert_display import show_alert, show_alerts, show_silences
from query import alerts, silences
from query.alert_answers import Alert, SilenceState
from query.alerts import AlertWithHistory, NewAcknowledgement, Wanted
from query.database import Reading
from query.silences import NewSilence
from schemas import durations
from schemas.errors import Permanent
from schemas.faults import faults, why
from schemas.rules import Level, MatcherText

_Id = Annotated[str, typer.Argument(help="Its id, or how that begins.", show_default=False)]
_Author = Annotated[str | None, typer.Option(help="Who you are. [the login's name]")]
_M = TypeVar("_M", bound=BaseModel)
_MATCHER: TypeAdapter[str] = TypeAdapter(MatcherText)


class StateChoice(StrEnum):
    """The states of an alert, as Typer can offer them."""

    INACTIVE = "inactive"
    PENDING = "pending"
    FIRING = "firing"
    RESOLVED = "resolved"


def register(app: typer.Typer) -> None:
    """Add the commands to the CLI."""
    alert = typer.Typer(
        no_args_is_help=True, help="See alerts, take care of them, and silence them."
    )
    alert.command("list")(list_alerts)
    alert.command("show")(show)
    alert.command("ack")(acknowledge)
    alert.command("silence")(silence_alerts)
    alert.command("silences")(list_silences)
    alert.command("expire")(expire)
    app.add_typer(alert, name="alert")


def list_alerts(
    *,
    state: Annotated[
        list[StateChoice] | None,
        typer.Option(help="In this state; repeat it for more. [pending and firing]"),
    ] = None,
    everything: Annotated[bool, typer.Option("--all", help="In any state.")] = False,
    rule: Annotated[str | None, typer.Option(help="Of this rule.")] = None,
    level: Annotated[Level | None, typer.Option(help="Of this level.")] = None,
    match: Annotated[
        list[str] | None,
        typer.Option(help="What a label must be: host=~web.*; repeat it for more."),
    ] = None,
    limit: Annotated[int, typer.Option(min=1, max=alerts.MOST, help="At the most.")] = 100,
    api_key: ApiKey = None,
    as_json: AsJson = False,
) -> None:
    """Show alerts, the newest change first.

    headrace alert list
    headrace alert list --all --match team=db
    """
    shown = [one.value for one in state or (StateChoice.PENDING, StateChoice.FIRING)]
    states = None if everything else shown
    wanted = Wanted(states, rule, level, None, _matchers(match or []))
    found = reading(api_key, lambda one: alerts.some(one, wanted, limit, datetime.now(UTC)))
    show_alerts(found, as_json=as_json)


def show(alert: _Id, *, api_key: ApiKey = None, as_json: AsJson = False) -> None:
    """Show one alert and what happened to it."""

    async def work(one: Reading) -> AlertWithHistory:
        return await alerts.find(one, await alerts.named(one, alert), datetime.now(UTC))

    found = reading(api_key, work)
    show_alert(found, as_json=as_json)


def acknowledge(
    alert: _Id,
    *,
    author: _Author = None,
    comment: Annotated[str | None, typer.Option(help="What is done about it.")] = None,
    api_key: ApiKey = None,
    as_json: AsJson = False,
) -> None:
    """Say that you take care of an alert: receivers are not reminded of it any more.

    Until it gets worse, ends, or comes back. Needs a key of scope admin.

        headrace alert ack 1f0c9a --comment "rolling back"
    """
    by = _checked(NewAcknowledgement, author=author or getpass.getuser(), comment=comment)

    async def work(one: Reading) -> Alert:
        return await alerts.acknowledge(one, await alerts.named(one, alert), by, datetime.now(UTC))

    done = writing(api_key, work)
    told = f"{done.rule} [{done.state}]: {by.author} takes care of it"
    print(done.model_dump_json() if as_json else told)


def silence_alerts(
    matchers: Annotated[
        list[str],
        typer.Argument(metavar="MATCHER…", help="host=~web.*, alertname=slow.", show_default=False),
    ],
    *,
    lasting: Annotated[
        str, typer.Option("--for", help="How long: 30m, 2h, 1d.", show_default=False)
    ],
    author: _Author = None,
    comment: Annotated[str, typer.Option(help="Why.")] = "",
    api_key: ApiKey = None,
    as_json: AsJson = False,
) -> None:
    """Tell nobody of alerts that all these match, from now on.

    `alertname` is the rule, `severity` the level. Alerts still fire and resolve; of what still fires at
    the end, receivers are told then. Needs a key of scope admin.

        headrace alert silence alertname=items-slow host=~web.* --for 2h --comment "new disks"
    """
    now = datetime.now(UTC)
    try:
        until = now + durations.parse(lasting)
    except ValueError as error:
        raise Permanent(f"--for: {error}.") from error
    asked_for = _checked(
        NewSilence,
        matchers=_matchers(matchers),
        expires_at=until,
        author=author or getpass.getuser(),
        comment=comment,
    )

    made = writing(api_key, lambda one: silences.create(one, asked_for, now))
    told = f"silence {made.id} [{made.state}] until {made.expires_at:%Y-%m-%d %H:%M:%S} UTC"
    print(made.model_dump_json() if as_json else told)


def list_silences(
    *,
    everything: Annotated[bool, typer.Option("--all", help="Those that expired, too.")] = False,
    limit: Annotated[int, typer.Option(min=1, max=alerts.MOST, help="At the most.")] = 100,
    api_key: ApiKey = None,
    as_json: AsJson = False,
) -> None:
    """Show silences, those that last longest first."""
    states: list[SilenceState] | None = None if everything else ["pending", "active"]
    found = reading(api_key, lambda one: silences.some(one, states, None, limit, datetime.now(UTC)))
    show_silences(found, as_json=as_json)


def expire(
    silence: Annotated[UUID, typer.Argument(help="The silence's id.", show_default=False)],
    *,
    api_key: ApiKey = None,
    as_json: AsJson = False,
) -> None:
    """End a silence now. Needs a key of scope admin."""
    ended = writing(api_key, lambda one: silences.expire(one, silence, datetime.now(UTC)))
    print(ended.model_dump_json() if as_json else f"silence {ended.id} [{ended.state}]")


def _matchers(texts: list[str]) -> tuple[str, ...]:
    for text in texts:
        try:
            _MATCHER.validate_python(text)
        except ValidationError as error:
            raise Permanent(f"{text!r} {why(error.errors()[0])}.") from error
    return tuple(texts)


def _checked(model: type[_M], **facts: object) -> _M:
    try:
        return model(**facts)
    except ValidationError as error:
        raise Permanent(f"{faults(error, 'It')[0]}.") from error
