"""Errors as RFC 9457 problem details: what went wrong, where, and what to do next."""

import logging
from collections.abc import Mapping, Sequence

from fastapi import FastAPI, HTTPException, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel, Field
from starlette.exceptions import HTTPException as StarletteHTTPException

from query.database import TooSlow
from schemas import problems
from schemas.errors import Invalid, Temporary
from schemas.keys import Refused

_LOG = logging.getLogger(__name__)


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

    @app.exception_handler(RequestValidationError)
    async def invalid_request(_: Request, error: RequestValidationError) -> JSONResponse:
        errors = [
            FieldProblem(
                field=".".join(map(str, one["loc"])),
                reason=one["msg"].removeprefix("Value error, "),
            )
            for one in error.errors()
        ]
        return respond(422, "; ".join(f"{e.field}: {e.reason}" for e in errors), errors=errors)

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

    @app.exception_handler(StarletteHTTPException)
    async def http(_: Request, error: HTTPException) -> JSONResponse:
        return respond(error.status_code, str(error.detail), headers=error.headers)

    @app.exception_handler(Exception)
    async def unexpected(_: Request, error: Exception) -> JSONResponse:
        # The server logs the traceback; a caller learns nothing of our insides.
        return respond(500, f"Unexpected {type(error).__name__}. The log of the API has the rest.")
