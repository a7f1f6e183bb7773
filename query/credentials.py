"""Decides who asks: the tenant comes from the API key, never from a parameter."""

from typing import Annotated
from uuid import UUID

from fastapi import Depends, Security
from fastapi.security import APIKeyHeader, HTTPAuthorizationCredentials, HTTPBearer

from query.parts import Wired
from schemas import keys

_HEADER = APIKeyHeader(
    name=keys.HEADER,
    scheme_name="ApiKey",
    description="A key of scope read: `headrace tenants keys create NAME --scope read`.",
    auto_error=False,
)
_BEARER = HTTPBearer(
    scheme_name="Bearer", description="The same key as a bearer token.", auto_error=False
)


async def _tenant(
    parts: Wired,
    header: Annotated[str | None, Security(_HEADER)],
    bearer: Annotated[HTTPAuthorizationCredentials | None, Security(_BEARER)],
) -> UUID:
    key = header or (bearer.credentials if bearer else None)
    return await keys.tenant_of(parts.keyring, key, "read")


Tenant = Annotated[UUID, Depends(_tenant)]
"""The tenant of the request's key, which has the scope to read.

Answers 401 without a good key, 403 without the scope, and 503 when the keys can't be looked up.
"""
