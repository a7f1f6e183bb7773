"""k6's lines to envelopes: every point once, whatever the division into blocks, and nothing for the DLQ."""

import gzip
import json
from collections import Counter
from collections.abc import Iterable
from itertools import pairwise
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from producers.k6.envelopes import MAX_LINE, PIECE, Envelope, Envelopes
from producers.k6.labels import adapted
from producers.k6.urls import USUAL, Folding, Urls
from schemas.envelopes import decode_labels, decode_numeric, raw_bytes
from schemas.k6 import declared, inspected, judged, verdicts
from schemas.samples import MAX_LABELS, check_labels, check_name, check_source
from schemas.topics import MAX_RECORD_BYTES

DATA = Path(__file__).parents[2] / "data"
VERSIONS = ["0.57.0", "1.1.0", "2.0.0"]
AS_IT_IS = Folding(by_default=False)
TENANT, EXECUTION = UUID(int=1), UUID(int=2)


def lines_of(version: str) -> bytes:
    return gzip.decompress((DATA / f"k6-{version}" / "run.json.gz").read_bytes())


def summary_of(version: str) -> dict[str, Any]:
    document: dict[str, Any] = json.loads((DATA / f"k6-{version}" / "summary.json").read_bytes())
    return document


def read(
    blocks: Iterable[bytes], at: int = 0, folding: Folding = USUAL
) -> tuple[Envelopes, list[Envelope]]:
    envelopes = Envelopes(
        tenant_id=TENANT, source="k6/x", execution_id=EXECUTION, at=at, folding=folding
    )
    made = [one for block in blocks for one in envelopes.feed(block)]
    return envelopes, [*made, *envelopes.end()]


def samples(made: Iterable[Envelope]) -> list[tuple[str, float, dict[str, str], Any]]:
    return [
        (one.name, one.value, decode_labels(raw_bytes(one.labels)), one.timestamp)
        for envelope in made
        for one in decode_numeric(envelope.value).metrics or []
    ]


def point(tags: dict[str, Any], value: Any = 1) -> bytes:
    data = {"time": "2026-01-01T00:00:00Z", "value": value, "tags": tags}
    return json.dumps({"metric": "m", "type": "Point", "data": data}).encode() + b"\n"


@pytest.mark.parametrize("version", VERSIONS)
def test_every_point_of_a_real_run_is_in_an_envelope(version: str) -> None:
    """Name, value, tags and time of each point are what k6 wrote, in k6's order."""
    parsed = [json.loads(line) for line in lines_of(version).splitlines()]
    points = [one for one in parsed if one["type"] == "Point"]
    envelopes, made = read([lines_of(version)], folding=AS_IT_IS)
    assert samples(made) == [
        (one["metric"], one["data"]["value"], one["data"]["tags"], one["data"]["time"])
        for one in points
    ]
    assert envelopes.metrics == {
        one["metric"]: one["data"]["type"] for one in parsed if one["type"] == "Metric"
    }
    assert (envelopes.points, envelopes.malformed, envelopes.adapted) == (len(points), 0, 0)
    assert envelopes.latest == max(one["data"]["time"] for one in points)


def test_what_is_no_http_is_kept() -> None:
    """Sockets, gRPC, groups, scenarios, checks and own metrics: each as k6 wrote it, in k6's own number."""
    envelopes, made = read([lines_of("protocols")])
    metrics = summary_of("protocols")["metrics"]
    found = samples(made)
    count = Counter(name for name, *_ in found)
    for name in ("ws_sessions", "ws_msgs_sent", "my_counter", "iterations", "http_reqs"):
        assert count[name] == metrics[name]["count"]
    assert count["checks"] == metrics["checks"]["passes"] == 7
    assert count["my_rate"] == metrics["my_rate"]["passes"] == 4
    trend = [value for name, value, *_ in found if name == "grpc_req_duration"]
    assert (min(trend), max(trend)) == (
        metrics["grpc_req_duration"]["min"],
        metrics["grpc_req_duration"]["max"],
    )
    kinds = {"my_trend": "trend", "my_counter": "counter", "my_rate": "rate", "my_gauge": "gauge"}
    assert {name: envelopes.metrics[name] for name in kinds} == kinds
    labels: dict[str, dict[str, str]] = {name: tags for name, _, tags, _ in found}
    assert labels["my_gauge"]["group"] == "::outer::inner"
    assert labels["ws_sessions"] | {"url": "ws://127.0.0.1:19101/ws/{id}"} == labels["ws_sessions"]
    assert labels["grpc_req_duration"]["name"] == "/grpc.health.v1.Health/Check"
    assert {tags["scenario"] for *_, tags, _ in found if "scenario" in tags} == {
        *("sockets", "calls", "pages")
    }
    assert (envelopes.points, envelopes.malformed, envelopes.adapted) == (count.total(), 0, 0)


