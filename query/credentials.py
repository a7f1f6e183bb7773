"""Decides who asks: the tenant comes from the API key, never from a parameter."""

from typing import Annotated
from uuid import UUID

from fastapi import Depends, HTTPException, Security
from fastapi.security import APIKeyHeader, HTTPAuthorizationCredentials, HTTPBearer

from query.parts import Wired
from schemas.keys import HEADER

_HEADER = APIKeyHeader(
    name=HEADER,
    scheme_name="ApiKey",
    description="A key of scope read: `headrace tenants keys create NAME --scope read`.",
    auto_error=False,
)
_BEARER = HTTPBearer(
    scheme_name="Bearer", description="The same key as a bearer token.", auto_error=False
)
_CHALLENGE = {"WWW-Authenticate": 'Bearer realm="headrace"'}


async def _tenant(
    parts: Wired,
    header: Annotated[str | None, Security(_HEADER)],
    bearer: Annotated[HTTPAuthorizationCredentials | None, Security(_BEARER)],
) -> UUID:
    key = header or (bearer and bearer.credentials)
    if not key:
        raise HTTPException(401, f"Send an API key in the {HEADER} header.", _CHALLENGE)
    credential = await parts.keyring.find(key)
    if credential is None:
        raise HTTPException(401, "This API key is unknown, expired or revoked.", _CHALLENGE)
    if "read" not in credential.scopes:
        raise HTTPException(403, "This API key may not read: it lacks the scope 'read'.")
    return credential.tenant_id


Tenant = Annotated[UUID, Depends(_tenant)]
"""The tenant of the request's key, which has the scope to read.

Answers 401 without a good key, 403 without the scope, and 503 when the keys can't be looked up.
"""
