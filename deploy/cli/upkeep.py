"""How maintenance stands, for `headrace status`: asked of Temporal, which starts it."""

import asyncio
from dataclasses import asdict
from datetime import datetime

from rich.table import Table
from rich.text import Text
from temporalio.client import Client

from deploy.worker import TASK_QUEUE
from schemas.settings import Settings
from workflows.maintenance.schedule import ScheduleStanding, standing

_PATIENCE = 5.0


def read(settings: Settings, temporal: str) -> list[ScheduleStanding] | str:
    """The schedules, or why they can't be asked for."""
    try:
        return asyncio.run(_ask(settings, temporal))
    except (TimeoutError, RuntimeError, OSError) as error:
        return f"Temporal at {temporal} does not tell: {error or 'no answer'}"


def facts(found: list[ScheduleStanding] | str) -> object:
    """For JSON."""
    return {"error": found} if isinstance(found, str) else [asdict(one) for one in found]


def table(found: list[ScheduleStanding] | str) -> Table | Text:
    """For people."""
    if isinstance(found, str):
        return Text(found, "yellow")
    if not found:
        return Text("maintenance: no worker has made its schedule yet", "dim")
    shown = Table(box=None, pad_edge=False, header_style="bold")
    for column in ("schedule", "last run", "result", "next run"):
        shown.add_column(column, overflow="fold")
    for one in found:
        failed = one.last_result.startswith("failed")
        shown.add_row(
            one.name,
            _moment(one.last_run),
            Text(one.last_result, "red" if failed else ""),
            _moment(one.next_run),
        )
    return shown


async def _ask(settings: Settings, temporal: str) -> list[ScheduleStanding]:
    async with asyncio.timeout(_PATIENCE):
        client = await Client.connect(temporal, namespace=settings.temporal_namespace)
        return await standing(client, settings.topic_prefix + TASK_QUEUE)


def _moment(moment: datetime | None) -> str:
    return "-" if moment is None else f"{moment:%Y-%m-%d %H:%M:%S}"