def test_thresholds_of_submetrics_have_their_verdicts() -> None:
    """One aborted the test; the script's options alone say which, the summary how each went."""
    told = json.loads((DATA / "k6-protocols" / "inspected.json").read_bytes())
    asked = inspected(told["thresholds"])
    envelopes, _ = read([lines_of("protocols")])
    found = judged([*envelopes.thresholds, *asked], summary_of("protocols"))
    assert [one.metric for one in found if one.abort_on_fail] == ["http_req_failed{scenario:pages}"]
    assert [one.metric for one in found if not one.k6_passed] == ["http_req_failed{scenario:pages}"]
    assert {one.metric for one in found} == {*told["thresholds"]}


@pytest.mark.parametrize("version", VERSIONS)
def test_counts_agree_with_k6s_own_summary(version: str) -> None:
    """What k6 says it counted is what the envelopes hold."""
    metrics = summary_of(version)["metrics"]
    count = Counter(name for name, *_ in samples(read([lines_of(version)])[1]))
    assert count["http_reqs"] == metrics["http_reqs"]["count"]
    assert count["iterations"] == metrics["iterations"]["count"]
    assert count["checks"] == metrics["checks"]["passes"] + metrics["checks"]["fails"]


@pytest.mark.parametrize("version", VERSIONS)
def test_verdicts_of_the_summary_are_reversed(version: str) -> None:
    """In each version the summary's `true` means crossed; submetrics are known from there alone."""
    envelopes, _ = read([lines_of(version)])
    assert {
        (one.metric, one.expression): (one.abort_on_fail, one.k6_passed)
        for one in judged(envelopes.thresholds, summary_of(version))
    } == {
        ("http_req_duration", "p(95)<500"): (False, True),
        ("http_req_duration", "p(99)<900"): (True, True),
        ("http_req_duration{name:list}", "avg<300"): (False, True),
        ("http_req_failed", "rate<0.5"): (False, False),
    }


def test_without_summary_a_threshold_has_no_verdict() -> None:
    """A run whose summary is missing tells what was asked and not how it went."""
    asked = declared({"m": ["avg<1"]})
    assert [(one.expression, one.k6_passed) for one in judged(asked, None)] == [("avg<1", None)]


def test_verdicts_of_other_documents_are_none() -> None:
    """`handleSummary`'s own shape is read, a list of metrics is not guessed at."""
    assert verdicts({"metrics": {"m": {"thresholds": {"avg<1": {"ok": False}}}}}) == {
        ("m", "avg<1"): False
    }
    assert verdicts({"results": {}, "metrics": [{"name": "m"}]}) == {}


@given(cuts=st.lists(st.integers(0, 190_000), max_size=40))
def test_block_boundaries_do_not_matter(cuts: list[int]) -> None:
    """However the stream is cut, the same samples come out in the same order."""
    data = lines_of("1.1.0")
    edges = [0, *sorted(cuts), len(data)]
    envelopes, made = read(data[a:b] for a, b in pairwise(edges))
    assert samples(made) == samples(read([data])[1])
    assert made == read([data])[1]
    assert envelopes.malformed == 0


@given(cut=st.integers(0, 200), flushes=st.sets(st.integers(0, 60)))
def test_an_envelope_says_where_to_go_on(cut: int, flushes: set[int]) -> None:
    """Whoever begins after any of them, however they came about, gets exactly the others' points."""
    data = lines_of("1.1.0")
    envelopes, made = read([])
    for n, start in enumerate(range(0, len(data), 5000)):
        made += envelopes.feed(data[start : start + 5000])
        if n in flushes:
            made += envelopes.flush()
    made += envelopes.end()
    before = made[: cut % (len(made) + 1)]
    at = before[-1].end if before else 0
    assert samples(before) + samples(read([data[at:]], at)[1]) == samples(made)
    assert made[-1].end == len(data)


def test_envelopes_are_full_but_the_last() -> None:
    """Points are packed densely and in order."""
    line = point({})
    fit = PIECE // len(line)
    _, made = read([line * (2 * fit + 1)])
    assert [(one.points, one.end) for one in made] == [
        (fit, fit * len(line)),
        (fit, 2 * fit * len(line)),
        (1, (2 * fit + 1) * len(line)),
    ]


