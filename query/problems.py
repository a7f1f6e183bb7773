"""Errors as RFC 9457 problem details: what went wrong, where, and what to do next."""

import logging
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from fastapi.routing import iter_route_contexts
from pydantic import BaseModel, Field
from starlette.exceptions import HTTPException as StarletteHTTPException

from query.database import TooSlow
from schemas import problems
from schemas.errors import Invalid, Temporary
from schemas.faults import why
from schemas.keys import Refused

_LOG = logging.getLogger(__name__)
_SHOWN = 10
"""Faults that one answer names; a body may have thousands."""
_LONGEST = 200
"""Characters shown of what a caller wrote."""
_UNREADABLE = "There was an error parsing the body"
"""FastAPI's own words."""
_CONSEQUENCES = {"default_factory_not_called"}
"""Faults that only follow from another."""


class FieldProblem(BaseModel):
    """What is wrong with one parameter."""

    field: str = Field(examples=["query.bucket"])
    reason: str = Field(examples=["must be a duration such as 30s, 5m or 1h"])


class Problem(problems.Problem[FieldProblem]):
    """RFC 9457 problem details."""

    errors: list[FieldProblem] = Field(default=[], description="the parameters at fault")


def respond(
    status: int,
    detail: str,
    *,
    errors: Sequence[FieldProblem] = (),
    headers: Mapping[str, str] | None = None,
) -> JSONResponse:
    """A problem as a response."""
    content = Problem.of(status, detail, errors).document()
    return JSONResponse(content, status, headers=headers, media_type=problems.MEDIA_TYPE)


def bad_parameter(field: str, reason: str) -> RequestValidationError:
    """The error of a parameter that is only wrong beside others or beside the data."""
    return RequestValidationError([{"loc": ("query", field), "msg": reason, "type": "value_error"}])


def install(app: FastAPI) -> None:
    """Make every error of the application a problem document."""
    app.add_exception_handler(StarletteHTTPException, _http)

    @app.exception_handler(RequestValidationError)
    async def invalid_request(_: Request, error: RequestValidationError) -> JSONResponse:
        errors = [_fault(one) for one in error.errors() if one["type"] not in _CONSEQUENCES]
        shown = errors[:_SHOWN]
        detail = "; ".join(f"{one.field}: {one.reason}" for one in shown)
        more = f"; and {len(errors) - _SHOWN} more" if len(errors) > _SHOWN else ""
        return respond(422, detail + more, errors=shown)

    @app.exception_handler(Refused)
    async def refused(_: Request, error: Refused) -> JSONResponse:
        return respond(error.status, str(error), headers=error.headers)

    @app.exception_handler(Invalid)
    async def invalid(_: Request, error: Invalid) -> JSONResponse:
        return respond(422, str(error))

    @app.exception_handler(TooSlow)
    async def too_slow(_: Request, error: TooSlow) -> JSONResponse:
        return respond(504, str(error))

    @app.exception_handler(Temporary)
    async def temporary(_: Request, error: Temporary) -> JSONResponse:
        _LOG.warning("answered 503: %s (%r)", error, error.__cause__)
        after = str(max(1, round(error.retry_after)))
        return respond(503, str(error), headers={"Retry-After": after})

    @app.exception_handler(Exception)
    async def unexpected(_: Request, error: Exception) -> JSONResponse:
        # The server logs the traceback; a caller learns nothing of our insides.
        return respond(500, f"Unexpected {type(error).__name__}. The log of the API has the rest.")


async def _http(request: Request, error: Exception) -> JSONResponse:
    if not isinstance(error, StarletteHTTPException):
        raise error
    detail, headers = str(error.detail), dict(error.headers or {})
    if detail == HTTPStatus.NOT_FOUND.phrase:
        detail = f"Nothing is at {_text(request.scope['path'])}: /docs lists what there is."
    elif error.status_code == HTTPStatus.METHOD_NOT_ALLOWED:
        headers["Allow"] = ", ".join(_methods(request)) or "GET"
        detail = f"{_text(request.method)} is not for this path: use {headers['Allow']}."
    elif detail == _UNREADABLE:
        detail = "The body can't be read: send JSON in UTF-8, as application/json."
    return respond(error.status_code, detail, headers=headers)


def _fault(error: Mapping[str, Any]) -> FieldProblem:
    reason = why(error)
    if isinstance(error.get("input"), bytes):
        reason = "must be JSON, sent with Content-Type: application/json"
    field = ".".join(_text(str(part)) for part in error["loc"])
    return FieldProblem(field=field, reason=reason)


def _text(hostile: str) -> str:
    """What a caller wrote, fit to be shown: of bounded length, and without lone surrogates."""
    shown = hostile[:_LONGEST].encode("utf-8", "backslashreplace").decode()
    return shown if len(hostile) <= _LONGEST else shown + "…"


def _methods(request: Request) -> list[str]:
    # FastAPI names those of the first route of this path only.
    found: set[str] = set()
    for route in iter_route_contexts(request.app.routes):
        if route.methods and route.path_regex.match(request.scope["path"]):
            found |= route.methods
    return sorted(found)
