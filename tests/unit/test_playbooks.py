"""Playbooks as people, and people of ill will, write them."""

import json
import re
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from schemas import templates, yaml_documents
from schemas.errors import Invalid
from schemas.playbook_steps import check_all, flatten, windows, within
from schemas.playbooks import MOST_STEPS, Http, Playbook, Window, plain
from schemas.rendering import render
from schemas.templates import Facts
from sinks.guards import Facts as GuardFacts
from sinks.guards import Limits, refusal
from tests.remedies import playbook

HTTP = {"action": "http", "url": "https://ops.example/a"}
WAIT = {"action": "wait", "duration": "30s"}
TELL = {"action": "notify", "receiver": "ops", "text": "{{ value }}"}
NOW = datetime(2026, 6, 1, 12, tzinfo=UTC)  # a Monday


def book(*steps: Any, name: str = "p", **more: Any) -> Playbook:
    return playbook({"name": name, "steps": list(steps), **more})


def step(do: Any, name: str = "a", **more: Any) -> dict[str, Any]:
    return {"id": name, "do": do, **more}


def include(name: str) -> dict[str, Any]:
    return {"action": "playbook", "playbook": name}


def test_a_playbook_reads_what_it_writes() -> None:
    """Every kind of step, there and back; Python data as JSON text."""
    found = book(
        step(HTTP, "a", undo={**HTTP, "method": "DELETE"}, when={"levels": ["critical"]}),
        step({"action": "command", "command": "restart", "parameters": {"unit": "{{ labels.u }}"}}, "b"),
        step(
            {
                "action": "kubernetes", "cluster": "prod", "operation": "scale", "namespace": "shop",
                "name": "items", "replicas": 3,
            },
            "c",
        ),
        step({"action": "sql", "statement": "kill"}, "d", when={"step": "c", "was": "failed"}),
        step(WAIT, "e"),
        step({"action": "notify", "url": HTTP["url"], "text": "{{ value }}"}, "f", undo=TELL),
        step(include("q"), "g"),
        not_during=[{"begin": "22:00", "end": "06:00"}],
        escalate={"url": HTTP["url"], "headers": {"Authorization": "secret://env/PAGER"}},
    )  # fmt: skip
    assert Playbook.model_validate_json(json.dumps(plain(found))) == found
    assert Playbook.model_validate(plain(found)) == found


