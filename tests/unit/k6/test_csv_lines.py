"""k6's CSV to envelopes: the points of the same run's JSON lines, whatever is odd in a row."""

import csv
import gzip
import io
from collections import Counter
from itertools import pairwise
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from producers.k6.csv_lines import CsvLines, as_rfc3339, extra
from producers.k6.envelopes import Envelopes
from schemas.envelopes import decode_labels, decode_numeric, raw_bytes
from schemas.k6_metrics import MetricTypes
from tests.unit.k6.test_lines import AS_IT_IS, VERSIONS, lines_of, samples, summary_of
from tests.unit.k6.test_lines import read as read_json

DATA = Path(__file__).parents[2] / "data"
HEADER = b"metric_name,timestamp,metric_value,group,error,name,extra_tags,metadata\n"


def csv_of(version: str) -> bytes:
    return gzip.decompress((DATA / f"k6-{version}" / "run.csv.gz").read_bytes())


def read(*blocks: bytes, types: MetricTypes | None = None) -> tuple[Envelopes, list[Any]]:
    envelopes = CsvLines(
        types or MetricTypes(),
        tenant_id=UUID(int=1),
        source="k6/x",
        execution_id=UUID(int=2),
        folding=AS_IT_IS,
    )
    made = [one for block in blocks for one in envelopes.feed(block)]
    return envelopes, samples([*made, *envelopes.end()])


def row(*tags: str, name: str = "m", stamp: str = "1795325896", value: str = "1.000000") -> bytes:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerow([name, stamp, value, *tags])
    return text.getvalue().encode()


@pytest.mark.parametrize("version", VERSIONS)
def test_rows_are_the_points_of_the_same_runs_json(version: str) -> None:
    """Name, value and tags of each point are those of `--out json`; the time is its whole second.

    CSV can't say that a tag is there and empty, as `group` outside of any group is.
    """
    envelopes, found = read(csv_of(version), types=MetricTypes(summary_of(version)))
    by_json, made = read_json([lines_of(version)], folding=AS_IT_IS)

    def comparable(points: list[tuple[str, float, dict[str, str], Any]]) -> "Counter[Any]":
        return Counter(
            (name, value, tuple(sorted((k, v) for k, v in labels.items() if v)), time[:19])
            for name, value, labels, time in points
        )

    assert comparable(found) == comparable(samples(made))
    assert envelopes.metrics == by_json.metrics
    assert (envelopes.points, envelopes.malformed, envelopes.adapted) == (724, 0, 0)


@given(cuts=st.lists(st.integers(0, 90_000), max_size=40))
def test_block_boundaries_do_not_matter(cuts: list[int]) -> None:
    """However the file is cut, within a quoted line end too, the same samples come out."""
    data = csv_of("1.1.0") + row("::g", 'a "quoted"\nerror', "x", "", "") * 20 + b"broken\n"
    edges = [0, *sorted(cuts), len(data)]
    envelopes, found = read(*(data[a:b] for a, b in pairwise(edges)))
    assert found == read(data)[1]
    assert envelopes.malformed == 21  # the rows have another number of columns than this header


def test_columns_follow_the_header() -> None:
    """Any system tags, in any order; empty ones are absent, as in JSON; metadata is left out."""
    rows = row("::g", "", "list", "", "") + row(
        "", 'dial: "x", y\nz', "a&b=c", "k=v&w=1=2&3", "vu=1"
    )
    _, found = read(HEADER + rows)
    assert [labels for _, _, labels, _ in found] == [
        {"group": "::g", "name": "list"},
        {"error": 'dial: "x", y\nz', "name": "a&b=c", "k": "v", "w": "1=2&3"},
    ]


def test_a_second_header_takes_over() -> None:
    """Files joined together are read as one, each by its own header; a row before any is none."""
    other = b"metric_name,timestamp,metric_value,method,extra_tags\r\n"
    envelopes, found = read(row("GET"), HEADER, row("g", "", "", "", ""), other, row("GET", ""))
    assert [labels for _, _, labels, _ in found] == [{"group": "g"}, {"method": "GET"}]
    assert envelopes.complaint.startswith("line 1: 4 columns")


