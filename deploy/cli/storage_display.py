"""How the answers of `headrace storage` look on a terminal."""

from collections.abc import Sequence
from datetime import datetime, timedelta

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from sinks.lifecycle.ports import Compacted, Removal, Status

_UNITS = ("B", "kB", "MB", "GB", "TB")


def status(found: Status, now: datetime) -> RenderableType:
    """The whole of `storage status`."""
    levels = _table(
        "level", "parts", "compact", "size", "rows", "ratio", "from", "stored up to", "behind"
    )
    for one in found.levels:
        levels.add_row(
            one.level, str(one.parts), str(one.compacted), size(one.bytes), f"{one.rows:,}",
            "" if one.ratio is None else f"{one.ratio:.1f}", _moment(one.oldest), _moment(one.until),
            "" if one.lag is None else str(timedelta(seconds=round(one.lag))),
        )  # fmt: skip
    policies = _table("what happens by itself", "every", "last", "result", "next")
    for policy in found.policies:
        failed = (policy.last_result or "").startswith("failed")
        policies.add_row(
            policy.name,
            "" if policy.every is None else str(timedelta(seconds=policy.every)),
            _moment(policy.last_run),
            Text(policy.last_result or "", "red" if failed else ""),
            _moment(policy.next_run),
        )
    going = _table("goes next", "part", "when")
    for due in found.next_drops:
        going.add_row(due.level, due.part, "now" if due.at <= now else _moment(due.at))
    waiting = ", ".join(f"{count} {level}" for level, count in found.marks.items()) or "none"
    since = f", the oldest since {_moment(found.oldest_mark)}" if found.oldest_mark else ""
    return Group(
        Text(f"storage: {found.mode}"),
        Text(f"marks waiting: {waiting}{since}"),
        Text(f"deleted series with rows still to go: {found.forgotten_series}\n"),
        levels, Text(), policies, Text(), going,
    )  # fmt: skip


def removals(found: Sequence[Removal], *, dry_run: bool) -> RenderableType:
    """What `retain` removes."""
    if not found:
        return Text("Nothing is past its retention.")
    table = _table(
        "would" if dry_run else "done", "level", "part", "from", "to", "rows", "size", "why"
    )
    for one in found:
        table.add_row(
            one.action, one.level, one.part, _moment(one.begin), _moment(one.end),
            "" if one.rows is None else f"{one.rows:,}",
            "" if one.bytes is None else size(one.bytes), one.reason,
        )  # fmt: skip
    return table


def removal_facts(removal: Removal) -> dict[str, object]:
    """A removal for JSON: the series are counted, not listed."""
    return {
        "action": removal.action,
        "level": removal.level,
        "part": removal.part,
        "begin": removal.begin,
        "end": removal.end,
        "rows": removal.rows,
        "bytes": removal.bytes,
        "reason": removal.reason,
        "series": len(removal.series),
    }


def compacted(done: Sequence[Compacted]) -> RenderableType:
    """What `compact` did."""
    if not done:
        return Text("Everything old enough is compact.")
    table = _table("part", "before", "after")
    for one in done:
        table.add_row(one.part, size(one.before), size(one.after))
    return table


def size(number: float) -> str:
    """Bytes as people read them."""
    for unit in _UNITS[:-1]:
        if abs(number) < 1000:  # noqa: PLR2004 # the step between the units
            return f"{number:.0f} {unit}"
        number /= 1000
    return f"{number:.1f} {_UNITS[-1]}"


def _table(*columns: str) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in columns:
        table.add_column(column, overflow="fold")
    return table


def _moment(moment: datetime | None) -> str:
    return "" if moment is None else f"{moment:%Y-%m-%d %H:%M}"
