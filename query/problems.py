"""Errors as RFC 9457 problem details: what went wrong, where, and what to do next."""

import logging
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, HTTPException, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel, Field
from starlette.exceptions import HTTPException as StarletteHTTPException

from query.database import TooSlow
from schemas.errors import Invalid, Temporary

MEDIA_TYPE = "application/problem+json"
_LOG = logging.getLogger(__name__)


class FieldProblem(BaseModel):
    """What is wrong with one parameter."""

    field: str = Field(examples=["query.bucket"])
    reason: str = Field(examples=["must be a duration such as 30s, 5m or 1h"])


class Problem(BaseModel):
    """RFC 9457 problem details."""

    type: str = Field(default="about:blank", description="always about:blank: `status` says it all")
    title: str = Field(examples=["Unprocessable Entity"])
    status: int = Field(examples=[422])
    detail: str = Field(description="what to do next, for a person")
    errors: list[FieldProblem] = Field(default=[], description="the parameters at fault")


def described(*statuses: int) -> dict[int | str, dict[str, object]]:
    """OpenAPI entries of the problems that a route may answer with."""
    return {
        status: {
            "description": HTTPStatus(status).phrase,
            "content": {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}},
        }
        for status in statuses
    }


def schemas() -> dict[str, Any]:
    """The schemas that `described` refers to."""
    schema = Problem.model_json_schema(ref_template="#/components/schemas/{model}")
    return {**schema.pop("$defs"), "Problem": schema}


def respond(
    status: int,
    detail: str,
    *,
    errors: list[FieldProblem] | None = None,
    headers: Mapping[str, str] | None = None,
) -> JSONResponse:
    """A problem as a response."""
    title = HTTPStatus(status).phrase
    body = Problem(title=title, status=status, detail=detail, errors=errors or [])
    content = body.model_dump(exclude=set() if errors else {"errors"})
    return JSONResponse(content, status, headers=headers, media_type=MEDIA_TYPE)


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