@pytest.mark.parametrize(
    ("words", "document"),
    [
        ("two steps 'a'", {"steps": [step(WAIT), step(WAIT)]}),
        ("at least 1 item", {"steps": []}),
        ("at most 50", {"steps": [step(WAIT, f"s{n}") for n in range(MOST_STEPS + 1)]}),
        ("which is no step here", {"steps": [step(WAIT, when={"step": "z", "was": "failed"})]}),
        ("steps never loop", {"steps": [step(WAIT, when={"step": "a", "was": "failed"})]}),
        (
            "steps never loop",
            {"steps": [step(WAIT, when={"step": "b", "was": "failed"}), step(WAIT, "b")]},
        ),
        ("step and was go together", {"steps": [step(WAIT, when={"step": "a"})]}),
        ("does not match any of the expected tags", {"steps": [step({"action": "shell"})]}),
        ("Unable to extract tag", {"steps": [step({"url": "https://a"})]}),
        ("Extra inputs", {"steps": [step({**HTTP, "shell": "rm -rf /"})]}),
        ("Extra inputs", {"steps": [step(WAIT, goto="a")]}),
        ("a url or a receiver", {"steps": [step({"action": "notify", "text": "x"})]}),
        ("not both", {"steps": [step({**TELL, "url": HTTP["url"]})]}),
        ("includes the playbook itself", {"steps": [step(include("p"))]}),
        ("which is a whole playbook", {
            "steps": [step(include("q")), step(WAIT, "b", when={"step": "a", "was": "failed"})],
        }),
        ("belong to its playbook's steps", {"steps": [step(include("q"), on_failure="continue")]}),
        ("without {{ }}", {"steps": [step({**HTTP, "url": "https://{{ labels.host }}/"})]}),
        ("without {{ }}", {"steps": [step({**HTTP, "url": "{{ labels.url }}"})]}),
        ("without {{ }}", {"steps": [step({**HTTP, "url": "https://a:b@c/"})]}),
        ("without {{ }}", {"steps": [step({**HTTP, "url": "https://a\\@b/"})]}),
        ("without {{ }}", {"steps": [step({**HTTP, "url": "file:///etc/passwd"})]}),
        ("no secret", {"steps": [step({**HTTP, "url": "https://a/{{ secret://env/A }}"})]}),
        ("no header", {"steps": [step({**HTTP, "headers": {"Host": "b"}})]}),
        ("no header", {"steps": [step({**HTTP, "headers": {"A\r\nB": "c"}})]}),
        ("reference to a secret", {"steps": [step({**HTTP, "headers": {"X-Token": "abc"}})]}),
        ("only values are filled in", {"steps": [step({**HTTP, "body": {"{{ value }}": 1}})]}),
        ("has no meaning for 'labels'", {"steps": [step({**HTTP, "body": "{{ labels }}"})]}),
        ("has no meaning", {"steps": [step({**HTTP, "body": [["{{ 7*7 }}"]]})]}),
        ("has no meaning", {"steps": [step({**HTTP, "body": "{{ labels.__class__() }}"})]}),
        ("has no meaning", {"steps": [step({**HTTP, "body": "{{ secret://env/A/../B }}"})]}),
        ("file outside", {"steps": [step({**HTTP, "body": "secret://file/a/../../etc/shadow"})]}),
        ("{{ without }}", {"steps": [step({**HTTP, "body": "{{ value }"})]}),
        ("U+0000", {"steps": [step({**HTTP, "body": "a"}), step(WAIT, "b")], "description": "\0"}),
        ("replicas belongs to scale", {"steps": [step({
            "action": "kubernetes", "cluster": "c", "operation": "scale", "namespace": "n", "name": "x",
        })]}),
        ("a daemonset has no replicas", {"steps": [step({
            "action": "kubernetes", "cluster": "c", "operation": "scale", "namespace": "n", "name": "x",
            "replicas": 1, "kind": "daemonset",
        })]}),
        ("less than or equal to 10", {"steps": [step({**HTTP, "retries": 11})]}),
        ("no duration", {"steps": [step({**HTTP, "timeout": "soon"})]}),
        ("isoformat|hour|time", {"steps": [step(WAIT)], "not_during": [{"begin": "29:00", "end": "01:00"}]}),
        ("must be 1 to 128", {"name": "../p", "steps": [step(WAIT)]}),
    ],
)  # fmt: skip
def test_what_a_playbook_may_not_say(words: str, document: dict[str, Any]) -> None:
    """Each is refused when it is stored, in words that say what is wrong."""
    with pytest.raises(ValidationError, match=words.replace("{", r"\{").replace("+", r"\+")):
        playbook({"name": "p", **document})


def test_includes_are_put_in_a_row() -> None:
    """With the path as id, and the conditions of all that is around them."""
    inner = book(
        step(WAIT, "x"), step(WAIT, "y", when={"step": "x", "was": "failed"}), name="inner",
        not_during=[{"begin": "01:00", "end": "02:00"}],
    )  # fmt: skip
    outer = book(step(include("inner"), "in", when={"levels": ["critical"]}), step(WAIT, "z"))
    others = {"inner": inner, "p": outer}
    found = flatten(outer, others)
    assert [one.id for one in found] == ["in/x", "in/y", "z"]
    assert [(w.levels, w.step) for w in found[1].whens] == [(("critical",), None), (None, "in/x")]
    assert windows(outer, others) == list(inner.not_during)


