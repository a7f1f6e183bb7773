"""The pure part of the consumer of k6's Kafka formats: reading, order by time, division into runs."""

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from producers.k6.source.boundaries import GRACE, Boundaries, Rules, taken_by
from producers.k6.source.marks import Mark, marked
from producers.k6.source.merge import MARKER_PATIENCE, Merge
from producers.k6.source.messages import END_HEADER, FORMATS, EndMarker, Item, Reader
from schemas.envelopes import decode_labels, raw_bytes
from schemas.errors import Invalid
from schemas.k6 import Point
from tests.k6_kafka import as_influx, as_json
from tests.unit.k6.test_lines import VERSIONS, lines_of

NOW = 1_800_000_000.0
EARLY = 1_795_325_896.0
RULES = Rules("g", "t", 30.0)


@dataclass
class Message:
    """A consumed record."""

    partition: int = 0
    offset: int = 0
    value: bytes | None = b""
    timestamp: int = int(EARLY * 1000)
    headers: Sequence[tuple[str, bytes]] = ()
    topic: str = "t"


def read_all(format_: Any, values: list[bytes | None]) -> list[Item]:
    return Reader(format_).read([Message(offset=i, value=v) for i, v in enumerate(values)], NOW)


def facts(item: Item) -> tuple[str, float, dict[str, str], str]:
    assert isinstance(item.content, Point), item.content
    data = item.content.data
    labels = {k: v for k, v in decode_labels(raw_bytes(data.tags)).items() if v}
    return item.content.metric, data.value, labels, data.time


@pytest.mark.parametrize("version", VERSIONS)
def test_both_formats_hold_the_same_points(version: str) -> None:
    """A real run, written as the extension writes it: names, values, tags and nanoseconds survive."""
    points = [
        one
        for line in lines_of(version).splitlines()
        if (one := json.loads(line))["type"] == "Point"
    ]
    by_json = [facts(one) for one in read_all("json", [as_json(one) for one in points])]
    by_influx = [facts(one) for one in read_all("influx", [as_influx(one) for one in points])]
    assert [one[:3] for one in by_json] == [one[:3] for one in by_influx]
    assert by_json == [
        (
            one["metric"],
            one["data"]["value"],
            {k: v for k, v in one["data"]["tags"].items() if v},
            one["data"]["time"],
        )
        for one in points
    ]
    assert [one[3][:26] for one in by_influx] == [
        one[3].removesuffix("Z").ljust(29, "0")[:26] for one in by_json
    ]


TEXTS = st.text(
    st.characters(exclude_categories=["Cs"], exclude_characters="\n\\"), min_size=1, max_size=20
)


@given(tags=st.dictionaries(TEXTS, TEXTS, max_size=5), url=TEXTS, value=st.floats(-1e9, 1e9))
def test_any_tags_come_back_from_a_line(tags: dict[str, str], url: str, value: float) -> None:
    """What InfluxDB's client escapes is read as it was; the field `url` is a tag again."""
    tags = {key: text for key, text in tags.items() if key not in {"url", "vu", "iter"}}
    data = {"time": "2026-11-22T05:38:16.000000001Z", "value": value, "tags": {**tags, "url": url}}
    (item,) = read_all("influx", [as_influx({"metric": "my metric,a", "data": data})])
    assert facts(item) == ("my metric,a", value, {**tags, "url": url}, data["time"])


def test_fields_of_every_kind() -> None:
    """K6_INFLUXDB_TAGS_AS_FIELDS gives types; vu and iter are left out, as JSON leaves them out."""
    (item,) = read_all(
        "influx", [rb'm,a=1 iter=5i,n=7i,ok=true,s="x\"y\\, z",value=2,vu=1i 1795325896000000001']
    )
    labels = {"a": "1", "n": "7", "ok": "true", "s": 'x"y\\, z'}
    assert facts(item) == ("m", 2.0, labels, "2026-11-22T05:38:16.000000001Z")
    (without,) = read_all("influx", [b"my_metric,a=1 value=1.25"])
    assert without.moment == EARLY


