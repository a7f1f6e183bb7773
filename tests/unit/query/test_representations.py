"""The form of an answer: what Accept asks for, and what each form holds."""

import csv
import json
from datetime import UTC, datetime
from io import StringIO
from uuid import UUID

import msgspec
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from query.accepting import best_media_type, qualities, takes_gzip
from query.answers import Answer
from query.freshness import ETag, Versions
from query.representations import ARROW, CSV, FACTS, JSON, LABELS, OFFERED, TIME, Accept


@pytest.mark.parametrize(
    ("accept", "best"),
    [
        (None, JSON),
        ("", JSON),
        ("*/*", JSON),
        ("application/json", JSON),
        ("text/csv", CSV),
        ("TEXT/CSV; charset=utf-8", CSV),
        ("text/*", CSV),
        (ARROW, ARROW),
        ("application/*", JSON),
        ("text/csv, */*", CSV),
        ("application/json;q=0.5, text/csv;q=0.8", CSV),
        ("application/json;q=0, */*", CSV),
        ("application/json;q=0, application/*", ARROW),
        ("text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8", JSON),
        ("text/html", None),
        ("application/json;q=0", None),
        ("*/*;q=0", None),
        ("application/json;q=2, text/csv;q=0.1", CSV),
        ("application/json;q=nan", None),
        ("application/json;q=, text/csv", CSV),
        (";;;,,, q=1", None),
    ],
)
def test_the_best_accepted_form_is_taken(accept: str | None, best: str | None) -> None:
    """Weights decide, the most exact range first; what is malformed counts for nothing."""
    assert best_media_type(accept, OFFERED) == best


@pytest.mark.parametrize(
    ("accept_encoding", "taken"),
    [
        ("gzip", True),
        ("br, gzip;q=0.1", True),
        ("*", True),
        ("", False),
        ("identity", False),
        ("gzip;q=0", False),
        ("gzip;q=0, *", False),
        ("x-gzip-not", False),
    ],
)
def test_gzip_is_used_only_where_it_is_taken(accept_encoding: str, taken: bool) -> None:
    """A weight of 0 forbids."""
    assert takes_gzip(accept_encoding) is taken


@given(st.text())
def test_no_header_breaks_the_reading(header: str) -> None:
    """Whatever a header holds, each weight is from 0 to 1, and the choice is one of ours or none."""
    assert all(0 <= weight <= 1 for weight in qualities(header).values())
    assert best_media_type(header, OFFERED) in {*OFFERED, None}


class Row(Answer):
    """A row of the answer below."""

    timestamp: datetime
    value: float | None
    text: str | None
    labels: dict[str, str]


class Page(Answer):
    """An answer of rows."""

    name: str
    source: str
    next_cursor: str | None
    samples: list[Row]


ROWS = [
    (datetime(2026, 6, 1, 12, 0, 0, 250_000, UTC), 1.5, None, {"host": 'a"b,c', "zone": "ü"}),
    (datetime(2026, 6, 1, 12, tzinfo=UTC), None, "two\r\nlines", {}),
]
PAGE = Page(
    name="cpu\r\nSet-Cookie: ü",
    source="1m",
    next_cursor=None,
    samples=[Row(timestamp=at, value=v, text=t, labels=of) for at, v, t, of in ROWS],
)


def table() -> pa.Table:
    return pa.table(
        {
            "timestamp": pa.array([at for at, *_ in ROWS], TIME),
            "value": pa.array([v for _, v, *_ in ROWS], pa.float64()),
            "text": pa.array([t for _, _, t, _ in ROWS], pa.string()),
            "labels": pa.array([list(of.items()) for *_, of in ROWS], LABELS),
        }
    )


def no_table() -> pa.Table:
    raise AssertionError("nobody wants a table")


def test_json_is_the_answer_itself() -> None:
    """The JSON form is the model, and makes no table."""
    response = Accept(JSON).respond(PAGE, rows="samples", table=no_table)
    assert Page.model_validate_json(bytes(response.body)) == PAGE
    assert response.headers["content-type"] == JSON
    assert FACTS not in response.headers


def test_csv_holds_times_labels_and_quotes() -> None:
    """Times are RFC 3339, labels are JSON, and what a value holds breaks no line."""
    response = Accept(CSV).respond(PAGE, rows="samples", table=table)
    assert response.headers["content-type"] == "text/csv; charset=utf-8"
    header, *rows = csv.reader(StringIO(bytes(response.body).decode(), newline=""))
    assert header == ["timestamp", "value", "text", "labels"]
    assert [datetime.fromisoformat(row[0]) for row in rows] == [at for at, *_ in ROWS]
    assert [row[1:3] for row in rows] == [["1.5", ""], ["", "two\r\nlines"]]
    assert [msgspec.json.decode(row[3]) for row in rows] == [of for *_, of in ROWS]


def test_arrow_holds_the_columns_and_the_facts() -> None:
    """The stream has the table; what the answer says beside its rows is in the schema."""
    response = Accept(ARROW).respond(PAGE, rows="samples", table=table)
    assert response.headers["content-type"] == ARROW
    read = pa.ipc.open_stream(bytes(response.body)).read_all()
    assert read.equals(table())
    facts = {"name": PAGE.name, "source": "1m", "next_cursor": None}
    assert json.loads(read.schema.metadata[b"headrace"]) == facts
    assert json.loads(response.headers[FACTS]) == facts


def test_a_name_can_not_split_a_header() -> None:
    """The header with the facts is printable ASCII, whatever they hold."""
    header = Accept(CSV).respond(PAGE, rows="samples", table=table).headers[FACTS]
    assert header.isascii()
    assert header.isprintable()


def test_each_form_has_a_tag_of_its_own() -> None:
    """The tag is the same for the same answer, and differs with the form and with the facts."""

    def tag(accept: Accept, page: Page = PAGE) -> str:
        etag = ETag(UUID(int=1), b"state", (), Versions())
        return accept.respond(page, rows="samples", table=table, etag=etag).headers["etag"]

    other = PAGE.model_copy(update={"source": "5m"})
    tags = [tag(Accept(form), page) for form in OFFERED for page in (PAGE, other)]
    assert len(set(tags)) == len(tags)
    assert tags == [tag(Accept(form), page) for form in OFFERED for page in (PAGE, other)]