@pytest.mark.parametrize(
    ("reason", "books"),
    [
        ("cyclic_playbook", {"p": ["q"], "q": ["p"]}),
        ("cyclic_playbook", {"p": ["q"], "q": ["r"], "r": ["q"]}),
        ("unknown_playbook", {"p": ["q"]}),
        ("bad_playbook", {"p": ["q"], "q": ["r"], "r": ["s"], "s": ["t"], "t": ["u"], "u": []}),
        ("bad_playbook", {"p": ["q"] * 40, "q": ["r"] * 40, "r": ["s"] * 40, "s": []}),
    ],
)
def test_includes_that_can_not_be(reason: str, books: dict[str, list[str]]) -> None:
    """Without end, of nothing, too deep, or a thousand steps in four lines: refused, and soon."""
    known = {
        name: book(
            *[step(include(one), f"i{n}") for n, one in enumerate(wanted)], step(WAIT), name=name
        )
        for name, wanted in books.items()
    }
    with pytest.raises(Invalid) as refused:
        check_all(known)
    assert refused.value.reason == reason


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("a: &x [1]\nb: *x", "line 1, column 4: anchors and aliases are not taken"),
        ("a: &a [*a]", "anchors and aliases"),
        ("&l [" + ",".join(["*l"] * 9) + "]", "anchors and aliases"),
        ("a: 1\na: 2", "line 2, column 1: 'a' is given twice"),
        ("a: !!python/object/apply:os.system ['x']", "is not taken"),
        ("a: !!binary aGk=", "is not taken"),
        ("a: 2026-01-01", "write it in quotes"),
        ("a: .inf", "finite"),
        ("? [a]\n: b", "a key must be a word"),
        ("<<: {a: 1}", "a key must be a word"),
        ("a: [", "is no YAML"),
        ("[" * 100 + "]" * 100, "more than 30 levels"),
        ("[" * 100_000, "is no YAML|more than"),
        ("a" * (yaml_documents.LONGEST + 1), "longer than"),
    ],
)
def test_yaml_that_surprises_is_not_taken(text: str, words: str) -> None:
    """Aliases, of which a few lines mean gigabytes or have no end, tags, doubles: refused, with the line."""
    with pytest.raises(Invalid, match=words):
        yaml_documents.read(text, "p.yaml")


def test_yaml_is_what_json_can_say() -> None:
    """Several documents, without the empty ones."""
    text = "---\na: [1, 2.5, true, null, 'x', on]\n---\n---\nb: {c: d}\n"
    assert yaml_documents.read(text, "p") == [
        {"a": [1, 2.5, True, None, "x", True]},
        {"b": {"c": "d"}},
    ]


HOSTILE = [
    "{{ value }}", "{{ secret://env/TOKEN }}", "secret://env/TOKEN", "$(reboot)", "`reboot`", "; rm -rf / #",
    "a\r\nX-Evil: b", "../../admin", "?a=b#c", "'; DROP TABLE x; --", "%2e%2e%2f", "\u202e", "{", "}}",
]  # fmt: skip


@given(st.one_of(st.sampled_from(HOSTILE), st.text(max_size=200)))
def test_what_a_label_says_is_put_there_and_not_read_again(label: str) -> None:
    """In a body it is these very characters, in a URL one part of one segment; or it is refused."""
    doing = Http.model_validate(
        {
            "action": "http",
            "url": "https://ops.example/hosts/h-{{ labels.host }}/x?q={{ labels.host }}&r=1",
            "body": {"host": "{{ labels.host }}", "n": 1, "list": ["<{{ labels.host }}>"]},
        }
    )
    facts = Facts("critical", "r", "f", {"host": label})
    if "\0" in label:
        with pytest.raises(Invalid, match=r"U\+0000"):
            render(doing, facts)
        return
    try:
        found = render(doing, facts)
    except UnicodeEncodeError:
        pytest.fail("a lone surrogate is no reason to fail")
    assert found["body"] == {"host": label, "n": 1, "list": [f"<{label}>"]}
    path, _, query = found["url"].removeprefix("https://ops.example/").partition("?")
    assert path.count("/") == 2
    assert (query.count("&"), "#" in query, " " in query) == (1, False, False)


