"""The end-of-test summary in k6's own layout, over the merged run of all its runners."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from deploy.results import wording
from query.results import Result
from query.run_figures import PHASES
from schemas.errors import Invalid
from schemas.thresholds import parse_expression

Style = Mapping[str, str]
"""Markup by role: good, bad, faint, bold; each a format string with one place."""

PLAIN: Style = dict.fromkeys(("good", "bad", "faint", "bold"), "{}")
TERMINAL: Style = {
    "good": "\x1b[32m{}\x1b[0m",
    "bad": "\x1b[31m{}\x1b[0m",
    "faint": "\x1b[2m{}\x1b[0m",
    "bold": "\x1b[1m{}\x1b[0m",
}

_SECTIONS = {
    "HTTP": ("http_req",),
    "WEBSOCKET": ("ws_",),
    "GRPC": ("grpc_",),
    "BROWSER": ("browser_",),
    "EXECUTION": ("iteration", "vus", "dropped_iterations", "group_duration"),
    "NETWORK": ("data_",),
}
"""Beginnings of the names of k6's own metrics; the others are CUSTOM, and come first."""
_DETAILS = (*PHASES, "group_duration")
_COLUMNS = {"avg": "avg", "min": "min", "med": "p50", "max": "max", "p(90)": "p90", "p(95)": "p95"}
_DOTS = 3


@dataclass(frozen=True)
class _Line:
    """A metric: the cells of a trend, which are padded among trends; or of another, likewise."""

    name: str
    trend: bool
    cells: Sequence[str]


def facts(result: Result) -> dict[str, Any]:
    """The summary as one JSON object, with k6's names for figures."""
    run = result.run
    return {
        "execution_id": str(run["execution_id"]),
        "test": run["test"],
        "state": run["state"],
        "verdict": run["verdict"],
        "incomplete": run["incomplete"],
        "seconds": result.seconds,
        "thresholds": run["thresholds"],
        "checks": [dict(check) for check in result.checks],
        "metrics": {
            row["metric"]: {"type": _kind(result, row), **_figures(result, row)}
            for row in result.metrics
        },
    }


def text(result: Result, *, full: bool = False, style: Style = PLAIN) -> str:
    """The summary for a terminal; `full` shows the phases of requests too."""
    run = result.run
    if not result.metrics:
        return f"\n  Run {run['execution_id']} of {wording.clean(run['test'])} is {run['state']}: no figures yet.\n"
    lines = [*_thresholds(run, style), *_totals(result, style)]
    shown = [row for row in result.metrics if full or row["metric"] not in _DETAILS]
    sections: dict[str, list[_Line]] = {"CUSTOM": [], **{name: [] for name in _SECTIONS}}
    for row in sorted(shown, key=lambda row: str(row["metric"])):
        if row["metric"] != "checks":
            sections[_section(row["metric"])].append(_line(result, row))
    lines += _aligned({name: of for name, of in sections.items() if of}, style)
    return "\n".join(["", *lines, *_verdict(result, style), ""])


def _thresholds(run: Mapping[str, Any], style: Style) -> list[str]:
    if not run["thresholds"]:
        return []
    lines = [f"  █ {style['bold'].format('THRESHOLDS')} ", ""]
    by_metric: dict[str, dict[str, list[Mapping[str, Any]]]] = {}
    for one in run["thresholds"]:
        metric, brace, tags = one["metric"].partition("{")
        by_metric.setdefault(metric, {}).setdefault(brace + tags, []).append(one)
    for metric, selections in sorted(by_metric.items()):
        lines.append(f"    {wording.clean(metric)}")
        for tags, several in sorted(selections.items()):
            indent = "      " if tags else "    "
            if tags:
                lines += ["", f"{indent}{wording.clean(tags)}"]
            lines += [
                f"{indent}{_threshold(metric, run['metrics'].get(metric, 'gauge'), one, style)}"
                for one in several
            ]
        lines.append("")
    return [*lines, ""]


def _threshold(metric: str, kind: str, one: Mapping[str, Any], style: Style) -> str:
    passed = one["k6_passed"] if one["passed"] is None else one["passed"]
    mark = (
        "?" if passed is None else style["good"].format("✓") if passed else style["bad"].format("✗")
    )
    return f"{mark} '{wording.clean(one['expression'])}' {observed(metric, kind, one)}".rstrip()


def observed(metric: str, kind: str, one: Mapping[str, Any]) -> str:
    """What a threshold was judged on: `p(95)=3.37ms`; empty where nothing was."""
    if one["observed"] is None:
        return ""
    try:
        parsed = parse_expression(one["expression"])
    except Invalid:
        return wording.plain(one["observed"], 6)
    method = parsed.method
    if parsed.fraction is not None:
        method = f"p({wording.plain(parsed.fraction * 100, 4)})"
    # The rate of a counter is by the second, that of a Rate a share.
    by_second = "/s" if kind == "counter" and method == "rate" else ""
    return f"{method}={wording.value(metric, kind, one['observed'])}{by_second}"


