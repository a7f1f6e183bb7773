"""Asks the query API about a run, as any client would, and waits until the run is finished."""

import asyncio
import time
from collections.abc import Callable
from types import TracebackType
from typing import Any, Self
from uuid import UUID

import httpx

from deploy.demo.failures import DemoFailed

_LOOK_EVERY = 0.25
_REFUSED = {401, 403, 422}

Document = dict[str, Any]


class ReadApi:
    """The query API behind a base URL, with a key of scope read."""

    def __init__(
        self, url: str, key: str, transport: httpx.AsyncBaseTransport | None = None
    ) -> None:
        self._client = httpx.AsyncClient(
            base_url=url, headers={"X-API-Key": key}, timeout=10, transport=transport
        )

    async def __aenter__(self) -> Self:
        """Nothing is asked yet."""
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close the connections."""
        await self._client.aclose()

    async def finished(
        self, execution: UUID, patience: float, show: Callable[[str], None]
    ) -> Document:
        """Wait until the run is finished and its raw points are deleted; return its summary.

        `show` is told how far it is.

        Raises:
            DemoFailed: it was not finished within `patience` seconds, or the API refuses to answer;
                the text says how far it got.
        """
        deadline = time.monotonic() + patience
        while True:
            run, so_far = await self._look(f"/api/v1/runs/{execution}")
            if run:
                points = run["points"]
                so_far = f"{run['state']}, {points['stored']:,} of {points['sent']:,} points stored"
                if run["state"] == "finished" and run["raw_deleted_at"]:
                    break
                if run["state"] == "aborted":
                    raise DemoFailed(f"Run {execution} was aborted: {so_far}.")
            show(so_far)
            if time.monotonic() > deadline:
                raise DemoFailed(f"Run {execution} is not finished after {patience:g} s: {so_far}.")
            await asyncio.sleep(_LOOK_EVERY)
        summary, problem = await self._look(f"/api/v1/runs/{execution}/summary")
        if not summary:
            raise DemoFailed(f"Run {execution} is finished, but has no summary: {problem}.")
        return summary

    async def _look(self, path: str) -> tuple[Document | None, str]:
        """A document, or None and why there is none yet."""
        try:
            answer = await self._client.get(path)
        except httpx.TransportError as error:
            return None, f"the query API is away ({error or type(error).__name__})"
        if answer.status_code in _REFUSED:
            raise DemoFailed(f"The query API refuses {path}: {answer.status_code} {answer.text}")
        if answer.status_code == httpx.codes.NOT_FOUND:
            return None, "its start has not been noted yet"
        if answer.status_code != httpx.codes.OK:
            return None, f"the query API answers {answer.status_code}"
        document: Document = answer.json()
        return document, ""
