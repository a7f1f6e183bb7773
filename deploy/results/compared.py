"""Writes a comparison for a terminal, for a comment on a pull request, and for CI (JUnit XML)."""

import re
from collections.abc import Iterable, Sequence
from xml.etree import ElementTree as ET

from rich.console import Group
from rich.table import Table
from rich.text import Text

from deploy.results import wording
from query.comparison import Comparison, ComparisonRow

_CHANGED = ("regressed", "improved", "new", "gone")
_COLOURS = {"regressed": "red", "improved": "green", "new": "cyan", "gone": "yellow"}
_SIGNS = {
    "regressed": "🔴 regressed",
    "improved": "🟢 improved",
    "same": "⚪ same",
    "not_enough_data": "⚫ not enough data",
}
MOST_SHOWN = 200
"""Lines of a comment; there are longer ones than a pull request takes."""
_BEYOND = 1e15
"""A test that varies so much bounds nothing."""
_NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def headline(comparison: Comparison) -> str:
    """The verdict in a sentence."""
    if comparison.baseline is None:
        return "not enough data: there is no run to compare with yet"
    rows = {
        what: comparison.count(what)
        for what in ("regressed", "improved", "new", "gone", "same", "not_enough_data")
    }
    told = ", ".join(f"{n} {_words(what)}" for what, n in rows.items() if n) or "nothing in common"
    return f"{_words(comparison.verdict)}: of the figures {told}"


def against(comparison: Comparison) -> str:
    """What was compared with what."""
    run, other = comparison.run, comparison.baseline
    if other is None:
        return f"{run.test}, run {run.execution_id}"
    name = f"baseline {comparison.baseline_name}, " if comparison.baseline_name else ""
    return (
        f"{run.test}, run {run.execution_id} against {name}run {other.execution_id} of "
        f"{other.started_at:%Y-%m-%d %H:%M}; noise learnt from {comparison.runs} runs"
    )


def table(comparison: Comparison, *, everything: bool = False) -> Group:
    """What changed, for a terminal; `everything` shows what did not, too."""
    shown = [r for r in comparison.rows if everything or r.verdict in _CHANGED]
    found = Table(box=None, pad_edge=False, header_style="bold")
    for name in ("", "what", "metric", "baseline", "run", "change", "noise"):
        found.add_column(
            name, overflow="fold", justify="left" if name in {"", "what", "metric"} else "right"
        )
    for row in shown:
        style = _COLOURS.get(row.verdict, "dim")
        cells = (_words(row.verdict), what(row), quantity(row), *values(row))
        found.add_row(*(Text(wording.clean(cell)) for cell in cells), style=style)
    lines = [Text(wording.clean(against(comparison))), Text(headline(comparison), style="bold")]
    return Group(*lines, found) if shown else Group(*lines)


def markdown(comparison: Comparison) -> str:
    """A comment for a pull request: the verdict, what changed, and the rest to unfold."""
    sign = _SIGNS[comparison.verdict]
    lines = [
        f"### {sign}: load test {_code(comparison.run.test)}",
        "",
        _escaped(headline(comparison)),
        "",
    ]
    changed = [row for row in comparison.rows if row.verdict in _CHANGED]
    rest = [row for row in comparison.rows if row.verdict not in _CHANGED]
    if changed:
        lines += [*_markdown_rows(changed), ""]
    if rest:
        lines += [
            "<details><summary>What did not change</summary>",
            "",
            *_markdown_rows(rest),
            "",
            "</details>",
            "",
        ]
    return "\n".join([*lines, f"<sub>{_escaped(against(comparison))}</sub>", ""])


def junit(comparison: Comparison) -> str:
    """JUnit XML: a test case for each metric of each endpoint, failed where a figure regressed."""
    cases: dict[tuple[str, str], list[ComparisonRow]] = {}
    for row in comparison.rows:
        cases.setdefault((what(row), row.metric), []).append(row)
    suite = ET.Element("testsuite", name=_xml(f"k6 {comparison.run.test}"))
    failures = skipped = 0
    for (subject, metric), rows in sorted(cases.items()):
        case = ET.SubElement(suite, "testcase", classname=_xml(subject), name=_xml(metric))
        worse = [row for row in rows if row.verdict == "regressed"]
        if worse:
            failures += 1
            message = "; ".join(_sentence(row) for row in worse)
            ET.SubElement(case, "failure", type="regressed", message=_xml(message))
        elif all(row.verdict == "not_enough_data" for row in rows):
            skipped += 1
            ET.SubElement(case, "skipped", message="not enough data")
    suite.attrib |= {"tests": str(len(cases)), "failures": str(failures), "skipped": str(skipped)}
    return ET.tostring(suite, encoding="unicode", xml_declaration=True) + "\n"


def what(row: ComparisonRow) -> str:
    """The endpoint of a row, or the whole run."""
    return (
        wording.endpoint({"name": row.name, "method": row.method, "status": row.status})
        or "whole run"
    )


def figure(row: ComparisonRow, number: float | None) -> str:
    """A figure of this row in its unit."""
    if number is None:
        return "-"
    if abs(number) > _BEYOND:
        return "∞"
    if row.quantity == "failed":
        return f"{number:.2%}"
    if row.quantity == "rate":
        return f"{number:.4g}/s"
    return (
        wording.duration(number) if wording.is_time(row.metric) and number >= 0 else f"{number:.4g}"
    )


def change(row: ComparisonRow) -> str:
    """How much it changed."""
    if row.change is None:
        return "-"
    return f"{100 * row.change:+.2f} pp" if row.quantity == "failed" else f"{row.change:+.1%}"


def values(row: ComparisonRow) -> tuple[str, ...]:
    """Baseline, run, change and noise, as text."""
    noise = "-" if row.low is None else f"{figure(row, row.low)} … {figure(row, row.high)}"
    return figure(row, row.baseline), figure(row, row.run), change(row), noise


def quantity(row: ComparisonRow) -> str:
    """What of which metric it is: `http_req_duration p95`, `checks failed`."""
    if row.metric.endswith(row.quantity) or row.metric == "http_reqs":
        return row.metric
    return f"{row.metric} {row.quantity}"


def _sentence(row: ComparisonRow) -> str:
    before, after, by, noise = values(row)
    return f"{row.quantity} {before} → {after} ({by}; noise {noise})"


def _words(verdict: str) -> str:
    return verdict.replace("_", " ")


def _markdown_rows(rows: Sequence[ComparisonRow]) -> Iterable[str]:
    yield "| | what | metric | baseline | run | change | noise |"
    yield "|---|---|---|---:|---:|---:|---:|"
    for row in rows[:MOST_SHOWN]:
        cells = (_words(row.verdict), _code(what(row)), _code(quantity(row)), *values(row))
        yield "| " + " | ".join(cells) + " |"
    if len(rows) > MOST_SHOWN:
        yield ""
        yield f"and {len(rows) - MOST_SHOWN} more"


def _code(text: str) -> str:
    """As code that nothing in the text can leave, in a cell of a table."""
    clean = " ".join(text.split()).replace("|", "\\|")
    fence = "`" * (max((len(run) for run in re.findall("`+", clean)), default=0) + 1)
    space = " " if "`" in clean else ""
    return f"{fence}{space}{clean}{space}{fence}"


def _escaped(text: str) -> str:
    return re.sub(r"([\\`*_{}\[\]()#+!|<>@~])", r"\\\1", " ".join(text.split()))


def _xml(text: str) -> str:
    return _NOT_XML.sub("�", text)