def test_bad_rows_cost_only_themselves() -> None:
    """Each is counted, the first is named with its line, and its neighbours pass."""
    tags = ("", "", "", "", "")
    bad = [
        b"no row\n",
        row(*tags, value="NaN"),
        row(*tags, value="x"),
        row(*tags, stamp="yesterday"),
        row(*tags, stamp="2026-11-22T05:38:16"),
        row(*tags, stamp="9" * 30),
        row("too", "few"),
        b'm,1795325896,1,"a"b,,,,\n',
    ]
    envelopes, found = read(HEADER + b"".join(row(*tags) + one for one in bad) + row(*tags).strip())
    assert (envelopes.malformed, len(found)) == (len(bad), len(bad) + 1)
    assert envelopes.complaint == "line 3: not enough values to unpack (expected 4, got 1): no row"


def test_a_quote_that_nothing_closes_swallows_no_rows() -> None:
    """The rows behind it are read, at the end of the file and in its middle, with bounded memory."""
    good = row("::g", "", "list", "", "")
    envelopes, found = read(HEADER + b'm,1,1,"open,,,,\n' + good * 5000)
    assert (envelopes.malformed, len(found)) == (1, 5000)
    assert envelopes.complaint.startswith("line 2: ")
    envelopes, found = read(HEADER + good + b'm,1,1,"open,,,,\n')
    assert (envelopes.malformed, len(found)) == (1, 1)
    assert envelopes.complaint.startswith("line 3: ")
    envelopes, found = read(HEADER, *[b"x" * 100_000] * 9, b"\n" + good)
    assert envelopes.malformed > 0
    assert len(found) == 1


@pytest.mark.parametrize(
    ("stamp", "time"),
    [
        ("1562324644", "2019-07-05T11:04:04Z"),
        ("1562324644006", "2019-07-05T11:04:04.006Z"),
        ("1562324644000002", "2019-07-05T11:04:04.000002Z"),
        ("1562324644000000025", "2019-07-05T11:04:04.000000025Z"),
        ("2019-07-05T13:04:04+02:00", "2019-07-05T13:04:04+02:00"),
        ("2019-07-05T11:04:04.000000025Z", "2019-07-05T11:04:04.000000025Z"),
    ],
)
def test_every_time_format_of_k6_is_read(stamp: str, time: str) -> None:
    """K6_CSV_TIME_FORMAT is told from the digits, and no digit is lost."""
    assert as_rfc3339(stamp) == time


@given(
    st.dictionaries(
        st.from_regex(r"[a-z]{1,5}", fullmatch=True),
        st.from_regex(r"[^=]{0,9}", fullmatch=True),
        max_size=5,
    )
)
def test_extra_tags_without_equals_signs_come_back(tags: dict[str, str]) -> None:
    """A value may hold any `&`; only `&x=` in it can't be told from another tag."""
    assert extra("&".join(f"{key}={value}" for key, value in tags.items())) == tags


@given(st.lists(st.text(alphabet='a",\n\r1&=é', max_size=12), max_size=30))
def test_no_text_breaks_the_reader(rows: list[str]) -> None:
    """Anything is read or counted, and a good row at the end gets through where no quote is open."""
    text = "\n".join(rows)
    good = row("::g", "", "list", "", "")
    envelopes, found = read(HEADER + text.encode() + b"\n" + good)
    assert envelopes.points == len(found)
    if text.count('"') % 2 == 0:
        assert found[-1][2] == {"group": "::g", "name": "list"}
    for name, *_ in found:
        assert decode_numeric(f'{{"tenant_id":"t","name":"{name}","value":1}}'.encode()).name
    assert decode_labels(raw_bytes(b"{}")) == {}