@pytest.mark.parametrize(
    ("format_", "value", "reason"),
    [
        ("json", b"", "bad_json"),
        ("json", None, "bad_json"),
        ("json", b'{"type":"Metric","data":{"type":"trend"},"metric":"m"}', "bad_json"),
        ("json", b"m,a=1 value=1 1795325896000000000", "bad_json"),
        (
            "json",
            b'{"type":"Point","data":{"time":"soon","value":1,"tags":{}},"metric":"m"}',
            "bad_timestamp",
        ),
        (
            "json",
            b'{"type":"Point","data":{"time":"0001-01-01T00:00:00Z","value":1},"metric":"m"}',
            "too_old",
        ),
        (
            "json",
            b'{"type":"Point","data":{"time":"2106-01-01T00:00:00Z","value":1},"metric":"m"}',
            "too_far_ahead",
        ),
        (
            "json",
            b'{"type":"Point","data":{"time":"2026-01-01T00:00:00","value":1},"metric":"m"}',
            "bad_timestamp",
        ),
        ("influx", b"", "bad_influx_line"),
        ("influx", b"m", "bad_influx_line"),
        ("influx", b"m value=NaN 1795325896000000000", "not_finite"),
        ("influx", b"m value=x 1795325896000000000", "bad_influx_line"),
        ("influx", b"m other=1 1795325896000000000", "bad_influx_line"),
        ("influx", b'm value=1,s="open 1795325896000000000', "bad_influx_line"),
        ("influx", b"m value=1,,x=2 1795325896000000000", "bad_influx_line"),
        ("influx", b",a=1 value=1 1795325896000000000", "bad_influx_line"),
        ("influx", b"m value=1 99999999999999999999999", "bad_influx_line"),
        ("influx", b"\xff value=1", "bad_text"),
    ],
)
def test_what_is_no_point_has_a_reason(format_: str, value: bytes | None, reason: str) -> None:
    """And costs its neighbours nothing."""
    good = {"metric": "m", "data": {"time": "2026-11-22T05:38:16Z", "value": 1, "tags": {"a": "b"}}}
    line = as_json(good) if format_ == "json" else as_influx(good)
    before, item, after = read_all(format_, [line, value, line])
    assert isinstance(item.content, Invalid)
    assert item.content.reason == reason
    assert facts(before)[:3] == facts(after)[:3] == ("m", 1.0, {"a": "b"})


@given(line=st.binary(max_size=60) | st.text('m,= "\\v1alue', max_size=60).map(str.encode))
def test_no_line_breaks_the_reader(line: bytes) -> None:
    """Whatever it is, it is a point or has a reason."""
    (item,) = read_all("influx", [line])
    assert isinstance(item.content, Point | Invalid)


def test_two_points_in_one_message_are_none() -> None:
    """The block that is decoded at once does not let them pass as another's."""
    good = as_json(
        {"metric": "m", "data": {"time": "2026-11-22T05:38:16Z", "value": 1, "tags": {}}}
    )
    items = read_all("json", [good + b"\n" + good, b""])
    assert [type(one.content) for one in items] == [Invalid, Invalid]


def item(moment: float, partition: int = 0, offset: int = 0, tags: bytes = b"{}") -> Item:
    content: Any = msgspec.json.decode(
        b'{"metric":"m","type":"Point","data":{"time":"t","value":1,"tags":' + tags + b"}}",
        type=Point,
    )
    return Item(EARLY + moment, Message(partition, offset), content)


def marker(moment: float, partition: int = 0, id_: str = "e", tag: str | None = None) -> Item:
    return Item(EARLY + moment, Message(partition, 99), EndMarker(id_, tag))


def test_partitions_are_read_in_order_of_time() -> None:
    """In a backlog every partition holds several runs; they come out one after the other."""
    merge = Merge(range(3))
    merge.put(0, [item(0), item(1), item(100), item(101)])
    merge.put(1, [item(0.5, 1), item(100.5, 1)])
    assert merge.take([], 0, 100) == []  # of partition 2 nothing is known
    moments = [one.moment - EARLY for one in merge.take([2], 0, 100)]
    assert moments == [0, 0.5, 1, 100, 100.5]  # 1 may have more, so 101 waits
    assert [one.moment - EARLY for one in merge.take([1, 2], 0, 100)] == [101]


@given(
    st.lists(st.lists(st.floats(0, 1e6), max_size=30).map(sorted), min_size=1, max_size=5),
    st.integers(1, 7),
)
def test_merging_loses_nothing(partitions: list[list[float]], limit: int) -> None:
    """Each item comes once, in order of time, whatever the limit of a batch."""
    merge = Merge(range(len(partitions)))
    for one, moments in enumerate(partitions):
        merge.put(one, [item(moment, one) for moment in moments])
    taken: list[float] = []
    while len(merge.short()) < len(partitions):
        taken += [one.moment for one in merge.take(range(len(partitions)), 0, limit)]
    assert taken == sorted(EARLY + moment for moments in partitions for moment in moments)


def test_an_end_waits_for_its_copies() -> None:
    """What lies before a marker in any partition comes before the end, what lies behind it after."""
    merge = Merge(range(2))
    merge.put(0, [item(0), marker(5), item(6)])
    assert [type(one.content) for one in merge.take([1], 0, 100)] == [Point]
    assert merge.take([1], 1, 100) == []
    merge.put(1, [item(4, 1), marker(5, 1)])
    taken = merge.take([], 2, 100)
    assert [type(one.content) for one in taken] == [Point, EndMarker, EndMarker]
    assert [one.moment - EARLY for one in merge.take([1], 3, 100)] == [6]


def test_an_end_whose_copies_never_come_is_believed_in_the_end() -> None:
    """Half a call of `k6 end` does not hold the topic up."""
    merge = Merge(range(2))
    merge.put(0, [marker(5)])
    assert merge.take([1], 0, 100) == []
    assert [type(one.content) for one in merge.take([1], MARKER_PATIENCE, 100)] == [EndMarker]