@pytest.mark.parametrize("label", ["", ".", "..", "x" * 1_000_000])
def test_a_label_that_makes_another_address_is_refused(label: str) -> None:
    """Alone in a segment of the path, these lead elsewhere; a mebibyte leads nowhere."""
    doing = Http.model_validate({"action": "http", "url": "https://a/b/{{ labels.host }}/c"})
    with pytest.raises(Invalid, match=r"url (would be|becomes)"):
        render(doing, Facts("critical", "r", "f", {"host": label}))


@pytest.mark.parametrize("label", ["a\nb", "a\r\nb: c", "\x1b[2J", "x" * 5000])
def test_a_header_is_one_line(label: str) -> None:
    """Whatever the label holds."""
    doing = Http.model_validate(
        {"action": "http", "url": "https://a/", "headers": {"X-Host": "{{ labels.host }}"}}
    )
    with pytest.raises(Invalid, match="X-Host must be one line"):
        render(doing, Facts("critical", "r", "f", {"host": label}))


def test_a_body_has_its_limit() -> None:
    """Many labels of the allowed length are still too much."""
    doing = Http.model_validate(
        {"action": "http", "url": "https://a/", "body": ["{{ labels.host }}"] * 10}
    )
    with pytest.raises(Invalid, match="longer than 262144"):
        render(doing, Facts("critical", "r", "f", {"host": "x" * 60_000}))


def test_numbers_are_for_people() -> None:
    """523.5, not 523.500000; and words for no number at all."""
    facts = Facts("warning", "r", "f", value=523.5, threshold=1e7, condition="c > 1")
    text = "{{value}} of {{ threshold }} ({{ level }}, {{ condition }})"
    assert templates.fill(text, facts, reveal=str) == "523.5 of 10000000 (warning, c > 1)"
    assert templates.fill("{{ value }}", Facts("warning", "r", "f"), reveal=str) == "no data"


@pytest.mark.parametrize(
    ("window", "moment", "inside"),
    [
        ({"begin": "11:00", "end": "13:00"}, NOW, True),
        ({"begin": "12:00", "end": "12:30"}, NOW, True),
        ({"begin": "11:00", "end": "12:00"}, NOW, False),
        ({"begin": "22:00", "end": "02:00"}, NOW.replace(hour=1, minute=59), True),
        ({"begin": "22:00", "end": "02:00", "days": ["sun"]}, NOW.replace(hour=1), True),
        ({"begin": "22:00", "end": "02:00", "days": ["mon"]}, NOW.replace(hour=1), False),
        ({"begin": "22:00", "end": "02:00", "days": ["mon"]}, NOW.replace(hour=23), True),
        ({"begin": "12:00", "end": "12:00", "days": ["sun"]}, NOW.replace(hour=11), True),
    ],
)
def test_maintenance_windows(window: dict[str, Any], moment: datetime, inside: bool) -> None:
    """Of the days on which they begin, past midnight too."""
    assert within(Window.model_validate(window), moment) is inside


@pytest.mark.parametrize(
    ("facts", "words"),
    [
        ({}, None),
        ({"paused": "ana"}, "paused by ana"),
        ({"last_ended": NOW - timedelta(seconds=599)}, "cooldown: .* 599 s ago"),
        ({"last_ended": NOW - timedelta(seconds=600)}, None),
        ({"of_rule": 5}, None),
        ({"of_rule": 6}, "cap: 6 runs of this rule"),
        ({"of_tenant": 29}, None),
        ({"of_tenant": 30}, "cap: 30 runs of all rules"),
    ],
)
def test_guards(facts: dict[str, Any], words: str | None) -> None:
    """At their very edges."""
    known = {"paused": None, "last_ended": None, "of_rule": 0, "of_tenant": 0, **facts}
    found = refusal(Limits(timedelta(minutes=10), 6, 30), GuardFacts(NOW, **known))
    if words is None:
        assert found is None
    else:
        assert found is not None
        assert re.search(words, found)
