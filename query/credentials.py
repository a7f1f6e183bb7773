"""Decides who asks: the tenant comes from the API key, never from a parameter.

A scope implies no other: each route names the one that it needs by the type of its parameter.
"""

from typing import Annotated
from uuid import UUID

from fastapi import Depends, Request, Security
from fastapi.security import APIKeyHeader, HTTPAuthorizationCredentials, HTTPBearer

from query.parts import wired
from query.spelling import check_spelling
from schemas import keys

_HEADER = APIKeyHeader(
    name=keys.HEADER,
    scheme_name="ApiKey",
    description="A key of scope read, or admin for changes: "
    "`headrace tenants keys create NAME --scope read`.",
    auto_error=False,
)
_BEARER = HTTPBearer(
    scheme_name="Bearer", description="The same key as a bearer token.", auto_error=False
)


async def _authenticated(
    request: Request,
    header: Annotated[str | None, Security(_HEADER)],
    bearer: Annotated[HTTPAuthorizationCredentials | None, Security(_BEARER)],
) -> keys.Credential:
    key = header or (bearer.credentials if bearer else None)
    credential = await keys.credential_of(wired(request).keyring, key)
    # Here, since each dependency of its own costs a request as much as finding a cached key; and after the
    # key, since only who has one learns what a route takes.
    check_spelling(request)
    return credential


Authenticated = Annotated[keys.Credential, Depends(_authenticated)]
"""The credential of the request's key, whatever its scopes.

Answers 401 without a good key, 422 to a parameter that the route doesn't know, and 503 when the keys can't
be looked up.
"""


async def _reader(credential: Authenticated) -> UUID:
    return credential.tenant_for("read")


async def _admin(credential: Authenticated) -> UUID:
    return credential.tenant_for("admin")


Tenant = Annotated[UUID, Depends(_reader)]
"""The tenant of the request's key, which has the scope to read. Answers 403 without, and as above."""

AdminTenant = Annotated[UUID, Depends(_admin)]
"""The tenant of the request's key, which has the scope admin. Answers 403 without, and as above."""
