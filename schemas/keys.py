"""API keys: what a request may do, and for which tenant. The tenant comes from here and nowhere else."""

import hashlib
from dataclasses import dataclass
from typing import Literal, Protocol
from uuid import UUID

Scope = Literal["ingest", "read", "admin"]

HEADER = "X-API-Key"
"""The header that carries the key; `Authorization: Bearer <key>` is read as well."""


@dataclass(frozen=True)
class Credential:
    """An API key that was found valid."""

    tenant_id: UUID
    scopes: frozenset[str]


class Keyring(Protocol):
    """Finds the credential of an API key."""

    async def find(self, key: str) -> Credential | None:
        """Return the credential, or None for a key that is unknown, expired or revoked.

        Raises:
            Temporary: the store of keys can't be reached and the key is not cached.
        """
        ...


def key_hash(key: str) -> bytes:
    """SHA-256 of a key: keys have 256 random bits, so a slow password hash would add nothing."""
    return hashlib.sha256(key.encode()).digest()
