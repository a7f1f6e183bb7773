"""Decides who sends: the tenant comes from the API key, never from the body."""

from collections.abc import Awaitable, Callable
from typing import Annotated
from uuid import UUID

from fastapi import Security
from fastapi.security import APIKeyHeader, HTTPAuthorizationCredentials, HTTPBearer

from schemas import keys

_HEADER = APIKeyHeader(
    name=keys.HEADER, scheme_name="ApiKey", description="A key of scope ingest.", auto_error=False
)
_BEARER = HTTPBearer(
    scheme_name="Bearer", description="The same key as a bearer token.", auto_error=False
)


def tenant_of(keyring: keys.Keyring) -> Callable[..., Awaitable[UUID]]:
    """A dependency: the tenant whose key the request carries.

    Answers 401 without a good key, 403 without the scope, and 503 when keys can't be looked up.
    """

    async def tenant(
        header: Annotated[str | None, Security(_HEADER)],
        bearer: Annotated[HTTPAuthorizationCredentials | None, Security(_BEARER)],
    ) -> UUID:
        key = header or (bearer.credentials if bearer else None)
        return await keys.tenant_of(keyring, key, "ingest")

    return tenant
