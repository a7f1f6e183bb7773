"""`headrace storage`: what is stored, how fresh the rollups are, and maintenance by hand."""

import sys
from collections.abc import Awaitable, Callable
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Annotated, TypeVar

import msgspec
import typer
from rich.console import Console

from deploy.cli import cardinality
from deploy.cli import storage_display as display
from deploy.cli.pools import with_pool
from schemas.errors import Permanent
from schemas.settings import Settings
from sinks.lifecycle.maintenance import Maintenance, open_lifecycle
from sinks.lifecycle.ports import Lifecycle
from sinks.transactions import Pool

_T = TypeVar("_T")

Json = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]


def register(app: typer.Typer) -> None:
    """Add the commands to the CLI."""
    storage = typer.Typer(
        help="Look after what is stored: sizes, rollups, retention, compression.",
        no_args_is_help=True,
    )
    for command in (status, refresh, retain, compact):
        storage.command()(command)
    storage.command("cardinality")(cardinality.show)
    app.add_typer(storage, name="storage")


def status(*, as_json: Json = False) -> None:
    """Show sizes, how far each rollup is, what waits, what happens by itself and what goes next.

    By itself: by the worker's maintenance, and on TimescaleDB
    by its policies.

        headrace storage status
        headrace storage status --json | jq '.levels[] | {level, lag}'

    Rows are estimates. The lag of a rollup is no lag of answers: what is not stored yet is computed
    from samples.
    """
    now = datetime.now(UTC)
    found = _with(lambda lifecycle, _: lifecycle.status(now))
    if as_json:
        _print_json(asdict(found))
    else:
        Console().print(display.status(found, now))


def refresh(
    *,
    begin: Annotated[
        str | None, typer.Option("--from", help="Compute anew from here on; ISO 8601, UTC.")
    ] = None,
    end: Annotated[str | None, typer.Option("--to", help="Up to here. [now]")] = None,
    as_json: Json = False,
) -> None:
    """Bring the rollups and sketches up to date now.

    Without --from: what is known to have changed. With it everything from there on is computed anew,
    as far as the samples (and the finer rollups) are kept. Safe beside ingest and other refreshes, to
    interrupt and to repeat.

        headrace storage refresh
        headrace storage refresh --from 2026-11-01 --to 2026-11-03
    """
    now = datetime.now(UTC)
    first, last = _moment("--from", begin), _moment("--to", end) or now
    if first is not None and first >= last:
        raise Permanent("--from must be before --to.")
    done = _with(lambda lifecycle, _: lifecycle.refresh_range(first, last, now, _progress))
    told = f"{done.marks} marks taken, {done.changed} rows changed, in {done.steps} steps"
    if as_json:
        _print_json(asdict(done))
    else:
        print(told)


def retain(
    *,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would go.")] = False,
    as_json: Json = False,
) -> None:
    """Remove what is past its retention. Maintenance does the same every hour.

    Parts (chunks, partitions) go whole when all of it is too old; a metric's definition may keep its
    samples for a shorter or a longer time (retention_days).

        headrace storage retain --dry-run
    """
    now = datetime.now(UTC)
    if dry_run:
        found = _with(lambda lifecycle, _: lifecycle.removals(now))
    else:
        found = _with(lambda _, maintenance: maintenance.retain(now, _progress))
    if as_json:
        _print_json({"dry_run": dry_run, "removals": [display.removal_facts(r) for r in found]})
    else:
        Console().print(display.removals(found, dry_run=dry_run))


def compact(*, as_json: Json = False) -> None:
    """Compress (TimescaleDB) or sort by series (PostgreSQL) what is old enough and is not yet.

    Maintenance does the same every hour. On PostgreSQL a partition is locked while it is sorted, some
    2 s per million samples; one in use is left for the next time.
    """
    now = datetime.now(UTC)
    done = _with(lambda lifecycle, _: lifecycle.compact(now, _progress))
    if as_json:
        _print_json({"compacted": [asdict(one) for one in done]})
    else:
        Console().print(display.compacted(done))


def _with(act: Callable[[Lifecycle, Maintenance], Awaitable[_T]]) -> _T:
    async def within(pool: Pool) -> _T:
        lifecycle = await open_lifecycle(pool, Settings().lifecycle)
        return await act(lifecycle, Maintenance(pool, lifecycle, lambda: datetime.now(UTC)))

    return with_pool(within, role="headrace_owner", application="storage")


def _progress(words: str) -> None:
    print(words, file=sys.stderr, flush=True)


def _moment(option: str, text: str | None) -> datetime | None:
    if text is None:
        return None
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        raise Permanent(f"{option} {text}: write it as 2026-11-01 or 2026-11-01T10:00Z.") from None
    return found.replace(tzinfo=UTC) if found.tzinfo is None else found


def _print_json(document: object) -> None:
    print(msgspec.json.format(msgspec.json.encode(document)).decode())
