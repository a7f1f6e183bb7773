"""Whatever stands in the parameters that routes of figures know: an answer or a 4xx."""

from datetime import UTC, datetime
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.sites import Site, at

COMMON = {
    "label": st.sampled_from(["host:a", "host:", ":", "a"]),
    "match": st.sampled_from(
        ["host=a", "host!=", "host=~a|b", "host!~.+", "zone=~(", "x=~a{999}", "a=~\\C"]
    )
    | st.text("ab=~!(){}[]|*+?\\^$.19,\0\ud7ff", max_size=12).map("host=~".__add__),
    "start": st.sampled_from(
        ["1970-01-01T00:00:00Z", "2026-06-01T11:07:13.5Z", "2026-05-01T00:00:00+23:59"]
    ),
    "end": st.sampled_from(
        ["2262-01-01T00:00:00Z", "2026-06-01T12:00:00.000001Z", "2026-06-02T00:00:00-12:00"]
    ),
}
GROUPS = {"by": st.sampled_from(["host", "zone", "", "9", "host.name", "é"])}
CHARTS = {
    "bucket": st.sampled_from(
        ["1s", "7m", "1h", "1d", "30d", "999999d", "000001s", "0d", "1 h", "inf"]
    ),
    "agg": st.sampled_from(["avg", "count", "sum", "rate", "p50", "p99", "nan", ""]),
    "fill": st.sampled_from(["none", "null", "zero", "previous", "x"]),
    "max_points": st.sampled_from(["8", "9", "11000", "0", "-1", "1e3", "nan", ""]),
}
PAGES = {
    "name": st.sampled_from(["up", "on", "none", "", "\u202e", "a" * 257]),
    "limit": st.sampled_from(["1", "10000", "0", "1.5", "99999999999999999999"]),
    "cursor": st.sampled_from(["", "AAAA", "=", "%"]) | st.text(max_size=20),
}
ROUTES = {
    "metrics": COMMON | PAGES,
    "metrics/latest/up": {one: COMMON[one] for one in ("label", "match")},
    "metrics/series/up": COMMON | GROUPS | CHARTS,
    "metrics/series/on": COMMON | GROUPS | CHARTS,
    "metrics/aggregate/up": COMMON
    | GROUPS
    | {"agg": st.sampled_from(["avg", "p50,p99", "count,max", "rate", ",", "avg,avg"])},
    "data/points": COMMON | PAGES | {"agg": st.sampled_from(["raw", "1m", "5m", "1h", "1d"])},
}
ODD = st.text(max_size=30) | st.integers().map(str) | st.floats().map(str)
MOMENTS = st.datetimes(timezones=st.timezones() | st.just(UTC)).map(datetime.isoformat)


@st.composite
def requests(draw: st.DrawFn) -> tuple[str, dict[str, list[str]]]:
    """A path and parameters that its route knows, most of them good, some twice."""
    path = draw(st.sampled_from(sorted(ROUTES)))
    known = ROUTES[path]
    chosen = draw(st.lists(st.sampled_from(sorted(known)), max_size=5, unique=True))
    if "name" in known:
        chosen.append("name")
    one_in_ten = st.integers(0, 9).map(lambda number: number == 0)
    parameters = {}
    for name in chosen:
        values = ODD | MOMENTS if draw(one_in_ten) else known[name]
        parameters[name] = draw(st.lists(values, min_size=1, max_size=2 if draw(one_in_ten) else 1))
    return path, parameters


@settings(
    max_examples=400,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(asked=requests())
async def test_no_parameters_are_an_error_of_ours(
    site: Site, asked: tuple[str, dict[str, Any]]
) -> None:
    """Each route by itself, with its own parameters, good and bad and mixed."""
    if not await site.admin.fetchval("SELECT count(*) FROM samples"):
        await site.store("acme", "up", {"host": "a"}, (at(7), 1e290), (at(6), -1e290), (at(5), 0.0))
        await site.store(
            "acme", "up", {"host": "b", "zone": "z"}, (at(50_000), 5e-324), (at(1), "t")
        )
        await site.store("acme", "on", {"host": "a"}, (at(2), True), (at(1), "text"))
    path, parameters = asked
    answer = await site.get(f"/api/v1/{path}", **parameters)
    assert answer.status_code < 500, answer.text
    assert answer.status_code in {200, 400, 422}
