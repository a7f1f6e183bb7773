"""API keys: what a request may do, and for which tenant. The tenant comes from here and nowhere else."""

import hashlib
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, Protocol
from uuid import UUID

from schemas.errors import Invalid

Scope = Literal["ingest", "read", "admin"]

PREFIX = "hr_"
"""Begins every key, so that secret scanners and people recognise one."""

ID_DIGITS = 12
"""First hexadecimal digits of a key's hash: its id, enough to name it and useless to sign in."""

HEADER = "X-API-Key"
"""The header that carries the key; `Authorization: Bearer <key>` is read as well."""

_CHALLENGE = {"WWW-Authenticate": 'Bearer realm="headrace"'}


@dataclass(frozen=True)
class Credential:
    """An API key that was found valid."""

    tenant_id: UUID
    scopes: frozenset[str]

    def tenant_for(self, scope: Scope) -> UUID:
        """The tenant, for a request that needs the scope. Raises Refused: 403 without it."""
        if scope not in self.scopes:
            raise Refused(403, f"This API key lacks the scope {scope!r}: use one that has it.")
        return self.tenant_id


class Keyring(Protocol):
    """Finds the credential of an API key."""

    async def find(self, key: str) -> Credential | None:
        """Return the credential, or None for a key that is unknown, expired or revoked.

        Raises:
            Temporary: the store of keys can't be reached and the key is not cached.
        """
        ...


class Refused(Invalid):
    """The request has no key that allows it. `status` and `headers` are those of the HTTP answer."""

    def __init__(
        self, status: Literal[401, 403], detail: str, headers: Mapping[str, str] | None = None
    ) -> None:
        super().__init__("bad_key", detail)
        self.status = status
        self.headers = headers


async def credential_of(keyring: Keyring, key: str | None) -> Credential:
    """The credential of a request's key.

    Raises:
        Refused: 401 without a good key.
        Temporary: keys can't be looked up.
    """
    if not key:
        raise Refused(401, f"Send an API key in the {HEADER} header.", _CHALLENGE)
    credential = await keyring.find(key)
    if credential is None:
        raise Refused(401, "This API key is unknown, expired or revoked.", _CHALLENGE)
    return credential


async def tenant_of(keyring: Keyring, key: str | None, scope: Scope) -> UUID:
    """The tenant of a request's key.

    Raises:
        Refused: 401 without a good key, 403 without the scope.
        Temporary: keys can't be looked up.
    """
    return (await credential_of(keyring, key)).tenant_for(scope)


def new_key() -> str:
    """A key that nobody has."""
    return PREFIX + secrets.token_urlsafe(32)


def key_hash(key: str) -> bytes:
    """SHA-256 of a key: keys have 256 random bits, so a slow password hash would add nothing."""
    return hashlib.sha256(key.encode()).digest()
