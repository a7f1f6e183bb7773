"""Alert rules: what to watch, when it is bad, and what is done about it."""

import re
from datetime import timedelta
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from schemas.definitions import MetricName, Storable
from schemas.durations import Duration, spell
from schemas.matchers import Matcher, parse

GRID = timedelta(milliseconds=500)
"""Rules are evaluated at multiples of it in event time; windows and intervals are multiples of it."""

LONGEST_WINDOW = timedelta(days=1)
LONGEST_WAIT = timedelta(days=7)

Level = Literal["warning", "critical"]
Operator = Literal[">", ">=", "<", "<=", "==", "!="]
Function = Annotated[
    str,
    Field(
        pattern=r"^(value|avg|min|max|sum|count|rate|p([0-9]|[1-9][0-9])(\.[0-9]{1,3})?)$",
        examples=["p95"],
    ),
]
"""value: the latest sample, of the last five minutes; rate: of a counter, by the second, resets handled;
p95, p99.9: a percentile. All but value are of a window."""

_RULE_NAME = re.compile(r"(definition:)?[a-zA-Z0-9_][a-zA-Z0-9._-]{0,127}", re.ASCII)
_LABEL = re.compile(r"[a-zA-Z_][a-zA-Z0-9_.]*", re.ASCII)


def _named(text: str) -> str:
    if not _RULE_NAME.fullmatch(text):
        raise ValueError("must be 1 to 128 letters, digits, . _ or -, not beginning with . or -")
    return text


def _label(text: str) -> str:
    if not _LABEL.fullmatch(text) or len(text) > 128:  # noqa: PLR2004 - as labels of samples
        raise ValueError(f"{text[:128]!r} is no label name")
    return text


def _on_grid(duration: timedelta, longest: timedelta) -> timedelta:
    if duration % GRID or duration > longest:
        raise ValueError(f"must be a multiple of {spell(GRID)}, at most {spell(longest)}")
    return duration


def _window(duration: timedelta) -> timedelta:
    if not duration:
        raise ValueError("must be longer than 0s")
    return _on_grid(duration, LONGEST_WINDOW)


def _wait(duration: timedelta) -> timedelta:
    return _on_grid(duration, LONGEST_WAIT)


def _matcher(text: str) -> str:
    parse(text)
    return text


RuleName = Annotated[str, AfterValidator(_named)]
LabelName = Annotated[str, AfterValidator(_label)]
_Window = Annotated[Duration, AfterValidator(_window)]
_Wait = Annotated[Duration, AfterValidator(_wait)]
_Number = Annotated[float, Field(ge=-1e290, le=1e290, allow_inf_nan=False)]
MatcherText = Annotated[Storable, Field(max_length=1024), AfterValidator(_matcher)]
_Text = Annotated[Storable, Field(max_length=4096)]


