"""The tables of a report."""

from collections.abc import Mapping, Sequence
from typing import Any

from deploy.results import compared, wording
from deploy.results.elements import Cell, card, table
from deploy.results.summary import observed
from query.comparison import ComparisonRow
from query.results import Result


def comparison(rows: Sequence[ComparisonRow]) -> str:
    """Figures of both runs, with what is only noise."""
    head = ("", "What", "Metric", "Baseline*", "Run*", "Change*", "Noise*")
    return table(
        head,
        (
            (
                Cell(row.verdict.replace("_", " "), row.verdict, badge=True),
                Cell(compared.what(row), "name"),
                Cell(compared.quantity(row)),
                *(Cell(value, "n") for value in compared.values(row)),
            )
            for row in rows
        ),
    )


def thresholds(run: Mapping[str, Any]) -> str:
    """Thresholds, with our verdict and k6's."""
    marks = {
        True: Cell("✓ passed", "ok"),
        False: Cell("✗ crossed", "ko"),
        None: Cell("-", "faint"),
    }

    def row(one: Mapping[str, Any]) -> tuple[Cell, ...]:
        metric = one["metric"].partition("{")[0]
        kind = run["metrics"].get(metric, "gauge")
        return (
            marks[one["passed"]],
            Cell(one["metric"], "name"),
            Cell(one["expression"]),
            Cell(observed(metric, kind, one) or "-", "n"),
            marks[one["k6_passed"]],
        )

    head = ("", "Metric", "Threshold", "Observed*", "k6's own verdict")
    return card(head, [row(one) for one in run["thresholds"]], "No thresholds were judged.")


def endpoints(result: Result) -> str:
    """Requests by endpoint and status."""
    columns = ("avg", "p50", "p90", "p95", "p99", "max")

    def row(one: Mapping[str, Any]) -> tuple[Cell, ...]:
        failed = one["failed"] or 0
        status = one["status"] or "-"
        return (
            Cell(one["name"] or "-", "name"),
            Cell(one["method"] or "-"),
            Cell("no response" if status == "0" else status, "ko" if failed else ""),
            Cell(f"{one['n']:,}", "n"),
            Cell(f"{failed:,.0f}", "n ko" if failed else "n"),
            *(Cell(wording.duration(one[column]), "n") for column in columns),
        )

    head = ("Name", "Method", "Status", "Requests*", "Failed*", *(f"{name}*" for name in columns))
    return card(head, [row(one) for one in result.endpoints], "No HTTP requests were recorded.")


def checks(result: Result) -> str:
    """Checks by group; what failed is looked for first."""

    def row(one: Mapping[str, Any]) -> tuple[Cell, ...]:
        n = one["passes"] + one["fails"]
        return (
            Cell("✗", "ko") if one["fails"] else Cell("✓", "ok"),
            Cell(one["check_name"], "name"),
            Cell(one["group_name"].removeprefix("::").replace("::", " / "), "name"),
            Cell(f"{one['passes'] / n:.2%}" if n else "-", "n"),
            Cell(f"{one['passes']:,}", "n"),
            Cell(f"{one['fails']:,}", "n ko" if one["fails"] else "n"),
        )

    head = ("", "Check", "Group", "Passed*", "Passes*", "Fails*")
    failed_first = sorted(result.checks, key=lambda one: -one["fails"])
    return card(head, [row(one) for one in failed_first], "No checks were recorded.")


def errors(result: Result) -> str:
    """What failed, how often, from when to when."""

    def row(one: Mapping[str, Any]) -> tuple[Cell, ...]:
        return (
            Cell(one["name"], "name"),
            Cell(one["method"]),
            Cell("no response" if one["status"] == "0" else one["status"]),
            Cell(one["error_code"]),
            Cell(one["error"], "name"),
            Cell(f"{one['n']:,}", "n"),
            Cell(f"{one['first_at']:%H:%M:%S}", "n"),
            Cell(f"{one['last_at']:%H:%M:%S}", "n"),
        )

    head = ("Name", "Method", "Status", "Code", "Error", "Times*", "First*", "Last*")
    return card(head, [row(one) for one in result.errors], _no_errors(result))


def _no_errors(result: Result) -> str:
    asked = any(row["metric"] == "http_reqs" for row in result.metrics)
    return "No request failed." if asked else "No HTTP requests were recorded."
