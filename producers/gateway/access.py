"""Decides who sends: the tenant comes from the API key, never from the body."""

from collections.abc import Awaitable, Callable
from typing import Annotated
from uuid import UUID

from fastapi import HTTPException, Security
from fastapi.security import APIKeyHeader, HTTPAuthorizationCredentials, HTTPBearer

from schemas.keys import HEADER, Keyring

_HEADER = APIKeyHeader(
    name=HEADER, scheme_name="ApiKey", description="A key of scope ingest.", auto_error=False
)
_BEARER = HTTPBearer(
    scheme_name="Bearer", description="The same key as a bearer token.", auto_error=False
)
_CHALLENGE = {"WWW-Authenticate": 'Bearer realm="headrace"'}


def tenant_of(keyring: Keyring) -> Callable[..., Awaitable[UUID]]:
    """A dependency: the tenant whose key the request carries.

    Answers 401 without a good key, 403 without the scope, and 503 when keys can't be looked up.
    """

    async def tenant(
        header: Annotated[str | None, Security(_HEADER)],
        bearer: Annotated[HTTPAuthorizationCredentials | None, Security(_BEARER)],
    ) -> UUID:
        key = header or (bearer and bearer.credentials)
        if not key:
            raise HTTPException(401, f"Send an API key in the {HEADER} header.", _CHALLENGE)
        credential = await keyring.find(key)
        if credential is None:
            raise HTTPException(401, "This API key is unknown, expired or revoked.", _CHALLENGE)
        if "ingest" not in credential.scopes:
            raise HTTPException(403, "This API key may not send: it lacks the scope 'ingest'.")
        return credential.tenant_id

    return tenant
