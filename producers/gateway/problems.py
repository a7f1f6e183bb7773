"""Errors as RFC 9457 problem details: what is wrong, where, and what to do next."""

import logging
from collections.abc import Mapping, Sequence

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import Field
from starlette.exceptions import HTTPException

from producers.gateway.faults import LISTED, BadSamplesError, Fault
from producers.gateway.reading import TooManySamplesError
from schemas import problems
from schemas.errors import Invalid, Permanent, Temporary
from schemas.keys import Refused

_LOG = logging.getLogger(__name__)


class Problem(problems.Problem[Fault]):
    """RFC 9457 problem details."""

    errors: list[Fault] = Field(
        default=[], description=f"bad samples, each with its first fault; {LISTED} at most"
    )


def respond(
    status: int,
    detail: str,
    *,
    errors: Sequence[Fault] = (),
    headers: Mapping[str, str] | None = None,
) -> JSONResponse:
    """A problem as a response."""
    content = Problem.of(status, detail, errors).document()
    return JSONResponse(content, status, headers=headers, media_type=problems.MEDIA_TYPE)


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

    @app.exception_handler(Refused)
    async def refused(_: Request, error: Refused) -> JSONResponse:
        return respond(error.status, str(error), headers=error.headers)

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
