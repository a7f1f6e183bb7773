"""What operators let playbooks do: commands, statements, clusters and secrets, each for whom. Pure.

Tenants write playbooks; what these do happens on the operator's machines. So whatever is not a plain HTTP
request is in this list, and whatever is in it says which tenants may use it.
"""

import re
from collections.abc import Mapping
from typing import Annotated, Literal, Self, TypeVar
from uuid import UUID

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from schemas.definitions import Storable
from schemas.errors import Invalid
from schemas.rules import LabelName, RuleName
from schemas.templates import Place, places

_PARAMETER = re.compile(r"\{([a-zA-Z_][a-zA-Z0-9_]*)\}", re.ASCII)


def _expression(text: str) -> str:
    try:
        re.compile(text)
    except re.error as error:
        raise ValueError(f"{text!r} is no regular expression: {error}") from error
    return text


def _secret(text: str) -> str:
    found = places(text)
    if len(found) != 1 or not found[0].secret or not text.startswith("secret://"):
        raise ValueError("must be a reference: secret://env/NAME or secret://file/PATH")
    return text


Expression = Annotated[str, Field(max_length=1024), AfterValidator(_expression)]
Secret = Annotated[str, AfterValidator(_secret)]


class _Grant(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    tenants: Literal["all"] | tuple[UUID, ...] = Field(description="Who may use it.")

    def given_to(self, tenant: UUID) -> bool:
        """Whether a tenant may use it."""
        return self.tenants == "all" or tenant in self.tenants


class CommandGrant(_Grant):
    """A command. `argv[0]` is an absolute path; `{name}` elements are parameters, each one argument."""

    argv: tuple[Annotated[Storable, Field(min_length=1, max_length=4096)], ...] = Field(
        min_length=1, max_length=100, examples=[["/usr/bin/systemctl", "restart", "{unit}"]]
    )
    parameters: dict[LabelName, Expression] = Field(
        default_factory=dict,
        description="What each may be: an expression that must match all of it. Begin with [a-z0-9] to keep "
        "options out.",
    )
    user: str = Field(
        default="nobody",
        description="Whom it runs as where the worker is root; else it runs as the worker.",
    )
    longest: Annotated[float, Field(gt=0, le=3600)] = Field(
        default=60.0, description="Seconds, whatever a playbook says."
    )

    @model_validator(mode="after")
    def _known(self) -> Self:
        if not self.argv[0].startswith("/"):
            raise ValueError("argv must begin with an absolute path")
        used = {found[1] for one in self.argv if (found := _PARAMETER.fullmatch(one))}
        if used != set(self.parameters):
            raise ValueError(
                f"argv uses {sorted(used)} and parameters has {sorted(self.parameters)}: "
                "each parameter is an element {name} of argv"
            )
        return self

    def arguments(self, given: Mapping[str, str]) -> list[str]:
        """The argument vector. Raises Invalid for parameters that are missing, unknown or not allowed."""
        check_names("parameters of the command", set(self.parameters), set(given))
        for name, value in given.items():
            check_value(name, value, self.parameters[name])
        return [
            given[found[1]] if (found := _PARAMETER.fullmatch(one)) else one for one in self.argv
        ]


class StatementGrant(_Grant):
    """A statement of PostgreSQL. Parameters are bound as text, in order: `$1::text::int`."""

    database: Secret = Field(description="A secret that holds the DSN.")
    sql: Annotated[Storable, Field(min_length=1, max_length=65_536)]
    parameters: tuple[LabelName, ...] = ()

    def arguments(self, given: Mapping[str, str]) -> list[str]:
        """The values to bind. Raises Invalid for parameters that are missing or unknown."""
        check_names("parameters of the statement", set(self.parameters), set(given))
        return [given[name] for name in self.parameters]


class ClusterGrant(_Grant):
    """A Kubernetes cluster."""

    server: Annotated[str, Field(pattern=r"^https?://[^/?#{}@\s]+/?$")]
    token: Secret
    authority: str | None = Field(
        default=None, description="File with the certificates that sign its own."
    )
    namespaces: tuple[Annotated[str, Field(pattern="^[a-z0-9-]{1,63}$")], ...] = Field(min_length=1)
    most_replicas: int = Field(default=20, ge=0, description="Of one workload.")


class SecretGrant(_Grant):
    """A secret that HTTP requests of playbooks may carry."""


class Grants(BaseModel):
    """All that is granted; nothing, unless it is written down."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    commands: dict[RuleName, CommandGrant] = Field(default_factory=dict)
    statements: dict[RuleName, StatementGrant] = Field(default_factory=dict)
    clusters: dict[RuleName, ClusterGrant] = Field(default_factory=dict)
    secrets: dict[Secret, SecretGrant] = Field(default_factory=dict)

    def command(self, name: str, tenant: UUID) -> CommandGrant:
        """The command. Raises Invalid unless the tenant may run it."""
        return _granted("command", self.commands, name, tenant)

    def statement(self, name: str, tenant: UUID) -> StatementGrant:
        """The statement. Raises Invalid unless the tenant may run it."""
        return _granted("statement", self.statements, name, tenant)

    def cluster(self, name: str, tenant: UUID) -> ClusterGrant:
        """The cluster. Raises Invalid unless the tenant may use it."""
        return _granted("cluster", self.clusters, name, tenant)

    def check_secret(self, place: Place, tenant: UUID) -> None:
        """Raise Invalid unless the tenant's requests may carry this secret."""
        _granted("secret", self.secrets, place.name, tenant)


_G = TypeVar("_G", bound=_Grant)


def _granted(what: str, grants: Mapping[str, _G], name: str, tenant: UUID) -> _G:
    grant = grants.get(name)
    if grant is None or not grant.given_to(tenant):
        # The same words for both: what others have is not this tenant's to know.
        raise Invalid(
            "not_granted",
            f"The {what} {name!r} is not granted: an operator adds it to the file of HEADRACE_REMEDIATION_GRANTS.",
        )
    return grant


def check_names(what: str, wanted: set[str], given: set[str]) -> None:
    """Raise Invalid unless just these names are given."""
    if wanted != given:
        raise Invalid("bad_parameters", f"The {what} are {sorted(wanted)}, not {sorted(given)}.")


def check_value(name: str, value: str, expression: str) -> None:
    """Raise Invalid unless the expression matches all of the value."""
    if not re.fullmatch(expression, value):
        shown = value[:80] + "…" * (len(value) > 80)  # noqa: PLR2004 - enough to recognise it
        raise Invalid("bad_parameters", f"{name} may not be {shown!r}: it must match {expression}")
