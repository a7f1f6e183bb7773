"""The report of a run: one HTML file that needs no network, with charts, tables and the comparison.

All that a script or a server named is hostile: it is escaped where it is text, it reaches no attribute,
and the policy of the page runs no script but the three that are written here, and loads nothing.
"""

import json
import secrets
from collections.abc import Mapping, Sequence
from datetime import datetime
from importlib import resources
from typing import Any

from deploy.results import compared, tables, wording
from deploy.results.charts import Chart, charts
from deploy.results.elements import section, text
from query.comparison import Comparison
from query.results import Result

_CHANGED = ("regressed", "improved", "new", "gone")


def html(result: Result, comparison: Comparison | None) -> str:
    """The page. `comparison` is None for a run that can't be compared yet."""
    run, nonce = result.run, secrets.token_urlsafe(18)
    drawn = charts(result)
    body = [
        _header(result),
        _comparison(comparison),
        section("Thresholds", tables.thresholds(run)),
        section("Over time", _plots(drawn)),
        section("Endpoints", tables.endpoints(result)),
        section("Checks", tables.checks(result)),
        section("Errors", tables.errors(result)),
    ]
    plotly = resources.files("plotly").joinpath("package_data/plotly.min.js").read_text("utf-8")
    ours = resources.files("deploy.results")
    policy = (
        f"default-src 'none'; script-src 'nonce-{nonce}'; style-src 'unsafe-inline'; "
        "img-src data: blob:; base-uri 'none'; form-action 'none'"
    )
    # In a script element only "<" could end it.
    data = json.dumps([one.drawing() for one in drawn]).replace("<", "\\u003c")
    return f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="{policy}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{text(run["test"])}: {text(_verdict(run))}</title>
<style>{ours.joinpath("page.css").read_text("utf-8")}</style>
</head>
<body>
<main>
{"".join(body)}
<footer>Made by headrace from the points of all runners. Times are UTC.</footer>
</main>
<script nonce="{nonce}">{plotly}</script>
<script nonce="{nonce}" type="application/json" id="charts">{data}</script>
<script nonce="{nonce}">{ours.joinpath("page.js").read_text("utf-8")}</script>
</body>
</html>
"""


def _header(result: Result) -> str:
    run = result.run
    figures = {row["metric"]: row for row in result.metrics}

    def of(metric: str, column: str) -> float | None:
        return figures[metric][column] if metric in figures else None

    reqs, failed, p95 = (
        of("http_reqs", "sum"),
        of("http_req_failed", "avg"),
        of("http_req_duration", "p95"),
    )
    checks, rate = figures.get("checks"), None
    if reqs is not None and result.seconds:
        rate = f"{reqs / result.seconds:,.1f}/s"
    facts = {
        "Duration": None if result.seconds is None else wording.duration(1000 * result.seconds),
        "Requests": None if reqs is None else f"{reqs:,.0f}",
        "Request rate": rate,
        "p95 response time": None if p95 is None else wording.duration(p95),
        "Failed requests": None if failed is None else f"{failed:.2%}",
        "Checks passed": checks and f"{checks['sum'] / checks['n']:.2%}",
        "Iterations": _count(of("iterations", "sum")),
        "Virtual users, most": _count(of("vus_max", "max") or of("vus", "max")),
    }
    about = {
        "Started": _moment(run["started_at"]),
        "Ended": _moment(run["finished_at"]),
        "Runners": ", ".join(sorted(run["runners"])),
        "Script": run["script"],
        "Tags": ", ".join(f"{key}={value}" for key, value in sorted(run["tags"].items())),
        "Run": str(run["execution_id"]),
    }
    told = "".join(
        f"<div><dt>{text(name)}</dt><dd>{text(value)}</dd></div>"
        for name, value in facts.items()
        if value
    )
    more = "".join(
        f'<div><dt>{text(name)}</dt><dd class="text">{text(value)}</dd></div>'
        for name, value in about.items()
        if value
    )
    missing = ""
    if run["incomplete"]:
        missing = (
            f'<p><span class="badge incomplete">incomplete</span> {text(run["incomplete"])}</p>'
        )
    verdict = _verdict(run)
    return (
        f'<header class="card"><span class="badge big {_known(verdict)}">{text(verdict)}</span>'
        f"<h1>{text(run['test'])}</h1>{missing}"
        f'<dl class="facts">{told}</dl><dl class="facts about">{more}</dl></header>'
    )


def _comparison(comparison: Comparison | None) -> str:
    if comparison is None:
        return ""
    changed = [row for row in comparison.rows if row.verdict in _CHANGED]
    rest = [row for row in comparison.rows if row.verdict not in _CHANGED]
    verdict = comparison.verdict.replace("_", " ")
    told = compared.headline(comparison).partition(": ")[2]
    parts = [
        f'<p><span class="badge {comparison.verdict}">{verdict}</span> {text(told)}</p>',
        f'<p class="faint">{text(compared.against(comparison))}</p>',
    ]
    if changed:
        parts.append(tables.comparison(changed))
    if rest:
        table = tables.comparison(rest)
        parts.append(
            f"<details><summary>{len(rest)} figures that did not change</summary>{table}</details>"
        )
    return section("Comparison", f'<div class="card">{"".join(parts)}</div>')


def _plots(drawn: Sequence[Chart]) -> str:
    if not any(chart.traces for chart in drawn):
        return '<div class="card"><p class="empty">Nothing was recorded over time.</p></div>'
    return '<div class="charts">' + "".join(_plot(chart) for chart in drawn) + "</div>"


def _plot(chart: Chart) -> str:
    title = f'<h3>{text(chart.title)} <span class="unit">{text(chart.unit)}</span></h3>'
    if not chart.traces:
        return f'<div class="card">{title}<p class="empty">{text(chart.empty)}</p></div>'
    label = f'role="img" aria-label="{text(chart.title)} in {text(chart.unit)}"'
    return f'<div class="card">{title}<div class="plot" id="plot-{chart.key}" {label}></div></div>'


def _verdict(run: Mapping[str, Any]) -> str:
    return str(run["verdict"] or run["state"])


def _known(verdict: str) -> str:
    return (
        verdict
        if verdict in {"passed", "failed", "running", "aggregating", "aborted"}
        else "unknown"
    )


def _count(number: float | None) -> str | None:
    return None if number is None else f"{number:,.0f}"


def _moment(moment: datetime | None) -> str | None:
    return None if moment is None else f"{moment:%Y-%m-%d %H:%M:%S}"
