"""Where commands find Kafka, the database, Temporal and, on a local stack, an API key to use."""

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Literal
from uuid import UUID

from deploy.keys import find_key
from deploy.local.stack import Stack
from schemas.errors import Permanent
from schemas.settings import EMBEDDED, Settings
from schemas.topics import Topics
from sinks.database import connect_pool
from sinks.keys import Tenants
from sinks.outages import OUTAGE, classify

Need = Literal["kafka", "database", "temporal"]

_SCHEMES = ("postgresql://", "postgres://")

LOCAL_TENANT = "local"
"""The tenant that a local stack's own commands act for."""


@dataclass(frozen=True)
class Endpoints:
    """Addresses of the three servers that every process needs."""

    kafka: str
    database: str
    temporal: str


def resolve(settings: Settings, *needs: Need) -> Endpoints:
    """The addresses: each setting, or the local stack's where it says 'embedded'.

    Raises Permanent when a server of `needs` (of all three, if none is named) is an embedded one and
    no stack runs. Servers that are not needed keep what the setting says.
    """
    given = Endpoints(settings.kafka, settings.database, settings.temporal)
    if given.database != EMBEDDED and not given.database.startswith(_SCHEMES):
        # A lazy pool would take anything and fail at its first use, for ever.
        raise Permanent(
            "HEADRACE_DATABASE is no DSN: write postgresql://user:password@host:5432/name."
        )
    embedded = [name for name in needs or vars(given) if getattr(given, name) == EMBEDDED]
    if not embedded:
        return given
    state = Stack.from_settings(settings).state()
    if state is None:
        names = ", ".join(f"HEADRACE_{name.upper()}" for name in embedded)
        raise Permanent(f"No local stack runs here: start it with `headrace up`, or set {names}.")
    return Endpoints(
        **{
            name: getattr(state.endpoints, name) if name in embedded else value
            for name, value in vars(given).items()
        }
    )


def topics(settings: Settings) -> Topics:
    """The topic names of this installation."""
    return Topics(settings.topic_prefix)


async def tenant(settings: Settings, endpoints: Endpoints, api_key: str | None) -> UUID:
    """The tenant of an API key; without one, of the local stack's own key.

    Raises Permanent or Temporary, by what to do next.
    """
    key = api_key or await default_key(settings, endpoints)
    pool = await connect_pool(endpoints.database, role="headrace_reader", application="cli")
    async with pool:
        credential = await find_key(pool, key)
    if credential is None:
        raise Permanent(
            "The API key is unknown, expired or revoked. Make one: headrace tenants keys create"
        )
    return credential.tenant_id


async def default_key(settings: Settings, endpoints: Endpoints) -> str:
    """The key of the local stack's own tenant, made on first use and kept in the home folder (0600).

    Raises Permanent where the database is not the embedded one: its keys are not ours to make.
    """
    if not _is_embedded(settings, endpoints.database):
        raise Permanent(
            "Which tenant? Give --api-key or HEADRACE_API_KEY (headrace tenants keys create)."
        )
    path = settings.home / "credentials.json"
    pool = await connect_pool(endpoints.database, role=None, application="cli")
    async with pool:
        kept = _read(path)
        if kept and await find_key(pool, kept):
            return kept
        tenants = Tenants(pool)
        try:
            await tenants.create(LOCAL_TENANT)
            key = await tenants.create_key(LOCAL_TENANT, ("ingest", "read", "admin"))
        except OUTAGE as error:
            raise classify(error) from error
    _write(path, key)
    return key


def _is_embedded(settings: Settings, database: str) -> bool:
    """Whether this is the database that the running stack has made, not one that it was given."""
    state = Stack.from_settings(settings).state()
    return (
        state is not None
        and state.endpoints.database == database
        and all(service.name != "database" for service in state.services)
    )


def _read(path: Path) -> str | None:
    try:
        return str(json.loads(path.read_text())["api_key"])
    except (FileNotFoundError, ValueError, KeyError):
        return None


def _write(path: Path, key: str) -> None:
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
        json.dump({"tenant": LOCAL_TENANT, "api_key": key}, file)