class Remediation(BaseModel):
    """Which playbook an alert starts, and what holds it back. The defaults are the careful ones."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    playbook: RuleName = Field(description="Name of the playbook; its newest version is run.")
    approval: Literal["required", "none"] = Field(
        default="required", description="Whether a person must approve before anything is done."
    )
    approval_expires: _Wait = Field(
        default=timedelta(minutes=30), description="Unanswered for so long: not done, escalated."
    )
    dry_run: bool = Field(default=False, description="Tell what would be done; do nothing.")
    cooldown: _Wait = Field(
        default=timedelta(minutes=10), description="Between two runs for the same alert."
    )
    max_per_hour: int = Field(
        default=6,
        ge=1,
        le=1000,
        description="Runs of this rule in any hour, all its alerts together.",
    )
    verify_after: _Wait = Field(
        default=timedelta(minutes=2),
        description="An alert that has not resolved so long after the last step is escalated.",
    )
    levels: tuple[Level, ...] = Field(
        default=("warning", "critical"),
        strict=False,
        min_length=1,
        description="Levels that start it.",
    )


class Rule(BaseModel):
    """An alert rule, but for its tenant.

    Exactly one of two forms: `function`, `operator` and at least one level; or `absent_for`.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, populate_by_name=True)

    name: RuleName = Field(examples=["items-slow"])
    metric: MetricName = Field(examples=["http_req_duration"])
    match: tuple[MatcherText, ...] = Field(
        default=(),
        strict=False,
        max_length=20,
        description="Label matchers, all of which hold: host=a, host!=a, host=~web.*, host!~web.*",
        examples=[["name=list items"]],
    )
    function: Function | None = None
    window: _Window | None = Field(default=None, description="What function is of; not with value.")
    change: Literal["absolute", "percent"] | None = Field(
        default=None,
        description="Compare with the window before: the difference, or it in per cent.",
    )
    absent_for: _Window | None = Field(
        default=None,
        description="Fires when a series that was there has had no sample for so long.",
    )
    operator: Operator | None = None
    warning: _Number | None = None
    critical: _Number | None = None
    clear: _Number | None = Field(
        default=None,
        description="An alert goes on until the value is past this one, too: against flapping.",
    )
    wait: _Wait = Field(
        default=timedelta(0), alias="for", description="How long it must be bad before it fires."
    )
    keep_firing_for: _Wait = Field(
        default=timedelta(0), description="How long it fires on after it is good again."
    )
    interval: _Window = Field(default=GRID, description="How often it is evaluated, in event time.")
    group_by: tuple[LabelName, ...] | None = Field(
        default=None,
        strict=False,
        max_length=20,
        description="One alert for all series with equal values of these; null: one for each series.",
    )
    limit: int = Field(
        default=500,
        ge=1,
        le=10_000,
        description="Most alerts at once; past it new ones are not made.",
    )
    labels: dict[LabelName, Annotated[Storable, Field(max_length=1024)]] = Field(
        default_factory=dict, max_length=20, description="Added to each alert's labels."
    )
    annotations: dict[LabelName, _Text] = Field(
        default_factory=dict,
        max_length=20,
        description="Texts for people; {{ labels.host }}, {{ value }}, {{ threshold }} and {{ level }} are filled in.",
        examples=[{"summary": "{{ labels.host }} is at {{ value }}"}],
    )
    remediation: Remediation | None = None
    enabled: bool = True

    @property
    def matchers(self) -> tuple[Matcher, ...]:
        """What `match` spells."""
        return tuple(parse(text) for text in self.match)

    @property
    def percentile(self) -> float | None:
        """The fraction of values below what `function` asks for; None unless it is a percentile."""
        name = self.function or ""
        return float(name[1:]) / 100 if name.startswith("p") else None

    @property
    def document(self) -> str:
        """The rule as it is stored and applied, as JSON: what differs from the defaults."""
        return self.model_dump_json(by_alias=True, exclude_defaults=True)

    @property
    def condition(self) -> str:
        """The rule in words, without its levels: p95(http_req_duration{name=list}) over 30s."""
        series = f"{self.metric}{{{', '.join(self.match)}}}" if self.match else self.metric
        if self.absent_for is not None:
            return f"{series} absent for {spell(self.absent_for)}"
        of = (
            series
            if self.window is None
            else f"{self.function}({series}) over {spell(self.window)}"
        )
        change = {"absolute": "change of ", "percent": "change in per cent of "}
        return f"{change[self.change]}{of}" if self.change else of

    @model_validator(mode="after")
    def _one_form(self) -> Self:
        if (self.function is None) == (self.absent_for is None):
            raise ValueError("must have function with operator and a level, or absent_for")
        if self.absent_for is not None:
            extra = [
                name
                for name in ("window", "change", "operator", "warning", "critical", "clear")
                if getattr(self, name) is not None
            ]
            if extra:
                raise ValueError(f"absent_for goes without {', '.join(extra)}")
            return self
        if self.operator is None or (self.warning is None and self.critical is None):
            raise ValueError("function needs an operator, and warning, critical or both")
        if (self.function == "value") != (self.window is None):
            raise ValueError("window belongs to every function but value")
        if self.change is not None and self.window is None:
            raise ValueError("change is between two windows: value has none")
        self._check_levels()
        return self

    def _check_levels(self) -> None:
        high = self.operator in {">", ">="}
        low = self.operator in {"<", "<="}
        if self.clear is not None and not (high or low):
            raise ValueError("clear goes with > >= < <=")
        if self.warning is not None and self.critical is not None:
            if not (high or low):
                raise ValueError("with == and != there is one level")
            if (self.critical < self.warning) if high else (self.critical > self.warning):
                raise ValueError("critical must be further out than warning")
        first = self.warning if self.warning is not None else self.critical
        beyond = (
            self.clear is not None
            and first is not None
            and (self.clear > first if high else self.clear < first)
        )
        if beyond:
            raise ValueError("clear must be on the good side of the first level")