def divided(boundaries: Boundaries, items: list[Item]) -> list[tuple[str, int]]:
    """Runs as they end: tag and number of these points; the loop of the consumer, without Kafka."""
    counts: Counter[Any] = Counter()
    over = []

    def close(run: Any) -> None:
        over.append((run.tag, counts[run.execution_id]))
        boundaries.close(run)

    for one in items:
        if isinstance(one.content, EndMarker):
            for run in boundaries.ended_by(one, one.content):
                close(run)
            continue
        assert isinstance(one.content, Point)
        tag = boundaries.tag(one.content)
        if boundaries.known(one, tag):
            continue
        if (ended := boundaries.over(one, tag)) is not None:
            close(ended)
        run = boundaries.open.get(tag) or boundaries.begin(one, tag, 0)
        boundaries.take(run, one, 0)
        counts[run.execution_id] += 1
    return over


def test_a_gap_in_the_points_own_times_ends_a_run() -> None:
    """Not a shorter one, and not a point that is late."""
    boundaries = Boundaries(RULES)
    items = [item(0), item(30), item(10), item(60), item(90.1), item(91), item(200)]
    assert divided(
        boundaries, [one._replace(message=Message(0, i)) for i, one in enumerate(items)]
    ) == [
        ("", 4),
        ("", 2),
    ]
    (run,) = boundaries.open.values()
    assert (run.first, run.next) == (EARLY + 200, {0: 7})


def test_a_replay_is_the_same_runs() -> None:
    """The ids follow from where the runs began; what finished runs have taken is not taken again."""
    items = [
        item(m, p, o) for m, p, o in [(0, 0, 0), (1, 1, 0), (100, 1, 1), (101, 0, 1), (300, 0, 2)]
    ]
    first, second = Boundaries(RULES), Boundaries(RULES)
    assert divided(first, items) == divided(second, items)
    assert first.open[""].execution_id == second.open[""].execution_id
    mark = Mark("g", "", 3, {0: 2, 1: 2}, EARLY, EARLY + 101)
    assert marked([mark.header()]) == mark
    replayed = Boundaries(RULES, taken=taken_by([mark]))
    divided(replayed, items)
    (run,) = replayed.open.values()
    assert run.next == {0: 3}


def test_a_tag_divides_runs_at_the_same_time() -> None:
    """Each value has a run of its own, that ends by itself; points without the tag are one more."""
    rules = Rules("g", "t", 30.0, "testid")
    boundaries = Boundaries(rules)
    tags = [b'{"testid":"a"}', b'{"testid":"b"}', b'{"x":"y"}']
    items = [item(t, 0, 3 * t + i, one) for t in range(5) for i, one in enumerate(tags)]
    more = [item(t, 0, 15 + t, tags[1]) for t in range(20, 60)]
    assert divided(boundaries, items + more) == []
    assert {one.tag for one in boundaries.open.values()} == {"a", "b", ""}
    assert [one.tag for one in boundaries.passed()] == ["a", ""]
    assert divided(boundaries, [item(100, 0, 99, tags[0])]) == [("a", 0)]


def test_silence_is_measured_while_kafka_is_heard() -> None:
    """Only the idle time and a grace after the last message; an outage of the broker is no silence."""
    boundaries = Boundaries(RULES)
    divided(boundaries, [item(0)])
    assert boundaries.silent(30 + GRACE) == []
    boundaries.deaf(20)
    assert boundaries.silent(50 + GRACE) == []
    assert len(boundaries.silent(51 + GRACE)) == 1


def test_a_marker_ends_what_began_before_it() -> None:
    """Once, for all its copies; one tag's run if it names one; read again, not the run that followed."""
    rules = Rules("g", "t", 30.0, "testid")
    a, b = b'{"testid":"a"}', b'{"testid":"b"}'
    points = [item(0, 0, 0, a), item(0, 0, 1, b), item(1, 1, 0, a)]
    assert divided(Boundaries(rules), [*points, marker(2, tag="a"), marker(2, 1, tag="a")]) == [
        ("a", 2)
    ]
    assert divided(Boundaries(rules), [*points, marker(2), marker(2, 1)]) == [("a", 2), ("b", 1)]
    follower = Boundaries(RULES)
    divided(follower, [item(3, 0, 9)])
    assert divided(follower, [marker(2)]) == []


def test_a_marker_is_told_from_a_point_by_its_header() -> None:
    """Its value is empty, which other readers of the topic may ignore."""
    header = (END_HEADER, msgspec.json.encode(EndMarker("x", "a")))
    for name in FORMATS:
        (found,) = Reader(name).read([Message(headers=[header])], NOW)
        assert found.content == EndMarker("x", "a")


@settings(max_examples=50)
@given(st.data())
def test_order_of_partitions_does_not_change_the_runs(data: st.DataObject) -> None:
    """However the points of two runs lie in the partitions, the runs have the same points."""
    moments = [*range(20), *range(100, 120)]
    where = [data.draw(st.integers(0, 3)) for _ in moments]
    merge = Merge(range(4))
    offsets: Counter[int] = Counter()
    for moment, one in zip(moments, where, strict=True):
        merge.put(one, [item(moment, one, offsets[one])])
        offsets[one] += 1
    boundaries = Boundaries(RULES)
    ended = divided(boundaries, merge.take(range(4), 0, 1000))
    assert ended == [("", 20)]