def _totals(result: Result, style: Style) -> list[str]:
    lines = [f"  █ {style['bold'].format('TOTAL RESULTS')} ", ""]
    row = next((row for row in result.metrics if row["metric"] == "checks"), None)
    if row is None:
        return lines
    n, passes = row["n"], round(row["sum"])
    rate = f"{wording.plain(n / result.seconds, 6)}/s" if result.seconds else ""
    cells = [
        ("checks_total", str(n), rate),
        ("checks_succeeded", wording.share(passes / n), f"{passes} out of {n}"),
        ("checks_failed", wording.share(1 - passes / n), f"{n - passes} out of {n}"),
    ]
    width = max(len(name) for name, *_ in cells) + _DOTS
    first = max(len(cell) for _, cell, _ in cells)
    lines += [
        f"    {name:.<{width}}: {cell:<{first}} {more}".rstrip() for name, cell, more in cells
    ]
    lines.append("")
    for check in result.checks:
        name = wording.clean(check["check_name"])
        if not check["fails"]:
            lines.append(f"    {style['good'].format('✓')} {name}")
            continue
        asked = check["passes"] + check["fails"]
        lines.append(f"    {style['bad'].format('✗')} {name}")
        lines.append(
            f"      ↳  {100 * check['passes'] // asked}% — ✓ {check['passes']} / ✗ {check['fails']}"
        )
    return [*lines, ""]


def _line(result: Result, row: Mapping[str, Any]) -> _Line:
    metric, kind = row["metric"], _kind(result, row)
    figures = _figures(result, row)

    def word(name: str) -> str:
        return wording.value(metric, kind, figures[name])

    match kind:
        case "trend":
            return _Line(metric, trend=True, cells=[f"{name}={word(name)}" for name in _COLUMNS])
        case "counter":
            rates = [f"{word('rate')}/s"] if "rate" in figures else []
            return _Line(metric, trend=False, cells=[word("count"), *rates])
        case "rate":
            total = f"{figures['passes']} out of {figures['passes'] + figures['fails']}"
            return _Line(metric, trend=False, cells=[word("rate"), total])
        case _:
            last = word("value") if "value" in figures else "-"
            bounds = [f"{name}={word(name)}" for name in ("min", "max")]
            return _Line(metric, trend=False, cells=[last, *bounds])


def _figures(result: Result, row: Mapping[str, Any]) -> dict[str, Any]:
    match _kind(result, row):
        case "trend":
            return {name: row[column] for name, column in _COLUMNS.items()} | {"p(99)": row["p99"]}
        case "counter":
            rates = {"rate": row["sum"] / result.seconds} if result.seconds else {}
            return {"count": row["sum"], **rates}
        case "rate":
            passes = round(row["sum"])
            return {
                "rate": row["sum"] / row["n"],
                "passes": passes,
                "fails": row["n"] - passes,
            }
        case _:
            last = result.last.get(row["metric"])
            found = {} if last is None else {"value": last}
            return {**found, "min": row["min"], "max": row["max"]}


def _kind(result: Result, row: Mapping[str, Any]) -> str:
    return str(result.run["metrics"].get(row["metric"], "gauge"))


def _section(metric: str) -> str:
    found = (name for name, beginnings in _SECTIONS.items() if metric.startswith(beginnings))
    return next(found, "CUSTOM")


def _aligned(sections: Mapping[str, Sequence[_Line]], style: Style) -> list[str]:
    every = [line for of in sections.values() for line in of]
    names = max((len(wording.clean(line.name)) for line in every), default=0) + _DOTS
    widths = {
        trend: [
            max(len(line.cells[i]) for line in every if line.trend == trend and i < len(line.cells))
            for i in range(
                max((len(line.cells) for line in every if line.trend == trend), default=0)
            )
        ]
        for trend in (True, False)
    }
    lines = []
    for section, of in sections.items():
        lines.append(f"    {style['bold'].format(section)}")
        for line in of:
            padded = (f"{c:<{w}}" for c, w in zip(line.cells, widths[line.trend], strict=False))
            dots = style["faint"].format("." * (names - len(wording.clean(line.name))) + ":")
            lines.append(f"    {wording.clean(line.name)}{dots} {' '.join(padded)}".rstrip())
        lines.append("")
    return lines


def _verdict(result: Result, style: Style) -> list[str]:
    run = result.run
    told = style["good" if run["verdict"] == "passed" else "bad"].format(
        run["verdict"] or run["state"]
    )
    lines = [f"  {told}: {wording.clean(run['test'])}, run {run['execution_id']}"]
    if run["incomplete"]:
        lines.append(f"  {style['bad'].format('incomplete')}: {wording.clean(run['incomplete'])}")
    return lines