def test_envelopes_name_run_tenant_and_source() -> None:
    """The envelope is the format that ingest reads."""
    _, made = read([point({"a": "b"})])
    envelope = decode_numeric(made[0].value)
    assert (envelope.tenant_id, envelope.execution_id) == (str(TENANT), str(EXECUTION))
    check_source(envelope.source)


def test_a_record_never_exceeds_what_the_broker_takes() -> None:
    """Points with very long tags travel in smaller envelopes, and none is left out."""
    tags = {f"tag{n}": "x" * 1000 for n in range(40)}
    many = {f"{n}": {"é" * 20: "\x01" * 4000} for n in range(MAX_LABELS)}
    short = {"name": "http://a/1/1", "url": "http://a/1/1"}
    rules = Folding(("a=>" + "ü" * 2000,))
    _, made = read([point(tags) * 50 + point(many) * 2 + point(short) * 1000], folding=rules)
    assert sum(one.points for one in made) == 1052
    assert all(len(one.value) <= MAX_RECORD_BYTES for one in made)


def test_what_thresholds_select_by_is_left_as_it_is() -> None:
    """A submetric's URL would find no points any more; a successor is told of it and does the same."""
    url = "http://shop/items/42"
    metric = {"type": "trend", "submetrics": [{"name": f"m{{url:{url}}}", "tags": {"url": url}}]}
    line = json.dumps({"type": "Metric", "metric": "m", "data": metric}).encode() + b"\n"
    points = point({"url": url, "name": url}) + point({"url": url + "0", "name": url + "0"})
    envelopes, made = read([line, points])
    wanted = [url, "http://shop/items/{id}"]
    assert [labels["url"] for *_, labels, _ in samples(made)] == wanted
    successor, _ = read([])
    successor.recall(envelopes.metrics, envelopes.thresholds, envelopes.named)
    made = [*successor.feed(points), *successor.end()]
    assert [labels["url"] for *_, labels, _ in samples(made)] == wanted
    assert successor.metrics == {"m": "trend"}


def test_unreadable_lines_cost_only_themselves() -> None:
    """Broken JSON, wrong types and foreign kinds are counted; their neighbours pass."""
    bad = [
        b'{"metric":',
        b"[]",
        point({}, value="x").strip(),
        b'{"type":"Other","metric":"m"}',
        b"\xff",
    ]
    blocks = b"".join(point({}) + line + b"\n" for line in bad)
    envelopes, made = read([blocks, b"\n", point({}).rstrip()])
    assert (envelopes.malformed, len(samples(made))) == (len(bad), len(bad) + 1)
    assert '{"metric":' in envelopes.complaint
    assert envelopes.complaint.startswith("line 2: ")


def test_an_endless_line_does_not_fill_the_memory() -> None:
    """What is no line is dropped as it comes, and the next line is read."""
    envelopes, made = read([*[b"x" * (1 << 20)] * 6, b"x\n" + point({})])
    assert (envelopes.malformed, len(samples(made))) == (1, 1)
    assert MAX_LINE < 6 << 20


HOSTILE = {
    "my-tag": "a",
    "my tag": "b",
    "1st": "c",
    "": "d",
    "é": "e",
    "url": "x" * 5000 + "é",
    "nul": "a\0b",
    "number": 5,
    **{f"k{n}": "v" for n in range(100)},
}


def test_tags_that_ingest_would_refuse_are_adapted() -> None:
    """The point survives with labels that pass every check, and the change is reported."""
    envelopes, made = read([point(HOSTILE) * 3])
    assert envelopes.adapted == 1
    for name, _, labels, _ in samples(made):
        check_name(name)
        check_labels(labels)
        assert (labels["my_tag"], labels["my_tag_2"], labels["_1st"]) == ("a", "b", "c")
        assert labels["nul"] == "a\ufffdb"


@given(tags=st.dictionaries(st.text(max_size=300), st.text(max_size=2000) | st.none(), max_size=80))
def test_any_tags_become_valid_labels(tags: dict[str, str | None]) -> None:
    """No JSON object leads to labels that ingest would refuse."""
    check_labels(decode_labels(adapted(json.dumps(tags).encode(), Urls(USUAL))))


def test_a_lone_surrogate_becomes_a_replacement() -> None:
    """k6 writes none itself; the file of another tool may."""
    assert decode_labels(adapted(rb'{"a":"x\ud800"}', Urls(USUAL))) == {"a": "x?"}


@given(garbage=st.binary(max_size=200))
def test_adapting_never_fails(garbage: bytes) -> None:
    """Bytes that are no object at all become no labels."""
    check_labels(decode_labels(adapted(garbage, Urls(USUAL))))
