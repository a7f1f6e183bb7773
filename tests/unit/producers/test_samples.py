"""What a sample may be: one set of rules for every producer and for ingest."""

import pytest

from schemas.errors import Invalid
from schemas.samples import check_labels, check_name, check_source, check_value


@pytest.mark.parametrize("value", [0, -1.5, 2**63, -1e290, True, "", "é" * 512])
def test_numbers_booleans_and_short_texts_are_values(value: object) -> None:
    """Any number up to 1e290, both booleans, and text up to 1 KiB in UTF-8."""
    check_value(value)


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (float("nan"), "not_finite"),
        (float("-inf"), "not_finite"),
        (10**400, "not_finite"),
        (-1e291, "out_of_range"),
        (10**300, "out_of_range"),
        (None, "bad_value"),
        ([1], "bad_value"),
        (b"1", "bad_value"),
        ("é" * 513, "text_too_long"),
        ("a\0b", "nul_character"),
        ("\ud800", "bad_text"),
    ],
)
def test_other_values_are_refused_with_a_stable_reason(value: object, reason: str) -> None:
    """What the database can't hold, or what is no measurement, is refused before it is sent."""
    with pytest.raises(Invalid) as refusal:
        check_value(value)
    assert refusal.value.reason == reason


@pytest.mark.parametrize("labels", [{}, {"host": "a", "_x": "", "http.method": "GET", "A9": "é"}])
def test_labels_map_names_to_texts(labels: object) -> None:
    """Keys begin with a letter or an underscore; dots and digits may follow; values may be empty."""
    check_labels(labels)


@pytest.mark.parametrize(
    ("labels", "reason"),
    [
        (None, "bad_labels"),
        ([("a", "b")], "bad_labels"),
        ({"9a": "x"}, "bad_labels"),
        ({"a-b": "x"}, "bad_labels"),
        ({"a\n": "x"}, "bad_labels"),
        ({"é": "x"}, "bad_labels"),
        ({"": "x"}, "bad_labels"),
        ({1: "x"}, "bad_labels"),
        ({"a": 1}, "bad_labels"),
        ({f"k{n}": "x" for n in range(65)}, "bad_labels"),
        ({"a": "x" * 1025}, "text_too_long"),
        ({"a" * 257: "x"}, "text_too_long"),
        ({"a": "x\0"}, "nul_character"),
        ({"a": "\udfff"}, "bad_text"),
    ],
)
def test_other_labels_are_refused(labels: object, reason: str) -> None:
    """Wrong keys, wrong types, too many of them, and texts that can't be stored."""
    with pytest.raises(Invalid) as refusal:
        check_labels(labels)
    assert refusal.value.reason == reason


@pytest.mark.parametrize("name", ["", None, 7, "x" * 257, "a\0", "\ud800"])
def test_names_and_sources_are_short_non_empty_texts(name: object) -> None:
    """The same holds for the name of a metric and for the source of samples."""
    check_name("cpu usage, 100 % é")
    check_source("checkout")
    for check in (check_name, check_source):
        with pytest.raises(Invalid):
            check(name)


def test_a_refusal_shows_what_was_given_but_not_all_of_it() -> None:
    """The text names the type and the beginning of the value: enough to find it, never a megabyte."""
    with pytest.raises(Invalid, match=r"bytes b'xxx") as refusal:
        check_value(b"x" * 1_000_000)
    assert len(str(refusal.value)) < 200
