"""The demo's incident from start to end: slow service, alert, approval, remedy, all clear."""

import asyncio
import subprocess
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, TypeVar
from urllib.parse import urlencode

import httpx

from deploy.demo.display import Steps
from deploy.demo.failures import DemoFailed
from deploy.demo.incident_documents import RULE, SLOW_MS
from deploy.local.processes import COMMAND

_T = TypeVar("_T")

HEALTHY_FOR = 6.0
"""Seconds of load before the incident: more than the rule's window."""
_FIRES_WITHIN = 30.0
_ASKS_WITHIN = 30.0
_RESOLVES_WITHIN = 60.0
_LOOK_EVERY = 0.1
_ENDED = {"succeeded", "cancelled", "rejected", "escalated", "refused"}


@dataclass
class Timeline:
    """What happened when, and what the API told of it at the end."""

    slow_at: datetime | None = None
    noticed_at: datetime | None = None
    """When the API first showed the alert firing."""
    asked_at: datetime | None = None
    approved_at: datetime | None = None
    quick_at: datetime | None = None
    """When the service's switch was found to be off again."""
    ended_at: datetime | None = None
    alert: dict[str, Any] = field(default_factory=dict)
    remediation: dict[str, Any] = field(default_factory=dict)

    def document(self) -> dict[str, Any]:
        """For --json."""
        moments = {
            name: moment.isoformat()
            for name, moment in vars(self).items()
            if isinstance(moment, datetime)
        }
        return moments | {"alert": self.alert, "remediation": self.remediation}


class Incident:
    """Makes the items service slow under load, and sees to the end of it through the API and the CLI."""

    def __init__(
        self, api: str, key: str, items: str, *, environment: Mapping[str, str], steps: Steps
    ) -> None:
        self._api = httpx.AsyncClient(base_url=api, headers={"X-API-Key": key}, timeout=10)
        self._items = items
        self._environment = {**environment, "HEADRACE_API_KEY": key}
        self._steps = steps
        self.timeline = Timeline()

    async def run(self) -> Timeline:
        """Go through it while load runs. Raises DemoFailed: the text says what did not come."""
        began = self.timeline.slow_at = datetime.now(UTC)
        async with self._api:
            await self._switch(SLOW_MS)
            try:
                await self._through(began)
            finally:
                await self._switch(0)
        return self.timeline

    async def _through(self, began: datetime) -> None:
        line = self.timeline
        since = {"rule": RULE, "since": began.isoformat()}
        with self._steps.step(f"the service is slow ({SLOW_MS} ms): the rule {RULE} fires"):
            alert = await self._until(
                _FIRES_WITHIN,
                "no alert fires",
                lambda: self._first("alerts", since | {"state": "firing"}),
            )
            line.noticed_at = datetime.now(UTC)
        with self._steps.step("remediation asks for approval"):
            asked = await self._until(
                _ASKS_WITHIN, "no remediation asks for approval", lambda: self._asking(alert)
            )
            line.asked_at = datetime.now(UTC)
        identity = asked["remediation_id"]
        with self._steps.step(f"headrace remediation approve {identity} --by demo"):
            await self._approve(identity)
            line.approved_at = datetime.now(UTC)
        with self._steps.step("the playbook calls the service's switch"):
            await self._until(
                _RESOLVES_WITHIN, "the switch stays on", lambda: self._quick(identity)
            )
            line.quick_at = datetime.now(UTC)
        with self._steps.step("the alert resolves, and the workflow has verified it"):
            line.remediation = await self._until(
                _RESOLVES_WITHIN, "the remediation does not end", lambda: self._ended(identity)
            )
            line.alert = await self._get(f"alerts/{alert['id']}")
            line.ended_at = datetime.now(UTC)

    async def _until(
        self, patience: float, otherwise: str, look: Callable[[], Awaitable[_T | None]]
    ) -> _T:
        deadline = time.monotonic() + patience
        while True:
            found = await look()
            if found is not None:
                return found
            if time.monotonic() > deadline:
                raise DemoFailed(
                    f"After {patience:g} s {otherwise}. Read the logs of alerts and worker: "
                    "headrace logs alerts, headrace logs worker"
                )
            await asyncio.sleep(_LOOK_EVERY)

    async def _asking(self, alert: dict[str, Any]) -> dict[str, Any] | None:
        found = await self._first("remediations", {"rule": RULE})
        if found is None or found["fingerprint"] != alert["fingerprint"]:
            return None
        if found["episode"] != alert["episode"]:
            return None
        if found["state"] in _ENDED:
            raise DemoFailed(f"The remediation is {found['state']}: {found['reason']}")
        return found if found["state"] == "awaiting" else None

    async def _ended(self, identity: str) -> dict[str, Any] | None:
        found = await self._get(f"remediations/{identity}")
        return found if found["state"] in _ENDED else None

    async def _quick(self, identity: str) -> bool | None:
        async with httpx.AsyncClient(timeout=10) as client:
            answer = await client.get(f"{self._items}/slowness")
        if answer.json() == {"delay_ms": 0}:
            return True
        if ended := await self._ended(identity):
            failed = [one["output"] for one in ended["trail"] if one["status"] == "failed"]
            raise DemoFailed(
                f"The remediation is {ended['state']}: {'; '.join(failed) or ended['reason']}. A stack that was "
                "started before lets playbooks ask nothing on this machine: headrace down, and again."
            )
        return None

    async def _first(self, what: str, query: dict[str, str]) -> dict[str, Any] | None:
        found = (await self._get(f"{what}?{urlencode(query)}"))[what]
        return found[0] if found else None

    async def _get(self, path: str) -> dict[str, Any]:
        answer = await self._api.get(f"/api/v1/{path}")
        if answer.status_code != httpx.codes.OK:
            raise DemoFailed(f"The query API answers {answer.status_code}: {answer.text}")
        document: dict[str, Any] = answer.json()
        return document

    async def _switch(self, delay_ms: int) -> None:
        async with httpx.AsyncClient(timeout=10) as client:
            await client.put(f"{self._items}/slowness", json={"delay_ms": delay_ms})

    async def _approve(self, identity: str) -> None:
        """As an engineer on call would."""
        done = await asyncio.to_thread(
            subprocess.run,
            (*COMMAND, "remediation", "approve", identity, "--by", "demo"),
            env=self._environment,
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            raise DemoFailed(f"It can't be approved: {done.stderr.strip()}")
