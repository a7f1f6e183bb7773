"""Errors as RFC 9457 problem details: what is wrong, where, and what to do next."""

import logging
from collections.abc import Mapping
from http import HTTPStatus

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel, Field
from starlette.exceptions import HTTPException

from producers.gateway.faults import BadSamplesError, Fault
from producers.gateway.reading import TooManySamplesError
from schemas.errors import Invalid, Permanent, Temporary

MEDIA_TYPE = "application/problem+json"
_LOG = logging.getLogger(__name__)


class Problem(BaseModel):
    """RFC 9457 problem details."""

    type: str = Field(default="about:blank", description="always about:blank: `status` says it all")
    title: str = Field(examples=["Unprocessable Entity"])
    status: int = Field(examples=[422])
    detail: str = Field(description="what to do next, for a person")
    errors: list[Fault] = Field(default=[], description="each bad sample, with its first fault")


def described(*statuses: int) -> dict[int | str, dict[str, object]]:
    """OpenAPI entries of the problems that a route may answer with."""
    return {
        status: {
            "description": HTTPStatus(status).phrase,
            "content": {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}},
        }
        for status in statuses
    }


def respond(
    status: int,
    detail: str,
    *,
    errors: list[Fault] | None = None,
    headers: Mapping[str, str] | None = None,
) -> JSONResponse:
    """A problem as a response."""
    problem = Problem(
        title=HTTPStatus(status).phrase, status=status, detail=detail, errors=errors or []
    )
    content = problem.model_dump(exclude=set() if errors else {"errors"})
    return JSONResponse(content, status, headers=headers, media_type=MEDIA_TYPE)


def install(app: FastAPI) -> None:
    """Make every error of the application a problem document."""

    @app.exception_handler(BadSamplesError)
    async def bad_samples(_: Request, error: BadSamplesError) -> JSONResponse:
        return respond(422, str(error), errors=error.faults)

    @app.exception_handler(TooManySamplesError)
    async def too_many(_: Request, error: TooManySamplesError) -> JSONResponse:
        return respond(413, str(error))

    @app.exception_handler(RequestValidationError)
    async def bad_parameter(_: Request, error: RequestValidationError) -> JSONResponse:
        texts = (f"{'.'.join(map(str, one['loc']))}: {one['msg']}" for one in error.errors())
        return respond(422, "; ".join(texts))

    @app.exception_handler(Invalid)
    async def invalid(_: Request, error: Invalid) -> JSONResponse:
        return respond(422, f"{error.reason}: {error}")

    @app.exception_handler(Temporary)
    async def temporary(_: Request, error: Temporary) -> JSONResponse:
        after = str(max(1, round(error.retry_after)))
        return respond(503, str(error), headers={"Retry-After": after})

    @app.exception_handler(Permanent)
    async def permanent(_: Request, error: Permanent) -> JSONResponse:
        _LOG.error("a request failed until somebody acts: %s", error)
        return respond(500, "Kafka refuses the samples; the log of the gateway says why.")

    @app.exception_handler(HTTPException)
    async def http(_: Request, error: HTTPException) -> JSONResponse:
        return respond(error.status_code, error.detail, headers=error.headers)

    @app.exception_handler(Exception)
    async def unexpected(_: Request, error: Exception) -> JSONResponse:
        # The server logs the traceback; a caller learns nothing of our insides.
        return respond(500, f"Unexpected {type(error).__name__}. The log of the gateway has more.")
